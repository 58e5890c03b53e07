//! FreeRADIUS's client asks over TCP, and is answered; also beside a UDP listener on the same port.

mod support;

use std::net::SocketAddr;
use support::{SECRET, Ulna, configuration, radclient};

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
