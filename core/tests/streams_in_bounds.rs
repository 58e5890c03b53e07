//! Streams that send faster than they may, that let their replies lie, and that a server waits for when it ends: each within its
//! bound, and nothing lost that a bound does not name.

mod support;

use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Reply, Server, Stream, USERS, configuration, nas};
use ulna_core::Discard;
use ulna_core::packet::{Code, number};

const SECRET: &[u8] = b"the secret of site one";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";
const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

/// Listener 2 has streams with these keys.
fn server(settings: &str, keys: &str, rules: &str) -> Server {
    let rules = format!(
        "{USERS}\n\
         [[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"192.0.2.1:1812\"\n\
         packets = [\"access\", \"status\"]\nserver = \"edge\"\n{keys}\n{rules}"
    );
    Server::of(&configuration(settings, &rules))
}

fn accept(server: &mut Server, remote: SocketAddr) -> Stream {
    server.accept(0, 2, remote).expect("it is accepted")
}

fn several(identifiers: std::ops::Range<u8>) -> Vec<u8> {
    identifiers.map(|identifier| Ask::bob().identifier(identifier).octets()).collect::<Vec<_>>().concat()
}

/// A request whose reply has a kilobyte.
fn long(identifier: u8) -> Vec<u8> {
    let states = (0..4).fold(Ask::bob(), |ask, _| ask.with(number::PROXY_STATE, &[7; 250]));
    states.identifier(identifier).octets()
}

#[test]
fn who_sends_faster_than_it_may_is_held_back_and_loses_nothing() {
    for layout in [JOINED, SEPARATE] {
        let mut server = server(layout, "packets_per_second = 10", "");
        let (fast, other) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
        server.ask_by(fast, &several(0..25));
        // As many as in a second at once.
        assert_eq!(server.replies(fast).len(), 10);
        assert!(!server.streams[&fast].is_read, "what more it sends stays with its kernel");
        assert_eq!((server.ask_by(other, &several(0..1)).len(), server.count("streams_paced")), (1, 1));
        server.run(Duration::from_millis(99));
        assert_eq!(server.replies(fast).len(), 10);
        server.run(Duration::from_millis(1));
        assert_eq!(server.replies(fast).len(), 11);
        server.run(Duration::from_millis(900));
        assert_eq!(server.replies(fast).len(), 20);
        server.run(Duration::from_millis(500));
        assert_eq!((server.replies(fast).len(), server.streams[&fast].is_read), (25, true));
        assert_eq!(server.count("received"), 26, "each was taken once");
        server.assert_sums();
        // What has come is answered, also of one that sends no more.
        server.ask_by(fast, &several(30..40));
        server.end(fast);
        assert!(!server.is_closed(fast));
        server.run(Duration::from_secs(1));
        assert_eq!((server.replies(fast).len(), server.is_closed(fast)), (35, true));
        server.end(other);
        server.assert_nothing_is_left();
    }
}

#[test]
fn what_its_client_sends_too_fast_by_a_stream_waits_and_is_not_discarded() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let rule = format!(
        "[[client_rule]]\nname = \"branches\"\nnetwork = \"100.64.0.0/10\"\nnat = true\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\nlimits = {{ packets_per_second = 10 }}\n"
    );
    let mut server = server(SEPARATE, "", &rule);
    let stream = accept(&mut server, SocketAddr::from(([100, 64, 0, 1], 1000)));
    let asked = (0..25).map(|identifier| {
        Ask::bob().with(number::NAS_IDENTIFIER, b"site-1").under(SECRET).identifier(identifier).octets()
    });
    let asked: Vec<_> = asked.collect();
    server.ask_by(stream, &asked.concat());
    server.look_up();
    assert_eq!(server.replies(stream).len(), 10, "{}", server.table());
    server.run(Duration::from_secs(2));
    assert_eq!(server.replies(stream).len(), 25, "{}", server.table());
    for (asked, reply) in asked.iter().zip(server.replies(stream)) {
        assert_eq!(Reply::under(SECRET, asked, &reply).code, Code::AccessAccept);
    }
    assert_eq!((server.discarded(Discard::ClientTooFast), server.count("received")), (0, 25));
    server.end(stream);
    server.run(Duration::from_secs(4000));
    server.assert_nothing_is_left();
}

#[test]
fn replies_that_lie_take_no_more_memory_than_they_may_and_who_reads_is_served() {
    const MAX: u64 = 131_072;
    /// What a stream takes for its first reply.
    const FIRST: u64 = 32 * 1024;
    for layout in [JOINED, SEPARATE] {
        let mut server =
            server(&format!("{layout}streams_octets_max = {MAX}\n"), "write_timeout = \"60s\"", "");
        let lazy: Vec<_> = (0..20).map(|number| accept(&mut server, nas(1000 + number))).collect();
        lazy.iter().for_each(|stream| server.open_window(*stream, Some(0)));
        for identifier in 0..50 {
            for stream in &lazy {
                if server.streams[stream].is_read {
                    server.ask_by(*stream, &long(identifier));
                }
            }
        }
        let octets = server.count("streams_octets");
        assert!((MAX..=MAX + 20 * FIRST).contains(&octets), "{octets}");
        assert!(server.count("received") < 200, "{}", server.table());
        assert!(lazy.iter().all(|stream| !server.streams[stream].is_read));
        let reader = accept(&mut server, nas(2000));
        for identifier in 0..50 {
            assert_eq!(server.ask_by(reader, &long(identifier)).len(), usize::from(identifier) + 1);
        }
        // They read after all, and are read.
        lazy.iter().for_each(|stream| server.open_window(*stream, None));
        assert_eq!(server.count("streams_octets"), 0);
        for stream in &lazy {
            assert!(server.streams[stream].is_read);
            let before = server.replies(*stream).len();
            assert_eq!(server.ask_by(*stream, &long(200)).len(), before + 1);
            server.end(*stream);
        }
        server.end(reader);
        server.assert_nothing_is_left();
    }
}

#[test]
fn memory_of_a_stream_that_is_broken_off_is_free_again() {
    let mut server = server(SEPARATE, "write_timeout = \"5s\"", "");
    let (broken, slow) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
    for stream in [broken, slow] {
        server.open_window(stream, Some(0));
        server.ask_by(stream, &long(1));
    }
    assert_eq!(server.count("streams_octets"), 65_536);
    server.break_off(broken);
    assert_eq!(server.count("streams_octets"), 32_768);
    server.run(Duration::from_secs(5));
    assert!(server.is_closed(slow));
    assert_eq!(server.count("streams_octets"), 0);
    server.assert_nothing_is_left();
}

#[test]
fn a_server_that_ends_waits_two_seconds_for_replies_to_be_read_and_no_longer() {
    for layout in [JOINED, SEPARATE] {
        let mut server = server(layout, "write_timeout = \"1h\"", "");
        let streams: Vec<_> = (0..3).map(|number| accept(&mut server, nas(1000 + number))).collect();
        let [lazy, trickling, late] = streams[..] else { unreachable!("three") };
        for stream in &streams {
            server.open_window(*stream, Some(0));
            let asked: Vec<_> = (0..10).map(long).collect();
            server.ask_by(*stream, &asked.concat());
        }
        server.run(Duration::from_secs(60));
        let now = server.now;
        server.threads.iter_mut().for_each(|cores| cores.drain_streams(now));
        server.settle();
        assert!(streams.iter().all(|stream| !server.is_closed(*stream)));
        for _ in 0..19 {
            server.run(Duration::from_millis(100));
            server.open_window(trickling, Some(10));
        }
        server.open_window(late, None);
        assert_eq!((server.replies(late).len(), server.is_closed(late)), (10, true));
        assert!(!server.is_closed(lazy) && !server.is_closed(trickling));
        server.run(Duration::from_millis(100));
        assert!(server.is_closed(lazy) && server.is_closed(trickling), "{}", server.table());
        assert!(server.threads.iter().all(|cores| cores.is_drained()), "{}", server.table());
        assert_eq!(server.count("streams_ended_slow_reader"), 2);
        server.assert_nothing_is_left();
    }
}
