//! What the world does with bells, sleeps and wake-ups of threads.

use super::{Event, SECOND, World};
use crate::checks::ledger::Case;
use crate::checks::{Violation, channels, execution};
use crate::draw::Class;
use crate::fault::thread;
use crate::trace::Kind;
use crate::turn::{Cause, Phase};
use std::ops::Range;
use ulna_core::Instant;

impl World<'_> {
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
        self.add_event(self.now + usual + late, recipient, event);
        if let Some(again) = again {
            let event = Event::Bell { thread: recipient, real: false };
            self.add_event(self.now + usual + again, recipient, event);
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

    /// Waits in the kernel.
    pub(super) fn park(&mut self, place: usize) -> Result<(), Violation> {
        let nanoseconds = |instant: Option<Instant>| instant.map(Instant::as_nanoseconds);
        let deadline = nanoseconds(self.thread(place).poll_timeout());
        let inside = nanoseconds(self.thread(place).earliest_deadline());
        channels::timeout(place, deadline, inside, self.now)?;
        let has_unread = self.has_unread(place) || self.proxy.sockets.has_unread(place);
        let has_output = self.thread(place).has_output();
        channels::parks(place, has_unread || has_output, self.now)?;
        let turn = &mut self.threads[place];
        turn.parks += 1;
        turn.phase = Phase::Asleep;
        let (park, pending, turn_now) = (turn.parks, turn.bell_pending, turn.now);
        let words = [park, deadline.unwrap_or(u64::MAX)];
        self.trace.add(self.now, place as u32, Kind::Parks, words, &[]);
        if park.is_multiple_of(PARKS_PER_SUM) && place >= self.first_threads {
            self.sum_up_relay(place)?;
        } else if park.is_multiple_of(PARKS_PER_SUM) {
            let snapshot = self.node.snapshot();
            execution::sums(&snapshot, self.handed, self.now)?;
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            self.connections.count(&case, snapshot.unverified, self.now)?;
            channels::balance(&snapshot, self.now)?;
            self.look_at_debts(0, &snapshot)?;
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
        if self.has_news(place) || self.proxy.sockets.has_news(place) {
            return self.wake(place, Cause::Datagram);
        }
        if self.has_control_work(place) {
            return self.wake(place, Cause::Control);
        }
        self.check_rest()?;
        if let Some(after) = thread::spurious_bell(place as u64, park, self.now, &mut self.faults) {
            self.add_event(self.now + after, place, Event::Bell { thread: place, real: false });
        }
        if let Some(deadline) = deadline {
            self.add_event(deadline.max(self.now), place, Event::Deadline { thread: place, park });
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, place: usize, cause: Cause) -> Result<(), Violation> {
        let quiet = self.plan.idle_from() + QUIET_AFTER;
        let restless = match cause {
            Cause::Bell | Cause::Datagram | Cause::Control => self.now > quiet,
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
        self.add_phase(self.now + latency, place);
        Ok(())
    }

    /// The law of the channels, over all threads of each server.
    pub(super) fn check_rest(&mut self) -> Result<(), Violation> {
        self.check_rest_of(0..self.first_threads)?;
        (0..self.relays.len()).try_for_each(|relay| self.check_rest_of(self.relays[relay].places()))
    }

    fn check_rest_of(&mut self, places: Range<usize>) -> Result<(), Violation> {
        let is_before_gate =
            |thread: usize| self.threads[thread].is_here() && self.thread(thread).is_before_gate();
        let writer_before_gate = places.clone().any(is_before_gate);
        for place in places {
            let turn = &self.threads[place];
            if !turn.is_asleep() {
                continue;
            }
            let (bell_pending, bells_on_their_way) = (turn.bell_pending, turn.bells_on_their_way);
            let rest = channels::Rest {
                thread: place,
                asleep: true,
                bell_pending,
                bells_on_their_way,
                writer_before_gate,
                urgent_visible: self.thread(place).urgent_visible(),
            };
            channels::rest(&rest, self.now)?;
        }
        Ok(())
    }
}

/// After the last NAS has gone home, the latest copy may come this much later, and be answered.
const QUIET_AFTER: u64 = 70 * SECOND;
/// So long after that, the last deadline has passed.
const REST_AFTER: u64 = 60 * SECOND;
/// The sums are drawn up once per so many parks.
const PARKS_PER_SUM: u64 = 16;
