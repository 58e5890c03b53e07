//! Tables of attributes, `{ Session-Timeout = 3600 }`, made into octets.

use crate::document::Report;
use crate::section::{Section, found, integer, kind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::configuration::REPLY_OCTETS_MAX;
use ulna_core::dictionary::{Attribute, Dictionary, Literal, encode_value};

/// What no configuration sets in a reply: it answers something in the request, or signs the packet.
const OUR_OWN: &[&str] = &[
    "User-Password",
    "CHAP-Password",
    "CHAP-Challenge",
    "State",
    "Proxy-State",
    "EAP-Message",
    "Message-Authenticator",
];

/// The attributes of a reply under `key`, in the order of the text; an array stands for several of one name.
pub fn reply(section: &Section<'_>, key: &str, dictionary: &Dictionary, report: &mut Report) -> Box<[u8]> {
    let mut octets = Vec::new();
    let Some(value) = section.value(key) else { return octets.into() };
    let DeValue::Table(table) = value.get_ref() else {
        section.refuse(key, "a table such as { Session-Timeout = 3600 }", value, report);
        return octets.into();
    };
    for (name, value) in in_order(table) {
        let Some(attribute) = dictionary.attribute(name.get_ref()) else {
            let meant = dictionary.nearest(name.get_ref());
            let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            // It may be a misspelt password.
            report.mask(value);
            report
                .error(name.span(), format!("unknown attribute `{}`{meant}", name.get_ref().escape_debug()));
            continue;
        };
        if OUR_OWN.contains(&attribute.name()) {
            report.mask(value);
            report.error(
                name.span(),
                format!("`{}` cannot be set: it is ulna's own to write", attribute.name()),
            );
            continue;
        }
        match value.get_ref() {
            DeValue::Array(values) if !values.is_empty() => {
                values.iter().for_each(|value| append(&mut octets, attribute, value, report));
            }
            DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => append(&mut octets, attribute, value, report),
        }
    }
    if octets.len() > REPLY_OCTETS_MAX {
        let place = section.key_span(key).unwrap_or(value.span());
        let message = format!(
            "`{key}` has {} octets of attributes, a packet has room for {REPLY_OCTETS_MAX}",
            octets.len()
        );
        report.error(place, message);
    }
    octets.into()
}

/// The parser sorts keys by name; on the wire they go as they are written.
fn in_order<'t, 'd>(
    table: &'t DeTable<'d>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'d, str>>, &'t Spanned<DeValue<'d>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn append(octets: &mut Vec<u8>, attribute: &Attribute, value: &Spanned<DeValue<'_>>, report: &mut Report) {
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
        report.error(
            value.span(),
            format!("`{}` expects a text or a whole number, found {found}", attribute.name()),
        );
        return;
    };
    let not_built = match attribute.oid().parts() {
        _ if attribute.encrypted() => Some("encrypted attributes"),
        _ if attribute.tagged() => Some("attributes with tags"),
        [1..=240] => None,
        _ => Some("attributes of vendors and extended attributes"),
    };
    if let Some(what) = not_built {
        report.mask(value);
        let message = format!("`{}` expects no value: {what} are not built yet", attribute.name());
        report.error(value.span(), message);
        return;
    }
    match encode_value(attribute, literal) {
        Ok(encoded) => {
            octets.extend_from_slice(&[attribute.oid().first() as u8, encoded.len() as u8 + 2]);
            octets.extend_from_slice(&encoded);
        }
        Err(error) if attribute.encrypted() => {
            report.mask(value);
            report.error(value.span(), error.to_string());
        }
        Err(error) => report.error(value.span(), format!("{error}, found {}", found(value.get_ref()))),
    }
}
