//! What the formula of `reserved_octets` says is what a server's cores take from the allocator at start.
//!
//! A test binary of its own, as its allocator counts for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

#[test]
fn the_formula_is_never_too_low_and_never_far_too_high() {
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
            let formula = reserved_octets(
                &configuration.runtime,
                &configuration.protocol,
                &configuration.client_rules.limits,
            );
            // The replies' share comes later.
            let at_start = formula - networks * configuration.runtime.replies_octets_max as u64;
            let taken = taken(configuration);
            assert!(taken <= at_start, "{settings}takes {taken}, the formula says {at_start}");
            assert!(at_start <= taken * 2, "{settings}takes {taken}, the formula says {at_start}");
        }
    }
}
