//! Starts a server, drains it, and tells what it counts.
//!
//! Network threads are there from start to exit; workers come and go with the configuration. A core that panics is replaced on its thread. A panic elsewhere, the third
//! within ten seconds, or a kernel that refuses a thread its wait, takes the process with it: requests would hang for ever,
//! and a server that is gone is replaced sooner than one half there.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mio::Poll;
use ulna_core::Seed;
use ulna_core::configuration::Configuration;
use ulna_core::cores::Staff;
use ulna_core::network::owner::Owners;
use ulna_core::policy::{PolicyFactory, configured_rules};

use crate::allocator::map_large_tables;
use crate::clock::Clock;
use crate::control_socket::{BoundControl, Control};
use crate::effects::EffectThreads;
use crate::errands::Controls;
use crate::listening::{ListenError, Listening};
use crate::log::{Log, Names};
use crate::patience::tripwire::Rounds;
use crate::reload::{Reloader, Steps};
use crate::report::{Report, name_of};
use crate::seats::{Bells, THREADS_MAX};
use crate::spooling::SpoolStore;
use crate::storing::RecordStore;
use crate::supervisor::{Berth, Shared, Supervisor, Threads};
use crate::turn::Stage;

/// Between two looks whether all threads are drained.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    reloader: Reloader,
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
    /// The files of the spool cannot be opened, read or repaired.
    Spool(String),
    /// The control socket cannot be had.
    Control(io::Error),
}

/// Places for accounting records.
#[derive(Default)]
pub struct Stores {
    /// The accounting file.
    pub records: Option<RecordStore>,
    /// The spool.
    pub spool: Option<SpoolStore>,
}

impl From<Option<RecordStore>> for Stores {
    fn from(records: Option<RecordStore>) -> Self {
        Stores { records, spool: None }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(error) => error.fmt(f),
            StartError::Store(error) => write!(f, "cannot store accounting: {error}"),
            StartError::Spool(error) => write!(f, "cannot have the spool: {error}"),
            StartError::Control(error) => write!(f, "cannot have the control socket: {error}"),
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
        Server::start_storing(configuration, seed, policies, Stores::default(), log_out)
    }

    /// The same with places for accounting records. Without them, or without `[accounting.file]` and a spool, no record is stored
    /// and so no accounting answered.
    ///
    /// # Errors
    /// As [`Server::start`], and when the file of records or the spool cannot be opened.
    pub fn start_storing(
        configuration: &Arc<Configuration>,
        seed: &Seed,
        policies: &Arc<PolicyFactory>,
        stores: Stores,
        log_out: Box<dyn Write + Send>,
    ) -> Result<Server, StartError> {
        // Before the first table.
        map_large_tables();
        let clock = Clock::start();
        let (staff, cores) = Staff::assemble(configuration, seed, policies);
        let polls = cores.iter().map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let bells = Arc::new(Bells::new());
        let owners = Owners::new(configuration.network_cores() as u16, seed);
        let listening = Arc::new(Listening::bind(configuration, owners.mixing(), &polls)?);
        let control = configuration.control.socket.as_ref().map(BoundControl::bind);
        let control = control.transpose().map_err(StartError::Control)?;
        let control =
            control.map(|mut bound| bound.register(polls[0].registry()).map(|()| Control::new(bound)));
        let mut control = control.transpose()?;
        let names = Arc::new(Names::new(configuration));
        let threads = Arc::<Mutex<Threads>>::default();
        // Also without lines for requests: what is rare is told in any case.
        let log = {
            let threads = Arc::clone(&threads);
            let lost = Box::new(move || locked(&threads).events_lost());
            Log::start(Arc::clone(&names), configuration.log.format, clock, lost, log_out)?
        };
        let shared = Arc::new(Shared {
            listening,
            orders: Arc::default(),
            steps: Arc::new(Steps::new()),
            effects: Arc::new(EffectThreads::start(configuration, &bells, stores, clock)?),
            bells,
            log: Mutex::new(log),
            clock,
            settings: configuration.runtime.clone(),
            rounds: Rounds::with_room_for(THREADS_MAX),
            // By the affinity of the thread that starts the server, which those that it starts inherit.
            processors: thread::available_parallelism().map_or(1, usize::from),
            deaths: Arc::default(),
            connected: Arc::default(),
            staff: Mutex::new(staff),
            threads,
        });
        if control.is_some() {
            shared.effects.errands().start(&shared)?;
        }
        let reloader = Reloader::new(Supervisor::of(&shared), names, Arc::clone(configuration));
        let server = Server { shared, reloader };
        let berths = cores.iter().zip(polls).map(|(cores, poll)| Berth::new(&name_of(cores), poll));
        let berths = berths.collect::<io::Result<Vec<_>>>();
        let berths = match berths {
            Ok(berths) => berths,
            Err(error) => {
                server.exit();
                return Err(error.into());
            }
        };
        for (cores, berth) in cores.into_iter().zip(berths) {
            // The first has the first network core.
            server.shared.start(cores, berth, None, control.take());
        }
        Ok(server)
    }

    /// One address for each `address` of the configuration, with the port that it really has.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners().map(|(_, address)| address)
    }

    /// The same, each with its transport.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + '_ {
        self.shared.listening.addresses()
    }

    /// The least receive buffer that a socket was granted, in octets; `None` where none takes datagrams.
    pub fn granted_receive_octets(&self) -> Option<usize> {
        self.shared.listening.sockets().iter().map(|bound| bound.granted_receive_octets).min()
    }

    /// Why the kernel could not be told which thread a datagram is for, if it could not: it then spreads connections by a
    /// rule of its own, what comes to the wrong thread crosses a ring, and Status-Server shares sockets with requests.
    pub fn steering_refused(&self) -> Option<&io::Error> {
        self.shared.listening.steering_refused.as_ref()
    }

    /// What is counted so far.
    pub fn report(&self) -> Report<'_> {
        self.shared.report()
    }

    /// What the program does for whoever controls the server. Said once.
    pub fn set_controls(&self, controls: Controls) {
        self.shared.effects.errands().set_controls(controls);
    }

    /// Begins a new file of accounting records, if any are stored: for whoever moves files away.
    pub fn begin_new_record_file(&self) {
        self.shared.effects.ask_for_new_file();
    }

    /// Where it gets new configurations from. Outlives it; then it takes none.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// What has its threads come, go and panic. Outlives it; then it does nothing.
    pub fn supervisor(&self) -> Supervisor {
        Supervisor::of(&self.shared)
    }

    /// Reads nothing new, finishes what was begun, delayed rejects too, and ends all threads. Waits for at most
    /// `patience`; false if something was still under way then.
    pub fn drain(&self, patience: Duration) -> bool {
        self.shared.steps.end();
        self.shared.order(Stage::Draining);
        let until = std::time::Instant::now() + patience;
        // Twice in a row: a message may be on its way from one thread that has just drained to another that had.
        let mut looks = 0;
        while looks < 2 && std::time::Instant::now() < until {
            thread::sleep(DRAIN_LOOK);
            let drained = self.shared.are_drained();
            looks = if drained { looks + 1 } else { 0 };
        }
        looks == 2
    }

    /// Ends all threads at once, and the log when it has written all lines; it is not waited for for ever.
    pub fn exit(self) {
        self.shared.end();
        locked(&self.shared.log).finish();
    }
}

/// Locks. A lock is poisoned only by a panic that ends the process: no core runs under one.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
