//! NASes that no server has heard of: each with a source port or a source address of its own, a secret of its own, and a few
//! requests. What a first packet costs beside one of a client that is known.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mio::net::UdpSocket as Polled;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, getrlimit, setrlimit};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

/// Where the NASes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Each has an address of its own in [`Place::network`].
    Addresses,
    /// All are behind one address there, each with a port of its own.
    Nat,
}

impl Place {
    /// The network that they speak from.
    pub fn network(self) -> &'static str {
        match self {
            Place::Addresses => "127.10.0.0/16",
            Place::Nat => "127.20.0.0/16",
        }
    }

    /// The source address of the `n`th.
    pub fn address(self, n: usize) -> String {
        match self {
            Place::Addresses => format!("127.10.{}.{}", n / 250, n % 250 + 1),
            Place::Nat => "127.20.0.1".into(),
        }
    }
}

/// What the `n`th calls itself, which is its key.
pub fn name(n: usize) -> String {
    format!("site-{n:05}")
}

/// The secret of the `n`th.
pub fn secret(n: usize) -> String {
    format!("a secret of site-{n:05}")
}

/// Which of a NAS's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one by which it becomes a client.
    First = 0,
    /// One that it sends when it is known.
    Known = 1,
}

/// NASes with their sockets and their requests, made before the clock runs.
pub struct Newcomers {
    all: Vec<Newcomer>,
    poll: Poll,
}

struct Newcomer {
    socket: Polled,
    secret: Secret,
    requests: [Vec<u8>; 2],
}

/// What came of asking one after the other.
#[derive(Debug, Default)]
pub struct OneByOne {
    /// Microseconds from each request to its answer.
    pub latencies: Vec<f64>,
    /// Requests without an answer.
    pub lost: usize,
}

/// What came of asking all at once.
#[derive(Debug, Default, Clone, Copy)]
pub struct AtOnce {
    /// Answers to what was sent first.
    pub at_first: usize,
    /// When the last of those came.
    pub first_span: Duration,
    /// All answers, also to what was sent again.
    pub answered: usize,
    /// When the last of all came.
    pub span: Duration,
}

impl Newcomers {
    /// So many, connected to a server.
    ///
    /// # Errors
    /// The kernel's: each needs a descriptor. As many as this process may have are asked for.
    pub fn new(count: usize, place: Place, server: SocketAddr) -> io::Result<Newcomers> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
        let poll = Poll::new()?;
        let newcomer = |n: usize| {
            let socket = UdpSocket::bind(format!("{}:0", place.address(n)))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            let mut socket = Polled::from_std(socket);
            poll.registry().register(&mut socket, Token(n), Interest::READABLE)?;
            let secret = Secret::new(secret(n).as_bytes()).expect("it has octets");
            let requests = [Which::First, Which::Known].map(|which| request(n, which, &secret));
            Ok(Newcomer { socket, secret, requests })
        };
        let all = (0..count).map(newcomer).collect::<io::Result<_>>()?;
        Ok(Newcomers { all, poll })
    }

    /// Asks one after the other, each when the one before has its answer; never sleeps.
    ///
    /// # Errors
    /// The kernel's, or a reply that does not verify.
    pub fn one_by_one(&self, which: Which, lost_after: Duration) -> io::Result<OneByOne> {
        let mut outcome = OneByOne::default();
        for newcomer in &self.all {
            let began = Instant::now();
            newcomer.send(which)?;
            loop {
                if newcomer.has_answer(which)? {
                    outcome.latencies.push(began.elapsed().as_secs_f64() * 1e6);
                    break;
                }
                if began.elapsed() >= lost_after {
                    outcome.lost += 1;
                    break;
                }
            }
        }
        Ok(outcome)
    }

    /// All send at once, and again as RFC 5080 §2.2.1 says, 2 s ± 10 % later and then each time twice that, until all have
    /// been answered or it takes too long.
    ///
    /// # Errors
    /// The kernel's, or a reply that does not verify.
    pub fn at_once(&mut self, which: Which, patience: Duration) -> io::Result<AtOnce> {
        let mut outcome = AtOnce::default();
        let began = Instant::now();
        // By NAS: how often it has sent, 0 where it has its answer.
        let mut sent = vec![1u32; self.all.len()];
        for newcomer in &self.all {
            newcomer.send(which)?;
        }
        // All of one transmission are due in the order in which they are in this line.
        let mut due: VecDeque<(Duration, usize)> = (0..self.all.len()).map(|n| (again(n, 1), n)).collect();
        due.make_contiguous().sort();
        let mut events = Events::with_capacity(1024);
        while outcome.answered < self.all.len() && began.elapsed() < patience {
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                let Token(n) = event.token();
                while sent[n] > 0 && self.all[n].has_answer(which)? {
                    outcome.span = began.elapsed();
                    outcome.answered += 1;
                    if sent[n] == 1 {
                        outcome.at_first += 1;
                        outcome.first_span = outcome.span;
                    }
                    sent[n] = 0;
                }
            }
            while let Some((at, n)) = due.front().copied().filter(|(at, _)| *at <= began.elapsed()) {
                due.pop_front();
                if sent[n] > 0 {
                    self.all[n].send(which)?;
                    sent[n] += 1;
                    let next = at + again(n, sent[n]);
                    due.insert(due.partition_point(|waiting| *waiting < (next, n)), (next, n));
                }
            }
        }
        Ok(outcome)
    }
}

/// How long a NAS waits after it has sent for the `time`th time.
fn again(n: usize, time: u32) -> Duration {
    Duration::from_micros(1_800_000 + (n % 1024) as u64 * 400_000 / 1024) * 2u32.pow(time - 1)
}

impl Newcomer {
    fn send(&self, which: Which) -> io::Result<()> {
        match self.socket.send(&self.requests[which as usize]) {
            Ok(_) => Ok(()),
            // What the kernel does not take is sent again.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the answer to this request has come. One to another of its requests is late, and nobody's.
    fn has_answer(&self, which: Which) -> io::Result<bool> {
        let mut octets = [0; 4096];
        let request = Framed::parse(&self.requests[which as usize]).expect("we made it");
        let wrong = || io::Error::other("a reply that is none to what was asked");
        loop {
            let length = match self.socket.recv(&mut octets) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // Word of a server that was not there.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let reply = Framed::parse(&octets[..length]).map_err(|_| wrong())?;
            if reply.identifier() != request.identifier() {
                continue;
            }
            let verified = reply.verify_reply(&self.secret, request.authenticator(), false);
            return match verified.map(|verified| verified.code()) {
                Ok(Code::AccessAccept) => Ok(true),
                Ok(_) | Err(_) => Err(wrong()),
            };
        }
    }
}

/// A signed Access-Request, some 115 octets.
fn request(n: usize, which: Which, secret: &Secret) -> Vec<u8> {
    let mut octets = Vec::with_capacity(128);
    let mut authenticator = [0; 16];
    authenticator[..8].copy_from_slice(&(n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    authenticator[8] = which as u8;
    let identifier = (n as u8).wrapping_mul(2) | which as u8;
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::request(&mut octets, Code::AccessRequest, identifier, &authenticator, sign);
    encoder.attribute(number::USER_NAME, b"bob@lan.example").expect("a name fits");
    encoder.user_password(b"hello", secret).expect("one block");
    encoder.attribute(number::NAS_IP_ADDRESS, &[192, 0, 2, 10]).expect("an address fits");
    encoder.attribute(number::NAS_PORT, &[0, 0, 0, 17]).expect("a number fits");
    encoder.attribute(number::NAS_IDENTIFIER, name(n).as_bytes()).expect("a name fits");
    encoder.attribute(number::CALLING_STATION_ID, b"00-00-5E-00-53-17").expect("an address fits");
    encoder.finish_request(secret);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_core::packet::Requirements;

    #[test]
    fn each_has_an_address_or_a_port_of_its_own_and_its_requests_verify() {
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        for place in [Place::Addresses, Place::Nat] {
            let server = silent.local_addr().expect("it is bound");
            let newcomers = Newcomers::new(600, place, server).expect("ports");
            let mut from: Vec<_> =
                newcomers.all.iter().map(|one| one.socket.local_addr().expect("bound")).collect();
            if place == Place::Addresses {
                from.iter_mut().for_each(|address| address.set_port(0));
            }
            from.sort_unstable();
            from.dedup();
            assert_eq!(from.len(), 600);
            for newcomer in &newcomers.all {
                for request in &newcomer.requests {
                    let framed = Framed::parse(request).expect("a packet");
                    let all = Requirements { require_message_authenticator: true, limit_proxy_state: true };
                    assert!(framed.verify_request(&newcomer.secret.clone().into(), all).is_ok());
                }
            }
        }
    }

    #[test]
    fn what_nobody_answers_is_sent_again_and_counted_as_lost() {
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let mut newcomers =
            Newcomers::new(2, Place::Nat, silent.local_addr().expect("it is bound")).expect("ports");
        let outcome = newcomers.one_by_one(Which::First, Duration::from_millis(1)).expect("sockets work");
        assert_eq!((outcome.lost, outcome.latencies.len()), (2, 0));
        assert_eq!(again(0, 1), Duration::from_millis(1_800));
        assert!(again(1023, 1) < Duration::from_millis(2_200) && again(0, 2) == again(0, 1) * 2);
        let outcome = newcomers.at_once(Which::Known, Duration::from_millis(1)).expect("sockets work");
        assert_eq!((outcome.answered, outcome.at_first), (0, 0));
    }
}
