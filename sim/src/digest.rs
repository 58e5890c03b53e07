//! A digest of 128 bits over everything that a run does: two runs that differ anywhere differ here.
//!
//! Words enter as little-endian octets of fixed size and octets with their length, so that debug and release, and
//! any machine, agree.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::Hasher;

/// Collects a run.
#[derive(Clone)]
pub struct Digest(SipHasher13);

/// The digest of a run so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value(u128);

impl Digest {
    /// An empty one.
    pub fn new() -> Self {
        Digest(SipHasher13::new_with_key(b"ulna-sim digest1"))
    }

    /// Takes one event: when, at which node, what kind, two words about it, and the octets that went in or out.
    pub fn add(&mut self, at: u64, node: u32, kind: u16, words: [u64; 2], octets: &[u8]) {
        let mut head = [0; 34];
        head[..8].copy_from_slice(&at.to_le_bytes());
        head[8..12].copy_from_slice(&node.to_le_bytes());
        head[12..14].copy_from_slice(&kind.to_le_bytes());
        head[14..22].copy_from_slice(&words[0].to_le_bytes());
        head[22..30].copy_from_slice(&words[1].to_le_bytes());
        head[30..34].copy_from_slice(&(octets.len() as u32).to_le_bytes());
        self.0.write(&head);
        self.0.write(octets);
    }

    /// The digest of all that was added.
    pub fn value(&self) -> Value {
        Value(self.0.finish128().as_u128())
    }
}

impl Default for Digest {
    fn default() -> Self {
        Digest::new()
    }
}

impl fmt::Display for Value {
    /// 32 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Event<'a> = (u64, u32, u16, [u64; 2], &'a [u8]);

    fn of(events: &[Event<'_>]) -> Value {
        let mut digest = Digest::new();
        for &(at, node, kind, words, octets) in events {
            digest.add(at, node, kind, words, octets);
        }
        digest.value()
    }

    #[test]
    fn every_part_of_an_event_and_their_order_count() {
        let first = (1, 2, 3, [4, 5], &b"six"[..]);
        let second = (1, 2, 3, [4, 5], &b"seven"[..]);
        let both = of(&[first, second]);
        assert_eq!(both, of(&[first, second]));
        for other in [
            of(&[second, first]),
            of(&[(9, 2, 3, [4, 5], b"six"), second]),
            of(&[(1, 9, 3, [4, 5], b"six"), second]),
            of(&[(1, 2, 9, [4, 5], b"six"), second]),
            of(&[(1, 2, 3, [9, 5], b"six"), second]),
            of(&[(1, 2, 3, [4, 9], b"six"), second]),
            of(&[(1, 2, 3, [4, 5], b"si"), second]),
            of(&[first]),
        ] {
            assert_ne!(both, other);
        }
    }

    #[test]
    fn prints_the_same_32_digits_in_every_build() {
        // Recorded: a digest is compared between builds and machines.
        assert_eq!(of(&[(1, 2, 3, [4, 5], b"six")]).to_string(), "56faa03b355486f66aef96e873263069");
    }
}
