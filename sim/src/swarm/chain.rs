//! Draws servers under test one behind the other: two levels of one or two each behind the first, realms that go through some or
//! all of them, and one that goes round in a circle.

use crate::draw::{Class, Draw, Draws};
use crate::plan::Plan;
use crate::plan::proxy::{
    NeighbourPlan, PoolPlan, ProxyPlan, RealmPlan, RelayPlan, RemoteServerPlan, States,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// So many are on the longest way, beside the first.
const LEVELS: usize = 2;

/// Puts further servers under test between the first and the remote ones.
pub(super) fn add_chain(plan: &mut Plan, draws: Draws) {
    let draw = |field: u64| draws.at(Class::Proxy, 5, field);
    let first = plan.topology.listeners[0].address;
    let limits = &mut plan.limits;
    limits.request_timeout_ms = limits.request_timeout_ms.max(5_000);
    // Whoever rejects takes his time for it, and is not to be suspected for that.
    let window_ms = limits.reject_delay_ms + draw(0).range(800..=2_500);
    let proxy = plan.topology.proxy.as_mut().expect("there is forwarding");
    // What goes through three has its answer within the time of one.
    proxy.nases.truncate(3);
    for nas in &mut proxy.nases {
        nas.latency_us = nas.latency_us.min(40_000);
        // The listeners of those behind take no accounting.
        nas.accounting_per_mille = 0;
        (nas.visits, nas.burst) = (nas.visits.min(80), nas.burst.min(8));
        nas.pause_us =
            plan.faulty_ms * 1_000 / u64::from(nas.visits) * u64::from(nas.burst.div_ceil(2)) * 9 / 10;
    }
    for server in &mut proxy.remote_servers {
        server.latency_us = server.latency_us.min(20_000);
        server.answer_us = server.answer_us.min(100_000);
    }
    let node = |name: String, address: SocketAddr, draw: Draw| RemoteServerPlan {
        secret: format!("of-{name}-{:016x}", draw.bits()),
        name,
        address,
        answers_status: draw.fork(1).one_in(2),
        response_window_ms: window_ms,
        zombie_period_ms: draw.fork(2).range(1_000..=4_000),
        revive_interval_ms: draw.fork(3).range(2_000..=20_000),
        status_interval_ms: draw.fork(4).range(200..=2_000),
        outstanding_max: 16_384,
        states: States::Random,
        latency_us: draw.fork(5).magnitude(20..=20_000),
        answer_us: 0,
    };
    let mut levels = Vec::new();
    for level in 1..=LEVELS {
        let count = draw(10 + level as u64).range(1..=2);
        let mut members = Vec::new();
        for _ in 0..count {
            let place = proxy.relays.len() as u64;
            let draw = draws.at(Class::Proxy, 6, place);
            let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1 + place as u8));
            members.push(proxy.remote_servers.len());
            let relay = RelayPlan {
                server: proxy.remote_servers.len(),
                level,
                network_threads: draw.fork(6).range(0..=1) as u16,
                workers: draw.fork(7).range(1..=2) as u16,
                pools: Vec::new(),
            };
            proxy.relays.push(relay);
            proxy.remote_servers.push(node(
                format!("node{}", place + 1),
                SocketAddr::new(address, 1_812),
                draw,
            ));
        }
        levels.push(add_pool(proxy, format!("level{level}"), members, draw(20 + level as u64)));
    }
    // By realm: how many servers under test its requests pass beside the first, and the pool behind them.
    let mut ways: Vec<_> = (0..proxy.realms.len())
        .map(|realm| (draw(30 + realm as u64).pick(&[2, 2, 1, 0]), proxy.realms[realm].pool))
        .collect();
    if draw(1).one_in(2) {
        let home = proxy.remote_servers.len();
        proxy.remote_servers.push(node("node0".into(), first, draw(2)));
        let back = add_pool(proxy, "back".into(), vec![home], draw(3));
        proxy.realms.push(RealmPlan { name: "circle.example".into(), pool: back, loops: true });
        ways.push((draw(4).range(1..=LEVELS as u64) as usize, back));
        let secret = proxy.remote_servers[home].secret.clone();
        proxy.neighbours = (0..proxy.relays.len())
            .map(|relay| NeighbourPlan {
                name: format!("node{}", relay + 1),
                address: proxy.remote_servers[proxy.relays[relay].server].address.ip(),
                secret: secret.clone(),
            })
            .collect();
    }
    let next =
        |level: usize, (passes, pool): (usize, usize)| if passes > level { levels[level] } else { pool };
    for (realm, way) in proxy.realms.iter_mut().zip(&ways) {
        realm.pool = next(0, *way);
    }
    for relay in &mut proxy.relays {
        relay.pools = ways.iter().map(|way| next(relay.level, *way)).collect();
    }
}

/// Adds a pool: its place.
fn add_pool(proxy: &mut ProxyPlan, name: String, remote_servers: Vec<usize>, draw: Draw) -> usize {
    let balance = draw.pick(&["failover", "round-robin", "least-outstanding", "hash"]).into();
    proxy.pools.push(PoolPlan { name, remote_servers, balance, repick: draw.fork(1).one_in(4) });
    proxy.pools.len() - 1
}
