//! Where octets come from and where they go: sockets and streams by number, the two ends of a packet's way, one packet to send.
//!
//! A descriptor's number never enters core: a [`SocketId`] is a place in the driver's table of sockets.

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

/// A socket in the driver's table, valid in every thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u16);

/// A stream of one network core, from when it was accepted until it is closed. The generation tells it from those that had its
/// place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Place in the core's table of streams, and in its driver's.
    pub place: u32,
    /// How many streams had this place, this one among them. Wraps: no reply is 2³² streams late.
    pub generation: NonZeroU32,
}

/// What a packet came through; its reply leaves through the same (RFC 6613 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// A socket that takes datagrams.
    Socket(SocketId),
    /// A stream.
    Stream(StreamId),
}

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

/// The way that a packet came: through what, from whom, to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// What it was read from; its reply leaves through the same.
    pub via: Via,
    /// The configured address that this socket listens on, or that accepted this stream.
    pub listener: ListenerId,
    /// The address that it was sent to: never a wildcard.
    pub local: SocketAddr,
    /// The address that it was sent from, as we see it (behind a NAT: the NAT's).
    pub remote: SocketAddr,
}

impl Path {
    /// How a reply to a datagram goes back: out of the same socket, from the address that the request came to.
    ///
    /// # Panics
    /// If it came by a stream: what goes there is no datagram.
    pub fn reversed(&self) -> Transmit {
        let Via::Socket(via) = self.via else { panic!("what came by a stream is answered there") };
        Transmit { via, source: Some(self.local.ip()), destination: self.remote }
    }

    /// The stream that it came by, if it did.
    #[inline]
    pub fn stream(&self) -> Option<StreamId> {
        match self.via {
            Via::Socket(_) => None,
            Via::Stream(stream) => Some(stream),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_makes_no_path_larger_than_its_name_is() {
        // Each buffer and each message has one.
        assert_eq!(size_of::<Via>(), size_of::<StreamId>());
    }
}
