//! When a NAS sends again, by RFC 5080 §2.2.1, in integers.

use crate::draw::Draw;

const SECOND: u64 = 1_000_000_000;
/// Initial retransmission time.
const IRT: u64 = 2 * SECOND;
/// Maximum retransmission time.
const MRT: u64 = 16 * SECOND;
/// Maximum retransmission count.
const MRC: u32 = 5;
/// Maximum retransmission duration.
const MRD: u64 = 30 * SECOND;

/// The retransmission state of one exchange.
#[derive(Debug, Clone)]
pub struct Retransmission {
    first_sent: u64,
    sent_again: u32,
    timeout: u64,
    bounded: bool,
}

/// What to do when the time-out has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send again, then wait until this nanosecond.
    SendAgain(u64),
    /// No answer came, and none is waited for any longer.
    GiveUp,
}

impl Retransmission {
    /// Begins when a packet is sent first; answers when its time-out passes. Accounting is not `bounded`: MRC, MRD
    /// and MRT are 0 there (RFC 5080 §2.2.1), it goes on for ever.
    pub fn begin(now: u64, bounded: bool, draw: Draw) -> (Self, u64) {
        let timeout = jittered(IRT, IRT, draw);
        (Retransmission { first_sent: now, sent_again: 0, timeout, bounded }, now + timeout)
    }

    /// The time-out has passed at `now`.
    pub fn handle_timeout(&mut self, now: u64, draw: Draw) -> Next {
        if self.bounded && (self.sent_again == MRC || now - self.first_sent >= MRD) {
            return Next::GiveUp;
        }
        self.sent_again += 1;
        // RT = 2 × RTprev + RAND × RTprev; beyond MRT it is MRT + RAND × MRT.
        self.timeout = jittered(self.timeout * 2, self.timeout, draw);
        if self.timeout > MRT {
            self.timeout = jittered(MRT, MRT, draw.fork(1));
        }
        let end = if self.bounded { self.first_sent + MRD } else { u64::MAX };
        Next::SendAgain((now + self.timeout).min(end.max(now + 1)))
    }
}

/// `base` and up to a tenth of `unit` more or less.
fn jittered(base: u64, unit: u64, draw: Draw) -> u64 {
    base - unit / 10 + draw.range(0..=unit / 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Class, Draws};

    fn times(seed: u64, bounded: bool) -> Vec<u64> {
        let draw = |ordinal| Draws::new(seed).at(Class::Retransmission, 0, ordinal);
        let (mut state, mut at) = Retransmission::begin(0, bounded, draw(0));
        let mut times = Vec::new();
        for ordinal in 1..20 {
            match state.handle_timeout(at, draw(ordinal)) {
                Next::SendAgain(next) => {
                    times.push(at);
                    at = next;
                }
                Next::GiveUp => {
                    times.push(at);
                    break;
                }
            }
        }
        times
    }

    #[test]
    fn times_double_with_a_tenth_of_jitter_until_30_seconds() {
        for seed in 0..100 {
            let times = times(seed, true);
            assert!((1_800_000_000..=2_200_000_000).contains(&times[0]));
            for pair in times[..times.len() - 1].windows(2).collect::<Vec<_>>().windows(2) {
                let (before, after) = (pair[0][1] - pair[0][0], pair[1][1] - pair[1][0]);
                assert!(after <= MRT + MRT / 10 && (before * 19 / 10 <= after || after >= MRT - MRT / 10));
            }
            assert_eq!(times.last(), Some(&MRD));
            assert!(times.len() <= MRC as usize + 1);
        }
    }

    #[test]
    fn accounting_goes_on() {
        assert_eq!(times(1, false).len(), 19);
    }
}
