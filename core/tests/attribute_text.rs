//! Attributes as radclient's users write them, and what they are told when that cannot be read.

use ulna_core::attributes::text::{self, Sealing, TextError, TextFault};
use ulna_core::attributes::{Scratch, Shape, Walk};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Attributes, Secret};

fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::built_in();
    let more = "VALUE Tunnel-Type VLAN 13\nVENDOR Cisco 9\nBEGIN-VENDOR Cisco\nATTRIBUTE Cisco-AVPair 1 string\nEND-VENDOR Cisco\n\
                ATTRIBUTE Test-Tlv 241.200 tlv\nATTRIBUTE Test-One .1 string\nATTRIBUTE Test-Two .2 tlv\n\
                ATTRIBUTE Test-Two-One 241.200.2.1 byte\nATTRIBUTE Test-Internal 1047 integer";
    dictionary.extend(more).expect("well-formed");
    dictionary
}

fn octets(text: &str) -> Vec<u8> {
    let dictionary = dictionary();
    let read = text::parse(&dictionary, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = Vec::new();
    text::write(&dictionary, &read, None, &mut out).unwrap_or_else(|error| panic!("{text}: {error}"));
    out
}

fn printed(octets: &[u8]) -> String {
    text::print(&dictionary(), Attributes::parse(octets).expect("the boundaries hold")).to_string()
}

fn error(text: &str) -> TextError {
    let dictionary = dictionary();
    match text::parse(&dictionary, text) {
        Ok(read) => text::write(&dictionary, &read, None, &mut Vec::new()).expect_err(text),
        Err(error) => error,
    }
}

#[test]
fn what_radclient_users_write_is_read() {
    assert_eq!(octets("User-Name = \"bob\""), b"\x01\x05bob");
    assert_eq!(octets("User-Name = bob, NAS-Port=7"), b"\x01\x05bob\x05\x06\0\0\0\x07");
    assert_eq!(octets("Tunnel-Type:1 = VLAN"), [64, 6, 1, 0, 0, 13]);
    assert_eq!(octets("Tunnel-Type = VLAN"), [64, 6, 0, 0, 0, 13]);
    assert_eq!(octets("Tunnel-Private-Group-Id:1 = \"12\""), [81, 5, 1, b'1', b'2']);
    assert_eq!(octets("Tunnel-Private-Group-Id = '12'"), [81, 4, b'1', b'2']);
    // What would be taken for a tag gets one that says that none is meant (RFC 2868 §3.3).
    assert_eq!(octets("Tunnel-Private-Group-Id = \"\\001\""), [81, 4, 0, 1]);
    assert_eq!(
        octets("Cisco-AVPair = \"shell:priv-lvl=15\""),
        b"\x1a\x19\0\0\0\x09\x01\x13shell:priv-lvl=15"
    );
    assert_eq!(octets("Attr-26.9.1 = 0x6162"), b"\x1a\x0a\0\0\0\x09\x01\x04ab");
    assert_eq!(octets("Attr-241.1 = 0xff"), [241, 4, 1, 255]);
    assert_eq!(octets("Framed-IP-Address = 10.0.0.1"), [8, 6, 10, 0, 0, 1]);
    assert_eq!(octets("Framed-IPv6-Prefix = 2001:db8::/32").len(), 20);
    assert_eq!(octets("Event-Timestamp = \"Nov 23 2026 13:33:22 UTC\""), [55, 6, 0x6b, 0x04, 0x40, 0xa2]);
    assert_eq!(octets("Class = 0x00ff, Class = gold"), b"\x19\x04\x00\xff\x19\x06gold");
    assert_eq!(
        octets("# a request\nUser-Name := \"a\\\"\\\\\\x00\\377\" # with octets\r\n\n,\tNAS-Port += 0x10\n"),
        b"\x01\x07a\"\\\x00\xff\x05\x06\0\0\0\x10"
    );
    assert_eq!(octets("Reply-Message = 'it\\'s \\n'"), b"\x12\x09it's \\n");
    assert_eq!(octets(""), b"");
    assert_eq!(octets("user-name = bob"), octets("User-Name = bob"));
}

#[test]
fn tlvs_go_into_the_attribute_before_unless_they_say_otherwise() {
    // checklist 64
    let one = octets("Test-One = \"a\", Test-Two-One = 7, Test-Two-One = 8");
    assert_eq!(one, [241, 14, 200, 1, 3, b'a', 2, 8, 1, 3, 7, 1, 3, 8]);
    let two = octets("Test-One = \"a\", Test-One += \"b\", Test-One = \"c\"");
    assert_eq!(two, [241, 6, 200, 1, 3, b'a', 241, 9, 200, 1, 3, b'b', 1, 3, b'c']);
    for wire in [&one, &two] {
        assert_eq!(octets(&printed(wire)), *wire);
    }
    assert_eq!(printed(&two), "Test-One = \"a\", Test-One += \"b\", Test-One = \"c\"");
    // One container of two in another: no operator says that, the octets do.
    let inner = [241, 13, 200, 2, 5, 1, 3, 7, 2, 5, 1, 3, 8];
    assert_eq!(printed(&inner), "Attr-241 = 0xc80205010307020501030".to_owned() + "8");
    assert_eq!(octets(&printed(&inner)), inner);
    // What does not fit beside the one before stands by itself.
    let long = format!("Test-One = \"{0}\", Test-One = \"{0}\"", "x".repeat(200));
    assert_eq!(octets(&long).len(), 2 * 205);
}

#[test]
fn what_is_invalid_or_unknown_is_printed_by_number() {
    // checklist 62, 63
    for (wire, text) in [
        (&[8u8, 5, 10, 0, 0][..], "Attr-8 = 0x0a0000"),
        (&[1, 2], "Attr-1 = 0x"),
        (&[250, 3, 1], "Attr-250 = 0x01"),
        (&[0, 3, 1], "Attr-0 = 0x01"),
        (&[26, 9, 0, 0, 0, 9, 1, 4, 7], "Attr-26 = 0x00000009010407"),
        (&[26, 9, 0, 0, 0x7e, 0xd9, 250, 3, 7], "Attr-26.32473.250 = 0x07"),
        (&[245, 4, 1, 0x80], "Attr-245 = 0x0180"),
        (
            &[2, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
            "Attr-2 = 0x000102030405060708090a0b0c0d0e0f",
        ),
    ] {
        assert_eq!(printed(wire), text);
        assert_eq!(octets(text), wire);
    }
}

#[test]
fn a_prefix_with_bits_beyond_its_length_is_an_invalid_attribute() {
    // checklist 17. RFC 3162 §2.3: such bits must be zero, so the value has not the format of its type, which makes it
    // an invalid attribute (RFC 6929 §2.8): not read as the prefix that it would be without them, nor as a longer one,
    // and yet passed on octet for octet.
    let dictionary = dictionary();
    let prefix = |length: u8, octets: &[u8]| [&[97, octets.len() as u8 + 4, 0, length], octets].concat();
    let db8 = [0x20, 0x01, 0x0d, 0xb8];
    for (wire, shape) in [
        (prefix(32, &db8), Shape::Known),
        (prefix(29, &db8), Shape::Known),
        (prefix(28, &db8), Shape::Invalid),
        (prefix(32, &[db8, [0, 0, 0, 1]].concat()), Shape::Invalid),
        (prefix(32, &[db8, [0; 4]].concat()), Shape::Known),
        (prefix(0, &[0x80]), Shape::Invalid),
    ] {
        let attributes = Attributes::parse(&wire).expect("the boundaries hold");
        let mut scratch = Scratch::default();
        let items: Vec<_> = Walk::new(&dictionary, attributes, &mut scratch).collect();
        assert_eq!(items.iter().map(|item| item.shape).collect::<Vec<_>>(), [shape], "{wire:?}");
        let text = printed(&wire);
        assert_eq!(text.starts_with("Attr-97 = 0x"), shape == Shape::Invalid, "{text}");
        if shape == Shape::Invalid {
            assert_eq!(octets(&text), wire);
        }
    }
    // Nor can one be written.
    for text in ["Framed-IPv6-Prefix = 2001:db8::/28", "Framed-IPv6-Prefix = ::1/0"] {
        assert!(matches!(error(text).fault, TextFault::Value(_)), "{text}");
    }
}

#[test]
fn hidden_values_are_written_plain_and_sent_hidden() {
    // checklist 9, 48
    let dictionary = dictionary();
    let secret = Secret::new(b"testing123").expect("not empty");
    let hop = Hop { secret: &secret, request_authenticator: &[3; 16] };
    let text = "User-Password = \"hello\", Tunnel-Password:1 = \"secret\", Tunnel-Password:2 = \"secret\"";
    let read = text::parse(&dictionary, text).expect("well-formed");
    let mut out = Vec::new();
    text::write(&dictionary, &read, Some(Sealing { hop, salt: 0x9000 }), &mut out).expect("it fits");
    assert_eq!(out.len(), 18 + 21 + 21);
    // RFC 2868 §3.5: each salt is another, its first bit set.
    assert_eq!((&out[21..23], &out[42..44]), (&[0x90, 0][..], &[0x90, 1][..]));
    let attributes = Attributes::parse(&out).expect("the boundaries hold");
    assert_eq!(text::print(&dictionary, attributes).revealed(hop).to_string(), text);
    assert!(!out.windows(5).any(|octets| octets == b"hello"));
    let lines = text::print(&dictionary, attributes).revealed(hop).in_lines().to_string();
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn errors_name_attribute_and_place() {
    for (text, expected) in [
        ("= 1", "at octet 0: expected the name of an attribute"),
        ("User-Name = a, ?", "at octet 15: expected the name of an attribute"),
        ("User-Nmae = a", "`User-Nmae` at octet 0: unknown attribute; did you mean `User-Name`?"),
        ("Colour = a", "`Colour` at octet 0: unknown attribute"),
        ("User-Name:1 = a", "`User-Name:1` at octet 0: this attribute has no tag"),
        ("Tunnel-Type:32 = 1", "`Tunnel-Type:32` at octet 0: expected a tag from 0 to 31"),
        ("Tunnel-Type: = 1", "`Tunnel-Type:` at octet 0: expected a tag from 0 to 31"),
        ("Attr-x = 0x00", "`Attr-x` at octet 0: expected numbers between dots, such as `Attr-26.9.1`"),
        ("Attr-1 = bob", "`Attr-1` at octet 9: expected `0x` and pairs of hexadecimal digits"),
        ("Attr-26.9 = 0x00", "`Attr-26.9` at octet 0: no packet has an attribute 26.9"),
        ("Attr-26.9.256 = 0x00", "`Attr-26.9.256` at octet 0: no packet has an attribute 26.9.256"),
        ("Attr-256 = 0x00", "`Attr-256` at octet 0: no packet has an attribute 256"),
        ("Attr-241.1 = 0x", "`Attr-241.1` at octet 0: attribute 241.1 has no octets"),
        ("Test-Internal = 1", "`Test-Internal` at octet 0: no packet carries this attribute"),
        ("User-Name bob", "`User-Name` at octet 10: expected `=`, `:=` or `+=` after the name"),
        ("User-Name == bob", "`User-Name` at octet 10: expected `=`, `:=` or `+=` after the name"),
        ("User-Name =", "`User-Name` at octet 11: expected a value"),
        ("User-Name = # bob", "`User-Name` at octet 12: expected a value"),
        ("User-Name = \"bob\nUser-Name = \"", "`User-Name` at octet 12: the quote is not closed on its line"),
        ("User-Name = \"b\\8\"", "`User-Name` at octet 14: expected one of `\\n`"),
        ("User-Name = \"b\\400\"", "`User-Name` at octet 14: expected one of `\\n`"),
        (
            "User-Name = bob NAS-Port = 1",
            "`User-Name` at octet 16: expected a comma or the end of the line after the value",
        ),
        ("User-Name = \"\"", "`User-Name` at octet 12: expected text of 1 to 253 octets"),
        ("NAS-Port = x", "`NAS-Port` at octet 11: expected a whole number from 0 to 4294967295"),
        (
            "User-Password = secret",
            "`User-Password` at octet 0: its value is hidden under a secret, and there is none to hide it with",
        ),
    ] {
        let found = error(text).to_string();
        let same =
            if expected.ends_with(['`', ' ']) { found.starts_with(expected) } else { found == expected };
        assert!(same, "{text:?}: {found}");
    }
}

#[test]
fn errors_do_not_repeat_passwords() {
    let error = error("NAS-Port = hunter2");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn a_log_shows_of_what_may_be_a_secret_how_many_octets_it_has() {
    let dictionary = dictionary();
    let secret = Secret::new(b"xyzzy5461").expect("not empty");
    let hop = Hop { secret: &secret, request_authenticator: &[7; 16] };
    let written = "User-Name = \"bob\", User-Password = \"hidden words\", State = 0x7365637265742121, Framed-MTU = 1400, \
                   Tunnel-Type:1 = VLAN, Tunnel-Password:1 = \"hidden words\", Cisco-AVPair = \"psk=hidden words\", \
                   MS-CHAP-Challenge = 0x736563726574, ERX-PPP-Password = \"hidden words\", Attr-26.9999.1 = 0x736563, \
                   Attr-5 = 0x736563, EAP-Message = 0x02010005016263";
    let read = text::parse(&dictionary, written).expect("well-formed");
    let mut wire = Vec::new();
    text::write(&dictionary, &read, Some(Sealing { hop, salt: 0x9000 }), &mut wire).expect("it fits");
    let discreet =
        text::print(&dictionary, Attributes::parse(&wire).expect("we wrote it")).discreet().to_string();
    assert_eq!(
        discreet,
        "User-Name = \"bob\", User-Password = <16 octets>, State = <8 octets>, Framed-MTU = 1400, Tunnel-Type:1 = VLAN, \
         Tunnel-Password:1 = <18 octets>, Cisco-AVPair = <16 octets>, MS-CHAP-Challenge = <6 octets>, \
         ERX-PPP-Password = <12 octets>, Attr-26.9999.1 = <3 octets>, Attr-5 = <3 octets>, EAP-Message = <7 octets>"
    );
}

#[test]
fn a_log_shows_no_octets_of_containers_that_cannot_be_said() {
    let inner = [241, 13, 200, 2, 5, 1, 3, 7, 2, 5, 1, 3, 8];
    let attributes = Attributes::parse(&inner).expect("the boundaries hold");
    assert_eq!(text::print(&dictionary(), attributes).discreet().to_string(), "Attr-241 = <11 octets>");
}
