//! What it costs to find out whether a request was seen before, in a small table and in one that no cache holds.
//!
//! Requests are asked for in an order that jumps about: with a million of them each look-up misses the caches.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ulna_core::dedup::{Authenticator, Dedup, Kept, Key, Seen};
use ulna_core::life::Life;
use ulna_core::path::{ListenerId, Path, SocketId, Via, WorkerId};
use ulna_core::{Instant, Seed};

const REPLY: &[u8] = &[2; 38];
/// Coprime to both sizes: jumps over all entries before it comes to one again.
const STRIDE: usize = 611_953;

fn key(dedup: &Dedup, n: usize) -> Key {
    let [identifier, port_low, port_high, address, ..] = n.to_le_bytes();
    let port = u16::from_le_bytes([port_low, port_high]);
    let path = Path {
        via: Via::Socket(SocketId(0)),
        listener: ListenerId(0),
        local: ([192, 0, 2, 1], 1812).into(),
        remote: ([10, 0, 0, address], port).into(),
    };
    dedup.key(&path, 1, identifier, true, 0)
}

fn authenticator(n: usize, turn: u64) -> Authenticator {
    let mut authenticator = [0; 16];
    authenticator[..8].copy_from_slice(&n.to_le_bytes());
    authenticator[8..].copy_from_slice(&turn.to_le_bytes());
    authenticator
}

/// A request's whole life.
fn live(dedup: &mut Dedup, key: &Key, authenticator: &Authenticator) -> Seen {
    let seen = dedup.look_up(key, authenticator);
    let superseded = match seen {
        Seen::Superseding(handle, _) => Some(handle),
        Seen::Fresh | Seen::InProgress(..) | Seen::Delayed | Seen::Answered(_) => None,
    };
    let handle = dedup.begin(key, superseded, authenticator, WorkerId(0)).expect("there is room");
    assert_eq!(dedup.answer(handle, Some(REPLY), Instant::ORIGIN), Kept::Reply);
    seen
}

fn full(entries: usize) -> Dedup {
    // A chunk of 64 octets and its owner.
    let octets = entries * 68 + (1 << 20);
    let mut dedup =
        Dedup::new(Life::default(), entries, octets, Duration::from_secs(10), &Seed::new([7; 32]));
    for n in 0..entries {
        let key = key(&dedup, n);
        live(&mut dedup, &key, &authenticator(n, 0));
    }
    dedup
}

fn dedup(c: &mut Criterion) {
    let mut group = c.benchmark_group("dedup");
    group.throughput(Throughput::Elements(1));
    for entries in [1_000, 1_000_000] {
        let mut dedup = full(entries);
        let mut n = 0;
        let mut next = move || {
            n = (n + STRIDE) % entries;
            n
        };
        group.bench_function(format!("duplicate at {entries}"), |b| {
            b.iter(|| {
                let n = next();
                let seen = dedup.look_up(&key(&dedup, n), &authenticator(n, 0));
                let Seen::Answered(handle) = seen else { panic!("it was answered: {seen:?}") };
                black_box(dedup.reply(handle).map(<[u8]>::len))
            });
        });
        let mut turn = 0;
        group.bench_function(format!("superseding at {entries}"), |b| {
            b.iter(|| {
                let n = next();
                turn += 1;
                let key = key(&dedup, n);
                let seen = live(&mut dedup, &key, &authenticator(n, turn));
                assert!(matches!(seen, Seen::Superseding(_, None)));
            });
        });
        // The table is full: each fresh request takes the place of the oldest.
        let mut fresh = entries;
        group.bench_function(format!("fresh, in the oldest's place, at {entries}"), |b| {
            b.iter_batched(
                || {
                    fresh += 1;
                    (fresh, authenticator(fresh, 0))
                },
                |(fresh, authenticator)| {
                    let key = key(&dedup, fresh);
                    live(&mut dedup, &key, &authenticator)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, dedup);
criterion_main!(benches);
