//! What holds of accounting that is answered first and sent on later, seen by NASes, remote servers and whoever reads the files.
//! RFC 2866 §4.1 and §5.2.

use super::invariants;
use crate::oracle::codec::{Packet, kind};
use std::collections::{BTreeMap, BTreeSet};

invariants! {
    SPOOLED_IS_KEPT = "spooled-is-kept", "A record that was answered by way of the spool has reached its remote server, or is on the disk still.";
    SPOOLED_ARRIVES = "spooled-arrives", "When all that fails has stopped failing every record that was answered reaches its remote server.";
    DELAY_IS_TOLD = "delay-is-told", "Each transmission of a record says for how long it has been on its way, to the second.";
}

/// Sessions of which the files have a record that has not been answered, read by somebody who knows nothing of their making.
pub fn kept<'f>(files: impl IntoIterator<Item = &'f [u8]>) -> BTreeSet<String> {
    let (mut records, mut answered) = (BTreeMap::new(), BTreeSet::new());
    for line in files.into_iter().flat_map(|file| file.split_inclusive(|octet| *octet == b'\n')) {
        let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        let Some::<serde_json::Value>(object) = whole else { continue };
        let octets = |key: &str| octets(object.get(key)?.as_str()?);
        if let Some(name) = octets("answered") {
            answered.insert(name);
        } else if let Some(packet) = octets("packet") {
            let read = Packet::read(&packet).expect("what is kept is a packet");
            let session = session(&read).expect("all NASes here say which session it is");
            records.insert(read.authenticator().to_vec(), session);
        }
    }
    records.retain(|name, _| !answered.contains(name));
    records.into_values().collect()
}

/// The session of a record.
pub fn session(packet: &Packet<'_>) -> Option<String> {
    let value = packet.all(kind::ACCT_SESSION_ID).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// For how long it has been on its way, as it says.
pub fn delay(packet: &Packet<'_>) -> Option<u64> {
    let value = packet.all(kind::ACCT_DELAY_TIME).next()?;
    Some(u64::from(u32::from_be_bytes(value.try_into().ok()?)))
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
