//! Forwarding, situation by situation: small plans written by hand, with the very faults that are to strike. All laws hold in each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use ulna_sim::actor::visit::Errand;
use ulna_sim::draw::{Class, Draws};
use ulna_sim::fault::{Fault, FaultClass};
use ulna_sim::goals::Goal;
use ulna_sim::node::build;
use ulna_sim::plan::Plan;
use ulna_sim::plan::proxy::{PoolPlan, ProxyPlan, RealmPlan, RemoteServerPlan, RoamingNasPlan, States};
use ulna_sim::run::{Outcome, check_determinism, run};
use ulna_sim::site::Rules;
use ulna_sim::swarm::Profile;
use ulna_sim::trace::Kind;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// So many remote servers, a realm for each pool of them, and a NAS with users of all realms: some while there could be faults,
/// some after that, each of which has to end well.
fn plan(servers: usize, pools: &[&[usize]], visits: u32, heal_visits: u32) -> Plan {
    let mut plan = Plan::drawn(3, Profile::Calm);
    (plan.faulty_ms, plan.heal_ms) = (60_000, 150_000);
    plan.topology.nases.clear();
    // Rules would edit what remote servers say.
    plan.topology.rules = Rules::default();
    let server = |place: usize| RemoteServerPlan {
        name: format!("remote{place}"),
        address: SocketAddr::new(Ipv4Addr::new(203, 0, 113, 1 + place as u8).into(), 1_812),
        secret: format!("of remote{place}"),
        answers_status: true,
        response_window_ms: 1_000,
        zombie_period_ms: 2_000,
        revive_interval_ms: 10_000,
        status_interval_ms: 500,
        outstanding_max: 16_384,
        states: States::Constant,
        latency_us: 5_000,
        answer_us: 1_000,
    };
    let pool = |(place, members): (usize, &&[usize])| PoolPlan {
        name: format!("pool{place}"),
        remote_servers: members.to_vec(),
        balance: "failover".into(),
        repick: false,
    };
    let realm = |pool: usize| RealmPlan { name: format!("realm{pool}.example"), pool, loops: false };
    plan.topology.proxy = Some(ProxyPlan {
        remote_servers: (0..servers).map(server).collect(),
        pools: pools.iter().enumerate().map(pool).collect(),
        realms: (0..pools.len()).map(realm).collect(),
        nases: vec![RoamingNasPlan {
            address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)),
            secret: "of the NAS".into(),
            ports: vec![20_000],
            visits,
            heal_visits,
            pause_us: 1_000,
            burst: 1,
            pap_per_mille: 0,
            chap_per_mille: 0,
            accounting_per_mille: 0,
            rounds_max: 12,
            anonymous: true,
            calling_station_id: true,
            proxy_states_max: 2,
            latency_us: 5_000,
        }],
        state_lifetime_ms: 60_000,
        relays: Vec::new(),
        neighbours: Vec::new(),
    });
    plan
}

fn fault(class: FaultClass, server: u64, ordinal: u64, parameters: [u64; 2]) -> Fault {
    Fault { at: 0, class, entity: server, ordinal, parameters }
}

fn holds(plan: &Plan, faults: &[Fault]) -> Outcome {
    let outcome = run(plan, Some(faults), build, usize::MAX);
    assert_eq!(outcome.violation, None);
    assert_eq!(check_determinism(plan, Some(faults), build), Ok(outcome.digest));
    for fault in faults {
        let is_it = |struck: &&Fault| (struck.class, struck.ordinal) == (fault.class, fault.ordinal);
        assert_eq!(outcome.faults.iter().filter(is_it).count(), 1, "{fault:?} strikes");
    }
    outcome
}

/// The seed of a plan whose first visit has so many rounds.
fn with_rounds(mut plan: Plan, rounds: u64) -> Plan {
    let nas = plan.topology.proxy.as_ref().expect("it forwards").nases[0].clone();
    let errand = |seed: u64| Errand::drawn(&nas, Draws::new(seed).at(Class::Visit, 3 << 32, 0).fork(2));
    plan.seed = (0..).find(|seed| errand(*seed) == Errand::Conversation { rounds }).expect("some has");
    plan
}

#[test]
fn equal_states_from_two_servers_lead_each_to_its_own() {
    let plan = plan(2, &[&[0], &[1]], 0, 30);
    let outcome = holds(&plan, &[]);
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 30);
    assert!(outcome.goals.count(Goal::StateOfTwoServers) > 100, "{:?}", outcome.goals);
}

#[test]
fn a_server_that_dies_at_round_7_of_12_ends_that_conversation_and_no_other() {
    // Six rounds are answered; the seventh finds nobody, nor do its retransmissions and all probes for 20 s.
    let plan = with_rounds(plan(2, &[&[0, 1]], 1, 10), 12);
    let outcome = holds(&plan, &[fault(FaultClass::RemoteDeath, 0, 6, [20 * SECOND, 1])]);
    let ends: Vec<_> = outcome.tail.iter().filter(|event| event.kind == Kind::VisitEnds).collect();
    // Rejected by the one that had it and has forgotten: the other is not asked about a conversation that it does not know.
    assert_eq!((ends[0].words, ends.len()), ([0, 1], 11));
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 10);
    let died_and_rejoined = [Goal::ServerDied, Goal::ServerRejoined].map(|goal| outcome.goals.count(goal));
    assert_eq!(died_and_rejoined, [1, 1]);
    let asked = outcome.tail.iter().filter(|event| event.kind == Kind::Forwards && event.words[1] == 1);
    assert_eq!(asked.count(), 0, "all is over when the first server is back");
}

#[test]
fn while_its_server_is_dead_new_conversations_go_to_the_next_of_its_pool() {
    let mut plan = plan(2, &[&[0, 1]], 1, 10);
    plan.topology.proxy.as_mut().expect("it forwards").nases[0].visits = 40;
    plan.topology.proxy.as_mut().expect("it forwards").nases[0].pause_us = 500_000;
    let outcome = holds(&plan, &[fault(FaultClass::RemoteDeath, 0, 6, [20 * SECOND, 1])]);
    let at_the_second = |event: &&ulna_sim::trace::Entry| event.kind == Kind::Forwards && event.words[1] == 1;
    assert!(outcome.tail.iter().filter(at_the_second).count() > 20);
    assert_eq!(outcome.goals.count(Goal::ServerRejoined), 1);
}

#[test]
fn a_late_reply_after_quarantine_answers_nothing() {
    let mut plan = with_rounds(plan(1, &[&[0]], 1, 10), 2);
    plan.limits.request_timeout_ms = 4_000;
    // The first request is answered 50 s late, when it has been given up, and its Identifier was in quarantine, for long; its
    // retransmissions are not.
    let late = fault(FaultClass::RemoteLate, 0, 0, [50 * SECOND, 0]);
    let death = fault(FaultClass::RemoteDeath, 0, 1, [40 * SECOND, 0]);
    let outcome = holds(&plan, &[late, death]);
    let is_late = |event: &&ulna_sim::trace::Entry| {
        event.kind == Kind::ReadsRemote && event.at > 50 * SECOND && event.octets[0] == 11
    };
    let late = outcome.tail.iter().find(is_late).expect("it comes, and is read");
    let answers = outcome.tail.iter().filter(|event| {
        event.kind == Kind::Transmits && (late.at..late.at + 500 * MILLISECOND).contains(&event.at)
    });
    assert_eq!(answers.count(), 0);
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 10);
}

/// A NAS with users who all do the same, and so many of its ports.
fn nas_of(plan: &mut Plan) -> &mut RoamingNasPlan {
    &mut plan.topology.proxy.as_mut().expect("it forwards").nases[0]
}

#[test]
fn a_conversation_goes_on_whichever_port_its_rounds_come_from() {
    let mut plan = with_rounds(plan(2, &[&[0, 1]], 1, 0), 12);
    nas_of(&mut plan).ports = (20_000..20_012).collect();
    // Each round is sent once: its number is that of the sending.
    let moved = |round: u64| fault(FaultClass::PortChanged, 0, round, [round, 0]);
    let faults: Vec<_> = (0..12).map(moved).collect();
    let outcome = holds(&plan, &faults);
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 1);
    let sent = outcome.tail.iter().filter(|event| event.kind == Kind::NasSends);
    assert_eq!(sent.map(|event| event.words[0]).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_retransmission_from_another_port_gets_the_answer_that_its_request_waits_for() {
    let mut plan = with_rounds(plan(1, &[&[0]], 1, 0), 3);
    nas_of(&mut plan).ports = vec![20_000, 20_001];
    // The second round is answered late, and before that its retransmission, which comes from another port.
    let late = fault(FaultClass::RemoteLate, 0, 1, [4 * SECOND, 0]);
    let moved = |sending: u64, port: u64| fault(FaultClass::PortChanged, 0, sending, [port, 0]);
    let outcome = holds(&plan, &[late, moved(0, 0), moved(1, 0), moved(2, 1)]);
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 1);
    assert!(outcome.goals.count(Goal::RetransmissionForwarded) > 0);
    let to: Vec<_> = outcome.tail.iter().filter(|event| event.kind == Kind::Transmits).collect();
    assert_eq!(to.iter().map(|event| event.words[1]).collect::<Vec<_>>(), [20_000, 20_001, 20_001]);
}

#[test]
fn five_hundred_conversations_move_to_other_ports_at_once() {
    // As behind a NAT that reboots: all have begun before, and each has its next round from another port.
    let mut plan = plan(4, &[&[0, 1], &[2, 3]], 500, 0);
    let proxy = plan.topology.proxy.as_mut().expect("it forwards");
    proxy.pools.iter_mut().for_each(|pool| pool.balance = "round-robin".into());
    let first = proxy.nases[0].clone();
    let nas = |place: u8| RoamingNasPlan {
        address: IpAddr::V4(Ipv4Addr::new(10, 77, place, 1)),
        ports: vec![20_000, 20_001],
        burst: 250,
        visits: 250,
        rounds_max: 2,
        ..first.clone()
    };
    proxy.nases = vec![nas(0), nas(1)];
    let moved =
        |(nas, visit): (u64, u64)| fault(FaultClass::PortChanged, nas, visit << 20 | 1, [visit % 2, 0]);
    let faults: Vec<_> = (0..2).flat_map(|nas| (0..250).map(move |visit| moved((nas, visit)))).collect();
    let outcome = run(&plan, Some(&faults), build, usize::MAX);
    assert_eq!((outcome.violation, outcome.faults.len()), (None, 500));
    assert_eq!(outcome.goals.count(Goal::ConversationFinished), 500);
    assert!(outcome.goals.count(Goal::StateOfTwoServers) > 400, "{:?}", outcome.goals);
}

#[test]
fn a_server_that_flaps_keeps_no_other_realm_waiting() {
    let mut plan = plan(2, &[&[0], &[1]], 200, 10);
    nas_of(&mut plan).pause_us = 250_000;
    let outcome =
        holds(&plan, &[fault(FaultClass::RemoteFlapping, 0, 5, [1_500 * MILLISECOND, 40 * SECOND])]);
    let at = |server: u64| {
        let asked =
            move |event: &&ulna_sim::trace::Entry| event.kind == Kind::Forwards && event.words[1] == server;
        outcome.tail.iter().filter(asked)
    };
    // What is at home at the other goes there once, and is answered.
    let mut octets: Vec<_> = at(1).map(|event| &event.octets).collect();
    octets.sort();
    let count = octets.len();
    octets.dedup();
    assert_eq!(octets.len(), count);
    assert!(count > 200 && outcome.goals.count(Goal::SuspicionEnded) > 2, "{count}, {:?}", outcome.goals);
}

/// A NAS that sends records alone, which are stored here or not.
fn records(are_stored: bool, visits: u32, heal_visits: u32) -> Plan {
    let mut plan = plan(1, &[&[0]], visits, heal_visits);
    nas_of(&mut plan).accounting_per_mille = 1_000;
    plan.topology.answers_accounting = are_stored;
    plan
}

#[test]
fn a_record_that_goes_on_is_acknowledged_when_its_home_has_it() {
    for are_stored in [false, true] {
        // The home answers nothing for 5 s: neither the record nor its first retransmission.
        let plan = records(are_stored, 1, 0);
        let outcome = holds(&plan, &[fault(FaultClass::RemoteDeath, 0, 0, [5 * SECOND, 0])]);
        let all =
            |kind: Kind| outcome.tail.iter().filter(move |event| event.kind == kind && event.octets[0] != 12);
        let first = all(Kind::Forwards).next().expect("it goes on");
        let answers: Vec<_> = all(Kind::Transmits).map(|event| (event.octets[0], event.at)).collect();
        assert!(matches!(answers[..], [(5, at)] if at > first.at + 5 * SECOND), "{answers:?}");
        assert_eq!(outcome.goals.count(Goal::RecordForwarded), 1);
    }
}

#[test]
fn a_record_whose_home_is_dead_is_not_acknowledged() {
    for are_stored in [false, true] {
        let outcome =
            holds(&records(are_stored, 10, 10), &[fault(FaultClass::RemoteDeath, 0, 0, [55 * SECOND, 0])]);
        assert_eq!(outcome.goals.count(Goal::RecordForwarded), 10, "those after the faults");
    }
}

#[test]
fn a_chain_whose_middle_server_crashes_heals() {
    let is_long = |plan: &Plan| {
        let proxy = plan.topology.proxy.as_ref().expect("it forwards");
        let level = |name: &str| proxy.pools.iter().position(|pool| pool.name == name);
        let passes_all = |realm: usize| {
            Some(proxy.realms[realm].pool) == level("level1")
                && Some(proxy.relays[0].pools[realm]) == level("level2")
        };
        proxy.relays.len() == 2
            && (0..proxy.realms.len()).all(passes_all)
            && proxy.realms.iter().all(|realm| !realm.loops)
    };
    let mut plan = (0..).map(|seed| Plan::drawn(seed, Profile::Chain)).find(is_long).expect("some is");
    (plan.faults, plan.reloads) = (Vec::new(), Vec::new());
    // Of the first thread of the server in the middle.
    let middle = plan.threads_max() as u64;
    let crash = fault(FaultClass::ProcessCrash, middle, 400, [0, SECOND]);
    let outcome = holds(&plan, &[crash]);
    assert!(outcome.goals.count(Goal::ConversationFinished) > 20, "{:?}", outcome.goals);
    assert!(outcome.tail.iter().any(|event| event.kind == Kind::Crashes && event.words[0] == 2));
}
