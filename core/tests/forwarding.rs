//! A request goes on to a remote server, and its reply comes back: what each hop sees, what is believed, what is sent again,
//! what ends when nobody answers. RFC 2865 §2.3, RFC 5080 §2.2.1.

mod support;

use std::time::Duration;
use support::{Ask, Forwarded, Reply, Server, nas};
use ulna_core::discard::Discard;
use ulna_core::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use ulna_core::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};

/// What ulna shares with the remote servers.
const REMOTE_SECRET: &[u8] = b"a secret of the remote servers";

/// Two servers, and rules that send everybody there.
const FARM: &str = r#"
[[server.new]]
proxy = "farm"
[[server.accounting]]
proxy = "farm"

[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
[[remote_server]]
name = "two"
address = "203.0.113.6:1812"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
balance = "failover"
remote_servers = ["one", "two"]
"#;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

fn remote_secret() -> Secret {
    Secret::new(REMOTE_SECRET).expect("it has octets")
}

/// A remote server's reply to what it got, with these attributes and the Proxy-States of the request.
fn answer(to: &Forwarded, code: Code, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let sign = if code == Code::AccountingResponse {
        MessageAuthenticator::Absent
    } else {
        MessageAuthenticator::First
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    encoder.finish_reply(&remote_secret(), request.authenticator());
    out
}

fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

// checklist 39, 42, 47
#[test]
fn a_request_goes_on_and_its_reply_comes_back() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().with(number::PROXY_STATE, b"theirs").octets();
    assert!(server.ask(nas(1000), &request).is_empty());
    let forwarded = only(server.take_forwarded());
    assert_eq!(forwarded.remote.to_string(), "203.0.113.5:1812");
    let framed = Framed::parse(&forwarded.octets).expect("what leaves is a packet");
    assert_eq!(framed.code(), Some(Code::AccessRequest));
    assert_ne!(framed.authenticator(), &[1; 16], "the authenticator is this hop's own");
    let first = framed.attributes().next().map(|attribute| attribute.number);
    assert_eq!(first, Some(number::MESSAGE_AUTHENTICATOR));
    let mut plain = [0; USER_PASSWORD_OCTETS_MAX];
    let password = framed.value(Landmark::UserPassword).expect("it has one");
    assert_eq!(
        reveal_user_password(password, &remote_secret(), framed.authenticator(), &mut plain),
        Ok(&b"hello"[..])
    );
    let states: Vec<_> = framed.proxy_states().collect();
    assert_eq!((states.len(), states[0]), (2, &b"theirs"[..]), "ours is the last");

    let accept = answer(&forwarded, Code::AccessAccept, &[(number::CLASS, b"staff")]);
    let sent = only(server.remote_reply(&forwarded, &accept));
    let reply = Reply::to(&request, &sent.octets);
    assert_eq!((reply.code, reply.values(number::CLASS)), (Code::AccessAccept, vec![&b"staff"[..]]));
    assert_eq!(reply.values(number::PROXY_STATE), [&b"theirs"[..]]);
    // Once answered it is answered.
    assert!(server.remote_reply(&forwarded, &accept).is_empty());
    assert_eq!(server.count("remote_replies_late"), 1);
    server.assert_nothing_is_left();
}

// checklist 40
#[test]
fn a_duplicate_is_sent_on_again_octet_for_octet() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    server.run(Duration::from_secs(3));
    let first = only(server.take_forwarded());
    assert!(server.ask(nas(1000), &request).is_empty());
    let again = only(server.take_forwarded());
    assert_eq!((again.octets, again.socket), (first.octets.clone(), first.socket));
    let reject = answer(&first, Code::AccessReject, &[]);
    let sent = only(server.remote_reply(&first, &reject));
    // A reject of theirs is not delayed by us.
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessReject);
    server.assert_nothing_is_left();
}

// checklist 43
#[test]
fn what_does_not_verify_changes_nothing() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    let forwarded = only(server.take_forwarded());
    let accept = answer(&forwarded, Code::AccessAccept, &[]);
    let mut forged = accept.clone();
    forged[4] ^= 1;
    let mut other = forwarded.clone();
    other.octets[1] ^= 1;
    let stranger = answer(&other, Code::AccessAccept, &[]);
    let wrong = answer(&forwarded, Code::AccountingResponse, &[]);
    for octets in [&forged, &stranger, &wrong, &accept[..10].to_vec()] {
        assert!(server.remote_reply(&forwarded, octets).is_empty());
    }
    assert_eq!((server.count("remote_replies_bad"), server.count("remote_replies_late")), (3, 1));
    let sent = only(server.remote_reply(&forwarded, &accept));
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessAccept);
    server.assert_nothing_is_left();
}

#[test]
fn an_unsigned_reply_is_believed_only_where_it_may_be() {
    let unsigned = |to: &Forwarded| {
        let request = Framed::parse(&to.octets).expect("a packet");
        let mut out = Vec::new();
        Encoder::reply(&mut out, Code::AccessAccept, request.identifier(), MessageAuthenticator::Absent)
            .finish_reply(&remote_secret(), request.authenticator());
        out
    };
    let lax = FARM
        .replace("[[pool]]", "require_message_authenticator = false\n[[pool]]")
        .replace("name = \"one\"", "name = \"one\"\nrequire_message_authenticator = false");
    for (rules, believed) in [(FARM, 0), (&lax, 1)] {
        let mut server = Server::new(SEPARATE, rules);
        server.ask(nas(1000), &Ask::bob().octets());
        let forwarded = only(server.take_forwarded());
        assert_eq!(server.remote_reply(&forwarded, &unsigned(&forwarded)).len(), believed);
    }
}

#[test]
fn without_an_answer_it_is_given_up_by_name_and_a_late_one_finds_nobody() {
    let mut server = Server::new(SEPARATE, FARM);
    server.ask(nas(1000), &Ask::bob().octets());
    let forwarded = only(server.take_forwarded());
    server.run(Duration::from_secs(31));
    assert_eq!(server.discarded(Discard::NoAnswer), 1);
    assert!(server.remote_reply(&forwarded, &answer(&forwarded, Code::AccessAccept, &[])).is_empty());
    assert_eq!(server.count("remote_replies_late"), 1);
    server.assert_nothing_is_left();
}

// checklist 44
#[test]
fn a_request_that_has_been_here_is_a_loop() {
    let mut server = Server::new(SEPARATE, FARM);
    server.ask(nas(1000), &Ask::bob().octets());
    let forwarded = only(server.take_forwarded());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    let ours = framed.proxy_states().last().expect("ours is there").to_vec();
    let looping = Ask::bob().identifier(2).authenticator(2).with(number::PROXY_STATE, &ours).octets();
    server.ask(nas(1000), &looping);
    assert!(server.take_forwarded().is_empty());
    server.run(Duration::from_secs(1));
    let sent = only(server.take_sent());
    let reply = Reply::to(&looping, &sent.octets);
    assert_eq!((reply.code, reply.values(number::PROXY_STATE)), (Code::AccessReject, vec![&ours[..]]));
    assert_eq!(server.count("loops"), 1);
}

#[test]
fn accounting_goes_on_and_the_answer_is_theirs() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::accounting().with(number::PROXY_STATE, b"theirs").octets();
    assert!(server.ask_accounting(nas(1000), &request).is_empty());
    let forwarded = only(server.take_forwarded());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    assert_eq!(framed.code(), Some(Code::AccountingRequest));
    let response = answer(&forwarded, Code::AccountingResponse, &[]);
    let sent = only(server.remote_reply(&forwarded, &response));
    let framed = Framed::parse(&sent.octets).expect("a packet");
    let states: Vec<_> = framed.proxy_states().collect();
    assert_eq!((framed.code(), states), (Some(Code::AccountingResponse), vec![&b"theirs"[..]]));
    server.assert_nothing_is_left();
}

#[test]
fn without_a_socket_it_ends_by_name() {
    let mut server = Server::new(SEPARATE, FARM);
    server.has_remote_sockets = false;
    server.ask(nas(1000), &Ask::bob().octets());
    assert_eq!(server.discarded(Discard::NoSocket), 1);
    server.has_remote_sockets = true;
    server.ask(nas(1000), &Ask::bob().identifier(2).octets());
    assert_eq!(server.take_forwarded().len(), 1);
    server.assert_nothing_is_left();
}

// checklist 41
#[test]
fn more_than_256_go_to_one_server_by_several_ports() {
    let mut server = Server::new(SEPARATE, FARM);
    for number in 0..1_000_u32 {
        let ask = Ask::bob().identifier(number as u8).numbered(number);
        server.ask(nas(1000 + (number / 256) as u16), &ask.octets());
    }
    let forwarded = server.take_forwarded();
    assert_eq!(forwarded.len(), 1_000);
    let mut names: Vec<_> = forwarded.iter().map(|one| (one.socket, one.octets[1])).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 1_000, "no Identifier is used twice at one port");
    for one in forwarded.iter().rev() {
        assert_eq!(server.remote_reply(one, &answer(one, Code::AccessAccept, &[])).len(), 1);
    }
    server.assert_nothing_is_left();
}
