//! Attributes with a second type octet, 241 to 246, and values that go on in the next one. RFC 6929 §2.1 and §2.2.

use crate::packet::vendor::MORE;

/// Which of its two forms an extended attribute has; `None` of all other attributes.
#[inline]
pub const fn extension(number: u8) -> Option<Extension> {
    match number {
        241..=244 => Some(Extension::Short),
        245 | 246 => Some(Extension::Long),
        _ => None,
    }
}

/// The two forms of extended attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// A type octet, then the value (RFC 6929 §2.1).
    Short,
    /// A type octet, an octet of flags, then the value, which may go on in the next attribute (RFC 6929 §2.2).
    Long,
}

/// What stands in one extended attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended<'a> {
    /// The second type octet.
    pub extended_type: u8,
    /// Whether the next attribute must continue the value. The other flags are reserved and mean nothing
    /// (RFC 6929 §2.2).
    pub more: bool,
    /// The value, or this attribute's piece of it; at least one octet.
    pub value: &'a [u8],
}

impl Extension {
    /// Octets between the attribute's length and its value.
    pub const fn header_octets(self) -> usize {
        match self {
            Extension::Short => 1,
            Extension::Long => 2,
        }
    }

    /// Reads what stands behind the attribute's length; `None` if it is an invalid attribute: without an octet of value
    /// (RFC 6929 §2.1 and §2.2 want lengths of 4 and 5), or to be continued although it is not full (§2.2).
    #[inline]
    pub fn read(self, octets: &[u8]) -> Option<Extended<'_>> {
        let (header, value) = octets.split_at_checked(self.header_octets())?;
        let more = match self {
            Extension::Short => false,
            Extension::Long => header[1] & MORE != 0,
        };
        if value.is_empty() || (more && octets.len() != crate::packet::VALUE_OCTETS_MAX) {
            return None;
        }
        Some(Extended { extended_type: header[0], more, value })
    }
}

/// The extended type that holds a vendor's attribute (RFC 6929 §2.4).
pub const EXTENDED_VENDOR_SPECIFIC: u8 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_numbers_are_extended() {
        // checklist 61
        let of = |extension_wanted| -> alloc::vec::Vec<u8> {
            (0..=255).filter(|number| extension(*number) == extension_wanted).collect()
        };
        assert_eq!(of(Some(Extension::Short)), [241, 242, 243, 244]);
        assert_eq!(of(Some(Extension::Long)), [245, 246]);
    }

    #[test]
    fn what_cannot_be_is_invalid() {
        // checklist 62
        assert_eq!(Extension::Short.read(&[]), None);
        assert_eq!(Extension::Short.read(&[1]), None);
        assert_eq!(Extension::Long.read(&[1, 0]), None);
        assert_eq!(Extension::Long.read(&[1, 0x80, 9]), None);
        let mut full = [0; 253];
        full[1] = 0x80;
        assert!(Extension::Long.read(&full).is_some_and(|read| read.more && read.value.len() == 251));
        // checklist 61
        let read = Extended { extended_type: 1, more: false, value: &[9] };
        assert_eq!(Extension::Long.read(&[1, 0x7f, 9]), Some(read));
        assert_eq!(Extension::Short.read(&[1, 9]), Some(read));
    }
}
