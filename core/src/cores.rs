//! What one thread runs: a network core, a worker core, or where threads are joined one of each; and its crossing to
//! the other threads.
//!
//! [`assemble`] builds all threads of a server at once. [`Cores`] has the phases of a turn. The runtime calls them back
//! to back; the simulator calls them one by one and stops threads between any two:
//!
//! 1. [`unpark`](Cores::unpark) after an announcement; [`begin`](Cores::begin): how much room there is in each ring;
//!    [`handle_wall_time`](Cores::handle_wall_time) where rules ask for the time.
//! 2. [`sweep`](Cores::sweep): messages from other threads for the network core.
//! 3. [`handle_datagram`](Cores::handle_datagram): for each datagram read; [`handle_octets`](Cores::handle_octets) for what was
//!    read of a stream.
//! 4. [`handle_timeout`](Cores::handle_timeout): what is due, once the network core's rings are swept.
//! 5. [`work`](Cores::work): what waits for the worker, from other threads and from its own network core, a few requests
//!    at a time as long as the turn is short; what is left waits for the next. After it
//!    [`handle_effect_done`](Cores::handle_effect_done) for each effect that was done meanwhile. In this order, so that a
//!    request that the worker knows to be superseded has been let go of before its answer is looked at.
//! 6. [`poll_effect`](Cores::poll_effect), until `None`: what is to be done elsewhere. One for which there is no room
//!    there comes back through [`handle_effect_done`](Cores::handle_effect_done) at once.
//!    [`poll_remote_order`](Cores::poll_remote_order), until `None` or as many as the driver has time for: sockets to remote servers, to be opened and closed; then
//!    [`poll_forward`](Cores::poll_forward), until `None`: packets to be sent through them. What is read from them goes through
//!    [`handle_remote_datagram`](Cores::handle_remote_datagram), between 3 and 4.
//! 7. [`poll_socket`](Cores::poll_socket), until `None`: sockets to be opened and closed. What was in a socket that is closed
//!    goes through [`handle_datagram`](Cores::handle_datagram). [`poll_transmit`](Cores::poll_transmit): packets to be sent, until `None`.
//!    Where there are streams: [`bring_home`](Cores::bring_home), and [`poll_stream`](Cores::poll_stream) until `None`.
//! 8. [`finish`](Cores::finish), [`publish`](Cores::publish), [`check_gate`](Cores::check_gate) until `None`.
//! 9. If [`may_park`](Cores::may_park): [`announce`](Cores::announce), [`look_again`](Cores::look_again), and unless
//!    that found something, sleep until bell, socket or [`poll_timeout`](Cores::poll_timeout).
//!
//! A core that panics while it handles input or gives output is replaced by [`recover`](Cores::recover), and the thread goes on
//! with the next turn.

mod account;
mod assembly;
mod inspection;
mod links;
mod reload;
mod staff;
mod staging;
mod succession;
mod tie;

pub use self::account::{Bereavement, Outstanding};
pub use self::assembly::{assemble, assemble_with};
pub use self::inspection::Inspection;
pub use self::staff::{Change, Letter, Staff};

use self::links::{Ends, Ways, ends};
use self::staging::{polling, stage_from};
use self::tie::Tie;

use crate::control::{ControlId, ControlView};
use crate::discard::Discard;
use crate::effect::{Effect, EffectDone, Ticket};
use crate::event::Event;
use crate::forward::{RemoteOrder, RemoteSocket};
use crate::network::Network;
use crate::network::connected::{OwnSocket, SocketOrder};
use crate::path::{ListenerId, Path, Peer, StreamId, Transmit};
use crate::policy::PolicyFactory;
use crate::queue::message::Message;
use crate::queue::{Announcement, BellId, Crossing, LinkId, QueueCounters, Urgency, Woken};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::stream::{End, StreamView};
use crate::time::{Cause, Instant, UnixTime};
use crate::worker::Worker;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Messages taken off each ring in one sweep, at most; and at most half a ring, so that a writer who waits for room gets
/// half of it back before the rest is worked on.
const SWEEP_BUDGET: usize = 64;

/// What one thread runs.
pub struct Cores {
    network: Option<Network>,
    worker: Option<Worker>,
    crossing: Crossing<Message, Letter>,
    /// By link: which cores it joins, and what they have with each other.
    links: Vec<Option<Ends>>,
    ties: Vec<Tie>,
    ways: Ways,
    between: Between,
    /// Which core is running: whose the panic is if there is one.
    running: Running,
    /// What cores are made of.
    seed: Seed,
    policies: Arc<PolicyFactory>,
    sweep_budget: usize,
    /// The worker's lines: its rings, and where threads are joined the line from its own network core.
    lines: Vec<Line>,
    /// The one that is looked at next.
    next_line: usize,
    /// Cores that were told to panic, each as often as it was told: as many as a supervisor has posted.
    drills: VecDeque<Peer>,
}

/// Whose code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    /// That of the queues, or of none: no panic here can be recovered from.
    Queues,
    Network,
    Worker,
}

/// Where requests wait for a worker.
#[derive(Debug, Clone, Copy)]
enum Line {
    Ring(LinkId),
    Own,
}

/// What the two cores of a joined thread have for each other. Bounded like a ring.
#[derive(Default)]
struct Between {
    to_worker: VecDeque<Message>,
    to_network: VecDeque<Message>,
    slots: usize,
    /// The network core's side of what it has with the worker, and the worker's.
    of_network: Tie,
    of_worker: Tie,
}

impl Between {
    fn new(slots: usize) -> Self {
        Between {
            to_worker: VecDeque::with_capacity(slots),
            to_network: VecDeque::with_capacity(slots),
            slots,
            ..Between::default()
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

    /// This thread's number, by which others ring its bell.
    pub fn bell(&self) -> BellId {
        self.crossing.bell()
    }

    /// What the crossing has counted.
    pub fn queue_counters(&self) -> QueueCounters {
        self.crossing.counters()
    }

    /// Back to `RUN`, after a sleep or instead of one; says whether anybody rang.
    pub fn unpark(&mut self) -> Woken {
        self.crossing.unpark()
    }

    /// Notes the time on the wall. Told each turn where rules ask for it; it may go back.
    pub fn handle_wall_time(&mut self, time: UnixTime) {
        if let Some(worker) = &mut self.worker {
            worker.handle_wall_time(time);
        }
    }

    /// How many packets this thread's network core has shed so far, as a worker on another thread had no room for them. Where
    /// the two share a processor, that worker wants it now.
    pub fn shed_for_others(&self) -> u64 {
        let Some(network) = self.network.as_ref().filter(|_| self.worker.is_none()) else { return 0 };
        let reasons = [Discard::WorkerFull, Discard::WorkerFullAccounting, Discard::WorkerFullOngoing];
        reasons.map(|reason| network.counters().discarded[reason as usize].value()).into_iter().sum()
    }

    /// Whether this thread has a worker, and its network core, if it has one, need not cross for each request.
    pub fn has_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// A turn begins: each core learns how much room its rings have.
    pub fn begin(&mut self) {
        // What was said since the last turn's end has used up room that is counted anew below.
        self.stage();
        self.read_letters();
        for link in 0..self.links.len() {
            let Some(Ends { own, other, .. }) = self.links[link] else { continue };
            let room = self.crossing.room(LinkId(link));
            let room = if self.ties[link].is_busy() { self.tell(link, room) } else { room };
            match own {
                Peer::Network(_) => self.network.as_mut().expect(OWN_CORE).handle_room(other, room),
                Peer::Worker(_) => self.worker.as_mut().expect(OWN_CORE).handle_room(other, room),
            }
        }
        self.detach_what_is_over();
        if let (Some(network), Some(worker)) = (&mut self.network, &mut self.worker) {
            let Between { to_worker, to_network, slots, .. } = &self.between;
            network.handle_room(Peer::Worker(worker.id()), slots.saturating_sub(to_worker.len()));
            worker.handle_room(Peer::Network(network.id()), slots.saturating_sub(to_network.len()));
        }
    }

    /// Takes a bounded number of messages off each ring to the network core. Says whether there was any.
    pub fn sweep(&mut self, now: Instant) -> bool {
        let was_any = self.sweep_up_to(self.sweep_budget, now);
        if self.network.as_ref().is_some_and(Network::holds_back) {
            self.on_network(|network| network.retry_streams(now));
            self.decide_aside(now);
        }
        was_any
    }

    /// One datagram from this thread's sockets. Only for threads with a network core.
    pub fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.on_network(|network| network.handle_datagram(path, octets, now));
        self.decide_aside(now);
    }

    /// A listener of this thread's has a new stream. Only for threads with a network core.
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
        self.on_network(|network| network.handle_accepted(listener, local, remote, now))
    }

    /// Octets of a stream of this thread's.
    pub fn handle_octets(&mut self, stream: StreamId, octets: &[u8], now: Instant) {
        self.on_network(|network| network.handle_octets(stream, octets, now));
        self.decide_aside(now);
    }

    /// The peer of a stream sends nothing more.
    pub fn handle_ended(&mut self, stream: StreamId, now: Instant) {
        self.on_network(|network| network.handle_ended(stream, now));
        self.decide_aside(now);
    }

    /// A stream is broken.
    pub fn handle_broken(&mut self, stream: StreamId, now: Instant) {
        self.on_network(|network| network.handle_broken(stream, now));
    }

    /// So many octets of a stream's output were written.
    pub fn handle_written(&mut self, stream: StreamId, octets: usize, now: Instant) {
        self.on_network(|network| network.handle_written(stream, octets, now));
        self.decide_aside(now);
    }

    /// The driver has closed a stream that is over.
    pub fn handle_closed(&mut self, stream: StreamId) {
        self.on_network(|network| network.handle_closed(stream));
    }

    /// No stream is accepted or read any more; each ends when what has come is answered.
    pub fn drain_streams(&mut self, now: Instant) {
        if self.network.is_some() {
            self.on_network(|network| network.drain_streams(now));
            self.decide_aside(now);
        }
    }

    /// Somebody has connected to the control socket, who may change something, or only look. Only for the thread of the first network
    /// core.
    ///
    /// # Errors
    /// What to write to it before it is closed: there are as many as may be.
    pub fn handle_control_accepted(&mut self, may_change: bool, now: Instant) -> Result<ControlId, String> {
        self.on_network(|network| network.handle_control_accepted(may_change, now))
    }

    /// Octets of a control connection.
    pub fn handle_control_octets(&mut self, id: ControlId, octets: &[u8], now: Instant) {
        self.on_network(|network| network.handle_control_octets(id, octets, now));
    }

    /// The peer of a control connection sends nothing more.
    pub fn handle_control_ended(&mut self, id: ControlId, now: Instant) {
        self.on_network(|network| network.handle_control_ended(id, now));
    }

    /// A control connection is broken.
    pub fn handle_control_broken(&mut self, id: ControlId) {
        self.on_network(|network| network.handle_control_broken(id));
    }

    /// So many octets of a control connection's output were written.
    pub fn handle_control_written(&mut self, id: ControlId, octets: usize, now: Instant) {
        self.on_network(|network| network.handle_control_written(id, octets, now));
    }

    /// The driver has closed a control connection that is over.
    pub fn handle_control_closed(&mut self, id: ControlId) {
        self.on_network(|network| network.handle_control_closed(id));
    }

    /// Whoever reads a control connection is cut off: the server ends.
    pub fn drain_control(&mut self, now: Instant) {
        if self.network.is_some() {
            self.on_network(|network| network.drain_control(now));
        }
    }

    /// A control connection that has something for its driver. Until `None`, in the phase of
    /// [`poll_transmit`](Cores::poll_transmit).
    pub fn poll_control(&mut self) -> Option<ControlId> {
        self.network.as_mut().and_then(Network::poll_control)
    }

    /// What its driver is to do with a control connection; `None` if that has closed it.
    pub fn control(&self, id: ControlId) -> Option<ControlView<'_>> {
        self.network.as_ref().and_then(|network| network.control(id))
    }

    /// A stream that has something for its driver. Until `None`, in the phase of [`poll_transmit`](Cores::poll_transmit).
    pub fn poll_stream(&mut self) -> Option<StreamId> {
        self.network.as_mut().and_then(Network::poll_stream)
    }

    /// What its driver is to do with a stream; `None` if that has closed it.
    pub fn stream(&self, stream: StreamId) -> Option<StreamView<'_>> {
        self.network.as_ref().and_then(|network| network.stream(stream))
    }

    fn on_network<T>(&mut self, then: impl FnOnce(&mut Network) -> T) -> T {
        self.running = Running::Network;
        let done = then(self.network.as_mut().expect("sockets belong to threads with a network core"));
        self.running = Running::Queues;
        done
    }

    /// Does what is due, if anything is. Sweeps the network core's rings first: a completion there may make a deadline
    /// void. What waits for the worker has no deadline.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|(due, _)| due > now) {
            return;
        }
        if !seeded::is(Bug::DeadlineWithoutSweep) {
            self.sweep_up_to(usize::MAX, now);
        }
        if let Some(network) = &mut self.network {
            self.running = Running::Network;
            network.handle_timeout(now);
        }
        if let Some(worker) = &mut self.worker {
            self.running = Running::Worker;
            worker.handle_timeout(now);
        }
        self.running = Running::Queues;
    }

    /// Hands to the worker what waits for it, from each of its lines in turn, until it has taken up so many requests. Says
    /// whether it did so many: more may wait.
    ///
    /// A driver with a clock calls it for few at a time and stops when its turn grows long: who waits meanwhile is a
    /// Status-Server, say.
    pub fn work(&mut self, requests: usize, now: Instant) -> bool {
        self.stage();
        let mut left = requests;
        let mut in_vain = 0;
        while left > 0 && in_vain < self.lines.len() {
            let (taken, taken_up) =
                self.take_from(self.lines[self.next_line], left.min(self.sweep_budget), now);
            self.next_line = (self.next_line + 1) % self.lines.len();
            in_vain = if taken == 0 { in_vain + 1 } else { 0 };
            left -= taken_up;
        }
        left == 0
    }

    /// At most so many messages of one of the worker's lines: how many there were, and how many of them requests.
    fn take_from(&mut self, line: Line, budget: usize, now: Instant) -> (usize, usize) {
        let Cores { network, worker, crossing, links, ties, between, running, .. } = self;
        let worker = worker.as_mut().expect("lines are a worker's");
        let mut requests = 0;
        let mut hand = |from: Peer, tie: &mut Tie, message: Message| {
            requests += usize::from(matches!(message, Message::Request(_)));
            tie.hand_to_worker(worker, from, message, running, now);
        };
        let taken = match line {
            Line::Ring(link) => {
                let (from, tie) = (ends(links, link).other, &mut ties[link.0]);
                crossing.sweep_link(link, budget, |message| hand(from, tie, message))
            }
            Line::Own => {
                let from = Peer::Network(network.as_ref().expect(OWN_CORE).id());
                let taken = budget.min(between.to_worker.len());
                for _ in 0..taken {
                    // One by one: what a panic leaves is for the successor.
                    let message = between.to_worker.pop_front().expect("as many are there");
                    hand(from, &mut between.of_worker, message);
                }
                taken
            }
        };
        if let (Line::Own, Some(network)) = (line, network)
            && taken > 0
        {
            network.note_room();
        }
        (taken, requests)
    }

    /// What a core needs to have done elsewhere. Only workers ask.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.on_worker(Worker::poll_effect).flatten()
    }

    /// The answer to an effect that this thread asked for.
    pub fn handle_effect_done(&mut self, ticket: Ticket, answer: EffectDone, now: Instant) {
        self.on_worker(|worker| worker.handle_effect_done(ticket, answer, now))
            .expect("only workers ask for effects");
    }

    /// One packet to be sent, into the caller's empty buffer.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.running = Running::Network;
        let from_network = self.network.as_mut().and_then(|network| network.poll_transmit(out));
        self.running = Running::Worker;
        let transmit =
            from_network.or_else(|| self.worker.as_mut().and_then(|worker| worker.poll_transmit(out)));
        self.running = Running::Queues;
        transmit
    }

    /// The next order about a socket to a remote server. Only threads with a worker have any.
    pub fn poll_remote_order(&mut self) -> Option<RemoteOrder> {
        self.on_worker(Worker::poll_remote_order).flatten()
    }

    /// A socket to a remote server could not be had.
    pub fn handle_remote_refused(&mut self, socket: RemoteSocket, now: Instant) {
        self.on_worker(|worker| worker.handle_remote_refused(socket, now));
    }

    /// One datagram from a socket to a remote server.
    pub fn handle_remote_datagram(&mut self, socket: RemoteSocket, octets: &[u8], now: Instant) {
        self.on_worker(|worker| worker.handle_remote_datagram(socket, octets, now));
    }

    /// One packet for a remote server, into the caller's empty buffer: sent through the
    /// [number](RemoteSocket::via) of its socket.
    pub fn poll_forward(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.on_worker(|worker| worker.poll_forward(out)).flatten()
    }

    fn on_worker<T>(&mut self, then: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        self.running = Running::Worker;
        let done = self.worker.as_mut().map(then);
        self.running = Running::Queues;
        done
    }

    /// The next order about a socket of a connection's own. Only threads with a network core have any.
    pub fn poll_socket(&mut self) -> Option<SocketOrder> {
        self.network.as_mut().and_then(Network::poll_socket)
    }

    /// A socket that was ordered could not be had.
    pub fn handle_socket_refused(&mut self, socket: OwnSocket) {
        self.on_network(|network| network.handle_socket_refused(socket));
    }

    /// The network says that what was sent along this path did not arrive.
    pub fn handle_unreachable(&mut self, path: Path, now: Instant) {
        self.on_network(|network| network.handle_unreachable(path, now));
    }

    /// The next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        let from_network = self.network.as_mut().and_then(Network::poll_event);
        from_network.or_else(|| self.worker.as_mut().and_then(Worker::poll_event))
    }

    /// The worker's tasks go on for a while; the turn's messages go into the rings, where nobody sees them yet; where threads are joined, what this thread's
    /// own worker has finished goes home to its network core.
    pub fn finish(&mut self, now: Instant) {
        self.on_worker(|worker| worker.run_tasks(now));
        self.bring_home(now);
        for link in 0..self.links.len() {
            if self.links[link].is_some() && self.ties[link].is_busy() {
                let room = self.crossing.room(LinkId(link));
                self.tell(link, room);
            }
        }
    }

    /// The part of [`finish`](Cores::finish) that a driver with streams wants before it: what has come home may be to be written to a
    /// stream, and what is written may let more be taken from one, whose messages go in this turn, too.
    pub fn bring_home(&mut self, now: Instant) {
        self.stage();
        while !self.between.to_network.is_empty() {
            let (Some(network), Some(worker)) = (&mut self.network, &mut self.worker) else { break };
            let from = Peer::Worker(worker.id());
            let Between { to_network, of_network, .. } = &mut self.between;
            while let Some(message) = to_network.pop_front() {
                of_network.hand_to_network(network, from, message, &mut self.running, now);
            }
            // One effect may have ended more requests than there was room for.
            worker.handle_room(Peer::Network(network.id()), self.between.slots);
            self.stage();
        }
    }

    /// What cores have for others goes into the rings.
    fn stage(&mut self) {
        let Cores { network, worker, crossing, ties, ways, between, running, .. } = self;
        let own_network = network.as_ref().map(|network| Peer::Network(network.id()));
        let own_worker = worker.as_ref().map(|worker| Peer::Worker(worker.id()));
        let Between { to_worker, to_network, of_worker, of_network, .. } = between;
        if let (Some(network), Some(own)) = (network, own_network) {
            let joined = own_worker.map(|other| (other, of_network, to_worker));
            let poll = polling(running, Running::Network, || network.poll_message());
            stage_from(poll, own, joined, crossing, ways, ties);
        }
        if let (Some(worker), Some(own)) = (worker, own_worker) {
            let joined = own_network.map(|other| (other, of_worker, to_network));
            let poll = polling(running, Running::Worker, || worker.poll_message());
            stage_from(poll, own, joined, crossing, ways, ties);
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

    /// In place of [`check_gate`](Cores::check_gate), where every publish rings.
    pub fn ring_always(&mut self) -> Option<BellId> {
        self.crossing.ring_always()
    }

    /// Whether nothing is left to do that needs no bell, socket or deadline.
    pub fn may_park(&self) -> bool {
        self.drills.is_empty() && (!self.has_output() || seeded::is(Bug::OutputForgottenBeforeAPark))
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
        self.ask_for_what_is_waited_for();
        let Cores { network, worker, crossing, ways, .. } = self;
        let mut ask = |other: Peer, own: Peer| {
            if let Some(link) = ways.find(own, other) {
                crossing.ask_for_space(link);
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

    /// Who wrote a message that this thread has not read and has to be woken for, if there is one: what a tripwire for
    /// lost wake-ups asks.
    pub fn urgent_unread_from(&self) -> Option<BellId> {
        self.crossing.unread_from(|message| message.urgency() == Urgency::Urgent)
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

    /// Whether nothing is under way here: what a draining server waits for.
    pub fn is_drained(&self) -> bool {
        self.may_park()
            && self.network.as_ref().is_none_or(Network::is_drained)
            && self.worker.as_ref().is_none_or(Worker::is_drained)
    }

    /// At most so many messages off each ring to the network core.
    fn sweep_up_to(&mut self, budget: usize, now: Instant) -> bool {
        let Cores { network, crossing, links, ties, running, .. } = self;
        let budget = |link: LinkId| match ends(links, link).own {
            Peer::Network(_) => budget,
            Peer::Worker(_) => 0,
        };
        let taken = crossing.sweep_each(budget, |link, message| {
            let from = ends(links, link).other;
            let network = network.as_mut().expect(OWN_CORE);
            ties[link.0].hand_to_network(network, from, message, running, now);
        });
        self.decide_aside(now);
        taken > 0
    }

    /// Decides about duplicates of requests in progress: each once the ring of the worker that has the request is
    /// swept, for its completion may lie there.
    fn decide_aside(&mut self, now: Instant) {
        let Some(network) = &mut self.network else { return };
        while let Some(holder) = network.poll_sweep() {
            let (own, other) = (Peer::Network(network.id()), Peer::Worker(holder));
            if let Some(link) = self.ways.find(own, other)
                && !seeded::is(Bug::InProgressWithoutSweep)
            {
                let tie = &mut self.ties[link.0];
                self.crossing.sweep_link(link, usize::MAX, |message| {
                    tie.hand_to_network(network, other, message, &mut self.running, now);
                });
            }
            self.running = Running::Network;
            network.handle_swept(now);
            self.running = Running::Queues;
        }
    }
}

const OWN_CORE: &str = "a link belongs to a core of this thread";
