//! The processes that are measured: a server or the bare responder, each alone in a process on a core of its own.
//!
//! The benchmark starts itself again with a role as its argument. Both talk over the child's standard streams: it
//! says where it listens, and its counters whenever it is asked; it ends with its standard input.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ulna_core::configuration::Signal;
use ulna_core::path::ListenerId;
use ulna_core::policy::{PolicyFactory, configured_rules};
use ulna_core::{Configuration, Seed};
use ulna_runtime_mio::shared_ring::Link;
use ulna_runtime_mio::{RecordStore, Server, SharedPort, SystemCalls, kernel_drops};
use ulna_stores::file::FileDisk;

use crate::machine::{cpu_time, memory, pin_to};
use crate::newcomers::Place;
use crate::responder::{Counts, Responder};
use crate::workload::{
    Admitting, Controlled, RECORDS, Setup, Slow, Waiting, accounting_configuration, admitting_configuration,
    configuration, connections_configuration, controlled_configuration, forwarding_configuration,
    hashing_configuration, waiting_configuration,
};

/// What a child is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The bare responder; `together`: replies leave as segments.
    Responder {
        /// Whether replies of equal length to one destination leave as segments of one send.
        together: bool,
    },
    /// A server.
    Server(Setup),
    /// The same with a user of whom a digest is known.
    Hashing(Setup),
    /// A server whose policy takes so many microseconds for each request.
    Deciding(Setup, u32),
    /// A server that stores accounting in the folder in which it is started.
    Accounting(Setup),
    /// A server that takes newcomers in, with [`KEYS`](crate::workload::KEYS) in the folder in which it is started.
    Admitting(Setup, Admitting),
    /// A server whose threads wait so.
    Waiting(Setup, Waiting),
    /// A server with clients behind NATs, and so many sockets of their own at most.
    Connections(Setup, u32),
    /// A server with a control socket, [`CONTROL`](crate::workload::CONTROL) in the folder in which it is started.
    Controlled(Setup, Controlled),
    /// A proxy in front of the home server at this address.
    Forwarding(Setup, SocketAddr),
    /// A joined thread that serves one process over a shared ring, [`RING`] in the folder in which it is started.
    Sharing,
}

/// The name of the link of [`Role::Sharing`].
pub const RING: &str = "ulna.ring";
/// As many as rings between threads have.
const RING_SLOTS: u32 = 1024;

/// The argument that has a process take a role.
const ACT: &str = "--act-as";
/// In place of a core: wherever the kernel likes.
const ANY_CORE: &str = "any";
/// How threads wait, by their words.
const SIGNALS: [(&str, Signal); 3] =
    [("announce", Signal::Announce), ("always", Signal::Always), ("timer", Signal::Timer)];

impl Role {
    fn arguments(self) -> Vec<String> {
        match self {
            Role::Responder { together } => vec!["responder".into(), together.to_string()],
            Role::Server(setup) => Role::of_server("server", setup),
            Role::Hashing(setup) => Role::of_server("hashing", setup),
            Role::Deciding(setup, each) => {
                let mut arguments = Role::of_server("deciding", setup);
                arguments.push(each.to_string());
                arguments
            }
            Role::Accounting(setup) => Role::of_server("accounting", setup),
            Role::Connections(setup, connected_max) => {
                let mut arguments = Role::of_server("connections", setup);
                arguments.push(connected_max.to_string());
                arguments
            }
            Role::Admitting(setup, Admitting { place, is_unlimited, ring_slots }) => {
                let mut arguments = Role::of_server("admitting", setup);
                let is_nat = place == Place::Nat;
                arguments.extend([is_nat.to_string(), is_unlimited.to_string(), ring_slots.to_string()]);
                arguments
            }
            Role::Waiting(setup, Waiting { signal, linger_us }) => {
                let mut arguments = Role::of_server("waiting", setup);
                let (word, _) = SIGNALS.iter().find(|(_, each)| *each == signal).expect("all are listed");
                arguments.extend([word.to_string(), linger_us.to_string()]);
                arguments
            }
            Role::Controlled(setup, Controlled { buffer_octets, mark }) => {
                let mut arguments = Role::of_server("controlled", setup);
                arguments.extend([buffer_octets.to_string(), mark.to_string()]);
                arguments
            }
            Role::Forwarding(setup, home) => {
                let mut arguments = Role::of_server("forwarding", setup);
                arguments.push(home.to_string());
                arguments
            }
            Role::Sharing => vec!["sharing".into()],
        }
    }

    fn of_server(role: &str, setup: Setup) -> Vec<String> {
        let Setup { network_threads, workers, log } = setup;
        vec![role.into(), network_threads.to_string(), workers.to_string(), log.to_string()]
    }

    fn parse(arguments: &[String]) -> Option<Role> {
        match arguments {
            [role] if role == "sharing" => Some(Role::Sharing),
            [role, together] if role == "responder" => {
                Some(Role::Responder { together: together.parse().ok()? })
            }
            [role, network_threads, workers, log, rest @ ..] => {
                let setup = Setup {
                    network_threads: network_threads.parse().ok()?,
                    workers: workers.parse().ok()?,
                    log: log.parse().ok()?,
                };
                match (role.as_str(), rest) {
                    ("server", []) => Some(Role::Server(setup)),
                    ("hashing", []) => Some(Role::Hashing(setup)),
                    ("deciding", [each]) => Some(Role::Deciding(setup, each.parse().ok()?)),
                    ("accounting", []) => Some(Role::Accounting(setup)),
                    ("forwarding", [home]) => Some(Role::Forwarding(setup, home.parse().ok()?)),
                    ("connections", [most]) => Some(Role::Connections(setup, most.parse().ok()?)),
                    ("admitting", [is_nat, is_unlimited, ring_slots]) => {
                        let is_nat: bool = is_nat.parse().ok()?;
                        let admitting = Admitting {
                            place: if is_nat { Place::Nat } else { Place::Addresses },
                            is_unlimited: is_unlimited.parse().ok()?,
                            ring_slots: ring_slots.parse().ok()?,
                        };
                        Some(Role::Admitting(setup, admitting))
                    }
                    ("controlled", [buffer_octets, mark]) => {
                        let controlled = Controlled {
                            buffer_octets: buffer_octets.parse().ok()?,
                            mark: mark.parse().ok()?,
                        };
                        Some(Role::Controlled(setup, controlled))
                    }
                    ("waiting", [word, linger_us]) => {
                        let (_, signal) = *SIGNALS.iter().find(|(each, _)| each == word)?;
                        let waiting = Waiting { signal, linger_us: linger_us.parse().ok()? };
                        Some(Role::Waiting(setup, waiting))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Takes the role that the command line asks for, if it asks for one. Every benchmark that measures processes calls
/// this first.
pub fn act() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip_while(|argument| argument != ACT).skip(1);
    let core = arguments.next()?;
    let core = if core == ANY_CORE { None } else { Some(core.parse().ok()?) };
    let role = Role::parse(&arguments.collect::<Vec<_>>())?;
    let acted = core.map_or(Ok(()), pin_to).and_then(|()| match role {
        Role::Responder { together } => act_as_responder(together),
        Role::Server(setup) => act_as_server(configuration(setup), Duration::ZERO, None),
        Role::Hashing(setup) => act_as_server(hashing_configuration(setup), Duration::ZERO, None),
        Role::Deciding(setup, each) => {
            act_as_server(configuration(setup), Duration::from_micros(u64::from(each)), None)
        }
        Role::Accounting(setup) => record_store(Path::new(RECORDS))
            .and_then(|store| act_as_server(accounting_configuration(setup), Duration::ZERO, Some(store))),
        Role::Connections(setup, connected_max) => {
            act_as_server(connections_configuration(setup, connected_max, None), Duration::ZERO, None)
        }
        Role::Admitting(setup, admitting) => {
            act_as_server(admitting_configuration(setup, admitting), Duration::ZERO, None)
        }
        Role::Waiting(setup, waiting) => {
            act_as_server(waiting_configuration(setup, waiting), Duration::ZERO, None)
        }
        Role::Controlled(setup, controlled) => {
            act_as_server(controlled_configuration(setup, controlled), Duration::ZERO, None)
        }
        Role::Forwarding(setup, home) => {
            act_as_server(forwarding_configuration(setup, home, 1), Duration::ZERO, None)
        }
        Role::Sharing => act_as_port(),
    });
    Some(match acted {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role:?}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn act_as_responder(together: bool) -> io::Result<()> {
    let responder = Responder::bind(together)?;
    let address = responder.address();
    let inode = responder.inode();
    let counts = Arc::new(Mutex::new(Counts::default()));
    let shared = Arc::clone(&counts);
    // It has no end of its own: the process ends with its standard input.
    std::thread::spawn(move || responder.run(&shared));
    answer_questions(address, || {
        let Counts { calls, send_would_block, send_failed } = *counts.lock().expect("nobody panics with it");
        let SystemCalls { receive, send, wait, ring, yields: _ } = calls;
        // As in the server: where the tables cannot be read nothing is known to be dropped.
        let drops = kernel_drops::drops(&[inode]).ok().and_then(|drops| drops[0]).unwrap_or_default();
        format!(
            "receive_calls {receive}\nsend_calls {send}\nwait_calls {wait}\nring_calls {ring}\n\
             kernel_drops {drops}\nsend_would_block {send_would_block}\nsend_failed {send_failed}\n"
        )
    })
}

/// A file of records on the disk; what there is to tell of it goes to standard error.
fn record_store(path: &Path) -> io::Result<RecordStore> {
    let mut disk = FileDisk::claim(path)?;
    Ok(RecordStore {
        perform: Box::new(move |operation| disk.perform(operation).map_err(|error| error.to_string())),
        tell: Box::new(|news| eprintln!("{news:?}")),
    })
}

/// A server whose policy takes so long for each request.
fn act_as_server(configuration: Configuration, each: Duration, store: Option<RecordStore>) -> io::Result<()> {
    let configuration = Arc::new(configuration);
    let policy: Arc<PolicyFactory> = if each.is_zero() {
        configured_rules()
    } else {
        Arc::new(move |_, _, configuration| Box::new(Slow::new(each, configuration)))
    };
    // A log that is written, but to nowhere: what a disk costs it is not the question.
    let (seed, log) = (Seed::new([7; 32]), Box::new(io::sink()));
    let server = Server::start_storing(&configuration, &seed, &policy, store.into(), log);
    let server = server.map_err(io::Error::other)?;
    let address = server.addresses().next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    answer_questions(address, || server.report().to_string())
}

/// A port that is served over a ring.
fn act_as_port() -> io::Result<()> {
    let setup = Setup { network_threads: 0, workers: 1, log: false };
    let configuration = Arc::new(configuration(setup));
    let (seed, log) = (Seed::new([7; 32]), Box::new(io::sink()));
    let port = SharedPort::new(&configuration, ListenerId(0), &seed, &configured_rules(), None, log);
    let mut port = port.map_err(io::Error::other)?;
    let (report, counters) = (port.report(), port.counters());
    let link = Link::create(Path::new(RING), RING_SLOTS).map_err(io::Error::other)?;
    // It has no end of its own: the process ends with its standard input.
    std::thread::spawn(move || port.serve(link));
    answer_questions(RING, || {
        let all = report.thread.named().chain(counters.named());
        all.fold(String::new(), |text, (name, value)| text + &format!("{name} {value}\n"))
    })
}

fn answer_questions(place: impl Display, report: impl Fn() -> String) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{place}")?;
    out.flush()?;
    for question in io::stdin().lines() {
        question?;
        writeln!(out, "{}end", report())?;
        out.flush()?;
    }
    Ok(())
}

/// A child under load.
#[derive(Debug)]
pub struct Measured {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    place: String,
}

/// What a child has used and counted since its start.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Time on a core.
    pub cpu: Duration,
    /// Resident octets now, and at their peak.
    pub memory: (u64, u64),
    counters: BTreeMap<String, u64>,
}

impl Reading {
    /// A counter by name; 0 if it has none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// How far a counter has come since an earlier reading.
    pub fn since(&self, earlier: &Reading, name: &str) -> u64 {
        self.counter(name) - earlier.counter(name)
    }

    /// The discards counted, by reason, and what the kernel dropped or refused, all since the start.
    pub fn losses(&self) -> impl Iterator<Item = (&str, u64)> {
        let losses = self.counters.iter().filter(|(name, value)| {
            **value > 0
                && (name.starts_with("discarded ")
                    || ["kernel_drops", "send_would_block", "send_failed"].contains(&&***name))
        });
        losses.map(|(name, value)| (name.as_str(), *value))
    }
}

impl Measured {
    /// Starts this program again in a role, on one core.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing.
    pub fn start(role: Role, core: usize) -> io::Result<Measured> {
        Measured::start_in(Path::new("."), role, core)
    }

    /// The same in this folder.
    ///
    /// # Errors
    /// As [`Measured::start`].
    pub fn start_in(folder: &Path, role: Role, core: usize) -> io::Result<Measured> {
        Measured::spawn(folder, role, core.to_string())
    }

    /// The same on all cores that there are.
    ///
    /// # Errors
    /// As [`Measured::start`].
    pub fn start_anywhere(role: Role) -> io::Result<Measured> {
        Measured::spawn(Path::new("."), role, ANY_CORE.into())
    }

    fn spawn(folder: &Path, role: Role, core: String) -> io::Result<Measured> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ACT)
            .arg(core)
            .args(role.arguments())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        answers.read_line(&mut line)?;
        if line.trim().is_empty() {
            return Err(io::Error::other(format!("{role:?} did not start")));
        }
        Ok(Measured { child, questions, answers, place: line.trim().into() })
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it listens on no address: who serves over a ring.
    pub fn address(&self) -> SocketAddr {
        self.place.parse().expect("who listens says where")
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has used and counted so far.
    ///
    /// # Errors
    /// When it has gone.
    pub fn read(&mut self) -> io::Result<Reading> {
        let cpu = cpu_time(self.child.id())?;
        let questions = self.questions.as_mut().expect("open until it is dropped");
        questions.write_all(b"report\n")?;
        let mut counters = BTreeMap::new();
        let mut line = String::new();
        loop {
            line.clear();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim() == "end" {
                return Ok(Reading { cpu, memory: memory(self.child.id())?, counters });
            }
            if let Some((name, value)) = line.trim().rsplit_once(' ')
                && let Ok(value) = value.parse()
            {
                counters.insert(name.to_owned(), value);
            }
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        drop(self.questions.take());
        // Its threads end with its main thread; should it hang, so do we, visibly.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_survive_the_command_line() {
        let setup = Setup { network_threads: 1, workers: 2, log: true };
        for role in [
            Role::Responder { together: true },
            Role::Server(setup),
            Role::Deciding(setup, 200),
            Role::Accounting(setup),
            Role::Admitting(setup, Admitting { place: Place::Nat, is_unlimited: false, ring_slots: 64 }),
            Role::Waiting(setup, Waiting { signal: Signal::Timer, linger_us: 50 }),
            Role::Controlled(setup, Controlled { buffer_octets: 10_240, mark: 90 }),
            Role::Forwarding(setup, SocketAddr::from(([127, 0, 0, 1], 1812))),
            Role::Sharing,
        ] {
            assert_eq!(Role::parse(&role.arguments()), Some(role));
        }
        assert_eq!(Role::parse(&["server".into(), "many".into()]), None);
    }
}
