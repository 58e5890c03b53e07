//! What a message costs from one thread to another: our ring and crossing beside rtrb and the standard channel.
//!
//! Items are boxes' size and more, as our messages are. Within one thread the cost of the code itself; across two
//! threads that never sleep, with the cache lines that go back and forth, which is what a busy server pays.

use std::hint::{black_box, spin_loop};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ulna_core::queue::ring::ring;
use ulna_core::queue::{BellId, Crossing, Exchange, LinkId, Urgency};

/// Slots of a ring, as in the default configuration.
const SLOTS: usize = 1024;
/// What a message carries.
type Item = [u64; 4];

fn within_a_thread(c: &mut Criterion) {
    for batch in [1, 8, 32] {
        let mut group = c.benchmark_group(format!("channel, one thread, batches of {batch}"));
        group.throughput(Throughput::Elements(batch));

        let (mut producer, mut consumer) = ring::<Item>(SLOTS);
        group.bench_function("ring", |b| {
            b.iter(|| {
                assert!(producer.room() as u64 >= batch);
                (0..batch).for_each(|n| producer.stage([n; 4]));
                producer.publish();
                for _ in 0..consumer.available() {
                    black_box(consumer.take());
                }
                consumer.publish_head()
            });
        });

        let mut crossings = linked();
        let (mut there, mut here) = (crossings.remove(1), crossings.remove(0));
        group.bench_function("crossing", |b| {
            b.iter(|| {
                assert!(here.room(LinkId(0)) as u64 >= batch);
                (0..batch).for_each(|n| here.stage(LinkId(0), [n; 4], Urgency::Urgent));
                show(&mut here);
                there.sweep(64, |_, item| {
                    black_box(item);
                });
                show(&mut there);
            });
        });

        let (mut producer, mut consumer) = rtrb::RingBuffer::<Item>::new(SLOTS);
        group.bench_function("rtrb", |b| {
            b.iter(|| {
                (0..batch).for_each(|n| producer.push([n; 4]).expect("there is room"));
                while let Ok(item) = consumer.pop() {
                    black_box(item);
                }
            });
        });

        let (sender, receiver) = mpsc::sync_channel::<Item>(SLOTS);
        group.bench_function("std sync_channel", |b| {
            b.iter(|| {
                (0..batch).for_each(|n| sender.try_send([n; 4]).expect("there is room"));
                while let Ok(item) = receiver.try_recv() {
                    black_box(item);
                }
            });
        });
        group.finish();
    }
}

fn across_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel, streaming across two threads");
    group.throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(3));
    for batch in [1, 8, 32] {
        group.bench_function(format!("ring, batches of {batch}"), |b| {
            b.iter_custom(|items| {
                let (mut producer, mut consumer) = ring::<Item>(SLOTS);
                stream(
                    items,
                    move || {
                        let mut left = items;
                        while left > 0 {
                            let now = left.min(batch).min(producer.room() as u64);
                            (0..now).for_each(|n| producer.stage([n; 4]));
                            let _ = producer.publish();
                            left -= now;
                            if now == 0 {
                                spin_loop();
                            }
                        }
                    },
                    move || {
                        let available = consumer.available();
                        for _ in 0..available {
                            black_box(consumer.take());
                        }
                        consumer.publish_head();
                        available as u64
                    },
                )
            });
        });
    }
    group.bench_function("rtrb", |b| {
        b.iter_custom(|items| {
            let (mut producer, mut consumer) = rtrb::RingBuffer::<Item>::new(SLOTS);
            stream(
                items,
                move || {
                    for n in 0..items {
                        while producer.push([n; 4]).is_err() {
                            spin_loop();
                        }
                    }
                },
                move || u64::from(consumer.pop().map(black_box).is_ok()),
            )
        });
    });
    group.bench_function("std sync_channel", |b| {
        b.iter_custom(|items| {
            let (sender, receiver) = mpsc::sync_channel::<Item>(SLOTS);
            stream(
                items,
                move || (0..items).for_each(|n| sender.send([n; 4]).expect("the reader lives")),
                move || u64::from(receiver.recv().map(black_box).is_ok()),
            )
        });
    });
    group.finish();
}

/// How long it takes until the reader has had all items that the writer thread writes.
fn stream(items: u64, write: impl FnOnce() + Send, mut read: impl FnMut() -> u64) -> Duration {
    thread::scope(|scope| {
        let begin = Instant::now();
        scope.spawn(write);
        let mut left = items;
        while left > 0 {
            match read() {
                0 => spin_loop(),
                some => left -= some,
            }
        }
        begin.elapsed()
    })
}

fn linked() -> Vec<Crossing<Item>> {
    let mut exchange = Exchange::new(2);
    exchange.link(BellId(0), BellId(1), SLOTS);
    exchange.build()
}

/// Nobody sleeps here: there is never a bell to ring.
fn show(crossing: &mut Crossing<Item>) {
    crossing.publish();
    assert_eq!(crossing.check_gate(), None);
}

criterion_group!(benches, within_a_thread, across_threads);
criterion_main!(benches);
