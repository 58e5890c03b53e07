//! The loop of one thread: wait, read in batches, feed the cores, drain the rings, transmit in batches.
//!
//! Decides nothing: each phase is one of [`Cores`], in its order, between system calls.

use std::any::Any;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use mio::{Events, Poll};
use ulna_core::cores::Cores;
use ulna_core::network::connected::SocketOrder;
use ulna_core::path::{Peer, SocketId};
use ulna_core::seeded::{self, Bug};

use crate::bell::BELL;
use crate::clock::{Clock, wall_time};
use crate::connected::{ConnectedSockets, ORDERS_EACH_TURN, READ_EACH_TURN};
use crate::control_socket::Control;
use crate::counters::ThreadCounters;
use crate::deaths::Deaths;
use crate::effects::Desk;
use crate::listening::{Listening, ReadFrom};
use crate::log::EventWriter;
use crate::mmsg::{Outlet, PACKET_OCTETS_MAX, ReceiveBatch, SendBatch};
use crate::patience::Patience;
use crate::patience::tripwire::Rounds;
use crate::reload::Follower;
use crate::remote::{self, RemoteSockets};
use crate::seats::Bells;
use crate::system_calls::SystemCalls;
use crate::tcp::Tcp;

/// Datagrams read at once: all of batching's gain is had at 16, and 64 keeps a turn well under a millisecond.
pub(crate) const BATCH: usize = 64;
/// How long a worker takes up requests in one turn; it ends the one that it has then.
pub(crate) const WORK_MAX: Duration = Duration::from_millis(1);
/// Requests that it takes up between two looks at the clock, at most.
pub(crate) const SLICE_MAX: usize = 8;
/// Batches read from one socket in a turn, if the first is full, by a thread without a worker. A worker that is faster than it
/// falls asleep after each turn's messages and has to be rung for the next, which costs as much as half a dozen requests.
const BATCHES_FOR_OTHERS: u32 = 2;
/// Batches read from one socket in a turn, at most.
const BATCHES_MAX: u32 = 32;
/// Readiness events taken at once.
const EVENTS: usize = 64;

/// What the main thread tells the others.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    stage: AtomicU8,
}

/// How far the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Serving,
    /// Nothing new is read, what was begun is finished.
    Draining,
    Exit,
}

impl Orders {
    /// Gives an order. The giver rings every bell afterwards.
    pub fn give(&self, stage: Stage) {
        // Release pairs with the Acquire in `stage`; a thread asleep is woken by its bell.
        self.stage.store(stage as u8, Ordering::Release);
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            _ => Stage::Exit,
        }
    }
}

/// One thread with all that it needs.
pub(crate) struct Turn {
    pub cores: Cores,
    pub poll: Poll,
    pub listening: Arc<Listening>,
    /// This thread's own sockets, and whether each may have something to read.
    pub sockets: Vec<(SocketId, bool)>,
    pub bells: Arc<Bells>,
    /// Where its worker asks for what takes time.
    pub effects: Option<Desk>,
    pub clock: Clock,
    pub orders: Arc<Orders>,
    pub drained: Arc<AtomicBool>,
    pub counters: Arc<ThreadCounters>,
    pub log: EventWriter,
    pub reload: Follower,
    /// How it waits.
    pub patience: Patience,
    pub rounds: Rounds,
    /// How long the last turn was, until its packets were ready to be sent.
    pub turn: Duration,
    /// The socket that was read last.
    pub read_from: Option<ReadFrom>,
    /// Those that connections have for themselves.
    pub connected: ConnectedSockets,
    /// Those of its worker to remote servers.
    pub remote: RemoteSockets,
    /// This thread's streams.
    pub tcp: Tcp,
    /// The control socket, if this thread has it.
    pub control: Option<Control>,
    pub deaths: Arc<Deaths>,
}

/// What a thread leaves behind.
pub(crate) struct Left {
    pub cores: Cores,
    pub log: EventWriter,
}

/// What a thread was told to panic with: no panic that is to be counted.
struct Drill;

/// What a thread's system calls fill and empty.
struct Batches {
    receive: ReceiveBatch,
    send: SendBatch,
    /// To remote servers, whose sockets are others.
    send_on: SendBatch,
}

impl Turn {
    /// Runs until the order to exit, or until its worker has gone.
    ///
    /// A core that panics is replaced, and the next turn begins.
    ///
    /// # Errors
    /// When the kernel refuses to wait, or knows no such socket: it does so only where the process itself is broken.
    ///
    /// # Panics
    /// When a panic cannot be recovered from: it was not in a core, or it was one too many.
    pub fn run(mut self) -> io::Result<Left> {
        let mut batches = Batches {
            receive: ReceiveBatch::new(BATCH, PACKET_OCTETS_MAX),
            send: SendBatch::new(BATCH),
            send_on: SendBatch::new(BATCH),
        };
        let mut events = Events::with_capacity(EVENTS);
        let mut calls = SystemCalls::default();
        let mut shed_before = 0;
        loop {
            let stage = self.orders.stage();
            if stage == Stage::Exit {
                break;
            }
            // Whatever a core that has panicked leaves half done is dropped with it; all else stays whole, as the crossing
            // counts outside of cores, and both batches go on where they were.
            match catch_unwind(AssertUnwindSafe(|| self.turn(stage, &mut batches, &mut calls))) {
                Ok(done) => done?,
                Err(panic) => {
                    self.recover(panic);
                    continue;
                }
            }
            // Nobody rings for who has no links any more.
            if self.cores.is_gone() {
                break;
            }
            let shed = self.cores.shed_for_others();
            if shed > shed_before {
                shed_before = shed;
                calls.yields += 1;
                std::thread::yield_now();
            }
            self.wait(&mut events, stage, &mut calls)?;
        }
        Ok(Left { cores: self.cores, log: self.log })
    }

    /// All of a turn but the wait at its end.
    fn turn(&mut self, stage: Stage, batches: &mut Batches, calls: &mut SystemCalls) -> io::Result<()> {
        let Batches { receive, send, send_on } = batches;
        let now = self.clock.now();
        self.cores.begin();
        if let Some(core) = self.cores.take_drill() {
            self.cores.die(core);
            // Without the hook of panics: this one was asked for.
            resume_unwind(Box::new(Drill));
        }
        self.cores.handle_wall_time(wall_time());
        self.cores.sweep(now);
        if stage == Stage::Serving {
            self.read(receive, now, calls)?;
            self.read_connected(receive, now, calls);
            self.tcp.accept(&self.listening, &mut self.cores, self.poll.registry(), &self.counters, now);
            self.tcp.read(&mut self.cores, now, calls);
            if let Some(control) = &mut self.control {
                control.read(&mut self.cores, self.poll.registry(), &self.counters, now, calls);
            }
        } else {
            self.tcp.drain(&mut self.cores, now);
            if let Some(control) = &mut self.control {
                control.drain(&mut self.cores, now);
            }
        }
        self.read_remote(receive, now, calls);
        self.cores.handle_timeout(now);
        self.order_sockets(stage, receive, now, calls);
        self.work(now);
        if let Some(desk) = &mut self.effects {
            desk.take_answers(|ticket, done| self.cores.handle_effect_done(ticket, done, now));
            while let Some((ticket, effect)) = self.cores.poll_effect() {
                if let Err(done) = desk.ask(ticket, effect) {
                    self.cores.handle_effect_done(ticket, done, now);
                }
            }
        }
        self.remote.obey(&mut self.cores, self.poll.registry(), now);
        self.remote.transmit(&mut self.cores, send_on, calls);
        self.transmit(send, calls);
        if self.tcp.has_any() {
            self.cores.bring_home(now);
            self.tcp.write(&mut self.cores, now, calls);
        }
        if let Some(control) = &mut self.control {
            control.write(&mut self.cores, now, calls);
        }
        self.cores.finish(now);
        self.publish(calls);
        self.pass_events_on();
        self.reload.follow(&mut self.cores, now);
        if stage == Stage::Draining {
            // Relaxed: the main thread only wants to know it soon.
            self.drained.store(self.cores.is_drained(), Ordering::Relaxed);
        }
        self.counters.note(calls, self.cores.queue_counters(), self.patience.counters());
        Ok(())
    }

    /// Another core in the place of the one that has panicked. Its policy may panic, too, as it is made: that is one panic more.
    fn recover(&mut self, mut panic: Box<dyn Any + Send>) {
        loop {
            let is_bearable = panic.is::<Drill>() || self.deaths.is_bearable(std::time::Instant::now());
            if !is_bearable {
                resume_unwind(panic);
            }
            let now = self.clock.now();
            match catch_unwind(AssertUnwindSafe(|| self.cores.recover(now))) {
                // Its successor knows of none.
                Ok(Some(Peer::Network(_))) => {
                    self.connected.close_all(self.poll.registry(), now);
                    if let Some(control) = &mut self.control {
                        control.close_all();
                    }
                    return self.tcp.close_all();
                }
                Ok(Some(Peer::Worker(_))) => return self.remote.close_all(self.poll.registry()),
                Ok(None) => resume_unwind(panic),
                Err(again) => panic = again,
            }
        }
    }

    /// One batch from each socket that may have something, two where they are for workers of other threads; after a long turn
    /// several. So some 64 000 datagrams a second are
    /// read of each socket, however long decisions take: what is too much is shed here, where it is counted by name and
    /// before it is old, and costs no more than a fifteenth of the time. What comes faster overflows the kernel's buffer.
    fn read(
        &mut self,
        receive: &mut ReceiveBatch,
        now: ulna_core::Instant,
        calls: &mut SystemCalls,
    ) -> io::Result<()> {
        // What a turn that ended in a panic has not handed in.
        self.hand_in(receive, now);
        let least = if self.cores.has_worker() { 1 } else { BATCHES_FOR_OTHERS };
        let batches = (self.turn.as_millis() as u32).clamp(least, BATCHES_MAX);
        for socket in 0..self.sockets.len() {
            let (via, may_read) = self.sockets[socket];
            if !may_read {
                continue;
            }
            for _ in 0..batches {
                let received = match receive.receive(&self.listening.socket(via).socket, calls) {
                    Ok(received) => received,
                    Err(error) if is_dead(&error) => return Err(error),
                    // Want of memory, or what nobody has thought of: it may be over in the next turn, which reads again, as
                    // readiness that was reported once is not reported anew.
                    Err(_) => {
                        self.counters.receive_failed.up();
                        break;
                    }
                };
                // A short batch has emptied the socket: mio reports it again when something comes.
                let is_empty = received < receive.capacity();
                self.sockets[socket].1 = !is_empty;
                self.read_from = Some(self.listening.read_from(via));
                self.hand_in(receive, now);
                if is_empty {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands in what was read and has not been handed in.
    fn hand_in(&mut self, receive: &mut ReceiveBatch, now: ulna_core::Instant) {
        let Some(from) = self.read_from else { return };
        while let Some(datagram) = receive.next_datagram() {
            if from.connected_to.is_some_and(|peer| peer != datagram.remote) {
                self.counters.connected_elsewhere.up();
            }
            self.cores.handle_datagram(from.path(&datagram), datagram.octets, now);
        }
    }

    /// One batch from each socket of a connection's own that may have something, in turn.
    fn read_connected(
        &mut self,
        receive: &mut ReceiveBatch,
        now: ulna_core::Instant,
        calls: &mut SystemCalls,
    ) {
        for _ in 0..self.connected.ready().min(READ_EACH_TURN) {
            let Some(read) = self.connected.read_next(receive, calls) else { break };
            self.read_from = Some(read.from);
            self.hand_in(receive, now);
            for _ in 0..read.unreachable {
                self.cores.handle_unreachable(read.path, now);
            }
        }
    }

    /// One batch from each socket to a remote server that may have something, in turn. Also while the server drains: what is under
    /// way waits for it.
    fn read_remote(&mut self, receive: &mut ReceiveBatch, now: ulna_core::Instant, calls: &mut SystemCalls) {
        for _ in 0..self.remote.ready().min(remote::READ_EACH_TURN) {
            let Some(socket) = self.remote.read_next(receive, calls) else { break };
            // None of these is handed in as a datagram of a listening socket's, should this turn end in a panic.
            self.read_from = None;
            while let Some(datagram) = receive.next_datagram() {
                self.cores.handle_remote_datagram(socket, datagram.octets, now);
            }
        }
    }

    /// Opens and closes sockets of connections, as core has ordered, and hands in what is in those that are closed.
    fn order_sockets(
        &mut self,
        stage: Stage,
        receive: &mut ReceiveBatch,
        now: ulna_core::Instant,
        calls: &mut SystemCalls,
    ) {
        for _ in 0..ORDERS_EACH_TURN {
            let Some(order) = self.cores.poll_socket() else { break };
            let registry = self.poll.registry();
            match order {
                SocketOrder::Open { socket, path, at_most } => {
                    let is_open = stage == Stage::Serving
                        && self.connected.open(socket, &path, at_most, &self.listening, registry, now);
                    if !is_open {
                        self.cores.handle_socket_refused(socket);
                    }
                }
                SocketOrder::Close { socket } => self.connected.close(socket, registry, now),
            }
        }
        while stage == Stage::Serving
            && let Some(from) = self.connected.read_parked(receive, calls, now)
        {
            self.read_from = Some(from);
            self.hand_in(receive, now);
        }
    }

    /// Has the worker take up requests until none waits or the turn has been long enough. Most decisions take
    /// microseconds, and the clock is looked at after a few of them; where policy takes long, after each.
    fn work(&mut self, began: ulna_core::Instant) {
        let mut slice = 1;
        let worked_from = self.clock.now();
        loop {
            let may_be_more = self.cores.work(slice, began);
            let now = self.clock.now();
            if !may_be_more || now.saturating_since(worked_from) >= WORK_MAX {
                self.turn = now.saturating_since(began);
                return self.counters.note_turn(self.turn);
            }
            slice = (2 * slice).min(SLICE_MAX);
        }
    }

    /// Sends all that the cores have to send.
    fn transmit(&mut self, send: &mut SendBatch, calls: &mut SystemCalls) {
        loop {
            let polled = self.cores.poll_transmit(send.slot());
            if let Some(transmit) = polled {
                send.push(transmit);
            }
            if send.is_full() || (polled.is_none() && !send.is_empty()) {
                let listening = &self.listening;
                let outcome =
                    send.flush(|via| Some(Outlet::Open(listening.socket(via).socket.as_fd())), calls);
                self.counters.note_sent(&outcome);
            }
            if polled.is_none() {
                return;
            }
        }
    }

    /// Shows the other threads what the turn has for them, and rings those that sleep.
    fn publish(&mut self, calls: &mut SystemCalls) {
        self.rounds.begin(self.cores.bell());
        self.cores.publish();
        let always = self.patience.rings_always();
        while let Some(bell) = if always { self.cores.ring_always() } else { self.cores.check_gate() } {
            self.bells.ring(bell, calls);
        }
        self.rounds.end(self.cores.bell());
    }

    fn pass_events_on(&mut self) {
        let mut is_any_written = false;
        while let Some(event) = self.cores.poll_event() {
            if self.log.write(event) {
                is_any_written = true;
            } else {
                self.counters.events_lost.up();
            }
        }
        // A turn without events costs nothing here.
        if is_any_written {
            self.log.publish();
        }
    }

    /// Waits if there is nothing to do, else looks at the sockets only.
    fn wait(&mut self, events: &mut Events, stage: Stage, calls: &mut SystemCalls) -> io::Result<()> {
        let has_unread = stage == Stage::Serving
            && (self.sockets.iter().any(|(_, may_read)| *may_read) || self.tcp.has_unread());
        let has_unread = has_unread && !seeded::is(Bug::ReadableSocketForgotten);
        let has_unread = has_unread || stage == Stage::Serving && self.connected.has_ready();
        let has_unread = has_unread || self.remote.has_ready();
        let has_control = self.control.as_ref().is_some_and(|control| {
            stage == Stage::Serving && control.has_unread() || control.has_unwritten()
        });
        let may_sleep = !has_unread && !has_control && !self.tcp.has_unwritten() && self.cores.may_park();
        self.patience.wake_by(self.connected.deadline().filter(|_| stage == Stage::Serving));
        self.patience.wait(&mut self.cores, &mut self.poll, events, may_sleep, calls)?;
        for event in events.iter().filter(|event| event.token() != BELL) {
            let is_of_control = self.control.as_mut().is_some_and(|control| control.note_ready(event));
            if is_of_control
                || self.connected.note_ready(event.token())
                || self.remote.note_ready(event.token())
            {
                continue;
            }
            if let Some((_, may_read)) =
                self.sockets.iter_mut().find(|(via, _)| Listening::token(*via) == event.token())
            {
                *may_read = true;
            } else {
                self.tcp.note(event);
            }
        }
        Ok(())
    }
}

/// Whether the descriptor that was to be read is none, or no socket: then it will never be one again.
fn is_dead(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_descriptor_that_is_no_socket_is_dead() {
        let mut receive = ReceiveBatch::new(1, 1);
        let no_socket = std::fs::File::open("/dev/null").expect("Linux has it");
        let error = receive.receive(&no_socket, &mut SystemCalls::default()).expect_err("not a socket");
        assert!(is_dead(&error), "{error}");
        // A socket that refuses to be read now.
        let not_connected = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let error = receive.receive(&not_connected, &mut SystemCalls::default()).expect_err("not connected");
        assert!(!is_dead(&error), "{error}");
    }
}
