//! Which of the cores that have had one place: a core that panics is replaced, and what its predecessor lent, named or
//! asked for may come back to the one that has its place now.

/// Counts the cores that have had a place, from 0. Wraps: nothing is on its way through 2¹⁶ deaths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Life(pub u16);

impl Life {
    /// That of the successor.
    #[must_use]
    pub fn next(self) -> Life {
        Life(self.0.wrapping_add(1))
    }
}
