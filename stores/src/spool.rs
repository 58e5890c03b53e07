//! The files of a spool in a folder of their own: what core's `Spool` asks for, done on a real disk; and the key under which hidden
//! values stand in them.
//!
//! | name | holds |
//! |---|---|
//! | `key` | 32 random octets, drawn when there was none; nobody but the owner may read it (0600) |
//! | `records` | the file that is written |
//! | `records.old` | the one before it, while there is one |
//! | `records.damaged` | what was cut off, should a crash have torn a line |
//! | `records.lock` | the claim of the server that has the spool |

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ulna_core::accounting::{
    Line, Lines, Operation, Performed, SPOOL_PIECE_OCTETS, SpoolFile, SpoolOperation,
};
use ulna_core::packet::Secret;

use crate::file::{FileDisk, replace, sync_folder, with_path};

const KEY_OCTETS: usize = 32;

/// The files of one spool.
#[derive(Debug)]
pub struct SpoolDisk {
    records: FileDisk,
    path: PathBuf,
    old: PathBuf,
    key: PathBuf,
}

impl SpoolDisk {
    /// Claims the folder `spool` within this one, and makes it if there is none. Opens nothing yet.
    ///
    /// # Errors
    /// When another server has it, or the folder cannot be had.
    pub fn claim(directory: &Path) -> io::Result<SpoolDisk> {
        let folder = SpoolDisk::folder(directory);
        let made = DirBuilder::new().recursive(true).mode(0o750).create(&folder);
        made.and_then(|()| sync_folder(&folder)).map_err(|error| with_path(&folder, &error))?;
        let path = folder.join("records");
        let records = FileDisk::claim(&path)?;
        Ok(SpoolDisk { records, old: folder.join("records.old"), key: folder.join("key"), path })
    }

    /// Where the spool of this state directory is.
    pub fn folder(directory: &Path) -> PathBuf {
        directory.join("spool")
    }

    /// Octets that lie in the spool of this state directory.
    pub fn octets(directory: &Path) -> u64 {
        let folder = SpoolDisk::folder(directory);
        let octets = |name| fs::metadata(folder.join(name)).map_or(0, |found| found.len());
        octets("records") + octets("records.old")
    }

    /// The key. If there is none, and no record that has been hidden under it, one is drawn.
    ///
    /// # Errors
    /// When it cannot be read or written, is no key, or is gone while there are records.
    pub fn key(&self, draw: impl FnOnce(&mut [u8; KEY_OCTETS]) -> io::Result<()>) -> io::Result<Secret> {
        let octets = match fs::read(&self.key) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let records = [&self.path, &self.old];
                if records.iter().any(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0)) {
                    let key = self.key.display();
                    return Err(io::Error::other(format!(
                        "{key} is gone, under which values in the spool are hidden: put it back, or move the folder away"
                    )));
                }
                let mut octets = [0; KEY_OCTETS];
                draw(&mut octets)?;
                // A torn key would make records unreadable.
                let written = replace(&self.key, |out| out.write_all(&octets));
                written.map_err(|error| with_path(&self.key, &error))?;
                octets.to_vec()
            }
            Err(error) => return Err(with_path(&self.key, &error)),
        };
        if octets.len() != KEY_OCTETS {
            return Err(io::Error::other(format!("{} is no key of {KEY_OCTETS} octets", self.key.display())));
        }
        Secret::new(&octets).map_err(|_| io::Error::other("a key has octets"))
    }

    /// Does what core asks for.
    ///
    /// # Errors
    /// As the system says, with the path.
    pub fn perform(&mut self, operation: SpoolOperation<'_>) -> io::Result<Performed> {
        match operation {
            SpoolOperation::File(Operation::SetAside(_)) => {
                self.set_aside().map_err(|error| with_path(&self.path, &error))
            }
            SpoolOperation::File(Operation::Keep(octets)) => {
                let kept = self.records.perform(Operation::Keep(octets));
                kept.or_else(
                    |error| if is_worth_nothing(octets, &error) { Ok(Performed::Done) } else { Err(error) },
                )
            }
            SpoolOperation::File(operation) => self.records.perform(operation),
            SpoolOperation::Read { file, from } => {
                let path = match file {
                    SpoolFile::Old => &self.old,
                    SpoolFile::Newest => &self.path,
                };
                read_piece(path, from).map(Performed::Read).map_err(|error| with_path(path, &error))
            }
            SpoolOperation::RemoveOld => self.remove_old().map_err(|error| with_path(&self.old, &error)),
        }
    }

    fn set_aside(&self) -> io::Result<Performed> {
        let octets = |path: &Path| match fs::metadata(path) {
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        if octets(&self.path)? > 0 {
            if octets(&self.old)? > 0 {
                return Err(io::Error::other("there is an old file still"));
            }
            fs::rename(&self.path, &self.old)?;
            if let Err(error) = sync_folder(&self.path) {
                // Records go on into it, under the name that core believes it to have.
                fs::rename(&self.old, &self.path)?;
                return Err(error);
            }
        }
        Ok(Performed::Done)
    }

    fn remove_old(&self) -> io::Result<Performed> {
        match fs::remove_file(&self.old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        sync_folder(&self.old)?;
        Ok(Performed::Done)
    }
}

/// What a crash has torn was never acknowledged. Where the disk has no room to keep it, it is cut off all the same, or no server
/// would start there and send what else there is.
fn is_worth_nothing(torn: &[u8], error: &io::Error) -> bool {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    is_full && !Lines::of(torn).any(|line| matches!(line, Line::Whole(_)))
}

fn read_piece(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut octets = Vec::new();
    file.take(SPOOL_PIECE_OCTETS as u64).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_core::accounting::{SpoolLine, SpoolName};

    #[test]
    fn on_a_full_disk_only_what_was_never_acknowledged_is_not_kept() {
        let mut line = Vec::new();
        SpoolLine::write_answered(SpoolName([7; 16]), &mut line);
        let torn = &line[..line.len() - 1];
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_worth_nothing(torn, &full));
        assert!(!is_worth_nothing(&[b"\0\0\n", &line[..]].concat(), &full));
        assert!(!is_worth_nothing(torn, &io::Error::from(io::ErrorKind::PermissionDenied)));
    }
}
