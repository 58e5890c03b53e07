//! A proxy by its octets alone, between a NAS and a remote server.
#![allow(dead_code, reason = "each file of tests uses its own part of this")]

use std::sync::LazyLock;
use ulna_core::attributes::{Preset, Scratch, Sealing, text};
use ulna_core::dictionary::Dictionary;
use ulna_core::forward::{Inbound, Outbound, OwnProxyState, ProxyStateKey};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Attributes, Code, Encoder, Framed, MessageAuthenticator, Secret};
use ulna_core::{Discard, Seed};

pub static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(Dictionary::built_in);
/// What the NAS and the first proxy share.
pub static CLIENT: LazyLock<Secret> =
    LazyLock::new(|| Secret::new(b"a secret of the client").expect("it has octets"));
/// What the last proxy and the remote server share.
pub static SERVER: LazyLock<Secret> =
    LazyLock::new(|| Secret::new(b"a secret of the server").expect("it has octets"));

/// The authenticator of what the NAS sends.
const AUTHENTICATOR: [u8; 16] = *b"of the NAS' own!";

/// A proxy.
pub struct Node<'s> {
    number: u8,
    client: &'s Secret,
    server: &'s Secret,
    /// What it draws for a request.
    pub authenticator: [u8; 16],
    pub salt: u16,
}

impl Node<'static> {
    /// Between the NAS and the remote server.
    pub fn new(number: u8) -> Node<'static> {
        Node::between(number, &CLIENT, &SERVER)
    }
}

impl<'s> Node<'s> {
    pub fn between(number: u8, client: &'s Secret, server: &'s Secret) -> Node<'s> {
        Node { number, client, server, authenticator: [0xa0 + number; 16], salt: 0x7ffe }
    }

    pub fn key(&self) -> ProxyStateKey {
        ProxyStateKey::new(&Seed::new([self.number; 32]))
    }

    /// Its Proxy-State.
    pub fn own(&self) -> OwnProxyState {
        OwnProxyState::new(&self.key(), 0x0102_0304)
    }

    pub fn outbound<'a>(
        &'a self,
        received: &'a [u8],
        attributes: Attributes<'a>,
        set: &'a Preset,
    ) -> Outbound<'a> {
        Outbound {
            dictionary: &DICTIONARY,
            received: Framed::parse(received).expect("it is a packet"),
            attributes,
            set,
            client_secret: self.client,
            secret: self.server,
            identifier: 77,
            authenticator: self.authenticator,
            salt: self.salt,
            proxy_state: Some(self.own()),
        }
    }

    /// A request as it goes on, and the authenticator for its reply.
    pub fn forward(&self, received: &[u8], set: &Preset) -> Result<(Vec<u8>, [u8; 16]), Discard> {
        let framed = Framed::parse(received).expect("it is a packet");
        self.forward_edited(received, framed.attributes().octets(), set)
    }

    /// The same with what rules have made of its attributes.
    pub fn forward_edited(
        &self,
        received: &[u8],
        edited: &[u8],
        set: &Preset,
    ) -> Result<(Vec<u8>, [u8; 16]), Discard> {
        let attributes = Attributes::parse(edited).expect("rules leave attributes");
        let mut out = vec![9; 99];
        let outbound = self.outbound(received, attributes, set);
        outbound.write(&mut Scratch::default(), &mut out).map(|authenticator| (out, authenticator))
    }

    /// A reply as it goes back.
    pub fn back(&self, request: &[u8], reply: &[u8], authenticator: &[u8; 16]) -> Result<Vec<u8>, Discard> {
        let request = Framed::parse(request).expect("it is a packet");
        let reply = Framed::parse(reply).expect("it is a packet");
        let reply = reply.verify_reply(self.server, authenticator, false).expect("it is the server's");
        let from = Hop { secret: self.server, request_authenticator: authenticator };
        let inbound = Inbound { dictionary: &DICTIONARY, request, reply, from };
        let hop = Hop { secret: self.client, request_authenticator: request.authenticator() };
        let (mut draft, mut out) = (vec![9; 9], vec![9; 9]);
        inbound.draft(&mut Sealing { hop, salt: self.salt }, &mut Scratch::default(), &mut draft)?;
        inbound.write(&draft, self.client, &mut out)?;
        Ok(out)
    }
}

/// Attributes of a text, hidden for a hop.
pub fn attributes(text: &str, hop: Hop<'_>) -> Vec<u8> {
    let assignments = text::parse(&DICTIONARY, text).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let written = text::write(&DICTIONARY, &assignments, Some(Sealing { hop, salt: 1 }), &mut out);
    written.unwrap_or_else(|error| panic!("{error}"));
    out
}

/// A request of the NAS.
pub fn request(code: Code, sign: MessageAuthenticator, text: &str) -> Vec<u8> {
    let request_authenticator = Hop::authenticator_of_request(code, &AUTHENTICATOR);
    let hop = Hop { secret: &CLIENT, request_authenticator };
    request_of(code, sign, &attributes(text, hop))
}

pub fn request_of(code: Code, sign: MessageAuthenticator, attributes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::request(&mut out, code, 5, &AUTHENTICATOR, sign);
    encoder.raw(attributes).expect("they fit");
    encoder.finish_request(&CLIENT);
    out
}

/// The reply to a request of whoever shares this secret.
pub fn reply(code: Code, request: &[u8], secret: &Secret, sign: MessageAuthenticator, text: &str) -> Vec<u8> {
    let framed = Framed::parse(request).expect("it is a packet");
    let hop = Hop { secret, request_authenticator: framed.authenticator() };
    reply_of(code, request, secret, sign, &attributes(text, hop))
}

pub fn reply_of(
    code: Code,
    request: &[u8],
    secret: &Secret,
    sign: MessageAuthenticator,
    attributes: &[u8],
) -> Vec<u8> {
    let request = Framed::parse(request).expect("it is a packet");
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    encoder.raw(attributes).expect("they fit");
    encoder.finish_reply(secret, request.authenticator());
    out
}

/// A packet's attributes as whoever shares the secret reads them.
pub fn read(packet: &[u8], secret: &Secret, request_authenticator: &[u8; 16]) -> String {
    let framed = Framed::parse(packet).expect("it is a packet");
    let hop = Hop { secret, request_authenticator };
    text::print(&DICTIONARY, framed.attributes()).revealed(hop).to_string()
}

/// A packet's Proxy-States.
pub fn proxy_states(packet: &[u8]) -> Vec<Vec<u8>> {
    let framed = Framed::parse(packet).expect("it is a packet");
    framed.proxy_states().map(<[u8]>::to_vec).collect()
}
