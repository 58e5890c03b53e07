//! A remote server, and what one worker has with it.

use crate::effect::Ticket;
use crate::forward::{Outstanding, PortIndex, RemoteServer, RemoteServerId, RemoteSocket, Standing};
use crate::generation::Generation;
use crate::packet::Code;
use crate::request::buffer::Packet;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use crate::worker::spooling::SpoolTicket;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A remote server, and what this worker has with it.
pub struct Remote {
    /// As the newest configuration that has it says.
    pub server: RemoteServer,
    /// Tells it from those that had its place before.
    pub(super) turn: u32,
    pub(super) outstanding: Outstanding<Sent>,
    /// By port.
    pub(super) sockets: Vec<Option<RemoteSocket>>,
    /// Where it is, as far as this worker has heard; `None`: its name was never resolved.
    pub(super) address: Option<SocketAddr>,
    /// Of its resolution, when that was heard.
    pub(super) version: u64,
    /// Ports to where it was before, and when to see whether they are still in use.
    pub(super) retired: Vec<PortIndex>,
    pub(super) retired_due: Option<Instant>,
    /// Of a NAS: when its ports are closed unless something goes there.
    pub(super) idle_due: Option<Instant>,
    /// Its number in each configuration that is alive, by parity.
    pub(super) numbers: [Option<RemoteServerId>; 2],
}

impl Remote {
    /// Where it is, as far as this worker has heard.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How many packets wait for its reply.
    pub fn waiting(&self) -> usize {
        self.outstanding.len()
    }

    /// How many sockets to it are open.
    pub fn sockets(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// Whether it lives, as far as any worker knows. One whose name was never resolved does not.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        if self.address.is_none() || self.server.health.is_held() {
            return Standing::Dead;
        }
        match self.server.health.standing(&self.server.judgement(), now) {
            Standing::Dead if seeded::is(Bug::DeadServerGetsNewRequests) => Standing::Zombie,
            standing @ (Standing::Alive | Standing::HalfOpen | Standing::Zombie | Standing::Dead) => standing,
        }
    }

    /// When it has to be looked after.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // What nobody asks for any more is looked after no longer.
        if !self.is_in_any() {
            return None;
        }
        let waits = self.outstanding.next_deadline(self.server.response_window);
        let health = self.server.health.next_deadline(&self.server.judgement(), now);
        let ports = self.retired_due.into_iter().chain(self.idle_due);
        waits.into_iter().chain(health).chain(self.next_resolution()).chain(ports).min()
    }

    pub(super) fn is_in_any(&self) -> bool {
        self.numbers.iter().any(Option::is_some)
    }

    /// Its number in a configuration, if that has it.
    pub fn number(&self, generation: Generation) -> Option<RemoteServerId> {
        self.numbers[generation.parity()]
    }
}

/// A packet that waits for its reply.
pub struct Sent {
    /// Who waits.
    pub whose: Whose,
    pub(super) packet: Box<Packet>,
}

impl Sent {
    /// How many requests wait: one, or none.
    pub(super) fn requests(&self) -> usize {
        match self.whose {
            Whose::Request(_) => 1,
            Whose::Probe | Whose::Spooled(_) => 0,
        }
    }

    /// What it asks.
    pub fn code(&self) -> Code {
        Code::from_octet(self.packet.octets()[0]).expect("we wrote it")
    }
}

/// Who waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The request that waits under this ticket.
    Request(Ticket),
    /// This record of the spool.
    Spooled(SpoolTicket),
    /// Nobody: whether there is one is all that is asked.
    Probe,
}
