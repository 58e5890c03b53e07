//! What an end of a ring knows by itself, copied and told apart: for `tests/search_channels`, which goes back to a
//! thread's state as often as the thread can go on from it. Compiled for tests only, where memory is a model.

use super::{Consumer, Producer};
use alloc::vec::Vec;
use core::marker::PhantomData;

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> Producer<M> {
    /// A second writing end in the same state.
    ///
    /// # Safety
    /// The two write the same slots: only one of them may be used (and dropped) with the memory that both see.
    pub(in crate::queue) unsafe fn snapshot(&self) -> Self {
        let Producer { shared, bound, tail, published, head, want, not_sync: PhantomData } = self;
        let (bound, tail, published, head, want) = (*bound, *tail, *published, *head, *want);
        Producer { shared: shared.clone(), bound, tail, published, head, want, not_sync: PhantomData }
    }

    /// Everything that tells two states of this end apart.
    pub(in crate::queue) fn tell_apart(&self, by: &mut Vec<u64>) {
        let Producer { shared: _, bound, tail, published, head, want, not_sync: PhantomData } = self;
        by.extend([bound, tail, published, head, want]);
    }
}

#[allow(dead_code, reason = "used where these sources are compiled over a modelled memory")]
impl<M> Consumer<M> {
    /// A second reading end in the same state.
    ///
    /// # Safety
    /// The two read the same slots: only one of them may be used (and dropped) with the memory that both see.
    pub(in crate::queue) unsafe fn snapshot(&self) -> Self {
        let Consumer { shared, head, published, tested, tail, not_sync: PhantomData } = self;
        let (head, published, tested, tail) = (*head, *published, *tested, *tail);
        Consumer { shared: shared.clone(), head, published, tested, tail, not_sync: PhantomData }
    }

    /// Everything that tells two states of this end apart.
    pub(in crate::queue) fn tell_apart(&self, by: &mut Vec<u64>) {
        let Consumer { shared: _, head, published, tested, tail, not_sync: PhantomData } = self;
        by.extend([head, published, tested, tail]);
    }
}
