//! What policy answers.

use super::Edits;
use crate::forward::PoolId;
use alloc::sync::Arc;

/// What is to become of an Access-Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer Access-Accept.
    Accept,
    /// Answer Access-Reject, after the reject delay.
    Reject,
    /// Let the users of the configuration decide: Access-Accept or Access-Reject.
    AuthenticateUsers,
    /// Let its devices decide, by hardware address.
    AuthenticateMac,
    /// Let a remote server decide.
    Proxy(Onward),
}

/// Where a request is forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    /// To a server of this pool.
    Pool(PoolId),
    /// To one of its realm's pool; nowhere if that has none.
    ByRealm,
}

impl Decision {
    /// Whether what the request holds decides further.
    pub fn authenticates(self) -> bool {
        match self {
            Decision::AuthenticateUsers | Decision::AuthenticateMac => true,
            Decision::Accept | Decision::Reject | Decision::Proxy(_) => false,
        }
    }
}

/// A decision and what goes with it.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'p> {
    /// What is to become of the request.
    pub decision: Decision,
    /// The number of the rule that decided, from 1: for the log.
    pub rule: Option<u16>,
    /// What is changed. Those of the reply go over a user's, and into no reject that follows from a wrong password. Shared,
    /// so that a request that has to wait keeps them without a copy.
    pub edits: Option<&'p Arc<Edits>>,
}

/// What is to become of an Access-Request that goes on with a conversation which has been decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OngoingDecision {
    /// It goes on as it began: to the same remote server, or with the same method of ours.
    Continue,
    /// Answer Access-Reject, after the reject delay.
    Reject,
}

/// The same with what goes with it. Edits come after those of the verdict that began the conversation.
#[derive(Debug, Clone, Copy)]
pub struct OngoingVerdict<'p> {
    /// What is to become of the request.
    pub decision: OngoingDecision,
    /// The number of the rule that decided, from 1: for the log.
    pub rule: Option<u16>,
    /// What is changed.
    pub edits: Option<&'p Arc<Edits>>,
}

/// What is to become of an Accounting-Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// Store it in the accounting file, and answer when it is safe there (RFC 2866 §4.1).
    Store,
    /// Forward it; the answer is the remote server's.
    Proxy(Onward),
    /// Store it, and forward it when it is safe there; the answer is the remote server's.
    StoreAndProxy(Onward),
    /// Write it into the spool, and answer when it is safe there; from then on it is sent there until it is answered.
    Spool(Onward),
    /// The same after it is stored.
    StoreAndSpool(Onward),
}

/// The same for accounting.
#[derive(Debug, Clone, Copy)]
pub struct AccountingVerdict<'p> {
    /// What is to become of the request.
    pub accounting: Accounting,
    /// The number of the rule that decided, from 1: for the log.
    pub rule: Option<u16>,
    /// What is changed in what is recorded.
    pub edits: Option<&'p Arc<Edits>>,
}

/// What is to become of a CoA- or Disconnect-Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoaDecision {
    /// Forward it to the NAS that it names among the clients of the configuration.
    Proxy,
    /// Answer NAK: Administratively Prohibited.
    Reject,
}

/// The same with what goes with it.
#[derive(Debug, Clone, Copy)]
pub struct CoaVerdict<'p> {
    /// What is to become of the request.
    pub decision: CoaDecision,
    /// The number of the rule that decided, from 1: for the log.
    pub rule: Option<u16>,
    /// What is changed in the request, before it is read which NAS it names.
    pub edits: Option<&'p Arc<Edits>>,
}

impl OngoingVerdict<'_> {
    /// It goes on, and nothing is changed.
    pub const CONTINUE: OngoingVerdict<'static> =
        OngoingVerdict { decision: OngoingDecision::Continue, rule: None, edits: None };
}

impl Verdict<'_> {
    /// A decision that changes nothing.
    pub fn plain(decision: Decision) -> Verdict<'static> {
        Verdict { decision, rule: None, edits: None }
    }
}
