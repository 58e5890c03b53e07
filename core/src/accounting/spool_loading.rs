//! What a spool's files hold, read piece by piece at the start: the older first, each from its beginning.
//!
//! In memory are the records that have not been answered as far as has been read: never more than there could be before.
//!
//! The order is that of the files, not of any clock. A file's copies came before its others, and in their own order.

use super::backlog::Recorded;
use super::check::{Line, Lines};
use super::spool_line::{SpoolLine, SpoolName};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A file of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpoolFile {
    /// That which was written before.
    Old,
    /// That which is written.
    Newest,
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// The beginning of a line whose end has not been read.
    begun: Vec<u8>,
    found: BTreeMap<SpoolName, Found>,
    /// Lines so far.
    lines: u64,
    damaged: usize,
}

/// A record that has not been answered.
#[derive(Debug)]
pub(super) struct Found {
    pub recorded: Recorded,
    /// Whether it stands in the old file alone.
    pub is_only_old: bool,
    place: (SpoolFile, Kind, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Copy,
    Original,
}

impl Loading {
    /// Takes the next piece of a file.
    pub fn take(&mut self, file: SpoolFile, piece: &[u8]) {
        self.begun.extend_from_slice(piece);
        let whole = self.begun.iter().rposition(|octet| *octet == b'\n').map_or(0, |place| place + 1);
        let octets = core::mem::take(&mut self.begun);
        self.take_lines(file, &octets[..whole]);
        self.begun = octets;
        self.begun.drain(..whole);
        if self.begun.len() > LINE_OCTETS_MAX {
            // None of ours is as long. Its rest is no line either.
            self.damaged += 1;
            self.begun.clear();
        }
    }

    /// There is no more of this file.
    pub fn end_file(&mut self, file: SpoolFile) {
        let torn = core::mem::take(&mut self.begun);
        self.take_lines(file, &torn);
    }

    fn take_lines(&mut self, file: SpoolFile, octets: &[u8]) {
        for line in Lines::of(octets) {
            self.lines += 1;
            let parsed = match line {
                Line::Whole(line) => SpoolLine::parse(line).map(|parsed| (line, parsed)),
                Line::Damaged(_) => None,
            };
            match parsed {
                Some((line, SpoolLine::Record { spooled, session, event, is_copy })) => {
                    let kind = if is_copy { Kind::Copy } else { Kind::Original };
                    let found = self.found.entry(spooled.name).or_insert_with(|| Found {
                        recorded: Recorded { line: line.into(), pool: spooled.pool, session, event },
                        is_only_old: true,
                        place: (file, kind, self.lines),
                    });
                    found.is_only_old = file == SpoolFile::Old;
                }
                Some((_, SpoolLine::Answered(name))) => {
                    self.found.remove(&name);
                }
                None => self.damaged += 1,
            }
        }
    }

    /// All that are to be sent, what came first first, and how many lines are none of a spool's.
    pub fn finish(self) -> (Vec<(SpoolName, Found)>, usize) {
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_unstable_by_key(|(_, found)| found.place);
        (found, self.damaged)
    }
}

/// Many times what a packet of 4 096 octets and two names make.
const LINE_OCTETS_MAX: usize = 128 * 1024;
