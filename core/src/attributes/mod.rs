//! A packet's attributes as a dictionary names them: read from octets, written to octets, hidden per hop, and as text.
//!
//! Between the rooms `packet`, which knows octets only, and `dictionary`, which knows names only. Decides nothing, and
//! keeps nothing of a packet; what a configuration sets is made ready here ([`Preset`]). Drops nothing either: what no
//! dictionary knows, and what is none of its type, is an item like any other, octet for octet and in its place.
//! RFC 2865 §5, RFC 2868 §3, RFC 3579 §3.1, RFC 6929 §2.

mod hidden;
mod law;
mod preset;
mod rehide;
mod retain;
pub mod text;
mod walk;
mod write;

pub use hidden::{Plain, Sealing, hide};
#[doc(hidden)]
pub use law::{attributes_law, every_kind};
pub use preset::{Held, NOTHING, OtherDictionary, Piece, Pieces, Preset, write_hidden};
pub use rehide::rehide;
pub use retain::retain;
pub use walk::{Item, Scratch, Shape, Walk};
pub use write::{Entry, WriteError, Writer};
