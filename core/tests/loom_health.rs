//! What workers learn of a remote server at once, every interleaving and every value that the memory orders allow a load to see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ulna-core --test loom_health --release`
#![cfg(loom)]

use core::time::Duration;
use loom::sync::Arc;
use loom::thread;
use ulna_core::Instant;
use ulna_core::forward::{Health, Judgement, Standing, StatusCheck};

const JUDGEMENT: Judgement = Judgement {
    status_check: StatusCheck::StatusServer,
    response_window: Duration::from_secs(20),
    zombie_period: Duration::from_secs(40),
    revive_interval: Duration::from_secs(120),
    status_interval: Duration::from_secs(30),
};

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

/// What two workers are told that do this at the same time, and what the server is then.
fn both(
    prepare: fn(&Health),
    one: fn(&Health) -> Option<Standing>,
    other: fn(&Health) -> Option<Standing>,
    hold: fn([Option<Standing>; 2], &Health),
) {
    loom::model(move || {
        let health = Arc::new(Health::new());
        prepare(&health);
        let shared = Arc::clone(&health);
        let worker = thread::spawn(move || one(&shared));
        let there = other(&health);
        let here = worker.join().expect("no worker panics");
        hold([here, there], &health);
    });
}

#[test]
fn a_suspicion_that_races_with_a_reply_does_not_stay() {
    both(
        |_| {},
        |health| health.note_reply(&JUDGEMENT, at(20)),
        |health| health.note_no_answer(&JUDGEMENT, at(0), at(20)),
        |told, health| {
            assert_eq!(health.standing(&JUDGEMENT, at(20)), Standing::Alive);
            let both = [Some(Standing::Alive), Some(Standing::Zombie)];
            assert!(told == both || told == [None, None], "{told:?}");
        },
    );
}

#[test]
fn one_of_two_is_told_of_a_suspicion() {
    let suspect = |health: &Health| health.note_no_answer(&JUDGEMENT, at(0), at(20));
    both(
        |_| {},
        suspect,
        suspect,
        |told, health| {
            assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [&Standing::Zombie]);
            assert_eq!(health.standing(&JUDGEMENT, at(20)), Standing::Zombie);
        },
    );
}

#[test]
fn one_of_two_notes_a_death() {
    let note = |health: &Health| health.handle_timeout(&JUDGEMENT, at(60));
    let suspect = |health: &Health| {
        health.note_no_answer(&JUDGEMENT, at(0), at(20));
    };
    both(suspect, note, note, |told, _| {
        assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [&Standing::Dead]);
    });
}

#[test]
fn one_of_two_probes() {
    let probe = |health: &Health| health.claim_probe(&JUDGEMENT, at(21)).then_some(Standing::Zombie);
    let suspect = |health: &Health| {
        health.note_no_answer(&JUDGEMENT, at(0), at(20));
    };
    both(suspect, probe, probe, |told, health| {
        assert_eq!(told.iter().flatten().count(), 1);
        assert!(!health.claim_probe(&JUDGEMENT, at(21)));
    });
}

#[test]
fn two_answers_to_one_probe_count_once() {
    let reply = |health: &Health| health.note_reply(&JUDGEMENT, at(161));
    // Dead since 60 s, and two probes in a row answered with the third out: either reply revives it, one is told.
    let prepare = |health: &Health| {
        health.note_no_answer(&JUDGEMENT, at(0), at(20));
        for second in [100, 130] {
            assert!(health.claim_probe(&JUDGEMENT, at(second)));
            assert_eq!(health.note_reply(&JUDGEMENT, at(second + 1)), None);
        }
        assert!(health.claim_probe(&JUDGEMENT, at(160)));
    };
    both(prepare, reply, reply, |told, health| {
        assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [&Standing::Alive]);
        assert_eq!(health.standing(&JUDGEMENT, at(161)), Standing::Alive);
    });
    // Two answered probes of two are not three, however often they are answered.
    let prepare = |health: &Health| {
        health.note_no_answer(&JUDGEMENT, at(0), at(20));
        assert!(health.claim_probe(&JUDGEMENT, at(100)));
        health.note_reply(&JUDGEMENT, at(101));
        assert!(health.claim_probe(&JUDGEMENT, at(160)));
    };
    both(prepare, reply, reply, |told, health| {
        assert_eq!(told, [None, None]);
        assert_eq!(health.standing(&JUDGEMENT, at(161)), Standing::Dead);
    });
}
