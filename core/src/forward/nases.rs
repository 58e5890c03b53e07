//! Clients as NASes: which of them a CoA- or Disconnect-Request is for, and where it goes. RFC 5176 §3.
//!
//! - An address names the client whose network holds it, NAS-Identifier that whose `nas_identifier` it is, or else whose name.
//! - What names nobody is passed over as long as something else names a client: NASes have more names and addresses than we are
//!   told of, and each checks what it is called (RFC 5176 §3). Unless the client says by `nas_identifier` that it is called
//!   otherwise.
//! - Two that name different clients contradict each other.
//! - An address where client rules decide is that of a NAS which we may know, and which nothing can be sent to.

use super::{RemoteServer, RemoteServerId};
use crate::client::{ClientId, ClientRules, Clients, Whom};
use crate::packet::{Attributes, ErrorCause, number};
use crate::seed::Seed;
use crate::table::Table;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The clients of a configuration as NASes. Made once, then only read.
pub struct Nases {
    /// By client.
    nases: Box<[Nas]>,
    /// Those that can be sent to.
    hops: Box<[RemoteServer]>,
    /// The number of the first of these.
    first: usize,
    /// What NAS-Identifier says of whom.
    by_identifier: Table<Box<[u8]>, ClientId>,
}

/// One client as a NAS.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Nas {
    /// What it is called in NAS-Identifier, if that is not its name.
    identifier: Option<Box<[u8]>>,
    /// Its place among those that can be sent to, if it is one.
    hop: Option<u16>,
}

/// Collects them for [`Nases`], in the order of their clients.
#[derive(Default)]
pub struct NasesBuilder {
    nases: Vec<Nas>,
    hops: Vec<RemoteServer>,
}

/// How many clients can be sent to, with all remote servers: those of two configurations have numbers of 16 bits together.
pub const HOPS_MAX: usize = 32_768;

impl NasesBuilder {
    /// Takes the next client: what it is called in NAS-Identifier if not by its name, and where CoA goes to it, if it takes that.
    ///
    /// # Panics
    /// At more than [`HOPS_MAX`] that can be sent to.
    pub fn add(&mut self, identifier: Option<Box<[u8]>>, hop: Option<RemoteServer>) {
        let hop = hop.map(|hop| {
            assert!(self.hops.len() < HOPS_MAX, "a configuration is checked where it is read");
            self.hops.push(hop);
            self.hops.len() as u16 - 1
        });
        self.nases.push(Nas { identifier, hop });
    }

    /// How many can be sent to so far.
    pub fn hops(&self) -> usize {
        self.hops.len()
    }

    /// Makes the table, keyed from `seed`; of two clients with one identifier the first has it. Hops are numbered behind so many
    /// remote servers.
    ///
    /// # Panics
    /// If there are others than those clients.
    pub fn build(self, clients: &Clients, remote_servers: usize, seed: &Seed) -> Nases {
        let NasesBuilder { nases, hops } = self;
        assert_eq!(nases.len(), clients.len(), "each client may be a NAS");
        let mut by_identifier = Table::new(nases.len(), &seed.fork("nas identifiers"));
        for (nas, (id, client)) in nases.iter().zip(clients.iter()) {
            let identifier = nas.identifier.clone().unwrap_or_else(|| client.name.as_bytes().into());
            if by_identifier.get(&*identifier).is_none() {
                let is_new = by_identifier.insert(identifier, id).is_ok();
                assert!(is_new, "there is room for each client");
            }
        }
        Nases { nases: nases.into(), hops: hops.into(), first: remote_servers, by_identifier }
    }
}

impl Nases {
    /// Those that can be sent to, in the order of their clients.
    pub fn hops(&self) -> &[RemoteServer] {
        &self.hops
    }

    /// Where CoA goes to a client, if it takes that.
    pub fn hop(&self, client: ClientId) -> Option<&RemoteServer> {
        self.nases[client.0 as usize].hop.map(|hop| &self.hops[usize::from(hop)])
    }

    /// What a client is called in NAS-Identifier, if that is not its name.
    pub fn identifier(&self, client: ClientId) -> Option<&[u8]> {
        self.nases[client.0 as usize].identifier.as_deref()
    }

    /// Where a request with these attributes goes.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn route(
        &self,
        clients: &Clients,
        rules: &ClientRules,
        attributes: Attributes<'_>,
    ) -> Result<RemoteServerId, ErrorCause> {
        let client = self.named(clients, rules, attributes)?;
        // RFC 5176 §3.5: we know it, and there is no way there; through a NAT there would be none.
        let hop = self.nases[client.0 as usize].hop.ok_or(ErrorCause::RequestNotRoutable)?;
        Ok(RemoteServerId((self.first + usize::from(hop)) as u16))
    }

    /// Which client the attributes name.
    ///
    /// # Errors
    /// Why it is none.
    pub fn named(
        &self,
        clients: &Clients,
        rules: &ClientRules,
        attributes: Attributes<'_>,
    ) -> Result<ClientId, ErrorCause> {
        // As long as nothing names a client.
        let mut otherwise = ErrorCause::MissingAttribute;
        let mut found = None;
        for attribute in attributes {
            let identified = match Identification::of(attribute.number, attribute.value) {
                None => continue,
                Some(identified) => identified.ok_or(ErrorCause::InvalidRequest)?,
            };
            let named = match identified {
                Identification::Address(address) => rules.decide(clients, address),
                Identification::Identifier(identifier) => self
                    .by_identifier
                    .get(identifier)
                    .map_or(Whom::Nobody, |client| Whom::Configured(*client)),
            };
            match (named, found) {
                (Whom::Configured(one), Some(other)) if one != other => {
                    return Err(ErrorCause::NasIdentificationMismatch);
                }
                (Whom::Configured(client), _) => found = Some(client),
                (Whom::Rules, _) => otherwise = ErrorCause::RequestNotRoutable,
                (Whom::Nobody, _) if otherwise == ErrorCause::MissingAttribute => {
                    otherwise = ErrorCause::NasIdentificationMismatch;
                }
                (Whom::Nobody, _) => {}
            }
        }
        let client = found.ok_or(otherwise)?;
        let is_other = |own: &[u8]| attributes.of(number::NAS_IDENTIFIER).any(|identifier| identifier != own);
        if self.identifier(client).is_some_and(is_other) {
            return Err(ErrorCause::NasIdentificationMismatch);
        }
        Ok(client)
    }
}

/// What an attribute says about which NAS is meant.
enum Identification<'a> {
    /// It has this address.
    Address(IpAddr),
    /// It is called so.
    Identifier(&'a [u8]),
}

impl<'a> Identification<'a> {
    /// `None` if the attribute is about something else, `Some(None)` if no such attribute has a value of that length.
    fn of(number: u8, value: &'a [u8]) -> Option<Option<Identification<'a>>> {
        match number {
            number::NAS_IP_ADDRESS => {
                let octets: Option<[u8; 4]> = value.try_into().ok();
                Some(octets.map(|octets| Identification::Address(Ipv4Addr::from(octets).into())))
            }
            number::NAS_IPV6_ADDRESS => {
                let octets: Option<[u8; 16]> = value.try_into().ok();
                Some(octets.map(|octets| Identification::Address(Ipv6Addr::from(octets).into())))
            }
            number::NAS_IDENTIFIER => Some((!value.is_empty()).then_some(Identification::Identifier(value))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientsBuilder, Limits};
    use crate::packet::{Secret, Secrets};

    /// Clients `one` (192.0.2.1, sent to), `two` (192.0.2.2 and 2001:db8::/64, called `tower`, sent to) and `home` (198.51.100.0/24, not
    /// sent to), behind five remote servers.
    fn nases() -> (Clients, Nases) {
        let secret = || Secret::new(b"0123456789abcdef").expect("it has octets");
        let seed = Seed::new([3; 32]);
        let (mut clients, mut nases) = (ClientsBuilder::default(), NasesBuilder::default());
        for (name, networks, identifier, hop) in [
            ("one", &["192.0.2.1"][..], None, Some("192.0.2.1:3799")),
            ("two", &["192.0.2.2", "2001:db8::/64"], Some("tower"), Some("192.0.2.2:3799")),
            ("home", &["198.51.100.0/24"], None, None),
        ] {
            let id = clients.add(Client {
                name: name.into(),
                secrets: Secrets::one(secret()),
                require_message_authenticator: false,
                limit_proxy_state: true,
            });
            for network in networks {
                clients.network(network.parse().expect("a network"), id).expect("it is nobody's");
            }
            let hop = hop.map(|address| {
                RemoteServer::nas(name.into(), address.parse().expect("an address"), secret())
            });
            nases.add(identifier.map(|identifier: &str| identifier.as_bytes().into()), hop);
        }
        let clients = clients.build(&seed);
        let nases = nases.build(&clients, 5, &seed);
        (clients, nases)
    }

    fn route(attributes: &[(u8, &[u8])]) -> Result<u16, u32> {
        let (clients, nases) = nases();
        let octets: Vec<u8> = attributes
            .iter()
            .flat_map(|(number, value)| [&[*number, value.len() as u8 + 2], *value].concat())
            .collect();
        let attributes = Attributes::parse(&octets).expect("they are whole");
        let rules = ClientRules::new(Vec::new(), Limits::of_all(), 0, 0, &Seed::new([3; 32]));
        nases.route(&clients, &rules, attributes).map(|hop| hop.0).map_err(ErrorCause::value)
    }

    const ONE: (u8, &[u8]) = (number::NAS_IP_ADDRESS, &[192, 0, 2, 1]);
    const TWO: (u8, &[u8]) = (number::NAS_IP_ADDRESS, &[192, 0, 2, 2]);
    const TWO_BY_IPV6: (u8, &[u8]) =
        (number::NAS_IPV6_ADDRESS, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    const NOBODY: (u8, &[u8]) = (number::NAS_IP_ADDRESS, &[203, 0, 113, 9]);

    fn called(name: &str) -> (u8, &[u8]) {
        (number::NAS_IDENTIFIER, name.as_bytes())
    }

    // checklist 84
    #[test]
    fn each_of_the_three_names_a_client() {
        for (attributes, hop) in [
            (&[ONE][..], 5),
            (&[TWO], 6),
            (&[TWO_BY_IPV6], 6),
            (&[called("one")], 5),
            (&[called("tower")], 6),
            (&[(1, b"bob"), TWO, called("tower"), TWO_BY_IPV6], 6),
        ] {
            assert_eq!(route(attributes), Ok(hop), "{attributes:?}");
        }
    }

    // checklist 84
    #[test]
    fn what_names_no_client_or_two_has_a_cause() {
        for (attributes, cause) in [
            (&[(1, &b"bob"[..])][..], 402),
            (&[NOBODY], 403),
            (&[called("three")], 403),
            // It is called otherwise.
            (&[called("two")], 403),
            (&[ONE, TWO], 403),
            (&[ONE, called("tower")], 403),
            (&[TWO, called("three")], 403),
            (&[(number::NAS_IP_ADDRESS, &[192, 0, 2])], 404),
            (&[ONE, (number::NAS_IPV6_ADDRESS, &[1; 17])], 404),
            (&[called("")], 404),
            (&[called("home")], 502),
            (&[(number::NAS_IP_ADDRESS, &[198, 51, 100, 7])], 502),
        ] {
            assert_eq!(route(attributes), Err(cause), "{attributes:?}");
        }
    }

    #[test]
    fn what_we_are_not_told_of_is_left_to_the_nas() {
        assert_eq!(route(&[ONE, called("what it calls itself")]), Ok(5));
        assert_eq!(route(&[NOBODY, called("one")]), Ok(5));
        assert_eq!(route(&[called("tower"), NOBODY]), Ok(6));
    }
}
