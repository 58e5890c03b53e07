//! How many requests a worker takes up in one turn: so many that the turn stays short.
//!
//! Most decisions take microseconds, and then a turn takes all that there are. Where policy takes long for each, a turn of
//! all of them would keep Status-Server, duplicates and the shedding of what is too much waiting. So the number is halved
//! when a turn was long and doubled when it was short and that number was what ended it. No turn can be shorter than one
//! decision.

use std::time::Duration;

/// No turn is to take longer.
const TURN_MAX: Duration = Duration::from_millis(1);
/// More are not read in a turn of a few sockets.
const REQUESTS_MAX: usize = 256;

/// Follows the turns of one thread.
#[derive(Debug)]
pub(crate) struct Pace {
    requests_max: usize,
}

impl Pace {
    /// One that has seen no turn yet.
    pub fn new() -> Self {
        Pace { requests_max: REQUESTS_MAX }
    }

    /// How many the next turn may take up.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// A turn has taken up so many requests and so long.
    pub fn note(&mut self, requests: usize, took: Duration) {
        if took > TURN_MAX && requests > 0 {
            // Half, not what would have fitted: the thread may only have been kept off its core for a while.
            self.requests_max = (self.requests_max / 2).max(1);
        } else if requests >= self.requests_max && took < TURN_MAX / 2 {
            self.requests_max = (self.requests_max * 2).min(REQUESTS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that it comes to after so many turns with as many requests as it allows, each decided in that time.
    fn after(turns: usize, each: Duration, pace: &mut Pace) -> usize {
        for _ in 0..turns {
            let requests = pace.requests_max();
            pace.note(requests, each * requests as u32);
        }
        pace.requests_max()
    }

    #[test]
    fn comes_soon_to_short_turns_and_back() {
        let mut pace = Pace::new();
        assert_eq!(after(10, Duration::from_micros(3), &mut pace), REQUESTS_MAX);
        let slow = after(7, Duration::from_micros(200), &mut pace);
        assert!((2..=5).contains(&slow), "{slow} of 200 µs");
        assert_eq!(after(10, Duration::from_micros(200), &mut pace), slow, "and stays there");
        assert_eq!(after(3, Duration::from_millis(20), &mut pace), 1);
        assert_eq!(after(8, Duration::from_micros(1), &mut pace), REQUESTS_MAX);
    }

    #[test]
    fn turns_with_few_requests_say_nothing_about_how_many_there_could_be() {
        let mut pace = Pace::new();
        pace.note(0, Duration::from_millis(5));
        assert_eq!(pace.requests_max(), REQUESTS_MAX);
        pace.note(1, Duration::from_millis(5));
        assert_eq!(pace.requests_max(), REQUESTS_MAX / 2);
        pace.note(1, Duration::ZERO);
        assert_eq!(pace.requests_max(), REQUESTS_MAX / 2);
    }
}
