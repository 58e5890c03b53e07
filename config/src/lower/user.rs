//! `[[user]]`.

use super::{Names, argon2, attributes};
use crate::document::Report;
use crate::keys;
use crate::secret_source;
use crate::section::{Section, kind};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::authenticate::users::{Credential, User};
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
        let credential = credential(section, report);
        let reply = attributes::preset(section, "reply", dictionary, report);
        if let (Some(name), true, Some(credential)) = (name, unique, credential) {
            users.push((name.get_ref().as_bytes().into(), User { credential, reply }));
        }
    }
    users
}

fn credential(section: &Section<'_>, report: &mut Report) -> Option<Credential> {
    let Some(value) = section.value("password") else {
        section.missing("password", report);
        return None;
    };
    let place = section.key_span("password").unwrap_or(value.span());
    if let DeValue::Table(table) = value.get_ref()
        && let Some((key, digest)) = table.get_key_value("argon2").filter(|_| table.len() == 1)
    {
        return hashed(&key.span(), digest, report);
    }
    let expected =
        format!("{} of 1 to {OCTETS_MAX} octets, or {{ argon2 = \"$argon2id$…\" }}", secret_source::EXPECTED);
    let octets = secret_source::read("password", &expected, value, &place, keys::PASSWORD_LATER, report)?;
    // RFC 2865 §5.2: User-Password holds at most 128 octets, and an empty one would let everybody in.
    if !(1..=OCTETS_MAX).contains(&octets.len()) {
        let found = if octets.is_empty() { "none" } else { "more" };
        report.error(place, format!("`password` must be {expected}, found {found}"));
        return None;
    }
    Some(Credential::Clear(Zeroizing::new(octets.as_slice().into())))
}

/// A password of which a digest is known.
fn hashed(key: &Range<usize>, digest: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Credential> {
    let Some(text) = digest.get_ref().as_str() else {
        let found = kind(digest.get_ref());
        report.error(key.clone(), format!("`argon2` must be a text, found {found}"));
        return None;
    };
    match argon2::parse(text) {
        Ok(hash) => return Some(Credential::Argon2(Arc::new(hash))),
        Err(error) => report.error(digest.span(), format!("the digest {error}")),
    }
    None
}

const OCTETS_MAX: usize = 128;
