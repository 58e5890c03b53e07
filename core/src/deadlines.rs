//! What is due when: one deadline for each place of a slab, the next found at once.
//!
//! A binary heap that knows where each place stands in it, so that a deadline is moved or taken out in logarithmic time and
//! nothing stale is left behind. Made at its bound at start.

use crate::time::Instant;
use alloc::vec;
use alloc::vec::Vec;

/// Deadlines of the places of a slab.
#[derive(Debug)]
pub struct Deadlines {
    /// A heap, the next first; of equal ones the lower place.
    heap: Vec<(Instant, u32)>,
    /// By place, where it stands in the heap, counted from 1; 0: nowhere. Zeroed, so that the system gives memory only where it is
    /// touched.
    at: Vec<u32>,
}

impl Deadlines {
    /// For the places below `bound`, none of which has one yet.
    pub fn new(bound: usize) -> Deadlines {
        Deadlines { heap: Vec::with_capacity(bound), at: vec![0; bound] }
    }

    /// How many places may have one.
    pub fn bound(&self) -> usize {
        self.at.len()
    }

    /// The next, and whose it is.
    pub fn next(&self) -> Option<(Instant, u32)> {
        self.heap.first().copied()
    }

    /// That of a place, if it has one.
    pub fn of(&self, place: u32) -> Option<Instant> {
        let at = self.at.get(place as usize)?.checked_sub(1)?;
        Some(self.heap[at as usize].0)
    }

    /// A place has this deadline from now on.
    pub fn set(&mut self, place: u32, due: Instant) {
        let at = match self.at[place as usize] {
            0 => {
                self.heap.push((due, place));
                self.heap.len() - 1
            }
            at => {
                self.heap[at as usize - 1].0 = due;
                at as usize - 1
            }
        };
        self.at[place as usize] = at as u32 + 1;
        let at = self.rise(at);
        self.sink(at);
    }

    /// A place has none from now on.
    pub fn remove(&mut self, place: u32) {
        let Some(at) = core::mem::take(&mut self.at[place as usize]).checked_sub(1) else { return };
        self.heap.swap_remove(at as usize);
        if let Some((_, moved)) = self.heap.get(at as usize) {
            self.at[*moved as usize] = at + 1;
            let at = self.rise(at as usize);
            self.sink(at);
        }
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2].into_iter().filter(|child| *child < self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else { return };
            if self.heap[at] <= self.heap[least] {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for at in [one, other] {
            self.at[self.heap[at].1 as usize] = at as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_is_the_least_of_a_sorted_list(
            steps in proptest::collection::vec((0u32..12, proptest::option::of(0u64..20)), 0..200),
        ) {
            let mut deadlines = Deadlines::new(12);
            let mut model: BTreeSet<(Instant, u32)> = BTreeSet::new();
            for (place, due) in steps {
                model.retain(|(_, of)| *of != place);
                match due.map(Instant::from_nanoseconds) {
                    Some(due) => { deadlines.set(place, due); model.insert((due, place)); }
                    None => deadlines.remove(place),
                }
                prop_assert_eq!(deadlines.next(), model.first().copied());
                let of = |place| model.iter().find(|(_, of)| *of == place).map(|(due, _)| *due);
                prop_assert!((0..12).all(|place| deadlines.of(place) == of(place)));
                prop_assert_eq!(deadlines.heap.len(), model.len());
            }
        }
    }
}
