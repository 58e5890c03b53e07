//! `ulna control`: asks a server that runs, or tells it what to do, by its control socket. The protocol is that of
//! [`ulna_core::control`].

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ulna_core::control::rows::is_steering;

use crate::standard_error::say;

/// The server was reached, and has refused.
const EXIT_REFUSED: u8 = 1;
/// It was not reached, has broken off, or what it says is no answer.
const EXIT_NO_ANSWER: u8 = 2;

#[derive(clap::Args)]
pub struct ControlArguments {
    /// The server's control socket, as `socket` in [control] names it.
    #[arg(long, value_name = "PATH", default_value = "ulna.sock")]
    socket: PathBuf,
    /// Print each row as a line of JSON.
    #[arg(long)]
    json: bool,
    /// What to ask: `help` names all commands.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Why there is no answer.
pub enum Failed {
    /// The server says no: its words.
    Refused(String),
    /// Nobody says anything, or nothing that is understood.
    NoAnswer(String),
    /// Nobody reads what is printed.
    NotRead(io::Error),
    /// Something on our side, which has nothing to do with the server.
    Here(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused(why) | Failed::NoAnswer(why) | Failed::Here(why) => f.write_str(why),
            Failed::NotRead(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

/// Asks, prints the answer, and says how it went: 0 done, 1 refused, 2 no answer.
pub fn control(arguments: &ControlArguments) -> ExitCode {
    exit_code(&arguments.socket, ask(arguments))
}

/// How it went with the server of this socket, after standard error is told why if it went wrong.
pub fn exit_code(socket: &Path, done: Result<(), Failed>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // That nobody reads it is the reader's own decision.
        Err(Failed::NotRead(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why @ Failed::Refused(_)) => {
            say(&format!("ulna: {}", plain_lines(&why.to_string())));
            ExitCode::from(EXIT_REFUSED)
        }
        Err(why @ Failed::NoAnswer(_)) => {
            say(&format!("ulna: {}: {}", socket.display(), plain_lines(&why.to_string())));
            ExitCode::from(EXIT_NO_ANSWER)
        }
        Err(why @ (Failed::NotRead(_) | Failed::Here(_))) => {
            say(&format!("ulna: {}", plain_lines(&why.to_string())));
            ExitCode::from(EXIT_NO_ANSWER)
        }
    }
}

fn ask(arguments: &ControlArguments) -> Result<(), Failed> {
    let no_answer = |error: io::Error| Failed::NoAnswer(error.to_string());
    let mut socket = UnixStream::connect(&arguments.socket).map_err(no_answer)?;
    let way = if arguments.json { "json 1" } else { "text 1" };
    let words = arguments.command.iter().map(|word| quoted(word));
    let line = std::iter::once(way.to_string()).chain(words).collect::<Vec<_>>().join(" ");
    // Who is turned away may be told why before anything is read: what the server says counts, not that it does not listen.
    let sent =
        socket.write_all(format!("{line}\n").as_bytes()).and_then(|()| socket.shutdown(Shutdown::Write));
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let answer = print_answer(BufReader::with_capacity(64 * 1024, socket), &mut out);
    out.flush().map_err(Failed::NotRead)?;
    match answer {
        Err(Failed::NoAnswer(_)) => sent.map_err(no_answer).and(answer),
        answer => answer,
    }
}

/// A word as the protocol takes it.
fn quoted(word: &str) -> String {
    let is_plain = |it: char| !it.is_whitespace() && it != '"' && it != '\\';
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    // A line is one: what would break it is no part of any name that is asked for.
    let literal = word.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
    format!("\"{literal}\"")
}

/// Prints rows as they come, until the line that ends the answer.
fn print_answer(mut answer: impl BufRead, out: &mut impl Write) -> Result<(), Failed> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let octets =
            answer.read_until(b'\n', &mut line).map_err(|error| Failed::NoAnswer(error.to_string()))?;
        let Some(row) = line.strip_suffix(b"\n") else {
            let why =
                if octets == 0 { "the server has broken off" } else { "the server has broken off in a row" };
            return Err(Failed::NoAnswer(why.into()));
        };
        let printed = if let Some(said) = row.strip_prefix(b". ") {
            return end_of_text(said);
        } else if row.starts_with(b"{\"end\":") {
            return Ok(());
        } else if row.starts_with(b"{\"error\":") {
            return Err(refusal_of_json(row));
        } else if let Some(object) = row.strip_prefix(b"{\"row\":").and_then(|rest| rest.strip_suffix(b"}")) {
            object
        } else {
            // A dot before a line that begins with one.
            row.strip_prefix(b".").unwrap_or(row)
        };
        out.write_all(printed).and_then(|()| out.write_all(b"\n")).map_err(Failed::NotRead)?;
    }
}

fn end_of_text(said: &[u8]) -> Result<(), Failed> {
    let said = String::from_utf8_lossy(said);
    match said.strip_prefix("error ") {
        Some(why) => Err(Failed::Refused(why.into())),
        None => Ok(()),
    }
}

/// Text without what would steer a terminal. The server writes controls as `\u001b`, which JSON makes controls again; and what
/// turns the direction of writing is none to JSON, but moves what stands beside it.
pub fn plain(text: &str) -> String {
    let shown =
        text.chars().map(|it| if is_steering(it) { it.escape_unicode().to_string() } else { it.to_string() });
    shown.collect()
}

/// The same of several lines.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// What a line says that begins with `{"error":`.
pub fn refusal_of_json(line: &[u8]) -> Failed {
    let read: Result<serde_json::Value, _> = serde_json::from_slice(line);
    let Ok(read) = read else { return Failed::NoAnswer("what the server says is no JSON".into()) };
    let said = |key: &str| read["error"][key].as_str().unwrap_or_default().to_string();
    Failed::Refused(format!("{}: {}", said("code"), said("text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(answer: &str) -> (String, Result<(), String>) {
        let mut out = Vec::new();
        let done = print_answer(answer.as_bytes(), &mut out).map_err(|failed| match failed {
            Failed::Refused(why) => format!("refused: {why}"),
            Failed::NoAnswer(why) => format!("no answer: {why}"),
            other @ (Failed::NotRead(_) | Failed::Here(_)) => other.to_string(),
        });
        (String::from_utf8(out).expect("text"), done)
    }

    #[test]
    fn rows_are_printed_and_the_end_is_not() {
        assert_eq!(printed("a  b\n..x\n. ok 1 row\n"), ("a  b\n.x\n".into(), Ok(())));
        assert_eq!(printed("{\"row\":{\"a\":1}}\n{\"end\":{\"rows\":1}}\n"), ("{\"a\":1}\n".into(), Ok(())));
    }

    #[test]
    fn no_refusal_steers_a_terminal() {
        assert_eq!(
            plain_lines("no: \u{1b}]0;evil\u{7}\nof\u{202e} it"),
            "no: \\u{1b}]0;evil\\u{7}\nof\\u{202e} it"
        );
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        let broken = |why: &str| Err(format!("no answer: the server has broken off{why}"));
        assert_eq!(printed("a\n"), ("a\n".into(), broken("")));
        assert_eq!(printed("a\nb"), ("a\n".into(), broken(" in a row")));
    }

    #[test]
    fn a_refusal_is_told_with_its_code() {
        assert_eq!(printed(". error failed: no\n").1, Err("refused: failed: no".into()));
        let json = "{\"error\":{\"code\":\"failed\",\"text\":\"no\"}}\n";
        assert_eq!(printed(json).1, Err("refused: failed: no".into()));
    }

    #[test]
    fn words_stay_words() {
        let words = ["show", "client=a b", "", "q\"\\"].map(quoted);
        assert_eq!(words, ["show", "\"client=a b\"", "\"\"", "\"q\\\"\\\\\""]);
    }
}
