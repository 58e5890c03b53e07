//! Memory as in TSO, and one step of one thread over it.
//!
//! A store goes into the thread's store buffer and leaves it later, in order, by a step of its own. A load takes the
//! newest store of the thread's own buffer, else what is in memory. A read-modify-write and a SeqCst fence wait until the
//! buffer is empty. (A load can thus come before an older store of its thread, and nothing else is out of order: that is
//! what an x86 processor does, and what the fences are for. Weaker orders are loom's, in `loom_queue.rs`.)
//!
//! Real code cannot be stopped in the middle and taken up again, so a thread's place in a phase is what its accesses have
//! returned so far, its *log*: the phase runs again from its start on a copy of the crossing, gets the answers of the log,
//! then makes one access to memory, and is unwound where it wants the next.

use crate::seeded::{self, Bug};
use std::cell::RefCell;
use std::panic::resume_unwind;

/// A word of the memory.
pub type CellId = u16;

/// What the sources ask of the memory.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    Load(CellId),
    Store(CellId, u64),
    Swap(CellId, u64),
    CompareExchange(CellId, u64, u64),
}

/// What a cell is, by the order in which they are made: per thread a gate, and a mailbox where letters are posted; then
/// ring by ring a tail, a head and a mark for space, and the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gate(u16),
    /// Its word holds the letters themselves, octets, the newest lowest.
    Mailbox(u16),
    Tail(u16),
    Head(u16),
    WantSpace(u16),
    Slot(u16),
}

/// What the phase is, as far as bugs made here need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    CheckGate,
    Other,
}

/// The payload of the unwinding that ends a step in the middle of a phase.
pub struct Stopped;

/// The part of a thread that its accesses change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// Stores that have not left for memory, oldest first.
    pub buffer: Vec<(CellId, u64)>,
    /// What the accesses of the phase have returned so far.
    pub log: Vec<u64>,
}

/// What one step has to work with, and what it leaves.
#[derive(Default)]
struct Step {
    memory: Vec<u64>,
    port: Port,
    at: usize,
    may_access: bool,
    has_stored: bool,
    within: Option<Within>,
    /// Accesses by name, if somebody wants to read them.
    told: Option<Vec<String>>,
}

enum Mode {
    /// Nothing is modelled, or a modelled crossing is being dropped: then its accesses are of no consequence.
    Off,
    Building {
        memory: Vec<u64>,
        kinds: Vec<Kind>,
        /// Whether mailboxes are of the model; else they are empty for ever.
        has_letters: bool,
    },
    Stepping(Step),
    /// Loads see what is in memory; for laws.
    Looking(Vec<u64>),
}

thread_local! {
    static MODE: RefCell<Mode> = const { RefCell::new(Mode::Off) };
    static KINDS: RefCell<Vec<Kind>> = const { RefCell::new(Vec::new()) };
    static RINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Makes what `build` makes out of cells of a new memory, with rings of these names. What its cells are stays with this
/// thread until the next.
pub fn build<T>(rings: Vec<String>, has_letters: bool, build: impl FnOnce() -> T) -> (T, Vec<u64>) {
    set(Mode::Building { memory: Vec::new(), kinds: Vec::new(), has_letters });
    let built = build();
    match set(Mode::Off) {
        Mode::Building { memory, kinds, has_letters: _ } => {
            let marks = count(&kinds, |kind| matches!(kind, Kind::WantSpace(_)));
            assert_eq!(
                usize::from(marks),
                rings.len(),
                "each ring has a tail, a head and a mark, in this order"
            );
            KINDS.set(kinds);
            RINGS.set(rings);
            (built, memory)
        }
        Mode::Off | Mode::Stepping(_) | Mode::Looking(_) => unreachable!("it was building"),
    }
}

pub fn new_gate(value: u64) -> Option<CellId> {
    new(value, |kinds| Kind::Gate(count(kinds, |kind| matches!(kind, Kind::Gate(_)))))
}

/// The mailbox of the thread whose gate was made last.
pub fn new_mailbox() -> Option<CellId> {
    let has_letters = MODE.with_borrow(|mode| matches!(mode, Mode::Building { has_letters: true, .. }));
    let of_gate = |kinds: &[Kind]| Kind::Mailbox(count(kinds, |kind| matches!(kind, Kind::Gate(_))) - 1);
    if has_letters { new(0, of_gate) } else { None }
}

pub fn new_index(value: u64) -> Option<CellId> {
    new(value, |kinds| {
        let rings = count(kinds, |kind| matches!(kind, Kind::WantSpace(_)));
        match kinds.last() {
            Some(Kind::Tail(_)) => Kind::Head(rings),
            Some(Kind::Head(_)) => Kind::WantSpace(rings),
            None | Some(Kind::Gate(_) | Kind::Mailbox(_) | Kind::WantSpace(_) | Kind::Slot(_)) => {
                Kind::Tail(rings)
            }
        }
    })
}

pub fn new_slot() -> Option<CellId> {
    new(0, |kinds| Kind::Slot(count(kinds, |kind| matches!(kind, Kind::WantSpace(_))) - 1))
}

fn new(value: u64, kind: impl FnOnce(&[Kind]) -> Kind) -> Option<CellId> {
    MODE.with_borrow_mut(|mode| match mode {
        Mode::Building { memory, kinds, has_letters: _ } => {
            kinds.push(kind(kinds));
            memory.push(value);
            Some((memory.len() - 1) as CellId)
        }
        Mode::Off | Mode::Stepping(_) | Mode::Looking(_) => None,
    })
}

fn count(kinds: &[Kind], of: impl Fn(&Kind) -> bool) -> u16 {
    kinds.iter().filter(|kind| of(kind)).count() as u16
}

/// What this cell is, in the model built last.
pub fn kind(cell: CellId) -> Kind {
    KINDS.with_borrow(|kinds| kinds[usize::from(cell)])
}

pub fn is_modelled() -> bool {
    MODE.with_borrow(|mode| matches!(mode, Mode::Stepping(_)))
}

/// Begins a step of the thread whose port this is.
pub fn begin(memory: Vec<u64>, port: Port, within: Within, may_access: bool, tell: bool) {
    let told = tell.then(Vec::new);
    let step = Step { memory, port, may_access, within: Some(within), told, ..Step::default() };
    set(Mode::Stepping(step));
}

/// Ends the step: memory, port, and what was done by name.
pub fn end() -> (Vec<u64>, Port, Vec<String>) {
    match set(Mode::Off) {
        Mode::Stepping(step) => (step.memory, step.port, step.told.unwrap_or_default()),
        Mode::Off | Mode::Building { .. } | Mode::Looking(_) => unreachable!("a step ends that has begun"),
    }
}

/// Lets `look` see memory as it is, and change nothing.
pub fn look<T>(memory: &[u64], look: impl FnOnce() -> T) -> T {
    set(Mode::Looking(memory.to_vec()));
    let seen = look();
    set(Mode::Off);
    seen
}

fn set(mode: Mode) -> Mode {
    MODE.replace(mode)
}

/// One access by the sources; what it returns.
pub fn access(access: Access) -> u64 {
    let answer = MODE.with_borrow_mut(|mode| match mode {
        Mode::Stepping(step) => step.answer(access),
        Mode::Looking(memory) => match access {
            Access::Load(cell) => Some(memory[usize::from(cell)]),
            Access::Store(..) | Access::Swap(..) | Access::CompareExchange(..) => {
                unreachable!("who only looks stores nothing")
            }
        },
        Mode::Off => Some(0),
        Mode::Building { .. } => unreachable!("nothing is accessed before all is built"),
    });
    answer.unwrap_or_else(|| resume_unwind(Box::new(Stopped)))
}

/// A SeqCst fence.
pub fn fence() {
    let passed = MODE.with_borrow_mut(|mode| match mode {
        Mode::Stepping(step) => step.fence(),
        Mode::Off | Mode::Building { .. } | Mode::Looking(_) => true,
    });
    if !passed {
        resume_unwind(Box::new(Stopped));
    }
}

impl Step {
    /// What the access returns; `None` if the step ends before it.
    fn answer(&mut self, access: Access) -> Option<u64> {
        if let Some(answer) = self.logged() {
            return Some(answer);
        }
        let answer = match access {
            Access::Load(cell) => self.load(cell)?,
            Access::Store(cell, value) => {
                self.push(cell, value);
                0
            }
            Access::Swap(cell, new) => self.read_modify_write(cell, |_| Some(new))?,
            Access::CompareExchange(cell, current, new) if seeded::is(Bug::RungWithoutASwap) => {
                self.push(cell, new);
                current
            }
            Access::CompareExchange(cell, current, new) => {
                self.read_modify_write(cell, |found| (found == current).then_some(new))?
            }
        };
        Some(self.note(answer))
    }

    fn logged(&mut self) -> Option<u64> {
        let answer = self.port.log.get(self.at).copied();
        self.at += usize::from(answer.is_some());
        answer
    }

    fn note(&mut self, answer: u64) -> u64 {
        self.port.log.push(answer);
        self.at += 1;
        answer
    }

    fn load(&mut self, cell: CellId) -> Option<u64> {
        if let Kind::Head(ring) = kind(cell)
            && seeded::is(Bug::HalfARingRingsNobody)
            && self.within == Some(Within::CheckGate)
        {
            return Some(self.newest(sibling(Kind::Tail(ring))));
        }
        self.take_turn()?;
        let value = self.newest(cell);
        self.tell(|| format!("loads {}: {}", name(cell), word(cell, value)));
        Some(value)
    }

    fn push(&mut self, cell: CellId, value: u64) {
        self.has_stored = true;
        let buffer = &mut self.port.buffer;
        let mut at = buffer.len();
        if seeded::is(Bug::TailPublishedRelaxed) && matches!(kind(cell), Kind::Tail(_)) {
            // Nothing keeps it behind the slots that were written before it.
            while at > 0 && matches!(kind(buffer[at - 1].0), Kind::Slot(_)) {
                at -= 1;
            }
        }
        buffer.insert(at, (cell, value));
        self.tell(|| format!("stores {} = {} in its buffer", name(cell), word(cell, value)));
    }

    fn read_modify_write(&mut self, cell: CellId, new: impl FnOnce(u64) -> Option<u64>) -> Option<u64> {
        if !self.port.buffer.is_empty() {
            return None;
        }
        self.take_turn()?;
        let found = self.memory[usize::from(cell)];
        let new = new(found);
        if let Some(new) = new {
            self.memory[usize::from(cell)] = new;
        }
        self.tell(|| match new {
            Some(new) => format!("swaps {} to {}: was {}", name(cell), word(cell, new), word(cell, found)),
            None => format!("would swap {}, finds {}", name(cell), word(cell, found)),
        });
        Some(found)
    }

    fn fence(&mut self) -> bool {
        if self.logged().is_none() {
            if !self.port.buffer.is_empty() {
                return false;
            }
            self.tell(|| String::from("passes a SeqCst fence"));
            self.note(0);
        }
        true
    }

    /// One access to memory per step, and none in the step of an older store: that one may leave in between.
    fn take_turn(&mut self) -> Option<()> {
        let may = self.may_access && !self.has_stored;
        self.may_access = false;
        may.then_some(())
    }

    fn newest(&self, cell: CellId) -> u64 {
        let own = self.port.buffer.iter().rev().find(|(stored, _)| *stored == cell);
        own.map_or(self.memory[usize::from(cell)], |(_, value)| *value)
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(what());
        }
    }
}

fn sibling(of: Kind) -> CellId {
    KINDS.with_borrow(|kinds| kinds.iter().position(|kind| *kind == of).expect("each ring has it")) as CellId
}

/// As traces say it.
pub fn name(cell: CellId) -> String {
    let (what, ring) = match kind(cell) {
        Kind::Gate(thread) => return format!("gate of {thread}"),
        Kind::Mailbox(thread) => return format!("mailbox of {thread}"),
        Kind::Tail(ring) => ("tail", ring),
        Kind::Head(ring) => ("head", ring),
        Kind::WantSpace(ring) => ("want_space", ring),
        Kind::Slot(ring) => ("slot", ring),
    };
    RINGS.with_borrow(|rings| format!("{what} of {}", rings[usize::from(ring)]))
}

/// The word as the sources call it.
pub fn word(cell: CellId, value: u64) -> String {
    match (kind(cell), value) {
        (Kind::Gate(_), 0) => String::from("RUN"),
        (Kind::Gate(_), 1) => String::from("PARK"),
        (Kind::Gate(_), 2) => String::from("WANT"),
        (Kind::Gate(_), 3) => String::from("RUNG"),
        (Kind::Mailbox(_), 0) => String::from("empty"),
        (Kind::Mailbox(_), _) => format!("letters {value:x}"),
        (Kind::Gate(_) | Kind::Tail(_) | Kind::Head(_) | Kind::WantSpace(_) | Kind::Slot(_), _) => {
            value.to_string()
        }
    }
}
