//! The system calls behind a file of accounting records: what core's `RecordFile` asks for, done on a real disk.
//!
//! Which of them, and in what order, is core's to say. Owner and group may read the file, nobody else: who was where and
//! when is in it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{Advice, FlockOperation, RenameFlags, fadvise, flock, renameat_with};
use ulna_core::accounting::{Operation, Performed};
use ulna_core::time::UnixTime;

/// Owner writes, group reads.
const MODE: u32 = 0o640;
/// Files set aside within one second, at most.
const NAMES_MAX: u32 = 1_000;

/// One path, the file that has it, and the claim that it is nobody else's.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    /// Held as long as this lives. A file of its own: the claim outlives each file of records.
    _lock: File,
    open: Option<File>,
    /// Device and inode of the file that was opened last.
    identity: Option<(u64, u64)>,
}

impl FileDisk {
    /// Claims a path, by a lock on `<path>.lock`. Opens nothing yet.
    ///
    /// # Errors
    /// When another server has it, or the folder is not there or not ours to write to; the error says which.
    pub fn claim(path: &Path) -> io::Result<FileDisk> {
        let name = beside(path, ".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(&name)
            .map_err(|error| with_path(&name, &error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("another server writes {}; each needs a file of its own", path.display()),
            ),
            other => with_path(&name, &other.into()),
        })?;
        Ok(FileDisk { path: path.to_owned(), _lock: lock, open: None, identity: None })
    }

    /// Does what core asks for.
    ///
    /// # Errors
    /// As the system says, with the path.
    pub fn perform(&mut self, operation: Operation<'_>) -> io::Result<Performed> {
        match operation {
            Operation::Open => self.open(),
            Operation::Read { from } => self.read(from),
            Operation::Keep(octets) => self.keep(octets).map(|()| Performed::Done),
            Operation::Truncate(octets) => self.file()?.set_len(octets).map(|()| Performed::Done),
            Operation::Append(octets) => self.file()?.write_all(octets).map(|()| Performed::Done),
            Operation::Sync => self.file()?.sync_data().map(|()| Performed::Done),
            Operation::SetAside(time) => self.set_aside(time).map(|()| Performed::Done),
        }
        .map_err(|error| with_path(&self.path, &error))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.open.as_mut().ok_or_else(|| io::Error::other("it is not open"))
    }

    fn open(&mut self) -> io::Result<Performed> {
        self.open = None;
        let mut how = OpenOptions::new();
        // Without O_NONBLOCK the opening of a pipe would wait for whoever writes to it.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        how.read(true).append(true).mode(MODE).custom_flags(flags.bits().cast_signed());
        let file = match how.clone().create_new(true).open(&self.path) {
            Ok(file) => {
                // A file's name is safe only with its folder (fsync(2)).
                sync_folder(&self.path)?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => how.open(&self.path)?,
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no regular file, so nothing there is ever safe"));
        }
        let modified = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let identity = Some((found.dev(), found.ino()));
        let is_same = self.identity == identity;
        self.identity = identity;
        self.open = Some(file);
        Ok(Performed::Opened { octets: found.len(), modified: UnixTime(modified.as_secs()), is_same })
    }

    fn read(&mut self, from: u64) -> io::Result<Performed> {
        let file = self.file()?;
        // Clean pages go, and are read from the disk again.
        fadvise(&*file, from, None, Advice::DontNeed)?;
        file.seek(SeekFrom::Start(from))?;
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        Ok(Performed::Read(octets))
    }

    fn keep(&mut self, octets: &[u8]) -> io::Result<()> {
        let name = beside(&self.path, ".damaged");
        let mut file = OpenOptions::new().create(true).append(true).mode(MODE).open(name)?;
        file.write_all(octets)?;
        if octets.last() != Some(&b'\n') {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        sync_folder(&self.path)
    }

    fn set_aside(&mut self, time: UnixTime) -> io::Result<()> {
        let identity = match fs::symlink_metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()),
            // Somebody has moved it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if Some(identity) != self.identity || self.file()?.metadata()?.len() == 0 {
            return Ok(());
        }
        // Colons are not welcome in the names of files everywhere.
        let stamp = time.to_string().replace(':', "-");
        for number in 0..NAMES_MAX {
            let more = if number == 0 { String::new() } else { format!(".{number}") };
            let name = beside(&self.path, &format!(".{stamp}{more}"));
            let folder = rustix::fs::CWD;
            match renameat_with(folder, &self.path, folder, &name, RenameFlags::NOREPLACE) {
                Ok(()) => return sync_folder(&self.path),
                Err(rustix::io::Errno::EXIST) => {}
                // File systems that cannot promise it. We hold the claim, so nobody comes in between.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !name.exists() => {
                    fs::rename(&self.path, &name)?;
                    return sync_folder(&self.path);
                }
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("all names for this second are taken"))
    }
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(more);
    PathBuf::from(name)
}

/// Makes a file whose owner alone may read it, or puts another in its place: written beside it, synced, and then given its name, so that
/// a crash leaves the one or the other. When it fails the one before stands there still.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = write_new(&beside, write).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // A disk that is full shall not be the fuller for it.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_folder(path)
}

/// What a crash, or somebody else, has left there goes first: it may be readable by others, or a link.
fn write_new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

pub(crate) fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
