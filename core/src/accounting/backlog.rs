//! What of the spool is to be sent, and in which order. Knows neither files nor servers.
//!
//! Records of one pool wait in a line of their own, and so many of each are under way: a pool that is dead holds up no other.
//! Of one session of a client only one is under way, in the order in which they came.
//!
//! A record that a living server does not answer would hold its place for ever, and enough of them all places of their pool. So one that was
//! sent often enough goes to the end of its line, and comes again when all others had their turn.

use super::spool_line::{SpoolEvent, SpoolLine, SpoolName, Spooled};
use crate::time::UnixTime;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

/// Records that are to be sent, and those that are being stored for that.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: BTreeMap<SpoolName, Waiting>,
    /// Octets of their lines.
    octets: usize,
    /// The age, or the turn, of the next.
    next: u64,
    /// By pool.
    pools: BTreeMap<Arc<str>, Queue>,
    /// Of each session, those that are to be sent, in order: only the first is in its pool's queue, or under way.
    sessions: BTreeMap<u64, VecDeque<SpoolName>>,
    /// By its key, the newest event of which a record is here, and when that was received.
    events: BTreeMap<[u8; 16], (SpoolName, Option<UnixTime>)>,
}

/// A record as a line has it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub line: Box<[u8]>,
    pub pool: Arc<str>,
    /// Which session it belongs to.
    pub session: Option<u64>,
    /// Which event it tells of, if that can be told.
    pub event: Option<SpoolEvent>,
}

#[derive(Debug)]
struct Waiting {
    recorded: Recorded,
    /// What came first is oldest.
    age: u64,
    /// Which of its pool is next: its age, until it has been put back.
    turn: u64,
    was_put_back: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is being written: nobody knows of it.
    BeingStored,
    /// One of its session is before it.
    Behind,
    /// It is in its pool's queue.
    Ready,
    /// It is under way.
    Lent,
}

#[derive(Debug, Default)]
struct Queue {
    ready: BTreeSet<(u64, SpoolName)>,
    lent: u32,
}

impl Backlog {
    /// How many there are.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Octets of their lines.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether there is a record of this event.
    pub fn has_event(&self, event: &SpoolEvent) -> bool {
        self.events.get(&event.key).is_some_and(|(_, received)| event.repeats(*received))
    }

    /// The line of a record that is there.
    pub fn line(&self, name: &SpoolName) -> &[u8] {
        &self.records[name].recorded.line
    }

    /// Whether it is to be sent, or under way.
    pub fn is_safe(&self, name: &SpoolName) -> bool {
        self.records.get(name).is_some_and(|waiting| waiting.stage != Stage::BeingStored)
    }

    /// All of which that is so, each under its age.
    pub fn safe(&self) -> impl Iterator<Item = (u64, SpoolName)> {
        let safe = self.records.iter().filter(|(_, waiting)| waiting.stage != Stage::BeingStored);
        safe.map(|(name, waiting)| (waiting.age, *name))
    }

    /// Takes a record that is being stored. Gives its age.
    pub fn keep(&mut self, name: SpoolName, recorded: Recorded) -> u64 {
        self.octets += recorded.line.len();
        if let Some(event) = recorded.event {
            self.events.insert(event.key, (name, event.received));
        }
        let pool = match self.pools.get_key_value(&recorded.pool) {
            Some((pool, _)) => Arc::clone(pool),
            None => {
                self.pools.insert(Arc::clone(&recorded.pool), Queue::default());
                Arc::clone(&recorded.pool)
            }
        };
        let age = self.next_number();
        let (recorded, stage) = (Recorded { pool, ..recorded }, Stage::BeingStored);
        let before =
            self.records.insert(name, Waiting { recorded, age, turn: age, was_put_back: false, stage });
        assert!(before.is_none(), "names are random");
        age
    }

    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A record is safe: it may be sent, when those of its session before it have been.
    pub fn line_up(&mut self, name: SpoolName) {
        let waiting = self.records.get_mut(&name).expect("it was kept");
        waiting.stage = Stage::Behind;
        if let Some(session) = waiting.recorded.session {
            let of_session = self.sessions.entry(session).or_default();
            of_session.push_back(name);
            if of_session.len() > 1 {
                return;
            }
        }
        self.make_ready(name);
    }

    fn make_ready(&mut self, name: SpoolName) {
        let waiting = self.records.get_mut(&name).expect("it is to be sent");
        waiting.stage = Stage::Ready;
        let queue = self.pools.get_mut(&waiting.recorded.pool).expect("a pool stays");
        queue.ready.insert((waiting.turn, name));
    }

    /// A record is no longer to be sent, or was never written. The next of its session may be. Gives its age.
    pub fn forget(&mut self, name: SpoolName) -> Option<u64> {
        let Waiting { recorded, age, turn, stage, .. } = self.records.remove(&name)?;
        self.octets -= recorded.line.len();
        if let Some(event) = recorded.event
            && self.events.get(&event.key).is_some_and(|(newest, _)| *newest == name)
        {
            self.events.remove(&event.key);
        }
        let queue = self.pools.get_mut(&recorded.pool).expect("a pool stays");
        match stage {
            Stage::BeingStored => return Some(age),
            Stage::Behind => {}
            Stage::Ready => {
                queue.ready.remove(&(turn, name));
            }
            Stage::Lent => queue.lent -= 1,
        }
        let Some(session) = recorded.session else { return Some(age) };
        let of_session = self.sessions.get_mut(&session).expect("it stands there");
        match stage {
            Stage::Behind => of_session.retain(|other| *other != name),
            Stage::BeingStored | Stage::Ready | Stage::Lent => {
                of_session.pop_front();
                match of_session.front().copied() {
                    Some(next) => self.make_ready(next),
                    None => drop(self.sessions.remove(&session)),
                }
            }
        }
        Some(age)
    }

    /// Whoever sent is gone: what was handed out is to be handed out again.
    pub fn take_back(&mut self) {
        for queue in self.pools.values_mut() {
            queue.lent = 0;
        }
        for (name, waiting) in self.records.iter_mut().filter(|(_, waiting)| waiting.stage == Stage::Lent) {
            waiting.stage = Stage::Ready;
            let queue = self.pools.get_mut(&waiting.recorded.pool).expect("a pool stays");
            queue.ready.insert((waiting.turn, *name));
        }
    }

    /// The next record to be sent, of a pool of which fewer than so many are under way.
    pub fn lend(&mut self, bound: u32) -> Option<Spooled> {
        let queue = self.pools.values_mut().find(|queue| queue.lent < bound && !queue.ready.is_empty())?;
        let (_, name) = queue.ready.pop_first()?;
        queue.lent += 1;
        let waiting = self.records.get_mut(&name).expect("what is ready is to be sent");
        waiting.stage = Stage::Lent;
        match SpoolLine::parse(&waiting.recorded.line) {
            Some(SpoolLine::Record { spooled, .. }) => {
                Some(Spooled { is_again: waiting.was_put_back, ..spooled })
            }
            Some(SpoolLine::Answered(_)) | None => unreachable!("it was read before"),
        }
    }

    /// A record that is under way goes to the end of its line; if it may be overtaken, to that of its session as well.
    pub fn put_back(&mut self, name: SpoolName, may_be_overtaken: bool) {
        let turn = self.next_number();
        let lent = |waiting: &&mut Waiting| waiting.stage == Stage::Lent;
        let Some(waiting) = self.records.get_mut(&name).filter(lent) else { return };
        (waiting.turn, waiting.was_put_back, waiting.stage) = (turn, true, Stage::Behind);
        self.pools.get_mut(&waiting.recorded.pool).expect("a pool stays").lent -= 1;
        let mut first = name;
        if let Some(session) = waiting.recorded.session.filter(|_| may_be_overtaken) {
            let of_session = self.sessions.get_mut(&session).expect("it stands there");
            of_session.rotate_left(1);
            first = *of_session.front().expect("it stands there");
        }
        self.make_ready(first);
    }
}
