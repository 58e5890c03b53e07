//! Which attribute is meant: the dotted numbers of RFC 6929 §2.6 and §2.7, `26.9.1` or `245.26.9.1.3`.
//!
//! A small fixed array, so that a walk over attributes copies it freely and allocates nothing.

use core::fmt;
use core::str::FromStr;

/// The numbers that lead to one attribute, from its Type inwards.
///
/// Behind 26 stand a vendor's number and that vendor's type (RFC 6929 §2.6); behind 241 to 246 an extended type, and
/// behind its 26 again vendor and type; behind all of these the types of nested TLVs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    /// Zero from `depth` on, so that the derived comparisons hold.
    parts: [u32; OID_DEPTH_MAX],
    depth: u8,
}

impl Oid {
    /// The attribute of this Type (RFC 2865 §5).
    pub const fn standard(number: u8) -> Oid {
        let mut parts = [0; OID_DEPTH_MAX];
        parts[0] = number as u32;
        Oid { parts, depth: 1 }
    }

    /// These numbers; `None` unless there are 1 to [`OID_DEPTH_MAX`] of them.
    pub fn new(numbers: &[u32]) -> Option<Oid> {
        let (first, rest) = numbers.split_first()?;
        let mut parts = [0; OID_DEPTH_MAX];
        parts[0] = *first;
        rest.iter().try_fold(Oid { parts, depth: 1 }, |oid, number| oid.child(*number))
    }

    /// The numbers, at least one.
    #[inline]
    pub fn parts(&self) -> &[u32] {
        &self.parts[..usize::from(self.depth)]
    }

    /// How many numbers there are.
    #[inline]
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// The first number: the attribute's Type octet, or above 255 an attribute that no packet carries.
    #[inline]
    pub fn first(&self) -> u32 {
        self.parts[0]
    }

    /// The last number.
    #[inline]
    pub fn last(&self) -> u32 {
        self.parts[usize::from(self.depth) - 1]
    }

    /// The attribute of this number within; `None` where [`OID_DEPTH_MAX`] is reached.
    #[inline]
    pub fn child(mut self, number: u32) -> Option<Oid> {
        *self.parts.get_mut(usize::from(self.depth))? = number;
        self.depth += 1;
        Some(self)
    }

    /// What this stands within; `None` of a standard attribute.
    pub fn parent(mut self) -> Option<Oid> {
        if self.depth == 1 {
            return None;
        }
        self.depth -= 1;
        self.parts[usize::from(self.depth)] = 0;
        Some(self)
    }

    /// The first `depth` of its numbers.
    ///
    /// # Panics
    /// If it has fewer, or `depth` is 0.
    #[inline]
    pub fn ancestor(mut self, depth: usize) -> Oid {
        assert!((1..=self.depth()).contains(&depth), "an ancestor has as many numbers or fewer");
        self.parts[depth..].fill(0);
        self.depth = depth as u8;
        self
    }

    /// How many numbers both begin with.
    pub fn common_depth(&self, other: &Oid) -> usize {
        self.parts().iter().zip(other.parts()).take_while(|(own, other)| own == other).count()
    }

    /// Whether it stands in a Vendor-Specific (`26.9.…`) or an extended one (`241.26.9.…`), and whose.
    pub fn vendor(&self) -> Option<u32> {
        match *self.parts() {
            [26, vendor, ..] => Some(vendor),
            [241..=246, 26, vendor, ..] => Some(vendor),
            _ => None,
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first())?;
        self.parts()[1..].iter().try_for_each(|number| write!(f, ".{number}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Oid {
    type Err = BadOid;

    /// Decimal numbers between dots.
    fn from_str(text: &str) -> Result<Oid, BadOid> {
        let mut parts = [0; OID_DEPTH_MAX];
        let mut depth = 0;
        for number in text.split('.') {
            // `parse` would take a sign.
            if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
                return Err(BadOid);
            }
            *parts.get_mut(depth).ok_or(BadOid)? = number.parse().map_err(|_| BadOid)?;
            depth += 1;
        }
        Ok(Oid { parts, depth: depth as u8 })
    }
}

/// Text that is not 1 to [`OID_DEPTH_MAX`] numbers of 32 bits between dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOid;

impl fmt::Display for BadOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not 1 to {OID_DEPTH_MAX} numbers between dots")
    }
}

impl core::error::Error for BadOid {}

/// How many numbers an [`Oid`] may have. The deepest use known has 7 (WiMAX); RFC 6929 §2.3.1 recommends no more than 4
/// levels of TLVs, which with an extended type of a vendor are 8. What is nested deeper stays octets (§2.8).
pub const OID_DEPTH_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn dotted_numbers_are_read_and_written() {
        for text in
            ["1", "26.9.1", "241.26.24757.255", "1.2.3.4.5.6.7.8.9.10.11.12", "1047", "26.4294967295.0"]
        {
            assert_eq!(text.parse::<Oid>().expect("well-formed").to_string(), text);
        }
        for text in
            ["", ".", "1.", ".1", "1..2", "+1", "1.-2", "26.4294967296", "a", "1.2.3.4.5.6.7.8.9.10.11.12.13"]
        {
            assert_eq!(text.parse::<Oid>(), Err(BadOid), "{text:?}");
        }
    }

    #[test]
    fn children_and_parents_are_each_others_inverse() {
        let mut oid = Oid::standard(241);
        for number in 1..OID_DEPTH_MAX as u32 {
            let child = oid.child(number).expect("there is room");
            assert_eq!(
                (child.parent(), child.last(), child.common_depth(&oid)),
                (Some(oid), number, oid.depth())
            );
            oid = child;
        }
        assert_eq!(oid.child(1), None);
        assert_eq!(Oid::standard(1).parent(), None);
        assert_eq!(Oid::new(&[]), None);
        assert_eq!(Oid::new(&[0; OID_DEPTH_MAX + 1]), None);
        assert_eq!(Oid::new(oid.parts()), Some(oid));
    }

    #[test]
    fn vendors_stand_behind_26() {
        let vendor = |text: &str| text.parse::<Oid>().expect("well-formed").vendor();
        assert_eq!(vendor("26.9.1"), Some(9));
        assert_eq!(vendor("245.26.9.1.3"), Some(9));
        for text in ["26", "241.26", "241.1.26", "1.26.9"] {
            assert_eq!(vendor(text), None, "{text}");
        }
    }
}
