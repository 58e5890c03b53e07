//! Answers whether a verified request was seen before on its connection, and keeps its reply for duplicates.
//!
//! Knows no client and no policy. RFC 2865 §3, RFC 5080 §2.2.2: a request is the same as an earlier one when source
//! address and port, the address it came to, code, Identifier and Request Authenticator are; the same Identifier with
//! another authenticator is a new request in the place of the old one.
//!
//! Only verified packets come here. An Access-Request without Message-Authenticator has nothing that could be
//! verified: such requests have entries of their own and never displace, or look up, those of signed ones.
//!
//! An entry's life: with a worker → (its reject is delayed →) answered, for the dedup lifetime → free.

pub mod entry;
pub mod reply_store;

pub use self::entry::{Authenticator, Key};
use self::entry::{Entry, List, Lists, Progress};
use self::reply_store::{CHUNKS_MAX, ReplyStore, StoredReply};
use crate::life::Life;
use crate::path::{Path, StreamId, WorkerId};
use crate::request::RequestHandle;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::table::{Full, Index};
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// The requests of one network thread's connections, by key.
pub struct Dedup {
    life: Life,
    index: Index,
    entries: Vec<Entry>,
    free: Vec<u32>,
    lists: Lists,
    replies: ReplyStore,
    lifetime: Duration,
    entries_max: usize,
    evicted: u64,
    /// How many of the entries are answered.
    answered: usize,
}

/// Of the oldest kept replies, how many are looked at for one whose memory another reply could have.
const EVICTION_LOOKS_MAX: usize = 64;

/// What is known of a request that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Fresh,
    /// It is a duplicate of one that a worker has.
    InProgress(RequestHandle, WorkerId),
    /// It is a duplicate of one whose reject waits for its time.
    Delayed,
    /// It is a duplicate of one whose reply is kept under this handle.
    Answered(RequestHandle),
    /// It is new, and takes the place of the one of this handle; that is with this worker, if it is.
    Superseding(RequestHandle, Option<WorkerId>),
}

/// Whether a completion still finds its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The reply stands for duplicates.
    Reply,
    /// The request is answered, but there was no room for its reply.
    Nothing,
    /// A newer request has its place; the table is as it was.
    Superseded,
}

impl Dedup {
    /// A table for `entries_max` live requests and `replies_octets_max` octets of replies, kept for `lifetime`.
    pub fn new(
        life: Life,
        entries_max: usize,
        replies_octets_max: usize,
        lifetime: Duration,
        seed: &Seed,
    ) -> Self {
        Dedup {
            life,
            index: Index::new(entries_max, seed),
            entries: Vec::with_capacity(entries_max),
            free: Vec::with_capacity(entries_max),
            lists: Lists::default(),
            replies: ReplyStore::new(replies_octets_max),
            lifetime,
            entries_max,
            evicted: 0,
            answered: 0,
        }
    }

    /// What a request that came this way is told by here. `definition` stands for its client where a connection can change hands:
    /// what the client before has there stays apart, so that its retransmissions from elsewhere find their answers.
    pub fn key(&self, path: &Path, code: u8, identifier: u8, signed: bool, definition: u32) -> Key {
        Key::new(path, code, identifier, signed, definition, &self.index)
    }

    /// Whether a request was seen before. Changes nothing.
    pub fn look_up(&self, key: &Key, request_authenticator: &Authenticator) -> Seen {
        let Some(place) = self.find(key) else { return Seen::Fresh };
        self.seen_at(place, request_authenticator)
    }

    /// What is known of a request that was seen, and had this place then. [`Seen::Superseding`] if it has it no more.
    pub fn look_at(&self, place: u32, request_authenticator: &Authenticator) -> Seen {
        let is_live = |entry: &Entry| !matches!(entry.progress, Progress::Free);
        match self.entries.get(place as usize).is_some_and(is_live) {
            true => self.seen_at(place, request_authenticator),
            false => Seen::Fresh,
        }
    }

    fn seen_at(&self, place: u32, request_authenticator: &Authenticator) -> Seen {
        let entry = &self.entries[place as usize];
        let handle = RequestHandle { entry: place, generation: entry.generation, life: self.life };
        let same = entry.request_authenticator == *request_authenticator
            || seeded::is(Bug::DedupKeyWithoutAuthenticator);
        match entry.progress {
            Progress::Free => unreachable!("a free entry is not in the index"),
            Progress::WithWorker { worker, .. } if same => Seen::InProgress(handle, worker),
            Progress::WithWorker { worker, .. } => Seen::Superseding(handle, Some(worker)),
            Progress::Delayed if same => Seen::Delayed,
            Progress::Answered { .. } if same && !seeded::is(Bug::PolicyRunAgainOnRetransmit) => {
                Seen::Answered(handle)
            }
            Progress::Delayed | Progress::Answered { .. } => Seen::Superseding(handle, None),
        }
    }

    /// Notes that `worker` has the request from now on. `superseded` is the handle that [`look_up`](Dedup::look_up) has
    /// just found under this key, if any: what had it is forgotten, its handle stale.
    ///
    /// # Errors
    /// `Full` when all entries are live and none may be given up for it.
    ///
    /// # Panics
    /// When the superseded handle is stale.
    pub fn begin(
        &mut self,
        key: &Key,
        superseded: Option<RequestHandle>,
        request_authenticator: &Authenticator,
        worker: WorkerId,
    ) -> Result<RequestHandle, Full<()>> {
        // Not looked up again: in a large table each look-up waits for memory several times.
        debug_assert_eq!(self.find(key), superseded.map(|handle| handle.entry), "look_up has just said so");
        let place = match superseded {
            Some(RequestHandle { entry, generation, .. }) => {
                assert!(
                    self.entries[entry as usize].generation == generation,
                    "what a request supersedes has just been looked up"
                );
                self.retire(entry);
                entry
            }
            None => {
                if self.index.len() == self.entries_max {
                    let oldest = self.oldest(key.signed()).next().ok_or(Full(()))?;
                    self.evict(oldest);
                }
                self.claim(key)
            }
        };
        let entry = &mut self.entries[place as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.request_authenticator = *request_authenticator;
        entry.progress = Progress::WithWorker { worker, last_message: 0, before: 0 };
        Ok(RequestHandle { entry: place, generation: entry.generation, life: self.life })
    }

    /// Notes the reply to a request; it stands for the dedup lifetime from `now`.
    pub fn answer(&mut self, handle: RequestHandle, reply: Option<&[u8]>, now: Instant) -> Kept {
        if self.is_with_worker(handle) { self.end(handle.entry, reply, now) } else { Kept::Superseded }
    }

    /// Notes that the reply to a request is made and waits for its time, until [`release`](Dedup::release). False if the
    /// request was superseded.
    ///
    /// The reply itself waits in its buffer and not here: whatever is kept here can be given up for other replies.
    pub fn delay(&mut self, handle: RequestHandle) -> bool {
        let current = self.is_with_worker(handle);
        if current {
            self.entries[handle.entry as usize].progress = Progress::Delayed;
        }
        current
    }

    /// Notes that a delayed reply goes; it stands for the dedup lifetime from `now`.
    pub fn release(&mut self, handle: RequestHandle, reply: &[u8], now: Instant) -> Kept {
        let entry = &self.entries[handle.entry as usize];
        if entry.generation == handle.generation && matches!(entry.progress, Progress::Delayed) {
            self.end(handle.entry, Some(reply), now)
        } else {
            Kept::Superseded
        }
    }

    /// Forgets a request that ends without a reply, so that its retransmission starts anew; false if it was superseded.
    pub fn forget(&mut self, handle: RequestHandle) -> bool {
        let current = self.is_with_worker(handle);
        if current {
            self.free_entry(handle.entry);
        }
        current
    }

    /// The reply kept under a handle, and where its NAS is to get it.
    pub fn reply(&self, handle: RequestHandle) -> Option<&[u8]> {
        let entry = self.entries.get(handle.entry as usize)?;
        match &entry.progress {
            Progress::Answered { reply: Some(reply), .. } if entry.generation == handle.generation => {
                Some(self.replies.octets(reply))
            }
            Progress::Answered { .. } | Progress::Free | Progress::WithWorker { .. } | Progress::Delayed => {
                None
            }
        }
    }

    /// The number of the message that told its worker of it last, itself or a duplicate (0: none has), to be set to the next.
    pub fn last_message(&mut self, handle: RequestHandle) -> Option<&mut u64> {
        match &mut self.entries[handle.entry as usize].progress {
            Progress::WithWorker { last_message, .. } => Some(last_message),
            Progress::Free | Progress::Delayed | Progress::Answered { .. } => None,
        }
    }

    /// Notes that the request is in the message of this number to its worker, and how many requests went there before it.
    pub fn sent(&mut self, handle: RequestHandle, number: u64, requests_before: u64) {
        if let Progress::WithWorker { last_message, before, .. } =
            &mut self.entries[handle.entry as usize].progress
        {
            (*last_message, *before) = (number, requests_before as u32);
        }
    }

    /// Notes that another worker has the request from now on.
    pub fn pass_on(&mut self, handle: RequestHandle, to: WorkerId) {
        if let Progress::WithWorker { worker, .. } = &mut self.entries[handle.entry as usize].progress {
            *worker = to;
        }
    }

    /// Whether a request is under way: a worker has it, or its reject waits.
    pub fn is_open(&self, handle: RequestHandle) -> bool {
        let entry = &self.entries[handle.entry as usize];
        entry.generation == handle.generation
            && matches!(entry.progress, Progress::WithWorker { .. } | Progress::Delayed)
    }

    /// Forgets whatever is known under a key, its reply too. Gives its handle and its worker, if one has it.
    pub fn forget_key(&mut self, key: &Key) -> Option<(RequestHandle, WorkerId)> {
        let place = self.find(key)?;
        let entry = &self.entries[place as usize];
        let handle = RequestHandle { entry: place, generation: entry.generation, life: self.life };
        let with_worker = match entry.progress {
            Progress::WithWorker { worker, .. } => Some((handle, worker)),
            Progress::Free | Progress::Delayed | Progress::Answered { .. } => None,
        };
        self.retire(place);
        self.free_entry(place);
        with_worker
    }

    /// Forgets the requests that died with a worker which had taken up the first `taken` of all that were given to it, and says
    /// how many there were, and of each what it was told by, and by which stream it came if it did. Looks at all entries: a
    /// worker hardly ever dies.
    pub fn forget_lost(
        &mut self,
        dead: WorkerId,
        taken: u64,
        mut each: impl FnMut(&Authenticator, Option<StreamId>),
    ) -> u64 {
        let mut lost = 0;
        for place in 0..self.entries.len() as u32 {
            if let Progress::WithWorker { worker, before, .. } = self.entries[place as usize].progress
                && worker == dead
                // Modulo 2³²: far fewer are with a worker at once.
                && (taken as u32).wrapping_sub(before).wrapping_sub(1) < 1 << 31
            {
                if !seeded::is(Bug::OrphansKeepTheirEntry) {
                    self.free_entry(place);
                }
                lost += 1;
                let entry = &self.entries[place as usize];
                each(&entry.request_authenticator, entry.key.stream());
            }
        }
        lost
    }

    /// What each request that a worker has is told by. Looks at all entries.
    pub fn for_each_with_worker(&self, mut each: impl FnMut(&Authenticator)) {
        let with_worker = |entry: &&Entry| matches!(entry.progress, Progress::WithWorker { .. });
        self.entries.iter().filter(with_worker).for_each(|entry| each(&entry.request_authenticator));
    }

    /// What the request of this name was told by, or the one that has its place now.
    pub fn told_by(&self, handle: RequestHandle) -> &Authenticator {
        &self.entries[handle.entry as usize].request_authenticator
    }

    /// How many replies are kept.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// Forgets up to `budget` replies whose lifetime is over.
    pub fn expire(&mut self, now: Instant, budget: usize) {
        let mut left = budget;
        for list in [List::AnsweredSigned, List::AnsweredUnsigned] {
            while let Some(place) = self.lists.front(list)
                && left > 0
                && self.entries[place as usize].expires().is_some_and(|expires| expires <= now)
            {
                self.retire(place);
                self.free_entry(place);
                left -= 1;
            }
        }
    }

    /// When the next kept reply expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        let expires = |list| self.lists.front(list).and_then(|place| self.entries[place as usize].expires());
        [expires(List::AnsweredSigned), expires(List::AnsweredUnsigned)].into_iter().flatten().min()
    }

    /// How many requests and replies are live.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.index.find(key.hash(), |place| self.entries[place as usize].key == *key)
    }

    /// Whether a worker has the request, which was not superseded.
    pub fn is_with_worker(&self, handle: RequestHandle) -> bool {
        let entry = &self.entries[handle.entry as usize];
        entry.generation == handle.generation && matches!(entry.progress, Progress::WithWorker { .. })
    }

    /// A new entry for a key that has none; there is room.
    fn claim(&mut self, key: &Key) -> u32 {
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize].key = *key;
                place
            }
            None => {
                self.entries.push(Entry::new(*key));
                (self.entries.len() - 1) as u32
            }
        };
        self.index.insert(key.hash(), place).expect("an entry is claimed only where there is room");
        place
    }

    /// An entry that is on no list has its reply, or none, from now on.
    fn end(&mut self, place: u32, reply: Option<&[u8]>, now: Instant) -> Kept {
        let signed = self.entries[place as usize].key.signed();
        let reply = reply.and_then(|octets| self.keep(octets, place, signed));
        let kept = if reply.is_some() { Kept::Reply } else { Kept::Nothing };
        self.entries[place as usize].progress = Progress::Answered { reply, expires: now + self.lifetime };
        self.lists.append(&mut self.entries, List::answered(signed), place);
        self.answered += 1;
        kept
    }

    /// Drops an entry's reply and takes it off its list; it stays in the index.
    fn retire(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        let signed = entry.key.signed();
        let progress = core::mem::replace(&mut entry.progress, Progress::Free);
        if let Progress::Answered { reply, .. } = progress {
            self.lists.remove(&mut self.entries, List::answered(signed), place);
            self.answered -= 1;
            if let Some(reply) = reply {
                self.replies.forget(reply, signed);
            }
        }
    }

    /// Takes an entry that is on no list out of the index.
    fn free_entry(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        entry.progress = Progress::Free;
        self.index.remove(entry.key.hash(), place);
        self.free.push(place);
    }

    /// Keeps a reply for an entry, if need be in the place of an older one or, where none of the oldest had as much room,
    /// of all that share a page. A reply to a signed request so always finds room, one to an unsigned request unless there
    /// are replies to signed ones in every page.
    fn keep(&mut self, reply: &[u8], owner: u32, for_signed: bool) -> Option<StoredReply> {
        if let Some(stored) = self.replies.keep(reply, owner, for_signed) {
            return Some(stored);
        }
        let has_room = |entry: &Entry| match &entry.progress {
            Progress::Answered { reply: Some(older), .. } => self.replies.fits(reply.len(), older),
            Progress::Answered { .. } | Progress::Free | Progress::WithWorker { .. } | Progress::Delayed => {
                false
            }
        };
        let place = self
            .oldest(for_signed)
            .take(EVICTION_LOOKS_MAX)
            .find(|place| has_room(&self.entries[*place as usize]));
        match place {
            Some(place) => self.evict(place),
            None => {
                let page = self.replies.page_to_clear(for_signed)?;
                for chunk in 0..CHUNKS_MAX {
                    if let Some(place) = self.replies.owner(page, chunk) {
                        self.evict(place);
                    }
                }
            }
        }
        self.replies.keep(reply, owner, for_signed)
    }

    /// The answered requests that may be given up, oldest first: unsigned ones, then for a signed request signed ones.
    fn oldest(&self, for_signed: bool) -> impl Iterator<Item = u32> {
        let unsigned = self.lists.walk(&self.entries, List::AnsweredUnsigned);
        let signed = self.lists.walk(&self.entries, List::AnsweredSigned);
        unsigned.chain(signed.filter(move |_| for_signed))
    }

    /// Gives an answered request up before its time.
    fn evict(&mut self, place: u32) {
        self.retire(place);
        self.free_entry(place);
        self.evicted += 1;
    }

    /// Counts on from what was given up before.
    pub fn count_evicted(&mut self, before: u64) {
        self.evicted += before;
    }

    /// How many answered requests were given up before their time, for want of entries or of memory for replies.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{ListenerId, Path, SocketId, Via};
    use alloc::vec;
    use proptest::prelude::*;

    const LIFETIME: Duration = Duration::from_secs(10);
    const WORKER: WorkerId = WorkerId(3);

    fn table(entries_max: usize) -> Dedup {
        Dedup::new(Life(0), entries_max, 1 << 20, LIFETIME, &Seed::new([5; 32]))
    }

    fn key(port: u16, identifier: u8, signed: bool) -> Key {
        let path = Path {
            via: Via::Socket(SocketId(0)),
            listener: ListenerId(0),
            local: "192.0.2.1:1812".parse().unwrap(),
            remote: core::net::SocketAddr::new("198.51.100.7".parse().unwrap(), port),
        };
        // The hash is by the seed, which all tables here share.
        table(1).key(&path, 1, identifier, signed, 0)
    }

    fn seconds(n: u64) -> Instant {
        Instant::from_nanoseconds(n * 1_000_000_000)
    }

    fn answered(dedup: &mut Dedup, key: &Key, authenticator: u8, now: Instant) -> RequestHandle {
        let handle = dedup.begin(key, None, &[authenticator; 16], WORKER).unwrap();
        assert_eq!(dedup.answer(handle, Some(b"reply"), now), Kept::Reply);
        handle
    }

    #[test]
    fn exact_duplicate_finds_the_kept_reply() {
        let mut dedup = table(8);
        assert_eq!(dedup.look_up(&key(1, 9, true), &[1; 16]), Seen::Fresh);
        let handle = dedup.begin(&key(1, 9, true), None, &[1; 16], WORKER).unwrap();
        assert_eq!(dedup.look_up(&key(1, 9, true), &[1; 16]), Seen::InProgress(handle, WORKER));
        assert_eq!(dedup.answer(handle, Some(b"reply"), seconds(1)), Kept::Reply);
        assert_eq!(dedup.look_up(&key(1, 9, true), &[1; 16]), Seen::Answered(handle));
        assert_eq!(dedup.reply(handle), Some(&b"reply"[..]));
    }

    #[test]
    fn another_port_identifier_or_signature_is_another_request() {
        let mut dedup = table(8);
        answered(&mut dedup, &key(1, 9, true), 1, seconds(0));
        for other in [key(2, 9, true), key(1, 8, true), key(1, 9, false)] {
            assert_eq!(dedup.look_up(&other, &[1; 16]), Seen::Fresh, "{other:?}");
        }
    }

    #[test]
    fn a_new_authenticator_supersedes_and_makes_the_old_handle_stale() {
        let mut dedup = table(8);
        let old = dedup.begin(&key(1, 9, true), None, &[1; 16], WORKER).unwrap();
        assert_eq!(dedup.look_up(&key(1, 9, true), &[2; 16]), Seen::Superseding(old, Some(WORKER)));
        let new = dedup.begin(&key(1, 9, true), Some(old), &[2; 16], WORKER).unwrap();
        assert_eq!(dedup.answer(old, Some(b"late"), seconds(1)), Kept::Superseded);
        assert!(!dedup.forget(old));
        assert_eq!(dedup.answer(new, Some(b"reply"), seconds(1)), Kept::Reply);
        assert_eq!(dedup.len(), 1);
    }

    #[test]
    fn a_delayed_reply_is_not_given_out_before_it_is_released() {
        let mut dedup = table(8);
        let handle = dedup.begin(&key(1, 9, true), None, &[1; 16], WORKER).unwrap();
        assert!(dedup.delay(handle));
        assert_eq!(dedup.look_up(&key(1, 9, true), &[1; 16]), Seen::Delayed);
        assert_eq!(dedup.reply(handle), None);
        assert_eq!(dedup.release(handle, b"reject", seconds(1)), Kept::Reply);
        assert_eq!(dedup.release(handle, b"reject", seconds(1)), Kept::Superseded);
        assert_eq!(dedup.reply(handle), Some(&b"reject"[..]));
    }

    #[test]
    fn replies_expire_after_their_lifetime_and_no_sooner() {
        let mut dedup = table(8);
        answered(&mut dedup, &key(1, 1, true), 1, seconds(0));
        answered(&mut dedup, &key(1, 2, false), 1, seconds(3));
        assert_eq!(dedup.next_expiry(), Some(seconds(10)));
        dedup.expire(seconds(9), 100);
        assert_eq!(dedup.len(), 2);
        dedup.expire(seconds(10), 100);
        assert_eq!((dedup.len(), dedup.next_expiry()), (1, Some(seconds(13))));
        dedup.expire(seconds(13), 100);
        assert!(dedup.is_empty());
        assert_eq!(dedup.next_expiry(), None);
    }

    #[test]
    fn a_full_table_gives_unsigned_replies_up_first_and_signed_ones_only_for_signed_requests() {
        let mut dedup = table(2);
        answered(&mut dedup, &key(1, 1, true), 1, seconds(0));
        answered(&mut dedup, &key(1, 2, false), 1, seconds(1));
        dedup.begin(&key(1, 3, false), None, &[1; 16], WORKER).unwrap();
        assert_eq!(dedup.evicted(), 1);
        assert_eq!(dedup.look_up(&key(1, 2, false), &[1; 16]), Seen::Fresh);
        // The unsigned request in progress cannot be given up, the signed reply not for an unsigned request.
        assert_eq!(dedup.begin(&key(1, 4, false), None, &[1; 16], WORKER), Err(Full(())));
        dedup.begin(&key(1, 5, true), None, &[1; 16], WORKER).unwrap();
        assert_eq!(dedup.evicted(), 2);
        assert_eq!(dedup.look_up(&key(1, 1, true), &[1; 16]), Seen::Fresh);
    }

    #[test]
    fn what_died_with_a_worker_is_forgotten_and_what_it_had_not_taken_up_is_not() {
        let mut dedup = table(8);
        // Numbers of requests pass 2³² sooner or later.
        let first = (1 << 32) - 2;
        let handles: Vec<_> = (0..4)
            .map(|n| {
                let handle = dedup.begin(&key(1, n, true), None, &[1; 16], WORKER).unwrap();
                dedup.sent(handle, 1, first + u64::from(n));
                handle
            })
            .collect();
        let elsewhere = dedup.begin(&key(1, 4, true), None, &[1; 16], WorkerId(1)).unwrap();
        assert_eq!(dedup.answer(handles[0], Some(b"reply"), seconds(1)), Kept::Reply);
        assert_eq!(dedup.forget_lost(WORKER, first + 3, |_, stream| assert_eq!(stream, None)), 2);
        assert_eq!(dedup.look_up(&key(1, 1, true), &[1; 16]), Seen::Fresh);
        assert_eq!(dedup.look_up(&key(1, 2, true), &[1; 16]), Seen::Fresh);
        assert_eq!(dedup.look_up(&key(1, 3, true), &[1; 16]), Seen::InProgress(handles[3], WORKER));
        assert_eq!(dedup.look_up(&key(1, 4, true), &[1; 16]), Seen::InProgress(elsewhere, WorkerId(1)));
        assert_eq!(dedup.answered(), 1);
    }

    #[test]
    fn a_request_that_ends_without_reply_is_forgotten() {
        let mut dedup = table(2);
        let handle = dedup.begin(&key(1, 1, true), None, &[1; 16], WORKER).unwrap();
        assert!(dedup.forget(handle));
        assert_eq!(dedup.look_up(&key(1, 1, true), &[1; 16]), Seen::Fresh);
        assert_eq!(dedup.answer(handle, Some(b"late"), seconds(1)), Kept::Superseded);
    }

    #[test]
    fn an_older_reply_makes_room_for_a_new_one_and_only_where_it_helps() {
        // One page: sixteen replies of the longest class.
        let mut dedup = Dedup::new(Life(0), 64, 1, LIFETIME, &Seed::new([5; 32]));
        let mut answer = |identifier, signed, octets: usize| {
            let key = key(1, identifier, signed);
            let handle = dedup.begin(&key, None, &[1; 16], WORKER).unwrap();
            let kept = dedup.answer(handle, Some(&vec![identifier; octets]), seconds(0));
            (kept, dedup.evicted())
        };
        for identifier in 0..16 {
            assert_eq!(answer(identifier, identifier != 7, 4000), (Kept::Reply, 0));
        }
        assert_eq!(answer(16, true, 4000), (Kept::Reply, 1), "the unsigned one goes first");
        assert_eq!(answer(17, false, 20), (Kept::Nothing, 1), "no signed one goes for an unsigned one");
        assert_eq!(answer(18, true, 20), (Kept::Reply, 2));
        assert_eq!(dedup.look_up(&key(1, 7, false), &[1; 16]), Seen::Fresh);
        assert_eq!(dedup.look_up(&key(1, 0, true), &[1; 16]), Seen::Fresh);
    }

    proptest! {
        #[test]
        fn a_signed_reply_always_finds_room_and_whatever_goes_for_it_is_counted(
            answers in proptest::collection::vec((any::<bool>(), 0usize..7, 1usize..=64), 1..400),
        ) {
            // One page for all seven classes.
            let mut dedup = Dedup::new(Life(0), 1024, 1, LIFETIME, &Seed::new([5; 32]));
            let mut kept: Vec<(Key, RequestHandle, Vec<u8>)> = Vec::new();
            let mut gone = 0;
            for (n, (signed, class, length)) in answers.into_iter().enumerate() {
                let (key, octets) = (key(n as u16, 0, signed), vec![n as u8; length << class]);
                let handle = dedup.begin(&key, None, &[1; 16], WORKER).unwrap();
                if n % 2 == 0 {
                    prop_assert!(dedup.delay(handle));
                }
                let how = if n % 2 == 0 {
                    dedup.release(handle, &octets, seconds(n as u64))
                } else {
                    dedup.answer(handle, Some(&octets), seconds(n as u64))
                };
                prop_assert!(how == Kept::Reply || !signed);
                let before = kept.len();
                let mut lost_signed = 0;
                kept.retain(|(key, handle, octets)| match dedup.look_up(key, &[1; 16]) {
                    Seen::Fresh => {
                        lost_signed += usize::from(key.signed());
                        false
                    }
                    seen @ (Seen::InProgress(..) | Seen::Delayed | Seen::Answered(_) | Seen::Superseding(..)) => {
                        assert_eq!(seen, Seen::Answered(*handle));
                        assert_eq!(dedup.reply(*handle), Some(&octets[..]));
                        true
                    }
                });
                // With none of a signed request in the page, an unsigned one's finds room, too.
                let has_signed = kept.iter().any(|(key, ..)| key.signed());
                prop_assert!(how == Kept::Reply || has_signed);
                gone += before - kept.len();
                prop_assert!(signed || lost_signed == 0, "an unsigned reply pushed {lost_signed} signed ones out");
                prop_assert_eq!(dedup.evicted(), gone as u64);
                if how == Kept::Reply {
                    prop_assert_eq!(dedup.reply(handle), Some(&octets[..]));
                    kept.push((key, handle, octets));
                }
            }
        }
    }
}
