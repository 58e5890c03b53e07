//! A datagram's way to its worker, or to its discard by name.

use super::route::Route;
use super::stranger::Standing;
use super::{ASIDE_MAX, Answer, Aside, LAZY_SWEEP, Network, fingerprint};
use crate::client::{Sighting, Whose};
use crate::configuration::Packets;
use crate::dedup::{Authenticator, Key, Seen};
use crate::discard::Discard;
use crate::event::Event;
use crate::packet::{Code, Framed, SecretIndex, Verified};
use crate::path::{NetworkId, Path, Peer, WorkerId};
use crate::queue::message::Message;
use crate::request::buffer::{BufferPool, LARGE_OCTETS};
use crate::request::class::Class;
use crate::request::{Request, RequestHandle, Stamp, Stray};
use crate::seeded::{self, Bug};
use crate::time::Instant;

impl Network {
    /// A datagram from one of this thread's sockets.
    pub fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        let owner = self.owners.owner(path.remote);
        if owner == self.id {
            self.take(path, octets, now);
        } else {
            self.pass_on(owner, path, octets, now);
        }
    }

    /// Decides about the duplicate that was put aside first, now that its worker's ring has been swept.
    pub fn handle_swept(&mut self, now: Instant) {
        let Some(Aside { duplicate, .. }) = self.aside.pop_front() else { return };
        let facts = self.facts(&duplicate.framed(), duplicate.stamp(), duplicate.whose().clone());
        let remote = facts.stamp.path.remote;
        let mut duplicate = Some(duplicate);
        let decided = match self.dedup.look_up(&facts.key, &facts.fingerprint) {
            Seen::InProgress(handle, worker) => {
                self.tell_of_duplicate(handle, worker);
                Ok(())
            }
            // A newer request has taken its Identifier while it was aside: it must not take it back.
            Seen::Superseding(..) => {
                self.counters.duplicates_in_progress.up();
                Ok(())
            }
            // Its stream has ended while it was aside, and with that all that was known of the request.
            Seen::Fresh if self.is_stream_gone(&facts.stamp.path) => {
                self.counters.duplicates_in_progress.up();
                Ok(())
            }
            seen @ (Seen::Fresh | Seen::Delayed | Seen::Answered(_)) => {
                self.decide(seen, &facts, |_| duplicate.take(), now)
            }
        };
        if let Some(unused) = duplicate {
            self.buffers.give_back(unused.into_buffer());
        }
        if let Err(reason) = decided {
            self.discard(remote, reason, now);
        }
        self.note();
    }

    /// A datagram of ours that another thread read. Its buffer goes home.
    pub(super) fn take_stray(&mut self, from: NetworkId, stray: Stray, now: Instant) {
        self.counters.strays_taken.up();
        self.take(stray.path(), stray.octets(), now);
        self.outgoing.push_back((Peer::Network(from), Message::StrayBuffer(stray.into_buffer())));
    }

    fn pass_on(&mut self, owner: NetworkId, path: Path, octets: &[u8], now: Instant) {
        self.counters.received.up();
        // Padding beyond the longest packet is of no use to the owner.
        let octets = &octets[..octets.len().min(LARGE_OCTETS)];
        let out = &mut self.strays_out[usize::from(owner.0)];
        let reason = if *out >= self.strays_max {
            Discard::StrayRingFull
        } else if let Some(buffer) = self.buffers.take(octets.len()) {
            *out += 1;
            self.counters.strays_sent.up();
            self.lazy_sweep.get_or_insert(now + LAZY_SWEEP);
            self.outgoing.push_back((Peer::Network(owner), Message::Stray(Stray::new(path, octets, buffer))));
            self.note();
            return;
        } else {
            Discard::NoBuffer
        };
        self.discard(path.remote, reason, now);
    }

    fn take(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.counters.received.up();
        let framed = Framed::parse(octets).map_err(|error| error.discard());
        if let Err(reason) = framed.and_then(|framed| self.enter(path, framed, now, now)) {
            self.discard(path.remote, reason, now);
        }
        self.note();
    }

    /// A framed packet that was read at that time: who sent it, and what becomes of it.
    pub(super) fn enter(
        &mut self,
        path: Path,
        framed: Framed<'_>,
        received: Instant,
        now: Instant,
    ) -> Result<(), Discard> {
        let standing = self.standing(&path, now);
        if let Standing::Nobody = standing {
            return Err(Discard::UnknownClient);
        }
        let code = framed.code().ok_or(Discard::UnknownCode)?;
        let packets = self.configuration.listeners[usize::from(path.listener.0)].packets;
        match code {
            Code::AccessRequest if packets.contains(Packets::ACCESS) => {}
            Code::AccountingRequest if packets.contains(Packets::ACCOUNTING) => {}
            Code::StatusServer if packets.contains(Packets::STATUS) => {}
            Code::CoaRequest | Code::DisconnectRequest if packets.contains(Packets::COA) => {
                // RFC 5176 §6.1: from whom an operator has named. Who is admitted by rules proves that it knows a secret, no more.
                let Standing::Known(Whose::Configured(_), _) = standing else {
                    return Err(Discard::NoCoaClient);
                };
            }
            // What this listener does not take; and replies.
            Code::AccessRequest
            | Code::AccountingRequest
            | Code::StatusServer
            | Code::AccessAccept
            | Code::AccessReject
            | Code::AccessChallenge
            | Code::AccountingResponse
            | Code::StatusClient
            | Code::DisconnectRequest
            | Code::DisconnectAck
            | Code::DisconnectNak
            | Code::CoaRequest
            | Code::CoaAck
            | Code::CoaNak
            | Code::ProtocolError => return Err(Discard::UnexpectedCode),
        }
        let (whose, connection) = match standing {
            Standing::Known(whose, connection) => (whose, connection),
            Standing::Stranger(previous) => return self.ask(path, framed, previous, received, now),
            Standing::Nobody => unreachable!("discarded above"),
        };
        if code != Code::StatusServer || seeded::is(Bug::StatusServerShed) {
            self.check_room_unverified(&path, &framed, &whose)?;
        }
        let client = whose.client(&self.configuration.clients);
        let verified = match framed.verify_request(&client.secrets, client.requirements()) {
            Ok(verified) => verified,
            Err(error) => return self.take_unverified(path, framed, whose, error.discard(), received, now),
        };
        if let Some(place) = connection
            && verified.signed()
        {
            self.connections.at(place).hear(now);
        }
        if verified.secret_index() != SecretIndex::NEWEST {
            self.counters.verified_by_old_secret.up();
            if verified.signed() && whose.note_old_secret(&self.configuration.clients) {
                self.counters.clients_by_old_secret.up();
                let (remote, generation, client) = (path.remote, self.generation, whose.for_event());
                self.tell(Event::OldSecret { at: now, remote, generation, client });
            }
        }
        let stamp = Stamp {
            handle: RequestHandle::NONE,
            path,
            generation: self.generation,
            secret_index: verified.secret_index(),
            signed: verified.signed(),
            received,
            may_be_elsewhere: false,
            is_untied: false,
        };
        if code == Code::StatusServer {
            // Never through dedup: the answer to the same octets is the same (RFC 5997 §4.2).
            if let Whose::Dynamic(client) = &whose {
                self.weigh_status(&framed, client, verified.secret_index(), now)?;
            }
            let answer = Answer::Status {
                stamp,
                whose,
                identifier: framed.identifier(),
                request_authenticator: *framed.authenticator(),
            };
            self.answer_by(&path, answer, now)?;
            self.counters.status_answered.up();
            return Ok(());
        }
        let facts = self.facts(&framed, &stamp, whose);
        let seen = self.dedup.look_up(&facts.key, &facts.fingerprint);
        if let Seen::Fresh | Seen::Superseding(..) = seen
            && let Some(taken) = self.taken_elsewhere(&framed, &stamp, &facts.whose, &facts.fingerprint, now)
        {
            return taken;
        }
        match seen {
            Seen::InProgress(_, worker) => self.put_aside(worker, &verified, &facts),
            seen @ (Seen::Fresh | Seen::Delayed | Seen::Answered(_) | Seen::Superseding(..)) => self.decide(
                seen,
                &facts,
                |buffers| Request::copied(&verified, stamp, &facts.whose, buffers),
                now,
            ),
        }
    }

    fn facts(&self, framed: &Framed<'_>, stamp: &Stamp, whose: Whose) -> Facts {
        let clients = &self.generations.of(stamp.generation).clients;
        // Nothing tells which secret an unsigned request is under, nor under which it was answered.
        let secret = stamp.signed.then_some(stamp.secret_index);
        Facts {
            key: self.dedup.key(
                &stamp.path,
                framed.code_octet(),
                framed.identifier(),
                stamp.signed,
                whose.definition(),
            ),
            fingerprint: fingerprint(framed, whose.mark(clients, secret)),
            code: framed.code_octet(),
            identifier: framed.identifier(),
            class: Class::of(framed),
            route: self.route(framed, &whose, clients),
            stamp: *stamp,
            whose,
        }
    }

    /// Everything but a duplicate in progress. `request` is called only where the request is accepted.
    fn decide(
        &mut self,
        seen: Seen,
        facts: &Facts,
        request: impl FnOnce(&mut BufferPool) -> Option<Request>,
        now: Instant,
    ) -> Result<(), Discard> {
        match seen {
            Seen::Fresh => self.accept(facts, None, request, now),
            Seen::Superseding(handle, worker) => self.accept(facts, Some((handle, worker)), request, now),
            Seen::Delayed => {
                self.counters.duplicates_in_progress.up();
                Ok(())
            }
            Seen::Answered(handle) => {
                self.dedup.reply(handle).ok_or(Discard::ReplyNotKept)?;
                self.answer_by(&facts.stamp.path, Answer::Kept(handle, facts.stamp.path), now)?;
                self.counters.duplicates_resent.up();
                Ok(())
            }
            Seen::InProgress(..) => unreachable!("a duplicate in progress is put aside or told of"),
        }
    }

    fn accept(
        &mut self,
        facts: &Facts,
        superseded: Option<(RequestHandle, Option<WorkerId>)>,
        request: impl FnOnce(&mut BufferPool) -> Option<Request>,
        now: Instant,
    ) -> Result<(), Discard> {
        let worker = self.worker_for(facts.route);
        if let Err(reason) = self.lanes[worker].check(facts.class) {
            if seeded::is(Bug::RequestLeakedWhenDropped) {
                return Ok(());
            }
            if seeded::is(Bug::ShedRequestRemembered) {
                let handle = superseded.map(|(handle, _)| handle);
                let _ = self.dedup.begin(&facts.key, handle, &facts.fingerprint, worker);
            }
            return Err(reason);
        }
        if facts.stamp.signed
            && let Whose::Dynamic(client) = &facts.whose
        {
            self.weigh(client, &facts.fingerprint, superseded.is_some(), now)?;
        }
        let request = request(&mut self.buffers).ok_or(Discard::NoBuffer)?;
        let path = &facts.stamp.path;
        let handle = superseded.map(|(handle, _)| handle);
        let displaces = path.stream().is_some() && handle.is_some_and(|handle| self.dedup.is_open(handle));
        let Ok(handle) = self.dedup.begin(&facts.key, handle, &facts.fingerprint, worker) else {
            self.buffers.give_back(request.into_buffer());
            return Err(Discard::DedupFull);
        };
        if path.stream().is_some() {
            if displaces {
                self.leave_stream(path);
            }
            self.begin_on_stream(path, facts.code, facts.identifier, facts.stamp.signed);
        }
        let may_be_elsewhere = self.may_be_elsewhere(facts.route);
        let is_untied = matches!(facts.route, Route::To(_));
        let request = request.to_be_sent(handle, may_be_elsewhere, is_untied);
        let number = self.send(worker, Message::Request(request));
        let before = self.lanes[worker].begin_request();
        self.dedup.sent(handle, number, before);
        if facts.stamp.signed
            && let Whose::Dynamic(_) = facts.whose
        {
            let sighting = Sighting { network: self.id, place: Some(handle.entry) };
            self.configuration.client_rules.sightings().note(&facts.fingerprint, sighting);
        }
        if let Some((old, Some(old_worker))) = superseded {
            self.notify(old_worker, Message::Cancel(old));
        }
        self.counters.accepted.up();
        self.counters.in_progress.up();
        self.under_way[facts.stamp.generation.parity()] += 1;
        if !facts.stamp.signed {
            self.counters.accepted_unsigned.up();
        }
        self.lazy_sweep.get_or_insert(now + LAZY_SWEEP);
        Ok(())
    }

    fn put_aside(&mut self, worker: WorkerId, verified: &Verified<'_>, facts: &Facts) -> Result<(), Discard> {
        if self.aside.len() == ASIDE_MAX {
            return Err(Discard::NoBuffer);
        }
        let duplicate = Request::copied(verified, facts.stamp, &facts.whose, &mut self.buffers)
            .ok_or(Discard::NoBuffer)?;
        self.aside.push_back(Aside { worker, duplicate });
        Ok(())
    }

    fn tell_of_duplicate(&mut self, handle: RequestHandle, worker: WorkerId) {
        self.counters.duplicates_in_progress.up();
        let lane = &self.lanes[worker];
        let unread = self.dedup.last_message(handle).is_some_and(|number| lane.is_unread(*number));
        if unread {
            return;
        }
        if let Some(number) = self.notify(worker, Message::Duplicate(handle))
            && let Some(sent) = self.dedup.last_message(handle)
        {
            *sent = number;
        }
    }

    /// Sends a notice if there is room; a worker does the right thing without it, only later.
    pub(super) fn notify(&mut self, worker: WorkerId, notice: Message) -> Option<u64> {
        let number = self.lanes[worker].send();
        match number {
            Some(_) => self.outgoing.push_back((Peer::Worker(worker), notice)),
            None => self.counters.notices_dropped.up(),
        }
        number
    }

    pub(super) fn send(&mut self, worker: WorkerId, message: Message) -> u64 {
        let number = self.lanes[worker].send();
        self.outgoing.push_back((Peer::Worker(worker), message));
        number.expect("a request is accepted only where there is room for it")
    }
}

/// What decides about a verified request.
struct Facts {
    key: Key,
    fingerprint: Authenticator,
    code: u8,
    identifier: u8,
    class: Class,
    route: Route,
    stamp: Stamp,
    whose: Whose,
}
