//! Text in JSON (RFC 8259 §7), for records and logs. Allocates nothing.

use core::fmt::{self, Write};

/// A text that prints as a JSON string, quotes included.
#[derive(Debug, Clone, Copy)]
pub struct JsonText<'t>(pub &'t str);

/// Writes a text as it stands between the quotes of a JSON string. DEL and the C1 controls need no escape there, but a
/// terminal would obey them.
///
/// # Errors
/// Those of `out`.
pub fn escape(out: &mut impl Write, text: &str) -> fmt::Result {
    // Nearly all text is so.
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\')) {
        return out.write_str(text);
    }
    text.chars().try_for_each(|character| match character {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        control if control.is_control() => write!(out, "\\u{:04x}", control as u32),
        other => out.write_char(other),
    })
}

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        escape(f, self.0)?;
        f.write_char('"')
    }
}
