//! Keeps the octets of replies for as long as duplicates may ask for them.
//!
//! Chunks of seven classes, 64 to 4 096 octets, in pages of 64 KiB. Memory is taken a page at a time up to a bound and
//! never given back to the system; once as much is there as is needed at once, nothing is allocated. A page whose chunks
//! are all free serves any class again. Where short replies come without end none may ever fall free by itself: each
//! chunk says whose it is, so that a whole page can be cleared for a long one.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const CLASSES: usize = 7;
const SMALLEST_OCTETS: usize = 64;
/// One page holds 16 of the largest chunks, 1 024 of the smallest.
const PAGE_OCTETS: usize = 65_536;
/// Chunks of a page, at most.
pub const CHUNKS_MAX: usize = PAGE_OCTETS / SMALLEST_OCTETS;
/// What a page takes: beside its chunks, an owner for each of the smallest.
const PAGE_MEMORY_OCTETS: usize = PAGE_OCTETS + CHUNKS_MAX * size_of::<u32>();
/// Pages looked at for one without a reply to a signed request, at most.
const PAGE_LOOKS_MAX: usize = 64;
/// Nobody owns a chunk that is free.
const NO_OWNER: u32 = u32::MAX;
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
    /// The page whose turn it is to be cleared.
    hand: usize,
}

#[derive(Debug)]
struct Page {
    octets: Box<[u8]>,
    /// The dedup entry of each chunk.
    owners: Box<[u32]>,
    class: u8,
    used: u16,
    /// Of the used chunks, those with replies to signed requests.
    signed: u16,
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
        let pages_max = octets_max.div_ceil(PAGE_MEMORY_OCTETS);
        ReplyStore {
            pages: Vec::with_capacity(pages_max),
            blank: Vec::with_capacity(pages_max),
            open: [NO_PAGE; CLASSES],
            pages_max,
            hand: 0,
        }
    }

    /// Keeps a copy of `reply` (1 to 4 096 octets) for the dedup entry `owner` in a chunk of its class or, where none is
    /// to be had, of a larger one; `None` when there is none of these either.
    pub fn keep(&mut self, reply: &[u8], owner: u32, is_signed: bool) -> Option<StoredReply> {
        let class = class_of(reply.len());
        let page = self.page_for(class)?;
        let Page { octets, owners, class, used, signed, free, untouched, .. } =
            &mut self.pages[page as usize];
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
        owners[usize::from(chunk)] = owner;
        *used += 1;
        *signed += u16::from(is_signed);
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

    /// Forgets a reply, kept with this very `is_signed`; its chunk is free again.
    pub fn forget(&mut self, stored: StoredReply, is_signed: bool) {
        let page = &mut self.pages[stored.page as usize];
        let octets_each = SMALLEST_OCTETS << page.class;
        let was_full = usize::from(page.used) == PAGE_OCTETS / octets_each;
        let start = usize::from(stored.chunk) * octets_each;
        page.octets[start..start + 2].copy_from_slice(&page.free.to_le_bytes());
        page.owners[usize::from(stored.chunk)] = NO_OWNER;
        page.free = stored.chunk;
        page.used -= 1;
        page.signed -= u16::from(is_signed);
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

    /// A page to be cleared: one without replies to signed requests if there is any among the next ones or, for a signed
    /// request, the next. Pages have their turns: the replies in any of them are of all ages.
    pub fn page_to_clear(&mut self, for_signed: bool) -> Option<u32> {
        let pages = self.pages.len();
        let turns = (self.hand..pages).chain(0..self.hand).take(PAGE_LOOKS_MAX);
        let found = turns.clone().find(|page| self.pages[*page].signed == 0);
        let page = found.or_else(|| turns.clone().next().filter(|_| for_signed))?;
        self.hand = (page + 1) % pages;
        Some(page as u32)
    }

    /// The dedup entry whose reply a chunk of a page (up to [`CHUNKS_MAX`]) holds; none if the chunk is free.
    pub fn owner(&self, page: u32, chunk: usize) -> Option<u32> {
        let owner = self.pages[page as usize].owners[chunk];
        (owner != NO_OWNER).then_some(owner)
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
            owners: vec![NO_OWNER; CHUNKS_MAX].into_boxed_slice(),
            class: 0,
            used: 0,
            signed: 0,
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
        let kept: Vec<_> = (0..16).map(|n| store.keep(&[n; 4096], 0, true).unwrap()).collect();
        assert_eq!(store.keep(&[1; 4096], 0, true), None);
        assert_eq!(store.keep(&[1; 20], 0, true), None);
        for (n, reply) in kept.into_iter().enumerate() {
            assert_eq!(store.octets(&reply), [n as u8; 4096]);
            store.forget(reply, true);
        }
        assert!(store.keep(&[1; 4096], 0, true).is_some());
    }

    #[test]
    fn a_class_without_a_page_of_its_own_takes_a_larger_chunk() {
        let mut store = ReplyStore::new(PAGE_OCTETS);
        let large = store.keep(&[1; 1000], 0, true).unwrap();
        let small = store.keep(&[2; 20], 0, true).expect("a chunk of 1 024 octets holds 20");
        assert!(store.fits(20, &large) && store.fits(1024, &small) && !store.fits(1025, &small));
        assert_eq!((store.octets(&large), store.octets(&small)), (&[1; 1000][..], &[2; 20][..]));
    }

    #[test]
    fn a_page_that_is_free_again_serves_another_class() {
        let mut store = ReplyStore::new(PAGE_OCTETS);
        let small = store.keep(&[1; 20], 0, true).unwrap();
        assert_eq!(store.keep(&[2; 4096], 0, true), None);
        store.forget(small, true);
        assert!(store.keep(&[2; 4096], 0, true).is_some());
    }

    #[test]
    fn pages_are_cleared_in_turn_and_those_without_signed_replies_first() {
        let mut store = ReplyStore::new(3 * PAGE_OCTETS);
        assert_eq!(store.page_to_clear(true), None, "there is none yet");
        let kept: Vec<_> = (0..48).map(|n| store.keep(&[1; 4096], n, n / 16 != 1).unwrap()).collect();
        assert_eq!([false, true, false].map(|signed| store.page_to_clear(signed)), [Some(1); 3]);
        kept.into_iter().zip(0..48).for_each(|(stored, n)| store.forget(stored, n / 16 != 1));
        (0..48).for_each(|n| assert!(store.keep(&[1; 4096], n, true).is_some()));
        assert_eq!(store.page_to_clear(false), None, "all of them hold signed ones");
        assert_eq!([true; 4].map(|signed| store.page_to_clear(signed)), [Some(2), Some(0), Some(1), Some(2)]);
    }

    proptest! {
        #[test]
        fn replies_never_overlap_and_all_memory_comes_back(
            steps in proptest::collection::vec((1usize..=4096, any::<bool>()), 1..300),
        ) {
            let mut store = ReplyStore::new(3 * PAGE_OCTETS);
            let mut kept: Vec<(StoredReply, Vec<u8>, usize)> = Vec::new();
            for (n, (length, forget)) in steps.into_iter().enumerate() {
                let octets = vec![n as u8; length];
                if let Some(stored) = store.keep(&octets, n as u32, n % 3 > 0) {
                    kept.push((stored, octets, n));
                }
                if forget && !kept.is_empty() {
                    let (stored, _, n) = kept.swap_remove(n % kept.len());
                    store.forget(stored, n % 3 > 0);
                }
                for (stored, octets, n) in &kept {
                    prop_assert_eq!(store.octets(stored), &octets[..]);
                    prop_assert_eq!(store.owner(stored.page, stored.chunk.into()), Some(*n as u32));
                }
                for (page, inside) in store.pages.iter().enumerate() {
                    let owned = (0..CHUNKS_MAX).filter(|chunk| store.owner(page as u32, *chunk).is_some());
                    let of_page: Vec<_> = kept.iter().filter(|(stored, ..)| stored.page as usize == page).collect();
                    let signed = of_page.iter().filter(|(_, _, n)| n % 3 > 0).count();
                    prop_assert_eq!(owned.count(), of_page.len());
                    prop_assert_eq!((usize::from(inside.used), usize::from(inside.signed)), (of_page.len(), signed));
                }
            }
            for (stored, _, n) in kept {
                store.forget(stored, n % 3 > 0);
            }
            prop_assert_eq!(store.blank.len(), store.pages.len());
            prop_assert!(store.open.iter().all(|page| *page == NO_PAGE));
            prop_assert!((0..48).all(|_| store.keep(&[1; 4096], 0, true).is_some()));
        }
    }
}
