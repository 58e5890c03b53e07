//! The only place that reads a clock for the core: monotonic nanoseconds since one anchor, and the time on the wall.
//!
//! Every thread works with a copy of the one [`Clock`] taken at start, so that an instant noted by one thread and
//! compared by another means the same. A reading costs about 26 ns; it is taken once for each wake-up and handed to
//! the core, not once for each packet.

use ulna_core::time::{Instant, UnixTime};

/// Derives the core's instants from one monotonic anchor. Copies agree with each other.
///
/// Time that the machine spends suspended does not pass (CLOCK_MONOTONIC), nor does it jump when the wall clock is
/// set: time-outs are spans of waking time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor: std::time::Instant,
}

impl Clock {
    /// Takes the anchor: [`Instant::ORIGIN`] is now. Called once, by the main thread.
    pub fn start() -> Self {
        Clock { anchor: std::time::Instant::now() }
    }

    /// The nanoseconds since the anchor. Never goes back, in any thread.
    pub fn now(&self) -> Instant {
        let span = self.anchor.elapsed();
        let nanoseconds = u64::try_from(span.as_nanos()).expect("584 years of nanoseconds fit into a u64");
        Instant::from_nanoseconds(nanoseconds)
    }
}

/// The time on the wall, for rules that ask for the hour. Read anew each turn, as operators set clocks; before 1970 it is
/// 1970.
pub fn wall_time() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_never_go_back_and_do_go_on() {
        let clock = Clock::start();
        let first = clock.now();
        let mut previous = first;
        while previous == first {
            let next = clock.now();
            assert!(next >= previous);
            previous = next;
        }
        assert!(previous > first);
    }

    #[test]
    fn copies_in_other_threads_share_the_anchor() {
        let clock = Clock::start();
        let before = clock.now();
        let within = std::thread::spawn(move || clock.now()).join().expect("the thread only reads a clock");
        let after = clock.now();
        assert!(before <= within && within <= after);
    }
}
