//! What stands for `core/src/queue/sync.rs` here: atomics, fences and cells whose content is a cell of the searched
//! [`memory`](crate::memory). Those that are made while no model is built are the language's own: so the sources' unit
//! tests, which come along with them, run here, too.

use crate::memory::{self, Access, CellId};
use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::sync::atomic;

pub use std::sync::Arc;
pub use std::sync::atomic::Ordering;

macro_rules! modelled {
    ($name:ident, $word:ty, $new:path) => {
        pub struct $name {
            cell: Option<CellId>,
            own: atomic::$name,
        }

        impl $name {
            pub fn new(value: $word) -> Self {
                $name { cell: $new(u64::from(value)), own: atomic::$name::new(value) }
            }

            pub fn load(&self, order: Ordering) -> $word {
                match self.cell {
                    None => self.own.load(order),
                    Some(cell) => memory::access(Access::Load(cell)) as $word,
                }
            }

            pub fn store(&self, value: $word, order: Ordering) {
                match self.cell {
                    None => self.own.store(value, order),
                    Some(cell) => {
                        memory::access(Access::Store(cell, u64::from(value)));
                    }
                }
            }
        }
    };
}

modelled!(AtomicU32, u32, memory::new_gate);
modelled!(AtomicU64, u64, memory::new_index);

impl AtomicU32 {
    pub fn swap(&self, value: u32, order: Ordering) -> u32 {
        match self.cell {
            None => self.own.swap(value, order),
            Some(cell) => memory::access(Access::Swap(cell, u64::from(value))) as u32,
        }
    }

    pub fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        let Some(cell) = self.cell else {
            return self.own.compare_exchange(current, new, success, failure);
        };
        let found = memory::access(Access::CompareExchange(cell, u64::from(current), u64::from(new))) as u32;
        if found == current { Ok(found) } else { Err(found) }
    }
}

/// The top of a mailbox. Of the model its word is the letters themselves, octets, the newest lowest, so that two states
/// with the same letters are the same. Letters are made into what the sources know when they are taken, and what the
/// sources made is freed when it is put in. Who looks at the top sees that word: the sources only compare it.
pub struct AtomicPtr<T> {
    cell: Option<CellId>,
    own: atomic::AtomicPtr<T>,
}

impl<T> AtomicPtr<T> {
    pub fn new(top: *mut T) -> Self {
        let cell = memory::new_mailbox();
        assert!(
            cell.is_none() || size_of::<T>() == 2 * CONTENT_AT,
            "modelled letters are a pointer and an octet"
        );
        AtomicPtr { cell, own: atomic::AtomicPtr::new(top) }
    }

    pub fn load(&self, order: Ordering) -> *mut T {
        match self.cell {
            None => self.own.load(order),
            Some(cell) => ptr::without_provenance_mut(memory::access(Access::Load(cell)) as usize),
        }
    }

    pub fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let Some(cell) = self.cell else {
            return self.own.compare_exchange(current, new, success, failure);
        };
        // SAFETY: `new` is a letter that the sources have just made: a pointer, then its content, an octet (see `new`).
        let octet = unsafe { new.cast::<u8>().add(CONTENT_AT).read() };
        let expected = current.addr() as u64;
        assert!(octet != 0 && expected >> 56 == 0, "letters are not 0, and at most eight are unread");
        let word = expected << 8 | u64::from(octet);
        let found = memory::access(Access::CompareExchange(cell, expected, word));
        if found != expected {
            return Err(ptr::without_provenance_mut(found as usize));
        }
        // SAFETY: it came from a box, and the sources have given it away. Its content is plain.
        drop(unsafe { Box::from_raw(new.cast::<MaybeUninit<T>>()) });
        Ok(current)
    }

    /// Only ever with null: all letters are taken.
    pub fn swap(&self, new: *mut T, order: Ordering) -> *mut T {
        let Some(cell) = self.cell else { return self.own.swap(new, order) };
        assert!(new.is_null(), "nothing else is swapped in");
        let octets = memory::access(Access::Swap(cell, 0)).to_be_bytes();
        octets.into_iter().filter(|octet| *octet != 0).fold(ptr::null_mut(), |below, octet| {
            let letter = Box::into_raw(Box::<T>::new_uninit()).cast::<T>();
            // SAFETY: the box has room for both (see `new`).
            unsafe {
                letter.cast::<*mut T>().write(below);
                letter.cast::<u8>().add(CONTENT_AT).write(octet);
            }
            letter
        })
    }
}

/// Where the content of a letter stands, behind the pointer to the next.
const CONTENT_AT: usize = size_of::<*mut u8>();

pub fn fence(order: Ordering) {
    assert_eq!(order, Ordering::SeqCst, "the proof needs no other fence");
    if memory::is_modelled() {
        memory::fence();
    } else {
        atomic::fence(order);
    }
}

/// A slot. Its content is a cell of the memory, written through the store buffer as everything else; `place` only lends
/// it an address.
pub struct UnsafeCell<T> {
    cell: Option<CellId>,
    place: std::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        let cell = memory::new_slot();
        assert!(cell.is_none() || size_of::<T>() == 1, "modelled messages are octets");
        UnsafeCell { cell, place: std::cell::UnsafeCell::new(value) }
    }

    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        if let Some(cell) = self.cell {
            let octet = memory::access(Access::Load(cell)) as u8;
            // SAFETY: a modelled slot is one octet (see `new`), and models run in one thread.
            unsafe { self.place.get().cast::<u8>().write(octet) };
        }
        f(self.place.get())
    }

    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        if self.cell.is_some() {
            // SAFETY: as in `with`. Whatever `f` does, an octet can be read afterwards.
            unsafe { self.place.get().cast::<u8>().write(0) };
        }
        let result = f(self.place.get());
        if let Some(cell) = self.cell {
            // SAFETY: as in `with`, and written above.
            let octet = unsafe { self.place.get().cast::<u8>().read() };
            memory::access(Access::Store(cell, u64::from(octet)));
        }
        result
    }
}
