//! Records that were acknowledged and are to be sent on: in which order they are written, handed out, and forgotten.
//! RFC 2866 §4.1, RFC 5080 §2.2.1.
//!
//! A state machine without a disk, as [`RecordFile`] is, which it writes through: batches of records and the names of those that
//! have been answered are lines of one file, written and synced in groups. What is to be sent is in memory as well, so that
//! nothing is read but at the start; both are bounded by the same number of octets. What is sent when is the [backlog](super::backlog)'s.
//!
//! # Two files
//!
//! A file only grows, and most of it is soon answered. When it is twice as long as what is to be sent it is set aside as the *old*
//! file and a new one begun; the old one's records that are not answered yet are copied behind, a piece with each group, and when the
//! last copy is safe the old file is removed. So there are never more than two; a record stands in one or both of them, and that it
//! has been answered in its own or a later one, which is removed later. A crash at any time leaves a record that is to be sent in one
//! of them, and none that is known to have been answered can come to life again.
//!
//! # Who sends
//!
//! One worker, [`SPOOL_SENDER`], which is there as long as the server is, so that records have one order and each is under way
//! once. Workers come and go without anything being handed over. If it dies, its successor gets again what it had.

use super::backlog::{Backlog, Recorded};
use super::check::{Line, Lines};
use super::file::{Busy, GROUP_OCTETS_MAX, Operation, Performed, RecordFile, Rotation, Stored, Troubled};
use super::spool_line::{SpoolEvent, SpoolLine, SpoolName, Spooled};
use super::spool_loading::{Loading, SpoolFile};
use crate::configuration::SpoolSettings;
use crate::path::WorkerId;
use crate::seeded::{self, Bug};
use crate::time::{Instant, UnixTime};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// The worker that sends what is in the spool.
pub const SPOOL_SENDER: WorkerId = WorkerId(0);

/// What the disk is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum SpoolOperation<'a> {
    /// To the file that is written. It is set aside by becoming the old one; there is none then, or an empty one. A file without
    /// anything in it stays where it is.
    File(Operation<'a>),
    /// Read [`SPOOL_PIECE_OCTETS`] of a file, or what there is; nothing at its end, or if there is none.
    Read {
        /// Which.
        file: SpoolFile,
        /// Counted from its beginning.
        from: u64,
    },
    /// Remove the old file, and sync the folder.
    RemoveOld,
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Records that are to be sent.
    pub records: usize,
    /// Lines that are none of a spool's. They stay till their file is removed.
    pub damaged: usize,
}

/// Why a batch is not in the next group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// A group is under way, or holds enough.
    Busy,
    /// There would be more octets to be sent than there may be.
    Full,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    settings: SpoolSettings,
    file: RecordFile,
    /// Octets of the file that is written, as far as it is safe.
    file_octets: u64,
    opening: Opening,
    backlog: Backlog,
    /// Records whose batch a second of the same event came in, and was not written.
    repeated: u64,
    /// Records that stand in the old file alone, by their age; `None`: there is no such file.
    old: Option<BTreeMap<u64, SpoolName>>,
    is_removing: bool,
    remove_not_before: Instant,
    group: Group,
    /// Answered, and not yet known to be written so.
    answered: VecDeque<SpoolName>,
    /// Since when the first of them waits.
    answered_since: Option<Instant>,
    /// Whether anybody sends.
    has_sender: bool,
    /// Lines that are being put together.
    scratch: Vec<u8>,
}

/// What the group is made of that is being filled or stored.
#[derive(Debug, Default)]
struct Group {
    records: Vec<SpoolName>,
    /// By their age.
    copies: Vec<u64>,
    answered: usize,
    octets: usize,
}

#[derive(Debug)]
enum Opening {
    File,
    Reading { file: SpoolFile, from: u64, loading: Loading },
    Over,
}

impl Spool {
    /// To be opened first.
    pub fn new(settings: SpoolSettings) -> Spool {
        Spool {
            settings,
            file: RecordFile::new(Rotation::default()),
            file_octets: 0,
            opening: Opening::File,
            backlog: Backlog::default(),
            repeated: 0,
            old: None,
            is_removing: false,
            remove_not_before: Instant::ORIGIN,
            group: Group::default(),
            answered: VecDeque::new(),
            answered_since: None,
            has_sender: false,
            scratch: Vec::new(),
        }
    }

    /// How many records are to be sent.
    pub fn records(&self) -> usize {
        self.backlog.records()
    }

    /// Octets of their lines.
    pub fn octets(&self) -> usize {
        self.backlog.octets()
    }

    /// How many records were not written, as their event had one.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Whether the last attempt to write failed, and nothing is stored for now.
    pub fn is_failing(&self) -> bool {
        self.file.is_failing()
    }

    /// Adds a batch of records to the next group: all of it or, where it says why, nothing.
    ///
    /// # Errors
    /// [`NotAdded`].
    pub fn add(&mut self, batch: &[u8]) -> Result<(), NotAdded> {
        if self.group.octets >= RECORDS_OCTETS_EACH_GROUP {
            return Err(NotAdded::Busy);
        }
        self.scratch.clear();
        let (mut found, mut repeated) = (Vec::new(), 0);
        for line in Lines::of(batch) {
            let Line::Whole(line) = line else { panic!("what a worker writes is whole") };
            let Some(SpoolLine::Record { spooled, session, event, .. }) = SpoolLine::parse(line) else {
                panic!("what a worker writes is a record")
            };
            let is_known = |event: &SpoolEvent| {
                let in_batch = found.iter().rev().filter_map(|(_, recorded): &(_, Recorded)| recorded.event);
                let mut in_batch = in_batch.filter(|other| other.key == event.key);
                match in_batch.next() {
                    Some(other) => event.repeats(other.received),
                    None => self.backlog.has_event(event),
                }
            };
            if event.as_ref().is_some_and(is_known) {
                repeated += 1;
                continue;
            }
            self.scratch.extend_from_slice(line);
            found.push((spooled.name, Recorded { line: line.into(), pool: spooled.pool, session, event }));
        }
        if self.backlog.octets() + self.scratch.len() > self.settings.octets_max {
            return Err(NotAdded::Full);
        }
        self.file.add(&self.scratch).map_err(|Busy| NotAdded::Busy)?;
        self.repeated += repeated;
        self.group.octets += self.scratch.len();
        for (name, recorded) in found {
            self.backlog.keep(name, recorded);
            self.group.records.push(name);
        }
        Ok(())
    }

    /// These have been answered. That is written with the next group, or soon.
    pub fn note_answered(&mut self, names: &[SpoolName], now: Instant) {
        for name in names {
            // It may have been handed out twice: to the sender that died, and to its successor.
            if !self.backlog.is_safe(name) {
                continue;
            }
            self.forget(*name);
            self.answered.push_back(*name);
            self.answered_since.get_or_insert(now);
        }
    }

    /// Whether there is anything to be written now.
    pub fn wants_store(&self, now: Instant) -> bool {
        let has_copies = self.old.as_ref().is_some_and(|old| !old.is_empty());
        let is_time = self.answered_since.is_some_and(|since| since + ANSWERED_WAIT <= now);
        !self.group.records.is_empty() || is_time || has_copies && !self.is_failing()
    }

    /// Whether that records have been answered is not known to be written.
    pub fn has_unwritten(&self) -> bool {
        !self.answered.is_empty()
    }

    /// When [`wants_store`](Self::wants_store) will say so, should nothing come.
    pub fn next_store(&self) -> Option<Instant> {
        self.answered_since.map(|since| since + ANSWERED_WAIT)
    }

    /// Stores the group, with what else is to be written. While the disk fails, and it is not time to try again, it is refused at
    /// once.
    pub fn store(&mut self, now: Instant, time: UnixTime) {
        self.add_copies();
        self.add_answered();
        self.file.store(now, time);
    }

    fn add_answered(&mut self) {
        self.scratch.clear();
        let names: Vec<_> = self.answered.iter().take(ANSWERED_EACH_GROUP).copied().collect();
        for name in &names {
            SpoolLine::write_answered(*name, &mut self.scratch);
        }
        if !names.is_empty() && self.file.add(&self.scratch).is_ok() {
            self.group.answered = names.len();
            self.group.octets += self.scratch.len();
        }
    }

    fn add_copies(&mut self) {
        // On a disk that is full there may be room for a few, and then for more.
        let most = if self.is_failing() { COPIES_OCTETS_FAILING } else { COPIES_OCTETS_EACH_GROUP };
        let Some(old) = &self.old else { return };
        self.scratch.clear();
        let mut ages = Vec::new();
        for (age, name) in old {
            if self.scratch.len() >= most {
                break;
            }
            SpoolLine::write_copy(self.backlog.line(name), &mut self.scratch);
            ages.push(*age);
        }
        if !ages.is_empty() && self.file.add(&self.scratch).is_ok() {
            self.group.copies = ages;
            self.group.octets += self.scratch.len();
        }
    }

    /// What has become of the group. The next may be filled then.
    pub fn poll_stored(&mut self, now: Instant) -> Option<Stored> {
        let stored = self.file.poll_stored()?;
        let Group { records, copies, answered, octets } = core::mem::take(&mut self.group);
        match stored {
            Stored::Safe => {
                self.file_octets += octets as u64;
                for name in records {
                    self.backlog.line_up(name);
                }
                if let Some(old) = &mut self.old {
                    for age in copies {
                        old.remove(&age);
                    }
                }
                self.answered.drain(..answered);
                self.answered_since = (!self.answered.is_empty()).then_some(now);
                self.collect(self.collect_octets_min(), now);
            }
            Stored::Not => {
                for name in records {
                    self.forget(name);
                }
                // It may be these files that the disk is full of.
                self.collect_whatever_is_dead(now);
            }
        }
        Some(stored)
    }

    /// Begins a new file, or is done with the old one, if it is time.
    fn collect(&mut self, octets_min: u64, now: Instant) {
        match &self.old {
            Some(_) => self.remove_old_if_done(now),
            None if self.file_octets >= octets_min.max(2 * self.backlog.octets() as u64) => {
                self.file.ask_for_new_file();
            }
            None => {}
        }
    }

    /// The same, where a short file is worth it too if all of it has been answered.
    fn collect_whatever_is_dead(&mut self, now: Instant) {
        let octets_min = if self.backlog.records() == 0 { 1 } else { self.collect_octets_min() };
        self.collect(octets_min, now);
    }

    /// A file that is shorter is not set aside.
    fn collect_octets_min(&self) -> u64 {
        COLLECT_OCTETS_MIN.min(self.settings.octets_max as u64 / 4)
    }

    /// Tries again what failed, if it is time.
    pub fn handle_timeout(&mut self, now: Instant, time: UnixTime) {
        self.file.handle_timeout(now, time);
        self.remove_old_if_done(now);
    }

    fn remove_old_if_done(&mut self, now: Instant) {
        self.is_removing = self.old.as_ref().is_some_and(BTreeMap::is_empty) && self.remove_not_before <= now;
    }

    /// What is to be done now: the same until [`handle_performed`](Self::handle_performed) has been told of it.
    pub fn poll_operation(&self, time: UnixTime) -> Option<SpoolOperation<'_>> {
        match (self.file.poll_operation(time), &self.opening) {
            (Some(operation), _) => Some(SpoolOperation::File(operation)),
            (None, Opening::Reading { file, from, .. }) => {
                Some(SpoolOperation::Read { file: *file, from: *from })
            }
            (None, Opening::File | Opening::Over) => self.is_removing.then_some(SpoolOperation::RemoveOld),
        }
    }

    /// How the operation went that was polled last. At the end of the opening, which fails as a whole, it gives what was found.
    ///
    /// # Panics
    /// When none was, or the answer is that of another.
    pub fn handle_performed(
        &mut self,
        performed: Result<Performed, Troubled>,
        now: Instant,
        time: UnixTime,
    ) -> Option<Loaded> {
        if let Some(operation) = self.file.poll_operation(time) {
            let is_set_aside = matches!(operation, Operation::SetAside(_)) && performed.is_ok();
            self.file.handle_performed(performed, now, time);
            if is_set_aside && self.file_octets > 0 && self.old.is_none() {
                self.old = Some(self.backlog.safe().collect());
                self.file_octets = 0;
                self.is_removing = seeded::is(Bug::SpoolFileRemovedEarly);
            }
            if matches!(self.opening, Opening::File) && self.file.is_ready() {
                self.opening =
                    Opening::Reading { file: SpoolFile::Old, from: 0, loading: Loading::default() };
            }
            return None;
        }
        match (&mut self.opening, performed) {
            (Opening::Reading { file, from, loading }, Ok(Performed::Read(piece))) if !piece.is_empty() => {
                loading.take(*file, &piece);
                *from += piece.len() as u64;
                None
            }
            (Opening::Reading { file, from, loading }, Ok(Performed::Read(_))) => {
                loading.end_file(*file);
                match file {
                    SpoolFile::Old => {
                        self.old = (*from > 0).then(BTreeMap::new);
                        (*file, *from) = (SpoolFile::Newest, 0);
                        None
                    }
                    SpoolFile::Newest => {
                        self.file_octets = *from;
                        let loading = core::mem::take(loading);
                        self.opening = Opening::Over;
                        Some(self.load(loading, now))
                    }
                }
            }
            (Opening::Over, Ok(Performed::Done)) => {
                (self.old, self.is_removing) = (None, false);
                None
            }
            (Opening::Over, Err(Troubled)) => {
                (self.remove_not_before, self.is_removing) = (now + REMOVE_RETRY, false);
                None
            }
            (Opening::File | Opening::Reading { .. }, Err(Troubled)) => None,
            (opening, performed) => panic!("{performed:?} is no answer in {opening:?}"),
        }
    }

    /// Takes what the files hold.
    fn load(&mut self, loading: Loading, now: Instant) -> Loaded {
        let (found, damaged) = loading.finish();
        let records = found.len();
        for (name, found) in found {
            let age = self.backlog.keep(name, found.recorded);
            self.backlog.line_up(name);
            if let Some(old) = self.old.as_mut().filter(|_| found.is_only_old) {
                old.insert(age, name);
            }
        }
        match damaged {
            0 => self.collect_whatever_is_dead(now),
            // Somebody may want to look at them.
            _ => self.collect(self.collect_octets_min(), now),
        }
        Loaded { records, damaged }
    }

    /// The sender is there, or another in its place: what was handed out is handed out again.
    pub fn begin_sending(&mut self) {
        self.has_sender = true;
        self.backlog.take_back();
    }

    /// The next record to be sent, while there is a sender, and fewer of its pool are under way than may be.
    pub fn poll_record(&mut self) -> Option<Spooled> {
        if !self.has_sender {
            return None;
        }
        self.backlog.lend(self.settings.outstanding_max)
    }

    /// The sender has sent this one often enough for now: others of its pool get their turn before it and, if their order need not be
    /// kept, those of its session.
    pub fn put_back(&mut self, name: SpoolName, may_be_overtaken: bool) {
        self.backlog.put_back(name, may_be_overtaken);
    }

    /// A record is no longer to be sent, or was never written.
    fn forget(&mut self, name: SpoolName) {
        let age = self.backlog.forget(name);
        if let (Some(old), Some(age)) = (&mut self.old, age) {
            old.remove(&age);
        }
    }
}

/// So much of a file is read at once.
pub const SPOOL_PIECE_OCTETS: usize = 1024 * 1024;
/// That a record has been answered is written after so long, if nothing else is: a crash before then sends it once more.
const ANSWERED_WAIT: Duration = Duration::from_secs(1);
/// One that has so much takes no further batch, so that there is always room for copies: the old file goes, however much comes.
const RECORDS_OCTETS_EACH_GROUP: usize = GROUP_OCTETS_MAX / 4;
/// What one group takes of that.
const ANSWERED_EACH_GROUP: usize = 4_096;
/// What one group takes of copies.
const COPIES_OCTETS_EACH_GROUP: usize = 512 * 1024;
/// The same while the disk fails.
const COPIES_OCTETS_FAILING: usize = 4 * 1024;
/// A file that is shorter is not set aside, nor one that is shorter than a quarter of what there may be.
const COLLECT_OCTETS_MIN: u64 = 4 * 1024 * 1024;
/// The old file could not be removed: not again before.
const REMOVE_RETRY: Duration = Duration::from_secs(5);

const _: () = assert!(ANSWERED_EACH_GROUP * 80 < GROUP_OCTETS_MAX);
