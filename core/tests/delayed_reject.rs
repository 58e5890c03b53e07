//! An Access-Reject of our own waits, against guessing. RFC 2865 §2.5 leaves the span to the server.

mod support;

use std::time::Duration;
use support::{Ask, Reply, Server, USERS, nas};
use ulna_core::discard::Discard;
use ulna_core::packet::{Code, number};
use ulna_core::time::Cause;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const DELAY: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

// checklist 50
#[test]
fn it_leaves_when_its_time_has_come_and_not_before() {
    for layout in [SEPARATE, "[runtime]\nnetwork_threads = 0\nworkers = 2\n"] {
        let request = Ask::wrong().octets();
        let mut server = Server::new(layout, USERS);
        let asked = server.now;
        assert!(server.ask(nas(1000), &request).is_empty());
        assert_eq!((server.count("delayed_rejects"), server.count("in_progress")), (1, 0));
        server.run(DELAY - INSTANT);
        assert!(server.sent.is_empty());
        server.run(INSTANT);
        assert_eq!(server.now, asked + DELAY);
        assert_eq!(server.sent.len(), 1);
        assert_eq!(Reply::to(&request, &server.sent[0].octets).code, Code::AccessReject);
        assert_eq!((server.count("delayed_rejects"), server.count("answered")), (0, 1));
        server.assert_nothing_is_left();
    }
}

#[test]
fn duplicates_meanwhile_are_in_progress_and_afterwards_get_the_same_octets() {
    let request = Ask::wrong().octets();
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &request);
    for _ in 0..3 {
        server.run(DELAY / 4);
        assert!(server.ask(nas(1000), &request).is_empty());
    }
    assert_eq!((server.count("duplicates_in_progress"), server.count("decisions")), (3, 1));
    server.run(DELAY / 4);
    assert_eq!(server.sent.len(), 1, "duplicates do not put it off");
    assert_eq!(server.ask(nas(1000), &request)[0].octets, server.sent[0].octets);
    assert_eq!((server.count("duplicates_resent"), server.count("decisions")), (1, 1));
    server.assert_nothing_is_left();
}

#[test]
fn superseded_meanwhile_it_never_leaves() {
    let (old, new) = (Ask::wrong().octets(), Ask::bob().authenticator(2).octets());
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &old);
    server.run(DELAY / 2);
    assert_eq!(Reply::to(&new, &server.ask(nas(1000), &new)[0].octets).code, Code::AccessAccept);
    server.run(DELAY);
    assert_eq!(server.sent.len(), 1);
    assert_eq!((server.count("answered"), server.count("superseded")), (1, 1));
    assert_eq!(server.ask(nas(1000), &new)[0].octets, server.sent[0].octets);
    server.assert_nothing_is_left();
}

#[test]
fn beyond_the_bound_a_reject_is_discarded_by_name_and_never_sent_early() {
    let settings = format!("{SEPARATE}[protocol]\ndelayed_rejects_max = 2\n");
    let mut server = Server::new(&settings, USERS);
    for identifier in 0..3 {
        assert!(server.ask(nas(1000), &Ask::wrong().identifier(identifier).octets()).is_empty());
    }
    assert_eq!(server.discards(), [("delayed-rejects-full", 1)].into());
    server.run(DELAY);
    let identifiers: Vec<_> = server.sent.iter().map(|sent| sent.octets[1]).collect();
    assert_eq!(identifiers, [0, 1]);
    // The NAS sends the third again: it is decided anew, and this time there is room.
    server.ask(nas(1000), &Ask::wrong().identifier(2).octets());
    server.run(DELAY);
    assert_eq!((server.sent.len(), server.count("decisions"), server.count("answered")), (3, 4, 3));
    assert_eq!(server.discarded(Discard::DelayedRejectsFull), 1);
    server.assert_nothing_is_left();
}

#[test]
fn with_no_room_at_all_every_reject_is_discarded_and_accepts_are_not() {
    let settings = format!("{SEPARATE}[protocol]\ndelayed_rejects_max = 0\n");
    let mut server = Server::new(&settings, USERS);
    assert!(server.ask(nas(1000), &Ask::wrong().octets()).is_empty());
    assert_eq!(server.ask(nas(1001), &Ask::bob().octets()).len(), 1);
    server.run(DELAY);
    assert_eq!(server.sent.len(), 1);
    assert_eq!(server.discards(), [("delayed-rejects-full", 1)].into());
    server.assert_nothing_is_left();
}

#[test]
fn without_a_delay_it_leaves_at_once_whatever_the_bound() {
    let settings = format!("{SEPARATE}[protocol]\nreject_delay = \"0s\"\ndelayed_rejects_max = 0\n");
    let request = Ask::wrong().octets();
    let mut server = Server::new(&settings, USERS);
    let sent = server.ask(nas(1000), &request);
    assert_eq!(Reply::to(&request, &sent[0].octets).code, Code::AccessReject);
    server.assert_nothing_is_left();
}

#[test]
fn a_draining_server_waits_for_it() {
    let mut server = Server::new(SEPARATE, USERS);
    server.ask(nas(1000), &Ask::wrong().octets());
    assert!(!server.threads[0].is_drained());
    server.run(DELAY);
    assert!(server.threads[0].is_drained());
    assert_eq!(server.sent.len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn many_leave_in_the_order_in_which_they_were_asked_for() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 1\nworkers = 3\n", USERS);
    for identifier in 0..200u8 {
        // Several users, so that all workers have a part of them.
        let name = [b'u', b'0' + identifier % 10];
        server.ask(nas(1000), &Ask::user(&name, b"guess").identifier(identifier).octets());
        server.run(Duration::from_millis(1));
    }
    server.run(DELAY);
    let identifiers: Vec<_> = server.sent.iter().map(|sent| sent.octets[1]).collect();
    assert_eq!(identifiers, (0..200).collect::<Vec<_>>());
    server.assert_nothing_is_left();
}

/// One page for replies, which a single short one keeps from longer ones.
const ONE_PAGE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\nreplies_octets_max = 65_536\n";

/// Room for 2 500 octets of Proxy-States in its reply.
fn long(ask: Ask) -> Ask {
    (0..10).fold(ask, |ask, _| ask.with(number::PROXY_STATE, &[7; 250]))
}

#[test]
fn a_long_one_waits_and_leaves_though_short_replies_fill_the_store() {
    let mut server = Server::new(ONE_PAGE, USERS);
    let request = long(Ask::wrong()).octets();
    for identifier in 0..50 {
        server.ask(nas(1001), &Ask::bob().identifier(identifier).octets());
    }
    assert!(server.ask(nas(1000), &request).is_empty());
    server.run(DELAY);
    assert_eq!((server.sent.len(), server.discards().len()), (51, 0), "{}", server.table());
    let sent = server.sent.last().unwrap().octets.clone();
    assert_eq!(Reply::to(&request, &sent).values(number::PROXY_STATE), [&[7; 250][..]; 10]);
    // It was kept when it left, for which the short ones had to go.
    assert_eq!(server.ask(nas(1000), &request)[0].octets, sent);
    assert_eq!((server.count("replies_evicted"), server.count("replies_not_kept")), (50, 0));
    server.assert_nothing_is_left();
}

#[test]
fn each_waits_in_its_own_buffer_and_leaves_though_the_store_gives_it_up_at_once() {
    // Rejects of 2 500 octets go into chunks of 4 096, of which the one page of replies holds sixteen.
    let rules = format!(
        "[[server.new]]\nreject = true\nset_reply = {{ Reply-Message = [{}] }}\n",
        vec![format!("\"{}\"", "x".repeat(250)); 10].join(",")
    );
    let mut server = Server::new(ONE_PAGE, &rules);
    for identifier in 0..40 {
        assert!(server.ask(nas(1000), &Ask::bob().identifier(identifier).octets()).is_empty());
    }
    assert_eq!((server.count("delayed_rejects"), server.count("in_progress")), (40, 0));
    assert_eq!((server.count("buffers_lent"), server.count("reply_buffers_lent")), (40, 0));
    server.run(DELAY);
    let identifiers: Vec<_> = server.sent.iter().map(|sent| sent.octets[1]).collect();
    assert_eq!(identifiers, (0..40).collect::<Vec<_>>());
    assert_eq!((server.discards().len(), server.count("buffers_lent")), (0, 0));
    assert_eq!((server.count("replies_evicted"), server.count("replies_not_kept")), (24, 0));
    server.assert_nothing_is_left();
}

#[test]
fn one_of_an_unsigned_request_leaves_though_signed_replies_fill_the_store() {
    let mut server = Server::new(ONE_PAGE, USERS);
    for identifier in 0..16 {
        server.ask(nas(1001), &long(Ask::bob()).identifier(identifier).octets());
    }
    let request = Ask::wrong().unsigned().octets();
    server.ask(nas(1000), &request);
    server.run(DELAY);
    assert_eq!((server.sent.len(), server.discards().len()), (17, 0), "{}", server.table());
    assert_eq!((server.count("replies_evicted"), server.count("replies_not_kept")), (0, 1));
    assert!(server.ask(nas(1000), &request).is_empty(), "answered, and not to be made again");
    assert_eq!(server.discards(), [("reply-not-kept", 1)].into());
    server.assert_nothing_is_left();
}

#[test]
fn those_that_wait_take_no_buffer_from_requests() {
    // Of its own the pool has three buffers: one request with the worker, two strays on a ring.
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 2\nrequests_max = 1\n";
    let mut server = Server::new(&format!("{settings}[protocol]\ndelayed_rejects_max = 8\n"), USERS);
    for identifier in 0..8 {
        server.ask(nas(1000), &Ask::wrong().identifier(identifier).octets());
    }
    assert_eq!((server.count("delayed_rejects"), server.count("buffers_lent")), (8, 8));
    for identifier in 8..16 {
        assert_eq!(server.ask(nas(1000), &Ask::bob().identifier(identifier).octets()).len(), 1);
    }
    server.run(DELAY);
    assert_eq!((server.sent.len(), server.discards().len()), (16, 0));
    server.assert_nothing_is_left();
}

#[test]
fn nothing_wakes_its_thread_before_its_time() {
    let settings = format!("{SEPARATE}[protocol]\nreject_delay = \"5s\"\n");
    let mut server = Server::new(&settings, USERS);
    server.ask(nas(1000), &Ask::wrong().octets());
    let due = server.now + Duration::from_secs(5);
    // What may still lie in rings is looked for once.
    server.run(DELAY);
    assert_eq!(server.threads[0].poll_timeout(), Some((due, Cause::DelayedReject)));
    server.run(4 * DELAY);
    assert_eq!(server.sent.len(), 1);
    server.assert_nothing_is_left();
}

/// Anybody can send unsigned requests with a wrong password.
#[test]
fn those_of_unsigned_requests_leave_half_of_the_line_to_signed_ones() {
    let mut server = Server::new(&format!("{SEPARATE}[protocol]\ndelayed_rejects_max = 4\n"), USERS);
    for identifier in 0..3 {
        server.ask(nas(1000), &Ask::wrong().unsigned().identifier(identifier).octets());
    }
    assert_eq!(server.discards(), [("delayed-rejects-full", 1)].into());
    for identifier in 0..3 {
        server.ask(nas(1000), &Ask::wrong().identifier(identifier).octets());
    }
    assert_eq!(server.discards(), [("delayed-rejects-full", 2)].into(), "the line of four is full");
    server.run(DELAY);
    assert_eq!(server.sent.len(), 4);
    // The line is empty again for both.
    server.ask(nas(1000), &Ask::wrong().unsigned().identifier(9).octets());
    server.run(DELAY);
    assert_eq!(server.sent.len(), 5);
    server.assert_nothing_is_left();
}
