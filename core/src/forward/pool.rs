//! Remote servers that stand in for each other.

use super::RemoteServerId;
use crate::policy::Selector;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A pool's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

/// Remote servers that stand in for each other.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The operator's name for it, unique.
    pub name: Box<str>,
    /// How one is chosen for a new conversation.
    pub balance: Balance,
    /// What becomes of a conversation whose server has died.
    pub on_dead: OnDead,
    /// What a hash is over.
    pub hash_by: Vec<Selector>,
    /// One at least, in order.
    pub members: Vec<Member>,
}

/// A remote server in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub server: RemoteServerId,
    /// Its share beside the others; 1 to 1 000. Failover asks nobody's.
    pub weight: u32,
}

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The first in order that lives.
    Failover,
    /// One after the other, by weight.
    RoundRobin,
    /// That with the fewest requests waiting, for its weight.
    LeastOutstanding,
    /// By a hash of attributes, which moves only those whose server dies.
    Hash,
}

/// What becomes of a conversation whose server has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDead {
    /// It fails: no other server knows its State.
    Fail,
    /// It is decided about anew: servers of the pool share their conversations.
    Repick,
}
