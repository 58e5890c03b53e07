//! A file's text: where its lines begin, which parts of it must not be shown, and what was found wrong in it.

use crate::documents::Documents;
use crate::error::{ConfigErrors, Finding, Place, Warnings};
use crate::keys;
use crate::shown;
use crate::source::{Found, Source};
use std::cell::OnceCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::Seed;
use ulna_core::control::rows::is_steering;
use zeroize::Zeroizing;

/// The text of a file, with its name for messages.
pub struct Document<'d> {
    file: &'d str,
    text: &'d str,
    /// Offset of each line's first octet.
    lines: Vec<usize>,
    /// Tokens that no message shows, once a line is to be.
    hidden: OnceCell<Vec<Range<usize>>>,
    /// Where it begins among all files. Spans and places in a report count from the first file's beginning.
    base: usize,
}

/// Collects what is wrong and what is odd, by place.
#[derive(Default)]
pub struct Report {
    errors: Vec<(Range<usize>, String)>,
    warnings: Vec<(Range<usize>, String)>,
    /// Parts of the text that no message shows.
    masked: Vec<Range<usize>>,
    /// Where each file begins, and the folder that its relative paths begin in.
    folders: Vec<(usize, PathBuf)>,
    /// Files with secrets that everybody may read.
    readable: Vec<(Range<usize>, PathBuf)>,
    /// Made of all secrets that stand elsewhere.
    seed: Option<Seed>,
    /// What was found in files that are no part of these.
    elsewhere: (Vec<Finding>, Vec<Finding>),
    /// What is in the files.
    pub source: Found,
}

impl<'d> Document<'d> {
    pub fn new(file: &'d str, text: &'d str, base: usize) -> Self {
        let starts =
            text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(place, _)| place + 1);
        Document {
            file,
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            hidden: OnceCell::new(),
            base,
        }
    }

    pub fn file(&self) -> &'d str {
        self.file
    }

    pub fn base(&self) -> usize {
        self.base
    }

    /// The text of a span that counts through all files, on one line and fit for a terminal.
    pub fn shown(&self, span: &Range<usize>) -> String {
        let [start, end] = [span.start, span.end].map(|place| self.boundary(place - self.base));
        let words: Vec<&str> = self.text[start..end].split_whitespace().collect();
        words.join(" ").chars().map(printable).collect()
    }

    /// Line and column of a place that counts through all files.
    pub fn place_at(&self, place: usize) -> Place {
        self.place(self.boundary(place - self.base))
    }

    /// The tables of the text. Where it is not TOML nothing but that is reported: what follows from a misplaced
    /// bracket would only hide it.
    pub fn parse(&self) -> Result<Spanned<DeTable<'d>>, ConfigErrors> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Ok(root);
        }
        let mut found: Vec<Finding> = errors
            .iter()
            .map(|error| {
                let offset = self.boundary(error.span().map_or(0, |span| span.start));
                Finding {
                    file: self.file.into(),
                    place: Some(self.place(offset)),
                    message: format!("not TOML: {}", error.message()),
                    excerpt: self.guarded_excerpt(offset),
                }
            })
            .collect();
        found.sort_by_key(|finding| finding.place);
        found.dedup();
        Err(ConfigErrors(found))
    }

    fn finding(&self, span: &Range<usize>, message: String, masked: &[Range<usize>]) -> Finding {
        let span = span.start - self.base..span.end - self.base;
        Finding {
            file: self.file.into(),
            place: Some(self.place(self.boundary(span.start))),
            message,
            // What concerns the file as a whole has no line to show.
            excerpt: (!span.is_empty()).then(|| self.excerpt(&span, masked)),
        }
    }

    /// The nearest beginning of a character at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        (0..=offset.min(self.text.len())).rev().find(|place| self.text.is_char_boundary(*place)).unwrap_or(0)
    }

    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset) - 1
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line(offset);
        Place { line: line + 1, column: self.text[self.lines[line]..offset].chars().count() + 1 }
    }

    /// The line of `span` up to the end of `span`, what is masked or hidden left out, and how many of its characters
    /// stand before `span`. What follows is not shown: nobody needs it.
    fn excerpt(&self, span: &Range<usize>, masked: &[Range<usize>]) -> (String, usize) {
        let begin = self.boundary(span.start);
        let start = self.lines[self.line(begin)];
        let line = self.text[start..].lines().next().unwrap_or_default();
        let end = self.boundary(span.end).min(start + line.len());
        let closing = self.text[end..].bytes().take_while(|octet| *octet == b']').count();
        let (mut shown, end, before) = self.part(start..end + closing, begin, masked);
        let shown_octets = shown.trim_end().len();
        if end < start + line.trim_end().len() {
            shown.truncate(shown_octets);
            shown.push_str(" …");
        }
        (shown, before)
    }

    /// All lines in which something stands besides comments, each with its number from 1, what is masked or hidden left out.
    pub fn lines_shown(&self, masked: &[Range<usize>]) -> Vec<(usize, String)> {
        let ends = self.lines.iter().skip(1).copied().chain([self.text.len()]);
        let lines = (1..).zip(self.lines.iter().copied().zip(ends)).map(|(number, (start, end))| {
            let first = masked.partition_point(|mask| mask.end <= self.base + start);
            let last = masked.partition_point(|mask| mask.start < self.base + end);
            let end = start + self.text[start..end].trim_end().len();
            let (shown, ..) = self.part(start..end, start, &masked[first.min(last)..last]);
            (number, shown.trim_end().to_string())
        });
        lines.filter(|(_, shown)| !shown.is_empty()).collect()
    }

    /// Part of a line, what is masked or hidden left out; where it ends, which is before a comment, for that may tell a secret; and how
    /// many of its characters stand before `at`.
    fn part(&self, part: Range<usize>, at: usize, masked: &[Range<usize>]) -> (String, usize, usize) {
        let Range { start, mut end } = part;
        let tokens = self.hidden.get_or_init(|| shown::hidden(self.text));
        let tokens = &tokens[tokens.partition_point(|token| token.end <= start)..];
        // A value of several lines may have a comment behind its first.
        let mut of_part = tokens.iter().take_while(|token| token.start < end);
        if let Some(comment) = of_part.find(|token| self.text[token.start..].starts_with('#')) {
            end = end.min(comment.start.max(start));
        }
        // A line may have a hundred thousand of them.
        let (mut tokens, mut masked) = (Cursor::new(tokens), Cursor::new(masked));
        let (mut shown, mut before) = (String::new(), 0);
        let mut hiding = false;
        for (place, character) in self.text[start..end].char_indices() {
            let place = start + place;
            if place == at {
                before = shown.chars().count();
            }
            let hidden = tokens.is_within(place) | masked.is_within(self.base + place);
            match (hidden, hiding) {
                (true, true) => {}
                (true, false) => shown.push_str(shown::HIDDEN),
                (false, _) => shown.push(printable(character)),
            }
            hiding = hidden;
        }
        (shown, end, before)
    }

    /// For text that could not be parsed, so that nobody knows where its secrets stand: only a key that we know, and
    /// nothing after it.
    fn guarded_excerpt(&self, offset: usize) -> Option<(String, usize)> {
        let start = self.lines[self.line(offset)];
        let line = self.text[start..].lines().next().unwrap_or_default();
        let (key, _) = line.split_once('=')?;
        // Only what TOML takes for space: a terminal obeys some of what else counts as such.
        if !keys::is_known(key.trim_matches([' ', '\t'])) {
            return None;
        }
        let shown = format!("{}= …", key);
        let before = self.text[start..offset].chars().count().min(shown.chars().count() - 1);
        Some((shown, before))
    }
}

impl Report {
    pub fn error(&mut self, span: Range<usize>, message: String) {
        self.errors.push((span, message));
    }

    pub fn warning(&mut self, span: Range<usize>, message: String) {
        self.warnings.push((span, message));
    }

    /// Keeps a value out of every message, with the keys that it has.
    pub fn mask(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Array(values) => values.iter().for_each(|value| self.mask(value)),
            DeValue::Table(table) => table.iter().for_each(|(key, value)| {
                self.masked.push(key.span());
                self.mask(value);
            }),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => self.masked.push(value.span()),
        }
    }

    /// Keeps the values of all secret keys out of every message, wherever they stand.
    pub fn mask_secrets(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            if keys::is_secret(key.get_ref()) {
                self.mask(value);
            } else {
                self.mask_secrets_within(value);
            }
        }
    }

    fn mask_secrets_within(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Array(values) => values.iter().for_each(|value| self.mask_secrets_within(value)),
            DeValue::Table(table) => self.mask_secrets(table),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// Says where the relative paths begin of what stands from here on, up to the next such place.
    pub fn begin_file(&mut self, place: usize, name: &str) {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        self.folders.push((place, folder.into()));
    }

    /// A path that is written at this place: relative to the folder of its file.
    pub fn path(&self, span: &Range<usize>, path: &str) -> PathBuf {
        let next = self.folders.partition_point(|(place, _)| *place <= span.start);
        let folder = next.checked_sub(1).map(|last| &self.folders[last].1);
        // An absolute one stays what it is.
        folder.map_or(PathBuf::from(path), |folder| folder.join(path))
    }

    /// Takes a secret that stands elsewhere into the seed of the configuration's tables.
    pub fn mix(&mut self, secret: &[u8]) {
        let digits = secret.iter().flat_map(|octet| [octet >> 4, octet & 15]);
        let text: String = digits.map(|digit| char::from(b'a' + digit)).collect();
        self.seed = Some(self.secrets_seed().fork(&Zeroizing::new(text)));
    }

    /// The same for the same secrets in the same order.
    pub fn secrets_seed(&self) -> Seed {
        self.seed.clone().unwrap_or(Seed::new([0; 32]))
    }

    /// Warns of a file with a secret that every user of the machine may read.
    pub fn readable_by_all(&mut self, span: Range<usize>, path: PathBuf) {
        self.readable.push((span, path));
    }

    /// One warning for all: a file of 10 000 clients would else bury every other.
    fn warn_of_readable(&mut self) {
        let Some((span, path)) = self.readable.first() else { return };
        let others = match self.readable.len() - 1 {
            0 => String::new(),
            1 => " and 1 other file".into(),
            others => format!(" and {others} other files"),
        };
        let message = format!(
            "`{}`{others} with secrets can be read by every user of this machine: chmod o-r",
            shown::path(path)
        );
        self.warning(span.clone(), message);
    }

    /// What is wrong or odd in a file that is no part of these.
    pub fn elsewhere(&mut self, ConfigErrors(errors): ConfigErrors, Warnings(warnings): Warnings) {
        self.elsewhere.0.extend(errors);
        self.elsewhere.1.extend(warnings);
    }

    pub fn finish(mut self, documents: &Documents<'_>) -> (ConfigErrors, Warnings, Source) {
        self.warn_of_readable();
        self.masked.sort_by_key(|mask| mask.start);
        let findings = |found: &mut Vec<(Range<usize>, String)>| -> Vec<Finding> {
            found.sort_by_key(|(span, _)| span.start);
            found
                .drain(..)
                .map(|(span, message)| {
                    // Only the masks of its line matter; there may be one for each of 100 000 clients.
                    let document = documents.at(span.start);
                    let start = document.lines[document.line(document.boundary(span.start - document.base))];
                    let start = start + document.base;
                    let first = self.masked.partition_point(|mask| mask.end <= start);
                    let last = self.masked.partition_point(|mask| mask.start < span.end);
                    document.finding(&span, message, &self.masked[first.min(last)..last])
                })
                .collect()
        };
        let (mut errors, mut warnings) = (findings(&mut self.errors), findings(&mut self.warnings));
        errors.append(&mut self.elsewhere.0);
        warnings.append(&mut self.elsewhere.1);
        (ConfigErrors(errors), Warnings(warnings), self.source.finish(documents, &self.masked))
    }
}

/// Ranges in the order of their beginnings, looked at by places that only grow.
struct Cursor<'r> {
    left: &'r [Range<usize>],
    /// The furthest end of those that have begun.
    end: usize,
}

impl<'r> Cursor<'r> {
    fn new(ranges: &'r [Range<usize>]) -> Cursor<'r> {
        Cursor { left: ranges, end: 0 }
    }

    /// Whether any of them holds this place.
    fn is_within(&mut self, place: usize) -> bool {
        while let Some((first, left)) = self.left.split_first()
            && first.start <= place
        {
            self.end = self.end.max(first.end);
            self.left = left;
        }
        place < self.end
    }
}

/// What a terminal might obey is shown as a replacement.
pub fn printable(character: char) -> char {
    if is_steering(character) && character != '\t' { char::REPLACEMENT_CHARACTER } else { character }
}
