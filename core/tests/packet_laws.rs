//! What holds for every packet: framing, writing, signing and hiding, on octets that no one chose.

use proptest::prelude::*;
use ulna_core::packet::hidden::{
    Hop, hide_salted, hide_user_password, rehide_salted, rehide_user_password, reveal_salted,
    reveal_user_password,
};
use ulna_core::packet::{
    Code, EncodeError, Encoder, Framed, Landmark, MessageAuthenticator, PACKET_OCTETS_MAX, Requirements,
    Secret, Secrets, frame_law, number, verify_law,
};

const REQUESTS: [Code; 5] = [
    Code::AccessRequest,
    Code::AccountingRequest,
    Code::StatusServer,
    Code::DisconnectRequest,
    Code::CoaRequest,
];
const REPLIES: [Code; 9] = [
    Code::AccessAccept,
    Code::AccessReject,
    Code::AccessChallenge,
    Code::AccountingResponse,
    Code::DisconnectAck,
    Code::DisconnectNak,
    Code::CoaAck,
    Code::CoaNak,
    Code::ProtocolError,
];

/// Attribute numbers, those that framing looks out for more often than others.
fn numbers() -> impl Strategy<Value = u8> {
    prop_oneof![proptest::sample::select(vec![1, 2, 3, 24, 31, 33, 60, 79, 80]), any::<u8>()]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 1..20),
        1 => proptest::collection::vec(any::<u8>(), 1..=253),
    ]
}

/// Attributes that a packet may hold: one State at most, no Message-Authenticator.
fn attributes() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    proptest::collection::vec((numbers(), values()), 0..60).prop_map(|mut attributes| {
        let mut states = 0;
        attributes.retain(|(number, _)| {
            states += u32::from(*number == number::STATE);
            *number != number::MESSAGE_AUTHENTICATOR && (*number != number::STATE || states == 1)
        });
        attributes
    })
}

/// Octets that look like a packet far enough to reach every branch of framing: right Length, attributes mostly right.
fn nearly_packets() -> impl Strategy<Value = Vec<u8>> {
    let attribute = (numbers(), prop_oneof![8 => Just(0i8), 1 => -3..3i8], values());
    (
        any::<[u8; 20]>(),
        proptest::collection::vec(attribute, 0..30),
        prop_oneof![4 => Just(0i16), 1 => -30..30i16],
    )
        .prop_map(|(header, attributes, lie)| {
            let mut octets = header.to_vec();
            for (number, lie, mut value) in attributes {
                if number == number::MESSAGE_AUTHENTICATOR {
                    value.resize(16, 0);
                }
                octets.push(number);
                octets.push(((value.len() + 2) as u8).wrapping_add_signed(lie));
                octets.extend_from_slice(&value);
            }
            let length = (octets.len() as u16).saturating_add_signed(lie);
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            octets
        })
}

/// Adds what fits, and gives what was added.
fn fill<'a>(encoder: &mut Encoder<'_>, attributes: &'a [(u8, Vec<u8>)]) -> Vec<(u8, &'a [u8])> {
    let mut added = Vec::new();
    for (number, value) in attributes {
        match encoder.attribute(*number, value) {
            Ok(()) => added.push((*number, &value[..])),
            Err(error) => assert!(matches!(error, EncodeError::PacketFull { .. }), "{error}"),
        }
    }
    added
}

fn read_back<'a>(framed: &Framed<'a>) -> Vec<(u8, &'a [u8])> {
    framed.attributes().map(|attribute| (attribute.number, attribute.value)).collect()
}

fn secret(octets: &[u8]) -> Secret {
    Secret::new(octets).expect("not empty")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_law_of_framing_holds_for_any_octets(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        // checklist 1, 2, 3
        frame_law(&data);
    }

    #[test]
    fn the_law_of_framing_holds_for_what_is_nearly_a_packet(data in nearly_packets()) {
        // checklist 1, 2, 3, 5
        frame_law(&data);
    }

    #[test]
    fn the_law_of_verifying_holds_for_what_is_nearly_a_packet(code in 0..50u8, mut data in nearly_packets()) {
        // checklist 11, 18, 66, 83
        data[0] = code;
        verify_law(&data);
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(
        code in proptest::sample::select(&REPLIES[..]),
        identifier: u8,
        authenticator: [u8; 16],
        signed: bool,
        attributes in attributes(),
    ) {
        // checklist 5, 8, 90
        let secret = secret(b"testing123");
        let mut out = Vec::new();
        let sign = if signed { MessageAuthenticator::First } else { MessageAuthenticator::Absent };
        let mut encoder = Encoder::reply(&mut out, code, identifier, sign);
        let written = fill(&mut encoder, &attributes);
        encoder.finish_reply(&secret, &authenticator);
        prop_assert!(out.len() <= PACKET_OCTETS_MAX);
        let framed = Framed::parse(&out).expect("what we write is a packet");
        prop_assert_eq!((framed.code(), framed.identifier()), (Some(code), identifier));
        let read = read_back(&framed);
        prop_assert_eq!(framed.layout().has(Landmark::MessageAuthenticator), signed);
        prop_assert_eq!(&read[usize::from(signed)..], &written[..]);
        let unsigned_eap = !signed && framed.layout().has(Landmark::EapMessage);
        prop_assert_eq!(framed.verify_reply(&secret, &authenticator, signed).is_ok(), !unsigned_eap);
        frame_law(&out);
    }

    #[test]
    fn a_signed_request_verifies_under_its_secret_alone(
        code in proptest::sample::select(&REQUESTS[..]),
        authenticator: [u8; 16],
        attributes in attributes(),
        own in proptest::collection::vec(any::<u8>(), 1..80),
        other in proptest::collection::vec(any::<u8>(), 1..80),
    ) {
        // checklist 11, 18, 66
        // HMAC pads a short key with NULs: secrets that differ in trailing NULs only are the same to it.
        prop_assume!(own.last() != Some(&0) && other.last() != Some(&0) && own != other);
        let mut out = Vec::new();
        let mut encoder = Encoder::request(&mut out, code, 3, &authenticator, MessageAuthenticator::First);
        let written = fill(&mut encoder, &attributes);
        let field = encoder.finish_request(&secret(&own));
        let framed = Framed::parse(&out).expect("what we write is a packet");
        prop_assert_eq!(framed.authenticator(), &field);
        let read = read_back(&framed);
        prop_assert_eq!(&read[1..], &written[..]);
        let requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };
        let verified = framed.verify_request(&Secrets::one(secret(&own)), requirements).expect("it is signed");
        prop_assert!(verified.signed());
        prop_assert!(framed.verify_request(&Secrets::one(secret(&other)), requirements).is_err());
        let rotating = Secrets::rotating(secret(&other), secret(&own));
        let verified = framed.verify_request(&rotating, requirements).expect("the old secret still holds");
        prop_assert_eq!(verified.secret_index().0, 1);
    }

    #[test]
    fn one_flipped_bit_is_never_believed(
        code in proptest::sample::select(&REQUESTS[..]),
        authenticator: [u8; 16],
        attributes in attributes(),
        bit: proptest::sample::Index,
    ) {
        // checklist 11, 18
        let secrets = Secrets::one(secret(b"testing123"));
        let mut out = Vec::new();
        let mut encoder = Encoder::request(&mut out, code, 3, &authenticator, MessageAuthenticator::First);
        fill(&mut encoder, &attributes);
        encoder.finish_request(secrets.newest());
        let bit = bit.index(out.len() * 8);
        out[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!believed_as_signed(&out, &secrets));
    }

    #[test]
    fn what_was_hidden_is_revealed(
        password in proptest::collection::vec(any::<u8>(), 0..=128),
        own in proptest::collection::vec(any::<u8>(), 1..80),
        authenticator: [u8; 16],
    ) {
        // checklist 9
        prop_assume!(password.last() != Some(&0));
        let own = secret(&own);
        let (mut hidden, mut revealed) = ([0; 128], [0; 128]);
        let value = hide_user_password(&password, &own, &authenticator, &mut hidden).expect("128 octets at most");
        prop_assert!(value.len().is_multiple_of(16) && value.len() >= password.len().max(16));
        prop_assert_eq!(reveal_user_password(value, &own, &authenticator, &mut revealed), Ok(&password[..]));
    }

    #[test]
    fn what_is_hidden_anew_is_revealed_at_the_next_hop(
        password in proptest::collection::vec(any::<u8>(), 0..=128),
        plain in proptest::collection::vec(any::<u8>(), 0..=239),
        salts: [[u8; 2]; 2],
        authenticators: [[u8; 16]; 2],
    ) {
        // checklist 9, 48
        prop_assume!(password.last() != Some(&0));
        let (near, far) = (secret(b"near"), secret(b"far"));
        let from = Hop { secret: &near, request_authenticator: &authenticators[0] };
        let to = Hop { secret: &far, request_authenticator: &authenticators[1] };
        let (mut hidden, mut anew, mut revealed) = ([0; 128], [0; 128], [0; 128]);
        let value = hide_user_password(&password, &near, &authenticators[0], &mut hidden).expect("it fits");
        let passed_on = rehide_user_password(value, from, to, &mut anew).expect("whole blocks");
        prop_assert_eq!(passed_on.len(), value.len());
        prop_assert_eq!(reveal_user_password(passed_on, &far, &authenticators[1], &mut revealed), Ok(&password[..]));

        let (mut hidden, mut anew, mut revealed) = ([0; 253], [0; 253], [0; 253]);
        let value = hide_salted(&plain, salts[0], from, &mut hidden).expect("it fits");
        prop_assert_eq!(reveal_salted(value, from, &mut revealed), Ok(&plain[..]));
        let passed_on = rehide_salted(value, from, salts[1], to, &mut anew).expect("whole blocks");
        prop_assert_eq!(&passed_on[..2], &[salts[1][0] | 0x80, salts[1][1]]);
        prop_assert_eq!(passed_on.len(), value.len());
        prop_assert_eq!(reveal_salted(passed_on, to, &mut revealed), Ok(&plain[..]));
    }

    #[test]
    fn any_eap_packet_comes_back_whole(packet in proptest::collection::vec(any::<u8>(), 1..4000)) {
        // checklist 21, 22
        let mut out = Vec::new();
        let mut encoder =
            Encoder::request(&mut out, Code::AccessRequest, 0, &[0; 16], MessageAuthenticator::First);
        encoder.eap_message(&packet).expect("4000 octets in 16 pieces fit");
        encoder.finish_request(&secret(b"s"));
        let framed = Framed::parse(&out).expect("what we write is a packet");
        prop_assert_eq!(framed.eap_message().collect::<Vec<_>>().concat(), packet);
    }
}

/// Whether these octets are believed to come from one who has the secret, by a client that may leave signing out.
fn believed_as_signed(octets: &[u8], secrets: &Secrets) -> bool {
    let Ok(framed) = Framed::parse(octets) else { return false };
    framed.verify_request(secrets, Requirements::default()).is_ok_and(|verified| verified.signed())
}

#[test]
fn no_bit_of_a_signed_packet_can_be_flipped() {
    // checklist 11, 18, 66, 83
    let secrets = Secrets::one(secret(b"testing123"));
    let mut out = Vec::new();
    for sign in [MessageAuthenticator::First, MessageAuthenticator::Absent] {
        for code in REQUESTS {
            let mut encoder = Encoder::request(&mut out, code, 3, b"sixteen octets!!", sign);
            encoder.attribute(number::USER_NAME, b"bob@example.com").expect("it fits");
            encoder.attribute(number::PROXY_STATE, b"1").expect("it fits");
            encoder.finish_request(secrets.newest());
            let needs = matches!(code, Code::AccessRequest | Code::StatusServer);
            let signed = sign == MessageAuthenticator::First || !needs;
            assert_eq!(believed_as_signed(&out, &secrets), signed, "{code}");
            for bit in 0..out.len() * 8 {
                out[bit / 8] ^= 1 << (bit % 8);
                assert!(!believed_as_signed(&out, &secrets), "{code}, bit {bit}");
                out[bit / 8] ^= 1 << (bit % 8);
            }
        }
        for code in REPLIES {
            let mut encoder = Encoder::reply(&mut out, code, 3, sign);
            encoder.attribute(number::REPLY_MESSAGE, b"hello").expect("it fits");
            encoder.finish_reply(secrets.newest(), b"sixteen octets!!");
            for bit in 0..out.len() * 8 {
                out[bit / 8] ^= 1 << (bit % 8);
                let believed = Framed::parse(&out).is_ok_and(|framed| {
                    framed.verify_reply(secrets.newest(), b"sixteen octets!!", false).is_ok()
                });
                assert!(!believed, "{code}, bit {bit}");
                out[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
