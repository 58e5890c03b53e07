//! Users of whom an Argon2 digest is known: their User-Password is checked elsewhere, and nothing else lets them in.

mod support;

use md5::{Digest, Md5};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Ask, HASHED, OTHER_SECRET, Reply, SECRET, Server, configuration, nas};
use ulna_core::effect::Effect;
use ulna_core::event::Event;
use ulna_core::packet::{Code, number};
use ulna_core::policy::{Asked, ConfiguredRules, Policy, Verdict};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const DELAY: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

fn server(settings: &str) -> Server {
    Server::of(&configuration(&format!("{SEPARATE}{settings}"), HASHED))
}

fn alice() -> Ask {
    Ask::user(b"alice", b"wonderland")
}

/// An Access-Request with the CHAP-Password of this password (RFC 2865 §5.3), its authenticator the challenge.
fn chap(password: &[u8]) -> Ask {
    let digest = Md5::new().chain_update([7]).chain_update(password).chain_update([1; 16]).finalize();
    Ask::of(Code::AccessRequest)
        .with(number::USER_NAME, b"alice")
        .with(number::CHAP_PASSWORD, &[&[7], digest.as_slice()].concat())
}

fn rejected(server: &mut Server, request: &Ask) {
    let octets = request.octets();
    assert!(server.ask(nas(1000), &octets).is_empty());
    assert!(server.effects.is_empty(), "nothing is hashed");
    server.run(DELAY);
    let sent = server.sent.pop().expect("a reject comes");
    assert_eq!(Reply::to(&octets, &sent.octets).code, Code::AccessReject);
}

#[test]
fn the_right_password_is_accepted_with_the_attributes_of_the_user() {
    let mut server = server("");
    let request = alice().octets();
    server.ask(nas(1000), &request);
    let Effect::CheckPassword { hash, password } = &server.effects[0].2 else { panic!("it is hashed") };
    assert_eq!((hash.memory_kibibytes, hash.passes, password.octets()), (256, 2, &b"wonderland"[..]));
    let sent = server.answer_effect("wonderland");
    let reply = Reply::to(&request, &sent[0].octets);
    assert_eq!(reply.code, Code::AccessAccept);
    assert_eq!(reply.values(number::SESSION_TIMEOUT), [[0, 0, 0, 60]]);
    server.assert_nothing_is_left();
}

#[test]
fn the_reject_of_a_wrong_one_comes_when_that_of_an_unknown_name_comes() {
    for waited in [Duration::ZERO, DELAY / 2, DELAY - INSTANT] {
        let mut server = server("");
        let asked = server.now;
        server.ask(nas(1000), &alice().octets());
        server.ask(nas(1001), &Ask::user(b"nobody", b"wonderland").octets());
        server.run(waited);
        assert!(server.answer_effect("looking-glass").is_empty());
        server.run(DELAY - waited - INSTANT);
        assert!(server.sent.is_empty());
        server.run(INSTANT);
        assert_eq!((server.now, server.sent.len()), (asked + DELAY, 2));
        assert!(server.sent.iter().all(|sent| sent.octets[0] == 3));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_reject_that_was_long_in_line_comes_at_once() {
    let mut server = server("");
    server.ask(nas(1000), &alice().octets());
    server.run(DELAY * 3);
    server.answer_effect("looking-glass");
    assert_eq!(server.sent.len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn chap_never_lets_in_not_even_with_the_digest_of_nothing() {
    let mut server = server("");
    rejected(&mut server, &chap(b"wonderland"));
    rejected(&mut server, &chap(b"").identifier(4));
    // Of who has no password at all nothing is hashed, and it is no guess.
    rejected(&mut server, &Ask::of(Code::AccessRequest).with(number::USER_NAME, b"alice").identifier(2));
    rejected(&mut server, &Ask::user(b"alice", b"").identifier(3));
    server.assert_nothing_is_left();
}

#[test]
fn an_unsigned_request_is_tried_under_both_secrets_of_its_client_one_after_the_other() {
    let old = std::str::from_utf8(OTHER_SECRET).expect("it is text");
    let new = std::str::from_utf8(SECRET).expect("it is text");
    let text = configuration(SEPARATE, HASHED).replacen(
        &format!("secret = \"{new}\""),
        &format!("secret = [\"{new}\", \"{old}\"]"),
        1,
    );
    let mut server = Server::of(&text);
    // Its NAS still has the old one.
    let request = alice().unsigned().forged().octets();
    server.ask(nas(1000), &request);
    assert!(server.answer_effect("wonderland").is_empty(), "under the new secret its password is noise");
    assert_eq!((server.effects.len(), server.count("failures")), (1, 0));
    let sent = server.answer_effect("wonderland");
    assert_eq!((sent.len(), sent[0].octets[0]), (1, 2));
    // A signed one says which.
    server.ask(nas(1000), &alice().identifier(2).octets());
    server.answer_effect("looking-glass");
    assert_eq!((server.effects.len(), server.count("failures")), (0, 1));
    server.assert_nothing_is_left();
}

#[test]
fn who_fails_too_often_is_rejected_unseen_until_the_window_is_over() {
    for (user, right) in [(&b"alice"[..], &b"wonderland"[..]), (b"bob", b"hello")] {
        let mut server = server("[protocol]\nfailures_max = 3\nfailure_window = \"60s\"\n");
        let asked = server.now;
        let mut identifier = 0;
        let mut ask = |server: &mut Server, password: &[u8], station: &[u8]| {
            identifier += 1;
            let ask =
                Ask::user(user, password).identifier(identifier).with(number::CALLING_STATION_ID, station);
            server.ask(nas(1000), &ask.octets());
            if !server.effects.is_empty() {
                server.answer_effect(std::str::from_utf8(right).expect("it is text"));
            }
            server.run(DELAY);
            server.sent.pop().expect("each is answered").octets[0]
        };
        for _ in 0..3 {
            assert_eq!(ask(&mut server, b"guess", b"00-11"), 3);
        }
        let effects = server.count("effects");
        assert_eq!(ask(&mut server, right, b"00-11"), 3, "not even the right one is looked at");
        assert_eq!((server.count("failures"), server.count("rejects_unchecked")), (3, 1));
        assert_eq!(server.count("effects"), effects);
        assert_eq!(ask(&mut server, right, b"00-22"), 2, "from elsewhere it is");
        server.run(Duration::from_secs(60) - server.now.saturating_since(asked));
        assert_eq!(ask(&mut server, right, b"00-11"), 2);
        server.assert_nothing_is_left();
    }
}

#[test]
fn unknown_names_are_not_counted() {
    let mut server = server("[protocol]\nfailures_max = 1\n");
    for identifier in 0..5 {
        rejected(&mut server, &Ask::user(b"nobody", b"guess").identifier(identifier));
    }
    assert_eq!((server.count("failures"), server.count("rejects_unchecked")), (0, 0));
    server.assert_nothing_is_left();
}

/// The rules of the configuration, and how often they are asked.
struct Counting(Arc<AtomicUsize>, ConfiguredRules);

impl Policy for Counting {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.decide(asked)
    }
}

#[test]
fn policy_is_asked_once_and_its_verdict_is_kept() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let policy = move |configuration: Arc<ulna_core::Configuration>| {
        Box::new(Counting(Arc::clone(&count), ConfiguredRules::new(configuration))) as Box<dyn Policy + Send>
    };
    let rules = HASHED.replacen("\"users\"", "\"users\"\nset_reply = { Class = \"0x78\" }", 1);
    let mut server = Server::with(&configuration(SEPARATE, &rules), policy);
    let request = alice().octets();
    server.ask(nas(1000), &request);
    let sent = server.answer_effect("wonderland");
    let reply = Reply::to(&request, &sent[0].octets);
    assert_eq!((reply.code, reply.values(number::CLASS)), (Code::AccessAccept, vec![&b"x"[..]]));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    server.ask(nas(1000), &alice().identifier(2).octets());
    server.shed_effect();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let decided = |event: &Event| match event {
        Event::Finished { decided, .. } => decided.and_then(|decided| decided.rule),
        Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    };
    let rules: Vec<_> = server.events.iter().map(decided).collect();
    assert_eq!(rules, [Some(1), Some(1)], "the log says which rule decided, of a discard, too");
    server.assert_nothing_is_left();
}
