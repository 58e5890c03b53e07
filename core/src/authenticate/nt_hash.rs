//! The NT hash of a password: MD4 over its UTF-16 code units, little-endian. RFC 2759 §8.3.
//!
//! To whoever has it it is as good as the password (MS-CHAP asks for no more), so it is kept like one.

use core::fmt;
use core::str;
use md4::{Digest, Md4};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets of an MD4 digest.
pub const NT_HASH_OCTETS: usize = 16;

/// What MS-CHAP proves to know. Prints nothing, compares in constant time, is wiped when dropped.
#[derive(Clone)]
pub struct NtHash(Zeroizing<[u8; NT_HASH_OCTETS]>);

impl NtHash {
    /// One that is known.
    pub fn new(octets: [u8; NT_HASH_OCTETS]) -> NtHash {
        NtHash(Zeroizing::new(octets))
    }

    /// That of a password; `None` if it is not UTF-8, of which no NT hash is defined.
    pub fn of(password: &[u8]) -> Option<NtHash> {
        let mut digest = Md4::new();
        let mut units = Zeroizing::new([0; 2]);
        for character in str::from_utf8(password).ok()?.chars() {
            for unit in character.encode_utf16(&mut *units) {
                digest.update(unit.to_le_bytes());
            }
        }
        Some(NtHash::new(digest.finalize().into()))
    }

    /// Whether it is that of this password.
    pub fn is_of(&self, password: &[u8]) -> bool {
        NtHash::of(password).is_some_and(|hash| hash == *self)
    }

    /// The hash of the hash (RFC 2759 §8.4).
    pub(super) fn hashed(&self) -> Zeroizing<[u8; NT_HASH_OCTETS]> {
        Zeroizing::new(Md4::digest(*self.0).into())
    }

    pub(super) fn octets(&self) -> &[u8; NT_HASH_OCTETS] {
        &self.0
    }
}

impl PartialEq for NtHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for NtHash {}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn hash(password: &str) -> u128 {
        u128::from_be_bytes(*NtHash::of(password.as_bytes()).expect("UTF-8").octets())
    }

    #[test]
    fn hashes_are_those_of_rfc_2759_section_9() {
        assert_eq!(hash("clientPass"), 0x44eb_ba8d_5312_b8d6_1147_4411_f569_89ae);
        assert_eq!(hash("MyPw"), 0xfc15_6af7_edcd_6c0e_dde3_337d_427f_4eac);
        let twice = NtHash::of(b"clientPass").expect("UTF-8").hashed();
        assert_eq!(u128::from_be_bytes(*twice), 0x41c0_0c58_4bd2_d91c_4017_a2a1_2fa5_9f3f);
    }

    #[test]
    fn characters_are_utf_16() {
        // MD4 over e4 00 3d d8 00 de, and over nothing, computed with OpenSSL.
        assert_eq!(hash("ä😀"), 0xcf50_f531_5ec5_7a0e_435a_9925_45ec_f405);
        assert_eq!(hash(""), 0x31d6_cfe0_d16a_e931_b73c_59d7_e0c0_89c0);
        assert_eq!(NtHash::of(b"\xe4"), None);
    }

    #[test]
    fn a_hash_is_of_its_password_only() {
        let hash = NtHash::of(b"hello").expect("UTF-8");
        assert!(hash.is_of(b"hello"));
        assert!(!hash.is_of(b"hellp") && !hash.is_of(b"") && !hash.is_of(b"\xff"));
    }

    #[test]
    fn a_hash_is_never_printed() {
        assert_eq!(format!("{:?}", NtHash::new([0x5a; 16])), "NtHash(…)");
    }
}
