//! What a rule changes: attributes set, removed and allowed, and values of the session.

use super::attributes;
use super::condition::session_value;
use super::server::Asking;
use crate::document::Report;
use crate::section::{Section, found};
use crate::shown;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::policy::{Edit, SESSION_OCTETS_MAX, SESSION_VALUE_OCTETS_MAX, Selector, Session};

/// `set_reply`, `remove_reply` and `allow_reply`.
pub fn reply(section: &Section<'_>, asking: &Asking<'_, '_>, report: &mut Report) -> Edit {
    Edit {
        allow: selectors(section, "allow_reply", asking, report),
        remove: selectors(section, "remove_reply", asking, report).unwrap_or_default(),
        set: attributes::preset(section, "set_reply", asking.dictionary, report),
    }
}

/// `set_request`, `remove_request` and `allow_request`.
pub fn request(section: &Section<'_>, asking: &Asking<'_, '_>, report: &mut Report) -> Edit {
    let set = attributes::preset(section, "set_request", asking.dictionary, report);
    if set.plain().len() != set.octets() {
        let place = section.key_span("set_request").unwrap_or(section.span());
        let message = "`set_request` has an attribute that is hidden under a secret: that is not built yet";
        report.error(place, message.into());
        return Edit::default();
    }
    let allow = selectors(section, "allow_request", asking, report);
    let remove = selectors(section, "remove_request", asking, report).unwrap_or_default();
    Edit { allow, remove, set }
}

/// Names of attributes under `key`, in an array.
fn selectors(
    section: &Section<'_>,
    key: &str,
    asking: &Asking<'_, '_>,
    report: &mut Report,
) -> Option<Vec<Selector>> {
    let expected = "an array of names of attributes such as [\"Class\", \"Tunnel-Type:1\"]";
    let value = section.value(key)?;
    let DeValue::Array(values) = value.get_ref() else {
        section.refuse(key, expected, value, report);
        return None;
    };
    let mut selectors = Vec::with_capacity(values.len());
    for value in values.iter() {
        let DeValue::String(text) = value.get_ref() else {
            section.refuse(key, expected, value, report);
            continue;
        };
        let name: Spanned<Cow<'_, str>> = Spanned::new(value.span(), Cow::Borrowed(&**text));
        let Some(named) = attributes::named(&name, &shown::text(text), value, asking.dictionary, report)
        else {
            continue;
        };
        if attributes::may_change(&name, value, &named, report) {
            selectors.push(Selector { oid: named.oid, tag: named.tag, any_shape: true });
        }
    }
    Some(selectors)
}

/// `set_session`: names with texts or numbers, which `session.NAME` asks for.
pub fn session<'d>(
    section: &Section<'d>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Vec<(Box<str>, Box<[u8]>)> {
    let Some(value) = section.value("set_session") else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        section.refuse("set_session", "a table such as { site = \"campus\" }", value, report);
        return Vec::new();
    };
    let mut values = Vec::new();
    let mut session = Session::default();
    for (name, value) in attributes::in_order(table) {
        let shown = shown::key(name);
        asking.sessions_set.insert(name.get_ref());
        let letters =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
        if name.get_ref().len() > SESSION_VALUE_OCTETS_MAX
            || !name.get_ref().chars().all(letters)
            || name.get_ref().is_empty()
        {
            let message = format!("`{shown}` must be a name of small letters, digits, `_` and `-`");
            report.error(name.span(), message);
            continue;
        }
        let Some(text) = session_value(value.get_ref()) else {
            let found = found(value.get_ref());
            let message = format!(
                "`{shown}` expects a text of at most {SESSION_VALUE_OCTETS_MAX} octets or a whole number, found {found}"
            );
            report.error(value.span(), message);
            continue;
        };
        if session.set(name.get_ref(), text.as_bytes()).is_err() {
            let message = format!(
                "`set_session` has more than the {SESSION_OCTETS_MAX} octets that a session has room for"
            );
            report.error(value.span(), message);
            break;
        }
        values.push((name.get_ref().as_ref().into(), text.into_bytes().into()));
    }
    values
}
