//! From attributes to octets: headers, containers, and values that are cut into pieces.

use super::walk::Item;
use crate::dictionary::{Attribute, Dictionary};
use crate::packet::extended::{EXTENDED_VENDOR_SPECIFIC, Extension, extension};
use crate::packet::tlv::TLV_HEADER_OCTETS;
use crate::packet::vendor::{MORE, VENDOR_OCTETS};
use crate::packet::{
    DataType, HEADER_OCTETS, OID_DEPTH_MAX, Oid, PACKET_OCTETS_MAX, VALUE_OCTETS_MAX, VendorFormat,
};
use alloc::vec::Vec;
use core::fmt;

/// One attribute to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'v> {
    /// The numbers that lead to it.
    pub oid: Oid,
    /// A tag before the value (RFC 2868 §3).
    pub tag: Option<u8>,
    /// As it is sent: hidden, if its attribute is.
    pub value: &'v [u8],
    /// As [`Item::joined`]: with how many of its numbers it stands in the same attribute as the entry before. More than
    /// both have in common, or than can be joined, is taken for less.
    pub joined: usize,
}

impl<'v> From<&Item<'v>> for Entry<'v> {
    fn from(item: &Item<'v>) -> Entry<'v> {
        Entry { oid: item.oid, tag: item.tag, value: item.value, joined: item.joined }
    }
}

/// Writes attributes behind what a buffer holds, as many as fit into one packet.
///
/// What is refused leaves what was written before as it was. Until [`Writer::finish`] the last attribute is not whole.
#[must_use = "the last attribute is only whole when it is finished"]
pub struct Writer<'b> {
    dictionary: &'b Dictionary,
    out: &'b mut Vec<u8>,
    /// Where the first attribute begins.
    begin: usize,
    octets_max: usize,
    unit: Option<Unit>,
    /// What is open within the unit, outermost first.
    open: [Open; OID_DEPTH_MAX],
    depth: usize,
}

/// An attribute, or a run of them, that more may be joined to.
#[derive(Clone, Copy)]
struct Unit {
    /// Where its header begins.
    start: usize,
    form: Form,
    /// The numbers that its own headers say.
    oid: Oid,
    /// The entry that was written last.
    last: Oid,
    /// How many of a vendor's attributes it holds.
    attributes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Concatenated,
    Short,
    Long,
    Vendor { format: VendorFormat },
}

/// A header within, whose length is known when it closes.
#[derive(Clone, Copy)]
struct Open {
    start: usize,
    oid_depth: usize,
    format: Option<VendorFormat>,
}

impl<'b> Writer<'b> {
    /// Writes behind what `out` holds, at most as much as a packet without other attributes has room for.
    pub fn new(dictionary: &'b Dictionary, out: &'b mut Vec<u8>) -> Writer<'b> {
        let begin = out.len();
        let octets_max = PACKET_OCTETS_MAX - HEADER_OCTETS;
        let closed = Open { start: 0, oid_depth: 0, format: None };
        Writer { dictionary, out, begin, octets_max, unit: None, open: [closed; OID_DEPTH_MAX], depth: 0 }
    }

    /// Writes one attribute, joined to the one before as far as it says and that one allows.
    ///
    /// # Errors
    /// [`WriteError`]; nothing of it is written then.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<(), WriteError> {
        let joins = self.unit.filter(|unit| {
            let common = unit.last.common_depth(&entry.oid).min(entry.joined);
            let one_alone = matches!(unit.form, Form::Vendor { format } if format.length_octets() == 0);
            let both_within = unit.last.depth().min(entry.oid.depth()) > unit.oid.depth();
            common >= unit.oid.depth() && both_within && !one_alone
        });
        match joins {
            Some(unit) => self.join(unit, entry),
            None => {
                let unit = self.unit_for(&entry.oid)?;
                let added = self.check(&unit, 0, entry, unit.oid.depth())?;
                self.check_room(&unit, entry, unit.prefix_octets() + added, 1, self.wire_octets_so_far())?;
                self.flush();
                let start = self.out.len();
                let unit = Unit { start, ..unit };
                self.begin(&unit);
                self.unit = Some(unit);
                self.write(entry, unit.oid.depth());
                Ok(())
            }
        }
    }

    /// Completes the last attribute and gives how many octets all have.
    pub fn finish(mut self) -> usize {
        self.flush();
        self.out.len() - self.begin
    }

    fn join(&mut self, unit: Unit, entry: &Entry<'_>) -> Result<(), WriteError> {
        let common = unit.last.common_depth(&entry.oid).min(entry.joined);
        let kept = self.open[..self.depth].iter().take_while(|open| open.oid_depth <= common).count();
        // A container that both stand in, and the entry is not itself.
        let kept = kept.min(entry.oid.depth() - unit.oid.depth() - 1);
        let depth = kept.checked_sub(1).map_or(unit.oid.depth(), |last| self.open[last].oid_depth);
        let added = self.check(&unit, kept, entry, depth)?;
        let content = self.out.len() - unit.start - unit.header_octets();
        let attributes = unit.attributes + usize::from(kept == 0);
        self.check_room(&unit, entry, content + added, attributes, unit.start - self.begin)?;
        self.close(kept);
        self.unit = Some(Unit { last: entry.oid, attributes, ..unit });
        self.write(entry, depth);
        Ok(())
    }

    /// Which headers an attribute of these numbers begins with.
    fn unit_for(&self, oid: &Oid) -> Result<Unit, WriteError> {
        let foreign = Err(WriteError::NotAnAttribute { oid: *oid });
        let Ok(number) = u8::try_from(oid.first()) else { return foreign };
        let known = self.dictionary.numbered(number);
        let plain = known
            .is_some_and(|known| !matches!(known.data_type(), DataType::Extended | DataType::LongExtended));
        let extended = extension(number).filter(|_| !plain);
        let octets = |numbers: &[u32]| numbers.iter().all(|number| *number <= 255);
        let (form, depth) = match (oid.parts(), extended) {
            ([_], _) if known.is_some_and(Attribute::concatenated) => (Form::Concatenated, 1),
            ([_], _) => (Form::Plain, 1),
            ([26, vendor, number, within @ ..], _) => {
                let format = self.dictionary.vendor_format(*vendor);
                if *number > format.type_max() || !octets(within) {
                    return foreign;
                }
                (Form::Vendor { format }, 2)
            }
            ([26, ..], _) => return foreign,
            ([_, EXTENDED_VENDOR_SPECIFIC_WIDE, _, rest @ ..], Some(extension)) => {
                if rest.is_empty() || !octets(rest) {
                    return foreign;
                }
                (extension.into(), 4)
            }
            ([_, rest @ ..], Some(extension)) if octets(rest) => (extension.into(), 2),
            ([_, rest @ ..], None) if octets(rest) => (Form::Plain, 1),
            _ => return foreign,
        };
        Ok(Unit { start: 0, form, oid: oid.ancestor(depth), last: *oid, attributes: 1 })
    }

    /// Whether the entry fits into headers of its own and the `kept` first of what is open, whose last stands at `depth`;
    /// gives how many octets it adds.
    fn check(&self, unit: &Unit, kept: usize, entry: &Entry<'_>, depth: usize) -> Result<usize, WriteError> {
        let oid = entry.oid;
        let value = entry.value.len() + usize::from(entry.tag.is_some());
        let too_long = Err(WriteError::TooLong { oid, octets: value });
        // RFC 6929 §2.1 to §2.3: extended attributes and TLVs hold at least one octet.
        let vendors_own = matches!(unit.form, Form::Vendor { .. }) && oid.depth() == 3;
        let nested = oid.depth() > unit.oid.depth() && !vendors_own;
        if value == 0 && (nested || matches!(unit.form, Form::Short | Form::Long)) {
            return Err(WriteError::Empty { oid });
        }
        let mut added = value;
        for within in (depth + 1..=oid.depth()).rev() {
            let format = unit.format_at(within);
            added += header_octets(format);
            if added > length_max(format) {
                return too_long;
            }
        }
        for open in &self.open[..kept] {
            if self.out.len() - open.start + added > length_max(open.format) {
                return too_long;
            }
        }
        Ok(added)
    }

    /// Whether so much content fits into one attribute, or the pieces that it may be cut into, and all into the packet.
    fn check_room(
        &self,
        unit: &Unit,
        entry: &Entry<'_>,
        content: usize,
        attributes: usize,
        before: usize,
    ) -> Result<(), WriteError> {
        let oid = entry.oid;
        let octets = entry.value.len() + usize::from(entry.tag.is_some());
        let whole = unit.wire_octets(content, attributes).ok_or(WriteError::TooLong { oid, octets })?;
        if before + whole > self.octets_max {
            let room = self.octets_max.saturating_sub(before);
            return Err(WriteError::PacketFull { oid, octets: whole, room });
        }
        Ok(())
    }

    /// How many octets all attributes have once the last is cut into pieces.
    fn wire_octets_so_far(&self) -> usize {
        let Some(unit) = &self.unit else { return self.out.len() - self.begin };
        let content = self.out.len() - unit.start - unit.header_octets();
        let octets = unit.wire_octets(content, unit.attributes).expect("what was written was seen to fit");
        unit.start - self.begin + octets
    }

    /// The unit's own headers; its length is filled in when it is complete.
    fn begin(&mut self, unit: &Unit) {
        let number = unit.oid.first() as u8;
        self.out.extend_from_slice(&[number, 0]);
        match (unit.form, unit.oid.parts()) {
            (Form::Plain | Form::Concatenated, _) => {}
            (Form::Vendor { .. }, parts) => self.out.extend_from_slice(&parts[1].to_be_bytes()),
            (Form::Short | Form::Long, parts) => {
                self.out.push(parts[1] as u8);
                if unit.form == Form::Long {
                    self.out.push(0);
                }
                if let [_, _, vendor, vendor_type] = *parts {
                    self.out.extend_from_slice(&vendor.to_be_bytes());
                    self.out.push(vendor_type as u8);
                }
            }
        }
    }

    /// Headers below `depth`, tag and value.
    fn write(&mut self, entry: &Entry<'_>, depth: usize) {
        let unit = self.unit.expect("it was begun");
        for within in depth + 1..=entry.oid.depth() {
            let format = unit.format_at(within);
            self.open[self.depth] = Open { start: self.out.len(), oid_depth: within, format };
            self.depth += 1;
            let number = entry.oid.parts()[within - 1].to_be_bytes();
            let (type_octets, length_octets) =
                format.map_or((1, 1), |format| (format.type_octets(), format.length_octets()));
            self.out.extend_from_slice(&number[4 - type_octets..]);
            self.out.extend_from_slice(&[0; 4][..length_octets]);
            if format.is_some_and(VendorFormat::continuation) {
                self.out.push(0);
            }
        }
        self.out.extend(entry.tag);
        self.out.extend_from_slice(entry.value);
        if self.depth > 0 && entry.oid.depth() > unit.oid.depth() {
            self.close(self.depth - 1);
        }
    }

    /// Fills in the lengths of all that is open but the first `kept`.
    fn close(&mut self, kept: usize) {
        while self.depth > kept {
            self.depth -= 1;
            let Open { start, format, .. } = self.open[self.depth];
            let length = self.out.len() - start;
            let place = start + format.map_or(1, VendorFormat::type_octets);
            match format.map_or(1, VendorFormat::length_octets) {
                0 => {}
                // A value that is to be cut into pieces gets its lengths then.
                1 => self.out[place] = u8::try_from(length).unwrap_or(u8::MAX),
                _ => self.out[place..place + 2].copy_from_slice(&(length as u16).to_be_bytes()),
            }
        }
    }

    /// Completes the attribute that was begun last, in pieces if it must be.
    fn flush(&mut self) {
        self.close(0);
        let Some(unit) = self.unit.take() else { return };
        let content_start = unit.start + unit.header_octets();
        let content = self.out.len() - content_start;
        let (skipped, piece_max) = match unit.form {
            Form::Long => (0, LONG_PIECE_OCTETS),
            Form::Concatenated => (0, VALUE_OCTETS_MAX),
            Form::Vendor { format } if format.continuation() => (
                VENDOR_OCTETS + format.header_octets(),
                VALUE_OCTETS_MAX - VENDOR_OCTETS - format.header_octets(),
            ),
            Form::Plain | Form::Short | Form::Vendor { .. } => (0, usize::MAX),
        };
        if content - skipped.min(content) <= piece_max {
            self.out[unit.start + 1] = (self.out.len() - unit.start) as u8;
            return;
        }
        // Pieces have headers, so what is behind them moves: from a copy, which only long values pay for.
        let mut copy = [0; PACKET_OCTETS_MAX];
        let copied = content - skipped;
        copy[..copied].copy_from_slice(&self.out[content_start + skipped..]);
        let mut header = [0; 16];
        let header_octets = unit.header_octets() + skipped;
        header[..header_octets].copy_from_slice(&self.out[unit.start..unit.start + header_octets]);
        self.out.truncate(unit.start);
        let mut pieces = copy[..copied].chunks(piece_max).peekable();
        while let Some(piece) = pieces.next() {
            let header = &mut header[..header_octets];
            header[1] = (header_octets + piece.len()) as u8;
            let more = if pieces.peek().is_some() { MORE } else { 0 };
            match unit.form {
                Form::Long => header[3] = more,
                Form::Vendor { format } => {
                    let length = 2 + VENDOR_OCTETS + format.type_octets();
                    header[length] = (format.header_octets() + piece.len()) as u8;
                    header[header_octets - 1] = more;
                }
                Form::Plain | Form::Concatenated | Form::Short => {}
            }
            self.out.extend_from_slice(header);
            self.out.extend_from_slice(piece);
        }
    }
}

impl Unit {
    /// Octets before the content: number and length, and of extended attributes extended type and flags.
    fn header_octets(&self) -> usize {
        match self.form {
            Form::Short => 3,
            Form::Long => 4,
            Form::Plain | Form::Concatenated | Form::Vendor { .. } => 2,
        }
    }

    /// Octets of content that say vendor and vendor's type.
    fn prefix_octets(&self) -> usize {
        match self.form {
            Form::Vendor { .. } => VENDOR_OCTETS,
            Form::Short | Form::Long if self.oid.depth() == 4 => VENDOR_OCTETS + 1,
            Form::Plain | Form::Concatenated | Form::Short | Form::Long => 0,
        }
    }

    /// The vendor's format where the header at this depth is a vendor's.
    fn format_at(&self, depth: usize) -> Option<VendorFormat> {
        match self.form {
            Form::Vendor { format } if depth == 3 => Some(format),
            Form::Plain | Form::Concatenated | Form::Short | Form::Long | Form::Vendor { .. } => None,
        }
    }

    /// How many octets so much content needs with all headers; `None` if it cannot be sent.
    fn wire_octets(&self, content: usize, attributes: usize) -> Option<usize> {
        let header = self.header_octets();
        let cut =
            |octets: usize, piece: usize, header: usize| octets + header * octets.div_ceil(piece).max(1);
        match self.form {
            Form::Concatenated => Some(cut(content, VALUE_OCTETS_MAX, header)),
            Form::Long => Some(cut(content, LONG_PIECE_OCTETS, header)),
            Form::Vendor { format } if format.continuation() && attributes == 1 => {
                let headers = VENDOR_OCTETS + format.header_octets();
                Some(cut(content - headers, VALUE_OCTETS_MAX - headers, header + headers))
            }
            Form::Plain | Form::Short | Form::Vendor { .. } => {
                (header + content <= VALUE_OCTETS_MAX + 2).then_some(header + content)
            }
        }
    }
}

impl From<Extension> for Form {
    fn from(extension: Extension) -> Form {
        match extension {
            Extension::Short => Form::Short,
            Extension::Long => Form::Long,
        }
    }
}

/// Octets of a header within: a vendor's, or a TLV's.
fn header_octets(format: Option<VendorFormat>) -> usize {
    format.map_or(TLV_HEADER_OCTETS, VendorFormat::header_octets)
}

/// The greatest length that such a header can say; a value that can go on in the next attribute has none.
fn length_max(format: Option<VendorFormat>) -> usize {
    match format {
        None => 255,
        Some(format) if format.continuation() || format.length_octets() == 0 => usize::MAX,
        Some(format) => (1 << (8 * format.length_octets())) - 1,
    }
}

/// Why an attribute cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// These numbers lead to no attribute of a packet: the first is above 255, one of a vendor or type does not fit its
    /// field, or they end at a vendor.
    NotAnAttribute {
        /// The numbers.
        oid: Oid,
    },
    /// Nothing where at least one octet must be (RFC 6929 §2.1 to §2.3).
    Empty {
        /// The attribute.
        oid: Oid,
    },
    /// More than its headers can say.
    TooLong {
        /// The attribute.
        oid: Oid,
        /// How many octets its value has, with its tag.
        octets: usize,
    },
    /// The packet would pass 4 096 octets.
    PacketFull {
        /// The attribute that does not fit.
        oid: Oid,
        /// How many octets it needs, headers included.
        octets: usize,
        /// How many are left.
        room: usize,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::NotAnAttribute { oid } => write!(f, "no packet has an attribute {oid}"),
            WriteError::Empty { oid } => write!(f, "attribute {oid} has no octets"),
            WriteError::TooLong { oid, octets } => {
                write!(f, "attribute {oid} has {octets} octets, more than it can have")
            }
            WriteError::PacketFull { oid, octets, room } => {
                write!(f, "attribute {oid} needs {octets} octets, the packet has room for {room}")
            }
        }
    }
}

impl core::error::Error for WriteError {}

/// The value of a long extended attribute that goes on in the next (RFC 6929 §2.2).
const LONG_PIECE_OCTETS: usize = VALUE_OCTETS_MAX - Extension::Long.header_octets();
const EXTENDED_VENDOR_SPECIFIC_WIDE: u32 = EXTENDED_VENDOR_SPECIFIC as u32;
