//! Faults of threads and of the bells between them: stops between any two phases, bells late, for nothing, merged.

use super::disk::Crash;
use super::{FaultClass, Injector};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const YEAR_SECONDS: u64 = 365 * 86_400;

/// For how long `thread` is stopped before its phase number `ordinal`, if it is.
pub fn stall(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Option<u64> {
    let length = |draw: crate::draw::Draw| [draw.magnitude(MICROSECOND..=2 * SECOND), 0];
    faults.strike(FaultClass::ThreadStall, thread, ordinal, now, length).map(|[length, _]| length)
}

/// From its turn number `ordinal` on: until when `thread` runs slower, and how many times, if it does. Thread
/// against thread this opens what no stop does: one that makes many turns while another makes one.
pub fn slow(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Option<(u64, u64)> {
    let slow =
        |draw: crate::draw::Draw| [draw.magnitude(10 * MICROSECOND..=5 * SECOND), draw.fork(1).range(2..=64)];
    let [length, times] = faults.strike(FaultClass::ThreadSlow, thread, ordinal, now, slow)?;
    Some((now + length, times))
}

/// When the bell number `ordinal` of `thread` is heard: first after this many nanoseconds more than usual, and
/// perhaps once more.
pub fn bell(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> (u64, Option<u64>) {
    let late = |draw: crate::draw::Draw| [draw.magnitude(MICROSECOND..=200 * MILLISECOND), 0];
    let late = faults.strike(FaultClass::BellLate, thread, ordinal, now, late).map_or(0, |[late, _]| late);
    // Half of the second bells come with the first, the others up to 10 ms after it: into a later park.
    let again = |draw: crate::draw::Draw| {
        [if draw.fork(1).one_in(2) { 0 } else { draw.magnitude(MICROSECOND..=10 * MILLISECOND) }, 0]
    };
    let again =
        faults.strike(FaultClass::BellMerged, thread, ordinal, now, again).map(|[again, _]| late + again);
    (late, again)
}

/// After how many nanoseconds a bell rings for nothing in the park number `ordinal` of `thread`, if it does.
pub fn spurious_bell(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Option<u64> {
    let when = |draw: crate::draw::Draw| [draw.magnitude(MICROSECOND..=100 * MILLISECOND), 0];
    faults.strike(FaultClass::BellSpurious, thread, ordinal, now, when).map(|[when, _]| when)
}

/// Whether the server's process, or its machine, ends before the phase number `ordinal` of `thread`, and after how many
/// nanoseconds the next begins.
pub fn crash(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Option<(Crash, u64)> {
    let how =
        |draw: crate::draw::Draw| [draw.fork(1).below(2), draw.magnitude(10 * MILLISECOND..=2 * SECOND)];
    let [kind, boot] = faults.strike(FaultClass::ProcessCrash, thread, ordinal, now, how)?;
    Some((if kind == 0 { Crash::Process } else { Crash::Machine }, boot))
}

/// Before the phase number `ordinal` of `thread`, if a core of it panics then: in that phase as it begins, and which of the
/// thread's two cores if it has two; or its worker at the decision of that number in its next turn.
pub fn panic(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Option<Panic> {
    let how = |draw: crate::draw::Draw| [draw.fork(1).below(3), draw.magnitude(1..=40)];
    let [kind, decision] = faults.strike(FaultClass::CorePanic, thread, ordinal, now, how)?;
    Some(match kind {
        0 => Panic::Network,
        1 => Panic::Worker,
        _ => Panic::AtDecision(decision),
    })
}

/// Where a core panics. A thread without such a core goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panic {
    /// Its network core, between two phases.
    Network,
    /// Its worker.
    Worker,
    /// Its worker, while policy decides for the so-manyth time from here.
    AtDecision(u64),
}

/// How many seconds the clock on the wall is ahead from the turn number `ordinal` of `thread` on, if it jumps then.
pub fn jump(thread: u64, ordinal: u64, now: u64, ahead: i64, faults: &mut Injector) -> Option<i64> {
    let jump = |draw: crate::draw::Draw| [draw.magnitude(1..=10 * YEAR_SECONDS), draw.fork(1).below(2)];
    let [seconds, back] = faults.strike(FaultClass::ClockJump, thread, ordinal, now, jump)?;
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    // What is long ahead comes back: a clock that is set right.
    let is_back = back == 1 || ahead > 40 * YEAR_SECONDS as i64;
    Some(if is_back { (ahead - seconds).max(-40 * (YEAR_SECONDS as i64)) } else { ahead + seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    #[test]
    fn stalls_and_bells_stay_within_their_bounds() {
        let mut faults = Injector::drawn(Draws::new(2), [5_000; FaultClass::COUNT], u64::MAX);
        let mut merged_at_once = 0;
        for ordinal in 0..400 {
            if let Some(length) = stall(0, ordinal, 0, &mut faults) {
                assert!((MICROSECOND..=2 * SECOND).contains(&length));
            }
            if let Some((until, times)) = slow(0, ordinal, 7, &mut faults) {
                assert!(until <= 7 + 5 * SECOND && (2..=64).contains(&times));
            }
            let (late, again) = bell(0, ordinal, 0, &mut faults);
            assert!(late <= 200 * MILLISECOND);
            assert!(again.is_none_or(|again| (late..=late + 10 * MILLISECOND).contains(&again)));
            merged_at_once += u32::from(again == Some(late));
            assert!(spurious_bell(0, ordinal, 0, &mut faults).is_none_or(|when| when <= 100 * MILLISECOND));
        }
        assert!(merged_at_once > 20);
        for class in [FaultClass::ThreadStall, FaultClass::ThreadSlow] {
            assert!(faults.counts()[class as usize] > 100);
        }
    }
}
