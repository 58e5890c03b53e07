//! Where all randomness in core comes from: 32 octets that the driver hands in.
//!
//! Each component forks a generator of its own by name, so that one more draw here shifts nothing there.

use core::fmt;
use core::hash::Hasher;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

/// 32 secret octets. In production from the operating system, in the simulator from the plan.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of these octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Seed(octets)
    }

    /// A seed for the component `name`. Equal names give equal seeds, others independent ones.
    pub fn fork(&self, name: &str) -> Seed {
        let mut octets = [0; 32];
        for (half, out) in octets.chunks_exact_mut(16).enumerate() {
            let key: &[u8; 16] =
                self.0[half * 16..half * 16 + 16].try_into().expect("half a seed is 16 octets");
            let mut hasher = SipHasher24::new_with_key(key);
            hasher.write(&[half as u8]);
            hasher.write(&self.0);
            hasher.write(name.as_bytes());
            out.copy_from_slice(&hasher.finish128().as_bytes());
        }
        Seed(octets)
    }

    /// A generator, named by its algorithm: the same seed draws the same next year.
    pub fn generator(&self) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.0)
    }

    /// A keyed hash for tables and for choosing among peers: attackers choose what we hash.
    pub fn hasher(&self) -> KeyedHash {
        KeyedHash { key: self.0[..16].try_into().expect("a seed has 32 octets") }
    }

    /// A keyed digest, for what must stand for octets that attackers choose without being compared with them again.
    pub fn digest(&self) -> KeyedDigest {
        KeyedDigest { key: self.0[..16].try_into().expect("a seed has 32 octets") }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Makes SipHash-1-3 hashers that share one secret key.
#[derive(Clone)]
pub struct KeyedHash {
    key: [u8; 16],
}

impl core::hash::BuildHasher for KeyedHash {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.key)
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(…)")
    }
}

/// Makes SipHash-2-4 hashers of 128 bits that share one secret key.
#[derive(Clone)]
pub struct KeyedDigest {
    key: [u8; 16],
}

impl KeyedDigest {
    /// A hasher that nothing went into yet.
    pub fn hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_key(&self.key)
    }
}

impl fmt::Debug for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::BuildHasher;

    #[test]
    fn forks_differ_by_name_and_repeat() {
        let seed = Seed::new([7; 32]);
        assert_eq!(seed.fork("dedup").0, seed.fork("dedup").0);
        assert_ne!(seed.fork("dedup").0, seed.fork("slot").0);
        assert_ne!(seed.fork("dedup").0[..16], seed.fork("dedup").0[16..]);
        assert_ne!(seed.fork("a").hasher().hash_one(1u32), seed.fork("b").hasher().hash_one(1u32));
    }
}
