//! What a peer of MS-CHAPv2 is told in an Access-Accept or Access-Reject: Microsoft's attributes. RFC 2548 §2.1.5, §2.3.3,
//! §2.4.2 to §2.4.5; RFC 2759 §5, §6.

use crate::attributes::Sealing;
use crate::authenticate::mschap::{CHALLENGE_OCTETS, MICROSOFT, Proof, write_hexadecimal};
use crate::dictionary::Encryption;
use crate::packet::{Oid, VALUE_OCTETS_MAX, number};
use alloc::vec::Vec;

/// That we know the password, too, and the keys for what follows. Attributes that are set elsewhere are left out.
pub fn write_success(
    proof: &Proof,
    sealing: &mut Sealing<'_>,
    is_set: impl Fn(&Oid) -> bool,
    out: &mut Vec<u8>,
) {
    let mut write = |kind: u8, pieces: &[&[u8]]| write(kind, pieces, &is_set, out);
    write(SUCCESS, &[&[proof.identifier], &proof.authenticator_response]);
    write(ENCRYPTION_POLICY, &[&ENCRYPTION_ALLOWED]);
    write(ENCRYPTION_TYPES, &[&ONLY_128_BITS]);
    for (kind, key) in [(SEND_KEY, &proof.keys.send), (RECEIVE_KEY, &proof.keys.receive)] {
        let mut room = [0; VALUE_OCTETS_MAX];
        let hidden = sealing.hide(Encryption::TunnelPassword, &**key, &mut room);
        write(kind, &[hidden.expect("a key is shorter than what can be hidden")]);
    }
}

/// That the response is wrong, no other is asked for, and why: always the same (RFC 2759 §6).
pub fn write_failure(
    identifier: u8,
    challenge: [u8; CHALLENGE_OCTETS],
    is_set: impl Fn(&Oid) -> bool,
    out: &mut Vec<u8>,
) {
    let mut digits = [0; 2 * CHALLENGE_OCTETS];
    write_hexadecimal(&challenge, &mut digits);
    let pieces: [&[u8]; 4] = [&[identifier], b"E=691 R=0 C=", &digits, b" V=3 M=Authentication failed"];
    write(ERROR, &pieces, &is_set, out);
}

/// In a Vendor-Specific of its own, as most do (RFC 2865 §5.26).
fn write(kind: u8, pieces: &[&[u8]], is_set: &impl Fn(&Oid) -> bool, out: &mut Vec<u8>) {
    let numbers = [u32::from(number::VENDOR_SPECIFIC), MICROSOFT, u32::from(kind)];
    if is_set(&Oid::new(&numbers).expect("three numbers")) {
        return;
    }
    let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
    let length = u8::try_from(octets + 2).expect("all of them are short");
    out.extend_from_slice(&[number::VENDOR_SPECIFIC, length + 6]);
    out.extend_from_slice(&MICROSOFT.to_be_bytes());
    out.extend_from_slice(&[kind, length]);
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

/// RFC 2548 §2.1.5.
const ERROR: u8 = 2;
/// RFC 2548 §2.4.4.
const ENCRYPTION_POLICY: u8 = 7;
/// RFC 2548 §2.4.5.
const ENCRYPTION_TYPES: u8 = 8;
/// RFC 2548 §2.4.2.
const SEND_KEY: u8 = 16;
/// RFC 2548 §2.4.3.
const RECEIVE_KEY: u8 = 17;
/// RFC 2548 §2.3.3.
const SUCCESS: u8 = 26;
/// Whether to encrypt is left to the NAS, unless the configuration says otherwise.
const ENCRYPTION_ALLOWED: [u8; 4] = [0, 0, 0, 1];
/// The S bit: no 40 bits.
const ONLY_128_BITS: [u8; 4] = [0, 0, 0, 4];
