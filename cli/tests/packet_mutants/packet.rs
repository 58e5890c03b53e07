//! What the judge knows of packets, by itself: RFC 2865 §3 and §5, RFC 2866 §3, RFC 2869 §5.14, RFC 5997 §3.
//!
//! Nothing of core's codec: a mistake there must not be shared by its judge.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

pub const ACCESS_REQUEST: u8 = 1;
pub const ACCESS_ACCEPT: u8 = 2;
pub const ACCESS_REJECT: u8 = 3;
pub const ACCOUNTING_REQUEST: u8 = 4;
pub const STATUS_SERVER: u8 = 12;

pub const USER_NAME: u8 = 1;
pub const USER_PASSWORD: u8 = 2;
pub const CHAP_PASSWORD: u8 = 3;
pub const NAS_IP_ADDRESS: u8 = 4;
pub const NAS_PORT: u8 = 5;
pub const STATE: u8 = 24;
pub const VENDOR_SPECIFIC: u8 = 26;
pub const CALLING_STATION_ID: u8 = 31;
pub const NAS_IDENTIFIER: u8 = 32;
pub const PROXY_STATE: u8 = 33;
pub const ACCT_STATUS_TYPE: u8 = 40;
pub const EAP_MESSAGE: u8 = 79;
pub const MESSAGE_AUTHENTICATOR: u8 = 80;

const HEADER: usize = 20;
const OCTETS_MAX: usize = 4096;
/// All codes that an RFC gives a meaning which a server has to know, if only to refuse it.
const KNOWN_CODES: [u8; 15] = [1, 2, 3, 4, 5, 11, 12, 13, 40, 41, 42, 43, 44, 45, 52];

/// What a server has to do with a datagram from a client that must sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing, and count it under this name.
    Discard(&'static str),
    /// It is verifiably from the client, and has this code.
    Request(u8),
}

/// One side of a shared secret.
pub struct Digests {
    secret: Vec<u8>,
    /// Keyed once.
    mac: Hmac<Md5>,
}

impl Digests {
    pub fn new(secret: &[u8]) -> Digests {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Digests { secret: secret.to_vec(), mac }
    }

    /// RFC 2865 §3 over `authenticator`: of a reply that of its request, of an Accounting-Request zeros.
    fn authenticator(&self, packet: &[u8], authenticator: &[u8]) -> [u8; 16] {
        let md5 = Md5::new().chain_update(&packet[..4]).chain_update(authenticator);
        md5.chain_update(&packet[HEADER..]).chain_update(&self.secret).finalize().into()
    }

    /// RFC 3579 §3.2, of the Message-Authenticator whose value begins at `value`.
    fn message_authenticator(&self, packet: &[u8], value: usize, authenticator: &[u8]) -> [u8; 16] {
        let mac = self.mac.clone().chain_update(&packet[..4]).chain_update(authenticator);
        let mac = mac.chain_update(&packet[HEADER..value]).chain_update([0; 16]);
        mac.chain_update(&packet[value + 16..]).finalize().into_bytes().into()
    }

    /// Signs a request whose Length and attributes hold: its Message-Authenticator, if it has one, and in accounting its
    /// Request Authenticator.
    pub fn sign(&self, packet: &mut [u8]) {
        let computed = packet[0] == ACCOUNTING_REQUEST;
        let over: [u8; 16] =
            if computed { [0; 16] } else { packet[4..HEADER].try_into().expect("sixteen octets") };
        let place =
            attributes(packet).find(|&(_, kind, value)| (kind, value.len()) == (MESSAGE_AUTHENTICATOR, 16));
        if let Some((value, ..)) = place {
            let digest = self.message_authenticator(packet, value, &over);
            packet[value..value + 16].copy_from_slice(&digest);
        }
        if computed {
            let digest = self.authenticator(packet, &over);
            packet[4..HEADER].copy_from_slice(&digest);
        }
    }

    /// What is to be done with a datagram.
    pub fn fate(&self, datagram: &[u8]) -> Fate {
        self.read(datagram).map_or_else(Fate::Discard, Fate::Request)
    }

    fn read(&self, datagram: &[u8]) -> Result<u8, &'static str> {
        let packet = framed(datagram)?;
        let code = packet[0];
        if !KNOWN_CODES.contains(&code) {
            return Err("unknown-code");
        }
        if ![ACCESS_REQUEST, ACCOUNTING_REQUEST, STATUS_SERVER].contains(&code) {
            return Err("unexpected-code");
        }
        let computed = code == ACCOUNTING_REQUEST;
        let signature = attributes(packet).find(|&(_, kind, _)| kind == MESSAGE_AUTHENTICATOR);
        let has_eap = attributes(packet).any(|(_, kind, _)| kind == EAP_MESSAGE);
        match signature {
            None if code == STATUS_SERVER => return Err("unsigned-status-server"),
            None if code == ACCESS_REQUEST => return Err("message-authenticator-required"),
            None if has_eap => return Err("unsigned-eap"),
            None | Some(_) => {}
        }
        let over = if computed { &[0; 16] } else { &packet[4..HEADER] };
        if computed && self.authenticator(packet, over) != packet[4..HEADER] {
            return Err("bad-request-authenticator");
        }
        match signature {
            Some((place, _, value)) if self.message_authenticator(packet, place, over) != value => {
                Err("bad-message-authenticator")
            }
            Some(_) | None => Ok(code),
        }
    }

    /// Whether a reply is one to this request: its Identifier, both digests, the Message-Authenticator first, and the
    /// Proxy-States as they came.
    pub fn answers(&self, request: &[u8], reply: &[u8]) -> bool {
        let over = &request[4..HEADER];
        let Ok(packet) = framed(reply) else { return false };
        let proxy_states = |packet| attributes(packet).filter(|&(_, kind, _)| kind == PROXY_STATE);
        let values = |packet| proxy_states(packet).map(|(_, _, value)| value);
        let is_signed = |packet| match attributes(packet).next() {
            Some((place, MESSAGE_AUTHENTICATOR, value)) => {
                self.message_authenticator(packet, place, over) == value
            }
            _ => false,
        };
        packet.len() == reply.len()
            && reply[1] == request[1]
            && self.authenticator(reply, over) == reply[4..HEADER]
            && is_signed(reply)
            && (request[0] == STATUS_SERVER || values(request).eq(values(reply)))
    }

    /// RFC 2865 §5.2: blocks of 16 octets, each over the one before.
    pub fn hide(&self, password: &[u8], authenticator: &[u8]) -> Vec<u8> {
        let mut hidden = authenticator.to_vec();
        for block in password.chunks(16) {
            let before = &hidden[hidden.len() - 16..];
            let mask: [u8; 16] = Md5::new().chain_update(&self.secret).chain_update(before).finalize().into();
            hidden.extend(mask.iter().enumerate().map(|(place, mask)| mask ^ block.get(place).unwrap_or(&0)));
        }
        hidden.split_off(16)
    }
}

/// RFC 2865 §5.3, over the Request Authenticator.
pub fn chap_password(identifier: u8, password: &[u8], authenticator: &[u8]) -> [u8; 17] {
    let digest = Md5::new().chain_update([identifier]).chain_update(password).chain_update(authenticator);
    let digest: [u8; 16] = digest.finalize().into();
    std::array::from_fn(|place| if place == 0 { identifier } else { digest[place - 1] })
}

/// The packet in a datagram, or the name of what is wrong with it.
pub fn framed(datagram: &[u8]) -> Result<&[u8], &'static str> {
    let [_, _, high, low, ..] = *datagram else { return Err("too-short") };
    if datagram.len() < HEADER {
        return Err("too-short");
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(HEADER..=OCTETS_MAX).contains(&length) {
        return Err("bad-length");
    }
    let packet = datagram.get(..length).ok_or("truncated")?;
    let (mut place, mut has_state, mut signature) = (HEADER, false, None);
    while place < length {
        let [kind, octets, ..] = packet[place..] else { return Err("bad-attribute") };
        let end = place + usize::from(octets);
        if octets < 2 || end > length {
            return Err("bad-attribute");
        }
        if kind == STATE && std::mem::replace(&mut has_state, true) {
            return Err("several-states");
        }
        if kind == MESSAGE_AUTHENTICATOR && signature.replace(octets).is_some() {
            return Err("several-message-authenticators");
        }
        place = end;
    }
    if signature.is_some_and(|octets| octets != 18) {
        return Err("bad-message-authenticator-length");
    }
    Ok(packet)
}

/// Of a packet whose attributes hold: where each value begins, its type, its value.
pub fn attributes(packet: &[u8]) -> impl Iterator<Item = (usize, u8, &[u8])> {
    let mut place = HEADER;
    std::iter::from_fn(move || {
        let [kind, octets, ..] = *packet.get(place..)? else { return None };
        let value = place + 2;
        place += usize::from(octets);
        Some((value, kind, &packet[value..place]))
    })
}

/// Sets Length to what is there, or as much of it as its two octets hold.
pub fn set_length(packet: &mut [u8]) {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    packet[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Adds an attribute of at most 253 octets.
pub fn push(packet: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let octets = u8::try_from(value.len() + 2).expect("a value has at most 253 octets");
    packet.extend_from_slice(&[kind, octets]);
    packet.extend_from_slice(value);
}

/// RFC 2865 §7.1 and RFC 5997 §6.1: the judge's digests are those of the RFCs' own examples.
#[test]
fn the_judge_agrees_with_the_examples_of_the_rfcs() {
    let digests = Digests::new(b"xyzzy5461");
    let status = [
        0x0c, 0xda, 0x00, 0x26, 0x8a, 0x54, 0xf4, 0x68, 0x6f, 0xb3, 0x94, 0xc5, 0x28, 0x66, 0xe3, 0x02, 0x18,
        0x5d, 0x06, 0x23, 0x50, 0x12, 0x5a, 0x66, 0x5e, 0x2e, 0x1e, 0x84, 0x11, 0xf3, 0xe2, 0x43, 0x82, 0x20,
        0x97, 0xc8, 0x4f, 0xa3,
    ];
    assert_eq!(digests.fate(&status), Fate::Request(STATUS_SERVER));
    let authenticator =
        [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
    let hidden =
        [0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee];
    assert_eq!(digests.hide(b"arctangent", &authenticator), hidden);
    let accept = [
        0x02, 0x00, 0x00, 0x26, 0x86, 0xfe, 0x22, 0x0e, 0x76, 0x24, 0xba, 0x2a, 0x10, 0x05, 0xf6, 0xbf, 0x9b,
        0x55, 0xe0, 0xb2, 0x06, 0x06, 0x00, 0x00, 0x00, 0x01, 0x0f, 0x06, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x06,
        0xc0, 0xa8, 0x01, 0x03,
    ];
    assert_eq!(digests.authenticator(&accept, &authenticator), accept[4..20]);
}
