//! A datagram read by another network thread than its connection belongs to crosses one ring to its owner.

mod support;

use std::time::Duration;
use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::Code;

fn layout(networks: usize) -> String {
    format!("[runtime]\nnetwork_threads = {networks}\nworkers = 1\nring_slots = 16\n")
}

/// A connection of this thread.
fn port_of(server: &Server, thread: usize) -> u16 {
    (1000..).find(|port| server.owner(nas(*port)) == thread).expect("ports spread over all threads")
}

#[test]
fn wherever_it_is_read_it_is_answered_once_through_the_socket_that_read_it() {
    for networks in 2..=4 {
        let mut server = Server::new(&layout(networks), USERS);
        for owner in 0..networks {
            let remote = nas(port_of(&server, owner));
            for reader in 0..networks {
                let request = Ask::bob().identifier(reader as u8).octets();
                server.datagram_at(reader, 0, remote, &request);
                server.settle();
                let sent = server.take_sent();
                assert_eq!(sent.len(), 1);
                assert_eq!(Reply::to(&request, &sent[0].octets).code, Code::AccessAccept);
                assert_eq!(sent[0].transmit, server.path(reader, 0, remote).reversed());
            }
        }
        assert_eq!(server.count("strays_sent"), (networks * (networks - 1)) as u64);
        assert_eq!(server.count("buffers_lent"), 0, "the readers' buffers are home");
        server.assert_nothing_is_left();
    }
}

#[test]
fn joined_threads_pass_them_on_too() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 3\n", USERS);
    let remote = nas(port_of(&server, 2));
    let request = Ask::bob().octets();
    server.datagram_at(0, 0, remote, &request);
    server.settle();
    assert_eq!((server.sent.len(), server.count("strays_sent")), (1, 1));
    server.assert_nothing_is_left();
}

// checklist 34
#[test]
fn duplicates_are_known_whoever_reads_them() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    let request = Ask::bob().octets();
    for reader in [0, 1, 0, 1] {
        server.datagram_at(reader, 0, remote, &request);
        server.settle();
    }
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (1, 3));
    assert!(server.sent.iter().all(|sent| sent.octets == server.sent[0].octets));
    // Each leaves through the socket that its own duplicate came in by.
    let sockets: Vec<_> = server.sent.iter().map(|sent| sent.transmit.via.0).collect();
    assert_eq!(sockets, [0, 1, 0, 1]);
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_that_comes_by_the_ring_before_a_newer_request_does_not_take_its_place() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    let (old, new) = (Ask::bob().octets(), Ask::bob().authenticator(2).octets());
    server.datagram(remote, &old);
    server.finish_turn(1);
    // Both lie in the ring when the owner sweeps it: the duplicate is put aside, the newer one supersedes.
    server.datagram_at(0, 0, remote, &old);
    server.datagram_at(0, 0, remote, &new);
    server.finish_turn(0);
    server.settle();
    assert_eq!((server.count("decisions"), server.count("superseded")), (2, 1));
    let sent = server.take_sent();
    assert_eq!(server.ask(remote, &new)[0].octets, sent[1].octets, "the newer one's reply is kept");
    server.assert_nothing_is_left();
}

#[test]
fn their_buffers_are_away_until_the_owner_has_read_them() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    server.datagram_at(0, 0, remote, &Ask::bob().octets());
    assert_eq!(server.count("buffers_lent"), 1);
    server.finish_turn(0);
    server.turn(1);
    // One is the reader's, on its way home, the other the owner's, with the worker.
    assert_eq!(server.count("buffers_lent"), 2);
    server.turn(0);
    assert_eq!(server.count("buffers_lent"), 1);
    server.assert_nothing_is_left();
}

#[test]
fn a_buffer_is_home_within_a_second_though_nobody_rings_for_it() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    server.datagram_at(0, 0, remote, &Ask::bob().octets());
    server.finish_turn(0);
    server.turn(1);
    let (due, _) = server.threads[0].poll_timeout().expect("the reader of a stray wakes by itself");
    assert!(due <= server.now + Duration::from_secs(1));
    server.now = due;
    server.turn(0);
    assert_eq!(server.count("buffers_lent"), 1, "the owner's alone, with the worker");
    assert_eq!(server.threads[0].poll_timeout(), None, "nothing is awaited any more");
    server.assert_nothing_is_left();
}

#[test]
fn less_than_half_a_ring_of_them_is_under_way_at_most_and_the_rest_is_discarded_by_name() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    for identifier in 0..10 {
        server.datagram_at(0, 0, remote, &Ask::bob().identifier(identifier).octets());
    }
    // Of 16 slots half is for the way back, and one to say that a core has died.
    assert_eq!(server.count("strays_sent"), 7);
    assert_eq!(server.discards(), [("stray-ring-full", 3)].into());
    server.finish_turn(0);
    server.settle();
    assert_eq!(server.sent.len(), 7);
    for identifier in 7..10 {
        server.datagram_at(0, 0, remote, &Ask::bob().identifier(identifier).octets());
        server.settle();
    }
    assert_eq!(server.sent.len(), 10);
    server.assert_nothing_is_left();
}

#[test]
fn full_both_ways_at_once_nothing_is_lost() {
    let mut server = Server::new(&layout(2), USERS);
    for round in 0..20u8 {
        for reader in 0..2 {
            let remote = nas(port_of(&server, 1 - reader));
            for identifier in 0..7 {
                let request = Ask::bob().identifier(identifier).authenticator(round).octets();
                server.datagram_at(reader, 0, remote, &request);
            }
        }
        // Both publish before either reads.
        server.finish_turn(0);
        server.finish_turn(1);
        server.settle();
    }
    assert_eq!(server.discards(), [].into());
    assert_eq!((server.count("strays_sent"), server.count("answered")), (280, 280));
    server.assert_nothing_is_left();
}

// checklist 1, 2
#[test]
fn the_owner_checks_them_like_its_own() {
    let mut server = Server::new(&layout(2), USERS);
    let remote = nas(port_of(&server, 1));
    let mut padded = Ask::bob().octets();
    padded.resize(5000, 0xee);
    for octets in [&padded[..], &padded[..19], &[]] {
        server.datagram_at(0, 0, remote, octets);
        server.settle();
    }
    assert_eq!(server.sent.len(), 1);
    assert_eq!(server.discards(), [("too-short", 2)].into());
    server.assert_nothing_is_left();
}
