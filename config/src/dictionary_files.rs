//! Where dictionaries are: files, and those that they include beside them.

use std::io::ErrorKind;
use std::path::Path;
use ulna_core::dictionary::{DictionaryFile, DictionaryFiles, Unreadable};

/// Names are paths; what a file includes is relative to its own folder.
#[derive(Debug, Clone, Copy)]
pub struct FileSystem;

impl DictionaryFiles for FileSystem {
    fn open(&mut self, name: &str, from: Option<&str>) -> Result<DictionaryFile, Unreadable> {
        let folder = from.and_then(|from| Path::new(from).parent()).unwrap_or(Path::new(""));
        // An absolute name stays what it is.
        let path = folder.join(name);
        let octets = std::fs::read(&path).map_err(|error| {
            let missing = error.kind() == ErrorKind::NotFound;
            if missing { Unreadable::Missing } else { Unreadable::Failed(error.to_string().into()) }
        })?;
        let text = String::from_utf8(octets).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            Unreadable::Failed(format!("the octet at offset {place} begins no UTF-8 character").into())
        })?;
        Ok(DictionaryFile { path: path.display().to_string().into(), text })
    }
}
