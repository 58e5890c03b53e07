//! Whatever comes, in whatever order the threads run: each packet is counted once, each request has one fate, each
//! buffer comes home, and no request gets two replies that differ.

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Ask, Reply, Server, nas};
use ulna_core::packet::number;

#[derive(Debug, Clone)]
struct Layout {
    networks: usize,
    workers: usize,
    requests_max: usize,
    dedup_entries_max: usize,
    delayed_rejects_max: usize,
    long_replies: bool,
}

fn layout() -> impl Strategy<Value = Layout> {
    (0usize..=3, 1usize..=3, 1usize..=40, 4usize..=80, 0usize..=6, any::<bool>()).prop_map(
        |(networks, workers, requests_max, dedup_entries_max, delayed_rejects_max, long_replies)| Layout {
            networks,
            workers,
            requests_max,
            dedup_entries_max,
            delayed_rejects_max,
            long_replies,
        },
    )
}

impl Layout {
    fn server(&self) -> Server {
        let Layout { networks, workers, requests_max, dedup_entries_max, delayed_rejects_max, .. } = self;
        let settings = format!(
            "[runtime]\nnetwork_threads = {networks}\nworkers = {workers}\nring_slots = 16\n\
             requests_max = {requests_max}\ndedup_entries_max = {dedup_entries_max}\nreplies_octets_max = 65_536\n\
             [protocol]\nreject_delay = \"20ms\"\ndelayed_rejects_max = {delayed_rejects_max}\n\
             request_timeout = \"30ms\"\ndedup_lifetime = \"60ms\"\n"
        );
        let messages = if self.long_replies { 3 } else { 1 };
        let messages = vec![format!("\"{}\"", "m".repeat(200)); messages].join(", ");
        let rules = format!(
            "[[server.new]]\nauthenticate = \"users\"\nset_reply = {{ Reply-Message = [{messages}] }}\n"
        );
        Server::new(&settings, &rules)
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Right,
    Wrong,
    Unsigned,
    Ongoing,
    Forged,
    Status,
    Accounting,
    Noise,
}

#[derive(Debug, Clone)]
enum Step {
    /// A datagram at any network thread, if that is at the point of its turn where it reads.
    Datagram { thread: usize, port: u16, identifier: u8, authenticator: u8, kind: Kind },
    /// The next phase of a thread.
    Phase { thread: usize },
    /// Time passes.
    Pass { microseconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        8 => Just(Kind::Right),
        3 => Just(Kind::Wrong),
        3 => Just(Kind::Unsigned),
        2 => Just(Kind::Ongoing),
        1 => Just(Kind::Forged),
        1 => Just(Kind::Status),
        2 => Just(Kind::Accounting),
        1 => Just(Kind::Noise),
    ];
    prop_oneof![
        10 => (0usize..3, 1000u16..1006, 0u8..6, 0u8..3, kind).prop_map(
            |(thread, port, identifier, authenticator, kind)| Step::Datagram {
                thread, port, identifier, authenticator, kind
            }
        ),
        20 => (0usize..6).prop_map(|thread| Step::Phase { thread }),
        1 => (0u64..25_000).prop_map(|microseconds| Step::Pass { microseconds }),
    ]
}

fn octets(identifier: u8, authenticator: u8, kind: &Kind) -> Vec<u8> {
    let ask = match kind {
        Kind::Right => Ask::bob(),
        Kind::Wrong => Ask::wrong(),
        Kind::Unsigned => Ask::bob().unsigned(),
        Kind::Ongoing => Ask::bob().with(number::STATE, b"state"),
        Kind::Forged => Ask::bob().forged(),
        Kind::Status => Ask::status(),
        Kind::Accounting => Ask::accounting(),
        Kind::Noise => return vec![identifier; usize::from(authenticator) * 30],
    };
    ask.identifier(identifier).authenticator(authenticator).octets()
}

/// The phases of a turn in their order; datagrams come between `Sweep` and `Timeout`.
const PHASES: usize = 7;
const READS: usize = 2;

/// Does the next phase of a thread and says which comes after it.
fn advance(server: &mut Server, thread: usize, phase: usize) -> usize {
    let now = server.now;
    let cores = &mut server.threads[thread];
    match phase {
        0 => cores.begin(),
        1 => {
            cores.sweep(now);
        }
        READS => cores.handle_timeout(now),
        3 => {
            cores.work(usize::MAX, now);
        }
        4 => server.transmit(thread),
        5 => cores.finish(now),
        _ => {
            cores.publish();
            while cores.check_gate().is_some() {}
        }
    }
    (phase + 1) % PHASES
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn hold_over_any_mixture_layout_and_interleaving(
        layout in layout(),
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut server = layout.server();
        let networks = server.configuration.network_cores();
        let mut phases = vec![0; server.threads.len()];
        let mut asked: BTreeMap<(u16, u8), Vec<Vec<u8>>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Datagram { thread, port, identifier, authenticator, kind } => {
                    let thread = thread % networks;
                    if phases[thread] == READS {
                        let octets = octets(identifier, authenticator, &kind);
                        let listener = usize::from(matches!(kind, Kind::Accounting));
                        server.datagram_at(thread, listener, nas(port), &octets);
                        asked.entry((port, identifier)).or_default().push(octets);
                    }
                }
                Step::Phase { thread } => {
                    let thread = thread % phases.len();
                    phases[thread] = advance(&mut server, thread, phases[thread]);
                }
                Step::Pass { microseconds } => server.pass(Duration::from_micros(microseconds)),
            }
        }
        // Each thread finishes the turn that it was in.
        for (thread, phase) in phases.iter_mut().enumerate() {
            while *phase != 0 {
                *phase = advance(&mut server, thread, *phase);
            }
        }
        server.assert_nothing_is_left();

        // Each reply answers a request that was asked from there, and verifies under its authenticator.
        for sent in &server.sent {
            let key = (sent.transmit.destination.port(), sent.octets[1]);
            let answers = |request: &&Vec<u8>| {
                let framed = ulna_core::packet::Framed::parse(&sent.octets).expect("a packet");
                let request = ulna_core::packet::Framed::parse(request);
                request.is_ok_and(|request| {
                    framed.verify_reply(&support::secret(), request.authenticator(), true).is_ok()
                })
            };
            let request = asked.get(&key).and_then(|requests| requests.iter().find(answers));
            prop_assert!(request.is_some(), "a reply to nobody: {:02x?}", sent.octets);
            Reply::to(request.unwrap(), &sent.octets);
        }
        let made = server.count("answered") + server.count("duplicates_resent") + server.count("status_answered");
        // A superseded request may have been answered by its worker before anybody knew.
        prop_assert!(server.sent.len() as u64 <= made + server.count("superseded"));
    }
}
