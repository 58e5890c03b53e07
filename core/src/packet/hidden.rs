//! Attributes that hide their value under the secret. RFC 2865 §5.2 (User-Password), RFC 2868 §3.5 (Tunnel-Password)
//! and RFC 2548 §2.4.2 (MS-MPPE keys), whose value begins with a salt; Ascend's own way.
//!
//! Hiding is per hop: a proxy reveals with one secret and authenticator and hides with others (RFC 2865 §2.3). It does so
//! block by block ([`rehide_user_password`], [`rehide_salted`]), so that length and padding stay what they were.

use crate::packet::authenticator::NO_AUTHENTICATOR;
use crate::packet::{AUTHENTICATOR_OCTETS, AuthenticatorKind, Code, Framed, Secret, VALUE_OCTETS_MAX};
use core::fmt;

/// The longest password, and the longest User-Password value (RFC 2865 §5.2).
pub const USER_PASSWORD_OCTETS_MAX: usize = 128;
/// A salt stands before the hidden string (RFC 2868 §3.5).
pub const SALT_OCTETS: usize = 2;
/// The longest plain value that can be hidden with a salt: beside it stand tag, salt, and its length within the blocks.
pub const SALTED_PLAIN_OCTETS_MAX: usize = SALTED_BLOCKS_MAX * BLOCK_OCTETS - 1;
/// A secret hidden as Ascend does has one block, padded with NULs.
pub const ASCEND_SECRET_OCTETS: usize = BLOCK_OCTETS;
/// Values are hidden in blocks of one MD5 each.
const BLOCK_OCTETS: usize = 16;
/// As many as fit into an attribute beside salt and tag.
const SALTED_BLOCKS_MAX: usize = (VALUE_OCTETS_MAX - SALT_OCTETS - 1) / BLOCK_OCTETS;

/// One hop: who shares which secret, and the request under whose authenticator a value is hidden (a reply's values are
/// hidden under that of its request, RFC 2868 §3.5).
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The secret of the two ends.
    pub secret: &'a Secret,
    /// Of the request on this hop.
    pub request_authenticator: &'a [u8; AUTHENTICATOR_OCTETS],
}

impl<'a> Hop<'a> {
    /// For what is hidden in a request that came.
    pub fn of_request(secret: &'a Secret, request: &Framed<'a>) -> Hop<'a> {
        let authenticator = request.authenticator();
        let request_authenticator =
            request.code().map_or(authenticator, |code| Hop::authenticator_of_request(code, authenticator));
        Hop { secret, request_authenticator }
    }

    /// Under which authenticator a request's values are hidden. Accounting, CoA and Disconnect compute theirs over the
    /// attributes, so it cannot be in them: zeros stand in its place (RFC 2866 §3). No RFC says so of hidden values;
    /// FreeRADIUS does it.
    pub fn authenticator_of_request(
        code: Code,
        authenticator: &'a [u8; AUTHENTICATOR_OCTETS],
    ) -> &'a [u8; AUTHENTICATOR_OCTETS] {
        match code.authenticator_kind() {
            AuthenticatorKind::Computed => &NO_AUTHENTICATOR,
            AuthenticatorKind::Random | AuthenticatorKind::Response | AuthenticatorKind::Undefined => {
                authenticator
            }
        }
    }
}

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
    let revealed = user_password_blocks(value, out)?;
    reveal(value, secret, secret.md5_at_start([request_authenticator]), revealed);
    let octets = revealed.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    Ok(&revealed[..octets])
}

/// Hides `password` into `out` and gives the value of User-Password: padded with NULs to a multiple of 16.
///
/// An empty password is hidden as one block of padding: RFC 2865 §5.2 knows none, but users send them.
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
        return Err(HiddenError::TooLong { octets: password.len(), max: USER_PASSWORD_OCTETS_MAX });
    }
    let octets = password.len().next_multiple_of(BLOCK_OCTETS).max(BLOCK_OCTETS);
    let padded = &mut out[..octets];
    padded[..password.len()].copy_from_slice(password);
    padded[password.len()..].fill(0);
    hide(padded, secret, secret.md5_at_start([request_authenticator]));
    Ok(padded)
}

/// Hides the value of User-Password anew for the next hop, without looking at the password: same length, same padding.
///
/// # Errors
/// [`HiddenError::BadLength`] unless `value` has 16, 32, … 128 octets.
pub fn rehide_user_password<'o>(
    value: &[u8],
    from: Hop<'_>,
    to: Hop<'_>,
    out: &'o mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    let blocks = user_password_blocks(value, out)?;
    reveal(value, from.secret, from.secret.md5_at_start([from.request_authenticator]), blocks);
    hide(blocks, to.secret, to.secret.md5_at_start([to.request_authenticator]));
    Ok(blocks)
}

/// Reveals `value`, salt and hidden string as they stand behind the tag of Tunnel-Password or in an MS-MPPE key, into
/// `out` and gives what its length octet says is the plain value.
///
/// # Errors
/// [`HiddenError::BadLength`] unless the string has 16, 32, … 240 octets; [`HiddenError::BadPlainLength`] if the length
/// within passes them, as it mostly does under a wrong secret.
pub fn reveal_salted<'o>(
    value: &[u8],
    hop: Hop<'_>,
    out: &'o mut [u8; VALUE_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    let (salt, string) = salted_parts(value)?;
    let revealed = &mut out[..string.len()];
    reveal(string, hop.secret, hop.secret.md5_at_start([hop.request_authenticator, salt]), revealed);
    let (length, plain) = revealed.split_first().expect("a string has at least one block");
    plain.get(..usize::from(*length)).ok_or(HiddenError::BadPlainLength { length: *length })
}

/// Hides `plain` into `out` and gives salt and string. The salt's first bit is set here; the rest of it must be unlike
/// that of every other salted attribute of the packet (RFC 2868 §3.5).
///
/// # Errors
/// [`HiddenError::TooLong`] above 239 octets.
pub fn hide_salted<'o>(
    plain: &[u8],
    salt: [u8; SALT_OCTETS],
    hop: Hop<'_>,
    out: &'o mut [u8; VALUE_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    if plain.len() > SALTED_PLAIN_OCTETS_MAX {
        return Err(HiddenError::TooLong { octets: plain.len(), max: SALTED_PLAIN_OCTETS_MAX });
    }
    let octets = SALT_OCTETS + (1 + plain.len()).next_multiple_of(BLOCK_OCTETS);
    let salted = &mut out[..octets];
    let (salt_out, string) = salted.split_at_mut(SALT_OCTETS);
    salt_out.copy_from_slice(&[salt[0] | 0x80, salt[1]]);
    string[0] = plain.len() as u8;
    string[1..=plain.len()].copy_from_slice(plain);
    string[1 + plain.len()..].fill(0);
    hide(string, hop.secret, hop.secret.md5_at_start([hop.request_authenticator, salt_out]));
    Ok(salted)
}

/// Hides a salted value anew for the next hop, without looking into it: same length, same padding. As with
/// [`hide_salted`], `salt` must be unlike that of every other salted attribute of the packet: of the one that came nobody
/// can say whether it is, nor does it tell what is set beside it.
///
/// # Errors
/// [`HiddenError::BadLength`] unless the string has 16, 32, … 240 octets.
pub fn rehide_salted<'o>(
    value: &[u8],
    from: Hop<'_>,
    salt: [u8; SALT_OCTETS],
    to: Hop<'_>,
    out: &'o mut [u8; VALUE_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    let (salt_before, string) = salted_parts(value)?;
    let salted = &mut out[..value.len()];
    let (salt_out, blocks) = salted.split_at_mut(SALT_OCTETS);
    salt_out.copy_from_slice(&[salt[0] | 0x80, salt[1]]);
    reveal(string, from.secret, from.secret.md5_at_start([from.request_authenticator, salt_before]), blocks);
    hide(blocks, to.secret, to.secret.md5_at_start([to.request_authenticator, salt_out]));
    Ok(salted)
}

/// Hides or reveals the one block of Ascend-Send-Secret and its like: XOR with MD5 of the Request Authenticator and the
/// secret, which is its own inverse. No RFC says it; Ascend's and FreeRADIUS's servers do.
pub fn ascend_secret(
    block: &[u8; ASCEND_SECRET_OCTETS],
    secret: &Secret,
    request_authenticator: &[u8; AUTHENTICATOR_OCTETS],
) -> [u8; ASCEND_SECRET_OCTETS] {
    xor(block, &secret.md5_at_end([request_authenticator]))
}

/// As much of `out` as this value of User-Password has octets, if it can be one.
fn user_password_blocks<'o>(
    value: &[u8],
    out: &'o mut [u8; USER_PASSWORD_OCTETS_MAX],
) -> Result<&'o mut [u8], HiddenError> {
    if value.is_empty() || !value.len().is_multiple_of(BLOCK_OCTETS) || value.len() > USER_PASSWORD_OCTETS_MAX
    {
        return Err(HiddenError::BadLength { octets: value.len() });
    }
    Ok(&mut out[..value.len()])
}

/// Salt and string, if the string is whole blocks.
fn salted_parts(value: &[u8]) -> Result<(&[u8], &[u8]), HiddenError> {
    let bad = HiddenError::BadLength { octets: value.len() };
    let (salt, string) = value.split_at_checked(SALT_OCTETS).ok_or(bad)?;
    let blocks = string.len() / BLOCK_OCTETS;
    if !string.len().is_multiple_of(BLOCK_OCTETS) || !(1..=SALTED_BLOCKS_MAX).contains(&blocks) {
        return Err(bad);
    }
    Ok((salt, string))
}

/// Reveals whole blocks from `hidden` into `out`, which is as long: XOR with `mask`, which for all but the first block
/// is MD5 of the secret and the hidden block before.
fn reveal(hidden: &[u8], secret: &Secret, mut mask: [u8; BLOCK_OCTETS], out: &mut [u8]) {
    let mut blocks = hidden.as_chunks::<BLOCK_OCTETS>().0.iter().zip(out.as_chunks_mut().0).peekable();
    while let Some((block, revealed)) = blocks.next() {
        *revealed = xor(block, &mask);
        // No digest after the last block: most passwords have one only.
        if blocks.peek().is_some() {
            mask = secret.md5_at_start([block]);
        }
    }
}

/// Hides whole blocks in place, as [`reveal`] reveals them.
fn hide(blocks: &mut [u8], secret: &Secret, mut mask: [u8; BLOCK_OCTETS]) {
    let mut blocks = blocks.as_chunks_mut::<BLOCK_OCTETS>().0.iter_mut().peekable();
    while let Some(block) = blocks.next() {
        *block = xor(block, &mask);
        if blocks.peek().is_some() {
            mask = secret.md5_at_start([block]);
        }
    }
}

#[inline]
fn xor(block: &[u8; BLOCK_OCTETS], mask: &[u8; BLOCK_OCTETS]) -> [u8; BLOCK_OCTETS] {
    (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(*mask)).to_ne_bytes()
}

/// Why a value cannot be hidden or revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenError {
    /// A hidden value that is not whole blocks, none, or too many: the peer's fault.
    BadLength {
        /// How many octets it has, salt included.
        octets: usize,
    },
    /// A revealed salted value says that it is longer than it is: other secret, or the peer's fault.
    BadPlainLength {
        /// What it says.
        length: u8,
    },
    /// More than can be hidden.
    TooLong {
        /// How many octets the plain value has.
        octets: usize,
        /// How many it may have.
        max: usize,
    },
}

impl fmt::Display for HiddenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HiddenError::BadLength { octets } => {
                write!(f, "a hidden value of {octets} octets, which are not whole blocks of 16")
            }
            HiddenError::BadPlainLength { length } => {
                write!(f, "a revealed value that says it has {length} octets, and has fewer")
            }
            HiddenError::TooLong { octets, max } => {
                write!(f, "a value of {octets} octets to be hidden, above {max}")
            }
        }
    }
}

impl core::error::Error for HiddenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};

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
            Err(HiddenError::TooLong { octets: 129, max: 128 })
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
    #[test]
    fn a_salted_value_is_hidden_as_rfc_2868_section_3_5_says() {
        // checklist 48
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &AUTHENTICATOR };
        let mut out = [0xff; 253];
        let plain = b"seventeen octets!";
        let value = hide_salted(plain, [0x12, 0x34], hop, &mut out).expect("it fits").to_vec();
        assert_eq!((value.len(), &value[..2]), (34, &[0x92, 0x34][..]));
        // Written down once more, the slow way: b(1) = MD5(S + R + A), b(2) = MD5(S + c(1)).
        let digest = |octets: &[&[u8]]| -> [u8; 16] { Md5::digest(octets.concat()).into() };
        let first = digest(&[b"xyzzy5461", &AUTHENTICATOR, &[0x92, 0x34]]);
        let second = digest(&[b"xyzzy5461", &value[2..18]]);
        let mut padded = [0; 32];
        padded[0] = 17;
        padded[1..18].copy_from_slice(plain);
        for (place, mask) in first.iter().chain(&second).enumerate() {
            assert_eq!(value[2 + place], padded[place] ^ mask);
        }
        assert_eq!(reveal_salted(&value, hop, &mut out), Ok(&plain[..]));
    }

    #[test]
    fn salted_values_of_other_lengths_are_refused() {
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &AUTHENTICATOR };
        let mut out = [0; 253];
        for octets in [0, 1, 2, 17, 19, 241, 243, 253] {
            let value = alloc::vec![0; octets];
            assert_eq!(reveal_salted(&value, hop, &mut out), Err(HiddenError::BadLength { octets }));
            assert_eq!(
                rehide_salted(&value, hop, [0, 0], hop, &mut out),
                Err(HiddenError::BadLength { octets })
            );
        }
        let longest = [b'k'; SALTED_PLAIN_OCTETS_MAX];
        let value = hide_salted(&longest, [0, 0], hop, &mut out).expect("239 octets fit").to_vec();
        assert_eq!(value.len(), 242);
        assert_eq!(reveal_salted(&value, hop, &mut out), Ok(&longest[..]));
        let error = Err(HiddenError::TooLong { octets: 240, max: 239 });
        assert_eq!(hide_salted(&[0; 240], [0, 0], hop, &mut out), error);
        // The length within is the first octet: one flipped bit of it, and 239 becomes more than there is.
        let mut lying = value;
        lying[2] ^= 0x10;
        assert_eq!(reveal_salted(&lying, hop, &mut out), Err(HiddenError::BadPlainLength { length: 255 }));
    }

    #[test]
    fn an_empty_salted_value_is_one_block() {
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &AUTHENTICATOR };
        let mut out = [0; 253];
        let value = hide_salted(b"", [0x80, 1], hop, &mut out).expect("it fits").to_vec();
        assert_eq!(value.len(), 18);
        assert_eq!(reveal_salted(&value, hop, &mut out), Ok(&b""[..]));
    }
}
