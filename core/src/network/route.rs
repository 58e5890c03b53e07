//! Which worker may have a request: the owner of its conversation's slot, or where nothing ties it who has less to do.

use super::Network;
use crate::client::ClientId;
use crate::packet::{Code, Framed, Landmark};
use crate::path::WorkerId;

/// Which worker may have a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Any; the number chooses two of them.
    Anywhere(usize),
    /// This one and no other.
    To(WorkerId),
}

impl Network {
    /// The route of an Access-Request or Accounting-Request from this client.
    pub(super) fn route(&self, framed: &Framed<'_>, client: ClientId) -> Route {
        if framed.code() != Some(Code::AccessRequest) {
            // A Request Authenticator that is a digest is as good as drawn.
            let [a, b, c, d, ..] = *framed.authenticator();
            return Route::Anywhere(u32::from_le_bytes([a, b, c, d]) as usize);
        }
        let layout = framed.layout();
        let is_tied = layout.has(Landmark::State) || layout.has(Landmark::EapMessage);
        // Where threads are joined, the worker of the thread that read it, if nothing would tie it to a conversation
        // elsewhere; else the owner of its slot.
        let own = self.own_worker.filter(|_| !is_tied);
        Route::To(own.unwrap_or_else(|| self.slots.owner(self.slots.slot(framed, client))))
    }

    /// The worker for a route.
    pub(super) fn worker_for(&self, route: Route) -> WorkerId {
        match (route, self.own_worker) {
            (Route::Anywhere(_), Some(own)) => own,
            (Route::To(worker), _) => worker,
            (Route::Anywhere(draw), None) => {
                let workers = self.lanes.len();
                let [one, other] = [draw % workers, draw / workers % workers];
                let fewer = self.lanes[other].in_progress() < self.lanes[one].in_progress();
                WorkerId(if fewer { other } else { one } as u16)
            }
        }
    }
}
