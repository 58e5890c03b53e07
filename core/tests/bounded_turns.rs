//! A worker that takes long for each request takes up few of them in a turn; the others wait in their line, in order, and
//! the thread does not sleep meanwhile.

mod support;

use support::{Ask, Server, USERS, nas};

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
    server.threads[0].set_requests_max(3);
    ask(&mut server, 8);
    server.finish_turn(0);
    assert_eq!((answered(&mut server), server.threads[0].requests()), (vec![0, 1, 2], 3));
    assert!(!server.threads[0].may_park(), "five wait");
    server.turn(0);
    assert_eq!(answered(&mut server), [3, 4, 5]);
    server.turn(0);
    assert_eq!((answered(&mut server), server.threads[0].requests()), (vec![6, 7], 2));
    assert!(server.threads[0].may_park());
    server.assert_nothing_is_left();
}

#[test]
fn a_worker_of_its_own_leaves_the_rest_in_its_ring() {
    let mut server = Server::new(SEPARATE, USERS);
    server.threads[1].set_requests_max(3);
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
    server.threads[0].set_requests_max(1);
    for _ in 0..3 {
        server.threads[0].begin();
        ask(&mut server, 30);
        server.finish_turn(0);
    }
    // Three quarters of the line are for new requests; each that was answered made room for one more.
    assert_eq!(server.count("accepted"), 12 + 2);
    let known = server.count("duplicates_resent") + server.count("duplicates_in_progress");
    assert_eq!((known, server.discards()["worker-full"]), (12 + 13, 90 - 14 - 12 - 13));
    server.threads[0].set_requests_max(usize::MAX);
    server.assert_nothing_is_left();
}

#[test]
fn a_deadline_does_not_have_a_worker_take_up_more() {
    let mut server = Server::new(SEPARATE, USERS);
    server.threads[1].set_requests_max(1);
    ask(&mut server, 4);
    server.finish_turn(0);
    // The lazy sweep of a network thread comes due; its worker has its own time.
    server.pass(std::time::Duration::from_millis(900));
    server.turn(1);
    server.pass(std::time::Duration::from_millis(100));
    server.turn(0);
    server.turn(1);
    assert_eq!(server.threads[1].requests(), 1);
    server.threads[1].set_requests_max(0);
    server.turn(1);
    assert_eq!(server.threads[1].requests(), 1, "one at least");
    server.assert_nothing_is_left();
}
