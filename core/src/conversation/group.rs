//! Conversations that are found by the same digest: how many there are, and which, if it is one.
//!
//! A State, or a name without Calling-Station-Id, may be that of very many at once, by chance or by somebody's will. None of them
//! is ever to be told from the others here, so that it is enough to count them: nothing is walked, however many there are.

use super::digest::Digest;
use super::slab::Slab;
use crate::seed::Seed;
use crate::table::{Index, KeyHash};

/// Some conversations, of which only one by itself can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Members {
    count: u32,
    /// The places of all of them, one over the other: of one, its place.
    mixed: u32,
}

/// What a look-up finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sole {
    Nobody,
    One(u32),
    Several,
}

/// By digest, conversations in `STANDINGS` classes.
pub(super) struct Groups<const STANDINGS: usize> {
    index: Index,
    groups: Slab<Group<STANDINGS>>,
}

struct Group<const STANDINGS: usize> {
    digest: Digest,
    hash: KeyHash,
    members: [Members; STANDINGS],
}

impl Members {
    fn join(&mut self, member: u32) {
        self.count += 1;
        self.mixed ^= member;
    }

    fn leave(&mut self, member: u32) {
        self.count = self.count.checked_sub(1).expect("who leaves a group is in it");
        self.mixed ^= member;
    }

    /// Which.
    pub fn sole(self) -> Sole {
        match self.count {
            0 => Sole::Nobody,
            1 => Sole::One(self.mixed),
            _ => Sole::Several,
        }
    }
}

impl Sole {
    /// Of both: one that is in both is one.
    pub fn or(self, other: Sole) -> Sole {
        match (self, other) {
            (Sole::Nobody, other) => other,
            (one, Sole::Nobody) => one,
            (Sole::One(one), Sole::One(other)) if one == other => self,
            (Sole::One(_) | Sole::Several, Sole::One(_) | Sole::Several) => Sole::Several,
        }
    }
}

impl<const STANDINGS: usize> Groups<STANDINGS> {
    /// For at most `bound` digests.
    pub fn new(bound: usize, seed: &Seed) -> Self {
        Groups { index: Index::new(bound, seed), groups: Slab::new(bound) }
    }

    /// A conversation is found by this digest from now on, in this class. Gives the group's place.
    ///
    /// # Panics
    /// If there is no room: whoever bounds the conversations sees to that.
    pub fn join(&mut self, digest: &Digest, standing: usize, member: u32) -> u32 {
        let hash = self.index.hash(&digest.0);
        let place = self.find(digest, hash).unwrap_or_else(|| {
            let group = Group { digest: *digest, hash, members: [Members::default(); STANDINGS] };
            let place = self.groups.insert(group).ok().expect("each conversation is in few groups");
            self.index.insert(hash, place).expect("there is a word for each group");
            place
        });
        self.groups[place].members[standing].join(member);
        place
    }

    /// It is found by it no longer.
    pub fn leave(&mut self, place: u32, standing: usize, member: u32) {
        let group = &mut self.groups[place];
        group.members[standing].leave(member);
        if group.members.iter().all(|members| members.count == 0) {
            let Group { hash, .. } = self.groups.remove(place);
            self.index.remove(hash, place);
        }
    }

    /// It is found by it in another class.
    pub fn change(&mut self, place: u32, from: usize, to: usize, member: u32) {
        let members = &mut self.groups[place].members;
        members[from].leave(member);
        members[to].join(member);
    }

    /// Who is found by a digest.
    pub fn members(&self, digest: &Digest) -> [Members; STANDINGS] {
        let found = self.find(digest, self.index.hash(&digest.0));
        found.map_or([Members::default(); STANDINGS], |place| self.groups[place].members)
    }

    /// How many digests anybody is found by.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    fn find(&self, digest: &Digest, hash: KeyHash) -> Option<u32> {
        self.index.find(hash, |place| self.groups[place].digest == *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_one_and_counts_the_others(
            steps in proptest::collection::vec((0u8..5, 0usize..2, 0u32..6, 0u8..3), 0..200),
        ) {
            let mut groups: Groups<2> = Groups::new(5, &Seed::new([1; 32]));
            let mut model: BTreeMap<(u8, u32), (usize, u32)> = BTreeMap::new();
            for (digest, standing, member, what) in steps {
                let key = (digest, member);
                match (model.get(&key).copied(), what) {
                    (None, _) => {
                        let place = groups.join(&Digest([digest; 16]), standing, member);
                        model.insert(key, (standing, place));
                    }
                    (Some((from, place)), 0) => {
                        groups.change(place, from, standing, member);
                        model.insert(key, (standing, place));
                    }
                    (Some((from, place)), _) => {
                        groups.leave(place, from, member);
                        model.remove(&key);
                    }
                }
                let mut digests: Vec<u8> = model.keys().map(|(digest, _)| *digest).collect();
                digests.dedup();
                prop_assert_eq!(groups.len(), digests.len());
                for digest in 0..5 {
                    let members = groups.members(&Digest([digest; 16]));
                    for (standing, members) in members.into_iter().enumerate() {
                        let there = |((of, member), (at, _)): (&(u8, u32), &(usize, u32))| {
                            (*of == digest && *at == standing).then_some(*member)
                        };
                        let there: Vec<u32> = model.iter().filter_map(there).collect();
                        let expected = match there[..] {
                            [] => Sole::Nobody,
                            [one] => Sole::One(one),
                            _ => Sole::Several,
                        };
                        prop_assert_eq!(members.sole(), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn one_in_both_is_one() {
        let (one, other) = (Sole::One(1), Sole::One(2));
        assert_eq!([one.or(one), one.or(other), one.or(Sole::Nobody)], [one, Sole::Several, one]);
        assert_eq!([Sole::Nobody.or(other), Sole::Several.or(one)], [other, Sole::Several]);
    }
}
