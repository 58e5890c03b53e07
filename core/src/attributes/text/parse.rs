//! From text to attributes with values.

use super::{Assignment, TextError, TextFault};
use crate::dictionary::{Attribute, Dictionary, Literal, encode_value, hexadecimal, is_name_octet};
use crate::packet::Oid;
use crate::packet::tagged::TAG_MAX;
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Reads attributes with their values, in order.
///
/// # Errors
/// The first [`TextError`].
pub fn parse<'d>(dictionary: &'d Dictionary, text: &str) -> Result<Vec<Assignment<'d>>, TextError> {
    let mut parser = Parser { dictionary, text, place: 0 };
    let mut assignments = Vec::new();
    while parser.skip_to_assignment() {
        assignments.push(parser.assignment()?);
    }
    Ok(assignments)
}

/// Which attribute is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'d> {
    /// The numbers that lead to it.
    pub oid: Oid,
    /// The attribute; `None` of one that is named by number, whose value is sent as it is.
    pub attribute: Option<&'d Attribute>,
    /// Its tag.
    pub tag: Option<u8>,
}

struct Parser<'d, 't> {
    dictionary: &'d Dictionary,
    text: &'t str,
    /// Where the next octet is read: always the beginning of a character.
    place: usize,
}

/// A value before its attribute's type is known to fit.
enum Value<'t> {
    Word(&'t str),
    Quoted(Cow<'t, [u8]>),
}

impl<'d, 't> Parser<'d, 't> {
    fn rest(&self) -> &'t str {
        &self.text[self.place..]
    }

    /// Skips what separates assignments, and comments; gives whether another assignment follows.
    fn skip_to_assignment(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let skipped = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
            self.place += rest.len() - skipped.len();
            if !skipped.starts_with('#') {
                return !skipped.is_empty();
            }
            self.place += skipped.find('\n').unwrap_or(skipped.len());
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn assignment(&mut self) -> Result<Assignment<'d>, TextError> {
        let offset = self.place;
        let rest = self.rest();
        let mut octets = rest.bytes().take_while(|octet| is_name_octet(*octet)).count();
        // An operator may follow at once: `A=1`, `A:=1`, `A+=1`.
        if rest[octets..].starts_with('=') && rest[..octets].ends_with([':', '+']) {
            octets -= 1;
        }
        let name = &rest[..octets];
        if name.is_empty() {
            return Err(TextError { offset, attribute: None, fault: TextFault::NoName });
        }
        let error = |offset, fault| TextError { offset, attribute: Some(name.into()), fault };
        let Named { oid, attribute, tag } =
            named(self.dictionary, name).map_err(|fault| error(offset, fault))?;
        self.place += octets;
        self.skip_blanks();
        let operator = ["=", ":=", "+="].into_iter().find(|operator| self.rest().starts_with(operator));
        let operator = operator.ok_or_else(|| error(self.place, TextFault::BadOperator))?;
        // `==` and `=~` compare: nothing is assigned.
        if self.rest()[operator.len()..].starts_with(['=', '~', '*']) {
            return Err(error(self.place, TextFault::BadOperator));
        }
        self.place += operator.len();
        self.skip_blanks();
        let value_offset = self.place;
        let value = self.value().map_err(|(offset, fault)| error(offset, fault))?;
        let value = octets_of(attribute, &value).map_err(|fault| error(value_offset, fault))?;
        self.skip_blanks();
        if !self.rest().is_empty() && !self.rest().starts_with([',', '\n', '\r', '#']) {
            return Err(error(self.place, TextFault::NoSeparator));
        }
        Ok(Assignment { oid, attribute, tag, value, apart: operator == "+=", offset })
    }

    fn value(&mut self) -> Result<Value<'t>, (usize, TextFault)> {
        let rest = self.rest();
        match rest.bytes().next() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote).map(Value::Quoted),
            Some(_) => {
                let word = rest.split([' ', '\t', '\r', '\n', ',']).next().unwrap_or_default();
                if word.is_empty() || word.starts_with('#') {
                    return Err((self.place, TextFault::NoValue));
                }
                self.place += word.len();
                Ok(Value::Word(word))
            }
            None => Err((self.place, TextFault::NoValue)),
        }
    }

    /// What stands between quotes. Between single ones a backslash only escapes itself and the quote.
    fn quoted(&mut self, quote: u8) -> Result<Cow<'t, [u8]>, (usize, TextFault)> {
        let start = self.place + 1;
        let text = self.text.as_bytes();
        let ends = |octet: &u8| *octet == quote || *octet == b'\\' || *octet == b'\n';
        let mut place = start;
        let mut octets: Cow<'t, [u8]> = Cow::Borrowed(&[]);
        loop {
            let plain = text[place..].iter().position(ends);
            let plain = plain.ok_or((self.place, TextFault::UnclosedQuote))?;
            if octets.is_empty() {
                octets = Cow::Borrowed(&text[place..place + plain]);
            } else {
                octets.to_mut().extend_from_slice(&text[place..place + plain]);
            }
            place += plain;
            match text[place] {
                b'\\' => {
                    let (octet, length) =
                        escaped(&text[place..], quote).ok_or((place, TextFault::BadEscape))?;
                    octets.to_mut().push(octet);
                    place += length;
                }
                b'\n' => return Err((self.place, TextFault::UnclosedQuote)),
                _ => {
                    self.place = place + 1;
                    return Ok(octets);
                }
            }
        }
    }
}

/// The octet that the escape at the beginning of `text` stands for, and how long it is.
fn escaped(text: &[u8], quote: u8) -> Option<(u8, usize)> {
    let digit = |octet: &u8, radix| char::from(*octet).to_digit(radix);
    Some(match (quote, text.get(1..)?) {
        (_, [b'\\', ..]) => (b'\\', 2),
        (b'\'', [b'\'', ..]) => (b'\'', 2),
        (b'\'', _) => (b'\\', 1),
        (_, [octet @ (b'"' | b'\''), ..]) => (*octet, 2),
        (_, [b'n', ..]) => (b'\n', 2),
        (_, [b'r', ..]) => (b'\r', 2),
        (_, [b't', ..]) => (b'\t', 2),
        (_, [b'x', high, low, ..]) => ((digit(high, 16)? * 16 + digit(low, 16)?) as u8, 4),
        (_, [high, middle, low, ..]) => {
            let octet = digit(high, 8)? * 64 + digit(middle, 8)? * 8 + digit(low, 8)?;
            (u8::try_from(octet).ok()?, 4)
        }
        _ => return None,
    })
}

/// What stands before the operator: an attribute's name, perhaps with a tag, or `Attr-` and its numbers.
///
/// # Errors
/// The [`TextFault`] of the name alone.
pub fn named<'d>(dictionary: &'d Dictionary, name: &str) -> Result<Named<'d>, TextFault> {
    if let Some(numbers) = strip_prefix_in_any_case(name, "Attr-") {
        let oid = numbers.parse().map_err(|_| TextFault::BadNumbers)?;
        return Ok(Named { oid, attribute: None, tag: None });
    }
    let known = |name: &str| dictionary.attribute_in_any_case(name);
    let (attribute, tag) = match (known(name), name.rsplit_once(':')) {
        (Some(attribute), _) => (attribute, None),
        (None, Some((before, tag))) if known(before).is_some() => {
            let attribute = known(before).expect("it was there a moment ago");
            if !attribute.tagged() {
                return Err(TextFault::NotTagged);
            }
            let digits = !tag.is_empty() && tag.bytes().all(|digit| digit.is_ascii_digit());
            let tag = digits.then(|| tag.parse().ok()).flatten().filter(|tag| *tag <= TAG_MAX);
            (attribute, Some(tag.ok_or(TextFault::BadTag)?))
        }
        (None, _) => {
            return Err(TextFault::UnknownAttribute(dictionary.nearest(name).map(Into::into)));
        }
    };
    if attribute.internal() {
        return Err(TextFault::Internal);
    }
    Ok(Named { oid: attribute.oid(), attribute: Some(attribute), tag })
}

fn octets_of(attribute: Option<&Attribute>, value: &Value<'_>) -> Result<Vec<u8>, TextFault> {
    let Some(attribute) = attribute else {
        let text = match value {
            Value::Word(word) => Some(*word),
            Value::Quoted(octets) => core::str::from_utf8(octets).ok(),
        };
        return text.and_then(hexadecimal).ok_or(TextFault::NotHexadecimal);
    };
    let literal = match value {
        Value::Word(word) => Literal::Word(word),
        Value::Quoted(octets) => Literal::Quoted(octets),
    };
    encode_value(attribute, literal).map_err(|error| TextFault::Value(error.expected))
}

fn strip_prefix_in_any_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
