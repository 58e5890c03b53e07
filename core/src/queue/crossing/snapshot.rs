//! What a thread knows by itself of its crossing, copied and told apart: for `tests/search_channels`. Every field is
//! named, so that a new one is not forgotten.

use super::{Crossing, Link, Park};
use crate::queue::gate::{Urgency, Woken};
use alloc::vec::Vec;

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> Crossing<M> {
    /// A second crossing of the same thread in the same state.
    ///
    /// # Safety
    /// Only one of the two may be used (and dropped) with the memory that both see.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn snapshot(&self) -> Self {
        let Crossing { bell, gate, links, touched, unchecked, park, counters } = self;
        Crossing {
            bell: *bell,
            gate: gate.clone(),
            // SAFETY: the caller's promise.
            links: links.iter().map(|link| unsafe { link.snapshot() }).collect(),
            touched: touched.clone(),
            unchecked: unchecked.clone(),
            park: *park,
            counters: *counters,
        }
    }

    /// Everything that tells two states of this crossing apart. Not its counters: nothing is decided by them.
    pub(crate) fn tell_apart(&self, by: &mut Vec<u64>) {
        let Crossing { bell, gate: _, links, touched, unchecked, park, counters: _ } = self;
        by.extend([u64::from(bell.0), links.len() as u64]);
        links.iter().for_each(|link| link.tell_apart(by));
        for line in [touched, unchecked] {
            by.push(line.len() as u64);
            by.extend(line.iter().map(|at| *at as u64));
        }
        by.push(match park {
            // What came before only decides what is counted.
            Park::Running | Park::Left(Woken::Rung | Woken::Itself) | Park::RungForNothing => 0,
            Park::Announced => 1,
            Park::Cancelled => 2,
            Park::Asleep => 3,
        });
    }
}

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> Link<M> {
    /// # Safety
    /// As for the crossing.
    #[allow(unsafe_code)]
    unsafe fn snapshot(&self) -> Self {
        let Link { outgoing, incoming, gate, bell, staged, published, touched, waits_for_space, silenced } =
            self;
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
            waits_for_space: *waits_for_space,
            silenced: *silenced,
        }
    }

    fn tell_apart(&self, by: &mut Vec<u64>) {
        let Link { outgoing, incoming, gate: _, bell, staged, published, touched, waits_for_space, silenced } =
            self;
        outgoing.tell_apart(by);
        incoming.tell_apart(by);
        let urgency = |urgency: &Option<Urgency>| match urgency {
            None => 0,
            Some(Urgency::Lazy) => 1,
            Some(Urgency::Urgent) => 2,
        };
        by.extend([u64::from(bell.0), urgency(staged), urgency(published)]);
        by.extend([touched, waits_for_space, silenced].map(|flag| u64::from(*flag)));
    }
}
