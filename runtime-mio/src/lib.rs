//! Drives ulna's core with real sockets, threads and clocks over mio.
//!
//! Whatever touches a descriptor, a thread or a clock lives here; nothing here decides about a packet. The core says
//! what is to be sent and when it wants to be called again, the simulator calls the very same core with its own
//! clock and wires.
//!
//! Linux only so far: batches ([`mmsg`]), destination addresses and the counters of `/proc` are that kernel's.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod allocator;
pub mod bell;
pub mod clock;
mod connected;
mod control_socket;
pub mod counters;
mod deaths;
mod effects;
mod errands;
pub mod file_watch;
mod hashing;
pub mod kernel_drops;
pub mod listening;
mod log;
#[allow(unsafe_code)]
pub mod mmsg;
pub mod patience;
pub mod reload;
mod remote;
pub mod report;
mod resolving;
mod seats;
mod segments;
pub mod server;
pub mod shared_port;
pub mod shared_ring;
pub mod sockets;
pub mod spooling;
#[allow(unsafe_code)]
mod steering;
pub mod storing;
pub mod supervisor;
pub mod system_calls;
mod tables;
mod tcp;
mod turn;

pub use bell::{BELL, Bell};
pub use clock::Clock;
pub use errands::Controls;
pub use file_watch::FileWatch;
pub use hashing::Hasher;
pub use listening::{ListenError, is_on_this_host};
pub use mmsg::{Outlet, ReceiveBatch, Received, SendBatch, SendOutcome};
pub use reload::{ClientKey, ReloadError, Reloader};
pub use server::{Server, StartError, Stores};
pub use shared_port::{Served, SharedPort};
pub use sockets::{BoundUdp, bind_udp, connect_udp, join_tcp, join_udp, listen_tcp};
pub use spooling::{PerformSpool, SpoolNews, SpoolStore};
pub use storing::{Perform, RecordStore, StoreNews};
pub use supervisor::Supervisor;
pub use system_calls::SystemCalls;
