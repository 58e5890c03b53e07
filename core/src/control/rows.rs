//! Rows of tables, and how they are written: each whole, as text in columns or as a line of JSON.

use super::ROW_OCTETS_MAX;
use super::command::Format;
use crate::json::escape;
use alloc::string::String;
use core::fmt::{self, Write};
use core::net::SocketAddr;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, in rows of JSON and above those of text.
    pub name: &'static str,
    /// How many characters wide it is in text; what is wider pushes the others aside.
    pub width: usize,
}

/// What stands in one column of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'r> {
    /// Nothing.
    Nothing,
    /// A name of the operator's, or one of our words.
    Word(&'r str),
    /// Octets of a peer's.
    Octets(&'r [u8]),
    /// A number; of a span, in seconds.
    Number(u64),
    /// An address.
    Address(SocketAddr),
}

/// A row.
pub trait Row: Sync {
    /// The columns of its table.
    fn columns(&self) -> &'static [Column];
    /// What stands in one of them, by its place.
    fn cell(&self, column: usize) -> Cell<'_>;
}

/// What stands above the rows of a table.
pub fn write_head(columns: &[Column], out: &mut String) {
    for (place, column) in columns.iter().enumerate() {
        write_padded(out, is_last(columns, place), column.width, |out| out.write_str(column.name));
    }
    out.push('\n');
}

/// A row of it. One that is longer than [`ROW_OCTETS_MAX`] ends early, in text; no row of JSON is.
pub fn write_row(format: Format, row: &dyn Row, out: &mut String) {
    match format {
        Format::Text => write_text(row, out),
        Format::Json => write_json(row, out),
    }
}

fn write_text(row: &dyn Row, out: &mut String) {
    let (columns, begin) = (row.columns(), out.len());
    for (place, column) in columns.iter().enumerate() {
        write_padded(out, is_last(columns, place), column.width, |out| match row.cell(place) {
            Cell::Nothing => out.write_str("-"),
            Cell::Octets(octets) => write_in_column(out, octets),
            cell @ (Cell::Word(_) | Cell::Number(_) | Cell::Address(_)) => write_cell(out, &cell),
        });
    }
    if out[begin..].starts_with('.') {
        out.insert(begin, '.');
    }
    while out.len() - begin >= ROW_OCTETS_MAX {
        out.pop();
    }
    out.push('\n');
}

fn write_json(row: &dyn Row, out: &mut String) {
    out.push_str("{\"row\":{");
    for (place, column) in row.columns().iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let written = match row.cell(place) {
            Cell::Nothing => write!(out, "{comma}\"{}\":null", column.name),
            Cell::Number(number) => write!(out, "{comma}\"{}\":{number}", column.name),
            cell @ (Cell::Word(_) | Cell::Octets(_) | Cell::Address(_)) => {
                let mut text = String::new();
                write_cell(&mut text, &cell)
                    .and_then(|()| write!(out, "{comma}\"{}\":\"", column.name))
                    .and_then(|()| escape(out, &text))
                    .and_then(|()| out.write_char('"'))
            }
        };
        written.expect(MEMORY);
    }
    out.push_str("}}\n");
}

/// As a filter reads it, and text has it.
pub fn write_cell(out: &mut String, cell: &Cell<'_>) -> fmt::Result {
    match cell {
        Cell::Nothing => Ok(()),
        Cell::Word(word) => out.write_str(word),
        Cell::Octets(octets) => write_octets(out, octets),
        Cell::Number(number) => write!(out, "{number}"),
        Cell::Address(address) => write!(out, "{address}"),
    }
}

/// Octets of a peer's in a column: none looks like the end of it, or like nothing.
fn write_in_column(out: &mut String, octets: &[u8]) -> fmt::Result {
    let begin = out.len();
    write_octets(out, octets)?;
    let written = &out[begin..];
    let is_plain = !written.starts_with(' ') && !written.ends_with(' ') && !written.contains("  ");
    if is_plain && written != "-" {
        return Ok(());
    }
    let mut escaped = String::with_capacity(written.len() * 4);
    let mut characters = written.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let is_outside = before == ' ' || characters.peek().is_none_or(|next| *next == ' ');
        match character {
            ' ' if is_outside => escaped.push_str("\\x20"),
            '-' if written == "-" => escaped.push_str("\\x2d"),
            other => escaped.push(other),
        }
        before = character;
    }
    out.truncate(begin);
    out.write_str(&escaped)
}

/// Octets of a peer's: whatever is no text, would be taken for something else, or would steer a terminal, in hexadecimal.
fn write_octets(out: &mut String, octets: &[u8]) -> fmt::Result {
    // Nearly all are so.
    if octets.iter().all(|octet| matches!(octet, b' '..=b'~') && *octet != b'\\')
        && let Ok(plain) = core::str::from_utf8(octets)
    {
        return out.write_str(plain);
    }
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.write_str("\\\\")?,
                plain if !is_steering(plain) => out.write_char(plain)?,
                steering => {
                    let mut octets = [0; 4];
                    steering
                        .encode_utf8(&mut octets)
                        .bytes()
                        .try_for_each(|octet| write!(out, "\\x{octet:02x}"))?;
                }
            }
        }
        chunk.invalid().iter().try_for_each(|octet| write!(out, "\\x{octet:02x}"))?;
    }
    Ok(())
}

/// Whether a character is none to be seen: it controls, breaks lines, turns the direction of writing, or is white space that
/// would look like the space between columns.
pub fn is_steering(character: char) -> bool {
    character.is_control()
        || character.is_whitespace() && character != ' '
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn write_padded(
    out: &mut String,
    is_last: bool,
    width: usize,
    write: impl FnOnce(&mut String) -> fmt::Result,
) {
    let begin = out.len();
    write(out).expect(MEMORY);
    if !is_last {
        let written = &out[begin..];
        let written = if written.is_ascii() { written.len() } else { written.chars().count() };
        let mut missing = width.saturating_sub(written) + 2;
        while missing > 0 {
            let spaces = missing.min(SPACES.len());
            out.push_str(&SPACES[..spaces]);
            missing -= spaces;
        }
    }
}

fn is_last(columns: &[Column], place: usize) -> bool {
    place + 1 == columns.len()
}

const SPACES: &str = "                                ";
const MEMORY: &str = "memory takes it";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    struct Two(Vec<u8>, u64);

    impl Row for Two {
        fn columns(&self) -> &'static [Column] {
            &[Column { name: "user", width: 6 }, Column { name: "value", width: 3 }]
        }

        fn cell(&self, column: usize) -> Cell<'_> {
            match column {
                0 if self.0.is_empty() => Cell::Nothing,
                0 => Cell::Octets(&self.0),
                _ => Cell::Number(self.1),
            }
        }
    }

    fn written(format: Format, row: &Two) -> String {
        let mut out = String::new();
        write_row(format, row, &mut out);
        out
    }

    #[test]
    fn columns_stand_below_their_names() {
        let mut out = String::new();
        write_head(Two(Vec::new(), 0).columns(), &mut out);
        assert_eq!(out, "user    value\n");
        assert_eq!(written(Format::Text, &Two(b"bob".into(), 7)), "bob     7\n");
        assert_eq!(written(Format::Text, &Two(Vec::new(), 7)), "-       7\n");
        assert_eq!(written(Format::Json, &Two(Vec::new(), 7)), "{\"row\":{\"user\":null,\"value\":7}}\n");
    }

    #[test]
    fn no_peer_makes_columns() {
        let cases = [
            ("a b", "a b"),
            ("a  b", "a\\x20\\x20b"),
            (" a ", "\\x20a\\x20"),
            ("-", "\\x2d"),
            ("a-", "a-"),
            ("\u{61c}a", "\\xd8\\x9ca"),
        ];
        for (octets, expected) in cases {
            let row = written(Format::Text, &Two(octets.as_bytes().into(), 7));
            let column = row.trim_end().strip_suffix('7').expect("the second").trim_end();
            assert_eq!(column, expected);
        }
    }

    #[test]
    fn no_peer_steers_a_terminal_or_ends_an_answer() {
        let row = Two(b". ok\x1b[2J\r\n\xff\xe2\x80\xae".into(), 1);
        assert_eq!(written(Format::Text, &row), ".. ok\\x1b[2J\\x0d\\x0a\\xff\\xe2\\x80\\xae  1\n");
    }
}
