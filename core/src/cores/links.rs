//! The links of a thread: which cores they join, how they come and how they go.
//!
//! A link comes by letter, and goes in band. Who is told to close one says [`Message::Close`] behind all else, once neither
//! core has anything of the other's; the other side does the same when it hears that. When both have said it and all is read,
//! each gives its end up.
//!
//! [`Message::Close`]: crate::queue::message::Message::Close

use super::staff::NewLink;
use super::tie::{News, Tie};
use super::{Cores, Letter, Line, LinkId};
use crate::conversation::slot::SlotOwners;
use crate::path::{Peer, WorkerId};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The ends of a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// Which of this thread's cores it belongs to.
    pub own: Peer,
    /// Which core is at its other end.
    pub other: Peer,
    /// Slots of the ring from here to there.
    pub slots: usize,
}

/// Those of a link that there is.
#[inline]
pub(super) fn ends(links: &[Option<Ends>], link: LinkId) -> Ends {
    links[link.0].expect("what is swept is attached")
}

/// Which link leads from a core of this thread to one elsewhere: asked for each message, so that none looks through all links.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Those of the network core, by the number of the core at the other end.
    to_networks: Vec<Option<LinkId>>,
    to_workers: Vec<Option<LinkId>>,
    /// Those of the worker, which has links to network cores alone.
    of_worker: Vec<Option<LinkId>>,
}

impl Ways {
    /// The link between two cores, if there is one.
    #[inline]
    pub fn find(&self, own: Peer, other: Peer) -> Option<LinkId> {
        let (line, place) = match (own, other) {
            (Peer::Network(_), Peer::Network(network)) => (&self.to_networks, network.0),
            (Peer::Network(_), Peer::Worker(worker)) => (&self.to_workers, worker.0),
            (Peer::Worker(_), Peer::Network(network)) => (&self.of_worker, network.0),
            (Peer::Worker(_), Peer::Worker(_)) => return None,
        };
        *line.get(usize::from(place))?
    }

    /// There is this one now, or none any more.
    fn set(&mut self, own: Peer, other: Peer, link: Option<LinkId>) {
        let (line, place) = match (own, other) {
            (Peer::Network(_), Peer::Network(network)) => (&mut self.to_networks, network.0),
            (Peer::Network(_), Peer::Worker(worker)) => (&mut self.to_workers, worker.0),
            (Peer::Worker(_), Peer::Network(network)) => (&mut self.of_worker, network.0),
            (Peer::Worker(_), Peer::Worker(_)) => unreachable!("there is no link between workers"),
        };
        let place = usize::from(place);
        if line.len() <= place {
            line.resize(place + 1, None);
        }
        line[place] = link;
    }
}

impl Cores {
    /// Slots have changed hands; or what they remember is void, and the epoch is the same.
    pub fn handle_owners(&mut self, owners: &Arc<SlotOwners>, now: Instant) {
        // Who owns slots now may have come since the turn began.
        self.read_letters();
        let Some(network) = &mut self.network else { return };
        network.handle_owners(owners, now);
        for (ends, tie) in self.links.iter().zip(&mut self.ties) {
            if let Some(Ends { own: Peer::Network(_), other: Peer::Worker(_), .. }) = ends {
                tie.tell_epoch(owners.epoch());
            }
        }
    }

    /// Whether nothing is left here from before this epoch, so that slots may forget who had them then.
    pub fn has_settled(&self, epoch: u32) -> bool {
        self.worker.as_ref().is_none_or(|worker| worker.has_settled(epoch))
    }

    /// A worker is to go, which owns no slot any more and has settled: the links to it end.
    pub fn dismiss(&mut self, worker: WorkerId) {
        for (ends, tie) in self.links.iter().zip(&mut self.ties) {
            if let Some(Ends { own: Peer::Network(_), other, .. }) = ends
                && *other == Peer::Worker(worker)
            {
                tie.close();
            }
        }
    }

    /// Whether this is the thread of a worker that has gone: it has no link to any network core left.
    pub fn is_gone(&self) -> bool {
        self.network.is_none() && self.links.iter().all(Option::is_none)
    }

    /// A core of this thread that was told to panic: once for each time that it was told.
    pub fn take_drill(&mut self) -> Option<Peer> {
        self.drills.pop_front()
    }

    pub(super) fn read_letters(&mut self) {
        // A worker that comes may have the number of one that has gone, whose last message has been read since this turn's begin.
        self.detach_what_is_over();
        while let Some(letter) = self.crossing.poll_letter() {
            match letter {
                Letter::Link(link) => {
                    let other = link.other;
                    self.attach(link);
                    if let (Some(network), Peer::Worker(worker)) = (&mut self.network, other) {
                        network.add_worker(worker);
                    }
                }
                Letter::Drill(core) => self.drills.push_back(core),
            }
        }
    }

    pub(super) fn attach(&mut self, link: NewLink) {
        let NewLink { own, other, slots, end } = link;
        let link = self.crossing.attach(end);
        if self.links.len() <= link.0 {
            self.links.resize(link.0 + 1, None);
            self.ties.resize_with(link.0 + 1, Tie::default);
        }
        self.links[link.0] = Some(Ends { own, other, slots });
        self.ways.set(own, other, Some(link));
        self.ties[link.0] = Tie::default();
        if let Peer::Worker(_) = own {
            self.lines.push(Line::Ring(link));
        }
    }

    pub(super) fn detach_what_is_over(&mut self) {
        for link in 0..self.links.len() {
            let Some(Ends { own, other, .. }) = self.links[link] else { continue };
            if !self.ties[link].is_over() || !self.crossing.is_drained(LinkId(link)) {
                continue;
            }
            self.crossing.detach(LinkId(link));
            self.links[link] = None;
            self.ways.set(own, other, None);
            self.lines.retain(|line| !matches!(line, Line::Ring(LinkId(gone)) if *gone == link));
            self.next_line = 0;
            if let (Some(network), Peer::Worker(worker)) = (&mut self.network, other) {
                network.remove_worker(worker);
            }
        }
    }

    /// Tells the peer of this link what there is to be told, as far as there is room; says how much room is left to the
    /// core here: none as long as something has to be told first.
    pub(super) fn tell(&mut self, link: usize, mut room: usize) -> usize {
        let Some(Ends { own, other, slots }) = self.links[link] else { return 0 };
        while let Some(news) = self.news(link) {
            if seeded::is(Bug::DeathTellsNobody) && matches!(news, News::Died(_)) {
                self.ties[link].tell(news);
                continue;
            }
            let is_there_room = match (own, other) {
                // What network cores have for each other they count themselves: less than half a ring of strays, and as many
                // buffers of the other's. One slot is left for this, and so for one death that is unread.
                (Peer::Network(_), Peer::Network(_)) => {
                    room > 0 && self.ties[link].has_death_been_heard(slots - room)
                }
                (Peer::Network(_), Peer::Worker(_)) | (Peer::Worker(_), _) => room > 0,
            };
            if !is_there_room {
                return 0;
            }
            let message = self.ties[link].tell(news);
            let urgency = message.urgency();
            self.crossing.stage(LinkId(link), message, urgency);
            room -= 1;
        }
        room
    }

    fn news(&self, link: usize) -> Option<News> {
        let has_done = match self.links[link]?.other {
            Peer::Worker(worker) => {
                self.network.as_ref().is_some_and(|network| network.has_done_with(worker))
            }
            // Between network cores nothing else waits.
            Peer::Network(network) => self.worker.as_ref().is_none_or(|worker| worker.has_done_with(network)),
        };
        self.ties[link].news(has_done)
    }

    /// Before a sleep: what could not be told waits for room, and what is over for the other side to have read it.
    pub(super) fn ask_for_what_is_waited_for(&mut self) {
        for link in 0..self.links.len() {
            if self.links[link].is_none() || !self.ties[link].is_busy() {
                continue;
            }
            if self.ties[link].is_over() {
                self.crossing.ask_for_drain(LinkId(link));
            } else if self.news(link).is_some() {
                self.crossing.ask_for_space(LinkId(link));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::NetworkId;

    #[test]
    fn a_way_is_found_from_each_core_to_each_other_and_no_longer_when_it_is_gone() {
        let (network, worker) = (Peer::Network(NetworkId(3)), Peer::Worker(WorkerId(3)));
        let pairs = [
            (network, Peer::Network(NetworkId(1))),
            (network, Peer::Worker(WorkerId(1))),
            (network, Peer::Worker(WorkerId(255))),
            (worker, Peer::Network(NetworkId(1))),
        ];
        let mut ways = Ways::default();
        for (number, (own, other)) in pairs.into_iter().enumerate() {
            assert_eq!(ways.find(own, other), None);
            ways.set(own, other, Some(LinkId(number)));
        }
        for (number, (own, other)) in pairs.into_iter().enumerate() {
            assert_eq!(ways.find(own, other), Some(LinkId(number)));
            ways.set(own, other, None);
            assert_eq!(ways.find(own, other), None);
        }
        assert_eq!(ways.find(worker, Peer::Worker(WorkerId(1))), None);
    }
}
