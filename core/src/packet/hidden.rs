//! Attributes that hide their value under the secret. RFC 2865 §5.2 (User-Password).
//!
//! Hiding is per hop: a proxy reveals with one secret and authenticator and hides with others (RFC 2865 §2.3).

use crate::packet::{AUTHENTICATOR_OCTETS, Secret};
use core::fmt;

/// The longest password, and the longest User-Password value (RFC 2865 §5.2).
pub const USER_PASSWORD_OCTETS_MAX: usize = 128;
/// Values are hidden in blocks of one MD5 each.
const BLOCK_OCTETS: usize = 16;

/// Reveals the value of User-Password into `out` and gives the password, without the NULs that pad it.
///
/// Under a wrong secret the result is noise: there is no check in it. A password that itself ends in NUL cannot be told
/// from its padding (RFC 2865 §5.2); it loses them.
///
/// # Errors
/// [`HiddenError::BadLength`] unless `value` has 16, 32, … 128 octets.
pub fn reveal_user_password<'o>(
    value: &[u8],
    secret: &Secret,
    request_authenticator: &[u8; AUTHENTICATOR_OCTETS],
    out: &'o mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    let (blocks, odd) = value.as_chunks::<BLOCK_OCTETS>();
    if blocks.is_empty() || !odd.is_empty() || value.len() > USER_PASSWORD_OCTETS_MAX {
        return Err(HiddenError::BadLength { octets: value.len() });
    }
    let mut before = request_authenticator;
    for (block, revealed) in blocks.iter().zip(out.as_chunks_mut().0) {
        *revealed = cover(block, secret, before);
        before = block;
    }
    let revealed = &out[..value.len()];
    let octets = revealed.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    Ok(&revealed[..octets])
}

/// Hides `password` into `out` and gives the value of User-Password: padded with NULs to a multiple of 16.
///
/// An empty password is hidden as one block of padding: RFC 2865 §5.2 knows none, but users send them, and what was
/// revealed must be hidden again for the next hop.
///
/// # Errors
/// [`HiddenError::TooLong`] above 128 octets.
pub fn hide_user_password<'o>(
    password: &[u8],
    secret: &Secret,
    request_authenticator: &[u8; AUTHENTICATOR_OCTETS],
    out: &'o mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    if password.len() > USER_PASSWORD_OCTETS_MAX {
        return Err(HiddenError::TooLong { octets: password.len() });
    }
    let octets = password.len().next_multiple_of(BLOCK_OCTETS).max(BLOCK_OCTETS);
    let padded = &mut out[..octets];
    padded[..password.len()].copy_from_slice(password);
    padded[password.len()..].fill(0);
    let mut before = *request_authenticator;
    for block in padded.as_chunks_mut().0 {
        *block = cover(block, secret, &before);
        before = *block;
    }
    Ok(padded)
}

/// One block hidden or revealed: XOR with MD5 of the secret and the hidden block before, or the authenticator.
#[inline]
fn cover(block: &[u8; BLOCK_OCTETS], secret: &Secret, before: &[u8; BLOCK_OCTETS]) -> [u8; BLOCK_OCTETS] {
    let mut covered = secret.md5_at_start(before);
    for (covered, octet) in covered.iter_mut().zip(block) {
        *covered ^= octet;
    }
    covered
}

/// Why a value cannot be hidden or revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenError {
    /// A User-Password that is not 16, 32, … 128 octets: the peer's fault.
    BadLength {
        /// How many it has.
        octets: usize,
    },
    /// More than can be hidden.
    TooLong {
        /// How many the password has.
        octets: usize,
    },
}

impl fmt::Display for HiddenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HiddenError::BadLength { octets } => {
                write!(f, "a User-Password of {octets} octets, not a multiple of 16 up to 128")
            }
            HiddenError::TooLong { octets } => {
                write!(f, "a password of {octets} octets passes {USER_PASSWORD_OCTETS_MAX}")
            }
        }
    }
}

impl core::error::Error for HiddenError {}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHENTICATOR: [u8; 16] =
        [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
    const VALUE: [u8; 16] =
        [0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee];

    fn secret() -> Secret {
        Secret::new(b"xyzzy5461").expect("not empty")
    }

    #[test]
    fn the_password_of_rfc_2865_section_7_1_is_hidden_and_revealed() {
        // checklist 9
        let mut out = [0xff; 128];
        let hidden = hide_user_password(b"arctangent", &secret(), &AUTHENTICATOR, &mut out);
        assert_eq!(hidden, Ok(&VALUE[..]));
        let revealed = reveal_user_password(&VALUE, &secret(), &AUTHENTICATOR, &mut out);
        assert_eq!(revealed, Ok(&b"arctangent"[..]));
    }

    #[test]
    fn only_whole_blocks_up_to_128_octets_are_revealed() {
        // checklist 9
        let mut out = [0; 128];
        for octets in [0, 1, 15, 17, 127, 129, 144, 253] {
            let value = alloc::vec![0; octets];
            assert_eq!(
                reveal_user_password(&value, &secret(), &AUTHENTICATOR, &mut out),
                Err(HiddenError::BadLength { octets })
            );
        }
        assert_eq!(
            hide_user_password(&[b'x'; 129], &secret(), &AUTHENTICATOR, &mut out),
            Err(HiddenError::TooLong { octets: 129 })
        );
    }

    #[test]
    fn values_are_padded_to_whole_blocks() {
        // checklist 9
        let mut out = [0; 128];
        for (octets, value) in [(0, 16), (1, 16), (16, 16), (17, 32), (112, 112), (113, 128), (128, 128)] {
            let password = alloc::vec![b'p'; octets];
            let hidden = hide_user_password(&password, &secret(), &AUTHENTICATOR, &mut out)
                .expect("128 octets can be hidden")
                .to_vec();
            assert_eq!(hidden.len(), value);
            assert_eq!(reveal_user_password(&hidden, &secret(), &AUTHENTICATOR, &mut out), Ok(&password[..]));
        }
    }
}
