//! Who asks the server what it does, and how each of them reads.

use serde::{Deserialize, Serialize};

/// The control socket and who connects to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPlan {
    /// Octets that may wait for a reader.
    pub buffer_octets: u32,
    /// When so much of that is free, in a hundred, a task goes on.
    pub mark: u8,
    /// How long a reader may take nothing.
    pub patience_s: u64,
    /// Connections that are open at once.
    pub connections_max: u32,
    /// How many counters the server says that it has.
    pub facts: u32,
    /// Who connects.
    pub readers: Vec<ControlReaderPlan>,
}

/// One connection to the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlReaderPlan {
    /// When it connects, in virtual milliseconds.
    pub connects_ms: u64,
    /// What it asks, in this order.
    pub commands: Vec<CommandPlan>,
    /// Whether it asks all at once, or one when the one before is answered.
    pub at_once: bool,
    /// Octets that it sends at once, at most.
    pub sends_octets: u32,
    /// Between two of these, in virtual microseconds.
    pub sends_every_us: u64,
    /// Octets that lie in its kernel, at most: what it has not taken fills that.
    pub kernel_octets: u32,
    /// Octets that it takes at once, at most.
    pub takes_octets: u32,
    /// Between two of these, in virtual microseconds.
    pub takes_every_us: u64,
    /// After so many octets it takes nothing for so many virtual milliseconds, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalls: Option<(u64, u64)>,
    /// How it goes.
    pub goes: Goes,
}

/// A command of a reader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandPlan {
    /// What it asks.
    pub asks: Asks,
    /// Whether in lines of JSON.
    pub json: bool,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asks {
    /// Rows of workers.
    Clients,
    /// Rows of network cores, through a worker.
    Connections,
    /// Rows of workers.
    Conversations,
    /// What the driver knows.
    Statistics,
    /// Which commands there are.
    Help,
    /// What is no command.
    Nonsense,
}

/// How a reader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goes {
    /// It sends nothing more once all its commands are sent, and reads on.
    EndsWhenSent,
    /// It sends nothing more once all its commands are answered.
    EndsWhenAnswered,
    /// It is gone when it has taken so many octets; or ends when all is answered.
    VanishesAfter(u64),
    /// It is gone after so many virtual milliseconds; or ends when all is answered.
    VanishesAt(u64),
}

impl CommandPlan {
    /// The line that it is.
    pub fn line(self) -> String {
        let format = if self.json { "json 1 " } else { "" };
        let words = match self.asks {
            Asks::Clients => "show clients",
            Asks::Connections => "show connections",
            Asks::Conversations => "show conversations",
            Asks::Statistics => "show statistics",
            Asks::Help => "help",
            Asks::Nonsense => "shw clients",
        };
        format!("{format}{words}\n")
    }
}
