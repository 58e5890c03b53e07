//! The clock on the wall: it goes as virtual time does, and jumps when a fault strikes. Nothing is measured by it.

use ulna_core::time::UnixTime;

/// 2026-01-01T00:00:00Z, a Thursday.
const BEGINS: u64 = 1_767_225_600;
const SECOND: u64 = 1_000_000_000;

/// One wall for the whole server.
#[derive(Debug, Default)]
pub struct Clock {
    /// From which virtual nanosecond on it is so many seconds ahead.
    jumps: Vec<(u64, i64)>,
}

impl Clock {
    /// It jumps: from now on it is `seconds` ahead of where it began.
    pub fn jump(&mut self, now: u64, seconds: i64) {
        self.jumps.push((now, seconds));
    }

    /// How many seconds it is ahead now.
    pub fn ahead(&self) -> i64 {
        self.jumps.last().map_or(0, |(_, seconds)| *seconds)
    }

    /// What it shows at this virtual nanosecond.
    pub fn shows(&self, at: u64) -> UnixTime {
        let jump = self.jumps.iter().rev().find(|(from, _)| *from <= at);
        UnixTime((BEGINS + at / SECOND).saturating_add_signed(jump.map_or(0, |(_, seconds)| *seconds)))
    }

    /// Of what it showed between these two, both included, a second of each minute.
    pub fn shown(&self, from: u64, to: u64) -> Vec<u64> {
        let inside = self.jumps.iter().map(|(at, _)| *at).filter(|at| (from..=to).contains(at));
        let mut begins: Vec<u64> = std::iter::once(from).chain(inside).collect();
        begins.push(to + 1);
        let mut shown = Vec::new();
        for pair in begins.windows(2) {
            let (first, last) = (self.shows(pair[0]).0, self.shows((pair[1] - 1).max(pair[0])).0);
            shown.push(first);
            shown.extend((first / 60 + 1..=last / 60).map(|minute| minute * 60));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_each_minute_on_both_sides_of_a_jump() {
        let mut clock = Clock::default();
        assert_eq!(clock.shows(61 * SECOND).0, BEGINS + 61);
        clock.jump(90 * SECOND, -3_600);
        clock.jump(200 * SECOND, 7_200);
        assert_eq!(clock.ahead(), 7_200);
        let minutes = |from: u64, to| {
            let shown = clock.shown(from * SECOND, to * SECOND);
            shown.into_iter().map(|second| (second as i64 - BEGINS as i64).div_euclid(60)).collect::<Vec<_>>()
        };
        assert_eq!(minutes(10, 20), [0]);
        assert_eq!(minutes(50, 130), [0, 1, -59, -58]);
        assert_eq!(minutes(90, 90), [-59, -59]);
        assert_eq!(minutes(210, 215), [123]);
    }
}
