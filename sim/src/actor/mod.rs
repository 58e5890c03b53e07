//! The models around the server: whoever speaks to it, sans-IO like itself.

pub mod accounting_nas;
pub mod control_reader;
pub mod exchange;
pub mod identifiers;
pub mod nas;
pub mod owed;
pub mod remote_server;
pub mod retransmission;
pub mod roaming_nas;
pub mod visit;
