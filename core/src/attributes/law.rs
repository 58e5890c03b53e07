//! The law of reading and writing attributes, for any octets whatever.

use super::walk::{Item, Scratch, Shape, Walk};
use super::write::{Entry, Writer};
use crate::dictionary::Dictionary;
use crate::packet::{Attributes, HEADER_OCTETS, PACKET_OCTETS_MAX};
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

/// The law of attributes, by a dictionary such as [`every_kind`]; the entry point of the fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn attributes_law(dictionary: &Dictionary, data: &[u8]) {
    let data = &data[..data.len().min(PACKET_OCTETS_MAX - HEADER_OCTETS)];
    let Ok(attributes) = Attributes::parse(data) else { return };
    hold(dictionary, attributes);
}

/// What holds by this dictionary.
pub(super) fn hold(dictionary: &Dictionary, attributes: Attributes<'_>) {
    let data = attributes.octets();
    let mut scratch = Scratch::default();
    let items: Vec<Item<'_>> = Walk::new(dictionary, attributes, &mut scratch).collect();

    // Every octet stands in the place of an item, and the places follow each other.
    let mut end = 0;
    for item in &items {
        if item.joined == 0 {
            assert_eq!(item.place.start, end, "no attribute is left out: {item:?}");
            end = item.place.end;
        } else {
            assert_eq!(item.place.end, end, "what is joined stands in the same place: {item:?}");
        }
        assert!(item.joined < item.oid.depth());
        if item.shape == Shape::Known {
            let attribute = item.attribute.expect("a known item has an attribute");
            assert_eq!(attribute.oid(), item.oid);
            assert!(item.tag.is_none() || attribute.tagged());
        }
    }
    assert_eq!(end, data.len(), "the last attribute ends where the octets end");

    // Written again, the same is read; and what was written is the one form in which we write it.
    let written = write(dictionary, &items);
    assert!(written.len() <= data.len(), "no form of it is shorter than ours");
    let again = Attributes::parse(&written).expect("what we write are attributes");
    let mut scratch = Scratch::default();
    let read: Vec<Item<'_>> = Walk::new(dictionary, again, &mut scratch).collect();
    assert_eq!(without_places(&read), without_places(&items), "reading what was written gives the same");
    assert_eq!(write(dictionary, &read), written, "what is written is written the same again");
}

fn write(dictionary: &Dictionary, items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(dictionary, &mut out);
    for item in items {
        writer.push(&Entry::from(item)).unwrap_or_else(|error| panic!("what was read is written: {error}"));
    }
    let octets = writer.finish();
    assert_eq!(octets, out.len());
    out
}

type Placeless<'a> = (crate::packet::Oid, Shape, Option<u8>, Vec<u8>, usize);

fn without_places<'a>(items: &[Item<'a>]) -> Vec<Placeless<'a>> {
    items.iter().map(|item| (item.oid, item.shape, item.tag, item.value.to_owned(), item.joined)).collect()
}

/// An attribute of every type, with every flag, in every place and of a vendor of every format. Whoever fuzzes makes it
/// once and keeps it: reading it takes far longer than any law.
#[doc(hidden)]
pub fn every_kind() -> Dictionary {
    let mut dictionary = Dictionary::default();
    dictionary.extend(EVERY_KIND).expect("it is well-formed");
    dictionary
}

const EVERY_KIND: &str = "
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string encrypt=1
ATTRIBUTE Fixed 3 octets[17]
ATTRIBUTE Address 4 ipaddr
ATTRIBUTE Number 6 integer
VALUE Number Two 2
VALUE Number Zwei 2
VALUE Number 3(three),drei 3
VALUE Number 0x04 5
ATTRIBUTE Class 25 octets
ATTRIBUTE Vendor-Specific 26 vsa
ATTRIBUTE When 55 date
ATTRIBUTE Tunnel-Type 64 integer has_tag
VALUE Tunnel-Type VLAN 13
ATTRIBUTE Tunnel-Password 69 string has_tag,encrypt=2
ATTRIBUTE EAP-Message 79 octets concat
ATTRIBUTE Group 81 string has_tag
ATTRIBUTE Address6 95 ipv6addr
ATTRIBUTE Interface 96 ifid
ATTRIBUTE Prefix6 97 ipv6prefix
ATTRIBUTE Prefix4 155 ipv4prefix
ATTRIBUTE Nested 173 tlv
ATTRIBUTE Nested-Number 173.1 integer
ATTRIBUTE Nested-Prefix 173.2 ipv6prefix
ATTRIBUTE Byte 200 byte
ATTRIBUTE Short 201 short
ATTRIBUTE Large 202 integer64
ATTRIBUTE Signed 203 signed
ATTRIBUTE Either 204 combo-ip
ATTRIBUTE Ether 205 ether
ATTRIBUTE Filter 206 abinary
ATTRIBUTE Key 207 octets encrypt=2
ATTRIBUTE Number-Key 208 integer encrypt=2
ATTRIBUTE Secret 209 string encrypt=3
ATTRIBUTE Fixed-Key 210 octets[24] encrypt=1
ATTRIBUTE Tagged-Octets 211 octets has_tag
ATTRIBUTE Extended-Attribute-1 241 extended
ATTRIBUTE Extended-Attribute-4 244 octets
ATTRIBUTE Extended-Attribute-5 245 long-extended
ATTRIBUTE Extended-Vendor-Specific-1 241.26 evs
ATTRIBUTE Extended-Vendor-Specific-5 245.26 evs
ATTRIBUTE Frag 241.1 string
ATTRIBUTE Tree 241.2 tlv
ATTRIBUTE Tree-One 241.2.1 octets
ATTRIBUTE Tree-Two 241.2.2 octets
ATTRIBUTE Tree-Three 241.2.3 tlv
ATTRIBUTE Tree-Three-One 241.2.3.1 octets
ATTRIBUTE Tree-Three-Two 241.2.3.2 string
ATTRIBUTE Long-Text 245.1 string
ATTRIBUTE Long-Tree 245.2 tlv
ATTRIBUTE Long-Tree-One 245.2.1 octets
VENDOR Plain 9
BEGIN-VENDOR Plain
ATTRIBUTE Plain-Text 1 string
ATTRIBUTE Plain-Number 2 integer
ATTRIBUTE Plain-Key 3 octets encrypt=2
ATTRIBUTE Plain-Tag 4 string has_tag
END-VENDOR Plain
BEGIN-VENDOR Plain format=Extended-Vendor-Specific-1
ATTRIBUTE Plain-Short 5 tlv
ATTRIBUTE Plain-Short-One 5.3 string
END-VENDOR Plain
BEGIN-VENDOR Plain format=Extended-Vendor-Specific-5
ATTRIBUTE Plain-Long 5 tlv
ATTRIBUTE Plain-Long-One 5.3 string
ATTRIBUTE Plain-Long-Text 6 string
END-VENDOR Plain
VENDOR Wide 10 format=2,1
VENDOR Wider 11 format=2,2
BEGIN-VENDOR Wider
ATTRIBUTE Wider-Text 300 string
ATTRIBUTE Wider-Tree 301 tlv
ATTRIBUTE Wider-Tree-One 301.1 short
END-VENDOR Wider
VENDOR Alone 12 format=4,0
BEGIN-VENDOR Alone
ATTRIBUTE Alone-Number 0xbf38 integer
END-VENDOR Alone
VENDOR Bare 13 format=1,0
VENDOR Continued 14 format=1,1,c
BEGIN-VENDOR Continued
ATTRIBUTE Continued-Octets 1 octets
ATTRIBUTE Continued-Tree 2 tlv
ATTRIBUTE Continued-Tree-One 2.1 string
ATTRIBUTE Continued-Tree-Two 2.2 tlv
ATTRIBUTE Continued-Tree-Two-One 2.2.1 byte
END-VENDOR Continued
";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn law(octets: &[u8]) {
        assert!(Attributes::parse(octets).is_ok(), "the law says something only of attributes");
        attributes_law(&every_kind(), octets);
    }

    #[test]
    fn the_law_holds_for_what_is_wrong_inside() {
        // checklist 62
        law(&[241, 2, 241, 3, 1, 245, 3, 1, 245, 4, 1, 0, 245, 4, 1, 0x80, 245, 5, 1, 0x80, 9]);
        law(&[245, 5, 1, 0x80, 9, 245, 5, 1, 0, 9, 245, 5, 2, 0, 9]);
        law(&[26, 2, 26, 3, 0, 26, 6, 0, 0, 0, 9, 26, 8, 0, 0, 0, 9, 1, 1, 26, 9, 0, 0, 0, 9, 1, 2, 7]);
        law(&[26, 13, 0, 0, 0, 9, 1, 3, 7, 2, 4, 1, 1, 26, 8, 0, 0, 0, 9, 1, 2]);
        law(&[26, 10, 0, 0, 0, 14, 1, 4, 0x80, 7, 26, 10, 0, 0, 0, 14, 1, 4, 0, 8]);
        law(&[26, 14, 0, 0, 0, 14, 1, 4, 0x80, 7, 1, 4, 0, 8, 26, 10, 0, 0, 0, 14, 1, 4, 0x80, 8]);
        law(&[26, 13, 0, 0, 0, 14, 2, 7, 0, 1, 4, 9, 9, 26, 14, 0, 0, 0, 14, 2, 8, 0, 2, 5, 1, 3, 9]);
        law(&[173, 8, 1, 6, 0, 0, 0, 1, 173, 4, 1, 2, 173, 5, 1, 3, 0, 79, 2, 79, 3, 1, 79, 2]);
        law(&[
            241, 8, 26, 0, 0, 0, 9, 5, 241, 9, 26, 0, 0, 0, 9, 5, 0, 241, 12, 26, 0, 0, 0, 9, 5, 3, 4, 1, 2,
        ]);
        law(&[
            64, 6, 1, 0, 0, 13, 64, 6, 0x20, 0, 0, 13, 64, 2, 81, 3, 1, 81, 2, 81, 4, 0, 0, 69, 3, 1, 244, 3,
            0,
        ]);
    }

    #[test]
    fn the_law_holds_for_pieces_that_fill_a_packet() {
        // checklist 61, 65
        let mut octets = vec![];
        for (place, length) in [255, 255, 255, 9].into_iter().enumerate() {
            octets.extend_from_slice(&[245, length, 2, if place < 3 { 0x80 } else { 0 }]);
            octets.resize(octets.len() + usize::from(length) - 4, 1);
        }
        law(&octets);
        // The last piece is missing, or of another type.
        law(&octets[..510]);
        octets[767] = 3;
        law(&octets);
        let mut octets = vec![];
        for place in 0..16 {
            let more = if place < 15 { 0x80 } else { 0 };
            octets.extend_from_slice(&[26, 255, 0, 0, 0, 14, 1, 249, more]);
            octets.resize(octets.len() + 246, place);
        }
        law(&octets[..255 * 15]);
        law(&octets[255..]);
    }
}
