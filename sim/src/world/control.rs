//! What the world does for readers of control connections: the socket of the first thread, as its driver has it, and what readers
//! do at their times.

use super::{Event, World};
use crate::actor::control_reader::{ControlReader, Next, Standing};
use crate::checks::control::{
    self, Befell, CONTROL_NOT_CUT_OFF, CONTROL_PROGRESS, CONTROL_REFUSED_TRULY, Ended,
};
use crate::checks::{Violation, control::fact_name, control::fact_value};
use crate::goals::Goal;
use crate::phases::ControlInput;
use crate::plan::Plan;
use crate::trace::{Kind, READER};
use crate::turn::Cause;
use std::collections::VecDeque;
use ulna_core::control::{Answered, ControlId, Fact, RowBatch, Rows};

const SECOND: u64 = 1_000_000_000;
/// Octets that the driver reads at once, at most.
const READ_OCTETS: usize = 4_096;
/// Octets that it writes at once, at most.
const WRITE_OCTETS: usize = 16 * 1_024;
/// So long after the faults who connected before their end has come to his: an errand takes a minute, a stall half of one.
const AFTER_FAULTS: u64 = 120 * SECOND;
/// So long after it has connected has who connected later.
const AFTER_HEALING: u64 = 60 * SECOND;
/// So long a network core may take to hear that a worker has died, or left.
const HEARD_LATE: u64 = 60 * SECOND;

/// What happens to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Connect,
    Send,
    Take,
    Vanish,
    /// It should have come to its end.
    Due,
}

/// All of them, and the socket.
#[derive(Default)]
pub(super) struct Control {
    readers: Vec<ControlReader>,
    held: Vec<Held>,
    /// Those that have connected and are not accepted.
    backlog: VecDeque<usize>,
    connections_max: usize,
    patience: u64,
    facts: u32,
    buffer_octets: u32,
    /// When a worker died or left last.
    worker_lost_at: Option<u64>,
    /// When an errand was given back last.
    errand_shed_at: Option<u64>,
    /// Whether some core has died in this process, or a worker left: marks may have gone with it.
    has_lost_marks: bool,
    /// Marks of the processes before.
    marks: u64,
}

/// A connection as the driver has it.
#[derive(Default)]
struct Held {
    id: Option<ControlId>,
    has_told_end: bool,
    has_told_break: bool,
    /// Since when something waits to be written, and nothing was.
    waits_since: Option<u64>,
    /// When it was accepted, or something was written to it last: a command may run since.
    heard: u64,
}

impl Control {
    /// Of a plan.
    pub fn new(plan: &Plan) -> Control {
        let Some(control) = &plan.topology.control else { return Control::default() };
        Control {
            readers: control.readers.iter().map(|reader| ControlReader::new(reader, control.facts)).collect(),
            held: control.readers.iter().map(|_| Held::default()).collect(),
            connections_max: control.connections_max as usize,
            patience: control.patience_s * SECOND,
            facts: control.facts,
            buffer_octets: control.buffer_octets,
            ..Control::default()
        }
    }

    /// How many readers a plan has.
    pub fn entities(plan: &Plan) -> usize {
        plan.topology.control.as_ref().map_or(0, |control| control.readers.len())
    }

    /// A worker has died or left, or is about to.
    pub fn note_worker_lost(&mut self, now: u64) {
        self.worker_lost_at = Some(now);
        self.has_lost_marks = true;
    }

    /// Something that was asked of the driver was given back.
    pub fn note_errand_shed(&mut self, now: u64) {
        self.errand_shed_at = Some(now);
    }

    /// What the driver says that was counted.
    pub fn counted(&self) -> Answered {
        let fact = |number: u64| Fact { thread: None, name: fact_name(number), value: fact_value(number) };
        let rows = Rows::Facts((0..u64::from(self.facts)).map(fact).collect());
        Answered::Rows(RowBatch { rows, next: None })
    }
}

impl World<'_> {
    /// Readers come at their times.
    pub(super) fn begin_control(&mut self) {
        let Some(control) = &self.plan.topology.control else { return };
        let healed = self.plan.faulty_until();
        for (place, reader) in control.readers.iter().enumerate() {
            let connects = reader.connects_ms * 1_000_000;
            let due = if connects < healed { healed + AFTER_FAULTS } else { connects + AFTER_HEALING };
            self.add_act(connects, place, Act::Connect);
            self.add_act(due, place, Act::Due);
        }
    }

    fn add_act(&mut self, at: u64, reader: usize, act: Act) {
        let entity = self.control_entity + reader;
        self.schedule.add(at, entity, Event::Control { reader, act });
    }

    fn add_next(&mut self, reader: usize, next: Next) {
        match next {
            Next::Send(after) => self.add_act(self.now + after, reader, Act::Send),
            Next::Take(after) => self.add_act(self.now + after, reader, Act::Take),
            Next::Vanish(after) => self.add_act(self.now + after, reader, Act::Vanish),
        }
    }

    /// A reader does something. The first thread is woken if that concerns it.
    ///
    /// # Errors
    /// What a reader got is wrong, or came too late.
    pub(super) fn act(&mut self, place: usize, act: Act) -> Result<(), Violation> {
        let node = READER + place as u32;
        let reader = &mut self.control.readers[place];
        match act {
            Act::Connect => {
                self.trace.add(self.now, node, Kind::ControlConnects, [0; 2], &[]);
                self.control.backlog.push_back(place);
                let next = self.control.readers[place].connect(self.now);
                next.into_iter().for_each(|next| self.add_next(place, next));
            }
            Act::Send if reader.standing == Standing::Open => {
                let (octets, next) = reader.send();
                self.trace.add(self.now, node, Kind::ControlSends, [octets as u64, 0], &[]);
                next.into_iter().for_each(|next| self.add_next(place, next));
            }
            Act::Take => {
                let befell = self.befell(place);
                let (piece, ended, next) = self.control.readers[place].take(befell, self.now)?;
                self.trace.add(self.now, node, Kind::ControlTakes, [piece.len() as u64, 0], &piece);
                for ended in ended {
                    match ended {
                        Ended::WorkerGone => self.goals.reach(Goal::WorkerGoneTold),
                        Ended::NoRoom => self.goals.reach(Goal::ErrandRefused),
                        Ended::Whole | Ended::NoCommand => {}
                    }
                }
                next.into_iter().for_each(|next| self.add_next(place, next));
            }
            Act::Vanish if matches!(reader.standing, Standing::Open | Standing::Ended | Standing::CutOff) => {
                let is_early = reader.vanish();
                self.trace.add(self.now, node, Kind::ControlEnds, [Standing::Vanished as u64, 0], &[]);
                if is_early {
                    self.goals.reach(Goal::ReaderVanished);
                }
            }
            Act::Send | Act::Vanish => return Ok(()),
            Act::Due => {
                if !matches!(reader.standing, Standing::Over | Standing::Vanished) {
                    let details = format!("reader {place}: {}", reader.describe());
                    return Err(Violation { invariant: &CONTROL_PROGRESS, at: self.now, details });
                }
            }
        }
        if self.threads[0].is_asleep() && self.has_control_work(0) {
            return self.wake(0, Cause::Control);
        }
        Ok(())
    }

    fn befell(&self, place: usize) -> Befell {
        let since = self.control.readers[place].answered_at;
        let lost = |at: u64| at + HEARD_LATE >= since;
        Befell {
            worker_lost: self.control.worker_lost_at.is_some_and(lost),
            errand_shed: self.control.errand_shed_at.is_some_and(|at| at >= since),
        }
    }

    /// Whether the driver has anything to do for readers, which only the first thread has.
    pub(super) fn has_control_work(&mut self, thread: usize) -> bool {
        if thread != 0 || self.control.readers.is_empty() {
            return false;
        }
        if !self.control.backlog.is_empty() {
            return true;
        }
        let Control { readers, held, .. } = &self.control;
        let node = &mut self.node;
        readers.iter().zip(held).any(|(reader, held)| {
            let Some(view) = held.id.and_then(|id| node.thread(0).control(id)) else { return false };
            let has_said = !reader.outgoing.is_empty() || (reader.has_ended && !held.has_told_end);
            view.is_over
                || (reader.standing == Standing::Vanished && !held.has_told_break)
                || (view.may_read && has_said)
                || (!view.output.is_empty() && reader.room() > 0)
        })
    }

    /// Accepts who waits, and reads what has come.
    ///
    /// # Errors
    /// Somebody is refused without reason.
    pub(super) fn read_control(&mut self, thread: usize) -> Result<(), Violation> {
        if thread != 0 || self.control.readers.is_empty() {
            return Ok(());
        }
        let now = self.instant(0);
        while let Some(place) = self.control.backlog.pop_front() {
            let open = self.control.held.iter().filter(|held| held.id.is_some()).count();
            match self.node.thread(0).handle_control_accepted(now) {
                Ok(id) => {
                    let held = &mut self.control.held[place];
                    (held.id, held.heard) = (Some(id), now.as_nanoseconds());
                }
                Err(_) if open == self.control.connections_max => {
                    self.trace.add(self.now, READER + place as u32, Kind::ControlEnds, [9, 0], &[]);
                    self.goals.reach(Goal::ReaderRefused);
                    self.control.readers[place].refuse();
                }
                Err(said) => {
                    let details = format!("reader {place}, the {open}th: {said:?}");
                    return Err(Violation { invariant: &CONTROL_REFUSED_TRULY, at: self.now, details });
                }
            }
        }
        for place in 0..self.control.readers.len() {
            let (reader, held) = (&mut self.control.readers[place], &mut self.control.held[place]);
            let Some(id) = held.id else { continue };
            let thread = self.node.thread(0);
            if reader.standing == Standing::Vanished {
                if !std::mem::replace(&mut held.has_told_break, true) {
                    thread.handle_control(id, ControlInput::Broken, now);
                }
            } else if !thread.control(id).is_some_and(|view| view.may_read) {
                continue;
            } else if !reader.outgoing.is_empty() {
                let octets = reader.outgoing.len().min(READ_OCTETS);
                let words = [place as u64, octets as u64];
                self.trace.add(self.now, 0, Kind::ControlReads, words, &[]);
                thread.handle_control(id, ControlInput::Octets(&reader.outgoing[..octets]), now);
                reader.outgoing.drain(..octets);
            } else if reader.has_ended && !std::mem::replace(&mut held.has_told_end, true) {
                thread.handle_control(id, ControlInput::Ended, now);
            }
        }
        Ok(())
    }

    /// Writes as much as goes, and closes what is over.
    ///
    /// # Errors
    /// Too much waits, or a connection ends that should not.
    pub(super) fn write_control(&mut self, thread: usize) -> Result<(), Violation> {
        let now = self.instant(thread);
        let polled = self.thread(thread);
        while let Some(id) = polled.poll_control() {
            if polled.control(id).is_none() {
                polled.handle_control(id, ControlInput::Closed, now);
            }
        }
        if thread != 0 || self.control.readers.is_empty() {
            return Ok(());
        }
        control::waiting(self.node.thread(0).control_waiting(), self.control.buffer_octets, self.now)?;
        for place in 0..self.control.readers.len() {
            let (reader, held) = (&mut self.control.readers[place], &mut self.control.held[place]);
            let Some(id) = held.id else { continue };
            let thread = self.node.thread(0);
            let Some(view) = thread.control(id) else { continue };
            let octets = view.output.len().min(reader.room()).min(WRITE_OCTETS);
            let mut next = None;
            if octets > 0 {
                let words = [place as u64, octets as u64];
                self.trace.add(self.now, 0, Kind::ControlWrites, words, &[]);
                reader.incoming.extend(&view.output[..octets]);
                next = reader.note_readable();
                (held.waits_since, held.heard) = (None, now.as_nanoseconds());
                thread.handle_control(id, ControlInput::Written(octets), now);
            }
            let view = thread.control(id).expect("it is not closed");
            let turn = now.as_nanoseconds();
            if !view.output.is_empty() {
                held.waits_since.get_or_insert(turn);
            }
            let since = held.waits_since.unwrap_or(held.heard);
            let is_over = view.is_over;
            next.into_iter().for_each(|next| self.add_next(place, next));
            if is_over {
                let is_given_up = turn >= since + self.control.patience;
                self.close_control(place, is_given_up)?;
                self.node.thread(0).handle_control(id, ControlInput::Closed, now);
            }
        }
        Ok(())
    }

    /// The driver closes a connection that is over.
    fn close_control(&mut self, place: usize, is_given_up: bool) -> Result<(), Violation> {
        let (reader, held) = (&mut self.control.readers[place], &mut self.control.held[place]);
        let has_told_end = held.has_told_end;
        *held = Held::default();
        if reader.standing == Standing::Vanished {
            return Ok(());
        }
        reader.standing = match (is_given_up, has_told_end) {
            (true, _) => Standing::CutOff,
            (false, true) => Standing::Ended,
            (false, false) => {
                let details = format!("reader {place}: {}", reader.describe());
                return Err(Violation { invariant: &CONTROL_NOT_CUT_OFF, at: self.now, details });
            }
        };
        if is_given_up {
            self.goals.reach(Goal::ReaderGivenUp);
        }
        let words = [reader.standing as u64, 0];
        self.trace.add(self.now, READER + place as u32, Kind::ControlEnds, words, &[]);
        if let Some(next) = reader.note_readable() {
            self.add_next(place, next);
        }
        Ok(())
    }

    /// The network core that has the connections is gone: its driver closes all. What was written may still be taken.
    pub(super) fn cut_readers_off(&mut self) {
        self.control.has_lost_marks = true;
        for place in 0..self.control.readers.len() {
            if self.control.held[place].id.is_none() {
                continue;
            }
            self.control.held[place] = Held::default();
            let reader = &mut self.control.readers[place];
            if reader.standing == Standing::Open {
                reader.standing = Standing::CutOff;
                self.goals.reach(Goal::ReaderCutOff);
                if let Some(next) = reader.note_readable() {
                    self.add_next(place, next);
                }
            }
        }
    }

    /// The process is gone, and all who waited to be accepted with it.
    pub(super) fn lose_readers(&mut self) {
        self.control.marks += self.node.snapshot().control_marks;
        self.cut_readers_off();
        for place in std::mem::take(&mut self.control.backlog) {
            self.control.readers[place].refuse();
        }
        self.control.has_lost_marks = false;
    }

    /// What holds of readers when everything is over.
    ///
    /// # Errors
    /// Something is left of them.
    pub(super) fn close_readers(&mut self) -> Result<(), Violation> {
        if self.control.readers.is_empty() {
            return Ok(());
        }
        let snapshot = self.node.snapshot();
        self.goals.reach_times(Goal::MarkReached, self.control.marks + snapshot.control_marks);
        let waiting = self.node.thread(0).control_waiting();
        control::close(&snapshot, waiting, !self.control.has_lost_marks, self.now)
    }
}
