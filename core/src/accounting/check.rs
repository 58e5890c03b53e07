//! Whether a line is as it was written: each ends with a check over all octets before it.
//!
//! A crash can leave a line torn, and on file systems that write pages in any order also a hole of zeros in front of
//! lines that are whole. An end of line alone would not tell; the check does.

/// What the check begins with; eight hexadecimal digits, a quotation mark, a brace and the end of line follow.
const BEGINS: &[u8] = b",\"check\":\"";
const ENDS: &[u8] = b"\"}\n";
const DIGITS: usize = 8;

/// Closes a line whose first octets, from `start` on, are all its keys but the check.
pub(super) fn close(line: &mut alloc::vec::Vec<u8>, start: usize) {
    let check = crc32(&line[start..]);
    line.extend_from_slice(BEGINS);
    line.extend((0..DIGITS).rev().map(|place| HEXADECIMAL[(check >> (4 * place)) as usize & 15]));
    line.extend_from_slice(ENDS);
}

/// Whether this is a whole line with its end, undamaged.
fn holds(line: &[u8]) -> bool {
    let Some((checked, digits)) = parts(line) else { return false };
    let check = crc32(checked);
    (0..DIGITS).all(|place| digits[DIGITS - 1 - place] == HEXADECIMAL[(check >> (4 * place)) as usize & 15])
}

/// What a line says, of which its check was made, and that check.
fn parts(line: &[u8]) -> Option<(&[u8], &[u8; DIGITS])> {
    let (line, digits) = line.strip_suffix(ENDS)?.split_last_chunk::<DIGITS>()?;
    Some((line.strip_suffix(BEGINS)?, digits))
}

/// What a whole line says, without its check.
pub(super) fn checked(line: &[u8]) -> Option<&[u8]> {
    parts(line).map(|(checked, _)| checked)
}

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// As it was written, with its end of line.
    Whole(&'a [u8]),
    /// Torn, damaged, or never a record.
    Damaged(&'a [u8]),
}

/// The lines of a file, or of the end of one.
#[derive(Debug, Clone)]
pub struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// Those of these octets, which begin with a line.
    pub fn of(octets: &'a [u8]) -> Lines<'a> {
        Lines(octets)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|octet| *octet == b'\n').map_or(self.0.len(), |place| place + 1);
        let (line, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(if holds(line) { Line::Whole(line) } else { Line::Damaged(line) })
    }
}

/// CRC-32 as in zlib, gzip and Ethernet, so that anybody's tools can look.
pub fn crc32(octets: &[u8]) -> u32 {
    let by_one = |crc: u32, octet: &u8| TABLES[0][usize::from(crc as u8 ^ octet)] ^ crc >> 8;
    let (eights, rest) = octets.as_chunks::<8>();
    // One octet after the other each step waits for the one before; eight at once do so once.
    let crc = eights.iter().fold(u32::MAX, |crc, eight| {
        let [a, b, c, d] = crc.to_le_bytes();
        let mixed = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0]);
        let places = TABLES.iter().rev().zip(mixed.to_le_bytes());
        places.fold(0, |crc, (table, octet)| crc ^ table[usize::from(octet)])
    });
    !rest.iter().fold(crc, by_one)
}

pub(super) const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// What an octet makes of the check, and in each table what that is when one more octet of zeros has followed.
static TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { POLYNOMIAL ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][octet] = crc;
        octet += 1;
    }
    let mut place = 256;
    while place < 8 * 256 {
        let crc = tables[place / 256 - 1][place % 256];
        tables[place / 256][place % 256] = tables[0][(crc & 0xff) as usize] ^ crc >> 8;
        place += 1;
    }
    tables
};
/// That of IEEE 802.3, its bits reversed.
const POLYNOMIAL: u32 = 0xedb8_8320;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn line(content: &str) -> Vec<u8> {
        let mut line = content.as_bytes().to_vec();
        close(&mut line, 0);
        line
    }

    #[test]
    fn the_check_is_the_crc_that_all_the_world_has() {
        // The check value that catalogues of such codes give for these nine octets.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        let octets: Vec<u8> = (0..100u8).map(|n| n.wrapping_mul(151)).collect();
        for end in 0..octets.len() {
            let octet_by_octet = !octets[..end].iter().fold(u32::MAX, |crc, octet| {
                (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
            });
            assert_eq!(crc32(&octets[..end]), octet_by_octet, "of {end} octets");
        }
    }

    #[test]
    fn a_line_is_whole_or_damaged_at_each_octet() {
        let whole = line(r#"{"User-Name":"bob""#);
        assert_eq!(Lines::of(&whole).collect::<Vec<_>>(), [Line::Whole(&whole)]);
        for end in 1..whole.len() {
            assert_eq!(Lines::of(&whole[..end]).collect::<Vec<_>>(), [Line::Damaged(&whole[..end])]);
        }
        for place in 0..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(!Lines::of(&damaged).any(|line| matches!(line, Line::Whole(_))), "at {place}");
        }
    }

    #[test]
    fn a_hole_of_zeros_damages_the_line_in_which_it_ends_and_no_other() {
        let (first, last) = (line(r#"{"a":1"#), line(r#"{"b":2"#));
        let octets = [&first[..], &[0; 9], &last, &last].concat();
        let damaged = [&[0; 9], &last[..]].concat();
        let expected = [Line::Whole(&first), Line::Damaged(&damaged), Line::Whole(&last)];
        assert_eq!(Lines::of(&octets).collect::<Vec<_>>(), expected);
    }
}
