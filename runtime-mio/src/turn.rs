//! The loop of one thread: wait, read in batches, feed the cores, drain the rings, transmit in batches.
//!
//! Decides nothing: each phase is one of [`Cores`], in its order, between system calls.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use mio::{Events, Poll};
use ulna_core::cores::Cores;
use ulna_core::path::{Path, SocketId};

use crate::bell::{BELL, Bell};
use crate::clock::{Clock, wall_time};
use crate::counters::ThreadCounters;
use crate::effects::Desk;
use crate::listening::Listening;
use crate::log::EventWriter;
use crate::mmsg::{Outlet, PACKET_OCTETS_MAX, ReceiveBatch, SendBatch};
use crate::reload::Follower;
use crate::system_calls::SystemCalls;

/// Datagrams read at once: all of batching's gain is had at 16, and 64 keeps a turn well under a millisecond.
pub(crate) const BATCH: usize = 64;
/// How long a worker takes up requests in one turn; it ends the one that it has then.
pub(crate) const WORK_MAX: Duration = Duration::from_millis(1);
/// Requests that it takes up between two looks at the clock, at most.
pub(crate) const SLICE_MAX: usize = 8;
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
    pub bells: Arc<[Bell]>,
    /// Where this thread's cores ask for what takes time.
    pub effects: Desk,
    pub clock: Clock,
    pub orders: Arc<Orders>,
    pub drained: Arc<AtomicBool>,
    pub counters: Arc<ThreadCounters>,
    pub log: Option<EventWriter>,
    pub reload: Follower,
    /// How long the last turn was, until its packets were ready to be sent.
    pub turn: Duration,
}

impl Turn {
    /// Runs until the order to exit.
    ///
    /// # Errors
    /// When the kernel refuses to wait, or knows no such socket: it does so only where the process itself is broken.
    pub fn run(mut self) -> io::Result<()> {
        let mut receive = ReceiveBatch::new(BATCH, PACKET_OCTETS_MAX);
        let mut send = SendBatch::new(BATCH);
        let mut events = Events::with_capacity(EVENTS);
        let mut calls = SystemCalls::default();
        let mut shed_before = 0;
        loop {
            let stage = self.orders.stage();
            if stage == Stage::Exit {
                return Ok(());
            }
            let now = self.clock.now();
            self.cores.begin();
            self.cores.handle_wall_time(wall_time());
            self.cores.sweep(now);
            if stage == Stage::Serving {
                self.read(&mut receive, now, &mut calls)?;
            }
            self.cores.handle_timeout(now);
            self.work(now);
            self.effects.take_answers(|ticket, done| self.cores.handle_effect_done(ticket, done, now));
            while let Some((ticket, effect)) = self.cores.poll_effect() {
                if let Err(shed) = self.effects.ask(ticket, effect) {
                    self.cores.handle_effect_done(ticket, shed, now);
                }
            }
            self.transmit(&mut send, &mut calls);
            self.cores.finish(now);
            self.cores.publish();
            while let Some(bell) = self.cores.check_gate() {
                self.bells[usize::from(bell.0)].ring(&mut calls);
            }
            self.pass_events_on();
            self.reload.follow(&mut self.cores);
            if stage == Stage::Draining {
                // Relaxed: the main thread only wants to know it soon.
                self.drained.store(self.cores.is_drained(), Ordering::Relaxed);
            }
            self.counters.note(&calls, self.cores.queue_counters());
            let shed = self.cores.shed_for_others();
            if shed > shed_before {
                shed_before = shed;
                std::thread::yield_now();
            }
            self.wait(&mut events, stage, &mut calls)?;
        }
    }

    /// One batch from each socket that may have something; after a long turn several. So some 64 000 datagrams a second are
    /// read of each socket, however long decisions take: what is too much is shed here, where it is counted by name and
    /// before it is old, and costs no more than a fifteenth of the time. What comes faster overflows the kernel's buffer.
    fn read(
        &mut self,
        receive: &mut ReceiveBatch,
        now: ulna_core::Instant,
        calls: &mut SystemCalls,
    ) -> io::Result<()> {
        let batches = (self.turn.as_millis() as u32).clamp(1, BATCHES_MAX);
        for (via, may_read) in self.sockets.iter_mut().filter(|(_, may_read)| *may_read) {
            let bound = self.listening.socket(*via);
            for _ in 0..batches {
                let received = match receive.receive(&bound.socket, calls) {
                    Ok(received) => received,
                    Err(error) if is_dead(&error) => return Err(error),
                    // Want of memory, or what nobody has thought of: it may be over in the next turn, which reads again, as
                    // readiness that was reported once is not reported anew.
                    Err(_) => {
                        self.counters.receive_failed.up();
                        break;
                    }
                };
                for datagram in receive.datagrams() {
                    let mut local = bound.local;
                    if let Some(address) = datagram.local_address {
                        local.set_ip(address);
                    }
                    let path = Path { via: *via, listener: bound.listener, local, remote: datagram.remote };
                    self.cores.handle_datagram(path, datagram.octets, now);
                }
                // A short batch has emptied the socket: mio reports it again when something comes.
                *may_read = received == receive.capacity();
                if !*may_read {
                    break;
                }
            }
        }
        Ok(())
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

    fn pass_events_on(&mut self) {
        let Some(log) = &mut self.log else { return };
        while let Some(event) = self.cores.poll_event() {
            if !log.write(event) {
                self.counters.events_lost.up();
            }
        }
        log.publish();
    }

    /// Parks if there is nothing to do, else looks at the sockets only.
    fn wait(&mut self, events: &mut Events, stage: Stage, calls: &mut SystemCalls) -> io::Result<()> {
        let has_unread = stage == Stage::Serving && self.sockets.iter().any(|(_, may_read)| *may_read);
        let mut patience = Some(Duration::ZERO);
        if !has_unread && self.cores.may_park() {
            self.cores.announce();
            if self.cores.look_again() {
                self.cores.unpark();
            } else {
                let deadline = self.cores.poll_timeout().map(|(due, _)| due);
                patience = deadline.map(|due| due.saturating_since(self.clock.now()));
            }
        }
        calls.wait += 1;
        let polled = self.poll.poll(events, patience);
        self.cores.unpark();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in events.iter().filter(|event| event.token() != BELL) {
            if let Some((_, may_read)) =
                self.sockets.iter_mut().find(|(via, _)| Listening::token(*via) == event.token())
            {
                *may_read = true;
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
