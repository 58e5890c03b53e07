//! Rounds of one conversation go to one remote server, whatever the States look like, by whichever connection they come, and though
//! a State is lost on the way. RFC 2865 §5.24, RFC 5080 §2.1.1 and §2.2.2.

mod support;

use std::time::Duration;
use support::{Ask, Forwarded, Reply, Sent, Server, nas};
use ulna_core::discard::Discard;
use ulna_core::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 2\n";

/// Two servers that take turns, and a rule that looks into the session.
const FARM: &str = r#"
[[server.new]]
proxy = "farm"
set_session = { site = "campus" }
set_request = { Operator-Name = "1example.org" }
set_reply = { Filter-Id = "begun" }
[[server.reply]]
when = { "session.site" = "campus" }
set_reply = { Reply-Message = "campus" }

[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
response_window = "2s"
zombie_period = "2s"
[[remote_server]]
name = "two"
address = "203.0.113.6:1812"
secret = "a secret of the remote servers"
response_window = "2s"
zombie_period = "2s"
[[pool]]
name = "farm"
balance = "round-robin"
remote_servers = ["one", "two"]
[[realm]]
name = "example.edu"
pool = "farm"
[[realm]]
name = "example.org"
pool = "farm"
"#;

fn answer(to: &Forwarded, code: Code, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), MessageAuthenticator::First);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    let secret = Secret::new(b"a secret of the remote servers").expect("it has octets");
    encoder.finish_reply(&secret, request.authenticator());
    out
}

fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

/// A request of a user's EAP conversation: the round, its State, its device.
fn round(user: &str, number: u8, state: Option<&[u8]>, device: Option<&[u8]>) -> Ask {
    let kind = if number == 0 { 1 } else { 25 };
    let mut ask = Ask::of(Code::AccessRequest)
        .identifier(number)
        .authenticator(number ^ user.len() as u8 ^ device.map_or(0, |device| device[0]))
        .with(number::USER_NAME, user.as_bytes())
        .with(number::EAP_MESSAGE, &[2, number, 0, 5, kind]);
    if let Some(state) = state {
        ask = ask.with(number::STATE, state);
    }
    if let Some(device) = device {
        ask = ask.with(number::CALLING_STATION_ID, device);
    }
    ask
}

/// Asks, and what went on.
fn forwarded(server: &mut Server, port: u16, ask: &Ask) -> Forwarded {
    let sent = server.ask(nas(port), &ask.octets());
    assert!(sent.is_empty(), "it waits for a server: {}", server.table());
    only(server.take_forwarded())
}

fn challenge(server: &mut Server, to: &Forwarded, state: &[u8]) -> Sent {
    let challenge = answer(to, Code::AccessChallenge, &[(number::STATE, state)]);
    only(server.remote_reply(to, &challenge))
}

// checklist 27
#[test]
fn each_round_goes_to_the_server_of_the_first_and_is_edited_as_that_was() {
    for runtime in [SEPARATE, JOINED] {
        let mut server = Server::new(runtime, FARM);
        let users: Vec<String> = (0..8).map(|user| format!("user{user}@example.edu")).collect();
        let mut homes = Vec::new();
        for (port, user) in (1000..).zip(&users) {
            let first = forwarded(&mut server, port, &round(user, 0, None, None));
            homes.push(first.remote);
            challenge(&mut server, &first, b"the same for all");
        }
        assert!(homes.iter().any(|home| *home != homes[0]), "they take turns");
        for number in 1..4 {
            for ((port, user), home) in (1000..).zip(&users).zip(&homes) {
                let ask = round(user, number, Some(b"the same for all"), None);
                let next = forwarded(&mut server, port, &ask);
                assert_eq!(next.remote, *home, "{user} in round {number}");
                let framed = Framed::parse(&next.octets).expect("a packet");
                assert_eq!(framed.value(Landmark::State), Some(&b"the same for all"[..]));
                assert_eq!(framed.attributes().of(126).collect::<Vec<_>>(), [&b"1example.org"[..]], "again");
                let code = if number == 3 { Code::AccessAccept } else { Code::AccessChallenge };
                let state: &[(u8, &[u8])] = &[(number::STATE, b"the same for all")];
                let reply = answer(&next, code, if number == 3 { &[] } else { state });
                let sent = only(server.remote_reply(&next, &reply));
                let reply = Reply::to(&ask.octets(), &sent.octets);
                assert_eq!(reply.values(18), [&b"campus"[..]], "the session is remembered");
                let begun: &[&[u8]] = if number == 3 { &[b"begun"] } else { &[] };
                assert_eq!(reply.values(11), begun, "what the rule sets goes into the accept");
            }
        }
        assert_eq!((server.count("ongoing"), server.count("conversations")), (24, 0), "{}", server.table());
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_round_without_its_state_is_known_by_who_asks() {
    let mut server = Server::new(SEPARATE, FARM);
    for (lost, user) in [(None, "ann@example.edu"), (Some(&b"rewritten"[..]), "DOMAIN\\ben")] {
        for turn in 0..2 {
            let device = [b'a' + turn];
            let first = forwarded(&mut server, 1000, &round(user, 0, None, Some(&device)));
            challenge(&mut server, &first, b"state");
            for number in 1..5 {
                let next = forwarded(&mut server, 1000, &round(user, number, lost, Some(&device)));
                assert_eq!(next.remote, first.remote);
                challenge(&mut server, &next, b"state");
            }
        }
    }
}

#[test]
fn nobody_is_given_anothers_conversation() {
    let mut server = Server::new(SEPARATE, FARM);
    let anonymous = "anonymous@example.edu";
    // With a device each knows its own.
    let first = forwarded(&mut server, 1000, &round(anonymous, 0, None, Some(b"a")));
    let second = forwarded(&mut server, 2000, &round(anonymous, 0, None, Some(b"b")));
    assert_ne!(first.remote, second.remote);
    challenge(&mut server, &first, b"equal");
    challenge(&mut server, &second, b"equal");
    let next = forwarded(&mut server, 2000, &round(anonymous, 1, Some(b"equal"), Some(b"b")));
    assert_eq!(next.remote, second.remote);
    let next = forwarded(&mut server, 1000, &round(anonymous, 1, Some(b"equal"), Some(b"a")));
    assert_eq!(next.remote, first.remote);
    let before = server.count("ongoing");
    // Without one it may be either's, and is nobody's.
    forwarded(&mut server, 1000, &round(anonymous, 2, Some(b"equal"), None));
    // Nor is it another user's, nor of another realm's.
    forwarded(&mut server, 3000, &round("eve@example.edu", 1, Some(b"equal"), Some(b"a")));
    forwarded(&mut server, 4000, &round("anonymous@example.org", 1, Some(b"equal"), Some(b"a")));
    assert_eq!((server.count("ongoing"), server.count("states_unknown")), (before, 3));
}

#[test]
fn the_same_request_by_another_connection_is_no_other_request() {
    let mut server = Server::new(SEPARATE, FARM);
    let user = "ann@example.edu";
    let first = forwarded(&mut server, 1000, &round(user, 0, None, None));
    challenge(&mut server, &first, b"one");
    let ask = round(user, 1, Some(b"one"), None);
    let next = forwarded(&mut server, 1000, &ask);
    // Its NAT has another port for it by now.
    let again = forwarded(&mut server, 2000, &ask);
    assert_eq!((again.octets, again.socket), (next.octets.clone(), next.socket), "the same octets again");
    let sent = challenge(&mut server, &next, b"two");
    assert_eq!(sent.transmit.destination, nas(2000), "whoever asked last is answered");
    assert_eq!(server.discarded(Discard::AnsweredElsewhere), 1);
    // And once more, now that it is answered.
    let repeated = only(server.ask(nas(3000), &ask.octets()));
    assert_eq!((repeated.transmit.destination, &repeated.octets), (nas(3000), &sent.octets));
    assert!(server.take_forwarded().is_empty());
    // It goes on all the same.
    let last = forwarded(&mut server, 3000, &round(user, 2, Some(b"two"), None));
    assert_eq!(last.remote, first.remote);
    let reply = answer(&last, Code::AccessReject, &[]);
    server.remote_reply(&last, &reply);
    server.assert_nothing_is_left();
}

#[test]
fn a_conversation_whose_server_dies_fails_and_the_next_begins_elsewhere() {
    let mut server = Server::new(SEPARATE, FARM);
    let user = "ann@example.edu";
    let first = forwarded(&mut server, 1000, &round(user, 0, None, None));
    challenge(&mut server, &first, b"one");
    // It says nothing more.
    server.pass(Duration::from_millis(1));
    let next = forwarded(&mut server, 1000, &round(user, 1, Some(b"one"), None));
    assert_eq!(next.remote, first.remote);
    server.run(Duration::from_secs(5));
    let ask = round(user, 2, Some(b"one"), None);
    assert!(server.ask(nas(1000), &ask.octets()).is_empty(), "a reject of ours is delayed");
    assert!(server.take_forwarded().is_empty());
    server.take_sent();
    server.run(Duration::from_secs(1));
    let reply = Reply::to(&ask.octets(), &only(server.take_sent()).octets);
    assert_eq!(
        (reply.code, reply.values(number::EAP_MESSAGE)),
        (Code::AccessReject, vec![&[4, 2, 0, 4][..]])
    );
    let anew = forwarded(&mut server, 1000, &round(user, 0, None, None).authenticator(99));
    assert_ne!(anew.remote, first.remote);
}

#[test]
fn where_servers_share_their_conversations_another_goes_on() {
    let shared = FARM.replace("balance = \"round-robin\"", "balance = \"round-robin\"\non_dead = \"repick\"");
    let mut server = Server::new(SEPARATE, &shared);
    let user = "ann@example.edu";
    let first = forwarded(&mut server, 1000, &round(user, 0, None, None));
    challenge(&mut server, &first, b"one");
    server.pass(Duration::from_millis(1));
    forwarded(&mut server, 1000, &round(user, 1, Some(b"one"), None));
    server.run(Duration::from_secs(5));
    let next = forwarded(&mut server, 1000, &round(user, 2, Some(b"one"), None));
    assert_ne!(next.remote, first.remote);
}

#[test]
fn what_nothing_signs_goes_on_from_where_it_came_and_from_nowhere_else() {
    let mut server = Server::new(SEPARATE, FARM);
    let ask = |number: u8, state: Option<&[u8]>| {
        let ask = Ask::user(b"ann@example.edu", b"hello").identifier(number).authenticator(number).unsigned();
        state.map_or(ask.clone(), |state| ask.with(number::STATE, state))
    };
    let first = forwarded(&mut server, 1000, &ask(1, None));
    challenge(&mut server, &first, b"one");
    // Somebody else's guess from another port.
    forwarded(&mut server, 2000, &ask(2, Some(b"one")));
    assert_eq!((server.count("ongoing"), server.count("conversations")), (0, 1));
    let next = forwarded(&mut server, 1000, &ask(2, Some(b"one")));
    assert_eq!((next.remote, server.count("ongoing")), (first.remote, 1));
}

#[test]
fn a_rule_for_later_rounds_ends_the_conversation() {
    let rules = FARM.replace(
        "[[server.reply]]",
        "[[server.ongoing]]\nwhen = { NAS-Port = 7 }\nreject = true\n[[server.reply]]",
    );
    let mut server = Server::new(SEPARATE, &rules);
    let user = "ann@example.edu";
    let first = forwarded(&mut server, 1000, &round(user, 0, None, None));
    challenge(&mut server, &first, b"one");
    let next = forwarded(&mut server, 1000, &round(user, 1, Some(b"one"), None));
    challenge(&mut server, &next, b"two");
    assert_eq!(server.count("conversations"), 1);
    let ask = round(user, 2, Some(b"two"), None).with(number::NAS_PORT, &[0, 0, 0, 7]);
    server.take_sent();
    server.ask(nas(1000), &ask.octets());
    assert!(server.take_forwarded().is_empty());
    server.run(Duration::from_secs(1));
    let reply = Reply::to(&ask.octets(), &only(server.take_sent()).octets);
    assert_eq!((reply.code, reply.values(18)), (Code::AccessReject, vec![&b"campus"[..]]));
    assert_eq!(server.count("conversations"), 0);
}
