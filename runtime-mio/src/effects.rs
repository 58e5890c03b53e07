//! The threads that do what takes time, so that no turn waits for it: passwords against Argon2 digests, one that
//! stores records, one that has the spool, and those of [`ResolveLine`] for names.
//!
//! Bounded in number (`hash_threads`), line (`hash_line_max`) and memory (of each, what the largest digest needs). They
//! run at nice 19: on a machine that is busy hashing waits, and requests do not. Answers go into the inbox of the thread
//! that asked, and its bell is rung once for all that lie there.
//!
//! A turn that neither asks nor is answered looks at one flag here and takes no lock. Locks are held for a few moves, never
//! while something is hashed. A hash thread that panics takes the process with it, as any other does.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use ulna_core::authenticate::{Argon2, Password};
use ulna_core::configuration::{Configuration, WORKERS_MAX};
use ulna_core::effect::{Effect, EffectDone, Relay, Ticket};
use ulna_core::path::WorkerId;
use ulna_core::queue::BellId;

use crate::clock::Clock;
use crate::errands::Errands;
use crate::hashing::Hasher;
use crate::resolving::ResolveLine;
use crate::seats::Bells;
use crate::server::{EndsProcessOnPanic, StartError, Stores, locked};
use crate::spooling::{SpoolCounters, SpoolLine, SpoolThread};
use crate::storing::{StoreCounters, StoreJob, StoreLine, StoreThread};
use crate::system_calls::SystemCalls;
use crate::tables::Tables;

/// All of them. They end when this is dropped; what waits then is forgotten.
pub(crate) struct EffectThreads {
    line: Arc<Line>,
    tables: Arc<Tables>,
    resolving: Arc<ResolveLine>,
    store: Option<Arc<StoreCounters>>,
    spool: Option<Arc<SpoolCounters>>,
    /// The store's and the spool's.
    storing: Vec<JoinHandle<()>>,
    /// Those that hash.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How many there are to be once a user has a digest.
    threads_max: usize,
}

/// What one worker has to do with them.
pub(crate) struct Desk {
    worker: usize,
    line: Arc<Line>,
    tables: Arc<Tables>,
    resolving: Arc<ResolveLine>,
    /// Taken from the inbox at once, so that its lock is not held while cores work on them.
    answers: Vec<(Ticket, EffectDone)>,
}

/// What is to be done, and where the answers go.
struct Line {
    jobs: Mutex<Jobs>,
    /// A job came, or the end.
    came: Condvar,
    jobs_max: usize,
    /// Records that wait, where they can be stored.
    records: Option<Arc<StoreLine>>,
    /// The same of the spool.
    spool: Option<Arc<SpoolLine>>,
    errands: Arc<Errands>,
    /// By worker.
    inboxes: Vec<Inbox>,
    bells: Arc<Bells>,
}

struct Jobs {
    waiting: VecDeque<Job>,
    is_over: bool,
}

struct Job {
    /// Who asked.
    worker: usize,
    ticket: Ticket,
    hash: Arc<Argon2>,
    password: Box<Password>,
}

/// Answers to one worker.
struct Inbox {
    /// Its thread's.
    bell: AtomicU16,
    /// Whether any lie there whose bell has been rung.
    has_answers: AtomicBool,
    answers: Mutex<Vec<(Ticket, EffectDone)>>,
}

impl EffectThreads {
    /// Starts those that this configuration needs, for workers whose threads have these bells: for digests of users, and for
    /// records and the spool, if there is a place for them and it can be opened.
    ///
    /// # Errors
    /// When a thread cannot be had, or the file of records or the spool cannot be opened.
    pub fn start(
        configuration: &Configuration,
        bells: &Arc<Bells>,
        stores: Stores,
        clock: Clock,
    ) -> Result<EffectThreads, StartError> {
        let Stores { records: store, spool } = stores;
        let spool_counters = Arc::<SpoolCounters>::default();
        let spool = match configuration.accounting.spool.zip(spool) {
            Some((settings, store)) => {
                let line = Arc::new(SpoolLine::new(settings.line_octets_max, Arc::clone(&store.key)));
                let counters = Arc::clone(&spool_counters);
                let thread = SpoolThread::open(settings, store, Arc::clone(&line), counters, clock);
                Some((line, thread.map_err(StartError::Spool)?))
            }
            None => None,
        };
        let counters = Arc::<StoreCounters>::default();
        let store = match configuration.accounting.file.as_ref().zip(store) {
            Some((settings, store)) => {
                let line = Arc::new(StoreLine::new(settings.line_octets_max));
                let counters = Arc::clone(&counters);
                let thread = StoreThread::open(settings, store, Arc::clone(&line), counters, clock);
                Some((line, thread.map_err(StartError::Store)?))
            }
            None => None,
        };
        let runtime = &configuration.runtime;
        let line = Arc::new(Line {
            jobs: Mutex::new(Jobs {
                waiting: VecDeque::with_capacity(runtime.hash_line_max),
                is_over: false,
            }),
            came: Condvar::new(),
            jobs_max: runtime.hash_line_max,
            records: store.as_ref().map(|(line, _)| Arc::clone(line)),
            spool: spool.as_ref().map(|(line, _)| Arc::clone(line)),
            errands: Arc::default(),
            inboxes: (0..WORKERS_MAX).map(|_| Inbox::new()).collect(),
            bells: Arc::clone(bells),
        });
        let threads_max = runtime.hash_threads;
        let tables = Arc::new(Tables::new(&configuration.secret_tables));
        let counters = store.is_some().then_some(counters);
        let mut started = EffectThreads {
            line,
            tables,
            resolving: Arc::default(),
            store: counters,
            spool: spool.is_some().then_some(spool_counters),
            storing: Vec::new(),
            threads: Mutex::default(),
            threads_max,
        };
        if let Some((_, thread)) = store {
            started.keep_storing("store", |answer| thread.run(answer))?;
        }
        if let Some((_, thread)) = spool {
            started.keep_storing("spool", |answer| thread.run(answer))?;
        }
        started.start_for(configuration)?;
        Ok(started)
    }

    /// Starts a thread that stores until it is over, and hands its answers to workers' threads.
    fn keep_storing(
        &mut self,
        name: &str,
        run: impl FnOnce(&mut dyn FnMut(usize, Ticket, EffectDone)) + Send + 'static,
    ) -> io::Result<()> {
        let line = Arc::clone(&self.line);
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            let _end_with_the_process = EndsProcessOnPanic;
            let mut calls = SystemCalls::default();
            run(&mut |worker, ticket, done| line.answer(worker, ticket, done, &mut calls));
        })?;
        self.storing.push(handle);
        Ok(())
    }

    /// Starts those that are missing, if users of this configuration have digests, or remote servers names: it may be the first
    /// that has such.
    ///
    /// # Errors
    /// When a thread cannot be had. Those that were started stay.
    pub fn start_for(&self, configuration: &Configuration) -> io::Result<()> {
        let mut started = locked(&self.threads);
        let threads = if configuration.users.argon2_kibibytes_max().is_some() { self.threads_max } else { 0 };
        for thread in started.len()..threads {
            let line = Arc::clone(&self.line);
            let handle = thread::Builder::new().name(format!("hash-{thread}")).spawn(move || {
                let _end_with_the_process = EndsProcessOnPanic;
                // Refused where a sandbox forbids it; then it runs as the others do.
                let _ = yield_to_all();
                line.run();
            })?;
            started.push(handle);
        }
        self.resolving.start_for(configuration, || {
            let (line, mut calls) = (Arc::clone(&self.line), SystemCalls::default());
            move |worker, ticket, done| line.answer(worker, ticket, done, &mut calls)
        })
    }

    /// What the thread that stores counts, if there is one.
    pub fn store_counters(&self) -> Option<&Arc<StoreCounters>> {
        self.store.as_ref()
    }

    /// What the thread that has the spool counts, if there is one.
    pub fn spool_counters(&self) -> Option<&Arc<SpoolCounters>> {
        self.spool.as_ref()
    }

    /// Who goes on errands.
    pub fn errands(&self) -> &Arc<Errands> {
        &self.line.errands
    }

    /// The tables that look-ups are answered from.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Begins a new file of records, if any are stored.
    pub fn ask_for_new_file(&self) {
        if let Some(records) = &self.line.records {
            records.ask_for_new_file();
        }
    }

    /// The desk of this worker, whose thread has this bell. What was answered to one that had its number before is dropped.
    pub fn desk(&self, worker: WorkerId, bell: BellId) -> Desk {
        let worker = usize::from(worker.0);
        let inbox = &self.line.inboxes[worker];
        let mut answers = locked(&inbox.answers);
        answers.clear();
        answers.reserve(ANSWERS_NOW);
        // Relaxed: the lock orders it before the next answer.
        inbox.bell.store(bell.0, Ordering::Relaxed);
        inbox.has_answers.store(false, Ordering::Relaxed);
        drop(answers);
        let (line, tables) = (Arc::clone(&self.line), Arc::clone(&self.tables));
        let resolving = Arc::clone(&self.resolving);
        Desk { worker, line, tables, resolving, answers: Vec::with_capacity(ANSWERS_NOW) }
    }
}

impl Drop for EffectThreads {
    fn drop(&mut self) {
        {
            let mut jobs = self.line.jobs();
            jobs.is_over = true;
            // Passwords are wiped as they go.
            jobs.waiting.clear();
        }
        self.line.came.notify_all();
        self.resolving.end();
        self.line.errands.end();
        if let Some(records) = &self.line.records {
            records.end();
        }
        if let Some(spool) = &self.line.spool {
            spool.end();
        }
        for handle in locked(&self.threads).drain(..).chain(self.storing.drain(..)) {
            handle.join().expect("a thread that panics ends the process");
        }
    }
}

impl Desk {
    /// Puts an effect in line. If that is full, or nobody does such things, the effect comes back as its answer. A look-up is
    /// answered at once.
    pub fn ask(&self, ticket: Ticket, effect: Effect) -> Result<(), EffectDone> {
        match effect {
            Effect::CheckPassword { hash, password } => {
                let mut jobs = self.line.jobs();
                if jobs.waiting.len() == self.line.jobs_max {
                    return Err(EffectDone::Shed(Effect::CheckPassword { hash, password }));
                }
                jobs.waiting.push_back(Job { worker: self.worker, ticket, hash, password });
                drop(jobs);
                self.line.came.notify_one();
                Ok(())
            }
            Effect::Store(batch) => {
                let Some(records) = &self.line.records else {
                    return Err(EffectDone::Shed(Effect::Store(batch)));
                };
                let job = StoreJob { worker: self.worker, ticket, batch };
                records.ask(job).map_err(|job| EffectDone::Shed(Effect::Store(job.batch)))
            }
            Effect::Spool(batch) => {
                let Some(spool) = &self.line.spool else {
                    return Err(EffectDone::Shed(Effect::Spool(batch)));
                };
                let job = StoreJob { worker: self.worker, ticket, batch };
                spool.ask(job).map_err(|job| EffectDone::Shed(Effect::Spool(job.batch)))
            }
            Effect::Relay(relay) => {
                let Some(spool) = &self.line.spool else {
                    return Err(EffectDone::Shed(Effect::Relay(relay)));
                };
                let key = matches!(relay, Relay::Begin).then(|| Arc::clone(&spool.key));
                spool.tell(self.worker, ticket, relay);
                key.map_or(Ok(()), |key| Err(EffectDone::SpoolKey(key)))
            }
            Effect::Resolve(resolve) => self.resolving.ask(self.worker, ticket, resolve),
            Effect::Errand(errand) => {
                let (line, worker) = (Arc::clone(&self.line), self.worker);
                self.line.errands.send(ticket, errand, move |ticket, done| {
                    line.answer(worker, ticket, done, &mut SystemCalls::default());
                })
            }
            Effect::LookUp(look_up) => Err(EffectDone::LookedUp(self.tables.look_up(&look_up))),
        }
    }

    /// Gives `f` each answer that has come.
    pub fn take_answers(&mut self, mut f: impl FnMut(Ticket, EffectDone)) {
        let inbox = &self.line.inboxes[self.worker];
        // Acquire pairs with the Release in `answer`. Most turns end here.
        if !inbox.has_answers.load(Ordering::Acquire) {
            return;
        }
        // Relaxed: the lock orders it. An answer that was put in before this thread has the lock is taken now; one that
        // is put in later finds `false`, and rings.
        inbox.has_answers.store(false, Ordering::Relaxed);
        std::mem::swap(&mut *locked(&inbox.answers), &mut self.answers);
        self.answers.drain(..).for_each(|(ticket, done)| f(ticket, done));
    }
}

impl Inbox {
    fn new() -> Inbox {
        Inbox { bell: AtomicU16::new(0), has_answers: AtomicBool::new(false), answers: Mutex::default() }
    }
}

impl Line {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        locked(&self.jobs)
    }

    /// Does one job after the other until it is over.
    fn run(&self) {
        let mut hasher = Hasher::default();
        let mut calls = SystemCalls::default();
        while let Some(Job { worker, ticket, hash, mut password }) = self.next() {
            let matches = hasher.matches(&hash, &password);
            password.wipe();
            self.answer(worker, ticket, EffectDone::PasswordChecked { password, matches }, &mut calls);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs();
        loop {
            if jobs.is_over {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            jobs = self.came.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, worker: usize, ticket: Ticket, done: EffectDone, calls: &mut SystemCalls) {
        let inbox = &self.inboxes[worker];
        locked(&inbox.answers).push((ticket, done));
        // Release pairs with the Acquire in `take_answers`: who reads `true` finds the answer. Where it was `true` before,
        // who made it so rings, or has rung, and the bell's thread has not looked since.
        if !inbox.has_answers.swap(true, Ordering::Release) {
            self.bells.ring(BellId(inbox.bell.load(Ordering::Relaxed)), calls);
        }
    }
}

/// The lowest priority, for the thread that calls: on Linux it is a thread's own.
fn yield_to_all() -> rustix::io::Result<()> {
    rustix::process::setpriority_process(None, LOWEST_PRIORITY)
}

const LOWEST_PRIORITY: i32 = 19;
/// So many answers have room in an inbox at start.
const ANSWERS_NOW: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::Bell;
    use mio::{Events, Poll};
    use std::time::Duration;
    use ulna_config::{Cores, default_text, parse};
    use ulna_core::authenticate::users::Credential;
    use ulna_core::effect::{Resolve, Resolved};
    use ulna_core::life::Life;

    const USER: &str = "[[user]]\nname = \"alice\"\npassword = { argon2 = \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\
                        nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\" }\n";
    /// Long enough that a test which needs it has failed.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Fixture {
        configuration: Configuration,
        poll: Poll,
        bells: Arc<Bells>,
    }

    fn fixture(settings: &str) -> Fixture {
        let text = format!("[runtime]\n{settings}{}{USER}", default_text());
        let (configuration, _) = parse(&text, "x", Cores(2)).expect("right");
        let poll = Poll::new().expect("a poll");
        let bells = Arc::new(Bells::new());
        bells.set(BellId(0), Some(Bell::new(poll.registry()).expect("a bell")));
        Fixture { configuration, poll, bells }
    }

    fn check(configuration: &Configuration, password: &[u8]) -> Effect {
        match &configuration.users.look_up(b"alice").expect("she is there").credential {
            Credential::Argon2(hash) => {
                Effect::CheckPassword { hash: Arc::clone(hash), password: Password::of(password) }
            }
            Credential::Clear(_) | Credential::NtHash(_) => unreachable!("a digest of Argon2 stands there"),
        }
    }

    fn ticket(place: u32) -> Ticket {
        Ticket { place, generation: 0, life: Life::default() }
    }

    /// The answers of a fixture with so many of them asked for, by place.
    fn answers(poll: &mut Poll, desk: &mut Desk, count: usize) -> Vec<(u32, bool)> {
        let mut answers = Vec::new();
        let mut events = Events::with_capacity(8);
        while answers.len() < count {
            poll.poll(&mut events, Some(PATIENCE)).expect("poll waits");
            assert!(!events.is_empty(), "the bell rings for {answers:?} of {count}");
            desk.take_answers(|ticket, done| {
                let EffectDone::PasswordChecked { password, matches } = done else { panic!("{done:?}") };
                assert_eq!(password.octets(), b"", "it comes home wiped");
                answers.push((ticket.place, matches));
            });
        }
        answers.sort_unstable();
        answers
    }

    #[test]
    fn a_host_is_resolved_and_the_bell_rings_for_it() {
        let named = |name: &str| {
            format!(
                "{USER}[[remote_server]]\nname = \"a\"\naddress = \"{name}:1812\"\nsecret = \"a secret of many octets\"\n"
            )
        };
        let mut poll = Poll::new().expect("a poll");
        let bells = Arc::new(Bells::new());
        bells.set(BellId(0), Some(Bell::new(poll.registry()).expect("a bell")));
        let parsed =
            |lines: &str| parse(&format!("{}{lines}", default_text()), "x", Cores(2)).expect("right").0;
        let resolve = |name: &str| Effect::Resolve(Resolve { name: name.into(), family: None });
        let without =
            EffectThreads::start(&parsed(USER), &bells, Stores::default(), Clock::start()).expect("threads");
        let shed = without.desk(WorkerId(0), BellId(0)).ask(ticket(0), resolve("localhost"));
        assert!(
            matches!(shed, Err(EffectDone::Shed(Effect::Resolve(_)))),
            "nobody is there for it: {shed:?}"
        );
        // It is the first configuration that has a name.
        without.start_for(&parsed(&named("localhost"))).expect("a thread");
        let mut desk = without.desk(WorkerId(0), BellId(0));
        // Nothing can be called so: no one is asked.
        for (place, name) in [(1, "localhost"), (2, "no\0host")] {
            desk.ask(ticket(place), resolve(name)).expect("it waits");
        }
        let (mut answers, mut events) = (Vec::new(), Events::with_capacity(8));
        while answers.len() < 2 {
            poll.poll(&mut events, Some(PATIENCE)).expect("poll waits");
            assert!(!events.is_empty(), "the bell rings for {answers:?} of 2");
            desk.take_answers(|ticket, done| answers.push((ticket.place, done)));
        }
        answers.sort_by_key(|(place, _)| *place);
        let EffectDone::Resolved(Resolved::Addresses(local)) = &answers[0].1 else { panic!("{answers:?}") };
        assert!(!local.is_empty() && local.iter().all(|address| address.is_loopback()), "{local:?}");
        let EffectDone::Resolved(Resolved::Failed) = &answers[1].1 else { panic!("{answers:?}") };
    }

    #[test]
    fn each_password_is_answered_once_and_the_bell_rings_for_it() {
        for threads in [1, 3] {
            let Fixture { configuration, mut poll, bells } = fixture(&format!("hash_threads = {threads}\n"));
            let pool = EffectThreads::start(&configuration, &bells, Stores::default(), Clock::start())
                .expect("threads");
            assert_eq!(locked(&pool.threads).len(), threads);
            let mut desk = pool.desk(WorkerId(0), BellId(0));
            for round in 0..20 {
                for place in 0..6 {
                    let password: &[u8] = if place % 2 == 0 { b"password" } else { b"guess" };
                    desk.ask(ticket(place), check(&configuration, password))
                        .expect("the line is long enough");
                }
                let expected: Vec<_> = (0..6).map(|place| (place, place % 2 == 0)).collect();
                assert_eq!(answers(&mut poll, &mut desk, 6), expected, "round {round}");
            }
        }
    }

    #[test]
    fn a_full_line_gives_the_effect_back() {
        let Fixture { configuration, mut poll, bells } = fixture("hash_threads = 1\nhash_line_max = 2\n");
        let pool =
            EffectThreads::start(&configuration, &bells, Stores::default(), Clock::start()).expect("threads");
        let mut desk = pool.desk(WorkerId(0), BellId(0));
        let mut asked = 0;
        // One is with the thread, or not yet; two are in line.
        let shed = loop {
            match desk.ask(ticket(asked), check(&configuration, b"password")) {
                Ok(()) => asked += 1,
                Err(shed) => break shed,
            }
            assert!(asked < 10_000, "it hashes faster than it is asked");
        };
        let EffectDone::Shed(Effect::CheckPassword { password, .. }) = shed else { panic!("{shed:?}") };
        assert_eq!(password.octets(), b"password");
        assert!(asked >= 2);
        assert_eq!(answers(&mut poll, &mut desk, asked as usize).len(), asked as usize);
    }

    #[test]
    fn they_end_with_passwords_in_line() {
        let Fixture { configuration, bells, .. } = fixture("hash_threads = 2\n");
        let pool =
            EffectThreads::start(&configuration, &bells, Stores::default(), Clock::start()).expect("threads");
        for place in 0..100 {
            pool.desk(WorkerId(0), BellId(0))
                .ask(ticket(place), check(&configuration, b"password"))
                .expect("128 fit");
        }
        drop(pool);
    }

    #[test]
    fn without_digests_there_are_none() {
        let (configuration, _) = parse(default_text(), "x", Cores(2)).expect("right");
        let Fixture { bells, mut poll, configuration: with_digests } = fixture("");
        let pool = EffectThreads::start(&configuration, &bells, Stores::default(), Clock::start())
            .expect("no threads");
        assert!(locked(&pool.threads).is_empty());
        // Until a new configuration brings the first; a second time nothing is missing.
        for _ in 0..2 {
            pool.start_for(&with_digests).expect("threads");
            assert_eq!(locked(&pool.threads).len(), pool.threads_max);
        }
        let mut desk = pool.desk(WorkerId(0), BellId(0));
        desk.ask(ticket(0), check(&with_digests, b"password")).expect("the line is empty");
        assert_eq!(answers(&mut poll, &mut desk, 1), [(0, true)]);
    }

    #[test]
    fn they_run_at_the_lowest_priority_and_their_caller_does_not() {
        let own = rustix::process::getpriority_process(None).expect("it may be asked");
        let (before, after) = thread::spawn(|| {
            let before = rustix::process::getpriority_process(None).expect("it may be asked");
            yield_to_all().expect("everybody may be nicer");
            // The 19th field; the second, in parentheses, may hold blanks.
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
            let fields = stat.rsplit_once(')').expect("it has a name").1;
            (before, fields.split_whitespace().nth(16).expect("nice is there").to_owned())
        })
        .join()
        .expect("it ends");
        assert_eq!((before, after.as_str()), (own, "19"));
        assert_eq!(rustix::process::getpriority_process(None), Ok(own));
    }
}
