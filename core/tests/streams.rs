//! Requests that come by streams (RFC 6613): answered there, whatever the segments; what ends a stream and what does not; what
//! becomes of its requests then; and that nobody who is silent, slow or many takes more than a stream may have.

mod support;

use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, HASHED, Reply, Server, Stream, USERS, configuration, nas};
use ulna_core::Discard;
use ulna_core::event::Event;
use ulna_core::packet::{Code, number};
use ulna_core::path::{NetworkId, Peer, WorkerId};
use ulna_core::stream::End;

const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";
const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const LAYOUTS: [&str; 3] = [JOINED, SEPARATE, "[runtime]\nnetwork_threads = 2\nworkers = 3\n"];

/// Listener 2: access and status by streams; 3: accounting. On the ports that datagrams come to.
fn with_streams(rules: &str, keys: &str) -> String {
    format!(
        "{rules}\n\
         [[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"192.0.2.1:1812\"\n\
         packets = [\"access\", \"status\"]\nserver = \"edge\"\n{keys}\n\
         [[listen]]\nname = \"records\"\ntransport = \"tcp\"\naddress = \"192.0.2.1:1813\"\n\
         packets = [\"accounting\"]\nserver = \"edge\"\n"
    )
}

fn server(settings: &str, keys: &str) -> Server {
    Server::of(&configuration(settings, &with_streams(USERS, keys)))
}

/// The same with a user whose password takes an effect.
fn hashing_server(settings: &str, keys: &str) -> Server {
    Server::of(&configuration(settings, &with_streams(HASHED, keys)))
}

fn accept(server: &mut Server, remote: SocketAddr) -> Stream {
    server.accept(0, 2, remote).expect("it is accepted")
}

fn alice(identifier: u8) -> Vec<u8> {
    Ask::user(b"alice", b"wonderland").identifier(identifier).octets()
}

fn bob(identifier: u8) -> Vec<u8> {
    Ask::bob().identifier(identifier).octets()
}

fn code_of(request: &[u8], reply: &[u8]) -> Code {
    Reply::to(request, reply).code
}

#[test]
fn what_comes_by_a_stream_is_answered_there() {
    for layout in LAYOUTS {
        let mut server = server(layout, "");
        let (one, other) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
        let replies = server.ask_by(one, &bob(1));
        assert_eq!(replies.len(), 1, "{}", server.table());
        assert_eq!(code_of(&bob(1), &replies[0]), Code::AccessAccept);
        let status = Ask::status().identifier(0).octets();
        assert_eq!(code_of(&status, &server.ask_by(one, &status)[1]), Code::AccessAccept);
        let wrong = Ask::wrong().identifier(2).octets();
        assert_eq!(server.ask_by(one, &wrong).len(), 2, "a reject waits");
        server.run(Duration::from_secs(1));
        assert_eq!(code_of(&wrong, &server.replies(one)[2]), Code::AccessReject);
        assert!(server.replies(other).is_empty());
        assert!(server.sent.is_empty(), "nothing leaves as a datagram");
        server.assert_sums();
        server.end(one);
        server.end(other);
        assert!(server.is_closed(one) && server.is_closed(other));
        assert_eq!(server.count("streams_ended_by_peer"), 2);
        server.assert_nothing_is_left();
    }
}

#[test]
fn accounting_is_acknowledged_by_the_stream_once_it_is_safe() {
    let settings = format!("{SEPARATE}[accounting.file]\npath = \"a.jsonl\"\n");
    let rules = "[[server.accounting]]\nstore = \"file\"\n";
    let mut server = Server::of(&configuration(&settings, &with_streams(rules, "")));
    let stream = server.accept(0, 3, nas(1000)).expect("it is accepted");
    let asked = Ask::accounting().octets();
    assert!(server.ask_by(stream, &asked).is_empty());
    server.store(Ok(()));
    assert_eq!(server.replies(stream).len(), 1);
    assert_eq!(server.replies(stream)[0][0], Code::AccountingResponse as u8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same packets, in any segments, get the same answers; also where replies are read in pieces.
    #[test]
    fn segments_do_not_matter(
        kinds in proptest::collection::vec(0u8..4, 1..40),
        cuts in proptest::collection::vec(1usize..300, 1..40),
        window in 1usize..200,
    ) {
        // checklist 73
        let asked: Vec<Vec<u8>> = kinds.iter().zip(0..).map(|(kind, identifier)| match kind {
            0 => Ask::wrong().identifier(identifier).octets(),
            1 => Ask::status().identifier(identifier).octets(),
            _ => bob(identifier),
        }).collect();
        let settings = format!("{JOINED}[protocol]\nreject_delay = \"0s\"\nfailures_max = 0\n");
        let mut server = server(&settings, "");
        let stream = accept(&mut server, nas(1000));
        let octets = asked.concat();
        let mut rest = &octets[..];
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (segment, after) = rest.split_at((*cuts.next().expect("for ever")).min(rest.len()));
            rest = after;
            server.read(stream, segment);
            server.open_window(stream, Some(window));
        }
        server.open_window(stream, None);
        let replies = server.replies(stream);
        prop_assert_eq!(replies.len(), asked.len());
        for (asked, kind) in asked.iter().zip(&kinds) {
            // One thread answers policy's in order; Status-Server overtakes.
            let reply = replies.iter().find(|reply| reply[1] == asked[1]).expect("each is answered");
            let expected = if *kind == 0 { Code::AccessReject } else { Code::AccessAccept };
            prop_assert_eq!(code_of(asked, reply), expected);
        }
        server.end(stream);
        server.assert_nothing_is_left();
    }

    /// Whatever octets come, nothing breaks, and what was asked before is answered or has a fate.
    #[test]
    fn garbage_ends_its_stream_and_no_other(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 1usize..50,
    ) {
        let mut server = server(SEPARATE, "");
        let (stream, other) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
        let octets = [bob(1), garbage].concat();
        for segment in octets.chunks(cut) {
            server.ask_by(stream, segment);
        }
        prop_assert_eq!(server.ask_by(other, &bob(1)).len(), 1);
        server.end(stream);
        server.end(other);
        prop_assert!(server.is_closed(stream));
        server.assert_nothing_is_left();
    }
}

#[test]
fn what_ends_a_stream_and_what_does_not() {
    // checklist 74
    let length = |length: u16| {
        let mut octets = bob(1);
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    };
    let cases: Vec<(Vec<u8>, Discard, bool)> = vec![
        (length(19), Discard::BadLength, true),
        (length(4097), Discard::BadLength, true),
        (raw(1, &[1, 0]), Discard::BadAttribute, true),
        (raw(1, &[1, 1]), Discard::BadAttribute, true),
        (raw(1, &[1, 9, 9]), Discard::BadAttribute, true),
        (Ask::bob().forged().octets(), Discard::BadMessageAuthenticator, true),
        (Ask::status().forged().octets(), Discard::BadMessageAuthenticator, true),
        (Ask::status().unsigned().octets(), Discard::UnsignedStatusServer, true),
        (raw(1, &[80, 3, 0]), Discard::BadMessageAuthenticatorLength, true),
        (raw(77, &[]), Discard::UnknownCode, false),
        (raw(2, &[]), Discard::UnexpectedCode, false),
        (Ask::accounting().octets(), Discard::UnexpectedCode, false),
    ];
    for (octets, reason, ends) in cases {
        let mut server = server(SEPARATE, "");
        let stream = accept(&mut server, nas(1000));
        // What came before is answered, what comes behind only where the stream goes on.
        assert_eq!(server.ask_by(stream, &bob(7)).len(), 1);
        let replies = server.ask_by(stream, &[octets, bob(8)].concat());
        assert_eq!(server.discarded(reason), 1, "{reason:?} {}", server.table());
        assert_eq!(server.is_closed(stream), ends, "{reason:?}");
        assert_eq!(replies.len(), if ends { 1 } else { 2 }, "{reason:?}");
        assert_eq!(server.count("streams_ended_for_packet"), u64::from(ends));
        server.end(stream);
        server.assert_nothing_is_left();
    }
    let mut server = server(SEPARATE, "");
    let stream = server.accept(0, 3, nas(1000)).expect("it is accepted");
    assert!(server.ask_by(stream, &Ask::accounting().forged().octets()).is_empty());
    assert_eq!(server.discarded(Discard::BadRequestAuthenticator), 1);
    assert!(server.is_closed(stream));
}

/// A packet of this code with these attributes, right or wrong, unsigned.
fn raw(code: u8, attributes: &[u8]) -> Vec<u8> {
    let mut octets = vec![code, 1];
    octets.extend_from_slice(&(20 + attributes.len() as u16).to_be_bytes());
    octets.extend_from_slice(&[5; 16]);
    octets.extend_from_slice(attributes);
    octets
}

#[test]
fn nobody_unknown_gets_a_stream() {
    // checklist 74
    let mut server = server(SEPARATE, "");
    let unknown = SocketAddr::from(([10, 9, 8, 7], 1000));
    assert_eq!(server.accept(0, 2, unknown), Err(End::UnknownClient));
    assert_eq!((server.count("streams"), server.count("streams_refused_unknown")), (0, 1));
    server.settle();
    let told = |event: &Event| matches!(event, Event::StreamEnded { end: End::UnknownClient, .. });
    assert!(server.events.iter().any(told));
}

#[test]
fn transport_and_stream_tell_connections_apart() {
    // checklist 72
    for layout in LAYOUTS {
        let mut server = server(layout, "");
        // The very same addresses and ports, the very same request.
        let first = accept(&mut server, nas(1000));
        assert_eq!(server.ask_by(first, &bob(1)).len(), 1);
        assert_eq!(server.ask(nas(1000), &bob(1)).len(), 1);
        assert_eq!((server.count("accepted"), server.count("duplicates_resent")), (2, 0));
        // RFC 6613 §2.6.1: with its stream a cached reply goes.
        server.end(first);
        let second = accept(&mut server, nas(1000));
        assert_ne!(first, second);
        assert_eq!(server.ask_by(second, &bob(1)).len(), 1);
        assert_eq!((server.count("accepted"), server.count("duplicates_resent")), (3, 0));
        server.end(second);
        server.assert_nothing_is_left();
    }
}

#[test]
fn duplicates_on_a_stream_get_the_same_reply() {
    let mut server = hashing_server(SEPARATE, "");
    let stream = accept(&mut server, nas(1000));
    let replies = server.ask_by(stream, &[bob(1), bob(1), bob(1)].concat());
    assert_eq!(server.count("accepted"), 1);
    assert_eq!(server.count("duplicates_resent") + server.count("duplicates_in_progress"), 2);
    let again = server.ask_by(stream, &bob(1));
    assert_eq!((again.len(), again.last()), (replies.len() + 1, replies.last()));
    // One that is under way is not begun twice.
    server.ask_by(stream, &alice(2));
    server.ask_by(stream, &alice(2));
    assert_eq!((server.effects.len(), server.count("accepted")), (1, 2));
    server.answer_effect("wonderland");
    assert_eq!(server.replies(stream).len(), again.len() + 1);
    // A newer one takes the Identifier; the older gets no reply.
    let newer = Ask::user(b"alice", b"wonderland").identifier(3).authenticator(9).octets();
    server.ask_by(stream, &alice(3));
    server.ask_by(stream, &newer);
    assert_eq!(server.count("superseded"), 1);
    server.effects.remove(0);
    server.answer_effect("wonderland");
    assert_eq!(code_of(&newer, &server.replies(stream)[again.len() + 1]), Code::AccessAccept);
    server.end(stream);
    assert!(server.is_closed(stream));
    server.assert_nothing_is_left();
}

#[test]
fn with_its_stream_a_request_goes() {
    // checklist 76
    for layout in LAYOUTS {
        let mut server = hashing_server(layout, "");
        let (stream, other) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
        server.ask_by(stream, &[alice(1), alice(2), bob(3), Ask::wrong().identifier(4).octets()].concat());
        server.ask_by(other, &alice(1));
        assert_eq!((server.count("requests_held"), server.count("delayed_rejects")), (3, 1));
        server.break_off(stream);
        assert!(server.is_closed(stream));
        assert_eq!((server.count("requests_held"), server.count("streams_broken")), (1, 1));
        server.run(Duration::from_secs(1));
        assert_eq!(server.discarded(Discard::ConnectionClosed), 3, "two held, and a reject that waited");
        assert_eq!(server.replies(stream).len(), 1, "bob's");
        server.assert_sums();
        // What their passwords were comes too late; the other's is in time.
        for _ in 0..3 {
            server.answer_effect("wonderland");
        }
        assert_eq!((server.count("effects_late"), server.replies(other).len()), (2, 1));
        server.end(other);
        assert_eq!(server.count("dedup_entries"), 0, "no cached reply is left");
        server.assert_nothing_is_left();
    }
}

#[test]
fn what_a_worker_answers_meanwhile_is_dropped_by_name() {
    let mut server = server(SEPARATE, "");
    let stream = accept(&mut server, nas(1000));
    server.read(stream, &bob(1));
    server.turn(0);
    // The worker has it in its ring, and answers before it is told.
    server.threads[0].handle_broken(stream.1, server.now);
    server.settle();
    assert_eq!((server.discarded(Discard::ConnectionClosed), server.count("answered")), (1, 0));
    assert!(server.replies(stream).is_empty());
    server.assert_nothing_is_left();
}

#[test]
fn a_peer_that_sends_no_more_is_answered() {
    for layout in LAYOUTS {
        let mut server = hashing_server(layout, "");
        let stream = accept(&mut server, nas(1000));
        server
            .ask_by(stream, &[alice(1), Ask::wrong().identifier(2).octets(), bob(3)[..30].to_vec()].concat());
        server.end(stream);
        assert!(!server.is_closed(stream), "two are under way");
        server.answer_effect("wonderland");
        assert!(!server.is_closed(stream));
        server.run(Duration::from_secs(1));
        assert!(server.is_closed(stream));
        let replies = server.replies(stream);
        assert_eq!(code_of(&alice(1), &replies[0]), Code::AccessAccept);
        assert_eq!(code_of(&Ask::wrong().identifier(2).octets(), &replies[1]), Code::AccessReject);
        assert_eq!(server.count("streams_ended_by_peer"), 1);
        server.assert_nothing_is_left();
    }
}

#[test]
fn there_are_no_more_than_may_be() {
    let mut server = server(SEPARATE, "connections_max = 3\nconnections_per_address_max = 2");
    let one = accept(&mut server, nas(1000));
    accept(&mut server, nas(1001));
    assert_eq!(server.accept(0, 2, nas(1002)), Err(End::AddressFull));
    let neighbour = SocketAddr::from(([198, 51, 100, 8], 1000));
    let far = SocketAddr::from(([198, 51, 100, 9], 1000));
    accept(&mut server, neighbour);
    assert_eq!(server.accept(0, 2, far), Err(End::ListenerFull));
    // The other listener has its own.
    assert!(server.accept(0, 3, nas(1003)).is_ok());
    assert_eq!((server.count("streams"), server.count("streams_accepted")), (4, 4));
    assert_eq!((server.count("streams_refused_full"), server.count("streams_refused_address_full")), (1, 1));
    server.end(one);
    assert_eq!(server.accept(0, 2, far).map(|(_, id)| id.place), Ok(one.1.place), "its place is another's");
    assert!(server.ask_by(one, &bob(1)).is_empty(), "what comes under its name is nobody's");
    server.assert_sums();
    server.run(Duration::from_secs(120));
    assert_eq!((server.count("streams"), server.count("streams_ended_idle")), (0, 4));
    server.assert_nothing_is_left();
}

#[test]
fn who_is_silent_loses_its_stream_exactly_on_time() {
    let mut server = hashing_server(SEPARATE, "idle_timeout = \"20s\"");
    let stream = accept(&mut server, nas(1000));
    server.run(Duration::from_secs(15));
    server.ask_by(stream, &alice(1));
    // What is under way holds it.
    server.run(Duration::from_secs(25));
    assert!(!server.is_closed(stream));
    server.answer_effect("wonderland");
    server.run(Duration::from_secs(10));
    assert!(!server.is_closed(stream), "it was silent from its deadline on");
    server.run(Duration::from_secs(10));
    assert!(server.is_closed(stream));
    let idle = accept(&mut server, nas(1000));
    server.run(Duration::from_nanos(19_999_999_999));
    assert!(!server.is_closed(idle));
    server.run(Duration::from_nanos(1));
    assert!(server.is_closed(idle));
    assert_eq!(server.count("streams_ended_idle"), 2);
    server.assert_nothing_is_left();
}

#[test]
fn who_sends_by_drops_loses_its_stream() {
    let mut server = server(SEPARATE, "read_timeout = \"5s\"");
    let stream = accept(&mut server, nas(1000));
    let octets = bob(1);
    for octet in &octets[..4] {
        server.ask_by(stream, &[*octet]);
        server.run(Duration::from_secs(1));
    }
    assert!(!server.is_closed(stream));
    server.ask_by(stream, &octets[4..5]);
    // From its first octet on, not from the last.
    server.run(Duration::from_secs(1));
    assert!(server.is_closed(stream));
    assert_eq!(server.count("streams_ended_slow_sender"), 1);
    // Packets that end in time never are too slow, however many.
    let steady = accept(&mut server, nas(1001));
    for identifier in 0..20 {
        let octets = bob(identifier);
        server.ask_by(steady, &octets[..10]);
        server.run(Duration::from_secs(2));
        server.ask_by(steady, &octets[10..]);
    }
    assert_eq!(server.replies(steady).len(), 20);
    server.end(steady);
    server.assert_nothing_is_left();
}

/// Requests whose replies have a kilobyte each.
fn long(identifier: u8, authenticator: u8) -> Vec<u8> {
    let states = (0..4).fold(Ask::bob(), |ask, _| ask.with(number::PROXY_STATE, &[7; 250]));
    states.identifier(identifier).authenticator(authenticator).octets()
}

#[test]
fn who_does_not_read_is_not_read_and_loses_its_stream() {
    let mut server = server(SEPARATE, "write_timeout = \"5s\"");
    let (stream, other) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
    server.open_window(stream, Some(0));
    let mut asked = 0;
    while server.streams[&stream].is_read {
        let (identifier, authenticator) = ((asked % 256) as u8, (asked / 256) as u8);
        server.ask_by(stream, &long(identifier, authenticator));
        asked += 1;
        assert!(asked < 100, "64 KiB and what was under way");
    }
    assert!(asked > 60, "{asked}");
    // Others are served.
    assert_eq!(server.ask_by(other, &bob(1)).len(), 1);
    // A reader that takes a little is no better, if it does not take all that waited.
    server.run(Duration::from_secs(4));
    server.open_window(stream, Some(1000));
    assert!(!server.is_closed(stream));
    server.run(Duration::from_secs(1));
    assert!(server.is_closed(stream));
    assert_eq!(server.count("streams_ended_slow_reader"), 1);
    server.end(other);
    server.assert_nothing_is_left();
}

#[test]
fn who_reads_again_is_read_again() {
    let mut server = server(SEPARATE, "write_timeout = \"5s\"");
    let stream = accept(&mut server, nas(1000));
    server.open_window(stream, Some(0));
    // A driver may have read ahead: what was read is held.
    let asked: Vec<_> = (0..150).map(|identifier| long(identifier, 1)).collect();
    for asked in asked.chunks(10) {
        server.ask_by(stream, &asked.concat());
    }
    assert!(!server.streams[&stream].is_read);
    assert!(server.count("received") < 100, "what is held was not taken");
    for _ in 0..4 {
        server.run(Duration::from_secs(2));
        server.open_window(stream, Some(60_000));
        assert!(!server.is_closed(stream));
    }
    server.open_window(stream, None);
    assert_eq!((server.replies(stream).len(), server.streams[&stream].is_read), (150, true));
    server.run(Duration::from_secs(20));
    assert!(!server.is_closed(stream));
    server.end(stream);
    server.assert_nothing_is_left();
}

#[test]
fn no_more_requests_are_under_way_than_there_are_identifiers() {
    let mut server = hashing_server(SEPARATE, "");
    let stream = accept(&mut server, nas(1000));
    for identifier in 0..=255 {
        server.ask_by(stream, &alice(identifier));
    }
    assert_eq!((server.effects.len(), server.streams[&stream].is_read), (256, false));
    // Unsigned ones are other requests to us; they wait like any.
    let unsigned = Ask::user(b"alice", b"wonderland").identifier(9).unsigned().octets();
    server.ask_by(stream, &unsigned);
    assert_eq!(server.effects.len(), 256);
    assert!(!server.is_closed(stream));
    server.answer_effect("wonderland");
    assert_eq!((server.effects.len(), server.replies(stream).len()), (256, 1));
    while !server.effects.is_empty() {
        server.answer_effect("wonderland");
    }
    assert_eq!((server.replies(stream).len(), server.streams[&stream].is_read), (257, true));
    server.end(stream);
    server.assert_nothing_is_left();
}

#[test]
fn what_finds_no_room_at_a_worker_waits_and_is_not_shed() {
    // Rings of 4: a new request goes while more than one slot is left.
    for layout in [
        "network_threads = 1\nworkers = 1",
        "network_threads = 1\nworkers = 2",
        "network_threads = 0\nworkers = 2",
    ] {
        let settings = format!("[runtime]\n{layout}\nring_slots = 4\nrequests_max = 8\n");
        let mut server = server(&settings, "");
        let streams: Vec<_> = (0..5).map(|port| accept(&mut server, nas(1000 + port))).collect();
        let asked: Vec<u8> = (0..100).flat_map(bob).collect();
        server.threads[0].begin();
        streams.iter().for_each(|stream| server.read(*stream, &asked));
        server.finish_turn(0);
        assert!(server.count("streams_blocked") > 0);
        server.end(streams[0]);
        for stream in &streams {
            assert_eq!(server.replies(*stream).len(), 100, "{}", server.table());
        }
        assert!(server.discards().is_empty(), "{}", server.table());
        assert!(server.is_closed(streams[0]));
        streams[1..].iter().for_each(|stream| assert!(server.streams[stream].is_read));
        streams[1..].iter().for_each(|stream| server.end(*stream));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_server_that_ends_answers_what_has_come() {
    for layout in LAYOUTS {
        let mut server = hashing_server(layout, "");
        let (busy, idle) = (accept(&mut server, nas(1000)), accept(&mut server, nas(1001)));
        server.ask_by(busy, &alice(1));
        let now = server.now;
        server.threads.iter_mut().for_each(|cores| cores.drain_streams(now));
        server.settle();
        assert!(server.is_closed(idle) && !server.is_closed(busy));
        assert!(!server.streams[&busy].is_read);
        assert_eq!(server.accept(0, 2, nas(1002)), Err(End::Draining));
        assert!(!server.threads.iter().all(|cores| cores.is_drained()));
        server.answer_effect("wonderland");
        assert!(server.is_closed(busy));
        assert_eq!(server.replies(busy).len(), 1);
        assert!(server.threads.iter().all(|cores| cores.is_drained()), "{}", server.table());
    }
}

#[test]
fn a_client_that_a_reload_has_taken_away_loses_its_stream_with_its_next_packet() {
    let text = configuration(SEPARATE, &with_streams(USERS, ""));
    let mut server = Server::of(&text);
    let (stream, changed) =
        (accept(&mut server, nas(1000)), accept(&mut server, SocketAddr::from(([203, 0, 113, 1], 9))));
    assert_eq!(server.ask_by(stream, &bob(1)).len(), 1);
    assert_eq!(server.ask_by(changed, &bob(1)).len(), 1);
    let (kept, _) = text.split_once("[[client]]\nname = \"strict\"").expect("it is there");
    let (_, rest) = text.split_once("require_message_authenticator = true").expect("it is there");
    let without = format!("{kept}{rest}").replace("a secret of the branch", "another secret of it");
    server.reload(&without);
    server.settle();
    server.forget_older();
    server.ask_by(changed, &bob(2));
    assert_eq!((server.is_closed(changed), server.discarded(Discard::UnknownClient)), (true, 1));
    let new = Ask::bob().identifier(2).under(b"another secret of it").octets();
    assert_eq!(server.ask_by(stream, &new).len(), 2);
    server.ask_by(stream, &bob(3));
    assert_eq!((server.is_closed(stream), server.discarded(Discard::BadMessageAuthenticator)), (true, 1));
    server.assert_nothing_is_left();
}

#[test]
fn a_worker_that_dies_leaves_no_stream_waiting_for_it() {
    for layout in [JOINED, SEPARATE] {
        let mut server = hashing_server(layout, "");
        let stream = accept(&mut server, nas(1000));
        server.ask_by(stream, &[alice(1), alice(2), bob(3)].concat());
        server.end(stream);
        assert!(!server.is_closed(stream));
        let thread = server.configuration.runtime.network_threads;
        server.die(thread, Peer::Worker(WorkerId(0)));
        server.settle();
        assert!(server.is_closed(stream), "nobody answers any more");
        assert_eq!((server.count("orphaned"), server.replies(stream).len()), (2, 1));
        server.effects.clear();
        server.assert_nothing_is_left();
    }
}

#[test]
fn with_a_network_core_its_streams_end() {
    for layout in [JOINED, SEPARATE] {
        let mut server = hashing_server(layout, "");
        let stream = accept(&mut server, nas(1000));
        server.ask_by(stream, &[alice(1), bob(3)].concat());
        server.die(0, Peer::Network(NetworkId(0)));
        server.settle();
        assert_eq!((server.count("streams"), server.count("streams_orphaned")), (0, 1));
        assert!(server.is_closed(stream));
        // The next one may have the name that a stream of the dead core's had: what was under way there is not its.
        server.streams.clear();
        let next = accept(&mut server, nas(1000));
        server.answer_effect("wonderland");
        assert!(server.replies(next).is_empty());
        assert_eq!(server.ask_by(next, &bob(3)).len(), 1);
        server.end(next);
        assert!(server.is_closed(next));
        server.assert_nothing_is_left();
    }
}

/// A rule for many behind one address, each with a secret of its own.
fn stranger_server(settings: &str, keys: &str) -> Server {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let rule = format!(
        "{USERS}[[client_rule]]\nname = \"branches\"\nnetwork = \"100.64.0.0/10\"\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n{keys}\n"
    );
    Server::of(&configuration(settings, &with_streams(&rule, "")))
}

const ONE: &[u8] = b"the secret of site one";
const TWO: &[u8] = b"the secret of site two";

fn nat(port: u16) -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 1], port))
}

fn of_site(site: &[u8], secret: &'static [u8], identifier: u8) -> Vec<u8> {
    Ask::bob()
        .with(number::NAS_IDENTIFIER, site)
        .under(secret)
        .identifier(identifier)
        .authenticator(identifier)
        .octets()
}

/// Answers all look-ups as the table has it.
fn look_up(server: &mut Server) {
    while !server.effects.is_empty() {
        server.look_up();
    }
}

#[test]
fn several_clients_behind_one_address_have_a_stream_and_a_secret_each() {
    // checklist 72
    for layout in LAYOUTS {
        for keys in ["nat = true", ""] {
            let mut server = stranger_server(layout, keys);
            let (one, two) = (accept(&mut server, nat(1000)), accept(&mut server, nat(1001)));
            for identifier in 0..3 {
                for (stream, site, secret) in [(one, &b"site-1"[..], ONE), (two, &b"site-2"[..], TWO)] {
                    let asked = of_site(site, secret, identifier);
                    server.ask_by(stream, &asked);
                    look_up(&mut server);
                    let replies = server.replies(stream);
                    assert_eq!(replies.len(), usize::from(identifier) + 1, "{}", server.table());
                    let reply = Reply::under(secret, &asked, replies.last().expect("one"));
                    assert_eq!(reply.code, Code::AccessAccept);
                }
            }
            assert_eq!((server.count("look_ups"), server.count("connections_admitted")), (2, 2));
            server.end(one);
            server.end(two);
            assert!(server.is_closed(one) && server.is_closed(two));
            server.run(Duration::from_secs(4000));
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_stream_is_one_clients_to_its_end() {
    // checklist 74
    let mut server = stranger_server(SEPARATE, "nat = true");
    let stream = accept(&mut server, nat(1000));
    server.ask_by(stream, &of_site(b"site-1", ONE, 1));
    look_up(&mut server);
    assert_eq!(server.replies(stream).len(), 1);
    // A sibling's packet, as good as it is, is not this client's.
    server.ask_by(stream, &of_site(b"site-2", TWO, 2));
    assert!(server.effects.is_empty() && server.is_closed(stream));
    assert_eq!(server.discarded(Discard::BadMessageAuthenticator), 1);
    // Again on a stream of its own: what was asked on another before is asked anew.
    let again = accept(&mut server, nat(1001));
    server.ask_by(again, &of_site(b"site-1", ONE, 1));
    look_up(&mut server);
    assert_eq!((server.replies(again).len(), server.count("accepted")), (1, 2));
    server.end(again);
    server.run(Duration::from_secs(4000));
    server.assert_nothing_is_left();
}

#[test]
fn who_is_no_client_loses_its_stream() {
    // checklist 74
    let mut server = stranger_server(SEPARATE, "nat = true");
    let forged = accept(&mut server, nat(1000));
    server.ask_by(forged, &of_site(b"site-1", TWO, 1));
    look_up(&mut server);
    assert_eq!((server.is_closed(forged), server.discarded(Discard::BadMessageAuthenticator)), (true, 1));
    let denied = accept(&mut server, nat(1001));
    server.ask_by(denied, &of_site(b"site-9", ONE, 1));
    look_up(&mut server);
    assert_eq!((server.is_closed(denied), server.discarded(Discard::ClientDenied)), (true, 1));
    let unsigned = accept(&mut server, nat(1002));
    server.ask_by(unsigned, &Ask::bob().unsigned().octets());
    assert_eq!((server.is_closed(unsigned), server.discarded(Discard::UnsignedStranger)), (true, 1));
    assert_eq!(server.count("streams_ended_for_packet"), 3);
    server.run(Duration::from_secs(4000));
    server.assert_nothing_is_left();
}

#[test]
fn nothing_more_is_taken_until_it_is_known_whose_it_is() {
    for layout in LAYOUTS {
        let mut server = stranger_server(layout, "nat = true");
        let stream = accept(&mut server, nat(1000));
        let asked: Vec<_> = (0..30).map(|identifier| of_site(b"site-1", ONE, identifier)).collect();
        server.ask_by(stream, &asked.concat());
        assert!(!server.streams[&stream].is_read);
        assert_eq!((server.effects.len(), server.count("received"), server.count("strangers")), (1, 1, 1));
        look_up(&mut server);
        assert_eq!((server.replies(stream).len(), server.streams[&stream].is_read), (30, true));
        assert_eq!(server.count("strangers_asked"), 1);
        server.end(stream);
        // And one that breaks off before that.
        let gone = accept(&mut server, nat(1001));
        server.ask_by(gone, &of_site(b"site-2", TWO, 1));
        server.break_off(gone);
        look_up(&mut server);
        assert_eq!((server.discarded(Discard::StrangerGone), server.replies(gone).len()), (1, 0));
        server.run(Duration::from_secs(4000));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_worker_that_dies_takes_the_streams_that_waited_for_it() {
    let mut server = stranger_server(SEPARATE, "nat = true");
    let stream = accept(&mut server, nat(1000));
    server.ask_by(stream, &of_site(b"site-1", ONE, 1));
    server.die(1, Peer::Worker(WorkerId(0)));
    server.settle();
    assert_eq!((server.is_closed(stream), server.count("streams_orphaned")), (true, 1));
    assert_eq!((server.count("orphaned"), server.count("strangers"), server.count("streams")), (1, 0, 0));
    server.effects.clear();
    server.drain();
    assert!(server.threads.iter().all(|cores| cores.is_drained()), "{}", server.table());
}
