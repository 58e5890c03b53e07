//! ulna's core.
#![no_std]
#![cfg_attr(not(loom), deny(unsafe_code))]

extern crate alloc;
#[cfg(any(test, loom))]
extern crate std;

pub mod authenticate;
pub mod client;
pub mod configuration;
pub mod dictionary;
pub mod discard;
pub mod packet;
pub mod path;
pub mod policy;
pub mod queue;
pub mod seed;
pub mod seeded;
pub mod table;
pub mod time;

pub use client::ClientId;
pub use configuration::Configuration;
pub use discard::Discard;
pub use path::{ListenerId, NetworkId, Path, Peer, SocketId, Transmit, WorkerId};
pub use policy::ServerId;
pub use seed::Seed;
pub use time::Instant;
