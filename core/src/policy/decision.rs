//! What policy answers.

use crate::attributes::Preset;

/// What is to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'r> {
    /// Answer Access-Accept.
    Accept {
        /// Attributes of the reply.
        set_reply: &'r Preset,
    },
    /// Answer Access-Reject, after the reject delay.
    Reject {
        /// Attributes of the reply.
        set_reply: &'r Preset,
    },
    /// Let the users of the configuration decide: Access-Accept or Access-Reject.
    AuthenticateUsers {
        /// Attributes of an Access-Accept, over those of the user; see [`Preset::over`].
        set_reply: &'r Preset,
    },
}
