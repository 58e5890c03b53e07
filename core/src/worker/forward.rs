//! A request that goes on to a remote server, and back: what happens in which order. What is known of servers is
//! [`Forwarding`](super::forwarding::Forwarding)'s, octets are [`Outbound`]'s and [`Inbound`](crate::forward::Inbound)'s. RFC 2865 §2.3, RFC 5080 §2.2.1.

use super::Worker;
use super::coa;
use super::forwarding::{Due, News, Said, Whose};
use super::in_progress::Held;
use super::onward::{Awaited, GoesOn, KeptServer, To};
use super::remote_reply::{edited_again, pass_on};
use super::request::{Desk, Known, Waiting, decided_by};
use crate::attributes::NOTHING;
use crate::configuration::Unroutable;
use crate::discard::Discard;
use crate::effect::{Effect, Resolved, Ticket};
use crate::event::{Event, Outcome};
use crate::forward::{OnDead, Outbound, Purpose, RemoteOrder, RemoteServer, RemoteSocket, Slot};
use crate::packet::hidden::Hop;
use crate::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, VerifiedReply};
use crate::path::{NetworkId, Transmit};
use crate::queue::message::Message;
use crate::request::{Request, RequestHandle};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::vec::Vec;
use rand_chacha::rand_core::Rng;

/// Why a request does not go on.
enum NoWay {
    /// It is answered here: Access-Reject, or NAK. Accounting is not answered, for this reason.
    Reject(Discard),
    /// Another server of the pool may know its conversation: it is decided as if it were new.
    Anew,
    /// It is not answered at all.
    Discard(Discard),
}

impl Worker {
    /// Forwards a request, which waits for its reply from here on; or ends it.
    pub(super) fn go_on(
        &mut self,
        network: NetworkId,
        request: Request,
        mut goes_on: GoesOn,
        taken_up: Instant,
        now: Instant,
    ) {
        let stamp = request.stamp();
        if stamp.is_untied && request.framed().code() == Some(Code::AccessRequest) {
            // Later rounds of it, should there be any, go to the owner of its slot.
            return self.complete(network, Message::Elsewhere(request));
        }
        let handle = stamp.handle;
        let configuration = self.generations.of(stamp.generation);
        let until = stamp.received + configuration.protocol.request_timeout;
        self.desk.decided = Some(decided_by(goes_on.rule, configuration, &request));
        self.desk.remote_server = None;
        if goes_on.is_spooled {
            return self.spool(network, request, &goes_on, taken_up, now);
        }
        match self.forward(&request, &goes_on, (until, now)) {
            Ok((server, slot, ticket)) => {
                if let Some(round) = goes_on.round {
                    self.begin_round(round, (network, handle), until);
                }
                let rule = goes_on.rule;
                let decision = self.decisions.keep(goes_on);
                let waiting = Waiting::Reply(Awaited { decision, rule, server, slot, ticket });
                self.hold(ticket, Held { network, request, waiting, taken_up });
            }
            Err(NoWay::Reject(reason) | NoWay::Discard(reason))
                if let Some(cause) = coa::cause_of(&request, reason) =>
            {
                self.refuse(network, request, cause, now);
            }
            Err(NoWay::Reject(reason)) => {
                if request.framed().code() == Some(Code::AccountingRequest)
                    && seeded::is(Bug::RecordWithoutAWayAcknowledged)
                {
                    let waiting = Waiting::Record { rule: goes_on.rule, then: None, is_spooled: false };
                    return self.acknowledge(network, request, &waiting, now);
                }
                let configuration = self.generations.of(request.stamp().generation);
                // RFC 2866 §4.1: an Accounting-Request that nobody has recorded is not acknowledged.
                if request.framed().code() != Some(Code::AccessRequest)
                    || configuration.protocol.unroutable == Unroutable::Discard
                {
                    return self.discard(network, request, reason, now);
                }
                self.load_session(goes_on.round);
                self.forget_round(&mut goes_on);
                self.decide(network, request, Known::NoWayOn(goes_on), taken_up, now);
            }
            Err(NoWay::Anew) => {
                self.forget_round(&mut goes_on);
                self.decide(network, request, Known::Nothing, taken_up, now);
            }
            Err(NoWay::Discard(reason)) => self.discard(network, request, reason, now),
        }
    }

    /// Whether a request has been here before, which is counted and told.
    pub(super) fn notes_loop(&mut self, request: &Request, now: Instant) -> bool {
        let is_loop = self.forwarding.proxy_states().is_loop(&request.framed());
        if is_loop {
            self.counters.loops.up();
            self.tell(Event::Loop { at: now, remote: request.stamp().path.remote });
        }
        is_loop
    }

    /// Sends a request to a server, whose reply it waits for until then.
    fn forward(
        &mut self,
        request: &Request,
        goes_on: &GoesOn,
        (until, now): (Instant, Instant),
    ) -> Result<(KeptServer, Slot, Ticket), NoWay> {
        self.load_session(goes_on.round);
        if self.notes_loop(request, now) {
            return Err(NoWay::Reject(Discard::ForwardLoop));
        }
        let Worker { generations, forwarding, decisions, desk, counters, held, .. } = self;
        let stamp = request.stamp();
        let framed = request.framed();
        let configuration = generations.of(stamp.generation);
        let Desk { edited, session, scratch, random, packet, .. } = desk;
        let attributes = edited_again(configuration, request, goes_on, edited, session, scratch)
            .map_err(NoWay::Discard)?;
        let server = match goes_on.to {
            To::Kept(_) if seeded::is(Bug::ServerChosenPerPacket) => return Err(NoWay::Anew),
            To::Kept(server) if forwarding.is_alive(server, stamp.generation, now) => server,
            To::Kept(KeptServer { on_dead: OnDead::Repick, .. }) => return Err(NoWay::Anew),
            To::Kept(_) if seeded::is(Bug::DeadServersConversationMoved) => return Err(NoWay::Anew),
            To::Kept(_) => {
                counters.no_server_alive.up();
                return Err(NoWay::Reject(Discard::NoServerAlive));
            }
            // What silent NASes leave waiting is not to take all the room.
            To::Nas(_) if decisions.to_nases() >= configuration.runtime.requests_max.div_ceil(4) => {
                return Err(NoWay::Discard(Discard::OutstandingFull));
            }
            To::Nas(nas) => forwarding.hop(stamp.generation, nas),
            To::Pool(id) => {
                let pool = configuration.pool(id);
                let (generation, dictionary) = (stamp.generation, &configuration.dictionary);
                let chosen = forwarding.choose(generation, (id, pool), dictionary, attributes, scratch, now);
                chosen.ok_or_else(|| {
                    counters.no_server_alive.up();
                    NoWay::Reject(Discard::NoServerAlive)
                })?
            }
        };
        let slot = forwarding.take(server.place, Purpose::Request, now);
        let slot = slot.ok_or(NoWay::Discard(Discard::OutstandingFull))?;
        let client = request.whose().client(&configuration.clients);
        let mut authenticator = [0; 16];
        random.fill_bytes(&mut authenticator);
        let outbound = Outbound {
            dictionary: &configuration.dictionary,
            received: framed,
            attributes,
            set: goes_on.edits[1]
                .as_ref()
                .or(goes_on.edits[0].as_ref())
                .map_or(&NOTHING, |edits| &edits.request.set),
            client_secret: client.secrets.get(stamp.secret_index).expect("the secret that verified is there"),
            identifier: slot.identifier,
            authenticator,
            salt: (random.next_u32() >> 16) as u16,
            proxy_state: Some(forwarding.next_proxy_state()),
            secret: &forwarding.remote(server.place).server.secret,
        };
        let written = outbound.write(scratch, packet);
        let copied = written.and_then(|_| forwarding.copied(packet).ok_or(Discard::NoBuffer));
        let copied = copied.map_err(|reason| {
            forwarding.give_back(server.place, slot);
            NoWay::Discard(reason)
        })?;
        let ticket = held.begin_effect();
        forwarding.send(server.place, slot, Whose::Request(ticket), copied, (until, now));
        counters.forwarded.up();
        counters.outstanding.set(forwarding.outstanding() as u64);
        Ok((server, slot, ticket))
    }

    /// The next order about a socket to a remote server.
    pub fn poll_remote_order(&mut self) -> Option<RemoteOrder> {
        self.forwarding.poll_order()
    }

    /// One packet for a remote server, into the caller's empty buffer.
    pub fn poll_forward(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.forwarding.poll_transmit(out)
    }

    /// A socket that was ordered could not be had: what was to be sent through it ends here.
    pub fn handle_remote_refused(&mut self, socket: RemoteSocket, now: Instant) {
        let mut orphans = Vec::new();
        self.forwarding.refuse(socket, |whose| orphans.push(whose));
        for whose in orphans {
            match whose {
                Whose::Request(ticket) => {
                    while let Some(Held { network, request, waiting, .. }) = self.held.take_answered(ticket) {
                        self.stop_waiting(&request, &waiting, now);
                        match coa::cause_of(&request, Discard::NoSocket) {
                            Some(cause) => self.refuse(network, request, cause, now),
                            None => self.discard(network, request, Discard::NoSocket, now),
                        }
                    }
                }
                // It is sent again in its time.
                Whose::Spooled(_) | Whose::Probe => {}
            }
        }
        self.note_forwarding(now);
    }

    /// One datagram from a socket to a remote server. Nothing is believed before it has verified, and nothing changes for what does
    /// not: neither a time-out nor what is known of the server (RFC 2865 §3, RFC 3579 §3.2).
    pub fn handle_remote_datagram(&mut self, socket: RemoteSocket, octets: &[u8], now: Instant) {
        let Worker { forwarding, counters, .. } = self;
        let Ok(framed) = Framed::parse(octets) else { return counters.remote_replies_bad.up() };
        let Some((place, slot, entry)) = forwarding.find(socket, framed.identifier()) else {
            return counters.remote_replies_late.up();
        };
        let RemoteServer { secret, require_message_authenticator, .. } = &forwarding.remote(place).server;
        let authenticator = entry.authenticator;
        let signed = *require_message_authenticator && !seeded::is(Bug::UnsignedReplyBelieved);
        let Ok(reply) = framed.verify_reply(secret, &authenticator, signed) else {
            if seeded::is(Bug::UnverifiedPacketRevives) {
                forwarding.note_sign_of_life(place, slot, now);
                self.note_forwarding(now);
                return;
            }
            return counters.remote_replies_bad.up();
        };
        let is_one = entry.waits.as_ref().is_none_or(|sent| reply.code().answers(sent.code()));
        if !is_one || reply.code() == Code::ProtocolError {
            return counters.remote_replies_bad.up();
        }
        match forwarding.finish(place, slot, now) {
            Some(Whose::Request(ticket)) => {
                counters.remote_replies.up();
                while let Some(held) = self.held.take_answered(ticket) {
                    self.pass_on(held, reply, &authenticator, now);
                }
            }
            Some(Whose::Spooled(ticket)) => {
                counters.remote_replies.up();
                self.handle_spooled_answered(ticket, now);
            }
            Some(Whose::Probe) => counters.probes_answered.up(),
            None => counters.remote_replies_late.up(),
        }
        self.note_forwarding(now);
    }

    /// A request's end with a remote server's reply to what had this authenticator.
    fn pass_on(
        &mut self,
        held: Held<Waiting>,
        reply: VerifiedReply<'_>,
        request_authenticator: &[u8; 16],
        now: Instant,
    ) {
        let Held { network, request, waiting, taken_up } = held;
        let Waiting::Reply(Awaited { decision, server, .. }) = &waiting else {
            unreachable!("who waits for a server waits for its reply")
        };
        let goes_on = &self.decisions.take(*decision);
        self.load_session(goes_on.round);
        let Worker { generations, policy, forwarding, desk, counters, .. } = self;
        let generation = request.stamp().generation;
        let configuration = generations.of(generation);
        desk.decided = Some(waiting.decided(configuration, &request));
        desk.remote_server = forwarding.number(*server, generation);
        let from = Hop { secret: &forwarding.remote(server.place).server.secret, request_authenticator };
        let passed = pass_on(configuration, &mut **policy, &request, goes_on, reply, from, desk);
        if let Err(reason) = passed {
            self.give_round_up(goes_on);
            return self.discard(network, request, reason, now);
        }
        counters.decisions.up();
        let (outcome, count) = match reply.code() {
            Code::AccessAccept => (Outcome::Accept, &counters.accepts),
            Code::AccessReject => (Outcome::Reject, &counters.rejects),
            Code::AccessChallenge => (Outcome::Challenge, &counters.challenges),
            Code::CoaAck | Code::DisconnectAck => (Outcome::Ack, &counters.acks),
            Code::CoaNak | Code::DisconnectNak => (coa::nak_of(&reply), &counters.naks),
            Code::AccountingResponse
            | Code::AccessRequest
            | Code::AccountingRequest
            | Code::StatusServer
            | Code::StatusClient
            | Code::DisconnectRequest
            | Code::CoaRequest
            | Code::ProtocolError => (Outcome::Recorded, &counters.records),
        };
        count.up();
        if request.framed().code() == Some(Code::AccessRequest) {
            self.end_round(&request, taken_up, (goes_on, *server), &reply, now);
        }
        self.note(&request, outcome, now);
        self.send(network, request, now);
    }

    /// The NAS has sent a request again that waits for a remote server: so is it from here, octet for octet (RFC 2865 §2.3,
    /// RFC 5080 §2.2.1). To another server, or to where it is now, if that one has died or moved since and no State ties the
    /// request to it.
    pub(super) fn forward_again(&mut self, network: NetworkId, handle: RequestHandle, now: Instant) {
        let Some(Held { request, waiting: Waiting::Reply(awaited), .. }) = self.held.named(network, handle)
        else {
            return;
        };
        let Awaited { decision, server, slot, .. } = awaited;
        if seeded::is(Bug::DuplicateInProgressNotForwarded) {
            return;
        }
        let goes_on = self.decisions.at(*decision);
        let generation = request.stamp().generation;
        let is_tied = match server.on_dead {
            OnDead::Fail => request.framed().value(Landmark::State).is_some(),
            OnDead::Repick => false,
        };
        let goes_again = is_tied
            || matches!(goes_on.to, To::Kept(_) | To::Nas(_)) && server.on_dead == OnDead::Fail
            || self.forwarding.is_there(server.place, *slot)
                && self.forwarding.is_alive(*server, generation, now)
                && (!seeded::is(Bug::SuspectedServersRequestDecidedAnew)
                    || self.forwarding.is_well(*server, generation, now));
        if goes_again && !seeded::is(Bug::ForwardedAnewOnRetransmit) {
            if seeded::is(Bug::DuplicateForwardedTwice) {
                self.forwarding.send_again(*server, *slot);
            }
            self.forwarding.send_again(*server, *slot);
            self.counters.forwarded_again.up();
            return;
        }
        let held = self.held.take_named(network, handle).expect("it is there");
        let Held { network, request, waiting: Waiting::Reply(awaited), taken_up } = held else {
            unreachable!("it waits for a reply")
        };
        // A late reply finds nobody.
        self.forwarding.give_up(awaited.server, awaited.slot, Whose::Request(awaited.ticket), now);
        let goes_on = self.decisions.take(awaited.decision);
        self.go_on(network, request, goes_on, taken_up, now);
        self.note_forwarding(now);
    }

    /// Remote servers are looked after.
    pub(super) fn handle_forwarding_timeout(&mut self, now: Instant) {
        while let Some(due) = self.forwarding.handle_timeout(now) {
            match due {
                Due::Probe(place) => self.probe(place, now),
                Due::Resolve(place) => self.resolve(place),
            }
        }
        self.note_forwarding(now);
    }

    /// Asks a server whether it lives (RFC 5997 §4).
    fn probe(&mut self, place: u16, now: Instant) {
        let Worker { forwarding, desk, counters, .. } = self;
        let Some(slot) = forwarding.take(place, Purpose::Probe, now) else { return };
        let mut authenticator = [0; 16];
        desk.random.fill_bytes(&mut authenticator);
        let (code, sign) = (Code::StatusServer, MessageAuthenticator::First);
        let encoder = Encoder::request(&mut desk.packet, code, slot.identifier, &authenticator, sign);
        encoder.finish_request(&forwarding.remote(place).server.secret);
        match forwarding.copied(&desk.packet) {
            Some(packet) => {
                let until = now + forwarding.remote(place).server.response_window;
                forwarding.send(place, slot, Whose::Probe, packet, (until, now));
                counters.probes.up();
            }
            None => forwarding.give_back(place, slot),
        }
    }

    /// Asks where a server is that is known by name.
    fn resolve(&mut self, place: u16) {
        let question = self.forwarding.question(place).expect("only names are resolved");
        // No request waits for it: it is named by the server's place, and by how many had that.
        let generation = self.forwarding.remote(place).turn();
        let ticket = Ticket { place: place.into(), generation, life: self.life() };
        self.effects.push_back((ticket, Effect::Resolve(question)));
        self.counters.effects.up();
        self.counters.resolutions.up();
    }

    /// What is said about where a server is; nothing, if nobody could be asked.
    pub(super) fn handle_resolved(&mut self, ticket: Ticket, answer: &Resolved, now: Instant) {
        let Ticket { place, generation, life } = ticket;
        // Places of the core that this one has succeeded were others.
        let said = if life == self.life() {
            self.forwarding.note_resolved(place, generation, answer, now)
        } else {
            Said::OfAnother
        };
        match said {
            Said::Where => {}
            Said::Nothing => self.counters.resolutions_failed.up(),
            Said::OfAnother => self.counters.effects_late.up(),
        }
        self.note_forwarding(now);
    }

    /// Counts and tells what has become of servers and of what waits for them.
    pub(super) fn note_forwarding(&mut self, now: Instant) {
        let at = now;
        while let Some((generation, remote_server, news)) = self.forwarding.poll_change() {
            self.tell(match news {
                News::Standing(standing) => Event::RemoteServer { at, generation, remote_server, standing },
                News::Address(address) => Event::RemoteAddress { at, generation, remote_server, address },
                News::Unresolved => Event::RemoteUnresolved { at, generation, remote_server },
            });
            if let News::Address(_) = news {
                self.counters.remote_addresses_changed.up();
            }
        }
        let Worker { counters, forwarding, held, .. } = self;
        counters.outstanding.set(forwarding.outstanding() as u64);
        counters.requests_held.set(held.len() as u64);
    }
}
