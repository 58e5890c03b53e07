//! A client of a rule behind a NAT, and one request that it sends by whichever port: for tests of laws.

use super::ledger::{Case, Handed};
use crate::clock::Clock;
use crate::oracle::codec::{Writer, code};
use crate::plan::{Client, ClientRule, Plan};
use crate::site::{Change, Reload, Rules, Site};
use crate::swarm::Profile;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use ulna_core::{ListenerId, Path, SocketId, Via};

pub const IDENTIFIER: u8 = 3;
pub const AUTHENTICATOR: [u8; 16] = [7; 16];

/// What there is, and what is sent.
pub struct Scene {
    plan: Plan,
    sites: Vec<Site>,
    clock: Clock,
    octets: Vec<u8>,
}

impl Scene {
    /// The client's line in its table says `old`, then `new` beside it, then `new` alone, or only the first of these. Its
    /// request is under this secret.
    pub fn new(changes: bool, secret: &str) -> Scene {
        // Of usual limits.
        let mut plan = Plan::drawn(3, Profile::Calm);
        let network = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0));
        let topology = &mut plan.topology;
        topology.rules = Rules::default();
        topology.client_rules = vec![ClientRule {
            name: "branches".into(),
            network,
            prefix: 24,
            lifetime_s: 3_600,
            idle_timeout_s: 300,
            negative_lifetime_ms: 1_000,
            by_address: false,
            pending: 1_000,
        }];
        topology.clients = vec![Client {
            name: "site-0".into(),
            network,
            prefix: 24,
            secret: "old".into(),
            old_secret: None,
            require_message_authenticator: true,
            limit_proxy_state: true,
            rule: Some("branches".into()),
        }];
        let says = |secret: &str, old_secret: Option<&str>| {
            let (secret, old_secret) = (secret.into(), old_secret.map(Into::into));
            let change = Change::Secrets { client: "site-0".into(), secret, old_secret };
            Reload { at_ms: 1, changes: vec![change], workers: None, tables: true }
        };
        plan.reloads = if changes { vec![says("new", Some("old")), says("new", None)] } else { Vec::new() };
        let octets = Writer::new(code::ACCESS_REQUEST, IDENTIFIER, AUTHENTICATOR).signed();
        let octets = octets.request(secret.as_bytes());
        Scene { sites: Site::all(&plan), plan, clock: Clock::default(), octets }
    }

    /// By what it is judged.
    pub fn case(&self) -> Case<'_> {
        Case { plan: &self.plan, sites: &self.sites, clock: &self.clock }
    }

    /// From this port.
    pub fn path(&self, port: u16) -> Path {
        let topology = &self.plan.topology;
        Path {
            via: Via::Socket(SocketId(0)),
            listener: ListenerId(0),
            local: topology.listeners[0].address,
            remote: SocketAddr::new(topology.client_rules[0].network, port),
        }
    }

    /// A copy comes, and a worker is asked about it or not, under one configuration and perhaps another one.
    pub fn handed<'h>(
        &'h self,
        path: &'h Path,
        asked: bool,
        (site, also): (usize, Option<usize>),
    ) -> Handed<'h> {
        Handed {
            thread: 0,
            path,
            sender: None,
            octets: &self.octets,
            stray: false,
            owner: 0,
            is_passed_on: false,
            asked,
            site,
            also,
        }
    }
}
