//! How many octets a session has carried, each way: two attributes that are one number of 64 bits. RFC 2866 §5.3 and
//! §5.4, RFC 2869 §5.1 and §5.2.

use crate::packet::{Attributes, number};

/// Octets carried, as far as a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OctetCounts {
    /// From the user: Acct-Input-Octets and Acct-Input-Gigawords.
    pub input: Option<u64>,
    /// To the user: Acct-Output-Octets and Acct-Output-Gigawords.
    pub output: Option<u64>,
}

impl OctetCounts {
    /// What these attributes say. Of several of a number the first counts; one that has not four octets is an invalid
    /// attribute and as good as none (RFC 6929 §2.8).
    pub fn of(attributes: Attributes<'_>) -> OctetCounts {
        let [mut input, mut input_wraps, mut output, mut output_wraps] = [None::<u32>; 4];
        for attribute in attributes {
            let place = match attribute.number {
                number::ACCT_INPUT_OCTETS => &mut input,
                number::ACCT_INPUT_GIGAWORDS => &mut input_wraps,
                number::ACCT_OUTPUT_OCTETS => &mut output,
                number::ACCT_OUTPUT_GIGAWORDS => &mut output_wraps,
                _ => continue,
            };
            if let (None, Ok(octets)) = (*place, attribute.value.try_into()) {
                *place = Some(u32::from_be_bytes(octets));
            }
        }
        OctetCounts { input: whole(input, input_wraps), output: whole(output, output_wraps) }
    }
}

/// The whole number. Gigawords say how often the counter has wrapped around 2^32; without the counter itself they say
/// no number.
fn whole(octets: Option<u32>, wraps: Option<u32>) -> Option<u64> {
    octets.map(|octets| u64::from(wraps.unwrap_or(0)) << 32 | u64::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(octets: &[u8]) -> (Option<u64>, Option<u64>) {
        let counts = OctetCounts::of(Attributes::parse(octets).expect("the boundaries hold"));
        (counts.input, counts.output)
    }

    const INPUT: [u8; 6] = [42, 6, 0x80, 0, 0, 1];
    const OUTPUT: [u8; 6] = [43, 6, 0xff, 0xff, 0xff, 0xff];

    #[test]
    fn checklist_15_gigawords_and_octets_are_one_number() {
        let wrapped = [&INPUT[..], &[52, 6, 0, 0, 0, 2], &OUTPUT, &[53, 6, 0xff, 0xff, 0xff, 0xff]].concat();
        assert_eq!(counts(&wrapped), (Some(0x2_8000_0001), Some(u64::MAX)));
        // In any order, and each way by itself.
        let apart = [&[53, 6, 0, 0, 0, 1][..], &[52, 6, 0, 0, 0, 0], &OUTPUT, &INPUT].concat();
        assert_eq!(counts(&apart), (Some(0x8000_0001), Some(0x1_ffff_ffff)));
    }

    #[test]
    fn checklist_15_without_gigawords_the_counter_has_not_wrapped() {
        assert_eq!(counts(&INPUT), (Some(0x8000_0001), None));
        assert_eq!(counts(&OUTPUT), (None, Some(0xffff_ffff)));
        assert_eq!(counts(&[]), (None, None));
    }

    #[test]
    fn checklist_15_gigawords_alone_are_no_number() {
        assert_eq!(counts(&[52, 6, 0, 0, 0, 1, 53, 6, 0, 0, 0, 1]), (None, None));
    }

    #[test]
    fn checklist_15_an_invalid_one_is_as_good_as_none_and_the_first_counts() {
        let short = [&[42, 5, 0, 0, 1][..], &INPUT, &[42, 6, 0, 0, 0, 9], &[52, 7, 0, 0, 0, 0, 1]].concat();
        assert_eq!(counts(&short), (Some(0x8000_0001), None));
    }
}
