//! Drives ulna's core with real sockets, threads and clocks over mio.
//!
//! Whatever touches a descriptor, a thread or a clock lives here; nothing here decides about a packet. The core says
//! what is to be sent and when it wants to be called again, the simulator calls the very same core with its own
//! clock and wires.
//!
//! Linux only so far: batches ([`mmsg`]), destination addresses and the counters of `/proc` are that kernel's.

#![deny(unsafe_code)]

pub mod bell;
pub mod clock;
pub mod kernel_drops;
#[allow(unsafe_code)]
pub mod mmsg;
mod segments;
pub mod sockets;
pub mod system_calls;

pub use bell::{BELL, Bell};
pub use clock::Clock;
pub use mmsg::{Outlet, ReceiveBatch, Received, SendBatch, SendOutcome};
pub use sockets::{BoundUdp, bind_udp, connect_udp, join_udp};
pub use system_calls::SystemCalls;
