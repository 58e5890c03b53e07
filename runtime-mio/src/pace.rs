//! How many requests a worker takes up in one turn: so many that the turn stays short.
//!
//! Most decisions take microseconds, and then a turn takes all that there are. Where policy takes long for each, a turn of
//! all of them would keep Status-Server, duplicates and the shedding of what is too much waiting. So the number follows
//! what a request has cost in the last turns: the least of them, as a thread may only have been kept off its core in the
//! others. No turn can be shorter than one decision.

use std::time::Duration;

/// No turn is to take longer.
const TURN_MAX: Duration = Duration::from_millis(1);
/// More are not read in a turn of a few sockets.
const REQUESTS_MAX: usize = 256;
/// Turns that are looked back upon.
const TURNS: usize = 4;

/// Follows the turns of one thread.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What a request took on the average, in each of the last turns that had any.
    costs: [Duration; TURNS],
    oldest: usize,
}

impl Pace {
    /// One that has seen no turn yet.
    pub fn new() -> Self {
        Pace { costs: [Duration::ZERO; TURNS], oldest: 0 }
    }

    /// How many the next turn may take up.
    pub fn requests_max(&self) -> usize {
        let cost = self.costs.iter().min().expect("turns are looked back upon").as_nanos();
        let fit = TURN_MAX.as_nanos().checked_div(cost).map_or(REQUESTS_MAX, |fit| fit as usize);
        fit.clamp(1, REQUESTS_MAX)
    }

    /// A turn has taken up so many requests and so long.
    pub fn note(&mut self, requests: usize, took: Duration) {
        if requests > 0 {
            self.costs[self.oldest] = took / requests as u32;
            self.oldest = (self.oldest + 1) % TURNS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns with as many requests as are allowed, each decided in that time; and how long they took.
    fn turns(count: usize, each: Duration, pace: &mut Pace) -> Vec<Duration> {
        let mut spans = Vec::new();
        for _ in 0..count {
            let requests = pace.requests_max();
            spans.push(each * requests as u32);
            pace.note(requests, each * requests as u32);
        }
        spans
    }

    #[test]
    fn turns_are_short_once_a_few_were_long_and_full_again_after_one_that_was_fast() {
        let mut pace = Pace::new();
        turns(10, Duration::from_micros(3), &mut pace);
        assert_eq!(pace.requests_max(), REQUESTS_MAX);
        turns(TURNS, Duration::from_micros(200), &mut pace);
        assert!(turns(10, Duration::from_micros(200), &mut pace).iter().all(|span| *span == TURN_MAX));
        turns(TURNS, Duration::from_millis(20), &mut pace);
        assert_eq!(pace.requests_max(), 1);
        turns(1, Duration::from_micros(2), &mut pace);
        assert_eq!(pace.requests_max(), REQUESTS_MAX);
    }

    #[test]
    fn who_was_kept_off_its_core_now_and_then_is_not_taken_for_slow() {
        let mut pace = Pace::new();
        for turn in 0..100 {
            let took = if turn % 4 == 0 { Duration::from_micros(30) } else { Duration::from_millis(5) };
            pace.note(8, took);
            assert_eq!(pace.requests_max(), REQUESTS_MAX, "turn {turn}");
        }
    }

    #[test]
    fn turns_without_requests_say_nothing() {
        let mut pace = Pace::new();
        (0..10).for_each(|_| pace.note(0, Duration::from_secs(1)));
        assert_eq!(pace.requests_max(), REQUESTS_MAX);
    }
}
