//! The conversations of one worker core: found by State, or without, and forgotten.
//!
//! Each is in the tree of whoever makes its States. A look-up takes a few digests, whatever anybody sent before: nothing is walked.
//! How an answer changes a conversation is in [`answer`](super::answer). RFC 2865 §5.24, RFC 5080 §2.1.1 and §2.2.2.
//!
//! Memory is taken as conversations come, up to the bound, and kept: in steady state nothing is allocated. Where there is no room
//! the oldest of the tree is forgotten, those that have ended first; what comes of it afterwards is decided as if it were new.

use super::digest::{Digests, Identity, RequestKey, Tree, Who};
use super::entry::{
    Answered, BEFORE, Conversation, ConversationId, LAST, NEWEST, Standing, StateGroups, UnderWay,
};
use super::group::{Groups, Sole};
use super::list::Ends;
use super::slab::Slab;
use super::trees::{TreeBounds, Trees};
use crate::deadlines::Deadlines;
use crate::dedup::reply_store::ReplyStore;
use crate::seed::Seed;
use crate::table::{Index, KeyHash};
use crate::time::Instant;
use core::time::Duration;

/// What all trees together may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Conversations; below 2²⁸.
    pub conversations_max: usize,
    /// Octets of the last replies.
    pub replies_octets_max: usize,
    /// Octets of what rules remember.
    pub sessions_octets_max: usize,
    /// Octets of names; one that finds no room is not kept, its conversation is.
    pub names_octets_max: usize,
    /// How long the last answer of each stands for duplicates.
    pub dedup_lifetime: Duration,
}

/// What has happened to conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Kept from their first challenge on.
    pub begun: u64,
    /// Given up for others before their time, though they went on.
    pub forgotten: u64,
    /// Silent for too long.
    pub expired: u64,
    /// Requests whose State was that of several.
    pub ambiguous: u64,
    /// Not kept, as there was no room for what rules remember.
    pub without_room: u64,
    /// Last replies for which there was no room.
    pub replies_without_room: u64,
}

/// The table. `K` is what is kept of a decision.
pub struct Conversations<K> {
    pub(super) digests: Digests,
    pub(super) bounds: Bounds,
    pub(super) trees: Trees,
    pub(super) conversations: Slab<Conversation<K>>,
    pub(super) states: Groups<3>,
    /// Live ones by identity alone.
    pub(super) lines: Groups<1>,
    /// By requests that are under way or were answered.
    pub(super) requests: Index,
    pub(super) deadlines: Deadlines,
    /// Those with a request that was answered, the first to be forgotten first.
    pub(super) by_answer: Ends,
    pub(super) replies: ReplyStore,
    pub(super) sessions: ReplyStore,
    /// User-Names and Calling-Station-Ids, for whoever looks.
    pub(super) names: ReplyStore,
    pub(super) counts: Counts,
    /// How many are live.
    pub(super) live: usize,
    /// How often all were marked, when last, and how many are live that were then.
    pub(super) marks: u32,
    pub(super) marked_at: Option<Instant>,
    pub(super) marked: usize,
}

/// What can be shown of a conversation.
pub struct Shown<'c, K> {
    /// Which it is, counted from the first.
    pub number: u64,
    /// What is kept of the decision.
    pub kept: &'c K,
    /// Its tree.
    pub tree: Tree,
    /// How it stands.
    pub standing: &'static str,
    /// User-Name and Calling-Station-Id, which is empty if there is none.
    pub names: Option<(&'c [u8], &'c [u8])>,
    /// When it is forgotten, unless something comes.
    pub expires: Instant,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nobody's that is known, or of several, none of which it may be given to.
    Unknown,
    /// A new request of this conversation.
    Ongoing(ConversationId, StateUse),
    /// The very request is under way.
    InProgress(ConversationId),
    /// The very request was answered: see [`Conversations::last_reply`].
    Answered(ConversationId),
}

/// What has become of a request's State so far. One of our own is good for one request; remote servers know for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateUse {
    /// It is the newest, and no request with it is under way.
    Unused,
    /// It is the newest, and another request with it is under way.
    UnderWay,
    /// It was used: another request with it was answered.
    Used,
}

impl<K> Conversations<K> {
    /// None yet, and no tree. Equal seeds agree on digests.
    ///
    /// # Panics
    /// If a bound is not as it says.
    pub fn new(bounds: Bounds, seed: &Seed) -> Self {
        let max = bounds.conversations_max;
        assert!(max < 1 << 28, "of conversations there are below 2^28");
        let fork = |name| seed.fork("conversations").fork(name);
        Conversations {
            digests: Digests::new(seed),
            bounds,
            trees: Trees::new(max),
            conversations: Slab::new(max),
            // Each has two States at most, each of them two groups; one more while it changes from one to the next.
            states: Groups::new(max * 4 + 2, &fork("States")),
            lines: Groups::new(max, &fork("lines")),
            requests: Index::new(max * 2, &fork("requests")),
            deadlines: Deadlines::new(max),
            by_answer: Ends::EMPTY,
            replies: ReplyStore::new(bounds.replies_octets_max),
            sessions: ReplyStore::new(bounds.sessions_octets_max),
            names: ReplyStore::new(bounds.names_octets_max),
            counts: Counts::default(),
            live: 0,
            marks: 0,
            marked_at: None,
            marked: 0,
        }
    }

    /// These trees are configured from now on. Conversations of others run out; those that are over a bound that has sunk are
    /// forgotten as new ones come.
    pub fn set_trees(&mut self, configured: impl IntoIterator<Item = (Tree, TreeBounds)>) {
        self.trees.set(configured);
    }

    /// What all trees together may keep.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Makes trees and requests' keys.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Who asks.
    pub fn who(&self, identity: &Identity<'_>) -> Who {
        self.digests.who(identity)
    }

    /// Whose request this is, by its State; `trees` are those that may have made it. `request` is its key with this very State.
    ///
    /// A conversation counts only if client and User-Name agree and no other Calling-Station-Id speaks against it. Of several those
    /// with the request's own Calling-Station-Id are sought, then those without one. Where not exactly one remains the request
    /// is nobody's. One that has ended counts only where no other does.
    pub fn find(
        &mut self,
        who: &Who,
        trees: &[Tree],
        state: Option<&[u8]>,
        request: RequestKey,
        now: Instant,
    ) -> Found {
        if let Some(found) = self.find_request(request, now) {
            return found;
        }
        let Some(state) = state else { return Found::Unknown };
        // By the request's device, by none; or, from a request that has none, by any.
        let mut classes = [[Sole::Nobody; 3]; 2];
        for tree in trees {
            let of_user = self.digests.state(*tree, &who.user, state);
            let keys = match &who.device {
                None => [Some(of_user), None],
                Some(device) => {
                    [Some(device), None].map(|device| Some(self.digests.state_of_device(&of_user, device)))
                }
            };
            for (classes, key) in classes.iter_mut().zip(keys) {
                let Some(key) = key else { continue };
                for (class, members) in classes.iter_mut().zip(self.states.members(&key)) {
                    *class = class.or(members.sole());
                }
            }
        }
        let going = classes.map(|class| (class[NEWEST].or(class[BEFORE]), class[NEWEST]));
        let ended = classes.map(|class| (class[LAST], Sole::Nobody));
        for (sole, newest) in going.into_iter().chain(ended) {
            match sole {
                Sole::Nobody => {}
                Sole::One(place) => return self.ongoing(place, newest == sole, now),
                Sole::Several => {
                    self.counts.ambiguous += 1;
                    return Found::Unknown;
                }
            }
        }
        Found::Unknown
    }

    /// The live conversation of exactly this client, User-Name and Calling-Station-Id (or none), if there is one and no other: for
    /// a request whose State is unknown or was lost on the way.
    pub fn find_live(&self, who: &Who, now: Instant) -> Option<ConversationId> {
        let [members] = self.lines.members(&self.digests.line(who));
        match members.sole() {
            Sole::One(place) => (!self.is_over(place, now)).then(|| self.id(place)),
            Sole::Nobody | Sole::Several => None,
        }
    }

    /// What is kept of a conversation's decision; `None` if it is no more.
    pub fn kept(&self, id: ConversationId) -> Option<&K> {
        Some(&self.at(id)?.kept)
    }

    /// The same, to be changed.
    pub fn kept_mut(&mut self, id: ConversationId) -> Option<&mut K> {
        self.at(id)?;
        Some(&mut self.conversations[id.place].kept)
    }

    /// What rules remember of it, as it was given; empty if that was nothing.
    pub fn session(&self, id: ConversationId) -> &[u8] {
        let session = self.at(id).and_then(|conversation| conversation.session.as_ref());
        session.map_or(&[], |session| self.sessions.octets(session))
    }

    /// The tree that it is in.
    pub fn tree(&self, id: ConversationId) -> Option<Tree> {
        Some(self.trees.at(self.at(id)?.tree).tree)
    }

    /// The reply to the request of it that was answered last; `None` if that is too long ago, or there was no room.
    pub fn last_reply(&self, id: ConversationId) -> Option<&[u8]> {
        Some(self.replies.octets(self.at(id)?.answered.as_ref()?.reply.as_ref()?))
    }

    /// All that are live are waited for from now on, and those that begin with a request taken up by now.
    pub fn mark(&mut self, now: Instant) {
        self.marks = self.marks.wrapping_add(1);
        self.marked_at = Some(now);
        self.marked = self.live;
    }

    /// Whether any that was marked is live still.
    pub fn has_marked(&self) -> bool {
        self.marked > 0
    }

    /// Forgets what is over, a bounded number at once: what is left is due at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..OVER_EACH_TURN {
            match self.by_answer.first() {
                Some(place) if self.answered_until(place) <= now => self.forget_answer(place),
                Some(_) | None => break,
            }
        }
        for _ in 0..OVER_EACH_TURN {
            match self.deadlines.next() {
                Some((due, place)) if due <= now => {
                    let is_live = matches!(self.conversations[place].standing, Standing::Live { .. });
                    self.counts.expired += u64::from(is_live);
                    self.remove(place);
                }
                Some(_) | None => break,
            }
        }
    }

    /// When there is something to forget.
    pub fn next_deadline(&self) -> Option<Instant> {
        let answer = self.by_answer.first().map(|place| self.answered_until(place));
        let conversation = self.deadlines.next().map(|(due, _)| due);
        [answer, conversation].into_iter().flatten().min()
    }

    /// How many places there are, some of which may be free.
    pub fn places(&self) -> u32 {
        self.conversations.places()
    }

    /// What can be shown of the conversation at a place, if there is one.
    pub fn shown(&self, place: u32, now: Instant) -> Option<Shown<'_, K>> {
        let Conversation { number, kept, names, tree, standing, under_way, .. } =
            self.conversations.get(place)?;
        let names = names.as_ref().map(|names| {
            let octets = self.names.octets(names);
            let (user_octets, rest) = octets.split_first().expect("a length stands first");
            rest.split_at(usize::from(*user_octets))
        });
        Some(Shown {
            number: *number,
            kept,
            tree: self.trees.at(*tree).tree,
            standing: match standing {
                _ if under_way.is_some() => "under-way",
                Standing::Live { .. } => "live",
                Standing::Accepted => "accepted",
                Standing::Ended => "ended",
            },
            names,
            expires: self.deadlines.of(place).unwrap_or(now),
        })
    }

    /// How many are kept, those that have ended and stand for duplicates among them.
    pub fn len(&self) -> usize {
        self.conversations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are live.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Each tree and how many conversations it keeps.
    pub fn trees(&self) -> impl Iterator<Item = (Tree, usize)> {
        self.trees.iter()
    }

    /// Goes on counting where a table before it has left off: no conversation here has the name of one there.
    pub fn count_on(&mut self, before: Counts) {
        self.counts = before;
    }

    /// What has happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Forgets a conversation: it is decided about anew.
    pub fn forget(&mut self, id: ConversationId) {
        if self.at(id).is_some() {
            self.remove(id.place);
        }
    }

    pub(super) fn at(&self, id: ConversationId) -> Option<&Conversation<K>> {
        self.conversations.get(id.place).filter(|conversation| conversation.number == id.number)
    }

    pub(super) fn id(&self, place: u32) -> ConversationId {
        ConversationId { place, number: self.conversations[place].number }
    }

    fn find_request(&self, request: RequestKey, now: Instant) -> Option<Found> {
        let place = self.place_of_request(request)?;
        if self.is_over(place, now) {
            return None;
        }
        let Conversation { under_way, answered, .. } = &self.conversations[place];
        if under_way.is_some_and(|under_way| under_way.request == request) {
            return Some(Found::InProgress(self.id(place)));
        }
        let answered = answered.as_ref().expect("a request that is found is under way or was answered");
        (answered.expires > now).then(|| Found::Answered(self.id(place)))
    }

    fn ongoing(&self, place: u32, has_newest: bool, now: Instant) -> Found {
        let Conversation { under_way, answered, .. } = &self.conversations[place];
        let is_late = !has_newest && answered.as_ref().is_none_or(|answered| answered.expires <= now);
        if self.is_over(place, now) || is_late {
            return Found::Unknown;
        }
        let state_use = match under_way {
            _ if !has_newest => StateUse::Used,
            Some(UnderWay { has_newest: true, .. }) => StateUse::UnderWay,
            Some(_) | None => StateUse::Unused,
        };
        Found::Ongoing(self.id(place), state_use)
    }

    fn is_over(&self, place: u32, now: Instant) -> bool {
        self.deadlines.of(place).is_none_or(|due| due <= now)
    }

    fn answered_until(&self, place: u32) -> Instant {
        self.conversations[place].answered.as_ref().expect("what is listed was answered").expires
    }

    pub(super) fn hash_of_request(&self, request: RequestKey) -> KeyHash {
        self.requests.hash(&request.0.0)
    }

    pub(super) fn place_of_request(&self, request: RequestKey) -> Option<u32> {
        self.requests.find(self.hash_of_request(request), |place| {
            let Conversation { under_way, answered, .. } = &self.conversations[place];
            under_way.is_some_and(|under_way| under_way.request == request)
                || answered.as_ref().is_some_and(|answered| answered.request == request)
        })
    }

    /// A request is found no longer.
    pub(super) fn remove_request(&mut self, request: RequestKey, place: u32) {
        self.requests.remove(self.hash_of_request(request), place);
    }

    /// A State is found no longer by which it was, in this class.
    pub(super) fn leave_state(&mut self, groups: StateGroups, class: usize, place: u32) {
        self.states.leave(groups.user, class, place);
        self.states.leave(groups.device, class, place);
    }

    /// Its last answer stands no longer.
    pub(super) fn forget_answer(&mut self, place: u32) {
        let class = self.conversations[place].class_before();
        let Some(Answered { state, request, reply, .. }) = self.conversations[place].answered.take() else {
            return;
        };
        self.by_answer.remove(&mut self.conversations, place, |conversation| &mut conversation.by_answer);
        if let Some(state) = state {
            self.leave_state(state, class, place);
        }
        self.remove_request(request, place);
        if let Some(reply) = reply {
            self.replies.forget(reply, true);
        }
    }

    /// It is not live any more.
    pub(super) fn leave_line(&mut self, place: u32) {
        let Conversation { standing, marks, .. } = &self.conversations[place];
        if let Standing::Live { line } = *standing {
            self.live -= 1;
            self.marked -= usize::from(self.marked_at.is_some() && *marks != self.marks);
            self.lines.leave(line, 0, place);
        }
    }

    /// It is no more.
    pub(super) fn remove(&mut self, place: u32) {
        self.forget_answer(place);
        self.leave_line(place);
        let Conversation { newest, under_way, session, names, .. } = &mut self.conversations[place];
        let (newest, under_way, session) = (newest.take(), under_way.take(), session.take());
        if let Some(names) = names.take() {
            self.names.forget(names, true);
        }
        if let Some(newest) = newest {
            self.leave_state(newest, NEWEST, place);
        }
        if let Some(UnderWay { request, .. }) = under_way {
            self.remove_request(request, place);
        }
        if let Some(session) = session {
            self.sessions.forget(session, true);
        }
        self.deadlines.remove(place);
        self.trees.remove(&mut self.conversations, place);
        self.conversations.remove(place);
    }
}

/// Of each kind, that much is forgotten in one turn at most.
const OVER_EACH_TURN: usize = 256;
