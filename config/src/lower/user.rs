//! `[[user]]`.

use super::{Names, argon2, attributes};
use crate::document::Report;
use crate::keys;
use crate::section::{Section, kind};
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use ulna_core::Seed;
use ulna_core::authenticate::users::{Credential, User, Users};
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// `None` when a name stands there twice, which has been reported.
pub fn users(file: &Section<'_>, dictionary: &Dictionary, seed: &Seed, report: &mut Report) -> Option<Users> {
    let mut users = Vec::new();
    let mut names = Names::default();
    for section in &file.tables("user", &keys::USER, report) {
        let name = section.name("name", report);
        let unique = name.as_ref().is_some_and(|name| names.add("user", name, report));
        let credential = credential(section, report);
        let reply = attributes::preset(section, "reply", dictionary, report);
        if let (Some(name), true, Some(credential)) = (name, unique, credential) {
            users.push((name.get_ref().as_bytes().into(), User { credential, reply }));
        }
    }
    Users::new(users, seed).ok()
}

fn credential(section: &Section<'_>, report: &mut Report) -> Option<Credential> {
    let Some(value) = section.value("password") else {
        section.missing("password", report);
        return None;
    };
    let place = section.key_span("password").unwrap_or(value.span());
    match value.get_ref() {
        // RFC 2865 §5.2: User-Password holds at most 128 octets, and an empty one would let everybody in.
        DeValue::String(text) if (1..=128).contains(&text.len()) => {
            return Some(Credential::Clear(Zeroizing::new(text.as_bytes().into())));
        }
        DeValue::Table(table) => return hashed(table, place, report),
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)) => {
            let found = kind(other);
            let expected = "a text of 1 to 128 octets or { argon2 = \"$argon2id$…\" }";
            report.error(place, format!("`password` must be {expected}, found {found}"));
        }
    }
    None
}

/// A password of which a digest is known.
fn hashed(table: &DeTable<'_>, place: Range<usize>, report: &mut Report) -> Option<Credential> {
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        report.error(place, "`password` must have one of the keys `argon2`".into());
        return None;
    };
    match (&**key.get_ref(), value.get_ref().as_str()) {
        ("argon2", Some(text)) => match argon2::parse(text) {
            Ok(hash) => return Some(Credential::Argon2(Arc::new(hash))),
            Err(error) => report.error(value.span(), format!("the digest {error}")),
        },
        ("argon2", None) => {
            let found = kind(value.get_ref());
            report.error(key.span(), format!("`argon2` must be a text, found {found}"));
        }
        (name, _) if keys::PASSWORD_LATER.contains(&name) => {
            report.error(key.span(), format!("`{name}` is not built yet"));
        }
        (name, _) => {
            let name = name.escape_debug();
            report.error(key.span(), format!("unknown key `{name}` in `password`, expected `argon2`"));
        }
    }
    None
}
