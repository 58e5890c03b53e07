//! CHAP-Password against a known password, and of one. RFC 2865 §2.2 and §5.3, RFC 1994 §4.1.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// CHAP identifier and response: the value of CHAP-Password (RFC 2865 §5.3).
pub const CHAP_PASSWORD_OCTETS: usize = 17;

/// Whether `chap_password` (CHAP identifier, then 16 octets of response) answers `challenge` with `password`.
///
/// The challenge is CHAP-Challenge or else the Request Authenticator: [`crate::packet::Framed::chap_challenge`]. A value
/// that has not 17 octets answers nothing. The response is compared in constant time.
pub fn chap_matches(chap_password: &[u8], challenge: &[u8], password: &[u8]) -> bool {
    let Ok([identifier, response @ ..]) = <&[u8; CHAP_PASSWORD_OCTETS]>::try_from(chap_password) else {
        return false;
    };
    self::response(*identifier, challenge, password).ct_eq(response).into()
}

/// The value of CHAP-Password that answers `challenge` with `password`, under this CHAP identifier.
pub fn chap_password(identifier: u8, challenge: &[u8], password: &[u8]) -> [u8; CHAP_PASSWORD_OCTETS] {
    let mut value = [identifier; CHAP_PASSWORD_OCTETS];
    value[1..].copy_from_slice(&response(identifier, challenge, password));
    value
}

/// RFC 1994 §4.1: MD5 over identifier, secret and challenge.
fn response(identifier: u8, challenge: &[u8], password: &[u8]) -> [u8; CHAP_PASSWORD_OCTETS - 1] {
    let digest = Md5::new().chain_update([identifier]).chain_update(password).chain_update(challenge);
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_of_rfc_2865_section_7_2_matches_its_password_only() {
        let chap_password = [
            0x16, 0xe9, 0x75, 0x57, 0xc3, 0x16, 0x18, 0x58, 0x95, 0xf2, 0x93, 0xff, 0x63, 0x44, 0x07, 0x72,
            0x75,
        ];
        let challenge =
            [0x2a, 0xee, 0x86, 0xf0, 0x8d, 0x0d, 0x55, 0x96, 0x9c, 0xa5, 0x97, 0x8e, 0x0d, 0x33, 0x67, 0xa2];
        assert_eq!(super::chap_password(0x16, &challenge, b"arctangent"), chap_password);
        assert!(chap_matches(&chap_password, &challenge, b"arctangent"));
        assert!(!chap_matches(&chap_password, &challenge, b"arctangens"));
        assert!(!chap_matches(&chap_password, &challenge[..15], b"arctangent"));
        assert!(!chap_matches(&chap_password[..16], &challenge, b"arctangent"));
        assert!(!chap_matches(&[], &challenge, b"arctangent"));
    }
}
