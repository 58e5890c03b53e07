//! A bounded ring with one writer and one reader, both of which touch the other's cache line only when they must.
//!
//! Slots move messages by value. Sequences are `u64` and never wrap: at 10⁹ messages a second they last 500 years.
//! The writer owns `tail` and `want_space`, the reader owns `head`; three cache lines, 128 octets apart because
//! processors fetch them in pairs. Each side works on copies of its own and publishes once per batch.
//!
//! Knows nothing of sleep: who has to be woken is for the [`gate`](super::gate), and when for the
//! [`Crossing`](super::Crossing), whose SeqCst fences the comments here name.

// The path is written out because `tests/search_channels` compiles this file as a module of its own.
#[cfg(all(test, not(loom)))]
#[path = "ring/snapshot.rs"]
mod snapshot;

use super::sync::{Arc, AtomicU64, Ordering, UnsafeCell};
use crate::seeded::{self, Bug};
use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// A ring for at most `slots` unread messages, and its two ends.
///
/// # Panics
/// If `slots` is 0.
pub fn ring<M: Send>(slots: usize) -> (Producer<M>, Consumer<M>) {
    assert!(slots > 0, "a ring needs at least one slot");
    let bound = slots as u64;
    let places = slots.next_power_of_two();
    let shared = Arc::new(Shared {
        tail: Line(AtomicU64::new(0)),
        head: Line(AtomicU64::new(0)),
        // No head is ever below 0, so no move of it crosses 0.
        want_space: Line(AtomicU64::new(0)),
        slots: (0..places).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer {
        shared: shared.clone(),
        bound,
        tail: 0,
        published: 0,
        head: 0,
        want: 0,
        not_sync: PhantomData,
    };
    (producer, Consumer { shared, head: 0, published: 0, tested: 0, tail: 0, not_sync: PhantomData })
}

/// The writing end. There is one: it cannot be cloned, nor used by two threads at once.
///
/// ```compile_fail,E0277
/// fn shared_between_threads<T: Sync>(_: T) {}
/// shared_between_threads(ulna_core::queue::ring::ring::<u64>(2).0);
/// ```
pub struct Producer<M> {
    shared: Arc<Shared<M>>,
    /// Most unread messages; the slots are the next power of two.
    bound: u64,
    /// Sequence of the next message to be staged. published <= tail <= head + bound.
    tail: u64,
    /// What the reader has been told of `tail`.
    published: u64,
    /// The reader's head when last looked at: the real one may be further.
    head: u64,
    /// The head that `want_space` asks for.
    want: u64,
    not_sync: PhantomData<Cell<()>>,
}

impl<M: Send> Producer<M> {
    /// Messages that can be staged now, by the newest head that can be seen. It shrinks only by [`stage`](Self::stage).
    #[inline]
    pub fn room(&mut self) -> usize {
        self.look_at_head();
        (self.bound - (self.tail - self.head)) as usize
    }

    /// Messages that can be staged now, if so many are wanted: by the head that is known, and only where that does not
    /// show as much room by the newest that can be seen. Who writes few at a time thus leaves the reader's line alone.
    #[inline]
    pub fn room_for(&mut self, wanted: usize) -> usize {
        let known = (self.bound - (self.tail - self.head)) as usize;
        if known >= wanted { known } else { self.room() }
    }

    /// Puts a message into the next slot. The reader sees it after the next [`publish`](Self::publish).
    ///
    /// # Panics
    /// Without room: the caller counts room before it accepts.
    #[inline]
    pub fn stage(&mut self, message: M) {
        self.stage_each(core::iter::once(message));
    }

    /// The same with each of these messages, in order. If `messages` panics, what it has given before is staged.
    ///
    /// # Panics
    /// Without room for all of them.
    #[inline]
    pub fn stage_each(&mut self, messages: impl IntoIterator<Item = M>) {
        let Producer { shared, bound, tail, head, .. } = self;
        let mut staging = Moving { to: *tail, index: tail };
        for message in messages {
            if staging.to - *head == *bound {
                *head = shared.newest_head();
                assert!(staging.to - *head < *bound, "a message was staged into a full ring");
            }
            shared.slot(staging.to).with_mut(|slot| {
                // SAFETY: the slot is ours alone. It was last used by sequence `to - places`, which is below `head`
                // since `to < head + bound <= head + places`; the reader moved that message out before the Release
                // store of the head that our Acquire load saw. It reads the slot again only once a tail above this
                // sequence is published. There is one producer, and `&mut self` makes it one call.
                unsafe { (*slot).write(message) };
            });
            staging.to += 1;
        }
    }

    /// Shows the reader all that was staged; says whether there was anything. A SeqCst fence and a look at the
    /// reader's gate have to follow before this thread relies on its being read.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.published = self.tail;
        // Release pairs with the Acquire load in `Consumer::available`: who sees the tail sees the slots below it.
        let order = if seeded::is(Bug::TailPublishedRelaxed) { Ordering::Relaxed } else { Ordering::Release };
        self.shared.tail.0.store(self.tail, order);
        true
    }

    /// Whether more than half of the ring is unread, as far as can be seen. Looks at the reader's line only if the
    /// copy says yes, thus at most once per half a ring.
    #[inline]
    pub fn is_past_half(&mut self) -> bool {
        if self.tail - self.head <= self.bound / 2 {
            return false;
        }
        self.look_at_head();
        self.tail - self.head > self.bound / 2
    }

    /// Whether the reader has taken all that was published, as far as can be seen. For a seeded bug only: true or
    /// not, it says nothing about whether the reader will look again.
    pub fn was_empty(&mut self) -> bool {
        self.look_at_head();
        self.head == self.published
    }

    /// Asks the reader to say when half of the ring has been read from here on (or all, if that is less). What has
    /// been staged has to be published, and a SeqCst fence passed, before [`space_came`](Self::space_came) decides
    /// whether to sleep. Asking again replaces what was asked before.
    pub fn ask_for_space(&mut self) {
        self.look_at_head();
        // Not beyond the tail: the reader would never get there.
        self.want = (self.head + (self.bound / 2).max(1)).min(self.tail);
        self.set_mark();
    }

    /// Asks the reader to say when all that has been staged so far has been read. Otherwise as
    /// [`ask_for_space`](Self::ask_for_space).
    pub fn ask_for_drain(&mut self) {
        self.want = self.tail;
        self.set_mark();
    }

    fn set_mark(&mut self) {
        if !seeded::is(Bug::WantSpaceWrittenAfterSecondLook) {
            self.store_mark();
        }
    }

    /// Shows the reader what was asked for. Called from elsewhere only by a seeded bug.
    pub(super) fn store_mark(&mut self) {
        // Relaxed: ordered before the second look by the fence in `Gate::announce`. Read in `Consumer::space_wanted`.
        self.shared.want_space.0.store(self.want, Ordering::Relaxed);
    }

    /// Whether the reader has taken all that was staged, and given the slots back.
    pub fn is_drained(&mut self) -> bool {
        self.look_at_head();
        self.head == self.tail
    }

    /// Whether the reader has come as far as was asked.
    pub fn space_came(&mut self) -> bool {
        self.look_at_head();
        self.head >= self.want
    }

    /// Shows each message that was staged and not published. For inspection.
    pub fn for_each_staged(&self, mut f: impl FnMut(&M)) {
        for sequence in self.published..self.tail {
            // SAFETY: `stage` wrote the slot, and the reader does not touch it before a tail above it is published,
            // which `&self` keeps from happening while the reference lives.
            self.shared.slot(sequence).with(|slot| f(unsafe { (*slot).assume_init_ref() }));
        }
    }

    /// Whether the reader has come as far as was asked; for inspection.
    pub fn has_space_come(&self) -> bool {
        self.shared.head.0.load(Ordering::Acquire) >= self.want
    }

    #[inline]
    fn look_at_head(&mut self) {
        self.head = self.shared.newest_head();
    }
}

impl<M> Drop for Producer<M> {
    /// What was staged and never published is dropped here: nobody else knows of it.
    fn drop(&mut self) {
        while self.published < self.tail {
            // Counted down first: if the message's own drop panics, it is not dropped again.
            self.tail -= 1;
            self.shared.slot(self.tail).with_mut(|slot| {
                // SAFETY: sequences from `published` to `tail` were written by `stage`, and the reader reads only
                // below the published tail. Each is dropped once, as `tail` has been counted down.
                unsafe { (*slot).assume_init_drop() };
            });
        }
    }
}

/// The reading end. There is one: it cannot be cloned, nor used by two threads at once.
///
/// ```compile_fail,E0277
/// fn shared_between_threads<T: Sync>(_: T) {}
/// shared_between_threads(ulna_core::queue::ring::ring::<u64>(2).1);
/// ```
pub struct Consumer<M> {
    shared: Arc<Shared<M>>,
    /// Sequence of the next message to be taken. tested <= published <= head <= tail.
    head: u64,
    /// What the writer has been told of `head`.
    published: u64,
    /// The published head up to which `want_space` has been tested.
    tested: u64,
    /// The writer's tail when last looked at: the real one may be further.
    tail: u64,
    not_sync: PhantomData<Cell<()>>,
}

impl<M: Send> Consumer<M> {
    /// Messages that can be taken now, by the newest tail that can be seen.
    #[inline]
    pub fn available(&mut self) -> usize {
        // Acquire pairs with the Release store in `Producer::publish`: the slots below it are written.
        self.tail = self.shared.tail.0.load(Ordering::Acquire);
        (self.tail - self.head) as usize
    }

    /// Takes the oldest unread message. Its slot stays in use until [`publish_head`](Self::publish_head).
    #[inline]
    pub fn take(&mut self) -> Option<M> {
        if self.head == self.tail && self.available() == 0 {
            return None;
        }
        let slot = self.shared.slot(self.head);
        self.head += 1;
        // SAFETY: the sequence is below a tail that our Acquire load saw, so `stage` has written the slot and, until
        // a head above it is published, writes it no more. `head` has moved on, so it is moved out once; neither
        // `Shared::drop` nor a later `take` reads it again.
        Some(slot.with(|slot| unsafe { (*slot).assume_init_read() }))
    }

    /// Takes at most so many of the oldest unread messages that [`available`](Self::available) has seen, in order, and gives
    /// each to `f`; says how many there were. Their slots stay in use until [`publish_head`](Self::publish_head).
    ///
    /// If `f` panics, the messages it has not been given stay unread.
    #[inline]
    pub fn take_each(&mut self, most: usize, mut f: impl FnMut(M)) -> usize {
        let taken = most.min((self.tail - self.head) as usize);
        // Two runs of neighbours instead of a place by its sequence for each: the loops know their bounds.
        let [first, second] = self.shared.runs(self.head, taken);
        let mut taking = Moving { to: self.head, index: &mut self.head };
        for run in [first, second] {
            for slot in run {
                // SAFETY: as in `take`: the sequence is below a tail that our Acquire load saw. `to` moves on before `f`
                // is called, and `head` follows it even if `f` panics, so the message is moved out once.
                let message = slot.with(|slot| unsafe { (*slot).assume_init_read() });
                taking.to += 1;
                f(message);
            }
        }
        taken
    }

    /// Shows each unread message without taking it: for inspection, and never for a decision to sleep.
    pub fn for_each_unread(&self, mut f: impl FnMut(&M)) {
        // Acquire pairs with the Release store in `Producer::publish`, as in `available`.
        let tail = self.shared.tail.0.load(Ordering::Acquire);
        for sequence in self.head..tail {
            // SAFETY: as in `take`: the slot is written, and not written again before a head above it is published.
            // `&self` keeps it from being taken while the reference lives.
            self.shared.slot(sequence).with(|slot| f(unsafe { (*slot).assume_init_ref() }));
        }
    }

    /// Gives the slots of all that was taken back to the writer; says whether there were any. A SeqCst fence and
    /// [`space_wanted`](Self::space_wanted) have to follow.
    #[inline]
    pub fn publish_head(&mut self) -> bool {
        if self.published == self.head {
            return false;
        }
        self.published = self.head;
        if seeded::is(Bug::WantSpaceReadBeforeHead) && !self.is_mark_passed(self.tested, self.head) {
            // Decided now, and not again after the fence.
            self.tested = self.head;
        }
        // Release pairs with the Acquire load in `Producer::look_at_head`: what was moved out is out.
        self.shared.head.0.store(self.head, Ordering::Release);
        true
    }

    /// After [`publish_head`](Self::publish_head) and a SeqCst fence: whether the heads published since the last call
    /// have passed the mark that the writer waits for. True once per mark.
    #[inline]
    pub fn space_wanted(&mut self) -> bool {
        let (old, new) = (self.tested, self.published);
        if old == new {
            return false;
        }
        self.tested = new;
        self.is_mark_passed(old, new)
    }

    #[inline]
    fn is_mark_passed(&self, old: u64, new: u64) -> bool {
        // Relaxed: the caller's fence orders it after the store of head. It pairs with the fence in `Gate::announce`,
        // which follows the store in `Producer::store_mark`: either we see the mark or the writer sees our head.
        let want = self.shared.want_space.0.load(Ordering::Relaxed);
        if seeded::is(Bug::SpaceCrossingOffByOne) {
            return old < want && want < new;
        }
        old < want && want <= new
    }
}

impl<M> Drop for Consumer<M> {
    fn drop(&mut self) {
        // For `Shared::drop`, which must not drop again what was taken. No message is dropped here, so that nothing
        // can panic before the store.
        if self.published < self.head {
            // Release, as in `publish_head`: the writer may use these slots until it goes, too.
            self.shared.head.0.store(self.head, Ordering::Release);
        }
    }
}

/// What both ends see.
struct Shared<M> {
    /// Messages below it are written. The writer's.
    tail: Line<AtomicU64>,
    /// Messages below it are taken. The reader's.
    head: Line<AtomicU64>,
    /// The head at which the writer wants to be woken. The writer's, on a line of its own: stored only by one that
    /// is about to sleep.
    want_space: Line<AtomicU64>,
    /// A power of two of them, so that a sequence finds its slot by its low bits.
    slots: Box<[UnsafeCell<MaybeUninit<M>>]>,
}

/// A cache line and the one that processors fetch with it.
#[repr(align(128))]
struct Line<T>(T);

// SAFETY: the two ends may live in two threads. A slot is touched by one of them at a time, handed over by `tail` one
// way and by `head` the other, and a message is moved from one thread to the other, thus `M: Send`. Never do two
// threads hold a reference to the same message, so that `M: Sync` is not needed.
unsafe impl<M: Send> Sync for Shared<M> {}
// SAFETY: whichever end goes last drops what is left, in its own thread: `M: Send` again.
unsafe impl<M: Send> Send for Shared<M> {}

/// An end's own index while it works on several messages: by itself, so that it need not go through memory for each of
/// them, and put back whatever ends that, a panic of the caller's code too.
struct Moving<'i> {
    index: &'i mut u64,
    to: u64,
}

impl Drop for Moving<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.index = self.to;
    }
}

impl<M> Shared<M> {
    #[inline]
    fn newest_head(&self) -> u64 {
        // Acquire pairs with the Release store in `Consumer::publish_head`: the slots below it are free.
        self.head.0.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn slot(&self, sequence: u64) -> &UnsafeCell<MaybeUninit<M>> {
        // The number of slots is a power of two: its low bits alone, and the compiler sees that they are in bounds.
        &self.slots[sequence as usize & (self.slots.len() - 1)]
    }

    /// The places of so many messages from this one on: up to the end of the slots, and from their beginning.
    #[inline(always)]
    fn runs(&self, sequence: u64, messages: usize) -> [&[UnsafeCell<MaybeUninit<M>>]; 2] {
        let (before, from) = self.slots.split_at(sequence as usize & (self.slots.len() - 1));
        let in_first = messages.min(from.len());
        [&from[..in_first], &before[..messages - in_first]]
    }
}

impl<M> Drop for Shared<M> {
    /// Drops what was published and never taken.
    fn drop(&mut self) {
        // Relaxed: both ends are gone, and the counts of `Arc` have ordered their last stores before this.
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head < tail {
            let slot = self.slot(head);
            head += 1;
            slot.with_mut(|slot| {
                // SAFETY: nobody else is left; sequences from head to tail are written and not taken, each is
                // dropped once. If a message's drop panics, the others leak.
                unsafe { (*slot).assume_init_drop() };
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "ring/tests.rs"]
mod tests;
