//! Whether a remote server lives, as all workers know it together. RFC 5997.
//!
//! | state | how it comes to that | what goes there |
//! |---|---|---|
//! | alive | it has answered | everything |
//! | zombie | a request had no answer for `response_window`, and nothing else had one since it was sent | what no other can take; probes |
//! | dead | it has been a zombie for `zombie_period` | probes |
//! | half-open | without probes: it has been dead for `revive_interval` | a few requests |
//!
//! Only verified replies count, to whatever they are: a proxy that answers for one realm lives, however dead another realm behind
//! it is. One ends a suspicion. One that is dead has to answer three probes in a row; where it is not probed, one of the few
//! requests that try it again.
//!
//! # Why no order is needed
//!
//! All that is known stands in one word, which is read and replaced by compare and exchange, so that all changes of it have one
//! order, and each is made by one thread: it alone is told of it. No other memory is published by it, thus `Relaxed` throughout.
//! Times are in it as whole microseconds. That a probe's time has come is a second word: whoever replaces it sends the probe. The two
//! are not read together: a server that has just come to life may get one probe more, which does no harm.
//!
//! Time passes by itself from zombie to dead to half-open: whoever looks reckons with it, whether or not it has been noted.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::StatusCheck;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use core::fmt;
use core::time::Duration;

/// What all workers know of one remote server.
pub struct Health {
    /// A [`State`].
    state: AtomicU64,
    /// When a probe, or a request that tries it again, was claimed last: microseconds and one; 0: never.
    claimed: AtomicU64,
    /// An operator has taken it out of use.
    is_held: AtomicBool,
}

/// How a remote server is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It answers.
    Alive,
    /// It is tried again: a request goes there if [claimed](Health::claim_trial).
    HalfOpen,
    /// It is suspected: a request goes there if no other can take it.
    Zombie,
    /// Nothing goes there but probes.
    Dead,
}

impl Standing {
    /// The name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Alive => "alive",
            Standing::HalfOpen => "half-open",
            Standing::Zombie => "zombie",
            Standing::Dead => "dead",
        }
    }
}

/// How a remote server is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// How it is asked whether it lives.
    pub status_check: StatusCheck,
    /// In which it has to answer a request, or is suspected.
    pub response_window: Duration,
    /// How long it is suspected before it counts as dead.
    pub zombie_period: Duration,
    /// After which one that is dead and cannot be asked is tried again.
    pub revive_interval: Duration,
    /// How often one that is suspected or dead is asked.
    pub status_interval: Duration,
}

/// What the word says. Times are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since when no reply is known, and one: 0 if there was none at all.
    Alive {
        heard: u64,
    },
    /// Whether a probe is out.
    Zombie {
        since: u64,
        is_asked: bool,
    },
    /// How many probes in a row were answered, and whether one is out.
    Dead {
        since: u64,
        answers: u8,
        is_asked: bool,
    },
    HalfOpen {
        since: u64,
    },
}

impl Health {
    /// Of a server that nothing is known of: it counts as alive.
    pub fn new() -> Health {
        Health {
            state: AtomicU64::new(State::Alive { heard: 0 }.word()),
            claimed: AtomicU64::new(0),
            is_held: AtomicBool::new(false),
        }
    }

    /// Takes it out of use, whatever it answers, or gives it back. Whether that changes anything.
    pub fn hold(&self, is_held: bool) -> bool {
        // Relaxed: what a worker chooses at this very time may be before or after it.
        self.is_held.swap(is_held, Ordering::Relaxed) != is_held
    }

    /// Whether an operator has taken it out of use.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// How it is to be treated, unless it is [held](Self::is_held).
    #[inline]
    pub fn standing(&self, judgement: &Judgement, now: Instant) -> Standing {
        self.load().at(judgement, micros(now)).standing()
    }

    /// A verified reply has come, to a request or to a probe. What that changes is told to the one whose call changes it.
    pub fn note_reply(&self, judgement: &Judgement, now: Instant) -> Option<Standing> {
        let now = micros(now);
        self.change(judgement, now, |state| match state {
            // Times of several threads: an earlier one changes nothing.
            State::Alive { heard } => State::Alive { heard: heard.max(now + 1) },
            State::Zombie { .. } | State::HalfOpen { .. } => State::Alive { heard: now + 1 },
            State::Dead { .. } if seeded::is(Bug::HealedServerStaysDead) => state,
            State::Dead { since, answers, is_asked } => match judgement.status_check {
                // Replies that were long on their way come in a burst. One counts for each probe.
                StatusCheck::StatusServer if !is_asked => state,
                StatusCheck::StatusServer if answers + 1 < ANSWERS_TO_ALIVE => {
                    State::Dead { since, answers: answers + 1, is_asked: false }
                }
                StatusCheck::StatusServer => State::Alive { heard: now + 1 },
                // It was too late for its request. But it lives, and is tried at once.
                StatusCheck::None => State::HalfOpen { since: now },
            },
        })
    }

    /// A request that was sent at that time has had no answer for the response window. What that changes is told to the one whose
    /// call changes it.
    pub fn note_no_answer(&self, judgement: &Judgement, sent_at: Instant, now: Instant) -> Option<Standing> {
        let (sent_at, now) = (micros(sent_at), micros(now));
        self.change(judgement, now, |state| match state {
            State::Alive { heard } if heard > sent_at && !seeded::is(Bug::RealmSilenceKillsServer) => state,
            State::Alive { .. } => State::Zombie { since: now, is_asked: false },
            // Those that were sent before it was tried again say nothing new.
            State::HalfOpen { since } if since <= sent_at => {
                State::Dead { since: now, answers: 0, is_asked: false }
            }
            State::HalfOpen { .. } | State::Zombie { .. } | State::Dead { .. } => state,
        })
    }

    /// It is somewhere else from now on: nothing is known of what is there, and what was sent before says nothing about it. Whether
    /// that changes something is told as by the others.
    pub fn note_move(&self, judgement: &Judgement, now: Instant) -> Option<Standing> {
        let now = micros(now);
        // Not one more: what is sent at this very time goes there.
        self.change(judgement, now, |_| State::Alive { heard: now })
    }

    /// What time alone has changed by now, told to the one whose call notes it.
    pub fn handle_timeout(&self, judgement: &Judgement, now: Instant) -> Option<Standing> {
        let word = self.state.load(Ordering::Relaxed);
        let (before, after) = (State::of(word), State::of(word).at(judgement, micros(now)));
        let is_ours = before != after
            && self.state.compare_exchange(word, after.word(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| after.standing())
    }

    /// When a worker that wants this server back should look again: [`handle_timeout`](Self::handle_timeout) has something to note, or
    /// a probe may be [claimed](Self::claim_probe). `None` while it is alive.
    pub fn next_deadline(&self, judgement: &Judgement, now: Instant) -> Option<Instant> {
        let state = self.load();
        let ends = match state {
            State::Alive { .. } => return None,
            State::Zombie { since, .. } => Some(since.saturating_add(span(judgement.zombie_period))),
            State::Dead { since, .. } if judgement.status_check == StatusCheck::None => {
                Some(since.saturating_add(span(judgement.revive_interval)))
            }
            State::Dead { .. } | State::HalfOpen { .. } => None,
        };
        let probe = match state.at(judgement, micros(now)).standing() {
            Standing::Zombie | Standing::Dead if judgement.status_check == StatusCheck::StatusServer => {
                Some(self.claimable(judgement.status_interval))
            }
            Standing::Zombie | Standing::Dead | Standing::Alive | Standing::HalfOpen => None,
        };
        ends.into_iter().chain(probe).min().map(instant)
    }

    /// Whether the caller has to send a Status-Server now: one thread is told so in each status interval while the server is
    /// suspected or dead.
    pub fn claim_probe(&self, judgement: &Judgement, now: Instant) -> bool {
        let now = micros(now);
        match self.load().at(judgement, now) {
            State::Zombie { .. } | State::Dead { .. }
                if judgement.status_check == StatusCheck::StatusServer => {}
            State::Zombie { .. } | State::Dead { .. } | State::Alive { .. } | State::HalfOpen { .. } => {
                return false;
            }
        }
        if !self.claim(judgement.status_interval, now) {
            return false;
        }
        let mut is_wanted = false;
        self.change(judgement, now, |state| {
            is_wanted = true;
            match state {
                State::Zombie { since, .. } => State::Zombie { since, is_asked: true },
                // The one before had no answer: they are not in a row.
                State::Dead { since, is_asked: true, .. } => {
                    State::Dead { since, answers: 0, is_asked: true }
                }
                State::Dead { since, answers, .. } => State::Dead { since, answers, is_asked: true },
                State::Alive { .. } | State::HalfOpen { .. } => {
                    is_wanted = false;
                    state
                }
            }
        });
        is_wanted
    }

    /// Whether the caller may send a request to this server, which is half-open: four may in each response window, so that one
    /// that is lost does not decide.
    pub fn claim_trial(&self, judgement: &Judgement, now: Instant) -> bool {
        self.standing(judgement, now) == Standing::HalfOpen
            && self.claim(judgement.response_window / TRIALS, micros(now))
    }

    /// Replaces the state as of now. `Some` if the caller has changed how the server is to be treated.
    fn change(
        &self,
        judgement: &Judgement,
        now: u64,
        mut with: impl FnMut(State) -> State,
    ) -> Option<Standing> {
        let mut word = self.state.load(Ordering::Relaxed);
        loop {
            let before = State::of(word);
            let after = with(before.at(judgement, now));
            // Most replies of a turn have one time: only the first of them writes to what all workers share.
            if after == before {
                return None;
            }
            match self.state.compare_exchange(word, after.word(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (before.standing() != after.standing()).then(|| after.standing()),
                Err(other) => word = other,
            }
        }
    }

    fn claim(&self, interval: Duration, now: u64) -> bool {
        let claimed = self.claimed.load(Ordering::Relaxed);
        let is_due = claimed == 0 || claimed - 1 + span(interval).max(1) <= now;
        // Of several that have read the same the first replaces it; to the others it is claimed.
        is_due
            && self.claimed.compare_exchange(claimed, now + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn claimable(&self, interval: Duration) -> u64 {
        match self.claimed.load(Ordering::Relaxed) {
            0 => 0,
            claimed => claimed - 1 + span(interval).max(1),
        }
    }

    fn load(&self) -> State {
        State::of(self.state.load(Ordering::Relaxed))
    }
}

impl Default for Health {
    fn default() -> Self {
        Health::new()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.load(), f)
    }
}

impl State {
    /// What becomes of it by time alone.
    fn at(self, judgement: &Judgement, now: u64) -> State {
        let mut state = self;
        if let State::Zombie { since, is_asked } = state {
            let dies = since.saturating_add(span(judgement.zombie_period));
            if dies <= now {
                state = State::Dead { since: dies, answers: 0, is_asked };
            }
        }
        if let State::Dead { since, .. } = state
            && judgement.status_check == StatusCheck::None
        {
            let opens = since.saturating_add(span(judgement.revive_interval));
            if opens <= now {
                state = State::HalfOpen { since: opens };
            }
        }
        state
    }

    fn standing(self) -> Standing {
        match self {
            State::Alive { .. } => Standing::Alive,
            State::Zombie { .. } => Standing::Zombie,
            State::Dead { .. } => Standing::Dead,
            State::HalfOpen { .. } => Standing::HalfOpen,
        }
    }

    /// Two bits say which, two how many answers, one whether it is asked, the others a time: 18 000 years.
    fn word(self) -> u64 {
        let (kind, answers, is_asked, time) = match self {
            State::Alive { heard } => (0, 0, false, heard),
            State::Zombie { since, is_asked } => (1, 0, is_asked, since),
            State::Dead { since, answers, is_asked } => (2, answers, is_asked, since),
            State::HalfOpen { since } => (3, 0, false, since),
        };
        time << 5 | u64::from(is_asked) << 4 | u64::from(answers) << 2 | kind
    }

    fn of(word: u64) -> State {
        let (time, answers, is_asked) = (word >> 5, (word >> 2 & 3) as u8, word >> 4 & 1 == 1);
        match word & 3 {
            0 => State::Alive { heard: time },
            1 => State::Zombie { since: time, is_asked },
            2 => State::Dead { since: time, answers, is_asked },
            _ => State::HalfOpen { since: time },
        }
    }
}

fn micros(instant: Instant) -> u64 {
    instant.as_nanoseconds() / 1000
}

fn instant(micros: u64) -> Instant {
    Instant::from_nanoseconds(micros.saturating_mul(1000))
}

/// A span, at most as long as there are instants.
fn span(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 1000)
}

/// Probes in a row that one that is dead has to answer.
const ANSWERS_TO_ALIVE: u8 = 3;
/// Requests that try one again within a response window.
const TRIALS: u32 = 4;

#[cfg(all(test, not(loom)))]
#[path = "health/tests.rs"]
mod tests;
