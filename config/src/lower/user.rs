//! `[[user]]`.

use super::{Names, argon2, attributes};
use crate::document::Report;
use crate::keys;
use crate::section::{Section, kind};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use ulna_core::Seed;
use ulna_core::authenticate::mac::{Devices, DuplicateDevice, Mac};
use ulna_core::authenticate::nt_hash::{NT_HASH_OCTETS, NtHash};
use ulna_core::authenticate::users::{Credential, User, Users};
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// Users by name and devices by hardware address: none is both. `None` when one stands there twice, which has been reported.
pub fn users(
    file: &Section<'_>,
    dictionary: &Dictionary,
    seed: &Seed,
    report: &mut Report,
) -> (Option<Users>, Option<Devices>) {
    let mut users = Vec::new();
    let mut names = Names::default();
    let (mut devices, mut there) = (Vec::new(), BTreeSet::new());
    for section in &file.tables("user", &keys::USER, report) {
        if section.value("mac").is_some() {
            let macs = macs(section, report);
            let reply = attributes::preset(section, "reply", dictionary, report);
            for (mac, place) in macs {
                if there.insert(mac) {
                    devices.push((mac, reply.clone()));
                } else {
                    report.error(place, DuplicateDevice(mac).to_string());
                }
            }
            continue;
        }
        let name = section.name("name", report);
        let unique = name.as_ref().is_some_and(|name| names.add("user", name, report));
        let credential = credential(section, report);
        let reply = attributes::preset(section, "reply", dictionary, report);
        if let (Some(name), true, Some(credential)) = (name, unique, credential) {
            users.push((name.get_ref().as_bytes().into(), User { credential, reply }));
        }
    }
    (Users::new(users, seed).ok(), Devices::new(devices, seed).ok())
}

/// The addresses of one kind of device, each with its place.
fn macs(section: &Section<'_>, report: &mut Report) -> Vec<(Mac, Range<usize>)> {
    for key in ["name", "password"] {
        if let Some(place) = section.key_span(key) {
            report.error(place, format!("a device has no `{key}`: it is known by its `mac`"));
        }
    }
    let expected = "a hardware address such as \"00-11-22-33-44-55\", or an array of them";
    let mut macs = Vec::new();
    for value in section.items("mac", expected, report) {
        match value.get_ref().as_str().and_then(|text| Mac::parse(text.as_bytes())) {
            Some(mac) => macs.push((mac, value.span())),
            None => section.refuse("mac", expected, value, report),
        }
    }
    macs
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
            let expected = "a text of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }";
            report.error(place, format!("`password` must be {expected}, found {found}"));
        }
    }
    None
}

/// A password of which a digest is known.
fn hashed(table: &DeTable<'_>, place: Range<usize>, report: &mut Report) -> Option<Credential> {
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        report.error(place, "`password` must have one of the keys `nt_hash`, `argon2`".into());
        return None;
    };
    match (&**key.get_ref(), value.get_ref().as_str()) {
        ("argon2", Some(text)) => match argon2::parse(text) {
            Ok(hash) => return Some(Credential::Argon2(Arc::new(hash))),
            Err(error) => report.error(value.span(), format!("the digest {error}")),
        },
        ("nt_hash", Some(text)) => match nt_hash(text) {
            Some(hash) => return Some(Credential::NtHash(hash)),
            None => report.error(value.span(), "`nt_hash` must be 32 hexadecimal digits".into()),
        },
        (name @ ("argon2" | "nt_hash"), None) => {
            let found = kind(value.get_ref());
            report.error(key.span(), format!("`{name}` must be a text, found {found}"));
        }
        (name, _) => {
            let name = name.escape_debug();
            let message = format!("unknown key `{name}` in `password`, expected `nt_hash`, `argon2`");
            report.error(key.span(), message);
        }
    }
    None
}

/// From hexadecimal digits of either case.
fn nt_hash(text: &str) -> Option<NtHash> {
    let is_right = text.len() == 2 * NT_HASH_OCTETS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let hash = u128::from_str_radix(text, 16).ok().filter(|_| is_right)?;
    Some(NtHash::new(hash.to_be_bytes()))
}
