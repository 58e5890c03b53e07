//! The tables that can be shown: their columns and rows. Rows are copies, made a few at a time by the core that has the table.

use super::command::Table;
use super::rows::{Cell, Column, Row};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Where to go on in a table: the place of the next entry to be looked at. An entry that is there all the while is seen once, whatever
/// comes and goes meanwhile, as none changes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(pub u32);

/// Some rows of a table.
#[derive(Debug)]
pub struct RowBatch {
    /// They.
    pub rows: Rows,
    /// Where to go on; `None`: that was all.
    pub next: Option<Cursor>,
}

/// Rows of one kind.
#[derive(Debug)]
pub enum Rows {
    /// Of clients.
    Clients(Vec<ClientRow>),
    /// Of connections.
    Connections(Vec<ConnectionRow>),
    /// Of conversations.
    Conversations(Vec<ConversationRow>),
    /// Of remote servers.
    RemoteServers(Vec<RemoteServerRow>),
    /// What was counted.
    Facts(Vec<Fact>),
    /// Lines of the configuration.
    Config(Arc<[ConfigLine]>),
}

impl Rows {
    /// The row at a place.
    pub fn row(&self, place: usize) -> Option<&dyn Row> {
        match self {
            Rows::Clients(rows) => rows.get(place).map(|row| row as &dyn Row),
            Rows::Connections(rows) => rows.get(place).map(|row| row as &dyn Row),
            Rows::Conversations(rows) => rows.get(place).map(|row| row as &dyn Row),
            Rows::RemoteServers(rows) => rows.get(place).map(|row| row as &dyn Row),
            Rows::Facts(rows) => rows.get(place).map(|row| row as &dyn Row),
            Rows::Config(rows) => rows.get(place).map(|row| row as &dyn Row),
        }
    }
}

/// The columns of a table.
pub fn columns(table: Table) -> &'static [Column] {
    match table {
        Table::Clients => ClientRow::COLUMNS,
        Table::Connections => ConnectionRow::COLUMNS,
        Table::Conversations => ConversationRow::COLUMNS,
        Table::RemoteServers => RemoteServerRow::COLUMNS,
        Table::Threads | Table::Queues | Table::Statistics => Fact::columns_of(table),
        Table::Config => ConfigLine::COLUMNS,
    }
}

const fn column(name: &'static str, width: usize) -> Column {
    Column { name, width }
}

/// A client.
#[derive(Debug)]
pub struct ClientRow {
    /// The operator's name for it.
    pub client: Box<str>,
    /// The rule that has admitted it, unless it is configured, and until when in seconds.
    pub admitted: Option<(Arc<str>, u64)>,
    /// How many connections it has, if that is counted.
    pub connections: Option<u64>,
}

impl ClientRow {
    const COLUMNS: &'static [Column] = &[
        column("client", 24),
        column("kind", 10),
        column("rule", 16),
        column("connections", 11),
        column("expires_seconds", 15),
    ];
}

impl Row for ClientRow {
    fn columns(&self) -> &'static [Column] {
        Self::COLUMNS
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match (column, &self.admitted) {
            (0, _) => Cell::Octets(self.client.as_bytes()),
            (1, Some(_)) => Cell::Word("dynamic"),
            (1, None) => Cell::Word("configured"),
            (2, Some((rule, _))) => Cell::Word(rule),
            (3, _) => number(self.connections),
            (4, Some((_, expires))) => Cell::Number(*expires),
            _ => Cell::Nothing,
        }
    }
}

/// A connection of a dynamic client, or a stream.
#[derive(Debug)]
pub struct ConnectionRow {
    /// The network core that has it.
    pub network: u16,
    /// Of which transport.
    pub transport: &'static str,
    /// Who sends; its port only where that is the client's alone.
    pub remote: SocketAddr,
    /// Where to, if only packets there are the client's.
    pub local: Option<SocketAddr>,
    /// Whose it is, and the rule that says so.
    pub client: Option<(Box<str>, Option<Arc<str>>)>,
    /// For how long nothing has come, in seconds.
    pub idle: u64,
    /// When it ends at the latest, in seconds.
    pub expires: Option<u64>,
}

impl ConnectionRow {
    const COLUMNS: &'static [Column] = &[
        column("remote", 24),
        column("local", 24),
        column("transport", 9),
        column("client", 24),
        column("rule", 16),
        column("network", 7),
        column("idle_seconds", 12),
        column("expires_seconds", 15),
    ];
}

impl Row for ConnectionRow {
    fn columns(&self) -> &'static [Column] {
        Self::COLUMNS
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => Cell::Address(self.remote),
            1 => self.local.map_or(Cell::Nothing, Cell::Address),
            2 => Cell::Word(self.transport),
            3 => self.client.as_ref().map_or(Cell::Nothing, |(client, _)| Cell::Octets(client.as_bytes())),
            4 => {
                let rule = self.client.as_ref().and_then(|(_, rule)| rule.as_deref());
                rule.map_or(Cell::Nothing, Cell::Word)
            }
            5 => Cell::Number(self.network.into()),
            6 => Cell::Number(self.idle),
            _ => number(self.expires),
        }
    }
}

/// A conversation.
#[derive(Debug)]
pub struct ConversationRow {
    /// The worker that has it.
    pub worker: u16,
    /// Which of its conversations it is, counted from the first.
    pub number: u64,
    /// User-Name and Calling-Station-Id of its first request, unless there was no room to keep them.
    pub names: Option<Names>,
    /// The realm by which its States are told apart.
    pub realm: Option<Arc<str>>,
    /// Who decides: a remote server's name.
    pub server: Option<Box<str>>,
    /// Where its last request came from.
    pub remote: SocketAddr,
    /// How it stands.
    pub standing: &'static str,
    /// When it is forgotten, in seconds, unless something comes.
    pub expires: u64,
}

/// Who a conversation is with.
#[derive(Debug)]
pub struct Names {
    /// The User-Name.
    pub user_name: Box<[u8]>,
    /// The Calling-Station-Id; empty if there is none.
    pub calling_station_id: Box<[u8]>,
}

impl ConversationRow {
    const COLUMNS: &'static [Column] = &[
        column("worker", 6),
        column("number", 10),
        column("user", 24),
        column("calling_station", 17),
        column("realm", 20),
        column("server", 16),
        column("remote", 21),
        column("standing", 9),
        column("expires_seconds", 15),
    ];
}

impl Row for ConversationRow {
    fn columns(&self) -> &'static [Column] {
        Self::COLUMNS
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => Cell::Number(self.worker.into()),
            1 => Cell::Number(self.number),
            2 => some_octets(self.names.as_ref().map(|names| &*names.user_name)),
            3 => some_octets(self.names.as_ref().map(|names| &*names.calling_station_id)),
            4 => self.realm.as_deref().map_or(Cell::Nothing, Cell::Word),
            5 => self.server.as_deref().map_or(Cell::Nothing, Cell::Word),
            6 => Cell::Address(self.remote),
            7 => Cell::Word(self.standing),
            _ => Cell::Number(self.expires),
        }
    }
}

/// A remote server as one worker has it.
#[derive(Debug)]
pub struct RemoteServerRow {
    /// The operator's name for it.
    pub server: Box<str>,
    /// What it is to us.
    pub role: &'static str,
    /// Which worker.
    pub worker: u16,
    /// Where it is, if that is known.
    pub address: Option<SocketAddr>,
    /// How it is treated.
    pub standing: &'static str,
    /// Requests that wait for it.
    pub outstanding: u64,
    /// Sockets to it.
    pub sockets: u64,
}

impl RemoteServerRow {
    const COLUMNS: &'static [Column] = &[
        column("server", 24),
        column("role", 6),
        column("worker", 6),
        column("address", 24),
        column("standing", 9),
        column("outstanding", 11),
        column("sockets", 7),
    ];
}

impl Row for RemoteServerRow {
    fn columns(&self) -> &'static [Column] {
        Self::COLUMNS
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => Cell::Word(&self.server),
            1 => Cell::Word(self.role),
            2 => Cell::Number(self.worker.into()),
            3 => self.address.map_or(Cell::Nothing, Cell::Address),
            4 => Cell::Word(self.standing),
            5 => Cell::Number(self.outstanding),
            _ => Cell::Number(self.sockets),
        }
    }
}

/// Something that the driver has counted: of a thread, or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The thread's name; of all threads `None`.
    pub thread: Option<String>,
    /// What was counted.
    pub name: String,
    /// How much.
    pub value: u64,
}

impl Fact {
    fn columns_of(table: Table) -> &'static [Column] {
        if let Table::Statistics = table { Self::OF_ALL } else { Self::OF_THREADS }
    }

    const OF_ALL: &'static [Column] = &[column("name", 32), column("value", 12)];
    const OF_THREADS: &'static [Column] = &[column("thread", 12), column("name", 28), column("value", 12)];
}

impl Row for Fact {
    fn columns(&self) -> &'static [Column] {
        if self.thread.is_none() { Self::OF_ALL } else { Self::OF_THREADS }
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match (column, &self.thread) {
            (0, Some(thread)) => Cell::Word(thread),
            (0, None) | (1, Some(_)) => Cell::Word(&self.name),
            _ => Cell::Number(self.value),
        }
    }
}

/// A line of the configuration that is in force, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigLine {
    /// The file's name.
    pub file: Arc<str>,
    /// The number of the line there, from 1.
    pub number: u64,
    /// What stands there.
    pub text: Box<str>,
}

impl ConfigLine {
    const COLUMNS: &'static [Column] = &[column("file", 16), column("line", 4), column("text", 80)];
}

impl Row for ConfigLine {
    fn columns(&self) -> &'static [Column] {
        Self::COLUMNS
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => Cell::Word(&self.file),
            1 => Cell::Number(self.number),
            _ => Cell::Word(&self.text),
        }
    }
}

fn number(number: Option<u64>) -> Cell<'static> {
    number.map_or(Cell::Nothing, Cell::Number)
}

fn some_octets(octets: Option<&[u8]>) -> Cell<'_> {
    match octets {
        None | Some([]) => Cell::Nothing,
        Some(octets) => Cell::Octets(octets),
    }
}
