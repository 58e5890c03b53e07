//! ulna's configuration: TOML in, the core's plain types out.
//!
//! A file goes four steps: `include` finds the files that belong to it, `document` parses each and knows where everything
//! stands, `section` reads typed values from the merged tables, `lower` makes [`Configuration`] of them. Each error has
//! file, line, column, what was found and what was expected, and all errors are reported at once. No secret and no
//! password is ever printed.
//!
//! The tables are walked by hand rather than through serde's derived code: that stops at the first error, names no
//! nearest key, and quotes a value that does not fit, which may be a secret.
#![forbid(unsafe_code)]

mod dictionary_files;
mod document;
mod documents;
pub mod durations;
mod error;
mod include;
mod keys;
mod law;
mod lower;
mod secret_source;
mod secret_table;
mod section;
mod shown;
mod source;

pub use dictionary_files::FileSystem;
pub use error::{ConfigErrors, Finding, Place, Warnings};
#[doc(hidden)]
pub use law::config_law;
pub use lower::RuleList;
pub use secret_table::load_secret_table;
pub use source::{RulePlace, Source};
pub use ulna_core::configuration::{Configuration, Cores};
pub use ulna_core::reserved::{RESERVED_OCTETS_MAX, reserved_octets};

use document::Report;
use documents::Documents;
use std::path::Path;
use ulna_core::dictionary::Dictionary;
use zeroize::Zeroizing;

/// Makes a configuration of the text of a file. `file_name` is for messages, and the files that the text names are relative
/// to its folder: what it includes, dictionaries, secrets. No other file is read. The same text, cores, files and
/// environment give the same configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse(text: &str, file_name: &str, cores: Cores) -> Result<(Configuration, Warnings), ConfigErrors> {
    let (configuration, warnings, _) = parse_with_source(text, file_name, cores)?;
    Ok((configuration, warnings))
}

/// The same, and what else stands in the files.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_source(
    text: &str,
    file_name: &str,
    cores: Cores,
) -> Result<(Configuration, Warnings, Source), ConfigErrors> {
    parse_by(Dictionary::built_in(), text, file_name, cores)
}

/// The same by another dictionary than the one that is built in.
fn parse_by(
    dictionary: Dictionary,
    text: &str,
    file_name: &str,
    cores: Cores,
) -> Result<(Configuration, Warnings, Source), ConfigErrors> {
    let include::Included { files, errors, warnings, .. } = include::gather(file_name, text);
    let documents = Documents::new(&files);
    let mut report = Report::default();
    files.iter().for_each(|file| report.begin_file(file.base, &file.name));
    let root = documents.parse(&mut report)?;
    warnings.into_iter().for_each(|(span, message)| report.warning(span, message));
    if !errors.is_empty() {
        // What follows from a file that is missing would only hide that it is.
        errors.into_iter().for_each(|(span, message)| report.error(span, message));
        return Err(report.finish(&documents).0);
    }
    let texts = files.iter().map(|file| file.text.as_str());
    let lowered = lower::lower(&root, texts, cores, dictionary, &mut report);
    let (errors, warnings, source) = report.finish(&documents);
    match lowered {
        Some(configuration) if errors.is_empty() => Ok((configuration, warnings, source)),
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
    let (configuration, warnings, _) = load_with_source(path, cores)?;
    Ok((configuration, warnings))
}

/// The same, and what else stands in the files.
///
/// # Errors
/// As [`load`].
pub fn load_with_source(
    path: &Path,
    cores: Cores,
) -> Result<(Configuration, Warnings, Source), ConfigErrors> {
    let file_name = path.display().to_string();
    let octets = match std::fs::read(path) {
        Ok(octets) => octets,
        Err(error) => return Err(ConfigErrors::unreadable(&file_name, format!("cannot be read: {error}"))),
    };
    match String::from_utf8(octets) {
        // The text holds secrets; core's own copies of them are wiped as well.
        Ok(text) => parse_by(Dictionary::built_in(), &Zeroizing::new(text), &file_name, cores),
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
