//! A worker's remote servers: which it knows through reloads, its sockets to them, and packets on their way there.
//!
//! Knows neither requests nor policy: what is sent belongs to a ticket, or to nobody if it only asks whether a server lives.

use super::onward::KeptServer;
use crate::configuration::Configuration;
use crate::deadlines::Deadlines;
use crate::effect::Ticket;
use crate::forward::{
    Balancer, Health, OnDead, Outstanding, Pool, PoolId, PortIndex, RemoteOrder, RemoteServer, RemoteServerId,
    RemoteSocket, Slot, Standing, StatusCheck,
};
use crate::generation::Generation;
use crate::life::Life;
use crate::path::Transmit;
use crate::request::buffer::{BufferPool, Packet};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// All that a worker knows of remote servers.
pub struct Forwarding {
    remotes: Vec<Remote>,
    /// Of each configuration that is alive, the older first.
    routes: Vec<Routes>,
    sockets: Vec<Socket>,
    free_sockets: Vec<u16>,
    orders: VecDeque<RemoteOrder>,
    /// What is to be sent, in order.
    line: VecDeque<Departure>,
    buffers: BufferPool,
    /// By the place of a remote server: when it has to be looked after.
    due: Deadlines,
}

/// A remote server, and what this worker has with it.
pub struct Remote {
    /// As the newest configuration that has it says.
    pub server: RemoteServer,
    /// Tells it from those that had its place before.
    turn: u32,
    outstanding: Outstanding<Sent>,
    /// By port.
    sockets: Vec<Option<RemoteSocket>>,
    /// Its number in each configuration that is alive, by parity.
    numbers: [Option<RemoteServerId>; 2],
}

/// A packet that waits for its reply.
pub struct Sent {
    /// Who waits.
    pub whose: Whose,
    packet: Box<Packet>,
}

/// Who waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The request that waits under this ticket.
    Request(Ticket),
    /// Nobody: whether there is one is all that is asked.
    Probe,
}

/// Where numbers of one configuration lead.
struct Routes {
    generation: Generation,
    /// By the number of a remote server: its place here.
    places: Vec<u16>,
    /// By the number of a pool.
    balancers: Vec<Balancer>,
}

/// A place for a socket.
struct Socket {
    generation: u32,
    /// Whose port it is, while it is open.
    port: Option<(u16, PortIndex)>,
}

/// A packet in line.
struct Departure {
    place: u16,
    turn: u32,
    slot: Slot,
}

impl Remote {
    /// What all workers know of it.
    pub fn health(&self) -> &Health {
        &self.server.health
    }

    /// Its number in a configuration, if that has it.
    pub fn number(&self, generation: Generation) -> Option<RemoteServerId> {
        self.numbers[generation.parity()]
    }
}
