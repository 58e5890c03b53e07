//! A worker that takes long for each request takes up few of them in a turn; the others wait in their line, in order, and
//! the thread does not sleep meanwhile.

mod support;

use support::{Ask, Server, USERS, nas};
use ulna_core::packet::number;

const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";
const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

fn ask(server: &mut Server, requests: u8) {
    for identifier in 0..requests {
        server.datagram(nas(1000), &Ask::bob().identifier(identifier).octets());
    }
}

/// The Identifiers answered since the last time.
fn answered(server: &mut Server) -> Vec<u8> {
    server.take_sent().iter().map(|sent| sent.octets[1]).collect()
}

#[test]
fn a_joined_worker_takes_up_so_many_in_a_turn_and_the_rest_in_the_next() {
    let mut server = Server::new(JOINED, USERS);
    server.requests_max = 3;
    ask(&mut server, 8);
    server.finish_turn(0);
    assert_eq!(answered(&mut server), [0, 1, 2]);
    assert!(!server.threads[0].may_park(), "five wait");
    server.turn(0);
    assert_eq!(answered(&mut server), [3, 4, 5]);
    server.turn(0);
    assert_eq!(answered(&mut server), [6, 7]);
    assert!(server.threads[0].may_park());
    server.assert_nothing_is_left();
}

#[test]
fn a_worker_of_its_own_leaves_the_rest_in_its_ring() {
    let mut server = Server::new(SEPARATE, USERS);
    server.requests_max = 3;
    ask(&mut server, 8);
    server.finish_turn(0);
    for expected in [&[0, 1, 2][..], &[3, 4, 5], &[6, 7]] {
        assert!(server.threads[1].is_anything_unread());
        server.turn(1);
        assert_eq!(answered(&mut server), expected);
    }
    assert!(!server.threads[1].is_anything_unread());
    server.assert_nothing_is_left();
}

#[test]
fn what_waits_counts_as_room_that_is_taken() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 16\n", USERS);
    server.requests_max = 1;
    for _ in 0..3 {
        server.threads[0].begin();
        ask(&mut server, 30);
        server.finish_turn(0);
    }
    // Three quarters of the line are for new requests; each that was answered made room for one more.
    assert_eq!(server.count("accepted"), 12 + 2);
    let known = server.count("duplicates_resent") + server.count("duplicates_in_progress");
    assert_eq!((known, server.discards()["worker-full"]), (12 + 13, 90 - 14 - 12 - 13));
    server.requests_max = usize::MAX;
    server.assert_nothing_is_left();
}

#[test]
fn a_deadline_does_not_have_a_worker_take_up_more() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 2\n", USERS);
    server.requests_max = 1;
    // Four of a conversation that the other thread's worker has, and one of its own so that its lazy sweep comes due.
    let other = elsewhere(&mut server, 4);
    server.pass(std::time::Duration::from_secs(1));
    server.turn(other);
    assert_eq!(answered(&mut server).len(), 1);
    server.requests_max = usize::MAX;
    server.assert_nothing_is_left();
}

#[test]
fn every_line_has_its_turn() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 2\n", USERS);
    server.requests_max = 2;
    for round in 0..6 {
        // More from the other thread than is taken up in a turn, each time anew.
        let busy = elsewhere(&mut server, 4);
        let port = (2000..).find(|port| server.owner(nas(*port)) == busy).expect("half of them");
        server.datagram(nas(port), &Ask::bob().identifier(round).authenticator(200).octets());
        server.turn(busy);
        let own = server.take_sent().iter().filter(|sent| sent.transmit.destination == nas(port)).count();
        assert_eq!(own, 1, "its own is not kept waiting by the others' in round {round}");
    }
    server.requests_max = usize::MAX;
    server.assert_nothing_is_left();
}

/// Has a thread send so many requests of a conversation to the other's worker, and says which has them. By its Calling-Station-Id that is
/// the second thread's, which begins with the line from its own network core.
fn elsewhere(server: &mut Server, requests: u8) -> usize {
    let state = Ask::bob().with(number::CALLING_STATION_ID, b"1").with(number::STATE, b"state");
    // Where requests go that are tied by State does not depend on where they were read.
    server.datagram_at(0, 0, nas(port_of(server, 0)), &state.octets());
    server.finish_turn(0);
    let owner = usize::from(server.threads[1].is_anything_unread());
    server.settle();
    server.take_sent();
    let reader = 1 - owner;
    let port = port_of(server, reader);
    server.threads[reader].begin();
    for identifier in 0..requests {
        let authenticator = server.count("accepted") as u8;
        let octets = Ask::bob()
            .identifier(identifier)
            .authenticator(authenticator)
            .with(number::CALLING_STATION_ID, b"1")
            .with(number::STATE, b"state");
        server.datagram_at(reader, 0, nas(port), &octets.octets());
    }
    server.finish_turn(reader);
    assert!(server.threads[owner].is_anything_unread());
    owner
}

/// A port whose connection belongs to this thread.
fn port_of(server: &Server, thread: usize) -> u16 {
    (1000..).find(|port| server.owner(nas(*port)) == thread).expect("half of them")
}
