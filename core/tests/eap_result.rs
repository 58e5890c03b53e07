//! To a request with EAP-Message, an Access-Accept carries EAP-Success and an Access-Reject EAP-Failure.
//! RFC 3579 §2.6.3.

mod support;

use support::{Ask, Reply, Server, nas};
use ulna_core::packet::{Code, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const REJECT: &str = "[[server.new]]\nreject = true\n";

fn rejected(request: &[u8]) -> Reply {
    let mut server = Server::new(SEPARATE, REJECT);
    server.ask(nas(1000), request);
    server.run(server.configuration.protocol.reject_delay);
    let reply = Reply::to(request, &server.sent[0].octets);
    assert_eq!(reply.code, Code::AccessReject);
    server.assert_nothing_is_left();
    reply
}

// checklist 23
#[test]
fn the_failure_has_the_identifier_of_the_eap_packet_not_of_the_request() {
    // EAP-Response 99, Identity "bob".
    let eap = [2, 99, 0, 8, 1, b'b', b'o', b'b'];
    let reply = rejected(&Ask::of(Code::AccessRequest).with(number::EAP_MESSAGE, &eap).octets());
    assert_eq!(reply.values(number::EAP_MESSAGE), [[4, 99, 0, 4]]);
}

#[test]
fn several_pieces_are_one_packet_and_get_one_failure() {
    let request = Ask::of(Code::AccessRequest)
        .with(number::EAP_MESSAGE, &[[2, 7, 1, 0].as_slice(), &[1; 249]].concat())
        .with(number::EAP_MESSAGE, &[66, 66, 66])
        .octets();
    assert_eq!(rejected(&request).values(number::EAP_MESSAGE), [[4, 7, 0, 4]]);
}

#[test]
fn an_eap_start_without_octets_gets_a_failure_too() {
    let reply = rejected(&Ask::of(Code::AccessRequest).with(number::EAP_MESSAGE, b"").octets());
    assert_eq!(reply.values(number::EAP_MESSAGE), [[4, 0, 0, 4]]);
}

#[test]
fn without_eap_there_is_none() {
    assert!(rejected(&Ask::bob().octets()).values(number::EAP_MESSAGE).is_empty());
}

// checklist 19
#[test]
fn unsigned_eap_is_discarded() {
    let mut server = Server::new(SEPARATE, REJECT);
    server.ask(nas(1000), &Ask::bob().with(number::EAP_MESSAGE, &[2, 1, 0, 4]).unsigned().octets());
    assert_eq!(server.discards(), [("unsigned-eap", 1)].into());
    server.assert_nothing_is_left();
}

// checklist 23
#[test]
fn an_accept_carries_success() {
    let request = Ask::of(Code::AccessRequest).with(number::EAP_MESSAGE, &[2, 41, 0, 4]).octets();
    let mut server = Server::new(SEPARATE, "[[server.new]]\naccept = true\n");
    let sent = server.ask(nas(1000), &request);
    let reply = Reply::to(&request, &sent[0].octets);
    assert_eq!(
        (reply.code, reply.values(number::EAP_MESSAGE)),
        (Code::AccessAccept, vec![&[3, 41, 0, 4][..]])
    );
    server.assert_nothing_is_left();
}
