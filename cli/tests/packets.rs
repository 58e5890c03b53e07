//! Single packets over loopback: replies from the address that was asked, discards by name, and no secret in any line.

mod support;

use std::net::{SocketAddr, UdpSocket};

use support::{
    Nas, PASSWORD, PATIENCE, Ulna, WRONG_PASSWORD, bob, code_of_reply, configuration, on_free_ports, pap,
    secret,
};
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, Secret, number};

const LAYOUTS: [&str; 2] =
    ["[runtime]\nnetwork_threads = 0\nworkers = 2\n", "[runtime]\nnetwork_threads = 2\nworkers = 1\n"];

// checklist 7
#[test]
fn a_listener_on_the_wildcard_replies_from_the_address_that_was_asked() {
    for layout in LAYOUTS {
        let ulna = Ulna::start(&configuration(r#"["0.0.0.0:0", "[::]:0"]"#, r#""127.0.0.1:0""#, layout));
        for (local, server) in
            [("127.0.0.1:0", "127.0.0.2"), ("127.0.0.2:0", "127.0.0.1"), ("[::1]:0", "::1")]
        {
            let server: std::net::IpAddr = server.parse().unwrap();
            let port = ulna.addresses[usize::from(server.is_ipv6())].port();
            let asked = SocketAddr::new(server, port);
            // Not connected: the reply's source is to be seen, not filtered.
            let socket = UdpSocket::bind(local).expect("a free port");
            socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
            let receive = |request: &[u8]| {
                let mut octets = [0; 4096];
                let (length, from) = socket.recv_from(&mut octets).expect("a reply comes");
                assert_eq!((from, code_of_reply(request, &octets[..length])), (asked, Code::AccessAccept));
            };
            let request = bob(9);
            socket.send_to(&request, asked).expect("loopback takes it");
            receive(&request);
            // The kept reply is sent by the network thread. What is sent again in the very moment of its reply is still
            // in progress, hence more than once.
            let before = ulna.counters()["duplicates_resent"];
            ulna.wait_for_counters("a kept reply", |counters| {
                socket.send_to(&request, asked).expect("loopback takes it");
                counters["duplicates_resent"] > before
            });
            receive(&request);
        }
        ulna.stop();
    }
}

/// An unsigned request whose attributes end in these octets.
fn ending_in(tail: &[u8]) -> Vec<u8> {
    let mut request = pap(1, PASSWORD, &secret(), MessageAuthenticator::Absent);
    request.extend_from_slice(tail);
    let length = request.len() as u16;
    request[2..4].copy_from_slice(&length.to_be_bytes());
    request
}

// checklist 1, 3, 4, 18, 20
#[test]
fn what_is_discarded_is_counted_by_name_and_gets_no_reply() {
    let other = Secret::new(b"another secret").unwrap();
    let mut two = bob(1);
    two.extend_from_slice(&[&[number::MESSAGE_AUTHENTICATOR, 18][..], &[0; 16]].concat());
    let length = two.len() as u16;
    two[2..4].copy_from_slice(&length.to_be_bytes());
    let mut bad_length = bob(1);
    bad_length[2..4].copy_from_slice(&[0, 19]);
    let mut truncated = bob(1);
    truncated.pop();
    let known = "127.0.0.1:0";
    let cases: [(&str, &str, Vec<u8>); 9] = [
        ("unknown-client", "127.0.0.77:0", bob(1)),
        ("bad-message-authenticator", known, pap(1, PASSWORD, &other, MessageAuthenticator::First)),
        ("bad-length", known, bad_length),
        ("truncated", known, truncated),
        ("too-short", known, vec![1, 2, 0, 20]),
        ("bad-attribute", known, ending_in(&[1, 1])),
        ("several-message-authenticators", known, two),
        ("unknown-code", known, [&[200u8][..], &bob(1)[1..]].concat()),
        ("too-short", known, vec![]),
    ];
    for layout in LAYOUTS {
        let ulna = Ulna::start(&on_free_ports(layout));
        for (name, local, octets) in &cases {
            let counter = format!("discarded {name}");
            let before = ulna.counters().get(&counter).copied().unwrap_or_default();
            let nas = Nas::new(local, ulna.addresses[0]);
            nas.send(octets);
            ulna.wait_for_counters(name, |counters| counters.get(&counter) == Some(&(before + 1)));
            let line = format!("reason={name} from={}", nas.socket.local_addr().expect("it is bound"));
            ulna.wait_for(0, "its line in the log", |text| text.contains(&line).then_some(()));
            // The next reply from there, if the client is known, is that to a right request.
            if *local == known {
                let right = bob(77);
                assert_eq!(nas.ask(&right), Code::AccessAccept);
            } else {
                nas.socket.set_nonblocking(true).expect("a socket");
                assert!(nas.socket.recv(&mut [0; 64]).is_err(), "no reply of any kind");
            }
        }
        let counters = ulna.counters();
        let discarded: u64 =
            counters.iter().filter(|(name, _)| name.starts_with("discarded")).map(|(_, value)| value).sum();
        assert_eq!(discarded, cases.len() as u64, "each under one name: {counters:#?}");
        ulna.stop();
    }
}

// checklist 67
#[test]
fn accounting_without_a_rule_is_discarded_by_name_and_status_is_answered_beside_it() {
    let ulna = Ulna::start(&on_free_ports(LAYOUTS[1]));
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[2]);
    let mut accounting = Vec::new();
    let mut encoder =
        Encoder::request(&mut accounting, Code::AccountingRequest, 1, &[0; 16], MessageAuthenticator::Absent);
    encoder.attribute(number::ACCT_STATUS_TYPE, &[0, 0, 0, 1]).unwrap();
    encoder.finish_request(&secret());
    nas.send(&accounting);
    ulna.wait_for_counters("the discard", |counters| {
        counters.get("discarded no-accounting-rule") == Some(&1)
    });
    let mut status = Vec::new();
    Encoder::request(&mut status, Code::StatusServer, 2, &[5; 16], MessageAuthenticator::First)
        .finish_request(&secret());
    assert_eq!(nas.ask(&status), Code::AccountingResponse);
    ulna.stop();
}

// checklist 35
#[test]
fn a_retransmission_gets_the_same_octets() {
    for layout in LAYOUTS {
        let ulna = Ulna::start(&on_free_ports(layout));
        for address in &ulna.addresses[..2] {
            let local = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
            let nas = Nas::new(local, *address);
            let request = bob(3);
            nas.send(&request);
            let first = nas.receive();
            for _ in 0..3 {
                assert_eq!(nas.insist(&request), first);
            }
        }
        let counters = ulna.counters();
        assert!(counters["decisions"] == 2 && counters["duplicates_resent"] >= 6, "{counters:#?}");
        ulna.stop();
    }
}

#[test]
fn the_log_has_a_line_for_each_request_and_tells_no_secret() {
    let ulna = Ulna::start(&on_free_ports("[protocol]\nreject_delay = \"0s\"\n"));
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    for identifier in 0..3 {
        assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
    }
    let reject = pap(9, WRONG_PASSWORD, &secret(), MessageAuthenticator::First);
    assert_eq!(nas.ask(&reject), Code::AccessReject);
    // A name that would break lines, or a terminal.
    let mut odd = Vec::new();
    let mut encoder =
        Encoder::request(&mut odd, Code::AccessRequest, 10, &[1; 16], MessageAuthenticator::First);
    encoder.attribute(number::USER_NAME, b"eve\n2026 accept user=\"bob\"\x1b[2J\xff").unwrap();
    encoder.user_password(WRONG_PASSWORD.as_bytes(), &secret()).unwrap();
    encoder.finish_request(&secret());
    assert_eq!(nas.ask(&odd), Code::AccessReject);
    // The end looks for secrets in all that was printed.
    let ended = ulna.stop();
    let lines = |outcome: &str| {
        ended.stderr.lines().filter(|line| line.split(' ').nth(1) == Some(outcome)).collect::<Vec<_>>()
    };
    assert_eq!((lines("accept").len(), lines("reject").len()), (3, 2), "{}", ended.stderr);
    assert!(
        lines("accept").iter().all(|line| line.contains("user=\"bob\"") && line.contains("client=localhost"))
    );
    assert!(!ended.stderr.contains('\x1b') && ended.stderr.contains("eve\\n2026"), "{}", ended.stderr);
}

/// RFC 9106's function is computed by another thread than the one that serves, and its answer finds its way back.
#[test]
fn a_user_of_whom_a_digest_is_known_is_let_in_by_their_password_only() {
    // Of "password", by the reference implementation.
    let digest = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let user = format!("[[user]]\nname = \"alice\"\npassword = {{ argon2 = \"{digest}\" }}\n");
    for layout in LAYOUTS {
        let settings = format!("{layout}[protocol]\nreject_delay = \"20ms\"\n");
        let ulna = Ulna::start(&(on_free_ports(&settings) + &user));
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        let alice = |identifier: u8, password: &[u8]| {
            let mut out = Vec::new();
            let first = MessageAuthenticator::First;
            let authenticator = [identifier; 16];
            let mut encoder =
                Encoder::request(&mut out, Code::AccessRequest, identifier, &authenticator, first);
            encoder.attribute(number::USER_NAME, b"alice").expect("it fits");
            encoder.user_password(password, &secret()).expect("it fits");
            encoder.finish_request(&secret());
            out
        };
        for identifier in 0..8 {
            assert_eq!(nas.ask(&alice(2 * identifier, b"password")), Code::AccessAccept);
            assert_eq!(nas.ask(&alice(2 * identifier + 1, b"passwort")), Code::AccessReject);
        }
        let counters = ulna.counters();
        assert_eq!((counters["effects"], counters["failures"]), (16, 8));
        assert_eq!((counters["requests_held"], counters["effects_late"]), (0, 0));
        ulna.stop();
    }
}
