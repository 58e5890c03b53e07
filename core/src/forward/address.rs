//! Where a remote server listens, as it is configured.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

/// Where a remote server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteAddress {
    /// There.
    At(SocketAddr),
    /// Where its name stands for.
    Named {
        /// A host's (RFC 1123 §2.1), in small letters.
        name: Arc<str>,
        /// The port at whichever address.
        port: u16,
    },
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddress::At(address) => address.fmt(f),
            RemoteAddress::Named { name, port } => write!(f, "{name}:{port}"),
        }
    }
}
