//! From octets to attributes: a walk over what stands in a packet, nested as deep as a dictionary knows it.
//!
//! Borrows and allocates nothing; values that were sent in pieces are put together in the caller's [`Scratch`].
//!
//! An *invalid attribute* (RFC 6929 §2.8) ends nothing: it is one item with the octets that it has, and so are pieces
//! of which one is missing, and containers that are not filled as they should be.

use crate::dictionary::{Attribute, Dictionary, Encryption};
use crate::packet::extended::{EXTENDED_VENDOR_SPECIFIC, Extension, extension};
use crate::packet::tagged::split_tag;
use crate::packet::tlv::{are_tlvs, first_tlv};
use crate::packet::vendor::{MORE, VENDOR_OCTETS};
use crate::packet::{Attributes, DataType, OID_DEPTH_MAX, Oid, PACKET_OCTETS_MAX, VendorFormat, number};
use core::ops::Range;

/// One attribute that holds no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The numbers that lead to it.
    pub oid: Oid,
    /// The attribute, if the dictionary knows one of these numbers.
    pub attribute: Option<&'a Attribute>,
    /// What the value is worth.
    pub shape: Shape,
    /// The tag before the value (RFC 2868 §3).
    pub tag: Option<u8>,
    /// Behind all headers and the tag, in one piece, and still hidden if its attribute is.
    pub value: &'a [u8],
    /// How many of its numbers it shares with the item before in one and the same attribute; 0 where an attribute of
    /// its own begins. Two TLVs that follow each other in one container share its numbers; two containers of the same
    /// numbers share none.
    pub joined: usize,
    /// Where the attribute, or run of attributes, in which it stands begins and ends, counted from the first octet
    /// that is walked over.
    pub place: Range<usize>,
}

/// What an item's value is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It is as its attribute's type says.
    Known,
    /// No dictionary says what it should be.
    Unknown,
    /// Its octets are none of its attribute's type, or its headers are wrong: an invalid attribute, not to be read as
    /// what it should be (RFC 6929 §2.8).
    Invalid,
}

/// Where values are put together that were sent in pieces. Large: kept by the caller, not made for each walk.
pub struct Scratch([u8; PACKET_OCTETS_MAX]);

/// All attributes of a packet, in order, those within others each by itself.
pub struct Walk<'a> {
    dictionary: &'a Dictionary,
    rest: Attributes<'a>,
    octets: usize,
    scratch: &'a mut [u8],
    /// The containers that are open, outermost first; each stands at the beginning of `path`.
    open: [Container<'a>; OID_DEPTH_MAX],
    depth: usize,
    path: Oid,
    place: Range<usize>,
    /// Attributes that begin before this are pieces of which one is missing.
    broken_until: usize,
}

#[derive(Clone, Copy)]
struct Container<'a> {
    rest: &'a [u8],
    /// How many of the path's numbers lead to it.
    oid_depth: usize,
    /// Of a Vendor-Specific; all others hold TLVs.
    format: Option<VendorFormat>,
    /// Whether something in it has been given out.
    begun: bool,
}

/// What one attribute contributes to a value that is sent in pieces.
#[derive(Clone, Copy)]
struct Piece<'a> {
    /// Pieces of one value have the same.
    key: u32,
    more: bool,
    /// `None` if it cannot be a piece.
    octets: Option<&'a [u8]>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch([0; PACKET_OCTETS_MAX])
    }
}

impl<'a> Walk<'a> {
    /// Begins at the first of these attributes. What was put together in `scratch` before is overwritten.
    pub fn new(dictionary: &'a Dictionary, attributes: Attributes<'a>, scratch: &'a mut Scratch) -> Walk<'a> {
        let closed = Container { rest: &[], oid_depth: 0, format: None, begun: false };
        Walk {
            dictionary,
            rest: attributes,
            octets: attributes.octets().len(),
            scratch: &mut scratch.0,
            open: [closed; OID_DEPTH_MAX],
            depth: 0,
            path: Oid::standard(0),
            place: 0..0,
            broken_until: 0,
        }
    }

    /// How far the attributes have been taken.
    fn offset(&self) -> usize {
        self.octets - self.rest.octets().len()
    }

    /// The item at the beginning of the next attribute; `None` if that is a container, which then is open.
    fn attribute(&mut self, number: u8, value: &'a [u8]) -> Option<Item<'a>> {
        let oid = Oid::standard(number);
        if self.place.start < self.broken_until {
            return Some(self.invalid(oid, value));
        }
        if number == number::VENDOR_SPECIFIC {
            return self.vendor_specific(oid, value);
        }
        // Ascend once took the numbers 241 to 246 for itself: a dictionary may still say so.
        let known = self.dictionary.at(&oid);
        let plain = known
            .is_some_and(|known| !matches!(known.data_type(), DataType::Extended | DataType::LongExtended));
        match extension(number) {
            Some(Extension::Short) if !plain => match Extension::Short.read(value) {
                Some(extended) => self.extended(oid, extended.extended_type, extended.value),
                None => Some(self.invalid(oid, value)),
            },
            Some(Extension::Long) if !plain => self.long_extended(oid, number, value),
            _ if known.is_some_and(Attribute::concatenated) => {
                let whole = self.concatenated(number, value);
                self.enter_known(oid, known, whole)
            }
            _ => self.enter_known(oid, known, value),
        }
    }

    /// What stands in an extended attribute, be it a vendor's (RFC 6929 §2.4).
    fn extended(&mut self, oid: Oid, extended_type: u8, value: &'a [u8]) -> Option<Item<'a>> {
        let child = |oid: Oid, number: u32| oid.child(number).expect("the first numbers are not too deep");
        let oid_within = child(oid, u32::from(extended_type));
        if extended_type != EXTENDED_VENDOR_SPECIFIC {
            return self.enter(oid_within, value);
        }
        match value.split_first_chunk::<VENDOR_OCTETS>() {
            Some((vendor, [vendor_type, value @ ..])) if !value.is_empty() => {
                let vendor = child(oid_within, u32::from_be_bytes(*vendor));
                self.enter(child(vendor, u32::from(*vendor_type)), value)
            }
            Some(_) | None => Some(self.invalid(oid_within, value)),
        }
    }

    fn long_extended(&mut self, oid: Oid, number: u8, value: &'a [u8]) -> Option<Item<'a>> {
        let read = |value: &'a [u8]| match value {
            [extended_type, flags, ..] => Some(Piece {
                key: u32::from(*extended_type),
                more: flags & MORE != 0,
                octets: Extension::Long.read(value).map(|extended| extended.value),
            }),
            _ => None,
        };
        let Some(piece) = read(value) else { return Some(self.invalid(oid, value)) };
        match self.pieces(number, piece, read) {
            Some(whole) => self.extended(oid, piece.key as u8, whole),
            None => Some(self.invalid(oid, value)),
        }
    }

    fn vendor_specific(&mut self, oid: Oid, value: &'a [u8]) -> Option<Item<'a>> {
        let Some((vendor, content)) = value.split_first_chunk::<VENDOR_OCTETS>() else {
            return Some(self.invalid(oid, value));
        };
        let vendor = u32::from_be_bytes(*vendor);
        let format = self.dictionary.vendor_format(vendor);
        if !format.fills(content) {
            return Some(self.invalid(oid, value));
        }
        let oid_vendor = oid.child(vendor).expect("two numbers are not too deep");
        if format.continuation() {
            let read = |value: &'a [u8]| vendor_piece(format, vendor, value);
            let piece = read(value).expect("it was seen to be filled");
            if piece.more {
                return match self.pieces(number::VENDOR_SPECIFIC, piece, read) {
                    Some(whole) => self
                        .enter(oid_vendor.child(piece.key).expect("three numbers are not too deep"), whole),
                    None => Some(self.invalid(oid, value)),
                };
            }
        }
        self.open(oid_vendor, content, Some(format));
        None
    }

    /// Puts the pieces of a value together, of which `first` has been taken and the others follow at once. `None` if one
    /// of them is missing or wrong; all that belong together are taken for broken then, for none of them means anything
    /// by itself (RFC 6929 §2.2).
    fn pieces(
        &mut self,
        number: u8,
        first: Piece<'a>,
        read: impl Fn(&'a [u8]) -> Option<Piece<'a>>,
    ) -> Option<&'a [u8]> {
        let follows = |attributes: &mut Attributes<'a>| {
            let next = attributes.next().filter(|next| next.number == number)?;
            read(next.value).filter(|piece| piece.key == first.key)
        };
        if !first.more {
            return first.octets;
        }
        let mut ahead = self.rest;
        let (mut piece, mut whole, mut octets) = (first, true, 0);
        loop {
            whole &= piece.octets.is_some();
            octets += piece.octets.map_or(0, <[u8]>::len);
            if !piece.more {
                break;
            }
            let mut after = ahead;
            match follows(&mut after) {
                Some(next) => (piece, ahead) = (next, after),
                None => {
                    whole = false;
                    break;
                }
            }
        }
        if !whole || octets > self.scratch.len() {
            self.broken_until = self.octets - ahead.octets().len();
            return None;
        }
        let (gathered, scratch) = core::mem::take(&mut self.scratch).split_at_mut(octets);
        self.scratch = scratch;
        let mut filled = 0;
        let mut piece = first;
        loop {
            let octets = piece.octets.unwrap_or_default();
            gathered[filled..filled + octets.len()].copy_from_slice(octets);
            filled += octets.len();
            if !piece.more {
                break;
            }
            piece = follows(&mut self.rest).expect("it was there a moment ago");
        }
        self.place.end = self.offset();
        Some(gathered)
    }

    /// Puts together all attributes of this number that follow each other (RFC 3579 §3.1).
    fn concatenated(&mut self, number: u8, value: &'a [u8]) -> &'a [u8] {
        let mut ahead = self.rest;
        let mut octets = value.len();
        let mut end = ahead;
        while let Some(next) = ahead.next().filter(|next| next.number == number) {
            octets += next.value.len();
            end = ahead;
        }
        if end.octets().len() == self.rest.octets().len() || octets > self.scratch.len() {
            return value;
        }
        let (gathered, scratch) = core::mem::take(&mut self.scratch).split_at_mut(octets);
        self.scratch = scratch;
        let mut filled = 0;
        let mut piece = value;
        loop {
            gathered[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            if self.rest.octets().len() == end.octets().len() {
                break;
            }
            piece = self.rest.next().expect("it was there a moment ago").value;
        }
        self.place.end = self.offset();
        gathered
    }

    /// The attribute of these numbers: an item, or a container that then is open.
    fn enter(&mut self, oid: Oid, value: &'a [u8]) -> Option<Item<'a>> {
        self.enter_known(oid, self.dictionary.at(&oid), value)
    }

    /// The same where it has been looked up.
    fn enter_known(
        &mut self,
        oid: Oid,
        attribute: Option<&'a Attribute>,
        value: &'a [u8],
    ) -> Option<Item<'a>> {
        let holds_tlvs = attribute.is_some_and(|attribute| attribute.data_type() == DataType::Tlv);
        // RFC 6929 §2.3.1: layers that are nested deeper than we follow are invalid attributes.
        if holds_tlvs && oid.depth() < OID_DEPTH_MAX && are_tlvs(value) {
            self.open(oid, value, None);
            return None;
        }
        let (shape, tag, value) = match attribute {
            None => (Shape::Unknown, None, value),
            Some(attribute) => match typed(attribute, value) {
                Some((tag, value)) => (Shape::Known, tag, value),
                None => (Shape::Invalid, None, value),
            },
        };
        let joined = self.joined();
        Some(Item { oid, attribute, shape, tag, value, joined, place: self.place.clone() })
    }

    /// An item whose headers are wrong.
    fn invalid(&mut self, oid: Oid, value: &'a [u8]) -> Item<'a> {
        let (attribute, joined, place) = (self.dictionary.at(&oid), self.joined(), self.place.clone());
        Item { oid, attribute, shape: Shape::Invalid, tag: None, value, joined, place }
    }

    fn open(&mut self, oid: Oid, content: &'a [u8], format: Option<VendorFormat>) {
        self.open[self.depth] = Container { rest: content, oid_depth: oid.depth(), format, begun: false };
        self.depth += 1;
        self.path = oid;
    }

    /// The next attribute in the innermost open container.
    fn within(&mut self) -> Option<Item<'a>> {
        let container = &mut self.open[self.depth - 1];
        let (number, value, rest) = match container.format {
            None => first_tlv(container.rest).map(|(number, value, rest)| (u32::from(number), value, rest)),
            Some(format) => format.first(container.rest).map(|first| (first.number, first.value, first.rest)),
        }
        .expect("a container is opened when all that it holds is seen to fit");
        container.rest = rest;
        let outer = self.path.ancestor(container.oid_depth);
        self.enter(outer.child(number).expect("a container is opened only where one more number fits"), value)
    }

    /// How many numbers the next item shares with the one before; something in all open containers has been given out then.
    fn joined(&mut self) -> usize {
        let mut joined = 0;
        for container in &mut self.open[..self.depth] {
            if container.begun {
                joined = container.oid_depth;
            }
            container.begun = true;
        }
        joined
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let found = if self.depth == 0 {
                let start = self.offset();
                let attribute = self.rest.next()?;
                self.place = start..self.offset();
                self.attribute(attribute.number, attribute.value)
            } else if self.open[self.depth - 1].rest.is_empty() {
                self.depth -= 1;
                None
            } else {
                self.within()
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

impl Item<'_> {
    /// The number that a value of an integer type is.
    pub fn integer(&self) -> Option<u64> {
        let attribute = self.attribute.filter(|_| self.shape == Shape::Known)?;
        let number = || self.value.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        (attribute.data_type().is_integer() && !attribute.encrypted()).then(number)
    }
}

/// A piece of a continued value, which fills its Vendor-Specific alone.
fn vendor_piece(format: VendorFormat, vendor: u32, value: &[u8]) -> Option<Piece<'_>> {
    let (found, content) = value.split_first_chunk::<VENDOR_OCTETS>()?;
    if u32::from_be_bytes(*found) != vendor || !format.fills(content) {
        return None;
    }
    let first = format.first(content)?;
    let alone = first.rest.is_empty();
    let (mut more, mut rest) = (first.more, first.rest);
    while !rest.is_empty() {
        let next = format.first(rest)?;
        more |= next.more;
        rest = next.rest;
    }
    Some(Piece { key: first.number, more, octets: alone.then_some(first.value) })
}

/// Tag and value, if they are as this attribute's should be.
fn typed<'a>(attribute: &Attribute, value: &'a [u8]) -> Option<(Option<u8>, &'a [u8])> {
    let data_type = attribute.data_type();
    let salted = attribute.encryption() == Encryption::TunnelPassword;
    let (tag, value) = if attribute.tagged() { split_tag(data_type, salted, value)? } else { (None, value) };
    let holds = match attribute.encryption() {
        // RFC 2868 §3.1: three octets behind the tag.
        Encryption::None if tag.is_some() && data_type == DataType::Integer => value.len() == 3,
        Encryption::None => data_type.holds(value) && !data_type.is_container(),
        Encryption::UserPassword => value.len().is_multiple_of(16) && (16..=128).contains(&value.len()),
        Encryption::TunnelPassword => value.len() > 2 && (value.len() - 2).is_multiple_of(16),
        Encryption::AscendSecret => value.len() == 16,
    };
    holds.then_some((tag, value))
}
