//! A worker without room: what it would not take anyway is shed before its authenticator costs anything. What may be a
//! duplicate is verified all the same, for its answer needs no worker. RFC 5080 §2.2.3.

mod support;

use support::{Ask, OTHER_SECRET, SECRET, Server, USERS, configuration, nas};

/// Three new requests fit, then one of accounting.
const TIGHT: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 16\nrequests_max = 4\n";
const NETWORK: usize = 0;

fn bob(identifier: u8) -> Vec<u8> {
    Ask::bob().identifier(identifier).octets()
}

/// A server whose worker takes no more new requests: three wait for it.
fn full() -> Server {
    let mut server = Server::new(TIGHT, USERS);
    for identifier in 0..3 {
        server.datagram(nas(1000), &bob(identifier));
    }
    assert_eq!(server.count("accepted"), 3);
    server
}

// checklist 39
#[test]
fn a_forged_one_is_shed_under_the_name_of_the_overload_and_changes_nothing() {
    let mut server = full();
    server.datagram(nas(1000), &Ask::bob().identifier(9).forged().octets());
    assert_eq!(server.discards(), [("worker-full", 1)].into(), "nobody has looked at its authenticator");
    server.settle();
    server.datagram(nas(1000), &Ask::bob().identifier(9).forged().octets());
    assert_eq!(server.discards()["bad-message-authenticator"], 1, "with room it is looked at");
    server.assert_nothing_is_left();
}

#[test]
fn duplicates_are_known_and_answered_at_any_load() {
    let mut server = Server::new(TIGHT, USERS);
    let first = server.ask(nas(1000), &bob(7));
    for identifier in 0..3 {
        server.datagram(nas(1000), &bob(identifier));
    }
    // One whose reply is kept, and one that waits.
    server.datagram(nas(1000), &bob(7));
    server.datagram(nas(1000), &bob(1));
    assert_eq!((server.count("duplicates_resent"), server.count("duplicates_in_progress")), (1, 1));
    server.transmit(NETWORK);
    assert_eq!(server.take_sent().last().map(|sent| sent.octets.clone()), Some(first[0].octets.clone()));
    assert!(server.discards().is_empty());
    // The same Identifier with other octets is a new request, and shed; the kept reply stays.
    server.datagram(nas(1000), &Ask::bob().identifier(7).authenticator(99).octets());
    assert_eq!(server.discards(), [("worker-full", 1)].into());
    server.datagram(nas(1000), &bob(7));
    assert_eq!(server.count("duplicates_resent"), 2);
    server.assert_nothing_is_left();
}

#[test]
fn a_forged_duplicate_is_verified_and_gets_nothing() {
    let mut server = full();
    // The same Identifier and Request Authenticator, signed under another secret.
    server.datagram(nas(1000), &Ask::bob().identifier(1).forged().octets());
    assert_eq!(server.discards(), [("bad-message-authenticator", 1)].into());
    assert_eq!(server.count("duplicates_in_progress"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn duplicates_are_known_under_either_secret_and_unsigned() {
    let [new, old] = [SECRET, OTHER_SECRET].map(|secret| std::str::from_utf8(secret).expect("it is text"));
    let text = configuration(TIGHT, USERS).replacen(
        &format!("secret = \"{new}\""),
        &format!("secret = [\"{new}\", \"{old}\"]"),
        1,
    );
    // Forged is what is signed under the other secret, which is the old one here.
    for first in [Ask::bob(), Ask::bob().forged(), Ask::bob().unsigned()] {
        let octets = first.identifier(200).octets();
        let mut server = Server::of(&text);
        assert_eq!(server.ask(nas(1000), &octets).len(), 1);
        for identifier in 0..3 {
            server.datagram(nas(1000), &bob(identifier));
        }
        server.datagram(nas(1000), &octets);
        assert_eq!(server.count("duplicates_resent"), 1);
        server.assert_nothing_is_left();
    }
}

#[test]
fn status_server_is_answered_all_the_same() {
    let mut server = full();
    server.datagram(nas(1000), &Ask::status().octets());
    server.transmit(NETWORK);
    assert_eq!((server.take_sent().len(), server.count("status_answered")), (1, 1));
    server.assert_nothing_is_left();
}
