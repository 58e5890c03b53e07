//! Attributes within an attribute, each with a type and a length of one octet. RFC 6929 §2.3.

/// Whether the octets are TLVs and nothing else: one at least, each of at least one octet (RFC 6929 §2.3 has no empty
/// ones), the last ending where the octets end (§2.3.1).
pub fn are_tlvs(mut octets: &[u8]) -> bool {
    if octets.is_empty() {
        return false;
    }
    while !octets.is_empty() {
        match first_tlv(octets) {
            Some((.., rest)) => octets = rest,
            None => return false,
        }
    }
    true
}

/// Type and value of the first TLV and what follows it; `None` if its length cannot be.
#[inline]
pub fn first_tlv(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[number, length], behind) = octets.split_first_chunk()?;
    let (value, rest) = behind.split_at_checked(usize::from(length).checked_sub(TLV_HEADER_OCTETS)?)?;
    if value.is_empty() {
        return None;
    }
    Some((number, value, rest))
}

/// Type and length.
pub const TLV_HEADER_OCTETS: usize = 2;
/// The most that a TLV's value may have (RFC 6929 §2.3).
pub const TLV_VALUE_OCTETS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_filled_completely() {
        // checklist 64
        assert!(are_tlvs(&[1, 4, 0x23, 0x45, 2, 4, 0x67, 0x89]));
        assert_eq!(first_tlv(&[1, 4, 0x23, 0x45, 2]), Some((1, &[0x23, 0x45][..], &[2][..])));
        for octets in [&[][..], &[1], &[1, 0], &[1, 1], &[1, 2], &[1, 3], &[1, 3, 0, 9], &[1, 4, 0]] {
            assert!(!are_tlvs(octets), "{octets:?}");
        }
    }
}
