//! Sockets on loopback and what arrives at them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::{BoundUdp, ReceiveBatch, SendBatch, SystemCalls, bind_udp};

/// Long enough that a test which needs it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub const RECEIVE_BUFFER_OCTETS: usize = 4 << 20;

/// A datagram that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub octets: Vec<u8>,
    pub datagram_octets: usize,
    pub remote: SocketAddr,
    pub local_address: Option<IpAddr>,
}

/// A socket that waits for what is expected of it.
pub struct Receiver {
    pub bound: BoundUdp,
    pub batch: ReceiveBatch,
    pub calls: SystemCalls,
    poll: Poll,
    arrived: VecDeque<Arrived>,
}

impl Receiver {
    pub fn at(address: &str) -> Receiver {
        let address = address.parse().expect("an address");
        Receiver::of(bind_udp(address, false, RECEIVE_BUFFER_OCTETS).expect("loopback is there"))
    }

    pub fn of(mut bound: BoundUdp) -> Receiver {
        let poll = Poll::new().expect("a poll");
        poll.registry().register(&mut bound.socket, Token(0), Interest::READABLE).expect("registered");
        Receiver {
            bound,
            batch: ReceiveBatch::new(64, 4_096),
            calls: SystemCalls::default(),
            poll,
            arrived: VecDeque::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.bound.local
    }

    /// The next datagrams, exactly so many.
    pub fn expect(&mut self, datagrams: usize) -> Vec<Arrived> {
        while self.arrived.len() < datagrams {
            if self.read() == 0 {
                assert!(self.wait(PATIENCE), "{} of {datagrams} datagrams arrived", self.arrived.len());
            }
        }
        self.arrived.drain(..datagrams).collect()
    }

    /// One read; what it gave is kept for [`Receiver::expect`].
    pub fn read(&mut self) -> usize {
        let received =
            self.batch.receive(&self.bound.socket, &mut self.calls).expect("a socket that can be read");
        self.arrived.extend(self.batch.datagrams().map(|datagram| Arrived {
            octets: datagram.octets.to_vec(),
            datagram_octets: datagram.datagram_octets,
            remote: datagram.remote,
            local_address: datagram.local_address,
        }));
        received
    }

    /// Waits until the socket has something to say, an error too; false: it has not.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let mut events = Events::with_capacity(4);
        self.poll.poll(&mut events, Some(patience)).expect("poll waits");
        !events.is_empty()
    }
}

/// To this destination, from whatever address.
pub fn to(destination: SocketAddr) -> Transmit {
    Transmit { via: SocketId(0), source: None, destination }
}

/// Adds a packet of these octets.
pub fn add(batch: &mut SendBatch, transmit: Transmit, octets: &[u8]) {
    batch.slot().extend_from_slice(octets);
    batch.push(transmit);
}

/// Octets of this length that tell by themselves which packet they are and whether they are whole.
pub fn numbered(number: u32, octets: usize) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().zip(0u8..=250).map(|(a, b)| a ^ b).cycle().take(octets).collect()
}
