//! One exchange as octets: all that is asked of a request read in one go, and a reply that holds an attribute of each
//! kind written in one go. What the counts, the criterion benches and the comparison with other crates have in common.

use ulna_core::attributes::{Entry, Scratch, Walk, Writer, hide};
use ulna_core::dictionary::{Attribute, Dictionary};
use ulna_core::packet::hidden::{Hop, USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use ulna_core::packet::{
    Code, Encoder, Framed, Landmark, MessageAuthenticator, Requirements, Secret, Secrets, VALUE_OCTETS_MAX,
    number,
};

/// What a server wants to know of an Access-Request with PAP.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// User-Name.
    pub user_name: &'a [u8],
    /// User-Password, revealed.
    pub password: &'a [u8],
    /// NAS-IP-Address.
    pub nas_ip_address: [u8; 4],
    /// NAS-Port.
    pub nas_port: u32,
    /// NAS-Identifier.
    pub nas_identifier: &'a [u8],
    /// Calling-Station-Id.
    pub calling_station_id: &'a [u8],
}

/// Frames, verifies the Message-Authenticator, reveals the password and reads the rest by number; `None` for what does
/// not verify or lacks one of them.
pub fn read<'a>(
    octets: &'a [u8],
    secrets: &Secrets,
    out: &'a mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Option<Facts<'a>> {
    let framed = Framed::parse(octets).ok()?;
    let verified = framed.verify_request(secrets, SIGNED).ok()?;
    facts(framed, secrets.get(verified.secret_index())?, out)
}

/// The same without verifying: for comparison with those that cannot.
pub fn read_unverified<'a>(
    octets: &'a [u8],
    secret: &Secret,
    out: &'a mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Option<Facts<'a>> {
    facts(Framed::parse(octets).ok()?, secret, out)
}

fn facts<'a>(
    framed: Framed<'a>,
    secret: &Secret,
    out: &'a mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Option<Facts<'a>> {
    let hidden = framed.value(Landmark::UserPassword)?;
    let password = reveal_user_password(hidden, secret, framed.authenticator(), out).ok()?;
    let (mut address, mut port, mut identifier) = (None, None, None);
    for attribute in framed.attributes() {
        match attribute.number {
            number::NAS_IP_ADDRESS => address = attribute.value.try_into().ok(),
            number::NAS_PORT => port = attribute.value.try_into().ok().map(u32::from_be_bytes),
            number::NAS_IDENTIFIER => identifier = Some(attribute.value),
            _ => {}
        }
    }
    Some(Facts {
        user_name: framed.value(Landmark::UserName)?,
        password,
        nas_ip_address: address?,
        nas_port: port?,
        nas_identifier: identifier?,
        calling_station_id: framed.value(Landmark::CallingStationId)?,
    })
}

/// Reads all attributes typed by the dictionary; gives the sum of all numbers among them and of the octets of the rest,
/// so that nothing can be left out.
pub fn read_typed(octets: &[u8], dictionary: &Dictionary, scratch: &mut Scratch) -> Option<u64> {
    let framed = Framed::parse(octets).ok()?;
    let items = Walk::new(dictionary, framed.attributes(), scratch);
    Some(items.map(|item| item.integer().unwrap_or(item.value.len() as u64)).sum())
}

/// Access-Requests are to be signed, as BlastRADIUS asks.
const SIGNED: Requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };

/// An Access-Accept with attributes of each kind, found in a dictionary before the clock runs.
#[derive(Debug)]
pub struct Reply<'d> {
    dictionary: &'d Dictionary,
    /// Attribute, tag, plain value.
    attributes: Vec<(&'d Attribute, Option<u8>, &'static [u8])>,
}

impl<'d> Reply<'d> {
    /// # Panics
    /// If the dictionary does not know RFC 2865, RFC 2868, Cisco and Microsoft.
    pub fn prepare(dictionary: &'d Dictionary) -> Reply<'d> {
        let attributes = ATTRIBUTES.map(|(name, tag, value)| {
            (dictionary.attribute(name).expect("a dictionary with the common vendors"), tag, value)
        });
        Reply { dictionary, attributes: attributes.into() }
    }

    /// Writes it into `out`, which needs no room of its own, hidden and signed for the request with this authenticator.
    ///
    /// # Panics
    /// Never: all of it fits.
    pub fn write(
        &self,
        secret: &Secret,
        request_authenticator: &[u8; 16],
        room: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let hop = Hop { secret, request_authenticator };
        room.clear();
        let mut writer = Writer::new(self.dictionary, room);
        let mut hidden = [0; VALUE_OCTETS_MAX];
        for (salt, (attribute, tag, plain)) in (0x8000u16..).zip(&self.attributes) {
            let value = hide(attribute.encryption(), plain, salt.to_be_bytes(), hop, &mut hidden)
                .expect("it is short");
            let entry = Entry { oid: attribute.oid(), tag: *tag, value, joined: 0 };
            writer.push(&entry).expect("it fits");
        }
        writer.finish();
        let mut encoder = Encoder::reply(out, Code::AccessAccept, 7, MessageAuthenticator::First);
        encoder.raw(room).expect("attributes that we wrote, and few of them");
        encoder.finish_reply(secret, request_authenticator);
    }
}

/// Plain ones, a vendor's, tagged ones, and hidden ones with and without tag: what a switch or an access point is told.
const ATTRIBUTES: [(&str, Option<u8>, &[u8]); 10] = [
    ("Reply-Message", None, b"Hello, bob."),
    ("Session-Timeout", None, &[0, 0, 14, 16]),
    ("Class", None, &[0xc1; 16]),
    ("Cisco-AVPair", None, b"shell:priv-lvl=15"),
    ("Tunnel-Type", Some(1), &[0, 0, 13]),
    ("Tunnel-Medium-Type", Some(1), &[0, 0, 6]),
    ("Tunnel-Private-Group-Id", Some(1), b"107"),
    ("Tunnel-Password", Some(1), b"between two gateways"),
    ("MS-MPPE-Send-Key", None, &[0x5e; 32]),
    ("MS-MPPE-Recv-Key", None, &[0x2e; 32]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{password, request, secret, user_name};
    use ulna_core::attributes::Shape;

    #[test]
    fn a_request_is_read_whole_and_a_forged_one_is_not() {
        let mut octets = Vec::new();
        request(500, 7, 1, &mut octets);
        let mut out = [0; USER_PASSWORD_OCTETS_MAX];
        let secrets = secret().into();
        let facts = read(&octets, &secrets, &mut out).expect("it verifies");
        let (user, pass) = (user_name(500), password(500));
        let expected = Facts {
            user_name: user.as_bytes(),
            password: pass.as_bytes(),
            nas_ip_address: [192, 0, 2, 10],
            nas_port: 17,
            nas_identifier: b"switch-1",
            calling_station_id: b"00-00-5E-00-53-17",
        };
        assert_eq!(facts, expected);
        let last = octets.len() - 1;
        octets[last] ^= 1;
        assert_eq!(read(&octets, &secrets, &mut out), None);
        assert!(read_unverified(&octets, &secret(), &mut out).is_some());
    }

    #[test]
    fn typed_values_are_added_up() {
        let mut octets = Vec::new();
        request(500, 7, 1, &mut octets);
        let sum = read_typed(&octets, &Dictionary::built_in(), &mut Scratch::default());
        // NAS-Port 17; Message-Authenticator, User-Password, address, NAS-Identifier, Calling-Station-Id, User-Name.
        let expected = 17 + 16 + 16 + 4 + 8 + 17 + user_name(500).len();
        assert_eq!(sum, Some(expected as u64));
    }

    #[test]
    fn the_reply_holds_what_it_should_and_its_requester_can_reveal_it() {
        let dictionary = Dictionary::built_in();
        let (mut room, mut out) = (Vec::new(), Vec::new());
        let authenticator = [9; 16];
        Reply::prepare(&dictionary).write(&secret(), &authenticator, &mut room, &mut out);
        let reply = Framed::parse(&out).expect("a packet");
        assert!(reply.verify_reply(&secret(), &authenticator, true).is_ok());
        let mut scratch = Scratch::default();
        let hop = Hop { secret: &secret(), request_authenticator: &authenticator };
        let items = Walk::new(&dictionary, reply.attributes(), &mut scratch).skip(1);
        let mut count = 0;
        for (item, (name, tag, plain)) in items.zip(ATTRIBUTES) {
            let mut revealed = [0; VALUE_OCTETS_MAX];
            assert_eq!(item.shape, Shape::Known, "{name}");
            assert_eq!(item.attribute.map(Attribute::name), Some(name));
            assert_eq!(item.tag, tag, "{name}");
            assert_eq!(item.plain(hop, &mut revealed).expect("hidden by us").octets(), plain, "{name}");
            count += 1;
        }
        assert_eq!(count, ATTRIBUTES.len());
    }
}
