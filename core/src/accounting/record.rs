//! One Accounting-Request as one JSON object on one line. RFC 2866 §5, RFC 8259.
//!
//! Attributes stand under their dictionary's names in the order of their numbers; names in lower case are ours. What hides
//! a password or belongs to other packets is left out: RFC 2866 §5.13 takes User-Password, CHAP-Password, Reply-Message
//! and State out of accounting, RFC 2869 §5.19 what proves or carries EAP, and Proxy-State means something to proxies only.

use super::check::{HEXADECIMAL, close};
use super::octet_counts::OctetCounts;
use crate::attributes::{Item, Scratch, Shape, Walk};
use crate::dictionary::{Dictionary, number_of, print_value, rfc_3339_into};
use crate::json::escape;
use crate::packet::{Attributes, DataType, Framed, Oid, number};
use crate::time::UnixTime;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::SocketAddr;
use core::ops::Range;
use md5::{Digest, Md5};

/// A line's bound, with its end: several times what a packet of 4 096 octets makes of common attributes.
pub const RECORD_OCTETS_MAX: usize = 128 * 1024;

/// What is recorded.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// What attributes are called.
    pub dictionary: &'a Dictionary,
    /// The request as it was received: what the digest is made of.
    pub received: Framed<'a>,
    /// Its attributes after all edits: what is recorded.
    pub attributes: Attributes<'a>,
    /// The name of the client whose request it is.
    pub client: &'a str,
    /// The name of the listener where it came in.
    pub listener: &'a str,
    /// Where it came from.
    pub remote: SocketAddr,
    /// The time on the wall when its worker took it up.
    pub time: UnixTime,
}

/// The line would pass [`RECORD_OCTETS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTooLong;

/// Makes one line after the other, in memory that it keeps.
#[derive(Default)]
pub struct Recorder {
    /// Values as they will stand in the line, in the order of the packet.
    values: Vec<u8>,
    entries: Vec<Entry>,
}

/// A value and what it belongs to. Sorting brings those of one attribute together, in their order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    oid: Oid,
    tag: Option<u8>,
    order: usize,
    start: usize,
    end: usize,
}

impl Recorder {
    /// Writes the line behind what `out` holds; on an error `out` is as it was.
    ///
    /// # Errors
    /// When the line would be too long.
    pub fn write(
        &mut self,
        recorded: &Recorded<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordTooLong> {
        let start = out.len();
        self.gather(recorded, scratch);
        self.line(recorded, Octets(out)).expect("memory takes all that is written");
        close(out, start);
        if out.len() - start > RECORD_OCTETS_MAX {
            out.truncate(start);
            return Err(RecordTooLong);
        }
        Ok(())
    }

    /// The values that are recorded, each by itself.
    fn gather(&mut self, recorded: &Recorded<'_>, scratch: &mut Scratch) {
        self.values.clear();
        self.entries.clear();
        for item in Walk::new(recorded.dictionary, recorded.attributes, scratch).filter(is_recorded) {
            let start = self.values.len();
            value(&item, &mut Octets(&mut self.values)).expect("memory takes all that is written");
            self.entries.push(Entry {
                oid: item.oid,
                tag: item.tag.filter(|tag| *tag != 0),
                order: self.entries.len(),
                start,
                end: self.values.len(),
            });
        }
        self.entries.sort_unstable();
    }

    fn line(&self, recorded: &Recorded<'_>, mut out: Octets<'_>) -> fmt::Result {
        out.write_str("{\"received\":\"")?;
        rfc_3339_into(&mut out, recorded.time.0)?;
        out.write_str("\",\"client\":")?;
        text(&mut out, recorded.client)?;
        out.write_str(",\"listener\":")?;
        text(&mut out, recorded.listener)?;
        write!(out, ",\"remote\":\"{}\",\"digest\":\"", recorded.remote)?;
        digits(&mut out, &event_digest(recorded.client, &recorded.received));
        out.write_char('"')?;
        let OctetCounts { input, output } = OctetCounts::of(recorded.attributes);
        for (key, octets) in [("input_octets", input), ("output_octets", output)] {
            if let Some(octets) = octets {
                write!(out, ",\"{key}\":{octets}")?;
            }
        }
        self.entries
            .chunk_by(|one, next| (one.oid, one.tag) == (next.oid, next.tag))
            .try_for_each(|of_one| self.attribute(recorded.dictionary, of_one, &mut out))
    }

    /// One attribute's key and its value, or an array of its values.
    fn attribute(&self, dictionary: &Dictionary, entries: &[Entry], out: &mut Octets<'_>) -> fmt::Result {
        let [Entry { oid, tag, .. }, ..] = entries else { return Ok(()) };
        out.write_str(",\"")?;
        match dictionary.at(oid).filter(|attribute| !OURS.contains(&attribute.name())) {
            Some(attribute) => escape(out, attribute.name())?,
            None => write!(out, "Attr-{oid}")?,
        }
        if let Some(tag) = tag {
            write!(out, ":{tag}")?;
        }
        out.write_str("\":")?;
        let is_array = entries.len() > 1;
        if is_array {
            out.write_char('[')?;
        }
        for (place, Entry { start, end, .. }) in entries.iter().enumerate() {
            if place > 0 {
                out.write_char(',')?;
            }
            out.0.extend_from_slice(&self.values[Range { start: *start, end: *end }]);
        }
        if is_array { out.write_char(']') } else { Ok(()) }
    }
}

/// Names that are ours: an attribute that a dictionary calls so stands under its number.
const OURS: &[&str] =
    &["received", "client", "listener", "remote", "digest", "input_octets", "output_octets", "check"];

/// Whether an attribute belongs into accounting, and is no secret.
fn is_recorded(item: &Item<'_>) -> bool {
    let hidden = item.attribute.is_some_and(|attribute| attribute.encrypted());
    !hidden
        && match *item.oid.parts() {
            [first] => !LEFT_OUT.iter().any(|number| u32::from(*number) == first),
            // What MS-CHAP guesses passwords by (RFC 2548 §2): responses, challenges, changes of passwords.
            [26, MICROSOFT, 1..=6 | 11 | 25..=27, ..] => false,
            _ => true,
        }
}

const LEFT_OUT: &[u8] = &[
    number::USER_PASSWORD,
    number::CHAP_PASSWORD,
    number::REPLY_MESSAGE,
    number::STATE,
    number::PROXY_STATE,
    number::CHAP_CHALLENGE,
    number::TUNNEL_PASSWORD,
    number::EAP_MESSAGE,
    number::MESSAGE_AUTHENTICATOR,
];
const MICROSOFT: u32 = 311;

/// Names an event: what stays the same when a NAS sends a record again, after a crash of ours too: MD5 over the client's name and the
/// attributes as received. Without those that a retransmission changes: Acct-Delay-Time (RFC 2866 §5.2), with it Identifier
/// and authenticator; Proxy-State and Message-Authenticator, which are of a hop. Event-Timestamp says when it happened
/// (RFC 2869 §5.3), stays, and tells two events apart. Not a proof against forgers: whoever has the secret writes records.
pub fn event_digest(client: &str, received: &Framed<'_>) -> [u8; 16] {
    let mut digest = Md5::new();
    digest.update((client.len() as u64).to_be_bytes());
    digest.update(client);
    for attribute in received.attributes() {
        if !matches!(
            attribute.number,
            number::ACCT_DELAY_TIME | number::PROXY_STATE | number::MESSAGE_AUTHENTICATOR
        ) {
            digest.update([attribute.number, attribute.value.len() as u8]);
            digest.update(attribute.value);
        }
    }
    digest.finalize().into()
}

/// A value as JSON: numbers as such or by their names, times as RFC 3339 has them, text, and the rest in hexadecimal.
fn value(item: &Item<'_>, out: &mut Octets<'_>) -> fmt::Result {
    let octets = item.value;
    let known = item.attribute.filter(|_| item.shape == Shape::Known);
    let Some((attribute, printed)) = known.and_then(|known| Some((known, print_value(known, octets)?)))
    else {
        return hexadecimal(out, octets);
    };
    match attribute.data_type() {
        DataType::Text => match core::str::from_utf8(octets) {
            Ok(valid) => text(out, valid),
            Err(_) => hexadecimal(out, octets),
        },
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 | DataType::Signed => {
            let number = number_of(octets);
            match attribute.value_name(number) {
                Some(name) => text(out, name),
                None if attribute.data_type() == DataType::Signed => {
                    write!(out, "{}", (number as u32).cast_signed())
                }
                None => write!(out, "{number}"),
            }
        }
        DataType::Date => {
            out.write_char('"')?;
            rfc_3339_into(out, number_of(octets))?;
            out.write_char('"')
        }
        DataType::Octets { .. }
        | DataType::AscendFilter
        | DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => hexadecimal(out, octets),
        DataType::Ipv4Address
        | DataType::Ipv6Address
        | DataType::EitherAddress
        | DataType::InterfaceId
        | DataType::Ether
        | DataType::Ipv4Prefix
        | DataType::Ipv6Prefix => write!(out, "\"{printed}\""),
    }
}

fn hexadecimal(out: &mut Octets<'_>, octets: &[u8]) -> fmt::Result {
    out.write_str("\"0x")?;
    digits(out, octets);
    out.write_char('"')
}

pub(super) fn digits(out: &mut Octets<'_>, octets: &[u8]) {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
    out.0.extend(digits.map(|digit| HEXADECIMAL[usize::from(digit)]));
}

pub(super) fn text(out: &mut Octets<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    escape(out, text)?;
    out.write_char('"')
}

/// Where text is written.
pub(super) struct Octets<'a>(pub(super) &'a mut Vec<u8>);

impl Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_refused_whole() {
        let dictionary = Dictionary::built_in();
        let packet = [4, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let received = Framed::parse(&packet).expect("a packet");
        let mut recorded = Recorded {
            dictionary: &dictionary,
            received,
            attributes: received.attributes(),
            client: "c",
            listener: "l",
            remote: SocketAddr::from(([192, 0, 2, 7], 1813)),
            time: UnixTime(0),
        };
        let mut out = b"what was there\n".to_vec();
        let (mut recorder, mut scratch) = (Recorder::default(), Scratch::default());
        recorder.write(&recorded, &mut scratch, &mut out).expect("it is short");
        let octets = out.len();
        let long = "c".repeat(RECORD_OCTETS_MAX - (octets - 15) + 2);
        recorded.client = &long[1..];
        recorder.write(&recorded, &mut scratch, &mut out).expect("it just fits");
        assert_eq!(out.len(), octets + RECORD_OCTETS_MAX);
        recorded.client = &long;
        assert_eq!(recorder.write(&recorded, &mut scratch, &mut out), Err(RecordTooLong));
        assert_eq!(out.len(), octets + RECORD_OCTETS_MAX);
    }
}
