//! The door through which the simulator drives a server: one method per phase of a thread's turn.
//!
//! In production a turn calls the phases back to back; here a thread may be stopped between any two. The world
//! calls them in this order, all of a turn with the `now` that was taken when it began:
//!
//! 1. after a wait or a look into the kernel: [`NodeThread::unpark`]; the bell has been taken just before
//! 2. [`NodeThread::begin_turn`], [`NodeThread::handle_wall_time`]
//! 3. [`NodeThread::sweep`], then [`NodeThread::handle_effect_done`] for each answer that has come
//! 4. [`NodeThread::handle_datagram`] for each datagram of a bounded batch, and [`NodeThread::handle_remote_datagram`] for each of
//!    sockets to remote servers
//! 5. [`NodeThread::handle_timeouts`], then [`NodeThread::poll_effect`] until `None`
//! 6. [`NodeThread::poll_remote_order`], [`NodeThread::poll_forward`], [`NodeThread::poll_transmit`], each until `None`
//! 7. [`NodeThread::stage_messages`], then [`NodeThread::publish`]
//! 8. [`NodeThread::check_gate`] until [`GateCheck::Done`], each call a phase of its own
//! 9. a step of a reload, or of a change of workers, if one is ordered: [`NodeThread::know_newest`],
//!    [`NodeThread::take_orders`] and those behind them
//! 10. where no socket is known to hold more and [`NodeThread::may_park`] agrees: [`NodeThread::announce`]
//! 11. then [`NodeThread::look_again`]: `false` leads into the kernel, until bell, datagram or the deadline of
//!     [`NodeThread::poll_timeout`]; all else only to a look at bell and sockets, and on to 1

use crate::fault::thread::Panic;
use crate::site::Site;
use std::net::SocketAddr;
use ulna_core::control::{ControlId, ControlView};
use ulna_core::effect::{Effect, EffectDone, LookUp, LookedUp, Ticket};
use ulna_core::forward::{RemoteOrder, RemoteSocket, Standing};
use ulna_core::time::UnixTime;
use ulna_core::{Instant, ListenerId, Path, Transmit};

/// A whole server process under test.
pub trait Node {
    /// One of its threads that [is here](Node::is_here), numbered as [`crate::plan::Topology::threads`] says.
    fn thread(&mut self, thread: usize) -> &mut dyn NodeThread;

    /// Which network core the steering program sends datagrams of this flow to.
    fn steer(&self, listener: ListenerId, remote: SocketAddr) -> usize;

    /// Which network core takes what comes from there, whoever has read it.
    fn owner(&self, remote: SocketAddr) -> usize;

    /// The process has ended, and another begins with this site: the one after `life` others.
    fn restart(&mut self, site: &Site, life: u64);

    /// A new configuration as the operator has written it: site number `site` of the plan. The threads take it step by
    /// step, under this generation.
    fn prepare(&mut self, site: &Site, generation: u8);

    /// Files of tables of secrets are as this site has them: from here on look-ups are answered so, and the threads are to
    /// take the step that follows. False where nothing has changed; `None` where tables are read with configurations only.
    fn put_tables(&mut self, _site: &Site) -> Option<bool> {
        None
    }

    /// What the tables of secrets say that it has.
    fn look_up(&self, _look_up: &LookUp) -> LookedUp {
        LookedUp::Failed
    }

    /// How many packets network cores took for those of strangers, whether they asked workers about them or had no room for
    /// that. `None` where that is not offered: then about each packet of a client of a rule a worker may have been asked.
    fn strangers(&self) -> Option<u64> {
        None
    }

    /// How many packets and requests network cores have discarded.
    fn discards(&self) -> u64 {
        0
    }

    /// Whether there is a thread of this number now.
    fn is_here(&self, thread: usize) -> bool;

    /// The thread that the bell of this number wakes.
    fn thread_of_bell(&self, bell: usize) -> usize {
        bell
    }

    /// From now on there are to be so many workers; all threads know the configuration alone that was prepared last. Nothing
    /// is to be done unless it says so.
    fn change_workers(&mut self, _workers: u16) -> Option<Hired> {
        None
    }

    /// All threads have settled since the change: what slots remember of it is void, and who leaves may go.
    fn settle(&mut self) {}

    /// How many requests from before the change workers have, unread or held, whose slots are others' now.
    fn requests_of_others(&self) -> usize {
        0
    }

    /// The thread of a worker that has gone ends.
    fn release(&mut self, thread: usize) {
        unreachable!("nobody was hired: {thread}");
    }

    /// A core of it has just panicked and been replaced: which.
    fn core_died(&mut self) -> Died {
        unreachable!("nothing was said of a panic");
    }

    /// Counts over all its threads, now.
    fn snapshot(&self) -> Snapshot;
}

/// One thread of it, phase by phase.
pub trait NodeThread {
    /// Back from the kernel: the gate says running again.
    fn unpark(&mut self, now: Instant);

    /// A turn begins; room that readers gave back is told to the cores.
    fn begin_turn(&mut self, now: Instant);

    /// What the clock on the wall shows at the beginning of this turn.
    fn handle_wall_time(&mut self, time: UnixTime);

    /// Takes a bounded number of messages off the rings; how many it took, or only whether it took any.
    fn sweep(&mut self, now: Instant) -> usize;

    /// One datagram came.
    fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant);

    /// Does what is due.
    fn handle_timeouts(&mut self, now: Instant);

    /// What is to be done elsewhere. Nothing, unless it is said.
    fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        None
    }

    /// A socket to a remote server to be opened or closed. Nothing, unless it is said.
    fn poll_remote_order(&mut self) -> Option<RemoteOrder> {
        None
    }

    /// It could not be opened.
    fn handle_remote_refused(&mut self, socket: RemoteSocket, _now: Instant) {
        unreachable!("no socket was ordered: {socket:?}");
    }

    /// One datagram came by a socket to a remote server.
    fn handle_remote_datagram(&mut self, socket: RemoteSocket, _octets: &[u8], _now: Instant) {
        unreachable!("no socket was ordered: {socket:?}");
    }

    /// One packet to be sent to a remote server, into the empty `out`. Nothing, unless it is said.
    fn poll_forward(&mut self, _out: &mut Vec<u8>) -> Option<Transmit> {
        None
    }

    /// What came of it. Only for a thread that has asked.
    fn handle_effect_done(&mut self, ticket: Ticket, done: EffectDone, _now: Instant) {
        unreachable!("nothing was asked for: {ticket:?}, {done:?}");
    }

    /// Somebody has connected to the control socket. These are for the first thread alone, which has it: what is said in the phase
    /// in which datagrams are read, and what is written and closed in that in which they are sent.
    ///
    /// # Errors
    /// What is written before it is closed.
    fn handle_control_accepted(&mut self, _now: Instant) -> Result<ControlId, String> {
        unreachable!("there is no control socket");
    }

    /// Octets of a control connection, the end of what it sends, its breaking, octets of its output that were written, its
    /// closing.
    fn handle_control(&mut self, id: ControlId, input: ControlInput<'_>, _now: Instant) {
        unreachable!("nobody has connected: {id:?}, {input:?}");
    }

    /// A control connection that has something for its driver.
    fn poll_control(&mut self) -> Option<ControlId> {
        None
    }

    /// What its driver is to do with it.
    fn control(&self, _id: ControlId) -> Option<ControlView<'_>> {
        None
    }

    /// Most octets that an inspection finds waiting for one reader.
    fn control_waiting(&self) -> usize {
        0
    }

    /// One packet to be sent, into the empty `out`.
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit>;

    /// Writes waiting messages into slots of the rings. What finds no room waits; the thread's second look covers it.
    fn stage_messages(&mut self, now: Instant);

    /// Makes what was staged visible.
    fn publish(&mut self);

    /// Looks at the next gate that this turn's publishing concerns.
    fn check_gate(&mut self) -> GateCheck;

    /// Whether it has made something visible, a message or room, and not yet looked at the gate of whom it concerns.
    fn is_before_gate(&self) -> bool;

    /// After the last gate: whether it may wait, as the runtime would ask.
    fn may_park(&self) -> bool;

    /// Whether an inspection finds anything inside that needs neither bell nor datagram nor deadline to go on.
    /// [`NodeThread::may_park`] must then say no.
    fn has_output(&self) -> bool;

    /// Says that it is about to wait.
    fn announce(&mut self);

    /// Looks once more at all that could have come meanwhile; `true` if there is something, and the gate says
    /// running again.
    fn look_again(&mut self) -> bool;

    /// The next deadline as the runtime would ask for it.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next deadline as an inspection of everything inside finds it; `None` where that is not offered.
    /// [`NodeThread::poll_timeout`] must not be later.
    fn earliest_deadline(&self) -> Option<Instant>;

    /// Whether something is visible to this thread for which, by the rules of its gate, it must not sleep: an urgent
    /// message, any message where it waits for completions, room in a ring that it waits on, a letter in its mailbox.
    fn urgent_visible(&self) -> bool;

    /// How many requests it has taken up in this turn.
    fn requests(&self) -> usize {
        0
    }

    /// The first step of a reload: it knows what was prepared last.
    fn know_newest(&mut self);

    /// The second: what it reads from here on is verified under that.
    fn put_in_force(&mut self);

    /// Whether anything of it still has to do with the configuration before.
    fn needs_older(&self) -> bool;

    /// The third: it forgets the configuration before.
    fn forget_older(&mut self);

    /// It hears which lines of tables have changed.
    fn take_tables(&mut self) {}

    /// Steps of a change of workers: it takes the owners of slots and dismisses who leaves, as it was ordered last.
    fn take_orders(&mut self, _now: Instant) {}

    /// Whether nothing of it is left from before the change.
    fn has_settled(&self) -> bool {
        true
    }

    /// Whether it is the thread of a worker that is to go.
    fn is_leaving(&self) -> bool {
        false
    }

    /// Whether it is that of one that has gone.
    fn is_gone(&self) -> bool {
        false
    }

    /// A core of this thread panics, now or when it has decided so many times: whether one has, now. Another takes its place,
    /// and the thread goes on with a turn that begins. Nothing, unless it is said.
    fn panic(&mut self, _panic: Panic, _now: Instant) -> bool {
        false
    }

    /// Whether a core that was to panic later has done so since this was asked last.
    fn has_panicked(&mut self) -> bool {
        false
    }

    /// Moves the decisions of policy since the last call into `sink`, and what was said of remote servers into `standings`.
    fn drain_decisions(&mut self, sink: &mut Vec<Decision>, standings: &mut Vec<Stands>);
}

/// What befalls a control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlInput<'o> {
    /// These octets came.
    Octets(&'o [u8]),
    /// Its peer sends nothing more.
    Ended,
    /// Nothing can be read or written any more.
    Broken,
    /// So many octets of its output were written.
    Written(usize),
    /// It was over, and is closed.
    Closed,
}

/// A remote server is to be treated otherwise from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// By its place in the plan.
    pub server: usize,
    /// How.
    pub standing: Standing,
    /// The time of the turn that says so, in virtual nanoseconds.
    pub turn: u64,
}

/// Which core has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Died {
    /// A network core, and with it what it remembered.
    Network,
    /// A worker.
    Worker,
}

/// Who comes in a change of workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hired {
    /// Threads that begin.
    pub threads: Vec<usize>,
    /// Threads whose bells have to be rung: letters are in their mailboxes.
    pub bells: Vec<usize>,
}

/// What looking at one gate led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateCheck {
    /// No gate is left to be looked at.
    Done,
    /// That recipient needs no bell.
    Quiet,
    /// Ring the bell of this number.
    Ring(usize),
}

/// Policy decided one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Where the request came from.
    pub remote: SocketAddr,
    /// Where it came in.
    pub listener: ListenerId,
    /// Its Identifier.
    pub identifier: u8,
    /// Its Request Authenticator.
    pub authenticator: [u8; 16],
    /// The configuration that it was verified under, counted from the start of the server.
    pub generation: u8,
}

/// What a node counts. Sums over all threads; every datagram handed in is in exactly one of the fates or in
/// progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Datagrams handed to `handle_datagram`.
    pub received: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Duplicates that got the cached reply.
    pub resent: u64,
    /// Duplicates of a request in progress.
    pub in_progress_duplicates: u64,
    /// Silently discarded, all reasons together.
    pub discarded: u64,
    /// Those of them that no secret of their client verifies.
    pub unverified: u64,
    /// Requests that another one took the Identifier from.
    pub superseded: u64,
    /// Requests whose worker, or network core, died.
    pub orphaned: u64,
    /// Network cores that panicked.
    pub deaths: u64,
    /// Requests without fate as yet, a delayed reject among them or not.
    pub in_progress: u64,
    /// Requests and replies that are remembered for duplicates.
    pub remembered: u64,
    /// Answers that were discarded because too many waited to be sent.
    pub unsent: u64,
    /// Requests that wait for an effect, or for a remote server.
    pub held: u64,
    /// Conversations with remote servers that may go on.
    pub conversations: u64,
    /// Requests that wait for remote servers' answers.
    pub outstanding: u64,
    /// Look-ups under way, told of or not.
    pub look_ups: u64,
    /// Packets of strangers that were discarded as too many were.
    pub look_ups_refused: u64,
    /// Notices to workers, of duplicates and of requests that were superseded, that found no room.
    pub notices_dropped: u64,
    /// Decided requests, or their replies, that were given up for want of room: they may be decided again.
    pub forgotten: u64,
    /// Packet buffers, where the node counts them.
    pub buffers: Option<Buffers>,
    /// Tripwires that caught a lost wake-up.
    pub lost_wakeups: u64,
    /// Control connections that are open.
    pub control_connections: u64,
    /// Parts of their commands that workers have.
    pub tasks: u64,
    /// Marks of theirs that were reached.
    pub control_marks: u64,
    /// Tasks that were told of one.
    pub tasks_woken: u64,
}

impl Snapshot {
    /// All fates together with what has none yet; equals `received`.
    pub fn fates(&self) -> u64 {
        self.answered
            + self.resent
            + self.in_progress_duplicates
            + self.discarded
            + self.superseded
            + self.orphaned
            + self.in_progress
    }
}

/// Where the packet buffers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Made so far.
    pub allocated: u64,
    /// On free lists.
    pub free: u64,
    /// In messages in rings or staged for them.
    pub in_rings: u64,
    /// With a core that works on the packet.
    pub owned: u64,
}
