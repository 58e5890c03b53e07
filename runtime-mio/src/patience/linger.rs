//! Whether a thread that has nothing to do looks on for a while before it sleeps, and for how long.
//!
//! A sleep costs two system calls and, if it is ended by a bell, the writer 8 to 16 µs. Who looks on instead spends
//! processor time on nothing. So it does so only where the last gaps say that the next message comes soon, no longer
//! than twice such a gap, and never more than its share of a processor. Whether it makes sense at all on this machine
//! is decided by [`Patience`](super::Patience).

use std::time::Duration;

use ulna_core::Instant;

/// Between two looks at the sockets while a thread lingers. Rings are in memory, and looked at all the time.
pub const SOCKETS_EVERY: Duration = Duration::from_micros(10);

/// What was lingered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LingerCounters {
    /// How often.
    pub times: u64,
    /// How often something came.
    pub found: u64,
    /// How long.
    pub span: Duration,
}

/// One thread's memory of gaps, and its budget.
#[derive(Debug)]
pub struct Linger {
    span_max: Duration,
    /// Of the time that passes, so much in a hundred may be lingered.
    percent: u32,
    /// What may be lingered now; at most `budget_max`.
    budget: Duration,
    budget_max: Duration,
    /// When it was last added to.
    filled: Instant,
    /// From when this thread had nothing to do until something came: a moving average.
    gap: Duration,
    /// Since when it has nothing to do.
    idle_since: Option<Instant>,
    /// Whether the last wait brought something: it lingers once after that, not after a deadline.
    came: bool,
    counters: LingerCounters,
}

impl Linger {
    /// At most for `span_max` at a time, and `percent` of a processor's time; `None` if that is nothing.
    pub fn new(span_max: Duration, percent: u32) -> Option<Linger> {
        (!span_max.is_zero() && percent > 0).then(|| Linger {
            span_max,
            percent,
            budget: Duration::ZERO,
            budget_max: (BUDGET_SPAN * percent / 100).max(span_max),
            filled: Instant::ORIGIN,
            // Nothing is known yet: as if nothing had come for long.
            gap: span_max * GAP_CAP,
            idle_since: None,
            came: false,
            counters: LingerCounters::default(),
        })
    }

    /// What was counted so far.
    pub fn counters(&self) -> LingerCounters {
        self.counters
    }

    /// The thread has nothing to do from now on.
    pub fn begin(&mut self, now: Instant) {
        self.idle_since.get_or_insert(now);
        let earned = now.saturating_since(self.filled).min(BUDGET_SPAN * 100) * self.percent / 100;
        self.budget = (self.budget + earned).min(self.budget_max);
        self.filled = now;
    }

    /// How long to linger now, if at all.
    pub fn span(&self) -> Option<Duration> {
        if !self.came || self.gap > self.span_max {
            return None;
        }
        // What is twice as late as usual does not come soon.
        let span = self.span_max.min((2 * self.gap).max(SOCKETS_EVERY));
        (span <= self.budget).then_some(span)
    }

    /// It has lingered; whether something came. If so, it has something to do again.
    pub fn end(&mut self, began: Instant, ended: Instant, found: bool) {
        let span = ended.saturating_since(began);
        self.budget = self.budget.saturating_sub(span);
        self.counters.times += 1;
        self.counters.found += u64::from(found);
        self.counters.span += span;
        if found {
            self.note(true, ended);
        }
    }

    /// A wait is over; whether something came.
    pub fn note(&mut self, found: bool, now: Instant) {
        self.came = found;
        if found && let Some(since) = self.idle_since.take() {
            // Capped, so that after a pause a few short gaps are enough.
            let gap = now.saturating_since(since).min(self.span_max * GAP_CAP);
            self.gap = self.gap - self.gap / GAPS + gap / GAPS;
        }
    }
}

/// The budget is what so long a time earns: bursts of lingering stay below the share in any longer one.
const BUDGET_SPAN: Duration = Duration::from_millis(100);
/// How many gaps the average remembers, about.
const GAPS: u32 = 8;
/// A gap counts as so many times the longest linger, at most.
const GAP_CAP: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(microseconds: u64) -> Instant {
        Instant::from_nanoseconds(microseconds * 1000)
    }

    /// A thread to which something comes `gap` microseconds after it has nothing to do, so many times, without lingering.
    fn after_gaps(linger: &mut Linger, from: u64, gap: u64, times: u64) -> u64 {
        for n in 0..times {
            linger.begin(at(from + n * gap));
            linger.note(true, at(from + (n + 1) * gap));
        }
        from + times * gap
    }

    fn linger() -> Linger {
        Linger::new(Duration::from_micros(50), 5).expect("it may linger")
    }

    #[test]
    fn nothing_to_spend_is_no_lingering() {
        assert!(Linger::new(Duration::ZERO, 5).is_none());
        assert!(Linger::new(Duration::from_micros(50), 0).is_none());
    }

    #[test]
    fn it_lingers_where_gaps_are_short_for_twice_as_long_and_forgets_within_a_few() {
        let mut linger = linger();
        linger.begin(at(1_000_000));
        assert_eq!(linger.span(), None, "nothing is known yet");
        linger.note(true, at(2_000_000));
        let end = after_gaps(&mut linger, 2_000_000, 20, 40);
        linger.begin(at(end));
        let span = linger.span().expect("the last gaps were short");
        assert!((Duration::from_micros(38)..=Duration::from_micros(44)).contains(&span), "{span:?}");
        let end = after_gaps(&mut linger, end, 1000, 4);
        linger.begin(at(end));
        assert_eq!(linger.span(), None, "four long gaps are enough");
    }

    #[test]
    fn only_after_something_came() {
        let mut linger = linger();
        let end = after_gaps(&mut linger, 1_000_000, 10, 40);
        linger.begin(at(end));
        assert!(linger.span().is_some());
        linger.end(at(end), at(end + 20), false);
        linger.note(false, at(end + 500));
        linger.begin(at(end + 500));
        assert_eq!(linger.span(), None, "a deadline passed, nothing came");
    }

    #[test]
    fn no_more_than_its_share_over_any_long_time() {
        let mut linger = linger();
        let mut now = after_gaps(&mut linger, 1_000_000, 10, 40);
        let begin = now;
        // Always hopeful, never lucky within the linger; for two seconds.
        while now < begin + 2_000_000 {
            linger.begin(at(now));
            if let Some(span) = linger.span() {
                let ended = now + span.as_micros() as u64;
                linger.end(at(now), at(ended), false);
                now = ended;
            }
            now += 1;
            linger.note(true, at(now));
        }
        let lingered = linger.counters().span;
        let share = Duration::from_micros((now - begin) / 20);
        assert!(lingered <= share + Duration::from_millis(5), "{lingered:?} of {share:?}");
        assert!(lingered >= share / 2, "it lingers while it may: {lingered:?} of {share:?}");
    }
}
