//! The ends of requests: a reply that goes, a record acknowledged, a discard by name, nobody who waits any more; and what is told of each.

use super::forwarding::Whose;
use super::in_progress::Held;
use super::reply;
use super::request::{Answered, Waiting};
use super::{EVENTS_MAX, LAZY_SWEEP, Worker};
use crate::discard::Discard;
use crate::event::{Event, Outcome, ShortName};
use crate::packet::Landmark;
use crate::path::NetworkId;
use crate::policy::ReplyKind;
use crate::queue::message::Message;
use crate::request::buffer::LARGE_OCTETS;
use crate::request::{Completion, Request, RequestHandle};
use crate::seeded::{self, Bug};
use crate::time::Instant;

impl Worker {
    /// The end of an Accounting-Request whose record is safe.
    pub(super) fn acknowledge(
        &mut self,
        network: NetworkId,
        request: Request,
        waiting: &Waiting,
        now: Instant,
    ) {
        let configuration = self.generations.of(request.stamp().generation);
        (self.desk.decided, self.desk.remote_server) = (Some(waiting.decided(configuration, &request)), None);
        if let Err(reason) = reply::acknowledge(configuration, &request, &mut self.desk) {
            return self.discard(network, request, reason, now);
        }
        self.counters.decisions.up();
        self.counters.records.up();
        if let Waiting::Record { is_spooled: true, .. } = waiting {
            self.counters.spooled.up();
        }
        self.note(&request, Outcome::Recorded, now);
        self.send(network, request, now);
    }

    /// The request's end with the reply that lies on the desk.
    pub(super) fn reply(
        &mut self,
        network: NetworkId,
        request: Request,
        answered: Answered,
        taken_up: Instant,
        now: Instant,
    ) {
        let Answered { kind, delay, asks } = answered;
        self.counters.decisions.up();
        let (count, outcome) = match kind {
            ReplyKind::Accept => (&self.counters.accepts, Outcome::Accept),
            ReplyKind::Reject => (&self.counters.rejects, Outcome::Reject),
            ReplyKind::Challenge => (&self.counters.challenges, Outcome::Challenge),
        };
        count.up();
        if let Some(asks) = asks {
            self.begin_asking(&request, asks, taken_up, now);
        }
        self.note(&request, outcome, now);
        self.send_later(network, request, taken_up, delay, now);
    }

    /// The reply that lies on the desk goes at once: a datagram from here, what goes to a stream by its network core.
    pub(super) fn send(&mut self, network: NetworkId, request: Request, now: Instant) {
        let is_by_stream = request.stamp().path.stream().is_some();
        let completion = self.completed(request, now);
        if is_by_stream {
            self.complete(network, Message::Reply { completion, not_before: Instant::ORIGIN });
        } else {
            self.transmits.push_back((network, completion));
        }
    }

    /// The request's end without a reply.
    pub(super) fn discard(&mut self, network: NetworkId, request: Request, reason: Discard, now: Instant) {
        self.note(&request, Outcome::Discarded(reason), now);
        self.counters.discard(reason);
        self.complete(network, Message::Discarded { completion: request.discarded(), reason });
    }

    /// The same for one that waited.
    pub(super) fn discard_held(
        &mut self,
        network: NetworkId,
        request: Request,
        waiting: &Waiting,
        reason: Discard,
        now: Instant,
    ) {
        self.stop_waiting(&request, waiting, now);
        self.discard(network, request, reason, now);
    }

    /// A request that waits is about to have its end without what it waits for.
    pub(super) fn stop_waiting(&mut self, request: &Request, waiting: &Waiting, now: Instant) {
        let generation = request.stamp().generation;
        self.desk.decided = Some(waiting.decided(self.generations.of(generation), request));
        self.desk.remote_server = None;
        if let Waiting::Reply(awaited) = waiting {
            self.desk.remote_server = self.forwarding.number(awaited.server, generation);
            let whose = Whose::Request(awaited.ticket);
            self.forwarding.give_up(awaited.server, awaited.slot, whose, now);
            let goes_on = self.decisions.take(awaited.decision);
            self.give_round_up(&goes_on);
            self.note_forwarding(now);
        }
        if let Waiting::Record { then: Some(decision), .. } = waiting {
            self.decisions.take(*decision);
        }
    }

    /// Nobody waits for a request any more. If it waits for an effect its end is now; the answer will find nothing.
    pub(super) fn let_go(&mut self, network: NetworkId, handle: RequestHandle, now: Instant) {
        if seeded::is(Bug::SupersededRequestAnswered) {
            return;
        }
        let Some(Held { request, waiting, .. }) = self.held.take_named(network, handle) else {
            self.counters.late_notices.up();
            return;
        };
        self.counters.requests_held.set(self.held.len() as u64);
        self.stop_waiting(&request, &waiting, now);
        self.note(&request, Outcome::Superseded, now);
        self.complete(network, Message::Superseded(request.discarded()));
    }

    /// The request's end with the reply that lies on the desk.
    pub(super) fn completed(&mut self, request: Request, now: Instant) -> Completion {
        let Worker { reply_buffers, counters, desk, lazy_sweep, .. } = self;
        request.answered(&desk.packet, || {
            let buffer = reply_buffers.take(LARGE_OCTETS).expect("there is one for each request in progress");
            lazy_sweep.get_or_insert(now + LAZY_SWEEP);
            counters.reply_buffers_made.set(reply_buffers.made() as u64);
            counters.reply_buffers_lent.set(reply_buffers.lent() as u64);
            buffer
        })
    }

    pub(super) fn complete(&mut self, network: NetworkId, message: Message) {
        if self.outboxes[usize::from(network.0)].room == 0 && seeded::is(Bug::CompletionDroppedAtFullRing) {
            return;
        }
        self.counters.completions_waiting.up();
        self.outboxes[usize::from(network.0)].waiting.push_back(message);
    }

    pub(super) fn note(&mut self, request: &Request, outcome: Outcome, now: Instant) {
        let stamp = request.stamp();
        if !self.generations.of(stamp.generation).log.requests {
            return;
        }
        let framed = request.framed();
        self.tell(Event::Finished {
            received: stamp.received,
            finished: now,
            remote: stamp.path.remote,
            generation: stamp.generation,
            client: request.whose().for_event(),
            listener: stamp.path.listener,
            identifier: framed.identifier(),
            request_authenticator: *framed.authenticator(),
            user_name: ShortName::new(framed.value(Landmark::UserName).unwrap_or_default()),
            decided: self.desk.decided,
            remote_server: self.desk.remote_server,
            outcome,
        });
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.counters.events_lost.up();
        } else {
            self.events.push_back(event);
        }
    }
}
