//! What the server counts is what its documentation explains.

mod support;

use support::{Ulna, on_free_ports};
use ulna_core::discard::Discard;

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

#[test]
fn every_counter_and_every_reason_of_a_discard_is_explained() {
    let ulna = Ulna::start(&on_free_ports("[runtime]\nnetwork_threads = 1\nworkers = 1\n"));
    let counters = ulna.counters();
    ulna.stop();
    // What a thread has counted has its name before that of the counter.
    let counter = |line: &'_ String| line.rsplit(' ').next().unwrap_or_default().to_string();
    let names: Vec<_> = counters.keys().map(counter).collect();
    let names = names.iter().map(String::as_str).chain(Discard::ALL.iter().map(|reason| reason.name()));
    let missing: Vec<_> = names.filter(|name| !CONFIGURATION.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not explain {missing:?}");
}
