//! What a network core knows of the ring to one worker: room, and how much of it each kind of request may use.
//!
//! The core counts room down itself and sheds before it accepts, so that a push can never fail.

use crate::cores::Outstanding;
use crate::discard::Discard;
use crate::path::WorkerId;
use crate::queue::message::{Message, STRANGERS};
use crate::request::Stranger;
use crate::request::buffer::Packet;
use crate::request::class::Class;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};
use core::time::Duration;

/// The way to one worker.
#[derive(Debug)]
pub struct Lane {
    /// Free slots of the ring, as far as we know.
    room: usize,
    /// Slots of the ring in all.
    slots: usize,
    /// Messages ever sent, and of these ever taken off.
    sent: u64,
    taken: u64,
    /// Requests and strangers' packets ever given to the worker, and the requests that it has.
    lent: u64,
    in_progress: usize,
    requests_max: usize,
    /// Strangers' packets that it has, or that wait here.
    strangers: usize,
    /// Those that wait here for room in the ring: of it strangers have only half.
    line: VecDeque<Stranger>,
    /// How many of them have gone in this turn.
    gone: usize,
    /// There may be more room than is known.
    is_room_news: bool,
    /// Buffers of long replies that wait for room on their way home.
    homeward: VecDeque<Box<Packet>>,
    /// What is told to tasks of control connections, and waits for room. Bounded by these: there are a few for each.
    notices: VecDeque<Message>,
    /// How many of them have gone in this turn.
    notices_gone: usize,
}

impl Lane {
    /// A lane over a ring of `slots`, for at most `requests_max` requests; what is outstanding is of a core that had it before.
    pub fn new(slots: usize, requests_max: usize, outstanding: Outstanding) -> Self {
        Lane {
            room: slots,
            slots,
            // As if so many had gone through it before: that core's messages may fill it still.
            sent: slots as u64,
            taken: 0,
            lent: outstanding.lent,
            in_progress: (outstanding.away.iter().sum::<u64>() - outstanding.away[STRANGERS]) as usize,
            strangers: outstanding.away[STRANGERS] as usize,
            requests_max,
            // Grows with a burst, and no further than that. Most servers have no client rule, and so no strangers.
            line: VecDeque::new(),
            gone: 0,
            is_room_news: false,
            // One turn's completions from one ring.
            homeward: VecDeque::with_capacity(slots.min(requests_max)),
            notices: VecDeque::new(),
            notices_gone: 0,
        }
    }

    /// Notes the room that there is at the start of a turn.
    pub fn set_room(&mut self, room: usize) {
        self.room = room;
        self.taken = self.sent - (self.slots - room) as u64;
        self.is_room_news = false;
        (self.gone, self.notices_gone) = (0, 0);
    }

    /// Whether a request of this class may go.
    pub fn check(&self, class: Class) -> Result<(), Discard> {
        let bound = self.slots.min(self.requests_max);
        let held = self.in_progress + self.homeward.len();
        let left = self.room.min(self.requests_max.saturating_sub(held));
        let (kept_for_others, reason) = match class {
            Class::New => (bound / 4, Discard::WorkerFull),
            Class::Accounting => (bound / 8, Discard::WorkerFullAccounting),
            Class::Ongoing => (0, Discard::WorkerFullOngoing),
        };
        if left > kept_for_others { Ok(()) } else { Err(reason) }
    }

    /// Uses one slot up and says the message's number, from 1. `None` if there is no room.
    pub fn send(&mut self) -> Option<u64> {
        self.room = self.room.checked_sub(1)?;
        self.sent += 1;
        Some(self.sent)
    }

    /// Whether the message of this number is still in the ring, as far as we know.
    pub fn is_unread(&self, number: u64) -> bool {
        number > self.taken
    }

    /// Whether one more stranger's packet may come.
    pub fn may_have_stranger(&self) -> bool {
        self.strangers < strangers_max(self.requests_max)
    }

    /// Puts a stranger's packet in line.
    pub fn put_in_line(&mut self, stranger: Stranger) {
        self.strangers += 1;
        self.line.push_back(stranger);
    }

    /// The next stranger's packet to go, if there is room for it. Half of the ring is kept for those who are known, whatever strangers
    /// send; and no more go in one turn than there is room for, should each of them come back as a request of somebody who is known.
    pub fn next_stranger(&mut self) -> Option<Stranger> {
        if self.room <= self.slots / 2 || self.gone >= self.slots.div_ceil(8) {
            return None;
        }
        let stranger = self.line.pop_front()?;
        self.gone += 1;
        self.lent += 1;
        Some(stranger)
    }

    /// Takes the first stranger's packet out of the line, if it has waited for longer than such a one may.
    pub fn give_up_stranger(
        &mut self,
        may_wait: impl Fn(&Stranger) -> Duration,
        now: Instant,
    ) -> Option<Stranger> {
        let first = self.line.front()?;
        if now.saturating_since(first.received()) <= may_wait(first) {
            return None;
        }
        self.strangers -= 1;
        self.line.pop_front()
    }

    /// Puts in line what a task is told.
    pub fn put_notice(&mut self, notice: Message) {
        self.notices.push_back(notice);
    }

    /// The next notice to go, if there is room for it: a few go in each turn also where new requests fill the ring as far as they may,
    /// for who asks then wants to know what goes on.
    pub fn next_notice(&mut self) -> Option<Message> {
        if self.room <= self.slots / 8 || self.notices_gone >= self.slots.div_ceil(16) {
            return None;
        }
        let notice = self.notices.pop_front()?;
        self.notices_gone += 1;
        Some(notice)
    }

    /// Whether any waits here.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// The worker may have taken something off.
    pub fn note_room(&mut self) {
        self.is_room_news = true;
    }

    /// Whether the next turn may send a stranger's packet, or a notice, that waits here.
    pub fn may_send_more(&self) -> bool {
        let strangers = !self.line.is_empty() && (self.is_room_news || self.room > self.slots / 2);
        strangers || !self.notices.is_empty() && (self.is_room_news || self.room > self.slots / 8)
    }

    /// Counts one that is decided about, or several that died with the worker.
    pub fn end_strangers(&mut self, packets: u64) {
        self.strangers -= packets as usize;
    }

    /// How many strangers' packets the worker has, or are to go there.
    pub fn strangers(&self) -> usize {
        self.strangers
    }

    /// Counts a request that goes, and says how many were lent before it.
    pub fn begin_request(&mut self) -> u64 {
        self.in_progress += 1;
        self.lent += 1;
        self.lent - 1
    }

    /// Requests died with the worker.
    pub fn lose(&mut self, requests: u64) {
        self.in_progress -= requests as usize;
    }

    /// Counts a request that is completed.
    pub fn end_request(&mut self) {
        self.in_progress -= 1;
    }

    /// How many requests the worker has.
    pub fn in_progress(&self) -> usize {
        self.in_progress
    }

    /// Whether the worker has as many requests as it may.
    pub fn is_at_limit(&self) -> bool {
        self.in_progress >= self.requests_max
    }

    /// Puts the buffer of a long reply in line for its way home.
    pub fn send_home(&mut self, buffer: Box<Packet>) {
        self.homeward.push_back(buffer);
    }

    /// The next buffer to go home, if there is room for it.
    pub fn next_homeward(&mut self) -> Option<Box<Packet>> {
        if self.homeward.is_empty() {
            return None;
        }
        self.send()?;
        self.homeward.pop_front()
    }

    /// How many buffers wait here.
    pub fn buffers(&self) -> usize {
        self.homeward.len() + self.line.len()
    }

    /// Whether a buffer can go home now.
    pub fn has_homeward(&self) -> bool {
        !self.homeward.is_empty() && self.room > 0
    }

    /// Whether something waits for room.
    pub fn is_waiting_for_room(&self) -> bool {
        (!self.homeward.is_empty() && self.room == 0) || !self.line.is_empty() || !self.notices.is_empty()
    }
}

/// How many strangers' packets a worker may have of one network core that may have so many requests there, those that wait for room
/// in its ring among them.
pub fn strangers_max(requests_max: usize) -> usize {
    requests_max.div_ceil(4)
}

/// The ways to all workers that there are.
#[derive(Debug, Default)]
pub struct Lanes(Vec<Option<Lane>>);

impl Lanes {
    /// Adds the way to a worker that has come.
    pub fn add(&mut self, worker: WorkerId, lane: Lane) {
        let place = usize::from(worker.0);
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        let before = self.0[place].replace(lane);
        assert!(before.is_none(), "there is one worker of each number");
    }

    /// Takes the way to a worker that has gone.
    pub fn remove(&mut self, worker: WorkerId) {
        self.0[usize::from(worker.0)] = None;
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Lane)> {
        let numbered = (0..).zip(&self.0);
        numbered.filter_map(|(worker, lane)| Some((WorkerId(worker), lane.as_ref()?)))
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (WorkerId, &mut Lane)> {
        let numbered = (0..).zip(&mut self.0);
        numbered.filter_map(|(worker, lane)| Some((WorkerId(worker), lane.as_mut()?)))
    }
}

impl Index<WorkerId> for Lanes {
    type Output = Lane;

    fn index(&self, worker: WorkerId) -> &Lane {
        self.0[usize::from(worker.0)].as_ref().expect(THERE)
    }
}

impl IndexMut<WorkerId> for Lanes {
    fn index_mut(&mut self, worker: WorkerId) -> &mut Lane {
        self.0[usize::from(worker.0)].as_mut().expect(THERE)
    }
}

const THERE: &str = "nothing is owned by a worker that has gone";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheds_new_requests_first_and_ongoing_ones_last() {
        let mut lane = Lane::new(64, 1000, Outstanding::default());
        let allowed = |lane: &Lane| {
            [Class::New, Class::Accounting, Class::Ongoing].map(|class| lane.check(class).is_ok())
        };
        let leave = |lane: &mut Lane, room| {
            while lane.room > room {
                lane.send().unwrap();
            }
        };
        assert_eq!(allowed(&lane), [true, true, true]);
        leave(&mut lane, 16);
        assert_eq!(allowed(&lane), [false, true, true]);
        leave(&mut lane, 8);
        assert_eq!(allowed(&lane), [false, false, true]);
        leave(&mut lane, 0);
        assert_eq!(allowed(&lane), [false, false, false]);
        assert_eq!(lane.check(Class::Ongoing), Err(Discard::WorkerFullOngoing));
    }

    #[test]
    fn the_limit_of_requests_sheds_too() {
        let mut lane = Lane::new(64, 2, Outstanding::default());
        lane.begin_request();
        assert!(lane.check(Class::New).is_ok());
        lane.begin_request();
        assert!(lane.is_at_limit());
        assert_eq!(lane.check(Class::New), Err(Discard::WorkerFull));
        lane.end_request();
        assert!(lane.check(Class::New).is_ok());
    }

    #[test]
    fn knows_which_messages_were_read() {
        let mut lane = Lane::new(4, 4, Outstanding::default());
        let first = lane.send().unwrap();
        let second = lane.send().unwrap();
        assert!(lane.is_unread(first) && lane.is_unread(second));
        lane.set_room(3);
        assert!(!lane.is_unread(first) && lane.is_unread(second));
    }
}
