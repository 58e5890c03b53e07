//! Datagrams in batches: one system call reads up to 64, one sends as many, each with both of its addresses.
//!
//! Here are the calls, the kernel's structures (`kernel`) and all `unsafe` that they need. What a datagram says, to whom it may
//! go and when to read again is none of this room's business. Grouping by destination is in `segments`.
//!
//! * Receiving tells which of our addresses a datagram came to (IP_PKTINFO, RFC 3542 §6), since a wildcard listener
//!   has to answer from there: a NAS takes a reply only from the address that it sent its request to.
//! * Sending gives that address as the source, and lets messages of equal length to one destination leave as
//!   segments of one send (UDP_SEGMENT, "GSO"). On the wire nothing tells them from single ones.
//! * All memory is taken when a batch is made; a call takes none.

mod kernel;
mod receive;
mod reports;
mod send;

pub(crate) use kernel::set_option;
pub use receive::{ReceiveBatch, Received};
pub(crate) use reports::{report_errors, socket_drops, take_error};
pub use send::{Outlet, SendBatch, SendOutcome};

pub use crate::segments::{MESSAGES_MAX, SEGMENT_OCTETS_MAX};

/// The longest RADIUS packet (RFC 2865 §3), and so what one buffer has to hold.
pub const PACKET_OCTETS_MAX: usize = 4_096;
