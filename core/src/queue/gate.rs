//! One word per thread that says whether it sleeps, and whether someone has rung for this sleep already.
//!
//! | word | written by | means |
//! |---|---|---|
//! | `RUN` | the thread | awake: it will look at its rings before it sleeps; nobody rings |
//! | `PARK` | the thread | asleep or about to be: urgent messages ring |
//! | `WANT` | the thread | as `PARK`, and it waits for completions: lazy messages ring, too |
//! | `RUNG` | the one writer whose swap wins | that writer rings the bell, nobody else does |
//!
//! The orders of the accesses do not carry the proof, the two SeqCst fences do: the thread's own, in
//! [`Gate::announce`], stands between its announcement and its second look; the writer's stands between its publish
//! and [`Gate::ring_if`]. Fences are totally ordered. If the writer's comes first, the second look sees the message.
//! If the thread's comes first, the writer sees the announcement, or `RUNG` by another writer for this very park, or
//! a later word: then the thread has left this park, and looks again before the next.

use super::sync::{AtomicU32, Ordering, fence};
use crate::seeded::{self, Bug};

/// The sleep state of one thread, on a cache line of its own. Its word stands first, and what another one than these four
/// would mean is defined, too: nobody rings, nobody was rung. So a gate may lie in memory that a process shares with one
/// that it does not trust.
#[repr(C, align(128))]
pub struct Gate {
    word: AtomicU32,
}

/// What a thread says before it looks again and sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Ring for what is urgent.
    Park,
    /// Ring for lazy messages, too: this thread waits for completions (a limit reached, a stream paused).
    Want,
}

/// How soon the reader has to see a message. A batch is as urgent as its most urgent message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Read whenever the reader next runs; rings only for a thread that waits for completions, or past half a ring.
    Lazy,
    /// Ends a sleep.
    Urgent,
}

/// What a thread finds in its gate when it leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A writer has rung, or is about to: its bell may still be on the way.
    Rung,
    /// Nobody has: a socket, a deadline or the second look ended this park.
    Itself,
}

impl Gate {
    /// A gate whose thread runs.
    pub fn new() -> Self {
        Gate { word: AtomicU32::new(RUN) }
    }

    /// By the gate's own thread: says that it is about to sleep. The second look has to follow.
    #[inline]
    pub fn announce(&self, announcement: Announcement) {
        let word = match announcement {
            Announcement::Park => PARK,
            Announcement::Want => WANT,
        };
        // Relaxed: the fence below orders it before the second look. Read by the load in `ring_if`.
        self.word.store(word, Ordering::Relaxed);
        // Pairs with the fence between a writer's publish and its `ring_if`.
        if !seeded::is(Bug::ReadersFenceMissing) {
            fence(Ordering::SeqCst);
        }
    }

    /// By the gate's own thread: it runs again, whatever ended its sleep.
    #[inline]
    pub fn leave(&self) -> Woken {
        // A swap, since a writer may put RUNG in at any time. Acquire pairs with the Release of the swap to RUNG, so
        // that whoever was rung sees what was published before, even if it was a socket that woke it.
        match self.word.swap(RUN, Ordering::Acquire) {
            RUNG => Woken::Rung,
            _ => Woken::Itself,
        }
    }

    /// By a writer, after its publish and a SeqCst fence: whether this very writer has to ring the bell now.
    #[inline]
    pub fn ring_if(&self, urgency: Urgency) -> bool {
        // Relaxed: the writer's fence orders it after the publish. Reads the store in `announce`.
        let word = self.word.load(Ordering::Relaxed);
        let asleep = word == WANT || (word == PARK && urgency == Urgency::Urgent);
        // The strong form: one that fails for no reason would lose the wake-up. If it fails for a reason, another
        // writer rings, or the thread has left this park and its next second look comes after our fence: had that
        // one been announced before our fence, the load above would have seen it. Release pairs with the Acquire in
        // `leave`; what the failing load saw is not used, thus Relaxed.
        asleep && self.word.compare_exchange(word, RUNG, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Whether the thread runs, now. For seeded bugs and tests: stale as soon as it is said.
    pub fn is_running(&self) -> bool {
        // Relaxed: nothing correct is decided by it.
        self.word.load(Ordering::Relaxed) == RUN
    }
}

impl Default for Gate {
    fn default() -> Self {
        Gate::new()
    }
}

const RUN: u32 = 0;
const PARK: u32 = 1;
const WANT: u32 = 2;
const RUNG: u32 = 3;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_rings_for_a_running_thread() {
        let gate = Gate::new();
        assert!(!gate.ring_if(Urgency::Urgent));
        assert!(!gate.ring_if(Urgency::Lazy));
        assert_eq!(gate.leave(), Woken::Itself);
    }

    #[test]
    fn one_writer_rings_per_park() {
        let gate = Gate::new();
        for announcement in [Announcement::Park, Announcement::Want] {
            gate.announce(announcement);
            assert!(gate.ring_if(Urgency::Urgent));
            assert!(!gate.ring_if(Urgency::Urgent));
            assert!(!gate.ring_if(Urgency::Lazy));
            assert_eq!(gate.leave(), Woken::Rung);
            assert!(gate.is_running());
        }
    }

    #[test]
    fn lazy_rings_only_for_who_waits_for_completions() {
        let gate = Gate::new();
        gate.announce(Announcement::Park);
        assert!(!gate.ring_if(Urgency::Lazy));
        assert_eq!(gate.leave(), Woken::Itself);
        gate.announce(Announcement::Want);
        assert!(gate.ring_if(Urgency::Lazy));
        assert_eq!(gate.leave(), Woken::Rung);
    }
}
