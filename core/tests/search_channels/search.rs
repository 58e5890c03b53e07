//! Every state that can be reached, nearest first, so that the trace of a violation is the shortest there is.

use crate::laws::{self, Law};
use crate::memory::{self, Kind};
use crate::queue::crossing::Crossing;
use crate::queue::directory::{Directory, ThreadHandle};
use crate::queue::link;
use crate::thread::{Phase, Role, Stepped, Thread, digest};
use std::collections::{HashSet, VecDeque};
use std::panic;
use std::rc::Rc;

/// Threads, the rings between them, and how often something else than a bell may wake them.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// The first of each pair has a link to the second.
    pub links: &'static [(u16, u16)],
    /// The same for links that letters bring: the first is letter 1. Nobody has them at first.
    pub later: &'static [(u16, u16)],
    pub slots: usize,
    /// Times, all threads together, that a bell rings for nothing or a sleep ends by itself (a socket, a deadline).
    pub unrest: u8,
}

/// A thread's bell: sticky, and rings that come together are one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bell {
    /// A writer has rung; the kernel has not said so yet.
    pub on_its_way: bool,
    /// The thread's wait in the kernel will end.
    pub rung: bool,
}

/// All of one moment.
#[derive(Clone)]
pub struct State {
    pub memory: Rc<Vec<u64>>,
    pub threads: Vec<Rc<Thread>>,
    pub bells: Vec<Bell>,
    pub unrest: u8,
}

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The oldest store leaves the thread's buffer for memory.
    StoreLeaves,
    /// The thread goes on.
    Step,
    /// The bell comes.
    BellComes,
    /// The kernel ends the thread's wait, and the bell is taken.
    Wakes,
    /// The bell comes without having been rung.
    BellForNothing,
    /// A socket or a deadline ends the wait.
    WakesByItself,
}

impl Happening {
    const ALL: [Happening; 6] = [
        Happening::StoreLeaves,
        Happening::Step,
        Happening::BellComes,
        Happening::Wakes,
        Happening::BellForNothing,
        Happening::WakesByItself,
    ];

    /// Whether it need not happen: nobody may rely on it.
    fn is_unrest(self) -> bool {
        matches!(self, Happening::BellForNothing | Happening::WakesByItself)
    }
}

/// What a search found.
#[derive(Debug)]
pub struct Report {
    pub states: usize,
    /// Steps to the farthest state.
    pub depth: usize,
    /// Most sleeps of one thread on the shortest way to some state.
    pub parks: u64,
    /// Where nothing can happen any more.
    pub ends: usize,
    pub violation: Option<Violation>,
}

/// A law broken, and the shortest way there.
#[derive(Debug)]
pub struct Violation {
    pub law: Law,
    pub what: String,
    pub trace: Vec<String>,
}

struct Next {
    state: State,
    broke: Option<(Law, String)>,
    told: Vec<String>,
}

/// How a state was reached: from which, by what, of whom.
type Way = (u32, Happening, u16);

/// Searches all states, or until a law is broken.
pub fn search(scenario: &Scenario) -> Report {
    keep_quiet_about_steps();
    let first = start(scenario);
    let mut seen = HashSet::from([key(&first)]);
    let mut ways: Vec<Option<Way>> = vec![None];
    let mut line = VecDeque::from([(0u32, 0usize, first)]);
    let mut report = Report { states: 0, depth: 0, parks: 0, ends: 0, violation: None };
    while let Some((number, depth, state)) = line.pop_front() {
        report.depth = depth;
        let parks = state.threads.iter().map(|thread| thread.parks).max();
        report.parks = report.parks.max(parks.unwrap_or_default());
        let mut broken = laws::broken(scenario, &state);
        let mut is_end = true;
        for (happening, of) in all_that_may_happen(scenario) {
            let Some(next) = happen(scenario, &state, happening, of, false) else { continue };
            is_end &= happening.is_unrest();
            if let Some(broke) = next.broke {
                let violation = Violation {
                    law: broke.0,
                    what: broke.1,
                    trace: trace(scenario, &ways, number, Some((happening, of))),
                };
                return Report { states: seen.len(), violation: Some(violation), ..report };
            }
            if seen.insert(key(&next.state)) {
                ways.push(Some((number, happening, of)));
                line.push_back(((ways.len() - 1) as u32, depth + 1, next.state));
            }
        }
        if is_end {
            report.ends += 1;
            broken = broken.or_else(|| laws::broken_at_the_end(scenario, &state));
        }
        if let Some((law, what)) = broken {
            let violation = Violation { law, what, trace: trace(scenario, &ways, number, None) };
            return Report { states: seen.len(), violation: Some(violation), ..report };
        }
    }
    Report { states: seen.len(), ..report }
}

fn start(scenario: &Scenario) -> State {
    let links = scenario.links.iter().chain(scenario.later);
    // As `link` makes them.
    let rings = links.flat_map(|(one, other)| [format!("ring {one}→{other}"), format!("ring {other}→{one}")]);
    let has_letters = !scenario.later.is_empty();
    let ((crossings, handles, mut ends), memory) = memory::build(rings.collect(), has_letters, || {
        let mut directory = Directory::new();
        let (handles, mut crossings): (Vec<ThreadHandle<u8>>, Vec<Crossing<u8, u8>>) =
            scenario.roles.iter().map(|_| directory.enter()).unzip();
        let join = |one: &u16, other: &u16| {
            link(&handles[usize::from(*one)], &handles[usize::from(*other)], scenario.slots)
        };
        for (one, other) in scenario.links {
            let (ones, others) = join(one, other);
            crossings[usize::from(*one)].attach(ones);
            crossings[usize::from(*other)].attach(others);
        }
        let mut ends = Vec::new();
        for ((one, other), letter) in scenario.later.iter().zip(1..) {
            let (ones, others) = join(one, other);
            ends.extend([(letter, ones), (letter, others)]);
        }
        (crossings, Rc::new(handles), ends)
    });
    let threads = crossings.into_iter().zip(scenario.roles).map(|(crossing, role)| {
        let own = ends.extract_if(.., |(_, end)| end.own() == crossing.bell()).collect();
        Rc::new(Thread::new(role, crossing, handles.clone(), own))
    });
    State {
        memory: Rc::new(memory),
        threads: threads.collect(),
        bells: vec![Bell::default(); scenario.roles.len()],
        unrest: scenario.unrest,
    }
}

fn all_that_may_happen(scenario: &Scenario) -> impl Iterator<Item = (Happening, u16)> {
    let threads = 0..scenario.roles.len() as u16;
    threads.flat_map(|thread| Happening::ALL.map(|happening| (happening, thread)))
}

/// The state after it, unless it cannot happen.
fn happen(scenario: &Scenario, state: &State, happening: Happening, of: u16, tell: bool) -> Option<Next> {
    let at = usize::from(of);
    let (thread, bell, role) = (&state.threads[at], state.bells[at], &scenario.roles[at]);
    let is_asleep = thread.phase == Phase::Asleep;
    let may_happen = match happening {
        Happening::StoreLeaves => !thread.port.buffer.is_empty(),
        Happening::Step => !is_asleep,
        Happening::BellComes => bell.on_its_way,
        Happening::Wakes => is_asleep && bell.rung,
        Happening::BellForNothing => !bell.rung && state.unrest > 0,
        Happening::WakesByItself => is_asleep && state.unrest > 0,
    };
    if !may_happen {
        return None;
    }
    let mut state = state.clone();
    let mut told = Vec::new();
    match happening {
        Happening::StoreLeaves => {
            // Nobody reads a slot before a tail above it has left, too: so they leave with it.
            let buffer = &thread.port.buffer;
            let is_slot = |cell| matches!(memory::kind(cell), Kind::Slot(_));
            let slots = buffer.iter().take_while(|(cell, _)| is_slot(*cell)).count();
            let count = (slots + 1).min(buffer.len());
            let mut memory = state.memory.to_vec();
            for (cell, value) in &buffer[..count] {
                memory[usize::from(*cell)] = *value;
                if tell {
                    let word = memory::word(*cell, *value);
                    told.push(format!("its store {} = {word} reaches memory", memory::name(*cell)));
                }
            }
            state.change(at, |thread| drop(thread.port.buffer.drain(..count)));
            if state.threads[at].port.buffer.is_empty() {
                let stepped = state.threads[at].step_without_access(role, memory, tell);
                return Some(state.after(role, at, stepped, told));
            }
            state.memory = Rc::new(memory);
        }
        Happening::Step => match thread.phase {
            Phase::Asleep => unreachable!("who sleeps makes no step"),
            Phase::RingBell(whose) => {
                state.bells[usize::from(whose)].on_its_way = true;
                state.change(at, |thread| thread.phase = Phase::CheckGate);
                told.push(format!("rings the bell of {whose}"));
            }
            Phase::TakeBell | Phase::TakeBellTooLate => {
                let then = if thread.phase == Phase::TakeBell { role.first_phase() } else { Phase::Asleep };
                state.bells[at].rung = false;
                state.change(at, |thread| thread.phase = then);
                told.push(String::from("takes its bell, rung or not"));
            }
            Phase::Unpark
            | Phase::UnparkCancelled
            | Phase::Post
            | Phase::Letters
            | Phase::Sweep
            | Phase::Room
            | Phase::Publish(_)
            | Phase::RetireBeforeGate(_)
            | Phase::Retire(_)
            | Phase::AskForDrain(_)
            | Phase::CheckGate
            | Phase::AskForSpace
            | Phase::LookTooEarly
            | Phase::Announce
            | Phase::LookAgain => {
                let stepped = thread.step(role, state.memory.to_vec(), tell);
                stepped.thread.as_ref()?;
                return Some(state.after(role, at, stepped, told));
            }
        },
        Happening::BellComes => {
            state.bells[at] = Bell { on_its_way: false, rung: true };
            told.push(String::from("its bell comes"));
        }
        Happening::Wakes => {
            state.bells[at].rung = false;
            state.change(at, |thread| thread.phase = Phase::Unpark);
            told.push(String::from("wakes, and takes its bell"));
        }
        Happening::BellForNothing => {
            state.unrest -= 1;
            state.bells[at].rung = true;
            told.push(String::from("its bell comes, and nobody has rung it"));
        }
        Happening::WakesByItself => {
            state.unrest -= 1;
            state.change(at, |thread| thread.phase = Phase::Unpark);
            told.push(String::from("wakes by a socket or a deadline"));
        }
    }
    Some(Next { state, broke: None, told })
}

impl State {
    /// The state that a step of this thread leads to.
    fn after(mut self, role: &Role, at: usize, stepped: Stepped, mut told: Vec<String>) -> Next {
        let Stepped { thread, has_ended: _, memory, rings, broke, told: by_step } = stepped;
        let mut broke = broke.map(laws::of_one);
        self.memory = Rc::new(memory);
        self.threads[at] = Rc::new(thread.expect("it has moved"));
        if let Some(whose) = rings {
            let whose = usize::from(whose);
            if self.threads[whose].rung_for {
                broke = Some((Law::OneRingPerPark, format!("{} is rung again for one park", role.name)));
            }
            self.change(whose, |thread| thread.rung_for = true);
        }
        told.extend(by_step);
        Next { state: self, broke, told }
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Thread)) {
        let mut thread = self.threads[at].copy();
        change(&mut thread);
        self.threads[at] = Rc::new(thread);
    }
}

/// Two states are the same if this is.
fn key(state: &State) -> u128 {
    let mut words = Vec::with_capacity(64);
    words.extend_from_slice(&state.memory);
    words.extend(state.threads.iter().flat_map(|thread| thread.digest()));
    words.extend(state.bells.iter().map(|bell| u64::from(bell.on_its_way) * 2 + u64::from(bell.rung)));
    words.push(u64::from(state.unrest));
    digest(&words).as_u128()
}

/// The way to this state once more, told step by step.
fn trace(
    scenario: &Scenario,
    ways: &[Option<Way>],
    to: u32,
    and_then: Option<(Happening, u16)>,
) -> Vec<String> {
    let mut happenings: Vec<(Happening, u16)> = and_then.into_iter().collect();
    let mut at = to;
    while let Some((from, happening, of)) = ways[at as usize] {
        happenings.push((happening, of));
        at = from;
    }
    let mut state = start(scenario);
    let mut lines = Vec::new();
    for (happening, of) in happenings.into_iter().rev() {
        let thread = &state.threads[usize::from(of)];
        let phase = match happening {
            Happening::Step => format!("{:?}", thread.phase),
            Happening::StoreLeaves => String::from("store buffer"),
            Happening::BellComes
            | Happening::Wakes
            | Happening::BellForNothing
            | Happening::WakesByItself => String::from("kernel"),
        };
        let next = happen(scenario, &state, happening, of, true).expect("it happened before");
        let then = next.state.threads[usize::from(of)].phase;
        let then = if then == thread.phase { String::new() } else { format!(" → {then:?}") };
        let name = scenario.roles[usize::from(of)].name;
        lines.push(format!("{of} {name:8} {phase:14} {}{then}", next.told.join("; ")));
        state = next.state;
    }
    lines
}

/// A failed assertion of the sources within a step is a finding, not a panic of the test.
fn keep_quiet_about_steps() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let told_otherwise = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !memory::is_modelled() {
                told_otherwise(info);
            }
        }));
    });
}
