//! One packet through a whole server: the cores of production, driven by hand in a time of their own, without a socket. What
//! takes time in production, passwords that are hashed and records that are stored, is answered at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ulna_core::configuration::{Configuration, RuntimeSettings};
use ulna_core::cores::{Cores, assemble_with};
use ulna_core::discard::Discard;
use ulna_core::effect::{Effect, EffectDone, LookUp, LookedUp, Relay, Resolved, Ticket};
use ulna_core::event::{Event, Outcome};
use ulna_core::forward::{RemoteAddress, RemoteOrder};
use ulna_core::packet::Secret;
use ulna_core::policy::PolicyFactory;
use ulna_core::time::UnixTime;
use ulna_core::{Instant, ListenerId, Path, Seed, SocketId, Via};
use ulna_runtime_mio::Hasher;

/// A packet and the way that it comes.
pub struct Arrival<'a> {
    pub listener: ListenerId,
    pub from: SocketAddr,
    pub octets: &'a [u8],
}

/// What came of it.
#[derive(Default)]
pub struct Rehearsed {
    /// The octets of the reply, and how long after the packet it went.
    pub reply: Option<(Vec<u8>, Duration)>,
    /// Whether something went on to another server instead.
    pub forwarded: bool,
    /// Why there was none.
    pub discard: Option<Discard>,
    /// What would have been stored.
    pub records: String,
    /// Whether something would have been written into the spool.
    pub is_spooled: bool,
}

/// As little as a server needs that gets one packet: what is larger in production decides about nothing but shedding.
pub fn small(configuration: Configuration) -> Configuration {
    let runtime = RuntimeSettings {
        network_threads: 0,
        workers: 1,
        ring_slots: 4,
        requests_max: 2,
        dedup_entries_max: 16,
        replies_octets_max: 65_536,
        ..configuration.runtime
    };
    Configuration { runtime, ..configuration }
}

/// Hands the packet to a server of one thread that decides by this policy, and waits for what comes.
pub fn rehearse(
    configuration: &Arc<Configuration>,
    policies: &Arc<PolicyFactory>,
    seed: &Seed,
    arrival: &Arrival<'_>,
) -> Rehearsed {
    let start = Instant::ORIGIN + Duration::from_secs(1);
    // Nobody is asked what names stand for: that each stands for something is enough, as nothing is sent there.
    for server in &configuration.remote_servers {
        if let RemoteAddress::Named { .. } = server.address {
            let ours = server.source_address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            server.resolution.note_addresses(&[ours], start);
        }
    }
    let mut cores = assemble_with(configuration, seed, policies).pop().expect("a server has a thread");
    let mut now = start;
    let mut rehearsed = Rehearsed::default();
    let mut packet = Some(arrival);
    let mut answers: Vec<(Ticket, EffectDone)> = Vec::new();
    let local = configuration.listeners[usize::from(arrival.listener.0)].address;
    // A reply comes in the turn of its packet, in the next, or at a deadline; and few are before that.
    for turn in 0..TURNS_MAX {
        cores.begin();
        cores.handle_wall_time(wall_time());
        cores.sweep(now);
        answers.drain(..).for_each(|(ticket, done)| cores.handle_effect_done(ticket, done, now));
        // A spool is there before any packet.
        let is_ready = turn > 0 || configuration.accounting.spool.is_none();
        if let Some(Arrival { octets, .. }) = packet.take_if(|_| is_ready) {
            cores.handle_datagram(arrival.path(local), octets, now);
        }
        cores.handle_timeout(now);
        cores.work(usize::MAX, now);
        while let Some((ticket, effect)) = cores.poll_effect() {
            answers.push((ticket, rehearsed.perform(effect, configuration)));
        }
        // Whoever it goes on to is not asked: that it would go is known as soon as a socket is wanted.
        while let Some(order) = cores.poll_remote_order() {
            rehearsed.forwarded |= matches!(order, RemoteOrder::Open { .. });
        }
        if rehearsed.forwarded {
            return rehearsed;
        }
        let mut reply = Vec::new();
        if cores.poll_transmit(&mut reply).is_some() {
            rehearsed.reply = Some((reply, now.saturating_since(start)));
            return rehearsed;
        }
        // Here is no socket to be had, and none is needed.
        while cores.poll_socket().is_some() {}
        cores.finish(now);
        cores.publish();
        while cores.check_gate().is_some() {}
        rehearsed.discard = discarded(&mut cores);
        if rehearsed.discard.is_some() {
            return rehearsed;
        }
        if answers.is_empty() && !cores.has_output() {
            let Some((due, _)) = cores.poll_timeout() else { break };
            now = now.max(due);
        }
    }
    rehearsed
}

impl Arrival<'_> {
    /// The way that it comes, to this address.
    pub fn path(&self, local: SocketAddr) -> Path {
        Path { via: Via::Socket(SocketId(0)), listener: self.listener, local, remote: self.from }
    }
}

impl Rehearsed {
    fn perform(&mut self, effect: Effect, configuration: &Configuration) -> EffectDone {
        match effect {
            Effect::CheckPassword { hash, mut password } => {
                let matches = Hasher::default().matches(&hash, &password);
                password.wipe();
                EffectDone::PasswordChecked { password, matches }
            }
            Effect::Store(batch) => {
                self.records += &String::from_utf8_lossy(&batch.octets);
                EffectDone::Stored { buffer: batch.octets, result: Ok(()) }
            }
            // It is a packet, not for people to read.
            Effect::Spool(batch) => {
                self.is_spooled = true;
                EffectDone::Spooled { buffer: batch.octets, result: Ok(()) }
            }
            Effect::Relay(Relay::Begin) => {
                let key = Secret::new(b"nothing is kept here").expect("it has octets");
                EffectDone::SpoolKey(Arc::new(key))
            }
            // Nobody controls what is rehearsed.
            effect @ (Effect::Relay(Relay::Answered(_) | Relay::Unanswered { .. }) | Effect::Errand(_)) => {
                EffectDone::Shed(effect)
            }
            Effect::LookUp(LookUp { source, key }) => {
                let table = configuration.secret_tables.iter().find(|table| table.source == source);
                EffectDone::LookedUp(table.map_or(LookedUp::Failed, |table| table.look_up(&key)))
            }
            // They are where they were.
            Effect::Resolve(_) => EffectDone::Resolved(Resolved::Failed),
        }
    }
}

fn discarded(cores: &mut Cores) -> Option<Discard> {
    std::iter::from_fn(|| cores.poll_event()).find_map(|event| match event {
        Event::Discarded { reason, .. } => Some(reason),
        Event::Finished { outcome: Outcome::Discarded(reason), .. } => Some(reason),
        Event::Finished { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    })
}

/// The time on the wall.
pub fn wall_time() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

const TURNS_MAX: usize = 64;
