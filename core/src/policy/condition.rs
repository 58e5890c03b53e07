//! What a rule's `when` asks: conditions as plain data, each about one name and with one answer.
//!
//! An attribute that a request has several times meets a comparison if any of its instances does. What is not there
//! meets none; negated it meets all. An attribute whose octets are none of its type is not there (RFC 6929 §2.8:
//! it must not be read as what it should be).

use super::{Hours, Pattern};
use crate::attributes::{Item, Shape};
use crate::client::Prefix;
use crate::packet::{Code, Oid};
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One condition. All of a rule's must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is asked.
    pub question: Question,
    /// Whether the answer must be no.
    pub negated: bool,
}

/// What can be asked about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Is there such an attribute?
    Attribute(Selector, Comparison),
    /// Is the realm of its User-Name so? Compared in lower case of ASCII.
    Realm(Comparison),
    /// Is its client's name so?
    Client(Comparison),
    /// Is its listener's name so?
    Listener(Comparison),
    /// Is this value of its session so?
    Session(Box<str>, Comparison),
    /// Does it come from one of these networks?
    Network(Box<[Prefix]>),
    /// Is it one of these times?
    Time(Box<[Hours]>),
    /// Is its reply of this kind? Of rules that edit replies only.
    Reply(ReplyKind),
}

/// What kind a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// Access-Accept.
    Accept,
    /// Access-Reject.
    Reject,
    /// Access-Challenge.
    Challenge,
}

impl ReplyKind {
    /// What kind a reply with this code is, if rules are asked about such.
    pub fn of(code: Code) -> Option<ReplyKind> {
        let kinds = [
            (Code::AccessAccept, ReplyKind::Accept),
            (Code::AccessReject, ReplyKind::Reject),
            (Code::AccessChallenge, ReplyKind::Challenge),
        ];
        kinds.into_iter().find(|(of, _)| *of == code).map(|(_, kind)| kind)
    }
}

/// Which attributes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selector {
    /// The numbers that lead to them, or to what they are in.
    pub oid: Oid,
    /// Only those with this tag; 0 are those without one, too (RFC 2868 §3.1).
    pub tag: Option<u8>,
    /// Also those whose octets are none of their type, or of which no dictionary knows one.
    pub any_shape: bool,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// With nothing: it is enough that it is there.
    Present,
    /// It is one of these, octet for octet. In order.
    OneOf(Box<[Box<[u8]>]>),
    /// It is an address in one of these networks.
    Within(Box<[Prefix]>),
    /// It is one of these prefixes, in the form of RFC 3162 §2.3 without the zeros at its end. In order.
    OneOfPrefixes(Box<[Box<[u8]>]>),
    /// The pattern is found in it.
    Pattern(Pattern),
}

impl Selector {
    /// Whether an attribute is one of those meant.
    pub fn selects(&self, item: &Item<'_>) -> bool {
        self.oid.parts() == &item.oid.parts()[..self.oid.depth().min(item.oid.depth())]
            && (self.any_shape || item.shape == Shape::Known)
            && self.tag.is_none_or(|tag| item.tag.unwrap_or(0) == tag)
    }
}

impl Comparison {
    /// One of these values, compared octet for octet.
    pub fn one_of(values: impl IntoIterator<Item = Box<[u8]>>) -> Comparison {
        Comparison::OneOf(in_order(values))
    }

    /// One of these values of an attribute that holds a prefix.
    pub fn one_of_prefixes(values: impl IntoIterator<Item = Box<[u8]>>) -> Comparison {
        Comparison::OneOfPrefixes(in_order(values.into_iter().map(|value| without_zeros(&value).into())))
    }

    /// Whether a value that is there meets it.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Comparison::Present => true,
            Comparison::OneOf(values) => contains(values, value),
            Comparison::Within(networks) => {
                address(value).is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            Comparison::OneOfPrefixes(values) => contains(values, without_zeros(value)),
            Comparison::Pattern(pattern) => pattern.matches(value),
        }
    }
}

fn in_order(values: impl IntoIterator<Item = Box<[u8]>>) -> Box<[Box<[u8]>]> {
    let mut values: alloc::vec::Vec<_> = values.into_iter().collect();
    values.sort();
    values.into()
}

fn contains(values: &[Box<[u8]>], value: &[u8]) -> bool {
    match values {
        [only] => **only == *value,
        _ => values.binary_search_by(|probe| (**probe).cmp(value)).is_ok(),
    }
}

/// A prefix may have its zeros or not: both mean the same (RFC 3162 §2.3).
fn without_zeros(prefix: &[u8]) -> &[u8] {
    let end = prefix.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    &prefix[..end.max(2).min(prefix.len())]
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(values: &[&[u8]]) -> alloc::vec::Vec<Box<[u8]>> {
        values.iter().map(|value| (*value).into()).collect()
    }

    #[test]
    fn values_are_compared_octet_for_octet_in_whatever_order_they_stand() {
        let several = Comparison::one_of(boxed(&[b"b", b"", b"ab", b"a"]));
        assert!([&b"b"[..], b"", b"ab", b"a"].iter().all(|value| several.matches(value)));
        assert!([&b"B"[..], b"abc", b"\0"].iter().all(|value| !several.matches(value)));
        assert!(!Comparison::one_of([]).matches(b"") && Comparison::Present.matches(b""));
    }

    #[test]
    fn an_address_is_within_a_network_of_its_family() {
        let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().expect("a prefix"));
        let within = Comparison::Within(networks.into());
        let mut inside = [0; 16];
        inside[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert!(within.matches(&[192, 0, 2, 255]) && within.matches(&inside));
        assert!(
            !within.matches(&[192, 0, 3, 0]) && !within.matches(&[0; 16]) && !within.matches(&[192, 0, 2])
        );
    }

    #[test]
    fn a_prefix_is_the_same_with_its_zeros_and_without() {
        let whole = Comparison::one_of_prefixes(boxed(&[&[0, 48, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0]]));
        assert!(whole.matches(&[0, 48, 0x20, 1, 0xd, 0xb8, 0, 1]));
        assert!(whole.matches(&[0, 48, 0x20, 1, 0xd, 0xb8, 0, 1, 0]));
        assert!(!whole.matches(&[0, 49, 0x20, 1, 0xd, 0xb8, 0, 1]));
        let all = Comparison::one_of_prefixes(boxed(&[&[0, 0, 0, 0]]));
        assert!(all.matches(&[0, 0]) && all.matches(&[0, 0, 0]) && !all.matches(&[0, 8]));
    }
}
