//! What attributes are called, which number they have and what their values look like.
//!
//! Knows names, numbers and data types, and makes a value's octets from what an operator wrote. Knows no packets and
//! no packet's path asks it: configuration is turned into octets when it is loaded. RFC 2865 §5, RFC 3162 §2.

mod nearest;
mod parse;
mod value;

pub use nearest::nearest;
pub use parse::{DictionaryError, Fault};
pub use value::{EncodeValueError, Expected, Literal, append_attribute, encode_value};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Attributes by name and by number.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    attributes: Vec<Attribute>,
    /// Name to place in `attributes`. Ordered, so that offers of a nearest name are the same each time.
    by_name: BTreeMap<Box<str>, usize>,
}

/// One attribute of the standard space (RFC 2865 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    name: Box<str>,
    number: u8,
    data_type: DataType,
    tagged: bool,
    encrypted: bool,
    values: BTreeMap<Box<str>, u32>,
    value_names: BTreeMap<u32, Box<str>>,
}

/// What the octets of a value mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// UTF-8, 1 to 253 octets (RFC 2865 §5, "text").
    Text,
    /// Octets without further meaning: exactly `length` of them, or 1 to 253 (RFC 2865 §5, "string").
    Octets {
        /// The one length that this attribute may have.
        length: Option<u8>,
    },
    /// 32 bits without sign, most significant octet first.
    Integer,
    /// An IPv4 address, 4 octets.
    Ipv4Address,
    /// Seconds since 1970-01-01T00:00:00Z, 32 bits without sign.
    Date,
    /// An IPv6 interface identifier, 8 octets (RFC 3162 §2.2).
    InterfaceId,
    /// An IPv6 address, 16 octets (RFC 3162 §2.1).
    Ipv6Address,
    /// A zero, a prefix length and a prefix (RFC 3162 §2.3).
    Ipv6Prefix,
    /// A vendor's number and what that vendor defines (RFC 2865 §5.26).
    VendorSpecific,
}

impl Dictionary {
    /// The dictionary that is built in, those of our own files that this reader knows all of.
    pub fn built_in() -> Dictionary {
        let mut dictionary = Dictionary::default();
        for text in BUILT_IN {
            dictionary.extend(text).expect("the built-in dictionary is well-formed, as its test says");
        }
        dictionary
    }

    /// The attribute of that name; letter case counts.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.by_name.get(name).map(|place| &self.attributes[*place])
    }

    /// The attribute of that number.
    pub fn numbered(&self, number: u8) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.number == number)
    }

    /// The attribute name that somebody who wrote `misspelt` most likely meant.
    pub fn nearest(&self, misspelt: &str) -> Option<&str> {
        nearest(misspelt, self.by_name.keys().map(|name| &**name))
    }

    /// Every attribute, in the order of definition.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter()
    }
}

impl Attribute {
    /// As the dictionary writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Type octet, 1 to 255.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// What its value's octets mean.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Whether its value begins with a tag (RFC 2868 §3).
    pub fn tagged(&self) -> bool {
        self.tagged
    }

    /// Whether its value is hidden with the secret of each hop (RFC 2865 §5.2, RFC 2868 §3.5).
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// The number of a named value.
    pub fn value(&self, name: &str) -> Option<u32> {
        self.values.get(name).copied()
    }

    /// The name of a numbered value; of several, the first defined.
    pub fn value_name(&self, number: u32) -> Option<&str> {
        self.value_names.get(&number).map(|name| &**name)
    }
}

/// Our own files, in the order in which they are read.
const BUILT_IN: &[&str] = &[
    include_str!("../../dictionaries/rfc2865.dictionary"),
    include_str!("../../dictionaries/rfc2866.dictionary"),
    include_str!("../../dictionaries/rfc2867.dictionary"),
    include_str!("../../dictionaries/rfc2868.dictionary"),
    include_str!("../../dictionaries/rfc2869.dictionary"),
    include_str!("../../dictionaries/rfc3162.dictionary"),
    include_str!("../../dictionaries/rfc3580.dictionary"),
    include_str!("../../dictionaries/rfc4072.dictionary"),
    include_str!("../../dictionaries/rfc4372.dictionary"),
    include_str!("../../dictionaries/rfc4603.dictionary"),
    include_str!("../../dictionaries/rfc4675.dictionary"),
    include_str!("../../dictionaries/rfc4818.dictionary"),
    include_str!("../../dictionaries/rfc4849.dictionary"),
    include_str!("../../dictionaries/rfc5090.dictionary"),
    include_str!("../../dictionaries/rfc5176.dictionary"),
    include_str!("../../dictionaries/rfc5580.dictionary"),
    include_str!("../../dictionaries/rfc5607.dictionary"),
    include_str!("../../dictionaries/rfc6519.dictionary"),
    include_str!("../../dictionaries/rfc6677.dictionary"),
    include_str!("../../dictionaries/rfc6911.dictionary"),
    include_str!("../../dictionaries/rfc7055.dictionary"),
    include_str!("../../dictionaries/iana.dictionary"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_numbers_are_those_of_the_rfcs() {
        let dictionary = Dictionary::built_in();
        let number = |name| dictionary.attribute(name).map(Attribute::number);
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
        assert_eq!(number("SIP-AOR"), Some(122));
        assert_eq!(number("GSS-Acceptor-Realm-Name"), Some(167));
        assert_eq!(port_type.value("PPPoEoVLAN"), Some(33));
        let cause = dictionary.attribute("Error-Cause").expect("built in");
        assert_eq!(cause.value_name(503), Some("Session-Context-Not-Found"));
    }

    #[test]
    fn names_are_exact_and_the_nearest_is_offered() {
        let dictionary = Dictionary::built_in();
        assert_eq!(dictionary.attribute("session-timeout"), None);
        assert_eq!(dictionary.nearest("session-timeout"), Some("Session-Timeout"));
        assert_eq!(dictionary.nearest("Sesion-Timeot"), Some("Session-Timeout"));
        assert_eq!(dictionary.nearest("Colour"), None);
    }
}
