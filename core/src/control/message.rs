//! What a connection and its task say to each other, across threads.

use super::command::{Format, Refusal, Table};
use super::screen::Size;
use super::tables::{Cursor, RowBatch};
use super::{Command, ControlId};
use crate::life::Life;
use crate::path::NetworkId;
use alloc::vec::Vec;

/// A part of a command: of which connection, and the how many'th of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskName {
    /// The network core that has the connection.
    pub network: NetworkId,
    /// Of this core.
    pub life: Life,
    /// The connection.
    pub control: ControlId,
    /// Counts the connection's parts.
    pub number: u32,
}

/// A part of a command, for one worker.
#[derive(Debug, Clone)]
pub struct Part {
    /// What is asked.
    pub command: Command,
    /// How it is answered.
    pub format: Format,
    /// How much may wait.
    pub size: Size,
    /// Whether it is the first: it writes what stands above all rows.
    pub is_first: bool,
    /// Rows that may still be written.
    pub rows_max: u64,
}

/// Network → worker, about a task.
#[derive(Debug)]
pub enum ToTask {
    /// Begin this.
    Begin(Part),
    /// The mark is reached: so many octets are written, counted from the part's first.
    Mark(u64),
    /// Nobody reads it any more.
    Cancel,
    /// Rows, and what was asked: who has died meanwhile is asked again, and its successor may answer both.
    Rows(RowsAsked, RowBatch),
}

/// Worker → network, of a task.
#[derive(Debug)]
pub enum FromTask {
    /// To be written.
    Output {
        /// Whole rows.
        octets: Vec<u8>,
    },
    /// It waits until so many octets are written, counted from the part's first.
    Waits {
        /// At which it is to be told, once.
        mark: u64,
    },
    /// It is over, and has written so many rows.
    Ended {
        /// Rows.
        rows: u64,
        /// Why it could not be done.
        refusal: Option<Refusal>,
    },
    /// It wants rows of this network core.
    Asks(RowsAsked),
}

/// Rows that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsAsked {
    /// Of which table.
    pub table: Table,
    /// From where on.
    pub cursor: Cursor,
}
