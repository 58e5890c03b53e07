//! The threads that serve: started, hired, dismissed, told to panic, and ended.
//!
//! Owned by the server; the main thread and whoever reloads call it. What a change of workers is, step by step, core knows
//! ([`Change`]); here each step is ordered of all threads, and those of workers begin and end. docs/reload.md.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Poll;
use ulna_core::Configuration;
use ulna_core::configuration::RuntimeSettings;
use ulna_core::cores::{Change, Cores, Staff};
use ulna_core::generation::Generation;
use ulna_core::path::{Peer, WorkerId};

use crate::bell::Bell;
use crate::clock::Clock;
use crate::connected::{Budget, ConnectedSockets};
use crate::control_socket::Control;
use crate::counters::ThreadCounters;
use crate::deaths::Deaths;
use crate::effects::EffectThreads;
use crate::listening::Listening;
use crate::log::{EventWriter, Log};
use crate::patience::Patience;
use crate::patience::tripwire::Rounds;
use crate::reload::{Follower, ReloadError, Step, Steps};
use crate::remote::RemoteSockets;
use crate::report::{Report, ThreadReport, name_of_worker};
use crate::seats::Bells;
use crate::server::{EndsProcessOnPanic, locked};
use crate::system_calls::SystemCalls;
use crate::tcp::Tcp;
use crate::turn::{Left, Orders, Stage, Turn};

/// Has the threads of a server come, go and panic. Clones are for the same server, which ends whatever they do.
#[derive(Clone)]
pub struct Supervisor(Weak<Shared>);

pub(crate) struct Shared {
    pub listening: Arc<Listening>,
    pub bells: Arc<Bells>,
    pub orders: Arc<Orders>,
    pub steps: Arc<Steps>,
    pub effects: Arc<EffectThreads>,
    pub log: Mutex<Log>,
    pub clock: Clock,
    pub settings: RuntimeSettings,
    pub rounds: Rounds,
    /// Processors that the process may use.
    pub processors: usize,
    pub deaths: Arc<Deaths>,
    /// How many sockets connections have for themselves.
    pub connected: Arc<Budget>,
    pub staff: Mutex<Staff>,
    pub threads: Arc<Mutex<Threads>>,
}

/// Those that serve, and what is left of those that did.
#[derive(Default)]
pub(crate) struct Threads {
    serving: Vec<Serving>,
    former: Vec<Former>,
    /// What all threads have counted that have gone.
    counted: Arc<ThreadCounters>,
    /// Changes of workers that came to nothing, as a thread or a policy could not be had.
    failed_hires: u64,
}

/// A thread, and all that it takes from the kernel, which waits for what it is to run. If that never comes it ends.
pub(crate) struct Berth {
    poll: Poll,
    bell: Bell,
    hand_over: SyncSender<Box<Turn>>,
    handle: JoinHandle<Option<Left>>,
}

impl Berth {
    /// On this poll.
    ///
    /// # Errors
    /// When the kernel has no thread, or no bell, for it.
    pub fn new(name: &str, poll: Poll) -> io::Result<Berth> {
        let bell = Bell::new(poll.registry())?;
        let (hand_over, handed) = sync_channel::<Box<Turn>>(1);
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            let turn = handed.recv().ok()?;
            let _end_with_the_process = EndsProcessOnPanic;
            let left = turn.run();
            Some(left.unwrap_or_else(|error| panic!("the kernel refused to wait or to read: {error}")))
        })?;
        Ok(Berth { poll, bell, hand_over, handle })
    }
}

/// A thread that serves.
struct Serving {
    /// Its worker, if that can go.
    worker: Option<WorkerId>,
    /// None while it is being seen off.
    handle: Option<JoinHandle<Option<Left>>>,
    drained: Arc<AtomicBool>,
    report: ThreadReport,
}

/// What is left of a worker that has gone, for the next of its number: what its core counted, and its way to the log.
struct Former {
    worker: WorkerId,
    report: ThreadReport,
    writer: Option<EventWriter>,
}

impl Supervisor {
    pub(crate) fn of(shared: &Arc<Shared>) -> Supervisor {
        Supervisor(Arc::downgrade(shared))
    }

    /// How many workers there are; none when the server has ended.
    pub fn workers(&self) -> usize {
        self.0.upgrade().map_or(0, |shared| locked(&shared.staff).workers())
    }

    /// A core panics between two turns of its thread, for a drill, and is replaced. Not counted among the panics that end a
    /// process when they are too many. Nothing if there is no such core.
    pub fn panic_thread(&self, core: Peer) {
        let Some(shared) = self.0.upgrade() else { return };
        // Under the lock, as one posts at a time.
        let staff = locked(&shared.staff);
        shared.rounds.while_posting(|| {
            if let Some(bell) = staff.drill(core) {
                shared.bells.ring(bell, &mut SystemCalls::default());
            }
        });
    }

    pub(crate) fn shared(&self) -> Result<Arc<Shared>, ReloadError> {
        self.0.upgrade().ok_or(ReloadError::Ends)
    }

    /// There are to be so many workers, as [`Shared::change_workers`] has it. Whether there were not before.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn change_workers(
        &self,
        workers: usize,
        generation: Generation,
        configuration: &Arc<Configuration>,
    ) -> Result<bool, ReloadError> {
        self.shared()?.change_workers(workers, generation, configuration)
    }
}

impl Shared {
    /// Has a thread run these cores.
    pub(crate) fn start(
        &self,
        cores: Cores,
        berth: Berth,
        writer: Option<EventWriter>,
        control: Option<Control>,
    ) {
        let Berth { poll, bell: its_bell, hand_over, handle } = berth;
        let bell = cores.bell();
        self.bells.set(bell, Some(its_bell));
        self.rounds.enter(bell);
        let report = ThreadReport::of(&cores);
        let writer = writer.unwrap_or_else(|| locked(&self.log).writer());
        let network = cores.network().map(|network| usize::from(network.id().0));
        let worker = cores.worker().map(|worker| worker.id());
        let drained = Arc::new(AtomicBool::new(false));
        let sockets = network.map(|network| self.listening.of_thread(network)).unwrap_or_default();
        let turn = Box::new(Turn {
            poll,
            sockets: sockets.into_iter().map(|via| (via, true)).collect(),
            listening: Arc::clone(&self.listening),
            bells: Arc::clone(&self.bells),
            effects: worker.map(|worker| self.effects.desk(worker, bell)),
            clock: self.clock,
            orders: Arc::clone(&self.orders),
            drained: Arc::clone(&drained),
            counters: Arc::clone(&report.thread),
            log: writer,
            reload: Follower::new(&self.steps),
            patience: Patience::new(&self.settings, &self.rounds, self.processors, self.clock),
            rounds: self.rounds.clone(),
            turn: Duration::ZERO,
            read_from: None,
            connected: ConnectedSockets::new(
                &self.connected,
                self.settings.receive_buffer_octets,
                &report.thread,
            ),
            remote: RemoteSockets::new(self.settings.receive_buffer_octets, &report.thread),
            tcp: Tcp::new(&self.listening, network),
            control,
            deaths: Arc::clone(&self.deaths),
            cores,
        });
        self.steps.enter();
        hand_over.send(turn).expect("it waits for nothing else");
        let worker = worker.filter(|_| network.is_none());
        let serving = Serving { worker, handle: Some(handle), drained, report };
        locked(&self.threads).begin(serving);
    }

    /// What is counted so far.
    pub(crate) fn report(&self) -> Report<'_> {
        let threads = locked(&self.threads);
        Report {
            threads: threads.reports(),
            gone: threads.reports_of_those_gone(),
            failed_hires: threads.failed_hires(),
            listening: &self.listening,
            store: self.effects.store_counters(),
            spool: self.effects.spool_counters(),
        }
    }

    /// There are to be so many workers: hires and dismisses as many as that takes, and waits until all is settled, at most as
    /// long as requests that are under way may take, or conversations that a policy keeps.
    ///
    /// # Errors
    /// When the server ends, or a thread or a policy cannot be had; then there are as many as before.
    pub(crate) fn change_workers(
        &self,
        workers: usize,
        generation: Generation,
        configuration: &Arc<Configuration>,
    ) -> Result<bool, ReloadError> {
        // New threads are had before anything is promised to anybody.
        let new = locked(&self.staff).next_workers(workers);
        let berth = |worker: WorkerId| Berth::new(&name_of_worker(worker), Poll::new()?);
        let berths = new.into_iter().map(berth).collect::<io::Result<Vec<_>>>();
        let berths = berths.map_err(ReloadError::Thread).inspect_err(|_| self.note_failed_hire())?;
        let change = {
            let mut staff = locked(&self.staff);
            // It makes policies, before all else. What it leaves when that panics is whole.
            let change = AssertUnwindSafe(|| {
                self.rounds.while_posting(|| {
                    let change = staff.change(workers, generation, configuration);
                    let bells = change.iter().flat_map(|change| &change.bells);
                    let mut calls = SystemCalls::default();
                    bells.for_each(|bell| self.bells.ring(*bell, &mut calls));
                    change
                })
            });
            catch_unwind(change).map_err(|_| {
                self.note_failed_hire();
                ReloadError::Policy
            })?
        };
        let Some(Change { hired, owners, leaving, .. }) = change else { return Ok(false) };
        for (cores, berth) in hired.into_iter().zip(berths) {
            let worker = cores.worker().map(|worker| worker.id());
            let writer = worker.and_then(|worker| locked(&self.threads).take_writer(worker));
            self.start(cores, berth, writer, None);
        }
        let epoch = owners.epoch();
        self.steps.take(Step::Own(owners), &self.bells)?;
        self.steps.take(Step::Settle(epoch), &self.bells)?;
        let settled = locked(&self.staff).settle();
        self.steps.take(Step::Own(settled), &self.bells)?;
        for worker in leaving {
            self.steps.take(Step::Dismiss(worker), &self.bells)?;
            self.see_off(worker);
        }
        Ok(true)
    }

    fn note_failed_hire(&self) {
        locked(&self.threads).failed_hires += 1;
    }

    /// Waits until a worker that was dismissed has gone.
    fn see_off(&self, worker: WorkerId) {
        let handle = {
            let mut threads = locked(&self.threads);
            threads
                .serving
                .iter_mut()
                .find(|serving| serving.worker == Some(worker))
                .and_then(|it| it.handle.take())
        };
        let Some(handle) = handle else { return };
        // Not under the lock: others report meanwhile, its counts among them.
        let left = handle.join().expect("a thread that panics ends the process");
        let Left { cores, log } = left.expect("it was handed what it had to run");
        self.rounds.leave();
        self.steps.leave();
        self.bells.set(cores.bell(), None);
        locked(&self.threads).note_gone(worker, log);
        // Unless the whole server ends just now.
        if cores.is_gone() {
            locked(&self.staff).release(cores);
        }
    }

    /// Whether all threads have drained.
    pub(crate) fn are_drained(&self) -> bool {
        locked(&self.threads).serving.iter().all(|serving| serving.drained.load(Ordering::Relaxed))
    }

    /// An order to all threads.
    pub(crate) fn order(&self, stage: Stage) {
        self.orders.give(stage);
        self.bells.ring_all(&mut SystemCalls::default());
    }

    /// Ends all threads at once.
    pub(crate) fn end(&self) {
        self.steps.end();
        self.order(Stage::Exit);
        let serving = std::mem::take(&mut locked(&self.threads).serving);
        for handle in serving.into_iter().filter_map(|serving| serving.handle) {
            handle.join().expect("a thread that panics ends the process");
        }
    }
}

impl Threads {
    /// Events for the log that were lost by any of them.
    pub fn events_lost(&self) -> u64 {
        let serving = self.serving.iter().map(|serving| &serving.report);
        let former = self.former.iter().map(|former| &former.report);
        let by_those_here: u64 = serving.chain(former).map(ThreadReport::events_lost).sum();
        by_those_here + self.counted.events_lost.value()
    }

    /// Changes of workers that came to nothing.
    pub fn failed_hires(&self) -> u64 {
        self.failed_hires
    }

    /// The counts of all that serve.
    pub fn reports(&self) -> Vec<ThreadReport> {
        self.serving.iter().map(|serving| serving.report.clone()).collect()
    }

    /// What those that have gone counted.
    pub fn reports_of_those_gone(&self) -> Vec<ThreadReport> {
        let former = self.former.iter().map(|former| former.report.clone());
        former.chain([ThreadReport::of_those_gone(Arc::clone(&self.counted))]).collect()
    }

    /// The way to the log that a worker of this number had. What its core counted is counted on by its successor.
    fn take_writer(&mut self, worker: WorkerId) -> Option<EventWriter> {
        self.former.iter_mut().find(|former| former.worker == worker)?.writer.take()
    }

    /// One begins. What a former worker of its number counted it counts on, and is counted once.
    fn begin(&mut self, serving: Serving) {
        self.former.retain(|former| Some(former.worker) != serving.worker);
        self.serving.push(serving);
    }

    /// A worker has gone.
    fn note_gone(&mut self, worker: WorkerId, writer: EventWriter) {
        let Some(place) = self.serving.iter().position(|serving| serving.worker == Some(worker)) else {
            return;
        };
        let report = self.serving.remove(place).report;
        self.counted.add_all(&report.thread);
        let report = ThreadReport { thread: Arc::default(), ..report };
        self.former.push(Former { worker, report, writer: Some(writer) });
    }
}
