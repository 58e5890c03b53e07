//! The production cores behind the simulator's door: the same `Network`, `Worker` and `Crossing` that the runtime
//! drives, assembled by the same function from a configuration in the same language.

use crate::oracle::digest::md5;
use crate::phases::{Buffers, Decision, GateCheck, Node, NodeThread, Snapshot};
use crate::plan::{ListenerKind, Plan};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use ulna_config::Cores as MachineCores;
use ulna_core::cores::{Cores, assemble};
use ulna_core::dictionary::{DataType, Dictionary};
use ulna_core::effect::{Effect, EffectDone, Ticket};
use ulna_core::event::{Event, Outcome};
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Discard, Instant, ListenerId, Path, Seed, Transmit};

/// A server of the plan's topology and limits.
pub fn build(plan: &Plan) -> Box<dyn Node> {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&plan.seed.to_le_bytes());
    let cores = assemble(&Arc::new(configuration(plan)), &Seed::new(octets));
    let networks = plan.topology.networks();
    Box::new(Server { threads: cores.into_iter().map(Thread).collect(), networks, seed: plan.seed })
}

/// 2026-01-01T00:00:00Z, a Thursday.
const WORLD_BEGINS: UnixTime = UnixTime(1_767_225_600);

struct Server {
    threads: Vec<Thread>,
    networks: usize,
    seed: u64,
}

struct Thread(Cores);

impl Node for Server {
    fn thread(&mut self, thread: usize) -> &mut dyn NodeThread {
        &mut self.threads[thread]
    }

    /// The kernel's own hash over the sockets of a port, which knows nothing of ours.
    fn steer(&self, listener: ListenerId, remote: SocketAddr) -> usize {
        let address: u128 = match remote {
            SocketAddr::V4(v4) => u128::from(v4.ip().to_bits()),
            SocketAddr::V6(v6) => v6.ip().to_bits(),
        };
        let words = [address as u64, (address >> 64) as u64, u64::from(remote.port()), u64::from(listener.0)];
        let hash = words.into_iter().fold(self.seed, |hash, word| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        });
        (hash % self.networks as u64) as usize
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut buffers = Buffers::default();
        for Thread(cores) in &self.threads {
            let inside = cores.inspect();
            buffers.allocated += inside.buffers_made as u64;
            buffers.free += inside.buffers_free as u64;
            buffers.in_rings += inside.buffers_in_rings as u64;
            buffers.owned += inside.buffers_owned as u64;
            snapshot.held += cores.worker().map_or(0, |worker| worker.counters().requests_held.value());
            let Some(network) = cores.network() else { continue };
            let counters = network.counters();
            // A stray is received twice, by its reader and by its owner; one that is between them is in progress.
            snapshot.received += counters.received.value() - counters.strays_taken.value();
            snapshot.in_progress += counters.strays_sent.value();
            snapshot.in_progress += counters.in_progress.value() + counters.delayed_rejects.value();
            snapshot.answered += counters.answered.value() + counters.status_answered.value();
            snapshot.resent += counters.duplicates_resent.value();
            snapshot.in_progress_duplicates += counters.duplicates_in_progress.value();
            snapshot.superseded += counters.superseded.value();
            snapshot.notices_dropped += counters.notices_dropped.value();
            snapshot.forgotten += counters.replies_evicted.value()
                + counters.discarded[Discard::DelayedRejectsFull as usize].value();
            snapshot.discarded += counters.discarded.iter().map(|counter| counter.value()).sum::<u64>();
        }
        let networks = self.threads.iter().filter_map(|Thread(cores)| cores.network());
        snapshot.in_progress -= networks.map(|network| network.counters().strays_taken.value()).sum::<u64>();
        snapshot.buffers = Some(buffers);
        snapshot
    }
}

impl NodeThread for Thread {
    fn unpark(&mut self, _now: Instant) {
        self.0.unpark();
    }

    fn begin_turn(&mut self, now: Instant) {
        self.0.begin();
        // The wall is where the simulated world begins, and goes as its time does.
        self.0.handle_wall_time(UnixTime(WORLD_BEGINS.0 + now.as_nanoseconds() / 1_000_000_000));
    }

    fn sweep(&mut self, now: Instant) -> usize {
        usize::from(self.0.sweep(now))
    }

    fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.0.handle_datagram(path, octets, now);
    }

    fn handle_timeouts(&mut self, now: Instant) {
        self.0.handle_timeout(now);
        self.0.work(usize::MAX, now);
    }

    fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.0.poll_effect()
    }

    fn handle_effect_done(&mut self, ticket: Ticket, done: EffectDone, now: Instant) {
        self.0.handle_effect_done(ticket, done, now);
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.0.poll_transmit(out)
    }

    fn stage_messages(&mut self, now: Instant) {
        self.0.finish(now);
    }

    fn publish(&mut self) {
        self.0.publish();
    }

    fn check_gate(&mut self) -> GateCheck {
        self.0.check_gate().map_or(GateCheck::Done, |bell| GateCheck::Ring(usize::from(bell.0)))
    }

    fn is_before_gate(&self) -> bool {
        self.0.is_before_gate()
    }

    fn may_park(&self) -> bool {
        self.0.may_park()
    }

    fn has_output(&self) -> bool {
        self.0.has_output()
    }

    fn announce(&mut self) {
        self.0.announce();
    }

    fn look_again(&mut self) -> bool {
        let found = self.0.look_again();
        if found {
            self.0.unpark();
        }
        found
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout().map(|(due, _)| due)
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        self.0.inspect().earliest_deadline
    }

    fn urgent_visible(&self) -> bool {
        self.0.inspect().must_not_sleep
    }

    fn drain_decisions(&mut self, sink: &mut Vec<Decision>) {
        while let Some(event) = self.0.poll_event() {
            if let Event::Finished {
                remote,
                listener,
                identifier,
                request_authenticator,
                outcome: Outcome::Accept | Outcome::Reject | Outcome::Recorded,
                ..
            } = event
            {
                sink.push(Decision { remote, listener, identifier, authenticator: request_authenticator });
            }
        }
    }
}

/// The plan's server in the language of its operators: the simulator tests how that is read, too.
fn configuration(plan: &Plan) -> Configuration {
    let text = configuration_text(plan);
    match ulna_config::parse(&text, "plan", MachineCores(2)) {
        Ok((configuration, _)) => configuration,
        Err(errors) => panic!("a plan gives a configuration that can be read:\n{errors}\n{text}"),
    }
}

fn configuration_text(plan: &Plan) -> String {
    let (topology, limits) = (&plan.topology, &plan.limits);
    let mut text = String::new();
    let out = &mut text;
    let written = (|| -> std::fmt::Result {
        writeln!(out, "[runtime]")?;
        writeln!(out, "network_threads = {}", topology.network_threads)?;
        writeln!(out, "workers = {}", topology.workers)?;
        writeln!(out, "ring_slots = {}", limits.ring_slots)?;
        writeln!(out, "requests_max = {}", limits.requests_max)?;
        writeln!(out, "dedup_entries_max = {}", limits.dedup_entries)?;
        writeln!(out, "replies_octets_max = {}", limits.replies_octets)?;
        writeln!(out, "[protocol]")?;
        writeln!(out, "reject_delay = \"{}ms\"", limits.reject_delay_ms)?;
        writeln!(out, "delayed_rejects_max = {}", limits.delayed_rejects_max)?;
        writeln!(out, "request_timeout = \"{}ms\"", limits.request_timeout_ms)?;
        writeln!(out, "dedup_lifetime = \"{}ms\"", limits.dedup_lifetime_ms)?;
        // The oracle knows no such rule: whether a password is right is all that it asks.
        writeln!(out, "failures_max = 0")?;
        for (place, listener) in topology.listeners.iter().enumerate() {
            let packets = match listener.kind {
                ListenerKind::Access => "access",
                ListenerKind::Accounting => "accounting",
            };
            writeln!(out, "[[listen]]\nname = \"{place}\"\ntransport = \"udp\"")?;
            writeln!(out, "address = [\"{}\"]\npackets = [\"{packets}\", \"status\"]", listener.address)?;
            writeln!(out, "server = \"all\"")?;
        }
        for client in &topology.clients {
            writeln!(out, "[[client]]\nname = {:?}", client.name)?;
            writeln!(out, "network = [\"{}/{}\"]", client.network, client.prefix)?;
            writeln!(out, "secret = {:?}", client.secret)?;
            writeln!(out, "require_message_authenticator = {}", client.require_message_authenticator)?;
            writeln!(out, "limit_proxy_state = {}", client.limit_proxy_state)?;
        }
        for user in &topology.users {
            writeln!(out, "[[user]]\nname = {:?}", user.name)?;
            if user.hashed {
                let digest = base64(&digest_of(user.password.as_bytes()));
                writeln!(
                    out,
                    "password = {{ argon2 = \"$argon2id$v=19$m=8,t=1,p=1${}${digest}\" }}",
                    base64(SALT)
                )?;
            } else {
                writeln!(out, "password = {:?}", user.password)?;
            }
            writeln!(out, "{}", reply_text(&user.reply))?;
        }
        writeln!(out, "[[server]]\nname = \"all\"\n[[server.new]]\nauthenticate = \"users\"")
    })();
    written.expect("text grows as it needs to");
    text
}

/// What stands for an Argon2 digest here: nothing is to be learnt from computing that.
pub fn digest_of(password: &[u8]) -> [u8; 16] {
    md5(&[SALT, password])
}

const SALT: &[u8] = b"no salt at all";

/// Without padding, as PHC strings have it.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let mut bits = [0; 4];
        bits[1..1 + three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=three.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// Attributes of a user's Access-Accept, those of one kind side by side. Plans name them by number; those drawn so far
/// are Session-Timeout and Class.
fn reply_text(reply: &[(u8, Vec<u8>)]) -> String {
    let dictionary = Dictionary::built_in();
    let attributes: Vec<String> = reply
        .chunk_by(|(one, _), (next, _)| one == next)
        .map(|copies| {
            let attribute =
                dictionary.numbered(copies[0].0).expect("plans use attributes of the built-in dictionary");
            let value = |(_, value): &(u8, Vec<u8>)| match <[u8; 4]>::try_from(value.as_slice()) {
                Ok(octets) if attribute.data_type() == DataType::Integer => {
                    u32::from_be_bytes(octets).to_string()
                }
                _ => {
                    let hex: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
                    format!("\"0x{hex}\"")
                }
            };
            format!("{} = [{}]", attribute.name(), copies.iter().map(value).collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!("reply = {{ {} }}", attributes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultClass;
    use crate::run::{check_determinism, run};
    use crate::swarm::Profile;

    #[test]
    fn the_server_breaks_no_law() {
        for profile in Profile::ALL {
            for seed in 0..10 {
                let outcome = run(&Plan::drawn(seed, profile), None, build, 0);
                assert_eq!(outcome.violation, None, "{} {seed}", profile.name());
                assert!(outcome.transactions >= 50 && outcome.replies > 0, "{} {seed}", profile.name());
            }
        }
    }

    #[test]
    fn passwords_are_hashed_in_every_way_that_there_is() {
        let mut effects = 0;
        let mut struck = [0; FaultClass::COUNT];
        for seed in 0..20 {
            let outcome = run(&Plan::drawn(seed, Profile::Everything), None, build, 0);
            effects += outcome.effects;
            struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
        }
        assert!(effects > 1_000, "{effects}");
        for class in [FaultClass::EffectSlow, FaultClass::EffectShed, FaultClass::EffectLost] {
            assert!(struck[class as usize] > 20, "{class:?} {}", struck[class as usize]);
        }
    }

    #[test]
    fn the_same_plan_gives_the_same_digest() {
        for seed in 0..5 {
            let plan = Plan::drawn(seed, Profile::Everything);
            check_determinism(&plan, None, build).expect("the server is deterministic");
        }
    }
}
