//! One conversation: what was decided, what it is found by, and the request of it that is under way or was answered last.

use super::digest::{RequestKey, Who};
use super::list::Neighbours;
use crate::dedup::reply_store::StoredReply;
use crate::time::Instant;

/// A conversation of one worker core. Never that of another, also when that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationId {
    pub(super) place: u32,
    /// Counts all that were begun.
    pub(super) number: u64,
}

pub(super) struct Conversation<K> {
    pub number: u64,
    pub kept: K,
    pub session: Option<StoredReply>,
    /// A User-Name behind its length, and a Calling-Station-Id.
    pub names: Option<StoredReply>,
    pub tree: u32,
    pub who: Who,
    pub standing: Standing,
    /// What its newest State is found by.
    pub newest: Option<StateGroups>,
    pub under_way: Option<UnderWay>,
    pub answered: Option<Answered>,
    /// How often all were marked before it came.
    pub marks: u32,
    /// Neighbours among those of its tree.
    pub by_age: Neighbours,
    /// Neighbours among those with a request that was answered.
    pub by_answer: Neighbours,
}

impl<K> Conversation<K> {
    /// In which class of its groups the State before the newest is.
    pub fn class_before(&self) -> usize {
        if matches!(self.standing, Standing::Live { .. }) { BEFORE } else { LAST }
    }
}

/// Where a conversation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its last answer was a challenge. The place of its group among those sought without State.
    Live { line: u32 },
    /// Its last answer was an Access-Accept with State.
    Accepted,
    /// Its last answer was another; it stands for duplicates.
    Ended,
}

impl Standing {
    pub fn has_ended(self) -> bool {
        matches!(self, Standing::Ended)
    }
}

/// The places of a State's groups: of its user's, and of those whose device is the same, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StateGroups {
    pub user: u32,
    pub device: u32,
}

/// A request that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    pub request: RequestKey,
    /// Whether it has the newest State, or the one before.
    pub has_newest: bool,
}

/// The request that was answered last, for as long as duplicates may come.
pub(super) struct Answered {
    /// What its State is found by; the first of a conversation has none that counts here.
    pub state: Option<StateGroups>,
    pub request: RequestKey,
    pub reply: Option<StoredReply>,
    pub expires: Instant,
}

/// Classes of the groups that States are found by.
pub(super) const NEWEST: usize = 0;
/// The State before the newest, of a conversation that goes on.
pub(super) const BEFORE: usize = 1;
/// The last State of one that has ended or was accepted.
pub(super) const LAST: usize = 2;
