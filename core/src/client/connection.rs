//! The connections of dynamic clients in one network core: which client speaks there, and until when.
//!
//! A client behind a NAT is known by its connection, that is by both addresses and both ports; any other dynamic client by its
//! source address. Memory for all that there may be is taken at start. An end comes exactly on time: when nothing was heard for
//! the idle time-out, or when the client's answer has expired.

use super::dynamic::DynamicClient;
use super::limits::Permit;
use crate::deadlines::Deadlines;
use crate::generation::Generation;
use crate::network::connected::OwnSocket;
use crate::path::Path;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::table::{Full, Index, KeyHash};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// The connections of one network core.
pub struct Connections {
    index: Index,
    places: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// When to look at each: it may have been heard since, and then stays.
    deadlines: Deadlines,
    bound: usize,
}

/// What a worker says who admits a client: yes, add this one.
#[derive(Debug)]
pub struct Admission(Box<Admitted>);

#[derive(Debug)]
struct Admitted {
    client: Arc<DynamicClient>,
    permit: Permit,
}

/// A connection, and who speaks there.
pub struct Connection {
    key: ConnectionKey,
    hash: KeyHash,
    client: Arc<DynamicClient>,
    /// When it was heard last, signed.
    heard: Instant,
    /// Under which configuration it was seen last that rules decide about its address.
    pub checked: Generation,
    /// The socket of its own that was asked for.
    pub own_socket: Option<OwnSocket>,
    _permit: Permit,
}

/// What a dynamic client is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionKey {
    Connection { local: SocketAddr, remote: SocketAddr },
    Address(IpAddr),
}

impl ConnectionKey {
    fn octets(&self) -> [u8; 37] {
        let mut octets = [0; 37];
        let mut put = |at: usize, address: IpAddr| match address {
            IpAddr::V4(v4) => octets[at..at + 4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => octets[at..at + 16].copy_from_slice(&v6.octets()),
        };
        match self {
            ConnectionKey::Connection { local, remote } => {
                put(0, remote.ip());
                put(16, local.ip());
                octets[32..34].copy_from_slice(&remote.port().to_be_bytes());
                octets[34..36].copy_from_slice(&local.port().to_be_bytes());
                octets[36] = 1;
            }
            ConnectionKey::Address(address) => put(0, *address),
        }
        octets
    }
}

impl Admission {
    /// Of this client, whose connection is counted.
    pub(super) fn new(client: Arc<DynamicClient>, permit: Permit) -> Admission {
        Admission(Box::new(Admitted { client, permit }))
    }

    /// Who is admitted.
    pub fn client(&self) -> &Arc<DynamicClient> {
        &self.0.client
    }

    /// The same, and what its connection is counted by: for one that is a stream.
    pub(crate) fn into_parts(self) -> (Arc<DynamicClient>, Permit) {
        let Admitted { client, permit } = *self.0;
        (client, permit)
    }
}

impl Connections {
    /// For at most `bound` of them.
    pub fn new(bound: usize, seed: &Seed) -> Connections {
        Connections {
            index: Index::new(bound, &seed.fork("connections")),
            places: Vec::with_capacity(bound),
            free: Vec::with_capacity(bound),
            deadlines: Deadlines::new(bound),
            bound,
        }
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.index.len()
    }

    /// The place of the connection that a packet came by: its own, or else its source address's.
    #[inline]
    pub fn find(&self, path: &Path) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let (local, remote) = (path.local, path.remote);
        let own = ConnectionKey::Connection { local, remote };
        self.find_key(&own).or_else(|| self.find_key(&ConnectionKey::Address(remote.ip())))
    }

    fn find_key(&self, key: &ConnectionKey) -> Option<u32> {
        let is_it = |place: u32| self.places[place as usize].as_ref().is_some_and(|there| there.key == *key);
        self.index.find(self.index.hash(&key.octets()), is_it)
    }

    /// The connection of this place, if there is one.
    pub fn get(&mut self, place: u32) -> Option<&mut Connection> {
        self.places.get_mut(place as usize).and_then(Option::as_mut)
    }

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// The connection of a place that was found.
    pub fn at(&mut self, place: u32) -> &mut Connection {
        self.places[place as usize].as_mut().expect("what is in the index is there")
    }

    /// Adds a connection, or gives it to another client, with the socket that it has: its place.
    ///
    /// # Errors
    /// `Full` when there are as many as may be.
    pub fn admit(
        &mut self,
        path: &Path,
        admission: Admission,
        generation: Generation,
        now: Instant,
    ) -> Result<u32, Full<()>> {
        let Admitted { client, permit } = *admission.0;
        let (local, remote) = (path.local, path.remote);
        let is_by_connection = client.is_behind_nat() || seeded::is(Bug::AddressClientByConnection);
        let key = if is_by_connection && !seeded::is(Bug::ClientByAddressBehindNat) {
            ConnectionKey::Connection { local, remote }
        } else {
            ConnectionKey::Address(remote.ip())
        };
        if let ConnectionKey::Address(_) = key
            && let Some(own) = self.find_key(&ConnectionKey::Connection { local, remote })
        {
            // It would be found first.
            self.end(own);
        }
        let (due, hash) = (ends(&client, now), self.index.hash(&key.octets()));
        let place = match self.find_key(&key) {
            Some(place) if seeded::is(Bug::PortReuseKeepsTheOldClient) => return Ok(place),
            Some(place) => place,
            None if self.index.len() == self.bound => return Err(Full(())),
            None => {
                let place = self.free.pop().unwrap_or_else(|| {
                    self.places.push(None);
                    self.places.len() as u32 - 1
                });
                self.index.insert(hash, place).expect("there are fewer than may be");
                place
            }
        };
        let at = &mut self.places[place as usize];
        let own_socket = at.as_ref().and_then(|before| before.own_socket);
        let checked = generation;
        *at = Some(Connection { key, hash, client, heard: now, checked, own_socket, _permit: permit });
        self.deadlines.set(place, due);
        Ok(place)
    }

    /// Ends a connection.
    pub fn end(&mut self, place: u32) -> Connection {
        let connection = self.places[place as usize].take().expect("what ends is there");
        self.index.remove(connection.hash, place);
        self.deadlines.remove(place);
        self.free.push(place);
        connection
    }

    /// When to [look](Connections::expire) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// Ends a connection whose time has come, if there is one. Looks at no more than `budget` of them.
    pub fn expire(&mut self, now: Instant, budget: &mut usize) -> Option<Connection> {
        while let Some((due, place)) = self.deadlines.next()
            && due <= now
            && *budget > 0
        {
            *budget -= 1;
            let connection = self.at(place);
            let due = ends(&connection.client, connection.heard);
            if due <= now || connection.client.is_over(now) {
                if seeded::is(Bug::SiblingsEndTogether) {
                    (0..self.places.len() as u32)
                        .filter(|other| *other != place && self.places[*other as usize].is_some())
                        .collect::<Vec<_>>()
                        .into_iter()
                        .for_each(|other| drop(self.end(other)));
                }
                return Some(self.end(place));
            }
            self.deadlines.set(place, due);
        }
        None
    }
}

impl Connection {
    /// Who speaks there.
    pub fn client(&self) -> &Arc<DynamicClient> {
        &self.client
    }

    /// Its ends: the remote one, and ours unless any packet from that address is the client's.
    pub fn ends(&self) -> (SocketAddr, Option<SocketAddr>) {
        match self.key {
            ConnectionKey::Connection { local, remote } => (remote, Some(local)),
            ConnectionKey::Address(address) => (SocketAddr::new(address, 0), None),
        }
    }

    /// When it was heard last, signed.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// A signed packet has come by it.
    #[inline]
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Whether its time is over, also if nobody has looked yet.
    #[inline]
    pub fn is_over(&self, now: Instant) -> bool {
        self.client.is_over(now) || self.heard + self.client.idle_timeout() <= now
    }
}

/// When a connection ends that was heard last at that time.
fn ends(client: &DynamicClient, heard: Instant) -> Instant {
    (heard + client.idle_timeout()).min(client.expires())
}
