//! Makes and opens the three files of a link, and refuses what is not one. What lies where is told in the parent.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FallocateFlags, FlockOperation, Mode, fallocate, flock, mkfifoat};

use super::mapping::Mapping;
use super::ring::Place;
use super::slot::{Kind, SLOT_OCTETS};

/// The first eight octets, as a number of this machine's: one of another byte order refuses it.
pub const MAGIC: u64 = 0x756c_6e61_7269_6e67;
/// Of the format. Another one is refused by either side, whatever changed.
pub const VERSION: u32 = 1;
/// Most slots of one ring: 65 MiB.
pub const SLOTS_MAX: u32 = 16_384;

/// Why a link could not be made or opened.
#[derive(Debug)]
pub enum OpenError {
    /// The system would not.
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Not a power of two, or more than [`SLOTS_MAX`].
    Slots(u32),
    /// Not a file, or a bell that is not a FIFO.
    NotOne,
    /// It belongs to this user, not to ours.
    Owner(u32),
    /// Others than its owner may touch it, or its owner may not: this mode is not 0600.
    Mode(u32),
    /// It has so many octets, and not what its slots need.
    Size(u64),
    /// It begins with another number.
    Magic(u64),
    /// It is of this version.
    Version(u32),
    /// Its slots have so many octets.
    SlotOctets(u32),
    /// Another process has it open.
    Taken,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::System { what, source } => write!(f, "cannot {what}: {source}"),
            OpenError::Slots(slots) => {
                write!(f, "{slots} slots, which is no power of two up to {SLOTS_MAX}")
            }
            OpenError::NotOne => f.write_str("it is no file with two FIFOs beside it"),
            OpenError::Owner(uid) => {
                write!(f, "it belongs to user {uid}, and only the same user may have it")
            }
            OpenError::Mode(mode) => write!(f, "its mode is {mode:04o}, not 0600"),
            OpenError::Size(octets) => write!(f, "it has {octets} octets, which its header contradicts"),
            OpenError::Magic(magic) => write!(f, "it begins with {magic:#018x}: no ring of this machine"),
            OpenError::Version(version) => write!(f, "it is of version {version}, this is {VERSION}"),
            OpenError::SlotOctets(octets) => write!(f, "its slots have {octets} octets, not {SLOT_OCTETS}"),
            OpenError::Taken => f.write_str("another process has it open"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::System { source, .. } => Some(source),
            OpenError::Slots(_)
            | OpenError::NotOne
            | OpenError::Owner(_)
            | OpenError::Mode(_)
            | OpenError::Size(_)
            | OpenError::Magic(_)
            | OpenError::Version(_)
            | OpenError::SlotOctets(_)
            | OpenError::Taken => None,
        }
    }
}

/// What the system refused, in words.
pub(super) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> OpenError {
    move |source| OpenError::System { what, source: source.into() }
}

/// The names in the file system. Those that were made go when this is dropped.
pub(super) struct Names {
    pub file: PathBuf,
    /// Rung by who opened, read by who created.
    pub there: PathBuf,
    /// Rung by who created, read by who opened.
    pub back: PathBuf,
    made: Vec<PathBuf>,
}

impl Names {
    pub fn of(path: &Path) -> Names {
        let beside = |ending: &str| {
            let mut name = OsString::from(path);
            name.push(ending);
            PathBuf::from(name)
        };
        Names { file: path.to_owned(), there: beside(".there"), back: beside(".back"), made: Vec::new() }
    }

    /// Makes the FIFOs. Who has made them may make the file.
    pub fn make_fifos(&mut self) -> Result<(), OpenError> {
        for name in [self.there.clone(), self.back.clone()] {
            mkfifoat(CWD, &name, Mode::RUSR | Mode::WUSR).map_err(system("make a FIFO"))?;
            self.made.push(name);
        }
        Ok(())
    }

    /// Makes the file, which has its name only once it is whole.
    pub fn make_file(&mut self, slots: u32) -> Result<Arc<Mapping>, OpenError> {
        if !is_slots(slots) {
            return Err(OpenError::Slots(slots));
        }
        let mut unfinished = OsString::from(&self.file);
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(system("make a file"))?;
        let filled = fill(&file, slots).and_then(|()| {
            fs::hard_link(&unfinished, &self.file).map_err(system("give the file its name"))?;
            self.made.push(self.file.clone());
            Ok(())
        });
        fs::remove_file(&unfinished).map_err(system("remove a name"))?;
        filled?;
        let mapping = Mapping::new(&file, octets(slots) as usize).map_err(system("map the file"))?;
        Ok(Arc::new(mapping))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in self.made.drain(..) {
            // Whoever removed it already wanted the same.
            let _ = fs::remove_file(name);
        }
    }
}

/// Gives the file its header, and room on its disk: what is mapped and not there would end this process.
fn fill(file: &File, slots: u32) -> Result<(), OpenError> {
    let octets = octets(slots);
    fallocate(file, FallocateFlags::empty(), 0, octets).map_err(system("get room for the file"))?;
    let header = Header { magic: MAGIC, version: VERSION, slot_octets: SLOT_OCTETS as u32, slots, octets };
    file.write_all_at(&header.encode(), 0).map_err(system("write the file"))
}

/// Opens a file that the other process has made: the file, which holds the lock that no other may open it, its octets
/// in memory, and the slots of each ring.
pub(super) fn open(path: &Path) -> Result<(File, Arc<Mapping>, u32), OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(system("open the file"))?;
    let metadata = file.metadata().map_err(system("look at the file"))?;
    if !metadata.is_file() {
        return Err(OpenError::NotOne);
    }
    is_ours_alone(&metadata)?;
    let mut header = [0; HEADER_OCTETS];
    file.read_exact_at(&mut header, 0).map_err(|_| OpenError::Size(metadata.len()))?;
    let header = Header::decode(&header);
    if header.magic != MAGIC {
        return Err(OpenError::Magic(header.magic));
    }
    if header.version != VERSION {
        return Err(OpenError::Version(header.version));
    }
    if header.slot_octets != SLOT_OCTETS as u32 {
        return Err(OpenError::SlotOctets(header.slot_octets));
    }
    if !is_slots(header.slots) {
        return Err(OpenError::Slots(header.slots));
    }
    let octets = octets(header.slots);
    if metadata.len() != octets || header.octets != octets {
        return Err(OpenError::Size(metadata.len()));
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| OpenError::Taken)?;
    let mapping = Mapping::new(&file, octets as usize).map_err(system("map the file"))?;
    Ok((file, Arc::new(mapping), header.slots))
}

/// Opens one end of a FIFO. It never waits: to write, somebody must have it open to read.
pub(super) fn open_fifo(path: &Path, write: bool) -> Result<File, OpenError> {
    let fifo = OpenOptions::new()
        .read(!write)
        .write(write)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(system("open a FIFO"))?;
    let metadata = fifo.metadata().map_err(system("look at a FIFO"))?;
    if !metadata.file_type().is_fifo() {
        return Err(OpenError::NotOne);
    }
    is_ours_alone(&metadata)?;
    Ok(fifo)
}

fn is_ours_alone(metadata: &fs::Metadata) -> Result<(), OpenError> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Owner(metadata.uid()));
    }
    match metadata.mode() & 0o7777 {
        0o600 => Ok(()),
        mode => Err(OpenError::Mode(mode)),
    }
}

fn is_slots(slots: u32) -> bool {
    slots.is_power_of_two() && slots <= SLOTS_MAX
}

/// Octets of a whole file.
fn octets(slots: u32) -> u64 {
    FIRST_SLOT as u64 + 2 * u64::from(slots) * SLOT_OCTETS as u64
}

/// The ring from who opened to who created, and the one back.
pub(super) fn places(slots: u32) -> (Place, Place) {
    let count = u64::from(slots);
    let there =
        Place { tail: 384, head: 512, want_space: 640, slots: FIRST_SLOT, count, kind: Kind::Datagram };
    let back = Place {
        tail: 768,
        head: 896,
        want_space: 1024,
        slots: FIRST_SLOT + slots as usize * SLOT_OCTETS,
        count,
        kind: Kind::Reply,
    };
    (there, back)
}

/// Where the gate of who created the file is, and that of who opened it.
pub(super) const GATES: (usize, usize) = (128, 256);
/// Where the slots begin: a page after the begin.
const FIRST_SLOT: usize = 4096;
const HEADER_OCTETS: usize = 32;

/// Written once and read once; what becomes of it then is nobody's concern.
struct Header {
    magic: u64,
    version: u32,
    slot_octets: u32,
    slots: u32,
    octets: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_OCTETS] {
        let mut out = [0; HEADER_OCTETS];
        out[..8].copy_from_slice(&self.magic.to_ne_bytes());
        out[8..12].copy_from_slice(&self.version.to_ne_bytes());
        out[12..16].copy_from_slice(&self.slot_octets.to_ne_bytes());
        out[16..20].copy_from_slice(&self.slots.to_ne_bytes());
        out[24..].copy_from_slice(&self.octets.to_ne_bytes());
        out
    }

    fn decode(octets: &[u8; HEADER_OCTETS]) -> Header {
        let u32_at =
            |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().expect("4 octets of the header"));
        let u64_at =
            |at: usize| u64::from_ne_bytes(octets[at..at + 8].try_into().expect("8 octets of the header"));
        Header {
            magic: u64_at(0),
            version: u32_at(8),
            slot_octets: u32_at(12),
            slots: u32_at(16),
            octets: u64_at(24),
        }
    }
}
