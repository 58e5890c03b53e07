//! One thread of the server, phase by phase: its cores, and what steps of a reload hand it.

use super::{ORDERED, Orders};
use crate::fault::thread::Panic;
use crate::phases::{ControlInput, Decision, GateCheck, NodeThread, Stands};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ulna_core::control::{ControlId, ControlView};
use ulna_core::cores::Cores;
use ulna_core::effect::{Effect, EffectDone, Ticket};
use ulna_core::event::{Event, Outcome};
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::generation::Generation;
use ulna_core::path::Peer;
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Instant, Path, Transmit};

pub(super) struct Thread {
    pub(super) cores: Cores,
    /// How many requests it takes up in a turn, at most.
    pub(super) turn_requests: usize,
    /// How many it had taken up when this one began.
    pub(super) requests_before: u64,
    /// What a reload brings.
    pub(super) newest: Option<(Generation, Arc<Configuration>)>,
    /// Lines of tables that have changed: by table, their keys.
    pub(super) changed: Arc<[ChangedLines]>,
    /// What a change of workers does.
    pub(super) orders: Option<Arc<Orders>>,
    /// After how many decisions its worker's policy panics; 0: it does not.
    pub(super) fuse: Arc<AtomicU64>,
    pub(super) died: bool,
}

/// A table's name and the keys of its lines.
pub(super) type ChangedLines = (Arc<str>, Vec<Box<[u8]>>);

impl Thread {
    /// Does what policy may take part in.
    fn risk(&mut self, now: Instant, f: impl FnOnce(&mut Cores)) {
        if self.fuse.load(Ordering::Relaxed) == 0 {
            f(&mut self.cores);
        } else if catch_unwind(AssertUnwindSafe(|| f(&mut self.cores))).is_err() {
            self.recover(now);
        }
    }

    fn recover(&mut self, now: Instant) {
        self.fuse.store(0, Ordering::Relaxed);
        self.cores.recover(now).expect("a core was running");
        self.died = true;
    }

    /// How many requests its worker has taken up since it was built.
    fn taken_up(&self) -> u64 {
        self.cores.worker().map_or(0, |worker| worker.counters().requests.value())
    }
}

impl NodeThread for Thread {
    fn unpark(&mut self, _now: Instant) {
        self.cores.unpark();
    }

    fn begin_turn(&mut self, _now: Instant) {
        self.requests_before = self.taken_up();
        self.cores.begin();
    }

    fn handle_wall_time(&mut self, time: UnixTime) {
        self.cores.handle_wall_time(time);
    }

    fn sweep(&mut self, now: Instant) -> usize {
        usize::from(self.cores.sweep(now))
    }

    fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.cores.handle_datagram(path, octets, now);
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let requests = self.turn_requests;
        self.risk(now, |cores| {
            cores.handle_timeout(now);
            cores.work(requests, now);
        });
    }

    fn panic(&mut self, panic: Panic, now: Instant) -> bool {
        let network = self.cores.network().map(|network| Peer::Network(network.id()));
        let worker = self.cores.worker().map(|worker| Peer::Worker(worker.id()));
        let core = match panic {
            Panic::Network => network,
            Panic::Worker => worker,
            Panic::AtDecision(decision) => {
                self.fuse.store(decision, Ordering::Relaxed);
                None
            }
        };
        if let Some(core) = core {
            self.cores.die(core);
            self.recover(now);
        }
        std::mem::take(&mut self.died)
    }

    fn has_panicked(&mut self) -> bool {
        std::mem::take(&mut self.died)
    }

    fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.cores.poll_effect()
    }

    fn poll_remote_order(&mut self) -> Option<RemoteOrder> {
        self.cores.poll_remote_order()
    }

    fn handle_remote_refused(&mut self, socket: RemoteSocket, now: Instant) {
        self.cores.handle_remote_refused(socket, now);
    }

    fn handle_remote_datagram(&mut self, socket: RemoteSocket, octets: &[u8], now: Instant) {
        self.risk(now, |cores| cores.handle_remote_datagram(socket, octets, now));
    }

    fn poll_forward(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.cores.poll_forward(out)
    }

    fn handle_effect_done(&mut self, ticket: Ticket, done: EffectDone, now: Instant) {
        self.risk(now, |cores| cores.handle_effect_done(ticket, done, now));
    }

    fn handle_control_accepted(&mut self, now: Instant) -> Result<ControlId, String> {
        self.cores.handle_control_accepted(true, now)
    }

    fn handle_control(&mut self, id: ControlId, input: ControlInput<'_>, now: Instant) {
        match input {
            ControlInput::Octets(octets) => self.cores.handle_control_octets(id, octets, now),
            ControlInput::Ended => self.cores.handle_control_ended(id, now),
            ControlInput::Broken => self.cores.handle_control_broken(id),
            ControlInput::Written(octets) => self.cores.handle_control_written(id, octets, now),
            ControlInput::Closed => self.cores.handle_control_closed(id),
        }
    }

    fn poll_control(&mut self) -> Option<ControlId> {
        self.cores.poll_control()
    }

    fn control(&self, id: ControlId) -> Option<ControlView<'_>> {
        self.cores.control(id)
    }

    fn control_waiting(&self) -> usize {
        self.cores.inspect().control_waiting
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.cores.poll_transmit(out)
    }

    fn stage_messages(&mut self, now: Instant) {
        // A socket of a connection's own changes nothing that a network could tell.
        while self.cores.poll_socket().is_some() {}
        self.cores.finish(now);
    }

    fn publish(&mut self) {
        self.cores.publish();
    }

    fn check_gate(&mut self) -> GateCheck {
        self.cores.check_gate().map_or(GateCheck::Done, |bell| GateCheck::Ring(usize::from(bell.0)))
    }

    fn is_before_gate(&self) -> bool {
        self.cores.is_before_gate()
    }

    fn may_park(&self) -> bool {
        self.cores.may_park()
    }

    fn has_output(&self) -> bool {
        self.cores.has_output()
    }

    fn announce(&mut self) {
        self.cores.announce();
    }

    fn look_again(&mut self) -> bool {
        let found = self.cores.look_again();
        if found {
            self.cores.unpark();
        }
        found
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.cores.poll_timeout().map(|(due, _)| due)
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        self.cores.inspect().earliest_deadline
    }

    fn urgent_visible(&self) -> bool {
        self.cores.inspect().must_not_sleep
    }

    fn requests(&self) -> usize {
        (self.taken_up() - self.requests_before) as usize
    }

    fn know_newest(&mut self) {
        let (generation, configuration) = self.newest.as_ref().expect("it was prepared");
        self.cores.handle_configuration(*generation, configuration);
    }

    fn put_in_force(&mut self) {
        let (generation, _) = self.newest.as_ref().expect("it was prepared");
        self.cores.put_in_force(*generation);
    }

    fn needs_older(&self) -> bool {
        self.cores.needs_older()
    }

    fn forget_older(&mut self) {
        self.cores.forget_older();
    }

    fn take_tables(&mut self) {
        for (source, keys) in self.changed.iter() {
            self.cores.handle_table_changed(source, keys);
        }
    }

    fn take_orders(&mut self, now: Instant) {
        self.obey(now);
    }

    fn has_settled(&self) -> bool {
        let epoch = self.orders.as_ref().expect(ORDERED).owners.epoch();
        self.cores.has_settled(epoch)
    }

    fn is_leaving(&self) -> bool {
        self.is_of_one_who_leaves()
    }

    fn is_gone(&self) -> bool {
        self.cores.is_gone()
    }

    fn drain_decisions(&mut self, sink: &mut Vec<Decision>, standings: &mut Vec<Stands>) {
        while let Some(event) = self.cores.poll_event() {
            if let Event::RemoteServer { at, remote_server, standing, .. } = event {
                let (server, turn) = (usize::from(remote_server.0), at.as_nanoseconds());
                standings.push(Stands { server, standing, turn });
            } else if let Event::Finished {
                remote,
                generation: Generation(generation),
                listener,
                identifier,
                request_authenticator: authenticator,
                outcome:
                    Outcome::Accept
                    | Outcome::Reject
                    | Outcome::Challenge
                    | Outcome::Recorded
                    | Outcome::Ack
                    | Outcome::Nak { .. },
                ..
            } = event
            {
                sink.push(Decision { remote, listener, identifier, authenticator, generation });
            }
        }
    }
}
