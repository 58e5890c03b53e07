//! A worker's remote servers: which it knows through reloads, its sockets to them, and packets on their way there.
//!
//! Knows neither requests nor policy: what is sent belongs to a ticket, or to nobody if it only asks whether a server lives.

use super::onward::KeptServer;
use crate::configuration::Configuration;
use crate::deadlines::Deadlines;
use crate::effect::Ticket;
use crate::forward::{
    Balancer, Health, OnDead, Outstanding, Pool, PoolId, PortIndex, RemoteOrder, RemoteServer, RemoteServerId,
    RemoteSocket, Slot, Standing, StatusCheck,
};
use crate::generation::Generation;
use crate::life::Life;
use crate::path::Transmit;
use crate::request::buffer::{BufferPool, Packet};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// All that a worker knows of remote servers.
pub struct Forwarding {
    remotes: Vec<Remote>,
    /// Of each configuration that is alive, the older first.
    routes: Vec<Routes>,
    sockets: Vec<Socket>,
    free_sockets: Vec<u16>,
    orders: VecDeque<RemoteOrder>,
    /// What is to be sent, in order.
    line: VecDeque<Departure>,
    buffers: BufferPool,
    /// By the place of a remote server: when it has to be looked after.
    due: Deadlines,
}

/// A remote server, and what this worker has with it.
pub struct Remote {
    /// As the newest configuration that has it says.
    pub server: RemoteServer,
    /// Tells it from those that had its place before.
    turn: u32,
    outstanding: Outstanding<Sent>,
    /// By port.
    sockets: Vec<Option<RemoteSocket>>,
    /// Its number in each configuration that is alive, by parity.
    numbers: [Option<RemoteServerId>; 2],
}

/// A packet that waits for its reply.
pub struct Sent {
    /// Who waits.
    pub whose: Whose,
    packet: Box<Packet>,
}

/// Who waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The request that waits under this ticket.
    Request(Ticket),
    /// Nobody: whether there is one is all that is asked.
    Probe,
}

/// Where numbers of one configuration lead.
struct Routes {
    generation: Generation,
    /// By the number of a remote server: its place here.
    places: Vec<u16>,
    /// By the number of a pool.
    balancers: Vec<Balancer>,
}

/// A place for a socket.
struct Socket {
    generation: u32,
    /// Whose port it is, while it is open.
    port: Option<(u16, PortIndex)>,
}

/// A packet in line.
struct Departure {
    place: u16,
    turn: u32,
    slot: Slot,
}

impl Remote {
    /// What all workers know of it.
    pub fn health(&self) -> &Health {
        &self.server.health
    }

    /// Its number in a configuration, if that has it.
    pub fn number(&self, generation: Generation) -> Option<RemoteServerId> {
        self.numbers[generation.parity()]
    }
}

impl Forwarding {
    /// Of the remote servers of a configuration; at most `bound` packets wait there for replies at once.
    pub fn new(life: Life, (generation, configuration): (Generation, &Configuration), bound: usize) -> Forwarding {
        let mut forwarding = Forwarding {
            remotes: Vec::new(),
            routes: Vec::with_capacity(2),
            sockets: Vec::new(),
            free_sockets: Vec::new(),
            orders: VecDeque::new(),
            line: VecDeque::new(),
            buffers: BufferPool::new(life, bound, 0, 0),
            due: Deadlines::new(0),
        };
        forwarding.learn(generation, configuration);
        forwarding
    }

    /// Takes the remote servers of a configuration beside those of the one before it. What is known of one that is in both is
    /// kept.
    pub fn learn(&mut self, generation: Generation, configuration: &Configuration) {
        let mut places = Vec::with_capacity(configuration.remote_servers.len());
        for (number, server) in (0..=u16::MAX).zip(&configuration.remote_servers) {
            let known = self.remotes.iter().position(|remote| remote.is_in_any() && remote.server.is_same(server));
            let place = known.unwrap_or_else(|| self.make_room(server));
            let remote = &mut self.remotes[place];
            remote.server = server.clone();
            remote.outstanding.set_bound(server.outstanding_max as usize);
            remote.numbers[generation.parity()] = Some(RemoteServerId(number));
            places.push(place as u16);
        }
        let balancers = configuration.pools.iter().map(Balancer::new).collect();
        self.routes.push(Routes { generation, places, balancers });
        if self.due.bound() < self.remotes.len() {
            self.due = Deadlines::new(self.remotes.len());
            (0..self.remotes.len()).for_each(|place| self.note_due(place as u16));
        }
    }

    /// A place for a server that is new.
    fn make_room(&mut self, server: &RemoteServer) -> usize {
        let free = self.remotes.iter().position(|remote| !remote.is_in_any());
        let turn = free.map_or(0, |free| self.remotes[free].turn.wrapping_add(1));
        let remote = Remote {
            server: server.clone(),
            turn,
            outstanding: Outstanding::new(server.outstanding_max as usize),
            sockets: Vec::new(),
            numbers: [None; 2],
        };
        match free {
            Some(free) => self.remotes[free] = remote,
            None => self.remotes.push(remote),
        }
        free.unwrap_or(self.remotes.len() - 1)
    }

    /// Forgets the older of two configurations, and servers that only it had. No request that came under it is under way.
    pub fn forget_older(&mut self) {
        let older = self.routes.remove(0);
        for place in 0..self.remotes.len() {
            let remote = &mut self.remotes[place];
            remote.numbers[older.generation.parity()] = None;
            if remote.is_in_any() {
                continue;
            }
            while let Some(sent) = remote.outstanding.take_any() {
                self.buffers.give_back(sent.packet);
            }
            for socket in core::mem::take(&mut remote.sockets).into_iter().flatten() {
                self.close(socket);
            }
            self.note_due(place as u16);
        }
    }

    /// The server at a place.
    pub fn remote(&self, place: u16) -> &Remote {
        &self.remotes[usize::from(place)]
    }

    /// A server of a pool for a new request, as its balance says, beside the one that it cannot be.
    pub fn choose(
        &mut self,
        generation: Generation,
        (id, pool): (PoolId, &Pool),
        key: impl FnOnce() -> u64,
        but: Option<KeptServer>,
        now: Instant,
    ) -> Option<KeptServer> {
        let Forwarding { remotes, routes, .. } = self;
        let Routes { places, balancers, .. } =
            routes.iter_mut().find(|routes| routes.generation == generation).expect("it is alive");
        let remote = |server: RemoteServerId| &remotes[usize::from(places[usize::from(server.0)])];
        let standing = |server: RemoteServerId| {
            let remote = remote(server);
            let is_that = but.is_some_and(|but| places[usize::from(server.0)] == but.place && remote.turn == but.turn);
            if is_that { Standing::Dead } else { remote.health().standing(&remote.server, now) }
        };
        let outstanding = |server: RemoteServerId| remote(server).outstanding.len();
        let chosen = pool.choose(&mut balancers[usize::from(id.0)], standing, outstanding, key)?;
        let place = places[usize::from(chosen.0)];
        Some(KeptServer { place, turn: remotes[usize::from(place)].turn, on_dead: pool.on_dead })
    }

    /// Whether requests of this configuration can go to a server that has a conversation.
    pub fn is_alive(&self, server: KeptServer, generation: Generation, now: Instant) -> bool {
        let remote = self.remote(server.place);
        remote.turn == server.turn
            && remote.number(generation).is_some()
            && remote.health().standing(&remote.server, now) != Standing::Dead
    }

    /// An Identifier for one more packet to this server; `None` if as many as may wait, or no socket can be had.
    pub fn take(&mut self, place: u16, now: Instant) -> Option<Slot> {
        let remote = &mut self.remotes[usize::from(place)];
        if remote.outstanding.wants_port() {
            self.open(place);
        }
        self.remotes[usize::from(place)].outstanding.take(now)
    }

    fn open(&mut self, place: u16) {
        let socket_place = match self.free_sockets.pop() {
            Some(place) => place,
            None => {
                let Ok(place) = u16::try_from(self.sockets.len()) else { return };
                self.sockets.push(Socket { generation: 0, port: None });
                place
            }
        };
        let remote = &mut self.remotes[usize::from(place)];
        let port = remote.outstanding.add_port();
        let socket = &mut self.sockets[usize::from(socket_place)];
        socket.port = Some((place, port));
        let name = RemoteSocket { place: socket_place, generation: socket.generation };
        if remote.sockets.len() <= port.index() {
            remote.sockets.resize(port.index() + 1, None);
        }
        remote.sockets[port.index()] = Some(name);
        let RemoteServer { address, source_address, .. } = remote.server;
        self.orders.push_back(RemoteOrder::Open { socket: name, remote: address, source: source_address });
    }

    fn close(&mut self, name: RemoteSocket) {
        self.orders.push_back(RemoteOrder::Close { socket: name });
        self.free(name);
    }

    fn free(&mut self, name: RemoteSocket) {
        let socket = &mut self.sockets[usize::from(name.place)];
        socket.port = None;
        socket.generation = socket.generation.wrapping_add(1);
        self.free_sockets.push(name.place);
    }

    /// A socket could not be had: one after the other, who waits at it. Until `None`.
    pub fn refuse(&mut self, name: RemoteSocket) -> Option<Whose> {
        let (place, port) = self.port_of(name)?;
        let remote = &mut self.remotes[usize::from(place)];
        if let Some(sent) = remote.outstanding.take_any_at(port) {
            self.buffers.give_back(sent.packet);
            return Some(sent.whose);
        }
        remote.outstanding.remove_port(port);
        remote.sockets[port.index()] = None;
        self.free(name);
        None
    }

    fn port_of(&self, name: RemoteSocket) -> Option<(u16, PortIndex)> {
        let socket = self.sockets.get(usize::from(name.place))?;
        socket.port.filter(|_| socket.generation == name.generation)
    }

    /// A packet goes to a server under the Identifier that was taken for it. False where there is no buffer for it.
    pub fn send(&mut self, place: u16, slot: Slot, whose: Whose, octets: &[u8], now: Instant) -> bool {
        let remote = &mut self.remotes[usize::from(place)];
        let Some(mut packet) = self.buffers.take(octets.len()) else {
            remote.outstanding.give_back(slot);
            return false;
        };
        packet.set_octets(octets);
        remote.outstanding.put(slot, Sent { whose, packet }, now);
        remote.server.health.note_sent(now);
        self.line.push_back(Departure { place, turn: remote.turn, slot });
        self.note_due(place);
        true
    }

    /// The same octets once more, from the same port.
    pub fn send_again(&mut self, place: u16, slot: Slot) {
        let turn = self.remote(place).turn;
        self.line.push_back(Departure { place, turn, slot });
    }

    /// The next packet to be sent, into an empty buffer.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(Departure { place, turn, slot }) = self.line.pop_front() {
            let remote = &self.remotes[usize::from(place)];
            if remote.turn != turn {
                continue;
            }
            let socket = remote.sockets.get(slot.port.index()).copied().flatten();
            // What has been answered, or given up, since it was put in line is not sent.
            let (Some(sent), Some(socket)) = (remote.outstanding.waiting(slot), socket) else { continue };
            out.extend_from_slice(sent.packet.octets());
            return Some(Transmit { via: socket.via(), source: None, destination: remote.server.address });
        }
        None
    }

    /// The next order about a socket.
    pub fn poll_order(&mut self) -> Option<RemoteOrder> {
        self.orders.pop_front()
    }

    /// Whether there is anything to be polled.
    pub fn has_output(&self) -> bool {
        !self.orders.is_empty() || !self.line.is_empty()
    }

    fn note_due(&mut self, place: u16) {
        match self.remotes[usize::from(place)].next_deadline() {
            Some(due) => self.due.set(place.into(), due),
            None => self.due.remove(place.into()),
        }
    }
}
