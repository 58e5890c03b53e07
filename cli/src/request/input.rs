//! What a request is made of, as text: attributes and octets from arguments, files and standard input. No message shows
//! a value: it may be a password.

use std::io::Read;
use std::path::Path;

use ulna_core::attributes::text::{self, Assignment, TextError, TextFault};
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// Far more than describes a packet of 4 096 octets.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// A text of attributes and where it comes from.
pub struct Text {
    place: Place,
    text: Zeroizing<String>,
}

enum Place {
    /// The number of the argument among those with attributes, from 1.
    Argument(usize),
    File(String),
}

impl Text {
    pub fn of_file(path: &Path) -> Result<Text, String> {
        let place = Place::File(name(path));
        Ok(Text { place, text: read(path)? })
    }

    pub fn of_arguments(arguments: &[String]) -> impl Iterator<Item = Text> {
        arguments.iter().enumerate().map(|(number, text)| Text {
            place: Place::Argument(number + 1),
            text: Zeroizing::new(text.clone()),
        })
    }

    fn error(&self, error: &TextError) -> String {
        let place = match &self.place {
            Place::Argument(number) => format!("attribute argument {number}"),
            Place::File(name) => {
                let before = &self.text[..error.offset];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                format!("{name}:{line}:{column}")
            }
        };
        let attribute = error.attribute.as_ref();
        let attribute = attribute.map_or(String::new(), |name| format!("`{}`: ", name.escape_debug()));
        let hint = match (&error.fault, &self.place) {
            (TextFault::NoSeparator, Place::Argument(_)) => {
                "; a value with blanks or commas needs quotes that the shell leaves, such as 'Reply-Message = \"Hello, bob.\"'"
            }
            (TextFault::NoSeparator, Place::File(_)) => "; a value with blanks or commas needs quotes",
            _ => "",
        };
        format!("{place}: {attribute}{}{hint}", error.fault)
    }
}

/// The dictionary for what is written here: as radclient's users write them, `Message-Authenticator = 0x00` asks for one
/// and `CHAP-Password = "hello"` is computed, so both take values that no packet has.
pub fn lenient(dictionary: &Dictionary) -> Dictionary {
    let mut lenient = dictionary.clone();
    let text = "ATTRIBUTE Message-Authenticator 80 octets\nATTRIBUTE CHAP-Password 3 octets\n";
    lenient.extend(text).expect("it only gives two attributes another type");
    lenient
}

/// All attributes, in order.
pub fn assignments<'d>(dictionary: &'d Dictionary, texts: &[Text]) -> Result<Vec<Assignment<'d>>, String> {
    let mut assignments = Vec::new();
    for text in texts {
        assignments.extend(text::parse(dictionary, &text.text).map_err(|error| text.error(&error))?);
    }
    Ok(assignments)
}

/// The text of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_OCTETS_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text))
    };
    match read {
        Ok(octets) if octets as u64 > FILE_OCTETS_MAX => {
            Err(format!("{}: has more than {FILE_OCTETS_MAX} octets", name(path)))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{}: cannot be read: {error}", name(path))),
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

/// Pairs of digits, perhaps behind `0x`, with blanks and line breaks wherever they stand.
pub fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    ulna_core::dictionary::hexadecimal(&format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_read_however_they_are_laid_out() {
        assert_eq!(hexadecimal("0x01ff"), Some(vec![1, 255]));
        assert_eq!(hexadecimal("01 FF\n 00\n"), Some(vec![1, 255, 0]));
        assert_eq!(hexadecimal("01f"), None);
        assert_eq!(hexadecimal("hello"), None);
        assert_eq!(hexadecimal("0x0x01"), None);
    }
}
