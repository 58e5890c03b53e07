//! From a packet's attributes to text that is read as the same attributes.

use super::joined_to;
use crate::attributes::walk::{Item, Scratch, Shape, Walk};
use crate::dictionary::{Attribute, Dictionary, Encryption, hexadecimal_into, print_value};
use crate::packet::hidden::Hop;
use crate::packet::tagged::TAG_MAX;
use crate::packet::{Attributes, Oid, VALUE_OCTETS_MAX};
use alloc::vec::Vec;
use core::fmt;

/// Attributes that print as text. Made by [`print`].
#[derive(Clone, Copy)]
pub struct PrintedAttributes<'a> {
    dictionary: &'a Dictionary,
    attributes: Attributes<'a>,
    values: Values<'a>,
    separator: &'a str,
}

/// Which values are shown.
#[derive(Clone, Copy)]
enum Values<'a> {
    /// All, as the packet has them.
    AsTheyAre,
    /// All, and hidden ones in clear.
    Revealed(Hop<'a>),
    /// Those that may stand in a log.
    Discreet,
}

/// Prints attributes, in order, between commas; hidden values by number, as they are.
pub fn print<'a>(dictionary: &'a Dictionary, attributes: Attributes<'a>) -> PrintedAttributes<'a> {
    PrintedAttributes { dictionary, attributes, values: Values::AsTheyAre, separator: ", " }
}

impl<'a> PrintedAttributes<'a> {
    /// Reveals hidden values: for whoever has asked for them, not for logs.
    pub fn revealed(self, hop: Hop<'a>) -> PrintedAttributes<'a> {
        PrintedAttributes { values: Values::Revealed(hop), ..self }
    }

    /// For logs and traces: only how many octets it has of every value that is, or may be, a secret. That is each that
    /// the dictionary does not know or calls encrypted, passwords and what proves them, EAP-Message and State. Such text is
    /// not read back.
    pub fn discreet(self) -> PrintedAttributes<'a> {
        PrintedAttributes { values: Values::Discreet, ..self }
    }

    /// One attribute a line.
    pub fn in_lines(self) -> PrintedAttributes<'a> {
        PrintedAttributes { separator: "\n", ..self }
    }

    /// One attribute that stands by itself, with all that is in it.
    fn unit(
        &self,
        f: &mut fmt::Formatter<'_>,
        items: &[Item<'_>],
        last: Option<Oid>,
        separate: &mut impl FnMut(&mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> Result<Option<Oid>, fmt::Error> {
        let joined = |item: &Item<'_>| {
            // Several attributes in one Vendor-Specific mean the same as one in each.
            if item.oid.first() == 26 && item.joined == 2 { 0 } else { item.joined }
        };
        let mut before = last;
        let mut sayable = true;
        for item in items {
            let default = before.map_or(0, |before| joined_to(&before, &item.oid));
            sayable &= joined(item) == 0 || joined(item) == default;
            before = Some(item.oid);
        }
        let first = items.first().expect("a unit has an item at least");
        if !sayable {
            // Containers in a container of which only some are new: written whole, by their outermost number.
            let octets = &self.attributes.octets()[first.place.clone()];
            for attribute in Attributes::parse(octets).map_err(|_| fmt::Error)? {
                separate(f)?;
                let oid = Oid::standard(attribute.number);
                match self.values {
                    Values::Discreet => octets_only(f, &oid, None, "=", None, attribute.value.len())?,
                    Values::AsTheyAre | Values::Revealed(_) => {
                        by_number(f, &oid, "=", None, attribute.value)?;
                    }
                }
                before = Some(Oid::standard(attribute.number));
            }
            return Ok(before);
        }
        let mut before = last;
        for item in items {
            let default = before.map_or(0, |before| joined_to(&before, &item.oid));
            let operator = if joined(item) == default { "=" } else { "+=" };
            separate(f)?;
            self.item(f, item, operator)?;
            before = Some(item.oid);
        }
        Ok(before)
    }

    fn item(&self, f: &mut fmt::Formatter<'_>, item: &Item<'_>, operator: &str) -> fmt::Result {
        let mut revealed = [0; VALUE_OCTETS_MAX];
        let known = item.attribute.filter(|attribute| {
            let tag_can_be_said = item.tag.is_none_or(|tag| tag <= TAG_MAX);
            item.shape == Shape::Known && tag_can_be_said && is_itself(self.dictionary, attribute)
        });
        let by_name = known.and_then(|attribute| {
            let plain = match (attribute.encryption(), self.values) {
                (_, Values::Discreet) if is_secret(attribute) => return None,
                (Encryption::None, _) => item.value,
                (_, Values::Revealed(hop)) => item.plain(hop, &mut revealed).ok()?.octets(),
                (_, Values::AsTheyAre | Values::Discreet) => return None,
            };
            Some((attribute, print_value(attribute, plain)?))
        });
        match by_name {
            Some((attribute, value)) => {
                f.write_str(attribute.name())?;
                if let Some(tag) = item.tag {
                    write!(f, ":{tag}")?;
                }
                write!(f, " {operator} {value}")
            }
            None if matches!(self.values, Values::Discreet) => {
                octets_only(f, &item.oid, known, operator, item.tag, item.value.len())
            }
            None => by_number(f, &item.oid, operator, item.tag, item.value),
        }
    }
}

impl fmt::Display for PrintedAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut scratch = Scratch::default();
        let mut walk = Walk::new(self.dictionary, self.attributes, &mut scratch).peekable();
        let mut begun = false;
        let mut separate = |f: &mut fmt::Formatter<'_>| {
            let separator = if begun { self.separator } else { "" };
            begun = true;
            f.write_str(separator)
        };
        let (mut items, mut last) = (Vec::new(), None);
        while let Some(item) = walk.next() {
            items.push(item);
            if walk.peek().is_none_or(|next| next.joined == 0) {
                last = self.unit(f, &items, last, &mut separate)?;
                items.clear();
            }
        }
        Ok(())
    }
}

/// Whether the attribute's name leads back to it: `Attr-` begins a number, and a name of old may be another's now.
fn is_itself(dictionary: &Dictionary, attribute: &Attribute) -> bool {
    let number = attribute.name().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("Attr-"));
    !number && !attribute.internal() && dictionary.attribute(attribute.name()) == Some(attribute)
}

/// Whether an attribute's value may not stand in a log: what the dictionary calls encrypted; of the standard ones passwords
/// and keys, what proves a password, since it can be guessed at leisure, EAP-Message, which may hold either, and State,
/// which whoever has it can present (RFC 2865 §5.24). Of vendors' attributes, which anybody's dictionary may add, names
/// have to tell; a pair of name and value may hold anything.
fn is_secret(attribute: &Attribute) -> bool {
    attribute.encrypted()
        || match *attribute.oid().parts() {
            [number] => STANDARD_SECRETS.contains(&number),
            _ => {
                let name = attribute.name().as_bytes();
                let says =
                    |word: &&[u8]| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
                VENDORS_SECRETS.iter().any(says)
            }
        }
}

/// User-Password, CHAP-Password, State, CHAP-Challenge, ARAP-Password, EAP-Message, ARAP-Challenge-Response,
/// EAP-Key-Name, Digest-Response, Digest-Response-Auth, Digest-HA1, PKM-Auth-Key.
const STANDARD_SECRETS: [u32; 12] = [2, 3, 24, 60, 70, 79, 84, 102, 103, 106, 121, 143];
const VENDORS_SECRETS: [&[u8]; 7] = [b"passw", b"-key", b"mpkey", b"psk", b"secret", b"chap", b"avpair"];

fn octets_only(
    f: &mut fmt::Formatter<'_>,
    oid: &Oid,
    known: Option<&Attribute>,
    operator: &str,
    tag: Option<u8>,
    octets: usize,
) -> fmt::Result {
    match known {
        Some(attribute) => f.write_str(attribute.name())?,
        None => write!(f, "Attr-{oid}")?,
    }
    if let Some(tag) = tag {
        write!(f, ":{tag}")?;
    }
    write!(f, " {operator} <{octets} octets>")
}

fn by_number(
    f: &mut fmt::Formatter<'_>,
    oid: &Oid,
    operator: &str,
    tag: Option<u8>,
    value: &[u8],
) -> fmt::Result {
    write!(f, "Attr-{oid} {operator} ")?;
    match tag {
        Some(tag) => {
            write!(f, "0x{tag:02x}")?;
            value.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
        }
        None => hexadecimal_into(f, value),
    }
}
