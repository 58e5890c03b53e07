//! The file in memory, as words that another process may write at any time. All of this link's `unsafe` is here.
//!
//! Nothing here is ever seen through a plain reference: only as atomics, and octets are copied out of them before anybody
//! looks. What the other process stores then is to us a value that an atomic load may see, whatever instructions, sizes or
//! language it was stored with; the compiler may not assume that two loads agree, and a value is checked after it was
//! loaded, once, in the copy. Thus no race in Rust's sense: this process's own accesses are all atomic, and another
//! process's are none of its threads'.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use ulna_core::queue::Gate;

/// A file, or its begin, mapped shared; until it is dropped.
pub(super) struct Mapping {
    base: NonNull<u8>,
    octets: usize,
}

// SAFETY: it is owned memory of this process that no thread is tied to.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference there are atomics only.
unsafe impl Sync for Mapping {}

const _: () = assert!(size_of::<Gate>() == GATE_OCTETS && align_of::<Gate>() == GATE_OCTETS);

impl Mapping {
    /// Maps so many octets of a file, which has to have them. If it is cut later on, what looks there is ended by SIGBUS:
    /// only its owner can, who may as well send any other signal.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(file: &File, octets: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), octets, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("the kernel maps nothing at 0 unless it is told to");
        Ok(Mapping { base, octets })
    }

    /// The words from this offset on.
    ///
    /// # Panics
    /// If they are not all in it, or the offset is no multiple of 8.
    #[inline]
    pub fn words(&self, offset: usize, count: usize) -> &[AtomicU64] {
        let is_in = count.checked_mul(WORD).and_then(|octets| octets.checked_add(offset));
        assert!(
            is_in.is_some_and(|end| end <= self.octets) && offset.is_multiple_of(WORD),
            "words of the mapping"
        );
        // SAFETY: all of them are in the mapping, which lives as long as `self`, and a page begins at `base`, so that they
        // are aligned. Each octet of a file is initialised and each value of a word is valid. Nobody here has any other
        // reference to this memory than to atomics; what other processes do is argued above.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset).cast(), count) }
    }

    /// The word at this offset.
    #[inline]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        &self.words(offset, 1)[0]
    }

    /// The gate at this offset.
    ///
    /// # Panics
    /// If it is not all in the mapping, or the offset is no multiple of 128.
    pub fn gate(&self, offset: usize) -> &Gate {
        assert!(
            offset.is_multiple_of(GATE_OCTETS) && offset + GATE_OCTETS <= self.octets,
            "a gate of the mapping"
        );
        // SAFETY: as in `words`. A gate is one atomic and padding (`repr(C)`), it has no invalid value, and it is defined
        // what it does with a word that it has not written.
        unsafe { self.base.add(offset).cast().as_ref() }
    }

    /// Copies octets out, each word once. Relaxed: ordered by what told the caller that they are there.
    #[inline]
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) {
        let words = self.words(offset, out.len().div_ceil(WORD));
        for (octets, word) in out.chunks_mut(WORD).zip(words) {
            octets.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[..octets.len()]);
        }
    }

    /// Copies octets in; the last word is filled up with zeros. Relaxed: ordered by what tells the reader of them.
    #[inline]
    pub fn copy_in(&self, offset: usize, octets: &[u8]) {
        let words = self.words(offset, octets.len().div_ceil(WORD));
        for (octets, word) in octets.chunks(WORD).zip(words) {
            let mut filled = [0; WORD];
            filled[..octets.len()].copy_from_slice(octets);
            word.store(u64::from_ne_bytes(filled), Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, whole, and no reference into it outlives `self`.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), self.octets) };
        assert!(result == 0, "a mapping that is ours can be given back");
    }
}

const WORD: usize = 8;
const GATE_OCTETS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::os::unix::fs::FileExt;
    use ulna_core::queue::{Announcement, Urgency, Woken};

    fn file(octets: u64) -> File {
        let file = File::from(memfd_create("ring", MemfdFlags::CLOEXEC).expect("Linux has it"));
        file.set_len(octets).expect("there is memory");
        file
    }

    #[test]
    fn what_is_copied_in_is_in_the_file_and_comes_out() {
        let file = file(4096);
        let mapping = Mapping::new(&file, 4096).expect("it maps");
        let octets: Vec<u8> = (1..=101).collect();
        mapping.copy_in(64, &octets);
        let mut read = [0; 104];
        file.read_exact_at(&mut read, 64).expect("it has them");
        assert_eq!((&read[..101], &read[101..]), (&octets[..], &[0; 3][..]));
        let mut out = [0; 101];
        mapping.copy_out(64, &mut out);
        assert_eq!(out[..], octets[..]);
    }

    #[test]
    fn any_word_in_a_gate_has_a_meaning() {
        let file = file(4096);
        let mapping = Mapping::new(&file, 4096).expect("it maps");
        let gate = mapping.gate(128);
        for word in [4u32, 77, u32::MAX] {
            file.write_all_at(&word.to_ne_bytes(), 128).expect("it is ours");
            assert!(!gate.ring_if(Urgency::Urgent));
            assert_eq!(gate.leave(), Woken::Itself);
        }
        gate.announce(Announcement::Park);
        let mut word = [0; 4];
        file.read_exact_at(&mut word, 128).expect("it has it");
        assert_eq!(u32::from_ne_bytes(word), 1, "as the table of the format says");
    }

    #[test]
    #[should_panic(expected = "words of the mapping")]
    fn beyond_its_end_there_are_no_words() {
        let mapping = Mapping::new(&file(4096), 4096).expect("it maps");
        mapping.words(4088, 2);
    }
}
