//! The NATs between NASes and the server, chained as the plan has them, and the truth about what passes through: which NAS an
//! outside endpoint is, at the moment of asking.

use crate::fault::Injector;
use crate::fault::nat::{Incident, Nat, Refusal};
use crate::goals::{Goal, Goals};
use crate::plan::Topology;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// All NATs of a world.
pub struct Nats {
    nats: Vec<Nat>,
    /// Inside endpoints that are ports of NASes, by NAT.
    ports: BTreeMap<(usize, SocketAddr), (usize, usize)>,
    /// Inside addresses that are outside addresses of other NATs, by the NAT that they are behind, if by any.
    inner: BTreeMap<(Option<usize>, IpAddr), usize>,
    /// By NAS: when a NAT last dropped a packet of it, or ended a mapping of it for another's.
    robbed_at: Vec<Option<u64>>,
    /// Who sent last from an outside endpoint toward a listener, and when.
    last_from: BTreeMap<(SocketAddr, SocketAddr), (usize, u64)>,
    /// By NAS and authenticator: the outside endpoint that it was last sent from.
    sent_from: BTreeMap<(usize, [u8; 16]), SocketAddr>,
    /// By NAS: packets that have left through its NATs.
    sent: Vec<u64>,
}

/// How a packet fared in the NATs of its NAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The server sees it come from there.
    From(SocketAddr),
    /// This NAT has dropped it.
    Dropped(usize),
}

const SECOND: u64 = 1_000_000_000;

impl Nats {
    /// Those of a plan, without any mapping.
    pub fn new(topology: &Topology) -> Self {
        let mut ports = BTreeMap::new();
        for (place, nas) in topology.nases.iter().enumerate() {
            let Some(nat) = nas.nat else { continue };
            for (port, &number) in nas.ports.iter().enumerate() {
                ports.insert((nat, SocketAddr::new(nas.address, number)), (place, port));
            }
        }
        let mut inner = BTreeMap::new();
        for (place, nat) in topology.nats.iter().enumerate() {
            inner.extend(nat.outside.iter().map(|address| ((nat.behind, *address), place)));
        }
        Nats {
            nats: (0..topology.nats.len()).map(Nat::new).collect(),
            ports,
            inner,
            robbed_at: vec![None; topology.nases.len()],
            last_from: BTreeMap::new(),
            sent_from: BTreeMap::new(),
            sent: vec![0; topology.nases.len()],
        }
    }

    /// The NAT with this outside address, of those that the server sees.
    pub fn at(&self, address: IpAddr) -> Option<usize> {
        self.inner.get(&(None, address)).copied()
    }

    /// A NAS sends a packet from a port of it.
    #[expect(clippy::too_many_arguments, reason = "a packet on its way is all of these")]
    pub fn outbound(
        &mut self,
        topology: &Topology,
        (nas, port): (usize, usize),
        to: SocketAddr,
        octets: &[u8],
        now: u64,
        faults: &mut Injector,
        goals: &mut Goals,
    ) -> Left {
        let plan = &topology.nases[nas];
        let mut from = SocketAddr::new(plan.address, plan.ports[port]);
        for nat in topology.nats_before(nas) {
            let outside = self.nats[nat].outbound(&topology.nats[nat], from, to, now, faults);
            self.note_incidents(topology, nat, now, goals);
            match outside {
                Some(outside) => from = outside,
                None => {
                    self.robbed_at[nas] = Some(now);
                    return Left::Dropped(nat);
                }
            }
        }
        let before = self.last_from.insert((from, to), (nas, now));
        if before.is_some_and(|(other, at)| other != nas && now - at <= SECOND) {
            goals.reach(Goal::PortReusedSoon);
        }
        if let Some(authenticator) = octets.get(4..20).and_then(|octets| octets.try_into().ok()) {
            let before = self.sent_from.insert((nas, authenticator), from);
            if before.is_some_and(|before| before != from) {
                goals.reach(Goal::RetransmissionFromNewPort);
            }
        }
        Left::From(from)
    }

    /// A packet comes to an outside endpoint of a NAT that the server sees: to which port of which NAS it goes.
    ///
    /// # Errors
    /// The NAT that refuses it, and why.
    pub fn inbound(
        &mut self,
        topology: &Topology,
        outside: SocketAddr,
        from: SocketAddr,
        now: u64,
        goals: &mut Goals,
    ) -> Result<(usize, usize), (usize, Refusal)> {
        let mut nat = self.at(outside.ip()).expect("it is an outside address of a NAT");
        let mut to = outside;
        loop {
            let inside = self.nats[nat].inbound(&topology.nats[nat], to, from, now);
            self.note_incidents(topology, nat, now, goals);
            to = inside.map_err(|refusal| (nat, refusal))?;
            if let Some(port) = self.ports.get(&(nat, to)) {
                return Ok(*port);
            }
            nat = self.inner[&(Some(nat), to.ip())];
        }
    }

    /// Counts a packet that has left: its ordinal.
    pub fn next_sent(&mut self, nas: usize) -> u64 {
        self.sent[nas] += 1;
        self.sent[nas] - 1
    }

    /// Whether a NAT has dropped a packet of this NAS, or ended a mapping of it, since then.
    pub fn have_robbed(&self, nas: usize, since: u64) -> bool {
        self.robbed_at[nas].is_some_and(|at| at >= since)
    }

    /// How many mappings a NAT has.
    pub fn mappings(&self, nat: usize) -> usize {
        self.nats[nat].mappings()
    }

    fn note_incidents(&mut self, topology: &Topology, nat: usize, now: u64, goals: &mut Goals) {
        for incident in self.nats[nat].take_incidents() {
            match incident {
                Incident::LostAll => goals.reach(Goal::MappingsLost),
                Incident::Expired => goals.reach(Goal::MappingExpired),
                Incident::Full => goals.reach(Goal::PoolExhausted),
                Incident::Evicted(inside) => {
                    goals.reach(Goal::MappingEvicted);
                    // Behind an inner NAT: whoever is.
                    let is_it = |nas: usize| {
                        let plan = &topology.nases[nas];
                        plan.nat == Some(nat) && plan.address == inside.ip()
                    };
                    let inner = self.inner.get(&(Some(nat), inside.ip())).copied();
                    for nas in 0..topology.nases.len() {
                        let is_behind =
                            inner.is_some_and(|inner| topology.nats_before(nas).any(|nat| nat == inner));
                        if is_it(nas) || is_behind {
                            self.robbed_at[nas] = Some(now);
                        }
                    }
                }
            }
        }
    }
}
