//! The same Access-Request read by ulna and by other crates for RADIUS.
//!
//! Three kinds of work, as few of them can do all of it:
//!
//! | work | is |
//! |---|---|
//! | `whole` | frame, verify the Message-Authenticator, reveal User-Password, read the rest |
//! | `unverified` | the same without verifying |
//! | `read` | frame and read, the password left hidden |
//!
//! Read are User-Name, NAS-IP-Address, NAS-Port, NAS-Identifier, Calling-Station-Id and where asked for the password;
//! each reader returns one number made of them all ([`Facts::sum`]), and a test holds those numbers against each other.
//! Where a crate has several ways, the one that costs least is taken. Where it cannot verify, [`ByHand`] does so
//! for it, with the digests that ulna has: the name of such a reader says `+ HMAC by hand`.

#![forbid(unsafe_code)]

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use radius::core::packet::Packet;
use radius::core::rfc2865;
use radius_parser::{RadiusAttribute, parse_radius_data};
use radius_rust::client::client::Client;
use radius_rust::protocol::dictionary::Dictionary as RadiusRustDictionary;
use radius_rust::tools::decrypt_data;
use ulna_benches::exchange;
use ulna_benches::workload::{SECRET, request, secret};
use ulna_core::attributes::{Scratch, Walk};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::USER_PASSWORD_OCTETS_MAX;
use ulna_core::packet::{Framed, Landmark, Secret, Secrets, number};

/// One crate doing one kind of work: what it made of the packet, or `None` where it refused it.
pub type Reader = Box<dyn FnMut(&Datagram) -> Option<u64>>;

/// A datagram as each crate wants to be given it.
#[derive(Debug)]
pub struct Datagram {
    /// What ulna and most others read.
    pub octets: Vec<u8>,
    /// abol-core takes ownership of a counted buffer: it is given one that is already there.
    pub counted: Bytes,
}

impl From<Vec<u8>> for Datagram {
    fn from(octets: Vec<u8>) -> Datagram {
        Datagram { counted: Bytes::copy_from_slice(&octets), octets }
    }
}

/// The common Access-Request: PAP, Message-Authenticator first, 109 octets.
pub fn datagram() -> Datagram {
    let mut octets = Vec::new();
    request(500, 7, 1, &mut octets);
    octets.into()
}

/// All readers: kind of work, name, how to make one.
pub const READERS: &[(&str, &str, fn() -> Reader)] = &[
    ("whole", "ulna", ulna_whole),
    ("whole", "radius-rust", radius_rust_whole),
    ("whole", "radius + HMAC by hand", radius_whole),
    ("whole", "abol-core + HMAC by hand", abol_whole),
    ("unverified", "ulna", ulna_unverified),
    ("unverified", "radius", || Box::new(|datagram| radius_facts(&datagram.octets, true))),
    ("unverified", "abol-core", abol_unverified),
    ("unverified", "radius-rust", || radius_rust(false, true)),
    ("read", "ulna", || Box::new(ulna_read)),
    ("read", "ulna, typed by dictionary", ulna_typed),
    ("read", "radius-parser", || Box::new(|datagram| radius_parser(&datagram.octets))),
    ("read", "radius-server", || Box::new(|datagram| radius_server(&datagram.octets))),
    ("read", "radius", || Box::new(|datagram| radius_facts(&datagram.octets, false))),
    ("read", "abol-core", abol_read),
    ("read", "radius-rust", || radius_rust(false, false)),
];

/// What was read of a packet, whatever the crate.
struct Facts<'a> {
    user_name: &'a [u8],
    password: &'a [u8],
    nas_ip_address: Ipv4Addr,
    nas_port: u32,
    nas_identifier: &'a [u8],
    calling_station_id: &'a [u8],
}

impl Facts<'_> {
    /// Something of all of them.
    fn sum(&self) -> u64 {
        let strings = [self.user_name, self.password, self.nas_identifier, self.calling_station_id];
        let ends =
            strings.iter().map(|string| string.len() as u64 + string.last().copied().map_or(0, u64::from));
        ends.sum::<u64>() + u64::from(self.nas_ip_address.to_bits()) + u64::from(self.nas_port)
    }
}

fn ulna_whole() -> Reader {
    let secrets = Secrets::one(secret());
    Box::new(move |datagram| {
        let mut out = [0; USER_PASSWORD_OCTETS_MAX];
        exchange::read(&datagram.octets, &secrets, &mut out).map(|facts| of_ulna(&facts))
    })
}

fn ulna_unverified() -> Reader {
    let secret: Secret = secret();
    Box::new(move |datagram| {
        let mut out = [0; USER_PASSWORD_OCTETS_MAX];
        exchange::read_unverified(&datagram.octets, &secret, &mut out).map(|facts| of_ulna(&facts))
    })
}

fn of_ulna(facts: &exchange::Facts<'_>) -> u64 {
    Facts {
        user_name: facts.user_name,
        password: facts.password,
        nas_ip_address: facts.nas_ip_address.into(),
        nas_port: facts.nas_port,
        nas_identifier: facts.nas_identifier,
        calling_station_id: facts.calling_station_id,
    }
    .sum()
}

fn ulna_read(datagram: &Datagram) -> Option<u64> {
    let framed = Framed::parse(&datagram.octets).ok()?;
    let (mut address, mut port, mut identifier) = (None, None, None);
    for attribute in framed.attributes() {
        match attribute.number {
            number::NAS_IP_ADDRESS => address = <[u8; 4]>::try_from(attribute.value).ok(),
            number::NAS_PORT => port = attribute.value.try_into().ok().map(u32::from_be_bytes),
            number::NAS_IDENTIFIER => identifier = Some(attribute.value),
            _ => {}
        }
    }
    let facts = Facts {
        user_name: framed.value(Landmark::UserName)?,
        password: &[],
        nas_ip_address: address?.into(),
        nas_port: port?,
        nas_identifier: identifier?,
        calling_station_id: framed.value(Landmark::CallingStationId)?,
    };
    Some(facts.sum())
}

/// Each attribute looked up in a dictionary of some nine hundred and held against its type, which no other here does.
fn ulna_typed() -> Reader {
    let dictionary = Dictionary::built_in();
    let mut scratch = Scratch::default();
    Box::new(move |datagram| {
        let framed = Framed::parse(&datagram.octets).ok()?;
        let (mut user_name, mut address, mut port) = (None, None, None);
        let (mut identifier, mut station) = (None, None);
        for item in Walk::new(&dictionary, framed.attributes(), &mut scratch) {
            match item.oid.first() as u8 {
                number::USER_NAME => user_name = Some(item.value),
                number::NAS_IP_ADDRESS => address = <[u8; 4]>::try_from(item.value).ok(),
                number::NAS_PORT => port = item.integer(),
                number::NAS_IDENTIFIER => identifier = Some(item.value),
                number::CALLING_STATION_ID => station = Some(item.value),
                _ => {}
            }
        }
        let facts = Facts {
            user_name: user_name?,
            password: &[],
            nas_ip_address: address?.into(),
            nas_port: port? as u32,
            nas_identifier: identifier?,
            calling_station_id: station?,
        };
        Some(facts.sum())
    })
}

/// `radius`: owned attributes, values converted when asked for. `is_authentic_request` says yes to every Access-Request.
fn radius_facts(octets: &[u8], password: bool) -> Option<u64> {
    let packet = Packet::decode(octets, SECRET).ok()?;
    let revealed = if password { rfc2865::lookup_user_password(&packet)?.ok()? } else { Vec::new() };
    let user_name = rfc2865::lookup_user_name(&packet)?.ok()?;
    let nas_identifier = rfc2865::lookup_nas_identifier(&packet)?.ok()?;
    let calling_station_id = rfc2865::lookup_calling_station_id(&packet)?.ok()?;
    let facts = Facts {
        user_name: user_name.as_bytes(),
        password: &revealed,
        nas_ip_address: rfc2865::lookup_nas_ip_address(&packet)?.ok()?,
        nas_port: rfc2865::lookup_nas_port(&packet)?.ok()?,
        nas_identifier: nas_identifier.as_bytes(),
        calling_station_id: calling_station_id.as_bytes(),
    };
    Some(facts.sum())
}

fn radius_whole() -> Reader {
    let by_hand = ByHand::new();
    Box::new(move |datagram| {
        by_hand.holds(&datagram.octets).then(|| radius_facts(&datagram.octets, true)).flatten()
    })
}

/// `abol-core`: slices of a counted buffer. `verify_request` says yes to every Access-Request.
fn abol_facts(datagram: &Datagram, secret: &Arc<[u8]>, password: bool) -> Option<u64> {
    use abol_core::packet::Packet;
    let packet = Packet::parse_packet(datagram.counted.clone(), Arc::clone(secret)).ok()?;
    let revealed = match password {
        true => packet.decrypt_user_password(packet.get_attribute(number::USER_PASSWORD)?)?,
        false => Vec::new(),
    };
    let facts = Facts {
        user_name: packet.get_attribute(number::USER_NAME)?,
        password: &revealed,
        nas_ip_address: <[u8; 4]>::try_from(&packet.get_attribute(number::NAS_IP_ADDRESS)?[..]).ok()?.into(),
        nas_port: u32::from_be_bytes(packet.get_attribute(number::NAS_PORT)?[..].try_into().ok()?),
        nas_identifier: packet.get_attribute(number::NAS_IDENTIFIER)?,
        calling_station_id: packet.get_attribute(number::CALLING_STATION_ID)?,
    };
    Some(facts.sum())
}

fn abol_whole() -> Reader {
    let (secret, by_hand) = (Arc::from(SECRET), ByHand::new());
    Box::new(move |datagram| {
        by_hand.holds(&datagram.octets).then(|| abol_facts(datagram, &secret, true)).flatten()
    })
}

fn abol_unverified() -> Reader {
    let secret = Arc::from(SECRET);
    Box::new(move |datagram| abol_facts(datagram, &secret, true))
}

fn abol_read() -> Reader {
    let secret = Arc::from(SECRET);
    Box::new(move |datagram| abol_facts(datagram, &secret, false))
}

/// `radius-rust`: the only one that verifies a Message-Authenticator; it parses the packet anew for that. Its dictionary
/// is searched from the front, and knows here what the packet holds and no more.
fn radius_rust(verify: bool, password: bool) -> Reader {
    let dictionary = RadiusRustDictionary::from_str(RADIUS_RUST_DICTIONARY).expect("it is one");
    let secret = std::str::from_utf8(SECRET).expect("it is text").to_string();
    let client = Client::with_dictionary(dictionary).set_secret(secret);
    Box::new(move |datagram| {
        if verify {
            client.verify_message_authenticator(&datagram.octets).ok()?;
        }
        let packet = client.initialise_packet_from_bytes(&datagram.octets).ok()?;
        let value = |number| packet.attribute_by_id(number).map(|attribute| attribute.value());
        let revealed = match password {
            true => decrypt_data(value(number::USER_PASSWORD)?, packet.authenticator(), SECRET),
            false => Vec::new(),
        };
        let facts = Facts {
            user_name: value(number::USER_NAME)?,
            password: &revealed,
            nas_ip_address: <[u8; 4]>::try_from(value(number::NAS_IP_ADDRESS)?).ok()?.into(),
            nas_port: u32::from_be_bytes(value(number::NAS_PORT)?.try_into().ok()?),
            nas_identifier: value(number::NAS_IDENTIFIER)?,
            calling_station_id: value(number::CALLING_STATION_ID)?,
        };
        Some(facts.sum())
    })
}

fn radius_rust_whole() -> Reader {
    radius_rust(true, true)
}

const RADIUS_RUST_DICTIONARY: &str = "\
ATTRIBUTE User-Name 1 text
ATTRIBUTE User-Password 2 string
ATTRIBUTE NAS-IP-Address 4 ipv4addr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Calling-Station-Id 31 text
ATTRIBUTE NAS-Identifier 32 text
ATTRIBUTE Message-Authenticator 80 string
";

/// `radius-parser`: a dissector. Knows neither secret nor reply.
fn radius_parser(octets: &[u8]) -> Option<u64> {
    let (_, data) = parse_radius_data(octets).ok()?;
    let (mut user_name, mut address, mut port) = (None, None, None);
    let (mut identifier, mut station) = (None, None);
    for attribute in data.attributes.as_ref()? {
        match attribute {
            RadiusAttribute::UserName(value) => user_name = Some(*value),
            RadiusAttribute::NasIPAddress(value) => address = Some(*value),
            RadiusAttribute::NasPort(value) => port = Some(*value),
            RadiusAttribute::CallingStationId(value) => station = Some(*value),
            RadiusAttribute::Unknown(number::NAS_IDENTIFIER, value) => identifier = Some(*value),
            _ => {}
        }
    }
    let facts = Facts {
        user_name: user_name?,
        password: &[],
        nas_ip_address: address?,
        nas_port: port?,
        nas_identifier: identifier?,
        calling_station_id: station?,
    };
    Some(facts.sum())
}

/// `radius-server`: owned attributes. Neither verifies Access-Requests nor reveals passwords.
fn radius_server(octets: &[u8]) -> Option<u64> {
    let packet = radius_server::packet::RadiusPacket::from_bytes(octets).ok()?;
    let value = |number| {
        packet.attributes.iter().find(|attribute| attribute.typ == number).map(|each| &each.value[..])
    };
    let facts = Facts {
        user_name: value(number::USER_NAME)?,
        password: &[],
        nas_ip_address: <[u8; 4]>::try_from(value(number::NAS_IP_ADDRESS)?).ok()?.into(),
        nas_port: u32::from_be_bytes(value(number::NAS_PORT)?.try_into().ok()?),
        nas_identifier: value(number::NAS_IDENTIFIER)?,
        calling_station_id: value(number::CALLING_STATION_ID)?,
    };
    Some(facts.sum())
}

/// What a user of a crate that does not verify has to write: the keyed digest kept, nothing copied.
struct ByHand(Hmac<Md5>);

impl ByHand {
    fn new() -> ByHand {
        ByHand(Hmac::new_from_slice(SECRET).expect("HMAC takes keys of any length"))
    }

    /// Whether the first Message-Authenticator of these octets holds; without one it does not.
    fn holds(&self, octets: &[u8]) -> bool {
        let mut offset = 20;
        while let Some(&[number, length]) = octets.get(offset..).and_then(|rest| rest.first_chunk()) {
            if number == number::MESSAGE_AUTHENTICATOR && length == 18 {
                break;
            }
            if length < 2 {
                return false;
            }
            offset += usize::from(length);
        }
        let Some((before, value_on)) = octets.split_at_checked(offset + 2) else { return false };
        let Some((received, after)) = value_on.split_at_checked(16) else { return false };
        let mut mac = self.0.clone();
        mac.update(before);
        mac.update(&[0; 16]);
        mac.update(after);
        mac.verify_slice(received).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_read_the_same_of_one_packet() {
        let datagram = datagram();
        for work in ["whole", "unverified", "read"] {
            let of_work = READERS.iter().filter(|(each, ..)| *each == work);
            let read: Vec<_> = of_work.map(|(_, name, make)| (*name, make()(&datagram))).collect();
            let ours = read[0].1.expect("we made the packet");
            assert!(read.iter().all(|(_, sum)| *sum == Some(ours)), "{work}: {read:?}");
        }
    }

    #[test]
    fn what_is_whole_refuses_a_packet_with_any_octet_changed() {
        let whole = datagram().octets;
        for (_, name, make) in READERS.iter().filter(|(work, ..)| *work == "whole") {
            let mut reader = make();
            // Code and Length decide what it is at all.
            for place in (1..2).chain(4..whole.len()) {
                let mut changed = whole.clone();
                changed[place] ^= 0x20;
                let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader(&changed.into())));
                // radius-rust panics on lengths that pass the end: not its strong side, and not what is timed here.
                assert!(
                    !matches!(read, Ok(Some(_))),
                    "{name} takes a packet whose octet {place} was changed"
                );
            }
        }
    }
}
