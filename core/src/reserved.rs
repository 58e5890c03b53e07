//! How much address space the tables of a server take. They are made at start and never grow, so what is too much is
//! known, and refused, when a file is read or a reload asks for more workers: the allocator could only end the process.

use crate::client::Limits;
use crate::configuration::{Configuration, Protocol, RuntimeSettings};

/// What all tables may take. Far above what serves a site, far below what a process can address.
pub const RESERVED_OCTETS_MAX: u64 = 64 << 30;

/// What the sizes of a server's tables follow from.
#[derive(Debug, Clone, Copy)]
pub struct Sizes<'c> {
    /// Threads, rings, dedup.
    pub runtime: &'c RuntimeSettings,
    /// Rejects that wait.
    pub protocol: &'c Protocol,
    /// Of all client rules together.
    pub limits: &'c Limits,
    /// Whether there is a client rule.
    pub has_client_rules: bool,
    /// How many listeners of streams there are, and how many streams these may have together.
    pub streams: (u64, u64),
}

impl Configuration {
    /// What the sizes of its tables follow from.
    pub fn sizes(&self) -> Sizes<'_> {
        let mut streams = (0, 0);
        for settings in self.listeners.iter().filter_map(|listener| listener.transport.stream_settings()) {
            streams = (streams.0 + 1, streams.1 + u64::from(settings.connections_max));
        }
        Sizes {
            runtime: &self.runtime,
            protocol: &self.protocol,
            limits: &self.client_rules.limits,
            has_client_rules: self.client_rules.sightings.is_some(),
            streams,
        }
    }
}

/// Octets that the tables of all threads take, rounded up here and there; as in docs/configuration.md. The kept replies, and what
/// waits in streams, are in it, though their memory comes as they do.
pub fn reserved_octets(sizes: &Sizes<'_>) -> u64 {
    let Sizes { runtime, protocol, limits, has_client_rules, .. } = *sizes;
    let networks = runtime.network_cores() as u64;
    let workers = runtime.workers as u64;
    let requests_max = runtime.requests_max as u64;
    let slots = runtime.ring_slots as u64;

    // Where there is a client rule strangers wait in a line for each worker.
    let for_each_request = if has_client_rules { 42 } else { 40 };
    let for_each_worker = for_each_request * requests_max + 16 * slots.min(requests_max);
    let network = 140 * runtime.dedup_entries_max as u64
        + runtime.replies_octets_max as u64
        + 56 * protocol.delayed_rejects_max as u64
        + workers * for_each_worker
        + networks * 32 * slots
        + 192 * u64::from(limits.connections)
        + 2 * MEBIBYTE;
    let worker = networks * (192 * requests_max + 32 * slots + 48 * 1024)
        + 48 * u64::from(limits.clients)
        + 16 * MEBIBYTE;
    let rings = (networks * (networks - 1) / 2 + networks * workers) * 96 * slots;
    // What was seen last is remembered by all together: seven in 64 octets, and a power of two of those.
    let sightings = (19 * networks * runtime.dedup_entries_max as u64).min(8 * MEBIBYTE);
    let sightings = if has_client_rules { sightings } else { 0 };
    networks * network + workers * worker + rings + sightings + streams_octets(sizes)
}

/// Of these, what streams may take: where there is a listener for them, their places, what was read of each, and replies that wait.
pub fn streams_octets(sizes: &Sizes<'_>) -> u64 {
    let Sizes { runtime, streams: (listeners, streams), .. } = *sizes;
    let networks = runtime.network_cores() as u64;
    if listeners == 0 {
        return 0;
    }
    // Each core has its share of each listener's, rounded up.
    (streams + listeners * networks) * (STREAM_OCTETS + INPUT_OCTETS)
        + networks * runtime.streams_octets_max as u64
}

const MEBIBYTE: u64 = 1 << 20;
/// A place, and what it is found by.
const STREAM_OCTETS: u64 = 640;
/// One read and what was left of the one before; and one reply beyond what all may take.
const INPUT_OCTETS: u64 = 36 * 1024;
