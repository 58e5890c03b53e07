//! Which network thread a connection belongs to: computed by us, never left to the kernel.
//!
//! A fixed hash of the source address and port over 256 slots. It is of the simplest operations, exclusive or and
//! multiplication in 32 bits, so that a filter in the kernel can compute the same.

use crate::path::NetworkId;
use crate::seed::Seed;
use core::net::{IpAddr, SocketAddr};
use rand_chacha::rand_core::Rng;

/// How many slots there are.
const SLOTS: u32 = 256;

/// The owners of connections.
#[derive(Debug, Clone)]
pub struct Owners(Mixing);

/// What the hash is made of. From `start` each word of the source address (that of IPv4, or the four of IPv6 from the first),
/// and then the source port, goes in so: exclusive or, times `multiplier`, exclusive or with itself 15 bits to the
/// right, in 32 bits. That modulo `slots` is the slot, and the slot modulo `networks` the network core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "said above")]
pub struct Mixing {
    pub start: u32,
    pub multiplier: u32,
    pub slots: u32,
    pub networks: u16,
}

impl Owners {
    /// Deals the slots out among `networks` network threads. Equal seeds agree.
    pub fn new(networks: u16, seed: &Seed) -> Self {
        assert!(networks > 0, "a server has a network core");
        let mut generator = seed.fork("owners of connections").generator();
        // An odd multiplier loses nothing; the high bits, which choose the slot, depend on all below.
        let (start, multiplier) = (generator.next_u32(), generator.next_u32() | 0x8000_0001);
        Owners(Mixing { start, multiplier, slots: SLOTS, networks })
    }

    /// What the hash is made of, for who has to compute the same.
    pub fn mixing(&self) -> Mixing {
        self.0
    }

    /// The slot of a source address and port.
    fn slot(&self, remote: SocketAddr) -> u32 {
        let Mixing { start, multiplier, slots, .. } = self.0;
        let mix = |hash: u32, word: u32| {
            let hash = (hash ^ word).wrapping_mul(multiplier);
            hash ^ (hash >> 15)
        };
        let address = match remote.ip() {
            IpAddr::V4(v4) => mix(start, v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                [96, 64, 32, 0].into_iter().fold(start, |hash, shift| mix(hash, (bits >> shift) as u32))
            }
        };
        mix(address, u32::from(remote.port())) % slots
    }

    /// The network thread that a connection from `remote` belongs to.
    pub fn owner(&self, remote: SocketAddr) -> NetworkId {
        let networks = self.0.networks;
        if networks == 1 {
            return NetworkId(0);
        }
        NetworkId((self.slot(remote) % u32::from(networks)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn ports_of_one_address_spread_over_all_threads() {
        let owners = Owners::new(4, &Seed::new([3; 32]));
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let mut each = [0; 4];
            for port in 20_000..22_000 {
                each[usize::from(owners.owner(SocketAddr::new(address, port)).0)] += 1;
            }
            assert!(each.iter().all(|&n| (350..650).contains(&n)), "{address}: {each:?}");
        }
    }
}
