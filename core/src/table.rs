//! A bounded hash table without iteration, so that no behaviour can depend on an order that nobody chose.
//!
//! Made at its bound at start: it neither grows nor rehashes into new memory afterwards. What must be walked is kept
//! in a `BTreeMap`, a slab or a `VecDeque` instead.

use crate::seed::{KeyedHash, Seed};
use alloc::boxed::Box;
use alloc::vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash, Hasher};
use hashbrown::HashMap;

/// Look-up, insertion and removal by key; at most `bound` entries.
pub struct Table<K, V> {
    entries: HashMap<K, V, KeyedHash>,
    bound: usize,
}

/// What did not fit, handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<K: Hash + Eq, V> Table<K, V> {
    /// A table for at most `bound` entries, its memory taken now, its hasher keyed from `seed`.
    pub fn new(bound: usize, seed: &Seed) -> Self {
        // Twice the bound: hashbrown cleans up after removals in place, without allocating, as long as at most half
        // of its capacity is in use.
        let entries = HashMap::with_capacity_and_hasher(bound * 2, seed.hasher());
        Table { entries, bound }
    }

    /// The value kept under `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// The value kept under `key`, to be changed.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    /// Keeps `value` under `key` and returns what was there before.
    ///
    /// # Errors
    /// `Full` with the value when the table holds `bound` entries and `key` is not one of them.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, Full<V>> {
        if self.entries.len() >= self.bound && !self.entries.contains_key(&key) {
            return Err(Full(value));
        }
        Ok(self.entries.insert(key, value))
    }

    /// Takes the value under `key` out.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A bounded hash table of places in a slab that the caller keeps, keys and all.
///
/// Linear probing over words of 32 bits of hash and a place, at most half of them in use: a look-up waits for memory
/// once, and touches the caller's slab only where the hash agrees. What is removed leaves no trace behind (the ones
/// after it move up), so that there is never anything to clean up at the expense of one turn.
pub struct Index {
    /// A power of two of them. The upper half of a word is the hash, the lower half the place and one.
    words: Box<[u64]>,
    len: usize,
    hash: KeyedHash,
    bound: usize,
}

/// The hash of a key in one [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(u32);

/// A word without a place.
const EMPTY: u64 = 0;

impl Index {
    /// An index of at most `bound` places, its memory taken now, its hasher keyed from `seed`.
    ///
    /// # Panics
    /// If `bound` is above 2³⁰: the hash in a word could not tell so many words apart.
    pub fn new(bound: usize, seed: &Seed) -> Self {
        assert!(bound <= 1 << 30, "an index has at most 2^30 places");
        // Never full, so that each search ends; zeroed, so that the system gives memory only where it is touched.
        let words = (bound * 2).next_power_of_two().max(2);
        Index { words: vec![EMPTY; words].into_boxed_slice(), len: 0, hash: seed.hasher(), bound }
    }

    /// The hash of a key, which never changes: whoever looks a key up and then adds or removes it computes it once.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.hash.build_hasher();
        hasher.write(key);
        KeyHash(hasher.finish() as u32)
    }

    /// The hash of a key that stands in pieces.
    pub fn hash_of<const N: usize>(&self, pieces: [&[u8]; N]) -> KeyHash {
        let mut hasher = self.hash.build_hasher();
        pieces.into_iter().for_each(|piece| hasher.write(piece));
        KeyHash(hasher.finish() as u32)
    }

    /// The place among those with the hash of its key for which `is_it` says yes.
    pub fn find(&self, KeyHash(hash): KeyHash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let word = self.words[at];
            if word == EMPTY {
                return None;
            }
            if hash_in(word) == hash && is_it(place_in(word)) {
                return Some(place_in(word));
            }
            at = self.after(at);
        }
    }

    /// Adds a place, below 2³² - 1, under a key of this hash, where it is not yet.
    ///
    /// # Errors
    /// `Full` with the place when there are `bound` already.
    pub fn insert(&mut self, KeyHash(hash): KeyHash, place: u32) -> Result<(), Full<u32>> {
        if self.len >= self.bound {
            return Err(Full(place));
        }
        let mut at = self.home(hash);
        while self.words[at] != EMPTY {
            at = self.after(at);
        }
        self.words[at] = u64::from(hash) << 32 | (u64::from(place) + 1);
        self.len += 1;
        Ok(())
    }

    /// Takes a place out, which must be in under a key of this hash.
    ///
    /// # Panics
    /// When it is not.
    pub fn remove(&mut self, KeyHash(hash): KeyHash, place: u32) {
        let sought = u64::from(hash) << 32 | (u64::from(place) + 1);
        let mut hole = self.home(hash);
        while self.words[hole] != sought {
            assert!(self.words[hole] != EMPTY, "what is removed from an index is in it");
            hole = self.after(hole);
        }
        // Each of those that follow without a gap moves into the hole if its search passes there.
        let mut at = self.after(hole);
        while self.words[at] != EMPTY {
            let home = self.home(hash_in(self.words[at]));
            if self.distance(home, at) >= self.distance(hole, at) {
                self.words[hole] = self.words[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.words[hole] = EMPTY;
        self.len -= 1;
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the search for a hash begins.
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.words.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.words.len() - 1)
    }

    /// How many steps forward from one word to the other.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.words.len() - 1)
    }
}

fn hash_in(word: u64) -> u32 {
    (word >> 32) as u32
}

fn place_in(word: u64) -> u32 {
    word as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u16),
        Remove(u8),
    }

    proptest! {
        #[test]
        fn behaves_like_a_bounded_map(steps in proptest::collection::vec(prop_oneof![
            (any::<u8>(), any::<u16>()).prop_map(|(k, v)| Step::Insert(k, v)),
            any::<u8>().prop_map(Step::Remove)], 0..400)) {
            let mut table = Table::new(16, &Seed::new([1; 32]));
            let capacity = table.entries.capacity();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) if model.len() < 16 || model.contains_key(&key) => {
                        prop_assert_eq!(table.insert(key, value), Ok(model.insert(key, value)));
                    }
                    Step::Insert(key, value) => prop_assert_eq!(table.insert(key, value), Err(Full(value))),
                    Step::Remove(key) => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let kept: Vec<_> = model.keys().map(|key| table.get(key).copied()).collect();
            prop_assert_eq!(kept, model.values().map(|v| Some(*v)).collect::<Vec<_>>());
            prop_assert_eq!(table.entries.capacity(), capacity);
        }

        #[test]
        fn an_index_finds_what_was_put_in_and_not_taken_out(
            bound in 1usize..40,
            steps in proptest::collection::vec((any::<bool>(), 0u8..64), 0..600),
        ) {
            let mut index = Index::new(bound, &Seed::new([bound as u8; 32]));
            let words = index.words.len();
            let mut model = BTreeMap::new();
            for (place, (insert, key)) in steps.into_iter().enumerate() {
                let place = place as u32;
                if !insert {
                    if let Some(place) = model.remove(&key) {
                        index.remove(index.hash(&[key]), place);
                    }
                } else if !model.contains_key(&key) {
                    let full = model.len() == bound;
                    prop_assert_eq!(index.insert(index.hash(&[key]), place), if full { Err(Full(place)) } else { Ok(()) });
                    if !full {
                        model.insert(key, place);
                    }
                }
                prop_assert_eq!(index.len(), model.len());
                for key in 0..64 {
                    let expected = model.get(&key).copied();
                    prop_assert_eq!(index.find(index.hash(&[key]), |place| Some(place) == expected), expected);
                }
            }
            prop_assert_eq!(index.words.len(), words);
        }
    }

    #[test]
    #[should_panic(expected = "is in it")]
    fn what_is_not_in_an_index_cannot_be_taken_out() {
        let mut index = Index::new(4, &Seed::new([1; 32]));
        index.insert(index.hash(b"one"), 1).expect("there is room");
        index.remove(index.hash(b"one"), 2);
    }

    #[test]
    fn equal_keys_are_told_apart_by_the_caller() {
        let mut index = Index::new(4, &Seed::new([1; 32]));
        for place in 1..4 {
            index.insert(index.hash(b"one"), place).expect("there is room");
        }
        let hash = index.hash(b"one");
        index.remove(hash, 2);
        assert_eq!(index.find(hash, |place| place != 1), Some(3));
        assert_eq!(index.find(hash, |place| place == 2), None);
    }
}
