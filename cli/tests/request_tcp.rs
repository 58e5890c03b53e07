//! `ulna request --transport tcp`: one exact packet by a connection of its own (RFC 6613), what is read of it, and how it ends.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use support::{PASSWORD, PATIENCE, SECRET, Ulna, WRONG_PASSWORD, on_free_ports, run, secret};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Requirements, number};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ask(server: SocketAddr, arguments: &[&str]) -> Ran {
    let server = server.to_string();
    let all = ["request", "--transport", "tcp", "--server", &server, "--secret", SECRET];
    let output = run(&[&all, arguments].concat());
    let text = |octets| String::from_utf8(octets).expect("it prints UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A packet, what came behind it, and from where.
type Came = (Vec<u8>, Vec<u8>, SocketAddr);

/// A server for one connection, which does what it likes with it once a packet has come. Its end gives that packet, what came
/// behind it until the client's end, and from where.
fn server(answer: impl FnOnce(&mut TcpStream, &[u8]) + Send + 'static) -> (SocketAddr, JoinHandle<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let thread = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("a connection comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_nodelay(true).expect("it is TCP");
        let mut packet = vec![0; 4];
        stream.read_exact(&mut packet).expect("a packet comes");
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        packet.resize(length, 0);
        stream.read_exact(&mut packet[4..]).expect("it is whole");
        answer(&mut stream, &packet);
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        (packet, rest, from)
    });
    (address, thread)
}

fn reply(request: &[u8], code: Code, identifier: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, identifier, MessageAuthenticator::First);
    encoder.attribute(number::REPLY_MESSAGE, b"Hello.").expect("it fits");
    encoder.finish_reply(&secret(), request[4..20].try_into().expect("16 octets"));
    out
}

#[test]
fn our_own_server_answers_over_tcp_as_over_udp() {
    let ulna = Ulna::start(&on_free_ports(
        "[protocol]\nreject_delay = \"10ms\"\n\
         [[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = [\"127.0.0.1:0\", \"[::1]:0\"]\n\
         packets = [\"access\", \"status\"]\nserver = \"default\"\n",
    ));
    for address in &ulna.addresses[..2] {
        let ask = |password: &str| {
            ask(*address, &["auth", "User-Name = bob", &format!("User-Password = \"{password}\"")])
        };
        let accepted = ask(PASSWORD);
        assert_eq!(accepted.code, Some(0), "{}{}", accepted.stdout, accepted.stderr);
        let first = accepted.stdout.lines().next().expect("a line");
        assert!(first.starts_with("Access-Accept identifier "), "{first}");
        assert!(first.contains(&format!(" from {address}, 51 octets, after ")), "{first}");
        assert_eq!(ask(WRONG_PASSWORD).code, Some(1));
        assert_eq!(self::ask(*address, &["status"]).code, Some(0));
    }
    let counters = ulna.counters();
    assert_eq!((counters["streams_accepted"], counters["streams_ended_by_peer"]), (6, 6));
    // Where its secret is wrong the server closes the connection, and that is told at once.
    let address = ulna.addresses[0].to_string();
    let wrong =
        ["request", "--transport", "tcp", "--server", &address, "--secret", "a-guess", "--timeout", "20s"];
    let output = run(&[&wrong[..], &["auth", "User-Name = bob"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with(&format!("ulna: {address} closed the connection without a valid reply; ")),
        "{told}"
    );
    ulna.stop();
}

#[test]
fn the_request_goes_once_exactly_and_its_reply_may_come_in_any_segments() {
    let (address, came) = server(|stream, request| {
        let replies = [
            reply(request, Code::AccessReject, request[1].wrapping_add(1)),
            reply(&[7; 20], Code::AccessReject, request[1]),
            reply(request, Code::AccessAccept, request[1]),
        ];
        for octet in replies.concat() {
            stream.write_all(&[octet]).expect("somebody reads");
        }
    });
    let ran = ask(
        address,
        &["--identifier", "7", "--timeout", "20s", "auth", "User-Name = bob", "User-Password = hello"],
    );
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("    Reply-Message = \"Hello.\"\n"), "{}", ran.stdout);
    let notices: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(notices.len(), 2, "{}", ran.stderr);
    assert!(notices[0].contains("Identifier 8 is not that of the request, 7"), "{}", notices[0]);
    assert!(notices[1].contains("it does not verify"), "{}", notices[1]);
    let (packet, rest, _) = came.join().expect("it only answers");
    assert_eq!(rest, [0; 0], "one packet and no more");
    let framed = Framed::parse(&packet).expect("it is a packet");
    let verified = framed.verify_request(&secret().into(), Requirements::default()).expect("it verifies");
    assert!(verified.signed() && framed.identifier() == 7);
}

#[test]
fn raw_octets_go_as_they_are_from_the_port_that_is_said() {
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (address, came) = server(|stream, request| {
        stream.write_all(&reply(request, Code::AccessAccept, 9)).expect("somebody reads");
    });
    // A whole packet, and the beginning of another.
    let raw = format!("0c090014{}0c0a", "05".repeat(16));
    let ran = ask(address, &["--source", &free.to_string(), "--octets", "--raw", &raw]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with(&format!("sent 0x{raw}\nreceived 0x02")), "{}", ran.stdout);
    let (packet, rest, from) = came.join().expect("it only answers");
    assert_eq!((packet.len(), rest, from), (20, vec![0x0c, 0x0a], free));
}

#[test]
fn each_end_without_a_reply_is_told_apart() {
    let json = |answer: fn(&mut TcpStream, &[u8])| {
        let (address, came) = server(answer);
        let ran = ask(address, &["--json", "--timeout", "300ms", "auth", "User-Name = bob"]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        came.join().expect("it only answers");
        (ran.stdout, ran.stderr.replace(&address.to_string(), "SERVER"))
    };
    let (stdout, stderr) = json(|stream, _| stream.shutdown(Shutdown::Both).expect("it is open"));
    assert_eq!(stdout, "{\"not_believed\":0,\"outcome\":\"closed\",\"tries\":1}\n");
    assert!(
        stderr.starts_with("ulna: SERVER closed the connection without a valid reply; a server closes"),
        "{stderr}"
    );
    let (stdout, stderr) = json(|stream, request| {
        stream.write_all(&reply(&[1; 20], Code::AccessAccept, request[1])).expect("somebody reads");
        stream.shutdown(Shutdown::Both).expect("it is open");
    });
    assert_eq!(stdout, "{\"not_believed\":1,\"outcome\":\"invalid\",\"tries\":1}\n");
    assert!(
        stderr.contains("closed the connection without a valid reply; one was not believed\n"),
        "{stderr}"
    );
    let (stdout, stderr) = json(|stream, _| stream.write_all(&[2, 1, 0, 19]).expect("somebody reads"));
    assert_eq!(stdout, "{\"not_believed\":1,\"outcome\":\"invalid\",\"tries\":1}\n");
    assert_eq!(stderr, "ulna: no valid reply from SERVER: something came whose Length no packet has\n");
    let (stdout, stderr) = json(|_, _| {});
    assert_eq!(stdout, "{\"not_believed\":0,\"outcome\":\"none\",\"tries\":1}\n");
    assert!(stderr.starts_with("ulna: no reply from SERVER in 300ms; "), "{stderr}");

    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let ran = ask(closed, &["--json", "auth", "User-Name = bob"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(2), "{\"outcome\":\"refused\"}\n"));
    assert_eq!(
        ran.stderr,
        format!("ulna: nobody listens on {closed}: the host refused it (connection refused)\n")
    );
    let ran = ask(closed, &["--retries", "1", "auth", "User-Name = bob"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.stderr,
        "ulna: --retries: over TCP nothing is sent again, TCP does that (RFC 6613 §2.6.1)\n"
    );
}
