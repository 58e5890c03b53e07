//! Workers come and go while requests are under way: nothing is lost, nothing is decided twice, and a conversation is found
//! where it is.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Ask, HASHED, OTHER_SECRET, Reply, SECRET, Server, USERS, configuration, nas};
use ulna_core::attributes::{Preset, text};
use ulna_core::packet::{Code, number};
use ulna_core::path::{NetworkId, Peer};
use ulna_core::policy::{Asked, ConfiguredRules, Decision, Edit, Policy, ReplyKind, Verdict};
use ulna_core::time::UnixTime;
use ulna_core::worker::CONVERSATIONS_WAIT_MAX;
use ulna_core::{Configuration, WorkerId};

const LAYOUT: &str = "[runtime]\nnetwork_threads = 2\nworkers = 2\n";
const SMALL: &str = "[runtime]\nnetwork_threads = 2\nworkers = 2\nring_slots = 16\n";

/// Asks for many users at once, and then lets all threads make their turns.
fn crowd(server: &mut Server, round: u8) -> usize {
    let before = server.sent.len();
    for port in 0..40 {
        let user = format!("user{port}");
        server.datagram(nas(1000 + port), &Ask::user(user.as_bytes(), b"x").identifier(round).octets());
        if port % 4 == 0 {
            server.settle();
        }
    }
    server.settle();
    server.sent.len() - before
}

#[test]
fn they_come_and_go_and_everything_is_answered() {
    for layout in [LAYOUT, SMALL] {
        let mut server = Server::new(layout, "[[server.new]]\naccept = true\n");
        assert_eq!(crowd(&mut server, 0), 40);
        for (round, workers) in (1..).zip([5, 1, 3, 2, 8, 1]) {
            server.begin_change(workers);
            assert_eq!(crowd(&mut server, round), 40);
            server.end_change();
            assert_eq!(server.threads.len(), 2 + workers);
            assert_eq!(crowd(&mut server, 100 + round), 40);
        }
        let by_worker =
            |server: &Server| server.threads.iter().filter(|cores| cores.worker().is_some()).count();
        assert_eq!(by_worker(&server), 1);
        assert_eq!(server.count("answered"), 40 * 13);
        server.assert_nothing_is_left();
    }
}

#[test]
fn all_workers_have_their_share() {
    let mut server = Server::new(LAYOUT, "[[server.new]]\naccept = true\n");
    server.begin_change(4);
    server.end_change();
    crowd(&mut server, 1);
    let shares: Vec<u64> = server
        .threads
        .iter()
        .filter_map(|cores| cores.worker())
        .map(|worker| worker.counters().requests.value())
        .collect();
    assert!(shares.len() == 4 && shares.iter().all(|share| *share > 2), "{shares:?}");
}

#[test]
fn who_holds_a_request_from_before_is_remembered_until_it_has_ended() {
    let mut server = Server::of(&configuration(LAYOUT, HASHED));
    for port in 1000..1020 {
        assert!(server.ask(nas(port), &Ask::user(b"alice", b"wonderland").octets()).is_empty());
    }
    server.begin_change(1);
    server.settle();
    // Alice may have hashed to the one who stays.
    let held = server.threads[3].worker().expect("the one who leaves").counters().requests_held.value()
        + server.threads[2].worker().expect("the one who stays").counters().requests_held.value();
    assert_eq!(held, 20);
    assert!(!server.has_settled(), "requests from before are held");
    for _ in 0..20 {
        assert!(!server.has_settled());
        assert_eq!(server.answer_effect("wonderland").len(), 1);
    }
    assert!(server.has_settled());
    server.end_change();
    assert_eq!(server.threads.len(), 3);
    server.assert_nothing_is_left();
}

#[test]
fn one_that_waits_for_a_second_effect_is_still_one_from_before() {
    let (new, old) =
        [OTHER_SECRET, SECRET].map(|secret| std::str::from_utf8(secret).expect("it is text")).into();
    let text = configuration(LAYOUT, HASHED);
    let mut server = Server::of(&text.replacen(
        &format!("secret = \"{old}\""),
        &format!("secret = [\"{new}\", \"{old}\"]"),
        1,
    ));
    // Nothing tells which secret has hidden the password: both are tried, one after the other.
    assert!(server.ask(nas(1000), &Ask::user(b"alice", b"wonderland").unsigned().octets()).is_empty());
    server.begin_change(1);
    server.settle();
    server.run(Duration::from_millis(1));
    assert!(!server.has_settled());
    assert!(server.answer_effect("wonderland").is_empty(), "the new secret reveals another password");
    assert_eq!(server.effects.len(), 1);
    assert!(!server.has_settled(), "the request is as old as it was");
    assert_eq!(server.answer_effect("wonderland").len(), 1);
    server.end_change();
    server.assert_nothing_is_left();
}

#[test]
fn an_epoch_comes_behind_all_that_was_routed_before_it() {
    let mut server = Server::of(&configuration(SMALL, USERS));
    for port in 1000..1004 {
        server.datagram(nas(port), &Ask::bob().identifier(port as u8).octets());
    }
    // The network threads have handed over what there is room for; no worker has looked.
    (0..2).for_each(|thread| server.finish_turn(thread));
    server.begin_change(1);
    assert!(!server.has_settled(), "nobody has heard of it");
    (0..2).for_each(|thread| server.turn(thread));
    assert!(!server.has_settled(), "nobody has read it");
    server.end_change();
    assert_eq!(server.sent.len() as u64, server.count("accepted"));
    server.assert_nothing_is_left();
}

/// Lets all in and says in a Reply-Message who did; knows the States that name it.
struct Named(WorkerId, Edit);

impl Policy for Named {
    fn decide<'p>(&'p mut self, _asked: &Asked<'_>) -> Verdict<'p> {
        Verdict::plain(Decision::Accept)
    }

    fn edit_reply<'p>(&'p mut self, _asked: &Asked<'_>, _reply: ReplyKind) -> Option<&'p Edit> {
        Some(&self.1)
    }

    fn knows_state(&self, state: &[u8]) -> bool {
        state == self.0.0.to_string().as_bytes()
    }
}

fn named_server() -> Server {
    Server::with_each(&configuration(LAYOUT, USERS), |worker, configuration| {
        Box::new(named(worker, &configuration)) as Box<dyn Policy + Send>
    })
}

fn named(worker: WorkerId, configuration: &Configuration) -> Named {
    let said = format!("Reply-Message = \"{}\"", worker.0);
    let message = text::parse(&configuration.dictionary, &said).expect("well-formed");
    Named(worker, Edit::set(Preset::new(&configuration.dictionary, message).expect("it fits")))
}

/// The same with a conversation that ends when the test says so, and knows which of them are from before a change.
struct Conversing {
    named: Named,
    /// Whether each worker keeps one.
    keeps: Arc<[AtomicBool; 3]>,
    is_marked: bool,
}

impl Conversing {
    fn keeps(&self) -> bool {
        self.keeps[usize::from(self.named.0.0)].load(Ordering::Relaxed)
    }
}

impl Policy for Conversing {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        self.named.decide(asked)
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        self.named.edit_reply(asked, reply)
    }

    fn knows_state(&self, state: &[u8]) -> bool {
        self.keeps() && self.named.knows_state(state)
    }

    fn mark_conversations(&mut self) {
        self.is_marked = self.keeps();
    }

    fn keeps_marked_conversations(&self, _time: UnixTime) -> bool {
        self.is_marked && self.keeps()
    }
}

fn conversing_server() -> (Server, Arc<[AtomicBool; 3]>) {
    let keeps = Arc::<[AtomicBool; 3]>::default();
    let own = Arc::clone(&keeps);
    let server = Server::with_each(&configuration(LAYOUT, USERS), move |worker, configuration| {
        let named = named(worker, &configuration);
        Box::new(Conversing { named, keeps: Arc::clone(&own), is_marked: false }) as Box<dyn Policy + Send>
    });
    (server, keeps)
}

#[test]
fn a_worker_stays_until_the_conversations_of_its_policy_are_over() {
    let (mut server, keeps) = conversing_server();
    let user = (0..60)
        .map(|user| format!("user{user}"))
        .find(|user| decided_by(&mut server, user, None, 0) == "1")
        .expect("some are the second's");
    keeps[1].store(true, Ordering::Relaxed);
    server.begin_change(1);
    server.settle();
    // One that begins now is routed by the new owners: nobody waits for it.
    keeps[0].store(true, Ordering::Relaxed);
    for round in 1..60 {
        assert!(!server.has_settled(), "a conversation goes on with who leaves");
        assert_eq!(decided_by(&mut server, &user, Some("1"), round), "1");
        server.run(Duration::from_secs(1));
    }
    assert_eq!(server.count("sent_elsewhere"), 59);
    keeps[1].store(false, Ordering::Relaxed);
    server.run(Duration::from_secs(1));
    assert!(server.has_settled());
    server.end_change();
    assert_eq!((server.threads.len(), server.count("conversations_cut")), (3, 0));
    assert_eq!(decided_by(&mut server, &user, Some("1"), 60), "0", "as a new one");
    server.assert_nothing_is_left();
}

#[test]
fn conversations_without_end_are_cut_after_two_minutes() {
    let (mut server, keeps) = conversing_server();
    keeps.iter().for_each(|keeps| keeps.store(true, Ordering::Relaxed));
    server.begin_change(1);
    server.settle();
    server.run(CONVERSATIONS_WAIT_MAX - Duration::from_millis(1));
    assert!(!server.has_settled());
    // A worker that dies takes its conversations along.
    server.die(2, Peer::Worker(WorkerId(0)));
    assert!(!server.has_settled(), "the other's are its own");
    server.run(Duration::from_millis(1));
    assert!(server.has_settled());
    assert_eq!(server.count("conversations_cut"), 1);
    server.end_change();
    server.assert_nothing_is_left();
}

/// Each user has a port of its own.
fn of(user: &str) -> SocketAddr {
    nas(1000 + user.trim_start_matches("user").parse::<u16>().expect("they are numbered"))
}

fn decided_by(server: &mut Server, user: &str, state: Option<&str>, identifier: u8) -> String {
    let mut ask = Ask::user(user.as_bytes(), b"x").identifier(identifier);
    if let Some(state) = state {
        ask = ask.with(number::STATE, state.as_bytes());
    }
    let request = ask.octets();
    let sent = server.ask(of(user), &request);
    assert_eq!(sent.len(), 1, "{user} {state:?}");
    let reply = Reply::to(&request, &sent[0].octets);
    assert_eq!(reply.code, Code::AccessAccept);
    String::from_utf8(reply.values(number::REPLY_MESSAGE).concat()).expect("a number")
}

#[test]
fn a_conversation_is_found_with_the_previous_owner_and_an_unknown_state_comes_back() {
    let mut server = named_server();
    let users: Vec<String> = (0..60).map(|user| format!("user{user}")).collect();
    let before: Vec<String> = users.iter().map(|user| decided_by(&mut server, user, None, 0)).collect();
    server.begin_change(3);
    server.settle();
    let after: Vec<String> = users.iter().map(|user| decided_by(&mut server, user, None, 1)).collect();
    let mut moved = 0;
    for ((user, before), after) in users.iter().zip(&before).zip(&after) {
        assert_eq!(
            decided_by(&mut server, user, Some(before), 2),
            *before,
            "it stays with who knows its State"
        );
        assert_eq!(
            decided_by(&mut server, user, Some("nobody"), 3),
            *after,
            "the owner decides as about a new one"
        );
        moved += u64::from(before != after);
    }
    assert!(moved > 5, "{moved}");
    // Once for each that has moved, and there and back for each unknown one.
    assert_eq!(server.count("sent_elsewhere"), 3 * moved);
    server.end_change();
    for (user, after) in users.iter().zip(&after) {
        assert_eq!(decided_by(&mut server, user, Some("nobody"), 4), *after);
    }
    assert_eq!(server.count("sent_elsewhere"), 3 * moved, "nobody is remembered any more");
    server.assert_nothing_is_left();
}

#[test]
fn what_is_sent_elsewhere_may_be_superseded_repeated_or_die_on_its_way() {
    let mut server = named_server();
    let user = (0..60)
        .map(|user| format!("user{user}"))
        .find(|user| decided_by(&mut server, user, None, 9) == "1")
        .expect("some are the second's");
    server.begin_change(1);
    server.settle();
    let request = |authenticator: u8| {
        Ask::user(user.as_bytes(), b"x")
            .identifier(7)
            .authenticator(authenticator)
            .with(number::STATE, b"1")
            .octets()
    };
    let owner = server.owner(of(&user));
    // To the owner, which does not know its State.
    server.datagram(of(&user), &request(1));
    server.finish_turn(owner);
    server.turn(2);
    // A duplicate, and then a request that supersedes it, before it has come back.
    server.datagram(of(&user), &request(1));
    server.finish_turn(owner);
    server.datagram(of(&user), &request(2));
    server.settle();
    let replies: Vec<_> = server.take_sent().into_iter().filter(|sent| sent.octets[1] == 7).collect();
    assert_eq!(
        Reply::to(&request(2), &replies[replies.len() - 1].octets).values(number::REPLY_MESSAGE),
        [b"1"]
    );
    // The previous owner dies with one; it starts anew.
    server.datagram(of(&user), &request(3));
    server.finish_turn(owner);
    server.turn(2);
    server.turn(owner);
    server.die(3, Peer::Worker(WorkerId(1)));
    server.die(owner, Peer::Network(NetworkId(owner as u16)));
    server.settle();
    server.run(Duration::from_secs(1));
    assert!(!server.ask(of(&user), &request(3)).is_empty());
    server.end_change();
    server.assert_nothing_is_left();
}

#[test]
fn cores_may_die_in_the_middle_of_a_change() {
    for victim in [
        Peer::Network(NetworkId(0)),
        Peer::Network(NetworkId(1)),
        Peer::Worker(WorkerId(0)),
        Peer::Worker(WorkerId(1)),
    ] {
        for layout in [LAYOUT, SMALL] {
            let mut server = Server::with(&configuration(layout, HASHED), |configuration: Arc<_>| {
                Box::new(ConfiguredRules::new(configuration))
            });
            let thread = match victim {
                Peer::Network(network) => usize::from(network.0),
                Peer::Worker(worker) => 2 + usize::from(worker.0),
            };
            for round in 0..3 {
                for port in 1000..1010 {
                    server
                        .datagram(nas(port), &Ask::user(b"alice", b"wonderland").identifier(round).octets());
                }
                (0..2).for_each(|thread| server.finish_turn(thread));
                server.begin_change(if round == 1 { 2 } else { 1 });
                if thread < server.threads.len() {
                    server.die(thread, victim);
                }
                server.settle();
                while !server.effects.is_empty() {
                    server.answer_effect("wonderland");
                }
                if thread < server.threads.len() {
                    server.die(thread, victim);
                }
                server.end_change();
                server.assert_sums();
            }
            server.assert_nothing_is_left();
        }
    }
}
