//! From a value's octets to what an operator reads, and would write: what is printed is read as the same octets.

use super::line::is_name_octet;
use super::{Attribute, DataType};
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

/// A value in the form of a list of attributes. Made by [`print_value`].
#[derive(Clone, Copy)]
pub struct PrintedValue<'a> {
    attribute: &'a Attribute,
    value: &'a [u8],
}

/// Prints the value of this attribute, plain and without its tag; `None` unless its octets are of the attribute's type
/// and can be written as such: all else is printed by number (RFC 6929 §2.8).
pub fn print_value<'a>(attribute: &'a Attribute, value: &'a [u8]) -> Option<PrintedValue<'a>> {
    // Behind a tag a number has three octets (RFC 2868 §3.1).
    let short = attribute.tagged() && attribute.data_type == DataType::Integer;
    let holds = if short { value.len() == 3 } else { attribute.data_type.holds(value) };
    let fits = value.len() <= attribute.value_octets_max();
    (holds && fits).then_some(PrintedValue { attribute, value })
}

/// The number in these octets, at most eight; the sign of a signed one is its reader's to see.
pub fn number_of(octets: &[u8]) -> u64 {
    octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

impl fmt::Display for PrintedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        let array = || value.try_into().expect("it was seen to have the octets of its type");
        match self.attribute.data_type {
            DataType::Text => {
                f.write_char('"')?;
                escape_into(f, value)?;
                f.write_char('"')
            }
            DataType::Octets { .. }
            | DataType::AscendFilter
            | DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => hexadecimal_into(f, value),
            DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 | DataType::Signed => {
                let number = number_of(value);
                match self.attribute.value_name(number) {
                    Some(name) if name.bytes().all(is_name_octet) => f.write_str(name),
                    // Dictionaries have names with commas and parentheses, which would end a word.
                    Some(name) => {
                        f.write_char('"')?;
                        escape_into(f, name.as_bytes())?;
                        f.write_char('"')
                    }
                    None if self.attribute.data_type == DataType::Signed => {
                        write!(f, "{}", (number as u32).cast_signed())
                    }
                    None => write!(f, "{number}"),
                }
            }
            DataType::Date => write!(f, "\"{}\"", Time(u32::from_be_bytes(array()))),
            DataType::Ipv4Address => write!(f, "{}", Ipv4Addr::from(array())),
            DataType::EitherAddress if value.len() == 4 => write!(f, "{}", Ipv4Addr::from(array())),
            DataType::Ipv6Address | DataType::EitherAddress => ipv6_into(f, value),
            DataType::InterfaceId => {
                let [a, b, c, d, e, g, h, i] = *value else { return Err(fmt::Error) };
                let group = |high, low| u16::from_be_bytes([high, low]);
                write!(f, "{:x}:{:x}:{:x}:{:x}", group(a, b), group(c, d), group(e, g), group(h, i))
            }
            DataType::Ether => {
                let [first, rest @ ..] = value else { return Err(fmt::Error) };
                write!(f, "{first:02x}")?;
                rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
            }
            DataType::Ipv4Prefix => {
                let [_, length, address @ ..] = value else { return Err(fmt::Error) };
                let address: [u8; 4] = address.try_into().map_err(|_| fmt::Error)?;
                write!(f, "{}/{length}", Ipv4Addr::from(address))
            }
            DataType::Ipv6Prefix => {
                let [_, length, prefix @ ..] = value else { return Err(fmt::Error) };
                ipv6_into(f, prefix)?;
                write!(f, "/{length}")
            }
        }
    }
}

/// An IPv6 address of which trailing zeros may be left out.
fn ipv6_into(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    let mut whole = [0; 16];
    whole.get_mut(..octets.len()).ok_or(fmt::Error)?.copy_from_slice(octets);
    write!(f, "{}", Ipv6Addr::from(whole))
}

/// `0x` and two digits an octet.
pub(crate) fn hexadecimal_into(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

/// Text as it stands between double quotes: UTF-8 as it is, but quotes, backslashes, control characters and what is no
/// UTF-8 escaped, so that a terminal or a log line meets nothing that it would obey.
pub fn escape_into(out: &mut impl Write, octets: &[u8]) -> fmt::Result {
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.write_str("\\\"")?,
                '\\' => out.write_str("\\\\")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                other if other.is_control() => {
                    let mut buffer = [0; 4];
                    other
                        .encode_utf8(&mut buffer)
                        .bytes()
                        .try_for_each(|octet| write!(out, "\\{octet:03o}"))?;
                }
                other => out.write_char(other)?,
            }
        }
        chunk.invalid().iter().try_for_each(|octet| write!(out, "\\{octet:03o}"))?;
    }
    Ok(())
}

/// Seconds since 1970 as `Nov 23 2026 13:33:22 UTC`, which is what radclient prints and reads.
struct Time(u32);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / DAY_SECONDS, self.0 % DAY_SECONDS);
        let (year, month, day) = civil_from_days(days);
        let month = MONTHS[month as usize - 1];
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{month} {day:2} {year} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// Seconds since 1970 as `2026-11-23T13:33:22Z` (RFC 3339). What no four digits of a year can say is the last second that
/// they can.
pub(crate) fn rfc_3339_into(out: &mut impl Write, seconds: u64) -> fmt::Result {
    const LAST: u64 = 253_402_300_799;
    let seconds = seconds.min(LAST);
    let day = u64::from(DAY_SECONDS);
    let (year, month, date) = civil_from_days((seconds / day) as u32);
    let (hour, minute, second) = (seconds % day / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads `Nov 23 2026 13:33:22 UTC` or, as RFC 3339 has it, `2026-11-23T13:33:22Z` with or without an offset.
pub(super) fn time(text: &str) -> Option<u32> {
    let mut words = text.split_ascii_whitespace();
    let fields =
        [words.next()?, words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or("")];
    let zone = words.next();
    if words.next().is_some() {
        return None;
    }
    let (year, month, day, clock, offset) = match (fields, zone) {
        ([month, day, year, clock], Some("UTC" | "GMT") | None) if !clock.is_empty() => {
            let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as u32 + 1;
            (digits(year, 4)?, month, digits(day, day.len().clamp(1, 2))?, clock, 0)
        }
        ([date_and_clock, "", "", ""], None) => rfc_3339(date_and_clock)?,
        _ => return None,
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) =
        (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next().unwrap_or("00"), 2)?);
    let leap_day = u32::from(month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let month_days = MONTH_DAYS.get(month.checked_sub(1)? as usize)? + leap_day;
    if parts.next().is_some()
        || hour > 23
        || minute > 59
        || second > 59
        || !(1..=month_days).contains(&day)
        || year < 1970
    {
        return None;
    }
    let seconds = u64::from(days_from_civil(year, month, day)) * u64::from(DAY_SECONDS)
        + u64::from(hour * 3600 + minute * 60 + second);
    u32::try_from(i64::try_from(seconds).ok()?.checked_sub(offset)?).ok()
}

/// Year, month, day, clock and the seconds by which it is ahead of UTC.
fn rfc_3339(text: &str) -> Option<(u32, u32, u32, &str, i64)> {
    let (date, clock) = text.split_once(['T', 't'])?;
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let (clock, offset) = if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else {
        let place = clock.rfind(['+', '-'])?;
        let (hours, minutes) = clock[place + 1..].split_once(':')?;
        let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        let ahead = i64::from(hours * 3600 + minutes * 60);
        (&clock[..place], if clock[place..].starts_with('-') { -ahead } else { ahead })
    };
    Some((year, month, day, clock, offset))
}

/// Exactly so many decimal digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    let digits = text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that the leap day is last.
fn days_from_civil(year: u32, month: u32, day: u32) -> u32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - DAYS_BEFORE_1970
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + later, month, day)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH_DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAY_SECONDS: u32 = 86_400;
/// Days of 400 years.
const ERA_DAYS: u32 = 146_097;
/// From the first of March of the year 0 to the first of January 1970.
const DAYS_BEFORE_1970: u32 = 719_468;

#[cfg(test)]
mod tests {
    use super::super::{Dictionary, Literal, encode_value};
    use super::*;
    use alloc::string::{String, ToString};

    #[test]
    fn times_are_printed_and_read() {
        for (seconds, printed, other) in [
            (0, "Jan  1 1970 00:00:00 UTC", "1970-01-01T00:00:00Z"),
            (951_782_400, "Feb 29 2000 00:00:00 UTC", "2000-02-29T01:00:00+01:00"),
            (1_795_440_802, "Nov 23 2026 13:33:22 UTC", "2026-11-23t08:33:22-05:00"),
            (4_107_542_399, "Feb 28 2100 23:59:59 UTC", "2100-02-28T23:59:59z"),
            (u32::MAX, "Feb  7 2106 06:28:15 UTC", "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(Time(seconds).to_string(), printed);
            assert_eq!(time(printed), Some(seconds), "{printed}");
            assert_eq!(time(other), Some(seconds), "{other}");
        }
        for wrong in [
            "",
            "1",
            "Nov 31 2026 13:33:22 UTC",
            "Feb 29 2100 00:00:00 UTC",
            "Nov 23 2026 24:00:00 UTC",
            "Nov 23 2026 13:33:22 CET",
            "2026-11-23",
            "2026-11-23T13:33:22",
            "1969-12-31T23:59:59Z",
            "2106-02-07T06:28:16Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T13:33:22+24:00",
            "Nov 23 2026 +1:33:22 UTC",
            "Nov  2026 13:33:22 UTC UTC",
            "Jan 1 1969 00:00:00",
            "Nov 23 2026 13:33:22 UTC x",
        ] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_day_is_itself() {
        for days in 0..u32::MAX / DAY_SECONDS {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn values_are_printed_as_they_are_written() {
        let mut dictionary = Dictionary::built_in();
        let more = "ATTRIBUTE Test-Signed 203 signed\nATTRIBUTE Test-Ether 206 ether\n\
                    ATTRIBUTE Test-Ipv4-Prefix 204 ipv4prefix\nATTRIBUTE Test-Either 205 combo-ip";
        dictionary.extend(more).expect("well-formed");
        let print = |name: &str, value: &[u8]| -> Option<String> {
            print_value(dictionary.attribute(name).expect("defined"), value)
                .map(|printed| printed.to_string())
        };
        let printed = |name, value, expected: &str| {
            assert_eq!(print(name, value).as_deref(), Some(expected));
            let attribute = dictionary.attribute(name).expect("defined");
            if !expected.starts_with('"') {
                assert_eq!(encode_value(attribute, Literal::Word(expected)), Ok(value.into()));
            }
        };
        printed("Reply-Message", b"a\"\\\n\x01\xff\xc3\xa9", "\"a\\\"\\\\\\n\\001\\377\u{e9}\"");
        printed("Class", &[0, 255], "0x00ff");
        printed("Service-Type", &[0, 0, 0, 2], "Framed-User");
        printed("Service-Type", &[0, 0, 2, 2], "514");
        printed("Tunnel-Type", &[0, 0, 3], "L2TP");
        printed("Test-Signed", &[255, 255, 255, 254], "-2");
        printed("Event-Timestamp", &[0, 0, 0, 1], "\"Jan  1 1970 00:00:01 UTC\"");
        printed("Framed-IP-Address", &[192, 0, 2, 7], "192.0.2.7");
        printed("Test-Either", &[192, 0, 2, 7], "192.0.2.7");
        printed("Test-Either", &[0; 16], "::");
        printed("Framed-Interface-Id", &[0, 0, 0, 0, 0, 10, 0, 1], "0:0:a:1");
        printed("Test-Ether", &[0, 0, 0x5e, 0, 0x53, 1], "00:00:5e:00:53:01");
        printed("Test-Ipv4-Prefix", &[0, 24, 192, 0, 2, 0], "192.0.2.0/24");
        // Zeros left out by the sender are there when it is written again (RFC 3162 §2.3).
        assert_eq!(
            print("Framed-IPv6-Prefix", &[0, 32, 0x20, 1, 0x0d, 0xb8]).as_deref(),
            Some("2001:db8::/32")
        );
        // RFC 6929 §2.8: what is none of its type is not read as such.
        assert_eq!(print("Framed-IP-Address", &[192, 0, 2]), None);
        assert_eq!(print("Reply-Message", &[]), None);
        assert_eq!(print("Tunnel-Type", &[0, 0, 0, 3]), None);
    }
}
