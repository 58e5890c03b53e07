//! Who sends a packet where client rules decide: the client of its connection, or a stranger about whom a worker is asked.
//!
//! A packet that fails changes nothing here: the connection stays its client's, heard last when it was. A signed one that fails may be
//! another's who has the connection now, as NATs give a port to whom they like; so the worker is asked, and the connection
//! changes hands only with a packet that verifies under another's secret. What the client before had under way, and its replies,
//! stay known by its name: nobody else gets them, and its own retransmissions from elsewhere do.

use super::{Answer, Network, fingerprint};
use crate::client::{Admission, DynamicClient, Sighting, Whom, Whose};
use crate::configuration::Configuration;
use crate::dedup::{Authenticator, Seen};
use crate::discard::Discard;
use crate::event::Event;
use crate::packet::{Code, Framed, Landmark, SecretIndex};
use crate::path::{NetworkId, Path, Peer, WorkerId};
use crate::queue::message::Message;
use crate::request::class::Class;
use crate::request::{Previous, Stamp, Stranger, Stray};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::sync::Arc;

/// Who sends what comes by a path.
pub(super) enum Standing {
    /// This client; a dynamic one by the connection of this place.
    Known(Whose, Option<u32>),
    /// Nobody that is known, or one whose time is over.
    Stranger(Option<Previous>),
    /// Nobody, and nobody is to be asked.
    Nobody,
}

impl Network {
    pub(super) fn standing(&mut self, path: &Path, now: Instant) -> Standing {
        if let Some(id) = path.stream() {
            return self.standing_on_stream(id, path, now);
        }
        let address = path.remote.ip();
        let place = self.connections.find(path);
        if let Some(place) = place {
            let generation = self.generation;
            let connection = self.connections.at(place);
            let client = Arc::clone(connection.client());
            let is_checked = connection.checked == generation || {
                let clients = &self.configuration.clients;
                self.configuration.client_rules.decide(clients, address) == Whom::Rules
            };
            if is_checked {
                let connection = self.connections.at(place);
                connection.checked = generation;
                if !connection.is_over(now) {
                    return Standing::Known(Whose::Dynamic(client), Some(place));
                }
                // Whoever speaks next is asked about; nothing that lives is kept from its place.
                self.end_connection(place);
                return Standing::Stranger(Some(Previous { client, has_failed: false }));
            }
            // The address is a configured client's now, or nobody's.
            self.end_connection(place);
        }
        match self.configuration.client_rules.decide(&self.configuration.clients, address) {
            Whom::Configured(client) => Standing::Known(Whose::Configured(client), None),
            Whom::Rules => Standing::Stranger(None),
            Whom::Nobody => Standing::Nobody,
        }
    }

    /// Asks the worker of its address whose a packet is.
    pub(super) fn ask(
        &mut self,
        path: Path,
        framed: Framed<'_>,
        previous: Option<Previous>,
        received: Instant,
        now: Instant,
    ) -> Result<(), Discard> {
        if !is_signed(&framed) {
            return Err(Discard::UnsignedStranger);
        }
        let address = path.remote.ip().to_canonical();
        let pace = self.slots.hash_of(address) as usize % self.paces.len();
        // Each thread has its share.
        let networks = self.configuration.network_cores() as u32;
        let per_second = self.configuration.client_rules.unverified_per_second.div_ceil(networks);
        if !self.paces[pace].passes(per_second, now) {
            return Err(Discard::StrangersTooFast);
        }
        let worker = self.slots.owners().owner(self.slots.of_address(address));
        if !self.lanes[worker].may_have_stranger() {
            return Err(Discard::StrangersFull);
        }
        let buffer = self.buffers.take(framed.octets().len()).ok_or(Discard::NoBuffer)?;
        self.lanes[worker].put_in_line(Stranger::new(path, framed, previous, buffer, received));
        self.send_strangers(worker);
        self.ask_on_stream(&path);
        self.counters.strangers_asked.up();
        self.counters.strangers.up();
        self.lazy_sweep.get_or_insert(now + super::LAZY_SWEEP);
        Ok(())
    }

    /// As many of those who wait go to their worker as there is room for.
    pub(super) fn send_strangers(&mut self, worker: WorkerId) {
        while let Some(stranger) = self.lanes[worker].next_stranger() {
            self.send(worker, Message::Stranger(stranger));
        }
    }

    /// Gives up those who have waited in line for too long: where a worker is slow they would be admitted minutes after their packet had
    /// come, when their NAT may have given the port to somebody else, and be answered never.
    ///
    /// A new request has half of the time that it may wait in all, so that it is not too old when its client is found. What is not sent
    /// again soon, as by a stream, or is shed last has as long as any request.
    pub(super) fn give_up_strangers(&mut self, now: Instant) {
        if self.counters.strangers.value() == 0 {
            return;
        }
        let protocol = &self.configuration.protocol;
        let (new, any) = (protocol.new_request_wait_max / 2, protocol.request_timeout);
        let may_wait = |stranger: &Stranger| match Class::of(&stranger.framed()) {
            Class::New if stranger.path().stream().is_none() => new,
            Class::New | Class::Accounting | Class::Ongoing => any,
        };
        loop {
            let late = self.lanes.iter_mut().find_map(|(_, lane)| lane.give_up_stranger(may_wait, now));
            let Some(stranger) = late else { break };
            self.counters.strangers.down();
            self.refuse(stranger, Discard::StrangerWaited, now);
        }
        self.note();
    }

    /// No: nobody is admitted by it.
    pub(super) fn refuse(&mut self, stranger: Stranger, reason: Discard, now: Instant) {
        let path = stranger.path();
        self.buffers.give_back(stranger.into_buffer());
        match path.stream() {
            Some(id) => self.refuse_on_stream(id, &path, reason, now),
            None => self.discard(path.remote, reason, now),
        }
    }

    /// A packet that has failed under the client whose it should be, for this reason. Another may have its connection now.
    pub(super) fn take_unverified(
        &mut self,
        path: Path,
        framed: Framed<'_>,
        whose: Whose,
        reason: Discard,
        received: Instant,
        now: Instant,
    ) -> Result<(), Discard> {
        let Whose::Dynamic(client) = whose else { return Err(reason) };
        // A stream changes no hands.
        if path.stream().is_some() {
            return Err(reason);
        }
        if seeded::is(Bug::ForgedPacketKeepsAlive)
            && let Some(place) = self.connections.find(&path)
        {
            self.connections.at(place).hear(now);
        }
        if is_signed(&framed) {
            return self.ask(path, framed, Some(Previous { client, has_failed: true }), received, now);
        }
        if !client.is_behind_nat() {
            return Err(reason);
        }
        if client.is_first_unsigned() {
            self.tell(Event::UnsignedBehindNat { at: now, remote: path.remote, client: client.name() });
        }
        Err(Discard::UnsignedBehindNat)
    }

    /// Whether a signed request of a dynamic client's is to be taken of which dedup knows nothing. Only those that verify and are
    /// no duplicates count against its pace, so that nobody else makes a client too fast.
    ///
    /// One that was taken before may be a late retransmission. But it never takes the place of another request, and has a pace of
    /// its own; or whoever has recorded a client's requests could.
    pub(super) fn weigh(
        &self,
        client: &DynamicClient,
        fingerprint: &Authenticator,
        is_superseding: bool,
        now: Instant,
    ) -> Result<(), Discard> {
        let sighting = self.configuration.client_rules.sightings().look_up(fingerprint);
        // What has just admitted its client has no place yet, and is new.
        let Some(Sighting { place: Some(_), .. }) = sighting else {
            return if client.passes(now) { Ok(()) } else { Err(Discard::ClientTooFast) };
        };
        if is_superseding || !client.repeats(now) { Err(Discard::Replayed) } else { Ok(()) }
    }

    /// The same of a Status-Server, which has no place in dedup: one that was seen costs no pace.
    pub(super) fn weigh_status(
        &self,
        framed: &Framed<'_>,
        client: &DynamicClient,
        secret: SecretIndex,
        now: Instant,
    ) -> Result<(), Discard> {
        let fingerprint = fingerprint(framed, client.mark(Some(secret)));
        let sightings = self.configuration.client_rules.sightings();
        if sightings.look_up(&fingerprint).is_some() {
            return Ok(());
        }
        if !client.passes(now) {
            return Err(Discard::ClientTooFast);
        }
        sightings.note(&fingerprint, Sighting { network: self.id, place: None });
        Ok(())
    }

    /// A request of a client that is known on its connection, and of which that connection knows nothing: what becomes of it, if it
    /// was taken on another one. A NAS retransmits from wherever its NAT has moved it, also to where it is known; policy is
    /// not run again for that, and no record stored twice.
    pub(super) fn taken_elsewhere(
        &mut self,
        framed: &Framed<'_>,
        stamp: &Stamp,
        whose: &Whose,
        fingerprint: &Authenticator,
        now: Instant,
    ) -> Option<Result<(), Discard>> {
        let (Whose::Dynamic(client), path) = (whose, stamp.path) else { return None };
        // RFC 6613 §2.6.1: by a stream it is sent again because another has ended, and with that all that was known of it.
        if !stamp.signed || path.stream().is_some() || seeded::is(Bug::KnownConnectionDecidesAgain) {
            return None;
        }
        // Without a place it is the one that has just admitted its client.
        let sighting = self.configuration.client_rules.sightings.as_ref()?.look_up(fingerprint)?;
        let place = sighting.place?;
        if sighting.network == self.id {
            return match self.dedup.look_at(place, fingerprint) {
                // Known no longer, on this connection or another: a late one.
                Seen::Fresh | Seen::Superseding(..) => None,
                seen @ (Seen::InProgress(..) | Seen::Delayed | Seen::Answered(_)) => {
                    Some(self.answer_taken(seen, path, now))
                }
            };
        }
        let Some(buffer) = self.buffers.take(framed.octets().len()) else {
            return Some(Err(Discard::NoBuffer));
        };
        let previous = Previous { client: Arc::clone(client), has_failed: false };
        let stranger = Stranger::new(path, *framed, Some(previous), buffer, stamp.received);
        self.find_reply(stranger.seen_before(sighting, client), now);
        Some(Ok(()))
    }

    /// The answer to a request that was taken on another connection of its client's.
    pub(super) fn answer_taken(&mut self, seen: Seen, path: Path, now: Instant) -> Result<(), Discard> {
        match seen {
            Seen::Answered(handle) if self.dedup.reply(handle).is_some() => {
                self.answer_by(&path, Answer::Kept(handle, path), now)?;
                self.counters.duplicates_resent.up();
                Ok(())
            }
            Seen::Answered(_) => Err(Discard::ReplyNotKept),
            // A worker has it: its next retransmission finds the reply.
            Seen::InProgress(..) | Seen::Delayed => {
                self.counters.duplicates_in_progress.up();
                Ok(())
            }
            Seen::Fresh | Seen::Superseding(..) => Err(Discard::Replayed),
        }
    }

    /// A stranger's packet that a worker has decided about, unless a predecessor of this core had asked.
    pub(super) fn answered(&mut self, worker: WorkerId, stranger: Stranger) -> Option<Stranger> {
        self.lanes[worker].end_strangers(1);
        if stranger.life() != self.life() {
            self.buffers.give_back(stranger.into_buffer());
            return None;
        }
        self.counters.strangers.down();
        Some(stranger)
    }

    /// Yes, add this client. Its packet goes on from there.
    pub(super) fn admit(&mut self, stranger: Stranger, admission: Admission, now: Instant) {
        let path = stranger.path();
        if let Some(id) = path.stream() {
            return self.admit_on_stream(id, stranger, admission, now);
        }
        let Configuration { client_rules, clients, .. } = &*self.configuration;
        if client_rules.decide(clients, path.remote.ip()) != Whom::Rules {
            // A reload has given the address to somebody else while its worker decided.
            self.forget_admitted(&stranger, admission.client());
            self.discard(path.remote, Discard::NoClientRule, now);
            return self.buffers.give_back(stranger.into_buffer());
        }
        let client = Arc::clone(admission.client());
        let before = self.connections.find(&path).map(|place| self.connections.at(place).client());
        let is_others = before.is_some_and(|before| before.mark(None) != client.mark(None));
        let admitted = self.connections.admit(&path, admission, self.generation, now);
        let entered = match admitted {
            Ok(place) => {
                self.order_socket(place, &path);
                self.counters.connections_admitted.up();
                self.counters.connections.set(self.connections.count() as u64);
                if is_others {
                    self.counters.connections_taken_over.up();
                }
                self.tell(Event::Admitted { at: now, remote: path.remote, client: client.name(), is_others });
                self.enter(path, stranger.framed(), stranger.received(), now)
            }
            Err(_) => Err(Discard::ConnectionsFull),
        };
        if let Err(reason) = entered {
            self.forget_admitted(&stranger, &client);
            self.discard(path.remote, reason, now);
        }
        self.buffers.give_back(stranger.into_buffer());
    }

    /// A packet that has admitted its client was not taken: its retransmission is no replay.
    pub(super) fn forget_admitted(&self, stranger: &Stranger, client: &DynamicClient) {
        let framed = stranger.framed();
        for (index, _) in client.client().secrets.iter() {
            self.forget_sighting(&fingerprint(&framed, client.mark(Some(index))));
        }
    }

    /// A request has ended without an answer: wherever it comes from next, it starts anew.
    pub(super) fn forget_sighting(&self, told_by: &Authenticator) {
        if let Some(sightings) = &self.configuration.client_rules.sightings {
            sightings.forget(told_by);
        }
    }

    /// A request that was seen before, on another connection of the same client: who took it there has its reply.
    pub(super) fn find_reply(&mut self, stranger: Stranger, now: Instant) {
        let Sighting { network, .. } = stranger.sighting();
        if network == self.id {
            self.resend(&stranger, now);
            return self.buffers.give_back(stranger.into_buffer());
        }
        let out = &mut self.strays_out[usize::from(network.0)];
        if *out >= self.strays_max {
            self.discard(stranger.path().remote, Discard::StrayRingFull, now);
            return self.buffers.give_back(stranger.into_buffer());
        }
        *out += 1;
        self.counters.strays_sent.up();
        self.outgoing.push_back((Peer::Network(network), Message::Retransmission(stranger.into_stray())));
    }

    /// One that another network core was asked about, and that this core took.
    pub(super) fn take_retransmission(&mut self, from: NetworkId, stray: Stray, now: Instant) {
        self.counters.received.up();
        self.counters.strays_taken.up();
        let stranger = stray.as_stranger();
        self.resend(&stranger, now);
        self.outgoing.push_back((Peer::Network(from), Message::StrayBuffer(stranger.into_buffer())));
    }

    /// A request of a client that this core took on another connection: the same reply goes to where it came from now.
    fn resend(&mut self, stranger: &Stranger, now: Instant) {
        let (path, framed) = (stranger.path(), stranger.framed());
        let client = stranger.previous().expect("whoever has seen it knows whose it is");
        let secrets = &client.client().secrets;
        let seen = stranger.sighting().place.and_then(|place| {
            let mut seen = secrets
                .iter()
                .map(|(index, _)| self.dedup.look_at(place, &fingerprint(&framed, client.mark(Some(index)))));
            seen.find(|seen| !matches!(seen, Seen::Fresh | Seen::Superseding(..)))
        });
        let decided = match (seen, stranger.sighting().place) {
            (Some(seen), _) => self.answer_taken(seen, path, now),
            // Just admitted, if its core could take it.
            (None, None) => {
                self.counters.duplicates_in_progress.up();
                Ok(())
            }
            (None, Some(_)) => Err(Discard::Replayed),
        };
        if let Err(reason) = decided {
            self.discard(path.remote, reason, now);
        }
    }

    /// Ends connections whose time is over.
    pub(super) fn end_connections(&mut self, now: Instant) {
        let mut budget = super::EXPIRIES_EACH_TURN;
        while let Some(ended) = self.connections.expire(now, &mut budget) {
            self.order_close(ended.own_socket);
        }
        self.counters.connections.set(self.connections.count() as u64);
    }

    fn end_connection(&mut self, place: u32) {
        let ended = self.connections.end(place);
        self.order_close(ended.own_socket);
        self.counters.connections.set(self.connections.count() as u64);
    }
}

/// Whether there is something in a packet that can be verified.
fn is_signed(framed: &Framed<'_>) -> bool {
    framed.code() == Some(Code::AccountingRequest)
        || seeded::is(Bug::UnsignedPacketAdmits)
        || framed.layout().has(Landmark::MessageAuthenticator)
}
