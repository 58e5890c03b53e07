//! Access-Requests without Message-Authenticator have nothing that could be checked: they live beside the signed ones
//! of the same Identifier and never displace them.

mod support;

use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::packet::Code;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

// checklist 36, 37
#[test]
fn an_unsigned_request_leaves_a_signed_one_in_progress_alone() {
    let (signed, unsigned) = (Ask::bob().octets(), Ask::bob().authenticator(2).unsigned().octets());
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &signed);
    server.datagram(nas(1000), &unsigned);
    server.finish_turn(0);
    server.settle();
    assert_eq!(server.sent.len(), 2);
    for (request, sent) in [&signed, &unsigned].into_iter().zip(&server.sent) {
        assert_eq!(Reply::to(request, &sent.octets).code, Code::AccessAccept);
    }
    assert_eq!((server.count("answered"), server.count("superseded")), (2, 0));
    assert_eq!((server.count("accepted"), server.count("accepted_unsigned")), (2, 1));
    server.assert_nothing_is_left();
}

#[test]
fn unsigned_requests_leave_a_kept_reply_to_a_signed_one_alone() {
    let signed = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, USERS);
    let reply = server.ask(nas(1000), &signed);
    for octet in 2..20 {
        assert_eq!(server.ask(nas(1000), &Ask::bob().authenticator(octet).unsigned().octets()).len(), 1);
    }
    assert_eq!(server.ask(nas(1000), &signed)[0].octets, reply[0].octets);
    server.assert_nothing_is_left();
}

#[test]
fn the_same_octets_but_for_the_signature_are_two_requests() {
    let (signed, unsigned) = (Ask::bob().octets(), Ask::bob().unsigned().octets());
    let mut server = Server::new(SEPARATE, USERS);
    let replies = [&signed, &unsigned].map(|request| server.ask(nas(1000), request)[0].octets.clone());
    for (request, reply) in [&signed, &unsigned].into_iter().zip(&replies) {
        assert_eq!(&server.ask(nas(1000), request)[0].octets, reply);
    }
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (2, 2));
    server.assert_nothing_is_left();
}

#[test]
fn a_signed_request_leaves_an_unsigned_one_in_progress_alone() {
    let (unsigned, signed) = (Ask::bob().unsigned().octets(), Ask::bob().authenticator(2).octets());
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &unsigned);
    server.datagram(nas(1000), &signed);
    server.finish_turn(0);
    server.settle();
    assert_eq!((server.count("answered"), server.count("superseded")), (2, 0));
    server.assert_nothing_is_left();
}
