//! What the world does with the server's threads: their phases, bells, sleeps and wake-ups.

use super::reloads::Followed;
use super::{Event, SECOND, World};
use crate::checks::ledger::{Case, Handed};
use crate::checks::wire::{Leaving, answered_at_once, transmitted};
use crate::checks::{Violation, channels, execution};
use crate::draw::Class;
use crate::fault::thread;
use crate::oracle::codec::{Packet, code};
use crate::phases::{Died, GateCheck, Node};
use crate::sockets::Datagram;
use crate::trace::Kind;
use crate::turn::{Cause, Phase};
use ulna_core::seeded::{self, Bug};
use ulna_core::{Instant, Path, SocketId, Via};

impl World<'_> {
    fn instant(&self, thread: usize) -> Instant {
        Instant::from_nanoseconds(self.threads[thread].now)
    }

    /// One phase of one thread, or a stop before it.
    pub(super) fn phase(&mut self, place: usize) -> Result<(), Violation> {
        let ordinal = self.threads[place].phases;
        self.threads[place].phases += 1;
        if let Some(stop) = thread::stall(place as u64, ordinal, self.now, &mut self.faults) {
            let words = [stop, self.threads[place].phase as u64];
            self.trace.add(self.now, place as u32, Kind::Stalls, words, &[]);
            self.schedule.add(self.now + stop, place, Event::Phase(place));
            return Ok(());
        }
        if let Some((crash, boot)) = thread::crash(place as u64, ordinal, self.now, &mut self.faults) {
            self.crash(crash, boot)?;
            self.schedule.add(self.now + boot, place, Event::Phase(place));
            return Ok(());
        }
        self.turn_max = self.turn_max.max(self.now.saturating_sub(self.threads[place].now));
        if self.panics(place, ordinal) {
            self.schedule.add(self.now + PANIC, place, Event::Phase(place));
            return Ok(());
        }
        let next = match self.threads[place].phase {
            Phase::Return => {
                // What it learns from the kernel: its bell, which it takes so that the next one is news, and sockets.
                self.threads[place].bell_pending = false;
                self.sockets.tell(place);
                self.proxy.sockets.tell(place);
                Phase::Unpark
            }
            Phase::Unpark => {
                self.node.thread(place).unpark(Instant::from_nanoseconds(self.now));
                Phase::Begin
            }
            Phase::Begin => self.begin(place)?,
            Phase::Sweep => {
                let now = self.instant(place);
                let taken = self.node.thread(place).sweep(now);
                if taken > 0 {
                    self.trace.add(self.now, place as u32, Kind::Sweeps, [taken as u64, 0], &[]);
                }
                self.take_decisions(place)?;
                Phase::Read
            }
            Phase::Read => {
                self.read(place)?;
                let now = self.instant(place);
                self.read_remote(place, now)?;
                if self.has_panicked(place) { Phase::Begin } else { Phase::Timeouts }
            }
            Phase::Timeouts => {
                let now = self.instant(place);
                self.node.thread(place).handle_timeouts(now);
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
                self.transmit(place)?;
                Phase::Stage
            }
            Phase::Stage => {
                let now = self.instant(place);
                self.node.thread(place).stage_messages(now);
                Phase::Publish
            }
            Phase::Publish => {
                self.node.thread(place).publish();
                Phase::Gate
            }
            Phase::Gate => self.look_at_gate(place)?,
            Phase::Announce => {
                self.node.thread(place).announce();
                self.threads[place].announced += 1;
                let words = [self.threads[place].announced, 0];
                self.trace.add(self.now, place as u32, Kind::Announces, words, &[]);
                Phase::LookAgain
            }
            Phase::LookAgain => {
                if self.node.thread(place).look_again() {
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
        self.schedule.add(self.now + length, place, Event::Phase(place));
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
        let died = self.node.thread(place).panic(panic, now);
        if died {
            self.note_panic(place);
            self.threads[place].phase = Phase::Begin;
        }
        died
    }

    /// Whether a core of this thread has panicked since this was asked last.
    fn has_panicked(&mut self, place: usize) -> bool {
        let died = self.node.thread(place).has_panicked();
        if died {
            self.note_panic(place);
        }
        died
    }

    fn note_panic(&mut self, place: usize) {
        self.trace.add(self.now, place as u32, Kind::Panics, [0, 0], &[]);
        match self.node.core_died() {
            Died::Network => self.network_died_at = Some(self.now),
            Died::Worker => {
                self.proxy.sockets.lose(place);
                self.proxy.laws.forget_conversations(self.now);
            }
        }
        self.threads[place].has_lost_replies = true;
        self.ledger.forget_turn(place);
        self.connections.forget_core();
        self.look_ups.forget_thread(place);
    }

    /// How long a worker took for the requests that it has taken up since it was asked last.
    fn worked_for(&mut self, place: usize) -> u64 {
        let cost = self.plan.limits.request_us * 1_000;
        if cost == 0 || self.now >= self.plan.faulty_until() {
            return 0;
        }
        let requests = self.node.thread(place).requests() as u64;
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
        let thread = self.node.thread(place);
        thread.begin_turn(Instant::from_nanoseconds(self.now));
        let before = thread.poll_timeout();
        thread.handle_wall_time(self.clock.shows(self.now));
        channels::told_of_the_wall(place, before, thread.poll_timeout(), self.now)?;
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
                    self.proxy.laws.handed(nas, &octets);
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
        self.node.thread(place).drain_decisions(&mut decisions);
        for decision in decisions.drain(..) {
            let low = u64::from(decision.listener.0) << 8 | u64::from(decision.identifier);
            let words = [u64::from(decision.remote.port()), low];
            self.trace.add(self.now, place as u32, Kind::Decides, words, &[]);
            if self.roaming_at(decision.remote).is_some() {
                continue;
            }
            let node = &self.node;
            let forgotten = || node.snapshot().forgotten;
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            let of = (&decision, self.reloads.sites(decision.generation));
            if !self.threads[place].has_lost_replies {
                self.connections.decided(decision.authenticator);
            }
            execution::decided(&mut self.ledger, &case, of, self.now, self.turn_max, forgotten)?;
        }
        self.decisions = decisions;
        self.threads[place].has_lost_replies = false;
        Ok(())
    }

    fn transmit(&mut self, place: usize) -> Result<(), Violation> {
        let mut octets = std::mem::take(&mut self.buffer);
        loop {
            octets.clear();
            let Some(transmit) = self.node.thread(place).poll_transmit(&mut octets) else { break };
            let words = [u64::from(transmit.via.0), u64::from(transmit.destination.port())];
            self.trace.add(self.now, place as u32, Kind::Transmits, words, &octets);
            if let Some(nas) = self.roaming_at(transmit.destination) {
                let (listener, _) = self.plan.topology.listener_and_network(transmit.via);
                self.return_to(nas, transmit.destination, listener, &octets)?;
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
                self.connections.decided(request.authenticator());
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
        match self.node.thread(place).check_gate() {
            GateCheck::Quiet => Ok(Phase::Gate),
            GateCheck::Ring(bell) => {
                self.ring(place as u32, self.node.thread_of_bell(bell))?;
                Ok(Phase::Gate)
            }
            GateCheck::Done => {
                self.check_rest()?;
                if self.follow(place)? == Followed::Ends {
                    return Ok(Phase::Away);
                }
                // As the runtime decides it, after a turn that had something to do as after any other.
                let has_unread = self.sockets.next_unread(place, SocketId(0)).is_some();
                let has_unread = has_unread && !seeded::is(Bug::ReadableSocketForgotten);
                let has_unread = has_unread || self.proxy.sockets.has_unread(place);
                let parks = !has_unread && self.node.thread(place).may_park();
                Ok(if parks { Phase::Announce } else { Phase::Return })
            }
        }
    }

    /// Rings the bell of a thread.
    pub(super) fn ring(&mut self, by: u32, recipient: usize) -> Result<(), Violation> {
        let turn = &mut self.threads[recipient];
        turn.rings += 1;
        let (ordinal, announced) = (turn.rings, turn.announced);
        self.trace.add(self.now, by, Kind::Rings, [recipient as u64, ordinal], &[]);
        channels::rung(recipient, ordinal, announced, self.now)?;
        let usual = self.draws.at(Class::BellLatency, recipient as u64, ordinal).range(500..=20_000);
        let (late, again) = thread::bell(recipient as u64, ordinal, self.now, &mut self.faults);
        self.threads[recipient].bells_on_their_way += 1;
        let event = Event::Bell { thread: recipient, real: true };
        self.schedule.add(self.now + usual + late, recipient, event);
        if let Some(again) = again {
            let event = Event::Bell { thread: recipient, real: false };
            self.schedule.add(self.now + usual + again, recipient, event);
        }
        Ok(())
    }

    pub(super) fn hear_bell(&mut self, place: usize, real: bool) -> Result<(), Violation> {
        let turn = &mut self.threads[place];
        let words = [u64::from(real), u64::from(turn.bell_pending)];
        turn.bell_pending = true;
        if real {
            turn.bells_on_their_way -= 1;
        }
        self.trace.add(self.now, place as u32, Kind::Bell, words, &[]);
        if self.threads[place].is_asleep() { self.wake(place, Cause::Bell) } else { Ok(()) }
    }

    fn park(&mut self, place: usize) -> Result<(), Violation> {
        let nanoseconds = |instant: Option<Instant>| instant.map(Instant::as_nanoseconds);
        let deadline = nanoseconds(self.node.thread(place).poll_timeout());
        let inside = nanoseconds(self.node.thread(place).earliest_deadline());
        channels::timeout(place, deadline, inside, self.now)?;
        let has_unread = self.sockets.next_unread(place, SocketId(0)).is_some();
        let has_unread = has_unread || self.proxy.sockets.has_unread(place);
        channels::parks(place, has_unread || self.node.thread(place).has_output(), self.now)?;
        let turn = &mut self.threads[place];
        turn.parks += 1;
        turn.phase = Phase::Asleep;
        let (park, pending, turn_now) = (turn.parks, turn.bell_pending, turn.now);
        let words = [park, deadline.unwrap_or(u64::MAX)];
        self.trace.add(self.now, place as u32, Kind::Parks, words, &[]);
        if park.is_multiple_of(PARKS_PER_SUM) {
            let snapshot = self.node.snapshot();
            execution::sums(&snapshot, self.handed, self.now)?;
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            self.connections.count(&case, snapshot.unverified, self.now)?;
            channels::balance(&snapshot, self.now)?;
        }
        // What was due when this turn took its time should have been done in it.
        if deadline.is_some_and(|deadline| deadline <= turn_now) {
            self.threads[place].overdue += 1;
            channels::overdue(place, self.threads[place].overdue, self.now)?;
        } else {
            self.threads[place].overdue = 0;
        }
        if pending {
            return self.wake(place, Cause::Bell);
        }
        if self.sockets.has_news(place) || self.proxy.sockets.has_news(place) {
            return self.wake(place, Cause::Datagram);
        }
        self.check_rest()?;
        if let Some(after) = thread::spurious_bell(place as u64, park, self.now, &mut self.faults) {
            self.schedule.add(self.now + after, place, Event::Bell { thread: place, real: false });
        }
        if let Some(deadline) = deadline {
            self.schedule.add(deadline.max(self.now), place, Event::Deadline { thread: place, park });
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, place: usize, cause: Cause) -> Result<(), Violation> {
        let quiet = self.plan.idle_from() + QUIET_AFTER;
        let restless = match cause {
            Cause::Bell | Cause::Datagram => self.now > quiet,
            Cause::Deadline => self.now > quiet + REST_AFTER + self.plan.clients_last(),
        };
        if restless {
            let details = format!("thread {place}, by {cause:?}");
            return Err(Violation { invariant: &channels::IDLE_REST, at: self.now, details });
        }
        let turn = &mut self.threads[place];
        turn.phase = Phase::Return;
        turn.wakes += 1;
        // A thread that sleeps has no turn that could lie behind.
        turn.now = self.now;
        let words = [turn.parks, cause as u64];
        let latency = self.draws.at(Class::WakeLatency, place as u64, turn.wakes).range(1_000..=60_000);
        self.trace.add(self.now, place as u32, Kind::Wakes, words, &[]);
        self.schedule.add(self.now + latency, place, Event::Phase(place));
        Ok(())
    }

    /// The law of the channels, over all threads.
    pub(super) fn check_rest(&mut self) -> Result<(), Violation> {
        let writer_before_gate = (0..self.threads.len())
            .any(|thread| self.threads[thread].is_here() && self.node.thread(thread).is_before_gate());
        for place in 0..self.threads.len() {
            let turn = &self.threads[place];
            if !turn.is_asleep() {
                continue;
            }
            let rest = channels::Rest {
                thread: place,
                asleep: true,
                bell_pending: turn.bell_pending,
                bells_on_their_way: turn.bells_on_their_way,
                writer_before_gate,
                urgent_visible: self.node.thread(place).urgent_visible(),
            };
            channels::rest(&rest, self.now)?;
        }
        Ok(())
    }
}

/// Until a thread goes on after a panic.
const PANIC: u64 = 100_000;
/// After the last NAS has gone home, the latest copy may come this much later, and be answered.
const QUIET_AFTER: u64 = 70 * SECOND;
/// So long after that, the last deadline has passed.
const REST_AFTER: u64 = 60 * SECOND;
/// The sums are drawn up once per so many parks.
const PARKS_PER_SUM: u64 = 16;
