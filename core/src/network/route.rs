//! Which worker may have a request. DESIGN: the owner of its conversation's slot, or where nothing ties it, who has less
//! to do.

use crate::client::ClientId;
use crate::conversation::slot::Slots;
use crate::packet::{Code, Framed, Landmark};
use crate::path::WorkerId;

/// Which worker may have a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Any; the number chooses two of them.
    Anywhere(usize),
    /// The owner of its slot; where threads are joined, also the worker of the thread that read it: it has neither
    /// State nor EAP-Message that would tie it to a conversation elsewhere.
    Opening(WorkerId),
    /// The owner of its slot and no other.
    Conversation(WorkerId),
}

impl Route {
    /// The route of an Access-Request or Accounting-Request from this client.
    pub(super) fn of(framed: &Framed<'_>, client: ClientId, slots: &Slots) -> Route {
        let layout = framed.layout();
        if framed.code() == Some(Code::AccessRequest) {
            let owner = slots.owner(slots.slot(framed, client));
            let is_tied = layout.has(Landmark::State) || layout.has(Landmark::EapMessage);
            if is_tied { Route::Conversation(owner) } else { Route::Opening(owner) }
        } else {
            // A Request Authenticator that is a digest is as good as drawn.
            let [a, b, c, d, ..] = *framed.authenticator();
            Route::Anywhere(u32::from_le_bytes([a, b, c, d]) as usize)
        }
    }
}
