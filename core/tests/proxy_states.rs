//! Proxy-State goes back as it came: all of them, unchanged, in order. RFC 2865 §5.33.

mod support;

use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::{Code, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

/// Three, of which one has no octets and two are equal, among other attributes.
fn with_proxy_states(ask: Ask) -> Vec<u8> {
    ask.with(number::PROXY_STATE, b"first")
        .with(number::NAS_PORT, &[0, 0, 0, 1])
        .with(number::PROXY_STATE, b"")
        .with(number::PROXY_STATE, &[0; 253])
        .with(number::CLASS, b"class")
        .with(number::PROXY_STATE, b"first")
        .octets()
}

const EXPECTED: [&[u8]; 4] = [b"first", b"", &[0; 253], b"first"];

// checklist 47, 49
#[test]
fn an_accept_returns_all_in_order() {
    let request = with_proxy_states(Ask::bob());
    let mut server = Server::new(SEPARATE, USERS);
    let reply = Reply::to(&request, &server.ask(nas(1000), &request)[0].octets);
    assert_eq!(reply.code, Code::AccessAccept);
    assert_eq!(reply.values(number::PROXY_STATE), EXPECTED);
    assert!(reply.values(number::CLASS).is_empty(), "nothing else is returned");
    server.assert_nothing_is_left();
}

// checklist 47, 49
#[test]
fn a_reject_returns_all_in_order() {
    let request = with_proxy_states(Ask::wrong());
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &request);
    server.run(server.configuration.protocol.reject_delay);
    let reply = Reply::to(&request, &server.sent[0].octets);
    assert_eq!((reply.code, reply.values(number::PROXY_STATE)), (Code::AccessReject, EXPECTED.to_vec()));
    server.assert_nothing_is_left();
}

// checklist 92
#[test]
fn unsigned_they_are_refused_unless_the_client_is_allowed_to() {
    let unsigned = with_proxy_states(Ask::bob().unsigned());
    let mut server = Server::new(SEPARATE, USERS);
    assert!(server.ask(nas(1000), &unsigned).is_empty());
    assert_eq!(server.discards(), [("unsigned-proxy-state", 1)].into());
    server.assert_nothing_is_left();

    let text = support::configuration(SEPARATE, USERS);
    let mut server = Server::of(&text.replacen("[[client]]", "[[client]]\nlimit_proxy_state = false", 1));
    let reply = Reply::to(&unsigned, &server.ask(nas(1000), &unsigned)[0].octets);
    assert_eq!(reply.values(number::PROXY_STATE), EXPECTED);
    server.assert_nothing_is_left();
}
