//! The state machine of one worker thread: from a request to its reply or its discard by name.
//!
//! Owns decoding and policy. A UDP reply it sends itself, and tells the network core afterwards, lazily. Knows no
//! descriptor, thread or clock.

mod request;

use crate::configuration::Configuration;
use crate::counters::WorkerCounters;
use crate::effect::{Effect, EffectDone, Ticket};
use crate::event::{Event, Outcome, ShortName};
use crate::generation::{Generation, Generations};
use crate::network::LAZY_SWEEP;
use crate::packet::Landmark;
use crate::path::{NetworkId, Peer, Transmit, WorkerId};
use crate::policy::Policy;
use crate::queue::message::Message;
use crate::request::buffer::{BufferPool, LARGE_OCTETS};
use crate::request::{Completion, Request};
use crate::seed::Seed;
use crate::time::{Cause, Instant, UnixTime};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::request::{Answered, Desk};

/// Events that wait to be polled by the driver, at most; more are lost, and counted.
const EVENTS_MAX: usize = 1024;
/// Entries that the worker's lines have room for at start: more than a turn's messages from one ring.
const LINE_NOW: usize = 1024;

/// Buffers for long replies made at start.
const REPLY_BUFFERS_NOW: usize = 64;

/// One worker core.
pub struct Worker {
    id: WorkerId,
    generations: Generations,
    policy: Box<dyn Policy + Send>,
    /// The time on the wall, as it was told last.
    time: UnixTime,
    /// Buffers for replies that do not fit into their request's.
    reply_buffers: BufferPool,
    /// Replies to be sent, in the order in which they were made.
    transmits: VecDeque<(NetworkId, Completion)>,
    outboxes: Vec<Outbox>,
    /// Where a reply is written before it goes into its buffer.
    desk: Desk,
    events: VecDeque<Event>,
    /// While buffers of ours are away: they come home in lazy messages.
    lazy_sweep: Option<Instant>,
    counters: Arc<WorkerCounters>,
}

/// Completions for one network core, which wait in order while its ring is full.
struct Outbox {
    room: usize,
    waiting: VecDeque<Message>,
}

impl Worker {
    /// The worker core `id` of a server with this configuration, which decides by `policy`.
    pub fn new(
        id: WorkerId,
        configuration: Arc<Configuration>,
        policy: Box<dyn Policy + Send>,
        seed: &Seed,
    ) -> Self {
        let networks = configuration.network_cores();
        let runtime = &configuration.runtime;
        // Each long reply belongs to a request in progress, or its buffer is in the ring on its way back.
        let reply_buffers_max = networks * (runtime.requests_max + runtime.ring_slots);
        let reply_buffers = BufferPool::new(reply_buffers_max, 0, REPLY_BUFFERS_NOW);
        let counters = Arc::<WorkerCounters>::default();
        counters.reply_buffers_made.set(reply_buffers.made() as u64);
        Worker {
            id,
            policy,
            time: UnixTime::default(),
            reply_buffers,
            transmits: VecDeque::with_capacity(LINE_NOW),
            outboxes: (0..networks)
                .map(|_| Outbox { room: runtime.ring_slots, waiting: VecDeque::with_capacity(LINE_NOW) })
                .collect(),
            desk: Desk::new(&seed.fork(&format!("salts of worker {}", id.0))),
            events: VecDeque::with_capacity(EVENTS_MAX),
            lazy_sweep: None,
            counters,
            generations: Generations::new(configuration),
        }
    }

    /// Takes the configuration under which requests may come from here on, beside the one before it.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: Arc<Configuration>) {
        self.policy.handle_configuration(generation, &configuration);
        self.generations.learn(generation, configuration);
    }

    /// Forgets the older of two configurations: no network core has a request under way that came under it.
    pub fn forget_older(&mut self) {
        self.policy.forget_older();
        self.generations.forget_older();
    }

    /// What this core counts.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// Which worker core this is.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// A message from a network core.
    pub fn handle_message(&mut self, from: Peer, message: Message, now: Instant) {
        match (from, message) {
            (Peer::Network(network), Message::Request(request)) => self.handle_request(network, request, now),
            // A request is finished in the turn that takes it up: a notice about it is always late.
            (Peer::Network(_), Message::Duplicate(_) | Message::Cancel(_)) => self.counters.late_notices.up(),
            (Peer::Network(_), Message::ReplyBuffer(buffer)) => {
                self.reply_buffers.give_back(buffer);
                self.counters.reply_buffers_lent.set(self.reply_buffers.lent() as u64);
            }
            (from, message) => panic!("{from:?} does not send {message:?} to a worker core"),
        }
    }

    /// Notes the time on the wall at the start of a turn.
    pub fn handle_wall_time(&mut self, time: UnixTime) {
        self.time = time;
    }

    /// Notes at the start of a turn how many slots of the ring to `peer` are free.
    pub fn handle_room(&mut self, peer: Peer, slots: usize) {
        if let Peer::Network(network) = peer {
            self.outboxes[usize::from(network.0)].room = slots;
        }
    }

    /// Does what is due. The driver sweeps all rings before it calls this.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.lazy_sweep.is_some_and(|due| due <= now) {
            self.lazy_sweep = (self.reply_buffers.lent() > 0).then(|| now + LAZY_SWEEP);
        }
    }

    /// When [`handle_timeout`](Worker::handle_timeout) is wanted next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Cause)> {
        self.lazy_sweep.map(|due| (due, Cause::LazySweep))
    }

    /// The answer to an effect. This core asks for none yet.
    pub fn handle_effect_done(&mut self, _ticket: Ticket, answer: EffectDone, _now: Instant) {
        match answer {}
    }

    /// What this core needs to have done elsewhere. It asks for nothing yet.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        None
    }

    /// One reply, into the caller's empty buffer. Only then is its network core told.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let (network, completion) = self.transmits.pop_front()?;
        out.extend_from_slice(completion.reply_octets().expect("a reply in line has octets"));
        let transmit = completion.stamp().path.reversed();
        self.complete(network, Message::Replied(completion));
        Some(transmit)
    }

    /// The next message to a network core; there is room for it.
    pub fn poll_message(&mut self) -> Option<(Peer, Message)> {
        let (network, outbox) = self
            .outboxes
            .iter_mut()
            .enumerate()
            .find(|(_, outbox)| outbox.room > 0 && !outbox.waiting.is_empty())?;
        outbox.room -= 1;
        let message = outbox.waiting.pop_front()?;
        self.counters.completions_waiting.down();
        Some((Peer::Network(NetworkId(network as u16)), message))
    }

    /// The next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there is something that the driver can poll now.
    pub fn has_output(&self) -> bool {
        !self.transmits.is_empty()
            || self.outboxes.iter().any(|outbox| outbox.room > 0 && !outbox.waiting.is_empty())
    }

    /// The buffers for long replies.
    pub fn buffers(&self) -> &BufferPool {
        &self.reply_buffers
    }

    /// How many buffers of any owner this core holds outside of its free list.
    pub fn buffers_owned(&self) -> usize {
        let waiting = self.outboxes.iter().flat_map(|outbox| &outbox.waiting);
        self.transmits.iter().map(|(_, completion)| completion.buffers()).sum::<usize>()
            + waiting.map(Message::buffers).sum::<usize>()
    }

    /// Network cores to which completions wait for room in the ring.
    pub fn waits_for_room(&self) -> impl Iterator<Item = NetworkId> + '_ {
        let waiting = self.outboxes.iter().enumerate().filter(|(_, outbox)| !outbox.waiting.is_empty());
        waiting.map(|(network, _)| NetworkId(network as u16))
    }

    fn handle_request(&mut self, network: NetworkId, request: Request, now: Instant) {
        self.counters.requests.up();
        let Worker { generations, policy, desk, time, .. } = self;
        let configuration = generations.of(request.stamp().generation);
        let answered = request::answer(configuration, &mut **policy, &request, desk, *time, now);
        let outcome = match answered {
            Ok(Answered { accept: true, .. }) => Outcome::Accept,
            Ok(Answered { accept: false, .. }) => Outcome::Reject,
            Err(reason) => Outcome::Discarded(reason),
        };
        self.note(&request, outcome, now);
        match answered {
            Ok(Answered { accept, delay }) => {
                self.counters.decisions.up();
                if accept {
                    self.counters.accepts.up();
                } else {
                    self.counters.rejects.up();
                }
                let completion = self.completed(request, now);
                if delay.is_zero() {
                    self.transmits.push_back((network, completion));
                } else {
                    self.complete(network, Message::Reply { completion, not_before: now + delay });
                }
            }
            Err(reason) => {
                self.counters.discard(reason);
                self.complete(network, Message::Discarded { completion: request.discarded(), reason });
            }
        }
    }

    /// The request's end with the reply that lies on the desk.
    fn completed(&mut self, request: Request, now: Instant) -> Completion {
        let Worker { reply_buffers, counters, desk, lazy_sweep, .. } = self;
        request.answered(&desk.reply, || {
            let buffer = reply_buffers.take(LARGE_OCTETS).expect("there is one for each request in progress");
            lazy_sweep.get_or_insert(now + LAZY_SWEEP);
            counters.reply_buffers_made.set(reply_buffers.made() as u64);
            counters.reply_buffers_lent.set(reply_buffers.lent() as u64);
            buffer
        })
    }

    fn complete(&mut self, network: NetworkId, message: Message) {
        self.counters.completions_waiting.up();
        self.outboxes[usize::from(network.0)].waiting.push_back(message);
    }

    fn note(&mut self, request: &Request, outcome: Outcome, now: Instant) {
        let stamp = request.stamp();
        if !self.generations.of(stamp.generation).log.requests {
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.counters.events_lost.up();
            return;
        }
        let framed = request.framed();
        self.events.push_back(Event::Finished {
            received: stamp.received,
            finished: now,
            remote: stamp.path.remote,
            generation: stamp.generation,
            client: stamp.client,
            listener: stamp.path.listener,
            identifier: framed.identifier(),
            request_authenticator: *framed.authenticator(),
            user_name: ShortName::new(framed.value(Landmark::UserName).unwrap_or_default()),
            decided: self.desk.decided,
            outcome,
        });
    }
}
