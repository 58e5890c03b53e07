//! Servers under test behind the first one: a chain of proxies. Each is a process of its own with threads, sockets and a
//! configuration; what comes to its host was sent by another server under test, and what it sends back goes there.

use super::{Event, World};
use crate::checks::{Violation, channels, execution};
use crate::fault::link::Carried;
use crate::phases::{Died, Node, NodeThread, Snapshot, Stands};
use crate::plan::Plan;
use crate::site::Site;
use crate::sockets::{Datagram, Sockets};
use crate::trace::{Kind, OPERATOR};
use crate::turn::Cause;
use std::net::SocketAddr;
use std::ops::Range;
use ulna_core::{ListenerId, Path, SocketId, Via};

/// One of them.
pub(super) struct Relay {
    plan: Plan,
    node: Box<dyn Node>,
    sockets: Sockets,
    /// Its first thread among all of the world.
    first: usize,
    /// Datagrams that its threads have read since its process began.
    handed: u64,
    life: u64,
}

/// The one that each of them has.
const LISTENER: ListenerId = ListenerId(0);

impl Relay {
    /// Those of a plan.
    pub fn all(plan: &Plan, build: &dyn Fn(&Plan) -> Box<dyn Node>) -> Vec<Relay> {
        let count = plan.topology.proxy.as_ref().map_or(0, |proxy| proxy.relays.len());
        let mut first = plan.threads_max();
        let relay = |place: usize| {
            let own = plan.of_relay(place);
            let relay = Relay {
                node: build(&own),
                sockets: Sockets::of_host(&own, place as u64 + 1),
                first,
                handed: 0,
                life: 0,
                plan: own,
            };
            first += relay.threads();
            relay
        };
        (0..count).map(relay).collect()
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.plan.threads_max()
    }

    /// Its threads among all of the world.
    pub fn places(&self) -> Range<usize> {
        self.first..self.first + self.threads()
    }

    /// Its process.
    pub fn node(&self) -> &dyn Node {
        &*self.node
    }

    fn sum_up(&self, now: u64) -> Result<Snapshot, Violation> {
        let snapshot = self.node.snapshot();
        execution::sums(&snapshot, self.handed, now)?;
        channels::balance(&snapshot, now)?;
        Ok(snapshot)
    }
}

impl World<'_> {
    /// Which relay a thread is of; `None`: it is the first server's.
    pub(super) fn relay_of(&self, place: usize) -> Option<usize> {
        if place < self.first_threads {
            return None;
        }
        self.relays.iter().position(|relay| relay.places().contains(&place))
    }

    /// The server under test that a thread is of: 0 is the first.
    pub(super) fn node_of(&self, place: usize) -> usize {
        self.relay_of(place).map_or(0, |relay| relay + 1)
    }

    pub(super) fn thread(&mut self, place: usize) -> &mut dyn NodeThread {
        match self.relay_of(place) {
            None => self.node.thread(place),
            Some(relay) => {
                let relay = &mut self.relays[relay];
                relay.node.thread(place - relay.first)
            }
        }
    }

    pub(super) fn thread_of_bell(&self, by: usize, bell: usize) -> usize {
        match self.relay_of(by) {
            None => self.node.thread_of_bell(bell),
            Some(relay) => self.relays[relay].first + self.relays[relay].node.thread_of_bell(bell),
        }
    }

    /// Adds an event of a thread. Those of relays have their entities behind all others, so that plans without any go on as they
    /// did.
    pub(super) fn add_event(&mut self, at: u64, place: usize, event: Event) {
        let entity = match place.checked_sub(self.first_threads) {
            None => place,
            Some(behind) => self.remote_entity(self.proxy.servers()) + behind,
        };
        self.schedule.add(at, entity, event);
    }

    pub(super) fn add_phase(&mut self, at: u64, place: usize) {
        self.add_event(at, place, Event::Phase(place));
    }

    /// The sockets that a thread reads, and its number among those that have them.
    fn sockets_of(&mut self, place: usize) -> (&mut Sockets, usize) {
        match self.relay_of(place) {
            None => (&mut self.sockets, place),
            Some(relay) => {
                let relay = &mut self.relays[relay];
                (&mut relay.sockets, place - relay.first)
            }
        }
    }

    pub(super) fn tell_sockets(&mut self, place: usize) {
        let (sockets, thread) = self.sockets_of(place);
        sockets.tell(thread);
    }

    pub(super) fn has_unread(&mut self, place: usize) -> bool {
        let (sockets, thread) = self.sockets_of(place);
        sockets.next_unread(thread, SocketId(0)).is_some()
    }

    pub(super) fn has_news(&mut self, place: usize) -> bool {
        let (sockets, thread) = self.sockets_of(place);
        sockets.has_news(thread)
    }

    /// A datagram of a server under test reaches the host of another.
    pub(super) fn arrive_at_node(
        &mut self,
        node: usize,
        remote: SocketAddr,
        octets: Vec<u8>,
    ) -> Result<(), Violation> {
        let datagram = Datagram { remote, sender: None, octets };
        let Some(relay) = node.checked_sub(1) else {
            let network = self.node.steer(LISTENER, remote);
            return self.arrive(self.plan.topology.socket(LISTENER, network), datagram);
        };
        let Relay { plan, node, sockets, first, .. } = &mut self.relays[relay];
        let socket = plan.topology.socket(LISTENER, node.steer(LISTENER, remote));
        let place = *first + sockets.thread(socket);
        let words = [u64::from(socket.0), u64::from(remote.port())];
        let has_room = sockets.has_room(socket, self.now, &mut self.faults);
        let kind = if has_room { Kind::Arrives } else { Kind::Overflows };
        self.trace.add(self.now, place as u32, kind, words, &datagram.octets);
        if !has_room {
            return Ok(());
        }
        sockets.put(socket, datagram);
        if self.threads[place].is_asleep() { self.wake(place, Cause::Datagram) } else { Ok(()) }
    }

    /// A thread of a relay reads its sockets.
    pub(super) fn read_at_relay(&mut self, number: usize, place: usize) -> Result<(), Violation> {
        let now = self.instant(place);
        let mut from = SocketId(0);
        loop {
            let relay = &mut self.relays[number];
            let Some(socket) = relay.sockets.next_unread(place - relay.first, from) else { break };
            from = SocketId(socket.0 + 1);
            for _ in 0..self.plan.limits.read_batch {
                let relay = &mut self.relays[number];
                let Some(Datagram { remote, octets, .. }) = relay.sockets.read(socket) else { break };
                let local = relay.plan.topology.listeners[usize::from(LISTENER.0)].address;
                let path = Path { via: Via::Socket(socket), listener: LISTENER, local, remote };
                let words = [u64::from(socket.0), u64::from(remote.port())];
                self.trace.add(self.now, place as u32, Kind::Reads, words, &octets);
                relay.node.thread(place - relay.first).handle_datagram(path, &octets, now);
                relay.handed += 1;
                self.come_from_node(number + 1, remote, &octets);
            }
        }
        self.take_decisions(place)
    }

    /// A server under test has read what comes from another.
    pub(super) fn come_from_node(&mut self, node: usize, remote: SocketAddr, octets: &[u8]) {
        let Some(secret) = self.proxy.secret_of(self.plan, node) else { return };
        self.proxy.laws[node].handed_by_node(remote, secret, octets, self.now);
    }

    /// What a thread of a relay sends back.
    pub(super) fn transmit_from_relay(&mut self, relay: usize, place: usize) -> Result<(), Violation> {
        let mut octets = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.poll_transmit(place, &mut octets) {
            self.return_to_node(relay + 1, transmit.destination, &octets)?;
        }
        self.buffer = octets;
        Ok(())
    }

    /// A server under test has sent to a port of another: what arrives there.
    pub(super) fn return_to_node(
        &mut self,
        from: usize,
        destination: SocketAddr,
        octets: &[u8],
    ) -> Result<(), Violation> {
        let passing = self.passing(0);
        let secret = self.proxy.secret_of(self.plan, from);
        self.proxy.laws[from].returns_to_node(passing, destination, secret, octets)?;
        let Some((port, server)) = self.proxy.port_at(from, destination) else { return Ok(()) };
        let (link, latency) = self.link_back(server, port);
        let mut carried = self.carry_by(link, latency, true, octets);
        let entity = self.remote_entity(server);
        for Carried { delay, octets, .. } in carried.drain(..) {
            self.schedule.add(self.now + delay, entity, Event::ArriveFromRemote { port, octets });
        }
        self.carried = carried;
        Ok(())
    }

    /// A thread says how a remote server is to be treated from now on.
    pub(super) fn take_standing(&mut self, place: usize, stands: &Stands) -> Result<(), Violation> {
        let words = [stands.server as u64, stands.standing as u64];
        self.trace.add(self.now, place as u32, Kind::Stands, words, &[]);
        let (node, passing) = (self.node_of(place), self.passing(place));
        self.proxy.laws[node].stands(passing, stands)
    }

    /// The process of a relay ends, and another begins.
    pub(super) fn crash_relay(&mut self, number: usize, boot: u64) {
        let relay = &mut self.relays[number];
        relay.life += 1;
        relay.node.restart(&Site::first(&relay.plan), relay.life);
        relay.sockets.lose_all();
        relay.handed = 0;
        let places = relay.places();
        self.trace.add(self.now, OPERATOR, Kind::Crashes, [2 + number as u64, boot], &[]);
        self.proxy.forget_process(number + 1, self.now);
        for place in places {
            self.proxy.sockets.lose(place);
            self.asked[place].forget_answers();
            let is_scheduled = !self.threads[place].is_asleep();
            self.threads[place].begin_life(self.now);
            if !is_scheduled {
                self.add_phase(self.now + boot, place);
            }
        }
    }

    pub(super) fn note_panic_of_relay(&mut self, relay: usize, place: usize) {
        self.proxy.laws[relay + 1].forget_requests(self.now);
        if self.relays[relay].node.core_died() == Died::Worker {
            self.proxy.sockets.lose(place);
            self.proxy.forget_worker(relay + 1, self.now);
        }
    }

    pub(super) fn sum_up_relay(&mut self, place: usize) -> Result<(), Violation> {
        let relay = self.relay_of(place).expect("a thread that is not the first server's");
        let snapshot = self.relays[relay].sum_up(self.now)?;
        self.look_at_debts(relay + 1, &snapshot)
    }

    /// What a server owes to requests that it has forwarded, unless it says that it had no room for that.
    pub(super) fn look_at_debts(&mut self, node: usize, snapshot: &Snapshot) -> Result<(), Violation> {
        if self.plan.topology.proxy.is_none() || snapshot.notices_dropped > 0 || snapshot.unsent > 0 {
            return Ok(());
        }
        let passing = self.passing(0);
        self.proxy.laws[node].look_at_debts(passing)
    }

    /// What holds of relays, and of what all think of remote servers, when everything is over.
    pub(super) fn close_forwarding(&mut self) -> Result<(), Violation> {
        for relay in &self.relays {
            let snapshot = relay.sum_up(self.now)?;
            execution::idle(&snapshot, true, self.now)?;
            channels::idle(&snapshot, self.now)?;
        }
        self.look_at_debts(0, &self.node.snapshot())?;
        for relay in 0..self.relays.len() {
            self.look_at_debts(relay + 1, &self.relays[relay].node.snapshot())?;
        }
        let passing = self.passing(0);
        self.proxy.laws.iter().try_for_each(|laws| laws.close(passing))
    }
}
