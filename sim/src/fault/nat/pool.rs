//! The ports of one outside address of a NAT (toward one destination, where it overloads ports): which are free, since when,
//! and who may have them.

use crate::draw::Draw;
use crate::plan::nat::{NatPlan, PortOrder};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// What a new mapping asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// For whom.
    pub inside: SocketAddr,
    /// Not this one.
    pub not: Option<u16>,
    /// By what a NAT draws that draws ports.
    pub draw: Draw,
}

/// The ports.
#[derive(Debug)]
pub struct Pool {
    /// Those that no mapping has: from when on they may be given out. In the order in which they were freed.
    free: VecDeque<(u64, u16)>,
    /// Who has a chunk, and how many of its ports.
    chunks: BTreeMap<u16, (IpAddr, u32)>,
}

impl Pool {
    /// All of them free.
    pub fn new(plan: &NatPlan) -> Self {
        let ports = (0..plan.ports).map(|port| (0, plan.first_port + port));
        Pool { free: ports.collect(), chunks: BTreeMap::new() }
    }

    /// Takes the port that this NAT would give out now; `None` where there is none.
    pub fn take(&mut self, plan: &NatPlan, wanted: &Wanted, now: u64) -> Option<u16> {
        let host = wanted.inside.ip();
        let may_have = |place: &usize, own: bool| {
            let (from, port) = self.free[*place];
            let owner = self.chunks.get(&chunk_of(plan, port)).map(|(owner, _)| *owner);
            let fits = plan.chunk == 0 || if own { owner == Some(host) } else { owner.is_none() };
            fits && from <= now && Some(port) != wanted.not
        };
        let places = |own: bool| (0..self.free.len()).filter(move |place| may_have(place, own));
        let preserved = |own: bool| {
            let is_it = |place: &usize| self.free[*place].1 == wanted.inside.port();
            places(own).find(is_it).filter(|_| plan.preserves_ports)
        };
        let next = |own: bool| match plan.order {
            PortOrder::Lifo => places(own).next_back(),
            PortOrder::Fifo => places(own).next(),
            PortOrder::Drawn => places(own).nth(wanted.draw.below(places(own).count() as u64) as usize),
        };
        let place = preserved(true).or_else(|| preserved(false)).or_else(|| next(true));
        // Where there are no chunks, all ports are everybody's own.
        let place = place.or_else(|| if plan.chunk > 0 { next(false) } else { None })?;
        let (_, port) = self.free.remove(place)?;
        self.count(plan, port, host);
        Some(port)
    }

    /// A mapping of this host has the port, which was not given back.
    pub fn count(&mut self, plan: &NatPlan, port: u16, host: IpAddr) {
        if plan.chunk > 0 {
            self.chunks.entry(chunk_of(plan, port)).or_insert((host, 0)).1 += 1;
        }
    }

    /// The mapping that had this port has ended, and the port is not free yet.
    pub fn discount(&mut self, plan: &NatPlan, port: u16) {
        let chunk = chunk_of(plan, port);
        if let Some((_, count)) = self.chunks.get_mut(&chunk) {
            *count -= 1;
            if *count == 0 {
                self.chunks.remove(&chunk);
            }
        }
    }

    /// A port that no mapping has may be given out from then on.
    pub fn give_back(&mut self, port: u16, from: u64) {
        self.free.push_back((from, port));
    }
}

/// The chunk that a port is in.
fn chunk_of(plan: &NatPlan, port: u16) -> u16 {
    (port - plan.first_port).checked_div(plan.chunk).unwrap_or(0)
}
