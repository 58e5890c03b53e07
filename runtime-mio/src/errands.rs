//! What is done for whoever controls the server and is no core's matter: rows of tables that no core has, a reload, the end.
//!
//! On two threads, as a reload may take long and neither rows nor the end are to wait for it. Their lines are bounded: whoever asks when
//! one is full is told so.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;

use ulna_core::control::{Answered, ConfigLine, Errand, Fact, RowBatch, Rows, Table};
use ulna_core::effect::{Effect, EffectDone, Ticket};

use crate::report::Report;
use crate::server::{EndsProcessOnPanic, locked};
use crate::supervisor::Shared;

/// Errands that wait, at most.
const SHOWS_MAX: usize = 256;
const RELOADS_MAX: usize = 2;

/// What the program does that the server is a part of.
pub struct Controls {
    /// Loads the configuration anew, and says what was wrong with it. Waits until it is in force.
    pub reload: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Has the server end, soon.
    pub shutdown: Box<dyn Fn() + Send + Sync>,
    /// The lines of the configuration that is in force, without secrets.
    pub configuration: Box<dyn Fn() -> Arc<[ConfigLine]> + Send + Sync>,
}

/// Who goes on errands.
#[derive(Default)]
pub(crate) struct Errands {
    shared: OnceLock<Weak<Shared>>,
    controls: OnceLock<Controls>,
    /// To the threads, while there are such.
    lines: Mutex<Option<Lines>>,
}

struct Lines {
    rows: SyncSender<Job>,
    reloads: SyncSender<Job>,
}

struct Job {
    ticket: Ticket,
    errand: Errand,
    answer: Box<dyn FnOnce(Ticket, EffectDone) + Send>,
}

impl Errands {
    /// Starts the threads. They end when nothing can come any more.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn start(self: &Arc<Errands>, shared: &Arc<Shared>) -> io::Result<()> {
        let is_first = self.shared.set(Arc::downgrade(shared)).is_ok();
        assert!(is_first, "a server has errands of its own");
        let start = |name: &str, jobs: Receiver<Job>| {
            let errands = Arc::downgrade(self);
            thread::Builder::new().name(name.into()).spawn(move || {
                let _end_with_the_process = EndsProcessOnPanic;
                for job in jobs {
                    let Some(errands) = errands.upgrade() else { return };
                    errands.run(job);
                }
            })
        };
        let (rows, to_show) = sync_channel(SHOWS_MAX);
        let (reloads, to_reload) = sync_channel(RELOADS_MAX);
        start("rows", to_show)?;
        start("reloads", to_reload)?;
        *locked(&self.lines) = Some(Lines { rows, reloads });
        Ok(())
    }

    /// Who reloads and ends. Without these nobody does.
    pub fn set_controls(&self, controls: Controls) {
        // Whoever says it first is right.
        let _ = self.controls.set(controls);
    }

    /// Sends somebody; the answer goes to `answer`.
    pub fn send(
        &self,
        ticket: Ticket,
        errand: Errand,
        answer: impl FnOnce(Ticket, EffectDone) + Send + 'static,
    ) -> Result<(), EffectDone> {
        let shed = || EffectDone::Shed(Effect::Errand(errand));
        let lines = locked(&self.lines);
        let Lines { rows, reloads } = lines.as_ref().ok_or_else(shed)?;
        let line = match errand {
            Errand::Rows(_) | Errand::Shutdown => rows,
            Errand::Reload => reloads,
        };
        line.try_send(Job { ticket, errand, answer: Box::new(answer) }).map_err(|_| shed())
    }

    fn run(&self, Job { ticket, errand, answer }: Job) {
        let controls = self.controls.get().ok_or("nobody here can do that");
        let answered = match errand {
            Errand::Rows(Table::Config) => rows(controls.map(|it| Rows::Config((it.configuration)()))),
            Errand::Rows(table) => {
                let shared = self.shared.get().and_then(Weak::upgrade).ok_or("the server ends");
                rows(shared.map(|shared| Rows::Facts(facts(&shared.report(), table))))
            }
            Errand::Reload => Answered::Done(controls.map_err(String::from).and_then(|it| (it.reload)())),
            Errand::Shutdown => Answered::Done(controls.map(|_| ()).map_err(String::from)),
        };
        answer(ticket, EffectDone::ErrandDone(answered));
        if let (Errand::Shutdown, Ok(controls)) = (errand, controls) {
            // Behind the answer, so that who has asked for it reads that it comes.
            (controls.shutdown)();
        }
    }

    /// No errand is taken any more. One that is under way is not waited for: it may wait for what waits for this.
    pub fn end(&self) {
        *locked(&self.lines) = None;
    }
}

fn rows(rows: Result<Rows, &str>) -> Answered {
    match rows {
        Ok(rows) => Answered::Rows(RowBatch { rows, next: None }),
        Err(why) => Answered::Done(Err(why.into())),
    }
}

/// What was counted, as a table shows it.
fn facts(report: &Report<'_>, table: Table) -> Vec<Fact> {
    let of_thread =
        |thread: &str, name: &str, value| Fact { thread: Some(thread.into()), name: name.into(), value };
    match table {
        Table::Statistics => {
            let counted = report.counted();
            counted.into_iter().map(|(name, value)| Fact { thread: None, name, value }).collect()
        }
        Table::Threads | Table::Queues => {
            let mut facts = Vec::new();
            for report in report.threads() {
                let network = report.network.iter().flat_map(|network| network.named());
                let worker = report.worker.iter().flat_map(|worker| worker.named());
                let all = report.thread.named().chain(network).chain(worker);
                let wanted = all.filter(|(name, _)| table == Table::Threads || OF_QUEUES.contains(name));
                facts.extend(wanted.map(|(name, value)| of_thread(&report.name, name, value)));
            }
            facts
        }
        Table::Clients | Table::Connections | Table::Conversations | Table::RemoteServers | Table::Config => {
            unreachable!("{table:?} are not counted")
        }
    }
}

/// What threads count about messages between them, and how they wait for these.
const OF_QUEUES: &[&str] = &[
    "wait_calls",
    "ring_calls",
    "yield_calls",
    "parks",
    "park_cancels",
    "rings_sent",
    "rings_spurious",
    "full",
    "lazy_backlog_max",
    "empty_polls",
    "lingers",
    "lingers_found",
    "linger_us",
    "lost_wakeups",
    "completions_waiting",
    "tasks_woken",
    "control_marks",
];
