//! Workers that come and go, and what is not known where it was sent first.

use super::lane::{Lane, strangers_max};
use super::{Message, Network};
use crate::configuration::Configuration;
use crate::conversation::slot::{SlotOwners, Slots};
use crate::cores::Outstanding;
use crate::discard::Discard;
use crate::path::WorkerId;
use crate::request::Request;
use crate::request::class::Class;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::sync::Arc;

/// Buffers for what one worker may have.
pub(super) fn for_each_worker(configuration: &Configuration) -> usize {
    let requests_max = configuration.runtime.requests_max;
    requests_max + strangers_max(requests_max)
}

impl Network {
    /// A worker has come: there is a ring to it, and there are buffers for as many requests as it may have. It gets requests
    /// once it owns slots.
    pub fn add_worker(&mut self, worker: WorkerId) {
        self.add_lane(worker, Outstanding::default());
        self.buffers.raise(for_each_worker(&self.configuration));
    }

    /// The way to a worker; what is outstanding there is of a core that was here before.
    pub(super) fn add_lane(&mut self, worker: WorkerId, outstanding: Outstanding) {
        let runtime = &self.configuration.runtime;
        self.under_way.iter_mut().zip(outstanding.away).for_each(|(sum, away)| *sum += away as usize);
        self.lanes.add(worker, Lane::new(runtime.ring_slots, runtime.requests_max, outstanding));
    }

    /// A worker has gone: it has said its last, and so have we.
    pub fn remove_worker(&mut self, worker: WorkerId) {
        let lane = &self.lanes[worker];
        assert!(
            lane.in_progress() + lane.strangers() == 0,
            "a worker goes when it has given all requests back"
        );
        self.lanes.remove(worker);
        self.buffers.lower(for_each_worker(&self.configuration));
    }

    /// Whether nothing of ours or of the worker's is left on the way to it.
    pub fn has_done_with(&self, worker: WorkerId) -> bool {
        let lane = &self.lanes[worker];
        lane.in_progress() == 0 && lane.strangers() == 0 && lane.buffers() == 0 && !lane.has_notices()
    }

    /// Who owns which slot, as this core has it.
    pub fn owners(&self) -> &SlotOwners {
        self.slots.owners()
    }

    /// The slots as this core has them.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Slots have changed hands, or what they remember is void.
    pub fn handle_owners(&mut self, owners: &Arc<SlotOwners>, now: Instant) {
        let before = self.slots.owners().workers().to_vec();
        self.slots.set_owners(Arc::clone(owners));
        // Who leaves does nothing any more that may take as long as a reader likes.
        for worker in before.into_iter().filter(|worker| !owners.workers().contains(worker)) {
            self.lose_tasks(worker, now);
        }
    }

    /// The worker does not know the State of a request whose slot has another previous owner: that is asked next. If it does
    /// not know it either, the owner decides, as about any new request.
    pub(super) fn send_elsewhere(&mut self, from: WorkerId, request: Request, now: Instant) {
        let stamp = *request.stamp();
        self.under_way[stamp.generation.parity()] -= 1;
        self.lanes[from].end_request();
        if stamp.handle.life != self.life() {
            return self.buffers.give_back(request.into_buffer());
        }
        self.counters.in_progress.down();
        if seeded::is(Bug::ElsewhereNotSentBack) {
            return self.buffers.give_back(request.into_buffer());
        }
        let clients = &self.generations.of(stamp.generation).clients;
        let slot = self.slots.slot(&request.framed(), &request.whose().client(clients).name);
        let (owner, previous) = (self.slots.owners().owner(slot), self.slots.owners().previous(slot));
        let (to, may_be_elsewhere) = match previous {
            Some(previous) if from == owner => (previous, true),
            Some(_) | None => (owner, false),
        };
        if !self.dedup.is_with_worker(stamp.handle) {
            self.note_unwanted(&stamp);
            return self.buffers.give_back(request.into_buffer());
        }
        if let Err(reason) = self.lanes[to].check(Class::of(&request.framed())) {
            self.give_up(request, reason, now);
            return;
        }
        let number =
            self.send(to, Message::Request(request.to_be_sent(stamp.handle, may_be_elsewhere, false)));
        let before = self.lanes[to].begin_request();
        self.dedup.pass_on(stamp.handle, to);
        self.dedup.sent(stamp.handle, number, before);
        self.counters.in_progress.up();
        self.counters.sent_elsewhere.up();
        self.under_way[stamp.generation.parity()] += 1;
    }

    fn give_up(&mut self, request: Request, reason: Discard, now: Instant) {
        let path = request.stamp().path;
        self.forget_sighting(self.dedup.told_by(request.stamp().handle));
        self.dedup.forget(request.stamp().handle);
        self.discard(path.remote, reason, now);
        self.buffers.give_back(request.into_buffer());
        self.leave_stream(&path);
        self.go_on_by(&path, now);
    }
}
