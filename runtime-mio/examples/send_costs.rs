//! What a packet costs to send and to receive over loopback, one by one, in batches, and as segments.
//!
//! `cargo run --release -p ulna-runtime-mio --example send_costs`. Compares ways within one run: a round of each in
//! turn, the median of all rounds. Sending over loopback includes delivery into the receiver's queue.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::{BoundUdp, Outlet, ReceiveBatch, SendBatch, SystemCalls, bind_udp, connect_udp};

/// Packets of one round. They wait in the receiver's buffer until the round is over.
const PACKETS: usize = 4_096;
const ROUNDS: usize = 41;
/// An Access-Accept or a small PAP request.
const OCTETS: usize = 110;

struct Way {
    name: &'static str,
    batch: usize,
    together: bool,
    /// 0: one, to which the sending socket is connected.
    destinations: usize,
    receive_batch: usize,
    send_nanoseconds: Vec<u128>,
    receive_nanoseconds: Vec<u128>,
}

fn main() {
    let bind =
        || bind_udp("127.0.0.1:0".parse().expect("an address"), false, 16 << 20).expect("loopback is there");
    let sender = bind();
    let receivers: Vec<BoundUdp> = (0..64).map(|_| bind()).collect();
    let connected = connect_udp(None, receivers[0].local, 1 << 20).expect("loopback is there");
    let way = |name, batch, together, destinations, receive_batch| Way {
        name,
        batch,
        together,
        destinations,
        receive_batch,
        send_nanoseconds: Vec::new(),
        receive_nanoseconds: Vec::new(),
    };
    let mut ways = [
        way("one by one", 1, false, 1, 1),
        way("batch of 16, plain", 16, false, 1, 16),
        way("batch of 64, plain", 64, false, 1, 64),
        way("batch of 16, one destination, segments", 16, true, 1, 16),
        way("batch of 64, one destination, segments", 64, true, 1, 64),
        way("batch of 64, 8 destinations, plain", 64, false, 8, 64),
        way("batch of 64, 8 destinations, segments", 64, true, 8, 64),
        way("batch of 64, 32 destinations, plain", 64, false, 32, 64),
        way("batch of 64, 32 destinations, segments", 64, true, 32, 64),
        way("batch of 64, 64 destinations, plain", 64, false, 64, 64),
        way("batch of 64, 64 destinations, segments", 64, true, 64, 64),
        way("batch of 64, connected, plain", 64, false, 0, 64),
        way("batch of 64, connected, segments", 64, true, 0, 64),
    ];
    for round in 0..ROUNDS {
        for way in &mut ways {
            let (sending, receiving) =
                round_of(way, if way.destinations == 0 { &connected } else { &sender }, &receivers);
            // The first round finds the caches cold.
            if round > 0 {
                way.send_nanoseconds.push(sending.as_nanos());
                way.receive_nanoseconds.push(receiving.as_nanos());
            }
        }
    }
    println!("{:42} {:>9} {:>12}", "", "send µs", "receive µs");
    for way in &mut ways {
        let (send, receive) = (median(&mut way.send_nanoseconds), median(&mut way.receive_nanoseconds));
        println!("{:42} {send:9.3} {receive:12.3}", way.name);
    }
}

/// Sends and then receives one round; how long each took.
fn round_of(way: &Way, sender: &BoundUdp, receivers: &[BoundUdp]) -> (Duration, Duration) {
    let mut calls = SystemCalls::default();
    let destinations = way.destinations.max(1);
    let outlet = match way.destinations {
        0 => Outlet::Connected(sender.socket.as_fd()),
        _ => Outlet::Open(sender.socket.as_fd()),
    };
    let mut send = SendBatch::new(way.batch);
    send.set_together(way.together);
    let packet = [7_u8; OCTETS];
    let source = Some(sender.local.ip());
    let start = Instant::now();
    for number in 0..PACKETS {
        send.slot().extend_from_slice(&packet);
        send.push(Transmit { via: SocketId(0), source, destination: receivers[number % destinations].local });
        if send.is_full() {
            let outcome = send.flush(|_| Some(outlet), &mut calls);
            assert_eq!(outcome.sent, way.batch, "{outcome:?}");
        }
    }
    let sending = start.elapsed();
    let mut receive = ReceiveBatch::new(way.receive_batch, 4_096);
    let mut received = 0;
    let start = Instant::now();
    for receiver in &receivers[..destinations] {
        loop {
            let here = receive.receive(&receiver.socket, &mut calls).expect("a socket that can be read");
            for datagram in receive.datagrams() {
                assert_eq!((datagram.octets.len(), datagram.remote), (OCTETS, sender.local));
                assert_eq!(datagram.local_address, source);
            }
            received += here;
            if here < receive.capacity() {
                break;
            }
        }
    }
    let receiving = start.elapsed();
    assert_eq!(received, PACKETS, "the receive buffer held them all");
    (sending, receiving)
}

/// The median in microseconds for each packet.
fn median(nanoseconds: &mut [u128]) -> f64 {
    nanoseconds.sort_unstable();
    nanoseconds[nanoseconds.len() / 2] as f64 / 1_000.0 / PACKETS as f64
}
