//! A server that stores accounting, killed at every point, with the disk as it then is, and started again.
//!
//! The cores, and the machine that says what is written and synced, are those of production; the disk, the thread that
//! waits for it and the NASes, which send until they are answered, are models. One seed is one run: how many NASes, which
//! operations fail, and at which operation, and how deep in it, process or machine die.

use crate::actor::accounting_nas::{AccountingNas, Heard};
use crate::checks::records::{
    ACKNOWLEDGED_IS_SAFE, ANSWERS_VERIFY, NO_TORN_LINE, ONE_DIGEST, STORED_IN_THE_END,
};
use crate::checks::records::{Record, torn_line, twins};
use crate::checks::{Invariant, Violation};
use crate::draw::{Class, Draw, Draws};
use crate::fault::disk::Crash;
use crate::small_world::{SECOND, choose, course, crashes, end_turn, hear, path_from, start, wall_time};
use crate::store::Store;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use ulna_config::Cores as MachineCores;
use ulna_core::accounting::Rotation;
use ulna_core::cores::Cores;
use ulna_core::effect::{Effect, EffectDone, Ticket};
use ulna_core::seeded::Bug;
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Instant};

/// By then all must be answered.
const END: u64 = 120 * SECOND;

/// What one run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Crashes.
    pub crashes: u64,
    /// Operations on the disk.
    pub operations: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Requests acknowledged.
    pub acknowledged: u64,
    /// Records that are in the files, each time that they are.
    pub records: u64,
    /// Files set aside.
    pub aside: u64,
}

impl Outcome {
    /// Adds what came of another seed.
    pub fn add(&mut self, other: &Outcome) {
        self.crashes += other.crashes;
        self.operations += other.operations;
        self.failed += other.failed;
        self.acknowledged += other.acknowledged;
        self.records += other.records;
        self.aside += other.aside;
    }
}

/// The configuration of every run; reading it takes longer than a run.
pub fn configuration() -> Arc<Configuration> {
    let text = "[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 64\nrequests_max = 64\ndedup_entries_max = 256\n\
                replies_octets_max = 65536\n\
                [accounting.file]\npath = \"records\"\n\
                [[listen]]\nname = \"accounting\"\ntransport = \"udp\"\naddress = \"192.0.2.1:1813\"\n\
                packets = [\"accounting\"]\nserver = \"site\"\n\
                [[client]]\nname = \"site\"\nnetwork = \"198.51.100.0/24\"\nsecret = \"a secret of the site\"\n\
                [[server]]\nname = \"site\"\n[[server.accounting]]\nstore = \"file\"\n";
    let parsed = ulna_config::parse(text, "crash.toml", MachineCores(1));
    let (configuration, _) = parsed.unwrap_or_else(|errors| panic!("{errors}"));
    Arc::new(configuration)
}

/// Runs one seed, with a seeded bug if they are compiled in.
///
/// # Errors
/// The law that was broken.
pub fn run(seed: u64, configuration: &Arc<Configuration>, bug: Option<Bug>) -> Result<Outcome, Violation> {
    choose(bug);
    Site::new(seed, configuration).run()
}

/// One server with its disk, and the NASes around it.
struct Site<'c> {
    configuration: &'c Arc<Configuration>,
    draws: Draws,
    now: u64,
    cores: Cores,
    store: Store<Ticket>,
    crashes_at: Vec<(u64, Crash)>,
    faults_per_myriad: u32,
    inbox: Vec<(Ticket, EffectDone)>,
    nases: Vec<AccountingNas>,
    /// Sessions acknowledged.
    acknowledged: BTreeMap<String, u64>,
    has_started: bool,
    outcome: Outcome,
}

impl<'c> Site<'c> {
    fn new(seed: u64, configuration: &'c Arc<Configuration>) -> Self {
        let draws = Draws::new(seed);
        let at = |ordinal| draws.at(Class::Disk, 0, ordinal);
        let nases = 0..at(1).range(1..=3);
        let nases = nases.map(|number| {
            let (sessions, window) = (at(10 + number).range(2..=20), at(20 + number).range(1..=8));
            AccountingNas::new(number as u8, sessions, window as usize)
        });
        let crashes_at = crashes(at, 3, 90);
        let rotation = Rotation { octets: at(3).one_in(2).then(|| at(4).range(500..=5_000)), every: None };
        Site {
            configuration,
            draws,
            now: 0,
            cores: start(configuration, seed),
            store: Store::new(rotation),
            crashes_at,
            faults_per_myriad: at(5).pick(&[0, 0, 300, 1_500]),
            inbox: Vec::new(),
            nases: nases.collect(),
            acknowledged: BTreeMap::new(),
            has_started: false,
            outcome: Outcome::default(),
        }
    }

    fn run(mut self) -> Result<Outcome, Violation> {
        while self.nases.iter().any(|nas| !nas.is_done()) {
            if self.now > END {
                let left = self.nases.iter().map(AccountingNas::outstanding).sum::<usize>();
                return Err(self.broken(&STORED_IN_THE_END, format!("{left} have no answer")));
            }
            self.end_operation()?;
            self.turn()?;
            self.store();
            // What the store has answered at once is taken up now, too.
            self.turn()?;
            self.now = self.next();
        }
        self.look_at_records()?;
        self.outcome.aside = self.store.disk().aside() as u64;
        self.outcome.operations = self.store.operations();
        self.outcome.failed = self.store.failed();
        Ok(self.outcome)
    }

    /// When something happens next: time goes on by a microsecond at least.
    fn next(&self) -> u64 {
        let nases = self.nases.iter().filter_map(AccountingNas::next);
        let operation = self.store.next(self.now);
        let deadline = self.cores.poll_timeout().map(|(due, _)| due.as_nanoseconds());
        let next = nases.chain(operation).chain(deadline).min();
        next.unwrap_or(self.now).max(self.now + 1_000)
    }

    fn instant(&self) -> Instant {
        Instant::from_nanoseconds(self.now)
    }

    fn time(&self) -> UnixTime {
        wall_time(self.now)
    }

    fn draw(&self) -> Draw {
        self.draws.at(Class::Disk, 1, self.store.operations())
    }

    /// Ends the operation that is under way, if it is time; or everything.
    fn end_operation(&mut self) -> Result<(), Violation> {
        if !self.store.is_due(self.now) {
            return Ok(());
        }
        let (time, draw) = (self.time(), self.draw());
        let operations = self.store.operations();
        if let Some((_, crash)) = self.crashes_at.pop_if(|(at, _)| *at == operations) {
            self.store.crash(crash, time, draw);
            self.start_again();
            return Ok(());
        }
        self.store.end_operation(self.now, time, draw);
        self.inbox.extend(self.store.take_answers());
        if self.store.is_ready() && !self.has_started {
            self.has_started = true;
            self.look_at_records()?;
        }
        Ok(())
    }

    /// Process and line are gone, the disk and the NASes are not.
    fn start_again(&mut self) {
        self.outcome.crashes += 1;
        self.cores = start(self.configuration, self.outcome.crashes);
        self.inbox.clear();
        self.has_started = false;
    }

    /// What the thread that stores does between two operations.
    fn store(&mut self) {
        let (draws, now, per_myriad) = (self.draws, self.now, self.faults_per_myriad);
        let course = |operation: u64| {
            let draw = draws.at(Class::Disk, 1, operation);
            course(draw, now, per_myriad, (50, |length| length.range(SECOND..=8 * SECOND)))
        };
        self.store.go_on(now, self.time(), course);
        self.inbox.extend(self.store.take_answers());
    }

    /// One turn of the only thread: what NASes send, what the store has answered, what is due.
    fn turn(&mut self) -> Result<(), Violation> {
        let (now, time) = (self.instant(), self.time());
        self.cores.begin();
        self.cores.handle_wall_time(time);
        self.cores.sweep(now);
        for nas in &mut self.nases {
            for octets in nas.sends(self.now) {
                let path = path_from(nas.remote());
                self.cores.handle_datagram(path, &octets, now);
            }
        }
        self.cores.handle_timeout(now);
        self.cores.work(usize::MAX, now);
        for (ticket, done) in self.inbox.drain(..) {
            self.cores.handle_effect_done(ticket, done, now);
        }
        while let Some((ticket, effect)) = self.cores.poll_effect() {
            match effect {
                Effect::Store(batch) => self.store.take(ticket, batch),
                Effect::CheckPassword { .. } => unreachable!("nobody has a password here"),
                Effect::Errand(_) => unreachable!("nobody controls it"),
                Effect::LookUp(_) => unreachable!("no rule admits anybody here"),
                Effect::Resolve(_) | Effect::Spool(_) | Effect::Relay(_) => {
                    unreachable!("nothing is forwarded here")
                }
            }
        }
        let mut octets = Vec::new();
        while let Some(transmit) = self.cores.poll_transmit(&mut octets) {
            self.hear(transmit.destination, &octets)?;
            octets.clear();
        }
        end_turn(&mut self.cores, now);
        Ok(())
    }

    /// A NAS hears an answer: from now on it has forgotten its record.
    fn hear(&mut self, to: SocketAddr, octets: &[u8]) -> Result<(), Violation> {
        let session = match hear(&mut self.nases, to, octets) {
            Heard::Answer(session) => session,
            Heard::Again => return Ok(()),
            Heard::Wrong => return Err(self.broken(&ANSWERS_VERIFY, format!("{octets:?}"))),
        };
        self.outcome.acknowledged += 1;
        self.acknowledged.insert(session.clone(), self.now);
        if self.safe_records().any(|record| record.session == session) {
            Ok(())
        } else {
            Err(self.broken(
                &ACKNOWLEDGED_IS_SAFE,
                format!("{session} is not on the disk when it is acknowledged"),
            ))
        }
    }

    fn safe_records(&self) -> impl Iterator<Item = Record> {
        self.store.disk().safe().flat_map(Record::all)
    }

    /// After a start, and at the end.
    fn look_at_records(&mut self) -> Result<(), Violation> {
        if let Some(line) = torn_line(self.store.disk().seen()) {
            return Err(self.broken(&NO_TORN_LINE, line));
        }
        let records: Vec<Record> = self.safe_records().collect();
        if let Some(session) = twins(&records) {
            return Err(self.broken(&ONE_DIGEST, session));
        }
        self.outcome.records = records.len() as u64;
        let is_there = |session: &String| records.iter().any(|record| record.session == *session);
        match self.acknowledged.keys().find(|session| !is_there(session)) {
            Some(lost) => {
                let lost = format!("{lost} was acknowledged and is gone");
                Err(self.broken(&ACKNOWLEDGED_IS_SAFE, lost))
            }
            None => Ok(()),
        }
    }

    fn broken(&self, invariant: &'static Invariant, details: String) -> Violation {
        Violation { invariant, at: self.now, details }
    }
}
