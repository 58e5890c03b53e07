//! Which worker a request goes to, so that no round of a conversation changes worker and nothing is handed over.
//!
//! An Access-Request goes to the owner of one of 1 024 slots: the keyed hash of its User-Name and Calling-Station-Id,
//! octet for octet; without the latter, of its client, too. All else goes to the less loaded of two workers.

use crate::client::ClientId;
use crate::packet::{Framed, Landmark};
use crate::path::WorkerId;
use crate::seed::{KeyedHash, Seed};
use core::hash::{BuildHasher, Hasher};

/// How many slots there are.
pub const SLOTS: usize = 1024;

/// The slots and their owners, the same in every network thread.
#[derive(Debug, Clone)]
pub struct Slots {
    hash: KeyedHash,
    workers: u16,
}

impl Slots {
    /// Deals the slots out evenly among `workers` workers.
    pub fn new(workers: u16, seed: &Seed) -> Self {
        assert!(workers > 0, "a server has a worker");
        Slots { hash: seed.fork("conversation slots").hasher(), workers }
    }

    /// The slot of an Access-Request.
    pub fn slot(&self, framed: &Framed<'_>, client: ClientId) -> usize {
        let mut hasher = self.hash.build_hasher();
        let user_name = framed.value(Landmark::UserName).unwrap_or_default();
        // The length goes in first, so that no two pairs of values run together into the same octets.
        hasher.write(&[user_name.len() as u8]);
        hasher.write(user_name);
        match framed.value(Landmark::CallingStationId) {
            Some(calling_station_id) => hasher.write(calling_station_id),
            None => hasher.write_u32(client.0),
        }
        hasher.finish() as usize % SLOTS
    }

    /// The worker that owns a slot.
    pub fn owner(&self, slot: usize) -> WorkerId {
        WorkerId((slot % usize::from(self.workers)) as u16)
    }
}
