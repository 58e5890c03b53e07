//! Core's `Spool` over a real disk: files that come and go, a restart, a key, a disk on which nothing can be written.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ulna_core::Instant;
use ulna_core::accounting::{Loaded, NotAdded, Spool, SpoolName, SpoolRecord, Stored, Troubled};
use ulna_core::configuration::SpoolSettings;
use ulna_core::time::UnixTime;
use ulna_stores::spool::SpoolDisk;

const TIME: UnixTime = UnixTime(1_795_440_802);
/// A file is begun anew after 16 384 octets.
const SETTINGS: SpoolSettings =
    SpoolSettings { octets_max: 65_536, outstanding_max: 8, line_octets_max: 65_536 };

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("spool-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}

fn name(number: u32) -> SpoolName {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&number.to_be_bytes());
    SpoolName(name)
}

fn line(number: u32) -> Vec<u8> {
    let packet = [&[4, 0, 0, 20][..], &name(number).0].concat();
    let (pool, client, digest) = ("far", "branch", [0; 16]);
    let mut line = Vec::new();
    SpoolRecord { received: TIME, pool, client, digest, packet: &packet }.write(&mut line);
    line
}

/// A spool on its disk.
struct Kept {
    spool: Spool,
    disk: SpoolDisk,
    now: Instant,
}

impl Kept {
    fn open(folder: &Path) -> (Kept, Loaded) {
        let disk = SpoolDisk::claim(folder).expect("nobody has it");
        let mut kept = Kept { spool: Spool::new(SETTINGS), disk, now: Instant::ORIGIN };
        let loaded = kept.drive().expect("the files are read");
        kept.spool.begin_sending();
        (kept, loaded)
    }

    fn drive(&mut self) -> Option<Loaded> {
        let mut found = None;
        while let Some(operation) = self.spool.poll_operation(TIME) {
            let performed = self.disk.perform(operation).map_err(|_| Troubled);
            found = found.or(self.spool.handle_performed(performed, self.now, TIME));
        }
        found
    }

    fn store(&mut self) -> Option<Stored> {
        self.spool.store(self.now, TIME);
        self.spool.handle_timeout(self.now, TIME);
        self.drive();
        let stored = self.spool.poll_stored(self.now);
        self.drive();
        stored
    }

    fn add(&mut self, number: u32) -> Result<Option<Stored>, NotAdded> {
        self.spool.add(&line(number))?;
        Ok(self.store())
    }

    fn lent(&mut self) -> Vec<SpoolName> {
        std::iter::from_fn(|| self.spool.poll_record()).map(|spooled| spooled.name).collect()
    }
}

fn octets(folder: &Path) -> u64 {
    SpoolDisk::octets(folder)
}

#[test]
fn files_come_and_go_and_a_restart_finds_what_was_not_answered_in_order() {
    let folder = folder();
    let (mut kept, loaded) = Kept::open(&folder);
    assert_eq!(loaded, Loaded::default());
    let old = SpoolDisk::folder(&folder).join("records.old");
    let (mut waits, mut were_old) = (BTreeSet::new(), 0);
    for number in 0..2_000 {
        assert_eq!(kept.add(number), Ok(Some(Stored::Safe)));
        for name in kept.lent() {
            // Three, of the first thousand, are never answered.
            if number % 400 == 7 && number < 1_000 {
                waits.insert(name);
            } else {
                kept.spool.note_answered(&[name], kept.now);
            }
        }
        were_old += usize::from(old.exists());
        assert!(octets(&folder) < 5 * 65_536, "{}", octets(&folder));
    }
    assert_eq!(waits.len(), 3);
    assert!(were_old > 0 || octets(&folder) < 65_536, "the file was begun anew");
    // What was answered last is not known to be written: it may be sent again.
    kept.now += Duration::from_secs(2);
    while kept.spool.has_unwritten() {
        assert_eq!(kept.store(), Some(Stored::Safe));
    }
    drop(kept);
    let (mut kept, loaded) = Kept::open(&folder);
    assert_eq!(loaded, Loaded { records: 3, damaged: 0 });
    assert_eq!(kept.lent(), waits.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_folder_that_cannot_be_written_stores_nothing_and_loses_nothing() {
    let folder = folder();
    let (mut kept, _) = Kept::open(&folder);
    assert_eq!(kept.add(1), Ok(Some(Stored::Safe)));
    let records = SpoolDisk::folder(&folder).join("records");
    let moved = records.with_file_name("elsewhere");
    // Where it stood there is a folder: it cannot be opened when it is needed again.
    fs::rename(&records, &moved).expect("it is there");
    fs::create_dir(&records).expect("the name is free");
    drop(kept);
    let mut disk = SpoolDisk::claim(&folder).expect("nobody has it");
    let spool = Spool::new(SETTINGS);
    let operation = spool.poll_operation(TIME).expect("it is to be opened");
    let error = disk.perform(operation).expect_err("a folder is no file").to_string();
    assert!(error.contains("spool/records"), "{error}");
    drop(disk);
    fs::remove_dir(&records).expect("it is empty");
    fs::rename(&moved, &records).expect("the name is free");
    let (mut kept, loaded) = Kept::open(&folder);
    assert_eq!((loaded.records, kept.lent()), (1, vec![name(1)]));
}

#[test]
fn what_a_crash_has_torn_is_cut_off_and_kept_beside() {
    let folder = folder();
    let (mut kept, _) = Kept::open(&folder);
    for number in 0..3 {
        assert_eq!(kept.add(number), Ok(Some(Stored::Safe)));
    }
    drop(kept);
    let records = SpoolDisk::folder(&folder).join("records");
    let whole = fs::read(&records).expect("it is there");
    let begun = line(3);
    for torn in [1, begun.len() / 2, begun.len() - 1] {
        fs::write(&records, [&whole[..], &begun[..torn]].concat()).expect("it can be written");
        let (mut kept, loaded) = Kept::open(&folder);
        assert_eq!(
            (loaded, kept.lent()),
            (Loaded { records: 3, damaged: 0 }, vec![name(0), name(1), name(2)])
        );
        assert_eq!(fs::read(&records).expect("it is there"), whole);
    }
    assert!(fs::metadata(records.with_file_name("records.damaged")).expect("it is kept").len() > 0);
}

#[test]
fn the_key_is_drawn_once_and_never_in_the_place_of_one_that_is_gone() {
    let folder = folder();
    let disk = SpoolDisk::claim(&folder).expect("nobody has it");
    let draw = |octets: &mut [u8; 32]| {
        octets.fill(7);
        Ok(())
    };
    let path = SpoolDisk::folder(&folder).join("key");
    disk.key(draw).expect("it is drawn");
    assert_eq!(fs::read(&path).expect("it is kept"), [7; 32]);
    assert_eq!(fs::metadata(&path).expect("it is kept").permissions().mode() & 0o777, 0o600);
    disk.key(|_| panic!("there is one")).expect("it is read");
    fs::write(&path, [1; 31]).expect("it can be written");
    let error = disk.key(draw).expect_err("it is too short").to_string();
    assert!(error.contains("no key of 32 octets"), "{error}");
    fs::remove_file(&path).expect("it is there");
    fs::write(path.with_file_name("records.old"), line(1)).expect("it can be written");
    let error = disk.key(draw).expect_err("a record needs the old one").to_string();
    assert!(error.contains("put it back"), "{error}");
}
