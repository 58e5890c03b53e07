//! A request goes on to a remote server, and its reply comes back: what each hop sees, what is believed, what is sent again,
//! what ends when nobody answers. RFC 2865 §2.3, RFC 5080 §2.2.1.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;
use support::{Ask, Forwarded, Reply, Server, configuration, nas};
use ulna_core::WorkerId;
use ulna_core::discard::Discard;
use ulna_core::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use ulna_core::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};
use ulna_core::path::Peer;

/// What ulna shares with the remote servers.
const REMOTE_SECRET: &[u8] = b"a secret of the remote servers";

/// Two servers, and rules that send everybody there.
const FARM: &str = r#"
[[server.new]]
proxy = "farm"
[[server.accounting]]
proxy = "farm"

[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
[[remote_server]]
name = "two"
address = "203.0.113.6:1812"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
balance = "failover"
remote_servers = ["one", "two"]
"#;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";

fn remote_secret() -> Secret {
    Secret::new(REMOTE_SECRET).expect("it has octets")
}

/// A remote server's reply to what it got, with these attributes and the Proxy-States of the request.
fn answer(to: &Forwarded, code: Code, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let sign = if code == Code::AccountingResponse {
        MessageAuthenticator::Absent
    } else {
        MessageAuthenticator::First
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    encoder.finish_reply(&remote_secret(), request.authenticator());
    out
}

fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

// checklist 42, 45, 46, 47, 48, 52
#[test]
fn a_request_goes_on_and_its_reply_comes_back() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().with(number::PROXY_STATE, b"theirs").octets();
    assert!(server.ask(nas(1000), &request).is_empty());
    let forwarded = only(server.take_forwarded());
    assert_eq!(forwarded.remote.to_string(), "203.0.113.5:1812");
    let framed = Framed::parse(&forwarded.octets).expect("what leaves is a packet");
    assert_eq!(framed.code(), Some(Code::AccessRequest));
    assert_ne!(framed.authenticator(), &[1; 16], "the authenticator is this hop's own");
    let first = framed.attributes().next().map(|attribute| attribute.number);
    assert_eq!(first, Some(number::MESSAGE_AUTHENTICATOR));
    let mut plain = [0; USER_PASSWORD_OCTETS_MAX];
    let password = framed.value(Landmark::UserPassword).expect("it has one");
    assert_eq!(
        reveal_user_password(password, &remote_secret(), framed.authenticator(), &mut plain),
        Ok(&b"hello"[..])
    );
    assert_eq!(framed.value(Landmark::UserName), Some(&b"bob"[..]));
    let states: Vec<_> = framed.proxy_states().collect();
    assert_eq!((states.len(), states[0]), (2, &b"theirs"[..]), "ours is the last");

    let accept = answer(&forwarded, Code::AccessAccept, &[(number::CLASS, b"staff")]);
    let sent = only(server.remote_reply(&forwarded, &accept));
    let reply = Reply::to(&request, &sent.octets);
    assert_eq!((reply.code, reply.values(number::CLASS)), (Code::AccessAccept, vec![&b"staff"[..]]));
    assert_eq!(reply.values(number::PROXY_STATE), [&b"theirs"[..]]);
    // Once answered it is answered.
    assert!(server.remote_reply(&forwarded, &accept).is_empty());
    assert_eq!(server.count("remote_replies_late"), 1);
    server.assert_nothing_is_left();
}

// checklist 34, 44, 50
#[test]
fn a_duplicate_is_sent_on_again_octet_for_octet() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    server.run(Duration::from_secs(3));
    let first = only(server.take_forwarded());
    assert!(server.ask(nas(1000), &request).is_empty());
    let again = only(server.take_forwarded());
    assert_eq!((again.octets, again.socket), (first.octets.clone(), first.socket));
    let reject = answer(&first, Code::AccessReject, &[]);
    let sent = only(server.remote_reply(&first, &reject));
    // A reject of theirs is not delayed by us.
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessReject);
    server.assert_nothing_is_left();
}

// checklist 43
#[test]
fn what_does_not_verify_changes_nothing() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    let forwarded = only(server.take_forwarded());
    let accept = answer(&forwarded, Code::AccessAccept, &[]);
    let mut forged = accept.clone();
    forged[4] ^= 1;
    let mut other = forwarded.clone();
    other.octets[1] ^= 1;
    let stranger = answer(&other, Code::AccessAccept, &[]);
    let wrong = answer(&forwarded, Code::AccountingResponse, &[]);
    for octets in [&forged, &stranger, &wrong, &accept[..10].to_vec()] {
        assert!(server.remote_reply(&forwarded, octets).is_empty());
    }
    assert_eq!((server.count("remote_replies_bad"), server.count("remote_replies_late")), (3, 1));
    let sent = only(server.remote_reply(&forwarded, &accept));
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessAccept);
    server.assert_nothing_is_left();
}

#[test]
fn an_unsigned_reply_is_believed_only_where_it_may_be() {
    let unsigned = |to: &Forwarded| {
        let request = Framed::parse(&to.octets).expect("a packet");
        let mut out = Vec::new();
        Encoder::reply(&mut out, Code::AccessAccept, request.identifier(), MessageAuthenticator::Absent)
            .finish_reply(&remote_secret(), request.authenticator());
        out
    };
    let lax = FARM
        .replace("[[pool]]", "require_message_authenticator = false\n[[pool]]")
        .replace("name = \"one\"", "name = \"one\"\nrequire_message_authenticator = false");
    for (rules, believed) in [(FARM, 0), (&lax, 1)] {
        let mut server = Server::new(SEPARATE, rules);
        server.ask(nas(1000), &Ask::bob().octets());
        let forwarded = only(server.take_forwarded());
        assert_eq!(server.remote_reply(&forwarded, &unsigned(&forwarded)).len(), believed);
    }
}

#[test]
fn without_an_answer_it_is_given_up_by_name_and_a_late_one_finds_nobody() {
    let mut server = Server::new(SEPARATE, FARM);
    server.ask(nas(1000), &Ask::bob().octets());
    let forwarded = only(server.take_forwarded());
    server.run(Duration::from_secs(31));
    assert_eq!(server.discarded(Discard::NoAnswer), 1);
    assert!(server.remote_reply(&forwarded, &answer(&forwarded, Code::AccessAccept, &[])).is_empty());
    assert_eq!(server.count("remote_replies_late"), 1);
    server.assert_nothing_is_left();
}

// checklist 51
#[test]
fn a_request_that_has_been_here_is_a_loop() {
    let mut server = Server::new(SEPARATE, FARM);
    server.ask(nas(1000), &Ask::bob().octets());
    let forwarded = only(server.take_forwarded());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    let ours = framed.proxy_states().last().expect("ours is there").to_vec();
    let looping = Ask::bob().identifier(2).authenticator(2).with(number::PROXY_STATE, &ours).octets();
    server.ask(nas(1000), &looping);
    assert!(server.take_forwarded().is_empty());
    server.run(Duration::from_secs(1));
    let sent = only(server.take_sent());
    let reply = Reply::to(&looping, &sent.octets);
    assert_eq!((reply.code, reply.values(number::PROXY_STATE)), (Code::AccessReject, vec![&ours[..]]));
    assert_eq!(server.count("loops"), 1);
}

#[test]
fn accounting_goes_on_and_the_answer_is_theirs() {
    let mut server = Server::new(SEPARATE, FARM);
    let request = Ask::accounting().with(number::PROXY_STATE, b"theirs").octets();
    assert!(server.ask_accounting(nas(1000), &request).is_empty());
    let forwarded = only(server.take_forwarded());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    assert_eq!(framed.code(), Some(Code::AccountingRequest));
    let response = answer(&forwarded, Code::AccountingResponse, &[]);
    let sent = only(server.remote_reply(&forwarded, &response));
    let framed = Framed::parse(&sent.octets).expect("a packet");
    let states: Vec<_> = framed.proxy_states().collect();
    assert_eq!((framed.code(), states), (Some(Code::AccountingResponse), vec![&b"theirs"[..]]));
    server.assert_nothing_is_left();
}

#[test]
fn without_a_socket_it_ends_by_name() {
    let mut server = Server::new(SEPARATE, FARM);
    server.has_remote_sockets = false;
    server.ask(nas(1000), &Ask::bob().octets());
    assert_eq!(server.discarded(Discard::NoSocket), 1);
    server.has_remote_sockets = true;
    server.ask(nas(1000), &Ask::bob().identifier(2).octets());
    assert_eq!(server.take_forwarded().len(), 1);
    server.assert_nothing_is_left();
}

#[test]
fn a_worker_that_dies_during_a_reload_leaves_one_that_forwards_under_both_configurations() {
    let mut server = Server::new(SEPARATE, FARM);
    server.reload(&configuration(SEPARATE, FARM));
    server.die(1, Peer::Worker(WorkerId(0)));
    let request = Ask::bob().identifier(2).authenticator(2).octets();
    server.ask(nas(1000), &request);
    let forwarded = only(server.take_forwarded());
    let sent = only(server.remote_reply(&forwarded, &answer(&forwarded, Code::AccessAccept, &[])));
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessAccept);
    server.run(Duration::from_secs(60));
    assert!(!server.needs_older());
    server.forget_older();
    server.ask(nas(1000), &Ask::bob().identifier(3).authenticator(3).octets());
    assert_eq!(server.take_forwarded().len(), 1);
}

#[test]
fn a_reload_that_adds_a_client_sends_no_request_to_another_worker() {
    const FOUR: &str = "[runtime]\nnetwork_threads = 1\nworkers = 4\n";
    const ANOTHER: &str = "[[client]]\nname = \"first\"\nnetwork = \"198.51.100.77\"\nsecret = \"a secret of at least 16 octets\"\n";
    let mut server = Server::new(FOUR, FARM);
    let workers = |server: &mut Server, first: u8| -> Vec<usize> {
        let each = (0..16_u8).map(|user| {
            let name = format!("user{user}");
            let ask = Ask::of(Code::AccessRequest).identifier(first + user).authenticator(first + user);
            server.ask(nas(1000), &ask.with(number::USER_NAME, name.as_bytes()).octets());
            only(server.take_forwarded()).thread
        });
        each.collect()
    };
    let before = workers(&mut server, 1);
    assert!(before.iter().any(|thread| *thread != before[0]), "they have several workers");
    server.reload(&configuration(&format!("{FOUR}{ANOTHER}"), FARM));
    assert_eq!(workers(&mut server, 101), before);
}

// checklist 41
#[test]
fn more_than_256_go_to_one_server_by_several_ports() {
    let mut server = Server::new(SEPARATE, FARM);
    for number in 0..1_000_u32 {
        let ask = Ask::bob().identifier(number as u8).numbered(number);
        server.ask(nas(1000 + (number / 256) as u16), &ask.octets());
    }
    let forwarded = server.take_forwarded();
    assert_eq!(forwarded.len(), 1_000);
    let mut names: Vec<_> = forwarded.iter().map(|one| (one.socket, one.octets[1])).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 1_000, "no Identifier is used twice at one port");
    for one in forwarded.iter().rev() {
        assert_eq!(server.remote_reply(one, &answer(one, Code::AccessAccept, &[])).len(), 1);
    }
    server.assert_nothing_is_left();
}

#[test]
fn what_cannot_go_on_ends_by_name() {
    let by_realm = FARM.replace("proxy = \"farm\"", "proxy = { by = \"realm\" }").replace(
        "remote_servers = [\"one\", \"two\"]",
        "remote_servers = [\"one\", \"two\"]\n[[realm]]\nname = \"example.edu\"\naccounting_pool = \"farm\"\npool = \"farm\"",
    );
    let mut server = Server::new(SEPARATE, &by_realm);
    let name = |name: &[u8]| Ask::accounting().with(number::USER_NAME, name);
    server.ask_accounting(nas(1000), &name(b"bob").octets());
    assert_eq!(server.discarded(Discard::NoRoute), 1);
    server.ask_accounting(nas(1000), &name(b"bob@Example.edu").identifier(2).octets());
    assert_eq!(server.take_forwarded().len(), 1);

    let mut server = Server::new(SEPARATE, FARM);
    let odd = Ask::of(Code::AccessRequest).with(number::USER_PASSWORD, b"no whole block").octets();
    server.ask(nas(1000), &odd);
    assert_eq!(server.discarded(Discard::BadHiddenAttribute), 1);
    let mut long = Ask::of(Code::AccessRequest).identifier(2);
    for _ in 0..15 {
        long = long.with(number::CLASS, &[7; 253]);
    }
    let room = 4096 - long.octets().len() - 2;
    server.ask(nas(1000), &long.with(number::CLASS, &vec![7; room]).octets());
    assert_eq!(server.discarded(Discard::ForwardTooLong), 1);
    assert!(server.take_forwarded().is_empty());
    server.assert_nothing_is_left();
}

#[test]
fn accounting_that_has_been_here_is_not_answered() {
    let mut server = Server::new(SEPARATE, FARM);
    server.ask_accounting(nas(1000), &Ask::accounting().octets());
    let forwarded = only(server.take_forwarded());
    let framed = Framed::parse(&forwarded.octets).expect("a packet");
    let ours = framed.proxy_states().last().expect("ours is there").to_vec();
    let looping = Ask::accounting().identifier(2).with(number::PROXY_STATE, &ours).octets();
    server.ask_accounting(nas(1000), &looping);
    assert_eq!((server.discarded(Discard::ForwardLoop), server.count("loops")), (1, 1));
}

#[test]
fn no_more_wait_for_a_server_than_may() {
    let few = FARM.replace("name = \"one\"", "name = \"one\"\noutstanding_max = 2");
    let mut server = Server::new(SEPARATE, &few);
    for identifier in 1..=3 {
        server.ask(nas(1000), &Ask::bob().identifier(identifier).authenticator(identifier).octets());
    }
    assert_eq!((server.take_forwarded().len(), server.discarded(Discard::OutstandingFull)), (2, 1));
    server.assert_nothing_is_left();
}

// checklist 69
#[test]
fn one_that_is_dead_is_passed_over_and_comes_back_when_it_answers_probes() {
    let probed = FARM.replace(
        "[[pool]]",
        "status_check = \"status-server\"\n[[pool]]",
    )
    .replace(
        "name = \"one\"",
        "name = \"one\"\nresponse_window = \"2s\"\nzombie_period = \"4s\"\nstatus_interval = \"1s\"\nstatus_check = \"status-server\"",
    );
    let mut server = Server::new(SEPARATE, &probed);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    server.run(Duration::from_millis(6_500));
    let (to_one, to_two): (Vec<_>, Vec<_>) =
        server.take_forwarded().into_iter().partition(|one| one.remote.to_string() == "203.0.113.5:1812");
    assert!(to_two.is_empty());
    let is_probe =
        |one: &&Forwarded| Framed::parse(&one.octets).is_ok_and(|it| it.code() == Some(Code::StatusServer));
    let probes: Vec<_> = to_one.iter().filter(is_probe).map(|probe| &probe.octets[1..20]).collect();
    assert!(probes.len() >= 4, "one each second since it is suspected");
    let others = probes.iter().collect::<BTreeSet<_>>();
    assert_eq!(others.len(), probes.len(), "none is sent twice");
    // The NAS asks again: another server may have it, as no State ties it.
    server.ask(nas(1000), &request);
    let moved = only(server.take_forwarded());
    assert_eq!(moved.remote.to_string(), "203.0.113.6:1812");
    let sent = only(server.remote_reply(&moved, &answer(&moved, Code::AccessAccept, &[])));
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessAccept);
    // Three answers in a row, and it lives.
    for _ in 0..3 {
        server.run(Duration::from_secs(1));
        for probe in server.take_forwarded() {
            assert!(is_probe(&&probe));
            server.remote_reply(&probe, &answer(&probe, Code::AccessAccept, &[]));
        }
    }
    server.ask(nas(1000), &Ask::bob().identifier(2).authenticator(2).octets());
    assert_eq!(only(server.take_forwarded()).remote.to_string(), "203.0.113.5:1812");
    assert_eq!(server.count("probes_answered"), 3);
}

#[test]
fn where_no_server_lives_access_is_rejected_and_accounting_waits_for_none() {
    let alone = FARM
        .replace("[\"one\", \"two\"]", "[\"one\"]")
        .replace("name = \"one\"", "name = \"one\"\nresponse_window = \"1s\"\nzombie_period = \"1s\"");
    let mut server = Server::new(SEPARATE, &alone);
    server.ask(nas(1000), &Ask::bob().octets());
    server.run(Duration::from_secs(3));
    server.take_forwarded();
    let request = Ask::bob().identifier(2).authenticator(2).octets();
    server.ask(nas(1000), &request);
    server.ask_accounting(nas(1000), &Ask::accounting().octets());
    assert_eq!(server.discarded(Discard::NoServerAlive), 1);
    server.run(Duration::from_secs(1));
    let reply = Reply::to(&request, &only(server.take_sent()).octets);
    assert_eq!((reply.code, server.take_forwarded().len()), (Code::AccessReject, 0));
}

// checklist 53, 60
#[test]
fn a_realm_without_a_route_is_rejected_and_one_below_another_has_its() {
    let rules = FARM.replace("proxy = \"farm\"\n[[server.acc", "proxy = { by = \"realm\" }\n[[server.acc").replace(
        "remote_servers = [\"one\", \"two\"]",
        "remote_servers = [\"one\", \"two\"]\n[[realm]]\nname = \"example.edu\"\nsubrealms = true\npool = \"farm\"",
    );
    let mut server = Server::new(SEPARATE, &rules);
    server.ask(nas(1000), &Ask::user(b"ann@cs.EXAMPLE.edu", b"hello").octets());
    assert_eq!(server.take_forwarded().len(), 1);
    for (identifier, name) in
        [(2, &b"ann@example.org"[..]), (3, b"ann@edu"), (4, b"DOMAIN\\ann"), (5, b"ann")]
    {
        let request = Ask::user(name, b"hello").identifier(identifier).octets();
        server.ask(nas(1000), &request);
        server.run(Duration::from_secs(1));
        let reply = Reply::to(&request, &only(server.take_sent()).octets);
        assert_eq!(reply.code, Code::AccessReject);
    }
    assert_eq!((server.take_forwarded().len(), server.count("no_route")), (0, 4));
}

#[test]
fn what_has_nowhere_to_go_may_be_met_with_silence() {
    let alone = FARM
        .replace("[\"one\", \"two\"]", "[\"one\"]")
        .replace("name = \"one\"", "name = \"one\"\nresponse_window = \"1s\"\nzombie_period = \"1s\"");
    let settings = format!("{SEPARATE}[protocol]\nunroutable = \"discard\"\n");
    let mut server = Server::new(&settings, &alone);
    server.ask(nas(1000), &Ask::bob().octets());
    server.run(Duration::from_secs(3));
    server.ask(nas(1000), &Ask::bob().identifier(2).authenticator(2).octets());
    server.run(Duration::from_secs(3));
    assert_eq!((server.discarded(Discard::NoServerAlive), server.take_sent().len()), (1, 0));
    let by_realm = alone.replace("proxy = \"farm\"", "proxy = { by = \"realm\" }").replace(
        "[[pool]]",
        "[[realm]]\nname = \"example.edu\"\npool = \"farm\"\naccounting_pool = \"farm\"\n[[pool]]",
    );
    let mut server = Server::new(&settings, &by_realm);
    server.ask(nas(1000), &Ask::bob().octets());
    assert_eq!(server.discarded(Discard::NoRoute), 1);
}

// checklist 32
#[test]
fn authorize_only_without_state_is_rejected() {
    let mut server = Server::new(SEPARATE, FARM);
    let ask = Ask::of(Code::AccessRequest).with(number::USER_NAME, b"bob").with(6, &[0, 0, 0, 17]);
    let request = ask.octets();
    server.ask(nas(1000), &request);
    server.run(Duration::from_secs(1));
    assert_eq!(Reply::to(&request, &only(server.take_sent()).octets).code, Code::AccessReject);
    // With State it is whoever's made that.
    server.ask(nas(1000), &ask.identifier(2).with(number::STATE, b"theirs").octets());
    assert_eq!(server.take_forwarded().len(), 1);
}

#[test]
fn a_worker_that_dies_between_two_configurations_forwards_under_both() {
    let text = |rules: &str| configuration(SEPARATE, rules);
    let mut server = Server::of(&text(FARM));
    server.ask(nas(1000), &Ask::bob().octets());
    let before = only(server.take_forwarded());
    // The second server of the next configuration is new; one request is under way under the older.
    let next = FARM.replace("name = \"one\"\n", "name = \"one\"\nsource_address = \"192.0.2.1\"\n");
    server.reload(&text(&next));
    assert!(server.needs_older());
    server.die(1, Peer::Worker(WorkerId(0)));
    server.settle();
    server.ask(nas(1000), &Ask::bob().identifier(2).authenticator(2).octets());
    let after = only(server.take_forwarded());
    assert_eq!(server.remote_reply(&after, &answer(&after, Code::AccessAccept, &[])).len(), 1);
    // What the dead one had is orphaned; its server's reply finds nobody.
    assert!(server.remote_reply(&before, &answer(&before, Code::AccessAccept, &[])).is_empty());
    assert_eq!(server.count("orphaned"), 1);
    server.forget_older();
    server.ask(nas(1000), &Ask::bob().identifier(3).authenticator(3).octets());
    assert_eq!(server.take_forwarded().len(), 1);
}

#[test]
fn a_reload_keeps_what_waits_and_what_is_known_of_a_server() {
    let text = |rules: &str| configuration(SEPARATE, rules);
    let mut server = Server::of(&text(FARM));
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    let waits = only(server.take_forwarded());
    // The other way around, and one more in front: numbers of servers are others.
    let next = FARM.replace(
        "[[remote_server]]\nname = \"one\"",
        "[[remote_server]]\nname = \"zero\"\naddress = \"203.0.113.4:1812\"\nsecret = \"another of many octets\"\n\
         [[remote_server]]\nname = \"one\"",
    ).replace("[\"one\", \"two\"]", "[\"two\", \"one\", \"zero\"]");
    server.reload(&text(&next));
    server.ask(nas(1000), &Ask::bob().identifier(2).authenticator(2).octets());
    let under_next = only(server.take_forwarded());
    assert_eq!(under_next.remote.to_string(), "203.0.113.6:1812");
    assert_eq!(server.remote_reply(&under_next, &answer(&under_next, Code::AccessAccept, &[])).len(), 1);
    let sent = only(server.remote_reply(&waits, &answer(&waits, Code::AccessAccept, &[])));
    assert_eq!(Reply::to(&request, &sent.octets).code, Code::AccessAccept);
    server.forget_older();
    // Neither of those that stay has another socket; the one that goes has none.
    let mut fewer = server.remote_sockets.len();
    server.reload(&text(&FARM.replace("[\"one\", \"two\"]", "[\"one\"]").replace(
        "[[remote_server]]\nname = \"two\"\naddress = \"203.0.113.6:1812\"\nsecret = \"a secret of the remote servers\"\n",
        "",
    )));
    server.forget_older();
    server.settle();
    fewer -= 1;
    assert_eq!(server.remote_sockets.len(), fewer, "{:?}", server.remote_sockets);
    server.assert_nothing_is_left();
}

#[test]
fn what_is_stored_and_has_nowhere_to_go_is_stored_and_acknowledged() {
    let rules = FARM.replace(
        "[[server.accounting]]\nproxy = \"farm\"",
        "[[server.accounting]]\nstore = \"file\"\nproxy = { by = \"realm\" }",
    ) + "[[realm]]\nname = \"example.edu\"\npool = \"farm\"\naccounting_pool = \"farm\"\n[accounting.file]\npath = \"x\"\n";
    let mut server = Server::new(SEPARATE, &rules);
    let ours = Ask::accounting().with(number::USER_NAME, b"bob").octets();
    server.ask_accounting(nas(1000), &ours);
    let (record, sent) = server.store(Ok(()));
    assert!(!record.is_empty());
    assert_eq!(
        Framed::parse(&only(sent).octets).map(|reply| reply.code()),
        Ok(Some(Code::AccountingResponse))
    );
    // One of theirs goes on when it is stored, and the answer is theirs.
    let theirs = Ask::accounting().identifier(2).with(number::USER_NAME, b"ann@example.edu").octets();
    server.ask_accounting(nas(1000), &theirs);
    assert!(server.take_forwarded().is_empty(), "not before it is stored");
    assert!(server.store(Ok(())).1.is_empty());
    let forwarded = only(server.take_forwarded());
    let sent = server.remote_reply(&forwarded, &answer(&forwarded, Code::AccountingResponse, &[]));
    assert_eq!(
        Framed::parse(&only(sent).octets).map(|reply| reply.code()),
        Ok(Some(Code::AccountingResponse))
    );
    server.assert_nothing_is_left();
}
