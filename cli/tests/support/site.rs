//! A NAS with a secret of its own, which says in its requests who it is.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

use super::Nas;

/// A NAS of one source port.
pub struct Site {
    pub nas: Nas,
    identifier: String,
    secret: Secret,
}

/// A request that was sent.
pub struct Sent {
    pub octets: Vec<u8>,
    pub at: Instant,
}

impl Site {
    /// With this NAS-Identifier and secret, from this address.
    pub fn new(local: &str, server: SocketAddr, identifier: &str, secret: &str) -> Site {
        Site {
            nas: Nas::new(local, server),
            identifier: identifier.into(),
            secret: Secret::new(secret.as_bytes()).expect("it has octets"),
        }
    }

    /// The same NAS, of which somebody has changed the secret.
    pub fn with_secret(self, secret: &str) -> Site {
        Site { secret: Secret::new(secret.as_bytes()).expect("it has octets"), ..self }
    }

    /// Sends a signed Access-Request like no other.
    pub fn send(&self, user: &str, password: &str) -> Sent {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut authenticator = [0; 16];
        authenticator[..8].copy_from_slice(&number.to_be_bytes());
        authenticator[8..12].copy_from_slice(&std::process::id().to_be_bytes());
        let mut octets = Vec::new();
        let sign = MessageAuthenticator::First;
        let mut encoder =
            Encoder::request(&mut octets, Code::AccessRequest, number as u8, &authenticator, sign);
        encoder.attribute(number::USER_NAME, user.as_bytes()).expect("it fits");
        encoder.attribute(number::NAS_IDENTIFIER, self.identifier.as_bytes()).expect("it fits");
        encoder.user_password(password.as_bytes(), &self.secret).expect("it fits");
        encoder.finish_request(&self.secret);
        let sent = Sent { octets, at: Instant::now() };
        // What a server that has just ended refuses is sent all the same, as far as its NAS knows.
        let _ = self.nas.socket.send(&sent.octets);
        sent
    }

    /// Sends the same octets again.
    pub fn send_again(&self, sent: &Sent) {
        let _ = self.nas.socket.send(&sent.octets);
    }

    /// The next datagram, if one comes in time; none at all if there is no time.
    pub fn receive_within(&self, wait: Duration) -> Option<Vec<u8>> {
        let socket = &self.nas.socket;
        socket.set_nonblocking(wait.is_zero()).expect("it is a socket");
        if !wait.is_zero() {
            socket.set_read_timeout(Some(wait)).expect("not zero");
        }
        let mut octets = [0; 4096];
        loop {
            match socket.recv(&mut octets) {
                Ok(length) => return Some(octets[..length].to_vec()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                // A signal to this process, or word of a server that was not there.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) => {}
                Err(error) => panic!("a datagram can be received: {error}"),
            }
        }
    }

    /// What a reply to this request says, which must be under this NAS's secret. `None` if it is another's.
    pub fn code(&self, sent: &Sent, reply: &[u8]) -> Option<Code> {
        let request = Framed::parse(&sent.octets).expect("we made it");
        let reply = Framed::parse(reply).expect("a packet");
        if reply.identifier() != request.identifier() {
            return None;
        }
        let verified = reply.verify_reply(&self.secret, request.authenticator(), true);
        Some(verified.expect("it verifies under the secret of its request").code())
    }
}
