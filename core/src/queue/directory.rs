//! Who is there: the threads of a server by their numbers, and what it takes to reach one.
//!
//! A supervisor owns the [`Directory`]. Threads [`enter`](Directory::enter) it and [`leave`](Directory::leave) it while
//! others run; two are joined by [`link`](super::link()), whose ends travel to them as letters, the first thing that a
//! thread hears of a link. How a link ends is said within the link: what a thread says last in it, the other reads last.
//!
//! # When a number is given again
//!
//! The number of a thread that has left is given to the next that enters as soon as nobody holds anything by which that
//! thread could be rung: its crossing, the link ends that lead to it, attached or not, and the copies of its handle. Until
//! then it stays taken, however long; nothing has to wait for it, the next number is taken instead. A bell that is rung
//! late all the same, since a thread was told [`BellId`] before its link went and rings it afterwards, rings at worst for
//! whoever has the number next: once, for nothing, which every thread bears ([`rings_spurious`](super::QueueCounters)).
//!
//! Starts no thread and rings no bell; does not know which core runs where.

use super::crossing::{BellId, Crossing};
use super::gate::{Gate, Urgency};
use super::mailbox::Mailbox;
use super::sync::{Arc, Ordering, fence};
use crate::seeded::{self, Bug};
use alloc::vec::Vec;

/// All that others need to reach one thread. Any number of copies, in any thread.
pub struct ThreadHandle<L = ()> {
    bell: BellId,
    gate: Arc<Gate>,
    mailbox: Arc<Mailbox<L>>,
}

impl<L> Clone for ThreadHandle<L> {
    fn clone(&self) -> Self {
        ThreadHandle { bell: self.bell, gate: self.gate.clone(), mailbox: self.mailbox.clone() }
    }
}

impl<L> ThreadHandle<L> {
    /// A thread of this number that nobody has heard of yet.
    pub(super) fn new(bell: BellId) -> Self {
        ThreadHandle { bell, gate: Arc::new(Gate::new()), mailbox: Arc::new(Mailbox::new()) }
    }

    /// The thread's number.
    pub fn bell(&self) -> BellId {
        self.bell
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox<L>> {
        &self.mailbox
    }
}

impl<L: Send> ThreadHandle<L> {
    /// Posts a letter to the thread; says whose bell the caller, and no other, has to ring now. Letters of one poster
    /// arrive in their order. One to a thread that has left is dropped with its mailbox.
    #[must_use = "the thread may be asleep"]
    pub fn post(&self, letter: L) -> Option<BellId> {
        self.mailbox.put(letter);
        // A letter is as a message: between showing it and the look at the gate. Pairs with the fence in
        // `Gate::announce`.
        if !seeded::is(Bug::PostWithoutFence) {
            fence(Ordering::SeqCst);
        }
        // Always urgent: what is posted seldom is waited for.
        self.gate.ring_if(Urgency::Urgent).then_some(self.bell)
    }
}

/// The threads that there are, by number. One owner: numbers are given in one place.
pub struct Directory<L = ()> {
    /// By number.
    places: Vec<Place<L>>,
}

enum Place<L> {
    Present(ThreadHandle<L>),
    /// Its thread has left. The number is free once this is the last that holds the gate.
    Left(Arc<Gate>),
}

impl<L> Place<L> {
    fn is_free(&self) -> bool {
        match self {
            Place::Present(_) => false,
            // One is this place's own. A count that has come to one stays there: nobody is left to copy from.
            Place::Left(gate) => Arc::strong_count(gate) == 1,
        }
    }
}

impl<L: Send> Directory<L> {
    /// With nobody in it.
    pub fn new() -> Self {
        Directory { places: Vec::new() }
    }

    /// A thread comes: gives it the lowest free number, and makes the handle by which others reach it and the crossing
    /// that moves into it.
    ///
    /// # Panics
    /// If all 65 536 numbers are taken.
    pub fn enter<M: Send>(&mut self) -> (ThreadHandle<L>, Crossing<M, L>) {
        let free = self.places.iter().position(Place::is_free);
        let number = free.unwrap_or(self.places.len());
        let bell = BellId(u16::try_from(number).expect("there are fewer threads than numbers"));
        let handle = ThreadHandle::new(bell);
        let place = Place::Present(handle.clone());
        match free {
            Some(at) => self.places[at] = place,
            None => self.places.push(place),
        }
        let crossing = Crossing::of(&handle);
        (handle, crossing)
    }

    /// A thread goes: nobody finds it here any more. Its number is given again once nothing leads to it, as said above.
    ///
    /// # Panics
    /// If nobody of this number is here.
    pub fn leave(&mut self, bell: BellId) {
        let gate = self.handle(bell).expect("only who is here can leave").gate.clone();
        // Its mailbox goes with the last handle; letters that nobody will read go now, if that was it.
        self.places[usize::from(bell.0)] = Place::Left(gate);
    }

    /// How to reach the thread of this number, if there is one.
    pub fn handle(&self, bell: BellId) -> Option<&ThreadHandle<L>> {
        match self.places.get(usize::from(bell.0))? {
            Place::Present(handle) => Some(handle),
            Place::Left(_) => None,
        }
    }
}

impl<L: Send> Default for Directory<L> {
    fn default() -> Self {
        Directory::new()
    }
}

#[cfg(all(test, not(loom)))]
#[path = "directory/tests.rs"]
mod tests;
