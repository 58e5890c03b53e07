//! How threads talk without a system call per message, and why no wake-up is lost.
//!
//! Here live the [`ring`] (bounded, one writer, one reader), the [`gate`] (one word per thread that says whether it
//! sleeps), the [`mailbox`] (letters to one thread, seldom), and the [`Crossing`], which owns all that one thread shares
//! with the others and has the phases of a turn. The [`directory`] knows the threads that there are; they and the links
//! between them come and go while the others run. The bell itself is the driver's: a [`BellId`] says whose to ring.
//! Nothing here knows what a message or a letter means.
//!
//! Two rules decide everything. What a writer knows of the reader's progress is stale: good enough to reuse slots,
//! never to decide whether to ring. And who wants to sleep announces it, fences and looks again, while who writes
//! publishes, fences and looks at the announcement: in every order one of the two sees the other.
//!
//! A turn, with every phase in its place:
//!
//! ```
//! use ulna_core::queue::{Announcement, BellId, Exchange, Urgency};
//!
//! let mut exchange = Exchange::new(2);
//! let (there, back) = exchange.link(BellId(0), BellId(1), 1024);
//! let mut crossings = exchange.build();
//! let (mut worker, mut network) = (crossings.remove(1), crossings.remove(0));
//!
//! // The worker has nothing to do.
//! worker.announce(Announcement::Park);
//! assert!(!worker.look_again(), "it may sleep in the kernel now");
//!
//! // The network thread hands a request over, and must ring once.
//! assert!(network.room(there) > 0);
//! network.stage(there, "request", Urgency::Urgent);
//! network.publish();
//! assert_eq!(network.check_gate(), Some(BellId(1)));
//! assert_eq!(network.check_gate(), None);
//!
//! // The worker's bell has rung.
//! worker.unpark();
//! let taken = worker.sweep(64, |from, message| assert_eq!((from, message), (back, "request")));
//! assert_eq!(taken, 1);
//! ```

pub mod crossing;
pub mod directory;
pub mod gate;
// With the ring the only unsafe code of core: letters that one thread hands to another.
#[allow(unsafe_code)]
pub mod mailbox;
pub mod message;
// With the mailbox the only unsafe code of core: slots that two threads hand to each other.
#[allow(unsafe_code)]
pub mod ring;
mod sync;

pub use crossing::{BellId, Crossing, Exchange, LinkEnd, LinkId, QueueCounters, link};
pub use directory::{Directory, ThreadHandle};
pub use gate::{Announcement, Gate, Urgency, Woken};
