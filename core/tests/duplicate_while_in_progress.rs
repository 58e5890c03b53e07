//! A NAS sends a request again while a worker still has it. RFC 5080 §2.2.2.

mod support;

use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::Code;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const NETWORK: usize = 0;
const WORKER: usize = 1;

/// A server whose worker has one request that it has not read yet.
fn with_one_in_progress(octets: &[u8]) -> Server {
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), octets);
    server.finish_turn(NETWORK);
    assert_eq!(server.count("in_progress"), 1);
    server
}

// checklist 34
#[test]
fn policy_runs_once_and_one_reply_leaves() {
    let request = Ask::bob().octets();
    let mut server = with_one_in_progress(&request);
    for _ in 0..3 {
        server.turn(NETWORK);
        server.datagram(nas(1000), &request);
        server.finish_turn(NETWORK);
    }
    server.settle();
    assert_eq!(server.sent.len(), 1);
    assert_eq!(Reply::to(&request, &server.sent[0].octets).code, Code::AccessAccept);
    assert_eq!((server.count("decisions"), server.count("duplicates_in_progress")), (1, 3));
    server.assert_nothing_is_left();
}

#[test]
fn its_worker_is_told_when_it_has_read_the_request_and_at_most_once_until_it_has_read_that() {
    let request = Ask::bob().octets();
    let mut server = with_one_in_progress(&request);
    for _ in 0..5 {
        server.turn(NETWORK);
        server.datagram(nas(1000), &request);
        server.finish_turn(NETWORK);
    }
    // The worker reads the request, and stops before anybody can see what it made of it.
    server.threads[WORKER].begin();
    server.threads[WORKER].sweep(server.now);
    assert_eq!(server.count("late_notices"), 0, "of what it has not read it needs no notice");
    // What comes now is worth one.
    for _ in 0..5 {
        server.turn(NETWORK);
        server.datagram(nas(1000), &request);
        server.finish_turn(NETWORK);
    }
    server.finish_turn(WORKER);
    server.settle();
    assert_eq!(server.count("late_notices"), 1, "five duplicates, one notice");
    assert_eq!((server.sent.len(), server.count("duplicates_in_progress")), (1, 10));
    server.assert_nothing_is_left();
}

#[test]
fn the_workers_ring_is_swept_before_it_is_decided() {
    let request = Ask::bob().octets();
    let mut server = with_one_in_progress(&request);
    server.turn(WORKER);
    assert_eq!(server.sent.len(), 1, "the worker has sent the reply; its completion lies in the ring");
    assert_eq!(server.count("in_progress"), 1, "of which the network thread knows nothing");
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    assert_eq!(server.sent.len(), 2);
    assert_eq!(server.sent[0].octets, server.sent[1].octets);
    assert_eq!((server.count("duplicates_resent"), server.count("duplicates_in_progress")), (1, 0));
    server.settle();
    assert_eq!((server.count("decisions"), server.count("late_notices")), (1, 0));
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_of_a_request_just_discarded_starts_anew() {
    // Accounting is discarded, as no rule says where it is to be stored.
    let request = Ask::accounting().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram_at(NETWORK, 1, nas(1000), &request);
    server.finish_turn(NETWORK);
    server.turn(WORKER);
    server.datagram_at(NETWORK, 1, nas(1000), &request);
    server.finish_turn(NETWORK);
    server.settle();
    assert_eq!((server.count("accepted"), server.count("duplicates_in_progress")), (2, 0));
    assert_eq!(server.discards(), [("no-accounting-rule", 2)].into());
    server.assert_nothing_is_left();
}

#[test]
fn the_buffer_of_a_duplicate_is_home_as_soon_as_it_is_decided() {
    let request = Ask::bob().octets();
    let mut server = with_one_in_progress(&request);
    server.datagram(nas(1000), &request);
    assert_eq!(server.count("buffers_lent"), 1, "that of the request itself");
    server.turn(WORKER);
    server.datagram(nas(1000), &request);
    assert_eq!(server.count("buffers_lent"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn joined_threads_behave_the_same() {
    let request = Ask::bob().octets();
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 2\n", USERS);
    // Two in one batch, before the thread's own worker has seen the first.
    server.datagram(nas(1000), &request);
    server.datagram(nas(1000), &request);
    server.settle();
    assert_eq!(server.sent.len(), 1);
    assert_eq!((server.count("decisions"), server.count("duplicates_in_progress")), (1, 1));
    assert_eq!(server.count("late_notices"), 0, "of what it has not read its worker needs no notice");
    assert_eq!(server.ask(nas(1000), &request)[0].octets, server.sent[0].octets);
    server.assert_nothing_is_left();
}

/// Duplicates that cross a ring are put aside while more is read from it.
#[test]
fn a_duplicate_put_aside_does_not_come_back_once_its_request_is_superseded() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 2\nworkers = 1\n", USERS);
    let owner = server.owner(nas(1000));
    let reader = 1 - owner;
    let older = Ask::bob().authenticator(1).octets();
    let newer = Ask::bob().authenticator(2).octets();
    for octets in [&older, &older, &newer] {
        server.datagram_at(reader, 0, nas(1000), octets);
    }
    server.finish_turn(reader);
    server.settle();
    // What the NAS waits for is the newer one; it has no use for another answer to the older.
    assert_eq!(server.count("accepted"), 2);
    assert_eq!((server.count("superseded"), server.count("answered")), (1, 1));
    assert_eq!(server.count("duplicates_in_progress"), 1);
    server.datagram_at(reader, 0, nas(1000), &newer);
    server.finish_turn(reader);
    server.settle();
    assert_eq!(server.count("duplicates_resent"), 1, "the newer one's reply is the one that is kept");
    server.assert_nothing_is_left();
}
