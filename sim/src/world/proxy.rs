//! What the world does with forwarding: sockets to remote servers, what passes there, and the NASes whose users are at home elsewhere.

use super::{Event, World};
use crate::actor::remote_server::{Answer, RemoteServer};
use crate::actor::roaming_nas::{Around, End, Outbox, RoamingNas, Timer};
use crate::actor::visit::Token;
use crate::checks::Violation;
use crate::checks::forwarding::{Forwarding, ONE_SOCKET_PER_PLACE, Passing};
use crate::fault::FaultClass;
use crate::fault::link::{Carried, Link};
use crate::goals::Goal;
use crate::oracle::codec::code;
use crate::plan::Plan;
use crate::plan::proxy::ProxyPlan;
use crate::remote_sockets::RemoteSockets;
use crate::sockets::Datagram;
use crate::trace::{Kind, REMOTE, ROAMING};
use crate::turn::Cause;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use ulna_core::forward::RemoteOrder;
use ulna_core::{Instant, ListenerId};

/// All around forwarding; empty where nothing is forwarded.
pub(super) struct Proxy {
    pub nases: Vec<RoamingNas>,
    servers: Vec<RemoteServer>,
    pub sockets: RemoteSockets,
    links: BTreeMap<u64, Link>,
    /// By server under test, the first one first.
    pub laws: Vec<Forwarding>,
    /// By remote server: which server under test it is.
    nodes: Vec<Option<usize>>,
    /// By the address that servers under test see: the port of the other that sends from there, and the remote server that it is
    /// connected to.
    ports: BTreeMap<SocketAddr, (u64, usize)>,
    /// By thread: orders so far, the ordinals of refusals.
    orders: Vec<u64>,
    out: Outbox,
}

/// Links between NASes whose users roam and the server.
const ROAMING_LINKS: u64 = 1 << 61;
/// Links between the server and remote ones.
const REMOTE_LINKS: u64 = 1 << 62;

impl Proxy {
    pub fn new(plan: &Plan, threads: usize) -> Self {
        let proxy = plan.topology.proxy.as_ref();
        let nases = proxy.map_or(&[][..], |proxy| &proxy.nases).iter().enumerate();
        let servers = proxy.map_or(0, |proxy| proxy.remote_servers.len());
        let levels = proxy.map_or(&[][..], |proxy| &proxy.relays).iter().map(|relay| relay.level);
        Proxy {
            nases: nases.map(|(place, nas)| RoamingNas::new(place, nas)).collect(),
            servers: (0..servers).map(RemoteServer::new).collect(),
            sockets: RemoteSockets::new(threads, plan.limits.receive_queue as usize),
            links: BTreeMap::new(),
            laws: std::iter::once(0).chain(levels).map(Forwarding::new).collect(),
            nodes: (0..servers).map(|server| plan.node_of(server)).collect(),
            ports: BTreeMap::new(),
            orders: vec![0; threads],
            out: Outbox::default(),
        }
    }

    /// How many NASes and remote servers there are in a plan.
    pub fn entities(plan: &Plan) -> usize {
        plan.topology.proxy.as_ref().map_or(0, |proxy| proxy.nases.len() + proxy.remote_servers.len())
    }

    /// How many remote servers there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// A core that keeps conversations has died somewhere, or others keep them from now on.
    pub fn forget_conversations(&mut self, now: u64) {
        self.laws.iter_mut().for_each(|laws| laws.forget_conversations(now));
    }

    /// A worker of a server under test has died.
    pub fn forget_worker(&mut self, node: usize, now: u64) {
        self.forget_conversations(now);
        self.laws[node].forget_standings(now);
    }

    /// The process of a server under test has ended.
    pub fn forget_process(&mut self, node: usize, now: u64) {
        self.forget_conversations(now);
        self.laws.iter_mut().enumerate().for_each(|(place, laws)| laws.forget_process(place == node, now));
    }

    /// Whether a server under test sends to others from there.
    pub fn is_of_node(&self, remote: SocketAddr) -> bool {
        self.ports.contains_key(&remote)
    }

    /// The port there, and the remote server that it is connected to, if that is this server under test.
    pub fn port_at(&self, node: usize, remote: SocketAddr) -> Option<(u64, usize)> {
        self.ports.get(&remote).copied().filter(|(_, server)| self.nodes[*server] == Some(node))
    }

    /// The secret that others use towards a server under test, if any knows it.
    pub fn secret_of<'p>(&self, plan: &'p Plan, node: usize) -> Option<&'p [u8]> {
        let server = self.nodes.iter().position(|other| *other == Some(node))?;
        let proxy = plan.topology.proxy.as_ref().expect("it has remote servers");
        Some(proxy.remote_servers[server].secret.as_bytes())
    }
}

impl<'p> World<'p> {
    fn proxy_plan(&self) -> &'p ProxyPlan {
        self.plan.topology.proxy.as_ref().expect("only where there is forwarding")
    }

    /// What a thread does now.
    pub(super) fn passing(&self, place: usize) -> Passing<'p> {
        let turn = self.threads[place].now;
        Passing { plan: self.plan, now: self.now, turn, turn_max: self.turn_max }
    }

    /// Behind all else that events belong to.
    fn roaming_entity(&self, nas: usize) -> usize {
        self.first_threads + self.nases.len() + 1 + self.plan.topology.nats.len() + nas
    }

    pub(super) fn remote_entity(&self, server: usize) -> usize {
        self.roaming_entity(self.proxy.nases.len()) + server
    }

    /// The NAS with users of elsewhere that has this address.
    pub(super) fn roaming_at(&self, remote: SocketAddr) -> Option<usize> {
        self.plan.topology.proxy.as_ref()?.nas_at(remote.ip())
    }

    /// All NASes with users of elsewhere begin.
    pub(super) fn begin_visits(&mut self) -> Result<(), Violation> {
        (0..self.proxy.nases.len()).try_for_each(|nas| self.with_roaming(nas, RoamingNas::begin))
    }

    pub(super) fn roaming_timer(&mut self, nas: usize, timer: Timer) -> Result<(), Violation> {
        self.with_roaming(nas, |nas, around| nas.handle_timer(timer, around))
    }

    /// A datagram comes to one of its ports.
    pub(super) fn deliver_to_roaming(&mut self, nas: usize, octets: &[u8]) -> Result<(), Violation> {
        self.trace.add(self.now, ROAMING + nas as u32, Kind::NasReceives, [0; 2], octets);
        self.with_roaming(nas, |nas, around| nas.handle_datagram(octets, around))
    }

    fn with_roaming(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut RoamingNas, &mut Around<'_>),
    ) -> Result<(), Violation> {
        let mut out = std::mem::take(&mut self.proxy.out);
        let mut around = Around {
            plan: self.plan,
            draws: self.draws,
            faults: &mut self.faults,
            now: self.now,
            out: &mut out,
        };
        act(&mut self.proxy.nases[place], &mut around);
        let (entity, node) = (self.roaming_entity(place), ROAMING + place as u32);
        for (at, timer) in out.timers.drain(..) {
            self.schedule.add(at, entity, Event::Roaming { nas: place, timer });
        }
        let nas = &self.proxy_plan().nases[place];
        let topology = &self.plan.topology;
        for sent in out.sent.drain(..) {
            let listener = topology.listener_for(sent.to, nas.address);
            let listener = listener.expect("plans have one of each kind and family");
            let words = [sent.port as u64, u64::from(listener.0)];
            self.trace.add(self.now, node, Kind::NasSends, words, &sent.octets);
            if let Some(asked) = &sent.asked {
                self.proxy.laws.iter_mut().for_each(|laws| laws.asked(asked, &sent.octets, self.now));
            }
            let remote = SocketAddr::new(nas.address, nas.ports[sent.port]);
            let link = ROAMING_LINKS | (place as u64) << 32 | (sent.port as u64) << 8;
            let mut carried = self.carry_by(link, nas.latency_us, true, &sent.octets);
            for Carried { delay, octets, .. } in carried.drain(..) {
                let network = self.node.steer(listener, remote);
                let socket = topology.socket(listener, network);
                let event = Event::Arrive { socket, datagram: Datagram { remote, sender: None, octets } };
                self.schedule.add(self.now + delay, entity, event);
            }
            self.carried = carried;
        }
        for (visit, end) in out.ends.drain(..) {
            self.trace.add(self.now, node, Kind::VisitEnds, [visit as u64, end as u64], &[]);
            self.visit_ends(place, visit, end)?;
        }
        self.proxy.out = out;
        Ok(())
    }

    fn visit_ends(&mut self, nas: usize, number: usize, end: End) -> Result<(), Violation> {
        let visit = &self.proxy.nases[nas].visits()[number];
        if end == End::Accepted && visit.round > 0 {
            self.goals.reach(Goal::ConversationFinished);
        }
        let realm = &self.proxy_plan().realms[visit.realm];
        let wanted = if realm.loops { End::Rejected } else { End::Accepted };
        let token = Token { nas, visit: number, round: visit.round };
        if realm.loops && end == End::Rejected && self.proxy.laws[0].is_from_node(token) {
            self.goals.reach(Goal::LoopRejected);
        }
        if !visit.must_end_well || end == wanted {
            return Ok(());
        }
        let (begun, round, name) = (visit.begun, visit.round, &realm.name);
        let details = format!("begun at {begun} ns at {name}, {end:?} in round {round}");
        self.proxy.laws[0].ended_badly(self.passing(0), (nas, number), begun, details)
    }

    /// What arrives of a datagram, in the buffer of `self.carried`, to be put back.
    pub(super) fn carry_by(
        &mut self,
        link: u64,
        latency_us: u64,
        forgeable: bool,
        octets: &[u8],
    ) -> Vec<Carried> {
        let mut carried = std::mem::take(&mut self.carried);
        let link = self.proxy.links.entry(link).or_insert_with(|| Link::new(link, latency_us * 1_000));
        link.carry(octets, forgeable, self.now, &mut self.faults, &mut carried);
        carried
    }

    /// The server has sent to a NAS with users of elsewhere.
    pub(super) fn return_to(
        &mut self,
        nas: usize,
        destination: SocketAddr,
        listener: ListenerId,
        octets: &[u8],
    ) -> Result<(), Violation> {
        let passing = self.passing(0);
        let record = self.proxy.laws[0].returns(passing, nas, octets)?;
        if let Some(request) = record.filter(|_| self.plan.topology.answers_accounting) {
            self.acknowledge(&request)?;
        }
        let plan = &self.proxy_plan().nases[nas];
        let Some(port) = plan.ports.iter().position(|port| *port == destination.port()) else {
            return Ok(());
        };
        let link = ROAMING_LINKS | (nas as u64) << 32 | (port as u64) << 8 | 2 | u64::from(listener.0) << 3;
        let mut carried = self.carry_by(link, plan.latency_us, false, octets);
        let entity = self.roaming_entity(nas);
        for Carried { delay, octets, .. } in carried.drain(..) {
            self.schedule.add(self.now + delay, entity, Event::DeliverToRoaming { nas, octets });
        }
        self.carried = carried;
        Ok(())
    }

    /// A thread's orders about sockets to remote servers, then what it sends there.
    pub(super) fn forward(&mut self, place: usize, now: Instant) -> Result<(), Violation> {
        while let Some(order) = self.thread(place).poll_remote_order() {
            self.follow_order(place, order, now)?;
        }
        let mut octets = std::mem::take(&mut self.buffer);
        loop {
            octets.clear();
            let Some(transmit) = self.thread(place).poll_forward(&mut octets) else { break };
            // Of a socket that could not be opened nothing is sent.
            let Some((port, server)) = self.proxy.sockets.port(place, transmit.via) else { continue };
            self.trace.add(self.now, place as u32, Kind::Forwards, [port, server as u64], &octets);
            let (node, passing) = (self.node_of(place), self.passing(place));
            let server_under_test = match node.checked_sub(1) {
                None => &*self.node,
                Some(relay) => self.relays[relay].node(),
            };
            let forgotten = || server_under_test.snapshot().forgotten;
            self.proxy.laws[node].forwards(passing, port, server, &octets, &forgotten)?;
            if octets[0] == code::ACCOUNTING_REQUEST && self.plan.topology.answers_accounting {
                self.goes_on(&octets)?;
            }
            let link = REMOTE_LINKS | (server as u64) << 32 | (place as u64) << 8;
            let latency = self.proxy_plan().remote_servers[server].latency_us;
            let next = self.proxy.nodes[server];
            let mut carried = self.carry_by(link, latency, next.is_some(), &octets);
            let entity = self.remote_entity(server);
            let remote = self.address_of_port(node, port);
            if next.is_some() {
                self.proxy.ports.insert(remote, (port, server));
            }
            for Carried { delay, octets, .. } in carried.drain(..) {
                let event = match next {
                    None => Event::ArriveAtRemote { thread: place, server, port, octets },
                    Some(node) => Event::ArriveAtNode { node, remote, octets },
                };
                self.schedule.add(self.now + delay, entity, event);
            }
            self.carried = carried;
        }
        self.buffer = octets;
        Ok(())
    }

    /// Where a port of a server under test is to others: each has one of its own for longer than anything is on its way.
    fn address_of_port(&self, node: usize, port: u64) -> SocketAddr {
        SocketAddr::new(self.plan.address_of_node(node).ip(), 1_024 + (port % 64_000) as u16)
    }

    /// The link back to a port from a server under test, and how long that takes, in virtual microseconds.
    pub(super) fn link_back(&self, server: usize, port: u64) -> (u64, u64) {
        let link = REMOTE_LINKS | (server as u64) << 32 | (port & 0xff_ffff) << 8 | 1;
        (link, self.proxy_plan().remote_servers[server].latency_us)
    }

    fn follow_order(&mut self, place: usize, order: RemoteOrder, now: Instant) -> Result<(), Violation> {
        let node = place as u32;
        match order {
            RemoteOrder::Open { socket, remote, .. } => {
                let ordinal = self.proxy.orders[place];
                self.proxy.orders[place] += 1;
                let class = FaultClass::SocketRefused;
                if self.faults.strike(class, place as u64, ordinal, self.now, |_| [0, 0]).is_some() {
                    self.trace.add(self.now, node, Kind::RemoteSocket, [2, u64::from(socket.place)], &[]);
                    self.thread(place).handle_remote_refused(socket, now);
                    return Ok(());
                }
                let servers = &self.proxy_plan().remote_servers;
                let server = servers.iter().position(|server| server.address == remote);
                let server = server.expect("only servers of the plan are configured");
                if self.proxy.sockets.port(place, socket.via()).is_some() {
                    let details = format!("thread {place}, {socket:?}");
                    return Err(Violation { invariant: &ONE_SOCKET_PER_PLACE, at: self.now, details });
                }
                let port = self.proxy.sockets.open(place, socket, server);
                self.trace.add(self.now, node, Kind::RemoteSocket, [1, port], &[]);
            }
            RemoteOrder::Close { socket } => {
                if let Some(port) = self.proxy.sockets.close(place, socket) {
                    self.trace.add(self.now, node, Kind::RemoteSocket, [0, port], &[]);
                }
            }
        }
        Ok(())
    }

    /// A datagram comes to a remote server from a thread's port.
    pub(super) fn arrive_at_remote(&mut self, thread: usize, server: usize, port: u64, octets: &[u8]) {
        let plan = &self.proxy_plan().remote_servers[server];
        let mut answers = Vec::new();
        let nases = &self.proxy.nases;
        let rounds = |token: Token| {
            let visit = nases.get(token.nas).and_then(|nas| nas.visits().get(token.visit));
            visit.map_or(1, |visit| visit.errand.rounds())
        };
        let around = (self.draws, &mut self.faults);
        let fate = self.proxy.servers[server].handle_datagram(
            plan,
            port,
            octets,
            &rounds,
            around,
            self.now,
            &mut answers,
        );
        self.trace.add(self.now, REMOTE + server as u32, Kind::RemoteReceives, [port, fate as u64], octets);
        let link = REMOTE_LINKS | (server as u64) << 32 | (thread as u64) << 8 | 1;
        let entity = self.remote_entity(server);
        for Answer { after, octets, from_elsewhere } in answers {
            if from_elsewhere {
                // The socket is connected: its kernel takes nothing else.
                self.trace.add(self.now, REMOTE + server as u32, Kind::SentFromElsewhere, [port, 0], &octets);
                continue;
            }
            let mut carried = self.carry_by(link, plan.latency_us, true, &octets);
            for Carried { delay, octets, .. } in carried.drain(..) {
                let event = Event::ArriveFromRemote { port, octets };
                self.schedule.add(self.now + after + delay, entity, event);
            }
            self.carried = carried;
        }
    }

    /// A datagram of a remote server comes to one of the server's ports, if that is open.
    pub(super) fn arrive_from_remote(&mut self, port: u64, octets: Vec<u8>) -> Result<(), Violation> {
        let Some(thread) = self.proxy.sockets.put(port, octets) else { return Ok(()) };
        if self.threads[thread].is_asleep() {
            return self.wake(thread, Cause::Datagram);
        }
        Ok(())
    }

    /// A thread reads its sockets to remote servers.
    pub(super) fn read_remote(&mut self, place: usize, now: Instant) -> Result<(), Violation> {
        for read in self.proxy.sockets.read(place, self.plan.limits.read_batch as usize) {
            let words = [read.port, read.server as u64];
            self.trace.add(self.now, place as u32, Kind::ReadsRemote, words, &read.octets);
            let (node, passing) = (self.node_of(place), self.passing(place));
            self.proxy.laws[node].read(passing, read.port, read.server, &read.octets);
            self.thread(place).handle_remote_datagram(read.socket, &read.octets, now);
        }
        self.take_decisions(place)
    }
}
