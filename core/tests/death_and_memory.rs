//! A dead core's tables go before those of its successor come, and neither are walked over.
//!
//! A test binary of its own, as its allocator counts for the whole process.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Ask, Server, USERS, nas};
use ulna_core::path::{NetworkId, Peer, WorkerId};

/// Octets that are taken now, and the most that were since this was set last.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn took(octets: usize) {
    let taken = TAKEN.fetch_add(octets as u64, Ordering::Relaxed) + octets as u64;
    MOST.fetch_max(taken, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
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

#[test]
fn there_are_never_two_of_a_table() {
    for (settings, network_mebibytes, worker_mebibytes) in [
        ("dedup_entries_max = 1000000\nrequests_max = 16", 100, 0),
        ("dedup_entries_max = 16\nrequests_max = 1048576", 40, 100),
    ] {
        let layout = format!("[runtime]\nnetwork_threads = 1\nworkers = 1\n{settings}\n");
        let before = TAKEN.load(Ordering::Relaxed);
        let mut server = Server::new(&layout, USERS);
        let all = TAKEN.load(Ordering::Relaxed) - before;
        assert!(all > (network_mebibytes + worker_mebibytes) << 20, "its tables are large: {all}");
        assert_eq!(server.ask(nas(1000), &Ask::bob().octets()).len(), 1);
        for (thread, core) in [(0, Peer::Network(NetworkId(0))), (1, Peer::Worker(WorkerId(0)))] {
            let alive = TAKEN.load(Ordering::Relaxed);
            MOST.store(alive, Ordering::Relaxed);
            server.die(thread, core);
            let more = MOST.load(Ordering::Relaxed) - alive;
            assert!(more < 2 << 20, "{settings}: {core:?} took {more} octets more for a while");
            assert!(TAKEN.load(Ordering::Relaxed) <= alive + (1 << 20), "{core:?} takes more than before");
        }
        assert_eq!(server.ask(nas(1001), &Ask::bob().octets()).len(), 1);
        assert_eq!(server.count("replies_evicted"), 1, "what the dead one had kept");
        server.assert_nothing_is_left();
    }
}
