//! How core asks for what takes time: a password hashed, a record stored, a name resolved.
//!
//! Core never waits. It hands an [`Effect`] with a [`Ticket`] to its driver and goes on; the driver does it on threads of
//! its own, or in the simulator late, in another order or not at all, and hands the answer back under the same ticket.
//! One effect may be what many requests wait for: the records of a turn are stored together.
//!
//! What an effect carries comes home in its answer, so that nothing is allocated for the next one. A driver whose line is
//! full gives the effect back at once, as [`EffectDone::Shed`]: core discards by name, it never queues.

use crate::accounting::{SpoolName, Spooled};
use crate::authenticate::{Argon2, Password};
use crate::control::{Answered, Errand};
use crate::life::Life;
use crate::packet::{Secret, Secrets};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Names one effect under way; the answer bears the same. The generation tells it from those that had the place before:
/// an answer that comes when nobody waits for it any more is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Place among the effects of its worker.
    pub place: u32,
    /// How many effects had this place before. Wraps: no answer is 2³² effects late.
    pub generation: u32,
    /// Of the worker that asks.
    pub life: Life,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Find out whether this password is the one that was hashed: milliseconds and megabytes.
    CheckPassword {
        /// With the parameters that its digest was made with.
        hash: Arc<Argon2>,
        /// What the user gave. Comes home wiped.
        password: Box<Password>,
    },
    /// Write records to where they are kept, and answer when they are safe there.
    Store(RecordBatch),
    /// Write records into the spool, from which they are sent on later, and answer when they are safe there.
    Spool(RecordBatch),
    /// What a worker tells the spool.
    Relay(Relay),
    /// Find out whose this key is.
    LookUp(LookUp),
    /// Find out which addresses a host has.
    Resolve(Resolve),
    /// Count, or do, for whoever controls the server.
    Errand(Errand),
}

/// What a worker tells the spool.
#[derive(Debug)]
pub enum Relay {
    /// It is there, and may write records. To the [sender](crate::accounting::SPOOL_SENDER) records are handed from then on, each as
    /// an answer to this, and those again that its predecessor had.
    Begin,
    /// These records have been answered by remote servers. Has no answer.
    Answered(Vec<SpoolName>),
    /// This one has not, however often it was sent, and is sent no more until it is handed out again: others get their turn. Has no
    /// answer.
    Unanswered {
        /// Which.
        name: SpoolName,
        /// Whether it is the record that is not answered, not the server that answers nothing: then those of its session overtake it.
        may_be_overtaken: bool,
    },
}

/// A host whose addresses are asked for.
#[derive(Debug)]
pub struct Resolve {
    /// Its name.
    pub name: Arc<str>,
    /// Of which family they are to be; `None`: of either.
    pub family: Option<Family>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Of 32 bits.
    Ipv4,
    /// Of 128.
    Ipv6,
}

/// What is said of a host.
#[derive(Debug)]
pub enum Resolved {
    /// What it has, the best first. Core takes those that it can use, and may have too many.
    Addresses(Vec<IpAddr>),
    /// None is known: there is no such host, or nobody could be asked. Why is the driver's to tell its operator.
    Failed,
}

/// A key that is looked up.
#[derive(Debug)]
pub struct LookUp {
    /// In which table, by a name that its driver knows.
    pub source: Arc<str>,
    /// As it stands in the table.
    pub key: Arc<[u8]>,
}

/// What a look-up says.
#[derive(Debug)]
pub enum LookedUp {
    /// There is such a client.
    Found {
        /// Its name.
        name: Box<str>,
        /// One, or two while rotating.
        secrets: Box<Secrets>,
    },
    /// There is none.
    NotFound,
    /// Nobody knows: the table could not be asked. Why is the driver's to tell its operator.
    Failed,
}

/// Records that are stored together, or not at all.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// Whole lines, one a record, each with its end of line.
    pub octets: Vec<u8>,
    /// How many there are.
    pub records: usize,
}

/// What came of it.
#[derive(Debug)]
pub enum EffectDone {
    /// Of [`Effect::CheckPassword`].
    PasswordChecked {
        /// The buffer, wiped.
        password: Box<Password>,
        /// Whether it is the one.
        matches: bool,
    },
    /// Of [`Effect::Store`].
    Stored {
        /// The batch's memory, to be filled again.
        buffer: Vec<u8>,
        /// Whether the records are safe.
        result: Result<(), NotStored>,
    },
    /// Of [`Effect::Spool`].
    Spooled {
        /// The batch's memory, to be filled again.
        buffer: Vec<u8>,
        /// Whether the records are safe.
        result: Result<(), NotSpooled>,
    },
    /// Of [`Relay::Begin`]: what values are hidden under that are hidden on the disk.
    SpoolKey(Arc<Secret>),
    /// Of [`Relay::Begin`], as often as there is one: a record to be sent on until it is answered.
    ToBeSent(Box<Spooled>),
    /// Of [`Effect::LookUp`].
    LookedUp(LookedUp),
    /// Of [`Effect::Resolve`].
    Resolved(Resolved),
    /// Of [`Effect::Errand`].
    ErrandDone(Answered),
    /// The driver's line for such effects is full; nothing was done.
    Shed(Effect),
}

/// Records are not safe: the disk is full, or failed. Why is the driver's to tell its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStored;

/// Why records are not in the spool. More is the driver's to tell its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSpooled {
    /// It holds as much as it may.
    Full,
    /// The disk is full, or failed.
    Failed,
}
