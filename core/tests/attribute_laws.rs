//! What holds for attributes of every type and place: reading is the inverse of writing, and text of both.

use proptest::prelude::*;
use std::sync::LazyLock;
use ulna_core::attributes::text::{self, Sealing, TextFault, text_law};
use ulna_core::attributes::{Entry, Scratch, Shape, Walk, WriteError, Writer, attributes_law, every_kind};
use ulna_core::dictionary::{
    DataType, Dictionary, Encryption, Literal, dictionary_law, encode_value, print_value,
};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Attributes, Oid, Secret};

static EVERY_KIND: LazyLock<Dictionary> = LazyLock::new(every_kind);

const MORE: &str = "
ATTRIBUTE Test-Byte 200 byte
ATTRIBUTE Test-Short 201 short
ATTRIBUTE Test-64 202 integer64
ATTRIBUTE Test-Signed 203 signed
ATTRIBUTE Test-Ipv4-Prefix 204 ipv4prefix
ATTRIBUTE Test-Either 205 combo-ip
ATTRIBUTE Test-Ether 206 ether
ATTRIBUTE Test-Filter 207 abinary
ATTRIBUTE Test-Tlv 208 tlv
ATTRIBUTE Test-Tlv-Number 208.1 integer
ATTRIBUTE Test-Tlv-Text 208.2 string
ATTRIBUTE Test-Secret 209 string encrypt=3
ATTRIBUTE Test-Key 210 octets encrypt=2
ATTRIBUTE Test-Fixed-Key 211 octets[24] encrypt=1
ATTRIBUTE Test-Number-Key 212 integer encrypt=2
ATTRIBUTE Test-Pieces 213 octets concat
VENDOR Test-Vendor 32473
VENDOR Test-Wide 65535 format=2,2
VENDOR Test-Continued 65536 format=1,1,c
BEGIN-VENDOR Test-Vendor
ATTRIBUTE Test-Vendor-Text 1 string
ATTRIBUTE Test-Vendor-Tagged 2 integer has_tag
END-VENDOR Test-Vendor
BEGIN-VENDOR Test-Wide
ATTRIBUTE Test-Wide-Octets 300 octets
END-VENDOR Test-Wide
BEGIN-VENDOR Test-Continued
ATTRIBUTE Test-Continued-Octets 1 octets
ATTRIBUTE Test-Continued-Tlv 2 tlv
ATTRIBUTE Test-Continued-Tlv-Text 2.1 string
END-VENDOR Test-Continued
ATTRIBUTE Test-Extended 244.1 ifid
ATTRIBUTE Test-Long 246.1 string
ATTRIBUTE Test-Long-Vendor 246.26.32473.7 octets
";

fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::built_in();
    dictionary.extend(MORE).expect("well-formed");
    dictionary
}

fn secret() -> Secret {
    Secret::new(b"testing123").expect("not empty")
}

/// Octets that are a value of this attribute: plain and without tag.
fn value_of(data_type: DataType, tagged: bool, max: usize) -> BoxedStrategy<Vec<u8>> {
    let exactly = |octets: usize| proptest::collection::vec(any::<u8>(), octets).boxed();
    let up_to = move |max: usize| {
        prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 1..=max.min(30)),
            1 => proptest::collection::vec(any::<u8>(), max..=max),
            1 => proptest::collection::vec(any::<u8>(), 1..=max),
        ]
        .boxed()
    };
    let prefix = |octets: usize| {
        (proptest::collection::vec(any::<u8>(), octets), 0..=octets * 8).prop_map(
            move |(mut address, bits)| {
                for bit in bits..octets * 8 {
                    address[bit / 8] &= !(0x80 >> (bit % 8));
                }
                [&[0, bits as u8], &address[..]].concat()
            },
        )
    };
    match data_type {
        DataType::Text | DataType::Octets { length: None } | DataType::AscendFilter => up_to(max),
        DataType::Octets { length: Some(length) } => exactly(usize::from(length)),
        DataType::Byte => exactly(1),
        DataType::Short => exactly(2),
        DataType::Integer if tagged => exactly(3),
        DataType::Integer | DataType::Signed | DataType::Date | DataType::Ipv4Address => exactly(4),
        DataType::Integer64 | DataType::InterfaceId => exactly(8),
        DataType::Ipv6Address => exactly(16),
        DataType::EitherAddress => prop_oneof![exactly(4), exactly(16)].boxed(),
        DataType::Ether => exactly(6),
        DataType::Ipv4Prefix => prefix(4).boxed(),
        DataType::Ipv6Prefix => prefix(16).boxed(),
        DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => exactly(0),
    }
}

/// Every attribute that a packet can carry and that holds no others.
fn leaves(dictionary: &Dictionary) -> Vec<Oid> {
    let mut leaves: Vec<Oid> = dictionary
        .attributes()
        .filter(|attribute| {
            let container = matches!(
                attribute.data_type(),
                DataType::Tlv
                    | DataType::VendorSpecific
                    | DataType::Extended
                    | DataType::LongExtended
                    | DataType::ExtendedVendorSpecific
            );
            !container && !attribute.internal()
        })
        .map(|attribute| attribute.oid())
        .collect();
    leaves.sort();
    leaves.dedup();
    leaves
}

/// An attribute with a value that fits, and a tag if it has one.
fn assignment() -> impl Strategy<Value = (Oid, Option<u8>, Vec<u8>)> {
    let dictionary = dictionary();
    proptest::sample::select(leaves(&dictionary)).prop_flat_map(move |oid| {
        let attribute = dictionary.at(&oid).expect("it was listed");
        // A vendor's longer header is not known to the dictionary's bound.
        let max = attribute.value_octets_max() - if oid.first() == 26 { 3 } else { 0 };
        let tag = if attribute.tagged() { (0..=31u8).prop_map(Some).boxed() } else { Just(None).boxed() };
        let value = value_of(attribute.data_type(), attribute.tagged(), max.min(2000));
        let padded = matches!(attribute.encryption(), Encryption::UserPassword | Encryption::AscendSecret)
            && attribute.data_type() == DataType::Text;
        (Just(oid), tag, value).prop_map(move |(oid, tag, mut value)| {
            // Zeros at the end of a password cannot be told from its padding.
            if padded && value.last() == Some(&0) {
                value.push(1);
                value.truncate(16);
                *value.last_mut().expect("one at least") = 1;
            }
            (oid, tag, value)
        })
    })
}

/// Octets that are attributes, and often nearly something.
fn nearly_attributes() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        4 => proptest::sample::select(vec![
            &[26u8, 0, 0, 0, 9][..], &[26, 0, 0, 0, 9, 1, 4], &[26, 0, 0, 0, 11, 1, 44, 0, 6], &[26, 0, 0, 0, 11, 1, 45, 0, 8, 1, 4],
            &[26, 0, 0, 0, 12], &[26, 0, 0, 0, 13, 7], &[26, 0, 0, 0, 14, 1, 5, 0x80], &[26, 0, 0, 0, 14, 1, 5, 0],
            &[26, 0, 0, 0, 14, 2, 9, 0, 1, 3, 9], &[26, 0, 0, 0, 14, 2, 9, 0, 2, 5, 1, 3, 9],
            &[241, 1], &[241, 2, 1, 4, 9, 9], &[241, 2, 1, 4, 9, 9, 3, 5, 1, 3, 1], &[241, 26, 0, 0, 0, 9, 5],
            &[241, 26, 0, 0, 0, 9, 5, 3, 4, 9, 9], &[244, 1], &[245, 1, 0], &[245, 1, 0x80], &[245, 2, 0, 1, 3, 9],
            &[245, 26, 0, 0, 0, 0, 9, 5, 3, 4, 9, 9], &[64, 1, 0, 0], &[69, 1], &[79], &[81, 1], &[97, 0, 8], &[173, 1, 6],
            &[173, 1, 6, 0, 0, 0, 9], &[2], &[3], &[25],
        ]),
        1 => Just(&[][..]),
    ];
    let lengths = prop_oneof![6 => 0..6usize, 1 => Just(253usize), 1 => 0..253usize];
    let attribute = (header, any::<u8>(), lengths, proptest::collection::vec(any::<u8>(), 253)).prop_map(
        |(header, number, length, noise)| {
            let (number, start) =
                header.split_first().map_or((number, &[][..]), |(number, start)| (*number, start));
            let full = length == 253;
            let value: Vec<u8> = start
                .iter()
                .copied()
                .chain(noise)
                .take(if full { 253 } else { start.len() + length })
                .collect();
            let value = &value[..value.len().min(253)];
            [&[number, value.len() as u8 + 2], value].concat()
        },
    );
    proptest::collection::vec((attribute, 1..4usize), 0..12).prop_map(|attributes| {
        let mut octets = Vec::new();
        for (attribute, times) in attributes {
            // Neighbours that are alike: pieces, or not.
            octets.extend(attribute.repeat(times));
        }
        let mut end = 0;
        while octets.get(end + 1).is_some_and(|length| end + usize::from(*length) <= 4076) {
            end += usize::from(octets[end + 1]);
        }
        octets.truncate(end);
        octets
    })
}

/// Text that is nearly a list of attributes.
fn nearly_text() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "User-Name",
        "user-name",
        "Tunnel-Type:1",
        "Tunnel-Type",
        "Group:31",
        "Group:32",
        "Tree-One",
        "Tree-Three-One",
        "Plain-Short-One",
        "Attr-26.9.1",
        "Attr-241.2.1",
        "attr-245",
        "Attr-",
        "Number",
        "When",
        "Prefix6",
        "Filter",
        "Ether",
        "Tunnel-Password:3",
        "Continued-Tree-One",
        "Colour",
        "Long-Text",
        "Nested-Number",
        "Fixed-Key",
        "Bare",
        "",
    ]);
    let operator = proptest::sample::select(vec!["=", " = ", " := ", "+=", " += ", ":=", "==", " "]);
    let value = prop_oneof![
        proptest::sample::select(vec![
            "\"bob\"",
            "'it''s'",
            "\"\\\"\\n\\001\\xff\"",
            "\"",
            "\"\\8\"",
            "VLAN",
            "1",
            "0x0102",
            "0x010320",
            "10.0.0.1",
            "2001:db8::/32",
            "00:00:5e:00:53:01",
            "\"Nov 23 2026 13:33:22 UTC\"",
            "2026-11-23T13:33:22Z",
            "3(three),drei",
            "\"3(three),drei\"",
            "0x04",
            "5",
            "-1",
            "",
            "#",
            "0x",
        ])
        .prop_map(str::to_owned),
        ".{0,12}",
    ];
    let separator = proptest::sample::select(vec![", ", ",", "\n", "\r\n", " ", " # comment\n", ""]);
    proptest::collection::vec((name, operator, value, separator), 0..6).prop_map(|assignments| {
        assignments
            .into_iter()
            .map(|(name, operator, value, separator)| format!("{name}{operator}{value}{separator}"))
            .collect()
    })
}

fn nearly_dictionary() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(vec![
            "ATTRIBUTE", "VALUE", "VENDOR", "BEGIN-VENDOR", "END-VENDOR", "BEGIN-TLV", "END-TLV", "ALIAS", "$INCLUDE",
        ]),
        1 => Just("FOO"),
    ];
    let field = proptest::sample::select(vec![
        "A",
        "B",
        "C",
        "a",
        "V",
        "W",
        "1",
        "2",
        "1.1",
        "1.1.1",
        ".1",
        ".2",
        "26.9.1",
        "241.1",
        "241.26.9.1",
        "9",
        "0x0a",
        "256",
        "26",
        "241",
        "245.26",
        "tlv",
        "string",
        "integer",
        "byte",
        "octets[3]",
        "evs",
        "vsa",
        "has_tag",
        "encrypt=2",
        "concat",
        "format=2,1",
        "format=C",
        "#",
    ]);
    let line = (word, proptest::collection::vec(field, 0..5))
        .prop_map(|(word, fields)| format!("{word} {}\n", fields.join(" ")));
    let good = proptest::sample::select(vec![
        "ATTRIBUTE A 1 tlv\n",
        "ATTRIBUTE B 1.1 integer\n",
        "ATTRIBUTE B .1 integer\n",
        "VALUE B x 1\n",
        "VALUE B y 1\n",
        "VALUE B X 2\n",
        "VENDOR V 9\n",
        "VENDOR W 9 format=2,1\n",
        "BEGIN-VENDOR V\n",
        "END-VENDOR V\n",
        "ATTRIBUTE C 1 integer\n",
        "VALUE C x 3\n",
        "BEGIN-TLV A\n",
        "END-TLV A\n",
        "ALIAS a B\n",
        "ALIAS D A\n",
        "ATTRIBUTE b 1.1 string\n",
        "ATTRIBUTE E 245.26 evs\n",
        "BEGIN-VENDOR V format=E\n",
        "ATTRIBUTE F 300 string\n",
        "ATTRIBUTE A 1 string\n",
    ]);
    let line = prop_oneof![1 => line, 6 => good.prop_map(str::to_owned)];
    proptest::collection::vec(line, 0..20).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_law_of_attributes_holds(data in nearly_attributes()) {
        // checklist 61, 62, 63, 64
        prop_assert!(Attributes::parse(&data).is_ok());
        attributes_law(&EVERY_KIND, &data);
    }

    #[test]
    fn the_law_of_attributes_holds_for_any_octets(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        attributes_law(&EVERY_KIND, &data);
    }

    #[test]
    fn the_law_of_text_holds_for_attributes(data in nearly_attributes()) {
        text_law(&EVERY_KIND, &data);
    }

    #[test]
    fn the_law_of_text_holds_for_text(text in nearly_text()) {
        text_law(&EVERY_KIND, text.as_bytes());
    }

    #[test]
    fn the_law_of_dictionaries_holds(text in nearly_dictionary()) {
        dictionary_law(text.as_bytes());
    }

    #[test]
    fn each_value_is_read_as_it_was_written(assignments in proptest::collection::vec(assignment(), 1..8)) {
        let dictionary = dictionary();
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &[7; 16] };
        let mut out = Vec::new();
        let mut writer = Writer::new(&dictionary, &mut out);
        let mut written: Vec<(Oid, Option<u8>, Vec<u8>)> = Vec::new();
        let mut hidden = [0; 253];
        for (place, (oid, tag, value)) in assignments.iter().enumerate() {
            let attribute = dictionary.at(oid).expect("it is defined");
            // Attributes of which neighbours are pieces would become one.
            if attribute.concatenated() && written.last().is_some_and(|(last, ..)| last == oid) {
                continue;
            }
            let salt = [0x80, place as u8];
            let wire = ulna_core::attributes::hide(attribute.encryption(), value, salt, hop, &mut hidden).expect("it fits");
            match writer.push(&Entry { oid: *oid, tag: *tag, value: wire, joined: 0 }) {
                Ok(()) => written.push((*oid, *tag, value.clone())),
                Err(error) => prop_assert!(matches!(error, WriteError::PacketFull { .. }), "{}", error),
            }
        }
        writer.finish();
        let mut scratch = Scratch::default();
        let mut revealed = [0; 253];
        let attributes = Attributes::parse(&out).expect("what we write are attributes");
        let mut read = Vec::new();
        for item in Walk::new(&dictionary, attributes, &mut scratch) {
            prop_assert_eq!(item.shape, Shape::Known, "{:?}", item);
            let plain = item.plain(hop, &mut revealed).expect("it was hidden by us").octets().to_vec();
            read.push((item.oid, item.tag, plain));
        }
        prop_assert_eq!(read, written);
    }

    #[test]
    fn each_value_is_printed_as_it_is_read((oid, tag, value) in assignment()) {
        let dictionary = dictionary();
        let attribute = dictionary.at(&oid).expect("it is defined");
        let printed = print_value(attribute, &value).expect("it is a value of its type").to_string();
        let assigned = format!("{} = {printed}", attribute.name());
        let read = text::parse(&dictionary, &assigned).expect("what is printed is read");
        prop_assert_eq!(&read[0].value, &value, "{}", assigned);
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: &[7; 16] };
        let sealing = Sealing { hop, salt: 0x8000 };
        let tagged = tag.map_or(assigned, |tag| format!("{}:{tag} = {printed}", attribute.name()));
        let read = text::parse(&dictionary, &tagged).expect("what is printed is read");
        let mut out = Vec::new();
        text::write(&dictionary, &read, Some(sealing), &mut out).expect("it fits");
        let attributes = Attributes::parse(&out).expect("what we write are attributes");
        prop_assert_eq!(text::print(&dictionary, attributes).revealed(hop).to_string(), tagged);
        // Without the secret a hidden value is printed by number, and never plain.
        let by_number = text::print(&dictionary, attributes).to_string();
        prop_assert_eq!(by_number.starts_with("Attr-"), attribute.encrypted());
    }

    #[test]
    fn words_never_panic(name in proptest::sample::select(leaves(&dictionary())), word in ".{0,20}", number: i64) {
        let dictionary = dictionary();
        let attribute = dictionary.at(&name).expect("it is defined");
        for literal in [Literal::Text(&word), Literal::Word(&word), Literal::Quoted(word.as_bytes()), Literal::Integer(number.into())] {
            if let Ok(value) = encode_value(attribute, literal) {
                prop_assert!(print_value(attribute, &value).is_some(), "what is taken is of the type");
            }
        }
    }
}

#[test]
fn every_type_is_tested() {
    let dictionary = dictionary();
    let types: Vec<_> =
        leaves(&dictionary).iter().filter_map(|oid| dictionary.at(oid)).map(|a| a.data_type()).collect();
    for data_type in [
        DataType::Text,
        DataType::Octets { length: None },
        DataType::Octets { length: Some(17) },
        DataType::Byte,
        DataType::Short,
        DataType::Integer,
        DataType::Integer64,
        DataType::Signed,
        DataType::Date,
        DataType::Ipv4Address,
        DataType::Ipv6Address,
        DataType::Ipv4Prefix,
        DataType::Ipv6Prefix,
        DataType::EitherAddress,
        DataType::InterfaceId,
        DataType::Ether,
        DataType::AscendFilter,
    ] {
        assert!(types.contains(&data_type), "{data_type}");
    }
}

#[test]
fn without_a_secret_nothing_hidden_is_written() {
    let dictionary = dictionary();
    let read = text::parse(&dictionary, "User-Password = \"hello\"").expect("well-formed");
    let mut out = Vec::new();
    let error = text::write(&dictionary, &read, None, &mut out).expect_err("it would stand there plain");
    assert_eq!((error.fault, out.len()), (TextFault::Hidden, 0));
}
