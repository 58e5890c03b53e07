//! Keeps the octets of replies for as long as duplicates may ask for them.
//!
//! Chunks of seven classes, 64 to 4 096 octets, in pages of 64 KiB. Memory is taken a page at a time up to a bound and
//! never given back to the system; once as much is there as is needed at once, nothing is allocated. A page whose chunks
//! are all free serves any class again. Where short replies come without end and the bound is too small for them, none may
//! ever fall free, and long ones find no room: the bound is to be generous.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const CLASSES: usize = 7;
const SMALLEST_OCTETS: usize = 64;
/// One page holds 16 of the largest chunks, 1 024 of the smallest.
const PAGE_OCTETS: usize = 65_536;
/// No page.
const NO_PAGE: u32 = u32::MAX;
/// No chunk.
const NO_CHUNK: u16 = u16::MAX;

/// Where a reply is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredReply {
    page: u32,
    chunk: u16,
    length: u16,
}

/// The store.
#[derive(Debug)]
pub struct ReplyStore {
    pages: Vec<Page>,
    /// Pages of no class.
    blank: Vec<u32>,
    /// The first page of each class that has a free chunk.
    open: [u32; CLASSES],
    pages_max: usize,
}

#[derive(Debug)]
struct Page {
    octets: Box<[u8]>,
    class: u8,
    used: u16,
    /// The first of the chunks that were used and are free again; each begins with the number of the next.
    free: u16,
    /// Chunks from this one on have not been used since the page got its class.
    untouched: u16,
    /// Neighbours among the open pages of its class.
    before: u32,
    after: u32,
}

impl ReplyStore {
    /// A store that takes at most `octets_max` octets of memory, rounded up to a page.
    pub fn new(octets_max: usize) -> Self {
        let pages_max = octets_max.div_ceil(PAGE_OCTETS);
        ReplyStore {
            pages: Vec::with_capacity(pages_max),
            blank: Vec::with_capacity(pages_max),
            open: [NO_PAGE; CLASSES],
            pages_max,
        }
    }

    /// Keeps a copy of `reply` (1 to 4 096 octets) in a chunk of its class or, where none is to be had, of a larger
    /// one; `None` when there is none of these either.
    pub fn keep(&mut self, reply: &[u8]) -> Option<StoredReply> {
        let class = class_of(reply.len());
        let page = self.page_for(class)?;
        let Page { octets, class, used, free, untouched, .. } = &mut self.pages[page as usize];
        let octets_each = SMALLEST_OCTETS << *class;
        let chunk = if *free == NO_CHUNK {
            *untouched += 1;
            *untouched - 1
        } else {
            *free
        };
        let chunk_octets = &mut octets[usize::from(chunk) * octets_each..][..octets_each];
        if *free == chunk {
            *free = u16::from_le_bytes([chunk_octets[0], chunk_octets[1]]);
        }
        chunk_octets[..reply.len()].copy_from_slice(reply);
        *used += 1;
        if usize::from(*used) == PAGE_OCTETS / octets_each {
            self.close(page);
        }
        Some(StoredReply { page, chunk, length: reply.len() as u16 })
    }

    /// The octets kept.
    pub fn octets(&self, stored: &StoredReply) -> &[u8] {
        let page = &self.pages[stored.page as usize];
        let start = usize::from(stored.chunk) * (SMALLEST_OCTETS << page.class);
        &page.octets[start..start + usize::from(stored.length)]
    }

    /// Forgets a reply; its chunk is free again.
    pub fn forget(&mut self, stored: StoredReply) {
        let page = &mut self.pages[stored.page as usize];
        let octets_each = SMALLEST_OCTETS << page.class;
        let was_full = usize::from(page.used) == PAGE_OCTETS / octets_each;
        let start = usize::from(stored.chunk) * octets_each;
        page.octets[start..start + 2].copy_from_slice(&page.free.to_le_bytes());
        page.free = stored.chunk;
        page.used -= 1;
        let is_blank = page.used == 0;
        match (was_full, is_blank) {
            // A page of one chunk does not exist: what was full is not blank now.
            (true, _) => self.open(stored.page),
            (false, true) => {
                self.close(stored.page);
                self.blank.push(stored.page);
            }
            (false, false) => {}
        }
    }

    /// Whether a reply of so many octets would fit where this one is.
    pub fn fits(&self, octets: usize, stored: &StoredReply) -> bool {
        class_of(octets) <= usize::from(self.pages[stored.page as usize].class)
    }

    /// An open page of this class or, when no blank one can be had, of the next larger that has one.
    fn page_for(&mut self, class: usize) -> Option<u32> {
        if self.open[class] != NO_PAGE {
            return Some(self.open[class]);
        }
        let blank = self.blank.pop().or_else(|| {
            (self.pages.len() < self.pages_max).then(|| {
                self.pages.push(Page::new());
                (self.pages.len() - 1) as u32
            })
        });
        let Some(page) = blank else {
            return self.open[class..].iter().copied().find(|page| *page != NO_PAGE);
        };
        let Page { class: of_page, free, untouched, .. } = &mut self.pages[page as usize];
        (*of_page, *free, *untouched) = (class as u8, NO_CHUNK, 0);
        self.open(page);
        Some(page)
    }

    /// Puts a page in front of the open ones of its class.
    fn open(&mut self, page: u32) {
        let class = usize::from(self.pages[page as usize].class);
        let after = core::mem::replace(&mut self.open[class], page);
        (self.pages[page as usize].before, self.pages[page as usize].after) = (NO_PAGE, after);
        if after != NO_PAGE {
            self.pages[after as usize].before = page;
        }
    }

    /// Takes a page from among the open ones of its class.
    fn close(&mut self, page: u32) {
        let Page { class, before, after, .. } = self.pages[page as usize];
        match before {
            NO_PAGE => self.open[usize::from(class)] = after,
            before => self.pages[before as usize].after = after,
        }
        if after != NO_PAGE {
            self.pages[after as usize].before = before;
        }
    }
}

impl Page {
    fn new() -> Self {
        Page {
            octets: vec![0; PAGE_OCTETS].into_boxed_slice(),
            class: 0,
            used: 0,
            free: NO_CHUNK,
            untouched: 0,
            before: NO_PAGE,
            after: NO_PAGE,
        }
    }
}

fn class_of(octets: usize) -> usize {
    let class = octets.div_ceil(SMALLEST_OCTETS).next_power_of_two().trailing_zeros() as usize;
    assert!(class < CLASSES, "a reply has at most 4096 octets");
    class
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
        assert_eq!(store.keep(&[1; 20]), None);
        for (n, reply) in kept.into_iter().enumerate() {
            assert_eq!(store.octets(&reply), [n as u8; 4096]);
            store.forget(reply);
        }
        assert!(store.keep(&[1; 4096]).is_some());
    }

    #[test]
    fn a_class_without_a_page_of_its_own_takes_a_larger_chunk() {
        let mut store = ReplyStore::new(PAGE_OCTETS);
        let large = store.keep(&[1; 1000]).unwrap();
        let small = store.keep(&[2; 20]).expect("a chunk of 1 024 octets holds 20");
        assert!(store.fits(20, &large) && store.fits(1024, &small) && !store.fits(1025, &small));
        assert_eq!((store.octets(&large), store.octets(&small)), (&[1; 1000][..], &[2; 20][..]));
    }

    #[test]
    fn a_page_that_is_free_again_serves_another_class() {
        let mut store = ReplyStore::new(PAGE_OCTETS);
        let small = store.keep(&[1; 20]).unwrap();
        assert_eq!(store.keep(&[2; 4096]), None);
        store.forget(small);
        assert!(store.keep(&[2; 4096]).is_some());
    }

    proptest! {
        #[test]
        fn replies_never_overlap_and_all_memory_comes_back(
            steps in proptest::collection::vec((1usize..=4096, any::<bool>()), 1..300),
        ) {
            let mut store = ReplyStore::new(3 * PAGE_OCTETS);
            let mut kept: Vec<(StoredReply, Vec<u8>)> = Vec::new();
            for (n, (length, forget)) in steps.into_iter().enumerate() {
                let octets = vec![n as u8; length];
                if let Some(stored) = store.keep(&octets) {
                    kept.push((stored, octets));
                }
                if forget && !kept.is_empty() {
                    store.forget(kept.swap_remove(n % kept.len()).0);
                }
                for (stored, octets) in &kept {
                    prop_assert_eq!(store.octets(stored), &octets[..]);
                }
            }
            for (stored, _) in kept {
                store.forget(stored);
            }
            prop_assert_eq!(store.blank.len(), store.pages.len());
            prop_assert!(store.open.iter().all(|page| *page == NO_PAGE));
            prop_assert!((0..48).all(|_| store.keep(&[1; 4096]).is_some()));
        }
    }
}
