//! The server in all profiles, and what some of them are there for.

use super::*;
use crate::fault::FaultClass;
use crate::goals::{Goal, Goals};
use crate::plan::Standing;
use crate::run::{check_determinism, run};
use crate::swarm::Profile;

#[test]
fn the_server_breaks_no_law() {
    for profile in Profile::ALL {
        for seed in 0..10 {
            let outcome = run(&Plan::drawn(seed, profile), None, build, 0);
            assert_eq!(outcome.violation, None, "{} {seed}", profile.name());
            assert!(outcome.transactions >= 50 && outcome.replies > 0, "{} {seed}", profile.name());
        }
    }
}

#[test]
fn passwords_are_hashed_in_every_way_that_there_is() {
    let mut effects = 0;
    let mut struck = [0; FaultClass::COUNT];
    for seed in 0..20 {
        let outcome = run(&Plan::drawn(seed, Profile::Everything), None, build, 0);
        effects += outcome.effects;
        struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(effects > 1_000, "{effects}");
    for class in [FaultClass::EffectSlow, FaultClass::EffectShed, FaultClass::EffectLost] {
        assert!(struck[class as usize] > 20, "{class:?} {}", struck[class as usize]);
    }
}

#[test]
fn nats_do_all_that_they_are_there_for() {
    let mut struck = [0; FaultClass::COUNT];
    let mut goals = Goals::default();
    for seed in 0..30 {
        let outcome = run(&Plan::drawn(seed, Profile::Nat), None, build, 0);
        assert_eq!(outcome.violation, None, "{seed}");
        struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
        goals.add(&outcome.goals);
    }
    for &class in
        FaultClass::ALL.iter().filter(|class| Profile::Nat.has(**class) && !Profile::Everything.has(**class))
    {
        assert!(struck[class as usize] > 50, "{class:?} {}", struck[class as usize]);
    }
    let mut of_nats = Goal::ALL.iter().filter(|goal| Profile::Nat.reaches(**goal));
    assert!(of_nats.all(|&goal| goals.count(goal) > 20), "{goals:?}");
}

#[test]
fn remote_servers_do_all_that_they_are_there_for() {
    for profile in [Profile::Proxy, Profile::Chain] {
        do_all_that_they_are_there_for(profile);
    }
}

fn do_all_that_they_are_there_for(profile: Profile) {
    let mut struck = [0; FaultClass::COUNT];
    let mut goals = Goals::default();
    for seed in 0..30 {
        let outcome = run(&Plan::drawn(seed, profile), None, build, 0);
        assert_eq!(outcome.violation, None, "{seed}");
        struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
        goals.add(&outcome.goals);
    }
    for &class in FaultClass::ALL.iter().filter(|class| class.is_of_forwarding()) {
        assert!(struck[class as usize] > 10, "{class:?} {}", struck[class as usize]);
    }
    let mut reached = Goal::ALL.iter().filter(|goal| profile.reaches(**goal));
    assert!(reached.all(|&goal| goals.count(goal) > 10), "{goals:?}");
}

#[test]
fn an_attacker_behind_a_nat_is_discarded_by_name_whatever_he_says_to_be() {
    let mut attackers = 0;
    for seed in 0..40 {
        let mut plan = Plan::drawn(seed, Profile::Nat);
        let nases = &mut plan.topology.nases;
        nases.retain(|nas| nas.standing == Standing::WrongSecret && nas.nat.is_some());
        attackers += nases.len();
        nases.iter_mut().for_each(|nas| nas.nas_identifiers.retain(|name| !name.starts_with("nobody")));
        (plan.faults, plan.reloads) = (Vec::new(), Vec::new());
        // What finds no room is not looked at, and no secret is asked for what nobody answers.
        plan.limits = Plan::drawn(3, Profile::Calm).limits;
        plan.topology.answers_accounting = true;
        let outcome = run(&plan, None, build, 0);
        assert_eq!((outcome.violation, outcome.replies), (None, 0), "{seed}");
        let Snapshot { received, discarded, unverified, .. } = outcome.counted;
        assert_eq!(received, discarded, "{seed}");
        // Where look-ups are needed, some are discarded as they wait for those: duplicates, and more than may.
        let waits = if plan.topology.client_rules.is_empty() { 0 } else { received / 4 };
        assert!(unverified + waits >= received, "{seed}: {unverified} of {received}");
        assert!(received > 0 || plan.topology.nases.is_empty(), "{seed}");
    }
    assert!(attackers > 5, "{attackers}");
}

#[test]
fn the_same_plan_gives_the_same_digest() {
    for seed in 0..5 {
        let plan = Plan::drawn(seed, Profile::Everything);
        check_determinism(&plan, None, build).expect("the server is deterministic");
        for profile in [Profile::Nat, Profile::Proxy, Profile::Chain] {
            let plan = Plan::drawn(seed, profile);
            check_determinism(&plan, None, build).expect("the server is deterministic");
        }
    }
}
