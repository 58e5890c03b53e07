//! Requests that wait for an effect, from the turn that asked for it to the one that has its answer.
//!
//! Bounded by what the network cores may have with this worker at once, its memory taken at start. An effect is under way
//! for one request or for many; each request waits for one effect, until its deadline or until nobody wants it any more.
//! Names of effects and of requests outlive them and the cores that gave them, so both have generations and lives: a late
//! answer or notice finds nothing.

use crate::effect::Ticket;
use crate::life::Life;
use crate::path::NetworkId;
use crate::request::{Request, RequestHandle};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::table::{Index, KeyHash};
use crate::time::Instant;
use alloc::vec::Vec;

/// A request that waits.
pub struct Held<Waiting> {
    /// Whose it is.
    pub network: NetworkId,
    /// The request.
    pub request: Request,
    /// What has been decided so far, and what the effect is to say.
    pub waiting: Waiting,
    /// When its worker took it up: the time that its decision is made for.
    pub taken_up: Instant,
}

/// The requests of one worker that wait.
pub struct InProgress<Waiting> {
    life: Life,
    index: Index,
    places: Vec<Place<Waiting>>,
    effects: Vec<Under>,
    /// The first place without a request, the next in its `by_deadline.after`.
    free_place: u32,
    /// The first place without an effect.
    free_effect: u32,
    /// All that wait, in the order of their deadlines.
    by_deadline: Ends,
    len: usize,
    bound: usize,
    /// How often it was marked, when last, and how many wait that were there then.
    marks: u32,
    marked_at: Option<Instant>,
    marked: usize,
}

struct Place<Waiting> {
    held: Option<Held<Waiting>>,
    /// That of its name.
    hash: KeyHash,
    deadline: Instant,
    by_deadline: Neighbours,
    /// Those that wait for the same effect.
    by_effect: Neighbours,
    effect: u32,
    /// How often all were marked before it came.
    marks: u32,
}

/// An effect under way, or a place for one.
struct Under {
    generation: u32,
    waiting: Ends,
    next_free: u32,
}

#[derive(Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Clone, Copy)]
struct Neighbours {
    before: u32,
    after: u32,
}

impl<Waiting> InProgress<Waiting> {
    /// For at most `bound` requests.
    pub fn new(life: Life, bound: usize, seed: &Seed) -> Self {
        InProgress {
            life,
            index: Index::new(bound, &seed.fork("requests that wait")),
            places: Vec::with_capacity(bound),
            effects: Vec::with_capacity(bound),
            free_place: NONE,
            free_effect: NONE,
            by_deadline: Ends::EMPTY,
            len: 0,
            bound,
            marks: 0,
            marked_at: None,
            marked: 0,
        }
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A name for an effect that one request at least will [wait](Self::hold) for.
    pub fn begin_effect(&mut self) -> Ticket {
        let place = if self.free_effect == NONE {
            assert!(self.effects.len() < self.bound, "for each effect a request waits");
            self.effects.push(Under { generation: 0, waiting: Ends::EMPTY, next_free: NONE });
            self.effects.len() as u32 - 1
        } else {
            let place = self.free_effect;
            self.free_effect = self.effects[place as usize].next_free;
            place
        };
        Ticket { place, generation: self.effects[place as usize].generation, life: self.life }
    }

    /// Keeps a request until the effect of this ticket is done, at longest until `deadline`; or a little longer, if one
    /// that was kept before it has more time.
    ///
    /// # Panics
    /// When more wait than network cores may have given to this worker, or nothing waits for that effect any more.
    pub fn hold(&mut self, ticket: Ticket, held: Held<Waiting>, deadline: Instant) {
        assert!(self.is_current(ticket), "a request waits for an effect that is under way");
        let deadline = match self.by_deadline.last {
            NONE => deadline,
            last => deadline.max(self.places[last as usize].deadline),
        };
        let hash = self.index.hash(&key(held.network, held.request.stamp().handle));
        // What came in the very turn of the mark counts as marked, too: nobody can tell, and it is only waited for.
        let is_marked = self.marked_at.is_some_and(|at| held.taken_up <= at);
        self.marked += usize::from(is_marked);
        let slot = Place {
            held: Some(held),
            hash,
            deadline,
            by_deadline: Neighbours::NONE,
            by_effect: Neighbours::NONE,
            effect: ticket.place,
            marks: self.marks.wrapping_sub(u32::from(is_marked)),
        };
        let place = if self.free_place == NONE {
            self.places.push(slot);
            self.places.len() as u32 - 1
        } else {
            let place = self.free_place;
            self.free_place = self.places[place as usize].by_deadline.after;
            self.places[place as usize] = slot;
            place
        };
        self.index.insert(hash, place).expect("network cores count what they give to a worker");
        self.len += 1;
        let InProgress { places, effects, by_deadline, .. } = self;
        by_deadline.append(places, place, |place| &mut place.by_deadline);
        effects[ticket.place as usize].waiting.append(places, place, |place| &mut place.by_effect);
    }

    /// Whether a request waits for the effect of this ticket.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        ticket.life == self.life
            && self
                .effects
                .get(ticket.place as usize)
                .is_some_and(|effect| effect.generation == ticket.generation)
    }

    /// The next request that waits for the effect of this ticket, in the order in which they came; `None` when there is
    /// no more, or it is an effect that nobody waits for any longer.
    pub fn take_answered(&mut self, ticket: Ticket) -> Option<Held<Waiting>> {
        if !self.is_current(ticket) && !seeded::is(Bug::StaleAnswerBelieved) {
            return None;
        }
        let first = self.effects.get(ticket.place as usize)?.waiting.first;
        (first != NONE).then(|| self.take(first))
    }

    /// The request of this name, if it waits.
    pub fn take_named(&mut self, network: NetworkId, handle: RequestHandle) -> Option<Held<Waiting>> {
        let place = self.find(network, handle)?;
        Some(self.take(place))
    }

    /// Another request waits in the place of the one of this name: the very same packet, by another connection. Gives the one that
    /// waited, or where there is none the other back.
    pub fn replace(
        &mut self,
        network: NetworkId,
        handle: RequestHandle,
        by: NetworkId,
        request: Request,
    ) -> Result<(NetworkId, Request), Request> {
        let Some(place) = self.find(network, handle) else { return Err(request) };
        let hash = self.index.hash(&key(by, request.stamp().handle));
        let InProgress { index, places, .. } = self;
        let slot = &mut places[place as usize];
        index.remove(slot.hash, place);
        index.insert(hash, place).expect("it has just had a place");
        slot.hash = hash;
        let held = slot.held.as_mut().expect("what is found waits");
        held.network = by;
        Ok((network, core::mem::replace(&mut held.request, request)))
    }

    /// Marks all that wait now, and all that were taken up by now and will wait again: for an effect after the first.
    pub fn mark(&mut self, now: Instant) {
        self.marks = self.marks.wrapping_add(1);
        self.marked_at = Some(now);
        self.marked = self.len;
    }

    /// Whether any that was marked waits still.
    pub fn has_marked(&self) -> bool {
        self.marked > 0
    }

    /// The request of this name, if it waits, where it is.
    pub fn named(&self, network: NetworkId, handle: RequestHandle) -> Option<&Held<Waiting>> {
        self.places[self.find(network, handle)? as usize].held.as_ref()
    }

    /// All that wait, in no order. For inspection.
    pub fn iter(&self) -> impl Iterator<Item = &Held<Waiting>> {
        self.places.iter().filter_map(|place| place.held.as_ref())
    }

    /// A request whose deadline has come.
    pub fn take_overdue(&mut self, now: Instant) -> Option<Held<Waiting>> {
        self.next_deadline().filter(|due| *due <= now)?;
        Some(self.take(self.by_deadline.first))
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        Some(self.places.get(self.by_deadline.first as usize)?.deadline)
    }

    fn find(&self, network: NetworkId, handle: RequestHandle) -> Option<u32> {
        self.index.find(self.index.hash(&key(network, handle)), |place| {
            let held = self.places[place as usize].held.as_ref();
            held.is_some_and(|held| held.network == network && held.request.stamp().handle == handle)
        })
    }

    /// Takes a request out. With the last that waits for it an effect's ticket is void.
    fn take(&mut self, place: u32) -> Held<Waiting> {
        let InProgress { index, places, effects, by_deadline, .. } = self;
        by_deadline.remove(places, place, |place| &mut place.by_deadline);
        let effect_place = places[place as usize].effect;
        let effect = &mut effects[effect_place as usize];
        effect.waiting.remove(places, place, |place| &mut place.by_effect);
        if effect.waiting.first == NONE {
            effect.generation = effect.generation.wrapping_add(1);
            effect.next_free = self.free_effect;
            self.free_effect = effect_place;
        }
        let held = places[place as usize].held.take().expect("what is in the lists waits");
        index.remove(places[place as usize].hash, place);
        places[place as usize].by_deadline.after = self.free_place;
        self.free_place = place;
        self.len -= 1;
        self.marked -= usize::from(places[place as usize].marks != self.marks);
        held
    }
}

impl Ends {
    const EMPTY: Ends = Ends { first: NONE, last: NONE };

    fn append<A>(
        &mut self,
        places: &mut [Place<A>],
        place: u32,
        of: impl Fn(&mut Place<A>) -> &mut Neighbours,
    ) {
        *of(&mut places[place as usize]) = Neighbours { before: self.last, after: NONE };
        match self.last {
            NONE => self.first = place,
            last => of(&mut places[last as usize]).after = place,
        }
        self.last = place;
    }

    fn remove<A>(
        &mut self,
        places: &mut [Place<A>],
        place: u32,
        of: impl Fn(&mut Place<A>) -> &mut Neighbours,
    ) {
        let Neighbours { before, after } = *of(&mut places[place as usize]);
        match before {
            NONE => self.first = after,
            before => of(&mut places[before as usize]).after = after,
        }
        match after {
            NONE => self.last = before,
            after => of(&mut places[after as usize]).before = before,
        }
    }
}

impl Neighbours {
    const NONE: Neighbours = Neighbours { before: NONE, after: NONE };
}

/// Handles are names within one network core.
fn key(network: NetworkId, handle: RequestHandle) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[..2].copy_from_slice(&network.0.to_le_bytes());
    octets[2..6].copy_from_slice(&handle.entry.to_le_bytes());
    octets[6..10].copy_from_slice(&handle.generation.to_le_bytes());
    octets[10..].copy_from_slice(&handle.life.0.to_le_bytes());
    octets
}

/// No place.
const NONE: u32 = u32::MAX;
