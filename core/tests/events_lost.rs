//! Events that find the line to the log full are lost, and counted where they are lost.

mod support;

use support::{Ask, Server, USERS, nas};

/// What a core keeps for the log until it is polled.
const LINE: u64 = 1024;

#[test]
fn a_network_core_counts_the_discards_that_the_log_never_sees() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 1\nworkers = 1\n", USERS);
    for _ in 0..LINE + 5 {
        server.datagram(nas(1000), b"nothing");
    }
    assert_eq!(server.count("events_lost"), 5);
    server.settle();
    assert_eq!(server.events.len() as u64, LINE);
    assert_eq!(server.discards()["too-short"], LINE + 5, "the discards themselves are all counted");
    server.datagram(nas(1000), b"nothing");
    assert_eq!(server.count("events_lost"), 5, "there is room again");
}

#[test]
fn a_worker_counts_the_requests_that_the_log_never_sees() {
    let settings = "[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 4096\n";
    let mut server = Server::new(settings, USERS);
    server.threads[0].begin();
    for number in 0..LINE + 7 {
        let remote = nas(1000 + (number / 256) as u16);
        server.datagram(remote, &Ask::bob().identifier(number as u8).octets());
    }
    server.threads[0].work(usize::MAX, server.now);
    assert_eq!((server.count("requests"), server.count("events_lost")), (LINE + 7, 7));
    server.settle();
    assert_eq!(server.events.len() as u64, LINE);
    server.assert_nothing_is_left();
}

#[test]
fn where_nothing_is_logged_nothing_is_lost() {
    let settings = "[log]\nrequests = false\n[runtime]\nnetwork_threads = 1\nworkers = 1\n";
    let mut server = Server::new(settings, USERS);
    for _ in 0..LINE + 5 {
        server.datagram(nas(1000), b"nothing");
    }
    assert_eq!(server.count("events_lost"), 0);
}
