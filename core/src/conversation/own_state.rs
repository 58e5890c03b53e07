//! The States that we make ourselves, for challenges of our own. RFC 2865 §5.24, RFC 5080 §2.1.1.
//!
//! A State names the slot of the conversation, so that any network core finds its worker though a later request may look
//! nothing like the first, and carries a keyed check, so that nobody can make one up that leads elsewhere. It proves nothing
//! about who presents it: that is the conversation's to compare. No two are ever equal, and each is good for one request
//! (the table of conversations sees to that).

use super::slot::SLOTS;
use crate::seed::{KeyedDigest, Seed};
use core::fmt;
use core::hash::Hasher;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use subtle::ConstantTimeEq;

/// Octets of a State of our own.
pub const OWN_STATE_OCTETS: usize = 24;
/// Slot and random octets, which the rest is the check of: 2 and 14.
const CHECKED_OCTETS: usize = 16;

/// Makes States.
pub struct OwnStates {
    check: OwnStateCheck,
    random: ChaCha12Rng,
}

impl OwnStates {
    /// With a generator that no other core draws from, and none drew from before: what it draws makes States unique. `seed`
    /// is that of the network cores, which find their slots.
    pub fn new(seed: &Seed, random: ChaCha12Rng) -> OwnStates {
        OwnStates { check: OwnStateCheck::new(seed), random }
    }

    /// One for a conversation in this slot, never given before.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn make(&mut self, slot: usize) -> [u8; OWN_STATE_OCTETS] {
        assert!(slot < SLOTS, "a conversation is in a slot");
        let mut state = [0; OWN_STATE_OCTETS];
        state[..2].copy_from_slice(&(slot as u16).to_be_bytes());
        self.random.fill_bytes(&mut state[2..CHECKED_OCTETS]);
        let check = self.check.of(&state[..CHECKED_OCTETS]);
        state[CHECKED_OCTETS..].copy_from_slice(&check);
        state
    }
}

/// Tells States of our own from others.
#[derive(Clone)]
pub struct OwnStateCheck(KeyedDigest);

impl OwnStateCheck {
    /// Equal seeds agree.
    pub fn new(seed: &Seed) -> OwnStateCheck {
        OwnStateCheck(seed.fork("own States").digest())
    }

    /// The slot of a State, if it is one of our own.
    pub fn slot(&self, state: &[u8]) -> Option<usize> {
        let state: &[u8; OWN_STATE_OCTETS] = state.try_into().ok()?;
        let (checked, check) = state.split_at(CHECKED_OCTETS);
        let is_ours: bool = self.of(checked).ct_eq(check).into();
        let slot = usize::from(u16::from_be_bytes([state[0], state[1]]));
        (is_ours && slot < SLOTS).then_some(slot)
    }

    fn of(&self, checked: &[u8]) -> [u8; OWN_STATE_OCTETS - CHECKED_OCTETS] {
        let mut hasher = self.0.hasher();
        hasher.write(checked);
        hasher.finish().to_le_bytes()
    }
}

impl fmt::Debug for OwnStateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStateCheck(…)")
    }
}

impl fmt::Debug for OwnStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStates(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkerId;
    use crate::conversation::slot::{SlotOwners, Slots};
    use alloc::collections::BTreeSet;
    use alloc::sync::Arc;
    use alloc::vec;

    fn makes(seed: u8) -> OwnStates {
        let seed = Seed::new([seed; 32]);
        OwnStates::new(&seed, seed.fork("a worker").generator())
    }

    #[test]
    fn any_network_core_finds_the_slot_of_each() {
        let slots = Slots::new(Arc::new(SlotOwners::new(vec![WorkerId(0)])), &Seed::new([1; 32]));
        let mut states = makes(1);
        let mut made = BTreeSet::new();
        for slot in (0..SLOTS).chain([7; 100]) {
            let state = states.make(slot);
            assert_eq!(slots.slot_of_own_state(&state), Some(slot));
            assert!(made.insert(state), "no State is made twice");
        }
    }

    #[test]
    fn what_others_made_or_changed_is_none_of_ours() {
        let check = OwnStateCheck::new(&Seed::new([1; 32]));
        let state = makes(1).make(1000);
        for bit in 0..OWN_STATE_OCTETS * 8 {
            let mut changed = state;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check.slot(&changed), None, "bit {bit}");
        }
        assert_eq!(check.slot(&makes(2).make(1000)), None, "another node's");
        for octets in [&state[..23], &[&state[..], &[0]].concat(), &[], &[0; OWN_STATE_OCTETS]] {
            assert_eq!(check.slot(octets), None);
        }
    }
}
