//! The limit that a server is compared with: reads, computes one MD5 (the Response Authenticator), sends.
//!
//! Verifies nothing, knows no user, keeps nothing. Sockets and batches are the server's own, so that what differs is
//! what the server does beside them.

use md5::{Digest, Md5};
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use ulna_core::packet::{Code, HEADER_OCTETS};
use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::{BoundUdp, ReceiveBatch, SendBatch, SystemCalls, bind_udp};

use crate::workload::SECRET;

/// Datagrams of a batch, as in the server.
const BATCH: usize = 64;
/// What the server asks for by default.
const RECEIVE_BUFFER_OCTETS: usize = 4_194_304;

/// Answers every datagram with an Access-Accept.
#[derive(Debug)]
pub struct Responder {
    bound: BoundUdp,
    poll: Poll,
    together: bool,
}

/// What a responder has done, and what came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// System calls made.
    pub calls: SystemCalls,
    /// Replies dropped because the send buffer was full.
    pub send_would_block: u64,
    /// Replies that the kernel refused.
    pub send_failed: u64,
}

impl Responder {
    /// Binds a port of the kernel's choice. With `together` replies of equal length to one destination leave as
    /// segments of one send.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(together: bool) -> io::Result<Responder> {
        let mut bound = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), false, RECEIVE_BUFFER_OCTETS)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut bound.socket, Token(0), Interest::READABLE)?;
        Ok(Responder { bound, poll, together })
    }

    /// The number by which the kernel counts what it drops.
    pub fn inode(&self) -> u64 {
        self.bound.inode
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.bound.local
    }

    /// Answers until the process ends; what was counted so far is in `counts`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(mut self, counts: &Mutex<Counts>) -> io::Result<()> {
        let mut receive = ReceiveBatch::new(BATCH, 4096);
        let mut send = SendBatch::new(BATCH);
        send.set_together(self.together);
        let mut events = Events::with_capacity(4);
        let mut made = Counts::default();
        loop {
            let received = receive.receive(&self.bound.socket, &mut made.calls)?;
            for datagram in receive.datagrams() {
                let Some(request) = datagram.octets.first_chunk::<HEADER_OCTETS>() else { continue };
                let mut reply = *request;
                reply[0] = Code::AccessAccept.octet();
                reply[2..4].copy_from_slice(&(HEADER_OCTETS as u16).to_be_bytes());
                let digest = Md5::new().chain_update(reply).chain_update(SECRET).finalize();
                reply[4..].copy_from_slice(&digest);
                send.slot().extend_from_slice(&reply);
                send.push(Transmit { via: SocketId(0), source: None, destination: datagram.remote });
            }
            if !send.is_empty() {
                let sent = send.flush_through(&self.bound.socket, &mut made.calls);
                made.send_would_block += sent.dropped_would_block as u64;
                made.send_failed += sent.failed as u64;
            }
            // A short batch has emptied the socket.
            if received < receive.capacity() {
                made.calls.wait += 1;
                *counts.lock().expect("nobody panics with it") = made;
                self.poll.poll(&mut events, None)?;
            }
        }
    }
}
