//! One rule: what it does, and how it edits the reply.

use super::Decision;
use crate::attributes::Preset;

/// A rule of a virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does with the request.
    pub action: Action,
    /// What the reply gets; at most [`REPLY_OCTETS_MAX`](crate::configuration::REPLY_OCTETS_MAX).
    pub set_reply: Preset,
}

/// What a rule does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Answer Access-Accept.
    Accept,
    /// Answer Access-Reject.
    Reject,
    /// Check the password against the users of the configuration.
    AuthenticateUsers,
}

impl Rule {
    /// What this rule decides when it matches.
    pub fn decision(&self) -> Decision<'_> {
        let set_reply = &self.set_reply;
        match self.action {
            Action::Accept => Decision::Accept { set_reply },
            Action::Reject => Decision::Reject { set_reply },
            Action::AuthenticateUsers => Decision::AuthenticateUsers { set_reply },
        }
    }
}
