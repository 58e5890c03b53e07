//! Source addresses from which clients speak or look-ups are under way: what counts against their limits, and who was admitted
//! from there last.

use super::super::dynamic::DynamicClient;
use super::super::limits::{Counted, Counts, Pace};
use crate::deadlines::Deadlines;
use crate::seed::Seed;
use crate::table::Table;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// The source addresses of one worker.
pub struct Addresses {
    by_address: Table<IpAddr, u32>,
    places: Vec<Option<Address>>,
    free: Vec<u32>,
    /// When to look whether an address has nothing any more.
    deadlines: Deadlines,
    bound: usize,
}

struct Address {
    address: IpAddr,
    counts: Arc<Counts>,
    /// Who was admitted last, the newest first.
    recent: Vec<Arc<DynamicClient>>,
    keyless: Pace,
    used: Instant,
}

impl Addresses {
    /// For at most `bound` of them.
    pub fn new(bound: usize, seed: &Seed) -> Addresses {
        Addresses {
            by_address: Table::new(bound, &seed.fork("addresses of strangers")),
            places: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::new(bound),
            bound,
        }
    }

    /// What counts against an address's limits, if it is known.
    pub fn known(&self, address: IpAddr) -> Option<Arc<Counts>> {
        let place = *self.by_address.get(&address)?;
        Some(Arc::clone(&self.places[place as usize].as_ref().expect(THERE).counts))
    }

    /// The same of an address that is known from now on, if need be in the place of one from which there is nothing. `None` if there
    /// is no room for one more.
    pub fn counts(&mut self, address: IpAddr, now: Instant) -> Option<Arc<Counts>> {
        if let Some(place) = self.by_address.get(&address) {
            let address = self.places[*place as usize].as_mut().expect(THERE);
            address.used = now;
            return Some(Arc::clone(&address.counts));
        }
        if self.by_address.len() == self.bound {
            self.give_up_one();
        }
        let place = self.free.last().copied().unwrap_or(self.places.len() as u32);
        self.by_address.insert(address, place).ok()?;
        if self.free.pop().is_none() {
            self.places.push(None);
        }
        let counts = Arc::<Counts>::default();
        self.places[place as usize] = Some(Address {
            address,
            counts: Arc::clone(&counts),
            recent: Vec::new(),
            keyless: Pace::default(),
            used: now,
        });
        self.deadlines.set(place, now + LINGER);
        Some(counts)
    }

    /// A client was admitted from an address that is counted.
    pub fn admitted(&mut self, address: IpAddr, client: &Arc<DynamicClient>) {
        let Some(place) = self.by_address.get(&address) else { return };
        let recent = &mut self.places[*place as usize].as_mut().expect(THERE).recent;
        match recent.iter().position(|there| there.mark(None) == client.mark(None)) {
            Some(at) => recent[..=at].rotate_right(1),
            None => {
                recent.truncate(RECENT_MAX - 1);
                recent.insert(0, Arc::clone(client));
            }
        }
        recent[0] = Arc::clone(client);
    }

    /// Who was admitted last from an address, the newest first. None where it is asked too often.
    pub fn recent(&mut self, address: IpAddr, now: Instant) -> Vec<Arc<DynamicClient>> {
        let Some(place) = self.by_address.get(&address) else { return Vec::new() };
        let address = self.places[*place as usize].as_ref().expect(THERE);
        if address.keyless.passes(KEYLESS_PER_SECOND, now) { address.recent.clone() } else { Vec::new() }
    }

    /// When to [look](Addresses::expire) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// Forgets addresses from which there has been nothing for a while. Looks at no more than `budget` of them.
    pub fn expire(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget {
            let Some((due, place)) = self.deadlines.next().filter(|(due, _)| *due <= now) else { return };
            let address = self.places[place as usize].as_ref().expect(THERE);
            if address.has_any() || address.used + LINGER > now {
                let due = (address.used + LINGER).max(due + LINGER);
                self.deadlines.set(place, due);
                continue;
            }
            self.forget(place);
        }
    }

    /// Makes room, if an address from which there is nothing is found soon.
    fn give_up_one(&mut self) {
        for _ in 0..LOOKS {
            let Some((due, place)) = self.deadlines.next() else { return };
            let address = self.places[place as usize].as_ref().expect(THERE);
            if !address.has_any() {
                return self.forget(place);
            }
            let later = due + LINGER;
            self.deadlines.set(place, later);
        }
    }

    fn forget(&mut self, place: u32) {
        let address = self.places[place as usize].take().expect(THERE);
        self.by_address.remove(&address.address);
        self.deadlines.remove(place);
        self.free.push(place);
    }
}

impl Address {
    /// Whether a client speaks from there, or a look-up is under way.
    fn has_any(&self) -> bool {
        [Counted::Connection, Counted::Pending].iter().any(|counted| self.counts.value(*counted) > 0)
    }
}

/// Addresses that are looked at for one from which there is nothing.
const LOOKS: usize = 16;
const THERE: &str = "what is in the table is there";
/// How many packets without a key may cost in a second, each up to [`RECENT_MAX`] verifications.
const KEYLESS_PER_SECOND: u32 = 1_000;
/// Clients of an address that a packet without a key is tried under.
const RECENT_MAX: usize = 8;
/// How long an address is known from which nothing comes.
const LINGER: Duration = Duration::from_secs(60);
