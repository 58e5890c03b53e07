//! A worker with little room left: new requests are shed first, accounting next, ongoing conversations last.
//! RFC 5080 §2.2.3.

mod support;

use support::{Ask, Server, USERS, nas};
use ulna_core::packet::number;

const NETWORK: usize = 0;

fn new(identifier: u8) -> Vec<u8> {
    Ask::bob().identifier(identifier).octets()
}

fn ongoing(identifier: u8) -> Vec<u8> {
    Ask::bob().identifier(identifier).with(number::STATE, b"state").octets()
}

fn accounting(identifier: u8) -> Vec<u8> {
    Ask::accounting().identifier(identifier).octets()
}

/// How many of 32 of each class are accepted, in this order, when the worker reads nothing.
fn accepted_of_each(settings: &str) -> ([u64; 3], Server) {
    let mut server = Server::new(settings, USERS);
    let mut accepted = [0; 3];
    for (class, accepted) in accepted.iter_mut().enumerate() {
        let before = server.count("accepted");
        for identifier in 0..32 {
            match class {
                0 => server.datagram(nas(1000), &new(identifier)),
                1 => server.datagram_at(NETWORK, 1, nas(1000), &accounting(identifier)),
                _ => server.datagram(nas(1001), &ongoing(identifier)),
            }
        }
        *accepted = server.count("accepted") - before;
    }
    (accepted, server)
}

// checklist 39
#[test]
fn a_ring_that_fills_keeps_a_quarter_for_accounting_and_an_eighth_for_the_ongoing() {
    let (accepted, mut server) =
        accepted_of_each("[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\n");
    assert_eq!(accepted, [12, 2, 2]);
    assert_eq!(
        server.discards(),
        [("worker-full", 20), ("worker-full-accounting", 30), ("worker-full-ongoing", 30)].into()
    );
    assert_eq!(server.count("in_progress"), 16);
    server.assert_nothing_is_left();
    assert_eq!(server.count("answered"), 14, "accounting is discarded by its worker");
}

// checklist 39
#[test]
fn requests_max_is_shared_out_in_the_same_way() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 1024\nrequests_max = 8\n";
    let (accepted, mut server) = accepted_of_each(settings);
    assert_eq!(accepted, [6, 1, 1]);
    server.assert_nothing_is_left();
}

#[test]
fn joined_threads_shed_as_well() {
    let (accepted, mut server) =
        accepted_of_each("[runtime]\nnetwork_threads = 0\nworkers = 1\nring_slots = 16\n");
    assert_eq!(accepted, [12, 2, 2]);
    server.assert_nothing_is_left();
}

#[test]
fn what_is_shed_leaves_no_entry_and_its_retransmission_is_new() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\nrequests_max = 4\n";
    let mut server = Server::new(settings, USERS);
    for identifier in 0..10 {
        server.datagram(nas(1000), &new(identifier));
    }
    // Shed again: neither a duplicate nor a superseding one.
    server.datagram(nas(1000), &new(9));
    assert_eq!((server.count("accepted"), server.count("duplicates_in_progress")), (3, 0));
    assert_eq!(server.discards(), [("worker-full", 8)].into());
    server.finish_turn(NETWORK);
    server.settle();
    for identifier in 3..10 {
        assert_eq!(server.ask(nas(1000), &new(identifier)).len(), 1);
    }
    assert_eq!((server.count("answered"), server.count("duplicates_resent")), (10, 0));
    server.assert_nothing_is_left();
}

#[test]
fn after_an_overload_everything_goes_through_again() {
    let settings = "[runtime]\nnetwork_threads = 2\nworkers = 2\nring_slots = 16\nrequests_max = 16\n";
    let mut server = Server::new(settings, USERS);
    for round in 0..5u8 {
        for port in 0..20 {
            for identifier in 0..20 {
                server.datagram(
                    nas(2000 + port),
                    &Ask::bob().identifier(identifier).authenticator(round).octets(),
                );
            }
        }
        server.settle();
    }
    assert!(server.discards()["worker-full"] > 1000);
    server.assert_nothing_is_left();
    let before = server.count("answered");
    for identifier in 0..200 {
        assert_eq!(server.ask(nas(3000), &new(identifier)).len(), 1);
    }
    assert_eq!(server.count("answered"), before + 200);
    server.assert_nothing_is_left();
}

#[test]
fn a_notice_that_finds_no_room_is_dropped_and_counted() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\n";
    let mut server = Server::new(settings, USERS);
    for identifier in 0..15 {
        server.datagram(nas(1000), &ongoing(identifier));
    }
    // It takes the last place; that the older one is superseded its worker is not told.
    let newer = Ask::bob().identifier(3).authenticator(99).with(number::STATE, b"state").octets();
    server.datagram(nas(1000), &newer);
    assert_eq!((server.count("accepted"), server.count("notices_dropped")), (16, 1));
    server.settle();
    assert_eq!((server.sent.len(), server.count("late_notices")), (16, 0));
    assert_eq!((server.count("answered"), server.count("superseded")), (15, 1));
    server.assert_nothing_is_left();
}

#[test]
fn a_table_full_of_requests_in_progress_takes_no_other_by_name() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\ndedup_entries_max = 4\n";
    let mut server = Server::new(settings, USERS);
    for identifier in 0..6 {
        server.datagram(nas(1000), &new(identifier));
    }
    assert_eq!(server.discards(), [("dedup-full", 2)].into());
    assert_eq!(server.count("buffers_lent"), 4, "what was refused gave its buffer back");
    server.finish_turn(NETWORK);
    server.settle();
    assert_eq!(server.ask(nas(1000), &new(5)).len(), 1, "an answered one makes room");
    assert_eq!(server.count("replies_evicted"), 1);
    server.assert_nothing_is_left();
}
