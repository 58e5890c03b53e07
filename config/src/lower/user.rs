//! `[[user]]`.

use super::{Names, attributes};
use crate::document::Report;
use crate::keys;
use crate::secret_source;
use crate::section::Section;
use ulna_core::authenticate::users::User;
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// Each with its name.
type Named = (Box<[u8]>, User);

/// Those whose names and passwords are right; no two have one name.
pub fn users(file: &Section<'_>, dictionary: &Dictionary, report: &mut Report) -> Vec<Named> {
    let mut users = Vec::new();
    let mut names = Names::default();
    for section in &file.tables("user", &keys::USER, report) {
        let name = section.name("name", report);
        let unique = name.as_ref().is_some_and(|name| names.add("user", name, report));
        let password = password(section, report);
        let reply = attributes::preset(section, "reply", dictionary, report);
        if let (Some(name), true, Some(password)) = (name, unique, password) {
            users.push((name.get_ref().as_bytes().into(), User { password, reply }));
        }
    }
    users
}

fn password(section: &Section<'_>, report: &mut Report) -> Option<Zeroizing<Box<[u8]>>> {
    let Some(value) = section.value("password") else {
        section.missing("password", report);
        return None;
    };
    let place = section.key_span("password").unwrap_or(value.span());
    let expected = format!("{} of 1 to {OCTETS_MAX} octets", secret_source::EXPECTED);
    let octets = secret_source::read("password", &expected, value, &place, keys::PASSWORD, report)?;
    // RFC 2865 §5.2: User-Password holds at most 128 octets, and an empty one would let everybody in.
    if !(1..=OCTETS_MAX).contains(&octets.len()) {
        let found = if octets.is_empty() { "none" } else { "more" };
        report.error(place, format!("`password` must be {expected}, found {found}"));
        return None;
    }
    Some(Zeroizing::new(octets.as_slice().into()))
}

const OCTETS_MAX: usize = 128;
