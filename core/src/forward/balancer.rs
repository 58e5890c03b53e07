//! Which of a pool's remote servers a new conversation goes to. RFC 2865 §2.3, §2.5.
//!
//! Of those that are alive, or half-open and to be tried now, one is chosen as the pool's balance says; of those that are suspected
//! if there is no other; never of those that are dead. A conversation that has been decided about is none of this file's business.
//!
//! A hash is by weighted rendezvous: each server draws a number for each key, the best one has it. So when one dies only its own
//! keys move, each to the next best, and when it is back they return. The draw of a server with weight w is the greatest of w
//! draws, so to speak, which is −log(u)/w for one number u, the least the best; computed in whole numbers, as in no decision an
//! operating system's logarithm has a say. Keys are hashed with a secret, and servers by their names: whoever writes User-Names
//! does not choose the server, and an order in the configuration does not move keys.

use super::{Balance, Pool, RemoteServerId, Standing};
use crate::attributes::{Scratch, Walk};
use crate::dictionary::Dictionary;
use crate::packet::Attributes;
use crate::policy::Selector;
use crate::seed::KeyedHash;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::hash::{BuildHasher, Hasher};

/// What one worker remembers of how it has chosen from a pool.
#[derive(Debug)]
pub struct Balancer {
    /// By member: how much it lacks to its share, in weights.
    lacks: Vec<i64>,
    /// By member: how it stands, for the one choice.
    standings: Vec<Standing>,
    /// Of all workers the same.
    hasher: KeyedHash,
}

/// What is chosen by, of the remote servers that there are.
pub trait Servers {
    /// How it is to be treated now.
    fn standing(&self, server: RemoteServerId) -> Standing;
    /// Whether this very request may try it, which is half-open: asked only for the one that would be chosen.
    fn claim_trial(&self, server: RemoteServerId) -> bool;
    /// How many requests wait for its answer.
    fn outstanding(&self, server: RemoteServerId) -> u32;
    /// The operator's name for it.
    fn name(&self, server: RemoteServerId) -> &str;
}

/// What a hash is over, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Balancer {
    /// For this pool. The secret of the hash is the same for all workers: else each would send a key elsewhere.
    pub fn new(pool: &Pool, hasher: KeyedHash) -> Balancer {
        let members = pool.members.len();
        Balancer { lacks: vec![0; members], standings: vec![Standing::Dead; members], hasher }
    }

    /// The key of a request, which is over the first value of each of these attributes; that it has none of one counts, too, so
    /// requests that have none at all have one key.
    pub fn key(
        &self,
        dictionary: &Dictionary,
        hash_by: &[Selector],
        attributes: Attributes<'_>,
        scratch: &mut Scratch,
    ) -> Key {
        let mut hasher = self.hasher.build_hasher();
        for selector in hash_by {
            let item = Walk::new(dictionary, attributes, scratch).find(|item| selector.selects(item));
            hash_value(&mut hasher, item.map(|item| item.value));
        }
        Key(hasher.finish())
    }

    // Checklist 51, 53
    /// Chooses for a new conversation, but none of those excluded: it has failed there, or came from there. `None`: no other is alive.
    /// The [key](Balancer::key) is asked for where the balance is a hash.
    ///
    /// # Panics
    /// If it is another pool than the one that this was made for.
    pub fn choose(
        &mut self,
        pool: &Pool,
        key: impl FnOnce(&Balancer) -> Key,
        excluded: &[RemoteServerId],
        servers: &impl Servers,
    ) -> Option<RemoteServerId> {
        assert!(pool.members.len() == self.lacks.len(), "a pool has a balancer of its own");
        for (standing, member) in self.standings.iter_mut().zip(&pool.members) {
            let is_excluded = excluded.contains(&member.server);
            *standing = if is_excluded { Standing::Dead } else { servers.standing(member.server) };
        }
        let key = match pool.balance {
            Balance::Hash => key(self),
            Balance::Failover | Balance::RoundRobin | Balance::LeastOutstanding => Key(0),
        };
        while let Some(place) = self.best(pool, key, servers) {
            let server = pool.members[place].server;
            if self.standings[place] != Standing::HalfOpen || servers.claim_trial(server) {
                self.count(pool, place);
                return Some(server);
            }
            self.standings[place] = Standing::Dead;
        }
        None
    }

    fn best(&self, pool: &Pool, key: Key, servers: &impl Servers) -> Option<usize> {
        let weight = |place: &usize| u128::from(pool.members[*place].weight.max(1));
        let turn = |place: &usize| Reverse(self.lacks[*place] + i64::from(pool.members[*place].weight));
        let mut candidates = self.candidates();
        match pool.balance {
            Balance::Failover => candidates.next(),
            Balance::RoundRobin => candidates.min_by_key(turn),
            Balance::LeastOutstanding => {
                let load =
                    |place: usize| (u128::from(servers.outstanding(pool.members[place].server)), place);
                let least = candidates.map(load).min_by(|(one, here), (other, there)| {
                    (one * weight(there))
                        .cmp(&(other * weight(here)))
                        .then_with(|| turn(here).cmp(&turn(there)))
                });
                least.map(|(_, place)| place)
            }
            Balance::Hash => {
                let draw = |place: usize| (self.draw(key, servers.name(pool.members[place].server)), place);
                let least = candidates
                    .map(draw)
                    .min_by(|(one, here), (other, there)| (one * weight(there)).cmp(&(other * weight(here))));
                least.map(|(_, place)| place)
            }
        }
    }

    /// Those of the best standing that there is, in order.
    fn candidates(&self) -> impl Iterator<Item = usize> {
        let is_any_good = self.standings.iter().any(|standing| is_good(*standing));
        let is_candidate =
            move |standing: Standing| is_good(standing) || (standing == Standing::Zombie && !is_any_good);
        (0..self.standings.len()).filter(move |place| is_candidate(self.standings[*place]))
    }

    /// One has been chosen: each candidate lacks its weight more, that one all of theirs less. So shares are kept over any stretch, and
    /// a heavy one is not chosen many times in a row.
    fn count(&mut self, pool: &Pool, chosen: usize) {
        let weight = |place: usize| i64::from(pool.members[place].weight);
        let all = (0..pool.members.len()).map(weight).sum::<i64>();
        let total = self.candidates().map(weight).sum::<i64>();
        let is_any_good = is_good(self.standings[chosen]);
        for (place, lack) in self.lacks.iter_mut().enumerate() {
            // As the one that was chosen all candidates are good, or none.
            let standing = self.standings[place];
            let is_candidate = if is_any_good { is_good(standing) } else { standing == Standing::Zombie };
            let share = if is_candidate { weight(place) } else { 0 };
            let taken = if place == chosen { total } else { 0 };
            // What one lacks because its load was high, or from a time with others, is made up for in one round at most.
            *lack = (*lack + share - taken).clamp(-all, all);
        }
    }

    /// A server's number for a key: minus the binary logarithm of one that is equally likely anywhere between 0 and 1.
    fn draw(&self, key: Key, name: &str) -> u128 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(key.0);
        hasher.write(name.as_bytes());
        minus_log(hasher.finish())
    }
}

/// With its length, so that "ab", "c" is another key than "a", "bc".
fn hash_value(hasher: &mut impl Hasher, value: Option<&[u8]>) {
    hasher.write_u64(value.map_or(0, |value| value.len() as u64 + 1));
    hasher.write(value.unwrap_or_default());
}

/// Whether anything may go there.
fn is_good(standing: Standing) -> bool {
    match standing {
        Standing::Alive | Standing::HalfOpen => true,
        Standing::Zombie | Standing::Dead => false,
    }
}

/// −log₂(number / 2⁶⁴), with 32 binary places; of 0 as of 1.
fn minus_log(number: u64) -> u128 {
    let number = number.max(1);
    let zeros = number.leading_zeros();
    // Between 1 and 2, with 63 binary places. Each squaring brings one place of the logarithm.
    let mut mantissa = number << zeros;
    let mut places = 0_u128;
    for _ in 0..32 {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let is_two = square >> 127 == 1;
        mantissa = (square >> if is_two { 64 } else { 63 }) as u64;
        places = places << 1 | u128::from(is_two);
    }
    let whole = u128::from(63 - zeros);
    (64 << 32) - (whole << 32 | places)
}

#[cfg(test)]
#[path = "balancer/tests.rs"]
mod tests;
