//! How a thread waits when it has nothing to do: the policies of `signal`, and lingering.
//!
//! | policy | the thread | who writes to it rings |
//! |---|---|---|
//! | `announce` | announces its sleep, looks again, waits for bell, socket or deadline | once for a sleep, for what is urgent |
//! | `always` | the same | for each batch of messages on a link, awake or asleep |
//! | `timer` | waits [`LADDER_STEP`] at a time; after [`LADDER_STEPS`] in vain it announces, waits so once more, then as `announce` | as with `announce` |
//!
//! Before it announces, a thread may [`linger`]. Whatever it does, it goes through core's announcement and second look
//! before it waits longer than a step of the ladder, so that no policy can lose a wake-up; the page from which the ladder
//! comes has its last timer instead of the second look. [`tripwire`] would tell of a loss.
//!
//! Knows no message and no socket; decides about nothing but time.

pub mod linger;
pub mod tripwire;

use std::io;
use std::time::Duration;

use mio::{Events, Poll};
use ulna_core::Instant;
use ulna_core::configuration::{RuntimeSettings, Signal};
use ulna_core::cores::Cores;
use ulna_core::queue::{BellId, Woken};

use self::linger::Linger;
use self::tripwire::{Rounds, Tripwire};
use crate::bell::BELL;
use crate::clock::Clock;
use crate::system_calls::SystemCalls;

/// How long a wait of the ladder is: the design page's, and the shortest that the kernel's wait knows.
pub const LADDER_STEP: Duration = Duration::from_millis(1);
/// So many waits in vain before a thread on the ladder announces its sleep. Who has written within these three
/// milliseconds is likely to write again, and is spared the bell, which costs it 8 to 16 µs; each step costs the waiting
/// thread some 5 µs, so that all of them cost it about what the one bell would have cost.
pub const LADDER_STEPS: u32 = 3;

/// What waits: core's side of it. [`Cores`], or a [`Crossing`](ulna_core::queue::Crossing) by itself in a test.
pub trait Sleeper {
    /// Whether there is a message to read.
    fn is_anything_unread(&mut self) -> bool;
    /// Says that it is about to sleep.
    fn announce(&mut self);
    /// The second look: whether it must not.
    fn look_again(&mut self) -> bool;
    /// Back to work; whether anybody rang.
    fn unpark(&mut self) -> Woken;
    /// When it has to be called again.
    fn deadline(&self) -> Option<Instant>;
    /// Who wrote an unread message that has to end a sleep, if there is one.
    fn urgent_unread_from(&self) -> Option<BellId>;
}

impl Sleeper for Cores {
    fn is_anything_unread(&mut self) -> bool {
        Cores::is_anything_unread(self)
    }

    fn announce(&mut self) {
        Cores::announce(self);
    }

    fn look_again(&mut self) -> bool {
        Cores::look_again(self)
    }

    fn unpark(&mut self) -> Woken {
        Cores::unpark(self)
    }

    fn deadline(&self) -> Option<Instant> {
        self.poll_timeout().map(|(due, _)| due)
    }

    fn urgent_unread_from(&self) -> Option<BellId> {
        Cores::urgent_unread_from(self)
    }
}

/// What a thread has counted of its waits. Sleeps and bells are counted by its crossing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatienceCounters {
    /// Waits that returned at once, and brought nothing.
    pub empty_polls: u64,
    /// Times that it lingered.
    pub lingers: u64,
    /// Of these, those in which something came.
    pub lingers_found: u64,
    /// How long it lingered in all.
    pub lingered: Duration,
    /// Wake-ups that were lost.
    pub lost_wakeups: u64,
}

/// How one thread waits, and what it remembers for that.
#[derive(Debug)]
pub struct Patience {
    signal: Signal,
    clock: Clock,
    /// Where lingering makes sense.
    linger: Option<Linger>,
    /// Waits of the ladder in vain, one after another.
    in_vain: u32,
    tripwire: Tripwire,
    rounds: Rounds,
    /// Processors that the process may use.
    processors: usize,
    empty_polls: u64,
    /// A deadline beside those of the cores.
    wake_by: Option<Instant>,
}

impl Patience {
    /// For a thread that shares `rounds` with the others, on so many processors.
    pub fn new(settings: &RuntimeSettings, rounds: &Rounds, processors: usize, clock: Clock) -> Patience {
        let may_linger = settings.signal == Signal::Announce && processors > 1;
        Patience {
            signal: settings.signal,
            clock,
            linger: Linger::new(settings.linger_max, settings.linger_cpu).filter(|_| may_linger),
            in_vain: 0,
            tripwire: Tripwire::new(rounds),
            rounds: rounds.clone(),
            processors,
            empty_polls: 0,
            wake_by: None,
        }
    }

    /// From here on each wait ends at this time at the latest, whatever the cores' own deadline is.
    pub fn wake_by(&mut self, due: Option<Instant>) {
        self.wake_by = due;
    }

    /// Whether this thread's messages ring whatever the gates say.
    pub fn rings_always(&self) -> bool {
        self.signal == Signal::Always
    }

    /// What was counted so far.
    pub fn counters(&self) -> PatienceCounters {
        let lingered = self.linger.as_ref().map(Linger::counters).unwrap_or_default();
        PatienceCounters {
            empty_polls: self.empty_polls,
            lingers: lingered.times,
            lingers_found: lingered.found,
            lingered: lingered.span,
            lost_wakeups: self.tripwire.lost(),
        }
    }

    /// Waits for something to do; if `may_sleep` is false there is something, and it only looks. `events` are what came
    /// on sockets, and the bell.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(
        &mut self,
        sleeper: &mut impl Sleeper,
        poll: &mut Poll,
        events: &mut Events,
        may_sleep: bool,
        calls: &mut SystemCalls,
    ) -> io::Result<()> {
        // Else those of the last wait would be found again where this one ends without the kernel.
        events.clear();
        if !may_sleep || self.tripwire.expects_bell() {
            self.look(poll, events, calls)?;
            return Ok(());
        }
        let deadline = [sleeper.deadline(), self.wake_by].into_iter().flatten().min();
        if self.linger(sleeper, poll, events, deadline, calls)? {
            return Ok(());
        }
        let step = self.ladder_step();
        if step == Some(Step::Unannounced) {
            self.kernel_wait(poll, events, self.within(deadline, Some(LADDER_STEP)), calls)?;
        } else {
            sleeper.announce();
            if sleeper.look_again() {
                self.tripwire.note_woken(sleeper.unpark());
                self.look(poll, events, calls)?;
            } else {
                let longest = step.map(|_| LADDER_STEP);
                let waited = self.kernel_wait(poll, events, self.within(deadline, longest), calls);
                self.unpark(sleeper, events);
                waited?;
            }
        }
        self.remember(sleeper, events);
        Ok(())
    }

    /// After a sleep.
    fn unpark(&mut self, sleeper: &mut impl Sleeper, events: &Events) {
        if has_bell(events) {
            sleeper.unpark();
            return;
        }
        // In this order: who was between its publish and its look at our gate when we saw its message could not yet
        // have rung.
        let writer = sleeper.urgent_unread_from();
        let has_looked = writer.is_some_and(|writer| self.tripwire.has_looked(writer));
        let woken = sleeper.unpark();
        if has_looked && woken == Woken::Itself {
            self.tripwire.note_slept_through();
        }
        self.tripwire.note_woken(woken);
    }

    /// Notes whether something came, where that decides how to wait next time.
    fn remember(&mut self, sleeper: &mut impl Sleeper, events: &Events) {
        if self.signal != Signal::Timer && self.linger.is_none() {
            return;
        }
        let found = !events.is_empty() || sleeper.is_anything_unread();
        self.in_vain = if found { 0 } else { self.in_vain.saturating_add(1) };
        if let Some(linger) = &mut self.linger {
            linger.note(found, self.clock.now());
        }
    }

    /// How the ladder has this thread wait now; `None`: until bell, socket or deadline.
    fn ladder_step(&self) -> Option<Step> {
        if self.signal != Signal::Timer || self.in_vain > LADDER_STEPS {
            None
        } else if self.in_vain == LADDER_STEPS {
            Some(Step::Last)
        } else {
            Some(Step::Unannounced)
        }
    }

    /// How long to wait for a deadline, and no longer than this.
    fn within(&self, deadline: Option<Instant>, longest: Option<Duration>) -> Option<Duration> {
        let until = deadline.map(|due| due.saturating_since(self.clock.now()));
        until.into_iter().chain(longest).min()
    }

    /// Looks on for a while, if that promises something; whether something came.
    fn linger(
        &mut self,
        sleeper: &mut impl Sleeper,
        poll: &mut Poll,
        events: &mut Events,
        deadline: Option<Instant>,
        calls: &mut SystemCalls,
    ) -> io::Result<bool> {
        // A lone thread spares nobody a bell. Where threads outnumber processors, one that lingers keeps the very thread
        // that it waits for from running.
        let makes_sense = (2..=self.processors).contains(&self.rounds.threads());
        let now = match &mut self.linger {
            Some(linger) if makes_sense => {
                let now = self.clock.now();
                linger.begin(now);
                now
            }
            Some(_) | None => return Ok(false),
        };
        let Some(span) = self.linger.as_ref().and_then(Linger::span) else { return Ok(false) };
        let until = deadline.map_or(now + span, |due| due.min(now + span));
        let mut look_at = now + linger::SOCKETS_EVERY;
        let (found, ended) = loop {
            if sleeper.is_anything_unread() {
                break (true, self.clock.now());
            }
            let now = self.clock.now();
            if now >= until {
                break (false, now);
            }
            if now >= look_at {
                self.look(poll, events, calls)?;
                if !events.is_empty() {
                    break (true, self.clock.now());
                }
                look_at = now + linger::SOCKETS_EVERY;
            }
            std::hint::spin_loop();
        };
        if let Some(linger) = &mut self.linger {
            linger.end(now, ended, found);
        }
        Ok(found)
    }

    /// Asks the kernel without waiting.
    fn look(&mut self, poll: &mut Poll, events: &mut Events, calls: &mut SystemCalls) -> io::Result<()> {
        self.kernel_wait(poll, events, Some(Duration::ZERO), calls)?;
        self.empty_polls += u64::from(events.is_empty());
        Ok(())
    }

    fn kernel_wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        span: Option<Duration>,
        calls: &mut SystemCalls,
    ) -> io::Result<()> {
        let expects = self.tripwire.expects_bell();
        calls.wait += 1;
        match poll.poll(events, span) {
            // A signal to the process came; it brought nothing.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            polled => {
                polled?;
                let is_whole = events.iter().count() < events.capacity();
                self.tripwire.note_wait(has_bell(events), expects && is_whole);
            }
        }
        Ok(())
    }
}

/// A wait of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nobody is to ring: this thread looks by itself.
    Unannounced,
    /// The last one, announced: the page's safeguard, and nothing but that here.
    Last,
}

fn has_bell(events: &Events) -> bool {
    events.iter().any(|event| event.token() == BELL)
}

#[cfg(test)]
mod tests;
