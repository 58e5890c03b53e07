//! Octets.

pub mod secret;
