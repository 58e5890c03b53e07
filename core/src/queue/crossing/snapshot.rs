//! What a thread knows by itself of its crossing, copied and told apart: for `tests/search_channels`. Every field is
//! named, so that a new one is not forgotten.

use super::{Crossing, Park};
use crate::queue::gate::Woken;
use crate::queue::mailbox::Letters;
use alloc::vec::Vec;

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M, L> Crossing<M, L> {
    /// A second crossing of the same thread in the same state.
    ///
    /// # Safety
    /// Only one of the two may be used (and dropped) with the memory that both see.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn snapshot(&self) -> Self {
        let Crossing { bell, gate, mailbox, letters, links, touched, unchecked, park, counters } = self;
        assert!(letters.is_empty(), "whoever is copied has read its letters");
        Crossing {
            bell: *bell,
            gate: gate.clone(),
            mailbox: mailbox.clone(),
            letters: Letters::none(),
            // SAFETY: the caller's promise.
            links: links.iter().map(|link| link.as_ref().map(|link| unsafe { link.snapshot() })).collect(),
            touched: touched.clone(),
            unchecked: unchecked.clone(),
            park: *park,
            counters: *counters,
        }
    }

    /// Everything that tells two states of this crossing apart. Not its counters: nothing is decided by them.
    pub(crate) fn tell_apart(&self, by: &mut Vec<u64>) {
        let Crossing { bell, gate: _, mailbox: _, letters, links, touched, unchecked, park, counters: _ } =
            self;
        assert!(letters.is_empty(), "whoever is told apart has read its letters");
        by.extend([u64::from(bell.0), links.len() as u64]);
        for link in links {
            by.push(u64::from(link.is_some()));
            link.iter().for_each(|link| link.tell_apart(by));
        }
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
