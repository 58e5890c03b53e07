//! What was handed to the server, by where it came from and its Identifier, and what is owed for it.
//!
//! Copies of a request are told apart as a server must: by authenticator and by the client and secret that they are
//! verified under. A reload may change both, and then the same octets are another request.

use super::everywhere::Everywhere;
use crate::clock::Clock;
use crate::goals::{Goal, Goals};
use crate::oracle::codec::{Packet, code};
use crate::oracle::judge::{Answer, Asked, Verdict, client_of, judge};
use crate::plan::Plan;
use crate::site::Site;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use ulna_core::{ListenerId, Path};

/// By what everything is judged.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// Its configurations.
    pub sites: &'a [Site],
    /// What the wall shows.
    pub clock: &'a Clock,
}

impl Case<'_> {
    /// What the server owes for this datagram under a configuration, when the wall shows this.
    pub fn judge(&self, site: usize, path: (SocketAddr, ListenerId), octets: &[u8], wall: u64) -> Verdict {
        let (remote, listener) = path;
        let listener = self.plan.topology.listeners[usize::from(listener.0)].kind;
        judge(&self.sites[site], &Asked { listener, source: remote.ip(), wall, datagram: octets })
    }
}

impl Case<'_> {
    /// Whether who sends from there is known by a client rule, if by any: also where no line of its table is left.
    pub fn is_of_rule(&self, site: usize, source: IpAddr) -> bool {
        client_of(&self.sites[site].clients, source).is_none()
            && self.plan.topology.client_rules.iter().any(|rule| rule.contains(source))
    }
}

/// What was handed in under one authenticator, and verified under one client and secret.
#[derive(Debug)]
pub struct Record {
    pub(super) authenticator: [u8; 16],
    /// The NAS that sent the first copy that deserves an answer, or else the first, if one is known to have.
    pub(super) sender: Option<usize>,
    /// Its name in its slot.
    number: u64,
    /// By configuration under which a copy was read that deserves an answer: what is owed.
    pub(super) owed: Vec<(usize, Answer)>,
    /// Where nothing is: why.
    pub(super) silence: &'static str,
    /// Copies that deserve an answer.
    pub(super) copies: u64,
    pub(super) replies: u64,
    /// Replies that were sent, each once.
    pub(super) different: Vec<Vec<u8>>,
    pub(super) first_at: u64,
    /// When the first copy came by any connection, where its sender may have come here from another.
    pub(super) earliest_at: u64,
    /// Whether a worker was asked whose a copy is.
    pub(super) asked: bool,
    /// Two different packets with this authenticator deserve an answer: only what holds for both is checked.
    pub(super) ambiguous: bool,
    pub(super) octets: Vec<u8>,
    /// How often a copy came when another authenticator, or none, had come last under this Identifier: each time it
    /// supersedes that one and may be decided anew.
    pub(super) runs: u32,
    /// How often policy decided it.
    pub(super) decisions: u32,
    /// When policy decided it last.
    pub(super) decided_at: u64,
    /// By which record it was displaced, and when, if none of its copies has come since.
    pub(super) displaced: Option<(u64, u64)>,
    /// Whether it ever was: a server then knows no more than that it was taken once.
    pub(super) was_displaced: bool,
}

impl Record {
    /// Whether any copy deserves an answer.
    pub fn is_answerable(&self) -> bool {
        self.copies > 0
    }

    /// Whether different packets with its authenticator do.
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether a copy that deserves an answer was read under this configuration.
    pub(super) fn is_owed_under(&self, site: usize) -> bool {
        self.owed.iter().any(|(other, _)| *other == site)
    }

    /// Its name in its slot.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What makes it the same request by whatever connection it comes: where a client rule tells whose it is, that client, the
    /// secret, and the octets. None where two packets could be meant.
    pub(super) fn same(&self, case: &Case<'_>) -> Option<(String, Vec<u8>, Vec<u8>)> {
        let (site, answer) = self.owed.first()?;
        let client = &case.sites[*site].clients[answer.client];
        let is_one = client.is_ruled() && answer.signed && !self.ambiguous;
        is_one.then(|| (client.name.clone(), client.secret(answer.secret).to_vec(), self.octets.clone()))
    }

    /// Whose it is, where a client rule tells: who does not displace each other, nor does who has other secrets what he was.
    /// Otherwise nobody's.
    fn client_of_rule(&self, case: &Case<'_>) -> String {
        let client = self.owed.first().map(|(site, answer)| &case.sites[*site].clients[answer.client]);
        let client = client.filter(|client| client.is_ruled());
        client.map_or_else(String::new, |client| {
            let secrets = client.secrets().flat_map(|secret| [" ", secret]);
            std::iter::once(client.name.as_str()).chain(secrets).collect()
        })
    }

    /// Whether the first copy that deserves an answer was signed.
    fn signed(&self) -> Option<bool> {
        self.owed.first().map(|(_, answer)| answer.signed)
    }

    /// Whether a copy that is owed this is one of the same request: nothing tells the secret of an unsigned one, so all that
    /// its client has count.
    fn is_under_the_same(&self, sites: &[Site], site: usize, answer: &Answer) -> bool {
        self.owed.first().is_none_or(|(first, other)| {
            let (one, two) = (&sites[*first].clients[other.client], &sites[site].clients[answer.client]);
            one.name == two.name
                && other.signed == answer.signed
                && if answer.signed {
                    one.secret(other.secret) == two.secret(answer.secret)
                } else {
                    one.secrets().eq(two.secrets())
                }
        })
    }
}

/// What was handed in under one Identifier of a connection.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// By client, where rules tell them apart, as they have a connection in turn: the record of the last packet that deserved an
    /// answer.
    current: BTreeMap<String, u64>,
    /// The last of them.
    newest: Option<u64>,
    /// Strays: each may reach its owner after what was handed in later.
    pub(super) strays: u32,
    pub(super) records: Vec<Record>,
    numbers: u64,
}

/// Everything that was handed in, by where it came from and its Identifier.
#[derive(Default)]
pub struct Ledger {
    pub(super) slots: BTreeMap<Key, Slot>,
    pub(super) replies: u64,
    /// Decisions made again because the server had to forget the first.
    pub excused: u64,
    /// When a packet of a client of a rule came first by any connection, and under which configurations it was read.
    elsewhere: BTreeMap<[u8; 16], (u64, Vec<usize>)>,
    /// What was given to another thread, and may be verified there under a configuration to come.
    passed_on: VecDeque<PassedOn>,
    pub(super) everywhere: Everywhere,
    goals: Goals,
    /// By thread: Status-Servers that it has read and verified in this turn, and how many replies there will be to that.
    pub(super) status_read: Vec<Vec<(Key, [u8; 16], u64)>>,
}

/// Where requests displace each other: a connection, the listener, an Identifier.
pub(super) type Key = (SocketAddr, ListenerId, u8);

struct PassedOn {
    at: u64,
    owner: usize,
    path: Path,
    sender: Option<usize>,
    asked: bool,
    octets: Vec<u8>,
    /// Whether it deserves an answer under a configuration so far, and is among the copies of that request.
    is_counted: bool,
}

/// A datagram as one thread reads it.
#[derive(Debug, Clone, Copy)]
pub struct Handed<'a> {
    /// Who reads it.
    pub thread: usize,
    /// Where it came from, and to.
    pub path: &'a Path,
    /// The NAS that has sent it as it is.
    pub sender: Option<usize>,
    /// Its octets.
    pub octets: &'a [u8],
    /// To another network core than the one that the kernel gives its flow to, so that what was handed in after it may
    /// overtake it.
    pub stray: bool,
    /// The network core that it belongs to.
    pub owner: usize,
    /// Whether another reads it: it is verified there, when it has come there.
    pub is_passed_on: bool,
    /// Whether a worker is asked whose it is: it is verified when that has answered.
    pub asked: bool,
    /// The configuration in force where it is verified.
    pub site: usize,
    /// One under which it may be verified, too, as tables of secrets are just changing.
    pub also: Option<usize>,
}

/// Records kept per Identifier, and more only while they are young; older ones have long left every cache.
const RECORDS_MAX: usize = 48;
/// A request waits for half a minute at most, and its reply is kept for half a minute.
const LEFT_AFTER: u64 = 90_000_000_000;
/// So long a datagram is on its way from thread to thread at most, generously.
const PASSED_ON_MAX: u64 = 60_000_000_000;
/// The latest bell and a wake-up, generously; what threads need in between is told by their longest turn.
const LET_GO_AFTER: u64 = 1_000_000_000;

impl Ledger {
    /// An empty one, for a server of so many threads.
    pub fn new(threads: usize) -> Self {
        Ledger { status_read: vec![Vec::new(); threads], ..Ledger::default() }
    }

    /// How many replies were checked.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// What it saw.
    pub fn goals(&self) -> &Goals {
        &self.goals
    }

    /// A datagram is handed to the server.
    pub fn received(&mut self, case: &Case<'_>, handed: &Handed<'_>, now: u64) {
        let Ok(packet) = Packet::read(handed.octets) else { return };
        let key = (handed.path.remote, handed.path.listener, packet.identifier());
        let slot = self.slots.entry(key).or_default();
        if handed.stray || handed.asked {
            // Where it comes to its owner it may part two copies of any one, and stand apart from its own.
            slot.strays += 1;
            slot.records.iter_mut().for_each(|record| record.runs += 1);
        }
        let lifetime = case.plan.limits.dedup_lifetime_ms * 1_000_000;
        let is_remembered = |record: &&Record| record.decided_at.max(record.first_at) + lifetime > now;
        let before = slot.newest().filter(is_remembered).and_then(|record| record.sender);
        let mut copy = Copy {
            path: (key.0, key.1),
            packet,
            sender: handed.sender,
            is_another: true,
            earliest_at: now,
            asked: handed.asked,
        };
        let is_of_rule = case.is_of_rule(handed.site, key.0.ip());
        let mut other_sites = Vec::new();
        if is_of_rule {
            let (at, sites) =
                self.elsewhere.entry(packet.authenticator()).or_insert_with(|| (now, Vec::new()));
            copy.earliest_at = *at;
            for site in std::iter::once(handed.site).chain(handed.also) {
                if !sites.contains(&site) {
                    sites.push(site);
                }
            }
            other_sites = sites.iter().copied().filter(|site| *site != handed.site).collect();
            if is_of_another_site(case, handed, now) {
                self.goals.reach(Goal::SecretOfBefore);
            }
        }
        let is_owed = slot.take(case, &copy, handed.site, now);
        copy.is_another = !is_owed;
        for site in other_sites {
            // Till all threads have heard which lines of tables are others, who has the new secret may be asked about and become
            // known by it, and both hold.
            if handed.asked || handed.is_passed_on || handed.also == Some(site) {
                copy.is_another &= !slot.take(case, &copy, site, now);
            } else {
                // Where its client is known, too, it gets what its first copy got by another connection.
                slot.owe_also(case, &copy, handed.site, site, now);
            }
        }
        if is_owed && before.is_some() && handed.sender.is_some() && before != handed.sender {
            self.goals.reach(Goal::IdentifierOfAnother);
        }
        if is_owed && !handed.is_passed_on && !handed.asked && packet.code() == code::STATUS_SERVER {
            let authenticator = packet.authenticator();
            let read = &mut self.status_read[handed.thread];
            let before =
                read.iter().filter(|(other, same, _)| (*other, *same) == (key, authenticator)).count();
            let sent = slot.replies_to(&authenticator);
            read.push((key, authenticator, sent + before as u64 + 1));
        }
        if (handed.is_passed_on || handed.asked) && case.sites.len() > 1 {
            let &Handed { owner, sender, asked, .. } = handed;
            let (path, octets) = (*handed.path, handed.octets.to_vec());
            let is_counted = !copy.is_another;
            self.passed_on.push_back(PassedOn { at: now, owner, path, sender, asked, octets, is_counted });
        }
    }

    /// From now on a network core verifies under this configuration: also what was given to it and has not come yet.
    pub fn came_into_force(&mut self, case: &Case<'_>, owner: usize, site: usize, now: u64) {
        while self.passed_on.front().is_some_and(|first| first.at + PASSED_ON_MAX < now) {
            self.passed_on.pop_front();
        }
        for PassedOn { path, sender, asked, octets, is_counted, .. } in
            self.passed_on.iter_mut().filter(|passed| passed.owner == owner)
        {
            let Ok(packet) = Packet::read(octets) else { continue };
            let slot = self.slots.entry((path.remote, path.listener, packet.identifier())).or_default();
            slot.strays += 1;
            slot.records.iter_mut().for_each(|record| record.runs += 1);
            let path = (path.remote, path.listener);
            let mut earliest_at = now;
            if let Some((at, sites)) = self.elsewhere.get_mut(&packet.authenticator()) {
                earliest_at = *at;
                if !sites.contains(&site) {
                    sites.push(site);
                }
            }
            let (sender, asked) = (*sender, *asked);
            let copy = Copy { path, packet, sender, is_another: !*is_counted, earliest_at, asked };
            *is_counted |= slot.take(case, &copy, site, now);
        }
    }

    /// A core of this thread has died. A Status-Server that it had read and not answered is answered when it comes again.
    pub fn forget_turn(&mut self, thread: usize) {
        self.status_read[thread].clear();
    }

    /// The server's process has ended, and another knows nothing of what it had: each request may be decided again.
    pub fn forget_process(&mut self) {
        for slot in self.slots.values_mut() {
            slot.current.clear();
            slot.newest = None;
            for record in &mut slot.records {
                record.runs = record.runs.max(record.decisions);
                record.displaced = None;
            }
        }
        self.excused = 0;
        self.everywhere.forget_process();
        self.passed_on.clear();
        self.status_read.iter_mut().for_each(Vec::clear);
    }

    /// The record of a request that was verified under this configuration and has just been decided, newest first; or else
    /// one for which nothing is owed under it. A decision does not say of which of two with one authenticator it is, a signed
    /// and an unsigned one for instance: of the one that may be decided.
    pub(super) fn record(&mut self, key: Key, authenticator: &[u8; 16], site: usize) -> Option<&mut Record> {
        let records = &mut self.slots.get_mut(&key)?.records;
        let is_it = |record: &Record| record.authenticator == *authenticator;
        let is_owed = |record: &Record| is_it(record) && record.is_owed_under(site);
        let place = records
            .iter()
            .rposition(|record| is_owed(record) && record.decisions < record.runs)
            .or_else(|| records.iter().rposition(is_owed))
            .or_else(|| records.iter().rposition(|record| is_it(record) && !record.is_answerable()))?;
        Some(&mut records[place])
    }
}

/// Whether a packet gets nothing under the configuration in force, and would under another.
fn is_of_another_site(case: &Case<'_>, handed: &Handed<'_>, now: u64) -> bool {
    let path = (handed.path.remote, handed.path.listener);
    let wall = case.clock.shows(now).0;
    let is_owed = |site| matches!(case.judge(site, path, handed.octets, wall), Verdict::Answer(_));
    case.sites.len() > 1 && !is_owed(handed.site) && (0..case.sites.len()).any(is_owed)
}

/// A packet as it comes to be verified.
struct Copy<'a> {
    path: (SocketAddr, ListenerId),
    packet: Packet<'a>,
    sender: Option<usize>,
    /// It was not counted before.
    is_another: bool,
    /// When the first came by any connection.
    earliest_at: u64,
    /// A worker is asked whose it is.
    asked: bool,
}

impl Slot {
    /// The last packet that deserved an answer.
    fn newest(&self) -> Option<&Record> {
        self.records.iter().find(|record| Some(record.number) == self.newest)
    }

    /// How many replies there were to requests with this authenticator.
    pub(super) fn replies_to(&self, authenticator: &[u8; 16]) -> u64 {
        let of_it = self.records.iter().filter(|record| record.authenticator == *authenticator);
        of_it.map(|record| record.replies).sum()
    }

    /// A packet was taken under this configuration, and a copy of it was read under the other one elsewhere: it may get what
    /// that got, if it is the same request under both.
    fn owe_also(&mut self, case: &Case<'_>, copy: &Copy<'_>, site: usize, other: usize, now: u64) {
        let octets = copy.packet.octets();
        let is_it = |record: &&mut Record| {
            record.octets == octets && record.is_owed_under(site) && !record.is_owed_under(other)
        };
        let Some(record) = self.records.iter_mut().rev().find(is_it) else { return };
        if let Verdict::Answer(answer) = case.judge(other, copy.path, octets, case.clock.shows(now).0)
            && record.is_under_the_same(case.sites, other, &answer)
        {
            record.owed.push((other, answer));
        }
    }

    /// A packet is verified under this configuration: whether it deserves an answer.
    fn take(&mut self, case: &Case<'_>, copy: &Copy<'_>, site: usize, now: u64) -> bool {
        let &Copy { path, packet, sender, is_another, earliest_at, asked } = copy;
        let Slot { current, newest, strays, records, numbers } = self;
        let authenticator = packet.authenticator();
        let known = records.iter().rposition(|record| {
            record.authenticator == authenticator
                && record.is_owed_under(site)
                && record.octets == packet.octets()
        });
        if let Some(place) = known {
            records[place].copies += u64::from(is_another);
            records[place].sender = records[place].sender.or(sender);
            records[place].asked |= asked;
            *newest = Some(records[place].number);
            supersede(case, current, records, place, now);
            return true;
        }
        let wall = case.clock.shows(now).0;
        let (owed, silence) = match case.judge(site, path, packet.octets(), wall) {
            Verdict::Answer(answer) => (Some(answer), ""),
            Verdict::Silence(reason) => (None, reason),
        };
        let is_same = |record: &Record| {
            let answer = owed.as_ref();
            record.authenticator == authenticator
                && answer.is_none_or(|answer| record.is_under_the_same(case.sites, site, answer))
        };
        let place = records.iter().rposition(is_same);
        let is_answerable = owed.is_some();
        let place = match place {
            Some(place) => {
                let record = &mut records[place];
                if let Some(answer) = owed {
                    let is_first = record.owed.is_empty();
                    record.sender = if is_first { sender } else { record.sender.or(sender) };
                    record.asked |= asked;
                    if is_first {
                        record.first_at = now;
                        record.earliest_at = earliest_at;
                        record.octets = packet.octets().to_vec();
                    } else if record.octets != packet.octets() {
                        record.ambiguous = true;
                    }
                    if !record.is_owed_under(site) {
                        record.owed.push((site, answer));
                    }
                    record.copies += u64::from(is_another || is_first);
                }
                place
            }
            None => {
                // Behind a NAT of a single port all have the same slots.
                let oldest_at = records.first().map_or(now, |record| record.first_at);
                if records.len() >= RECORDS_MAX && oldest_at + LEFT_AFTER < now {
                    records.remove(0);
                }
                *numbers += 1;
                records.push(Record {
                    authenticator,
                    sender,
                    number: *numbers,
                    owed: owed.map(|answer| (site, answer)).into_iter().collect(),
                    silence,
                    copies: u64::from(is_answerable),
                    replies: 0,
                    different: Vec::new(),
                    first_at: now,
                    earliest_at,
                    asked,
                    ambiguous: false,
                    octets: packet.octets().to_vec(),
                    runs: *strays,
                    decisions: 0,
                    decided_at: 0,
                    displaced: None,
                    was_displaced: false,
                });
                records.len() - 1
            }
        };
        if is_answerable {
            *newest = Some(records[place].number);
            supersede(case, current, records, place, now);
        }
        is_answerable
    }
}

/// A copy of the record at this place came and deserves an answer, perhaps after one with another authenticator.
fn supersede(
    case: &Case<'_>,
    current: &mut BTreeMap<String, u64>,
    records: &mut [Record],
    place: usize,
    now: u64,
) {
    let number = records[place].number;
    let before = current.insert(records[place].client_of_rule(case), number);
    if before != Some(number) {
        for record in records.iter_mut().filter(|record| Some(record.number) == before) {
            record.displaced = Some((number, now));
            record.was_displaced = true;
        }
        records[place].runs += 1;
    }
    records[place].displaced = None;
}

/// Whether what has displaced this record was decided long ago: then its worker had been told to let go of it.
pub(super) fn is_let_go(records: &[Record], record: &Record, now: u64, turn_max: u64) -> bool {
    let Some((by, at)) = record.displaced else { return false };
    // Signed and unsigned requests do not displace each other.
    let by = records.iter().find(|other| other.number == by && other.signed() == record.signed());
    // What was decided after the displacement may have been an earlier copy, and the one that displaced shed: only where
    // each has been decided that is told apart.
    by.is_some_and(|by| {
        let all_decided = by.decisions >= by.runs;
        all_decided && by.decided_at > at && now > by.decided_at + LET_GO_AFTER + 4 * turn_max
    })
}

#[cfg(test)]
mod tests;
