//! A NAS that accounts: so many sessions, some at a time, each sent until it is answered. RFC 2866 §2.

use crate::oracle::codec::{Packet, Writer, code, kind};
use std::net::SocketAddr;

/// What it shares with the server.
pub const SECRET: &[u8] = b"a secret of the site";
/// How long it waits before it sends again (RFC 5080 §2.2.1).
const RETRANSMISSION: u64 = 2_000_000_000;

/// One NAS.
#[derive(Debug)]
pub struct AccountingNas {
    remote: SocketAddr,
    sessions: u64,
    window: usize,
    next: u64,
    outstanding: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    session: String,
    octets: Vec<u8>,
    due: u64,
}

/// What a datagram is to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The answer to this session.
    Answer(String),
    /// One that a retransmission has crossed.
    Again,
    /// None to any request of its.
    Wrong,
}

impl AccountingNas {
    /// The NAS of this number, which has to tell of so many sessions, `window` at a time.
    pub fn new(number: u8, sessions: u64, window: usize) -> Self {
        let remote = SocketAddr::from(([198, 51, 100, number], 1813));
        AccountingNas { remote, sessions, window, next: 0, outstanding: Vec::new() }
    }

    /// Its address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether all is answered.
    pub fn is_done(&self) -> bool {
        self.next == self.sessions && self.outstanding.is_empty()
    }

    /// How many wait for an answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// When it sends next, if nothing comes.
    pub fn next(&self) -> Option<u64> {
        self.outstanding.iter().map(|asked| asked.due).min()
    }

    /// What it sends now: new sessions as far as its window goes, and again what has waited long enough.
    pub fn sends(&mut self, now: u64) -> Vec<Vec<u8>> {
        while self.next < self.sessions && self.outstanding.len() < self.window {
            let session = format!("{}-{}", self.remote.ip(), self.next);
            let octets = Writer::new(code::ACCOUNTING_REQUEST, self.next as u8, [0; 16])
                .attribute(kind::USER_NAME, b"bob")
                .attribute(kind::ACCT_STATUS_TYPE, &[0, 0, 0, 2])
                .attribute(kind::ACCT_SESSION_ID, session.as_bytes())
                .accounting(SECRET);
            self.outstanding.push(Asked { session, octets, due: now });
            self.next += 1;
        }
        let mut sent = Vec::new();
        for asked in self.outstanding.iter_mut().filter(|asked| asked.due <= now) {
            asked.due = now + RETRANSMISSION;
            sent.push(asked.octets.clone());
        }
        sent
    }

    /// Hears a datagram: from an answer on it has forgotten its record.
    pub fn hear(&mut self, octets: &[u8]) -> Heard {
        let reply = Packet::read(octets).ok().filter(|reply| reply.code() == code::ACCOUNTING_RESPONSE);
        let place = reply.and_then(|reply| {
            self.outstanding.iter().position(|asked| {
                let authenticator = asked.octets[4..20].try_into().expect("sixteen octets");
                asked.octets[1] == reply.identifier() && reply.authenticator_holds(&authenticator, SECRET)
            })
        });
        match place {
            Some(place) => Heard::Answer(self.outstanding.remove(place).session),
            // A retransmission may have crossed its answer.
            None if reply.is_some_and(|reply| u64::from(reply.identifier()) < self.next) => Heard::Again,
            None => Heard::Wrong,
        }
    }
}
