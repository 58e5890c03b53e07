//! Clients that are added, changed and removed by the thousand while others ask: docs/reload.md, docs/clients.md.

mod support;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use support::site::{Sent, Site};
use support::{PASSWORD, PATIENCE, Ulna, WRONG_PASSWORD, file};
use ulna_core::packet::Code;

/// Configurations in force one after the other.
const ROUNDS: usize = 10;
/// Clients of one group, and as many keys. In each round one group goes, one comes and one has other secrets.
const GROUP: usize = 1_000;
const GROUPS: usize = 3;
/// Clients of the configuration, and as many of the rule, that never change.
const UNCHANGED: usize = 50;
/// NASes of a group that are asked for.
const SAMPLES: usize = 10;
/// A request without an answer for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Between two requests of a NAS that never changes: the load is to leave time for the rest.
const PAUSE: Duration = Duration::from_millis(5);
const ALICES_PASSWORD: &str = "looking-glass";
const IN_FORCE: &str = "the new configuration is in force";

const SETTINGS: &str = r#"
[protocol]
reject_delay = "2s"
failures_max = 0

[[listen]]
name = "authentication"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access"]
server = "default"

[[client_rule]]
name = "branches"
network = "127.2.0.0/16"
nat = true
secret = { table = "sites.toml", key = "NAS-Identifier" }
limits = { pending = 1_000, new_per_second = 100_000, per_address = { pending = 1_000, new_per_second = 100_000 } }

[[user]]
name = "bob"
password = "a-password-that-nobody-prints"

[[user]]
name = "alice"
password = { argon2 = "$argon2id$v=19$m=4096,t=20,p=1$c29tZXNhbHQ$vMQNir8sgv2dpq0+j5HA2yuWTWZE189v5lK9eFPEqGk" }

[[server]]
name = "default"
[[server.new]]
authenticate = "users"
"#;

/// Where a client of a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the configuration.
    Listed,
    /// In the table, behind a NAT.
    Keyed,
}

const KINDS: [Kind; 2] = [Kind::Listed, Kind::Keyed];

/// The secret of the `n`th of a group since that round.
fn secret(kind: Kind, group: usize, n: usize, since: usize) -> String {
    format!("secret-of-{kind:?}-{group}-{n}-since-{since}")
}

fn name(group: usize, n: usize) -> String {
    format!("site-{group}-{n}")
}

fn unchanged_secret(kind: Kind, n: usize) -> String {
    format!("unchanged-secret-{kind:?}-{n}")
}

/// Where the `n`th of a group speaks from. All that have keys are behind the address of one NAT.
fn address(kind: Kind, group: usize, n: usize) -> String {
    match kind {
        Kind::Listed => format!("127.{}.{}.{}", 10 + group, n / 250, n % 250 + 1),
        Kind::Keyed => "127.2.0.1".into(),
    }
}

/// What is in force, one after the other.
#[derive(Debug, Clone, Copy)]
struct Round(usize);

impl Round {
    /// The group that is not there.
    fn absent(self) -> usize {
        self.0 % GROUPS
    }

    /// The one that was not there before.
    fn added(self) -> usize {
        (self.0 + GROUPS - 1) % GROUPS
    }

    /// The one that has other secrets since this round.
    fn changed(self) -> usize {
        (self.0 + 1) % GROUPS
    }

    /// That of a NAS of a group that is there: it is as old as this round, in which it came or was changed.
    fn secret(self, kind: Kind, group: usize, n: usize) -> String {
        secret(kind, group, n, self.0)
    }

    fn configuration(self, threads: &str) -> String {
        let mut text = format!("[runtime]\n{threads}\n[log]\nrequests = false\n{SETTINGS}");
        let mut client = |name: String, address: String, secret: String| {
            text +=
                &format!("[[client]]\nname = \"{name}\"\nnetwork = \"{address}\"\nsecret = \"{secret}\"\n");
        };
        for n in 0..UNCHANGED {
            client(format!("unchanged-{n}"), format!("127.1.0.{}", n + 1), unchanged_secret(Kind::Listed, n));
        }
        for group in [self.added(), self.changed()] {
            for n in 0..GROUP {
                let address = address(Kind::Listed, group, n);
                client(name(group, n), address, self.secret(Kind::Listed, group, n));
            }
        }
        text
    }

    fn table(self) -> String {
        let line = |name: String, secret: String| format!("\"{name}\" = {{ secret = \"{secret}\" }}\n");
        let unchanged =
            (0..UNCHANGED).map(|n| line(format!("unchanged-{n}"), unchanged_secret(Kind::Keyed, n)));
        let groups = [self.added(), self.changed()].into_iter().flat_map(|group| {
            (0..GROUP).map(move |n| line(name(group, n), self.secret(Kind::Keyed, group, n)))
        });
        unchanged.chain(groups).collect()
    }

    /// A NAS of a group with the secret that it has in this round.
    fn site(self, ulna: &Ulna, kind: Kind, group: usize, n: usize) -> Site {
        let local = format!("{}:0", address(kind, group, n));
        Site::new(&local, ulna.addresses[0], &name(group, n), &self.secret(kind, group, n))
    }
}

/// A running server and the files that it reads.
struct Scene {
    ulna: Ulna,
    configuration: PathBuf,
    table: PathBuf,
}

impl Scene {
    fn start(configuration: &str, table: &str) -> Scene {
        let path = file("ulna.toml", configuration);
        let table_path = path.with_file_name("sites.toml");
        std::fs::write(&table_path, table).expect("it can be written");
        let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")]);
        Scene { ulna, configuration: path, table: table_path }
    }

    /// Has the server load this, and waits until it is in force.
    fn reload(&self, configuration: &str) {
        std::fs::write(&self.configuration, configuration).expect("it can be written");
        let from = self.ulna.stderr().len();
        self.ulna.signal("HUP");
        self.ulna.wait_for(from, IN_FORCE, |said| said.contains(IN_FORCE).then_some(()));
    }

    /// Writes the table, which is watched, and waits until so many keys of it are others.
    fn change_table(&self, table: &str, changed: usize) {
        let from = self.ulna.stderr().len();
        replace(&self.table, table);
        let says = format!("keys have changed changed={changed}\n");
        self.ulna.wait_for(from, &says, |said| said.contains(&says).then_some(()));
    }
}

/// As editors do: beside it, and then under its name.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("it can be written");
    std::fs::rename(&next, path).expect("it can be renamed");
}

fn ask(site: &Site, user: &str, password: &str) -> Code {
    let sent = site.send(user, password);
    let reply = site.receive_within(PATIENCE).expect("a reply comes");
    site.code(&sent, &reply).expect("it answers what was asked")
}

/// NASes that never change and ask without end.
struct Load {
    end: Sender<()>,
    thread: JoinHandle<Asked>,
}

/// What came of it.
#[derive(Debug, Default)]
struct Asked {
    sent: u64,
    lost: u64,
    slowest: Duration,
}

impl Load {
    fn start(sites: Vec<Site>) -> Load {
        let (end, is_over) = channel();
        Load { end, thread: std::thread::spawn(move || keep_asking(&sites, &is_over)) }
    }

    fn stop(self) -> Asked {
        let Load { end, thread } = self;
        drop(end);
        thread.join().expect("every reply verifies and accepts")
    }
}

/// Each request is sent once.
fn keep_asking(sites: &[Site], is_over: &Receiver<()>) -> Asked {
    let mut asked = Asked::default();
    while is_over.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        let sent: Vec<Sent> = sites.iter().map(|site| site.send("bob", PASSWORD)).collect();
        asked.sent += sent.len() as u64;
        for (site, sent) in sites.iter().zip(sent) {
            match site.receive_within(LOST_AFTER) {
                Some(reply) => {
                    assert_eq!(site.code(&sent, &reply), Some(Code::AccessAccept));
                    asked.slowest = asked.slowest.max(sent.at.elapsed());
                }
                None => asked.lost += 1,
            }
        }
    }
    asked
}

/// A request that was taken and has no answer yet.
struct UnderWay {
    site: Site,
    sent: Sent,
    expected: Code,
}

/// Has the server begun with a request that takes a while: what a NAS sends from one port is taken in that order, and what it
/// sent next has been answered. `None` if this one has, too.
fn begin(site: Site, user: &str, password: &str, expected: Code) -> Option<UnderWay> {
    assert_eq!(ask(&site, "bob", PASSWORD), Code::AccessAccept);
    let sent = site.send(user, password);
    let next = site.send("bob", PASSWORD);
    let mut is_early = false;
    loop {
        let reply = site.receive_within(PATIENCE).expect("a reply comes");
        if let Some(code) = site.code(&next, &reply) {
            assert_eq!(code, Code::AccessAccept);
            return (!is_early).then_some(UnderWay { site, sent, expected });
        }
        assert_eq!(site.code(&sent, &reply), Some(expected));
        is_early = true;
    }
}

impl UnderWay {
    /// Whether its answer has not come. If it has, it is right, and so it is when it comes.
    fn is_still(&self) -> bool {
        match self.site.receive_within(Duration::ZERO) {
            Some(reply) => {
                assert_eq!(self.site.code(&self.sent, &reply), Some(self.expected));
                false
            }
            None => true,
        }
    }

    fn end(self) {
        let reply = self.site.receive_within(PATIENCE).expect("a reply comes");
        assert_eq!(self.site.code(&self.sent, &reply), Some(self.expected));
    }
}

/// Requests of clients that are about to change or go.
fn begin_all(ulna: &Ulna, before: Round, round: Round) -> Vec<UnderWay> {
    let mut all = Vec::new();
    for kind in KINDS {
        for group in [round.changed(), round.absent()] {
            // Others than those that are asked for when it is done.
            let site = |n: usize| before.site(ulna, kind, group, GROUP - 1 - n);
            all.extend((0..2).filter_map(|n| begin(site(n), "bob", WRONG_PASSWORD, Code::AccessReject)));
            all.extend((2..4).filter_map(|n| begin(site(n), "alice", ALICES_PASSWORD, Code::AccessAccept)));
        }
    }
    all
}

/// Discards by reason that there are to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Discarded {
    unknown: u64,
    denied: u64,
    wrong: u64,
}

#[test]
fn clients_come_change_and_go_by_the_thousand_and_nobody_else_notices() {
    for threads in ["network_threads = 0\nworkers = 2", "network_threads = 2\nworkers = 2"] {
        clients_come_change_and_go(threads);
    }
}

fn clients_come_change_and_go(threads: &str) {
    let first = Round(0);
    let scene = Scene::start(&first.configuration(threads), &first.table());
    let ulna = &scene.ulna;
    let unchanged = |kind: Kind| {
        let site = |n: usize| {
            let local = match kind {
                Kind::Listed => format!("127.1.0.{}:0", n + 1),
                Kind::Keyed => "127.2.0.1:0".into(),
            };
            Site::new(&local, ulna.addresses[0], &format!("unchanged-{n}"), &unchanged_secret(kind, n))
        };
        (0..UNCHANGED).map(site).collect()
    };
    let loads = KINDS.map(|kind| Load::start(unchanged(kind)));
    let (mut under_way, mut rejects, mut hashes) = (Vec::new(), 0, 0);
    let mut expected = Discarded::default();
    for round in (1..=ROUNDS).map(Round) {
        let before = Round(round.0 - 1);
        // Connections of before: what becomes of a port whose client has another secret or is gone.
        let old_ports: Vec<(Kind, usize, usize, Site)> = KINDS
            .into_iter()
            .flat_map(|kind| [(kind, round.changed()), (kind, round.absent())])
            .flat_map(|(kind, group)| (0..SAMPLES).map(move |n| (kind, group, n)))
            .map(|(kind, group, n)| (kind, group, n, before.site(ulna, kind, group, n)))
            .collect();
        for (.., site) in &old_ports {
            assert_eq!(ask(site, "bob", PASSWORD), Code::AccessAccept);
        }
        let begun = begin_all(ulna, before, round);
        if round.0.is_multiple_of(2) {
            scene.change_table(&round.table(), 3 * GROUP);
        } else {
            // A reload reads it as well, whoever is first.
            replace(&scene.table, &round.table());
        }
        scene.reload(&round.configuration(threads));
        for request in begun {
            if request.is_still() {
                *if request.expected == Code::AccessReject { &mut rejects } else { &mut hashes } += 1;
                under_way.push(request);
            }
        }
        // The old secret is over, from the old port and from another.
        for (kind, group, n, site) in old_ports {
            site.send("bob", PASSWORD);
            before.site(ulna, kind, group, n).send("bob", PASSWORD);
            *if group == round.changed() {
                &mut expected.wrong
            } else if kind == Kind::Keyed {
                &mut expected.denied
            } else {
                &mut expected.unknown
            } += 2;
            if group == round.changed() {
                let site = site.with_secret(&round.secret(kind, group, n));
                assert_eq!(ask(&site, "bob", PASSWORD), Code::AccessAccept);
            }
        }
        for kind in KINDS {
            for n in 0..SAMPLES {
                let site = round.site(ulna, kind, round.added(), n);
                assert_eq!(ask(&site, "bob", PASSWORD), Code::AccessAccept);
            }
        }
        ulna.wait_for_counters("old secrets are discarded by name", |counters| {
            let of = |reason: &str| counters.get(&format!("discarded {reason}")).copied().unwrap_or_default();
            let seen = Discarded {
                unknown: of("unknown-client"),
                denied: of("client-denied"),
                wrong: of("bad-message-authenticator"),
            };
            assert!(
                seen.unknown <= expected.unknown
                    && seen.denied <= expected.denied
                    && seen.wrong <= expected.wrong
            );
            seen == expected
        });
    }
    under_way.into_iter().for_each(UnderWay::end);
    let [listed, keyed] = loads.map(Load::stop);
    let counters = ulna.counters();
    eprintln!(
        "{listed:?}, {keyed:?}; under way when their clients changed: {rejects} delayed rejects, {hashes} checks of digests"
    );
    assert!(listed.sent > 1_000 && keyed.sent > 1_000, "there was no load");
    // One that the kernel had no room for was never the server's.
    assert!(
        listed.lost + keyed.lost <= counters["kernel_drops"],
        "a request of an unchanged client was lost"
    );
    assert!(rejects > 0 && hashes > 0, "nothing was under way");
    let reasons = ["look-up-limit", "clients-full", "connections-full", "held-full", "replayed", "too-old"];
    for reason in reasons {
        assert_eq!(counters.get(&format!("discarded {reason}")), None, "{counters:#?}");
    }
    assert_eq!((counters["lost_wakeups"], counters["duplicates_resent"]), (0, 0));
    // Who never changes was looked up once. Of the others, in each round: old ports and those with something under way, old
    // ports again under their new secret, and those that came.
    let others = 2 * SAMPLES + 2 * 4 + SAMPLES + SAMPLES;
    assert_eq!(counters["connections_admitted"], (UNCHANGED + ROUNDS * others) as u64);
    let ended = scene.ulna.stop();
    assert!(!ended.stderr.contains("secret-of-") && !ended.stderr.contains("unchanged-secret"));
}

#[test]
fn who_still_has_the_old_of_two_secrets_is_told_once() {
    let (old, new) = ("the-old-secret-of-all", "the-new-secret-of-all");
    let configuration = |secrets: &str| {
        format!(
            "{SETTINGS}[[client]]\nname = \"listed\"\nnetwork = \"127.1.0.1\"\nsecret = {secrets}\n\
             [[client]]\nname = \"unasked\"\nnetwork = \"127.1.0.2\"\nsecret = {secrets}\n"
        )
    };
    let table = |secrets: &str| {
        format!("\"keyed\" = {{ secret = {secrets} }}\n\"unasked-too\" = {{ secret = {secrets} }}\n")
    };
    let (one, both, other) = (format!("\"{old}\""), format!("[\"{new}\", \"{old}\"]"), format!("\"{new}\""));
    let scene = Scene::start(&configuration(&one), &table(&one));
    let ulna = &scene.ulna;
    let nases = |secret: &str| {
        [("127.1.0.1:0", "listed"), ("127.2.0.1:0", "keyed")]
            .map(|(local, name)| Site::new(local, ulna.addresses[0], name, secret))
    };
    let before = nases(old);
    let accepted = |sites: &[Site]| sites.iter().all(|site| ask(site, "bob", PASSWORD) == Code::AccessAccept);
    assert!(accepted(&before));
    scene.change_table(&table(&both), 2);
    scene.reload(&configuration(&both));
    for _ in 0..5 {
        // From the port of before, and from others.
        assert!(accepted(&before) && accepted(&nases(old)) && accepted(&nases(new)));
    }
    let told = |client: &str| ulna.stderr().matches(&format!("old-secret client={client} ")).count();
    ulna.wait_for_counters("two are told of", |counters| {
        counters["clients_by_old_secret"] == 2 && counters["verified_by_old_secret"] == 20
    });
    ulna.wait_for(0, "the lines", |said| (said.matches("old-secret").count() >= 2).then_some(()));
    assert_eq!((told("listed"), told("\"keyed\"")), (1, 1), "{}", ulna.stderr());
    scene.change_table(&table(&other), 2);
    scene.reload(&configuration(&other));
    for site in nases(old).iter().chain(&before) {
        site.send("bob", PASSWORD);
    }
    assert!(accepted(&nases(new)) && accepted(&before.map(|site| site.with_secret(new))));
    ulna.wait_for_counters("the old one is over", |counters| {
        counters.get("discarded bad-message-authenticator") == Some(&4)
    });
    assert_eq!(ulna.counters()["clients_by_old_secret"], 2);
    let ended = scene.ulna.stop();
    assert_eq!(ended.stderr.matches("old-secret").count(), 2, "{}", ended.stderr);
    assert!(!ended.stderr.contains(old) && !ended.stderr.contains(new));
}
