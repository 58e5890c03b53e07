//! A worker's sockets to remote servers: opened and closed as core orders, read in batches, and sent through in batches.
//!
//! Decides nothing. Each is connected to its server, so that the kernel hands in nothing from anyone else, and spares the look-up
//! of the route. What the network says about packets that did not arrive is counted and believed by nobody: anyone can forge it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use ulna_core::cores::Cores;
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::path::SocketId;

use crate::counters::ThreadCounters;
use crate::mmsg::{Outlet, ReceiveBatch, SendBatch};
use crate::sockets::connect_udp;
use crate::system_calls::SystemCalls;

/// Sockets read in one turn, at most; as many as events are taken at once.
pub(crate) const READ_EACH_TURN: usize = 64;
/// Sockets opened or closed in one turn, at most: each takes the kernel some 10 to 20 µs.
const ORDERS_EACH_TURN: usize = 32;
/// Behind those of connections' own sockets, which are numbered with 32 bits.
const FIRST_TOKEN: usize = 1 << 33;

/// The sockets of one worker.
pub(crate) struct RemoteSockets {
    /// By the place that core gave them.
    places: Vec<Option<Remote>>,
    /// Places of sockets that may have something to read.
    ready: VecDeque<u16>,
    receive_octets: usize,
    counters: Arc<ThreadCounters>,
}

struct Remote {
    name: RemoteSocket,
    socket: UdpSocket,
    is_ready: bool,
}

impl RemoteSockets {
    /// None so far. Each asks for a receive buffer of so many octets.
    pub fn new(receive_octets: usize, counters: &Arc<ThreadCounters>) -> Self {
        RemoteSockets {
            places: Vec::new(),
            ready: VecDeque::new(),
            receive_octets,
            counters: Arc::clone(counters),
        }
    }

    /// Opens and closes what core has ordered, a bounded number in each turn.
    pub fn obey(&mut self, cores: &mut Cores, registry: &Registry, now: ulna_core::Instant) {
        for _ in 0..ORDERS_EACH_TURN {
            match cores.poll_remote_order() {
                Some(RemoteOrder::Open { socket, remote, source }) => {
                    let opened = connect_udp(source, remote, self.receive_octets)
                        .and_then(|bound| self.keep(socket, bound.socket, registry));
                    if opened.is_err() {
                        self.counters.remote_refused.up();
                        cores.handle_remote_refused(socket, now);
                    }
                }
                Some(RemoteOrder::Close { socket }) => self.close(socket, registry),
                None => return,
            }
        }
    }

    fn keep(
        &mut self,
        name: RemoteSocket,
        mut socket: UdpSocket,
        registry: &Registry,
    ) -> std::io::Result<()> {
        registry.register(&mut socket, Token(FIRST_TOKEN + usize::from(name.place)), Interest::READABLE)?;
        let place = usize::from(name.place);
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
            self.ready.reserve(self.places.len());
        }
        self.places[place] = Some(Remote { name, socket, is_ready: false });
        self.counters.remote_opened.up();
        Ok(())
    }

    fn close(&mut self, name: RemoteSocket, registry: &Registry) {
        let remote = self.places.get_mut(usize::from(name.place));
        if let Some(mut remote) = remote.and_then(|remote| remote.take_if(|remote| remote.name == name)) {
            // It only fails for what is not registered; then there is nothing to be undone.
            let _ = registry.deregister(&mut remote.socket);
            self.counters.remote_closed.up();
        }
    }

    /// Closes all: the worker that ordered them is no more.
    pub fn close_all(&mut self, registry: &Registry) {
        for place in 0..self.places.len() {
            if let Some(name) = self.places[place].as_ref().map(|remote| remote.name) {
                self.close(name, registry);
            }
        }
    }

    /// Readiness was reported under this token; false if it is of none of these.
    pub fn note_ready(&mut self, token: Token) -> bool {
        let place = token.0.checked_sub(FIRST_TOKEN).and_then(|place| u16::try_from(place).ok());
        let Some(place) = place else { return false };
        self.set_ready(place);
        true
    }

    fn set_ready(&mut self, place: u16) {
        if let Some(Some(remote)) = self.places.get_mut(usize::from(place))
            && !std::mem::replace(&mut remote.is_ready, true)
        {
            self.ready.push_back(place);
        }
    }

    /// Whether one may have something to read.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many places are in line to be read.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Reads one batch of the socket that has waited longest: which it is. `None` when none waits.
    pub fn read_next(&mut self, receive: &mut ReceiveBatch, calls: &mut SystemCalls) -> Option<RemoteSocket> {
        while let Some(place) = self.ready.pop_front() {
            let Some(Some(remote)) = self.places.get_mut(usize::from(place)) else { continue };
            if !std::mem::take(&mut remote.is_ready) {
                continue;
            }
            let before = receive.unreachable_reports();
            let received = receive.receive(&remote.socket, calls);
            self.counters.remote_unreachable.add(receive.unreachable_reports() - before);
            let name = remote.name;
            // A short batch has emptied it: readiness is reported again when something comes. What is refused for want of memory is
            // tried again.
            let is_empty = received.as_ref().is_ok_and(|received| *received < receive.capacity());
            if received.is_err() {
                self.counters.receive_failed.up();
            }
            if !is_empty {
                self.set_ready(place);
            }
            return Some(name);
        }
        None
    }

    /// Sends all that the worker has for remote servers.
    pub fn transmit(&self, cores: &mut Cores, send: &mut SendBatch, calls: &mut SystemCalls) {
        loop {
            let polled = cores.poll_forward(send.slot());
            if let Some(transmit) = polled {
                send.push(transmit);
            }
            if send.is_full() || (polled.is_none() && !send.is_empty()) {
                let outcome = send.flush(|via| self.outlet(via), calls);
                self.counters.note_sent(&outcome);
            }
            if polled.is_none() {
                return;
            }
        }
    }

    fn outlet(&self, via: SocketId) -> Option<Outlet<'_>> {
        let remote = self.places.get(usize::from(via.0))?.as_ref()?;
        Some(Outlet::Connected(remote.socket.as_fd()))
    }
}
