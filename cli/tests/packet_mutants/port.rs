//! One source port: what was asked from it lately, and what has come back.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::packet::{
    ACCESS_ACCEPT, ACCESS_REJECT, ACCOUNTING_REQUEST, Digests, STATUS_SERVER, attributes, framed,
};
use crate::support::PATIENCE;

/// A request that verifies: made by the campaign, never by damage.
pub struct Request {
    pub octets: Vec<u8>,
    /// Whether its user is to be let in; `None` where only the server can tell.
    pub accept: Option<bool>,
    /// The octets of its first reply.
    reply: Option<Vec<u8>>,
    /// How many times it was answered.
    answers: u64,
}

impl Request {
    pub fn new(octets: Vec<u8>, accept: Option<bool>) -> Request {
        Request { octets, accept, reply: None, answers: 0 }
    }

    pub fn code(&self) -> u8 {
        self.octets[0]
    }

    /// Accounting has no rule here, and so no answer.
    fn is_answered(&self) -> bool {
        self.code() != ACCOUNTING_REQUEST
    }
}

pub struct Port {
    socket: UdpSocket,
    /// The latest, oldest first; at most [`REMEMBERED`], whose Identifiers are all different.
    pub requests: VecDeque<Request>,
    next_identifier: u8,
    pub answers: u64,
}

/// What is sent while a reply is on its way is sent far fewer requests after it than this.
const REMEMBERED: usize = 32;
/// How long a duplicate may be without a reply before it is sent once more.
const PAUSE: Duration = Duration::from_millis(50);

impl Port {
    pub fn new(server: SocketAddr) -> Port {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(PAUSE)).expect("not zero");
        Port { socket, requests: VecDeque::new(), next_identifier: 0, answers: 0 }
    }

    pub fn identifier(&mut self) -> u8 {
        let identifier = self.next_identifier;
        self.next_identifier = identifier.wrapping_add(1);
        identifier
    }

    pub fn send(&self, octets: &[u8]) {
        self.socket.send(octets).expect("loopback takes it");
    }

    /// Sends a request for the first time and remembers it.
    ///
    /// # Panics
    /// If the one that is forgotten for it was not answered, and its duplicate with the same octets.
    pub fn ask(&mut self, request: Request) {
        self.send(&request.octets);
        self.requests.push_back(request);
        if self.requests.len() > REMEMBERED {
            let old = self.requests.pop_front().expect("there are more than a few");
            assert!(
                old.answers >= 2 || !old.is_answered(),
                "answered {} times: {:x?}",
                old.answers,
                old.octets
            );
        }
    }

    /// Waits until all of the `newest` requests are answered, and all but `unasked` of these have had the duplicate
    /// answered that was sent; `again` is told of each that is sent once more, since it was still in progress.
    pub fn wait(
        &mut self,
        digests: &Digests,
        newest: usize,
        unasked: usize,
        mut again: impl FnMut(&Request),
    ) {
        let until = Instant::now() + PATIENCE;
        let from = self.requests.len().saturating_sub(newest);
        let last = self.requests.len().saturating_sub(unasked);
        loop {
            let wanted = |place: usize| if place < last { 2 } else { 1 };
            let late = |(place, request): &(usize, &Request)| {
                request.is_answered() && request.answers < wanted(*place)
            };
            let late: Vec<_> = self.requests.iter().enumerate().skip(from).filter(late).collect();
            if late.is_empty() {
                return;
            }
            let unanswered = late.iter().find(|(_, request)| request.answers == 0);
            assert!(Instant::now() < until, "no reply: {:x?}", late[0].1.octets);
            let missing =
                unanswered.is_none().then(|| late.iter().map(|(place, _)| *place).collect::<Vec<_>>());
            if !self.receive(digests) {
                for place in missing.into_iter().flatten() {
                    let request = &self.requests[place];
                    self.send(&request.octets);
                    again(request);
                }
            }
        }
    }

    /// Takes one reply; false if none comes for a while.
    ///
    /// # Panics
    /// If it is none to a request of this port, or not the one that the request got before.
    pub fn receive(&mut self, digests: &Digests) -> bool {
        let mut octets = [0; 4097];
        let length = match self.socket.recv(&mut octets) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) => panic!("a socket on loopback: {error}"),
        };
        let reply = &octets[..length];
        let request = self.requests.iter_mut().rev().find(|request| reply.get(1) == Some(&request.octets[1]));
        let Some(request) = request else { panic!("an answer to nothing that was asked: {reply:x?}") };
        self.answers += 1;
        request.answers += 1;
        if let Some(first) = &request.reply {
            assert!(first == reply, "two answers to {:x?}:\n{first:x?}\n{reply:x?}", request.octets);
            return true;
        }
        assert!(digests.answers(&request.octets, reply), "{:x?}\nno answer: {reply:x?}", request.octets);
        let expected: &[u8] = match (request.code(), request.accept) {
            (STATUS_SERVER, _) | (_, Some(true)) => &[ACCESS_ACCEPT],
            (_, Some(false)) => &[ACCESS_REJECT],
            (_, None) => &[ACCESS_ACCEPT, ACCESS_REJECT],
        };
        assert!(request.is_answered() && expected.contains(&reply[0]), "{:x?}: {reply:x?}", request.octets);
        request.reply = Some(reply.to_vec());
        true
    }

    /// The place of the request that this verified datagram is.
    ///
    /// # Panics
    /// If it is none: then either the digests are broken, or this test is.
    pub fn place(&self, datagram: &[u8]) -> usize {
        let packet = framed(datagram).expect("it verifies");
        let place = self.requests.iter().position(|request| request.octets == packet);
        place.unwrap_or_else(|| panic!("damaged, {} attributes, and still right", attributes(packet).count()))
    }
}
