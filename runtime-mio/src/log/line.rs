//! One line of the log, as text for people or as a JSON object for programs: a time, a word for what happened, and keys with
//! values. Writing one allocates nothing.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::str;

use humantime::Rfc3339Timestamp;
use ulna_core::configuration::LogFormat;
use ulna_core::event::{NAME_OCTETS_MAX, ShortName};
use ulna_core::json::{JsonText, escape};

/// A value of a line.
pub enum Value<'v> {
    /// A User-Name, or the name of a dynamic client, whatever octets it has.
    User(&'v ShortName),
    /// A name from the configuration, or a word of ours.
    Word(&'v str),
    Address(SocketAddr),
    Number(u64),
    /// A virtual server's rule, by its number from 1 if one matched.
    Rule(&'v str, Option<u16>),
}

/// A line that is being written.
pub struct Line<'o, W> {
    out: &'o mut W,
    format: LogFormat,
}

impl<'o, W: Write> Line<'o, W> {
    pub fn begin(
        out: &'o mut W,
        format: LogFormat,
        at: Rfc3339Timestamp,
        event: &str,
    ) -> io::Result<Line<'o, W>> {
        match format {
            LogFormat::Text => write!(out, "{at} {event}")?,
            LogFormat::Json => write!(out, "{{\"time\":\"{at}\",\"event\":\"{event}\"")?,
        }
        Ok(Line { out, format })
    }

    pub fn with(self, key: &str, value: Value<'_>) -> io::Result<Line<'o, W>> {
        match self.format {
            LogFormat::Text => write!(self.out, " {key}={}", Text(&value))?,
            LogFormat::Json => write!(self.out, ",\"{key}\":{}", Json(&value))?,
        }
        Ok(self)
    }

    pub fn end(self) -> io::Result<()> {
        self.out.write_all(match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        })
    }
}

/// For people.
struct Text<'v>(&'v Value<'v>);

/// For programs.
struct Json<'v>(&'v Value<'v>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::User(name) => write!(f, "{name:?}"),
            Value::Word(word) => f.write_str(word),
            Value::Address(address) => write!(f, "{address}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Rule(server, Some(rule)) => write!(f, "{server}/{rule}"),
            Value::Rule(server, None) => write!(f, "{server}/none"),
        }
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::User(name) => write_user(f, name.octets()),
            Value::Word(word) => write!(f, "{}", JsonText(word)),
            // Neither has anything that needs an escape.
            Value::Address(address) => write!(f, "\"{address}\""),
            Value::Number(number) => write!(f, "{number}"),
            Value::Rule(server, rule) => {
                f.write_str("\"")?;
                escape(f, server)?;
                match rule {
                    Some(rule) => write!(f, "/{rule}\""),
                    None => f.write_str("/none\""),
                }
            }
        }
    }
}

/// A JSON string has characters and no octets. What is no UTF-8 is written as `"0x…"`, as in a record of accounting; a name
/// that was cut in the middle of a character ends before it.
fn write_user(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    let text = str::from_utf8(octets).or_else(|error| {
        let is_cut = octets.len() == NAME_OCTETS_MAX && error.error_len().is_none();
        str::from_utf8(&octets[..if is_cut { error.valid_up_to() } else { octets.len() }])
    });
    match text {
        Ok(text) => write!(f, "{}", JsonText(text)),
        Err(_) => {
            f.write_str("\"0x")?;
            octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
            f.write_str("\"")
        }
    }
}
