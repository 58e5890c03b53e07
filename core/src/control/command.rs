//! A line of a control connection, and what it asks.

use super::filter::Filter;
use super::tables;
use crate::json::JsonText;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The version of the protocol that is spoken here.
pub const VERSION: &str = "1";
/// Tests of a filter, at most.
const TESTS_MAX: usize = 8;
/// Octets of what a refusal says, at most.
const TEXT_OCTETS_MAX: usize = 2048;
/// Words of a command, at most: as many conditions as there may be, and what stands before them.
const WORDS_MAX: usize = 16;

/// How a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// In columns, for people.
    Text,
    /// In lines of JSON.
    Json,
}

/// A command, and how it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// How.
    pub format: Format,
    /// What is asked.
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Which commands there are.
    Help,
    /// Rows of a table.
    Show {
        /// Of which.
        table: Table,
        /// Which of them.
        filter: Filter,
        /// How many, at most.
        rows_max: u64,
    },
    /// End a client that a rule has admitted, with all its connections.
    Flush {
        /// Its name.
        client: Box<str>,
    },
    /// Take a remote server out of use, or give it back.
    Hold {
        /// Its name.
        server: Box<str>,
        /// Whether it is out of use from now on.
        is_held: bool,
    },
    /// Load the configuration anew.
    Reload,
    /// End as at SIGTERM.
    Shutdown,
}

impl Command {
    /// Whether it does more than look.
    pub fn changes_anything(&self) -> bool {
        match self {
            Command::Help | Command::Show { .. } => false,
            Command::Flush { .. } | Command::Hold { .. } | Command::Reload | Command::Shutdown => true,
        }
    }
}

/// A table that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Who may speak: by the configuration, and who a rule has admitted.
    Clients,
    /// Connections of dynamic clients, and streams.
    Connections,
    /// Conversations that are kept.
    Conversations,
    /// Remote servers as each worker has them.
    RemoteServers,
    /// Threads and what they have done.
    Threads,
    /// What threads have counted about messages between them.
    Queues,
    /// All counters, summed up over threads.
    Statistics,
    /// The lines of the configuration in force.
    Config,
}

impl Table {
    /// All of them, in the order in which help names them.
    pub const ALL: [Table; 8] = [
        Table::Clients,
        Table::Connections,
        Table::Conversations,
        Table::RemoteServers,
        Table::Threads,
        Table::Queues,
        Table::Statistics,
        Table::Config,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Table::Clients => "clients",
            Table::Connections => "connections",
            Table::Conversations => "conversations",
            Table::RemoteServers => "remote-servers",
            Table::Threads => "threads",
            Table::Queues => "queues",
            Table::Statistics => "statistics",
            Table::Config => "config",
        }
    }

    /// What it shows.
    fn about(self) -> &'static str {
        match self {
            Table::Clients => "who may speak: configured, and admitted by rules",
            Table::Connections => "connections of admitted clients, and streams",
            Table::Conversations => "conversations, by the worker that has them",
            Table::RemoteServers => "remote servers, as each worker has them",
            Table::Threads => "threads, and what they have done",
            Table::Queues => "messages between threads, and signals for them",
            Table::Statistics => "all counters, summed up",
            Table::Config => "the files that are in force, without secrets",
        }
    }
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what was expected.
    pub text: String,
}

/// Which kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// There is no such command.
    UnknownCommand,
    /// It is not complete, or has something that it does not take.
    BadCommand,
    /// Another version of the protocol is asked for.
    UnknownVersion,
    /// The line is longer than any may be.
    LineTooLong,
    /// The line is no text.
    NoText,
    /// There are as many connections as may be.
    TooManyConnections,
    /// Who asks may look, and not change.
    NotPermitted,
    /// The worker that was asked has panicked, or goes.
    WorkerGone,
    /// There is nothing of that name.
    NotFound,
    /// It was tried, and failed.
    Failed,
}

impl RefusalCode {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            RefusalCode::UnknownCommand => "unknown-command",
            RefusalCode::BadCommand => "bad-command",
            RefusalCode::UnknownVersion => "unknown-version",
            RefusalCode::LineTooLong => "line-too-long",
            RefusalCode::NoText => "no-text",
            RefusalCode::TooManyConnections => "too-many-connections",
            RefusalCode::NotPermitted => "not-permitted",
            RefusalCode::WorkerGone => "worker-gone",
            RefusalCode::NotFound => "not-found",
            RefusalCode::Failed => "failed",
        }
    }
}

impl Refusal {
    /// Of this kind, and why, as far as that has room in a row.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Refusal {
        let mut text = text.into();
        if text.len() > TEXT_OCTETS_MAX {
            let end = (0..=TEXT_OCTETS_MAX).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or_default());
            text.push('…');
        }
        Refusal { code, text }
    }
}

/// The last line of an answer: that it is done, with how many rows.
pub fn write_end(format: Format, rows: u64, out: &mut String) {
    let written = match format {
        Format::Text => writeln!(out, ". ok {rows} {}", if rows == 1 { "row" } else { "rows" }),
        Format::Json => writeln!(out, "{{\"end\":{{\"rows\":{rows}}}}}"),
    };
    written.expect(MEMORY);
}

/// The last line of an answer: that it is not, or not all.
pub fn write_refusal(format: Format, refusal: &Refusal, out: &mut String) {
    let Refusal { code, text } = refusal;
    let written = match format {
        Format::Text => writeln!(out, ". error {}: {}", code.name(), Line(text)),
        Format::Json => {
            writeln!(out, "{{\"error\":{{\"code\":\"{}\",\"text\":{}}}}}", code.name(), JsonText(text))
        }
    };
    written.expect(MEMORY);
}

/// Text as part of one line.
struct Line<'t>(&'t str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| f.write_char(if it.is_control() { ' ' } else { it }))
    }
}

/// What a line asks; `None` if nothing stands there.
///
/// # Errors
/// What was expected, and how that is to be answered.
pub fn parse(line: &str) -> Result<Option<Order>, (Format, Refusal)> {
    // Known before the words are, for what is wrong with those.
    let mut format = Format::Text;
    let order = order(line, &mut format);
    order.map_err(|refusal| (format, refusal))
}

fn order(line: &str, format: &mut Format) -> Result<Option<Order>, Refusal> {
    if line.split_whitespace().next() == Some("json") {
        *format = Format::Json;
    }
    let words = words(line)?;
    let words = match words.first().map(|first| &**first) {
        None => return Ok(None),
        Some("json") => {
            *format = Format::Json;
            versioned(&words[1..])?
        }
        Some("text") => versioned(&words[1..])?,
        Some(_) => &*words,
    };
    Ok(Some(Order { format: *format, command: command(words)? }))
}

fn versioned(words: &[String]) -> Result<&[String], Refusal> {
    match words.split_first() {
        Some((version, rest)) if version == VERSION => Ok(rest),
        Some(_) | None => Err(Refusal::new(
            RefusalCode::UnknownVersion,
            format!("this server speaks version {VERSION} of the protocol: `json {VERSION} COMMAND`"),
        )),
    }
}

fn command(words: &[String]) -> Result<Command, Refusal> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Refusal::new(RefusalCode::BadCommand, "a command was expected; `help` names them"));
    };
    let alone = |command: Command| match rest {
        [] => Ok(command),
        [extra, ..] => Err(Refusal::new(
            RefusalCode::BadCommand,
            format!("`{first}` stands alone; {extra:?} was not expected"),
        )),
    };
    match &**first {
        "help" => alone(Command::Help),
        "reload" => alone(Command::Reload),
        "shutdown" => alone(Command::Shutdown),
        "show" => show(rest),
        "client" => match rest {
            [verb, name] if verb == "flush" => Ok(Command::Flush { client: name.as_str().into() }),
            _ => Err(Refusal::new(RefusalCode::BadCommand, "`client flush NAME` was expected")),
        },
        "remote-server" => match rest {
            [verb, name] if verb == "down" || verb == "up" => {
                Ok(Command::Hold { server: name.as_str().into(), is_held: verb == "down" })
            }
            _ => Err(Refusal::new(
                RefusalCode::BadCommand,
                "`remote-server down NAME` or `remote-server up NAME` was expected",
            )),
        },
        other => Err(Refusal::new(
            RefusalCode::UnknownCommand,
            format!("there is no command {other:?}; `help` names those that there are"),
        )),
    }
}

fn show(words: &[String]) -> Result<Command, Refusal> {
    let expected = || Table::ALL.map(Table::name).join(", ");
    let Some((name, tests)) = words.split_first() else {
        return Err(Refusal::new(
            RefusalCode::BadCommand,
            format!("`show` wants a table, one of {}", expected()),
        ));
    };
    let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name) else {
        let text = format!("there is no table {name:?}, but {}", expected());
        return Err(Refusal::new(RefusalCode::BadCommand, text));
    };
    if tests.len() > TESTS_MAX {
        return Err(Refusal::new(
            RefusalCode::BadCommand,
            format!("at most {TESTS_MAX} conditions are taken"),
        ));
    }
    let columns = tables::columns(table);
    let (mut filter, mut rows_max) = (Filter::default(), u64::MAX);
    for test in tests {
        let Some((name, value)) = test.split_once('=') else {
            return Err(Refusal::new(
                RefusalCode::BadCommand,
                format!(
                    "{test:?} is no condition; those are written COLUMN=VALUE, `*` at either end is anything"
                ),
            ));
        };
        if name == "limit" {
            rows_max = value.parse().map_err(|_| {
                Refusal::new(RefusalCode::BadCommand, format!("limit={value} is no number of rows"))
            })?;
            continue;
        }
        filter.add(columns, name, value).map_err(|_| {
            let names: Vec<_> = columns.iter().map(|column| column.name).collect();
            let table = table.name();
            Refusal::new(
                RefusalCode::BadCommand,
                format!("{table} have no column {name:?}, but {}, and limit", names.join(", ")),
            )
        })?;
    }
    Ok(Command::Show { table, filter, rows_max })
}

/// The words of a line: apart by white space, which quotation marks keep together; `\` before one of these, or itself, is that.
fn words(line: &str) -> Result<Vec<String>, Refusal> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' => match characters.next() {
                Some(literal @ ('"' | '\\')) => word.get_or_insert_default().push(literal),
                other => {
                    let word = word.get_or_insert_default();
                    word.push('\\');
                    word.extend(other);
                }
            },
            white if white.is_whitespace() && !is_quoted => {
                words.extend(word.take());
                if words.len() > WORDS_MAX {
                    let text = format!("a command has at most {WORDS_MAX} words");
                    return Err(Refusal::new(RefusalCode::BadCommand, text));
                }
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    if is_quoted {
        return Err(Refusal::new(RefusalCode::BadCommand, "a quotation mark has no other"));
    }
    words.extend(word);
    Ok(words)
}

/// What help says, line by line: each command and what it does.
pub fn help() -> impl Iterator<Item = (String, String)> {
    let tables = Table::ALL.into_iter().map(|table| {
        let columns: Vec<_> = tables::columns(table).iter().map(|column| column.name).collect();
        (
            format!("show {} [COLUMN=VALUE…] [limit=N]", table.name()),
            format!("{}; columns: {}", table.about(), columns.join(", ")),
        )
    });
    let others = [
        (
            "client flush NAME",
            "end a client that a rule has admitted, with all its connections; its secret is looked up anew",
        ),
        (
            "remote-server down NAME",
            "take a remote server out of use, until it is given back or the server restarts",
        ),
        ("remote-server up NAME", "give it back"),
        ("reload", "load the configuration anew, as at SIGHUP"),
        ("shutdown", "end when all that is under way is answered, as at SIGTERM"),
        ("help", "this"),
    ];
    tables.chain(others.map(|(command, about)| (command.to_string(), about.to_string())))
}

const MEMORY: &str = "memory takes it";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(line: &str) -> String {
        let (format, refusal) = parse(line).expect_err("it is wrong");
        let mut out = String::new();
        write_refusal(format, &refusal, &mut out);
        out
    }

    #[test]
    fn each_table_can_be_asked_for_in_either_format() {
        for table in Table::ALL {
            for (way, format) in [("", Format::Text), ("text 1 ", Format::Text), ("json 1 ", Format::Json)] {
                let order = parse(&format!("{way}show {}", table.name())).expect("a command");
                let (filter, rows_max) = (Filter::default(), u64::MAX);
                let command = Command::Show { table, filter, rows_max };
                assert_eq!(order, Some(Order { format, command }));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_expected() {
        let cases = [
            (
                "shw",
                ". error unknown-command: there is no command \"shw\"; `help` names those that there are\n",
            ),
            ("help me", ". error bad-command: `help` stands alone; \"me\" was not expected\n"),
            ("show", ". error bad-command: `show` wants a table, one of clients, connections, "),
            ("show users", ". error bad-command: there is no table \"users\", but clients, "),
            (
                "show clients bob",
                ". error bad-command: \"bob\" is no condition; those are written COLUMN=VALUE",
            ),
            ("show clients limit=x", ". error bad-command: limit=x is no number of rows\n"),
            ("client flsh a", ". error bad-command: `client flush NAME` was expected\n"),
            (
                "remote-server down",
                ". error bad-command: `remote-server down NAME` or `remote-server up NAME` was expected\n",
            ),
            ("a a a a a a a a a a a a a a a a a a", ". error bad-command: a command has at most 16 words\n"),
            (
                "json 1 show \"a",
                "{\"error\":{\"code\":\"bad-command\",\"text\":\"a quotation mark has no other\"}}\n",
            ),
            ("show clients \"a", ". error bad-command: a quotation mark has no other\n"),
            (
                "json show clients",
                "{\"error\":{\"code\":\"unknown-version\",\"text\":\"this server speaks version 1",
            ),
            ("json 1", "{\"error\":{\"code\":\"bad-command\",\"text\":\"a command was expected"),
            ("text 2 help", ". error unknown-version: this server speaks version 1 of the protocol"),
            ("show clients nme=a", ". error bad-command: clients have no column \"nme\", but client, "),
        ];
        for (line, expected) in cases {
            let said = refused(line);
            assert!(said.starts_with(expected), "{line}: {said}");
        }
    }

    #[test]
    fn quotation_marks_keep_words_together() {
        let said = words(r#"a "b c"=d\"e "" \x"#).expect("words");
        assert_eq!(said, ["a", "b c=d\"e", "", "\\x"]);
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_refused_in_one_line(line in any::<String>()) {
            if let Err((format, refusal)) = parse(&line) {
                let mut out = String::new();
                write_refusal(format, &refusal, &mut out);
                prop_assert_eq!(out.find('\n'), Some(out.len() - 1));
            }
        }
    }
}
