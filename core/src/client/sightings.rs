//! What has been seen already: the signed requests of dynamic clients that were taken last, on whichever connection.
//!
//! A packet that verifies admits its client on the connection that it came by. Whoever has recorded one can send it again from
//! any port, and would make a client there, or take a sibling's connection over. A request that is known here admits nobody;
//! if it is a retransmission from behind a NAT that has given its sender another port, it gets the reply that it would have got
//! on its old connection, and the next request, which is a new one, brings the client here.
//!
//! Shared by all threads, written once for each new request of such a client and read for strangers only. Bounded: of many
//! requests the oldest are forgotten. No order is needed with anything else, and what two threads write into one line at once
//! may lose one of them, so all is relaxed.

use crate::dedup::Authenticator;
use crate::path::NetworkId;
use crate::seed::Seed;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use rand_chacha::rand_core::Rng;

/// Requests seen last.
pub struct Sightings {
    /// A power of two of lines.
    lines: Box<[Line]>,
    /// Two odd numbers that nobody knows.
    keys: [u64; 2],
}

/// One cache line: where the next is written, and seven requests.
#[repr(align(64))]
#[derive(Default)]
struct Line {
    next: AtomicU64,
    seen: [AtomicU64; SEEN],
}

const SEEN: usize = 7;
const LINES_MAX: usize = 1 << 17;

/// Where a request was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The network core that took it.
    pub network: NetworkId,
    /// The place in that core's dedup table; `None` if it has none there, or not yet.
    pub place: Option<u32>,
}

impl Sightings {
    /// For about this many requests, at most a million or so.
    pub fn new(requests: usize, seed: &Seed) -> Sightings {
        let lines = (requests / SEEN).next_power_of_two().min(LINES_MAX);
        let mut generator = seed.fork("sightings").generator();
        let keys = [0; 2].map(|_: u64| generator.next_u64() | 1);
        Sightings { lines: (0..lines).map(|_| Line::default()).collect(), keys }
    }

    /// Notes that a request was taken. The same noted again is in its new place.
    #[inline]
    pub fn note(&self, fingerprint: &Authenticator, sighting: Sighting) {
        let (line, tag) = self.line(fingerprint);
        let place = sighting.place.filter(|place| *place < NO_PLACE).unwrap_or(NO_PLACE);
        let word = u64::from(tag) << 32 | u64::from(sighting.network.0) << 24 | u64::from(place);
        let known = line.seen.iter().find(|seen| (seen.load(Ordering::Relaxed) >> 32) as u32 == tag);
        let seen = known.unwrap_or_else(|| {
            let next = line.next.load(Ordering::Relaxed);
            line.next.store(next.wrapping_add(1), Ordering::Relaxed);
            &line.seen[(next % SEEN as u64) as usize]
        });
        seen.store(word, Ordering::Relaxed);
    }

    /// A request has ended without an answer: its retransmission starts anew, wherever it comes from.
    pub fn forget(&self, fingerprint: &Authenticator) {
        let (line, tag) = self.line(fingerprint);
        for seen in line.seen.iter().filter(|seen| (seen.load(Ordering::Relaxed) >> 32) as u32 == tag) {
            seen.store(0, Ordering::Relaxed);
        }
    }

    /// Where a request was seen, if it was.
    pub fn look_up(&self, fingerprint: &Authenticator) -> Option<Sighting> {
        let (line, tag) = self.line(fingerprint);
        let words = line.seen.iter().map(|seen| seen.load(Ordering::Relaxed));
        let word = words.into_iter().find(|word| (word >> 32) as u32 == tag)?;
        let place = word as u32 & NO_PLACE;
        Some(Sighting {
            network: NetworkId((word >> 24) as u16 & 0xff),
            place: (place != NO_PLACE).then_some(place),
        })
    }

    /// Its line and its tag, which is never that of an empty word. All octets go in: not every NAS draws all of its authenticator.
    fn line(&self, fingerprint: &Authenticator) -> (&Line, u32) {
        let whole = u128::from_le_bytes(*fingerprint);
        let mix = |one: u64, other: u64| {
            let product = u128::from(one) * u128::from(other);
            (product >> 64) as u64 ^ product as u64
        };
        let [first, second] = self.keys;
        let mixed = mix(whole as u64 ^ first, (whole >> 64) as u64 ^ second);
        let mixed = mix(mixed ^ second, first);
        (&self.lines[mixed as u32 as usize & (self.lines.len() - 1)], ((mixed >> 32) as u32).max(1))
    }
}

/// No table has so many places.
const NO_PLACE: u32 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(number: u32) -> Authenticator {
        let mut octets = [0; 16];
        // Few of its bits differ, as with a NAS that counts.
        octets[12..].copy_from_slice(&number.to_be_bytes());
        octets
    }

    #[test]
    fn authenticators_that_differ_in_a_few_octets_are_told_apart() {
        // As of a NAS that counts, wherever in its authenticators it does.
        for at in 0..12 {
            let sightings = Sightings::new(7 * 1024, &Seed::new([5; 32]));
            for number in 0..200_u32 {
                let mut fingerprint = [0xa5; 16];
                fingerprint[at..at + 4].copy_from_slice(&number.to_be_bytes());
                assert_eq!(sightings.look_up(&fingerprint), None, "{number} at {at}");
                sightings.note(&fingerprint, Sighting { network: NetworkId(0), place: Some(number) });
            }
        }
    }

    #[test]
    fn what_was_seen_last_is_known_and_the_oldest_forgotten() {
        let sightings = Sightings::new(7 * 64, &Seed::new([5; 32]));
        let seen = |number: u32| Sighting { network: NetworkId(number as u16 % 64), place: Some(number) };
        for number in 0..10_000 {
            assert_eq!(sightings.look_up(&fingerprint(number)), None);
            sightings.note(&fingerprint(number), seen(number));
        }
        for number in 9_950..10_000 {
            assert_eq!(sightings.look_up(&fingerprint(number)), Some(seen(number)));
        }
        assert_eq!((0..5_000).find(|number| sightings.look_up(&fingerprint(*number)).is_some()), None);
    }

    #[test]
    fn what_has_ended_without_an_answer_is_forgotten_and_nothing_else() {
        let sightings = Sightings::new(7 * 64, &Seed::new([5; 32]));
        for number in 0..20 {
            let network = NetworkId(number as u16 % 2);
            sightings.note(&fingerprint(number), Sighting { network, place: Some(number) });
        }
        (0..20).filter(|number| number % 2 == 1).for_each(|number| sightings.forget(&fingerprint(number)));
        let known = |number: &u32| sightings.look_up(&fingerprint(*number)).is_some();
        assert_eq!(
            (0..20).filter(known).collect::<alloc::vec::Vec<_>>(),
            [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
        );
    }

    #[test]
    fn a_place_is_learnt_later_and_takes_no_second_word() {
        let sightings = Sightings::new(1, &Seed::new([5; 32]));
        let at = |place| Sighting { network: NetworkId(63), place };
        for number in 0..6 {
            sightings.note(&fingerprint(number), at(None));
        }
        for turn in 0..20 {
            sightings.note(&fingerprint(3), at(Some(turn)));
        }
        assert_eq!(sightings.look_up(&fingerprint(3)), Some(at(Some(19))));
        assert!((0..6).all(|number| sightings.look_up(&fingerprint(number)).is_some()));
        assert_eq!(sightings.look_up(&fingerprint(0)), Some(at(None)));
    }
}
