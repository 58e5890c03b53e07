//! The bench itself, without ulna: the servers count right, and what goes wrong is seen.

use std::sync::Arc;

use crate::gate::Gate;
use crate::journal::Journal;
use crate::relay::{Plan, Relay, Replies, Requests};
use crate::server::Server;
use crate::supplicant::{METHODS, Names, Outcome, Supplicant, run_all, supplicants};

fn sorted(mut stations: Vec<String>) -> Vec<String> {
    stations.sort();
    stations
}

fn stations(supplicants: &[Supplicant]) -> Vec<String> {
    sorted(supplicants.iter().map(Supplicant::station).collect())
}

/// All began here, and all were accepted here.
fn assert_all_were_here(journal: Journal, supplicants: &[Supplicant]) {
    journal.assert_nothing_strange();
    assert_eq!(journal.without_state, 0, "{journal:#?}");
    assert_eq!(journal.rejected, [], "{journal:#?}");
    // No method of these has fewer than four rounds.
    assert!(journal.rounds >= 4 * supplicants.len(), "{journal:#?}");
    assert_eq!(sorted(journal.begun), stations(supplicants));
    assert_eq!(sorted(journal.accepted), stations(supplicants));
}

#[test]
fn all_methods_succeed_and_are_counted() {
    for names in [Names::Realm, Names::Domain] {
        let Some(server) = Server::start() else { return };
        let all = supplicants(16, names);
        let Some(outcomes) = run_all(&all, server.address, 30, || {}) else { return };
        assert_eq!(outcomes, [Outcome::Success; 16]);
        assert_all_were_here(server.journal(), &all);
    }
}

#[test]
fn conversations_wait_at_the_gate_until_all_are_under_way() {
    let Some(server) = Server::start() else { return };
    let gate = Arc::new(Gate::after(2));
    let relay = Relay::start(Plan { gate: Some(Arc::clone(&gate)), ..Plan::to(server.address) });
    let all = supplicants(16, Names::Realm);
    let outcomes = run_all(&all, relay.address, 40, || {
        assert_eq!(gate.wait_for(16), 16);
        let journal = server.journal();
        assert_eq!((journal.begun.len(), journal.rounds, journal.accepted.len()), (16, 32, 0));
        gate.open();
    });
    let Some(outcomes) = outcomes else { return };
    assert_eq!(outcomes, [Outcome::Success; 16]);
    assert_all_were_here(server.journal(), &all);
}

#[test]
fn a_round_at_the_wrong_server_is_counted_in_each_way() {
    let Some([right, wrong]) = Server::start_all() else { return };
    for (count, round) in [(1, 2), (2, 3), (3, 4)] {
        let route: fn(usize) -> usize = match round {
            2 => |round| usize::from(round == 2),
            3 => |round| usize::from(round == 3),
            _ => |round| usize::from(round == 4),
        };
        let to = vec![right.address, wrong.address];
        let relay = Relay::start(Plan { to, route, ..Plan::to(right.address) });
        let one = Supplicant::new(count, Names::Realm);
        let Some(outcomes) = run_all(std::slice::from_ref(&one), relay.address, 30, || {}) else { return };
        assert_ne!(outcomes, [Outcome::Success]);
        right.journal().assert_nothing_strange();
        let count = usize::from(count);
        let journal = wrong.journal_with(count);
        assert_eq!((journal.begun.len(), journal.rounds), (0, count), "{journal:#?}");
        assert_eq!((journal.unknown_states, journal.complaints), (count, count), "{journal:#?}");
        assert_eq!(journal.not_begun_here.last(), Some(&one.station()));
        assert_eq!(journal.rejected.len(), count, "{journal:#?}");
    }
}

/// What a server makes of requests whose State a relay has done this to.
fn behind_a_relay(requests: Requests) -> Option<(Vec<Outcome>, Journal)> {
    let server = Server::start()?;
    let complaints = if matches!(requests, Requests::WithAnotherState) { 4 } else { 0 };
    let relay = Relay::start(Plan { requests, ..Plan::to(server.address) });
    let outcomes = run_all(&supplicants(4, Names::Realm), relay.address, 30, || {})?;
    Some((outcomes, server.journal_with(complaints)))
}

#[test]
fn a_round_that_has_lost_its_state_is_counted_as_that() {
    let Some((outcomes, journal)) = behind_a_relay(Requests::WithoutState) else { return };
    assert!(!outcomes.contains(&Outcome::Success), "{outcomes:?}");
    journal.assert_nothing_strange();
    assert_eq!((journal.begun.len(), journal.rounds, journal.without_state), (4, 8, 4), "{journal:#?}");
    let why = "EAP requires the State attribute to work";
    assert!(journal.rejected.iter().all(|(_, reason)| reason.contains(why)), "{journal:#?}");
}

#[test]
fn a_round_whose_state_is_another_is_counted_as_that() {
    let Some((outcomes, journal)) = behind_a_relay(Requests::WithAnotherState) else { return };
    assert!(!outcomes.contains(&Outcome::Success), "{outcomes:?}");
    assert_eq!((journal.unknown_states, journal.complaints), (4, 4), "{journal:#?}");
    assert_eq!(journal.not_begun_here, [""; 0]);
}

#[test]
fn a_relay_makes_all_states_alike_and_another_puts_them_right() {
    let Some(server) = Server::start() else { return };
    for requests in [Requests::AsTheyAre, Requests::WithoutState, Requests::WithAnotherState] {
        let behind = Plan { requests: Requests::WithTheServersState, ..Plan::to(server.address) };
        let behind = Relay::start(Plan { replies: Replies::AllAlike, ..behind });
        let before = Relay::start(Plan { requests, ..Plan::to(behind.address) });
        let all = supplicants(METHODS.len() as u16, Names::Realm);
        let Some(outcomes) = run_all(&all, before.address, 30, || {}) else { return };
        assert_eq!(outcomes, METHODS.map(|_| Outcome::Success), "{requests:?}");
    }
    let journal = server.journal();
    journal.assert_nothing_strange();
    assert_eq!((journal.begun.len(), journal.accepted.len(), journal.without_state), (12, 12, 0));
}
