//! Builds the crossings of several threads at once, joined, where all of them are known before any runs.

use super::{BellId, Crossing, LinkId, link};
use crate::queue::directory::Directory;
use alloc::vec::Vec;

/// Threads that enter a [`Directory`] together and are linked before they start, so that no letter has to bring them
/// their links.
pub struct Exchange<M> {
    directory: Directory,
    crossings: Vec<Crossing<M>>,
}

impl<M: Send> Exchange<M> {
    /// For this many threads, numbered from 0, without links so far and for no letters.
    pub fn new(threads: u16) -> Self {
        let mut directory = Directory::new();
        let crossings = (0..threads).map(|_| directory.enter().1).collect();
        Exchange { directory, crossings }
    }

    /// Joins two threads, as [`link`](super::link()) does, and says which link that is to `one` and to `other`. Each
    /// thread's links count up from 0 in the order of these calls.
    ///
    /// # Panics
    /// If a thread is not of this exchange, if it is joined to itself, or if `slots` is 0.
    pub fn link(&mut self, one: BellId, other: BellId, slots: usize) -> (LinkId, LinkId) {
        let [ones, others] =
            [one, other].map(|bell| self.directory.handle(bell).expect("it is of this exchange"));
        let (ones, others) = link(ones, others, slots);
        (self.crossings[usize::from(one.0)].attach(ones), self.crossings[usize::from(other.0)].attach(others))
    }

    /// One crossing for each thread, in their order.
    pub fn build(self) -> Vec<Crossing<M>> {
        self.crossings
    }
}
