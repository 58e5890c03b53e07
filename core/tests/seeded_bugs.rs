//! Seeded bugs that a situation of a few packets shows and no law of the simulator: with each of them switched on its
//! situation ends otherwise. One test, as a bug is chosen for the whole process. `scripts/seeded-bugs` has it in its table.
#![cfg(feature = "seeded-bugs")]

mod support;

use std::time::Duration;
use support::{Ask, Server, USERS, nas};
use ulna_core::seeded::{Bug, choose};

const LAYOUT: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 64\n";
const NETWORK: usize = 0;
const WORKER: usize = 1;

/// Whether a duplicate gets the reply whose completion lies in a ring.
fn a_duplicate_of_what_has_just_been_answered_gets_the_reply() -> bool {
    let request = Ask::bob().octets();
    let mut server = Server::new(LAYOUT, USERS);
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    server.turn(WORKER);
    assert_eq!(server.sent.len(), 1, "the worker has answered");
    server.datagram(nas(1000), &request);
    server.finish_turn(NETWORK);
    server.sent.len() == 2
}

/// Whether counters are true a second after the last packet, however much lies in the rings.
fn a_deadline_finds_all_completions() -> bool {
    let mut server = Server::new(LAYOUT, USERS);
    // More than a turn takes off a ring, and two batches of them.
    for batch in 0..2 {
        for port in 0..25 {
            server.datagram(nas(1000 + 100 * batch + port), &Ask::bob().octets());
        }
        server.finish_turn(NETWORK);
        server.turn(WORKER);
        server.threads[NETWORK].begin();
    }
    assert_eq!((server.sent.len(), server.count("in_progress")), (50, 50));
    server.pass(Duration::from_secs(1));
    server.turn(NETWORK);
    server.count("in_progress") == 0
}

/// Whether no more look-ups are under way than may be.
fn look_ups_under_way_are_bounded() -> bool {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let rule = format!(
        "{USERS}[[client_rule]]\nname = \"any\"\nnetwork = \"100.64.0.0/10\"\nnat = true\nlimits = {{ pending = 3 }}\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n"
    );
    let mut server = Server::new(LAYOUT, &rule);
    for number in 0..20u16 {
        let asked = Ask::bob().with(32, format!("site-{number}").as_bytes());
        server.ask(([100, 64, 0, 1], 1000 + number).into(), &asked.octets());
    }
    server.effects.len() == 3
}

#[test]
fn each_seeded_bug_dies_by_its_situation() {
    let situations: [(Bug, fn() -> bool); 3] = [
        (Bug::InProgressWithoutSweep, a_duplicate_of_what_has_just_been_answered_gets_the_reply),
        (Bug::DeadlineWithoutSweep, a_deadline_finds_all_completions),
        (Bug::LookUpsUnbounded, look_ups_under_way_are_bounded),
    ];
    for (bug, holds) in situations {
        choose(None);
        assert!(holds(), "without {} it holds", bug.name());
        choose(Some(bug));
        let is_dead = !holds();
        choose(None);
        println!("{:42} {}", bug.name(), if is_dead { "dead" } else { "alive" });
        assert!(is_dead, "{} lives", bug.name());
    }
}
