//! A new configuration for a server that runs: the steps of docs/reload.md, each on every thread between two turns.
//!
//! Decides nothing about a packet: what a step is, core knows; here is who takes it when. A thread looks at one number in
//! each turn and takes a lock only where that has changed.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ulna_core::Instant;
use ulna_core::client::SecretTable;
use ulna_core::configuration::Configuration;
use ulna_core::conversation::slot::SlotOwners;
use ulna_core::cores::Cores;
use ulna_core::generation::Generation;
use ulna_core::path::WorkerId;
use ulna_core::reload::{Refusal, Waits};

use crate::log::Names;
use crate::seats::Bells;
use crate::server::locked;
use crate::supervisor::Supervisor;
use crate::system_calls::SystemCalls;

/// A client rule's name and a key.
pub type ClientKey = (Arc<str>, Box<[u8]>);

/// Gives a running server new configurations. Clones are for the same server, and a reload waits for the one before it.
#[derive(Clone)]
pub struct Reloader {
    supervisor: Supervisor,
    names: Arc<Names>,
    running: Arc<Mutex<Running>>,
}

struct Running {
    generation: Generation,
    configuration: Arc<Configuration>,
    /// The one before is still alive in the cores. Dropped here, on no thread that serves.
    older: Option<Arc<Configuration>>,
}

/// Why a configuration was not taken, or the one before not yet forgotten.
#[derive(Debug)]
pub enum ReloadError {
    /// The server ends, and takes no more.
    Ends,
    /// A thread that the new configuration needs cannot be had; the one that runs stays.
    Thread(io::Error),
    /// The policy of a worker that it needs cannot be made: its factory panicked. What that said is on standard error.
    Policy,
    /// It cannot take effect while this server runs; the one that runs stays.
    Refused(Refusal),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Ends => f.write_str("the server is about to end"),
            ReloadError::Thread(error) => write!(f, "cannot start a thread: {error}"),
            ReloadError::Policy => f.write_str("the policy of a new worker panicked as it was made"),
            ReloadError::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Reloader {
    pub(crate) fn new(
        supervisor: Supervisor,
        names: Arc<Names>,
        configuration: Arc<Configuration>,
    ) -> Reloader {
        let running = Running { generation: Generation::default(), configuration, older: None };
        Reloader { supervisor, names, running: Arc::new(Mutex::new(running)) }
    }

    /// Puts a configuration in force, as far as it can follow the one that runs, and gives what waits for a restart. What
    /// is under way ends under the one before; if requests still have the one before that, it waits for them.
    ///
    /// # Errors
    /// When the server ends, a thread cannot be had, or the configuration is refused.
    pub fn put_in_force(&self, mut configuration: Configuration) -> Result<Vec<Waits>, ReloadError> {
        let mut running = locked(&self.running);
        self.forget(&mut running)?;
        let waits = configuration.follow(&running.configuration).map_err(ReloadError::Refused)?;
        let shared = self.supervisor.shared()?;
        shared.effects.start_for(&configuration).map_err(ReloadError::Thread)?;
        drop(shared);
        let configuration = Arc::new(configuration);
        let generation = running.generation.next();
        self.names.add(generation, &configuration);
        self.take(Step::Know(generation, Arc::clone(&configuration)))?;
        self.take(Step::PutInForce(generation))?;
        for table in &configuration.secret_tables {
            self.put_table(table)?;
        }
        self.supervisor.shared()?.effects.tables().keep_only(&configuration.secret_tables);
        running.generation = generation;
        running.older = Some(std::mem::replace(&mut running.configuration, configuration));
        Ok(waits)
    }

    /// Waits until no request has the configuration before the one in force any more, and forgets it: at most as long as
    /// its `request_timeout`. Then has workers come or go if the one in force says so, and says how many there are now if
    /// that has changed; which takes as long again at most, unless a policy keeps conversations.
    ///
    /// # Errors
    /// When the server ends, a thread cannot be had, or the policy of a new worker cannot be made.
    pub fn settle(&self) -> Result<Option<usize>, ReloadError> {
        let mut running = locked(&self.running);
        self.forget(&mut running)?;
        let workers = running.configuration.runtime.workers;
        let changed = self.supervisor.change_workers(workers, running.generation, &running.configuration)?;
        Ok(changed.then_some(workers))
    }

    /// Has look-ups answered from this table from here on, in the place of the one of that source. Clients whose secrets are
    /// others now end, and no others do. How many keys have changed.
    ///
    /// # Errors
    /// When the server ends.
    pub fn put_secret_table(&self, table: &Arc<SecretTable>) -> Result<usize, ReloadError> {
        let running = locked(&self.running);
        let tables = &running.configuration.secret_tables;
        if !tables.iter().any(|known| known.source == table.source) {
            return Ok(0);
        }
        self.put_table(table)
    }

    fn put_table(&self, table: &Arc<SecretTable>) -> Result<usize, ReloadError> {
        let changed = self.supervisor.shared()?.effects.tables().put(table);
        let count = changed.len();
        if count > 0 {
            self.take(Step::TableChanged(Arc::clone(&table.source), changed.into()))?;
        }
        Ok(count)
    }

    /// Each rule and key that is a client's now, each once, in order: what the next start is to know. `None` while a reload waits for
    /// what is under way, which may take a while: another time, then.
    ///
    /// # Errors
    /// When the server ends.
    pub fn client_keys(&self) -> Result<Option<Vec<ClientKey>>, ReloadError> {
        // Two steps at once there are not.
        let Ok(_running) = self.running.try_lock() else { return Ok(None) };
        let collected = Arc::<Mutex<BTreeSet<ClientKey>>>::default();
        self.take(Step::TellClientKeys(Arc::clone(&collected)))?;
        let keys = std::mem::take(&mut *locked(&collected));
        Ok(Some(keys.into_iter().collect()))
    }

    /// These were clients before the server began: when they speak again they do not count as new.
    ///
    /// # Errors
    /// When the server ends.
    pub fn remember_clients(&self, keys: Vec<ClientKey>) -> Result<(), ReloadError> {
        let _running = locked(&self.running);
        self.take(Step::RememberClients(keys.into()))
    }

    /// The sources of the tables that look-ups are answered from.
    pub fn secret_tables(&self) -> Vec<Arc<str>> {
        let running = locked(&self.running);
        running.configuration.secret_tables.iter().map(|table| Arc::clone(&table.source)).collect()
    }

    fn forget(&self, running: &mut Running) -> Result<(), ReloadError> {
        if running.older.is_some() {
            self.take(Step::Outlive)?;
            self.take(Step::Forget)?;
            running.older = None;
        }
        Ok(())
    }

    fn take(&self, step: Step) -> Result<(), ReloadError> {
        let shared = self.supervisor.shared()?;
        shared.steps.take(step, &shared.bells)
    }
}

/// What all threads of a server are to do next for a reload.
pub(crate) struct Steps {
    /// Counts the steps. Wraps: no thread is 2³² steps late.
    ordered: AtomicU32,
    state: Mutex<State>,
    /// A thread has taken the step, or it is over.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    step: Option<Step>,
    /// Threads that serve.
    threads: usize,
    /// Of these, who have not taken it yet.
    left: usize,
    is_over: bool,
}

/// One step.
#[derive(Clone)]
pub(crate) enum Step {
    Know(Generation, Arc<Configuration>),
    PutInForce(Generation),
    /// Taken once nothing of this thread needs the older configuration.
    Outlive,
    Forget,
    /// Workers own these slots from here on.
    Own(Arc<SlotOwners>),
    /// Taken once nothing of this thread is from before this epoch.
    Settle(u32),
    /// This worker is to go.
    Dismiss(WorkerId),
    /// This table says something else of these keys.
    TableChanged(Arc<str>, Arc<[Box<[u8]>]>),
    /// Whose keys are clients' here.
    TellClientKeys(Arc<Mutex<BTreeSet<ClientKey>>>),
    /// These were clients before.
    RememberClients(Arc<[ClientKey]>),
}

impl Steps {
    /// With nobody to take them.
    pub fn new() -> Steps {
        Steps { ordered: AtomicU32::new(0), state: Mutex::default(), changed: Condvar::new() }
    }

    /// A thread that serves has come. While no step is under way.
    pub fn enter(&self) {
        locked(&self.state).threads += 1;
    }

    /// One has gone. While no step is under way.
    pub fn leave(&self) {
        locked(&self.state).threads -= 1;
    }

    /// Has all threads take a step, and waits for the last.
    pub fn take(&self, step: Step, bells: &Bells) -> Result<(), ReloadError> {
        let Steps { ordered, state, changed } = self;
        let mut state = locked(state);
        if state.is_over {
            return Err(ReloadError::Ends);
        }
        state.step = Some(step);
        state.left = state.threads;
        // Release pairs with the Acquire in `Follower::follow`; a thread asleep is woken by its bell.
        ordered.fetch_add(1, Ordering::Release);
        bells.ring_all(&mut SystemCalls::default());
        while state.left > 0 {
            if state.is_over {
                return Err(ReloadError::Ends);
            }
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// The server ends: nobody takes a step any more, and who waits for one shall not.
    pub fn end(&self) {
        locked(&self.state).is_over = true;
        self.changed.notify_all();
    }
}

/// One serving thread's part.
pub(crate) struct Follower {
    steps: Arc<Steps>,
    /// The last step that this thread has taken.
    taken: u32,
    /// The step of that number, for which something here has to end first.
    awaited: Option<(u32, Step)>,
}

impl Follower {
    /// Of a thread that takes those that come from here on.
    pub fn new(steps: &Arc<Steps>) -> Follower {
        // Relaxed: none is under way.
        Follower { steps: Arc::clone(steps), taken: steps.ordered.load(Ordering::Relaxed), awaited: None }
    }

    /// At the end of a turn, when all that was to be sent has been: takes the step that was ordered, if there is one.
    pub fn follow(&mut self, cores: &mut Cores, now: Instant) {
        // Acquire pairs with the Release in `Steps::take`. Most turns end here.
        let ordered = self.steps.ordered.load(Ordering::Acquire);
        if ordered == self.taken {
            return;
        }
        // A step that takes a while is looked up once, as threads take their turns all the while.
        let awaited = self.awaited.take().filter(|(number, _)| *number == ordered).map(|(_, step)| step);
        let step = awaited.unwrap_or_else(|| {
            locked(&self.steps.state).step.clone().expect("what was ordered stands there")
        });
        match step {
            Step::Know(generation, configuration) => cores.handle_configuration(generation, &configuration),
            Step::PutInForce(generation) => cores.put_in_force(generation),
            // The answers that it waits for come with turns of their own.
            Step::Outlive if cores.needs_older() => {
                self.awaited = Some((ordered, Step::Outlive));
                return;
            }
            Step::Outlive => {}
            Step::Forget => cores.forget_older(),
            Step::Own(owners) => cores.handle_owners(&owners, now),
            Step::Settle(epoch) if !cores.has_settled(epoch) => {
                self.awaited = Some((ordered, Step::Settle(epoch)));
                return;
            }
            Step::Settle(_) => {}
            Step::Dismiss(worker) => cores.dismiss(worker),
            Step::TableChanged(source, keys) => cores.handle_table_changed(&source, &keys),
            Step::TellClientKeys(collected) => {
                let mut collected = locked(&collected);
                cores.client_keys(|rule, key| {
                    collected.insert((Arc::clone(rule), key.into()));
                });
            }
            Step::RememberClients(keys) => cores.remember_clients(&keys),
        }
        self.taken = ordered;
        locked(&self.steps.state).left -= 1;
        self.steps.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;
    use ulna_core::Seed;
    use ulna_core::cores::assemble;

    /// The cores of a worker's thread, which nobody has told of an epoch.
    fn unsettled() -> Cores {
        let text = format!("[runtime]\nnetwork_threads = 1\nworkers = 1\n{}", ulna_config::default_text());
        let parsed = ulna_config::parse(&text, "test.toml", ulna_config::Cores(1)).expect("it is right");
        let mut threads = assemble(&Arc::new(parsed.0), &Seed::new([1; 32]));
        let cores = threads.pop().expect("there are two threads");
        assert!(!cores.has_settled(1));
        cores
    }

    #[test]
    fn who_cannot_take_a_step_yet_takes_no_lock_each_turn() {
        let (steps, mut cores, bells) = (Arc::new(Steps::new()), unsettled(), Bells::new());
        steps.enter();
        let mut follower = Follower::new(&steps);
        std::thread::scope(|scope| {
            let ordered = scope.spawn(|| steps.take(Step::Settle(1), &bells));
            while follower.awaited.is_none() {
                follower.follow(&mut cores, Instant::ORIGIN);
            }
            let (done, is_done) = channel();
            let held = locked(&steps.state);
            let follows = scope.spawn(move || {
                (0..3).for_each(|_| follower.follow(&mut cores, Instant::ORIGIN));
                done.send(()).expect("somebody waits");
                (follower, cores)
            });
            let followed = is_done.recv_timeout(Duration::from_secs(10));
            drop(held);
            let (mut follower, mut cores) = follows.join().expect("it ends");
            // The next number is another step.
            steps.end();
            assert!(matches!(ordered.join().expect("it ends"), Err(ReloadError::Ends)));
            followed.expect("three turns without the lock");
            locked(&steps.state).step = Some(Step::Settle(0));
            locked(&steps.state).left = 1;
            steps.ordered.fetch_add(1, Ordering::Release);
            follower.follow(&mut cores, Instant::ORIGIN);
            assert_eq!((locked(&steps.state).left, follower.awaited.is_none()), (0, true));
        });
    }
}
