//! Sockets to remote servers, as core and driver name them.

use crate::path::SocketId;
use core::net::{IpAddr, SocketAddr};

/// A socket of one worker's that is connected to a remote server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteSocket {
    /// Small, and used again when it has been closed.
    pub place: u16,
    /// Tells it from those that had its place before. Wraps: no datagram is 2³² sockets late.
    pub generation: u32,
}

impl RemoteSocket {
    /// What a packet is sent through, in the worker's table of such sockets.
    pub fn via(self) -> SocketId {
        SocketId(self.place)
    }
}

/// What the driver is asked to do about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteOrder {
    /// Open it, from a port of the system's choice. A driver that cannot says so with
    /// [`handle_remote_refused`](crate::worker::Worker::handle_remote_refused).
    Open {
        /// Which.
        socket: RemoteSocket,
        /// Whom it is connected to.
        remote: SocketAddr,
        /// Which of our addresses it is bound to, or the system's choice.
        source: Option<IpAddr>,
    },
    /// Close it. What waits in it nobody waits for. Nothing if it was refused.
    Close {
        /// Which.
        socket: RemoteSocket,
    },
}
