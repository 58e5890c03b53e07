//! Tables that others refer to by name: pools, remote servers, virtual servers.

use crate::document::Report;
use crate::section::{Section, found};
use crate::shown;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::dictionary::nearest;

/// The tables `[[kind]]` by their names. One with errors has its name as well, so that whoever names it is not wrong for
/// that.
pub struct Defined<'d, T> {
    kind: &'static str,
    tables: BTreeMap<&'d str, Table<T>>,
}

struct Table<T> {
    number: T,
    span: Range<usize>,
    is_named: Cell<bool>,
}

impl<'d, T: Copy> Defined<'d, T> {
    pub fn new(kind: &'static str) -> Self {
        Defined { kind, tables: BTreeMap::new() }
    }

    /// Reports a name that stands there already.
    pub fn add(&mut self, name: &Spanned<&'d str>, number: T, report: &mut Report) -> bool {
        if self.tables.contains_key(name.get_ref()) {
            let shown = shown::text(name.get_ref());
            let what = self.kind.replace('_', " ");
            report.error(name.span(), format!("{what} \"{shown}\" is defined twice"));
            return false;
        }
        let table = Table { number, span: name.span(), is_named: Cell::new(false) };
        self.tables.insert(name.get_ref(), table);
        true
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// The one that a value names; reports a value that names none.
    pub fn look_up(&self, key: &str, value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<T> {
        let text = value.get_ref().as_str();
        if let Some(table) = text.and_then(|name| self.tables.get(name)) {
            table.is_named.set(true);
            return Some(table.number);
        }
        let meant = text.and_then(|name| nearest(name, self.tables.keys().copied()));
        let meant =
            meant.map_or(String::new(), |meant| format!("; did you mean \"{}\"?", shown::text(meant)));
        let (kind, found) = (self.kind, found(value.get_ref()));
        report.error(value.span(), format!("`{key}` must be the name of a [[{kind}]], found {found}{meant}"));
        None
    }

    /// The same under a key that need not be there.
    pub fn look_up_at(&self, key: &str, section: &Section<'_>, report: &mut Report) -> Option<T> {
        self.look_up(key, section.value(key)?, report)
    }

    /// Warns of those that nothing has named.
    pub fn warn_of_unused(&self, by: &str, report: &mut Report) {
        for (name, table) in self.tables.iter().filter(|(_, table)| !table.is_named.get()) {
            let (what, shown) = (self.kind.replace('_', " "), shown::text(name));
            report.warning(table.span.clone(), format!("{what} \"{shown}\" is not used: it is in no {by}"));
        }
    }
}
