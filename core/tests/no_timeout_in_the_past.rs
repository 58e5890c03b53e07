//! After a turn no deadline is left that is due: a thread would never sleep again.

mod support;

use proptest::prelude::*;
use std::time::Duration;
use support::{Ask, Server, USERS, nas};

const SETTINGS: &str = "[protocol]\nreject_delay = \"50ms\"\ndedup_lifetime = \"200ms\"\n[runtime]\n";

fn assert_none_is_due(server: &Server, thread: usize) {
    if let Some((due, cause)) = server.threads[thread].poll_timeout() {
        assert!(due > server.now, "{cause:?} was due at {due}, it is {}", server.now);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask { port: u16, identifier: u8, authenticator: u8, right: bool, signed: bool },
    Turn { thread: usize },
    Pass { microseconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1000u16..1004, 0u8..8, 0u8..3, any::<bool>(), any::<bool>()).prop_map(
            |(port, identifier, authenticator, right, signed)| Step::Ask { port, identifier, authenticator, right, signed }
        ),
        4 => (0usize..5).prop_map(|thread| Step::Turn { thread }),
        2 => (0u64..150_000).prop_map(|microseconds| Step::Pass { microseconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn after_any_turn(
        networks in 0usize..=2,
        workers in 1usize..=2,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let settings = format!(
            "{SETTINGS}network_threads = {networks}\nworkers = {workers}\nring_slots = 16\ndedup_entries_max = 64\n"
        );
        let mut server = Server::new(&settings, USERS);
        for step in steps {
            match step {
                Step::Ask { port, identifier, authenticator, right, signed } => {
                    let ask = if right { Ask::bob() } else { Ask::wrong() };
                    let ask = if signed { ask } else { ask.unsigned() };
                    let octets = ask.identifier(identifier).authenticator(authenticator).octets();
                    let thread = server.owner(nas(port));
                    server.threads[thread].begin();
                    server.threads[thread].sweep(server.now);
                    server.datagram(nas(port), &octets);
                    server.finish_turn(thread);
                    assert_none_is_due(&server, thread);
                }
                Step::Turn { thread } => {
                    let thread = thread % server.threads.len();
                    server.turn(thread);
                    assert_none_is_due(&server, thread);
                }
                Step::Pass { microseconds } => server.pass(Duration::from_micros(microseconds)),
            }
        }
        server.assert_nothing_is_left();
    }
}

#[test]
fn many_replies_that_expire_at_once_take_few_turns() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
    let mut server = Server::new(settings, USERS);
    for request in 0..2000u16 {
        server.datagram(nas(1000 + request / 250), &Ask::bob().identifier((request % 250) as u8).octets());
        if request % 500 == 499 {
            server.settle();
        }
    }
    assert_eq!(server.sent.len(), 2000);
    server.pass(server.configuration.protocol.dedup_lifetime);
    let mut turns = 0;
    while server.threads[0].poll_timeout().is_some_and(|(due, _)| due <= server.now) {
        server.turn(0);
        turns += 1;
    }
    // 256 at a time: an expiry of very many must not hold packets up.
    assert_eq!(turns, 8);
    assert_eq!(server.count("dedup_entries"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn many_rejects_that_are_due_at_once_all_leave() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
    let mut server = Server::new(settings, USERS);
    for request in 0..2000u16 {
        server.datagram(nas(1000 + request / 250), &Ask::wrong().identifier((request % 250) as u8).octets());
        if request % 500 == 499 {
            server.settle();
        }
    }
    assert_eq!(server.count("delayed_rejects"), 2000);
    server.pass(server.configuration.protocol.reject_delay);
    let mut turns = 0;
    while server.threads[0].poll_timeout().is_some_and(|(due, _)| due <= server.now) {
        server.turn(0);
        turns += 1;
    }
    assert_eq!((turns, server.sent.len()), (2, 2000), "as many at a time as can wait to be sent");
    server.assert_nothing_is_left();
}

#[test]
fn an_idle_server_has_no_deadline_at_all() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 2\nworkers = 2\n", USERS);
    server.settle();
    assert!(server.threads.iter().all(|cores| cores.poll_timeout().is_none()));
    server.ask(nas(1000), &Ask::bob().octets());
    server.drain();
    assert!(server.threads.iter().all(|cores| cores.poll_timeout().is_none()));
}
