//! Octets.

mod secret;

pub use secret::{EmptySecret, Secret, Secrets};
