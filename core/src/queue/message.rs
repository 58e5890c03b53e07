//! What threads say to each other, and which of it is urgent.
//!
//! Network → worker: [`Request`](Message::Request) opens; each is completed by exactly one [`Replied`](Message::Replied),
//! [`Reply`](Message::Reply), [`Discarded`](Message::Discarded) or [`Superseded`](Message::Superseded), which brings its
//! buffer home. The rest are notices, which complete nothing.

use super::gate::Urgency;
use crate::discard::Discard;
use crate::request::buffer::Packet;
use crate::request::{Completion, Request, RequestHandle, Stray};
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
        /// When to send it.
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
}

impl Message {
    /// Whether its recipient has to be woken for it.
    pub fn urgency(&self) -> Urgency {
        match self {
            Message::Request(_)
            | Message::Duplicate(_)
            | Message::Cancel(_)
            | Message::Reply { .. }
            | Message::Stray(_) => Urgency::Urgent,
            Message::Replied(_)
            | Message::Discarded { .. }
            | Message::Superseded(_)
            | Message::ReplyBuffer(_)
            | Message::StrayBuffer(_) => Urgency::Lazy,
        }
    }

    /// How many packet buffers travel in it.
    pub fn buffers(&self) -> usize {
        match self {
            Message::Request(_) | Message::ReplyBuffer(_) | Message::Stray(_) | Message::StrayBuffer(_) => 1,
            Message::Replied(completion)
            | Message::Superseded(completion)
            | Message::Reply { completion, .. }
            | Message::Discarded { completion, .. } => completion.buffers(),
            Message::Duplicate(_) | Message::Cancel(_) => 0,
        }
    }
}
