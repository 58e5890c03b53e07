//! The models around the server: whoever speaks to it, sans-IO like itself.

pub mod exchange;
pub mod identifiers;
pub mod nas;
pub mod owed;
pub mod retransmission;
