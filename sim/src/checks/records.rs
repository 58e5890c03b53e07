//! What holds of accounting records, seen by NASes and by whoever reads the files. RFC 2866 §4.1.

use super::invariants;
use std::collections::BTreeMap;

invariants! {
    ACKNOWLEDGED_IS_SAFE = "acknowledged-is-safe", "A record that was acknowledged survives any crash from then on.";
    NO_TORN_LINE = "no-torn-line", "After each start every line of the file is a whole record.";
    ONE_DIGEST = "one-digest", "A record that is there twice has the same digest, and no other record has it.";
    STORED_IN_THE_END = "stored-in-the-end", "When disks and processes have stopped failing every record is acknowledged.";
    STORED_BEFORE_IT_GOES_ON = "stored-before-it-goes-on", "A record that is stored and forwarded goes on only when it is safe.";
    ANSWERS_VERIFY = "answers-verify", "Each Accounting-Response verifies and has the Identifier of a request.";
}

/// A whole line as somebody reads it who knows nothing of its making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Acct-Session-Id as it is written.
    pub session: String,
    /// Which event it is.
    pub digest: String,
}

impl Record {
    /// The whole lines of a file.
    pub fn all(file: &[u8]) -> impl Iterator<Item = Record> {
        file.split_inclusive(|octet| *octet == b'\n').filter_map(Record::read)
    }

    fn read(line: &[u8]) -> Option<Record> {
        let object: serde_json::Value = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
        let text = |key: &str| object.get(key)?.as_str().map(str::to_owned);
        Some(Record { session: text("Acct-Session-Id")?, digest: text("digest")? })
    }

    /// How an Acct-Session-Id is written.
    pub fn session_of(value: &[u8]) -> String {
        std::str::from_utf8(value).map_or_else(
            |_| value.iter().fold("0x".to_owned(), |text, octet| format!("{text}{octet:02x}")),
            str::to_owned,
        )
    }
}

/// A line of a file that is no whole record, if there is one.
pub fn torn_line(file: &[u8]) -> Option<String> {
    let mut lines = file.split_inclusive(|octet| *octet == b'\n');
    let torn = lines.find(|line| Record::read(line).is_none())?;
    Some(String::from_utf8_lossy(torn).into_owned())
}

/// A session that is there with two digests, or whose digest another has, if there is one.
pub fn twins(records: &[Record]) -> Option<String> {
    let (mut of_session, mut of_digest) = (BTreeMap::new(), BTreeMap::new());
    let is_twin = |Record { session, digest }: &Record| {
        of_session.insert(session.clone(), digest.clone()).is_some_and(|other| other != *digest)
            || of_digest.insert(digest.clone(), session.clone()).is_some_and(|other| other != *session)
    };
    let place = records.iter().position(is_twin)?;
    Some(records[place].session.clone())
}
