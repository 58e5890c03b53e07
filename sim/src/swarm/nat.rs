//! Draws NATs, and NASes behind them: from a router with one address and a handful of ports to a carrier's with chunks.
//!
//! Behind one address there is one static client, so that all share its secret; or a client rule, and each has a secret of his
//! own in its table, by his NAS-Identifier.

use super::{nas_plan, pause_us};
use crate::draw::{Class, Draw, Draws};
use crate::plan::nat::{Dependence, NatPlan, Pooling, PortOrder, WhenFull};
use crate::plan::{Client, ClientRule, Standing, Topology};
use std::net::{IpAddr, Ipv4Addr};

/// Adds one to three NATs with all who are behind them.
pub(super) fn add_nats(topology: &mut Topology, draws: Draws, faulty_ms: u64) {
    let draw = |field: u64| draws.at(Class::Nat, 0, field);
    if draw(1).one_in(2) {
        // Only where a NAS speaks to two addresses an address-dependent mapping is none that is endpoint-independent.
        topology.listeners[2].address.set_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    }
    for place in 0..draw(2).range(1..=3) {
        let draw = draws.at(Class::Nat, 1, place);
        add_nat(topology, draw, place as u8);
        add_nases(topology, draw.fork(100), place as usize, faulty_ms);
    }
}

fn add_nat(topology: &mut Topology, draw: Draw, place: u8) {
    let may_stand_before = |nat: &usize| topology.nats[*nat].behind.is_none();
    let before: Vec<usize> = (0..topology.nats.len()).filter(may_stand_before).collect();
    let is_inner = !before.is_empty() && draw.fork(1).one_in(3);
    let behind = is_inner.then(|| draw.fork(2).pick(&before));
    let address = |host: u8| match behind {
        // RFC 6598: what carriers have between their NATs and those of their customers.
        Some(_) => Ipv4Addr::new(100, 64, place, 1 + host),
        None => Ipv4Addr::new(198, 51, 100, 16 * place + 1 + host),
    };
    let addresses = draw.fork(3).pick(&[1, 1, 2, 4]);
    let dependences = [Dependence::None, Dependence::Address, Dependence::AddressAndPort];
    let mapping = draw.fork(4).pick(&dependences);
    let ports = match draw.fork(5).below(6) {
        0 => draw.fork(6).magnitude(1..=8),
        1 => draw.fork(6).magnitude(8..=64),
        _ => draw.fork(6).magnitude(64..=4_096),
    };
    topology.nats.push(NatPlan {
        outside: (0..addresses).map(|host| IpAddr::V4(address(host))).collect(),
        behind,
        mapping,
        filtering: draw.fork(7).pick(&dependences),
        pooling: draw.fork(8).pick(&[Pooling::Single, Pooling::Paired, Pooling::Arbitrary]),
        first_port: draw.fork(9).pick(&[1_024, INSIDE_PORT, 40_000]),
        ports: ports as u16,
        chunk: if draw.fork(10).one_in(4) { draw.fork(11).magnitude(1..=ports) as u16 } else { 0 },
        preserves_ports: draw.fork(12).one_in(2),
        overloads_ports: mapping == Dependence::AddressAndPort && draw.fork(13).one_in(2),
        order: draw.fork(14).pick(&[PortOrder::Lifo, PortOrder::Lifo, PortOrder::Fifo, PortOrder::Drawn]),
        reuse_after_ms: draw.fork(15).pick(&[0, 0, 0, 100, 1_000, 10_000, 60_000, 120_000]),
        when_full: draw.fork(16).pick(&[WhenFull::Drop, WhenFull::Evict]),
        timeout_s: draw.fork(17).pick(&[30, 30, 60, 120, 180, 300]),
        inbound_refreshes: draw.fork(18).one_in(2),
        latency_us: draw.fork(19).magnitude(20..=80_000),
    });
    if is_inner {
        return;
    }
    if draw.fork(23).one_in(2) {
        topology.client_rules.push(ClientRule {
            name: format!("nat{place}"),
            network: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 16 * place)),
            prefix: 28,
            lifetime_s: draw.fork(24).pick(&[10, 60, 3_600]),
            idle_timeout_s: draw.fork(25).pick(&[10, 30, 120, 300]),
            negative_lifetime_ms: draw.fork(26).pick(&[1_000, 30_000]),
            by_address: false,
            pending: draw.fork(27).pick(&[1_000, 8, 4, 4]),
        });
    } else {
        topology.clients.push(Client {
            name: format!("nat{place}"),
            network: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 16 * place)),
            prefix: 28,
            secret: format!("secret-nat{place}-{:016x}", draw.fork(20).bits()),
            old_secret: None,
            require_message_authenticator: draw.fork(21).one_in(3),
            limit_proxy_state: draw.fork(22).one_in(3),
            rule: None,
        });
    }
}

/// Two to twenty-four NASes behind the NAT at this place, the last of which may be an attacker.
fn add_nases(topology: &mut Topology, draw: Draw, nat: usize, faulty_ms: u64) {
    let outermost = topology.nats[nat].behind.unwrap_or(nat);
    let name = format!("nat{outermost}");
    let client = topology.clients.iter().find(|client| client.name == name).cloned();
    let rule = topology.client_rules.iter().find(|rule| rule.name == name).cloned();
    let count = draw.fork(1).magnitude(2..=24);
    let names: Vec<String> = (0..count).map(|nas| format!("site-{nat}-{nas}")).collect();
    let has_attacker = draw.fork(2).one_in(3);
    let same_port = draw.fork(3).one_in(2);
    for place in 0..count {
        let draw = draw.fork(1_000 + place);
        let attacks = has_attacker && place == count - 1;
        let (standing, secret) = match &client {
            _ if attacks => (Standing::WrongSecret, format!("no-secret-{:016x}", draw.fork(200).bits())),
            Some(client) => (Standing::Known, client.secret.clone()),
            None => (Standing::Known, format!("secret-{nat}-{place}-{:016x}", draw.fork(200).bits())),
        };
        let must_sign = client.as_ref().is_none_or(|client| client.require_message_authenticator);
        let signed_per_mille = match standing {
            Standing::Known if must_sign => draw.fork(201).pick(&[1_000, 800]),
            Standing::Known => draw.fork(201).pick(&[0, 500, 1_000]),
            Standing::WrongSecret | Standing::Unknown => 1_000,
        };
        let address = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1 + place as u8));
        let mut nas = nas_plan(draw, address, secret, standing, signed_per_mille, faulty_ms);
        nas.nat = Some(nat);
        nas.nas_identifiers = match names.get(place as usize) {
            Some(own) if !attacks => vec![own.clone()],
            Some(_) | None => names[..names.len() - 1].to_vec(),
        };
        if attacks && !draw.fork(204).one_in(4) {
            // And invents more than may be looked up at once, in bursts.
            nas.burst = 32;
            nas.pause_us = pause_us(faulty_ms, nas.transactions, nas.burst);
            nas.nas_identifiers.extend((0..40).map(|name| format!("nobody-{name}")));
        }
        if same_port {
            nas.ports = (0..nas.ports.len() as u16).map(|port| INSIDE_PORT + port).collect();
        }
        if place > 0 && draw.fork(202).one_in(2) {
            // It is idle for longer than mappings last.
            (nas.transactions, nas.burst) = (draw.fork(203).range(2..=8) as u32, 1);
            nas.pause_us = pause_us(faulty_ms, nas.transactions, nas.burst);
        }
        if let Some(rule) = rule.as_ref().filter(|_| !attacks) {
            topology.clients.push(Client {
                name: names[place as usize].clone(),
                network: rule.network,
                prefix: rule.prefix,
                secret: nas.secret.clone(),
                old_secret: None,
                require_message_authenticator: true,
                limit_proxy_state: true,
                rule: Some(rule.name.clone()),
            });
        }
        topology.nases.push(nas);
    }
}

/// The source port of NASes that are all alike.
const INSIDE_PORT: u16 = 1_812;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::judge::clients_of;
    use crate::plan::Plan;
    use crate::swarm::Profile;
    use std::collections::BTreeSet;

    #[test]
    fn all_behind_one_address_are_of_one_client_or_rule_whatever_address_they_have() {
        let (mut attackers, mut idle, mut tiny, mut inner, mut overloading) = (0, 0, 0, 0, 0);
        let mut by_rule = 0;
        for seed in 0..200 {
            let Plan { topology, faulty_ms, .. } = Plan::drawn(seed, Profile::Nat);
            assert!((60_000..=400_000).contains(&faulty_ms));
            assert!((1..=3).contains(&topology.nats.len()));
            for (place, nas) in topology.nases.iter().enumerate() {
                let Some(outermost) = topology.nats_before(place).last() else { continue };
                let of = |address: &IpAddr| clients_of(&topology.clients, *address).collect::<Vec<_>>();
                let clients: BTreeSet<_> = topology.nats[outermost].outside.iter().map(of).collect();
                assert_eq!(clients.len(), 1, "seed {seed}");
                let clients = of(&topology.seen(place)).into_iter().map(|client| &topology.clients[client]);
                let of_secret: Vec<_> = clients.filter(|client| client.secret == nas.secret).collect();
                let knows = of_secret.len() == 1;
                assert_eq!(knows, nas.standing == Standing::Known, "seed {seed}, NAS {place}");
                let ruled = of_secret.iter().filter(|client| client.is_ruled());
                ruled.for_each(|client| assert_eq!(nas.nas_identifiers, [client.name.as_str()]));
                by_rule += usize::from(of_secret.iter().any(|client| client.is_ruled()));
                attackers += usize::from(!knows);
                idle += usize::from(nas.pause_us > 30_000_000);
                let own = topology.nases.iter().filter(|other| other.nat == nas.nat);
                assert_eq!(own.filter(|other| other.address == nas.address).count(), 1);
            }
            for nat in &topology.nats {
                tiny += usize::from(nat.ports <= 8);
                inner += usize::from(nat.behind.is_some());
                overloading += usize::from(nat.overloads_ports);
                assert!(!nat.overloads_ports || nat.mapping == Dependence::AddressAndPort);
                assert!(u32::from(nat.first_port) + u32::from(nat.ports) < 65_536);
                assert!(nat.behind.is_none_or(|outer| topology.nats[outer].behind.is_none()));
            }
        }
        for count in [attackers, idle / 2, tiny * 2, inner, overloading, by_rule / 4] {
            assert!(count > 30, "{attackers} {idle} {tiny} {inner} {overloading}");
        }
    }

    #[test]
    fn an_attacker_says_to_be_each_of_its_siblings() {
        let topology = (0..).map(|seed| Plan::drawn(seed, Profile::Nat).topology).find(|topology| {
            let attacks = |nas: &&crate::plan::NasPlan| nas.standing == Standing::WrongSecret;
            topology
                .nases
                .iter()
                .filter(attacks)
                .any(|nas| nas.nat.is_some() && nas.nas_identifiers.len() > 2)
        });
        let topology = topology.expect("some seed has one");
        for nas in topology.nases.iter().filter(|nas| nas.nat.is_some()) {
            let siblings = topology.nases.iter().filter(|other| other.nat == nas.nat);
            let known = siblings.filter(|other| other.standing == Standing::Known);
            let names: BTreeSet<&String> = known.flat_map(|other| &other.nas_identifiers).collect();
            let says: BTreeSet<&String> = nas.nas_identifiers.iter().collect();
            match nas.standing {
                Standing::Known => assert_eq!(says.len(), 1),
                Standing::WrongSecret | Standing::Unknown => assert!(says.is_superset(&names)),
            }
        }
    }
}
