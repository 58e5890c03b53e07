//! Clients that nobody listed: admitted by rules, each behind one NAT by its connection.

mod support;

use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Reply, Sent, Server, USERS, configuration};
use ulna_core::effect::{Effect, LookedUp};
use ulna_core::event::Event;
use ulna_core::packet::{Code, Secret, Secrets, number};
use ulna_core::path::{NetworkId, Peer};
use ulna_core::{Discard, WorkerId};

const ONE: &[u8] = b"the secret of site one";
const TWO: &[u8] = b"the secret of site two";
const NEW_THREE: &[u8] = b"the new one of site three";
const OLD_THREE: &[u8] = b"the old one of site three";

/// Both layouts of threads.
const LAYOUTS: [&str; 3] = [
    "[runtime]\nnetwork_threads = 0\nworkers = 1\n",
    "[runtime]\nnetwork_threads = 0\nworkers = 3\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 3\n",
];

/// A rule for 203.0.113.128/25 (which `strict` has, too) and 100.64.0.0/10, with these keys besides.
fn rule(keys: &str) -> String {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    format!(
        "{USERS}\n[[client_rule]]\nname = \"branches\"\nnetwork = [\"203.0.113.128/25\", \"100.64.0.0/10\"]\n\
         when = {{ NAS-Identifier = {{ regex = \"^site-[0-9]+$\" }} }}\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n{keys}\n"
    )
}

fn server(layout: &str, keys: &str) -> Server {
    Server::new(layout, &rule(keys))
}

/// The address of the NAT.
fn nat(port: u16) -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 1], port))
}

fn bob(site: &[u8], secret: &'static [u8]) -> Ask {
    Ask::bob().with(number::NAS_IDENTIFIER, site).under(secret)
}

/// Asks, answers the look-up if there is one, and gives what left.
fn ask(server: &mut Server, remote: SocketAddr, octets: &[u8]) -> Vec<Sent> {
    let mut sent = server.ask(remote, octets);
    while !server.effects.is_empty() {
        sent.extend(server.look_up().1);
    }
    sent
}

/// What was asked is accepted under this secret, and goes back where it came from.
fn accepted(server: &mut Server, remote: SocketAddr, secret: &'static [u8], asked: &Ask) {
    let octets = asked.octets();
    let sent = ask(server, remote, &octets);
    assert_eq!(sent.len(), 1, "{}", server.table());
    assert_eq!(sent[0].transmit.destination, remote);
    assert_eq!(Reply::under(secret, &octets, &sent[0].octets).code, Code::AccessAccept);
}

#[test]
fn several_clients_behind_one_address_have_a_secret_each() {
    // checklist 8, 72
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true");
        for turn in 0..3 {
            accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(turn).authenticator(turn));
            accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO).identifier(turn).authenticator(turn));
        }
        assert_eq!((server.count("look_ups"), server.count("connections_admitted")), (2, 2));
        assert_eq!((server.count("connections"), server.count("admitted")), (2, 2));
        server.assert_sums();
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn one_that_does_not_verify_creates_nothing() {
    let mut server = server(LAYOUTS[0], "nat = true");
    let forged = bob(b"site-1", TWO).octets();
    assert!(ask(&mut server, nat(1001), &forged).is_empty());
    assert!(ask(&mut server, nat(1001), &forged).is_empty());
    assert_eq!(server.discarded(Discard::BadMessageAuthenticator), 2);
    // One look-up tells the secret, and each packet fails by itself.
    assert_eq!((server.count("look_ups"), server.count("connections")), (1, 0));
    // It has silenced nobody: neither there nor under that name.
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_connection_changes_hands_only_with_a_packet_that_verifies_and_nothing_is_inherited() {
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true");
        let mine = bob(b"site-1", ONE).identifier(7);
        accepted(&mut server, nat(1001), ONE, &mine);
        // A forger who claims a sibling's name takes nothing over.
        assert!(ask(&mut server, nat(1001), &bob(b"site-2", ONE).identifier(8).forged().octets()).is_empty());
        assert!(ask(&mut server, nat(1001), &bob(b"site-1", TWO).identifier(9).octets()).is_empty());
        assert_eq!(server.count("connections_taken_over"), 0);
        // The port is another's now, who happens to use the same Identifier and authenticator.
        accepted(&mut server, nat(1001), TWO, &bob(b"site-2", TWO).identifier(7));
        assert_eq!(server.count("connections_taken_over"), 1);
        assert_eq!(server.count("duplicates_resent"), 0);
        // The first comes back under another port, with the very same request: it gets the same octets.
        let sent = ask(&mut server, nat(1002), &mine.octets());
        assert_eq!((sent.len(), sent[0].transmit.destination), (1, nat(1002)));
        Reply::under(ONE, &mine.octets(), &sent[0].octets);
        assert_eq!((server.count("duplicates_resent"), server.count("connections")), (1, 1));
        // And with its next it is there.
        accepted(&mut server, nat(1002), ONE, &bob(b"site-1", ONE).identifier(8).authenticator(8));
        assert_eq!(server.count("connections"), 2);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_replayed_packet_admits_nobody() {
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true");
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
        accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO));
        let recorded = bob(b"site-1", ONE).octets();
        for port in [1002, 2000, 2001] {
            // As if it were a retransmission, it gets what its sender got already.
            assert_eq!(ask(&mut server, nat(port), &recorded).len(), 1);
        }
        server.run(Duration::from_secs(15));
        for port in [1002, 2000, 2001] {
            assert!(ask(&mut server, nat(port), &recorded).is_empty(), "{}", server.table());
        }
        assert_eq!(server.discarded(Discard::Replayed), 3);
        assert_eq!((server.count("connections"), server.count("connections_taken_over")), (2, 0));
        accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO).identifier(2).authenticator(2));
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn what_was_seen_before_a_reload_is_a_replay_behind_it() {
    for layout in LAYOUTS {
        // The first rule comes while it runs.
        let mut server = Server::new(layout, USERS);
        let reload = |server: &mut Server, rules: &str| {
            server.reload(&configuration(layout, rules));
            server.run(Duration::from_secs(1));
            server.forget_older();
        };
        reload(&mut server, &rule("nat = true"));
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
        let recorded = bob(b"site-1", ONE).octets();
        reload(&mut server, &rule("nat = true\nidle_timeout = \"100s\""));
        server.run(Duration::from_secs(15));
        assert!(ask(&mut server, nat(2000), &recorded).is_empty(), "{}", server.table());
        // Nor does it help to wait until there is no rule for a while; what its answers have left is not taken for another's.
        reload(&mut server, USERS);
        reload(&mut server, &rule("nat = true"));
        assert!(ask(&mut server, nat(2001), &recorded).is_empty(), "{}", server.table());
        assert_eq!(server.count("connections_admitted"), 1, "{}", server.table());
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
        server.run(Duration::from_secs(4000));
        server.assert_nothing_is_left();
    }
}

#[test]
fn packets_that_wait_for_one_look_up_are_verified_each_by_itself() {
    let mut server = server(LAYOUTS[2], "nat = true");
    let mut sent = server.ask(nat(1001), &bob(b"site-1", TWO).octets());
    sent.extend(server.ask(nat(1002), &bob(b"site-1", ONE).octets()));
    sent.extend(server.ask(nat(1002), &bob(b"site-1", ONE).octets()));
    sent.extend(server.ask(nat(1003), &bob(b"site-1", ONE).identifier(3).authenticator(3).octets()));
    assert!(sent.is_empty());
    assert_eq!((server.effects.len(), server.discarded(Discard::HeldDuplicate)), (1, 1));
    let (key, sent) = server.look_up();
    assert_eq!(key, b"site-1");
    let mut to: Vec<_> = sent.iter().map(|sent| sent.transmit.destination.port()).collect();
    to.sort_unstable();
    assert_eq!(to, [1002, 1003]);
    assert_eq!(server.discarded(Discard::BadMessageAuthenticator), 1);
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_line_is_bounded_and_a_late_answer_finds_nobody() {
    let mut server = server(LAYOUTS[1], "nat = true\nlimits = { held_packets = 2, pending = 1 }");
    for port in 1001..1006 {
        server.ask(nat(port), &bob(b"site-1", ONE).octets());
    }
    assert_eq!(server.discarded(Discard::HeldFull), 3);
    server.ask(nat(1001), &bob(b"site-2", TWO).octets());
    assert_eq!(server.discarded(Discard::LookUpLimit), 1);
    server.run(Duration::from_secs(31));
    assert_eq!(server.discarded(Discard::LookUpTimedOut), 2);
    assert!(server.look_up().1.is_empty());
    assert_eq!((server.count("effects_late"), server.count("connections")), (1, 0));
    server.assert_nothing_is_left();
}

#[test]
fn an_answer_that_says_no_is_kept_under_its_key_and_nowhere_else() {
    let mut server = server(LAYOUTS[0], "nat = true\nnegative_lifetime = \"30s\"");
    assert!(ask(&mut server, nat(1001), &bob(b"site-9", ONE).octets()).is_empty());
    assert!(ask(&mut server, nat(1001), &bob(b"site-9", ONE).identifier(2).octets()).is_empty());
    assert_eq!((server.discarded(Discard::ClientDenied), server.count("look_ups")), (2, 1));
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    server.run(Duration::from_secs(30));
    assert!(ask(&mut server, nat(1002), &bob(b"site-9", ONE).octets()).is_empty());
    assert_eq!(server.count("look_ups"), 3);
    // A look-up that failed is kept nowhere.
    server.ask(nat(1003), &bob(b"site-2", TWO).octets());
    server.answer_look_up(LookedUp::Failed);
    assert_eq!(server.discarded(Discard::LookUpFailed), 1);
    accepted(&mut server, nat(1003), TWO, &bob(b"site-2", TWO).identifier(2));
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn unsigned_packets_admit_nobody_and_keep_no_connection_alive() {
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true\nidle_timeout = \"10s\"");
        let unsigned = |identifier| bob(b"site-1", ONE).identifier(identifier).unsigned().octets();
        assert!(server.ask(nat(1001), &unsigned(1)).is_empty());
        assert_eq!(server.discarded(Discard::UnsignedStranger), 1);
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
        server.run(Duration::from_secs(9));
        assert!(server.ask(nat(1001), &unsigned(2)).is_empty());
        assert_eq!((server.discarded(Discard::UnsignedBehindNat), server.count("connections")), (1, 1));
        server.run(Duration::from_nanos(999_999_999));
        assert_eq!(server.count("connections"), 1);
        server.run(Duration::from_nanos(1));
        assert_eq!(server.count("connections"), 0);
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_connection_ends_exactly_when_it_was_idle_for_long_enough_or_its_clients_time_is_over() {
    let mut server = server(LAYOUTS[2], "nat = true\nidle_timeout = \"10s\"\nlifetime = \"25s\"");
    for second in 0..3u8 {
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(second).authenticator(second));
        if second == 0 {
            accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO));
        }
        server.run(Duration::from_secs(8));
        // A sibling's end touches no other.
        assert_eq!(server.count("connections"), if second == 0 { 2 } else { 1 });
    }
    server.run(Duration::from_nanos(999_999_999));
    assert_eq!(server.count("connections"), 1);
    server.run(Duration::from_nanos(1));
    assert_eq!(server.count("connections"), 0);
    // What was a client is looked up anew.
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(9).authenticator(9));
    assert_eq!(server.count("look_ups"), 3);
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_packet_without_the_key_is_of_one_who_was_admitted_from_there_last() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let any = format!(
        "{USERS}\n[[client_rule]]\nname = \"any\"\nnetwork = \"100.64.0.0/10\"\nnat = true\n\
         secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n"
    );
    let mut server = Server::new(LAYOUTS[2], &any);
    let status = Ask::status().under(TWO).octets();
    assert!(ask(&mut server, nat(2000), &status).is_empty());
    assert_eq!(server.discarded(Discard::NoLookUpKey), 1);
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO));
    let sent = ask(&mut server, nat(2000), &status);
    assert_eq!(sent.len(), 1, "{}", server.table());
    Reply::under(TWO, &status, &sent[0].octets);
    // From another address nobody was admitted.
    assert!(ask(&mut server, SocketAddr::from(([100, 64, 0, 2], 2000)), &status).is_empty());
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_client_keyed_by_its_address_is_known_from_all_its_ports_and_gives_way_to_who_verifies() {
    for layout in LAYOUTS {
        let mut server = server(layout, "require_message_authenticator = false");
        for port in 1001..1020 {
            accepted(
                &mut server,
                nat(port),
                ONE,
                &bob(b"site-1", ONE).identifier(port as u8).authenticator(port as u8),
            );
        }
        assert_eq!(server.count("look_ups"), 1);
        assert!(server.count("connections") <= 3);
        // Unsigned ones are taken from who is known.
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(9).unsigned());
        // The line has got another address.
        accepted(&mut server, nat(1001), TWO, &bob(b"site-2", TWO));
        assert_eq!(server.count("connections_taken_over"), 1);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn the_longer_network_decides_and_at_equal_length_the_configured_client_unless_the_rule_is_preferred() {
    let from = |last: u8, port: u16| SocketAddr::from(([203, 0, 113, last], port));
    let with = |network: &str, prefer: &str| {
        let rule = rule("nat = true").replace("203.0.113.128/25", network) + prefer;
        Server::new(LAYOUTS[2], &rule)
    };
    // `strict` has 203.0.113.0/24.
    let mut longer = with("203.0.113.128/25", "");
    accepted(&mut longer, from(200, 1), ONE, &bob(b"site-1", ONE));
    accepted(&mut longer, from(100, 1), support::SECRET, &bob(b"site-1", support::SECRET));
    let mut equal = with("203.0.113.0/24", "");
    accepted(&mut equal, from(200, 1), support::SECRET, &bob(b"site-1", support::SECRET));
    let mut preferred = with("203.0.113.0/24", "prefer = \"dynamic\"\n");
    accepted(&mut preferred, from(200, 1), ONE, &bob(b"site-1", ONE));
}

#[test]
fn two_secrets_while_rotating_both_admit_and_each_signs_its_reply() {
    let mut server = server(LAYOUTS[2], "nat = true");
    accepted(&mut server, nat(1), NEW_THREE, &bob(b"site-3", NEW_THREE));
    accepted(&mut server, nat(2), OLD_THREE, &bob(b"site-3", OLD_THREE).identifier(2));
    assert_eq!((server.count("verified_by_old_secret"), server.count("look_ups")), (1, 1));
    // Who still has the old one is told once.
    accepted(&mut server, nat(2), OLD_THREE, &bob(b"site-3", OLD_THREE).identifier(3).authenticator(3));
    let told = server.events.iter().filter(|event| matches!(event, Event::OldSecret { .. })).count();
    assert_eq!((server.count("verified_by_old_secret"), told), (2, 1));
}

#[test]
fn an_answer_that_was_on_its_way_when_its_table_changed_is_not_believed() {
    let mut server = server(LAYOUTS[2], "nat = true");
    server.ask(nat(1), &bob(b"site-1", ONE).octets());
    let source = server.configuration.secret_tables[0].source.clone();
    let keys = [Box::from(&b"site-1"[..])];
    server.threads.iter_mut().for_each(|cores| cores.handle_table_changed(&source, &keys));
    assert!(server.look_up().1.is_empty());
    assert_eq!((server.discarded(Discard::LookUpFailed), server.count("connections")), (1, 0));
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    assert_eq!(server.count("look_ups"), 2);
}

#[test]
fn limits_hold_back_who_is_new_and_harm_nobody_who_is_known() {
    let mut server = server(
        LAYOUTS[2],
        "nat = true\nidle_timeout = \"20s\"\nlimits = { clients = 1, per_address = { connections = 2 } }",
    );
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    assert!(ask(&mut server, nat(2), &bob(b"site-2", TWO).octets()).is_empty());
    assert_eq!(server.discarded(Discard::ClientsFull), 1);
    accepted(&mut server, nat(3), ONE, &bob(b"site-1", ONE).identifier(3).authenticator(3));
    assert!(
        ask(&mut server, nat(4), &bob(b"site-1", ONE).identifier(4).authenticator(4).octets()).is_empty()
    );
    assert_eq!(server.discarded(Discard::ConnectionsFull), 1);
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE).identifier(5).authenticator(5));
    // When they are gone there is room.
    server.run(Duration::from_secs(21));
    accepted(&mut server, nat(4), ONE, &bob(b"site-1", ONE).identifier(6).authenticator(6));
}

#[test]
fn a_client_too_fast_is_slowed_and_a_forger_makes_nobody_too_fast() {
    let mut server = server(LAYOUTS[0], "nat = true\nlimits = { packets_per_second = 3 }");
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    for identifier in 10..20 {
        server.ask(nat(1), &bob(b"site-1", ONE).forged().identifier(identifier).octets());
    }
    let sent = (2..6)
        .map(|n| server.ask(nat(1), &bob(b"site-1", ONE).identifier(n).authenticator(n).octets()).len());
    assert_eq!(sent.sum::<usize>(), 2);
    assert_eq!(server.discarded(Discard::ClientTooFast), 2);
}

#[test]
fn replays_of_a_clients_requests_make_it_no_slower() {
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true\nlimits = { packets_per_second = 5 }");
        let recorded: Vec<Ask> = (1..5).map(|n| bob(b"site-1", ONE).identifier(n).authenticator(n)).collect();
        for asked in &recorded {
            accepted(&mut server, nat(1), ONE, asked);
        }
        // Duplicates, as long as they are known as such, and then as new ones, of which only a few are taken.
        for span in [1, 15] {
            server.run(Duration::from_secs(span));
            for _ in 0..20 {
                for asked in &recorded {
                    ask(&mut server, nat(1), &asked.octets());
                }
                server.run(Duration::from_millis(1));
            }
            let n = 100 + span as u8;
            accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE).identifier(n).authenticator(n));
        }
        assert_eq!(server.discarded(Discard::ClientTooFast), 0);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_changed_secret_ends_just_that_clients_connections_and_what_is_under_way_ends_under_its_own() {
    let mut server = server(LAYOUTS[2], "nat = true");
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    accepted(&mut server, nat(2), TWO, &bob(b"site-2", TWO));
    // A reject waits for a second.
    let wrong = Ask::wrong()
        .with(number::NAS_IDENTIFIER, b"site-1")
        .under(ONE)
        .identifier(9)
        .authenticator(9)
        .octets();
    assert!(server.ask(nat(1), &wrong).is_empty());
    let source = server.configuration.secret_tables[0].source.clone();
    let keys = [Box::from(&b"site-1"[..])];
    server.threads.iter_mut().for_each(|cores| cores.handle_table_changed(&source, &keys));
    let secret = |octets: &[u8]| Secrets::one(Secret::new(octets).expect("it has octets"));
    let before = server.count("look_ups");
    assert!(
        server.ask(nat(1), &bob(b"site-1", OLD_THREE).identifier(10).authenticator(10).octets()).is_empty()
    );
    let (_, sent) = server
        .answer_look_up(LookedUp::Found { name: "site-1".into(), secrets: Box::new(secret(OLD_THREE)) });
    assert_eq!((sent.len(), server.count("look_ups")), (1, before + 1));
    accepted(&mut server, nat(2), TWO, &bob(b"site-2", TWO).identifier(3).authenticator(3));
    assert_eq!(server.count("look_ups"), before + 1);
    let sent_before = server.sent.len();
    server.run(Duration::from_secs(2));
    assert_eq!(server.sent.len(), sent_before + 1);
    assert_eq!(Reply::under(ONE, &wrong, &server.sent[sent_before].octets).code, Code::AccessReject);
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_reload_ends_clients_whose_rule_has_changed_and_keeps_the_others() {
    let file =
        |lifetime: &str| configuration(LAYOUTS[2], &rule(&format!("nat = true\nlifetime = \"{lifetime}\"")));
    let mut server = Server::of(&file("1h"));
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    server.reload(&file("1h"));
    server.settle();
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
    assert_eq!(server.count("look_ups"), 1);
    server.settle();
    server.forget_older();
    server.reload(&file("2h"));
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE).identifier(3).authenticator(3));
    assert_eq!(server.count("look_ups"), 2);
    server.settle();
    server.forget_older();
    // No rule is left: what comes from there is nobody's.
    server.reload(&configuration(LAYOUTS[2], USERS));
    assert!(server.ask(nat(1), &bob(b"site-1", ONE).identifier(4).authenticator(4).octets()).is_empty());
    assert_eq!((server.discarded(Discard::UnknownClient), server.count("connections")), (1, 0));
}

#[test]
fn what_a_worker_hands_back_at_the_end_of_a_turn_keeps_no_configuration_from_being_forgotten() {
    let file = configuration(LAYOUTS[0], &rule("nat = true"));
    let mut server = Server::of(&file);
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    server.reload(&file);
    server.settle();
    assert!(!server.threads[0].needs_older());
    // Another step of the reload comes after a turn in which a worker, on the same thread, has found a request seen before, and its
    // reply waits for the next turn to leave: under the configuration in force.
    let path = server.path(0, 0, nat(2));
    server.threads[0].begin();
    server.threads[0].sweep(server.now);
    server.threads[0].handle_datagram(path, &bob(b"site-1", ONE).octets(), server.now);
    server.finish_turn(0);
    assert!(server.threads[0].has_output(), "or the situation is another");
    assert!(!server.threads[0].needs_older());
    server.forget_older();
    server.settle();
    assert_eq!(server.count("duplicates_resent"), 1);
}

#[test]
fn what_no_rule_matches_is_asked_of_no_table() {
    let mut server = server(LAYOUTS[1], "nat = true");
    assert!(server.ask(nat(1), &bob(b"plant-1", ONE).octets()).is_empty());
    assert_eq!((server.discarded(Discard::NoClientRule), server.effects.len()), (1, 0));
    server.assert_nothing_is_left();
}

#[test]
fn a_full_line_of_look_ups_keeps_nothing_against_anybody() {
    let mut server = server(LAYOUTS[2], "nat = true");
    let asked = bob(b"site-1", ONE);
    server.ask(nat(1), &asked.octets());
    assert!(server.shed_effect().is_empty());
    assert_eq!(server.discarded(Discard::LookUpLineFull), 1);
    accepted(&mut server, nat(1), ONE, &asked);
}

#[test]
fn strangers_are_looked_at_up_to_a_pace_and_a_worker_holds_so_many_of_them() {
    let mut paced = server(LAYOUTS[0], "nat = true\n[limits]\nunverified_per_second = 2");
    for port in 1..6 {
        paced.ask(nat(port), &bob(b"site-1", TWO).octets());
    }
    assert_eq!(paced.discarded(Discard::StrangersTooFast), 3);
    let mut small = server(&format!("{}requests_max = 4\n", LAYOUTS[0]), "nat = true");
    small.ask(nat(1), &bob(b"site-1", ONE).octets());
    small.ask(nat(2), &bob(b"site-2", TWO).octets());
    assert_eq!(small.discarded(Discard::StrangersFull), 1);
    // Who is known is served all the same.
    small.look_up();
    small.ask(nat(2), &bob(b"site-2", TWO).identifier(2).octets());
    assert_eq!(small.effects.len(), 1);
    let asked = bob(b"site-1", ONE).identifier(2).authenticator(2);
    assert_eq!(small.ask(nat(1), &asked.octets()).len(), 1);
}

#[test]
fn addresses_of_clients_are_bounded_and_give_way_to_others_when_nothing_is_left_of_them() {
    let rule = |keys: &str| {
        format!(
            "{USERS}\n[[client_rule]]\nname = \"all\"\nnetwork = \"100.64.0.0/10\"\nnat = true\n\
             secret = \"the secret of site one\"\nidle_timeout = \"1h\"\n\
             limits = {{ connections = 1_000_000, connections_per_client = 1_000_000, packets_per_second = 0 }}\n\
             [limits]\nconnections = 70_000\n{keys}"
        )
    };
    let mut server = Server::new(LAYOUTS[0], &rule(""));
    let from = |number: u32| SocketAddr::from(((0x6440_0000 + number).to_be_bytes(), 1));
    let asked = |number: u32| Ask::bob().under(ONE).numbered(number);
    for number in 0..65_600 {
        server.ask(from(number), &asked(number).octets());
    }
    assert_eq!((server.discarded(Discard::AddressesFull), server.count("connections")), (64, 65_536));
    // When they have ended there is room again at once.
    server.pass(Duration::from_secs(3_600));
    for _ in 0..300 {
        server.turn(0);
    }
    assert_eq!(server.count("connections"), 0);
    assert_eq!(server.ask(from(70_000), &asked(70_000).octets()).len(), 1);
}

#[test]
fn invented_names_from_invented_addresses_keep_no_address_and_nobody_waiting() {
    let mut server = server(LAYOUTS[0], "nat = true");
    for number in 0..70_000u32 {
        let from = SocketAddr::from(((0x6440_0000 + number).to_be_bytes(), 1));
        server.ask(from, &bob(format!("site-9{number}").as_bytes(), TWO).octets());
        if !server.effects.is_empty() {
            server.answer_look_up(LookedUp::NotFound);
        }
    }
    assert_eq!(server.discarded(Discard::AddressesFull), 0);
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
}

#[test]
fn a_recorded_request_takes_no_place_of_another() {
    for layout in LAYOUTS {
        let rules = rule("nat = true").replace(USERS, support::HASHED);
        let mut server = Server::new(layout, &rules);
        let old = bob(b"site-1", ONE).identifier(7).authenticator(1).octets();
        assert_eq!(ask(&mut server, nat(1), &old).len(), 1);
        server.run(Duration::from_secs(15));
        // A new request of that Identifier waits for a hash.
        let new = Ask::user(b"alice", b"secret").with(number::NAS_IDENTIFIER, b"site-1").under(ONE);
        let new = new.identifier(7).authenticator(2).octets();
        server.ask(nat(1), &new);
        assert_eq!(server.effects.len(), 1);
        for _ in 0..40 {
            assert!(server.ask(nat(1), &old).is_empty());
        }
        assert_eq!((server.discarded(Discard::Replayed), server.count("superseded")), (40, 0));
        // Nor does it spend what the client's own late retransmissions need.
        assert_eq!(server.answer_effect("secret").len(), 1);
        assert_eq!(server.ask(nat(1), &new).len(), 1);
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_request_that_comes_again_by_another_known_connection_of_its_client_is_decided_once() {
    for layout in LAYOUTS {
        let mut server = Server::new(layout, &rule("nat = true").replace(USERS, support::HASHED));
        // All of one client, each known where it is: in whichever network core.
        for port in 1001..1009 {
            let own = bob(b"site-1", ONE).identifier(port as u8).authenticator(port as u8);
            accepted(&mut server, nat(port), ONE, &own);
        }
        let alice = Ask::user(b"alice", b"secret").with(number::NAS_IDENTIFIER, b"site-1").under(ONE);
        let asked = alice.identifier(7).authenticator(200).octets();
        assert!(server.ask(nat(1001), &asked).is_empty());
        let decided = server.count("accepted");
        // While it waits for its hash, and then: as on its own connection.
        for port in 1002..1009 {
            assert!(server.ask(nat(port), &asked).is_empty());
        }
        assert_eq!(server.effects.len(), 1, "one hash");
        let reply = server.answer_effect("secret");
        assert_eq!(reply.len(), 1);
        for port in 1002..1009 {
            let sent = server.ask(nat(port), &asked);
            assert_eq!(sent.len(), 1, "{port}: {}", server.table());
            assert_eq!((&sent[0].octets, sent[0].transmit.destination), (&reply[0].octets, nat(port)));
        }
        assert_eq!((server.count("accepted"), server.effects.len()), (decided, 0));
        server.run(Duration::from_secs(200));
        server.assert_nothing_is_left();
    }
}

#[test]
fn one_client_cannot_have_all_connections_of_its_address() {
    let mut server = server(LAYOUTS[2], "nat = true\nlimits = { connections_per_client = 3 }");
    for port in 1..20 {
        ask(
            &mut server,
            nat(port),
            &bob(b"site-1", ONE).identifier(port as u8).authenticator(port as u8).octets(),
        );
    }
    assert_eq!((server.count("connections"), server.discarded(Discard::ConnectionsFull)), (3, 16));
    accepted(&mut server, nat(30), TWO, &bob(b"site-2", TWO));
}

#[test]
fn at_the_limit_a_client_whose_line_has_changed_and_a_take_over_find_their_place() {
    let mut server = server(LAYOUTS[2], "nat = true\nlimits = { connections = 2 }");
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    accepted(&mut server, nat(2), TWO, &bob(b"site-2", TWO));
    let source = server.configuration.secret_tables[0].source.clone();
    let keys = [Box::from(&b"site-1"[..])];
    server.threads.iter_mut().for_each(|cores| cores.handle_table_changed(&source, &keys));
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
    accepted(&mut server, nat(1), TWO, &bob(b"site-2", TWO).identifier(3).authenticator(3));
    assert_eq!((server.count("connections"), server.discarded(Discard::ConnectionsFull)), (2, 0));
}

#[test]
fn from_connections_to_an_address_and_back_nobody_is_silenced() {
    let file = |keys: &str| configuration(LAYOUTS[2], &rule(keys));
    let mut server = Server::of(&file("nat = true"));
    let mut n = 0;
    let mut asks = |server: &mut Server| {
        n += 1;
        accepted(server, nat(1), ONE, &bob(b"site-1", ONE).identifier(n).authenticator(n));
    };
    for keys in ["nat = true", "", "nat = true", ""] {
        server.reload(&file(keys));
        server.settle();
        asks(&mut server);
        asks(&mut server);
        server.settle();
        server.forget_older();
    }
    server.run(Duration::from_secs(200));
    server.assert_nothing_is_left();
}

#[test]
fn a_configured_client_that_came_while_a_worker_decided_is_nobody_elses() {
    let file = |more: &str| configuration(LAYOUTS[2], &(rule("nat = true") + more));
    let mut server = Server::of(&file(""));
    server.ask(nat(1), &bob(b"site-1", ONE).octets());
    let own = "[[client]]\nname = \"own\"\nnetwork = \"100.64.0.1\"\nsecret = \"a secret of the branch\"\n";
    server.reload(&file(own));
    assert!(server.look_up().1.is_empty());
    assert_eq!((server.count("connections"), server.discarded(Discard::NoClientRule)), (0, 1));
    accepted(&mut server, nat(1), support::SECRET, &bob(b"site-1", support::SECRET).identifier(2));
}

#[test]
fn status_servers_of_one_client_are_paced_and_its_own_recorded_ones_cost_it_nothing() {
    let mut server = server(LAYOUTS[0], "nat = true\nlimits = { packets_per_second = 5 }");
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    let status = |n: u8| Ask::status().under(ONE).identifier(n).authenticator(n).octets();
    let answered = |server: &mut Server, n: u8| server.ask(nat(1), &status(n)).len();
    assert_eq!((0..20).map(|_| answered(&mut server, 50)).sum::<usize>(), 20);
    assert_eq!((60..80).map(|n| answered(&mut server, n)).sum::<usize>(), 3);
    assert_eq!(server.discarded(Discard::ClientTooFast), 17);
}

#[test]
fn what_a_dead_core_had_taken_starts_anew() {
    for (thread, peer) in [(0, Peer::Network(NetworkId(0))), (1, Peer::Worker(WorkerId(0)))] {
        let mut server = Server::new(
            "[runtime]\nnetwork_threads = 1\nworkers = 1\n",
            &rule("nat = true").replace(USERS, support::HASHED),
        );
        accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
        let asked = Ask::user(b"alice", b"secret").with(number::NAS_IDENTIFIER, b"site-1").under(ONE);
        let asked = asked.identifier(9).authenticator(9).octets();
        server.ask(nat(1), &asked);
        server.effects.clear();
        server.die(thread, peer);
        server.settle();
        // Its client is known no more where the worker has died, and its connection where the network core has.
        server.ask(nat(1), &asked);
        while server.effects.iter().any(|(_, _, effect)| matches!(effect, Effect::LookUp(_))) {
            server.look_up();
        }
        assert_eq!(server.answer_effect("secret").len(), 1, "{}", server.table());
    }
}

#[test]
fn what_admitted_its_client_and_was_not_taken_is_no_replay() {
    let mut server =
        server(LAYOUTS[0], "nat = true\nidle_timeout = \"1s\"\nlimits = { packets_per_second = 1 }");
    accepted(&mut server, nat(1), ONE, &bob(b"site-1", ONE));
    let asked = bob(b"site-1", ONE).identifier(2).authenticator(2);
    assert!(ask(&mut server, nat(2), &asked.octets()).is_empty());
    assert_eq!(server.discarded(Discard::ClientTooFast), 1);
    // Its connection has ended when it is sent again.
    server.run(Duration::from_secs(5));
    accepted(&mut server, nat(2), ONE, &asked);
}

#[test]
fn requests_of_one_authenticator_and_several_identifiers_are_not_the_same() {
    for layout in LAYOUTS {
        let mut server = server(layout, "nat = true");
        for n in 1..20u8 {
            accepted(&mut server, nat(1 + u16::from(n % 3)), ONE, &bob(b"site-1", ONE).identifier(n));
        }
        assert_eq!((server.count("duplicates_resent"), server.discarded(Discard::Replayed)), (0, 0));
    }
}
