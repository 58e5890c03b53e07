//! Rows of control commands: whatever a peer has called itself, a row is one line, steers no terminal, and JSON reads it.

use proptest::prelude::*;
use ulna_core::control::rows::{Cell, Column, Row, write_row};
use ulna_core::control::{Format, ROW_OCTETS_MAX};

struct Two(Vec<u8>, u64);

impl Row for Two {
    fn columns(&self) -> &'static [Column] {
        &[Column { name: "user", width: 6 }, Column { name: "value", width: 3 }]
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        if column == 0 { Cell::Octets(&self.0) } else { Cell::Number(self.1) }
    }
}

fn written(format: Format, row: &Two) -> String {
    let mut out = String::new();
    write_row(format, row, &mut out);
    out
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_a_row_is_one_line_and_json_reads_it(
        octets in proptest::collection::vec(any::<u8>(), 0..300), value: u64,
    ) {
        let row = Two(octets, value);
        let text = written(Format::Text, &row);
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        prop_assert!(!text.starts_with(". ") && !text.chars().any(|c| c != '\n' && c.is_control()));
        prop_assert!(text.len() <= ROW_OCTETS_MAX);
        let json = written(Format::Json, &row);
        prop_assert_eq!(json.find('\n'), Some(json.len() - 1));
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        prop_assert_eq!(read["row"]["value"].as_u64(), Some(value));
        prop_assert!(read["row"]["user"].is_string());
    }
}
