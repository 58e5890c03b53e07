//! NASes behind NATs, situation by situation: small plans written by hand, most with the very faults that are to strike.
//!
//! All laws hold in each, [`PROGRESS`](ulna_sim::checks::execution::PROGRESS) among them: whoever is patient gets his answer.

use std::net::{IpAddr, Ipv4Addr};
use ulna_sim::fault::{Fault, FaultClass};
use ulna_sim::goals::Goal;
use ulna_sim::node::build;
use ulna_sim::plan::nat::{Dependence, NatPlan, Pooling, PortOrder, WhenFull};
use ulna_sim::plan::{Client, NasPlan, Plan, Standing};
use ulna_sim::run::{Outcome, check_determinism, run};
use ulna_sim::site::Rules;
use ulna_sim::swarm::Profile;

/// So many NASes with the same source port behind one NAT of one address, each of which has patience and this many transactions
/// once what little there is of faulty time is over.
fn plan(nases: u32, transactions: u32) -> Plan {
    // Of usual limits.
    let mut plan = Plan::drawn(3, Profile::Calm);
    (plan.faulty_ms, plan.heal_ms) = (1, 35_000 + 8_000 * u64::from(transactions) + 60_000);
    let topology = &mut plan.topology;
    topology.nats.push(NatPlan {
        outside: vec![IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))],
        behind: None,
        mapping: Dependence::AddressAndPort,
        filtering: Dependence::AddressAndPort,
        pooling: Pooling::Single,
        first_port: 1_024,
        ports: 64_000,
        chunk: 0,
        preserves_ports: false,
        overloads_ports: false,
        order: PortOrder::Lifo,
        reuse_after_ms: 0,
        when_full: WhenFull::Drop,
        timeout_s: 300,
        inbound_refreshes: false,
        latency_us: 5_000,
    });
    topology.clients = vec![Client {
        name: "branches".into(),
        network: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0)),
        prefix: 24,
        secret: "theirs".into(),
        old_secret: None,
        require_message_authenticator: true,
        limit_proxy_state: true,
        rule: None,
    }];
    topology.rules = Rules::default();
    let model = topology.nases[0].clone();
    topology.nases = (0..nases)
        .map(|nas| NasPlan {
            address: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + nas)),
            nat: Some(0),
            nas_identifiers: vec![format!("site-{nas}")],
            secret: "theirs".into(),
            standing: Standing::Known,
            ports: vec![1_812],
            transactions: 0,
            heal_transactions: transactions,
            identifiers: 256,
            signed_per_mille: 1_000,
            accounting_per_mille: 0,
            status_per_mille: 0,
            latency_us: 5_000,
            ..model.clone()
        })
        .collect();
    plan
}

/// Runs it with these faults and no others, twice: no law is broken, and both are alike.
fn hold(plan: &Plan, faults: &[Fault]) -> Outcome {
    let outcome = run(plan, Some(faults), build, 0);
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.faults.len(), faults.len(), "each fault struck");
    assert_eq!(check_determinism(plan, Some(faults), build), Ok(outcome.digest));
    outcome
}

/// At the `ordinal`-th packet that leaves through the NAT.
fn fault(class: FaultClass, ordinal: u64, parameters: [u64; 2]) -> Fault {
    Fault { at: 0, class, entity: 0, ordinal, parameters }
}

#[test]
fn two_nases_behind_one_nat_get_each_its_own_answers() {
    let outcome = hold(&plan(2, 50), &[]);
    assert_eq!((outcome.transactions, outcome.replies), (100, 100));
    for goal in [Goal::ReplyReachedAnother, Goal::RetransmissionFromNewPort, Goal::PortReusedSoon] {
        assert_eq!(outcome.goals.count(goal), 0, "{goal:?}");
    }
}

#[test]
fn a_port_that_is_reused_at_once_gives_no_answer_to_whom_it_is_not_for() {
    let mut plan = plan(6, 40);
    let nat = &mut plan.topology.nats[0];
    // Whoever sends takes the only port, and the answer to whoever had it goes to him.
    (nat.ports, nat.when_full) = (1, WhenFull::Evict);
    (nat.latency_us, plan.limits.reject_delay_ms) = (80_000, 500);
    plan.topology.nases.iter_mut().for_each(|nas| {
        (nas.identifiers, nas.wrong_password_per_mille, nas.latency_us) = (1, 500, 80_000);
    });
    let outcome = hold(&plan, &[]);
    for goal in [Goal::PortReusedSoon, Goal::ReplyReachedAnother, Goal::IdentifierOfAnother] {
        assert!(outcome.goals.count(goal) > 10, "{goal:?} {}", outcome.goals.count(goal));
    }
    let excused = outcome.goals.count(Goal::Excused);
    assert!(excused < 24, "of 240 most are answered all the same: {excused} are not");
}

#[test]
fn a_port_that_is_reused_after_the_time_out_of_its_mapping_is_another_nas() {
    let mut plan = plan(2, 8);
    (plan.topology.nats[0].ports, plan.topology.nats[0].timeout_s) = (1, 30);
    // The first is done long before the second, which has no patience and is not waited for, begins.
    plan.topology.nases[1].heal_transactions = 0;
    let topology = &mut plan.topology;
    (topology.nases[1].transactions, topology.nases[1].burst) = (10, 1);
    plan.faulty_ms = 400_000;
    topology.nases[1].pause_us = 20_000_000;
    topology.nases.swap(0, 1);
    let outcome = hold(&plan, &[]);
    assert!(outcome.goals.count(Goal::MappingExpired) >= 1);
    assert_eq!((outcome.goals.count(Goal::PortReusedSoon), outcome.goals.count(Goal::Excused)), (0, 0));
}

#[test]
fn a_nas_that_comes_back_on_another_port_in_the_middle_gets_its_answer_there() {
    let mut plan = plan(1, 20);
    // It sends again before the answer comes, which is lost: it is for the port that the flow had before.
    (plan.limits.reject_delay_ms, plan.topology.nases[0].wrong_password_per_mille) = (2_000, 1_000);
    (plan.topology.nases[0].latency_us, plan.topology.nats[0].latency_us) = (150_000, 150_000);
    let faults: Vec<_> = (1..20).map(|at| fault(FaultClass::NatRebinding, at, [0, 0])).collect();
    let outcome = hold(&plan, &faults);
    assert!(outcome.goals.count(Goal::RetransmissionFromNewPort) > 3);
    assert!(outcome.goals.count(Goal::ReplyWithoutMapping) > 3);
}

#[test]
fn a_nat_reboots_during_five_hundred_transactions() {
    let mut plan = plan(1_300, 1);
    // All begin within five seconds, and each takes two.
    plan.limits.reject_delay_ms = 2_000;
    plan.topology.nases.iter_mut().for_each(|nas| nas.wrong_password_per_mille = 1_000);
    let outcome = hold(&plan, &[fault(FaultClass::NatReboot, 800, [0, 0])]);
    assert_eq!((outcome.transactions, outcome.goals.count(Goal::MappingsLost)), (1_300, 1));
    let lost = outcome.goals.count(Goal::ReplyWithoutMapping)
        + outcome.goals.count(Goal::ReplyReachedAnother)
        + outcome.goals.count(Goal::ReplyFiltered);
    // All have Identifier 0: those that a port was for until then are superseded by those that it is for now, or answered where
    // they are no longer.
    let superseded = outcome.goals.count(Goal::IdentifierOfAnother);
    assert!(
        superseded > 300 && lost > 100,
        "{superseded} superseded, {lost} replies found another NAS or nobody"
    );
    assert!(outcome.replies >= 1_300 + lost);
}

#[test]
fn a_port_is_given_to_another_in_the_middle_and_again_a_minute_later() {
    let mut plan = plan(3, 30);
    plan.limits.reject_delay_ms = 2_000;
    plan.topology.nases.iter_mut().for_each(|nas| nas.wrong_password_per_mille = 1_000);
    let faults: Vec<_> = (10..60)
        .map(|at| {
            fault(FaultClass::PortGivenToAnother, at, [0, if at % 5 == 0 { 60_000_000_000 } else { 0 }])
        })
        .collect();
    let outcome = hold(&plan, &faults);
    assert!(outcome.goals.count(Goal::ReplyReachedAnother) > 3);
    assert!(outcome.goals.count(Goal::PortReusedSoon) > 3);
}

#[test]
fn a_nat_whose_ports_are_all_in_use_drops_new_flows_and_harms_nobody_else() {
    let mut plan = plan(8, 10);
    plan.topology.nats[0].ports = 2;
    let outcome = hold(&plan, &[]);
    assert!(outcome.goals.count(Goal::PoolExhausted) > 50);
    // Two have ports, and keep them.
    assert_eq!(outcome.goals.count(Goal::Excused), 60);
    assert_eq!(outcome.replies, 20);
}

#[test]
fn ten_thousand_idle_nases_behind_one_nat_for_seven_days() {
    const WEEK_MS: u64 = 7 * 86_400_000;
    let mut plan = plan(10_000, 1);
    plan.faulty_ms = WEEK_MS;
    for nas in &mut plan.topology.nases {
        // Every 56 hours on the average.
        (nas.transactions, nas.burst, nas.pause_us) = (3, 1, WEEK_MS * 1_000 / 3);
    }
    let outcome = run(&plan, Some(&[]), build, 0);
    assert_eq!(outcome.violation, None);
    assert!(outcome.transactions > 30_000 && outcome.replies == outcome.transactions);
    assert!(outcome.goals.count(Goal::MappingExpired) > 20_000);
    assert_eq!(outcome.goals.count(Goal::PoolExhausted), 0);
    assert!(outcome.simulated > WEEK_MS * 1_000_000);
}
