//! The world: virtual time, the events, and what each of them does to the server, the links and the NASes.
//!
//! One thread of execution; everything that could happen at once happens in a drawn order. Stops at the first
//! breach of a law.

use crate::actor::nas::{Nas, Note, Outbox, Surroundings, Timer};
use crate::checks::wire::Ledger;
use crate::checks::{Violation, channels, execution};
use crate::draw::{Class, Draws};
use crate::fault::link::{Carried, Link};
use crate::fault::{Fault, FaultClass, Injector, thread};
use crate::phases::{Decision, GateCheck, Node};
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::trace::{Kind, NAS, Trace};
use crate::turn::{Cause, Phase, Turn};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use ulna_core::{Instant, ListenerId, Path};

enum Event {
    Phase(usize),
    Bell { thread: usize, real: bool },
    Deadline { thread: usize, park: u64 },
    Arrive { socket: usize, remote: SocketAddr, octets: Vec<u8> },
    Deliver { nas: usize, port: usize, listener: ListenerId, octets: Vec<u8> },
    Nas { nas: usize, timer: Timer },
}

struct Socket {
    thread: usize,
    /// In the kernel.
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The kernel has news of it for its thread. Readiness is told by the edge: once for what comes, and not again
    /// for what is left there.
    has_news: bool,
    /// The thread believes that there is more to read.
    may_read: bool,
    arrivals: u64,
    full_until: u64,
}

/// One run of one plan.
pub struct World<'p> {
    plan: &'p Plan,
    draws: Draws,
    node: Box<dyn Node>,
    schedule: Schedule<Event>,
    faults: Injector,
    threads: Vec<Turn>,
    sockets: Vec<Socket>,
    nases: Vec<Nas>,
    links: BTreeMap<u64, Link>,
    ports: BTreeMap<SocketAddr, (usize, usize)>,
    ledger: Ledger,
    trace: Trace,
    now: u64,
    turn_max: u64,
    handed: u64,
    out: Outbox,
    buffer: Vec<u8>,
    carried: Vec<Carried>,
    decisions: Vec<Decision>,
}

const SECOND: u64 = 1_000_000_000;
/// After the last NAS has gone home, the latest copy may come this much later, and be answered.
const QUIET_AFTER: u64 = 70 * SECOND;
/// So long after that, the last deadline has passed.
const REST_AFTER: u64 = 60 * SECOND;
/// So long the world is watched in all after its last packet.
const WATCHED: u64 = 600 * SECOND;
/// The sums are drawn up once per so many parks.
const PARKS_PER_SUM: u64 = 16;

impl<'p> World<'p> {
    /// A world of this plan around this server. `recorded`: the faults to repeat instead of drawing them.
    /// `tail_max`: how many trace entries are kept.
    pub fn new(plan: &'p Plan, node: Box<dyn Node>, recorded: Option<&[Fault]>, tail_max: usize) -> Self {
        let draws = Draws::new(plan.seed);
        let faults = match recorded {
            Some(log) => Injector::recorded(draws, log),
            None => Injector::drawn(draws, plan.intensities(), plan.faulty_until()),
        };
        let threads = plan.topology.threads();
        let networks = plan.topology.networks();
        let sockets = (0..plan.topology.listeners.len() * networks)
            .map(|socket| Socket {
                thread: socket % networks,
                queue: VecDeque::new(),
                has_news: false,
                may_read: true,
                arrivals: 0,
                full_until: 0,
            })
            .collect();
        let mut ports = BTreeMap::new();
        for (place, nas) in plan.topology.nases.iter().enumerate() {
            for (port, &number) in nas.ports.iter().enumerate() {
                ports.insert(SocketAddr::new(nas.address, number), (place, port));
            }
        }
        let mut world = World {
            plan,
            draws,
            node,
            schedule: Schedule::new(draws, threads + plan.topology.nases.len()),
            faults,
            threads: (0..threads).map(|_| Turn::new()).collect(),
            sockets,
            nases: (0..plan.topology.nases.len()).map(Nas::new).collect(),
            links: BTreeMap::new(),
            ports,
            ledger: Ledger::new(),
            trace: Trace::new(tail_max),
            now: 0,
            turn_max: 0,
            handed: 0,
            out: Outbox::default(),
            buffer: Vec::new(),
            carried: Vec::new(),
            decisions: Vec::new(),
        };
        for thread in 0..threads {
            world.schedule.add(0, thread, Event::Phase(thread));
        }
        world
    }

    /// Runs to the end or to the first breach.
    ///
    /// # Errors
    /// The breach.
    pub fn run(&mut self) -> Result<(), Violation> {
        for nas in 0..self.nases.len() {
            self.with_nas(nas, |nas, around| nas.begin(around))?;
        }
        let end = self.plan.idle_from() + WATCHED;
        while self.schedule.next_at().is_some_and(|at| at <= end) {
            let (at, event) = self.schedule.take().expect("it was just seen");
            self.now = at;
            match event {
                Event::Phase(thread) => self.phase(thread)?,
                Event::Bell { thread, real } => self.hear_bell(thread, real)?,
                Event::Deadline { thread, park } => {
                    if self.threads[thread].is_asleep() && self.threads[thread].parks == park {
                        self.wake(thread, Cause::Deadline)?;
                    }
                }
                Event::Arrive { socket, remote, octets } => self.arrive(socket, remote, octets)?,
                Event::Deliver { nas, port, listener, octets } => {
                    let words = [port as u64, u64::from(listener.0)];
                    self.trace.add(self.now, NAS + nas as u32, Kind::NasReceives, words, &octets);
                    self.with_nas(nas, |nas, around| nas.handle_datagram(port, listener, &octets, around))?;
                }
                Event::Nas { nas, timer } => {
                    self.with_nas(nas, |nas, around| nas.handle_timer(timer, around))?;
                }
            }
        }
        self.close()
    }

    /// The record of the run.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The faults that struck.
    pub fn faults(&self) -> &Injector {
        &self.faults
    }

    /// How many transactions the NASes began.
    pub fn transactions(&self) -> u64 {
        self.nases.iter().map(|nas| nas.exchanges().len() as u64).sum()
    }

    /// How many replies the server sent.
    pub fn replies(&self) -> u64 {
        self.ledger.replies()
    }

    /// Virtual nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What holds when everything is over.
    fn close(&mut self) -> Result<(), Violation> {
        let snapshot = self.node.snapshot();
        execution::sums(&snapshot, self.handed, self.now)?;
        execution::idle(&snapshot, self.now)?;
        channels::balance(&snapshot, self.now)?;
        channels::idle(&snapshot, self.now)
    }

    fn instant(&self, thread: usize) -> Instant {
        Instant::from_nanoseconds(self.threads[thread].now)
    }

    /// One phase of one thread, or a stop before it.
    fn phase(&mut self, place: usize) -> Result<(), Violation> {
        let ordinal = self.threads[place].phases;
        self.threads[place].phases += 1;
        if let Some(stop) = thread::stall(place as u64, ordinal, self.now, &mut self.faults) {
            let words = [stop, self.threads[place].phase as u64];
            self.trace.add(self.now, place as u32, Kind::Stalls, words, &[]);
            self.schedule.add(self.now + stop, place, Event::Phase(place));
            return Ok(());
        }
        self.turn_max = self.turn_max.max(self.now.saturating_sub(self.threads[place].now));
        let next = match self.threads[place].phase {
            Phase::Return => {
                self.hear_the_kernel(place);
                Phase::Unpark
            }
            Phase::Unpark => {
                self.node.thread(place).unpark(Instant::from_nanoseconds(self.now));
                Phase::Begin
            }
            Phase::Begin => self.begin(place),
            Phase::Sweep => {
                let now = self.instant(place);
                let taken = self.node.thread(place).sweep(now);
                if taken > 0 {
                    self.trace.add(self.now, place as u32, Kind::Sweeps, [taken as u64, 0], &[]);
                }
                self.take_decisions(place)?;
                Phase::Read
            }
            Phase::Read => {
                self.read(place)?;
                Phase::Timeouts
            }
            Phase::Timeouts => {
                let now = self.instant(place);
                self.node.thread(place).handle_timeouts(now);
                self.take_decisions(place)?;
                Phase::Transmit
            }
            Phase::Transmit => {
                self.transmit(place)?;
                Phase::Stage
            }
            Phase::Stage => {
                let now = self.instant(place);
                self.node.thread(place).stage_messages(now);
                Phase::Publish
            }
            Phase::Publish => {
                self.node.thread(place).publish();
                Phase::Gate
            }
            Phase::Gate => self.look_at_gate(place)?,
            Phase::Announce => {
                self.node.thread(place).announce();
                self.threads[place].announced += 1;
                let words = [self.threads[place].announced, 0];
                self.trace.add(self.now, place as u32, Kind::Announces, words, &[]);
                Phase::LookAgain
            }
            Phase::LookAgain => {
                if self.node.thread(place).look_again() {
                    let words = [self.threads[place].announced, 0];
                    self.trace.add(self.now, place as u32, Kind::CancelsPark, words, &[]);
                    Phase::Return
                } else {
                    Phase::Park
                }
            }
            Phase::Park => return self.park(place),
            Phase::Asleep => unreachable!("a thread that sleeps has no phase scheduled"),
        };
        self.threads[place].phase = next;
        let length = self.draws.at(Class::PhaseLength, place as u64, ordinal).range(20..=600);
        self.schedule.add(self.now + length, place, Event::Phase(place));
        Ok(())
    }

    fn begin(&mut self, place: usize) -> Phase {
        let turn = &mut self.threads[place];
        turn.now = self.now;
        turn.turns += 1;
        let words = [turn.turns, turn.parks];
        self.trace.add(self.now, place as u32, Kind::Turn, words, &[]);
        self.node.thread(place).begin_turn(Instant::from_nanoseconds(self.now));
        Phase::Sweep
    }

    fn read(&mut self, place: usize) -> Result<(), Violation> {
        let now = self.instant(place);
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].thread != place || !self.sockets[socket].may_read {
                continue;
            }
            let listener = ListenerId((socket / self.plan.topology.networks()) as u16);
            for _ in 0..self.plan.limits.read_batch {
                let Some((remote, octets)) = self.sockets[socket].queue.pop_front() else {
                    // A short batch has emptied it; a full one says nothing, and the kernel will not say it again.
                    self.sockets[socket].may_read = false;
                    break;
                };
                let path = Path {
                    via: ulna_core::SocketId(socket as u16),
                    listener,
                    local: self.plan.topology.listeners[usize::from(listener.0)].address,
                    remote,
                };
                let words = [socket as u64, u64::from(remote.port())];
                self.trace.add(self.now, place as u32, Kind::Reads, words, &octets);
                let network = socket % self.plan.topology.networks();
                let stray = self.node.steer(listener, remote) != network;
                self.ledger.received(self.plan, &path, &octets, stray, self.now);
                self.handed += 1;
                self.node.thread(place).handle_datagram(path, &octets, now);
            }
        }
        self.take_decisions(place)
    }

    fn take_decisions(&mut self, place: usize) -> Result<(), Violation> {
        let mut decisions = std::mem::take(&mut self.decisions);
        self.node.thread(place).drain_decisions(&mut decisions);
        for decision in decisions.drain(..) {
            let low = u64::from(decision.listener.0) << 8 | u64::from(decision.identifier);
            let words = [u64::from(decision.remote.port()), low];
            self.trace.add(self.now, place as u32, Kind::Decides, words, &[]);
            let node = &self.node;
            let forgotten = || node.snapshot().forgotten;
            execution::decided(&mut self.ledger, self.plan, &decision, self.now, self.turn_max, forgotten)?;
        }
        self.decisions = decisions;
        Ok(())
    }

    fn transmit(&mut self, place: usize) -> Result<(), Violation> {
        let mut octets = std::mem::take(&mut self.buffer);
        loop {
            octets.clear();
            let Some(transmit) = self.node.thread(place).poll_transmit(&mut octets) else { break };
            let words = [u64::from(transmit.via.0), u64::from(transmit.destination.port())];
            self.trace.add(self.now, place as u32, Kind::Transmits, words, &octets);
            self.ledger.transmitted(self.plan, &transmit, &octets, self.now, self.turn_max)?;
            let (listener, _) = self.plan.topology.listener_and_network(transmit.via);
            if let Some(&(nas, port)) = self.ports.get(&transmit.destination) {
                self.carry(nas, port, listener, false, &octets);
                for Carried { delay, octets, .. } in std::mem::take(&mut self.carried) {
                    let event = Event::Deliver { nas, port, listener, octets };
                    self.schedule.add(self.now + delay, self.threads.len() + nas, event);
                }
            }
        }
        self.buffer = octets;
        Ok(())
    }

    /// What one direction of a link makes of a datagram, into `self.carried`.
    fn carry(&mut self, nas: usize, port: usize, listener: ListenerId, up: bool, octets: &[u8]) {
        let entity = link_entity(nas, port, listener, up);
        let latency = self.plan.topology.nases[nas].latency_us * 1_000;
        let link = self.links.entry(entity).or_insert_with(|| Link::new(entity, latency));
        self.carried.clear();
        link.carry(octets, up, self.now, &mut self.faults, &mut self.carried);
    }

    fn look_at_gate(&mut self, place: usize) -> Result<Phase, Violation> {
        match self.node.thread(place).check_gate() {
            GateCheck::Quiet => Ok(Phase::Gate),
            GateCheck::Ring(recipient) => {
                self.ring(place, recipient)?;
                Ok(Phase::Gate)
            }
            GateCheck::Done => {
                self.check_rest()?;
                // As the runtime decides it, after a turn that had something to do as after any other.
                let has_unread = self.sockets.iter().any(|socket| socket.thread == place && socket.may_read);
                let parks = !has_unread && self.node.thread(place).may_park();
                Ok(if parks { Phase::Announce } else { Phase::Return })
            }
        }
    }

    fn ring(&mut self, place: usize, recipient: usize) -> Result<(), Violation> {
        let turn = &mut self.threads[recipient];
        turn.rings += 1;
        let (ordinal, announced) = (turn.rings, turn.announced);
        self.trace.add(self.now, place as u32, Kind::Rings, [recipient as u64, ordinal], &[]);
        channels::rung(recipient, ordinal, announced, self.now)?;
        let usual = self.draws.at(Class::BellLatency, recipient as u64, ordinal).range(500..=20_000);
        let (late, again) = thread::bell(recipient as u64, ordinal, self.now, &mut self.faults);
        self.threads[recipient].bells_on_their_way += 1;
        let event = Event::Bell { thread: recipient, real: true };
        self.schedule.add(self.now + usual + late, recipient, event);
        if let Some(again) = again {
            let event = Event::Bell { thread: recipient, real: false };
            self.schedule.add(self.now + usual + again, recipient, event);
        }
        Ok(())
    }

    fn hear_bell(&mut self, place: usize, real: bool) -> Result<(), Violation> {
        let turn = &mut self.threads[place];
        let words = [u64::from(real), u64::from(turn.bell_pending)];
        turn.bell_pending = true;
        if real {
            turn.bells_on_their_way -= 1;
        }
        self.trace.add(self.now, place as u32, Kind::Bell, words, &[]);
        if self.threads[place].is_asleep() { self.wake(place, Cause::Bell) } else { Ok(()) }
    }

    /// What a thread learns from the kernel, after a sleep or at a mere look: its bell, which it takes so that the
    /// next one is news, and which sockets have something. One that was emptied since its news came is not named.
    fn hear_the_kernel(&mut self, place: usize) {
        self.threads[place].bell_pending = false;
        for socket in self.sockets.iter_mut().filter(|socket| socket.thread == place) {
            let has_news = std::mem::take(&mut socket.has_news);
            socket.may_read |= has_news && !socket.queue.is_empty();
        }
    }

    fn is_readable(&self, place: usize) -> bool {
        let has_news = |socket: &Socket| socket.has_news && !socket.queue.is_empty();
        self.sockets.iter().any(|socket| socket.thread == place && has_news(socket))
    }

    fn park(&mut self, place: usize) -> Result<(), Violation> {
        let nanoseconds = |instant: Option<Instant>| instant.map(Instant::as_nanoseconds);
        let deadline = nanoseconds(self.node.thread(place).poll_timeout());
        let inside = nanoseconds(self.node.thread(place).earliest_deadline());
        channels::timeout(place, deadline, inside, self.now)?;
        channels::parks(place, self.node.thread(place).has_output(), self.now)?;
        let turn = &mut self.threads[place];
        turn.parks += 1;
        turn.phase = Phase::Asleep;
        let (park, pending, turn_now) = (turn.parks, turn.bell_pending, turn.now);
        let words = [park, deadline.unwrap_or(u64::MAX)];
        self.trace.add(self.now, place as u32, Kind::Parks, words, &[]);
        if park.is_multiple_of(PARKS_PER_SUM) {
            let snapshot = self.node.snapshot();
            execution::sums(&snapshot, self.handed, self.now)?;
            channels::balance(&snapshot, self.now)?;
        }
        // What was due when this turn took its time should have been done in it.
        if deadline.is_some_and(|deadline| deadline <= turn_now) {
            self.threads[place].overdue += 1;
            channels::overdue(place, self.threads[place].overdue, self.now)?;
        } else {
            self.threads[place].overdue = 0;
        }
        if pending {
            return self.wake(place, Cause::Bell);
        }
        if self.is_readable(place) {
            return self.wake(place, Cause::Datagram);
        }
        self.check_rest()?;
        if let Some(after) = thread::spurious_bell(place as u64, park, self.now, &mut self.faults) {
            self.schedule.add(self.now + after, place, Event::Bell { thread: place, real: false });
        }
        if let Some(deadline) = deadline {
            self.schedule.add(deadline.max(self.now), place, Event::Deadline { thread: place, park });
        }
        Ok(())
    }

    fn wake(&mut self, place: usize, cause: Cause) -> Result<(), Violation> {
        let quiet = self.plan.idle_from() + QUIET_AFTER;
        let restless = match cause {
            Cause::Bell | Cause::Datagram => self.now > quiet,
            Cause::Deadline => self.now > quiet + REST_AFTER,
        };
        if restless {
            let details = format!("thread {place}, by {cause:?}");
            return Err(Violation { invariant: &channels::IDLE_REST, at: self.now, details });
        }
        let turn = &mut self.threads[place];
        turn.phase = Phase::Return;
        turn.wakes += 1;
        // A thread that sleeps has no turn that could lie behind.
        turn.now = self.now;
        let words = [turn.parks, cause as u64];
        let latency = self.draws.at(Class::WakeLatency, place as u64, turn.wakes).range(1_000..=60_000);
        self.trace.add(self.now, place as u32, Kind::Wakes, words, &[]);
        self.schedule.add(self.now + latency, place, Event::Phase(place));
        Ok(())
    }

    /// The law of the channels, over all threads.
    fn check_rest(&mut self) -> Result<(), Violation> {
        let writer_before_gate =
            (0..self.threads.len()).any(|thread| self.node.thread(thread).is_before_gate());
        for place in 0..self.threads.len() {
            let turn = &self.threads[place];
            if !turn.is_asleep() {
                continue;
            }
            let rest = channels::Rest {
                thread: place,
                asleep: true,
                bell_pending: turn.bell_pending,
                bells_on_their_way: turn.bells_on_their_way,
                writer_before_gate,
                urgent_visible: self.node.thread(place).urgent_visible(),
            };
            channels::rest(&rest, self.now)?;
        }
        Ok(())
    }

    /// A datagram reaches the server's host.
    fn arrive(&mut self, place: usize, remote: SocketAddr, octets: Vec<u8>) -> Result<(), Violation> {
        let socket = &mut self.sockets[place];
        let ordinal = socket.arrivals;
        socket.arrivals += 1;
        // Full for a time, not for a number of datagrams: that might last into the time after the faults.
        let span = |draw: crate::draw::Draw| [draw.magnitude(1_000..=SECOND), 0];
        let class = FaultClass::ReceiveOverflow;
        if let Some([span, _]) = self.faults.strike(class, place as u64, ordinal, self.now, span) {
            socket.full_until = self.now + span;
        }
        let thread = socket.thread;
        let words = [place as u64, u64::from(remote.port())];
        if self.now < socket.full_until || socket.queue.len() >= self.plan.limits.receive_queue as usize {
            self.trace.add(self.now, thread as u32, Kind::Overflows, words, &octets);
            return Ok(());
        }
        self.trace.add(self.now, thread as u32, Kind::Arrives, words, &octets);
        socket.queue.push_back((remote, octets));
        socket.has_news = true;
        if self.threads[thread].is_asleep() { self.wake(thread, Cause::Datagram) } else { Ok(()) }
    }

    /// Lets a NAS act, and sends on what it gave out.
    fn with_nas(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Nas, &mut Surroundings<'_>),
    ) -> Result<(), Violation> {
        let mut around = Surroundings {
            plan: self.plan,
            draws: self.draws,
            faults: &mut self.faults,
            now: self.now,
            out: &mut self.out,
        };
        act(&mut self.nases[place], &mut around);
        let mut out = std::mem::take(&mut self.out);
        for (at, timer) in out.timers.drain(..) {
            self.schedule.add(at, self.threads.len() + place, Event::Nas { nas: place, timer });
        }
        for sent in out.sent.drain(..) {
            let nas = &self.plan.topology.nases[place];
            let remote = SocketAddr::new(nas.address, nas.ports[sent.port]);
            let words = [sent.port as u64, u64::from(sent.listener.0)];
            self.trace.add(self.now, NAS + place as u32, Kind::NasSends, words, &sent.octets);
            self.carry(place, sent.port, sent.listener, true, &sent.octets);
            for Carried { delay, octets, .. } in std::mem::take(&mut self.carried) {
                let socket = self.socket_for(place, sent.port, sent.listener, remote);
                let event = Event::Arrive { socket, remote, octets };
                self.schedule.add(self.now + delay, self.threads.len() + place, event);
            }
        }
        for note in out.notes.drain(..) {
            self.note(place, note)?;
        }
        self.out = out;
        Ok(())
    }

    /// The socket that the kernel hands a datagram of this flow to.
    fn socket_for(&mut self, nas: usize, port: usize, listener: ListenerId, remote: SocketAddr) -> usize {
        let networks = self.plan.topology.networks() as u64;
        let mut network = self.node.steer(listener, remote) as u64;
        let entity = link_entity(nas, port, listener, true);
        let ordinal = self.links.get_mut(&entity).map_or(0, Link::next_arrival);
        let aside = |draw: crate::draw::Draw| [draw.range(1..=networks - 1), 0];
        if networks > 1
            && let Some([aside, _]) =
                self.faults.strike(FaultClass::Misdelivery, entity, ordinal, self.now, aside)
        {
            network = (network + aside) % networks;
        }
        usize::from(self.plan.topology.socket(listener, network as usize).0)
    }

    fn note(&mut self, place: usize, note: Note) -> Result<(), Violation> {
        let node = NAS + place as u32;
        match note {
            Note::Answered(number, code) => {
                self.trace.add(self.now, node, Kind::Answered, [number as u64, u64::from(code)], &[]);
            }
            Note::GaveUp(number, standstill) => {
                self.trace.add(self.now, node, Kind::GivesUp, [number as u64, standstill as u64], &[]);
                let exchange = &self.nases[place].exchanges()[number];
                if exchange.must_be_answered {
                    let details = format!(
                        "NAS {place}, Identifier {}, {:?}, begun at {} ns: {standstill:?}",
                        exchange.identifier(),
                        exchange.errand,
                        exchange.begun
                    );
                    return Err(Violation { invariant: &execution::PROGRESS, at: self.now, details });
                }
            }
            Note::Rebooted => self.trace.add(self.now, node, Kind::Reboots, [0; 2], &[]),
        }
        Ok(())
    }
}

/// The name of one direction of a link in draws and in the fault log.
fn link_entity(nas: usize, port: usize, listener: ListenerId, up: bool) -> u64 {
    (nas as u64) << 40 | (port as u64) << 24 | u64::from(listener.0) << 8 | u64::from(up)
}
