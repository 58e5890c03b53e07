//! The tasks of one worker: polled in turn, a few each turn of the thread, and not at all while they wait.
//!
//! Nothing wakes a task but what it has asked for: rows, an errand that is done, room at its mark, the next turn. So there is no waker, and
//! the same inputs have the same tasks polled in the same order.

use super::command::Refusal;
use super::desk::{Act, Answered, Asked, Desk, Errand};
use super::message::{FromTask, Part, RowsAsked, TaskName};
use super::show;
use super::tables::RowBatch;
use crate::effect::Ticket;
use crate::life::Life;
use crate::path::NetworkId;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Where a task's connection is: the network core, and its place there. It has one task at most.
type Home = (NetworkId, u32);

/// The tasks of a worker.
pub struct Tasks {
    life: Life,
    networks: u16,
    tasks: BTreeMap<Home, Task>,
    /// Those that go on.
    ready: VecDeque<Home>,
    /// What goes to their connections.
    outgoing: VecDeque<(NetworkId, TaskName, FromTask)>,
    /// What the driver is asked, and has not polled yet.
    errands: VecDeque<(Ticket, Errand)>,
    /// Names errands.
    errands_sent: u32,
    /// How often one was told that there is room.
    woken: u64,
}

struct Task {
    name: TaskName,
    desk: Desk,
    future: Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>,
    waits: Waits,
}

impl TaskName {
    fn home(self) -> Home {
        (self.network, self.control.place)
    }
}

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Its turn.
    Turn,
    /// Room for so many octets.
    Room(usize),
    /// Rows of a network core's.
    Rows(NetworkId, RowsAsked),
    /// An errand.
    Errand(Ticket),
}

/// What a task wants of its worker at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// Nothing.
    Nothing,
    /// Some of its rows.
    Rows(Home, RowsAsked),
    /// That it does something.
    Act(Home, Act),
}

impl Tasks {
    /// None, in a server of so many network cores.
    pub fn new(life: Life, networks: u16) -> Tasks {
        Tasks {
            life,
            networks,
            tasks: BTreeMap::new(),
            ready: VecDeque::new(),
            outgoing: VecDeque::new(),
            errands: VecDeque::new(),
            errands_sent: 0,
            woken: 0,
        }
    }

    /// A part of a command begins. What its connection had before is over.
    pub fn begin(&mut self, name: TaskName, part: Part) {
        let home = name.home();
        let desk = Desk::new(part.size);
        let future = Box::pin(show::run(desk.clone(), part, self.networks));
        let task = Task { name, desk, future, waits: Waits::Turn };
        if self.tasks.insert(home, task).is_none_or(|before| before.waits != Waits::Turn) {
            self.ready.push_back(home);
        }
    }

    /// So much of a task's output was written, which was its mark.
    pub fn handle_mark(&mut self, name: TaskName, written: u64) {
        let Some(task) = self.named(name) else { return };
        task.desk.with(|state| state.screen.note_written(written));
        let Waits::Room(octets) = task.waits else { return };
        let has_room = task.desk.with(|state| state.screen.has_room(octets));
        self.woken += 1;
        if has_room {
            self.answer(name.home(), Answered::GoOn);
        } else {
            self.wait_for_room(name);
        }
    }

    /// Rows that a task has asked a network core for.
    pub fn handle_rows(&mut self, from: NetworkId, name: TaskName, asked: RowsAsked, rows: RowBatch) {
        if self.named(name).is_some_and(|task| task.waits == Waits::Rows(from, asked)) {
            self.answer(name.home(), Answered::Rows(rows));
        }
    }

    /// An errand is done. Whether somebody waits for it.
    pub fn handle_errand(&mut self, ticket: Ticket, answered: Answered) -> bool {
        let found = self.tasks.iter().find(|(_, task)| task.waits == Waits::Errand(ticket));
        let Some(home) = found.map(|(home, _)| *home) else { return false };
        self.answer(home, answered);
        true
    }

    /// Nobody reads what a task writes.
    pub fn cancel(&mut self, name: TaskName) {
        if self.named(name).is_some() {
            self.remove(name.home());
        }
    }

    /// A network core has died, and its connections with it; its successor has no rows yet.
    pub fn handle_died(&mut self, network: NetworkId) {
        let of_it: Vec<Home> = self.tasks.keys().filter(|(home, _)| *home == network).copied().collect();
        of_it.into_iter().for_each(|home| self.remove(home));
        for task in self.tasks.values() {
            if let Waits::Rows(asked_of, asked) = task.waits
                && asked_of == network
            {
                self.outgoing.push_back((network, task.name, FromTask::Asks(asked)));
            }
        }
    }

    /// Polls the next task that goes on, if there is one: what it wants at once.
    pub fn poll(&mut self) -> Option<Wants> {
        let home = self.ready.pop_front()?;
        let Some(task) = self.tasks.get_mut(&home) else { return Some(Wants::Nothing) };
        let name = task.name;
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(ended) = polled {
            self.send_output(home);
            let rows = self.tasks[&home].desk.with(|state| state.rows);
            let refusal = ended.err();
            self.outgoing.push_back((name.network, name, FromTask::Ended { rows, refusal }));
            self.tasks.remove(&home);
            return Some(Wants::Nothing);
        }
        let (asked, is_worth_sending) =
            task.desk.with(|state| (state.asked.take(), state.screen.is_worth_sending()));
        let asked = asked.expect("a task that waits has asked for something");
        let goes_on_soon = match asked {
            Asked::Own(_) | Asked::Act(_) | Asked::Turn => true,
            Asked::Network(..) | Asked::Driver(_) | Asked::Room(_) => false,
        };
        if is_worth_sending || !goes_on_soon {
            self.send_output(home);
        }
        let waits = match asked {
            Asked::Own(asked) => return Some(Wants::Rows(home, asked)),
            Asked::Act(act) => return Some(Wants::Act(home, act)),
            Asked::Turn => {
                self.answer(home, Answered::GoOn);
                return Some(Wants::Nothing);
            }
            Asked::Network(of, asked) => {
                self.outgoing.push_back((of, name, FromTask::Asks(asked)));
                Waits::Rows(of, asked)
            }
            Asked::Driver(errand) => {
                self.errands_sent = self.errands_sent.wrapping_add(1);
                let ticket = Ticket { place: home.1, generation: self.errands_sent, life: self.life };
                self.errands.push_back((ticket, errand));
                Waits::Errand(ticket)
            }
            Asked::Room(octets) => Waits::Room(octets),
        };
        self.tasks.get_mut(&home).expect(POLLED).waits = waits;
        if let Waits::Room(_) = waits {
            self.wait_for_room(name);
        }
        Some(Wants::Nothing)
    }

    /// A task goes on in its next turn, with this.
    pub fn answer(&mut self, home: Home, answered: Answered) {
        let Some(task) = self.tasks.get_mut(&home) else { return };
        task.desk.with(|state| state.answer = Some(answered));
        task.waits = Waits::Turn;
        self.ready.push_back(home);
    }

    /// What goes to the connection of a task, or to a network core for it.
    pub fn poll_message(&mut self) -> Option<(NetworkId, TaskName, FromTask)> {
        self.outgoing.pop_front()
    }

    /// What the driver is asked.
    pub fn poll_errand(&mut self) -> Option<(Ticket, Errand)> {
        self.errands.pop_front()
    }

    /// Whether any task goes on in the next turn, or the driver is asked anything.
    pub fn has_any_ready(&self) -> bool {
        !self.ready.is_empty() || !self.errands.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether one of this network core's connections has a task here.
    pub fn has_any_of(&self, network: NetworkId) -> bool {
        self.tasks.range((network, 0)..=(network, u32::MAX)).next().is_some()
    }

    /// How often tasks were told that there is room.
    pub fn woken(&self) -> u64 {
        self.woken
    }

    fn named(&mut self, name: TaskName) -> Option<&mut Task> {
        self.tasks.get_mut(&name.home()).filter(|task| task.name == name)
    }

    fn remove(&mut self, home: Home) {
        self.tasks.remove(&home);
        self.ready.retain(|ready| *ready != home);
        self.outgoing.retain(|(_, name, _)| name.home() != home);
    }

    fn send_output(&mut self, home: Home) {
        let task = &self.tasks[&home];
        if let Some(octets) = task.desk.with(|state| state.screen.take()) {
            self.outgoing.push_back((home.0, task.name, FromTask::Output { octets }));
        }
    }

    fn wait_for_room(&mut self, name: TaskName) {
        let task = &self.tasks[&name.home()];
        let mark = task.desk.with(|state| state.screen.mark());
        self.outgoing.push_back((name.network, name, FromTask::Waits { mark }));
    }
}

const POLLED: &str = "it was polled just now";
