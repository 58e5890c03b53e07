//! A server that spools accounting, killed at every point, with the disk as it then is, before a remote server that comes and goes.
//!
//! The cores, and the machine that says what is written, copied and sent, are those of production; the disk, the thread that
//! waits for it, the net, the remote server and the NASes, which send until they are answered, are models. One seed is one
//! run: how many NASes, when the remote server is away and what gets lost, which operations fail, and at which operation, and how
//! deep in it, process or machine die.

use crate::actor::accounting_nas::{AccountingNas, Heard};
use crate::checks::records::ANSWERS_VERIFY;
use crate::checks::spool::{DELAY_IS_TOLD, SPOOLED_ARRIVES, SPOOLED_IS_KEPT, delay, kept, session};
use crate::checks::{Invariant, Violation};
use crate::draw::{Class, Draw, Draws};
use crate::fault::disk::Crash;
use crate::oracle::codec::{Packet, Writer, code, kind};
use crate::small_world::{
    HEALED, MILLISECOND, SECOND, choose, course, crashes, end_turn, hear, path_from, start, wall_time,
};
use crate::spool_store::SpoolStore;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use ulna_config::Cores as MachineCores;
use ulna_core::cores::Cores;
use ulna_core::effect::{Effect, EffectDone, Ticket};
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::seeded::Bug;
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Instant};

const REMOTE_SECRET: &[u8] = b"a secret of the remote server";
/// By then all must have arrived.
const END: u64 = 240 * SECOND;

/// What one run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Crashes.
    pub crashes: u64,
    /// Operations on the disk.
    pub operations: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Requests answered.
    pub answered: u64,
    /// Records that the remote server got, each counted once.
    pub arrived: u64,
    /// Packets to it that had records.
    pub sent: u64,
    /// Old files that were removed.
    pub removed: u64,
}

impl Outcome {
    /// Adds what came of another seed.
    pub fn add(&mut self, other: &Outcome) {
        self.crashes += other.crashes;
        self.operations += other.operations;
        self.failed += other.failed;
        self.answered += other.answered;
        self.arrived += other.arrived;
        self.sent += other.sent;
        self.removed += other.removed;
    }
}

/// The configuration of every run; reading it takes longer than a run.
pub fn configuration() -> Arc<Configuration> {
    let text = "[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 64\nrequests_max = 64\ndedup_entries_max = 256\n\
                replies_octets_max = 65536\nstate_directory = \"state\"\n\
                [accounting.spool]\noutstanding_max = 8\n\
                [[listen]]\nname = \"accounting\"\ntransport = \"udp\"\naddress = \"192.0.2.1:1813\"\n\
                packets = [\"accounting\"]\nserver = \"site\"\n\
                [[client]]\nname = \"site\"\nnetwork = \"198.51.100.0/24\"\nsecret = \"a secret of the site\"\n\
                [[remote_server]]\nname = \"far\"\naddress = \"203.0.113.5:1813\"\nsecret = \"a secret of the remote server\"\n\
                response_window = \"2s\"\nzombie_period = \"3s\"\nrevive_interval = \"5s\"\n\
                [[pool]]\nname = \"far\"\nremote_servers = [\"far\"]\n\
                [[server]]\nname = \"site\"\n[[server.accounting]]\nproxy = \"far\"\nspool = true\n";
    let parsed = ulna_config::parse(text, "spool-crash.toml", MachineCores(1));
    let (mut configuration, _) = parsed.unwrap_or_else(|errors| panic!("{errors}"));
    // Less than an operator may ask for: files come and go.
    let spool = configuration.accounting.spool.as_mut().expect("it has one");
    spool.octets_max = 65_536;
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

/// One server with its disk, the NASes around it, and the remote server.
struct Site<'c> {
    configuration: &'c Arc<Configuration>,
    draws: Draws,
    now: u64,
    cores: Cores,
    store: SpoolStore,
    crashes_at: Vec<(u64, Crash)>,
    faults_per_myriad: u32,
    inbox: Vec<(Ticket, EffectDone)>,
    nases: Vec<AccountingNas>,
    /// By session: when it was sent first, and answered.
    asked: BTreeMap<String, u64>,
    answered: BTreeMap<String, u64>,
    far: Far,
    outcome: Outcome,
}

/// The remote server and the way there.
struct Far {
    away: Vec<Range<u64>>,
    losses_per_myriad: u32,
    sockets: Vec<RemoteSocket>,
    /// Packets on their way, and whether they are on their way back.
    under_way: Vec<(u64, bool, RemoteSocket, Vec<u8>)>,
    ordinal: u64,
    arrived: BTreeSet<String>,
}

impl<'c> Site<'c> {
    fn new(seed: u64, configuration: &'c Arc<Configuration>) -> Self {
        let draws = Draws::new(seed);
        let at = |ordinal| draws.at(Class::Disk, 2, ordinal);
        let nases = 0..at(1).range(1..=3);
        let nases = nases.map(|number| {
            let (sessions, window) = (at(10 + number).range(2..=60), at(20 + number).range(1..=8));
            AccountingNas::new(number as u8, sessions, window as usize)
        });
        let crashes_at = crashes(at, 4, 120);
        let away = (0..at(6).range(0..=3)).map(|place| {
            let begin = at(50 + place).below(HEALED);
            begin..(begin + at(60 + place).magnitude(SECOND..=HEALED)).min(HEALED)
        });
        let settings = configuration.accounting.spool.expect("it spools");
        Site {
            configuration,
            draws,
            now: 0,
            cores: start(configuration, seed),
            store: SpoolStore::new(settings),
            crashes_at,
            faults_per_myriad: at(5).pick(&[0, 0, 300, 1_500]),
            inbox: Vec::new(),
            nases: nases.collect(),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            far: Far {
                away: away.collect(),
                losses_per_myriad: at(7).pick(&[0, 500, 3_000]),
                sockets: Vec::new(),
                under_way: Vec::new(),
                ordinal: 0,
                arrived: BTreeSet::new(),
            },
            outcome: Outcome::default(),
        }
    }

    fn run(mut self) -> Result<Outcome, Violation> {
        while self.now <= END && !self.is_done() {
            self.end_operation()?;
            self.turn()?;
            self.store();
            // What the spool has answered, or hands out, at once is taken up now, too.
            self.turn()?;
            self.now = self.next();
        }
        self.look_at_records()?;
        if !self.is_done() {
            let missing = self.answered.keys().find(|session| !self.far.arrived.contains(*session));
            let left = self.nases.iter().map(AccountingNas::outstanding).sum::<usize>();
            let details = format!(
                "{missing:?} has not; {left} have no answer; {} are in the spool",
                self.store.records()
            );
            return Err(self.broken(&SPOOLED_ARRIVES, details));
        }
        self.outcome.arrived = self.far.arrived.len() as u64;
        self.outcome.operations = self.store.operations();
        self.outcome.failed = self.store.failed();
        self.outcome.removed = self.store.removed();
        Ok(self.outcome)
    }

    fn is_done(&self) -> bool {
        self.nases.iter().all(AccountingNas::is_done)
            && self.answered.keys().all(|session| self.far.arrived.contains(session))
            && self.store.records() == 0
    }

    /// When something happens next: time goes on by a microsecond at least.
    fn next(&self) -> u64 {
        let nases = self.nases.iter().filter_map(AccountingNas::next);
        let operation = self.store.next(self.now);
        let deadline = self.cores.poll_timeout().map(|(due, _)| due.as_nanoseconds());
        let packets = self.far.under_way.iter().map(|(due, ..)| *due);
        let next = nases.chain(operation).chain(deadline).chain(packets).min();
        next.unwrap_or(self.now).max(self.now + 1_000)
    }

    fn instant(&self) -> Instant {
        Instant::from_nanoseconds(self.now)
    }

    fn time(&self) -> UnixTime {
        wall_time(self.now)
    }

    fn draw(&self) -> Draw {
        self.draws.at(Class::Disk, 3, self.store.operations())
    }

    /// Ends the operation that is under way, if it is time; or everything.
    fn end_operation(&mut self) -> Result<(), Violation> {
        if !self.store.is_due(self.now) {
            return Ok(());
        }
        let (time, draw) = (self.time(), self.draw());
        let operations = self.store.operations();
        if self.now < HEALED
            && let Some((_, crash)) = self.crashes_at.pop_if(|(at, _)| *at <= operations)
        {
            self.store.crash(crash, time, draw);
            self.start_again();
            return Ok(());
        }
        if self.store.end_operation(self.now, time, draw) {
            self.look_at_records()?;
        }
        self.inbox.extend(self.store.take_answers());
        Ok(())
    }

    /// Process, sockets and line are gone; the disk, the NASes and what is on its way to the remote server are not.
    fn start_again(&mut self) {
        self.outcome.crashes += 1;
        self.cores = start(self.configuration, self.outcome.crashes);
        self.inbox.clear();
        self.far.sockets.clear();
        self.far.under_way.retain(|(_, is_back, ..)| !is_back);
    }

    /// What the thread that has the spool does between two operations.
    fn store(&mut self) {
        let (draws, now, per_myriad) = (self.draws, self.now, self.faults_per_myriad);
        let course = |operation: u64| {
            let draw = draws.at(Class::Disk, 3, operation);
            course(draw, now, per_myriad, (100, |length| length.range(1..=4) * SECOND))
        };
        self.store.go_on(now, self.time(), course);
        self.inbox.extend(self.store.take_answers());
    }

    /// One turn of the only thread: what NASes and the remote server send, what the spool has answered, what is due.
    fn turn(&mut self) -> Result<(), Violation> {
        let (now, time) = (self.instant(), self.time());
        self.cores.begin();
        self.cores.handle_wall_time(time);
        self.cores.sweep(now);
        for nas in &mut self.nases {
            for octets in nas.sends(self.now) {
                let sent = Packet::read(&octets).ok().and_then(|packet| session(&packet));
                self.asked.entry(sent.expect("it says so")).or_insert(self.now);
                self.cores.handle_datagram(path_from(nas.remote()), &octets, now);
            }
        }
        self.deliver()?;
        self.cores.handle_timeout(now);
        self.cores.work(usize::MAX, now);
        for (ticket, done) in self.inbox.drain(..) {
            self.cores.handle_effect_done(ticket, done, now);
        }
        // Records that were handed out are due at once.
        self.cores.handle_timeout(now);
        while let Some((ticket, effect)) = self.cores.poll_effect() {
            match effect {
                Effect::Spool(batch) => self.store.take(ticket, batch),
                Effect::Relay(relay) => self.store.tell(ticket, relay, self.now),
                Effect::Store(_)
                | Effect::CheckPassword { .. }
                | Effect::LookUp(_)
                | Effect::Resolve(_)
                | Effect::Errand(_) => {
                    unreachable!("there is nothing but a spool here")
                }
            }
        }
        self.inbox.extend(self.store.take_answers());
        let mut octets = Vec::new();
        while let Some(transmit) = self.cores.poll_transmit(&mut octets) {
            self.hear(transmit.destination, &octets)?;
            octets.clear();
        }
        self.forward();
        end_turn(&mut self.cores, now);
        Ok(())
    }

    /// Opens sockets, and sends what leaves by them.
    fn forward(&mut self) {
        let now = self.instant();
        while let Some(order) = self.cores.poll_remote_order() {
            match order {
                RemoteOrder::Open { socket, .. }
                    if self.far.draw(&self.draws).one_in(40) && self.now < HEALED =>
                {
                    self.cores.handle_remote_refused(socket, now);
                }
                RemoteOrder::Open { socket, .. } => self.far.sockets.push(socket),
                RemoteOrder::Close { socket } => self.far.sockets.retain(|open| *open != socket),
            }
        }
        let mut octets = Vec::new();
        while let Some(transmit) = self.cores.poll_forward(&mut octets) {
            let open = self.far.sockets.iter().find(|socket| socket.via() == transmit.via);
            let socket = *open.expect("packets go through sockets that are open");
            self.outcome.sent += 1;
            self.far.send(&self.draws, self.now, (false, socket, std::mem::take(&mut octets)));
        }
    }

    /// Hands over what has come to its end, here and there.
    fn deliver(&mut self) -> Result<(), Violation> {
        let mut due: Vec<_> = self.far.under_way.extract_if(.., |(due, ..)| *due <= self.now).collect();
        due.sort_by_key(|(due, ..)| *due);
        for (_, is_back, socket, octets) in due {
            if is_back {
                if self.far.sockets.contains(&socket) {
                    self.cores.handle_remote_datagram(socket, &octets, self.instant());
                }
            } else if !self.far.away.iter().any(|away| away.contains(&self.now)) {
                self.take(socket, &octets)?;
            }
        }
        Ok(())
    }

    /// The remote server takes a record.
    fn take(&mut self, socket: RemoteSocket, octets: &[u8]) -> Result<(), Violation> {
        let packet = Packet::read(octets).expect("what leaves is a packet");
        if packet.code() != code::ACCOUNTING_REQUEST || !packet.authenticator_holds(&[0; 16], REMOTE_SECRET) {
            return Err(self.broken(&ANSWERS_VERIFY, format!("{octets:?}")));
        }
        let session = session(&packet).expect("all have one");
        let seconds = |at: u64| at / SECOND;
        let asked = seconds(self.asked[&session]);
        let answered = self.answered.get(&session).map_or(seconds(self.now), |at| seconds(*at));
        // It was received between these two, and left at most a second ago.
        let (least, most) = (seconds(self.now).saturating_sub(answered + 2), seconds(self.now) - asked + 1);
        let told = delay(&packet);
        if !told.is_some_and(|told| (least..=most).contains(&told)) {
            let details = format!("{session}: {told:?}, where {least} to {most} seconds have passed");
            return Err(self.broken(&DELAY_IS_TOLD, details));
        }
        self.far.arrived.insert(session);
        let mut reply = Writer::new(code::ACCOUNTING_RESPONSE, packet.identifier(), [0; 16]);
        for state in packet.all(kind::PROXY_STATE) {
            reply = reply.attribute(kind::PROXY_STATE, state);
        }
        let reply = reply.reply(&packet.authenticator(), REMOTE_SECRET);
        self.far.send(&self.draws, self.now, (true, socket, reply));
        Ok(())
    }

    /// A NAS hears an answer.
    fn hear(&mut self, to: SocketAddr, octets: &[u8]) -> Result<(), Violation> {
        let session = match hear(&mut self.nases, to, octets) {
            Heard::Answer(session) => session,
            Heard::Again => return Ok(()),
            Heard::Wrong => return Err(self.broken(&ANSWERS_VERIFY, format!("{octets:?}"))),
        };
        self.outcome.answered += 1;
        self.answered.insert(session, self.now);
        self.look_at_records()
    }

    /// After a start, with each answer, and at the end.
    fn look_at_records(&self) -> Result<(), Violation> {
        let kept = kept(self.store.disk().safe());
        let is_lost = |session: &&String| !self.far.arrived.contains(*session) && !kept.contains(*session);
        match self.answered.keys().find(is_lost) {
            Some(lost) => Err(self.broken(&SPOOLED_IS_KEPT, format!("{lost} was answered and is gone"))),
            None => Ok(()),
        }
    }

    fn broken(&self, invariant: &'static Invariant, details: String) -> Violation {
        Violation { invariant, at: self.now, details }
    }
}

impl Far {
    fn draw(&mut self, draws: &Draws) -> Draw {
        self.ordinal += 1;
        draws.at(Class::Disk, 4, self.ordinal)
    }

    /// A packet sets out, and is lost or comes a little later.
    fn send(&mut self, draws: &Draws, now: u64, (is_back, socket, octets): (bool, RemoteSocket, Vec<u8>)) {
        let draw = self.draw(draws);
        if now >= HEALED || !draw.fork(1).per_myriad(self.losses_per_myriad) {
            let due = now + draw.fork(2).range(1..=200) * MILLISECOND;
            self.under_way.push((due, is_back, socket, octets));
        }
    }
}
