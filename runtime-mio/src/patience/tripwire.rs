//! Counts wake-ups that were lost: the proof says that there are none, and this would tell if it were wrong.
//!
//! Whenever a sleep ends by a socket or a deadline and not by the bell, two things are looked at.
//!
//! 1. *A message slept through.* The gate says that nobody rang, an urgent message lies unread, and its writer is not
//!    between its publish and the last of its bells. Then the writer has looked at the gate and not rung, and the second
//!    look has missed the message: this sleep should never have begun, or should have been ended. A writer that *is* in
//!    between may be about to ring, and nothing is said of it.
//! 2. *A bell that does not come.* The gate says that a writer has rung. Its bell is owed until a wait brings it. If no
//!    thread is between publish and bells when the next wait begins, that bell has been rung before it, and the kernel has
//!    it: so that wait is a look that does not wait, and if it does not bring the bell, it was lost. If it does, as ever,
//!    the look has cost nothing, as the bell would have ended a sleep at once.
//!
//! So what is counted was lost: nothing is counted in error, and no time-out decides. The other way round it is not
//! exact. A loss is noticed when something else ends the sleep, which may be never; one whose writer publishes again at
//! that moment, or whose owed bell is taken for one that was rung for another reason, goes uncounted. A turn pays two
//! stores for it, and a sleep that no bell has ended a look at what is unread, which the turn is about to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ulna_core::queue::{BellId, Woken};

/// Which threads are between a publish and the last of its bells. Shared by all threads of a server.
#[derive(Debug, Clone)]
pub struct Rounds(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// By the numbers of threads.
    rounds: Box<[Round]>,
    /// All numbers that threads have had are below this.
    used: AtomicUsize,
    /// How many threads there are.
    threads: AtomicUsize,
    /// Of whoever posts letters, which is no thread of these.
    posts: Round,
}

/// Odd from before a publish until after its bells. On cache lines of its own: written each turn, hardly ever read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Round(AtomicU64);

impl Rounds {
    /// For so many threads, all of which are there.
    pub fn new(threads: usize) -> Rounds {
        let rounds = Rounds::with_room_for(threads);
        (0..threads).for_each(|thread| rounds.enter(BellId(thread as u16)));
        rounds
    }

    /// For at most so many threads, none of which is there.
    pub fn with_room_for(threads: usize) -> Rounds {
        Rounds(Arc::new(Shared {
            rounds: (0..threads).map(|_| Round::default()).collect(),
            used: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            posts: Round::default(),
        }))
    }

    /// A thread has come. Before it publishes anything.
    pub fn enter(&self, thread: BellId) {
        // Relaxed: whoever looks at its round has seen a message of it, or its bell, which came later; the locks and rings in
        // between order this.
        self.0.used.fetch_max(usize::from(thread.0) + 1, Ordering::Relaxed);
        self.0.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread has gone.
    pub fn leave(&self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.0.threads.load(Ordering::Relaxed)
    }

    /// By this thread itself, before it publishes.
    pub fn begin(&self, thread: BellId) {
        self.0.rounds[usize::from(thread.0)].begin();
    }

    /// By this thread itself, when it has rung all bells for what it published.
    pub fn end(&self, thread: BellId) {
        self.0.rounds[usize::from(thread.0)].end();
    }

    /// The same around letters that are posted, also if that panics. One poster at a time.
    pub fn while_posting<R>(&self, post: impl FnOnce() -> R) -> R {
        struct Ends<'r>(&'r Round);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        self.0.posts.begin();
        let _ends = Ends(&self.0.posts);
        post()
    }

    fn is_over(&self, thread: BellId) -> bool {
        self.0.rounds[usize::from(thread.0)].is_over()
    }

    fn are_all_over(&self) -> bool {
        let used = self.0.used.load(Ordering::Relaxed);
        self.0.posts.is_over() && self.0.rounds[..used].iter().all(Round::is_over)
    }
}

impl Round {
    fn begin(&self) {
        // Relaxed, one writer: whoever sees what is published next sees this, too, by the Release store of the ring's
        // tail and the Acquire load of it in `Consumer::for_each_unread`.
        self.0.store(self.0.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
    }

    fn end(&self) {
        // Release pairs with the Acquire in `is_over`: who sees this finds the swap of its gate made and the bell rung.
        self.0.store((self.0.load(Ordering::Relaxed) | 1).wrapping_add(1), Ordering::Release);
    }

    fn is_over(&self) -> bool {
        // Acquire pairs with the Release in `end`.
        self.0.load(Ordering::Acquire).is_multiple_of(2)
    }
}

/// One thread's.
#[derive(Debug)]
pub struct Tripwire {
    rounds: Rounds,
    /// Whether a bell is owed to this thread.
    is_owed: bool,
    lost: u64,
}

impl Tripwire {
    /// Of a thread that was never woken.
    pub fn new(rounds: &Rounds) -> Tripwire {
        Tripwire { rounds: rounds.clone(), is_owed: false, lost: 0 }
    }

    /// Wake-ups lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether a thread whose message has been seen has looked at all gates and rung since it published that.
    pub fn has_looked(&self, writer: BellId) -> bool {
        self.rounds.is_over(writer)
    }

    /// An urgent message was slept through.
    pub fn note_slept_through(&mut self) {
        self.lost += 1;
    }

    /// What this thread found in its gate when it left it, without its bell having come.
    pub fn note_woken(&mut self, woken: Woken) {
        self.is_owed |= woken == Woken::Rung;
    }

    /// Whether a wait that begins now has to bring the bell.
    pub fn expects_bell(&self) -> bool {
        self.is_owed && self.rounds.are_all_over()
    }

    /// After a wait: whether it brought the bell, and had to.
    pub fn note_wait(&mut self, has_bell: bool, expected: bool) {
        if has_bell {
            self.is_owed = false;
        } else if expected {
            self.is_owed = false;
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests;
