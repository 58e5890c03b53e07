//! What a message costs from one thread to another: our ring and crossing beside rtrb, crossbeam's queue and channel and
//! the standard library's, in batches of 1, 8 and 32.
//!
//! `cargo bench -p ulna-benches --bench channel [-- --quick | --rounds N]`
//!
//! Within one thread the cost of the code itself: a batch is written, then read. Across two threads that never sleep with
//! the cache lines that go back and forth: the writer writes batches as fast as there is room. All are measured in turn,
//! round by round, so that what else the machine does meets all of them; medians. The crossing is what a server uses: its
//! publish has the fence, and the look at gates and marks, that suppression needs; the others do not know who sleeps.

use std::hint::{black_box, spin_loop};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ulna_benches::machine::{cores, pin_to};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_core::queue::ring::ring;
use ulna_core::queue::{BellId, Crossing, Exchange, LinkId, Urgency};

/// Slots of a ring, as in the default configuration.
const SLOTS: usize = 1024;
/// What a message carries.
type Item = [u64; 4];
const BATCHES: [u64; 3] = [1, 8, 32];
/// Messages taken off at once, at most, as in a server.
const SWEEP: usize = 64;
/// Messages of one measurement.
const MESSAGES: u64 = 256 * 1024;
/// What is promised of the crossing: beside rtrb one by one and its chunks in batches of 32, and beside rtrb alone.
const OF_SINGLE_MAX: f64 = 1.5;
const OF_CHUNKS_MAX: f64 = 2.5;
const BEYOND_SINGLE_MAX: f64 = 50.0;

/// Where the two ends are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    OneThread,
    TwoThreads,
}

/// One way to pass messages: nanoseconds a message.
type Way = Box<dyn Fn(Ends, u64) -> f64>;

fn main() -> ExitCode {
    let options = match Options::read(15, Duration::ZERO, Duration::ZERO, |_, _| false) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("channel: {error}");
            return ExitCode::from(2);
        }
    };
    // The reader on the last core, the writer on the first: else the scheduler decides what is measured.
    pin_to(cores() - 1).expect("there is a last core");
    let ways = ways();
    for ends in [Ends::OneThread, Ends::TwoThreads] {
        let mut measured = vec![BATCHES.map(|_| Vec::new()); ways.len()];
        for _ in 0..options.rounds {
            for (place, batch) in BATCHES.into_iter().enumerate() {
                for ((_, way), measured) in ways.iter().zip(&mut measured) {
                    measured[place].push(way(ends, batch));
                }
            }
        }
        let medians: Vec<[f64; 3]> = measured.into_iter().map(|batches| batches.map(median)).collect();
        show(ends, &ways, &medians);
    }
    ExitCode::SUCCESS
}

fn show(ends: Ends, ways: &[(&str, Way)], medians: &[[f64; 3]]) {
    let of = |name: &str| {
        let place = ways.iter().position(|(each, _)| *each == name).expect("it is measured");
        medians[place]
    };
    let (ours, single, chunks) = (of(OURS), of(SINGLE), of(CHUNKS));
    println!("\n{ends:?}, ns a message of {} octets\n", size_of::<Item>());
    println!("| | batches of 1 | of 8 | of 32 |\n|---|---|---|---|");
    for ((name, _), [one, eight, most]) in ways.iter().zip(medians) {
        println!("| {name} | {one:.1} | {eight:.1} | {most:.1} |");
    }
    println!();
    let judge = |what: &str, value: f64, most: f64| {
        let verdict = if value <= most { "met" } else { "missed" };
        println!("{verdict}: {what}: {value:.2}; {most} is the goal");
    };
    judge("batches of 32, times rtrb one by one", ours[2] / single[2], OF_SINGLE_MAX);
    judge("batches of 32, times rtrb in chunks", ours[2] / chunks[2], OF_CHUNKS_MAX);
    judge("batches of 1, ns beyond rtrb", ours[0] - single[0], BEYOND_SINGLE_MAX);
}

const OURS: &str = "crossing";
const SINGLE: &str = "rtrb, one by one";
const CHUNKS: &str = "rtrb, chunks";

/// Each makes a queue anew: its writing end takes as many of so many as there is room for, and its reading end what is
/// there; both say how many that was.
fn ways() -> Vec<(&'static str, Way)> {
    vec![
        (OURS, way(crossing)),
        ("ring alone, no fence", way(ring_alone)),
        (SINGLE, way(rtrb_single)),
        (CHUNKS, way(rtrb_chunks)),
        ("crossbeam ArrayQueue", way(array_queue)),
        ("crossbeam-channel", way(crossbeam_channel)),
        ("std sync_channel", way(std_channel)),
    ]
}

fn way<W, R>(make: fn() -> (W, R)) -> Way
where
    W: FnMut(u64) -> u64 + Send + 'static,
    R: FnMut() -> u64 + 'static,
{
    Box::new(move |ends, batch| {
        let (mut write, mut read) = make();
        let took = match ends {
            Ends::OneThread => {
                let begin = Instant::now();
                for _ in 0..MESSAGES / batch {
                    assert_eq!(write(batch), batch, "there is room");
                    assert_eq!(read(), batch);
                }
                begin.elapsed()
            }
            Ends::TwoThreads => stream(
                move || {
                    let mut left = MESSAGES;
                    while left > 0 {
                        match write(left.min(batch)) {
                            0 => spin_loop(),
                            some => left -= some,
                        }
                    }
                },
                read,
            ),
        };
        took.as_nanos() as f64 / MESSAGES as f64
    })
}

/// How long it takes until the reader has had all items that the writer thread writes.
fn stream(write: impl FnOnce() + Send, mut read: impl FnMut() -> u64) -> Duration {
    thread::scope(|scope| {
        let begin = Instant::now();
        scope.spawn(|| {
            pin_to(0).expect("there is a first core");
            write();
        });
        let mut left = MESSAGES;
        while left > 0 {
            match read() {
                0 => spin_loop(),
                some => left -= some,
            }
        }
        begin.elapsed()
    })
}

fn crossing() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let mut exchange = Exchange::new(2);
    exchange.link(BellId(0), BellId(1), SLOTS);
    let mut crossings = exchange.build();
    let (mut there, mut here) = (crossings.remove(1), crossings.remove(0));
    let write = move |batch: u64| {
        let now = batch.min(here.room_for(LinkId(0), batch as usize) as u64);
        here.stage_each(LinkId(0), (0..now).map(|n| ([n; 4], Urgency::Urgent)));
        show_to_other(&mut here);
        now
    };
    let read = move || {
        let taken = there.sweep(SWEEP, |_, item| {
            black_box(item);
        });
        show_to_other(&mut there);
        taken as u64
    };
    (write, read)
}

/// Nobody sleeps here: there is never a bell to ring.
fn show_to_other(crossing: &mut Crossing<Item>) {
    crossing.publish();
    assert_eq!(crossing.check_gate(), None);
}

fn ring_alone() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let (mut producer, mut consumer) = ring::<Item>(SLOTS);
    let write = move |batch: u64| {
        let now = batch.min(producer.room_for(batch as usize) as u64);
        producer.stage_each((0..now).map(|n| [n; 4]));
        producer.publish();
        now
    };
    let read = move || {
        consumer.available();
        let taken = consumer.take_each(SWEEP, |item| {
            black_box(item);
        });
        consumer.publish_head();
        taken as u64
    };
    (write, read)
}

fn rtrb_single() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Item>::new(SLOTS);
    (
        move |batch: u64| (0..batch).take_while(|n| producer.push([*n; 4]).is_ok()).count() as u64,
        move || (0..SWEEP).take_while(|_| consumer.pop().map(black_box).is_ok()).count() as u64,
    )
}

fn rtrb_chunks() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Item>::new(SLOTS);
    let write = move |batch: u64| {
        let now = batch.min(producer.slots() as u64);
        let chunk = producer.write_chunk_uninit(now as usize).expect("there is room");
        chunk.fill_from_iter((0..now).map(|n| [n; 4])) as u64
    };
    let read = move || {
        let taken = consumer.slots().min(SWEEP);
        for item in consumer.read_chunk(taken).expect("as many are there") {
            black_box(item);
        }
        taken as u64
    };
    (write, read)
}

fn array_queue() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let queue = Arc::new(crossbeam_queue::ArrayQueue::<Item>::new(SLOTS));
    let other = Arc::clone(&queue);
    (
        move |batch: u64| (0..batch).take_while(|n| other.push([*n; 4]).is_ok()).count() as u64,
        move || (0..SWEEP).take_while(|_| queue.pop().map(black_box).is_some()).count() as u64,
    )
}

fn crossbeam_channel() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let (sender, receiver) = crossbeam_channel::bounded::<Item>(SLOTS);
    (
        move |batch: u64| (0..batch).take_while(|n| sender.try_send([*n; 4]).is_ok()).count() as u64,
        move || (0..SWEEP).take_while(|_| receiver.try_recv().map(black_box).is_ok()).count() as u64,
    )
}

fn std_channel() -> (impl FnMut(u64) -> u64 + Send, impl FnMut() -> u64) {
    let (sender, receiver) = mpsc::sync_channel::<Item>(SLOTS);
    (
        move |batch: u64| (0..batch).take_while(|n| sender.try_send([*n; 4]).is_ok()).count() as u64,
        move || (0..SWEEP).take_while(|_| receiver.try_recv().map(black_box).is_ok()).count() as u64,
    )
}
