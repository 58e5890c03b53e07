//! How core asks for what takes time: a name looked up, a password hashed, a record stored.
//!
//! Core never waits. It hands an [`Effect`] with a [`Ticket`] to its driver and goes on; the driver does it on threads of
//! its own, or in the simulator late, wrongly or not at all, and hands the answer back under the same ticket.
//! No room asks for an effect yet, so both enums are still empty: their variants arrive with accounting on disk, hashed
//! passwords and client look-ups, and the drivers' `match` will then say where they have to be done.

/// Names one effect under way; the answer bears the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is to be done.
#[derive(Debug)]
pub enum Effect {}

/// What came of it.
#[derive(Debug)]
pub enum EffectDone {}
