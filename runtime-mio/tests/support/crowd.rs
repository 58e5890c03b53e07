//! A crowd of NASes that goes on asking while something is done to the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ulna_runtime_mio::Server;

use super::Nas;

/// What a crowd of NASes did.
#[derive(Default)]
pub struct Tally {
    pub asked: AtomicU64,
    pub sent: AtomicU64,
    pub longest_us: AtomicU64,
}

/// So many NASes in so many threads ask one after the other, each under the name of its thread, place and round, while
/// `meanwhile` runs.
pub fn under_load(
    server: SocketAddr,
    threads: usize,
    nases: usize,
    patience: Duration,
    name: impl Fn(usize, usize, u64) -> String + Sync,
    meanwhile: impl FnOnce(&Tally),
) -> Tally {
    let (tally, ends) = (Tally::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for crowd in 0..threads {
            let (tally, ends, name) = (&tally, &ends, &name);
            scope.spawn(move || {
                let mut nases: Vec<_> = (0..nases).map(|_| Nas::new(server, patience)).collect();
                let mut round = 0_u64;
                while !ends.load(Ordering::Relaxed) {
                    for (place, nas) in nases.iter_mut().enumerate() {
                        let began = Instant::now();
                        let sent = nas.ask(name(crowd, place, round).as_bytes());
                        let took = began.elapsed().as_micros() as u64;
                        tally.asked.fetch_add(1, Ordering::Relaxed);
                        tally.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
                        tally.longest_us.fetch_max(took, Ordering::Relaxed);
                    }
                    round += 1;
                }
            });
        }
        // Also if it panics: or the crowd would ask for ever.
        struct Ends<'e>(&'e AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&ends);
        meanwhile(&tally);
    });
    tally
}

/// Its counter of this name.
pub fn sum(server: &Server, name: &str) -> u64 {
    server.report().sum(name).unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// What it took for a request that it had already.
pub fn duplicates(server: &Server) -> u64 {
    sum(server, "duplicates_resent") + sum(server, "duplicates_in_progress")
}
