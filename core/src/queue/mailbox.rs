//! Letters to one thread, from any number of writers: new links, and whatever else reaches it seldom.
//!
//! Cold: a letter is an allocation and a swap. Unbounded, unlike everything else that grows, since only a supervisor
//! writes letters, a few per thread that comes or goes; nothing that a peer on the network can cause may become one.
//! What a letter says is its reader's business.
//!
//! A stack that is taken whole and turned round. So there is no top that a reader could find changed and put back
//! behind it: whoever swaps in a letter only compares the top and never follows it, and who takes, takes all.
//! Knows nothing of sleep: [`ThreadHandle::post`](super::directory::ThreadHandle::post) has the fence and the gate.

use super::sync::{AtomicPtr, Ordering};
use alloc::boxed::Box;
use core::ptr::null_mut;

/// The letters of one thread that it has not taken yet.
pub struct Mailbox<L> {
    /// The newest letter, or null.
    newest: AtomicPtr<Letter<L>>,
}

/// In this order of fields: the modelled memory of `tests/search_channels` reads them.
#[repr(C)]
struct Letter<L> {
    /// The letter before it; once taken and turned round, the one after it.
    next: *mut Letter<L>,
    content: L,
}

// SAFETY: a letter goes from the thread that posts it to the one that takes it, thus `L: Send`. Nobody holds a reference
// to one that is in the mailbox, so that `L: Sync` is not needed.
unsafe impl<L: Send> Sync for Mailbox<L> {}
// SAFETY: whoever drops the mailbox drops what is left in it, in its own thread: `L: Send` again.
unsafe impl<L: Send> Send for Mailbox<L> {}

impl<L> Mailbox<L> {
    /// An empty one.
    pub fn new() -> Self {
        Mailbox { newest: AtomicPtr::new(null_mut()) }
    }

    /// Puts a letter in. Letters of one thread are taken in the order in which it has put them in.
    pub fn put(&self, content: L) {
        let letter = Box::into_raw(Box::new(Letter { next: null_mut(), content }));
        // Relaxed: what is found is only compared and handed on, never followed by this thread.
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: `letter` comes from the box above, and nobody else knows of it before the exchange succeeds.
            unsafe { (*letter).next = newest };
            // Release pairs with the Acquire swap in `take`: who takes the letter sees what it says. The letters below
            // it are seen, too: this is a read-modify-write and thus continues the release sequence of each of them.
            // What the failing load saw is only compared, as above: Relaxed. It fails only if somebody else's letter
            // came or all were taken.
            match self.newest.compare_exchange(newest, letter, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => newest = found,
            }
        }
    }

    /// Whether there is no letter now. After a thread has announced its sleep this is part of its second look.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Relaxed: nothing is read through it. The fence in `Gate::announce` orders it, and pairs with the one between
        // `put` and the look at the gate in `ThreadHandle::post`.
        self.newest.load(Ordering::Relaxed).is_null()
    }

    /// Takes all letters out.
    pub fn take(&self) -> Letters<L> {
        // Acquire pairs with the Release exchange in `put`.
        let mut from = self.newest.swap(null_mut(), Ordering::Acquire);
        let mut oldest = null_mut();
        while !from.is_null() {
            // SAFETY: `from` was put in by `put`, and the swap has made everything below the top this call's alone: each
            // letter is reached once. The Acquire has seen its content and the pointer below it.
            let next = unsafe { core::mem::replace(&mut (*from).next, oldest) };
            oldest = from;
            from = next;
        }
        Letters { oldest }
    }
}

impl<L> Default for Mailbox<L> {
    fn default() -> Self {
        Mailbox::new()
    }
}

impl<L> Drop for Mailbox<L> {
    /// Drops what was put in and never taken.
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Letters that were taken out together, oldest first. What is not asked for is dropped with it.
pub struct Letters<L> {
    /// The next to be given, or null. The rest hangs on it; all of it is this value's own.
    oldest: *mut Letter<L>,
}

// SAFETY: it owns its letters, as a list of boxes would.
unsafe impl<L: Send> Send for Letters<L> {}

impl<L> Letters<L> {
    /// None.
    pub const fn none() -> Self {
        Letters { oldest: null_mut() }
    }

    /// Whether there is none left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.oldest.is_null()
    }
}

impl<L> Iterator for Letters<L> {
    type Item = L;

    fn next(&mut self) -> Option<L> {
        if self.oldest.is_null() {
            return None;
        }
        // SAFETY: it was made by `Box::into_raw` in `put`, is owned by this list alone, and leaves it here.
        let letter = unsafe { Box::from_raw(self.oldest) };
        let Letter { next, content } = *letter;
        self.oldest = next;
        Some(content)
    }
}

impl<L> Drop for Letters<L> {
    fn drop(&mut self) {
        // One by one: a list that drops itself letter within letter could use up the stack.
        self.for_each(drop);
    }
}

#[cfg(all(test, not(loom)))]
#[path = "mailbox/tests.rs"]
mod tests;
