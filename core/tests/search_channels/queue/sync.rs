//! What stands for `core/src/queue/sync.rs` here: atomics, fences and cells whose content is a cell of the searched
//! [`memory`](crate::memory). Those that are made while no model is built are the language's own: so the sources' unit
//! tests, which come along with them, run here, too.

use crate::memory::{self, Access, CellId};
use std::mem::size_of;
use std::panic::Location;
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

#[track_caller]
pub fn fence(order: Ordering) {
    assert_eq!(order, Ordering::SeqCst, "the proof needs no other fence");
    if memory::is_modelled() {
        memory::fence(Location::caller().file());
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
