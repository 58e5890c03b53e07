//! A core that panics, and the one that takes its place.
//!
//! The crossing, its rings and the sockets stay as they are; what lies unread in the rings is for the successor. Each peer is
//! told in its ring, before anything that the successor says, so that what the dead core had taken up is given a fate.

use super::{Cores, LinkId, Running};
use crate::path::Peer;
use crate::queue::Urgency;
use crate::queue::message::Message;
use crate::seeded::{self, Bug};
use crate::time::Instant;

impl Cores {
    /// After a panic in a phase of this thread's: puts a core in the place of the one that was running, and says which. The
    /// thread goes on with [`begin`](Cores::begin).
    ///
    /// `None` if no core was running: the queues themselves may be broken then, and the process has to end.
    pub fn recover(&mut self, now: Instant) -> Option<Peer> {
        match core::mem::replace(&mut self.running, Running::Queues) {
            Running::Queues => None,
            Running::Network => self.replace_network(now),
            Running::Worker => self.replace_worker(),
        }
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
        let Cores { network, worker, links, accounts, between, seed, .. } = self;
        let dead = network.as_mut()?;
        let own = Peer::Network(dead.id());
        let own_worker = worker.as_ref().map(|worker| Peer::Worker(worker.id()));
        for (_, account) in links.iter().zip(&mut *accounts).filter(|(ends, _)| ends.own == own) {
            account.die();
        }
        let outstanding = |peer: Peer| {
            if Some(peer) == own_worker {
                return between.of_network.outstanding();
            }
            let link = links.iter().position(|ends| ends.is_between(own, peer));
            link.map(|link| accounts[link].outstanding()).unwrap_or_default()
        };
        *dead = dead.successor(seed, &outstanding, now);
        dead.counters().deaths.up();
        between.of_network.die();
        if let Some(loss) = between.of_network.tell()
            && worker.is_some()
        {
            between.to_worker.push_back(Message::Died(loss));
        }
        Some(own)
    }

    fn replace_worker(&mut self) -> Option<Peer> {
        let Cores { network, worker, links, accounts, between, seed, policies, .. } = self;
        let dead = worker.as_mut()?;
        let own = Peer::Worker(dead.id());
        *dead = dead.successor(seed, &**policies);
        dead.counters().deaths.up();
        for (_, account) in links.iter().zip(accounts).filter(|(ends, _)| ends.own == own) {
            account.die();
        }
        between.of_worker.die();
        if let Some(loss) = between.of_worker.tell()
            && network.is_some()
        {
            between.to_network.push_back(Message::Died(loss));
        }
        Some(own)
    }

    /// Tells the peer of this link that a core here has died, if it has not been told and there is room; says how much room
    /// is left to the core that is there now: none before that.
    pub(super) fn tell_of_deaths(&mut self, link: usize, room: usize) -> usize {
        let account = &mut self.accounts[link];
        if account.owed().is_none() {
            return room;
        }
        if seeded::is(Bug::DeathTellsNobody) {
            account.tell();
            return room;
        }
        let ends = &self.links[link];
        let is_there_room = match ends.other {
            // What network cores have for each other is not counted here: half a ring each way, and one slot for this.
            Peer::Network(_) if matches!(ends.own, Peer::Network(_)) => room == ends.slots,
            Peer::Network(_) | Peer::Worker(_) => room > 0,
        };
        if !is_there_room {
            return 0;
        }
        if let Some(loss) = account.tell() {
            self.crossing.stage(LinkId(link), Message::Died(loss), Urgency::Urgent);
        }
        room - 1
    }
}
