//! Every packet that gets no answer is counted under exactly one name, and the peer is told nothing.

mod support;

use std::net::SocketAddr;
use support::{Ask, Server, USERS, is_of_request, nas};
use ulna_core::discard::Discard;
use ulna_core::packet::{Code, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const AUTHENTICATION: usize = 0;
const ACCOUNTING: usize = 1;

fn stranger() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 200], 1000))
}

fn strict() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 1000))
}

/// A right request with these octets put in at a place.
fn patched(place: usize, octets: &[u8]) -> Vec<u8> {
    let mut request = Ask::bob().octets();
    request[place..place + octets.len()].copy_from_slice(octets);
    request
}

/// An unsigned Access-Request whose attributes end in these octets, whatever they are.
fn ending_in(octets: &[u8]) -> Vec<u8> {
    let mut request = Ask::bob().unsigned().octets();
    request.extend_from_slice(octets);
    let length = request.len() as u16;
    request[2..4].copy_from_slice(&length.to_be_bytes());
    request
}

fn expect(expected: Discard, listener: usize, remote: SocketAddr, datagram: &[u8]) {
    for layout in [SEPARATE, "[runtime]\nnetwork_threads = 0\nworkers = 1\n"] {
        let mut server = Server::new(layout, USERS);
        server.datagram_at(0, listener, remote, datagram);
        server.settle();
        assert_eq!(server.discards(), [(expected.name(), 1)].into(), "of {datagram:02x?}");
        let accepted = u64::from(is_of_request(expected));
        assert_eq!((server.count("received"), server.count("accepted")), (1, accepted));
        assert_eq!(server.events.len(), 1, "one event for the log: {:?}", server.events);
        server.run(server.configuration.protocol.reject_delay);
        assert!(server.sent.is_empty(), "no reply of any kind to {datagram:02x?}");
        server.assert_nothing_is_left();
    }
}

fn expect_from_client(expected: Discard, datagram: &[u8]) {
    expect(expected, AUTHENTICATION, nas(1000), datagram);
}

// checklist 1
#[test]
fn what_is_no_packet_by_its_lengths() {
    for octets in 0..20 {
        expect_from_client(Discard::TooShort, &Ask::bob().octets()[..octets]);
    }
    for length in [0u16, 1, 19, 4097, 65_535] {
        expect_from_client(Discard::BadLength, &patched(2, &length.to_be_bytes()));
    }
    let request = Ask::bob().octets();
    expect_from_client(Discard::Truncated, &request[..request.len() - 1]);
    expect_from_client(Discard::Truncated, &patched(2, &4096u16.to_be_bytes()));
}

// checklist 2
#[test]
fn padding_is_no_reason() {
    let mut request = Ask::bob().octets();
    request.extend_from_slice(&[0xff; 100]);
    let mut server = Server::new(SEPARATE, USERS);
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    assert!(server.discards().is_empty());
    server.assert_nothing_is_left();
}

// checklist 3
#[test]
fn attributes_that_do_not_fill_the_packet() {
    for tail in [&[1u8][..], &[1, 0], &[1, 1], &[1, 0, 0, 0], &[1, 1, 5, 5], &[1, 5, b'b', b'o'], &[255, 255]]
    {
        expect_from_client(Discard::BadAttribute, &ending_in(tail));
    }
}

// checklist 5
#[test]
fn unknown_attributes_are_no_reason() {
    let mut server = Server::new(SEPARATE, USERS);
    let request = Ask::bob().with(222, b"").with(255, &[9; 253]).with(26, b"x").octets();
    assert_eq!(server.ask(nas(1000), &request).len(), 1);
    server.assert_nothing_is_left();
}

// checklist 20, 28
#[test]
fn attributes_that_may_not_be_there_twice_or_have_a_wrong_length() {
    let again = [&[number::MESSAGE_AUTHENTICATOR, 18][..], &[0; 16]].concat();
    let mut twice = Ask::bob().octets();
    twice.extend_from_slice(&again);
    let length = twice.len() as u16;
    twice[2..4].copy_from_slice(&length.to_be_bytes());
    expect_from_client(Discard::SeveralMessageAuthenticators, &twice);
    for octets in [0u8, 15, 17] {
        let value = vec![0; usize::from(octets)];
        let wrong = [&[number::MESSAGE_AUTHENTICATOR, octets + 2][..], &value].concat();
        expect_from_client(Discard::BadMessageAuthenticatorLength, &ending_in(&wrong));
    }
    let two_states = Ask::bob().with(number::STATE, b"a").with(number::STATE, b"b").octets();
    expect_from_client(Discard::SeveralStates, &two_states);
}

// checklist 4
#[test]
fn who_is_unknown_and_what_is_not_taken_here() {
    expect(Discard::UnknownClient, AUTHENTICATION, stranger(), &Ask::bob().octets());
    expect(Discard::UnknownClient, AUTHENTICATION, stranger(), &Ask::status().octets());
    expect(
        Discard::UnknownClient,
        ACCOUNTING,
        "[2001:db8:2::1]:1".parse().unwrap(),
        &Ask::accounting().octets(),
    );
    for code in [0u8, 6, 14, 99, 254, 255] {
        expect_from_client(Discard::UnknownCode, &patched(0, &[code]));
    }
    // Replies, and requests that are not for a server.
    for code in Code::ALL {
        match code {
            Code::AccessRequest | Code::AccountingRequest | Code::StatusServer => {}
            Code::AccessAccept
            | Code::AccessReject
            | Code::AccessChallenge
            | Code::AccountingResponse
            | Code::StatusClient
            | Code::DisconnectRequest
            | Code::DisconnectAck
            | Code::DisconnectNak
            | Code::CoaRequest
            | Code::CoaAck
            | Code::CoaNak
            | Code::ProtocolError => {
                expect_from_client(Discard::UnexpectedCode, &patched(0, &[code.octet()]));
                expect(Discard::UnexpectedCode, ACCOUNTING, nas(1000), &patched(0, &[code.octet()]));
            }
        }
    }
    // Each on the other one's listener.
    expect(Discard::UnexpectedCode, ACCOUNTING, nas(1000), &Ask::bob().octets());
    expect(Discard::UnexpectedCode, AUTHENTICATION, nas(1000), &Ask::accounting().octets());
}

// checklist 11, 18, 19, 66, 91, 92
#[test]
fn what_does_not_verify_or_should_have_been_signed() {
    expect_from_client(Discard::BadMessageAuthenticator, &Ask::bob().forged().octets());
    expect_from_client(Discard::BadMessageAuthenticator, &Ask::status().forged().octets());
    expect(Discard::BadRequestAuthenticator, ACCOUNTING, nas(1000), &Ask::accounting().forged().octets());
    // The Request Authenticator verifies, the Message-Authenticator beside it does not.
    let mut accounting = Ask::accounting().octets();
    accounting.extend_from_slice(&[&[number::MESSAGE_AUTHENTICATOR, 18][..], &[9; 16]].concat());
    let length = accounting.len() as u16;
    accounting[2..4].copy_from_slice(&length.to_be_bytes());
    accounting[4..20].fill(0);
    let digest = {
        let framed = ulna_core::packet::Framed::parse(&accounting).unwrap();
        let attributes: Vec<u8> = framed.octets()[20..].to_vec();
        let mut out = Vec::new();
        // As it is: only then may a Message-Authenticator be an attribute like any other.
        let mut encoder =
            ulna_core::packet::Encoder::as_is(&mut out, Code::AccountingRequest.octet(), 1, &[0; 16]);
        encoder.raw(&attributes).unwrap();
        encoder.finish_request(&support::secret())
    };
    accounting[4..20].copy_from_slice(&digest);
    expect(Discard::BadMessageAuthenticator, ACCOUNTING, nas(1000), &accounting);

    expect(Discard::MessageAuthenticatorRequired, AUTHENTICATION, strict(), &Ask::bob().unsigned().octets());
    expect_from_client(Discard::UnsignedStatusServer, &Ask::status().unsigned().octets());
    let eap = Ask::bob().with(number::EAP_MESSAGE, &[2, 1, 0, 4]);
    expect_from_client(Discard::UnsignedEap, &eap.unsigned().octets());
    let eap_in_accounting = Ask::accounting().with(number::EAP_MESSAGE, &[2, 1, 0, 4]);
    expect(Discard::UnsignedEap, ACCOUNTING, nas(1000), &eap_in_accounting.octets());
    let proxied = Ask::bob().with(number::PROXY_STATE, b"p");
    expect_from_client(Discard::UnsignedProxyState, &proxied.unsigned().octets());
}

// checklist 12
#[test]
fn accounting_is_not_answered_where_no_rule_stores_it() {
    expect(Discard::NoAccountingRule, ACCOUNTING, nas(1000), &Ask::accounting().octets());
}

// checklist 93
#[test]
fn the_place_of_a_message_authenticator_is_no_reason() {
    // First as the encoder writes it, then moved behind all others: the digest is over the new order.
    let mut out = Vec::new();
    let secret = support::secret();
    let mut encoder = ulna_core::packet::Encoder::as_is(&mut out, 1, 5, &[3; 16]);
    encoder.attribute(number::USER_NAME, b"bob").unwrap();
    encoder.user_password(b"hello", &secret).unwrap();
    encoder.attribute(number::MESSAGE_AUTHENTICATOR, &[0; 16]).unwrap();
    encoder.finish_as_is();
    use hmac::{KeyInit, Mac};
    let mac = hmac::Hmac::<md5::Md5>::new_from_slice(support::SECRET).unwrap().chain_update(&out).finalize();
    let place = out.len() - 16;
    out[place..].copy_from_slice(&mac.into_bytes());
    let mut server = Server::new(SEPARATE, USERS);
    assert_eq!(server.ask(strict(), &out).len(), 1);
    server.assert_nothing_is_left();
}

/// Where each reason is tested, or why it cannot be met: a new one does not compile until it has its place here.
#[test]
fn every_reason_has_its_test() {
    for reason in Discard::ALL {
        let place = match reason {
            Discard::TooShort
            | Discard::BadLength
            | Discard::Truncated
            | Discard::BadAttribute
            | Discard::SeveralMessageAuthenticators
            | Discard::BadMessageAuthenticatorLength
            | Discard::SeveralStates
            | Discard::UnknownClient
            | Discard::UnknownCode
            | Discard::UnexpectedCode
            | Discard::BadMessageAuthenticator
            | Discard::BadRequestAuthenticator
            | Discard::MessageAuthenticatorRequired
            | Discard::UnsignedStatusServer
            | Discard::UnsignedEap
            | Discard::UnsignedProxyState
            | Discard::NoAccountingRule => include_str!("discards_by_name.rs"),
            Discard::WorkerFull
            | Discard::WorkerFullAccounting
            | Discard::WorkerFullOngoing
            | Discard::DedupFull => include_str!("shedding_by_class.rs"),
            Discard::TransmitQueueFull => include_str!("status_server.rs"),
            Discard::StrayRingFull => include_str!("strays.rs"),
            Discard::StrangerWaited => include_str!("strangers_in_line.rs"),
            Discard::TooOld | Discard::WaitedTooLong => include_str!("too_old.rs"),
            Discard::EditTooLong => include_str!("rules.rs"),
            Discard::ReplyTooLong => include_str!("long_reply.rs"),
            Discard::DelayedRejectsFull => include_str!("delayed_reject.rs"),
            Discard::ReplyNotKept => include_str!("duplicate_after_reply.rs"),
            Discard::EffectTimedOut | Discard::HashLineFull => include_str!("held_requests.rs"),
            Discard::StoreLineFull | Discard::NotStored => include_str!("accounting.rs"),
            Discard::SpoolLineFull | Discard::SpoolFull | Discard::NotSpooled => include_str!("spool.rs"),
            Discard::NoClientRule
            | Discard::NoLookUpKey
            | Discard::ClientDenied
            | Discard::UnsignedStranger
            | Discard::UnsignedBehindNat
            | Discard::ClientTooFast
            | Discard::StrangersTooFast
            | Discard::StrangersFull
            | Discard::LookUpLimit
            | Discard::LookUpLineFull
            | Discard::LookUpFailed
            | Discard::LookUpTimedOut
            | Discard::HeldDuplicate
            | Discard::HeldFull
            | Discard::ClientsFull
            | Discard::ConnectionsFull
            | Discard::AddressesFull
            | Discard::Replayed => include_str!("dynamic_clients.rs"),
            // No packet makes such a line with the built-in dictionary: it is tested where lines are made.
            Discard::RecordTooLong => continue,
            // Only where there are streams: tests/streams.rs.
            Discard::ConnectionClosed | Discard::StrangerGone => continue,
            Discard::NoRoute
            | Discard::NoAnswer
            | Discard::NoServerAlive
            | Discard::OutstandingFull
            | Discard::NoSocket
            | Discard::ForwardTooLong
            | Discard::ForwardLoop
            | Discard::BadHiddenAttribute => include_str!("forwarding.rs"),
            Discard::NoCoaClient => include_str!("coa/refused.rs"),
            Discard::EventTimestampOutside | Discard::NoEventTimestamp => include_str!("coa/replay.rs"),
            Discard::AnsweredElsewhere => include_str!("forwarded_conversations.rs"),
            // Every limit in front of it is reached first.
            Discard::NoBuffer => continue,
        };
        let is_named = place.contains(&format!("Discard::{reason:?}")) || place.contains(reason.name());
        assert!(is_named, "{reason:?} is tested where it is said to be");
    }
}
