//! A verified request on its way: its octets in a box that travels, and what its network core knows about it.
//!
//! A [`Request`] is made from a [`Verified`] packet only, never from octets. Its box goes to a worker and comes home in
//! a [`Completion`], with the reply in the place of the request. Every request is completed exactly once.

pub mod buffer;
pub mod class;

use self::buffer::{BufferPool, Packet};
use crate::client::{DynamicClient, Sighting, Whose};
use crate::generation::Generation;
use crate::life::Life;
use crate::packet::{Framed, SecretIndex, Verified};
use crate::path::{ListenerId, NetworkId, Path, SocketId, Via};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names one request in its network core's dedup table. The generation tells it from those that had the entry before, the
/// life from those of the core's predecessors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestHandle {
    /// Place in the table.
    pub entry: u32,
    /// How many requests had this place before. Wraps: no completion is 2³² requests late.
    pub generation: u32,
    /// Of the network core.
    pub life: Life,
}

/// What is known of a request beside its octets.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Its name between the threads.
    pub handle: RequestHandle,
    /// The way it came.
    pub path: Path,
    /// The configuration under which it was verified. A configured client and the listener are places in that one.
    pub generation: Generation,
    /// Which of its client's secrets verified it, and signs the reply.
    pub secret_index: SecretIndex,
    /// Whether anything was verified: a Message-Authenticator or a computed Request Authenticator.
    pub signed: bool,
    /// When it was read.
    pub received: Instant,
    /// Whether another worker may know its State: who does not know it gives it back.
    pub may_be_elsewhere: bool,
    /// Whether it came to this worker only because it was read there: who wants a remote server to decide gives it back, and it goes
    /// to the owner of its slot.
    pub is_untied: bool,
}

impl Stamp {
    /// The stamp of a buffer with no packet in it.
    const BLANK: Stamp = {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Stamp {
            handle: RequestHandle::NONE,
            path: Path {
                via: Via::Socket(SocketId(0)),
                listener: ListenerId(0),
                local: nowhere,
                remote: nowhere,
            },
            generation: Generation(0),
            secret_index: SecretIndex(0),
            signed: false,
            received: Instant::ORIGIN,
            may_be_elsewhere: false,
            is_untied: false,
        }
    };
}

impl RequestHandle {
    /// The handle of what has not been accepted yet.
    pub const NONE: RequestHandle = RequestHandle { entry: u32::MAX, generation: 0, life: Life(0) };
}

/// A request that verified under its client's secret, or an Access-Request that carries nothing to verify.
pub struct Request(Box<Packet>);

impl Request {
    /// Copies a verified packet into a buffer that is large enough for it.
    fn new(verified: &Verified<'_>, mut buffer: Box<Packet>, stamp: Stamp, whose: &Whose) -> Self {
        buffer.fill(*verified.framed());
        buffer.stamp = Stamp { secret_index: verified.secret_index(), signed: verified.signed(), ..stamp };
        buffer.whose = whose.clone();
        Request(buffer)
    }

    /// The same in a buffer of `buffers`; `None` when all of them are away.
    pub fn copied(
        verified: &Verified<'_>,
        stamp: Stamp,
        whose: &Whose,
        buffers: &mut BufferPool,
    ) -> Option<Self> {
        let buffer = buffers.take(verified.framed().octets().len())?;
        Some(Request::new(verified, buffer, stamp, whose))
    }

    /// What is known beside the octets.
    pub fn stamp(&self) -> &Stamp {
        &self.0.stamp
    }

    /// Whose it is.
    pub fn whose(&self) -> &Whose {
        &self.0.whose
    }

    /// The life of the network core that gave it.
    pub fn life(&self) -> Life {
        self.0.owner()
    }

    /// The packet as it was framed.
    pub fn framed(&self) -> Framed<'_> {
        self.0.framed()
    }

    /// Names it: what was put aside gets its handle only when it is accepted. And says whether its State may be known to
    /// another worker, and whether nothing but being read there led to this one.
    pub fn to_be_sent(mut self, handle: RequestHandle, may_be_elsewhere: bool, is_untied: bool) -> Self {
        self.0.stamp.handle = handle;
        self.0.stamp.may_be_elsewhere = may_be_elsewhere;
        self.0.stamp.is_untied = is_untied;
        self
    }

    /// Ends it without a reply.
    pub fn discarded(self) -> Completion {
        let mut buffer = self.0;
        buffer.set_octets(&[]);
        Completion { buffer, longer_reply: None }
    }

    /// Ends it with `reply` octets: in its own buffer where they fit, else in `larger`, which is called only then.
    pub fn answered(self, reply: &[u8], larger: impl FnOnce() -> Box<Packet>) -> Completion {
        let mut completion = self.discarded();
        if reply.len() <= completion.buffer.capacity() {
            completion.buffer.set_octets(reply);
        } else {
            completion.longer_reply.insert(larger()).set_octets(reply);
        }
        completion
    }

    /// Gives the buffer back unused.
    pub fn into_buffer(self) -> Box<Packet> {
        self.0
    }
}

impl fmt::Debug for Request {
    /// The stamp only: octets hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(self.stamp()).finish()
    }
}

/// The end of a request: its buffer on the way home, with the reply in it.
#[derive(Debug)]
pub struct Completion {
    buffer: Box<Packet>,
    /// A reply that did not fit; this buffer belongs to the worker and goes back to it.
    longer_reply: Option<Box<Packet>>,
}

impl Completion {
    /// What was known of the request.
    pub fn stamp(&self) -> &Stamp {
        &self.buffer.stamp
    }

    /// The reply's octets; none if there was no answer, or no buffer to keep it in.
    pub fn reply_octets(&self) -> Option<&[u8]> {
        let octets = self.longer_reply.as_ref().unwrap_or(&self.buffer).octets();
        (!octets.is_empty()).then_some(octets)
    }

    /// The life of the network core that gave the request.
    pub fn life(&self) -> Life {
        self.buffer.owner()
    }

    /// The worker's buffer, if the reply is in one.
    pub fn longer_reply(&self) -> Option<&Packet> {
        self.longer_reply.as_deref()
    }

    /// How many buffers it has: one, or two.
    pub fn buffers(&self) -> usize {
        1 + usize::from(self.longer_reply.is_some())
    }

    /// The reply alone, in a buffer of `buffers` that lent the request's; and the worker's buffer, which goes home now, if
    /// the reply was in that.
    ///
    /// # Panics
    /// When there is no reply.
    pub fn into_reply(self, buffers: &mut BufferPool) -> (Reply, Option<Box<Packet>>) {
        let Completion { mut buffer, longer_reply } = self;
        if let Some(longer) = &longer_reply {
            let stamp = buffer.stamp;
            buffers.give_back(buffer);
            buffer = buffers.take(longer.octets().len()).expect("one has just been given back");
            buffer.set_octets(longer.octets());
            buffer.stamp = stamp;
        }
        assert!(!buffer.octets().is_empty(), "a reply has octets");
        (Reply(buffer), longer_reply)
    }

    /// The request's buffer, and the worker's if the reply was too long for it.
    pub fn into_buffers(self) -> (Box<Packet>, Option<Box<Packet>>) {
        (self.buffer, self.longer_reply)
    }
}

/// The reply to a request, in a buffer of the network core that sends it.
#[derive(Debug)]
pub struct Reply(Box<Packet>);

impl Reply {
    /// What was known of the request.
    pub fn stamp(&self) -> &Stamp {
        &self.0.stamp
    }

    /// The packet.
    pub fn octets(&self) -> &[u8] {
        self.0.octets()
    }

    /// The buffer, to be given back.
    pub fn into_buffer(self) -> Box<Packet> {
        self.0
    }
}

/// A datagram that another thread read than the one that its connection belongs to, in a buffer of the reader's.
#[derive(Debug)]
pub struct Stray(Box<Packet>);

impl Stray {
    /// Copies a datagram, neither framed nor verified, into a buffer that is large enough for it.
    pub fn new(path: Path, octets: &[u8], mut buffer: Box<Packet>) -> Self {
        buffer.set_octets(octets);
        buffer.stamp = Stamp { path, ..Stamp::BLANK };
        Stray(buffer)
    }

    /// The way it came.
    pub fn path(&self) -> Path {
        self.0.stamp.path
    }

    /// The datagram.
    pub fn octets(&self) -> &[u8] {
        self.0.octets()
    }

    /// As a retransmission of a request that the recipient took.
    pub fn as_stranger(self) -> Stranger {
        Stranger(self.0)
    }

    /// The reader's buffer, to be sent home.
    pub fn into_buffer(self) -> Box<Packet> {
        self.0
    }
}

/// Who had a connection before a stranger's packet came by it.
pub struct Previous {
    /// The client.
    pub client: Arc<DynamicClient>,
    /// Whether the packet has failed under its secrets.
    pub has_failed: bool,
}

/// A framed packet of nobody's, or one that failed under its connection's client, on its way to the worker that may know whose
/// it is. In a buffer of its network core's, to which it goes home with the answer.
#[derive(Debug)]
pub struct Stranger(Box<Packet>);

impl Stranger {
    /// Copies a framed packet that came this way into a buffer that is large enough for it.
    pub fn new(
        path: Path,
        framed: Framed<'_>,
        previous: Option<Previous>,
        mut buffer: Box<Packet>,
        received: Instant,
    ) -> Self {
        buffer.fill(framed);
        buffer.stamp = Stamp { path, received, ..Stamp::BLANK };
        if let Some(Previous { client, has_failed }) = previous {
            buffer.whose = Whose::Dynamic(client);
            // No worker is asked for its State: the place is free to say this.
            buffer.stamp.may_be_elsewhere = has_failed;
        }
        Stranger(buffer)
    }

    /// The way it came.
    pub fn path(&self) -> Path {
        self.0.stamp.path
    }

    /// When it was read.
    pub fn received(&self) -> Instant {
        self.0.stamp.received
    }

    /// The packet as it was framed.
    pub fn framed(&self) -> Framed<'_> {
        self.0.framed()
    }

    /// How many octets it has.
    pub fn octet_count(&self) -> usize {
        self.0.octets().len()
    }

    /// Who has its connection, or had it until now; once it is [seen before](Stranger::seen_before), whose it is.
    pub fn previous(&self) -> Option<&Arc<DynamicClient>> {
        match &self.0.whose {
            Whose::Dynamic(client) => Some(client),
            Whose::Configured(_) => None,
        }
    }

    /// Whether it has failed under who has its connection.
    pub fn has_failed(&self) -> bool {
        self.0.stamp.may_be_elsewhere
    }

    /// Whether this is the same packet that came the same way.
    pub fn is_same(&self, other: &Stranger) -> bool {
        self.path() == other.path() && self.0.octets() == other.0.octets()
    }

    /// It is a request of this client's that was taken there before.
    pub fn seen_before(mut self, sighting: Sighting, client: &Arc<DynamicClient>) -> Self {
        self.0.whose = Whose::Dynamic(Arc::clone(client));
        self.0.stamp.handle =
            RequestHandle { entry: sighting.place.unwrap_or(u32::MAX), ..RequestHandle::NONE };
        // The core that took it, in a place that nobody else needs here.
        self.0.stamp.handle.generation = u32::from(sighting.network.0);
        self
    }

    /// Where it was taken before.
    pub fn sighting(&self) -> Sighting {
        let RequestHandle { entry, generation, .. } = self.0.stamp.handle;
        Sighting { network: NetworkId(generation as u16), place: (entry != u32::MAX).then_some(entry) }
    }

    /// The life of the network core that gave it.
    pub fn life(&self) -> Life {
        self.0.owner()
    }

    /// It goes on to the network core that took it before, as a stray of its own core's.
    pub fn into_stray(self) -> Stray {
        Stray(self.0)
    }

    /// The buffer, to be given back.
    pub fn into_buffer(self) -> Box<Packet> {
        self.0
    }
}
