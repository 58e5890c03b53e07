//! Core's `RecordFile` over a real disk: repair, rotation, a full disk, two servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ulna_core::Instant;
use ulna_core::accounting::{Line, Lines, Operation, RecordFile, Rotation, Stored, Troubled, crc32};
use ulna_core::time::UnixTime;
use ulna_stores::file::FileDisk;

const NOW: Instant = Instant::ORIGIN;
const TIME: UnixTime = UnixTime(1_795_440_802);
const NO_ROTATION: Rotation = Rotation { octets: None, every: None };

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stores-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}

fn line(number: u32) -> Vec<u8> {
    let content = format!("{{\"number\":{number}");
    format!("{content},\"check\":\"{:08x}\"}}\n", crc32(content.as_bytes())).into_bytes()
}

/// Does all that the file asks for, and says what was asked.
fn drive(file: &mut RecordFile, disk: &mut FileDisk, now: Instant, time: UnixTime) -> Vec<&'static str> {
    let mut asked = Vec::new();
    while let Some(operation) = file.poll_operation(time) {
        asked.push(match operation {
            Operation::Open => "open",
            Operation::Read { .. } => "read",
            Operation::Keep(_) => "keep",
            Operation::Truncate(_) => "truncate",
            Operation::Append(_) => "append",
            Operation::Sync => "sync",
            Operation::SetAside(_) => "set aside",
        });
        let performed = disk.perform(operation).map_err(|_| Troubled);
        file.handle_performed(performed, now, time);
    }
    asked
}

fn opened(path: &Path, rotation: Rotation) -> (RecordFile, FileDisk) {
    let mut disk = FileDisk::claim(path).expect("nobody has it");
    let mut file = RecordFile::new(rotation);
    drive(&mut file, &mut disk, NOW, TIME);
    assert!(file.is_ready());
    (file, disk)
}

fn store(file: &mut RecordFile, disk: &mut FileDisk, numbers: &[u32], time: UnixTime) -> Option<Stored> {
    for number in numbers {
        file.add(&line(*number)).expect("there is room");
    }
    file.store(NOW, time);
    drive(file, disk, NOW, time);
    file.poll_stored()
}

fn lines(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| line(*number)).collect()
}

/// Names in the folder, without that of the lock.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().expect("it has one")).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it is there").file_name().into_string().expect("ASCII")).collect();
    names.retain(|name| !name.ends_with(".lock"));
    names.sort();
    names
}

#[test]
fn groups_stand_one_behind_the_other_and_only_owner_and_group_may_read() {
    let path = folder().join("records.jsonl");
    let (mut file, mut disk) = opened(&path, NO_ROTATION);
    assert_eq!(store(&mut file, &mut disk, &[1, 2], TIME), Some(Stored::Safe));
    assert_eq!(store(&mut file, &mut disk, &[3], TIME), Some(Stored::Safe));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[1, 2, 3]));
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o640);
    // A second server finds it claimed; a third, after the first has gone, goes on behind what is there.
    let refused = FileDisk::claim(&path).expect_err("it is claimed");
    assert!(refused.to_string().contains("another server writes"), "{refused}");
    drop(disk);
    let (mut file, mut disk) = opened(&path, NO_ROTATION);
    assert_eq!(store(&mut file, &mut disk, &[4], TIME), Some(Stored::Safe));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[1, 2, 3, 4]));
}

#[test]
fn a_line_torn_at_any_octet_is_cut_off_and_kept_beside() {
    let whole = lines(&[1, 2]);
    let last = line(3);
    for end in 1..last.len() {
        let path = folder().join("records.jsonl");
        fs::write(&path, [&whole, &last[..end]].concat()).expect("it can be written");
        let (mut file, mut disk) = opened(&path, NO_ROTATION);
        assert_eq!(fs::read(&path).expect("it is there"), whole, "{end}");
        let kept = fs::read(path.with_file_name("records.jsonl.damaged")).expect("it is kept");
        assert_eq!(kept, [&last[..end], b"\n"].concat());
        assert_eq!(store(&mut file, &mut disk, &[4], TIME), Some(Stored::Safe));
        assert_eq!(fs::read(&path).expect("it is there"), lines(&[1, 2, 4]));
    }
}

#[test]
fn whole_lines_behind_a_hole_are_not_lost() {
    let path = folder().join("records.jsonl");
    fs::write(&path, [&lines(&[1])[..], &[0; 100], b"\n", &lines(&[3, 4])].concat()).expect("written");
    opened(&path, NO_ROTATION);
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[1, 3, 4]));
}

#[test]
fn the_end_of_a_long_file_is_repaired_without_reading_its_beginning() {
    let path = folder().join("records.jsonl");
    let whole: Vec<u8> = (0..200_000).flat_map(line).collect();
    assert!(whole.len() > ulna_core::accounting::TAIL_OCTETS_MAX);
    fs::write(&path, [&whole[..], b"{\"torn"].concat()).expect("it can be written");
    opened(&path, NO_ROTATION);
    let octets = fs::read(&path).expect("it is there");
    assert_eq!(octets.len(), whole.len());
    assert!(Lines::of(&octets).all(|line| matches!(line, Line::Whole(_))));
}

#[test]
fn a_file_that_is_long_enough_is_set_aside() {
    let path = folder().join("records.jsonl");
    let rotation = Rotation { octets: Some(line(1).len() as u64 * 2), every: None };
    let (mut file, mut disk) = opened(&path, rotation);
    for number in 1..=5 {
        assert_eq!(store(&mut file, &mut disk, &[number], TIME), Some(Stored::Safe));
    }
    let aside = |more: &str| path.with_file_name(format!("records.jsonl.2026-11-23T13-33-22Z{more}"));
    assert_eq!(fs::read(aside("")).expect("it is there"), lines(&[1, 2]));
    assert_eq!(fs::read(aside(".1")).expect("it is there"), lines(&[3, 4]));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[5]));
}

#[test]
fn a_file_is_set_aside_when_its_hour_is_over_also_one_from_before_a_start() {
    let path = folder().join("records.jsonl");
    let rotation = Rotation { octets: None, every: Some(Duration::from_secs(3_600)) };
    let (mut file, mut disk) = opened(&path, rotation);
    let hour = |hours: u64| UnixTime(TIME.0 / 3_600 * 3_600 + 3_600 * hours);
    assert_eq!(store(&mut file, &mut disk, &[1], hour(0)), Some(Stored::Safe));
    assert_eq!(store(&mut file, &mut disk, &[2], UnixTime(hour(1).0 - 1)), Some(Stored::Safe));
    assert_eq!(store(&mut file, &mut disk, &[3], hour(1)), Some(Stored::Safe));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[3]));
    assert_eq!(names(&path).len(), 2);
    drop(disk);
    // Its time is that of its last writing by the system's clock; far in the future the hour is over for certain.
    let (mut file, mut disk) = opened(&path, rotation);
    assert_eq!(store(&mut file, &mut disk, &[4], UnixTime(1 << 40)), Some(Stored::Safe));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[4]));
    assert_eq!(names(&path).len(), 3);
}

#[test]
fn a_new_file_is_begun_when_asked_also_where_somebody_has_moved_the_old_one() {
    let path = folder().join("records.jsonl");
    let (mut file, mut disk) = opened(&path, NO_ROTATION);
    assert_eq!(store(&mut file, &mut disk, &[1], TIME), Some(Stored::Safe));
    file.ask_for_new_file();
    file.handle_timeout(NOW, TIME);
    drive(&mut file, &mut disk, NOW, TIME);
    assert_eq!(names(&path), ["records.jsonl", "records.jsonl.2026-11-23T13-33-22Z"]);
    assert_eq!(store(&mut file, &mut disk, &[2], TIME), Some(Stored::Safe));
    let moved = path.with_file_name("records.jsonl.moved");
    fs::rename(&path, &moved).expect("it can be moved");
    // Until it is asked for a new one it goes on in the old one.
    assert_eq!(store(&mut file, &mut disk, &[3], TIME), Some(Stored::Safe));
    file.ask_for_new_file();
    assert_eq!(store(&mut file, &mut disk, &[4], TIME), Some(Stored::Safe));
    assert_eq!(fs::read(&moved).expect("it is there"), lines(&[2, 3]));
    assert_eq!(fs::read(&path).expect("it is there"), lines(&[4]));
    assert_eq!(names(&path).len(), 3);
    // An empty one is not worth a name.
    file.ask_for_new_file();
    file.handle_timeout(NOW, TIME);
    file.ask_for_new_file();
    drive(&mut file, &mut disk, NOW, UnixTime(TIME.0 + 1));
    file.ask_for_new_file();
    file.handle_timeout(NOW, TIME);
    drive(&mut file, &mut disk, NOW, UnixTime(TIME.0 + 2));
    assert_eq!(names(&path).len(), 4);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let path = folder().join("records.jsonl");
    std::os::unix::fs::symlink("/dev/null", &path).expect("it can be made");
    let mut disk = FileDisk::claim(&path).expect("nobody has it");
    let refused = disk.perform(Operation::Open).expect_err("nothing is kept there");
    assert!(refused.to_string().contains("no regular file"), "{refused}");
    let missing = FileDisk::claim(Path::new("/nowhere/at/all")).expect_err("there is no such folder");
    assert!(missing.to_string().contains("/nowhere/at/all.lock"), "{missing}");
}
