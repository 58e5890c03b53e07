//! A stream's way: accepted or not, its packets taken, its replies written, its end. RFC 6613 §2.6.
//!
//! Packets go the way of datagrams from where they are framed, but that one may end its stream ([`Discard::ends_stream`]), and that
//! a stream which is not to be read holds its next packet back. Whatever ends a stream, its requests have a fate: whoever
//! has one is told to let go of it, and no reply to it is kept.

use super::stranger::Standing;
use super::{Answer, EXPIRIES_EACH_TURN, Network};
use crate::client::{Admission, Whom, Whose};
use crate::configuration::Transport;
use crate::discard::Discard;
use crate::event::Event;
use crate::packet::Framed;
use crate::path::{ListenerId, Path, StreamId};
use crate::queue::message::Message;
use crate::request::{Previous, Stamp, Stranger};
use crate::stream::framing::{self, Next};
use crate::stream::{Due, End, Phase, Spoken, StreamView};
use crate::time::Instant;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

impl Network {
    /// A listener of this thread's has a new stream.
    ///
    /// # Errors
    /// Why it is not accepted; the driver closes it.
    pub fn handle_accepted(
        &mut self,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<StreamId, End> {
        let opened = self.open(listener, local, remote, now);
        match opened {
            Ok(_) => self.counters.streams_accepted.up(),
            Err(end) => self.note_end(remote, end, now),
        }
        self.counters.streams.set(self.streams.len() as u64);
        opened
    }

    fn open(
        &mut self,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<StreamId, End> {
        let configuration = &self.configuration;
        let Transport::Tcp(settings) = &configuration.listeners[usize::from(listener.0)].transport else {
            panic!("streams come to listeners of streams");
        };
        // RFC 6613 §2.6.4. Whoever may be a client by a rule has one packet to say so.
        if let Whom::Nobody = configuration.client_rules.decide(&configuration.clients, remote.ip()) {
            return Err(End::UnknownClient);
        }
        self.streams.open(listener, (local, remote), settings, configuration.network_cores(), now)
    }

    /// Octets of a stream, in whatever segments they came; at most [`READ_OCTETS_MAX`](crate::stream::READ_OCTETS_MAX).
    pub fn handle_octets(&mut self, id: StreamId, octets: &[u8], now: Instant) {
        let Some(stream) = self.streams.live(id) else { return };
        stream.heard = now;
        let is_anything_held = !stream.input.is_empty();
        let taken = if is_anything_held { 0 } else { self.take_packets(id, octets, now) };
        if let Some((stream, spares)) = self.streams.live_with_spares(id)
            && taken < octets.len()
        {
            stream.input.append(&octets[taken..], spares);
        }
        if is_anything_held {
            self.go_on(id, now);
        } else {
            self.settle(id, now);
        }
    }

    /// The peer sends nothing more. What it has sent is answered, if it still reads.
    pub fn handle_ended(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.live(id) else { return };
        if stream.phase == Phase::Open {
            stream.phase = Phase::Ending(End::Peer);
        }
        self.go_on(id, now);
    }

    /// A stream is broken: nothing can be read or written any more.
    pub fn handle_broken(&mut self, id: StreamId, now: Instant) {
        self.end_stream(id, End::Broken, now);
    }

    /// The server ends: no stream is accepted any more, none is read, and each ends when what has come is answered.
    pub fn drain_streams(&mut self, now: Instant) {
        for id in self.streams.drain(now) {
            if let Some(stream) = self.streams.live(id)
                && stream.phase == Phase::Open
            {
                stream.phase = Phase::Ending(End::Draining);
            }
            self.go_on(id, now);
        }
    }

    /// A stream that has something for its driver: see [`stream`](Network::stream).
    pub fn poll_stream(&mut self) -> Option<StreamId> {
        self.streams.poll_ready()
    }

    /// What a stream's driver is to do with it; `None` if it has told that it has [closed](Network::handle_closed) it.
    pub fn stream(&self, id: StreamId) -> Option<StreamView<'_>> {
        self.streams.view(id)
    }

    /// So many octets of a stream's output were written.
    pub fn handle_written(&mut self, id: StreamId, octets: usize, now: Instant) {
        self.streams.note_written(id, octets);
        self.go_on(id, now);
    }

    /// The driver has closed a stream that is over.
    pub fn handle_closed(&mut self, id: StreamId) {
        self.streams.release(id);
        self.counters.streams_octets.set(self.streams.output_octets() as u64);
    }

    /// Takes packets until one is not whole, or no more may be taken: how many octets were taken.
    fn take_packets(&mut self, id: StreamId, octets: &[u8], now: Instant) -> usize {
        let mut taken = 0;
        loop {
            let is_crowded = self.streams.is_crowded();
            let Some(stream) = self.streams.live(id).filter(|stream| stream.may_take(is_crowded)) else {
                break;
            };
            let path = stream.path;
            match framing::next(&octets[taken..]) {
                Next::Partial => break,
                Next::Packet(_) if !stream.passes(now) => {
                    self.counters.streams_paced.up();
                    break;
                }
                Next::Packet(length) => {
                    if !self.take_from_stream(id, path, &octets[taken..taken + length], now) {
                        break;
                    }
                    taken += length;
                }
                Next::BadLength => {
                    self.counters.received.up();
                    self.discard_from(&path, Discard::BadLength, now);
                }
            }
        }
        taken
    }

    /// Takes a packet, unless there is no room for it just now, or its client sends faster than it may: then nothing has happened.
    /// RFC 6613 §2.6.1: its peer would not send it again, so that it is better held than shed.
    fn take_from_stream(&mut self, id: StreamId, path: Path, octets: &[u8], now: Instant) -> bool {
        let framed = Framed::parse(octets).map_err(|error| error.discard());
        let entered = framed.and_then(|framed| self.enter(path, framed, now, now));
        if entered.is_err_and(Discard::wants_room) {
            self.counters.streams_blocked.up();
            self.streams.block(id);
            return false;
        }
        if entered == Err(Discard::ClientTooFast)
            && let Some(stream) = self.streams.live(id)
        {
            self.counters.streams_paced.up();
            stream.paced_until = Some(now + TOO_FAST_PAUSE);
            return false;
        }
        self.counters.received.up();
        if let Some(stream) = self.streams.live(id) {
            stream.note_taken();
        }
        if let Err(reason) = entered {
            self.discard_from(&path, reason, now);
        }
        self.note();
        true
    }

    /// There may be room: what is held back is tried in the next turn, and that comes at once. Nobody rings for room in the line to the
    /// worker of one's own thread.
    pub fn note_room(&mut self) {
        self.streams.begin_retry();
        // They wait only where a flood or a burst is: elsewhere no lane is looked at.
        if self.counters.strangers.value() > 0 {
            self.lanes.iter_mut().for_each(|(_, lane)| lane.note_room());
        }
    }

    /// Whether a stream's packet is held back for want of room.
    pub fn holds_back(&self) -> bool {
        self.streams.has_blocked()
    }

    /// Tries again what has found no room, once what workers have given back is known.
    pub fn retry_streams(&mut self, now: Instant) {
        if !self.streams.has_untried() {
            self.streams.begin_retry();
        }
        for _ in 0..RETRIES_EACH_TURN {
            let Some(id) = self.streams.next_retry() else { return };
            self.go_on(id, now);
        }
    }

    /// Something may go on that had to wait.
    fn go_on(&mut self, id: StreamId, now: Instant) {
        let is_crowded = self.streams.is_crowded();
        if let Some(stream) = self.streams.live(id)
            && !stream.input.is_empty()
            && stream.may_take(is_crowded)
        {
            let mut input = core::mem::take(&mut stream.input);
            let taken = self.take_packets(id, input.octets(), now);
            match self.streams.live_with_spares(id) {
                Some((stream, spares)) => {
                    input.take(taken, spares);
                    stream.input = input;
                }
                None => input.clear(&mut self.streams.spares),
            }
        }
        self.settle(id, now);
    }

    /// Notes what is waited for from here on; ends what is to end and has nothing left.
    fn settle(&mut self, id: StreamId, now: Instant) {
        self.counters.streams_octets.set(self.streams.output_octets() as u64);
        let is_crowded = self.streams.is_crowded();
        let Some(stream) = self.streams.live(id) else { return };
        if let Phase::Ending(end) = stream.phase
            && stream.is_done()
        {
            return self.end_stream(id, end, now);
        }
        // What may not be taken waits for us, and not for the peer.
        let is_partial =
            stream.phase == Phase::Open && !stream.input.is_empty() && stream.may_take(is_crowded);
        stream.partial_since = is_partial.then(|| stream.partial_since.unwrap_or(now));
        self.streams.settle(id);
    }

    /// A packet that came by a stream was discarded, which may end the stream.
    pub(super) fn discard_from(&mut self, path: &Path, reason: Discard, now: Instant) {
        self.discard(path.remote, reason, now);
        if let Some(id) = path.stream()
            && reason.ends_stream()
        {
            self.end_stream(id, End::Packet, now);
        }
    }

    /// A stream ends at once, but for what can be written without waiting.
    pub(super) fn end_stream(&mut self, id: StreamId, end: End, now: Instant) {
        let Some(stream) = self.streams.live(id) else { return };
        let (path, used) = (stream.path, stream.used);
        for (code, identifier, signed) in used.iter() {
            let key = self.dedup.key(&path, code, identifier, signed, 0);
            if let Some((handle, worker)) = self.dedup.forget_key(&key) {
                // RFC 6613 §2.6.1: any further processing is pointless.
                self.notify(worker, Message::Cancel(handle));
            }
        }
        self.counters.dedup_entries.set(self.dedup.len() as u64);
        self.streams.finish(id);
        self.counters.streams.set(self.streams.len() as u64);
        self.note_end(path.remote, end, now);
    }

    fn note_end(&mut self, remote: SocketAddr, end: End, now: Instant) {
        end.counter(&self.counters).up();
        if end.is_news() {
            self.tell(Event::StreamEnded { at: now, remote, end });
        }
    }

    /// Ends streams whose time is over, and goes on with those that had to wait until now.
    pub(super) fn look_at_streams(&mut self, now: Instant) {
        let mut budget = EXPIRIES_EACH_TURN;
        while let Some((id, due)) = self.streams.look(now, &mut budget) {
            match due {
                Due::End(end) => self.end_stream(id, end, now),
                Due::GoOn => self.go_on(id, now),
            }
        }
    }

    /// Streams about which a worker was asked that has died: nobody answers any more, and nothing is sent again by a stream.
    pub(super) fn end_asking_streams(&mut self, now: Instant) {
        for id in self.streams.asking() {
            self.end_stream(id, End::Orphaned, now);
        }
    }

    /// Requests of these streams died with their worker.
    pub(super) fn lose_on_streams(&mut self, ids: &[StreamId], now: Instant) {
        for id in ids {
            if let Some(stream) = self.streams.live(*id) {
                stream.outstanding -= 1;
            }
            self.go_on(*id, now);
        }
    }

    /// Whether the stream is gone that something came by.
    pub(super) fn is_stream_gone(&self, path: &Path) -> bool {
        path.stream().is_some_and(|id| self.streams.is_gone(id))
    }

    /// A request that came by a stream was accepted.
    pub(super) fn begin_on_stream(&mut self, path: &Path, code: u8, identifier: u8, signed: bool) {
        if let Some(stream) = path.stream().and_then(|id| self.streams.live(id)) {
            stream.used.note(code, identifier, signed);
            stream.outstanding += 1;
        }
    }

    /// A request that came by a stream is not under way any more.
    pub(super) fn leave_stream(&mut self, path: &Path) {
        if let Some(stream) = path.stream().and_then(|id| self.streams.live(id)) {
            stream.outstanding -= 1;
        }
    }

    /// After that: what it held back goes on.
    pub(super) fn go_on_by(&mut self, path: &Path, now: Instant) {
        if let Some(id) = path.stream() {
            self.go_on(id, now);
        }
    }

    /// Sends a packet that is not in a buffer of its own. One for a stream is written there.
    ///
    /// # Errors
    /// When as many wait to be sent as may.
    pub(super) fn answer_by(&mut self, path: &Path, answer: Answer, now: Instant) -> Result<(), Discard> {
        let Some(id) = path.stream() else { return self.answer(answer) };
        let mut out = self.streams.spares.take();
        match answer {
            Answer::Kept(handle, _) => out.extend_from_slice(self.dedup.reply(handle).unwrap_or_default()),
            Answer::Status { stamp, whose, identifier, request_authenticator } => {
                self.encode_status(&stamp, &whose, identifier, &request_authenticator, &mut out);
            }
            Answer::Reject(_) => unreachable!("a reject is written from its buffer"),
        }
        self.streams.write(id, &out, now);
        self.streams.spares.give_back(out);
        Ok(())
    }

    /// Who speaks on a stream.
    pub(super) fn standing_on_stream(&mut self, id: StreamId, path: &Path, now: Instant) -> Standing {
        let configuration = &self.configuration;
        match configuration.client_rules.decide(&configuration.clients, path.remote.ip()) {
            Whom::Configured(client) => Standing::Known(Whose::Configured(client), None),
            Whom::Nobody => Standing::Nobody,
            Whom::Rules => {
                let spoken = self.streams.get(id).and_then(|stream| stream.client.as_ref());
                let client = spoken.map(|spoken| Arc::clone(&spoken.client));
                match client {
                    Some(client) if !client.is_over(now) => Standing::Known(Whose::Dynamic(client), None),
                    before => Standing::Stranger(before.map(|client| Previous { client, has_failed: false })),
                }
            }
        }
    }

    /// A worker is asked whose a packet is that came by a stream: until it has said so, nothing more is taken there.
    pub(super) fn ask_on_stream(&mut self, path: &Path) {
        if let Some(stream) = path.stream().and_then(|id| self.streams.live(id)) {
            stream.is_asking = true;
        }
    }

    /// The stranger on a stream is this client.
    pub(super) fn admit_on_stream(
        &mut self,
        id: StreamId,
        stranger: Stranger,
        admission: Admission,
        now: Instant,
    ) {
        let path = stranger.path();
        let (client, permit) = admission.into_parts();
        let Some(stream) = self.streams.live(id) else {
            self.discard(path.remote, Discard::StrangerGone, now);
            return self.buffers.give_back(stranger.into_buffer());
        };
        stream.is_asking = false;
        let before = stream.client.as_ref().map(|spoken| *spoken.client.mark(None));
        let entered = if before.is_some_and(|before| before != *client.mark(None)) {
            // A stream is one client's to its end.
            Err(Discard::BadMessageAuthenticator)
        } else {
            let name = client.name();
            stream.client = Some(Spoken { client, _permit: permit });
            self.counters.connections_admitted.up();
            self.tell(Event::Admitted { at: now, remote: path.remote, client: name, is_others: false });
            self.enter(path, stranger.framed(), stranger.received(), now)
        };
        if let Err(reason) = entered {
            self.discard_from(&path, reason, now);
        }
        self.buffers.give_back(stranger.into_buffer());
        self.go_on(id, now);
    }

    /// The stranger on a stream is nobody, for this reason.
    pub(super) fn refuse_on_stream(&mut self, id: StreamId, path: &Path, reason: Discard, now: Instant) {
        let Some(stream) = self.streams.live(id) else {
            return self.discard(path.remote, Discard::StrangerGone, now);
        };
        stream.is_asking = false;
        self.discard_from(path, reason, now);
        self.go_on(id, now);
    }

    /// A request whose worker has let go of it, or whose reply nobody gets: a newer one has displaced it, or its stream is gone.
    pub(super) fn note_unwanted(&self, stamp: &Stamp) {
        if self.is_stream_gone(&stamp.path) {
            self.counters.discard(Discard::ConnectionClosed);
        } else {
            self.counters.superseded.up();
        }
    }
}

/// After which a packet is tried again that its client has sent faster than it may.
const TOO_FAST_PAUSE: Duration = Duration::from_millis(10);
/// Streams whose next packet is tried again in one turn, at most.
const RETRIES_EACH_TURN: usize = 1024;
