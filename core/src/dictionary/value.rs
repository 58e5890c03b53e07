//! From what an operator wrote to the octets of a value.

use super::{Attribute, DataType};
use crate::client::Prefix;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A value as somebody wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal<'v> {
    /// In the quotes of a configuration: text, or what its attribute's type is written as.
    Text(&'v str),
    /// A whole number.
    Integer(i128),
    /// Without quotes: a number, a name, or what its attribute's type is written as.
    Word(&'v str),
    /// In the quotes of a list of attributes, its escapes resolved: octets of a text, or what its attribute's type is
    /// written as.
    Quoted(&'v [u8]),
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
    /// Text of 1 to so many octets.
    Text(usize),
    /// 1 to so many octets, as text or hexadecimal.
    Octets(usize),
    /// 1 to so many octets, as hexadecimal.
    Hexadecimal(usize),
    /// Exactly so many octets, as text or hexadecimal.
    OctetsExactly(u8),
    /// A number up to this.
    Integer(u64),
    /// A number up to this or the name of one, with the name that was probably meant.
    IntegerOrName(u64, Option<Box<str>>),
    /// A number of 32 bits with sign.
    Signed,
    /// An IPv4 address.
    Ipv4Address,
    /// Seconds since 1970, or a time.
    Date,
    /// Four groups of hexadecimal digits.
    InterfaceId,
    /// An IPv6 address.
    Ipv6Address,
    /// An IPv4 or IPv6 address.
    EitherAddress,
    /// An IPv4 network, without host bits.
    Ipv4Prefix,
    /// An IPv6 network, without host bits.
    Ipv6Prefix,
    /// A hardware address.
    Ether,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Text(max) => write!(f, "text of 1 to {max} octets"),
            Expected::Octets(max) => {
                write!(f, "1 to {max} octets, as text or as \"0x\" and hexadecimal digits")
            }
            Expected::Hexadecimal(max) => write!(f, "1 to {max} octets as \"0x\" and hexadecimal digits"),
            Expected::OctetsExactly(length) => {
                write!(f, "exactly {length} octets, as text or as \"0x\" and hexadecimal digits")
            }
            Expected::Integer(max) => write!(f, "a whole number from 0 to {max}"),
            Expected::IntegerOrName(max, None) => {
                write!(f, "a whole number from 0 to {max} or the name of a value")
            }
            Expected::IntegerOrName(max, Some(nearest)) => {
                write!(
                    f,
                    "a whole number from 0 to {max} or the name of a value (did you mean \"{nearest}\"?)"
                )
            }
            Expected::Signed => f.write_str("a whole number from -2147483648 to 2147483647"),
            Expected::Ipv4Address => f.write_str("an IPv4 address such as \"192.0.2.1\""),
            Expected::Date => f.write_str(
                "seconds since 1970, from 0 to 4294967295, or a time such as \"2026-11-23T12:00:00Z\"",
            ),
            Expected::InterfaceId => f.write_str("an interface identifier such as \"0:0:0:1\""),
            Expected::Ipv6Address => f.write_str("an IPv6 address such as \"2001:db8::1\""),
            Expected::EitherAddress => f.write_str("an address such as \"192.0.2.1\" or \"2001:db8::1\""),
            Expected::Ipv4Prefix => f.write_str("an IPv4 network without host bits such as \"192.0.2.0/24\""),
            Expected::Ipv6Prefix => {
                f.write_str("an IPv6 network without host bits such as \"2001:db8::/48\"")
            }
            Expected::Ether => f.write_str("a hardware address such as \"00:00:5e:00:53:01\""),
        }
    }
}

impl fmt::Display for EncodeValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` expects {}", self.attribute, self.expected)
    }
}

impl core::error::Error for EncodeValueError {}

/// The octets of this attribute's value: plain, without header and tag. At least one, and as many as can be sent.
///
/// # Errors
/// When the attribute cannot hold the value; the error names it and says what it holds.
pub fn encode_value(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, EncodeValueError> {
    octets(attribute, literal)
        .map_err(|expected| EncodeValueError { attribute: attribute.name.clone(), expected })
}

fn octets(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
    let max = attribute.value_octets_max();
    match attribute.data_type {
        // RFC 2865 §5: text of length zero must not be sent, the attribute is left out instead.
        DataType::Text => any_octets(literal).filter(within(max)).map(Into::into).ok_or(Expected::Text(max)),
        DataType::Octets { length } => {
            let octets = any_octets(literal).and_then(octets_from_text);
            match length {
                Some(length) => octets
                    .filter(|octets| octets.len() == usize::from(length))
                    .ok_or(Expected::OctetsExactly(length)),
                None => octets.filter(|octets| within(max)(&&**octets)).ok_or(Expected::Octets(max)),
            }
        }
        DataType::AscendFilter
        | DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => text(literal)
            .and_then(hexadecimal)
            .filter(|octets| within(max)(&&**octets))
            .ok_or(Expected::Hexadecimal(max)),
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 => {
            integer(attribute, literal)
        }
        DataType::Signed => signed(attribute, literal),
        DataType::Date => date(literal).map(|seconds| seconds.to_be_bytes().into()).ok_or(Expected::Date),
        DataType::Ipv4Address => {
            parsed::<Ipv4Addr>(literal).map(|address| address.octets().into()).ok_or(Expected::Ipv4Address)
        }
        DataType::Ipv6Address => {
            parsed::<Ipv6Addr>(literal).map(|address| address.octets().into()).ok_or(Expected::Ipv6Address)
        }
        DataType::EitherAddress => parsed::<IpAddr>(literal)
            .map(|address| match address {
                IpAddr::V4(address) => address.octets().into(),
                IpAddr::V6(address) => address.octets().into(),
            })
            .ok_or(Expected::EitherAddress),
        DataType::InterfaceId => text(literal).and_then(interface_id).ok_or(Expected::InterfaceId),
        DataType::Ipv4Prefix => text(literal).and_then(ipv4_prefix).ok_or(Expected::Ipv4Prefix),
        DataType::Ipv6Prefix => text(literal).and_then(ipv6_prefix).ok_or(Expected::Ipv6Prefix),
        DataType::Ether => text(literal).and_then(ether).ok_or(Expected::Ether),
    }
}

fn within(max: usize) -> impl Fn(&&[u8]) -> bool {
    move |octets| (1..=max).contains(&octets.len())
}

/// What is written as text. Numbers are not, though they look like it without quotes.
fn text(literal: Literal<'_>) -> Option<&str> {
    match literal {
        Literal::Text(text) | Literal::Word(text) => Some(text),
        Literal::Quoted(octets) => core::str::from_utf8(octets).ok(),
        Literal::Integer(_) => None,
    }
}

fn any_octets(literal: Literal<'_>) -> Option<&[u8]> {
    match literal {
        Literal::Text(text) | Literal::Word(text) => Some(text.as_bytes()),
        Literal::Quoted(octets) => Some(octets),
        Literal::Integer(_) => None,
    }
}

fn parsed<T: core::str::FromStr>(literal: Literal<'_>) -> Option<T> {
    text(literal)?.parse().ok()
}

/// A number as it stands without quotes: in decimal, or in hexadecimal after `0x`.
fn number(word: &str) -> Option<i128> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(sign * i128::from(u64::from_str_radix(digits, radix).ok()?))
}

fn integer(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
    let max = attribute.data_type.integer_max().unwrap_or(u64::MAX);
    // RFC 2868 §3.1: the tag takes the first of the four octets.
    let max = if attribute.tagged() { max >> 8 } else { max };
    let found = match literal {
        Literal::Integer(number) => Some(number),
        Literal::Text(name) => attribute.value(name).map(i128::from),
        Literal::Word(word) => exact_or_number_or_near(attribute, word),
        Literal::Quoted(octets) => {
            core::str::from_utf8(octets).ok().and_then(|word| exact_or_number_or_near(attribute, word))
        }
    };
    match found.and_then(|number| u64::try_from(number).ok()).filter(|number| *number <= max) {
        Some(number) => Ok(big_endian(attribute, number)),
        None if attribute.has_values() => {
            let offer = match literal {
                Literal::Integer(_) => None,
                Literal::Text(name) | Literal::Word(name) => attribute.nearest_value(name),
                Literal::Quoted(octets) => {
                    core::str::from_utf8(octets).ok().and_then(|name| attribute.nearest_value(name))
                }
            };
            Err(Expected::IntegerOrName(max, offer.map(Into::into)))
        }
        None => Err(Expected::Integer(max)),
    }
}

fn exact_or_number_or_near(attribute: &Attribute, word: &str) -> Option<i128> {
    let exact = attribute.value(word).map(i128::from);
    exact.or_else(|| number(word)).or_else(|| attribute.value_in_any_case(word).map(i128::from))
}

fn signed(attribute: &Attribute, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
    let named = |word: &str| {
        // The name of a value stands for bits, of which the first is the sign.
        let bits = attribute.value(word).and_then(|bits| u32::try_from(bits).ok());
        bits.map(|bits| i128::from(bits.cast_signed())).or_else(|| number(word))
    };
    let found = match literal {
        Literal::Integer(number) => Some(number),
        Literal::Text(word) | Literal::Word(word) => named(word),
        Literal::Quoted(octets) => core::str::from_utf8(octets).ok().and_then(named),
    };
    let found = found.and_then(|number| i32::try_from(number).ok());
    found.map(|number| number.to_be_bytes().into()).ok_or(Expected::Signed)
}

/// As many octets as its type has, or one fewer behind a tag.
fn big_endian(attribute: &Attribute, number: u64) -> Vec<u8> {
    // What is no integer, a date or an address, is written in 32 bits.
    let greatest = attribute.data_type.integer_max().unwrap_or(u64::from(u32::MAX));
    let octets = greatest.count_ones() as usize / 8 - usize::from(attribute.tagged());
    number.to_be_bytes()[8 - octets..].into()
}

/// Seconds since 1970, or a time.
fn date(literal: Literal<'_>) -> Option<u32> {
    match literal {
        Literal::Integer(number) => u32::try_from(number).ok(),
        Literal::Text(text) => super::print::time(text),
        Literal::Word(word) => {
            number(word).and_then(|number| u32::try_from(number).ok()).or_else(|| super::print::time(word))
        }
        Literal::Quoted(octets) => core::str::from_utf8(octets).ok().and_then(super::print::time),
    }
}

/// `0x` and pairs of hexadecimal digits; any other text stands for its own octets.
fn octets_from_text(octets: &[u8]) -> Option<Vec<u8>> {
    if octets.starts_with(b"0x") {
        return core::str::from_utf8(octets).ok().and_then(hexadecimal);
    }
    Some(octets.into())
}

/// The octets that are written as `0x` and pairs of hexadecimal digits; `None` if that is not what stands there.
pub fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
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

/// Six octets of two hexadecimal digits, between colons or hyphens.
fn ether(text: &str) -> Option<Vec<u8>> {
    let separator = if text.contains(':') { ':' } else { '-' };
    let octets: Option<Vec<u8>> = text
        .split(separator)
        .map(|digits| {
            let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            two.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
        })
        .collect();
    octets.filter(|octets| octets.len() == 6)
}

/// A reserved zero, the length and the 4 octets of the prefix (RFC 8044 §3.11).
fn ipv4_prefix(text: &str) -> Option<Vec<u8>> {
    let (address, length) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: Prefix = text.parse().ok()?;
    let mut octets = Vec::from([0, length.parse().ok()?]);
    debug_assert_eq!(octets[1], prefix.length());
    octets.extend_from_slice(&address.octets());
    Some(octets)
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

    fn dictionary() -> Dictionary {
        let mut dictionary = Dictionary::built_in();
        dictionary
            .extend(
                "ATTRIBUTE Test-Byte 200 byte\nATTRIBUTE Test-Short 201 short\nATTRIBUTE Test-64 202 integer64\n\
                 ATTRIBUTE Test-Signed 203 signed\nATTRIBUTE Test-Ipv4-Prefix 204 ipv4prefix\n\
                 ATTRIBUTE Test-Either 205 combo-ip\nATTRIBUTE Test-Ether 206 ether\nATTRIBUTE Test-Filter 207 abinary\n\
                 ATTRIBUTE Test-Tlv 208 tlv\nATTRIBUTE Test-Secret 209 octets encrypt=3\n\
                 ATTRIBUTE Test-Long 245.9 string\nVALUE Test-Byte Ten 10\nVALUE Test-Signed Lowest 0x80000000",
            )
            .expect("well-formed");
        dictionary
    }

    fn encode(name: &str, literal: Literal<'_>) -> Result<Vec<u8>, Expected> {
        encode_value(dictionary().attribute(name).expect("defined"), literal).map_err(|error| error.expected)
    }

    #[test]
    fn values_become_the_octets_of_their_type() {
        use Literal::{Integer, Quoted, Text, Word};
        assert_eq!(encode("Reply-Message", Text("hi")), Ok(b"hi".into()));
        assert_eq!(encode("Reply-Message", Word("0x41")), Ok(b"0x41".into()));
        assert_eq!(encode("Reply-Message", Quoted(&[0xff])), Ok([0xff].into()));
        assert_eq!(encode("Session-Timeout", Integer(3600)), Ok([0, 0, 0x0e, 0x10].into()));
        assert_eq!(encode("Session-Timeout", Word("0xe10")), Ok([0, 0, 0x0e, 0x10].into()));
        assert_eq!(encode("Service-Type", Text("Framed-User")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Text("Framed")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Word("framed-user")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Quoted(b"Framed-User")), Ok([0, 0, 0, 2].into()));
        assert_eq!(encode("Service-Type", Integer(4_294_967_295)), Ok([255; 4].into()));
        assert_eq!(encode("Tunnel-Type", Text("L2TP")), Ok([0, 0, 3].into()));
        assert_eq!(encode("Framed-IP-Address", Text("192.0.2.7")), Ok([192, 0, 2, 7].into()));
        assert_eq!(encode("Event-Timestamp", Integer(1)), Ok([0, 0, 0, 1].into()));
        assert_eq!(encode("Event-Timestamp", Text("1970-01-01T00:00:01Z")), Ok([0, 0, 0, 1].into()));
        assert_eq!(encode("Class", Text("0x00fF")), Ok([0, 255].into()));
        assert_eq!(encode("Class", Text("gold")), Ok(b"gold".into()));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:a:1")), Ok([0, 0, 0, 0, 0, 10, 0, 1].into()));
        let mut host = [0; 16];
        host[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        host[15] = 1;
        assert_eq!(encode("Login-IPv6-Host", Text("2001:db8::1")), Ok(host.into()));
        assert_eq!(encode("Test-Either", Text("2001:db8::1")), Ok(host.into()));
        assert_eq!(encode("Test-Either", Text("192.0.2.7")), Ok([192, 0, 2, 7].into()));
        assert_eq!(encode("Test-Byte", Text("Ten")), Ok([10].into()));
        assert_eq!(encode("Test-Short", Integer(258)), Ok([1, 2].into()));
        assert_eq!(encode("Test-64", Word("18446744073709551615")), Ok([255; 8].into()));
        assert_eq!(encode("Test-Signed", Word("-2")), Ok([255, 255, 255, 254].into()));
        assert_eq!(encode("Test-Signed", Word("Lowest")), Ok([128, 0, 0, 0].into()));
        assert_eq!(encode("Test-Ipv4-Prefix", Text("192.0.2.0/24")), Ok([0, 24, 192, 0, 2, 0].into()));
        assert_eq!(encode("Test-Ether", Word("00:00:5E:00:53:01")), Ok([0, 0, 0x5e, 0, 0x53, 1].into()));
        assert_eq!(encode("Test-Ether", Word("00-00-5e-00-53-01")), Ok([0, 0, 0x5e, 0, 0x53, 1].into()));
        assert_eq!(encode("Test-Filter", Word("0x01")), Ok([1].into()));
        assert_eq!(encode("Test-Tlv", Word("0x010320")), Ok([1, 3, 0x20].into()));
        // checklist 65
        assert_eq!(encode("Test-Long", Text(&"x".repeat(4012))).map(|octets| octets.len()), Ok(4012));
        assert_eq!(encode("Test-Long", Text(&"x".repeat(4013))), Err(Expected::Text(4012)));
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
        use Literal::{Integer, Quoted, Text, Word};
        let long = "x".repeat(254);
        let number = Expected::Integer(4_294_967_295);
        assert_eq!(encode("Reply-Message", Text("")), Err(Expected::Text(253)));
        assert_eq!(encode("Reply-Message", Text(&long)), Err(Expected::Text(253)));
        assert_eq!(encode("Reply-Message", Text(&long[1..])).map(|octets| octets.len()), Ok(253));
        assert_eq!(encode("Reply-Message", Integer(1)), Err(Expected::Text(253)));
        assert_eq!(encode("Session-Timeout", Integer(-1)), Err(number.clone()));
        assert_eq!(encode("Session-Timeout", Integer(4_294_967_296)), Err(number.clone()));
        assert_eq!(encode("Session-Timeout", Text("soon")), Err(number.clone()));
        assert_eq!(encode("Session-Timeout", Word("--1")), Err(number));
        let offer = Expected::IntegerOrName(u64::from(u32::MAX), Some("Framed-User".into()));
        assert_eq!(encode("Service-Type", Text("Framed-Usr")), Err(offer));
        assert_eq!(
            encode("Service-Type", Integer(-1)),
            Err(Expected::IntegerOrName(u64::from(u32::MAX), None))
        );
        assert_eq!(encode("Framed-IP-Address", Text("::1")), Err(Expected::Ipv4Address));
        assert_eq!(encode("Event-Timestamp", Text("1")), Err(Expected::Date));
        assert_eq!(encode("Class", Text("0x0")), Err(Expected::Octets(253)));
        assert_eq!(encode("Class", Text("0x")), Err(Expected::Octets(253)));
        assert_eq!(encode("Class", Text("0x+1")), Err(Expected::Octets(253)));
        assert_eq!(encode("CHAP-Password", Text("0x00")), Err(Expected::OctetsExactly(17)));
        assert_eq!(encode("Framed-Interface-Id", Text("1::1")), Err(Expected::InterfaceId));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:0:10000")), Err(Expected::InterfaceId));
        assert_eq!(encode("Framed-Interface-Id", Text("0:0:1.2.3.4:1")), Err(Expected::InterfaceId));
        // RFC 2868 §3.1: a tag leaves 24 bits.
        let tagged = encode("Tunnel-Type", Integer(0x0100_0000));
        assert_eq!(tagged, Err(Expected::IntegerOrName(0xff_ffff, None)));
        assert_eq!(encode("Tunnel-Password", Text(&long)), Err(Expected::Text(239)));
        assert_eq!(encode("User-Password", Text(&long)), Err(Expected::Text(128)));
        assert_eq!(encode("Test-Secret", Text("seventeen octets!")), Err(Expected::Octets(16)));
        assert_eq!(encode("Vendor-Specific", Text("x")), Err(Expected::Hexadecimal(253)));
        assert_eq!(encode("Test-Byte", Integer(256)), Err(Expected::IntegerOrName(255, None)));
        assert_eq!(encode("Test-Signed", Integer(0x8000_0000)), Err(Expected::Signed));
        assert_eq!(encode("Test-Ether", Quoted(b"00:00:5e:00:53")), Err(Expected::Ether));
        assert_eq!(encode("Test-Ether", Quoted(b"00:00:5e:00:53:+1")), Err(Expected::Ether));
        assert_eq!(encode("Test-Ipv4-Prefix", Text("192.0.2.1/24")), Err(Expected::Ipv4Prefix));
        assert_eq!(encode("Test-Either", Quoted(&[0xff])), Err(Expected::EitherAddress));
    }

    #[test]
    fn the_error_names_the_attribute_and_not_the_value() {
        let dictionary = Dictionary::built_in();
        let attribute = dictionary.attribute("Session-Timeout").expect("built in");
        let error = encode_value(attribute, Literal::Text("hunter2")).expect_err("not a number");
        assert_eq!(error.to_string(), "`Session-Timeout` expects a whole number from 0 to 4294967295");
    }
}
