//! All that one thread shares with the others: its gate and every one of its rings, so that no second look can miss
//! one. The phases of a turn are methods, in the order of a turn; production calls them back to back, the simulator
//! stops threads between any two, loom between any two accesses.
//!
//! | phase | does |
//! |---|---|
//! | [`unpark`](Crossing::unpark) | after a sleep: back to `RUN` |
//! | [`sweep`](Crossing::sweep) | takes messages, gives their slots back |
//! | [`room`](Crossing::room), [`stage`](Crossing::stage), [`ask_for_space`](Crossing::ask_for_space) | writes messages that nobody sees yet |
//! | [`publish`](Crossing::publish) | shows them, one store per ring, and one fence for these and for the slots given back |
//! | [`check_gate`](Crossing::check_gate) | until `None`: whose bell this thread has to ring |
//! | [`announce`](Crossing::announce) | about to sleep, and a fence |
//! | [`look_again`](Crossing::look_again) | may it? |
//!
//! The caller numbers threads ([`BellId`]) and learns links ([`LinkId`]); which core of the thread a link belongs to,
//! and which core is at its other end, it keeps beside.

use super::gate::{Announcement, Gate, Urgency, Woken};
use super::ring::{Consumer, Producer, ring};
use super::sync::{Arc, Ordering, fence};
use crate::seeded::{self, Bug};
use alloc::vec::Vec;

/// The number of a thread, by which the driver finds its bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BellId(pub u16);

/// A link of this thread's [`Crossing`]: a ring to another thread and the one back. The other end has a number of its
/// own for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// Builds the crossings of all threads at once: the set of threads is fixed from start to exit.
pub struct Exchange<M> {
    gates: Vec<Arc<Gate>>,
    links: Vec<Vec<Link<M>>>,
}

impl<M: Send> Exchange<M> {
    /// For this many threads, numbered from 0, without links so far.
    pub fn new(threads: u16) -> Self {
        Exchange {
            gates: (0..threads).map(|_| Arc::new(Gate::new())).collect(),
            links: (0..threads).map(|_| Vec::new()).collect(),
        }
    }

    /// Joins two threads by a ring of `slots` messages in each direction, and says which link that is to `one` and
    /// to `other`. The same two threads may be joined several times, once for each pair of their cores. Each thread's
    /// links count up from 0 in the order of these calls.
    ///
    /// # Panics
    /// If a thread is not of this exchange, if it is joined to itself (cores of one thread need no ring), or if
    /// `slots` is 0.
    pub fn link(&mut self, one: BellId, other: BellId, slots: usize) -> (LinkId, LinkId) {
        assert!(one != other, "a thread needs no ring to itself");
        let (to_other, from_one) = ring(slots);
        let (to_one, from_other) = ring(slots);
        (
            self.add(one, Link::new(to_other, from_other, other, &self.gates)),
            self.add(other, Link::new(to_one, from_one, one, &self.gates)),
        )
    }

    fn add(&mut self, thread: BellId, link: Link<M>) -> LinkId {
        let links = &mut self.links[usize::from(thread.0)];
        links.push(link);
        LinkId(links.len() - 1)
    }

    /// One crossing for each thread, in their order.
    pub fn build(self) -> Vec<Crossing<M>> {
        self.gates
            .into_iter()
            .zip(self.links)
            .zip(0..)
            .map(|((gate, links), number)| Crossing {
                bell: BellId(number),
                gate,
                touched: Vec::with_capacity(links.len()),
                unchecked: Vec::with_capacity(links.len()),
                links,
                park: Park::Running,
                counters: QueueCounters::default(),
            })
            .collect()
    }
}

/// One thread's gate and all of its rings. It moves to its thread once and stays there; after the exchange is built
/// nothing here allocates, locks or calls the system.
pub struct Crossing<M> {
    bell: BellId,
    gate: Arc<Gate>,
    links: Vec<Link<M>>,
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
    /// Times that this thread asked for space.
    pub full: u64,
    /// Most messages that the first sweep after a park without a ring found in one ring: all of them lazy ones, but
    /// for what came in that instant.
    pub lazy_backlog_max: u64,
}

impl<M: Send> Crossing<M> {
    /// The number of this thread.
    pub fn bell(&self) -> BellId {
        self.bell
    }

    /// How many links this thread has: they are numbered below this.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// The thread at the other end.
    pub fn peer(&self, link: LinkId) -> BellId {
        self.links[link.0].bell
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
    pub fn sweep(&mut self, budget_per_link: usize, mut f: impl FnMut(LinkId, M)) -> usize {
        let mut taken = 0;
        for at in 0..self.links.len() {
            taken += self.take(at, budget_per_link, |message| f(LinkId(at), message));
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
    fn take(&mut self, at: usize, budget: usize, mut f: impl FnMut(M)) -> usize {
        debug_assert!(!self.park.is_announced(), "an announced thread unparks before it sweeps");
        let link = &mut self.links[at];
        let available = link.incoming.available();
        if self.park == Park::Left(Woken::Itself) {
            self.counters.lazy_backlog_max = self.counters.lazy_backlog_max.max(available as u64);
        }
        let taken = available.min(budget);
        for _ in 0..taken {
            f(link.incoming.take().expect("as many are available"));
        }
        // Not `taken > 0`: a panic of `f` in an earlier sweep may have left a head behind.
        if link.incoming.publish_head() {
            touch(&mut self.touched, link, at);
        }
        taken
    }

    /// Messages that can be staged on this link now. Looks at the reader's cache line; the caller counts down from it.
    #[inline]
    pub fn room(&mut self, link: LinkId) -> usize {
        let link = &mut self.links[link.0];
        let room = link.outgoing.room();
        if link.waits_for_space && link.outgoing.space_came() {
            link.waits_for_space = false;
            self.park = Park::Running;
        }
        room
    }

    /// Puts a message into its slot, to be seen after the next [`publish`](Self::publish). The ring's batch becomes
    /// as urgent as its most urgent message.
    ///
    /// # Panics
    /// Without [`room`](Self::room).
    #[inline]
    pub fn stage(&mut self, link: LinkId, message: M, urgency: Urgency) {
        debug_assert!(!self.park.is_announced(), "an announced thread unparks before it stages");
        let at = link.0;
        let link = &mut self.links[at];
        link.outgoing.stage(message);
        link.silenced = seeded::is(Bug::GateReadBeforePublish) && link.gate.is_running();
        // `None` is below `Some`.
        link.staged = link.staged.max(Some(urgency));
        touch(&mut self.touched, link, at);
    }

    /// Something waits in this thread for room on this link: its reader is to ring when half of the ring has been
    /// read, and the second look includes this link until then. The wait ends when [`room`](Self::room) or
    /// [`look_again`](Self::look_again) finds it answered; who needs more asks again.
    ///
    /// # Panics
    /// If the thread has announced its sleep: the mark has to stand before that fence.
    pub fn ask_for_space(&mut self, link: LinkId) {
        assert!(!self.park.is_announced(), "space is asked for before the announcement");
        let link = &mut self.links[link.0];
        link.outgoing.ask_for_space();
        link.waits_for_space = true;
        self.counters.full += 1;
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
        for &at in &self.touched {
            let link = &mut self.links[at];
            link.touched = false;
            link.published = link.staged.take();
            link.silenced = (seeded::is(Bug::NotEmptySoDontRing) && !link.outgoing.was_empty())
                || (seeded::is(Bug::GateReadBeforePublish) && link.silenced);
            link.outgoing.publish();
        }
        // One for all links, and for the heads that sweeps have published, too. Pairs with the fence in
        // `Gate::announce`.
        fence(Ordering::SeqCst);
        core::mem::swap(&mut self.touched, &mut self.unchecked);
    }

    /// After [`publish`](Self::publish), until `None`: a bell that this thread, and no other, has to ring now.
    #[inline]
    pub fn check_gate(&mut self) -> Option<BellId> {
        while let Some(at) = self.unchecked.pop() {
            let link = &mut self.links[at];
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

    /// The second look, at every ring: `true` if there is anything to read, or the room that was asked for. Then the
    /// thread must not sleep, and unparks.
    ///
    /// # Panics
    /// Without an announcement.
    #[inline]
    pub fn look_again(&mut self) -> bool {
        assert!(self.park == Park::Announced, "the second look comes after the announcement");
        let found =
            !seeded::is(Bug::SecondLookMissing) && (self.is_anything_unread() || self.has_space_come());
        if found {
            self.park = Park::Cancelled;
            self.counters.park_cancels += 1;
        } else {
            self.park = Park::Asleep;
            self.counters.parks += 1;
        }
        found
    }

    /// Whether there is anything to read, on any link: also for a thread that lingers before it announces.
    #[inline]
    pub fn is_anything_unread(&mut self) -> bool {
        self.links.iter_mut().any(|link| link.incoming.available() > 0)
    }

    /// Shows each message that this thread has not read. For inspection.
    pub fn for_each_unread(&self, mut f: impl FnMut(LinkId, &M)) {
        for (at, link) in self.links.iter().enumerate() {
            link.incoming.for_each_unread(|message| f(LinkId(at), message));
        }
    }

    /// Whether this thread has still to look at a gate, for what it has published, given back or staged. For inspection.
    pub fn is_before_gate(&self) -> bool {
        !self.touched.is_empty() || !self.unchecked.is_empty()
    }

    /// Shows each message that this thread has staged and not published. For inspection.
    pub fn for_each_staged(&self, mut f: impl FnMut(&M)) {
        self.links.iter().for_each(|link| link.outgoing.for_each_staged(&mut f));
    }

    /// Whether room that this thread waits for has come. For inspection.
    pub fn is_space_there(&self) -> bool {
        self.links.iter().any(|link| link.waits_for_space && link.outgoing.has_space_come())
    }

    #[inline]
    fn has_space_come(&mut self) -> bool {
        if seeded::is(Bug::BlockedRingNotInSecondLook) {
            return false;
        }
        let mut came = false;
        for link in self.links.iter_mut().filter(|link| link.waits_for_space) {
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

/// One thread's end of two rings, and the thread at the other end.
struct Link<M> {
    outgoing: Producer<M>,
    incoming: Consumer<M>,
    /// The other thread's gate.
    gate: Arc<Gate>,
    /// The other thread.
    bell: BellId,
    /// The most urgent message since the last publish.
    staged: Option<Urgency>,
    /// The most urgent message of the last publish, until its gate is checked.
    published: Option<Urgency>,
    /// Whether it is in `Crossing::touched`.
    touched: bool,
    /// Whether room has been asked for and has not come yet.
    waits_for_space: bool,
    /// Only ever set by seeded bugs, which decide before the publish what has to be decided after it.
    silenced: bool,
}

impl<M: Send> Link<M> {
    fn new(outgoing: Producer<M>, incoming: Consumer<M>, bell: BellId, gates: &[Arc<Gate>]) -> Self {
        Link {
            outgoing,
            incoming,
            gate: gates.get(usize::from(bell.0)).expect("the thread is of this exchange").clone(),
            bell,
            staged: None,
            published: None,
            touched: false,
            waits_for_space: false,
            silenced: false,
        }
    }
}

#[inline]
fn touch<M>(touched: &mut Vec<usize>, link: &mut Link<M>, at: usize) {
    if !link.touched {
        link.touched = true;
        touched.push(at);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::{string::String, vec};
    use core::time::Duration;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Condvar, Mutex};
    use std::thread;

    /// Two threads with one link.
    fn pair<M: Send>(slots: usize) -> (Crossing<M>, Crossing<M>, LinkId) {
        let mut exchange = Exchange::new(2);
        let (link, _) = exchange.link(BellId(0), BellId(1), slots);
        let mut both = exchange.build();
        let other = both.pop().expect("two threads");
        (both.pop().expect("two threads"), other, link)
    }

    fn bells<M: Send>(crossing: &mut Crossing<M>) -> Vec<BellId> {
        crossing.publish();
        core::iter::from_fn(|| crossing.check_gate()).collect()
    }

    fn sweep<M: Send>(crossing: &mut Crossing<M>) -> Vec<M> {
        let mut messages = vec![];
        crossing.sweep(64, |_, message| messages.push(message));
        messages
    }

    fn sleep<M: Send>(crossing: &mut Crossing<M>, announcement: Announcement) {
        crossing.announce(announcement);
        assert!(!crossing.look_again());
    }

    #[test]
    fn links_are_numbered_on_both_sides_in_order() {
        let mut exchange = Exchange::new(3);
        assert_eq!(exchange.link(BellId(0), BellId(1), 4), (LinkId(0), LinkId(0)));
        assert_eq!(exchange.link(BellId(2), BellId(0), 4), (LinkId(0), LinkId(1)));
        // A second pair of cores of the first two threads.
        assert_eq!(exchange.link(BellId(0), BellId(1), 4), (LinkId(2), LinkId(1)));
        let mut crossings = exchange.build();
        assert_eq!(crossings.iter().map(Crossing::links).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!((crossings[1].bell(), crossings[1].peer(LinkId(1))), (BellId(1), BellId(0)));
        crossings[0].stage(LinkId(1), "to the third", Urgency::Urgent);
        crossings[0].stage(LinkId(2), "to the second", Urgency::Urgent);
        crossings[0].publish();
        let mut seen = vec![];
        for (thread, crossing) in crossings.iter_mut().enumerate().skip(1) {
            crossing.sweep(64, |link, message| seen.push((thread, link, message)));
        }
        assert_eq!(seen, [(1, LinkId(1), "to the second"), (2, LinkId(0), "to the third")]);
    }

    #[test]
    #[should_panic(expected = "no ring to itself")]
    fn a_thread_is_not_linked_to_itself() {
        Exchange::<u8>::new(1).link(BellId(0), BellId(0), 4);
    }

    #[test]
    fn a_running_thread_is_never_rung_for() {
        let (mut writer, mut reader, link) = pair(4);
        writer.stage(link, 1, Urgency::Urgent);
        assert_eq!(bells(&mut writer), []);
        assert_eq!(sweep(&mut reader), [1]);
        assert_eq!(writer.counters().rings_sent, 0);
    }

    #[test]
    fn a_batch_is_as_urgent_as_its_most_urgent_message() {
        let (mut writer, mut reader, link) = pair(16);
        sleep(&mut reader, Announcement::Park);
        writer.stage(link, 1, Urgency::Lazy);
        assert_eq!(bells(&mut writer), []);
        writer.stage(link, 2, Urgency::Urgent);
        writer.stage(link, 3, Urgency::Lazy);
        assert_eq!(bells(&mut writer), [BellId(1)]);
        writer.stage(link, 4, Urgency::Urgent);
        assert_eq!(bells(&mut writer), [], "once per park");
        assert_eq!(reader.unpark(), Woken::Rung);
        assert_eq!(sweep(&mut reader), [1, 2, 3, 4]);
    }

    #[test]
    fn lazy_messages_ring_for_who_wants_them_and_past_half_a_ring() {
        let (mut writer, mut reader, link) = pair(4);
        sleep(&mut reader, Announcement::Want);
        writer.stage(link, 1, Urgency::Lazy);
        assert_eq!(bells(&mut writer), [BellId(1)]);
        assert_eq!(reader.unpark(), Woken::Rung);
        assert_eq!(sweep(&mut reader), [1]);
        reader.publish();
        assert_eq!(reader.check_gate(), None);

        sleep(&mut reader, Announcement::Park);
        for message in [2, 3] {
            writer.stage(link, message, Urgency::Lazy);
            assert_eq!(bells(&mut writer), []);
        }
        writer.stage(link, 4, Urgency::Lazy);
        assert_eq!(bells(&mut writer), [BellId(1)]);
    }

    #[test]
    fn two_links_to_one_thread_ring_once() {
        let mut exchange = Exchange::new(2);
        let links = [4, 4].map(|slots| exchange.link(BellId(0), BellId(1), slots).0);
        let mut crossings = exchange.build();
        sleep(&mut crossings[1], Announcement::Park);
        for link in links {
            crossings[0].stage(link, 1, Urgency::Urgent);
        }
        assert_eq!(bells(&mut crossings[0]), [BellId(1)]);
        assert_eq!(crossings[0].counters().rings_sent, 1);
    }

    #[test]
    fn a_publish_wakes_each_sleeper_once() {
        let mut exchange = Exchange::new(3);
        let links = [1, 2].map(|other| exchange.link(BellId(0), BellId(other), 4).0);
        let mut crossings = exchange.build();
        for other in [1, 2] {
            sleep(&mut crossings[other], Announcement::Park);
        }
        for link in links {
            crossings[0].stage(link, 1, Urgency::Urgent);
        }
        let mut rung = bells(&mut crossings[0]);
        rung.sort();
        assert_eq!(rung, [BellId(1), BellId(2)]);
    }

    #[test]
    fn what_comes_between_announcement_and_second_look_cancels_the_park() {
        let (mut writer, mut reader, link) = pair(4);
        reader.announce(Announcement::Park);
        writer.stage(link, 1, Urgency::Lazy);
        assert_eq!(bells(&mut writer), [], "lazy: but it is seen all the same");
        assert!(reader.look_again());
        assert_eq!(reader.unpark(), Woken::Itself);
        assert_eq!(sweep(&mut reader), [1]);
        let counters = reader.counters();
        assert_eq!((counters.parks, counters.park_cancels, counters.lazy_backlog_max), (0, 1, 0));
    }

    #[test]
    fn messages_staged_before_a_gate_is_checked_wait_for_the_next_publish() {
        let (mut writer, mut reader, link) = pair(8);
        sleep(&mut reader, Announcement::Park);
        writer.stage(link, 1, Urgency::Lazy);
        writer.publish();
        writer.stage(link, 2, Urgency::Urgent);
        assert_eq!(writer.check_gate(), None, "only the lazy one is published");
        assert_eq!(bells(&mut writer), [BellId(1)]);
    }

    #[test]
    fn a_sweep_takes_its_budget_from_each_ring_in_turn() {
        let mut exchange = Exchange::new(3);
        for other in [1, 2] {
            exchange.link(BellId(0), BellId(other), 8);
        }
        let mut crossings = exchange.build();
        for writer in &mut crossings[1..] {
            (0..5).for_each(|message| writer.stage(LinkId(0), message, Urgency::Urgent));
            writer.publish();
        }
        let mut order = vec![];
        assert_eq!(crossings[0].sweep(2, |link, message| order.push((link.0, message))), 4);
        assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert!(crossings[0].is_anything_unread());
        assert_eq!(crossings[0].sweep_link(LinkId(1), 64, |message| order.push((9, message))), 3);
        assert_eq!(order[4..], [(9, 2), (9, 3), (9, 4)]);
        assert_eq!(crossings[0].sweep(64, |_, _| ()), 3);
        assert!(!crossings[0].is_anything_unread());
    }

    #[test]
    fn who_waits_for_space_is_rung_once_at_half_a_ring() {
        let (mut writer, mut reader, link) = pair(4);
        (0..4).for_each(|message| writer.stage(link, message, Urgency::Urgent));
        assert_eq!(bells(&mut writer), []);
        assert_eq!(writer.room(link), 0);
        writer.ask_for_space(link);
        sleep(&mut writer, Announcement::Park);
        let mut rung = vec![];
        for _ in 0..4 {
            assert_eq!(reader.sweep(1, |_, _| ()), 1);
            rung.push(bells(&mut reader));
        }
        assert_eq!(rung, [vec![], vec![BellId(0)], vec![], vec![]]);
        assert_eq!(writer.unpark(), Woken::Rung);
        assert_eq!(writer.room(link), 4);
        assert_eq!((writer.counters().full, reader.counters().rings_sent), (1, 1));
        // The wait is over: an empty ring does not keep the writer from sleeping.
        sleep(&mut writer, Announcement::Park);
        assert_eq!(writer.counters().rings_spurious, 0);
    }

    #[test]
    fn a_blocked_ring_is_part_of_the_second_look() {
        let (mut writer, mut reader, link) = pair(2);
        (0..2).for_each(|message| writer.stage(link, message, Urgency::Urgent));
        assert_eq!(bells(&mut writer), []);
        writer.ask_for_space(link);
        writer.announce(Announcement::Park);
        reader.sweep(64, |_, _| ());
        assert!(writer.look_again());
        writer.unpark();
        sleep(&mut writer, Announcement::Park);
    }

    #[test]
    #[should_panic(expected = "before it announces")]
    fn nobody_sleeps_on_unpublished_messages() {
        let (mut writer, _reader, link) = pair(2);
        writer.stage(link, 1, Urgency::Lazy);
        writer.announce(Announcement::Park);
    }

    #[test]
    #[should_panic(expected = "before it announces")]
    fn nobody_sleeps_on_unchecked_marks_for_space() {
        let (mut writer, mut reader, link) = pair(2);
        writer.stage(link, 1, Urgency::Lazy);
        writer.publish();
        reader.sweep(64, |_, _| ());
        reader.announce(Announcement::Park);
    }

    #[test]
    fn a_panic_of_the_handler_loses_only_its_own_message() {
        let (mut writer, mut reader, link) = pair(4);
        (0..4).for_each(|message| writer.stage(link, message, Urgency::Urgent));
        writer.publish();
        let swept = catch_unwind(AssertUnwindSafe(|| {
            reader.sweep(64, |_, message| assert_ne!(message, 1, "cannot handle it"));
        }));
        assert!(swept.is_err());
        assert_eq!(writer.room(link), 0, "slots of the broken sweep are not given back yet");
        assert_eq!(sweep(&mut reader), [2, 3]);
        assert_eq!(writer.room(link), 4);
    }

    #[test]
    fn counters_tell_lazy_backlogs_and_rings_for_nothing() {
        let (mut writer, mut reader, link) = pair(16);
        sleep(&mut reader, Announcement::Park);
        (0..3).for_each(|message| writer.stage(link, message, Urgency::Lazy));
        assert_eq!(bells(&mut writer), []);
        assert_eq!(reader.unpark(), Woken::Itself);
        assert_eq!(sweep(&mut reader).len(), 3);
        reader.publish();
        assert_eq!(reader.check_gate(), None);
        assert_eq!(reader.counters().lazy_backlog_max, 3);

        // A ring that is late: what it was for has been found already.
        sleep(&mut reader, Announcement::Park);
        assert!(reader.gate.ring_if(Urgency::Urgent));
        assert_eq!(reader.unpark(), Woken::Rung);
        assert_eq!(sweep(&mut reader), []);
        sleep(&mut reader, Announcement::Park);
        let counters = reader.counters();
        assert_eq!((counters.parks, counters.park_cancels, counters.rings_spurious), (3, 0, 1));
    }

    /// Wakes one thread; a wake-up that does not come in ten seconds is lost.
    #[derive(Default)]
    struct Bell {
        rung: Mutex<bool>,
        wake: Condvar,
    }

    impl Bell {
        fn ring(&self) {
            *self.rung.lock().expect("nobody panics with it") = true;
            self.wake.notify_one();
        }

        fn sleep(&self) {
            let rung = self.rung.lock().expect("nobody panics with it");
            let (mut rung, outcome) = self
                .wake
                .wait_timeout_while(rung, Duration::from_secs(10), |rung| !*rung)
                .expect("nobody panics with it");
            assert!(!outcome.timed_out(), "a wake-up was lost");
            *rung = false;
        }
    }

    fn ring(crossing: &mut Crossing<u64>, bells: &[Bell]) {
        crossing.publish();
        while let Some(BellId(thread)) = crossing.check_gate() {
            bells[usize::from(thread)].ring();
        }
    }

    fn park(crossing: &mut Crossing<u64>, bells: &[Bell]) {
        crossing.announce(Announcement::Want);
        if !crossing.look_again() {
            bells[usize::from(crossing.bell().0)].sleep();
        }
        crossing.unpark();
    }

    /// Three threads: one sends numbered requests to two, which complete each; all park as soon as they have nothing
    /// to do, the rings are small, and every kind of wake-up happens: message, completion, space.
    #[test]
    fn no_wake_up_is_lost_between_three_threads() {
        let count: u64 = if cfg!(miri) { 100 } else { 500_000 };
        let mut exchange = Exchange::new(3);
        let links = [1, 2].map(|worker| exchange.link(BellId(0), BellId(worker), 8).0);
        let mut crossings = exchange.build();
        let bells: [Bell; 3] = Default::default();
        let mut network = crossings.remove(0);
        let counters = thread::scope(|scope| {
            let bells = &bells;
            let workers: Vec<_> = crossings
                .into_iter()
                .map(|mut worker| {
                    scope.spawn(move || {
                        let (link, mut held, mut done) = (LinkId(0), vec![], 0);
                        while done < count {
                            let free = 16 - held.len();
                            let taken = worker.sweep(free, |_, request| held.push(request));
                            let room = worker.room(link).min(held.len());
                            for request in held.drain(..room) {
                                let urgency = if request % 3 == 0 { Urgency::Lazy } else { Urgency::Urgent };
                                worker.stage(link, request, urgency);
                                done += 1;
                            }
                            if !held.is_empty() {
                                worker.ask_for_space(link);
                            }
                            ring(&mut worker, bells);
                            if taken == 0 && room == 0 && done < count {
                                park(&mut worker, bells);
                            }
                        }
                        worker.counters()
                    })
                })
                .collect();
            let (mut sent, mut completed) = ([0; 2], [0; 2]);
            while completed != [count; 2] {
                network.sweep(5, |link, request| {
                    assert_eq!(request, completed[link.0], "in order, each once");
                    completed[link.0] += 1;
                });
                let mut waits = true;
                for link in links {
                    let room = network.room(link).min((count - sent[link.0]) as usize).min(3);
                    for _ in 0..room {
                        network.stage(link, sent[link.0], Urgency::Urgent);
                        sent[link.0] += 1;
                    }
                    waits &= room == 0;
                    if room == 0 && sent[link.0] < count {
                        network.ask_for_space(link);
                    }
                }
                ring(&mut network, bells);
                if waits && completed != [count; 2] {
                    park(&mut network, bells);
                }
            }
            let mut counters = vec![network.counters()];
            counters.extend(workers.into_iter().map(|worker| worker.join().expect("the worker ends")));
            counters
        });
        let said: String = alloc::format!("{counters:?}");
        // Every thread slept, and nobody rang more than once per announcement.
        assert!(cfg!(miri) || counters.iter().all(|thread| thread.parks > 0), "{said}");
        let announcements: u64 = counters.iter().map(|thread| thread.parks + thread.park_cancels).sum();
        assert!(counters.iter().map(|thread| thread.rings_sent).sum::<u64>() <= announcements, "{said}");
    }
}
