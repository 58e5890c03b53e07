//!
//! Whatever touches a descriptor, a thread or a clock lives here; nothing here decides about a packet. The core says
//! what is to be sent and when it wants to be called again, the simulator calls the very same core with its own
//! clock and wires.

#![deny(unsafe_code)]

pub mod bell;
pub mod clock;
pub mod system_calls;

pub use bell::{BELL, Bell};
pub use clock::Clock;
pub use system_calls::SystemCalls;
