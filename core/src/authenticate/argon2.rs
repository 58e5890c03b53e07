//! A password that is known only by its Argon2 digest (RFC 9106). Plain data: whoever computes it is the driver.

use alloc::boxed::Box;
use core::fmt;

/// The digest of one password, with all that is needed to make it again.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2 {
    /// Which of the three.
    pub variant: Variant,
    /// 0x10 or 0x13 (RFC 9106 §3.1).
    pub version: Version,
    /// Memory that one computation takes, in KiB.
    pub memory_kibibytes: u32,
    /// Passes over it.
    pub passes: u32,
    /// Degree of parallelism. Part of the digest; the lanes are computed one after the other.
    pub lanes: u32,
    /// At least 8 octets.
    pub salt: Box<[u8]>,
    /// 4 to 64 octets.
    pub digest: Box<[u8]>,
}

/// How memory is addressed (RFC 9106 §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// By data.
    Argon2d,
    /// By position.
    Argon2i,
    /// First by position, then by data.
    Argon2id,
}

/// The version of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 16, as before 2016.
    Old,
    /// 19, that of RFC 9106.
    Current,
}

impl fmt::Debug for Argon2 {
    /// What it costs only: salt and digest are for guessing passwords at home.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argon2 { variant, memory_kibibytes, passes, lanes, .. } = self;
        write!(f, "{variant:?}(m={memory_kibibytes},t={passes},p={lanes})")
    }
}
