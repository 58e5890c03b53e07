//! Wakes a thread out of its kernel wait. CHANNELS.md calls it the bell: one for each thread, without data.
//!
//! Whether to ring is decided by the gate in core's `queue`; here a ring is one system call (an eventfd on Linux)
//! and nothing else. The proof that no wake-up is lost leans on two properties of the bell:
//!
//! * It is *sticky*. A ring with nobody waiting is not lost: the descriptor enters the poll's list of ready ones, and
//!   stays there until a wait takes it off. So a ring between "I announced that I park" and "I wait" ends that wait
//!   at once. Several rings before one wait are one event (edge-triggered, coalesced): the bell says *look*, never
//!   how often.
//! * It is taken only by the wait itself. There is no separate read that could come after the next announcement
//!   and swallow the ring meant for it: when [`mio::Poll::poll`] returns, the event is off the list, and whoever
//!   rings later puts it there anew. mio never reads the eventfd; each write is an edge of its own.

use std::io;
use std::sync::Arc;

use mio::{Registry, Token, Waker};

use crate::system_calls::SystemCalls;

/// The token under which a thread's poll reports its own bell. Reserved: no socket may be registered under it.
pub const BELL: Token = Token(usize::MAX);

/// A handle to ring one thread's bell. Clones ring the same bell.
///
/// The bell lives as long as a handle of it; a handle may outlive the poll and is then rung in vain.
#[derive(Debug, Clone)]
pub struct Bell {
    waker: Arc<Waker>,
}

impl Bell {
    /// Hangs the bell of the thread that waits on this registry's poll, under [`BELL`]. One for each poll: with a
    /// second one mio does not promise that both wake it.
    ///
    /// # Errors
    /// The kernel's, when no further descriptor can be had.
    pub fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Bell { waker: Arc::new(Waker::new(registry, BELL)?) })
    }

    /// Ends the thread's present wait or, if it does not wait, its next one. One system call, counted in the
    /// *ringing* thread's `calls`; 0.3 µs with nobody asleep, 8 to 16 µs to wake a sleeper.
    pub fn ring(&self, calls: &mut SystemCalls) {
        calls.ring += 1;
        // A bell that fails to ring is a lost wake-up: better to stop with a sentence than to hang without one.
        self.waker.wake().expect("an eventfd that this handle keeps open takes a write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    /// Long enough that a test which needs it has failed.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn bells_taken(poll: &mut Poll, timeout: Duration) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(timeout)).expect("poll waits");
        assert!(events.iter().all(|event| event.token() == BELL));
        events.iter().count()
    }

    #[test]
    fn rings_before_the_wait_are_kept_and_merge() {
        let mut poll = Poll::new().expect("a poll");
        let bell = Bell::new(poll.registry()).expect("a bell");
        let mut calls = SystemCalls::default();
        for _ in 0..1000 {
            bell.ring(&mut calls);
        }
        assert_eq!(calls, SystemCalls { ring: 1000, ..SystemCalls::default() });
        assert_eq!(bells_taken(&mut poll, PATIENCE), 1);
        assert_eq!(bells_taken(&mut poll, Duration::ZERO), 0, "taken by the wait, not left behind");
    }

    #[test]
    fn a_ring_after_one_was_taken_is_a_new_edge() {
        let mut poll = Poll::new().expect("a poll");
        let bell = Bell::new(poll.registry()).expect("a bell");
        let mut calls = SystemCalls::default();
        for _ in 0..100 {
            bell.ring(&mut calls);
            assert_eq!(bells_taken(&mut poll, PATIENCE), 1);
        }
    }

    #[test]
    fn rings_from_several_threads_end_waits_one_after_another() {
        let mut poll = Poll::new().expect("a poll");
        let bell = Bell::new(poll.registry()).expect("a bell");
        let (taken, may_ring) = std::sync::mpsc::channel();
        let ringer = std::thread::spawn(move || {
            let mut calls = SystemCalls::default();
            for clone in [bell.clone(), bell] {
                clone.ring(&mut calls);
                may_ring.recv().expect("the waiter lives");
            }
            calls
        });
        for _ in 0..2 {
            assert_eq!(bells_taken(&mut poll, PATIENCE), 1);
            taken.send(()).expect("the ringer lives");
        }
        assert_eq!(ringer.join().expect("the ringer ends").ring, 2);
    }
}
