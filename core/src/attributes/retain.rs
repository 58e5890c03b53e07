//! Some attributes of many: what is taken out leaves no gap, and what stays, stays as it was.

use super::walk::{Item, Scratch, Walk};
use super::write::{Entry, Writer};
use crate::dictionary::Dictionary;
use crate::packet::Attributes;
use alloc::vec::Vec;

/// Writes those of `attributes` that `keeps` says behind what `out` holds. Attributes, or runs of them that belong
/// together, of which all stay are copied octet for octet; those of which something goes are written anew without it.
pub fn retain(
    dictionary: &Dictionary,
    attributes: Attributes<'_>,
    scratch: &mut Scratch,
    mut keeps: impl FnMut(&Item<'_>) -> bool,
    out: &mut Vec<u8>,
) {
    let octets = attributes.octets();
    let mut walk = Walk::new(dictionary, attributes, scratch).peekable();
    while let Some(first) = walk.next() {
        let place = first.place.clone();
        let kept = keeps(&first);
        if walk.peek().is_none_or(|next| next.joined == 0) {
            if kept {
                out.extend_from_slice(&octets[place]);
            }
            continue;
        }
        let begin = out.len();
        let mut writer = Writer::new(dictionary, out);
        let mut all = kept;
        // With how many of its numbers the next one stands in the same attribute as the last that was kept.
        let mut joined = 0;
        if kept {
            push(&mut writer, &first, 0);
            joined = usize::MAX;
        }
        while let Some(item) = walk.next_if(|next| next.joined > 0) {
            joined = joined.min(item.joined);
            if keeps(&item) {
                push(&mut writer, &item, joined);
                joined = usize::MAX;
            } else {
                all = false;
            }
        }
        writer.finish();
        if all {
            out.truncate(begin);
            out.extend_from_slice(&octets[place]);
        }
    }
}

fn push(writer: &mut Writer<'_>, item: &Item<'_>, joined: usize) {
    let written = writer.push(&Entry { joined, ..Entry::from(item) });
    assert!(written.is_ok(), "what stood in a packet finds room in one with less: {written:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::text;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn dictionary() -> Dictionary {
        Dictionary::built_in()
    }

    fn octets(dictionary: &Dictionary, text: &str) -> Vec<u8> {
        let assignments = text::parse(dictionary, text).expect("well-formed");
        let mut out = Vec::new();
        text::write(dictionary, &assignments, None, &mut out).expect("it fits");
        out
    }

    fn without(dictionary: &Dictionary, octets: &[u8], names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        let attributes = Attributes::parse(octets).expect("they hold");
        let keeps = |item: &Item<'_>| !item.attribute.is_some_and(|known| names.contains(&known.name()));
        retain(dictionary, attributes, &mut Scratch::default(), keeps, &mut out);
        out
    }

    #[test]
    fn what_is_taken_out_of_a_container_leaves_the_others() {
        let dictionary = dictionary();
        // Two attributes in one Vendor-Specific, as some NASes send them.
        let both = [26, 6 + 4 + 4, 0, 0, 0, 9, 1, 4, b'a', b'b', 2, 4, b'c', b'd'];
        assert_eq!(without(&dictionary, &both, &["Cisco-NAS-Port"]), [26, 10, 0, 0, 0, 9, 1, 4, b'a', b'b']);
        assert_eq!(without(&dictionary, &both, &["Cisco-AVPair"]), [26, 10, 0, 0, 0, 9, 2, 4, b'c', b'd']);
        assert_eq!(without(&dictionary, &both, &["Cisco-AVPair", "Cisco-NAS-Port"]), []);
        assert_eq!(without(&dictionary, &both, &["User-Name"]), both);
    }

    #[test]
    fn others_stay_as_they_were_and_in_order() {
        let dictionary = dictionary();
        let all = octets(
            &dictionary,
            "User-Name = bob, Class = 0x01, Tunnel-Type:1 = VLAN, Class = 0x02, NAS-Port = 7",
        );
        let left = without(&dictionary, &all, &["Class"]);
        let attributes = Attributes::parse(&left).expect("they hold");
        assert_eq!(
            text::print(&dictionary, attributes).to_string(),
            "User-Name = \"bob\", Tunnel-Type:1 = VLAN, NAS-Port = 7"
        );
    }

    /// What a walk finds, without where.
    fn found(dictionary: &Dictionary, octets: &[u8]) -> Vec<(crate::packet::Oid, Option<u8>, Vec<u8>)> {
        let attributes = Attributes::parse(octets).expect("they hold");
        let mut scratch = Scratch::default();
        Walk::new(dictionary, attributes, &mut scratch)
            .map(|item| (item.oid, item.tag, item.value.to_vec()))
            .collect()
    }

    fn any_attribute() -> impl Strategy<Value = Vec<u8>> {
        let value = || proptest::collection::vec(any::<u8>(), 0..9);
        let plain = (prop_oneof![Just(1u8), Just(64), Just(69), Just(97), any::<u8>()], value())
            .prop_map(|(number, value)| [&[number, 2 + value.len() as u8], &value[..]].concat());
        let vendor = proptest::collection::vec((1u8..4, proptest::collection::vec(any::<u8>(), 1..5)), 1..4)
            .prop_map(|parts| {
                let content: Vec<u8> = parts
                    .iter()
                    .flat_map(|(number, value)| [&[*number, 2 + value.len() as u8], &value[..]].concat())
                    .collect();
                [&[26, 6 + content.len() as u8, 0, 0, 0, 9], &content[..]].concat()
            });
        prop_oneof![plain, vendor]
    }

    proptest! {
        #[test]
        fn those_that_are_kept_are_found_again(
            attributes in proptest::collection::vec(any_attribute(), 0..8),
            choice in any::<u64>(),
        ) {
            let dictionary = dictionary();
            let octets = attributes.concat();
            // Runs of one number that is put together would run together once what stood between them is gone.
            prop_assume!(attributes.iter().all(|octets| octets[0] != 79));
            let mut place = 0;
            let mut keeps = || {
                place += 1;
                choice >> (place % 64) & 1 == 1
            };
            let expected: Vec<_> = found(&dictionary, &octets).into_iter().filter(|_| keeps()).collect();
            place = 0;
            let mut keeps = || {
                place += 1;
                choice >> (place % 64) & 1 == 1
            };
            let mut out = Vec::new();
            let attributes = Attributes::parse(&octets).expect("we made them");
            retain(&dictionary, attributes, &mut Scratch::default(), |_| keeps(), &mut out);
            prop_assert!(out.len() <= octets.len());
            prop_assert_eq!(found(&dictionary, &out), expected);
        }
    }
}
