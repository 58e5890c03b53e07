//! What a plan says of forwarding: remote servers, their pools, realms, and the NASes whose users they decide about.
//!
//! What remote servers do is in [`crate::actor::remote_server`], what these NASes send in [`crate::actor::roaming_nas`].

use super::{is_none_of, is_not};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Forwarding in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyPlan {
    /// The servers that requests go on to.
    pub remote_servers: Vec<RemoteServerPlan>,
    /// Their pools.
    pub pools: Vec<PoolPlan>,
    /// Who is sent where.
    pub realms: Vec<RealmPlan>,
    /// Who sends.
    pub nases: Vec<RoamingNasPlan>,
    /// How long a conversation may be silent.
    pub state_lifetime_ms: u64,
    /// Further servers under test, behind the first: each forwards, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelayPlan>,
    /// Servers under test that send requests to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<NeighbourPlan>,
}

/// A server under test that stands behind another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayPlan {
    /// What it is to those before it: its place among the remote servers, which says its address and its secret.
    pub server: usize,
    /// How many servers under test a request has passed when it comes here.
    pub level: usize,
    /// As [`crate::plan::Topology::network_threads`].
    pub network_threads: u16,
    /// Worker threads.
    pub workers: u16,
    /// By realm: the pool that it sends requests on to.
    pub pools: Vec<usize>,
}

/// Who sends requests here and is a server under test itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourPlan {
    /// Its name as a client.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// The secret that it uses here.
    pub secret: String,
}

/// A remote server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteServerPlan {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The secret that it shares with the server under test.
    pub secret: String,
    /// Whether it answers Status-Server, and is asked.
    #[serde(default, skip_serializing_if = "is_not")]
    pub answers_status: bool,
    /// How long until one that does not answer is suspected.
    pub response_window_ms: u64,
    /// How long one is suspected before it counts as dead.
    pub zombie_period_ms: u64,
    /// How long until one that is dead is tried again.
    pub revive_interval_ms: u64,
    /// How often one that is suspected or dead is asked.
    pub status_interval_ms: u64,
    /// Requests that may wait for it, per worker.
    pub outstanding_max: u32,
    /// What its States look like.
    pub states: States,
    /// One way to or from it, in virtual microseconds.
    pub latency_us: u64,
    /// How long it takes to answer, in virtual microseconds, at most.
    pub answer_us: u64,
}

/// What a remote server's States look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum States {
    /// Nobody else has it.
    Random,
    /// All servers of this kind give all users the same, in each round another.
    PerRound,
    /// All servers of this kind give all users the same in each round.
    Constant,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPlan {
    /// Its name.
    pub name: String,
    /// Its servers, by their places.
    pub remote_servers: Vec<usize>,
    /// How one is chosen, in the words of the configuration.
    pub balance: String,
    /// Whether a conversation whose server has died goes to another.
    #[serde(default, skip_serializing_if = "is_not")]
    pub repick: bool,
}

/// A realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmPlan {
    /// Its name.
    pub name: String,
    /// Its pool, by its place.
    pub pool: usize,
    /// Whether its requests come back to where they have been: nobody lets its users in.
    #[serde(default, skip_serializing_if = "is_not")]
    pub loops: bool,
}

/// A NAS whose users are at home elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoamingNasPlan {
    /// Its address, which no other client has.
    pub address: IpAddr,
    /// Its secret.
    pub secret: String,
    /// Its source ports.
    pub ports: Vec<u16>,
    /// How many visits begin while faults strike: conversations, or single requests.
    pub visits: u32,
    /// How many after them, each of which has to end well.
    pub heal_visits: u32,
    /// The mean pause between two bursts, in virtual microseconds.
    pub pause_us: u64,
    /// How many begin at once, at most.
    pub burst: u32,
    /// Visits that are a single request with a password, per mille.
    pub pap_per_mille: u64,
    /// Visits that are a single request by CHAP, per mille.
    pub chap_per_mille: u64,
    /// Visits that are a single Accounting-Request, per mille.
    #[serde(default, skip_serializing_if = "is_none_of")]
    pub accounting_per_mille: u64,
    /// Rounds of a conversation, at most.
    pub rounds_max: u64,
    /// Whether all of a realm go by one name.
    #[serde(default, skip_serializing_if = "is_not")]
    pub anonymous: bool,
    /// Whether requests say whose they are by Calling-Station-Id.
    #[serde(default, skip_serializing_if = "is_not")]
    pub calling_station_id: bool,
    /// Proxy-States in a request, at most.
    pub proxy_states_max: u64,
    /// One way to or from the server, in virtual microseconds.
    pub latency_us: u64,
}

impl ProxyPlan {
    /// Which of the NASes has this address.
    pub fn nas_at(&self, address: IpAddr) -> Option<usize> {
        self.nases.iter().position(|nas| nas.address == address)
    }

    /// The name of a NAS as a client.
    pub fn client_name(nas: usize) -> String {
        format!("roaming-{nas}")
    }
}
