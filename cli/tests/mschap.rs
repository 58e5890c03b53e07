//! FreeRADIUS's server and ours answer the same MS-CHAPv2 requests alike: the same verdict, the same proof for the peer,
//! the same MPPE keys. RFC 2759, RFC 2548, RFC 3079.

mod support;

use std::net::SocketAddr;

use support::radiusd::Radiusd;
use support::{Nas, Ulna, configuration, secret};
use ulna_core::attributes::text;
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator};

/// What a peer sends of itself: RFC 2759 §9.2, and one computed by OpenSSL.
struct Peer {
    challenge: &'static str,
    peer_challenge: &'static str,
    nt_response: &'static str,
}

/// "User" with "clientPass".
const OF_THE_RFC: Peer = Peer {
    challenge: "5b5d7c7d7b3f2f3e3c2c602132262628",
    peer_challenge: "21402324255e262a28295f2b3a337c7e",
    nt_response: "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df",
};
/// "jürgen@example.org" with "Pässwort €". FreeRADIUS hashes no character beyond the first 65 536.
const BEYOND_ASCII: Peer = Peer {
    challenge: "101112131415161718191a1b1c1d1e1f",
    peer_challenge: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
    nt_response: "a6154d658ddea68c18f1f1fd2cf9770cc1a5067bc86e2596",
};

const USERS: &str = r#"
[[user]]
name = "User"
password = "clientPass"
[[user]]
name = "BIGCO\\User"
password = { nt_hash = "44ebba8d5312b8d611474411f56989ae" }
[[user]]
name = "jürgen@example.org"
password = "Pässwort €"
[[user]]
name = "else"
password = "clientPass"
"#;

/// The same for radiusd. What it is asked about beside these has a password of its own.
const PASSWORDS: &str = r#"
if (&User-Name == "jürgen@example.org") {
    update control {
        Cleartext-Password := "Pässwort €"
    }
}
elsif (&User-Name == 'BIGCO\User') {
    update control {
        NT-Password := 0x44ebba8d5312b8d611474411f56989ae
    }
}
else {
    update control {
        Cleartext-Password := "clientPass"
    }
}
"#;

const AUTHENTICATOR: [u8; 16] = [0x5a; 16];

fn request(user_name: &str, peer: &Peer) -> Vec<u8> {
    let dictionary = Dictionary::built_in();
    let response = format!("0700{}{}{}", peer.peer_challenge, "00".repeat(8), peer.nt_response);
    let microsofts = format!("MS-CHAP-Challenge = 0x{}, MS-CHAP2-Response = 0x{response}", peer.challenge);
    let assignments = text::parse(&dictionary, &microsofts).expect("well-formed");
    let mut attributes = Vec::new();
    text::write(&dictionary, &assignments, None, &mut attributes).expect("they fit");
    let mut request = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::request(&mut request, Code::AccessRequest, 1, &AUTHENTICATOR, sign);
    encoder.attribute(1, user_name.as_bytes()).expect("it fits");
    encoder.raw(&attributes).expect("they fit");
    encoder.finish_request(&secret());
    request
}

/// The verdict and Microsoft's attributes, revealed, in the order of their names.
fn answer(server: SocketAddr, request: &[u8]) -> (Code, Vec<String>) {
    let nas = Nas::new("127.0.0.1:0", server);
    nas.send(request);
    let octets = nas.receive();
    let reply = Framed::parse(&octets).expect("servers send packets");
    let secret = secret();
    let code = reply.verify_reply(&secret, &AUTHENTICATOR, false).expect("it verifies").code();
    let hop = Hop { secret: &secret, request_authenticator: &AUTHENTICATOR };
    let dictionary = Dictionary::built_in();
    let printed = text::print(&dictionary, reply.attributes()).revealed(hop).in_lines().to_string();
    let mut attributes: Vec<String> =
        printed.lines().filter(|line| line.starts_with("MS-")).map(String::from).collect();
    attributes.sort();
    (code, attributes)
}

#[test]
fn radiusd_and_we_answer_mschap_alike() {
    let Some(radiusd) = Radiusd::start_mschap(PASSWORDS) else { return };
    let settings = format!("[protocol]\nreject_delay = \"0s\"\n{USERS}");
    let ulna = Ulna::start(&configuration("\"127.0.0.1:0\"", "\"127.0.0.1:0\"", &settings));
    for (user_name, peer) in
        [("User", &OF_THE_RFC), ("BIGCO\\User", &OF_THE_RFC), ("jürgen@example.org", &BEYOND_ASCII)]
    {
        let request = request(user_name, peer);
        let (code, ours) = answer(ulna.addresses[0], &request);
        assert_eq!((code, ours.len()), (Code::AccessAccept, 5), "{user_name}: {ours:?}");
        let names = ["MS-CHAP2-Success", "MS-MPPE-Encryption-Policy", "MS-MPPE-Encryption-Types"];
        let names = names.into_iter().chain(["MS-MPPE-Recv-Key", "MS-MPPE-Send-Key"]);
        assert!(names.zip(&ours).all(|(name, line)| line.starts_with(name)), "{ours:?}");
        assert_eq!(answer(radiusd.authentication, &request), (code, ours), "{user_name}");
    }
    // Another name in the challenge's hash, another password.
    let wrong = Peer { nt_response: BEYOND_ASCII.nt_response, ..OF_THE_RFC };
    for (user_name, peer) in [("else", &OF_THE_RFC), ("User", &wrong)] {
        let request = request(user_name, peer);
        let errors = [ulna.addresses[0], radiusd.authentication].map(|server| {
            let (code, attributes) = answer(server, &request);
            assert_eq!(
                (code, attributes.len()),
                (Code::AccessReject, 1),
                "{server} {user_name}: {attributes:?}"
            );
            attributes[0].clone()
        });
        // Identifier, error and whether to try again; theirs may say yes.
        assert!(
            errors.iter().all(|error| error.contains("\\007E=691 R=") && error.contains(" V=3 M=")),
            "{errors:?}"
        );
    }
    ulna.stop();
}
