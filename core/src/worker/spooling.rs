//! Accounting by way of the spool: a request's record on its way there, and records from there on their way to remote servers.
//! RFC 2866 §2 and §5.2, RFC 5080 §2.2.1, RFC 2865 §5.33.
//!
//! Every worker writes; the [sender](SPOOL_SENDER) sends. What is written is the packet that a request would go on as, with hidden
//! values under a key of this server's instead of a remote server's; the request is answered when that is safe. From then on we
//! are its client: it is sent until a verified answer comes, each time as a new packet, to whichever server its pool chooses by then.
//!
//! All Proxy-States of the request go on, though nobody waits for them to come back: they have been given back with our answer.
//! A proxy that has one of its own among them sees that the packet goes in circles, and without them it could not. Ours comes behind
//! them, another each time.
//!
//! A transmission that is not answered in time stays outstanding beside the next, as long as a request's would: its answer is as
//! good as the last one's, and its silence says as much about the server. Which of them is answered ends all.
//!
//! There are servers that answer some records never. So one that was sent as often as RFC 5080 has a client try is put back into the
//! spool, where others get their turn before it; it comes again, without an end, in the times that it had come to.
//!
//! What waits here waits without end. It is bounded by what the spool hands out; the rest is on disk.

use super::Worker;
use super::forwarding::Whose;
use super::in_progress::Held;
use super::onward::{GoesOn, KeptServer, To};
use super::records::Records;
use super::remote_reply::edited_again;
use super::request::{Desk, Waiting};
use crate::accounting::{SPOOL_SENDER, SpoolName, SpoolRecord, Spooled, event_digest, raise_delay};
use crate::attributes::NOTHING;
use crate::configuration::{Configuration, SpoolSettings};
use crate::discard::Discard;
use crate::effect::{Effect, Relay, Ticket};
use crate::event::{Event, ShortName};
use crate::forward::{Outbound, PROXY_STATE_OCTETS, PoolId, Purpose, Slot};
use crate::life::Life;
use crate::packet::{AUTHENTICATOR_OCTETS, Attributes, Framed, HEADER_OCTETS, PACKET_OCTETS_MAX, Secret};
use crate::path::{NetworkId, WorkerId};
use crate::request::Request;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::{Instant, UnixTime};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// A worker's part in the spool.
pub struct Spooling {
    life: Life,
    /// What values are hidden under; `None`: there is no spool, or it has not said so yet.
    key: Option<Arc<Secret>>,
    /// Whether the spool is still to be told that this worker is there.
    begins: bool,
    /// What is being written.
    pub records: Records,
    /// What is being sent.
    places: Vec<Place>,
    free: Vec<u32>,
    /// When which place is to be sent, or sent again.
    due: BTreeSet<(Instant, u32)>,
    /// Answered, and the spool has not been told.
    answered: Vec<SpoolName>,
    /// Put back, and the spool has not been told.
    put_back: VecDeque<(SpoolName, bool)>,
    /// Pools that the newest configuration does not have, and whose absence has been told.
    unknown_pools: BTreeSet<Arc<str>>,
    /// Records that cannot be written under the newest configuration, and have been told of: so many at most.
    unwritable: BTreeSet<SpoolName>,
    random: ChaCha12Rng,
}

/// Names a record that is under way, as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolTicket {
    place: u32,
    /// How many had that place before. Wraps: no reply is 2³² records late.
    generation: u32,
}

#[derive(Default)]
struct Place {
    generation: u32,
    under_way: Option<UnderWay>,
}

/// A record that is under way.
struct UnderWay {
    name: SpoolName,
    received: UnixTime,
    pool: Arc<str>,
    packet: Box<[u8]>,
    /// The time from the last transmission to the next.
    wait: Option<Duration>,
    due: Instant,
    /// How many transmissions are left till it is put back.
    left: u32,
    /// It could not be written as a packet.
    is_unwritable: bool,
    /// Where it has been sent, and may still be answered.
    transmissions: Vec<Transmission>,
}

/// A record on its way.
struct Transmission {
    server: KeptServer,
    slot: Slot,
    sent: Instant,
}

/// Why a record is not sent now.
enum NotNow {
    /// No configuration has its pool.
    PoolUnknown,
    /// No server lives, or has room, or no socket can be had.
    NoServer,
    /// It cannot be written as a packet for that server.
    Unwritable,
}

impl Spooling {
    pub fn new(life: Life, settings: Option<SpoolSettings>, seed: &Seed) -> Spooling {
        Spooling {
            life,
            key: None,
            begins: settings.is_some(),
            records: Records::new(settings.is_some()),
            places: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            answered: Vec::new(),
            put_back: VecDeque::new(),
            unknown_pools: BTreeSet::new(),
            unwritable: BTreeSet::new(),
            random: seed.fork("names in the spool, and jitter").generator(),
        }
    }

    /// What the driver is asked for next.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        // No request waits for what is between the spool and us: it is named by our life.
        let ours = Ticket { place: 0, generation: 0, life: self.life };
        if core::mem::take(&mut self.begins) {
            return Some((ours, Effect::Relay(Relay::Begin)));
        }
        if let Some((ticket, batch)) = self.records.take() {
            return Some((ticket, Effect::Spool(batch)));
        }
        if !self.answered.is_empty() {
            return Some((ours, Effect::Relay(Relay::Answered(core::mem::take(&mut self.answered)))));
        }
        let (name, may_be_overtaken) = self.put_back.pop_front()?;
        Some((ours, Effect::Relay(Relay::Unanswered { name, may_be_overtaken })))
    }

    /// Whether [`poll_effect`](Self::poll_effect) would give something.
    pub fn has_effect(&self) -> bool {
        self.begins || self.records.has_any() || !self.answered.is_empty() || !self.put_back.is_empty()
    }

    /// When a record is to be sent next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Another configuration: what it does not have is told anew.
    pub fn handle_configuration(&mut self) {
        self.unknown_pools.clear();
        self.unwritable.clear();
    }

    fn set_due(&mut self, place: u32, due: Instant) {
        let Some(under_way) = &mut self.places[place as usize].under_way else { return };
        self.due.remove(&(under_way.due, place));
        under_way.due = due;
        self.due.insert((due, place));
    }

    /// Between nine and eleven tenths of it.
    fn jittered(&mut self, span: Duration) -> Duration {
        let fifth = u64::try_from(span.as_nanos() / 5).unwrap_or(u64::MAX);
        let drawn = (u128::from(fifth) * u128::from(self.random.next_u32())) >> 32;
        span * 9 / 10 + Duration::from_nanos(drawn as u64)
    }
}

/// How many transmissions may be outstanding at once.
pub fn transmissions_max(configuration: &Configuration, worker: WorkerId) -> usize {
    let sends = configuration.accounting.spool.filter(|_| worker == SPOOL_SENDER);
    let of_each = sends.map_or(0, |spool| spool.outstanding_max as usize * TRANSMISSIONS_MAX);
    of_each * configuration.pools.len()
}

impl Worker {
    /// Writes a request that goes on into the spool, or ends it.
    pub(super) fn spool(
        &mut self,
        network: NetworkId,
        request: Request,
        goes_on: &GoesOn,
        taken_up: Instant,
        now: Instant,
    ) {
        if let Err(reason) = self.write_spooled(&request, goes_on, now) {
            return self.discard(network, request, reason, now);
        }
        let Worker { spooling, held, counters, .. } = self;
        let ticket = spooling.records.ticket(held, counters);
        let waiting = Waiting::Record { rule: goes_on.rule, then: None, is_spooled: true };
        self.hold(ticket, Held { network, request, waiting, taken_up });
        let full = self.spooling.records.take_full();
        self.effects.extend(full.map(|(ticket, batch)| (ticket, Effect::Spool(batch))));
    }

    fn write_spooled(&mut self, request: &Request, goes_on: &GoesOn, now: Instant) -> Result<(), Discard> {
        if self.notes_loop(request, now) {
            return Err(Discard::ForwardLoop);
        }
        let Worker { generations, desk, spooling, .. } = self;
        let (stamp, framed) = (request.stamp(), request.framed());
        let configuration = generations.of(stamp.generation);
        let key = spooling.key.as_ref().ok_or(Discard::NotSpooled)?;
        let To::Pool(pool) = goes_on.to else { unreachable!("accounting has no conversations") };
        let Desk { edited, session, scratch, packet, .. } = desk;
        session.clear();
        let attributes = edited_again(configuration, request, goes_on, edited, session, scratch)?;
        let client = request.whose().client(&configuration.clients);
        let mut name = [0; AUTHENTICATOR_OCTETS];
        spooling.random.fill_bytes(&mut name);
        let outbound = Outbound {
            dictionary: &configuration.dictionary,
            received: framed,
            attributes,
            set: goes_on.edits[0].as_ref().map_or(&NOTHING, |edits| &edits.request.set),
            client_secret: client.secrets.get(stamp.secret_index).expect("the secret that verified is there"),
            secret: &secret_of(key, &name),
            identifier: 0,
            authenticator: name,
            salt: (spooling.random.next_u32() >> 16) as u16,
            proxy_state: None,
        };
        outbound.write(scratch, packet)?;
        if packet.len() + ADDED_OCTETS > PACKET_OCTETS_MAX {
            return Err(Discard::ForwardTooLong);
        }
        // That of accounting is computed for each hop; a name stands in its place.
        packet[HEADER_OCTETS - AUTHENTICATOR_OCTETS..HEADER_OCTETS].copy_from_slice(&name);
        spooling.records.add_spooled(&SpoolRecord {
            received: goes_on.time,
            pool: &configuration.pool(pool).name,
            client: &client.name,
            digest: event_digest(&client.name, &framed),
            packet,
        });
        Ok(())
    }

    /// The spool is there.
    pub(super) fn handle_spool_key(&mut self, ticket: Ticket, key: Arc<Secret>) {
        if ticket.life == self.life() {
            self.spooling.key = Some(key);
        }
    }

    /// A record is to be sent, until it is answered.
    pub(super) fn handle_spooled(&mut self, ticket: Ticket, spooled: Spooled, now: Instant) {
        if ticket.life != self.life() {
            // The core that this one has succeeded had it. It is handed out again.
            return;
        }
        let Spooled { name, received, pool, packet, is_again } = spooled;
        let transmissions = Vec::with_capacity(TRANSMISSIONS_MAX);
        let (wait, left) = if is_again { (Some(LONGEST), SENT_AGAIN) } else { (None, SENT_FIRST) };
        let (due, is_unwritable) = (now, false);
        let under_way =
            UnderWay { name, received, pool, packet, wait, due, left, is_unwritable, transmissions };
        let place = self.spooling.free.pop().unwrap_or(self.spooling.places.len() as u32);
        if place as usize == self.spooling.places.len() {
            self.spooling.places.push(Place::default());
        }
        self.spooling.places[place as usize].under_way = Some(under_way);
        self.spooling.due.insert((now, place));
        self.counters.spool_under_way.set(self.spooling.all_under_way() as u64);
    }

    /// Sends what it is time for.
    pub(super) fn handle_spool_timeout(&mut self, now: Instant) {
        for _ in 0..SENT_EACH_TURN {
            let Some((_, place)) = self.spooling.due.first().filter(|(due, _)| *due <= now) else { break };
            let place = *place;
            if self.spooling.under_way(place).is_some_and(|record| record.left == 0) {
                self.put_spooled_back(place, now);
                continue;
            }
            let wait = match self.send_spooled(place, now) {
                Ok(()) if seeded::is(Bug::SpooledForgottenWhenSent) => {
                    let generation = self.spooling.places[place as usize].generation;
                    self.handle_spooled_answered(SpoolTicket { place, generation }, now);
                    continue;
                }
                Ok(()) if seeded::is(Bug::SpooledNeverSentAgain) => Duration::from_secs(1 << 30),
                Ok(()) => self.next_wait(place),
                Err(why) => {
                    self.counters.spool_waits.up();
                    match why {
                        NotNow::PoolUnknown => self.tell_of_pool(place, now),
                        NotNow::NoServer => {}
                        NotNow::Unwritable => self.tell_of_unwritable(place, now),
                    }
                    self.spooling.jittered(INITIAL)
                }
            };
            self.spooling.set_due(place, now + wait);
        }
        self.note_forwarding(now);
    }

    // Checklist 40
    /// RFC 5080 §2.2.1: RT = IRT + RAND·IRT, then 2·RT + RAND·RT, and MRT + RAND·MRT where that would pass MRT. For accounting MRC
    /// and MRD are 0: until it is answered.
    fn next_wait(&mut self, place: u32) -> Duration {
        let before = self.spooling.under_way(place).and_then(|record| record.wait);
        let wait = match before {
            None => self.spooling.jittered(INITIAL),
            Some(before) => before + self.spooling.jittered(before),
        };
        let wait = if wait > LONGEST { self.spooling.jittered(LONGEST) } else { wait };
        if let Some(record) = &mut self.spooling.places[place as usize].under_way {
            record.wait = Some(wait);
        }
        wait
    }

    /// Sends a record once, as a packet that never was before.
    fn send_spooled(&mut self, place: u32, now: Instant) -> Result<(), NotNow> {
        let Worker { generations, forwarding, spooling, desk, counters, time, .. } = self;
        let Place { generation: turn, under_way: Some(record) } = &mut spooling.places[place as usize] else {
            unreachable!("what is due is under way")
        };
        let ticket = SpoolTicket { place, generation: *turn };
        let key = spooling.key.as_ref().expect("the key comes before any record");
        let (generation, configuration) = generations.newest();
        let pool = configuration.pools.iter().position(|pool| *pool.name == *record.pool);
        let id = PoolId(pool.ok_or(NotNow::PoolUnknown)? as u16);
        let pool = configuration.pool(id);
        let received = Framed::parse(&record.packet).expect("what is spooled is a packet");
        let Desk { edited, scratch, random, packet, .. } = desk;
        let edited = &mut edited[0];
        edited.clear();
        let waited = time.0.saturating_sub(record.received.0);
        raise_delay(received.attributes(), if seeded::is(Bug::DelayNotRaised) { 0 } else { waited }, edited);
        let attributes = Attributes::framed(edited);
        let dictionary = &configuration.dictionary;
        // RFC 5080 §2.2.1: as long as it may live it is asked again.
        let is_there = |server: &KeptServer| {
            let number = forwarding.number(*server, generation);
            number.is_some_and(|number| pool.members.iter().any(|member| member.server == number))
                && forwarding.is_well(*server, generation, now)
        };
        let last = record.transmissions.last().map(|last| last.server).filter(is_there);
        let server = match last {
            Some(server) => server,
            None => forwarding
                .choose(generation, (id, pool), dictionary, attributes, scratch, now)
                .ok_or(NotNow::NoServer)?,
        };
        let slot = forwarding.take(server.place, Purpose::Spooled, now).ok_or(NotNow::NoServer)?;
        let mut authenticator = [0; AUTHENTICATOR_OCTETS];
        random.fill_bytes(&mut authenticator);
        let own = forwarding.next_proxy_state();
        let outbound = Outbound {
            dictionary,
            received,
            attributes,
            set: &NOTHING,
            client_secret: &secret_of(key, &record.name.0),
            secret: &forwarding.remote(server.place).server.secret,
            identifier: slot.identifier,
            authenticator,
            salt: (random.next_u32() >> 16) as u16,
            proxy_state: Some(own),
        };
        let written = outbound.write(scratch, packet).map_err(|_| NotNow::Unwritable);
        let copied = written.and_then(|_| forwarding.copied(packet).ok_or(NotNow::NoServer));
        let copied = copied.inspect_err(|_| forwarding.give_back(server.place, slot))?;
        // An Identifier of before that has come back to it waits for the new packet alone.
        record.transmissions.retain(|before| (before.server, before.slot) != (server, slot));
        if record.transmissions.len() == TRANSMISSIONS_MAX {
            let oldest = record.transmissions.remove(0);
            forwarding.give_up(oldest.server, oldest.slot, Whose::Spooled(ticket), now);
        }
        record.transmissions.push(Transmission { server, slot, sent: now });
        record.left -= 1;
        let until = now + configuration.protocol.request_timeout;
        forwarding.send(server.place, slot, Whose::Spooled(ticket), copied, (until, now));
        counters.spool_sent.up();
        Ok(())
    }

    /// A remote server has it: it is not sent again.
    pub(super) fn handle_spooled_answered(&mut self, ticket: SpoolTicket, now: Instant) {
        let Some(record) = self.end_spooled(ticket, now) else {
            // Another transmission of it was answered before.
            return self.counters.remote_replies_late.up();
        };
        self.spooling.answered.push(record.name);
        self.counters.spool_answered.up();
    }

    /// A record has been sent often enough for now.
    fn put_spooled_back(&mut self, place: u32, now: Instant) {
        let generation = self.spooling.places[place as usize].generation;
        let Some(record) = self.end_spooled(SpoolTicket { place, generation }, now) else { return };
        let (generation, _) = self.generations.newest();
        // A server that had this one for longer than it may say nothing, and is alive, has answered others since.
        let Worker { forwarding, .. } = self;
        let answers_others = |Transmission { server, sent, .. }: &Transmission| {
            forwarding.is_well(*server, generation, now)
                && *sent + forwarding.remote(server.place).server.response_window <= now
        };
        let may_be_overtaken = record.is_unwritable || record.transmissions.iter().any(answers_others);
        self.spooling.put_back.push_back((record.name, may_be_overtaken));
        self.counters.spool_put_back.up();
    }

    /// A record is under way no longer; `None`: it was not.
    fn end_spooled(&mut self, ticket: SpoolTicket, now: Instant) -> Option<UnderWay> {
        let Worker { forwarding, spooling, counters, .. } = self;
        let place = &mut spooling.places[ticket.place as usize];
        if place.generation != ticket.generation {
            return None;
        }
        let record = place.under_way.take()?;
        place.generation = place.generation.wrapping_add(1);
        for Transmission { server, slot, .. } in &record.transmissions {
            forwarding.give_up(*server, *slot, Whose::Spooled(ticket), now);
        }
        spooling.due.remove(&(record.due, ticket.place));
        spooling.free.push(ticket.place);
        counters.spool_under_way.set(spooling.all_under_way() as u64);
        Some(record)
    }

    /// Others get their turn, those of its session as well: it waits for another configuration.
    fn tell_of_unwritable(&mut self, place: u32, now: Instant) {
        let Some(record) = &mut self.spooling.places[place as usize].under_way else { return };
        (record.left, record.is_unwritable) = (0, true);
        let (name, pool) = (record.name, ShortName::new(record.pool.as_bytes()));
        let unwritable = &mut self.spooling.unwritable;
        if unwritable.len() < UNWRITABLE_TOLD_MAX && unwritable.insert(name) {
            self.tell(Event::SpoolRecordUnwritable { at: now, record: name, pool });
        }
    }

    fn tell_of_pool(&mut self, place: u32, now: Instant) {
        let Some(record) = self.spooling.under_way(place) else { return };
        let pool = Arc::clone(&record.pool);
        if self.spooling.unknown_pools.insert(Arc::clone(&pool)) {
            self.tell(Event::SpoolPoolUnknown { at: now, pool: ShortName::new(pool.as_bytes()) });
        }
    }
}

impl Spooling {
    fn under_way(&self, place: u32) -> Option<&UnderWay> {
        self.places[place as usize].under_way.as_ref()
    }

    /// How many are.
    fn all_under_way(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// What hides the values of one record: no two are hidden alike.
fn secret_of(key: &Secret, name: &[u8; AUTHENTICATOR_OCTETS]) -> Secret {
    Secret::new(&key.mark(name)).expect("it has octets")
}

/// RFC 5080 §2.2.1: IRT and MRT.
const INITIAL: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(16);
/// RFC 5080 §2.2.1: MRC. So often a record is sent till others get their turn.
const SENT_FIRST: u32 = 5;
/// The same of one that comes again.
const SENT_AGAIN: u32 = 2;
/// Transmissions of a record that may be answered.
const TRANSMISSIONS_MAX: usize = 4;
/// So many records that cannot be written are told of: one change of a dictionary may leave thousands.
const UNWRITABLE_TOLD_MAX: usize = 16;
/// So that no turn is long.
const SENT_EACH_TURN: usize = 64;
/// What a transmission may have that the record has not: Acct-Delay-Time and our Proxy-State.
const ADDED_OCTETS: usize = 6 + 2 + PROXY_STATE_OCTETS;
