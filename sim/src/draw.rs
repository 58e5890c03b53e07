//! Keyed, stateless randomness: `draw = mix(seed, class, entity, ordinal)`.
//!
//! A draw depends on nothing but its four coordinates, so that a new class shifts no other, and a packet that is
//! taken out of a plan reshuffles no other flow. Decisions are made on integers only: floats round differently.
//! Holds no state; ordinals are counted by whoever draws, within one entity.

use std::ops::RangeInclusive;

/// What a draw is for. The numbers are frozen: append, never renumber, never reuse. Faults follow from
/// [`Class::FAULTS`] on by their own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Class {
    /// The shape of a plan; the entity is the part, the ordinal the field.
    Topology = 1,
    /// Sizes and lifetimes of a plan.
    Limits = 2,
    /// The NASes of a plan and what they send.
    Workload = 3,
    /// Which fault classes a plan has on, and how strong.
    Swarm = 4,
    /// The order of events that fall on the same nanosecond.
    Tie = 5,
    /// How long a phase of a virtual thread takes.
    PhaseLength = 6,
    /// How long a woken thread takes to run.
    WakeLatency = 7,
    /// How long a bell takes to be heard.
    BellLatency = 8,
    /// When a NAS starts its next transaction.
    Pace = 9,
    /// What a transaction is.
    Transaction = 10,
    /// The Request Authenticators of a NAS.
    Authenticator = 11,
    /// The jitter of a retransmission time (RFC 5080 §2.2.1).
    Retransmission = 12,
    /// The state of a link between its good and its bad times.
    BurstState = 13,
    /// The seed that the server under test gets.
    ServerSeed = 14,
    /// What else is drawn about a fault than whether it strikes, where one draw is not enough.
    FaultDetail = 15,
    /// How long an effect takes.
    EffectLength = 16,
    /// What becomes of operations on a disk, and when all stops; the entity is the part.
    Disk = 17,
    /// The reloads of a plan, and what NASes make of them; the entity is the part.
    Reload = 18,
    /// When a thread hears that it is to take a step of a reload.
    ReloadBell = 19,
    /// The rules of a plan; the entity is the part.
    Rules = 20,
    /// How many workers the reloads of a plan ask for; the entity is the part.
    Workers = 21,
    /// How long a new worker's thread takes to begin.
    ThreadStart = 22,
    /// The NATs of a plan and who stands behind them; the entity is the part.
    Nat = 23,
    /// Which outside endpoint a NAT gives to a mapping.
    NatPort = 24,
    /// How tables of secrets change while the server runs; the entity is the part.
    Tables = 25,
    /// Clients of rules that are keyed by their addresses; the entity is the part.
    ByAddress = 26,
    /// Forwarding in a plan; the entity is the part.
    Proxy = 27,
    /// What NASes whose users are at home elsewhere send; the entity is the NAS and the field.
    Visit = 28,
    /// What remote servers answer, and when.
    RemoteServer = 29,
    /// Who asks the server what it does; the entity is the part.
    Control = 30,
}

impl Class {
    /// The number of the fault class 0; the others follow.
    pub const FAULTS: u16 = 0x100;
}

/// The source of all draws of one run.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws of this seed.
    pub const fn new(seed: u64) -> Self {
        Draws { seed }
    }

    /// The draw at these coordinates.
    pub const fn at(self, class: Class, entity: u64, ordinal: u64) -> Draw {
        Draw(mix(self.seed, class as u16, entity, ordinal))
    }

    /// The draw of the fault class of this number.
    pub const fn fault(self, number: u16, entity: u64, ordinal: u64) -> Draw {
        Draw(mix(self.seed, Class::FAULTS + number, entity, ordinal))
    }
}

/// One drawn value of 64 bits. Reading it twice reads the same; [`Draw::fork`] for independent ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// An independent draw of the same coordinates.
    pub const fn fork(self, branch: u64) -> Draw {
        Draw(mix(self.0, 0, branch, 1))
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0. The bias is below 2⁻³² for bounds below 2³².
    pub const fn below(self, bound: u64) -> u64 {
        ((self.0 as u128 * bound as u128) >> 64) as u64
    }

    /// Uniform within both ends.
    pub const fn range(self, ends: RangeInclusive<u64>) -> u64 {
        let (low, high) = (*ends.start(), *ends.end());
        low + self.below((high - low).saturating_add(1))
    }

    /// True once in `n`.
    pub const fn one_in(self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True in `share` of 1 000.
    pub const fn per_mille(self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// True in `share` of 10 000.
    pub const fn per_myriad(self, share: u32) -> bool {
        self.below(10_000) < share as u64
    }

    /// Each order of magnitude (in base 2) between both ends equally often. Both ends are at least 1.
    pub const fn magnitude(self, ends: RangeInclusive<u64>) -> u64 {
        let (low, high) = (*ends.start(), *ends.end());
        let exponent = self.fork(1).range(low.ilog2() as u64..=high.ilog2() as u64) as u32;
        let from = if 1 << exponent > low { 1 << exponent } else { low };
        let to = if exponent >= 63 { u64::MAX } else { (1u64 << (exponent + 1)) - 1 };
        self.fork(2).range(from..=if to < high { to } else { high })
    }

    /// One of `choices`, which is not empty.
    pub fn pick<T: Copy>(self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `N` octets.
    pub fn octets<const N: usize>(self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }

    /// Fills `octets`.
    pub fn fill(self, octets: &mut [u8]) {
        for (place, chunk) in octets.chunks_mut(8).enumerate() {
            let word = self.fork(place as u64).0.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Three rounds of a 64-bit finaliser with one coordinate absorbed in each.
const fn mix(seed: u64, class: u16, entity: u64, ordinal: u64) -> u64 {
    let first = scramble(seed ^ (class as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let second = scramble(first.wrapping_add(entity.wrapping_mul(0xd6e8_feb8_6659_fd93)));
    scramble(second ^ ordinal.wrapping_mul(0xa076_1d64_78bd_642f).wrapping_add(0x2545_f491_4f6c_dd1d))
}

/// A bijection of 64 bits in which each input bit moves about half of the output.
const fn scramble(mut word: u64) -> u64 {
    word ^= word >> 32;
    word = word.wrapping_mul(0xbea2_25f9_eb34_556d);
    word ^= word >> 29;
    word = word.wrapping_mul(0xbea2_25f9_eb34_556d);
    word ^= word >> 32;
    word = word.wrapping_mul(0x9fb2_1c65_1e98_df25);
    word ^ (word >> 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_its_coordinates() {
        // Recorded: a changed value changes the meaning of every seed that was ever written down.
        let draws = Draws::new(1);
        let drawn: Vec<u64> =
            (0..3).map(|ordinal| draws.at(Class::Pace, 2, ordinal).below(1_000_000)).collect();
        assert_eq!(drawn, [473_463, 339_998, 551_373]);
        assert_ne!(draws.at(Class::Pace, 2, 0), draws.at(Class::Tie, 2, 0));
        assert_ne!(draws.at(Class::Pace, 2, 0), draws.at(Class::Pace, 3, 0));
        assert_ne!(draws.at(Class::Pace, 2, 0), Draws::new(2).at(Class::Pace, 2, 0));
    }

    #[test]
    fn draws_spread_evenly_along_each_coordinate() {
        for axis in 0..3 {
            let mut buckets = [0u32; 16];
            for step in 0..16_000u64 {
                let draw = match axis {
                    0 => Draws::new(step).at(Class::Tie, 0, 0),
                    1 => Draws::new(7).at(Class::Tie, step, 0),
                    _ => Draws::new(7).at(Class::Tie, 0, step),
                };
                buckets[draw.below(16) as usize] += 1;
            }
            // 1 000 expected in each; six standard deviations are 184.
            assert!(buckets.iter().all(|&count| (816..1_184).contains(&count)), "{axis}: {buckets:?}");
        }
    }

    #[test]
    fn ranges_reach_both_ends_and_never_leave_them() {
        let draws = Draws::new(3);
        let mut seen = [false; 3];
        for ordinal in 0..200 {
            let draw = draws.at(Class::Limits, 0, ordinal);
            seen[(draw.range(5..=7) - 5) as usize] = true;
            assert!((3..=1_000_000).contains(&draw.magnitude(3..=1_000_000)));
            assert_eq!(draw.range(9..=9), 9);
            assert_eq!(draw.below(0), 0);
        }
        assert_eq!(seen, [true; 3]);
    }
}
