//! Reads dictionary files: `ATTRIBUTE name number type [flags]` and `VALUE attribute name number`, one a line, `#`
//! begins a comment. Near to FreeRADIUS 3's format, of which the rest (vendors, `$INCLUDE`, nested types) is refused.

use super::{Attribute, DataType, Dictionary};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::fmt;

/// A line of a dictionary that does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryError {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What may be wrong with a line of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It begins with none of the words that we read.
    UnknownKeyword(Box<str>),
    /// It has fewer or more fields than its keyword asks for.
    FieldCount,
    /// An attribute's number is not one of 1 to 255, or a value's not one of 32 bits.
    Number(Box<str>),
    /// The type is none that we know.
    UnknownType(Box<str>),
    /// The flag is none that we know.
    UnknownFlag(Box<str>),
    /// An attribute of this name stands there already.
    DuplicateName(Box<str>),
    /// An attribute of this number stands there already.
    DuplicateNumber(u8),
    /// The value is for an attribute that no line before it defines.
    UnknownAttribute(Box<str>),
    /// The value is for an attribute that does not hold integers.
    NotAnInteger(Box<str>),
    /// This value name stands there already for the same attribute, with another number.
    DuplicateValue(Box<str>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::UnknownKeyword(word) => write!(f, "expected ATTRIBUTE or VALUE, found `{word}`"),
            Fault::FieldCount => {
                f.write_str("expected `ATTRIBUTE name number type [flags]` or `VALUE attribute name number`")
            }
            Fault::Number(found) => write!(f, "`{found}` is not a number in range"),
            Fault::UnknownType(found) => write!(f, "unknown type `{found}`"),
            Fault::UnknownFlag(found) => write!(f, "unknown flag `{found}`"),
            Fault::DuplicateName(name) => write!(f, "attribute `{name}` is defined twice"),
            Fault::DuplicateNumber(number) => write!(f, "attribute number {number} is defined twice"),
            Fault::UnknownAttribute(name) => write!(f, "attribute `{name}` is not defined above"),
            Fault::NotAnInteger(name) => write!(f, "attribute `{name}` does not hold integers"),
            Fault::DuplicateValue(name) => write!(f, "value `{name}` is defined twice with two numbers"),
        }
    }
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl core::error::Error for DictionaryError {}

impl Dictionary {
    /// Adds what `text` defines to what is there.
    ///
    /// # Errors
    /// The first line that is wrong, with its number; the lines before it have been added.
    pub fn extend(&mut self, text: &str) -> Result<(), DictionaryError> {
        for (place, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            self.line(line).map_err(|fault| DictionaryError { line: place + 1, fault })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), Fault> {
        let mut fields = line.split_ascii_whitespace();
        let Some(keyword) = fields.next() else { return Ok(()) };
        let fields = [fields.next(), fields.next(), fields.next(), fields.next(), fields.next()];
        match (keyword, fields) {
            ("ATTRIBUTE", [Some(name), Some(number), Some(data_type), flags, None]) => {
                self.attribute_line(name, number, data_type, flags)
            }
            ("VALUE", [Some(attribute), Some(name), Some(number), None, None]) => {
                self.value_line(attribute, name, number)
            }
            ("ATTRIBUTE" | "VALUE", _) => Err(Fault::FieldCount),
            (other, _) => Err(Fault::UnknownKeyword(other.into())),
        }
    }

    fn attribute_line(
        &mut self,
        name: &str,
        number: &str,
        data_type: &str,
        flags: Option<&str>,
    ) -> Result<(), Fault> {
        // RFC 3575 §2.1: attribute type 0 is not to be used.
        let number: u8 = match whole(number) {
            Some(number @ 1..=255) => number as u8,
            Some(_) | None => return Err(Fault::Number(number.into())),
        };
        if self.by_name.contains_key(name) {
            return Err(Fault::DuplicateName(name.into()));
        }
        if self.attributes.iter().any(|attribute| attribute.number == number) {
            return Err(Fault::DuplicateNumber(number));
        }
        let data_type = data_type_named(data_type).ok_or_else(|| Fault::UnknownType(data_type.into()))?;
        let (mut tagged, mut encrypted) = (false, false);
        for flag in flags.into_iter().flat_map(|flags| flags.split(',')) {
            match flag {
                "tagged" => tagged = true,
                "encrypted" => encrypted = true,
                other => return Err(Fault::UnknownFlag(other.into())),
            }
        }
        self.by_name.insert(name.into(), self.attributes.len());
        self.attributes.push(Attribute {
            name: name.into(),
            number,
            data_type,
            tagged,
            encrypted,
            values: BTreeMap::new(),
            value_names: BTreeMap::new(),
        });
        Ok(())
    }

    fn value_line(&mut self, attribute: &str, name: &str, number: &str) -> Result<(), Fault> {
        let place = *self.by_name.get(attribute).ok_or_else(|| Fault::UnknownAttribute(attribute.into()))?;
        let attribute = &mut self.attributes[place];
        if attribute.data_type != DataType::Integer {
            return Err(Fault::NotAnInteger(attribute.name.clone()));
        }
        let number = whole(number).ok_or_else(|| Fault::Number(number.into()))?;
        match attribute.values.get(name) {
            Some(there) if *there != number => return Err(Fault::DuplicateValue(name.into())),
            Some(_) => {}
            None => {
                attribute.values.insert(name.into(), number);
            }
        }
        attribute.value_names.entry(number).or_insert_with(|| name.into());
        Ok(())
    }
}

/// A number of 32 bits, decimal or, after `0x`, hexadecimal; digits only.
fn whole(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

fn data_type_named(name: &str) -> Option<DataType> {
    Some(match name {
        "string" => DataType::Text,
        "octets" => DataType::Octets { length: None },
        "integer" => DataType::Integer,
        "ipaddr" => DataType::Ipv4Address,
        "date" => DataType::Date,
        "ifid" => DataType::InterfaceId,
        "ipv6addr" => DataType::Ipv6Address,
        "ipv6prefix" => DataType::Ipv6Prefix,
        "vsa" => DataType::VendorSpecific,
        other => {
            let length = other.strip_prefix("octets[")?.strip_suffix(']')?;
            let length = whole(length).filter(|length| (1..=253).contains(length))?;
            DataType::Octets { length: Some(length as u8) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, Fault) {
        let error = Dictionary::default().extend(text).expect_err("the text is wrong");
        (error.line, error.fault)
    }

    #[test]
    fn each_wrong_line_is_named() {
        assert_eq!(fault("\nVENDOR x 1"), (2, Fault::UnknownKeyword("VENDOR".into())));
        assert_eq!(fault("ATTRIBUTE A 1"), (1, Fault::FieldCount));
        assert_eq!(fault("VALUE A b 1 extra"), (1, Fault::FieldCount));
        assert_eq!(fault("ATTRIBUTE A 0 string"), (1, Fault::Number("0".into())));
        assert_eq!(fault("ATTRIBUTE A 256 string"), (1, Fault::Number("256".into())));
        assert_eq!(fault("ATTRIBUTE A +1 string"), (1, Fault::Number("+1".into())));
        assert_eq!(fault("ATTRIBUTE A 1 struct"), (1, Fault::UnknownType("struct".into())));
        assert_eq!(fault("ATTRIBUTE A 1 octets[254]"), (1, Fault::UnknownType("octets[254]".into())));
        assert_eq!(fault("ATTRIBUTE A 1 string odd"), (1, Fault::UnknownFlag("odd".into())));
        assert_eq!(
            fault("ATTRIBUTE A 1 string\nATTRIBUTE A 2 string"),
            (2, Fault::DuplicateName("A".into()))
        );
        assert_eq!(fault("ATTRIBUTE A 1 string\nATTRIBUTE B 1 string"), (2, Fault::DuplicateNumber(1)));
        assert_eq!(fault("VALUE A b 1"), (1, Fault::UnknownAttribute("A".into())));
        assert_eq!(fault("ATTRIBUTE A 1 string\nVALUE A b 1"), (2, Fault::NotAnInteger("A".into())));
        assert_eq!(
            fault("ATTRIBUTE A 1 integer\nVALUE A b 1\nVALUE A b 2"),
            (3, Fault::DuplicateValue("b".into()))
        );
    }

    #[test]
    fn the_first_name_of_a_number_is_the_printed_one() {
        let mut dictionary = Dictionary::default();
        dictionary
            .extend("ATTRIBUTE A 1 integer # a comment\nVALUE A long 0x0a\nVALUE A short 10")
            .expect("well-formed");
        let attribute = dictionary.attribute("A").expect("defined");
        assert_eq!(attribute.value("short"), Some(10));
        assert_eq!(attribute.value_name(10), Some("long"));
    }
}
