//! What leaves the server, against what was handed to it: every datagram out must belong to one that came in, and be what
//! the oracle owes for it.

use super::everywhere::Told;
use super::ledger::{Case, Ledger, Record, Slot, is_let_go};
use super::{Violation, clients, invariants};
use crate::fault::effect;
use crate::oracle::codec::{Packet, code, kind};
use crate::oracle::judge::{Answer, Verdict, clients_of};
use crate::oracle::rules::{self, Around};
use std::net::SocketAddr;
use ulna_core::{ListenerId, Transmit};

invariants! {
    WELL_FORMED = "well-formed", "Whatever is sent has lengths that hold and no octet beyond its Length.";
    REQUESTED = "requested", "No reply is sent for a request that was not received.";
    UNKNOWN_SILENCE = "unknown-silence", "Nothing is sent to an address that no client contains.";
    UNVERIFIED_SILENCE = "unverified-silence", "Nothing is sent for a packet that does not verify or that breaks a rule.";
    OWN_SECRET = "own-secret", "Each reply verifies under the secret of the client that sent the request.";
    ONE_CONFIGURATION = "one-configuration", "A request sees one configuration, in force when a copy of it was read, from verification to answer.";
    SAME_DOOR = "same-door", "A reply leaves from the address and port that its request came in on.";
    IDENTICAL_DUPLICATE = "identical-duplicate", "A duplicate gets identical octets.";
    ONE_PER_COPY = "one-per-copy", "No more replies are sent than copies of the request came in.";
    PROXY_STATES = "proxy-states", "A reply returns exactly the Proxy-States of its request, in order.";
    SIGNED_FIRST = "signed-first", "A reply to an Access-Request carries one right Message-Authenticator, and carries it first.";
    RIGHT_CODE = "right-code", "Access-Accept is sent exactly for the right password, and each request gets a reply of its kind.";
    REPLY_ATTRIBUTES = "reply-attributes", "A reply carries the attributes that its user and the rules give it, and no others.";
    REJECT_DELAY = "reject-delay", "An Access-Reject of ours is not sent before its delay has passed.";
    REJECT_NOT_LATE = "reject-not-late", "While nothing goes wrong, an Access-Reject is sent within half a millisecond after its delay, or after its password was hashed.";
    STATUS_ANSWERED = "status-answered", "A Status-Server is answered in the turn that read it, at any load.";
    LET_GO = "let-go", "A second after a request has displaced another and was decided, more where threads were stopped, that other gets no reply any more.";
}

/// The longest stall and the latest bell together, generously.
const CALM_AFTER: u64 = 10_000_000_000;
/// Two wake-ups of a thread and one bell, generously.
const REJECT_SLACK: u64 = 500_000;

/// What is known when a datagram leaves.
pub struct Leaving<'a> {
    /// Virtual nanoseconds.
    pub now: u64,
    /// The longest turn that any thread took so far: by so much the `now` of a thread may lie behind.
    pub turn_max: u64,
    /// How many notices to workers found no room.
    pub notices: &'a dyn Fn() -> u64,
    /// When a network core panicked last. Its successor does not know what was with workers then, and displaces nothing of
    /// it.
    pub network_died_at: Option<u64>,
}

/// The request that a reply answers.
pub struct Answered<'l> {
    /// Its octets.
    pub octets: &'l [u8],
    /// The NAS that has sent it, as far as one is known to have.
    pub sender: Option<usize>,
}

/// A datagram leaves the server: the request that it answers.
///
/// # Errors
/// The law that it breaks.
pub fn transmitted<'l>(
    ledger: &'l mut Ledger,
    case: &Case<'_>,
    transmit: &Transmit,
    octets: &[u8],
    leaving: &Leaving<'_>,
) -> Result<Answered<'l>, Violation> {
    ledger.replies += 1;
    let topology = &case.plan.topology;
    let (listener, _) = topology.listener_and_network(transmit.via);
    let remote = transmit.destination;
    let violation = |invariant, details: String| {
        Err(Violation { invariant, at: leaving.now, details: format!("to {remote}: {details}") })
    };
    let Ok(packet) = Packet::read(octets) else {
        return violation(&WELL_FORMED, format!("{octets:02x?}"));
    };
    if packet.octets().len() != octets.len() {
        let beyond = octets.len() - packet.octets().len();
        return violation(&WELL_FORMED, format!("{beyond} octets beyond Length"));
    }
    if case.sites.iter().all(|site| clients_of(&site.clients, remote.ip()).next().is_none()) {
        return violation(&UNKNOWN_SILENCE, format!("code {}", packet.code()));
    }
    let Ledger { slots, everywhere, .. } = ledger;
    let key = (remote, listener, packet.identifier());
    if !slots.contains_key(&key) {
        let elsewhere = (0..topology.listeners.len() as u16)
            .any(|other| slots.contains_key(&(remote, ListenerId(other), packet.identifier())));
        let law = if elsewhere { &SAME_DOOR } else { &REQUESTED };
        return violation(law, format!("code {}, Identifier {}", packet.code(), packet.identifier()));
    }
    let Slot { records, strays, .. } = slots.get_mut(&key).expect("it was just seen");
    let door = topology.listeners[usize::from(listener.0)].address;
    if transmit.source.is_some_and(|source| source != door.ip()) {
        return violation(&SAME_DOOR, format!("from {:?} instead of {door}", transmit.source));
    }
    let is_of = |record: &Record| verifies(case, record, remote, packet).is_some();
    let mut owner = records.iter().rposition(is_of);
    let twins = |first: usize| {
        let authenticator = records[first].authenticator;
        records.iter().filter(|record| record.authenticator == authenticator).count() > 1
    };
    if owner.is_some_and(twins) {
        // The same octets, read before and after a reload that keeps the secret, are two requests; so are a signed and an
        // unsigned one with one authenticator.
        let fits = |record: &Record| {
            let path = (remote, listener);
            is_of(record)
                && record.replies < record.copies
                && !is_too_early(case, record, packet, leaving)
                && differs_from_all(case, record, packet, path, leaving.now, leaving.turn_max).is_none()
        };
        owner = records.iter().rposition(fits).or(owner);
    }
    let Some(owner) = owner else {
        if let Some((record, site)) = explained(case, records, (remote, listener), packet, leaving.now) {
            let sites: Vec<_> = record.owed.iter().map(|(site, _)| *site).collect();
            let details = format!("it was read under {sites:?} and answered under {site}");
            return violation(&ONE_CONFIGURATION, details);
        }
        let all = case.sites.iter().flat_map(|site| &site.clients);
        let other = all.flat_map(|client| client.secrets().map(move |secret| (client, secret))).find(
            |(_, secret)| {
                let holds =
                    |record: &Record| packet.authenticator_holds(&record.authenticator, secret.as_bytes());
                records.iter().any(holds)
            },
        );
        let details = match other {
            Some((other, _)) => format!("it verifies under a secret of {}", other.name),
            None => format!("Identifier {}, and no secret verifies it", packet.identifier()),
        };
        return violation(&OWN_SECRET, details);
    };
    if let Some(secret) = verifies(case, &records[owner], remote, packet) {
        clients::signed(case, &records[owner], secret, leaving.now)?;
    }
    // A stray may reach its owner after what was handed in later: who displaced whom is not known then. And where there is more to do
    // than can be done, a worker may come to a request, and then to the notice behind it, long after another worker has decided
    // what displaced it.
    if *strays == 0
        && case.plan.limits.request_us == 0
        && is_let_go(records, &records[owner], leaving.now, leaving.turn_max)
        && leaving.network_died_at.is_none_or(|at| at < records[owner].first_at)
        && (leaving.notices)() == 0
    {
        let details = format!("Identifier {}: {:?}", packet.identifier(), records[owner].displaced);
        return violation(&LET_GO, details);
    }
    let authenticator = records[owner].authenticator;
    let same = records.iter().filter(|record| record.authenticator == authenticator);
    let decisions = same.map(|record| record.decisions).sum();
    let told = everywhere.of(case, &records[owner]);
    check_reply(case, &mut records[owner], told, packet, leaving, (remote, listener), decisions)?;
    Ok(Answered { octets: &records[owner].octets, sender: records[owner].sender })
}

/// A turn has sent all that it had: whether the Status-Servers that it read have their answers. `unsent` tells how many
/// answers were discarded because too many waited to be sent.
///
/// # Errors
/// [`STATUS_ANSWERED`].
pub fn answered_at_once(
    ledger: &mut Ledger,
    thread: usize,
    now: u64,
    unsent: impl Fn() -> u64,
) -> Result<(), Violation> {
    let mut read = std::mem::take(&mut ledger.status_read[thread]);
    for (key, authenticator, expected) in read.drain(..) {
        if ledger.slots[&key].replies_to(&authenticator) < expected && unsent() == 0 {
            let details = format!("from {}, Identifier {}", key.0, key.2);
            return Err(Violation { invariant: &STATUS_ANSWERED, at: now, details });
        }
    }
    ledger.status_read[thread] = read;
    Ok(())
}

/// The secret of its client that verifies a reply as one to this record.
fn verifies<'s>(case: &Case<'s>, record: &Record, remote: SocketAddr, packet: Packet<'_>) -> Option<&'s str> {
    let holds = |secret: &&str| packet.authenticator_holds(&record.authenticator, secret.as_bytes());
    if record.owed.is_empty() {
        let clients = case
            .sites
            .iter()
            .flat_map(|site| clients_of(&site.clients, remote.ip()).map(|client| &site.clients[client]));
        return clients.flat_map(|client| client.secrets()).find(holds);
    }
    let mut tried = "";
    record.owed.iter().find_map(|(site, answer)| {
        let client = &case.sites[*site].clients[answer.client];
        // Several configurations, and mostly one secret.
        let secret = client.secrets().filter(|secret| *secret != tried).find(holds);
        tried = &client.secret;
        secret
    })
}

/// The configuration under which no copy was read and which explains the reply to one of these records, if there is one.
fn explained<'r>(
    case: &Case<'_>,
    records: &'r [Record],
    path: (SocketAddr, ListenerId),
    packet: Packet<'_>,
    now: u64,
) -> Option<(&'r Record, usize)> {
    let wall = case.clock.shows(now).0;
    records.iter().rev().find_map(|record| {
        let others = (0..case.sites.len()).filter(|site| record.owed.iter().all(|(owed, _)| owed != site));
        let mut others = others.filter(|site| match case.judge(*site, path, &record.octets, wall) {
            Verdict::Answer(answer) => {
                let secret = case.sites[*site].clients[answer.client].secret(answer.secret);
                packet.authenticator_holds(&record.authenticator, secret)
                    && differs(case, record, *site, &answer, packet, secret, wall).is_none()
            }
            Verdict::Silence(_) => false,
        });
        Some((record, others.next()?))
    })
}

fn check_reply(
    case: &Case<'_>,
    record: &mut Record,
    told: Option<&mut Told>,
    packet: Packet<'_>,
    leaving: &Leaving<'_>,
    path: (SocketAddr, ListenerId),
    decisions: u32,
) -> Result<(), Violation> {
    let &Leaving { now, turn_max, .. } = leaving;
    let identifier = packet.identifier();
    let violation = |invariant, details: String| {
        let details = format!("to {}, Identifier {identifier}: {details}", path.0);
        Err(Violation { invariant, at: now, details })
    };
    if record.owed.is_empty() {
        let details = format!("the request was to be discarded: {}", record.silence);
        return violation(&UNVERIFIED_SILENCE, details);
    }
    record.replies += 1;
    if record.replies > record.copies {
        return violation(&ONE_PER_COPY, format!("{} replies, {} copies", record.replies, record.copies));
    }
    if let Some((law, details)) = differs_from_all(case, record, packet, path, now, turn_max) {
        let explained = explained(case, std::slice::from_ref(record), path, packet, now);
        let law = if explained.is_some() { &ONE_CONFIGURATION } else { law };
        return violation(law, details);
    }
    if record.ambiguous {
        return Ok(());
    }
    let due = reject_due(case, record);
    if is_too_early(case, record, packet, leaving) {
        return violation(&REJECT_DELAY, format!("{} ns too early", due - now));
    }
    // Once faults have ended for so long, no thread is stopped and no bell is late.
    // What a worker was asked about may wait for a look-up.
    let calm = !record.asked && record.first_at > case.plan.faulty_until() + CALM_AFTER;
    // An unsigned request is tried under one secret after the other.
    let hashes = case.sites.iter().flat_map(|site| &site.users).any(|user| user.hashed);
    let secrets = case.sites.iter().flat_map(|site| &site.clients).map(|client| client.secrets().count());
    let hashed = if hashes { secrets.max().unwrap_or(0) as u64 * effect::USUAL_MAX } else { 0 };
    let due =
        due.max(record.first_at + hashed).max(record.first_at + case.plan.limits.reject_delay_ms * 1_000_000);
    if packet.code() == code::ACCESS_REJECT && calm && record.copies == 1 && now > due + REJECT_SLACK {
        return violation(&REJECT_NOT_LATE, format!("{} ns too late", now - due));
    }
    // Where a client rule tells whose it is, by whichever of his connections its copies came.
    let (different, decisions) = match told {
        Some(told) => {
            if !told.sites.is_empty() && !record.is_as_decided(case, told, packet, path, leaving) {
                let details = format!("it was decided under {:?}, and this is of none of them", told.sites);
                return violation(&ONE_CONFIGURATION, details);
            }
            (&mut told.different, told.decisions)
        }
        None => (&mut record.different, decisions),
    };
    if !different.iter().any(|other| other == packet.octets()) {
        // Decided again it is decided as it then is to be, which is the same unless configuration or time are others.
        let may_change = case.sites.len() > 1 || case.sites[0].asks_for_the_time();
        if different.len() >= if may_change { decisions.max(1) as usize } else { 1 } {
            let details = format!("reply {} differs, after {decisions} decisions", record.replies);
            return violation(&IDENTICAL_DUPLICATE, details);
        }
        different.push(packet.octets().to_vec());
    }
    Ok(())
}

/// When a reject may leave.
fn reject_due(case: &Case<'_>, record: &Record) -> u64 {
    record.earliest_at + case.plan.limits.reject_delay_ms * 1_000_000
}

fn is_too_early(case: &Case<'_>, record: &Record, packet: Packet<'_>, leaving: &Leaving<'_>) -> bool {
    packet.code() == code::ACCESS_REJECT && leaving.now + leaving.turn_max < reject_due(case, record)
}

impl Record {
    /// Whether a reply is as its request was decided under one of the configurations under which it was.
    fn is_as_decided(
        &self,
        case: &Case<'_>,
        told: &Told,
        packet: Packet<'_>,
        path: (SocketAddr, ListenerId),
        leaving: &Leaving<'_>,
    ) -> bool {
        let mut decided = self.owed.iter().filter(|(site, _)| told.sites.contains(site)).peekable();
        decided.peek().is_some()
            && differs_from(case, self, decided, packet, path, leaving.now, leaving.turn_max).is_none()
    }
}

type Difference = (&'static super::Invariant, String);

/// How a reply differs from what is owed by every configuration under which a copy of its request was read, whatever the
/// wall has shown since.
fn differs_from_all(
    case: &Case<'_>,
    record: &Record,
    packet: Packet<'_>,
    path: (SocketAddr, ListenerId),
    now: u64,
    turn_max: u64,
) -> Option<Difference> {
    differs_from(case, record, &record.owed, packet, path, now, turn_max)
}

/// The same of these of them.
fn differs_from<'o>(
    case: &Case<'_>,
    record: &Record,
    owed: impl IntoIterator<Item = &'o (usize, Answer)>,
    packet: Packet<'_>,
    path: (SocketAddr, ListenerId),
    now: u64,
    turn_max: u64,
) -> Option<Difference> {
    let secret = verifies(case, record, path.0, packet)?.as_bytes();
    let mut difference = None;
    for (site, answer) in owed {
        let shown = case.clock.shows(record.earliest_at).0;
        difference = Some(differs(case, record, *site, answer, packet, secret, shown)?);
        if !case.sites[*site].asks_for_the_time() {
            continue;
        }
        for wall in case.clock.shown(record.earliest_at.saturating_sub(turn_max), now) {
            let Verdict::Answer(then) = case.judge(*site, path, &record.octets, wall) else { continue };
            differs(case, record, *site, &then, packet, secret, wall)?;
        }
    }
    difference
}

/// How a reply that verifies under this secret differs from the answer that is owed by one configuration.
fn differs(
    case: &Case<'_>,
    record: &Record,
    site: usize,
    answer: &Answer,
    packet: Packet<'_>,
    secret: &[u8],
    wall: u64,
) -> Option<Difference> {
    let site = &case.sites[site];
    if answer.signs_reply {
        let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
        let first = packet.attributes().next().map(|(_, kind, _)| kind);
        let right = packet.signature_holds(&record.authenticator, secret) == Some(true);
        if signatures != 1 || first != Some(kind::MESSAGE_AUTHENTICATOR) || !right {
            let details = format!("{signatures} of them, first type {first:?}, right: {right}");
            return Some((&SIGNED_FIRST, details));
        }
    }
    if record.ambiguous {
        return None;
    }
    let client = &site.clients[answer.client];
    if client.secret(answer.secret) != secret {
        return Some((&OWN_SECRET, format!("under another secret of {}", client.name)));
    }
    if packet.code() != answer.code {
        return Some((&RIGHT_CODE, format!("code {} instead of {}", packet.code(), answer.code)));
    }
    if !packet.all(kind::PROXY_STATE).eq(answer.proxy_states.iter().map(Vec::as_slice)) {
        return Some((&PROXY_STATES, format!("{} were sent", answer.proxy_states.len())));
    }
    let request = Packet::read(&record.octets).expect("it was read when it came");
    let expected = if request.code() == code::ACCESS_REQUEST {
        let around = Around { client: &client.name, wall };
        let accept = answer.code == code::ACCESS_ACCEPT;
        rules::reply(site, request, around, accept, answer.user.map(|user| &site.users[user]))
    } else {
        Vec::new()
    };
    let mut found: Vec<(u8, &[u8])> = packet
        .attributes()
        .filter(|&(_, kind, _)| kind != kind::MESSAGE_AUTHENTICATOR && kind != kind::PROXY_STATE)
        .map(|(_, kind, value)| (kind, value))
        .collect();
    found.sort_unstable();
    let equal = found.iter().copied().eq(expected.iter().map(|(kind, value)| (*kind, &value[..])));
    (!equal).then(|| (&REPLY_ATTRIBUTES, format!("{found:02x?} instead of {expected:02x?}")))
}
