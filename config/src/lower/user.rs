//! `[[user]]`.

use super::{Names, argon2, attributes, one_time_code};
use crate::document::Report;
use crate::keys;
use crate::secret_source;
use crate::section::{Section, kind};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::attributes::Preset;
use ulna_core::authenticate::mac::{DuplicateDevice, Mac};
use ulna_core::authenticate::nt_hash::{NT_HASH_OCTETS, NtHash};
use ulna_core::authenticate::users::{Credential, User};
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// Users, each with its name, and devices, each with its hardware address: none stands there twice.
type Known = (Vec<(Box<[u8]>, User)>, Vec<(Mac, Preset)>);

/// Those of which everything is right.
pub fn users(file: &Section<'_>, dictionary: &Dictionary, report: &mut Report) -> Known {
    let mut users = Vec::new();
    let mut names = Names::default();
    let (mut devices, mut there) = (Vec::new(), BTreeSet::new());
    for section in &file.tables("user", &keys::USER, report) {
        if section.value("mac").is_some() {
            let macs = macs(section, report);
            let reply = attributes::preset(section, "reply", dictionary, report);
            for (mac, place) in macs {
                if there.insert(mac) {
                    report.source.device(mac);
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
        let one_time_code = one_time_code::one_time_code(section, report);
        let reply = attributes::preset(section, "reply", dictionary, report);
        if let (Some(name), true, Some(credential)) = (name, unique, credential) {
            report.source.user(name.get_ref().as_bytes());
            users.push((name.get_ref().as_bytes().into(), User { credential, one_time_code, reply }));
        }
    }
    (users, devices)
}

/// The addresses of one kind of device, each with its place.
fn macs(section: &Section<'_>, report: &mut Report) -> Vec<(Mac, Range<usize>)> {
    for key in ["name", "password", "one_time_code"] {
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
    if let DeValue::Table(table) = value.get_ref()
        && let (Some((key, digest)), 1) = (table.iter().next(), table.len())
        && let name @ ("argon2" | "nt_hash") = &**key.get_ref()
    {
        return hashed(name, &key.span(), digest, report);
    }
    let expected = format!(
        "{} of 1 to {OCTETS_MAX} octets, {{ nt_hash = \"…\" }} or {{ argon2 = \"$argon2id$…\" }}",
        secret_source::EXPECTED
    );
    let octets = secret_source::read("password", &expected, value, &place, &[], report)?;
    // RFC 2865 §5.2: User-Password holds at most 128 octets, and an empty one would let everybody in.
    if !(1..=OCTETS_MAX).contains(&octets.len()) {
        let found = if octets.is_empty() { "none" } else { "more" };
        report.error(place, format!("`password` must be {expected}, found {found}"));
        return None;
    }
    Some(Credential::Clear(Zeroizing::new(octets.as_slice().into())))
}

/// A password of which a digest is known.
fn hashed(
    name: &str,
    key: &Range<usize>,
    digest: &Spanned<DeValue<'_>>,
    report: &mut Report,
) -> Option<Credential> {
    let Some(text) = digest.get_ref().as_str() else {
        let found = kind(digest.get_ref());
        report.error(key.clone(), format!("`{name}` must be a text, found {found}"));
        return None;
    };
    let hash = if name == "nt_hash" {
        nt_hash(text).map(Credential::NtHash).ok_or("`nt_hash` must be 32 hexadecimal digits".into())
    } else {
        let hash = argon2::parse(text).map(|hash| Credential::Argon2(Arc::new(hash)));
        hash.map_err(|error| format!("the digest {error}"))
    };
    hash.map_err(|message| report.error(digest.span(), message)).ok()
}

/// From hexadecimal digits of either case.
fn nt_hash(text: &str) -> Option<NtHash> {
    let is_right = text.len() == 2 * NT_HASH_OCTETS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let hash = u128::from_str_radix(text, 16).ok().filter(|_| is_right)?;
    Some(NtHash::new(hash.to_be_bytes()))
}

const OCTETS_MAX: usize = 128;
