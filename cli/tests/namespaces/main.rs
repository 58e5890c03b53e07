//! Clients behind a real NAT: network namespaces and nftables' masquerade, fifty NASes with the same inside source port
//! behind one address, static clients beside them. A script of its own judges every captured reply.
//!
//! Needs root and the packages of `scripts/install-peers`. Where those are missing the tests fail:
//!
//! ```text
//! cargo test --profile ci -p ulna --test namespaces -- --nocapture
//! ```
//!
//! `ULNA_FLOOD_SECONDS` is how long a flood lasts (5), `ULNA_FLOOD_PER_SECOND` how many datagrams it sends (50000).

mod bench;
mod capture;
mod flood;
mod nas;
mod net;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddrV4};
use std::process::Command;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench::{
    ALONE, Answers, Bench, Clients, INSIDE_PORT, SITES, SITES_TO_COME, TABLES_OCTETS_MAX, differences,
};
use capture::Evidence;
use flood::{Flood, Kind, Sent, Sibling};
use nas::Nas;
use net::{Family, Topology};

const TABLE: Clients = Clients::Rule { connected: false };
const CONNECTED: Clients = Clients::Rule { connected: true };

#[test]
fn static_clients_behind_a_nat_ipv4() {
    each_gets_its_own_answers(Clients::Static, Family::V4);
}

#[test]
fn static_clients_behind_a_nat_ipv6() {
    each_gets_its_own_answers(Clients::Static, Family::V6);
}

#[test]
#[ignore = "client rules are not served yet"]
fn clients_of_a_rule_behind_a_nat_ipv4() {
    each_gets_its_own_answers(TABLE, Family::V4);
}

#[test]
#[ignore = "client rules are not served yet"]
fn clients_of_a_rule_behind_a_nat_ipv6() {
    each_gets_its_own_answers(TABLE, Family::V6);
}

#[test]
#[ignore = "client rules are not served yet"]
fn connected_clients_of_a_rule_behind_a_nat_ipv4() {
    each_gets_its_own_answers(CONNECTED, Family::V4);
}

#[test]
#[ignore = "client rules are not served yet"]
fn connected_clients_of_a_rule_behind_a_nat_ipv6() {
    each_gets_its_own_answers(CONNECTED, Family::V6);
}

#[test]
fn a_flood_beside_static_clients_behind_a_nat() {
    siblings_are_served_during_a_flood(Clients::Static);
}

#[test]
#[ignore = "client rules are not served yet"]
fn a_flood_beside_clients_of_a_rule_behind_a_nat() {
    siblings_are_served_during_a_flood(TABLE);
}

#[test]
#[ignore = "client rules are not served yet"]
fn a_flood_beside_connected_clients_of_a_rule_behind_a_nat() {
    siblings_are_served_during_a_flood(CONNECTED);
}

#[test]
fn leftovers_of_a_killed_run_are_removed_and_nothing_else() {
    let Some(_alone) = alone() else { return };
    let mut gone = Command::new("true").spawn().expect("there is such a program");
    assert!(gone.wait().expect("it is our child").success());
    let (left, own) = (net::leftover(gone.id()), net::leftover(std::process::id()));
    let mut orphan = net::command_in(&left, "sleep").arg("1000").spawn().expect("it was made");
    net::remove_leftovers();
    let (left, own_is_left) = (net::exists(&left), net::exists(&own));
    net::remove(&own);
    assert!(!left && own_is_left);
    assert!(!orphan.wait().expect("it is our child").success(), "what lived in it has been ended");
}

/// First each from a port of the NAT's choice; then ports are fixed, swapped between pairs while nobody asks, and
/// forgotten; then the same under requests in progress.
fn each_gets_its_own_answers(clients: Clients, family: Family) {
    let Some(_alone) = alone() else { return };
    println!("{clients:?}, {family:?}");
    let mut bench = Bench::new(clients, family);
    bench.ask(10, EVERY).assert_all("masquerade");
    let masqueraded = bench.topology.outside_ports();
    assert_eq!(masqueraded.len(), usize::from(SITES), "all are behind it: {masqueraded:?}");

    for (what, swapped) in [("ports fixed", false), ("ports swapped", true), ("and back", false)] {
        move_ports(&bench.topology, swapped);
        bench.ask(3, EVERY).assert_all(what);
    }
    let mut swapped = false;
    for what in ["swapped under requests", "and back", "and again"] {
        swapped = !swapped;
        let answers = bench.ask_during(10, EVERY, |topology| move_ports(topology, swapped));
        answers.assert_all(what);
    }
    bench.topology.flush();
    bench.ask(3, EVERY).assert_all("forgotten");

    let evidence = bench.evidence(Vec::new());
    let account = bench.verify(&evidence);
    the_judge_finds_faults(&evidence);
    evidence.discard();
    for number in 1..=SITES {
        let ports = account["ports"][format!("site-{number}")].as_array().expect("it asked");
        let [own, other] = [false, true].map(|swapped| outside_port(number, swapped));
        let moved: Vec<_> = ports[1..].iter().map(|port| port.as_u64().expect("a port")).collect();
        let expected = [own, other, own, other, own, other].map(u64::from);
        assert_eq!(moved, expected, "site-{number} was seen from the ports that it was given");
    }
    let counters = bench.ulna.counters();
    println!("  {}", of_server(&counters));
    assert_eq!(counters["deaths"], 0);
    bench.ulna.stop();
}

/// The same captures with something wrong in each: a judge that finds nothing would prove nothing.
fn the_judge_finds_faults(evidence: &Evidence) {
    let find = |altered: &Evidence, fault: &str| {
        let faults = altered.judge().expect_err(fault);
        assert!(faults.contains(fault), "{fault:?} is not among\n{faults}");
    };
    let mut altered = evidence.clone();
    let neighbour = altered.witnesses.len() - 1;
    let (behind, beside) = altered.witnesses.split_at_mut(neighbour);
    std::mem::swap(&mut behind[6].secret, &mut beside[0].secret);
    find(&altered, "not a request that its NAS signed");
    find(&altered, "its request's answer under another's secret");
    find(&altered, "but not under its secret alone");

    // From the end, where no ports are moved any more: a reply of other octets, and none at all.
    let octets = std::fs::read(&evidence.inside).expect("it is still there");
    let accept = session_timeout_of_last_reply(&octets);
    let mut other = octets.clone();
    other[accept] ^= 1;
    altered = evidence.clone();
    altered.inside = support::file("altered.pcap", "");
    std::fs::write(&altered.inside, other).expect("it was just made");
    find(&altered, "verifies for no request of its receiver");
    find(&altered, "no answer");
}

/// Where the capture has its last octet.
fn session_timeout_of_last_reply(octets: &[u8]) -> usize {
    let attribute = [27, 6, 0, 0];
    let found = octets.windows(4).rposition(|window| window == attribute);
    found.expect("somebody was answered") + 5
}

/// By one who knows no secret, from the same address.
fn siblings_are_served_during_a_flood(clients: Clients) {
    let Some(_alone) = alone() else { return };
    println!("{clients:?}");
    let mut bench = Bench::new(clients, Family::V4);
    let per_second = setting("ULNA_FLOOD_PER_SECOND", 50_000);
    let seconds = setting("ULNA_FLOOD_SECONDS", 5);
    move_ports(&bench.topology, false);
    bench.ask(5, EVERY).assert_all("first");
    let times = u32::try_from(seconds * 1000 / 100).expect("not for days");
    let calm = bench.ask(times, EVERY);
    calm.assert_all("calm");

    let mut captured = BTreeMap::new();
    for nas in &mut bench.behind {
        let requests: Vec<_> = (0..4).map(|_| nas.next_request()).collect();
        for request in &requests {
            assert!(nas.ask_with(request).answered_after.is_some(), "calm");
        }
        captured.insert(nas.local.ip(), requests);
    }
    let outside_ports = bench.topology.outside_ports();
    let sibling = |nas: &Nas| {
        let ip = nas.local.ip();
        let port = outside_ports.iter().find(|(inside, _)| *inside == ip).expect("it has just asked").1;
        Sibling { site: nas.site.clone(), outside_port: port, captured: captured[&ip].clone() }
    };
    let siblings: Vec<_> = bench.behind.iter().map(sibling).collect();
    let (IpAddr::V4(nat), IpAddr::V4(server)) = (Family::V4.nat(), Family::V4.server()) else {
        unreachable!("it is IPv4")
    };
    let server = SocketAddrV4::new(server, 1812);
    let mut flood = Flood::new(&bench.topology.nat, nat, server, &siblings);

    // What is forged changes nothing at all: exactly the requests of the NASes are accepted.
    let before = bench.ulna.counters();
    let (answers, newcomer, sent) = during(&mut bench, clients, 1, &mut flood, &Kind::FORGED, per_second, 20);
    answers.assert_all("forged");
    let after = bench.ulna.counters();
    let by = differences(&before, &after);
    println!("  forged: {sent:?}, {:.0}/s; {}", sent.per_second(), of_server(&by));
    assert_eq!(by.get("accepted").copied(), Some(i128::from(answers.len()) + 1), "what is forged");
    let mut newcomers = vec![newcomer];

    let kinds = [&Kind::FORGED[..], &Kind::REPLAYED[..]].concat();
    let before = after;
    let memory_before = bench.ulna.memory_kibibytes();
    let (answers, newcomer, sent) = during(&mut bench, clients, 2, &mut flood, &kinds, per_second, times);
    answers.assert_all("flood");
    newcomers.push(newcomer);
    let memory_after = bench.ulna.memory_kibibytes();
    let after = bench.ulna.counters();
    println!("  flood: {sent:?}, {:.0}/s; {}", sent.per_second(), of_server(&differences(&before, &after)));
    println!(
        "  resident, KiB: {} before, {} after, {} at most",
        memory_before[0], memory_after[0], memory_after[1]
    );
    let grown = (memory_after[1] - memory_before[0]) * 1024;
    assert!(grown <= TABLES_OCTETS_MAX, "{grown} octets more, at most {TABLES_OCTETS_MAX}");
    assert!(sent.per_second() >= 0.95 * per_second as f64, "the machine is too slow for such a flood");
    assert_eq!(sent.refused, 0);
    let [calm, flooded] = [&calm, &answers].map(|answers| answers.quantile(0.99));
    assert!(
        flooded <= calm * 2 + Duration::from_millis(1),
        "p99 {flooded:?} during the flood, {calm:?} before"
    );

    let evidence = bench.evidence(newcomers);
    bench.verify(&evidence);
    evidence.discard();
    bench.ask(2, EVERY).assert_all("after it");
    assert_eq!(bench.ulna.counters()["deaths"], 0);
    bench.ulna.stop();
}

/// All ask so many times while the flood runs, and in its midst somebody new, who has to be answered in time.
fn during(
    bench: &mut Bench,
    clients: Clients,
    number: u16,
    flood: &mut Flood,
    kinds: &[Kind],
    per_second: u64,
    times: u32,
) -> (Answers, Nas, Sent) {
    let stop = AtomicBool::new(false);
    let mut newcomer = bench.newcomer(clients, number);
    std::thread::scope(|scope| {
        let stop = &stop;
        let flooding = scope.spawn(move || flood.run(kinds, per_second, stop));
        let half = EVERY * times / 2;
        let coming = scope.spawn(move || {
            std::thread::park_timeout(half);
            let began = Instant::now();
            let outcome = newcomer.ask();
            (newcomer, outcome, began.elapsed())
        });
        let answers = bench.ask(times, EVERY);
        let (newcomer, outcome, took) = coming.join().expect("it only asks");
        stop.store(true, Ordering::Relaxed);
        let sent = flooding.join().expect("it only sends");
        println!("  somebody new: {outcome:?}");
        assert!(outcome.answered_after.is_some() && took < Duration::from_secs(5), "{outcome:?}");
        (answers, newcomer, sent)
    })
}

/// Fixes the outside port of each, its own or that of the other of its pair, and has the NAT forget what it tracks.
fn move_ports(topology: &Topology, swapped: bool) {
    let ports = (1..=SITES + SITES_TO_COME)
        .map(|number| (topology.family.inside(number), INSIDE_PORT, outside_port(number, swapped)));
    topology.fix_ports(&ports.collect::<Vec<_>>());
    topology.flush();
}

fn outside_port(number: u16, swapped: bool) -> u16 {
    30_000 + if swapped { ((number - 1) ^ 1) + 1 } else { number }
}

/// The right to have the machine's namespaces, or `None` where it is to be done without.
fn alone() -> Option<std::sync::MutexGuard<'static, ()>> {
    // One that has panicked has removed what it made.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    match net::is_possible() {
        Ok(()) => Some(alone),
        Err(why) => {
            support::without_peer(&why);
            None
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok().map(|value| value.parse());
    set.map_or(default, |value| value.unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Those counters that are not one thread's, nor 0.
fn of_server<T: Default + PartialEq + Display>(counters: &BTreeMap<String, T>) -> String {
    let some =
        counters.iter().filter(|(name, value)| **value != T::default() && !name.starts_with("thread "));
    some.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// From one request of a NAS to its next.
const EVERY: Duration = Duration::from_millis(100);
