//! The thread that has a spool, and the disk under it: as [`Store`](crate::store::Store) is for records that stay.
//!
//! What is written, copied and removed in which order, and which record is next, says core.

use crate::draw::Draw;
use crate::fault::disk::{Course, Crash, Disk};
use std::collections::VecDeque;
use std::sync::Arc;
use ulna_core::Instant;
use ulna_core::accounting::{
    NotAdded, Operation, Performed, Spool, SpoolFile, SpoolOperation, Stored, Troubled,
};
use ulna_core::configuration::SpoolSettings;
use ulna_core::effect::{EffectDone, NotSpooled, RecordBatch, Relay, Ticket};
use ulna_core::packet::Secret;
use ulna_core::time::UnixTime;

const LOOK: u64 = 100_000_000;
/// So much is read at once: less than most lines have.
const PIECE_OCTETS: usize = 300;

/// The thread of a process, and the disk of its machine.
pub struct SpoolStore {
    settings: SpoolSettings,
    key: Arc<Secret>,
    spool: Spool,
    disk: Disk,
    /// The operation that is under way ends then, well or not.
    operation: Option<(u64, Course)>,
    /// All has been read that was there.
    is_open: bool,
    sender: Option<Ticket>,
    waiting: VecDeque<(Ticket, RecordBatch)>,
    storing: Vec<(Ticket, RecordBatch)>,
    answers: Vec<(Ticket, EffectDone)>,
    operations: u64,
    failed: u64,
    removed: u64,
}

impl SpoolStore {
    /// An empty disk.
    pub fn new(settings: SpoolSettings) -> Self {
        SpoolStore {
            settings,
            key: Arc::new(Secret::new(b"a key of this server's").expect("it has octets")),
            spool: Spool::new(settings),
            disk: Disk::default(),
            operation: None,
            is_open: false,
            sender: None,
            waiting: VecDeque::new(),
            storing: Vec::new(),
            answers: Vec::new(),
            operations: 0,
            failed: 0,
            removed: 0,
        }
    }

    /// Takes a batch into the line.
    pub fn take(&mut self, from: Ticket, batch: RecordBatch) {
        self.waiting.push_back((from, batch));
    }

    /// Hears what the only worker says.
    pub fn tell(&mut self, ticket: Ticket, relay: Relay, now: u64) {
        match relay {
            Relay::Begin => {
                self.answers.push((ticket, EffectDone::SpoolKey(Arc::clone(&self.key))));
                self.sender = Some(ticket);
                self.spool.begin_sending();
            }
            Relay::Answered(names) => self.spool.note_answered(&names, Instant::from_nanoseconds(now)),
            Relay::Unanswered { name, may_be_overtaken } => self.spool.put_back(name, may_be_overtaken),
        }
    }

    /// Between two operations: makes a group of what waits, hands out what is to be sent, and begins the next operation, which
    /// `course` gives its end and fate by its number.
    pub fn go_on(&mut self, now: u64, time: UnixTime, course: impl FnOnce(u64) -> (u64, Course)) {
        if self.operation.is_some() {
            return;
        }
        let instant = Instant::from_nanoseconds(now);
        if self.spool.poll_operation(time).is_none() {
            while let Some((from, batch)) = self.waiting.pop_front().filter(|_| self.is_open) {
                match self.spool.add(&batch.octets) {
                    Ok(()) => self.storing.push((from, batch)),
                    Err(NotAdded::Full) => self.answer(from, batch, Err(NotSpooled::Full)),
                    Err(NotAdded::Busy) => {
                        self.waiting.push_front((from, batch));
                        break;
                    }
                }
            }
            if self.spool.wants_store(instant) {
                self.spool.store(instant, time);
            } else {
                // All their events have a record that is safe.
                self.answer_group(Ok(()));
            }
            self.spool.handle_timeout(instant, time);
            self.end_group(now);
        }
        while let Some(ticket) = self.sender
            && let Some(spooled) = self.spool.poll_record()
        {
            self.answers.push((ticket, EffectDone::ToBeSent(Box::new(spooled))));
        }
        if self.spool.poll_operation(time).is_some() {
            self.operations += 1;
            self.operation = Some(course(self.operations));
        }
    }

    /// Whether the operation that is under way ends now.
    pub fn is_due(&self, now: u64) -> bool {
        self.operation.is_some_and(|(due, _)| due <= now)
    }

    /// Ends it. True if that was the end of the opening.
    pub fn end_operation(&mut self, now: u64, time: UnixTime, draw: Draw) -> bool {
        let (_, course) = self.operation.take().expect("it is under way");
        let operation = self.spool.poll_operation(time).expect("core says what it is");
        let is_removal = operation == SpoolOperation::RemoveOld;
        let performed = perform(&mut self.disk, operation, course, draw);
        self.removed += u64::from(is_removal && performed.is_ok());
        self.failed += u64::from(performed.is_err());
        if performed.is_err() && !self.is_open {
            // The process does not come to serve; it is begun again.
            self.disk.crash(Crash::Process, None, draw);
            self.spool = Spool::new(self.settings);
            if self.sender.is_some() {
                self.spool.begin_sending();
            }
            return false;
        }
        let loaded = self.spool.handle_performed(performed, Instant::from_nanoseconds(now), time);
        self.is_open |= loaded.is_some();
        self.end_group(now);
        loaded.is_some()
    }

    /// Everything stops, perhaps in the midst of an operation, and another process begins over what is left.
    pub fn crash(&mut self, crash: Crash, time: UnixTime, draw: Draw) {
        let during = if self.operation.take().is_some() { self.spool.poll_operation(time) } else { None };
        let during = match during {
            Some(SpoolOperation::File(operation)) => Some(operation),
            Some(SpoolOperation::RemoveOld) => {
                if draw.fork(7).one_in(2) {
                    self.disk.remove_oldest_aside();
                }
                None
            }
            Some(SpoolOperation::Read { .. }) | None => None,
        };
        self.disk.crash(crash, during, draw);
        self.spool = Spool::new(self.settings);
        (self.is_open, self.sender) = (false, None);
        self.waiting.clear();
        self.storing.clear();
        self.answers.clear();
    }

    /// When the thread has something to do, if nobody asks.
    pub fn next(&self, now: u64) -> Option<u64> {
        let is_tried_again = self.spool.is_failing() || !self.is_open || !self.waiting.is_empty();
        let look = is_tried_again.then_some(now + LOOK);
        let store = self.spool.next_store().map(|due| due.as_nanoseconds().max(now + LOOK));
        self.operation.map(|(due, _)| due).or(look.into_iter().chain(store).min())
    }

    /// What has been answered since the last time.
    pub fn take_answers(&mut self) -> Vec<(Ticket, EffectDone)> {
        std::mem::take(&mut self.answers)
    }

    /// How many records are to be sent.
    pub fn records(&self) -> usize {
        self.spool.records()
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Of these, how many failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Old files that were removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    fn end_group(&mut self, now: u64) {
        let Some(stored) = self.spool.poll_stored(Instant::from_nanoseconds(now)) else { return };
        self.answer_group(if stored == Stored::Safe { Ok(()) } else { Err(NotSpooled::Failed) });
    }

    fn answer_group(&mut self, result: Result<(), NotSpooled>) {
        for (from, batch) in std::mem::take(&mut self.storing) {
            self.answer(from, batch, result);
        }
    }

    fn answer(&mut self, from: Ticket, batch: RecordBatch, result: Result<(), NotSpooled>) {
        self.answers.push((from, EffectDone::Spooled { buffer: batch.octets, result }));
    }
}

fn perform(
    disk: &mut Disk,
    operation: SpoolOperation<'_>,
    course: Course,
    draw: Draw,
) -> Result<Performed, Troubled> {
    let has_old = !disk.oldest_aside().is_empty();
    match operation {
        // Renamed is what the driver says that it is, or it takes that back.
        SpoolOperation::File(Operation::SetAside(_)) if course == Course::Fails => Err(Troubled),
        SpoolOperation::File(Operation::SetAside(_)) if disk.seen().is_empty() => Ok(Performed::Done),
        SpoolOperation::File(Operation::SetAside(_)) if has_old => Err(Troubled),
        SpoolOperation::File(operation) => disk.perform(operation, course, draw),
        SpoolOperation::Read { .. } | SpoolOperation::RemoveOld if course == Course::Fails => Err(Troubled),
        SpoolOperation::Read { file, from } => {
            let octets = match file {
                SpoolFile::Old => disk.oldest_aside(),
                SpoolFile::Newest => disk.seen(),
            };
            let piece = &octets[from as usize..];
            Ok(Performed::Read(piece[..piece.len().min(PIECE_OCTETS)].to_vec()))
        }
        SpoolOperation::RemoveOld => {
            disk.remove_oldest_aside();
            Ok(Performed::Done)
        }
    }
}
