//! What lies between the NASes' ports and the server's sockets: the links, made when first used, who has which port, and the
//! NATs between some of them and their links.
//!
//! Towards the server a link is a NAS's own, also behind a NAT; on the way back it ends at the NAT's outside endpoint, and who
//! that is turns out when the datagram arrives there.

mod lines;
mod nats;

pub use self::lines::Lines;
pub use self::nats::{Left, Nats};
use crate::fault::link::{Carried, Link};
use crate::fault::{FaultClass, Injector};
use crate::plan::{Plan, Topology};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use ulna_core::ListenerId;

/// One direction between a port of a NAS and a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The NAS, by its place in the plan.
    pub nas: usize,
    /// The port, by its place in the NAS's plan.
    pub port: usize,
    /// The other end.
    pub listener: ListenerId,
    /// Towards the server.
    pub up: bool,
}

/// Links that end at a NAT have entities of their own.
const TO_NAT: u64 = 1 << 63;

/// All links of a world.
pub struct Net {
    links: BTreeMap<u64, Link>,
    ports: BTreeMap<SocketAddr, (usize, usize)>,
    /// The addresses of NASes of rules by address.
    pub lines: Lines,
    /// The NATs.
    pub nats: Nats,
}

impl Way {
    /// Its name in draws and in the fault log.
    pub fn entity(self) -> u64 {
        (self.nas as u64) << 40
            | (self.port as u64) << 24
            | u64::from(self.listener.0) << 8
            | u64::from(self.up)
    }
}

impl Net {
    /// No link yet; the ports that the plan's NASes have.
    pub fn new(topology: &Topology) -> Self {
        let mut ports = BTreeMap::new();
        for (place, nas) in topology.nases.iter().enumerate() {
            // Behind a NAT it is not to be reached by its address.
            for (port, &number) in nas.ports.iter().enumerate().filter(|_| nas.nat.is_none()) {
                ports.insert(SocketAddr::new(nas.address, number), (place, port));
            }
        }
        Net { links: BTreeMap::new(), ports, lines: Lines::new(topology), nats: Nats::new(topology) }
    }

    /// The way to an address, if it is a port of a NAS.
    pub fn way_to(&self, remote: SocketAddr, listener: ListenerId) -> Option<Way> {
        let own = SocketAddr::new(self.lines.first_of(remote.ip()), remote.port());
        self.ports.get(&own).map(|&(nas, port)| Way { nas, port, listener, up: false })
    }

    /// Appends to `out` what arrives of a datagram.
    pub fn carry(
        &mut self,
        way: Way,
        octets: &[u8],
        plan: &Plan,
        now: u64,
        faults: &mut Injector,
        out: &mut Vec<Carried>,
    ) {
        let entity = way.entity();
        let latency = plan.topology.nases[way.nas].latency_us * 1_000;
        let link = self.links.entry(entity).or_insert_with(|| Link::new(entity, latency));
        link.carry(octets, way.up, now, faults, out);
    }

    /// Appends to `out` what arrives at the outside endpoint of a NAT of a datagram from a listener.
    #[expect(clippy::too_many_arguments, reason = "a datagram on its way is all of these")]
    pub fn carry_to_nat(
        &mut self,
        nat: usize,
        outside: SocketAddr,
        listener: ListenerId,
        octets: &[u8],
        plan: &Plan,
        now: u64,
        faults: &mut Injector,
        out: &mut Vec<Carried>,
    ) {
        let nat_plan = &plan.topology.nats[nat];
        let address = nat_plan.outside.iter().position(|address| *address == outside.ip());
        let address = address.expect("it is one of its addresses") as u64;
        let entity = TO_NAT
            | (nat as u64) << 40
            | address << 32
            | u64::from(outside.port()) << 16
            | u64::from(listener.0);
        let latency = nat_plan.latency_us * 1_000;
        let link = self.links.entry(entity).or_insert_with(|| Link::new(entity, latency));
        link.carry(octets, false, now, faults, out);
    }

    /// Which of `networks` network threads' sockets the kernel hands a datagram of this flow to, when the steering
    /// program says `steered`.
    pub fn deliver(
        &mut self,
        way: Way,
        steered: usize,
        networks: usize,
        now: u64,
        faults: &mut Injector,
    ) -> usize {
        let ordinal = self.links.get_mut(&way.entity()).map_or(0, Link::next_arrival);
        let aside = |draw: crate::draw::Draw| [draw.range(1..=networks as u64 - 1), 0];
        if networks > 1
            && let Some([aside, _]) =
                faults.strike(FaultClass::Misdelivery, way.entity(), ordinal, now, aside)
        {
            return ((steered as u64 + aside) % networks as u64) as usize;
        }
        steered
    }
}
