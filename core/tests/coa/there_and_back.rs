//! A request goes on to its NAS as another hop, and the NAS's answer comes back.

use std::time::Duration;

use md5::{Digest, Md5};

use ulna_core::Discard;
use ulna_core::attributes::{Sealing, text};
use ulna_core::dictionary::Dictionary;
use ulna_core::event::{Event, Outcome};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Framed, Landmark, MessageAuthenticator, Requirements, Secrets, number};
use ulna_core::path::Peer;

use crate::bench::*;
use crate::support::{Ask, SECRET, Server, nas, secret};

const STATES: [&[u8]; 2] = [b"of the first", b"of the second"];

// checklist 82, 86
#[test]
fn a_request_goes_on_to_its_nas_and_the_answer_comes_back() {
    for settings in [SEPARATE, JOINED] {
        for (code, answered) in
            [(Code::DisconnectRequest, Code::DisconnectAck), (Code::CoaRequest, Code::CoaAck)]
        {
            let mut server = server(settings);
            let request = ask_of(code)
                .with(number::PROXY_STATE, STATES[0])
                .with(number::NAS_IP_ADDRESS, &[192, 0, 2, 11])
                .with(number::CLASS, b"opaque")
                .with(number::PROXY_STATE, STATES[1])
                .with(number::CLASS, b"opaque, too")
                .octets();
            let forwarded = go_on(&mut server, &request);
            assert_eq!(forwarded.remote.to_string(), "192.0.2.11:3799");
            let [came, goes] =
                [&request, &forwarded.octets].map(|octets| Framed::parse(octets).expect("a packet"));
            assert_eq!(goes.code(), Some(code));
            assert_ne!(goes.authenticator(), came.authenticator(), "the authenticator is this hop's own");
            let verified = goes.verify_request(&Secrets::one(nas_secret()), Requirements::default());
            assert!(verified.is_ok(), "{verified:?}");
            // Nothing is added but our Proxy-State, behind all others; nothing is moved.
            let mut attributes = pairs(goes.attributes());
            let ours = attributes.pop().expect("there are some");
            assert_eq!((ours.0, ours.1.len()), (number::PROXY_STATE, 16));
            assert_eq!(attributes, pairs(came.attributes()));

            let ack = answer(&forwarded, answered, &[(number::CLASS, b"of the NAS")]);
            let sent = only(server.remote_reply(&forwarded, &ack));
            assert_eq!(sent.transmit.destination, nas(1000));
            let answer = Answer::to(&request, &sent.octets);
            assert_eq!((answer.code, answer.is_signed), (answered, false));
            let mut expected = vec![(number::CLASS, b"of the NAS".to_vec())];
            expected.extend(STATES.map(|state| (number::PROXY_STATE, state.to_vec())));
            assert_eq!(answer.attributes, expected);
            assert_eq!((server.count("acks"), server.count("answered")), (1, 1));
            // Once answered it is answered.
            assert!(server.remote_reply(&forwarded, &ack).is_empty());
            assert_eq!(server.count("remote_replies_late"), 1);
            server.assert_nothing_is_left();
        }
    }
}

// checklist 82
#[test]
fn what_comes_again_is_sent_on_again_octet_for_octet_and_answered_with_the_same_octets() {
    let mut server = server(SEPARATE);
    let request = disconnect().octets();
    let first = go_on(&mut server, &request);
    server.run(Duration::from_secs(3));
    let again = go_on(&mut server, &request);
    assert_eq!((&again.octets, again.socket), (&first.octets, first.socket));
    assert_eq!(server.count("forwarded_again"), 1);
    let sent = only(server.remote_reply(&first, &answer(&first, Code::DisconnectAck, &[])));
    server.run(Duration::from_secs(3));
    let resent = only(ask(&mut server, &request));
    assert_eq!(resent.octets, sent.octets);
    assert!(server.take_forwarded().is_empty(), "the NAS is not told twice");
    assert_eq!(server.count("duplicates_resent"), 1);
    // Of the same Identifier another request is another.
    let other = coa().octets();
    assert_eq!(go_on(&mut server, &other).octets[0], Code::CoaRequest.octet());
    server.run(Duration::from_secs(31));
    server.assert_nothing_is_left();
}

// checklist 82
#[test]
fn a_newer_request_of_the_same_identifier_takes_the_place_of_the_one_before() {
    let mut server = server(SEPARATE);
    let [one, other] = [b"one", b"two"].map(|class| disconnect().with(number::CLASS, class).octets());
    let first = go_on(&mut server, &one);
    let second = go_on(&mut server, &other);
    assert_eq!(server.count("superseded"), 1);
    assert!(server.remote_reply(&first, &answer(&first, Code::DisconnectAck, &[])).is_empty());
    let sent = only(server.remote_reply(&second, &answer(&second, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&other, &sent.octets).code, Code::DisconnectAck);
    server.assert_nothing_is_left();
}

/// A packet's authenticator made anew: an MD5 over the packet with this one in its place, and the secret.
fn sign_again(octets: &mut [u8], authenticator: &[u8; 16], secret: &[u8]) {
    let mut digest = Md5::new();
    [&octets[..4], authenticator, &octets[20..], secret].into_iter().for_each(|piece| digest.update(piece));
    octets[4..20].copy_from_slice(&digest.finalize());
}

// checklist 83
#[test]
fn a_message_authenticator_is_verified_and_made_anew_for_each_hop() {
    let mut server = server(SEPARATE);
    let ask_signed = || {
        Ask::of(Code::CoaRequest)
            .with(number::NAS_IP_ADDRESS, &[192, 0, 2, 11])
            .with(number::USER_NAME, b"bob")
    };
    let request = ask_signed().octets();
    let forwarded = go_on(&mut server, &request);
    let goes = Framed::parse(&forwarded.octets).expect("a packet");
    assert!(goes.layout().has(Landmark::MessageAuthenticator));
    assert!(goes.verify_request(&Secrets::one(nas_secret()), Requirements::default()).is_ok());
    // The NAS's is verified, too.
    let ack = answer_signed(&forwarded, Code::CoaAck, MessageAuthenticator::First, &[]);
    let mut forged = ack.clone();
    forged[23] ^= 1;
    sign_again(&mut forged, goes.authenticator(), NAS_SECRET);
    assert!(server.remote_reply(&forwarded, &forged).is_empty());
    assert_eq!(server.count("remote_replies_bad"), 1);
    let sent = only(server.remote_reply(&forwarded, &ack));
    assert!(Answer::to(&request, &sent.octets).is_signed);

    // A wrong one under a right Request Authenticator, and a wrong Request Authenticator.
    let mut wrong = ask_signed().identifier(2).octets();
    wrong[23] ^= 1;
    sign_again(&mut wrong, &[0; 16], SECRET);
    assert_discards(&mut server, nas(1000), &wrong, Discard::BadMessageAuthenticator);
    let forged = disconnect().identifier(2).forged().octets();
    assert_discards(&mut server, nas(1000), &forged, Discard::BadRequestAuthenticator);
    // NAK of ours is signed for who signs.
    let request = Ask::of(Code::CoaRequest).identifier(3).octets();
    let answer = Answer::to(&request, &only(ask(&mut server, &request)).octets);
    assert_eq!((answer.code, answer.is_signed, answer.causes()), (Code::CoaNak, true, vec![402]));
    server.assert_nothing_is_left();
}

// checklist 48, 84
#[test]
fn what_the_nas_refuses_is_passed_back_as_it_says_and_what_is_hidden_is_hidden_anew() {
    let dictionary = Dictionary::built_in();
    let hidden = |secret, hop_authenticator: &[u8; 16]| {
        let hop = Hop { secret, request_authenticator: hop_authenticator };
        let assignments = text::parse(&dictionary, "Tunnel-Password:1 = key").expect("well-formed");
        let mut out = Vec::new();
        text::write(&dictionary, &assignments, Some(Sealing { hop, salt: 7 }), &mut out).expect("it fits");
        out
    };
    let mut server = server(SEPARATE);
    let secret = secret();
    let request = coa().with(number::STATE, b"of the DAC").with_raw(&hidden(&secret, &[0; 16])).octets();
    let forwarded = go_on(&mut server, &request);
    let goes = Framed::parse(&forwarded.octets).expect("a packet");
    let hop = Hop { secret: &nas_secret(), request_authenticator: &[0; 16] };
    let read = text::print(&dictionary, goes.attributes()).revealed(hop).to_string();
    assert!(read.contains("State = 0x6f662074686520444143, Tunnel-Password:1 = \"key\""), "{read}");
    for (identifier, cause) in [(1, 503_u32), (2, 401), (3, 403)] {
        let request = coa().identifier(identifier).with(number::STATE, b"of the DAC").octets();
        let forwarded = if identifier == 1 { forwarded.clone() } else { go_on(&mut server, &request) };
        let nak = answer(
            &forwarded,
            Code::CoaNak,
            &[(number::ERROR_CAUSE, &cause.to_be_bytes()), (number::STATE, b"of the DAC")],
        );
        let sent = only(server.remote_reply(&forwarded, &nak));
        if identifier == 1 {
            continue;
        }
        let answer = Answer::to(&request, &sent.octets);
        assert_eq!((answer.code, answer.causes()), (Code::CoaNak, vec![cause]));
        assert_eq!(answer.attributes[1], (number::STATE, b"of the DAC".to_vec()));
        let (outcome, hop) = finished(&server).pop().expect("each request has an event");
        assert_eq!(outcome, Outcome::Nak { error_cause: Some(cause) });
        let hop = server.configuration.remote_server(hop.expect("a NAS had it"));
        assert_eq!(&*hop.name, "one");
    }
    assert_eq!((server.count("naks"), server.count("naks_own")), (3, 0));
    server.assert_nothing_is_left();
}

#[test]
fn what_does_not_verify_or_is_no_answer_changes_nothing() {
    let mut server = server(SEPARATE);
    let request = disconnect().octets();
    let forwarded = go_on(&mut server, &request);
    let ack = answer(&forwarded, Code::DisconnectAck, &[]);
    let mut forged = ack.clone();
    forged[4] ^= 1;
    for octets in [
        &forged,
        &answer(&forwarded, Code::CoaAck, &[]),
        &answer(&forwarded, Code::AccessAccept, &[]),
        &answer(&forwarded, Code::ProtocolError, &[]),
        &ack[..19].to_vec(),
    ] {
        assert!(server.remote_reply(&forwarded, octets).is_empty());
    }
    assert_eq!(server.count("remote_replies_bad"), 5);
    let sent = only(server.remote_reply(&forwarded, &ack));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
    server.assert_nothing_is_left();
}

#[test]
fn whom_the_nas_does_not_answer_we_do_not_either() {
    let mut server = server(SEPARATE);
    let request = disconnect().octets();
    let forwarded = go_on(&mut server, &request);
    server.run(Duration::from_secs(31));
    assert!(server.take_sent().is_empty());
    assert_eq!(server.discarded(Discard::NoAnswer), 1);
    assert!(server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[])).is_empty());
    // It is asked again as if nothing had been, and no NAS is thought dead.
    let again = go_on(&mut server, &request);
    assert_ne!(again.octets[1], forwarded.octets[1], "a reply that is late would be to the one before");
    let is_judged = |event: &Event| matches!(event, Event::RemoteServer { .. });
    assert!(!server.events.iter().any(is_judged), "{:?}", server.events);
    let sent = only(server.remote_reply(&again, &answer(&again, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
    server.assert_nothing_is_left();
}

// checklist 51
#[test]
fn a_request_that_has_been_here_is_refused() {
    let mut server = server(SEPARATE);
    let forwarded = go_on(&mut server, &disconnect().octets());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    let ours = framed.proxy_states().last().expect("ours is there").to_vec();
    let looping = disconnect().identifier(2).with(number::PROXY_STATE, &ours).octets();
    let sent = only(ask(&mut server, &looping));
    let answer = Answer::to(&looping, &sent.octets);
    assert_eq!((answer.code, answer.causes()), (Code::DisconnectNak, vec![502]));
    assert_eq!(answer.attributes[1], (number::PROXY_STATE, ours));
    assert!(server.take_forwarded().is_empty());
    assert_eq!(server.count("loops"), 1);
    server.run(Duration::from_secs(31));
    server.assert_nothing_is_left();
}

#[test]
fn by_a_stream_it_goes_on_and_comes_back_as_well() {
    let mut server = server(SEPARATE);
    let stream = server.accept(0, BY_STREAM, nas(1000)).expect("it is accepted");
    let request = disconnect().octets();
    assert!(server.ask_by(stream, &request).is_empty());
    let forwarded = only(server.take_forwarded());
    assert!(server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[])).is_empty());
    assert_eq!(Answer::to(&request, &only(server.replies(stream))).code, Code::DisconnectAck);
    let nobody = ask_of(Code::CoaRequest).identifier(2).octets();
    assert_eq!(Answer::to(&nobody, &server.ask_by(stream, &nobody)[1]).causes(), [402]);
    server.end(stream);
    server.assert_nothing_is_left();
}

#[test]
fn what_finds_no_room_on_its_way_is_refused() {
    let mut server = server(SEPARATE);
    server.has_remote_sockets = false;
    assert_eq!(refused_with(&mut server, &disconnect().octets()), (Code::DisconnectNak, vec![506]));
    server.has_remote_sockets = true;
    // One port of 256 Identifiers, of which some are kept.
    for number in 0..252_u8 {
        assert!(ask_from(&mut server, nas(2000), &disconnect().identifier(number).octets()).is_empty());
    }
    assert_eq!(server.take_forwarded().len(), 252);
    let one_more = disconnect().identifier(2).octets();
    assert_eq!(refused_with(&mut server, &one_more), (Code::DisconnectNak, vec![506]));
    // Another NAS is not concerned.
    let two = ask_of(Code::DisconnectRequest).with(number::NAS_IDENTIFIER, b"tower").octets();
    assert!(ask_from(&mut server, nas(3001), &two).is_empty());
    assert_eq!(only(server.take_forwarded()).remote.to_string(), "[2001:db8:2::1]:3799");
    server.run(Duration::from_secs(31));
    server.assert_nothing_is_left();
}

#[test]
fn silent_nases_leave_room_for_others() {
    let mut server = server(&format!("{SEPARATE}requests_max = 64\n"));
    for identifier in 0..16 {
        go_on(&mut server, &disconnect().identifier(identifier).octets());
    }
    let one_more = disconnect().identifier(16).octets();
    assert_eq!(refused_with(&mut server, &one_more), (Code::DisconnectNak, vec![506]));
    server.run(Duration::from_secs(31));
    go_on(&mut server, &disconnect().identifier(17).octets());
    server.run(Duration::from_secs(31));
    server.assert_nothing_is_left();
}

#[test]
fn what_a_dead_worker_had_is_orphaned_and_may_be_asked_again() {
    let mut server = server(SEPARATE);
    let request = disconnect().octets();
    let before = go_on(&mut server, &request);
    server.die(1, Peer::Worker(ulna_core::WorkerId(0)));
    server.settle();
    assert_eq!(server.count("orphaned"), 1);
    assert!(server.remote_reply(&before, &answer(&before, Code::DisconnectAck, &[])).is_empty());
    let after = go_on(&mut server, &request);
    let sent = only(server.remote_reply(&after, &answer(&after, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
}

#[test]
fn status_server_is_answered_where_coa_is_taken() {
    let mut server: Server = server(SEPARATE);
    let request = Ask::status().octets();
    let reply = only(ask(&mut server, &request));
    assert_eq!(Answer::to(&request, &reply.octets).code, Code::AccessAccept);
}
