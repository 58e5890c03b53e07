//! What a worker knows of a request that it forwards: where it goes, what has been decided about it; and what is kept of a
//! conversation for its next round. Plain data.

use crate::conversation::{ConversationId, RequestKey, StateUse};
use crate::effect::Ticket;
use crate::forward::{OnDead, PoolId, RemoteServerId, Slot};
use crate::path::NetworkId;
use crate::policy::Edits;
use crate::request::RequestHandle;
use crate::time::UnixTime;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A decision to forward a request, whose attributes, as rules have edited them, are made again whenever they are wanted.
pub struct GoesOn {
    /// Where to.
    pub to: To,
    /// The number of the rule that has decided.
    pub rule: Option<u16>,
    /// What changes the request: what began the conversation, and what goes on with it.
    pub edits: [Option<Arc<Edits>>; 2],
    /// Which conversation it is a round of, if it is one's.
    pub round: Option<Round>,
    /// For which time it was decided.
    pub time: UnixTime,
    /// It is answered when it is in the spool, and sent on from there.
    pub is_spooled: bool,
}

impl GoesOn {
    /// No round of a conversation, at least not yet, and answered by where it goes.
    pub fn new(to: To, rule: Option<u16>, edits: Option<Arc<Edits>>, time: UnixTime) -> GoesOn {
        GoesOn { to, rule, edits: [edits, None], round: None, time, is_spooled: false }
    }

    fn goes_to_nas(&self) -> bool {
        matches!(self.to, To::Nas(_))
    }
}

/// A request of a conversation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// The conversation.
    pub conversation: ConversationId,
    /// What tells the request from all others, whichever connection it comes by.
    pub request: RequestKey,
    /// What has become of its State so far.
    pub state_use: StateUse,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To whichever server of this pool is chosen.
    Pool(PoolId),
    /// To the server that has its conversation.
    Kept(KeptServer),
    /// To the NAS of this number.
    Nas(RemoteServerId),
}

/// A remote server as a worker knows it through reloads, and what becomes of its conversations when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptServer {
    /// Its place among the worker's.
    pub place: u16,
    /// How many had that place before.
    pub turn: u32,
    /// As its pool says.
    pub on_dead: OnDead,
}

/// What is kept of a conversation.
#[derive(Clone)]
pub struct Kept {
    /// Who has it.
    pub decides: Decides,
    /// The number of the rule that began it.
    pub rule: Option<u16>,
    /// What that rule changes, in each round.
    pub edits: Option<Arc<Edits>>,
    /// Where its last round came from: one that nothing signs goes on from there alone.
    pub remote: SocketAddr,
    /// The request of it that was taken up last.
    pub taken_up: Option<(NetworkId, RequestHandle)>,
}

/// Who decides about the rounds of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    /// A remote server.
    Server(KeptServer),
    /// We do, by the one-time code that was asked for.
    OneTimeCode,
}

/// The decisions about requests that go on and wait meanwhile. Apart from these, as most that may wait are not forwarded. Its memory is
/// taken as it is needed, and kept.
#[derive(Default)]
pub struct Decisions {
    places: Vec<Option<GoesOn>>,
    free: Vec<u32>,
    to_nases: usize,
}

/// One of them, until it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionId(u32);

impl Decisions {
    /// Keeps one until it is [taken](Decisions::take).
    pub fn keep(&mut self, goes_on: GoesOn) -> DecisionId {
        self.to_nases += usize::from(goes_on.goes_to_nas());
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(goes_on);
                DecisionId(place)
            }
            None => {
                self.places.push(Some(goes_on));
                // When all are taken they find room there.
                self.free.reserve(self.places.len());
                DecisionId(self.places.len() as u32 - 1)
            }
        }
    }

    /// One that is kept.
    pub fn at(&self, DecisionId(place): DecisionId) -> &GoesOn {
        self.places[place as usize].as_ref().expect(KEPT)
    }

    /// It is kept no longer.
    pub fn take(&mut self, DecisionId(place): DecisionId) -> GoesOn {
        self.free.push(place);
        let goes_on = self.places[place as usize].take().expect(KEPT);
        self.to_nases -= usize::from(goes_on.goes_to_nas());
        goes_on
    }

    /// How many of them go to NASes.
    pub fn to_nases(&self) -> usize {
        self.to_nases
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

const KEPT: &str = "a decision is taken once, by the request that waits";

/// A request that waits for a remote server's reply.
pub struct Awaited {
    /// What has been decided.
    pub decision: DecisionId,
    /// The number of the rule that has decided.
    pub rule: Option<u16>,
    /// Who has it.
    pub server: KeptServer,
    /// Under which Identifier.
    pub slot: Slot,
    /// Under which ticket it waits.
    pub ticket: Ticket,
}
