//! What of a file's own words may stand in a message.
//!
//! A file that is damaged, by a quote too many for instance, may have a name or a value that has swallowed what stood beside
//! it: a secret among that, where nobody looks for one. So a text is shown only if it is too simple to have swallowed
//! anything, and a key in quotes only if it needs them. Places know what is hidden by their tokens, whatever the tables say.

use crate::keys;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use ulna_core::dictionary::nearest;

/// In place of what is not shown.
pub const HIDDEN: &str = "***";

/// Longer than any name or value that somebody means to read in a message.
const CHARACTERS_MAX: usize = 253;

/// A text in a message: itself, or that it is hidden.
pub fn text(text: &str) -> String {
    if is_simple(text) { text.into() } else { HIDDEN.into() }
}

/// A path in a message, which is as an operator wrote it, or behind the folder of its file.
pub fn path(path: &std::path::Path) -> String {
    text(&path.display().to_string())
}

/// A key in a message.
pub fn key(key: &Spanned<Cow<'_, str>>) -> String {
    let is_bare = key.get_ref().bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    // What is written without quotes is as long as its name, and has swallowed nothing.
    if is_bare && key.span().len() == key.get_ref().len() {
        key.get_ref().to_string()
    } else if needs_quotes(key.get_ref()) {
        text(key.get_ref())
    } else {
        HIDDEN.into()
    }
}

/// A text that has swallowed more than itself has taken in what parts one from another in a file, or the name of a secret
/// before its value, as far as damage has left of it.
pub fn is_simple(text: &str) -> bool {
    let parts = |letter: char| letter.is_control() || "\"'`=,#{}\\".contains(letter);
    text.chars().count() <= CHARACTERS_MAX
        && !text.contains(parts)
        && !keys::SECRETS.iter().any(|secret| text.contains(secret))
        && !text.split(|letter: char| !letter.is_ascii_alphabetic()).any(is_like_secret)
}

/// Only words that begin in lower case: names of attributes, `User-Password`, begin with a capital.
fn is_like_secret(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_lowercase())
        && nearest(word, keys::SECRETS.iter().copied()).is_some()
}

/// `Tunnel-Type:1`, `Attr-26.9.1`, `session.site`: what no bare key can be called.
fn needs_quotes(key: &str) -> bool {
    key.contains([':', '.'])
}

/// The places of all tokens of a text that no message shows: comments, and texts and keys as above. In order.
pub fn hidden(toml: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    // Where the last line begins of what was looked at, and how far that was.
    let (mut line, mut seen) = (0, 0);
    let mut place = 0;
    while let Some(begin) = toml[place..].find(['"', '\'', '#']).map(|found| place + found) {
        if let Some(newline) = toml[seen..begin].rfind('\n') {
            line = seen + newline + 1;
        }
        seen = begin;
        let rest = &toml[begin..];
        let length =
            if rest.starts_with('#') { rest.find('\n').unwrap_or(rest.len()) } else { quoted_octets(rest) };
        let end = begin + length;
        let token = &toml[begin..end];
        let name = token.trim_matches(['"', '\'']);
        let is_key = match toml[end..].trim_start_matches([' ', '\t']).chars().next() {
            Some('=' | '.') => true,
            Some(']') => is_header(&toml[line..begin]),
            Some(_) | None => false,
        };
        if token.starts_with('#') || !is_simple(name) || is_key && !needs_quotes(name) {
            hidden.push(begin..end);
        }
        place = end;
    }
    hidden
}

/// Whether a line begins a header. An array within another may look the same.
fn is_header(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t']);
    line.starts_with('[') && line.ends_with(['[', '.'])
}

/// Octets of the text in quotes with which `rest` begins; all of it where they are not closed.
fn quoted_octets(rest: &str) -> usize {
    let quote = &rest[..1];
    let triple = quote.repeat(3);
    let (delimiter, begin) = if rest.starts_with(&triple) { (&*triple, 3) } else { (quote, 1) };
    let mut place = begin;
    while let Some(letter) = rest[place..].chars().next() {
        if letter == '\\' && quote == "\"" {
            place += 1;
            place += rest[place..].chars().next().map_or(0, char::len_utf8);
        } else if rest[place..].starts_with(delimiter) {
            // Up to two quotes may stand before those that end it.
            let more =
                rest[place + delimiter.len()..].bytes().take_while(|octet| quote.as_bytes()[0] == *octet);
            return place + delimiter.len() + if begin == 3 { more.take(2).count() } else { 0 };
        } else {
            place += letter.len_utf8();
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_shown_and_what_has_swallowed_more_is_not() {
        for shown in
            ["bob", "64 MiB", "[::1]:1812", "Mo-Fr 08:00-18:00", "User-Password", "session.site", "", "é"]
        {
            assert_eq!(text(shown), shown);
        }
        let long = "x".repeat(254);
        for swallowed in [
            "b, x",
            "a = b",
            "b\"",
            "it's",
            "a\nb",
            "\u{1b}",
            "b secret QSECRETQ",
            "b pasword QSECRETQ",
            "bpasswordQ",
            "# x",
            "a\\b",
            &long,
        ] {
            assert_eq!(text(swallowed), HIDDEN, "{swallowed}");
        }
    }

    #[test]
    fn tokens_are_found_as_toml_has_them() {
        let of = |toml: &str| -> Vec<String> {
            let hidden = hidden(toml);
            hidden.into_iter().map(|range| toml[range].into()).collect()
        };
        assert_eq!(of("a = \"b\" # c\nd = 5"), ["# c"]);
        assert_eq!(of("a = 'b # c' # d"), ["'b # c'", "# d"]);
        assert_eq!(of(r#"a = "b \" # c" # d"#), [r#""b \" # c""#, "# d"]);
        assert_eq!(of("a = \"\"\"b\n\"x\" \\\"\"\"\"\"\" # d"), ["\"\"\"b\n\"x\" \\\"\"\"\"\"\"", "# d"]);
        assert_eq!(of("a = '''b\n'x'''' # d"), ["'''b\n'x''''", "# d"]);
        assert_eq!(of("a = \"b\nc"), ["\"b\nc"]);
        // A key in quotes is shown if it needs them.
        assert_eq!(of("\"a\" = \"b\"\n\"Tunnel-Type:1\" = \"c\"\n['d']"), ["\"a\"", "'d'"]);
        assert_eq!(of("[a . \"b\"]\n[[ \"c\" ]]"), ["\"b\"", "\"c\""]);
        assert_eq!(of("a = { 'b' = 1, \"c\".d = 2, \"e.f\" = 3 }"), ["'b'", "\"c\""]);
        assert_eq!(of("a = [\"b\", \"c\"]"), Vec::<String>::new());
    }
}
