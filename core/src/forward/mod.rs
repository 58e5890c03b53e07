//! Where requests go that others decide: realms, pools of remote servers, and what is outstanding at each. RFC 2865 §2.3,
//! RFC 5080 §2.2.1, RFC 5997.
//!
//! A request that is forwarded walks through these files in this order:
//!
//! 1. [`Realms`]: the longest configured suffix of its User-Name names a pool.
//! 2. [`Pool`]: of its remote servers that are not dead its [`Balancer`] chooses one.
//!    What is known of them is their [`Health`] and, where they are known by name, their [`Resolution`], which all workers share.
//! 3. [`Outstanding`]: under which Identifier, and who waits for the reply.
//! 4. [`Outbound`]: the octets with which it goes there, among them a Proxy-State of ours ([`OwnProxyState`]), through a
//!    [`RemoteSocket`].
//! 5. [`Inbound`]: what comes back, as the NAS gets it.
//!
//! CoA and Disconnect go the other way: [`Nases`] say to which client, in the place of the first two steps.
//!
//! Plain data and rules about next hops; sends nothing and knows no socket. Control flow is the worker's.

mod address;
mod balancer;
mod health;
mod nases;
mod outstanding;
mod pool;
mod proxy_state;
mod realms;
mod remote_server;
mod resolution;
mod rewrite;
mod socket;

pub use address::RemoteAddress;
pub use balancer::{Balancer, Key, Servers};
pub use health::{Health, Judgement, Standing};
pub use nases::{HOPS_MAX, Nases, NasesBuilder};
pub use outstanding::{Entry, Outstanding, PortIndex, Purpose, Slot};
pub use pool::{Balance, Member, OnDead, Pool, PoolId};
pub use proxy_state::{OwnProxyState, PROXY_STATE_OCTETS, ProxyStateKey};
pub use realms::{DuplicateRealm, Realm, RealmId, Realms};
pub use remote_server::{RemoteServer, RemoteServerId, Role, StatusCheck};
pub use resolution::Resolution;
pub use rewrite::{Inbound, Outbound};
pub use socket::{RemoteOrder, RemoteSocket};
