//! Which worker may have a request: the owner of its conversation's slot, or where nothing ties it who has less to do.

use super::Network;
use crate::client::{Clients, Whose};
use crate::packet::{Code, Framed, Landmark};
use crate::path::WorkerId;

/// Which worker may have a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Any; the number chooses two of them.
    Anywhere(usize),
    /// This one and no other.
    To(WorkerId),
    /// The owner of this slot.
    Slot(usize),
}

impl Network {
    /// The route of a request from this client.
    pub(super) fn route(&self, framed: &Framed<'_>, whose: &Whose, clients: &Clients) -> Route {
        if framed.code() != Some(Code::AccessRequest) {
            // A Request Authenticator that is a digest is as good as drawn.
            let [a, b, c, d, ..] = *framed.authenticator();
            return Route::Anywhere(u32::from_le_bytes([a, b, c, d]) as usize);
        }
        let layout = framed.layout();
        let is_tied = layout.has(Landmark::State) || layout.has(Landmark::EapMessage);
        // Where threads are joined, the worker of the thread that read it, if nothing would tie it to a conversation
        // elsewhere; else the owner of its slot.
        let slot = || self.slots.slot(framed, &whose.client(clients).name);
        match self.own_worker.filter(|_| !is_tied) {
            None => Route::Slot(slot()),
            // What it is, its owner need not find out and send it where it is.
            Some(own) if self.may_begin_conversations() => {
                let slot = slot();
                if self.slots.owners().owner(slot) == own { Route::Slot(slot) } else { Route::To(own) }
            }
            Some(own) => Route::To(own),
        }
    }

    /// Whether there is anything by which a request could be the first of several.
    fn may_begin_conversations(&self) -> bool {
        !self.configuration.pools.is_empty() || self.configuration.users.has_codes()
    }

    /// The worker for a route.
    pub(super) fn worker_for(&self, route: Route) -> WorkerId {
        match (route, self.own_worker) {
            (Route::Anywhere(_), Some(own)) => own,
            (Route::To(worker), _) => worker,
            (Route::Slot(slot), _) => self.slots.owners().owner(slot),
            (Route::Anywhere(draw), None) => {
                let workers = self.slots.owners().workers();
                let [one, other] =
                    [draw % workers.len(), draw / workers.len() % workers.len()].map(|place| workers[place]);
                let fewer = self.lanes[other].in_progress() < self.lanes[one].in_progress();
                if fewer { other } else { one }
            }
        }
    }

    /// Whether another worker than the one of this route may know the request's State.
    pub(super) fn may_be_elsewhere(&self, route: Route) -> bool {
        match route {
            Route::Slot(slot) => self.slots.owners().previous(slot).is_some(),
            Route::Anywhere(_) | Route::To(_) => false,
        }
    }
}
