//! NASes with a codec of their own: a mistake of `ulna_core` must not be shared by its judge. RFC 2865 §3 and §5.2,
//! RFC 2869 §5.14, RFC 5080 §2.2.1.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use super::net::in_namespace;

/// Who a NAS is, what it knows and what it has to be told.
#[derive(Clone)]
pub struct Site {
    /// Its NAS-Identifier.
    pub name: String,
    pub secret: String,
    pub user: String,
    pub password: String,
    /// Session-Timeout of its user and no other's: an answer for somebody else is seen even under one secret for all.
    pub session_timeout: u32,
}

/// One socket and its requests.
pub struct Nas {
    pub site: Site,
    pub local: SocketAddr,
    socket: UdpSocket,
    identifier: u8,
    sent: u32,
    /// Replies that are none to the request that was asked, or do not verify under its secret.
    pub strangers: u32,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the first transmission to the reply that verified; none came before the last one was given up.
    pub answered_after: Option<Duration>,
    /// 1 where the first one was answered.
    pub transmissions: u32,
}

impl Nas {
    pub fn new(namespace: &str, address: IpAddr, port: u16, server: SocketAddr, site: Site) -> Nas {
        let local = SocketAddr::new(address, port);
        let socket = in_namespace(namespace, || {
            let socket = UdpSocket::bind(local).expect("the namespace is ours");
            socket.connect(server).expect("there is a route");
            socket
        });
        Nas { site, local, socket, identifier: 0, sent: 0, strangers: 0 }
    }

    /// Sends one new request and the same octets again and again until its answer comes (RFC 5080 §2.2.1, with times
    /// shorter than a NAS's).
    pub fn ask(&mut self) -> Outcome {
        let request = self.next_request();
        self.ask_with(&request)
    }

    pub fn next_request(&mut self) -> Vec<u8> {
        self.identifier = self.identifier.wrapping_add(1);
        self.sent += 1;
        let mut seed = Md5::new_with_prefix(self.site.secret.as_bytes());
        seed.update(self.local.to_string());
        seed.update(std::process::id().to_be_bytes());
        seed.update(self.sent.to_be_bytes());
        access_request(&self.site, self.identifier, seed.finalize().into(), Signature::Right)
    }

    pub fn ask_with(&mut self, request: &[u8]) -> Outcome {
        let began = Instant::now();
        let mut wait = RETRANSMIT_AFTER;
        for transmissions in 1..=TRANSMISSIONS_MAX {
            // A NAT that has just forgotten us may have refused; the next transmission says.
            let _ = self.socket.send(request);
            let until = Instant::now() + wait;
            while let Some(reply) = self.receive(until) {
                if self.is_answer(request, &reply) {
                    return Outcome { answered_after: Some(began.elapsed()), transmissions };
                }
                self.strangers += 1;
            }
            wait *= 2;
        }
        Outcome { answered_after: None, transmissions: TRANSMISSIONS_MAX }
    }

    /// Nothing is awaited; what comes all the same makes no heap.
    pub fn listen(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        while self.receive(until).is_some() {
            self.strangers += 1;
        }
    }

    fn receive(&self, until: Instant) -> Option<Vec<u8>> {
        let mut octets = [0; 4096];
        loop {
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).expect("not zero");
            match self.socket.recv(&mut octets) {
                Ok(length) => return Some(octets[..length].to_vec()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                // A signal, or the network's word on an earlier transmission.
                Err(_) => {}
            }
        }
    }

    /// Whether it is the Access-Accept for this request and this user, rightly signed.
    fn is_answer(&self, request: &[u8], reply: &[u8]) -> bool {
        let identifier_is_ours = reply.len() >= 20 && reply[1] == request[1];
        if !identifier_is_ours || !verifies(reply, &request[4..20], self.site.secret.as_bytes()) {
            return false;
        }
        let session_timeout = attributes(reply).find(|(kind, _)| *kind == SESSION_TIMEOUT);
        reply[0] == ACCESS_ACCEPT
            && session_timeout.is_some_and(|(_, value)| value == self.site.session_timeout.to_be_bytes())
    }
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Right,
    /// Under a secret that nobody has.
    Wrong,
    /// No Message-Authenticator at all.
    Missing,
}

/// PAP.
pub fn access_request(site: &Site, identifier: u8, authenticator: [u8; 16], signature: Signature) -> Vec<u8> {
    let secret = match signature {
        Signature::Right => site.secret.as_bytes(),
        Signature::Wrong | Signature::Missing => b"nobody has this for a secret",
    };
    let mut out = vec![ACCESS_REQUEST, identifier, 0, 0];
    out.extend_from_slice(&authenticator);
    if signature != Signature::Missing {
        put(&mut out, MESSAGE_AUTHENTICATOR, &[0; 16]);
    }
    put(&mut out, USER_NAME, site.user.as_bytes());
    put(&mut out, USER_PASSWORD, &hidden(site.password.as_bytes(), &authenticator, secret));
    put(&mut out, NAS_IDENTIFIER, site.name.as_bytes());
    let length = u16::try_from(out.len()).expect("it is short").to_be_bytes();
    out[2..4].copy_from_slice(&length);
    if signature != Signature::Missing {
        let digest = keyed(secret, &[&out]);
        out[22..38].copy_from_slice(&digest);
    }
    out
}

fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.push(u8::try_from(value.len() + 2).expect("it is short"));
    out.extend_from_slice(value);
}

/// RFC 2865 §5.2.
fn hidden(password: &[u8], authenticator: &[u8; 16], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = authenticator.to_vec();
    for block in password.chunks(16) {
        let pad = Md5::new_with_prefix(secret).chain_update(&before).finalize();
        let mut octets = [0; 16];
        octets[..block.len()].copy_from_slice(block);
        before = octets.iter().zip(pad).map(|(octet, pad)| octet ^ pad).collect();
        out.extend_from_slice(&before);
    }
    out
}

/// Whether Response Authenticator and Message-Authenticator, which has to be there, are those of this secret.
fn verifies(reply: &[u8], request_authenticator: &[u8], secret: &[u8]) -> bool {
    if usize::from(u16::from_be_bytes([reply[2], reply[3]])) != reply.len() {
        return false;
    }
    let digest = Md5::new_with_prefix(&reply[..4])
        .chain_update(request_authenticator)
        .chain_update(&reply[20..])
        .chain_update(secret)
        .finalize();
    let mut cleared = reply.to_vec();
    cleared[4..20].copy_from_slice(request_authenticator);
    let mut at = 20;
    while at + 2 <= cleared.len() && cleared[at + 1] >= 2 {
        if cleared[at] == MESSAGE_AUTHENTICATOR && cleared[at + 1] == 18 && at + 18 <= cleared.len() {
            let value = cleared[at + 2..at + 18].to_vec();
            cleared[at + 2..at + 18].fill(0);
            return digest[..] == reply[4..20] && keyed(secret, &[&cleared])[..] == value[..];
        }
        at += usize::from(cleared[at + 1]);
    }
    false
}

fn attributes(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = &packet[20..];
    std::iter::from_fn(move || {
        let (kind, length) = (*rest.first()?, usize::from(*rest.get(1)?));
        let value = rest.get(2..length)?;
        rest = &rest[length..];
        Some((kind, value))
    })
}

fn keyed(secret: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(secret).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The first wait; each further one is twice as long.
pub const RETRANSMIT_AFTER: Duration = Duration::from_millis(300);
const TRANSMISSIONS_MAX: u32 = 4;

const ACCESS_REQUEST: u8 = 1;
const ACCESS_ACCEPT: u8 = 2;
const USER_NAME: u8 = 1;
const USER_PASSWORD: u8 = 2;
const SESSION_TIMEOUT: u8 = 27;
const NAS_IDENTIFIER: u8 = 32;
const MESSAGE_AUTHENTICATOR: u8 = 80;
