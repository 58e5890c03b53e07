//! The order of attributes of different types means nothing, that of attributes of one type is kept. RFC 2865 §5.

mod support;

use support::{Ask, Reply, Server, USERS, nas, secret};
use ulna_core::attributes::{Entry, Scratch, Walk, Writer};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::{Attributes, Code, Encoder, MessageAuthenticator, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

/// All orders of these.
fn orders<T: Copy>(all: &[T]) -> Vec<Vec<T>> {
    let [rest @ .., last] = all else { return vec![vec![]] };
    let insert = |order: Vec<T>| {
        (0..=order.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, *last);
            order
        })
    };
    orders(rest).into_iter().flat_map(insert).collect()
}

// checklist 5
#[test]
fn requests_are_decided_alike_in_every_order_of_types() {
    let mut server = Server::new(SEPARATE, USERS);
    let attributes: [(u8, &[u8]); 5] = [
        (number::USER_NAME, b"bob"),
        (number::USER_PASSWORD, b"hello"),
        (number::NAS_PORT, &[0, 0, 0, 1]),
        (222, b"unknown"),
        (number::CALLING_STATION_ID, b"00-00-5E-00-53-17"),
    ];
    let orders = orders(&attributes);
    assert_eq!(orders.len(), 120);
    for (port, order) in (1000..).zip(orders) {
        let mut request = Vec::new();
        let first = MessageAuthenticator::First;
        let mut encoder = Encoder::request(&mut request, Code::AccessRequest, 1, &[1; 16], first);
        for (number, value) in &order {
            match *number {
                number::USER_PASSWORD => encoder.user_password(value, &secret()).expect("it fits"),
                number => encoder.attribute(number, value).expect("it fits"),
            }
        }
        encoder.finish_request(&secret());
        let reply = Reply::to(&request, &server.ask(nas(port), &request)[0].octets);
        assert_eq!(reply.code, Code::AccessAccept, "{order:?}");
    }
    server.assert_nothing_is_left();
}

// checklist 5, 33
#[test]
fn several_classes_of_a_reply_are_sent_in_the_order_of_the_configuration() {
    let text = support::configuration(SEPARATE, USERS)
        .replace("{ Session-Timeout = 3600 }", r#"{ Class = ["b", "a", "b"], Session-Timeout = 3600 }"#);
    let mut server = Server::of(&text);
    let request = Ask::bob().octets();
    let reply = Reply::to(&request, &server.ask(nas(1000), &request)[0].octets);
    assert_eq!(reply.values(number::CLASS), [b"b", b"a", b"b"]);
    server.assert_nothing_is_left();
}

// checklist 5, 33
#[test]
fn what_is_read_and_written_again_keeps_the_order_of_each_type_and_all_octets() {
    let dictionary = Dictionary::built_in();
    // Class, Reply-Message and Proxy-State, each twice and more, mixed; a Class without octets, and one with all values.
    let all: Vec<u8> = (0..=252).collect();
    let mut octets =
        vec![25, 3, b'b', 18, 3, b'2', 25, 2, 33, 3, 9, 25, 3, b'a', 33, 3, 8, 18, 3, b'1', 25, 3, b'b'];
    octets.extend_from_slice(&[25, 255]);
    octets.extend_from_slice(&all);
    let mut scratch = Scratch::default();
    let attributes = Attributes::parse(&octets).expect("the boundaries hold");
    let (mut out, mut classes) = (Vec::new(), Vec::new());
    let mut writer = Writer::new(&dictionary, &mut out);
    for item in Walk::new(&dictionary, attributes, &mut scratch) {
        if item.oid.parts() == [25] {
            classes.push(item.value);
        }
        writer.push(&Entry::from(&item)).expect("it was read");
    }
    writer.finish();
    assert_eq!(classes, [&b"b"[..], b"", b"a", b"b", &all]);
    assert_eq!(out, octets);
}
