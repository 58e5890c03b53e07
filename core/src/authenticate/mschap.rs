//! MS-CHAPv2: a response is checked, and answered by a proof that we know the password, too. RFC 2759; RFC 2548 §2.3 for
//! its attributes. MS-CHAPv1 (RFC 2433) is refused: its MS-CHAP-Response is looked at by nobody.
//!
//! Knows no user and no packet but its attributes; the keys that come of an exchange are made in [`mppe`].

use super::mppe;
use super::nt_hash::NtHash;
use crate::packet::{Attributes, Framed, Landmark, VendorFormat, number, vendor::VENDOR_OCTETS};
use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Microsoft's number (RFC 2548 §2).
pub(crate) const MICROSOFT: u32 = 311;
/// What a NAS has sent to its peer: for MS-CHAPv2 always so many octets (RFC 2759 §3).
pub const CHALLENGE_OCTETS: usize = 16;
/// Three DES blocks (RFC 2759 §8.5).
pub const NT_RESPONSE_OCTETS: usize = 24;
/// `S=` and 40 hexadecimal digits (RFC 2759 §8.7).
pub const AUTHENTICATOR_RESPONSE_OCTETS: usize = 42;

/// What a request holds of MS-CHAPv2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// No MS-CHAP2-Response.
    Nothing,
    /// An MS-CHAP2-Response, but not what can be checked: of another length, more than one, or without a challenge of 16
    /// octets.
    Malformed,
    /// All that is needed.
    Exchange(Exchange<'a>),
}

/// The NAS's challenge and the peer's answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// PPP's identifier, with which our answer begins (RFC 2548 §2.3.3, §2.1.5).
    pub identifier: u8,
    challenge: &'a [u8; CHALLENGE_OCTETS],
    peer_challenge: &'a [u8; CHALLENGE_OCTETS],
    nt_response: &'a [u8; NT_RESPONSE_OCTETS],
}

/// What is told to a peer whose response was right.
pub struct Proof {
    /// Of the exchange.
    pub identifier: u8,
    /// That we know the password, too.
    pub authenticator_response: [u8; AUTHENTICATOR_RESPONSE_OCTETS],
    /// What its traffic can be encrypted with.
    pub keys: mppe::Keys,
}

impl<'a> Found<'a> {
    /// Looks for it in a request.
    pub fn in_request(framed: &Framed<'a>) -> Found<'a> {
        // Most requests have nothing of a vendor's.
        match framed.layout().has(Landmark::VendorSpecific) {
            true => Found::in_attributes(framed.attributes()),
            false => Found::Nothing,
        }
    }

    fn in_attributes(attributes: Attributes<'a>) -> Found<'a> {
        let mut challenges = Values::default();
        let mut responses = Values::default();
        for value in attributes.of(number::VENDOR_SPECIFIC) {
            let Some((vendor, mut rest)) = value.split_first_chunk::<VENDOR_OCTETS>() else { continue };
            if u32::from_be_bytes(*vendor) != MICROSOFT {
                continue;
            }
            // What is malformed behind a good attribute is not looked at.
            while let Some(attribute) = VendorFormat::RECOMMENDED.first(rest) {
                match attribute.number {
                    MS_CHAP_CHALLENGE => challenges.add(attribute.value),
                    MS_CHAP2_RESPONSE => responses.add(attribute.value),
                    _ => {}
                }
                rest = attribute.rest;
            }
        }
        if responses.count == 0 {
            return Found::Nothing;
        }
        let exchange = challenges.only().zip(responses.only());
        exchange
            .and_then(|(challenge, response)| Exchange::of(challenge, response))
            .map_or(Found::Malformed, Found::Exchange)
    }
}

/// The values of an attribute of which there must be one.
#[derive(Default)]
struct Values<'a> {
    first: &'a [u8],
    count: usize,
}

impl<'a> Values<'a> {
    fn add(&mut self, value: &'a [u8]) {
        if self.count == 0 {
            self.first = value;
        }
        self.count += 1;
    }

    fn only(&self) -> Option<&'a [u8]> {
        (self.count == 1).then_some(self.first)
    }
}

impl<'a> Exchange<'a> {
    /// From the values of MS-CHAP-Challenge and MS-CHAP2-Response; `None` if either has another length.
    fn of(challenge: &'a [u8], response: &'a [u8]) -> Option<Exchange<'a>> {
        // RFC 2548 §2.3.2: identifier, flags, the peer's challenge, 8 reserved octets, the response. Flags and reserved
        // octets must be zero, and are not looked at: they are for a future that did not come.
        let response: &[u8; RESPONSE_OCTETS] = response.try_into().ok()?;
        let (head, nt_response) = response.split_last_chunk::<NT_RESPONSE_OCTETS>()?;
        let ([identifier, _flags], rest) = head.split_first_chunk::<2>()?;
        let (peer_challenge, _reserved) = rest.split_first_chunk::<CHALLENGE_OCTETS>()?;
        let challenge = challenge.try_into().ok()?;
        Some(Exchange { identifier: *identifier, challenge, peer_challenge, nt_response })
    }

    /// Whether the response is that of a user with this hash; `user_name` is the one that the peer sent, with its domain if it
    /// did. Compared in constant time.
    pub fn is_right(&self, user_name: &[u8], hash: &NtHash) -> bool {
        nt_response(&self.challenge_hash(user_name), hash).ct_eq(self.nt_response).into()
    }

    /// What is told to the peer when its response [is right](Self::is_right).
    pub fn proof(&self, user_name: &[u8], hash: &NtHash) -> Proof {
        let hash_hash = hash.hashed();
        Proof {
            identifier: self.identifier,
            authenticator_response: self.authenticator_response(&self.challenge_hash(user_name), &hash_hash),
            keys: mppe::Keys::of(&hash_hash, self.nt_response),
        }
    }

    /// RFC 2759 §8.2.
    fn challenge_hash(&self, user_name: &[u8]) -> [u8; 8] {
        let digest = Sha1::new()
            .chain_update(self.peer_challenge)
            .chain_update(self.challenge)
            .chain_update(without_domain(user_name))
            .finalize();
        *digest.first_chunk().expect("a digest has 20 octets")
    }

    /// RFC 2759 §8.7.
    fn authenticator_response(
        &self,
        challenge: &[u8; 8],
        hash_hash: &[u8; 16],
    ) -> [u8; AUTHENTICATOR_RESPONSE_OCTETS] {
        let signed = Sha1::new()
            .chain_update(hash_hash)
            .chain_update(self.nt_response)
            .chain_update(b"Magic server to client signing constant")
            .finalize();
        let digest = Sha1::new()
            .chain_update(signed)
            .chain_update(challenge)
            .chain_update(b"Pad to make it do more than one iteration")
            .finalize();
        let mut response = *b"S=0000000000000000000000000000000000000000";
        write_hexadecimal(&digest, &mut response[2..]);
        response
    }
}

/// RFC 2759 §4: only the user's name is hashed, without the Windows NT domain that may stand before it.
fn without_domain(user_name: &[u8]) -> &[u8] {
    let backslash = user_name.iter().position(|octet| *octet == b'\\');
    backslash.map_or(user_name, |backslash| &user_name[backslash + 1..])
}

/// Three DES encryptions of the challenge, each under seven octets of the hash, the last padded with zeros (RFC 2759 §8.5).
fn nt_response(challenge: &[u8; 8], hash: &NtHash) -> [u8; NT_RESPONSE_OCTETS] {
    let mut padded = Zeroizing::new([0; 21]);
    padded[..16].copy_from_slice(hash.octets());
    let mut response = [0; NT_RESPONSE_OCTETS];
    for (key, block) in padded.as_chunks::<7>().0.iter().zip(response.as_chunks_mut::<8>().0) {
        let key = Zeroizing::new(des_key(key));
        let mut encrypted = (*challenge).into();
        Des::new((&*key).into()).encrypt_block(&mut encrypted);
        *block = encrypted.into();
    }
    response
}

/// Seven bits in each octet, from the left; the eighth is parity, which DES leaves out (RFC 2759 §8.6, §9.3).
fn des_key(raw: &[u8; 7]) -> [u8; 8] {
    let bits = raw.iter().fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
    core::array::from_fn(|place| ((bits >> (49 - 7 * place)) as u8) << 1)
}

/// As capital digits, which RFC 2759 §8.7 has in its example.
pub(crate) fn write_hexadecimal(octets: &[u8], out: &mut [u8]) {
    for (octet, digits) in octets.iter().zip(out.as_chunks_mut::<2>().0) {
        *digits = [octet >> 4, octet & 0xf].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]);
    }
}

/// RFC 2548 §2.1.2.
const MS_CHAP_CHALLENGE: u32 = 11;
/// RFC 2548 §2.3.2.
const MS_CHAP2_RESPONSE: u32 = 25;
/// Its value (RFC 2548 §2.3.2: 52 with type and length).
const RESPONSE_OCTETS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    // RFC 2759 §9.2.
    const CHALLENGE: [u8; 16] = 0x5b5d_7c7d_7b3f_2f3e_3c2c_6021_3226_2628_u128.to_be_bytes();
    const PEER_CHALLENGE: [u8; 16] = 0x2140_2324_255e_262a_2829_5f2b_3a33_7c7e_u128.to_be_bytes();
    const NT_RESPONSE: [u8; 24] = [
        0x82, 0x30, 0x9e, 0xcd, 0x8d, 0x70, 0x8b, 0x5e, 0xa0, 0x8f, 0xaa, 0x39, 0x81, 0xcd, 0x83, 0x54, 0x42,
        0x33, 0x11, 0x4a, 0x3d, 0x85, 0xd6, 0xdf,
    ];

    fn response() -> Vec<u8> {
        [&[7, 0][..], &PEER_CHALLENGE, &[0; 8], &NT_RESPONSE].concat()
    }

    fn hash() -> NtHash {
        NtHash::of(b"clientPass").expect("UTF-8")
    }

    fn attribute(number: u8, value: &[u8]) -> Vec<u8> {
        let length = value.len() as u8;
        [&[26, 8 + length, 0, 0, 1, 55, number, 2 + length][..], value].concat()
    }

    fn found(octets: &[u8]) -> Found<'_> {
        Found::in_attributes(Attributes::parse(octets).expect("they are attributes"))
    }

    fn is_exchange(octets: &[u8]) -> bool {
        matches!(found(octets), Found::Exchange(_))
    }

    #[test]
    fn the_exchange_of_rfc_2759_section_9_2_is_proved_octet_for_octet() {
        let response = response();
        let exchange = Exchange::of(&CHALLENGE, &response).expect("its length is right");
        let challenge = exchange.challenge_hash(b"User");
        assert_eq!(challenge, [0xd0, 0x2e, 0x43, 0x86, 0xbc, 0xe9, 0x12, 0x26]);
        assert_eq!(nt_response(&challenge, &hash()), NT_RESPONSE);
        assert!(exchange.is_right(b"User", &hash()));
        let proof = exchange.proof(b"User", &hash());
        assert_eq!(&proof.authenticator_response, b"S=407A5589115FD0D6209F510FE9C04566932CDA56");
        assert_eq!(proof.identifier, 7);
    }

    #[test]
    fn the_domain_before_a_user_name_is_not_hashed() {
        // RFC 2759 §4.
        let response = response();
        let exchange = Exchange::of(&CHALLENGE, &response).expect("its length is right");
        for (user_name, right) in [
            (&b"User"[..], true),
            (b"BIGCO\\User", true),
            (b"\\User", true),
            (b"A\\B\\User", false),
            (b"User\\", false),
            (b"user", false),
            (b"User@bigco.example", false),
            (b"", false),
        ] {
            assert_eq!(exchange.is_right(user_name, &hash()), right, "{}", user_name.escape_ascii());
        }
    }

    #[test]
    fn no_other_password_challenge_or_response_is_right() {
        let response = response();
        let exchange = Exchange::of(&CHALLENGE, &response).expect("its length is right");
        let other = NtHash::of(b"clientpass").expect("UTF-8");
        assert!(!exchange.is_right(b"User", &other));
        for place in [0, 15] {
            let mut challenge = CHALLENGE;
            challenge[place] ^= 1;
            assert!(!Exchange { challenge: &challenge, ..exchange }.is_right(b"User", &hash()));
            let mut peer_challenge = PEER_CHALLENGE;
            peer_challenge[place] ^= 1;
            assert!(!Exchange { peer_challenge: &peer_challenge, ..exchange }.is_right(b"User", &hash()));
        }
        // Each of the three blocks counts.
        for place in [0, 8, 16, 23] {
            let mut nt_response = NT_RESPONSE;
            nt_response[place] ^= 0x80;
            assert!(!Exchange { nt_response: &nt_response, ..exchange }.is_right(b"User", &hash()));
        }
    }

    #[test]
    fn des_keys_are_those_of_rfc_2759_section_9_3_but_for_parity() {
        for (raw, corrected) in [
            (0x00fc_156a_f7ed_cd6c_u64, 0xfd0b_5b5e_7f6e_34d9_u64),
            (0x000e_dde3_337d_427f, 0x0e6e_7967_37ea_08fe),
        ] {
            let raw: [u8; 7] = raw.to_be_bytes()[1..].try_into().expect("seven");
            assert_eq!(u64::from_be_bytes(des_key(&raw)), corrected & 0xfefe_fefe_fefe_fefe);
        }
    }

    #[test]
    fn an_exchange_is_found_wherever_its_attributes_stand() {
        let (challenge, response) = (attribute(11, &CHALLENGE), attribute(25, &response()));
        let user_name = [1, 6, b'U', b's', b'e', b'r'];
        assert!(is_exchange(&[&challenge[..], &user_name, &response].concat()));
        assert!(is_exchange(&[&response[..], &challenge].concat()));
        // Both in one Vendor-Specific (RFC 2865 §5.26).
        let mut both = [&challenge[..], &response[6..]].concat();
        both[1] = both.len() as u8;
        assert!(is_exchange(&both));
        assert_eq!(found(&user_name), Found::Nothing);
        assert_eq!(found(&challenge), Found::Nothing);
        // Another vendor's are none.
        let mut other = response.clone();
        other[5] ^= 1;
        assert_eq!(found(&[&challenge[..], &other].concat()), Found::Nothing);
    }

    #[test]
    fn what_is_missing_doubled_or_of_another_length_is_malformed() {
        let (challenge, response) = (attribute(11, &CHALLENGE), attribute(25, &response()));
        assert!(is_exchange(&[&challenge[..], &response].concat()));
        for malformed in [
            response.clone(),
            [&challenge[..], &challenge, &response].concat(),
            [&challenge[..], &response, &response].concat(),
            [&attribute(11, &CHALLENGE[1..])[..], &response].concat(),
            // MS-CHAPv1 has challenges of eight.
            [&attribute(11, &CHALLENGE[..8])[..], &response].concat(),
            [&challenge[..], &attribute(25, &response[8..57])].concat(),
            [&challenge[..], &attribute(25, &[&response[8..], &[0]].concat())].concat(),
            [&challenge[..], &attribute(25, &[])].concat(),
        ] {
            assert_eq!(found(&malformed), Found::Malformed, "{malformed:?}");
        }
    }

    proptest! {
        /// Whatever stands in Microsoft's attributes, nothing panics, and what is found is as long as it must be.
        #[test]
        fn malformed_attributes_never_panic(
            values in prop::collection::vec((prop::sample::select(&[11u8, 25, 1, 2, 255][..]),
                prop_oneof![Just(16usize), Just(50), 0..=240usize], any::<u8>(), prop::option::weighted(0.2, any::<u8>())), 0..5),
            user_name in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut octets = Vec::new();
            let (mut counts, mut known) = ([0; 2], true);
            for (number, length, fill, vendor_length) in values {
                let begin = octets.len();
                octets.extend(attribute(number, &alloc::vec![fill; length]));
                // The length within the Vendor-Specific may say anything.
                if let Some(vendor_length) = vendor_length {
                    octets[begin + 7] = vendor_length;
                    known = false;
                } else if let Some(place) = [11, 25].iter().position(|known| *known == number) {
                    counts[place] += if length == [16, 50][place] { 1 } else { 2 };
                }
            }
            match found(&octets) {
                Found::Exchange(exchange) => {
                    prop_assert!(counts == [1, 1] || !known);
                    // DES's weak keys apart, nothing encrypts to the same octet 24 times.
                    prop_assert!(!exchange.is_right(&user_name, &hash()));
                }
                Found::Nothing => prop_assert!(counts[1] == 0 || !known),
                Found::Malformed => prop_assert!(counts != [1, 1] || !known),
            }
        }
    }
}
