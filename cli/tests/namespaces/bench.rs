//! A topology with its server, its NASes and two captures: inside of the NAT and where the server hears everybody.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::capture::{Capture, Evidence, Witness};
use super::nas::{Nas, Outcome, Site};
use super::net::{Family, Topology, command_in};
use super::support::{Ulna, file};

/// How the server knows those behind the NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// The address is one static client: one secret for all.
    Static,
    /// A client rule with `nat = true`: a secret each.
    Rule { connected: bool },
}

pub struct Bench {
    pub ulna: Ulna,
    pub behind: Vec<Nas>,
    pub neighbours: Vec<Nas>,
    captures: Option<[Capture; 2]>,
    moves: Vec<[SystemTime; 2]>,
    /// Transmissions beyond the first.
    again: u64,
    // Dropped last: the others live in it.
    pub topology: Topology,
    server: SocketAddr,
}

impl Bench {
    /// Everybody in place and nobody has asked yet. There are more sites in the server's table than NASes.
    pub fn new(clients: Clients, family: Family) -> Bench {
        let topology = Topology::build(family, SITES + SITES_TO_COME, NEIGHBOURS);
        let server = SocketAddr::new(family.server(), 1812);
        let path = file("ulna.toml", &configuration(clients, family));
        let mut command = command_in(&topology.server, env!("CARGO_BIN_EXE_ulna"));
        command.args(["serve", "--config"]).arg(path).stdin(Stdio::null());
        let ulna = Ulna::begin(&mut command, Stdio::piped());
        assert_eq!(ulna.addresses, [server]);
        let behind = (1..=SITES).map(|number| {
            let address = family.inside(number);
            Nas::new(&topology.inside, address, INSIDE_PORT, server, site(clients, number))
        });
        let behind = behind.collect();
        let neighbours = (1..=NEIGHBOURS).map(|number| {
            let address = family.neighbour(number);
            Nas::new(&topology.neighbours, address, INSIDE_PORT, server, neighbour(number))
        });
        let neighbours = neighbours.collect();
        let captures = Some([
            Capture::begin(&topology.inside, "nat", server.ip()),
            Capture::begin(&topology.server, "outside", family.nat()),
        ]);
        Bench { ulna, behind, neighbours, captures, moves: Vec::new(), again: 0, topology, server }
    }

    /// A site that has not been there before, one of [`SITES_TO_COME`].
    pub fn newcomer(&self, clients: Clients, number: u16) -> Nas {
        assert!((1..=SITES_TO_COME).contains(&number), "it has an address");
        let number = SITES + number;
        let address = self.topology.family.inside(number);
        Nas::new(&self.topology.inside, address, INSIDE_PORT, self.server, site(clients, number))
    }

    /// Each NAS asks so many times, all NASes at once, at least that long from one request to the next.
    pub fn ask(&mut self, times: u32, every: Duration) -> Answers {
        let answers = ask(self.behind.iter_mut().chain(&mut self.neighbours), times, every);
        self.again += answers.again();
        answers
    }

    /// Does something to the NAT's ports while all NASes ask again and again.
    pub fn ask_during(&mut self, times: u32, every: Duration, mut change: impl FnMut(&Topology)) -> Answers {
        let Bench { behind, neighbours, topology, moves, .. } = self;
        let half = every * times / 2;
        let answers = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(behind.iter_mut().chain(neighbours), times, every));
            std::thread::park_timeout(half);
            let began = SystemTime::now();
            change(topology);
            // A reply may be on its way for as long as a loaded machine likes.
            moves.push([began, SystemTime::now() + Duration::from_millis(200)]);
            asking.join().expect("it only asks")
        });
        self.again += answers.again();
        answers
    }

    /// The server, and those that capture.
    pub fn processes(&self) -> Vec<u32> {
        let captures = self.captures.iter().flatten().map(Capture::process);
        captures.chain([self.ulna.process()]).collect()
    }

    /// Ends the captures. What can be judged is everybody's, also those who came later. The error is why a capture is not whole.
    pub fn evidence(&mut self, newcomers: Vec<Nas>) -> Result<Evidence, String> {
        let [inside, outside] = self.captures.take().expect("they end once").map(Capture::finish);
        let (inside, outside) = (inside?, outside?);
        self.behind.extend(newcomers);
        let behind = self.behind.iter().map(|nas| Witness::new(nas, true));
        let neighbours = self.neighbours.iter().map(|nas| Witness::new(nas, false));
        Ok(Evidence {
            inside,
            outside,
            server: self.server,
            nat: self.topology.family.nat(),
            witnesses: behind.chain(neighbours).collect(),
            moves: self.moves.clone(),
            transmissions_max: TRANSMISSIONS_MAX,
        })
    }

    /// The judge's account, which finds no fault; and no more was lost between the NASes and where the server hears them than may be.
    fn verify_losing(&self, evidence: &Evidence, losses_max: u64) -> Value {
        let account = evidence.judge().unwrap_or_else(|faults| panic!("{faults}"));
        println!("  verify.py: inside {}; outside {}", account["inside"], account["outside"]);
        assert_eq!(account["inside"]["nases"], self.behind.len(), "{account}");
        assert_eq!(account["outside"]["nases"], self.behind.len() + self.neighbours.len(), "{account}");
        let transmissions = |side: &str, which: &str| account[side][which].as_u64().expect("a number");
        let (sent, heard) =
            (transmissions("inside", "transmissions"), transmissions("outside", "transmissions_behind"));
        assert!((heard..=heard + losses_max).contains(&sent), "{account}");
        account
    }

    /// Where the NAT finds a port for each anew it may lose what two come with at once, and then they send it again.
    pub fn verify(&self, evidence: &Evidence) -> Value {
        self.verify_losing(evidence, self.again)
    }

    /// Where each keeps its port it loses nothing.
    pub fn verify_that_all_came(&self, evidence: &Evidence) -> Value {
        self.verify_losing(evidence, 0)
    }
}

/// What became of many requests.
#[derive(Default)]
pub struct Answers {
    outcomes: Vec<Outcome>,
    pub strangers: u32,
}

impl Answers {
    /// Each one has its answer, after two retransmissions at most. Prints how long they took.
    pub fn assert_all(&self, what: &str) {
        self.check(what).unwrap_or_else(|why| panic!("{why}"));
    }

    /// The same; the error is how many have not.
    pub fn check(&self, what: &str) -> Result<(), String> {
        let unanswered = self.outcomes.iter().filter(|one| one.answered_after.is_none()).count();
        let late = self.outcomes.iter().filter(|one| one.transmissions > TRANSMISSIONS_MAX).count();
        let again = self.outcomes.iter().filter(|one| one.transmissions > 1).count();
        let many = self.outcomes.len();
        println!(
            "  {what}: {many} requests, {unanswered} unanswered, {again} sent again, {} strange replies; \
             p50 {:?}, p99 {:?}, max {:?}",
            self.strangers,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0)
        );
        assert!(many > 0, "{what}: somebody asked");
        if (unanswered, late) == (0, 0) {
            return Ok(());
        }
        Err(format!("{what}: {unanswered} unanswered, {late} after more than two retransmissions"))
    }

    /// Of the times to the answer, from the first transmission.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let mut times: Vec<_> = self.outcomes.iter().filter_map(|one| one.answered_after).collect();
        times.sort_unstable();
        let at = (times.len() as f64 * quantile) as usize;
        times[at.min(times.len() - 1)]
    }

    /// Transmissions beyond the first of each.
    fn again(&self) -> u64 {
        self.outcomes.iter().map(|one| u64::from(one.transmissions - 1)).sum()
    }

    pub fn len(&self) -> i64 {
        i64::try_from(self.outcomes.len()).expect("few")
    }
}

fn ask<'a>(nases: impl Iterator<Item = &'a mut Nas>, times: u32, every: Duration) -> Answers {
    let nases: Vec<_> = nases.collect();
    let many = u32::try_from(nases.len()).expect("few");
    std::thread::scope(|scope| {
        let threads = (0..).zip(nases).map(|(number, nas)| {
            scope.spawn(move || {
                let began = Instant::now() + every * number / many;
                let before = nas.strangers;
                let outcomes = (0..times).map(|turn| {
                    // Spread evenly, and after a late answer no faster than before.
                    let wait = (began + every * turn).saturating_duration_since(Instant::now());
                    nas.listen(wait);
                    nas.ask()
                });
                let outcomes: Vec<_> = outcomes.collect();
                (outcomes, nas.strangers - before)
            })
        });
        let mut answers = Answers::default();
        for thread in threads.collect::<Vec<_>>() {
            let (outcomes, strangers) = thread.join().expect("it only asks");
            answers.outcomes.extend(outcomes);
            answers.strangers += strangers;
        }
        answers
    })
}

/// Those counters that differ, and by how much.
pub fn differences(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, i64> {
    let differ = after.iter().filter_map(|(name, after)| {
        let before = before.get(name).copied().unwrap_or(0);
        (before != *after).then(|| (name.clone(), after.wrapping_sub(before).cast_signed()))
    });
    differ.collect()
}

/// Those counters that are not one thread's, nor 0.
pub fn of_server<T: Default + PartialEq + Display>(counters: &BTreeMap<String, T>) -> String {
    let some =
        counters.iter().filter(|(name, value)| **value != T::default() && !name.starts_with("thread "));
    some.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// Fixes the outside port of each, its own or that of the other of its pair, and has the NAT forget what it tracks.
pub fn move_ports(topology: &Topology, swapped: bool) {
    let ports = (1..=SITES + SITES_TO_COME)
        .map(|number| (topology.family.inside(number), INSIDE_PORT, outside_port(number, swapped)));
    topology.fix_ports(&ports.collect::<Vec<_>>());
    topology.flush();
}

/// Below 1 024, where masquerading moves no port from above: one that it chose at random is never one of these.
pub fn outside_port(number: u16, swapped: bool) -> u16 {
    700 + if swapped { ((number - 1) ^ 1) + 1 } else { number }
}

fn site(clients: Clients, number: u16) -> Site {
    let secret = match clients {
        Clients::Static => "one secret for everybody at home".to_string(),
        Clients::Rule { .. } => secret_of_site(number),
    };
    Site {
        name: format!("site-{number}"),
        secret,
        user: format!("user-{number}"),
        password: format!("password of user {number}"),
        session_timeout: 10_000 + u32::from(number),
    }
}

fn secret_of_site(number: u16) -> String {
    format!("what only site {number} knows: {}", u32::from(number) * 7919)
}

fn neighbour(number: u16) -> Site {
    Site {
        name: format!("neighbour-{number}"),
        secret: format!("what only neighbour {number} knows"),
        user: format!("user-of-neighbour-{number}"),
        password: format!("password at neighbour {number}"),
        session_timeout: 20_000 + u32::from(number),
    }
}

fn configuration(clients: Clients, family: Family) -> String {
    let (server, nat, length) = (SocketAddr::new(family.server(), 1812), family.nat(), family.host_length());
    let mut text = format!(
        "[[listen]]\nname = \"authentication\"\ntransport = \"udp\"\naddress = \"{server}\"\n\
         packets = [\"access\", \"status\"]\nserver = \"default\"\n\n\
         [[server]]\nname = \"default\"\n[[server.new]]\nauthenticate = \"users\"\n\n\
         [log]\nrequests = false\n\n{MEMORY}\n"
    );
    let sites: Vec<_> = (1..=SITES + SITES_TO_COME).map(|number| site(clients, number)).collect();
    match clients {
        Clients::Static => text.push_str(&client("branches", &nat.to_string(), &sites[0].secret)),
        Clients::Rule { connected } => {
            let line = |site: &Site| {
                format!("\"{0}\" = {{ secret = \"{1}\", name = \"{0}\" }}\n", site.name, site.secret)
            };
            let table = file("sites.toml", &sites.iter().map(line).collect::<String>());
            text.push_str(&format!(
                "[[client_rule]]\nname = \"branches\"\nnetwork = [\"{nat}/{length}\"]\nnat = true\n\
                 connected = {connected}\nwhen = {{ NAS-Identifier = {{ regex = \"^site-[0-9]+$\" }} }}\n\
                 secret = {{ table = {table:?}, key = \"NAS-Identifier\" }}\n\
                 lifetime = \"1h\"\nidle_timeout = \"120s\"\nlimits = {LIMITS}\n\n"
            ));
        }
    }
    let neighbours = (1..=NEIGHBOURS).map(|number| (number, neighbour(number)));
    let mut everybody = sites;
    for (number, one) in neighbours {
        text.push_str(&client(&one.name, &family.neighbour(number).to_string(), &one.secret));
        everybody.push(one);
    }
    for Site { user, password, session_timeout, .. } in everybody {
        text.push_str(&format!(
            "[[user]]\nname = \"{user}\"\npassword = \"{password}\"\n\
             reply = {{ Session-Timeout = {session_timeout} }}\n\n"
        ));
    }
    text
}

fn client(name: &str, network: &str, secret: &str) -> String {
    format!(
        "[[client]]\nname = \"{name}\"\nnetwork = [\"{network}\"]\nsecret = \"{secret}\"\n\
         require_message_authenticator = true\n\n"
    )
}

/// From one request of a NAS to its next.
pub const EVERY: Duration = Duration::from_millis(100);
/// One topology at a time: they would disturb each other's times.
pub static ALONE: Mutex<()> = Mutex::new(());

pub const SITES: u16 = 50;
pub const SITES_TO_COME: u16 = 4;
pub const NEIGHBOURS: u16 = 5;
/// The same for all inside.
pub const INSIDE_PORT: u16 = 18_120;
/// One, and two retransmissions.
const TRANSMISSIONS_MAX: u32 = 3;
/// Small enough for a flood to fill.
const MEMORY: &str = "[runtime]\nworkers = 2\ndedup_entries_max = 32_768\nreplies_octets_max = 8_388_608\n";
/// What its tables may take at these settings, by the formula of docs/configuration.md with two joined threads: two
/// network cores, two workers, five rings.
pub const TABLES_OCTETS_MAX: u64 = 2
    * (140 * 32_768 + 8_388_608 + 56 * 10_000 + 2 * (32 * 16_384 + 16 * 1024) + 2 * 32 * 1024 + (2 << 20))
    + 2 * (2 * (160 * 16_384 + 32 * 1024 + (48 << 10)) + (4 << 20))
    + 5 * 96 * 1024;
/// More than all sites need at once, and little beside what a flood asks for.
const LIMITS: &str = "{ clients = 1000, connections = 1000, pending = 200, new_per_second = 200, \
                      packets_per_second = 1000, held_packets = 4, \
                      per_address = { pending = 100, new_per_second = 100, connections = 500 } }";
