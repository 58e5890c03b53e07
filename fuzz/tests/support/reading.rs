//! Our reading of a packet beside tshark's: every attribute, and of each number, name, tag, octets and value.

use super::differences::Differences;
use super::secret;
use super::tshark::{self, FieldTypes, Leaf};
use std::collections::BTreeSet;
use std::net::IpAddr;
use ulna_core::attributes::{Item, Scratch, Shape, Walk};
use ulna_core::dictionary::{Attribute, DataType, Dictionary, Encryption, print_value};
use ulna_core::packet::Framed;
use ulna_core::packet::hidden::Hop;

/// Compares packet after packet, and counts.
pub struct Comparison<'d> {
    pub dictionary: &'d Dictionary,
    pub types: FieldTypes,
    pub differences: Differences,
    /// Attributes of the packets, and values within.
    pub attributes: usize,
    pub values: usize,
    /// Values whose meaning was compared, and not only their octets.
    pub meanings: usize,
    /// Packets that both call malformed.
    pub malformed: usize,
    /// Attributes that both call invalid.
    pub invalid: usize,
    pub authenticators: usize,
    /// Names of those that were compared with their meaning or at least their octets.
    pub met: BTreeSet<String>,
}

impl<'d> Comparison<'d> {
    pub fn new(dictionary: &'d Dictionary, types: FieldTypes) -> Comparison<'d> {
        Comparison {
            dictionary,
            types,
            differences: Differences::default(),
            attributes: 0,
            values: 0,
            meanings: 0,
            malformed: 0,
            invalid: 0,
            authenticators: 0,
            met: BTreeSet::new(),
        }
    }

    /// One packet; `signed` if its authenticator must be valid to tshark.
    pub fn packet(&mut self, octets: &[u8], signed: bool, theirs: &tshark::Packet, origin: &str) {
        let ours = Framed::parse(octets).map_err(|error| format!("{error:?}"));
        let ours = ours.and_then(|framed| match framed.code() {
            Some(_) => Ok(framed),
            None => Err("UnknownCode".to_owned()),
        });
        let framed = match (ours, theirs.radius, &theirs.complaint) {
            (Err(_), false, _) | (Err(_), _, Some(_)) => {
                self.malformed += 1;
                return;
            }
            (Err(_), true, None) if theirs.stopped => {
                self.malformed += 1;
                return;
            }
            (Err(error), true, None) => {
                let kind: String = error.chars().take_while(char::is_ascii_alphanumeric).collect();
                self.differences.add("packet-read", kind, || format!("{error}: {origin}"));
                return;
            }
            (Ok(framed), false, _) => {
                self.differences.add("packet-refused", code(&framed), || origin.into());
                return;
            }
            (Ok(framed), true, _) => framed,
        };
        if signed {
            assert_eq!(theirs.valid_authenticator, Some(true), "an authenticator of ours: {origin}");
            self.authenticators += 1;
        }

        let mut scratch = Scratch::default();
        let items: Vec<Item<'_>> = Walk::new(self.dictionary, framed.attributes(), &mut scratch).collect();
        let end = self.boundaries(&framed, &items, theirs, origin);
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: framed.authenticator() };
        for unit in items.chunk_by(|a, b| a.place == b.place) {
            let place = unit[0].place.start + 20..unit[0].place.end + 20;
            if place.end <= end {
                let stands = |attribute: &&tshark::Attribute| place.contains(&attribute.place);
                let theirs: Vec<_> = theirs.attributes.iter().filter(stands).collect();
                self.unit(unit, &theirs, hop, origin);
            }
        }
    }

    /// Where attributes begin and end. Gives the place up to which both go the same way: to the end, unless tshark says
    /// itself that it stopped before, or an attribute that is invalid to us has led it astray.
    fn boundaries(
        &mut self,
        framed: &Framed<'_>,
        items: &[Item<'_>],
        theirs: &tshark::Packet,
        origin: &str,
    ) -> usize {
        let mut place = 20;
        let ours = framed.attributes().map(|attribute| {
            let boundary = (attribute.number, place, attribute.value.len() + 2);
            place += boundary.2;
            boundary
        });
        let ours: Vec<_> = ours.collect();
        let theirs_bounded: Vec<_> =
            theirs.attributes.iter().map(|a| (a.number, a.place, a.length)).collect();
        let same = ours.iter().zip(&theirs_bounded).take_while(|(ours, theirs)| ours == theirs).count();
        self.attributes += same;
        if same == ours.len() && same == theirs_bounded.len() && !theirs.stopped && theirs.complaint.is_none()
        {
            return framed.octets().len();
        }
        let last = same.checked_sub(1).map_or((0, 20, 0), |last| ours[last]);
        // What it says of a vendor's attributes that do not fill their Vendor-Specific it says of the packet.
        let astray = |item: &&Item<'_>| item.shape == Shape::Invalid && item.oid.parts() == [26];
        let at_last = |item: &&Item<'_>| item.place.start + 20 <= last.1 && last.1 < item.place.end + 20;
        let item = items.iter().find(|item| astray(item) && item.place.start + 20 < last.1);
        let item = item.filter(|_| theirs.complaint.is_some()).or_else(|| items.iter().find(at_last));
        let last = item.map_or(last, |item| (last.0, item.place.start + 20, last.2));
        let detail = || format!("{theirs_bounded:?} {ours:?} {:?}: {origin}", theirs.complaint);
        match (item, &theirs.complaint) {
            (Some(item), None) if theirs.stopped && same == theirs_bounded.len() => {
                self.differences.add("dissection-stops", self.name(item.oid.parts()), detail);
            }
            (Some(item), _) if item.shape == Shape::Invalid => {
                self.differences.add("lost-its-place", self.name(item.oid.parts()), detail);
            }
            (_, Some(complaint)) if same == theirs_bounded.len() => {
                let kind: String = complaint.chars().filter(|c| !c.is_ascii_digit()).collect();
                self.differences.add("packet-refused", kind, detail);
                return 20 + ours[..same].iter().map(|ours| ours.2).sum::<usize>();
            }
            _ => panic!("number, place and length of attributes: {}", detail()),
        }
        last.1
    }

    /// One attribute, or several that hold one value in pieces.
    fn unit(&mut self, ours: &[Item<'_>], theirs: &[&tshark::Attribute], hop: Hop<'_>, origin: &str) {
        let first = &ours[0];
        let complaint = theirs.iter().find_map(|attribute| attribute.complaint.as_deref());
        let mut leaves: Vec<Leaf> = theirs.last().expect("places agree").leaves.clone();
        if let ([begin, rest @ ..], true) = (theirs, theirs.len() > 1) {
            match begin.number {
                // It shows the pieces, and hands on what they are together to be dissected as EAP.
                79 => {
                    leaves.clone_from(&begin.leaves);
                    for piece in rest.iter().flat_map(|piece| &piece.leaves).filter(|l| !l.octets.is_empty())
                    {
                        leaves[0].octets.extend(&piece.octets);
                        leaves[0].show = format!("{}:{}", leaves[0].show, piece.show);
                    }
                }
                number if number != 26 => {
                    let long = matches!(number, 245 | 246);
                    let name = if long { "long extended".into() } else { self.name(&[number.into()]) };
                    self.differences.add("not-joined", name, || origin.into());
                    leaves.clone_from(&begin.leaves);
                    for piece in rest {
                        leaves[0].octets.extend(&piece.octets[if long { 4 } else { 2 }..]);
                        leaves[0].show = format!("{}:{}", leaves[0].show, piece.leaves[0].show);
                    }
                }
                _ => {
                    let before = theirs[..theirs.len() - 1].iter();
                    let pieces = before.flat_map(|piece| &piece.leaves).all(|leaf| leaf.fragment);
                    assert!(pieces, "pieces of a vendor's value: {origin}: {theirs:?}");
                }
            }
        }
        if leaves.iter().any(|leaf| leaf.pieces > theirs.len()) {
            self.differences
                .add("joined-apart", "a vendor's value in pieces", || format!("{ours:?}: {origin}"));
            return;
        }
        let [only] = &*leaves else {
            if ours.iter().all(|item| item.shape == Shape::Invalid) && ours.len() == 1 {
                match complaint {
                    Some(_) => self.invalid += 1,
                    None => self.read_by_them_alone(first, &leaves, origin),
                }
                return;
            }
            return self.leaves(ours, &leaves, complaint, hop, origin);
        };
        let container = only.oid.len() < first.oid.depth() && first.oid.parts().starts_with(&only.oid);
        if container && complaint.is_none() {
            // It does not know that there is more within.
            let name = self.name(&only.oid);
            self.differences.add("not-opened", name, || format!("{only:?}: {origin}"));
            let mut written = Vec::new();
            rebuild(ours, 0, only.oid.len(), &mut written);
            assert_eq!(only.octets, written, "what is in {}: {origin}", first.oid);
            self.met(ours);
            return;
        }
        self.leaves(ours, &leaves, complaint, hop, origin);
    }

    fn leaves(
        &mut self,
        ours: &[Item<'_>],
        theirs: &[Leaf],
        complaint: Option<&str>,
        hop: Hop<'_>,
        origin: &str,
    ) {
        if let [item] = ours
            && item.shape == Shape::Invalid
            && complaint.is_some()
        {
            self.invalid += 1;
            return;
        }
        if let Some(complaint) = complaint {
            let kind: String = complaint.chars().filter(|c| !c.is_ascii_digit()).collect();
            let detail = || format!("{complaint}: {ours:?} {theirs:?} {origin}");
            self.differences.add("attribute-refused", kind, detail);
            return;
        }
        let numbers = |leaf: &Leaf| leaf.oid.clone();
        let ours_numbered: Vec<_> = ours.iter().map(|item| item.oid.parts().to_vec()).collect();
        let theirs_numbered: Vec<_> = theirs.iter().map(numbers).collect();
        if ours_numbered != theirs_numbered {
            if let [item] = ours
                && item.shape == Shape::Invalid
            {
                return self.read_by_them_alone(item, theirs, origin);
            }
            let name = self.name(ours[0].oid.parts());
            self.differences.add("structure", name, || format!("{ours:?} {theirs:?}: {origin}"));
            return;
        }
        for (item, leaf) in ours.iter().zip(theirs) {
            self.leaf(item, leaf, hop, origin);
        }
        self.met(ours);
    }

    fn leaf(&mut self, item: &Item<'_>, leaf: &Leaf, hop: Hop<'_>, origin: &str) {
        let detail = || format!("{item:?} {leaf:?}: {origin}");
        self.values += 1;
        let refused = leaf.field.is_empty();
        let Some(attribute) = item.attribute else {
            if leaf.name != UNKNOWN {
                let name = match item.oid.parts() {
                    [26, ..] => "an attribute of a vendor".into(),
                    [_, 0, ..] => "extended type 0".into(),
                    _ => format!("{} ({})", leaf.name, item.oid),
                };
                self.differences.add("unknown-to-us", name, detail);
            }
            let theirs: Vec<u8> = leaf.tag.into_iter().chain(leaf.octets.iter().copied()).collect();
            assert!(refused || theirs == item.value, "octets: {}", detail());
            return;
        };
        if item.shape == Shape::Invalid {
            match refused {
                true => self.invalid += 1,
                false => self.read_by_them_alone(item, std::slice::from_ref(leaf), origin),
            }
            return;
        }
        if leaf.name == UNKNOWN {
            self.differences.add("unknown-to-tshark", attribute.name(), detail);
        } else if leaf.name != attribute.name() {
            self.differences.add("name", format!("{} = {}", attribute.name(), leaf.name), detail);
        }
        if refused {
            let said = leaf.text.starts_with('[') || leaf.text.starts_with("Wrong");
            let why: String = leaf.text.chars().filter(|c| !c.is_ascii_digit()).collect();
            if said {
                self.differences.add(
                    "value-refused",
                    format!("{}: {}", attribute.data_type(), why.trim()),
                    detail,
                );
            } else {
                self.differences.add("dissected", attribute.name(), detail);
            }
            return;
        }
        if leaf.name != UNKNOWN && leaf.tag != item.tag {
            let kind = match (item.tag, leaf.tag) {
                (Some(_), None) => "ours",
                (None, Some(_)) => "tshark's",
                _ => panic!("tags differ: {}", detail()),
            };
            self.differences.add("tag", format!("{}: only {kind}", attribute.name()), detail);
        }
        let tagged = |tag: Option<u8>, value: &[u8]| [&tag.map_or(vec![], |tag| vec![tag]), value].concat();
        let theirs = tagged(leaf.tag, &leaf.octets);
        assert_eq!(theirs, tagged(item.tag, item.value), "octets of {}: {}", attribute.name(), detail());
        if leaf.name != UNKNOWN && leaf.tag == item.tag {
            self.meaning(item, attribute, leaf, hop, origin);
        }
    }

    /// What the octets mean, from the text of both.
    fn meaning(&mut self, item: &Item<'_>, attribute: &Attribute, leaf: &Leaf, hop: Hop<'_>, origin: &str) {
        let detail = || format!("{item:?} {leaf:?}: {origin}");
        let data_type = attribute.data_type();
        let theirs = self.types.get(&leaf.field).map_or(&*leaf.field, |data_type| data_type);
        let still_hidden =
            theirs == "FT_BYTES" && (leaf.field.ends_with("_encrypted") || attribute.encrypted());
        if attribute.encrypted() && still_hidden {
            return;
        }
        let same = match data_type {
            DataType::Text => theirs == "FT_STRING",
            DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 => {
                theirs.starts_with("FT_UINT")
            }
            DataType::Signed => theirs.starts_with("FT_INT"),
            DataType::Date => theirs == "FT_ABSOLUTE_TIME",
            DataType::Ipv4Address => theirs == "FT_IPv4",
            DataType::Ipv6Address => theirs == "FT_IPv6",
            DataType::EitherAddress => matches!(theirs, "FT_IPv4" | "FT_IPv6"),
            DataType::Ether => theirs == "FT_ETHER",
            // These it has as octets, and the prefix beside them as text.
            DataType::Ipv6Prefix => theirs == "FT_BYTES" && leaf.text.contains('/'),
            DataType::Octets { .. } | DataType::InterfaceId => theirs == "FT_BYTES",
            DataType::Ipv4Prefix
            | DataType::AscendFilter
            | DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => false,
        };
        if !same {
            let theirs = theirs.trim_start_matches("FT_");
            let subject = format!("{}: {data_type}, {theirs}", attribute.name());
            self.differences.add("type", subject, detail);
            return;
        }
        let mut revealed = [0; 253];
        let plain = item.plain(hop, &mut revealed).expect("it has the shape of its kind").octets();
        let printed = print_value(attribute, plain).expect("a known shape can be printed").to_string();
        let word = printed.trim_matches('"');
        let agree = match data_type {
            DataType::Text if attribute.encryption() == Encryption::UserPassword => {
                leaf.show == wiresharks_escapes(plain)
            }
            DataType::Text => text_agrees(plain, &leaf.show),
            DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 => {
                let number = word.parse().ok().or_else(|| attribute.value(word));
                number.is_some() && leaf.show.parse().ok() == number && item.integer() == number
            }
            DataType::Signed => {
                let named = attribute.value(word).map(|bits| i64::from((bits as u32).cast_signed()));
                let number = word.parse().ok().or(named);
                number.is_some() && leaf.show.parse::<i64>().ok() == number
            }
            DataType::Date => {
                leaf.show.replace(',', "").strip_suffix(".000000000 UTC") == word.strip_suffix(" UTC")
            }
            DataType::Ipv4Address | DataType::Ipv6Address | DataType::EitherAddress => {
                let address = |text: &str| text.parse::<IpAddr>().ok();
                address(word).is_some() && address(word) == address(&leaf.show)
            }
            DataType::Ether => leaf.show == word,
            DataType::Ipv6Prefix => {
                let prefix = |text: &str| {
                    let (address, bits) = text.split_once('/')?;
                    Some((address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?))
                };
                prefix(word).is_some() && prefix(word) == prefix(&leaf.text)
            }
            DataType::InterfaceId => {
                let group = |group: &str| u16::from_str_radix(group, 16).map(u16::to_be_bytes);
                let octets: Result<Vec<_>, _> = word.split(':').map(group).collect();
                octets.map(|octets| octets.concat()).ok() == in_colons(&leaf.show)
            }
            DataType::Octets { .. } => {
                ulna_core::dictionary::hexadecimal(word).unwrap_or_default()
                    == in_colons(&leaf.show).unwrap_or_default()
            }
            DataType::Ipv4Prefix
            | DataType::AscendFilter
            | DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => unreachable!("it was said to be different"),
        };
        assert!(
            agree,
            "the value of {}: ours {printed}, theirs {:?}: {}",
            attribute.name(),
            leaf.show,
            detail()
        );
        self.meanings += 1;
    }

    /// Octets that are none of our type, and that tshark reads nevertheless.
    fn read_by_them_alone(&mut self, item: &Item<'_>, theirs: &[Leaf], origin: &str) {
        // Of what it does not know it shows the octets.
        if item.attribute.is_some() && theirs.iter().all(|leaf| leaf.name == UNKNOWN) {
            return;
        }
        let kind = match item.attribute {
            None => "no attribute".into(),
            Some(attribute) => {
                let tagged = if attribute.tagged() { ", tagged" } else { "" };
                let hidden = match attribute.encryption() {
                    Encryption::None => "",
                    Encryption::UserPassword => ", hidden as User-Password",
                    Encryption::TunnelPassword => ", hidden as Tunnel-Password",
                    Encryption::AscendSecret => ", hidden as Ascend-Send-Secret",
                };
                let fixed = matches!(attribute.data_type(), DataType::Octets { length: Some(_) });
                let data_type = attribute.data_type().to_string();
                let data_type = if fixed { "octets of one length".into() } else { data_type };
                format!("{data_type}{tagged}{hidden}")
            }
        };
        let detail = || format!("{item:?} {theirs:?}: {origin}");
        self.differences.add("invalid-read", kind, detail);
    }

    fn met(&mut self, items: &[Item<'_>]) {
        for item in items {
            for depth in 1..=item.oid.depth() {
                let attribute = self.dictionary.at(&item.oid.ancestor(depth));
                self.met.extend(attribute.map(|attribute| attribute.name().to_owned()));
            }
        }
    }

    fn name(&self, parts: &[u32]) -> String {
        if let [241..=246] = parts {
            return "extended attribute".into();
        }
        let oid = ulna_core::packet::Oid::new(parts).expect("numbers of an attribute");
        self.dictionary.at(&oid).map_or_else(|| oid.to_string(), |attribute| attribute.name().to_owned())
    }
}

/// The octets of containers that ours are in, from this depth on, written anew with headers of two octets.
fn rebuild(items: &[Item<'_>], from: usize, depth: usize, out: &mut Vec<u8>) {
    let mut items = &items[from..];
    while let Some(first) = items.first() {
        if first.oid.depth() == depth {
            out.extend(first.tag);
            out.extend_from_slice(first.value);
            items = &items[1..];
            continue;
        }
        // All that stand in the same container as the first.
        let same = 1 + items[1..].iter().take_while(|item| item.joined > depth).count();
        let mut within = Vec::new();
        rebuild(&items[..same], 0, depth + 1, &mut within);
        out.extend_from_slice(&[first.oid.parts()[depth] as u8, within.len() as u8 + 2]);
        out.extend_from_slice(&within);
        items = &items[same..];
    }
}

fn code(framed: &Framed<'_>) -> String {
    framed.code().map_or_else(String::new, |code| code.name().to_owned())
}

/// Text is compared letter by letter; where it is none, its octets are what was compared.
fn text_agrees(ours: &[u8], show: &str) -> bool {
    match std::str::from_utf8(ours) {
        Ok(text) if !text.contains(is_left_out) => text == show,
        Ok(_) | Err(_) => true,
    }
}

/// What tshark puts something else for: XML cannot hold it.
fn is_left_out(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\r' | '\n')
}

/// A revealed password as tshark shows it: printable ASCII as it is, other octets in octal, NUL not at all.
fn wiresharks_escapes(plain: &[u8]) -> String {
    let escaped = |octet: &u8| match octet {
        0 => String::new(),
        b' '..=b'~' => char::from(*octet).to_string(),
        other => format!("\\{other:03o}"),
    };
    plain.iter().map(escaped).collect()
}

fn in_colons(text: &str) -> Option<Vec<u8>> {
    text.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

const UNKNOWN: &str = "Unknown-Attribute";
