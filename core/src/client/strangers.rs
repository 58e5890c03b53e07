//! What one worker knows of those who are no clients, or not yet: answers that it has had, look-ups under way, and the packets
//! that wait for them.
//!
//! A stranger's packet is nobody's and proves nothing until it verifies. The first client rule that it matches says where its
//! secret is; the answer is kept under (rule, key), so that a thousand packets that claim one key cost one look-up:
//!
//! ```text
//!            ┌─ packet ──► pending ── not found ──► denied ── negative lifetime ──┐
//!  nothing ──┤                │ ╲── failed, timed out ──► nothing                │
//!            │              found                                                 ├──► nothing
//!            │                ▼                                                   │
//!            │            unproven ── negative lifetime ──────────────────────────┤
//!            │                │ a packet verifies                                 │
//!            │                ▼                                                   │
//!            └───────────► proven ── lifetime; its rule or its secret changes ────┘ remembered
//! ```
//!
//! Every packet is verified by itself, whoever else waited for the same answer. One that fails under the secret of its key leaves a
//! counter and nothing else: nothing negative is ever kept under an address or a connection, or whoever can send from there, or
//! pretend to, could silence a neighbour. One that verifies admits its client on the connection by which it came, unless the very
//! packet has been [seen](super::Sightings) elsewhere. What has no key is tried under the clients that were admitted
//! from its address last.
//!
//! All packets of one source address come to one worker, so that one look-up is under way for each key. RFC 2865 §3 chooses the
//! secret by the source address alone; here the port and the first packet choose, too.

mod addresses;
mod answers;

use self::addresses::Addresses;
use self::answers::{Answers, Begun, Ended, Known};
use super::connection::Admission;
use super::dynamic::DynamicClient;
use super::limits::{Counted, Counts, Permit};
use super::rule::{ClientRule, RuleSecret, look_up_key};
use super::sightings::Sighting;
use crate::attributes::Scratch;
use crate::configuration::Configuration;
use crate::counters::WorkerCounters;
use crate::dedup::Authenticator;
use crate::discard::Discard;
use crate::effect::{LookUp, LookedUp, Ticket};
use crate::generation::Generation;
use crate::life::Life;
use crate::packet::Requirements;
use crate::path::NetworkId;
use crate::policy::{Asked, EMPTY_SESSION, Sheet};
use crate::queue::message::Message;
use crate::request::Stranger;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::{Instant, UnixTime};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;

/// Strangers of one worker.
pub struct Strangers {
    /// The newest that is known: what waits for an answer belongs to no configuration.
    configuration: Arc<Configuration>,
    generation: Generation,
    answers: Answers,
    addresses: Addresses,
    held_octets: usize,
    /// Look-ups that the driver has not polled yet.
    look_ups: VecDeque<(Ticket, LookUp)>,
    /// What became of packets, for their network cores.
    decided: VecDeque<(NetworkId, Message)>,
    sheet: Sheet,
    scratch: Box<Scratch>,
    counters: Arc<WorkerCounters>,
}

/// What is left of strangers when their core has died.
pub struct Legacy {
    configuration: (Generation, Arc<Configuration>),
    remembered: BTreeSet<(Arc<str>, Box<[u8]>)>,
}

/// A packet, and the network core whose it is.
pub(super) type Held = (NetworkId, Stranger);

impl Strangers {
    /// None is known so far.
    pub fn new(
        life: Life,
        (generation, configuration): (Generation, &Arc<Configuration>),
        seed: &Seed,
        counters: &Arc<WorkerCounters>,
    ) -> Strangers {
        let rules = &configuration.client_rules;
        Strangers {
            generation,
            answers: Answers::new(life, rules.limits.clients as usize, seed),
            addresses: Addresses::new(ADDRESSES_MAX, seed),
            held_octets: 0,
            look_ups: VecDeque::new(),
            decided: VecDeque::new(),
            sheet: rules.sheet(),
            scratch: Box::default(),
            counters: Arc::clone(counters),
            configuration: Arc::clone(configuration),
        }
    }

    /// What a core that has died leaves to the one that takes its place: what were clients are looked up anew.
    pub fn legacy(&mut self) -> Legacy {
        Legacy {
            configuration: (self.generation, Arc::clone(&self.configuration)),
            remembered: self.answers.remembered(),
        }
    }

    /// With what a core has left that has died.
    pub fn of_legacy(life: Life, legacy: Legacy, seed: &Seed, counters: &Arc<WorkerCounters>) -> Strangers {
        let Legacy { configuration: (generation, configuration), remembered } = legacy;
        let mut strangers = Strangers::new(life, (generation, &configuration), seed, counters);
        for (rule, key) in remembered {
            strangers.remember(&rule, &key);
        }
        strangers
    }

    /// Each rule and key that is a client's now. Walks over them.
    pub fn keys(&self) -> impl Iterator<Item = (&Arc<str>, &[u8])> {
        self.answers.keys()
    }

    /// How many places there are for keys, some of which may be free.
    pub fn places(&self) -> u32 {
        self.answers.places()
    }

    /// The client that has been admitted by the key at a place, if there is one.
    pub fn admitted_at(&self, place: u32, now: Instant) -> Option<&DynamicClient> {
        self.answers.admitted_at(place).filter(|client| !client.is_over(now))
    }

    /// Ends the client of this name whose key is at a place, with all its connections: its key is looked up anew. Whether there was one.
    pub fn flush_at(&mut self, place: u32, name: &str) -> bool {
        let client = self.answers.admitted_at(place).filter(|client| *client.client().name == *name);
        let Some(origin) = client.map(|client| client.origin()) else { return false };
        let (rule, key): (Box<str>, Box<[u8]>) = (origin.0.into(), origin.1.into());
        self.answers.forget(&rule, &key);
        true
    }

    /// Clients of before: their keys are looked up without counting as new.
    pub fn remember(&mut self, rule: &Arc<str>, key: &[u8]) {
        self.answers.remember(rule, key);
    }

    /// Takes the configuration by which strangers are asked about from here on. Clients end whose rule is gone or would no longer
    /// admit them in the same way; those of a rule that another stands before now stay until their time is over.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        let before = core::mem::replace(&mut self.configuration, Arc::clone(configuration));
        self.generation = generation;
        self.sheet = configuration.client_rules.sheet();
        let (old, new) = (&before.client_rules, &configuration.client_rules);
        let place_of = |place: u32| {
            let rule = old.rule(place);
            new.named(&rule.name).filter(|(_, now)| now.admits_like(rule)).map(|(place, _)| place)
        };
        for held in self.answers.renumber(place_of) {
            self.refuse_held(held, Discard::NoClientRule);
        }
    }

    /// What a table says of these keys has changed: answers are void, and clients of other secrets end.
    pub fn handle_table_changed(&mut self, source: &str, keys: &[Box<[u8]>]) {
        let rules = &self.configuration.client_rules;
        for rule in rules.iter() {
            if let RuleSecret::Table { source: of_rule, .. } = &rule.secret
                && **of_rule == *source
            {
                keys.iter().for_each(|key| self.answers.forget(&rule.name, key));
                if seeded::is(Bug::ChangedLineEndsItsTable) {
                    self.answers.renumber(|place| (rules.rule(place).name != rule.name).then_some(place));
                }
            }
        }
    }

    /// A stranger's packet. What becomes of it is [polled](Self::poll_decided), now or when its look-up is answered.
    pub fn handle_stranger(&mut self, network: NetworkId, stranger: Stranger, time: UnixTime, now: Instant) {
        let configuration = Arc::clone(&self.configuration);
        let rules = &configuration.client_rules;
        let path = stranger.path();
        let framed = stranger.framed();
        let asked = Asked {
            generation: self.generation,
            dictionary: &configuration.dictionary,
            framed,
            attributes: framed.attributes(),
            session: &EMPTY_SESSION,
            client: "",
            listener: &configuration.listeners[usize::from(path.listener.0)],
            path,
            time,
        };
        let Some(place) = rules.first_match(&asked, &mut self.sheet) else {
            return self.refuse((network, stranger), Discard::NoClientRule);
        };
        let rule = rules.rule(place);
        match &rule.secret {
            RuleSecret::Own(secrets) => {
                // Nothing is looked up: the answer stands in the rule.
                if let Known::Nothing = self.answers.known(&rule.name, &[], now) {
                    let client = DynamicClient::new(rule, &[], (*rule.name).into(), (**secrets).clone(), now);
                    self.answers.tell(place, rule, &[], Arc::new(client), now);
                }
                self.decide(network, stranger, place, rule, &[], now);
            }
            RuleSecret::Table { key, .. } => {
                let key = look_up_key(&framed, key, &configuration.dictionary, &mut self.scratch);
                match key {
                    Some(key) => self.decide(network, stranger, place, rule, &key, now),
                    None => self.try_recent(network, stranger, rule, now),
                }
            }
        }
    }

    /// The answer to a look-up. False if nobody waits for it any more.
    pub fn handle_looked_up(
        &mut self,
        ticket: Ticket,
        answer: Result<LookedUp, Discard>,
        now: Instant,
    ) -> bool {
        let configuration = Arc::clone(&self.configuration);
        let Some(ended) = self.answers.take_pending(ticket) else { return false };
        let Ended { rule: place, key, is_void, line: held } = ended;
        let rule = configuration.client_rules.rule(place);
        let reason = match answer {
            Ok(_) if is_void => Discard::LookUpFailed,
            Ok(LookedUp::Found { name, secrets }) => {
                let client = DynamicClient::new(rule, &key, name, *secrets, now);
                self.answers.tell(place, rule, &key, Arc::new(client), now);
                self.counters.look_ups_found.up();
                let mut is_first_wrong = None;
                for (network, stranger) in held {
                    self.held_octets -= stranger.octet_count();
                    if seeded::is(Bug::HeldDecidedByTheFirst)
                        && let Known::Client(client) = self.answers.known(&rule.name, &key, now)
                        && *is_first_wrong
                            .get_or_insert_with(|| self.fingerprint(&stranger, &client).is_err())
                    {
                        self.refuse((network, stranger), Discard::BadMessageAuthenticator);
                        continue;
                    }
                    self.decide(network, stranger, place, rule, &key, now);
                }
                return true;
            }
            Ok(LookedUp::NotFound) => {
                self.answers.deny(place, rule, &key, now);
                Discard::ClientDenied
            }
            Ok(LookedUp::Failed) => Discard::LookUpFailed,
            Err(reason) => reason,
        };
        for held in held {
            self.refuse_held(held, reason);
        }
        true
    }

    /// What the driver is to look up.
    pub fn poll_look_up(&mut self) -> Option<(Ticket, LookUp)> {
        self.look_ups.pop_front()
    }

    /// What became of a packet, for its network core.
    pub fn poll_decided(&mut self) -> Option<(NetworkId, Message)> {
        self.decided.pop_front()
    }

    /// Whether the driver can poll something.
    pub fn has_look_up(&self) -> bool {
        !self.look_ups.is_empty()
    }

    /// How many packets are here.
    pub fn held(&self) -> usize {
        self.answers.held() + self.decided.len()
    }

    /// Does what is due: answers end, and look-ups that take too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..DUE_EACH_TURN {
            let Some(held) = self.answers.take_due(now) else { break };
            for held in held {
                self.refuse_held(held, Discard::LookUpTimedOut);
            }
        }
        self.addresses.expire(now, DUE_EACH_TURN);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.answers.next_deadline().into_iter().chain(self.addresses.next_deadline()).min()
    }

    /// A packet with a key: by what is known of that, or once it is known.
    fn decide(
        &mut self,
        network: NetworkId,
        stranger: Stranger,
        place: u32,
        rule: &ClientRule,
        key: &[u8],
        now: Instant,
    ) {
        match self.answers.known(&rule.name, key, now) {
            Known::Client(client) => self.verify(network, stranger, rule, &client, now),
            Known::Denied => self.refuse((network, stranger), Discard::ClientDenied),
            Known::Pending(_) if seeded::is(Bug::LookUpForEachPacket) => {
                self.begin(network, stranger, place, rule, key, now);
            }
            Known::Pending(entry) => self.hold(network, stranger, rule, entry),
            Known::Nothing => self.begin(network, stranger, place, rule, key, now),
        }
    }

    fn begin(
        &mut self,
        network: NetworkId,
        stranger: Stranger,
        place: u32,
        rule: &ClientRule,
        key: &[u8],
        now: Instant,
    ) {
        let RuleSecret::Table { source, is_in_memory, .. } = &rule.secret else {
            // The answer stands in the rule, but there was no room to note it.
            return self.refuse((network, stranger), Discard::ClientsFull);
        };
        let address = stranger.path().remote.ip();
        let all = Arc::clone(&self.configuration);
        let all = &all.client_rules;
        let was_client = self.answers.is_remembered(&rule.name, key)
            || stranger.previous().is_some_and(|client| client.origin() == (&*rule.name, key));
        let permit = if was_client || seeded::is(Bug::LookUpsUnbounded) {
            Permit::take(
                Counted::Pending,
                [Some((&rule.counts, u32::MAX)), Some((&all.counts, u32::MAX)), None, None],
            )
        } else {
            let (of_rule, of_address) = (&rule.limits, &rule.limits.per_address);
            // A table in memory is asked in no time, and what a packet costs is bounded before it comes here: whoever invents keys
            // keeps nobody waiting whose key is there.
            let pace = |counts: &Counts, per_second| *is_in_memory || counts.begun.passes(per_second, now);
            let known = self.addresses.known(address);
            let has_room = known.is_none_or(|known| {
                known.value(Counted::Pending) < of_address.pending && pace(&known, of_address.new_per_second)
            }) && rule.counts.value(Counted::Pending) < of_rule.pending
                && all.counts.value(Counted::Pending) < all.limits.pending
                && pace(&rule.counts, of_rule.new_per_second)
                && pace(&all.counts, all.limits.new_per_second);
            if !has_room {
                return self.refuse((network, stranger), Discard::LookUpLimit);
            }
            // Only now is an address noted that nobody has verified anything from.
            let Some(counts) = self.addresses.counts(address, now) else {
                return self.refuse((network, stranger), Discard::AddressesFull);
            };
            let limits = [
                Some((&counts, of_address.pending)),
                Some((&rule.counts, of_rule.pending)),
                Some((&all.counts, all.limits.pending)),
                None,
            ];
            Permit::take(Counted::Pending, limits)
        };
        let Some(permit) = permit else {
            return self.refuse((network, stranger), Discard::LookUpLimit);
        };
        let deadline = now + self.configuration.protocol.request_timeout;
        match self.answers.begin(place, &rule.name, key, permit, deadline) {
            Some(Begun { ticket, entry, key }) => {
                self.counters.look_ups.up();
                self.look_ups.push_back((ticket, LookUp { source: Arc::clone(source), key }));
                self.hold(network, stranger, rule, entry);
            }
            None => self.refuse((network, stranger), Discard::LookUpLimit),
        }
    }

    fn hold(&mut self, network: NetworkId, stranger: Stranger, rule: &ClientRule, entry: u32) {
        let line = self.answers.line(entry);
        let reason = if line.iter().any(|(_, held)| held.is_same(&stranger)) {
            Discard::HeldDuplicate
        } else if line.len() >= rule.limits.held_packets as usize
            || self.held_octets + stranger.octet_count()
                > self.configuration.client_rules.limits.held_octets as usize
        {
            Discard::HeldFull
        } else {
            self.held_octets += stranger.octet_count();
            self.answers.hold(entry, (network, stranger));
            return;
        };
        self.refuse((network, stranger), reason);
    }

    /// A packet whose secret is known: it alone decides whether that is so.
    fn verify(
        &mut self,
        network: NetworkId,
        stranger: Stranger,
        rule: &ClientRule,
        client: &Arc<DynamicClient>,
        now: Instant,
    ) {
        match self.fingerprint(&stranger, client) {
            Ok(fingerprint) => self.admit(network, stranger, rule, client, &fingerprint, now),
            Err(reason) => {
                self.counters.strangers_unverified.up();
                if seeded::is(Bug::ForgedPacketDeniesItsKey) {
                    let (name, key) = client.origin();
                    self.answers.forget(name, key);
                    let place = self.configuration.client_rules.named(name).map_or(0, |(place, _)| place);
                    self.answers.deny(place, rule, key, now);
                }
                self.refuse((network, stranger), reason);
            }
        }
    }

    /// What its request is known by, if it verifies under this client's secrets.
    fn fingerprint(
        &self,
        stranger: &Stranger,
        client: &Arc<DynamicClient>,
    ) -> Result<Authenticator, Discard> {
        // Under the very secrets that its connection's client has it has failed already.
        if stranger.has_failed() && is_of(stranger.previous(), client) {
            return Err(Discard::BadMessageAuthenticator);
        }
        let framed = stranger.framed();
        let requirements = if seeded::is(Bug::UnsignedPacketAdmits) {
            Requirements::default()
        } else {
            client.client().requirements()
        };
        let verified =
            framed.verify_request(&client.client().secrets, requirements).map_err(|error| error.discard())?;
        if !verified.signed() && !seeded::is(Bug::UnsignedPacketAdmits) {
            return Err(Discard::UnsignedStranger);
        }
        Ok(crate::network::fingerprint(&framed, client.mark(Some(verified.secret_index()))))
    }

    fn admit(
        &mut self,
        network: NetworkId,
        stranger: Stranger,
        rule: &ClientRule,
        client: &Arc<DynamicClient>,
        fingerprint: &Authenticator,
        now: Instant,
    ) {
        // By a stream it was sent again because another has ended (RFC 6613 §2.6.1), or by somebody who has recorded it: who gets
        // nothing by it but a stream of his own, on which nothing of his verifies.
        let is_by_stream = stranger.path().stream().is_some();
        let is_known_elsewhere = !is_by_stream && !seeded::is(Bug::ReplayedPacketAdmits);
        let sightings = self.configuration.client_rules.sightings();
        if let Some(sighting) = sightings.look_up(fingerprint).filter(|_| is_known_elsewhere) {
            self.counters.strangers_seen_before.up();
            let stranger = stranger.seen_before(sighting, client);
            self.decided.push_back((network, Message::SeenBefore(stranger)));
            return;
        }
        let all = Arc::clone(&self.configuration);
        let all = &all.client_rules;
        let is_proven = self.answers.prove(client, rule, (&all.counts, all.limits.clients));
        if !is_proven {
            return self.refuse((network, stranger), Discard::ClientsFull);
        }
        let address = stranger.path().remote.ip();
        let Some(counts) = self.addresses.counts(address, now) else {
            return self.refuse((network, stranger), Discard::AddressesFull);
        };
        // Where a connection was somebody's already there is none more.
        let bound = |max: u32| if stranger.previous().is_some() { u32::MAX } else { max };
        let permit = Permit::take(
            Counted::Connection,
            [
                Some((&counts, bound(rule.limits.per_address.connections))),
                Some((&rule.counts, bound(rule.limits.connections))),
                Some((&all.counts, bound(all.limits.connections))),
                Some((client.counts(), rule.limits.connections_per_client)),
            ],
        );
        let Some(permit) = permit else {
            return self.refuse((network, stranger), Discard::ConnectionsFull);
        };
        // Its network core has no place for it yet. Who sends it again by then from elsewhere comes too late.
        all.sightings().note(fingerprint, Sighting { network, place: None });
        self.addresses.admitted(address, client);
        self.counters.admitted.up();
        let admission = Admission::new(Arc::clone(client), permit);
        self.decided.push_back((network, Message::Admitted(stranger, admission)));
    }

    /// A packet without a key, such as a Status-Server from a socket of its own: of one of those who were admitted last from
    /// where it comes, if it verifies.
    fn try_recent(&mut self, network: NetworkId, stranger: Stranger, rule: &ClientRule, now: Instant) {
        let address = stranger.path().remote.ip();
        let mut reason = Discard::NoLookUpKey;
        for client in self.addresses.recent(address, now) {
            // Of this very rule, whose limits count.
            if client.is_over(now) || client.origin().0 != &*rule.name {
                continue;
            }
            match self.fingerprint(&stranger, &client) {
                Ok(fingerprint) => {
                    return self.admit(network, stranger, rule, &client, &fingerprint, now);
                }
                Err(failed) => reason = failed,
            }
        }
        self.refuse((network, stranger), reason);
    }

    fn refuse_held(&mut self, held: Held, reason: Discard) {
        self.held_octets -= held.1.octet_count();
        self.refuse(held, reason);
    }

    fn refuse(&mut self, (network, stranger): Held, reason: Discard) {
        self.decided.push_back((network, Message::Refused { stranger, reason }));
    }
}

/// Whether somebody is that client.
fn is_of(somebody: Option<&Arc<DynamicClient>>, client: &DynamicClient) -> bool {
    somebody.is_some_and(|somebody| somebody.mark(None) == client.mark(None))
}

/// Source addresses with clients or look-ups, in one worker.
const ADDRESSES_MAX: usize = 65_536;
/// What is due at most in one turn.
const DUE_EACH_TURN: usize = 256;
