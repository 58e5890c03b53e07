//! The thread that stores accounting records: all batches that wait in one write and one sync, then all their answers.
//!
//! What is written, synced, cut and renamed, and when, is core's to say ([`RecordFile`]); the disk is the caller's
//! ([`RecordStore`]). The line is bounded in octets; what does not fit is given back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ulna_core::accounting::{Operation, Performed, RecordFile, Stored, Troubled};
use ulna_core::configuration::AccountingFile;
use ulna_core::counters::Counter;
use ulna_core::effect::{EffectDone, NotStored, RecordBatch, Ticket};

use crate::clock::{Clock, wall_time};

/// How often it looks whether a new file is due, or the disk is there again, while nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// So many batches have room in line at start: those of the turns that pass during one sync.
pub(crate) const JOBS_NOW: usize = 256;

/// Does one operation on the disk, and waits for it. The error is for the operator.
pub type Perform = Box<dyn FnMut(Operation<'_>) -> Result<Performed, String> + Send>;

/// Where records are kept, and who is told when that goes wrong.
pub struct RecordStore {
    /// The disk.
    pub perform: Perform,
    /// The operator.
    pub tell: Box<dyn FnMut(StoreNews) + Send>,
}

/// What an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNews {
    /// Records are not stored from now on, and their requests not answered.
    Failing(String),
    /// Records are stored again.
    Recovered,
    /// So many octets that are no whole records were cut off, and kept beside the file.
    Damaged(usize),
    /// A new file could not be begun; records go on into the old one.
    NotSetAside(String),
}

/// What the thread counts. Written by it, read by any.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Records that are safe.
    pub records: Counter,
    /// Groups of them: each was one write and one sync.
    pub groups: Counter,
    /// Operations that failed.
    pub failures: Counter,
    /// Gauge: 1 while records cannot be stored.
    pub failing: Counter,
}

impl StoreCounters {
    /// Name and value of each.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        [
            ("accounting_stored", &self.records),
            ("accounting_groups", &self.groups),
            ("accounting_failures", &self.failures),
            ("accounting_failing", &self.failing),
        ]
        .map(|(name, counter)| (name, counter.value()))
        .into_iter()
    }
}

/// Batches that wait, for its serving threads' side.
pub(crate) struct StoreLine {
    jobs: Mutex<Jobs>,
    came: Condvar,
}

struct Jobs {
    waiting: Batches,
    new_file_asked: bool,
    is_over: bool,
}

/// Batches in line for a disk, bounded in octets.
pub(crate) struct Batches {
    jobs: VecDeque<StoreJob>,
    octets: usize,
    octets_max: usize,
}

/// One batch, and who waits for it.
pub(crate) struct StoreJob {
    pub worker: usize,
    pub ticket: Ticket,
    pub batch: RecordBatch,
}

impl Batches {
    pub fn new(octets_max: usize) -> Batches {
        Batches { jobs: VecDeque::with_capacity(JOBS_NOW), octets: 0, octets_max }
    }

    /// Puts a batch in line; it comes back if that is full. An empty line takes any.
    pub fn push(&mut self, job: StoreJob) -> Result<(), StoreJob> {
        let octets = self.octets + job.batch.octets.len();
        if octets > self.octets_max && !self.jobs.is_empty() {
            return Err(job);
        }
        self.octets = octets;
        self.jobs.push_back(job);
        Ok(())
    }

    /// The first, which is out of it.
    pub fn pop(&mut self) -> Option<StoreJob> {
        let job = self.jobs.pop_front()?;
        self.octets -= job.batch.octets.len();
        Some(job)
    }

    /// It has the first place again.
    pub fn put_back(&mut self, job: StoreJob) {
        self.octets += job.batch.octets.len();
        self.jobs.push_front(job);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// Waits until something comes, or for so long at most.
pub(crate) fn wait<'l, T>(
    came: &Condvar,
    jobs: MutexGuard<'l, T>,
    patience: Option<Duration>,
) -> MutexGuard<'l, T> {
    match patience {
        Some(patience) => came.wait_timeout(jobs, patience).unwrap_or_else(PoisonError::into_inner).0,
        None => came.wait(jobs).unwrap_or_else(PoisonError::into_inner),
    }
}

impl StoreLine {
    pub fn new(octets_max: usize) -> StoreLine {
        let jobs = Jobs { waiting: Batches::new(octets_max), new_file_asked: false, is_over: false };
        StoreLine { jobs: Mutex::new(jobs), came: Condvar::new() }
    }

    /// Puts a batch in line; it comes back if that is full.
    pub fn ask(&self, job: StoreJob) -> Result<(), StoreJob> {
        self.jobs().waiting.push(job)?;
        self.came.notify_one();
        Ok(())
    }

    pub fn ask_for_new_file(&self) {
        self.jobs().new_file_asked = true;
        self.came.notify_one();
    }

    /// What waits is forgotten.
    pub fn end(&self) {
        self.jobs().is_over = true;
        self.came.notify_one();
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // Poisoned only by a panic, which ends the process.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what waits into the next group, as far as it takes more. False when it is over.
    fn take(&self, file: &mut RecordFile, taken: &mut Vec<StoreJob>, patience: Option<Duration>) -> bool {
        let mut jobs = self.jobs();
        if jobs.waiting.is_empty() && !jobs.new_file_asked && !jobs.is_over {
            jobs = wait(&self.came, jobs, patience);
        }
        if std::mem::take(&mut jobs.new_file_asked) {
            file.ask_for_new_file();
        }
        while let Some(job) = jobs.waiting.pop() {
            if file.add(&job.batch.octets).is_err() {
                jobs.waiting.put_back(job);
                break;
            }
            taken.push(job);
        }
        !jobs.is_over
    }
}

/// The thread's own.
pub(crate) struct StoreThread {
    file: RecordFile,
    store: RecordStore,
    line: Arc<StoreLine>,
    counters: Arc<StoreCounters>,
    clock: Clock,
    patience: Option<Duration>,
}

impl StoreThread {
    /// Opens the file, and repairs it if it has to.
    ///
    /// # Errors
    /// When that cannot be; why is for the operator.
    pub fn open(
        settings: &AccountingFile,
        store: RecordStore,
        line: Arc<StoreLine>,
        counters: Arc<StoreCounters>,
        clock: Clock,
    ) -> Result<StoreThread, String> {
        let file = RecordFile::new(settings.rotation);
        let patience = settings.rotation.every.is_some().then_some(LOOK);
        let mut thread = StoreThread { file, store, line, counters, clock, patience };
        match thread.drive() {
            Some(error) => Err(error),
            None => Ok(thread),
        }
    }

    /// Stores one group after the other until it is over. `answer` hands a batch's answer to the thread that asked.
    pub fn run(mut self, mut answer: impl FnMut(usize, Ticket, EffectDone)) {
        let mut taken = Vec::with_capacity(JOBS_NOW);
        loop {
            let patience = if self.file.is_failing() { Some(LOOK) } else { self.patience };
            if !self.line.take(&mut self.file, &mut taken, patience) {
                return;
            }
            let (now, time) = (self.clock.now(), wall_time());
            self.file.store(now, time);
            self.file.handle_timeout(now, time);
            self.drive();
            let result = match self.file.poll_stored() {
                Some(Stored::Safe) => {
                    self.counters.groups.up();
                    self.counters.records.add(taken.iter().map(|job| job.batch.records as u64).sum());
                    Ok(())
                }
                Some(Stored::Not) => Err(NotStored),
                None => {
                    assert!(taken.is_empty(), "a group is stored or not when nothing is to be done any more");
                    continue;
                }
            };
            for StoreJob { worker, ticket, batch } in taken.drain(..) {
                answer(worker, ticket, EffectDone::Stored { buffer: batch.octets, result });
            }
        }
    }

    /// Does all that the file asks for. Gives the last error.
    fn drive(&mut self) -> Option<String> {
        let was_failing = self.file.is_failing();
        let mut failed = None;
        while let Some(operation) = self.file.poll_operation(wall_time()) {
            let damaged = if let Operation::Keep(octets) = operation { octets.len() } else { 0 };
            let is_renaming = matches!(operation, Operation::SetAside(_));
            let performed = (self.store.perform)(operation).map_err(|error| {
                self.counters.failures.up();
                if is_renaming {
                    (self.store.tell)(StoreNews::NotSetAside(error));
                } else {
                    failed = Some(error);
                }
                Troubled
            });
            if damaged > 0 && performed.is_ok() {
                (self.store.tell)(StoreNews::Damaged(damaged));
            }
            self.file.handle_performed(performed, self.clock.now(), wall_time());
        }
        let is_failing = self.file.is_failing();
        self.counters.failing.set(u64::from(is_failing));
        match (was_failing, is_failing, &failed) {
            // Said once, not with every attempt.
            (false, true, Some(error)) => (self.store.tell)(StoreNews::Failing(error.clone())),
            (true, false, _) => (self.store.tell)(StoreNews::Recovered),
            _ => {}
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::JoinHandle;
    use ulna_core::accounting::Rotation;
    use ulna_core::life::Life;
    use ulna_core::time::UnixTime;

    /// Long enough that a test which needs it has failed.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A disk that counts syncs, can be held up in one, and fails on demand.
    struct Fixture {
        line: Arc<StoreLine>,
        counters: Arc<StoreCounters>,
        fails: Arc<AtomicBool>,
        hold: Arc<Mutex<()>>,
        syncing: Receiver<()>,
        answers: Receiver<(Ticket, bool)>,
        news: Receiver<StoreNews>,
        thread: Option<JoinHandle<()>>,
    }

    impl Fixture {
        fn new(line_octets_max: usize) -> Fixture {
            let line = Arc::new(StoreLine::new(line_octets_max));
            let counters = Arc::<StoreCounters>::default();
            let (fails, hold) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
            let ((tell, news), (sync, syncing), (answer, answers)) = (channel(), channel(), channel());
            let perform: Perform = {
                let (fails, hold) = (Arc::clone(&fails), Arc::clone(&hold));
                let mut opened = false;
                Box::new(move |operation| match operation {
                    Operation::Open => {
                        let is_same = std::mem::replace(&mut opened, true);
                        Ok(Performed::Opened { octets: 0, modified: UnixTime(0), is_same })
                    }
                    Operation::Sync => {
                        let _ = sync.send(());
                        drop(hold.lock());
                        if fails.load(Ordering::SeqCst) { Err("full".into()) } else { Ok(Performed::Done) }
                    }
                    Operation::Read { .. }
                    | Operation::Keep(_)
                    | Operation::Truncate(_)
                    | Operation::Append(_)
                    | Operation::SetAside(_) => Ok(Performed::Done),
                })
            };
            let store = RecordStore { perform, tell: Box::new(move |news| drop(tell.send(news))) };
            let settings =
                AccountingFile { path: "x".into(), rotation: Rotation::default(), line_octets_max };
            let (its_line, its_counters) = (Arc::clone(&line), Arc::clone(&counters));
            let thread = StoreThread::open(&settings, store, its_line, its_counters, Clock::start());
            let thread = thread.expect("it opens");
            syncing.recv_timeout(PATIENCE).expect("that of the opening");
            let thread = std::thread::spawn(move || {
                thread.run(|_, ticket, done| {
                    let EffectDone::Stored { result, .. } = done else { panic!("{done:?}") };
                    let _ = answer.send((ticket, result.is_ok()));
                });
            });
            let thread = Some(thread);
            Fixture { line, counters, fails, hold, syncing, answers, news, thread }
        }

        fn ask(&self, place: u32, octets: usize) -> Result<(), StoreJob> {
            let batch = RecordBatch { octets: vec![b'x'; octets], records: 1 };
            self.line.ask(StoreJob {
                worker: 0,
                ticket: Ticket { place, generation: 0, life: Life::default() },
                batch,
            })
        }

        fn answer(&self) -> (u32, bool) {
            let (ticket, is_safe) = self.answers.recv_timeout(PATIENCE).expect("an answer comes");
            (ticket.place, is_safe)
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            self.line.end();
            self.thread.take().expect("it runs").join().expect("it ends");
        }
    }

    #[test]
    fn all_that_waits_shares_one_sync_and_the_line_is_bounded() {
        let fixture = Fixture::new(1_000);
        let held = fixture.hold.lock().expect("nobody panics");
        fixture.ask(0, 2_000).ok().expect("an empty line takes any");
        fixture.syncing.recv_timeout(PATIENCE).expect("the first is being synced");
        for place in 1..=10 {
            fixture.ask(place, 100).ok().expect("there is room");
        }
        assert_eq!(fixture.ask(11, 1).expect_err("1 000 octets wait").ticket.place, 11);
        assert!(fixture.answers.try_recv().is_err(), "nothing is answered before it is synced");
        drop(held);
        for place in 0..=10 {
            assert_eq!(fixture.answer(), (place, true));
        }
        assert_eq!((fixture.counters.groups.value(), fixture.counters.records.value()), (2, 11));
    }

    #[test]
    fn a_disk_that_fails_is_told_of_once_and_answers_no_until_it_is_there_again() {
        let fixture = Fixture::new(1_000);
        fixture.fails.store(true, Ordering::SeqCst);
        for place in 0..5 {
            fixture.ask(place, 10).ok().expect("there is room");
            assert_eq!(fixture.answer(), (place, false));
        }
        assert_eq!(fixture.counters.failing.value(), 1);
        fixture.fails.store(false, Ordering::SeqCst);
        let mut place = 5;
        while !{
            fixture.ask(place, 10).ok().expect("there is room");
            fixture.answer().1
        } {
            place += 1;
            std::thread::yield_now();
        }
        let news: Vec<_> = [fixture.news.recv_timeout(PATIENCE), fixture.news.recv_timeout(PATIENCE)].into();
        assert_eq!(news, [Ok(StoreNews::Failing("full".into())), Ok(StoreNews::Recovered)]);
        assert_eq!(fixture.counters.failing.value(), 0);
    }
}
