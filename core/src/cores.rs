//! What one thread runs: a network core, a worker core, or where threads are joined one of each; and its crossing to
//! the other threads.
//!
//! [`assemble`] builds all threads of a server at once. [`Cores`] has the phases of a turn. The runtime calls them back
//! to back; the simulator calls them one by one and stops threads between any two:
//!
//! 1. [`unpark`](Cores::unpark) after an announcement; [`begin`](Cores::begin): how much room there is in each ring;
//!    [`handle_wall_time`](Cores::handle_wall_time) where rules ask for the time. A driver whose turns grow long lowers
//!    [`set_requests_max`](Cores::set_requests_max).
//! 2. [`sweep`](Cores::sweep): messages from other threads; after it
//!    [`handle_effect_done`](Cores::handle_effect_done) for each effect that was done meanwhile. In this order, so that a
//!    request that was superseded before its answer is looked at has been let go of.
//! 3. [`handle_datagram`](Cores::handle_datagram): for each datagram read.
//! 4. [`handle_timeout`](Cores::handle_timeout): what is due, once all rings are swept.
//! 5. [`work`](Cores::work): where threads are joined, what this thread's own worker has to do.
//! 6. [`poll_effect`](Cores::poll_effect), until `None`: what is to be done elsewhere. One for which there is no room
//!    there comes back through [`handle_effect_done`](Cores::handle_effect_done) at once.
//! 7. [`poll_transmit`](Cores::poll_transmit): packets to be sent, until `None`.
//! 8. [`finish`](Cores::finish), [`publish`](Cores::publish), [`check_gate`](Cores::check_gate) until `None`.
//! 9. If [`may_park`](Cores::may_park): [`announce`](Cores::announce), [`look_again`](Cores::look_again), and unless
//!    that found something, sleep until bell, socket or [`poll_timeout`](Cores::poll_timeout).

use crate::configuration::Configuration;
use crate::effect::{Effect, EffectDone, Ticket};
use crate::event::Event;
use crate::generation::Generation;
use crate::network::Network;
use crate::path::{NetworkId, Path, Peer, Transmit, WorkerId};
use crate::policy::{ConfiguredRules, PolicyFactory};
use crate::queue::message::Message;
use crate::queue::{Announcement, BellId, Crossing, Exchange, LinkId, QueueCounters, Urgency};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::{Cause, Instant, UnixTime};
use crate::worker::Worker;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Messages taken off each ring in one sweep, at most; and at most half a ring, so that a writer who waits for room gets
/// half of it back before the rest is worked on.
const SWEEP_BUDGET: usize = 64;

/// What one thread runs.
pub struct Cores {
    network: Option<Network>,
    worker: Option<Worker>,
    crossing: Crossing<Message>,
    /// By link: which of this thread's cores it belongs to, and which core is at its other end.
    links: Vec<(Peer, Peer)>,
    between: Between,
    sweep_budget: usize,
    /// Requests that the worker may take up in a turn, and has taken up in this one.
    requests_max: usize,
    requests: usize,
}

/// What the two cores of a joined thread have for each other. Bounded like a ring.
#[derive(Default)]
struct Between {
    to_worker: VecDeque<Message>,
    to_network: VecDeque<Message>,
    slots: usize,
}

/// Builds the cores of every thread of a server: first the network threads, then the workers; joined ones are both. The
/// rules of the configuration decide.
pub fn assemble(configuration: &Arc<Configuration>, seed: &Seed) -> Vec<Cores> {
    assemble_with(configuration, seed, &|_| Box::new(ConfiguredRules::new(Arc::clone(configuration))))
}

/// The same with a policy for each worker that `policies` makes.
pub fn assemble_with(
    configuration: &Arc<Configuration>,
    seed: &Seed,
    policies: &PolicyFactory<'_>,
) -> Vec<Cores> {
    let networks = configuration.network_cores() as u16;
    let workers = configuration.worker_cores() as u16;
    let is_joined = configuration.runtime.network_threads == 0;
    let slots = configuration.runtime.ring_slots;
    let thread_of = |peer: Peer| match peer {
        Peer::Network(network) => BellId(network.0),
        Peer::Worker(worker) if is_joined => BellId(worker.0),
        Peer::Worker(worker) => BellId(networks + worker.0),
    };
    let threads = if is_joined { workers } else { networks + workers };
    let mut exchange = Exchange::new(threads);
    let mut links: Vec<Vec<(Peer, Peer)>> = (0..threads).map(|_| Vec::new()).collect();
    let all_networks = || (0..networks).map(|network| Peer::Network(NetworkId(network)));
    let all_workers = || (0..workers).map(|worker| Peer::Worker(WorkerId(worker)));
    let strays = all_networks()
        .flat_map(|one| all_networks().filter(move |other| one < *other).map(move |o| (one, o)));
    let requests = all_networks().flat_map(|network| all_workers().map(move |worker| (network, worker)));
    for (one, other) in strays.chain(requests) {
        if thread_of(one) != thread_of(other) {
            let (at_one, at_other) = exchange.link(thread_of(one), thread_of(other), slots);
            for (peer, link, ends) in [(one, at_one, (one, other)), (other, at_other, (other, one))] {
                let links = &mut links[usize::from(thread_of(peer).0)];
                assert!(
                    links.len() == link.0,
                    "links of a thread count up in the order in which they are made"
                );
                links.push(ends);
            }
        }
    }
    exchange
        .build()
        .into_iter()
        .zip(links)
        .zip(0..)
        .map(|((crossing, links), thread)| {
            let network = (thread < networks).then(|| {
                let own_worker = is_joined.then_some(WorkerId(thread));
                Network::new(NetworkId(thread), Arc::clone(configuration), own_worker, seed)
            });
            let worker = if is_joined { Some(thread) } else { thread.checked_sub(networks) };
            let worker = worker.map(|worker| {
                let worker = WorkerId(worker);
                Worker::new(worker, Arc::clone(configuration), policies(worker), seed)
            });
            let between = if is_joined { Between::new(slots) } else { Between::new(0) };
            Cores {
                network,
                worker,
                crossing,
                links,
                between,
                sweep_budget: SWEEP_BUDGET.min(slots / 2).max(1),
                requests_max: usize::MAX,
                requests: 0,
            }
        })
        .collect()
}

impl Between {
    fn new(slots: usize) -> Self {
        Between {
            to_worker: VecDeque::with_capacity(slots),
            to_network: VecDeque::with_capacity(slots),
            slots,
        }
    }
}

impl Cores {
    /// The network core, if this thread has one.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The worker core, if this thread has one.
    pub fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// A reload's first step, between two turns: all cores of all threads take the configuration that is to be in force
    /// next, and go on under the one that is.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        if let Some(network) = &mut self.network {
            network.handle_configuration(generation, Arc::clone(configuration));
        }
        if let Some(worker) = &mut self.worker {
            worker.handle_configuration(generation, Arc::clone(configuration));
        }
    }

    /// Its second step, once every thread has done the first: packets read from here on are verified under it.
    pub fn put_in_force(&mut self, generation: Generation) {
        if let Some(network) = &mut self.network {
            network.put_in_force(generation);
        }
    }

    /// Whether this thread still has to do with the configuration before the one in force.
    pub fn needs_older(&self) -> bool {
        self.network.as_ref().is_some_and(Network::needs_older)
    }

    /// Its third step, once every thread has done the second and none needs it: the configuration before is forgotten.
    pub fn forget_older(&mut self) {
        if let Some(network) = &mut self.network {
            network.forget_older();
        }
        if let Some(worker) = &mut self.worker {
            worker.forget_older();
        }
    }

    /// This thread's number, by which others ring its bell.
    pub fn bell(&self) -> BellId {
        self.crossing.bell()
    }

    /// What the crossing has counted.
    pub fn queue_counters(&self) -> QueueCounters {
        self.crossing.counters()
    }

    /// Back to `RUN`, after a sleep or instead of one.
    pub fn unpark(&mut self) {
        self.crossing.unpark();
    }

    /// Notes the time on the wall. Told each turn where rules ask for it; it may go back.
    pub fn handle_wall_time(&mut self, time: UnixTime) {
        if let Some(worker) = &mut self.worker {
            worker.handle_wall_time(time);
        }
    }

    /// How many requests the worker takes up in each turn from now on, at most, and at least one; more wait in their
    /// ring. A driver with a clock chooses it so that no turn is long: who waits meanwhile is a Status-Server, say.
    pub fn set_requests_max(&mut self, requests_max: usize) {
        self.requests_max = requests_max.max(1);
    }

    /// How many the worker has taken up in this turn.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// A turn begins: each core learns how much room its rings have.
    pub fn begin(&mut self) {
        self.requests = 0;
        for (link, (own, other)) in self.links.iter().enumerate() {
            let room = self.crossing.room(LinkId(link));
            match own {
                Peer::Network(_) => self.network.as_mut().expect(OWN_CORE).handle_room(*other, room),
                Peer::Worker(_) => self.worker.as_mut().expect(OWN_CORE).handle_room(*other, room),
            }
        }
        if let (Some(network), Some(worker)) = (&mut self.network, &mut self.worker) {
            network.handle_room(Peer::Worker(worker.id()), self.between.slots - self.between.to_worker.len());
            worker
                .handle_room(Peer::Network(network.id()), self.between.slots - self.between.to_network.len());
        }
    }

    /// Takes a bounded number of messages off each ring. Says whether there was any.
    pub fn sweep(&mut self, now: Instant) -> bool {
        let to_workers = self.links.iter().filter(|(own, _)| matches!(own, Peer::Worker(_))).count();
        let share = (self.requests_max / to_workers.max(1)).max(1).min(self.sweep_budget);
        self.sweep_up_to(self.sweep_budget, share, now)
    }

    /// One datagram from this thread's sockets. Only for threads with a network core.
    pub fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.network
            .as_mut()
            .expect("sockets belong to threads with a network core")
            .handle_datagram(path, octets, now);
        self.decide_aside(now);
    }

    /// Does what is due, if anything is. Sweeps the network core's rings first: a completion there may make a deadline
    /// void. Requests that wait for the worker have none.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|(due, _)| due > now) {
            return;
        }
        self.sweep_up_to(usize::MAX, 0, now);
        if let Some(network) = &mut self.network {
            network.handle_timeout(now);
        }
        if let Some(worker) = &mut self.worker {
            worker.handle_timeout(now);
        }
    }

    /// Where threads are joined: hands to the thread's own worker what is for it, as far as it takes up more in this turn.
    pub fn work(&mut self, now: Instant) {
        self.stage();
        let (Some(network), Some(worker)) = (&self.network, &mut self.worker) else { return };
        let from = Peer::Network(network.id());
        while self.requests < self.requests_max
            && let Some(message) = self.between.to_worker.pop_front()
        {
            self.requests += usize::from(matches!(message, Message::Request(_)));
            worker.handle_message(from, message, now);
        }
    }

    /// What a core needs to have done elsewhere. Only workers ask.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.worker.as_mut().and_then(Worker::poll_effect)
    }

    /// The answer to an effect that this thread asked for.
    pub fn handle_effect_done(&mut self, ticket: Ticket, answer: EffectDone, now: Instant) {
        self.worker.as_mut().expect("only workers ask for effects").handle_effect_done(ticket, answer, now);
    }

    /// One packet to be sent, into the caller's empty buffer.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let from_network = self.network.as_mut().and_then(|network| network.poll_transmit(out));
        from_network.or_else(|| self.worker.as_mut().and_then(|worker| worker.poll_transmit(out)))
    }

    /// The next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        let from_network = self.network.as_mut().and_then(Network::poll_event);
        from_network.or_else(|| self.worker.as_mut().and_then(Worker::poll_event))
    }

    /// The turn's messages go into the rings, where nobody sees them yet; where threads are joined, what this thread's
    /// own worker has finished goes home to its network core.
    pub fn finish(&mut self, now: Instant) {
        self.stage();
        let (Some(network), Some(worker)) = (&mut self.network, &self.worker) else { return };
        let from = Peer::Worker(worker.id());
        while let Some(message) = self.between.to_network.pop_front() {
            network.handle_message(from, message, now);
        }
    }

    fn stage(&mut self) {
        let Cores { network, worker, crossing, links, between, .. } = self;
        let own_network = network.as_ref().map(|network| Peer::Network(network.id()));
        let own_worker = worker.as_ref().map(|worker| Peer::Worker(worker.id()));
        let mut stage = |own: Option<Peer>, other: Peer, message: Message| {
            let own = own.expect(OWN_CORE);
            let link =
                links.iter().position(|ends| *ends == (own, other)).expect("every two cores are linked");
            let urgency = message.urgency();
            crossing.stage(LinkId(link), message, urgency);
        };
        if let Some(network) = network {
            while let Some((to, message)) = network.poll_message() {
                if Some(to) == own_worker {
                    between.to_worker.push_back(message);
                } else {
                    stage(own_network, to, message);
                }
            }
        }
        if let Some(worker) = worker {
            while let Some((to, message)) = worker.poll_message() {
                if Some(to) == own_network {
                    between.to_network.push_back(message);
                } else {
                    stage(own_worker, to, message);
                }
            }
        }
    }

    /// Shows the other threads what was staged.
    pub fn publish(&mut self) {
        self.crossing.publish();
    }

    /// After [`publish`](Cores::publish), until `None`: a bell that this thread has to ring.
    pub fn check_gate(&mut self) -> Option<BellId> {
        self.crossing.check_gate()
    }

    /// Whether nothing is left to do that needs no bell, socket or deadline.
    pub fn may_park(&self) -> bool {
        !self.has_output() || seeded::is(Bug::OutputForgottenBeforeAPark)
    }

    /// Whether a core has something that the driver has not polled yet, or one core of this thread for the other.
    pub fn has_output(&self) -> bool {
        !self.between.to_worker.is_empty()
            || !self.between.to_network.is_empty()
            || self.network.as_ref().is_some_and(Network::has_output)
            || self.worker.as_ref().is_some_and(Worker::has_output)
    }

    /// Says that this thread is about to sleep. What waits for room in a ring asks for it first.
    pub fn announce(&mut self) {
        let Cores { network, worker, crossing, links, .. } = self;
        let mut ask = |other: Peer, own: Peer| {
            if let Some(link) = links.iter().position(|ends| *ends == (own, other)) {
                crossing.ask_for_space(LinkId(link));
            }
        };
        if let Some(network) = network {
            network.waits_for_room().for_each(|other| ask(Peer::Worker(other), Peer::Network(network.id())));
        }
        if let Some(worker) = worker {
            worker.waits_for_room().for_each(|other| ask(Peer::Network(other), Peer::Worker(worker.id())));
        }
        let wants_completions = network.as_ref().is_some_and(Network::wants_completions);
        crossing.announce(if wants_completions { Announcement::Want } else { Announcement::Park });
    }

    /// The second look: whether there is something to do after all.
    pub fn look_again(&mut self) -> bool {
        self.crossing.look_again()
    }

    /// Whether a ring holds a message, or room that was waited for has come. For a thread that lingers.
    pub fn is_anything_unread(&mut self) -> bool {
        self.crossing.is_anything_unread()
    }

    /// Whether this thread will still look at a gate before it can sleep: a ring may be on its way. For the simulator.
    pub fn is_before_gate(&self) -> bool {
        self.crossing.is_before_gate()
    }

    /// When [`handle_timeout`](Cores::handle_timeout) is wanted next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Cause)> {
        let network = self.network.as_ref().and_then(Network::poll_timeout);
        let worker = self.worker.as_ref().and_then(Worker::poll_timeout);
        network.into_iter().chain(worker).min()
    }

    /// What is inside, for the simulator's judges.
    pub fn inspect(&self) -> Inspection {
        let of_network = self.network.as_ref().and_then(Network::earliest_deadline);
        let of_worker = self.worker.as_ref().and_then(Worker::earliest_deadline);
        let earliest_deadline = of_network.into_iter().chain(of_worker).min();
        let mut inspection = Inspection {
            earliest_deadline,
            must_not_sleep: self.crossing.is_space_there(),
            ..Inspection::default()
        };
        self.crossing.for_each_unread(|_, message| {
            inspection.buffers_in_rings += message.buffers();
            inspection.must_not_sleep |= message.urgency() == Urgency::Urgent;
        });
        self.crossing.for_each_staged(|message| inspection.buffers_owned += message.buffers());
        for message in self.between.to_worker.iter().chain(&self.between.to_network) {
            inspection.buffers_owned += message.buffers();
        }
        if let Some(network) = &self.network {
            inspection.buffers_made += network.buffers().made();
            inspection.buffers_free += network.buffers().free();
            inspection.buffers_owned += network.buffers_owned();
        }
        if let Some(worker) = &self.worker {
            inspection.buffers_made += worker.buffers().made();
            inspection.buffers_free += worker.buffers().free();
            inspection.buffers_owned += worker.buffers_owned();
        }
        inspection
    }

    /// Whether nothing is under way here: what a draining server waits for.
    pub fn is_drained(&self) -> bool {
        self.may_park()
            && self.network.as_ref().is_none_or(Network::is_drained)
            && self.worker.as_ref().is_none_or(Worker::is_drained)
    }

    /// At most so many messages off each ring to the network core, and to the worker.
    fn sweep_up_to(&mut self, to_network: usize, to_worker: usize, now: Instant) -> bool {
        let Cores { network, worker, crossing, links, requests, .. } = self;
        let budget = |link: LinkId| match links[link.0].0 {
            Peer::Network(_) => to_network,
            Peer::Worker(_) => to_worker,
        };
        let taken = crossing.sweep_each(budget, |link, message| {
            let (own, other) = links[link.0];
            match own {
                Peer::Network(_) => network.as_mut().expect(OWN_CORE).handle_message(other, message, now),
                Peer::Worker(_) => {
                    *requests += usize::from(matches!(message, Message::Request(_)));
                    worker.as_mut().expect(OWN_CORE).handle_message(other, message, now);
                }
            }
        });
        self.decide_aside(now);
        taken > 0
    }

    /// Decides about duplicates of requests in progress: each once the ring of the worker that has the request is
    /// swept, for its completion may lie there.
    fn decide_aside(&mut self, now: Instant) {
        let Some(network) = &mut self.network else { return };
        while let Some(holder) = network.poll_sweep() {
            let ends = (Peer::Network(network.id()), Peer::Worker(holder));
            if let Some(link) = self.links.iter().position(|link| *link == ends) {
                self.crossing.sweep_link(LinkId(link), usize::MAX, |message| {
                    network.handle_message(ends.1, message, now);
                });
            }
            network.handle_swept(now);
        }
    }
}

/// What a thread looks like from inside, at the boundary of two phases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The next deadline, found by looking at what is due.
    pub earliest_deadline: Option<Instant>,
    /// A message for which the thread must be woken is visible to it, or room that it waits for has come.
    pub must_not_sleep: bool,
    /// Packet buffers that this thread's cores have made.
    pub buffers_made: usize,
    /// Of these, how many lie in their free lists.
    pub buffers_free: usize,
    /// Buffers of any owner in messages that this thread has not read.
    pub buffers_in_rings: usize,
    /// Buffers of any owner that this thread holds.
    pub buffers_owned: usize,
}

const OWN_CORE: &str = "a link belongs to a core of this thread";
