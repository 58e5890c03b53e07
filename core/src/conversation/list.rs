//! Values of a slab in an order, by links that stand in the values themselves.

use super::slab::{NONE, Slab};

/// First and last of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub first: u32,
    pub last: u32,
}

/// Those before and after one value of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbours {
    before: u32,
    after: u32,
}

impl Neighbours {
    /// Of what is on no list.
    pub const NONE: Neighbours = Neighbours { before: NONE, after: NONE };
}

impl Ends {
    /// A list of nothing.
    pub const EMPTY: Ends = Ends { first: NONE, last: NONE };

    /// The first, if there is one.
    pub fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Puts what is on no list at the end.
    pub fn append<T>(&mut self, slab: &mut Slab<T>, place: u32, of: impl Fn(&mut T) -> &mut Neighbours) {
        *of(&mut slab[place]) = Neighbours { before: self.last, after: NONE };
        match self.last {
            NONE => self.first = place,
            last => of(&mut slab[last]).after = place,
        }
        self.last = place;
    }

    /// Takes out what is on this list.
    pub fn remove<T>(&mut self, slab: &mut Slab<T>, place: u32, of: impl Fn(&mut T) -> &mut Neighbours) {
        let Neighbours { before, after } = core::mem::replace(of(&mut slab[place]), Neighbours::NONE);
        match before {
            NONE => self.first = after,
            before => of(&mut slab[before]).after = after,
        }
        match after {
            NONE => self.last = before,
            after => of(&mut slab[after]).before = before,
        }
    }

    /// The one after another of this list.
    pub fn after<T>(slab: &Slab<T>, place: u32, of: impl Fn(&T) -> &Neighbours) -> Option<u32> {
        let after = of(&slab[place]).after;
        (after != NONE).then_some(after)
    }
}
