//! Starts the threads of a server, drains them, and tells what they count.
//!
//! The set of threads is fixed from start to exit. A core that panics is replaced on its thread. A panic elsewhere, the third
//! within ten seconds, or a kernel that refuses a thread its wait, takes the process with it: requests would hang for ever,
//! and a server that is gone is replaced sooner than one half there.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Poll;
use ulna_core::configuration::Configuration;
use ulna_core::cores::assemble_with;
use ulna_core::network::owner::Owners;
use ulna_core::policy::{PolicyFactory, configured_rules};
use ulna_core::{Seed, SocketId};

use crate::bell::Bell;
use crate::clock::Clock;
use crate::deaths::Deaths;
use crate::effects::EffectThreads;
use crate::listening::{ListenError, Listening};
use crate::log::{Log, Names};
use crate::patience::Patience;
use crate::patience::tripwire::Rounds;
use crate::reload::{Follower, Reloader, Steps};
use crate::report::{Report, ThreadReport};
use crate::storing::RecordStore;
use crate::system_calls::SystemCalls;
use crate::turn::{Orders, Stage, Turn};

/// Between two looks whether all threads are drained.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// A running server.
pub struct Server {
    listening: Arc<Listening>,
    threads: Vec<Serving>,
    bells: Arc<[Bell]>,
    orders: Arc<Orders>,
    log: Option<Log>,
    steps: Arc<Steps>,
    reloader: Reloader,
    /// Last, so that it ends after those who ask.
    effects: Arc<EffectThreads>,
}

/// One of its threads.
struct Serving {
    handle: JoinHandle<()>,
    drained: Arc<AtomicBool>,
    report: ThreadReport,
}

/// Why a server could not be started.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be had.
    Listen(ListenError),
    /// A thread, or what it waits on, cannot be had.
    Thread(io::Error),
    /// The file of accounting records cannot be opened, or repaired.
    Store(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(error) => error.fmt(f),
            StartError::Store(error) => write!(f, "cannot store accounting: {error}"),
            StartError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        StartError::Listen(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Thread(error)
    }
}

impl Server {
    /// Binds all sockets and starts all threads; the rules of the configuration decide. Lines of the log go to `log_out`.
    ///
    /// # Errors
    /// When an address is in use or a thread cannot be had; then nothing has been started.
    pub fn start(
        configuration: &Arc<Configuration>,
        seed: &Seed,
        log_out: Box<dyn Write + Send>,
    ) -> Result<Server, StartError> {
        Server::start_with(configuration, seed, &configured_rules(), log_out)
    }

    /// The same with a policy for each worker that `policies` makes, in place of the configuration's rules; all else is as
    /// the configuration says.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(
        configuration: &Arc<Configuration>,
        seed: &Seed,
        policies: &Arc<PolicyFactory>,
        log_out: Box<dyn Write + Send>,
    ) -> Result<Server, StartError> {
        Server::start_storing(configuration, seed, policies, None, log_out)
    }

    /// The same with a place for accounting records. Without one, or without `[accounting.file]`, no record is stored and
    /// so no accounting answered.
    ///
    /// # Errors
    /// As [`Server::start`], and when the file of records cannot be opened.
    pub fn start_storing(
        configuration: &Arc<Configuration>,
        seed: &Seed,
        policies: &Arc<PolicyFactory>,
        store: Option<RecordStore>,
        log_out: Box<dyn Write + Send>,
    ) -> Result<Server, StartError> {
        let clock = Clock::start();
        let cores = assemble_with(configuration, seed, policies);
        let polls = cores.iter().map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let bells: Arc<[Bell]> =
            polls.iter().map(|poll| Bell::new(poll.registry())).collect::<io::Result<Vec<_>>>()?.into();
        let owners = Owners::new(configuration.network_cores() as u16, seed);
        let listening = Arc::new(Listening::bind(configuration, owners.mixing(), &polls)?);
        let reports: Vec<_> = cores.iter().map(ThreadReport::of).collect();
        let names = configuration.log.requests.then(|| Arc::new(Names::new(configuration)));
        let (log, writers) = if let Some(names) = &names {
            let lost = {
                let reports = reports.clone();
                Box::new(move || reports.iter().map(ThreadReport::events_lost).sum())
            };
            let (log, writers) = Log::start(
                Arc::clone(names),
                configuration.log.format,
                cores.len() as u16,
                clock,
                lost,
                log_out,
            )?;
            (Some(log), writers.into_iter().map(Some).collect())
        } else {
            (None, cores.iter().map(|_| None).collect::<Vec<_>>())
        };
        let effects = Arc::new(EffectThreads::start(configuration, &bells, store, clock)?);
        let steps = Arc::new(Steps::new(cores.len()));
        let reloader =
            Reloader::new(Arc::clone(&steps), Arc::clone(&bells), &effects, names, Arc::clone(configuration));
        let mut server = Server {
            listening,
            threads: Vec::new(),
            bells,
            orders: Arc::new(Orders::default()),
            log,
            steps,
            reloader,
            effects,
        };
        let deaths = Arc::<Deaths>::default();
        let rounds = Rounds::new(cores.len());
        // By the affinity of the thread that starts the server, which those that it starts inherit.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.into_iter().zip(polls).zip(writers).zip(reports);
        for (thread, (((cores, poll), log), report)) in threads.enumerate() {
            let name = report.name.clone();
            let drained = Arc::new(AtomicBool::new(false));
            let turn = Turn {
                cores,
                poll,
                sockets: server.listening.of_thread(thread).into_iter().map(|via| (via, true)).collect(),
                listening: Arc::clone(&server.listening),
                bells: Arc::clone(&server.bells),
                effects: server.effects.desk(thread),
                clock,
                orders: Arc::clone(&server.orders),
                drained: Arc::clone(&drained),
                counters: Arc::clone(&report.thread),
                log,
                reload: Follower::new(&server.steps),
                patience: Patience::new(&configuration.runtime, &rounds, processors, clock),
                rounds: rounds.clone(),
                turn: Duration::ZERO,
                read_from: SocketId(0),
                deaths: Arc::clone(&deaths),
            };
            let handle = thread::Builder::new().name(name.clone()).spawn(move || {
                let _end_with_the_process = EndsProcessOnPanic;
                turn.run()
                    .unwrap_or_else(|error| panic!("{name}: the kernel refused to wait or to read: {error}"));
            });
            match handle {
                Ok(handle) => server.threads.push(Serving { handle, drained, report }),
                Err(error) => {
                    server.exit();
                    return Err(error.into());
                }
            }
        }
        Ok(server)
    }

    /// One address for each `address` of the configuration, with the port that it really has.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listening.addresses()
    }

    /// The least receive buffer that a socket was granted, in octets.
    pub fn granted_receive_octets(&self) -> usize {
        self.listening.sockets().iter().map(|bound| bound.granted_receive_octets).min().unwrap_or_default()
    }

    /// Why the kernel could not be told which thread a datagram is for, if it could not: it then spreads connections by a
    /// rule of its own, what comes to the wrong thread crosses a ring, and Status-Server shares sockets with requests.
    pub fn steering_refused(&self) -> Option<&io::Error> {
        self.listening.steering_refused.as_ref()
    }

    /// What is counted so far.
    pub fn report(&self) -> Report<'_> {
        Report {
            threads: self.threads.iter().map(|serving| &serving.report).collect(),
            listening: &self.listening,
            store: self.effects.store_counters(),
        }
    }

    /// Begins a new file of accounting records, if any are stored: for whoever moves files away.
    pub fn begin_new_record_file(&self) {
        self.effects.ask_for_new_file();
    }

    /// Where it gets new configurations from. Outlives it; then it takes none.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Reads nothing new, finishes what was begun, delayed rejects too, and ends all threads. Waits for at most
    /// `patience`; false if something was still under way then.
    pub fn drain(&self, patience: Duration) -> bool {
        self.steps.end();
        self.order(Stage::Draining);
        let until = std::time::Instant::now() + patience;
        // Twice in a row: a message may be on its way from one thread that has just drained to another that had.
        let mut looks = 0;
        while looks < 2 && std::time::Instant::now() < until {
            thread::sleep(DRAIN_LOOK);
            let drained = self.threads.iter().all(|serving| serving.drained.load(Ordering::Relaxed));
            looks = if drained { looks + 1 } else { 0 };
        }
        looks == 2
    }

    /// Ends all threads at once, and the log when it has written all lines; it is not waited for for ever.
    pub fn exit(self) {
        self.steps.end();
        self.order(Stage::Exit);
        for serving in self.threads {
            serving.handle.join().expect("a thread that panics ends the process");
        }
        if let Some(log) = self.log {
            log.finish();
        }
    }

    fn order(&self, stage: Stage) {
        self.orders.give(stage);
        let mut calls = SystemCalls::default();
        self.bells.iter().for_each(|bell| bell.ring(&mut calls));
    }
}

/// Ends the process if its thread panics.
pub(crate) struct EndsProcessOnPanic;

impl Drop for EndsProcessOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
