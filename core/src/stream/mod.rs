//! Streams of one network core: which there are, what each has still to be taken and to be written, and until when.
//!
//! A stream belongs to the core whose thread accepted it. Its client is that of its source address, or one that a client rule has
//! admitted on it: then it is that client's to its end, as the stream is the connection, also where many are behind one address.
//!
//! ```text
//!  accepted ──► open ── the peer sends no more, or the server ends ──► ending ── all is answered and written ──► over
//!                └──── a packet that ends it, a time-out, broken off ─────┴─────────────────────────────────────► over
//! ```
//!
//! A stream that is over has no requests any more: they were cancelled, and their cached replies forgotten (RFC 6613 §2.6.1). It
//! keeps its place until its driver has closed it.
//!
//! All is bounded. Of what came, no more waits than one read and one packet: a stream is not read while replies to it wait to be
//! read by its peer, while as many requests of it are under way as there are Identifiers (RFC 6613 §2.6.5), while it is not known
//! whose it is, or while the worker of its next packet has no room: nothing can be sent again by a stream, so nothing is shed. Knows no packet but by its length, no policy and no descriptor. RFC 6613 §2.6.

mod end;
pub mod framing;

pub use self::end::End;
pub(crate) use self::framing::{Pending, Spares};

use crate::client::{DynamicClient, Permit};
use crate::configuration::{Configuration, StreamSettings, Transport};
use crate::deadlines::Deadlines;
use crate::path::{ListenerId, Path, StreamId, Via};
use crate::seed::Seed;
use crate::table::Table;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

/// How much a driver may hand in at once.
pub const READ_OCTETS_MAX: usize = 16 * 1024;
/// Requests of one stream under way, at most: as many as there are Identifiers (RFC 6613 §2.6.5).
const OUTSTANDING_MAX: u32 = 256;
/// Octets that wait to be written, above which nothing more is taken. Replies to what is under way come on top: at most 256 of
/// 4 096 octets.
const OUTPUT_PAUSE: usize = 64 * 1024;

/// The streams of one network core.
pub(crate) struct Streams {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Open ones, by listener.
    of_listener: Vec<u32>,
    of_address: Table<(ListenerId, IpAddr), u32>,
    /// When to look at each; it may have been heard since.
    deadlines: Deadlines,
    /// Places of streams that have something for their driver.
    ready: VecDeque<u32>,
    /// Streams whose next packet has found no room.
    blocked: VecDeque<StreamId>,
    /// Of these, how many have not been tried since there may be room.
    untried: usize,
    pub(crate) spares: Spares,
    is_draining: bool,
    bound: usize,
}

struct Place {
    generation: NonZeroU32,
    stream: Option<Stream>,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both sides send.
    Open,
    /// Nothing more is read, for this reason. What has come is answered.
    Ending(End),
    /// It is to be closed.
    Over,
}

/// One stream.
pub(crate) struct Stream {
    pub path: Path,
    settings: StreamSettings,
    pub phase: Phase,
    /// Who speaks here, if a client rule has admitted anybody.
    pub client: Option<Spoken>,
    /// A worker is asked whose a packet is.
    pub is_asking: bool,
    /// Its next packet has found no room at a worker.
    pub is_blocked: bool,
    /// Requests under way, rejects that wait among them; without those that newer ones have displaced.
    pub outstanding: u32,
    pub input: Pending,
    pub output: Pending,
    pub used: Identifiers,
    /// When something came last.
    pub heard: Instant,
    /// Since when a packet is waited for whose beginning has come.
    pub partial_since: Option<Instant>,
    /// By when what waited to be written at its mark has to be written.
    write_due: Option<WriteDue>,
    /// Whether it was to be read when its driver was told last.
    told_readable: bool,
    is_ready: bool,
}

/// A client that a rule has admitted on a stream, whose connection is counted.
pub(crate) struct Spoken {
    pub client: Arc<DynamicClient>,
    pub _permit: Permit,
}

#[derive(Debug, Clone, Copy)]
struct WriteDue {
    due: Instant,
    /// Of what has still to be written, so much waited then.
    octets: usize,
}

/// Which Identifiers requests of a stream have had, and what kinds they were of: whoever ends it looks for no others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Identifiers {
    used: [u64; 4],
    kinds: [bool; KINDS.len()],
}

/// Code and whether signed, of what dedup knows.
const KINDS: [(u8, bool); 4] = [(1, true), (1, false), (4, true), (4, false)];

impl Identifiers {
    /// A request was accepted.
    pub fn note(&mut self, code: u8, identifier: u8, signed: bool) {
        self.used[usize::from(identifier) / 64] |= 1 << (identifier % 64);
        if let Some(kind) = KINDS.iter().position(|kind| *kind == (code, signed)) {
            self.kinds[kind] = true;
        }
    }

    /// Code, Identifier and whether signed, of all that may have been.
    pub fn iter(self) -> impl Iterator<Item = (u8, u8, bool)> {
        let is_used =
            move |identifier: &u8| self.used[usize::from(*identifier) / 64] >> (identifier % 64) & 1 == 1;
        let kinds = KINDS.into_iter().zip(self.kinds).filter(|(_, are)| *are);
        kinds.flat_map(move |((code, signed), _)| {
            (0..=u8::MAX).filter(is_used).map(move |identifier| (code, identifier, signed))
        })
    }
}

/// What a stream's driver is to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamView<'s> {
    /// To be written as far as that can be done without waiting.
    pub output: &'s [u8],
    /// Whether it is to be read.
    pub may_read: bool,
    /// Whether it is to be closed, once the output was written as far as it can be.
    pub is_over: bool,
}

impl Streams {
    /// As many as the listeners of a configuration may have.
    pub fn new(configuration: &Configuration, seed: &Seed) -> Streams {
        let listeners = &configuration.listeners;
        let of_each = listeners.iter().map(|listener| match &listener.transport {
            Transport::Udp => 0,
            Transport::Tcp(settings) => share(settings, configuration.network_cores()),
        });
        let bound = of_each.sum::<u32>() as usize;
        Streams {
            places: Vec::with_capacity(bound),
            free: Vec::with_capacity(bound),
            of_listener: vec![0; listeners.len()],
            of_address: Table::new(bound, &seed.fork("addresses of streams")),
            deadlines: Deadlines::new(bound),
            ready: VecDeque::with_capacity(bound),
            blocked: VecDeque::with_capacity(bound),
            untried: 0,
            spares: Spares::default(),
            is_draining: false,
            bound,
        }
    }

    /// One more, if there may be.
    ///
    /// # Errors
    /// Why not.
    pub fn open(
        &mut self,
        listener: ListenerId,
        (local, remote): (SocketAddr, SocketAddr),
        settings: &StreamSettings,
        network_cores: usize,
        now: Instant,
    ) -> Result<StreamId, End> {
        if self.is_draining {
            return Err(End::Draining);
        }
        let of_listener = &mut self.of_listener[usize::from(listener.0)];
        if *of_listener >= share(settings, network_cores) || self.places.len() - self.free.len() == self.bound
        {
            return Err(End::ListenerFull);
        }
        let address = (listener, remote.ip().to_canonical());
        let of_address = self.of_address.get(&address).copied().unwrap_or_default();
        if of_address >= settings.per_address_max {
            return Err(End::AddressFull);
        }
        let kept = self.of_address.insert(address, of_address + 1);
        kept.map_err(|_| End::ListenerFull)?;
        *of_listener += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: NonZeroU32::MIN, stream: None });
            self.places.len() as u32 - 1
        });
        let at = &mut self.places[place as usize];
        let id = StreamId { place, generation: at.generation };
        at.stream = Some(Stream {
            path: Path { via: Via::Stream(id), listener, local, remote },
            settings: *settings,
            phase: Phase::Open,
            client: None,
            is_asking: false,
            is_blocked: false,
            outstanding: 0,
            input: Pending::default(),
            output: Pending::default(),
            used: Identifiers::default(),
            heard: now,
            partial_since: None,
            write_due: None,
            told_readable: true,
            is_ready: false,
        });
        self.deadlines.set(place, now + settings.idle_timeout);
        Ok(id)
    }

    /// The stream of this name, if it has not been closed.
    pub fn get(&self, id: StreamId) -> Option<&Stream> {
        let place = self.places.get(id.place as usize)?;
        place.stream.as_ref().filter(|_| place.generation == id.generation)
    }

    /// The same, unless it is over.
    pub fn live(&mut self, id: StreamId) -> Option<&mut Stream> {
        let place = self.places.get_mut(id.place as usize)?;
        let stream = place.stream.as_mut().filter(|_| place.generation == id.generation)?;
        (stream.phase != Phase::Over).then_some(stream)
    }

    /// The same, and memory for what waits there.
    pub fn live_with_spares(&mut self, id: StreamId) -> Option<(&mut Stream, &mut Spares)> {
        let place = self.places.get_mut(id.place as usize)?;
        let stream = place.stream.as_mut().filter(|_| place.generation == id.generation)?;
        (stream.phase != Phase::Over).then_some((stream, &mut self.spares))
    }

    /// Whether a stream is over, or is not known any more.
    pub fn is_gone(&self, id: StreamId) -> bool {
        self.get(id).is_none_or(|stream| stream.phase == Phase::Over)
    }

    /// Octets to be written to a stream, which is not over.
    pub fn write(&mut self, id: StreamId, octets: &[u8], now: Instant) {
        let Some((stream, spares)) = self.live_with_spares(id) else { return };
        stream.output.append(octets, spares);
        let (due, octets) = (now + stream.settings.write_timeout, stream.output.octets().len());
        stream.write_due.get_or_insert(WriteDue { due, octets });
        self.note_ready(id.place);
    }

    /// So many of them were written.
    pub fn note_written(&mut self, id: StreamId, octets: usize) {
        let Some((stream, spares)) = self.live_with_spares(id) else { return };
        stream.output.take(octets, spares);
        if stream.output.is_empty() {
            stream.write_due = None;
        } else if let Some(write_due) = &mut stream.write_due {
            write_due.octets = write_due.octets.saturating_sub(octets);
        }
    }

    /// What has changed may move the next look at a stream nearer, or be something for its driver.
    pub fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.live(id) else { return };
        let (due, may_read) = (stream.due(), stream.may_read());
        let is_news = core::mem::replace(&mut stream.told_readable, may_read) != may_read;
        if is_news {
            self.note_ready(id.place);
        }
        if self.deadlines.of(id.place).is_none_or(|known| due < known) {
            self.deadlines.set(id.place, due);
        }
    }

    /// It is over: nothing of it is wanted but what can be written at once.
    pub fn finish(&mut self, id: StreamId) {
        let Some((stream, spares)) = self.live_with_spares(id) else { return };
        stream.phase = Phase::Over;
        stream.client = None;
        stream.input.clear(spares);
        let (listener, address) = (stream.path.listener, stream.path.remote.ip().to_canonical());
        self.of_listener[usize::from(listener.0)] -= 1;
        let counted =
            self.of_address.get_mut(&(listener, address)).expect("it was counted when it was opened");
        *counted -= 1;
        if *counted == 0 {
            self.of_address.remove(&(listener, address));
        }
        self.deadlines.remove(id.place);
        self.note_ready(id.place);
    }

    /// The driver has closed a stream that is over: its place is another's.
    pub fn release(&mut self, id: StreamId) {
        let Some(place) = self.places.get_mut(id.place as usize) else { return };
        let is_over = |stream: &Stream| stream.phase == Phase::Over;
        if place.generation != id.generation || !place.stream.as_ref().is_some_and(is_over) {
            return;
        }
        let mut stream = place.stream.take().expect("just seen");
        stream.output.clear(&mut self.spares);
        place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.free.push(id.place);
    }

    /// The next packet of a stream has found no room.
    pub fn block(&mut self, id: StreamId) {
        if let Some(stream) = self.live(id)
            && !core::mem::replace(&mut stream.is_blocked, true)
        {
            self.blocked.push_back(id);
        }
    }

    /// There may be room again, for as many as are blocked now.
    pub fn begin_retry(&mut self) {
        self.untried = self.blocked.len();
    }

    /// One of them, which is blocked no more.
    pub fn next_retry(&mut self) -> Option<StreamId> {
        self.untried = self.untried.checked_sub(1)?;
        let id = self.blocked.pop_front()?;
        if let Some(stream) = self.live(id) {
            stream.is_blocked = false;
        }
        Some(id)
    }

    /// Whether any has not been tried.
    pub fn has_untried(&self) -> bool {
        self.untried > 0
    }

    /// Whether any waits for room.
    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// A stream that has something for its driver.
    pub fn poll_ready(&mut self) -> Option<StreamId> {
        loop {
            let place = self.ready.pop_front()?;
            let Place { generation, stream } = &mut self.places[place as usize];
            if let Some(stream) = stream {
                stream.is_ready = false;
                return Some(StreamId { place, generation: *generation });
            }
        }
    }

    /// Whether there is one.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn note_ready(&mut self, place: u32) {
        if let Some(stream) = &mut self.places[place as usize].stream
            && !core::mem::replace(&mut stream.is_ready, true)
        {
            self.ready.push_back(place);
        }
    }

    /// What a stream's driver is to do with it.
    pub fn view(&self, id: StreamId) -> Option<StreamView<'_>> {
        let stream = self.get(id)?;
        Some(StreamView {
            output: stream.output.octets(),
            may_read: stream.may_read(),
            is_over: stream.phase == Phase::Over,
        })
    }

    /// When to [look](Streams::look) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// A stream whose time is over, and why. Looks at no more than `budget` of them.
    pub fn look(&mut self, now: Instant, budget: &mut usize) -> Option<(StreamId, End)> {
        while let Some((due, place)) = self.deadlines.next()
            && due <= now
            && *budget > 0
        {
            *budget -= 1;
            let Place { generation, stream } = &mut self.places[place as usize];
            let stream = stream.as_mut().expect("who has a deadline is there");
            if let Some(end) = stream.overdue(now) {
                return Some((StreamId { place, generation: *generation }, end));
            }
            let due = stream.due();
            self.deadlines.set(place, due);
        }
        None
    }

    /// No more are accepted from here on. All that there are, in the order of their places.
    pub fn drain(&mut self) -> Vec<StreamId> {
        self.is_draining = true;
        self.all(|_| true)
    }

    /// Those about whom a worker is asked.
    pub fn asking(&self) -> Vec<StreamId> {
        self.all(|stream| stream.is_asking)
    }

    fn all(&self, wanted: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let places = (0..).zip(&self.places);
        let wanted = places.filter(|(_, place)| {
            place.stream.as_ref().is_some_and(|stream| stream.phase != Phase::Over && wanted(stream))
        });
        wanted.map(|(place, Place { generation, .. })| StreamId { place, generation: *generation }).collect()
    }

    /// Whether none is there that has not been closed.
    pub fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.of_listener.iter().sum::<u32>() as usize
    }
}

impl Stream {
    /// Whether one more packet may be taken.
    pub fn may_take(&self) -> bool {
        self.phase != Phase::Over
            && !self.is_asking
            && !self.is_blocked
            && self.outstanding < OUTSTANDING_MAX
            && self.output.octets().len() < OUTPUT_PAUSE
    }

    fn may_read(&self) -> bool {
        self.phase == Phase::Open && self.may_take()
    }

    /// Whether nothing of it is under way.
    pub fn is_done(&self) -> bool {
        self.outstanding == 0 && self.output.is_empty() && !self.is_asking && !self.is_blocked
    }

    /// When to look at it next, if nothing comes.
    fn due(&self) -> Instant {
        let idle = self.heard + self.settings.idle_timeout;
        let partial = self.partial_since.map(|since| since + self.settings.read_timeout);
        let written = self.write_due.map(|write_due| write_due.due);
        [partial, written].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Why its time is over, if it is.
    fn overdue(&mut self, now: Instant) -> Option<End> {
        let StreamSettings { idle_timeout, read_timeout, write_timeout, .. } = self.settings;
        if self.partial_since.is_some_and(|since| since + read_timeout <= now) {
            return Some(End::SlowSender);
        }
        if let Some(WriteDue { due, octets }) = &mut self.write_due
            && *due <= now
        {
            // A trickle does not count: all that waited then has to be gone.
            if *octets > 0 {
                return Some(End::SlowReader);
            }
            (*due, *octets) = (now + write_timeout, self.output.octets().len());
        }
        if self.heard + idle_timeout <= now {
            if self.is_done() {
                return Some(End::Idle);
            }
            // What is under way has deadlines of its own. Silence begins anew behind it.
            self.heard = now;
        }
        None
    }
}

/// How many streams of a listener each network core may have.
fn share(settings: &StreamSettings, network_cores: usize) -> u32 {
    settings.connections_max.div_ceil(network_cores as u32)
}
