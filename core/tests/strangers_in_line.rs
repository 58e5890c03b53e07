//! Many who come at once: their packets wait in a bounded line of their own for room at the worker that is asked, and take nobody's
//! place who is known.

mod support;

use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Server, USERS, nas};
use ulna_core::Discard;
use ulna_core::packet::number;
use ulna_core::path::{NetworkId, Peer, WorkerId};

const SECRET: &[u8] = b"the secret of site one";
/// A ring that half of a few dozen fill, and a line for a quarter of `requests_max`.
const LAYOUTS: [&str; 3] = [
    "[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 64\n",
    "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 64\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 3\nring_slots = 64\n",
];
const NEWCOMERS: u16 = 200;

fn server(layout: &str, requests_max: usize) -> Server {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let rule = format!(
        "{USERS}\n[[client_rule]]\nname = \"branches\"\nnetwork = \"100.64.0.0/10\"\nnat = true\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n\
         limits = {{ connections_per_client = 1000 }}\n"
    );
    let mut server = Server::new(&format!("{layout}requests_max = {requests_max}\n"), &rule);
    // Its secret is known from here on.
    server.ask(nat(0), &newcomer(0));
    while !server.effects.is_empty() {
        server.look_up();
    }
    assert_eq!(server.count("connections"), 1);
    server.take_sent();
    server
}

fn nat(number: u16) -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 1], 10_000 + number))
}

fn newcomer(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    Ask::bob()
        .with(number::NAS_IDENTIFIER, b"site-1")
        .under(SECRET)
        .identifier(low)
        .authenticator(high)
        .octets()
}

/// All of them are read in one turn of each thread.
fn all_at_once(server: &mut Server) {
    server.threads.iter_mut().for_each(|cores| cores.begin());
    for number in 1..=NEWCOMERS {
        server.datagram(nat(number), &newcomer(number));
    }
}

/// The rest of that turn, and all that follows.
fn go_on(server: &mut Server) {
    for thread in 0..server.threads.len() {
        server.finish_turn(thread);
    }
    server.settle();
}

#[test]
fn who_comes_with_many_others_is_let_in_at_the_first_try() {
    for layout in LAYOUTS {
        let mut server = server(layout, 1024);
        all_at_once(&mut server);
        assert_eq!(server.count("strangers"), u64::from(NEWCOMERS), "all of them wait");
        server.assert_sums();
        go_on(&mut server);
        let sent = server.take_sent();
        assert_eq!(sent.len(), usize::from(NEWCOMERS), "{}", server.table());
        assert_eq!(server.count("connections"), u64::from(NEWCOMERS) + 1);
        assert_eq!(server.discarded(Discard::StrangersFull), 0);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn who_has_waited_too_long_is_discarded_and_let_in_when_he_comes_again() {
    for layout in LAYOUTS {
        let mut server = server(layout, 1024);
        all_at_once(&mut server);
        // All threads stand still, for longer than any new request may wait.
        server.now += Duration::from_millis(1_001);
        go_on(&mut server);
        assert_eq!(server.take_sent().len(), 0, "{}", server.table());
        // A turn's share was with the worker by then: those may speak from now on, and are told nothing.
        let networks = if layout == LAYOUTS[2] { 2 } else { 1 };
        let admitted = server.discarded(Discard::WaitedTooLong);
        assert!(admitted <= 8 * networks, "{}", server.table());
        assert_eq!(server.count("connections"), 1 + admitted);
        assert_eq!(server.discarded(Discard::StrangerWaited), u64::from(NEWCOMERS) - admitted);
        assert_eq!(server.count("strangers"), 0);
        server.assert_sums();
        all_at_once(&mut server);
        go_on(&mut server);
        assert_eq!(server.take_sent().len(), usize::from(NEWCOMERS), "{}", server.table());
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn no_more_wait_than_may_and_who_is_known_does_not_wait_behind_them() {
    for layout in LAYOUTS {
        let mut server = server(layout, 64);
        all_at_once(&mut server);
        let networks = if layout == LAYOUTS[2] { 2 } else { 1 };
        assert!(server.count("strangers") <= 16 * networks, "{}", server.table());
        let waiting = server.count("strangers");
        assert_eq!(server.discarded(Discard::StrangersFull), u64::from(NEWCOMERS) - waiting);
        server.datagram(nas(1000), &Ask::bob().octets());
        assert_eq!(server.count("in_progress"), 1, "{}", server.table());
        go_on(&mut server);
        assert_eq!(server.count("connections"), waiting + 1);
        assert_eq!(server.take_sent().len() as u64, waiting + 1);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn strangers_take_half_of_a_ring_and_no_more() {
    let mut server = server(LAYOUTS[1], 1024);
    all_at_once(&mut server);
    for identifier in 0..10 {
        server.datagram(nas(1000), &Ask::bob().identifier(identifier).octets());
    }
    assert_eq!(server.count("in_progress"), 10, "{}", server.table());
    go_on(&mut server);
    assert_eq!(server.take_sent().len(), usize::from(NEWCOMERS) + 10, "{}", server.table());
    server.assert_sums();
}

#[test]
fn a_line_goes_on_to_the_worker_that_comes_after_one_that_has_died_and_ends_with_its_own_core() {
    for (layout, worker_thread) in [(LAYOUTS[0], 0), (LAYOUTS[1], 1)] {
        let mut server = server(layout, 1024);
        all_at_once(&mut server);
        server.finish_turn(0);
        server.die(worker_thread, Peer::Worker(WorkerId(0)));
        server.settle();
        // Those in the ring are with the successor; what had been known went with its predecessor.
        while !server.effects.is_empty() {
            server.look_up();
        }
        server.settle();
        assert_eq!(server.count("strangers"), 0, "{}", server.table());
        server.assert_sums();
        all_at_once(&mut server);
        server.finish_turn(0);
        server.die(0, Peer::Network(NetworkId(0)));
        server.settle();
        // What a network core has not decided about when it dies is orphaned.
        let fates =
            ["accepted", "duplicates_resent", "orphaned"].map(|name| server.count(name)).iter().sum::<u64>();
        let fates = fates + server.discards().values().sum::<u64>();
        assert!(server.count("orphaned") > 100, "{}", server.table());
        assert_eq!(server.count("received"), fates, "{}", server.table());
        server.run(Duration::from_secs(200));
        server.drain();
        for gauge in ["strangers", "connections", "in_progress", "buffers_lent"] {
            assert_eq!(server.count(gauge), 0, "{gauge}; {}", server.table());
        }
    }
}
