//! A packet's attributes on their way over the next hop: as they were, but those that are hidden under the secret of each
//! hop are hidden anew. RFC 2865 §2.3 and §5.2, RFC 2868 §3.5, RFC 2548 §2.4.
//!
//! Nothing hidden is longer or shorter under another secret. So all is copied octet for octet, and a hidden value is written
//! over what was copied of it, be it within a Vendor-Specific or a container; only what was sent in pieces is written anew.

use super::hidden::Sealing;
use super::walk::{Item, Scratch, Shape, Walk};
use super::write::{Entry, Writer};
use crate::dictionary::{Dictionary, Encryption};
use crate::packet::extended::extension;
use crate::packet::hidden::{HiddenError, Hop};
use crate::packet::{Attributes, DataType, VALUE_OCTETS_MAX, number};
use alloc::vec::Vec;

/// Writes `attributes`, whose hidden values are those of the hop `from`, for the hop of `sealing` behind what `out` holds: in
/// order, and without those of a number of which `keeps` says no.
///
/// What no dictionary knows, and what is none of its type, stays as it is.
///
/// # Errors
/// [`HiddenError::BadLength`] when the octets cannot be those of a hidden value of its kind: they cannot be hidden anew, and
/// whoever gets them as they are reads noise. `out` is as it was before then.
pub fn rehide(
    dictionary: &Dictionary,
    attributes: Attributes<'_>,
    keeps: impl Fn(u8) -> bool,
    from: Hop<'_>,
    sealing: &mut Sealing<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), HiddenError> {
    let begin = out.len();
    let rehidden = rehide_runs(dictionary, attributes, keeps, from, sealing, scratch, out);
    if rehidden.is_err() {
        out.truncate(begin);
    }
    rehidden
}

fn rehide_runs(
    dictionary: &Dictionary,
    attributes: Attributes<'_>,
    keeps: impl Fn(u8) -> bool,
    from: Hop<'_>,
    sealing: &mut Sealing<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), HiddenError> {
    let class = |number| if keeps(number) { Class::of(dictionary, number) } else { Class::Dropped };
    let mut rest = attributes;
    loop {
        let begin = rest.octets();
        let Some(first) = rest.next() else { return Ok(()) };
        // Those that follow and are of the same class belong to the same run: most packets are a few of them.
        let found = class(first.number);
        let mut ahead = rest;
        while ahead.next().is_some_and(|next| class(next.number) == found) {
            rest = ahead;
        }
        let run = &begin[..begin.len() - rest.octets().len()];
        match found {
            Class::Dropped => {}
            Class::Open => out.extend_from_slice(run),
            Class::UserPassword => rehide_user_passwords(run, from, sealing, out)?,
            Class::MayHide => rehide_within(dictionary, run, from, sealing, scratch, out)?,
        }
    }
}

/// What is to be done with attributes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// They are left out.
    Dropped,
    /// They are copied.
    Open,
    /// Each is one hidden value, whatever a dictionary says: forwarding it as it is would be of no use to anybody.
    UserPassword,
    /// Some may be hidden, or hold what is: only a walk tells.
    MayHide,
}

impl Class {
    #[inline]
    fn of(dictionary: &Dictionary, number: u8) -> Class {
        match number {
            number::USER_PASSWORD => Class::UserPassword,
            number::VENDOR_SPECIFIC => Class::MayHide,
            _ if extension(number).is_some() => Class::MayHide,
            _ => match dictionary.numbered(number) {
                Some(known) if known.encrypted() || known.data_type() == DataType::Tlv => Class::MayHide,
                Some(_) | None => Class::Open,
            },
        }
    }
}

fn rehide_user_passwords(
    run: &[u8],
    from: Hop<'_>,
    sealing: &mut Sealing<'_>,
    out: &mut Vec<u8>,
) -> Result<(), HiddenError> {
    for attribute in Attributes::framed(run) {
        let mut room = [0; VALUE_OCTETS_MAX];
        let hidden = sealing.rehide(Encryption::UserPassword, attribute.value, from, &mut room)?;
        out.extend_from_slice(&[attribute.number, 2 + hidden.len() as u8]);
        out.extend_from_slice(hidden);
    }
    Ok(())
}

fn rehide_within(
    dictionary: &Dictionary,
    run: &[u8],
    from: Hop<'_>,
    sealing: &mut Sealing<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), HiddenError> {
    let mut walk = Walk::new(dictionary, Attributes::framed(run), scratch).peekable();
    let mut room = [0; VALUE_OCTETS_MAX];
    while let Some(first) = walk.next() {
        let place = first.place.clone();
        let begin = out.len();
        let in_pieces = place.len() != usize::from(run[place.start + 1]);
        if in_pieces {
            let mut writer = Writer::new(dictionary, out);
            let mut any = false;
            let mut next = Some(first);
            while let Some(item) = next {
                let encryption = encryption(&item)?;
                any |= encryption != Encryption::None;
                let value = sealing.rehide(encryption, item.value, from, &mut room)?;
                let written = writer.push(&Entry { value, ..Entry::from(&item) });
                assert!(written.is_ok(), "what stood in a packet finds room in one again: {written:?}");
                next = walk.next_if(|next| next.joined > 0);
            }
            writer.finish();
            if !any {
                // Whoever sent it may have cut it otherwise than we do.
                out.truncate(begin);
                out.extend_from_slice(&run[place]);
            }
            continue;
        }
        out.extend_from_slice(&run[place.clone()]);
        let mut next = Some(first);
        while let Some(item) = next {
            let encryption = encryption(&item)?;
            if encryption != Encryption::None {
                let hidden = sealing.rehide(encryption, item.value, from, &mut room)?;
                let offset = begin + offset_within(run, item.value) - place.start;
                out[offset..offset + hidden.len()].copy_from_slice(hidden);
            }
            next = walk.next_if(|next| next.joined > 0);
        }
    }
    Ok(())
}

/// How an item's value is hidden, as far as its octets can be that.
fn encryption(item: &Item<'_>) -> Result<Encryption, HiddenError> {
    match (item.shape, item.attribute) {
        (Shape::Known, Some(attribute)) => Ok(attribute.encryption()),
        (Shape::Invalid, Some(attribute)) if attribute.encrypted() => {
            Err(HiddenError::BadLength { octets: item.value.len() })
        }
        (Shape::Known | Shape::Unknown | Shape::Invalid, _) => Ok(Encryption::None),
    }
}

/// Where in `octets` this part of them begins.
fn offset_within(octets: &[u8], part: &[u8]) -> usize {
    let offset = (part.as_ptr() as usize).checked_sub(octets.as_ptr() as usize);
    offset
        .filter(|offset| offset + part.len() <= octets.len())
        .expect("the value of one attribute that is in no pieces stands in it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::every_kind;
    use crate::packet::hidden::hide_salted;
    use crate::packet::{Oid, Secret};
    use alloc::vec;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Every kind of attribute, and hidden ones wherever attributes can stand.
    static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(|| {
        let mut dictionary = every_kind();
        let more = "ATTRIBUTE Nested-Key 173.3 octets encrypt=2\nATTRIBUTE Long-Key 245.3 octets encrypt=2\n\
                    ATTRIBUTE Long-Tree-Key 245.2.2 octets has_tag,encrypt=2\nATTRIBUTE Short-Key 241.3 octets encrypt=1\n\
                    BEGIN-VENDOR Plain\nATTRIBUTE Plain-Secret 6 string encrypt=3\nEND-VENDOR Plain\n\
                    BEGIN-VENDOR Continued\nATTRIBUTE Continued-Key 3 octets encrypt=2\n\
                    ATTRIBUTE Continued-Tree-Key 2.3 octets encrypt=1\nEND-VENDOR Continued\n";
        dictionary.extend(more).expect("well-formed");
        dictionary
    });
    static NEAR: LazyLock<Secret> = LazyLock::new(|| Secret::new(b"near").expect("it has octets"));
    static FAR: LazyLock<Secret> = LazyLock::new(|| Secret::new(b"far").expect("it has octets"));

    fn near() -> Hop<'static> {
        Hop { secret: &NEAR, request_authenticator: &[1; 16] }
    }

    fn far() -> Hop<'static> {
        Hop { secret: &FAR, request_authenticator: &[2; 16] }
    }

    fn rehidden(octets: &[u8]) -> Result<Vec<u8>, HiddenError> {
        let attributes = Attributes::parse(octets).expect("they hold");
        let mut out = vec![0xff];
        let mut sealing = Sealing { hop: far(), salt: 0x1ff };
        let mut scratch = Scratch::default();
        let result = rehide(&DICTIONARY, attributes, |_| true, near(), &mut sealing, &mut scratch, &mut out);
        assert_eq!(out[0], 0xff, "what was there stays");
        assert!(result.is_ok() || out.len() == 1, "a refusal leaves nothing");
        result.map(|()| out.split_off(1))
    }

    type Found = (Oid, Shape, Option<u8>, Vec<u8>, usize);

    /// What whoever shares the hop's secret reads, and how many salts there are.
    fn read(octets: &[u8], hop: Hop<'_>) -> Vec<Found> {
        let mut scratch = Scratch::default();
        let attributes = Attributes::parse(octets).expect("they hold");
        Walk::new(&DICTIONARY, attributes, &mut scratch)
            .map(|item| {
                let mut room = [0; VALUE_OCTETS_MAX];
                // What was hidden from noise reveals to what it does: compared by its octets behind the length.
                let plain = item.plain(hop, &mut room).map_or_else(
                    |error| alloc::format!("{error}").into_bytes(),
                    |plain| plain.octets().to_vec(),
                );
                (item.oid, item.shape, item.tag, plain, item.joined)
            })
            .collect()
    }

    /// The law: what was read is read behind the next hop; places without anything hidden are the same octets.
    fn law(octets: &[u8]) {
        let mut scratch = Scratch::default();
        let attributes = Attributes::parse(octets).expect("they hold");
        let is_hidden = |item: &Item<'_>| {
            item.oid == Oid::standard(number::USER_PASSWORD)
                || item.attribute.is_some_and(|known| known.encrypted())
        };
        let (mut bad, mut open, mut alone) = (false, vec![], true);
        for item in Walk::new(&DICTIONARY, attributes, &mut scratch) {
            let salted_too_long = item.attribute.is_some_and(|known| {
                known.encryption() == Encryption::TunnelPassword && item.value.len() > 242
            });
            bad |= is_hidden(&item) && (item.shape == Shape::Invalid || salted_too_long);
            alone &= item.place.len() == usize::from(octets[item.place.start + 1]);
            if item.joined == 0 {
                open.push((item.place.clone(), true));
            }
            open.last_mut().expect("the first is joined to none").1 &= !is_hidden(&item);
        }
        let result = rehidden(octets);
        assert_eq!(result.is_err(), bad, "{octets:?}");
        let Ok(out) = result else { return };
        assert_eq!(read(&out, far()), read(octets, near()), "{octets:?} {out:?}");
        assert!(out.len() <= octets.len());
        if alone {
            assert_eq!(out.len(), octets.len());
            for (place, _) in open.iter().filter(|(_, open)| *open) {
                assert_eq!(out[place.clone()], octets[place.clone()], "{place:?}");
            }
        }
        if open.iter().all(|(_, open)| *open) {
            assert_eq!(out, octets, "nothing hidden, nothing changed");
        }
    }

    fn attribute(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number, 2 + value.len() as u8], value].concat()
    }

    fn key(octets: usize, salt: u8) -> Vec<u8> {
        let plain: Vec<u8> = (0..octets).map(|place| place as u8).collect();
        hide_salted(&plain, [0x80, salt], near(), &mut [0; VALUE_OCTETS_MAX]).expect("it fits").to_vec()
    }

    #[test]
    fn a_key_within_a_vendor_specific_is_hidden_anew_in_its_place() {
        // checklist 48
        // Text, the key, text: three attributes of one vendor.
        let key = key(20, 7);
        let content = [&[0, 0, 0, 9, 1, 4, b'a', b'b'][..], &[3, 2 + key.len() as u8], &key, &[1, 3, b'c']];
        let octets = attribute(26, &content.concat());
        let out = rehidden(&octets).expect("it has its length");
        assert_eq!(out.len(), octets.len());
        assert_eq!(out[..12], octets[..12]);
        assert_eq!(out[octets.len() - 3..], octets[octets.len() - 3..]);
        assert_ne!(out[12..octets.len() - 3], octets[12..octets.len() - 3]);
        law(&octets);
    }

    #[test]
    fn keys_in_pieces_and_containers_are_hidden_anew() {
        let key = key(100, 9);
        // One value in two pieces of a vendor whose values continue.
        let piece = |more: u8, octets: &[u8]| {
            attribute(26, &[&[0, 0, 0, 14, 3, 3 + octets.len() as u8, more], octets].concat())
        };
        let pieces = [piece(0x80, &key[..50]), piece(0, &key[50..])].concat();
        law(&pieces);
        let out = rehidden(&pieces).expect("it has its length");
        assert_ne!(read(&out, near()), read(&pieces, near()));
        // Two keys in a container that fills more than one long extended attribute.
        let tlv = [&[2, 3 + key.len() as u8, 1], &key[..]].concat();
        let tlvs = [&tlv[..], &[1, 40], &[5; 38], &tlv, &tlv].concat();
        let (first, rest) = tlvs.split_at(251);
        let pieces =
            [attribute(245, &[&[2, 0x80], first].concat()), attribute(245, &[&[2, 0], rest].concat())]
                .concat();
        law(&pieces);
        assert_eq!(read(&pieces, near()).len(), 4);
        assert_ne!(rehidden(&pieces).expect("they have their length"), pieces);
        // What nobody has to hide stays as somebody has cut it.
        let odd = |more: u8, octets: &[u8]| {
            attribute(26, &[&[0, 0, 0, 14, 1, 3 + octets.len() as u8, more], octets].concat())
        };
        let open = [odd(0x80, b"cut"), odd(0, b" anyhow")].concat();
        assert_eq!(rehidden(&open).as_deref(), Ok(&open[..]));
        law(&open);
    }

    #[test]
    fn salts_are_unlike_even_where_those_that_came_were_alike() {
        // checklist 48
        let same = key(20, 7);
        let octets = [attribute(207, &same), attribute(208, &key(4, 7)), attribute(207, &same)].concat();
        let out = rehidden(&octets).expect("they have their length");
        let attributes = Attributes::parse(&out).expect("they hold");
        let salts: Vec<&[u8]> = attributes.map(|attribute| &attribute.value[..2]).collect();
        assert_eq!(salts, [[0x81, 0xff], [0x82, 0x00], [0x82, 0x01]]);
        law(&octets);
    }

    #[test]
    fn what_has_no_length_of_a_hidden_value_is_refused() {
        for octets in [0, 1, 15, 17, 129, 144, 253] {
            let bad = Err(HiddenError::BadLength { octets });
            assert_eq!(rehidden(&attribute(number::USER_PASSWORD, &vec![7; octets])), bad);
        }
        assert_eq!(rehidden(&attribute(209, &[7; 15])), Err(HiddenError::BadLength { octets: 15 }));
        assert_eq!(rehidden(&attribute(207, &[7; 17])), Err(HiddenError::BadLength { octets: 17 }));
        assert_eq!(rehidden(&attribute(69, &[7; 18])), Err(HiddenError::BadLength { octets: 18 }));
        let within = attribute(26, &[0, 0, 0, 9, 1, 3, b'a', 3, 4, 1, 2]);
        assert_eq!(rehidden(&within), Err(HiddenError::BadLength { octets: 2 }));
    }

    #[test]
    fn the_password_is_hidden_anew_whatever_a_dictionary_says() {
        let octets = attribute(number::USER_PASSWORD, &[7; 32]);
        let mut out = vec![];
        let mut sealing = Sealing { hop: far(), salt: 0 };
        let attributes = Attributes::parse(&octets).expect("they hold");
        let nothing = Dictionary::default();
        rehide(&nothing, attributes, |_| true, near(), &mut sealing, &mut Scratch::default(), &mut out)
            .expect("whole blocks");
        assert_eq!(Ok(out), rehidden(&octets));
    }

    fn any_attribute() -> impl Strategy<Value = Vec<u8>> {
        let blocks = |salt: usize| (0usize..5).prop_map(move |blocks| salt + 16 * blocks);
        let length = prop_oneof![0usize..9, blocks(0), blocks(2), blocks(3), 0usize..=240];
        let value = || length.clone().prop_flat_map(|octets| proptest::collection::vec(any::<u8>(), octets));
        let numbers = prop_oneof![4 => proptest::sample::select(vec![2u8, 69, 207, 208, 209, 210, 24, 79]), 1 => any::<u8>()];
        let plain = (numbers, value()).prop_map(|(number, value)| attribute(number, &value));
        let vendor = (
            proptest::sample::select(vec![9u8, 14, 14, 10]),
            proptest::collection::vec((1u8..7, proptest::sample::select(vec![0u8, 0, 0x80]), value()), 1..3),
        );
        let vendor = vendor.prop_map(|(vendor, parts)| {
            let mut content = vec![0, 0, 0, vendor];
            for (number, more, value) in parts {
                let header = if vendor == 14 { vec![number, 3, more] } else { vec![number, 2] };
                let value = &value[..value.len().min(253 - header.len() - content.len().min(200))];
                if content.len() + header.len() + value.len() <= 253 {
                    content.extend_from_slice(&header);
                    let length = content.len() - header.len() + 1;
                    content[length] += value.len() as u8;
                    content.extend_from_slice(value);
                }
            }
            attribute(26, &content)
        });
        let long = (1u8..4, any::<bool>(), proptest::collection::vec(any::<u8>(), 251), 1usize..251);
        let long = long.prop_map(|(kind, more, mut value, octets)| {
            if kind == 2 {
                value[..4].copy_from_slice(&[1, 251 - 20 - 18 - 1, 9, 9]);
                value[251 - 39..][..3].copy_from_slice(&[2, 21, 1]);
                value[251 - 18..][..2].copy_from_slice(&[1, 18]);
            }
            if !more {
                value.truncate(octets);
            }
            attribute(245, &[&[kind, u8::from(more) << 7], &value[..]].concat())
        });
        let nested = (1usize..4, value()).prop_map(|(number, value)| {
            let value = &value[..value.len().min(200)];
            attribute(173, &[&[2, 5, 0, 8, 1, number as u8, 2 + value.len() as u8], value].concat())
        });
        prop_oneof![4 => plain, 4 => vendor, 2 => long, 1 => nested]
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_behind_the_next_hop(
            attributes in proptest::collection::vec(any_attribute(), 0..6),
        ) {
            // checklist 48
            law(&attributes.concat());
        }
    }
}
