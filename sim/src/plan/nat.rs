//! NATs as a plan describes them, in the words of RFC 4787 (BCP 127). What they do is in [`crate::fault::nat`].

use super::{Topology, is_not};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A NAT: who stands behind it says so in its own plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatPlan {
    /// Its outside addresses, which nobody else has.
    pub outside: Vec<IpAddr>,
    /// The NAT that it stands behind itself; without one its outside addresses are those that the server sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<usize>,
    /// For which packets of an inside endpoint it uses a mapping again (§4.1).
    pub mapping: Dependence,
    /// From whom it lets packets in through a mapping (§5).
    pub filtering: Dependence,
    /// Which of its addresses a new mapping has (§4.1).
    pub pooling: Pooling,
    /// Its first outside port.
    pub first_port: u16,
    /// How many it has on each address.
    pub ports: u16,
    /// How many ports in a row an inside host gets for itself; 0: each mapping gets one of all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub chunk: u16,
    /// Whether a mapping has the port of its inside endpoint where that is free (§4.2.1).
    #[serde(default, skip_serializing_if = "is_not")]
    pub preserves_ports: bool,
    /// Whether mappings for different destinations share ports (§4.2.1: port overloading). Only for a mapping that depends
    /// on address and port.
    #[serde(default, skip_serializing_if = "is_not")]
    pub overloads_ports: bool,
    /// Which free port is next.
    pub order: PortOrder,
    /// For how long a freed port is given to nobody.
    pub reuse_after_ms: u64,
    /// What becomes of a new flow when no port is free.
    pub when_full: WhenFull,
    /// When a mapping ends that nothing refreshes (§4.3).
    pub timeout_s: u64,
    /// Whether what comes in refreshes it, too; what goes out always does (§4.3).
    #[serde(default, skip_serializing_if = "is_not")]
    pub inbound_refreshes: bool,
    /// The way back to it from the server, in virtual microseconds.
    pub latency_us: u64,
}

/// What of the other end counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// Nothing: endpoint-independent.
    None,
    /// Its address.
    Address,
    /// Its address and port.
    AddressAndPort,
}

/// IP address pooling (RFC 4787 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// All mappings have one address; the others are for a change of it.
    Single,
    /// All mappings of an inside host have one.
    Paired,
    /// Each has any.
    Arbitrary,
}

/// Which of the free ports is given out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortOrder {
    /// The one that was freed last.
    Lifo,
    /// The one that is free for longest.
    Fifo,
    /// A drawn one.
    Drawn,
}

/// What becomes of a new flow when no port is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// It is dropped.
    Drop,
    /// The mapping that was refreshed longest ago ends for it.
    Evict,
}

fn is_zero(chunk: &u16) -> bool {
    *chunk == 0
}

impl Topology {
    /// The NATs that a NAS is behind, the nearest first.
    pub fn nats_before(&self, nas: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.nases[nas].nat, |nat| self.nats[*nat].behind)
    }

    /// An address that the server sees a NAS under. One client has all the others that it may see it under.
    pub fn seen(&self, nas: usize) -> IpAddr {
        self.nats_before(nas).last().map_or(self.nases[nas].address, |nat| self.nats[nat].outside[0])
    }
}
