//! A Status-Server of ours: sent once, each another packet, and any reply that verifies is a sign of life. RFC 5997 §3.

mod support;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use support::{PATIENCE, SECRET, run, secret};
use ulna_core::packet::{Code, Encoder, Landmark, MessageAuthenticator};

/// Runs `ulna request … status` against a server that answers each packet with this code, or not at all: its exit code,
/// what it printed, and what came.
fn status(answer: Option<Code>) -> (Option<i32>, String, Vec<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound").to_string();
    let timeout = if answer.is_some() { "20s" } else { "50ms" };
    let asking = std::thread::spawn(move || {
        run(&["request", "--server", &address, "--secret", SECRET, "--timeout", timeout, "status"])
    });
    let mut came = Vec::new();
    let mut octets = [0; 4096];
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let (length, from) = socket.recv_from(&mut octets).expect("it is sent");
    came.push(octets[..length].to_vec());
    if let Some(code) = answer {
        let mut reply = Vec::new();
        Encoder::reply(&mut reply, code, octets[1], MessageAuthenticator::First)
            .finish_reply(&secret(), octets[4..20].try_into().expect("16 octets"));
        socket.send_to(&reply, from).expect("loopback takes it");
    }
    let ran = asking.join().expect("it only runs a program");
    // Whatever it sent lies here by now.
    socket.set_read_timeout(Some(Duration::from_millis(1))).expect("not zero");
    loop {
        match socket.recv(&mut octets) {
            Ok(length) => came.push(octets[..length].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    (ran.status.code(), String::from_utf8(ran.stdout).expect("it prints UTF-8"), came)
}

#[test]
fn checklist_69_it_is_sent_once_and_is_another_packet_each_time() {
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let (code, printed, came) = status(None);
        assert_eq!(
            (code, &*printed, came.len()),
            (Some(2), "", 1),
            "nobody answered, and it was not sent again"
        );
        let framed = ulna_core::packet::Framed::parse(&came[0]).expect("a packet");
        assert_eq!(framed.code(), Some(Code::StatusServer));
        assert!(framed.layout().has(Landmark::MessageAuthenticator), "RFC 5997 §3: it must be signed");
        seen.insert(*framed.authenticator());
    }
    assert_eq!(seen.len(), 4, "each has an authenticator of its own");
}

#[test]
fn checklist_69_any_reply_that_verifies_is_a_sign_of_life() {
    for (code, name) in [
        (Code::AccessAccept, "Access-Accept "),
        (Code::AccountingResponse, "Accounting-Response "),
        (Code::AccessReject, "Access-Reject "),
        (Code::ProtocolError, "Protocol-Error "),
    ] {
        let (exit, printed, came) = status(Some(code));
        assert!(printed.starts_with(name), "{printed}");
        assert!(printed.lines().next().is_some_and(|line| line.ends_with(", verified")), "{printed}");
        assert_eq!((exit != Some(2), came.len()), (true, 1), "{exit:?}: it lives");
    }
}
