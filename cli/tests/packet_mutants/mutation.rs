//! Ways in which a packet is damaged. None of them knows the secret.

use crate::draw::Draw;
use crate::packet::{
    ACCESS_REQUEST, ACCOUNTING_REQUEST, Digests, EAP_MESSAGE, MESSAGE_AUTHENTICATOR, PROXY_STATE, STATE,
    STATUS_SERVER, attributes, push, set_length,
};

/// Damages a packet; the second one is another of the same port.
type Damage = fn(&mut Draw, &[u8], &[u8]) -> Vec<u8>;

pub const MUTATIONS: [(&str, Damage); 28] = [
    ("bits flipped", bits_flipped),
    ("octets set", octets_set),
    ("octet at its edge", octet_at_its_edge),
    ("zeros", zeros),
    ("cut off", cut_off),
    ("cut off, Length as it is", cut_off_and_said_so),
    ("Length changed", length_changed),
    ("attribute's length changed", attribute_length_changed),
    ("attribute's type changed", attribute_type_changed),
    ("attribute removed", attribute_removed),
    ("attribute twice", attribute_twice),
    ("attribute put in", attribute_put_in),
    ("attributes exchanged", attributes_exchanged),
    ("attribute of another packet", attribute_of_another),
    ("attributes of another packet", attributes_of_another),
    ("authenticator of another packet", authenticator_of_another),
    ("Message-Authenticator of another packet", signature_of_another),
    ("Message-Authenticator of another length", signature_of_another_length),
    ("Message-Authenticator removed", signature_removed),
    ("code changed", code_changed),
    ("Identifier changed", identifier_changed),
    ("padded", padded),
    ("padding claimed", padding_claimed),
    ("filled up", filled_up),
    ("too long", too_long),
    ("garbage", garbage),
    ("empty or nearly so", nearly_empty),
    ("signed with another secret", signed_with_another_secret),
];

fn bits_flipped(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    for _ in 0..=draw.below(4) {
        let bit = draw.below(out.len() * 8);
        out[bit / 8] ^= 1 << (bit % 8);
    }
    out
}

fn octets_set(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    for _ in 0..=draw.below(8) {
        let place = draw.below(out.len());
        out[place] = draw.octet();
    }
    out
}

fn octet_at_its_edge(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let octet = &mut out[draw.below(packet.len())];
    *octet = *draw.one_of(&[0, 1, 0x7f, 0x80, 0xff, octet.wrapping_add(1), octet.wrapping_sub(1)]);
    out
}

fn zeros(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let from = draw.below(out.len());
    let to = from + 1 + draw.below(out.len() - from);
    out[from..to].fill(0);
    out
}

fn cut_off(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    packet[..draw.below(packet.len())].to_vec()
}

fn cut_off_and_said_so(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    // At the end of an attribute as often as anywhere.
    let ends: Vec<usize> = attributes(packet).map(|(value, ..)| value - 2).collect();
    let end = if draw.one_in(2) { *draw.one_of(&ends) } else { 20 + draw.below(packet.len() - 20) };
    with_length(packet[..end].to_vec())
}

fn length_changed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let length = packet.len() as u16;
    let drawn = draw.word() as u16;
    let lengths =
        [0, 1, 19, 20, 21, length - 1, length + 1, length - 2, 4096, 4097, 0xffff, drawn, drawn % 4097];
    out[2..4].copy_from_slice(&draw.one_of(&lengths).to_be_bytes());
    out
}

fn attribute_length_changed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let octets = &mut out[drawn_attribute(draw, packet).0 + 1];
    let drawn = draw.octet();
    *octets = *draw.one_of(&[0, 1, 2, 3, 0xff, octets.wrapping_add(1), octets.wrapping_sub(1), drawn]);
    out
}

fn attribute_type_changed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let place = drawn_attribute(draw, packet).0;
    out[place] = drawn_type(draw);
    out
}

fn attribute_removed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let (from, to) = drawn_attribute(draw, packet);
    with_length([&packet[..from], &packet[to..]].concat())
}

fn attribute_twice(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let (from, to) = drawn_attribute(draw, packet);
    with_length([&packet[..to], &packet[from..]].concat())
}

fn attribute_put_in(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut attribute = Vec::new();
    let length = draw.below(40);
    draw.extend(&mut attribute, length);
    let value = std::mem::take(&mut attribute);
    push(&mut attribute, drawn_type(draw), &value);
    let place = drawn_attribute(draw, packet).0;
    with_length([&packet[..place], &attribute, &packet[place..]].concat())
}

fn attributes_exchanged(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let [one, other] = [drawn_attribute(draw, packet), drawn_attribute(draw, packet)];
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    if first == second {
        return packet.to_vec();
    }
    [
        &packet[..first.0],
        &packet[second.0..second.1],
        &packet[first.1..second.0],
        &packet[first.0..first.1],
        &packet[second.1..],
    ]
    .concat()
}

fn attribute_of_another(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let (from, to) = drawn_attribute(draw, other);
    let (mut before, mut after) = drawn_attribute(draw, packet);
    // In the place of one, or between two.
    match draw.below(3) {
        0 => after = before,
        1 => before = after,
        _ => {}
    }
    with_length([&packet[..before], &other[from..to], &packet[after..]].concat())
}

fn attributes_of_another(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let (_, to) = drawn_attribute(draw, packet);
    let (from, _) = drawn_attribute(draw, other);
    with_length([&packet[..to], &other[from..]].concat())
}

fn authenticator_of_another(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    // All of it, or as much as somebody may guess.
    let octets = if draw.one_in(2) { 16 } else { 1 + draw.below(16) };
    out[4..4 + octets].copy_from_slice(&other[4..4 + octets]);
    out
}

fn signature_of_another(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    if let (Some((from, ..)), Some((value, ..))) = (signature(other), signature(packet)) {
        out[value..value + 16].copy_from_slice(&other[from..from + 16]);
    } else {
        let place = draw.below(16);
        out[4 + place] ^= 1;
    }
    out
}

fn signature_of_another_length(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let Some((value, ..)) = signature(packet) else { return attribute_put_in(draw, packet, &[]) };
    let length = *draw.one_of(&[0, 1, 15, 17, 32, 253]);
    let mut attribute = Vec::new();
    push(&mut attribute, MESSAGE_AUTHENTICATOR, &packet[value..value + 16].repeat(16)[..length]);
    with_length([&packet[..value - 2], &attribute, &packet[value + 16..]].concat())
}

fn signature_removed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let Some((value, ..)) = signature(packet) else { return attribute_removed(draw, packet, &[]) };
    with_length([&packet[..value - 2], &packet[value + 16..]].concat())
}

fn code_changed(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let drawn = draw.octet();
    out[0] = *draw.one_of(&[
        ACCESS_REQUEST,
        2,
        3,
        ACCOUNTING_REQUEST,
        5,
        11,
        STATUS_SERVER,
        13,
        40,
        43,
        52,
        drawn,
        drawn,
    ]);
    out
}

fn identifier_changed(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    out[1] = if draw.one_in(2) { other[1] } else { draw.octet() };
    out
}

fn padded(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    match draw.below(4) {
        0 => out.extend_from_slice(other),
        1 => out.resize(out.len() + 1 + draw.below(4200), draw.octet()),
        _ => {
            let length = 1 + draw.below(64);
            draw.extend(&mut out, length);
        }
    }
    out
}

fn padding_claimed(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    with_length(padded(draw, packet, other))
}

/// Up to 4 096 octets, or one more: with attributes that hold.
fn filled_up(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let length = 4096 + draw.below(2);
    while length - out.len() > 2 {
        let value = [draw.octet(); 253];
        let octets = (length - out.len() - 2).min(253);
        push(&mut out, PROXY_STATE, &value[..octets]);
    }
    with_length(out)
}

fn too_long(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let giant = draw.one_in(500);
    let length = if giant { DATAGRAM_MAX } else { 4097 + draw.below(5000) };
    out.resize(length, draw.octet());
    if draw.one_in(2) { with_length(out) } else { out }
}

fn garbage(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let length = draw.below(300);
    draw.extend(&mut out, length);
    if draw.one_in(2) && out.len() >= 20 {
        out[..2].copy_from_slice(&packet[..2]);
        out = with_length(out);
    }
    out
}

fn nearly_empty(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    match draw.below(3) {
        0 => Vec::new(),
        1 => packet[..draw.below(20)].to_vec(),
        _ => with_length(packet[..20].to_vec()),
    }
}

fn signed_with_another_secret(draw: &mut Draw, packet: &[u8], _: &[u8]) -> Vec<u8> {
    let secret: [u8; 12] = draw.octets();
    let mut out = packet.to_vec();
    Digests::new(&secret).sign(&mut out);
    out
}

/// A packet with a few of the damages that leave its attributes whole, for somebody with the secret to sign.
pub fn oddities(draw: &mut Draw, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let whole: [Damage; 7] = [
        attribute_type_changed,
        attribute_removed,
        attribute_twice,
        attribute_put_in,
        attributes_exchanged,
        attribute_of_another,
        attributes_of_another,
    ];
    let mut out = packet.to_vec();
    for _ in 0..=draw.below(3) {
        // All that is left may be a header.
        if out.len() > 20 {
            out = draw.one_of(&whole)(draw, &out, other);
        }
    }
    out
}

/// The largest over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// Where an attribute begins and ends.
fn drawn_attribute(draw: &mut Draw, packet: &[u8]) -> (usize, usize) {
    let all = attributes(packet).map(|(value, _, octets)| (value - 2, value + octets.len()));
    let count = attributes(packet).count();
    all.into_iter().nth(draw.below(count)).expect("it has that many")
}

/// Those that a server looks at, more often than others.
fn drawn_type(draw: &mut Draw) -> u8 {
    let drawn = draw.octet();
    *draw.one_of(&[
        1,
        2,
        3,
        26,
        60,
        STATE,
        PROXY_STATE,
        EAP_MESSAGE,
        MESSAGE_AUTHENTICATOR,
        drawn,
        drawn,
        drawn,
    ])
}

fn signature(packet: &[u8]) -> Option<(usize, u8, &[u8])> {
    attributes(packet).find(|&(_, kind, _)| kind == MESSAGE_AUTHENTICATOR)
}

fn with_length(mut packet: Vec<u8>) -> Vec<u8> {
    set_length(&mut packet);
    packet
}
