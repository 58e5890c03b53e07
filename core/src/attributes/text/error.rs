//! What is wrong in a text of attributes, by attribute and place.

use crate::attributes::WriteError;
use crate::dictionary::Expected;
use alloc::boxed::Box;
use core::fmt;

/// Something that cannot be read, or written into a packet. Shows no value: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// Where in the text, in octets from its beginning.
    pub offset: usize,
    /// What the attribute is called in the text, as far as it was read.
    pub attribute: Option<Box<str>>,
    /// What is wrong with it.
    pub fault: TextFault,
}

/// What may be wrong with an attribute in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFault {
    /// No name where an attribute should begin.
    NoName,
    /// No dictionary knows the name; with the one that was probably meant.
    UnknownAttribute(Option<Box<str>>),
    /// `Attr-` is not followed by numbers between dots.
    BadNumbers,
    /// No packet carries this attribute.
    Internal,
    /// It is written with a tag and has none.
    NotTagged,
    /// The tag is not one of 0 to 31.
    BadTag,
    /// Neither `=` nor `:=` nor `+=` follows the name.
    BadOperator,
    /// Nothing follows the operator.
    NoValue,
    /// Not the octets of an attribute by number: `0x` and pairs of hexadecimal digits.
    NotHexadecimal,
    /// A quote that is not closed on its line.
    UnclosedQuote,
    /// A backslash with something else behind it than is known.
    BadEscape,
    /// The attribute cannot hold the value.
    Value(Expected),
    /// Something else than a comma or the end of the line follows the value.
    NoSeparator,
    /// Its value is hidden under a secret, and there is none.
    Hidden,
    /// It cannot be written into a packet.
    Write(WriteError),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attribute {
            Some(attribute) => {
                write!(f, "`{}` at octet {}: {}", attribute.escape_debug(), self.offset, self.fault)
            }
            None => write!(f, "at octet {}: {}", self.offset, self.fault),
        }
    }
}

impl core::error::Error for TextError {}

impl fmt::Display for TextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextFault::NoName => "expected the name of an attribute",
            TextFault::UnknownAttribute(None) => "unknown attribute",
            TextFault::UnknownAttribute(Some(meant)) => {
                return write!(f, "unknown attribute; did you mean `{meant}`?");
            }
            TextFault::BadNumbers => "expected numbers between dots, such as `Attr-26.9.1`",
            TextFault::Internal => "no packet carries this attribute",
            TextFault::NotTagged => "this attribute has no tag",
            TextFault::BadTag => "expected a tag from 0 to 31",
            TextFault::BadOperator => "expected `=`, `:=` or `+=` after the name",
            TextFault::NoValue => "expected a value",
            TextFault::NotHexadecimal => "expected `0x` and pairs of hexadecimal digits",
            TextFault::UnclosedQuote => "the quote is not closed on its line",
            TextFault::BadEscape => {
                "expected one of `\\n`, `\\r`, `\\t`, `\\\\`, `\\\"`, `\\'`, `\\x00` to `\\xff`, `\\000` to `\\377`"
            }
            TextFault::Value(expected) => return write!(f, "expected {expected}"),
            TextFault::NoSeparator => "expected a comma or the end of the line after the value",
            TextFault::Hidden => "its value is hidden under a secret, and there is none to hide it with",
            TextFault::Write(error) => return write!(f, "{error}"),
        })
    }
}
