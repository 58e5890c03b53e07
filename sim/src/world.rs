//! The world: virtual time, the events, and what each of them does to the server, the links and the NASes.
//!
//! One thread of execution; everything that could happen at once happens in a drawn order. Stops at the first
//! breach of a law.

mod control;
mod crash;
mod effects;
mod nat;
mod proxy;
mod records;
mod relays;
mod reloads;
mod sleep;
mod threads;
mod workers;

use crate::actor::nas::{Nas, Note, Outbox, Surroundings, Timer};
use crate::actor::roaming_nas;
use crate::checks::connections::Connections;
use crate::checks::ledger::{Case, Ledger};
use crate::checks::look_ups::LookUps;
use crate::checks::{Violation, channels, clients, execution};
use crate::clock::Clock;
use crate::draw::Draws;
use crate::fault::link::{Carried, Origin};
use crate::fault::{Fault, Injector};
use crate::goals::{Goal, Goals};
use crate::net::{Net, Way};
use crate::phases::{Decision, Node, Snapshot, Stands};
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::site::Site;
use crate::sockets::{Datagram, Sockets};
use crate::trace::{Kind, NAS, Trace};
use crate::turn::{Cause, Turn};
use std::net::SocketAddr;
use ulna_core::accounting::Rotation;
use ulna_core::effect::{EffectDone, Ticket};
use ulna_core::{ListenerId, SocketId};

enum Event {
    Phase(usize),
    Bell { thread: usize, real: bool },
    Deadline { thread: usize, park: u64 },
    Arrive { socket: SocketId, datagram: Datagram },
    Deliver { nas: usize, port: usize, reply: Reply },
    DeliverToNat { outside: SocketAddr, reply: Reply },
    Nas { nas: usize, timer: Timer },
    EffectDone { life: u64, thread: usize, ticket: Ticket, done: Box<EffectDone> },
    Store,
    Reload { site: usize },
    Roaming { nas: usize, timer: roaming_nas::Timer },
    DeliverToRoaming { nas: usize, octets: Vec<u8> },
    ArriveAtRemote { thread: usize, server: usize, port: u64, octets: Vec<u8> },
    ArriveFromRemote { port: u64, octets: Vec<u8> },
    Control { reader: usize, act: control::Act },
    ArriveAtNode { node: usize, remote: SocketAddr, octets: Vec<u8> },
}

/// What comes back from a listener.
struct Reply {
    listener: ListenerId,
    /// The NAS whose request it answers, as far as one is known to have sent that.
    requester: Option<usize>,
    octets: Vec<u8>,
}

/// One run of one plan.
pub struct World<'p> {
    plan: &'p Plan,
    sites: Vec<Site>,
    draws: Draws,
    node: Box<dyn Node>,
    /// The threads of `node`, which come first; those of `relays` follow.
    first_threads: usize,
    relays: Vec<relays::Relay>,
    clock: Clock,
    reloads: reloads::Reloads,
    schedule: Schedule<Event>,
    faults: Injector,
    threads: Vec<Turn>,
    asked: Vec<effects::Asked>,
    records: records::Records,
    /// Processes that have ended.
    life: u64,
    sockets: Sockets,
    nases: Vec<Nas>,
    net: Net,
    ledger: Ledger,
    connections: Connections,
    look_ups: LookUps,
    proxy: proxy::Proxy,
    control: control::Control,
    /// Readers' events have their entities from here on.
    control_entity: usize,
    trace: Trace,
    now: u64,
    turn_max: u64,
    /// When a network core panicked last, in this process.
    network_died_at: Option<u64>,
    handed: u64,
    goals: Goals,
    /// Whose request it answers what a NAS is given just now.
    requester: Option<usize>,
    out: Outbox,
    buffer: Vec<u8>,
    carried: Vec<Carried>,
    decisions: Vec<Decision>,
    standings: Vec<Stands>,
}

const SECOND: u64 = 1_000_000_000;
/// So long the world is watched in all after its last packet.
const WATCHED: u64 = 600 * SECOND;

impl<'p> World<'p> {
    /// A world of this plan around the servers that `build` makes of its own plan each. `recorded`: the faults to repeat instead
    /// of drawing them. `tail_max`: how many trace entries are kept.
    pub fn new(
        plan: &'p Plan,
        build: &dyn Fn(&Plan) -> Box<dyn Node>,
        recorded: Option<&[Fault]>,
        tail_max: usize,
    ) -> Self {
        let draws = Draws::new(plan.seed);
        let faults = match recorded {
            Some(log) => Injector::recorded(draws, log),
            None => Injector::drawn(draws, plan.intensities(), plan.faulty_until()),
        };
        let node = build(plan);
        let threads = plan.threads_max();
        let relays = relays::Relay::all(plan, build);
        let of_relays = relays.iter().map(relays::Relay::threads).sum::<usize>();
        let mut turns: Vec<_> = (0..threads).map(|place| Turn::new(node.is_here(place))).collect();
        turns.extend((0..of_relays).map(|_| Turn::new(true)));
        // Behind threads and NASes there is whoever asks for reloads, then the NATs, all of forwarding, the threads of relays, and
        // readers of control connections.
        let control_entity = threads
            + plan.topology.nases.len()
            + 1
            + plan.topology.nats.len()
            + proxy::Proxy::entities(plan)
            + of_relays;
        let mut world = World {
            plan,
            sites: Site::all(plan),
            draws,
            clock: Clock::default(),
            reloads: reloads::Reloads::new(threads, 0),
            schedule: Schedule::new(draws, control_entity + control::Control::entities(plan)),
            faults,
            threads: turns,
            asked: (0..threads + of_relays).map(|_| effects::Asked::default()).collect(),
            records: records::Records::new(Rotation { octets: plan.rotate_octets, every: None }),
            life: 0,
            sockets: Sockets::new(plan),
            nases: (0..plan.topology.nases.len()).map(Nas::new).collect(),
            net: Net::new(&plan.topology),
            ledger: Ledger::new(threads),
            connections: Connections::default(),
            look_ups: LookUps::default(),
            proxy: proxy::Proxy::new(plan, threads + of_relays),
            control: control::Control::new(plan),
            control_entity,
            trace: Trace::new(tail_max),
            now: 0,
            turn_max: 0,
            network_died_at: None,
            handed: 0,
            goals: Goals::default(),
            requester: None,
            out: Outbox::default(),
            buffer: Vec::new(),
            carried: Vec::new(),
            decisions: Vec::new(),
            standings: Vec::new(),
            node,
            first_threads: threads,
            relays,
        };
        for thread in 0..world.threads.len() {
            if world.threads[thread].is_here() {
                world.add_phase(0, thread);
            }
        }
        let operator = threads + plan.topology.nases.len();
        for (place, reload) in plan.reloads.iter().enumerate() {
            // One after the other, also those of one moment.
            let at = reload.at_ms * 1_000_000 + place as u64;
            world.schedule.add(at, operator, Event::Reload { site: place + 1 });
        }
        world
    }

    /// Runs to the end or to the first breach.
    ///
    /// # Errors
    /// The breach.
    pub fn run(&mut self) -> Result<(), Violation> {
        if self.plan.topology.answers_accounting {
            self.store()?;
        }
        for nas in 0..self.nases.len() {
            self.with_nas(nas, |nas, around| nas.begin(around))?;
        }
        self.begin_visits()?;
        self.begin_control();
        let end = self.plan.idle_from() + WATCHED + self.plan.clients_last();
        while self.schedule.next_at().is_some_and(|at| at <= end) {
            let (at, event) = self.schedule.take().expect("it was just seen");
            self.now = at;
            match event {
                Event::Phase(thread) => {
                    if !self.threads[thread].has_stale_phase() {
                        self.phase(thread)?;
                    }
                }
                Event::Bell { thread, real } => self.hear_bell(thread, real)?,
                Event::Deadline { thread, park } => {
                    if self.threads[thread].is_asleep() && self.threads[thread].parks == park {
                        self.wake(thread, Cause::Deadline)?;
                    }
                }
                Event::Arrive { socket, datagram } => self.arrive(socket, datagram)?,
                Event::Deliver { nas, port, reply } => self.deliver(nas, port, reply)?,
                Event::DeliverToNat { outside, reply } => self.deliver_to_nat(outside, reply)?,
                Event::EffectDone { life, thread, ticket, done } if life == self.life => {
                    self.effect_done(thread, ticket, *done)?;
                }
                // Of a process that has ended.
                Event::EffectDone { .. } => {}
                Event::Store => self.store()?,
                Event::Reload { site } => self.ask_for_reload(site),
                Event::Roaming { nas, timer } => self.roaming_timer(nas, timer)?,
                Event::DeliverToRoaming { nas, octets } => self.deliver_to_roaming(nas, &octets)?,
                Event::ArriveAtRemote { thread, server, port, octets } => {
                    self.arrive_at_remote(thread, server, port, &octets);
                }
                Event::ArriveFromRemote { port, octets } => self.arrive_from_remote(port, octets)?,
                Event::Control { reader, act } => self.act(reader, act)?,
                Event::ArriveAtNode { node, remote, octets } => self.arrive_at_node(node, remote, octets)?,
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
        let visits: usize = self.proxy.nases.iter().map(|nas| nas.visits().len()).sum();
        self.nases.iter().map(|nas| nas.exchanges().len() as u64).sum::<u64>() + visits as u64
    }

    /// How many replies the server sent.
    pub fn replies(&self) -> u64 {
        self.ledger.replies() + self.proxy.laws[0].returned()
    }

    /// What it came to.
    pub fn goals(&self) -> Goals {
        let mut goals = self.goals.clone();
        goals.add(self.ledger.goals());
        self.proxy.laws.iter().for_each(|laws| goals.add(laws.goals()));
        goals
    }

    /// What the server has counted.
    pub fn counted(&self) -> Snapshot {
        self.node.snapshot()
    }

    /// Virtual nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What holds when everything is over.
    fn close(&mut self) -> Result<(), Violation> {
        let snapshot = self.node.snapshot();
        execution::sums(&snapshot, self.handed, self.now)?;
        let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
        self.connections.count(&case, snapshot.unverified, self.now)?;
        let is_stored = !self.plan.topology.answers_accounting || self.records.store.is_idle();
        let is_over = self.reloads.are_over() && is_stored;
        execution::idle(&snapshot, is_over, self.now)?;
        self.goals.reach_times(Goal::LookUpLimit, snapshot.look_ups_refused);
        self.look_at_records()?;
        channels::balance(&snapshot, self.now)?;
        channels::idle(&snapshot, self.now)?;
        self.close_readers()?;
        self.close_forwarding()
    }

    /// What arrives of a datagram, in the buffer of `self.carried`, to be put back.
    fn carry(&mut self, way: Way, octets: &[u8]) -> Vec<Carried> {
        let mut carried = std::mem::take(&mut self.carried);
        self.net.carry(way, octets, self.plan, self.now, &mut self.faults, &mut carried);
        carried
    }

    /// A datagram reaches the server's host.
    fn arrive(&mut self, socket: SocketId, datagram: Datagram) -> Result<(), Violation> {
        let thread = self.sockets.thread(socket);
        let words = [u64::from(socket.0), u64::from(datagram.remote.port())];
        if !self.sockets.has_room(socket, self.now, &mut self.faults) {
            self.trace.add(self.now, thread as u32, Kind::Overflows, words, &datagram.octets);
            return Ok(());
        }
        self.trace.add(self.now, thread as u32, Kind::Arrives, words, &datagram.octets);
        self.sockets.put(socket, datagram);
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
            configured: self.reloads.configured(self.plan, &self.sites, self.now),
            now: self.now,
            out: &mut self.out,
        };
        act(&mut self.nases[place], &mut around);
        let mut out = std::mem::take(&mut self.out);
        for (at, timer) in out.timers.drain(..) {
            self.schedule.add(at, self.first_threads + place, Event::Nas { nas: place, timer });
        }
        for sent in out.sent.drain(..) {
            let words = [sent.port as u64, u64::from(sent.listener.0)];
            self.trace.add(self.now, NAS + place as u32, Kind::NasSends, words, &sent.octets);
            let Some(remote) = self.leave(place, &sent) else { continue };
            let way = Way { nas: place, port: sent.port, listener: sent.listener, up: true };
            self.forge_behind(way, remote, &sent.octets);
            let mut carried = self.carry(way, &sent.octets);
            for Carried { delay, octets, origin } in carried.drain(..) {
                let socket = self.socket_for(way, remote);
                let sender = (origin == Origin::Intact).then_some(place);
                let event = Event::Arrive { socket, datagram: Datagram { remote, sender, octets } };
                self.schedule.add(self.now + delay, self.first_threads + place, event);
            }
            self.carried = carried;
        }
        for note in out.notes.drain(..) {
            self.note(place, note)?;
        }
        self.out = out;
        Ok(())
    }

    /// The socket that the kernel hands a datagram of this flow to.
    fn socket_for(&mut self, way: Way, remote: SocketAddr) -> SocketId {
        let topology = &self.plan.topology;
        let steered = self.node.steer(way.listener, remote);
        let network = self.net.deliver(way, steered, topology.networks(), self.now, &mut self.faults);
        topology.socket(way.listener, network)
    }

    fn note(&mut self, place: usize, note: Note) -> Result<(), Violation> {
        let node = NAS + place as u32;
        match note {
            Note::Answered(number, code) => {
                clients::believed(place, self.requester, self.now)?;
                self.trace.add(self.now, node, Kind::Answered, [number as u64, u64::from(code)], &[]);
            }
            Note::GaveUp(number, standstill) => {
                self.trace.add(self.now, node, Kind::GivesUp, [number as u64, standstill as u64], &[]);
                let exchange = &self.nases[place].exchanges()[number];
                if exchange.must_be_answered && self.net.nats.have_robbed(place, exchange.begun) {
                    self.goals.reach(Goal::Excused);
                } else if exchange.must_be_answered {
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
