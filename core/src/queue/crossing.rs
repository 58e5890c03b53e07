//! All that one thread shares with the others: its gate, its mailbox and every one of its rings, so that no second look
//! can miss one. The phases of a turn are methods, in the order of a turn; production calls them back to back, the simulator
//! stops threads between any two, loom between any two accesses.
//!
//! | phase | does |
//! |---|---|
//! | [`unpark`](Crossing::unpark) | after a sleep: back to `RUN` |
//! | [`poll_letter`](Crossing::poll_letter), [`attach`](Crossing::attach) | new links, brought by letters |
//! | [`sweep`](Crossing::sweep) | takes messages, gives their slots back |
//! | [`room`](Crossing::room), [`stage`](Crossing::stage), [`ask_for_space`](Crossing::ask_for_space) | writes messages that nobody sees yet |
//! | [`publish`](Crossing::publish) | shows them, one store per ring, and one fence for these and for the slots given back |
//! | [`check_gate`](Crossing::check_gate) | until `None`: whose bell this thread has to ring |
//! | [`is_drained`](Crossing::is_drained), [`detach`](Crossing::detach), [`ask_for_drain`](Crossing::ask_for_drain) | links on which all has been said |
//! | [`announce`](Crossing::announce) | about to sleep, and a fence |
//! | [`look_again`](Crossing::look_again) | may it? |
//!
//! Threads are numbered by their [`Directory`](super::Directory) ([`BellId`]), links by the crossing ([`LinkId`]); which
//! core of the thread a link belongs to, and which core is at its other end, the caller keeps beside. `life.rs` says how
//! links come and go.

// The paths are written out because `tests/search_channels` compiles this file as a module of its own.
#[path = "crossing/exchange.rs"]
mod exchange;
#[path = "crossing/life.rs"]
mod life;
#[path = "crossing/link.rs"]
mod link;
#[cfg(all(test, not(loom)))]
#[path = "crossing/snapshot.rs"]
mod snapshot;

pub use exchange::Exchange;
pub use link::{LinkEnd, link};

use super::directory::ThreadHandle;
use super::gate::{Announcement, Gate, Urgency, Woken};
use super::mailbox::{Letters, Mailbox};
use super::sync::{Arc, Ordering, fence};
use crate::seeded::{self, Bug};
use alloc::vec::Vec;
use link::Link;

/// The number of a thread, by which the driver finds its bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BellId(pub u16);

/// A link of this thread's [`Crossing`]: a ring to another thread and the one back. The other end has a number of its
/// own for it. Given again, the lowest first, once the link is detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// One thread's gate, its mailbox and all of its rings; messages are `M`, letters `L`. It moves to its thread once and
/// stays there; but for [`attach`](Self::attach) nothing here allocates, locks or calls the system.
pub struct Crossing<M, L = ()> {
    bell: BellId,
    gate: Arc<Gate>,
    mailbox: Arc<Mailbox<L>>,
    /// Taken out of the mailbox and not asked for yet.
    letters: Letters<L>,
    /// By number; `None` where one was detached. The last is not `None`.
    links: Vec<Option<Link<M>>>,
    /// Links with messages staged or slots given back since the last publish, each once.
    touched: Vec<usize>,
    /// Links that were published and whose gates are still to be checked, each once.
    unchecked: Vec<usize>,
    park: Park,
    counters: QueueCounters,
}

/// What a thread has counted of its own sleeps and of the bells it rang. Lingering and the tripwire for lost wake-ups
/// belong to the driver's loop and are counted there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Second looks that found nothing: the thread went to sleep.
    pub parks: u64,
    /// Second looks that found something: it did not.
    pub park_cancels: u64,
    /// Bells that this thread had to ring.
    pub rings_sent: u64,
    /// Parks ended by a ring after which, until the next announcement, neither a message nor room was found: another
    /// look had found it before.
    pub rings_spurious: u64,
    /// Waits of this thread for room in a ring.
    pub full: u64,
    /// Most messages that the first sweep after a park without a ring found in one ring: all of them lazy ones, but
    /// for what came in that instant.
    pub lazy_backlog_max: u64,
}

impl<M: Send, L: Send> Crossing<M, L> {
    /// The crossing of the thread that this handle leads to, without links so far.
    pub(super) fn of(handle: &ThreadHandle<L>) -> Self {
        Crossing {
            bell: handle.bell(),
            gate: handle.gate().clone(),
            mailbox: handle.mailbox().clone(),
            letters: Letters::none(),
            links: Vec::new(),
            touched: Vec::new(),
            unchecked: Vec::new(),
            park: Park::Running,
            counters: QueueCounters::default(),
        }
    }

    /// The number of this thread.
    pub fn bell(&self) -> BellId {
        self.bell
    }

    /// The links of this thread are numbered below this. Where some have been detached, not every number is a link's. For
    /// tests.
    #[cfg(any(test, loom))]
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Whether this is the number of a link. For tests.
    #[cfg(test)]
    pub(crate) fn is_attached(&self, link: LinkId) -> bool {
        self.links.get(link.0).is_some_and(Option::is_some)
    }

    /// The thread at the other end. For tests.
    #[cfg(test)]
    pub(crate) fn peer(&self, link: LinkId) -> BellId {
        self.links[link.0].as_ref().expect(ATTACHED).bell
    }

    /// What was counted so far.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Takes at most `budget_per_link` messages off each ring in turn, gives each to `f`, and says how many there
    /// were. Their slots are given back once per ring; whether a writer waits for them is found out after the next
    /// [`publish`](Self::publish).
    ///
    /// If `f` panics, the messages it has not been given stay in their rings for the next sweep.
    #[inline]
    pub fn sweep(&mut self, budget_per_link: usize, f: impl FnMut(LinkId, M)) -> usize {
        self.sweep_each(|_| budget_per_link, f)
    }

    /// The same with a budget for each link, which is asked for when its turn comes.
    #[inline]
    pub fn sweep_each(&mut self, budget: impl Fn(LinkId) -> usize, mut f: impl FnMut(LinkId, M)) -> usize {
        let mut taken = 0;
        for at in 0..self.links.len() {
            if self.links[at].is_some() {
                taken += self.take(at, budget(LinkId(at)), |message| f(LinkId(at), message));
            }
        }
        if let Park::Left(_) = self.park {
            // Every ring has been seen once since the park: what comes now is no longer what a sleep left behind.
            self.park = if taken == 0 && self.park == Park::Left(Woken::Rung) {
                Park::RungForNothing
            } else {
                Park::Running
            };
        } else if taken > 0 {
            self.park = Park::Running;
        }
        taken
    }

    /// The same for one link: before a decision that a message on its way would change.
    #[inline]
    pub fn sweep_link(&mut self, link: LinkId, budget: usize, f: impl FnMut(M)) -> usize {
        let taken = self.take(link.0, budget, f);
        if taken > 0 {
            self.park = Park::Running;
        }
        taken
    }

    #[inline]
    fn take(&mut self, at: usize, budget: usize, f: impl FnMut(M)) -> usize {
        debug_assert!(!self.park.is_announced(), "an announced thread unparks before it sweeps");
        let link = self.links[at].as_mut().expect(ATTACHED);
        let available = link.incoming.available();
        if self.park == Park::Left(Woken::Itself) {
            self.counters.lazy_backlog_max = self.counters.lazy_backlog_max.max(available as u64);
        }
        let taken = link.incoming.take_each(budget, f);
        // Not `taken > 0`: a panic of `f` in an earlier sweep may have left a head behind.
        if link.incoming.publish_head() {
            touch(&mut self.touched, link, at);
        }
        taken
    }

    /// Messages that can be staged on this link now. Looks at the reader's cache line; the caller counts down from it.
    #[inline]
    pub fn room(&mut self, link: LinkId) -> usize {
        let link = self.links[link.0].as_mut().expect(ATTACHED);
        let room = link.outgoing.room();
        if link.waits_for_space && link.outgoing.space_came() {
            link.waits_for_space = false;
            self.park = Park::Running;
        }
        room
    }

    /// The same for a writer to whom it does not matter whether there is room for more than it wants to stage now: looks at
    /// the reader's cache line only where what is known of it does not show as much.
    #[inline]
    pub fn room_for(&mut self, link: LinkId, wanted: usize) -> usize {
        let known = &mut self.links[link.0].as_mut().expect(ATTACHED);
        if known.waits_for_space { self.room(link) } else { known.outgoing.room_for(wanted) }
    }

    /// Puts a message into its slot, to be seen after the next [`publish`](Self::publish). The ring's batch becomes
    /// as urgent as its most urgent message.
    ///
    /// # Panics
    /// Without [`room`](Self::room).
    #[inline]
    pub fn stage(&mut self, link: LinkId, message: M, urgency: Urgency) {
        self.stage_each(link, core::iter::once((message, urgency)));
    }

    /// The same with each of these messages, in order. If `messages` panics, what it has given before is staged.
    ///
    /// # Panics
    /// Without [`room`](Self::room) for all of them.
    #[inline]
    pub fn stage_each(&mut self, link: LinkId, messages: impl IntoIterator<Item = (M, Urgency)>) {
        debug_assert!(!self.park.is_announced(), "an announced thread unparks before it stages");
        let at = link.0;
        let link = self.links[at].as_mut().expect(ATTACHED);
        // First, for what is staged before a panic.
        touch(&mut self.touched, link, at);
        let staged = &mut link.staged;
        link.outgoing.stage_each(messages.into_iter().map(|(message, urgency)| {
            // `None` is below `Some`.
            *staged = (*staged).max(Some(urgency));
            message
        }));
        link.silenced = seeded::is(Bug::GateReadBeforePublish) && link.gate.is_running();
    }

    /// Something waits in this thread for room on this link: its reader is to ring when half of the ring has been
    /// read, and the second look includes this link until then. The wait ends when [`room`](Self::room) or
    /// [`look_again`](Self::look_again) finds it answered; who needs more asks again.
    ///
    /// # Panics
    /// If the thread has announced its sleep: the mark has to stand before that fence.
    pub fn ask_for_space(&mut self, link: LinkId) {
        assert!(!self.park.is_announced(), "space is asked for before the announcement");
        let link = self.links[link.0].as_mut().expect(ATTACHED);
        link.outgoing.ask_for_space();
        // Asked for again before it has come it is the same wait.
        self.counters.full += u64::from(!link.waits_for_space);
        link.waits_for_space = true;
    }

    /// Shows the readers all that was staged, and passes the fence that stands before every look at their gates and
    /// at their marks for space. [`check_gate`](Self::check_gate) has to follow until it says `None`.
    ///
    /// # Panics
    /// If gates of the last publish are still unchecked.
    #[inline]
    pub fn publish(&mut self) {
        assert!(
            self.unchecked.is_empty(),
            "the gates of the last batch are checked before the next is published"
        );
        if self.touched.is_empty() {
            return;
        }
        let mut is_lazy = true;
        for &at in &self.touched {
            let link = self.links[at].as_mut().expect(ATTACHED);
            link.touched = false;
            link.unchecked = true;
            link.published = link.staged.take();
            is_lazy &= link.published != Some(Urgency::Urgent);
            link.silenced = (seeded::is(Bug::NotEmptySoDontRing) && !link.outgoing.was_empty())
                || (seeded::is(Bug::GateReadBeforePublish) && link.silenced);
            link.outgoing.publish();
        }
        // One for all links, and for the heads that sweeps have published, too. Pairs with the fence in
        // `Gate::announce`.
        let is_left_out =
            seeded::is(Bug::WritersFenceMissing) || (seeded::is(Bug::LazyPublishWithoutFence) && is_lazy);
        if !is_left_out {
            fence(Ordering::SeqCst);
        }
        core::mem::swap(&mut self.touched, &mut self.unchecked);
    }

    /// After [`publish`](Self::publish), until `None`: a bell that this thread, and no other, has to ring now.
    #[inline]
    pub fn check_gate(&mut self) -> Option<BellId> {
        while let Some(at) = self.unchecked.pop() {
            let link = self.links[at].as_mut().expect(ATTACHED);
            link.unchecked = false;
            let space_wanted = link.incoming.space_wanted();
            let urgency = match link.published.take() {
                _ if space_wanted => Urgency::Urgent,
                None => continue,
                _ if link.silenced => continue,
                Some(Urgency::Urgent) => Urgency::Urgent,
                // Lazy messages must not fill a ring behind a sleeper's back.
                Some(Urgency::Lazy) if link.outgoing.is_past_half() => Urgency::Urgent,
                Some(Urgency::Lazy) => Urgency::Lazy,
            };
            if link.gate.ring_if(urgency) {
                self.counters.rings_sent += 1;
                return Some(link.bell);
            }
        }
        None
    }

    /// In place of [`check_gate`](Self::check_gate): the bell of each link that messages were published on or room
    /// was wanted of, whatever its gate says. What suppression saves can be measured against it.
    pub fn ring_always(&mut self) -> Option<BellId> {
        while let Some(at) = self.unchecked.pop() {
            let link = self.links[at].as_mut().expect(ATTACHED);
            link.unchecked = false;
            let space_wanted = link.incoming.space_wanted();
            if link.published.take().is_some() || space_wanted {
                // So that a sleeper finds in its gate that it was rung.
                link.gate.ring_if(Urgency::Urgent);
                self.counters.rings_sent += 1;
                return Some(link.bell);
            }
        }
        None
    }

    /// Says that this thread is about to sleep. [`look_again`](Self::look_again) has to follow. The thread's bell
    /// was taken before this, or a ring for this very park could be taken for an older one.
    ///
    /// # Panics
    /// If anything staged or given back is unpublished, or gates are unchecked: others may be asleep for want of it.
    #[inline]
    pub fn announce(&mut self, announcement: Announcement) {
        assert!(
            self.touched.is_empty() && self.unchecked.is_empty(),
            "a thread publishes and checks all gates before it announces its sleep"
        );
        if self.park == Park::RungForNothing {
            self.counters.rings_spurious += 1;
        }
        self.park = Park::Announced;
        self.gate.announce(announcement);
    }

    /// The second look, at every ring and the mailbox: `true` if there is anything to read, or the room that was asked for. Then the
    /// thread must not sleep, and unparks.
    ///
    /// # Panics
    /// Without an announcement.
    #[inline]
    pub fn look_again(&mut self) -> bool {
        assert!(self.park == Park::Announced, "the second look comes after the announcement");
        let found =
            !seeded::is(Bug::SecondLookMissing) && (self.is_anything_unread() || self.has_space_come());
        if seeded::is(Bug::WantSpaceWrittenAfterSecondLook) {
            let waiting = self.links.iter_mut().flatten().filter(|link| link.waits_for_space);
            waiting.for_each(|link| link.outgoing.store_mark());
        }
        if found {
            self.park = Park::Cancelled;
            self.counters.park_cancels += 1;
        } else {
            self.park = Park::Asleep;
            self.counters.parks += 1;
        }
        found
    }

    /// Whether there is anything to read, a letter or a message on any link: also for a thread that lingers before it
    /// announces.
    #[inline]
    pub fn is_anything_unread(&mut self) -> bool {
        if seeded::is(Bug::SecondLookAtOneRing) {
            return self.links.iter_mut().flatten().next().is_some_and(|link| link.incoming.available() > 0);
        }
        self.links.iter_mut().flatten().any(|link| link.incoming.available() > 0)
            || (self.is_letter_unread() && !seeded::is(Bug::MailboxNotInSecondLook))
    }

    /// Whether there is a letter that this thread has not read.
    #[inline]
    pub fn is_letter_unread(&self) -> bool {
        !self.letters.is_empty() || !self.mailbox.is_empty()
    }

    /// The other end of a link that holds an unread message for which this is true, if there is such a link.
    pub fn unread_from(&self, is_meant: impl Fn(&M) -> bool) -> Option<BellId> {
        let holds = |link: &&Link<M>| {
            let mut found = false;
            link.incoming.for_each_unread(|message| found |= is_meant(message));
            found
        };
        self.links.iter().flatten().find(holds).map(|link| link.bell)
    }

    /// Shows each message that this thread has not read. For inspection.
    pub fn for_each_unread(&self, mut f: impl FnMut(LinkId, &M)) {
        for (at, link) in self.links.iter().enumerate() {
            if let Some(link) = link {
                link.incoming.for_each_unread(|message| f(LinkId(at), message));
            }
        }
    }

    /// Whether this thread has still to look at a gate, for what it has published, given back or staged. For inspection.
    pub fn is_before_gate(&self) -> bool {
        !self.touched.is_empty() || !self.unchecked.is_empty()
    }

    /// Shows each message that this thread has staged and not published. For inspection.
    pub fn for_each_staged(&self, mut f: impl FnMut(&M)) {
        self.links.iter().flatten().for_each(|link| link.outgoing.for_each_staged(&mut f));
    }

    /// Whether room that this thread waits for has come. For inspection.
    pub fn is_space_there(&self) -> bool {
        self.links.iter().flatten().any(|link| link.waits_for_space && link.outgoing.has_space_come())
    }

    #[inline]
    fn has_space_come(&mut self) -> bool {
        if seeded::is(Bug::BlockedRingNotInSecondLook) {
            return false;
        }
        let mut came = false;
        for link in self.links.iter_mut().flatten().filter(|link| link.waits_for_space) {
            if link.outgoing.space_came() {
                link.waits_for_space = false;
                came = true;
            }
        }
        came
    }

    /// Back to work, after a sleep or instead of one; says whether anybody rang. If somebody did, the bell may still
    /// be on its way.
    #[inline]
    pub fn unpark(&mut self) -> Woken {
        let woken = self.gate.leave();
        self.park = match self.park {
            Park::Asleep => Park::Left(woken),
            Park::Running | Park::Announced | Park::Cancelled | Park::Left(_) | Park::RungForNothing => {
                Park::Running
            }
        };
        woken
    }
}

/// Where this thread is in its own turn. What others see of it is the gate's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Park {
    /// Awake, and something was done since the last park.
    Running,
    /// Between announcement and second look.
    Announced,
    /// The second look found something: it has to unpark.
    Cancelled,
    /// The second look found nothing: it sleeps, until it unparks.
    Asleep,
    /// Awake after a sleep, the rings not yet swept.
    Left(Woken),
    /// Awake by a ring, all rings swept, nothing found so far.
    RungForNothing,
}

impl Park {
    /// Whether the others may believe that this thread sleeps.
    fn is_announced(self) -> bool {
        matches!(self, Park::Announced | Park::Cancelled | Park::Asleep)
    }
}

const ATTACHED: &str = "the number is that of an attached link";

#[inline]
fn touch<M>(touched: &mut Vec<usize>, link: &mut Link<M>, at: usize) {
    if !link.touched {
        link.touched = true;
        touched.push(at);
    }
}

#[cfg(all(test, not(loom)))]
#[path = "crossing/tests.rs"]
mod tests;
