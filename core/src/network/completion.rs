//! The end of a request: its fate counted, its reply kept for duplicates, its buffer back home.
//!
//! Every request has exactly one fate: answered, discarded with a reason, superseded, or orphaned by the death of a core.

use super::{ANSWERS_MAX, Answer, DelayedReject, Network};
use crate::dedup::Kept;
use crate::discard::Discard;
use crate::generation::Generation;
use crate::path::WorkerId;
use crate::request::buffer::Packet;
use crate::request::{Completion, Stamp};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::boxed::Box;

impl Network {
    /// The completion, if its request is one that this core gave to the worker. The fate of one that a predecessor gave is
    /// counted already, and nobody here knows it: its buffers go home, and that is all.
    pub(super) fn ours(&mut self, worker: WorkerId, completion: Completion) -> Option<Completion> {
        if completion.life() == self.buffers.life() || seeded::is(Bug::OlderCompletionBelieved) {
            return Some(completion);
        }
        self.under_way[completion.stamp().generation.parity()] -= 1;
        self.lanes[worker].end_request();
        let (buffer, longer_reply) = completion.into_buffers();
        self.buffers.give_back(buffer);
        self.send_home(worker, longer_reply);
        None
    }

    /// The worker has sent the reply itself.
    pub(super) fn finish_replied(&mut self, worker: WorkerId, completion: Completion, now: Instant) {
        let kept = self.dedup.answer(completion.stamp().handle, completion.reply_octets(), now);
        self.count(completion.stamp(), kept);
        self.end(worker, completion, kept);
    }

    /// This thread is to send the reply when its time has come.
    pub(super) fn finish_delayed(
        &mut self,
        worker: WorkerId,
        completion: Completion,
        not_before: Instant,
        now: Instant,
    ) {
        let stamp = *completion.stamp();
        if not_before == Instant::ORIGIN {
            return self.finish_on_stream(worker, completion, now);
        }
        let waits = self.may_delay(stamp.signed);
        let told_by = *self.dedup.told_by(stamp.handle);
        let current = if waits { self.dedup.delay(stamp.handle) } else { self.dedup.forget(stamp.handle) };
        match (current, waits) {
            (true, true) => {
                self.leave(worker, stamp.generation);
                // The worker has buffers for long replies only as long as their requests are in progress.
                let (reply, longer_reply) = completion.into_reply(&mut self.buffers);
                self.send_home(worker, longer_reply);
                // The line is in order of time. Completions of several workers come in no order, and one that waited for an
                // effect counts from when it was taken up; nearly always the place is the last.
                let later = self.delayed.iter().rev().take_while(|other| other.due > not_before).count();
                let place = self.delayed.len() - later;
                self.delayed_unsigned += usize::from(!stamp.signed);
                self.delayed.insert(place, DelayedReject { reply, due: not_before });
                self.counters.delayed_rejects.up();
            }
            (true, false) => {
                self.forget_sighting(&told_by);
                self.discard(stamp.path.remote, Discard::DelayedRejectsFull, now);
                self.end(worker, completion, Kept::Nothing);
                self.leave_stream(&stamp.path);
                self.go_on_by(&stamp.path, now);
            }
            (false, _) => {
                self.note_unwanted(&stamp);
                self.end(worker, completion, Kept::Superseded);
            }
        }
    }

    /// The reply to a request that came by a stream is written there at once.
    fn finish_on_stream(&mut self, worker: WorkerId, completion: Completion, now: Instant) {
        let stamp = *completion.stamp();
        let reply = completion.reply_octets();
        let kept = self.dedup.answer(stamp.handle, reply, now);
        if kept != Kept::Superseded {
            if let (Some(id), Some(reply)) = (stamp.path.stream(), reply) {
                self.streams.write(id, reply, now);
            }
            self.leave_stream(&stamp.path);
        }
        self.count(&stamp, kept);
        self.end(worker, completion, kept);
        self.go_on_by(&stamp.path, now);
    }

    /// There is no reply; a retransmission starts anew.
    pub(super) fn finish_discarded(
        &mut self,
        worker: WorkerId,
        completion: Completion,
        reason: Discard,
        now: Instant,
    ) {
        let stamp = *completion.stamp();
        let told_by = *self.dedup.told_by(stamp.handle);
        if self.dedup.forget(stamp.handle) {
            // Its retransmission starts anew.
            self.forget_sighting(&told_by);
            self.counters.discard(reason);
            self.end(worker, completion, Kept::Nothing);
            self.leave_stream(&stamp.path);
            self.go_on_by(&stamp.path, now);
        } else {
            self.note_unwanted(&stamp);
            self.end(worker, completion, Kept::Superseded);
        }
    }

    /// The worker has let go of what was superseded before it had decided.
    pub(super) fn finish_superseded(&mut self, worker: WorkerId, completion: Completion) {
        let is_wanted = self.dedup.forget(completion.stamp().handle);
        assert!(!is_wanted, "a worker is told to let go only of what a newer request has displaced");
        self.note_unwanted(completion.stamp());
        self.end(worker, completion, Kept::Superseded);
    }

    /// Sends the rejects whose time has come, as far as there is room for them among the packets to be sent.
    pub(super) fn release_delayed(&mut self, now: Instant) {
        while self.answers.len() < ANSWERS_MAX && self.delayed.front().is_some_and(|reject| reject.due <= now)
        {
            let Some(DelayedReject { reply, .. }) = self.delayed.pop_front() else { return };
            let stamp = *reply.stamp();
            self.delayed_unsigned -= usize::from(!stamp.signed);
            self.counters.delayed_rejects.down();
            let kept = self.dedup.release(stamp.handle, reply.octets(), now);
            self.count(&stamp, kept);
            match (kept, stamp.path.stream()) {
                (Kept::Reply | Kept::Nothing, None) => self.answers.push_back(Answer::Reject(reply)),
                (Kept::Reply | Kept::Nothing, Some(id)) => {
                    self.streams.write(id, reply.octets(), now);
                    self.buffers.give_back(reply.into_buffer());
                    self.leave_stream(&stamp.path);
                    self.go_on_by(&stamp.path, now);
                }
                (Kept::Superseded, _) => self.buffers.give_back(reply.into_buffer()),
            }
            self.note();
        }
    }

    /// Counts the fate of a request for which a reply was made.
    fn count(&self, stamp: &Stamp, kept: Kept) {
        match kept {
            Kept::Reply => self.counters.answered.up(),
            Kept::Nothing => {
                self.counters.answered.up();
                self.counters.replies_not_kept.up();
            }
            Kept::Superseded => self.note_unwanted(stamp),
        }
    }

    /// Whether one more reject may wait. Those of unsigned requests, which anybody can send, fill at most half of the
    /// line (rounded up).
    fn may_delay(&self, signed: bool) -> bool {
        let line_max = self.configuration.protocol.delayed_rejects_max;
        self.delayed.len() < line_max && (signed || self.delayed_unsigned < line_max.div_ceil(2))
    }

    fn end(&mut self, worker: WorkerId, completion: Completion, kept: Kept) {
        self.leave(worker, completion.stamp().generation);
        let (buffer, longer_reply) = completion.into_buffers();
        self.send_home(worker, longer_reply);
        if kept == Kept::Superseded && seeded::is(Bug::LateRepliedKeepsItsBuffer) {
            return;
        }
        self.buffers.give_back(buffer);
    }

    /// The worker has done with a request.
    fn leave(&mut self, worker: WorkerId, generation: Generation) {
        self.under_way[generation.parity()] -= 1;
        self.lanes[worker].end_request();
        self.counters.in_progress.down();
    }

    fn send_home(&mut self, worker: WorkerId, longer_reply: Option<Box<Packet>>) {
        if let Some(longer_reply) = longer_reply {
            self.lanes[worker].send_home(longer_reply);
        }
    }
}
