//! A scenario as data: what there is, what its limits are, who sends what, what may go wrong. JSON on disk.
//!
//! A plan says everything that a run depends on but the draws, and those follow from its `seed`. All times are
//! virtual, in the unit that the field's name says.

pub mod control;
pub mod nat;
pub mod proxy;
mod relay;

use self::control::ControlPlan;
use self::nat::NatPlan;
use self::proxy::ProxyPlan;
use crate::fault::{Fault, FaultClass};
use crate::site::{Reload, Rules};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use ulna_core::{ListenerId, SocketId};

/// The version of the plan's format; another one is refused.
pub const VERSION: u32 = 1;

/// A whole scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// What all draws of the run are keyed by.
    pub seed: u64,
    /// The kebab-case name of a seeded bug to switch on in the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// How long faults strike, in virtual milliseconds.
    pub faulty_ms: u64,
    /// How long everything works again after that, before the world is left idle.
    pub heal_ms: u64,
    /// What there is.
    pub topology: Topology,
    /// Sizes and lifetimes of the server.
    pub limits: Limits,
    /// The length at which a file of accounting is set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_octets: Option<u64>,
    /// New configurations, in the order in which they are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reloads: Vec<Reload>,
    /// Which fault classes are on, with their intensities in parts of 10 000.
    pub faults: Vec<FaultPlan>,
}

/// One fault class that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// Which.
    pub class: FaultClass,
    /// Of 10 000 opportunities, how many it takes.
    pub per_myriad: u32,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Network threads; 0 joins each worker thread with a network core of its own.
    pub network_threads: u16,
    /// Worker threads, at least 1.
    pub workers: u16,
    /// The listening addresses, in the order of their [`ListenerId`]s.
    pub listeners: Vec<Listener>,
    /// Who may speak.
    pub clients: Vec<Client>,
    /// Who else may, and how that is found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_rules: Vec<ClientRule>,
    /// Who may log in.
    pub users: Vec<User>,
    /// What becomes of whom.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// Whether a rule answers accounting; without one it is discarded.
    pub answers_accounting: bool,
    /// Whether the kernel takes the program that tells it which network thread a connection belongs to. Plans older than the
    /// field have one that does not.
    #[serde(default, skip_serializing_if = "is_not")]
    pub steered: bool,
    /// NATs between NASes and the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<NatPlan>,
    /// Who sends.
    pub nases: Vec<NasPlan>,
    /// What is decided about elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyPlan>,
    /// Who asks the server what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlPlan>,
}

/// What a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// Access-Request and Status-Server.
    Access,
    /// Accounting-Request and Status-Server.
    Accounting,
}

/// A listening address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Never a wildcard.
    pub address: SocketAddr,
    /// What it takes.
    pub kind: ListenerKind,
}

/// A client definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// The first address of its network.
    pub network: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
    /// The shared secret.
    pub secret: String,
    /// The secret before it, while it is being changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<String>,
    /// Whether its Access-Requests must be signed.
    pub require_message_authenticator: bool,
    /// Whether Proxy-State in an unsigned Access-Request is refused.
    pub limit_proxy_state: bool,
    /// The client rule in whose table it stands, by its name. Then it is known by its name as NAS-Identifier and by its secret,
    /// and its network is the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A client rule whose table has the clients that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRule {
    /// Its name.
    pub name: String,
    /// The first address of its network.
    pub network: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
    /// How long an answer that says yes is believed.
    pub lifetime_s: u64,
    /// How long a connection may be silent.
    pub idle_timeout_s: u64,
    /// How long an answer that says no is believed.
    pub negative_lifetime_ms: u64,
    /// A client for each address, and not for each connection. Its NASes are behind no NAT.
    #[serde(default, skip_serializing_if = "is_not")]
    pub by_address: bool,
    /// Look-ups under way.
    #[serde(default = "usual_pending")]
    pub pending: u32,
}

impl ClientRule {
    /// Whether its network holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        holds(self.network, self.prefix, address)
    }
}

impl Client {
    /// Whether `address` is within the client's network.
    pub fn contains(&self, address: IpAddr) -> bool {
        holds(self.network, self.prefix, address)
    }
}

fn holds(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            prefix == 0 || differing >> (32 - u32::from(prefix).min(32)) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            prefix == 0 || differing >> (128 - u32::from(prefix).min(128)) == 0
        }
        _ => false,
    }
}

/// A user of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User-Name.
    pub name: String,
    /// In clear.
    pub password: String,
    /// Whether the server knows a digest of it only.
    #[serde(default, skip_serializing_if = "is_not")]
    pub hashed: bool,
    /// What an Access-Accept carries: attribute type and value.
    pub reply: Vec<(u8, Vec<u8>)>,
}

/// What a NAS is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A client that knows its secret.
    Known,
    /// A client with another secret than the server's; it signs all it sends, and expects silence.
    WrongSecret,
    /// No client contains its address; it expects silence.
    Unknown,
}

/// One NAS and what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NasPlan {
    /// Its address; behind a NAT, where it is alone with it, its inside address.
    pub address: IpAddr,
    /// The NAT that it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<usize>,
    /// What its requests say as NAS-Identifier, a drawn one each; none: they have no such attribute. An attacker says his
    /// siblings'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nas_identifiers: Vec<String>,
    /// The secret that it uses.
    pub secret: String,
    /// Other secrets, each from a virtual millisecond on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<(u64, String)>,
    /// What it is to the server.
    pub standing: Standing,
    /// Its source ports.
    pub ports: Vec<u16>,
    /// How many different Identifiers it uses per port, from 0; at most 256.
    pub identifiers: u16,
    /// How many transactions it starts while faults strike.
    pub transactions: u32,
    /// How many after they have ended, each of which must be answered.
    pub heal_transactions: u32,
    /// The mean pause between two bursts, in virtual microseconds.
    pub pause_us: u64,
    /// How many transactions start at once, at most.
    pub burst: u32,
    /// Access-Requests that carry a Message-Authenticator, per mille.
    pub signed_per_mille: u64,
    /// Access-Requests by CHAP instead of PAP, per mille.
    pub chap_per_mille: u64,
    /// Access-Requests with a wrong password, per mille.
    pub wrong_password_per_mille: u64,
    /// Transactions that are Accounting-Requests, per mille.
    pub accounting_per_mille: u64,
    /// Transactions that are Status-Servers, per mille.
    pub status_per_mille: u64,
    /// Access-Requests that carry a State, per mille: some of no meaning, some that name a worker.
    #[serde(default, skip_serializing_if = "is_none_of")]
    pub state_per_mille: u64,
    /// Proxy-States in a request, at most.
    pub proxy_states_max: u64,
    /// Octets of a Proxy-State, at most.
    #[serde(default = "short_proxy_states")]
    pub proxy_state_octets_max: u64,
    /// One way to or from the server, in virtual microseconds.
    pub latency_us: u64,
}

impl NasPlan {
    /// The secret that it uses at this virtual nanosecond.
    pub fn secret_at(&self, now: u64) -> &str {
        let rotated = self.rotations.iter().rev().find(|(at_ms, _)| at_ms * 1_000_000 <= now);
        rotated.map_or(&self.secret, |(_, secret)| secret)
    }
}

/// Sizes and lifetimes of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Slots of a ring, a power of two.
    pub ring_slots: u32,
    /// Requests held per network core and worker.
    pub requests_max: u32,
    /// Packet buffers of a network core.
    pub buffers: u32,
    /// Live requests and cached replies of a network core.
    pub dedup_entries: u32,
    /// Octets of cached replies of a network core.
    #[serde(default = "plenty_of_reply_octets")]
    pub replies_octets: u64,
    /// How long a reply is cached.
    pub dedup_lifetime_ms: u64,
    /// How old a request may be when its worker takes it up.
    pub request_timeout_ms: u64,
    /// How long a reject of ours waits.
    pub reject_delay_ms: u64,
    /// Rejects that wait at once, per network core.
    pub delayed_rejects_max: u32,
    /// Datagrams in a socket's receive buffer.
    pub receive_queue: u32,
    /// Datagrams read from a socket in a turn.
    pub read_batch: u32,
    /// Requests that a worker takes up in a turn.
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub turn_requests: u32,
    /// What deciding about a request costs its worker while faults strike, in virtual microseconds.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub request_us: u64,
}

fn is_not(hashed: &bool) -> bool {
    !hashed
}

/// What the configuration takes where nothing is said.
fn usual_pending() -> u32 {
    1_000
}

/// As many as there are.
fn any() -> u32 {
    u32::MAX
}

fn is_any(requests: &u32) -> bool {
    *requests == any()
}

fn is_nothing(microseconds: &u64) -> bool {
    *microseconds == 0
}

fn is_none_of(per_mille: &u64) -> bool {
    *per_mille == 0
}

/// Plans older than the field have requests that fit a small buffer, and so do their replies.
fn short_proxy_states() -> u64 {
    40
}

/// Plans older than the field ran with what the configuration takes without it.
fn plenty_of_reply_octets() -> u64 {
    64 << 20
}

impl Topology {
    /// Nothing at all, to be filled in.
    pub fn empty() -> Self {
        Topology {
            network_threads: 0,
            workers: 1,
            listeners: Vec::new(),
            clients: Vec::new(),
            client_rules: Vec::new(),
            users: Vec::new(),
            rules: Rules::default(),
            answers_accounting: false,
            steered: false,
            nats: Vec::new(),
            nases: Vec::new(),
            proxy: None,
            control: None,
        }
    }

    /// How many network cores there are.
    pub fn networks(&self) -> usize {
        usize::from(if self.network_threads == 0 { self.workers } else { self.network_threads })
    }

    /// How many threads there are at first. Network threads come first, then the workers; or each thread is both.
    pub fn threads(&self) -> usize {
        usize::from(self.network_threads) + usize::from(self.workers)
    }

    /// The thread of a worker.
    pub fn thread_of_worker(&self, worker: usize) -> usize {
        usize::from(self.network_threads) + worker
    }

    /// The socket of a network core on a listener.
    pub fn socket(&self, listener: ListenerId, network: usize) -> SocketId {
        SocketId(listener.0 * self.networks() as u16 + network as u16)
    }

    /// Which listener and network core a socket belongs to.
    pub fn listener_and_network(&self, socket: SocketId) -> (ListenerId, usize) {
        let networks = self.networks() as u16;
        (ListenerId(socket.0 / networks), usize::from(socket.0 % networks))
    }

    /// The listener of this kind in the address family of `remote`.
    pub fn listener_for(&self, kind: ListenerKind, remote: IpAddr) -> Option<ListenerId> {
        self.listeners
            .iter()
            .position(|listener| listener.kind == kind && listener.address.is_ipv4() == remote.is_ipv4())
            .map(|place| ListenerId(place as u16))
    }
}

impl Plan {
    /// The most workers that there ever are.
    pub fn workers_max(&self) -> u16 {
        let asked = self.reloads.iter().filter_map(|reload| reload.workers);
        let asked = asked.filter(|_| self.topology.network_threads > 0);
        asked.fold(self.topology.workers, u16::max)
    }

    /// The most threads that there ever are, numbered as [`Topology::threads`] says.
    pub fn threads_max(&self) -> usize {
        usize::from(self.topology.network_threads) + usize::from(self.workers_max())
    }

    /// The intensity of each class by its number, parts of 10 000; 0 where it is off.
    pub fn intensities(&self) -> [u32; FaultClass::COUNT] {
        let mut intensities = [0; FaultClass::COUNT];
        for fault in &self.faults {
            intensities[fault.class as usize] = fault.per_myriad;
        }
        intensities
    }

    /// When faults end, in virtual nanoseconds.
    pub fn faulty_until(&self) -> u64 {
        self.faulty_ms * 1_000_000
    }

    /// So long clients of rules, and what is remembered of them, last without a packet, in virtual nanoseconds.
    pub fn clients_last(&self) -> u64 {
        let spans = |rule: &ClientRule| rule.lifetime_s.max(rule.idle_timeout_s);
        let clients = self.topology.client_rules.iter().map(spans).max().unwrap_or(0) * 1_000_000_000;
        // So do conversations.
        let conversations = self.topology.proxy.as_ref().map_or(0, |proxy| proxy.state_lifetime_ms);
        clients.max(conversations * 1_000_000)
    }

    /// When nobody sends any more, in virtual nanoseconds.
    pub fn idle_from(&self) -> u64 {
        (self.faulty_ms + self.heal_ms) * 1_000_000
    }
}

/// What a failing run leaves behind: the plan, what struck, and what it broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    /// The scenario.
    pub plan: Plan,
    /// Every fault that struck. What is taken out here does not happen when the file is replayed.
    pub faults: Vec<Fault>,
    /// The name of the invariant that was broken.
    pub invariant: String,
    /// What exactly was seen.
    pub details: String,
    /// The digest of the run, 32 hex digits.
    pub digest: String,
}

impl FailureFile {
    /// Reads a failure file.
    ///
    /// # Errors
    /// A sentence that says where the text is not one, or that its version is another.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let file: FailureFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.plan.version != VERSION {
            return Err(format!("its plan has version {}, this build reads {VERSION}", file.plan.version));
        }
        Ok(file)
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data always becomes JSON")
    }
}
