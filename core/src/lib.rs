//! ulna's core: a RADIUS server as one deterministic state machine. No sockets, threads or clocks; those are its
//! driver's.
//!
//! # One Access-Request walks through
//!
//! | step | room | type it becomes |
//! |---|---|---|
//! | a datagram comes, with the way that it came | [`network`] | octets and a [`Path`] |
//! | lengths and attribute boundaries hold; no secret needed yet | [`packet`] | [`Framed`](packet::Framed) |
//! | who sent it: the longest network prefix | [`client`] | [`ClientId`] |
//! | authenticators checked with that client's secret | [`packet`] | [`Verified`](packet::Verified) |
//! | seen before? | [`dedup`] | [`Seen`](dedup::Seen) |
//! | whose conversation could it be? | [`conversation`] | [`WorkerId`], room counted |
//! | crosses to that worker | [`queue`], [`request`] | [`Message::Request`](queue::message::Message) |
//! | policy decides, credentials are checked | [`worker`], [`policy`], [`authenticate`] | [`Decision`](policy::Decision) |
//! | or it goes on: to the remote server of its conversation, or one that its pool chooses, and back | [`worker`], [`conversation`], [`forward`] | [`Outbound`](forward::Outbound), [`Inbound`](forward::Inbound) |
//! | encoded and signed, sent by the worker itself | [`packet`], [`worker`] | [`Transmit`] |
//! | the network core is told, lazily, and keeps the reply for duplicates | [`dedup`] | [`Message::Replied`](queue::message::Message) |
//!
//! Whatever says no names its [`Discard`]. [`cores`] holds what one thread runs and the phases of its turn.
//!
//! # The interface
//!
//! `handle_*` takes input and `now`, `poll_*` gives output; after any `handle_*` the driver drains messages, transmits and
//! events, and reads the time-out. Nothing here reads a clock, draws from the system's randomness, or depends on the order
//! of a hash table: the same inputs give the same outputs, in production and in the simulator.
#![no_std]
#![cfg_attr(not(loom), deny(unsafe_code))]

extern crate alloc;
#[cfg(any(test, loom))]
extern crate std;

pub mod accounting;
pub mod attributes;
pub mod authenticate;
pub mod client;
pub mod configuration;
pub mod control;
pub mod conversation;
pub mod cores;
pub mod counters;
mod deadlines;
pub mod dedup;
pub mod dictionary;
pub mod discard;
pub mod effect;
pub mod event;
pub mod forward;
pub mod generation;
pub mod json;
pub mod life;
pub mod network;
pub mod packet;
pub mod path;
pub mod policy;
pub mod queue;
pub mod reload;
pub mod request;
pub mod reserved;
pub mod seed;
pub mod seeded;
pub mod stream;
pub mod table;
pub mod time;
pub mod worker;

pub use client::ClientId;
pub use configuration::Configuration;
pub use discard::Discard;
pub use path::{ListenerId, NetworkId, Path, Peer, SocketId, StreamId, Transmit, Via, WorkerId};
pub use policy::ServerId;
pub use seed::Seed;
pub use time::Instant;
