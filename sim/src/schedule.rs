//! The queue of events: by time, then in a drawn order, then as they were made.

use crate::draw::{Class, Draws};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events of a world, `E` each.
pub struct Schedule<E> {
    heap: BinaryHeap<Entry<E>>,
    draws: Draws,
    ordinals: Vec<u64>,
    sequence: u64,
}

struct Entry<E> {
    at: u64,
    tie: u64,
    sequence: u64,
    event: E,
}

impl<E> Schedule<E> {
    /// An empty one. Entities that events belong to are numbered below `entities`.
    pub fn new(draws: Draws, entities: usize) -> Self {
        Schedule { heap: BinaryHeap::new(), draws, ordinals: vec![0; entities], sequence: 0 }
    }

    /// Adds an event. Its place among those of the same nanosecond is drawn for its entity alone.
    pub fn add(&mut self, at: u64, entity: usize, event: E) {
        let ordinal = self.ordinals[entity];
        self.ordinals[entity] += 1;
        self.sequence += 1;
        let tie = self.draws.at(Class::Tie, entity as u64, ordinal).bits();
        self.heap.push(Entry { at, tie, sequence: self.sequence, event });
    }

    /// The time of the next event.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (u64, u64, u64) {
        (self.at, self.tie, self.sequence)
    }
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<(u64, usize)> {
        let mut schedule = Schedule::new(Draws::new(seed), 8);
        for entity in 0..8 {
            schedule.add(5, entity, entity);
        }
        schedule.add(1, 0, 100);
        std::iter::from_fn(|| schedule.take()).collect()
    }

    #[test]
    fn time_comes_first_and_ties_are_drawn() {
        let drawn = order(1);
        assert_eq!(drawn[0], (1, 100));
        assert_eq!(drawn, order(1));
        assert_ne!(drawn, order(2));
    }
}
