//! A new configuration for a server that runs: the steps of docs/reload.md, each on every thread between two turns.
//!
//! Decides nothing about a packet: what a step is, core knows; here is who takes it when. A thread looks at one number in
//! each turn and takes a lock only where that has changed.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use ulna_core::configuration::Configuration;
use ulna_core::cores::Cores;
use ulna_core::generation::Generation;
use ulna_core::reload::Waits;

use crate::bell::Bell;
use crate::effects::EffectThreads;
use crate::log::Names;
use crate::system_calls::SystemCalls;

/// Gives a running server new configurations. Clones are for the same server, and a reload waits for the one before it.
#[derive(Clone)]
pub struct Reloader {
    steps: Arc<Steps>,
    bells: Arc<[Bell]>,
    /// They end with the server, not with this.
    effects: Weak<EffectThreads>,
    names: Option<Arc<Names>>,
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
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Ends => f.write_str("the server is about to end"),
            ReloadError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Reloader {
    pub(crate) fn new(
        steps: Arc<Steps>,
        bells: Arc<[Bell]>,
        effects: &Arc<EffectThreads>,
        names: Option<Arc<Names>>,
        configuration: Arc<Configuration>,
    ) -> Reloader {
        let running = Running { generation: Generation::default(), configuration, older: None };
        let effects = Arc::downgrade(effects);
        Reloader { steps, bells, effects, names, running: Arc::new(Mutex::new(running)) }
    }

    /// Puts a configuration in force, as far as it can follow the one that runs, and gives what waits for a restart. What
    /// is under way ends under the one before; if requests still have the one before that, it waits for them.
    ///
    /// # Errors
    /// When the server ends, or a thread cannot be had.
    pub fn put_in_force(&self, mut configuration: Configuration) -> Result<Vec<Waits>, ReloadError> {
        let mut running = locked(&self.running);
        self.forget(&mut running)?;
        let waits = configuration.follow(&running.configuration);
        let effects = self.effects.upgrade().ok_or(ReloadError::Ends)?;
        effects.start_for(&configuration).map_err(ReloadError::Thread)?;
        drop(effects);
        let configuration = Arc::new(configuration);
        let generation = running.generation.next();
        if let Some(names) = &self.names {
            names.add(generation, &configuration);
        }
        self.take(Step::Know(generation, Arc::clone(&configuration)))?;
        self.take(Step::PutInForce(generation))?;
        running.generation = generation;
        running.older = Some(std::mem::replace(&mut running.configuration, configuration));
        Ok(waits)
    }

    /// Waits until no request has the configuration before the one in force any more, and forgets it: at most as long as
    /// its `request_timeout`.
    ///
    /// # Errors
    /// When the server ends.
    pub fn forget_older(&self) -> Result<(), ReloadError> {
        self.forget(&mut locked(&self.running))
    }

    fn forget(&self, running: &mut Running) -> Result<(), ReloadError> {
        if running.older.is_some() {
            self.take(Step::Outlive)?;
            self.take(Step::Forget)?;
            running.older = None;
        }
        Ok(())
    }

    /// Has all threads take a step, and waits for the last.
    fn take(&self, step: Step) -> Result<(), ReloadError> {
        let Steps { ordered, state, changed, threads } = &*self.steps;
        let mut state = locked(state);
        if state.is_over {
            return Err(ReloadError::Ends);
        }
        state.step = Some(step);
        state.left = *threads;
        // Release pairs with the Acquire in `Follower::follow`; a thread asleep is woken by its bell.
        ordered.fetch_add(1, Ordering::Release);
        let mut calls = SystemCalls::default();
        self.bells.iter().for_each(|bell| bell.ring(&mut calls));
        while state.left > 0 {
            if state.is_over {
                return Err(ReloadError::Ends);
            }
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

/// What all threads of a server are to do next for a reload.
pub(crate) struct Steps {
    /// Counts the steps. Wraps: no thread is 2³² steps late.
    ordered: AtomicU32,
    state: Mutex<State>,
    /// A thread has taken the step, or it is over.
    changed: Condvar,
    threads: usize,
}

#[derive(Default)]
struct State {
    step: Option<Step>,
    /// Threads that have not taken it yet.
    left: usize,
    is_over: bool,
}

/// One step.
#[derive(Clone)]
enum Step {
    Know(Generation, Arc<Configuration>),
    PutInForce(Generation),
    /// Taken once nothing of this thread needs the older configuration.
    Outlive,
    Forget,
}

impl Steps {
    /// For so many serving threads.
    pub fn new(threads: usize) -> Steps {
        Steps { ordered: AtomicU32::new(0), state: Mutex::default(), changed: Condvar::new(), threads }
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
}

impl Follower {
    /// Of a thread that has taken none yet.
    pub fn new(steps: &Arc<Steps>) -> Follower {
        Follower { steps: Arc::clone(steps), taken: 0 }
    }

    /// At the end of a turn, when all that was to be sent has been: takes the step that was ordered, if there is one.
    pub fn follow(&mut self, cores: &mut Cores) {
        // Acquire pairs with the Release in `Reloader::take`. Most turns end here.
        let ordered = self.steps.ordered.load(Ordering::Acquire);
        if ordered == self.taken {
            return;
        }
        let step = locked(&self.steps.state).step.clone().expect("what was ordered stands there");
        match step {
            Step::Know(generation, configuration) => cores.handle_configuration(generation, &configuration),
            Step::PutInForce(generation) => cores.put_in_force(generation),
            // The answers that it waits for come with turns of their own.
            Step::Outlive if cores.needs_older() => return,
            Step::Outlive => {}
            Step::Forget => cores.forget_older(),
        }
        self.taken = ordered;
        locked(&self.steps.state).left -= 1;
        self.steps.changed.notify_all();
    }
}

/// A lock is poisoned only by a panic, which ends the process.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
