//! Where octets come from and where they go: sockets by number, the two ends of a datagram, one packet to send.
//!
//! A descriptor's number never enters core: a [`SocketId`] is a place in the driver's table of sockets.

use core::net::{IpAddr, SocketAddr};

/// A socket in the driver's table, valid in every thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u16);

/// A listening address of the configuration, numbered in its order; every network thread has a socket on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// A network thread, or where threads are joined the network core of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u16);

/// A worker thread, or where threads are joined the worker core of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// Who a message comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A network core.
    Network(NetworkId),
    /// A worker core.
    Worker(WorkerId),
}

/// The way that a datagram came: through which socket, from whom, to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The socket it was read from; its reply leaves through the same.
    pub via: SocketId,
    /// The configured address that this socket listens on.
    pub listener: ListenerId,
    /// The address that it was sent to: never a wildcard.
    pub local: SocketAddr,
    /// The address that it was sent from, as we see it (behind a NAT: the NAT's).
    pub remote: SocketAddr,
}

impl Path {
    /// How a reply goes back: out of the same socket, from the address that the request came to.
    pub fn reversed(&self) -> Transmit {
        Transmit { via: self.via, source: Some(self.local.ip()), destination: self.remote }
    }
}

/// How one packet is to be sent. The octets are in the buffer that was handed to `poll_transmit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The socket that it leaves through.
    pub via: SocketId,
    /// The source address to send from, or the kernel's choice.
    pub source: Option<IpAddr>,
    /// Whom to.
    pub destination: SocketAddr,
}
