//! What lies between the NASes' ports and the server's sockets: the links, made when first used, and who has which port.

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

/// All links of a world.
pub struct Net {
    links: BTreeMap<u64, Link>,
    ports: BTreeMap<SocketAddr, (usize, usize)>,
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
            for (port, &number) in nas.ports.iter().enumerate() {
                ports.insert(SocketAddr::new(nas.address, number), (place, port));
            }
        }
        Net { links: BTreeMap::new(), ports }
    }

    /// The way to an address, if it is a port of a NAS.
    pub fn way_to(&self, remote: SocketAddr, listener: ListenerId) -> Option<Way> {
        self.ports.get(&remote).map(|&(nas, port)| Way { nas, port, listener, up: false })
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
