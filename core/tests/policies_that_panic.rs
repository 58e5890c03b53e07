//! A policy that panics where it is not asked about a request: as it hears of a configuration, as it is to forget one, as it
//! is made. Its worker is replaced, as for any other panic, and the step that was under way is taken again.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Ask, Server, USERS, configuration, nas};
use ulna_core::configuration::Configuration;
use ulna_core::generation::Generation;
use ulna_core::path::{Peer, WorkerId};
use ulna_core::policy::{Asked, Decision, Policy, Verdict};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";

/// How many panics there are still to be, and how often a configuration was heard of or forgotten.
#[derive(Default)]
struct Fuses {
    hearing: AtomicU64,
    forgetting: AtomicU64,
    making: AtomicU64,
    heard: AtomicU64,
    forgotten: AtomicU64,
}

fn burn(fuse: &AtomicU64) {
    let left = fuse.load(Ordering::Relaxed);
    if left > 0 {
        fuse.store(left - 1, Ordering::Relaxed);
        // Without the hook of panics, which would write to the test's output.
        resume_unwind(Box::new("a policy panics"));
    }
}

struct Touchy(Arc<Fuses>);

impl Policy for Touchy {
    fn decide<'p>(&'p mut self, _asked: &Asked<'_>) -> Verdict<'p> {
        Verdict::plain(Decision::Accept)
    }

    fn handle_configuration(&mut self, _generation: Generation, _configuration: &Arc<Configuration>) {
        burn(&self.0.hearing);
        self.0.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn forget_older(&mut self) {
        burn(&self.0.forgetting);
        self.0.forgotten.fetch_add(1, Ordering::Relaxed);
    }
}

fn touchy(layout: &str) -> (Server, Arc<Fuses>) {
    let fuses = Arc::<Fuses>::default();
    let own = Arc::clone(&fuses);
    let server = Server::with(&configuration(layout, USERS), move |_| {
        burn(&own.making);
        Box::new(Touchy(Arc::clone(&own)))
    });
    (server, fuses)
}

/// As a driver takes a step: again, once a core that has panicked is replaced. How often it had to be.
fn persistently(server: &mut Server, mut step: impl FnMut(&mut Server)) -> u64 {
    let mut deaths = 0;
    while catch_unwind(AssertUnwindSafe(|| step(server))).is_err() {
        let dead = server.threads.len() - 1;
        while catch_unwind(AssertUnwindSafe(|| {
            let died = server.threads[dead].recover(server.now);
            assert_eq!(died, Some(Peer::Worker(WorkerId(0))));
        }))
        .is_err()
        {
            deaths += 1;
        }
        deaths += 1;
        assert!(deaths < 10, "it ends");
    }
    deaths
}

#[test]
fn a_reload_goes_on_with_a_worker_in_the_place_of_the_one_whose_policy_panicked() {
    for layout in [SEPARATE, JOINED] {
        let (mut server, fuses) = touchy(layout);
        assert_eq!(server.ask(nas(1000), &Ask::bob().octets()).len(), 1);
        // The first panics, its successor as it is told, too; and the one after that cannot be made at once.
        fuses.hearing.store(2, Ordering::Relaxed);
        server.prepare(&configuration(layout, USERS));
        let deaths = persistently(&mut server, |server| {
            if server.count("deaths") == 1 {
                fuses.making.store(1, Ordering::Relaxed);
            }
            server.hand_out();
        });
        assert_eq!((deaths, server.count("deaths")), (2, 2));
        assert_eq!(
            fuses.heard.load(Ordering::Relaxed),
            1,
            "who hears of it when it is made is not told again"
        );
        server.put_in_force();
        assert_eq!(server.ask(nas(1001), &Ask::bob().octets()).len(), 1);
        assert!(!server.needs_older());
        fuses.forgetting.store(1, Ordering::Relaxed);
        assert_eq!(persistently(&mut server, Server::forget_older), 1);
        assert_eq!(fuses.forgotten.load(Ordering::Relaxed), 0, "the successor never knew the older");
        assert_eq!(server.ask(nas(1002), &Ask::bob().octets()).len(), 1);
        // And the next reload finds all as it should be.
        server.reload(&configuration(layout, USERS));
        server.forget_older();
        assert_eq!(fuses.forgotten.load(Ordering::Relaxed), 1);
        assert_eq!((server.count("deaths"), server.count("answered")), (3, 3));
        server.assert_nothing_is_left();
    }
}

#[test]
fn nothing_has_changed_when_a_new_workers_policy_cannot_be_made() {
    let (mut server, fuses) = touchy("[runtime]\nnetwork_threads = 2\nworkers = 1\n");
    fuses.making.store(1, Ordering::Relaxed);
    let changed = catch_unwind(AssertUnwindSafe(|| server.begin_change(3)));
    assert!(changed.is_err());
    assert_eq!(server.threads.len(), 3);
    let unread = |server: &mut Server| server.threads.iter_mut().any(|cores| cores.is_anything_unread());
    assert!(!unread(&mut server), "no letter was posted");
    assert_eq!(server.ask(nas(1000), &Ask::bob().octets()).len(), 1);
    // The second of two: the first is not hired without it.
    let own = Arc::clone(&fuses);
    let counted = AtomicU64::new(0);
    let mut late =
        Server::with(&configuration("[runtime]\nnetwork_threads = 2\nworkers = 1\n", USERS), move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) == 2 {
                resume_unwind(Box::new("a policy panics"));
            }
            Box::new(Touchy(Arc::clone(&own)))
        });
    assert!(catch_unwind(AssertUnwindSafe(|| late.begin_change(3))).is_err());
    assert!(!unread(&mut late), "no letter was posted");
    for server in [&mut server, &mut late] {
        server.begin_change(3);
        server.end_change();
        assert_eq!(server.threads.len(), 5);
        assert_eq!(server.ask(nas(1001), &Ask::bob().octets()).len(), 1);
        server.assert_nothing_is_left();
    }
}
