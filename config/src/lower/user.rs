//! `[[user]]`.

use super::{Names, attributes};
use crate::document::Report;
use crate::keys;
use crate::section::{Section, kind};
use toml::de::DeValue;
use ulna_core::Seed;
use ulna_core::authenticate::users::{User, Users};
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// `None` when a name stands there twice, which has been reported.
pub fn users(file: &Section<'_>, dictionary: &Dictionary, seed: &Seed, report: &mut Report) -> Option<Users> {
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
    Users::new(users, seed).ok()
}

fn password(section: &Section<'_>, report: &mut Report) -> Option<Zeroizing<Box<[u8]>>> {
    let Some(value) = section.value("password") else {
        section.missing("password", report);
        return None;
    };
    let place = section.key_span("password").unwrap_or(value.span());
    match value.get_ref() {
        // RFC 2865 §5.2: User-Password holds at most 128 octets, and an empty one would let everybody in.
        DeValue::String(text) if (1..=128).contains(&text.len()) => {
            return Some(Zeroizing::new(text.as_bytes().into()));
        }
        DeValue::Table(table)
            if !table.is_empty() && table.keys().all(|key| keys::PASSWORD.contains(&&**key.get_ref())) =>
        {
            report.error(place, "a `password` that is not a text is not built yet".into());
        }
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_)) => {
            report
                .error(place, format!("`password` must be a text of 1 to 128 octets, found {}", kind(other)));
        }
    }
    None
}
