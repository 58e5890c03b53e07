//! What does not go on: who may not ask, and what names no NAS that there is a way to.

use std::net::SocketAddr;

use ulna_core::Discard;
use ulna_core::event::Outcome;
use ulna_core::packet::{Code, number};

use crate::bench::*;
use crate::support::{Ask, Server, nas};

const ADDRESS: u8 = number::NAS_IP_ADDRESS;
const IDENTIFIER: u8 = number::NAS_IDENTIFIER;

// checklist 84, 86
#[test]
fn what_names_no_nas_that_there_is_a_way_to_is_refused_with_its_cause() {
    let mut server = server(SEPARATE);
    type Attributes = &'static [(u8, &'static [u8])];
    let cases: &[(Attributes, u32)] = &[
        (&[], 402),
        (&[(ADDRESS, &[203, 0, 114, 99])], 403),
        (&[(IDENTIFIER, b"three")], 403),
        (&[(ADDRESS, &[192, 0, 2, 11]), (IDENTIFIER, b"tower")], 403),
        (&[(ADDRESS, &[192, 0, 2, 11]), (ADDRESS, &[192, 0, 2, 12])], 403),
        (&[(ADDRESS, &[192, 0, 2, 12]), (IDENTIFIER, b"not the tower")], 403),
        (&[(ADDRESS, &[192, 0, 2])], 404),
        (&[(IDENTIFIER, b"home")], 502),
        (&[(ADDRESS, &[192, 0, 2, 200])], 502),
        // Whoever asks is a client as well.
        (&[(ADDRESS, &[198, 51, 100, 7])], 502),
    ];
    let mut identifier = 0;
    for (attributes, cause) in cases {
        for (code, nak) in [(Code::CoaRequest, Code::CoaNak), (Code::DisconnectRequest, Code::DisconnectNak)]
        {
            identifier += 1;
            let mut ask = ask_of(code).identifier(identifier).with(number::PROXY_STATE, b"first");
            for (number, value) in *attributes {
                ask = ask.with(*number, value);
            }
            let request = ask.with(number::STATE, b"opaque").with(number::PROXY_STATE, b"second").octets();
            let sent = only(ask_now(&mut server, &request));
            let answer = Answer::to(&request, &sent.octets);
            assert_eq!((answer.code, answer.is_signed), (nak, false), "{attributes:?}");
            let mut expected = vec![(number::ERROR_CAUSE, cause.to_be_bytes().to_vec())];
            if code == Code::CoaRequest {
                expected.push((number::STATE, b"opaque".to_vec()));
            }
            expected
                .extend([b"first".as_slice(), b"second"].map(|state| (number::PROXY_STATE, state.to_vec())));
            assert_eq!(answer.attributes, expected, "{attributes:?}");
            let told = finished(&server).pop();
            assert_eq!(told, Some((Outcome::Nak { error_cause: Some(*cause) }, None)));
            // What comes again gets the same octets.
            assert_eq!(only(ask_now(&mut server, &request)).octets, sent.octets);
        }
    }
    let all = 2 * cases.len() as u64;
    assert_eq!((server.count("naks"), server.count("naks_own"), server.count("answered")), (all, all, all));
    server.assert_nothing_is_left();
}

/// Asks, and nothing goes on.
fn ask_now(server: &mut Server, octets: &[u8]) -> Vec<crate::support::Sent> {
    let sent = ask(server, octets);
    assert!(server.take_forwarded().is_empty(), "what is refused does not go on");
    sent
}

// checklist 84
#[test]
fn what_nobody_told_us_a_nas_is_called_is_its_own_to_check() {
    let mut server = server(SEPARATE);
    let asks = [
        ask_of(Code::DisconnectRequest)
            .with(ADDRESS, &[192, 0, 2, 11])
            .with(IDENTIFIER, b"pop-1.example.org"),
        ask_of(Code::DisconnectRequest).with(ADDRESS, &[10, 0, 0, 1]).with(IDENTIFIER, b"one"),
    ];
    for (ask, identifier) in asks.into_iter().zip(1..) {
        let forwarded = go_on(&mut server, &ask.identifier(identifier).octets());
        assert_eq!(forwarded.remote.to_string(), "192.0.2.11:3799");
    }
}

#[test]
fn rules_say_who_may_change_what() {
    let rules = r#"
[[server.coa]]
when = { User-Name = "root" }
reject = true
[[server.coa]]
when = { client = "branch", realm = { not = { present = true } } }
proxy = "client"
"#;
    let mut server = Server::of(&text(SEPARATE, rules, NASES));
    go_on(&mut server, &disconnect().octets());
    let about = |name: &[u8], identifier| {
        let ask = Ask::of(Code::DisconnectRequest).unsigned().identifier(identifier);
        ask.with(number::USER_NAME, name).with(ADDRESS, &[192, 0, 2, 11]).octets()
    };
    for (name, identifier) in [(&b"root"[..], 2), (b"ann@example.edu", 3)] {
        let refused = refused_with(&mut server, &about(name, identifier));
        assert_eq!(refused, (Code::DisconnectNak, vec![501]), "{name:?}");
    }
    // A NAS does not order others about, though it has a secret.
    let of_nas = disconnect().under(NAS_SECRET).octets();
    let sent = only(ask_from(&mut server, SocketAddr::from(([192, 0, 2, 12], 1000)), &of_nas));
    assert_eq!(sent.octets[0], Code::DisconnectNak.octet());
    // Without any rule nobody may.
    let mut server = Server::of(&text(SEPARATE, "", NASES));
    assert_eq!(refused_with(&mut server, &disconnect().octets()), (Code::DisconnectNak, vec![501]));
    server.assert_nothing_is_left();
}

#[test]
fn rules_may_say_which_nas_is_meant() {
    let rules = "[[server.coa]]\nwhen = { User-Name = \"bob\" }\nproxy = \"client\"\n\
                 remove_request = [\"NAS-IP-Address\"]\nset_request = { NAS-Identifier = \"tower\" }\n";
    let mut server = Server::of(&text(SEPARATE, rules, NASES));
    let request = disconnect().octets();
    let forwarded = go_on(&mut server, &request);
    assert_eq!(forwarded.remote.to_string(), "[2001:db8:2::1]:3799");
    let goes = ulna_core::packet::Framed::parse(&forwarded.octets).expect("a packet");
    let attributes = pairs(goes.attributes());
    assert_eq!(attributes[..2], [(1, b"bob".to_vec()), (IDENTIFIER, b"tower".to_vec())]);
    let sent = only(server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
    server.assert_nothing_is_left();
}

// checklist 84
#[test]
fn whose_session_is_meant_is_said_once() {
    let mut server = server(SEPARATE);
    let two = disconnect().with(number::USER_NAME, b"victim@b.example").octets();
    assert_eq!(refused_with(&mut server, &two), (Code::DisconnectNak, vec![404]));
}

#[test]
fn what_is_too_long_for_the_next_hop_is_refused() {
    let mut server = server(SEPARATE);
    let mut ask = disconnect();
    while ask.octets().len() < 4_096 - 257 {
        ask = ask.with(number::CLASS, &[7; 253]);
    }
    let room = 4_096 - ask.octets().len() - 2;
    let whole = ask.with(number::CLASS, &vec![7; room.min(253)]).octets();
    assert!(whole.len() > 4_096 - 18, "our Proxy-State has no room: {}", whole.len());
    assert_eq!(refused_with(&mut server, &whole), (Code::DisconnectNak, vec![505]));
    server.assert_nothing_is_left();
}

#[test]
fn who_is_no_client_of_the_configuration_may_not_ask() {
    let ruled = r#"
[[client_rule]]
name = "sites"
network = "100.64.0.0/16"
secret = "a secret of the branch"
"#;
    let mut server = Server::of(&text(SEPARATE, PROXY, &format!("{NASES}{ruled}")));
    let ruled = SocketAddr::from(([100, 64, 0, 9], 1000));
    let request = disconnect().octets();
    assert_discards(&mut server, ruled, &request, Discard::NoCoaClient);
    // Also not when it has been admitted.
    server.datagram_at(server.owner(ruled), 0, ruled, &Ask::bob().octets());
    server.settle();
    assert_eq!(server.count("admitted"), 1, "{}", server.table());
    assert_discards(&mut server, ruled, &request, Discard::NoCoaClient);
    assert_discards(&mut server, SocketAddr::from(([100, 65, 0, 9], 1000)), &request, Discard::UnknownClient);
    // By a stream that is known it is passed over.
    let stream = server.accept(0, BY_STREAM, ruled).expect("it is accepted");
    assert!(server.ask_by(stream, &request).is_empty());
    let by_stream = server.discarded(Discard::NoCoaClient);
    assert_eq!(by_stream, 3, "{}", server.table());
    server.end(stream);
    // Nor can it be sent to.
    let about =
        |identifier| ask_of(Code::DisconnectRequest).identifier(identifier).with(ADDRESS, &[100, 64, 0, 9]);
    for ask in [about(1), about(2).with(IDENTIFIER, b"site-7")] {
        assert_eq!(refused_with(&mut server, &ask.octets()), (Code::DisconnectNak, vec![502]));
    }
    go_on(&mut server, &about(3).with(IDENTIFIER, b"one").octets());
}

#[test]
fn only_listeners_that_take_coa_take_it_and_nothing_else() {
    let mut server = server(SEPARATE);
    for listener in [0, 1] {
        server.datagram_at(server.owner(nas(1000)), listener, nas(1000), &disconnect().octets());
        server.settle();
    }
    assert_eq!(server.discarded(Discard::UnexpectedCode), 2);
    for octets in [Ask::bob().octets(), Ask::accounting().octets()] {
        assert_discards(&mut server, nas(1000), &octets, Discard::UnexpectedCode);
    }
    assert!(server.take_forwarded().is_empty());
}
