//! A server between a dynamic authorization client and NASes, and what these send.

use std::net::SocketAddr;

use ulna_core::Discard;
use ulna_core::event::{Event, Outcome};
use ulna_core::forward::RemoteServerId;
use ulna_core::packet::{Attributes, Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};

use crate::support::{Ask, Forwarded, SECRET, Sent, Server, configuration, nas};

/// What the NASes share with the server.
pub const NAS_SECRET: &[u8] = b"a secret of each NAS";

pub const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
pub const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 2\n";

/// All that is asked goes on.
pub const PROXY: &str = "[[server.coa]]\nproxy = \"client\"\n";

/// Clients `one` and `two`, which take CoA, and `home` behind a NAT, which does not.
pub const NASES: &str = r#"
[[client]]
name = "one"
network = "192.0.2.11"
secret = "a secret of each NAS"
coa_address = "192.0.2.11:3799"
[[client]]
name = "two"
network = ["192.0.2.12", "2001:db8:2::/64"]
secret = "a secret of each NAS"
coa_address = "[2001:db8:2::1]:3799"
nas_identifier = "tower"
[[client]]
name = "home"
network = "192.0.2.128/25"
secret = "a secret of each NAS"
"#;

const LISTENERS: &str = r#"
[[listen]]
name = "coa"
transport = "udp"
address = "192.0.2.1:3799"
packets = ["coa", "status"]
server = "edge"
[[listen]]
name = "coa by stream"
transport = "tcp"
address = "192.0.2.1:3799"
packets = ["coa"]
server = "edge"
"#;

/// The numbers of these.
pub const COA: usize = 2;
pub const BY_STREAM: usize = 3;

/// The text of a configuration with these settings, rules and NASes.
pub fn text(settings: &str, rules: &str, nases: &str) -> String {
    configuration(settings, &format!("{rules}{LISTENERS}{nases}"))
}

/// A server with all NASes that lets everything pass.
pub fn server(settings: &str) -> Server {
    Server::of(&text(settings, PROXY, NASES))
}

/// An unsigned Disconnect-Request or CoA-Request about `bob`.
pub fn ask_of(code: Code) -> Ask {
    Ask::of(code).with(number::USER_NAME, b"bob").unsigned()
}

/// One for `one`.
pub fn disconnect() -> Ask {
    ask_of(Code::DisconnectRequest).with(number::NAS_IP_ADDRESS, &[192, 0, 2, 11])
}

/// The same that changes something.
pub fn coa() -> Ask {
    ask_of(Code::CoaRequest).with(number::NAS_IP_ADDRESS, &[192, 0, 2, 11])
}

/// A datagram to the listener for CoA, and all that follows from it at once: what left.
pub fn ask_from(server: &mut Server, remote: SocketAddr, octets: &[u8]) -> Vec<Sent> {
    let before = server.sent.len();
    server.datagram_at(server.owner(remote), COA, remote, octets);
    server.settle();
    server.sent[before..].to_vec()
}

/// The same from who may ask.
pub fn ask(server: &mut Server, octets: &[u8]) -> Vec<Sent> {
    ask_from(server, nas(1000), octets)
}

/// One that is to go on, as it does.
pub fn go_on(server: &mut Server, octets: &[u8]) -> Forwarded {
    assert!(ask(server, octets).is_empty(), "the NAS is to answer");
    only(server.take_forwarded())
}

pub fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

pub fn nas_secret() -> Secret {
    Secret::new(NAS_SECRET).expect("it has octets")
}

/// A NAS's answer to what it got, with these attributes and, as RFC 5176 §3.1 asks for, its Proxy-States.
pub fn answer(to: &Forwarded, code: Code, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    answer_signed(to, code, MessageAuthenticator::Absent, attributes)
}

pub fn answer_signed(
    to: &Forwarded,
    code: Code,
    sign: MessageAuthenticator,
    attributes: &[(u8, &[u8])],
) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    encoder.proxy_states(&request).expect("they fit");
    encoder.finish_reply(&nas_secret(), request.authenticator());
    out
}

/// What whoever asked reads: a reply that verifies, with its attributes but the Message-Authenticator, which stands first if there is
/// one.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub is_signed: bool,
    pub attributes: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    pub fn to(request: &[u8], reply: &[u8]) -> Answer {
        let secret = Secret::new(SECRET).expect("it has octets");
        let request = Framed::parse(request).expect("a packet");
        let framed = Framed::parse(reply).expect("a packet");
        assert_eq!(framed.identifier(), request.identifier());
        let verified = framed.verify_reply(&secret, request.authenticator(), false).expect("it verifies");
        let is_signed = framed.layout().has(Landmark::MessageAuthenticator);
        let mut attributes = pairs(framed.attributes());
        if is_signed {
            assert_eq!(attributes.remove(0).0, number::MESSAGE_AUTHENTICATOR, "it stands first");
        }
        Answer { code: verified.code(), is_signed, attributes }
    }

    /// The Error-Causes of a NAK of ours.
    pub fn causes(&self) -> Vec<u32> {
        let causes = self.attributes.iter().filter(|(number, _)| *number == number::ERROR_CAUSE);
        causes.map(|(_, value)| u32::from_be_bytes(value[..].try_into().expect("a number"))).collect()
    }
}

pub fn pairs(attributes: Attributes<'_>) -> Vec<(u8, Vec<u8>)> {
    attributes.map(|attribute| (attribute.number, attribute.value.to_vec())).collect()
}

/// How often a request was answered NAK by us with this cause: it ended so, and nothing went on.
pub fn refused_with(server: &mut Server, octets: &[u8]) -> (Code, Vec<u32>) {
    let sent = only(ask(server, octets));
    assert!(server.take_forwarded().is_empty(), "what is refused does not go on");
    let answer = Answer::to(octets, &sent.octets);
    (answer.code, answer.causes())
}

/// What was told of requests that have had their end: what came of each, and which hop had it.
pub fn finished(server: &Server) -> Vec<(Outcome, Option<RemoteServerId>)> {
    let told = |event: &Event| {
        let Event::Finished { outcome, remote_server, .. } = event else { return None };
        Some((*outcome, *remote_server))
    };
    server.events.iter().filter_map(told).collect()
}

/// A packet that gets no answer, for this reason alone.
pub fn assert_discards(server: &mut Server, remote: SocketAddr, octets: &[u8], reason: Discard) {
    let before = server.discarded(reason);
    assert!(ask_from(server, remote, octets).is_empty() && server.take_forwarded().is_empty(), "{reason:?}");
    assert_eq!(server.discarded(reason), before + 1, "{reason:?}: {}", server.table());
}
