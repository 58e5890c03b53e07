//! The end of a request: its fate counted, its reply kept for duplicates, its buffer back home.
//!
//! Every request has exactly one fate: answered, discarded with a reason, or superseded.

use super::{Answer, DelayedReject, Network};
use crate::dedup::Kept;
use crate::discard::Discard;
use crate::path::WorkerId;
use crate::request::Completion;
use crate::seeded::{self, Bug};
use crate::time::Instant;

impl Network {
    /// The worker has sent the reply itself.
    pub(super) fn finish_replied(&mut self, worker: WorkerId, completion: Completion, now: Instant) {
        let kept = self.dedup.answer(completion.stamp().handle, completion.reply_octets(), now);
        match kept {
            Kept::Reply => self.counters.answered.up(),
            Kept::Nothing => {
                self.counters.answered.up();
                self.counters.replies_not_kept.up();
            }
            Kept::Superseded => self.counters.superseded.up(),
        }
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
        let reply = completion.reply_octets().expect("a delayed reply has octets");
        let (kept, reason) = if self.may_delay(stamp.signed) {
            (self.dedup.delay(stamp.handle, reply), Discard::RejectNotKept)
        } else {
            (Kept::Nothing, Discard::DelayedRejectsFull)
        };
        match kept {
            Kept::Reply => {
                // Completions of several workers come in no order; the line is in order of time.
                let due = self.delayed.back().map_or(not_before, |last| last.due.max(not_before));
                self.delayed_unsigned += usize::from(!stamp.signed);
                let (handle, path, signed) = (stamp.handle, stamp.path, stamp.signed);
                self.delayed.push_back(DelayedReject { handle, path, signed, due });
                self.counters.delayed_rejects.up();
            }
            Kept::Nothing if self.dedup.forget(stamp.handle) => {
                self.discard(stamp.path.remote, reason, now);
            }
            Kept::Nothing | Kept::Superseded => self.counters.superseded.up(),
        }
        self.end(worker, completion, kept);
    }

    /// There is no reply; a retransmission starts anew.
    pub(super) fn finish_discarded(&mut self, worker: WorkerId, completion: Completion, reason: Discard) {
        if self.dedup.forget(completion.stamp().handle) {
            self.counters.discard(reason);
            self.end(worker, completion, Kept::Nothing);
        } else {
            self.counters.superseded.up();
            self.end(worker, completion, Kept::Superseded);
        }
    }

    /// Sends the rejects whose time has come, as far as there is room for them among the packets to be sent.
    pub(super) fn release_delayed(&mut self, now: Instant) {
        while let Some(reject) = self.delayed.front()
            && reject.due <= now
        {
            let (handle, path, signed) = (reject.handle, reject.path, reject.signed);
            if self.answer(Answer::Kept(handle, path)).is_err() {
                return;
            }
            self.delayed.pop_front();
            self.delayed_unsigned -= usize::from(!signed);
            self.counters.delayed_rejects.down();
            if self.dedup.release(handle, now) {
                self.counters.answered.up();
            } else {
                self.counters.superseded.up();
            }
        }
    }

    /// Whether one more reject may wait. Those of unsigned requests, which anybody can send, fill at most half of the
    /// line (rounded up).
    fn may_delay(&self, signed: bool) -> bool {
        let line_max = self.configuration.protocol.delayed_rejects_max;
        self.delayed.len() < line_max && (signed || self.delayed_unsigned < line_max.div_ceil(2))
    }

    fn end(&mut self, worker: WorkerId, completion: Completion, kept: Kept) {
        self.lanes[usize::from(worker.0)].end_request();
        self.counters.in_progress.down();
        self.under_way[completion.stamp().generation.parity()] -= 1;
        let (buffer, longer_reply) = completion.into_buffers();
        if let Some(longer_reply) = longer_reply {
            self.lanes[usize::from(worker.0)].send_home(longer_reply);
        }
        if kept == Kept::Superseded && seeded::is(Bug::LateRepliedKeepsItsBuffer) {
            return;
        }
        self.buffers.give_back(buffer);
    }
}
