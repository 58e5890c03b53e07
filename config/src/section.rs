//! Typed values out of one table, each with its place; what does not fit is reported and reading goes on.

use crate::document::Report;
use crate::durations;
use crate::keys::{self, Keys};
use crate::shown;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One table of the file. Reading a key gives `None` both when it is not there and when it was reported as wrong.
pub struct Section<'d> {
    keys: &'static Keys,
    table: &'d DeTable<'d>,
    span: Range<usize>,
}

impl<'d> Section<'d> {
    /// Reports every key that this table cannot have, or cannot have yet.
    pub fn open(
        keys: &'static Keys,
        table: &'d DeTable<'d>,
        span: Range<usize>,
        report: &mut Report,
    ) -> Self {
        for (key, value) in table {
            let name: &str = key.get_ref();
            if keys.later.contains(&name) {
                report.error(key.span(), format!("`{name}` is not built yet"));
            } else if !keys.built.contains(&name) {
                // It may be a misspelt `secret`.
                report.mask(value);
                report.error(key.span(), keys.unknown(key));
            }
        }
        Section { keys, table, span }
    }

    /// Where the table begins.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of a key, whatever it is.
    pub fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.table.iter().find(|(name, _)| *name.get_ref() == key).map(|(_, value)| value)
    }

    /// Where a key stands.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.keys().find(|name| *name.get_ref() == key).map(Spanned::span)
    }

    pub fn missing(&self, key: &str, report: &mut Report) {
        report.error(self.span(), format!("missing key `{key}` in {}", self.keys.label));
    }

    /// Reports that a key's value is not what it must be.
    pub fn refuse(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>, report: &mut Report) {
        let found = if keys::is_secret(key) { kind(value.get_ref()).into() } else { found(value.get_ref()) };
        report.error(value.span(), format!("`{key}` must be {expected}, found {found}"));
    }

    pub fn integer(&self, key: &str, range: RangeInclusive<usize>, report: &mut Report) -> Option<usize> {
        let value = self.value(key)?;
        let number = integer(value.get_ref()).and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.refuse(key, &expected, value, report);
        }
        number
    }

    pub fn boolean(&self, key: &str, report: &mut Report) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.refuse(key, "true or false", value, report);
                None
            }
        }
    }

    pub fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let span = value.get_ref().as_str().and_then(durations::parse);
        match span {
            Some(span) if range.contains(&span) => return Some(span),
            Some(_) => {
                let [least, most] = [range.start(), range.end()].map(|span| durations::display(*span));
                self.refuse(key, &format!("from \"{least}\" to \"{most}\""), value, report);
            }
            None => self.refuse(key, &format!("a span of time {}", durations::EXAMPLE), value, report),
        }
        None
    }

    /// One of several words. `later` are those that are promised.
    pub fn word(&self, key: &str, words: &[&str], later: &[&str], report: &mut Report) -> Option<&'d str> {
        let value = self.value(key)?;
        self.one_word(key, value, words, later, report)
    }

    /// One word of several, in an array or alone.
    pub fn one_word(
        &self,
        key: &str,
        value: &'d Spanned<DeValue<'d>>,
        words: &[&str],
        later: &[&str],
        report: &mut Report,
    ) -> Option<&'d str> {
        match value.get_ref().as_str() {
            Some(word) if words.contains(&word) => return Some(word),
            Some(word) if later.contains(&word) => {
                report.error(value.span(), format!("`{key} = \"{word}\"` is not built yet"));
            }
            Some(_) | None => {
                let quoted = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
                let expected = if words.len() == 1 { quoted } else { format!("one of {quoted}") };
                self.refuse(key, &expected, value, report);
            }
        }
        None
    }

    /// A name that others refer to by, 1 to 253 octets without control characters; required.
    pub fn name(&self, key: &str, report: &mut Report) -> Option<Spanned<&'d str>> {
        let Some(value) = self.value(key) else {
            self.missing(key, report);
            return None;
        };
        let name = value.get_ref().as_str();
        let name = name.filter(|name| (1..=253).contains(&name.len()) && !name.contains(char::is_control));
        if name.is_none() {
            self.refuse(key, "text of 1 to 253 octets without control characters", value, report);
        }
        name.map(|name| Spanned::new(value.span(), name))
    }

    /// A text, or an array of at least one; required. Each item with its place.
    pub fn items(&self, key: &str, expected: &str, report: &mut Report) -> Vec<&'d Spanned<DeValue<'d>>> {
        let Some(value) = self.value(key) else {
            self.missing(key, report);
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(values) if !values.is_empty() => values.iter().collect(),
            DeValue::String(_) => vec![value],
            DeValue::Array(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => {
                self.refuse(key, expected, value, report);
                Vec::new()
            }
        }
    }

    /// The table `[key]`.
    pub fn table(&self, key: &str, keys: &'static Keys, report: &mut Report) -> Option<Section<'d>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::open(keys, table, value.span(), report)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                let place = self.key_span(key).unwrap_or(value.span());
                report.error(
                    place,
                    format!("`{key}` must be written as {}, found {}", keys.label, kind(value.get_ref())),
                );
                None
            }
        }
    }

    /// The tables `[[key]]`, in order; none if there is none.
    pub fn tables(&self, key: &str, keys: &'static Keys, report: &mut Report) -> Vec<Section<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let mut wrong = |place: Range<usize>, value: &DeValue<'_>| {
            report.error(place, format!("`{key}` must be written as {}, found {}", keys.label, kind(value)));
        };
        let DeValue::Array(values) = value.get_ref() else {
            wrong(self.key_span(key).unwrap_or(value.span()), value.get_ref());
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(values.len());
        for value in values.iter() {
            match value.get_ref() {
                DeValue::Table(table) => tables.push((table, value.span())),
                other @ (DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)) => wrong(value.span(), other),
            }
        }
        tables.into_iter().map(|(table, span)| Section::open(keys, table, span, report)).collect()
    }
}

/// A whole number, in whichever base it is written.
pub fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value in a message: its kind and, where it is short, itself.
pub fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() <= 60 && shown::is_simple(text) => {
            format!("\"{text}\"")
        }
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Array(values) if values.is_empty() => "an empty array".into(),
        DeValue::String(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            kind(value).into()
        }
    }
}

/// What kind of value it is, and nothing of the value: it may be secret.
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(text) if text.is_empty() => "an empty text",
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
