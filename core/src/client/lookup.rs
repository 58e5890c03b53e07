//! From a source address to a client of the configuration, by the longest prefix.

use super::networks::Networks;
use super::{Client, ClientId, Marks, Prefix};
use crate::packet::SecretIndex;
use crate::seed::Seed;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};

/// The clients of a configuration. Made once, then only read.
pub struct Clients {
    clients: Box<[Client]>,
    /// By client.
    marks: Box<[Marks]>,
    /// Whose old secret has been used since the configuration is in force.
    old_secrets_used: Box<[AtomicBool]>,
    networks: Networks<ClientId>,
}

/// Collects clients and their networks for [`Clients`].
#[derive(Default)]
pub struct ClientsBuilder {
    clients: Vec<Client>,
    /// Ordered, because it is walked; by address, then length.
    networks: BTreeMap<Prefix, ClientId>,
}

/// Two clients, or one twice, claim the same network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicatePrefix {
    /// The network.
    pub prefix: Prefix,
    /// Whose it already was.
    pub owner: ClientId,
}

impl fmt::Display for DuplicatePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network {} already belongs to client number {}", self.prefix, self.owner.0)
    }
}

impl core::error::Error for DuplicatePrefix {}

impl ClientsBuilder {
    /// Takes a client and gives it the next number.
    ///
    /// # Panics
    /// At more than 2³² clients.
    pub fn add(&mut self, client: Client) -> ClientId {
        let place = u32::try_from(self.clients.len()).expect("fewer clients than addresses");
        self.clients.push(client);
        ClientId(place)
    }

    /// Says that `client` speaks from `prefix`.
    ///
    /// # Errors
    /// When that very network has been given away already, with its owner.
    pub fn network(&mut self, prefix: Prefix, client: ClientId) -> Result<(), DuplicatePrefix> {
        match self.networks.insert(prefix, client) {
            None => Ok(()),
            Some(owner) => {
                self.networks.insert(prefix, owner);
                Err(DuplicatePrefix { prefix, owner })
            }
        }
    }

    /// A client added before.
    pub fn client(&self, client: ClientId) -> &Client {
        &self.clients[client.0 as usize]
    }

    /// Makes the tables, their hashes keyed from `seed`.
    pub fn build(self, seed: &Seed) -> Clients {
        Clients {
            marks: self.clients.iter().map(Marks::of).collect(),
            old_secrets_used: self.clients.iter().map(|_| AtomicBool::new(false)).collect(),
            clients: self.clients.into(),
            networks: Networks::new(self.networks, &seed.fork("clients")),
        }
    }
}

impl Clients {
    /// The client whose network holds `address`; of several, the one with the longest prefix. An IPv4-mapped IPv6
    /// address is looked up as IPv4.
    #[inline]
    pub fn look_up(&self, address: IpAddr) -> Option<ClientId> {
        self.look_up_network(address).map(|(client, _)| client)
    }

    /// The same with the length of that prefix.
    #[inline]
    pub fn look_up_network(&self, address: IpAddr) -> Option<(ClientId, u8)> {
        self.networks.look_up(address)
    }

    /// A client by its number.
    ///
    /// # Panics
    /// If the number is of another configuration.
    pub fn client(&self, client: ClientId) -> &Client {
        &self.clients[client.0 as usize]
    }

    /// Tells this client's name and this secret of it, or all that it has, from all others, in any configuration: equal
    /// only where both are. Nobody else can make a packet that hits upon it.
    #[inline]
    pub fn mark(&self, client: ClientId, secret: Option<SecretIndex>) -> &[u8; 16] {
        self.marks[client.0 as usize].of_secret(secret)
    }

    /// Notes that a packet has verified under this client's old secret. Whether it is the first.
    pub(super) fn note_old_secret(&self, client: ClientId) -> bool {
        // Relaxed: it orders nothing.
        !self.old_secrets_used[client.0 as usize].swap(true, Ordering::Relaxed)
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is none, and every packet comes from the unknown.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Every client, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.clients.iter().enumerate().map(|(place, client)| (ClientId(place as u32), client))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PrefixError;
    use super::*;
    use crate::packet::{Secret, Secrets};
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    fn client(name: &str) -> Client {
        let secret = Secret::new(b"testing123").expect("not empty");
        Client {
            name: name.into(),
            secrets: Secrets::one(secret),
            require_message_authenticator: false,
            limit_proxy_state: true,
        }
    }

    fn clients(networks: &[&[&str]]) -> Clients {
        let mut builder = ClientsBuilder::default();
        for networks in networks {
            let id = builder.add(client("a"));
            for network in *networks {
                builder.network(network.parse().expect("a network"), id).expect("not given away yet");
            }
        }
        builder.build(&Seed::new([3; 32]))
    }

    #[test]
    fn the_longest_prefix_wins() {
        let clients = clients(&[&["0.0.0.0/0", "::/0"], &["192.0.2.0/24"], &["192.0.2.9", "2001:db8::/32"]]);
        let found = |address: &str| clients.look_up(address.parse().expect("an address")).map(|id| id.0);
        assert_eq!(found("198.51.100.1"), Some(0));
        assert_eq!(found("192.0.2.1"), Some(1));
        assert_eq!(found("192.0.2.9"), Some(2));
        assert_eq!(found("::ffff:192.0.2.9"), Some(2));
        assert_eq!(found("2001:db8:ffff::1"), Some(2));
        assert_eq!(found("::1"), Some(0));
    }

    #[test]
    fn nobody_is_found_where_nobody_is() {
        let clients = clients(&[&["192.0.2.0/24"]]);
        assert_eq!(clients.look_up([192, 0, 3, 1].into()), None);
        assert_eq!(clients.look_up(Ipv6Addr::LOCALHOST.into()), None);
        assert_eq!(self::clients(&[]).look_up([192, 0, 3, 1].into()), None);
    }

    #[test]
    fn a_network_has_one_owner() {
        let mut builder = ClientsBuilder::default();
        let (first, second) = (builder.add(client("first")), builder.add(client("second")));
        let prefix: Prefix = "192.0.2.0/24".parse().expect("a network");
        builder.network(prefix, first).expect("not given away yet");
        assert_eq!(builder.network(prefix, second), Err(DuplicatePrefix { prefix, owner: first }));
        assert_eq!(builder.build(&Seed::new([3; 32])).look_up([192, 0, 2, 1].into()), Some(first));
    }

    /// Addresses out of few bits, so that networks nest and collide.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..16u32, 0..8u32).prop_map(|(high, low)| Ipv4Addr::from_bits(high << 28 | low).into()),
            (0..16u128, 0..8u128).prop_map(|(high, low)| Ipv6Addr::from_bits(high << 124 | low).into()),
            (0..16u32, 0..8u32)
                .prop_map(|(high, low)| Ipv4Addr::from_bits(high << 28 | low).to_ipv6_mapped().into()),
        ]
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        (address(), prop_oneof![0..=6u8, 26..=32u8, 0..=128u8]).prop_map(
            |(address, length)| match Prefix::new(address, length) {
                Ok(prefix) | Err(PrefixError::HostBits { network: prefix }) => prefix,
                Err(PrefixError::Length { .. } | PrefixError::Address) => Prefix::host(address),
            },
        )
    }

    proptest! {
        #[test]
        fn finds_what_trying_every_network_finds(networks in proptest::collection::vec(prefix(), 0..40),
                                                 addresses in proptest::collection::vec(address(), 1..40)) {
            let mut builder = ClientsBuilder::default();
            let mut model: Vec<(Prefix, ClientId)> = Vec::new();
            for prefix in networks {
                let id = builder.add(client("x"));
                let taken = model.iter().find(|(there, _)| *there == prefix).map(|(_, owner)| *owner);
                let answer = builder.network(prefix, id);
                match taken {
                    Some(owner) => prop_assert_eq!(answer, Err(DuplicatePrefix { prefix, owner })),
                    None => { prop_assert_eq!(answer, Ok(())); model.push((prefix, id)); }
                }
            }
            let clients = builder.build(&Seed::new([3; 32]));
            for address in addresses {
                let longest = model.iter().filter(|(prefix, _)| prefix.contains(address))
                    .max_by_key(|(prefix, _)| prefix.length()).map(|(_, id)| *id);
                prop_assert_eq!(clients.look_up(address), longest);
            }
        }
    }

    /// A guard against building in quadratic time, which would not end; it takes less than a second unoptimised.
    #[test]
    fn a_hundred_thousand_clients_are_all_found() {
        let mut builder = ClientsBuilder::default();
        for number in 0..100_000u32 {
            let id = builder.add(client("nas"));
            let address = Ipv4Addr::from_bits(0x0a00_0000 | number);
            builder.network(Prefix::host(address.into()), id).expect("each has its own");
        }
        let clients = builder.build(&Seed::new([3; 32]));
        for number in 0..100_000 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 | number);
            assert_eq!(clients.look_up(address.into()), Some(ClientId(number)));
        }
    }
}
