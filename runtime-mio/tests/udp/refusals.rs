//! What the kernel refuses or drops is counted, and takes nothing else with it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::kernel_drops::drops;
use ulna_runtime_mio::mmsg::MESSAGES_MAX;
use ulna_runtime_mio::{Outlet, SendBatch, SystemCalls, bind_udp, connect_udp};

use crate::loopback::{RECEIVE_BUFFER_OCTETS, Receiver, add, numbered, to};

#[test]
fn a_refused_message_does_not_stop_the_others() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let sender = Receiver::at("127.0.0.1:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    let good = to(receiver.address());
    let broadcast = to(SocketAddr::from(([255, 255, 255, 255], 9)));
    let not_ours = Transmit { source: Some(IpAddr::from([192, 0, 2, 77])), ..good };
    for (transmit, octets) in [
        (broadcast, 50),
        (good, 51),
        (not_ours, 52),
        (good, 65_508),
        (good, 53),
        (broadcast, 54),
        (to("[::1]:9".parse().expect("an address")), 55),
        (good, 56),
        (broadcast, 60),
    ] {
        add(&mut batch, transmit, &numbered(octets as u32, octets));
    }
    let outcome = batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
    assert_eq!((outcome.sent, outcome.failed, outcome.dropped_would_block), (3, 6, 0), "{outcome:?}");
    assert_eq!(outcome.failure.expect("told").kind(), io::ErrorKind::PermissionDenied);
    let arrived: Vec<_> = receiver.expect(3).into_iter().map(|arrived| arrived.octets).collect();
    assert_eq!(arrived, [51, 53, 56].map(|octets| numbered(octets, octets as usize)));
    assert!(batch.is_empty());
}

#[test]
fn a_refused_group_is_counted_whole_and_does_not_switch_groups_off() {
    let mut receiver = Receiver::at("[::1]:0");
    let sender = Receiver::at("[::1]:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    let good = to(receiver.address());
    let not_ours = Transmit { source: Some("2001:db8::77".parse().expect("an address")), ..good };
    for number in 0..10 {
        add(&mut batch, not_ours, &numbered(number, 110));
        add(&mut batch, good, &numbered(number, 110));
    }
    let outcome = batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
    assert_eq!((outcome.sent, outcome.sent_together, outcome.failed), (10, 10, 10), "{outcome:?}");
    // The very answer that the kernel gives to segments that it cannot make.
    assert_eq!(outcome.failure.expect("told").kind(), io::ErrorKind::InvalidInput);
    assert!(batch.is_together());
    assert_eq!(receiver.expect(10).len(), 10);
}

#[test]
fn messages_of_a_socket_that_is_gone_fail_and_others_leave() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let sender = Receiver::at("127.0.0.1:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    for number in 0..6 {
        let via = SocketId((number % 2) as u16);
        add(&mut batch, Transmit { via, ..to(receiver.address()) }, &numbered(number, 60));
    }
    let outcome = batch.flush(
        |via| (via == SocketId(1)).then(|| Outlet::Open(sender.bound.socket.as_fd())),
        &mut SystemCalls::default(),
    );
    assert_eq!((outcome.sent, outcome.failed), (3, 3));
    assert_eq!(outcome.failure.expect("told").kind(), io::ErrorKind::NotConnected);
    let arrived: Vec<_> = receiver.expect(3).into_iter().map(|arrived| arrived.octets).collect();
    assert_eq!(arrived, [1, 3, 5].map(|number| numbered(number, 60)));
}

/// UDP over loopback takes everything; a pair of Unix sockets fills up, and answers the same calls the same way.
#[test]
fn a_full_socket_drops_the_rest_of_its_own_messages_only() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let sender = Receiver::at("127.0.0.1:0");
    let (full, _unread) = UnixDatagram::pair().expect("a pair");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    let mut dropped = 0;
    while dropped == 0 {
        for number in 0..64 {
            let via = SocketId((number % 2) as u16);
            // Ever longer, so that each is a message of its own.
            add(
                &mut batch,
                Transmit { via, ..to(receiver.address()) },
                &numbered(number, 20 + number as usize),
            );
        }
        let mut calls = SystemCalls::default();
        let outcome = batch.flush(
            |via| {
                Some(match via {
                    SocketId(0) => Outlet::Connected(full.as_fd()),
                    _ => Outlet::Open(sender.bound.socket.as_fd()),
                })
            },
            &mut calls,
        );
        assert_eq!(outcome.sent + outcome.dropped_would_block, 64);
        assert_eq!(outcome.failed, 0);
        assert!(outcome.sent >= 32 && calls.send <= 3);
        let arrived: Vec<_> = receiver.expect(32).into_iter().map(|arrived| arrived.octets).collect();
        let expected: Vec<_> = (0..32).map(|n| 2 * n + 1).map(|n| numbered(n, 20 + n as usize)).collect();
        assert_eq!(arrived, expected);
        dropped = outcome.dropped_would_block;
    }
}

/// A connected socket reports an earlier datagram's fate in the place of the next one's.
#[test]
fn a_report_of_an_unreachable_peer_costs_no_message() {
    let gone = Receiver::at("127.0.0.1:0").address();
    let mut connected =
        Receiver::of(connect_udp(None, gone, RECEIVE_BUFFER_OCTETS).expect("loopback is there"));
    let mut batch = SendBatch::new(MESSAGES_MAX);
    let mut calls = SystemCalls::default();
    for round in 0..3 {
        for number in 0..4 {
            add(&mut batch, to(gone), &numbered(number, 30 + number as usize));
        }
        let outcome = batch.flush(|_| Some(Outlet::Connected(connected.bound.socket.as_fd())), &mut calls);
        assert_eq!(outcome.sent, 4, "round {round}: {outcome:?}");
        assert!(connected.wait(Duration::from_secs(10)), "the report is there for the next round");
    }
    assert_eq!(connected.read(), 0);
    assert!(connected.batch.unreachable_reports() >= 1);
}

#[test]
fn what_overflows_a_receive_buffer_is_counted_by_the_kernel() {
    const SENT: usize = 200;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let bound = bind_udp(address.parse().expect("an address"), false, 8_192).expect("bound");
        assert!(bound.granted_receive_octets >= 8_192);
        let inode = bound.inode;
        let mut receiver = Receiver::of(bound);
        let sender = Receiver::at(address);
        assert_eq!(drops(&[inode, sender.bound.inode]).expect("/proc is there"), [Some(0), Some(0)]);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        for number in 0..SENT {
            if batch.is_full() {
                batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
            }
            add(&mut batch, to(receiver.address()), &numbered(number as u32, 100));
        }
        batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut received = 0;
        let lost = loop {
            received += receiver.read();
            let [Some(lost), Some(0)] = drops(&[inode, sender.bound.inode]).expect("/proc is there")[..]
            else {
                panic!("both sockets are in the kernel's table");
            };
            if received + lost as usize >= SENT {
                break lost as usize;
            }
            assert!(Instant::now() < deadline, "{received} received and {lost} dropped of {SENT}");
        };
        assert_eq!(received + lost, SENT);
        assert!(lost > 0 && received > 0);
    }
}

#[test]
fn a_socket_that_is_no_more_has_no_drops() {
    let inode = Receiver::at("127.0.0.1:0").bound.inode;
    assert_eq!(drops(&[inode]).expect("/proc is there"), [None]);
}
