//! Values that begin with a tag, which groups the attributes of one tunnel. RFC 2868 §3.

use crate::packet::DataType;

/// The greatest tag (RFC 2868 §3.1); 0 says that none is meant.
pub const TAG_MAX: u8 = 0x1f;

/// Tag and what follows it; `None` if this value of a tagged attribute can be none.
///
/// Text and octets have no tag if their first octet is above [`TAG_MAX`] (RFC 2868 §3.3). All others always have one;
/// `salted` are those hidden with a salt, of which a tag above that says nothing and stays (§3.5).
pub fn split_tag(data_type: DataType, salted: bool, value: &[u8]) -> Option<(Option<u8>, &[u8])> {
    let (tag, rest) = match value.split_first() {
        Some((tag, rest)) => (*tag, rest),
        None => return (!salted && optional(data_type)).then_some((None, value)),
    };
    if salted || tag <= TAG_MAX {
        Some((Some(tag), rest))
    } else if optional(data_type) {
        Some((None, value))
    } else {
        None
    }
}

/// The tag that must be written before `value` so that [`split_tag`] gives both again: without one, numbers and salted
/// values get 0 (RFC 2868 §3.1 and §3.5), and so does text that would be taken to begin with one.
pub fn tag_to_write(data_type: DataType, salted: bool, tag: Option<u8>, value: &[u8]) -> Option<u8> {
    let needed = salted || !optional(data_type) || value.first().is_some_and(|first| *first <= TAG_MAX);
    tag.or(needed.then_some(0))
}

/// Whether a value of this type may do without a tag.
fn optional(data_type: DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Octets { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_do_without_a_tag_and_numbers_may_not() {
        let text = |value| split_tag(DataType::Text, false, value);
        assert_eq!(text(&[1, b'x']), Some((Some(1), &b"x"[..])));
        assert_eq!(text(&[0, b'x']), Some((Some(0), &b"x"[..])));
        assert_eq!(text(&[0x1f]), Some((Some(0x1f), &b""[..])));
        assert_eq!(text(b" x"), Some((None, &b" x"[..])));
        assert_eq!(text(b""), Some((None, &b""[..])));
        let number = |value| split_tag(DataType::Integer, false, value);
        assert_eq!(number(&[1, 0, 0, 13]), Some((Some(1), &[0, 0, 13][..])));
        assert_eq!(number(&[0x20, 0, 0, 13]), None);
        assert_eq!(number(&[]), None);
        assert_eq!(split_tag(DataType::Text, true, &[0x20, 1]), Some((Some(0x20), &[1][..])));
        assert_eq!(split_tag(DataType::Text, true, &[]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for salted in [false, true] {
            for data_type in [DataType::Text, DataType::Octets { length: None }, DataType::Integer] {
                for tag in [None, Some(0), Some(1), Some(0x1f)] {
                    for value in [&b"abc"[..], &[0x1f, 1, 2], &[0x20, 1, 2], &[0, 0, 13]] {
                        let written = tag_to_write(data_type, salted, tag, value);
                        let octets: alloc::vec::Vec<u8> =
                            written.into_iter().chain(value.iter().copied()).collect();
                        let (read, rest) = split_tag(data_type, salted, &octets).expect("we wrote it");
                        assert_eq!((read.or(Some(0)), rest), (tag.or(Some(0)), value));
                        assert!(tag.is_none() || read == tag);
                    }
                }
            }
        }
    }
}
