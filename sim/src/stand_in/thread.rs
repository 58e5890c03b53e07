//! A thread of the stand-in, phase by phase.

use super::{Flaw, Gate, Kept, Message, Thread};
use crate::phases::{Decision, GateCheck, NodeThread, Stands};
use ulna_core::time::UnixTime;
use ulna_core::{Instant, Path, Transmit};

impl NodeThread for Thread {
    fn unpark(&mut self, _now: Instant) {
        self.shared.borrow_mut().gates[self.place] = Gate::Run;
    }

    fn begin_turn(&mut self, _now: Instant) {
        self.has_sent = false;
    }

    fn handle_wall_time(&mut self, time: UnixTime) {
        self.wall = time.0;
    }

    fn sweep(&mut self, now: Instant) -> usize {
        let now = now.as_nanoseconds();
        self.swept_at = now;
        let messages = std::mem::take(&mut self.shared.borrow_mut().rings[self.place]);
        let taken = messages.len();
        for message in messages {
            match message {
                Message::Stray(path, octets) => {
                    self.count(|counts| counts.in_progress -= 1);
                    self.take_in(path, &octets, now);
                }
                Message::Request(request) => self.work(request, now),
                Message::Replied { key, named, reply, due, .. } => {
                    self.remember(key, &named, reply, due, now);
                }
            }
        }
        taken
    }

    fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.count(|counts| counts.received += 1);
        self.take_in(path, octets, now.as_nanoseconds());
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let now = now.as_nanoseconds();
        while let Some(&(due, key)) = self.delayed.first().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, key));
            let lifetime = self.shared.borrow().plan.limits.dedup_lifetime_ms * 1_000_000;
            let entry = self.entries.get_mut(&key).expect("what is delayed is kept");
            let until = now + lifetime;
            let kept = std::mem::replace(&mut entry.kept, Kept::InProgress);
            let Kept::Delayed { reply, .. } = kept else { unreachable!("it is in the list of the delayed") };
            if let Some((other, kept)) = self.shared.borrow_mut().taken.get_mut(&entry.named)
                && *other == key
            {
                *kept = Some((until, reply.clone()));
            }
            entry.kept = Kept::Done { until, reply: reply.clone() };
            let path = entry.path;
            self.finish_one();
            self.send(&path, reply);
        }
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.has(Flaw::ParksWithOutput) && std::mem::replace(&mut self.has_sent, true) {
            return None;
        }
        let (transmit, octets) = self.transmits.pop_front()?;
        out.extend_from_slice(&octets);
        Some(transmit)
    }

    fn stage_messages(&mut self, _now: Instant) {}

    fn publish(&mut self) {
        let mut shared = self.shared.borrow_mut();
        for (recipient, message) in self.staged.drain(..) {
            *self.unchecked.entry(recipient).or_default() |= message.is_urgent();
            shared.rings[recipient].push_back(message);
        }
    }

    fn check_gate(&mut self) -> GateCheck {
        let Some((recipient, urgent)) = self.unchecked.pop_first() else { return GateCheck::Done };
        let always = self.has(Flaw::RingsAlways);
        let mut shared = self.shared.borrow_mut();
        if always || (urgent && shared.gates[recipient] == Gate::Park) {
            shared.gates[recipient] = Gate::Rung;
            GateCheck::Ring(recipient)
        } else {
            GateCheck::Quiet
        }
    }

    fn is_before_gate(&self) -> bool {
        !self.unchecked.is_empty()
    }

    fn may_park(&self) -> bool {
        !self.has_output() || self.has(Flaw::ParksWithOutput)
    }

    fn has_output(&self) -> bool {
        !self.transmits.is_empty() || !self.staged.is_empty()
    }

    fn announce(&mut self) {
        self.shared.borrow_mut().gates[self.place] = Gate::Park;
    }

    fn look_again(&mut self) -> bool {
        let found = self.urgent_visible() && !self.has(Flaw::SecondLookMissing);
        if found {
            self.shared.borrow_mut().gates[self.place] = Gate::Run;
        }
        found
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let is_late = self.has(Flaw::TimeoutLate) || self.has(Flaw::TimeoutLateUnseen);
        let late = if is_late { 1_000_000 } else { 0 };
        self.deadline().map(|deadline| Instant::from_nanoseconds(deadline + late))
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        self.deadline().filter(|_| !self.has(Flaw::TimeoutLateUnseen)).map(Instant::from_nanoseconds)
    }

    fn urgent_visible(&self) -> bool {
        self.shared.borrow().rings[self.place].iter().any(Message::is_urgent)
    }

    fn know_newest(&mut self) {}

    fn put_in_force(&mut self) {
        self.generation = self.shared.borrow().sites.len() - 1;
    }

    fn needs_older(&self) -> bool {
        false
    }

    fn forget_older(&mut self) {}

    fn drain_decisions(&mut self, sink: &mut Vec<Decision>, _standings: &mut Vec<Stands>) {
        sink.append(&mut self.decisions);
    }
}
