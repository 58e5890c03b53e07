//! ulna's core.
#![no_std]
#![cfg_attr(not(loom), deny(unsafe_code))]

extern crate alloc;
#[cfg(any(test, loom))]
extern crate std;

pub mod authenticate;
pub mod client;
pub mod configuration;
pub mod conversation;
pub mod cores;
pub mod counters;
pub mod dedup;
pub mod dictionary;
pub mod discard;
pub mod effect;
pub mod event;
pub mod network;
pub mod packet;
pub mod path;
pub mod policy;
pub mod queue;
pub mod request;
pub mod seed;
pub mod seeded;
pub mod table;
pub mod time;
pub mod worker;

pub use client::ClientId;
pub use configuration::Configuration;
pub use discard::Discard;
pub use path::{ListenerId, NetworkId, Path, Peer, SocketId, Transmit, WorkerId};
pub use policy::ServerId;
pub use seed::Seed;
pub use time::Instant;
