//! The law of verifying, against digests written down the slow way.

use crate::packet::{
    AuthenticatorKind, Code, Encoder, Framed, HEADER_OCTETS, Landmark, MessageAuthenticator, Requirements,
    Secret, Secrets, number,
};
use alloc::vec::Vec;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// The law of verifying, for any octets whatever: what is believed has the digests that it should, what we sign is
/// believed, and one flipped bit is not. The entry point of the fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn verify_law(data: &[u8]) {
    let Ok(framed) = Framed::parse(data) else { return };
    let secrets = Secrets::one(Secret::new(SECRET).expect("not empty"));
    let secret = secrets.newest();
    let strict = Requirements { require_message_authenticator: true, limit_proxy_state: true };
    let request = |octets: &[u8], requirements| {
        Framed::parse(octets).is_ok_and(|framed| {
            framed.verify_request(&secrets, requirements).is_ok_and(|verified| verified.signed())
        })
    };
    let reply = |octets: &[u8]| {
        Framed::parse(octets).is_ok_and(|framed| framed.verify_reply(secret, &AUTHENTICATOR, true).is_ok())
    };

    // As it is: whoever is believed has the secret, and asking for more never lets more in.
    let octets = framed.octets();
    let loose = framed.verify_request(&secrets, Requirements::default());
    assert_eq!(
        loose.as_ref().is_ok_and(super::Verified::signed),
        is_request(framed)
            && has_request_digests(octets)
            && (framed.layout().has(Landmark::MessageAuthenticator) || !has(framed, number::EAP_MESSAGE)),
        "a request is believed for its digests and for nothing else"
    );
    assert!(framed.verify_request(&secrets, strict).is_err() || loose.is_ok());
    assert_eq!(
        reply(octets),
        has_reply_digests(octets),
        "a reply is believed for its digests and for nothing else"
    );

    // The same attributes, signed by us.
    let Some(code) = framed.code() else { return };
    let mut out = Vec::new();
    let sign = MessageAuthenticator::First;
    let is_reply = code.authenticator_kind() == AuthenticatorKind::Response;
    if !is_reply && !is_request(framed) {
        return;
    }
    let mut encoder = if is_reply {
        Encoder::reply(&mut out, code, framed.identifier(), sign)
    } else {
        Encoder::request(&mut out, code, framed.identifier(), framed.authenticator(), sign)
    };
    for attribute in framed.attributes().filter(|attribute| attribute.number != number::MESSAGE_AUTHENTICATOR)
    {
        // Those without octets are not written, and a full packet takes no more.
        let _ = encoder.attribute(attribute.number, attribute.value);
    }
    if is_reply {
        encoder.finish_reply(secret, &AUTHENTICATOR);
    } else {
        encoder.finish_request(secret);
    }
    let believed = |octets: &[u8]| if is_reply { reply(octets) } else { request(octets, strict) };
    assert!(believed(&out), "what we sign is believed");
    assert!(if is_reply { has_reply_digests(&out) } else { has_request_digests(&out) });
    let bit =
        data.iter().fold(data.len(), |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
    let bit = bit % (out.len() * 8);
    out[bit / 8] ^= 1 << (bit % 8);
    assert!(!believed(&out), "one flipped bit is not believed: {bit}");
}

fn is_request(framed: Framed<'_>) -> bool {
    framed.code().is_some_and(|code| {
        matches!(code.authenticator_kind(), AuthenticatorKind::Random | AuthenticatorKind::Computed)
    })
}

fn has(framed: Framed<'_>, number: u8) -> bool {
    framed.attributes().of(number).next().is_some()
}

/// RFC 2866 §3, RFC 5176 §2.3, RFC 3579 §3.2: one digest at least, and all that there are.
fn has_request_digests(octets: &[u8]) -> bool {
    let computed = Code::from_octet(octets[0])
        .is_some_and(|code| code.authenticator_kind() == AuthenticatorKind::Computed);
    let mut digested = octets.to_vec();
    if computed {
        digested[4..HEADER_OCTETS].fill(0);
    }
    let authenticated =
        octets[4..HEADER_OCTETS] == Md5::new().chain_update(&digested).chain_update(SECRET).finalize()[..];
    match message_authenticator(&digested) {
        Some(right) => right && (authenticated || !computed),
        None => computed && authenticated,
    }
}

/// RFC 2865 §3, RFC 3579 §3.1 and §3.2, RFC 5176 §3.4: the Response Authenticator of a reply, and a Message-Authenticator
/// wherever one has to be; to accounting, CoA and Disconnect also one over zeros.
fn has_reply_digests(octets: &[u8]) -> bool {
    let to_access = matches!(octets[0], 2 | 3 | 11 | 52);
    if !to_access && !matches!(octets[0], 5 | 41 | 42 | 44 | 45) {
        return false;
    }
    let mut digested = octets.to_vec();
    digested[4..HEADER_OCTETS].copy_from_slice(&AUTHENTICATOR);
    let authenticated =
        octets[4..HEADER_OCTETS] == Md5::new().chain_update(&digested).chain_update(SECRET).finalize()[..];
    let over_the_requests = message_authenticator(&digested);
    digested[4..HEADER_OCTETS].fill(0);
    let over_zeros = message_authenticator(&digested);
    authenticated
        && match over_the_requests {
            Some(right) => right || (!to_access && over_zeros == Some(true)),
            None => !to_access && Framed::parse(octets).is_ok_and(|framed| !has(framed, number::EAP_MESSAGE)),
        }
}

/// Whether the Message-Authenticator is right, if there is one, over octets in which the authenticator is what it is to be
/// over.
fn message_authenticator(octets: &[u8]) -> Option<bool> {
    let framed = Framed::parse(octets).ok()?;
    let place = framed.layout().offset(Landmark::MessageAuthenticator)? + 2;
    let mut digested = octets.to_vec();
    digested[place..place + 16].fill(0);
    let mut mac = Hmac::<Md5>::new_from_slice(SECRET).expect("HMAC takes keys of any length");
    mac.update(&digested);
    Some(octets[place..place + 16] == mac.finalize().into_bytes()[..])
}

const SECRET: &[u8] = b"xyzzy5461";
/// Of the request that replies are taken to answer: that of RFC 2865 §7.1, whose octets are among the fuzzer's seeds.
const AUTHENTICATOR: [u8; 16] =
    [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
