//! What an Accounting-Request says, and how it is kept. RFC 2866, RFC 2869 §5.
//!
//! Makes one line of an Accounting-Request, and says in which order a file of such lines is written, synced, cut and
//! begun anew so that what was acknowledged is never lost. Touches no disk: a driver does each [`Operation`] and tells
//! how it went, the same in production and in the simulator. Answers nothing: that is the worker's.
//!
//! Two places keep records: the accounting file, for whoever reads it ([`RecordFile`]), and the [`Spool`], from which they
//! are sent on to remote servers.

mod backlog;
mod check;
mod delay;
mod file;
mod octet_counts;
mod record;
mod spool;
mod spool_line;
mod spool_loading;

pub use check::{Line, Lines, crc32};
pub use delay::raise_delay;
pub use file::{
    Busy, GROUP_OCTETS_MAX, Operation, Performed, RecordFile, Rotation, Stored, TAIL_OCTETS_MAX, Troubled,
};
pub use octet_counts::OctetCounts;
pub use record::{RECORD_OCTETS_MAX, RecordTooLong, Recorded, Recorder, event_digest};
pub use spool::{Loaded, NotAdded, SPOOL_PIECE_OCTETS, SPOOL_SENDER, Spool, SpoolOperation};
pub use spool_line::{SpoolEvent, SpoolLine, SpoolName, SpoolRecord, Spooled};
pub use spool_loading::SpoolFile;
