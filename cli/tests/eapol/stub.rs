//! A remote server that gives every conversation the very same State, and knows whose each request is by NAS-Port, which
//! no proxy keeps a conversation by. RFC 2865 §2.3 and §5.24.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Requirements, Secrets, number};

use crate::edit;
use crate::support::secret;

/// What all of these servers call all of their conversations.
pub const STATE: &[u8] = b"the very same State";
/// Requests of a conversation; the last is answered by Access-Accept.
pub const ROUNDS: usize = 4;

/// What it has seen.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Rounds of each conversation, by NAS-Port, that began here.
    pub rounds: BTreeMap<u32, usize>,
    /// Requests of conversations that did not begin here, or whose State was not the one that it gave.
    pub strangers: Vec<u32>,
    /// Requests that did not verify, or had no Message-Authenticator.
    pub unverified: usize,
}

/// A running server.
pub struct Stub {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    is_to_end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    pub fn start() -> Stub {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
        let address = socket.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let is_to_end = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (seen, is_to_end) = (Arc::clone(&seen), Arc::clone(&is_to_end));
            move || serve(&socket, &seen, &is_to_end)
        });
        Stub { address, seen, is_to_end, thread: Some(thread) }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.is_to_end.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("it ends once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server met what it cannot read");
    }
}

fn serve(socket: &UdpSocket, seen: &Mutex<Seen>, is_to_end: &AtomicBool) {
    // The newest request of each source and Identifier, and its reply: a retransmission gets it again.
    let mut answered: BTreeMap<(SocketAddr, u8), ([u8; 16], Vec<u8>)> = BTreeMap::new();
    let mut buffer = [0; 4096];
    while !is_to_end.load(Ordering::Relaxed) {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => {
                let passes = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted]
                    .contains(&error.kind());
                assert!(passes, "a datagram can be received: {error}");
                continue;
            }
        };
        let request = Framed::parse(&buffer[..length]).expect("ulna sends packets");
        let key = (from, request.identifier());
        let authenticator = *request.authenticator();
        let is_again = answered.get(&key).is_some_and(|(known, _)| *known == authenticator);
        if !is_again {
            let mut seen = seen.lock().expect("nobody panics with it");
            let Some(reply) = answer(&request, &mut seen) else { continue };
            answered.insert(key, (authenticator, reply));
        }
        socket.send_to(&answered[&key].1, from).expect("loopback takes it");
    }
}

/// Whose request, or whose reply.
pub fn port(request: &Framed) -> u32 {
    let port = request.attributes().of(number::NAS_PORT).next().expect("each request has one");
    u32::from_be_bytes(port.try_into().expect("an integer"))
}

fn answer(request: &Framed, seen: &mut Seen) -> Option<Vec<u8>> {
    let requirements = Requirements { require_message_authenticator: true, limit_proxy_state: false };
    if (*request).verify_request(&Secrets::one(secret()), requirements).is_err() {
        seen.unverified += 1;
        return None;
    }
    let port = port(request);
    let code = match (edit::state(request), seen.rounds.get_mut(&port)) {
        (None, None) => {
            seen.rounds.insert(port, 1);
            Code::AccessChallenge
        }
        (Some(STATE), Some(rounds)) => {
            *rounds += 1;
            if *rounds < ROUNDS { Code::AccessChallenge } else { Code::AccessAccept }
        }
        _ => {
            seen.strangers.push(port);
            Code::AccessReject
        }
    };
    let mut octets = Vec::new();
    let mut encoder = Encoder::reply(&mut octets, code, request.identifier(), MessageAuthenticator::First);
    // Whose it is, for its NAS to see.
    encoder.attribute(number::REPLY_MESSAGE, port.to_string().as_bytes()).expect("it fits");
    // RFC 3748 §4: a Request of type MD5-Challenge, Success, Failure.
    let eap: &[u8] = if code == Code::AccessChallenge {
        encoder.attribute(number::STATE, STATE).expect("it fits");
        &[1, 7, 0, 6, 4, 0]
    } else if code == Code::AccessAccept {
        &[3, 7, 0, 4]
    } else {
        &[4, 7, 0, 4]
    };
    encoder.eap_message(eap).expect("it fits");
    for proxy_state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, proxy_state).expect("it fitted in the request");
    }
    encoder.finish_reply(&secret(), request.authenticator());
    Some(octets)
}
