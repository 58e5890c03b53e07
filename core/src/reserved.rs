//! How much address space the tables of a server take. They are made at start and never grow, so what is too much is
//! known, and refused, when a file is read or a reload asks for more workers: the allocator could only end the process.

use crate::client::Limits;
use crate::configuration::{Protocol, RuntimeSettings};

/// What all tables may take. Far above what serves a site, far below what a process can address.
pub const RESERVED_OCTETS_MAX: u64 = 64 << 30;

/// Octets that the tables of all threads take, rounded up here and there; as in docs/configuration.md. The kept replies
/// are in it, though their memory comes as they do.
pub fn reserved_octets(runtime: &RuntimeSettings, protocol: &Protocol, limits: &Limits) -> u64 {
    let joined = runtime.network_threads == 0;
    let networks = if joined { runtime.workers } else { runtime.network_threads } as u64;
    let workers = runtime.workers as u64;
    let requests_max = runtime.requests_max as u64;
    let slots = runtime.ring_slots as u64;

    let for_each_worker = 40 * requests_max + 16 * slots.min(requests_max);
    let network = 140 * runtime.dedup_entries_max as u64
        + runtime.replies_octets_max as u64
        + 56 * protocol.delayed_rejects_max as u64
        + workers * for_each_worker
        + networks * 32 * slots
        + 192 * u64::from(limits.connections)
        + 2 * MEBIBYTE;
    let worker = networks * (260 * requests_max + 32 * slots + 48 * 1024)
        + 48 * u64::from(limits.clients)
        + 16 * MEBIBYTE;
    let rings = (networks * (networks - 1) / 2 + networks * workers) * 96 * slots;
    // What was seen last is remembered by all together.
    let sightings = (10 * networks * runtime.dedup_entries_max as u64).min(8 * MEBIBYTE);
    networks * network + workers * worker + rings + sightings
}

const MEBIBYTE: u64 = 1 << 20;
