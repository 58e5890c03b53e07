//! What loom's models of the queues have in common: bells, the end of a turn, and seeded bugs each in a process of its
//! own.
//!
//! A bell is a mutex and a condition variable without a time-out, so a lost wake-up is a deadlock, which loom reports.
//! Nothing here spins.

use loom::sync::{Arc, Condvar, Mutex};
use ulna_core::queue::{Announcement, BellId, Crossing};
use ulna_core::seeded::{self, Bug};

/// Runs a model without bugs. `preemption_bound`: how often a thread may be stopped where it need not be; `None` is
/// every interleaving there is.
pub fn check(preemption_bound: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemption_bound;
    builder.check(model);
}

/// The end of a turn in which something was staged or taken.
pub fn publish_and_ring<L: Send>(crossing: &mut Crossing<u8, L>, bells: &Bells) {
    crossing.publish();
    ring(crossing, bells);
}

/// After a publish.
pub fn ring<L: Send>(crossing: &mut Crossing<u8, L>, bells: &Bells) {
    while let Some(bell) = crossing.check_gate() {
        bells.ring(bell);
    }
}

/// The end of a turn after which there is nothing to do. Some seeded bugs are its own.
pub fn park<L: Send>(crossing: &mut Crossing<u8, L>, announcement: Announcement, bells: &Bells) {
    let announcement = if seeded::is(Bug::LimitParkedWithPark) { Announcement::Park } else { announcement };
    let found = if seeded::is(Bug::SecondLookBeforeAnnouncement) {
        let found = crossing.is_anything_unread();
        crossing.announce(announcement);
        found
    } else {
        crossing.announce(announcement);
        crossing.look_again()
    };
    if !found {
        let own = bells.of(crossing.bell());
        if seeded::is(Bug::BellTakenAfterAnnouncement) {
            own.take();
        }
        own.sleep();
    }
    crossing.unpark();
}

/// The bells of all threads.
#[derive(Clone)]
pub struct Bells(Arc<Vec<Bell>>);

impl Bells {
    pub fn new(threads: usize) -> Self {
        Bells(Arc::new((0..threads).map(|_| Bell::default()).collect()))
    }

    pub fn ring(&self, whose: BellId) {
        self.of(whose).ring();
    }

    fn of(&self, whose: BellId) -> &Bell {
        &self.0[usize::from(whose.0)]
    }
}

/// Sticky, carries no data, belongs to a thread.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("nobody panics with it") = true;
        self.wake.notify_one();
    }

    fn take(&self) {
        *self.rung.lock().expect("nobody panics with it") = false;
    }

    /// Sleeps until it rings, and takes the ring.
    fn sleep(&self) {
        let mut rung = self.rung.lock().expect("nobody panics with it");
        while !*rung {
            rung = self.wake.wait(rung).expect("nobody panics with it");
        }
        *rung = false;
    }
}

/// Seeded bugs and the models that have to find them.
#[cfg(feature = "seeded-bugs")]
pub mod seeded_bugs {
    use super::{Bug, check, seeded};
    use std::process::Command;
    use std::time::Instant;

    /// How a model ends that has found something.
    #[derive(Debug, Clone, Copy)]
    #[allow(dead_code, reason = "not every file of models has bugs that end in each way")]
    pub enum End {
        /// All threads sleep: a wake-up was lost.
        Deadlock,
        /// A slot was read that nothing orders behind its being written.
        Race,
    }

    /// A bug, how the model ends with it, its name, and the model.
    pub type Hunt = (Bug, End, &'static str, fn());

    /// With its bug each model has to end so. It does in a process of its own: the bug is chosen for a whole process, and
    /// loom, tearing down what is blocked, may abort. `test` is the name of the test that calls this.
    pub fn each_dies(test: &str, hunts: &[Hunt]) {
        const CHOSEN: &str = "ULNA_LOOM_BUG";
        if let Some(chosen) = std::env::var_os(CHOSEN) {
            let hunt = hunts.iter().find(|(bug, ..)| *bug.name() == *chosen);
            let (bug, _, _, model) = hunt.expect("it is one of these");
            seeded::choose(Some(*bug));
            return check(Some(3), *model);
        }
        println!("{:42} fate  {:22} {:>5}  model", "bug", "end", "ms");
        let mut alive = Vec::new();
        for (bug, end, model, _) in hunts {
            let began = Instant::now();
            let run = Command::new(std::env::current_exe().expect("a test knows its own file"))
                .args([test, "--exact", "--nocapture"])
                .env(CHOSEN, bug.name())
                .env("RUST_BACKTRACE", "0")
                .output()
                .expect("it runs once more");
            let said = String::from_utf8_lossy(&run.stderr);
            let expected = match end {
                End::Deadlock => "deadlock; threads =",
                End::Race => "Causality violation: Concurrent read and write",
            };
            let name = bug.name();
            assert!(run.status.success() || said.contains(expected), "{name} failed in another way: {said}");
            let (fate, end) =
                if run.status.success() { ("alive", "-".into()) } else { ("dead", format!("{end:?}")) };
            println!("{name:42} {fate:5} {end:22} {:5}  {model}", began.elapsed().as_millis());
            if run.status.success() {
                alive.push(name);
            }
        }
        assert!(alive.is_empty(), "no model found {alive:?}");
    }
}
