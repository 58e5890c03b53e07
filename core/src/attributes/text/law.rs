//! The law of text: what is printed is read, and read it prints the same.

use super::{Sealing, TextFault, parse, print, write};
use crate::attributes::WriteError;
use crate::dictionary::Dictionary;
use crate::packet::hidden::Hop;
use crate::packet::{Attributes, Secret};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The law of text, for any octets whatever: as attributes to be printed, and as text to be read; by a dictionary such as
/// [`every_kind`](crate::attributes::every_kind). The entry point of the fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn text_law(dictionary: &Dictionary, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(dictionary, &text) {
        Ok(assignments) => {
            for pair in assignments.windows(2) {
                assert!(pair[0].offset < pair[1].offset, "attributes come in the order of the text");
            }
            let mut octets = Vec::new();
            match write(dictionary, &assignments, Some(sealing(&secret())), &mut octets) {
                Ok(written) => {
                    assert_eq!(written, octets.len());
                    printed_is_read(dictionary, &octets);
                }
                Err(error) => {
                    assert!(octets.is_empty(), "what is refused leaves nothing");
                    assert!(text.is_char_boundary(error.offset), "{error}");
                }
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.offset), "an error has a place in the text: {error}");
            assert!(error.attribute.is_some() || error.fault == TextFault::NoName);
        }
    }
    let data = &data[..data.len().min(4000)];
    if Attributes::parse(data).is_ok() {
        printed_is_read(dictionary, data);
    }
}

/// Prints, reads, writes and prints again.
pub(in crate::attributes) fn printed_is_read(dictionary: &Dictionary, octets: &[u8]) {
    let secret = secret();
    let Sealing { hop, .. } = sealing(&secret);
    let text = |octets: &[u8], lines: bool, hop: Option<Hop<'_>>| {
        let attributes = Attributes::parse(octets).expect("they are attributes");
        let printed = print(dictionary, attributes);
        let printed = if lines { printed.in_lines() } else { printed };
        hop.map_or(printed, |hop| printed.revealed(hop)).to_string()
    };
    for hop in [None, Some(hop)] {
        let printed = text(octets, false, hop);
        assert!(!printed.contains(['\n', '\r', '\u{1b}', '\0']), "nothing that a log would obey");
        let read = parse(dictionary, &printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        let in_lines = parse(dictionary, &text(octets, true, hop)).expect("lines are as good as commas");
        assert_eq!(read.len(), in_lines.len());
        let mut again = Vec::new();
        match write(dictionary, &read, Some(sealing(&secret)), &mut again) {
            Ok(_) => assert_eq!(text(&again, false, hop), printed, "what was printed is read"),
            // A prefix without its trailing zeros, or attributes in one Vendor-Specific, are longer as we write them.
            Err(error) => assert!(
                matches!(error.fault, TextFault::Write(WriteError::PacketFull { .. })),
                "{printed}: {error}"
            ),
        }
    }
}

fn secret() -> Secret {
    Secret::new(b"testing123").expect("not empty")
}

fn sealing(secret: &Secret) -> Sealing<'_> {
    Sealing { hop: Hop { secret, request_authenticator: &[0x5a; 16] }, salt: 0x8001 }
}
