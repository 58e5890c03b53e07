//! Draws who decides elsewhere: remote servers, pools and realms, and the NASes with users of theirs.

use crate::draw::{Class, Draw, Draws};
use crate::plan::Plan;
use crate::plan::proxy::{PoolPlan, ProxyPlan, RealmPlan, RemoteServerPlan, RoamingNasPlan, States};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Most NASes that users of this server itself come by: enough to be in the way.
const NASES_OF_OWN_USERS: usize = 3;

/// Adds forwarding to a plan that has all else.
pub(super) fn add_proxy(plan: &mut Plan, draws: Draws) {
    let draw = |field: u64| draws.at(Class::Proxy, 0, field);
    plan.topology.nases.truncate(NASES_OF_OWN_USERS);
    let limits = &mut plan.limits;
    // What waits for a remote server that does not answer has its room for as long as requests may take.
    limits.requests_max = limits.requests_max.max(1_024);
    limits.dedup_entries = limits.dedup_entries.max(2_048);
    limits.replies_octets = limits.replies_octets.max(1 << 22);
    limits.buffers = limits.buffers.max(1_024);
    let flood = draw(6).one_in(4);
    if flood {
        // All Identifiers of one port come round within a quarantine.
        plan.topology.workers = 1;
        limits.request_timeout_ms = limits.request_timeout_ms.max(10_000);
        (limits.turn_requests, limits.request_us) = (u32::MAX, 0);
    }
    let servers = draw(0).range(2..=5);
    let equal = draw(1).pick(&[States::Random, States::PerRound, States::Constant]);
    let window_ms = draw(2).range(500..=2_000).min(limits.request_timeout_ms);
    let zombie_ms = draw(3).range(1_000..=4_000);
    let remote_servers: Vec<_> = (0..servers)
        .map(|place| {
            let draw = draws.at(Class::Proxy, 1, place);
            RemoteServerPlan {
                name: format!("remote{place}"),
                address: SocketAddr::new(Ipv4Addr::new(203, 0, 113, 1 + place as u8).into(), 1_812),
                secret: format!("of-remote-server-{place}-{:016x}", draw.bits()),
                answers_status: draw.fork(1).one_in(2),
                response_window_ms: window_ms,
                zombie_period_ms: zombie_ms,
                revive_interval_ms: draw.fork(2).range(2_000..=20_000),
                status_interval_ms: draw.fork(3).range(200..=2_000),
                outstanding_max: draw.fork(4).pick(&[16_384, 16_384, 16_384, 8]),
                states: if draw.fork(5).one_in(4) { States::Random } else { equal },
                latency_us: draw.fork(6).magnitude(20..=80_000),
                answer_us: draw.fork(7).magnitude(10..=200_000),
            }
        })
        .collect();
    let pools: Vec<_> = (0..draw(4).range(1..=3))
        .map(|place| {
            let draw = draws.at(Class::Proxy, 2, place);
            let first = draw.fork(1).below(servers);
            let count = draw.fork(2).range(1..=servers.min(3));
            PoolPlan {
                name: format!("pool{place}"),
                remote_servers: (0..count).map(|step| ((first + step) % servers) as usize).collect(),
                balance: balance(flood, draw.fork(3)).into(),
                repick: draw.fork(4).one_in(4),
            }
        })
        .collect();
    let realms = (0..draw(5).range(1..=4))
        .map(|place| RealmPlan {
            name: format!("realm{place}.example"),
            pool: draws.at(Class::Proxy, 3, place).below(pools.len() as u64) as usize,
            loops: false,
        })
        .collect();
    let nases = (0..draw(7).range(1..=if flood { 2 } else { 4 }))
        .map(|place| nas(draws, place, flood, plan.faulty_ms))
        .collect();
    let state_lifetime_ms = 60_000;
    plan.topology.proxy = Some(ProxyPlan {
        remote_servers,
        pools,
        realms,
        nases,
        state_lifetime_ms,
        relays: Vec::new(),
        neighbours: Vec::new(),
    });
}

fn balance(flood: bool, draw: Draw) -> &'static str {
    if flood { "failover" } else { draw.pick(&["failover", "round-robin", "least-outstanding", "hash"]) }
}

fn nas(draws: Draws, place: u64, flood: bool, faulty_ms: u64) -> RoamingNasPlan {
    let draw = |field: u64| draws.at(Class::Proxy, 4, place).fork(field);
    let port = 1_024 + draw(1).below(50_000) as u16;
    // So many that Identifiers come round while others are in quarantine.
    let (visits, burst) =
        if flood { (1_200, 64) } else { (draw(2).range(20..=80) as u32, draw(3).pick(&[1, 2, 8])) };
    RoamingNasPlan {
        address: IpAddr::V4(Ipv4Addr::new(10, 77, place as u8, 1)),
        secret: format!("of-roaming-nas-{place}-{:016x}", draw(4).bits()),
        ports: (0..draw(5).range(1..=4) as u16).map(|step| port + step).collect(),
        visits,
        heal_visits: 6,
        pause_us: faulty_ms * 1_000 / u64::from(visits) * u64::from(u32::div_ceil(burst, 2)) * 9 / 10,
        burst,
        pap_per_mille: if flood { 900 } else { draw(6).pick(&[0, 200, 500]) },
        chap_per_mille: if flood { 0 } else { draw(7).pick(&[0, 100, 300]) },
        accounting_per_mille: draw(13).pick(&[0, 0, 200]),
        rounds_max: draw(8).range(2..=12),
        anonymous: draw(9).one_in(2),
        calling_station_id: draw(10).one_in(2),
        proxy_states_max: draw(11).pick(&[0, 1, 4]),
        latency_us: draw(12).magnitude(20..=80_000),
    }
}
