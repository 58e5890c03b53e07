//! The state machine of one network thread: from a datagram or a stream's packet to a request at a worker, and from its end to what
//! duplicates get.
//!
//! A packet's way is frame → client → verify → dedup → worker; each step that says no names its [`Discard`]. Where nobody is known
//! a worker is asked first. Owns the
//! connections that hash to this thread, their dedup table and the buffers of their requests. Knows no rule, no user,
//! no descriptor, thread or clock.

mod completion;
pub mod connected;
mod control;
mod datagram;
pub mod lane;
pub mod owner;
mod route;
mod shed;
mod status;
mod stranger;
mod stream;
mod succession;
mod workers;

use self::connected::Orders;
use self::lane::Lanes;
use self::owner::Owners;
use crate::client::{Connections, Pace, Whose};
use crate::configuration::{Configuration, ControlSettings};
use crate::control::Readers;
use crate::conversation::slot::{SlotOwners, Slots};
use crate::cores::Outstanding;
use crate::counters::NetworkCounters;
use crate::dedup::{Authenticator, Dedup};
use crate::discard::Discard;
use crate::event::Event;
use crate::generation::{Generation, Generations};
use crate::life::Life;
use crate::packet::Framed;
use crate::path::{NetworkId, Path, Peer, Transmit, WorkerId};
use crate::queue::message::Message;
use crate::request::buffer::BufferPool;
use crate::request::{Reply, Request, RequestHandle, Stamp};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::stream::Streams;
use crate::time::{Cause, Instant};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// How long lazy messages may lie unread while requests or strays are outstanding.
pub(crate) const LAZY_SWEEP: Duration = Duration::from_secs(1);
/// Slots of a ring between network cores, at least: a stray each way, its buffer on the way home, and what one tells the other.
pub(crate) const STRAY_SLOTS_MIN: usize = 4;
/// Packets that wait to be polled by the driver, at most: some of its batches.
const ANSWERS_MAX: usize = 1024;
/// Events that wait to be polled by the driver, at most; more are lost, and counted.
const EVENTS_MAX: usize = 1024;
/// Expired replies forgotten in one turn, at most.
const EXPIRIES_EACH_TURN: usize = 256;

/// One network core.
pub struct Network {
    id: NetworkId,
    /// The one in force.
    configuration: Arc<Configuration>,
    generation: Generation,
    generations: Generations,
    /// Requests at workers, by the parity of the generation under which they came.
    under_way: [usize; 2],
    owners: Owners,
    slots: Slots,
    /// Where threads are joined: the worker on this very thread.
    own_worker: Option<WorkerId>,
    dedup: Dedup,
    /// Of dynamic clients.
    connections: Connections,
    /// About sockets of these.
    orders: Orders,
    streams: Streams,
    /// Control connections.
    readers: Readers,
    /// What strangers may send, by the hash of their address.
    paces: Box<[Pace]>,
    buffers: BufferPool,
    lanes: Lanes,
    /// Strays that each other network thread has of ours.
    strays_out: Vec<usize>,
    /// How many it may have. Half a ring: the other half is for the buffers of the owner's strays on their way home through it; but
    /// for one slot, in which we say that we have died.
    strays_max: usize,
    /// Duplicates of requests in progress, put aside until their worker's ring has been swept.
    aside: VecDeque<Aside>,
    answers: VecDeque<Answer>,
    delayed: VecDeque<DelayedReject>,
    /// Of these, how many are of unsigned requests.
    delayed_unsigned: usize,
    outgoing: VecDeque<(Peer, Message)>,
    events: VecDeque<Event>,
    lazy_sweep: Option<Instant>,
    counters: Arc<NetworkCounters>,
}

/// A duplicate of a request that a worker had when it came.
struct Aside {
    worker: WorkerId,
    duplicate: Request,
}

/// A packet to be sent.
enum Answer {
    /// The reply that is kept under this handle, if it still is.
    Kept(RequestHandle, Path),
    /// A reject whose time has come. It goes from its buffer: its copy may have been given up for other replies.
    Reject(Reply),
    /// The answer to a Status-Server.
    Status { stamp: Stamp, whose: Whose, identifier: u8, request_authenticator: [u8; 16] },
}

/// A reject that waits in its buffer.
struct DelayedReject {
    reply: Reply,
    due: Instant,
}

/// What a network core has from its server, or from its predecessor.
struct Origin {
    life: Life,
    id: NetworkId,
    generations: Generations,
    generation: Generation,
    owners: Owners,
    slots: Slots,
    own_worker: Option<WorkerId>,
    counters: Arc<NetworkCounters>,
}

impl Network {
    /// The network core `id` of a server with this configuration, whose workers own these slots. All cores of a server get
    /// the same `seed`.
    pub fn new(
        id: NetworkId,
        configuration: Arc<Configuration>,
        slots: Arc<SlotOwners>,
        own_worker: Option<WorkerId>,
        seed: &Seed,
    ) -> Self {
        let networks = configuration.network_cores() as u16;
        let workers = slots.workers().to_vec();
        let origin = Origin {
            life: Life::default(),
            id,
            generations: Generations::new(configuration),
            generation: Generation::default(),
            owners: Owners::new(networks, seed),
            slots: Slots::new(slots, seed),
            own_worker,
            counters: Arc::default(),
        };
        Network::begin(origin, &workers, &seed.fork("dedup"), &|_| Outstanding::default())
    }

    fn begin(
        origin: Origin,
        workers: &[WorkerId],
        dedup_seed: &Seed,
        outstanding: &dyn Fn(Peer) -> Outstanding,
    ) -> Self {
        let Origin { life, id, generations, generation, owners, slots, own_worker, counters } = origin;
        let configuration = Arc::clone(generations.of(generation));
        let runtime = &configuration.runtime;
        let networks = configuration.network_cores();
        let delayed_max = configuration.protocol.delayed_rejects_max;
        // Rejects that wait, and those in line to be sent, come on top: they take no buffer from requests and strays.
        let rejects_max = delayed_max + ANSWERS_MAX;
        let with_networks =
            (0..networks as u16).map(|network| outstanding(Peer::Network(NetworkId(network))));
        let strays_out =
            with_networks.map(|with_network| with_network.away.iter().sum::<u64>() as usize).collect();
        let for_workers = workers::for_each_worker(&configuration) * workers.len();
        let buffers_max = for_workers + runtime.ring_slots * networks + rejects_max;
        let connections_max = configuration.client_rules.limits.connections as usize;
        let mut network = Network {
            id,
            owners,
            slots,
            own_worker,
            dedup: Dedup::new(
                life,
                runtime.dedup_entries_max,
                runtime.replies_octets_max,
                configuration.protocol.dedup_lifetime,
                dedup_seed,
            ),
            connections: Connections::new(connections_max, dedup_seed),
            orders: Orders::default(),
            streams: Streams::new(&configuration, dedup_seed),
            readers: readers(life, id, &configuration),
            paces: (0..PACES).map(|_| Pace::default()).collect(),
            buffers: BufferPool::new(life, buffers_max, SMALL_BUFFERS_NOW, LARGE_BUFFERS_NOW),
            lanes: Lanes::default(),
            strays_out,
            strays_max: (runtime.ring_slots.max(STRAY_SLOTS_MIN) - 1) / 2,
            aside: VecDeque::with_capacity(ASIDE_MAX),
            answers: VecDeque::with_capacity(ANSWERS_MAX),
            delayed: VecDeque::with_capacity(delayed_max),
            delayed_unsigned: 0,
            outgoing: VecDeque::with_capacity(OUTGOING_NOW),
            events: VecDeque::with_capacity(EVENTS_MAX),
            lazy_sweep: None,
            counters,
            generation,
            generations,
            under_way: [0; 2],
            configuration,
        };
        for worker in workers {
            network.add_lane(*worker, outstanding(Peer::Worker(*worker)));
        }
        network
    }

    /// Takes the configuration that is to be in force next. Nothing changes yet: workers must know it before requests
    /// come that were verified under it.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: Arc<Configuration>) {
        self.generations.learn(generation, configuration);
    }

    /// Whether this core has been handed that configuration.
    pub fn knows(&self, generation: Generation) -> bool {
        self.generations.knows(generation)
    }

    /// From here on packets are verified under this configuration. What is under way ends under its own.
    pub fn put_in_force(&mut self, generation: Generation) {
        self.configuration = Arc::clone(self.generations.of(generation));
        self.generation = generation;
    }

    /// Whether anything here still has to do with a configuration before the one in force. What waits to be sent since may not
    /// count: at the end of any turn a worker of this thread may have handed some back.
    pub fn needs_older(&self) -> bool {
        let is_older = |stamp: &Stamp| stamp.generation != self.generation;
        let needs_older = |answer: &Answer| match answer {
            Answer::Kept(..) => false,
            Answer::Reject(reply) => is_older(reply.stamp()),
            Answer::Status { stamp, .. } => is_older(stamp),
        };
        self.under_way[self.generation.next().parity()] > 0
            || self.answers.iter().any(needs_older)
            || self.aside.iter().any(|aside| is_older(aside.duplicate.stamp()))
    }

    /// Forgets the configuration before the one in force, when no core of any thread needs it.
    pub fn forget_older(&mut self) {
        assert!(!self.needs_older(), "no configuration is forgotten while requests have it");
        self.generations.forget_older();
    }

    /// What this core counts.
    pub fn counters(&self) -> &Arc<NetworkCounters> {
        &self.counters
    }

    /// Which network core this is.
    pub fn id(&self) -> NetworkId {
        self.id
    }

    /// A message from a worker or from another network core.
    pub fn handle_message(&mut self, from: Peer, message: Message, now: Instant) {
        match (from, message) {
            (Peer::Worker(worker), Message::Replied(completion)) => {
                if let Some(completion) = self.ours(worker, completion) {
                    self.finish_replied(worker, completion, now);
                }
            }
            (Peer::Worker(worker), Message::Reply { completion, not_before }) => {
                if let Some(completion) = self.ours(worker, completion) {
                    self.finish_delayed(worker, completion, not_before, now);
                }
            }
            (Peer::Worker(worker), Message::Discarded { completion, reason }) => {
                if let Some(completion) = self.ours(worker, completion) {
                    self.finish_discarded(worker, completion, reason, now);
                }
            }
            (Peer::Worker(worker), Message::Superseded(completion)) => {
                if let Some(completion) = self.ours(worker, completion) {
                    self.finish_superseded(worker, completion);
                }
            }
            (Peer::Worker(worker), Message::Elsewhere(request)) => self.send_elsewhere(worker, request, now),
            (Peer::Worker(worker), Message::Admitted(stranger, admission)) => {
                if stranger.life() != self.life() {
                    self.forget_admitted(&stranger, admission.client());
                }
                if let Some(stranger) = self.answered(worker, stranger) {
                    self.admit(stranger, admission, now);
                }
            }
            (Peer::Worker(worker), Message::Refused { stranger, reason }) => {
                if let Some(stranger) = self.answered(worker, stranger) {
                    self.refuse(stranger, reason, now);
                }
            }
            (Peer::Worker(worker), Message::SeenBefore(stranger)) => {
                if let Some(stranger) = self.answered(worker, stranger) {
                    self.find_reply(stranger, now);
                }
            }
            (Peer::Worker(worker), Message::FromTask(name, said)) => {
                self.handle_task(worker, name, *said, now);
            }
            (Peer::Network(network), Message::Retransmission(stray)) => {
                self.take_retransmission(network, stray, now);
            }
            (Peer::Network(network), Message::Stray(stray)) => self.take_stray(network, stray, now),
            (Peer::Network(network), Message::StrayBuffer(buffer)) => {
                self.strays_out[usize::from(network.0)] -= 1;
                self.buffers.give_back(buffer);
            }
            (from, message) => panic!("{from:?} does not send {message:?} to a network core"),
        }
        self.note_room();
        self.note();
    }

    /// Notes at the start of a turn how many slots of the ring to `peer` are free.
    pub fn handle_room(&mut self, peer: Peer, slots: usize) {
        // Rings between network threads need no count: each side has at most half a ring of strays out.
        if let Peer::Worker(worker) = peer {
            self.lanes[worker].set_room(slots);
            self.send_strangers(worker);
            self.send_notices(worker);
        }
    }

    /// Does what is due. The driver sweeps all rings to this core before it calls this.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.release_delayed(now);
        self.dedup.expire(now, EXPIRIES_EACH_TURN);
        self.counters.dedup_entries.set(self.dedup.len() as u64);
        self.end_connections(now);
        self.give_up_strangers(now);
        self.look_at_streams(now);
        self.look_at_readers(now);
        if self.lazy_sweep.is_some_and(|due| due <= now) {
            // As long as a buffer is away, a lazy message will bring it home; but not one that waits here.
            let is_any_away = self.buffers.lent() > self.rejects() || self.under_way != [0; 2];
            self.lazy_sweep = is_any_away.then(|| now + LAZY_SWEEP);
        }
    }

    /// When [`handle_timeout`](Network::handle_timeout) is wanted next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Cause)> {
        let late = if seeded::is(Bug::TimeoutRoundedUp) { Duration::from_millis(1) } else { Duration::ZERO };
        self.next_deadline().map(|(due, cause)| (due + late, cause))
    }

    fn next_deadline(&self) -> Option<(Instant, Cause)> {
        [
            self.delayed.front().map(|reject| (reject.due, Cause::DelayedReject)),
            self.dedup.next_expiry().map(|expires| (expires, Cause::DedupExpiry)),
            self.connections.next_deadline().map(|due| (due, Cause::Connection)),
            self.streams.next_deadline().map(|due| (due, Cause::Stream)),
            self.readers.next_deadline().map(|due| (due, Cause::Control)),
            self.lazy_sweep.map(|due| (due, Cause::LazySweep)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next deadline, for the simulator's judges.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.next_deadline().map(|(due, _)| due)
    }

    /// The buffers of this core's requests.
    pub fn buffers(&self) -> &BufferPool {
        &self.buffers
    }

    /// How many buffers of any owner this core holds outside of its free list.
    pub fn buffers_owned(&self) -> usize {
        self.aside.len()
            + self.rejects()
            + self.outgoing.iter().map(|(_, message)| message.buffers()).sum::<usize>()
            + self.lanes.iter().map(|(_, lane)| lane.buffers()).sum::<usize>()
    }

    /// The next message to another core; there is room for it.
    pub fn poll_message(&mut self) -> Option<(Peer, Message)> {
        if let Some(message) = self.outgoing.pop_front() {
            return Some(message);
        }
        self.lanes.iter_mut().find_map(|(worker, lane)| {
            let buffer = lane.next_homeward()?;
            Some((Peer::Worker(worker), Message::ReplyBuffer(buffer)))
        })
    }

    /// One packet, into the caller's empty buffer.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            match self.answers.pop_front()? {
                Answer::Kept(handle, path) => {
                    if let Some(reply) = self.dedup.reply(handle) {
                        out.extend_from_slice(reply);
                        return Some(path.reversed());
                    }
                    // Superseded since it was put in line, and nobody waits for it any more; or given up, and counted.
                }
                Answer::Reject(reply) => {
                    out.extend_from_slice(reply.octets());
                    let transmit = reply.stamp().path.reversed();
                    self.buffers.give_back(reply.into_buffer());
                    self.note();
                    return Some(transmit);
                }
                Answer::Status { stamp, whose, identifier, request_authenticator } => {
                    self.encode_status(&stamp, &whose, identifier, &request_authenticator, out);
                    return Some(stamp.path.reversed());
                }
            }
        }
    }

    /// The next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The worker whose ring must be swept before this core can decide about a duplicate.
    ///
    /// The driver sweeps that ring whole and calls [`handle_swept`](Network::handle_swept), before it hands in any
    /// other datagram.
    pub fn poll_sweep(&self) -> Option<WorkerId> {
        self.aside.front().map(|aside| aside.worker)
    }

    /// Whether there is something that the driver has not polled yet.
    pub fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
            || !self.answers.is_empty()
            || !self.aside.is_empty()
            || self.has_socket_orders()
            || self.streams.has_ready()
            || self.streams.has_untried()
            || self.readers.has_ready()
            || self.lanes.iter().any(|(_, lane)| lane.has_homeward() || lane.may_send_more())
    }

    /// Whether this core waits for completions, lazy ones too: a worker has as many requests as it may, all
    /// buffers are away, or a stream's packet is held back.
    pub fn wants_completions(&self) -> bool {
        self.lanes.iter().any(|(_, lane)| lane.is_at_limit())
            || self.buffers.is_exhausted()
            || self.streams.has_blocked()
    }

    /// Workers to whom something waits for room in the ring, or may: of a packet that is held back nobody knows whose it will be.
    pub fn waits_for_room(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let is_any_blocked = self.streams.has_blocked();
        let waiting = self.lanes.iter().filter(move |(_, lane)| is_any_blocked || lane.is_waiting_for_room());
        waiting.map(|(worker, _)| worker)
    }

    /// Whether no request is under way, no reject waits and no stream or control connection is left: what a draining server waits for.
    pub fn is_drained(&self) -> bool {
        let with_workers = self.counters.in_progress.value() + self.counters.strangers.value();
        let has_streams = !self.streams.is_empty() || self.readers.len() > 0;
        self.delayed.is_empty() && with_workers == 0 && !has_streams && !self.has_output()
    }

    /// How many rejects are held here, waiting or in line to be sent; each in a buffer of ours.
    fn rejects(&self) -> usize {
        let in_line = self.answers.iter().filter(|answer| matches!(answer, Answer::Reject(_)));
        self.delayed.len() + in_line.count()
    }

    fn discard(&mut self, remote: SocketAddr, reason: Discard, now: Instant) {
        self.counters.discard(reason);
        if self.configuration.log.requests {
            self.tell(Event::Discarded { at: now, remote, reason });
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.counters.events_lost.up();
        } else {
            self.events.push_back(event);
        }
    }

    /// Shows what is counted elsewhere, wherever it may have changed.
    fn note(&self) {
        self.counters.replies_evicted.set(self.dedup.evicted());
        self.counters.buffers_lent.set(self.buffers.lent() as u64);
        self.counters.buffers_made.set(self.buffers.made() as u64);
    }

    fn answer(&mut self, answer: Answer) -> Result<(), Discard> {
        if self.answers.len() == ANSWERS_MAX {
            return Err(Discard::TransmitQueueFull);
        }
        self.answers.push_back(answer);
        Ok(())
    }
}

/// What tells a duplicate from another request with its Identifier: the Request Authenticator, mixed with the mark of the
/// client and secret that it is verified under; and with code and Identifier, as it also tells requests on other connections
/// apart, and not every NAS draws an authenticator for each. A reply that another client or secret has signed is never found by it,
/// also where a reload has given the address to somebody else.
pub(crate) fn fingerprint(framed: &Framed<'_>, mark: &[u8; 16]) -> Authenticator {
    let which = u128::from(framed.identifier()) << 8 | u128::from(framed.code_octet());
    (u128::from_le_bytes(*framed.authenticator()) ^ u128::from_le_bytes(*mark) ^ which).to_le_bytes()
}

/// Those who may control a server speak to its first network core.
fn readers(life: Life, id: NetworkId, configuration: &Configuration) -> Readers {
    let ControlSettings { connections_max, size, patience, .. } = configuration.control;
    Readers::new((id, life), if id == NetworkId(0) { connections_max } else { 0 }, size, patience)
}

/// Paces of strangers, each for the addresses of one hash.
const PACES: usize = 1024;
/// Buffers made at start.
const SMALL_BUFFERS_NOW: usize = 2048;
const LARGE_BUFFERS_NOW: usize = 64;
/// Duplicates put aside at once: the driver has each decided before it hands in another, strays come by the ring.
const ASIDE_MAX: usize = 1024;
/// Messages that fit without another allocation; in one turn there are about as many as datagrams were read.
const OUTGOING_NOW: usize = 1024;
