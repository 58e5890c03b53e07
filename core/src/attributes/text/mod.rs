//! Attributes as text, as radclient's users write them: `User-Name = "bob", Tunnel-Type:1 = VLAN, Attr-26.9.1 = 0x00`.
//!
//! One grammar for configuration, requests, logs and simulator. Assignments stand between commas or on lines of their
//! own; `#` begins a comment. Operators are `=`, `:=` and `+=`, of which the last begins an attribute of its own where
//! TLVs would else go into the one before. Attributes of a vendor get a Vendor-Specific each, as radclient writes them;
//! several in one are printed one by one, and how they were packed is lost (RFC 2865 §5.26: it means the same). What a
//! dictionary does not know, or what is none of its type, is written by number and in hexadecimal.

mod error;
mod law;
mod parse;
mod print;

pub use error::{TextError, TextFault};
#[doc(hidden)]
pub use law::text_law;
pub use parse::{Named, named, parse};
pub use print::{PrintedAttributes, print};

pub use super::hidden::Sealing;

use super::write::{Entry, WriteError, Writer};
use crate::dictionary::{Attribute, Dictionary, Encryption};
use crate::packet::tagged::tag_to_write;
use crate::packet::{DataType, Oid, VALUE_OCTETS_MAX};
use alloc::vec::Vec;
use core::fmt;

/// One attribute with its value, as somebody wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment<'d> {
    /// The numbers that lead to it.
    pub oid: Oid,
    /// The attribute; `None` of one that was written by number, whose value is sent as it is: tag, salt and all.
    pub attribute: Option<&'d Attribute>,
    /// The tag, if one was written.
    pub tag: Option<u8>,
    /// Plain, without tag.
    pub value: Vec<u8>,
    /// Whether it must stand in an attribute of its own: `+=`.
    pub apart: bool,
    /// Where in the text it begins.
    pub offset: usize,
}

impl fmt::Debug for Assignment<'_> {
    /// Without a value that is hidden in a packet: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = (!self.is_hidden()).then_some(&self.value);
        write!(f, "{}:{:?} = {value:?} (apart: {}, at {})", self.name(), self.tag, self.apart, self.offset)
    }
}

/// What an attribute's octets need to be known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub data_type: DataType,
    pub tagged: bool,
    pub encryption: Encryption,
}

/// What is written of an [`Assignment`].
#[derive(Clone, Copy)]
pub(super) struct Part<'v> {
    pub oid: Oid,
    /// `None` if the value is sent as it is.
    pub form: Option<Form>,
    pub tag: Option<u8>,
    /// Plain, without tag.
    pub value: &'v [u8],
    pub apart: bool,
}

/// Writes attributes behind what `out` holds, and gives how many octets they have.
///
/// # Errors
/// [`TextFault::Hidden`] where `sealing` is needed and missing, [`TextFault::Write`]; `out` is as it was then.
pub fn write(
    dictionary: &Dictionary,
    assignments: &[Assignment<'_>],
    sealing: Option<Sealing<'_>>,
    out: &mut Vec<u8>,
) -> Result<usize, TextError> {
    let mut sealing = sealing;
    let parts = assignments.iter().map(Assignment::part);
    write_parts(dictionary, parts, sealing.as_mut(), out).map_err(|(place, fault)| {
        let assignment = &assignments[place];
        TextError { offset: assignment.offset, attribute: Some(assignment.name().into()), fault }
    })
}

/// The same of what assignments are made of; an error says at which of them it is. `out` is as it was then.
pub(super) fn write_parts<'v>(
    dictionary: &Dictionary,
    parts: impl Iterator<Item = Part<'v>>,
    mut sealing: Option<&mut Sealing<'_>>,
    out: &mut Vec<u8>,
) -> Result<usize, (usize, TextFault)> {
    let begin = out.len();
    let mut writer = Writer::new(dictionary, out);
    let mut last = None;
    let mut failed = None;
    for (place, part) in parts.enumerate() {
        if let Err(fault) = write_part(&mut writer, &part, last, sealing.as_deref_mut()) {
            failed = Some((place, fault));
            break;
        }
        last = Some(part.oid);
    }
    let octets = writer.finish();
    match failed {
        None => Ok(octets),
        Some(failed) => {
            out.truncate(begin);
            Err(failed)
        }
    }
}

fn write_part(
    writer: &mut Writer<'_>,
    part: &Part<'_>,
    last: Option<Oid>,
    sealing: Option<&mut Sealing<'_>>,
) -> Result<(), TextFault> {
    let mut hidden = [0; VALUE_OCTETS_MAX];
    let (tag, value) = match part.form {
        None => (part.tag, part.value),
        Some(Form { data_type, tagged, encryption }) => {
            let value = match encryption {
                Encryption::None => part.value,
                Encryption::UserPassword | Encryption::TunnelPassword | Encryption::AscendSecret => {
                    let sealing = sealing.ok_or(TextFault::Hidden)?;
                    sealing.hide(encryption, part.value, &mut hidden).map_err(|_| TextFault::Hidden)?
                }
            };
            let salted = encryption == Encryption::TunnelPassword;
            let tag = tagged.then(|| tag_to_write(data_type, salted, part.tag, value)).flatten();
            (tag, value)
        }
    };
    let joined = last.filter(|_| !part.apart).map_or(0, |last| joined_to(&last, &part.oid));
    let entry = Entry { oid: part.oid, tag, value, joined };
    let written = match writer.push(&entry) {
        // What does not fit beside the one before may fit by itself.
        Err(WriteError::TooLong { .. } | WriteError::PacketFull { .. }) if joined > 0 => {
            writer.push(&Entry { joined: 0, ..entry })
        }
        written => written,
    };
    written.map_err(TextFault::Write)
}

impl Assignment<'_> {
    /// Whether its value is one that is hidden.
    pub fn is_hidden(&self) -> bool {
        self.attribute.is_some_and(Attribute::encrypted)
    }

    pub(super) fn form(&self) -> Option<Form> {
        self.attribute.map(|attribute| Form {
            data_type: attribute.data_type(),
            tagged: attribute.tagged(),
            encryption: attribute.encryption(),
        })
    }

    fn part(&self) -> Part<'_> {
        let Assignment { oid, tag, ref value, apart, .. } = *self;
        Part { oid, form: self.form(), tag, value, apart }
    }

    /// What it is called in messages.
    fn name(&self) -> alloc::string::String {
        match self.attribute {
            Some(attribute) => attribute.name().into(),
            None => alloc::format!("Attr-{}", self.oid),
        }
    }
}

/// Whether `next` stands in an attribute of its own, as far as that is known before it is written.
pub(super) fn begins_unit(last: &Assignment<'_>, next: &Assignment<'_>) -> bool {
    next.apart || joined_to(&last.oid, &next.oid) == 0
}

/// With how many of its numbers an attribute stands in the same one as that before, unless it says otherwise: with all
/// TLVs that both are in. Attributes of a vendor have a Vendor-Specific each: some NASes read the first only.
fn joined_to(last: &Oid, oid: &Oid) -> usize {
    let common = last.common_depth(oid).min(last.depth() - 1).min(oid.depth() - 1);
    if oid.first() == 26 && common < 3 { 0 } else { common }
}
