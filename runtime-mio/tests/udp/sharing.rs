//! Who may bind an address, and what the sockets of one address share.

use std::io::ErrorKind;
use std::net::SocketAddr;

use ulna_runtime_mio::{SendBatch, SystemCalls, bind_udp, connect_udp, join_udp};

use crate::loopback::{RECEIVE_BUFFER_OCTETS, Receiver, add, to};

fn loopbacks() -> [SocketAddr; 2] {
    ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().expect("an address"))
}

fn refusal(result: std::io::Result<ulna_runtime_mio::BoundUdp>) -> ErrorKind {
    result.expect_err("the address is taken").kind()
}

#[test]
fn a_second_server_fails_whether_or_not_it_would_share() {
    for address in loopbacks() {
        for share in [false, true] {
            let first = bind_udp(address, share, 65_536).expect("bound");
            assert_eq!(refusal(bind_udp(first.local, false, 65_536)), ErrorKind::AddrInUse);
            assert_eq!(refusal(bind_udp(first.local, true, 65_536)), ErrorKind::AddrInUse);
        }
    }
}

#[test]
fn only_a_shared_address_can_be_joined() {
    for address in loopbacks() {
        let alone = bind_udp(address, false, 65_536).expect("bound");
        assert_eq!(refusal(join_udp(alone.local, 65_536)), ErrorKind::AddrInUse);
        let shared = bind_udp(address, true, 65_536).expect("bound");
        let joined = join_udp(shared.local, 65_536).expect("joined");
        assert_eq!(joined.local, shared.local);
        assert_ne!(joined.inode, shared.inode);
        assert_eq!(refusal(bind_udp(shared.local, true, 65_536)), ErrorKind::AddrInUse);
    }
}

#[test]
fn peers_are_spread_over_all_sockets_of_an_address() {
    const PEERS: usize = 200;
    for address in loopbacks() {
        let first = bind_udp(address, true, RECEIVE_BUFFER_OCTETS).expect("bound");
        let local = first.local;
        let mut group = vec![Receiver::of(first)];
        for _ in 1..3 {
            group.push(Receiver::of(join_udp(local, RECEIVE_BUFFER_OCTETS).expect("joined")));
        }
        let mut batch = SendBatch::new(1);
        let peers: Vec<_> = (0..PEERS).map(|_| bind_udp(address, false, 65_536).expect("bound")).collect();
        for peer in &peers {
            add(&mut batch, to(local), b"request");
            assert_eq!(batch.flush_through(&peer.socket, &mut SystemCalls::default()).sent, 1);
        }
        let mut received = vec![0; group.len()];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while received.iter().sum::<usize>() < PEERS {
            for (receiver, received) in group.iter_mut().zip(&mut received) {
                *received += receiver.read();
            }
            assert!(std::time::Instant::now() < deadline, "of {PEERS} arrived {received:?}");
        }
        assert!(received.iter().all(|&received| received > PEERS / 20), "{received:?}");
    }
}

#[test]
fn the_receive_buffer_is_what_was_asked_or_what_the_system_allows() {
    let allowed: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
        .expect("the system tells its bound")
        .trim()
        .parse()
        .expect("a number");
    for address in loopbacks() {
        let bound = bind_udp(address, false, RECEIVE_BUFFER_OCTETS).expect("bound");
        assert!(bound.granted_receive_octets >= RECEIVE_BUFFER_OCTETS.min(allowed));
        assert!(bound.granted_receive_octets <= RECEIVE_BUFFER_OCTETS);
    }
}

#[test]
fn a_connected_socket_can_be_given_its_source() {
    let peer = Receiver::at("127.0.0.1:0");
    let source = [127, 0, 0, 9].into();
    let bound = connect_udp(Some(source), peer.address(), 65_536).expect("connected");
    assert_eq!(bound.local.ip(), source);
    assert_ne!(bound.local.port(), 0);
    let not_ours = [192, 0, 2, 77].into();
    assert_eq!(refusal(connect_udp(Some(not_ours), peer.address(), 65_536)), ErrorKind::AddrNotAvailable);
}
