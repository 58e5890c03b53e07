//! What threads say to each other, and which of it is urgent.
//!
//! Network → worker: [`Request`](Message::Request) opens; each is completed by exactly one [`Replied`](Message::Replied),
//! [`Reply`](Message::Reply), [`Discarded`](Message::Discarded) or [`Superseded`](Message::Superseded), which brings its
//! buffer home. [`Elsewhere`](Message::Elsewhere) ends it with this worker only. A [`Stranger`](Message::Stranger) likewise is
//! answered by one [`Admitted`](Message::Admitted), [`Refused`](Message::Refused) or [`SeenBefore`](Message::SeenBefore). The rest
//! are notices, which complete nothing.
//!
//! When workers come and go: [`Epoch`](Message::Epoch), and [`Close`](Message::Close), behind which nothing follows. Either
//! way: [`Died`](Message::Died), when the core at the other end has panicked and been replaced.

use super::gate::Urgency;
use crate::client::Admission;
use crate::control::{FromTask, TaskName, ToTask};
use crate::discard::Discard;
use crate::life::Life;
use crate::request::buffer::Packet;
use crate::request::{Completion, Request, RequestHandle, Stranger, Stray};
use crate::time::Instant;
use alloc::boxed::Box;

/// One message. Moved by value into a ring's slot.
#[derive(Debug)]
pub enum Message {
    /// Network → worker: answer this.
    Request(Request),
    /// Network → worker: the NAS sent this request again. At most one unread for each request.
    Duplicate(RequestHandle),
    /// Network → worker: nobody waits for this request any more.
    Cancel(RequestHandle),
    /// Network → worker: the buffer of a long reply, back home.
    ReplyBuffer(Box<Packet>),
    /// Worker → network, lazy: the worker has sent the reply itself; keep it for duplicates.
    Replied(Completion),
    /// Worker → network: send this reply, not before its time.
    Reply {
        /// The request that it ends.
        completion: Completion,
        /// When to send it; at [`Instant::ORIGIN`] to a stream, at once.
        not_before: Instant,
    },
    /// Worker → network, lazy: there will be no reply.
    Discarded {
        /// The request that it ends.
        completion: Completion,
        /// Why.
        reason: Discard,
    },
    /// Worker → network, lazy: there will be no reply to this request, which was superseded: `Cancel` said so.
    Superseded(Completion),
    /// Network → network: a datagram of a connection that is yours.
    Stray(Stray),
    /// Network → network, lazy: the buffer of a stray, back home.
    StrayBuffer(Box<Packet>),
    /// Worker → network: this request's State is not known here, and may be elsewhere.
    Elsewhere(Request),
    /// Network → worker: whose is this?
    Stranger(Stranger),
    /// Worker → network: it is this client's, who speaks there from now on.
    Admitted(Stranger, Admission),
    /// Worker → network, lazy: nobody's.
    Refused {
        /// The packet.
        stranger: Stranger,
        /// Why.
        reason: Discard,
    },
    /// Worker → network: it is a client's who has sent the same on another connection.
    SeenBefore(Stranger),
    /// Network → network: the same, to the core that took it there. Comes back as a stray's buffer does.
    Retransmission(Stray),
    /// Network → worker: what follows is routed by the owners of this epoch.
    Epoch(u32),
    /// Either way: the last message of this side. The link goes when both have said it.
    Close,
    /// Network → worker: to a task of a control connection's.
    ToTask(TaskName, Box<ToTask>),
    /// Worker → network: from one.
    FromTask(TaskName, Box<FromTask>),
    /// To every peer of a core that has died, before anything that its successor says: what died with it.
    Died(Loss),
}

/// What buffers are lent for: requests by the parity of their configuration, the first also for whatever is no request; and
/// [strangers](STRANGERS).
pub const LOANS: usize = 3;
/// Packets of nobody's.
pub const STRANGERS: usize = 2;

/// What died with a core of what one peer had given to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// It had taken the peer's first so many buffers off the ring. What came later its successor takes.
    pub taken: u64,
    /// Of these, the buffers that will never come home, by what they were lent for.
    pub lost: [u32; LOANS],
}

impl Message {
    /// Whether its recipient has to be woken for it.
    pub fn urgency(&self) -> Urgency {
        match self {
            Message::Request(_)
            | Message::Duplicate(_)
            | Message::Cancel(_)
            | Message::Reply { .. }
            | Message::Stray(_)
            | Message::Elsewhere(_)
            | Message::Stranger(_)
            | Message::Admitted(..)
            | Message::SeenBefore(_)
            | Message::Retransmission(_)
            | Message::Epoch(_)
            | Message::Close
            | Message::ToTask(..)
            | Message::FromTask(..)
            | Message::Died(_) => Urgency::Urgent,
            Message::Replied(_)
            | Message::Discarded { .. }
            | Message::Superseded(_)
            | Message::Refused { .. }
            | Message::ReplyBuffer(_)
            | Message::StrayBuffer(_) => Urgency::Lazy,
        }
    }

    /// How many packet buffers travel in it.
    pub fn buffers(&self) -> usize {
        match self {
            Message::Request(_)
            | Message::Elsewhere(_)
            | Message::ReplyBuffer(_)
            | Message::Stray(_)
            | Message::Stranger(_)
            | Message::Admitted(..)
            | Message::Refused { .. }
            | Message::SeenBefore(_)
            | Message::Retransmission(_)
            | Message::StrayBuffer(_) => 1,
            Message::Replied(completion)
            | Message::Superseded(completion)
            | Message::Reply { completion, .. }
            | Message::Discarded { completion, .. } => completion.buffers(),
            Message::Duplicate(_)
            | Message::Cancel(_)
            | Message::Epoch(_)
            | Message::Close
            | Message::ToTask(..)
            | Message::FromTask(..)
            | Message::Died(_) => 0,
        }
    }

    /// Whether a buffer of the sender's travels in it that has to come home: what it is lent for, below [`LOANS`].
    pub fn lends(&self) -> Option<usize> {
        match self {
            Message::Request(request) => Some(request.stamp().generation.parity()),
            Message::Stray(_) | Message::Retransmission(_) => Some(0),
            Message::Stranger(_) => Some(STRANGERS),
            Message::Replied(completion)
            | Message::Superseded(completion)
            | Message::Reply { completion, .. }
            | Message::Discarded { completion, .. } => completion.longer_reply().map(|_| 0),
            Message::Duplicate(_)
            | Message::Cancel(_)
            | Message::ReplyBuffer(_)
            | Message::StrayBuffer(_)
            | Message::Elsewhere(_)
            | Message::Admitted(..)
            | Message::Refused { .. }
            | Message::SeenBefore(_)
            | Message::Epoch(_)
            | Message::Close
            | Message::ToTask(..)
            | Message::FromTask(..)
            | Message::Died(_) => None,
        }
    }

    /// Whether a buffer of the recipient's comes home in it: what it was lent for, and whose it is.
    pub fn gives_back(&self) -> Option<(usize, Life)> {
        match self {
            Message::Replied(completion)
            | Message::Superseded(completion)
            | Message::Reply { completion, .. }
            | Message::Discarded { completion, .. } => {
                Some((completion.stamp().generation.parity(), completion.life()))
            }
            Message::Elsewhere(request) => Some((request.stamp().generation.parity(), request.life())),
            Message::Admitted(stranger, _)
            | Message::Refused { stranger, .. }
            | Message::SeenBefore(stranger) => Some((STRANGERS, stranger.life())),
            Message::ReplyBuffer(buffer) | Message::StrayBuffer(buffer) => Some((0, buffer.owner())),
            Message::Request(_)
            | Message::Duplicate(_)
            | Message::Cancel(_)
            | Message::Stray(_)
            | Message::Stranger(_)
            | Message::Retransmission(_)
            | Message::Epoch(_)
            | Message::Close
            | Message::ToTask(..)
            | Message::FromTask(..)
            | Message::Died(_) => None,
        }
    }
}
