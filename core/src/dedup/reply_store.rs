//! Keeps the octets of replies for as long as duplicates may ask for them.
//!
//! Chunks of seven classes, 64 to 4 096 octets. Memory is taken a page at a time up to a bound in octets and never given
//! back; once as much is there as is needed at once, nothing is allocated.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const CLASSES: usize = 7;
const SMALLEST_OCTETS: usize = 64;
/// One page holds 16 of the largest chunks, 1 024 of the smallest.
const PAGE_OCTETS: usize = 65_536;

/// Where a reply is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredReply {
    class: u8,
    length: u16,
    chunk: u32,
}

/// The store.
#[derive(Debug)]
pub struct ReplyStore {
    classes: [Class; CLASSES],
    pages_left: usize,
}

#[derive(Debug, Default)]
struct Class {
    pages: Vec<Box<[u8]>>,
    free: Vec<u32>,
}

impl ReplyStore {
    /// A store that takes at most `octets_max` octets of memory, rounded up to a page.
    pub fn new(octets_max: usize) -> Self {
        ReplyStore { classes: Default::default(), pages_left: octets_max.div_ceil(PAGE_OCTETS) }
    }

    /// Keeps a copy of `reply` (1 to 4 096 octets); `None` when there is no room for its class.
    pub fn keep(&mut self, reply: &[u8]) -> Option<StoredReply> {
        let class = class_of(reply.len());
        let octets_each = SMALLEST_OCTETS << class;
        let Class { pages, free } = &mut self.classes[class];
        if free.is_empty() {
            self.pages_left = self.pages_left.checked_sub(1)?;
            let each_page = PAGE_OCTETS / octets_each;
            let first = pages.len() * each_page;
            pages.push(vec![0; PAGE_OCTETS].into_boxed_slice());
            free.reserve_exact(pages.len() * each_page);
            // The lowest is lent first, so that pages are touched only when they are needed.
            free.extend((first..first + each_page).rev().map(|chunk| chunk as u32));
        }
        let chunk = free.pop().expect("a page has just been added");
        let stored = StoredReply { class: class as u8, length: reply.len() as u16, chunk };
        let (page, offset) = place(class, chunk);
        pages[page][offset..offset + reply.len()].copy_from_slice(reply);
        Some(stored)
    }

    /// The octets kept.
    pub fn octets(&self, stored: &StoredReply) -> &[u8] {
        let (page, offset) = place(usize::from(stored.class), stored.chunk);
        &self.classes[usize::from(stored.class)].pages[page][offset..offset + usize::from(stored.length)]
    }

    /// Forgets a reply; its chunk is free again.
    pub fn forget(&mut self, stored: StoredReply) {
        self.classes[usize::from(stored.class)].free.push(stored.chunk);
    }
}

fn class_of(octets: usize) -> usize {
    let class = octets.div_ceil(SMALLEST_OCTETS).next_power_of_two().trailing_zeros() as usize;
    assert!(class < CLASSES, "a reply has at most 4096 octets");
    class
}

fn place(class: usize, chunk: u32) -> (usize, usize) {
    let octets_each = SMALLEST_OCTETS << class;
    let each_page = PAGE_OCTETS / octets_each;
    (chunk as usize / each_page, chunk as usize % each_page * octets_each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_begin_at_64_and_end_at_4096() {
        assert_eq!([1, 64, 65, 128, 129, 2049, 4096].map(class_of), [0, 0, 1, 1, 2, 6, 6]);
    }

    #[test]
    fn a_full_store_refuses_and_recovers() {
        let mut store = ReplyStore::new(PAGE_OCTETS);
        let kept: Vec<_> = (0..16).map(|n| store.keep(&[n; 4096]).unwrap()).collect();
        assert_eq!(store.keep(&[1; 4096]), None);
        assert_eq!(store.keep(&[1; 20]), None, "the one page belongs to another class");
        for (n, reply) in kept.into_iter().enumerate() {
            assert_eq!(store.octets(&reply), [n as u8; 4096]);
            store.forget(reply);
        }
        assert!(store.keep(&[1; 4096]).is_some());
    }

    proptest! {
        #[test]
        fn replies_never_overlap(lengths in proptest::collection::vec((1usize..=4096, any::<bool>()), 1..200)) {
            let mut store = ReplyStore::new(64 * PAGE_OCTETS);
            let mut kept = Vec::new();
            for (n, (length, forget)) in lengths.into_iter().enumerate() {
                let octets = vec![n as u8; length];
                kept.push((store.keep(&octets).unwrap(), octets));
                if forget {
                    store.forget(kept.swap_remove(n % kept.len()).0);
                }
                for (stored, octets) in &kept {
                    prop_assert_eq!(store.octets(stored), &octets[..]);
                }
            }
        }
    }
}
