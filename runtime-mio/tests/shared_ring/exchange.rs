//! Every message arrives once and in order, and nobody sleeps through one.

use std::net::SocketAddr;
use std::path::Path;

use ulna_runtime_mio::shared_ring::{End, Link, LinkCounters, Slot};

use super::{Draws, Folder, Other, Side, within};

/// Messages each way.
const COUNT: u64 = 1_000_000;
/// So few that each side waits for the other all the time.
const SLOTS: u32 = 16;
/// Messages of which the next waits for the answer to this one.
const TURNS: u64 = 50_000;

#[test]
fn a_million_messages_each_way_arrive_once_and_in_order() {
    let counters = within(|| {
        let folder = Folder::new("exchange");
        let side = Side::of(Link::create(&folder.ring(), SLOTS).expect("a new name"));
        let other = Other::start("exchange", &folder.ring());
        let counters = exchange(side, 1);
        other.end_well();
        counters
    });
    println!("{counters:?}");
}

pub fn other(link: &Path) {
    exchange(Side::of(Link::open(link).expect("it is there")), 2);
}

fn address(number: u64) -> SocketAddr {
    ([10, 0, 0, (number % 251) as u8], number as u16).into()
}

/// The `n`th message: its number, and some octets that follow from it.
fn message(number: u64, out: &mut Vec<u8>) {
    let mut draws = Draws(number);
    out.clear();
    out.extend(number.to_ne_bytes());
    out.resize(8 + draws.below(200) as usize, draws.next() as u8);
    if number.is_multiple_of(1000) {
        out.resize(4096, number as u8);
    }
}

fn exchange(mut side: Side, seed: u64) -> LinkCounters {
    let mut draws = Draws(seed);
    let (mut next, mut expected) = (0, 0);
    let (mut out, mut due) = (Vec::new(), Vec::new());
    while next < COUNT || expected < COUNT {
        let batch = (1 + draws.below(2 * u64::from(SLOTS))).min(COUNT - next);
        let batch = batch.min(side.link.room() as u64);
        for _ in 0..batch {
            message(next, &mut out);
            side.link.stage(address(next), address(!next), &out);
            next += 1;
        }
        let budget = 1 + draws.below(u64::from(SLOTS)) as usize;
        let taken = side.link.sweep(budget, |slot: &Slot| {
            message(expected, &mut due);
            assert_eq!(slot.octets(), due, "message {expected}");
            assert_eq!((slot.remote, slot.local), (address(expected), address(!expected)));
            expected += 1;
        });
        side.link.publish();
        if batch == 0 && taken == 0 {
            match side.link.end() {
                None => {}
                Some(end) => panic!("{end} after {next} and {expected} messages"),
            }
            if next < COUNT {
                side.link.ask_for_space();
            }
            side.wait();
        }
    }
    let counters = side.link.counters();
    assert_eq!((counters.sent, counters.received), (COUNT, COUNT));
    assert!(counters.parks > 1000 && counters.full > 1000, "it has slept: {counters:?}");
    counters
}

#[test]
fn fifty_thousand_times_one_sleeps_until_the_other_has_answered() {
    let counters = within(|| {
        let folder = Folder::new("turns");
        let mut side = Side::of(Link::create(&folder.ring(), 1).expect("a new name"));
        let other = Other::start("answer", &folder.ring());
        for turn in 0..TURNS {
            let mut came = None;
            while came.is_none() {
                side.wait();
                side.link.sweep(1, |slot| came = Some(slot.octets().to_vec()));
                assert_eq!(side.link.end(), None);
            }
            assert_eq!(came, Some(turn.to_ne_bytes().to_vec()));
            assert_eq!(side.link.room(), 1, "who asks has read the answer before");
            side.link.stage(address(0), address(0), &turn.to_ne_bytes());
            side.link.publish();
        }
        while side.link.end().is_none() {
            side.wait();
        }
        assert_eq!(side.link.end(), Some(End::Gone));
        other.end_well();
        side.link.counters()
    });
    println!("{counters:?}");
    assert!(counters.parks > TURNS / 2, "it has slept: {counters:?}");
    assert!(counters.rings <= counters.sent, "never twice for one: {counters:?}");
}

pub fn answer(link: &Path) {
    let mut side = Side::of(Link::open(link).expect("it is there"));
    for turn in 0..TURNS {
        assert_eq!(side.link.room(), 1);
        side.link.stage(address(0), address(0), &turn.to_ne_bytes());
        side.link.publish();
        let mut came = None;
        while came.is_none() {
            side.wait();
            side.link.sweep(1, |slot| came = Some(slot.octets().to_vec()));
            // For the next one, whose room it is.
            side.link.publish();
            assert_eq!(side.link.end(), None);
        }
        assert_eq!(came, Some(turn.to_ne_bytes().to_vec()));
    }
}
