//! Codes that a user's device shows, each for a span of time, and that are good once: TOTP. RFC 6238, RFC 4226; RFC 4648 §6.
//!
//! Knows the seed and the newest step of time of which a code was taken. Asks nobody for anything, and keeps no conversation: that is
//! the [`Worker`](crate::worker::Worker)'s.
//!
//! # Once
//!
//! RFC 6238 §5.2: a code that was taken is not taken again, nor is one of an earlier step. All workers, and all configurations that
//! have the same seed for the same name, share what they know of that, so it is true of a server as a whole, through reloads; not
//! through a restart, which forgets it: a code may then be taken once more, as long as it would be.

use crate::time::UnixTime;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// Octets of a seed: RFC 4226 §4 R6 asks for 128 bits at least.
pub const SEED_OCTETS_MIN: usize = 16;
/// More than any digest's block is hashed to less.
pub const SEED_OCTETS_MAX: usize = 128;
/// RFC 4226 §5.3 has six at least; more than eight no device shows.
pub const DIGITS: core::ops::RangeInclusive<usize> = 6..=8;
/// Seconds that a code is shown for.
pub const PERIOD_SECONDS: core::ops::RangeInclusive<u64> = 10..=300;

/// How a device makes its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// The digest within.
    pub algorithm: Algorithm,
    /// Of [`DIGITS`].
    pub digits: u8,
    /// How long a code is shown, of [`PERIOD_SECONDS`].
    pub period_seconds: u64,
}

impl Default for Device {
    /// RFC 6238 §4, and what nearly all do.
    fn default() -> Self {
        Device { algorithm: Algorithm::Sha1, digits: 6, period_seconds: 30 }
    }
}

/// The digest within a code's HMAC (RFC 6238 §1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA-1, by default.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// Why a text is no seed. None of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedError {
    /// It is not base32, or not as anybody writes it.
    NotBase32,
    /// It has too few octets, or too many.
    Length(usize),
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedError::NotBase32 => write!(f, "is not base32: letters A to Z, digits 2 to 7"),
            SeedError::Length(octets) => {
                write!(f, "has {octets} octets in base32, instead of {SEED_OCTETS_MIN} to {SEED_OCTETS_MAX}")
            }
        }
    }
}

impl core::error::Error for SeedError {}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is right, and is not taken again.
    Now,
    /// It is right, and it, or a later one, was taken before.
    Before,
    /// It is wrong.
    Never,
}

/// One user's codes.
#[derive(Clone)]
pub struct OneTimeCode {
    totp: Totp,
    /// One more than the newest step of which a code was taken.
    next: Arc<AtomicU64>,
}

impl OneTimeCode {
    /// By its seed in base32, of either letter case, with or without padding.
    ///
    /// # Errors
    /// When it is no seed.
    ///
    /// # Panics
    /// If the device is none that there is.
    pub fn new(seed: &str, device: Device) -> Result<OneTimeCode, SeedError> {
        let Device { algorithm, digits, period_seconds } = device;
        assert!(PERIOD_SECONDS.contains(&period_seconds), "a code is shown for a while");
        assert!(DIGITS.contains(&usize::from(digits)), "a code has six to eight digits");
        let unpadded = Zeroizing::new(seed.trim_end_matches('=').to_ascii_uppercase());
        let secret = Secret::try_from_base32(&*unpadded).map_err(|_| SeedError::NotBase32)?;
        let octets = secret.as_bytes().len();
        // What is left over of the last character is nothing: a text that lost its end is mostly found out.
        let is_whole =
            unpadded.len() == (octets * 8).div_ceil(5) && *unpadded == *Zeroizing::new(secret.to_base32());
        if !is_whole {
            return Err(SeedError::NotBase32);
        }
        if !(SEED_OCTETS_MIN..=SEED_OCTETS_MAX).contains(&octets) {
            return Err(SeedError::Length(octets));
        }
        let algorithm = match algorithm {
            Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
            Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
            Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
        };
        // Steps are looked at one by one here: the library's window would not say which of several a code is of.
        let builder = Builder::new().with_algorithm(algorithm).with_digits(digits).with_skew(0);
        let totp = builder.with_step_duration(period_seconds).with_secret(secret).build();
        Ok(OneTimeCode { totp: totp.expect("all of it was checked"), next: Arc::default() })
    }

    /// Takes a code, if it is of this step of time, the one before or the one after, and is later than any that was taken.
    pub fn take(&self, code: &[u8], time: UnixTime) -> Taken {
        let Ok(code) = core::str::from_utf8(code) else { return Taken::Never };
        let step = time.0 / self.totp.step();
        let mut taken = Taken::Never;
        for step in step.saturating_sub(STEPS_EITHER_WAY)..=step.saturating_add(STEPS_EITHER_WAY) {
            let start = step.saturating_mul(self.totp.step());
            if self.totp.check(code, start).is_none() {
                continue;
            }
            // Relaxed: nothing else is read by what it says, and of several who take the same step one alone finds a lower one.
            if self.next.fetch_max(step.saturating_add(1), Ordering::Relaxed) <= step {
                return Taken::Now;
            }
            taken = Taken::Before;
        }
        taken
    }

    /// Shares what is known of codes that were taken, where the device is the same.
    pub fn follow(&mut self, running: &OneTimeCode) {
        if self.is_same(running) {
            self.next = Arc::clone(&running.next);
        }
    }

    /// Whether the seed and all else that codes are made of is the same.
    pub fn is_same(&self, other: &OneTimeCode) -> bool {
        // The library compares seeds in constant time.
        self.totp == other.totp
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(…)")
    }
}

/// RFC 6238 §5.2 recommends one, for the time between reading a code and its coming here, and for clocks that are a little off.
const STEPS_EITHER_WAY: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    /// `12345678901234567890`, which RFC 6238 Appendix B and RFC 4226 Appendix D count with.
    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn code(device: Device) -> OneTimeCode {
        OneTimeCode::new(SEED, device).expect("it is a seed")
    }

    #[test]
    fn takes_the_codes_of_rfc_6238() {
        // Appendix B's seeds for longer digests are in its reference implementation: the digits go on, to 32 and 64 octets.
        let seeds = [
            SEED,
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA",
        ];
        let algorithms = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
        for (time, codes) in [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000, ["65353130", "77737706", "47863826"]),
        ] {
            for ((seed, algorithm), code) in seeds.iter().zip(algorithms).zip(codes) {
                let device = Device { algorithm, digits: 8, ..Device::default() };
                let codes = OneTimeCode::new(seed, device).expect("it is a seed");
                assert_eq!(
                    codes.take(code.as_bytes(), UnixTime(time)),
                    Taken::Now,
                    "{algorithm:?} at {time}"
                );
            }
        }
    }

    #[test]
    fn takes_the_codes_of_rfc_4226_by_default() {
        // Appendix D: the codes of the first ten counts, which are steps here.
        for (step, code) in ["755224", "287082", "359152", "969429", "338314"].iter().enumerate() {
            let codes = self::code(Device::default());
            assert_eq!(codes.take(code.as_bytes(), UnixTime(step as u64 * 30 + 29)), Taken::Now);
        }
    }

    #[test]
    fn a_step_is_taken_once_and_none_before_it_ever_after() {
        let codes = code(Device::default());
        let now = UnixTime(2 * 30);
        assert_eq!(codes.take(b"359152", now), Taken::Now, "step 2");
        assert_eq!(codes.take(b"359152", now), Taken::Before);
        assert_eq!(codes.take(b"287082", now), Taken::Before, "step 1");
        assert_eq!(codes.take(b"969429", now), Taken::Now, "step 3");
        assert_eq!(codes.take(b"359152", UnixTime(3 * 30)), Taken::Before);
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_more() {
        for (seconds, taken) in [
            (29, Taken::Never),
            (30, Taken::Now),
            (60, Taken::Now),
            (90, Taken::Now),
            (119, Taken::Now),
            (120, Taken::Never),
        ] {
            assert_eq!(code(Device::default()).take(b"359152", UnixTime(seconds)), taken, "at {seconds}");
        }
        let minute = Device { period_seconds: 60, ..Device::default() };
        assert_eq!(code(minute).take(b"359152", UnixTime(2 * 60)), Taken::Now);
        // A clock that is not set is no reason to panic, nor is one at its end.
        assert_eq!(code(minute).take(b"755224", UnixTime(0)), Taken::Now);
        assert_eq!(code(minute).take(b"755224", UnixTime(u64::MAX)), Taken::Never);
    }

    #[test]
    fn what_is_no_code_is_never_taken() {
        let codes = code(Device::default());
        for wrong in
            [&b""[..], b"359153", b"35915", b"0359152", b"359152 ", b"+59152", b"\xff59152", b"hello!"]
        {
            assert_eq!(codes.take(wrong, UnixTime(60)), Taken::Never, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn what_was_taken_outlives_a_reload_with_the_same_seed() {
        let running = code(Device::default());
        assert_eq!(running.take(b"359152", UnixTime(60)), Taken::Now);
        let mut same = code(Device::default());
        same.follow(&running);
        assert_eq!(same.take(b"359152", UnixTime(60)), Taken::Before);
        let mut other = OneTimeCode::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR", Device::default()).expect("one");
        other.follow(&running);
        assert!(!other.is_same(&running));
        assert_eq!(running.take(b"969429", UnixTime(60)), Taken::Now, "a device's steps are its own");
    }

    #[test]
    fn a_seed_is_base32_however_it_is_written() {
        let with = |seed: &str| OneTimeCode::new(seed, Device::default());
        assert!(with(SEED).expect("one").is_same(&with(&SEED.to_lowercase()).expect("one")));
        assert!(with("GEZDGNBVGY3TQOJQGEZDGNBVGY======").is_ok(), "16 octets, padded");
        for seed in ["", "GEZDGNBVGY3TQOJQ", &"A".repeat(208)] {
            assert!(matches!(with(seed), Err(SeedError::Length(_))), "{seed}");
        }
        // A letter that base32 leaves out, a space, one that lost its end in the middle of an octet.
        for seed in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ0",
            "GEZD GNBV GY3T QOJQ GEZD GNBV GY",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQ0",
        ] {
            assert_eq!(with(seed).map(|_| ()), Err(SeedError::NotBase32), "{seed}");
        }
        assert_eq!(with(&SEED[..27]).map(|_| ()), Err(SeedError::NotBase32), "no octets end there");
        assert_eq!(
            with("GEZDGNBVGY3TQOJQGEZDGNBVGZ").map(|_| ()),
            Err(SeedError::NotBase32),
            "nor with these bits"
        );
    }

    #[test]
    fn a_seed_is_never_printed() {
        let printed: String = format!("{:?}", code(Device::default()));
        assert_eq!(printed, "OneTimeCode(…)");
    }
}
