//! A worker's remote servers: which it knows through reloads, its sockets to them, and packets on their way there.
//!
//! Knows neither requests nor policy: what is sent belongs to a ticket, or to nobody if it only asks whether a server lives.

mod addresses;
mod idle;
mod ports;
mod remote;

use self::ports::Socket;

pub use self::addresses::Said;
pub use self::remote::{Remote, Sent, Whose};

use super::onward::KeptServer;
use crate::attributes::Scratch;
use crate::configuration::Configuration;
use crate::deadlines::Deadlines;
use crate::dedup::Authenticator;
use crate::dictionary::Dictionary;
use crate::forward::{
    Balancer, Entry, OnDead, Outstanding, OwnProxyState, Pool, PoolId, ProxyStateKey, Purpose, RemoteAddress,
    RemoteOrder, RemoteServer, RemoteServerId, RemoteSocket, Servers, Slot, Standing,
};
use crate::generation::Generation;
use crate::life::Life;
use crate::packet::Attributes;
use crate::path::Transmit;
use crate::request::buffer::{BufferPool, Packet};
use crate::seed::{KeyedHash, Seed};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use rand_chacha::rand_core::Rng;

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
    /// What was in line for a socket whose order nobody has had yet.
    early: VecDeque<Departure>,
    buffers: BufferPool,
    /// By the place of a remote server: when it has to be looked after.
    due: Deadlines,
    /// What is new of servers, and nobody has been told yet.
    changes: VecDeque<(u16, News)>,
    proxy_states: ProxyStateKey,
    /// Keys of requests are hashed with it, by all workers alike.
    hash: KeyedHash,
    /// The time of the last input.
    now: Instant,
    /// Names what is outstanding in its Proxy-State.
    nonce: u64,
    /// How many requests wait, at all servers.
    outstanding: usize,
}

/// What is new of a remote server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is to be treated so.
    Standing(Standing),
    /// It is there.
    Address(SocketAddr),
    /// Nobody can say where it is.
    Unresolved,
}

impl News {
    /// What is new of the server at a place, if its standing has changed.
    fn of(place: u16, changed: Option<Standing>) -> Option<(u16, News)> {
        changed.map(|standing| (place, News::Standing(standing)))
    }
}

/// What is to be done about a server, at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is asked whether it lives.
    Probe(u16),
    /// It is asked where it is.
    Resolve(u16),
}

/// Where numbers of one configuration lead.
struct Routes {
    generation: Generation,
    /// By the number of a remote server: its place here.
    places: Vec<u16>,
    /// By the number of a pool.
    balancers: Vec<Balancer>,
}

/// A packet in line.
struct Departure {
    place: u16,
    turn: u32,
    slot: Slot,
}

/// The remote servers of one configuration, as they are now.
struct Known<'f> {
    remotes: &'f [Remote],
    places: &'f [u16],
    now: Instant,
}

impl Known<'_> {
    fn remote(&self, server: RemoteServerId) -> &Remote {
        &self.remotes[usize::from(self.places[usize::from(server.0)])]
    }
}

impl Servers for Known<'_> {
    fn standing(&self, server: RemoteServerId) -> Standing {
        self.remote(server).standing(self.now)
    }

    fn claim_trial(&self, server: RemoteServerId) -> bool {
        let RemoteServer { health, .. } = &self.remote(server).server;
        health.claim_trial(&self.remote(server).server.judgement(), self.now)
    }

    fn outstanding(&self, server: RemoteServerId) -> u32 {
        self.remote(server).outstanding.len() as u32
    }

    fn name(&self, server: RemoteServerId) -> &str {
        &self.remote(server).server.name
    }
}

impl Forwarding {
    /// Of the remote servers of a configuration; at most `bound` packets wait there for replies at once.
    pub fn new(
        life: Life,
        (generation, configuration): (Generation, &Configuration),
        bound: usize,
        node_key: &Seed,
        seed: &Seed,
    ) -> Forwarding {
        let mut forwarding = Forwarding {
            remotes: Vec::new(),
            routes: Vec::with_capacity(2),
            sockets: Vec::new(),
            free_sockets: Vec::new(),
            orders: VecDeque::new(),
            line: VecDeque::new(),
            early: VecDeque::new(),
            buffers: BufferPool::new(life, bound, 0, 0),
            due: Deadlines::new(0),
            changes: VecDeque::new(),
            proxy_states: ProxyStateKey::new(node_key),
            hash: node_key.fork("balance by hash").hasher(),
            now: Instant::ORIGIN,
            nonce: seed.fork("names of what is outstanding").generator().next_u64(),
            outstanding: 0,
        };
        forwarding.learn(generation, configuration);
        forwarding
    }

    /// Takes the remote servers of a configuration beside those of the one before it. What is known of one that is in both is
    /// kept.
    pub fn learn(&mut self, generation: Generation, configuration: &Configuration) {
        let quarantine = configuration.protocol.request_timeout;
        let mut places = Vec::new();
        let (mut by_name, mut free): (Vec<usize>, Vec<usize>) =
            (0..self.remotes.len()).partition(|place| self.remotes[*place].is_in_any());
        // The first of them is taken first.
        free.reverse();
        by_name.sort_unstable_by(|one, other| {
            self.remotes[*one].server.name.cmp(&self.remotes[*other].server.name)
        });
        for (number, server) in (0..=u16::MAX).zip(configuration.hops()) {
            let name = |place: &usize| &self.remotes[*place].server.name;
            let first = by_name.partition_point(|place| *name(place) < server.name);
            let mut named = by_name[first..].iter().take_while(|place| *name(place) == server.name);
            let known = named.find(|place| self.remotes[**place].server.is_same(server)).copied();
            let place = known.unwrap_or_else(|| self.make_room(server, quarantine, free.pop()));
            let remote = &mut self.remotes[place];
            remote.server = server.clone();
            remote.outstanding.set_limits(server.outstanding_max, quarantine);
            remote.version = 0;
            remote.numbers[generation.parity()] = Some(RemoteServerId(number));
            places.push(place as u16);
        }
        let balancers = configuration.pools.iter().map(|pool| Balancer::new(pool, self.hash.clone()));
        let balancers = balancers.collect();
        self.routes.push(Routes { generation, places, balancers });
        if self.due.bound() < self.remotes.len() {
            self.due = Deadlines::new(self.remotes.len());
        }
        (0..self.remotes.len()).for_each(|place| self.note_due(place as u16));
    }

    /// A place for a server that is new: that of one that is gone, if there is one.
    fn make_room(&mut self, server: &RemoteServer, quarantine: Duration, free: Option<usize>) -> usize {
        let turn = free.map_or(0, |free| self.remotes[free].turn.wrapping_add(1));
        let remote = Remote {
            server: server.clone(),
            turn,
            outstanding: Outstanding::new(server.outstanding_max, quarantine),
            sockets: Vec::new(),
            address: match server.address {
                RemoteAddress::At(address) => Some(address),
                RemoteAddress::Named { .. } => None,
            },
            version: 0,
            retired: Vec::new(),
            retired_due: None,
            idle_due: None,
            numbers: [None; 2],
        };
        match free {
            Some(free) => self.remotes[free] = remote,
            None => self.remotes.push(remote),
        }
        free.unwrap_or(self.remotes.len() - 1)
    }

    /// Forgets the older of two configurations, and servers that only it had. No request that came under it is under way; records
    /// of the spool may be, and are handed out.
    pub fn forget_older(&mut self, mut orphan: impl FnMut(Whose)) {
        let older = self.routes.remove(0);
        for place in 0..self.remotes.len() {
            let remote = &mut self.remotes[place];
            remote.numbers[older.generation.parity()] = None;
            if remote.is_in_any() {
                continue;
            }
            (remote.retired, remote.retired_due, remote.idle_due) = (Vec::new(), None, None);
            for socket in core::mem::take(&mut remote.sockets).into_iter().flatten() {
                let (_, port) = self.port_of(socket).expect("it is open");
                self.remove_port(place as u16, port, &mut orphan);
                self.orders.push_back(RemoteOrder::Close { socket });
                self.free(socket);
            }
            self.note_due(place as u16);
        }
    }

    /// Those at places from this one on, at most so many, that some configuration has; and how each stands.
    pub fn shown(&self, begin: usize, most: usize) -> impl Iterator<Item = (&Remote, Standing)> {
        let remotes = self.remotes.iter().skip(begin).take(most).filter(|remote| remote.is_in_any());
        remotes.map(|remote| (remote, remote.standing(self.now)))
    }

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> usize {
        self.remotes.len()
    }

    /// A server as it is kept of a conversation, if it is still there.
    pub fn kept(&self, server: KeptServer) -> Option<&Remote> {
        self.remotes.get(usize::from(server.place)).filter(|remote| remote.turn == server.turn)
    }

    /// The server at a place.
    pub fn remote(&self, place: u16) -> &Remote {
        &self.remotes[usize::from(place)]
    }

    /// A server of a pool for a new request, as its balance says; `None`: none lives.
    pub fn choose(
        &mut self,
        generation: Generation,
        (id, pool): (PoolId, &Pool),
        dictionary: &Dictionary,
        attributes: Attributes<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Option<KeptServer> {
        self.now = now;
        self.hear_of(generation, pool);
        let Forwarding { remotes, routes, due, .. } = self;
        let Routes { places, balancers, .. } =
            routes.iter_mut().find(|routes| routes.generation == generation).expect("it is alive");
        // Who has to be asked whether it lives may have been another worker's, which is gone.
        for member in &pool.members {
            let place = places[usize::from(member.server.0)];
            let remote = &remotes[usize::from(place)];
            if remote.standing(now) != Standing::Alive
                && due.of(place.into()).is_none()
                && let Some(next) = remote.next_deadline(now)
            {
                due.set(place.into(), next);
            }
        }
        let balancer = &mut balancers[usize::from(id.0)];
        let key = |balancer: &Balancer| balancer.key(dictionary, &pool.hash_by, attributes, scratch);
        let chosen = balancer.choose(pool, key, &[], &Known { remotes, places, now })?;
        let place = places[usize::from(chosen.0)];
        Some(KeptServer { place, turn: remotes[usize::from(place)].turn, on_dead: pool.on_dead })
    }

    /// What has this number in a configuration.
    pub fn hop(&self, generation: Generation, hop: RemoteServerId) -> KeptServer {
        let routes = self.routes.iter().find(|routes| routes.generation == generation).expect("it is alive");
        let place = routes.places[usize::from(hop.0)];
        KeptServer { place, turn: self.remote(place).turn, on_dead: OnDead::Fail }
    }

    /// Whether requests of this configuration can go to a server that has a conversation.
    pub fn is_alive(&self, server: KeptServer, generation: Generation, now: Instant) -> bool {
        let remote = self.remote(server.place);
        remote.turn == server.turn
            && remote.number(generation).is_some()
            && remote.standing(now) != Standing::Dead
    }

    /// Whether there is nothing to be said against a server that has had something: it is in this configuration, and alive.
    pub fn is_well(&self, server: KeptServer, generation: Generation, now: Instant) -> bool {
        self.is_alive(server, generation, now) && self.remote(server.place).standing(now) == Standing::Alive
    }

    /// An Identifier for one more packet to this server; `None` if as many as may wait, or no socket can be had.
    pub fn take(&mut self, place: u16, purpose: Purpose, now: Instant) -> Option<Slot> {
        self.now = now;
        self.hear(place);
        if self.remote(place).outstanding.needs_port() {
            self.open(place);
        }
        self.remotes[usize::from(place)].outstanding.take(purpose, now)
    }

    /// Nothing was sent under it after all.
    pub fn give_back(&mut self, place: u16, slot: Slot) {
        self.remotes[usize::from(place)].outstanding.give_back(slot);
    }

    /// A copy of a packet, to be sent; `None` if as many wait as may.
    pub fn copied(&mut self, octets: &[u8]) -> Option<Box<Packet>> {
        let mut packet = self.buffers.take(octets.len())?;
        packet.set_octets(octets);
        Some(packet)
    }

    /// A packet goes to a server under the Identifier that was taken for it. Whoever waits does so until then.
    pub fn send(
        &mut self,
        place: u16,
        slot: Slot,
        whose: Whose,
        packet: Box<Packet>,
        (until, now): (Instant, Instant),
    ) {
        self.now = now;
        let remote = &mut self.remotes[usize::from(place)];
        let authenticator = authenticator_of(&packet);
        let sent = Sent { whose, packet };
        self.outstanding += sent.requests();
        remote.outstanding.put(slot, sent, authenticator, until + MARGIN, now);
        self.line.push_back(Departure { place, turn: remote.turn, slot });
        self.note_used(place);
        self.note_due(place);
    }

    /// The same octets once more, from the same port.
    pub fn send_again(&mut self, KeptServer { place, turn, .. }: KeptServer, slot: Slot) {
        self.line.push_back(Departure { place, turn, slot });
    }

    /// What a datagram by this socket with this Identifier would be the reply to; also of what nobody waits for any more.
    pub fn find(&self, socket: RemoteSocket, identifier: u8) -> Option<(u16, Slot, &Entry<Sent>)> {
        let (place, mut port) = self.port_of(socket)?;
        if seeded::is(Bug::ReplyMatchedByIdentifierOnly) {
            let waiting = self.remote(place).outstanding.iter().map(|(slot, _)| slot);
            port = waiting.filter(|slot| slot.identifier == identifier).map(|slot| slot.port).next()?;
        }
        let entry = self.remote(place).outstanding.get(port, identifier)?;
        Some((place, Slot { port, identifier }, entry))
    }

    /// A verified reply has come: who waits for it, if anybody still does.
    pub fn finish(&mut self, place: u16, slot: Slot, now: Instant) -> Option<Whose> {
        self.now = now;
        self.note_sign_of_life(place, slot, now);
        let remote = &mut self.remotes[usize::from(place)];
        let sent = remote.outstanding.finish(slot);
        self.note_due(place);
        let sent = sent?;
        self.outstanding -= sent.requests();
        self.buffers.give_back(sent.packet);
        Some(sent.whose)
    }

    /// Something verified has come from a server.
    pub fn note_sign_of_life(&mut self, place: u16, slot: Slot, now: Instant) {
        // Who is where it was before says nothing about who is where it is now.
        if self.is_there(place, slot) {
            let server = &self.remote(place).server;
            let changed = server.health.note_reply(&server.judgement(), now);
            self.changes.extend(News::of(place, changed));
        }
    }

    /// Nobody waits any longer. The Identifier is not used again as long as its reply may come.
    pub fn give_up(&mut self, server: KeptServer, slot: Slot, whose: Whose, now: Instant) {
        self.now = now;
        let remote = &mut self.remotes[usize::from(server.place)];
        let waits = remote.outstanding.waiting(slot);
        if remote.turn == server.turn && waits.is_some_and(|sent| sent.whose == whose) {
            let sent = remote.outstanding.give_up(slot, now);
            self.outstanding -= sent.requests();
            self.buffers.give_back(sent.packet);
            self.note_due(server.place);
        }
    }

    /// Looks after the servers that it is time for. What is to be done about one, until `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        self.now = now;
        while let Some((_, place)) = self.due.next().filter(|(due, _)| *due <= now) {
            self.hear(place as u16);
            self.retire_idle(place as u16);
            self.close_retired(place as u16);
            let Forwarding { remotes, buffers, outstanding, changes, .. } = self;
            let Remote { server, outstanding: sent, retired, .. } = &mut remotes[place as usize];
            let judgement = server.judgement();
            while let Some((slot, sent_at)) = sent.take_unanswered(server.response_window, now) {
                if !retired.contains(&slot.port) {
                    let changed = server.health.note_no_answer(&judgement, sent_at, now);
                    changes.extend(News::of(place as u16, changed));
                }
                if sent.waiting(slot).is_some_and(|waits| waits.whose == Whose::Probe) {
                    buffers.give_back(sent.give_up(slot, now).packet);
                }
            }
            while let Some((_, overdue)) = sent.take_overdue(now) {
                *outstanding -= overdue.requests();
                buffers.give_back(overdue.packet);
            }
            let changed = server.health.handle_timeout(&judgement, now);
            changes.extend(News::of(place as u16, changed));
            let is_resolved = self.claim_resolution(place as u16);
            let Remote { server, .. } = &self.remotes[place as usize];
            let is_asked = !is_resolved && server.health.claim_probe(&judgement, now);
            self.note_due(place as u16);
            if is_resolved {
                return Some(Due::Resolve(place as u16));
            }
            if is_asked {
                return Some(Due::Probe(place as u16));
            }
        }
        None
    }

    /// When it is time for the next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.next().map(|(due, _)| due)
    }

    /// What is new of a server, under its number in the newest configuration that has it.
    pub fn poll_change(&mut self) -> Option<(Generation, RemoteServerId, News)> {
        loop {
            let (place, news) = self.changes.pop_front()?;
            let mut generations = self.routes.iter().rev().map(|routes| routes.generation);
            let number =
                generations.find_map(|generation| Some((generation, self.remote(place).number(generation)?)));
            if let Some((generation, number)) = number {
                return Some((generation, number, news));
            }
        }
    }

    /// What makes Proxy-States ours.
    pub fn proxy_states(&self) -> &ProxyStateKey {
        &self.proxy_states
    }

    /// One that names the next packet.
    pub fn next_proxy_state(&mut self) -> OwnProxyState {
        self.nonce = self.nonce.wrapping_add(1);
        OwnProxyState::new(&self.proxy_states, self.nonce)
    }

    /// How many packets wait for replies.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The number of a server in a configuration, if that has it.
    pub fn number(&self, server: KeptServer, generation: Generation) -> Option<RemoteServerId> {
        let remote = self.remote(server.place);
        remote.number(generation).filter(|_| remote.turn == server.turn)
    }

    /// The next packet to be sent, into an empty buffer. None for a socket whose order has not been polled yet.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(Departure { place, turn, slot }) = self.line.pop_front() {
            let remote = &self.remotes[usize::from(place)];
            if remote.turn != turn {
                continue;
            }
            let socket = remote.sockets.get(usize::from(slot.port.0)).copied().flatten();
            // What has been answered, or given up, since it was put in line is not sent.
            let (Some(sent), Some(socket)) = (remote.outstanding.waiting(slot), socket) else { continue };
            let Socket { is_ordered, remote: destination, .. } = self.sockets[usize::from(socket.place)];
            if !is_ordered {
                self.early.push_back(Departure { place, turn, slot });
                continue;
            }
            out.extend_from_slice(sent.packet.octets());
            return Some(Transmit { via: socket.via(), source: None, destination });
        }
        None
    }

    /// Whether there is anything to be polled.
    pub fn has_output(&self) -> bool {
        !self.orders.is_empty() || !self.line.is_empty()
    }

    /// Notes when a server has to be looked after next.
    fn note_due(&mut self, place: u16) {
        match self.remotes[usize::from(place)].next_deadline(self.now) {
            Some(due) => self.due.set(place.into(), due),
            None => self.due.remove(place.into()),
        }
    }
}

fn authenticator_of(packet: &Packet) -> Authenticator {
    *packet.octets()[4..].first_chunk().expect("a packet has a header")
}

/// How much later than its request what was sent for it is given up, should nobody have done so.
const MARGIN: Duration = Duration::from_secs(1);
