//! The dictionaries that FreeRADIUS 3 comes with, as Debian packages them, are read whole.
//!
//! They are another's work and never part of this repository: `scripts/install-peers` installs the package.

use std::path::{Path, PathBuf};
use ulna_config::FileSystem;
use ulna_core::dictionary::{DataType, Dictionary, Encryption};

const FOLDER: &str = "/usr/share/freeradius";

fn load(dictionary: &mut Dictionary, file: &Path) {
    let name = file.to_str().expect("the package's names are ASCII");
    dictionary.load(name, &mut FileSystem).unwrap_or_else(|error| panic!("{error}"));
}

fn files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(FOLDER).unwrap_or_else(|error| {
        panic!("{FOLDER}: {error}: scripts/install-peers installs freeradius-common")
    });
    let files = folder.map(|file| file.expect("the folder can be read").path());
    let mut files: Vec<_> = files
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dictionary")))
        .collect();
    files.sort();
    files
}

#[test]
fn debians_dictionary_is_read_whole() {
    let mut dictionary = Dictionary::default();
    load(&mut dictionary, &Path::new(FOLDER).join("dictionary"));
    // Every ATTRIBUTE line of the files that it includes, counted by grep, less names that stand there twice.
    assert!(dictionary.attributes().count() > 7_000, "{}", dictionary.attributes().count());
    let oid = |name: &str| dictionary.attribute(name).map(|attribute| attribute.oid().to_string());
    assert_eq!(oid("Cisco-AVPair").as_deref(), Some("26.9.1"));
    assert_eq!(oid("WiMAX-Source-Port").as_deref(), Some("26.24757.28.11.5.4"));
    assert_eq!(oid("FreeRADIUS-802.1X-Anonce").as_deref(), Some("245.26.11344.1"));
    assert_eq!(oid("USR-Channel").as_deref(), Some("26.429.48952"));
    let attribute = |name: &str| dictionary.attribute(name).expect("it is there");
    assert_eq!(attribute("MS-MPPE-Send-Key").encryption(), Encryption::TunnelPassword);
    assert_eq!(attribute("Ascend-Send-Secret").encryption(), Encryption::AscendSecret);
    assert_eq!(attribute("MS-CHAP-Response").data_type(), DataType::Octets { length: Some(50) });
    assert!(attribute("EAP-Message").concatenated() && attribute("Tunnel-Type").tagged());
    let formats = [(429, "4,0"), (8164, "2,2"), (4846, "2,1"), (24757, "1,1,c"), (9, "1,1")];
    for (vendor, format) in formats {
        assert_eq!(dictionary.vendor_format(vendor).to_string(), format, "{vendor}");
    }
}

#[test]
fn debians_dictionary_is_read_on_top_of_ours() {
    let mut dictionary = Dictionary::built_in();
    load(&mut dictionary, &Path::new(FOLDER).join("dictionary"));
    assert_eq!(dictionary.numbered(1).map(|attribute| attribute.name()), Some("User-Name"));
}

#[test]
fn each_file_is_read() {
    let files = files();
    assert!(files.len() >= 237, "the package has 237 files, found {}", files.len());
    let mut whole = Dictionary::default();
    load(&mut whole, &Path::new(FOLDER).join("dictionary"));
    let mut errors = Vec::new();
    for file in &files {
        // Each on top of all that the main file includes: some name attributes that others define.
        let mut dictionary = whole.clone();
        if let Err(error) = dictionary.load(file.to_str().expect("ASCII"), &mut FileSystem) {
            errors.push(error.to_string());
        }
    }
    // One file, which nothing includes, names values of an attribute that exists nowhere; FreeRADIUS refuses it, too.
    let wrong = format!("{FOLDER}/dictionary.freedhcp:238: attribute `FreeDHCP-Opcode` is not defined");
    assert_eq!(errors, [wrong]);
}
