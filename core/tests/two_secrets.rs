//! A client's secret is being changed: some of its NASes have the new one, some still the old. RFC 2865 §3.

mod support;

use support::{OTHER_SECRET, SECRET, Server, USERS, configuration, nas};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

/// The server has [`OTHER_SECRET`] as the new one, [`SECRET`] as the old.
fn rotating() -> Server {
    let text = configuration("[runtime]\nnetwork_threads = 1\nworkers = 1\n", USERS);
    let (new, old) = (std::str::from_utf8(OTHER_SECRET).unwrap(), std::str::from_utf8(SECRET).unwrap());
    Server::of(&text.replacen(&format!("secret = \"{old}\""), &format!("secret = [\"{new}\", \"{old}\"]"), 1))
}

fn access_request(secret: &Secret, password: &[u8], sign: MessageAuthenticator, identifier: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::request(&mut out, Code::AccessRequest, identifier, &[identifier; 16], sign);
    encoder.attribute(number::USER_NAME, b"bob").unwrap();
    encoder.user_password(password, secret).unwrap();
    encoder.finish_request(secret);
    out
}

/// The code of the one reply, which verifies under this secret.
fn reply_code(server: &Server, request: &[u8], secret: &Secret) -> Code {
    let request_authenticator = Framed::parse(request).unwrap().authenticator();
    let reply = Framed::parse(&server.sent.last().expect("there is a reply").octets).unwrap();
    reply
        .verify_reply(secret, request_authenticator, true)
        .expect("it is signed with the NAS's secret")
        .code()
}

#[test]
fn both_are_answered_under_their_own_secret_signed_or_not() {
    let secrets = [SECRET, OTHER_SECRET].map(|secret| Secret::new(secret).unwrap());
    let mut server = rotating();
    let mut identifier = 0;
    for secret in &secrets {
        for sign in [MessageAuthenticator::First, MessageAuthenticator::Absent] {
            identifier += 1;
            let request = access_request(secret, b"hello", sign, identifier);
            server.ask(nas(1000), &request);
            assert_eq!(reply_code(&server, &request, secret), Code::AccessAccept, "{sign:?}");
        }
    }
    assert_eq!((server.count("accepts"), server.count("verified_by_old_secret")), (4, 1));
    server.assert_nothing_is_left();
}

#[test]
fn a_wrong_password_is_rejected_under_either() {
    let old = Secret::new(SECRET).unwrap();
    let mut server = rotating();
    for (identifier, sign) in [(1, MessageAuthenticator::First), (2, MessageAuthenticator::Absent)] {
        server.ask(nas(1000), &access_request(&old, b"wrong", sign, identifier));
    }
    assert_eq!((server.count("rejects"), server.count("decisions")), (2, 2));
    server.run(server.configuration.protocol.reject_delay);
    server.assert_nothing_is_left();
}
