//! Every way to prove a password against every form in which one is known: who is let in, and that all others get the same
//! reject at the same time. RFC 2865 §2.2, §5.2, §5.3; RFC 2759; RFC 2548.

mod support;

use md5::{Digest, Md5};
use std::time::Duration;
use support::mschap::{self, CHALLENGE};
use support::{Ask, Reply, Server, configuration, nas, secret};
use ulna_core::packet::hidden::{Hop, reveal_salted};
use ulna_core::packet::{Code, number};

const PASSWORD: &str = "wonderland";
const DELAY: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

const USERS: &str = r#"
[[user]]
name = "clear"
password = "wonderland"
[[user]]
name = "nt-hash"
password = { nt_hash = "NT-HASH" }
[[user]]
name = "argon2"
password = { argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4" }
[[user]]
mac = "00-11-22-33-44-55"
"#;

/// Of "wonderland", by OpenSSL.
const NT_HASH: &str = "3e057cd123205aa168af5f121716b335";

fn server(rules: &str) -> Server {
    let users = USERS.replace("NT-HASH", NT_HASH);
    Server::of(&configuration("[runtime]\nworkers = 1\n", &format!("{rules}{users}")))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Pap,
    Chap,
    MsChap2,
}

const METHODS: [Method; 3] = [Method::Pap, Method::Chap, Method::MsChap2];

fn ask(method: Method, name: &str, password: &str) -> Ask {
    let named = Ask::of(Code::AccessRequest).with(number::USER_NAME, name.as_bytes());
    match method {
        Method::Pap => Ask::user(name.as_bytes(), password.as_bytes()),
        Method::Chap => named.with(number::CHAP_PASSWORD, &chap(password, &[1; 16])),
        Method::MsChap2 => named.with_raw(&mschap::attributes(name.as_bytes(), password)),
    }
}

/// CHAP-Password (RFC 2865 §5.3).
fn chap(password: &str, challenge: &[u8]) -> Vec<u8> {
    let digest = Md5::new().chain_update([9]).chain_update(password).chain_update(challenge).finalize();
    [&[9], digest.as_slice()].concat()
}

/// The answer to a request, and how long it took; whatever has to be hashed is, at once.
fn answer(server: &mut Server, request: &Ask) -> (Reply, Duration) {
    let octets = request.octets();
    let asked = server.now;
    server.sent.clear();
    server.ask(nas(1000), &octets);
    if !server.effects.is_empty() {
        server.answer_effect(PASSWORD);
    }
    if server.sent.is_empty() {
        server.run(DELAY - INSTANT);
        assert!(server.sent.is_empty(), "a reject comes when its delay is over");
        server.run(INSTANT);
    }
    assert_eq!(server.sent.len(), 1);
    let reply = Reply::to(&octets, &server.sent[0].octets);
    (reply, server.now.saturating_since(asked))
}

/// Values of Microsoft's attributes of this number.
fn microsoft(reply: &Reply, number: u8) -> Vec<Vec<u8>> {
    let own = reply
        .values(number::VENDOR_SPECIFIC)
        .into_iter()
        .filter(|value| value[..5] == [0, 0, 1, 0x37, number]);
    own.map(|value| value[6..].to_vec()).collect()
}

/// RFC 2759 §6: always the same but for identifier and challenge. Gives the challenge.
fn assert_is_failure(reply: &Reply) -> Vec<u8> {
    let errors = microsoft(reply, 2);
    assert_eq!((errors.len(), reply.attributes.len()), (1, 1));
    let (head, rest) = errors[0].split_at(13);
    assert_eq!(head, b"\x07E=691 R=0 C=");
    let (challenge, rest) = rest.split_at(32);
    assert!(challenge.iter().all(u8::is_ascii_hexdigit));
    assert_eq!(rest, b" V=3 M=Authentication failed");
    challenge.to_vec()
}

#[test]
fn each_method_is_checked_against_each_form_of_password() {
    // RFC 1994 §2.1: CHAP needs the password in clear; MS-CHAP its NT hash.
    let known =
        [("clear", &METHODS[..]), ("nt-hash", &[Method::Pap, Method::MsChap2]), ("argon2", &[Method::Pap])];
    let nobody = [("nobody", &[][..]), ("00-11-22-33-44-55", &[])];
    let mut accepted = 0;
    for (name, possible) in known.into_iter().chain(nobody) {
        for method in METHODS {
            for password in [PASSWORD, "looking-glass", "wonderlan", "", name] {
                let mut server = server(support::USERS);
                let (reply, time) = answer(&mut server, &ask(method, name, password));
                let what = format!("{method:?} of {name} with {password:?}");
                if password == PASSWORD && possible.contains(&method) {
                    assert_eq!((reply.code, time), (Code::AccessAccept, Duration::ZERO), "{what}");
                    accepted += 1;
                } else {
                    assert_eq!((reply.code, time), (Code::AccessReject, DELAY), "{what}");
                    if method == Method::MsChap2 {
                        assert_is_failure(&reply);
                    } else {
                        assert!(reply.attributes.is_empty(), "{what}");
                    }
                }
                server.assert_nothing_is_left();
            }
        }
    }
    assert_eq!(accepted, 6);
}

#[test]
fn checklist_10_chap_without_chap_challenge_uses_the_request_authenticator() {
    let mut server = server(support::USERS);
    let ask = |password: &[u8]| {
        Ask::of(Code::AccessRequest).with(number::USER_NAME, b"clear").with(number::CHAP_PASSWORD, password)
    };
    let own = chap(PASSWORD, &[1; 16]);
    let other = chap(PASSWORD, b"a challenge of any length");
    assert_eq!(answer(&mut server, &ask(&own).identifier(1)).0.code, Code::AccessAccept);
    assert_eq!(answer(&mut server, &ask(&other).identifier(2)).0.code, Code::AccessReject);
    let challenged = |ask: Ask| ask.with(number::CHAP_CHALLENGE, b"a challenge of any length");
    assert_eq!(answer(&mut server, &challenged(ask(&other)).identifier(3)).0.code, Code::AccessAccept);
    assert_eq!(answer(&mut server, &challenged(ask(&own)).identifier(4)).0.code, Code::AccessReject);
}

#[test]
fn a_peer_of_mschap_gets_a_proof_and_keys() {
    for name in ["clear", "nt-hash"] {
        let mut server = server(support::USERS);
        let request = ask(Method::MsChap2, name, PASSWORD);
        let (reply, _) = answer(&mut server, &request);
        let proof = mschap::authenticator_response(name.as_bytes(), PASSWORD);
        assert_eq!(microsoft(&reply, 26), [[b"\x07", proof.as_bytes()].concat()]);
        assert_eq!(microsoft(&reply, 7), [[0, 0, 0, 1]]);
        assert_eq!(microsoft(&reply, 8), [[0, 0, 0, 4]]);
        let (send, receive) = (microsoft(&reply, 16), microsoft(&reply, 17));
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &[1; 16] };
        let keys = [&send, &receive].map(|values| {
            assert_eq!(values.len(), 1);
            reveal_salted(&values[0], hop, &mut [0; 253]).expect("it is hidden").to_vec()
        });
        assert_eq!(keys, mschap::keys(name.as_bytes(), PASSWORD));
        // RFC 2548 §2.4.2: salts of a packet differ, and their first bit is set.
        assert!(send[0][..2] != receive[0][..2] && send[0][0] & receive[0][0] & 0x80 != 0);
    }
}

#[test]
fn the_name_that_was_sent_is_hashed_whoever_is_looked_up() {
    let rules = r#"
        [[server.new]]
        when = { User-Name = "BIGCO\\clear" }
        authenticate = "users"
        set_request = { User-Name = "nt-hash" }
    "#;
    let mut server = server(rules);
    let request = |hashed: &[u8]| {
        Ask::of(Code::AccessRequest)
            .with(number::USER_NAME, b"BIGCO\\clear")
            .with_raw(&mschap::attributes(hashed, PASSWORD))
    };
    assert_eq!(answer(&mut server, &request(b"clear").identifier(1)).0.code, Code::AccessAccept);
    assert_eq!(answer(&mut server, &request(b"nt-hash").identifier(2)).0.code, Code::AccessReject);
    assert_eq!(answer(&mut server, &request(b"BIGCO\\clear").identifier(3)).0.code, Code::AccessReject);
}

#[test]
fn what_a_rule_sets_or_removes_goes_over_what_a_peer_of_mschap_gets() {
    let rules = r#"
        [[server.new]]
        when = { NAS-Identifier = "sets" }
        authenticate = "users"
        set_reply = { MS-MPPE-Encryption-Policy = "Encryption-Required" }
        [[server.new]]
        authenticate = "users"
        remove_reply = ["MS-MPPE-Send-Key", "MS-MPPE-Recv-Key"]
    "#;
    let mut server = server(rules);
    let request = ask(Method::MsChap2, "clear", PASSWORD);
    let (reply, _) = answer(&mut server, &request.clone().with(number::NAS_IDENTIFIER, b"sets"));
    assert_eq!((microsoft(&reply, 7), microsoft(&reply, 16).len()), (vec![vec![0, 0, 0, 2]], 1));
    let (reply, _) = answer(&mut server, &request.identifier(2));
    assert_eq!((microsoft(&reply, 16), microsoft(&reply, 17)), (vec![], vec![]));
    assert_eq!((microsoft(&reply, 7).len(), microsoft(&reply, 26).len()), (1, 1));
}

#[test]
fn each_failure_has_a_challenge_of_its_own_and_a_rejecting_rule_says_the_same() {
    let mut server = server(
        "[[server.new]]\nwhen = { User-Name = \"clear\" }\nreject = true\n[[server.new]]\nauthenticate = \"users\"\n",
    );
    let (by_rule, _) = answer(&mut server, &ask(Method::MsChap2, "clear", PASSWORD));
    let (unknown, _) = answer(&mut server, &ask(Method::MsChap2, "nobody", PASSWORD).identifier(2));
    assert_ne!(assert_is_failure(&by_rule), assert_is_failure(&unknown));
}

#[test]
fn a_malformed_response_is_rejected_without_an_error_whatever_else_there_is() {
    let mut server = server(support::USERS);
    let short = [mschap::attribute(11, &CHALLENGE), mschap::attribute(25, &[7; 49])].concat();
    // MS-CHAPv1 (RFC 2548 §2.1.3) is refused.
    let first_version = [mschap::attribute(11, &CHALLENGE[..8]), mschap::attribute(1, &[7; 50])].concat();
    let named = Ask::of(Code::AccessRequest).with(number::USER_NAME, b"clear");
    let both = ask(Method::Pap, "clear", PASSWORD).with_raw(&short);
    for (identifier, request) in
        [named.clone().with_raw(&short), named.with_raw(&first_version), both].iter().enumerate()
    {
        let (reply, time) = answer(&mut server, &request.clone().identifier(identifier as u8));
        assert_eq!((reply.code, reply.attributes.len(), time), (Code::AccessReject, 0, DELAY));
    }
    // Both, and both right.
    let both = ask(Method::Pap, "clear", PASSWORD).with_raw(&mschap::attributes(b"clear", PASSWORD));
    let (reply, _) = answer(&mut server, &both.identifier(9));
    assert_eq!((reply.code, microsoft(&reply, 26).len()), (Code::AccessAccept, 1));
}
