//! What one thread does: the phases of a turn in the order of `core/src/cores.rs` and `runtime-mio/src/turn.rs`, each the
//! real call on the real crossing.

use crate::memory::{self, CellId, Port, Stopped, Within};
use crate::queue::crossing::{BellId, Crossing, LinkEnd, LinkId};
use crate::queue::directory::ThreadHandle;
use crate::queue::gate::{Announcement, Urgency};
use crate::seeded::{self, Bug};
use siphasher::sip128::{Hash128, Hasher128, SipHasher13};
use std::cell::OnceCell;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What a thread is to do. Who sends does so on its first link, once it has one.
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
    /// After all that it sends it says its last. Whoever hears one says its own; both give the link up.
    pub closes: bool,
    /// It reads letters: each brings a link.
    pub reads_letters: bool,
    /// The letters that it posts, before anything else: to which thread, which of the later links.
    pub posts: &'static [(u16, u8)],
}

/// The phases of a turn, each named after what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Unpark,
    /// After a second look that found something.
    UnparkCancelled,
    /// Posts its next letter.
    Post,
    /// Reads its letters, and attaches what they bring.
    Letters,
    Sweep,
    Room,
    /// Stages as many messages, and publishes.
    Publish(u8),
    /// Gives this link up, if it is drained. Before the gates are checked it never is, if anything was done on it.
    RetireBeforeGate(usize),
    CheckGate,
    RingBell(u16),
    /// The same afterwards.
    Retire(usize),
    AskForDrain(usize),
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
    pub crossing: Crossing<u8, u8>,
    pub phase: Phase,
    pub port: Port,
    pub sent: u8,
    /// By link.
    pub received: Vec<u8>,
    /// By link.
    pub lasts: Vec<Lasts>,
    /// How to reach every thread.
    handles: Rc<Vec<ThreadHandle<u8>>>,
    /// The links that letters may bring, by the letter.
    pub ends: Vec<(u8, LinkEnd<u8>)>,
    pub posted: u8,
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

/// Which last messages of a link have been said and heard here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lasts {
    pub said: bool,
    pub heard: bool,
}

/// What a phase found.
enum Outcome {
    Done,
    Retired(bool),
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

/// Sequence and urgency of a message in one octet, and whether it is the last. None is 0, which is what an unwritten slot
/// holds.
pub fn message(sequence: u8, urgency: Urgency, is_last: bool) -> u8 {
    (sequence + 1) << 1 | u8::from(urgency == Urgency::Urgent) | if is_last { LAST } else { 0 }
}

const LAST: u8 = 0x80;

pub fn is_urgent(message: u8) -> bool {
    message & 1 == 1
}

/// 128 bits, so that two of a million different states differ in it.
pub fn digest(words: &[u64]) -> Hash128 {
    let mut hasher = SipHasher13::new();
    words.iter().for_each(|word| hasher.write_u64(*word));
    hasher.finish128()
}

impl Role {
    /// Whether the last message on its first link is one of those that it sends or answers.
    fn sends_on_first(&self) -> bool {
        self.answers.is_some() || self.closes
    }

    /// With which phase a turn begins.
    pub fn first_phase(&self) -> Phase {
        if self.reads_letters { Phase::Letters } else { Phase::Sweep }
    }
}

impl Thread {
    pub fn new(
        role: &Role,
        crossing: Crossing<u8, u8>,
        handles: Rc<Vec<ThreadHandle<u8>>>,
        ends: Vec<(u8, LinkEnd<u8>)>,
    ) -> Self {
        let links = crossing.links() + ends.len();
        Thread {
            received: vec![0; links],
            lasts: vec![Lasts::default(); links],
            crossing,
            handles,
            ends,
            phase: if role.posts.is_empty() { role.first_phase() } else { Phase::Post },
            port: Port::default(),
            sent: 0,
            posted: 0,
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
            lasts: self.lasts.clone(),
            handles: self.handles.clone(),
            // SAFETY: as above.
            ends: self.ends.iter().map(|(letter, end)| (*letter, unsafe { end.snapshot() })).collect(),
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
            Phase::Post => (14, 0),
            Phase::Letters => (15, 0),
            Phase::RetireBeforeGate(link) => (16, link as u64),
            Phase::Retire(link) => (17, link as u64),
            Phase::AskForDrain(link) => (18, link as u64),
        };
        let wants = self.announced == Announcement::Want;
        by.extend([phase, detail, u64::from(self.sent), u64::from(self.blocked)]);
        by.extend([u64::from(wants), u64::from(self.rung_for)]);
        by.extend(self.received.iter().map(|count| u64::from(*count)));
        by.extend(self.lasts.iter().map(|lasts| u64::from(lasts.said) * 2 + u64::from(lasts.heard)));
        // An end that is not attached is as it was made, so that it is told by its letter.
        by.push(u64::from(self.posted));
        by.extend(self.ends.iter().map(|(letter, _)| u64::from(*letter)));
        let stores = |stores: &[(CellId, u64)], by: &mut Vec<u64>| {
            by.push(stores.len() as u64);
            by.extend(stores.iter().flat_map(|(cell, value)| [u64::from(*cell), *value]));
        };
        stores(&self.port.buffer, by);
        by.push(self.port.log.len() as u64);
        by.extend(&self.port.log);
    }

    /// What it is to send next, if anything.
    fn next(&self, role: &Role) -> Option<Urgency> {
        let at = usize::from(self.sent);
        match role.answers {
            Some(urgency) => (self.sent < self.received[0]).then_some(urgency),
            // The last message is one more.
            None if role.closes && at == role.sends.len() => Some(Urgency::Urgent),
            None => role.sends.get(at).copied(),
        }
    }

    /// Whether its message of this number is the last on its first link.
    fn is_last(&self, role: &Role, sent: u8) -> bool {
        match role.answers {
            Some(_) => self.lasts[0].heard && sent + 1 == self.received[0],
            None => role.closes && usize::from(sent) == role.sends.len(),
        }
    }

    /// Links on which it has heard the last and has to say its own, apart from what it sends and answers.
    fn to_be_answered(&self, role: &Role) -> Vec<usize> {
        let is_answered_otherwise = |link| link == 0 && role.sends_on_first();
        let waits = |link: &usize| self.lasts[*link].heard && !self.lasts[*link].said;
        (0..self.lasts.len()).filter(waits).filter(|link| !is_answered_otherwise(*link)).collect()
    }

    /// A link to be given up: all has been said on it.
    fn to_be_retired(&self) -> Option<usize> {
        let is_over = |link: &usize| {
            let lasts = self.lasts[*link];
            lasts.said && lasts.heard && self.crossing.is_attached(LinkId(*link))
        };
        (0..self.lasts.len()).find(is_over)
    }

    fn is_at_limit(&self, role: &Role) -> bool {
        role.limit.is_some_and(|limit| self.sent - self.received[0] >= limit)
    }

    /// Whether everything is sent that is to be.
    pub fn is_done(&self, role: &Role) -> bool {
        let is_retired = |(at, lasts): (usize, &Lasts)| {
            let is_over = lasts.said || lasts.heard;
            !is_over || !self.crossing.is_attached(LinkId(at))
        };
        self.next(role).is_none()
            && self.ends.is_empty()
            && usize::from(self.posted) == role.posts.len()
            && self.lasts.iter().enumerate().all(is_retired)
    }

    /// How many messages it has sent on all its links, last ones too.
    pub fn said(&self, role: &Role) -> usize {
        let apart = |(link, lasts): (usize, &Lasts)| lasts.said && !(link == 0 && role.sends_on_first());
        usize::from(self.sent) + self.lasts.iter().enumerate().filter(|lasts| apart(*lasts)).count()
    }

    fn may_send(&self, role: &Role) -> bool {
        self.crossing.is_attached(LinkId(0)) && self.next(role).is_some() && !self.is_at_limit(role)
    }

    /// Whether it is between something that others wait for and its look at their gates.
    pub fn is_before_gate(&self) -> bool {
        match self.phase {
            Phase::Sweep
            | Phase::Room
            | Phase::Publish(_)
            | Phase::RetireBeforeGate(_)
            | Phase::CheckGate
            | Phase::Post => self.crossing.is_before_gate() || !self.port.log.is_empty(),
            Phase::RingBell(_) => true,
            Phase::Unpark
            | Phase::Letters
            | Phase::Retire(_)
            | Phase::AskForDrain(_)
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
            None => {
                let last = role.closes.then_some(Urgency::Urgent);
                let sends: Vec<_> = role.sends.iter().copied().chain(last).collect();
                sends[at..at + usize::from(count)].to_vec()
            }
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
            Phase::Publish(_)
            | Phase::RetireBeforeGate(_)
            | Phase::CheckGate
            | Phase::AskForDrain(_)
            | Phase::Announce => true,
            Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::Post
            | Phase::Letters
            | Phase::Retire(_)
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
            Phase::Publish(_)
            | Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::Post
            | Phase::Letters
            | Phase::Sweep
            | Phase::Room
            | Phase::RetireBeforeGate(_)
            | Phase::Retire(_)
            | Phase::AskForDrain(_)
            | Phase::RingBell(_)
            | Phase::AskForSpace
            | Phase::LookTooEarly
            | Phase::Announce
            | Phase::LookAgain
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
            Phase::Post => {
                let (to, letter) = role.posts[usize::from(self.posted)];
                Outcome::Rings(self.handles[usize::from(to)].post(letter))
            }
            Phase::Letters => {
                while let Some(letter) = crossing.poll_letter() {
                    let at = self.ends.iter().position(|(brings, _)| *brings == letter);
                    crossing.attach(self.ends.remove(at.expect("each letter comes once")).1);
                }
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
                    let is_last = self.is_last(role, self.sent);
                    self.crossing.stage(LinkId(0), message(self.sent, urgency, is_last), urgency);
                    self.lasts[0].said |= is_last;
                    self.sent += 1;
                }
                for link in self.to_be_answered(role) {
                    // There is room: it is the first message that way.
                    self.crossing.stage(LinkId(link), message(0, Urgency::Urgent, true), Urgency::Urgent);
                    self.lasts[link].said = true;
                }
                if !seeded::is(Bug::AnnouncedBeforePublish) {
                    self.crossing.publish();
                }
                Outcome::Done
            }
            Phase::CheckGate => Outcome::Rings(crossing.check_gate()),
            Phase::RetireBeforeGate(link) | Phase::Retire(link) => {
                let is_drained = crossing.is_drained(LinkId(link));
                if is_drained {
                    crossing.detach(LinkId(link));
                }
                Outcome::Retired(is_drained)
            }
            Phase::AskForDrain(link) => {
                crossing.ask_for_drain(LinkId(link));
                Outcome::Done
            }
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
                if self.phase == Phase::Unpark { role.first_phase() } else { Phase::TakeBell }
            }
            (Phase::Post, Outcome::Rings(bell)) => {
                self.posted += 1;
                *rings = bell.map(|bell| bell.0);
                bell.map_or_else(|| self.next_post(role), |bell| Phase::RingBell(bell.0))
            }
            (Phase::Letters, _) => Phase::Sweep,
            (Phase::Sweep, Outcome::Swept(messages)) => {
                for (from, message) in messages {
                    let received = &mut self.received[from.0];
                    let was = (message & !LAST) >> 1;
                    if was != *received + 1 || self.lasts[from.0].heard {
                        return Err(Broken::Message(format!("{was} came after {received} on {from:?}")));
                    }
                    *received += 1;
                    self.lasts[from.0].heard = message & LAST != 0;
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
            (Phase::Publish(_), _) => self.to_be_retired().map_or(Phase::CheckGate, Phase::RetireBeforeGate),
            (Phase::RetireBeforeGate(_), _) => Phase::CheckGate,
            (Phase::CheckGate, Outcome::Rings(Some(bell))) => {
                *rings = Some(bell.0);
                Phase::RingBell(bell.0)
            }
            (Phase::CheckGate, _) if usize::from(self.posted) < role.posts.len() => Phase::Post,
            (Phase::CheckGate, _) => match self.to_be_retired() {
                Some(link) => Phase::Retire(link),
                None => self.what_else(role),
            },
            (Phase::Retire(_), Outcome::Retired(true)) => self.what_else(role),
            (Phase::Retire(link), _) => Phase::AskForDrain(link),
            (Phase::AskForDrain(_), _) => self.what_else(role),
            (Phase::AskForSpace, _) => self.about_to_sleep(),
            (Phase::LookTooEarly, Outcome::Found(true)) => role.first_phase(),
            (Phase::LookTooEarly, _) => Phase::Announce,
            (Phase::Announce, _) => {
                self.announced = self.announcement(role);
                Phase::LookAgain
            }
            (Phase::LookAgain, Outcome::Found(found)) => {
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

    fn next_post(&self, role: &Role) -> Phase {
        if usize::from(self.posted) < role.posts.len() { Phase::Post } else { role.first_phase() }
    }

    /// With the gates checked.
    fn what_else(&self, role: &Role) -> Phase {
        match self.may_send(role) {
            true if !self.blocked => role.first_phase(),
            true if !seeded::is(Bug::SpaceNeverAskedFor) => Phase::AskForSpace,
            true | false => self.about_to_sleep(),
        }
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
