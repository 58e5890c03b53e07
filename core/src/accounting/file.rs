//! In which order a file of records is written, synced, repaired and begun anew.
//!
//! A state machine without a disk: it asks for one [`Operation`] at a time and is told how it went. Records of a group are
//! reported as stored only when they, and all before them, were written and synced (RFC 2866 §4.1).
//!
//! A sync that failed is not tried again on the same octets: the kernel may have marked pages clean that it could not
//! write, and the next sync would succeed without them. The file is cut back to the length that the last good sync
//! covered; whoever waits is told no, and retransmits. Where no length is known to be good, at opening, the file is set
//! aside whole and a new one begun.

use super::check::{Line, Lines};
use super::record::RECORD_OCTETS_MAX;
use crate::seeded::{self, Bug};
use crate::time::{Instant, UnixTime};
use alloc::vec::Vec;
use core::time::Duration;

/// A group that holds as much takes no more; so what a crash can damage is shorter than [`TAIL_OCTETS_MAX`].
pub const GROUP_OCTETS_MAX: usize = 1024 * 1024;
/// So much of the end of a file is looked at when it is opened: more than the longest group, whose last batch may pass
/// its bound.
pub const TAIL_OCTETS_MAX: usize = 4 * GROUP_OCTETS_MAX;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// When a new file is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// When it has this length.
    pub octets: Option<u64>,
    /// When the time on the wall passes a multiple of this, counted from 1970 in UTC; whole seconds.
    pub every: Option<Duration>,
}

/// What the disk is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Open the file of the configured path to append to it. If there is none it is made, and its folder synced.
    Open,
    /// Read from this octet to the end, as it is on the disk: the kernel may show octets of a process before this one
    /// whose sync had failed, and which it will never write. Comes after a sync.
    Read {
        /// Counted from the beginning of the file.
        from: u64,
    },
    /// Keep what is about to be cut off in another file beside this one, synced.
    Keep(&'a [u8]),
    /// Cut the file to this length.
    Truncate(u64),
    /// Write all of this behind the end.
    Append(&'a [u8]),
    /// Return when all that was written will survive.
    Sync,
    /// Give the file another name, with this time in it, and sync the folder; unless it is empty, or somebody has moved
    /// it already.
    SetAside(UnixTime),
}

/// How an operation went that went well.
#[derive(Debug, PartialEq, Eq)]
pub enum Performed {
    /// [`Operation::Open`].
    Opened {
        /// Its length.
        octets: u64,
        /// When it was last written.
        modified: UnixTime,
        /// Whether it is the one that was open before, not one that has taken its name.
        is_same: bool,
    },
    /// [`Operation::Read`], all of it.
    Read(Vec<u8>),
    /// Any other.
    Done,
}

/// An operation failed; why is the driver's to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Troubled;

/// A group is under way already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What has become of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is safe.
    Safe,
    /// It is not, or nobody knows; it is in the file no more.
    Not,
}

/// One file, and the next that takes its name.
#[derive(Debug)]
pub struct RecordFile {
    rotation: Rotation,
    step: Step,
    /// Octets of this file that are known to be safe; `None` before it has been looked at.
    synced: Option<u64>,
    /// Whole lines behind damaged ones, which are written again once those are cut off.
    saved: Vec<u8>,
    /// Octets that stand behind the last whole line before the first damaged one.
    cut: Vec<u8>,
    /// What is being stored.
    group: Vec<u8>,
    stage: GroupStage,
    /// The time of the file's last record, or of its making.
    modified: UnixTime,
    new_file_asked: bool,
    /// Setting the file aside failed; not again before this.
    aside_not_before: Instant,
    /// The file's octets cannot be trusted and no good length is known.
    is_suspect: bool,
    retry_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Failed; to be opened again then.
    Closed(Instant),
    Opening,
    SyncingBeforeReading {
        from: u64,
    },
    Reading {
        from: u64,
    },
    Keeping {
        at: u64,
    },
    Cutting {
        at: u64,
    },
    WritingAgain {
        at: u64,
    },
    SyncingRepaired {
        octets: u64,
    },
    SettingSuspectAside,
    Ready,
    Appending,
    Syncing,
    SettingAside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupStage {
    Filling,
    Waiting,
    Over(Stored),
}

impl RecordFile {
    /// To be opened first.
    pub fn new(rotation: Rotation) -> RecordFile {
        RecordFile {
            rotation,
            step: Step::Opening,
            synced: None,
            saved: Vec::new(),
            cut: Vec::new(),
            group: Vec::with_capacity(GROUP_OCTETS_MAX),
            stage: GroupStage::Filling,
            modified: UnixTime::default(),
            new_file_asked: false,
            aside_not_before: Instant::ORIGIN,
            is_suspect: false,
            retry_after: RETRY_FIRST,
        }
    }

    /// Whether the file is open and whole, and nothing is under way.
    pub fn is_ready(&self) -> bool {
        self.step == Step::Ready
    }

    /// Whether the last attempt failed, and nothing is stored for now.
    pub fn is_failing(&self) -> bool {
        self.retry_after != RETRY_FIRST
    }

    /// Adds a batch to the next group.
    ///
    /// # Errors
    /// When a group is under way, or this one holds enough.
    pub fn add(&mut self, batch: &[u8]) -> Result<(), Busy> {
        if self.stage != GroupStage::Filling || self.group.len() >= GROUP_OCTETS_MAX {
            return Err(Busy);
        }
        self.group.extend_from_slice(batch);
        Ok(())
    }

    /// Stores the group. While the disk fails, and it is not time to try again, it is refused at once.
    pub fn store(&mut self, now: Instant, time: UnixTime) {
        if self.group.is_empty() || self.stage != GroupStage::Filling {
            return;
        }
        self.stage = GroupStage::Waiting;
        self.handle_timeout(now, time);
        if matches!(self.step, Step::Closed(_)) {
            self.end(Stored::Not);
        }
    }

    /// What has become of the group. The next may be filled then.
    pub fn poll_stored(&mut self) -> Option<Stored> {
        let GroupStage::Over(stored) = self.stage else { return None };
        self.group.clear();
        self.stage = GroupStage::Filling;
        Some(stored)
    }

    /// Begins a new file as soon as nothing is under way: for an operator's signal.
    pub fn ask_for_new_file(&mut self) {
        self.new_file_asked = true;
    }

    /// Tries again what failed, or begins a new file, if it is time.
    pub fn handle_timeout(&mut self, now: Instant, time: UnixTime) {
        match self.step {
            Step::Closed(until) if until <= now => self.step = Step::Opening,
            Step::Ready => self.go_on(now, time),
            Step::Closed(_)
            | Step::Opening
            | Step::SyncingBeforeReading { .. }
            | Step::Reading { .. }
            | Step::Keeping { .. }
            | Step::Cutting { .. }
            | Step::WritingAgain { .. }
            | Step::SyncingRepaired { .. }
            | Step::SettingSuspectAside
            | Step::Appending
            | Step::Syncing
            | Step::SettingAside => {}
        }
    }

    /// What is to be done now: the same until [`handle_performed`](Self::handle_performed) has been told of it.
    pub fn poll_operation(&self, time: UnixTime) -> Option<Operation<'_>> {
        match self.step {
            Step::Closed(_) | Step::Ready => None,
            Step::Opening => Some(Operation::Open),
            Step::Reading { from } => Some(Operation::Read { from }),
            Step::Keeping { .. } => Some(Operation::Keep(&self.cut)),
            Step::Cutting { at } => Some(Operation::Truncate(at)),
            Step::WritingAgain { .. } => Some(Operation::Append(&self.saved)),
            Step::Appending => Some(Operation::Append(&self.group)),
            Step::SyncingBeforeReading { .. } | Step::SyncingRepaired { .. } | Step::Syncing => {
                Some(Operation::Sync)
            }
            Step::SettingAside | Step::SettingSuspectAside => Some(Operation::SetAside(time)),
        }
    }

    /// How the operation went that was polled last.
    ///
    /// # Panics
    /// When none was, or the answer is that of another.
    pub fn handle_performed(&mut self, performed: Result<Performed, Troubled>, now: Instant, time: UnixTime) {
        let Ok(performed) = performed else { return self.fail(now, time) };
        match (self.step, performed) {
            (Step::Opening, Performed::Opened { octets, modified, is_same }) => {
                self.modified = if octets == 0 { time } else { modified };
                self.opened(octets, is_same);
            }
            (Step::SyncingBeforeReading { from }, Performed::Done) => self.step = Step::Reading { from },
            (Step::Reading { from }, Performed::Read(octets)) => {
                self.look_at(from, &octets);
                if self.cut.is_empty() {
                    self.synced = Some(from + octets.len() as u64);
                    self.go_on(now, time);
                }
            }
            (Step::Keeping { at }, Performed::Done) => self.step = Step::Cutting { at },
            (Step::Cutting { at }, Performed::Done) if self.saved.is_empty() => {
                self.step = Step::SyncingRepaired { octets: at };
            }
            (Step::Cutting { at }, Performed::Done) => self.step = Step::WritingAgain { at },
            (Step::WritingAgain { at }, Performed::Done) => {
                self.step = Step::SyncingRepaired { octets: at + self.saved.len() as u64 };
            }
            (Step::SyncingRepaired { octets }, Performed::Done) => {
                self.synced = Some(octets);
                self.go_on(now, time);
            }
            (Step::SettingSuspectAside | Step::SettingAside, Performed::Done) => {
                self.is_suspect = false;
                self.synced = None;
                self.new_file_asked = false;
                self.step = Step::Opening;
            }
            (Step::Appending, Performed::Done) => {
                self.step = Step::Syncing;
                if seeded::is(Bug::AnsweredBeforeSync) {
                    self.end(Stored::Safe);
                }
            }
            (Step::Syncing, Performed::Done) => {
                self.stored(time);
                self.go_on(now, time);
            }
            (step, performed) => panic!("{performed:?} is no answer to {step:?}"),
        }
    }

    /// The group is written and synced.
    fn stored(&mut self, time: UnixTime) {
        let synced = self.synced.expect("a file is synced when it is opened");
        self.synced = Some(synced + self.group.len() as u64);
        self.modified = time;
        self.retry_after = RETRY_FIRST;
        self.end(Stored::Safe);
    }

    fn end(&mut self, stored: Stored) {
        if self.stage == GroupStage::Waiting {
            self.stage = GroupStage::Over(stored);
        }
    }

    fn fail(&mut self, now: Instant, time: UnixTime) {
        let step = self.step;
        if step == Step::SettingAside {
            // Records can be stored where they are.
            self.aside_not_before = now + RETRY_MAX;
            self.new_file_asked = false;
            self.step = Step::Ready;
            return self.go_on(now, time);
        }
        if step == Step::Syncing && seeded::is(Bug::StoredThoughSyncFailed) {
            self.stored(time);
            return self.go_on(now, time);
        }
        let of_opening = matches!(step, Step::SyncingBeforeReading { .. } | Step::SyncingRepaired { .. });
        if of_opening && self.synced.is_none() {
            self.is_suspect = true;
        }
        self.step = Step::Closed(now + self.retry_after);
        self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
        self.end(Stored::Not);
    }

    fn opened(&mut self, octets: u64, is_same: bool) {
        if !is_same {
            self.is_suspect = false;
        }
        self.saved.clear();
        self.step = match self.synced.filter(|_| is_same) {
            // What lies behind was never acknowledged. Nor is it known to be there, though it may be read.
            Some(synced) if synced <= octets => Step::Cutting { at: synced },
            Some(_) | None if self.is_suspect => Step::SettingSuspectAside,
            Some(_) | None => {
                self.synced = None;
                match seeded::is(Bug::TornLineNotRepaired) || octets == 0 {
                    true => Step::SyncingRepaired { octets },
                    false => {
                        Step::SyncingBeforeReading { from: octets.saturating_sub(TAIL_OCTETS_MAX as u64) }
                    }
                }
            }
        };
    }

    /// Finds what a crash has left of a line. Whatever follows it is taken off, and the whole lines of it put back.
    fn look_at(&mut self, from: u64, octets: &[u8]) {
        // In the midst of a file the first line may have begun earlier.
        let newline = octets.iter().position(|octet| *octet == b'\n').map_or(octets.len(), |place| place + 1);
        let begin = if from == 0 { 0 } else { newline };
        let mut good = begin;
        for line in Lines::of(&octets[begin..]) {
            match line {
                Line::Whole(line) => good += line.len(),
                Line::Damaged(_) => break,
            }
        }
        self.cut.clear();
        self.cut.extend_from_slice(&octets[good..]);
        for line in Lines::of(&octets[good..]) {
            if let Line::Whole(line) = line {
                self.saved.extend_from_slice(line);
            }
        }
        let at = from + good as u64;
        self.step = Step::Keeping { at };
    }

    /// The file is whole and synced: what is next?
    fn go_on(&mut self, now: Instant, time: UnixTime) {
        self.step = if self.is_time_for_new_file(time) && self.aside_not_before <= now {
            Step::SettingAside
        } else if self.stage == GroupStage::Waiting {
            Step::Appending
        } else {
            Step::Ready
        };
    }

    fn is_time_for_new_file(&self, time: UnixTime) -> bool {
        let Rotation { octets, every } = self.rotation;
        let length = self.synced.unwrap_or(0);
        let is_long = octets.is_some_and(|octets| length >= octets);
        let is_old = every.is_some_and(|every| {
            let period = |time: UnixTime| time.0 / every.as_secs().max(1);
            period(time) > period(self.modified)
        });
        self.new_file_asked || length > 0 && (is_long || is_old)
    }
}

const _: () = assert!(TAIL_OCTETS_MAX > GROUP_OCTETS_MAX + 2 * RECORD_OCTETS_MAX);
