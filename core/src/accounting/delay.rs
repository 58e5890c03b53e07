//! How long a record has been on its way: Acct-Delay-Time. RFC 2866 §5.2.

use crate::packet::{Attributes, number};
use alloc::vec::Vec;

/// Copies attributes behind what `out` holds, Acct-Delay-Time raised by so many seconds; behind them one of that, if there is none.
/// Of several the first counts, and one that has not four octets is an invalid attribute and as good as none (RFC 6929 §2.8).
pub fn raise_delay(attributes: Attributes<'_>, seconds: u64, out: &mut Vec<u8>) {
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let mut raised = false;
    for attribute in attributes {
        let begin = out.len();
        out.extend_from_slice(&[attribute.number, (2 + attribute.value.len()) as u8]);
        out.extend_from_slice(attribute.value);
        if let (number::ACCT_DELAY_TIME, Ok(said), false) =
            (attribute.number, attribute.value.try_into(), raised)
        {
            let delay = u32::from_be_bytes(said).saturating_add(seconds);
            out[begin + 2..].copy_from_slice(&delay.to_be_bytes());
            raised = true;
        }
    }
    if !raised {
        out.extend_from_slice(&[number::ACCT_DELAY_TIME, 6]);
        out.extend_from_slice(&seconds.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(octets: &[u8], seconds: u64) -> Vec<u8> {
        let mut out = Vec::new();
        raise_delay(Attributes::parse(octets).expect("the boundaries hold"), seconds, &mut out);
        out
    }

    #[test]
    fn checklist_14_it_is_raised_where_it_stands_and_added_where_there_is_none() {
        assert_eq!(
            raised(&[1, 3, b'b', 41, 6, 0, 0, 0, 255, 44, 3, b'1'], 2),
            [1, 3, b'b', 41, 6, 0, 0, 1, 1, 44, 3, b'1']
        );
        assert_eq!(raised(&[1, 3, b'b'], 300), [1, 3, b'b', 41, 6, 0, 0, 1, 44]);
        assert_eq!(raised(&[], 0), [41, 6, 0, 0, 0, 0]);
    }

    #[test]
    fn the_first_counts_an_invalid_one_is_none_and_it_never_wraps() {
        assert_eq!(
            raised(&[41, 6, 0, 0, 0, 1, 41, 6, 0, 0, 0, 1], 1),
            [41, 6, 0, 0, 0, 2, 41, 6, 0, 0, 0, 1]
        );
        assert_eq!(raised(&[41, 3, 9], 1), [41, 3, 9, 41, 6, 0, 0, 0, 1]);
        assert_eq!(raised(&[41, 6, 255, 255, 255, 255], 1)[2..], [255; 4]);
        assert_eq!(raised(&[41, 6, 0, 0, 0, 1], u64::MAX)[2..], [255; 4]);
    }
}
