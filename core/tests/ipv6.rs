//! Clients, listeners and attributes of IPv6. RFC 3162 §2.

mod support;

use std::net::SocketAddr;
use support::{Ask, Reply, Server, USERS};
use ulna_core::attributes::{Scratch, Shape, Walk};
use ulna_core::dictionary::Dictionary;
use ulna_core::discard::Discard;
use ulna_core::packet::{Code, Framed};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const NAS_IPV6_ADDRESS: u8 = 95;
const FRAMED_INTERFACE_ID: u8 = 96;
const FRAMED_IPV6_PREFIX: u8 = 97;

/// A server whose first listener has an address of IPv6.
fn server() -> Server {
    let text = support::configuration(SEPARATE, USERS);
    Server::of(&text.replacen("192.0.2.1:1812", "[2001:db8::1]:1812", 1))
}

fn nas() -> SocketAddr {
    "[2001:db8:1::7]:1000".parse().expect("an address of client `branch`")
}

// checklist 17
#[test]
fn a_client_is_found_by_its_ipv6_network_and_answered_from_the_ipv6_listener() {
    let request = Ask::bob().with(NAS_IPV6_ADDRESS, &[0x20; 16]).octets();
    let mut server = server();
    let sent = server.ask(nas(), &request);
    assert_eq!(Reply::to(&request, &sent[0].octets).code, Code::AccessAccept);
    assert_eq!(sent[0].transmit, server.path(0, 0, nas()).reversed());
    assert!(server.ask("[2001:db8:2::7]:1000".parse().unwrap(), &request).is_empty());
    assert_eq!(server.discarded(Discard::UnknownClient), 1);
    server.assert_nothing_is_left();
}

/// What each of these lengths of an attribute's value is worth, in a request that is answered whatever it is worth.
fn shapes(number: u8, lengths: std::ops::RangeInclusive<usize>) -> Vec<(usize, Shape)> {
    let dictionary = Dictionary::built_in();
    let mut server = server();
    let mut scratch = Scratch::default();
    let mut shapes = Vec::new();
    for octets in lengths {
        let request = Ask::bob().with(number, &vec![0; octets]).identifier(octets as u8).octets();
        let reply = Reply::to(&request, &server.ask(nas(), &request)[0].octets);
        assert_eq!(reply.code, Code::AccessAccept, "the attribute alone is invalid, not the packet");
        let framed = Framed::parse(&request).expect("we made it");
        let mut found = None;
        for item in Walk::new(&dictionary, framed.attributes(), &mut scratch) {
            if item.oid.first() == u32::from(number) {
                found = Some(item.shape);
            } else {
                assert_eq!(item.shape, Shape::Known, "those beside it are what they are");
            }
        }
        shapes.push((octets, found.expect("it is there")));
    }
    server.assert_nothing_is_left();
    shapes
}

// checklist 17
#[test]
fn attributes_of_wrong_lengths_are_invalid_and_no_reason_to_drop_the_packet() {
    // RFC 3162 §2.1, §2.2, §2.3: the attributes have 18, 10 and 4 to 20 octets, two of them their headers.
    for (number, right) in
        [(NAS_IPV6_ADDRESS, 16..=16), (FRAMED_INTERFACE_ID, 8..=8), (FRAMED_IPV6_PREFIX, 2..=18)]
    {
        for (octets, shape) in shapes(number, 0..=20) {
            let expected = if right.contains(&octets) { Shape::Known } else { Shape::Invalid };
            assert_eq!(shape, expected, "attribute {number} with a value of {octets} octets");
        }
    }
}
