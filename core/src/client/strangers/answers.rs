//! What look-ups have said, and those that are under way, by rule and key.
//!
//! Bounded: proven clients by their limits, look-ups under way by theirs, and what proves nothing, an answer no or one under which
//! no packet has verified yet, by [`UNPROVEN_MAX`], of which the oldest goes first.

use super::super::dynamic::DynamicClient;
use super::super::limits::{Counted, Counts, Permit};
use super::super::rule::ClientRule;
use super::Held;
use crate::deadlines::Deadlines;
use crate::effect::Ticket;
use crate::life::Life;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::table::{Index, KeyHash};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Answers of one worker.
pub struct Answers {
    life: Life,
    index: Index,
    entries: Vec<Entry>,
    free: Vec<u32>,
    deadlines: Deadlines,
    /// Entries that prove nothing, the oldest first, with their generations; some are stale.
    unproven: VecDeque<(u32, u32)>,
    /// Rules and keys of what were clients.
    remembered: BTreeSet<(Arc<str>, Box<[u8]>)>,
    remembered_max: usize,
    held: usize,
}

struct Entry {
    /// How many had the place before.
    generation: u32,
    rule: u32,
    rule_name: Arc<str>,
    key: Arc<[u8]>,
    hash: KeyHash,
    state: State,
}

enum State {
    Free,
    Pending {
        line: Vec<Held>,
        /// What it looks up has changed since it began.
        is_void: bool,
        _permit: Permit,
    },
    Denied,
    /// Some packet has verified under it if there is a permit.
    Found {
        client: Arc<DynamicClient>,
        permit: Option<Permit>,
    },
}

/// What is known of a key.
pub enum Known {
    Nothing,
    /// Its look-up is under way, in this entry.
    Pending(u32),
    Denied,
    Client(Arc<DynamicClient>),
}

/// A look-up that begins.
pub struct Begun {
    pub ticket: Ticket,
    pub entry: u32,
    pub key: Arc<[u8]>,
}

/// A look-up that has ended.
pub struct Ended {
    pub rule: u32,
    pub key: Arc<[u8]>,
    /// What it looked up has changed meanwhile: its answer may be an old one.
    pub is_void: bool,
    /// Who waited for it.
    pub line: Vec<Held>,
}

impl Answers {
    /// For so many proven clients, and what proves nothing.
    pub fn new(life: Life, clients: usize, seed: &Seed) -> Answers {
        let bound = clients + UNPROVEN_MAX + PENDING_MAX;
        Answers {
            life,
            index: Index::new(bound, &seed.fork("answers to look-ups")),
            entries: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::new(bound),
            unproven: VecDeque::new(),
            remembered: BTreeSet::new(),
            remembered_max: clients,
            held: 0,
        }
    }

    /// How many packets wait.
    pub fn held(&self) -> usize {
        self.held
    }

    /// What is known of this key now.
    pub fn known(&mut self, rule_name: &str, key: &[u8], now: Instant) -> Known {
        let Some(place) = self.find(rule_name, key) else { return Known::Nothing };
        match &self.entries[place as usize].state {
            State::Free => unreachable!("a free entry is not in the index"),
            State::Pending { .. } => return Known::Pending(place),
            State::Denied if self.deadlines.of(place).is_some_and(|due| due > now) => return Known::Denied,
            State::Found { client, .. }
                if !client.is_over(now) && self.deadlines.of(place).is_some_and(|due| due > now) =>
            {
                return Known::Client(Arc::clone(client));
            }
            State::Denied | State::Found { .. } => {}
        }
        self.end(place);
        Known::Nothing
    }

    /// A look-up begins, of a key of which nothing is known; `None` if there is no room.
    pub fn begin(
        &mut self,
        rule: u32,
        rule_name: &Arc<str>,
        key: &[u8],
        permit: Permit,
        deadline: Instant,
    ) -> Option<Begun> {
        let state = State::Pending { line: Vec::new(), is_void: false, _permit: permit };
        let entry = self.add(rule, rule_name, key.into(), state, deadline)?;
        if seeded::is(Bug::LookUpNeverTimesOut) {
            self.deadlines.remove(entry);
        }
        let Entry { generation, key, .. } = &self.entries[entry as usize];
        let ticket = Ticket { place: entry, generation: *generation, life: self.life };
        Some(Begun { ticket, entry, key: Arc::clone(key) })
    }

    /// The packets that wait for a look-up.
    pub fn line(&self, entry: u32) -> &[Held] {
        match &self.entries[entry as usize].state {
            State::Pending { line, .. } => line,
            State::Free | State::Denied | State::Found { .. } => &[],
        }
    }

    /// One more waits.
    pub fn hold(&mut self, entry: u32, held: Held) {
        let State::Pending { line, .. } = &mut self.entries[entry as usize].state else {
            unreachable!("packets wait for look-ups that are under way");
        };
        line.push(held);
        self.held += 1;
    }

    /// Ends the look-up of this ticket. `None` if it is not under way any more.
    pub fn take_pending(&mut self, ticket: Ticket) -> Option<Ended> {
        let entry = self.entries.get(ticket.place as usize)?;
        let is_current = ticket.life == self.life && ticket.generation == entry.generation;
        let State::Pending { is_void, .. } = entry.state else { return None };
        if !is_current {
            return None;
        }
        let (rule, key) = (entry.rule, Arc::clone(&entry.key));
        Some(Ended { rule, key, is_void, line: self.end(ticket.place) })
    }

    /// An answer says yes.
    pub fn tell(
        &mut self,
        place: u32,
        rule: &ClientRule,
        key: &[u8],
        client: Arc<DynamicClient>,
        now: Instant,
    ) {
        let until = (now + rule.negative_lifetime).min(client.expires());
        let state = State::Found { client, permit: None };
        self.add_unproven(place, rule, key, state, until);
    }

    /// An answer says no.
    pub fn deny(&mut self, place: u32, rule: &ClientRule, key: &[u8], now: Instant) {
        self.remembered.remove(&(Arc::clone(&rule.name), key.into()));
        self.add_unproven(place, rule, key, State::Denied, now + rule.negative_lifetime);
    }

    /// A packet has verified under a client that is known here. False if there are as many clients as may be.
    pub fn prove(
        &mut self,
        client: &Arc<DynamicClient>,
        rule: &ClientRule,
        (all, all_max): (&Arc<Counts>, u32),
    ) -> bool {
        let (rule_name, key) = client.origin();
        let Some(place) = self.find(rule_name, key) else { return true };
        let State::Found { client: known, permit } = &mut self.entries[place as usize].state else {
            return true;
        };
        if permit.is_some() || !Arc::ptr_eq(known, client) {
            return true;
        }
        let limits = [Some((&rule.counts, rule.limits.clients)), Some((all, all_max)), None, None];
        *permit = Permit::take(Counted::Client, limits);
        if permit.is_none() {
            return false;
        }
        self.deadlines.set(place, client.expires());
        true
    }

    /// Whether a key was a client's before.
    pub fn is_remembered(&self, rule: &Arc<str>, key: &[u8]) -> bool {
        // Searched only where a look-up is about to begin.
        self.remembered.contains(&(Arc::clone(rule), key.into()))
    }

    /// A key was a client's before.
    pub fn remember(&mut self, rule: &Arc<str>, key: &[u8]) {
        if self.remembered.len() < self.remembered_max {
            self.remembered.insert((Arc::clone(rule), key.into()));
        }
    }

    /// What is known of a key is void, also an answer that is on its way.
    pub fn forget(&mut self, rule_name: &str, key: &[u8]) {
        let Some(place) = self.find(rule_name, key) else { return };
        match &mut self.entries[place as usize].state {
            State::Free => {}
            State::Pending { is_void, .. } => *is_void = true,
            State::Denied | State::Found { .. } => drop(self.end(place)),
        }
    }

    /// Rules have other places now, or none: then what they have said is void. Who waited for an answer of those.
    pub fn renumber(&mut self, place_of: impl Fn(u32) -> Option<u32>) -> Vec<Held> {
        let mut homeless = Vec::new();
        for place in 0..self.entries.len() as u32 {
            let Entry { rule, state, .. } = &mut self.entries[place as usize];
            // A free one still has the number of a rule that may be gone since.
            if let State::Free = state {
                continue;
            }
            match place_of(*rule) {
                Some(now) => *rule = now,
                None => homeless.append(&mut self.end(place)),
            }
        }
        homeless
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// Ends what is due next, if anything is: who waited for it.
    pub fn take_due(&mut self, now: Instant) -> Option<Vec<Held>> {
        let (_, place) = self.deadlines.next().filter(|(due, _)| *due <= now)?;
        Some(self.end(place))
    }

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The client at a place, if a packet has verified under it.
    pub fn admitted_at(&self, place: u32) -> Option<&DynamicClient> {
        match &self.entries.get(place as usize)?.state {
            State::Found { client, permit: Some(_) } => Some(client),
            State::Found { permit: None, .. } | State::Free | State::Pending { .. } | State::Denied => None,
        }
    }

    /// Each rule and key that is a client's.
    pub fn keys(&self) -> impl Iterator<Item = (&Arc<str>, &[u8])> {
        self.entries.iter().filter_map(|entry| match &entry.state {
            State::Found { permit: Some(_), .. } => Some((&entry.rule_name, &*entry.key)),
            State::Found { permit: None, .. } | State::Free | State::Pending { .. } | State::Denied => None,
        })
    }

    /// What a core that has died knew of clients, for the one that takes its place.
    pub fn remembered(&mut self) -> BTreeSet<(Arc<str>, Box<[u8]>)> {
        let mut remembered = core::mem::take(&mut self.remembered);
        remembered.extend(self.keys().map(|(rule, key)| (Arc::clone(rule), key.into())));
        remembered
    }

    fn add_unproven(&mut self, place: u32, rule: &ClientRule, key: &[u8], state: State, until: Instant) {
        while self.unproven.len() >= UNPROVEN_MAX {
            let Some((oldest, generation)) = self.unproven.pop_front() else { break };
            let entry = &self.entries[oldest as usize];
            let is_unproven = match &entry.state {
                State::Denied => true,
                State::Found { permit, .. } => permit.is_none(),
                State::Free | State::Pending { .. } => false,
            };
            if entry.generation == generation && is_unproven {
                self.end(oldest);
            }
        }
        if let Some(entry) = self.add(place, &rule.name, key.into(), state, until) {
            self.unproven.push_back((entry, self.entries[entry as usize].generation));
        }
    }

    fn add(
        &mut self,
        rule: u32,
        rule_name: &Arc<str>,
        key: Arc<[u8]>,
        state: State,
        deadline: Instant,
    ) -> Option<u32> {
        let hash = self.hash(rule_name, &key);
        let place = self.free.last().copied().unwrap_or(self.entries.len() as u32);
        self.index.insert(hash, place).ok()?;
        let generation = match self.free.pop() {
            Some(place) => self.entries[place as usize].generation.wrapping_add(1),
            None => 0,
        };
        let entry = Entry { generation, rule, rule_name: Arc::clone(rule_name), key, hash, state };
        match self.entries.get_mut(place as usize) {
            Some(there) => *there = entry,
            None => self.entries.push(entry),
        }
        self.deadlines.set(place, deadline);
        Some(place)
    }

    /// Ends an entry: who waited for it. A client ends with its connections, and is remembered.
    fn end(&mut self, place: u32) -> Vec<Held> {
        let entry = &mut self.entries[place as usize];
        let state = core::mem::replace(&mut entry.state, State::Free);
        // Stale from now on, also before another has the place.
        entry.generation = entry.generation.wrapping_add(1);
        let (hash, rule_name, key) = (entry.hash, Arc::clone(&entry.rule_name), Arc::clone(&entry.key));
        self.index.remove(hash, place);
        self.deadlines.remove(place);
        self.free.push(place);
        match state {
            State::Pending { line, .. } => {
                self.held -= line.len();
                line
            }
            State::Found { client, permit } => {
                client.retire();
                if permit.is_some() {
                    self.remember(&rule_name, &key);
                }
                Vec::new()
            }
            State::Free | State::Denied => Vec::new(),
        }
    }

    fn find(&self, rule_name: &str, key: &[u8]) -> Option<u32> {
        let is_it = |place: u32| {
            let entry = &self.entries[place as usize];
            *entry.rule_name == *rule_name && *entry.key == *key
        };
        self.index.find(self.hash(rule_name, key), is_it)
    }

    fn hash(&self, rule_name: &str, key: &[u8]) -> KeyHash {
        // The length goes in first, so that no two pairs run together into the same octets.
        self.index.hash_of([&(rule_name.len() as u32).to_le_bytes(), rule_name.as_bytes(), key])
    }
}

impl Drop for Answers {
    /// Nobody would tell these clients that their answers are void.
    fn drop(&mut self) {
        for entry in &self.entries {
            if let State::Found { client, .. } = &entry.state {
                client.retire();
            }
        }
    }
}

/// Answers that prove nothing.
const UNPROVEN_MAX: usize = 8_192;
/// Look-ups under way of one worker, whatever the limits say.
const PENDING_MAX: usize = 16_384;
