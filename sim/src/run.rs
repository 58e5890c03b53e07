//! One run of one plan from outside: build the server, run the world, say what came of it.

use crate::checks::Violation;
use crate::checks::execution::NO_PANIC;
use crate::digest::Value;
use crate::fault::{Fault, FaultClass};
use crate::goals::Goals;
use crate::phases::{Node, Snapshot};
use crate::plan::{FailureFile, Plan};
use crate::trace::{Entry, first_difference};
use crate::world::World;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use ulna_core::seeded::{self, Bug};

/// Makes the server that a plan describes.
pub type Builder = fn(&Plan) -> Box<dyn Node>;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The digest of all events.
    pub digest: Value,
    /// How many events.
    pub events: u64,
    /// The first breach, if there was one.
    pub violation: Option<Violation>,
    /// Transactions that NASes began.
    pub transactions: u64,
    /// Replies that the server sent.
    pub replies: u64,
    /// How many effects it asked for.
    pub effects: u64,
    /// Virtual nanoseconds.
    pub simulated: u64,
    /// Every fault that struck.
    pub faults: Vec<Fault>,
    /// How often each class struck, by its number.
    pub counts: [u64; FaultClass::COUNT],
    /// How often each goal was reached.
    pub goals: Goals,
    /// What the server's last process has counted.
    pub counted: Snapshot,
    /// The last events, oldest first.
    pub tail: Vec<Entry>,
}

/// Whether the seeded bug that a plan names can be switched on.
///
/// # Errors
/// There is no bug of that name, or bugs are not compiled in.
pub fn check_bug(plan: &Plan) -> Result<(), String> {
    match plan.bug.as_deref() {
        None => Ok(()),
        Some(name) if Bug::named(name).is_none() => Err(format!("there is no seeded bug {name:?}")),
        Some(_) if seeded::COMPILED_IN => Ok(()),
        Some(name) => Err(format!("the plan has the seeded bug {name:?}; build with --features seeded-bugs")),
    }
}

/// From now on a panic in a run prints nothing: where it was is kept for the breach that it becomes.
pub fn keep_panics_quiet() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        if !RUNS.get() {
            return loud(information);
        }
        let place = information.location().map(|place| format!(", {}:{}", place.file(), place.line()));
        PANICKED_AT.set(place.unwrap_or_default());
    }));
}

thread_local! {
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// Runs a plan, with faults drawn or, if a log is given, repeated from it. Its seeded bug is switched on for the
/// whole process; a bug that [`check_bug`] refuses is ignored.
pub fn run(plan: &Plan, recorded: Option<&[Fault]>, build: Builder, tail_max: usize) -> Outcome {
    switch_bug(plan);
    let mut world = World::new(plan, &build, recorded, tail_max);
    let violation = finish(&mut world);
    Outcome {
        digest: world.trace().digest(),
        events: world.trace().events(),
        violation,
        transactions: world.transactions(),
        replies: world.replies(),
        effects: world.effects(),
        simulated: world.now(),
        faults: world.faults().log().to_vec(),
        counts: *world.faults().counts(),
        goals: world.goals(),
        counted: world.counted(),
        tail: world.trace().tail().cloned().collect(),
    }
}

/// Runs a plan twice.
///
/// # Errors
/// The first event that differs, in words.
pub fn check_determinism(plan: &Plan, recorded: Option<&[Fault]>, build: Builder) -> Result<Value, String> {
    switch_bug(plan);
    let mut one = World::new(plan, &build, recorded, usize::MAX);
    let mut other = World::new(plan, &build, recorded, usize::MAX);
    let ends = (finish(&mut one), finish(&mut other));
    if let Some((number, a, b)) = first_difference(one.trace(), other.trace()) {
        let show = |entry: Option<Entry>| entry.map_or("the run has ended".into(), |entry| entry.to_string());
        return Err(format!("event {number} differs:\n  {}\n  {}", show(a), show(b)));
    }
    if one.trace().digest() != other.trace().digest() || ends.0 != ends.1 {
        return Err(format!("the digests differ, {} and {}", one.trace().digest(), other.trace().digest()));
    }
    Ok(one.trace().digest())
}

/// The failure file of a run that broke a law.
pub fn failure_file(plan: &Plan, outcome: &Outcome) -> Option<FailureFile> {
    let violation = outcome.violation.as_ref()?;
    Some(FailureFile {
        plan: plan.clone(),
        faults: outcome.faults.clone(),
        invariant: violation.invariant.name.into(),
        details: violation.details.clone(),
        digest: outcome.digest.to_string(),
    })
}

#[cfg(feature = "seeded-bugs")]
fn switch_bug(plan: &Plan) {
    seeded::choose(plan.bug.as_deref().and_then(Bug::named));
}

#[cfg(not(feature = "seeded-bugs"))]
fn switch_bug(_plan: &Plan) {}

/// Runs a world; a panic of the server is a breach as well.
fn finish(world: &mut World<'_>) -> Option<Violation> {
    RUNS.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    RUNS.set(false);
    match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
            Some(Violation {
                invariant: &NO_PANIC,
                at: world.now(),
                details: format!("{text}{}", PANICKED_AT.take()),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultClass;
    use crate::plan::FaultPlan;
    use crate::stand_in::{Flaw, StandIn, build};
    use crate::swarm::Profile;

    /// The first violation that seeds show with this flaw, and how many seeds it took.
    fn killer(flaw: Flaw, profile: Profile) -> Option<&'static str> {
        (0..60).find_map(|seed| {
            let plan = Plan::drawn(seed, profile);
            let mut world = World::new(&plan, &|plan| Box::new(StandIn::new(plan, Some(flaw))), None, 0);
            finish(&mut world).map(|violation| violation.invariant.name)
        })
    }

    #[test]
    fn a_server_without_flaw_breaks_no_law() {
        // It forwards nothing, and has no control socket.
        let is_its = |profile: &Profile| !profile.forwards() && *profile != Profile::Control;
        for profile in Profile::ALL.into_iter().filter(is_its) {
            for seed in 0..12 {
                let outcome = run(&Plan::drawn(seed, profile), None, build, 0);
                assert_eq!(outcome.violation, None, "{} {seed}", profile.name());
                assert!(outcome.transactions >= 50 && outcome.replies > 0, "{} {seed}", profile.name());
            }
        }
    }

    #[test]
    fn each_flaw_breaks_its_law() {
        for (flaw, laws) in [
            (Flaw::SecondLookMissing, &["no-lost-wakeup"][..]),
            (Flaw::RingsAlways, &["rings-up-to-parks"]),
            (Flaw::DuplicateByIdentifier, &["progress", "one-per-copy"]),
            (Flaw::DecidesAgain, &["once"]),
            (Flaw::ProxyStateReversed, &["proxy-states"]),
            (Flaw::Unsigned, &["signed-first"]),
            (Flaw::RejectsAtOnce, &["reject-delay"]),
            (Flaw::OtherDoor, &["same-door"]),
            (Flaw::UncountedDiscard, &["one-fate"]),
            (Flaw::TimeoutLate, &["timeout-not-late"]),
            (Flaw::TimeoutLateUnseen, &["reject-not-late"]),
            (Flaw::DuplicateWithoutPort, &["once"]),
            (Flaw::BelievesAll, &["verified-only", "unverified-silence"]),
            (Flaw::Panics, &["no-panic"]),
            (Flaw::ParksWithOutput, &["done-before-park", "status-answered"]),
            (Flaw::DuplicatesDiffer, &["identical-duplicate", "reply-attributes", "proxy-states"]),
        ] {
            let found = killer(flaw, Profile::Swarm);
            assert!(found.is_some_and(|name| laws.contains(&name)), "{flaw:?}: {found:?}");
        }
    }

    #[test]
    fn the_same_plan_gives_the_same_digest_and_another_seed_another() {
        let plan = Plan::from_seed(4);
        let digest = check_determinism(&plan, None, build).expect("the stand-in is deterministic");
        assert_eq!(digest, run(&plan, None, build, 0).digest);
        assert_ne!(digest, run(&Plan::from_seed(5), None, build, 0).digest);
    }

    #[test]
    fn the_fault_log_alone_repeats_the_run() {
        for profile in [Profile::Everything, Profile::Nat] {
            for seed in 0..6 {
                let plan = Plan::drawn(seed, profile);
                let outcome = run(&plan, None, build, 0);
                assert!(outcome.faults.len() > 20);
                let again = run(&plan, Some(&outcome.faults), build, 0);
                assert_eq!((again.digest, again.faults), (outcome.digest, outcome.faults), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_class_at_intensity_zero_changes_nothing() {
        let of_nats: Vec<FaultClass> =
            FaultClass::ALL.iter().copied().filter(|class| !Profile::Everything.has(*class)).collect();
        for profile in [Profile::Swarm, Profile::Nat] {
            let mut plan = Plan::drawn(6, profile);
            plan.faults.retain(|fault| !of_nats.contains(&fault.class));
            let mut with = plan.clone();
            for &class in FaultClass::ALL {
                if plan.faults.iter().all(|fault| fault.class != class) {
                    with.faults.push(FaultPlan { class, per_myriad: 0 });
                }
            }
            assert!(with.faults.len() > plan.faults.len() + 4);
            assert_eq!(run(&plan, None, build, 0).digest, run(&with, None, build, 0).digest);
        }
    }
}
