//! What readers of control connections get, and what they leave behind.
//!
//! Knows what each has asked, what it has taken, octet by octet, and what befell the server meanwhile; no row of the server's but
//! those that the world itself has counted for it.

use super::{Violation, invariants};
use crate::phases::Snapshot;
use crate::plan::control::{Asks, CommandPlan};
use serde_json::Value;

invariants! {
    CONTROL_ANSWERS_WHOLE = "control-answers-whole", "Each command of a control connection is answered in order by whole lines: its rows, and exactly one end line, which counts them.";
    CONTROL_REFUSED_TRULY = "control-refused-truly", "A reader is refused only what is so: no command, a worker that has died or left, no room for what it asked, as many connections as may be.";
    CONTROL_WITHIN_BUFFER = "control-within-buffer", "No more waits for a reader than its buffer and a last line.";
    CONTROL_NOT_CUT_OFF = "control-not-cut-off", "A control connection ends only when its reader has ended it, has taken or said nothing for its patience, or when its network core dies.";
    CONTROL_PROGRESS = "control-progress", "After the faults each reader that reads on gets to the end.";
    CONTROL_NOTHING_LEFT = "control-nothing-left", "When all readers have gone, no connection, task or unread octet of theirs is left.";
    CONTROL_MARKS_TOLD = "control-marks-told", "Each mark that a reader reaches wakes one task, once.";
}

/// Octets of an end line, at most.
const LAST_LINE: usize = 512;

/// The name of a counter by its number: what the world counts for the server.
pub fn fact_name(number: u64) -> String {
    format!("counter-{number}")
}

/// What it says.
pub const fn fact_value(number: u64) -> u64 {
    number * number
}

/// What may have befallen the server since the answer before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Befell {
    /// A worker died, or left.
    pub worker_lost: bool,
    /// Something that was asked of the driver was given back.
    pub errand_shed: bool,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With all rows.
    Whole,
    /// That is no command.
    NoCommand,
    /// A worker has gone.
    WorkerGone,
    /// There was no room for what it asked.
    NoRoom,
}

/// The answers of one connection.
#[derive(Debug)]
pub struct Answers {
    commands: Vec<CommandPlan>,
    facts: u64,
    answered: usize,
    line: Vec<u8>,
    /// Lines of the answer that is just read, the one above rows of text among them.
    lines: u64,
}

/// One line.
enum Line {
    Row,
    End(u64),
    Error(String),
}

impl Answers {
    /// To these commands, where the server is told of so many counters.
    pub fn new(commands: &[CommandPlan], facts: u32) -> Answers {
        let commands = commands.to_vec();
        Answers { commands, facts: facts.into(), answered: 0, line: Vec::new(), lines: 0 }
    }

    /// How many commands are answered.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// Whether all are, and nothing was behind that.
    pub fn are_whole(&self) -> bool {
        self.answered == self.commands.len() && self.line.is_empty()
    }

    /// The reader takes these octets. How each answer ended that ends with them.
    ///
    /// # Errors
    /// [`CONTROL_ANSWERS_WHOLE`], [`CONTROL_REFUSED_TRULY`].
    pub fn take(&mut self, octets: &[u8], befell: Befell, now: u64) -> Result<Vec<Ended>, Violation> {
        let mut ended = Vec::new();
        for octet in octets {
            if *octet != b'\n' {
                self.line.push(*octet);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let torn = |what: &str| Violation {
                invariant: &CONTROL_ANSWERS_WHOLE,
                at: now,
                details: format!(
                    "command {}, line {}, {what}: {:?}",
                    self.answered,
                    self.lines,
                    String::from_utf8_lossy(&line)
                ),
            };
            let text = std::str::from_utf8(&line).map_err(|_| torn("no text"))?;
            let Some(command) = self.commands.get(self.answered).copied() else {
                return Err(torn("behind the last answer"));
            };
            match self.read(command, text).map_err(torn)? {
                Line::Row => self.lines += 1,
                Line::End(rows) if rows == self.rows(command) => {
                    if command.asks == Asks::Nonsense {
                        return Err(torn("that was no command"));
                    }
                    if command.asks == Asks::Statistics && rows != self.facts {
                        return Err(torn("there are more counters"));
                    }
                    ended.push(Ended::Whole);
                    (self.answered, self.lines) = (self.answered + 1, 0);
                }
                Line::End(_) => return Err(torn("another number of rows")),
                Line::Error(code) => {
                    let refused = match (&*code, command.asks) {
                        ("unknown-command", Asks::Nonsense) => Some(Ended::NoCommand),
                        ("worker-gone", _) if befell.worker_lost => Some(Ended::WorkerGone),
                        ("failed", Asks::Statistics) if befell.errand_shed => Some(Ended::NoRoom),
                        _ => None,
                    };
                    let Some(refused) = refused else {
                        let details = format!("{command:?}: {text:?}");
                        return Err(Violation { invariant: &CONTROL_REFUSED_TRULY, at: now, details });
                    };
                    ended.push(refused);
                    (self.answered, self.lines) = (self.answered + 1, 0);
                }
            }
        }
        Ok(ended)
    }

    /// Rows of the lines so far.
    fn rows(&self, command: CommandPlan) -> u64 {
        match (command.json, command.asks) {
            (true, _) => self.lines,
            // A command, and what it does.
            (false, Asks::Help) => self.lines / 2,
            (false, _) => self.lines.saturating_sub(1),
        }
    }

    fn read(&self, command: CommandPlan, text: &str) -> Result<Line, &'static str> {
        if command.json { self.read_json(command, text) } else { self.read_text(command, text) }
    }

    fn read_json(&self, command: CommandPlan, text: &str) -> Result<Line, &'static str> {
        let value: Value = serde_json::from_str(text).map_err(|_| "no JSON")?;
        let object = value.as_object().filter(|object| object.len() == 1).ok_or("no object of one")?;
        let (key, inner) = object.iter().next().expect("of one");
        match &**key {
            "row" => {
                let (name, value) = (&inner["name"], &inner["value"]);
                if command.asks == Asks::Statistics
                    && (name.as_str() != Some(&fact_name(self.lines)) || *value != fact_value(self.lines))
                {
                    return Err("another row was next");
                }
                Ok(Line::Row)
            }
            "end" => inner["rows"].as_u64().map(Line::End).ok_or("no number of rows"),
            "error" => {
                inner["code"].as_str().map(|code| Line::Error(code.into())).ok_or("an error without a code")
            }
            _ => Err("neither row nor end"),
        }
    }

    fn read_text(&self, command: CommandPlan, text: &str) -> Result<Line, &'static str> {
        if let Some(end) = text.strip_prefix(". ") {
            let mut words = end.split(' ');
            return match (words.next(), words.next()) {
                (Some("ok"), Some(rows)) => rows.parse().map(Line::End).map_err(|_| "no number of rows"),
                (Some("error"), Some(code)) => Ok(Line::Error(code.trim_end_matches(':').into())),
                _ => Err("neither row nor end"),
            };
        }
        let mut words = text.split_whitespace();
        match command.asks {
            Asks::Help if text.starts_with("    ") != (self.lines % 2 == 1) => Err("another line was next"),
            Asks::Statistics => {
                let two = (words.next(), words.next(), words.next());
                let (name, value) = match self.lines.checked_sub(1) {
                    None => ("name".into(), "value".into()),
                    Some(number) => (fact_name(number), fact_value(number).to_string()),
                };
                if two != (Some(&*name), Some(&*value), None) {
                    return Err("another row was next");
                }
                Ok(Line::Row)
            }
            Asks::Nonsense => Err("a row of what is no command"),
            Asks::Clients | Asks::Connections | Asks::Conversations | Asks::Help => Ok(Line::Row),
        }
    }
}

/// So many octets wait for one reader.
///
/// # Errors
/// [`CONTROL_WITHIN_BUFFER`].
pub fn waiting(octets: usize, buffer_octets: u32, now: u64) -> Result<(), Violation> {
    if octets > buffer_octets as usize + LAST_LINE {
        let details = format!("{octets} octets wait, of {buffer_octets} that may");
        return Err(Violation { invariant: &CONTROL_WITHIN_BUFFER, at: now, details });
    }
    Ok(())
}

/// The gauges when all readers have gone. `is_counted`: no core has died and no worker left since the process began, each of
/// which may take a mark with it.
///
/// # Errors
/// [`CONTROL_NOTHING_LEFT`], [`CONTROL_MARKS_TOLD`].
pub fn close(snapshot: &Snapshot, waiting: usize, is_counted: bool, now: u64) -> Result<(), Violation> {
    let Snapshot { control_connections, tasks, control_marks, tasks_woken, .. } = *snapshot;
    if (control_connections, tasks, waiting) != (0, 0, 0) {
        let details = format!("{control_connections} connections, {tasks} tasks, {waiting} octets");
        return Err(Violation { invariant: &CONTROL_NOTHING_LEFT, at: now, details });
    }
    if is_counted && control_marks != tasks_woken {
        let details = format!("{control_marks} marks were reached, {tasks_woken} tasks woken");
        return Err(Violation { invariant: &CONTROL_MARKS_TOLD, at: now, details });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Befell = Befell { worker_lost: false, errand_shed: false };

    fn answers(asks: Asks, json: bool) -> Answers {
        Answers::new(&[CommandPlan { asks, json }], 2)
    }

    fn broken(mut answers: Answers, said: &str, befell: Befell) -> Option<&'static str> {
        answers.take(said.as_bytes(), befell, 1).err().map(|violation| violation.invariant.name)
    }

    #[test]
    fn a_whole_answer_is_right_in_whatever_pieces_it_comes() {
        for (asks, json, said) in [
            (Asks::Statistics, false, "name value\ncounter-0 0\ncounter-1 1\n. ok 2 rows\n"),
            (
                Asks::Statistics,
                true,
                "{\"row\":{\"name\":\"counter-0\",\"value\":0}}\n{\"row\":{\"name\":\"counter-1\",\"value\":1}}\n{\"end\":{\"rows\":2}}\n",
            ),
            (Asks::Help, false, "help\n    says this\n. ok 1 row\n"),
            (Asks::Nonsense, false, ". error unknown-command: there is none\n"),
        ] {
            let mut answers = answers(asks, json);
            for octet in said.as_bytes() {
                assert!(!answers.are_whole());
                answers.take(&[*octet], CALM, 1).expect("it is right");
            }
            assert!(answers.are_whole());
        }
    }

    #[test]
    fn a_row_too_many_too_few_or_torn_is_seen_and_so_is_what_is_not_so() {
        let lost = Befell { worker_lost: true, errand_shed: true };
        let whole = Some("control-answers-whole");
        for said in [
            "name value\ncounter-0 0\n. ok 1 row\n",
            "name value\ncounter-0 0\ncounter-1 1\n. ok 3 rows\n",
            "name value\ncounter-0 0\ncounter-0 0\n",
            "name value\ncounter-1 1\n",
            "name value\ncounter-0 0name\n",
        ] {
            assert_eq!(broken(answers(Asks::Statistics, false), said, CALM), whole, "{said}");
        }
        assert_eq!(broken(answers(Asks::Help, true), "{\"row\":{}}{\n", CALM), whole);
        assert_eq!(broken(answers(Asks::Help, true), "{\"end\":{\"rows\":0}}\n{}\n", CALM), whole);
        for (asks, said) in
            [(Asks::Clients, ". error worker-gone: x\n"), (Asks::Statistics, ". error failed: x\n")]
        {
            assert_eq!(broken(answers(asks, false), said, CALM), Some("control-refused-truly"));
            assert_eq!(broken(answers(asks, false), said, lost), None);
        }
        assert!(waiting(10_240 + 512, 10_240, 1).is_ok() && waiting(10_240 + 513, 10_240, 1).is_err());
        let snapshot = Snapshot { control_marks: 1, ..Snapshot::default() };
        assert!(close(&snapshot, 0, true, 1).is_err() && close(&snapshot, 0, false, 1).is_ok());
        assert!(close(&Snapshot { tasks: 1, ..Snapshot::default() }, 0, false, 1).is_err());
    }
}
