//! Damaged packets at the running server: each is discarded by the name that an independent judge gives it, none is
//! answered unless it verifies, and among them each genuine request is answered once, its duplicates with the same
//! octets, in the memory that was there before.
//!
//! The long runs, 10 000 000 damaged packets among 100 000 requests, each a minute or two:
//! `cargo test --profile ci -p ulna --test packet_mutants -- --ignored --nocapture`

mod campaign;
mod draw;
mod mutation;
mod packet;
mod port;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Mutex;
use std::time::Instant;

use campaign::Campaign;
use support::{PASSWORD, SECRET, Ulna};

/// One run at a time: they need both cores.
static ALONE: Mutex<()> = Mutex::new(());

const MUTANTS_EACH: usize = 100;
/// Fill the dedup table below, and go round the rings, of one network core or of two with two workers.
const WARM_UP_BLOCKS: [u64; 2] = [4096, 16_384];
const WARM_UP_MUTANTS_EACH: usize = 25;
const DEDUP_ENTRIES_MAX: usize = 1024;
const MEBIBYTE: u64 = 1024;
/// How many times memory is looked at on the way.
const PARTS: u64 = 20;

/// Reasons that damage must have led to; all others that a packet can meet here need a bound to be reached.
const REASONS: [&str; 14] = [
    "too-short",
    "bad-length",
    "truncated",
    "bad-attribute",
    "several-message-authenticators",
    "bad-message-authenticator-length",
    "several-states",
    "unknown-code",
    "unexpected-code",
    "bad-message-authenticator",
    "bad-request-authenticator",
    "message-authenticator-required",
    "unsigned-status-server",
    "unsigned-eap",
];

#[test]
fn damaged_packets_are_discarded_by_name_and_requests_among_them_answered_once() {
    for (seed, threads) in [(0, [0, 1]), (1, [1, 1])] {
        run(seed, threads, WARM_UP_BLOCKS[0], 1000);
    }
}

#[test]
#[ignore = "ten million packets: a minute or two"]
fn ten_million_at_joined_threads() {
    run(2, [0, 1], WARM_UP_BLOCKS[1], 100_000);
}

#[test]
#[ignore = "ten million packets: a minute or two"]
fn ten_million_at_a_network_thread_and_a_worker() {
    run(3, [1, 1], WARM_UP_BLOCKS[1], 100_000);
}

#[test]
#[ignore = "ten million packets: a minute or two"]
fn ten_million_at_two_network_threads_and_two_workers() {
    run(4, [2, 2], WARM_UP_BLOCKS[1], 100_000);
}

/// `threads` are network threads and workers.
fn run(seed: u64, threads: [usize; 2], warm_up_blocks: u64, blocks: u64) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let [network_threads, workers] = threads;
    let ulna = Ulna::start(&format!(
        r#"
[runtime]
network_threads = {network_threads}
workers = {workers}
dedup_entries_max = {DEDUP_ENTRIES_MAX}
[protocol]
reject_delay = "0s"
failures_max = 0
dedup_lifetime = "30s"
[[listen]]
name = "all"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access", "accounting", "status"]
server = "default"
[[client]]
name = "nas"
network = "127.0.0.1"
secret = "{SECRET}"
require_message_authenticator = true
[[user]]
name = "bob"
password = "{PASSWORD}"
reply = {{ Reply-Message = "Hello, bob." }}
[[server]]
name = "default"
[[server.new]]
authenticate = "users"
"#
    ));
    let mut campaign = Campaign::new(ulna.addresses[0], seed);
    // Tables and buffers take their memory when they are used first.
    campaign.run(warm_up_blocks, WARM_UP_MUTANTS_EACH);
    campaign.settle(&ulna);
    let warm_up = campaign.tally.sent;
    let before = ulna.memory_kibibytes();

    let began = Instant::now();
    let mut resident = Vec::new();
    for _ in 0..PARTS {
        campaign.run(blocks / PARTS, MUTANTS_EACH);
        resident.push(ulna.memory_kibibytes()[0]);
    }
    let seconds = began.elapsed().as_secs_f64();
    let counters = campaign.settle(&ulna);
    let after = ulna.memory_kibibytes();

    let tally = &campaign.tally;
    let rate = (tally.sent - warm_up) as f64 / seconds;
    println!(
        "seed {seed}, {network_threads} network threads, {workers} workers: {seconds:.1} s, {rate:.0} packets a second"
    );
    println!(
        "VmRSS and VmHWM in KiB: {before:?} after {warm_up} packets, {after:?} at the end, on the way {resident:?}"
    );
    println!("{tally:#?}\n{counters:#?}");
    for reason in REASONS {
        assert!(tally.discards.contains_key(reason), "no damage led to {reason}");
    }
    assert!(tally.discards.len() == REASONS.len(), "{tally:#?}");
    assert!(tally.mutants_unharmed > 0 && tally.oddities > 0 && tally.duplicates >= tally.requests);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after <= before + MEBIBYTE, "memory grew from {before} to {after} KiB");
    }
    ulna.stop();
}
