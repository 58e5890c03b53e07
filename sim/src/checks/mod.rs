//! Invariants: named, each with the sentence that a failure prints. They see what goes in and comes out, and a
//! snapshot of counts; nothing else of the server.

pub mod channels;
pub mod clients;
pub mod connections;
pub mod control;
pub mod everywhere;
pub mod execution;
pub mod forwarding;
pub mod ledger;
pub mod look_ups;
pub mod records;
#[cfg(test)]
mod scene;
pub mod spool;
pub mod wire;

/// A law of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Invariant {
    /// Its name, kebab-case.
    pub name: &'static str,
    /// What holds, as one sentence.
    pub sentence: &'static str,
}

/// One breach of a law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub invariant: &'static Invariant,
    /// Virtual nanoseconds.
    pub at: u64,
    /// What was seen.
    pub details: String,
}

/// All of them, in the order of `ulna-sim list`.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    wire::ALL
        .iter()
        .chain(clients::ALL)
        .chain(connections::ALL)
        .chain(look_ups::ALL)
        .chain(execution::ALL)
        .chain(everywhere::ALL)
        .chain(channels::ALL)
        .chain(records::ALL)
        .chain(spool::ALL)
        .chain(forwarding::ALL)
        .chain(control::ALL)
        .copied()
}

macro_rules! invariants {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal, $sentence:literal;)+) => {
        $(
            #[doc = $sentence]
            pub static $constant: $crate::checks::Invariant =
                $crate::checks::Invariant { name: $name, sentence: $sentence };
        )+
        /// The laws of this group.
        pub static ALL: &[&$crate::checks::Invariant] = &[$(&$constant,)+];
    };
}
use invariants;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sentences_whole() {
        let names: std::collections::BTreeSet<_> = all().map(|invariant| invariant.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(all().all(|invariant| invariant.sentence.ends_with('.')));
    }
}
