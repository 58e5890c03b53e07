//! What is to become of a request: request in, decision and edits out.
//!
//! [`Policy`] is the interface, for rules of a configuration and for code alike. [`ConfiguredRules`] are the first: the
//! virtual servers of a configuration, in each of which the first rule that matches decides. Rules are plain data, checked
//! and made ready when the configuration is loaded. Writes no packets, and neither sends nor waits.

mod asked;
mod condition;
mod configured;
mod decision;
mod edit;
mod hours;
mod pattern;
mod rules;
mod session;

pub use asked::Asked;
pub use condition::{Comparison, Condition, Question, ReplyKind, Selector};
pub use configured::{AccountingRule, CoaRule, ConfiguredRules, NewRule, OngoingRule, VirtualServer};
pub use decision::{
    Accounting, AccountingVerdict, CoaDecision, CoaVerdict, Decision, OngoingDecision, OngoingVerdict,
    Onward, Verdict,
};
pub use edit::{Edit, EditTooLong, Edits, OURS, is_ours};
pub use hours::{BadHours, Hours};
pub use pattern::{Case, EXPRESSION_OCTETS_MAX, PATTERN_OCTETS_MAX, Pattern, PatternError};
pub use rules::{QUESTIONS_MAX, Rules, Sheet};
pub use session::{EMPTY_SESSION, SESSION_OCTETS_MAX, SESSION_VALUE_OCTETS_MAX, Session, SessionFull};

use crate::configuration::Configuration;
use crate::generation::Generation;
use crate::path::WorkerId;
use crate::time::UnixTime;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// A virtual server's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u16);

/// Decides about requests. Each worker has one of its own, made by a factory when the server starts, so that it may keep
/// what it likes without a lock.
///
/// # What may be done in it
///
/// It runs on a worker's thread, between two packets, and all other requests of that worker wait for it: **a call must
/// return within a fraction of a millisecond**. It must not block: no file, no socket, no lock that another thread holds
/// for long, no sleep. It should not allocate for each request. A panic in any of these functions costs all requests that its worker has: they
/// are orphaned, the worker and its policy are made anew, and the third panic within ten seconds ends the process. What takes time is an effect, asked for by a decision: checking a slow password hash or looking something
/// up elsewhere will be variants of [`Decision`]; until they are, a policy keeps its tables in memory, and another thread of
/// the program fills them, for instance behind an `Arc` that is exchanged whole.
///
/// For the simulator and for replays it must be deterministic: the same requests in the same order get the same decisions.
/// The only clock is [`Asked::time`].
///
/// # When it is called
///
/// Once for each request that is verified, not too old and no duplicate; not for a retransmission. [`decide`](Policy::decide)
/// first, or for a later round of a conversation [`continue_with`](Policy::continue_with); then, for the reply that follows, [`edit_reply`](Policy::edit_reply), which sees the request and session as edited
/// by the verdict. [`account`](Policy::account) is asked about Accounting-Requests instead, [`coa`](Policy::coa) about CoA and
/// Disconnect.
pub trait Policy {
    /// What is to become of an Access-Request. Edits of the request and the session are made at once; those of the reply when
    /// there is one.
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p>;

    /// What is to become of an Access-Request that belongs to a conversation which [`decide`](Policy::decide) has decided about:
    /// one round of EAP after the first, say. The session is as it was left. It goes on unless this is written.
    fn continue_with<'p>(&'p mut self, _asked: &Asked<'_>) -> OngoingVerdict<'p> {
        OngoingVerdict::CONTINUE
    }

    /// What is changed in a reply, ours or a remote server's, before it is signed; nothing unless this is written.
    fn edit_reply<'p>(&'p mut self, _asked: &Asked<'_>, _reply: ReplyKind) -> Option<&'p Edit> {
        None
    }

    /// What is to become of an Accounting-Request; `None`, which it is unless this is written, discards it as
    /// `no-accounting-rule`.
    fn account<'p>(&'p mut self, _asked: &Asked<'_>) -> Option<AccountingVerdict<'p>> {
        None
    }

    /// What is to become of a CoA- or Disconnect-Request; `None`, which it is unless this is written, answers NAK with
    /// Administratively Prohibited.
    fn coa<'p>(&'p mut self, _asked: &Asked<'_>) -> Option<CoaVerdict<'p>> {
        None
    }

    /// Whether this policy has given out a State and still knows what it stands for; it has given out none unless this is
    /// written. Asked only of requests that may belong to another worker, when workers have come or gone: one whose State is
    /// not known here goes there.
    fn knows_state(&self, _state: &[u8]) -> bool {
        false
    }

    /// Workers have come or gone, and every conversation that begins from here on is routed by who owns its slot now: those
    /// that there are have to be finished where they are. Nothing is done unless this is written. A policy that keeps
    /// conversations notes which they are, for instance by counting such marks.
    fn mark_conversations(&mut self) {}

    /// Whether it still keeps a conversation from before the last mark, as of this time on the wall; it keeps none unless
    /// this is written. Asked at the mark and then each second until the answer is no; so long requests with a State that
    /// their slot's owner does not know come here, and a worker that leaves stays. No longer than
    /// [`CONVERSATIONS_WAIT_MAX`](crate::worker::CONVERSATIONS_WAIT_MAX), though: conversations should have a time-out of their
    /// own below that. To be answered without a walk over all of them.
    fn keeps_marked_conversations(&self, _time: UnixTime) -> bool {
        false
    }

    /// Takes the configuration under which requests may come from here on, beside the one before it. Nothing is done unless
    /// this is written: code of an embedder's own may not look at configurations.
    fn handle_configuration(&mut self, _generation: Generation, _configuration: &Arc<Configuration>) {}

    /// Forgets the older of two configurations.
    fn forget_older(&mut self) {}
}

/// Makes a worker's policy, which begins with this configuration: when the server starts, when a worker is hired, and when
/// one has panicked. Where a newer configuration is alive by then, the policy is told at once. If this panics, the server is not
/// started, or there are as many workers as before, or that counts as one more panic of the worker.
pub type PolicyFactory =
    dyn Fn(WorkerId, Generation, &Arc<Configuration>) -> Box<dyn Policy + Send> + Send + Sync;

/// Makes a policy of the configuration's own rules for each worker.
pub fn configured_rules() -> Arc<PolicyFactory> {
    Arc::new(|_, generation, configuration| {
        Box::new(ConfiguredRules::from(generation, Arc::clone(configuration)))
    })
}
