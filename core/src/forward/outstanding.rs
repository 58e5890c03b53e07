//! What one worker has outstanding at one remote server: who waits for the reply that comes to which port under which
//! Identifier. RFC 2865 §3, RFC 5080 §2.2.1.
//!
//! A port is a socket of the worker's with a source port of its own, good for 256 Identifiers; more are opened as they are needed,
//! up to a bound. An Identifier goes from *free* to *taken*, to *waiting*, and back. The free one that was used longest ago is
//! taken first.
//!
//! - A verified reply frees its Identifier at once. Should the net deliver that reply twice, or the server answer a
//!   retransmission once more, the Identifier is likely still free, and nothing waits there; if it is not, another request has it,
//!   whose Request Authenticator the Response Authenticator does not match.
//! - A request that is given up leaves its Identifier *late*: nobody else gets it until its quarantine is over, and its authenticator
//!   is kept, so that a late reply can be told from a forged one, and be believed as a sign of life.
//!
//! Quarantine ends without a timer: whoever takes an Identifier first frees those whose time is over. Ports hold their Identifiers in
//! one piece of memory each, so that a new port moves nothing. Knows no socket, no secret and no server: whoever calls has verified.

use crate::dedup::Authenticator;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A worker's requests that wait at one remote server.
pub struct Outstanding<T> {
    /// By port; `None`: that index is for the next that is opened.
    ports: Vec<Option<Port<T>>>,
    /// Never used or used longest ago first.
    free: List,
    /// In the order in which they were sent, which is that of their deadlines.
    waiting: List,
    /// In the order in which they were given up.
    late: List,
    /// The first of those that wait which nobody was told about by [`take_unanswered`](Outstanding::take_unanswered).
    unanswered: u32,
    bound: u32,
    quarantine: Duration,
}

/// A socket's place among those to one remote server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIndex(pub u16);

/// An Identifier of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Where it is sent from.
    pub port: PortIndex,
    /// Under which Identifier.
    pub identifier: u8,
}

/// What an Identifier is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To forward a request.
    Request,
    /// To send a record of the spool, which can wait: half of what there may be is left to requests.
    Spooled,
    /// To ask whether the server lives: some Identifiers are kept for that, as it is asked just when all others may wait.
    Probe,
}

/// A request that was sent.
pub struct Entry<T> {
    /// Its Request Authenticator, which its reply is verified with.
    pub authenticator: Authenticator,
    /// When it was sent first.
    pub sent_at: Instant,
    /// Who waits for the reply; `None`: nobody any more, it is late.
    pub waits: Option<T>,
    /// Until when somebody waits, or the Identifier is in quarantine.
    until: Instant,
}

struct Port<T> {
    /// 256, by Identifier.
    places: Box<[Place<T>]>,
    /// No more are taken from it.
    is_retired: bool,
    /// How many of its Identifiers are not free.
    used: u16,
}

struct Place<T> {
    stage: Stage<T>,
    /// Its neighbours in the list of its stage.
    before: u32,
    after: u32,
}

enum Stage<T> {
    /// Of a retired port.
    Unused,
    Free,
    Taken,
    Outstanding(Entry<T>),
}

/// Places in an order, linked through their ports.
#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl<T> Outstanding<T> {
    /// None yet, at most `bound` at a time, 1 to 65 536. After one is given up its Identifier is not used for `quarantine`: for as
    /// long as a reply may still come.
    pub fn new(bound: u32, quarantine: Duration) -> Self {
        Outstanding {
            ports: Vec::new(),
            free: List::EMPTY,
            waiting: List::EMPTY,
            late: List::EMPTY,
            unanswered: NONE,
            bound: bound.clamp(1, OUTSTANDING_MAX),
            quarantine,
        }
    }

    /// Other limits from now on. More that wait than the new bound allows wait on.
    pub fn set_limits(&mut self, bound: u32, quarantine: Duration) {
        self.bound = bound.clamp(1, OUTSTANDING_MAX);
        self.quarantine = quarantine;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len as usize
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.len == 0
    }

    /// How many Identifiers are in quarantine, or were and have not been needed since.
    pub fn late(&self) -> usize {
        self.late.len as usize
    }

    /// How many can wait with the ports that are open.
    pub fn capacity(&self) -> usize {
        (self.open() * IDENTIFIERS).saturating_sub(PROBES_KEPT as usize).min(self.bound as usize)
    }

    /// Whether another port should be ordered: fewer than an eighth of the Identifiers are free, and there may be more ports. Those that are
    /// retired do not count.
    pub fn needs_port(&self) -> bool {
        let open = self.open();
        let is_wanted = open == 0 || (self.spare() as usize) < open * IDENTIFIERS / 8;
        is_wanted && open < self.ports_max()
    }

    /// A port has been opened. Its Identifiers are taken next: none was used before.
    ///
    /// # Panics
    /// If there are as many as the bound asks for.
    pub fn add_port(&mut self) -> PortIndex {
        assert!(self.open() < self.ports_max(), "a port is opened only where one is needed");
        let place = || Place { stage: Stage::Free, before: NONE, after: NONE };
        let places = (0..IDENTIFIERS).map(|_| place()).collect();
        let port = Some(Port { places, is_retired: false, used: 0 });
        let index = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        match self.ports.get_mut(index) {
            Some(place) => *place = port,
            None => self.ports.push(port),
        }
        let index = PortIndex(index as u16);
        for identifier in (0..=u8::MAX).rev() {
            self.free.prepend(&mut self.ports, Slot { port: index, identifier }.place());
        }
        index
    }

    /// Nothing new leaves by this port. What waits there waits on, what is late stays so.
    pub fn retire_port(&mut self, port: PortIndex) {
        self.port_mut(port).is_retired = true;
        for identifier in 0..=u8::MAX {
            let place = Slot { port, identifier }.place();
            if matches!(stage(&mut self.ports, place), Stage::Free) {
                self.free.remove(&mut self.ports, place);
                *stage(&mut self.ports, place) = Stage::Unused;
            }
        }
    }

    /// Whether no Identifier of the port is in use or in quarantine: it may be closed, and nothing late can come to another socket that
    /// gets its number.
    /// Of many quarantines that are over it ends some, and says so of the port when it is asked again.
    pub fn is_port_unused(&mut self, port: PortIndex, now: Instant) -> bool {
        self.end_quarantines(now, QUARANTINES_OF_PORT_ENDED_MAX);
        self.port_mut(port).used == 0
    }

    /// The port is closed. Each request that waits there is handed out, to be given a fate.
    ///
    /// # Panics
    /// If one of its Identifiers has been taken and not been put.
    pub fn remove_port(&mut self, port: PortIndex, mut orphan: impl FnMut(Slot, T)) {
        for identifier in 0..=u8::MAX {
            let slot = Slot { port, identifier };
            match core::mem::replace(stage(&mut self.ports, slot.place()), Stage::Unused) {
                Stage::Unused => {}
                Stage::Free => self.free.remove(&mut self.ports, slot.place()),
                Stage::Taken => panic!("a port is closed between two requests"),
                Stage::Outstanding(entry) => {
                    self.unlink(slot.place(), entry.waits.is_none());
                    if let Some(waits) = entry.waits {
                        orphan(slot, waits);
                    }
                }
            }
        }
        self.ports[usize::from(port.0)] = None;
    }

    // RFC 2865 §3; checklist 41
    /// Takes the free Identifier that was used longest ago, to be [put](Outstanding::put) or [given back](Outstanding::give_back).
    /// `None`: none is free, or as many wait as may.
    pub fn take(&mut self, purpose: Purpose, now: Instant) -> Option<Slot> {
        // More than are taken, so that what an outage has left is worked off, and not all of it in one turn.
        self.end_quarantines(now, QUARANTINES_ENDED_MAX);
        let has_room = match purpose {
            Purpose::Request => self.waiting.len < self.bound && self.spare() > 0,
            Purpose::Spooled => {
                self.waiting.len < self.bound.div_ceil(2) && self.is_half_unused() && self.spare() > 0
            }
            Purpose::Probe => self.free.len > 0,
        };
        if !has_room {
            return None;
        }
        let place = self.free.first;
        self.free.remove(&mut self.ports, place);
        *stage(&mut self.ports, place) = Stage::Taken;
        let slot = Slot::of(place);
        self.port_mut(slot.port).used += 1;
        Some(slot)
    }

    /// An Identifier that was taken has not been sent: it is the next to be taken.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn give_back(&mut self, slot: Slot) {
        assert!(self.is_taken(slot), "only what is taken is given back");
        self.release(slot, List::prepend);
    }

    /// A request has been sent under an Identifier that was taken. It waits until `deadline`; or a little longer, if one that was sent
    /// before it has more time.
    ///
    /// # Panics
    /// If the Identifier is not taken.
    pub fn put(
        &mut self,
        slot: Slot,
        waits: T,
        authenticator: Authenticator,
        deadline: Instant,
        now: Instant,
    ) {
        assert!(self.is_taken(slot), "only what is taken is put");
        let last = (self.waiting.last != NONE).then(|| self.at(self.waiting.last)).flatten();
        let (sent_at, until) =
            last.map_or((now, deadline), |last| (now.max(last.sent_at), deadline.max(last.until)));
        let place = slot.place();
        let entry = Entry { authenticator, sent_at, waits: Some(waits), until };
        *stage(&mut self.ports, place) = Stage::Outstanding(entry);
        self.waiting.append(&mut self.ports, place);
        if self.unanswered == NONE {
            self.unanswered = place;
        }
    }

    /// The request that a reply to this port with this Identifier would be to: it waits, or it is late. `None`: there is none, such a
    /// reply is no reply.
    pub fn get(&self, port: PortIndex, identifier: u8) -> Option<&Entry<T>> {
        self.at(Slot { port, identifier }.place())
    }

    /// What waits there for its reply; `None` if nothing does, or no more.
    pub fn waiting(&self, slot: Slot) -> Option<&T> {
        self.get(slot.port, slot.identifier)?.waits.as_ref()
    }

    /// As [`get`](Outstanding::get), to change what waits.
    pub fn get_mut(&mut self, port: PortIndex, identifier: u8) -> Option<&mut Entry<T>> {
        match &mut self.ports.get_mut(usize::from(port.0))?.as_mut()?.places[usize::from(identifier)].stage {
            Stage::Outstanding(entry) => Some(entry),
            Stage::Unused | Stage::Free | Stage::Taken => None,
        }
    }

    // Checklist 42
    /// A verified reply has come: its Identifier is free at once, and who waited for it is handed out; nobody, if it was late.
    ///
    /// # Panics
    /// If there is none.
    pub fn finish(&mut self, slot: Slot) -> Option<T> {
        let Stage::Outstanding(entry) =
            core::mem::replace(stage(&mut self.ports, slot.place()), Stage::Taken)
        else {
            panic!("a reply is to a request");
        };
        self.unlink(slot.place(), entry.waits.is_none());
        self.release(slot, List::append);
        entry.waits
    }

    /// Nobody waits for this reply any longer. Its Identifier is in quarantine from now on.
    ///
    /// # Panics
    /// If none waits there.
    pub fn give_up(&mut self, slot: Slot, now: Instant) -> T {
        self.unlink(slot.place(), false);
        let quarantine =
            if seeded::is(Bug::IdentifierWithoutQuarantine) { Duration::ZERO } else { self.quarantine };
        let until = now + quarantine;
        let Stage::Outstanding(entry) = stage(&mut self.ports, slot.place()) else {
            panic!("what is given up has been sent");
        };
        entry.until = until;
        let waits = entry.waits.take().expect("what is given up has waited");
        self.late.append(&mut self.ports, slot.place());
        waits
    }

    /// The next request whose deadline has come. It is given up.
    pub fn take_overdue(&mut self, now: Instant) -> Option<(Slot, T)> {
        let first = self.at(self.waiting.first)?;
        if now < first.until {
            return None;
        }
        let slot = Slot::of(self.waiting.first);
        Some((slot, self.give_up(slot, now)))
    }

    /// The next request that has had no answer for the response window, told once each: when it was sent. It waits on.
    pub fn take_unanswered(&mut self, response_window: Duration, now: Instant) -> Option<(Slot, Instant)> {
        let place = self.unanswered;
        let sent_at = self.at(place)?.sent_at;
        if now < sent_at + response_window {
            return None;
        }
        self.unanswered = self.after(place);
        Some((Slot::of(place), sent_at))
    }

    /// When something is next overdue or without an answer.
    pub fn next_deadline(&self, response_window: Duration) -> Option<Instant> {
        let overdue = self.at(self.waiting.first).map(|entry| entry.until);
        let unanswered = self.at(self.unanswered).map(|entry| entry.sent_at + response_window);
        overdue.into_iter().chain(unanswered).min()
    }

    /// All that wait, in the order in which they were sent. For inspection.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Entry<T>)> {
        let mut place = self.waiting.first;
        core::iter::from_fn(move || {
            let entry = self.at(place)?;
            let slot = Slot::of(place);
            place = self.after(place);
            Some((slot, entry))
        })
    }

    fn is_taken(&mut self, slot: Slot) -> bool {
        matches!(stage(&mut self.ports, slot.place()), Stage::Taken)
    }

    fn at(&self, place: u32) -> Option<&Entry<T>> {
        match &self.ports.get(place as usize / IDENTIFIERS)?.as_ref()?.places[place as usize % IDENTIFIERS]
            .stage
        {
            Stage::Outstanding(entry) => Some(entry),
            Stage::Unused | Stage::Free | Stage::Taken => None,
        }
    }

    fn after(&self, place: u32) -> u32 {
        let port = self.ports[place as usize / IDENTIFIERS].as_ref();
        port.expect("what is in a list has a port").places[place as usize % IDENTIFIERS].after
    }

    /// Takes a place out of the list in which it is outstanding.
    fn unlink(&mut self, place: u32, is_late: bool) {
        if self.unanswered == place {
            self.unanswered = self.after(place);
        }
        let list = if is_late { &mut self.late } else { &mut self.waiting };
        list.remove(&mut self.ports, place);
    }

    /// An Identifier that is in no list is free again.
    fn release(&mut self, slot: Slot, into: fn(&mut List, &mut [Option<Port<T>>], u32)) {
        let port = self.port_mut(slot.port);
        port.used -= 1;
        if port.is_retired {
            *stage(&mut self.ports, slot.place()) = Stage::Unused;
        } else {
            *stage(&mut self.ports, slot.place()) = Stage::Free;
            into(&mut self.free, &mut self.ports, slot.place());
        }
    }

    fn end_quarantines(&mut self, now: Instant, mut most: u32) {
        while most > 0 && self.at(self.late.first).is_some_and(|first| first.until <= now) {
            let slot = Slot::of(self.late.first);
            self.unlink(slot.place(), true);
            self.release(slot, List::append);
            most -= 1;
        }
    }

    fn port_mut(&mut self, port: PortIndex) -> &mut Port<T> {
        self.ports[usize::from(port.0)].as_mut().expect("a port is used while it is open")
    }

    /// How many free ones there are for requests.
    fn spare(&self) -> u32 {
        self.free.len.saturating_sub(PROBES_KEPT)
    }

    /// Whether fewer than half of the Identifiers that there may be wait or are late.
    fn is_half_unused(&self) -> bool {
        let used = self.open() * IDENTIFIERS - self.free.len as usize;
        used < self.ports_max() * IDENTIFIERS / 2
    }

    fn open(&self) -> usize {
        self.ports.iter().flatten().filter(|port| !port.is_retired).count()
    }

    fn ports(&self) -> usize {
        self.ports.iter().flatten().count()
    }

    fn ports_max(&self) -> usize {
        (self.bound + PROBES_KEPT).div_ceil(IDENTIFIERS as u32) as usize
    }
}

impl<T> fmt::Debug for Outstanding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outstanding")
            .field("ports", &self.ports())
            .field("free", &self.free.len)
            .field("waiting", &self.waiting.len)
            .field("late", &self.late.len)
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn place(self) -> u32 {
        u32::from(self.port.0) << 8 | u32::from(self.identifier)
    }

    fn of(place: u32) -> Slot {
        Slot { port: PortIndex((place >> 8) as u16), identifier: place as u8 }
    }
}

impl List {
    const EMPTY: List = List { first: NONE, last: NONE, len: 0 };

    fn append<T>(&mut self, ports: &mut [Option<Port<T>>], place: u32) {
        (at(ports, place).before, at(ports, place).after) = (self.last, NONE);
        match self.last {
            NONE => self.first = place,
            last => at(ports, last).after = place,
        }
        self.last = place;
        self.len += 1;
    }

    fn prepend<T>(&mut self, ports: &mut [Option<Port<T>>], place: u32) {
        (at(ports, place).before, at(ports, place).after) = (NONE, self.first);
        match self.first {
            NONE => self.last = place,
            first => at(ports, first).before = place,
        }
        self.first = place;
        self.len += 1;
    }

    fn remove<T>(&mut self, ports: &mut [Option<Port<T>>], place: u32) {
        let Place { before, after, .. } = *at(ports, place);
        match before {
            NONE => self.first = after,
            before => at(ports, before).after = after,
        }
        match after {
            NONE => self.last = before,
            after => at(ports, after).before = before,
        }
        self.len -= 1;
    }
}

fn at<T>(ports: &mut [Option<Port<T>>], place: u32) -> &mut Place<T> {
    let port = ports[place as usize / IDENTIFIERS].as_mut().expect("a slot's port is open");
    &mut port.places[place as usize % IDENTIFIERS]
}

fn stage<T>(ports: &mut [Option<Port<T>>], place: u32) -> &mut Stage<T> {
    &mut at(ports, place).stage
}

/// What one octet tells apart.
const IDENTIFIERS: usize = 256;
/// How many may wait at one server, for each worker.
const OUTSTANDING_MAX: u32 = 1 << 16;
/// Identifiers that requests leave to probes: when a server dies under load, all others wait or are late, and without one nobody
/// would learn that it is back. A probe without answer is late, too, so there are several.
const PROBES_KEPT: u32 = 16;
/// Quarantines that are looked at when an Identifier is taken.
const QUARANTINES_ENDED_MAX: u32 = 64;
/// The same when a port is to be closed: some 0.1 ms.
const QUARANTINES_OF_PORT_ENDED_MAX: u32 = 4_096;
/// No place.
const NONE: u32 = u32::MAX;

#[cfg(test)]
#[path = "outstanding/tests.rs"]
mod tests;
