//! From an address to what belongs to the longest prefix that holds it.
//!
//! One hash table for each prefix length that occurs, longest first: a look-up tries each once, hosts at the first,
//! allocates nothing and takes no lock. Networks seldom have more than a few lengths. Made once, then only read.

use super::Prefix;
use super::prefix::{mask_v4, mask_v6};
use crate::seed::Seed;
use crate::table::Table;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hash;
use core::net::IpAddr;

/// What belongs to each of some networks.
pub(super) struct Networks<V> {
    v4: Box<[Length<u32, V>]>,
    v6: Box<[Length<u128, V>]>,
}

/// All prefixes of one length.
struct Length<Bits, V> {
    mask: Bits,
    networks: Table<Bits, V>,
}

impl<V: Copy> Networks<V> {
    /// Makes the tables, their hashes keyed from `seed`.
    pub fn new(networks: impl IntoIterator<Item = (Prefix, V)>, seed: &Seed) -> Networks<V> {
        let (mut v4, mut v6) = (BTreeMap::new(), BTreeMap::new());
        for (prefix, value) in networks {
            match prefix.address() {
                IpAddr::V4(address) => {
                    v4.entry(prefix.length()).or_insert_with(Vec::new).push((address.to_bits(), value));
                }
                IpAddr::V6(address) => {
                    v6.entry(prefix.length()).or_insert_with(Vec::new).push((address.to_bits(), value));
                }
            }
        }
        Networks {
            v4: lengths(v4, mask_v4, &seed.fork("networks v4")),
            v6: lengths(v6, mask_v6, &seed.fork("networks v6")),
        }
    }

    /// What belongs to the longest network that holds `address`, and that network's length. An IPv4-mapped IPv6 address is
    /// looked up as IPv4.
    #[inline]
    pub fn look_up(&self, address: IpAddr) -> Option<(V, u8)> {
        // No network has more than 128 bits.
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let found = |length: &Length<u32, V>| {
                    Some((*length.networks.get(&(bits & length.mask))?, length.mask.count_ones() as u8))
                };
                self.v4.iter().find_map(found)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let found = |length: &Length<u128, V>| {
                    Some((*length.networks.get(&(bits & length.mask))?, length.mask.count_ones() as u8))
                };
                self.v6.iter().find_map(found)
            }
        }
    }
}

/// Longest first.
fn lengths<Bits: Hash + Eq, V>(
    networks: BTreeMap<u8, Vec<(Bits, V)>>,
    mask: fn(u8) -> Bits,
    seed: &Seed,
) -> Box<[Length<Bits, V>]> {
    let length = |(length, entries): (u8, Vec<(Bits, V)>)| {
        let mut networks = Table::new(entries.len(), seed);
        for (address, value) in entries {
            assert!(networks.insert(address, value).is_ok(), "the table was made for all of them");
        }
        Length { mask: mask(length), networks }
    };
    networks.into_iter().rev().map(length).collect()
}
