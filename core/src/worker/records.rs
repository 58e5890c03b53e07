//! The records of one turn, in one buffer under one ticket: what is stored together, and answered together.

use super::in_progress::InProgress;
use super::request::Waiting;
use crate::accounting::{RecordTooLong, Recorded, Recorder, SpoolRecord};
use crate::attributes::Scratch;
use crate::counters::WorkerCounters;
use crate::discard::Discard;
use crate::effect::{RecordBatch, Ticket};
use alloc::vec::Vec;

/// A batch that holds as much is handed out before the turn is over.
const BATCH_OCTETS_MAX: usize = 256 * 1024;
/// What a new buffer has room for: some eighty records, more than one turn reads from a socket.
const BUFFER_OCTETS: usize = 64 * 1024;
/// Buffers kept for the next batches, at most.
const SPARE_MAX: usize = 64;
/// Buffers made at start where records are stored: more turns than that pass during a sync only where the disk is slow.
/// Memory that no record has filled yet is not taken from the system.
const SPARE_NOW: usize = 40;

/// The batch that is being filled, and buffers that came home.
pub struct Records {
    recorder: Recorder,
    batch: RecordBatch,
    ticket: Option<Ticket>,
    spare: Vec<Vec<u8>>,
}

impl Records {
    /// With memory for records where any will be stored.
    pub fn new(are_stored: bool) -> Records {
        let mut spare = Vec::with_capacity(SPARE_MAX);
        let now = if are_stored { SPARE_NOW } else { 0 };
        spare.extend((0..now).map(|_| Vec::with_capacity(BUFFER_OCTETS)));
        Records { recorder: Recorder::default(), batch: RecordBatch::default(), ticket: None, spare }
    }

    /// Adds one record to the batch.
    pub fn add(&mut self, recorded: &Recorded<'_>, scratch: &mut Scratch) -> Result<(), Discard> {
        self.begin_batch();
        self.recorder
            .write(recorded, scratch, &mut self.batch.octets)
            .map_err(|RecordTooLong| Discard::RecordTooLong)?;
        self.batch.records += 1;
        Ok(())
    }

    /// The same for one of the spool.
    pub fn add_spooled(&mut self, record: &SpoolRecord<'_>) {
        self.begin_batch();
        record.write(&mut self.batch.octets);
        self.batch.records += 1;
    }

    fn begin_batch(&mut self) {
        if self.batch.octets.capacity() == 0 {
            self.batch.octets = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_OCTETS));
        }
    }

    /// The ticket under which the batch goes: another, if there is none yet, or all that waited for it are gone.
    pub fn ticket(&mut self, held: &mut InProgress<Waiting>, counters: &WorkerCounters) -> Ticket {
        match self.ticket {
            Some(ticket) if held.is_current(ticket) => ticket,
            _ => {
                counters.effects.up();
                *self.ticket.insert(held.begin_effect())
            }
        }
    }

    /// Whether there is a batch to be handed out.
    pub fn has_any(&self) -> bool {
        self.batch.records > 0
    }

    /// The batch, if it has to be handed out before more is added.
    pub fn take_full(&mut self) -> Option<(Ticket, RecordBatch)> {
        if self.batch.octets.len() >= BATCH_OCTETS_MAX { self.take() } else { None }
    }

    /// The batch, if there is one; the next record begins another.
    pub fn take(&mut self) -> Option<(Ticket, RecordBatch)> {
        if !self.has_any() {
            return None;
        }
        let ticket = self.ticket.take().expect("who adds a record waits for its ticket");
        Some((ticket, core::mem::take(&mut self.batch)))
    }

    /// A batch's memory is home.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
