//! Which address the name of a remote server stands for, as all workers know it together.
//!
//! Asks nobody: a worker that [claims](Resolution::claim) it has its driver do so, and notes here what came of it. One of all workers
//! is told to ask, and all go to the same address, so that what they know of the server's [`Health`](super::Health) is of one server.
//!
//! - The address in use stays in use as long as the name still stands for it, however many others it has and in whatever order.
//! - Whatever fails, an address that was good once is kept.
//! - After failures it is asked again after 1, 2, 4 … seconds, up to `resolve_interval`. An answer that never comes is one after a
//!   minute, or `resolve_interval` if that is longer.
//!
//! # Which order is needed
//!
//! An address is two words. Who writes them makes the version odd before and even after; who reads keeps them only if the version was
//! the same even one before and after. Nobody waits: who finds it odd keeps what it had and looks again with its next packet, and of
//! two that write at once the second leaves it to the first. The version is read with each packet, the words only when it
//! has changed.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

use crate::time::Instant;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

/// What all workers know of the address of one remote server.
pub struct Resolution {
    /// Odd while an address is written; 0: there has been none.
    version: AtomicU64,
    /// The address as one of IPv6, IPv4 mapped: high and low.
    address: [AtomicU64; 2],
    /// An [`Asked`].
    asked: AtomicU64,
}

/// When the name was asked for last, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    /// Whole microseconds, and one; 0: never.
    at: u64,
    /// How many failures there were in a row.
    failures: u8,
    /// Whether the answer is still to come.
    is_out: bool,
}

impl Resolution {
    /// Of a name that was never asked for.
    pub fn new() -> Resolution {
        let zero = || AtomicU64::new(0);
        Resolution { version: zero(), address: [zero(), zero()], asked: zero() }
    }

    /// Changes with the address.
    #[inline]
    pub fn version(&self) -> u64 {
        // Relaxed: only `address` believes what it stands for.
        self.version.load(Ordering::Relaxed)
    }

    /// The address, and its version. `None`: there is none yet, or it is just being written.
    pub fn address(&self) -> Option<(u64, IpAddr)> {
        // Acquire pairs with the Release store of the even version in `write`: who reads that sees what was written before.
        let version = self.version.load(Ordering::Acquire);
        if version == 0 || !version.is_multiple_of(2) {
            return None;
        }
        let words = self.address.each_ref().map(|word| word.load(Ordering::Relaxed));
        // Pairs with the Release fence in `write`: who has seen a word written after it sees the odd version, too.
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == version).then(|| (version, of_words(words)))
    }

    /// Whether the caller has to ask now: one thread is told so each time.
    pub fn claim(&self, interval: Duration, now: Instant) -> bool {
        let word = self.asked.load(Ordering::Relaxed);
        let asked = Asked::of(word);
        let claimed = Asked { at: micros(now) + 1, is_out: true, ..asked };
        // Of several that have read the same the first replaces it; for the others it is not yet time.
        asked.due(interval) <= micros(now)
            && self.asked.compare_exchange(word, claimed.word(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// When it may be [claimed](Self::claim) next.
    pub fn next_deadline(&self, interval: Duration) -> Instant {
        let due = Asked::of(self.asked.load(Ordering::Relaxed)).due(interval);
        Instant::from_nanoseconds(due.saturating_mul(1000))
    }

    /// What the name stands for now, in the order in which they are to be preferred; one at least. `Some`: it is to be another
    /// than before.
    pub fn note_addresses(&self, addresses: &[IpAddr], now: Instant) -> Option<IpAddr> {
        let asked = Asked { at: micros(now) + 1, failures: 0, is_out: false };
        self.asked.store(asked.word(), Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        let in_use = self.address().map(|(_, address)| address);
        let first = *addresses.first()?;
        let stays = in_use.is_some_and(|address| addresses.contains(&address));
        (!stays && self.write(version, first)).then_some(first)
    }

    /// Nobody could say what it stands for. Whether that is the first time since somebody could.
    pub fn note_failure(&self, now: Instant) -> bool {
        let before = Asked::of(self.asked.load(Ordering::Relaxed));
        let failures = before.failures.saturating_add(1).min(FAILURES_COUNTED);
        let asked = Asked { at: micros(now) + 1, failures, is_out: false };
        // Should another thread note something at the same time, either is as true.
        self.asked.store(asked.word(), Ordering::Relaxed);
        before.failures == 0
    }

    /// Replaces the address that had this version. False if another thread has done so, or is about to.
    fn write(&self, version: u64, address: IpAddr) -> bool {
        // Acquire pairs with the Release store below in whoever wrote before: the words are written in the same order.
        let is_ours = version.is_multiple_of(2)
            && self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !is_ours {
            return false;
        }
        // Pairs with the Acquire fence in `address`.
        fence(Ordering::Release);
        for (word, value) in self.address.iter().zip(words(address)) {
            word.store(value, Ordering::Relaxed);
        }
        // Release pairs with the Acquire load in `address`.
        self.version.store(version + 2, Ordering::Release);
        true
    }
}

impl Default for Resolution {
    fn default() -> Self {
        Resolution::new()
    }
}

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.address().map(|(_, address)| address), f)
    }
}

impl Asked {
    /// When it is time to ask again.
    fn due(self, interval: Duration) -> u64 {
        let Some(at) = self.at.checked_sub(1) else { return 0 };
        let span = match (self.is_out, self.failures) {
            (true, _) => interval.max(ANSWER_MAX),
            (false, 0) => interval,
            (false, failures) => interval.min(RETRY * (1 << (failures - 1))),
        };
        at.saturating_add(span.as_micros() as u64)
    }

    /// A bit says whether it is out, seven count failures, the others are a time: 2 000 years.
    fn word(self) -> u64 {
        self.at << 8 | u64::from(self.failures) << 1 | u64::from(self.is_out)
    }

    fn of(word: u64) -> Asked {
        Asked { at: word >> 8, failures: (word >> 1 & 0x7f) as u8, is_out: word & 1 == 1 }
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

fn of_words([high, low]: [u64; 2]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical()
}

fn micros(instant: Instant) -> u64 {
    instant.as_nanoseconds() / 1000
}

/// How soon it is asked again after the first failure.
const RETRY: Duration = Duration::from_secs(1);
/// After so many the time between two of them grows no more: 2¹⁶ seconds are longer than any interval.
const FAILURES_COUNTED: u8 = 17;
/// How long an answer may take. One that takes longer is as good as lost: its worker has died, or its driver.
const ANSWER_MAX: Duration = Duration::from_secs(60);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);
    const ONE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    fn address(resolution: &Resolution) -> Option<IpAddr> {
        resolution.address().map(|(_, address)| address)
    }

    #[test]
    fn one_is_told_to_ask_until_there_is_an_answer() {
        let resolution = Resolution::new();
        assert_eq!(resolution.next_deadline(INTERVAL), Instant::ORIGIN);
        assert!(resolution.claim(INTERVAL, at(5)));
        assert!(!resolution.claim(INTERVAL, at(5)) && !resolution.claim(Duration::from_secs(1), at(64)));
        assert_eq!(resolution.note_addresses(&[ONE], at(6)), Some(ONE));
        assert_eq!(resolution.next_deadline(INTERVAL), at(66));
        assert!(!resolution.claim(INTERVAL, at(65)) && resolution.claim(INTERVAL, at(66)));
        // Its answer is lost.
        assert!(!resolution.claim(INTERVAL, at(125)) && resolution.claim(INTERVAL, at(126)));
    }

    #[test]
    fn the_address_in_use_stays_while_the_name_stands_for_it() {
        let resolution = Resolution::new();
        assert_eq!((resolution.version(), address(&resolution)), (0, None));
        assert_eq!(resolution.note_addresses(&[OTHER, ONE], at(1)), Some(OTHER));
        let version = resolution.version();
        assert_eq!(resolution.note_addresses(&[ONE, OTHER], at(2)), None);
        assert_eq!((resolution.version(), address(&resolution)), (version, Some(OTHER)));
        assert_eq!(resolution.note_addresses(&[ONE], at(3)), Some(ONE));
        assert_ne!(resolution.version(), version);
        assert_eq!(address(&resolution), Some(ONE));
    }

    #[test]
    fn failures_keep_the_address_and_are_repeated_ever_more_rarely() {
        let resolution = Resolution::new();
        resolution.note_addresses(&[ONE], at(0));
        let mut now = at(60);
        for (failures, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert!(resolution.claim(INTERVAL, now));
            assert_eq!(resolution.note_failure(now), failures == 0, "it is told once");
            now += Duration::from_secs(wait);
            assert_eq!(resolution.next_deadline(INTERVAL), now);
        }
        (0..200).for_each(|_| _ = resolution.note_failure(now));
        assert_eq!(resolution.next_deadline(Duration::from_secs(3_600)), now + Duration::from_secs(3_600));
        assert_eq!(address(&resolution), Some(ONE));
        assert_eq!(resolution.note_addresses(&[ONE], now), None);
        assert!(resolution.note_failure(now), "it is the first again");
    }
}
