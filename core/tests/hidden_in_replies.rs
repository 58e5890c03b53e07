//! A reply's attributes that are hidden: under the request's authenticator, the secret that verified, and fresh salts.
//! RFC 2868 §3.5, RFC 2548 §2.4.2.

mod support;

use std::collections::BTreeSet;
use support::{Ask, OTHER_SECRET, SECRET, Server, USERS, configuration, nas};
use ulna_core::attributes::text;
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Framed, Secret};

const LAYOUTS: [&str; 3] = [
    "[runtime]\nnetwork_threads = 0\nworkers = 2\n",
    "[runtime]\nnetwork_threads = 1\nworkers = 1\n",
    "[runtime]\nnetwork_threads = 2\nworkers = 2\n",
];

const USER: &str = "reply = { Session-Timeout = 3600, \"Tunnel-Password:1\" = [\"one\", \"two\"] }";
const RULE: &str = "set_reply = { MS-MPPE-Send-Key = \"0x0001\", Class = \"0x07\", MS-MPPE-Recv-Key = \"0x0203\", \
                    MS-CHAP-MPPE-Keys = \"0x000102030405060708090a0b0c0d0e0f1011121314151617\", \
                    Ascend-Send-Secret = \"ascend\" }";
const READ: &str = "Session-Timeout = 3600, Tunnel-Password:1 = \"one\", Tunnel-Password:1 = \"two\", \
                    MS-MPPE-Send-Key = 0x0001, Class = 0x07, MS-MPPE-Recv-Key = 0x0203, \
                    MS-CHAP-MPPE-Keys = 0x000102030405060708090a0b0c0d0e0f1011121314151617, \
                    Ascend-Send-Secret = \"ascend\"";

fn server(settings: &str) -> Server {
    let text = configuration(settings, &format!("{USERS}{RULE}\n"));
    Server::of(&text.replacen("reply = { Session-Timeout = 3600 }", USER, 1))
}

/// The reply's attributes but the Message-Authenticator, as whoever has this secret reads them.
fn read(server: &Server, request: &[u8], reply: &[u8], secret: &[u8]) -> String {
    let secret = Secret::new(secret).expect("it has octets");
    let request = Framed::parse(request).expect("the request is a packet");
    let reply = Framed::parse(reply).expect("the reply is a packet");
    assert!(reply.verify_reply(&secret, request.authenticator(), true).is_ok());
    let hop = Hop { secret: &secret, request_authenticator: request.authenticator() };
    let printed = text::print(&server.configuration.dictionary, reply.attributes()).revealed(hop).to_string();
    let (signature, rest) = printed.split_once(", ").expect("there is more than one");
    assert!(signature.starts_with("Message-Authenticator"), "{signature}");
    rest.into()
}

/// The salts in a reply: Tunnel-Password behind its tag, and the MPPE keys behind their vendor's header.
fn salts(reply: &[u8]) -> Vec<[u8; 2]> {
    let attributes = Framed::parse(reply).expect("the reply is a packet").attributes();
    let salt = |octets: &[u8]| [octets[0], octets[1]];
    let of = attributes.filter_map(|attribute| match (attribute.number, attribute.value) {
        (69, [_, salted @ ..]) => Some(salt(salted)),
        (26, [0, 0, 1, 55, 16 | 17, _, salted @ ..]) => Some(salt(salted)),
        _ => None,
    });
    of.collect()
}

// checklist 48
#[test]
fn they_are_read_under_the_secret_and_the_requests_authenticator() {
    for layout in LAYOUTS {
        let mut server = server(layout);
        let mut seen = BTreeSet::new();
        for octet in 1..=20 {
            let request = Ask::bob().identifier(octet).authenticator(octet).octets();
            let sent = server.ask(nas(1000 + u16::from(octet)), &request);
            assert_eq!(read(&server, &request, &sent[0].octets, SECRET), READ);
            let salts = salts(&sent[0].octets);
            assert_eq!(salts.len(), 4);
            // RFC 2868 §3.5: the first bit is set, and no two of a packet are equal.
            assert!(salts.iter().all(|salt| salt[0] & 0x80 != 0), "{salts:?}");
            assert_eq!(salts.iter().collect::<BTreeSet<_>>().len(), 4, "{salts:?}");
            seen.insert(salts[0]);
        }
        assert!(seen.len() > 15, "salts are drawn: {seen:?}");
        server.assert_nothing_is_left();
    }
}

// checklist 35
#[test]
fn a_duplicate_gets_the_same_octets_and_nothing_is_hidden_again() {
    for layout in LAYOUTS {
        for request in [Ask::bob(), Ask::bob().unsigned()] {
            let request = request.octets();
            let mut server = server(layout);
            let first = server.ask(nas(1000), &request);
            // Others in between draw salts.
            server.ask(nas(1001), &Ask::bob().identifier(2).octets());
            for _ in 0..3 {
                let again = server.ask(nas(1000), &request);
                assert_eq!(again.len(), 1);
                assert_eq!(again[0].octets, first[0].octets);
            }
            // The same request as a new one is hidden anew.
            let elsewhere = server.ask(nas(1002), &request);
            assert_ne!(salts(&elsewhere[0].octets), salts(&first[0].octets));
            assert_eq!((server.count("decisions"), server.count("duplicates_resent")), (3, 3));
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn while_a_secret_is_changed_they_are_hidden_under_the_one_that_the_nas_has() {
    let old = std::str::from_utf8(SECRET).expect("ASCII");
    let new = std::str::from_utf8(OTHER_SECRET).expect("ASCII");
    let text = configuration(LAYOUTS[1], &format!("{USERS}{RULE}\n"))
        .replacen("reply = { Session-Timeout = 3600 }", USER, 1)
        .replacen(&format!("secret = \"{old}\""), &format!("secret = [\"{new}\", \"{old}\"]"), 1);
    let mut server = Server::of(&text);
    let asks = [(Ask::bob(), SECRET), (Ask::bob().forged(), OTHER_SECRET)];
    for (identifier, (ask, secret)) in (1..).zip(asks) {
        for (port, ask) in [(1000, ask.clone()), (1001, ask.unsigned())] {
            let request = ask.identifier(identifier).octets();
            let sent = server.ask(nas(port), &request);
            assert_eq!(read(&server, &request, &sent[0].octets, secret), READ);
        }
    }
    server.assert_nothing_is_left();
}

#[test]
fn beyond_the_longest_packet_the_reply_is_discarded_by_name() {
    // Sixteen of 245 octets, one Class and the Message-Authenticator fill a packet; a Proxy-State more does not fit.
    let long = format!("\"{}\"", "x".repeat(239));
    let passwords = vec![long; 16].join(", ");
    let rules = format!(
        "[[server.new]]\naccept = true\nset_reply = {{ \"Tunnel-Password:31\" = [{passwords}], Class = \"{}\" }}\n",
        "c".repeat(4096 - 20 - 18 - 16 * 245 - 2)
    );
    let mut server = Server::new(LAYOUTS[1], &rules);
    assert_eq!(server.ask(nas(1000), &Ask::bob().octets())[0].octets.len(), 4096);
    assert!(server.ask(nas(1000), &Ask::bob().identifier(2).with(33, b"p").octets()).is_empty());
    assert_eq!(server.discards(), [("reply-too-long", 1)].into());
    server.assert_nothing_is_left();
}
