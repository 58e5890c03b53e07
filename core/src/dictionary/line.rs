//! What the lines of a dictionary mean: `ATTRIBUTE`, `VALUE`, `VENDOR`, and what begins and ends.

use super::load::Fault;
use super::{Attribute, DataType, Dictionary, Encryption, Flags, NamedValue, Vendor};
use crate::packet::{Oid, VendorFormat, number};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Within what a line stands.
#[derive(Default)]
pub(super) struct Scope {
    /// What has begun and not ended, outermost first.
    open: Vec<Open>,
    /// The last attribute whose numbers did not begin with a dot: those that do stand within it.
    last: Option<Oid>,
}

struct Open {
    name: Box<str>,
    what: What,
    /// The numbers before those of the attributes within.
    oid: Oid,
    line: usize,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum What {
    Vendor,
    Tlv,
    /// FreeRADIUS 4 wraps its dictionary of RADIUS in this; it means nothing here.
    Protocol,
}

impl Scope {
    /// What a file that ends here has left open.
    pub fn end(&self) -> Result<(), (usize, Fault)> {
        match self.open.last() {
            Some(open) => Err((open.line, Fault::Unclosed(open.name.clone()))),
            None => Ok(()),
        }
    }

    fn prefix(&self) -> Option<Oid> {
        self.open.iter().rfind(|open| open.what != What::Protocol).map(|open| open.oid)
    }

    fn close(&mut self, name: &str, what: What) -> Result<(), Fault> {
        match self.open.last() {
            Some(open) if open.what == what && open.name.eq_ignore_ascii_case(name) => {
                self.open.pop();
                self.last = None;
                Ok(())
            }
            Some(_) | None => Err(Fault::Unopened(name.into())),
        }
    }
}

impl Dictionary {
    pub(super) fn line(
        &mut self,
        scope: &mut Scope,
        line: usize,
        keyword: &str,
        fields: &[&str],
    ) -> Result<(), Fault> {
        match (keyword, fields) {
            ("ATTRIBUTE", [name, numbers, data_type]) => {
                self.attribute_line(scope, name, numbers, data_type, "")
            }
            ("ATTRIBUTE", [name, numbers, data_type, flags]) => {
                self.attribute_line(scope, name, numbers, data_type, flags)
            }
            ("VALUE", [attribute, name, number]) => self.value_line(attribute, name, number),
            ("ALIAS", [name, attribute]) => self.alias_line(name, attribute),
            ("VENDOR", [name, number]) => self.vendor_line(name, number, VendorFormat::RECOMMENDED),
            ("VENDOR", [name, number, format]) => {
                let bad = || Fault::VendorFormat((*format).into());
                let format = format.strip_prefix("format=").ok_or_else(bad)?.parse().map_err(|_| bad())?;
                self.vendor_line(name, number, format)
            }
            ("BEGIN-VENDOR", [name]) => self.begin_vendor(scope, line, name, None),
            ("BEGIN-VENDOR", [name, within]) => {
                let within = within.strip_prefix("format=").or_else(|| within.strip_prefix("parent="));
                let within = within.ok_or(Fault::Fields(FORM_BEGIN_VENDOR))?;
                self.begin_vendor(scope, line, name, Some(within))
            }
            ("END-VENDOR", [name]) => scope.close(name, What::Vendor),
            ("BEGIN-TLV", [name]) => {
                let attribute = self.attribute_in_any_case(name);
                let attribute = attribute.ok_or_else(|| Fault::UnknownAttribute((*name).into()))?;
                if attribute.data_type != DataType::Tlv {
                    return Err(Fault::NotAContainer(attribute.oid));
                }
                scope.open.push(Open { name: (*name).into(), what: What::Tlv, oid: attribute.oid, line });
                scope.last = None;
                Ok(())
            }
            ("END-TLV", [name]) => scope.close(name, What::Tlv),
            ("BEGIN-PROTOCOL", [name]) if name.eq_ignore_ascii_case("RADIUS") && scope.open.is_empty() => {
                let oid = Oid::standard(0);
                scope.open.push(Open { name: (*name).into(), what: What::Protocol, oid, line });
                Ok(())
            }
            ("END-PROTOCOL", [name]) if name.eq_ignore_ascii_case("RADIUS") => {
                scope.close(name, What::Protocol)
            }
            ("PROTOCOL", [name, _]) if name.eq_ignore_ascii_case("RADIUS") => Ok(()),
            ("ATTRIBUTE", _) => Err(Fault::Fields("ATTRIBUTE name number type [flags]")),
            ("VALUE", _) => Err(Fault::Fields("VALUE attribute name number")),
            ("ALIAS", _) => Err(Fault::Fields("ALIAS name attribute")),
            ("VENDOR", _) => Err(Fault::Fields("VENDOR name number [format=t,l[,c]]")),
            ("BEGIN-VENDOR", _) => Err(Fault::Fields(FORM_BEGIN_VENDOR)),
            ("END-VENDOR", _) => Err(Fault::Fields("END-VENDOR name")),
            ("BEGIN-TLV", _) => Err(Fault::Fields("BEGIN-TLV attribute")),
            ("END-TLV", _) => Err(Fault::Fields("END-TLV attribute")),
            ("$INCLUDE" | "$INCLUDE-", _) => Err(Fault::Fields("$INCLUDE file")),
            (
                "PROTOCOL" | "BEGIN-PROTOCOL" | "END-PROTOCOL" | "DEFINE" | "STRUCT" | "MEMBER" | "ENUM"
                | "FLAGS",
                _,
            ) => Err(Fault::LaterFormat(keyword.into())),
            (other, _) => Err(Fault::UnknownKeyword(other.into())),
        }
    }

    fn vendor_line(&mut self, name: &str, number: &str, format: VendorFormat) -> Result<(), Fault> {
        let found = whole(number).and_then(|found| u32::try_from(found).ok()).filter(|found| *found != 0);
        let number = found.ok_or_else(|| Fault::Number(number.into()))?;
        check_name(name)?;
        // A later text may mean another vendor by this name; the attributes of the earlier one keep theirs.
        if self.vendor_named(name).is_some_and(|there| there.number != number && there.layer == self.layer) {
            return Err(Fault::DuplicateName(name.into()));
        }
        self.vendor_numbers.insert(name.into(), number);
        self.vendors.insert(number, Vendor { name: name.into(), number, format, layer: self.layer });
        Ok(())
    }

    fn begin_vendor(
        &mut self,
        scope: &mut Scope,
        line: usize,
        name: &str,
        within: Option<&str>,
    ) -> Result<(), Fault> {
        let vendor = self.vendor_named(name).ok_or_else(|| Fault::UnknownVendor(name.into()))?.number;
        let outer = match within {
            None => Oid::standard(number::VENDOR_SPECIFIC),
            Some(within) => {
                let attribute = self.attribute_in_any_case(within);
                let attribute = attribute.ok_or_else(|| Fault::UnknownAttribute(within.into()))?;
                if !matches!(attribute.data_type, DataType::ExtendedVendorSpecific | DataType::VendorSpecific)
                {
                    return Err(Fault::MisplacedType(attribute.data_type, attribute.oid));
                }
                attribute.oid
            }
        };
        let oid = outer.child(vendor).ok_or(Fault::TooDeep)?;
        scope.open.push(Open { name: name.into(), what: What::Vendor, oid, line });
        scope.last = None;
        Ok(())
    }

    fn attribute_line(
        &mut self,
        scope: &mut Scope,
        name: &str,
        numbers: &str,
        data_type: &str,
        flags: &str,
    ) -> Result<(), Fault> {
        check_name(name)?;
        let data_type = DataType::named(data_type).ok_or_else(|| Fault::UnknownType(data_type.into()))?;
        let (flags, vendor) = self.flags(flags, data_type)?;
        let within = match numbers.strip_prefix('.') {
            Some(_) => Some(scope.last.ok_or_else(|| Fault::Number(numbers.into()))?),
            // FreeRADIUS 1 named the vendor at the end of the line.
            None => vendor.map_or_else(
                || Ok(scope.prefix()),
                |vendor| Oid::standard(number::VENDOR_SPECIFIC).child(vendor).map(Some).ok_or(Fault::TooDeep),
            )?,
        };
        let oid = path(within, numbers.strip_prefix('.').unwrap_or(numbers))?;
        if !numbers.starts_with('.') {
            scope.last = Some(oid);
        }
        self.check_place(&oid, data_type)?;
        if flags.concatenated
            && (oid.depth() != 1 || !matches!(data_type, DataType::Octets { .. } | DataType::Text))
        {
            return Err(Fault::MisplacedFlag("concat".into()));
        }
        self.define(name, oid, data_type, flags)
    }

    /// The flags, and the vendor if one is among them.
    fn flags(&self, text: &str, data_type: DataType) -> Result<(Flags, Option<u32>), Fault> {
        let mut flags = Flags::default();
        let mut vendor = None;
        for flag in text.split(',').filter(|flag| !flag.is_empty()) {
            match flag {
                "has_tag" => flags.tagged = true,
                "encrypt=1" => flags.encryption = Encryption::UserPassword,
                "encrypt=2" => flags.encryption = Encryption::TunnelPassword,
                "encrypt=3" => flags.encryption = Encryption::AscendSecret,
                "concat" => flags.concatenated = true,
                "virtual" | "internal" => flags.internal = true,
                // That values repeat within one attribute, and that a value is not to be logged, changes no octets.
                "array" | "secret" => {}
                other => match self.vendor_named(other) {
                    Some(found) => vendor = Some(found.number),
                    None => return Err(Fault::UnknownFlag(other.into())),
                },
            }
        }
        let octets = matches!(data_type, DataType::Text | DataType::Octets { .. });
        // A block of 16 octets, and one that is padded with zeros, would not tell how long a number is.
        if flags.encryption == Encryption::AscendSecret && !octets {
            return Err(Fault::MisplacedFlag("encrypt=3".into()));
        }
        let tag = matches!(data_type, DataType::Text | DataType::Octets { length: None } | DataType::Integer);
        if flags.tagged && !tag {
            return Err(Fault::MisplacedFlag("has_tag".into()));
        }
        let plain = !flags.tagged && flags.encryption == Encryption::None;
        if flags.concatenated && !plain {
            return Err(Fault::MisplacedFlag("concat".into()));
        }
        // Only the whole of an attribute can begin with a tag or be hidden.
        if data_type.is_container() && (!plain || flags.concatenated) {
            return Err(Fault::MisplacedFlag(text.into()));
        }
        Ok((flags, vendor))
    }

    /// Whether an attribute of this type can stand there.
    fn check_place(&self, oid: &Oid, data_type: DataType) -> Result<(), Fault> {
        let out_of_range = || Err(Fault::Number(alloc::format!("{oid}").into()));
        let misplaced = || Err(Fault::MisplacedType(data_type, *oid));
        let octet = |number: u32| (1..=255).contains(&number);
        // The attribute in which a TLV stands is one of those that hold TLVs.
        let container =
            |self_: &Self, parent: Oid| match self_.at(&parent).map(|attribute| attribute.data_type) {
                Some(DataType::Tlv) => Ok(()),
                Some(_) | None => Err(Fault::NotAContainer(parent)),
            };
        let expected = match *oid.parts() {
            [26] => Some(DataType::VendorSpecific),
            [241..=244] => Some(DataType::Extended),
            [245 | 246] => Some(DataType::LongExtended),
            [241..=246, 26] => Some(DataType::ExtendedVendorSpecific),
            _ => None,
        };
        match (expected, data_type) {
            (Some(expected), found) if expected == found => return Ok(()),
            // Ascend's old attributes stand at 241 to 246: whoever loads them loses extended attributes by name only.
            (Some(DataType::Extended | DataType::LongExtended), found) if !found.is_container() => {
                return Ok(());
            }
            (Some(_), _)
            | (
                None,
                DataType::VendorSpecific
                | DataType::Extended
                | DataType::LongExtended
                | DataType::ExtendedVendorSpecific,
            ) => return misplaced(),
            (None, _) => {}
        }
        match *oid.parts() {
            // RFC 3575 §2.1: attribute type 0 is not to be used.
            [] | [0] | [26, _] | [241..=246, 26, _] => out_of_range(),
            [_] => Ok(()),
            [26, vendor, number, ref tlvs @ ..] => {
                let Some(vendor) = self.vendor(vendor) else {
                    return Err(Fault::UnknownVendor(alloc::format!("{vendor}").into()));
                };
                if number > vendor.format.type_max() || !tlvs.iter().all(|number| octet(*number)) {
                    return out_of_range();
                }
                if tlvs.is_empty() { Ok(()) } else { container(self, parent(oid)) }
            }
            [241..=246, 26, vendor, ref rest @ ..] => {
                if self.vendor(vendor).is_none() {
                    return Err(Fault::UnknownVendor(alloc::format!("{vendor}").into()));
                }
                if !rest.iter().all(|number| octet(*number)) {
                    return out_of_range();
                }
                if rest.len() == 1 { Ok(()) } else { container(self, parent(oid)) }
            }
            [first, ref rest @ ..] => {
                if !rest.iter().all(|number| octet(*number)) || first == 0 {
                    return out_of_range();
                }
                if rest.len() == 1 && (241..=246).contains(&first) {
                    Ok(())
                } else {
                    container(self, parent(oid))
                }
            }
        }
    }

    fn define(&mut self, name: &str, oid: Oid, data_type: DataType, flags: Flags) -> Result<(), Fault> {
        let layer = self.layer;
        let known = self.by_name.get(name).or_else(|| self.by_folded_name.get(&*name.to_ascii_lowercase()));
        if let Some(place) = known.copied() {
            let there = &mut self.attributes[place];
            if there.oid != oid && there.layer == layer {
                return Err(Fault::DuplicateName(name.into()));
            }
            // A later text may say it otherwise. What its values are called stays as long as it holds integers.
            let former = core::mem::replace(&mut there.oid, oid);
            there.data_type = data_type;
            there.flags = flags;
            there.layer = layer;
            if !data_type.is_integer() {
                there.values.clear();
                there.value_names.clear();
            }
            if *there.name != *name {
                let former = core::mem::replace(&mut there.name, name.into());
                self.by_name.remove(&former);
                self.by_name.insert(name.into(), place);
            }
            if former != oid && self.by_oid.get(&former) == Some(&place) {
                // Another name of the former number steps in.
                let other = self.attributes.iter().position(|attribute| attribute.oid == former);
                self.lead(former, other);
            }
            self.lead(oid, Some(place));
            return Ok(());
        }
        let place = self.attributes.len();
        self.by_name.insert(name.into(), place);
        self.by_folded_name.insert(name.to_ascii_lowercase().into(), place);
        self.attributes.push(Attribute {
            name: name.into(),
            oid,
            data_type,
            flags,
            values: BTreeMap::new(),
            value_names: BTreeMap::new(),
            layer,
        });
        // Of several names of one attribute the last is printed: FreeRADIUS's dictionaries begin with names of old.
        self.lead(oid, Some(place));
        Ok(())
    }

    fn alias_line(&mut self, name: &str, attribute: &str) -> Result<(), Fault> {
        check_name(name)?;
        let meant = match attribute.parse::<Oid>() {
            Ok(oid) => self.at(&oid),
            Err(_) => self.attribute_in_any_case(attribute),
        };
        let meant = meant.ok_or_else(|| Fault::UnknownAttribute(attribute.into()))?.clone();
        let printed = self.by_oid[&meant.oid];
        self.define(name, meant.oid, meant.data_type, meant.flags)?;
        let place = self.by_name[name];
        // An alias is read, and what it stands for is printed.
        self.lead(meant.oid, Some(printed));
        let alias = &mut self.attributes[place];
        alias.values = meant.values;
        alias.value_names = meant.value_names;
        Ok(())
    }

    pub(super) fn value_line(&mut self, attribute: &str, name: &str, number: &str) -> Result<(), Fault> {
        let place = self.by_name.get(attribute);
        let place = place.or_else(|| self.by_folded_name.get(&*attribute.to_ascii_lowercase()));
        let place = *place.ok_or_else(|| Fault::UnknownAttribute(attribute.into()))?;
        if name.is_empty()
            || name.len() > NAME_OCTETS_MAX
            || !name.bytes().all(|octet| octet.is_ascii_graphic())
        {
            return Err(Fault::Name(name.into()));
        }
        let layer = self.layer;
        let attribute = &mut self.attributes[place];
        let max = match (attribute.data_type.integer_max(), attribute.data_type) {
            (Some(max), _) => max,
            // FreeRADIUS's dictionaries name types of events that are the first octets of longer values. They read
            // them and make no use of them; so do we.
            (None, DataType::Octets { .. }) => {
                return whole(number).map(|_| ()).ok_or(Fault::Number(number.into()));
            }
            (None, _) => return Err(Fault::NotAnInteger(attribute.name.clone())),
        };
        let number =
            whole(number).filter(|found| *found <= max).ok_or_else(|| Fault::Number(number.into()))?;
        match attribute.values.get(name).copied() {
            Some(there) if there.number == number => return Ok(()),
            Some(there) if there.layer == layer => return Err(Fault::DuplicateValue(name.into())),
            Some(there) => forget_value_name(attribute, name, there.number),
            None => {}
        }
        attribute.values.insert(name.into(), NamedValue { number, layer });
        attribute.value_names.entry(number).or_insert_with(|| name.into());
        Ok(())
    }
}

/// A name that is to mean another number is not printed for its former one any more; another of that may be.
fn forget_value_name(attribute: &mut Attribute, name: &str, number: u64) {
    if attribute.value_names.get(&number).is_none_or(|printed| **printed != *name) {
        return;
    }
    attribute.value_names.remove(&number);
    let mut others = attribute.values.iter();
    if let Some((other, _)) = others.find(|(other, value)| value.number == number && ***other != *name) {
        attribute.value_names.insert(number, other.clone());
    }
}

/// These numbers, decimal or hexadecimal, between dots.
fn path(within: Option<Oid>, numbers: &str) -> Result<Oid, Fault> {
    let mut path = within;
    for text in numbers.split('.') {
        let number = whole(text).and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or_else(|| Fault::Number(numbers.into()))?;
        path = Some(match path {
            Some(path) => path.child(number).ok_or(Fault::TooDeep)?,
            None => Oid::new(&[number]).expect("one number is not too deep"),
        });
    }
    path.ok_or_else(|| Fault::Number(numbers.into()))
}

fn parent(oid: &Oid) -> Oid {
    oid.parent().expect("it stands within another")
}

/// Names stand in other people's texts and logs: nothing in them may end a name or begin a value.
fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.bytes().all(is_name_octet) {
        return Err(Fault::Name(name.into()));
    }
    Ok(())
}

/// Whether a name may have this octet and stand without quotes.
pub(crate) fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_./:+".contains(&octet)
}

/// A number of 64 bits, decimal or, after `0x`, hexadecimal; digits only.
fn whole(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

const FORM_BEGIN_VENDOR: &str = "BEGIN-VENDOR name [format=Extended-Vendor-Specific-1]";
const NAME_OCTETS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::super::DictionaryError;
    use super::*;
    use alloc::string::ToString;

    fn error(text: &str) -> (usize, Fault) {
        let error = Dictionary::default().extend(text).expect_err("something is wrong");
        (error.line, error.fault)
    }

    fn read(text: &str) -> Dictionary {
        let mut dictionary = Dictionary::default();
        dictionary.extend(text).expect("well-formed");
        dictionary
    }

    fn oid(dictionary: &Dictionary, name: &str) -> alloc::string::String {
        dictionary.attribute(name).expect("defined").oid().to_string()
    }

    #[test]
    fn attributes_stand_where_their_numbers_lead() {
        let dictionary = read(
            "VENDOR Acme 32473 format=2,1\nVENDOR Other 0x9\n\
             ATTRIBUTE Extended-Vendor-Specific-5 245.26 evs\nATTRIBUTE Plain 0x0a integer\n\
             ATTRIBUTE Extended 241.7 tlv\nATTRIBUTE Inner .1 string\nATTRIBUTE Other-Inner .2 octets\n\
             ATTRIBUTE Whole 26.9.3 string\nATTRIBUTE Old 4 string Other\n\
             BEGIN-VENDOR Acme\nATTRIBUTE Acme-Tlv 300 tlv\nATTRIBUTE Acme-Deep 300.1 tlv\n\
             BEGIN-TLV Acme-Deep\nATTRIBUTE Acme-Leaf 7 byte\nEND-TLV Acme-Deep\nATTRIBUTE Acme-Last 301 short\n\
             END-VENDOR Acme\n\
             BEGIN-VENDOR Acme format=Extended-Vendor-Specific-5\nATTRIBUTE Acme-Long 1 octets\nEND-VENDOR Acme\n",
        );
        for (name, expected) in [
            ("Plain", "10"),
            ("Extended", "241.7"),
            ("Inner", "241.7.1"),
            ("Other-Inner", "241.7.2"),
            ("Whole", "26.9.3"),
            ("Old", "26.9.4"),
            ("Acme-Tlv", "26.32473.300"),
            ("Acme-Leaf", "26.32473.300.1.7"),
            ("Acme-Last", "26.32473.301"),
            ("Acme-Long", "245.26.32473.1"),
        ] {
            assert_eq!(oid(&dictionary, name), expected, "{name}");
        }
        assert_eq!(dictionary.vendor_format(32473).to_string(), "2,1");
        assert_eq!(dictionary.vendor_format(1), VendorFormat::RECOMMENDED);
    }

    #[test]
    fn each_wrong_line_is_named_with_its_fault() {
        for (text, fault) in [
            ("STUFF x", Fault::UnknownKeyword("STUFF".into())),
            ("STRUCT x", Fault::LaterFormat("STRUCT".into())),
            ("PROTOCOL DHCPv4 2", Fault::LaterFormat("PROTOCOL".into())),
            ("ATTRIBUTE A 1", Fault::Fields("ATTRIBUTE name number type [flags]")),
            ("ATTRIBUTE A 1 string has_tag extra", Fault::Fields("ATTRIBUTE name number type [flags]")),
            ("VALUE A B", Fault::Fields("VALUE attribute name number")),
            ("ATTRIBUTE A 0 string", Fault::Number("0".into())),
            ("ATTRIBUTE A +1 string", Fault::Number("+1".into())),
            ("ATTRIBUTE A 0x string", Fault::Number("0x".into())),
            ("ATTRIBUTE A 4294967296 string", Fault::Number("4294967296".into())),
            ("ATTRIBUTE A 1. string", Fault::Number("1.".into())),
            ("ATTRIBUTE A .1 string", Fault::Number(".1".into())),
            ("ATTRIBUTE A=B 1 string", Fault::Name("A=B".into())),
            ("ATTRIBUTE A 1 colour", Fault::UnknownType("colour".into())),
            ("ATTRIBUTE A 1 evs", Fault::MisplacedType(DataType::ExtendedVendorSpecific, Oid::standard(1))),
            ("ATTRIBUTE A 241 tlv", Fault::MisplacedType(DataType::Tlv, Oid::standard(241))),
            ("ATTRIBUTE A 26 string", Fault::MisplacedType(DataType::Text, Oid::standard(26))),
            ("ATTRIBUTE A 1 string colour", Fault::UnknownFlag("colour".into())),
            ("ATTRIBUTE A 1 byte has_tag", Fault::MisplacedFlag("has_tag".into())),
            ("ATTRIBUTE A 1 integer concat", Fault::MisplacedFlag("concat".into())),
            ("ATTRIBUTE A 1 tlv encrypt=2", Fault::MisplacedFlag("encrypt=2".into())),
            ("ATTRIBUTE A 1 integer encrypt=3", Fault::MisplacedFlag("encrypt=3".into())),
            ("VENDOR A 0", Fault::Number("0".into())),
            ("VENDOR A 1 format=3,1", Fault::VendorFormat("format=3,1".into())),
            ("BEGIN-VENDOR A", Fault::UnknownVendor("A".into())),
            ("ATTRIBUTE A 26.9.1 string", Fault::UnknownVendor("9".into())),
            ("END-VENDOR A", Fault::Unopened("A".into())),
            ("BEGIN-TLV A", Fault::UnknownAttribute("A".into())),
            ("ATTRIBUTE A 1.2 string", Fault::NotAContainer(Oid::standard(1))),
            ("ATTRIBUTE A 241.1.2 string", Fault::NotAContainer("241.1".parse().expect("an oid"))),
            ("ATTRIBUTE A 241.1.2.3.4.5.6.7.8.9.10.11.12 tlv", Fault::TooDeep),
            ("ALIAS A B", Fault::UnknownAttribute("B".into())),
            ("VALUE A B 1", Fault::UnknownAttribute("A".into())),
            ("$INCLUDE other", Fault::Unreadable("other".into(), super::super::Unreadable::Missing)),
        ] {
            assert_eq!(error(&alloc::format!("# comment\n\n{text} # more")), (3, fault), "{text}");
        }
        let two = |first: &str, second: &str| error(&alloc::format!("{first}\n{second}\n"));
        assert_eq!(
            two("ATTRIBUTE A 1 string", "ATTRIBUTE A 2 string"),
            (2, Fault::DuplicateName("A".into()))
        );
        assert_eq!(two("VENDOR A 1", "VENDOR A 2"), (2, Fault::DuplicateName("A".into())));
        assert_eq!(two("ATTRIBUTE A 1 string", "VALUE A B 1"), (2, Fault::NotAnInteger("A".into())));
        assert_eq!(two("ATTRIBUTE A 1 byte", "VALUE A B 256"), (2, Fault::Number("256".into())));
        assert_eq!(two("VENDOR A 1", "BEGIN-VENDOR A"), (2, Fault::Unclosed("A".into())));
        assert_eq!(
            error("ATTRIBUTE A 1 integer\nVALUE A B 1\nVALUE A B 1\nVALUE A B 2"),
            (4, Fault::DuplicateValue("B".into()))
        );
        assert_eq!(
            error("VENDOR A 1\nBEGIN-VENDOR A\nATTRIBUTE B 256 string\nEND-VENDOR A"),
            (3, Fault::Number("26.1.256".into()))
        );
        let message =
            DictionaryError { file: "own".into(), line: 3, fault: Fault::UnknownVendor("A".into()) };
        assert_eq!(message.to_string(), "own:3: vendor `A` is not defined above");
    }

    #[test]
    fn values_may_stand_before_their_attribute() {
        let dictionary = read("VALUE A long 0x0a\nATTRIBUTE A 1 integer\nVALUE A short 10");
        let attribute = dictionary.attribute("A").expect("defined");
        assert_eq!(attribute.value("short"), Some(10));
        // The first name of a number is the printed one, in the order in which they are added.
        assert_eq!(attribute.value_name(10), Some("short"));
        assert_eq!(attribute.value("long"), Some(10));
    }

    #[test]
    fn several_names_lead_to_one_attribute_and_the_last_but_aliases_is_printed() {
        let dictionary =
            read("ATTRIBUTE First 1 string\nATTRIBUTE Second 1 string\nALIAS Third 1\nALIAS second 1");
        for name in ["First", "second", "Third"] {
            assert_eq!(oid(&dictionary, name), "1");
        }
        assert_eq!(dictionary.numbered(1).map(Attribute::name), Some("second"));
    }

    #[test]
    fn a_later_text_wins_over_an_earlier_one() {
        let mut dictionary = read(
            "ATTRIBUTE A 1 integer\nVALUE A One 1\nVALUE A Uno 1\nVALUE A Two 2\nATTRIBUTE B 2 string\nVENDOR V 7",
        );
        dictionary
            .extend("ATTRIBUTE A 3 integer\nVALUE A One 4\nATTRIBUTE C 2 octets\nVENDOR V 8\nVENDOR V 8 format=2,2")
            .expect("a later text may say it otherwise");
        let attribute = dictionary.attribute("A").expect("defined");
        assert_eq!(
            (attribute.oid(), attribute.value("One"), attribute.value("Two")),
            (Oid::standard(3), Some(4), Some(2))
        );
        assert_eq!((attribute.value_name(1), attribute.value_name(4)), (Some("Uno"), Some("One")));
        assert_eq!(dictionary.numbered(1), None);
        assert_eq!(dictionary.numbered(2).map(Attribute::name), Some("C"));
        assert_eq!(dictionary.vendor_named("V").map(Vendor::number), Some(8));
        assert_eq!(dictionary.vendor_format(8).to_string(), "2,2");
    }
}
