//! Requests that belong together: which worker has them, and what was decided for them. RFC 2865 §5.24, RFC 7542.
//!
//! One request walks through these files in this order:
//!
//! 1. [`realm`]: the realm of its User-Name; [`own_state`], [`slot`]: whose worker it is. Asked by the network core.
//! 2. [`Digests`]: who asks, by which tree's State, in which request.
//! 3. [`Conversations::find`]: whose conversation that is, or that the very request was seen before, by another connection.
//! 4. [`Conversations::begin`] and [`Conversations::answer`]: what its answer makes of it.
//!
//! Forwards and decides nothing, and compares no secret: who asks was verified before.

mod answer;
mod conversations;
mod digest;
mod entry;
mod group;
mod list;
pub mod own_state;
pub mod realm;
mod slab;
pub mod slot;
mod trees;

pub use answer::{Answer, Begun};
pub use conversations::{Bounds, Conversations, Counts, Found, Shown, StateUse};
pub use digest::{Digests, Identity, RealmTag, RequestKey, Tree, Who};
pub use entry::ConversationId;
pub use trees::TreeBounds;
