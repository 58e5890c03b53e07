//! The disk that records are stored on: what file system it has, and how long one sync of it takes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// What `/proc/mounts` says of the file system that a folder lies on: its type, and where it is mounted.
///
/// # Errors
/// When there is no such folder, or the kernel does not tell.
pub fn file_system(folder: &Path) -> io::Result<(String, String)> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let fields = mounts.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    // Of those mounted at one place the last is seen.
    let nearest = holding.max_by_key(|fields| fields[1].len()).ok_or(io::ErrorKind::NotFound)?;
    Ok((nearest[2].to_owned(), nearest[1].to_owned()))
}

/// Appends so many octets to a file of its own in this folder and syncs them (`fdatasync`), over and over. Gives how long
/// each took, write and sync, shortest first.
///
/// # Errors
/// The disk's.
pub fn sync_times(folder: &Path, octets: usize, span: Duration) -> io::Result<Vec<Duration>> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let octets = vec![b'x'; octets];
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < span {
        let before = Instant::now();
        file.write_all(&octets)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_a_file_system_and_can_be_synced() {
        assert_eq!(
            file_system(Path::new("/proc/self")).expect("it is mounted"),
            ("proc".into(), "/proc".into())
        );
        let folder = std::env::temp_dir().join(format!("ulna-disk-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder of its own");
        let times = sync_times(&folder, 100, Duration::from_millis(20)).expect("it takes 100 octets");
        assert!(times.first().is_some_and(|time| !time.is_zero()) && times.is_sorted());
        fs::remove_dir(&folder).expect("nothing is left in it");
    }
}
