//! A request that waited too long in front of its worker: its NAS has given it up, or is about to ask again, and others
//! need the time. RFC 5080 §2.2.3.

mod support;

use std::time::Duration;
use support::{Ask, Server, USERS, nas};
use ulna_core::packet::number;

const SETTINGS: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n\
                        [protocol]\nrequest_timeout = \"3s\"\nnew_request_wait_max = \"2s\"\n";
const TIMEOUT: Duration = Duration::from_secs(3);
const NEW_MAX: Duration = Duration::from_secs(2);
const INSTANT: Duration = Duration::from_nanos(1);
const NETWORK: usize = 0;

/// One of a conversation.
fn ongoing() -> Vec<u8> {
    Ask::bob().with(number::STATE, b"state").octets()
}

/// What became of a request that waited so long in front of its worker: replies, and discards by name.
fn after(request: &[u8], wait: Duration) -> (usize, Vec<(&'static str, u64)>) {
    let mut server = Server::new(SETTINGS, USERS);
    server.datagram(nas(1000), request);
    server.finish_turn(NETWORK);
    server.pass(wait);
    server.settle();
    let outcome = (server.sent.len(), server.discards().into_iter().collect());
    assert_eq!(server.count("decisions"), outcome.0 as u64, "policy was asked for what was answered only");
    // Sent again it is new, or has its reply.
    assert_eq!(server.ask(nas(1000), request).len(), 1);
    assert_eq!(server.count("duplicates_resent"), outcome.0 as u64);
    server.assert_nothing_is_left();
    outcome
}

#[test]
fn it_is_discarded_by_name_and_sent_again_it_is_new() {
    assert_eq!(after(&ongoing(), TIMEOUT + INSTANT), (0, vec![("too-old", 1)]));
    assert_eq!(after(&Ask::bob().octets(), TIMEOUT + INSTANT), (0, vec![("too-old", 1)]));
}

#[test]
fn at_the_very_end_of_its_time_it_is_still_answered() {
    assert_eq!(after(&ongoing(), TIMEOUT), (1, vec![]));
}

// checklist 39
#[test]
fn a_new_one_waits_less_long_than_one_of_a_conversation() {
    assert_eq!(after(&Ask::bob().octets(), NEW_MAX), (1, vec![]));
    assert_eq!(after(&Ask::bob().octets(), NEW_MAX + INSTANT), (0, vec![("waited-too-long", 1)]));
    assert_eq!(after(&ongoing(), NEW_MAX + INSTANT), (1, vec![]));
}

// checklist 39
#[test]
fn accounting_waits_as_long_as_a_conversation() {
    let mut server = Server::new(SETTINGS, USERS);
    for wait in [NEW_MAX + INSTANT, TIMEOUT + INSTANT] {
        server.datagram_at(NETWORK, 1, nas(1000), &Ask::accounting().octets());
        server.finish_turn(NETWORK);
        server.pass(wait);
        server.settle();
    }
    // The first one came to a worker, whose rules store nothing.
    assert_eq!(server.discards(), [("no-accounting-rule", 1), ("too-old", 1)].into());
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_meanwhile_does_not_make_it_young() {
    let request = ongoing();
    let mut server = Server::new(SETTINGS, USERS);
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    server.pass(TIMEOUT);
    server.turn(NETWORK);
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    server.pass(Duration::from_millis(1));
    server.settle();
    assert_eq!(server.discards(), [("too-old", 1)].into());
    assert_eq!((server.count("duplicates_in_progress"), server.sent.len()), (1, 0));
    server.assert_nothing_is_left();
}
