//! What is sent in a batch is what arrives: whole, in order for each destination, in few system calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use proptest::prelude::*;
use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::mmsg::{MESSAGES_MAX, PACKET_OCTETS_MAX};
use ulna_runtime_mio::{Outlet, ReceiveBatch, SendBatch, SystemCalls, connect_udp};

use crate::loopback::{RECEIVE_BUFFER_OCTETS, Receiver, add, numbered, to};

/// Each family's loopback.
const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

#[test]
fn sixty_four_datagrams_are_read_by_one_call() {
    for address in LOOPBACKS {
        let mut receiver = Receiver::at(address);
        let sender = Receiver::at(address);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        // The kernel may deliver a part of a batch a moment later, on a busy machine: some round has them all.
        let whole = (0..50).any(|_| {
            for number in 0..64 {
                add(&mut batch, to(receiver.address()), &numbered(number, 100 + number as usize));
            }
            assert!(batch.is_full());
            assert_eq!(batch.flush_through(&sender.bound.socket, &mut SystemCalls::default()).sent, 64);
            let before = receiver.calls.receive;
            let at_once = receiver.read();
            assert_eq!(receiver.calls.receive, before + 1);
            for (number, arrived) in receiver.expect(64).into_iter().enumerate() {
                assert_eq!(arrived.octets, numbered(number as u32, 100 + number));
            }
            at_once == 64
        });
        assert!(whole, "no call read 64 datagrams from {address}");
    }
}

#[test]
fn equal_lengths_leave_in_one_call_and_arrive_as_datagrams_of_their_own() {
    for address in LOOPBACKS {
        let mut receiver = Receiver::at(address);
        let sender = Receiver::at(address);
        for octets in [20, 110, 1_200] {
            let mut batch = SendBatch::new(MESSAGES_MAX);
            for number in 0..63 {
                add(&mut batch, to(receiver.address()), &numbered(number, octets));
            }
            add(&mut batch, to(receiver.address()), &numbered(63, octets - 1));
            let mut calls = SystemCalls::default();
            let outcome = batch.flush_through(&sender.bound.socket, &mut calls);
            assert_eq!((outcome.sent, outcome.sent_together, calls.send), (64, 64, 1), "{outcome:?}");
            assert!(batch.is_empty() && batch.is_together());
            for (number, arrived) in receiver.expect(64).into_iter().enumerate() {
                assert_eq!(
                    arrived.octets,
                    numbered(number as u32, if number == 63 { octets - 1 } else { octets })
                );
                assert_eq!(arrived.remote, sender.address());
            }
        }
    }
}

#[test]
fn grouped_messages_carry_their_source() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let listener = Receiver::at("0.0.0.0:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    for number in 0..60 {
        let source = Some([127, 0, 0, 2 + (number % 2) as u8].into());
        add(&mut batch, Transmit { source, ..to(receiver.address()) }, &numbered(number, 110));
    }
    let outcome = batch.flush_through(&listener.bound.socket, &mut SystemCalls::default());
    assert_eq!((outcome.sent, outcome.sent_together), (60, 60));
    let mut expected: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
    for number in 0..60 {
        let source = SocketAddr::from(([127, 0, 0, 2 + (number % 2) as u8], listener.address().port()));
        expected.entry(source).or_default().push(numbered(number, 110));
    }
    let mut arrived: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
    for datagram in receiver.expect(60) {
        arrived.entry(datagram.remote).or_default().push(datagram.octets);
    }
    assert_eq!(arrived, expected);
}

#[test]
fn connected_sockets_send_groups_and_hear_only_their_peer() {
    for address in LOOPBACKS {
        let mut server = Receiver::at(address);
        let stranger = Receiver::at(address);
        let bound = connect_udp(None, server.address(), RECEIVE_BUFFER_OCTETS).expect("loopback is there");
        let mut connected = Receiver::of(bound);
        let mut calls = SystemCalls::default();
        let mut batch = SendBatch::new(MESSAGES_MAX);
        for number in 0..20 {
            add(&mut batch, to(server.address()), &numbered(number, 110));
        }
        let outcome = batch.flush(|_| Some(Outlet::Connected(connected.bound.socket.as_fd())), &mut calls);
        assert_eq!((outcome.sent, outcome.sent_together, calls.send), (20, 20, 1));
        for (number, arrived) in server.expect(20).into_iter().enumerate() {
            assert_eq!((arrived.octets, arrived.remote), (numbered(number as u32, 110), connected.address()));
        }
        add(&mut batch, to(connected.address()), b"forged");
        assert_eq!(batch.flush_through(&stranger.bound.socket, &mut calls).sent, 1);
        add(&mut batch, to(connected.address()), b"reply");
        assert_eq!(batch.flush_through(&server.bound.socket, &mut calls).sent, 1);
        let arrived = connected.expect(1);
        assert_eq!((&arrived[0].octets[..], arrived[0].remote), (&b"reply"[..], server.address()));
        assert_eq!(arrived[0].local_address, None);
    }
}

#[test]
fn the_longest_packet_passes_and_what_is_longer_is_recognised() {
    for address in LOOPBACKS {
        let mut receiver = Receiver::at(address);
        let sender = Receiver::at(address);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        let lengths = [PACKET_OCTETS_MAX, PACKET_OCTETS_MAX + 1, 9_000, 0, PACKET_OCTETS_MAX];
        for (number, &octets) in lengths.iter().enumerate() {
            add(&mut batch, to(receiver.address()), &numbered(number as u32, octets));
        }
        assert_eq!(
            batch.flush_through(&sender.bound.socket, &mut SystemCalls::default()).sent,
            lengths.len()
        );
        for (number, arrived) in receiver.expect(lengths.len()).into_iter().enumerate() {
            assert_eq!(arrived.datagram_octets, lengths[number]);
            assert_eq!(arrived.octets, numbered(number as u32, lengths[number].min(PACKET_OCTETS_MAX)));
        }
    }
}

#[test]
fn truncation_is_told_and_the_next_read_is_whole_again() {
    let receiver = Receiver::at("127.0.0.1:0");
    let sender = Receiver::at("127.0.0.1:0");
    let mut calls = SystemCalls::default();
    let mut small = ReceiveBatch::new(2, 10);
    let mut batch = SendBatch::new(MESSAGES_MAX);
    for octets in [b"0123456789a".as_slice(), b"0123456789", b"abc"] {
        add(&mut batch, to(receiver.address()), octets);
        assert_eq!(batch.flush_through(&sender.bound.socket, &mut calls).sent, 1);
    }
    let mut seen = Vec::new();
    let mut receiver = receiver;
    while seen.len() < 3 {
        if small.receive(&receiver.bound.socket, &mut calls).expect("readable") == 0 {
            assert!(receiver.wait(Duration::from_secs(10)));
        }
        assert!(small.received() <= small.capacity());
        seen.extend(small.datagrams().map(|datagram| (datagram.octets.to_vec(), datagram.is_truncated())));
    }
    assert_eq!(
        seen,
        [(b"0123456789".to_vec(), true), (b"0123456789".to_vec(), false), (b"abc".to_vec(), false)]
    );
}

/// The kernel shrinks what it is offered to what it wrote: an IPv6 address no longer fits where an IPv4 one was.
#[test]
fn one_batch_reads_sockets_of_both_families_in_turn() {
    let mut receivers = LOOPBACKS.map(Receiver::at);
    let senders = LOOPBACKS.map(Receiver::at);
    let mut calls = SystemCalls::default();
    let mut send = SendBatch::new(MESSAGES_MAX);
    let mut receive = ReceiveBatch::new(4, PACKET_OCTETS_MAX);
    for _ in 0..3 {
        for (receiver, sender) in receivers.iter_mut().zip(&senders) {
            for number in 0..3 {
                add(&mut send, to(receiver.address()), &numbered(number, 40));
            }
            assert_eq!(send.flush_through(&sender.bound.socket, &mut calls).sent, 3);
            let mut number = 0;
            while number < 3 {
                if receive.receive(&receiver.bound.socket, &mut calls).expect("readable") == 0 {
                    assert!(receiver.wait(Duration::from_secs(10)));
                }
                for datagram in receive.datagrams() {
                    assert_eq!(datagram.octets, numbered(number, 40));
                    assert_eq!(datagram.remote, sender.address());
                    assert_eq!(datagram.local_address, Some(receiver.address().ip()));
                    number += 1;
                }
            }
        }
    }
}

#[test]
fn an_idle_socket_gives_nothing_and_does_not_block() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    assert_eq!(receiver.read(), 0);
    assert_eq!(receiver.batch.datagrams().len(), 0);
    assert_eq!(receiver.calls.receive, 1);
}

#[test]
fn an_abandoned_slot_is_not_sent() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    batch.slot().extend_from_slice(b"never pushed");
    assert!(batch.is_empty());
    add(&mut batch, to(receiver.address()), b"pushed");
    let outcome = batch.flush_through(&receiver.bound.socket, &mut SystemCalls::default());
    assert_eq!(outcome.sent, 1);
    assert_eq!(receiver.expect(1)[0].octets, b"pushed");
}

/// Two senders of each family, three receivers of each; kept for all cases.
struct Net {
    senders: Vec<Receiver>,
    receivers: Vec<Receiver>,
    batch: SendBatch,
}

thread_local! {
    static NET: RefCell<Net> = RefCell::new(Net {
        senders: LOOPBACKS.iter().cycle().take(4).map(|address| Receiver::at(address)).collect(),
        receivers: LOOPBACKS.iter().cycle().take(6).map(|address| Receiver::at(address)).collect(),
        batch: SendBatch::new(MESSAGES_MAX),
    });
}

/// Lengths that often repeat, with the bounds of a segment and of a packet among them.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 20usize..23,
        2 => 20usize..1_500,
        1 => prop::sample::select(vec![1, 1_199, 1_200, 1_201, 4_096]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_sent_arrives_in_order_for_each_destination(
        messages in prop::collection::vec((0usize..4, 0usize..3, length()), 0..=MESSAGES_MAX),
        together in any::<bool>(),
    ) {
        NET.with_borrow_mut(|net| {
            net.batch.set_together(together);
            let mut expected: BTreeMap<(SocketAddr, SocketAddr), Vec<Vec<u8>>> = BTreeMap::new();
            let mut counts = vec![0; net.receivers.len()];
            let mut used = std::collections::BTreeSet::new();
            for (number, &(sender, receiver, octets)) in messages.iter().enumerate() {
                // Of the sender's family: these alternate.
                let receiver = 2 * receiver + sender % 2;
                let destination = net.receivers[receiver].address();
                let source = net.senders[sender].address();
                let octets = numbered(number as u32, octets);
                let via = SocketId(sender as u16);
                add(&mut net.batch, Transmit { via, source: Some(source.ip()), destination }, &octets);
                expected.entry((source, destination)).or_default().push(octets);
                counts[receiver] += 1;
                used.insert(sender);
            }
            let mut calls = SystemCalls::default();
            let senders = &net.senders;
            let outcome = net.batch.flush(
                |via| Some(Outlet::Open(senders[usize::from(via.0)].bound.socket.as_fd())),
                &mut calls,
            );
            prop_assert_eq!(outcome.sent, messages.len());
            prop_assert_eq!(calls.send, used.len() as u64);
            prop_assert_eq!(net.batch.is_together(), together);
            prop_assert!(together || outcome.sent_together == 0);
            let mut arrived: BTreeMap<(SocketAddr, SocketAddr), Vec<Vec<u8>>> = BTreeMap::new();
            for (receiver, count) in net.receivers.iter_mut().zip(counts) {
                let destination = receiver.address();
                for datagram in receiver.expect(count) {
                    arrived.entry((datagram.remote, destination)).or_default().push(datagram.octets);
                }
            }
            prop_assert_eq!(arrived, expected);
            Ok(())
        })?;
    }
}
