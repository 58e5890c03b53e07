//! Spans of time as operators write them: a whole number and a unit, `"30s"`.

use std::time::Duration;

/// What a span looks like, for messages.
pub const EXAMPLE: &str = "such as \"30s\" (units: us, ms, s, m, h, d)";

/// The span that `text` says. `None` if it is not a whole number (`_` between digits allowed) and a unit, or too long
/// for 64 bits of nanoseconds, 584 years.
pub fn parse(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let nanoseconds: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        _ => return None,
    };
    // As in TOML, each `_` stands between two digits.
    if !number
        .split('_')
        .all(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
    {
        return None;
    }
    let number: u64 = number.replace('_', "").parse().ok()?;
    number.checked_mul(nanoseconds).map(Duration::from_nanos)
}

/// The span in the largest unit that divides it.
pub fn display(span: Duration) -> String {
    let microseconds = span.as_micros();
    if microseconds == 0 {
        return "0s".into();
    }
    for (unit, size) in
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)]
    {
        if microseconds.is_multiple_of(size) {
            return format!("{}{unit}", microseconds / size);
        }
    }
    format!("{microseconds}us")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, microseconds) in [
            ("50us", 50),
            ("100ms", 100_000),
            ("30s", 30_000_000),
            ("5m", 300_000_000),
            ("1h", 3_600_000_000),
            ("1d", 86_400_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_micros(microseconds)), "{text}");
            assert_eq!(display(Duration::from_micros(microseconds)), text);
        }
        assert_eq!(parse("10_000ms"), Some(Duration::from_secs(10)));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1 s",
            "1S",
            "1min",
            "_1s",
            "1__0s",
            "1_s",
            "99999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
