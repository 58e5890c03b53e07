//! One remembered request, what it is told by, and the lists that order entries by time.

use super::reply_store::StoredReply;
use crate::path::{Path, StreamId, Via, WorkerId};
use crate::seeded::{self, Bug};
use crate::table::{Index, KeyHash};
use crate::time::Instant;

use core::net::SocketAddr;
use core::num::NonZeroU32;

/// The 16 octets of a Request Authenticator.
pub type Authenticator = [u8; 16];

const KEY_OCTETS: usize = 51;

/// What requests are told apart by: both addresses and ports, code, Identifier, signed or not; and where a connection can change
/// hands, who had it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    octets: [u8; KEY_OCTETS],
    hash: KeyHash,
}

impl Key {
    /// The key of a request that came this way, with its hash in this index.
    pub(super) fn new(
        path: &Path,
        code: u8,
        identifier: u8,
        signed: bool,
        definition: u32,
        index: &Index,
    ) -> Self {
        let mut octets = [0; KEY_OCTETS];
        write_address(&mut octets[..22], path.remote);
        let definition = match path.via {
            Via::Socket(_) => {
                write_address(&mut octets[22..44], path.local);
                definition
            }
            // RFC 6613 §2.6 and §2.6.1: another transport is another connection, and so is the next stream of the same addresses.
            // A stream is one client's.
            Via::Stream(stream) => {
                octets[22..34].fill(NO_ADDRESS);
                octets[34..38].copy_from_slice(&stream.place.to_le_bytes());
                octets[38..42].copy_from_slice(&stream.generation.get().to_le_bytes());
                0
            }
        };
        if seeded::is(Bug::DedupKeyWithoutPort) {
            octets[16..18].fill(0);
        }
        octets[44] = code;
        octets[45] = identifier;
        octets[46] = u8::from(signed);
        octets[47..].copy_from_slice(&definition.to_le_bytes());
        Key { octets, hash: index.hash(&octets) }
    }

    /// Whether the request was verified.
    pub fn signed(&self) -> bool {
        self.octets[46] != 0
    }

    pub(super) fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The stream that the request came by, if it did.
    pub(super) fn stream(&self) -> Option<StreamId> {
        if self.octets[22..34] != [NO_ADDRESS; 12] {
            return None;
        }
        let number = |at: usize| u32::from_le_bytes(*self.octets[at..].first_chunk().expect("it is longer"));
        Some(StreamId { place: number(34), generation: NonZeroU32::new(number(38))? })
    }
}

/// No datagram comes to an address that begins so: none is a multicast address.
const NO_ADDRESS: u8 = 0xff;

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key(code {}, Identifier {}, signed {})", self.octets[44], self.octets[45], self.signed())
    }
}

/// Address, port and, where a link-local address needs it, scope: 22 octets.
fn write_address(out: &mut [u8], address: SocketAddr) {
    let (octets, scope) = match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped().octets(), 0),
        SocketAddr::V6(v6) => (v6.ip().octets(), v6.scope_id()),
    };
    out[..16].copy_from_slice(&octets);
    out[16..18].copy_from_slice(&address.port().to_be_bytes());
    out[18..22].copy_from_slice(&scope.to_be_bytes());
}

/// How far a request is.
#[derive(Debug)]
pub(super) enum Progress {
    /// The entry is not in use.
    Free,
    /// A worker has it.
    WithWorker {
        worker: WorkerId,
        /// The number of the message that told the worker of it last: of itself, or of a duplicate.
        last_message: u64,
        /// How many requests had been given to the worker before this one, modulo 2³².
        before: u32,
    },
    /// Its reject waits, elsewhere.
    Delayed,
    /// It was answered.
    Answered { reply: Option<StoredReply>, expires: Instant },
}

/// One entry of the slab.
pub(super) struct Entry {
    pub key: Key,
    pub generation: u32,
    pub request_authenticator: Authenticator,
    pub progress: Progress,
    /// Neighbours on the list of answered requests that the entry is on.
    before: u32,
    after: u32,
}

impl Entry {
    /// One that nothing is in yet, about to be that of this key.
    pub fn new(key: Key) -> Self {
        Entry {
            key,
            generation: 0,
            request_authenticator: [0; 16],
            progress: Progress::Free,
            before: NONE,
            after: NONE,
        }
    }

    pub fn expires(&self) -> Option<Instant> {
        match self.progress {
            Progress::Answered { expires, .. } => Some(expires),
            Progress::Free | Progress::WithWorker { .. } | Progress::Delayed => None,
        }
    }
}

/// No neighbour.
const NONE: u32 = u32::MAX;

/// The lists, each in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    AnsweredSigned,
    AnsweredUnsigned,
}

impl List {
    pub fn answered(signed: bool) -> List {
        if signed { List::AnsweredSigned } else { List::AnsweredUnsigned }
    }
}

/// First and last entry of each list.
#[derive(Debug)]
pub(super) struct Lists([(u32, u32); 2]);

impl Default for Lists {
    fn default() -> Self {
        Lists([(NONE, NONE); 2])
    }
}

impl Lists {
    /// The oldest of a list.
    pub fn front(&self, list: List) -> Option<u32> {
        let front = self.0[list as usize].0;
        (front != NONE).then_some(front)
    }

    /// All of a list, oldest first.
    pub fn walk<'e>(&self, entries: &'e [Entry], list: List) -> impl Iterator<Item = u32> + use<'e> {
        core::iter::successors(self.front(list), |&place| {
            let after = entries[place as usize].after;
            (after != NONE).then_some(after)
        })
    }

    /// Puts an entry that is on no list at the end of this one.
    pub fn append(&mut self, entries: &mut [Entry], list: List, place: u32) {
        let (front, back) = &mut self.0[list as usize];
        entries[place as usize].before = *back;
        entries[place as usize].after = NONE;
        match *back {
            NONE => *front = place,
            last => entries[last as usize].after = place,
        }
        *back = place;
    }

    /// Takes an entry off the list that it is on.
    pub fn remove(&mut self, entries: &mut [Entry], list: List, place: u32) {
        let (front, back) = &mut self.0[list as usize];
        let (before, after) = (entries[place as usize].before, entries[place as usize].after);
        match before {
            NONE => *front = after,
            before => entries[before as usize].after = after,
        }
        match after {
            NONE => *back = before,
            after => entries[after as usize].before = before,
        }
    }
}
