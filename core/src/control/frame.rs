//! Octets of a control connection come to be lines.

use super::LINE_OCTETS_MAX;
use alloc::string::String;
use alloc::vec::Vec;

/// What came and was not taken: less than one line and one read.
#[derive(Debug, Default)]
pub struct Lines {
    octets: Vec<u8>,
    /// So many of them were taken.
    taken: usize,
}

/// The next of them.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, without its end.
    Line(String),
    /// It has not come to its end.
    Nothing,
    /// It is no text.
    NoText,
    /// It is longer than any may be.
    TooLong,
}

impl Lines {
    /// More has come.
    pub fn append(&mut self, octets: &[u8]) {
        self.octets.drain(..self.taken);
        self.taken = 0;
        self.octets.extend_from_slice(octets);
    }

    /// Takes the next line in which something stands, from where something stands.
    pub fn next(&mut self) -> Next {
        // Lines with nothing in them cost next to nothing, however many come.
        let blank = self.octets[self.taken..].iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        self.taken += blank;
        let rest = &self.octets[self.taken..];
        let Some(end) = rest.iter().position(|octet| *octet == b'\n') else {
            return if rest.len() > LINE_OCTETS_MAX { Next::TooLong } else { Next::Nothing };
        };
        if end > LINE_OCTETS_MAX {
            return Next::TooLong;
        }
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = core::str::from_utf8(line).map_or(Next::NoText, |line| Next::Line(line.into()));
        self.taken += end + 1;
        line
    }

    /// The peer sends nothing more: what has come of a last line is one.
    pub fn end(&mut self) {
        if self.taken < self.octets.len() && self.octets.last() != Some(&b'\n') {
            self.octets.push(b'\n');
        }
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.octets.len() - self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn all(lines: &mut Lines) -> Vec<Next> {
        let mut found = vec![];
        loop {
            match lines.next() {
                Next::Nothing => return found,
                Next::TooLong => {
                    found.push(Next::TooLong);
                    return found;
                }
                line @ (Next::Line(_) | Next::NoText) => found.push(line),
            }
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_same_lines_come(text in "[a-c\r\n]{0,200}", cuts in proptest::collection::vec(1usize..20, 0..40)) {
            let (mut whole, mut pieces) = (Lines::default(), Lines::default());
            whole.append(text.as_bytes());
            whole.end();
            let (mut rest, mut found) = (text.as_bytes(), vec![]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.append(piece);
                found.extend(all(&mut pieces));
                rest = after;
            }
            pieces.append(rest);
            pieces.end();
            found.extend(all(&mut pieces));
            prop_assert_eq!(found, all(&mut whole));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_it_may_and_no_longer() {
        let mut lines = Lines::default();
        lines.append(&vec![b'a'; LINE_OCTETS_MAX]);
        assert_eq!(lines.next(), Next::Nothing);
        lines.append(b"\n");
        assert!(matches!(lines.next(), Next::Line(line) if line.len() == LINE_OCTETS_MAX));
        lines.append(&vec![b'a'; LINE_OCTETS_MAX + 1]);
        assert_eq!(lines.next(), Next::TooLong);
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none_and_the_next_line_comes() {
        let mut lines = Lines::default();
        lines.append(b"\xff\xfe\nhelp\n");
        assert_eq!([lines.next(), lines.next()], [Next::NoText, Next::Line("help".into())]);
    }
}
