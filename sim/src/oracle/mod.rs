//! The simple truth: what a RADIUS server must make of octets, written a second time from the RFCs.
//!
//! Uses nothing of ulna-core but its numbers for listeners, so that a bug in core's codec is not shared by its
//! judge. Clarity before speed; no state.

pub mod codec;
pub mod digest;
pub mod judge;
pub mod rules;
