//! The thread that has the spool: writes records and that they have been answered, and hands records to the worker that sends them.
//!
//! What is written, copied and removed, and which record is next, is core's to say ([`Spool`]); the disk is the caller's
//! ([`SpoolStore`]). As the [store](crate::storing) it writes all batches that wait at once and syncs them together. The line of
//! batches is bounded in octets; what workers say of answers is bounded by what they have been handed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ulna_core::accounting::{
    Loaded, NotAdded, Operation, Performed, SPOOL_SENDER, Spool, SpoolOperation, Stored, Troubled,
};
use ulna_core::configuration::SpoolSettings;
use ulna_core::counters::Counter;
use ulna_core::effect::{EffectDone, NotSpooled, Relay, Ticket};
use ulna_core::packet::Secret;

use crate::clock::{Clock, wall_time};
use crate::storing::{Batches, JOBS_NOW, StoreJob, StoreNews, wait};

/// How often it looks whether the disk is there again, while nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// Does one operation on the disk, and waits for it. The error is for the operator.
pub type PerformSpool = Box<dyn FnMut(SpoolOperation<'_>) -> Result<Performed, String> + Send>;

/// Where the spool is kept, and who is told when that goes wrong.
pub struct SpoolStore {
    /// The disk.
    pub perform: PerformSpool,
    /// What hides values there.
    pub key: Arc<Secret>,
    /// The operator.
    pub tell: Box<dyn FnMut(SpoolNews) + Send>,
}

/// What an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolNews {
    /// As of a file of records. No new file is begun while the old one is in use, so that this is no news.
    Store(StoreNews),
    /// What was found at the start.
    Loaded(Loaded),
}

/// What the thread counts. Written by it, read by any.
#[derive(Debug, Default)]
pub struct SpoolCounters {
    /// Gauge: records that are to be sent.
    pub records: Counter,
    /// Gauge: octets of them.
    pub octets: Counter,
    /// Groups written, each with one sync.
    pub groups: Counter,
    /// Records that were not written, as one of the same event is there already.
    pub repeated: Counter,
    /// Operations that failed.
    pub failures: Counter,
    /// Gauge: 1 while nothing can be written.
    pub failing: Counter,
}

impl SpoolCounters {
    /// Name and value of each.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        [
            ("spool_records", &self.records),
            ("spool_octets", &self.octets),
            ("spool_groups", &self.groups),
            ("spool_repeated", &self.repeated),
            ("spool_failures", &self.failures),
            ("spool_failing", &self.failing),
        ]
        .map(|(name, counter)| (name, counter.value()))
        .into_iter()
    }
}

/// What waits for the thread, for its serving threads' side.
pub(crate) struct SpoolLine {
    jobs: Mutex<Jobs>,
    came: Condvar,
    pub key: Arc<Secret>,
}

struct Jobs {
    batches: Batches,
    news: Vec<(usize, Ticket, Relay)>,
    is_over: bool,
}

impl SpoolLine {
    pub fn new(octets_max: usize, key: Arc<Secret>) -> SpoolLine {
        let jobs = Jobs { batches: Batches::new(octets_max), news: Vec::new(), is_over: false };
        SpoolLine { jobs: Mutex::new(jobs), came: Condvar::new(), key }
    }

    /// Puts a batch in line; it comes back if that is full.
    pub fn ask(&self, job: StoreJob) -> Result<(), StoreJob> {
        self.jobs().batches.push(job)?;
        self.came.notify_one();
        Ok(())
    }

    /// Passes on what a worker says.
    pub fn tell(&self, worker: usize, ticket: Ticket, relay: Relay) {
        self.jobs().news.push((worker, ticket, relay));
        self.came.notify_one();
    }

    /// The next group is the last one with records; whoever has more in line hears nothing. What has been answered is written.
    pub fn end(&self) {
        self.jobs().is_over = true;
        self.came.notify_one();
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // Poisoned only by a panic, which ends the process.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own.
pub(crate) struct SpoolThread {
    spool: Spool,
    store: SpoolStore,
    line: Arc<SpoolLine>,
    counters: Arc<SpoolCounters>,
    clock: Clock,
    /// The worker that sends, and under which ticket.
    sender: Option<(usize, Ticket)>,
    /// Batches of the group.
    taken: Vec<StoreJob>,
    /// Batches for which there is no room in the spool.
    refused: Vec<StoreJob>,
    /// It has been told that no new file can be begun, or the old one not removed, and neither has gone well since.
    is_kept_told: bool,
}

impl SpoolThread {
    /// Opens the files, repairs what is torn, and reads what is to be sent.
    ///
    /// # Errors
    /// When that cannot be; why is for the operator.
    pub fn open(
        settings: SpoolSettings,
        store: SpoolStore,
        line: Arc<SpoolLine>,
        counters: Arc<SpoolCounters>,
        clock: Clock,
    ) -> Result<SpoolThread, String> {
        let mut thread = SpoolThread {
            spool: Spool::new(settings),
            store,
            line,
            counters,
            clock,
            sender: None,
            taken: Vec::with_capacity(JOBS_NOW),
            refused: Vec::new(),
            is_kept_told: false,
        };
        while let Some(operation) = thread.spool.poll_operation(wall_time()) {
            let damaged = damaged(&operation);
            let performed = (thread.store.perform)(operation)?;
            thread.tell_damaged(damaged);
            let loaded = thread.spool.handle_performed(Ok(performed), thread.clock.now(), wall_time());
            if let Some(loaded) = loaded {
                (thread.store.tell)(SpoolNews::Loaded(loaded));
            }
        }
        thread.count();
        Ok(thread)
    }

    /// Serves until it is over, and that records have been answered is written, if it can be. `answer` hands an answer to a worker's thread.
    pub fn run(mut self, mut answer: impl FnMut(usize, Ticket, EffectDone)) {
        loop {
            let is_over = self.take();
            let (now, time) = (self.clock.now(), wall_time());
            if self.spool.wants_store(now) || is_over && self.spool.has_unwritten() {
                self.spool.store(now, time);
            }
            self.spool.handle_timeout(now, time);
            self.drive();
            let result = match self.spool.poll_stored(now) {
                Some(Stored::Safe) => {
                    self.counters.groups.up();
                    Ok(())
                }
                Some(Stored::Not) => Err(NotSpooled::Failed),
                // All events that were asked for have a record that is safe.
                None => Ok(()),
            };
            // What follows from what was stored: an old file to be removed.
            self.drive();
            // Whoever is answered finds it counted.
            self.count();
            let full = self.refused.drain(..).map(|job| (job, Err(NotSpooled::Full)));
            for (StoreJob { worker, ticket, batch }, result) in
                self.taken.drain(..).map(|job| (job, result)).chain(full)
            {
                answer(worker, ticket, EffectDone::Spooled { buffer: batch.octets, result });
            }
            if let Some((worker, ticket)) = self.sender.filter(|_| !is_over) {
                while let Some(spooled) = self.spool.poll_record() {
                    answer(worker, ticket, EffectDone::ToBeSent(Box::new(spooled)));
                }
            }
            self.count();
            let may_write_more = self.spool.has_unwritten() && !self.spool.is_failing();
            if is_over && !may_write_more {
                return;
            }
        }
    }

    /// Waits for something to do, and takes what fits into a group. True when it is over.
    fn take(&mut self) -> bool {
        let now = self.clock.now();
        let patience = if self.spool.is_failing() {
            Some(LOOK)
        } else if self.spool.wants_store(now) {
            Some(Duration::ZERO)
        } else {
            self.spool.next_store().map(|due| due.saturating_since(now))
        };
        let line = Arc::clone(&self.line);
        let mut jobs = line.jobs();
        if jobs.batches.is_empty() && jobs.news.is_empty() && !jobs.is_over {
            jobs = wait(&line.came, jobs, patience);
        }
        let news = std::mem::take(&mut jobs.news);
        let (waiting, is_over) = (jobs.batches.len(), jobs.is_over);
        drop(jobs);
        // To read a batch takes longer than workers should wait for the line.
        for _ in 0..waiting {
            let Some(job) = line.jobs().batches.pop() else { break };
            match self.spool.add(&job.batch.octets) {
                Ok(()) => self.taken.push(job),
                Err(NotAdded::Full) => self.refused.push(job),
                Err(NotAdded::Busy) => {
                    line.jobs().batches.put_back(job);
                    break;
                }
            }
        }
        let now = self.clock.now();
        for (worker, ticket, relay) in news {
            match relay {
                Relay::Begin if worker == usize::from(SPOOL_SENDER.0) => {
                    self.sender = Some((worker, ticket));
                    self.spool.begin_sending();
                }
                Relay::Begin => {}
                Relay::Answered(names) => self.spool.note_answered(&names, now),
                Relay::Unanswered { name, may_be_overtaken } => {
                    self.spool.put_back(name, may_be_overtaken);
                }
            }
        }
        is_over
    }

    /// Does all that the spool asks for.
    fn drive(&mut self) {
        let was_failing = self.spool.is_failing();
        let mut failed = None;
        while let Some(operation) = self.spool.poll_operation(wall_time()) {
            let damaged = damaged(&operation);
            let is_of_folder =
                matches!(operation, SpoolOperation::File(Operation::SetAside(_)) | SpoolOperation::RemoveOld);
            let performed = (self.store.perform)(operation).map_err(|error| {
                self.counters.failures.up();
                failed = Some(error);
                Troubled
            });
            if performed.is_ok() {
                self.tell_damaged(damaged);
                self.is_kept_told &= !is_of_folder;
            }
            self.spool.handle_performed(performed, self.clock.now(), wall_time());
        }
        let is_failing = self.spool.is_failing();
        self.counters.failing.set(u64::from(is_failing));
        match (was_failing, is_failing, failed) {
            // Said once, not with every attempt.
            (false, true, Some(error)) => (self.store.tell)(SpoolNews::Store(StoreNews::Failing(error))),
            (false, false, Some(error)) if !std::mem::replace(&mut self.is_kept_told, true) => {
                (self.store.tell)(SpoolNews::Store(StoreNews::NotSetAside(error)));
            }
            (true, false, _) => (self.store.tell)(SpoolNews::Store(StoreNews::Recovered)),
            (true, true, _) | (false, _, None) | (false, false, Some(_)) => {}
        }
    }

    fn tell_damaged(&mut self, octets: usize) {
        if octets > 0 {
            (self.store.tell)(SpoolNews::Store(StoreNews::Damaged(octets)));
        }
    }

    fn count(&self) {
        self.counters.records.set(self.spool.records() as u64);
        self.counters.octets.set(self.spool.octets() as u64);
        self.counters.repeated.set(self.spool.repeated());
    }
}

/// How many octets are kept beside, as they are damaged.
fn damaged(operation: &SpoolOperation<'_>) -> usize {
    match operation {
        SpoolOperation::File(Operation::Keep(octets)) => octets.len(),
        SpoolOperation::File(_) | SpoolOperation::Read { .. } | SpoolOperation::RemoveOld => 0,
    }
}

#[cfg(test)]
mod tests;
