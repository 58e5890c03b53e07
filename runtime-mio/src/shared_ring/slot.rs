//! One message as octets: what lies where in a slot, and what of it is believed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::mmsg::PACKET_OCTETS_MAX;

/// What a message is. Each of the two rings carries one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Came from `remote` to `local`: from who opened the link to who created it.
    Datagram = 1,
    /// Is to go to `remote` from `local`: the other way.
    Reply = 2,
}

/// What the other process did that the format forbids. The link has ended then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerBroke {
    /// It has unpublished messages.
    TailWentBack,
    /// It has published more messages than there are slots free.
    TailTooFar,
    /// It has taken messages back that it gave.
    HeadWentBack,
    /// It has taken more messages than were published.
    HeadTooFar,
    /// A message of a kind that this ring does not carry.
    Kind(u32),
    /// A message longer than a slot.
    Length(u32),
    /// An address that is neither of IPv4 nor of IPv6.
    Family(u16),
}

impl fmt::Display for PeerBroke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerBroke::TailWentBack => f.write_str("its tail went back"),
            PeerBroke::TailTooFar => f.write_str("its tail is further than there are slots"),
            PeerBroke::HeadWentBack => f.write_str("its head went back"),
            PeerBroke::HeadTooFar => f.write_str("its head is further than there are messages"),
            PeerBroke::Kind(kind) => write!(f, "a message of kind {kind}"),
            PeerBroke::Length(length) => write!(f, "a message of {length} octets"),
            PeerBroke::Family(family) => write!(f, "an address of family {family}"),
        }
    }
}

impl std::error::Error for PeerBroke {}

/// A message that was copied out of its slot and checked.
#[derive(Debug)]
pub struct Slot {
    /// The one at the other end of the wire.
    pub remote: SocketAddr,
    /// The server's own.
    pub local: SocketAddr,
    pub(super) octets: Box<[u8; PACKET_OCTETS_MAX]>,
    pub(super) length: usize,
}

impl Slot {
    /// An empty one.
    pub(super) fn new() -> Slot {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Slot { remote: nobody, local: nobody, octets: Box::new([0; PACKET_OCTETS_MAX]), length: 0 }
    }

    /// The packet, at most 4 096 octets of whatever the other process wrote.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// What stands before the octets of a message.
pub(super) struct Head {
    pub kind: Kind,
    pub length: usize,
    pub remote: SocketAddr,
    pub local: SocketAddr,
}

/// Octets of a [`Head`].
pub(super) const HEAD_OCTETS: usize = 64;
/// Octets of a slot.
pub(super) const SLOT_OCTETS: usize = HEAD_OCTETS + PACKET_OCTETS_MAX;

impl Head {
    pub fn encode(&self) -> [u8; HEAD_OCTETS] {
        let mut out = [0; HEAD_OCTETS];
        out[KIND..][..4].copy_from_slice(&(self.kind as u32).to_ne_bytes());
        out[LENGTH..][..4].copy_from_slice(&(self.length as u32).to_ne_bytes());
        REMOTE.encode(self.remote, &mut out);
        LOCAL.encode(self.local, &mut out);
        out
    }

    /// Of a ring that carries this kind.
    pub fn decode(octets: &[u8; HEAD_OCTETS], expected: Kind) -> Result<Head, PeerBroke> {
        let kind = u32_at(octets, KIND);
        if kind != expected as u32 {
            return Err(PeerBroke::Kind(kind));
        }
        let length = u32_at(octets, LENGTH);
        if length > PACKET_OCTETS_MAX as u32 {
            return Err(PeerBroke::Length(length));
        }
        let (remote, local) = (REMOTE.decode(octets)?, LOCAL.decode(octets)?);
        Ok(Head { kind: expected, length: length as usize, remote, local })
    }
}

/// Where the parts of an address are.
struct Place {
    family: usize,
    port: usize,
    address: usize,
    scope: usize,
}

impl Place {
    fn encode(&self, address: SocketAddr, out: &mut [u8; HEAD_OCTETS]) {
        let (family, scope) = match address {
            SocketAddr::V4(v4) => {
                out[self.address..][..4].copy_from_slice(&v4.ip().octets());
                (V4, 0)
            }
            SocketAddr::V6(v6) => {
                out[self.address..][..16].copy_from_slice(&v6.ip().octets());
                (V6, v6.scope_id())
            }
        };
        out[self.family..][..2].copy_from_slice(&family.to_ne_bytes());
        out[self.port..][..2].copy_from_slice(&address.port().to_ne_bytes());
        out[self.scope..][..4].copy_from_slice(&scope.to_ne_bytes());
    }

    fn decode(&self, octets: &[u8; HEAD_OCTETS]) -> Result<SocketAddr, PeerBroke> {
        let port = u16_at(octets, self.port);
        let address: [u8; 16] = octets[self.address..][..16].try_into().expect("16 of 64 octets");
        match u16_at(octets, self.family) {
            V4 => {
                let [a, b, c, d, ..] = address;
                Ok(SocketAddr::new(IpAddr::from([a, b, c, d]), port))
            }
            V6 => {
                let scope = u32_at(octets, self.scope);
                Ok(SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into())
            }
            family => Err(PeerBroke::Family(family)),
        }
    }
}

fn u32_at(octets: &[u8; HEAD_OCTETS], at: usize) -> u32 {
    u32::from_ne_bytes(octets[at..][..4].try_into().expect("4 of 64 octets"))
}

fn u16_at(octets: &[u8; HEAD_OCTETS], at: usize) -> u16 {
    u16::from_ne_bytes(octets[at..][..2].try_into().expect("2 of 64 octets"))
}

const KIND: usize = 0;
const LENGTH: usize = 4;
const REMOTE: Place = Place { family: 8, port: 10, address: 16, scope: 48 };
const LOCAL: Place = Place { family: 12, port: 14, address: 32, scope: 52 };
const V4: u16 = 4;
const V6: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
            any::<([u8; 16], u16, u32)>().prop_map(|(address, port, scope)| {
                SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into()
            })
        ]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(remote in address(), local in address(), length in 0usize..=4096) {
            let octets = Head { kind: Kind::Reply, length, remote, local }.encode();
            let head = Head::decode(&octets, Kind::Reply).expect("we made it");
            prop_assert_eq!((head.length, head.remote, head.local), (length, remote, local));
            prop_assert_eq!(Head::decode(&octets, Kind::Datagram).err(), Some(PeerBroke::Kind(2)));
        }

        #[test]
        fn of_any_octets_only_what_is_within_bounds_is_believed(
            octets in proptest::array::uniform32(any::<u16>()), kind in 0u32..4, length in 4000u32..4200,
        ) {
            let mut head = [0; HEAD_OCTETS];
            head.chunks_mut(2).zip(octets).for_each(|(out, value)| out.copy_from_slice(&(value % 8).to_ne_bytes()));
            head[..4].copy_from_slice(&kind.to_ne_bytes());
            head[4..8].copy_from_slice(&length.to_ne_bytes());
            let (remote, local) = (u16_at(&head, 8), u16_at(&head, 12));
            let family = [remote, local].into_iter().find(|family| ![4, 6].contains(family));
            let expected = match family {
                _ if kind != 1 => Some(PeerBroke::Kind(kind)),
                _ if length > 4096 => Some(PeerBroke::Length(length)),
                family => family.map(PeerBroke::Family),
            };
            prop_assert_eq!(Head::decode(&head, Kind::Datagram).err(), expected);
        }
    }

    #[test]
    fn every_part_is_where_the_format_says() {
        let head = Head {
            kind: Kind::Datagram,
            length: 0x0102,
            remote: "[2001:db8::1%7]:1812".parse().expect("an address"),
            local: "192.0.2.1:1645".parse().expect("an address"),
        };
        let mut expected = [0; HEAD_OCTETS];
        expected[0..4].copy_from_slice(&1u32.to_ne_bytes());
        expected[4..8].copy_from_slice(&0x0102u32.to_ne_bytes());
        for (at, value) in [(8, 6u16), (10, 1812), (12, 4), (14, 1645)] {
            expected[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        expected[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        expected[31] = 1;
        expected[32..36].copy_from_slice(&[192, 0, 2, 1]);
        expected[48..52].copy_from_slice(&7u32.to_ne_bytes());
        assert_eq!(head.encode(), expected);
    }
}
