//! Who may speak: clients, and the networks that they speak from.
//!
//! Here are the clients of the configuration, found by longest network prefix. Knows no packets and verifies
//! nothing: a client found here is who the packet's source *claims* to be (RFC 2865 §3).

mod lookup;
mod prefix;

pub use lookup::{Clients, ClientsBuilder, DuplicatePrefix};
pub use prefix::{Prefix, PrefixError};

use crate::packet::{Requirements, Secrets};
use alloc::boxed::Box;

/// A client's place in [`Clients`], in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// Who may speak, and under which conditions.
pub struct Client {
    /// The operator's name for it, unique.
    pub name: Box<str>,
    /// One, or two while rotating: the one that verified a request signs its reply.
    pub secrets: Secrets,
    /// Discard Access-Requests that carry no Message-Authenticator.
    pub require_message_authenticator: bool,
    /// Discard Access-Requests that carry Proxy-State but no Message-Authenticator: the way of the BlastRADIUS
    /// attack through a client that cannot sign yet.
    pub limit_proxy_state: bool,
}

impl Client {
    /// What its Access-Requests have to carry.
    pub fn requirements(&self) -> Requirements {
        Requirements {
            require_message_authenticator: self.require_message_authenticator,
            limit_proxy_state: self.limit_proxy_state,
        }
    }
}
