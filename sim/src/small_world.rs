//! What the small worlds share in which a server dies at any operation on its disk: when it dies, how operations go, what NASes hear.

use crate::actor::accounting_nas::{AccountingNas, Heard};
use crate::draw::Draw;
use crate::fault::disk::{Course, Crash};
use std::net::SocketAddr;
use std::sync::Arc;
use ulna_core::cores::{Cores, assemble};
use ulna_core::seeded::{self, Bug};
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Instant, ListenerId, Path, Seed, SocketId, Via};

pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MILLISECOND;
/// From here on nothing fails any more.
pub const HEALED: u64 = 20 * SECOND;

/// The run that begins has this bug.
pub fn choose(bug: Option<Bug>) {
    #[cfg(feature = "seeded-bugs")]
    seeded::choose(bug);
    #[cfg(not(feature = "seeded-bugs"))]
    assert!(bug.is_none() || seeded::COMPILED_IN, "bugs are not compiled in");
}

/// At which operations of the first so many everything stops, at most so often, and how: the next comes last.
pub fn crashes(at: impl Fn(u64) -> Draw, most: u64, last: u64) -> Vec<(u64, Crash)> {
    let kind = |ordinal| if at(ordinal).one_in(3) { Crash::Process } else { Crash::Machine };
    let crashes = (0..at(2).range(1..=most)).map(|place| (at(30 + place).range(1..=last), kind(40 + place)));
    let mut crashes: Vec<_> = crashes.collect();
    crashes.sort_unstable_by_key(|(operation, _)| std::cmp::Reverse(*operation));
    crashes
}

/// When an operation ends that begins now, and how. One in so many takes longer, as long as is drawn.
pub fn course(
    draw: Draw,
    now: u64,
    per_myriad: u32,
    (one_in, slowly): (u64, impl FnOnce(Draw) -> u64),
) -> (u64, Course) {
    let fails = now < HEALED && draw.fork(1).per_myriad(per_myriad);
    let is_slow = now < HEALED && draw.fork(2).one_in(one_in);
    let length = draw.fork(3);
    let length = if is_slow { slowly(length) } else { length.range(1..=20) * MILLISECOND };
    (now + length, if fails { Course::Fails } else { Course::Done })
}

/// What the wall shows.
pub fn wall_time(now: u64) -> UnixTime {
    UnixTime(1_767_225_600 + now / SECOND)
}

/// What a datagram is to the NAS that it goes to.
pub fn hear(nases: &mut [AccountingNas], to: SocketAddr, octets: &[u8]) -> Heard {
    let nas = nases.iter_mut().find(|nas| nas.remote() == to);
    nas.expect("replies go where requests came from").hear(octets)
}

/// The end of a turn of the only thread.
pub fn end_turn(cores: &mut Cores, now: Instant) {
    assert_eq!(cores.poll_socket(), None, "no connection here has a socket of its own");
    cores.finish(now);
    cores.publish();
    while cores.check_gate().is_some() {}
    while cores.poll_event().is_some() {}
}

/// By which a NAS sends.
pub fn path_from(remote: SocketAddr) -> Path {
    let local = "192.0.2.1:1813".parse().expect("an address");
    Path { via: Via::Socket(SocketId(0)), listener: ListenerId(0), local, remote }
}

/// The cores of a process that has just begun.
pub fn start(configuration: &Arc<Configuration>, seed: u64) -> Cores {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_le_bytes());
    let mut cores = assemble(configuration, &Seed::new(octets));
    assert_eq!(cores.len(), 1, "joined, one worker");
    cores.pop().expect("there is one")
}
