//! Under load workers are hired and dismissed, network threads panic, and sockets of the server's port come and go: everybody is
//! answered, nothing is decided twice, and no flow changes its owner.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::crowd::{duplicates, sum, under_load};
use support::{assert_all_is_accounted_for, configuration, start};
use ulna_core::packet::Landmark;
use ulna_core::path::{NetworkId, Peer};
use ulna_core::policy::{Asked, Decision, Policy, PolicyFactory, Verdict};
use ulna_runtime_mio::join_udp;

/// Lets all in, and counts how often it has decided for each name.
struct Counting(Arc<Mutex<HashMap<Vec<u8>, u32>>>);

impl Policy for Counting {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let name = asked.framed.value(Landmark::UserName).unwrap_or_default().to_vec();
        *self.0.lock().expect("no panic under it").entry(name).or_default() += 1;
        Verdict::plain(Decision::Accept)
    }
}

/// So often workers and sockets come and go.
const ROUNDS: usize = 32;

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
