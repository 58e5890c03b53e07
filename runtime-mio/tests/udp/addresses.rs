//! A listener on the wildcard address answers from the address that was asked.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use ulna_core::path::{ListenerId, Path, SocketId, Via};
use ulna_runtime_mio::mmsg::MESSAGES_MAX;
use ulna_runtime_mio::{Outlet, SendBatch, SystemCalls};

use crate::loopback::{Receiver, add, to};

/// Sends to the listener under each of these addresses, has it answer, and looks where the answers come from.
fn answers_come_from_where_was_asked(wildcard: &str, client: &str, asked: &[&str]) {
    let mut listener = Receiver::at(wildcard);
    let mut client = Receiver::at(client);
    let port = listener.address().port();
    let mut calls = SystemCalls::default();
    let mut batch = SendBatch::new(MESSAGES_MAX);

    let asked: Vec<IpAddr> = asked.iter().map(|address| address.parse().expect("an address")).collect();
    for (number, &address) in asked.iter().enumerate() {
        add(&mut batch, to(SocketAddr::new(address, port)), &[number as u8; 30]);
    }
    assert_eq!(batch.flush_through(&client.bound.socket, &mut calls).sent, asked.len());

    for request in listener.expect(asked.len()) {
        assert_eq!(request.remote, client.address());
        let local = request.local_address.expect("a listener tells which address was asked");
        assert_eq!(local, asked[usize::from(request.octets[0])]);
        let path = Path {
            via: Via::Socket(SocketId(3)),
            listener: ListenerId(0),
            local: SocketAddr::new(local, port),
            remote: request.remote,
        };
        add(&mut batch, path.reversed(), &request.octets);
    }
    let outcome = batch
        .flush(|via| (via == SocketId(3)).then(|| Outlet::Open(listener.bound.socket.as_fd())), &mut calls);
    assert_eq!(outcome.sent, asked.len());

    for answer in client.expect(asked.len()) {
        assert_eq!(answer.remote, SocketAddr::new(asked[usize::from(answer.octets[0])], port));
    }
}

#[test]
fn ipv4_wildcard_answers_from_the_address_asked() {
    answers_come_from_where_was_asked(
        "0.0.0.0:0",
        "127.0.0.1:0",
        &["127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.2"],
    );
}

#[test]
fn ipv6_wildcard_answers_from_the_address_asked() {
    answers_come_from_where_was_asked("[::]:0", "[::1]:0", &["::1", "::1"]);
}

/// Only where loopback has a second IPv6 address; `small_path` makes such a place.
#[test]
#[ignore = "run by small_path in a network namespace of its own"]
fn ipv6_wildcard_answers_from_each_of_several_addresses() {
    answers_come_from_where_was_asked("[::]:0", "[::1]:0", &["::2", "::1", "::3", "::2"]);
}

#[test]
fn ipv6_listener_leaves_ipv4_of_its_port_to_others() {
    let v6 = Receiver::at("[::]:0");
    let v4 = Receiver::at(&format!("0.0.0.0:{}", v6.address().port()));
    assert_eq!(v4.address().port(), v6.address().port());
}

#[test]
fn a_bound_address_is_told_too() {
    let mut listener = Receiver::at("127.0.0.7:0");
    let client = Receiver::at("127.0.0.1:0");
    let mut batch = SendBatch::new(1);
    add(&mut batch, to(listener.address()), b"octets");
    assert!(batch.is_full());
    assert_eq!(batch.flush_through(&client.bound.socket, &mut SystemCalls::default()).sent, 1);
    let arrived = listener.expect(1);
    assert_eq!(arrived[0].local_address, Some(IpAddr::from([127, 0, 0, 7])));
    assert_eq!(arrived[0].remote, client.address());
}
