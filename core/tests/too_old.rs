//! A request that waited too long in front of its worker: its NAS has given it up, and others need the time.

mod support;

use std::time::Duration;
use support::{Ask, Server, USERS, nas};

const SETTINGS: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n[protocol]\nrequest_timeout = \"3s\"\n";
const TIMEOUT: Duration = Duration::from_secs(3);
const NETWORK: usize = 0;

#[test]
fn it_is_discarded_by_name_and_sent_again_it_is_new() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SETTINGS, USERS);
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    server.pass(TIMEOUT + Duration::from_nanos(1));
    server.settle();
    assert!(server.sent.is_empty());
    assert_eq!(server.discards(), [("too-old", 1)].into());
    assert_eq!((server.count("decisions"), server.count("answered")), (0, 0));
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    assert_eq!(server.count("duplicates_resent"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn at_the_very_end_of_its_time_it_is_still_answered() {
    let mut server = Server::new(SETTINGS, USERS);
    server.datagram(nas(1000), &Ask::bob().octets());
    server.finish_turn(NETWORK);
    server.pass(TIMEOUT);
    server.settle();
    assert_eq!(server.sent.len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_meanwhile_does_not_make_it_young() {
    let request = Ask::bob().octets();
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
