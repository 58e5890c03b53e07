//! What a thread knows by itself of one link, copied and told apart, as `snapshot.rs` does it for the crossing.

use super::{Link, LinkEnd};
use crate::queue::gate::Urgency;
use alloc::vec::Vec;

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> LinkEnd<M> {
    /// A second end in the same state.
    ///
    /// # Safety
    /// As for the crossing.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn snapshot(&self) -> Self {
        let LinkEnd { own, link } = self;
        // SAFETY: the caller's promise.
        LinkEnd { own: *own, link: unsafe { link.snapshot() } }
    }
}

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> Link<M> {
    /// # Safety
    /// As for the crossing.
    #[allow(unsafe_code)]
    pub(in crate::queue) unsafe fn snapshot(&self) -> Self {
        let Link {
            outgoing,
            incoming,
            gate,
            bell,
            staged,
            published,
            touched,
            unchecked,
            waits_for_space,
            silenced,
        } = self;
        Link {
            // SAFETY: the caller's promise.
            outgoing: unsafe { outgoing.snapshot() },
            // SAFETY: the caller's promise.
            incoming: unsafe { incoming.snapshot() },
            gate: gate.clone(),
            bell: *bell,
            staged: *staged,
            published: *published,
            touched: *touched,
            unchecked: *unchecked,
            waits_for_space: *waits_for_space,
            silenced: *silenced,
        }
    }

    pub(in crate::queue) fn tell_apart(&self, by: &mut Vec<u64>) {
        let Link {
            outgoing,
            incoming,
            gate: _,
            bell,
            staged,
            published,
            touched,
            unchecked,
            waits_for_space,
            silenced,
        } = self;
        outgoing.tell_apart(by);
        incoming.tell_apart(by);
        let urgency = |urgency: &Option<Urgency>| match urgency {
            None => 0,
            Some(Urgency::Lazy) => 1,
            Some(Urgency::Urgent) => 2,
        };
        by.extend([u64::from(bell.0), urgency(staged), urgency(published)]);
        by.extend([touched, unchecked, waits_for_space, silenced].map(|flag| u64::from(*flag)));
    }
}
