//! From what an operator wrote to the octets of a value.

use super::{Attribute, DataType, nearest};
use crate::client::Prefix;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A value as it stands in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal<'v> {
    /// In quotes.
    Text(&'v str),
    /// A whole number.
    Integer(i128),
}

/// A value that its attribute cannot hold. Does not repeat the value: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeValueError {
    /// The attribute's name.
    pub attribute: Box<str>,
    /// What it can hold.
    pub expected: Expected,
}

/// What an attribute can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Text of 1 to 253 octets.
    Text,
    /// 1 to 253 octets, as text or hexadecimal.
    Octets,
    /// Exactly so many octets, as text or hexadecimal.
    OctetsExactly(u8),
    /// A number of 32 bits.
    Integer,
    /// A number of 32 bits or the name of one, with the name that was probably meant.
    IntegerOrName(Option<Box<str>>),
    /// An IPv4 address.
    Ipv4Address,
    /// Seconds since 1970.
    Date,
    /// Four groups of hexadecimal digits.
    InterfaceId,
    /// An IPv6 address.
    Ipv6Address,
    /// An IPv6 network, without host bits.
    Ipv6Prefix,
    /// Nothing: tags cannot be written yet.
    TagsNotBuilt,
    /// Nothing: values that are hidden per hop cannot be written yet.
    EncryptionNotBuilt,
    /// Nothing: vendors' attributes cannot be written yet.
    VendorsNotBuilt,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Text => "text of 1 to 253 octets",
            Expected::Octets => "1 to 253 octets, as text or as \"0x\" and hexadecimal digits",
            Expected::OctetsExactly(length) => {
                return write!(f, "exactly {length} octets, as text or as \"0x\" and hexadecimal digits");
            }
            Expected::Integer => "a whole number from 0 to 4294967295",
            Expected::IntegerOrName(None) => "a whole number from 0 to 4294967295 or the name of a value",
            Expected::IntegerOrName(Some(nearest)) => {
                return write!(
                    f,
                    "a whole number from 0 to 4294967295 or the name of a value (did you mean \"{nearest}\"?)"
                );
            }
            Expected::Ipv4Address => "an IPv4 address such as \"192.0.2.1\"",
            Expected::Date => "seconds since 1970, from 0 to 4294967295",
            Expected::InterfaceId => "an interface identifier such as \"0:0:0:1\"",
            Expected::Ipv6Address => "an IPv6 address such as \"2001:db8::1\"",
            Expected::Ipv6Prefix => "an IPv6 network without host bits such as \"2001:db8::/48\"",
            Expected::TagsNotBuilt => "no value: attributes with tags are not built yet",
            Expected::EncryptionNotBuilt => "no value: encrypted attributes are not built yet",
            Expected::VendorsNotBuilt => "no value: attributes of vendors are not built yet",
        })
    }
}

impl fmt::Display for EncodeValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` expects {}", self.attribute, self.expected)
    }
}

impl core::error::Error for EncodeValueError {}

/// The octets, 1 to 253, of this attribute's value: without Type and Length.
///
/// # Errors
/// When the attribute cannot hold the value, or cannot be written yet; the error names it and says what it holds.
pub fn encode_value(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, EncodeValueError> {
    octets(attribute, literal)
        .map_err(|expected| EncodeValueError { attribute: attribute.name.clone(), expected })
}

/// Appends one attribute, Type and Length included, to `out`.
///
/// # Panics
/// If `value` has not 1 to 253 octets, which [`encode_value`] never returns (RFC 2865 §5).
pub fn append_attribute(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    assert!((1..=253).contains(&value.len()), "an attribute's value has 1 to 253 octets");
    out.extend_from_slice(&[number, value.len() as u8 + 2]);
    out.extend_from_slice(value);
}

fn octets(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
    if attribute.encrypted {
        return Err(Expected::EncryptionNotBuilt);
    }
    if attribute.tagged {
        return Err(Expected::TagsNotBuilt);
    }
    match attribute.data_type {
        DataType::Text => match literal {
            // RFC 2865 §5: text of length zero must not be sent, the attribute is left out instead.
            Literal::Text(text) if (1..=253).contains(&text.len()) => Ok(text.as_bytes().into()),
            Literal::Text(_) | Literal::Integer(_) => Err(Expected::Text),
        },
        DataType::Octets { length } => {
            let expected = length.map_or(Expected::Octets, Expected::OctetsExactly);
            let octets = text(literal).and_then(octets_from_text);
            octets
                .filter(|octets| match length {
                    Some(length) => octets.len() == usize::from(length),
                    None => (1..=253).contains(&octets.len()),
                })
                .ok_or(expected)
        }
        DataType::Integer => integer(attribute, literal),
        DataType::Date => whole(literal).ok_or(Expected::Date),
        DataType::Ipv4Address => text(literal)
            .and_then(|text| text.parse::<Ipv4Addr>().ok())
            .map(|address| address.octets().into())
            .ok_or(Expected::Ipv4Address),
        DataType::Ipv6Address => text(literal)
            .and_then(|text| text.parse::<Ipv6Addr>().ok())
            .map(|address| address.octets().into())
            .ok_or(Expected::Ipv6Address),
        DataType::InterfaceId => text(literal).and_then(interface_id).ok_or(Expected::InterfaceId),
        DataType::Ipv6Prefix => text(literal).and_then(ipv6_prefix).ok_or(Expected::Ipv6Prefix),
        DataType::VendorSpecific => Err(Expected::VendorsNotBuilt),
    }
}

fn text(literal: Literal<'_>) -> Option<&str> {
    match literal {
        Literal::Text(text) => Some(text),
        Literal::Integer(_) => None,
    }
}

fn whole(literal: Literal<'_>) -> Option<Vec<u8>> {
    match literal {
        Literal::Integer(number) => u32::try_from(number).ok().map(|number| number.to_be_bytes().into()),
        Literal::Text(_) => None,
    }
}

fn integer(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
    let named = !attribute.values.is_empty();
    match literal {
        Literal::Text(name) if named => match attribute.value(name) {
            Some(number) => Ok(number.to_be_bytes().into()),
            None => {
                let offer = nearest(name, attribute.values.keys().map(|name| &**name));
                Err(Expected::IntegerOrName(offer.map(Into::into)))
            }
        },
        Literal::Text(_) => Err(Expected::Integer),
        Literal::Integer(_) => {
            whole(literal).ok_or(if named { Expected::IntegerOrName(None) } else { Expected::Integer })
        }
    }
}

/// `0x` and pairs of hexadecimal digits; any other text stands for its own octets.
fn octets_from_text(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x") else { return Some(text.as_bytes().into()) };
    if digits.len() % 2 != 0 {
        return None;
    }
    let digits: Option<Vec<u8>> = digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Four groups of 16 bits in hexadecimal, between colons: RFC 4291's way to write half an address.
fn interface_id(text: &str) -> Option<Vec<u8>> {
    if text.contains("::") || text.split(':').count() != 4 {
        return None;
    }
    // Half an address is written like a whole one, so let the language's parser judge it.
    let mut whole = String::from("0:0:0:0:");
    whole.push_str(text);
    let address: Ipv6Addr = whole.parse().ok()?;
    Some(address.octets()[8..].into())
}

/// A reserved zero, the length and all 16 octets of the prefix: RFC 3162 §2.3 would let trailing zeros be left out,
/// but every NAS reads the whole.
fn ipv6_prefix(text: &str) -> Option<Vec<u8>> {
    let (address, _) = text.split_once('/')?;
    // Parsed apart from `Prefix`, which takes IPv4-mapped addresses for IPv4.
    let address: Ipv6Addr = address.parse().ok()?;
    let prefix: Prefix = text.parse().ok()?;
    let length = match prefix.address() {
        IpAddr::V6(_) => prefix.length(),
        IpAddr::V4(_) => prefix.length() + 96,
    };
    let mut octets = Vec::with_capacity(18);
    octets.extend_from_slice(&[0, length]);
    octets.extend_from_slice(&address.octets());
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::super::Dictionary;
    use super::*;
    use alloc::string::ToString;

    fn encode(name: &str, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
        let dictionary = Dictionary::built_in();
        encode_value(dictionary.attribute(name).expect("built in"), literal).map_err(|error| error.expected)
    }

    #[test]
    fn values_become_the_octets_of_their_type() {
        use Literal::{Integer, Text};
        assert_eq!(encode("Reply-Message", Text("hi")), Ok(b"hi".into()));
        assert_eq!(encode("Session-Timeout", Integer(3600)), Ok([0, 0, 0x0e, 0x10].into()));
        assert_eq!(encode("Service-Type", Text("Framed-User")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Text("Framed")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Integer(4_294_967_295)), Ok([255; 4].into()));
        assert_eq!(encode("Framed-IP-Address", Text("192.0.2.7")), Ok([192, 0, 2, 7].into()));
        assert_eq!(encode("Event-Timestamp", Integer(1)), Ok([0, 0, 0, 1].into()));
        assert_eq!(encode("Class", Text("0x00fF")), Ok([0, 255].into()));
        assert_eq!(encode("Class", Text("gold")), Ok(b"gold".into()));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:a:1")), Ok([0, 0, 0, 0, 0, 10, 0, 1].into()));
        let mut host = [0; 16];
        host[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        host[15] = 1;
        assert_eq!(encode("Login-IPv6-Host", Text("2001:db8::1")), Ok(host.into()));
    }

    #[test]
    fn ipv6_prefix_has_reserved_length_and_whole_address() {
        let octets = encode("Framed-IPv6-Prefix", Literal::Text("2001:db8:1::/48")).expect("a prefix");
        let mut expected = [0; 18];
        expected[1..8].copy_from_slice(&[48, 0x20, 0x01, 0x0d, 0xb8, 0, 1]);
        assert_eq!(octets, expected);
        let refused = Err(Expected::Ipv6Prefix);
        assert_eq!(encode("Framed-IPv6-Prefix", Literal::Text("2001:db8::1/48")), refused);
        assert_eq!(encode("Framed-IPv6-Prefix", Literal::Text("2001:db8::")), refused);
        assert_eq!(encode("Framed-IPv6-Prefix", Literal::Text("192.0.2.0/24")), refused);
        assert_eq!(encode("Framed-IPv6-Prefix", Literal::Text("2001:db8::/129")), refused);
    }

    #[test]
    fn values_out_of_range_are_refused_with_what_is_expected() {
        use Literal::{Integer, Text};
        let long = "x".repeat(254);
        assert_eq!(encode("Reply-Message", Text("")), Err(Expected::Text));
        assert_eq!(encode("Reply-Message", Text(&long)), Err(Expected::Text));
        assert_eq!(encode("Reply-Message", Text(&long[1..])).map(|octets| octets.len()), Ok(253));
        assert_eq!(encode("Reply-Message", Integer(1)), Err(Expected::Text));
        assert_eq!(encode("Session-Timeout", Integer(-1)), Err(Expected::Integer));
        assert_eq!(encode("Session-Timeout", Integer(4_294_967_296)), Err(Expected::Integer));
        assert_eq!(encode("Session-Timeout", Text("soon")), Err(Expected::Integer));
        let offer = Expected::IntegerOrName(Some("Framed-User".into()));
        assert_eq!(encode("Service-Type", Text("Framed-Usr")), Err(offer));
        assert_eq!(encode("Service-Type", Integer(-1)), Err(Expected::IntegerOrName(None)));
        assert_eq!(encode("Framed-IP-Address", Text("::1")), Err(Expected::Ipv4Address));
        assert_eq!(encode("Event-Timestamp", Text("1")), Err(Expected::Date));
        assert_eq!(encode("Class", Text("0x0")), Err(Expected::Octets));
        assert_eq!(encode("Class", Text("0x")), Err(Expected::Octets));
        assert_eq!(encode("CHAP-Password", Text("0x00")), Err(Expected::OctetsExactly(17)));
        assert_eq!(encode("Framed-Interface-Id", Text("1::1")), Err(Expected::InterfaceId));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:0:10000")), Err(Expected::InterfaceId));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:1.2.3.4:1")), Err(Expected::InterfaceId));
        assert_eq!(encode("Tunnel-Type", Integer(1)), Err(Expected::TagsNotBuilt));
        assert_eq!(encode("Tunnel-Password", Text("x")), Err(Expected::EncryptionNotBuilt));
        assert_eq!(encode("Vendor-Specific", Text("x")), Err(Expected::VendorsNotBuilt));
    }

    #[test]
    fn the_error_names_the_attribute_and_not_the_value() {
        let dictionary = Dictionary::built_in();
        let attribute = dictionary.attribute("Session-Timeout").expect("built in");
        let error = encode_value(attribute, Literal::Text("hunter2")).expect_err("not a number");
        assert_eq!(error.to_string(), "`Session-Timeout` expects a whole number from 0 to 4294967295");
    }

    #[test]
    fn an_attribute_is_appended_with_type_and_length() {
        let mut out = Vec::new();
        append_attribute(&mut out, 18, b"hi");
        append_attribute(&mut out, 27, &[0, 0, 0, 9]);
        assert_eq!(out, [18, 4, b'h', b'i', 27, 6, 0, 0, 0, 9]);
    }
}
