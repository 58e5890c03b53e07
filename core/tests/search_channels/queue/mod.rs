//! The sources themselves, over the memory of this search instead of the machine's.

#[path = "../../../src/queue/crossing.rs"]
pub mod crossing;
#[path = "../../../src/queue/directory.rs"]
pub mod directory;
#[path = "../../../src/queue/gate.rs"]
pub mod gate;
#[path = "../../../src/queue/mailbox.rs"]
pub mod mailbox;
#[path = "../../../src/queue/ring.rs"]
pub mod ring;
mod sync;

pub use crossing::link;
