//! Packets to be read by both: written and signed by us from text, and made by anything but our writer.

use super::pcap::Direction;
use super::random::Random;
use super::{secret, values};
use std::path::Path;
use ulna_core::attributes::text;
use ulna_core::dictionary::{Dictionary, Encryption};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Encoder, HEADER_OCTETS, MessageAuthenticator, PACKET_OCTETS_MAX, number};

/// One packet, and what is known of it.
pub struct Sample {
    pub octets: Vec<u8>,
    pub direction: Direction,
    pub port: u16,
    /// Which exchange it belongs to.
    pub exchange: u32,
    /// Whether it must be valid to whoever can check its authenticator.
    pub signed: bool,
    pub origin: String,
}

/// Every attribute with many a value, and `more`, several in each packet, requests and replies in turn.
pub fn written(dictionary: &Dictionary, more: &[&str], random: &mut Random) -> Vec<Sample> {
    let mut plain = Vec::new();
    let mut hidden = Vec::new();
    for attribute in dictionary.attributes().filter(|attribute| !attribute.internal()) {
        // Ours to make, and checked by itself.
        if attribute.oid().parts() == [u32::from(number::MESSAGE_AUTHENTICATOR)] {
            continue;
        }
        let lines = values::assignments(dictionary, attribute, random);
        match attribute.encryption() {
            Encryption::None => plain.extend(lines),
            Encryption::UserPassword | Encryption::TunnelPassword | Encryption::AscendSecret => {
                hidden.extend(lines);
            }
        }
        // Tags as no number of RFC 2868 §3.1 is: behind text they are text.
        if attribute.tagged() && attribute.encryption() == Encryption::None && attribute.oid().depth() == 1 {
            plain.extend([0x20, 0xff].map(|first| format!("Attr-{} = 0x{first:02x}414243", attribute.oid())));
        }
    }
    plain.extend(NAMELESS.iter().chain(more).map(|line| line.to_string()));
    let unnamed = (1..=240).filter(|number| dictionary.numbered(*number).is_none());
    plain.extend(unnamed.map(|number| format!("Attr-{number} = 0x616263")));
    let octets = |value: usize| "61".repeat(value);
    plain.extend([1, 246, 247, 252].map(|value| format!("Attr-241.1 = 0x{}", octets(value))));
    plain.extend([1, 245, 246].map(|value| format!("Attr-243.26.32473.3 = 0x{}", octets(value))));
    plain
        .extend([1, 250, 251, 252, 502, 503, 3000].map(|value| format!("Attr-245.77 = 0x{}", octets(value))));
    plain.extend([1, 246, 247, 600].map(|value| format!("Attr-246.26.32473.4 = 0x{}", octets(value))));
    plain.extend([1, 252, 253, 254, 506, 507, 2000].map(|value| format!("EAP-Message = 0x{}", eap(value))));
    let mut samples = Vec::new();
    for (number, lines) in batches(dictionary, &plain).into_iter().enumerate() {
        let (request, reply, port) = EXCHANGES[number % EXCHANGES.len()];
        exchange(dictionary, &lines, (request, reply, port), random, &mut samples);
    }
    for lines in batches(dictionary, &hidden) {
        exchange(dictionary, &lines, (Code::AccessRequest, Code::AccessAccept, 1812), random, &mut samples);
    }
    samples
}

/// Exchanges of a few attributes each, all of them and their values by the dice.
pub fn random_exchanges(dictionary: &Dictionary, exchanges: usize, random: &mut Random) -> Vec<Sample> {
    let usable = dictionary.attributes().filter(|attribute| !attribute.internal() && !attribute.encrypted());
    let usable: Vec<_> = usable.filter(|attribute| attribute.name() != "Message-Authenticator").collect();
    let mut samples = Vec::new();
    for _ in 0..exchanges {
        let count = 1 + random.below(6);
        let lines = (0..count)
            .filter_map(|_| {
                let attribute = *random.one_of(&usable);
                values::any_assignment(attribute, random)
            })
            .filter(|line| !line.starts_with("State "));
        let lines: Vec<String> = lines.collect();
        let codes = *random.one_of(EXCHANGES);
        exchange(dictionary, &lines, codes, random, &mut samples);
    }
    samples
}

/// An EAP packet of an unknown type with so many octets, so that no one dissects it further.
fn eap(octets: usize) -> String {
    let mut packet = vec![0xff; octets];
    if let [code, identifier, high, low, rest @ ..] = &mut *packet {
        (*code, *identifier) = (2, 7);
        [*high, *low] = (octets as u16).to_be_bytes();
        rest.iter_mut().zip([250]).for_each(|(octet, kind)| *octet = kind);
    }
    packet.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// So many lines to a packet that several stand in each, and that all fit.
fn batches(dictionary: &Dictionary, lines: &[String]) -> Vec<Vec<String>> {
    let room = PACKET_OCTETS_MAX - HEADER_OCTETS - 18;
    let secret = secret();
    let octets = |lines: &[String]| {
        let text = lines.join("\n");
        let parsed = text::parse(dictionary, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let sealing = sealing(Hop { secret: &secret, request_authenticator: &[0; 16] });
        text::write(dictionary, &parsed, Some(sealing), &mut Vec::new()).map_or(usize::MAX, |octets| octets)
    };
    let mut batches: Vec<Vec<String>> = vec![Vec::new()];
    for line in lines {
        let last = batches.last_mut().expect("there is one");
        last.push(line.clone());
        // A packet has one State (RFC 2865 §5.24).
        let states = last.iter().filter(|line| line.starts_with("State ")).count();
        if last.len() > 1 && (last.len() > LINES_MAX || octets(last) > room || states > 1) {
            last.pop();
            batches.push(vec![line.clone()]);
        }
    }
    batches
}

fn sealing(hop: Hop<'_>) -> text::Sealing<'_> {
    text::Sealing { hop, salt: 0x8000 }
}

/// A request with these attributes, and a reply with them, too.
fn exchange(
    dictionary: &Dictionary,
    lines: &[String],
    (request, reply, port): (Code, Code, u16),
    random: &mut Random,
    samples: &mut Vec<Sample>,
) {
    let secret = secret();
    let number = samples.len() as u32;
    let parsed = text::parse(dictionary, &lines.join("\n")).expect("it was parsed before");
    let attributes = |authenticator: &[u8; 16]| {
        let hop = Hop { secret: &secret, request_authenticator: authenticator };
        let mut attributes = Vec::new();
        let written = text::write(dictionary, &parsed, Some(sealing(hop)), &mut attributes);
        written.unwrap_or_else(|error| panic!("{lines:?}: {error}"));
        attributes
    };
    let authenticator = random.authenticator();
    let access = matches!(request, Code::AccessRequest | Code::StatusServer);
    let sign = if access { MessageAuthenticator::First } else { MessageAuthenticator::Absent };
    let identifier = random.number() as u8;
    let mut octets = Vec::new();
    let mut encoder = Encoder::request(&mut octets, request, identifier, &authenticator, sign);
    encoder.raw(&attributes(&authenticator)).expect("a batch fits");
    let authenticator = encoder.finish_request(&secret);
    let origin = lines.join(", ");
    let sample = |octets, direction, signed| {
        let origin = origin.clone();
        Sample { octets, direction, port, exchange: number, signed, origin }
    };
    // tshark checks no request but an Accounting-Request.
    samples.push(sample(octets, Direction::Request, request == Code::AccountingRequest));
    let mut octets = Vec::new();
    let mut encoder = Encoder::reply(&mut octets, reply, identifier, sign);
    encoder.raw(&attributes(&authenticator)).expect("a batch fits");
    encoder.finish_reply(&secret, &authenticator);
    // Nor does it take a Status-Server for a request.
    samples.push(sample(octets, Direction::Reply, request != Code::StatusServer));
}

/// Packets that our writer has no part in: the seeds of the fuzzer, attributes at random, and either with octets changed.
pub fn foreign(dictionary: &Dictionary, written: &[Sample], random: &mut Random) -> Vec<Sample> {
    let mut packets = seeds();
    for (name, code, attributes) in BY_HAND {
        let mut octets = packet(attributes, random);
        octets[0] = *code;
        packets.push((format!("by hand: {name}"), octets));
    }
    let known: Vec<_> = dictionary.attributes().filter(|attribute| !attribute.internal()).collect();
    for number in 0..RANDOM_PACKETS {
        let mut attributes = Vec::new();
        for _ in 0..1 + random.below(8) {
            let oid = random.one_of(&known).oid();
            attribute(oid.parts(), random, &mut attributes);
        }
        packets.push((format!("random {number}"), packet(&attributes, random)));
    }
    for number in 0..MUTATED_PACKETS {
        let mut octets = match random.below(3) {
            0 => random.one_of(&packets).1.clone(),
            _ => random.one_of(written).octets.clone(),
        };
        // Long packets mutated are much the same over and over.
        if octets.len() > 600 {
            continue;
        }
        mutate(&mut octets, random);
        packets.push((format!("mutated {number}"), octets));
    }
    let sample = |(number, (origin, octets)): (usize, (String, Vec<u8>))| {
        let (exchange, direction) = (1 << 20 | number as u32, Direction::Request);
        Sample { octets, direction, port: 1812, exchange, signed: false, origin }
    };
    packets.into_iter().enumerate().map(sample).collect()
}

/// One attribute of these numbers whose value is random, with all lengths right; of random length, too.
fn attribute(parts: &[u32], random: &mut Random, out: &mut Vec<u8>) {
    let length = *random.one_of(&[1, 2, 3, 4, 4, 4, 5, 6, 8, 16, 17, 18, 19, 20, 34, 35, 50]);
    let mut value = random.octets(length);
    let header = |number: u32, value: Vec<u8>| [&[number as u8, value.len() as u8 + 2], &*value].concat();
    let (headers, tlvs) = match parts {
        [26, _, _, tlvs @ ..] => (3, tlvs),
        [241..=246, 26, _, _, tlvs @ ..] => (4, tlvs),
        [241..=246, _, tlvs @ ..] => (2, tlvs),
        [_, tlvs @ ..] => (1, tlvs),
        [] => return,
    };
    for number in tlvs.iter().rev() {
        value = header(*number, value);
        // Two in one, at times.
        if random.below(4) == 0 {
            let more = random.octets(3);
            value = [value, header(*number + 1, more)].concat();
        }
    }
    let value = match &parts[..headers.min(parts.len())] {
        [26, vendor, number] => [&vendor.to_be_bytes(), &*header(*number, value)].concat(),
        [241..=244, extended] => [&[*extended as u8], &*value].concat(),
        [245 | 246, extended] => [&[*extended as u8, 0], &*value].concat(),
        [241..=244, 26, vendor, number] => {
            [&[26], &vendor.to_be_bytes()[..], &[*number as u8], &value].concat()
        }
        [245 | 246, 26, vendor, number] => {
            [&[26, 0], &vendor.to_be_bytes()[..], &[*number as u8], &value].concat()
        }
        _ => value,
    };
    out.extend_from_slice(&header(parts[0], value));
}

fn packet(attributes: &[u8], random: &mut Random) -> Vec<u8> {
    let octets = HEADER_OCTETS + attributes.len();
    let code = *random.one_of(&[1, 1, 2, 4, 5, 11, 40, 43]);
    let header = [code, random.number() as u8, (octets >> 8) as u8, octets as u8];
    [&header, &random.authenticator()[..], attributes].concat()
}

/// Changes something: an octet, a length, a place, the end.
fn mutate(octets: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        let behind = octets.len().saturating_sub(HEADER_OCTETS);
        if behind == 0 {
            octets.extend(random.octets(7));
            continue;
        }
        let place = HEADER_OCTETS + random.below(behind);
        match random.below(12) {
            0..4 => octets[place] = random.number() as u8,
            4..6 => octets[place] ^= 1 << random.below(8),
            6 => octets[place] = *random.one_of(&[0, 1, 2, 3, 0x1f, 0x20, 0x7f, 0x80, 0xff]),
            7 => {
                octets.remove(place);
            }
            8 => octets.insert(place, random.number() as u8),
            9 => octets.truncate(place),
            10 => octets.extend_from_within(place..),
            _ => octets[random.below(4)] = random.number() as u8,
        }
    }
    octets.truncate(PACKET_OCTETS_MAX);
    // Mostly the length is right again, so that what is within is looked at.
    if random.below(8) > 0 && octets.len() >= 4 {
        let length = (octets.len() as u16).to_be_bytes();
        octets[2..4].copy_from_slice(&length);
    }
}

/// The fuzzer's seeds: packets as they are, attributes and text made into packets.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut random = Random::new(7);
    let mut seeds = Vec::new();
    for target in ["frame", "verify", "attributes"] {
        let files = std::fs::read_dir(folder.join(target)).expect("each target has seeds");
        let mut files: Vec<_> = files.map(|file| file.expect("the folder can be read").path()).collect();
        files.sort();
        for file in files {
            let data = std::fs::read(&file).expect("a seed can be read");
            let octets = if target == "attributes" { packet(&data, &mut random) } else { data };
            let name = file.strip_prefix(&folder).expect("it stands in there").display().to_string();
            seeds.push((name, octets));
        }
    }
    seeds
}

/// What no name leads to.
const NAMELESS: &[&str] = &[
    "Attr-242.1 = 0x61",
    "Attr-244.200 = 0x6162",
    "Attr-241.26.32473.1 = 0x616263",
    "Attr-242.26.32473.1 = 0x616263",
    "Attr-244.26.9.2 = 0x616263",
    "Attr-245.26.32473.1 = 0x616263",
    "Attr-26.32473.1 = 0x616263",
    "Attr-250 = 0x616263",
    "Attr-241.0 = 0x616263",
    "Attr-26.529.103 = 0x616263",
];

/// Right in number and length, and nothing that the data type holds.
pub const NONSENSE: &[&str] = &[
    "Attr-69 = 0xce8001000102030405060708090a0b0c0d0e0f",
    "Attr-211 = 0xea8001000102030405060708090a0b0c0d0e0f",
    "Attr-212 = 0x8001",
    "Attr-198 = 0x01",
    "Attr-141 = 0x01020304",
    "Attr-97 = 0x002020010db800000001",
    "Attr-26.529.242 = 0x01",
    "Attr-26.10415.5 = 0x0291fb0a453a4367",
    "Attr-26.10415.22 = 0x8e5ef865d86a7eb6237cf50e290f",
    "Attr-26.10415.23 = 0x01",
];

/// Packets made by hand: each a case that changed octets do not meet in every run of dice.
const BY_HAND: &[(&str, u8, &[u8])] = &[
    ("a code of Ascend's", 29, &[1, 3, b'a']),
    ("a code younger than tshark", 52, &[1, 3, b'a']),
    (
        "a vendor's attribute that overruns",
        1,
        &[26, 10, 0, 0, 0x7e, 0xd9, 1, 200, 1, 2, 1, 3, b'a', 1, 3, b'b'],
    ),
    ("a vendor's text without octets", 1, &[26, 9, 0, 0, 0x60, 0xb5, 202, 3, 0]),
    (
        "pieces of a vendor's value, and another attribute between",
        1,
        &[
            26, 10, 0, 0, 0x60, 0xb5, 202, 4, 0x80, b'a', 1, 3, b'b', 26, 10, 0, 0, 0x60, 0xb5, 202, 4, 0,
            b'c',
        ],
    ),
    (
        "an extended attribute without a type",
        1,
        &[246, 3, 0, 26, 9, 0, 0, 0x7e, 0xd9, 1, 3, b'a', 1, 3, b'a'],
    ),
];
const EXCHANGES: &[(Code, Code, u16)] = &[
    (Code::AccessRequest, Code::AccessAccept, 1812),
    (Code::AccountingRequest, Code::AccountingResponse, 1813),
    (Code::AccessRequest, Code::AccessReject, 1812),
    (Code::CoaRequest, Code::CoaAck, 3799),
    (Code::AccessRequest, Code::AccessChallenge, 1812),
    (Code::DisconnectRequest, Code::DisconnectNak, 3799),
    (Code::StatusServer, Code::AccessAccept, 1812),
    (Code::CoaRequest, Code::CoaNak, 3799),
    (Code::DisconnectRequest, Code::DisconnectAck, 3799),
];
const LINES_MAX: usize = 5;
const RANDOM_PACKETS: usize = 2500;
const MUTATED_PACKETS: usize = 3000;
