//! A NAS sends a request again after it was answered: the reply was lost. RFC 5080 §2.2.2.

mod support;

use support::{Ask, Server, USERS, nas};
use ulna_core::packet::number;

const LAYOUTS: [&str; 3] = [
    "[runtime]\nnetwork_threads = 0\nworkers = 1\n",
    "[runtime]\nnetwork_threads = 1\nworkers = 1\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 2\n",
];

// checklist 35
#[test]
fn it_gets_the_same_octets_and_policy_does_not_run_again() {
    for layout in LAYOUTS {
        for request in [Ask::bob(), Ask::bob().unsigned()] {
            let request = request.octets();
            let mut server = Server::new(layout, USERS);
            let first = server.ask(nas(1000), &request);
            assert_eq!(first.len(), 1);
            for _ in 0..3 {
                let again = server.ask(nas(1000), &request);
                assert_eq!(again.len(), 1);
                assert_eq!(again[0].octets, first[0].octets);
                assert_eq!(again[0].transmit, first[0].transmit);
            }
            assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (1, 3));
            server.assert_nothing_is_left();
        }
    }
}

// checklist 34
#[test]
fn another_port_address_listener_code_or_identifier_is_another_request() {
    let mut server = Server::new(LAYOUTS[1], USERS);
    let request = Ask::bob().octets();
    server.ask(nas(1000), &request);
    server.ask(nas(1001), &request);
    server.ask("198.51.100.8:1000".parse().unwrap(), &request);
    server.ask("[2001:db8:1::7]:1000".parse().unwrap(), &request);
    server.ask(nas(1000), &Ask::bob().identifier(2).octets());
    // To another of the server's addresses, through the same socket: a listener on a wildcard.
    let mut path = server.path(0, 0, nas(1000));
    path.local = "192.0.2.2:1812".parse().unwrap();
    server.threads[0].handle_datagram(path, &request, server.now);
    server.settle();
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (6, 0));
    assert_eq!(server.sent.last().unwrap().transmit.source, Some("192.0.2.2".parse().unwrap()));
    server.assert_nothing_is_left();
}

// checklist 7
#[test]
fn replies_leave_through_the_socket_and_from_the_address_that_was_asked() {
    let mut server = Server::new(LAYOUTS[2], USERS);
    for port in 1000..1016 {
        let sent = server.ask(nas(port), &Ask::bob().octets());
        let path = server.path(server.owner(nas(port)), 0, nas(port));
        assert_eq!(sent.iter().map(|sent| sent.transmit).collect::<Vec<_>>(), [path.reversed()]);
        assert_eq!(sent[0].transmit.source, Some("192.0.2.1".parse().unwrap()));
    }
    server.assert_nothing_is_left();
}

#[test]
fn a_reply_that_could_not_be_kept_is_not_made_again() {
    // One page of replies: sixteen of the longest class.
    let rules = format!(
        "[[server.new]]\naccept = true\nset_reply = {{ Reply-Message = [{}] }}\n",
        vec![format!("\"{}\"", "x".repeat(250)); 10].join(",")
    );
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nreplies_octets_max = 65_536\n";
    let mut server = Server::new(settings, &rules);
    for identifier in 0..16 {
        assert_eq!(server.ask(nas(1000), &Ask::bob().identifier(identifier).octets()).len(), 1);
    }
    // An unsigned request must not push out the reply to a signed one.
    let unsigned = Ask::bob().unsigned().identifier(16).octets();
    assert_eq!(server.ask(nas(1000), &unsigned).len(), 1);
    assert_eq!((server.count("replies_not_kept"), server.count("replies_evicted")), (1, 0));
    assert_eq!(server.ask(nas(1000), &Ask::bob().identifier(15).octets()).len(), 1);
    assert_eq!(server.ask(nas(1000), &unsigned).len(), 0);
    assert_eq!(server.discards(), [("reply-not-kept", 1)].into());
    assert_eq!((server.count("decisions"), server.count("answered")), (17, 17));
    server.assert_nothing_is_left();
}

#[test]
fn a_long_reply_is_kept_though_short_ones_fill_the_store() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nreplies_octets_max = 65_536\n";
    let mut server = Server::new(settings, USERS);
    // More than are looked at one by one, all of one class.
    for number in 0..200 {
        server.ask(nas(2000 + number), &Ask::bob().octets());
    }
    let request = (0..6).fold(Ask::bob(), |ask, _| ask.with(number::PROXY_STATE, &[7; 200])).octets();
    let first = server.ask(nas(1000), &request);
    let again = server.ask(nas(1000), &request);
    assert_eq!(first[0].octets, again[0].octets);
    assert_eq!((server.count("replies_evicted"), server.count("replies_not_kept")), (200, 0));
    // The others are decided again: they were given up, and counted.
    assert_eq!(server.ask(nas(2000), &Ask::bob().octets()).len(), 1);
    assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (202, 1));
    server.assert_nothing_is_left();
}
