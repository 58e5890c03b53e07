//! What attributes are called, which numbers lead to them and what their values look like.
//!
//! Knows names, numbers and data types, reads the files that say them, and makes a value's octets from what an operator
//! wrote and back. Knows no packets: the room `attributes` applies it to them. RFC 2865 §5, RFC 6929 §2.6, RFC 8044.

mod line;
mod load;
mod nearest;
mod print;
mod value;

pub use crate::packet::DataType;
pub(crate) use line::is_name_octet;
pub use load::{DictionaryError, DictionaryFile, DictionaryFiles, Fault, Unreadable, dictionary_law};
pub use nearest::nearest;
pub use print::{PrintedValue, escape_into, number_of, print_value};
pub(crate) use print::{hexadecimal_into, rfc_3339_into};
pub use value::{EncodeValueError, Expected, Literal, encode_value, hexadecimal};

use crate::packet::tlv::TLV_VALUE_OCTETS_MAX;
use crate::packet::{HEADER_OCTETS, Oid, PACKET_OCTETS_MAX, VALUE_OCTETS_MAX, VendorFormat, hidden};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Attributes and vendors by name and by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dictionary {
    attributes: Vec<Attribute>,
    /// Name to place in `attributes`. Ordered, so that offers of a nearest name are the same each time.
    by_name: BTreeMap<Box<str>, usize>,
    /// The same in lower case, for names that are not written exactly; of several the first defined.
    by_folded_name: BTreeMap<Box<str>, usize>,
    /// Of several attributes with the same numbers the last defined: it is the one that is printed.
    by_oid: BTreeMap<Oid, usize>,
    /// Of those the standard ones once more, by number: every attribute of a packet asks. Empty, or 256 of them.
    standard: Vec<Option<usize>>,
    /// By number, as a packet's attributes ask.
    vendors: BTreeMap<u32, Vendor>,
    vendor_numbers: BTreeMap<Box<str>, u32>,
    /// How many texts have been read; what a later one says wins over what an earlier one said.
    layer: u32,
}

/// Somebody with attributes of his own (RFC 2865 §5.26).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    name: Box<str>,
    number: u32,
    format: VendorFormat,
    layer: u32,
}

/// One attribute: of the standard space, of a vendor, extended, or within another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    name: Box<str>,
    oid: Oid,
    data_type: DataType,
    flags: Flags,
    values: BTreeMap<Box<str>, NamedValue>,
    value_names: BTreeMap<u64, Box<str>>,
    layer: u32,
}

/// What a value's name stands for, and which text said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NamedValue {
    number: u64,
    layer: u32,
}

/// What a dictionary says of an attribute beside its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags {
    tagged: bool,
    encryption: Encryption,
    concatenated: bool,
    /// Known to another server's policy, and sent by no one.
    internal: bool,
}

/// How a value is hidden under the secret of each hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// As User-Password (RFC 2865 §5.2): `encrypt=1`.
    UserPassword,
    /// As Tunnel-Password, with a salt (RFC 2868 §3.5): `encrypt=2`.
    TunnelPassword,
    /// As Ascend-Send-Secret, one block: `encrypt=3`.
    AscendSecret,
}

impl Dictionary {
    /// The dictionary that is built in.
    pub fn built_in() -> Dictionary {
        let mut dictionary = Dictionary::default();
        for (file, text) in BUILT_IN {
            // None of them wins over another: what two say differently is a fault of ours.
            dictionary.layer = 0;
            let read = dictionary.extend_from(file, text);
            read.unwrap_or_else(|error| panic!("the built-in dictionary is well-formed: {error}"));
        }
        dictionary
    }

    /// The attribute of that name; letter case counts.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.by_name.get(name).map(|place| &self.attributes[*place])
    }

    /// The attribute of that name, or else one that differs in the case of ASCII letters only.
    pub fn attribute_in_any_case(&self, name: &str) -> Option<&Attribute> {
        self.attribute(name).or_else(|| {
            let place = self.by_folded_name.get(&*name.to_ascii_lowercase())?;
            Some(&self.attributes[*place])
        })
    }

    /// The attribute of the standard space with this number.
    pub fn numbered(&self, number: u8) -> Option<&Attribute> {
        self.at(&Oid::standard(number))
    }

    /// The attribute to which these numbers lead.
    pub fn at(&self, oid: &Oid) -> Option<&Attribute> {
        let place = match *oid.parts() {
            [number] if number < 256 => self.standard.get(number as usize).copied().flatten(),
            _ => self.by_oid.get(oid).copied(),
        };
        place.map(|place| &self.attributes[place])
    }

    /// Makes these numbers lead there, or nowhere.
    fn lead(&mut self, oid: Oid, place: Option<usize>) {
        match place {
            Some(place) => self.by_oid.insert(oid, place),
            None => self.by_oid.remove(&oid),
        };
        if let [number @ 0..256] = *oid.parts() {
            self.standard.resize(256, None);
            self.standard[number as usize] = place;
        }
    }

    /// The vendor of this number.
    pub fn vendor(&self, number: u32) -> Option<&Vendor> {
        self.vendors.get(&number)
    }

    /// The vendor of this name.
    pub fn vendor_named(&self, name: &str) -> Option<&Vendor> {
        self.vendor_numbers.get(name).and_then(|number| self.vendors.get(number))
    }

    /// How this vendor writes type and length; what RFC 2865 §5.26 recommends, unless a dictionary knows better.
    pub fn vendor_format(&self, number: u32) -> VendorFormat {
        self.vendor(number).map_or(VendorFormat::RECOMMENDED, |vendor| vendor.format)
    }

    /// The attribute name that somebody who wrote `misspelt` most likely meant.
    pub fn nearest(&self, misspelt: &str) -> Option<&str> {
        nearest(misspelt, self.by_name.keys().map(|name| &**name))
    }

    /// Every attribute, in the order of definition.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter()
    }

    /// Every vendor, by number.
    pub fn vendors(&self) -> impl Iterator<Item = &Vendor> {
        self.vendors.values()
    }
}

impl Vendor {
    /// As the dictionary writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IANA enterprise number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How it writes type and length.
    pub fn format(&self) -> VendorFormat {
        self.format
    }
}

impl Attribute {
    /// As the dictionary writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The numbers that lead to it.
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// What its value's octets mean.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Whether its value begins with a tag (RFC 2868 §3).
    pub fn tagged(&self) -> bool {
        self.flags.tagged
    }

    /// Whether its value is hidden with the secret of each hop (RFC 2865 §5.2, RFC 2868 §3.5).
    pub fn encrypted(&self) -> bool {
        self.flags.encryption != Encryption::None
    }

    /// How its value is hidden.
    pub fn encryption(&self) -> Encryption {
        self.flags.encryption
    }

    /// Whether a long value is cut into several attributes that follow each other, as EAP-Message is (RFC 3579 §3.1).
    pub fn concatenated(&self) -> bool {
        self.flags.concatenated
    }

    /// Whether no packet can carry it: it only has a meaning to another server's policy.
    pub fn internal(&self) -> bool {
        self.flags.internal || self.oid.first() > 255
    }

    /// The most octets that a value may have, as plain text and without its tag, in a packet that holds nothing else.
    pub fn value_octets_max(&self) -> usize {
        let tag = usize::from(self.flags.tagged);
        let room = self.room_octets().saturating_sub(tag);
        match self.flags.encryption {
            Encryption::None => room,
            Encryption::UserPassword => room.min(hidden::USER_PASSWORD_OCTETS_MAX),
            // Whole blocks of 16 behind a salt of two octets; the first octet within says how long the value is.
            Encryption::TunnelPassword => {
                let blocks = room.saturating_sub(hidden::SALT_OCTETS) / 16;
                (blocks * 16).saturating_sub(1).min(hidden::SALTED_PLAIN_OCTETS_MAX)
            }
            Encryption::AscendSecret => room.min(hidden::ASCEND_SECRET_OCTETS),
        }
    }

    /// The most octets that may stand behind all headers.
    fn room_octets(&self) -> usize {
        // What is left for attributes in a packet, cut into pieces of which each has a header.
        let pieces = |header: usize| {
            let room = PACKET_OCTETS_MAX - HEADER_OCTETS;
            let whole = VALUE_OCTETS_MAX + 2;
            room - header * room.div_ceil(whole)
        };
        let (room, tlvs) = match *self.oid.parts() {
            [number] if self.flags.concatenated && number < 256 => (pieces(2), 0),
            [241..=244, 26, _, _, ref tlvs @ ..] => (VALUE_OCTETS_MAX - 6, tlvs.len()),
            [241..=244, _, ref tlvs @ ..] => (VALUE_OCTETS_MAX - 1, tlvs.len()),
            [245 | 246, 26, _, _, ref tlvs @ ..] => (pieces(4) - 5, tlvs.len()),
            [245 | 246, _, ref tlvs @ ..] => (pieces(4), tlvs.len()),
            // Which format the vendor has is not known here; the shortest header is assumed, the writer knows better.
            [26, _, _, ref tlvs @ ..] => (VALUE_OCTETS_MAX - 4 - 2, tlvs.len()),
            [_, ref tlvs @ ..] => (VALUE_OCTETS_MAX, tlvs.len()),
            [] => (0, 0),
        };
        (0..tlvs).fold(room, |room, _| room.min(TLV_VALUE_OCTETS_MAX + 2) - 2)
    }

    /// Whether there are names for values.
    pub fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// The number of a named value.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).map(|value| value.number)
    }

    /// The number of a named value, letter case of ASCII aside.
    pub fn value_in_any_case(&self, name: &str) -> Option<u64> {
        let folded = || self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        self.value(name).or_else(|| folded().map(|(_, value)| value.number))
    }

    /// The name of a numbered value; of several, the first defined.
    pub fn value_name(&self, number: u64) -> Option<&str> {
        self.value_names.get(&number).map(|name| &**name)
    }

    /// The value name that somebody who wrote `misspelt` most likely meant.
    pub fn nearest_value(&self, misspelt: &str) -> Option<&str> {
        nearest(misspelt, self.values.keys().map(|name| &**name))
    }
}

macro_rules! built_in {
    ($name:literal) => {
        (concat!($name, ".dictionary"), include_str!(concat!("../../dictionaries/", $name, ".dictionary")))
    };
}

/// Our own files, in the order in which they are read, by name for messages.
const BUILT_IN: &[(&str, &str)] = &[
    built_in!("rfc2865"),
    built_in!("rfc2866"),
    built_in!("rfc2867"),
    built_in!("rfc2868"),
    built_in!("rfc2869"),
    built_in!("rfc3162"),
    built_in!("rfc3580"),
    built_in!("rfc4072"),
    built_in!("rfc4372"),
    built_in!("rfc4603"),
    built_in!("rfc4675"),
    built_in!("rfc4818"),
    built_in!("rfc4849"),
    built_in!("rfc5090"),
    built_in!("rfc5176"),
    built_in!("rfc5447"),
    built_in!("rfc5580"),
    built_in!("rfc5607"),
    built_in!("rfc5904"),
    built_in!("rfc6519"),
    built_in!("rfc6572"),
    built_in!("rfc6677"),
    built_in!("rfc6911"),
    built_in!("rfc6929"),
    built_in!("rfc6930"),
    built_in!("rfc7055"),
    built_in!("rfc7268"),
    built_in!("rfc7499"),
    built_in!("rfc7833"),
    built_in!("rfc7930"),
    built_in!("rfc8045"),
    built_in!("rfc8559"),
    built_in!("iana"),
    built_in!("3gpp"),
    built_in!("adsl-forum"),
    built_in!("aerohive"),
    built_in!("airespace"),
    built_in!("alcatel-sr"),
    built_in!("aruba"),
    built_in!("ascend"),
    built_in!("chillispot"),
    built_in!("cisco"),
    built_in!("erx"),
    built_in!("extreme"),
    built_in!("f5"),
    built_in!("fortinet"),
    built_in!("foundry"),
    built_in!("hp"),
    built_in!("huawei"),
    built_in!("juniper"),
    built_in!("meraki"),
    built_in!("microsoft"),
    built_in!("mikrotik"),
    built_in!("paloalto"),
    built_in!("redback"),
    built_in!("ruckus"),
    built_in!("wispr"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_numbers_are_those_of_the_rfcs() {
        let dictionary = Dictionary::built_in();
        let number = |name| dictionary.attribute(name).map(|attribute| attribute.oid().first());
        assert_eq!(number("User-Name"), Some(1));
        assert_eq!(number("Login-LAT-Port"), Some(63));
        assert_eq!(number("Acct-Link-Count"), Some(51));
        assert_eq!(number("Tunnel-Server-Auth-Id"), Some(91));
        assert_eq!(number("Message-Authenticator"), Some(80));
        assert_eq!(number("NAS-Filter-Rule"), Some(92));
        assert_eq!(number("Framed-IPv6-Pool"), Some(100));
        let port_type = dictionary.attribute("NAS-Port-Type").expect("built in");
        assert_eq!(port_type.value("Wireless-802.11"), Some(19));
        assert_eq!(dictionary.numbered(18).map(Attribute::name), Some("Reply-Message"));
        // 41 of RFC 2865, 12 of 2866, 10 of 2868, 18 of 2869, 6 of 3162, 1 of 4849.
        assert!(dictionary.attributes().count() > 41 + 12 + 10 + 18 + 6);
    }

    #[test]
    fn every_file_of_ours_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/dictionaries");
        let files = std::fs::read_dir(folder).expect("it is in the repository");
        let files = files.map(|file| file.expect("it can be read").file_name().into_string().expect("ASCII"));
        let files: std::collections::BTreeSet<_> = files.collect();
        let built_in = BUILT_IN.iter().map(|(name, _)| alloc::string::String::from(*name)).collect();
        assert_eq!(files, built_in);
    }

    #[test]
    fn what_the_built_in_dictionary_hides_and_tags() {
        let dictionary = Dictionary::built_in();
        let attribute = |name| dictionary.attribute(name).expect("built in");
        assert_eq!(attribute("User-Password").encryption(), Encryption::UserPassword);
        assert_eq!(attribute("Tunnel-Password").encryption(), Encryption::TunnelPassword);
        assert_eq!(attribute("Reply-Message").encryption(), Encryption::None);
        assert!(attribute("Tunnel-Password").tagged() && attribute("Tunnel-Type").tagged());
        assert!(!attribute("User-Password").tagged());
    }

    #[test]
    fn names_are_exact_and_the_nearest_is_offered() {
        let dictionary = Dictionary::built_in();
        assert_eq!(dictionary.attribute("session-timeout"), None);
        let meant = dictionary.attribute_in_any_case("session-timeout");
        assert_eq!(meant.map(Attribute::name), Some("Session-Timeout"));
        assert_eq!(dictionary.nearest("session-timeout"), Some("Session-Timeout"));
        assert_eq!(dictionary.nearest("Sesion-Timeot"), Some("Session-Timeout"));
        assert_eq!(dictionary.nearest("Colour"), None);
    }
}
