//! Data types: which octets a value of each may have. RFC 2865 §5, RFC 3162 §2, RFC 6929 §2, RFC 8044 §3.
//!
//! A value that is none of its type is an *invalid attribute* (RFC 6929 §2.8): kept octet for octet, read by no one as
//! what it is not, and no reason to drop the packet.

use core::fmt;

/// What the octets of a value mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// UTF-8, at least one octet (RFC 2865 §5, "text"). Other octets than UTF-8 are met and pass.
    Text,
    /// Octets without further meaning: exactly `length` of them, or at least one (RFC 2865 §5, "string").
    Octets {
        /// The one length that this attribute may have.
        length: Option<u8>,
    },
    /// 8 bits without sign.
    Byte,
    /// 16 bits without sign, most significant octet first, as all integers.
    Short,
    /// 32 bits without sign.
    Integer,
    /// 64 bits without sign (RFC 6929 §2.5).
    Integer64,
    /// 32 bits with sign, in two's complement.
    Signed,
    /// Seconds since 1970-01-01T00:00:00Z, 32 bits without sign.
    Date,
    /// An IPv4 address, 4 octets.
    Ipv4Address,
    /// An IPv6 address, 16 octets (RFC 3162 §2.1).
    Ipv6Address,
    /// A zero, a prefix length and the 4 octets of a prefix (RFC 8044 §3.11).
    Ipv4Prefix,
    /// A zero, a prefix length and a prefix of up to 16 octets (RFC 3162 §2.3).
    Ipv6Prefix,
    /// An IPv4 or an IPv6 address, told apart by length.
    EitherAddress,
    /// An IPv6 interface identifier, 8 octets (RFC 3162 §2.2).
    InterfaceId,
    /// A hardware address, 6 octets.
    Ether,
    /// Ascend's binary filters, which are octets to us.
    AscendFilter,
    /// Attributes within, each with type and length of one octet (RFC 6929 §2.3).
    Tlv,
    /// A vendor's number and what that vendor defines (RFC 2865 §5.26).
    VendorSpecific,
    /// A second type octet (RFC 6929 §2.1): attributes 241 to 244.
    Extended,
    /// A second type octet and a flag that more follows (RFC 6929 §2.2): attributes 245 and 246.
    LongExtended,
    /// A vendor's number and type in an extended attribute (RFC 6929 §2.4).
    ExtendedVendorSpecific,
}

impl DataType {
    /// Whether these octets can be a value of this type.
    pub fn holds(self, value: &[u8]) -> bool {
        match self {
            DataType::Octets { length: Some(length) } => value.len() == usize::from(length),
            DataType::Text
            | DataType::Octets { length: None }
            | DataType::AscendFilter
            | DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => !value.is_empty(),
            DataType::Byte => value.len() == 1,
            DataType::Short => value.len() == 2,
            DataType::Integer | DataType::Signed | DataType::Date | DataType::Ipv4Address => value.len() == 4,
            DataType::Integer64 | DataType::InterfaceId => value.len() == 8,
            DataType::Ipv6Address => value.len() == 16,
            DataType::EitherAddress => matches!(value.len(), 4 | 16),
            DataType::Ether => value.len() == 6,
            DataType::Ipv4Prefix => value.len() == 6 && is_prefix(value, 32),
            DataType::Ipv6Prefix => is_prefix(value, 128),
        }
    }

    /// Whether a value of this type is a number, which VALUEs may name.
    pub fn is_integer(self) -> bool {
        self.integer_max().is_some()
    }

    /// The greatest number that a value of this type without sign can be, or whose bits it can be.
    pub fn integer_max(self) -> Option<u64> {
        match self {
            DataType::Byte => Some(u64::from(u8::MAX)),
            DataType::Short => Some(u64::from(u16::MAX)),
            DataType::Integer | DataType::Signed => Some(u64::from(u32::MAX)),
            DataType::Integer64 => Some(u64::MAX),
            DataType::Text
            | DataType::Octets { .. }
            | DataType::Date
            | DataType::Ipv4Address
            | DataType::Ipv6Address
            | DataType::Ipv4Prefix
            | DataType::Ipv6Prefix
            | DataType::EitherAddress
            | DataType::InterfaceId
            | DataType::Ether
            | DataType::AscendFilter
            | DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => None,
        }
    }

    /// Whether what has this type holds attributes and no value.
    pub const fn is_container(self) -> bool {
        matches!(
            self,
            DataType::Tlv
                | DataType::VendorSpecific
                | DataType::Extended
                | DataType::LongExtended
                | DataType::ExtendedVendorSpecific
        )
    }

    /// The type of this name, as FreeRADIUS 3 dictionaries or RFC 8044 §3 write it; letter case does not count.
    pub fn named(name: &str) -> Option<DataType> {
        let named =
            |(known, data_type): &(&str, DataType)| known.eq_ignore_ascii_case(name).then_some(*data_type);
        if let Some(data_type) = NAMES.iter().find_map(named) {
            return Some(data_type);
        }
        let (word, length) = name.strip_suffix(']')?.split_once('[')?;
        if !word.eq_ignore_ascii_case("octets") || !length.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let length: u8 = length.parse().ok()?;
        (1..=253).contains(&length).then_some(DataType::Octets { length: Some(length) })
    }
}

impl fmt::Display for DataType {
    /// As dictionaries write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let DataType::Octets { length: Some(length) } = self {
            return write!(f, "octets[{length}]");
        }
        let name = NAMES.iter().find(|(_, data_type)| data_type == self);
        f.write_str(name.expect("each type has a name").0)
    }
}

/// A reserved zero, a length in bits, and at least as many octets as that asks for, all bits behind it zero
/// (RFC 3162 §2.3).
fn is_prefix(value: &[u8], bits_max: u8) -> bool {
    let [0, bits, prefix @ ..] = value else { return false };
    if *bits > bits_max || prefix.len() > usize::from(bits_max) / 8 || prefix.len() * 8 < usize::from(*bits) {
        return false;
    }
    let (whole, part) = (usize::from(bits / 8), bits % 8);
    let behind = &prefix[whole..];
    match behind.split_first() {
        Some((first, rest)) => first & (0xff >> part) == 0 && rest.iter().all(|octet| *octet == 0),
        None => true,
    }
}

/// Of each type the name that dictionaries use first, then those that are read as well.
const NAMES: &[(&str, DataType)] = &[
    ("string", DataType::Text),
    ("text", DataType::Text),
    ("octets", DataType::Octets { length: None }),
    ("byte", DataType::Byte),
    ("uint8", DataType::Byte),
    ("short", DataType::Short),
    ("uint16", DataType::Short),
    ("integer", DataType::Integer),
    ("uint32", DataType::Integer),
    ("enum", DataType::Integer),
    ("integer64", DataType::Integer64),
    ("uint64", DataType::Integer64),
    ("signed", DataType::Signed),
    ("int32", DataType::Signed),
    ("date", DataType::Date),
    ("time", DataType::Date),
    ("ipaddr", DataType::Ipv4Address),
    ("ipv4addr", DataType::Ipv4Address),
    ("ipv6addr", DataType::Ipv6Address),
    ("ipv4prefix", DataType::Ipv4Prefix),
    ("ipv6prefix", DataType::Ipv6Prefix),
    ("combo-ip", DataType::EitherAddress),
    ("ifid", DataType::InterfaceId),
    ("ether", DataType::Ether),
    ("abinary", DataType::AscendFilter),
    ("tlv", DataType::Tlv),
    ("vsa", DataType::VendorSpecific),
    ("extended", DataType::Extended),
    ("long-extended", DataType::LongExtended),
    ("evs", DataType::ExtendedVendorSpecific),
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn each_type_has_its_lengths() {
        // checklist 17
        let lengths = |data_type: DataType| -> vec::Vec<usize> {
            (0..=20).filter(|length| data_type.holds(&vec![0; *length])).collect()
        };
        assert_eq!(lengths(DataType::Byte), [1]);
        assert_eq!(lengths(DataType::Short), [2]);
        for data_type in [DataType::Integer, DataType::Signed, DataType::Date, DataType::Ipv4Address] {
            assert_eq!(lengths(data_type), [4]);
        }
        // checklist 64
        assert_eq!(lengths(DataType::Integer64), [8]);
        assert_eq!(lengths(DataType::InterfaceId), [8]);
        assert_eq!(lengths(DataType::Ipv6Address), [16]);
        assert_eq!(lengths(DataType::EitherAddress), [4, 16]);
        assert_eq!(lengths(DataType::Ether), [6]);
        assert_eq!(lengths(DataType::Ipv4Prefix), [6]);
        // RFC 3162 §2.3: the attribute has 4 to 20 octets, two of them its header.
        assert_eq!(lengths(DataType::Ipv6Prefix), (2..=18).collect::<vec::Vec<_>>());
        assert_eq!(lengths(DataType::Octets { length: Some(17) }), [17]);
        assert_eq!(lengths(DataType::Octets { length: None }), (1..=20).collect::<vec::Vec<_>>());
    }

    #[test]
    fn prefixes_have_no_bits_behind_their_length() {
        // checklist 17
        let holds = |octets: &[u8]| DataType::Ipv6Prefix.holds(octets);
        assert!(holds(&[0, 0]));
        assert!(holds(&[0, 32, 0x20, 0x01, 0x0d, 0xb8]));
        assert!(holds(&[0, 33, 0x20, 0x01, 0x0d, 0xb8, 0x80]));
        assert!(!holds(&[0, 33, 0x20, 0x01, 0x0d, 0xb8, 0x40]));
        assert!(!holds(&[0, 33, 0x20, 0x01, 0x0d, 0xb8]));
        assert!(!holds(&[1, 32, 0x20, 0x01, 0x0d, 0xb8]));
        assert!(!holds(&[0, 32, 0x20, 0x01, 0x0d, 0xb8, 1]));
        let mut whole = [0xff; 18];
        whole[..2].copy_from_slice(&[0, 128]);
        assert!(holds(&whole));
        whole[1] = 129;
        assert!(!holds(&whole));
        assert!(DataType::Ipv4Prefix.holds(&[0, 24, 192, 0, 2, 0]));
        assert!(!DataType::Ipv4Prefix.holds(&[0, 24, 192, 0, 2, 1]));
        assert!(!DataType::Ipv4Prefix.holds(&[0, 33, 192, 0, 2, 1]));
    }

    #[test]
    fn names_are_read_in_any_case_and_written_as_dictionaries_do() {
        assert_eq!(DataType::named("String"), Some(DataType::Text));
        assert_eq!(DataType::named("uint32"), Some(DataType::Integer));
        assert_eq!(DataType::named("octets[50]"), Some(DataType::Octets { length: Some(50) }));
        for name in
            ["octets[]", "octets[0]", "octets[254]", "octets[+1]", "string[4]", "octets[4", "struct", ""]
        {
            assert_eq!(DataType::named(name), None, "{name}");
        }
        for (name, data_type) in NAMES {
            assert_eq!(DataType::named(name), Some(*data_type));
            assert_eq!(DataType::named(&data_type.to_string()), Some(*data_type));
        }
        assert_eq!(DataType::Octets { length: Some(17) }.to_string(), "octets[17]");
    }
}
