//! One line of the spool: a record that is to be sent on, or that one has been answered.
//!
//! A record is the packet as it will go on but for what each transmission makes anew: attributes after all edits, hidden values under a
//! key of this server's, no Proxy-State of ours. In the place of its authenticator stand 16 random octets, which are its name,
//! and without which the key reveals nothing. A line may be copied into a later file, and says so there. RFC 8259.

use super::check::{checked, close};
use super::record::{Octets, digits, text};
use crate::json::unescape;
use crate::packet::{AUTHENTICATOR_OCTETS, Attributes, Code, Framed, number};
use crate::time::UnixTime;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use md5::{Digest, Md5};

/// What a record is told by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolName(pub [u8; AUTHENTICATOR_OCTETS]);

impl fmt::Debug for SpoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A record, to be written.
#[derive(Debug, Clone, Copy)]
pub struct SpoolRecord<'a> {
    /// When its request was taken up.
    pub received: UnixTime,
    /// Where it is sent on to: a pool, by its name.
    pub pool: &'a str,
    /// The name of the client whose request it is.
    pub client: &'a str,
    /// Which event it is: see [`event_digest`](super::event_digest).
    pub digest: [u8; 16],
    /// What is sent on.
    pub packet: &'a [u8],
}

impl SpoolRecord<'_> {
    /// Writes the line behind what `out` holds.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.keys(Octets(out)).expect("memory takes all that is written");
        close(out, start);
    }

    fn keys(&self, mut out: Octets<'_>) -> fmt::Result {
        write!(out, "{{{RECEIVED}{}{POOL}", self.received.0)?;
        text(&mut out, self.pool)?;
        out.write_str(CLIENT)?;
        text(&mut out, self.client)?;
        out.write_str(DIGEST)?;
        digits(&mut out, &self.digest);
        out.write_str(PACKET)?;
        digits(&mut out, self.packet);
        out.write_char('"')
    }
}

/// A record that is to be sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// What it is told by.
    pub name: SpoolName,
    /// When its request was taken up.
    pub received: UnixTime,
    /// Where it is sent on to.
    pub pool: Arc<str>,
    /// What is sent on.
    pub packet: Box<[u8]>,
    /// Whether it was sent before so often that another got its turn.
    pub is_again: bool,
}

/// An event that a pool is told of.
///
/// A record says when it happened by Event-Timestamp. A session's number alone does not tell events apart: a NAS that was started again may
/// count from where it began. But what it sends again it sends soon. RFC 2866 §5.5, RFC 2869 §5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolEvent {
    /// The same for all records of it to one pool.
    pub key: [u8; 16],
    /// When its request was taken up, where nothing else tells it from an earlier one with the same key.
    pub received: Option<UnixTime>,
}

impl SpoolEvent {
    /// Whether this one, of the same key as the other, says nothing new.
    pub fn repeats(&self, other: Option<UnixTime>) -> bool {
        match (self.received, other) {
            (None, None) => true,
            (Some(one), Some(other)) => one.0.abs_diff(other.0) <= REPEATED_WITHIN,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn of(
        pool: &str,
        digest: [u8; 16],
        received: UnixTime,
        attributes: Attributes<'_>,
    ) -> Option<SpoolEvent> {
        let mut has_session = false;
        let mut is_timed = false;
        let mut is_of_nas = false;
        for attribute in attributes {
            match (attribute.number, attribute.value) {
                (number::ACCT_SESSION_ID, _) => has_session = true,
                (number::EVENT_TIMESTAMP, [_, _, _, _]) => is_timed = true,
                // Accounting-On and Accounting-Off: their Acct-Session-Id says nothing.
                (number::ACCT_STATUS_TYPE, [0, 0, 0, 7 | 8]) => is_of_nas = true,
                _ => {}
            }
        }
        if !is_timed && (is_of_nas || !has_session) {
            return None;
        }
        // What one pool has been told of is news to another.
        let mut key = Md5::new();
        key.update(digest);
        key.update(pool);
        Some(SpoolEvent { key: key.finalize().into(), received: (!is_timed).then_some(received) })
    }
}

/// What a whole line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolLine {
    /// That there is a record.
    Record {
        /// It.
        spooled: Spooled,
        /// Which session it belongs to: of equal ones the order is kept.
        session: Option<u64>,
        /// Which event it tells its pool of, if that can be told.
        event: Option<SpoolEvent>,
        /// Whether it came before all of its file that are no copies.
        is_copy: bool,
    },
    /// That one has been answered.
    Answered(SpoolName),
}

impl SpoolLine {
    /// Reads a line whose check holds; `None` if it is none of a spool's.
    pub fn parse(line: &[u8]) -> Option<SpoolLine> {
        let line = core::str::from_utf8(line).ok()?;
        if let Some(rest) = line.strip_prefix(ANSWERED) {
            return octets(rest.split_once('"')?.0)?.try_into().ok().map(SpoolName).map(SpoolLine::Answered);
        }
        let (is_copy, line) = match line.strip_prefix(COPIED) {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix('{')?),
        };
        let (received, rest) = line.strip_prefix(RECEIVED)?.split_once(POOL)?;
        let (pool, rest) = string(rest)?;
        let (client, rest) = string(rest.strip_prefix(CLIENT)?)?;
        let (digest, rest) = rest.strip_prefix(DIGEST)?.split_once(PACKET)?;
        let packet = octets(rest.split_once('"')?.0)?.into_boxed_slice();
        let framed = Framed::parse(&packet).ok()?;
        if framed.code() != Some(Code::AccountingRequest) {
            return None;
        }
        let (name, attributes) = (SpoolName(*framed.authenticator()), framed.attributes());
        let session = session(&pool, &client, attributes);
        let digest = octets(digest)?.try_into().ok()?;
        let received = UnixTime(received.parse().ok()?);
        let event = SpoolEvent::of(&pool, digest, received, attributes);
        let spooled = Spooled { name, received, pool: pool.into(), packet, is_again: false };
        Some(SpoolLine::Record { spooled, session, event, is_copy })
    }

    /// Writes a copy of a whole line of a record behind what `out` holds.
    pub fn write_copy(line: &[u8], out: &mut Vec<u8>) {
        if line.starts_with(COPIED.as_bytes()) {
            return out.extend_from_slice(line);
        }
        let start = out.len();
        out.extend_from_slice(COPIED.as_bytes());
        out.extend_from_slice(&checked(line).expect("the line is whole")[1..]);
        close(out, start);
    }

    /// Writes that a record has been answered behind what `out` holds.
    pub fn write_answered(name: SpoolName, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(ANSWERED.as_bytes());
        digits(&mut Octets(out), &name.0);
        out.push(b'"');
        close(out, start);
    }
}

/// A client's session on its way to a pool, hashed: the same for two is no more than an order that need not be.
fn session(pool: &str, client: &str, mut attributes: Attributes<'_>) -> Option<u64> {
    let session = attributes.find(|attribute| attribute.number == number::ACCT_SESSION_ID)?;
    let mut digest = Md5::new();
    for name in [pool, client] {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    digest.update(session.value);
    digest.finalize().first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

/// A string in its quotes, and what follows.
fn string(line: &str) -> Option<(alloc::string::String, &str)> {
    let line = line.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = line.bytes().position(|octet| {
        let ends = octet == b'"' && !is_escaped;
        is_escaped = octet == b'\\' && !is_escaped;
        ends
    })?;
    Some((unescape(&line[..end])?, &line[end + 1..]))
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

/// Seconds in which a NAS sends a record again that nobody has answered.
const REPEATED_WITHIN: u64 = 300;

const COPIED: &str = "{\"copied\":true,";
const RECEIVED: &str = "\"received\":";
const POOL: &str = ",\"pool\":";
const CLIENT: &str = ",\"client\":";
const DIGEST: &str = ",\"digest\":\"";
const PACKET: &str = "\",\"packet\":\"";
const ANSWERED: &str = "{\"answered\":\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::{Line, Lines};
    use crate::packet::HEADER_OCTETS;
    use proptest::prelude::*;

    fn packet(name: [u8; 16], attributes: &[u8]) -> Vec<u8> {
        let length = ((HEADER_OCTETS + attributes.len()) as u16).to_be_bytes();
        [&[4, 0], &length[..], &name, attributes].concat()
    }

    const SESSION: [u8; 4] = [44, 4, b'1', b'7'];

    fn parsed(pool: &str, client: &str, packet: &[u8]) -> SpoolLine {
        let mut line = Vec::new();
        let received = UnixTime(1_764_549_279);
        SpoolRecord { received, pool, client, digest: [9; 16], packet }.write(&mut line);
        assert_eq!(Lines::of(&line).collect::<Vec<_>>(), [Line::Whole(&line)]);
        SpoolLine::parse(&line).expect("it is one of ours")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let packet = packet([7; 16], &[&SESSION[..], &[1, 3, b'b']].concat());
        let SpoolLine::Record { spooled, session, event, is_copy } = parsed("uni", "branch", &packet) else {
            panic!("a record was written")
        };
        assert_eq!((spooled.name, spooled.received), (SpoolName([7; 16]), UnixTime(1_764_549_279)));
        assert_eq!((&*spooled.pool, &*spooled.packet), ("uni", &packet[..]));
        assert!(session.is_some() && event.is_some() && !is_copy);
        let mut line = Vec::new();
        SpoolLine::write_answered(SpoolName([7; 16]), &mut line);
        assert_eq!(SpoolLine::parse(&line), Some(SpoolLine::Answered(SpoolName([7; 16]))));
    }

    #[test]
    fn a_copy_says_that_it_is_one_and_else_the_same() {
        let packet = packet([7; 16], &SESSION);
        let mut line = Vec::new();
        let received = UnixTime(1_764_549_279);
        SpoolRecord { received, pool: "p", client: "c", digest: [9; 16], packet: &packet }.write(&mut line);
        let mut copies = Vec::new();
        SpoolLine::write_copy(&line, &mut copies);
        let copy = copies.clone();
        SpoolLine::write_copy(&copy, &mut copies);
        assert_eq!(Lines::of(&copies).collect::<Vec<_>>(), [Line::Whole(&copy), Line::Whole(&copy)]);
        let of = |line: &[u8]| match SpoolLine::parse(line) {
            Some(SpoolLine::Record { spooled, session, event, is_copy }) => {
                ((spooled, session, event), is_copy)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((of(&line).0, false, true), (of(&copy).0, of(&line).1, of(&copy).1));
    }

    #[test]
    fn a_session_is_its_clients() {
        let session =
            |client: &str, attributes: &[u8]| match parsed("p", client, &packet([1; 16], attributes)) {
                SpoolLine::Record { session, event, .. } => (session, event.is_some()),
                SpoolLine::Answered(_) => unreachable!("a record was written"),
            };
        assert_eq!(session("a", &SESSION), session("a", &SESSION));
        assert_ne!(session("a", &SESSION), session("b", &SESSION));
        assert_ne!(session("a", &SESSION), session("a", &[44, 4, b'1', b'8']));
        assert_eq!(session("a", &[1, 3, b'b']), (None, false));
        assert_eq!(session("a", &[55, 6, 1, 2, 3, 4]), (None, true));
    }

    proptest! {
        #[test]
        fn names_are_whatever_they_are(pool in any::<alloc::string::String>(), client in any::<alloc::string::String>()) {
            let SpoolLine::Record { spooled, .. } = parsed(&pool, &client, &packet([1; 16], &SESSION)) else {
                panic!("a record was written")
            };
            prop_assert_eq!(&*spooled.pool, &pool[..]);
        }

        #[test]
        fn what_is_no_line_of_ours_is_none(line in any::<Vec<u8>>(), place in 0usize..200, octet in any::<u8>()) {
            let _ = SpoolLine::parse(&line);
            let mut ours = Vec::new();
            let packet = packet([1; 16], &SESSION);
            let received = UnixTime(1);
            SpoolRecord { received, pool: "p", client: "c", digest: [9; 16], packet: &packet }.write(&mut ours);
            let place = place % ours.len();
            ours[place] = octet;
            let _ = SpoolLine::parse(&ours);
        }
    }
}
