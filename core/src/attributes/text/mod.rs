//! Attributes as text, as radclient's users write them: `User-Name = "bob", Tunnel-Type:1 = VLAN, Attr-26.9.1 = 0x00`.
//!
//! One grammar for configuration, requests, logs and simulator. Assignments stand between commas or on lines of their
//! own; `#` begins a comment. Operators are `=`, `:=` and `+=`, of which the last begins an attribute of its own where
//! TLVs would else go into the one before. What a dictionary does not know, or what is none of its type, is written by
//! number and in hexadecimal.

mod error;
mod law;
mod parse;
mod print;

pub use error::{TextError, TextFault};
#[doc(hidden)]
pub use law::text_law;
pub use parse::{Named, named, parse};
pub use print::{PrintedAttributes, print};

use super::hidden::hide;
use super::write::{Entry, WriteError, Writer};
use crate::dictionary::{Attribute, Dictionary, Encryption};
use crate::packet::hidden::{Hop, SALT_OCTETS};
use crate::packet::tagged::tag_to_write;
use crate::packet::{Oid, VALUE_OCTETS_MAX};
use alloc::vec::Vec;

/// One attribute with its value, as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// With what values are hidden that are not sent plain.
#[derive(Debug, Clone)]
pub struct Sealing<'s> {
    /// The hop for which they are hidden.
    pub hop: Hop<'s>,
    /// The first value's salt; each further one has the next (RFC 2868 §3.5: all of a packet's differ).
    pub salt: u16,
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
    let begin = out.len();
    let written = write_all(dictionary, assignments, sealing, out);
    if written.is_err() {
        out.truncate(begin);
    }
    written
}

fn write_all(
    dictionary: &Dictionary,
    assignments: &[Assignment<'_>],
    mut sealing: Option<Sealing<'_>>,
    out: &mut Vec<u8>,
) -> Result<usize, TextError> {
    let mut writer = Writer::new(dictionary, out);
    let mut last = None;
    let mut hidden = [0; VALUE_OCTETS_MAX];
    for assignment in assignments {
        let error =
            |fault| TextError { offset: assignment.offset, attribute: Some(assignment.name().into()), fault };
        let Assignment { oid, tag, value, .. } = assignment;
        let (tag, value) = match assignment.attribute {
            None => (*tag, value.as_slice()),
            Some(attribute) => {
                let value = sealed(attribute, value, sealing.as_mut(), &mut hidden).map_err(error)?;
                let salted = attribute.encryption() == Encryption::TunnelPassword;
                let tag =
                    attribute.tagged().then(|| tag_to_write(attribute.data_type(), salted, *tag, value));
                (tag.flatten(), value)
            }
        };
        let joined = last.filter(|_| !assignment.apart).map_or(0, |last: Oid| joined_to(&last, oid));
        let entry = Entry { oid: *oid, tag, value, joined };
        let written = match writer.push(&entry) {
            // What does not fit beside the one before may fit by itself.
            Err(WriteError::TooLong { .. } | WriteError::PacketFull { .. }) if joined > 0 => {
                writer.push(&Entry { joined: 0, ..entry })
            }
            written => written,
        };
        written.map_err(|why| error(TextFault::Write(why)))?;
        last = Some(*oid);
    }
    Ok(writer.finish())
}

fn sealed<'v>(
    attribute: &Attribute,
    value: &'v [u8],
    sealing: Option<&mut Sealing<'_>>,
    out: &'v mut [u8; VALUE_OCTETS_MAX],
) -> Result<&'v [u8], TextFault> {
    if !attribute.encrypted() {
        return Ok(value);
    }
    let sealing = sealing.ok_or(TextFault::Hidden)?;
    let salt: [u8; SALT_OCTETS] = sealing.salt.to_be_bytes();
    if attribute.encryption() == Encryption::TunnelPassword {
        sealing.salt = sealing.salt.wrapping_add(1);
    }
    hide(attribute, value, salt, sealing.hop, out).map_err(|_| TextFault::Hidden)
}

impl Assignment<'_> {
    /// What it is called in messages.
    fn name(&self) -> alloc::string::String {
        match self.attribute {
            Some(attribute) => attribute.name().into(),
            None => alloc::format!("Attr-{}", self.oid),
        }
    }
}

/// With how many of its numbers an attribute stands in the same one as that before, unless it says otherwise: with all
/// TLVs that both are in. Attributes of a vendor have a Vendor-Specific each: some NASes read the first only.
fn joined_to(last: &Oid, oid: &Oid) -> usize {
    let common = last.common_depth(oid).min(last.depth() - 1).min(oid.depth() - 1);
    if oid.first() == 26 && common < 3 { 0 } else { common }
}
