//! A reply of more octets than its request's buffer holds travels in a buffer of its worker's, which goes back.

mod support;

use support::{Ask, Reply, Server, nas};
use ulna_core::packet::number;

/// Accepts with `count` Reply-Messages of 253 octets.
fn rules(count: usize) -> String {
    let messages = vec![format!("\"{}\"", "m".repeat(253)); count].join(", ");
    format!("[[server.new]]\naccept = true\nset_reply = {{ Reply-Message = [{messages}] }}\n")
}

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 2\n";

#[test]
fn the_workers_buffer_goes_out_and_home() {
    let request = Ask::bob().octets();
    let mut server = Server::new(SEPARATE, &rules(3));
    server.datagram(nas(1000), &request);
    server.finish_turn(0);
    server.turn(1);
    assert_eq!(server.count("reply_buffers_lent"), 1);
    server.settle();
    assert_eq!(server.count("reply_buffers_lent"), 0);
    let reply = Reply::to(&request, &server.sent[0].octets);
    assert_eq!(reply.values(number::REPLY_MESSAGE), [&[b'm'; 253][..]; 3]);
    // The copy that is kept is whole.
    assert_eq!(server.ask(nas(1000), &request)[0].octets, server.sent[0].octets);
    server.assert_nothing_is_left();
}

#[test]
fn on_a_joined_thread_it_is_home_before_the_thread_sleeps() {
    let mut server = Server::new(JOINED, &rules(3));
    for identifier in 0..10 {
        assert_eq!(server.ask(nas(1000), &Ask::bob().identifier(identifier).octets()).len(), 1);
        assert_eq!(server.count("reply_buffers_lent"), 0);
    }
    server.assert_nothing_is_left();
}

#[test]
fn one_that_fits_needs_none_and_a_long_request_has_room_for_all() {
    let long = Ask::bob().with(number::CLASS, &[7; 253]).with(number::CLASS, &[8; 253]).octets();
    assert!(long.len() > 512);
    for (replies, request) in [(1, Ask::bob().octets()), (10, long)] {
        let mut server = Server::new(SEPARATE, &rules(replies));
        server.datagram(nas(1000), &request);
        server.finish_turn(0);
        server.turn(1);
        assert_eq!((server.sent.len(), server.count("reply_buffers_lent")), (1, 0));
        server.assert_nothing_is_left();
    }
}

#[test]
fn those_made_at_start_are_lent_before_any_other_is_made() {
    let mut server = Server::new(SEPARATE, &rules(3));
    let at_start = server.count("reply_buffers_made");
    for identifier in 0..=at_start as u8 {
        server.datagram(nas(1000), &Ask::bob().identifier(identifier).octets());
    }
    server.finish_turn(0);
    server.threads[1].begin();
    server.threads[1].work(usize::MAX, server.now);
    assert_eq!(server.count("reply_buffers_lent"), at_start + 1);
    assert_eq!(server.count("reply_buffers_made"), at_start + 1);
    server.finish_turn(1);
    server.settle();
    assert_eq!((server.count("reply_buffers_lent"), server.sent.len() as u64), (0, at_start + 1));
    server.assert_nothing_is_left();
}

#[test]
fn superseded_or_delayed_it_comes_home_all_the_same() {
    let rules = rules(4).replace("accept", "reject");
    let mut server = Server::new(SEPARATE, &rules);
    for octet in 1..=5 {
        server.datagram(nas(1000), &Ask::bob().authenticator(octet).octets());
    }
    server.finish_turn(0);
    server.turn(1);
    assert_eq!(server.count("reply_buffers_lent"), 5);
    server.settle();
    assert_eq!(server.count("reply_buffers_lent"), 0);
    server.assert_nothing_is_left();
    assert_eq!((server.count("answered"), server.count("superseded"), server.sent.len()), (1, 4, 1));
}

#[test]
fn beyond_the_longest_packet_it_is_discarded_by_name() {
    // 16 × 255 and the Message-Authenticator fit into 4 096 - 20; a Proxy-State more does not.
    let fits = 4096 - 20 - 18 - 15 * 255;
    let last = format!("\"{}\"", "m".repeat(fits - 2));
    let messages = [vec![format!("\"{}\"", "m".repeat(253)); 15], vec![last]].concat().join(", ");
    let rules = format!("[[server.new]]\naccept = true\nset_reply = {{ Reply-Message = [{messages}] }}\n");
    let mut server = Server::new(SEPARATE, &rules);
    assert_eq!(server.ask(nas(1000), &Ask::bob().octets())[0].octets.len(), 4096);
    let request = Ask::bob().identifier(2).with(number::PROXY_STATE, b"p").octets();
    assert!(server.ask(nas(1000), &request).is_empty());
    assert_eq!(server.discards(), [("reply-too-long", 1)].into());
    // Sent again it is decided again: nothing was kept.
    assert!(server.ask(nas(1000), &request).is_empty());
    assert_eq!(server.discards(), [("reply-too-long", 2)].into());
    server.assert_nothing_is_left();
}
