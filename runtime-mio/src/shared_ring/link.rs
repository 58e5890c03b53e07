//! One side of a link: both rings, both gates and both FIFOs, and the phases in which they are used.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Registry, Token};
use ulna_core::queue::{Announcement, Urgency};

use super::bells::Bells;
use super::mapping::Mapping;
use super::opening::{self, GATES, Names, OpenError, open_fifo, places, system};
use super::ring::{Place, Reader, Writer};
use super::slot::{Head, Kind, PeerBroke, Slot};

/// One side of a link. The phases of a turn are methods, as in core's `Crossing`; after an end they do nothing more, but
/// for what a peer that has gone had written before: that can still be swept.
pub struct Link {
    shared: Arc<Mapping>,
    /// Offsets of this side's gate and of the other's.
    own_gate: usize,
    other_gate: usize,
    outgoing: Writer,
    incoming: Reader,
    kind: Kind,
    bells: Bells,
    /// Where the other process has still to come.
    names: Option<Names>,
    /// Where this process has opened it: holds the lock.
    _lock: Option<File>,
    slot: Slot,
    /// Slots were given back that were not followed by a fence yet.
    gave_back: bool,
    waits_for_space: bool,
    is_announced: bool,
    end: Option<End>,
    counters: LinkCounters,
}

/// Why a link is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other process has closed its end, or died.
    Gone,
    /// It did what the format forbids.
    Broke(PeerBroke),
    /// Its bell cannot be rung, or ours not be taken: the kernel gives no reason why it should.
    Bell(io::ErrorKind),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Gone => f.write_str("the other process has gone"),
            End::Broke(broke) => write!(f, "the other process broke the ring: {broke}"),
            End::Bell(kind) => write!(f, "a FIFO failed: {kind}"),
        }
    }
}

/// What this side has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Messages that were published.
    pub sent: u64,
    /// Messages that were taken.
    pub received: u64,
    /// Second looks that found nothing.
    pub parks: u64,
    /// Second looks that found something.
    pub park_cancels: u64,
    /// Rings of the other's bell, each a system call.
    pub rings: u64,
    /// Takings of this side's bell, each a system call.
    pub takes: u64,
    /// Times that this side asked for room.
    pub full: u64,
}

impl Link {
    /// Makes a link of this name, with so many slots for each direction, for one process that will open it. The names go
    /// when it has come, or with this.
    ///
    /// # Errors
    /// When one of the names is there, `slots` is no power of two up to [`SLOTS_MAX`](super::SLOTS_MAX), or the system refuses.
    pub fn create(path: &Path, slots: u32) -> Result<Link, OpenError> {
        let mut names = Names::of(path);
        // The other one can come only where this end is open, and it comes only when the file has its name.
        names.make_fifos()?;
        let bells = Bells::new(open_fifo(&names.there, false)?, None);
        let shared = names.make_file(slots)?;
        let (there, back) = places(slots);
        Ok(Link::new(shared, GATES, (back, there), bells, Some(names), None))
    }

    /// Opens the link of this name, and tells who created it.
    ///
    /// # Errors
    /// When it is none, not ours alone, of another version, taken, or its creator has gone.
    pub fn open(path: &Path) -> Result<Link, OpenError> {
        let names = Names::of(path);
        let (file, shared, slots) = opening::open(&names.file)?;
        let own = open_fifo(&names.back, false)?;
        let other = open_fifo(&names.there, true)?;
        let bells = Bells::new(own, Some(other));
        bells.ring().map_err(|_| io::ErrorKind::BrokenPipe).map_err(system("tell the other process"))?;
        let (there, back) = places(slots);
        let (created, opened) = GATES;
        Ok(Link::new(shared, (opened, created), (there, back), bells, None, Some(file)))
    }

    fn new(
        shared: Arc<Mapping>,
        (own_gate, other_gate): (usize, usize),
        (outgoing, incoming): (Place, Place),
        bells: Bells,
        names: Option<Names>,
        lock: Option<File>,
    ) -> Link {
        Link {
            outgoing: Writer::new(Arc::clone(&shared), outgoing),
            incoming: Reader::new(Arc::clone(&shared), incoming),
            shared,
            own_gate,
            other_gate,
            kind: outgoing.kind,
            bells,
            names,
            _lock: lock,
            slot: Slot::new(),
            gave_back: false,
            waits_for_space: false,
            is_announced: false,
            end: None,
            counters: LinkCounters::default(),
        }
    }

    /// Has a poll watch this link under this token: its events are for [`handle_event`](Self::handle_event). Once, and
    /// before the first wait.
    ///
    /// # Errors
    /// The kernel's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.bells.register(registry, token)
    }

    /// Whether the other process has come.
    pub fn is_attached(&self) -> bool {
        self.bells.is_attached()
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What was counted so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Takes at most so many messages, gives each to `f`, and says how many there were.
    #[inline]
    pub fn sweep(&mut self, budget: usize, mut f: impl FnMut(&Slot)) -> usize {
        debug_assert!(!self.is_announced, "who has announced its sleep unparks before it sweeps");
        let available = self.checked(|link| link.incoming.available()).unwrap_or(0).min(budget);
        let mut taken = 0;
        while taken < available {
            if self.checked(|link| link.incoming.take(&mut link.slot)).is_none() {
                break;
            }
            f(&self.slot);
            taken += 1;
        }
        self.gave_back |= self.incoming.publish_head();
        self.counters.received += taken as u64;
        taken
    }

    /// Whether there is anything to read.
    #[inline]
    pub fn is_anything_unread(&mut self) -> bool {
        self.checked(|link| link.incoming.available()).is_some_and(|available| available > 0)
    }

    /// Messages that can be staged now; none after an end.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.end.is_some() {
            return 0;
        }
        self.checked(|link| link.outgoing.room()).unwrap_or(0)
    }

    /// Copies a packet into the ring, to be seen after the next [`publish`](Self::publish): a datagram if this process has
    /// opened the link, a reply if it has created it.
    ///
    /// # Panics
    /// Without [`room`](Self::room), or with more than 4 096 octets.
    #[inline]
    pub fn stage(&mut self, remote: SocketAddr, local: SocketAddr, octets: &[u8]) {
        debug_assert!(!self.is_announced, "who has announced its sleep unparks before it stages");
        let head = Head { kind: self.kind, length: octets.len(), remote, local };
        self.outgoing.stage(&head, octets);
        self.counters.sent += 1;
    }

    /// Shows the other process what was staged and which slots are free, and rings it if it sleeps.
    #[inline]
    pub fn publish(&mut self) {
        let published = self.outgoing.publish();
        if !published && !self.gave_back {
            return;
        }
        self.gave_back = false;
        // One for both directions. Pairs with the fence in `Gate::announce` of the other process.
        fence(Ordering::SeqCst);
        let is_due = self.incoming.space_wanted() || published;
        if is_due && self.shared.gate(self.other_gate).ring_if(Urgency::Urgent) {
            self.counters.rings += 1;
            // One that sleeps has come, whether or not its bell has told so.
            if let Err(end) = self.greet().and_then(|()| self.bells.ring()) {
                self.end.get_or_insert(end);
            }
        }
    }

    /// This process waits for room: it is to be rung when half of the ring has been read, and the second look sees that,
    /// too, until [`look_again`](Self::look_again) has found it. What was staged is published before.
    ///
    /// # Panics
    /// If its sleep is announced: the mark has to stand before that fence.
    pub fn ask_for_space(&mut self) {
        assert!(!self.is_announced, "space is asked for before the announcement");
        self.waits_for_space = self.checked(|link| link.outgoing.ask_for_space()).is_some();
        self.counters.full += 1;
    }

    /// Says that this process is about to sleep. The second look has to follow.
    ///
    /// # Panics
    /// If slots given back are unpublished: the other process may sleep for want of them.
    #[inline]
    pub fn announce(&mut self) {
        assert!(!self.gave_back, "one publishes before one announces");
        self.is_announced = true;
        self.shared.gate(self.own_gate).announce(Announcement::Park);
    }

    /// The second look: whether there is anything to read, the room that was asked for, or an end; then one must not sleep.
    ///
    /// # Panics
    /// Without an announcement.
    #[inline]
    pub fn look_again(&mut self) -> bool {
        assert!(self.is_announced, "the second look comes after the announcement");
        let mut found = self.is_anything_unread();
        if self.waits_for_space && self.checked(|link| link.outgoing.space_came()) != Some(false) {
            self.waits_for_space = false;
            found = true;
        }
        found |= self.end.is_some();
        *if found { &mut self.counters.park_cancels } else { &mut self.counters.parks } += 1;
        found
    }

    /// Back to work, after a sleep or instead of one.
    #[inline]
    pub fn unpark(&mut self) {
        if self.is_announced {
            self.is_announced = false;
            self.shared.gate(self.own_gate).leave();
        }
    }

    /// An event under the token of this link: its bell has rung, the other process has come, or it has gone.
    pub fn handle_event(&mut self, event: &Event) {
        debug_assert!(!self.is_announced, "a bell is never taken after an announcement");
        let taken = self.bells.take(&mut self.counters.takes);
        let came = taken.and_then(|()| self.greet());
        if let Err(end) = came {
            self.end.get_or_insert(end);
        }
        if event.is_read_closed() || event.is_error() {
            self.end.get_or_insert(End::Gone);
        }
    }

    /// The first time that anything is heard of the other process, or seen of it in memory.
    fn greet(&mut self) -> Result<(), End> {
        let Some(names) = self.names.take() else { return Ok(()) };
        // One that has gone already, or that is not what it should be, is none.
        let other = open_fifo(&names.back, true).map_err(|_| End::Gone)?;
        self.bells.attach(other).map_err(|error| End::Bell(error.kind()))
    }

    /// For who waits for nothing else: announces, looks again, sleeps until the bell, an event or so long, and unparks.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        patience: Option<Duration>,
    ) -> io::Result<()> {
        self.announce();
        let polled = if self.look_again() { None } else { Some(poll.poll(events, patience)) };
        self.unpark();
        match polled {
            None => Ok(()),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(())) => {
                events.iter().for_each(|event| self.handle_event(event));
                Ok(())
            }
        }
    }

    /// What comes of an access, unless the other process has broken the ring, or does so here.
    #[inline]
    fn checked<T>(&mut self, access: impl FnOnce(&mut Link) -> Result<T, PeerBroke>) -> Option<T> {
        if let Some(End::Broke(_)) = self.end {
            return None;
        }
        access(self).map_err(|broke| self.end = Some(End::Broke(broke))).ok()
    }
}

#[cfg(test)]
mod tests;
