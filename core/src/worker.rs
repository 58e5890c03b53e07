//! The state machine of one worker thread: from a request to its reply or its discard by name.
//!
//! Owns decoding and policy. A UDP reply it sends itself, and tells the network core afterwards, lazily. What takes time
//! it asks its driver for, and holds the request meanwhile. Knows no descriptor, thread or clock.

mod coa;
mod code_challenge;
mod credentials;
mod ends;
mod forward;
mod forwarding;
mod handover;
mod in_progress;
mod mschap_answer;
mod ongoing;
mod onward;
mod records;
mod remote_reply;
mod reply;
mod request;
mod spooling;
mod succession;
mod task;

use crate::authenticate::Passwords;
use crate::authenticate::failures::Failures;
use crate::client::{Client, Strangers};
use crate::configuration::{Configuration, Protocol};
use crate::control::{Answered, Tasks};
use crate::conversation::{Conversations, Counts, Tree};
use crate::counters::WorkerCounters;
use crate::discard::Discard;
use crate::effect::{Effect, EffectDone, LookedUp, NotSpooled, NotStored, Resolved, Ticket};
use crate::event::Event;
use crate::generation::{Generation, Generations};
use crate::life::Life;
use crate::network::LAZY_SWEEP;
use crate::path::{NetworkId, Peer, Transmit, WorkerId};
use crate::policy::Policy;
use crate::queue::message::Message;
use crate::request::buffer::BufferPool;
use crate::request::{Completion, Request};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::{Cause, Instant, UnixTime};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use self::code_challenge::Challenger;
use self::forwarding::Forwarding;
use self::handover::Handover;
use self::in_progress::{Held, InProgress};
use self::onward::{Decisions, Kept};
use self::records::Records;
use self::request::{Desk, Known, Memory, Step, Waiting};
use self::spooling::Spooling;

pub use self::handover::CONVERSATIONS_WAIT_MAX;

/// Events that wait to be polled by the driver, at most; more are lost, and counted.
const EVENTS_MAX: usize = 1024;
/// Entries that the worker's lines have room for at start: more than a turn's messages from one ring.
const LINE_NOW: usize = 1024;

/// Requests that have waited too long, given up in one turn at most.
const OVERDUE_EACH_TURN: usize = 256;
/// What somebody reads whose errand found no room.
const ERRAND_SHED: &str = "the server does too much of this kind already";
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
    /// By network core: the epoch by whose owners of slots it routes.
    epochs: Vec<u32>,
    /// Requests that wait for an effect.
    held: InProgress<Waiting>,
    /// Servers that others' requests are forwarded to.
    forwarding: Forwarding,
    /// What it writes into the spool, and sends from there.
    spooling: Spooling,
    /// What has been decided about requests that go there.
    decisions: Decisions,
    /// Who is no client, or not yet.
    strangers: Strangers,
    /// Effects that the driver has not polled yet.
    effects: VecDeque<(Ticket, Effect)>,
    memory: Memory,
    /// Where a reply is written before it goes into its buffer.
    desk: Desk,
    events: VecDeque<Event>,
    /// While buffers of ours are away: they come home in lazy messages.
    lazy_sweep: Option<Instant>,
    /// Those that are forwarded, and those in which we ask for a code.
    conversations: Conversations<Kept>,
    /// What has happened to them as far as it is counted.
    conversations_counted: Counts,
    /// How many there may be by the newest configuration.
    conversations_wanted: usize,
    /// What their digests are keyed from.
    conversations_seed: Seed,
    /// What the trees of realms are called in the newest configuration.
    realm_names: BTreeMap<Tree, Arc<str>>,
    /// What the last change of workers waits for.
    handover: Handover,
    /// What readers of control connections have asked for.
    tasks: Tasks,
    counters: Arc<WorkerCounters>,
}

/// What a worker has from its server, or from its predecessor.
struct Origin {
    life: Life,
    id: WorkerId,
    generations: Generations,
    epoch: u32,
    counters: Arc<WorkerCounters>,
    /// Of the whole server: what all workers, in all their lives, have to agree on comes from it.
    node_key: Seed,
}

/// Completions for one network core, which wait in order while its ring is full.
struct Outbox {
    room: usize,
    waiting: VecDeque<Message>,
}

impl Worker {
    /// The worker core `id` of a server with this configuration, which decides by `policy`. All cores of a server get the
    /// same `seed`.
    pub fn new(
        id: WorkerId,
        configuration: Arc<Configuration>,
        policy: Box<dyn Policy + Send>,
        seed: &Seed,
    ) -> Self {
        let (life, generations, counters) =
            (Life::default(), Generations::new(configuration), Arc::default());
        let newest = generations.first();
        let strangers = Strangers::new(life, newest, seed, &counters);
        Worker::begin(
            Origin { life, id, generations, epoch: 0, counters, node_key: seed.clone() },
            policy,
            strangers,
            seed,
        )
    }

    fn begin(origin: Origin, policy: Box<dyn Policy + Send>, strangers: Strangers, seed: &Seed) -> Self {
        let Origin { life, id, generations, epoch, counters, node_key } = origin;
        let (generation, configuration) = generations.first();
        let networks = configuration.network_cores();
        let runtime = &configuration.runtime;
        let bound = networks * runtime.requests_max;
        let own_seed = seed.fork(&format!("forwarding of worker {}", id.0));
        // Each long reply belongs to a request in progress, or its buffer is in the ring on its way back.
        let reply_buffers_max = networks * (runtime.requests_max + runtime.ring_slots);
        let reply_buffers = BufferPool::new(life, reply_buffers_max, 0, REPLY_BUFFERS_NOW);
        counters.reply_buffers_made.set(reply_buffers.made() as u64);
        let Protocol { failures_max, failure_window, .. } = configuration.protocol;
        let conversations = ongoing::conversations(configuration, &own_seed);
        Worker {
            id,
            policy,
            time: UnixTime::default(),
            reply_buffers,
            held: InProgress::new(life, bound, seed),
            decisions: Decisions::default(),
            forwarding: Forwarding::new(
                life,
                (generation, configuration),
                bound + spooling::transmissions_max(configuration, id),
                &node_key,
                &own_seed,
            ),
            strangers,
            spooling: Spooling::new(life, configuration.accounting.spool, &own_seed),
            effects: VecDeque::with_capacity(LINE_NOW),
            memory: Memory {
                failures: Failures::new(failures_max, failure_window, seed),
                passwords: Passwords::new(),
                records: Records::new(configuration.accounting.file.is_some()),
                counters: Arc::clone(&counters),
            },
            transmits: VecDeque::with_capacity(LINE_NOW),
            outboxes: (0..networks)
                .map(|_| Outbox { room: runtime.ring_slots, waiting: VecDeque::with_capacity(LINE_NOW) })
                .collect(),
            epochs: vec![epoch; networks],
            desk: Desk::new(
                &seed.fork(&format!("salts of worker {}", id.0)),
                Challenger::new(&node_key, &own_seed),
            ),
            events: VecDeque::with_capacity(EVENTS_MAX),
            lazy_sweep: None,
            realm_names: ongoing::realm_names(&conversations, configuration),
            conversations,
            conversations_counted: Counts::default(),
            conversations_wanted: ongoing::conversations_max(configuration),
            conversations_seed: own_seed.clone(),
            handover: Handover::default(),
            tasks: Tasks::new(life, networks as u16),
            counters,
            generations,
        }
    }

    /// Takes the configuration under which requests may come from here on, beside the one before it.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: Arc<Configuration>) {
        // Before the policy is told: if that panics, the successor's is told at once.
        self.generations.learn(generation, Arc::clone(&configuration));
        self.strangers.handle_configuration(generation, &configuration);
        self.forwarding.learn(generation, &configuration);
        self.spooling.handle_configuration();
        self.learn_trees(&configuration);
        self.complete_strangers();
        self.policy.handle_configuration(generation, &configuration);
    }

    /// Whether this core has been handed that configuration.
    pub fn knows(&self, generation: Generation) -> bool {
        self.generations.knows(generation)
    }

    /// Forgets the older of two configurations: no network core has a request under way that came under it.
    pub fn forget_older(&mut self) {
        if self.generations.second().is_none() {
            return;
        }
        // Before the policy is told: if that panics, the successor's never hears of the older.
        self.generations.forget_older();
        // Records of the spool that go with it are sent again in their time.
        self.forwarding.forget_older(|_| {});
        self.policy.forget_older();
    }

    /// What this core counts.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// Whose a request is.
    pub fn client<'r>(&'r self, request: &'r Request) -> &'r Client {
        request.whose().client(&self.generations.of(request.stamp().generation).clients)
    }

    /// Which worker core this is.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// A message from a network core.
    pub fn handle_message(&mut self, from: Peer, message: Message, now: Instant) {
        match (from, message) {
            (Peer::Network(network), Message::Request(request)) => self.handle_request(network, request, now),
            (Peer::Network(network), Message::Stranger(stranger)) => {
                self.strangers.handle_stranger(network, stranger, self.time, now);
                self.complete_strangers();
            }
            (Peer::Network(network), Message::Duplicate(handle)) => {
                match self.held.named(network, handle).map(|held| &held.waiting) {
                    Some(Waiting::Reply(_)) => self.forward_again(network, handle, now),
                    // There is nothing to be sent again.
                    Some(Waiting::Password(_) | Waiting::Record { .. }) => {}
                    None => self.counters.late_notices.up(),
                }
            }
            (Peer::Network(network), Message::Epoch(epoch)) => {
                self.epochs[usize::from(network.0)] = epoch;
                if self.epochs.iter().all(|at| *at == epoch) {
                    self.held.mark(now);
                    self.conversations.mark(now);
                    self.policy.mark_conversations();
                    let keeps_any = self.keeps_marked_conversations();
                    self.handover.begin(keeps_any, &self.counters, now);
                }
            }
            (Peer::Network(network), Message::ToTask(name, told)) => self.handle_task(network, name, *told),
            (Peer::Network(network), Message::Cancel(handle)) => self.let_go(network, handle, now),
            (Peer::Network(_), Message::ReplyBuffer(buffer)) => {
                self.reply_buffers.give_back(buffer);
                self.counters.reply_buffers_lent.set(self.reply_buffers.lent() as u64);
            }
            (from, message) => panic!("{from:?} does not send {message:?} to a worker core"),
        }
    }

    /// Notes the time on the wall at the start of a turn.
    pub fn handle_wall_time(&mut self, time: UnixTime) {
        if seeded::is(Bug::WallClockInATimer)
            && let Some(due) = &mut self.lazy_sweep
        {
            let jumped = time.0.saturating_sub(self.time.0).saturating_sub(LAZY_SWEEP.as_secs());
            *due = Instant::from_nanoseconds(
                due.as_nanoseconds().saturating_sub(jumped.saturating_mul(1_000_000_000)),
            );
        }
        self.time = time;
    }

    /// Notes at the start of a turn how many slots of the ring to `peer` are free.
    pub fn handle_room(&mut self, peer: Peer, slots: usize) {
        if let Peer::Network(network) = peer {
            self.outboxes[usize::from(network.0)].room = slots;
        }
    }

    /// Does what is due. What lies in a ring to this core makes no deadline void.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..OVERDUE_EACH_TURN {
            let Some(held) = self.held.take_overdue(now) else { break };
            let Held { network, request, waiting, .. } = held;
            let reason = match waiting {
                Waiting::Reply(_) => Discard::NoAnswer,
                Waiting::Password(_) | Waiting::Record { .. } => Discard::EffectTimedOut,
            };
            self.discard_held(network, request, &waiting, reason, now);
        }
        self.counters.requests_held.set(self.held.len() as u64);
        self.handle_forwarding_timeout(now);
        self.handle_spool_timeout(now);
        self.strangers.handle_timeout(now);
        self.complete_strangers();
        if self.lazy_sweep.is_some_and(|due| due <= now) {
            self.lazy_sweep = (self.reply_buffers.lent() > 0).then(|| now + LAZY_SWEEP);
        }
        self.conversations.handle_timeout(now);
        self.note_conversations();
        self.resize_conversations();
        let Worker { handover, conversations, policy, time, counters, .. } = self;
        let keeps_any = || conversations.has_marked() || policy.keeps_marked_conversations(*time);
        handover.handle_timeout(keeps_any, counters, now);
    }

    /// When [`handle_timeout`](Worker::handle_timeout) is wanted next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Cause)> {
        let overdue = self.held.next_deadline().map(|due| (due, Cause::RequestTimeout));
        let look_up = self.strangers.next_deadline().map(|due| (due, Cause::LookUp));
        let lazy_sweep = self.lazy_sweep.map(|due| (due, Cause::LazySweep));
        let forwarding = self.forwarding.next_deadline().map(|due| (due, Cause::RemoteServer));
        let spool = self.spooling.next_deadline().map(|due| (due, Cause::Spool));
        let conversations =
            self.conversations.next_deadline().into_iter().chain(self.handover.next_deadline());
        let conversations = conversations.min().map(|due| (due, Cause::Conversations));
        overdue
            .into_iter()
            .chain(look_up)
            .chain(lazy_sweep)
            .chain(forwarding)
            .chain(spool)
            .chain(conversations)
            .min()
    }

    /// The answer to an effect: to all requests that wait for it, or where these are gone to nobody.
    pub fn handle_effect_done(&mut self, ticket: Ticket, answer: EffectDone, now: Instant) {
        let answer = match answer {
            EffectDone::Resolved(answer) => return self.handle_resolved(ticket, &answer, now),
            EffectDone::Shed(Effect::Resolve(_)) => {
                return self.handle_resolved(ticket, &Resolved::Failed, now);
            }
            EffectDone::SpoolKey(key) => return self.handle_spool_key(ticket, key),
            EffectDone::ErrandDone(answered) => return self.handle_errand(ticket, answered),
            EffectDone::Shed(Effect::Errand(_)) if seeded::is(Bug::ShedErrandForgotten) => return,
            EffectDone::Shed(Effect::Errand(_)) => {
                return self.handle_errand(ticket, Answered::Done(Err(ERRAND_SHED.into())));
            }
            EffectDone::ToBeSent(spooled) => return self.handle_spooled(ticket, *spooled, now),
            // There is no spool.
            EffectDone::Shed(Effect::Relay(_)) => return,
            EffectDone::LookedUp(answer) => return self.handle_looked_up(ticket, Ok(answer), now),
            EffectDone::Shed(Effect::LookUp(_)) => {
                return self.handle_looked_up(ticket, Err(Discard::LookUpLineFull), now);
            }
            answer @ (EffectDone::PasswordChecked { .. }
            | EffectDone::Stored { .. }
            | EffectDone::Spooled { .. }
            | EffectDone::Shed(_)) => answer,
        };
        if !self.held.is_current(ticket) {
            self.counters.effects_late.up();
        }
        let said = match answer {
            EffectDone::PasswordChecked { password, matches } => {
                self.memory.passwords.give_back(password);
                Ok(matches)
            }
            EffectDone::Stored { buffer, result } => {
                self.memory.records.give_back(buffer);
                // Nothing is asked of the answer: a record is safe, or its request is not answered.
                result.map(|()| true).map_err(|NotStored| Discard::NotStored)
            }
            EffectDone::Spooled { buffer, result } => {
                self.spooling.records.give_back(buffer);
                result.map(|()| true).map_err(|why| match why {
                    NotSpooled::Full => Discard::SpoolFull,
                    NotSpooled::Failed => Discard::NotSpooled,
                })
            }
            EffectDone::Shed(Effect::Spool(batch)) => {
                self.spooling.records.give_back(batch.octets);
                Err(Discard::SpoolLineFull)
            }
            EffectDone::Shed(Effect::CheckPassword { password, .. }) => {
                self.memory.passwords.give_back(password);
                Err(Discard::HashLineFull)
            }
            EffectDone::Shed(Effect::Store(batch)) => {
                self.memory.records.give_back(batch.octets);
                Err(Discard::StoreLineFull)
            }
            EffectDone::LookedUp(_)
            | EffectDone::Resolved(_)
            | EffectDone::SpoolKey(_)
            | EffectDone::ToBeSent(_)
            | EffectDone::ErrandDone(_)
            | EffectDone::Shed(
                Effect::LookUp(_) | Effect::Resolve(_) | Effect::Relay(_) | Effect::Errand(_),
            ) => {
                unreachable!("no request waits for it")
            }
        };
        while let Some(held) = self.held.take_answered(ticket) {
            let Held { network, request, waiting, taken_up } = held;
            match (said, waiting) {
                (Ok(matches), Waiting::Password(undecided)) => {
                    self.decide(network, request, Known::Password(undecided, matches), taken_up, now);
                }
                (Ok(_), Waiting::Record { then: Some(decision), .. }) => {
                    let goes_on = self.decisions.take(decision);
                    self.go_on(network, request, goes_on, taken_up, now);
                }
                (Ok(_), waiting @ Waiting::Record { .. }) => {
                    self.acknowledge(network, request, &waiting, now);
                }
                (Ok(_), Waiting::Reply(_)) => unreachable!("no effect stands for a remote server"),
                (Err(reason), waiting) => self.discard_held(network, request, &waiting, reason, now),
            }
        }
        self.counters.requests_held.set(self.held.len() as u64);
    }

    /// What this core needs to have done elsewhere, and the ticket under which it wants the answer.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        let look_up =
            || self.strangers.poll_look_up().map(|(ticket, look_up)| (ticket, Effect::LookUp(look_up)));
        let Worker { memory, spooling, tasks, .. } = self;
        self.effects
            .pop_front()
            .or_else(look_up)
            .or_else(|| tasks.poll_errand().map(|(ticket, errand)| (ticket, Effect::Errand(errand))))
            .or_else(|| memory.records.take().map(|(ticket, batch)| (ticket, Effect::Store(batch))))
            .or_else(|| spooling.poll_effect())
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
            || !self.effects.is_empty()
            || self.forwarding.has_output()
            || self.strangers.has_look_up()
            || self.memory.records.has_any()
            || self.spooling.has_effect()
            || self.tasks.has_any_ready()
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
            + self.held.len()
            + self.strangers.held()
    }

    /// The next deadline, for the simulator's judges.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.held.next_deadline().into_iter().chain(self.strangers.next_deadline()).min()
    }

    /// Whether every network core routes by the owners of this epoch and nothing is left from before that, neither a request
    /// that is held nor a conversation that policy keeps: slots that have gone to others need not be remembered as this
    /// worker's.
    pub fn has_settled(&self, epoch: u32) -> bool {
        let has_heard =
            self.epochs.iter().all(|at| *at == epoch) || seeded::is(Bug::WorkerChangeWithoutEpoch);
        has_heard && !self.held.has_marked() && self.handover.is_over()
    }

    /// The requests that wait for an effect, for the simulator's judges. Walks over them.
    pub fn requests_held(&self) -> impl Iterator<Item = &Request> {
        self.held.iter().map(|held| &held.request)
    }

    /// Whether nothing is under way: what a draining server waits for.
    pub fn is_drained(&self) -> bool {
        self.held.len() + self.decisions.len() + self.strangers.held() == 0
            && self.waits_for_room().next().is_none()
    }

    /// Whether nothing of ours is left on the way to a network core, and nothing more will come.
    pub fn has_done_with(&self, network: NetworkId) -> bool {
        self.outboxes[usize::from(network.0)].waiting.is_empty() && !self.tasks.has_any_of(network)
    }

    /// Network cores to which completions wait for room in the ring.
    pub fn waits_for_room(&self) -> impl Iterator<Item = NetworkId> + '_ {
        let waiting = self.outboxes.iter().enumerate().filter(|(_, outbox)| !outbox.waiting.is_empty());
        waiting.map(|(network, _)| NetworkId(network as u16))
    }

    /// What this core knows of who is no client, or not yet.
    pub fn strangers(&mut self) -> &mut Strangers {
        &mut self.strangers
    }

    /// What a table says of these keys has changed.
    pub fn handle_table_changed(&mut self, source: &str, keys: &[Box<[u8]>]) {
        self.strangers.handle_table_changed(source, keys);
    }

    fn handle_looked_up(&mut self, ticket: Ticket, answer: Result<LookedUp, Discard>, now: Instant) {
        if !self.strangers.handle_looked_up(ticket, answer, now) {
            self.counters.effects_late.up();
        }
        self.complete_strangers();
    }

    /// What has been decided about strangers goes home.
    fn complete_strangers(&mut self) {
        while let Some((network, decided)) = self.strangers.poll_decided() {
            self.complete(network, decided);
        }
    }

    fn handle_request(&mut self, network: NetworkId, request: Request, now: Instant) {
        self.take_up(network, request, now);
    }

    fn keeps_marked_conversations(&self) -> bool {
        self.conversations.has_marked() || self.policy.keeps_marked_conversations(self.time)
    }

    /// Decides about a request that was taken up at that time, with what is known by now.
    fn decide(
        &mut self,
        network: NetworkId,
        request: Request,
        known: Known,
        taken_up: Instant,
        now: Instant,
    ) {
        if let Known::Ongoing(round, _) = &known {
            self.load_session(Some(*round));
        }
        let round = if let Known::Ongoing(round, _) = &known { Some(*round) } else { None };
        let Worker { generations, policy, desk, memory, time, .. } = self;
        // Also what an effect has held up ends under the configuration that it came under.
        let configuration = if seeded::is(Bug::ReloadSwapsASecretInFlight) {
            generations.newest().1
        } else {
            generations.of(request.stamp().generation)
        };
        match request::answer(configuration, &mut **policy, &request, known, memory, desk, *time, taken_up) {
            Ok(Step::Answered(answered)) => {
                if let Some(round) = round {
                    self.end_here(round, now);
                }
                self.reply(network, request, answered, taken_up, now);
            }
            Ok(Step::Elsewhere) => self.complete(network, Message::Elsewhere(request)),
            Ok(Step::Waits(effect, waiting)) => {
                self.counters.effects.up();
                let ticket = self.held.begin_effect();
                self.effects.push_back((ticket, effect));
                self.hold(ticket, Held { network, request, waiting, taken_up });
            }
            Ok(Step::Stores(rule, then)) => {
                let mut then = then.filter(|_| !seeded::is(Bug::RecordAnsweredBeforeItsHome));
                let at_once = if seeded::is(Bug::RecordGoesOnUnstored) { then.take() } else { None };
                let then = then.map(|goes_on| self.decisions.keep(goes_on));
                let waiting = Waiting::Record { rule, then, is_spooled: false };
                let Worker { memory, held, counters, .. } = self;
                let ticket = memory.records.ticket(held, counters);
                match at_once {
                    Some(goes_on) => self.go_on(network, request, goes_on, taken_up, now),
                    None => self.hold(ticket, Held { network, request, waiting, taken_up }),
                }
                let full = self.memory.records.take_full();
                self.effects.extend(full.map(|(ticket, batch)| (ticket, Effect::Store(batch))));
            }
            Ok(Step::GoesOn(goes_on)) => self.go_on(network, request, goes_on, taken_up, now),
            Ok(Step::Refused(cause)) => self.refuse(network, request, cause, now),
            Err(reason) => self.discard(network, request, reason, now),
        }
    }

    /// Keeps a request until the effect of this ticket is done.
    fn hold(&mut self, ticket: Ticket, held: Held<Waiting>) {
        let stamp = held.request.stamp();
        let configuration = self.generations.of(stamp.generation);
        let deadline = stamp.received + configuration.protocol.request_timeout;
        self.held.hold(ticket, held, deadline);
        self.counters.requests_held.set(self.held.len() as u64);
    }
}
