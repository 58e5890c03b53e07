//! Where requests go that others decide: realms, pools of remote servers, and what is outstanding at each. RFC 2865 §2.3,
//! RFC 5080 §2.2.1, RFC 5997.
//!
//! A request that is forwarded walks through these files in this order:
//!
//! 1. [`Realms`]: the longest configured suffix of its User-Name names a pool.
//! 2. [`Pool`]: of its remote servers that are not dead its [`Balancer`] chooses one.
//!    What is known of them is their [`Health`], which all workers share.
//! 3. [`Outstanding`]: under which Identifier, and who waits for the reply.
//!
//! Plain data and rules about next hops; sends nothing and knows no socket. Control flow is the worker's.

mod balancer;
mod health;
mod outstanding;
mod pool;
mod realms;
mod remote_server;

pub use balancer::{Balancer, Key, Servers};
pub use health::{Health, Judgement, Standing};
pub use outstanding::{Entry, Outstanding, PortIndex, Purpose, Slot};
pub use pool::{Balance, Member, OnDead, Pool, PoolId};
pub use realms::{DuplicateRealm, Realm, RealmId, Realms};
pub use remote_server::{RemoteServer, RemoteServerId, StatusCheck};
