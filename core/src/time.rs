//! The only clock that core knows: an [`Instant`] that its driver hands in; and beside it, where an operator's rule asks
//! for the time of day, a [`UnixTime`].
//!
//! Holds points in time and nothing that reads them off a clock. The simulator counts them, the runtime derives
//! instants from one monotonic anchor taken at start.

use crate::dictionary::rfc_3339_into;
use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// Nanoseconds since an origin that the driver picks. Never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ORIGIN: Instant = Instant(0);

    /// The point `nanoseconds` after the origin (584 years fit).
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Instant(nanoseconds)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanoseconds(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// Saturates at the end of time rather than wrap into the past.
    fn add(self, span: Duration) -> Instant {
        let nanoseconds = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanoseconds))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl fmt::Display for Instant {
    /// Seconds and nanoseconds, `12.000345678`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Wall time in whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted. For what operators and other hosts
/// say by the clock on the wall; it may go back, so no span is ever measured with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub u64);

impl fmt::Display for UnixTime {
    /// As RFC 3339 has it, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc_3339_into(f, self.0)
    }
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A delayed reject may go.
    DelayedReject,
    /// The lifetime of a kept reply is over.
    DedupExpiry,
    /// A request has waited for an effect as long as it may.
    RequestTimeout,
    /// A connection has been silent for as long as it may, or its client's time is over.
    Connection,
    /// A stream has been silent or slow for as long as it may.
    Stream,
    /// Who reads a control connection has taken nothing for as long as that may be.
    Control,
    /// A remote server has not answered, or is to be asked whether it lives.
    RemoteServer,
    /// An answer to a look-up is void, or has not come.
    LookUp,
    /// A record of the spool is to be sent, again or for the first time.
    Spool,
    /// Lazy completions have lain in their rings long enough.
    LazySweep,
    /// A policy is to be asked whether it still keeps conversations from before a change of workers.
    Conversations,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn adding_saturates_instead_of_going_back() {
        let late = Instant::from_nanoseconds(u64::MAX - 5);
        assert_eq!(late + Duration::from_secs(1), Instant::from_nanoseconds(u64::MAX));
        assert_eq!(Instant::ORIGIN.saturating_since(late), Duration::ZERO);
    }

    #[test]
    fn prints_seconds_with_nanoseconds() {
        assert_eq!(Instant::from_nanoseconds(12_000_345_678).to_string(), "12.000345678");
    }
}
