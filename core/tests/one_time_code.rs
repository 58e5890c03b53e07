//! Users with a one-time code: the password, then an Access-Challenge of our own, then the code, once. RFC 2865 §4.4 and §5.24,
//! RFC 6238.

mod support;

use md5::{Digest, Md5};
use std::time::Duration;
use support::{Ask, Reply, Sent, Server, configuration, nas};
use ulna_core::event::Outcome;
use ulna_core::packet::{Code, number};
use ulna_core::time::UnixTime;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 3\n";
const SPLIT: &str = "[runtime]\nnetwork_threads = 2\nworkers = 3\n";
const DELAY: Duration = Duration::from_secs(1);

/// The seed of RFC 4226 Appendix D, whose codes are [`CODES`].
const RULES: &str = r#"
[[server.new]]
authenticate = "users"
set_session = { site = "campus" }
set_reply = { Filter-Id = "begun" }
[[server.reply]]
when = { reply = "challenge" }
set_reply = { Callback-Id = "asked" }
[[server.reply]]
when = { "session.site" = "campus" }
set_reply = { Callback-Id = "campus" }
[[user]]
name = "ann"
password = "hello"
one_time_code = { totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
reply = { Session-Timeout = 60 }
[[user]]
name = "ben"
password = "hello"
one_time_code = { totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
[[user]]
name = "alice"
password = { argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4" }
one_time_code = { totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
"#;

/// By step of 30 seconds.
const CODES: [&str; 5] = ["755224", "287082", "359152", "969429", "338314"];
/// In step 2.
const NOW: UnixTime = UnixTime(75);

fn server(settings: &str) -> Server {
    let mut server = Server::new(settings, RULES);
    server.wall_time(NOW);
    server
}

/// A request of a user, told from all others by its number.
fn ask(user: &str, password: &str, number: u32) -> Ask {
    Ask::user(user.as_bytes(), password.as_bytes()).identifier(number as u8).numbered(number)
}

fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

/// The reply that comes at once.
fn answer(server: &mut Server, port: u16, ask: &Ask) -> Reply {
    let octets = ask.octets();
    Reply::to(&octets, &only(server.ask(nas(port), &octets)).octets)
}

/// A request that is rejected when the delay is over.
fn rejected(server: &mut Server, port: u16, ask: &Ask) -> Reply {
    let octets = ask.octets();
    assert!(server.ask(nas(port), &octets).is_empty(), "a reject of ours is delayed: {}", server.table());
    server.take_sent();
    server.run(DELAY);
    let reply = Reply::to(&octets, &only(server.take_sent()).octets);
    assert_eq!(reply.code, Code::AccessReject);
    reply
}

/// The State of the challenge that the right password gets.
fn challenged(server: &mut Server, port: u16, ask: &Ask) -> Vec<u8> {
    let reply = answer(server, port, ask);
    assert_eq!(reply.code, Code::AccessChallenge, "{}", server.table());
    assert_eq!(reply.values(number::REPLY_MESSAGE), [&b"One-time code:"[..]]);
    only(reply.values(number::STATE)).to_vec()
}

fn with(ask: Ask, state: &[u8]) -> Ask {
    ask.with(number::STATE, state)
}

#[test]
fn a_password_and_then_a_code_let_a_user_in() {
    for runtime in [SEPARATE, JOINED, SPLIT] {
        let mut server = server(runtime);
        let first = answer(&mut server, 1000, &ask("ann", "hello", 1));
        assert_eq!(first.code, Code::AccessChallenge);
        let numbers: Vec<u8> = first.attributes.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [number::REPLY_MESSAGE, 20, number::STATE], "no attribute of an accept");
        assert_eq!(first.values(20), [b"asked"]);
        // By whichever port of the NAS.
        let state = only(first.values(number::STATE)).to_vec();
        let second = answer(&mut server, 2000, &with(ask("ann", CODES[2], 2), &state));
        assert_eq!(second.code, Code::AccessAccept);
        assert_eq!(second.values(number::SESSION_TIMEOUT), [[0, 0, 0, 60]]);
        assert_eq!(second.values(11), [b"begun"], "what the rule sets goes into the accept");
        assert_eq!(second.values(20), [b"campus"], "the session is remembered");
        assert_eq!(
            (server.count("challenges"), server.count("accepts"), server.count("conversations")),
            (1, 1, 0)
        );
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_wrong_password_asks_for_no_code() {
    let mut server = server(SEPARATE);
    let reply = rejected(&mut server, 1000, &ask("ann", "guess", 1));
    assert!(reply.attributes.iter().all(|(number, _)| *number != number::STATE));
    assert_eq!(server.count("challenges"), 0);
}

#[test]
fn a_wrong_code_is_rejected_and_its_state_used_up() {
    let mut server = server(SEPARATE);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    let reply = rejected(&mut server, 1000, &with(ask("ann", "000000", 2), &state));
    assert_eq!(reply.values(11), [b""; 0], "what the rule sets in an accept is in no reject");
    assert_eq!((server.count("failures"), server.count("rejects")), (1, 1));
    // The code alone is worth nothing: it is decided as new, and is no password.
    rejected(&mut server, 1000, &with(ask("ann", CODES[2], 3), &state));
    assert_eq!((server.count("failures"), server.count("states_unknown")), (2, 1));
    server.assert_nothing_is_left();
}

#[test]
fn a_state_that_was_accepted_is_good_for_nothing_more() {
    let mut server = server(SEPARATE);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    let code = with(ask("ann", CODES[2], 2), &state);
    assert_eq!(answer(&mut server, 1000, &code).code, Code::AccessAccept);
    rejected(&mut server, 1000, &with(ask("ann", CODES[3], 3), &state));
    // With the password it begins anew.
    let again = challenged(&mut server, 1000, &with(ask("ann", "hello", 4), &state));
    assert_ne!(again, state);
    let code = with(ask("ann", CODES[3], 5), &again);
    assert_eq!(answer(&mut server, 1000, &code).code, Code::AccessAccept);
}

#[test]
fn a_code_is_taken_once_whoever_asks_and_whichever_worker_checks() {
    for runtime in [SEPARATE, JOINED, SPLIT] {
        let mut server = server(runtime);
        // Each from a station of its own, and so at workers of their own.
        let with_station = |ask: Ask, station: u8| ask.with(number::CALLING_STATION_ID, &[b'a' + station]);
        let states: Vec<_> = (0..8)
            .map(|station| {
                let ask = with_station(ask("ann", "hello", station.into()), station);
                challenged(&mut server, 1000, &ask)
            })
            .collect();
        let first = with(with_station(ask("ann", CODES[2], 100), 0), &states[0]);
        assert_eq!(answer(&mut server, 1000, &first).code, Code::AccessAccept);
        for (station, state) in (1..).zip(&states[1..]) {
            let code = if station % 2 == 0 { CODES[2] } else { CODES[1] };
            rejected(
                &mut server,
                1000,
                &with(with_station(ask("ann", code, 100 + u32::from(station)), station), state),
            );
        }
        assert_eq!(server.count("codes_taken_before"), 7);
        // Another user's device shows codes of its own.
        let state = challenged(&mut server, 1000, &ask("ben", "hello", 200));
        assert_eq!(
            answer(&mut server, 1000, &with(ask("ben", CODES[2], 201), &state)).code,
            Code::AccessAccept
        );
    }
}

#[test]
fn what_was_taken_outlives_a_reload() {
    let mut server = server(SEPARATE);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    let other = challenged(&mut server, 1000, &ask("ann", "hello", 2));
    assert_eq!(answer(&mut server, 1000, &with(ask("ann", CODES[2], 3), &state)).code, Code::AccessAccept);
    server.reload(&configuration(SEPARATE, RULES));
    server.forget_older();
    // The conversation has gone on, too.
    rejected(&mut server, 1000, &with(ask("ann", CODES[2], 4), &other));
    assert_eq!((server.count("codes_taken_before"), server.count("ongoing")), (1, 2));
}

#[test]
fn a_state_is_good_for_whom_it_was_made() {
    let mut server = server(SPLIT);
    let bare = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    // Another user, who has the same device here; another station than the one that asked; another client.
    rejected(&mut server, 1000, &with(ask("ben", CODES[2], 2), &bare));
    let station = |ask: Ask, station: &[u8]| ask.with(number::CALLING_STATION_ID, station);
    let tied = challenged(&mut server, 1000, &station(ask("ann", "hello", 3), b"a"));
    rejected(&mut server, 1000, &with(station(ask("ann", CODES[2], 4), b"b"), &tied));
    let octets = with(ask("ann", CODES[2], 5), &bare).octets();
    let strict = ([203, 0, 113, 9], 1000).into();
    assert!(server.ask(strict, &octets).is_empty());
    server.take_sent();
    server.run(DELAY);
    assert_eq!(Reply::to(&octets, &only(server.take_sent()).octets).code, Code::AccessReject);
    assert_eq!((server.count("ongoing"), server.count("states_unknown")), (0, 3));
    // Nor is anybody's harmed by that.
    let code = with(station(ask("ann", CODES[2], 6), b"a"), &tied);
    assert_eq!(answer(&mut server, 1000, &code).code, Code::AccessAccept);
    let code = with(ask("ann", CODES[3], 7), &bare);
    assert_eq!(answer(&mut server, 1000, &code).code, Code::AccessAccept);
}

#[test]
fn a_state_leads_home_though_the_second_request_says_less() {
    for runtime in [JOINED, SPLIT] {
        let mut server = server(runtime);
        for number in 0..12 {
            let station = ask("ann", "hello", number).with(number::CALLING_STATION_ID, &number.to_be_bytes());
            let state = challenged(&mut server, 1000, &station);
            // By who asks it would go to one worker each time.
            rejected(&mut server, 1000, &with(ask("ann", "000000", 100 + number), &state));
        }
        assert_eq!((server.count("ongoing"), server.count("states_unknown")), (12, 0), "{}", server.table());
    }
}

#[test]
fn a_state_that_nobody_made_leads_nowhere() {
    let mut server = server(SEPARATE);
    let mut state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    state[5] ^= 1;
    rejected(&mut server, 1000, &with(ask("ann", CODES[2], 2), &state));
    // And none at all is a new request, though one is asked for a code.
    rejected(&mut server, 1000, &ask("ann", CODES[2], 3));
    assert_eq!((server.count("ongoing"), server.count("states_unknown")), (0, 1));
}

#[test]
fn a_challenge_runs_out() {
    let mut server = Server::new(&format!("[protocol]\nstate_lifetime = \"20s\"\n{SEPARATE}"), RULES);
    server.wall_time(NOW);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    let late = challenged(&mut server, 1000, &ask("ben", "hello", 2));
    server.run(Duration::from_secs(19));
    assert_eq!(answer(&mut server, 1000, &with(ask("ann", CODES[2], 3), &state)).code, Code::AccessAccept);
    server.run(Duration::from_secs(1));
    rejected(&mut server, 1000, &with(ask("ben", CODES[2], 4), &late));
    server.assert_nothing_is_left();
}

#[test]
fn at_the_bound_the_oldest_is_forgotten_and_has_to_begin_anew() {
    let mut server = Server::new(&format!("[protocol]\nstate_max = 4\n{SEPARATE}"), RULES);
    server.wall_time(NOW);
    let states: Vec<_> =
        (0..6).map(|number| challenged(&mut server, 1000, &ask("ann", "hello", number))).collect();
    assert_eq!(server.count("conversations"), 4);
    for (number, state) in (10..).zip(&states[..2]) {
        rejected(&mut server, 1000, &with(ask("ann", CODES[2], number), state));
    }
    assert_eq!(server.count("states_unknown"), 2);
    let last = with(ask("ann", CODES[2], 20), &states[5]);
    assert_eq!(answer(&mut server, 1000, &last).code, Code::AccessAccept);
}

#[test]
fn a_retransmission_gets_what_was_answered_by_whichever_connection() {
    let mut server = server(SPLIT);
    let first = ask("ann", "hello", 1).octets();
    let sent: Vec<Sent> = [1000, 1000, 2000].map(|port| only(server.ask(nas(port), &first))).into();
    assert!(sent.iter().all(|each| each.octets == sent[0].octets), "the same State");
    let state = only(Reply::to(&first, &sent[0].octets).values(number::STATE)).to_vec();
    let second = with(ask("ann", CODES[2], 2), &state).octets();
    let sent: Vec<Sent> = [1000, 1000, 3000].map(|port| only(server.ask(nas(port), &second))).into();
    assert!(sent.iter().all(|each| each.octets == sent[0].octets));
    assert_eq!(Reply::to(&second, &sent[0].octets).code, Code::AccessAccept);
    assert_eq!((server.count("repeated"), server.count("codes_taken_before")), (2, 0));
    server.assert_nothing_is_left();
}

#[test]
fn a_reject_comes_no_earlier_by_another_connection() {
    let mut server = server(SEPARATE);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    let wrong = with(ask("ann", "000000", 2), &state).octets();
    server.take_sent();
    assert!(server.ask(nas(1000), &wrong).is_empty());
    assert!(server.ask(nas(2000), &wrong).is_empty(), "it waits as well");
    server.run(DELAY);
    assert_eq!(server.take_sent().len(), 2);
    assert_eq!(server.count("failures"), 1, "it was checked once");
}

#[test]
fn codes_cannot_be_guessed_for_long() {
    let mut server = Server::new(&format!("[protocol]\nfailures_max = 3\n{SEPARATE}"), RULES);
    server.wall_time(NOW);
    let states: Vec<_> =
        (0..4).map(|number| challenged(&mut server, 1000, &ask("ann", "hello", number))).collect();
    for (number, state) in (10..).zip(&states[..3]) {
        rejected(&mut server, 1000, &with(ask("ann", "000000", number), state));
    }
    // Nor is the right one looked at any more, nor the password.
    rejected(&mut server, 1000, &with(ask("ann", CODES[2], 20), &states[3]));
    rejected(&mut server, 1000, &ask("ann", "hello", 21));
    assert_eq!((server.count("failures"), server.count("rejects_unchecked")), (3, 2));
}

#[test]
fn the_password_may_be_known_by_its_digest() {
    for runtime in [SEPARATE, JOINED] {
        let mut server = server(runtime);
        let first = ask("alice", "wonderland", 1).octets();
        assert!(server.ask(nas(1000), &first).is_empty());
        let challenge = Reply::to(&first, &only(server.answer_effect("wonderland")).octets);
        assert_eq!(challenge.code, Code::AccessChallenge);
        let state = only(challenge.values(number::STATE)).to_vec();
        let second = with(ask("alice", CODES[2], 2), &state);
        assert_eq!(answer(&mut server, 1000, &second).code, Code::AccessAccept);
        assert!(server.effects.is_empty(), "a code is hashed nowhere");
        server.assert_nothing_is_left();
    }
}

#[test]
fn chap_and_eap_leave_no_way_to_ask() {
    let mut server = server(SEPARATE);
    let digest = |password: &[u8]| {
        let digest = Md5::new().chain_update([7]).chain_update(password).chain_update([9; 16]).finalize();
        [&[7], digest.as_slice()].concat()
    };
    let chap = |password: &[u8], number: u8| {
        Ask::of(Code::AccessRequest)
            .identifier(number)
            .with(number::USER_NAME, b"ann")
            .with(number::CHAP_PASSWORD, &digest(password))
            .with(number::CHAP_CHALLENGE, &[9; 16])
    };
    rejected(&mut server, 1000, &chap(b"hello", 1));
    assert_eq!((server.count("codes_not_asked"), server.count("failures")), (1, 0));
    rejected(&mut server, 1000, &chap(b"guess", 2));
    assert_eq!((server.count("codes_not_asked"), server.count("failures")), (1, 1));
    for (number, user) in [(3, "ann"), (4, "alice")] {
        let password = if user == "ann" { "hello" } else { "wonderland" };
        let eap = ask(user, password, number).with(number::EAP_MESSAGE, &[2, 1, 0, 5, 1]);
        let reply = rejected(&mut server, 1000, &eap);
        assert_eq!(reply.values(number::EAP_MESSAGE), [[4, 1, 0, 4]]);
        assert!(server.effects.is_empty(), "nothing is hashed in vain");
    }
    assert_eq!(server.count("codes_not_asked"), 3);
}

#[test]
fn it_goes_on_though_workers_come_and_go_between_the_rounds() {
    let mut server = server(SPLIT);
    let user = |number: u32, password: &str| {
        ask("ann", password, number).with(number::CALLING_STATION_ID, &number.to_be_bytes())
    };
    let states: Vec<_> =
        (0..40).map(|number| challenged(&mut server, 1000, &user(number, "hello"))).collect();
    server.begin_change(1);
    server.settle();
    for (number, state) in (0..).zip(&states) {
        let ask = with(user(number, CODES[2]), state).identifier(100 + number as u8);
        let octets = ask.octets();
        let sent = server.ask(nas(1000), &octets);
        if number == 0 {
            assert_eq!(Reply::to(&octets, &only(sent).octets).code, Code::AccessAccept);
        } else {
            assert!(sent.is_empty(), "the code was taken");
        }
    }
    assert_eq!((server.count("ongoing"), server.count("codes_taken_before")), (40, 39));
    assert!(server.count("sent_elsewhere") > 0, "some were still with those who had them");
    server.run(Duration::from_secs(2));
    server.end_change();
    let state = challenged(&mut server, 1000, &ask("ben", "hello", 90));
    server.begin_change(4);
    server.wall_time(NOW);
    server.settle();
    let code = with(ask("ben", CODES[2], 91), &state);
    assert_eq!(answer(&mut server, 1000, &code).code, Code::AccessAccept);
    server.run(Duration::from_secs(2));
    server.end_change();
    server.assert_nothing_is_left();
}

#[test]
fn the_log_says_what_it_was() {
    let mut server = server(SEPARATE);
    let state = challenged(&mut server, 1000, &ask("ann", "hello", 1));
    answer(&mut server, 1000, &with(ask("ann", CODES[2], 2), &state));
    let text = format!("{:?}", server.events);
    for outcome in [Outcome::Challenge, Outcome::Accept] {
        assert!(text.contains(&format!("{outcome:?}")), "{text}");
    }
    for secret in ["hello", CODES[2], "GEZDG"] {
        assert!(!text.contains(secret), "{text}");
    }
}
