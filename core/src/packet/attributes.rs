//! Attributes of a framed packet, in their order, as number and octets. RFC 2865 §5.

use crate::packet::VALUE_OCTETS_MAX;
use core::fmt;

/// Numbers of the attributes that core itself reads or writes; all others are the dictionary's.
pub mod number {
    /// RFC 2865 §5.1.
    pub const USER_NAME: u8 = 1;
    /// Hidden under the secret (RFC 2865 §5.2).
    pub const USER_PASSWORD: u8 = 2;
    /// RFC 2865 §5.3.
    pub const CHAP_PASSWORD: u8 = 3;
    /// RFC 2865 §5.4.
    pub const NAS_IP_ADDRESS: u8 = 4;
    /// RFC 2865 §5.5.
    pub const NAS_PORT: u8 = 5;
    /// RFC 2865 §5.6.
    pub const SERVICE_TYPE: u8 = 6;
    /// RFC 2865 §5.18.
    pub const REPLY_MESSAGE: u8 = 18;
    /// At most one in a packet, and opaque (RFC 2865 §5.24).
    pub const STATE: u8 = 24;
    /// Opaque (RFC 2865 §5.25).
    pub const CLASS: u8 = 25;
    /// RFC 2865 §5.26.
    pub const VENDOR_SPECIFIC: u8 = 26;
    /// RFC 2865 §5.27.
    pub const SESSION_TIMEOUT: u8 = 27;
    /// RFC 2865 §5.30.
    pub const CALLED_STATION_ID: u8 = 30;
    /// RFC 2865 §5.31.
    pub const CALLING_STATION_ID: u8 = 31;
    /// RFC 2865 §5.32.
    pub const NAS_IDENTIFIER: u8 = 32;
    /// Returned unchanged and in order (RFC 2865 §5.33).
    pub const PROXY_STATE: u8 = 33;
    /// RFC 2866 §5.1.
    pub const ACCT_STATUS_TYPE: u8 = 40;
    /// RFC 2866 §5.2.
    pub const ACCT_DELAY_TIME: u8 = 41;
    /// RFC 2866 §5.3.
    pub const ACCT_INPUT_OCTETS: u8 = 42;
    /// RFC 2866 §5.4.
    pub const ACCT_OUTPUT_OCTETS: u8 = 43;
    /// RFC 2866 §5.5.
    pub const ACCT_SESSION_ID: u8 = 44;
    /// RFC 2869 §5.1.
    pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
    /// RFC 2869 §5.2.
    pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
    /// RFC 2869 §5.3.
    pub const EVENT_TIMESTAMP: u8 = 55;
    /// RFC 2865 §5.40.
    pub const CHAP_CHALLENGE: u8 = 60;
    /// RFC 2865 §5.41.
    pub const NAS_PORT_TYPE: u8 = 61;
    /// Hidden under the secret with a salt (RFC 2868 §3.5).
    pub const TUNNEL_PASSWORD: u8 = 69;
    /// A piece of an EAP packet (RFC 3579 §3.1).
    pub const EAP_MESSAGE: u8 = 79;
    /// HMAC-MD5 over the packet (RFC 2869 §5.14, RFC 3579 §3.2).
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    /// RFC 3162 §2.1.
    pub const NAS_IPV6_ADDRESS: u8 = 95;
    /// RFC 5176 §3.5.
    pub const ERROR_CAUSE: u8 = 101;
}

/// One attribute as it stands in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, which the RFCs call Type.
    pub number: u8,
    /// 0 to 253 octets. Attributes without octets are not in RFC 2865, yet EAP-Start is one (RFC 3579 §2.1).
    pub value: &'a [u8],
}

/// Attributes whose boundaries are known to hold, in the packet's order. Copying it starts a walk anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Attributes of octets that are not yet part of a packet.
    ///
    /// # Errors
    /// [`BadAttribute`] where the first boundary does not hold (RFC 2865 §5).
    pub fn parse(octets: &'a [u8]) -> Result<Self, BadAttribute> {
        let mut rest = octets;
        while !rest.is_empty() {
            rest = after_first(rest).map_err(|()| BadAttribute { offset: octets.len() - rest.len() })?;
        }
        Ok(Attributes { rest: octets })
    }

    /// Attributes that framing has walked before.
    #[inline]
    pub(crate) fn framed(octets: &'a [u8]) -> Self {
        Attributes { rest: octets }
    }

    /// The octets of the attributes that are still to come.
    #[inline]
    pub fn octets(&self) -> &'a [u8] {
        self.rest
    }

    /// Values of the attributes with this number, in order.
    #[inline]
    pub fn of(self, number: u8) -> impl Iterator<Item = &'a [u8]> {
        self.filter(move |attribute| attribute.number == number).map(|attribute| attribute.value)
    }
}

/// What stands behind the first attribute of `octets`, which are not empty.
#[inline(always)]
pub(crate) fn after_first(octets: &[u8]) -> Result<&[u8], ()> {
    // RFC 2865 §5: the length counts number and length octet, so 0 and 1 are impossible.
    match octets {
        [_, length @ (2..), ..] => match octets.split_at_checked(usize::from(*length)) {
            Some((_, rest)) => Ok(rest),
            None => Err(()),
        },
        _ => Err(()),
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&[number, length], behind) = self.rest.split_first_chunk()?;
        let (value, rest) = usize::from(length)
            .checked_sub(2)
            .and_then(|octets| behind.split_at_checked(octets))
            .expect("framing has seen that each attribute has the octets of its length");
        self.rest = rest;
        Some(Attribute { number, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len().div_ceil(VALUE_OCTETS_MAX + 2), Some(self.rest.len() / 2))
    }
}

impl core::iter::FusedIterator for Attributes<'_> {}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// An attribute's length is 0 or 1, or passes the end of the octets (RFC 2865 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAttribute {
    /// Where the attribute begins in the octets given.
    pub offset: usize,
}

impl fmt::Display for BadAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attribute at octet {} has an impossible length", self.offset)
    }
}

impl core::error::Error for BadAttribute {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_in_their_order_and_empty_ones_too() {
        let octets = [79, 2, 1, 4, b'a', b'b', 33, 3, 9, 33, 3, 8];
        let attributes = Attributes::parse(&octets).expect("the boundaries hold");
        assert!(attributes.eq([
            Attribute { number: 79, value: b"" },
            Attribute { number: 1, value: b"ab" },
            Attribute { number: 33, value: &[9] },
            Attribute { number: 33, value: &[8] },
        ]));
        assert!(attributes.of(number::PROXY_STATE).eq([&[9], &[8]]));
        assert_eq!(attributes.of(number::STATE).next(), None);
    }

    #[test]
    fn boundaries_that_do_not_hold_are_named_by_their_place() {
        for (octets, offset) in
            [(&[1u8][..], 0), (&[1, 0], 0), (&[1, 1], 0), (&[1, 2, 1, 3], 2), (&[1, 3, 7, 1, 4, 0], 3)]
        {
            assert_eq!(Attributes::parse(octets), Err(BadAttribute { offset }), "{octets:?}");
        }
    }
}
