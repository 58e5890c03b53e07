//! What stands in a Vendor-Specific behind the vendor's number. RFC 2865 §5.26, RFC 6929 §2.4.
//!
//! RFC 2865 only recommends a type and a length of one octet each; vendors did otherwise, and a dictionary says how.

use core::fmt;
use core::str::FromStr;

/// How a vendor writes type and length of its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorFormat {
    type_octets: u8,
    length_octets: u8,
    continuation: bool,
}

impl VendorFormat {
    /// One octet each: what RFC 2865 §5.26 recommends, and what is assumed of vendors that no dictionary knows.
    pub const RECOMMENDED: VendorFormat =
        VendorFormat { type_octets: 1, length_octets: 1, continuation: false };

    /// Types of 1, 2 or 4 octets and lengths of 0, 1 or 2; with `continuation`, which goes with one octet each, an octet
    /// follows whose first bit says that the next Vendor-Specific continues the value (WiMAX).
    pub fn new(type_octets: u8, length_octets: u8, continuation: bool) -> Option<VendorFormat> {
        let known = matches!(type_octets, 1 | 2 | 4) && length_octets <= 2;
        let format = VendorFormat { type_octets, length_octets, continuation };
        (known && (!continuation || (type_octets, length_octets) == (1, 1))).then_some(format)
    }

    /// Octets of a type.
    pub fn type_octets(self) -> usize {
        usize::from(self.type_octets)
    }

    /// Octets of a length, which counts the whole header; without any, one attribute fills its Vendor-Specific.
    pub fn length_octets(self) -> usize {
        usize::from(self.length_octets)
    }

    /// Whether values can continue in the next Vendor-Specific.
    pub fn continuation(self) -> bool {
        self.continuation
    }

    /// Octets before a value.
    pub fn header_octets(self) -> usize {
        self.type_octets() + self.length_octets() + usize::from(self.continuation)
    }

    /// The greatest type.
    pub fn type_max(self) -> u32 {
        u32::MAX >> (32 - 8 * u32::from(self.type_octets))
    }

    /// The first attribute and what follows it; `None` if its length cannot be.
    pub fn first(self, octets: &[u8]) -> Option<VendorAttribute<'_>> {
        let (header, behind) = octets.split_at_checked(self.header_octets())?;
        let (number, length) = header.split_at(self.type_octets());
        let length_octets = &length[..self.length_octets()];
        let (value, rest) = if length_octets.is_empty() {
            (behind, &[][..])
        } else {
            let length = big_endian(length_octets) as usize;
            behind.split_at_checked(length.checked_sub(self.header_octets())?)?
        };
        let more = self.continuation && header.last().is_some_and(|flags| flags & MORE != 0);
        Some(VendorAttribute { number: big_endian(number), more, value, rest })
    }

    /// Whether the octets are attributes of this format and nothing else, one at least.
    pub fn fills(self, mut octets: &[u8]) -> bool {
        loop {
            match self.first(octets) {
                Some(attribute) if attribute.rest.is_empty() => return true,
                Some(attribute) => octets = attribute.rest,
                None => return false,
            }
        }
    }
}

/// One attribute of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorAttribute<'a> {
    /// The vendor's type.
    pub number: u32,
    /// Whether the next Vendor-Specific continues the value.
    pub more: bool,
    /// May be empty.
    pub value: &'a [u8],
    /// What follows in the same Vendor-Specific.
    pub rest: &'a [u8],
}

impl FromStr for VendorFormat {
    type Err = BadVendorFormat;

    /// As dictionaries write it: `2,1`, or `1,1,c` with continuation.
    fn from_str(text: &str) -> Result<VendorFormat, BadVendorFormat> {
        let mut fields = text.split(',');
        let mut octets = || match fields.next()?.as_bytes() {
            [digit @ b'0'..=b'9'] => Some(digit - b'0'),
            _ => None,
        };
        let (type_octets, length_octets) = octets().zip(octets()).ok_or(BadVendorFormat)?;
        let continuation = match (fields.next(), fields.next()) {
            (None, _) => false,
            (Some("c"), None) => true,
            (Some(_), _) => return Err(BadVendorFormat),
        };
        VendorFormat::new(type_octets, length_octets, continuation).ok_or(BadVendorFormat)
    }
}

impl fmt::Display for VendorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}{}", self.type_octets, self.length_octets, if self.continuation { ",c" } else { "" })
    }
}

/// Text that is no format that a vendor's attributes can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadVendorFormat;

fn big_endian(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

/// The first bit of the flags of a continued value, here and in RFC 6929 §2.2.
pub const MORE: u8 = 0x80;
/// A vendor's number (RFC 2865 §5.26).
pub const VENDOR_OCTETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn format(text: &str) -> VendorFormat {
        text.parse().expect("a format")
    }

    #[test]
    fn each_format_reads_its_header() {
        let first = |text: &str, octets: &'static [u8]| {
            format(text).first(octets).map(|found| (found.number, found.more, found.value, found.rest))
        };
        assert_eq!(first("1,1", &[7, 3, 9, 8]), Some((7, false, &[9][..], &[8][..])));
        assert_eq!(first("2,1", &[1, 7, 4, 9, 8]), Some((0x107, false, &[9][..], &[8][..])));
        assert_eq!(first("2,2", &[1, 7, 0, 5, 9, 8]), Some((0x107, false, &[9][..], &[8][..])));
        assert_eq!(first("4,0", &[0, 0, 0xbf, 0x38, 9, 8]), Some((0xbf38, false, &[9, 8][..], &[][..])));
        assert_eq!(first("1,1,c", &[7, 4, 0x80, 9]), Some((7, true, &[9][..], &[][..])));
        assert_eq!(first("1,1,c", &[7, 4, 0x7f, 9]), Some((7, false, &[9][..], &[][..])));
        assert_eq!(first("1,1", &[7, 1]), None);
        assert_eq!(first("1,1", &[7, 4, 0]), None);
        assert_eq!(first("1,1,c", &[7, 2]), None);
        assert_eq!(first("4,0", &[0, 0, 0]), None);
    }

    #[test]
    fn attributes_fill_their_vendor_specific() {
        assert!(format("1,1").fills(&[7, 3, 9, 8, 2]));
        assert!(!format("1,1").fills(&[7, 3, 9, 8]));
        assert!(!format("1,1").fills(&[]));
        assert!(format("4,0").fills(&[0, 0, 0, 1]));
    }

    #[test]
    fn formats_are_those_that_dictionaries_name() {
        for text in ["1,1", "1,0", "2,1", "2,2", "4,0", "4,2", "1,1,c"] {
            assert_eq!(format(text).to_string(), text);
        }
        for text in ["", "1", "3,1", "1,3", "0,1", "2,1,c", "1,1,d", "1,1,c,c", "1, 1", "12,1"] {
            assert_eq!(text.parse::<VendorFormat>(), Err(BadVendorFormat), "{text:?}");
        }
        assert_eq!((format("1,1").type_max(), format("2,1").type_max()), (255, 65535));
        assert_eq!(format("4,0").type_max(), u32::MAX);
    }
}
