//! Tables of attributes, `{ Session-Timeout = 3600 }`, made ready for packets.

use crate::document::Report;
use crate::section::{Section, found, integer, kind};
use crate::shown;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::attributes::text::{self, Assignment, Named, TextFault};
use ulna_core::attributes::{Preset, WriteError};
use ulna_core::configuration::REPLY_OCTETS_MAX;
use ulna_core::dictionary::{Dictionary, Literal, encode_value, hexadecimal};
use ulna_core::policy::is_ours;

/// The attributes under `key`, in the order of the text; an array stands for several of one name.
pub fn preset(section: &Section<'_>, key: &str, dictionary: &Dictionary, report: &mut Report) -> Preset {
    let Some(value) = section.value(key) else { return Preset::default() };
    let DeValue::Table(table) = value.get_ref() else {
        section.refuse(key, "a table such as { Session-Timeout = 3600 }", value, report);
        return Preset::default();
    };
    let mut assignments = Vec::new();
    for (name, value) in in_order(table) {
        let Some(named) = named(name, &shown::key(name), value, dictionary, report)
            .filter(|named| may_change(name, value, named, report))
        else {
            continue;
        };
        // A message about its neighbour shows the line up to there.
        if dictionary.at(&named.oid).is_some_and(|attribute| attribute.encrypted()) {
            report.mask(value);
        }
        let mut add = |value: &Spanned<DeValue<'_>>| {
            if let Some(octets) = octets_of(name.get_ref(), &named, value, report) {
                let Named { oid, attribute, tag } = named;
                let offset = value.span().start;
                assignments.push(Assignment { oid, attribute, tag, value: octets, apart: false, offset });
            }
        };
        match value.get_ref() {
            DeValue::Array(values) if !values.is_empty() => values.iter().for_each(add),
            DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => add(value),
        }
    }
    match Preset::new(dictionary, assignments) {
        Ok(preset) if preset.octets() <= REPLY_OCTETS_MAX => return preset,
        Err(error) if !matches!(error.fault, TextFault::Write(WriteError::PacketFull { .. })) => {
            report.error(error.offset..error.offset + 1, error.fault.to_string());
        }
        Ok(_) | Err(_) => {
            let place = section.key_span(key).unwrap_or(value.span());
            let message = format!(
                "`{key}` has more than {REPLY_OCTETS_MAX} octets of attributes, for which a packet has room"
            );
            report.error(place, message);
        }
    }
    Preset::default()
}

/// The parser sorts keys by name; on the wire they go, and are read, as they are written.
pub fn in_order<'t, 'd>(
    table: &'t DeTable<'d>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'d, str>>, &'t Spanned<DeValue<'d>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Which attribute this is. Messages have `shown` in place of a name that is none.
pub fn named<'d>(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    shown: &str,
    value: &Spanned<DeValue<'_>>,
    dictionary: &'d Dictionary,
    report: &mut Report,
) -> Option<Named<'d>> {
    let mut refuse = |message: String| {
        // It may be a misspelt password.
        report.mask(value);
        report.error(name.span(), message);
        None
    };
    // Names in a configuration are exact: what is read here is compared elsewhere.
    let exact = |named: &Named<'_>| {
        named
            .attribute
            .is_none_or(|attribute| name.get_ref().split(':').next() == attribute.name().split(':').next())
    };
    let named = match text::named(dictionary, name.get_ref()) {
        Ok(named) if exact(&named) => named,
        Ok(named) => {
            let meant = named.attribute.map_or("", |attribute| attribute.name());
            return refuse(format!("unknown attribute `{shown}`; did you mean `{meant}`?"));
        }
        Err(TextFault::UnknownAttribute(meant)) => {
            let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            return refuse(format!("unknown attribute `{shown}`{meant}"));
        }
        Err(fault) => return refuse(format!("`{shown}`: {fault}")),
    };
    Some(named)
}

/// Whether a configuration may set, remove or allow it; reports if not.
pub fn may_change(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    named: &Named<'_>,
    report: &mut Report,
) -> bool {
    let ours = named.oid.depth() == 1 && is_ours(named.oid.first());
    if ours {
        report.mask(value);
        let shown = shown::text(name.get_ref());
        report.error(name.span(), format!("`{shown}` cannot be set: it is ulna's own to write"));
    }
    !ours
}

/// The octets of a value, plain; `None` if they have been reported as wrong.
pub fn octets_of(
    name: &str,
    named: &Named<'_>,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report,
) -> Option<Vec<u8>> {
    let name = shown::text(name);
    let literal = match value.get_ref() {
        DeValue::String(text) => Some(Literal::Text(text)),
        number @ DeValue::Integer(_) => integer(number).map(Literal::Integer),
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    let Some(literal) = literal else {
        let found = kind(value.get_ref());
        report.mask(value);
        report.error(value.span(), format!("`{name}` expects a text or a whole number, found {found}"));
        return None;
    };
    let Some(attribute) = named.attribute else {
        let octets = match literal {
            Literal::Text(text) => hexadecimal(text).filter(|octets| !octets.is_empty()),
            Literal::Integer(_) | Literal::Word(_) | Literal::Quoted(_) => None,
        };
        // Whether it is a secret is not known of an attribute that is named by number.
        report.mask(value);
        if octets.is_none() {
            report.error(
                value.span(),
                format!("`{name}` expects a text of \"0x\" and pairs of hexadecimal digits"),
            );
        }
        return octets;
    };
    match encode_value(attribute, literal) {
        Ok(octets) => Some(octets),
        Err(error) => {
            let found =
                if attribute.encrypted() { kind(value.get_ref()).into() } else { found(value.get_ref()) };
            report.error(value.span(), format!("{error}, found {found}"));
            None
        }
    }
}
