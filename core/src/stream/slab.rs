//! Which streams there are: opened within their bounds, found by name, looked at when they are due, closed by their driver.
//! What one of them may do is its own matter.

use super::{Due, End, Identifiers, Pending, Phase, Spares, Stream, StreamView, WriteDue};
use crate::client::Pace;
use crate::configuration::{Configuration, StreamSettings, Transport};
use crate::deadlines::Deadlines;
use crate::path::{ListenerId, Path, StreamId, Via};
use crate::seed::Seed;
use crate::table::Table;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

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
    /// Memory for replies that wait, and how much it may be.
    output_octets: usize,
    output_octets_max: usize,
    /// It was as much at some time, and there are still some.
    was_crowded: bool,
}

struct Place {
    generation: NonZeroU32,
    stream: Option<Stream>,
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
            output_octets: 0,
            output_octets_max: configuration.runtime.streams_octets_max,
            was_crowded: false,
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
            pace: Pace::default(),
            has_passed: false,
            paced_until: None,
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

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// The stream at a place, if there is one.
    pub fn at(&self, place: u32) -> Option<&Stream> {
        self.places.get(place as usize)?.stream.as_ref()
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
        let before = stream.output.memory_octets();
        stream.output.append(octets, spares);
        let after = stream.output.memory_octets();
        let (due, octets) = (now + stream.settings.write_timeout, stream.output.octets().len());
        stream.write_due.get_or_insert(WriteDue { due, octets });
        self.note_output(before, after);
        self.note_ready(id.place);
    }

    fn note_output(&mut self, before: usize, after: usize) {
        self.output_octets = self.output_octets + after - before;
        self.was_crowded = (self.was_crowded && self.output_octets > 0) || self.is_crowded();
    }

    /// Whether replies that wait take as much memory as they may.
    pub fn is_crowded(&self) -> bool {
        self.output_octets >= self.output_octets_max
    }

    /// How much memory replies take that wait.
    pub fn output_octets(&self) -> usize {
        self.output_octets
    }

    /// So many of them were written.
    pub fn note_written(&mut self, id: StreamId, octets: usize) {
        let Some((stream, spares)) = self.live_with_spares(id) else { return };
        let before = stream.output.memory_octets();
        stream.output.take(octets, spares);
        let after = stream.output.memory_octets();
        if stream.output.is_empty() {
            stream.write_due = None;
        } else if let Some(write_due) = &mut stream.write_due {
            write_due.octets = write_due.octets.saturating_sub(octets);
        }
        self.note_output(before, after);
        // That it was not to be read while there was no memory its driver may have seen without being told.
        if self.was_crowded {
            self.note_ready(id.place);
        }
    }

    /// What has changed may move the next look at a stream nearer, or be something for its driver.
    pub fn settle(&mut self, id: StreamId) {
        let is_crowded = self.is_crowded();
        let Some(stream) = self.live(id) else { return };
        let (due, may_read) = (stream.due(), stream.may_read(is_crowded));
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
        let memory = stream.output.memory_octets();
        stream.output.clear(&mut self.spares);
        place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.free.push(id.place);
        self.note_output(memory, 0);
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
            may_read: stream.may_read(self.is_crowded()),
            is_over: stream.phase == Phase::Over,
        })
    }

    /// When to [look](Streams::look) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// A stream with which something is due. Looks at no more than `budget` of them.
    pub fn look(&mut self, now: Instant, budget: &mut usize) -> Option<(StreamId, Due)> {
        while let Some((due, place)) = self.deadlines.next()
            && due <= now
            && *budget > 0
        {
            *budget -= 1;
            let Place { generation, stream } = &mut self.places[place as usize];
            let stream = stream.as_mut().expect("who has a deadline is there");
            let overdue = stream.overdue(now);
            let id = StreamId { place, generation: *generation };
            let due = stream.due();
            self.deadlines.set(place, due);
            if let Some(overdue) = overdue {
                return Some((id, overdue));
            }
        }
        None
    }

    /// No more are accepted from here on. All that there are, in the order of their places.
    pub fn drain(&mut self, now: Instant) -> Vec<StreamId> {
        self.is_draining = true;
        let all = self.all(|_| true);
        for id in &all {
            if let Some(stream) = self.live(*id) {
                stream.hurry(now);
            }
        }
        all
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

/// How many streams of a listener each network core may have.
fn share(settings: &StreamSettings, network_cores: usize) -> u32 {
    settings.connections_max.div_ceil(network_cores as u32)
}
