//! The thread that stores records, and the disk under it: a line of batches, stored in groups, one operation at a time.
//!
//! What is written and synced in which order says core; here are only the times that it takes, what fails, and what is left
//! when all stops.

use crate::draw::Draw;
use crate::fault::disk::{Course, Crash, Disk};
use std::collections::VecDeque;
use ulna_core::Instant;
use ulna_core::accounting::{RecordFile, Rotation, Stored};
use ulna_core::effect::{EffectDone, NotStored, RecordBatch};
use ulna_core::time::UnixTime;

const MILLISECOND: u64 = 1_000_000;

/// The storing thread of a process, and the disk of its machine. Who has asked is named by a `T`.
pub struct Store<T> {
    file: RecordFile,
    rotation: Rotation,
    disk: Disk,
    /// The operation that is under way ends then, well or not.
    operation: Option<(u64, Course)>,
    waiting: VecDeque<(T, RecordBatch)>,
    storing: Vec<(T, RecordBatch)>,
    answers: Vec<(T, EffectDone)>,
    operations: u64,
    failed: u64,
}

impl<T> Store<T> {
    /// An empty disk.
    pub fn new(rotation: Rotation) -> Self {
        Store {
            file: RecordFile::new(rotation),
            rotation,
            disk: Disk::default(),
            operation: None,
            waiting: VecDeque::new(),
            storing: Vec::new(),
            answers: Vec::new(),
            operations: 0,
            failed: 0,
        }
    }

    /// Takes a batch into the line.
    pub fn take(&mut self, from: T, batch: RecordBatch) {
        self.waiting.push_back((from, batch));
    }

    /// Between two operations: makes a group of what waits and begins the next operation, which `course` gives its end and
    /// fate by its number.
    pub fn go_on(&mut self, now: u64, time: UnixTime, course: impl FnOnce(u64) -> (u64, Course)) {
        if self.operation.is_some() {
            return;
        }
        let instant = Instant::from_nanoseconds(now);
        if self.file.poll_operation(time).is_none() {
            while let Some((from, batch)) = self.waiting.pop_front() {
                if self.file.add(&batch.octets).is_err() {
                    self.waiting.push_front((from, batch));
                    break;
                }
                self.storing.push((from, batch));
            }
            self.file.store(instant, time);
            self.file.handle_timeout(instant, time);
            self.answer();
        }
        if self.file.poll_operation(time).is_some() {
            self.operations += 1;
            self.operation = Some(course(self.operations));
        }
    }

    /// Whether the operation that is under way ends now.
    pub fn is_due(&self, now: u64) -> bool {
        self.operation.is_some_and(|(due, _)| due <= now)
    }

    /// Ends it.
    pub fn end_operation(&mut self, now: u64, time: UnixTime, draw: Draw) {
        let (_, course) = self.operation.take().expect("it is under way");
        let operation = self.file.poll_operation(time).expect("core says what it is");
        let performed = self.disk.perform(operation, course, draw);
        self.failed += u64::from(performed.is_err());
        self.file.handle_performed(performed, Instant::from_nanoseconds(now), time);
        self.answer();
    }

    /// Everything stops, perhaps in the midst of an operation, and another process begins over what is left.
    pub fn crash(&mut self, crash: Crash, time: UnixTime, draw: Draw) {
        let during = if self.operation.take().is_some() { self.file.poll_operation(time) } else { None };
        self.disk.crash(crash, during, draw);
        self.file = RecordFile::new(self.rotation);
        self.waiting.clear();
        self.storing.clear();
        self.answers.clear();
    }

    /// When the thread has something to do, if nobody asks.
    pub fn next(&self, now: u64) -> Option<u64> {
        let is_tried_again = self.file.is_failing() && !self.file.is_ready();
        let look = (is_tried_again || !self.waiting.is_empty()).then_some(now + 100 * MILLISECOND);
        self.operation.map(|(due, _)| due).or(look)
    }

    /// What has been answered since the last time.
    pub fn take_answers(&mut self) -> Vec<(T, EffectDone)> {
        std::mem::take(&mut self.answers)
    }

    /// Whether the file is open and whole, and nothing is under way.
    pub fn is_ready(&self) -> bool {
        self.file.is_ready()
    }

    /// Whether the file is open and whole, and nothing waits or is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.storing.is_empty() && self.file.is_ready()
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

    /// Answers a group that is over.
    fn answer(&mut self) {
        let Some(stored) = self.file.poll_stored() else { return };
        let result = if stored == Stored::Safe { Ok(()) } else { Err(NotStored) };
        for (from, batch) in self.storing.drain(..) {
            self.answers.push((from, EffectDone::Stored { buffer: batch.octets, result }));
        }
    }
}
