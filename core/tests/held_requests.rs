//! A request that waits for an effect: answered when that is done, and ended by name where it is not. Here the effect is a
//! password to be hashed; what holds of it holds of any.

mod support;

use std::time::Duration;
use support::{Ask, HASHED, Reply, Server, configuration, nas};
use ulna_core::discard::Discard;
use ulna_core::event::{Event, Outcome};
use ulna_core::packet::Code;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 2\n";
const TIMEOUT: Duration = Duration::from_secs(30);
const INSTANT: Duration = Duration::from_nanos(1);

fn server(settings: &str) -> Server {
    Server::of(&configuration(settings, HASHED))
}

fn alice(identifier: u8) -> Ask {
    Ask::user(b"alice", b"wonderland").identifier(identifier)
}

fn code_of(request: &[u8], reply: &[u8]) -> Code {
    Reply::to(request, reply).code
}

#[test]
fn it_is_answered_when_the_effect_is_done() {
    for layout in [SEPARATE, JOINED] {
        let request = alice(1).octets();
        let mut server = server(layout);
        assert!(server.ask(nas(1000), &request).is_empty());
        assert_eq!((server.effects.len(), server.count("requests_held")), (1, 1));
        assert_eq!(server.count("decisions"), 0);
        server.assert_sums();
        assert!(!server.threads.iter().all(|cores| cores.is_drained()));
        server.run(Duration::from_secs(2));
        // Meanwhile the others are served.
        let bob = Ask::bob().identifier(9).octets();
        assert_eq!(code_of(&bob, &server.ask(nas(1001), &bob)[0].octets), Code::AccessAccept);

        let reply = server.answer_effect("wonderland");
        assert_eq!(code_of(&request, &reply[0].octets), Code::AccessAccept);
        assert_eq!((server.count("requests_held"), server.count("effects")), (0, 1));
        assert_eq!(server.ask(nas(1000), &request)[0].octets, reply[0].octets, "duplicates get the same");
        server.assert_nothing_is_left();
    }
}

#[test]
fn answers_may_come_in_any_order() {
    let mut server = server(SEPARATE);
    for identifier in 0..5 {
        server.ask(nas(1000), &alice(identifier).octets());
    }
    for (place, identifier) in [(3, 3), (0, 0), (2, 4), (1, 2), (0, 1)] {
        server.effects.swap(0, place);
        let sent = server.answer_effect("wonderland");
        assert_eq!((sent.len(), sent[0].octets[1]), (1, identifier));
        let before = server.effects.len();
        server.effects.sort_by_key(|(_, ticket, _)| *ticket);
        assert_eq!(server.count("requests_held"), before as u64);
    }
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_of_it_is_ignored() {
    let request = alice(1).octets();
    let mut server = server(SEPARATE);
    for _ in 0..3 {
        assert!(server.ask(nas(1000), &request).is_empty());
    }
    assert_eq!((server.effects.len(), server.count("duplicates_in_progress")), (1, 2));
    assert_eq!(server.count("late_notices"), 0, "its worker still has it");
    assert_eq!(server.answer_effect("wonderland").len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn superseded_it_is_let_go_of_and_never_answered() {
    for layout in [SEPARATE, JOINED] {
        let (old, new) = (alice(1).octets(), alice(1).authenticator(2).octets());
        let mut server = server(layout);
        server.ask(nas(1000), &old);
        server.ask(nas(1000), &new);
        assert_eq!((server.count("superseded"), server.count("requests_held")), (1, 1));
        assert_eq!(server.count("late_notices"), 0);
        assert!(server.answer_effect("wonderland").is_empty(), "the answer for the old one");
        assert_eq!(server.count("effects_late"), 1);
        let reply = server.answer_effect("wonderland");
        assert_eq!((reply.len(), code_of(&new, &reply[0].octets)), (1, Code::AccessAccept));
        let superseded =
            |event: &&Event| matches!(event, Event::Finished { outcome: Outcome::Superseded, .. });
        assert_eq!(server.events.iter().filter(superseded).count(), 1);
        assert_eq!((server.count("answered"), server.count("superseded")), (1, 1));
        server.assert_nothing_is_left();
    }
}

#[test]
fn an_answer_for_one_that_is_gone_is_not_given_to_another_in_its_place() {
    let mut server = server(SEPARATE);
    server.ask(nas(1000), &alice(1).octets());
    for (authenticator, password) in [(2, b"guess"), (3, b"again")] {
        server.ask(nas(1000), &Ask::user(b"alice", password).authenticator(authenticator).octets());
    }
    let [first, _, third] = [0, 1, 2].map(|place| server.effects[place].1);
    assert_eq!((first.place, server.count("requests_held")), (third.place, 1));
    assert!(server.answer_effect("wonderland").is_empty(), "that of the first, whose password was right");
    assert_eq!((server.count("requests_held"), server.count("effects_late")), (1, 1));
    assert!(server.answer_effect("wonderland").is_empty());
    assert_eq!(server.count("requests_held"), 1);
    server.answer_effect("wonderland");
    assert_eq!((server.count("requests_held"), server.count("rejects"), server.count("accepts")), (0, 1, 0));
    server.assert_nothing_is_left();
}

#[test]
fn after_request_timeout_it_is_discarded_and_a_late_answer_finds_nothing() {
    for layout in [SEPARATE, JOINED] {
        let request = alice(1).octets();
        let mut server = server(layout);
        server.ask(nas(1000), &request);
        server.run(TIMEOUT - INSTANT);
        assert_eq!((server.count("requests_held"), server.discards().len()), (1, 0));
        server.run(INSTANT);
        assert_eq!((server.count("requests_held"), server.discarded(Discard::EffectTimedOut)), (0, 1));
        assert!(server.answer_effect("wonderland").is_empty());
        assert_eq!(server.count("effects_late"), 1);
        // Its retransmission starts anew.
        server.ask(nas(1000), &request);
        assert_eq!(server.answer_effect("wonderland").len(), 1);
        server.assert_nothing_is_left();
    }
}

#[test]
fn where_the_line_is_full_it_is_discarded_by_name_at_once() {
    let request = alice(1).octets();
    let mut server = server(SEPARATE);
    server.ask(nas(1000), &request);
    assert!(server.shed_effect().is_empty());
    server.run(Duration::from_millis(100));
    assert_eq!((server.count("requests_held"), server.discarded(Discard::HashLineFull)), (0, 1));
    assert_eq!(server.count("failures"), 0, "nothing is known of the password");
    server.ask(nas(1000), &request);
    assert_eq!(server.answer_effect("wonderland").len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn as_many_are_held_as_a_worker_may_have() {
    let settings = format!("{SEPARATE}requests_max = 20\n");
    let mut server = server(&settings);
    for round in 0..3 {
        for identifier in 0..25 {
            server.ask(nas(1000), &alice(identifier).authenticator(round).octets());
        }
        // A quarter is kept for what is shed later.
        assert_eq!((server.effects.len(), server.count("requests_held")), (15, 15));
        assert_eq!(server.discarded(Discard::WorkerFull), 10 * u64::from(round + 1));
        for _ in 0..5 {
            assert_eq!(server.answer_effect("wonderland").len(), 1);
        }
        server.run(TIMEOUT);
        assert_eq!(server.discarded(Discard::EffectTimedOut), 10 * u64::from(round + 1));
        server.effects.clear();
        server.drain();
    }
    server.assert_nothing_is_left();
}
