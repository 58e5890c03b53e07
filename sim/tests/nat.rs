//! NASes behind NATs, situation by situation: small plans written by hand, most with the very faults that are to strike.
//!
//! All laws hold in each, [`PROGRESS`](ulna_sim::checks::execution::PROGRESS) among them: whoever is patient gets his answer.

use std::net::{IpAddr, Ipv4Addr};
use ulna_sim::fault::{Fault, FaultClass};
use ulna_sim::goals::Goal;
use ulna_sim::node::build;
use ulna_sim::plan::nat::{Dependence, NatPlan, Pooling, PortOrder, WhenFull};
use ulna_sim::plan::{Client, ClientRule, NasPlan, Plan, Standing};
use ulna_sim::run::{Outcome, check_determinism, run};
use ulna_sim::site::{Change, Reload, Rules};
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

/// The same, but that all behind the NAT are of a client rule, each with a secret of its own in its table.
fn ruled(nases: u32, transactions: u32) -> Plan {
    let mut plan = plan(nases, transactions);
    let topology = &mut plan.topology;
    let rule = |network: IpAddr| ClientRule {
        name: "branches".into(),
        network,
        prefix: 24,
        lifetime_s: 3_600,
        idle_timeout_s: 300,
        negative_lifetime_ms: 1_000,
        by_address: false,
        pending: 1_000,
    };
    topology.client_rules = vec![rule(topology.clients[0].network)];
    topology.clients.clear();
    for (place, nas) in topology.nases.iter_mut().enumerate() {
        nas.secret = format!("the secret of site {place}");
        topology.clients.push(Client {
            name: format!("site-{place}"),
            network: topology.client_rules[0].network,
            prefix: 24,
            secret: nas.secret.clone(),
            old_secret: None,
            require_message_authenticator: true,
            limit_proxy_state: true,
            rule: Some("branches".into()),
        });
    }
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

#[test]
fn two_of_a_rule_behind_one_nat_get_each_its_own_answers_under_its_own_secret() {
    let outcome = hold(&ruled(2, 50), &[]);
    assert_eq!((outcome.transactions, outcome.replies), (100, 100));
    assert_eq!(outcome.goals.count(Goal::ReplyReachedAnother), 0);
}

#[test]
fn a_port_that_is_reused_at_once_is_its_new_owners_by_his_first_packet() {
    let mut plan = ruled(6, 40);
    let nat = &mut plan.topology.nats[0];
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
    assert!(excused < 48, "of 240 most are answered all the same: {excused} are not");
}

#[test]
fn a_port_that_is_reused_after_its_mapping_has_ended_is_another_client() {
    // The first is done long before the second, which has no patience and is not waited for, begins.
    let mut plan = ruled(2, 8);
    (plan.topology.nats[0].ports, plan.topology.nats[0].timeout_s) = (1, 30);
    plan.faulty_ms = 400_000;
    let late = &mut plan.topology.nases[1];
    (late.heal_transactions, late.transactions, late.burst, late.pause_us) = (0, 10, 1, 20_000_000);
    plan.topology.nases.swap(0, 1);
    let outcome = hold(&plan, &[]);
    assert!(outcome.goals.count(Goal::MappingExpired) >= 1);
    assert_eq!((outcome.goals.count(Goal::PortReusedSoon), outcome.goals.count(Goal::Excused)), (0, 0));
}

#[test]
fn a_client_that_comes_back_on_another_port_in_the_middle_gets_its_answer_there() {
    let mut plan = ruled(1, 20);
    (plan.limits.reject_delay_ms, plan.topology.nases[0].wrong_password_per_mille) = (2_000, 1_000);
    (plan.topology.nases[0].latency_us, plan.topology.nats[0].latency_us) = (150_000, 150_000);
    let faults: Vec<_> = (1..20).map(|at| fault(FaultClass::NatRebinding, at, [0, 0])).collect();
    let outcome = hold(&plan, &faults);
    assert!(outcome.goals.count(Goal::RetransmissionFromNewPort) > 3);
    assert!(outcome.goals.count(Goal::ReplyWithoutMapping) > 3);
}

#[test]
fn what_a_core_had_when_it_died_admits_its_client_on_the_port_that_it_has_by_then() {
    let mut orphaned = 0;
    for (network_threads, workers) in [(0, 1), (1, 1)] {
        let mut plan = ruled(1, 3);
        (plan.topology.network_threads, plan.topology.workers) = (network_threads, workers);
        // At each moment while its first request is under way. If that is lost it comes again from another port.
        for place in 0..360 {
            let (core, thread, ordinal) = (place % 3, place / 3 % 2, place / 6);
            let dies =
                Fault { at: 0, class: FaultClass::CorePanic, entity: thread, ordinal, parameters: [core, 1] };
            let outcome = run(&plan, Some(&[dies, fault(FaultClass::NatRebinding, 1, [0, 0])]), build, 0);
            assert_eq!(outcome.violation, None, "core {core} of thread {thread}, phase {ordinal}");
            orphaned += outcome.counted.orphaned;
        }
    }
    assert!(orphaned > 40, "{orphaned}");
}

#[test]
fn a_nat_reboots_during_the_transactions_of_five_hundred_clients() {
    let mut plan = ruled(1_300, 1);
    plan.limits.reject_delay_ms = 2_000;
    plan.topology.nases.iter_mut().for_each(|nas| nas.wrong_password_per_mille = 1_000);
    let outcome = hold(&plan, &[fault(FaultClass::NatReboot, 800, [0, 0])]);
    assert_eq!((outcome.transactions, outcome.goals.count(Goal::MappingsLost)), (1_300, 1));
    let lost = outcome.goals.count(Goal::ReplyWithoutMapping)
        + outcome.goals.count(Goal::ReplyReachedAnother)
        + outcome.goals.count(Goal::ReplyFiltered);
    assert!(lost > 100 && outcome.replies >= 1_300, "{lost} lost, {} replies", outcome.replies);
    assert_eq!(outcome.goals.count(Goal::Excused), 0);
}

#[test]
fn an_attacker_who_claims_his_siblings_names_harms_none_of_them() {
    let mut plan = ruled(5, 30);
    let attacker = &mut plan.topology.nases[4];
    (attacker.secret, attacker.standing) = ("none".into(), Standing::WrongSecret);
    attacker.nas_identifiers = (0..4).map(|nas| format!("site-{nas}")).collect();
    (attacker.heal_transactions, attacker.identifiers) = (60, 4);
    plan.topology.clients.pop();
    // He takes their ports, too: there are fewer than there are NASes.
    (plan.topology.nats[0].ports, plan.topology.nats[0].when_full) = (3, WhenFull::Evict);
    let outcome = hold(&plan, &[]);
    assert!(outcome.counted.unverified > 20, "{}", outcome.counted.unverified);
    assert!(outcome.goals.count(Goal::PortReusedSoon) > 3);
    let excused = outcome.goals.count(Goal::Excused);
    assert!(excused < 12 && outcome.replies >= 120 - excused, "{excused} {}", outcome.replies);
}

#[test]
fn clients_behind_a_nat_without_a_free_port_are_the_only_ones_who_wait() {
    let mut plan = ruled(8, 10);
    plan.topology.nats[0].ports = 2;
    let outcome = hold(&plan, &[]);
    assert!(outcome.goals.count(Goal::PoolExhausted) > 50);
    assert_eq!((outcome.goals.count(Goal::Excused), outcome.replies), (60, 20));
}

#[test]
fn ten_thousand_idle_clients_for_seven_days() {
    const WEEK_MS: u64 = 7 * 86_400_000;
    let mut plan = ruled(10_000, 1);
    plan.faulty_ms = WEEK_MS;
    for nas in &mut plan.topology.nases {
        (nas.transactions, nas.burst, nas.pause_us) = (3, 1, WEEK_MS * 1_000 / 3);
    }
    // Those of all of the last five seconds at once.
    let topology = &mut plan.topology;
    topology.nases.iter_mut().skip(1_000).for_each(|nas| nas.heal_transactions = 0);
    let outcome = run(&plan, Some(&[]), build, 0);
    assert_eq!(outcome.violation, None);
    assert!(outcome.transactions > 20_000 && outcome.replies == outcome.transactions);
    assert!(outcome.goals.count(Goal::MappingExpired) > 15_000);
    assert_eq!(outcome.goals.count(Goal::LookUpLimit), 0);
    assert_eq!(outcome.counted.look_ups, 0);
}

#[test]
fn lines_that_swap_their_addresses_take_their_clients_with_them() {
    let mut plan = ruled(3, 40);
    plan.topology.nats.clear();
    plan.topology.client_rules[0].by_address = true;
    for (place, nas) in (1..).zip(&mut plan.topology.nases) {
        (nas.nat, nas.address) = (None, IpAddr::V4(Ipv4Addr::new(198, 51, 100, place)));
        (nas.latency_us, nas.wrong_password_per_mille) = (80_000, 500);
    }
    let swap = |ordinal| Fault {
        at: 0,
        class: FaultClass::AddressGivenToAnother,
        entity: 1,
        ordinal,
        parameters: [0, 0],
    };
    let outcome = hold(&plan, &(3..30).step_by(3).map(swap).collect::<Vec<_>>());
    assert!(outcome.goals.count(Goal::AddressOfAnother) > 10);
    assert!(outcome.replies >= 120 && outcome.counted.unverified == 0, "{}", outcome.replies);
}

#[test]
fn a_line_of_a_table_that_changes_ends_no_other_client() {
    let secrets = |secret: &str, old: Option<&str>| Change::Secrets {
        client: "site-0".into(),
        secret: secret.into(),
        old_secret: old.map(Into::into),
    };
    let mut plan = ruled(4, 40);
    let own = plan.topology.nases[0].secret.clone();
    // Both, and the NAS changes over meanwhile; then the new one alone.
    plan.reloads = vec![tables(60_000, secrets("new", Some(&own))), tables(120_000, secrets("new", None))];
    plan.topology.nases[0].rotations = vec![(90_000, "new".into())];
    let outcome = hold(&plan, &[]);
    assert_eq!((outcome.transactions, outcome.replies), (160, 160));
    assert_eq!(outcome.goals.count(Goal::SecretOfBefore), 0);
    // At once, and the NAS hears of it half a minute later: it alone is not answered till then.
    plan.reloads = vec![tables(60_000, secrets("new", None))];
    let outcome = hold(&plan, &[]);
    let before = outcome.goals.count(Goal::SecretOfBefore);
    assert!(before > 3 && outcome.replies >= 150 && outcome.counted.unverified >= before / 2, "{before}");
}

/// So many clients of a rule while faults may strike, each with a request a second, and three joined threads: one owns their
/// connections, one asks about them, and one has nothing to do.
fn with_an_idle_thread(nases: u32) -> Plan {
    let mut plan = ruled(nases, 1);
    plan.faulty_ms = 40_000;
    let topology = &mut plan.topology;
    (topology.network_threads, topology.workers, topology.steered) = (0, 3, true);
    topology
        .nases
        .iter_mut()
        .for_each(|nas| (nas.transactions, nas.burst, nas.pause_us) = (40, 1, 1_000_000));
    plan
}

/// Each thread is stopped for ten seconds at each of its first phases: one that has nothing else to do, also while it is to hear
/// of a change.
fn stops() -> impl Iterator<Item = Fault> {
    (0..120).map(|place| Fault {
        at: 0,
        class: FaultClass::ThreadStall,
        entity: place % 3,
        ordinal: place / 3,
        parameters: [10_000_000_000, 0],
    })
}

fn tables(at_ms: u64, change: Change) -> Reload {
    Reload { at_ms, changes: vec![change], workers: None, tables: true }
}

#[test]
fn a_line_that_comes_back_is_known_by_it_before_all_threads_have_heard_of_it() {
    let mut plan = with_an_idle_thread(2);
    let line = plan.topology.clients[0].clone();
    plan.reloads =
        vec![tables(10_000, Change::Remove(line.name.clone())), tables(20_000, Change::Add(0, line))];
    for stop in stops() {
        let outcome = run(&plan, Some(std::slice::from_ref(&stop)), build, 0);
        assert_eq!(outcome.violation, None, "{stop:?}");
    }
}

#[test]
fn a_request_that_came_while_a_line_changed_gets_the_same_after_the_next_change_from_another_port() {
    let mut plan = with_an_idle_thread(4);
    (plan.limits.reject_delay_ms, plan.topology.nats[0].latency_us) = (2_000, 150_000);
    for nas in &mut plan.topology.nases {
        (nas.wrong_password_per_mille, nas.latency_us) = (1_000, 150_000);
    }
    let also = |at_ms, Client { name, secret, .. }: &Client| {
        let (client, old_secret) = (name.clone(), Some(secret.clone()));
        tables(at_ms, Change::Secrets { client, secret: format!("theirs since {at_ms}"), old_secret })
    };
    let clients = &plan.topology.clients;
    plan.reloads = vec![also(10_000, &clients[0]), also(11_000, &clients[1])];
    let rebindings: Vec<_> = (1..400).map(|at| fault(FaultClass::NatRebinding, at, [0, 0])).collect();
    for stop in stops() {
        let faults: Vec<_> = rebindings.iter().cloned().chain([stop]).collect();
        let outcome = run(&plan, Some(&faults), build, 0);
        assert_eq!(outcome.violation, None, "{:?}", faults.last());
    }
}
