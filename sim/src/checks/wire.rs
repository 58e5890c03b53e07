//! What leaves the server, against what was handed to it. Every datagram in is judged by the oracle and kept;
//! every datagram out must belong to one of them.

use super::{Violation, invariants};
use crate::fault::effect;
use crate::oracle::codec::{Packet, code, kind};
use crate::oracle::judge::{Answer, Verdict, client_of, judge};
use crate::plan::Plan;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use ulna_core::{ListenerId, Path, Transmit};

invariants! {
    WELL_FORMED = "well-formed", "Whatever is sent has lengths that hold and no octet beyond its Length.";
    REQUESTED = "requested", "No reply is sent for a request that was not received.";
    UNKNOWN_SILENCE = "unknown-silence", "Nothing is sent to an address that no client contains.";
    UNVERIFIED_SILENCE = "unverified-silence", "Nothing is sent for a packet that does not verify or that breaks a rule.";
    OWN_SECRET = "own-secret", "Each reply verifies under the secret of the client that sent the request.";
    SAME_DOOR = "same-door", "A reply leaves from the address and port that its request came in on.";
    IDENTICAL_DUPLICATE = "identical-duplicate", "A duplicate gets identical octets.";
    ONE_PER_COPY = "one-per-copy", "No more replies are sent than copies of the request came in.";
    PROXY_STATES = "proxy-states", "A reply returns exactly the Proxy-States of its request, in order.";
    SIGNED_FIRST = "signed-first", "A reply to an Access-Request carries one right Message-Authenticator, and carries it first.";
    RIGHT_CODE = "right-code", "Access-Accept is sent exactly for the right password, and each request gets a reply of its kind.";
    REPLY_ATTRIBUTES = "reply-attributes", "An Access-Accept carries the attributes that are configured for its user, and no others.";
    REJECT_DELAY = "reject-delay", "An Access-Reject of ours is not sent before its delay has passed.";
    REJECT_NOT_LATE = "reject-not-late", "While nothing goes wrong, an Access-Reject is sent within half a millisecond after its delay, or after its password was hashed.";
    LET_GO = "let-go", "A second after a request has displaced another and was decided, more where threads were stopped, that other gets no reply any more.";
}

/// What was handed in under one authenticator.
#[derive(Debug)]
pub struct Record {
    authenticator: [u8; 16],
    /// What is owed by the first copy that deserved an answer; or why none is owed.
    verdict: Verdict,
    /// Copies that deserve an answer.
    copies: u64,
    replies: u64,
    reply: Vec<u8>,
    first_at: u64,
    /// Two different packets with this authenticator deserve an answer: only what holds for both is checked.
    ambiguous: bool,
    octets: Vec<u8>,
    /// How often a copy came when another authenticator, or none, had come last under this Identifier: each time it
    /// supersedes that one and may be decided anew.
    pub(super) runs: u32,
    /// How often policy decided it.
    pub(super) decisions: u32,
    /// When policy decided it last.
    pub(super) decided_at: u64,
    /// By which authenticator it was displaced, and when, if none of its copies has come since.
    displaced: Option<([u8; 16], u64)>,
}

impl Record {
    /// Whether any copy deserves an answer.
    pub fn is_answerable(&self) -> bool {
        self.copies > 0
    }

    /// Whether the first copy that deserves an answer was signed.
    fn signed(&self) -> Option<bool> {
        match &self.verdict {
            Verdict::Answer(answer) => Some(answer.signed),
            Verdict::Silence(_) => None,
        }
    }

    /// Whether different packets with its authenticator do.
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }
}

/// What was handed in under one Identifier of a connection.
#[derive(Debug, Default)]
struct Slot {
    /// The authenticator of the last packet that deserved an answer.
    current: Option<[u8; 16]>,
    /// Strays: each may reach its owner after what was handed in later.
    strays: u32,
    records: Vec<Record>,
}

/// Everything that was handed in, by where it came from and its Identifier.
pub struct Ledger {
    slots: BTreeMap<(SocketAddr, ListenerId, u8), Slot>,
    replies: u64,
    /// Decisions made again because the server had to forget the first.
    pub excused: u64,
}

/// Records kept per Identifier; older ones have long left every cache.
const RECORDS_MAX: usize = 48;
/// The longest stall and the latest bell together, generously.
const CALM_AFTER: u64 = 10_000_000_000;
/// The latest bell and a wake-up, generously; what threads need in between is told by their longest turn.
const LET_GO_AFTER: u64 = 1_000_000_000;
/// Two wake-ups of a thread and one bell, generously.
const REJECT_SLACK: u64 = 500_000;

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Ledger { slots: BTreeMap::new(), replies: 0, excused: 0 }
    }

    /// How many replies were checked.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// A datagram is handed to the server. `stray`: to another network core than the one that its flow belongs to, so
    /// that it crosses a ring, and what was handed in after it may overtake it.
    pub fn received(&mut self, plan: &Plan, path: &Path, octets: &[u8], stray: bool, now: u64) {
        let Ok(packet) = Packet::read(octets) else { return };
        let key = (path.remote, path.listener, packet.identifier());
        let authenticator = packet.authenticator();
        let Slot { current, strays, records } = self.slots.entry(key).or_default();
        if stray {
            // Where it comes to its owner it may part two copies of any one, and stand apart from its own.
            *strays += 1;
            records.iter_mut().for_each(|record| record.runs += 1);
        }
        let place = records.iter().rposition(|record| record.authenticator == authenticator);
        if let Some(place) = place
            && records[place].octets == packet.octets()
            && matches!(records[place].verdict, Verdict::Answer(_))
        {
            records[place].copies += 1;
            supersede(current, records, place, now);
            return;
        }
        let listener = plan.topology.listeners[usize::from(path.listener.0)].kind;
        let verdict = judge(&plan.topology, listener, path.remote.ip(), octets);
        let answerable = matches!(verdict, Verdict::Answer(_));
        let place = match place {
            Some(place) => {
                let record = &mut records[place];
                if answerable {
                    if record.copies > 0 {
                        record.ambiguous = true;
                    } else {
                        (record.verdict, record.first_at) = (verdict, now);
                        record.octets = packet.octets().to_vec();
                    }
                    record.copies += 1;
                }
                place
            }
            None => {
                if records.len() == RECORDS_MAX {
                    records.remove(0);
                }
                records.push(Record {
                    authenticator,
                    verdict,
                    copies: u64::from(answerable),
                    replies: 0,
                    reply: Vec::new(),
                    first_at: now,
                    ambiguous: false,
                    octets: packet.octets().to_vec(),
                    runs: *strays,
                    decisions: 0,
                    decided_at: 0,
                    displaced: None,
                });
                records.len() - 1
            }
        };
        if answerable {
            supersede(current, records, place, now);
        }
    }

    /// The record of a request, newest first.
    pub(super) fn record(
        &mut self,
        key: (SocketAddr, ListenerId, u8),
        authenticator: &[u8; 16],
    ) -> Option<&mut Record> {
        self.slots
            .get_mut(&key)?
            .records
            .iter_mut()
            .rev()
            .find(|record| record.authenticator == *authenticator)
    }

    /// A datagram leaves the server. `turn_max` is the longest turn that any thread took so far: by so much the
    /// `now` of a thread may lie behind. `told` says whether all notices to workers found room.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn transmitted(
        &mut self,
        plan: &Plan,
        transmit: &Transmit,
        octets: &[u8],
        now: u64,
        turn_max: u64,
        told: impl FnOnce() -> bool,
    ) -> Result<(), Violation> {
        self.replies += 1;
        let (listener, _) = plan.topology.listener_and_network(transmit.via);
        let remote = transmit.destination;
        let violation = |invariant, details: String| {
            Err(Violation { invariant, at: now, details: format!("to {remote}: {details}") })
        };
        let Ok(packet) = Packet::read(octets) else {
            return violation(&WELL_FORMED, format!("{octets:02x?}"));
        };
        if packet.octets().len() != octets.len() {
            return violation(
                &WELL_FORMED,
                format!("{} octets beyond Length", octets.len() - packet.octets().len()),
            );
        }
        let Some(client) = client_of(&plan.topology.clients, remote.ip()) else {
            return violation(&UNKNOWN_SILENCE, format!("code {}", packet.code()));
        };
        let secret = plan.topology.clients[client].secret.as_bytes();
        let records = self.slots.get_mut(&(remote, listener, packet.identifier()));
        let Some(Slot { records, strays, .. }) = records else {
            let elsewhere = (0..plan.topology.listeners.len() as u16)
                .any(|other| self.slots.contains_key(&(remote, ListenerId(other), packet.identifier())));
            let law = if elsewhere { &SAME_DOOR } else { &REQUESTED };
            return violation(law, format!("code {}, Identifier {}", packet.code(), packet.identifier()));
        };
        let door = plan.topology.listeners[usize::from(listener.0)].address;
        if transmit.source.is_some_and(|source| source != door.ip()) {
            return violation(&SAME_DOOR, format!("from {:?} instead of {door}", transmit.source));
        }
        let owner =
            records.iter().rposition(|record| packet.authenticator_holds(&record.authenticator, secret));
        let Some(owner) = owner else {
            let other = plan.topology.clients.iter().position(|client| {
                records
                    .iter()
                    .any(|record| packet.authenticator_holds(&record.authenticator, client.secret.as_bytes()))
            });
            let details = match other {
                Some(other) => {
                    format!("it verifies under the secret of {}", plan.topology.clients[other].name)
                }
                None => format!("Identifier {}, and no secret verifies it", packet.identifier()),
            };
            return violation(&OWN_SECRET, details);
        };
        // A stray may reach its owner after what was handed in later: who displaced whom is not known then.
        if *strays == 0 && is_let_go(records, &records[owner], now, turn_max) && told() {
            let details = format!("Identifier {}: {:?}", packet.identifier(), records[owner].displaced);
            return violation(&LET_GO, details);
        }
        check_reply(plan, &mut records[owner], packet, (now, turn_max), remote)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::new()
    }
}

/// A copy of the record at this place came and deserves an answer, perhaps after one with another authenticator.
fn supersede(current: &mut Option<[u8; 16]>, records: &mut [Record], place: usize, now: u64) {
    let authenticator = records[place].authenticator;
    if *current != Some(authenticator) {
        for record in records.iter_mut().filter(|record| Some(record.authenticator) == *current) {
            record.displaced = Some((authenticator, now));
        }
        *current = Some(authenticator);
        records[place].runs += 1;
    }
    records[place].displaced = None;
}

/// Whether what has displaced this record was decided long ago: then its worker had been told to let go of it.
fn is_let_go(records: &[Record], record: &Record, now: u64, turn_max: u64) -> bool {
    let Some((by, at)) = record.displaced else { return false };
    // Signed and unsigned requests do not displace each other.
    let by = records.iter().find(|other| other.authenticator == by && other.signed() == record.signed());
    // What was decided after the displacement may have been an earlier copy, and the one that displaced shed: only where
    // each has been decided that is told apart.
    by.is_some_and(|by| {
        let all_decided = by.decisions >= by.runs;
        all_decided && by.decided_at > at && now > by.decided_at + LET_GO_AFTER + 4 * turn_max
    })
}

fn check_reply(
    plan: &Plan,
    record: &mut Record,
    packet: Packet<'_>,
    (now, turn_max): (u64, u64),
    remote: SocketAddr,
) -> Result<(), Violation> {
    let identifier = packet.identifier();
    let violation = |invariant, details: String| {
        let details = format!("to {remote}, Identifier {identifier}: {details}");
        Err(Violation { invariant, at: now, details })
    };
    let answer = match &record.verdict {
        Verdict::Answer(answer) => answer,
        Verdict::Silence(reason) => {
            return violation(&UNVERIFIED_SILENCE, format!("the request was to be discarded: {reason}"));
        }
    };
    record.replies += 1;
    if record.replies > record.copies {
        return violation(&ONE_PER_COPY, format!("{} replies, {} copies", record.replies, record.copies));
    }
    let secret = plan.topology.clients[answer.client].secret.as_bytes();
    if answer.signs_reply {
        let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
        let first = packet.attributes().next().map(|(_, kind, _)| kind);
        let right = packet.signature_holds(&record.authenticator, secret) == Some(true);
        if signatures != 1 || first != Some(kind::MESSAGE_AUTHENTICATOR) || !right {
            return violation(
                &SIGNED_FIRST,
                format!("{signatures} of them, first type {first:?}, right: {right}"),
            );
        }
    }
    if record.ambiguous {
        return Ok(());
    }
    if packet.code() != answer.code {
        return violation(&RIGHT_CODE, format!("code {} instead of {}", packet.code(), answer.code));
    }
    if !packet.all(kind::PROXY_STATE).eq(answer.proxy_states.iter().map(Vec::as_slice)) {
        return violation(&PROXY_STATES, format!("{} were sent", answer.proxy_states.len()));
    }
    if let Some(details) = wrong_attributes(plan, answer, packet) {
        return violation(&REPLY_ATTRIBUTES, details);
    }
    let due = record.first_at + plan.limits.reject_delay_ms * 1_000_000;
    if packet.code() == code::ACCESS_REJECT && now + turn_max < due {
        return violation(&REJECT_DELAY, format!("{} ns too early", due - now));
    }
    // Once faults have ended for so long, no thread is stopped and no bell is late.
    let calm = record.first_at > plan.faulty_until() + CALM_AFTER;
    let hashes = plan.topology.users.iter().any(|user| user.hashed);
    let due = if hashes { due.max(record.first_at + effect::USUAL_MAX) } else { due };
    if packet.code() == code::ACCESS_REJECT && calm && record.copies == 1 && now > due + REJECT_SLACK {
        return violation(&REJECT_NOT_LATE, format!("{} ns too late", now - due));
    }
    if record.replies > 1 && record.reply != packet.octets() {
        return violation(&IDENTICAL_DUPLICATE, format!("reply {} differs", record.replies));
    }
    if record.reply.is_empty() {
        record.reply = packet.octets().to_vec();
    }
    Ok(())
}

/// What is wrong with the attributes of an Access-Accept, beside its signature and Proxy-States.
fn wrong_attributes(plan: &Plan, answer: &Answer, packet: Packet<'_>) -> Option<String> {
    let user = &plan.topology.users[answer.user?];
    let mut expected: Vec<(u8, &[u8])> = user.reply.iter().map(|(kind, value)| (*kind, &value[..])).collect();
    let mut found: Vec<(u8, &[u8])> = packet
        .attributes()
        .filter(|&(_, kind, _)| kind != kind::MESSAGE_AUTHENTICATOR && kind != kind::PROXY_STATE)
        .map(|(_, kind, value)| (kind, value))
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    (expected != found).then(|| format!("for {}: {found:02x?} instead of {expected:02x?}", user.name))
}
