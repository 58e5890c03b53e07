//! The control connections of one network core: what came by each, what it runs, and what has still to be written to it.
//!
//! ```text
//!  open ── a line ──► runs a command ── all is written ──► open
//!   └─ the peer ends, a line that is too long ─► ending ── all is written ──┐
//!   └─ broken, or nothing is taken for too long ────────────────────────────┴─► over
//! ```
//!
//! A connection is not read while a command of it runs. It keeps its place until its driver has closed it. Bounded: a line and a read of
//! what comes, the [size](Size) of a screen and a last line of what goes.

use super::command::{Order, Refusal, write_end, write_refusal};
use super::frame::{Lines, Next};
use super::message::TaskName;
use super::screen::Size;
use super::{Command, Format, LINE_OCTETS_MAX};
use crate::deadlines::Deadlines;
use crate::life::Life;
use crate::path::{NetworkId, WorkerId};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

/// A control connection of one network core, from when it was accepted until it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId {
    /// Place in the core's table, and in its driver's.
    pub place: u32,
    /// How many had this place, this one among them.
    pub generation: NonZeroU32,
}

/// What a driver is to do with a control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlView<'r> {
    /// To be written as far as that can be done without waiting, and as the driver's share of a turn allows.
    pub output: &'r [u8],
    /// Whether it is to be read.
    pub may_read: bool,
    /// Whether it is to be closed, once the output was written as far as it can be.
    pub is_over: bool,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is read. What has come is done.
    Ending,
    Over,
}

/// One connection.
pub struct Reader {
    /// Whether it may change anything, and not only look.
    may_change: bool,
    phase: Phase,
    lines: Lines,
    /// What has still to be written, piece by piece, and how much of the first was.
    pieces: VecDeque<Vec<u8>>,
    first_written: usize,
    /// Octets ever put in line, and those ever written.
    queued: u64,
    written: u64,
    /// What it runs.
    running: Option<Running>,
    parts_begun: u32,
    is_ready: bool,
}

/// A command that is under way.
pub struct Running {
    /// It.
    pub order: Order,
    /// The worker that has the part which runs, and under which name.
    pub part: Option<(WorkerId, TaskName)>,
    /// Who has the parts that come after it.
    pub workers: VecDeque<WorkerId>,
    /// Whether no part of it was begun yet.
    pub is_first: bool,
    /// Rows of the parts that are over.
    pub rows: u64,
    /// Octets that had been put in line when the part began.
    began_at: u64,
    /// When so many are written, the task is to be told.
    mark: Option<u64>,
}

/// What comes next on a connection.
pub enum Step {
    /// Nothing, until something happens.
    Nothing,
    /// This line is to be looked at.
    Line(String),
    /// The next part of its command is to be begun.
    Part,
}

/// All of them.
pub struct Readers {
    network: NetworkId,
    life: Life,
    places: Vec<Place>,
    free: Vec<u32>,
    ready: VecDeque<u32>,
    deadlines: Deadlines,
    patience: Duration,
    size: Size,
    is_draining: bool,
}

struct Place {
    generation: NonZeroU32,
    reader: Option<Reader>,
}

impl Readers {
    /// For so many, each of whose tasks may have so much waiting; who takes nothing for so long is given up.
    pub fn new(
        (network, life): (NetworkId, Life),
        connections_max: usize,
        size: Size,
        patience: Duration,
    ) -> Readers {
        Readers {
            network,
            life,
            places: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            deadlines: Deadlines::new(connections_max),
            patience,
            size,
            is_draining: false,
        }
    }

    /// How much of a task's may wait.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Most octets that wait for one of them.
    pub fn most_waiting(&self) -> usize {
        let readers = self.places.iter().filter_map(|place| place.reader.as_ref());
        let waiting =
            |reader: &Reader| reader.pieces.iter().map(Vec::len).sum::<usize>() - reader.first_written;
        readers.map(waiting).max().unwrap_or(0)
    }

    /// One more; `None` if there are as many as may be: an eighth is kept for those who may change something.
    pub fn open(&mut self, may_change: bool, now: Instant) -> Option<ControlId> {
        let bound = self.deadlines.bound();
        let bound = if may_change { bound } else { bound - bound / 8 };
        if self.len() >= bound {
            return None;
        }
        let due = now + self.patience;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: NonZeroU32::MIN, reader: None });
            self.places.len() as u32 - 1
        });
        let at = &mut self.places[place as usize];
        at.reader = Some(Reader {
            may_change,
            phase: Phase::Open,
            lines: Lines::default(),
            pieces: VecDeque::new(),
            first_written: 0,
            queued: 0,
            written: 0,
            running: None,
            parts_begun: 0,
            is_ready: false,
        });
        let id = ControlId { place, generation: at.generation };
        self.deadlines.set(place, due);
        Some(id)
    }

    /// One that is not over.
    pub fn live(&mut self, id: ControlId) -> Option<&mut Reader> {
        self.at(id).filter(|reader| reader.phase != Phase::Over)
    }

    fn at(&mut self, id: ControlId) -> Option<&mut Reader> {
        let place = self.places.get_mut(id.place as usize)?;
        place.reader.as_mut().filter(|_| place.generation == id.generation)
    }

    /// One that has something for its driver.
    pub fn poll_ready(&mut self) -> Option<ControlId> {
        while let Some(place) = self.ready.pop_front() {
            let at = &mut self.places[place as usize];
            if let Some(reader) = &mut at.reader
                && core::mem::take(&mut reader.is_ready)
            {
                return Some(ControlId { place, generation: at.generation });
            }
        }
        None
    }

    /// Whether any has.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What its driver is to do with it; `None` if it has told that it has closed it.
    pub fn view(&self, id: ControlId) -> Option<ControlView<'_>> {
        let place = self.places.get(id.place as usize)?;
        let reader = place.reader.as_ref().filter(|_| place.generation == id.generation)?;
        let output = reader.pieces.front().map_or(&[][..], |piece| &piece[reader.first_written..]);
        let may_read =
            reader.phase == Phase::Open && reader.running.is_none() && reader.lines.len() <= LINE_OCTETS_MAX;
        Some(ControlView { output, may_read, is_over: reader.phase == Phase::Over })
    }

    /// Something has changed that its driver wants to know.
    pub fn note_ready(&mut self, id: ControlId) {
        if let Some(reader) = self.at(id)
            && !core::mem::replace(&mut reader.is_ready, true)
        {
            self.ready.push_back(id.place);
        }
    }

    /// Octets to be written.
    pub fn write(&mut self, id: ControlId, octets: Vec<u8>, now: Instant) {
        let due = now + self.patience;
        let Some(reader) = self.live(id) else { return };
        if octets.is_empty() {
            return;
        }
        let was_empty = reader.pieces.is_empty();
        reader.queued += octets.len() as u64;
        reader.pieces.push_back(octets);
        if was_empty {
            self.deadlines.set(id.place, due);
        }
        self.note_ready(id);
    }

    /// So many of them were written. The mark that was reached with them, if a task has to be told.
    pub fn note_written(&mut self, id: ControlId, octets: usize, now: Instant) -> Option<Told> {
        let (due, is_draining) = (now + self.patience, self.is_draining);
        let reader = self.live(id)?;
        reader.written += octets as u64;
        reader.first_written += octets;
        if seeded::is(Bug::OctetLostAtShortWrite)
            && reader.pieces.front().is_some_and(|piece| reader.first_written < piece.len())
        {
            reader.first_written += 1;
        }
        if reader.pieces.front().is_some_and(|piece| reader.first_written == piece.len()) {
            reader.pieces.pop_front();
            reader.first_written = 0;
        }
        let told = reader.take_mark();
        if reader.pieces.is_empty() {
            // Silence has its bound, too, unless something is under way.
            if reader.running.is_none() {
                self.deadlines.set(id.place, due);
            } else {
                self.deadlines.remove(id.place);
            }
        } else if !is_draining && !seeded::is(Bug::PatienceFromTheFirstOctet) {
            // When the server ends nobody has more time for reading little.
            self.deadlines.set(id.place, due);
        }
        told
    }

    /// The last line of an answer.
    pub fn write_end(&mut self, id: ControlId, format: Format, rows: u64, now: Instant) {
        let mut line = String::new();
        write_end(format, rows, &mut line);
        self.write(id, line.into_bytes(), now);
    }

    /// The last line of an answer that was refused.
    pub fn write_refusal(&mut self, id: ControlId, format: Format, refusal: &Refusal, now: Instant) {
        let mut line = String::new();
        write_refusal(format, refusal, &mut line);
        self.write(id, line.into_bytes(), now);
    }

    /// It is over: whatever it runs is to be cancelled.
    pub fn finish(&mut self, id: ControlId) -> Option<(WorkerId, TaskName)> {
        let reader = self.live(id)?;
        reader.phase = Phase::Over;
        reader.pieces.clear();
        reader.first_written = 0;
        let part = reader.running.take().and_then(|running| running.part);
        self.deadlines.remove(id.place);
        self.note_ready(id);
        part
    }

    /// Its driver has closed it: its place is another's.
    pub fn release(&mut self, id: ControlId) {
        if self.at(id).is_none_or(|reader| reader.phase != Phase::Over) {
            return;
        }
        let place = &mut self.places[id.place as usize];
        place.reader = None;
        place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        if !seeded::is(Bug::ControlPlaceKept) {
            self.free.push(id.place);
        }
    }

    /// A command begins: it takes what time it takes.
    pub fn note_busy(&mut self, id: ControlId) {
        self.deadlines.remove(id.place);
    }

    /// The next part of a command begins at this worker, under this name.
    pub fn begin_part(&mut self, id: ControlId, worker: WorkerId) -> Option<TaskName> {
        let (network, life) = (self.network, self.life);
        let reader = self.live(id)?;
        reader.parts_begun = reader.parts_begun.wrapping_add(1);
        let name = TaskName { network, life, control: id, number: reader.parts_begun };
        let running = reader.running.as_mut()?;
        (running.part, running.began_at, running.mark) = (Some((worker, name)), reader.queued, None);
        Some(name)
    }

    /// The connection whose part has this name, if that still runs.
    pub fn of_part(&mut self, name: TaskName) -> Option<ControlId> {
        let life = self.life;
        let reader = self.live(name.control).filter(|_| name.life == life)?;
        let (_, runs) = reader.running.as_ref()?.part?;
        (runs == name).then_some(name.control)
    }

    /// Those whose command runs at this worker, or is to.
    pub fn of_worker(&self, worker: WorkerId) -> Vec<ControlId> {
        let of_worker = |running: &Running| {
            running.part.is_some_and(|(at, _)| at == worker) || running.workers.contains(&worker)
        };
        let places = (0..).zip(&self.places);
        let found = places.filter(|(_, place)| {
            place.reader.as_ref().and_then(|reader| reader.running.as_ref()).is_some_and(of_worker)
        });
        found.map(|(place, at)| ControlId { place, generation: at.generation }).collect()
    }

    /// The server ends: no command is begun any more. Who is not waited for.
    pub fn drain(&mut self, now: Instant) -> Vec<ControlId> {
        self.is_draining = true;
        self.patience = self.patience.min(LAST_PATIENCE);
        let mut ended = Vec::new();
        for (place, at) in (0..).zip(&mut self.places) {
            let Some(reader) = at.reader.as_mut().filter(|reader| reader.phase != Phase::Over) else {
                continue;
            };
            reader.forget_lines();
            if !reader.is_nearly_done() {
                ended.push(ControlId { place, generation: at.generation });
            } else if reader.has_output() {
                self.deadlines.set(place, now + self.patience);
            }
        }
        ended
    }

    /// When somebody has taken nothing for too long.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().map(|(due, _)| due)
    }

    /// Who has.
    pub fn overdue(&self, now: Instant) -> Option<ControlId> {
        let (_, place) = self.deadlines.next().filter(|(due, _)| *due <= now)?;
        Some(ControlId { place, generation: self.places[place as usize].generation })
    }
}

/// A mark that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Who has the task.
    pub worker: WorkerId,
    /// The task.
    pub name: TaskName,
    /// How much of the part is written.
    pub written: u64,
}

impl Reader {
    /// Whether who is at the other end may have this done.
    pub fn may(&self, command: &Command) -> bool {
        self.may_change || !command.changes_anything()
    }

    /// What it runs.
    pub fn running(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// More has come.
    pub fn append(&mut self, octets: &[u8]) {
        self.lines.append(octets);
    }

    /// Whether it is to be waited for when the server ends: an errand is, and the end of an answer; rows are not.
    fn is_nearly_done(&self) -> bool {
        match &self.running {
            None => self.has_output(),
            Some(running) => running.order.command.changes_anything(),
        }
    }

    /// Nothing more is read: what has come is done, and then it is over.
    pub fn end(&mut self) {
        self.lines.end();
        self.phase = Phase::Ending;
    }

    /// Whether something has still to be written.
    pub fn has_output(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// A command begins: its parts are these workers'.
    pub fn begin(&mut self, order: Order, workers: VecDeque<WorkerId>) {
        let running = Running {
            order,
            part: None,
            workers,
            is_first: true,
            rows: 0,
            began_at: self.queued,
            mark: None,
        };
        self.running = Some(running);
    }

    /// Its command is over: how it was to be answered, and how many rows there were.
    pub fn end_command(&mut self) -> Option<(Format, u64)> {
        self.running.take().map(|running| (running.order.format, running.rows))
    }

    /// Its task waits until so much of the part is written: at once, if it is.
    pub fn wait_for(&mut self, mark: u64) -> Option<Told> {
        let running = self.running.as_mut()?;
        running.mark = Some(running.began_at + mark);
        self.take_mark()
    }

    fn take_mark(&mut self) -> Option<Told> {
        let running = self.running.as_mut()?;
        let (worker, name) = running.part?;
        running.mark.filter(|mark| *mark <= self.written)?;
        if !seeded::is(Bug::MarkToldAgain) {
            running.mark = None;
        }
        Some(Told { worker, name, written: self.written - running.began_at })
    }

    /// What comes next. Nothing is begun before all is written that was before it, so that no more waits than one screen.
    pub fn next(&mut self) -> Result<Step, NextRefused> {
        if self.has_output() || self.phase == Phase::Over {
            return Ok(Step::Nothing);
        }
        if let Some(running) = &self.running {
            return Ok(if running.part.is_none() { Step::Part } else { Step::Nothing });
        }
        match self.lines.next() {
            Next::Line(line) => Ok(Step::Line(line)),
            Next::NoText => Err(NextRefused::NoText),
            Next::TooLong => Err(NextRefused::TooLong),
            Next::Nothing if self.phase == Phase::Ending => Err(NextRefused::Over),
            Next::Nothing => Ok(Step::Nothing),
        }
    }

    /// Nothing that came is looked at any more.
    pub fn forget_lines(&mut self) {
        self.lines = Lines::default();
        self.phase = Phase::Ending;
    }
}

/// Why no line comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRefused {
    /// It is no text.
    NoText,
    /// It is longer than any may be.
    TooLong,
    /// There is none, and there will be none.
    Over,
}

/// How long a reader may take nothing when the server ends.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
