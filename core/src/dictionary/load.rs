//! Reads dictionaries: files in FreeRADIUS 3's format, which may include others, one definition a line.
//!
//! Where files are is not known here: whoever loads hands in [`DictionaryFiles`]. What the lines mean is in `line`.

use super::Dictionary;
use super::line::Scope;
use crate::packet::{DataType, Oid};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Where included files come from.
pub trait DictionaryFiles {
    /// The file that is called `name` in the file of path `from`, or in none where loading begins.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn open(&mut self, name: &str, from: Option<&str>) -> Result<DictionaryFile, Unreadable>;
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryFile {
    /// What messages call it, and what files included from it are relative to.
    pub path: Box<str>,
    /// What stands in it.
    pub text: String,
}

/// Why a file is not there to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// There is none; `$INCLUDE-` does not mind.
    Missing,
    /// There is one, and it cannot be read.
    Failed(Box<str>),
}

/// A line of a dictionary that does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryError {
    /// The file in which it stands; empty where loading begins.
    pub file: Box<str>,
    /// Its line, from 1; 0 where loading begins.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What may be wrong with a line of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It begins with none of the words that we read.
    UnknownKeyword(Box<str>),
    /// A definition of FreeRADIUS 4, whose dictionaries are others.
    LaterFormat(Box<str>),
    /// It has fewer or more fields than its keyword asks for: how it should look.
    Fields(&'static str),
    /// A number is out of range or no number.
    Number(Box<str>),
    /// A name has other characters than letters, digits and `-_./:+`, or too many.
    Name(Box<str>),
    /// The type is none that we know.
    UnknownType(Box<str>),
    /// This type cannot stand at this number.
    MisplacedType(DataType, Oid),
    /// The flag is none that we know.
    UnknownFlag(Box<str>),
    /// The flag does not go with the attribute's type or place.
    MisplacedFlag(Box<str>),
    /// A vendor's attributes cannot be written like this.
    VendorFormat(Box<str>),
    /// An attribute or vendor of this name stands there already, with another number.
    DuplicateName(Box<str>),
    /// The value, or alias, is for an attribute that nothing defines.
    UnknownAttribute(Box<str>),
    /// No line before this one defines the vendor.
    UnknownVendor(Box<str>),
    /// Nothing stands within this attribute: it is missing or no TLV.
    NotAContainer(Oid),
    /// More numbers than we follow.
    TooDeep,
    /// The value is for an attribute that does not hold integers.
    NotAnInteger(Box<str>),
    /// This value name stands there already for the same attribute, with another number.
    DuplicateValue(Box<str>),
    /// An end without its beginning, or of something else than what began last.
    Unopened(Box<str>),
    /// A beginning that the file never ends.
    Unclosed(Box<str>),
    /// A file that cannot be read.
    Unreadable(Box<str>, Unreadable),
    /// Files that include each other, or nearly so.
    IncludedTooDeep(Box<str>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::UnknownKeyword(_) => f.write_str(
                // The word is not shown: a file that is no dictionary at all may hold a secret.
                "expected ATTRIBUTE, VALUE, VENDOR, BEGIN-VENDOR, END-VENDOR, BEGIN-TLV, END-TLV, ALIAS or $INCLUDE",
            ),
            Fault::LaterFormat(word) => {
                write!(f, "`{word}` is of FreeRADIUS 4; dictionaries of FreeRADIUS 3 are read")
            }
            Fault::Fields(form) => write!(f, "expected `{form}`"),
            Fault::Number(found) => write!(f, "`{found}` is not a number in range"),
            Fault::Name(found) => write!(f, "`{found}` cannot be a name"),
            Fault::UnknownType(found) => write!(f, "unknown type `{found}`"),
            Fault::MisplacedType(data_type, oid) => {
                write!(f, "attribute {oid} cannot be of type {data_type}")
            }
            Fault::UnknownFlag(found) => write!(f, "unknown flag `{found}`"),
            Fault::MisplacedFlag(flag) => write!(f, "`{flag}` does not go with this type or number"),
            Fault::VendorFormat(found) => write!(f, "`{found}` is not a format such as `format=2,1`"),
            Fault::DuplicateName(name) => write!(f, "`{name}` is defined twice, with two numbers"),
            Fault::UnknownAttribute(name) => write!(f, "attribute `{name}` is not defined"),
            Fault::UnknownVendor(name) => write!(f, "vendor `{name}` is not defined above"),
            Fault::NotAContainer(oid) => write!(f, "attribute {oid} is not defined above as of type tlv"),
            Fault::TooDeep => write!(f, "more than {} numbers", crate::packet::OID_DEPTH_MAX),
            Fault::NotAnInteger(name) => write!(f, "attribute `{name}` does not hold integers"),
            Fault::DuplicateValue(name) => write!(f, "value `{name}` is defined twice with two numbers"),
            Fault::Unopened(name) => write!(f, "`{name}` ends here and is not what began last"),
            Fault::Unclosed(name) => write!(f, "`{name}` begins here and never ends"),
            Fault::Unreadable(name, Unreadable::Missing) => write!(f, "there is no file `{name}`"),
            Fault::Unreadable(name, Unreadable::Failed(why)) => write!(f, "`{name}` cannot be read: {why}"),
            Fault::IncludedTooDeep(name) => {
                write!(f, "`{name}` is included {INCLUDES_MAX} files deep: do they include each other?")
            }
        }
    }
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line != 0 {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        write!(f, "{}", self.fault)
    }
}

impl core::error::Error for DictionaryError {}

impl Dictionary {
    /// Adds what `text` defines to what is there, and wins over it. Includes nothing.
    ///
    /// # Errors
    /// The first line that is wrong; the lines before it have been added.
    pub fn extend(&mut self, text: &str) -> Result<(), DictionaryError> {
        self.extend_from("dictionary", text)
    }

    /// [`Dictionary::extend`] with a name for messages.
    ///
    /// # Errors
    /// The first line that is wrong; the lines before it have been added.
    pub fn extend_from(&mut self, file: &str, text: &str) -> Result<(), DictionaryError> {
        let file = DictionaryFile { path: file.into(), text: text.into() };
        Loader::new(self, &mut Nowhere).whole(&file)
    }

    /// Adds what the file of this name and those that it includes define to what is there, and wins over it.
    ///
    /// # Errors
    /// The first line that is wrong; the lines before it have been added.
    pub fn load(&mut self, name: &str, files: &mut dyn DictionaryFiles) -> Result<(), DictionaryError> {
        let unreadable = |unreadable| DictionaryError {
            file: "".into(),
            line: 0,
            fault: Fault::Unreadable(name.into(), unreadable),
        };
        let file = files.open(name, None).map_err(unreadable)?;
        Loader::new(self, files).whole(&file)
    }
}

/// What cannot include.
struct Nowhere;

impl DictionaryFiles for Nowhere {
    fn open(&mut self, _: &str, _: Option<&str>) -> Result<DictionaryFile, Unreadable> {
        Err(Unreadable::Missing)
    }
}

/// One file with all that it includes.
struct Loader<'l> {
    dictionary: &'l mut Dictionary,
    files: &'l mut dyn DictionaryFiles,
    /// VALUEs that stand before their ATTRIBUTE.
    early_values: Vec<EarlyValue>,
    includes: usize,
}

/// A VALUE whose attribute was not defined yet.
struct EarlyValue {
    file: Box<str>,
    line: usize,
    fields: [Box<str>; 3],
}

impl<'l> Loader<'l> {
    fn new(dictionary: &'l mut Dictionary, files: &'l mut dyn DictionaryFiles) -> Self {
        dictionary.layer += 1;
        Loader { dictionary, files, early_values: Vec::new(), includes: 0 }
    }

    fn whole(mut self, file: &DictionaryFile) -> Result<(), DictionaryError> {
        self.file(file)?;
        for EarlyValue { file, line, fields: [attribute, name, number] } in self.early_values {
            let added = self.dictionary.value_line(&attribute, &name, &number);
            added.map_err(|fault| DictionaryError { file, line, fault })?;
        }
        Ok(())
    }

    fn file(&mut self, file: &DictionaryFile) -> Result<(), DictionaryError> {
        // What a file begins it ends itself: an included file begins outside of every vendor.
        let mut scope = Scope::default();
        for (place, line) in file.text.lines().enumerate() {
            self.line(file, &mut scope, place + 1, line.split('#').next().unwrap_or_default())?;
        }
        scope.end().map_err(|(line, fault)| DictionaryError { file: file.path.clone(), line, fault })
    }

    fn line(
        &mut self,
        file: &DictionaryFile,
        scope: &mut Scope,
        number: usize,
        line: &str,
    ) -> Result<(), DictionaryError> {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { return Ok(()) };
        let mut fields = [""; FIELDS_MAX];
        let mut count = 0;
        for word in words {
            // One more than any keyword takes is enough to be refused.
            if let Some(field) = fields.get_mut(count) {
                *field = word;
                count += 1;
            }
        }
        let fields = &fields[..count];
        let error = |fault| DictionaryError { file: file.path.clone(), line: number, fault };
        match (keyword, fields) {
            ("$INCLUDE", [name]) => self.include(file, name, false, error),
            ("$INCLUDE-", [name]) => self.include(file, name, true, error),
            ("VALUE", [attribute, name, value])
                if self.dictionary.attribute_in_any_case(attribute).is_none() =>
            {
                let fields = [(*attribute).into(), (*name).into(), (*value).into()];
                self.early_values.push(EarlyValue { file: file.path.clone(), line: number, fields });
                Ok(())
            }
            _ => self.dictionary.line(scope, number, keyword, fields).map_err(error),
        }
    }

    fn include(
        &mut self,
        from: &DictionaryFile,
        name: &str,
        may_be_missing: bool,
        error: impl Fn(Fault) -> DictionaryError,
    ) -> Result<(), DictionaryError> {
        if self.includes == INCLUDES_MAX {
            return Err(error(Fault::IncludedTooDeep(name.into())));
        }
        let file = match self.files.open(name, Some(&from.path)) {
            Ok(file) => file,
            Err(Unreadable::Missing) if may_be_missing => return Ok(()),
            Err(unreadable) => return Err(error(Fault::Unreadable(name.into(), unreadable))),
        };
        self.includes += 1;
        let read = self.file(&file);
        self.includes -= 1;
        read
    }
}

/// The law of dictionaries, for any text whatever: it is read or refused by line, and what was read holds together. A NUL
/// ends one file and begins the next; the first is read, and includes others by their number. The entry point of the
/// fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn dictionary_law(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pieces: Vec<&str> = text.split('\0').collect();
    let mut dictionary = Dictionary::default();
    let read = dictionary.load("0", &mut Pieces { pieces: &pieces, opened: 0 });
    if let Err(error) = &read {
        let number: usize = error.file.parse().expect("an error names its file");
        assert!((1..=pieces[number].lines().count()).contains(&error.line), "and one of its lines: {error}");
    }
    for attribute in dictionary.attributes() {
        let named = dictionary.attribute(attribute.name()).expect("each attribute is found by its name");
        assert_eq!(named, attribute, "a name means one attribute");
        assert!(dictionary.attribute_in_any_case(&attribute.name().to_ascii_uppercase()).is_some());
        let numbered = dictionary.at(&attribute.oid()).expect("each attribute's numbers lead somewhere");
        assert_eq!(numbered.oid(), attribute.oid());
        assert!(attribute.oid().vendor().is_none_or(|vendor| dictionary.vendor(vendor).is_some()));
        assert!(!attribute.concatenated() || attribute.oid().depth() == 1);
        for (name, value) in &attribute.values {
            assert!(
                attribute.value_names.contains_key(&value.number),
                "each number with names has a first one"
            );
            assert_eq!(attribute.value_in_any_case(name), Some(value.number));
        }
        for (number, name) in &attribute.value_names {
            assert_eq!(attribute.value(name), Some(*number), "what is printed is read");
        }
        // The shortest room there is, that of TLVs nested as deep as we follow, still has octets.
        assert!(attribute.internal() || attribute.value_octets_max() >= 1, "a value has an octet at least");
    }
    for vendor in dictionary.vendors() {
        assert_eq!(dictionary.vendor_named(vendor.name()).map(super::Vendor::number), Some(vendor.number()));
    }
    // What was read once is read again on top of itself and changes nothing.
    if read.is_ok() {
        let before: Vec<_> = dictionary.attributes().map(|a| (a.name().to_owned(), a.oid())).collect();
        let again = dictionary.load("0", &mut Pieces { pieces: &pieces, opened: 0 });
        again.expect("a dictionary can be read twice");
        let after: Vec<_> = dictionary.attributes().map(|a| (a.name().to_owned(), a.oid())).collect();
        assert_eq!(before, after);
    }
}

/// Files by their number.
struct Pieces<'t> {
    pieces: &'t [&'t str],
    opened: usize,
}

impl DictionaryFiles for Pieces<'_> {
    fn open(&mut self, name: &str, _: Option<&str>) -> Result<DictionaryFile, Unreadable> {
        self.opened += 1;
        // Files that include one another many times would be read without end.
        if self.opened > 2 * INCLUDES_MAX {
            return Err(Unreadable::Failed("that is enough".into()));
        }
        let piece = name.parse::<usize>().ok().and_then(|number| self.pieces.get(number));
        let text = piece.ok_or(Unreadable::Missing)?;
        Ok(DictionaryFile { path: name.into(), text: text.to_string() })
    }
}

/// No file of a dictionary is this far from the one where loading began.
const INCLUDES_MAX: usize = 16;
/// More than any keyword takes.
const FIELDS_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by name, each folder's own.
    struct Shelf(&'static [(&'static str, &'static str)]);

    impl DictionaryFiles for Shelf {
        fn open(&mut self, name: &str, from: Option<&str>) -> Result<DictionaryFile, Unreadable> {
            let folder = from.and_then(|from| from.rsplit_once('/')).map_or("", |(folder, _)| folder);
            let path = if folder.is_empty() { name.to_string() } else { alloc::format!("{folder}/{name}") };
            let found = self.0.iter().find(|(known, _)| *known == path).ok_or(Unreadable::Missing)?;
            match found.1 {
                "cannot" => Err(Unreadable::Failed("permission denied".into())),
                text => Ok(DictionaryFile { path: path.into(), text: text.into() }),
            }
        }
    }

    fn load(files: &'static [(&'static str, &'static str)]) -> Result<Dictionary, DictionaryError> {
        let mut dictionary = Dictionary::default();
        dictionary.load(files[0].0, &mut Shelf(files)).map(|()| dictionary)
    }

    #[test]
    fn files_include_others_of_their_folder() {
        let dictionary = load(&[
            ("main", "$INCLUDE sub/one\n$INCLUDE- sub/none\nVENDOR V 9\nBEGIN-VENDOR V\n$INCLUDE sub/two\nEND-VENDOR V"),
            ("sub/one", "$INCLUDE two\nVALUE Late L 1"),
            ("sub/two", "ATTRIBUTE Late 1 integer"),
        ])
        .expect("all is there");
        let attribute = dictionary.attribute("Late").expect("defined");
        // An included file begins outside of every vendor.
        assert_eq!((attribute.oid(), attribute.value("L")), (Oid::standard(1), Some(1)));
    }

    #[test]
    fn errors_name_the_file_in_which_they_stand() {
        let error = |files| load(files).expect_err("something is wrong").to_string();
        assert!(error(&[("main", "\n$INCLUDE a"), ("a", "\n\nFOO")]).starts_with("a:3: expected ATTRIBUTE"));
        assert_eq!(error(&[("main", "$INCLUDE a")]), "main:1: there is no file `a`");
        assert_eq!(
            error(&[("main", "$INCLUDE- a"), ("a", "cannot")]),
            "main:1: `a` cannot be read: permission denied"
        );
        assert_eq!(error(&[("main", "cannot")]), "`main` cannot be read: permission denied");
        assert_eq!(
            error(&[("main", "$INCLUDE main")]),
            "main:1: `main` is included 16 files deep: do they include each other?"
        );
        assert_eq!(
            error(&[("main", "$INCLUDE a\nATTRIBUTE B 1 integer"), ("a", "# C\nVALUE C c 1")]),
            "a:2: attribute `C` is not defined"
        );
    }

    #[test]
    fn the_law_holds_for_dictionaries() {
        for text in [
            "",
            "ATTRIBUTE A 1 integer\nVALUE A b 1\nVALUE A c 1\nATTRIBUTE a 1 integer",
            "VENDOR V 9\nVENDOR W 9\nBEGIN-VENDOR W\nATTRIBUTE A 1 tlv\nATTRIBUTE B .1 byte\nEND-VENDOR W",
            "ATTRIBUTE A 1 integer\nATTRIBUTE A 1 string\nATTRIBUTE B 1 integer\nFOO",
            "ATTRIBUTE A 1 tlv\nATTRIBUTE B 1.1 tlv\nATTRIBUTE A 1 integer\nVALUE A x 9",
            "$INCLUDE 1\nVALUE A b 1\n$INCLUDE- 7\0ATTRIBUTE A 1 integer\n",
            "$INCLUDE 1\n\0\n\n$INCLUDE 2\0FOO",
            "$INCLUDE 0",
        ] {
            dictionary_law(text.as_bytes());
        }
    }
}
