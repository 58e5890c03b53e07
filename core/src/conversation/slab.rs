//! Values at numbered places, grown a page at a time up to a bound and never given back.
//!
//! A page is taken when the places of all others are, so that nothing is ever copied to make room, and nothing is allocated any
//! more once as many values are there as are needed at once. Which place a value gets depends on nothing but the order of calls.

use crate::table::Full;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Values of a page.
const PAGE: usize = 512;
/// No place.
pub(super) const NONE: u32 = u32::MAX;

/// The values.
pub(super) struct Slab<T> {
    pages: Vec<Vec<Slot<T>>>,
    /// The first place that is free again.
    free: u32,
    len: usize,
    bound: usize,
}

enum Slot<T> {
    Taken(T),
    Free { next: u32 },
}

impl<T> Slab<T> {
    /// For at most `bound` values.
    pub fn new(bound: usize) -> Self {
        Slab { pages: Vec::with_capacity(bound.div_ceil(PAGE)), free: NONE, len: 0, bound }
    }

    /// Keeps a value and says where.
    pub fn insert(&mut self, value: T) -> Result<u32, Full<T>> {
        if self.len == self.bound {
            return Err(Full(value));
        }
        let place = match self.free {
            NONE => {
                let place = self.len as u32;
                if self.len.is_multiple_of(PAGE) {
                    self.pages.push(Vec::with_capacity(PAGE.min(self.bound - self.len)));
                }
                self.pages[self.len / PAGE].push(Slot::Taken(value));
                place
            }
            place => {
                let slot = self.slot(place);
                let Slot::Free { next } = *slot else { unreachable!("a free place has no value") };
                *slot = Slot::Taken(value);
                self.free = next;
                place
            }
        };
        self.len += 1;
        Ok(place)
    }

    /// Takes the value at a place out.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, place: u32) -> T {
        let next = self.free;
        let Slot::Taken(value) = core::mem::replace(self.slot(place), Slot::Free { next }) else {
            panic!("what is removed is there");
        };
        self.free = place;
        self.len -= 1;
        value
    }

    /// The value at a place, if there is one.
    pub fn get(&self, place: u32) -> Option<&T> {
        match self.pages.get(place as usize / PAGE)?.get(place as usize % PAGE)? {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> u32 {
        self.pages.iter().map(|page| page.len() as u32).sum()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    fn slot(&mut self, place: u32) -> &mut Slot<T> {
        &mut self.pages[place as usize / PAGE][place as usize % PAGE]
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, place: u32) -> &T {
        self.get(place).expect("a place that is known has a value")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        match self.slot(place) {
            Slot::Taken(value) => value,
            Slot::Free { .. } => panic!("a place that is known has a value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_value_stays_at_its_place(bound in 0usize..1100, steps in proptest::collection::vec(any::<u16>(), 0..1500)) {
            let mut slab = Slab::new(bound);
            let mut model = BTreeMap::new();
            for (value, step) in steps.into_iter().enumerate() {
                if step % 4 == 0 && let Some(place) = model.keys().copied().nth(usize::from(step) % (model.len().max(1))) {
                    prop_assert_eq!(Some(slab.remove(place)), model.remove(&place));
                } else if model.len() == bound {
                    prop_assert_eq!(slab.insert(value), Err(Full(value)));
                } else {
                    let place = slab.insert(value).expect("there is room");
                    prop_assert_eq!(model.insert(place, value), None);
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            prop_assert!((0..1100).all(|place| slab.get(place) == model.get(&place)));
        }
    }
}
