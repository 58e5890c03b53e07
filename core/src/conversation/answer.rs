//! How requests and their answers move a conversation: begun by a challenge, moved to a new State by each further one, ended by
//! any other answer. RFC 2865 §4.4 and §5.24, RFC 5080 §2.2.2.

use super::conversations::{Conversations, StateUse};
use super::digest::{RequestKey, Tree, Who};
use super::entry::{Answered, Conversation, ConversationId, NEWEST, Standing, StateGroups, UnderWay};
use super::list::{Ends, Neighbours};
use crate::dedup::reply_store::{CHUNKS_MAX, StoredReply};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use core::time::Duration;

/// What a request of a conversation was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// An Access-Challenge, and its State, should it have one.
    Challenge(Option<&'a [u8]>),
    /// An Access-Accept with State, good for as long as the session (RFC 2865 §5.24): its Session-Timeout.
    AcceptWithState(&'a [u8], Option<Duration>),
    /// Another Access-Accept, or an Access-Reject.
    End,
}

/// A conversation that begins.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// Whose States it has.
    pub tree: Tree,
    /// Whose it is.
    pub who: Who,
    /// The request that was answered.
    pub request: RequestKey,
    /// When the worker took that up.
    pub taken_up: Instant,
    /// What rules remember.
    pub session: &'a [u8],
    /// User-Name and Calling-Station-Id, as far as there are such.
    pub names: [&'a [u8]; 2],
}

impl<K> Conversations<K> {
    /// Keeps a conversation from its first challenge on, or from an Access-Accept with State. `None`: it is not kept, as it ends with
    /// this answer, its tree is not configured, or what rules remember finds no room.
    pub fn begin(
        &mut self,
        begun: &Begun<'_>,
        kept: K,
        answer: Answer<'_>,
        reply: &[u8],
        now: Instant,
    ) -> Option<ConversationId> {
        if answer == Answer::End {
            return None;
        }
        let tree = self.trees.find(begun.tree)?;
        if self.trees.at(tree).bounds.state_max == 0 || self.bounds.conversations_max == 0 {
            return None;
        }
        self.make_room(tree);
        // A tree that is configured no more may just have lost its last.
        let tree = self.trees.find(begun.tree)?;
        let session = match begun.session {
            [] => None,
            octets => {
                let Some(session) = self.sessions.keep(octets, 0, true) else {
                    self.counts.without_room += 1;
                    return None;
                };
                Some(session)
            }
        };
        let names = self.keep_names(begun.names);
        self.counts.begun += 1;
        let is_marked = self.marked_at.is_some_and(|at| begun.taken_up <= at);
        let conversation = Conversation {
            number: self.counts.begun,
            kept,
            session,
            names,
            tree,
            who: begun.who,
            standing: Standing::Accepted,
            newest: None,
            under_way: None,
            answered: None,
            marks: self.marks.wrapping_sub(u32::from(is_marked)),
            by_age: Neighbours::NONE,
            by_answer: Neighbours::NONE,
        };
        let place = self.conversations.insert(conversation).ok().expect("room was made for it");
        self.trees.add(&mut self.conversations, place);
        self.answer_at(place, begun.request, answer, reply, now);
        Some(self.id(place))
    }

    /// Names of at most 253 octets each (RFC 2865 §5). `None` where there is neither, or no room.
    fn keep_names(&mut self, [user_name, calling_station_id]: [&[u8]; 2]) -> Option<StoredReply> {
        let mut octets = [0; 1 + 2 * ATTRIBUTE_OCTETS_MAX];
        let (user, device) = (user_name.len(), calling_station_id.len());
        if user + device == 0 || user.max(device) > ATTRIBUTE_OCTETS_MAX {
            return None;
        }
        octets[0] = user as u8;
        octets[1..=user].copy_from_slice(user_name);
        octets[1 + user..=user + device].copy_from_slice(calling_station_id);
        self.names.keep(&octets[..=user + device], 0, true)
    }

    /// A request of a conversation is under way from now on, in place of another that was. False if the conversation is no more.
    /// It is kept at least as long as its answer is waited for.
    pub fn take_up(
        &mut self,
        id: ConversationId,
        request: RequestKey,
        state_use: StateUse,
        until: Instant,
    ) -> bool {
        if self.at(id).is_none() {
            return false;
        }
        if self.deadlines.of(id.place).is_some_and(|due| due < until) {
            self.deadlines.set(id.place, until);
        }
        self.drop_under_way(id.place);
        self.add_request(request, id.place);
        let has_newest = state_use != StateUse::Used;
        self.conversations[id.place].under_way = Some(UnderWay { request, has_newest });
        true
    }

    /// A request ends without an answer: its retransmission starts anew.
    pub fn give_up(&mut self, id: ConversationId, request: RequestKey) {
        let under_way = self.at(id).and_then(|conversation| conversation.under_way);
        if under_way.is_some_and(|under_way| under_way.request == request) {
            self.drop_under_way(id.place);
        }
    }

    /// A request of a conversation is answered. False if that is no more: it begins anew, should it go on.
    pub fn answer(
        &mut self,
        id: ConversationId,
        request: RequestKey,
        answer: Answer<'_>,
        reply: &[u8],
        now: Instant,
    ) -> bool {
        let is_there = self.at(id).is_some();
        if is_there {
            self.answer_at(id.place, request, answer, reply, now);
        }
        is_there
    }

    /// Keeps what rules remember in place of what they did; false if there is no room, or the conversation is no more.
    pub fn set_session(&mut self, id: ConversationId, octets: &[u8]) -> bool {
        if self.at(id).is_none() {
            return false;
        }
        if let Some(session) = self.conversations[id.place].session.take() {
            self.sessions.forget(session, true);
        }
        if octets.is_empty() {
            return true;
        }
        let session = self.sessions.keep(octets, id.place, true);
        self.counts.without_room += u64::from(session.is_none());
        self.conversations[id.place].session = session;
        self.conversations[id.place].session.is_some()
    }

    fn answer_at(&mut self, place: u32, request: RequestKey, answer: Answer<'_>, reply: &[u8], now: Instant) {
        let before = self.let_state_pass(place, request);
        self.trees.unlink(&mut self.conversations, place);
        self.stand(place, &answer);
        let state = match answer {
            Answer::Challenge(state) => state,
            Answer::AcceptWithState(state, _) => Some(state),
            Answer::End => None,
        };
        let newest = state.map(|state| self.join_state(place, state));
        self.conversations[place].newest = newest;
        self.trees.append(&mut self.conversations, place);
        let lifetime = self.trees.at(self.conversations[place].tree).bounds.state_lifetime;
        let lasts = match answer {
            Answer::Challenge(_) => lifetime,
            Answer::AcceptWithState(_, session_timeout) => {
                session_timeout.map_or(lifetime, |span| span.saturating_add(MINUTE))
            }
            Answer::End => self.bounds.dedup_lifetime,
        };
        let lasts = if seeded::is(Bug::ConversationNeverEnds) { Duration::from_secs(1 << 24) } else { lasts };
        self.deadlines.set(place, now + lasts);
        self.keep_answer(place, before, request, reply, now);
    }

    /// Takes the request that is answered now, and the one that was, out of what is found. Gives the State of the former, still
    /// found in the class [`NEWEST`].
    fn let_state_pass(&mut self, place: u32, request: RequestKey) -> Option<StateGroups> {
        let mut has_before = false;
        match &mut self.conversations[place].under_way {
            Some(under_way) if under_way.request == request => {
                has_before = !under_way.has_newest;
                self.drop_under_way(place);
            }
            // Another has taken its place since; with this answer that one's State is the one before.
            Some(other) => other.has_newest = false,
            None => {}
        }
        let class = self.conversations[place].class_before();
        let Conversation { newest, answered, .. } = &mut self.conversations[place];
        let newest = newest.take();
        let before = answered.as_mut().filter(|_| has_before).and_then(|answered| answered.state.take());
        self.forget_answer(place);
        let Some(before) = before else { return newest };
        if let Some(newest) = newest {
            self.leave_state(newest, NEWEST, place);
        }
        self.change_state(before, class, NEWEST, place);
        Some(before)
    }

    /// Gives a conversation the standing that follows from an answer.
    fn stand(&mut self, place: u32, answer: &Answer<'_>) {
        let Conversation { standing, who, marks, .. } = &self.conversations[place];
        let next = match (answer, *standing) {
            (Answer::Challenge(_), Standing::Live { .. }) => return,
            (Answer::Challenge(_), Standing::Accepted | Standing::Ended) => {
                self.live += 1;
                self.marked += usize::from(self.marked_at.is_some() && *marks != self.marks);
                Standing::Live { line: self.lines.join(&self.digests.line(who), 0, place) }
            }
            (Answer::AcceptWithState(..), _) => Standing::Accepted,
            (Answer::End, _) => Standing::Ended,
        };
        self.leave_line(place);
        self.conversations[place].standing = next;
    }

    /// It is found by this State from now on, as the newest.
    fn join_state(&mut self, place: u32, state: &[u8]) -> StateGroups {
        let Conversation { tree, who, .. } = &self.conversations[place];
        let of_user = self.digests.state(self.trees.at(*tree).tree, &who.user, state);
        let of_device = self.digests.state_of_device(&of_user, who.device.as_ref());
        let user = self.states.join(&of_user, NEWEST, place);
        StateGroups { user, device: self.states.join(&of_device, NEWEST, place) }
    }

    fn change_state(&mut self, groups: StateGroups, from: usize, to: usize, place: u32) {
        self.states.change(groups.user, from, to, place);
        self.states.change(groups.device, from, to, place);
    }

    /// Keeps the answer to a request for its duplicates. `state` is that of the request, still in the class [`NEWEST`].
    fn keep_answer(
        &mut self,
        place: u32,
        state: Option<StateGroups>,
        request: RequestKey,
        reply: &[u8],
        now: Instant,
    ) {
        if let Some(state) = state {
            self.change_state(state, NEWEST, self.conversations[place].class_before(), place);
        }
        self.add_request(request, place);
        let reply = self.replies.keep(reply, place, true).or_else(|| {
            self.make_room_for_reply(reply.len());
            self.replies.keep(reply, place, true)
        });
        self.counts.replies_without_room += u64::from(reply.is_none());
        let expires = now + self.bounds.dedup_lifetime;
        self.conversations[place].answered = Some(Answered { state, request, reply, expires });
        self.by_answer.append(&mut self.conversations, place, |conversation| &mut conversation.by_answer);
    }

    /// Gives up the oldest reply whose memory would do, or else all of a page.
    fn make_room_for_reply(&mut self, octets: usize) {
        let reply_of = |place: u32| self.conversations[place].answered.as_ref()?.reply.as_ref();
        let after =
            |place: &u32| Ends::after(&self.conversations, *place, |conversation| &conversation.by_answer);
        let oldest = core::iter::successors(self.by_answer.first(), after).take(REPLIES_LOOKED_AT);
        let fits = |place: &u32| reply_of(*place).is_some_and(|reply| self.replies.fits(octets, reply));
        if let Some(place) = oldest.into_iter().find(fits) {
            return self.forget_reply(place);
        }
        let Some(page) = self.replies.page_to_clear(true) else { return };
        for chunk in 0..CHUNKS_MAX {
            if let Some(place) = self.replies.owner(page, chunk) {
                self.forget_reply(place);
            }
        }
    }

    fn forget_reply(&mut self, place: u32) {
        let answered = self.conversations[place].answered.as_mut();
        if let Some(reply) = answered.and_then(|answered| answered.reply.take()) {
            self.replies.forget(reply, true);
            self.counts.replies_without_room += 1;
        }
    }

    /// A request is found from now on, and where it was found before no longer.
    fn add_request(&mut self, request: RequestKey, place: u32) {
        if let Some(other) = self.place_of_request(request) {
            let under_way = self.conversations[other].under_way;
            if under_way.is_some_and(|under_way| under_way.request == request) {
                self.drop_under_way(other);
            } else {
                self.forget_answer(other);
            }
        }
        let hash = self.hash_of_request(request);
        self.requests.insert(hash, place).expect("each conversation has two requests at most");
    }

    fn drop_under_way(&mut self, place: u32) {
        if let Some(UnderWay { request, .. }) = self.conversations[place].under_way.take() {
            self.remove_request(request, place);
        }
    }

    /// Forgets what is over a bound, should one more come to this tree. Where all trees together are at theirs, and this one has
    /// none, what would be over next goes.
    fn make_room(&mut self, tree: u32) {
        // Two for the one that comes: so a tree whose bound has sunk shrinks to it, a little each time.
        for _ in 0..2 {
            let one = self.trees.at(tree);
            let is_full = one.len >= one.bounds.state_max || self.len() == self.bounds.conversations_max;
            let oldest = one.ended.first().or(one.going.first());
            let next = || self.deadlines.next().map(|(_, place)| place);
            let Some(place) = oldest.or_else(next).filter(|_| is_full) else { return };
            let is_last = one.len == 1;
            self.counts.forgotten += u64::from(!self.conversations[place].standing.has_ended());
            self.remove(place);
            if is_last {
                return;
            }
        }
    }
}

/// RFC 2865 §5.24 has the State sent when the session is over; the NAS's clock and the network may take that much longer.
const MINUTE: Duration = Duration::from_secs(60);
/// Octets of an attribute's value (RFC 2865 §5).
const ATTRIBUTE_OCTETS_MAX: usize = 253;
/// Of the oldest last replies, how many are looked at for one whose memory another could have.
const REPLIES_LOOKED_AT: usize = 64;
