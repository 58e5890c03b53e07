//! The laws that the fuzz targets assert, by the name of their target. Each lives in the room that it feeds.
//!
//! A target is one call. Its seeds lie in `seeds/NAME`; an ordinary test replays them, so that what a fuzzer once found
//! stays found without one.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use ulna_core::dictionary::Dictionary;

/// Panics where it does not hold.
pub type Law = fn(&[u8]);

/// Each target's name and law.
pub const TARGETS: &[(&str, Law)] = &[
    ("frame", ulna_core::packet::frame_law),
    ("stream_framing", ulna_core::stream::framing::framing_law),
    ("verify", ulna_core::packet::verify_law),
    ("attributes", |data| ulna_core::attributes::attributes_law(&EVERY_KIND, data)),
    ("text", |data| ulna_core::attributes::text::text_law(&EVERY_KIND, data)),
    ("dictionary", ulna_core::dictionary::dictionary_law),
    ("config", ulna_config::config_law),
];

/// Made once: it takes a thousand times as long as a law.
static EVERY_KIND: LazyLock<Dictionary> = LazyLock::new(ulna_core::attributes::every_kind);

/// The law of this name.
///
/// # Panics
/// If there is none.
pub fn law(name: &str) -> Law {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("there is no fuzz target {name}")).1
}

/// Replays files through the law of this name: what a target does when it is run without a fuzzer.
pub fn replay(name: &str) {
    let law = law(name);
    for file in std::env::args_os().skip(1) {
        let data = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        law(&data);
        println!("{}: holds", file.display());
    }
}
