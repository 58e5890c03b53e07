//! Connections that are to have a socket of their own: when the driver opens one, and when it closes it.
//!
//! Only receiving, and word from the network that a client cannot be reached, is what such a socket is for: replies leave as all
//! do. A packet's path is always that of its real addresses, whichever socket it was read from, so that nothing here decides
//! whose a packet is, and a connection works alike before its socket is there, without one, and after.

use super::Network;
use crate::event::Event;
use crate::path::Path;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// A connection's socket, as core and driver name it: the connection's place, and which of all that this core asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSocket {
    /// Small, and used again when its connection has ended.
    pub place: u32,
    /// Never the same for two of one place.
    pub generation: u32,
}

/// What the driver is asked to do about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOrder {
    /// Open it, unless there are as many in the whole process as there may be; a driver that does not says so with
    /// [`handle_socket_refused`](Network::handle_socket_refused).
    Open {
        /// Which.
        socket: OwnSocket,
        /// The way of its connection: from where to where, and through which listening socket its replies leave.
        path: Path,
        /// How many there may be in the whole process.
        at_most: u32,
    },
    /// Close it, when all that waits in it has been handed in. Nothing if it was refused.
    Close {
        /// Which.
        socket: OwnSocket,
    },
}

/// Orders that the driver has not polled yet. There are never more than two for each connection that there may be.
#[derive(Default)]
pub(super) struct Orders {
    line: VecDeque<SocketOrder>,
    generation: u32,
}

impl Network {
    /// The next order about a socket of a connection.
    pub fn poll_socket(&mut self) -> Option<SocketOrder> {
        self.orders.line.pop_front()
    }

    pub(super) fn has_socket_orders(&self) -> bool {
        !self.orders.line.is_empty()
    }

    /// A socket could not be had: its connection goes on without, as if nobody had asked for one.
    pub fn handle_socket_refused(&mut self, socket: OwnSocket) {
        if let Some(connection) = self.connections.get(socket.place)
            && connection.own_socket == Some(socket)
        {
            connection.own_socket = None;
        }
    }

    /// The network says that what was sent along this path did not arrive. Anybody can forge that: it is counted for the
    /// client, and nothing follows from it.
    pub fn handle_unreachable(&mut self, path: Path, now: Instant) {
        self.counters.unreachable.up();
        let Some(place) = self.connections.find(&path) else { return };
        let connection = self.connections.at(place);
        let times = connection.client().count_unreachable();
        // Told of ever more rarely, or a forger could fill a disk.
        if times.is_power_of_two() {
            let client = connection.client().name();
            self.tell(Event::Unreachable { at: now, remote: path.remote, client, times });
        }
    }

    /// A connection has come, or changed hands: it has a socket of its own if it is to have one. One that it has it keeps,
    /// as both ends are the same.
    pub(super) fn order_socket(&mut self, place: u32, path: &Path) {
        let by_listener = self.configuration.listeners[usize::from(path.listener.0)].connected;
        let connection = self.connections.at(place);
        let is_to_have_one = connection.client().is_connected(by_listener);
        match connection.own_socket {
            Some(socket) if !is_to_have_one => {
                connection.own_socket = None;
                self.orders.line.push_back(SocketOrder::Close { socket });
            }
            None if is_to_have_one => {
                self.orders.generation = self.orders.generation.wrapping_add(1);
                let socket = OwnSocket { place, generation: self.orders.generation };
                connection.own_socket = Some(socket);
                let at_most = self.configuration.client_rules.connected_sockets_max;
                self.orders.line.push_back(SocketOrder::Open { socket, path: *path, at_most });
            }
            Some(_) | None => {}
        }
    }

    /// A connection has ended that had this socket, if it had one.
    pub(super) fn order_close(&mut self, socket: Option<OwnSocket>) {
        self.orders.line.extend(socket.map(|socket| SocketOrder::Close { socket }));
    }
}
