//! Clients behind a real NAT: network namespaces and nftables' masquerade, fifty NASes with the same inside source port
//! behind one address, static clients beside them. A script of its own judges every captured reply.
//!
//! Needs root and the packages of `scripts/install-peers`. Where those are missing the tests fail:
//!
//! ```text
//! cargo test --profile ci -p ulna --test namespaces -- --nocapture
//! ```
//!
//! `ULNA_FLOOD_SECONDS` is how long a flood lasts (5), `ULNA_FLOOD_PER_SECOND` how many datagrams it sends (50000).

mod bench;
mod capture;
mod flood;
mod machine;
mod nas;
mod net;
mod own_answers;
mod siege;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::PoisonError;

use bench::{ALONE, Clients};
use net::Family;

const TABLE: Clients = Clients::Rule { connected: false };
const CONNECTED: Clients = Clients::Rule { connected: true };

#[test]
fn static_clients_behind_a_nat_ipv4() {
    own_answers::each_gets_its_own(Clients::Static, Family::V4);
}

#[test]
fn static_clients_behind_a_nat_ipv6() {
    own_answers::each_gets_its_own(Clients::Static, Family::V6);
}

#[test]
fn clients_of_a_rule_behind_a_nat_ipv4() {
    own_answers::each_gets_its_own(TABLE, Family::V4);
}

#[test]
fn clients_of_a_rule_behind_a_nat_ipv6() {
    own_answers::each_gets_its_own(TABLE, Family::V6);
}

#[test]
fn connected_clients_of_a_rule_behind_a_nat_ipv4() {
    own_answers::each_gets_its_own(CONNECTED, Family::V4);
}

#[test]
fn connected_clients_of_a_rule_behind_a_nat_ipv6() {
    own_answers::each_gets_its_own(CONNECTED, Family::V6);
}

#[test]
fn a_flood_beside_static_clients_behind_a_nat() {
    siege::siblings_are_served(Clients::Static);
}

#[test]
fn a_flood_beside_clients_of_a_rule_behind_a_nat() {
    siege::siblings_are_served(TABLE);
}

#[test]
fn a_flood_beside_connected_clients_of_a_rule_behind_a_nat() {
    siege::siblings_are_served(CONNECTED);
}

#[test]
fn a_static_client_behind_a_nat_is_replayed() {
    siege::a_sibling_is_served_while_it_is_replayed(Clients::Static);
}

#[test]
fn a_client_of_a_rule_behind_a_nat_is_replayed() {
    siege::a_sibling_is_served_while_it_is_replayed(TABLE);
}

#[test]
fn leftovers_of_a_killed_run_are_removed_and_nothing_else() {
    let Some(_alone) = alone() else { return };
    let mut gone = Command::new("true").spawn().expect("there is such a program");
    assert!(gone.wait().expect("it is our child").success());
    let (left, own) = (net::leftover(gone.id()), net::leftover(std::process::id()));
    let mut orphan = net::command_in(&left, "sleep").arg("1000").spawn().expect("it was made");
    net::remove_leftovers();
    let (left, own_is_left) = (net::exists(&left), net::exists(&own));
    net::remove(&own);
    assert!(!left && own_is_left);
    assert!(!orphan.wait().expect("it is our child").success(), "what lived in it has been ended");
}

/// The right to have the machine's namespaces, or `None` where it is to be done without.
fn alone() -> Option<std::sync::MutexGuard<'static, ()>> {
    // One that has panicked has removed what it made.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    match net::is_possible() {
        Ok(()) => Some(alone),
        Err(why) => {
            support::without_peer(&why);
            None
        }
    }
}
