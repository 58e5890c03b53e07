//! Packets longer than the path's MTU, in a network namespace whose loopback is made as narrow as need be.

use std::process::Command;

use ulna_runtime_mio::mmsg::{MESSAGES_MAX, PACKET_OCTETS_MAX, SEGMENT_OCTETS_MAX};
use ulna_runtime_mio::{SendBatch, SystemCalls};

use crate::loopback::{Receiver, add, numbered, to};

/// Runs one ignored test of this program in a network namespace of its own, with loopback of this MTU and two
/// further IPv6 addresses. Says so and does nothing where namespaces are not to be had.
fn run_on_loopback_with(mtu: u32, test: &str) {
    let possible = Command::new("unshare").args(["-r", "-n", "ip", "link", "set", "lo", "up"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespaces here, or no unshare and ip commands");
        return;
    }
    let script = format!(
        "ip link set lo mtu {mtu} up && \
         {{ [ {mtu} -lt 1280 ] || {{ ip addr add ::2/128 dev lo && ip addr add ::3/128 dev lo; }}; }} && \
         exec \"$0\" --ignored --exact {test}"
    );
    let this = std::env::current_exe().expect("this program has a path");
    let output = Command::new("unshare")
        .args(["-r", "-n", "sh", "-c", &script])
        .arg(this)
        .output()
        .expect("it ran a moment ago");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_longest_packet_passes_an_mtu_of_1500_in_fragments() {
    run_on_loopback_with(1_500, "small_path::longest_packets_of_both_families");
}

#[test]
fn the_longest_packet_passes_the_least_mtu_of_ipv6() {
    run_on_loopback_with(1_280, "small_path::longest_packets_of_both_families");
}

#[test]
fn segments_longer_than_the_mtu_are_sent_apart() {
    run_on_loopback_with(1_000, "small_path::groups_that_do_not_fit");
}

#[test]
fn several_ipv6_addresses_of_one_wildcard() {
    run_on_loopback_with(65_536, "addresses::ipv6_wildcard_answers_from_each_of_several_addresses");
}

#[test]
#[ignore = "run in a network namespace of its own by the tests above"]
fn longest_packets_of_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut receiver = Receiver::at(address);
        let sender = Receiver::at(address);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        let lengths =
            [PACKET_OCTETS_MAX, 110, 110, PACKET_OCTETS_MAX, SEGMENT_OCTETS_MAX, SEGMENT_OCTETS_MAX];
        // Twice: the first round teaches the kernel what it can know of the path.
        for _ in 0..2 {
            for (number, &octets) in lengths.iter().enumerate() {
                add(&mut batch, to(receiver.address()), &numbered(number as u32, octets));
            }
            let outcome = batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
            assert_eq!((outcome.sent, outcome.sent_together), (lengths.len(), 4), "{address}: {outcome:?}");
            for (number, arrived) in receiver.expect(lengths.len()).into_iter().enumerate() {
                assert_eq!(arrived.octets, numbered(number as u32, lengths[number]));
            }
        }
    }
}

#[test]
#[ignore = "run in a network namespace of its own by the tests above"]
fn groups_that_do_not_fit() {
    let mut receiver = Receiver::at("127.0.0.1:0");
    let sender = Receiver::at("127.0.0.1:0");
    let mut batch = SendBatch::new(MESSAGES_MAX);
    for number in 0..5 {
        add(&mut batch, to(receiver.address()), &numbered(number, SEGMENT_OCTETS_MAX));
    }
    for number in 5..10 {
        add(&mut batch, to(receiver.address()), &numbered(number, 500));
    }
    let outcome = batch.flush_through(&sender.bound.socket, &mut SystemCalls::default());
    assert_eq!(outcome.sent, 10, "{outcome:?}");
    // The first of the short ones was the last of the long one's group; the others still leave together.
    assert_eq!((batch.is_together(), outcome.sent_together), (true, 4), "{outcome:?}");
    for (number, arrived) in receiver.expect(10).into_iter().enumerate() {
        assert_eq!(
            arrived.octets,
            numbered(number as u32, if number < 5 { SEGMENT_OCTETS_MAX } else { 500 })
        );
    }
}
