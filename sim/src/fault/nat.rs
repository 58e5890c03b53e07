//! NATs between NASes and the server, after RFC 4787 (BCP 127): what a server sees of the NASes behind them.
//!
//! | RFC 4787 | here |
//! |---|---|
//! | §4.1 mapping | endpoint-independent, address-dependent, address-and-port-dependent ([`Dependence`]) |
//! | §4.1 REQ-2 pooling | one address, paired, arbitrary ([`Pooling`]) |
//! | §4.2.1 ports | preserved or not, overloaded or not; a pool as small as one port, given out last-freed-first, longest-free-first or drawn, after a time of rest or at once; in chunks by inside host as carriers do |
//! | §4.2.1 no port free | the new flow is dropped, or the mapping refreshed longest ago ends for it |
//! | §4.3 refresh | by what goes out, and by what comes in if the plan says so; time-outs of 30 to 300 s, also below REQ-5's two minutes |
//! | §5 filtering | endpoint-independent, address-dependent, address-and-port-dependent; ends with the mapping |
//! | §8 determinism | broken on purpose, by the faults below |
//!
//! Port parity (§4.2.2), hairpinning (§6), ALGs (§7), ICMP (§9) and fragments (§10, §11) are not modelled: no NAS speaks to
//! another, and a lost datagram is the link's. A NAT may stand behind another; nothing of either knows of that.
//!
//! Faults, each at the NAT's own count of packets that leave through it: [`FaultClass::NatReboot`] (all mappings lost, all
//! ports free at once), [`FaultClass::NatAddressChange`] (all lost, and other outside addresses), [`FaultClass::NatRebinding`]
//! (this packet's mapping gets another port), [`FaultClass::PortGivenToAnother`] (another host's mapping ends, and its port
//! becomes this flow's, at once or at the first packet after up to 120 s), [`FaultClass::NatPoolExhausted`] (no port is free for
//! a time: strangers have them).
//!
//! And one from outside the NAT but from its address, as of a raw socket on the box: [`FaultClass::NatForgery`], at a NAS's own
//! count of packets ([`forgery`]).
//!
//! Whose packet it is and where it goes at last is not known here, but in [`crate::net`].

mod pool;

use self::pool::{Pool, Wanted};
use super::link::forge;
use super::{FaultClass, Injector};
use crate::draw::{Class, Draw};
use crate::plan::nat::{Dependence, NatPlan, Pooling, WhenFull};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What happened in a NAT besides that a packet was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// All mappings were lost.
    LostAll,
    /// A mapping ended at its time-out.
    Expired,
    /// No port was free for a new flow.
    Full,
    /// The mapping of this inside endpoint ended for another's.
    Evicted(SocketAddr),
}

/// Why a packet from outside does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Refusal {
    /// No mapping has that port.
    NoMapping = 0,
    /// The filter does not let it in.
    Filtered = 1,
}

/// One NAT.
#[derive(Debug)]
pub struct Nat {
    place: usize,
    ordinal: u64,
    made: u64,
    /// By how many places its addresses have moved on.
    shift: usize,
    exhausted_until: u64,
    mappings: BTreeMap<u64, Mapping>,
    by_inside: BTreeMap<Flow, u64>,
    by_outside: BTreeMap<Flow, u64>,
    by_age: BTreeSet<(u64, u64)>,
    pools: BTreeMap<(IpAddr, Option<SocketAddr>), Pool>,
    /// Ports that a flow gets with its first packet from then on, and whom else they were taken from.
    promises: BTreeMap<Flow, (u64, SocketAddr)>,
    incidents: Vec<Incident>,
}

/// An endpoint, and which other ends are meant: all where there is none, an address alone where the port is 0.
type Flow = (SocketAddr, Option<SocketAddr>);

#[derive(Debug)]
struct Mapping {
    flow: Flow,
    outside: SocketAddr,
    refreshed: u64,
    /// Whom its inside endpoint has sent to.
    permitted: Vec<SocketAddr>,
}

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl Nat {
    /// The NAT at this place of the plan, without a mapping.
    pub fn new(place: usize) -> Self {
        Nat {
            place,
            ordinal: 0,
            made: 0,
            shift: 0,
            exhausted_until: 0,
            mappings: BTreeMap::new(),
            by_inside: BTreeMap::new(),
            by_outside: BTreeMap::new(),
            by_age: BTreeSet::new(),
            pools: BTreeMap::new(),
            promises: BTreeMap::new(),
            incidents: Vec::new(),
        }
    }

    /// A packet goes out: under which outside endpoint. `None`: it does not.
    pub fn outbound(
        &mut self,
        plan: &NatPlan,
        inside: SocketAddr,
        to: SocketAddr,
        now: u64,
        faults: &mut Injector,
    ) -> Option<SocketAddr> {
        self.expire(plan, now);
        let flow = (inside, other_end(plan.mapping, to));
        self.strike(plan, flow, now, faults);
        let number = match self.by_inside.get(&flow) {
            Some(&number) => number,
            None => {
                let draw = faults.draws().at(Class::NatPort, self.place as u64, self.made);
                let outside = self.free_endpoint(plan, flow, None, now, draw)?;
                self.map(plan, flow, outside, now)
            }
        };
        self.refresh(number, now);
        let mapping = self.mappings.get_mut(&number).expect("it was just found or made");
        if !mapping.permitted.contains(&to) {
            mapping.permitted.push(to);
        }
        Some(mapping.outside)
    }

    /// A packet comes from outside: whose it is.
    ///
    /// # Errors
    /// Why it does not come in.
    pub fn inbound(
        &mut self,
        plan: &NatPlan,
        outside: SocketAddr,
        from: SocketAddr,
        now: u64,
    ) -> Result<SocketAddr, Refusal> {
        self.expire(plan, now);
        let number = self.by_outside.get(&(outside, shared_by(plan, other_end(plan.mapping, from))));
        let &number = number.ok_or(Refusal::NoMapping)?;
        let mapping = &self.mappings[&number];
        let inside = mapping.flow.0;
        let is_permitted = match plan.filtering {
            Dependence::None => true,
            Dependence::Address => mapping.permitted.iter().any(|other| other.ip() == from.ip()),
            Dependence::AddressAndPort => mapping.permitted.contains(&from),
        };
        if !is_permitted {
            return Err(Refusal::Filtered);
        }
        if plan.inbound_refreshes {
            self.refresh(number, now);
        }
        Ok(inside)
    }

    /// What happened since this was asked last.
    pub fn take_incidents(&mut self) -> impl Iterator<Item = Incident> + use<> {
        std::mem::take(&mut self.incidents).into_iter()
    }

    /// How many mappings there are.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// The faults that strike at this packet, before it is passed on.
    fn strike(&mut self, plan: &NatPlan, flow: Flow, now: u64, faults: &mut Injector) {
        let (entity, ordinal) = (self.place as u64, self.ordinal);
        self.ordinal += 1;
        if faults.strike(FaultClass::NatReboot, entity, ordinal, now, |_| [0, 0]).is_some() {
            self.lose_all();
        }
        let others = plan.outside.len() as u64 - 1;
        let change = |draw: Draw| [draw.range(1..=others), 0];
        if others > 0
            && let Some([shift, _]) =
                faults.strike(FaultClass::NatAddressChange, entity, ordinal, now, change)
        {
            self.shift += shift as usize;
            self.lose_all();
        }
        let span = |draw: Draw| [draw.magnitude(MILLISECOND..=10 * SECOND), 0];
        if let Some([span, _]) = faults.strike(FaultClass::NatPoolExhausted, entity, ordinal, now, span) {
            self.exhausted_until = now + span;
        }
        let given = |intensity, draw: Draw| {
            let others = if draw.per_myriad(intensity) { self.others(plan, flow).count() as u64 } else { 0 };
            let draw = draw.fork(0);
            let at_once = draw.fork(2).one_in(3);
            let late = if at_once { 0 } else { draw.fork(3).magnitude(MILLISECOND..=120 * SECOND) };
            (others > 0).then(|| [draw.fork(1).below(others), late])
        };
        if let Some([which, late]) =
            faults.decide(FaultClass::PortGivenToAnother, entity, ordinal, now, given)
        {
            // Where a log was edited it may be nobody.
            let other = self.others(plan, flow).nth(which as usize);
            if let Some(number) = other {
                let outside = self.end(plan, number);
                if let Some((_, unused)) = self.promises.insert(flow, (now + late, outside)) {
                    self.free(plan, flow.1, unused, now);
                }
            }
        }
        self.keep_promise(plan, flow, now);
        if let Some(&number) = self.by_inside.get(&flow)
            && faults.strike(FaultClass::NatRebinding, entity, ordinal, now, |_| [0, 0]).is_some()
        {
            let old = self.mappings[&number].outside;
            let draw = faults.draws().at(Class::NatPort, entity, self.made);
            if let Some(outside) = self.free_endpoint(plan, flow, Some(old.port()), now, draw) {
                self.end(plan, number);
                self.free(plan, flow.1, old, now);
                self.map(plan, flow, outside, now);
            }
        }
    }

    /// Mappings of other hosts whose ports could be this flow's: under the same destination where ports are shared.
    fn others(&self, plan: &NatPlan, flow: Flow) -> impl Iterator<Item = u64> {
        let overloads = plan.overloads_ports;
        let is_other = move |other: &Flow| other.0.ip() != flow.0.ip() && (!overloads || other.1 == flow.1);
        self.by_inside.iter().filter(move |(other, _)| is_other(other)).map(|(_, number)| *number)
    }

    /// This flow has a port from now on that was promised to it.
    fn keep_promise(&mut self, plan: &NatPlan, flow: Flow, now: u64) {
        let due = self.promises.get(&flow).is_some_and(|(at, _)| *at <= now);
        if !due {
            return;
        }
        let (_, outside) = self.promises.remove(&flow).expect("it was just seen");
        if let Some(&number) = self.by_inside.get(&flow) {
            let old = self.end(plan, number);
            self.free(plan, flow.1, old, now);
        }
        self.pool(plan, outside.ip(), flow.1).count(plan, outside.port(), flow.0.ip());
        self.map(plan, flow, outside, now);
    }

    /// An outside endpoint for a mapping of this flow, taken from whoever has it if need be.
    fn free_endpoint(
        &mut self,
        plan: &NatPlan,
        flow: Flow,
        not: Option<u16>,
        now: u64,
        draw: Draw,
    ) -> Option<SocketAddr> {
        let (inside, toward) = flow;
        let address = self.address(plan, inside.ip(), draw);
        let wanted = Wanted { inside, not, draw: draw.fork(1) };
        if now >= self.exhausted_until
            && let Some(port) = self.pool(plan, address, toward).take(plan, &wanted, now)
        {
            return Some(SocketAddr::new(address, port));
        }
        if not.is_some() {
            // A mapping that there is keeps its port.
            return None;
        }
        self.incidents.push(Incident::Full);
        match plan.when_full {
            WhenFull::Drop => None,
            WhenFull::Evict => {
                let may_go = |mapping: &Mapping| {
                    mapping.outside.ip() == address
                        && shared_by(plan, mapping.flow.1) == shared_by(plan, toward)
                        && (plan.chunk == 0 || mapping.flow.0.ip() == inside.ip())
                };
                let mut by_age = self.by_age.iter().map(|(_, number)| *number);
                let oldest = by_age.find(|number| may_go(&self.mappings[number]))?;
                self.incidents.push(Incident::Evicted(self.mappings[&oldest].flow.0));
                let outside = self.end(plan, oldest);
                self.pool(plan, address, toward).count(plan, outside.port(), inside.ip());
                Some(outside)
            }
        }
    }

    /// The address that a new mapping of this host has.
    fn address(&self, plan: &NatPlan, host: IpAddr, draw: Draw) -> IpAddr {
        let place = match (plan.pooling, host) {
            (Pooling::Single, _) => 0,
            (Pooling::Paired, IpAddr::V4(host)) => host.to_bits() as usize,
            (Pooling::Paired, IpAddr::V6(host)) => host.to_bits() as usize,
            (Pooling::Arbitrary, _) => draw.below(plan.outside.len() as u64) as usize,
        };
        plan.outside[(place + self.shift) % plan.outside.len()]
    }

    fn pool(&mut self, plan: &NatPlan, address: IpAddr, toward: Option<SocketAddr>) -> &mut Pool {
        self.pools.entry((address, shared_by(plan, toward))).or_insert_with(|| Pool::new(plan))
    }

    /// Makes a mapping over an outside endpoint that was taken for it.
    fn map(&mut self, plan: &NatPlan, flow: Flow, outside: SocketAddr, now: u64) -> u64 {
        let number = self.made;
        self.made += 1;
        self.mappings.insert(number, Mapping { flow, outside, refreshed: now, permitted: Vec::new() });
        let before = self.by_inside.insert(flow, number);
        assert_eq!(before, None, "a flow has one mapping");
        let before = self.by_outside.insert((outside, shared_by(plan, flow.1)), number);
        assert_eq!(before, None, "an outside endpoint is one mapping's");
        self.by_age.insert((now, number));
        number
    }

    /// Ends a mapping; its outside endpoint is nobody's then.
    fn end(&mut self, plan: &NatPlan, number: u64) -> SocketAddr {
        let mapping = self.mappings.remove(&number).expect("it was just found");
        let Mapping { flow, outside, refreshed, .. } = mapping;
        self.by_inside.remove(&flow);
        self.by_outside.remove(&(outside, shared_by(plan, flow.1)));
        self.by_age.remove(&(refreshed, number));
        self.pool(plan, outside.ip(), flow.1).discount(plan, outside.port());
        outside
    }

    /// Nobody's endpoint may be given out again after its rest.
    fn free(&mut self, plan: &NatPlan, toward: Option<SocketAddr>, outside: SocketAddr, now: u64) {
        let from = now + plan.reuse_after_ms * MILLISECOND;
        self.pool(plan, outside.ip(), toward).give_back(outside.port(), from);
    }

    fn refresh(&mut self, number: u64, now: u64) {
        let mapping = self.mappings.get_mut(&number).expect("it was just found");
        self.by_age.remove(&(mapping.refreshed, number));
        mapping.refreshed = now;
        self.by_age.insert((now, number));
    }

    fn expire(&mut self, plan: &NatPlan, now: u64) {
        let timeout = plan.timeout_s * SECOND;
        while let Some(&(refreshed, number)) = self.by_age.first()
            && refreshed + timeout <= now
        {
            let toward = self.mappings[&number].flow.1;
            let outside = self.end(plan, number);
            self.free(plan, toward, outside, refreshed + timeout);
            self.incidents.push(Incident::Expired);
        }
    }

    fn lose_all(&mut self) {
        self.mappings.clear();
        self.by_inside.clear();
        self.by_outside.clear();
        self.by_age.clear();
        self.pools.clear();
        self.promises.clear();
        self.incidents.push(Incident::LostAll);
    }
}

/// What somebody makes of a packet that he has seen leave through a NAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged {
    /// When it comes to the server's host after that, nanoseconds.
    pub delay: u64,
    /// From which port of the NAT's address.
    pub port: u16,
    /// Whether it is as it was.
    pub is_recorded: bool,
    /// It.
    pub octets: Vec<u8>,
}

/// What becomes of the packet number `ordinal` of this NAS, that leaves through its NATs from this port, the outermost of which has
/// the ports of `plan`: nothing else, mostly.
pub fn forgery(
    plan: &NatPlan,
    nas: usize,
    ordinal: u64,
    (octets, port): (&[u8], u16),
    now: u64,
    faults: &mut Injector,
) -> Option<Forged> {
    let drawn = |draw: Draw| {
        // Of five kinds, three of which are forged; from the same port, or another, which may be a sibling's.
        let other = draw.fork(2).below(u64::from(plan.ports)) + 1;
        let other = if draw.fork(3).one_in(2) { other } else { 0 };
        [draw.fork(1).below(5) | other << 8, draw.fork(4).magnitude(MILLISECOND..=30 * SECOND)]
    };
    let entity = nas as u64;
    let [which, delay] = faults.strike(FaultClass::NatForgery, entity, ordinal, now, drawn)?;
    let (kind, other) = (which & 0xff, (which >> 8) as u16);
    let port = if other == 0 { port } else { plan.first_port.saturating_add(other - 1) };
    let is_recorded = kind > 2;
    let fresh = faults.draws().at(Class::FaultDetail, 1 << 62 | entity, ordinal).octets();
    let octets = if is_recorded { octets.to_vec() } else { forge(octets, kind, fresh)? };
    Some(Forged { delay, port, is_recorded, octets })
}

/// The other end as far as it counts.
fn other_end(dependence: Dependence, other: SocketAddr) -> Option<SocketAddr> {
    match dependence {
        Dependence::None => None,
        Dependence::Address => Some(SocketAddr::new(other.ip(), 0)),
        Dependence::AddressAndPort => Some(other),
    }
}

/// Where ports are overloaded, by destination: the other end for which a mapping has its port alone.
fn shared_by(plan: &NatPlan, toward: Option<SocketAddr>) -> Option<SocketAddr> {
    toward.filter(|_| plan.overloads_ports)
}

#[cfg(test)]
mod tests;
