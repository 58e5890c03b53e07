//! Text in JSON (RFC 8259 §7), for records and logs. Writing allocates nothing.

use alloc::string::String;
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

/// The text that [`escape`] has written so; `None` of what it does not write.
pub fn unescape(escaped: &str) -> Option<String> {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped.chars();
    while let Some(character) = rest.next() {
        text.push(match character {
            '\\' => match rest.next()? {
                plain @ ('"' | '\\') => plain,
                'u' => {
                    let (digits, after) = rest.as_str().split_at_checked(4)?;
                    rest = after.chars();
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            },
            '"' => return None,
            other => other,
        });
    }
    Some(text)
}

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        escape(f, self.0)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_escaped_is_read_again(text in any::<String>()) {
            let mut escaped = String::new();
            escape(&mut escaped, &text).expect("memory takes it");
            prop_assert_eq!(unescape(&escaped), Some(text));
        }

        #[test]
        fn whatever_stands_there_is_read_or_refused(text in r#"[\\"u0-9a-fé]{0,12}"#) {
            let _ = unescape(&text);
        }
    }
}
