//! Attributes that a configuration sets: made once, written into many packets.
//!
//! Most are the same in every packet and kept as octets, only to be copied. Those that are hidden depend on secret,
//! authenticator and salt: they are kept plain, and hidden and written anew for each packet. RFC 2865 §5.2,
//! RFC 2868 §3.5, RFC 2548 §2.4.2. Knows no packet: whoever writes one takes the [`Piece`]s.

use super::hidden::Sealing;
use super::text::{self, Assignment, Form, Part, TextError, begins_unit};
use crate::dictionary::{Dictionary, Encryption};
use crate::packet::{AUTHENTICATOR_OCTETS, Oid, PACKET_OCTETS_MAX, Secret, hidden};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// Attributes in order, ready to be written.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Preset {
    units: Vec<Unit>,
    /// Of all units that are not hidden, one after the other.
    plain: Vec<u8>,
    /// Of all units that are.
    held: Vec<Held>,
    octets: usize,
}

/// What cannot be told apart on the wire: an attribute, or the run of them that TLVs of one container take.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    /// What it is replaced by: vendors' attributes by those of the same vendor and number.
    replaced_by: Oid,
    hidden: bool,
    /// Its octets, or those of its attributes that are held.
    range: Range<usize>,
}

/// One attribute that is hidden, or stands in a container with one that is.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    oid: Oid,
    form: Option<Form>,
    tag: Option<u8>,
    apart: bool,
    /// Plain, wiped when dropped.
    value: Zeroizing<Vec<u8>>,
}

/// The next attributes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'p> {
    /// To be copied.
    Plain(&'p [u8]),
    /// To be written with [`write_hidden`].
    Hidden(&'p [Held]),
}

/// See [`Preset::over`].
#[derive(Debug, Clone)]
pub struct Pieces<'p> {
    below: &'p Preset,
    above: &'p Preset,
    /// Units given out, first of those below, then of those above.
    taken: usize,
}

/// A preset of nothing.
pub static NOTHING: Preset = Preset { units: Vec::new(), plain: Vec::new(), held: Vec::new(), octets: 0 };

impl Preset {
    /// Makes them ready. Plain values that are to be hidden are wiped where they stood.
    ///
    /// # Errors
    /// What cannot be written, even into a packet that has nothing else.
    pub fn new(dictionary: &Dictionary, mut assignments: Vec<Assignment<'_>>) -> Result<Preset, TextError> {
        let made = Preset::of(dictionary, &assignments);
        for assignment in &mut assignments {
            if assignment.is_hidden() {
                assignment.value.zeroize();
            }
        }
        made
    }

    fn of(dictionary: &Dictionary, assignments: &[Assignment<'_>]) -> Result<Preset, TextError> {
        // How long a hidden value is does not depend on what hides it.
        let secret = Secret::new(b"measure").expect("it has octets");
        let hop = hidden::Hop { secret: &secret, request_authenticator: &[0; AUTHENTICATOR_OCTETS] };
        let mut sealing = Sealing { hop, salt: 0 };
        let mut measured = Zeroizing::new(Vec::with_capacity(PACKET_OCTETS_MAX));
        text::write(dictionary, assignments, Some(sealing.clone()), &mut measured)?;

        let mut preset = Preset::default();
        let mut rest = assignments;
        while let Some(first) = rest.first() {
            let length = 1 + rest.windows(2).take_while(|pair| !begins_unit(&pair[0], &pair[1])).count();
            let (unit, behind) = rest.split_at(length);
            let hidden = unit.iter().any(Assignment::is_hidden);
            let range = if hidden {
                let begin = preset.held.len();
                preset.held.extend(unit.iter().map(Held::from));
                measured.clear();
                write_hidden(dictionary, &preset.held[begin..], &mut sealing, &mut measured)
                    .expect("it was read by this dictionary");
                preset.octets += measured.len();
                begin..preset.held.len()
            } else {
                let begin = preset.plain.len();
                text::write(dictionary, unit, None, &mut preset.plain)?;
                begin..preset.plain.len()
            };
            preset.units.push(Unit { replaced_by: replaced_by(&first.oid), hidden, range });
            rest = behind;
        }
        preset.plain.shrink_to_fit();
        preset.octets += preset.plain.len();
        Ok(preset)
    }

    /// How many octets all of them have in a packet, headers included: the same in each.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// The octets of those that are the same in every packet.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The numbers of those that are hidden in each packet.
    pub fn hidden(&self) -> impl Iterator<Item = &Oid> {
        self.held.iter().map(|held| &held.oid)
    }

    /// Those of `below` that this one does not set as well, then its own. A vendor's attribute only replaces those of
    /// the same vendor and number.
    pub fn over<'p>(&'p self, below: &'p Preset) -> Pieces<'p> {
        Pieces { below, above: self, taken: 0 }
    }

    /// Whether an attribute of these numbers is replaced by one of these.
    pub fn sets(&self, replaced: &Oid) -> bool {
        self.units.iter().any(|unit| {
            let own = &unit.replaced_by;
            // Octets of a whole Vendor-Specific, by number, replace all that may stand in one.
            own.first() == replaced.first() && own.common_depth(replaced) == own.depth().min(replaced.depth())
        })
    }

    fn piece(&self, unit: &Unit) -> Piece<'_> {
        let range = unit.range.clone();
        if unit.hidden { Piece::Hidden(&self.held[range]) } else { Piece::Plain(&self.plain[range]) }
    }
}

impl<'p> Iterator for Pieces<'p> {
    type Item = Piece<'p>;

    fn next(&mut self) -> Option<Piece<'p>> {
        while let Some(unit) = self.below.units.get(self.taken) {
            self.taken += 1;
            if !self.above.sets(&unit.replaced_by) {
                return Some(self.below.piece(unit));
            }
        }
        let unit = self.above.units.get(self.taken - self.below.units.len())?;
        self.taken += 1;
        Some(self.above.piece(unit))
    }
}

/// Hides and writes what a [`Piece`] holds behind what `out` holds, as many octets each time. `sealing` is one for the whole packet, as each salt
/// must be unlike all others (RFC 2868 §3.5).
///
/// # Errors
/// [`OtherDictionary`]; what may stand behind `out` then is no attribute.
pub fn write_hidden(
    dictionary: &Dictionary,
    held: &[Held],
    sealing: &mut Sealing<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OtherDictionary> {
    let parts = held.iter().map(|held| Part {
        oid: held.oid,
        form: held.form,
        tag: held.tag,
        apart: held.apart,
        value: &held.value,
    });
    text::write_parts(dictionary, parts, Some(sealing), out).map(|_| ()).map_err(|_| OtherDictionary)
}

/// It was made under a dictionary that has such an attribute, or has it so, and this is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherDictionary;

/// Two attributes of which one replaces the other have the same numbers up to here.
fn replaced_by(oid: &Oid) -> Oid {
    let depth = match *oid.parts() {
        [26, ..] => 3,
        [241..=246, 26, ..] => 4,
        [241..=246, ..] => 2,
        _ => 1,
    };
    oid.ancestor(depth.min(oid.depth()))
}

impl From<&Assignment<'_>> for Held {
    fn from(assignment: &Assignment<'_>) -> Held {
        let form = assignment.form();
        // Of a hidden value nobody can say beforehand whether it would be taken to begin with a tag.
        let tagged = form.is_some_and(|form| form.tagged && form.encryption != Encryption::None);
        Held {
            oid: assignment.oid,
            form,
            tag: assignment.tag.or(tagged.then_some(0)),
            apart: assignment.apart,
            value: Zeroizing::new(assignment.value.clone()),
        }
    }
}

impl fmt::Debug for Held {
    /// Without its value, which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attr-{} = …", self.oid)
    }
}

impl fmt::Debug for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preset").field("plain", &self.plain).field("held", &self.held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{Scratch, Shape, Walk};
    use crate::packet::hidden::Hop;
    use crate::packet::{Attributes, VALUE_OCTETS_MAX};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    fn dictionary() -> Dictionary {
        let mut dictionary = Dictionary::built_in();
        let more = "VENDOR Example 32473\nBEGIN-VENDOR Example\nATTRIBUTE Example-Box 1 tlv\n\
                    ATTRIBUTE Example-Key 1.1 octets encrypt=2\nATTRIBUTE Example-Name 1.2 string\n\
                    END-VENDOR Example\nATTRIBUTE Example-Hidden-Text 200 string has_tag,encrypt=1\n";
        dictionary.extend(more).expect("well-formed");
        dictionary
    }

    fn preset(text: &str) -> Preset {
        let dictionary = dictionary();
        let assignments = text::parse(&dictionary, text).unwrap_or_else(|error| panic!("{error}"));
        Preset::new(&dictionary, assignments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As a packet has them, hidden from this salt on, and what whoever shares the secret reads.
    fn written(above: &Preset, below: &Preset, salt: u16) -> (Vec<u8>, String) {
        let dictionary = dictionary();
        let secret = Secret::new(b"testing123").expect("it has octets");
        let hop = Hop { secret: &secret, request_authenticator: &[5; 16] };
        let mut sealing = Sealing { hop, salt };
        let mut out = Vec::new();
        for piece in above.over(below) {
            match piece {
                Piece::Plain(octets) => out.extend_from_slice(octets),
                Piece::Hidden(held) => {
                    write_hidden(&dictionary, held, &mut sealing, &mut out).expect("it was made by it");
                }
            }
        }
        let attributes = Attributes::parse(&out).expect("what we write are attributes");
        let read = format!("{}", text::print(&dictionary, attributes).revealed(hop));
        (out, read)
    }

    #[test]
    fn a_set_attribute_replaces_all_of_its_number() {
        let user = preset("Reply-Message = a, Session-Timeout = 1, Reply-Message = b");
        let set = preset("Reply-Message = x, Class = 0x63, Reply-Message = y");
        let (octets, _) = written(&set, &user, 0);
        assert_eq!(octets, [27, 6, 0, 0, 0, 1, 18, 3, b'x', 25, 3, b'c', 18, 3, b'y']);
        assert_eq!(written(&NOTHING, &user, 0).0, user.plain());
        assert_eq!(written(&user, &NOTHING, 0).0, user.plain());
        assert_eq!(NOTHING.over(&NOTHING).count(), 0);
        assert_eq!((user.octets(), NOTHING.octets()), (12, 0));
    }

    #[test]
    fn a_vendors_attribute_replaces_those_of_its_vendor_and_number_hidden_or_not() {
        let user = preset(
            "MS-MPPE-Send-Key = 0x01, Cisco-AVPair = \"a=1\", Tunnel-Password:1 = old, Cisco-AVPair = \"b=2\"",
        );
        let set = preset("Tunnel-Password:2 = new, Cisco-AVPair = \"c=3\"");
        let (_, read) = written(&set, &user, 0);
        assert_eq!(read, "MS-MPPE-Send-Key = 0x01, Tunnel-Password:2 = \"new\", Cisco-AVPair = \"c=3\"");
        // Who writes a whole Vendor-Specific by number means all of them.
        let (_, read) = written(&preset("Attr-26 = 0x000000090103"), &user, 0);
        assert_eq!(read, "Tunnel-Password:1 = \"old\", Attr-26 = 0x000000090103");
    }

    #[test]
    fn what_is_hidden_is_hidden_anew_and_salts_of_a_packet_differ() {
        let user = preset("Tunnel-Password:1 = one, Session-Timeout = 1, Tunnel-Password:2 = two");
        let set = preset("MS-MPPE-Recv-Key = 0x0102, Ascend-Send-Secret = three");
        let (first, read) = written(&set, &user, 0x7fff);
        assert_eq!(
            read,
            "Tunnel-Password:1 = \"one\", Session-Timeout = 1, Tunnel-Password:2 = \"two\", \
             MS-MPPE-Recv-Key = 0x0102, Ascend-Send-Secret = \"three\""
        );
        assert_eq!(first.len(), user.octets() + set.octets());
        let (again, read_again) = written(&set, &user, 7);
        assert!(again != first && read_again == read);
        let dictionary = dictionary();
        let mut scratch = Scratch::default();
        let attributes = Attributes::parse(&first).expect("what we write are attributes");
        let mut salts = vec![];
        for item in Walk::new(&dictionary, attributes, &mut scratch) {
            assert_eq!(item.shape, Shape::Known);
            let encryption = item.attribute.map(crate::dictionary::Attribute::encryption);
            if encryption == Some(Encryption::TunnelPassword) {
                salts.push([item.value[0], item.value[1]]);
            }
        }
        // RFC 2868 §3.5: the first bit is set, also where the count passes it.
        assert_eq!(salts, [[0xff, 0xff], [0x80, 0x00], [0x80, 0x01]]);
    }

    #[test]
    fn tlvs_beside_a_hidden_one_stay_in_its_container() {
        let both = preset("Example-Name = a, Example-Key = 0x01, Example-Name += b");
        let (octets, read) = written(&both, &NOTHING, 0);
        assert_eq!(read, "Example-Name = \"a\", Example-Key = 0x01, Example-Name += \"b\"");
        assert_eq!(Attributes::parse(&octets).map(Iterator::count), Ok(2));
        assert_eq!(both.plain().len(), 2 + 4 + 2 + 3);
    }

    #[test]
    fn a_hidden_text_that_may_do_without_a_tag_has_one_always() {
        // Its first octet, hidden, may be taken for a tag or not: how long the attribute is would depend on it.
        let hidden = preset("Example-Hidden-Text = x");
        let (octets, read) = written(&hidden, &NOTHING, 0);
        assert_eq!((octets.len(), octets[2], &*read), (2 + 1 + 16, 0, "Example-Hidden-Text:0 = \"x\""));
        assert_eq!(hidden.octets(), octets.len());
    }

    #[test]
    fn the_longest_values_fit() {
        for (name, max) in
            [("Tunnel-Password:31", 239), ("MS-MPPE-Send-Key", 239), ("Ascend-Send-Secret", 16)]
        {
            let hexadecimal = "61".repeat(max);
            let text = if name.starts_with("MS") {
                format!("{name} = 0x{hexadecimal}")
            } else {
                format!("{name} = \"{}\"", "a".repeat(max))
            };
            let (octets, read) = written(&preset(&text), &NOTHING, 0);
            assert!(octets.len() <= VALUE_OCTETS_MAX + 2);
            assert_eq!(read, text);
        }
    }

    #[test]
    fn no_plain_value_is_printed() {
        let debug = format!("{:?}", preset("Tunnel-Password:1 = secretive, Session-Timeout = 1"));
        assert_eq!(debug, "Preset { plain: [27, 6, 0, 0, 0, 1], held: [Attr-69 = …], .. }");
        let dictionary = dictionary();
        let assignments = text::parse(&dictionary, "User-Password = secretive").expect("well-formed");
        assert_eq!(format!("{assignments:?}"), "[User-Password:None = None (apart: false, at 0)]");
    }
}
