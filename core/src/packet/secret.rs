//! The shared secret, kept as what it is used for: digests that have already taken it in.
//!
//! Cloning a keyed state copies some hundred octets; keying anew costs two MD5 blocks and more per packet.
//! RFC 2865 §3 (never empty), RFC 2104 (HMAC).

use alloc::vec::Vec;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret shared with one client or remote server. Prints nothing, compares in constant time, is wiped when dropped.
#[derive(Clone)]
pub struct Secret {
    octets: Zeroizing<Vec<u8>>,
    keyed: Hmac<Md5>,
    absorbed: Md5,
}

impl Secret {
    /// A secret of these octets, of any length but none.
    ///
    /// # Errors
    /// [`EmptySecret`]: RFC 2865 §3 forbids it, it would let anyone forge.
    pub fn new(octets: &[u8]) -> Result<Self, EmptySecret> {
        if octets.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Secret {
            octets: Zeroizing::new(octets.to_vec()),
            keyed: Hmac::new_from_slice(octets).expect("HMAC takes keys of any length"),
            absorbed: Md5::new_with_prefix(octets),
        })
    }

    /// How many octets it has; RFC 2865 §3 asks for at least 16.
    pub fn octet_count(&self) -> usize {
        self.octets.len()
    }

    /// Whether it is these octets: a NAS that has no password to send may send what it shares with us.
    pub(crate) fn is(&self, octets: &[u8]) -> bool {
        self.octets.as_slice().ct_eq(octets).into()
    }

    /// HMAC-MD5 over the pieces, one after the other, keyed with the secret (RFC 2104).
    #[inline]
    pub(in crate::packet) fn hmac<const N: usize>(&self, pieces: [&[u8]; N]) -> [u8; 16] {
        let mut mac = self.keyed.clone();
        for piece in pieces {
            mac.update(piece);
        }
        mac.finalize().into_bytes().into()
    }

    /// MD5 over the pieces, then the secret.
    #[inline]
    pub(in crate::packet) fn md5_at_end<const N: usize>(&self, pieces: [&[u8]; N]) -> [u8; 16] {
        let mut digest = Md5::new();
        for piece in pieces {
            digest.update(piece);
        }
        digest.update(self.octets.as_slice());
        digest.finalize().into()
    }

    /// MD5 over the secret, then the pieces.
    #[inline]
    pub(in crate::packet) fn md5_at_start<const N: usize>(&self, pieces: [&[u8]; N]) -> [u8; 16] {
        let mut digest = self.absorbed.clone();
        for piece in pieces {
            digest.update(piece);
        }
        digest.finalize().into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The digests do not wipe themselves (their feature for it would wipe every per-packet clone, too), so they
        // are overwritten; the black box keeps the compiler from leaving that out.
        self.keyed = Hmac::new_from_slice(&[]).expect("HMAC takes keys of any length");
        self.absorbed = Md5::new();
        core::hint::black_box((&self.keyed, &self.absorbed));
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.octets.ct_eq(&other.octets).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret without octets, which RFC 2865 §3 forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmptySecret;

impl fmt::Display for EmptySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shared secret must have at least one octet")
    }
}

impl core::error::Error for EmptySecret {}

/// The secrets of one peer: one, or while it is being changed the new one and the old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    newest: Secret,
    old: Option<Secret>,
}

impl Secrets {
    /// One secret.
    pub fn one(secret: Secret) -> Self {
        Secrets { newest: secret, old: None }
    }

    /// Two while rotating: `newest` is what we sign with unless a request has shown that its sender still has `old`.
    pub fn rotating(newest: Secret, old: Secret) -> Self {
        Secrets { newest, old: Some(old) }
    }

    /// The one in force: what is sent on our own account is signed with it.
    #[inline]
    pub fn newest(&self) -> &Secret {
        &self.newest
    }

    /// The secret that verified a request; `None` if there is no longer one of that place (the rotation ended).
    #[inline]
    pub fn get(&self, index: SecretIndex) -> Option<&Secret> {
        match index {
            SecretIndex::NEWEST => Some(&self.newest),
            SecretIndex(1) => self.old.as_ref(),
            SecretIndex(_) => None,
        }
    }

    /// Each with its place, the newest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (SecretIndex, &Secret)> {
        core::iter::once(&self.newest)
            .chain(&self.old)
            .enumerate()
            .map(|(place, secret)| (SecretIndex(place as u8), secret))
    }
}

impl From<Secret> for Secrets {
    fn from(secret: Secret) -> Self {
        Secrets::one(secret)
    }
}

/// Which of a peer's [`Secrets`]: 0 the newest, 1 the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SecretIndex(pub u8);

impl SecretIndex {
    /// The secret in force.
    pub const NEWEST: SecretIndex = SecretIndex(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_secret_is_refused() {
        // checklist 6
        assert_eq!(Secret::new(b"").expect_err("it has no octets"), EmptySecret);
        assert_eq!(Secret::new(&[0; 64]).expect("64 octets are fine").octet_count(), 64);
    }

    #[test]
    fn debug_prints_no_octets() {
        let secrets = Secrets::rotating(
            Secret::new(b"testing123").expect("not empty"),
            Secret::new(b"xyzzy5461").expect("not empty"),
        );
        let printed = alloc::format!("{secrets:?}");
        assert!(!printed.contains("testing") && !printed.contains("116"), "{printed}");
    }

    #[test]
    fn places_tell_newest_and_old() {
        let newest = Secret::new(b"new").expect("not empty");
        let old = Secret::new(b"old").expect("not empty");
        let secrets = Secrets::rotating(newest.clone(), old.clone());
        assert_eq!(secrets.get(SecretIndex::NEWEST), Some(&newest));
        assert_eq!(secrets.get(SecretIndex(1)), Some(&old));
        assert_eq!(secrets.get(SecretIndex(2)), None);
        assert_eq!(Secrets::one(newest.clone()).get(SecretIndex(1)), None);
        assert_ne!(newest, old);
        assert!(secrets.iter().map(|(index, _)| index.0).eq([0, 1]));
    }
}
