//! The boxes that packets travel in between threads, and the bounded free list that each owner keeps of them.
//!
//! A box always goes home to the list that it was taken from; if that core has died meanwhile, to its successor, which
//! frees it. In steady state nothing is allocated: the list is filled at start and grows, counted, only when more boxes are
//! away at once than ever before.

use super::Stamp;
use crate::client::{ClientId, Whose};
use crate::life::Life;
use crate::packet::{Framed, Layout};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Octets that fit into a small buffer.
pub const SMALL_OCTETS: usize = 512;
/// Octets that fit into a large buffer: the longest packet there is (RFC 2865 §3).
pub const LARGE_OCTETS: usize = 4096;

/// A buffer for one packet, of either class, and what is known of the packet in it.
pub struct Packet<Octets: ?Sized = [u8]> {
    /// Whose it is.
    owner: Life,
    pub(super) stamp: Stamp,
    pub(super) whose: Whose,
    layout: Layout,
    length: u16,
    octets: Octets,
}

impl Packet {
    fn small(owner: Life) -> Box<Packet> {
        Box::new(Packet {
            owner,
            stamp: Stamp::BLANK,
            whose: NOBODY,
            layout: Layout::default(),
            length: 0,
            octets: [0; SMALL_OCTETS],
        })
    }

    fn large(owner: Life) -> Box<Packet> {
        Box::new(Packet {
            owner,
            stamp: Stamp::BLANK,
            whose: NOBODY,
            layout: Layout::default(),
            length: 0,
            octets: [0; LARGE_OCTETS],
        })
    }

    /// The life of the core that lent it.
    pub fn owner(&self) -> Life {
        self.owner
    }

    /// How many octets fit.
    pub fn capacity(&self) -> usize {
        self.octets.len()
    }

    /// What it holds.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    /// Holds a copy of `octets` from now on, which must fit.
    pub fn set_octets(&mut self, octets: &[u8]) {
        self.octets[..octets.len()].copy_from_slice(octets);
        self.length = octets.len() as u16;
        self.layout = Layout::default();
    }

    /// Holds a copy of a framed packet from now on, which must fit.
    pub fn fill(&mut self, framed: Framed<'_>) {
        self.set_octets(framed.octets());
        self.layout = framed.layout();
    }

    /// The packet that [`fill`](Packet::fill) put in.
    pub fn framed(&self) -> Framed<'_> {
        Framed::trusted(self.octets(), self.layout)
    }
}

impl fmt::Debug for Packet {
    /// The length only: octets hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} of {} octets)", self.length, self.capacity())
    }
}

/// The buffers of one owner.
#[derive(Debug)]
pub struct BufferPool {
    life: Life,
    small: Vec<Box<Packet>>,
    large: Vec<Box<Packet>>,
    made: usize,
    lent: usize,
    buffers_max: usize,
    /// Ever written off, and ever freed because a predecessor had lent them.
    written_off: usize,
    freed: usize,
}

impl BufferPool {
    /// A pool of at most `buffers_max` buffers, of which some of either class are made now.
    pub fn new(life: Life, buffers_max: usize, small_now: usize, large_now: usize) -> Self {
        let small_now = small_now.min(buffers_max);
        let large_now = large_now.min(buffers_max - small_now);
        let mut small = Vec::with_capacity(buffers_max);
        small.extend((0..small_now).map(|_| Packet::small(life)));
        let mut large = Vec::with_capacity(buffers_max);
        large.extend((0..large_now).map(|_| Packet::large(life)));
        BufferPool {
            life,
            small,
            large,
            made: small_now + large_now,
            lent: 0,
            buffers_max,
            written_off: 0,
            freed: 0,
        }
    }

    /// A buffer for `octets` octets (at most [`LARGE_OCTETS`]); `None` when as many as may be are away.
    ///
    /// The one given back last is lent first: it is still in the cache.
    pub fn take(&mut self, octets: usize) -> Option<Box<Packet>> {
        if self.lent >= self.buffers_max {
            return None;
        }
        let (class, make): (_, fn(Life) -> Box<Packet>) = if octets <= SMALL_OCTETS {
            (&mut self.small, Packet::small)
        } else {
            (&mut self.large, Packet::large)
        };
        let buffer = class.pop().unwrap_or_else(|| {
            self.made += 1;
            make(self.life)
        });
        self.lent += 1;
        Some(buffer)
    }

    /// Takes a buffer back that [`take`](BufferPool::take) lent. One that the core's predecessor has lent is freed.
    pub fn give_back(&mut self, mut buffer: Box<Packet>) {
        // No client lives on in a buffer that is free.
        buffer.whose = NOBODY;
        if buffer.owner != self.life {
            self.freed += 1;
            return;
        }
        assert!(self.lent > 0, "a buffer goes home to the pool that lent it");
        self.lent -= 1;
        let class = if buffer.capacity() <= SMALL_OCTETS { &mut self.small } else { &mut self.large };
        // Both classes together may hold more than the bound once each of them has been at its own peak: the pool
        // then shrinks to it.
        if class.len() < self.buffers_max {
            class.push(buffer);
        } else {
            self.made -= 1;
        }
    }

    /// Buffers that died with the core to which they were lent.
    pub fn write_off(&mut self, buffers: usize) {
        assert!(buffers <= self.lent, "only what is away is lost");
        self.lent -= buffers;
        self.made -= buffers;
        self.written_off += buffers;
    }

    /// So many more may be lent.
    pub fn raise(&mut self, buffers: usize) {
        self.buffers_max += buffers;
        // Exactly, as the configuration tells an operator how much that will be.
        self.small.reserve_exact(self.buffers_max - self.small.len());
        self.large.reserve_exact(self.buffers_max - self.large.len());
    }

    /// So many fewer may be lent from here on. What is away and above that comes home and is freed.
    pub fn lower(&mut self, buffers: usize) {
        self.buffers_max -= buffers;
        for class in [&mut self.small, &mut self.large] {
            self.made -= class.len().saturating_sub(self.buffers_max);
            class.truncate(self.buffers_max);
        }
    }

    /// Whose buffers these are.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether none can be lent.
    pub fn is_exhausted(&self) -> bool {
        self.lent >= self.buffers_max
    }

    /// Of those that once died somewhere, how many this pool knows of; less those that were not its own and came here.
    pub fn settled(&self) -> isize {
        self.written_off as isize - self.freed as isize
    }

    /// How many exist.
    pub fn made(&self) -> usize {
        self.made
    }

    /// How many are away.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// How many lie here.
    pub fn free(&self) -> usize {
        self.small.len() + self.large.len()
    }
}

/// Of a buffer with no packet in it.
const NOBODY: Whose = Whose::Configured(ClientId(0));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_no_more_than_its_bound_and_counts() {
        let mut pool = BufferPool::new(Life(0), 3, 1, 1);
        let taken: Vec<_> = [100, 513, 4096].into_iter().map(|octets| pool.take(octets).unwrap()).collect();
        assert_eq!(taken.iter().map(|b| b.capacity()).collect::<Vec<_>>(), [512, 4096, 4096]);
        assert!(pool.take(1).is_none());
        assert_eq!((pool.made(), pool.lent(), pool.free()), (3, 3, 0));
        taken.into_iter().for_each(|buffer| pool.give_back(buffer));
        assert_eq!((pool.made(), pool.lent(), pool.free()), (3, 0, 3));
    }

    #[test]
    fn what_a_predecessor_lent_is_freed_and_what_is_lost_made_anew() {
        let mut before = BufferPool::new(Life(6), 2, 0, 0);
        let mut pool = BufferPool::new(Life(7), 2, 0, 0);
        let foreign = before.take(1).unwrap();
        let (_lost, own) = (pool.take(1).unwrap(), pool.take(1).unwrap());
        pool.give_back(foreign);
        assert_eq!((pool.made(), pool.lent(), pool.free()), (2, 2, 0));
        pool.write_off(1);
        pool.give_back(own);
        assert_eq!((pool.made(), pool.lent(), pool.free()), (1, 0, 1));
        assert!(pool.take(1).is_some() && pool.take(1).is_some() && pool.take(1).is_none());
    }

    #[test]
    fn the_last_given_back_is_lent_first() {
        let mut pool = BufferPool::new(Life(0), 8, 2, 0);
        let mut one = pool.take(10).unwrap();
        one.set_octets(b"abc");
        pool.give_back(one);
        assert_eq!(pool.take(10).unwrap().octets(), b"abc");
    }
}
