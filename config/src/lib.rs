//! ulna's configuration: TOML in, the core's plain types out.
//!
//! A file goes three steps: `document` parses it and knows where everything stands, `section` reads typed values
//! from its tables, `lower` makes [`Configuration`] of them. Each error has file, line, column, what was found and
//! what was expected, and all errors of a file are reported at once. No secret and no password is ever printed.
//!
//! The tables are walked by hand rather than through serde's derived code: that stops at the first error, names no
//! nearest key, and quotes a value that does not fit, which may be a secret.
#![forbid(unsafe_code)]

mod dictionary_files;
mod document;
pub mod durations;
mod error;
mod keys;
mod lower;
mod reserved;
mod section;

pub use dictionary_files::FileSystem;
pub use error::{ConfigErrors, Finding, Place, Warnings};
pub use reserved::{RESERVED_OCTETS_MAX, reserved_octets};
pub use ulna_core::configuration::{Configuration, Cores};

use document::{Document, Report};
use std::path::Path;
use zeroize::Zeroizing;

/// Makes a configuration of the text of a file. `file_name` is for messages, and the dictionaries that the text names
/// are relative to its folder: no other file is read. The same text, cores and dictionaries give the same configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse(text: &str, file_name: &str, cores: Cores) -> Result<(Configuration, Warnings), ConfigErrors> {
    let document = Document::new(file_name, text);
    let mut report = Report::default();
    let lowered = match document.parse() {
        Ok(root) => lower::lower(&root, text, file_name, cores, &mut report),
        Err(errors) => return Err(errors),
    };
    let (errors, warnings) = report.finish(&document);
    match lowered {
        Some(configuration) if errors.is_empty() => Ok((configuration, warnings)),
        Some(_) => Err(errors),
        None => {
            assert!(!errors.is_empty(), "what cannot be lowered has been reported");
            Err(errors)
        }
    }
}

/// Reads a file and makes a configuration of it.
///
/// # Errors
/// That the file cannot be read or is not UTF-8, or everything that is wrong with it.
pub fn load(path: &Path, cores: Cores) -> Result<(Configuration, Warnings), ConfigErrors> {
    let file_name = path.display().to_string();
    let octets = match std::fs::read(path) {
        Ok(octets) => octets,
        Err(error) => return Err(ConfigErrors::unreadable(&file_name, format!("cannot be read: {error}"))),
    };
    match String::from_utf8(octets) {
        // The text holds secrets; core's own copies of them are wiped as well.
        Ok(text) => parse(&Zeroizing::new(text), &file_name, cores),
        Err(error) => {
            let place = error.utf8_error().valid_up_to();
            let message = format!("is not UTF-8: the octet at offset {place} begins no character");
            Err(ConfigErrors::unreadable(&file_name, message))
        }
    }
}

/// The configuration that is served when no file is named: `config/default.toml`.
pub fn default_text() -> &'static str {
    include_str!("../default.toml")
}
