//! NASes that account, and what they send.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, number};

use super::secret;

/// In the order of the addresses that the server tells.
pub const ACCOUNTING: usize = 2;

/// An Accounting-Request of this session.
pub fn request(identifier: u8, session: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let code = Code::AccountingRequest;
    let absent = MessageAuthenticator::Absent;
    let mut encoder = Encoder::request(&mut out, code, identifier, &[0; 16], absent);
    for (number, value) in [
        (number::USER_NAME, &b"bob"[..]),
        (number::NAS_IDENTIFIER, b"site-7"),
        (number::NAS_IP_ADDRESS, &[192, 0, 2, 10]),
        (number::ACCT_STATUS_TYPE, &[0, 0, 0, 2]),
        (number::ACCT_SESSION_ID, session.as_bytes()),
        (number::ACCT_INPUT_OCTETS, &[0, 0, 0x10, 0]),
        (number::ACCT_INPUT_GIGAWORDS, &[0, 0, 0, 1]),
        (number::ACCT_OUTPUT_OCTETS, &[0, 0, 0x20, 0]),
        (number::CLASS, b"\x01\x02"),
    ] {
        encoder.attribute(number, value).expect("it fits");
    }
    encoder.finish_request(&secret());
    out
}

/// Whether this is the verified answer.
pub fn acknowledges(request: &[u8], reply: &[u8]) -> bool {
    let authenticator = Framed::parse(request).expect("a packet").authenticator();
    let reply = Framed::parse(reply).expect("a packet");
    let verified = reply.verify_reply(&secret(), authenticator, false).expect("it verifies");
    verified.code() == Code::AccountingResponse
}

/// A NAS that sends without end, so many requests outstanding, each with a session of its own, and again what is not
/// answered in time, as the same packet.
pub struct Loader {
    socket: UdpSocket,
    outstanding: BTreeMap<u8, (String, Vec<u8>)>,
    next: u64,
    name: String,
    /// Sessions.
    pub acknowledged: Vec<String>,
}

impl Loader {
    /// So many requests outstanding at once.
    pub fn new(name: String, server: SocketAddr, outstanding: u8) -> Loader {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("not zero");
        let outstanding: BTreeMap<_, _> =
            (0..outstanding).map(|identifier| (identifier, (String::new(), Vec::new()))).collect();
        let mut loader = Loader { socket, outstanding, next: 0, name, acknowledged: Vec::new() };
        let identifiers: Vec<_> = loader.outstanding.keys().copied().collect();
        identifiers.into_iter().for_each(|identifier| loader.send_next(identifier));
        loader
    }

    fn send_next(&mut self, identifier: u8) {
        let session = format!("{}-{}", self.name, self.next);
        self.next += 1;
        let request = request(identifier, &session);
        // Once the server is gone loopback says so; that is what is tested.
        let _ = self.socket.send(&request);
        self.outstanding.insert(identifier, (session, request));
    }

    /// Reads answers until then.
    pub fn run(&mut self, until: Instant) {
        let mut octets = [0; 4096];
        while Instant::now() < until {
            let Ok(length) = self.socket.recv(&mut octets) else { continue };
            let (session, request) = &self.outstanding[&octets[1]];
            assert!(acknowledges(request, &octets[..length]));
            self.acknowledged.push(session.clone());
            self.send_next(octets[1]);
        }
    }

    /// What has come before the end and was not read yet.
    pub fn drain(&mut self) {
        let mut octets = [0; 4096];
        self.socket.set_nonblocking(true).expect("it can be");
        for _ in 0..10_000 {
            match self.socket.recv(&mut octets) {
                Ok(length) => {
                    let (session, request) = &self.outstanding[&octets[1]];
                    assert!(acknowledges(request, &octets[..length]));
                    self.acknowledged.push(session.clone());
                }
                // That nobody is there any more is told once, in front of what lies there.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    }
}
