//! A packet that fails a check changes nothing but the counter of its discard.

mod support;

use support::{Ask, Server, USERS, nas};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const NETWORK: usize = 0;

/// Everything that is counted, but what a discarded packet is counted as.
fn all_else(server: &Server) -> String {
    let reason = |name: &str| name == "received" || name.starts_with("bad-") || name.contains("message-auth");
    let table = server.table();
    let entries = table.trim_matches(['{', '}']).split(", ");
    entries
        .filter(|entry| !reason(entry.trim_start_matches('"')))
        .filter(|e| !e.contains("received"))
        .collect()
}

// checklist 37
#[test]
fn it_neither_evicts_nor_refreshes_a_kept_reply() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    let reply = server.ask(nas(1000), &request);
    let expires = server.threads[NETWORK].poll_timeout();
    let before = all_else(&server);
    // Same Identifier with another authenticator, and with the very same one.
    for forged in [Ask::bob().authenticator(2).forged(), Ask::bob().forged()] {
        assert!(server.ask(nas(1000), &forged.octets()).is_empty());
    }
    assert_eq!(server.discards(), [("bad-message-authenticator", 2)].into());
    assert_eq!(all_else(&server), before);
    assert_eq!(server.threads[NETWORK].poll_timeout(), expires);
    assert_eq!(server.ask(nas(1000), &request)[0].octets, reply[0].octets);
    server.assert_nothing_is_left();
}

// checklist 37
#[test]
fn it_does_not_supersede_a_request_in_progress() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    let before = all_else(&server);
    server.datagram(nas(1000), &Ask::bob().authenticator(2).forged().octets());
    server.finish_turn(NETWORK);
    assert_eq!(all_else(&server), before);
    server.settle();
    assert_eq!((server.sent.len(), server.count("answered"), server.count("superseded")), (1, 1, 0));
    assert_eq!(server.count("late_notices"), 0, "the worker was not told of anything");
    server.assert_nothing_is_left();
}

// checklist 37
#[test]
fn it_does_not_release_or_drop_a_delayed_reject() {
    let request = Ask::wrong().octets();
    let mut server = Server::new(SEPARATE, USERS);
    assert!(server.ask(nas(1000), &request).is_empty());
    assert!(server.ask(nas(1000), &Ask::wrong().authenticator(2).forged().octets()).is_empty());
    assert_eq!(server.count("delayed_rejects"), 1);
    server.run(server.configuration.protocol.reject_delay);
    assert_eq!(server.sent.len(), 1);
    server.assert_nothing_is_left();
}

// checklist 11
#[test]
fn forged_accounting_takes_no_place() {
    let mut server = Server::new(SEPARATE, USERS);
    server.ask_accounting(nas(1000), &Ask::accounting().forged().octets());
    assert_eq!(server.discards(), [("bad-request-authenticator", 1)].into());
    assert_eq!((server.count("accepted"), server.count("requests")), (0, 0));
    assert_eq!(server.threads[NETWORK].poll_timeout(), None, "there is nothing to forget");
    server.assert_nothing_is_left();
}

#[test]
fn octets_that_are_turned_one_by_one_change_nothing() {
    // Of a client that must sign: of another one, a Message-Authenticator with its number turned is an unsigned request.
    let strict = "203.0.113.7:1000".parse().unwrap();
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    let reply = server.ask(strict, &request);
    for place in 0..request.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut forged = request.clone();
            forged[place] ^= mask;
            assert!(server.ask(strict, &forged).is_empty(), "octet {place} ^ {mask:#x}");
        }
    }
    assert_eq!(server.count("accepted"), 1);
    assert_eq!(server.discards().values().sum::<u64>(), 3 * request.len() as u64);
    assert_eq!(server.ask(strict, &request)[0].octets, reply[0].octets);
    server.assert_nothing_is_left();
}
