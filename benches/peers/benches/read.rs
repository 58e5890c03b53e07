//! One Access-Request read by ulna and by other crates, each kind of work a group.
//!
//! Measured is the time that the processor spent on it, not the wall's: who else runs on the machine meanwhile matters less.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use ulna_benches_peers::{READERS, datagram};

/// Processor time of this process.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn read(c: &mut Criterion<ProcessorTime>) {
    let datagram = datagram();
    for work in ["whole", "unverified", "read"] {
        let mut group = c.benchmark_group(work);
        group.throughput(Throughput::Elements(1));
        for (_, name, make) in READERS.iter().filter(|(each, ..)| *each == work) {
            let mut reader = make();
            assert!(reader(&datagram).is_some(), "{name} does not read the packet");
            group.bench_function(*name, |b| b.iter(|| reader(black_box(&datagram))));
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = read
}
criterion_main!(benches);
