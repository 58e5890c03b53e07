//! Servers under test behind the first one: each has a plan of its own, which follows from the whole.

use super::proxy::{NeighbourPlan, ProxyPlan};
use super::{Listener, ListenerKind, Plan, Topology};
use std::net::SocketAddr;

impl Plan {
    /// The plan of one of the servers behind the first: the same remote servers and pools, its own ways to them, and as clients
    /// all other servers under test. Nobody has users or sends by himself there.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn of_relay(&self, place: usize) -> Plan {
        let proxy = self.topology.proxy.as_ref().expect("relays are part of it");
        let relay = &proxy.relays[place];
        let server = &proxy.remote_servers[relay.server];
        let mut own = ProxyPlan { nases: Vec::new(), relays: Vec::new(), ..proxy.clone() };
        for (realm, pool) in own.realms.iter_mut().zip(&relay.pools) {
            realm.pool = *pool;
        }
        let others = (0..=proxy.relays.len()).filter(|node| *node != place + 1);
        own.neighbours = others
            .map(|node| NeighbourPlan {
                name: format!("node{node}"),
                address: self.address_of_node(node).ip(),
                secret: server.secret.clone(),
            })
            .collect();
        Plan {
            // Their keys have to differ, or they take each other's Proxy-States for their own.
            seed: self.seed ^ (place as u64 + 1) << 48,
            reloads: Vec::new(),
            topology: Topology {
                network_threads: relay.network_threads,
                workers: relay.workers,
                listeners: vec![Listener { address: server.address, kind: ListenerKind::Access }],
                steered: self.topology.steered,
                proxy: Some(own),
                ..Topology::empty()
            },
            ..self.clone()
        }
    }

    /// Where a server under test listens: 0 is the first, the others follow.
    pub fn address_of_node(&self, node: usize) -> SocketAddr {
        match (node.checked_sub(1), &self.topology.proxy) {
            (Some(relay), Some(proxy)) => proxy.remote_servers[proxy.relays[relay].server].address,
            _ => self.topology.listeners[0].address,
        }
    }

    /// Which server under test a remote server is, by its place; `None`: it is a model.
    pub fn node_of(&self, server: usize) -> Option<usize> {
        let proxy = self.topology.proxy.as_ref()?;
        let address = proxy.remote_servers[server].address;
        (0..=proxy.relays.len()).find(|node| self.address_of_node(*node) == address)
    }
}
