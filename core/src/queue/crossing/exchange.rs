//! Builds the crossings of all threads at once.

use super::{BellId, Crossing, Link, LinkId, Park, QueueCounters};
use crate::queue::gate::Gate;
use crate::queue::ring::ring;
use crate::queue::sync::Arc;
use alloc::vec::Vec;

/// Builds the crossings of all threads at once: the set of threads is fixed from start to exit.
pub struct Exchange<M> {
    gates: Vec<Arc<Gate>>,
    links: Vec<Vec<Link<M>>>,
}

impl<M: Send> Exchange<M> {
    /// For this many threads, numbered from 0, without links so far.
    pub fn new(threads: u16) -> Self {
        Exchange {
            gates: (0..threads).map(|_| Arc::new(Gate::new())).collect(),
            links: (0..threads).map(|_| Vec::new()).collect(),
        }
    }

    /// Joins two threads by a ring of `slots` messages in each direction, and says which link that is to `one` and
    /// to `other`. The same two threads may be joined several times, once for each pair of their cores. Each thread's
    /// links count up from 0 in the order of these calls.
    ///
    /// # Panics
    /// If a thread is not of this exchange, if it is joined to itself (cores of one thread need no ring), or if
    /// `slots` is 0.
    pub fn link(&mut self, one: BellId, other: BellId, slots: usize) -> (LinkId, LinkId) {
        assert!(one != other, "a thread needs no ring to itself");
        let (to_other, from_one) = ring(slots);
        let (to_one, from_other) = ring(slots);
        (
            self.add(one, Link::new(to_other, from_other, other, &self.gates)),
            self.add(other, Link::new(to_one, from_one, one, &self.gates)),
        )
    }

    fn add(&mut self, thread: BellId, link: Link<M>) -> LinkId {
        let links = &mut self.links[usize::from(thread.0)];
        links.push(link);
        LinkId(links.len() - 1)
    }

    /// One crossing for each thread, in their order.
    pub fn build(self) -> Vec<Crossing<M>> {
        self.gates
            .into_iter()
            .zip(self.links)
            .zip(0..)
            .map(|((gate, links), number)| Crossing {
                bell: BellId(number),
                gate,
                touched: Vec::with_capacity(links.len()),
                unchecked: Vec::with_capacity(links.len()),
                links,
                park: Park::Running,
                counters: QueueCounters::default(),
            })
            .collect()
    }
}
