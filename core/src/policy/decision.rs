//! What policy answers.

/// What is to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'r> {
    /// Answer Access-Accept.
    Accept {
        /// Attribute octets of the reply.
        set_reply: &'r [u8],
    },
    /// Answer Access-Reject, after the reject delay.
    Reject {
        /// Attribute octets of the reply.
        set_reply: &'r [u8],
    },
    /// Let the users of the configuration decide: Access-Accept or Access-Reject.
    AuthenticateUsers {
        /// Attribute octets of an Access-Accept, over those of the user; see [`edited`](super::edited).
        set_reply: &'r [u8],
    },
}
