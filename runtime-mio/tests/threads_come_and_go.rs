//! Under load workers are killed, hired and dismissed, network threads panic, and sockets of the server's port come and go:
//! everybody is answered, nothing is decided twice, and no flow changes its owner.
//!
//! `ULNA_KILL_SECONDS` says how long the first of these goes on; the suite takes a few seconds, the night ten minutes.

mod support;

use std::collections::HashMap;
use std::env;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::{Nas, assert_all_is_accounted_for, configuration, start};
use ulna_core::WorkerId;
use ulna_core::packet::Landmark;
use ulna_core::path::{NetworkId, Peer};
use ulna_core::policy::{Asked, Decision, Policy, PolicyFactory, Verdict, configured_rules};
use ulna_runtime_mio::{Server, join_udp};

/// Lets all in, and counts how often it has decided for each name.
struct Counting(Arc<Mutex<HashMap<Vec<u8>, u32>>>);

impl Policy for Counting {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let name = asked.framed.value(Landmark::UserName).unwrap_or_default().to_vec();
        *self.0.lock().expect("no panic under it").entry(name).or_default() += 1;
        Verdict::plain(Decision::Accept)
    }
}

/// After so many seconds memory for replies has been filled.
const WARM: u64 = 15;

/// So often workers and sockets come and go.
const ROUNDS: usize = 32;

/// What a crowd of NASes did.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    sent: AtomicU64,
    longest_us: AtomicU64,
}

/// So many NASes in so many threads ask one after the other, each under the name of its thread, place and round, while
/// `meanwhile` runs.
fn under_load(
    server: SocketAddr,
    threads: usize,
    nases: usize,
    patience: Duration,
    name: impl Fn(usize, usize, u64) -> String + Sync,
    meanwhile: impl FnOnce(&Tally),
) -> Tally {
    let (tally, ends) = (Tally::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for crowd in 0..threads {
            let (tally, ends, name) = (&tally, &ends, &name);
            scope.spawn(move || {
                let mut nases: Vec<_> = (0..nases).map(|_| Nas::new(server, patience)).collect();
                let mut round = 0_u64;
                while !ends.load(Ordering::Relaxed) {
                    for (place, nas) in nases.iter_mut().enumerate() {
                        let began = Instant::now();
                        let sent = nas.ask(name(crowd, place, round).as_bytes());
                        let took = began.elapsed().as_micros() as u64;
                        tally.asked.fetch_add(1, Ordering::Relaxed);
                        tally.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
                        tally.longest_us.fetch_max(took, Ordering::Relaxed);
                    }
                    round += 1;
                }
            });
        }
        // Also if it panics: or the crowd would ask for ever.
        struct Ends<'e>(&'e AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&ends);
        meanwhile(&tally);
    });
    tally
}

fn sum(server: &Server, name: &str) -> u64 {
    server.report().sum(name).unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// What it took for a request that it had already.
fn duplicates(server: &Server) -> u64 {
    sum(server, "duplicates_resent") + sum(server, "duplicates_in_progress")
}

/// Resident memory of this process in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has this line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn a_worker_killed_each_second_costs_what_it_held_and_nothing_else() {
    let seconds: u64 =
        env::var("ULNA_KILL_SECONDS").map_or(5, |text| text.parse().expect("a number of seconds"));
    for (runtime, workers) in
        [("network_threads = 2\nworkers = 3", 3), ("network_threads = 0\nworkers = 2", 2)]
    {
        let server = start(runtime, &configured_rules());
        let supervisor = server.supervisor();
        let address = server.addresses().next().expect("it listens");
        let mut before = 0;
        // Each second one waits for its password to be hashed: those are what a worker holds when it is killed.
        let name = |crowd, place, round| {
            if place % 2 == 0 { "alice".into() } else { format!("{crowd}-{place}-{round}") }
        };
        let tally = under_load(address, 4, 8, Duration::from_secs(2), name, |_| {
            for second in 0..seconds {
                thread::sleep(Duration::from_secs(1));
                supervisor.panic_thread(Peer::Worker(WorkerId((second % workers) as u16)));
                if second == WARM {
                    before = resident();
                }
            }
        });
        let grown = resident().saturating_sub(before);
        let [asked, sent, longest] =
            [&tally.asked, &tally.sent, &tally.longest_us].map(|count| count.load(Ordering::Relaxed));
        assert_all_is_accounted_for(&server);
        let (deaths, orphaned) = (sum(&server, "deaths"), sum(&server, "orphaned"));
        println!(
            "{runtime:?}: {seconds} s, {asked} requests, {} retransmissions, {deaths} workers killed with {orphaned} requests, \
             longest answer {} ms, {} KiB more resident",
            sent - asked,
            longest / 1000,
            grown / 1024
        );
        assert!(deaths + 1 >= seconds, "{deaths}");
        assert!(orphaned > 0, "none was killed with a request");
        assert!(longest < 30_000_000);
        let lost = sent - asked - duplicates(&server);
        assert!(lost <= orphaned, "{lost} requests were lost, {orphaned} orphans");
        assert_eq!(sum(&server, "answered") + orphaned, sum(&server, "accepted"));
        // Replies are kept for ten seconds; before that memory is still being filled. Later, what died is made anew, and the
        // heap keeps some slack.
        assert!(seconds <= 2 * WARM || grown < 8 << 20, "{grown} octets");
        server.exit();
    }
}

#[test]
fn no_flow_changes_its_owner_and_nothing_is_decided_twice() {
    let decided = Arc::new(Mutex::new(HashMap::new()));
    let policies: Arc<PolicyFactory> = {
        let decided = Arc::clone(&decided);
        Arc::new(move |_, _, _| Box::new(Counting(Arc::clone(&decided))))
    };
    let server = start("network_threads = 3\nworkers = 2", &policies);
    let (supervisor, reloader) = (server.supervisor(), server.reloader());
    let address = server.addresses().next().expect("it listens");
    let reload = |workers: usize| {
        let mut configuration = configuration(&format!("network_threads = 3\nworkers = {workers}"));
        // The port that port 0 stood for at the start.
        configuration.listeners[0].address.set_port(0);
        reloader.put_in_force(configuration).expect("it runs");
        assert_eq!(reloader.settle().expect("it runs"), Some(workers));
        assert_eq!(supervisor.workers(), workers);
    };
    let mut in_gaps = 0;
    let name = |crowd, place, round| format!("{crowd}-{place}-{round}");
    let tally = under_load(address, 3, 100, Duration::from_millis(250), name, |tally| {
        let rounds = [4, 1, 3, 5, 2, 1, 4, 2].into_iter().cycle().take(ROUNDS);
        for (round, workers) in rounds.enumerate() {
            // Sockets of the same port, connected to somewhere else, as a connection with one of its own would have.
            let others: Vec<_> = (0..100)
                .map(|port| {
                    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 9 + port));
                    let bound = join_udp(address, 65_536).expect("the port takes more sockets");
                    bound.socket.connect(elsewhere).expect("an address of this machine");
                    bound
                })
                .collect();
            reload(workers);
            if round == ROUNDS / 2 {
                supervisor.panic_thread(Peer::Network(NetworkId(1)));
            }
            // Between its bind and its connect a socket takes what comes to the port from anywhere: whoever has such sockets
            // has to look for that in them.
            for other in others {
                while other.socket.recv(&mut [0; 4096]).is_ok() {
                    in_gaps += 1;
                }
            }
            reload(workers + 1);
            let enough = tally.asked.load(Ordering::Relaxed) + 300;
            while tally.asked.load(Ordering::Relaxed) < enough {
                thread::yield_now();
            }
        }
    });
    assert_all_is_accounted_for(&server);
    let asked = tally.asked.load(Ordering::Relaxed);
    let sent = tally.sent.load(Ordering::Relaxed);
    println!(
        "{asked} requests of 300 flows, {} changes of workers, {ROUNDS} times 100 sockets; {in_gaps} datagrams came to those, \
         {} retransmissions",
        2 * ROUNDS,
        sent - asked
    );
    assert_eq!(sum(&server, "deaths"), 1);
    assert_eq!(sum(&server, "strays_sent"), 0, "each flow was read by its owner alone");
    let decided = decided.lock().expect("no panic under it");
    assert_eq!(decided.len() as u64, asked);
    assert!(decided.values().all(|times| *times == 1), "decided once each");
    // A NAS that was too impatient has sent what the server then took for a duplicate.
    assert_eq!(sent - asked, in_gaps + duplicates(&server), "nothing else was lost");
    server.exit();
}
