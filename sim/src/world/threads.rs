//! What the world does with the server's threads: their phases, bells, sleeps and wake-ups.

use super::World;
use super::reloads::Followed;
use crate::checks::ledger::{Case, Handed};
use crate::checks::wire::{Leaving, answered_at_once, transmitted};
use crate::checks::{Violation, channels, execution};
use crate::draw::Class;
use crate::fault::thread;
use crate::oracle::codec::{Packet, code};
use crate::phases::{Died, GateCheck, Node};
use crate::sockets::Datagram;
use crate::trace::Kind;
use crate::turn::Phase;
use ulna_core::path::Transmit;
use ulna_core::seeded::{self, Bug};
use ulna_core::{Instant, Path, SocketId, Via};

impl World<'_> {
    pub(super) fn instant(&self, thread: usize) -> Instant {
        Instant::from_nanoseconds(self.threads[thread].now)
    }

    /// One phase of one thread, or a stop before it.
    pub(super) fn phase(&mut self, place: usize) -> Result<(), Violation> {
        let ordinal = self.threads[place].phases;
        self.threads[place].phases += 1;
        if let Some(stop) = thread::stall(place as u64, ordinal, self.now, &mut self.faults) {
            let words = [stop, self.threads[place].phase as u64];
            self.trace.add(self.now, place as u32, Kind::Stalls, words, &[]);
            self.add_phase(self.now + stop, place);
            return Ok(());
        }
        if let Some((crash, boot)) = thread::crash(place as u64, ordinal, self.now, &mut self.faults) {
            match self.relay_of(place) {
                None => self.crash(crash, boot)?,
                Some(relay) => self.crash_relay(relay, boot),
            }
            self.add_phase(self.now + boot, place);
            return Ok(());
        }
        self.turn_max = self.turn_max.max(self.now.saturating_sub(self.threads[place].now));
        if self.panics(place, ordinal) {
            self.add_phase(self.now + PANIC, place);
            return Ok(());
        }
        let next = match self.threads[place].phase {
            Phase::Return => {
                // What it learns from the kernel: its bell, which it takes so that the next one is news, and sockets.
                self.threads[place].bell_pending = false;
                self.tell_sockets(place);
                self.proxy.sockets.tell(place);
                Phase::Unpark
            }
            Phase::Unpark => {
                let now = Instant::from_nanoseconds(self.now);
                self.thread(place).unpark(now);
                Phase::Begin
            }
            Phase::Begin => self.begin(place)?,
            Phase::Sweep => {
                let now = self.instant(place);
                let taken = self.thread(place).sweep(now);
                if taken > 0 {
                    self.trace.add(self.now, place as u32, Kind::Sweeps, [taken as u64, 0], &[]);
                }
                self.take_decisions(place)?;
                Phase::Read
            }
            Phase::Read => {
                match self.relay_of(place) {
                    None => self.read(place)?,
                    Some(relay) => self.read_at_relay(relay, place)?,
                }
                let now = self.instant(place);
                self.read_remote(place, now)?;
                self.read_control(place)?;
                if self.has_panicked(place) { Phase::Begin } else { Phase::Timeouts }
            }
            Phase::Timeouts => {
                let now = self.instant(place);
                self.thread(place).handle_timeouts(now);
                if self.has_panicked(place) {
                    self.take_decisions(place)?;
                    Phase::Begin
                } else {
                    self.hand_answers_in(place, now);
                    self.take_effects(place, now)?;
                    self.take_decisions(place)?;
                    if self.has_panicked(place) { Phase::Begin } else { Phase::Transmit }
                }
            }
            Phase::Transmit => {
                let now = self.instant(place);
                self.forward(place, now)?;
                match self.relay_of(place) {
                    None => self.transmit(place)?,
                    Some(relay) => self.transmit_from_relay(relay, place)?,
                }
                self.write_control(place)?;
                Phase::Stage
            }
            Phase::Stage => {
                let now = self.instant(place);
                self.thread(place).stage_messages(now);
                Phase::Publish
            }
            Phase::Publish => {
                self.thread(place).publish();
                Phase::Gate
            }
            Phase::Gate => self.look_at_gate(place)?,
            Phase::Announce => {
                self.thread(place).announce();
                self.threads[place].announced += 1;
                let words = [self.threads[place].announced, 0];
                self.trace.add(self.now, place as u32, Kind::Announces, words, &[]);
                Phase::LookAgain
            }
            Phase::LookAgain => {
                if self.thread(place).look_again() {
                    let words = [self.threads[place].announced, 0];
                    self.trace.add(self.now, place as u32, Kind::CancelsPark, words, &[]);
                    Phase::Return
                } else {
                    Phase::Park
                }
            }
            Phase::Park => return self.park(place),
            Phase::Asleep | Phase::Away => {
                unreachable!("a thread that sleeps or has ended has no phase scheduled")
            }
        };
        self.threads[place].phase = next;
        if next == Phase::Away {
            return Ok(());
        }
        let mut length = self.draws.at(Class::PhaseLength, place as u64, ordinal).range(20..=600);
        let (slow_until, times) = self.threads[place].slow;
        if self.now < slow_until {
            length *= times;
        }
        length += self.worked_for(place);
        self.add_phase(self.now + length, place);
        Ok(())
    }

    /// Whether a core of this thread panics before this phase, if that is one in which cores run. The next is a new turn's
    /// first.
    fn panics(&mut self, place: usize, ordinal: u64) -> bool {
        let runs_cores = match self.threads[place].phase {
            Phase::Sweep | Phase::Read | Phase::Timeouts | Phase::Transmit | Phase::Stage => true,
            Phase::Return
            | Phase::Unpark
            | Phase::Begin
            | Phase::Publish
            | Phase::Gate
            | Phase::Announce
            | Phase::LookAgain
            | Phase::Park
            | Phase::Asleep
            | Phase::Away => false,
        };
        if !runs_cores {
            return false;
        }
        let Some(panic) = thread::panic(place as u64, ordinal, self.now, &mut self.faults) else {
            return false;
        };
        let now = self.instant(place);
        let died = self.thread(place).panic(panic, now);
        if died {
            self.note_panic(place);
            self.threads[place].phase = Phase::Begin;
        }
        died
    }

    /// Whether a core of this thread has panicked since this was asked last.
    fn has_panicked(&mut self, place: usize) -> bool {
        let died = self.thread(place).has_panicked();
        if died {
            self.note_panic(place);
        }
        died
    }

    fn note_panic(&mut self, place: usize) {
        self.trace.add(self.now, place as u32, Kind::Panics, [0, 0], &[]);
        if let Some(relay) = self.relay_of(place) {
            return self.note_panic_of_relay(relay, place);
        }
        self.proxy.laws[0].forget_requests(self.now);
        match self.node.core_died() {
            Died::Network => {
                self.network_died_at = Some(self.now);
                if place == 0 {
                    self.cut_readers_off();
                }
            }
            Died::Worker => {
                self.control.note_worker_lost(self.now);
                self.proxy.sockets.lose(place);
                self.proxy.forget_worker(0, self.now);
            }
        }
        self.ledger.forget_turn(place);
        self.connections.forget_core(self.now, self.turn_max);
        self.look_ups.forget_thread(place);
    }

    /// How long a worker took for the requests that it has taken up since it was asked last.
    fn worked_for(&mut self, place: usize) -> u64 {
        let cost = self.plan.limits.request_us * 1_000;
        if cost == 0 || self.now >= self.plan.faulty_until() {
            return 0;
        }
        let requests = self.thread(place).requests() as u64;
        let turn = &mut self.threads[place];
        let more = requests.saturating_sub(turn.requests);
        turn.requests = requests;
        more * cost
    }

    fn begin(&mut self, place: usize) -> Result<Phase, Violation> {
        let turn = &mut self.threads[place];
        turn.now = self.now;
        turn.requests = 0;
        turn.turns += 1;
        if let Some(slow) = thread::slow(place as u64, turn.turns, self.now, &mut self.faults) {
            turn.slow = slow;
        }
        let turns = turn.turns;
        let words = [turns, turn.parks];
        self.trace.add(self.now, place as u32, Kind::Turn, words, &[]);
        if let Some(ahead) = thread::jump(place as u64, turns, self.now, self.clock.ahead(), &mut self.faults)
        {
            self.clock.jump(self.now, ahead);
            self.trace.add(self.now, place as u32, Kind::ClockJumps, [ahead as u64, 0], &[]);
        }
        let (now, wall) = (Instant::from_nanoseconds(self.now), self.clock.shows(self.now));
        let thread = self.thread(place);
        thread.begin_turn(now);
        let before = thread.poll_timeout();
        thread.handle_wall_time(wall);
        let after = thread.poll_timeout();
        channels::told_of_the_wall(place, before, after, self.now)?;
        Ok(Phase::Sweep)
    }

    fn read(&mut self, place: usize) -> Result<(), Violation> {
        let now = self.instant(place);
        let mut from = SocketId(0);
        while let Some(socket) = self.sockets.next_unread(place, from) {
            from = SocketId(socket.0 + 1);
            let (listener, network) = self.plan.topology.listener_and_network(socket);
            for _ in 0..self.plan.limits.read_batch {
                let Some(datagram) = self.sockets.read(socket) else { break };
                let Datagram { remote, sender, octets } = datagram;
                let path = Path {
                    via: Via::Socket(socket),
                    listener,
                    local: self.plan.topology.listeners[usize::from(listener.0)].address,
                    remote,
                };
                let words = [u64::from(socket.0), u64::from(remote.port())];
                self.trace.add(self.now, place as u32, Kind::Reads, words, &octets);
                let stray = self.node.steer(listener, remote) != network;
                let owner = self.node.owner(remote);
                let is_passed_on = owner != network;
                let site = self.reloads.in_force(owner);
                let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
                let is_of_rule = case.is_of_rule(site, remote.ip());
                let counts = |node: &dyn Node| {
                    if is_of_rule { (node.strangers(), node.discards()) } else { (None, 0) }
                };
                let before = counts(&*self.node);
                self.node.thread(place).handle_datagram(path, &octets, now);
                let after = counts(&*self.node);
                if let Some(nas) = self.roaming_at(remote) {
                    self.proxy.laws[0].handed(nas, remote, &octets, self.now);
                    self.handed += 1;
                    continue;
                }
                if self.proxy.is_of_node(remote) {
                    self.come_from_node(0, remote, &octets);
                    self.handed += 1;
                    continue;
                }
                let asked = is_of_rule && (is_passed_on || after.0.is_none() || after.0 > before.0);
                let is_discarded = after.1 > before.1;
                let handed = Handed {
                    thread: place,
                    path: &path,
                    sender,
                    octets: &octets,
                    stray,
                    owner,
                    is_passed_on,
                    asked,
                    site,
                    also: self.reloads.may_be_in_force(),
                };
                self.ledger.received(&case, &handed, self.now);
                self.connections.handed(&case, &handed, is_discarded, self.now, self.turn_max)?;
                self.handed += 1;
            }
        }
        self.take_decisions(place)
    }

    pub(super) fn take_decisions(&mut self, place: usize) -> Result<(), Violation> {
        let mut decisions = std::mem::take(&mut self.decisions);
        let mut standings = std::mem::take(&mut self.standings);
        self.thread(place).drain_decisions(&mut decisions, &mut standings);
        let told = standings.drain(..).try_for_each(|stands| self.take_standing(place, &stands));
        self.standings = standings;
        told?;
        for decision in decisions.drain(..) {
            let low = u64::from(decision.listener.0) << 8 | u64::from(decision.identifier);
            let words = [u64::from(decision.remote.port()), low];
            self.trace.add(self.now, place as u32, Kind::Decides, words, &[]);
            if self.roaming_at(decision.remote).is_some() || self.proxy.is_of_node(decision.remote) {
                continue;
            }
            let node = &self.node;
            let forgotten = || node.snapshot().forgotten;
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            let of = (&decision, self.reloads.sites(decision.generation));
            self.connections.decided(decision.authenticator, self.now);
            execution::decided(&mut self.ledger, &case, of, self.now, self.turn_max, forgotten)?;
        }
        self.decisions = decisions;
        Ok(())
    }

    /// What a thread sends back next, into a buffer of whatever octets.
    pub(super) fn poll_transmit(&mut self, place: usize, octets: &mut Vec<u8>) -> Option<Transmit> {
        octets.clear();
        let transmit = self.thread(place).poll_transmit(octets)?;
        let words = [u64::from(transmit.via.0), u64::from(transmit.destination.port())];
        self.trace.add(self.now, place as u32, Kind::Transmits, words, octets);
        Some(transmit)
    }

    fn transmit(&mut self, place: usize) -> Result<(), Violation> {
        let mut octets = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.poll_transmit(place, &mut octets) {
            if let Some(nas) = self.roaming_at(transmit.destination) {
                let (listener, _) = self.plan.topology.listener_and_network(transmit.via);
                self.return_to(nas, transmit.destination, listener, &octets)?;
                continue;
            }
            if self.proxy.is_of_node(transmit.destination) {
                self.return_to_node(0, transmit.destination, &octets)?;
                continue;
            }
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            let leaving = Leaving {
                now: self.now,
                turn_max: self.turn_max,
                notices: &|| self.node.snapshot().notices_dropped,
                network_died_at: self.network_died_at,
            };
            let answered = transmitted(&mut self.ledger, &case, &transmit, &octets, &leaving)?;
            let requester = answered.sender;
            if let Ok(request) = Packet::read(answered.octets) {
                self.connections.decided(request.authenticator(), self.now);
            }
            if octets[0] == code::ACCOUNTING_RESPONSE {
                let request = answered.octets.to_vec();
                self.acknowledge(&request)?;
            }
            let (listener, _) = self.plan.topology.listener_and_network(transmit.via);
            self.send_back(transmit.destination, listener, requester, &octets);
        }
        self.buffer = octets;
        answered_at_once(&mut self.ledger, place, self.now, || self.node.snapshot().unsent)
    }

    fn look_at_gate(&mut self, place: usize) -> Result<Phase, Violation> {
        match self.thread(place).check_gate() {
            GateCheck::Quiet => Ok(Phase::Gate),
            GateCheck::Ring(bell) => {
                let recipient = self.thread_of_bell(place, bell);
                self.ring(place as u32, recipient)?;
                Ok(Phase::Gate)
            }
            GateCheck::Done => {
                self.check_rest()?;
                // Those of relays are told nothing new.
                if place < self.first_threads && self.follow(place)? == Followed::Ends {
                    return Ok(Phase::Away);
                }
                // As the runtime decides it, after a turn that had something to do as after any other.
                let has_unread = self.has_unread(place) && !seeded::is(Bug::ReadableSocketForgotten);
                let has_unread = has_unread || self.proxy.sockets.has_unread(place);
                let has_unread = has_unread || self.has_control_work(place);
                let parks = !has_unread && self.thread(place).may_park();
                Ok(if parks { Phase::Announce } else { Phase::Return })
            }
        }
    }
}

/// Until a thread goes on after a panic.
const PANIC: u64 = 100_000;
