//! Secrets and passwords: in the text itself, in a file of their own, or in the environment. What they are stands in no
//! message; where they were looked for does.

use std::fs;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::document::Report;
use crate::keys;
use crate::section::kind;
use crate::shown;

/// Far more than anybody types, far less than a file that was meant for something else.
const FILE_OCTETS_MAX: u64 = 4_096;

/// What one of these keys may be, for messages.
pub const EXPECTED: &str = "a text, { file = \"…\" } or { env = \"…\" }";

/// The octets that `value` says or leads to; `None` if that was reported, at `place`. `later` are keys of forms that are
/// promised.
pub fn read(
    key: &str,
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    place: &Range<usize>,
    later: &[&str],
    report: &mut Report,
) -> Option<Zeroizing<Vec<u8>>> {
    let table = match value.get_ref() {
        DeValue::String(text) => return Some(Zeroizing::new(text.as_bytes().to_vec())),
        DeValue::Table(table) => table,
        other @ (DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)) => {
            report.error(place.clone(), format!("`{key}` must be {expected}, found {}", kind(other)));
            return None;
        }
    };
    let is_later = |name: &str| later.contains(&name);
    if !table.is_empty() && table.keys().all(|name| is_later(name.get_ref())) {
        report.error(place.clone(), format!("this form of `{key}` is not built yet"));
        return None;
    }
    let found = match only_text(table) {
        Some(("file", path)) => from_file(key, path, place, report),
        Some(("env", name)) => from_environment(key, name),
        Some(_) | None => {
            // A key that nobody knows may be the secret: only what was probably meant is shown.
            let names = table.keys().map(|name| &**name.get_ref());
            let meant = names
                .filter(|name| !keys::SECRET.contains(name))
                .find_map(|name| ulna_core::dictionary::nearest(name, keys::SECRET.iter().copied()));
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            Err(format!("`{key}` must be {expected}, found another table{meant}"))
        }
    };
    match found {
        Ok(octets) => {
            report.mix(&octets);
            Some(octets)
        }
        Err(message) => {
            report.error(place.clone(), message);
            None
        }
    }
}

/// The one key of a table, and its text.
fn only_text<'t>(table: &'t DeTable<'_>) -> Option<(&'t str, &'t str)> {
    let mut entries = table.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else { return None };
    let text = value.get_ref().as_str().filter(|text| !text.is_empty() && !text.contains('\0'))?;
    Some((name.get_ref(), text))
}

fn from_file(
    key: &str,
    path: &str,
    place: &Range<usize>,
    report: &mut Report,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let path = report.path(place, path);
    let shown = shown::path(&path);
    let failed =
        |error: std::io::Error| format!("the file `{shown}` of this `{key}` cannot be read: {error}");
    let metadata = fs::metadata(&path).map_err(failed)?;
    // Nobody knows when a pipe ends.
    if !metadata.is_file() {
        return Err(format!("`{shown}`, where this `{key}` should be, is no file"));
    }
    if metadata.len() > FILE_OCTETS_MAX {
        return Err(format!("the file `{shown}` of this `{key}` has more than {FILE_OCTETS_MAX} octets"));
    }
    let mut octets = Zeroizing::new(fs::read(&path).map_err(failed)?);
    // Editors end the last line; it is no part of the secret.
    let ending = [b"\r\n".as_slice(), b"\n"].into_iter().find(|ending| octets.ends_with(ending));
    let length = octets.len() - ending.map_or(0, <[u8]>::len);
    octets.truncate(length);
    if octets.is_empty() {
        return Err(format!("the file `{shown}` of this `{key}` is empty"));
    }
    if is_readable_by_all(&metadata) {
        report.readable_by_all(place.clone(), path);
    }
    Ok(octets)
}

fn from_environment(key: &str, name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = shown::text(name);
    match std::env::var_os(name) {
        None => Err(format!("the environment has no variable `{shown}` for this `{key}`")),
        Some(value) if value.is_empty() => {
            Err(format!("the environment's variable `{shown}` for this `{key}` is empty"))
        }
        Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
    }
}

#[cfg(unix)]
fn is_readable_by_all(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_readable_by_all(_: &fs::Metadata) -> bool {
    false
}
