//! What happened, event by event: a digest of all of it, the last events for printing, all of them where asked.

use crate::digest::{Digest, Value};
use std::collections::VecDeque;
use std::fmt;
use std::sync::LazyLock;
use ulna_core::attributes::text;
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::Framed;

/// What kind of event. The numbers enter the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A NAS sends; words: port, listener.
    NasSends = 1,
    /// A NAS receives; words: port, listener.
    NasReceives = 2,
    /// A datagram enters a socket's receive buffer; words: socket, port.
    Arrives = 3,
    /// A datagram finds the receive buffer full; words: socket, port.
    Overflows = 4,
    /// A thread reads a datagram; words: socket, port.
    Reads = 5,
    /// A thread sends a datagram; words: socket, port.
    Transmits = 6,
    /// A thread begins a turn; words: turn, parks.
    Turn = 7,
    /// A thread took messages off its rings; words: how many, 0.
    Sweeps = 8,
    /// A thread rings a bell; words: whose, its number.
    Rings = 9,
    /// A bell is heard; words: rung by a thread (1) or by nobody (0), pending before.
    Bell = 10,
    /// A thread announces that it parks; words: park, 0.
    Announces = 11,
    /// A thread finds something at its second look; words: park, 0.
    CancelsPark = 12,
    /// A thread waits in the kernel; words: park, deadline.
    Parks = 13,
    /// A thread leaves its wait; words: park, cause.
    Wakes = 14,
    /// A thread is stopped; words: for how long, before which phase.
    Stalls = 15,
    /// A NAS gives an exchange up; words: exchange, reason.
    GivesUp = 16,
    /// A NAS has its answer; words: exchange, code.
    Answered = 17,
    /// A NAS reboots.
    Reboots = 18,
    /// Policy decided a request; words: port, listener and Identifier.
    Decides = 19,
    /// A thread asks for an effect; words: the place of its ticket, how long it will take.
    Asks = 20,
    /// A thread is handed an answer; words: place and generation of its ticket.
    IsAnswered = 21,
    /// A thread takes a step of a reload; words: which, the number of the new configuration in the plan.
    Reloads = 22,
    /// The clock on the wall jumps; words: how many seconds it is ahead, 0.
    ClockJumps = 23,
    /// The server's process ends; words: alone (0) or with its machine (1), until the next begins.
    Crashes = 24,
    /// A core panics and is replaced; words: 0, 0.
    Panics = 25,
    /// A worker's thread begins while the server runs; words: how many workers there are to be, 0.
    Hires = 26,
    /// A thread has settled: slots may forget who had them before; words: 0, 0.
    Settles = 27,
    /// A worker's thread ends, which has no link any more; words: 0, 0.
    Leaves = 28,
    /// A NAT drops what a NAS behind it sends, having no port for it; words: NAS, listener.
    NatDrops = 29,
    /// A NAT refuses what comes from outside; words: outside port, why.
    NatRefuses = 30,
    /// A NAT passes on what a NAS sends; words: NAS, outside port.
    NatMaps = 31,
    /// A thread opens (1) or closes (0) a socket to a remote server, or cannot open one (2); words: which, port.
    RemoteSocket = 32,
    /// A thread sends to a remote server; words: port, server.
    Forwards = 33,
    /// A thread reads what a remote server has sent; words: port, server.
    ReadsRemote = 34,
    /// A packet reaches a remote server; words: port, what becomes of it.
    RemoteReceives = 35,
    /// A visit of a user who is at home elsewhere ends; words: visit, how.
    VisitEnds = 36,
    /// A thread says that a remote server is to be treated otherwise; words: which, how.
    Stands = 37,
    /// A remote server answers from another address, and nobody takes it; words: port, 0.
    SentFromElsewhere = 38,
    /// A reader connects to the control socket; words: 0, 0.
    ControlConnects = 39,
    /// A reader sends; words: how many octets, 0.
    ControlSends = 40,
    /// A thread reads what a reader has sent; words: reader, how many octets.
    ControlReads = 41,
    /// A thread writes to a reader; words: reader, how many octets.
    ControlWrites = 42,
    /// A reader takes what was written to it; words: how many octets, 0.
    ControlTakes = 43,
    /// A control connection ends; words: how, 0.
    ControlEnds = 44,
}

/// One event as it is kept for printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Virtual nanoseconds.
    pub at: u64,
    /// Threads from 0, NASes from [`NAS`], NATs from [`NAT`].
    pub node: u32,
    /// What.
    pub kind: Kind,
    /// What the kind says.
    pub words: [u64; 2],
    /// The packet's octets, if it has one.
    pub octets: Vec<u8>,
}

/// By which packets are printed.
static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(Dictionary::built_in);

/// The number of the first NAS as a node.
pub const NAS: u32 = 1_000;
/// The number of the first NAT as a node.
pub const NAT: u32 = 1_000_000;
/// The number of the first NAS whose users are at home elsewhere, as a node.
pub const ROAMING: u32 = 2_000_000;
/// The number of the first remote server as a node.
pub const REMOTE: u32 = 3_000_000;
/// The number of the first reader of control connections as a node.
pub const READER: u32 = 4_000_000;
/// The number of the operator, or of the server's main thread, which does what it is told.
pub const OPERATOR: u32 = NAS - 1;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:09} ", self.at / 1_000_000_000, self.at % 1_000_000_000)?;
        match self.node {
            OPERATOR => write!(f, "operator  ")?,
            thread if thread < NAS => write!(f, "thread {thread:<3}")?,
            nas if nas < NAT => write!(f, "nas {:<6}", nas - NAS)?,
            nat if nat < ROAMING => write!(f, "nat {:<6}", nat - NAT)?,
            nas if nas < REMOTE => write!(f, "roaming {:<2}", nas - ROAMING)?,
            remote if remote < READER => write!(f, "remote {:<3}", remote - REMOTE)?,
            reader => write!(f, "reader {:<3}", reader - READER)?,
        }
        write!(f, " {:<12}", format!("{:?}", self.kind))?;
        for word in self.words {
            // The end of time: no deadline.
            if word == u64::MAX { write!(f, " {:>6}", "-")? } else { write!(f, " {word:>6}")? }
        }
        if self.node >= READER {
            write!(f, "  {:?}", String::from_utf8_lossy(&self.octets))?;
        } else if !self.octets.is_empty() {
            write!(f, "  {} octets", self.octets.len())?;
            if let Some([code, identifier, _, _, authenticator @ ..]) = self.octets.first_chunk::<8>() {
                write!(f, ", code {code}, Identifier {identifier}, authenticator ")?;
                authenticator.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
                write!(f, "…")?;
            }
            match Framed::parse(&self.octets) {
                Ok(framed) => {
                    let attributes = text::print(&DICTIONARY, framed.attributes()).discreet().to_string();
                    let comma = if attributes.is_empty() { "" } else { ", " };
                    write!(f, "{comma}{attributes}")?;
                }
                Err(error) => write!(f, ", malformed: {error}")?,
            }
        }
        Ok(())
    }
}

/// The record of one run.
pub struct Trace {
    digest: Digest,
    tail: VecDeque<Entry>,
    tail_max: usize,
    events: u64,
}

impl Trace {
    /// A trace that keeps the last `tail_max` events; `usize::MAX` for all.
    pub fn new(tail_max: usize) -> Self {
        Trace { digest: Digest::new(), tail: VecDeque::new(), tail_max, events: 0 }
    }

    /// Takes one event.
    pub fn add(&mut self, at: u64, node: u32, kind: Kind, words: [u64; 2], octets: &[u8]) {
        self.digest.add(at, node, kind as u16, words, octets);
        self.events += 1;
        if self.tail_max == 0 {
            return;
        }
        // The oldest entry's memory serves the newest.
        let oldest = if self.tail.len() == self.tail_max { self.tail.pop_front() } else { None };
        let mut kept = oldest.map(|entry| entry.octets).unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(octets);
        self.tail.push_back(Entry { at, node, kind, words, octets: kept });
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Value {
        self.digest.value()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The events kept, oldest first.
    pub fn tail(&self) -> impl Iterator<Item = &Entry> {
        self.tail.iter()
    }
}

/// Where two runs of the same plan part: the number of the event, and what either has there.
pub fn first_difference(one: &Trace, other: &Trace) -> Option<(usize, Option<Entry>, Option<Entry>)> {
    let mut place = 0;
    loop {
        match (one.tail.get(place), other.tail.get(place)) {
            (None, None) => return None,
            (a, b) if a == b => place += 1,
            (a, b) => return Some((place, a.cloned(), b.cloned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_the_digest_is_not() {
        let (mut short, mut long) = (Trace::new(2), Trace::new(usize::MAX));
        for at in 0..5 {
            short.add(at, 0, Kind::Turn, [0; 2], b"");
            long.add(at, 0, Kind::Turn, [0; 2], b"");
        }
        assert_eq!(short.digest(), long.digest());
        assert_eq!(short.tail().map(|entry| entry.at).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((long.tail().count(), long.events()), (5, 5));
    }

    #[test]
    fn the_first_difference_is_found_or_the_missing_end() {
        let (mut one, mut other) = (Trace::new(usize::MAX), Trace::new(usize::MAX));
        one.add(1, 0, Kind::Turn, [0; 2], b"");
        other.add(1, 0, Kind::Turn, [0; 2], b"");
        assert!(first_difference(&one, &other).is_none());
        one.add(2, 0, Kind::Turn, [0; 2], b"");
        assert!(matches!(first_difference(&one, &other), Some((1, Some(_), None))));
        other.add(2, 7, Kind::Parks, [0; 2], b"");
        assert!(matches!(first_difference(&one, &other), Some((1, Some(_), Some(Entry { node: 7, .. })))));
    }

    #[test]
    fn an_entry_prints_its_packet_and_no_password() {
        let mut trace = Trace::new(1);
        let mut packet = [1, 42, 0, 43, 0xab, 0xcd, 0, 1].to_vec();
        packet.extend([9; 12]);
        packet.extend(b"\x01\x05bob\x02\x12hidden octets...");
        trace.add(2_000_000_001, NAS + 3, Kind::NasSends, [1, 0], &packet);
        let line = trace.tail().next().expect("one was added").to_string();
        assert!(line.contains("nas 3") && line.contains("code 1, Identifier 42"), "{line}");
        assert!(line.contains("abcd0001…, User-Name = \"bob\", User-Password = <16 octets>"), "{line}");
        trace.add(2_000_000_002, NAS + 3, Kind::NasSends, [1, 0], &packet[..30]);
        let line = trace.tail().next().expect("one was added").to_string();
        assert!(
            line.contains("30 octets, code 1, Identifier 42") && line.contains(", malformed: "),
            "{line}"
        );
    }
}
