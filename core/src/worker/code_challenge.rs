//! A code asked for after the password, by an Access-Challenge of our own: what it says, and the conversation that it begins. RFC 2865
//! §4.4, §5.18 and §5.24; RFC 6238.
//!
//! Whether password and code are right is for [`credentials`](super::credentials). A State of ours is good for one request: whatever
//! that is answered with ends the conversation.

use super::Worker;
use super::onward::{Decides, Kept};
use crate::conversation::own_state::{OWN_STATE_OCTETS, OwnStates};
use crate::conversation::slot::SlotHash;
use crate::conversation::{Answer, Begun, Tree};
use crate::packet::{Framed, number};
use crate::path::NetworkId;
use crate::policy::Edits;
use crate::queue::message::Message;
use crate::request::Request;
use crate::seed::Seed;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Makes the States of challenges.
pub struct Challenger {
    states: OwnStates,
    slots: SlotHash,
}

/// What an Access-Challenge begins.
pub struct Asks {
    /// The State in it.
    pub state: [u8; OWN_STATE_OCTETS],
    /// The number of the rule that has decided.
    pub rule: Option<u16>,
    /// What that changes, in the next round as well.
    pub edits: Option<Arc<Edits>>,
}

impl Challenger {
    /// `node_key` is the server's, `own` this worker's in this life alone.
    pub fn new(node_key: &Seed, own: &Seed) -> Challenger {
        let states = OwnStates::new(node_key, own.fork("own States").generator());
        Challenger { states, slots: SlotHash::new(node_key) }
    }

    /// A State that leads the next round where this request belongs, whose client has this name.
    pub fn state(&mut self, framed: &Framed<'_>, client: &str) -> [u8; OWN_STATE_OCTETS] {
        self.states.make(self.slots.slot(framed, client))
    }
}

/// What the user reads, unless rules for replies say else.
pub fn write_prompt(out: &mut Vec<u8>) {
    out.extend_from_slice(&[number::REPLY_MESSAGE, PROMPT.len() as u8 + 2]);
    out.extend_from_slice(PROMPT);
}

impl Worker {
    /// The conversation that begins with the Access-Challenge on the desk.
    pub(super) fn begin_asking(&mut self, request: &Request, asks: Asks, taken_up: Instant, now: Instant) {
        let of = self.asks(request);
        let Asks { state, rule, edits } = asks;
        let kept = Kept {
            decides: Decides::OneTimeCode,
            rule,
            edits,
            remote: request.stamp().path.remote,
            taken_up: None,
        };
        let session = self.desk.session.octets();
        let framed = request.framed();
        let names = super::ongoing::names(&framed);
        let begun = Begun { tree: Tree::Own, who: of.who, request: of.request, taken_up, session, names };
        let answer = Answer::Challenge(Some(&state));
        self.conversations.begin(&begun, kept, answer, &self.desk.packet, now);
        self.note_conversations();
    }

    /// The reply on the desk, which is not to go before this time has passed.
    pub(super) fn send_later(
        &mut self,
        network: NetworkId,
        request: Request,
        since: Instant,
        delay: Duration,
        now: Instant,
    ) {
        if delay.is_zero() {
            return self.send(network, request, now);
        }
        let completion = self.completed(request, now);
        // The delay is not to tell how long it took: it counts from when the request was taken up.
        let not_before = (since + delay).max(now);
        self.complete(network, Message::Reply { completion, not_before });
    }
}

const PROMPT: &[u8] = b"One-time code:";
