//! A home server without a socket, for counting what a proxy does in front of it: cores of a proxy on one side, replies on the other.
//!
//! Knows no user. What it does is part of each count, and counted by itself.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::workload::{HOME_SECRET, Setup, forwarding_configuration};
use ulna_core::cores::{Cores, assemble};
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::path::{ListenerId, Path, SocketId, Via};
use ulna_core::{Instant, Seed};

/// Answers a request, signed, with its Proxy-States and this State.
///
/// # Panics
/// For what is no packet.
pub fn answer(request: &[u8], code: Code, state: Option<&[u8]>, secret: &Secret, out: &mut Vec<u8>) {
    let request = Framed::parse(request).expect("what is forwarded is a packet");
    let mut encoder = Encoder::reply(out, code, request.identifier(), MessageAuthenticator::First);
    if let Some(state) = state {
        encoder.attribute(number::STATE, state).expect("a State fits");
    }
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("what fitted into a request fits here");
    }
    encoder.finish_reply(secret, request.authenticator());
}

/// A joined thread's cores in front of such a server.
pub struct Proxy {
    cores: Cores,
    sockets: Vec<RemoteSocket>,
    secret: Secret,
    now: Instant,
    out: Vec<u8>,
    /// Replies on their way, and through which socket.
    replies: Vec<(SocketId, Vec<u8>)>,
}

impl Proxy {
    /// With so many rules for new requests, of which the last forwards.
    ///
    /// # Panics
    /// Without any rule.
    pub fn new(rules: usize) -> Proxy {
        let setup = Setup { network_threads: 0, workers: 1, log: false };
        let home = SocketAddr::from(([127, 0, 0, 1], 1812));
        let configuration = Arc::new(forwarding_configuration(setup, home, rules));
        let mut cores = assemble(&configuration, &Seed::new([7; 32]));
        Proxy {
            cores: cores.pop().expect("one joined thread"),
            sockets: Vec::new(),
            secret: Secret::new(HOME_SECRET).expect("it has octets"),
            now: Instant::ORIGIN,
            out: Vec::with_capacity(4096),
            replies: Vec::new(),
        }
    }

    /// Requests, each from a port, in one turn, and in the next the home server's replies to them, of this code and with the State
    /// that is made for each. Says how many replies were to be sent to who asked.
    ///
    /// # Panics
    /// If a request is sent to a server through a socket that was not opened.
    pub fn turn<'r>(
        &mut self,
        requests: impl Iterator<Item = (u16, &'r [u8])>,
        code: Code,
        mut state: impl FnMut(usize) -> Option<[u8; 8]>,
    ) -> usize {
        self.now += Duration::from_micros(100);
        self.cores.begin();
        self.cores.sweep(self.now);
        for (port, octets) in requests {
            let path = Path {
                via: Via::Socket(SocketId(0)),
                listener: ListenerId(0),
                local: ([127, 0, 0, 1], 1812).into(),
                remote: ([127, 0, 0, 1], port).into(),
            };
            self.cores.handle_datagram(path, black_box(octets), self.now);
        }
        let mut sent = self.finish();
        let mut replies = 0;
        loop {
            self.out.clear();
            let Some(transmit) = self.cores.poll_forward(&mut self.out) else { break };
            if self.replies.len() == replies {
                self.replies.push((transmit.via, Vec::with_capacity(4096)));
            }
            let (via, reply) = &mut self.replies[replies];
            *via = transmit.via;
            answer(&self.out, code, state(replies).as_ref().map(|state| &state[..]), &self.secret, reply);
            replies += 1;
        }
        self.now += Duration::from_micros(100);
        self.cores.begin();
        self.cores.sweep(self.now);
        for (via, reply) in &self.replies[..replies] {
            let socket = self.sockets.iter().find(|socket| socket.via() == *via).expect("it was opened");
            self.cores.handle_remote_datagram(*socket, black_box(reply), self.now);
        }
        sent += self.finish();
        sent
    }

    /// The counter of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn count(&self, name: &str) -> u64 {
        let worker = self.cores.worker().expect("the threads are joined");
        let mut named = worker.counters().named();
        named.find(|(each, _)| *each == name).unwrap_or_else(|| panic!("there is no counter {name}")).1
    }

    /// The rest of a turn, up to where it sends to remote servers.
    fn finish(&mut self) -> usize {
        self.cores.handle_timeout(self.now);
        self.cores.work(usize::MAX, self.now);
        while let Some(order) = self.cores.poll_remote_order() {
            match order {
                RemoteOrder::Open { socket, .. } => self.sockets.push(socket),
                RemoteOrder::Close { socket } => self.sockets.retain(|open| *open != socket),
            }
        }
        let mut sent = 0;
        loop {
            self.out.clear();
            if self.cores.poll_transmit(&mut self.out).is_none() {
                break;
            }
            black_box(&self.out);
            sent += 1;
        }
        self.cores.finish(self.now);
        self.cores.publish();
        assert!(self.cores.check_gate().is_none(), "there is no other thread");
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::round;

    #[test]
    fn a_proxy_forwards_a_conversation_and_asks_no_rule_for_new_requests_again() {
        let mut proxy = Proxy::new(10);
        let mut octets = Vec::new();
        for number in 0..4u8 {
            let state: Option<&[u8]> = if number == 0 { None } else { Some(b"01234567") };
            round(3, number, u64::from(number), state, &mut octets);
            let requests = [(40_000, &octets[..])].into_iter();
            assert_eq!(proxy.turn(requests, Code::AccessChallenge, |_| Some(*b"01234567")), 1);
        }
        assert_eq!((proxy.count("forwarded"), proxy.count("ongoing"), proxy.count("challenges")), (4, 3, 4));
    }
}
