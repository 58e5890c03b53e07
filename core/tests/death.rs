//! A core panics and another takes its place: what it had taken up is orphaned, each counted, and a retransmission of it
//! starts anew; what it had not, and all that others have, goes on.

mod support;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{Ask, HASHED, Reply, Server, USERS, configuration, nas};
use ulna_core::Discard;
use ulna_core::configuration::Configuration;
use ulna_core::packet::{Code, Landmark, number};
use ulna_core::path::{NetworkId, Peer, WorkerId};
use ulna_core::policy::{Asked, ConfiguredRules, Policy, Verdict};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 2\nworkers = 2\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 2\n";
const LONELY: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 2\n";

fn thread_of(server: &Server, peer: Peer) -> usize {
    let networks = server.configuration.runtime.network_threads;
    match peer {
        Peer::Network(network) => usize::from(network.0),
        Peer::Worker(worker) => networks + usize::from(worker.0),
    }
}

fn die(server: &mut Server, peer: Peer) {
    server.die(thread_of(server, peer), peer);
}

fn workers() -> [Peer; 2] {
    [0, 1].map(|worker| Peer::Worker(WorkerId(worker)))
}

fn networks() -> [Peer; 2] {
    [0, 1].map(|network| Peer::Network(NetworkId(network)))
}

fn code_of(request: &[u8], server: &Server) -> Vec<Code> {
    server.sent.iter().map(|sent| Reply::to(request, &sent.octets).code).collect()
}

#[test]
fn what_a_worker_had_taken_up_is_orphaned_and_starts_anew_when_it_comes_again() {
    for layout in [SEPARATE, JOINED] {
        let mut server = Server::of(&configuration(layout, HASHED));
        let requests: Vec<_> =
            (0..20).map(|n| (nas(1000 + n), Ask::user(b"alice", b"wonderland").octets())).collect();
        for (remote, request) in &requests {
            assert!(server.ask(*remote, request).is_empty(), "they wait for an effect");
        }
        workers().into_iter().for_each(|worker| die(&mut server, worker));
        server.settle();
        assert_eq!((server.count("orphaned"), server.count("in_progress")), (20, 0));
        assert_eq!((server.count("requests_held"), server.count("deaths")), (0, 2));
        server.assert_sums();

        // Answers to what the dead have asked for find nobody, whoever has their tickets' places now.
        let old = std::mem::take(&mut server.effects);
        for (remote, request) in &requests {
            assert!(server.ask(*remote, request).is_empty());
        }
        let new = std::mem::replace(&mut server.effects, old);
        for _ in 0..20 {
            assert!(server.answer_effect("wonderland").is_empty());
        }
        assert_eq!((server.count("effects_late"), server.count("requests_held")), (20, 20));
        server.effects = new;
        for _ in 0..20 {
            assert_eq!(server.answer_effect("wonderland").len(), 1);
        }
        assert_eq!(server.count("answered"), 20);
        server.assert_nothing_is_left();
    }
}

#[test]
fn what_lies_in_the_rings_of_a_dead_worker_is_for_its_successor() {
    let mut server = Server::new(SEPARATE, USERS);
    let request = Ask::bob().octets();
    for port in 1000..1020 {
        server.datagram(nas(port), &request);
    }
    // The network threads have handed it over; no worker has looked.
    (0..2).for_each(|thread| server.finish_turn(thread));
    workers().into_iter().for_each(|worker| die(&mut server, worker));
    server.settle();
    assert_eq!(code_of(&request, &server), [Code::AccessAccept; 20]);
    assert_eq!(server.count("orphaned"), 0);
    server.assert_nothing_is_left();
}

/// Panics at the name `poison`, else decides by rules.
struct Poisonable(ConfiguredRules, Arc<AtomicU64>);

impl Policy for Poisonable {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        self.1.fetch_add(1, Ordering::Relaxed);
        if asked.framed.value(Landmark::UserName) == Some(b"poison") {
            // Without the hook of panics, which would write to the test's output.
            resume_unwind(Box::new("poisoned"));
        }
        self.0.decide(asked)
    }
}

#[test]
fn a_policy_that_panics_takes_its_turn_with_it_and_nothing_else() {
    for layout in [SEPARATE, JOINED, LONELY] {
        let decided = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&decided);
        let policy = move |configuration: Arc<Configuration>| -> Box<dyn Policy + Send> {
            Box::new(Poisonable(ConfiguredRules::new(configuration), Arc::clone(&counted)))
        };
        let mut server = Server::with(&configuration(layout, USERS), policy);
        let (good, poison) = (Ask::bob().octets(), Ask::user(b"poison", b"x").octets());
        let first = server.ask(nas(999), &good);
        assert_eq!(first.len(), 1);

        // Twice, as a NAS retransmits.
        for deaths in 1..3 {
            server.datagram(nas(1000), &poison);
            let threads = server.threads.len();
            let died: Vec<_> =
                (0..threads).chain(0..threads).filter_map(|thread| server.risky_turn(thread)).collect();
            assert!(matches!(died[..], [Peer::Worker(_)]), "{died:?}");
            server.settle();
            assert_eq!((server.count("deaths"), server.count("orphaned")), (deaths, deaths));
            server.assert_sums();
        }
        // What was answered before is remembered: only workers have died.
        assert_eq!(server.ask(nas(999), &good)[0].octets, first[0].octets);
        assert_eq!(server.count("duplicates_resent"), 1);
        assert_eq!(server.ask(nas(1001), &good).len(), 1);
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_dead_network_core_forgets_and_what_was_under_way_is_answered_all_the_same() {
    for layout in [SEPARATE, JOINED] {
        let mut server = Server::of(&configuration(layout, HASHED));
        let bob = Ask::bob().octets();
        let alice = Ask::user(b"alice", b"wonderland").octets();
        assert_eq!(server.ask(nas(900), &bob).len(), 1);
        (1000..1010).for_each(|port| assert!(server.ask(nas(port), &alice).is_empty()));
        let before = server.count("accepted");
        networks().into_iter().for_each(|network| die(&mut server, network));
        server.settle();
        assert_eq!((server.count("orphaned"), server.count("in_progress")), (10, 0));
        assert_eq!(server.count("accepted"), before);
        server.assert_sums();

        // New requests get the places, and so the handles, of the old ones; completions of those are not theirs.
        (1020..1030).for_each(|port| assert!(server.ask(nas(port), &alice).is_empty()));
        let sent: usize = (0..10).map(|_| server.answer_effect("wonderland").len()).sum();
        assert_eq!(sent, 10, "clients of the old ones are answered");
        assert_eq!((server.count("in_progress"), server.count("answered")), (10, 1));
        let sent: usize = (0..10).map(|_| server.answer_effect("wonderland").len()).sum();
        assert_eq!((sent, server.count("answered")), (10, 11));
        server.assert_nothing_is_left();
    }
}

#[test]
fn delayed_rejects_and_long_replies_die_with_their_network_core() {
    for layout in [SEPARATE, JOINED] {
        let long = "Class = [\"0x".to_owned()
            + &"61".repeat(250)
            + "\", \"0x"
            + &"62".repeat(250)
            + "\", \"0x"
            + &"63".repeat(250)
            + "\"]";
        let rules = format!(
            "[[server.new]]\nwhen = {{ User-Name = \"bob\" }}\nauthenticate = \"users\"\nset_reply = {{ {long} }}\n[[server.new]]\nreject = true\n"
        );
        let mut server = Server::new(layout, &rules);
        let wrong = Ask::user(b"bob", b"wrong").octets();
        for port in 1000..1010 {
            server.datagram(nas(port), &wrong);
        }
        server.settle();
        assert_eq!(server.count("delayed_rejects"), 10);
        for port in 1010..1020 {
            server.datagram(nas(port), &Ask::bob().octets());
        }
        // The long replies lie with the workers, or in their rings.
        (0..2).for_each(|thread| server.finish_turn(thread));
        (2..server.threads.len()).for_each(|thread| server.turn(thread));
        networks().into_iter().for_each(|network| die(&mut server, network));
        server.settle();
        assert_eq!((server.count("delayed_rejects"), server.count("reply_buffers_lent")), (0, 0));
        assert!(server.count("orphaned") >= 10);
        server.assert_sums();
        server.assert_nothing_is_left();
        let inside: Vec<_> = server.threads.iter().map(|cores| cores.inspect()).collect();
        let made: usize = inside.iter().map(|inside| inside.buffers_made).sum();
        assert_eq!(inside.iter().map(|inside| inside.buffers_free).sum::<usize>(), made);
    }
}

#[test]
fn strays_of_a_dead_reader_and_of_a_dead_owner_come_home_or_are_written_off() {
    for victim in 0..2 {
        let mut server = Server::new("[runtime]\nnetwork_threads = 2\nworkers = 1\nring_slots = 16\n", USERS);
        let ports: Vec<_> = (1000..1100).filter(|port| server.owner(nas(*port)) == 1).take(4).collect();
        for round in 0..3 {
            for port in &ports {
                let request = Ask::bob().identifier(round).octets();
                server.datagram_at(0, 0, nas(*port), &request);
            }
            if round == 1 {
                server.finish_turn(0);
                die(&mut server, networks()[victim]);
            }
            server.settle();
        }
        assert_eq!((server.count("strays_sent"), server.count("strays_taken")), (12, 12));
        assert_eq!(server.sent.len(), 12, "what lies in a ring is not lost");
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_network_cores_death_is_told_behind_the_strays_that_are_on_their_way() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 2\nworkers = 1\nring_slots = 16\n", USERS);
    let of = |server: &Server, owner| {
        (1000..).map(nas).find(|remote| server.owner(*remote) == owner).expect("ports spread over threads")
    };
    let (firsts, seconds) = (of(&server, 0), of(&server, 1));
    let lent = |server: &Server| server.threads[0].network().expect("it has one").buffers().lent();
    for round in 0..5_u8 {
        // Never is the ring from the second to the first empty when the second looks.
        server.datagram_at(1, 0, firsts, &Ask::bob().identifier(2 * round).octets());
        server.finish_turn(1);
        server.datagram_at(0, 0, seconds, &Ask::bob().identifier(round).octets());
        server.finish_turn(0);
        // The second takes the stray and dies with its buffer; and again, before anybody has heard of that.
        server.threads[1].begin();
        server.threads[1].sweep(server.now);
        die(&mut server, networks()[1]);
        server.turn(1);
        die(&mut server, networks()[1]);
        server.datagram_at(1, 0, firsts, &Ask::bob().identifier(2 * round + 1).octets());
        server.turn(1);
        assert_eq!(lent(&server), 1, "the first has not looked");
        server.threads[0].begin();
        server.threads[0].sweep(server.now);
        assert_eq!(lent(&server), 2, "those of the two requests; what died with the second is written off");
        server.datagram_at(1, 0, firsts, &Ask::bob().identifier(100 + round).octets());
        server.turn(1);
        server.finish_turn(0);
        server.settle();
    }
    assert_eq!(server.count("deaths"), 10);
    assert_eq!(server.discarded(Discard::StrayRingFull), 0);
    server.assert_nothing_is_left();
}

#[test]
fn rings_between_network_cores_never_overflow_however_often_both_die() {
    for ring_slots in [2, 16] {
        let layout = format!("[runtime]\nnetwork_threads = 2\nworkers = 1\nring_slots = {ring_slots}\n");
        let mut server = Server::new(&layout, USERS);
        (0..2).for_each(|thread| server.threads[thread].begin());
        let mut draw = 1_u32;
        for step in 0..4000_u32 {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let thread = (draw >> 16) as usize % 2;
            let kind = (draw >> 20) % 16;
            if kind > 5 {
                let request = Ask::bob().identifier(step as u8).authenticator((step >> 8) as u8).octets();
                server.datagram_at(thread, 0, nas(1000 + (draw >> 24) as u16), &request);
                continue;
            }
            if kind == 0 {
                // In the middle of a turn.
                die(&mut server, networks()[thread]);
            } else {
                server.finish_turn(thread);
                server.turn(2);
            }
            server.threads[thread].begin();
            if kind.is_multiple_of(2) {
                server.threads[thread].sweep(server.now);
            }
        }
        (0..2).for_each(|thread| server.finish_turn(thread));
        server.drain();
        assert!(server.count("deaths") > 100 && server.count("strays_taken") > 100);
        assert!(server.discarded(Discard::StrayRingFull) > 100, "they were full");
        // Also what had not been decided about is orphaned, thus each core's whole sum.
        for core in &server.threads[..2] {
            let counters = core.network().expect("it has one").counters();
            assert_eq!(counters.received.value(), counters.fates(), "{}", server.table());
        }
        assert_eq!((server.count("buffers_lent"), server.count("in_progress")), (0, 0), "{}", server.table());
    }
}

#[test]
fn what_the_other_core_of_the_thread_had_ready_is_counted_when_the_next_turn_begins() {
    let mut server = Server::new("[runtime]\nnetwork_threads = 0\nworkers = 2\nring_slots = 2\n", USERS);
    let ports: Vec<_> = (1000..).filter(|port| server.owner(nas(*port)) == 0).take(40).collect();
    server.threads[0].begin();
    for part in ports.chunks(20) {
        for port in part {
            let user = format!("user{port}");
            // With a State it goes to the owner of its slot, which may be on the other thread.
            let ask = Ask::user(user.as_bytes(), b"x").with(number::STATE, b"s");
            server.datagram(nas(*port), &ask.octets());
        }
        // The worker dies before any of it is in a ring.
        die(&mut server, workers()[0]);
        server.threads[0].begin();
    }
    server.finish_turn(0);
    server.settle();
    server.assert_sums();
    assert_eq!(server.count("accepted"), 4, "two for each worker");
    assert_eq!(server.discarded(Discard::WorkerFullOngoing), 36);
    server.assert_nothing_is_left();
}

#[test]
fn a_peer_whose_ring_is_full_is_told_when_there_is_room_and_before_anything_else() {
    let mut server = Server::of(&configuration(LONELY, HASHED));
    let alice = Ask::user(b"alice", b"wonderland").octets();
    // Two completions fill the ring; their reader does not look.
    for port in 1000..1002 {
        server.datagram(nas(port), &Ask::bob().octets());
        server.finish_turn(0);
        server.turn(1);
    }
    assert_eq!(server.sent.len(), 2);
    die(&mut server, workers()[0]);
    server.turn(1);
    // The next that the successor takes up completes behind the news of the death.
    server.settle();
    assert!(server.ask(nas(1003), &alice).is_empty());
    die(&mut server, workers()[0]);
    server.settle();
    assert_eq!((server.count("orphaned"), server.count("answered")), (1, 2));
    server.assert_nothing_is_left();
}

#[test]
fn both_ends_may_die_again_and_again_while_a_reload_is_under_way() {
    for layout in [SEPARATE, JOINED] {
        let text = configuration(layout, HASHED);
        let mut server = Server::of(&text);
        let alice = Ask::user(b"alice", b"wonderland");
        for round in 0..6_u16 {
            for n in 0..6 {
                server.datagram(nas(1000 + n), &alice.clone().identifier((6 * round + n) as u8).octets());
                server.datagram(nas(2000 + 8 * round + n), &Ask::bob().octets());
            }
            if round % 2 == 0 {
                server.settle();
            } else {
                (0..2).for_each(|thread| server.finish_turn(thread));
            }
            if round == 2 {
                server.reload(&text);
            }
            die(&mut server, networks()[usize::from(round % 2)]);
            die(&mut server, workers()[usize::from(round / 2 % 2)]);
            if round % 3 == 0 {
                die(&mut server, networks()[usize::from(round % 2)]);
                die(&mut server, workers()[usize::from(round / 2 % 2)]);
            }
            server.settle();
            server.assert_sums();
        }
        while !server.effects.is_empty() {
            server.answer_effect("wonderland");
        }
        server.run(Duration::from_secs(60));
        assert!(!server.needs_older());
        server.forget_older();
        assert_eq!(server.ask(nas(3000), &Ask::bob().octets()).len(), 1);
        server.assert_nothing_is_left();
    }
}

#[test]
fn strays_that_had_not_left_their_reader_are_orphaned_with_it() {
    let mut server = Server::new(SEPARATE, USERS);
    let remote =
        (1000..).map(nas).find(|remote| server.owner(*remote) == 1).expect("ports spread over threads");
    let request = Ask::bob().octets();
    server.datagram_at(0, 0, remote, &request);
    die(&mut server, Peer::Network(NetworkId(0)));
    server.settle();
    assert_eq!(
        (server.count("strays_sent"), server.count("strays_taken"), server.count("orphaned")),
        (0, 0, 1)
    );
    // And those that had are taken.
    server.datagram_at(0, 0, remote, &request);
    server.finish_turn(0);
    die(&mut server, Peer::Network(NetworkId(0)));
    server.settle();
    assert_eq!(
        (server.count("strays_sent"), server.count("strays_taken"), server.count("orphaned")),
        (1, 1, 1)
    );
    assert_eq!(code_of(&request, &server), [Code::AccessAccept]);
}
