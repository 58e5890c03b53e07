//! Millions of sleeps in the kernel, with messages that come at the worst moment; none may be slept through.
//!
//! What runs is the real thing: core's crossing and gate, the bell and the wait of every thread of a server. The reader
//! takes a message, and goes to sleep; the writers spin until it says that it has nothing left, and publish while it is on
//! its way. When they do is steered: the reader shortens their delay when it got into the kernel before the message, and
//! lengthens it when the message came before its second look was over, so that the draws stay around that very moment,
//! from before the announcement until after the wait has begun.
//!
//! A loss does not hang: each wait has a deadline, and the tripwire counts.
#![cfg_attr(
    feature = "seeded-bugs",
    allow(dead_code, reason = "with bugs in it only what notices them runs")
)]

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mio::{Events, Poll};
use ulna_core::Instant;
use ulna_core::configuration::RuntimeSettings;
use ulna_core::queue::{Announcement, BellId, Crossing, Exchange, LinkId, Urgency, Woken};
use ulna_runtime_mio::patience::tripwire::Rounds;
use ulna_runtime_mio::patience::{Patience, Sleeper};
use ulna_runtime_mio::{Bell, Clock, SystemCalls};

/// After so long a sleep that nobody ended ends by itself.
const DEADLINE: Duration = Duration::from_millis(200);
/// Turns of an empty loop that a draw lies before or behind what is aimed at, at most: some hundred nanoseconds.
const SPREAD: i64 = 400;
/// And what is aimed at: tens of microseconds. Bounded, since while both share a processor it leads nowhere.
const AIM_MAX: i64 = 100_000;
/// Turns of a spinning writer before it lets others run.
const SPINS: u32 = 2_000;
/// The round after the last.
const OVER: u64 = u64::MAX;
const READER: BellId = BellId(0);

/// A reader and its writers.
#[derive(Clone, Copy)]
struct Group {
    writers: u16,
    /// Parks that have to enter the kernel.
    parks: u64,
    /// One in so many bells is not rung; 0: none.
    mute: u64,
}

/// What became of it.
#[derive(Debug, Default)]
struct Outcome {
    parks: u64,
    cancels: u64,
    rounds: u64,
    rung: u64,
    lost: u64,
}

/// What the reader tells its writers.
#[repr(align(128))]
struct Moment {
    /// They publish once for each.
    round: AtomicU64,
    /// Turns of an empty loop that they wait before that, about.
    aim: AtomicI64,
}

struct Reader {
    crossing: Crossing<u64>,
    clock: Clock,
}

impl Sleeper for Reader {
    fn is_anything_unread(&mut self) -> bool {
        self.crossing.is_anything_unread()
    }

    fn announce(&mut self) {
        self.crossing.announce(Announcement::Park);
    }

    fn look_again(&mut self) -> bool {
        self.crossing.look_again()
    }

    fn unpark(&mut self) -> Woken {
        self.crossing.unpark()
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.clock.now() + DEADLINE)
    }

    fn urgent_unread_from(&self) -> Option<BellId> {
        self.crossing.unread_from(|_| true)
    }
}

/// A generator that is good enough to miss nothing for long (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn idle(turns: u64) {
    for turn in 0..turns {
        black_box(turn);
    }
}

/// Has the group park so often, or until something was lost.
fn park(group: Group, seed: u64) -> Outcome {
    let threads = group.writers + 1;
    let mut exchange = Exchange::new(threads);
    for writer in 1..threads {
        exchange.link(READER, BellId(writer), 16);
    }
    let mut crossings = exchange.build().into_iter();
    let rounds = Rounds::new(usize::from(threads));
    let clock = Clock::start();
    let settings = RuntimeSettings { linger_max: Duration::ZERO, ..RuntimeSettings::default() };
    let patience = Patience::new(&settings, &rounds, usize::from(threads), clock);
    let poll = Poll::new().expect("a poll");
    let bell = Bell::new(poll.registry()).expect("a bell");
    let moment = Arc::new(Moment { round: AtomicU64::new(0), aim: AtomicI64::new(1000) });
    let crossing = crossings.next().expect("the reader's");
    let reader = Reader { crossing, clock };
    thread::scope(|scope| {
        let writers: Vec<_> = crossings
            .zip(1..)
            .map(|(crossing, number)| {
                let (rounds, bell, moment) = (&rounds, &bell, &moment);
                let draw = Draw(seed ^ (number << 32) | 1);
                scope.spawn(move || write(crossing, rounds, bell, moment, draw, group.mute))
            })
            .collect();
        let mut outcome = read(reader, patience, poll, &moment, group, Draw(seed | 1));
        outcome.rung = writers.into_iter().map(|writer| writer.join().expect("it ends")).sum();
        outcome
    })
}

fn read(
    mut reader: Reader,
    mut patience: Patience,
    mut poll: Poll,
    moment: &Moment,
    group: Group,
    mut draw: Draw,
) -> Outcome {
    let mut events = Events::with_capacity(8);
    let mut calls = SystemCalls::default();
    let mut round = 0;
    let mut missing = 0;
    let mut before = reader.crossing.counters();
    loop {
        missing -= reader.crossing.sweep(16, |_, message| assert_eq!(message, round));
        reader.crossing.publish();
        assert_eq!(reader.crossing.check_gate(), None, "no writer ever sleeps");
        let counters = reader.crossing.counters();
        let lost = patience.counters().lost_wakeups;
        if missing == 0 {
            // Two steps against one: more rounds enter the kernel than not, and enough do not.
            let aim = if counters.parks > before.parks { -1 } else { 2 };
            // Relaxed: the reader alone stores it, and any aim will do.
            let aim = moment.aim.load(Ordering::Relaxed) + 8 * aim;
            moment.aim.store(aim.clamp(-SPREAD, AIM_MAX), Ordering::Relaxed);
            before = counters;
            if counters.parks >= group.parks || lost > 0 {
                moment.round.store(OVER, Ordering::Relaxed);
                let (parks, cancels) = (counters.parks, counters.park_cancels);
                return Outcome { parks, cancels, rounds: round, rung: 0, lost };
            }
            round += 1;
            missing = usize::from(group.writers);
            // Relaxed: it orders nothing, and what it is about is that nothing else does.
            moment.round.store(round, Ordering::Relaxed);
            idle(draw.below(SPREAD as u64));
        }
        patience.wait(&mut reader, &mut poll, &mut events, true, &mut calls).expect("the kernel waits");
    }
}

/// How many bells it had to ring.
fn write(
    mut crossing: Crossing<u64>,
    rounds: &Rounds,
    bell: &Bell,
    moment: &Moment,
    mut draw: Draw,
    mute: u64,
) -> u64 {
    let mut calls = SystemCalls::default();
    let (mut last, mut rung) = (0, 0u64);
    loop {
        let mut spins = 0;
        let round = loop {
            match moment.round.load(Ordering::Relaxed) {
                OVER => return rung,
                round if round > last => break round,
                _ => spin_loop(),
            }
            spins += 1;
            if spins % SPINS == 0 {
                thread::yield_now();
            }
        };
        last = round;
        let aim = moment.aim.load(Ordering::Relaxed) + draw.below(2 * SPREAD as u64) as i64 - SPREAD;
        idle(aim.max(0) as u64);
        rounds.begin(crossing.bell());
        crossing.stage(LinkId(0), round, Urgency::Urgent);
        crossing.publish();
        while crossing.check_gate().is_some() {
            rung += 1;
            if mute == 0 || rung % mute != 0 {
                bell.ring(&mut calls);
            }
        }
        rounds.end(crossing.bell());
    }
}

/// Several groups at once.
fn stress(groups: &[Group]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running: Vec<_> = groups
            .iter()
            .zip(0x5eed..)
            .map(|(group, seed)| scope.spawn(move || park(*group, seed << 16)))
            .collect();
        running.into_iter().map(|group| group.join().expect("it ends")).collect()
    })
}

/// One writer; two that come at the same moment; and two groups that keep each other from running.
fn parks(of_each: u64) {
    // The moment has to be met: where there are two processors, not all messages come too late for the second look. Others who
    // use the machine keep threads apart; then it is tried again.
    let mut met = Vec::new();
    for _ in 0..3 {
        let (cancels, rounds) = parks_once(of_each);
        if cancels >= rounds / 100 {
            return;
        }
        met.push(format!("{cancels} in {rounds}"));
    }
    panic!("the moment was met too seldom: {met:?}");
}

/// How many sleeps were cancelled, in how many rounds.
fn parks_once(of_each: u64) -> (u64, u64) {
    let one = Group { writers: 1, parks: of_each, mute: 0 };
    let two = Group { writers: 2, ..one };
    let (mut parks, mut cancels, mut rounds) = (0, 0, 0);
    for groups in [&[one][..], &[two], &[one, two]] {
        let began = std::time::Instant::now();
        let outcomes = stress(groups);
        println!("{:.1} s: {outcomes:?}", began.elapsed().as_secs_f64());
        for (group, outcome) in groups.iter().zip(outcomes) {
            assert_eq!(outcome.lost, 0, "{outcome:?}");
            assert!(outcome.parks >= group.parks, "{outcome:?}");
            // At most one a park.
            assert!(outcome.rung <= outcome.parks + outcome.cancels, "{outcome:?}");
            parks += outcome.parks;
            cancels += outcome.cancels;
            rounds += outcome.rounds;
        }
    }
    println!("{parks} parks that entered the kernel, no wake-up lost");
    (cancels, rounds)
}

#[cfg(not(feature = "seeded-bugs"))]
#[test]
fn half_a_million_parks_lose_no_wake_up() {
    parks(125_000);
}

/// `ULNA_PARKS=25000000` for the night's hundred million.
#[cfg(not(feature = "seeded-bugs"))]
#[test]
#[ignore = "minutes: .ci/night"]
fn ten_million_parks_lose_no_wake_up() {
    let of_each = std::env::var("ULNA_PARKS").ok().map(|parks| parks.parse().expect("a number"));
    parks(of_each.unwrap_or(2_500_000));
}

/// The test can fail: here a bell is not rung now and then.
#[cfg(not(feature = "seeded-bugs"))]
#[test]
fn bells_that_are_not_rung_are_noticed() {
    for writers in [1, 2] {
        let outcome = park(Group { writers, parks: 100_000, mute: 500 }, 7);
        println!("{outcome:?}");
        assert!(outcome.lost > 0, "{outcome:?}");
    }
}

/// And here the second look is missing, which only a message at the worst moment tells.
#[cfg(feature = "seeded-bugs")]
#[test]
fn a_missing_second_look_is_noticed() {
    use ulna_core::seeded::{Bug, choose};
    choose(Some(Bug::SecondLookMissing));
    for writers in [1, 2] {
        let outcome = park(Group { writers, parks: 1_000_000, mute: 0 }, 7);
        println!("{outcome:?}");
        assert!(outcome.lost > 0, "{outcome:?}");
    }
}
