//! Event-Timestamp: what was recorded and is sent again later is not taken. RFC 5176 §6.3.

use std::time::Duration;

use ulna_core::Discard;
use ulna_core::packet::{Code, number};
use ulna_core::time::UnixTime;

use crate::bench::*;
use crate::support::{Server, nas};

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> [u8; 4] {
    (seconds as u32).to_be_bytes()
}

/// A server whose clock on the wall shows [`NOW`], with these settings.
fn server_with(protocol: &str) -> Server {
    let mut server = server(&format!("{SEPARATE}[protocol]\n{protocol}\n"));
    server.wall_time(UnixTime(NOW));
    server
}

const WINDOW: &str = "dedup_lifetime = \"300s\"\nevent_timestamp_window = \"300s\"";

// checklist 87
#[test]
fn what_is_older_than_the_window_or_from_the_future_is_discarded() {
    let mut server = server_with(WINDOW);
    for (identifier, time) in [(1, NOW), (2, NOW - 299), (3, NOW + 299)] {
        let ask = disconnect().identifier(identifier).with(number::EVENT_TIMESTAMP, &at(time));
        go_on(&mut server, &ask.octets());
    }
    for (identifier, time) in [(4, NOW - 300), (5, NOW + 300), (6, 0)] {
        let ask = disconnect().identifier(identifier).with(number::EVENT_TIMESTAMP, &at(time));
        assert_discards(&mut server, nas(1000), &ask.octets(), Discard::EventTimestampOutside);
    }
    // Each of several; and what is none is as old as can be.
    let two = disconnect().identifier(7).with(number::EVENT_TIMESTAMP, &at(NOW));
    let two = two.with(number::EVENT_TIMESTAMP, &at(NOW - 301)).octets();
    assert_discards(&mut server, nas(1000), &two, Discard::EventTimestampOutside);
    let short = disconnect().identifier(8).with(number::EVENT_TIMESTAMP, &[1, 2, 3]).octets();
    assert_discards(&mut server, nas(1000), &short, Discard::EventTimestampOutside);
    // Who sends none has none.
    go_on(&mut server, &disconnect().identifier(9).octets());
    server.run(Duration::from_secs(31));
    server.assert_nothing_is_left();
}

// checklist 87
#[test]
fn one_may_be_asked_for() {
    let mut server = server_with(&format!("{WINDOW}\nrequire_event_timestamp = true"));
    assert_discards(&mut server, nas(1000), &disconnect().octets(), Discard::NoEventTimestamp);
    go_on(&mut server, &disconnect().identifier(2).with(number::EVENT_TIMESTAMP, &at(NOW)).octets());
}

// checklist 87
#[test]
fn a_replay_finds_the_answer_of_the_first_or_is_too_old() {
    let mut server = server_with(WINDOW);
    let request = disconnect().with(number::EVENT_TIMESTAMP, &at(NOW)).octets();
    let forwarded = go_on(&mut server, &request);
    let sent = only(server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[])));
    for second in 1..=302_u64 {
        server.run(Duration::from_secs(1));
        server.wall_time(UnixTime(NOW + second));
        if second < 300 {
            assert_eq!(only(ask(&mut server, &request)).octets, sent.octets, "after {second} s");
        } else {
            assert_discards(&mut server, nas(1000), &request, Discard::EventTimestampOutside);
        }
        assert!(server.take_forwarded().is_empty(), "after {second} s");
    }
    server.assert_nothing_is_left();
}

#[test]
fn without_a_window_no_time_is_looked_at() {
    let mut server = server_with("");
    go_on(&mut server, &disconnect().with(number::EVENT_TIMESTAMP, &at(1)).octets());
}

#[test]
fn a_window_longer_than_replies_are_kept_waits_for_a_restart() {
    let mut server = server(SEPARATE);
    let wide = format!("{SEPARATE}[protocol]\n{WINDOW}\nrequire_event_timestamp = true\n");
    let wide = text(&wide, PROXY, NASES);
    let waits: Vec<String> = server.reload(&wide).iter().map(ToString::to_string).collect();
    assert_eq!(
        waits,
        [
            "`dedup_lifetime` has changed and waits for a restart",
            "`event_timestamp_window` has changed and waits for a restart"
        ]
    );
    assert_eq!(server.configuration.protocol.event_timestamp_window, None);
    // What does not have to wait does not.
    assert_discards(&mut server, nas(1000), &disconnect().octets(), Discard::NoEventTimestamp);
    server.forget_older();
    let narrow = format!("{SEPARATE}[protocol]\nevent_timestamp_window = \"10s\"\n");
    assert!(server.reload(&text(&narrow, PROXY, NASES)).is_empty());
    assert_eq!(server.configuration.protocol.event_timestamp_window, Some(Duration::from_secs(10)));
}
