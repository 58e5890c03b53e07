//! Guessing slowed down: how often a password was wrong for each user from each Calling-Station-Id.
//!
//! Of one worker. A window opens with the first failure and is over when its time is, whatever comes meanwhile: who goes on
//! trying is not shut out for longer. Names are kept as keyed hashes of 128 bits, never as text. Bounded: when as many are
//! remembered as may be, the window that opened first is forgotten.

use crate::packet::{Framed, Landmark};
use crate::seed::{KeyedHash, Seed};
use crate::table::Index;
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::hash::{BuildHasher, Hasher};
use core::time::Duration;

/// The failures that one worker remembers.
pub(crate) struct Failures {
    index: Index,
    /// In the order in which the windows opened; a place in the index is a number counted on from the first ever.
    windows: VecDeque<Window>,
    /// The number of the first one.
    first: u32,
    hashes: [KeyedHash; 2],
    failures_max: u32,
    window: Duration,
}

/// Who tries: the User-Name, as a rule may have set it, and Calling-Station-Id, without the latter the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who([u8; 16]);

struct Window {
    who: Who,
    until: Instant,
    failures: u32,
}

impl Failures {
    /// Remembers nothing yet. With `failures_max` 0 nothing ever.
    pub fn new(failures_max: u32, window: Duration, seed: &Seed) -> Self {
        let kept_max = if failures_max == 0 { 0 } else { KEPT_MAX };
        Failures {
            index: Index::new(kept_max, &seed.fork("failures")),
            windows: VecDeque::with_capacity(kept_max),
            first: 0,
            hashes: ["failures, one half", "failures, other half"].map(|name| seed.fork(name).hasher()),
            failures_max,
            window,
        }
    }

    /// Whether this one has failed so often that its password is not looked at. Where nobody has failed of late, which is
    /// what most requests find, that costs a look at a length.
    pub fn is_shut_out(
        &mut self,
        user_name: Option<&[u8]>,
        framed: &Framed<'_>,
        client: &str,
        now: Instant,
    ) -> bool {
        self.forget_old(now);
        if self.windows.is_empty() {
            return false;
        }
        let who = self.who(user_name, framed, client);
        self.find(who, now).is_some_and(|place| self.at(place).failures >= self.failures_max)
    }

    /// Notes one more failure.
    pub fn note(&mut self, user_name: Option<&[u8]>, framed: &Framed<'_>, client: &str, now: Instant) {
        if self.failures_max == 0 {
            return;
        }
        self.forget_old(now);
        let who = self.who(user_name, framed, client);
        if let Some(place) = self.find(who, now) {
            let window = self.at_mut(place);
            window.failures = window.failures.saturating_add(1);
            return;
        }
        if self.windows.len() == KEPT_MAX {
            self.forget_first();
        }
        let place = self.first.wrapping_add(self.windows.len() as u32) & PLACES;
        self.index.insert(self.index.hash(&who.0), place).expect("as many as there are windows");
        self.windows.push_back(Window { who, until: now + self.window, failures: 1 });
    }

    fn who(&self, user_name: Option<&[u8]>, framed: &Framed<'_>, client: &str) -> Who {
        let mut octets = [0; 16];
        for (hash, half) in self.hashes.iter().zip(octets.chunks_exact_mut(8)) {
            let mut hasher = hash.build_hasher();
            let user_name = user_name.unwrap_or_default();
            // The length goes in first, so that no two pairs of values run together into the same octets.
            hasher.write(&[user_name.len() as u8]);
            hasher.write(user_name);
            // A client by its name: its place is another's after a reload.
            let (kind, from) = match framed.value(Landmark::CallingStationId) {
                Some(calling_station_id) => (1, calling_station_id),
                None => (2, client.as_bytes()),
            };
            hasher.write(&[kind]);
            hasher.write(from);
            half.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Who(octets)
    }

    fn find(&self, who: Who, now: Instant) -> Option<u32> {
        self.index
            .find(self.index.hash(&who.0), |place| self.at(place).who == who && self.at(place).until > now)
    }

    fn at(&self, place: u32) -> &Window {
        &self.windows[self.distance(place)]
    }

    fn at_mut(&mut self, place: u32) -> &mut Window {
        let distance = self.distance(place);
        &mut self.windows[distance]
    }

    fn distance(&self, place: u32) -> usize {
        (place.wrapping_sub(self.first) & PLACES) as usize
    }

    /// Windows open in the order in which they end: all have the same length. More are forgotten here than one call
    /// opens, and never all at once: a turn is short.
    fn forget_old(&mut self, now: Instant) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.windows.front().is_none_or(|window| window.until > now) {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(window) = self.windows.pop_front() else { return };
        self.index.remove(self.index.hash(&window.who.0), self.first);
        self.first = self.first.wrapping_add(1) & PLACES;
    }
}

/// As many windows are open at once, at most.
pub const KEPT_MAX: usize = 16_384;
/// Windows that are over, forgotten when the next request comes.
const FORGOTTEN_AT_ONCE: usize = 4;
/// Numbers of windows wrap here; a power of two less one, above any number of open ones, and a place in an index.
const PLACES: u32 = (1 << 30) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Encoder, number};
    use alloc::format;
    use alloc::vec::Vec;

    const WINDOW: Duration = Duration::from_secs(60);

    fn failures(failures_max: u32) -> Failures {
        Failures::new(failures_max, WINDOW, &Seed::new([3; 32]))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    /// A request of this user from this station.
    fn request(user: &str, station: &str) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut encoder = Encoder::as_is(&mut octets, 1, 7, &[9; 16]);
        for (number, value) in [(number::USER_NAME, user), (number::CALLING_STATION_ID, station)] {
            if !value.is_empty() {
                encoder.attribute(number, value.as_bytes()).expect("it is short");
            }
        }
        encoder.finish_as_is();
        octets
    }

    fn note(failures: &mut Failures, user: &str, station: &str, seconds: u64) {
        let octets = request(user, station);
        let framed = Framed::parse(&octets).expect("whole");
        failures.note(Some(user.as_bytes()), &framed, "branch", at(seconds));
    }

    fn is_shut_out(failures: &mut Failures, user: &str, station: &str, seconds: u64) -> bool {
        let octets = request(user, station);
        let framed = Framed::parse(&octets).expect("whole");
        failures.is_shut_out(Some(user.as_bytes()), &framed, "branch", at(seconds))
    }

    #[test]
    fn too_many_failures_shut_out_one_user_at_one_station_until_the_window_is_over() {
        let mut failures = failures(3);
        for seconds in [0, 10, 20] {
            assert!(!is_shut_out(&mut failures, "bob", "00-11", seconds));
            note(&mut failures, "bob", "00-11", seconds);
        }
        assert!(is_shut_out(&mut failures, "bob", "00-11", 59));
        assert!(!is_shut_out(&mut failures, "bob", "00-12", 59));
        assert!(!is_shut_out(&mut failures, "alice", "00-11", 59));
        assert!(!is_shut_out(&mut failures, "bob0", "0-11", 59), "values do not run together");
        assert!(!is_shut_out(&mut failures, "bob", "00-11", 60));
        note(&mut failures, "bob", "00-11", 60);
        assert!(!is_shut_out(&mut failures, "bob", "00-11", 61), "the count begins anew");
    }

    #[test]
    fn without_a_station_clients_are_told_apart() {
        let mut failures = failures(1);
        let octets = request("bob", "");
        let framed = Framed::parse(&octets).expect("whole");
        failures.note(Some(b"bob"), &framed, "branch", at(0));
        assert!(failures.is_shut_out(Some(b"bob"), &framed, "branch", at(1)));
        assert!(!failures.is_shut_out(Some(b"bob"), &framed, "other", at(1)));
        let octets = request("bob", "branch");
        let framed = Framed::parse(&octets).expect("whole");
        assert!(!failures.is_shut_out(Some(b"bob"), &framed, "other", at(1)), "a station is no client");
    }

    #[test]
    fn attempts_while_shut_out_do_not_lengthen_it() {
        let mut failures = failures(1);
        note(&mut failures, "bob", "00-11", 0);
        note(&mut failures, "bob", "00-11", 50);
        assert!(is_shut_out(&mut failures, "bob", "00-11", 59));
        assert!(!is_shut_out(&mut failures, "bob", "00-11", 60));
    }

    #[test]
    fn a_bounded_number_is_remembered_and_the_oldest_is_forgotten() {
        let mut failures = failures(1);
        for user in 0..=KEPT_MAX {
            note(&mut failures, &format!("user{user}"), "00-11", 0);
        }
        assert_eq!((failures.windows.len(), failures.index.len()), (KEPT_MAX, KEPT_MAX));
        assert!(!is_shut_out(&mut failures, "user0", "00-11", 1));
        assert!(is_shut_out(&mut failures, "user1", "00-11", 1));
        assert!(is_shut_out(&mut failures, &format!("user{KEPT_MAX}"), "00-11", 1));
        // A few at a time they are forgotten, and none of those that are over counts meanwhile.
        let mut looks = 0;
        while !failures.windows.is_empty() {
            assert!(!is_shut_out(&mut failures, &format!("user{KEPT_MAX}"), "00-11", 60));
            looks += 1;
        }
        assert_eq!(looks, KEPT_MAX / FORGOTTEN_AT_ONCE);
        assert!(failures.index.is_empty());
    }

    #[test]
    fn a_window_that_opens_beside_one_that_is_over_is_another() {
        let mut failures = failures(2);
        for user in 0..100 {
            note(&mut failures, &format!("user{user}"), "00-11", 0);
        }
        note(&mut failures, "user99", "00-11", 61);
        assert!(!is_shut_out(&mut failures, "user99", "00-11", 61));
        note(&mut failures, "user99", "00-11", 61);
        assert!(is_shut_out(&mut failures, "user99", "00-11", 61));
    }

    #[test]
    fn without_a_bound_nothing_is_remembered() {
        let mut failures = failures(0);
        note(&mut failures, "bob", "00-11", 0);
        assert!(!is_shut_out(&mut failures, "bob", "00-11", 0));
        assert_eq!(failures.windows.len(), 0);
    }
}
