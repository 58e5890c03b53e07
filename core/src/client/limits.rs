//! How many clients, connections and look-ups there may be, and the counts that are held against it.
//!
//! Counts are shared by all threads and change only where a client or a connection comes or goes, never per packet. What
//! counts holds a [`Permit`], so that a count goes down where its cause ends, also with a core that dies.

use crate::time::Instant;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// What a client rule may have; of all rules together likewise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Look-up keys that are clients at one time.
    pub clients: u32,
    /// Connections of these at one time; of clients keyed by address, addresses per network thread.
    pub connections: u32,
    /// Connections of one client at one time.
    pub connections_per_client: u32,
    /// Look-ups under way.
    pub pending: u32,
    /// Look-ups begun in a second, those in memory and those of clients that were known before a restart or a change not
    /// counted.
    pub new_per_second: u32,
    /// Packets of one client in a second; 0: any number.
    pub packets_per_second: u32,
    /// Packets that wait for one look-up.
    pub held_packets: u32,
    /// Octets of packets that wait, in one worker.
    pub held_octets: u32,
    /// From one source address.
    pub per_address: AddressLimits,
}

/// What one source address may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections at one time.
    pub connections: u32,
    /// Look-ups under way.
    pub pending: u32,
    /// Look-ups begun in a second.
    pub new_per_second: u32,
}

impl Limits {
    /// Of all rules together, where nothing is said.
    pub fn of_all() -> Limits {
        Limits {
            clients: 100_000,
            connections: 100_000,
            pending: 4_000,
            new_per_second: 1_000,
            held_octets: 4 << 20,
            ..Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 5_000,
            connections: 10_000,
            connections_per_client: 256,
            // More than a worker takes up in a turn: those of tables in memory are over by its end.
            pending: 1_000,
            new_per_second: 50,
            packets_per_second: 1_000,
            held_packets: 4,
            held_octets: 1 << 20,
            per_address: AddressLimits { connections: 5_000, pending: 1_000, new_per_second: 50 },
        }
    }
}

/// What is counted: of a rule, of a source address, of all.
#[derive(Debug, Default)]
pub struct Counts {
    of: [AtomicU32; 3],
    /// Look-ups begun.
    pub(super) begun: Pace,
}

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A look-up key that is a client.
    Client,
    /// A connection.
    Connection,
    /// A look-up under way.
    Pending,
}

impl Counts {
    /// How many there are.
    pub fn value(&self, counted: Counted) -> u32 {
        // Relaxed: a count orders nothing.
        self.of[counted as usize].load(Ordering::Relaxed)
    }
}

/// One that is counted. Dropped, it is counted no more.
#[derive(Debug)]
pub struct Permit {
    counted: Counted,
    by: [Option<Arc<Counts>>; 4],
}

impl Permit {
    /// One more, where each of these has fewer than its bound; else `None`, and nothing has changed. What several threads take
    /// at once may pass a bound by one each.
    pub fn take(counted: Counted, by: [Option<(&Arc<Counts>, u32)>; 4]) -> Option<Permit> {
        if by.iter().flatten().any(|(counts, max)| counts.value(counted) >= *max) {
            return None;
        }
        let by = by.map(|counts| counts.map(|(counts, _)| Arc::clone(counts)));
        for counts in by.iter().flatten() {
            counts.of[counted as usize].fetch_add(1, Ordering::Relaxed);
        }
        Some(Permit { counted, by })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for counts in self.by.iter().flatten() {
            counts.of[self.counted as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// So many in a second, and at most that many at once: two words, which any thread may ask.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all that was let through would have come, at an even pace.
    even: AtomicU64,
    /// The latest time that any thread has asked at: one that stands still in the midst of a turn is behind it, and would else take what
    /// others let through for more than a second's worth.
    latest: AtomicU64,
}

impl Pace {
    /// Whether one more may pass now at `per_second`; 0: any number.
    pub fn passes(&self, per_second: u32, now: Instant) -> bool {
        let Some(each) = NANOSECONDS.checked_div(u64::from(per_second)) else { return true };
        // Relaxed: the words order nothing else.
        let now = now.as_nanoseconds();
        let now = now.max(self.latest.fetch_max(now, Ordering::Relaxed));
        // As many as in a second may come at once.
        let next = |even: u64| {
            let next = even.max(now) + each;
            (next <= now + NANOSECONDS).then_some(next)
        };
        self.even.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

const NANOSECONDS: u64 = Duration::from_secs(1).as_nanos() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_counts_as_long_as_it_lives_and_none_is_given_past_any_bound() {
        let (rule, all) = (Arc::<Counts>::default(), Arc::<Counts>::default());
        let take = || Permit::take(Counted::Connection, [Some((&rule, 2)), Some((&all, 3)), None, None]);
        let (one, two) = (take().expect("the first"), take().expect("the second"));
        assert!(take().is_none());
        assert_eq!((rule.value(Counted::Connection), all.value(Counted::Connection)), (2, 2));
        assert_eq!(rule.value(Counted::Client), 0);
        drop(one);
        let three = take().expect("room again");
        drop((two, three));
        assert_eq!((rule.value(Counted::Connection), all.value(Counted::Connection)), (0, 0));
    }

    #[test]
    fn a_thread_that_is_behind_others_holds_nobody_up() {
        let pace = Pace::default();
        let at = |milliseconds: u64| Instant::from_nanoseconds(milliseconds * 1_000_000);
        assert!(pace.passes(10, at(5_000)));
        // It has stood still in the midst of a turn, whose time is that of its begin.
        let passed = (0..100).filter(|_| pace.passes(10, at(3_900))).count();
        assert_eq!(passed, 9, "what is left of a second's worth");
    }

    #[test]
    fn a_pace_lets_a_seconds_worth_through_at_once_and_then_as_time_goes() {
        let pace = Pace::default();
        let at = |milliseconds: u64| Instant::from_nanoseconds(milliseconds * 1_000_000);
        let passed = |now| (0..100).filter(|_| pace.passes(10, now)).count();
        assert_eq!(passed(at(5_000)), 10);
        assert_eq!(passed(at(5_099)), 0);
        assert_eq!(passed(at(5_250)), 2);
        assert_eq!(passed(at(60_000)), 10);
        assert_eq!((0..100).filter(|_| pace.passes(0, at(60_000))).count(), 100);
    }
}
