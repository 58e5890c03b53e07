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
use alloc::sync::Arc;

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

/// The link between two cores, if there is one.
#[inline]
pub(super) fn find(links: &[Option<Ends>], own: Peer, other: Peer) -> Option<LinkId> {
    let is_it = |ends: &Option<Ends>| ends.is_some_and(|ends| (ends.own, ends.other) == (own, other));
    links.iter().position(is_it).map(LinkId)
}

impl Cores {
    /// Slots have changed hands; or what they remember is void, and the epoch is the same.
    pub fn handle_owners(&mut self, owners: &Arc<SlotOwners>) {
        // Who owns slots now may have come since the turn began.
        self.read_letters();
        let Some(network) = &mut self.network else { return };
        network.handle_owners(owners);
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
        self.ties[link.0] = Tie::default();
        if let Peer::Worker(_) = own {
            self.lines.push(Line::Ring(link));
        }
    }

    pub(super) fn detach_what_is_over(&mut self) {
        for link in 0..self.links.len() {
            let Some(Ends { other, .. }) = self.links[link] else { continue };
            if !self.ties[link].is_over() || !self.crossing.is_drained(LinkId(link)) {
                continue;
            }
            self.crossing.detach(LinkId(link));
            self.links[link] = None;
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
            Peer::Network(_) => true,
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
