use super::*;
use crate::attributes::Scratch;
use crate::dictionary::Dictionary;
use crate::packet::Attributes;
use crate::policy::Selector;
use crate::time::Instant;
#[derive(Debug, Default)]
pub struct Health;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alive,
    Zombie,
    Dead,
}
impl Health {
    pub fn note_sent(&self, _: Instant) {}
    pub fn note_reply(&self, _: Instant) {}
    pub fn note_no_answer(&self, _: &RemoteServer, _: Instant, _: Instant) {}
    pub fn standing(&self, _: &RemoteServer, _: Instant) -> Standing {
        Standing::Alive
    }
    pub fn claim_probe(&self, _: &RemoteServer, _: Instant) -> bool {
        false
    }
    pub fn next_probe(&self, _: &RemoteServer) -> Option<Instant> {
        None
    }
}
pub struct Balancer;
impl Balancer {
    pub fn new(_: &Pool) -> Balancer {
        Balancer
    }
}
impl Pool {
    pub fn choose(
        &self,
        _: &mut Balancer,
        standing: impl Fn(RemoteServerId) -> Standing,
        _: impl Fn(RemoteServerId) -> usize,
        _: impl FnOnce() -> u64,
    ) -> Option<RemoteServerId> {
        self.members.iter().map(|m| m.server).find(|s| standing(*s) != Standing::Dead)
    }
}
pub fn hash_key(_: &Dictionary, _: &[Selector], _: Attributes<'_>, _: &mut Scratch) -> u64 {
    0
}
