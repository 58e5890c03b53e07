//! What the formula of `reserved_octets` says is what a server's cores take from the allocator at start.
//!
//! A test binary of its own, as its allocator counts for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ulna_config::{Configuration, Cores, default_text, parse, reserved_octets};
use ulna_core::Seed;
use ulna_core::cores::assemble;

/// Octets that are taken now.
static TAKEN: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn configuration(settings: &str) -> Configuration {
    let text = format!("{settings}{}", default_text());
    parse(&text, "test.toml", Cores(2)).expect("it is right").0
}

/// What the cores of a server take.
fn taken(configuration: Configuration) -> u64 {
    let configuration = Arc::new(configuration);
    let before = TAKEN.load(Ordering::Relaxed);
    let cores = assemble(&configuration, &Seed::new([1; 32]));
    let taken = TAKEN.load(Ordering::Relaxed) - before;
    drop(cores);
    taken
}

/// The allocator counts for all tests.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn the_formula_is_never_too_low_and_never_far_too_high() {
    let _alone = ALONE.lock().expect("no other has failed");
    for (threads, dedup, requests, slots, delayed) in [
        (0, 131_072, 16_384, 1024, 10_000),
        (1, 131_072, 16_384, 1024, 10_000),
        (4, 131_072, 16_384, 1024, 10_000),
        (4, 1, 65_536, 64, 0),
        (4, 1, 16, 8192, 0),
        (0, 1, 16, 8192, 0),
        (1, 1_000_000, 16, 64, 1_000_000),
    ] {
        for workers in [1, 2, 8, 32] {
            let settings = format!(
                "[runtime]\nnetwork_threads = {threads}\nworkers = {workers}\ndedup_entries_max = {dedup}\n\
                 requests_max = {requests}\nring_slots = {slots}\n[protocol]\ndelayed_rejects_max = {delayed}\n"
            );
            let configuration = configuration(&settings);
            let networks = configuration.network_cores() as u64;
            let formula = reserved_octets(&configuration.sizes());
            // The replies' share comes later.
            let at_start = formula - networks * configuration.runtime.replies_octets_max as u64;
            let taken = taken(configuration);
            assert!(taken <= at_start, "{settings}takes {taken}, the formula says {at_start}");
            assert!(at_start <= taken * 2, "{settings}takes {taken}, the formula says {at_start}");
        }
    }
}

#[test]
fn places_of_streams_are_in_the_formula_by_what_they_take() {
    let _alone = ALONE.lock().expect("no other has failed");
    for (threads, workers) in [(0, 1), (0, 4), (1, 2), (4, 2)] {
        for (listeners, connections) in [(1, 1), (1, 1024), (3, 20_000), (1, 1_000_000)] {
            let settings = format!(
                "[runtime]\nnetwork_threads = {threads}\nworkers = {workers}\nstreams_octets_max = 65536\n"
            );
            let listener = |number: usize| {
                format!(
                    "[[listen]]\nname = \"streams {number}\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:{}\"\n\
                     packets = [\"access\"]\nserver = \"default\"\nconnections_max = {connections}\n",
                    20_000 + number
                )
            };
            let without = configuration(&settings);
            let with = configuration(&(settings.clone() + &(0..listeners).map(listener).collect::<String>()));
            let networks = with.network_cores() as u64;
            let more = reserved_octets(&with.sizes()) - reserved_octets(&without.sizes());
            // Of that, what was read and what is to be written comes later.
            let places = listeners as u64 * (connections + networks);
            let at_start = more - networks * 65_536 - places * 36 * 1024;
            // What does not grow with them is in the 2 MiB that each core may take besides.
            let at_start = at_start + networks * 16 * 1024;
            let taken = taken(with) - taken(without);
            assert!(taken <= at_start, "{connections}: takes {taken}, the formula says {at_start}");
            assert!(
                connections < 20_000 || at_start <= taken * 2,
                "{connections}: takes {taken}, the formula says {at_start}"
            );
        }
    }
}

#[test]
fn only_where_there_is_a_client_rule_requests_seen_take_memory() {
    let _alone = ALONE.lock().expect("no other has failed");
    let whole = |rules: &str| {
        let before = TAKEN.load(Ordering::Relaxed);
        let configuration = Arc::new(configuration(rules));
        let cores = assemble(&configuration, &Seed::new([1; 32]));
        let taken = TAKEN.load(Ordering::Relaxed) - before;
        drop(cores);
        (taken, reserved_octets(&configuration.sizes()))
    };
    let (without, formula_without) = whole("");
    let rule = "[[client_rule]]\nname = \"branches\"\nnetwork = \"198.51.100.0/24\"\nsecret = \"a secret of many octets\"\n";
    let (with, formula_with) = whole(rule);
    let (more, by_formula) = (with - without, formula_with - formula_without);
    assert!(more > 1 << 20, "{more}");
    assert!(more <= by_formula && by_formula <= more * 2, "takes {more} more, the formula says {by_formula}");
}
