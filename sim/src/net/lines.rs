//! Addresses of NASes that a client rule by address is for: whose each is at the moment, as lines get others.

use crate::fault::{FaultClass, Injector};
use crate::goals::{Goal, Goals};
use crate::plan::Topology;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who has which address.
pub struct Lines {
    /// By NAS: with whom it is in one rule.
    groups: Vec<Option<usize>>,
    /// By NAS: its address now.
    addresses: Vec<IpAddr>,
    /// By address: that which its NAS had at first.
    first: BTreeMap<IpAddr, IpAddr>,
    /// By NAS: packets that it has sent.
    sent: Vec<u64>,
    /// By address: who sent from there last.
    last_from: BTreeMap<IpAddr, usize>,
}

impl Lines {
    /// All have the addresses of their plans.
    pub fn new(topology: &Topology) -> Lines {
        let group = |nas: &crate::plan::NasPlan| {
            let mut rules = topology.client_rules.iter();
            rules.position(|rule| nas.nat.is_none() && rule.by_address && rule.contains(nas.address))
        };
        Lines {
            groups: topology.nases.iter().map(group).collect(),
            addresses: topology.nases.iter().map(|nas| nas.address).collect(),
            first: BTreeMap::new(),
            sent: vec![0; topology.nases.len()],
            last_from: BTreeMap::new(),
        }
    }

    /// The address that the one of now had at first whose this is.
    pub fn first_of(&self, address: IpAddr) -> IpAddr {
        self.first.get(&address).copied().unwrap_or(address)
    }

    /// A NAS sends a packet: from this address. It, and another of its rule, may just have been given each other's.
    pub fn leave(&mut self, nas: usize, now: u64, faults: &mut Injector, goals: &mut Goals) -> IpAddr {
        let Some(group) = self.groups[nas] else { return self.addresses[nas] };
        let ordinal = self.sent[nas];
        self.sent[nas] += 1;
        let which = |draw: crate::draw::Draw| [draw.bits(), 0];
        if let Some([which, _]) =
            faults.strike(FaultClass::AddressGivenToAnother, nas as u64, ordinal, now, which)
        {
            let others = |other: &usize| self.groups[*other] == Some(group) && *other != nas;
            let others: Vec<usize> = (0..self.groups.len()).filter(others).collect();
            if !others.is_empty() {
                let other = others[(which % others.len() as u64) as usize];
                let (one, two) = (self.addresses[nas], self.addresses[other]);
                let (first, second) = (self.first_of(one), self.first_of(two));
                self.addresses.swap(nas, other);
                self.first.insert(one, second);
                self.first.insert(two, first);
            }
        }
        let address = self.addresses[nas];
        if self.last_from.insert(address, nas).is_some_and(|before| before != nas) {
            goals.reach(Goal::AddressOfAnother);
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;
    use crate::fault::Fault;
    use crate::plan::Plan;
    use crate::swarm::Profile;

    #[test]
    fn two_swap_their_addresses_and_each_is_found_at_the_others() {
        let has_lines = |topology: &Topology| topology.client_rules.iter().any(|rule| rule.by_address);
        let topology = (0..).map(|seed| Plan::drawn(seed, Profile::Nat).topology).find(has_lines);
        let topology = topology.expect("some has them");
        let mut lines = Lines::new(&topology);
        let mine: Vec<usize> = (0..topology.nases.len()).filter(|nas| lines.groups[*nas].is_some()).collect();
        let class = FaultClass::AddressGivenToAnother;
        let swap = |ordinal| Fault { at: 0, class, entity: mine[0] as u64, ordinal, parameters: [0, 0] };
        let mut faults = Injector::recorded(Draws::new(1), &[swap(1), swap(3)]);
        let mut goals = Goals::default();
        let address = |place: usize| topology.nases[mine[place]].address;
        let leaves = |lines: &mut Lines, faults: &mut Injector, goals: &mut Goals, place: usize| {
            lines.leave(mine[place], 1, faults, goals)
        };
        assert_eq!(leaves(&mut lines, &mut faults, &mut goals, 0), address(0));
        assert_eq!(leaves(&mut lines, &mut faults, &mut goals, 0), address(1));
        assert_eq!(leaves(&mut lines, &mut faults, &mut goals, 1), address(0));
        assert_eq!((lines.first_of(address(0)), lines.first_of(address(1))), (address(1), address(0)));
        assert_eq!(goals.count(Goal::AddressOfAnother), 1);
        assert_eq!(leaves(&mut lines, &mut faults, &mut goals, 0), address(1));
        // And back.
        assert_eq!(leaves(&mut lines, &mut faults, &mut goals, 0), address(0));
        assert_eq!((lines.first_of(address(0)), lines.first_of(address(1))), (address(0), address(1)));
    }
}
