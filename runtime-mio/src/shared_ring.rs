//! A ring for another process: messages cross in a file that both have mapped, and a system call is made only to wake who
//! sleeps. The protocol is the one between threads (core's `queue`); here nothing that the other side writes is believed.
//!
//! One process creates the link and serves ([`Link::create`]); another one of the same user opens it and asks
//! ([`Link::open`]). A link serves one such process: as soon as that has come, the three names are taken from the file
//! system, and when it goes, the link has ended ([`End`]). Who creates chooses the number of slots.
//!
//! # The format
//!
//! Three names, each of mode 0600 and of the user that runs both processes: the file, and the FIFOs `<file>.there`, read
//! by who created, and `<file>.back`, read by who opened. Numbers are in the byte order of the machine; offsets are in
//! octets. `S` is the number of slots of each ring, a power of two up to 16 384. The two rings are *there*, which carries
//! datagrams to who created, and *back*, which carries replies.
//!
//! | offset | octets | is | written by |
//! |---|---|---|---|
//! | 0 | 8 | magic, 0x756c6e6172696e67 | at creation, and never again: |
//! | 8 | 4 | version, 1 | |
//! | 12 | 4 | octets of a slot, 4 160 | |
//! | 16 | 4 | `S` | |
//! | 24 | 8 | octets of the file, 4 096 + 2 · `S` · 4 160 | |
//! | 128 | 4 | gate of who created | both |
//! | 256 | 4 | gate of who opened | both |
//! | 384 | 8 | *there*: tail, messages published | who opened |
//! | 512 | 8 | *there*: head, messages taken | who created |
//! | 640 | 8 | *there*: the head at which the writer wants to be rung | who opened |
//! | 768 | 8 | *back*: tail | who created |
//! | 896 | 8 | *back*: head | who opened |
//! | 1 024 | 8 | *back*: the head at which the writer wants to be rung | who created |
//! | 4 096 | `S` · 4 160 | *there*: slots; message `n` lies in slot `n` mod `S` | who opened |
//! | 4 096 + `S` · 4 160 | `S` · 4 160 | *back*: slots | who created |
//!
//! A slot, every pattern of which is valid memory; what is not within these bounds ends the link:
//!
//! | offset | octets | is |
//! |---|---|---|
//! | 0 | 4 | kind: 1 datagram in *there*, 2 reply in *back* |
//! | 4 | 4 | octets of the packet, at most 4 096 |
//! | 8, 10 | 2, 2 | the remote end: family, 4 or 6; port |
//! | 12, 14 | 2, 2 | the server's own end: family, port |
//! | 16 | 16 | the remote address; one of IPv4 in the first four |
//! | 32 | 16 | the server's own address |
//! | 48, 52 | 4, 4 | scopes of the two, if they are of IPv6 |
//! | 56 | 8 | 0 |
//! | 64 | 4 096 | the packet |
//!
//! The header is looked at when the file is opened. Another version is refused by either side: nothing is negotiated, and
//! any change of these tables or of what follows is a new version.
//!
//! # What the other process has to do
//!
//! * **Open** the file without following links, check owner, mode, size and header, and lock it (`flock`, exclusive,
//!   without waiting); open `.back` to read and then `.there` to write, both without blocking, before it writes anything
//!   into the file; write one octet to `.there`: that tells that it has come.
//! * **Write** into the slots from its tail on, at most `S` beyond the head that it sees (load with acquire); then store
//!   tail (release); a sequentially consistent fence; load the reader's gate, and if it is 1 or 2, replace it by 3 by a
//!   compare-and-exchange (release); only if that succeeds, write one octet to the reader's FIFO. EAGAIN is as good.
//! * **Read** up to the tail that it sees (load with acquire); then store head (release); the same fence; load
//!   the writer's mark: if the head has passed it (old head < mark <= new head), look at the writer's gate and ring as above.
//! * **Sleep**: store 1 into its own gate; a sequentially consistent fence; look at the tail, and at the head if it waits for
//!   room, once more; if nothing is there, wait until its FIFO is readable. Then, or instead, exchange its gate for 0
//!   (acquire), and empty the FIFO before it stores 1 the next time.
//! * **Wait for room**: store the head at which it wants to be rung (no further than what it has published), before its gate.
//! * **Go** by closing both FIFOs, in whatever way: POLLHUP and POLLERR tell the other side.
//!
//! Sequences begin at 0 and never wrap. Replies may be given up where *back* is full, as with a socket.
//!
//! # What a malicious one can do
//!
//! It may write anything at any time, to its own hurt: an index or a message out of bounds ends the link with a named
//! [`PeerBroke`], and within bounds there are but packets that no secret verifies. Gates and marks decide only whether a
//! bell is rung: at most one system call for each batch. It vouches for the addresses that it writes, as
//! a network does. It is of the same user, and what that user may do to this process it may do without a ring: cut
//! the file, so that the process ends with SIGBUS, or send another signal.

mod bells;
mod link;
#[allow(unsafe_code)]
mod mapping;
mod opening;
mod ring;
mod slot;

pub use link::{End, Link, LinkCounters};
pub use opening::{MAGIC, OpenError, SLOTS_MAX, VERSION};
pub use slot::{Kind, PeerBroke, Slot};
