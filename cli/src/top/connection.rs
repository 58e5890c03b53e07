//! What `ulna top` asks, by one control connection, and how it reads the answers: lines of JSON, version 1 of the protocol that
//! docs/control.md describes. Knows no screen, and nothing of what the figures mean.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::model::{Counters, RemoteServer, Round, Thread};
use crate::control::{Failed, plain, refusal_of_json};

/// Rows of remote servers that are asked for: each worker has one for each. The rest is left out, and the screen says so.
pub const REMOTE_SERVER_ROWS_MAX: usize = 2_000;
/// A server that lives answers within milliseconds: it polls no task for longer than a turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// No row that a server writes is so long.
const LINE_OCTETS_MAX: u64 = 64 * 1024;
/// Octets of an answer, and rows: some hundred counters of each thread, of as many threads as no machine has cores for.
const ANSWER_OCTETS_MAX: u64 = 16 * 1024 * 1024;
const ROWS_MAX: usize = 60_000;
/// Threads, and counters of all together, that a screen has a row for.
const THREADS_MAX: usize = 1_024;
const COUNTERS_MAX: usize = 4_096;

/// An answer: its rows, and when it was there whole.
struct Answer {
    at: Instant,
    rows: Vec<Map<String, Value>>,
}

/// A control connection, on which one question waits for the answer to another.
pub struct Connection {
    stream: BufReader<Timely>,
}

/// A stream of which is read only until a moment, however slowly octets come.
struct Timely {
    stream: UnixStream,
    until: Instant,
}

impl Read for Timely {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(octets)
    }
}

impl Connection {
    /// Connects to the server's control socket.
    pub fn open(socket: &Path) -> Result<Connection, Failed> {
        let stream = UnixStream::connect(socket).map_err(no_answer)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(no_answer)?;
        let timely = Timely { stream, until: Instant::now() };
        Ok(Connection { stream: BufReader::with_capacity(64 * 1024, timely) })
    }

    /// Asks for everything that is shown, and waits for the answers.
    pub fn ask(&mut self) -> Result<Round, Failed> {
        let questions = format!(
            "json 1 show statistics\njson 1 show threads\njson 1 show remote-servers role=server limit={}\n",
            REMOTE_SERVER_ROWS_MAX + 1
        );
        // Who is turned away is told why before anything is read: what the server says counts, not that it does not listen.
        let Timely { stream, until } = self.stream.get_mut();
        let sent = stream.write_all(questions.as_bytes());
        *until = Instant::now() + PATIENCE;
        let statistics = match read_answer(&mut self.stream) {
            Err(Failed::NoAnswer(why)) => {
                return Err(sent.map_or_else(no_answer, |()| Failed::NoAnswer(why)));
            }
            statistics => statistics?,
        };
        round(&statistics, &read_answer(&mut self.stream)?, &read_answer(&mut self.stream)?)
    }
}

/// Reads one answer to its end.
fn read_answer(from: &mut impl BufRead) -> Result<Answer, Failed> {
    let (mut rows, mut line, mut octets) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        octets += from.by_ref().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line).map_err(no_answer)? as u64;
        let Some(text) = line.strip_suffix(b"\n") else {
            let is_long = line.len() as u64 == LINE_OCTETS_MAX;
            let why = if is_long { "a row is longer than any can be" } else { "the server has broken off" };
            return Err(Failed::NoAnswer(why.into()));
        };
        // What is said of a connection too many is text in any case.
        if let Some(why) = text.strip_prefix(b". error ") {
            return Err(Failed::Refused(String::from_utf8_lossy(why).into()));
        }
        if text.starts_with(b"{\"error\":") {
            return Err(refusal_of_json(text));
        }
        let Ok(Value::Object(mut object)) = serde_json::from_slice(text) else {
            return Err(Failed::NoAnswer("what the server says is no JSON".into()));
        };
        if object.contains_key("end") {
            return Ok(Answer { at: Instant::now(), rows });
        }
        let Some(Value::Object(row)) = object.remove("row") else {
            return Err(Failed::NoAnswer("what the server says is no row".into()));
        };
        if rows.len() == ROWS_MAX || octets > ANSWER_OCTETS_MAX {
            return Err(Failed::NoAnswer("the server says more than any can".into()));
        }
        rows.push(row);
    }
}

fn round(statistics: &Answer, threads: &Answer, remote_servers: &Answer) -> Result<Round, Failed> {
    let mut counters = Counters::new(statistics.at);
    for row in statistics.rows.iter().take(COUNTERS_MAX) {
        counters.set(text(row, "name")?, number(row, "value")?);
    }
    let mut by_thread: Vec<Thread> = Vec::new();
    for row in &threads.rows {
        let name = text(row, "thread")?;
        if by_thread.len() == THREADS_MAX && by_thread.last().is_some_and(|last| last.name != name) {
            break;
        }
        // Rows of a thread stand together; those that come later, if any, are found all the same.
        let place = by_thread.iter().rposition(|thread| thread.name == name).unwrap_or_else(|| {
            by_thread.push(Thread { name: name.clone(), counters: Counters::new(threads.at) });
            by_thread.len() - 1
        });
        by_thread[place].counters.set(text(row, "name")?, number(row, "value")?);
    }
    let rows = &remote_servers.rows[..remote_servers.rows.len().min(REMOTE_SERVER_ROWS_MAX)];
    let servers = rows.iter().map(|row| {
        Ok(RemoteServer {
            name: text(row, "server")?,
            address: text_or_null(row, "address")?,
            standing: text(row, "standing")?,
            outstanding: number(row, "outstanding")?,
            sockets: number(row, "sockets")?,
        })
    });
    Ok(Round {
        statistics: counters,
        threads: by_thread,
        remote_servers: servers.collect::<Result<_, Failed>>()?,
        are_remote_servers_cut: remote_servers.rows.len() > REMOTE_SERVER_ROWS_MAX,
    })
}

fn text(row: &Map<String, Value>, column: &str) -> Result<String, Failed> {
    row.get(column).and_then(Value::as_str).map(plain).ok_or_else(|| lacks(column))
}

fn text_or_null(row: &Map<String, Value>, column: &str) -> Result<Option<String>, Failed> {
    match row.get(column) {
        Some(Value::Null) => Ok(None),
        _ => text(row, column).map(Some),
    }
}

fn number(row: &Map<String, Value>, column: &str) -> Result<u64, Failed> {
    row.get(column).and_then(Value::as_u64).ok_or_else(|| lacks(column))
}

fn lacks(column: &str) -> Failed {
    Failed::NoAnswer(format!("a row of the server's has no {column:?} that can be read"))
}

fn no_answer(error: io::Error) -> Failed {
    // What it is called when a time-out ends a read depends on the system.
    Failed::NoAnswer(if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        format!("the server has said nothing for {} s", PATIENCE.as_secs())
    } else {
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATISTICS: &str = "{\"row\":{\"name\":\"received\",\"value\":7}}\n{\"end\":{\"rows\":1}}\n";
    const THREADS: &str = "{\"row\":{\"thread\":\"worker-0\",\"name\":\"parks\",\"value\":3}}\n\
                           {\"row\":{\"thread\":\"worker-1\",\"name\":\"parks\",\"value\":4}}\n{\"end\":{\"rows\":2}}\n";

    fn read(answers: &str) -> Result<Round, String> {
        let mut octets = answers.as_bytes();
        let mut next = || read_answer(&mut octets);
        next().and_then(|first| round(&first, &next()?, &next()?)).map_err(|failed| failed.to_string())
    }

    fn remote_server(name: &str, more: &str) -> String {
        format!(
            "{{\"row\":{{\"server\":\"{name}\",\"role\":\"server\",\"worker\":0,\"address\":null,\
             \"standing\":\"alive\",\"outstanding\":2,\"sockets\":1{more}}}}}\n"
        )
    }

    fn with_servers(rows: &str) -> Result<Round, String> {
        read(&format!("{STATISTICS}{THREADS}{rows}{{\"end\":{{\"rows\":1}}}}\n"))
    }

    #[test]
    fn three_answers_are_a_round() {
        let round = with_servers(&remote_server("one", ",\"new_column\":[1]")).expect("answers");
        assert_eq!(round.statistics.value("received"), Some(7));
        let parks: Vec<_> = round.threads.iter().map(|it| (&*it.name, it.counters.value("parks"))).collect();
        assert_eq!(parks, [("worker-0", Some(3)), ("worker-1", Some(4))]);
        let server = &round.remote_servers[0];
        assert_eq!((&*server.name, &server.address, server.outstanding), ("one", &None, 2));
        assert!(!round.are_remote_servers_cut);
    }

    #[test]
    fn of_more_remote_servers_than_are_asked_for_it_is_said_that_there_are_more() {
        let rows = |count| remote_server("one", "").repeat(count);
        let exact = with_servers(&rows(REMOTE_SERVER_ROWS_MAX)).expect("answers");
        assert!(!exact.are_remote_servers_cut);
        let cut = with_servers(&rows(REMOTE_SERVER_ROWS_MAX + 1)).expect("answers");
        assert_eq!((cut.remote_servers.len(), cut.are_remote_servers_cut), (REMOTE_SERVER_ROWS_MAX, true));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let cases = [
            ("", "the server has broken off"),
            ("{\"row\":{\"name\":\"rec", "the server has broken off"),
            ("HTTP/1.1 400\n", "what the server says is no JSON"),
            ("{\"rows\":{}}\n", "what the server says is no row"),
            (". error too-many-connections: no\n", "too-many-connections: no"),
            ("{\"error\":{\"code\":\"failed\",\"text\":\"no\"}}\n", "failed: no"),
        ];
        for (said, expected) in cases {
            assert_eq!(read(said).err().as_deref(), Some(expected), "{said:?}");
        }
        let lacking = with_servers("{\"row\":{\"server\":\"one\",\"address\":null}}\n");
        assert_eq!(
            lacking.err().as_deref(),
            Some("a row of the server's has no \"standing\" that can be read")
        );
        let endless = "x".repeat(2 * LINE_OCTETS_MAX as usize);
        assert_eq!(read(&endless).err().as_deref(), Some("a row is longer than any can be"));
    }

    #[test]
    fn whoever_says_too_much_is_not_listened_to_and_has_no_more_rows_than_a_screen() {
        let threads: String = (0..2 * THREADS_MAX)
            .map(|thread| format!("{{\"row\":{{\"thread\":\"{thread}\",\"name\":\"parks\",\"value\":3}}}}\n"))
            .collect();
        let end = "{\"end\":{\"rows\":1}}\n";
        let many = read(&format!("{STATISTICS}{threads}{end}{end}")).expect("answers");
        assert_eq!(many.threads.len(), THREADS_MAX);
        let row = STATISTICS.lines().next().expect("a row");
        let rows = format!("{row}\n").repeat(ROWS_MAX + 1);
        assert_eq!(read(&rows).err().as_deref(), Some("the server says more than any can"));
        let long = format!("{{\"row\":{{\"name\":\"{}\",\"value\":1}}}}\n", "x".repeat(60_000));
        assert_eq!(read(&long.repeat(300)).err().as_deref(), Some("the server says more than any can"));
    }

    #[test]
    fn who_answers_an_octet_at_a_time_is_not_waited_for_for_ever() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let until = Instant::now() + Duration::from_millis(200);
        let slow = std::thread::spawn(move || {
            while theirs.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut stream = BufReader::new(Timely { stream: ours, until });
        assert!(matches!(read_answer(&mut stream), Err(Failed::NoAnswer(_))));
        drop(stream);
        slow.join().expect("it only writes");
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let round = with_servers(&remote_server("a\\u001b[2J\\u009b1m\\n\u{202e}b", "")).expect("answers");
        assert_eq!(round.remote_servers[0].name, r"a\u{1b}[2J\u{9b}1m\u{a}\u{202e}b");
    }
}
