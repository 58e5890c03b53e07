//! All files of a configuration as one: a place counts through all of them, and their tables are merged.

use crate::document::{Document, Report};
use crate::error::ConfigErrors;
use crate::include::TextFile;
use crate::section::kind;
use crate::shown;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The files, in order; the first is the one that was named.
pub struct Documents<'d>(Vec<Document<'d>>);

impl<'d> Documents<'d> {
    pub fn new(files: &'d [TextFile]) -> Self {
        Documents(files.iter().map(|file| Document::new(&file.name, &file.text, file.base)).collect())
    }

    /// All files.
    pub fn all(&self) -> impl Iterator<Item = &Document<'d>> {
        self.0.iter()
    }

    /// The file in which this place stands.
    pub fn at(&self, place: usize) -> &Document<'d> {
        let next = self.0.partition_point(|document| document.base() <= place);
        &self.0[next.max(1) - 1]
    }

    /// The tables of all files. `[[name]]` of one file follow those of the files before; `[name]` may stand in several,
    /// each key in one. Where any file is not TOML nothing but that is reported.
    pub fn parse(&self, report: &mut Report) -> Result<Spanned<DeTable<'d>>, ConfigErrors> {
        let mut merged = DeTable::default();
        let mut errors = Vec::new();
        for document in &self.0 {
            match document.parse() {
                Ok(root) => {
                    let root = moved_table(root.into_inner(), document.base());
                    for (key, value) in root {
                        self.merge(&mut merged, key, value, true, report);
                    }
                }
                Err(ConfigErrors(found)) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(Spanned::new(0..0, merged)) } else { Err(ConfigErrors(errors)) }
    }

    fn merge(
        &self,
        into: &mut DeTable<'d>,
        key: Spanned<std::borrow::Cow<'d, str>>,
        value: Spanned<DeValue<'d>>,
        outermost: bool,
        report: &mut Report,
    ) {
        let Some((there, _)) = into.get_key_value(&key) else {
            into.insert(key, value);
            return;
        };
        // Each file has its own.
        if outermost && *key.get_ref() == "include" {
            return;
        }
        let there = there.span();
        let name = shown::key(&key);
        let known = into.get_mut(&key).expect("its key is there").get_mut();
        match (known, value.into_inner()) {
            (DeValue::Array(known), DeValue::Array(more)) if outermost => {
                more.into_iter().for_each(|value| known.push(value));
            }
            (DeValue::Table(known), DeValue::Table(more)) if outermost => {
                for (key, value) in more {
                    self.merge(known, key, value, false, report);
                }
            }
            (known, value) => {
                let document = self.at(there.start);
                let place = document.place_at(there.start);
                let mut message = format!(
                    "`{}` is set already, at {}:{}:{}",
                    name,
                    document.file(),
                    place.line,
                    place.column
                );
                if outermost {
                    message += &format!(", as {}; this is {}", kind(known), kind(&value));
                }
                report.error(key.span(), message);
            }
        }
    }
}

/// The same value, `by` further on.
fn moved(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = moved_span(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(values) => DeValue::Array(values.into_iter().map(|value| moved(value, by)).collect()),
        DeValue::Table(table) => DeValue::Table(moved_table(table, by)),
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => other,
    };
    Spanned::new(span, value)
}

fn moved_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    if by == 0 {
        return table;
    }
    let entries = table.into_iter();
    entries
        .map(|(key, value)| (Spanned::new(moved_span(key.span(), by), key.into_inner()), moved(value, by)))
        .collect()
}

fn moved_span(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}
