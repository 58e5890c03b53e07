//! Who may speak: clients, and the networks that they speak from.
//!
//! | kind | known from | keyed by | ends |
//! |---|---|---|---|
//! | configured | the configuration | longest network | reload |
//! | dynamic | a client rule that said yes | source address | its lifetime, or idle |
//! | dynamic, `nat = true` | the same | connection | the same |
//! | denied | a look-up that said no | rule and key | negative lifetime |
//! | pending | a stranger's packet at a worker | rule and key | an answer or a deadline |
//!
//! A configured client is found by the longest network that holds a packet's source ([`Clients`]); where a client rule's network is
//! longer, or a rule is to be preferred, [`ClientRules`] decide. Then a network core knows the client by its connection
//! ([`Connections`]), or asks a worker ([`Strangers`]): one step of a stranger's packet is in each file, in this order.
//!
//! - network core: no connection, or one under whose client a signed packet fails → to the worker of its address
//! - worker: rule → key → answer, known or looked up → verified → seen before? → admitted
//! - network core: the connection is that client's, whoever had it before; the packet goes on as any other
//!
//! A client found here by its address alone is who the packet's source *claims* to be (RFC 2865 §3); verifying is `packet`'s.

mod connection;
mod dynamic;
mod limits;
mod lookup;
mod mark;
mod networks;
mod prefix;
mod rule;
mod secret_table;
mod sightings;
mod strangers;

pub use connection::{Admission, Connections};
pub use dynamic::{DynamicClient, Whose};
pub use limits::{AddressLimits, Counted, Counts, Limits, Pace, Permit};
pub use lookup::{Clients, ClientsBuilder, DuplicatePrefix};
use mark::Marks;
pub use prefix::{Prefix, PrefixError};
pub use rule::{ClientRule, ClientRules, RuleSecret, Whom, look_up_key};
pub use secret_table::{SecretEntry, SecretTable};
pub use sightings::{Sighting, Sightings};
pub use strangers::Strangers;

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
