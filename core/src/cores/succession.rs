//! A core that panics, and the one that takes its place.
//!
//! A death costs a long turn of whoever lent the dead core anything, who looks for it among all requests. Tables are made anew
//! where the dead one's were.
//!
//! The crossing, its rings and the sockets stay as they are; what lies unread in the rings is for the successor. Each peer is
//! told in its ring, before anything that the successor says, so that what the dead core had taken up is given a fate.

use super::links::Ends;
use super::tie::Tie;
use super::{Cores, Running};
use crate::path::Peer;
use crate::queue::message::Message;
use crate::time::Instant;
use alloc::collections::VecDeque;

impl Cores {
    /// After a panic in a phase of this thread's: puts a core in the place of the one that was running, and says which. The
    /// thread goes on with [`begin`](Cores::begin).
    ///
    /// `None` if no core was running: the queues themselves may be broken then, and the process has to end.
    ///
    /// # Panics
    /// When the policy that a worker's successor is to have cannot be made, or panics as it hears of a configuration: that is
    /// the worker's panic, too, and this may be called again.
    pub fn recover(&mut self, now: Instant) -> Option<Peer> {
        let died = match self.running {
            Running::Queues => None,
            Running::Network => self.replace_network(now),
            Running::Worker => self.replace_worker(),
        }?;
        // What the other core of this thread had ready: the next turn begins with a look at how much room is left.
        self.stage();
        Some(died)
    }

    /// As if a core of this thread had panicked just now, in the middle of a turn: [`recover`](Cores::recover) has to follow.
    /// For drills.
    pub fn die(&mut self, core: Peer) {
        self.running = match core {
            Peer::Network(_) => Running::Network,
            Peer::Worker(_) => Running::Worker,
        };
    }

    fn replace_network(&mut self, now: Instant) -> Option<Peer> {
        let Cores { network, worker, links, ties, ways, between, seed, running, .. } = self;
        *running = Running::Queues;
        let dead = network.take()?;
        let own = Peer::Network(dead.id());
        let own_worker = worker.as_ref().map(|worker| Peer::Worker(worker.id()));
        for tie in of(own, links, ties) {
            tie.account.die();
        }
        let outstanding = |peer: Peer| {
            if Some(peer) == own_worker {
                return between.of_network.account.outstanding();
            }
            ways.find(own, peer).map(|link| ties[link.0].account.outstanding()).unwrap_or_default()
        };
        dead.counters().deaths.up();
        *network = Some(dead.into_successor(seed, &outstanding, now));
        die_beside(&mut between.of_network, worker.is_some(), &mut between.to_worker);
        Some(own)
    }

    fn replace_worker(&mut self) -> Option<Peer> {
        let Cores { network, worker, links, ties, between, seed, policies, running, .. } = self;
        let dead = worker.as_ref()?;
        let own = Peer::Worker(dead.id());
        dead.counters().deaths.up();
        let policy = dead.policy_of_successor(&**policies);
        *running = Running::Queues;
        *worker = worker.take().map(|dead| dead.into_successor(policy, seed));
        for tie in of(own, links, ties) {
            tie.account.die();
        }
        die_beside(&mut between.of_worker, network.is_some(), &mut between.to_network);
        Some(own)
    }
}

/// A core dies beside the other one of its thread, if there is one: that is told at once.
fn die_beside(tie: &mut Tie, is_joined: bool, line: &mut VecDeque<Message>) {
    tie.account.die();
    if let Some(news) = tie.news(false)
        && is_joined
    {
        line.push_back(tie.tell(news));
    }
}

/// What a core has with others, by rings.
fn of<'t>(own: Peer, links: &'t [Option<Ends>], ties: &'t mut [Tie]) -> impl Iterator<Item = &'t mut Tie> {
    let own = links.iter().zip(ties).filter(move |(ends, _)| ends.is_some_and(|ends| ends.own == own));
    own.map(|(_, tie)| tie)
}
