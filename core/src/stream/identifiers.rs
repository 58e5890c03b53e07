//! Which Identifiers a stream has used. Knows no request: dedup has those.

/// Which Identifiers requests of a stream have had, and what kinds they were of: whoever ends it looks for no others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Identifiers {
    used: [u64; 4],
    kinds: [bool; KINDS.len()],
}

/// Code and whether signed, of what dedup knows.
const KINDS: [(u8, bool); 4] = [(1, true), (1, false), (4, true), (4, false)];

impl Identifiers {
    /// A request was accepted.
    pub fn note(&mut self, code: u8, identifier: u8, signed: bool) {
        self.used[usize::from(identifier) / 64] |= 1 << (identifier % 64);
        if let Some(kind) = KINDS.iter().position(|kind| *kind == (code, signed)) {
            self.kinds[kind] = true;
        }
    }

    /// Code, Identifier and whether signed, of all that may have been.
    pub fn iter(self) -> impl Iterator<Item = (u8, u8, bool)> {
        let is_used =
            move |identifier: &u8| self.used[usize::from(*identifier) / 64] >> (identifier % 64) & 1 == 1;
        let kinds = KINDS.into_iter().zip(self.kinds).filter(|(_, are)| *are);
        kinds.flat_map(move |((code, signed), _)| {
            (0..=u8::MAX).filter(is_used).map(move |identifier| (code, identifier, signed))
        })
    }
}
