//! A kept reply stands for the dedup lifetime, or until a full table has to give it up. RFC 5080 §2.2.2.

mod support;

use std::time::Duration;
use support::{Ask, Server, USERS, nas};
use ulna_core::packet::number;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const SMALL: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\ndedup_entries_max = 4\n";
const LIFETIME: Duration = Duration::from_secs(10);
const INSTANT: Duration = Duration::from_nanos(1);

// checklist 38
#[test]
fn it_stands_for_its_lifetime_and_is_then_forgotten() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    assert_eq!(server.configuration.protocol.dedup_lifetime, LIFETIME, "as by default");
    server.ask(nas(1000), &request);
    server.run(LIFETIME - INSTANT);
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (1, 1));
    server.run(INSTANT);
    assert_eq!(server.count("dedup_entries"), 0);
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (2, 1));
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_does_not_prolong_it() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &request);
    for _ in 0..4 {
        server.run(LIFETIME / 5);
        server.ask(nas(1000), &request);
    }
    server.run(LIFETIME / 5);
    assert_eq!(server.count("dedup_entries"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn a_rejects_lifetime_begins_when_it_leaves() {
    let request = Ask::wrong().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &request);
    server.run(server.configuration.protocol.reject_delay + LIFETIME - INSTANT);
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (1, 1));
    server.run(INSTANT);
    assert_eq!(server.count("dedup_entries"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn a_full_table_gives_its_oldest_reply_up() {
    let ask = |identifier| Ask::bob().identifier(identifier).octets();
    let mut server = Server::new(SMALL, USERS);
    for identifier in 0..5 {
        server.ask(nas(1000), &ask(identifier));
        server.pass(Duration::from_millis(1));
    }
    assert_eq!(server.count("replies_evicted"), 1);
    server.ask(nas(1000), &ask(1));
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (5, 1));
    server.ask(nas(1000), &ask(0));
    assert_eq!(server.count("decisions"), 6, "the oldest is forgotten and decided again");
    server.assert_nothing_is_left();
}

#[test]
fn unsigned_requests_never_evict_a_reply_to_a_signed_one() {
    let signed = |identifier| Ask::bob().identifier(identifier).octets();
    let mut server = Server::new(SMALL, USERS);
    for identifier in 0..4 {
        server.ask(nas(1000), &signed(identifier));
    }
    for identifier in 0..20 {
        assert!(server.ask(nas(2000), &Ask::bob().identifier(identifier).unsigned().octets()).is_empty());
    }
    assert_eq!(server.discards(), [("dedup-full", 20)].into());
    for identifier in 0..4 {
        assert_eq!(server.ask(nas(1000), &signed(identifier)).len(), 1);
    }
    assert_eq!((server.count("replies_evicted"), server.count("duplicates_resent")), (0, 4));
    server.assert_nothing_is_left();
}

#[test]
fn a_signed_request_evicts_an_unsigned_one_first_though_it_is_younger() {
    let mut server = Server::new(SMALL, USERS);
    for identifier in 0..3 {
        server.ask(nas(1000), &Ask::bob().identifier(identifier).octets());
        server.pass(Duration::from_millis(1));
    }
    server.ask(nas(1000), &Ask::bob().unsigned().octets());
    server.ask(nas(1000), &Ask::bob().identifier(9).octets());
    assert_eq!(server.count("replies_evicted"), 1);
    for identifier in [0, 1, 2, 9] {
        server.ask(nas(1000), &Ask::bob().identifier(identifier).octets());
    }
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (5, 4));
    server.ask(nas(1000), &Ask::bob().unsigned().octets());
    assert_eq!(server.discards(), [("dedup-full", 1)].into(), "what is left belongs to signed requests");
    server.assert_nothing_is_left();
}

#[test]
fn neither_requests_in_progress_nor_delayed_rejects_are_evicted() {
    let mut server = Server::new(SMALL, USERS);
    for identifier in 0..2 {
        server.ask(nas(1000), &Ask::wrong().identifier(identifier).octets());
    }
    for identifier in 2..6 {
        server.datagram(nas(1000), &Ask::bob().identifier(identifier).octets());
    }
    assert_eq!(server.discards(), [("dedup-full", 2)].into());
    server.settle();
    server.run(server.configuration.protocol.reject_delay);
    let mut identifiers: Vec<_> = server.sent.iter().map(|sent| sent.octets[1]).collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [0, 1, 2, 3]);
    server.assert_nothing_is_left();
}

#[test]
fn an_evicted_replys_memory_is_used_again() {
    // One page of replies, all of one class, and many times as many requests as it holds.
    let settings =
        "[runtime]\nnetwork_threads = 1\nworkers = 1\ndedup_entries_max = 64\nreplies_octets_max = 65_536\n";
    let mut server = Server::new(settings, USERS);
    for round in 0..4000u16 {
        let name = Ask::bob().with(number::NAS_PORT, &u32::from(round).to_be_bytes());
        let request = name.identifier(round as u8).authenticator((round >> 8) as u8).octets();
        assert_eq!(server.ask(nas(1000 + round % 8), &request).len(), 1);
    }
    assert_eq!(server.count("replies_not_kept"), 0);
    server.assert_nothing_is_left();
}
