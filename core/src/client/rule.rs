//! Client rules: who may become a client, by what secret, and for how long.
//!
//! Plain data, found by the longest network that holds a source address. Among the rules whose networks hold it, those of the
//! longer network come first, then those that stand first in the configuration; the first whose conditions hold decides.
//! Nothing here believes a packet: a rule proposes a secret, and only a packet that verifies under it makes a client.

use super::limits::{Counts, Limits};
use super::networks::Networks;
use super::sightings::Sightings;
use super::{Client, Clients, Prefix};
use crate::attributes::{Scratch, Walk};
use crate::dictionary::{Dictionary, print_value};
use crate::packet::{DataType, Framed, Secrets};
use crate::policy::{Asked, Condition, Rules, Selector, Sheet};
use crate::seed::Seed;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// One client rule.
#[derive(Debug)]
pub struct ClientRule {
    /// The operator's name for it, unique among the rules.
    pub name: Arc<str>,
    /// Where its clients may speak from.
    pub networks: Box<[Prefix]>,
    /// What must hold of a packet, of which nothing is verified yet.
    pub when: Vec<Condition>,
    /// Where the secret comes from.
    pub secret: RuleSecret,
    /// A client for each connection, and not for each source address: several behind one NAT, each with a secret of its own.
    pub nat: bool,
    /// Each connection gets a socket of its own, as far as there are any; where nothing is said, as its listener has it.
    pub connected: Option<bool>,
    /// It decides also where a `[[client]]` has the same network, or one within its own.
    pub prefer_dynamic: bool,
    /// Access-Requests without Message-Authenticator are discarded. Always so with `nat`.
    pub require_message_authenticator: bool,
    /// As of a [`Client`].
    pub limit_proxy_state: bool,
    /// How long an answer that says yes is believed; its clients end then, and are looked up again when they speak.
    pub lifetime: Duration,
    /// A client that has said nothing for so long ends.
    pub idle_timeout: Duration,
    /// How long an answer that says no is believed.
    pub negative_lifetime: Duration,
    /// How many of each there may be.
    pub limits: Limits,
    /// How many there are. The same through all configurations in which a rule has this name.
    pub counts: Arc<Counts>,
}

/// Where a rule's secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSecret {
    /// It stands there, the same for all.
    Own(Box<Secrets>),
    /// It is looked up.
    Table {
        /// In which table: a name that the driver knows.
        source: Arc<str>,
        /// By the first value of this attribute.
        key: Selector,
        /// Whether it is asked in no time, so that how often it is need not be bounded.
        is_in_memory: bool,
    },
}

impl ClientRule {
    /// Whether a client that was admitted by the other rule would be admitted by this one in the same way.
    pub fn admits_like(&self, other: &ClientRule) -> bool {
        let of = |rule: &ClientRule| {
            (
                (rule.nat, rule.connected, rule.require_message_authenticator, rule.limit_proxy_state),
                (rule.lifetime, rule.idle_timeout, rule.limits.packets_per_second),
            )
        };
        self.name == other.name
            && self.networks == other.networks
            && self.when == other.when
            && self.secret == other.secret
            && of(self) == of(other)
    }
}

/// The client rules of a configuration. Made once, then only read.
pub struct ClientRules {
    rules: Box<[ClientRule]>,
    networks: Networks<u32>,
    /// For each network of a rule: the rules whose networks hold it, by place, as their conditions are asked.
    lists: Box<[List]>,
    /// How many questions about attributes the longest list asks.
    questions: usize,
    /// What all rules together may have.
    pub limits: Limits,
    /// Packets of no client, or that fail under their connection's client, looked at in a second of one source address.
    pub unverified_per_second: u32,
    /// Sockets that connections may have for themselves, in the whole process.
    pub connected_sockets_max: u32,
    /// See [`ClientRule::counts`].
    pub counts: Arc<Counts>,
    /// Requests of their clients that were seen last. There are none, and no memory for them, where there never was a rule.
    pub sightings: Option<Arc<Sightings>>,
}

struct List {
    rules: Rules<u32>,
    /// Whether any of them decides where there is a `[[client]]`, too.
    prefer_dynamic: bool,
}

impl ClientRules {
    /// The rules in the order of the configuration, of a server whose network cores know so many requests together.
    pub fn new(
        rules: Vec<ClientRule>,
        limits: Limits,
        unverified_per_second: u32,
        requests: usize,
        seed: &Seed,
    ) -> ClientRules {
        let mut by_network: BTreeMap<Prefix, Vec<u32>> = BTreeMap::new();
        for (place, rule) in (0..).zip(&rules) {
            for network in &rule.networks {
                by_network.entry(*network).or_default().push(place);
            }
        }
        let list = |network: &Prefix| {
            let mut places: Vec<u32> = Vec::new();
            for length in (0..=network.length()).rev() {
                let wider = Prefix::around(network.address(), length);
                for place in by_network.get(&wider).into_iter().flatten() {
                    if !places.contains(place) {
                        places.push(*place);
                    }
                }
            }
            let rule = |place: &u32| &rules[*place as usize];
            List {
                prefer_dynamic: places.iter().any(|place| rule(place).prefer_dynamic),
                rules: Rules::new(places.iter().map(|place| (rule(place).when.clone(), *place))),
            }
        };
        let lists: Box<[List]> = by_network.keys().map(list).collect();
        let networks = by_network.keys().copied().zip(0..);
        ClientRules {
            networks: Networks::new(networks, &seed.fork("client rules")),
            questions: lists.iter().map(|list| list.rules.questions()).max().unwrap_or_default(),
            lists,
            sightings: (!rules.is_empty()).then(|| Arc::new(Sightings::new(requests, seed))),
            rules: rules.into(),
            limits,
            unverified_per_second,
            connected_sockets_max: CONNECTED_SOCKETS_MAX,
            counts: Arc::default(),
        }
    }

    /// Whether there is none: then every client is a configured one.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &ClientRule> {
        self.rules.iter()
    }

    /// One of them.
    pub fn rule(&self, place: u32) -> &ClientRule {
        &self.rules[place as usize]
    }

    /// One of them by its name.
    pub fn named(&self, name: &str) -> Option<(u32, &ClientRule)> {
        (0..).zip(&self.rules).find(|(_, rule)| &*rule.name == name)
    }

    /// Requests seen last.
    ///
    /// # Panics
    /// Where there never was a rule, and so nobody who could have been admitted by one.
    pub fn sightings(&self) -> &Sightings {
        self.sightings.as_ref().expect("a rule has admitted somebody, or is about to")
    }

    /// A sheet for the questions of any of them.
    pub fn sheet(&self) -> Sheet {
        Sheet::new(self.questions)
    }

    /// Whether packets from this address are for these rules, and not for a `[[client]]`: the longer network decides, and at
    /// equal length the `[[client]]`, unless a rule there is to be preferred.
    #[inline]
    pub fn decide(&self, clients: &Clients, address: IpAddr) -> Whom {
        let configured = clients.look_up_network(address);
        if self.rules.is_empty() {
            return configured.map_or(Whom::Nobody, |(client, _)| Whom::Configured(client));
        }
        let list = self.networks.look_up(address);
        match (configured, list) {
            (None, None) => Whom::Nobody,
            (Some((client, _)), None) => Whom::Configured(client),
            (None, Some(_)) => Whom::Rules,
            (Some((client, length)), Some((list, of_rule))) => {
                let is_for_rules = of_rule > length || self.lists[list as usize].prefer_dynamic;
                if is_for_rules { Whom::Rules } else { Whom::Configured(client) }
            }
        }
    }

    /// The rule that decides about a packet, by its place.
    ///
    /// # Panics
    /// If the sheet is of other rules.
    pub fn first_match(&self, asked: &Asked<'_>, sheet: &mut Sheet) -> Option<u32> {
        let (list, _) = self.networks.look_up(asked.source().ip())?;
        self.lists[list as usize].rules.first_match(asked, None, sheet).map(|(_, place)| *place)
    }

    /// Counts go on where the rules before these had counted, and what was seen under them stays known.
    pub fn count_on(&mut self, before: &ClientRules) {
        self.counts = Arc::clone(&before.counts);
        if let Some(sightings) = &before.sightings {
            self.sightings = Some(Arc::clone(sightings));
        }
        for rule in &mut self.rules {
            if let Some((_, old)) = before.named(&rule.name) {
                rule.counts = Arc::clone(&old.counts);
            }
        }
    }
}

/// Where nothing is said. What comes to the listening sockets costs more with each of them.
const CONNECTED_SOCKETS_MAX: u32 = 1_000;

/// Whose packets from an address are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// This client's of the configuration.
    Configured(super::ClientId),
    /// Of whom the client rules admit.
    Rules,
    /// Nobody's.
    Nobody,
}

impl ClientRule {
    /// The client that this rule makes of an answer.
    pub(super) fn client(&self, name: Box<str>, secrets: Secrets) -> Client {
        Client {
            name,
            secrets,
            require_message_authenticator: self.nat || self.require_message_authenticator,
            limit_proxy_state: self.limit_proxy_state,
        }
    }
}

/// The first value of the attribute that a rule looks up by, as it stands in a table: text as it is, all else as it is printed.
pub fn look_up_key(
    framed: &Framed<'_>,
    selector: &Selector,
    dictionary: &Dictionary,
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    let item = Walk::new(dictionary, framed.attributes(), scratch).find(|item| selector.selects(item))?;
    let is_text = item.attribute.is_none_or(|known| known.data_type() == DataType::Text);
    match item.attribute.filter(|_| !is_text).and_then(|known| print_value(known, item.value)) {
        Some(printed) => Some(printed.to_string().into_bytes()),
        None => Some(item.value.to_vec()),
    }
}
