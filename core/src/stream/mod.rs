//! Streams of one network core: which there are, what each has still to be taken and to be written, and until when.
//!
//! A stream belongs to the core whose thread accepted it. Its client is that of its source address, or one that a client rule has
//! admitted on it: then it is that client's to its end, as the stream is the connection, also where many are behind one address.
//!
//! ```text
//!  accepted ──► open ── the peer sends no more, or the server ends ──► ending ── all is answered and written ──► over
//!                └──── a packet that ends it, a time-out, broken off ─────┴─────────────────────────────────────► over
//! ```
//!
//! A stream that is over has no requests any more: they were cancelled, and their cached replies forgotten (RFC 6613 §2.6.1). It
//! keeps its place until its driver has closed it.
//!
//! All is bounded. Of what came, no more waits than one read and one packet: a stream is not read while replies to it wait to be
//! read by its peer, while as many requests of it are under way as there are Identifiers (RFC 6613 §2.6.5), while it is not known
//! whose it is, while it sends faster than it may, or while the worker of its next packet has no room: nothing can be sent again by a
//! stream, so nothing is shed. Where replies that wait take as much memory as they may in all streams together, none of those is read
//! to which some wait. Knows no packet but by its length, no policy and no descriptor. RFC 6613 §2.6.

mod end;
pub mod framing;
mod identifiers;
mod slab;

pub use self::end::End;
pub(crate) use self::framing::{Pending, Spares};
pub(crate) use self::identifiers::Identifiers;
pub(crate) use self::slab::Streams;

use crate::client::{DynamicClient, Pace, Permit};
use crate::configuration::StreamSettings;
use crate::path::Path;
use crate::time::Instant;
use alloc::sync::Arc;
use core::time::Duration;

/// How much a driver may hand in at once.
pub const READ_OCTETS_MAX: usize = 16 * 1024;
/// Requests of one stream under way, at most: as many as there are Identifiers (RFC 6613 §2.6.5).
const OUTSTANDING_MAX: u32 = 256;
/// Octets that wait to be written, above which nothing more is taken. Replies to what is under way come on top: at most 256 of
/// 4 096 octets.
const OUTPUT_PAUSE: usize = 64 * 1024;
/// In which replies have to be read when the server ends.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both sides send.
    Open,
    /// Nothing more is read, for this reason. What has come is answered.
    Ending(End),
    /// It is to be closed.
    Over,
}

/// One stream.
pub(crate) struct Stream {
    pub path: Path,
    settings: StreamSettings,
    pub phase: Phase,
    /// Who speaks here, if a client rule has admitted anybody.
    pub client: Option<Spoken>,
    /// A worker is asked whose a packet is.
    pub is_asking: bool,
    /// Its next packet has found no room at a worker.
    pub is_blocked: bool,
    /// What it may send.
    pace: Pace,
    /// Its next packet has passed, but was not taken yet.
    has_passed: bool,
    /// Its next packet waits until then, as it comes sooner than it may.
    pub paced_until: Option<Instant>,
    /// Requests under way, rejects that wait among them; without those that newer ones have displaced.
    pub outstanding: u32,
    pub input: Pending,
    pub output: Pending,
    pub used: Identifiers,
    /// When something came last.
    pub heard: Instant,
    /// Since when a packet is waited for whose beginning has come.
    pub partial_since: Option<Instant>,
    /// By when what waited to be written at its mark has to be written.
    write_due: Option<WriteDue>,
    /// Whether it was to be read when its driver was told last.
    told_readable: bool,
    is_ready: bool,
}

/// A client that a rule has admitted on a stream, whose connection is counted.
pub(crate) struct Spoken {
    pub client: Arc<DynamicClient>,
    pub _permit: Permit,
}

/// What is due with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It ends.
    End(End),
    /// Its next packet may be taken.
    GoOn,
}

#[derive(Debug, Clone, Copy)]
struct WriteDue {
    due: Instant,
    /// Of what has still to be written, so much waited then.
    octets: usize,
}

/// What a stream's driver is to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamView<'s> {
    /// To be written as far as that can be done without waiting.
    pub output: &'s [u8],
    /// Whether it is to be read.
    pub may_read: bool,
    /// Whether it is to be closed, once the output was written as far as it can be.
    pub is_over: bool,
}

impl Stream {
    /// Whether one more packet may be taken; `is_crowded` is whether replies that wait take as much memory as they may, in all streams.
    pub fn may_take(&self, is_crowded: bool) -> bool {
        let output = self.output.octets().len();
        self.phase != Phase::Over
            && !self.is_asking
            && !self.is_blocked
            && self.paced_until.is_none()
            && self.outstanding < OUTSTANDING_MAX
            && if is_crowded { output == 0 } else { output < OUTPUT_PAUSE }
    }

    fn may_read(&self, is_crowded: bool) -> bool {
        self.phase == Phase::Open && self.may_take(is_crowded)
    }

    /// Whether nothing of it is under way.
    pub fn is_done(&self) -> bool {
        self.outstanding == 0
            && self.output.is_empty()
            && !self.is_asking
            && !self.is_blocked
            && self.paced_until.is_none()
    }

    /// Whether its next packet comes no sooner than it may. Asked again until that is taken, it is counted once.
    pub fn passes(&mut self, now: Instant) -> bool {
        let per_second = self.settings.packets_per_second;
        self.has_passed = self.has_passed || self.pace.passes(per_second, now);
        if !self.has_passed {
            self.paced_until = Some(now + Duration::from_secs(1) / per_second);
        }
        self.has_passed
    }

    /// Its next packet was taken.
    pub fn note_taken(&mut self) {
        self.has_passed = false;
    }

    /// The server ends: replies have to be read soon, however long they may lie else.
    fn hurry(&mut self, now: Instant) {
        self.settings.write_timeout = self.settings.write_timeout.min(LAST_WRITE_TIMEOUT);
        if let Some(WriteDue { due, .. }) = &mut self.write_due {
            *due = (*due).min(now + LAST_WRITE_TIMEOUT);
        }
    }

    /// When to look at it next, if nothing comes.
    fn due(&self) -> Instant {
        let idle = self.heard + self.settings.idle_timeout;
        let partial = self.partial_since.map(|since| since + self.settings.read_timeout);
        let written = self.write_due.map(|write_due| write_due.due);
        [partial, written, self.paced_until].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Why its time is over, if it is.
    fn overdue(&mut self, now: Instant) -> Option<Due> {
        let StreamSettings { idle_timeout, read_timeout, write_timeout, .. } = self.settings;
        if self.partial_since.is_some_and(|since| since + read_timeout <= now) {
            return Some(Due::End(End::SlowSender));
        }
        if let Some(WriteDue { due, octets }) = &mut self.write_due
            && *due <= now
        {
            // A trickle does not count: all that waited then has to be gone. Nor does a server that ends wait for what came since.
            if *octets > 0 || self.phase == Phase::Ending(End::Draining) {
                return Some(Due::End(End::SlowReader));
            }
            (*due, *octets) = (now + write_timeout, self.output.octets().len());
        }
        if self.heard + idle_timeout <= now {
            if self.is_done() {
                return Some(Due::End(End::Idle));
            }
            // What is under way has deadlines of its own. Silence begins anew behind it.
            self.heard = now;
        }
        if self.paced_until.is_some_and(|until| until <= now) {
            self.paced_until = None;
            return Some(Due::GoOn);
        }
        None
    }
}
