//! What threads and their channels may never do, seen at the boundaries of phases.

use super::{Violation, invariants};
use crate::phases::Snapshot;
use ulna_core::Instant;

invariants! {
    NO_LOST_WAKEUP = "no-lost-wakeup", "No thread is asleep with an urgent message visible and no bell on its way.";
    RINGS_UP_TO_PARKS = "rings-up-to-parks", "A thread's bell is rung at most once per park.";
    DONE_BEFORE_PARK = "done-before-park", "A thread sleeps only when nothing is left to do in it.";
    TIMEOUT_NOT_LATE = "timeout-not-late", "The time-out that a thread asks for is never later than its next deadline.";
    CLOCK_FIRES_NOTHING = "clock-fires-nothing", "What the clock on the wall shows, and its jumps, move no deadline.";
    NO_DEADLINE_LEFT = "no-deadline-left", "No deadline is left in the past by turn after turn.";
    BUFFERS_BALANCE = "buffers-balance", "Buffers allocated are those free, in rings and owned.";
    BUFFERS_RETURN = "buffers-return", "When the world is idle, all buffers are free.";
    IDLE_REST = "idle-rest", "In an idle world nothing wakes a thread but its deadlines, and those end.";
    SLOT_FORGOTTEN_IN_TIME = "slot-forgotten-in-time", "When all have settled after a change of workers, none of them has a request from before it whose slot is another's now.";
    NO_TRIPWIRE = "no-tripwire", "No tripwire inside the server ever counts a lost wake-up.";
}

/// What is known about one thread at the boundary of a phase.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// Its number.
    pub thread: usize,
    /// It waits in the kernel.
    pub asleep: bool,
    /// A message is visible to it for which it must not sleep.
    pub urgent_visible: bool,
    /// Its bell has been rung and not been taken.
    pub bell_pending: bool,
    /// Real bells that were rung and are not heard yet.
    pub bells_on_their_way: u32,
    /// Some thread has published and not yet looked at all gates.
    pub writer_before_gate: bool,
}

/// The law of the channels.
///
/// # Errors
/// [`NO_LOST_WAKEUP`].
pub fn rest(rest: &Rest, now: u64) -> Result<(), Violation> {
    let on_its_way = rest.bell_pending || rest.bells_on_their_way > 0 || rest.writer_before_gate;
    if rest.asleep && rest.urgent_visible && !on_its_way {
        let details = format!("thread {}", rest.thread);
        return Err(Violation { invariant: &NO_LOST_WAKEUP, at: now, details });
    }
    Ok(())
}

/// A thread's bell was rung.
///
/// # Errors
/// [`RINGS_UP_TO_PARKS`].
pub fn rung(thread: usize, rings: u64, parks: u64, now: u64) -> Result<(), Violation> {
    if rings > parks {
        let details = format!("thread {thread}: {rings} rings, {parks} parks");
        return Err(Violation { invariant: &RINGS_UP_TO_PARKS, at: now, details });
    }
    Ok(())
}

/// All threads say that they have settled after a change of workers; so many requests from before it are where their slots'
/// owners are not.
///
/// # Errors
/// [`SLOT_FORGOTTEN_IN_TIME`].
pub fn forgotten(requests: usize, now: u64) -> Result<(), Violation> {
    if requests > 0 {
        let details = format!("{requests} requests");
        return Err(Violation { invariant: &SLOT_FORGOTTEN_IN_TIME, at: now, details });
    }
    Ok(())
}

/// A thread parks, and one of its cores has something to give out, or one of its sockets is known to have more to read.
///
/// # Errors
/// [`DONE_BEFORE_PARK`].
pub fn parks(thread: usize, has_more: bool, now: u64) -> Result<(), Violation> {
    if has_more {
        let details = format!("thread {thread}");
        return Err(Violation { invariant: &DONE_BEFORE_PARK, at: now, details });
    }
    Ok(())
}

/// A thread asks for a time-out.
///
/// # Errors
/// [`TIMEOUT_NOT_LATE`].
pub fn timeout(thread: usize, asked: Option<u64>, inside: Option<u64>, now: u64) -> Result<(), Violation> {
    if let Some(inside) = inside
        && asked.is_none_or(|asked| asked > inside)
    {
        let details = format!("thread {thread} asks for {asked:?}, its next deadline is {inside}");
        return Err(Violation { invariant: &TIMEOUT_NOT_LATE, at: now, details });
    }
    Ok(())
}

/// A thread was told what the clock on the wall shows; its time-out before and after.
///
/// # Errors
/// [`CLOCK_FIRES_NOTHING`].
pub fn told_of_the_wall(
    thread: usize,
    before: Option<Instant>,
    after: Option<Instant>,
    now: u64,
) -> Result<(), Violation> {
    if before != after {
        let details = format!("thread {thread} asked for {before:?}, and now for {after:?}");
        return Err(Violation { invariant: &CLOCK_FIRES_NOTHING, at: now, details });
    }
    Ok(())
}

/// A thread has made this many turns in a row for a deadline in the past, and nothing came of it.
///
/// # Errors
/// [`NO_DEADLINE_LEFT`].
pub fn overdue(thread: usize, turns: u32, now: u64) -> Result<(), Violation> {
    if turns > OVERDUE_TURNS_MAX {
        let details = format!("thread {thread}, {turns} turns");
        return Err(Violation { invariant: &NO_DEADLINE_LEFT, at: now, details });
    }
    Ok(())
}

/// Expiry may be done in bounded steps, a turn each.
const OVERDUE_TURNS_MAX: u32 = 10_000;

/// Where buffers are, at any boundary of phases.
///
/// # Errors
/// [`BUFFERS_BALANCE`], [`NO_TRIPWIRE`].
pub fn balance(snapshot: &Snapshot, now: u64) -> Result<(), Violation> {
    if let Some(buffers) = snapshot.buffers
        && buffers.allocated != buffers.free + buffers.in_rings + buffers.owned
    {
        return Err(Violation { invariant: &BUFFERS_BALANCE, at: now, details: format!("{buffers:?}") });
    }
    if snapshot.lost_wakeups != 0 {
        let details = format!("{} counted", snapshot.lost_wakeups);
        return Err(Violation { invariant: &NO_TRIPWIRE, at: now, details });
    }
    Ok(())
}

/// Where buffers are when the world is idle.
///
/// # Errors
/// [`BUFFERS_RETURN`].
pub fn idle(snapshot: &Snapshot, now: u64) -> Result<(), Violation> {
    if let Some(buffers) = snapshot.buffers
        && buffers.free != buffers.allocated
    {
        return Err(Violation { invariant: &BUFFERS_RETURN, at: now, details: format!("{buffers:?}") });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_on_its_way_is_enough_and_nothing_less() {
        let lost = Rest {
            thread: 0,
            asleep: true,
            urgent_visible: true,
            bell_pending: false,
            bells_on_their_way: 0,
            writer_before_gate: false,
        };
        assert_eq!(rest(&lost, 1).map_err(|violation| violation.invariant.name), Err("no-lost-wakeup"));
        for fine in [
            Rest { asleep: false, ..lost },
            Rest { urgent_visible: false, ..lost },
            Rest { bell_pending: true, ..lost },
            Rest { bells_on_their_way: 1, ..lost },
            Rest { writer_before_gate: true, ..lost },
        ] {
            assert_eq!(rest(&fine, 1), Ok(()));
        }
    }

    #[test]
    fn a_timeout_later_than_its_deadline_is_seen() {
        assert_eq!(timeout(0, Some(5), Some(5), 1), Ok(()));
        assert_eq!(timeout(0, None, None, 1), Ok(()));
        assert!(timeout(0, Some(6), Some(5), 1).is_err() && timeout(0, None, Some(5), 1).is_err());
        assert!(rung(0, 2, 1, 1).is_err() && rung(0, 1, 1, 1).is_ok());
        assert!(parks(0, true, 1).is_err() && parks(0, false, 1).is_ok());
        assert!(forgotten(1, 1).is_err() && forgotten(0, 1).is_ok());
    }
}
