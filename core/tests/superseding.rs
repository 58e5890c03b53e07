//! A NAS uses an Identifier anew: same connection, same Identifier, another Request Authenticator. RFC 5080 §2.2.2.

mod support;

use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::Code;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const NETWORK: usize = 0;
const WORKER: usize = 1;

// checklist 36
#[test]
fn while_in_progress_the_late_completion_leaves_the_new_request_alone() {
    let (old, new) = (Ask::bob().octets(), Ask::bob().authenticator(2).octets());
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &old);
    server.finish_turn(NETWORK);
    // The worker finishes the old one in the very moment in which the new one is read.
    server.turn(WORKER);
    server.datagram(nas(1000), &new);
    server.finish_turn(NETWORK);
    server.turn(NETWORK);
    assert_eq!(
        (server.count("superseded"), server.count("in_progress"), server.count("buffers_lent")),
        (1, 1, 1),
        "the old one's buffer is home, the new one's is away"
    );
    server.settle();
    assert_eq!((server.count("answered"), server.count("superseded")), (1, 1));
    assert_eq!(server.count("late_notices"), 1, "the worker was told that nobody waits any more");
    let sent = server.take_sent();
    assert_eq!(Reply::to(&new, &sent[1].octets).code, Code::AccessAccept);
    // What is kept is the reply to the new one.
    assert_eq!(server.ask(nas(1000), &new)[0].octets, sent[1].octets);
    assert_eq!(server.count("decisions"), 2);
    server.assert_nothing_is_left();
}

// checklist 36
#[test]
fn after_the_reply_the_old_one_is_gone_and_the_new_one_is_decided() {
    let (old, new) = (Ask::bob().octets(), Ask::user(b"bob", b"wrong").authenticator(2).octets());
    let mut server = Server::new(SEPARATE, USERS);
    assert_eq!(Reply::to(&old, &server.ask(nas(1000), &old)[0].octets).code, Code::AccessAccept);
    assert!(server.ask(nas(1000), &new).is_empty(), "its reject is delayed");
    server.run(server.configuration.protocol.reject_delay);
    assert_eq!(Reply::to(&new, &server.sent[1].octets).code, Code::AccessReject);
    assert_eq!((server.count("answered"), server.count("superseded")), (2, 0));
    assert_eq!(server.count("dedup_entries"), 1, "the new one has the old one's place");
    server.assert_nothing_is_left();
}

#[test]
fn many_times_in_one_batch_only_the_last_has_a_place() {
    let requests: Vec<_> = (1..=10).map(|octet| Ask::bob().authenticator(octet).octets()).collect();
    let mut server = Server::new(SEPARATE, USERS);
    requests.iter().for_each(|request| server.datagram(nas(1000), request));
    server.finish_turn(NETWORK);
    server.settle();
    assert_eq!((server.count("answered"), server.count("superseded")), (1, 9));
    assert_eq!(server.count("late_notices"), 9);
    let before = server.count("decisions");
    let again = server.ask(nas(1000), &requests[9]);
    assert_eq!(Reply::to(&requests[9], &again[0].octets).code, Code::AccessAccept);
    assert_eq!(server.count("decisions"), before);
    server.assert_nothing_is_left();
}

#[test]
fn one_that_is_shed_supersedes_nothing() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\nrequests_max = 1\n";
    let (old, new) = (Ask::bob().octets(), Ask::bob().authenticator(2).octets());
    let mut server = Server::new(settings, USERS);
    server.datagram(nas(1000), &old);
    server.datagram(nas(1000), &new);
    server.finish_turn(NETWORK);
    server.settle();
    assert_eq!(server.discards(), [("worker-full", 1)].into());
    assert_eq!((server.count("answered"), server.count("superseded")), (1, 0));
    assert_eq!(server.ask(nas(1000), &old)[0].octets, server.sent[0].octets);
    server.assert_nothing_is_left();
}
