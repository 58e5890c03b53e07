//! A disk that forgets what was not synced, tears what was being written, fails, and lies after it has failed.
//!
//! Knows one file, those that were set aside, and what a crash may leave of them: of the changes since the last sync the
//! first so many, the next one torn at any octet, and holes of zeros where pages were written in another order. After a
//! failed sync the kernel may show octets that it will never write.

use super::{FaultClass, Injector};
use crate::draw::{Class, Draw};
use std::ops::Range;
use ulna_core::accounting::{Operation, Performed, Troubled};
use ulna_core::time::UnixTime;

const MILLISECOND: u64 = 1_000_000;

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It is done.
    Done,
    /// It fails, perhaps half done.
    Fails,
}

/// When the operation number `ordinal` that begins now ends, and how.
pub fn course(ordinal: u64, now: u64, faults: &mut Injector) -> (u64, Course) {
    let fails = faults.strike(FaultClass::DiskFails, 0, ordinal, now, |_| [0; 2]).is_some();
    let slow = |draw: Draw| [draw.magnitude(100 * MILLISECOND..=8_000 * MILLISECOND), 0];
    let slow = faults.strike(FaultClass::DiskSlow, 0, ordinal, now, slow);
    let usual = || faults.draws().at(Class::Disk, 4, ordinal).range(1..=20) * MILLISECOND;
    let length = slow.map_or_else(usual, |[length, _]| length);
    (now + length, if fails { Course::Fails } else { Course::Done })
}

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Crash {
    /// The process: what it has written stays in the kernel's memory.
    Process,
    /// The machine: what was not synced may be gone.
    Machine,
}

/// The disk, and what the kernel shows of it.
#[derive(Debug, Default)]
pub struct Disk {
    current: Option<Contents>,
    aside: Vec<Contents>,
    /// Which file the process had opened, by its number.
    opened: Option<u64>,
    made: u64,
}

/// One file.
#[derive(Debug, Default)]
struct Contents {
    number: u64,
    /// What whoever reads it sees.
    seen: Vec<u8>,
    /// What is on the disk for certain.
    safe: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
    /// What is seen and will never be written, unless it is written anew.
    lost: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Change {
    Append(Vec<u8>),
    Truncate(usize),
}

impl Disk {
    /// Does an operation as its course says; `draw` decides about details.
    pub fn perform(
        &mut self,
        operation: Operation<'_>,
        course: Course,
        draw: Draw,
    ) -> Result<Performed, Troubled> {
        let fails = course == Course::Fails;
        match operation {
            Operation::Open if fails => Err(Troubled),
            Operation::Open => Ok(self.open()),
            Operation::Read { .. } | Operation::Keep(_) | Operation::Truncate(_) if fails => Err(Troubled),
            Operation::Read { from } => {
                let file = self.file();
                if file.pending.is_empty() {
                    file.forget_clean_pages();
                }
                Ok(Performed::Read(file.seen[from as usize..].to_vec()))
            }
            // Beside the file, where nothing looks again.
            Operation::Keep(_) => Ok(Performed::Done),
            Operation::Truncate(octets) => {
                self.file().truncate(octets as usize);
                Ok(Performed::Done)
            }
            Operation::Append(octets) => {
                // A full disk takes a part.
                let taken = if fails { draw.below(octets.len() as u64) as usize } else { octets.len() };
                self.file().append(&octets[..taken]);
                if fails { Err(Troubled) } else { Ok(Performed::Done) }
            }
            Operation::Sync if fails => {
                self.file().fail_to_sync(draw);
                Err(Troubled)
            }
            Operation::Sync => {
                self.file().sync();
                Ok(Performed::Done)
            }
            Operation::SetAside(_) => {
                // Where it fails the name may have changed, or not.
                if !fails || draw.one_in(2) {
                    self.set_aside();
                }
                if fails { Err(Troubled) } else { Ok(Performed::Done) }
            }
        }
    }

    /// Everything stops, perhaps in the midst of an operation, of which a part is done then.
    pub fn crash(&mut self, crash: Crash, during: Option<Operation<'_>>, draw: Draw) {
        if let Some(operation) = during {
            match operation {
                Operation::Append(octets) => {
                    let taken = draw.fork(1).below(octets.len() as u64 + 1) as usize;
                    self.file().append(&octets[..taken]);
                }
                // Nobody was told, but it may have been done.
                Operation::Sync | Operation::Truncate(_) | Operation::SetAside(_)
                    if draw.fork(2).one_in(2) =>
                {
                    let _ = self.perform(operation, Course::Done, draw.fork(3));
                }
                Operation::Open
                | Operation::Read { .. }
                | Operation::Keep(_)
                | Operation::Sync
                | Operation::Truncate(_)
                | Operation::SetAside(_) => {}
            }
        }
        self.opened = None;
        if crash == Crash::Machine {
            for (place, contents) in self.current.iter_mut().chain(&mut self.aside).enumerate() {
                contents.lose_what_is_not_safe(draw.fork(10 + place as u64));
            }
        }
    }

    /// What whoever reads the file of that name now sees.
    pub fn seen(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |current| &current.seen)
    }

    /// What is safe of each file, whatever happens.
    pub fn safe(&self) -> impl Iterator<Item = &[u8]> {
        self.current.iter().chain(&self.aside).map(|contents| &contents.safe[..])
    }

    /// The same, each with the number of its file.
    pub fn safe_files(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.current.iter().chain(&self.aside).map(|contents| (contents.number, &contents.safe[..]))
    }

    /// How many files were set aside.
    pub fn aside(&self) -> usize {
        self.aside.len()
    }

    /// What is seen of the file that was set aside first; nothing, if there is none.
    pub fn oldest_aside(&self) -> &[u8] {
        self.aside.first().map_or(&[], |contents| &contents.seen)
    }

    /// Removes that.
    pub fn remove_oldest_aside(&mut self) {
        if !self.aside.is_empty() {
            self.aside.remove(0);
        }
    }

    fn open(&mut self) -> Performed {
        let made = &mut self.made;
        let current = self.current.get_or_insert_with(|| {
            *made += 1;
            Contents { number: *made, ..Contents::default() }
        });
        let is_same = self.opened == Some(current.number);
        self.opened = Some(current.number);
        Performed::Opened { octets: current.seen.len() as u64, modified: UnixTime(0), is_same }
    }

    /// The file that is open, whatever its name.
    fn file(&mut self) -> &mut Contents {
        let opened = self.opened.expect("core opens a file before it uses it");
        let mut all = self.current.iter_mut().chain(&mut self.aside);
        all.find(|contents| contents.number == opened).expect("no file is ever removed")
    }

    fn set_aside(&mut self) {
        let is_open = self.current.as_ref().is_some_and(|current| Some(current.number) == self.opened);
        if is_open && !self.seen().is_empty() {
            self.aside.extend(self.current.take());
        }
    }
}

impl Contents {
    fn append(&mut self, octets: &[u8]) {
        self.seen.extend_from_slice(octets);
        self.pending.push(Change::Append(octets.to_vec()));
    }

    fn truncate(&mut self, octets: usize) {
        self.seen.truncate(octets);
        self.lost.retain_mut(|range| {
            range.end = range.end.min(octets);
            range.start < range.end
        });
        self.pending.push(Change::Truncate(octets));
    }

    fn sync(&mut self) {
        self.pending.clear();
        self.safe.clone_from(&self.seen);
        for range in &self.lost {
            self.safe[range.clone()].fill(0);
        }
    }

    /// What is read comes from the disk.
    fn forget_clean_pages(&mut self) {
        self.seen.clone_from(&self.safe);
        self.lost.clear();
    }

    fn fail_to_sync(&mut self, draw: Draw) {
        if draw.one_in(2) {
            return;
        }
        // The kernel has marked the pages clean, and will not try again. Octets that were cut off before are in none of them.
        let mut dirty = self.seen.len();
        for change in self.pending.drain(..).rev() {
            if let Change::Append(octets) = change {
                dirty = dirty.saturating_sub(octets.len());
            } else {
                break;
            }
        }
        if dirty < self.seen.len() {
            self.lost.push(dirty..self.seen.len());
        }
    }

    fn lose_what_is_not_safe(&mut self, draw: Draw) {
        let whole = draw.fork(1).below(self.pending.len() as u64 + 1) as usize;
        let mut left = std::mem::take(&mut self.safe);
        // The length may be there without the octets.
        if draw.fork(2).one_in(4) {
            let grown = self.lost.iter().map(|range| range.end).max().unwrap_or(0);
            left.resize(left.len().max(grown), 0);
        }
        let safe = left.len();
        for (place, change) in self.pending.drain(..).enumerate() {
            match change {
                Change::Append(octets) if place < whole => left.extend(octets),
                Change::Append(octets) if place == whole => {
                    let torn = draw.fork(3).below(octets.len() as u64 + 1) as usize;
                    left.extend(&octets[..torn]);
                }
                Change::Truncate(octets) if place < whole => left.truncate(octets),
                Change::Append(_) | Change::Truncate(_) => break,
            }
        }
        if left.len() > safe && draw.fork(4).one_in(3) {
            // Pages are written in any order.
            let begin = safe + draw.fork(5).below((left.len() - safe) as u64) as usize;
            let length = 1 + draw.fork(6).below((left.len() - begin) as u64) as usize;
            left[begin..begin + length].fill(0);
        }
        self.lost.clear();
        self.seen.clone_from(&left);
        self.safe = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    fn draw(ordinal: u64) -> Draw {
        Draws::new(1).at(Class::Disk, 0, ordinal)
    }

    fn written(sync: Option<Course>) -> Disk {
        let mut disk = Disk::default();
        disk.perform(Operation::Open, Course::Done, draw(0)).expect("it opens");
        disk.perform(Operation::Append(b"first"), Course::Done, draw(0)).expect("there is room");
        disk.perform(Operation::Sync, Course::Done, draw(0)).expect("it syncs");
        disk.perform(Operation::Append(b"second"), Course::Done, draw(0)).expect("there is room");
        if let Some(course) = sync {
            let synced = disk.perform(Operation::Sync, course, draw(1));
            assert_eq!(synced.is_ok(), course == Course::Done);
        }
        disk
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_be_lost_torn_or_full_of_holes() {
        let (mut lost, mut torn, mut whole, mut holes) = (0, 0, 0, 0);
        for ordinal in 0..300 {
            let mut disk = written(None);
            disk.crash(Crash::Machine, None, draw(ordinal));
            let left = disk.seen();
            assert!(left.starts_with(b"first") && left.len() <= 11);
            match &left[5..] {
                b"" => lost += 1,
                b"second" => whole += 1,
                rest if rest.contains(&0) => holes += 1,
                _ => torn += 1,
            }
            let mut synced = written(Some(Course::Done));
            synced.crash(Crash::Machine, None, draw(ordinal));
            assert_eq!(synced.seen(), b"firstsecond");
            let mut killed = written(None);
            killed.crash(Crash::Process, None, draw(ordinal));
            assert_eq!(killed.seen(), b"firstsecond");
        }
        assert!([lost, torn, whole, holes].iter().all(|count| *count > 10), "{lost} {torn} {whole} {holes}");
    }

    #[test]
    fn a_sync_behind_one_that_failed_may_succeed_without_the_octets() {
        let mut without = 0;
        for ordinal in 0..20 {
            let mut disk = written(None);
            assert!(disk.perform(Operation::Sync, Course::Fails, draw(ordinal)).is_err());
            disk.perform(Operation::Sync, Course::Done, draw(ordinal)).expect("it says so");
            assert_eq!(disk.seen(), b"firstsecond");
            without += usize::from(disk.safe().next() == Some(b"first\0\0\0\0\0\0"));
        }
        assert!((1..20).contains(&without), "{without}");
    }
}
