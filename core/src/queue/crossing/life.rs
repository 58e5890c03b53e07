//! How links come to a thread, and how they leave it.
//!
//! | state | from | to |
//! |---|---|---|
//! | unattached | [`link`](super::link()): the end travels as a letter; what the other end publishes waits in it | `attach` |
//! | open | `attach`: swept, and part of each second look | the last message of either side |
//! | closing | one side has said its last: an ordinary message, which the layer above knows; the other reads on until it has it, and says its own last | both have staged and read a last message |
//! | drained | `is_drained`: all that was published here is read there, nothing is unread here, nothing staged, unpublished or unchecked | `detach` |
//! | retired | `detach`: the ring is freed with the second end, the number is the next link's | |
//!
//! Nothing out of band can overtake a last message, since there is nothing out of band. Who has said and read its last
//! and is not drained yet asks for it ([`ask_for_drain`](Crossing::ask_for_drain)) and may sleep: the other side's sweep of
//! the last message passes that mark, and its gate check wakes whoever waits. That is why a side with an unchecked gate is
//! not drained: detached, it would leave the other asleep.

use super::{ATTACHED, Crossing, LinkEnd, LinkId, Park};
use crate::seeded::{self, Bug};

impl<M: Send, L: Send> Crossing<M, L> {
    /// The next letter that was posted to this thread.
    #[inline]
    pub fn poll_letter(&mut self) -> Option<L> {
        debug_assert!(!self.park.is_announced(), "an announced thread unparks before it reads letters");
        if self.letters.is_empty() {
            // A load before the swap: the line stays shared as long as nobody writes.
            if self.mailbox.is_empty() {
                return None;
            }
            self.letters = self.mailbox.take();
        }
        self.park = Park::Running;
        self.letters.next()
    }

    /// Adds a link to those of this thread, under the lowest free number. Part of each sweep and second look from here on;
    /// what the other end has published meanwhile is in it. Allocates, so that nothing does later.
    ///
    /// # Panics
    /// If the end was made for another thread, or if this thread has announced its sleep.
    pub fn attach(&mut self, end: LinkEnd<M>) -> LinkId {
        assert!(end.own() == self.bell, "a link's end belongs to the thread that it was made for");
        assert!(!self.park.is_announced(), "an announced thread unparks before it attaches");
        let free = self.links.iter().position(Option::is_none);
        let at = free.unwrap_or(self.links.len());
        let link = Some(end.into_link());
        match free {
            Some(at) => self.links[at] = link,
            None => self.links.push(link),
        }
        for line in [&mut self.touched, &mut self.unchecked] {
            line.reserve(self.links.len() - line.len());
        }
        LinkId(at)
    }

    /// Whether all has been said: what was published on this link the other end has read, as far as can be seen; there is
    /// nothing to read; and nothing is staged, unpublished or unchecked. Looks at the other end's cache lines.
    pub fn is_drained(&mut self, link: LinkId) -> bool {
        let link = self.links[link.0].as_mut().expect(ATTACHED);
        let is_checked = !link.touched && !link.unchecked;
        (is_checked || seeded::is(Bug::RetireWithoutWakingThePeer))
            && link.incoming.available() == 0
            && link.outgoing.is_drained()
    }

    /// This thread has said its last on the link and has nothing else to do than wait until it is read: the other end is
    /// to ring when it has read all that was staged so far, and the second look includes this link until then. The wait
    /// ends as that for space does.
    ///
    /// # Panics
    /// If the thread has announced its sleep: the mark has to stand before that fence.
    pub fn ask_for_drain(&mut self, link: LinkId) {
        assert!(!self.park.is_announced(), "a drain is asked for before the announcement");
        let link = self.links[link.0].as_mut().expect(ATTACHED);
        link.outgoing.ask_for_drain();
        link.waits_for_space = true;
    }

    /// Gives the link up; its number is free. The other end may keep its own for as long as it likes, and publish nothing
    /// in it: that nobody would read.
    ///
    /// # Panics
    /// Unless it [is drained](Self::is_drained): a message would be lost, or a sleeper not woken.
    pub fn detach(&mut self, link: LinkId) {
        assert!(self.is_drained(link), "a link is detached once it is drained");
        // Both are drained, so it is in neither; a seeded bug thinks otherwise.
        self.touched.retain(|at| *at != link.0);
        self.unchecked.retain(|at| *at != link.0);
        self.links[link.0] = None;
        while self.links.last().is_some_and(Option::is_none) {
            self.links.pop();
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "life_tests.rs"]
mod tests;
