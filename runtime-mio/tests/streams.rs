//! RADIUS over TCP with real sockets: the kernel's segments, half-closed and reset connections, many at once, a flood of those that
//! are refused, a want of descriptors, and a drain.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::assert_all_is_accounted_for;
use ulna_config::Cores;
use ulna_core::Seed;
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, Secret, number};
use ulna_core::path::{NetworkId, Peer};
use ulna_core::policy::configured_rules;
use ulna_runtime_mio::Server;

const LAYOUTS: [&str; 2] = ["network_threads = 2\nworkers = 2", "network_threads = 0\nworkers = 2"];
/// Longer than anything here takes, on a machine that others use, too.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(runtime: &str, keys: &str) -> Server {
    let text = format!(
        "[runtime]\n{runtime}\n\
         [[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = [\"127.0.0.1:0\", \"[::1]:0\"]\n\
         packets = [\"access\", \"status\"]\nserver = \"edge\"\n{keys}\n\
         [[client]]\nname = \"here\"\nnetwork = [\"127.0.0.1\", \"::1\"]\nsecret = \"a secret of this test\"\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n"
    );
    let configuration = Arc::new(ulna_config::parse(&text, "test.toml", Cores(2)).expect("it is right").0);
    let server = Server::start_with(
        &configuration,
        &Seed::new([9; 32]),
        &configured_rules(),
        Box::new(std::io::sink()),
    );
    server.expect("a port is free")
}

fn address(server: &Server) -> SocketAddr {
    server.addresses().next().expect("it listens")
}

fn request(code: Code, identifier: u8) -> Vec<u8> {
    let secret = Secret::new(b"a secret of this test").expect("it has octets");
    let mut octets = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::request(&mut octets, code, identifier, &[identifier; 16], sign);
    encoder.attribute(number::USER_NAME, b"bob").expect("it fits");
    encoder.finish_request(&secret);
    octets
}

fn access(identifier: u8) -> Vec<u8> {
    request(Code::AccessRequest, identifier)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// The next packet of a stream: its code and Identifier.
fn reply(stream: &mut TcpStream) -> (u8, u8) {
    let mut header = [0; 20];
    stream.read_exact(&mut header).expect("it is answered");
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    stream.read_exact(&mut vec![0; length - 20]).expect("a packet is whole");
    (header[0], header[1])
}

/// Whether the server has closed it, and nothing more came.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(octets) => octets == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn wait_for(server: &Server, name: &str, value: u64) {
    let until = Instant::now() + PATIENCE;
    while server.report().sum(name) != Some(value) {
        assert!(Instant::now() < until, "{name} never was {value}: {}", server.report());
        thread::yield_now();
    }
}

#[test]
fn each_is_answered_whatever_the_segments_and_when_its_peer_has_sent_all() {
    for runtime in LAYOUTS {
        let server = start(runtime, "");
        for to in server.addresses().collect::<Vec<_>>() {
            let mut stream = connect(to);
            stream.set_nodelay(true).expect("it has that");
            let asked: Vec<u8> = (0..20).flat_map(access).collect();
            for segment in asked.chunks(7) {
                stream.write_all(segment).expect("it reads");
            }
            stream.write_all(&request(Code::StatusServer, 20)).expect("it reads");
            stream.shutdown(Shutdown::Write).expect("it is connected");
            let mut replies: Vec<_> = (0..21).map(|_| reply(&mut stream)).collect();
            replies.sort_unstable();
            let expected: Vec<_> =
                (0..=20).map(|identifier| (Code::AccessAccept as u8, identifier)).collect();
            assert_eq!(replies, expected);
            assert!(is_closed(&mut stream));
        }
        wait_for(&server, "streams_ended_by_peer", 2);
        assert_all_is_accounted_for_with_status(&server, 2);
        server.exit();
    }
}

fn assert_all_is_accounted_for_with_status(server: &Server, status: u64) {
    assert!(server.drain(PATIENCE), "{}", server.report());
    let report = server.report();
    let sum = |name: &str| report.sum(name).unwrap_or_else(|| panic!("there is no counter {name}"));
    assert_eq!((sum("status_answered"), sum("received")), (status, sum("answered") + status), "{report}");
    assert_eq!((sum("streams"), sum("in_progress"), sum("buffers_lent")), (0, 0, 0), "{report}");
}

#[test]
fn garbage_ends_its_stream_and_no_other() {
    let server = start(LAYOUTS[0], "");
    let (mut stream, mut other) = (connect(address(&server)), connect(address(&server)));
    stream.write_all(&[access(1), vec![1, 2, 0, 3], access(2)].concat()).expect("it reads");
    // What had been asked before is answered or not; nothing behind it is.
    let mut octets = Vec::new();
    let _ = stream.read_to_end(&mut octets);
    assert!(octets.len() <= 38, "{}", octets.len());
    other.write_all(&access(3)).expect("it reads");
    assert_eq!(reply(&mut other), (Code::AccessAccept as u8, 3));
    wait_for(&server, "streams_ended_for_packet", 1);
    drop(other);
    wait_for(&server, "streams", 0);
    server.exit();
}

#[test]
fn a_reset_is_noticed_and_others_go_on() {
    let server = start(LAYOUTS[1], "");
    for round in 0..20 {
        let mut stream = connect(address(&server));
        stream.write_all(&access(round)).expect("it reads");
        // Unread octets on our side: the kernel sends a reset in place of an end.
        let _ = stream.peek(&mut [0; 1]);
    }
    let mut other = connect(address(&server));
    other.write_all(&access(3)).expect("it reads");
    assert_eq!(reply(&mut other), (Code::AccessAccept as u8, 3));
    drop(other);
    wait_for(&server, "streams", 0);
    let report = server.report();
    let ended = report.sum("streams_broken").unwrap_or(0) + report.sum("streams_ended_by_peer").unwrap_or(0);
    assert_eq!((report.sum("streams_accepted"), ended), (Some(21), 21), "{report}");
    assert_eq!(report.sum("lost_wakeups"), Some(0));
    server.exit();
}

#[test]
fn many_streams_each_with_many_requests_at_once() {
    for runtime in LAYOUTS {
        let server = start(runtime, "connections_per_address_max = 1000");
        let to = address(&server);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    let mut streams: Vec<_> = (0..25).map(|_| connect(to)).collect();
                    for _ in 0..4 {
                        for stream in &mut streams {
                            let asked: Vec<u8> = (0..=255).flat_map(access).collect();
                            stream.write_all(&asked).expect("it reads");
                        }
                        for stream in &mut streams {
                            let mut replies: Vec<_> = (0..256).map(|_| reply(stream).1).collect();
                            replies.sort_unstable();
                            assert_eq!(replies, (0..=255).collect::<Vec<u8>>());
                        }
                    }
                });
            }
        });
        wait_for(&server, "streams_ended_by_peer", 100);
        assert_all_is_accounted_for(&server);
        server.exit();
    }
}

#[test]
fn who_does_not_read_is_closed_and_holds_nobody_up() {
    let server = start(LAYOUTS[1], "write_timeout = \"500ms\"");
    let mut deaf = connect(address(&server));
    deaf.set_write_timeout(Some(Duration::from_millis(200))).expect("not zero");
    let asked: Vec<u8> = (0..=255).flat_map(access).collect();
    // Until neither side takes anything more: duplicates are answered, too.
    let until = Instant::now() + PATIENCE;
    while deaf.write_all(&asked).is_ok() {
        assert!(Instant::now() < until, "it is read for ever");
    }
    let mut other = connect(address(&server));
    for identifier in 0..10 {
        other.write_all(&access(identifier)).expect("it reads");
        assert_eq!(reply(&mut other).1, identifier);
    }
    wait_for(&server, "streams_ended_slow_reader", 1);
    drop(other);
    wait_for(&server, "streams", 0);
    server.exit();
}

#[test]
fn limits_hold_and_a_place_that_is_free_is_anothers() {
    let server =
        start("network_threads = 1\nworkers = 1", "connections_max = 3\nconnections_per_address_max = 3");
    let to = address(&server);
    let mut streams: Vec<_> = (0..3).map(|_| connect(to)).collect();
    wait_for(&server, "streams", 3);
    assert!(is_closed(&mut connect(to)));
    assert_eq!(server.report().sum("streams_refused_full"), Some(1));
    streams.pop();
    wait_for(&server, "streams", 2);
    let mut again = connect(to);
    again.write_all(&access(1)).expect("it reads");
    assert_eq!(reply(&mut again).1, 1);
    server.exit();
}

#[test]
fn a_network_core_that_panics_closes_its_streams_and_takes_new_ones() {
    let server = start("network_threads = 1\nworkers = 1", "");
    let to = address(&server);
    let mut stream = connect(to);
    stream.write_all(&access(1)).expect("it reads");
    assert_eq!(reply(&mut stream).1, 1);
    server.supervisor().panic_thread(Peer::Network(NetworkId(0)));
    assert!(is_closed(&mut stream));
    let mut next = connect(to);
    next.write_all(&access(2)).expect("it reads");
    assert_eq!(reply(&mut next).1, 2);
    assert_eq!(server.report().sum("streams_orphaned"), Some(1));
    drop(next);
    wait_for(&server, "streams", 0);
    server.exit();
}

#[test]
fn a_drain_closes_what_is_idle() {
    for runtime in LAYOUTS {
        let server = start(runtime, "");
        let mut streams: Vec<_> = (0..8).map(|_| connect(address(&server))).collect();
        for stream in &mut streams {
            stream.write_all(&access(1)).expect("it reads");
            assert_eq!(reply(stream).1, 1);
        }
        assert!(server.drain(PATIENCE), "{}", server.report());
        assert!(streams.iter_mut().all(is_closed));
        assert_eq!(server.report().sum("streams_ended_draining"), Some(8));
        server.exit();
    }
}
