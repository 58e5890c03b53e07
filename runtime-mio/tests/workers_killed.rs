//! A worker killed each second, under load, costs what it held and nothing else: not a client its answer, not the server any
//! memory.
//!
//! `ULNA_KILL_SECONDS` says how long that goes on; the suite takes a few seconds, the night ten minutes. A test binary of
//! its own, as its allocator counts for the whole process, and so does the kernel.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::crowd::{duplicates, sum, under_load};
use support::{Nas, assert_all_is_accounted_for, start};
use ulna_core::WorkerId;
use ulna_core::path::{NetworkId, Peer};
use ulna_core::policy::configured_rules;
use ulna_runtime_mio::Server;

/// Both ways to lay out threads, and how many workers each has; and two network cores.
const LAYOUTS: [(&str, u64); 2] =
    [("network_threads = 2\nworkers = 3", 3), ("network_threads = 0\nworkers = 2", 2)];
const NETWORKS: u16 = 2;
/// After so many seconds memory for replies has been filled: they are kept for ten. Where the machine has other things to do,
/// Identifiers that have not been used yet take memory in the first half, too, as tables take it where they are used.
const WARM: u64 = 15;
/// NASes that look whether all workers are there.
const NASES: usize = 32;
/// Deaths of each core without load.
const ROUNDS: u64 = 20;
/// What the process may have taken beyond that: replies in pages that are used again, and letters.
const LIVE_MORE_MAX: i64 = 256 << 10;
/// A few letters on their way.
const LETTERS_OCTETS: i64 = 4096;
/// What the kernel may have given beyond that: what the allocator holds in small pieces lies a little differently after each
/// death.
const RESIDENT_MORE_MAX: i64 = 4 << 20;
/// The same where network cores die, too, each with two thousand buffers, and before all is warm. Tables that the allocator kept
/// would be 22 MiB in the first layout.
const RESIDENT_MORE_OF_ALL_MAX: i64 = 16 << 20;

/// Octets that the process has taken from its allocator and not given back.
static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(octets, layout, size) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory of this process in octets: what it has taken from its allocator, and what the kernel has given it.
#[derive(Debug, Clone, Copy)]
struct Memory {
    live: i64,
    resident: i64,
}

impl Memory {
    fn now() -> Memory {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has this line");
        let resident = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<i64>().ok());
        let resident = resident.expect("a number of KiB") * 1024;
        Memory { live: LIVE.load(Ordering::Relaxed), resident }
    }

    fn since(self, before: Memory) -> Memory {
        Memory { live: self.live - before.live, resident: self.resident - before.resident }
    }
}

/// Kills this one, and waits until it is dead.
fn kill(server: &Server, core: Peer) {
    let deaths = sum(server, "deaths");
    server.supervisor().panic_thread(core);
    let until = Instant::now() + Duration::from_secs(10);
    while sum(server, "deaths") == deaths {
        assert!(Instant::now() < until, "it has not died");
        thread::yield_now();
    }
}

fn worker(number: u64) -> Peer {
    Peer::Worker(WorkerId(number as u16))
}

/// Each core dies so often that whatever its death leaves behind would be seen, and between two measurements nothing else
/// happens.
fn assert_tables_of_the_dead_go_back(runtime: &str, workers: u64) {
    let server = start(runtime, &configured_rules());
    let address = server.addresses().next().expect("it listens");
    let mut nases: Vec<_> = (0..NASES).map(|_| Nas::new(address, Duration::from_secs(2))).collect();
    let mut kill_all = |times| {
        let networks = (0..NETWORKS).map(|number| Peer::Network(NetworkId(number)));
        let cores: Vec<_> = (0..workers).map(worker).chain(networks).collect();
        (0..times).for_each(|_| cores.iter().for_each(|core| kill(&server, *core)));
        // So many reach all workers, as they come by so many ports under so many names: those that have died last are
        // in their places when all are answered.
        nases.iter_mut().enumerate().for_each(|(place, nas)| _ = nas.ask(format!("user{place}").as_bytes()));
        Memory::now()
    };
    // From here on each thread has what it takes as it begins, and the allocator has had large tables back.
    let before = kill_all(1);
    let more = kill_all(ROUNDS).since(before);
    println!("{runtime:?}: {more:?} after {} deaths at rest", ROUNDS * (workers + u64::from(NETWORKS)));
    assert!(more.live < LETTERS_OCTETS && more.resident < RESIDENT_MORE_OF_ALL_MAX, "{runtime:?}: {more:?}");
    server.exit();
}

#[test]
fn a_worker_killed_each_second_costs_what_it_held_and_nothing_else() {
    let seconds: u64 =
        env::var("ULNA_KILL_SECONDS").map_or(5, |text| text.parse().expect("a number of seconds"));
    for (runtime, workers) in LAYOUTS {
        assert_tables_of_the_dead_go_back(runtime, workers);
    }
    for (runtime, workers) in LAYOUTS {
        let server = start(runtime, &configured_rules());
        let address = server.addresses().next().expect("it listens");
        // Each second one waits for its password to be hashed: those are what a worker holds when it is killed.
        let name = |crowd, place, round| {
            if place % 2 == 0 { "alice".into() } else { format!("{crowd}-{place}-{round}") }
        };
        // When it was warm, half-way from there, and at the end.
        let mut memory = Vec::new();
        let tally = under_load(address, 4, 8, Duration::from_secs(2), name, |_| {
            let began = Instant::now();
            for second in 0..seconds {
                let due = began + Duration::from_secs(second + 1);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // The last one has been dead for a second, and another is long in its place.
                if seconds > 2 * WARM && [WARM, (WARM + seconds) / 2, seconds - 1].contains(&second) {
                    memory.push(Memory::now());
                }
                kill(&server, worker(second % workers));
            }
        });
        let [asked, sent, longest] =
            [&tally.asked, &tally.sent, &tally.longest_us].map(|count| count.load(Ordering::Relaxed));
        assert_all_is_accounted_for(&server);
        let (deaths, orphaned) = (sum(&server, "deaths"), sum(&server, "orphaned"));
        println!(
            "{runtime:?}: {seconds} s, {asked} requests, {} retransmissions, {deaths} workers killed with {orphaned} requests, \
             longest answer {} ms",
            sent - asked,
            longest / 1000,
        );
        assert_eq!(deaths, seconds);
        assert!(orphaned > 0, "none was killed with a request");
        assert!(longest < 30_000_000);
        let lost = sent - asked - duplicates(&server);
        assert!(lost <= orphaned, "{lost} requests were lost, {orphaned} orphans");
        assert_eq!(sum(&server, "answered") + orphaned, sum(&server, "accepted"));
        if let [warm, half, end] = memory[..] {
            let (first, second) = (half.since(warm), end.since(half));
            println!("{runtime:?}: more memory in the first half {first:?}, in the second {second:?}");
            for (more, resident_max) in [(first, RESIDENT_MORE_OF_ALL_MAX), (second, RESIDENT_MORE_MAX)] {
                assert!(more.live < LIVE_MORE_MAX && more.resident < resident_max, "{more:?}");
            }
        }
        server.exit();
    }
}
