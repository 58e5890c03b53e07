//! Draws a client rule by address and its NASes: on lines of their own, no NAT between, but whose addresses are given to each
//! other while faults strike.

use super::nas_plan;
use crate::draw::{Class, Draws};
use crate::plan::{Client, ClientRule, Standing, Topology};
use std::net::{IpAddr, Ipv4Addr};

/// Adds it to every other plan.
pub(super) fn add_rule_by_address(topology: &mut Topology, draws: Draws, faulty_ms: u64) {
    let draw = |field: u64| draws.at(Class::ByAddress, 0, field);
    if !draw(0).one_in(2) {
        return;
    }
    let rule = ClientRule {
        name: "lines".into(),
        network: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)),
        prefix: 24,
        lifetime_s: draw(1).pick(&[10, 60, 3_600, 3_600]),
        idle_timeout_s: draw(2).pick(&[10, 30, 120, 300]),
        negative_lifetime_ms: draw(3).pick(&[1_000, 30_000]),
        by_address: true,
        pending: draw(4).pick(&[1_000, 8]),
    };
    let count = draw(5).range(2..=6);
    let has_attacker = count > 2 && draw(6).one_in(3);
    let names: Vec<String> = (0..count).map(|nas| format!("line-{nas}")).collect();
    for place in 0..count {
        let draw = draws.at(Class::ByAddress, 1, place);
        let attacks = has_attacker && place == count - 1;
        let secret = format!("secret-line-{place}-{:016x}", draw.fork(1).bits());
        let standing = if attacks { Standing::WrongSecret } else { Standing::Known };
        let signed_per_mille = if attacks { 1_000 } else { draw.fork(2).pick(&[1_000, 800]) };
        let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1 + place as u8));
        let mut nas = nas_plan(draw, address, secret, standing, signed_per_mille, faulty_ms);
        if attacks {
            nas.nas_identifiers = names[..names.len() - 1].to_vec();
        } else {
            let name = &names[place as usize];
            nas.nas_identifiers = vec![name.clone()];
            topology.clients.push(Client {
                name: name.clone(),
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
    topology.client_rules.push(rule);
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, Standing};
    use crate::swarm::Profile;

    #[test]
    fn all_on_lines_are_of_the_rule_and_each_has_a_secret_of_its_own() {
        let (mut plans, mut attackers) = (0, 0);
        for seed in 0..100 {
            let topology = Plan::drawn(seed, Profile::Nat).topology;
            let Some(rule) = topology.client_rules.iter().find(|rule| rule.by_address) else { continue };
            plans += 1;
            let on_lines = topology.nases.iter().filter(|nas| rule.contains(nas.address));
            let on_lines: Vec<_> = on_lines.collect();
            assert!(on_lines.len() >= 2 && on_lines.iter().all(|nas| nas.nat.is_none()));
            for nas in on_lines {
                let of_secret = topology.clients.iter().filter(|client| client.secret == nas.secret);
                let clients: Vec<_> = of_secret.map(|client| (&client.name, client.rule.as_ref())).collect();
                match nas.standing {
                    Standing::Known => assert_eq!(clients, [(&nas.nas_identifiers[0], Some(&rule.name))]),
                    Standing::WrongSecret | Standing::Unknown => {
                        assert!(clients.is_empty());
                        attackers += 1;
                    }
                }
            }
        }
        assert!((30..70).contains(&plans) && attackers > 5, "{plans} {attackers}");
    }
}
