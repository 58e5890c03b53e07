//! Two rings between two threads, one each way, and what each of the two keeps of them: a [`LinkEnd`] on its way to its
//! thread, a [`Link`] of its crossing once attached.

use super::BellId;
use crate::queue::directory::ThreadHandle;
use crate::queue::gate::{Gate, Urgency};
use crate::queue::ring::{Consumer, Producer, ring};
use crate::queue::sync::Arc;

/// One thread's end of two rings, and the thread at the other end.
pub(super) struct Link<M> {
    pub outgoing: Producer<M>,
    pub incoming: Consumer<M>,
    /// The other thread's gate.
    pub gate: Arc<Gate>,
    /// The other thread.
    pub bell: BellId,
    /// The most urgent message since the last publish.
    pub staged: Option<Urgency>,
    /// The most urgent message of the last publish, until its gate is checked.
    pub published: Option<Urgency>,
    /// Whether it is in `Crossing::touched`.
    pub touched: bool,
    /// Whether it is in `Crossing::unchecked`.
    pub unchecked: bool,
    /// Whether room has been asked for, or to hear that all is read, and has not come yet.
    pub waits_for_space: bool,
    /// Only ever set by seeded bugs, which decide before the publish what has to be decided after it.
    pub silenced: bool,
}

impl<M: Send> Link<M> {
    fn new<L>(outgoing: Producer<M>, incoming: Consumer<M>, other: &ThreadHandle<L>) -> Self {
        Link {
            outgoing,
            incoming,
            gate: other.gate().clone(),
            bell: other.bell(),
            staged: None,
            published: None,
            touched: false,
            unchecked: false,
            waits_for_space: false,
            silenced: false,
        }
    }
}

/// One end of a link, on its way to the thread that it was made for, which [attaches](super::Crossing::attach) it. The
/// other end may be in use long before that: what it has published waits here.
pub struct LinkEnd<M> {
    /// The thread that it was made for.
    own: BellId,
    link: Link<M>,
}

impl<M> LinkEnd<M> {
    /// The thread that it was made for.
    pub fn own(&self) -> BellId {
        self.own
    }

    /// The thread at the other end. For tests.
    #[cfg(test)]
    pub(crate) fn peer(&self) -> BellId {
        self.link.bell
    }

    pub(super) fn into_link(self) -> Link<M> {
        self.link
    }
}

/// Joins two threads by a ring of `slots` messages in each direction: the end of `one` and that of `other`, each to be
/// brought to its thread. The same two threads may be joined several times, once for each pair of their cores.
///
/// # Panics
/// If a thread is to be joined to itself (cores of one thread need no ring), or if `slots` is 0.
pub fn link<M: Send, L>(
    one: &ThreadHandle<L>,
    other: &ThreadHandle<L>,
    slots: usize,
) -> (LinkEnd<M>, LinkEnd<M>) {
    assert!(one.bell() != other.bell(), "a thread needs no ring to itself");
    let (to_other, from_one) = ring(slots);
    let (to_one, from_other) = ring(slots);
    (
        LinkEnd { own: one.bell(), link: Link::new(to_other, from_other, other) },
        LinkEnd { own: other.bell(), link: Link::new(to_one, from_one, one) },
    )
}

#[cfg(all(test, not(loom)))]
#[path = "link_snapshot.rs"]
mod snapshot;
