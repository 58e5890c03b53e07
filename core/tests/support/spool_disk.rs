//! A disk with the two files of a spool, which forgets at a crash what was not synced.
#![allow(dead_code, reason = "each situation uses its own part of this")]

use ulna_core::accounting::{Operation, Performed, SPOOL_PIECE_OCTETS, SpoolFile, SpoolOperation, Troubled};
use ulna_core::time::UnixTime;

/// One file: what would survive, and what a read shows.
#[derive(Debug, Clone, Default)]
struct File {
    identity: u64,
    safe: Vec<u8>,
    written: Vec<u8>,
}

/// Two files.
#[derive(Debug, Default)]
pub struct SpoolDisk {
    records: Option<File>,
    old: Option<File>,
    opened: Option<u64>,
    next_identity: u64,
    /// Whether syncs fail. Nothing that is written meanwhile becomes safe by a later one.
    pub fails: bool,
    /// So much is read at once; 0: as much as may be.
    pub piece_octets: usize,
    /// Both files together have no more: what is beyond is not written; 0: there is room.
    pub room_octets: usize,
    /// How often the file was set aside.
    pub set_aside: usize,
}

impl SpoolDisk {
    /// Does what core asks for.
    pub fn perform(&mut self, operation: &SpoolOperation<'_>) -> Result<Performed, Troubled> {
        match operation {
            SpoolOperation::File(operation) => self.perform_on_file(operation),
            SpoolOperation::Read { file, from } => {
                let file = match file {
                    SpoolFile::Old => &self.old,
                    SpoolFile::Newest => &self.records,
                };
                let octets = file.as_ref().map_or(&[][..], |file| &file.written[*from as usize..]);
                let most = if self.piece_octets == 0 { SPOOL_PIECE_OCTETS } else { self.piece_octets };
                Ok(Performed::Read(octets[..octets.len().min(most)].to_vec()))
            }
            SpoolOperation::RemoveOld => {
                self.old = None;
                Ok(Performed::Done)
            }
        }
    }

    fn perform_on_file(&mut self, operation: &Operation<'_>) -> Result<Performed, Troubled> {
        if let Operation::Open = operation {
            let SpoolDisk { records, next_identity, opened, .. } = self;
            let file = records.get_or_insert_with(|| {
                *next_identity += 1;
                File { identity: *next_identity, ..File::default() }
            });
            let is_same = opened.replace(file.identity) == Some(file.identity);
            let octets = file.written.len() as u64;
            return Ok(Performed::Opened { octets, modified: UnixTime(0), is_same });
        }
        if let Operation::SetAside(_) = operation {
            if self.records.as_ref().is_some_and(|file| !file.written.is_empty()) {
                if self.old.is_some() {
                    return Err(Troubled);
                }
                self.old = self.records.take();
                self.set_aside += 1;
            }
            return Ok(Performed::Done);
        }
        let left = self.room_octets.saturating_sub(self.octets());
        let is_bounded = self.room_octets > 0;
        let file = self.records.as_mut().expect("it is open");
        match operation {
            Operation::Open | Operation::SetAside(_) => unreachable!("they are done"),
            Operation::Read { from } => return Ok(Performed::Read(file.written[*from as usize..].to_vec())),
            Operation::Keep(_) => {}
            Operation::Truncate(octets) => file.written.truncate(*octets as usize),
            Operation::Append(octets) if is_bounded && octets.len() > left => {
                file.written.extend_from_slice(&octets[..left]);
                return Err(Troubled);
            }
            Operation::Append(octets) => file.written.extend_from_slice(octets),
            Operation::Sync if self.fails => return Err(Troubled),
            Operation::Sync => file.safe.clone_from(&file.written),
        }
        Ok(Performed::Done)
    }

    /// The machine dies: of what was not synced the first so many octets are there.
    pub fn crash(&mut self, torn_at: usize) {
        self.opened = None;
        if let Some(file) = &mut self.records {
            let common = file.safe.iter().zip(&file.written).take_while(|(one, other)| one == other).count();
            let kept = (file.safe.len().max(common) + torn_at).min(file.written.len());
            let mut left = file.safe.clone();
            if kept > left.len() && common == left.len() {
                left.extend_from_slice(&file.written[left.len()..kept]);
            }
            (file.safe, file.written) = (left.clone(), left);
        }
        if let Some(file) = &mut self.old {
            file.written.clone_from(&file.safe);
        }
    }

    /// All octets of both files.
    pub fn octets(&self) -> usize {
        [&self.records, &self.old].into_iter().flatten().map(|file| file.written.len()).sum()
    }

    /// Whether the octets of either hold these.
    pub fn holds(&self, octets: &[u8]) -> bool {
        let files = [&self.records, &self.old].into_iter().flatten();
        files.into_iter().any(|file| file.written.windows(octets.len()).any(|window| window == octets))
    }

    /// Whether there is an old file.
    pub fn has_old(&self) -> bool {
        self.old.is_some()
    }
}
