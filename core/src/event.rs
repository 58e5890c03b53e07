//! What happened, as data: one event for each finished request and each discarded packet.
//!
//! An event is of fixed size and owns no memory, so that noting one allocates nothing; the driver renders it to text
//! elsewhere. It never holds a secret, a password, a key or a State.

use crate::accounting::SpoolName;
use crate::client::ClientId;
use crate::discard::Discard;
use crate::forward::{RemoteServerId, Standing};
use crate::generation::Generation;
use crate::path::ListenerId;
use crate::policy::ServerId;
use crate::stream::End;
use crate::time::Instant;
use core::net::SocketAddr;

/// Octets of a User-Name that an event keeps.
pub const NAME_OCTETS_MAX: usize = 63;

/// A User-Name as received, cut at [`NAME_OCTETS_MAX`].
#[derive(Clone, Copy)]
pub struct ShortName {
    length: u8,
    octets: [u8; NAME_OCTETS_MAX],
}

impl ShortName {
    /// The first octets of `name`.
    pub fn new(name: &[u8]) -> Self {
        let length = name.len().min(NAME_OCTETS_MAX);
        let mut octets = [0; NAME_OCTETS_MAX];
        octets[..length].copy_from_slice(&name[..length]);
        ShortName { length: length as u8, octets }
    }

    /// The octets kept; any octet may stand here, so a log escapes them.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl core::fmt::Debug for ShortName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.octets().escape_ascii())
    }
}

/// How a request ended, as its worker saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Access-Accept.
    Accept,
    /// Access-Reject.
    Reject,
    /// Access-Challenge.
    Challenge,
    /// Accounting-Response: its record is safe, here or at the remote server that says so.
    Recorded,
    /// CoA-ACK or Disconnect-ACK.
    Ack,
    /// CoA-NAK or Disconnect-NAK.
    Nak {
        /// Its Error-Cause, if it has one.
        error_cause: Option<u32>,
    },
    /// No answer, for this reason.
    Discarded(Discard),
    /// None, for nobody waited for it any more.
    Superseded,
}

/// Who decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The virtual server.
    pub server: ServerId,
    /// The number of its rule, from 1; `None` if none matched, or if code decides that numbers none.
    pub rule: Option<u16>,
}

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// A worker has finished a request.
    Finished {
        /// When it was read from its socket.
        received: Instant,
        /// When the worker was done with it.
        finished: Instant,
        /// Where it came from.
        remote: SocketAddr,
        /// The configuration in which a configured client is a place.
        generation: Generation,
        /// Whose it was.
        client: EventClient,
        /// Where it came in.
        listener: ListenerId,
        /// Its Identifier.
        identifier: u8,
        /// Its Request Authenticator: with remote, listener and Identifier it names the request.
        request_authenticator: [u8; 16],
        /// Its User-Name, empty if it had none.
        user_name: ShortName,
        /// Who decided about it; `None` if it did not come to that.
        decided: Option<Decided>,
        /// Which remote server, or NAS, had it last, if one had; a place in that configuration.
        remote_server: Option<RemoteServerId>,
        /// What came of it.
        outcome: Outcome,
    },
    /// A network core has discarded a packet that no worker has seen.
    Discarded {
        /// When.
        at: Instant,
        /// Where it came from.
        remote: SocketAddr,
        /// Why.
        reason: Discard,
    },
    /// A client rule has admitted a client on a connection.
    Admitted {
        /// When.
        at: Instant,
        /// Where it speaks from.
        remote: SocketAddr,
        /// Its name.
        client: ShortName,
        /// Whether another had that connection.
        is_others: bool,
    },
    /// A client still has its old secret, for the first time since it has two, or since the configuration is in force.
    OldSecret {
        /// When.
        at: Instant,
        /// Where it speaks from.
        remote: SocketAddr,
        /// The configuration in which a configured client is a place.
        generation: Generation,
        /// Whose secret it is.
        client: EventClient,
    },
    /// A client behind a NAT does not sign, for the first time: nothing of the kind is taken, since any neighbour could send it.
    UnsignedBehindNat {
        /// When.
        at: Instant,
        /// Where it speaks from.
        remote: SocketAddr,
        /// Its name.
        client: ShortName,
    },
    /// The network says that what was sent to a client did not arrive. Told when it says so first, and each time that it has
    /// said so twice as often.
    Unreachable {
        /// When.
        at: Instant,
        /// Where the client speaks from.
        remote: SocketAddr,
        /// Its name.
        client: ShortName,
        /// How often so far.
        times: u32,
    },
    /// A request has been here before: its route is a circle.
    Loop {
        /// When.
        at: Instant,
        /// Who has sent it back.
        remote: SocketAddr,
    },
    /// A remote server is to be treated otherwise than before.
    RemoteServer {
        /// When.
        at: Instant,
        /// The configuration in which it is a place.
        generation: Generation,
        /// Which.
        remote_server: RemoteServerId,
        /// How it is to be treated from now on.
        standing: Standing,
    },
    /// A remote server that is known by name has another address than before, or one at last.
    RemoteAddress {
        /// When.
        at: Instant,
        /// The configuration in which it is a place.
        generation: Generation,
        /// Which.
        remote_server: RemoteServerId,
        /// Where it is from now on.
        address: SocketAddr,
    },
    /// Nobody could say which address a remote server has, for the first time since somebody could. It is where it was.
    RemoteUnresolved {
        /// When.
        at: Instant,
        /// The configuration in which it is a place.
        generation: Generation,
        /// Which.
        remote_server: RemoteServerId,
    },
    /// Records of the spool wait for a pool that the newest configuration does not have.
    SpoolPoolUnknown {
        /// When.
        at: Instant,
        /// Its name.
        pool: ShortName,
    },
    /// A record of the spool cannot be written as a packet for its remote server.
    SpoolRecordUnwritable {
        /// When.
        at: Instant,
        /// Its name.
        record: SpoolName,
        /// That of its pool.
        pool: ShortName,
    },
    /// A stream was not accepted, or was ended for a reason that an operator may want to know.
    StreamEnded {
        /// When.
        at: Instant,
        /// Who is at its other end.
        remote: SocketAddr,
        /// Why.
        end: End,
    },
}

/// A client as an event names it.
#[derive(Debug, Clone, Copy)]
pub enum EventClient {
    /// One of the configuration.
    Configured(ClientId),
    /// One that a rule has admitted, by its name.
    Dynamic(ShortName),
}
