//! Connections with a socket of their own: which get one, which keep it, and when it is closed.

mod support;

use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Reply, Server, USERS, configuration};
use ulna_core::Path;
use ulna_core::event::Event;
use ulna_core::network::connected::{OwnSocket, SocketOrder};
use ulna_core::packet::{Code, number};
use ulna_core::path::{NetworkId, Peer};

const ONE: &[u8] = b"the secret of site one";
const TWO: &[u8] = b"the secret of site two";

const LAYOUTS: [&str; 3] = [
    "[runtime]\nnetwork_threads = 0\nworkers = 1\n",
    "[runtime]\nnetwork_threads = 0\nworkers = 3\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 3\n",
];

/// Rules for site one and for all others behind 100.64.0.0/10, with these keys each.
fn text(layout: &str, of_one: &str, of_others: &str) -> String {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    let rule = |name: &str, when: &str, keys: &str| {
        format!(
            "[[client_rule]]\nname = \"{name}\"\nnetwork = \"100.64.0.0/10\"\nwhen = {{ NAS-Identifier = {when} }}\n\
             secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\nidle_timeout = \"10s\"\n{keys}\n"
        )
    };
    let one = rule("one", "\"site-1\"", of_one);
    let others = rule("others", "{ regex = \"^site-\" }", of_others);
    configuration(layout, &format!("{USERS}\n{one}{others}"))
}

fn nat(port: u16) -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 1], port))
}

fn bob(site: &[u8], secret: &'static [u8]) -> Ask {
    Ask::bob().with(number::NAS_IDENTIFIER, site).under(secret)
}

/// Is accepted under this secret; look-ups are answered.
fn accepted(server: &mut Server, remote: SocketAddr, secret: &'static [u8], asked: &Ask) {
    let octets = asked.octets();
    let mut sent = server.ask(remote, &octets);
    while !server.effects.is_empty() {
        sent.extend(server.look_up().1);
    }
    assert_eq!(sent.len(), 1, "{}", server.table());
    assert_eq!(sent[0].transmit.destination, remote);
    assert_eq!(Reply::under(secret, &octets, &sent[0].octets).code, Code::AccessAccept);
}

/// All that was ordered since it was asked last: the threads and the orders.
fn orders(server: &mut Server) -> Vec<(usize, SocketOrder)> {
    std::mem::take(&mut server.orders)
}

/// The one that was to be opened.
fn opened(server: &mut Server) -> (usize, OwnSocket, Path) {
    let orders = orders(server);
    let [(thread, SocketOrder::Open { socket, path, at_most: 1_000 })] = orders[..] else {
        panic!("one socket is opened: {orders:?}");
    };
    (thread, socket, path)
}

const NAT: &str = "nat = true";
const CONNECTED: &str = "nat = true\nconnected = true";

#[test]
fn a_socket_is_opened_with_its_connection_and_closed_exactly_with_it() {
    for layout in LAYOUTS {
        let mut server = Server::of(&text(layout, CONNECTED, CONNECTED));
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
        let (thread, one, path) = opened(&mut server);
        assert_eq!((thread, path.remote), (server.owner(nat(1001)), nat(1001)));
        assert_eq!(path.local, server.configuration.listeners[0].address);
        accepted(&mut server, nat(1002), TWO, &bob(b"site-2", TWO));
        let (other_thread, two, _) = opened(&mut server);
        assert!(one != two || thread != other_thread);
        // A known connection costs no further order.
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
        server.run(Duration::from_nanos(9_999_999_999));
        assert!(orders(&mut server).is_empty());
        server.run(Duration::from_nanos(1));
        let mut closed = orders(&mut server);
        closed.sort_by_key(|(_, order)| *order != SocketOrder::Close { socket: one });
        let close = |socket| SocketOrder::Close { socket };
        assert_eq!(closed, [(thread, close(one)), (other_thread, close(two))]);
        server.run(Duration::from_secs(200));
        assert!(orders(&mut server).is_empty());
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_connection_that_changes_hands_keeps_its_socket_unless_the_new_client_is_to_have_none() {
    for layout in LAYOUTS {
        for (of_others, is_kept) in [(CONNECTED, true), (NAT, false)] {
            let mut server = Server::of(&text(layout, CONNECTED, of_others));
            accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
            let (thread, socket, _) = opened(&mut server);
            // Who only claims to be another changes nothing.
            server.ask(nat(1001), &bob(b"site-2", ONE).identifier(2).octets());
            while !server.effects.is_empty() {
                assert!(server.look_up().1.is_empty());
            }
            assert!(orders(&mut server).is_empty());
            accepted(&mut server, nat(1001), TWO, &bob(b"site-2", TWO).identifier(3));
            assert_eq!(server.count("connections_taken_over"), 1);
            let closed: &[_] = &[(thread, SocketOrder::Close { socket })];
            assert_eq!(orders(&mut server), if is_kept { &[] } else { closed });
            // And back: one that has none gets one.
            accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(4).authenticator(4));
            if is_kept {
                assert!(orders(&mut server).is_empty());
            } else {
                assert_ne!(opened(&mut server).1, socket);
            }
            server.run(Duration::from_secs(200));
            assert_eq!(orders(&mut server).len(), 1);
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_rule_decides_and_where_it_says_nothing_the_listener() {
    let with_listener = |keys: &str| {
        let text = text(LAYOUTS[0], keys, "");
        text.replacen(
            "packets = [\"access\", \"status\"]",
            "connected = true\npackets = [\"access\", \"status\"]",
            1,
        )
    };
    let without = text(LAYOUTS[0], NAT, "");
    for (text, expected) in [
        (with_listener(NAT), 1),
        (with_listener("nat = true\nconnected = false"), 0),
        (without, 0),
        // A client of one address has many ports.
        (with_listener(""), 0),
    ] {
        let mut server = Server::of(&text);
        accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
        assert_eq!(orders(&mut server).len(), expected, "{text}");
    }
}

#[test]
fn one_that_is_refused_is_asked_for_again_when_its_client_comes_again() {
    let mut server = Server::of(&text(LAYOUTS[2], CONNECTED, CONNECTED));
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    let (thread, socket, _) = opened(&mut server);
    server.threads[thread].handle_socket_refused(socket);
    // It is served from the table.
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
    server.run(Duration::from_secs(10));
    assert_eq!(server.count("connections"), 0);
    assert!(orders(&mut server).is_empty(), "what was refused is not closed");
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(3).authenticator(3));
    let (_, again, _) = opened(&mut server);
    assert_eq!(again.place, socket.place, "places are used again");
    // What is said about the first of that place is not about this one.
    server.threads[thread].handle_socket_refused(socket);
    server.run(Duration::from_secs(10));
    assert_eq!(orders(&mut server), [(thread, SocketOrder::Close { socket: again })]);
}

#[test]
fn no_order_is_given_twice_though_its_core_dies() {
    let mut server = Server::of(&text(LAYOUTS[2], CONNECTED, CONNECTED));
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    let (thread, ..) = opened(&mut server);
    server.die(thread, Peer::Network(NetworkId(thread as u16)));
    server.settle();
    // Its driver has closed all that were its: the successor knows of none.
    assert!(orders(&mut server).is_empty());
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
    let (_, socket, _) = opened(&mut server);
    server.run(Duration::from_secs(200));
    assert_eq!(orders(&mut server), [(thread, SocketOrder::Close { socket })]);
}

#[test]
fn what_the_network_says_is_counted_for_its_client_and_changes_nothing() {
    let mut server = Server::of(&text(LAYOUTS[0], CONNECTED, CONNECTED));
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE));
    let (thread, _, path) = opened(&mut server);
    server.events.clear();
    let now = server.now;
    for _ in 0..9 {
        server.threads[thread].handle_unreachable(path, now);
    }
    // Of nobody's: counted in all.
    server.threads[thread].handle_unreachable(Path { remote: nat(1002), ..path }, now);
    assert_eq!(server.count("unreachable"), 10);
    server.settle();
    let told = server.events.iter().filter_map(|event| match event {
        Event::Unreachable { remote, client, times, .. } => Some((*remote, client.octets().to_vec(), *times)),
        Event::Finished { .. }
        | Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told.iter().map(|(.., times)| *times).collect::<Vec<_>>(), [1, 2, 4, 8]);
    assert!(told.iter().all(|(remote, client, _)| *remote == nat(1001) && client == b"site-1"), "{told:?}");
    accepted(&mut server, nat(1001), ONE, &bob(b"site-1", ONE).identifier(2).authenticator(2));
    assert!(orders(&mut server).is_empty());
    // It does not count as having been heard, either.
    server.run(Duration::from_secs(10));
    assert_eq!(server.count("connections"), 0);
}
