//! Which worker a request goes to, so that no round of a conversation changes worker and nothing is handed over.
//!
//! An Access-Request goes to the owner of one of 1 024 slots: the keyed hash of its User-Name and Calling-Station-Id,
//! octet for octet; without the latter, of its client, too. One that carries a State of our own goes to the owner of the slot
//! that the State names. All else goes to the less loaded of two workers.
//!
//! When workers come or go slots change hands. A slot remembers who owned it before until that worker has heard from every
//! network core that it has nothing more to come, holds no request from before, and its policy keeps no conversation from before;
//! till then the slot moves no further.

use super::own_state::OwnStateCheck;
use crate::packet::{Framed, Landmark};
use crate::path::WorkerId;
use crate::seed::{KeyedHash, Seed};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;

/// How many slots there are.
pub const SLOTS: usize = 1024;

/// Which slot is whose by what a request says of who asks.
#[derive(Debug, Clone)]
pub struct SlotHash(KeyedHash);

/// The slots as a network core has them.
#[derive(Debug, Clone)]
pub struct Slots {
    hash: SlotHash,
    own_states: OwnStateCheck,
    owners: Arc<SlotOwners>,
}

impl SlotHash {
    /// Equal seeds agree.
    pub fn new(seed: &Seed) -> SlotHash {
        SlotHash(seed.fork("conversation slots").hasher())
    }

    /// The slot of an Access-Request of the client of this name, whatever its State. Its number is another one when a reload has added or
    /// removed clients before it, and then its conversations would be looked for elsewhere.
    pub fn slot(&self, framed: &Framed<'_>, client: &str) -> usize {
        let mut hasher = self.0.build_hasher();
        let user_name = framed.value(Landmark::UserName).unwrap_or_default();
        // The length goes in first, so that no two pairs of values run together into the same octets.
        hasher.write(&[user_name.len() as u8]);
        hasher.write(user_name);
        match framed.value(Landmark::CallingStationId) {
            Some(calling_station_id) => hasher.write(calling_station_id),
            None => hasher.write(client.as_bytes()),
        }
        hasher.finish() as usize % SLOTS
    }
}

impl Slots {
    /// With these owners. Equal seeds agree.
    pub fn new(owners: Arc<SlotOwners>, seed: &Seed) -> Self {
        Slots { hash: SlotHash::new(seed), own_states: OwnStateCheck::new(seed), owners }
    }

    /// The slot that a State of our own names; `None` for one that we never made.
    pub fn slot_of_own_state(&self, state: &[u8]) -> Option<usize> {
        self.own_states.slot(state)
    }

    /// The slot of an Access-Request of the client of this name: the one that a State of our own names, or else that of who asks.
    pub fn slot(&self, framed: &Framed<'_>, client: &str) -> usize {
        let named = framed.value(Landmark::State).and_then(|state| self.slot_of_own_state(state));
        named.unwrap_or_else(|| self.hash.slot(framed, client))
    }

    /// The slot of a source address: whose worker decides about all strangers from there.
    pub fn of_address(&self, address: IpAddr) -> usize {
        self.hash_of(address.to_canonical()) as usize % SLOTS
    }

    /// A keyed hash of an address.
    pub fn hash_of(&self, address: IpAddr) -> u64 {
        self.hash.0.hash_one(address)
    }

    /// Who owns them now.
    pub fn owners(&self) -> &SlotOwners {
        &self.owners
    }

    /// They have changed hands.
    pub fn set_owners(&mut self, owners: Arc<SlotOwners>) {
        self.owners = owners;
    }
}

/// Who owns each slot, and who did before. Never changed: a change of workers makes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOwners {
    /// Counts the changes.
    epoch: u32,
    workers: Vec<WorkerId>,
    owners: Box<[WorkerId]>,
    /// Where it is another worker.
    previous: Box<[Option<WorkerId>]>,
}

impl SlotOwners {
    /// Dealt out evenly among these workers.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(workers: Vec<WorkerId>) -> Self {
        assert!(!workers.is_empty(), "a server has a worker");
        let owners = (0..SLOTS).map(|slot| workers[slot % workers.len()]).collect();
        SlotOwners { epoch: 0, workers, owners, previous: vec![None; SLOTS].into() }
    }

    /// The next: dealt out evenly among these workers, with as few changes of hands as that takes.
    ///
    /// # Panics
    /// If there is none, or a slot still remembers somebody.
    #[must_use]
    pub fn dealt_to(&self, workers: Vec<WorkerId>) -> SlotOwners {
        assert!(!workers.is_empty(), "a server has a worker");
        assert!(self.previous.iter().all(Option::is_none), "a slot moves no further before it is settled");
        let (each, over) = (SLOTS / workers.len(), SLOTS % workers.len());
        let mut shares: Vec<usize> =
            (0..workers.len()).map(|place| each + usize::from(place < over)).collect();
        // Whoever stays keeps what is within its share.
        let mut keeps = |owner: &WorkerId| {
            let place = workers.iter().position(|worker| worker == owner)?;
            shares[place] = shares[place].checked_sub(1)?;
            Some(*owner)
        };
        let kept: Vec<Option<WorkerId>> = self.owners.iter().map(&mut keeps).collect();
        let mut left =
            workers.iter().zip(&shares).flat_map(|(worker, share)| core::iter::repeat_n(*worker, *share));
        let owners: Box<[WorkerId]> = kept
            .into_iter()
            .map(|kept| kept.unwrap_or_else(|| left.next().expect("the shares are all slots")))
            .collect();
        let moved = |(before, now): (&WorkerId, &WorkerId)| (before != now).then_some(*before);
        let previous = self.owners.iter().zip(&owners).map(moved).collect();
        SlotOwners { epoch: self.epoch.wrapping_add(1), workers, owners, previous }
    }

    /// The same when nobody has anything of what was theirs before.
    #[must_use]
    pub fn settled(&self) -> SlotOwners {
        SlotOwners { previous: vec![None; SLOTS].into(), ..self.clone() }
    }

    /// How many changes there were. Wraps: no two that are alive are 2³² apart.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The workers that own any, each once.
    pub fn workers(&self) -> &[WorkerId] {
        &self.workers
    }

    /// The worker that owns a slot.
    pub fn owner(&self, slot: usize) -> WorkerId {
        self.owners[slot]
    }

    /// The worker that owned it before, as long as that may have something of it.
    pub fn previous(&self, slot: usize) -> Option<WorkerId> {
        self.previous[slot]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn workers(of: &[u16]) -> Vec<WorkerId> {
        of.iter().map(|worker| WorkerId(*worker)).collect()
    }

    fn owned(owners: &SlotOwners, worker: WorkerId) -> usize {
        (0..SLOTS).filter(|slot| owners.owner(*slot) == worker).count()
    }

    #[test]
    fn a_removed_ones_slots_go_to_the_others_and_remember_it() {
        let before = SlotOwners::new(workers(&[0, 1, 2]));
        let after = before.dealt_to(workers(&[0, 2]));
        for slot in 0..SLOTS {
            let was_removed = before.owner(slot) == WorkerId(1);
            assert_eq!(after.previous(slot), was_removed.then_some(WorkerId(1)));
            assert!(was_removed || after.owner(slot) == before.owner(slot));
        }
        assert_eq!((owned(&after, WorkerId(0)), owned(&after, WorkerId(2))), (512, 512));
        assert!((0..SLOTS).all(|slot| after.settled().previous(slot).is_none()));
        assert_eq!((before.epoch(), after.epoch(), after.settled().epoch()), (0, 1, 1));
    }

    proptest! {
        #[test]
        fn shares_are_even_and_no_slot_moves_for_nothing(
            changes in proptest::collection::vec(proptest::collection::btree_set(0u16..12, 1..9), 1..12),
        ) {
            let mut owners = SlotOwners::new(workers(&[0]));
            for change in changes {
                let now: Vec<u16> = change.into_iter().collect();
                let next = owners.dealt_to(workers(&now));
                let mut moved = 0;
                for slot in 0..SLOTS {
                    prop_assert_eq!(next.previous(slot), (owners.owner(slot) != next.owner(slot)).then_some(owners.owner(slot)));
                    moved += usize::from(next.previous(slot).is_some());
                }
                let mut lacked = 0;
                for worker in workers(&now) {
                    let share = owned(&next, worker);
                    prop_assert!((SLOTS / now.len()..=SLOTS.div_ceil(now.len())).contains(&share));
                    lacked += share.saturating_sub(owned(&owners, worker));
                }
                prop_assert_eq!(moved, lacked);
                owners = next.settled();
            }
        }
    }
}
