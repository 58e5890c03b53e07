//! A remote server is known by name: who asks what it stands for and when, where requests go meanwhile, and what becomes of those
//! under way when it stands for something else.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use support::{Ask, Forwarded, Reply, Sent, Server, configuration, nas};
use ulna_core::effect::{Effect, EffectDone, Family, Resolved};
use ulna_core::event::Event;
use ulna_core::forward::Standing;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

const RULES: &str = r#"
[[server.new]]
proxy = "farm"

[[remote_server]]
name = "one"
address = "radius.example.edu:1812"
secret = "a secret of the remote servers"
status_check = "status-server"
[[pool]]
name = "farm"
remote_servers = ["one"]
"#;

const ONE_WORKER: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const THREE_WORKERS: &str = "[runtime]\nnetwork_threads = 1\nworkers = 3\n";

const OLD: &str = "203.0.113.5";
const NEW: &str = "2001:db8::5";

fn addresses(all: &[&str]) -> Resolved {
    Resolved::Addresses(all.iter().map(|one| one.parse::<IpAddr>().expect("an address")).collect())
}

/// Answers the one question that there is.
fn answer(server: &mut Server, answer: Resolved) -> Option<Family> {
    assert_eq!(server.effects.len(), 1, "{:?}", server.effects);
    let (thread, ticket, effect) = server.effects.remove(0);
    let Effect::Resolve(resolve) = effect else { panic!("{effect:?}") };
    assert_eq!(&*resolve.name, "radius.example.edu");
    server.threads[thread].handle_effect_done(ticket, EffectDone::Resolved(answer), server.now);
    server.settle();
    resolve.family
}

/// A server whose remote one is there.
fn resolved(settings: &str, rules: &str, to: &str) -> Server {
    let mut server = Server::new(settings, rules);
    server.settle();
    answer(&mut server, addresses(&[to]));
    server
}

/// The number-th request of its own, and where it went.
fn forwarded(server: &mut Server, number: u32) -> (Vec<u8>, Forwarded) {
    let request = Ask::user(format!("user{number}").as_bytes(), b"hello");
    let request = request.identifier(number as u8).numbered(number).octets();
    assert!(server.ask(nas(1000), &request).is_empty());
    let mut all = server.take_forwarded();
    assert_eq!(all.len(), 1, "{}", server.table());
    (request, all.remove(0))
}

/// The same, answered at once.
fn answered(server: &mut Server, number: u32) -> SocketAddr {
    let (request, to) = forwarded(server, number);
    assert_eq!(codes(&request, &server.remote_reply(&to, &accept(&to))), [Code::AccessAccept]);
    to.remote
}

fn accept(to: &Forwarded) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let mut out = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::reply(&mut out, Code::AccessAccept, request.identifier(), sign);
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    let secret = Secret::new(b"a secret of the remote servers").expect("it has octets");
    encoder.finish_reply(&secret, request.authenticator());
    out
}

fn codes(request: &[u8], sent: &[Sent]) -> Vec<Code> {
    sent.iter().map(|sent| Reply::to(request, &sent.octets).code).collect()
}

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), 1812)
}

fn told(server: &Server) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::RemoteAddress { address, .. } => Some(address.to_string()),
        Event::RemoteUnresolved { .. } => Some("unresolved".into()),
        Event::RemoteServer { standing, .. } => Some(standing.name().into()),
        Event::Finished { .. }
        | Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::Loop { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    };
    server.events.iter().filter_map(told).collect()
}

#[test]
fn it_is_asked_for_at_start_and_counts_as_dead_until_there_is_an_answer() {
    let mut server = Server::new(ONE_WORKER, RULES);
    let request = Ask::bob().octets();
    assert!(server.ask(nas(1000), &request).is_empty());
    assert!(server.take_forwarded().is_empty() && server.remote_sockets.is_empty());
    server.run(Duration::from_secs(1));
    assert_eq!(codes(&request, &server.take_sent()), [Code::AccessReject], "it does not wait for a name");
    assert_eq!((server.count("no_server_alive"), server.count("resolutions")), (1, 1));
    assert_eq!(answer(&mut server, addresses(&[OLD])), None, "of either family");
    let (request, to) = forwarded(&mut server, 1);
    assert_eq!(to.remote, at(OLD));
    let sent = server.remote_reply(&to, &accept(&to));
    assert_eq!(codes(&request, &sent), [Code::AccessAccept]);
    assert_eq!(told(&server), [at(OLD).to_string()]);
    server.run(Duration::from_secs(59));
    assert!(server.effects.is_empty());
    server.run(Duration::from_secs(1));
    assert_eq!(server.effects.len(), 1, "each minute again");
    assert_eq!(server.count("resolutions_failed"), 0);
}

#[test]
fn one_worker_asks_and_all_know_the_answer() {
    let mut server = Server::new(THREE_WORKERS, RULES);
    for (round, address) in [OLD, NEW].into_iter().enumerate() {
        server.settle();
        answer(&mut server, addresses(&[address]));
        let mut threads: Vec<_> = (0..40)
            .map(|number| {
                let (_, to) = forwarded(&mut server, round as u32 * 100 + number);
                assert_eq!(to.remote, at(address));
                server.remote_reply(&to, &accept(&to));
                to.thread
            })
            .collect();
        threads.sort_unstable();
        threads.dedup();
        assert_eq!(threads.len(), 3, "each of them has forwarded some");
        server.run(Duration::from_secs(61));
        // Sockets to where it was before are closed by all.
        assert!(server.remote_sockets.values().all(|remote| *remote == at(address)));
    }
    assert_eq!((server.count("resolutions"), server.count("remote_addresses_changed")), (3, 2));
}

#[test]
fn what_waits_at_the_old_address_waits_on_and_what_is_new_goes_to_the_new() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    server.run(Duration::from_secs(50));
    let (first, old) = forwarded(&mut server, 1);
    server.run(Duration::from_secs(10));
    answer(&mut server, addresses(&[NEW]));
    let (second, new) = forwarded(&mut server, 2);
    assert_eq!((old.remote, new.remote), (at(OLD), at(NEW)));
    assert_ne!(old.socket, new.socket);
    server.run(Duration::from_secs(5));
    assert_eq!(server.remote_sockets.len(), 2, "the old one may answer yet");
    assert_eq!(codes(&first, &server.remote_reply(&old, &accept(&old))), [Code::AccessAccept]);
    server.run(Duration::from_secs(2));
    let open: Vec<_> = server.remote_sockets.values().copied().collect();
    assert_eq!(open, [at(NEW)], "nothing waits there any more");
    assert_eq!(codes(&second, &server.remote_reply(&new, &accept(&new))), [Code::AccessAccept]);
    assert!(server.remote_reply(&old, &accept(&old)).is_empty());
    server.assert_sums();
    assert_eq!((server.count("requests_held"), server.count("outstanding")), (0, 0));
}

#[test]
fn a_request_that_was_sent_to_the_old_address_goes_to_the_new_when_its_nas_sends_it_again() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    server.run(Duration::from_secs(59));
    let (request, old) = forwarded(&mut server, 1);
    server.run(Duration::from_secs(1));
    answer(&mut server, addresses(&[NEW]));
    assert!(server.ask(nas(1000), &request).is_empty());
    let again = server.take_forwarded();
    assert_eq!(again.iter().map(|one| one.remote).collect::<Vec<_>>(), [at(NEW)]);
    assert_eq!(codes(&request, &server.remote_reply(&again[0], &accept(&again[0]))), [Code::AccessAccept]);
    assert!(server.remote_reply(&old, &accept(&old)).is_empty(), "it has been answered");
    // Its Identifier there is not used again as long as a reply may come; then the socket goes.
    server.run(Duration::from_secs(25));
    assert_eq!(server.remote_sockets.len(), 1, "that reply was the last");
}

#[test]
fn health_is_that_of_the_server_where_it_is_now() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    forwarded(&mut server, 1);
    // Suspected after 20 s, dead after 60.
    server.run(Duration::from_secs(19));
    let (_, late) = forwarded(&mut server, 2);
    server.run(Duration::from_secs(10));
    assert_eq!(told(&server)[1..], ["zombie".to_owned()]);
    server.run(Duration::from_secs(31));
    answer(&mut server, addresses(&[NEW]));
    assert_eq!(told(&server)[2..], ["dead".to_owned(), at(NEW).to_string(), "alive".into()]);
    server.take_forwarded();
    let (_, new) = forwarded(&mut server, 3);
    assert_eq!(new.remote, at(NEW));
    server.run(Duration::from_secs(21));
    assert_eq!(told(&server).last().map(String::as_str), Some(Standing::Zombie.name()));
    // Whoever is where it was says nothing about it.
    server.remote_reply(&late, &accept(&late));
    assert_eq!(told(&server).last().map(String::as_str), Some(Standing::Zombie.name()));
}

#[test]
fn the_address_in_use_stays_while_it_is_among_those_of_the_name() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    for others in [&[NEW, OLD][..], &["203.0.113.4", OLD, NEW], &[OLD]] {
        server.run(Duration::from_secs(60));
        answer(&mut server, addresses(others));
        assert_eq!(answered(&mut server, 1), at(OLD));
    }
    assert_eq!(server.count("remote_addresses_changed"), 1);
}

#[test]
fn what_fails_keeps_the_address_and_is_asked_sooner() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    server.run(Duration::from_secs(60));
    for (failures, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        match failures % 3 {
            0 => _ = answer(&mut server, Resolved::Failed),
            // None of them can be sent to.
            1 => _ = answer(&mut server, addresses(&["0.0.0.0", "fe80::1", "::ffff:192.0.2.1", "ff02::1"])),
            _ => {
                assert!(matches!(server.effects[0].2, Effect::Resolve(_)));
                server.shed_effect();
            }
        }
        assert_eq!(server.count("resolutions_failed"), failures as u64 + 1);
        assert_eq!(answered(&mut server, failures as u32), at(OLD));
        server.pass(Duration::from_millis(wait * 1000 - 1));
        server.settle();
        assert!(server.effects.is_empty(), "after {failures}");
        server.run(Duration::from_millis(1));
    }
    assert_eq!(told(&server).iter().filter(|told| *told == "unresolved").count(), 1, "it is told once");
    answer(&mut server, addresses(&[OLD]));
    server.run(Duration::from_secs(59));
    assert!(server.effects.is_empty());
}

#[test]
fn an_answer_that_never_comes_is_one_after_a_minute() {
    let rules = RULES.replace("[[pool]]", "resolve_interval = \"5s\"\n[[pool]]");
    let mut server = Server::new(THREE_WORKERS, &rules);
    server.settle();
    assert_eq!(server.effects.len(), 1);
    server.run(Duration::from_secs(59));
    assert_eq!(server.effects.len(), 1);
    server.run(Duration::from_secs(1));
    assert_eq!(server.effects.len(), 2);
    let (first, _) = (server.effects.remove(0), answer(&mut server, addresses(&[NEW])));
    // It comes after all.
    let (thread, ticket, _) = first;
    server.threads[thread].handle_effect_done(ticket, EffectDone::Resolved(addresses(&[NEW])), server.now);
    server.run(Duration::from_secs(5));
    answer(&mut server, addresses(&[NEW]));
    assert_eq!(server.count("remote_addresses_changed"), 1);
}

#[test]
fn addresses_are_of_the_family_of_ours() {
    let rules = RULES.replace("[[pool]]", "source_address = \"2001:db8::1\"\n[[pool]]");
    let mut server = Server::new(ONE_WORKER, &rules);
    server.settle();
    assert_eq!(answer(&mut server, addresses(&[OLD, NEW])), Some(Family::Ipv6));
    assert_eq!(forwarded(&mut server, 1).1.remote, at(NEW));
}

#[test]
fn a_reload_keeps_what_a_name_stands_for_and_forgets_names_that_are_gone() {
    let mut server = resolved(THREE_WORKERS, RULES, OLD);
    let again = RULES.replace("[[pool]]", "zombie_period = \"5s\"\n[[pool]]");
    server.reload(&configuration(THREE_WORKERS, &again));
    server.forget_older();
    server.settle();
    assert!(server.effects.is_empty());
    assert_eq!(answered(&mut server, 1), at(OLD));
    let elsewhere = RULES.replace("radius.example.edu:1812", "203.0.113.9:1812");
    server.reload(&configuration(THREE_WORKERS, &elsewhere));
    server.run(Duration::from_secs(31));
    server.forget_older();
    server.settle();
    assert!(server.remote_sockets.is_empty(), "{:?}", server.remote_sockets);
    server.run(Duration::from_secs(600));
    assert_eq!(server.count("resolutions"), 1, "nobody asks for it any more");
    // One that is named anew is asked for at once.
    server.reload(&configuration(THREE_WORKERS, RULES));
    server.settle();
    answer(&mut server, addresses(&[NEW]));
    assert_eq!(answered(&mut server, 2), at(NEW));
}

#[test]
fn a_server_that_a_reload_has_removed_is_not_asked_whether_it_lives() {
    let mut server = resolved(ONE_WORKER, RULES, OLD);
    forwarded(&mut server, 1);
    server.run(Duration::from_secs(25));
    assert_eq!(server.count("probes"), 1);
    server.take_forwarded();
    server.reload(&configuration(ONE_WORKER, &RULES.replace("radius.example.edu:1812", "203.0.113.9:1812")));
    server.run(Duration::from_secs(10));
    server.forget_older();
    let probes = server.count("probes");
    server.run(Duration::from_secs(300));
    assert_eq!(server.count("probes"), probes);
    assert!(server.take_forwarded().is_empty() && server.remote_sockets.is_empty());
}
