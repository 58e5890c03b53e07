//! What one thread does: the phases of a turn in the order of `core/src/cores.rs` and `runtime-mio/src/turn.rs`, each the
//! real call on the real crossing.

use crate::memory::{self, CellId, Port, Stopped, Within};
use crate::queue::crossing::{BellId, Crossing, LinkId};
use crate::queue::gate::{Announcement, Urgency};
use crate::seeded::{self, Bug};
use siphasher::sip128::{Hash128, Hasher128, SipHasher13};
use std::cell::OnceCell;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a thread is to do. Who sends has one link.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    pub name: &'static str,
    /// What it sends of its own accord, in this order.
    pub sends: &'static [Urgency],
    /// It answers each message with one of this urgency.
    pub answers: Option<Urgency>,
    /// At most as many of its messages are unanswered. At the limit, with more to send, it waits for completions.
    pub limit: Option<u8>,
    /// It waits for completions whenever it sleeps.
    pub wants: bool,
    /// At most as many are staged before a publish.
    pub batch: u8,
    /// At most as many are taken off a ring in one sweep.
    pub budget: usize,
}

/// The phases of a turn, each named after what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Unpark,
    /// After a second look that found something.
    UnparkCancelled,
    Sweep,
    Room,
    /// Stages as many messages, and publishes.
    Publish(u8),
    CheckGate,
    RingBell(u16),
    AskForSpace,
    /// Only with a seeded bug.
    LookTooEarly,
    Announce,
    LookAgain,
    /// The wait in the kernel, with time-out 0, of a turn that may not sleep: takes the bell.
    TakeBell,
    /// Only with a seeded bug.
    TakeBellTooLate,
    Asleep,
}

/// One thread in one state.
pub struct Thread {
    /// As it was when the phase began.
    pub crossing: Crossing<u8>,
    pub phase: Phase,
    pub port: Port,
    pub sent: u8,
    /// By link.
    pub received: Vec<u8>,
    /// Messages to be sent found no room.
    pub blocked: bool,
    pub announced: Announcement,
    /// A writer's swap has won since the last `unpark`.
    pub rung_for: bool,
    /// Parks that the second look did not cancel. For the statistics.
    pub parks: u64,
    /// Computed once: most threads stand still in most steps.
    digest: OnceCell<[u64; 2]>,
}

/// What a phase found.
enum Outcome {
    Done,
    Swept(Vec<(LinkId, u8)>),
    Room(usize),
    Rings(Option<BellId>),
    Found(bool),
}

/// What one step came to.
pub struct Stepped {
    /// `None` if it could not move: a fence or a read-modify-write waits for the store buffer.
    pub thread: Option<Thread>,
    /// Whether it came to the end of its phase; else it wants an access, or waits for the store buffer.
    pub has_ended: bool,
    pub memory: Vec<u64>,
    /// The thread whose gate it has just swapped to `RUNG`.
    pub rings: Option<u16>,
    /// A law of its own that it broke.
    pub broke: Option<Broken>,
    pub told: Vec<String>,
}

/// A law that one thread's step can break.
#[derive(Debug, Clone)]
pub enum Broken {
    /// An assertion of the sources failed.
    Assertion(String),
    /// A message came twice, not in order, or not as it was sent.
    Message(String),
}

/// Sequence and urgency of a message in one octet. None is 0, which is what an unwritten slot holds.
pub fn message(sequence: u8, urgency: Urgency) -> u8 {
    (sequence + 1) << 1 | u8::from(urgency == Urgency::Urgent)
}

pub fn is_urgent(message: u8) -> bool {
    message & 1 == 1
}

/// 128 bits, so that two of a million different states differ in it.
pub fn digest(words: &[u64]) -> Hash128 {
    let mut hasher = SipHasher13::new();
    words.iter().for_each(|word| hasher.write_u64(*word));
    hasher.finish128()
}

impl Thread {
    pub fn new(crossing: Crossing<u8>) -> Self {
        Thread {
            received: vec![0; crossing.links()],
            crossing,
            phase: Phase::Sweep,
            port: Port::default(),
            sent: 0,
            blocked: false,
            announced: Announcement::Park,
            rung_for: false,
            parks: 0,
            digest: OnceCell::new(),
        }
    }

    /// The same thread in the same state.
    pub fn copy(&self) -> Self {
        Thread {
            // SAFETY: modelled crossings own nothing and are dropped without consequence, see `memory::Mode::Off`.
            crossing: unsafe { self.crossing.snapshot() },
            port: self.port.clone(),
            received: self.received.clone(),
            digest: OnceCell::new(),
            ..*self
        }
    }

    /// Of everything that tells two states of this thread apart.
    pub fn digest(&self) -> [u64; 2] {
        *self.digest.get_or_init(|| {
            let mut words = Vec::with_capacity(128);
            self.tell_apart(&mut words);
            let digest = digest(&words);
            [digest.h1, digest.h2]
        })
    }

    fn tell_apart(&self, by: &mut Vec<u64>) {
        self.crossing.tell_apart(by);
        let (phase, detail) = match self.phase {
            Phase::Unpark => (0, 0),
            Phase::Sweep => (1, 0),
            Phase::Room => (2, 0),
            Phase::Publish(count) => (3, u64::from(count)),
            Phase::CheckGate => (4, 0),
            Phase::RingBell(bell) => (5, u64::from(bell)),
            Phase::AskForSpace => (6, 0),
            Phase::LookTooEarly => (7, 0),
            Phase::Announce => (8, 0),
            Phase::LookAgain => (9, 0),
            Phase::TakeBell => (10, 0),
            Phase::Asleep => (11, 0),
            Phase::UnparkCancelled => (12, 0),
            Phase::TakeBellTooLate => (13, 0),
        };
        let wants = self.announced == Announcement::Want;
        by.extend([phase, detail, u64::from(self.sent), u64::from(self.blocked)]);
        by.extend([u64::from(wants), u64::from(self.rung_for)]);
        by.extend(self.received.iter().map(|count| u64::from(*count)));
        let stores = |stores: &[(CellId, u64)], by: &mut Vec<u64>| {
            by.push(stores.len() as u64);
            by.extend(stores.iter().flat_map(|(cell, value)| [u64::from(*cell), *value]));
        };
        stores(&self.port.buffer, by);
        stores(&self.port.aside, by);
        by.push(self.port.log.len() as u64);
        by.extend(&self.port.log);
    }

    /// What it is to send next, if anything.
    fn next(&self, role: &Role) -> Option<Urgency> {
        let at = usize::from(self.sent);
        match role.answers {
            Some(urgency) => (self.sent < self.received[0]).then_some(urgency),
            None => role.sends.get(at).copied(),
        }
    }

    fn is_at_limit(&self, role: &Role) -> bool {
        role.limit.is_some_and(|limit| self.sent - self.received[0] >= limit)
    }

    /// Whether everything is sent that is to be.
    pub fn is_done(&self, role: &Role) -> bool {
        self.next(role).is_none()
    }

    fn may_send(&self, role: &Role) -> bool {
        self.next(role).is_some() && !self.is_at_limit(role)
    }

    /// Whether it is between something that others wait for and its look at their gates.
    pub fn is_before_gate(&self) -> bool {
        match self.phase {
            Phase::Sweep | Phase::Room | Phase::Publish(_) | Phase::CheckGate => {
                self.crossing.is_before_gate() || !self.port.log.is_empty()
            }
            Phase::RingBell(_) => true,
            Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::AskForSpace
            | Phase::LookTooEarly
            | Phase::Announce
            | Phase::LookAgain
            | Phase::TakeBell
            | Phase::TakeBellTooLate
            | Phase::Asleep => false,
        }
    }

    fn announcement(&self, role: &Role) -> Announcement {
        let waits = role.wants || (self.next(role).is_some() && self.is_at_limit(role));
        if waits && !seeded::is(Bug::LimitParkedWithPark) { Announcement::Want } else { Announcement::Park }
    }

    fn urgencies(&self, role: &Role, count: u8) -> Vec<Urgency> {
        let at = usize::from(self.sent);
        match role.answers {
            Some(urgency) => vec![urgency; usize::from(count)],
            None => role.sends[at..at + usize::from(count)].to_vec(),
        }
    }

    /// One access to memory, and all that this thread does between it and the next: what it stores goes no further than
    /// its buffer, so nobody can tell when it does that.
    pub fn step(&self, role: &Role, memory: Vec<u64>, tell: bool) -> Stepped {
        let first = self.run_on(role, memory, true, tell);
        if first.thread.is_none() { first } else { first.go_on(role, tell) }
    }

    /// The same without an access: for a thread that a fence has kept, now that its buffer is empty.
    pub fn step_without_access(&self, role: &Role, memory: Vec<u64>, tell: bool) -> Stepped {
        let thread = Some(self.copy());
        let at_a_fence =
            Stepped { thread, has_ended: true, memory, rings: None, broke: None, told: Vec::new() };
        at_a_fence.go_on(role, tell)
    }

    /// Whether its phase could do something without an access. Those that begin with one are only left out to save
    /// time.
    fn is_at_hand(&self) -> bool {
        match self.phase {
            Phase::Publish(_) | Phase::CheckGate | Phase::Announce => true,
            Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::Sweep
            | Phase::Room
            | Phase::AskForSpace
            | Phase::LookTooEarly
            | Phase::LookAgain => !self.port.log.is_empty(),
            Phase::RingBell(_) | Phase::TakeBell | Phase::TakeBellTooLate | Phase::Asleep => false,
        }
    }

    /// Runs the phase from its start: what the log holds, then at most one access more, to where the next is wanted.
    fn run_on(&self, role: &Role, memory: Vec<u64>, may_access: bool, tell: bool) -> Stepped {
        let mut next = self.copy();
        let within = match self.phase {
            Phase::CheckGate => Within::CheckGate,
            Phase::LookAgain => Within::LookAgain,
            Phase::Publish(count) if !self.urgencies(role, count).contains(&Urgency::Urgent) => {
                Within::LazyPublish
            }
            Phase::Publish(_)
            | Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::Sweep
            | Phase::Room
            | Phase::RingBell(_)
            | Phase::AskForSpace
            | Phase::LookTooEarly
            | Phase::Announce
            | Phase::TakeBell
            | Phase::TakeBellTooLate
            | Phase::Asleep => Within::Other,
        };
        let port = std::mem::take(&mut next.port);
        memory::begin(memory, port.clone(), within, may_access, tell);
        let run = catch_unwind(AssertUnwindSafe(|| next.run(role)));
        let (memory, after, told) = memory::end();
        let mut stepped = Stepped { thread: None, has_ended: false, memory, rings: None, broke: None, told };
        match run {
            Ok(outcome) => {
                next.port = after;
                next.port.log.clear();
                stepped.broke = next.end_phase(role, outcome, &mut stepped.rings).err();
                stepped.thread = Some(next);
                stepped.has_ended = true;
            }
            Err(payload) if payload.is::<Stopped>() => {
                let moved = after != port;
                next = self.copy();
                next.port = after;
                stepped.thread = moved.then_some(next);
            }
            Err(payload) => {
                let text = payload.downcast_ref::<&str>().map(|text| String::from(*text));
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
                stepped.broke = Some(Broken::Assertion(text.unwrap_or_default()));
                stepped.thread = Some(next);
            }
        }
        stepped
    }

    fn run(&mut self, role: &Role) -> Outcome {
        let announcement = self.announcement(role);
        let crossing = &mut self.crossing;
        match self.phase {
            Phase::Unpark | Phase::UnparkCancelled => {
                crossing.unpark();
                Outcome::Done
            }
            Phase::Sweep => {
                let mut messages = Vec::new();
                crossing.sweep(role.budget, |from, message| messages.push((from, message)));
                Outcome::Swept(messages)
            }
            Phase::Room => Outcome::Room(crossing.room(LinkId(0))),
            Phase::Publish(count) => {
                for urgency in self.urgencies(role, count) {
                    self.crossing.stage(LinkId(0), message(self.sent, urgency), urgency);
                    self.sent += 1;
                }
                if !seeded::is(Bug::AnnouncedBeforePublish) {
                    self.crossing.publish();
                }
                Outcome::Done
            }
            Phase::CheckGate => Outcome::Rings(crossing.check_gate()),
            Phase::AskForSpace => {
                crossing.ask_for_space(LinkId(0));
                Outcome::Done
            }
            Phase::LookTooEarly => Outcome::Found(crossing.is_anything_unread()),
            Phase::Announce => {
                crossing.announce(announcement);
                Outcome::Done
            }
            Phase::LookAgain => Outcome::Found(crossing.look_again()),
            Phase::RingBell(_) | Phase::TakeBell | Phase::TakeBellTooLate | Phase::Asleep => {
                unreachable!("the bell is the search's")
            }
        }
    }

    /// The phase is over: which is next?
    fn end_phase(&mut self, role: &Role, outcome: Outcome, rings: &mut Option<u16>) -> Result<(), Broken> {
        self.phase = match (self.phase, outcome) {
            (Phase::Unpark | Phase::UnparkCancelled, _) => {
                self.rung_for = false;
                if self.phase == Phase::Unpark { Phase::Sweep } else { Phase::TakeBell }
            }
            (Phase::Sweep, Outcome::Swept(messages)) => {
                for (from, message) in messages {
                    let received = &mut self.received[from.0];
                    if message >> 1 != *received + 1 {
                        let was = message >> 1;
                        return Err(Broken::Message(format!("{was} came after {received} on {from:?}")));
                    }
                    *received += 1;
                }
                if self.may_send(role) { Phase::Room } else { Phase::Publish(0) }
            }
            (Phase::Room, Outcome::Room(room)) => {
                self.blocked = room == 0;
                let mut count = 0;
                let mut ahead = self.copy();
                while usize::from(count) < room.min(usize::from(role.batch)) && ahead.may_send(role) {
                    ahead.sent += 1;
                    count += 1;
                }
                Phase::Publish(count)
            }
            (Phase::Publish(_), _) if seeded::is(Bug::AnnouncedBeforePublish) => Phase::Announce,
            (Phase::Publish(_), _) => Phase::CheckGate,
            (Phase::CheckGate, Outcome::Rings(Some(bell))) => {
                *rings = Some(bell.0);
                Phase::RingBell(bell.0)
            }
            (Phase::CheckGate, _) => match self.may_send(role) {
                true if !self.blocked => Phase::Sweep,
                true if !seeded::is(Bug::SpaceNeverAskedFor) => Phase::AskForSpace,
                true | false => self.about_to_sleep(),
            },
            (Phase::AskForSpace, _) => self.about_to_sleep(),
            (Phase::LookTooEarly, Outcome::Found(true)) => Phase::Sweep,
            (Phase::LookTooEarly, _) => Phase::Announce,
            (Phase::Announce, _) => {
                self.announced = self.announcement(role);
                Phase::LookAgain
            }
            (Phase::LookAgain, Outcome::Found(found)) => {
                if seeded::is(Bug::WantSpaceWrittenAfterSecondLook) {
                    self.port.buffer.append(&mut self.port.aside);
                }
                self.parks += u64::from(!found);
                match found {
                    true => Phase::UnparkCancelled,
                    false if seeded::is(Bug::BellTakenAfterAnnouncement) => Phase::TakeBellTooLate,
                    false => Phase::Asleep,
                }
            }
            (phase, _) => unreachable!("{phase:?} has another outcome"),
        };
        Ok(())
    }

    fn about_to_sleep(&self) -> Phase {
        if seeded::is(Bug::SecondLookBeforeAnnouncement) { Phase::LookTooEarly } else { Phase::Announce }
    }
}

impl Stepped {
    fn go_on(mut self, role: &Role, tell: bool) -> Stepped {
        while self.has_ended && self.broke.is_none() {
            let Some(thread) = self.thread.as_ref().filter(|thread| thread.is_at_hand()) else { break };
            let mut next = thread.run_on(role, std::mem::take(&mut self.memory), false, tell);
            self.memory = std::mem::take(&mut next.memory);
            if next.thread.is_none() {
                break;
            }
            if tell && !next.told.is_empty() {
                self.told.push(format!("{:?}: {}", thread.phase, next.told.join("; ")));
            }
            self.rings = self.rings.or(next.rings);
            self.has_ended = next.has_ended;
            self.broke = next.broke;
            self.thread = next.thread;
        }
        self
    }
}
