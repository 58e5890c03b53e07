//! Faults of what a server asks its other threads for: done late, in another order, given back undone, never done.

use super::{FaultClass, Injector};
use crate::draw::{Class, Draw};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// So long an effect takes at most where nothing goes wrong. Several under way overtake each other.
pub const USUAL_MAX: u64 = 30 * MILLISECOND;

/// What becomes of one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It is done after so many nanoseconds.
    Done(u64),
    /// There is no room for it.
    Shed,
    /// Nothing is ever heard of it.
    Lost,
}

/// What becomes of the effect number `ordinal` of `thread`.
pub fn course(thread: u64, ordinal: u64, now: u64, faults: &mut Injector) -> Course {
    if faults.strike(FaultClass::EffectShed, thread, ordinal, now, |_| [0; 2]).is_some() {
        return Course::Shed;
    }
    if faults.strike(FaultClass::EffectLost, thread, ordinal, now, |_| [0; 2]).is_some() {
        return Course::Lost;
    }
    let slow = |draw: Draw| [draw.magnitude(100 * MILLISECOND..=60 * SECOND), 0];
    match faults.strike(FaultClass::EffectSlow, thread, ordinal, now, slow) {
        Some([length, _]) => Course::Done(length),
        None => {
            let draw = faults.draws().at(Class::EffectLength, thread, ordinal);
            Course::Done(draw.range(MILLISECOND..=USUAL_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    #[test]
    fn each_course_is_taken_and_within_its_bounds() {
        let mut faults = Injector::drawn(Draws::new(2), [2_000; FaultClass::COUNT], 300);
        let (mut shed, mut lost, mut slow) = (0, 0, 0);
        for ordinal in 0..600 {
            // The second half comes when faults have ended.
            match course(1, ordinal, ordinal, &mut faults) {
                Course::Shed => shed += 1,
                Course::Lost => lost += 1,
                Course::Done(length) if length > USUAL_MAX => {
                    slow += 1;
                    assert!((100 * MILLISECOND..=60 * SECOND).contains(&length));
                }
                Course::Done(length) => assert!((MILLISECOND..=USUAL_MAX).contains(&length)),
            }
        }
        for (struck, class) in
            [(shed, FaultClass::EffectShed), (lost, FaultClass::EffectLost), (slow, FaultClass::EffectSlow)]
        {
            assert!((20..120).contains(&struck), "{class:?}: {struck}");
            assert_eq!(faults.counts()[class as usize], struck);
        }
    }
}
