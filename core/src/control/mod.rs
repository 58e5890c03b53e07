//! What an operator asks a running server, and how the answer reaches whoever reads it, however slowly: bounded, whole, and in
//! nobody's way.
//!
//! One command walks through these files in this order:
//!
//! 1. `reader`: a control connection in the network core that accepted it. Its octets come to be lines in `frame`.
//! 2. [`command`]: a line is a [`Command`], or an error that says what was expected.
//! 3. `executor`: a part of the command is a task of a worker, a future that it polls, a few rows each turn. Rows of the worker's own
//!    tables it gets at once, those of a network core's in messages of at most [`ROWS_MAX`].
//! 4. [`rows`]: each row is written whole, as text or as a line of JSON.
//! 5. `screen`: where it is written: bounded. A task that finds no room waits, and says at which mark it is to be woken.
//! 6. The reader's connection again: what was written crosses to it, its driver writes as far as that goes without waiting, and
//!    when the mark is reached the task is told, once.
//!
//! # The protocol, version 1
//!
//! A command is a line, at most [`LINE_OCTETS_MAX`] octets. `json 1 ` before it has the answer in lines of JSON; `text 1 `, or nothing, in
//! text. Commands that come while one runs are done after it. An answer ends in exactly one line:
//!
//! | | JSON | text |
//! |---|---|---|
//! | a row | `{"row":{"client":"core-switch",…}}` | `core-switch …`, under a line of column names; a dot before a line that begins with one |
//! | done | `{"end":{"rows":12}}` | `. ok 12 rows` |
//! | not done | `{"error":{"code":"unknown-command","text":"…"}}` | `. error unknown-command …` |
//!
//! Octets of peers' are shown as text where they are UTF-8; what is not, and whatever would steer a terminal, as `\xNN`. No secret, password,
//! key or State is in any table.

pub mod command;
mod desk;
mod executor;
mod filter;
mod frame;
mod message;
mod reader;
pub mod rows;
mod screen;
mod show;
pub mod tables;

pub use self::command::{Command, Format, Order, Refusal, RefusalCode, Table};
pub use self::desk::{Act, Answered, Errand};
pub use self::message::{FromTask, Part, RowsAsked, TaskName, ToTask};
pub use self::reader::{ControlId, ControlView};
pub use self::screen::Size;
pub use self::tables::{ConfigLine, Cursor, Fact, RowBatch, Rows};

pub(crate) use self::executor::{Tasks, Wants};
pub(crate) use self::reader::{NextRefused, Readers, Step, Told};

/// Octets of a command, at most.
pub const LINE_OCTETS_MAX: usize = 4096;
/// Rows that are read from a table at once, at most.
pub const ROWS_MAX: usize = 64;
/// Octets of a row, at most: longer ones are cut.
pub const ROW_OCTETS_MAX: usize = 4096;
