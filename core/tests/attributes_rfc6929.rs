//! Extended attributes: the examples of RFC 6929 §9 octet for octet, both ways, and what §2.8 asks of invalid ones.

use ulna_core::attributes::text;
use ulna_core::attributes::{Entry, Item, Scratch, Shape, Walk, WriteError, Writer};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::{Attributes, Oid};

/// Which of the example's attributes hold TLVs; all others hold octets.
fn dictionary(tlvs: &[&str]) -> Dictionary {
    let mut text = String::from("VENDOR Example 1\n");
    for (place, oid) in tlvs.iter().enumerate() {
        text += &format!("ATTRIBUTE Container-{place} {oid} tlv\n");
    }
    let mut dictionary = Dictionary::default();
    dictionary.extend(&text).expect("well-formed");
    dictionary
}

fn oid(text: &str) -> Oid {
    text.parse().expect("numbers between dots")
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    hexadecimal
        .split_ascii_whitespace()
        .map(|pair| u8::from_str_radix(pair, 16).expect("two digits"))
        .collect()
}

/// Entries are joined to those before as far as they have containers in common.
fn write(dictionary: &Dictionary, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(dictionary, &mut out);
    for (number, value) in entries {
        let joined = oid(number).depth() - 1;
        writer.push(&Entry { oid: oid(number), tag: None, value, joined }).expect("it fits");
    }
    writer.finish();
    out
}

fn read(dictionary: &Dictionary, octets: &[u8]) -> Vec<(String, Shape, Vec<u8>)> {
    let mut scratch = Scratch::default();
    let attributes = Attributes::parse(octets).expect("the boundaries hold");
    Walk::new(dictionary, attributes, &mut scratch)
        .map(|item| (item.oid.to_string(), item.shape, item.value.to_vec()))
        .collect()
}

fn example(tlvs: &[&str], entries: &[(&str, &str)], hexadecimal: &str) {
    let dictionary = dictionary(tlvs);
    let wire = octets(hexadecimal);
    let entries: Vec<(&str, Vec<u8>)> =
        entries.iter().map(|(number, value)| (*number, octets(value))).collect();
    assert_eq!(write(&dictionary, &entries), wire);
    let expected: Vec<_> =
        entries.iter().map(|(number, value)| ((*number).to_owned(), Shape::Unknown, value.clone())).collect();
    assert_eq!(read(&dictionary, &wire), expected);
    // The same by text, which joins TLVs by itself.
    let attributes = Attributes::parse(&wire).expect("the boundaries hold");
    let printed = text::print(&dictionary, attributes).to_string();
    let assignments = text::parse(&dictionary, &printed).expect("what was printed is read");
    let mut again = Vec::new();
    text::write(&dictionary, &assignments, None, &mut again).expect("it fits");
    assert_eq!(again, wire, "{printed}");
}

#[test]
fn extended_types_of_section_9_1() {
    // checklist 61, 64
    example(&[], &[("241.1", "62 6f 62")], "f1 06 01 62 6f 62");
    example(&["241.2"], &[("241.2.1", "23 45")], "f1 07 02 01 04 23 45");
    example(&["241.2"], &[("241.2.1", "23 45"), ("241.2.2", "67 89")], "f1 0b 02 01 04 23 45 02 04 67 89");
    example(
        &["241.2", "241.2.3"],
        &[("241.2.1", "23 45"), ("241.2.3.1", "ab cd")],
        "f1 0d 02 01 04 23 45 03 06 01 04 ab cd",
    );
    example(
        &["241.2", "241.2.3"],
        &[("241.2.1", "23 45"), ("241.2.3.1", "ab cd"), ("241.2.3.2", "66 6f 6f")],
        "f1 12 02 01 04 23 45 03 0b 01 04 ab cd 02 05 66 6f 6f",
    );
    example(
        &["241.1", "241.1.1", "241.1.1.2", "241.1.1.2.3", "241.1.1.2.3.4"],
        &[("241.1.1.2.3.4.5", "cd ef")],
        "f1 0f 01 01 0c 02 0a 03 08 04 06 05 04 cd ef",
    );
    example(&[], &[("241.26.1.4", "74 65 73 74")], "f1 0c 1a 00 00 00 01 04 74 65 73 74");
    example(&["241.26.1.5"], &[("241.26.1.5.3", "74 65 73 74")], "f1 0e 1a 00 00 00 01 05 03 06 74 65 73 74");
}

#[test]
fn long_extended_types_of_section_9_2() {
    // checklist 61, 64
    example(&[], &[("245.1", "62 6f 62")], "f5 07 01 00 62 6f 62");
    example(&["245.2"], &[("245.2.1", "23 45")], "f5 08 02 00 01 04 23 45");
    example(&["245.2"], &[("245.2.1", "23 45"), ("245.2.2", "67 89")], "f5 0c 02 00 01 04 23 45 02 04 67 89");
    example(
        &["245.2", "245.2.3"],
        &[("245.2.1", "23 45"), ("245.2.3.1", "ab cd")],
        "f5 0e 02 00 01 04 23 45 03 06 01 04 ab cd",
    );
    example(
        &["245.2", "245.2.3"],
        &[("245.2.1", "23 45"), ("245.2.3.1", "ab cd"), ("245.2.3.2", "66 6f 6f")],
        "f5 13 02 00 01 04 23 45 03 0b 01 04 ab cd 02 05 66 6f 6f",
    );
    example(
        &["245.1", "245.1.1", "245.1.1.2", "245.1.1.2.3", "245.1.1.2.3.4"],
        &[("245.1.1.2.3.4.5", "cd ef")],
        "f5 10 01 00 01 0c 02 0a 03 08 04 06 05 04 cd ef",
    );
    example(&[], &[("245.26.1.4", "74 65 73 74")], "f5 0d 1a 00 00 00 00 01 04 74 65 73 74");
    example(
        &["245.26.1.5"],
        &[("245.26.1.5.3", "74 65 73 74")],
        "f5 0f 1a 00 00 00 00 01 05 03 06 74 65 73 74",
    );
}

/// So many of each octet, as hexadecimal.
fn runs(runs: &[(usize, &str)]) -> String {
    runs.iter().map(|(count, octet)| format!("{octet} ").repeat(*count)).collect()
}

#[test]
fn values_that_go_on_in_the_next_attribute() {
    // checklist 61: §9.2, the counts of octets as they are printed there.
    let value = runs(&[(125, "aa"), (1, "ab"), (125, "bb"), (15, "cc")]);
    let wire = format!(
        "f5 ff 04 80 {} f5 13 04 00 {}",
        runs(&[(125, "aa"), (1, "ab"), (125, "bb")]),
        runs(&[(15, "cc")])
    );
    example(&[], &[("245.4", &value)], &wire);
    // The vendor stands in the first piece only.
    let value = runs(&[(125, "aa"), (1, "ab"), (125, "bb"), (15, "cc")]);
    let wire = format!(
        "f5 ff 1a 80 00 00 00 01 06 {} f5 18 1a 00 {} {}",
        runs(&[(125, "aa"), (1, "ab"), (120, "bb")]),
        runs(&[(5, "bb")]),
        runs(&[(15, "cc")])
    );
    example(&[], &[("245.26.1.6", &value)], &wire);
}

#[test]
fn one_long_attribute_may_fill_the_packet() {
    // checklist 65
    let dictionary = dictionary(&[]);
    let mut out = Vec::new();
    let mut writer = Writer::new(&dictionary, &mut out);
    let longest = vec![7; 4012];
    let entry = |value| Entry { oid: oid("245.9"), tag: None, value, joined: 0 };
    let error = writer.push(&entry(&[7; 4013])).expect_err("one octet too many");
    assert!(matches!(error, WriteError::PacketFull { octets: 4077, room: 4076, .. }), "{error}");
    writer.push(&entry(&longest)).expect("it fills the packet");
    assert!(writer.push(&entry(&[7])).is_err());
    assert_eq!(writer.finish(), 4076);
    assert_eq!(read(&dictionary, &out), [("245.9".to_owned(), Shape::Unknown, longest)]);
}

#[test]
fn reserved_flags_mean_nothing_and_are_sent_as_zero() {
    // checklist 61
    let dictionary = dictionary(&[]);
    let wire = octets("f5 07 01 7f 62 6f 62");
    assert_eq!(read(&dictionary, &wire), [("245.1".to_owned(), Shape::Unknown, b"bob".to_vec())]);
    assert_eq!(write(&dictionary, &[("245.1", b"bob".to_vec())]), octets("f5 07 01 00 62 6f 62"));
}

#[test]
fn pieces_without_their_last_are_invalid_and_drop_nothing() {
    // checklist 62, 63
    let dictionary = dictionary(&[]);
    let piece = octets(&format!("f5 ff 04 80 {}", runs(&[(251, "aa")])));
    let other = octets("f5 05 05 00 01");
    let end = octets("f5 05 04 00 02");
    let invalid = |octets: &[u8]| ("245".to_owned(), Shape::Invalid, octets[2..].to_vec());
    let name = ("1".to_owned(), Shape::Unknown, b"x".to_vec());
    // Nothing follows.
    assert_eq!(read(&dictionary, &[&piece[..], &[1, 3, b'x']].concat()), [invalid(&piece), name]);
    // Another type follows, and is what it is.
    let read_other = ("245.5".to_owned(), Shape::Unknown, vec![1]);
    assert_eq!(read(&dictionary, &[&piece[..], &other].concat()), [invalid(&piece), read_other]);
    // A piece in the middle that is to go on and is not full: those after it mean nothing by themselves.
    let short = octets("f5 05 04 80 02");
    assert_eq!(
        read(&dictionary, &[&piece[..], &short, &end].concat()),
        [invalid(&piece), invalid(&short), invalid(&end)]
    );
    // Too short for a value.
    for wire in ["f5 02", "f5 03 01", "f5 04 01 00", "f1 02", "f1 03 01"] {
        let wire = octets(wire);
        let expected = (wire[0].to_string(), Shape::Invalid, wire[2..].to_vec());
        assert_eq!(read(&dictionary, &wire), [expected]);
    }
}

#[test]
fn invalid_attributes_keep_their_octets_and_their_place() {
    // checklist 62, 63
    let dictionary = dictionary(&["241.2", "241.2.3"]);
    let broken = octets("f1 0d 02 01 04 23 45 03 06 01 05 ab cd f1 06 02 01 04 23 01 03 78");
    let mut scratch = Scratch::default();
    let attributes = Attributes::parse(&broken).expect("the boundaries hold");
    let items: Vec<Item<'_>> = Walk::new(&dictionary, attributes, &mut scratch).collect();
    let found: Vec<_> =
        items.iter().map(|item| (item.oid.to_string(), item.shape, item.place.clone())).collect();
    // RFC 6929 §2.8: a container is not invalid because something in it is.
    assert_eq!(
        found,
        [
            ("241.2.1".to_owned(), Shape::Unknown, 0..13),
            ("241.2.3".to_owned(), Shape::Invalid, 0..13),
            ("241.2".to_owned(), Shape::Invalid, 13..19),
            ("1".to_owned(), Shape::Unknown, 19..22),
        ]
    );
    let mut out = Vec::new();
    let mut writer = Writer::new(&dictionary, &mut out);
    items.iter().for_each(|item| writer.push(&Entry::from(item)).expect("it was read"));
    writer.finish();
    assert_eq!(out, broken);
}
