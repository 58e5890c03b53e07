//! The name that somebody who misspelt one most likely meant.
//!
//! Only for messages to an operator: quadratic in the length of the names, and it allocates.

use alloc::vec;
use alloc::vec::Vec;

/// The one of `known` that takes the fewest edits from `misspelt`, letter case aside; `None` if every one would take
/// more than a third of its letters (at least one edit is always allowed). Of equals, the first.
pub fn nearest<'n>(misspelt: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let misspelt: Vec<char> = misspelt.chars().map(|letter| letter.to_ascii_lowercase()).collect();
    known
        .into_iter()
        .map(|name| {
            let letters: Vec<char> = name.chars().map(|letter| letter.to_ascii_lowercase()).collect();
            (edits(&misspelt, &letters), letters.len(), name)
        })
        .filter(|(edits, length, _)| *edits <= (length / 3).max(1))
        .min_by_key(|(edits, ..)| *edits)
        .map(|(.., name)| name)
}

/// Insertions, removals, replacements and swaps of neighbours that make `from` out of `to`.
fn edits(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let differs = usize::from(from[row - 1] != to[column - 1]);
            let mut best = (above[column - 1] + differs).min(above[column] + 1).min(current[column - 1] + 1);
            let swapped =
                row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1];
            if swapped {
                best = best.min(before[column - 2] + 1);
            }
            current[column] = best;
        }
        before = above;
        above = current;
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_was_meant_and_nothing_far_off() {
        let known = ["secret", "network", "name"];
        assert_eq!(nearest("secrt", known), Some("secret"));
        assert_eq!(nearest("netowrk", known), Some("network"));
        assert_eq!(nearest("NAME", known), Some("name"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn counts_edits() {
        let count =
            |from: &str, to: &str| edits(&from.chars().collect::<Vec<_>>(), &to.chars().collect::<Vec<_>>());
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("ab", "ba"), 1);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", "abc"), 0);
    }
}
