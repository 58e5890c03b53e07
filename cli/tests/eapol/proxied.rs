//! Through ulna to two FreeRADIUS servers of one pool: 200 conversations that are all under way at the same moment, and
//! each stays at its server to the end, whatever becomes of its State between NAS and ulna. RFC 2865 §5.24.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::gate::Gate;
use crate::journal::Journal;
use crate::relay::{Plan, Relay, Replies, Requests};
use crate::server::Server;
use crate::supplicant::{Names, Outcome, Supplicant, run_all, supplicants};
use crate::support::{SECRET, Ulna};

const CONVERSATIONS: u16 = 200;
/// What each of the two servers holds at least, in percent.
const SHARE: usize = 35;
/// Rounds of each conversation before all the others have begun, too.
const ROUNDS_BEFORE: usize = 2;
/// What a supplicant waits in all; much of it for the others.
const SECONDS: u32 = 60;

const JOINED: &str = "network_threads = 0\nworkers = 2";
const CROSSING: &str = "network_threads = 2\nworkers = 4";

/// 200 processes beside one another are enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What happens to one of the two servers when all conversations are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    IsKilled,
}

struct Situation {
    names: Names,
    balance: &'static str,
    layout: &'static str,
    /// What the relay between NAS and ulna does to requests.
    requests: Requests,
    /// What those between ulna and the servers do to replies.
    replies: Replies,
    fate: Fate,
}

/// Nothing is done to anything.
const PLAIN: Situation = Situation {
    names: Names::Realm,
    balance: "least-outstanding",
    layout: JOINED,
    requests: Requests::AsTheyAre,
    replies: Replies::AsTheyAre,
    fate: Fate::Lives,
};

fn start_ulna(situation: &Situation, servers: [SocketAddr; 2]) -> Ulna {
    let mut text = format!(
        r#"
[runtime]
{layout}

[protocol]
request_timeout = "5s"

[[listen]]
name = "authentication"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access", "status"]
server = "edge"

[[client]]
name = "access-points"
network = ["127.0.0.1"]
secret = "{SECRET}"
require_message_authenticator = true

[[pool]]
name = "farm"
balance = "{balance}"
{hash_by}
remote_servers = ["one", "two"]

[[server]]
name = "edge"

[[server.new]]
proxy = "farm"
"#,
        layout = situation.layout,
        balance = situation.balance,
        hash_by = if situation.balance == "hash" { "hash_by = [\"Calling-Station-Id\"]" } else { "" },
    );
    for (name, address) in ["one", "two"].into_iter().zip(servers) {
        // FreeRADIUS 3.2.1 does not sign what it answers to Status-Server; to EAP it does.
        write!(
            text,
            r#"
[[remote_server]]
name = "{name}"
address = "{address}"
secret = "{SECRET}"
require_message_authenticator = false
status_check = "status-server"
response_window = "1s"
zombie_period = "1s"
"#
        )
        .expect("memory takes it");
    }
    Ulna::start(&text)
}

/// What it has said last.
fn last_lines(ulna: &Ulna) -> String {
    let said = ulna.stderr();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

fn set(stations: &[String]) -> BTreeSet<&String> {
    stations.iter().collect()
}

/// Each conversation began at exactly one of them, and neither has few.
fn assert_shared(journals: [&Journal; 2]) {
    let held = journals.map(|journal| journal.begun.len());
    assert_eq!(held[0] + held[1], usize::from(CONVERSATIONS), "{held:?}");
    let least = usize::from(CONVERSATIONS) * SHARE / 100;
    assert!(held.iter().all(|held| *held >= least), "each is to hold {least}: {held:?}");
    eprintln!("held: {held:?}");
}

fn show(situation: &Situation) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut servers) = Server::start_all::<2>() else { return };
    // What a relay in front of ulna takes from a request, one behind it gives back: the servers need their State, and each
    // of these relays knows but its own server's.
    let behind = servers.each_ref().map(|server| {
        let state_is_edited = situation.requests != Requests::AsTheyAre;
        let replies_are_edited = situation.replies != Replies::AsTheyAre;
        (state_is_edited || replies_are_edited).then(|| {
            let requests = Requests::WithTheServersState;
            Relay::start(Plan { requests, replies: situation.replies, ..Plan::to(server.address) })
        })
    });
    let addresses = [0, 1].map(|which| match &behind[which] {
        Some(relay) => relay.address,
        None => servers[which].address,
    });
    let ulna = start_ulna(situation, addresses);
    let gate = Arc::new(Gate::after(ROUNDS_BEFORE));
    let plan =
        Plan { requests: situation.requests, gate: Some(Arc::clone(&gate)), ..Plan::to(ulna.addresses[0]) };
    let relay = Relay::start(plan);

    let all = supplicants(CONVERSATIONS, situation.names);
    let mut midway = None;
    let outcomes = run_all(&all, relay.address, SECONDS, || {
        let waiting = gate.wait_for(all.len());
        assert_eq!(waiting, all.len(), "so many are under way:\n{}", last_lines(&ulna));
        let journals = servers.each_ref().map(Server::journal);
        assert_shared(journals.each_ref());
        assert!(journals.iter().all(|journal| journal.accepted.is_empty()), "none is further than others");
        if situation.fate == Fate::IsKilled {
            servers[0].kill();
        }
        midway = Some(journals);
        gate.open();
    });
    let Some(outcomes) = outcomes else { return };
    let midway = midway.expect("the gate was opened");

    match situation.fate {
        Fate::Lives => assert_all_finished(&servers, &outcomes),
        Fate::IsKilled => {
            let failed = assert_only_its_own_failed(&midway, &all, &outcomes);
            let accepted = servers[1].journal().accepted.len();
            let again = run_all(&failed, relay.address, SECONDS, || {}).expect("it was there before");
            assert_eq!(
                again,
                vec![Outcome::Success; failed.len()],
                "the next attempts\n{}",
                last_lines(&ulna)
            );
            assert_eq!(servers[1].journal().accepted.len(), accepted + failed.len());
        }
    }
    for journal in servers.each_ref().map(Server::journal) {
        journal.assert_nothing_strange();
        assert_eq!(journal.without_state, 0, "{journal:#?}");
        assert!(journal.names.iter().all(|name| name.contains(match situation.names {
            Names::Realm => "@example.edu",
            Names::Domain => "EXAMPLE\\",
        })));
    }
    ulna.stop();
}

fn assert_all_finished(servers: &[Server; 2], outcomes: &[Outcome]) {
    assert_eq!(outcomes, vec![Outcome::Success; outcomes.len()]);
    for journal in servers.each_ref().map(Server::journal) {
        assert_eq!(journal.rejected, []);
        assert_eq!(journal.accepted.len(), journal.begun.len());
        assert_eq!(set(&journal.accepted), set(&journal.begun), "each where it began");
    }
}

/// Those that the first server held have failed, and nobody else. Gives them.
fn assert_only_its_own_failed(
    midway: &[Journal; 2],
    all: &[Supplicant],
    outcomes: &[Outcome],
) -> Vec<Supplicant> {
    let its_own = set(&midway[0].begun);
    for (supplicant, outcome) in all.iter().zip(outcomes) {
        let lost_its_server = its_own.contains(&supplicant.station());
        assert_eq!(*outcome != Outcome::Success, lost_its_server, "{supplicant:?}: {outcome:?}");
    }
    let failed = all.iter().zip(outcomes).filter(|(_, outcome)| **outcome != Outcome::Success);
    failed.map(|(supplicant, _)| supplicant.clone()).collect()
}

#[test]
fn each_conversation_stays_at_its_server() {
    show(&PLAIN);
}

// Chosen by a hash of what all rounds of a conversation have, its server would be the same without any State.
#[test]
fn chosen_by_a_hash_each_stays_at_its_server() {
    show(&Situation { balance: "hash", ..PLAIN });
}

#[test]
fn names_without_realm_stay_at_their_server() {
    show(&Situation { names: Names::Domain, balance: "round-robin", layout: CROSSING, ..PLAIN });
}

#[test]
fn conversations_that_lose_their_state_on_the_way_stay_at_their_server() {
    show(&Situation { requests: Requests::WithoutState, layout: CROSSING, ..PLAIN });
}

#[test]
fn conversations_whose_state_is_rewritten_on_the_way_stay_at_their_server() {
    show(&Situation { requests: Requests::WithAnotherState, names: Names::Domain, ..PLAIN });
}

#[test]
fn conversations_that_all_have_the_same_state_stay_at_their_server() {
    show(&Situation { replies: Replies::AllAlike, ..PLAIN });
}

#[test]
fn only_those_of_a_server_that_is_killed_fail() {
    show(&Situation { fate: Fate::IsKilled, balance: "round-robin", ..PLAIN });
}

#[test]
fn only_those_of_a_server_that_is_killed_fail_without_state_and_realm() {
    let requests = Requests::WithoutState;
    show(&Situation { fate: Fate::IsKilled, requests, names: Names::Domain, layout: CROSSING, ..PLAIN });
}
