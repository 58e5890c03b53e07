//! A worker's ports to remote servers: which socket each is, in which order they are opened and closed, and what becomes of those who
//! wait at one that cannot be had.

use super::{Forwarding, Whose};
use crate::forward::{PortIndex, RemoteOrder, RemoteSocket};
use core::net::SocketAddr;

/// A place for a socket.
pub(super) struct Socket {
    pub(super) generation: u32,
    /// Whose port it is, while it is open.
    pub(super) port: Option<(u16, PortIndex)>,
    /// Whether somebody has been told to open it.
    pub(super) is_ordered: bool,
    /// Whom it is connected to.
    pub(super) remote: SocketAddr,
}

impl Forwarding {
    pub(super) fn open(&mut self, place: u16) {
        let Some(address) = self.remote(place).address else { return };
        let socket_place = match self.free_sockets.pop() {
            Some(place) => place,
            None => {
                let Ok(place) = u16::try_from(self.sockets.len()) else { return };
                self.sockets.push(Socket { generation: 0, port: None, is_ordered: false, remote: address });
                place
            }
        };
        let remote = &mut self.remotes[usize::from(place)];
        let port = remote.outstanding.add_port();
        let socket = &mut self.sockets[usize::from(socket_place)];
        (socket.port, socket.is_ordered, socket.remote) = (Some((place, port)), false, address);
        let name = RemoteSocket { place: socket_place, generation: socket.generation };
        if remote.sockets.len() <= usize::from(port.0) {
            remote.sockets.resize(usize::from(port.0) + 1, None);
        }
        remote.sockets[usize::from(port.0)] = Some(name);
        let source = remote.server.source_address;
        self.orders.push_back(RemoteOrder::Open { socket: name, remote: address, source });
    }

    pub(super) fn free(&mut self, name: RemoteSocket) {
        let socket = &mut self.sockets[usize::from(name.place)];
        socket.port = None;
        socket.generation = socket.generation.wrapping_add(1);
        self.free_sockets.push(name.place);
    }

    /// A socket could not be had. Hands out who waits at it.
    pub fn refuse(&mut self, name: RemoteSocket, orphan: impl FnMut(Whose)) {
        let Some((place, port)) = self.port_of(name) else { return };
        let remote = &mut self.remotes[usize::from(place)];
        remote.sockets[usize::from(port.0)] = None;
        remote.retired.retain(|retired| *retired != port);
        self.free(name);
        self.remove_port(place, port, orphan);
        self.note_due(place);
    }

    pub(super) fn remove_port(&mut self, place: u16, port: PortIndex, mut orphan: impl FnMut(Whose)) {
        let Forwarding { remotes, buffers, outstanding, .. } = self;
        remotes[usize::from(place)].outstanding.remove_port(port, |_, sent| {
            *outstanding -= sent.requests();
            buffers.give_back(sent.packet);
            orphan(sent.whose);
        });
    }

    pub(super) fn port_of(&self, name: RemoteSocket) -> Option<(u16, PortIndex)> {
        let socket = self.sockets.get(usize::from(name.place))?;
        socket.port.filter(|_| socket.generation == name.generation)
    }

    /// The next order about a socket.
    pub fn poll_order(&mut self) -> Option<RemoteOrder> {
        let order = self.orders.pop_front()?;
        if let RemoteOrder::Open { socket, .. } = order {
            self.sockets[usize::from(socket.place)].is_ordered = true;
        }
        // What is polled next looks at it again, in its order.
        while let Some(departure) = self.early.pop_back() {
            self.line.push_front(departure);
        }
        Some(order)
    }
}
