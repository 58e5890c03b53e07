//! Serves another process over a shared ring, in place of sockets: one joined thread's cores in a loop of their own.
//!
//! The phases are those of `turn`, in its order. What comes as a datagram in a slot is handled as one that came to a
//! listener of the configuration, from the address that the other process says; what is to be sent goes back as a reply. No
//! system call is made while there is something to do, but for a look at bells now and then.
//!
//! Decides nothing, as `turn` does not. Binds no sockets and takes no new configuration: that is a server's.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};
use ulna_core::Seed;
use ulna_core::configuration::Configuration;
use ulna_core::cores::{Cores, assemble_with};
use ulna_core::counters::Counter;
use ulna_core::network::connected::SocketOrder;
use ulna_core::path::{ListenerId, Path, SocketId, Transmit, Via, WorkerId};
use ulna_core::policy::PolicyFactory;

use crate::bell::{BELL, Bell};
use crate::clock::{Clock, wall_time};
use crate::effects::{Desk, EffectThreads};
use crate::log::{EventWriter, Log, Names};
use crate::mmsg::PACKET_OCTETS_MAX;
use crate::patience::PatienceCounters;
use crate::report::ThreadReport;
use crate::seats::Bells;
use crate::server::StartError;
use crate::shared_ring::{End, Link};
use crate::storing::RecordStore;
use crate::system_calls::SystemCalls;
use crate::turn::{BATCH, SLICE_MAX, WORK_MAX};

/// The cores of one thread, and what they need beside a link.
pub struct SharedPort {
    cores: Cores,
    poll: Poll,
    events: Events,
    listener: ListenerId,
    /// Of that listener: where its replies come from.
    port: u16,
    effects: Desk,
    clock: Clock,
    stopper: Stopper,
    calls: SystemCalls,
    report: Arc<ThreadReport>,
    counters: Arc<PortCounters>,
    writer: EventWriter,
    log: Log,
    reply: Vec<u8>,
    /// Last, so that it ends after those who ask.
    _effect_threads: EffectThreads,
}

/// Ends the loop of a port, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    is_over: Arc<AtomicBool>,
    bell: Bell,
}

impl Stopper {
    /// Has [`SharedPort::serve`] return after its present turn, and at once whenever it is called again.
    pub fn stop(&self) {
        // Release pairs with the Acquire load in `serve`; one that sleeps is woken by its bell.
        self.is_over.store(true, Ordering::Release);
        self.bell.ring(&mut SystemCalls::default());
    }
}

/// Why a link is not served any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The other process has ended it.
    Ended(End),
    /// [`Stopper::stop`] was called.
    Stopped,
}

/// What a port counts beside its cores and its thread, over all links that it has served. Replies that found the ring full
/// are dropped and counted as those for which a socket has no room, in
/// [`send_would_block`](crate::counters::ThreadCounters::send_would_block); rings of the other process's bell are in
/// [`ring_calls`](crate::counters::ThreadCounters::ring_calls).
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Datagrams taken off rings.
    pub datagrams: Counter,
    /// System calls that took this side's bell.
    pub take_calls: Counter,
    /// Sleeps for want of anything from the other process.
    pub link_parks: Counter,
    /// Links whose other process has gone.
    pub peers_gone: Counter,
    /// Links that the other process has broken.
    pub peers_broke: Counter,
}

impl PortCounters {
    /// Name and value of each.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        [
            ("datagrams", &self.datagrams),
            ("take_calls", &self.take_calls),
            ("link_parks", &self.link_parks),
            ("peers_gone", &self.peers_gone),
            ("peers_broke", &self.peers_broke),
        ]
        .into_iter()
        .map(|(name, counter)| (name, counter.value()))
    }
}

impl SharedPort {
    /// For datagrams as if they came to this listener. The policy that `policies` makes decides; records go into `store`,
    /// if there is one; lines of the log go to `log_out`.
    ///
    /// # Errors
    /// When a thread cannot be had, or the file of records cannot be opened.
    ///
    /// # Panics
    /// If the configuration asks for more than one joined thread, or has no such listener.
    pub fn new(
        configuration: &Arc<Configuration>,
        listener: ListenerId,
        seed: &Seed,
        policies: &Arc<PolicyFactory>,
        store: Option<RecordStore>,
        log_out: Box<dyn Write + Send>,
    ) -> Result<SharedPort, StartError> {
        let mut cores = assemble_with(configuration, seed, policies);
        assert!(cores.len() == 1, "a port is served by one joined thread");
        let cores = cores.remove(0);
        let address = configuration.listeners.get(usize::from(listener.0)).map(|listener| listener.address);
        let port = address.expect("a listener of the configuration").port();
        let clock = Clock::start();
        let poll = Poll::new()?;
        let bell = Bell::new(poll.registry())?;
        let bells = Arc::new(Bells::new());
        bells.set(cores.bell(), Some(bell.clone()));
        let stopper = Stopper { is_over: Arc::default(), bell };
        let report = Arc::new(ThreadReport::of(&cores));
        let names = Arc::new(Names::new(configuration));
        let lost = Arc::clone(&report);
        let lost = Box::new(move || lost.events_lost());
        let mut log = Log::start(names, configuration.log.format, clock, lost, log_out)?;
        let writer = log.writer();
        let effect_threads = EffectThreads::start(configuration, &bells, store.into(), clock)?;
        Ok(SharedPort {
            poll,
            events: Events::with_capacity(EVENTS),
            listener,
            port,
            effects: effect_threads.desk(WorkerId(0), cores.bell()),
            clock,
            stopper,
            calls: SystemCalls::default(),
            report,
            counters: Arc::default(),
            writer,
            log,
            reply: Vec::with_capacity(PACKET_OCTETS_MAX),
            _effect_threads: effect_threads,
            cores,
        })
    }

    /// What ends it.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What its cores and its thread count.
    pub fn report(&self) -> Arc<ThreadReport> {
        Arc::clone(&self.report)
    }

    /// What it counts itself.
    pub fn counters(&self) -> Arc<PortCounters> {
        Arc::clone(&self.counters)
    }

    /// Serves one process, from before it comes until it has gone. What it has written by then is still worked on. Another
    /// link may follow: what the cores know they keep, but nothing is done between two links, not even what is due.
    ///
    /// # Errors
    /// When the kernel refuses to watch or to wait.
    pub fn serve(&mut self, mut link: Link) -> io::Result<Served> {
        link.register(self.poll.registry(), LINK)?;
        let counted = (self.calls.ring, self.counters.take_calls.value(), self.counters.link_parks.value());
        let mut busy_turns = 0u32;
        loop {
            if self.stopper.is_over.load(Ordering::Acquire) {
                return Ok(Served::Stopped);
            }
            match link.end() {
                Some(End::Gone) if link.is_anything_unread() => {}
                Some(end) => {
                    let ends = &self.counters;
                    if let End::Broke(_) = end { &ends.peers_broke } else { &ends.peers_gone }.up();
                    return Ok(Served::Ended(end));
                }
                None => {}
            }
            self.turn(&mut link);
            let own = link.counters();
            self.calls.ring = counted.0 + own.rings;
            self.counters.take_calls.set(counted.1 + own.takes);
            self.counters.link_parks.set(counted.2 + own.parks);
            self.report.thread.note(&self.calls, self.cores.queue_counters(), PatienceCounters::default());
            self.wait(&mut link, &mut busy_turns)?;
        }
    }

    /// All phases of a turn but its wait.
    fn turn(&mut self, link: &mut Link) {
        let now = self.clock.now();
        self.cores.begin();
        self.cores.handle_wall_time(wall_time());
        self.cores.sweep(now);
        let (cores, listener) = (&mut self.cores, self.listener);
        let count = link.sweep(BATCH, |slot| {
            let path = Path { via: Via::Socket(VIA), listener, local: slot.local, remote: slot.remote };
            cores.handle_datagram(path, slot.octets(), now);
        });
        self.counters.datagrams.add(count as u64);
        self.cores.handle_timeout(now);
        self.work(now);
        self.effects.take_answers(|ticket, done| self.cores.handle_effect_done(ticket, done, now));
        while let Some((ticket, effect)) = self.cores.poll_effect() {
            if let Err(shed) = self.effects.ask(ticket, effect) {
                self.cores.handle_effect_done(ticket, shed, now);
            }
        }
        self.transmit(link);
        self.cores.finish(now);
        self.cores.publish();
        assert!(self.cores.check_gate().is_none(), "there is no other thread");
        link.publish();
        self.pass_events_on();
    }

    /// As in `turn`: until none waits or the turn has been long enough.
    fn work(&mut self, began: ulna_core::Instant) {
        let mut slice = 1;
        while self.cores.work(slice, began) && self.clock.now().saturating_since(began) < WORK_MAX {
            slice = (2 * slice).min(SLICE_MAX);
        }
        self.report.thread.note_turn(self.clock.now().saturating_since(began));
    }

    /// All that is to be sent goes back. What finds the ring full is dropped: its client asks again, and gets what is kept.
    fn transmit(&mut self, link: &mut Link) {
        let mut room = link.room();
        loop {
            self.reply.clear();
            let Some(transmit) = self.cores.poll_transmit(&mut self.reply) else { break };
            if room == 0 {
                self.report.thread.send_would_block.up();
                continue;
            }
            room -= 1;
            link.stage(transmit.destination, self.local_of(&transmit), &self.reply);
            self.report.thread.packets_sent.up();
        }
        // Its datagrams come by a ring: there is nothing that a socket could be connected to.
        while let Some(order) = self.cores.poll_socket() {
            if let SocketOrder::Open { socket, .. } = order {
                self.cores.handle_socket_refused(socket);
            }
        }
    }

    fn local_of(&self, transmit: &Transmit) -> SocketAddr {
        let unspecified = match transmit.destination {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(transmit.source.unwrap_or(unspecified), self.port)
    }

    fn pass_events_on(&mut self) {
        let mut is_any_written = false;
        while let Some(event) = self.cores.poll_event() {
            if self.writer.write(event) {
                is_any_written = true;
            } else {
                self.report.thread.events_lost.up();
            }
        }
        if is_any_written {
            self.writer.publish();
        }
    }

    /// Sleeps if neither the ring nor the cores have anything to do; else it looks at bells, each so many turns.
    fn wait(&mut self, link: &mut Link, busy_turns: &mut u32) -> io::Result<()> {
        let mut patience = Some(Duration::ZERO);
        let mut is_busy = true;
        if self.cores.may_park() {
            self.cores.announce();
            link.announce();
            if !(self.cores.look_again() | link.look_again()) {
                let deadline = self.cores.poll_timeout().map(|(due, _)| due);
                patience = deadline.map(|due| due.saturating_since(self.clock.now()));
                is_busy = false;
            }
        }
        *busy_turns = if is_busy { *busy_turns + 1 } else { 0 };
        if is_busy && *busy_turns < BUSY_TURNS_MAX {
            self.cores.unpark();
            link.unpark();
            return Ok(());
        }
        *busy_turns = 0;
        self.calls.wait += 1;
        let polled = self.poll.poll(&mut self.events, patience);
        self.cores.unpark();
        link.unpark();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in self.events.iter().filter(|event| event.token() != BELL) {
            link.handle_event(event);
        }
        Ok(())
    }
}

impl Drop for SharedPort {
    fn drop(&mut self) {
        self.log.finish();
    }
}

/// The one "socket" that there is.
const VIA: SocketId = SocketId(0);
const LINK: Token = Token(0);
/// Bell and both ends of the FIFOs.
const EVENTS: usize = 4;
/// Turns without a look at bells, at most: with 64 datagrams a turn each costs some 200 µs at most.
const BUSY_TURNS_MAX: u32 = 64;
