//! How many panics of its cores a server bears.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::server::locked;

/// So many in [`WITHIN`] are one too many: what panics again at once will not stop by itself, and a process that ends is
/// noticed and started anew.
const TOO_MANY: usize = 3;
const WITHIN: Duration = Duration::from_secs(10);

/// The last panics of all threads.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    last: Mutex<[Option<Instant>; TOO_MANY - 1]>,
}

impl Deaths {
    /// Whether the process goes on after one more, now.
    pub fn is_bearable(&self, now: Instant) -> bool {
        let mut last = locked(&self.last);
        let is_too_many =
            last.iter().all(|at| at.is_some_and(|at| now.saturating_duration_since(at) < WITHIN));
        last.rotate_left(1);
        last[TOO_MANY - 2] = Some(now);
        !is_too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_within_ten_seconds_is_too_many() {
        let (deaths, start) = (Deaths::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let bearable: Vec<_> =
            [0, 9, 11, 18, 19, 40, 41, 49].map(|second| deaths.is_bearable(at(second))).into();
        assert_eq!(bearable, [true, true, true, false, false, true, true, false]);
    }
}
