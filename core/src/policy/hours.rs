//! Hours of the week, as a rule's `time` names them: `Mo-Fr 08:00-18:00`.
//!
//! Days and minutes are those of UTC, or of a fixed distance from it that is written behind them. Time zones with summer
//! time are no core matter: their tables change by law, and the same rule would decide differently on two hosts.

use crate::time::UnixTime;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Times of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    spans: Box<[Span]>,
    /// Minutes that the wall is ahead of UTC.
    ahead_minutes: i32,
}

/// Minutes of the week from Monday 00:00 on; what passes Sunday's end goes on on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    minutes: u32,
}

/// Text that names no hours of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHours;

impl fmt::Display for BadHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("days and hours such as \"Mo-Fr 08:00-18:00\", \"Sa,Su\" or \"22:00-06:00 +01:00\"")
    }
}

impl core::error::Error for BadHours {}

impl Hours {
    /// Whether this second is one of them. The first minute of a span belongs to it, that which ends it does not.
    pub fn contain(&self, time: UnixTime) -> bool {
        // 1970 began on a Thursday.
        let days_before = i64::from(DAY_MINUTES) * 3;
        let minutes = (time.0 / 60) as i64 + i64::from(self.ahead_minutes) + days_before;
        let minute = minutes.rem_euclid(i64::from(WEEK_MINUTES)) as u32;
        self.spans.iter().any(|span| (minute + WEEK_MINUTES - span.start) % WEEK_MINUTES < span.minutes)
    }
}

impl FromStr for Hours {
    type Err = BadHours;

    /// Days, hours or both, then perhaps a distance from UTC. Days are `Mo` to `Su`, ranges of them and lists; without
    /// them it is every day. Hours are `08:00-18:00` and lists of such; without them it is the whole day. Hours that end
    /// before they begin end on the next day.
    fn from_str(text: &str) -> Result<Hours, BadHours> {
        let mut words = text.split(' ').peekable();
        let days = match words.peek() {
            Some(word) if word.starts_with(|letter: char| letter.is_ascii_alphabetic()) && *word != "Z" => {
                days(words.next().ok_or(BadHours)?)?
            }
            Some(_) | None => [true; 7],
        };
        let given = days != [true; 7];
        let hours = match words.peek() {
            Some(word) if word.starts_with(|digit: char| digit.is_ascii_digit()) => {
                let list = words.next().ok_or(BadHours)?.split(',');
                list.map(hours).collect::<Result<Vec<_>, _>>()?
            }
            Some(_) | None if given => Vec::from([(0, DAY_MINUTES)]),
            Some(_) | None => return Err(BadHours),
        };
        let ahead_minutes = words.next().map_or(Ok(0), distance)?;
        if words.next().is_some() {
            return Err(BadHours);
        }
        let of_day = |day: usize| {
            let midnight = day as u32 * DAY_MINUTES;
            hours.iter().map(move |(start, minutes)| Span { start: midnight + start, minutes: *minutes })
        };
        let spans = (0..7).filter(|day| days[*day]).flat_map(of_day).collect();
        Ok(Hours { spans, ahead_minutes })
    }
}

/// `Mo`, `Mo-Fr`, `Mo,We-Fr`.
fn days(list: &str) -> Result<[bool; 7], BadHours> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name).ok_or(BadHours);
    let mut days = [false; 7];
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (day(first)?, day(last)?);
        // `Sa-Mo` passes the end of the week.
        for offset in 0..=(last + 7 - first) % 7 {
            days[(first + offset) % 7] = true;
        }
    }
    Ok(days)
}

/// Start and length of `08:00-18:00`, in minutes.
fn hours(span: &str) -> Result<(u32, u32), BadHours> {
    let (start, end) = span.split_once('-').ok_or(BadHours)?;
    let (start, end) = (minutes(start)?, minutes(end)?);
    if start == DAY_MINUTES || start == end {
        return Err(BadHours);
    }
    Ok((start, if end > start { end - start } else { DAY_MINUTES - start + end }))
}

/// `00:00` to `24:00`.
fn minutes(time: &str) -> Result<u32, BadHours> {
    let (hour, minute) = time.split_once(':').ok_or(BadHours)?;
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        two.then(|| digits.parse::<u32>().ok()).flatten().ok_or(BadHours)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    if minute < 60 && minutes <= DAY_MINUTES { Ok(minutes) } else { Err(BadHours) }
}

/// `Z`, `+01:00`, `-03:30`.
fn distance(text: &str) -> Result<i32, BadHours> {
    let (sign, time) = match text.as_bytes() {
        b"Z" => return Ok(0),
        [b'+', ..] => (1, &text[1..]),
        [b'-', ..] => (-1, &text[1..]),
        _ => return Err(BadHours),
    };
    let minutes = minutes(time)? as i32;
    if minutes <= AHEAD_MINUTES_MAX { Ok(sign * minutes) } else { Err(BadHours) }
}

const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
const DAY_MINUTES: u32 = 24 * 60;
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;
/// Kiribati is 14 hours ahead.
const AHEAD_MINUTES_MAX: i32 = 14 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23, a Monday, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000;

    fn at(day: u64, hour: u64, minute: u64) -> UnixTime {
        UnixTime(MONDAY + ((day * 24 + hour) * 60 + minute) * 60)
    }

    fn hours(text: &str) -> Hours {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_span_has_its_first_minute_and_not_the_one_that_ends_it() {
        let office = hours("Mo-Fr 08:00-18:00");
        assert!(!office.contain(at(0, 7, 59)) && office.contain(at(0, 8, 0)));
        assert!(office.contain(UnixTime(at(4, 17, 59).0 + 59)) && !office.contain(at(4, 18, 0)));
        assert!(!office.contain(at(5, 12, 0)) && !office.contain(at(6, 12, 0)));
        // The same a year earlier, and 1970 began on a Thursday.
        assert!(office.contain(UnixTime(at(0, 8, 0).0 - 52 * 7 * 86_400)));
        assert!(hours("Th").contain(UnixTime(0)) && !hours("We,Fr").contain(UnixTime(0)));
    }

    #[test]
    fn nights_belong_to_the_day_on_which_they_begin() {
        let night = hours("Su 22:00-06:00");
        assert!(night.contain(at(6, 22, 0)) && night.contain(at(7, 5, 59)) && night.contain(at(0, 5, 59)));
        assert!(!night.contain(at(0, 6, 0)) && !night.contain(at(6, 21, 59)) && !night.contain(at(1, 1, 0)));
    }

    #[test]
    fn days_and_hours_are_lists_and_either_may_be_left_out() {
        let both = hours("Sa-Mo,We 06:00-07:00,20:00-24:00");
        for (day, hour, within) in [
            (0, 6, true),
            (0, 7, false),
            (1, 6, false),
            (2, 23, true),
            (3, 0, false),
            (5, 20, true),
            (6, 6, true),
        ] {
            assert_eq!(both.contain(at(day, hour, 30)), within, "{day} {hour}");
        }
        assert!(hours("Tu").contain(at(1, 23, 59)) && !hours("Tu").contain(at(2, 0, 0)));
        assert!((0..7).all(|day| hours("12:00-12:01").contain(at(day, 12, 0))));
    }

    #[test]
    fn the_wall_may_be_ahead_of_utc_or_behind() {
        let kiel = hours("Mo 00:00-01:00 +01:00");
        assert!(kiel.contain(at(6, 23, 30)) && !kiel.contain(at(0, 0, 0)));
        let new_york = hours("Mo 20:00-21:00 -05:00");
        assert!(new_york.contain(at(1, 1, 30)) && !new_york.contain(at(0, 20, 0)));
        assert_eq!(hours("Mo 08:00-18:00 Z"), hours("Mo 08:00-18:00"));
        assert!(hours("Th +01:00").contain(UnixTime(0)));
        assert!(hours("We -01:00").contain(UnixTime(0)));
    }

    #[test]
    fn what_names_no_hours_is_refused() {
        for text in [
            "",
            " ",
            "Mo-",
            "mo",
            "Mon",
            "Mo-Xx",
            "Mo,",
            "08:00",
            "8:00-9:00",
            "08:00-18:60",
            "24:00-25:00",
            "24:00-06:00",
            "08:00-08:00",
            "Mo 08:00-18:00 CET",
            "Mo  08:00-18:00",
            "Mo 08:00-18:00 +15:00",
            "Z",
            "Mo 08:00-18:00 Z Z",
            "08:00-18:00 Mo",
            "+8:00-09:00",
            "Mo +01:00 Tu",
            "-08:00-18:00",
        ] {
            assert_eq!(text.parse::<Hours>(), Err(BadHours), "{text}");
        }
    }
}
