//! Draws a plan from a seed, swarm style: each fault class on with p = ½, limits often tiny, so that seeds differ
//! in kind and not only in degree.

mod by_address;
mod chain;
mod control;
mod nat;
mod proxy;
mod reloads;
mod rules;
mod tables;
mod workers;

use self::by_address::add_rule_by_address;
use self::chain::add_chain;
use self::control::add_control;
use self::nat::add_nats;
use self::proxy::add_proxy;
use self::reloads::add_reloads;
use self::rules::add_rules;
use self::tables::add_changes_of_tables;
use self::workers::add_changes_of_workers;
use crate::draw::{Class, Draw, Draws};
use crate::fault::FaultClass;
use crate::goals::Goal;
use crate::plan::{
    Client, FaultPlan, Limits, Listener, ListenerKind, NasPlan, Plan, Standing, Topology, User, VERSION,
};
use crate::site::{Change, Rules};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a campaign looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Each fault class with p = ½.
    Swarm,
    /// No faults at all.
    Calm,
    /// Faults of the network and of NASes only.
    Link,
    /// Faults of threads and bells only, threads always crossed, rings tiny.
    Threads,
    /// Every fault class at once, but those of NATs.
    Everything,
    /// NASes behind NATs, for minutes; each fault class with p = ½, those of NATs among them.
    Nat,
    /// Users who are at home elsewhere; each fault class with p = ½, those of remote servers among them.
    Proxy,
    /// The same through up to three servers under test, one behind the other, and in circles.
    Chain,
    /// Readers of control connections, in a world of the profile swarm, or once in four nat.
    Control,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 9] = [
        Profile::Swarm,
        Profile::Calm,
        Profile::Link,
        Profile::Threads,
        Profile::Everything,
        Profile::Nat,
        Profile::Proxy,
        Profile::Chain,
        Profile::Control,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Swarm => "swarm",
            Profile::Calm => "calm",
            Profile::Link => "link",
            Profile::Threads => "threads",
            Profile::Everything => "everything",
            Profile::Nat => "nat",
            Profile::Proxy => "proxy",
            Profile::Chain => "chain",
            Profile::Control => "control",
        }
    }

    fn admits(self, class: FaultClass, heads: bool) -> bool {
        let of_threads = matches!(
            class,
            FaultClass::ThreadStall
                | FaultClass::BellLate
                | FaultClass::BellSpurious
                | FaultClass::BellMerged
                | FaultClass::ThreadSlow
                | FaultClass::CorePanic
        );
        let of_nats = matches!(
            class,
            FaultClass::NatReboot
                | FaultClass::NatRebinding
                | FaultClass::PortGivenToAnother
                | FaultClass::NatAddressChange
                | FaultClass::NatPoolExhausted
                | FaultClass::NatForgery
                | FaultClass::AddressGivenToAnother
        );
        let of_remote_servers = class.is_of_forwarding();
        match self {
            Profile::Swarm | Profile::Control => heads && !of_nats && !of_remote_servers,
            Profile::Calm => false,
            Profile::Link => heads && !of_threads && !of_nats && !of_remote_servers,
            Profile::Threads => of_threads,
            Profile::Everything => !of_nats && !of_remote_servers,
            Profile::Nat => heads && !of_remote_servers,
            Profile::Proxy | Profile::Chain => heads && !of_nats,
        }
    }

    /// Whether its plans are there to reach a goal.
    pub fn reaches(self, goal: Goal) -> bool {
        match self {
            Profile::Nat => !goal.is_of_forwarding() && !goal.is_of_control(),
            Profile::Control => goal.is_of_control(),
            Profile::Proxy => goal.is_of_forwarding() && goal != Goal::LoopRejected,
            Profile::Chain => goal.is_of_forwarding() && goal != Goal::RecordForwarded,
            Profile::Swarm | Profile::Calm | Profile::Link | Profile::Threads | Profile::Everything => false,
        }
    }

    /// Whether its plans have remote servers.
    pub fn forwards(self) -> bool {
        matches!(self, Profile::Proxy | Profile::Chain)
    }

    /// Whether a class is on in some of its plans.
    pub fn has(self, class: FaultClass) -> bool {
        self.admits(class, true)
    }
}

impl Plan {
    /// The plan of a seed, as `ulna-sim run` draws it.
    pub fn from_seed(seed: u64) -> Plan {
        Plan::drawn(seed, Profile::Swarm)
    }

    /// The plan of a seed under a profile.
    pub fn drawn(seed: u64, profile: Profile) -> Plan {
        let draws = Draws::new(seed);
        if profile == Profile::Control {
            let is_of_nats = draws.at(Class::Control, 0, 0).one_in(4);
            let mut plan = Plan::drawn(seed, if is_of_nats { Profile::Nat } else { Profile::Swarm });
            add_control(&mut plan, draws);
            return plan;
        }
        let faulty_ms = if profile == Profile::Nat {
            // Mappings come to their time-outs.
            draws.at(Class::Nat, 0, 0).range(60_000..=400_000)
        } else {
            draws.at(Class::Topology, 0, 1).range(20_000..=60_000)
        };
        let mut plan = Plan {
            version: VERSION,
            seed,
            bug: None,
            faulty_ms,
            heal_ms: 125_000,
            topology: topology(draws, profile, faulty_ms),
            limits: limits(draws, profile),
            rotate_octets: draws
                .at(Class::Disk, 5, 1)
                .one_in(2)
                .then(|| draws.at(Class::Disk, 5, 2).range(500..=20_000)),
            reloads: Vec::new(),
            faults: faults(draws, profile),
        };
        if profile.forwards() {
            // Rules of its own would edit what remote servers say.
            add_proxy(&mut plan, draws);
            if profile == Profile::Chain {
                add_chain(&mut plan, draws);
            }
        } else {
            add_rules(&mut plan.topology, draws);
        }
        add_reloads(&mut plan, draws, profile);
        add_changes_of_workers(&mut plan, draws, profile);
        add_changes_of_tables(&mut plan, draws);
        if profile.forwards() {
            plan.reloads
                .iter_mut()
                .for_each(|reload| reload.changes.retain(|change| !matches!(change, Change::Rules(_))));
        }
        plan
    }
}

/// Whether bursts pass many times what the rings hold, one network thread reads them all in small batches, and threads
/// stop often. A ring from a worker fills only so: where its reader falls behind, which takes half a ring in a turn, while
/// the worker makes several turns.
fn is_crowded(draws: Draws, profile: Profile) -> bool {
    let draw = draws.at(Class::Limits, 0, 11);
    match profile {
        Profile::Threads => draw.one_in(2),
        Profile::Swarm
        | Profile::Everything
        | Profile::Nat
        | Profile::Proxy
        | Profile::Chain
        | Profile::Control => draw.one_in(8),
        Profile::Calm | Profile::Link => false,
    }
}

/// Whether more is sent than the workers can do, for seconds: each request costs its worker up to 20 ms, in turns of a few.
fn is_overloaded(draws: Draws, profile: Profile) -> bool {
    profile != Profile::Calm && draws.at(Class::Limits, 0, 16).one_in(8)
}

fn faults(draws: Draws, profile: Profile) -> Vec<FaultPlan> {
    let mut faults = Vec::new();
    for &class in FaultClass::ALL {
        let draw = draws.at(Class::Swarm, class as u64, 0);
        if profile.admits(class, draw.one_in(2)) {
            let often = if is_crowded(draws, profile) && class == FaultClass::ThreadStall { 16 } else { 1 };
            let usual = u64::from(class.usual()) * often;
            let per_myriad = draw.fork(1).magnitude((usual / 4).max(1)..=usual * 4).min(10_000) as u32;
            faults.push(FaultPlan { class, per_myriad });
        }
    }
    faults
}

fn limits(draws: Draws, profile: Profile) -> Limits {
    let draw = |field: u64| draws.at(Class::Limits, 0, field);
    let tiny = draw(0).one_in(2) || profile == Profile::Threads;
    let size = |field: u64, tiny_ends: (u64, u64), usual: u64| {
        if tiny && draw(field).one_in(2) {
            draw(field).fork(1).magnitude(tiny_ends.0..=tiny_ends.1)
        } else {
            usual
        }
    };
    let crowded = is_crowded(draws, profile);
    let overloaded = is_overloaded(draws, profile);
    let many = profile == Profile::Nat;
    let ring = if crowded { draw(12).pick(&[2, 4, 8]) } else { size(1, (2, 32), 1_024) };
    Limits {
        ring_slots: 1 << ring.ilog2(),
        requests_max: size(2, (1, 64), 16_384) as u32,
        buffers: size(3, (16, 128), 2_048) as u32,
        // What a site's NASes ask for once faults have ended has to fit, and comes again from other ports of their NATs.
        dedup_entries: size(4, if many { (1_024, 4_096) } else { (64, 256) }, 8_192) as u32,
        // From a single page, which seven size classes have to share.
        replies_octets: size(13, (1 << 16, 16 << 16), 64 << 20),
        // RFC 5080 §2.2.2: cached for 5 to 30 seconds.
        dedup_lifetime_ms: draw(5).range(5_000..=30_000),
        request_timeout_ms: size(6, (2_500, 10_000), 30_000),
        // Shorter than the least request time-out, as the configuration demands.
        reject_delay_ms: if draw(7).one_in(3) { 0 } else { draw(7).fork(1).range(100..=2_000) },
        delayed_rejects_max: size(8, if many { (64, 256) } else { (4, 32) }, 10_000) as u32,
        receive_queue: size(9, (2, 16), 256) as u32,
        // Small ones leave a burst in its socket for turn after turn.
        read_batch: draw(10).magnitude(1..=if crowded { 8 } else { 64 }) as u32,
        turn_requests: if overloaded { draw(14).magnitude(1..=16) as u32 } else { u32::MAX },
        request_us: if overloaded { draw(15).magnitude(200..=20_000) } else { 0 },
    }
}

fn topology(draws: Draws, profile: Profile, faulty_ms: u64) -> Topology {
    let draw = |field: u64| draws.at(Class::Topology, 1, field);
    let joined = profile != Profile::Threads && draw(0).one_in(3);
    let crowded = is_crowded(draws, profile);
    let network_threads = match (joined, crowded) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => draw(1).range(1..=3) as u16,
    };
    let address = |text: &str| text.parse::<SocketAddr>().expect("written here");
    let listeners = vec![
        Listener { address: address("192.0.2.1:1812"), kind: ListenerKind::Access },
        Listener { address: address("[2001:db8::1]:1812"), kind: ListenerKind::Access },
        Listener { address: address("192.0.2.1:1813"), kind: ListenerKind::Accounting },
        Listener { address: address("[2001:db8::1]:1813"), kind: ListenerKind::Accounting },
    ];
    let users =
        (0..draw(2).range(1..=12)).map(|place| user(draws.at(Class::Topology, 2, place), place)).collect();
    let count = draw(3).range(3..=12);
    let mut topology = Topology {
        network_threads,
        workers: draw(4).range(1..=3) as u16,
        listeners,
        clients: Vec::new(),
        client_rules: Vec::new(),
        users,
        rules: Rules::default(),
        answers_accounting: draws.at(Class::Disk, 5, 0).one_in(2),
        steered: !draw(5).one_in(4),
        nats: Vec::new(),
        nases: Vec::new(),
        proxy: None,
        control: None,
    };
    // Behind NATs there will be more.
    let count = if profile == Profile::Nat { count.div_ceil(3) } else { count };
    for place in 0..count {
        add_nas(&mut topology, draws.at(Class::Workload, place, 0), place, count, faulty_ms);
    }
    if profile == Profile::Nat {
        add_nats(&mut topology, draws, faulty_ms);
        add_rule_by_address(&mut topology, draws, faulty_ms);
    }
    if crowded || is_overloaded(draws, profile) {
        topology.nases.iter_mut().for_each(|nas| crowd(nas, faulty_ms));
    }
    topology
}

fn user(draw: Draw, place: u64) -> User {
    let mut reply = Vec::new();
    if draw.fork(1).one_in(2) {
        // Session-Timeout (RFC 2865 §5.27).
        reply.push((27, (draw.fork(2).range(60..=86_400) as u32).to_be_bytes().to_vec()));
    }
    if draw.fork(3).one_in(3) {
        // Class (RFC 2865 §5.25), up to the length of a whole attribute. Several make a reply that does not fit into
        // the buffer of its request.
        for copy in 0..draw.fork(7).magnitude(1..=8) {
            let mut class = vec![0; draw.fork(4).fork(copy).range(1..=253) as usize];
            draw.fork(5).fork(copy).fill(&mut class);
            reply.push((25, class));
        }
    }
    let password: String = (0..draw.fork(6).range(1..=40))
        .map(|letter| char::from(draw.fork(100 + letter).range(33..=126) as u8))
        .collect();
    User { name: format!("user{place}"), password, hashed: draw.fork(8).one_in(3), reply }
}

/// Adds a NAS and, unless it is to stay unknown, a client for it: of its own or, once in four, the one before.
fn add_nas(topology: &mut Topology, draw: Draw, place: u64, count: u64, faulty_ms: u64) {
    let shared = place > 0 && draw.fork(1).one_in(4);
    let group = if shared { place - 1 } else { place };
    let v6 = draw.fork(2).one_in(3);
    let address = if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(
            (0x2001_0db8_0001_u128 << 80) + (u128::from(group) << 64) + u128::from(place) + 1,
        ))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 0, group as u8, place as u8 + 1))
    };
    let standing = match draw.fork(3).below(10) {
        0 if count > 3 => Standing::Unknown,
        1 if count > 3 => Standing::WrongSecret,
        _ => Standing::Known,
    };
    let covering = topology.clients.iter().position(|client| client.contains(address));
    let secret = match covering {
        Some(client) => topology.clients[client].secret.clone(),
        None => format!("secret-{place}-{:016x}", draw.fork(4).bits()),
    };
    let known_client = match (covering, standing) {
        // An address inside a known network cannot be unknown.
        (Some(client), _) => Some(client),
        (None, Standing::Unknown) => None,
        (None, Standing::Known | Standing::WrongSecret) => {
            // A wide network must not come to contain an earlier NAS that is unknown.
            let wide = !shared && draw.fork(5).one_in(2);
            topology.clients.push(Client {
                name: format!("client{place}"),
                network: network_of(address, wide),
                prefix: match (v6, wide) {
                    (false, false) => 32,
                    (false, true) => 24,
                    (true, false) => 128,
                    (true, true) => 64,
                },
                secret: secret.clone(),
                old_secret: None,
                require_message_authenticator: draw.fork(6).one_in(3),
                limit_proxy_state: draw.fork(7).one_in(3),
                rule: None,
            });
            Some(topology.clients.len() - 1)
        }
    };
    let standing =
        if covering.is_some() && standing == Standing::Unknown { Standing::Known } else { standing };
    let signed_per_mille = match known_client.map(|client| &topology.clients[client]) {
        // Unsigned, it would be answered: nothing in it can be checked.
        _ if standing != Standing::Known => 1_000,
        Some(client) if client.require_message_authenticator => draw.fork(8).pick(&[1_000, 1_000, 800]),
        _ => draw.fork(8).pick(&[0, 500, 1_000]),
    };
    let secret = if standing == Standing::WrongSecret { format!("not-{secret}") } else { secret };
    topology.nases.push(nas_plan(draw, address, secret, standing, signed_per_mille, faulty_ms));
}

/// What a NAS is besides who it is.
fn nas_plan(
    draw: Draw,
    address: IpAddr,
    secret: String,
    standing: Standing,
    signed_per_mille: u64,
    faulty_ms: u64,
) -> NasPlan {
    let transactions = draw.fork(9).range(20..=120) as u32;
    let burst: u32 = draw.fork(10).pick(&[1, 2, 8, 32]);
    let port = 1_024 + draw.fork(11).below(50_000) as u16;
    NasPlan {
        address,
        nat: None,
        nas_identifiers: Vec::new(),
        secret,
        rotations: Vec::new(),
        standing,
        ports: (0..draw.fork(12).magnitude(1..=6) as u16).map(|step| port + step).collect(),
        identifiers: draw.fork(13).pick(&[4, 16, 256]),
        transactions,
        heal_transactions: 8,
        pause_us: pause_us(faulty_ms, transactions, burst),
        burst,
        signed_per_mille,
        chap_per_mille: draw.fork(14).pick(&[0, 300, 1_000]),
        wrong_password_per_mille: draw.fork(15).pick(&[0, 200, 500]),
        accounting_per_mille: draw.fork(16).pick(&[0, 0, 200]),
        status_per_mille: draw.fork(17).pick(&[0, 50, 200]),
        state_per_mille: 0,
        proxy_states_max: draw.fork(18).pick(&[0, 1, 4]),
        proxy_state_octets_max: draw.fork(20).pick(&[1, 40, 253]),
        latency_us: draw.fork(19).magnitude(20..=80_000),
    }
}

/// Bursts hold half of `burst` on the average; all of them fit into the faulty time.
fn pause_us(faulty_ms: u64, transactions: u32, burst: u32) -> u64 {
    faulty_ms * 1_000 / u64::from(transactions) * u64::from(burst.div_ceil(2)) * 9 / 10
}

/// Makes few and long bursts of what this NAS sends.
fn crowd(nas: &mut NasPlan, faulty_ms: u64) {
    (nas.transactions, nas.burst, nas.identifiers) = (120, 64, 256);
    nas.pause_us = pause_us(faulty_ms, nas.transactions, nas.burst);
}

fn network_of(address: IpAddr, wide: bool) -> IpAddr {
    match address {
        address if !wide => address,
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::judge::client_of;
    use crate::plan::FailureFile;

    #[test]
    fn a_seed_is_a_plan_and_a_plan_is_its_text() {
        assert_ne!(Plan::from_seed(1), Plan::from_seed(2));
        let file = FailureFile {
            plan: Plan::from_seed(1),
            faults: Vec::new(),
            invariant: "x".into(),
            details: "y".into(),
            digest: "z".into(),
        };
        assert_eq!(FailureFile::from_json(&file.to_json()), Ok(file));
        assert!(FailureFile::from_json("{}").is_err());
    }

    #[test]
    fn some_requests_and_replies_need_a_large_buffer() {
        let (mut requests, mut replies) = (0, 0);
        for seed in 0..40 {
            let topology = Plan::from_seed(seed).topology;
            let octets = |user: &User| user.reply.iter().map(|(_, value)| value.len() + 2).sum::<usize>();
            replies += topology.users.iter().filter(|user| octets(user) > 512).count();
            let is_long = |nas: &&NasPlan| nas.proxy_states_max * nas.proxy_state_octets_max > 512;
            requests += topology.nases.iter().filter(is_long).count();
        }
        assert!(requests > 10 && replies > 10, "{requests} NASes, {replies} users");
    }

    #[test]
    fn plans_say_who_is_known_truly_and_stay_within_what_they_promise() {
        let mut classes = [0; FaultClass::COUNT];
        let mut transactions = 0;
        for seed in 0..400 {
            let plan = Plan::from_seed(seed);
            for nas in &plan.topology.nases {
                let client = client_of(&plan.topology.clients, nas.address);
                let secret = client.map(|client| plan.topology.clients[client].secret.as_str());
                let standing = match secret {
                    None => Standing::Unknown,
                    Some(secret) if secret == nas.secret => Standing::Known,
                    Some(_) => Standing::WrongSecret,
                };
                assert_eq!(standing, nas.standing, "seed {seed}, {}", nas.address);
                transactions += nas.transactions + nas.heal_transactions;
            }
            assert!(plan.topology.workers >= 1 && plan.limits.ring_slots.is_power_of_two());
            assert!((5_000..=30_000).contains(&plan.limits.dedup_lifetime_ms));
            plan.faults.iter().for_each(|fault| classes[fault.class as usize] += 1);
        }
        for (&class, on) in FaultClass::ALL.iter().zip(classes) {
            let ends = if Profile::Swarm.has(class) { 150..250 } else { 0..1 };
            assert!(ends.contains(&on), "{class:?} {on}");
        }
        assert!(transactions > 400 * 200);
    }

    #[test]
    fn plans_reload_what_there_is_and_leave_nobody_away_for_good() {
        use crate::site::{Change, Site};
        let (mut reloads, mut calm, mut rotated, mut removed, mut rules, mut times) = (0, 0, 0, 0, 0, 0);
        for seed in 0..200 {
            let plan = Plan::from_seed(seed);
            let sites = Site::all(&plan);
            reloads += plan.reloads.len();
            calm += plan.reloads.iter().filter(|reload| reload.at_ms > plan.faulty_ms).count();
            assert!(plan.reloads.is_sorted_by_key(|reload| reload.at_ms));
            rotated += plan.topology.nases.iter().map(|nas| nas.rotations.len()).sum::<usize>();
            rules += sites.iter().filter(|site| !site.rules.is_empty()).count();
            times += sites.iter().filter(|site| site.asks_for_the_time()).count();
            let changes = plan.reloads.iter().flat_map(|reload| &reload.changes);
            removed += changes.filter(|change| matches!(change, Change::Remove(_))).count();
            let names = |site: &Site| {
                site.clients
                    .iter()
                    .map(|client| client.name.clone())
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(&sites[0]), names(&sites[sites.len() - 1]), "seed {seed}");
            for nas in &plan.topology.nases {
                assert!(nas.rotations.is_sorted_by_key(|(at_ms, _)| *at_ms));
            }
        }
        for count in [reloads, rotated, removed * 4, calm * 4, rules, times * 2] {
            assert!(count > 80, "{reloads} {rotated} {removed} {calm} {rules} {times}");
        }
    }

    #[test]
    fn workers_come_and_go_in_many_plans_of_split_threads_and_in_no_other() {
        let (mut plans, mut changes, mut in_a_row, mut calm, mut states) = (0, 0, 0, 0, 0);
        for seed in 0..200 {
            let plan = Plan::from_seed(seed);
            let asked: Vec<_> =
                plan.reloads.iter().filter_map(|reload| Some((reload.at_ms, reload.workers?))).collect();
            assert!(asked.is_empty() || plan.topology.network_threads > 0);
            assert!(asked.iter().all(|(_, workers)| (1..=6).contains(workers)));
            assert!(plan.threads_max() >= plan.topology.threads() && plan.reloads.len() < 64);
            plans += usize::from(!asked.is_empty());
            changes += asked.len();
            in_a_row += asked.windows(2).filter(|two| two[1].0 - two[0].0 < 3_000).count();
            calm += asked.iter().filter(|(at_ms, _)| *at_ms > plan.faulty_ms).count();
            states += plan.topology.nases.iter().filter(|nas| nas.state_per_mille > 0).count();
            assert!(Plan::drawn(seed, Profile::Calm).reloads.is_empty());
        }
        assert!((45..90).contains(&plans), "{plans}");
        for count in [changes / 2, in_a_row, calm * 2, states] {
            assert!(count > 50, "{changes} {in_a_row} {calm} {states}");
        }
    }

    #[test]
    fn every_other_plan_of_threads_is_crowded() {
        let is_crowded = |seed: &u64| {
            let plan = Plan::drawn(*seed, Profile::Threads);
            let nases = &plan.topology.nases;
            plan.limits.ring_slots <= 8
                && plan.topology.network_threads == 1
                && nases.iter().all(|nas| nas.burst as usize > 7 * plan.limits.ring_slots as usize)
        };
        let crowded = (0..200).filter(is_crowded).count();
        assert!((80..120).contains(&crowded), "{crowded}");
    }

    #[test]
    fn profiles_admit_what_they_name() {
        assert!(Plan::drawn(3, Profile::Calm).faults.is_empty());
        let of_forwarding = FaultClass::ALL.iter().filter(|class| class.is_of_forwarding()).count();
        assert_eq!(Plan::drawn(3, Profile::Everything).faults.len(), FaultClass::COUNT - 7 - of_forwarding);
        assert!(FaultClass::ALL.iter().all(|&class| Profile::Nat.has(class) || Profile::Proxy.has(class)));
        assert_eq!(Plan::drawn(3, Profile::Threads).faults.len(), 6);
        assert!(Plan::drawn(3, Profile::Threads).topology.network_threads > 0);
    }
}
