//! The digests of RADIUS over plain slices: authenticators, Message-Authenticator, hidden passwords, CHAP.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// MD5 over several pieces.
pub fn md5(pieces: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Md5::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// HMAC-MD5 over several pieces.
pub fn hmac_md5(key: &[u8], pieces: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes a key of any length");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

/// RFC 2865 §3: MD5(Code + Identifier + Length + Request Authenticator + Attributes + Secret). With sixteen zeros
/// as authenticator it is the Request Authenticator of accounting (RFC 2866 §3). `packet` is Length octets.
pub fn authenticator(packet: &[u8], request_authenticator: &[u8; 16], secret: &[u8]) -> [u8; 16] {
    md5(&[&packet[..4], request_authenticator, &packet[20..], secret])
}

/// RFC 3579 §3.2: HMAC-MD5 over the packet with the Request Authenticator in its place and the value at `value`
/// (16 octets from there) taken as zeros.
pub fn message_authenticator(
    packet: &[u8],
    value: usize,
    request_authenticator: &[u8; 16],
    secret: &[u8],
) -> [u8; 16] {
    hmac_md5(
        secret,
        &[&packet[..4], request_authenticator, &packet[20..value], &[0; 16], &packet[value + 16..]],
    )
}

/// RFC 2865 §5.2: hides a password of 1 to 128 octets (an empty one fills a block of zeros, too).
pub fn hide_password(password: &[u8], request_authenticator: &[u8; 16], secret: &[u8]) -> Vec<u8> {
    let mut padded = password.to_vec();
    padded.resize(password.len().max(1).next_multiple_of(16), 0);
    let mut previous = *request_authenticator;
    for block in padded.chunks_exact_mut(16) {
        let mask = md5(&[secret, &previous]);
        for (octet, mask) in block.iter_mut().zip(mask) {
            *octet ^= mask;
        }
        previous.copy_from_slice(block);
    }
    padded
}

/// The password that [`hide_password`] hid, without its padding; `None` if the length is not a multiple of 16 from
/// 16 to 128.
pub fn reveal_password(hidden: &[u8], request_authenticator: &[u8; 16], secret: &[u8]) -> Option<Vec<u8>> {
    if hidden.is_empty() || hidden.len() > 128 || !hidden.len().is_multiple_of(16) {
        return None;
    }
    let mut password = Vec::with_capacity(hidden.len());
    let mut previous: &[u8] = request_authenticator;
    for block in hidden.chunks_exact(16) {
        let mask = md5(&[secret, previous]);
        password.extend(block.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        previous = block;
    }
    let length = password.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    password.truncate(length);
    Some(password)
}

/// RFC 2865 §5.3: CHAP identifier, then MD5(identifier + password + challenge).
pub fn chap_password(identifier: u8, password: &[u8], challenge: &[u8]) -> [u8; 17] {
    let mut value = [identifier; 17];
    value[1..].copy_from_slice(&md5(&[&[identifier], password, challenge]));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2865 §7.1: user nemo, password arctangent, secret xyzzy5461.
    #[test]
    fn the_example_of_rfc_2865_7_1_hides_and_answers_as_printed() {
        let authenticator_octets =
            [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
        let hidden =
            [0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee];
        assert_eq!(hide_password(b"arctangent", &authenticator_octets, b"xyzzy5461"), hidden);
        let revealed = reveal_password(&hidden, &authenticator_octets, b"xyzzy5461");
        assert_eq!(revealed.as_deref(), Some(&b"arctangent"[..]));
        let reply = [
            0x02, 0x00, 0x00, 0x26, 0x86, 0xfe, 0x22, 0x0e, 0x76, 0x24, 0xba, 0x2a, 0x10, 0x05, 0xf6, 0xbf,
            0x9b, 0x55, 0xe0, 0xb2, 0x06, 0x06, 0x00, 0x00, 0x00, 0x01, 0x0f, 0x06, 0x00, 0x00, 0x00, 0x00,
            0x0e, 0x06, 0xc0, 0xa8, 0x01, 0x03,
        ];
        assert_eq!(authenticator(&reply, &authenticator_octets, b"xyzzy5461"), reply[4..20]);
    }

    /// RFC 2865 §7.2: the password is "arctangent", the challenge the Request Authenticator.
    #[test]
    fn the_example_of_rfc_2865_7_2_is_its_chap_password() {
        let challenge =
            [0x2a, 0xee, 0x86, 0xf0, 0x8d, 0x0d, 0x55, 0x96, 0x9c, 0xa5, 0x97, 0x8e, 0x0d, 0x33, 0x67, 0xa2];
        let printed = [
            0x16, 0xe9, 0x75, 0x57, 0xc3, 0x16, 0x18, 0x58, 0x95, 0xf2, 0x93, 0xff, 0x63, 0x44, 0x07, 0x72,
            0x75,
        ];
        assert_eq!(chap_password(0x16, b"arctangent", &challenge), printed);
    }

    /// RFC 2202 §2, test case 2.
    #[test]
    fn hmac_md5_is_that_of_rfc_2202() {
        let expected =
            [0x75, 0x0c, 0x78, 0x3e, 0x6a, 0xb0, 0xb5, 0x03, 0xea, 0xa8, 0x6e, 0x31, 0x0a, 0x5d, 0xb7, 0x38];
        assert_eq!(hmac_md5(b"Jefe", &[b"what do ya want ", b"for nothing?"]), expected);
    }

    #[test]
    fn long_passwords_come_back_and_odd_lengths_do_not() {
        let password = vec![b'x'; 40];
        let hidden = hide_password(&password, &[1; 16], b"s");
        assert_eq!(hidden.len(), 48);
        assert_eq!(reveal_password(&hidden, &[1; 16], b"s"), Some(password));
        assert_eq!(reveal_password(&hidden[..47], &[1; 16], b"s"), None);
        assert_eq!(reveal_password(&[], &[1; 16], b"s"), None);
    }
}
