//! FreeRADIUS's client asks over TCP, and is answered; also beside a UDP listener on the same port.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{PATIENCE, SECRET, Ulna, configuration, file, on_free_ports, radclient, secret};
use ulna_core::packet::{Code, Encoder, MessageAuthenticator};

/// Streams on the very port of the datagrams, and one for accounting.
fn serve(settings: &str) -> Ulna {
    // A port that is free for both: that of a listener which is closed again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let free = free.expect("a free port");
    let streams = format!(
        "{settings}\n[[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"{free}\"\n\
         packets = [\"access\", \"status\"]\nserver = \"default\"\n"
    );
    Ulna::start(&configuration(&format!("\"{free}\""), "\"127.0.0.1:0\"", &streams))
}

fn ask(server: SocketAddr, kind: &str, transport: &str, lines: &str) -> Option<String> {
    let server = server.to_string();
    radclient(&["-x", "-r", "1", "-t", "5", "-P", transport, &server, kind, SECRET], lines)
}

#[test]
fn radclient_is_answered_over_tcp_as_over_udp() {
    let ulna = serve("");
    let streams = ulna.addresses[0];
    assert_eq!(ulna.addresses[1], streams, "one port, two transports");
    let good =
        format!("User-Name = bob, User-Password = \"{}\", Message-Authenticator = 0x00\n", support::PASSWORD);
    let wrong = format!("User-Name = bob, User-Password = \"{}\"\n", support::WRONG_PASSWORD);
    for transport in ["tcp", "udp"] {
        let Some(printed) = ask(streams, "auth", transport, &good) else { return };
        assert!(printed.contains("Received Access-Accept"), "{printed}");
        let printed = ask(streams, "auth", transport, &wrong).expect("it is there");
        assert!(printed.contains("Received Access-Reject"), "{printed}");
        let printed =
            ask(streams, "status", transport, "Message-Authenticator = 0x00\n").expect("it is there");
        assert!(printed.contains("Received Access-Accept"), "{printed}");
    }
    // Many on one connection.
    let printed = ask(streams, "auth", "tcp", &format!("{good}\n").repeat(50)).expect("it is there");
    assert_eq!(printed.matches("Received Access-Accept").count(), 50, "{printed}");
    let counters = ulna.counters();
    assert_eq!((counters["streams_accepted"], counters["streams"]), (4, 0));
    ulna.stop();
}

#[test]
fn a_wrong_secret_costs_the_stream() {
    let ulna = serve("");
    let server = ulna.addresses[0].to_string();
    let lines = "User-Name = bob, User-Password = x, Message-Authenticator = 0x00\n";
    let asked =
        radclient(&["-x", "-r", "1", "-t", "2", "-P", "tcp", &server, "auth", "not-the-secret"], lines);
    let Some(printed) = asked else { return };
    assert!(printed.contains("TCP connection has been closed"), "{printed}");
    let counters = ulna.counters();
    assert_eq!(
        (counters["streams_ended_for_packet"], counters["discarded bad-message-authenticator"]),
        (1, 1)
    );
    ulna.stop();
}

#[test]
fn without_descriptors_streams_are_turned_away_and_the_rest_is_served() {
    let text = on_free_ports("[runtime]\nnetwork_threads = 1\nworkers = 1\n");
    let text = format!(
        "{text}\n[[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
         packets = [\"status\"]\nserver = \"default\"\nconnections_per_address_max = 1000\n"
    );
    let path = file("ulna.toml", &text);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" serve --config \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_ulna")).arg(path).stdin(Stdio::null());
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let server = ulna.addresses[3];

    let mut streams: Vec<_> = (0..200).map(|_| connect(server)).collect();
    let (mut served, mut closed) = (0, 0);
    for stream in &mut streams {
        match is_served(stream) {
            true => served += 1,
            false => closed += 1,
        }
    }
    assert!(served >= 10 && closed >= 100, "{served} served, {closed} closed");
    let counters = ulna.counters();
    assert!(counters["accept_failed"] >= closed, "{counters:?}");
    assert_eq!(counters["streams"], served);
    // Nobody is looked for in vain meanwhile: a thread that did would wait thousands of times in between.
    let waits = ulna.counters()["wait_calls"];
    let there = streams.iter_mut().find_map(|stream| is_served(stream).then_some(stream));
    let there = there.expect("some are served");
    assert!((0..50).all(|_| is_served(there)));
    let waits = ulna.counters()["wait_calls"] - waits;
    assert!(waits < 1000, "{waits} waits for 50 exchanges and some");
    // Who comes when some have gone is served.
    streams.clear();
    let until = Instant::now() + PATIENCE;
    while ulna.counters()["streams"] > 0 {
        assert!(Instant::now() < until, "they are gone");
    }
    assert!(is_served(&mut connect(server)));
    ulna.stop();
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Whether a Status-Server is answered; else the stream was closed, and not left waiting.
fn is_served(stream: &mut TcpStream) -> bool {
    let (secret, mut octets) = (secret(), Vec::new());
    let sign = MessageAuthenticator::First;
    Encoder::request(&mut octets, Code::StatusServer, 0, &[7; 16], sign).finish_request(&secret);
    let mut reply = [0; 38];
    match stream.write_all(&octets).and_then(|()| stream.read_exact(&mut reply)) {
        Ok(()) => true,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "it waits for ever");
            false
        }
    }
}
