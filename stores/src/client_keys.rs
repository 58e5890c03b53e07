//! Which keys were clients, for the next start: a file of lines, `["branches","site-7"]`, a rule and a key each. A key that is no
//! UTF-8 stands there as hexadecimal digits, with `"hex"` behind it.
//!
//! No secret is in it, but who the clients are is: nobody but the owner reads it. Written anew beside itself, synced, and then
//! given its name, so that a crash leaves the one or the other.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::replace;

/// A rule's name and a key.
pub type ClientKey = (Arc<str>, Box<[u8]>);

/// The file's name in the state directory.
const NAME: &str = "client-keys.jsonl";
/// Far more than a million clients need.
const FILE_OCTETS_MAX: u64 = 1 << 30;

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Which keys were clients.
    pub keys: Vec<ClientKey>,
    /// Lines that say nothing that can be understood.
    pub damaged_lines: usize,
}

/// The file in a state directory.
#[derive(Debug, Clone)]
pub struct ClientKeys {
    path: PathBuf,
}

impl ClientKeys {
    /// In this directory, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn within(directory: &Path) -> io::Result<ClientKeys> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(ClientKeys { path: directory.join(NAME) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; none if nothing ever was. A line that is damaged is left out and counted: it only costs its client
    /// the time of a new one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self) -> io::Result<Kept> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() > FILE_OCTETS_MAX {
            return Err(io::Error::other(format!("it has more than {FILE_OCTETS_MAX} octets")));
        }
        let mut kept = Kept::default();
        for line in BufReader::new(file).split(b'\n') {
            match parse(&line?) {
                Some(key) => kept.keys.push(key),
                None => kept.damaged_lines += 1,
            }
        }
        Ok(kept)
    }

    /// Writes these, in the place of those before.
    ///
    /// # Errors
    /// When the disk is full, or fails; then those before stand there still.
    pub fn write(&self, keys: &[ClientKey]) -> io::Result<()> {
        replace(&self.path, |out| keys.iter().try_for_each(|key| writeln!(out, "{}", print(key))))
    }
}

fn print((rule, key): &ClientKey) -> String {
    let hex = || key.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    match std::str::from_utf8(key) {
        Ok(key) => serde_json::json!([&**rule, key]).to_string(),
        Err(_) => serde_json::json!([&**rule, hex(), "hex"]).to_string(),
    }
}

fn parse(line: &[u8]) -> Option<ClientKey> {
    let words: Vec<String> = serde_json::from_slice(line).ok()?;
    match &words[..] {
        [rule, key] => Some((Arc::from(&**rule), key.as_bytes().into())),
        [rule, key, form] if form == "hex" && key.is_ascii() => {
            let octets = key.as_bytes().chunks(2).map(|digits| {
                let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
                u8::from_str_radix(digits, 16).ok()
            });
            Some((Arc::from(&**rule), octets.collect::<Option<Vec<u8>>>()?.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("ulna-client-keys-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn keys() -> Vec<ClientKey> {
        [&b"site-7"[..], b"with \"quotes\" and \n", b"", b"\xff\x00", "Stra\u{df}e".as_bytes()]
            .map(|key| (Arc::from("branches"), Box::from(key)))
            .into()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = Folder::new("round");
        let file = ClientKeys::within(&folder.0.join("state")).expect("made");
        assert!(file.read().expect("none so far") == Kept::default());
        file.write(&keys()).expect("written");
        file.write(&keys()).expect("written again");
        assert_eq!(file.read().expect("read"), Kept { keys: keys(), damaged_lines: 0 });
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(file.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_line_costs_no_other() {
        let folder = Folder::new("damaged");
        let file = ClientKeys::within(&folder.0).expect("made");
        file.write(&keys()[..2]).expect("written");
        let mut text = fs::read(file.path()).expect("read");
        text.extend_from_slice(b"[\"branches\",\"si\n\xff\xff\n[\"a\",\"zz\",\"hex\"]\n[1]\n[\"branches\",\"late\"]\n[\"x\",\"abc\",\"hex\"]");
        fs::write(file.path(), text).expect("written");
        let Kept { keys: read, damaged_lines } = file.read().expect("read");
        assert_eq!(damaged_lines, 5);
        assert_eq!(read[..2], keys()[..2]);
        assert_eq!((read.len(), &*read[2].1), (3, &b"late"[..]));
    }

    #[test]
    fn a_disk_that_refuses_leaves_what_was_there() {
        let folder = Folder::new("refused");
        let file = ClientKeys::within(&folder.0).expect("made");
        file.write(&keys()[..1]).expect("written");
        // What is to be written beside it cannot be: a folder has that name.
        fs::create_dir(file.path().with_extension("new")).expect("made");
        assert!(file.write(&keys()).is_err());
        assert_eq!(file.read().expect("read").keys, keys()[..1]);
    }

    #[test]
    fn what_somebody_left_beside_it_is_not_written_to() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Folder::new("left");
        let file = ClientKeys::within(&folder.0).expect("made");
        let beside = file.path().with_extension("new");
        let of_others = folder.0.join("of-others");
        fs::write(&of_others, "theirs").expect("written");
        symlink(&of_others, &beside).expect("a link");
        file.write(&keys()).expect("written");
        assert_eq!(fs::read(&of_others).expect("read"), b"theirs");
        fs::write(&beside, "half").expect("written");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)).expect("ours");
        file.write(&keys()[..1]).expect("written");
        let mode = fs::metadata(file.path()).expect("it is there").permissions().mode();
        assert_eq!((mode & 0o777, file.read().expect("read").keys.len()), (0o600, 1));
    }
}
