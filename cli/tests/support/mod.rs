//! The binary as an operator runs it: a configuration in a file, a process, its output, its signals.
#![allow(dead_code, reason = "each file uses its own part of this")]

pub mod accounting;
pub mod control_socket;
mod peer;
pub mod radiusd;
pub mod remote;
pub mod site;

pub use peer::without_peer;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

/// What clients of the tests share with the server. Neither it nor a password may ever be printed.
pub const SECRET: &str = "a-secret-that-nobody-prints";
pub const PASSWORD: &str = "a-password-that-nobody-prints";
pub const WRONG_PASSWORD: &str = "a-guess-that-nobody-prints";

/// Longer than anything here takes, on a machine that others use, too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The configuration of most tests, with these addresses.
pub fn configuration(authentication: &str, accounting: &str, settings: &str) -> String {
    format!(
        r#"{settings}
[[listen]]
name = "authentication"
transport = "udp"
address = {authentication}
packets = ["access", "status"]
server = "default"

[[listen]]
name = "accounting"
transport = "udp"
address = {accounting}
packets = ["accounting", "status"]
server = "default"

[[client]]
name = "localhost"
network = ["127.0.0.1", "127.0.0.2", "::1"]
secret = "{SECRET}"

[[user]]
name = "bob"
password = "{PASSWORD}"
reply = {{ Reply-Message = "Hello, bob." }}

[[server]]
name = "default"

[[server.new]]
authenticate = "users"
"#
    )
}

/// The same on ports that the system chooses: 0 authentication IPv4, 1 authentication IPv6, 2 accounting IPv4.
pub fn on_free_ports(settings: &str) -> String {
    configuration(r#"["127.0.0.1:0", "[::1]:0"]"#, r#""127.0.0.1:0""#, settings)
}

/// A file of this content, under a name of its own.
pub fn file(name: &str, content: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
    let path = directory.join(name);
    std::fs::write(&path, content).expect("the target directory can be written");
    path
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    let output = command(arguments).output().expect("the binary runs");
    assert_tells_no_secret(&String::from_utf8_lossy(&output.stdout));
    assert_tells_no_secret(&String::from_utf8_lossy(&output.stderr));
    output
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn assert_tells_no_secret(text: &str) {
    for secret in [SECRET, PASSWORD, WRONG_PASSWORD] {
        assert!(!text.contains(secret), "the output tells {secret:?}:\n{text}");
    }
}

/// The binary with these arguments after a shell's preparations, all in a network namespace of its own where loopback
/// is up. `None`, and a word why, where the kernel grants none.
pub fn in_a_namespace(preparations: &str, arguments: &[&str]) -> Option<Command> {
    let possible = Command::new("unshare").args(["-r", "-n", "ip", "link", "set", "lo", "up"]).output();
    match possible {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("skipped: no network namespaces here: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Err(error) => {
            without_peer(&format!("unshare (Debian: util-linux) cannot be run: {error}"));
            return None;
        }
    }
    let script = format!("ip link set lo up && {preparations} && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    // It takes the place of itself and of the shell: the child is the server.
    command.args(["-r", "-n", "sh", "-c", &script, env!("CARGO_BIN_EXE_ulna")]);
    command.args(arguments).stdin(Stdio::null());
    Some(command)
}

/// A running server.
pub struct Ulna {
    child: Child,
    /// As the ready line has them, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Gives all of standard output when it has ended.
    stdout: Receiver<String>,
    stderr: Arc<Printed>,
    stderr_reader: Option<JoinHandle<()>>,
}

/// What a process has printed so far, and a way to wait for more.
#[derive(Default)]
struct Printed {
    text: Mutex<String>,
    more: Condvar,
}

/// How a server ended.
pub struct Ended {
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    pub stderr: String,
}

impl Ulna {
    /// Starts it with this configuration and waits for its ready line.
    pub fn start(configuration: &str) -> Ulna {
        let path = file("ulna.toml", configuration);
        Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")])
    }

    pub fn start_with(arguments: &[&str]) -> Ulna {
        Ulna::begin(&mut command(arguments), Stdio::piped())
    }

    /// The same with a standard error of the test's own, which nobody reads here.
    pub fn start_saying_to(stderr: impl Into<Stdio>, configuration: &str) -> Ulna {
        let path = file("ulna.toml", configuration);
        let arguments = ["serve", "--config", path.to_str().expect("the path is UTF-8")];
        Ulna::begin(&mut command(&arguments), stderr.into())
    }

    /// Starts whatever prints a ready line.
    pub fn begin(command: &mut Command, stderr: Stdio) -> Ulna {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary starts");
        let printed = Arc::new(Printed::default());
        let stderr = child.stderr.take();
        let stderr_reader = std::thread::spawn({
            let printed = Arc::clone(&printed);
            move || {
                let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
                for line in lines.map_while(Result::ok) {
                    let mut text = printed.text.lock().expect("no reader panics");
                    text.push_str(&line);
                    text.push('\n');
                    printed.more.notify_all();
                }
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (told, stdout) = {
            let (tell, told) = channel();
            std::thread::spawn(move || {
                let mut text = String::new();
                stdout.read_line(&mut text).expect("it is a pipe");
                // Nobody waits for either where a test has panicked.
                let _ = tell.send(text.clone());
                stdout.read_to_string(&mut text).expect("it is a pipe");
                let _ = tell.send(text);
            });
            (told.recv_timeout(PATIENCE), told)
        };
        let ready = told.unwrap_or_default();
        let Some(addresses) = ready.strip_prefix("ready ") else {
            let _ = child.kill();
            let _ = child.wait();
            let _ = stderr_reader.join();
            panic!("not a ready line: {ready:?}\n{}", printed.text.lock().expect("no reader panics"));
        };
        let words: Vec<_> = addresses.split_whitespace().collect();
        let addresses = words.chunks(2).map(|pair| {
            assert!(matches!(pair[0], "udp" | "tcp"), "{ready}");
            pair[1].parse().expect("an address")
        });
        let addresses = addresses.collect();
        let stderr_reader = Some(stderr_reader);
        Ulna { child, addresses, stdout, stderr: printed, stderr_reader }
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("there is a shell").success());
    }

    /// What standard error has so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.lock().expect("no reader panics").clone()
    }

    /// Waits until standard error holds what is looked for beyond its first `from` octets.
    pub fn wait_for<T>(&self, from: usize, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut text = self.stderr.text.lock().expect("no reader panics");
        loop {
            if let Some(found) = find(&text[from..]) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came:\n{text}");
            text = self.stderr.more.wait_timeout(text, left).expect("no reader panics").0;
        }
    }

    /// Its counters, by SIGUSR1. Those of discards are named `discarded NAME`.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let from = self.stderr().len();
        self.signal("USR1");
        let report = self.wait_for(from, "the report", |text| {
            let end = text.find("kernel_drops")?;
            text[end..].contains('\n').then(|| text.to_string())
        });
        let row = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        };
        report.lines().filter_map(row).collect()
    }

    /// Resident memory, now and at most so far, in KiB.
    pub fn memory_kibibytes(&self) -> [u64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
            line.trim_end_matches("kB").trim().parse().expect("a number")
        })
    }

    /// Asks for the counters until they are as they should be: a worker tells of its replies lazily.
    pub fn wait_for_counters(&self, what: &str, holds: impl Fn(&BTreeMap<String, u64>) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let counters = self.counters();
            if holds(&counters) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {counters:#?}");
        }
    }

    /// Waits for its end. Nothing that it ever printed may tell a secret.
    pub fn end(mut self) -> Ended {
        // A child cannot be waited for with a time limit; standard output ends with it.
        let stdout = self.stdout.recv_timeout(PATIENCE);
        let stdout = stdout.unwrap_or_else(|_| panic!("the server does not end:\n{}", self.stderr()));
        let code = self.child.wait().expect("it is our child").code();
        self.stderr_reader.take().expect("it ends once").join().expect("it only reads");
        let stderr = self.stderr();
        assert_tells_no_secret(&stdout);
        assert_tells_no_secret(&stderr);
        Ended { code, stdout, stderr }
    }

    /// SIGTERM, and a good end.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }
}

impl Drop for Ulna {
    /// A test that panics leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A NAS with one source port.
pub struct Nas {
    pub socket: UdpSocket,
}

impl Nas {
    /// A socket of this address, connected to the server.
    pub fn new(local: &str, server: SocketAddr) -> Nas {
        let socket = UdpSocket::bind(local).expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Nas { socket }
    }

    pub fn send(&self, octets: &[u8]) {
        self.socket.send(octets).expect("loopback takes it");
    }

    /// The next datagram that comes.
    pub fn receive(&self) -> Vec<u8> {
        let mut octets = [0; 4096];
        loop {
            match self.socket.recv(&mut octets) {
                Ok(length) => return octets[..length].to_vec(),
                // Some signal to this process, which says nothing about replies.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("a reply comes: {error}"),
            }
        }
    }

    /// Sends a request again and again until a reply comes, as a NAS does. One sent in the moment between a reply
    /// and the word of it to the network thread is still in progress there, and gets none.
    pub fn insist(&self, request: &[u8]) -> Vec<u8> {
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).expect("not zero");
        let until = Instant::now() + PATIENCE;
        let mut octets = [0; 4096];
        loop {
            self.send(request);
            if let Ok(length) = self.socket.recv(&mut octets) {
                self.socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
                return octets[..length].to_vec();
            }
            assert!(Instant::now() < until, "a reply comes");
        }
    }

    /// The verified code of the reply to this request.
    pub fn ask(&self, request: &[u8]) -> Code {
        self.send(request);
        code_of_reply(request, &self.receive())
    }
}

pub fn secret() -> Secret {
    Secret::new(SECRET.as_bytes()).expect("it has octets")
}

/// Verifies a reply and says what it is.
pub fn code_of_reply(request: &[u8], reply: &[u8]) -> Code {
    let authenticator = Framed::parse(request).expect("the request is a packet").authenticator();
    let reply = Framed::parse(reply).expect("the reply is a packet");
    reply.verify_reply(&secret(), authenticator, true).expect("the reply verifies").code()
}

/// A signed Access-Request of `bob`.
pub fn pap(identifier: u8, password: &str, secret: &Secret, sign: MessageAuthenticator) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::request(&mut out, Code::AccessRequest, identifier, &[identifier; 16], sign);
    encoder.attribute(number::USER_NAME, b"bob").expect("it fits");
    encoder.user_password(password.as_bytes(), secret).expect("it fits");
    encoder.finish_request(secret);
    out
}

/// The same, right and signed.
pub fn bob(identifier: u8) -> Vec<u8> {
    pap(identifier, PASSWORD, &secret(), MessageAuthenticator::First)
}

/// Runs FreeRADIUS's `radclient` with these lines on its standard input. `None` where it is to be done without.
pub fn radclient(arguments: &[&str], lines: &str) -> Option<String> {
    let child = Command::new("radclient")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            without_peer(&format!("radclient (Debian: freeradius-utils) cannot be run: {error}"));
            return None;
        }
    };
    child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends by itself");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(text)
}
