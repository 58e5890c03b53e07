//! What a conversation takes, and that nothing is allocated once as many were there as there are at once.
//!
//! A test binary of its own, as its allocator counts for the whole process.

use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use ulna_core::conversation::{
    Answer, Begun, Bounds, Conversations, Found, Identity, StateUse, Tree, TreeBounds,
};
use ulna_core::{Instant, Seed};

/// Octets taken, and how often any were.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static TIMES: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size() as u64, Ordering::Relaxed);
        TIMES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size() as u64, Ordering::Relaxed);
        TIMES.fetch_add(1, Ordering::Relaxed);
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

/// What is kept of a decision has about as many octets.
type Kept = [u8; 100];
const CONVERSATIONS: u32 = 100_000;
const REPLIES_OCTETS: usize = 16 << 20;

/// As many conversations of two rounds, each at another time, some of which end; more than there is room for.
fn go(table: &mut Conversations<Kept>, mut now: Instant, first: u32) -> Instant {
    for number in first..first + CONVERSATIONS + 100 {
        now += Duration::from_micros(60);
        table.handle_timeout(now);
        let octets = number.to_be_bytes();
        let identity =
            Identity { client_mark: &[1; 16], user_name: &octets, calling_station_id: Some(&octets) };
        let who = table.who(&identity);
        let request = table.digests().request(&who, None, &[1; 16]);
        let begun =
            Begun { tree: Tree::NoRealm, who, request, taken_up: now, session: b"", names: [&octets; 2] };
        let challenge = Answer::Challenge(Some(&octets));
        let id = table.begin(&begun, [0; 100], challenge, &[0; 100], now).expect("there is room");
        let request = table.digests().request(&who, Some(&octets), &[2; 16]);
        let found = table.find(&who, &[Tree::NoRealm], Some(&octets), request, now);
        assert_eq!(found, Found::Ongoing(id, StateUse::Unused));
        assert!(table.take_up(id, request, StateUse::Unused, Instant::ORIGIN));
        let next = [&octets[..], b"next"].concat();
        let answer = if number % 16 == 0 { Answer::End } else { Answer::Challenge(Some(&next)) };
        assert!(table.answer(id, request, answer, &[1; 120], now));
    }
    now
}

#[test]
fn a_conversation_is_small_and_in_steady_state_nothing_is_allocated() {
    let before = TAKEN.load(Ordering::Relaxed);
    let bounds = Bounds {
        conversations_max: CONVERSATIONS as usize,
        replies_octets_max: REPLIES_OCTETS,
        sessions_octets_max: 1 << 20,
        names_octets_max: CONVERSATIONS as usize * 80,
        dedup_lifetime: Duration::from_secs(5),
    };
    let mut table: Conversations<Kept> = Conversations::new(bounds, &Seed::new([1; 32]));
    let each = TreeBounds { state_lifetime: Duration::from_secs(60), state_max: CONVERSATIONS as usize };
    table.set_trees([(Tree::NoRealm, each)]);
    let mut now = go(&mut table, Instant::ORIGIN, 0);
    assert!(table.len() > 99_000, "but for those that have ended: {}", table.len());
    let taken = TAKEN.load(Ordering::Relaxed) - before - REPLIES_OCTETS as u64;
    let each = taken / u64::from(CONVERSATIONS);
    println!("{each} octets for a conversation beside its replies, {} of them kept of the decision", 100);
    // Of these, 64 and a little for the names of whoever it is with.
    assert!(each <= 670, "{each} octets");

    // Longer than any answer stands: now it is as it will be.
    now = go(&mut table, now, 1_000_000);
    // The test itself allocates one State for each.
    for first in 2..4 {
        let times = TIMES.load(Ordering::Relaxed);
        now = go(&mut table, now, first * 1_000_000);
        let times = TIMES.load(Ordering::Relaxed) - times;
        assert_eq!(times, u64::from(CONVERSATIONS) + 100, "nothing else");
    }
    assert!(table.len() > 99_000 && table.counts().forgotten > 200_000);
}
