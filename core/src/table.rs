//! A bounded hash table without iteration, so that no behaviour can depend on an order that nobody chose.
//!
//! Made at its bound at start: it neither grows nor rehashes into new memory afterwards. What must be walked is kept
//! in a `BTreeMap`, a slab or a `VecDeque` instead.

use crate::seed::{KeyedHash, Seed};
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash, Hasher};
use hashbrown::{HashMap, HashTable};

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

/// A bounded hash table of places in a slab that the caller keeps, keys and all: five octets an entry.
pub struct Index {
    places: HashTable<u32>,
    hash: KeyedHash,
    bound: usize,
}

impl Index {
    /// An index of at most `bound` places, its memory taken now, its hasher keyed from `seed`.
    pub fn new(bound: usize, seed: &Seed) -> Self {
        // Twice the bound: see `Table::new`.
        Index { places: HashTable::with_capacity(bound * 2), hash: seed.hasher(), bound }
    }

    /// The place among those with the hash of `key` for which `is_it` says yes.
    pub fn find(&self, key: &[u8], mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.places.find(hash_of(&self.hash, key), |&place| is_it(place)).copied()
    }

    /// Adds a place under `key`, where it is not yet. `key_of` gives the key of a place that is in.
    ///
    /// # Errors
    /// `Full` with the place when there are `bound` already.
    pub fn insert<'a>(
        &mut self,
        key: &[u8],
        place: u32,
        key_of: impl Fn(u32) -> &'a [u8],
    ) -> Result<(), Full<u32>> {
        if self.places.len() >= self.bound {
            return Err(Full(place));
        }
        let Index { places, hash, .. } = self;
        places.insert_unique(hash_of(hash, key), place, |&place| hash_of(hash, key_of(place)));
        Ok(())
    }

    /// Takes a place out, which must be in under `key`.
    pub fn remove(&mut self, key: &[u8], place: u32) {
        let entry = self.places.find_entry(hash_of(&self.hash, key), |&there| there == place);
        entry.expect("what is removed from an index is in it").remove();
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

fn hash_of(hash: &KeyedHash, key: &[u8]) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write(key);
    hasher.finish()
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
    }
}
