//! A new configuration while the server runs: what is under way ends under its own, all else is decided under the new one,
//! and no reply is ever found that another client or secret has signed. docs/reload.md.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::{Ask, HASHED, OTHER_SECRET, Reply, SECRET, Server, USERS, configuration, nas};
use ulna_core::configuration::RuntimeSettings;
use ulna_core::discard::Discard;
use ulna_core::packet::{Code, Framed, Secret, number};
use ulna_core::reload::{Refusal, Waits};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const LAYOUTS: [&str; 3] = [
    SEPARATE,
    "[runtime]\nnetwork_threads = 0\nworkers = 2\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 2\n",
];
const NETWORK: usize = 0;

fn text(secret: &[u8]) -> &str {
    std::str::from_utf8(secret).expect("it is text")
}

/// The configuration of these situations with `branch` under another name, or with other secrets.
fn with_branch(settings: &str, name: &str, secrets: &str) -> String {
    let before = format!(
        "name = \"branch\"\nnetwork = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]\nsecret = \"{}\"",
        text(SECRET)
    );
    let after = format!(
        "name = \"{name}\"\nnetwork = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]\nsecret = {secrets}"
    );
    let text = configuration(settings, USERS);
    assert!(text.contains(&before));
    text.replace(&before, &after)
}

fn quoted(secret: &[u8]) -> String {
    format!("{:?}", text(secret))
}

fn verifies(request: &[u8], reply: &[u8], secret: &[u8]) -> bool {
    let authenticator = Framed::parse(request).expect("a packet").authenticator();
    let secret = Secret::new(secret).expect("it has octets");
    Framed::parse(reply).expect("a packet").verify_reply(&secret, authenticator, true).is_ok()
}

#[test]
fn a_request_in_flight_is_answered_under_the_secret_that_verified_it() {
    for layout in LAYOUTS {
        let mut server = Server::new(layout, USERS);
        let old = Ask::bob().octets();
        let thread = server.owner(nas(1000));
        server.datagram(nas(1000), &old);
        // Another client stands before it now, and `branch` has another secret.
        let first = "[[client]]\nname = \"new\"\nnetwork = \"192.0.2.0/24\"\nsecret = \"0123456789abcdef\"\n";
        let file = with_branch(layout, "branch", &quoted(OTHER_SECRET)).replacen(
            "[[client]]",
            &format!("{first}[[client]]"),
            1,
        );
        assert_eq!(server.reload(&file), []);
        assert!(server.needs_older());
        server.finish_turn(thread);
        server.settle();
        assert!(verifies(&old, &server.take_sent()[0].octets, SECRET), "{layout}");
        // From now on the new one holds.
        let new = Ask::bob().identifier(2).forged().octets();
        assert!(verifies(&new, &server.ask(nas(1000), &new)[0].octets, OTHER_SECRET), "{layout}");
        server.ask(nas(1000), &Ask::bob().identifier(3).octets());
        assert_eq!(server.discarded(Discard::BadMessageAuthenticator), 1);
        assert!(!server.needs_older());
        server.forget_older();
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_request_is_decided_under_the_rules_and_users_with_which_it_came() {
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &Ask::bob().octets());
    server.reload(
        &configuration(SEPARATE, "[[server.new]]\nreject = true\n")
            .replace("name = \"bob\"", "name = \"eve\""),
    );
    server.finish_turn(NETWORK);
    server.settle();
    server.ask(nas(1000), &Ask::bob().identifier(2).octets());
    assert_eq!((server.count("accepts"), server.count("rejects")), (1, 1));
    server.assert_nothing_is_left();
}

fn alice() -> Ask {
    Ask::user(b"alice", b"wonderland")
}

/// A configuration without her, and with another client before `branch`, which has other secrets.
fn without_alice(layout: &str) -> String {
    let first = "[[client]]\nname = \"new\"\nnetwork = \"192.0.2.0/24\"\nsecret = \"0123456789abcdef\"\n";
    with_branch(layout, "branch", &quoted(OTHER_SECRET)).replacen(
        "[[client]]",
        &format!("{first}[[client]]"),
        1,
    )
}

#[test]
fn a_password_under_check_lets_in_who_was_a_user_when_the_request_came() {
    for layout in LAYOUTS {
        let mut server = Server::new(layout, HASHED);
        let old = alice().octets();
        assert!(server.ask(nas(1000), &old).is_empty());
        assert_eq!(server.effects.len(), 1);
        assert_eq!(server.reload(&without_alice(layout)), []);
        // The new configuration is in force; for her request the older one is kept.
        let bob = Ask::bob().identifier(2).forged().octets();
        assert!(verifies(&bob, &server.ask(nas(1001), &bob)[0].octets, OTHER_SECRET), "{layout}");
        assert!(server.needs_older(), "{layout}");
        let sent = server.answer_effect("wonderland");
        assert!(verifies(&old, &sent[0].octets, SECRET), "{layout}");
        let reply = Reply::to(&old, &sent[0].octets);
        assert_eq!(reply.code, Code::AccessAccept, "{layout}");
        assert_eq!(reply.values(number::SESSION_TIMEOUT), [[0, 0, 0, 60]]);
        assert!(!server.needs_older(), "{layout}");
        server.forget_older();
        server.assert_nothing_is_left();
    }
}

#[test]
fn nothing_is_forgotten_while_a_password_is_under_check() {
    let mut server = Server::new(SEPARATE, HASHED);
    let request = alice().octets();
    server.ask(nas(1000), &request);
    server.reload(&without_alice(SEPARATE));
    let forgets = catch_unwind(AssertUnwindSafe(|| server.forget_older()));
    assert!(forgets.is_err(), "it must not be forgotten");
    let sent = server.answer_effect("wonderland");
    assert!(verifies(&request, &sent[0].octets, SECRET));
    server.forget_older();
    server.assert_nothing_is_left();
}

#[test]
fn an_unsigned_request_is_tried_under_the_secrets_of_its_own_configuration() {
    let both = format!("[{}, {}]", quoted(OTHER_SECRET), quoted(SECRET));
    let hashed = with_branch(SEPARATE, "branch", &both);
    let hashed = hashed.replace(USERS, HASHED);
    let mut server = Server::of(&hashed);
    let request = alice().unsigned().octets();
    server.ask(nas(1000), &request);
    // Neither of its secrets is there any more.
    let third = "\"a third of sixteen octets\"";
    server.reload(&with_branch(SEPARATE, "branch", third).replace(USERS, HASHED));
    assert!(server.answer_effect("wonderland").is_empty(), "under the newer of the two it was noise");
    assert!(server.needs_older());
    let sent = server.answer_effect("wonderland");
    assert!(verifies(&request, &sent[0].octets, SECRET));
    assert!(!server.needs_older());
    server.forget_older();
    server.assert_nothing_is_left();
}

#[test]
fn a_request_that_waits_in_vain_ends_under_its_own_configuration() {
    let mut server = Server::new(SEPARATE, HASHED);
    server.ask(nas(1000), &alice().octets());
    server.ask(nas(1001), &alice().identifier(2).octets());
    server.reload(&without_alice(SEPARATE));
    // One is superseded by a request of the new configuration.
    server.ask(nas(1000), &Ask::bob().forged().authenticator(9).octets());
    assert_eq!((server.count("superseded"), server.count("requests_held")), (1, 1));
    assert!(server.needs_older());
    server.run(server.configuration.protocol.request_timeout);
    assert_eq!((server.discarded(Discard::EffectTimedOut), server.count("requests_held")), (1, 0));
    assert!(!server.needs_older());
    server.forget_older();
    // Late answers find nobody.
    for _ in 0..2 {
        assert!(server.answer_effect("wonderland").is_empty());
    }
    server.assert_nothing_is_left();
}

#[test]
fn failures_are_counted_for_a_client_by_its_name() {
    let settings = format!("{SEPARATE}[protocol]\nfailures_max = 1\n");
    let mut server = Server::new(&settings, HASHED);
    server.ask(nas(1000), &alice().octets());
    server.answer_effect("looking-glass");
    let first = "[[client]]\nname = \"new\"\nnetwork = \"192.0.2.0/24\"\nsecret = \"0123456789abcdef\"\n";
    let file = configuration(&settings, HASHED).replacen("[[client]]", &format!("{first}[[client]]"), 1);
    server.reload(&file);
    server.forget_older();
    // She is shut out at `branch`, wherever that stands in the file.
    server.ask(nas(1001), &alice().identifier(2).octets());
    assert_eq!((server.effects.len(), server.count("rejects_unchecked")), (0, 1));
    server.run(server.configuration.protocol.reject_delay);
    server.assert_nothing_is_left();
}

#[test]
fn a_kept_reply_outlives_reloads_as_long_as_its_secret_does() {
    let rotating = format!("[{}, {}]", quoted(OTHER_SECRET), quoted(SECRET));
    for sign in [true, false] {
        let mut server = Server::new(SEPARATE, USERS);
        let ask = if sign { Ask::bob() } else { Ask::bob().unsigned() };
        let request = ask.octets();
        let reply = server.ask(nas(1000), &request)[0].octets.clone();
        // Nothing of it has changed.
        server.reload(&configuration(SEPARATE, USERS));
        server.forget_older();
        assert_eq!(server.ask(nas(1000), &request)[0].octets, reply);
        // The secret is the old one of two now.
        server.reload(&with_branch(SEPARATE, "branch", &rotating));
        server.forget_older();
        let again = server.ask(nas(1000), &request);
        if sign {
            assert_eq!(again[0].octets, reply);
            assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (1, 2));
        } else {
            // Nothing tells which of the two an unsigned one is under: it is decided anew, and its password tells.
            assert!(verifies(&request, &again[0].octets, SECRET));
            assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (2, 1));
        }
        // It is gone.
        server.reload(&with_branch(SEPARATE, "branch", &quoted(OTHER_SECRET)));
        server.forget_older();
        let again = server.ask(nas(1000), &request);
        if sign {
            assert_eq!((again.len(), server.discarded(Discard::BadMessageAuthenticator)), (0, 1));
        } else {
            // Under the new secret the password is noise; the reject waits, and is signed with the new secret.
            assert_eq!(again.len(), 0);
            server.run(server.configuration.protocol.reject_delay);
            assert!(verifies(&request, &server.sent.last().expect("a reject").octets, OTHER_SECRET));
        }
        server.assert_nothing_is_left();
    }
}

#[test]
fn another_client_with_the_same_address_and_secret_gets_no_reply_that_was_kept_for_the_first() {
    let mut server = Server::new(SEPARATE, USERS);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    server.reload(&with_branch(SEPARATE, "somebody", &quoted(SECRET)));
    server.ask(nas(1000), &request);
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (2, 0));
    server.assert_nothing_is_left();
}

#[test]
fn a_duplicate_of_a_request_in_flight_supersedes_it_where_the_client_is_another() {
    for (name, superseded) in [("branch", 0), ("somebody", 1)] {
        let mut server = Server::new(SEPARATE, USERS);
        let request = Ask::bob().octets();
        server.datagram(nas(1000), &request);
        server.finish_turn(NETWORK);
        server.reload(&with_branch(SEPARATE, name, &quoted(SECRET)));
        server.datagram(nas(1000), &request);
        server.finish_turn(NETWORK);
        server.settle();
        assert_eq!(
            (server.count("superseded"), server.count("duplicates_in_progress")),
            (superseded, 1 - superseded)
        );
        assert!(!server.needs_older());
        server.forget_older();
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_delayed_reject_leaves_under_its_own_secret() {
    let mut server = Server::new(SEPARATE, USERS);
    let request = Ask::wrong().octets();
    server.ask(nas(1000), &request);
    server.reload(&with_branch(SEPARATE, "branch", &quoted(OTHER_SECRET)));
    assert!(!server.needs_older(), "its octets are made");
    server.forget_older();
    server.run(server.configuration.protocol.reject_delay);
    assert_eq!(Reply::to(&request, &server.take_sent()[0].octets).code, Code::AccessReject);
    server.assert_nothing_is_left();
}

#[test]
fn status_server_is_answered_under_the_secret_that_verified_it() {
    let mut server = Server::new(SEPARATE, USERS);
    let request = Ask::status().octets();
    server.datagram(nas(1000), &request);
    server.reload(&with_branch(SEPARATE, "branch", &quoted(OTHER_SECRET)));
    assert!(server.needs_older());
    server.finish_turn(NETWORK);
    assert_eq!(Reply::to(&request, &server.take_sent()[0].octets).code, Code::AccessAccept);
    server.forget_older();
}

#[test]
fn a_configuration_that_is_only_known_changes_nothing() {
    let mut server = Server::new(SEPARATE, USERS);
    server.learn(&with_branch(SEPARATE, "branch", &quoted(OTHER_SECRET)));
    let request = Ask::bob().octets();
    assert!(verifies(&request, &server.ask(nas(1000), &request)[0].octets, SECRET));
}

#[test]
fn nothing_is_forgotten_that_a_request_needs() {
    let mut server = Server::new(SEPARATE, USERS);
    server.datagram(nas(1000), &Ask::bob().octets());
    server.reload(&configuration(SEPARATE, USERS));
    let forgets = catch_unwind(AssertUnwindSafe(|| server.forget_older()));
    assert!(forgets.is_err(), "it must not be forgotten");
    let learns = catch_unwind(AssertUnwindSafe(|| server.reload(&configuration(SEPARATE, USERS))));
    assert!(learns.is_err(), "nor is there room for a third");
}

#[test]
fn three_hundred_reloads_with_requests_under_way_through_each() {
    for layout in LAYOUTS {
        let mut server = Server::new(layout, USERS);
        let files = [
            configuration(layout, USERS),
            with_branch(layout, "branch", &format!("[{}, {}]", quoted(SECRET), quoted(OTHER_SECRET))),
        ];
        for round in 0..300u16 {
            let request = Ask::bob().identifier(round as u8).authenticator((round >> 8) as u8).octets();
            server.datagram(nas(1000 + round), &request);
            server.reload(&files[usize::from(round % 2)]);
            for thread in 0..server.threads.len() {
                server.finish_turn(thread);
            }
            server.settle();
            assert!(!server.needs_older());
            server.forget_older();
        }
        assert_eq!((server.count("accepts"), server.take_sent().len()), (300, 300));
        server.assert_nothing_is_left();
    }
}

#[test]
fn more_workers_are_refused_where_they_do_not_fit_with_the_sizes_that_stay() {
    let large = "[runtime]\nnetwork_threads = 16\nworkers = 1\nrequests_max = 65536\nring_slots = 65536\n";
    let parsed = |settings: &str| {
        let text = configuration(settings, USERS);
        ulna_config::parse(&text, "test.toml", ulna_config::Cores(2)).expect("the file by itself is right").0
    };
    let running = parsed(large);
    // By itself the new file is small: it lowers the sizes, too. They stay until a restart.
    let small = large.replace("65536", "64");
    let mut asked = parsed(&small.replace("workers = 1", "workers = 256"));
    let refusal = asked.follow(&running).expect_err("it would not fit");
    let Refusal::TooLarge { workers, octets } = refusal;
    assert_eq!(workers, 256);
    assert!(octets > 64 << 30, "{octets}");
    assert!(refusal.to_string().contains("`workers` = 256"), "{refusal}");
    assert_eq!(asked.runtime.workers, 256, "nothing has been taken over");
    assert_eq!(asked.runtime.ring_slots, 64, "nothing has been taken over");
    // As many as fit are had, and what waits is told.
    let mut asked = parsed(&small.replace("workers = 1", "workers = 2"));
    assert_eq!(asked.follow(&running), Ok(vec![Waits::Key("ring_slots"), Waits::Key("requests_max")]));
    assert_eq!(asked.runtime, RuntimeSettings { workers: 2, ..running.runtime.clone() });
}

#[test]
fn what_is_fixed_from_start_to_exit_is_named_and_stays() {
    let mut server = Server::new(SEPARATE, USERS);
    let file = configuration(
        "[runtime]\nnetwork_threads = 2\nworkers = 3\nsignal = \"always\"\nlinger_max = \"0s\"\nlinger_cpu = 6\nring_slots = 64\nrequests_max = 7\nreceive_buffer_octets = 5000\n\
         dedup_entries_max = 9\nreplies_octets_max = 70000\nstreams_octets_max = 80000\n\
         hash_threads = 5\nhash_line_max = 6\n[protocol]\nreject_delay = \"2s\"\nrequest_timeout = \"9s\"\n\
         delayed_rejects_max = 3\ndedup_lifetime = \"7s\"\nfailures_max = 4\nfailure_window = \"8s\"\n[log]\nrequests = false\n",
        USERS,
    );
    let file = file
        .replace("192.0.2.1:1812", "192.0.2.1:1899")
        .replace("[\"accounting\", \"status\"]", "[\"accounting\"]");
    let running = (server.configuration.runtime.clone(), server.configuration.protocol.clone());
    let key = Waits::Key;
    assert_eq!(
        server.reload(&file),
        [
            key("network_threads"),
            key("signal"),
            key("linger_max"),
            key("linger_cpu"),
            key("ring_slots"),
            key("requests_max"),
            key("receive_buffer_octets"),
            key("dedup_entries_max"),
            key("replies_octets_max"),
            key("streams_octets_max"),
            key("hash_threads"),
            key("hash_line_max"),
            key("delayed_rejects_max"),
            key("dedup_lifetime"),
            key("failures_max"),
            key("failure_window"),
            Waits::GoneAddress("192.0.2.1:1812".parse().unwrap()),
            Waits::NewAddress("192.0.2.1:1899".parse().unwrap()),
        ]
    );
    let (runtime, protocol) = running;
    // Workers come and go while it runs.
    assert_eq!(server.configuration.runtime, RuntimeSettings { workers: 3, ..runtime });
    assert_eq!(server.configuration.protocol.reject_delay.as_secs(), 2);
    assert_eq!(server.configuration.protocol.request_timeout.as_secs(), 9);
    let kept = &server.configuration.protocol;
    assert_eq!(kept.dedup_lifetime, protocol.dedup_lifetime);
    assert_eq!((kept.failures_max, kept.failure_window), (protocol.failures_max, protocol.failure_window));
    assert!(!server.configuration.log.requests, "lines come and go");
    // What comes to an address that is gone is discarded by name; what the other takes has changed.
    assert!(server.ask(nas(1000), &Ask::bob().octets()).is_empty());
    assert!(server.ask_accounting(nas(1000), &Ask::status().octets()).is_empty());
    assert_eq!(server.discarded(Discard::UnexpectedCode), 2);
    // It is told once, and taken back where it returns.
    server.forget_older();
    assert_eq!(server.reload(&configuration(SEPARATE, USERS)), []);
    assert_eq!(server.ask(nas(1000), &Ask::bob().octets()).len(), 1);
    server.forget_older();
    server.assert_nothing_is_left();
}
