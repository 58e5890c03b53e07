//! Status-Server: answered by the network thread itself, at any load. RFC 5997.

mod support;

use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::{Code, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const NETWORK: usize = 0;

// checklist 67, 94
#[test]
fn the_code_of_the_answer_is_that_of_the_port() {
    let request = Ask::status().octets();
    let mut server = Server::new(SEPARATE, USERS);
    let reply = Reply::to(&request, &server.ask(nas(1000), &request)[0].octets);
    assert_eq!((reply.code, reply.attributes), (Code::AccessAccept, vec![]));
    let reply = Reply::to(&request, &server.ask_accounting(nas(1000), &request)[0].octets);
    assert_eq!((reply.code, reply.attributes), (Code::AccountingResponse, vec![]));
    assert_eq!(server.count("status_answered"), 2);
    server.assert_nothing_is_left();
}

// checklist 66
#[test]
fn without_message_authenticator_it_is_discarded() {
    let mut server = Server::new(SEPARATE, USERS);
    assert!(server.ask(nas(1000), &Ask::status().unsigned().octets()).is_empty());
    assert!(server.ask_accounting(nas(1000), &Ask::status().unsigned().octets()).is_empty());
    assert_eq!(server.discards(), [("unsigned-status-server", 2)].into());
    assert!(server.ask(nas(1000), &Ask::status().forged().octets()).is_empty());
    assert_eq!(server.discards().get("bad-message-authenticator"), Some(&1));
    server.assert_nothing_is_left();
}

// checklist 70
#[test]
fn it_leaves_no_trace_in_dedup_and_displaces_nothing_there() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    let reply = server.ask(nas(1000), &request);
    let deadline = server.threads[NETWORK].poll_timeout();
    // The Identifier of the request before, and twice the same octets.
    let status = Ask::status().octets();
    let [first, second] = [0, 1].map(|_| server.ask(nas(1000), &status)[0].octets.clone());
    assert_eq!(first, second);
    assert_eq!((server.count("status_answered"), server.count("duplicates_resent")), (2, 0));
    assert_eq!((server.count("accepted"), server.count("answered")), (1, 1));
    assert_eq!(server.threads[NETWORK].poll_timeout(), deadline);
    assert_eq!(server.ask(nas(1000), &request)[0].octets, reply[0].octets);
    server.assert_nothing_is_left();
}

// checklist 68
#[test]
fn a_full_worker_does_not_keep_it_from_its_answer() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\nrequests_max = 16\n";
    let mut server = Server::new(settings, USERS);
    for identifier in 0..32 {
        server.datagram(nas(1000), &Ask::bob().with(number::STATE, b"s").identifier(identifier).octets());
    }
    assert_eq!(server.discards(), [("worker-full-ongoing", 16)].into());
    let status = Ask::status().octets();
    server.datagram(nas(1000), &status);
    server.finish_turn(NETWORK);
    assert_eq!(server.sent.len(), 1, "the worker has not had a turn");
    assert_eq!(Reply::to(&status, &server.sent[0].octets).code, Code::AccessAccept);
    server.assert_nothing_is_left();
}

#[test]
fn more_than_can_wait_to_be_sent_are_discarded_by_name() {
    let mut server = Server::new(SEPARATE, USERS);
    for port in 0..1025 {
        server.datagram(nas(1000 + port), &Ask::status().octets());
    }
    assert_eq!(server.discards(), [("transmit-queue-full", 1)].into());
    server.settle();
    assert_eq!(server.sent.len(), 1024);
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_that_finds_no_room_to_be_sent_is_discarded_by_name() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1), &request);
    for port in 0..1024 {
        server.datagram(nas(1000 + port), &Ask::status().octets());
    }
    server.datagram(nas(1), &request);
    assert_eq!(server.discards(), [("transmit-queue-full", 1)].into());
    assert_eq!(server.count("duplicates_resent"), 0);
    server.settle();
    assert_eq!(server.ask(nas(1), &request).len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn the_address_asked_is_the_address_that_answers() {
    let mut server = Server::new(SEPARATE, USERS);
    let mut path = server.path(NETWORK, 0, nas(1000));
    path.local = "192.0.2.77:1812".parse().unwrap();
    server.threads[NETWORK].handle_datagram(path, &Ask::status().octets(), server.now);
    server.settle();
    assert_eq!(server.sent[0].transmit, path.reversed());
    server.assert_nothing_is_left();
}
