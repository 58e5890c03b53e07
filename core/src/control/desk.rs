//! Where a task sits: what it writes on, and how it asks its worker for what it needs.
//!
//! A task and the worker that polls it have one each of two handles to the same desk, never both at once.

use super::command::Format;
use super::message::RowsAsked;
use super::rows::{Row, write_row};
use super::screen::{Screen, Size};
use super::tables::RowBatch;
use super::{Cursor, Table};
use crate::path;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use atomic_refcell::AtomicRefCell;
use core::future::poll_fn;
use core::task::Poll;

/// The task's handle, or its worker's.
#[derive(Clone)]
pub struct Desk(Arc<AtomicRefCell<State>>);

/// What lies there.
pub struct State {
    pub screen: Screen,
    /// What the task waits for.
    pub asked: Option<Asked>,
    pub answer: Option<Answered>,
    /// Rows written so far.
    pub rows: u64,
}

/// What a task asks of its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// That it does something.
    Act(Act),
    /// Some rows of the worker's own tables.
    Own(RowsAsked),
    /// Some rows of a network core's.
    Network(path::NetworkId, RowsAsked),
    /// What only the driver knows, or can do.
    Driver(Errand),
    /// Room for so many octets.
    Room(usize),
    /// To go on in the next turn.
    Turn,
}

/// What a worker can do by itself, a bounded part of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ends a client, as far as keys from this place on are looked at.
    Flush(Box<str>, Cursor),
    /// Takes a remote server out of use, or gives it back.
    Hold(Box<str>, bool),
}

/// What only the driver knows, or can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// All rows of this table.
    Rows(Table),
    /// Load the configuration anew.
    Reload,
    /// End.
    Shutdown,
}

/// What is answered.
#[derive(Debug)]
pub enum Answered {
    /// Rows.
    Rows(RowBatch),
    /// So much was acted on, and where to go on.
    Acted(u64, Option<Cursor>),
    /// An errand is done, or why not.
    Done(Result<(), String>),
    /// Go on.
    GoOn,
}

impl Desk {
    /// An empty one.
    pub fn new(size: Size) -> Desk {
        Desk(Arc::new(AtomicRefCell::new(State {
            screen: Screen::new(size),
            asked: None,
            answer: None,
            rows: 0,
        })))
    }

    /// For whoever's turn it is.
    pub fn with<T>(&self, then: impl FnOnce(&mut State) -> T) -> T {
        then(&mut self.0.borrow_mut())
    }

    async fn ask(&self, asked: Asked) -> Answered {
        self.with(|state| state.asked = Some(asked));
        poll_fn(|_| self.with(|state| state.answer.take().map_or(Poll::Pending, Poll::Ready))).await
    }

    /// Some rows of the worker's own tables.
    pub async fn own_rows(&self, table: Table, cursor: Cursor) -> RowBatch {
        rows(self.ask(Asked::Own(RowsAsked { table, cursor })).await)
    }

    /// Some rows of a network core's tables.
    pub async fn rows_of(&self, network: path::NetworkId, table: Table, cursor: Cursor) -> RowBatch {
        rows(self.ask(Asked::Network(network, RowsAsked { table, cursor })).await)
    }

    /// All rows of a table that the driver has; or why nobody could say.
    pub async fn rows_of_driver(&self, table: Table) -> Result<RowBatch, String> {
        match self.ask(Asked::Driver(Errand::Rows(table))).await {
            Answered::Rows(rows) => Ok(rows),
            Answered::Done(Err(why)) => Err(why),
            Answered::Acted(..) | Answered::Done(Ok(())) | Answered::GoOn => {
                unreachable!("it asked for rows")
            }
        }
    }

    /// Has the driver do something.
    pub async fn send(&self, errand: Errand) -> Result<(), String> {
        match self.ask(Asked::Driver(errand)).await {
            Answered::Done(done) => done,
            Answered::Rows(_) | Answered::Acted(..) | Answered::GoOn => {
                unreachable!("it sent on an errand")
            }
        }
    }

    /// Has the worker do something: how much that was, and where to go on.
    pub async fn act(&self, act: Act) -> (u64, Option<Cursor>) {
        match self.ask(Asked::Act(act)).await {
            Answered::Acted(done, next) => (done, next),
            Answered::Rows(_) | Answered::Done(_) | Answered::GoOn => {
                unreachable!("it asked to act")
            }
        }
    }

    /// Goes on in the next turn.
    pub async fn turn(&self) {
        self.ask(Asked::Turn).await;
    }

    /// Writes, when there is room for the whole of it.
    pub async fn write(&self, octets: &[u8]) {
        while !self.with(|state| state.screen.has_room(octets.len())) {
            self.ask(Asked::Room(octets.len())).await;
        }
        self.with(|state| state.screen.write(octets));
    }

    /// Writes a row. `line` is for its octets.
    pub async fn write_row(&self, format: Format, row: &dyn Row, line: &mut String) {
        line.clear();
        write_row(format, row, line);
        self.write(line.as_bytes()).await;
        self.with(|state| state.rows += 1);
    }
}

fn rows(answered: Answered) -> RowBatch {
    match answered {
        Answered::Rows(rows) => rows,
        Answered::Acted(..) | Answered::Done(_) | Answered::GoOn => {
            unreachable!("it asked for rows")
        }
    }
}
