//! A peer of MS-CHAPv2 and its NAS, written down a second time. RFC 2759, RFC 2548.

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use md4::Md4;
use sha1::{Digest, Sha1};

/// What the NAS sends to its peer.
pub const CHALLENGE: [u8; 16] = *b"the NAS's octets";
const PEER_CHALLENGE: [u8; 16] = *b"those of a peer.";

/// An attribute of Microsoft's.
pub fn attribute(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("it is short");
    [&[26, 8 + length, 0, 0, 1, 0x37, number, 2 + length], value].concat()
}

/// MS-CHAP-Challenge and MS-CHAP2-Response, with identifier 7, of a peer with this name and password.
pub fn attributes(name: &[u8], password: &str) -> Vec<u8> {
    let response = [&[7, 0][..], &PEER_CHALLENGE, &[0; 8], &nt_response(name, password)].concat();
    [attribute(11, &CHALLENGE), attribute(25, &response)].concat()
}

fn hash(password: &str) -> [u8; 16] {
    let units: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Md4::digest(units).into()
}

fn challenge_hash(name: &[u8]) -> [u8; 8] {
    let digest = Sha1::digest([&PEER_CHALLENGE, &CHALLENGE, name].concat());
    digest[..8].try_into().expect("eight")
}

fn nt_response(name: &[u8], password: &str) -> Vec<u8> {
    let padded = [&hash(password)[..], &[0; 5]].concat();
    let keys = padded.chunks(7).map(|raw| {
        let bits: Vec<u8> =
            raw.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
        let octets = bits.chunks(7).map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | bit) << 1);
        <[u8; 8]>::try_from(octets.collect::<Vec<u8>>()).expect("eight")
    });
    keys.flat_map(|key| {
        let mut block = challenge_hash(name).into();
        Des::new(&key.into()).encrypt_block(&mut block);
        <[u8; 8]>::from(block)
    })
    .collect()
}

/// What the server has to say for the peer to believe that it knows the password, too.
pub fn authenticator_response(name: &[u8], password: &str) -> String {
    let twice = Md4::digest(hash(password));
    let signed = [&twice[..], &nt_response(name, password), b"Magic server to client signing constant"];
    let signed = Sha1::digest(signed.concat());
    let padded = [&signed[..], &challenge_hash(name), b"Pad to make it do more than one iteration"];
    let digest = Sha1::digest(padded.concat());
    format!("S={}", digest.iter().map(|octet| format!("{octet:02X}")).collect::<String>())
}

/// MS-MPPE-Send-Key and MS-MPPE-Recv-Key (RFC 3079 §3).
pub fn keys(name: &[u8], password: &str) -> [Vec<u8>; 2] {
    let twice = Md4::digest(hash(password));
    let master =
        Sha1::digest([&twice[..], &nt_response(name, password), b"This is the MPPE Master Key"].concat());
    [
        "receive key; on the server side, it is the send key.",
        "send key; on the server side, it is the receive key.",
    ]
    .map(|end| {
        let magic = format!("On the client side, this is the {end}");
        let key = Sha1::digest([&master[..16], &[0; 40], magic.as_bytes(), &[0xf2; 40]].concat());
        key[..16].to_vec()
    })
}
