//! `ulna top` before a real server, on a terminal and as text: figures are those of what was sent, and a terminal is given back as it
//! was, whatever ends the view.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use support::control_socket::{Socket, said};
use support::site::Site;
use support::{Nas, PASSWORD, PATIENCE, SECRET, Ulna, bob, file, on_free_ports, pap, run, secret};
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, Secret, number};

const LAYOUTS: [&str; 2] = ["network_threads = 0\nworkers = 2", "network_threads = 1\nworkers = 2"];

impl Socket {
    fn configuration(&self, layout: &str) -> String {
        on_free_ports(&self.settings(layout, ""))
    }

    fn once(&self, more: &[&str]) -> Output {
        run(&[&["top", "--socket", self.path(), "--once"][..], more].concat())
    }
}

/// The words of the first line that has this, from there on.
fn words<'f>(frame: &'f str, begin: &str) -> Vec<&'f str> {
    let line = frame.lines().find_map(|line| line.find(begin).map(|place| &line[place..]));
    line.unwrap_or_else(|| panic!("no {begin:?} in\n{frame}")).split_whitespace().collect()
}

fn figure(word: &str) -> f64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

/// What has NAS-Port 7 goes on to a remote server that takes it and never answers.
fn with_a_silent_remote_server(configuration: &str) -> (UdpSocket, String) {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = remote.local_addr().expect("it is bound");
    let rule = "[[server.new]]\nwhen = { NAS-Port = 7 }\nproxy = \"farm\"\n[[server.new]]";
    let servers = format!(
        "[[pool]]\nname = \"farm\"\nremote_servers = [\"silent\"]\n\
         [[remote_server]]\nname = \"silent\"\nsecret = \"{SECRET}\"\naddress = \"{address}\"\n"
    );
    (remote, configuration.replace("[[server.new]]", rule) + &servers)
}

fn for_the_remote_server() -> Vec<u8> {
    let mut out = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::request(&mut out, Code::AccessRequest, 9, &[9; 16], sign);
    encoder.attribute(number::USER_NAME, b"bob").expect("it fits");
    encoder.attribute(NAS_PORT, &7_u32.to_be_bytes()).expect("it fits");
    encoder.finish_request(&secret());
    out
}

/// RFC 2865 §5.5.
const NAS_PORT: u8 = 5;

#[test]
fn one_frame_has_what_was_sent_meanwhile() {
    for layout in LAYOUTS {
        let socket = Socket::new();
        let (remote, configuration) = with_a_silent_remote_server(&socket.configuration(layout));
        let ulna = Ulna::start(&configuration);
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        nas.send(&for_the_remote_server());
        remote.set_read_timeout(Some(PATIENCE)).expect("not zero");
        remote.recv_from(&mut [0; 4096]).expect("it is forwarded");

        let path = socket.path().to_string();
        let top =
            std::thread::spawn(move || run(&["top", "--socket", &path, "--once", "--interval", "700ms"]));
        let site = Site::new("127.0.0.1:0", ulna.addresses[0], "site", SECRET);
        let stranger = Nas::new("127.0.0.3:0", ulna.addresses[0]);
        let forged = pap(
            1,
            "x",
            &Secret::new(b"another secret of somebody").expect("octets"),
            MessageAuthenticator::First,
        );
        let (mut answered, mut unknown) = (0_u64, 0_u64);
        while !top.is_finished() {
            let request = site.send("bob", PASSWORD);
            let reply = site.receive_within(PATIENCE).expect("it is answered");
            assert_eq!(site.code(&request, &reply), Some(Code::AccessAccept));
            answered += 1;
            if answered.is_multiple_of(4) {
                nas.send(&forged);
                stranger.send(&bob(1));
                stranger.send(&bob(1));
                unknown += 2;
            }
        }
        let (code, frame, stderr) = said(&top.join().expect("it runs"));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));

        let over = figure(words(&frame, "rates over")[2]);
        assert!((0.7..PATIENCE.as_secs_f64()).contains(&over), "{frame}");
        for (name, is_requests) in [("taken", true), ("accepts", false)] {
            let row = words(&frame, name);
            // One more is the request that nobody answers.
            let (numbers, most) =
                if is_requests { (&row[2..4], answered + 1) } else { (&row[1..3], answered) };
            let [rate, total] = [0, 1].map(|place| figure(numbers[place]));
            assert!(rate > 0.0 && total <= most as f64, "{name}: {answered}\n{frame}");
            // It is rounded to a tenth, or to one, as is the time.
            assert!(rate * over <= total + 0.01 * rate + over, "{name}: {answered}\n{frame}");
        }
        let packets = words(&frame, "received")[1];
        assert!(figure(packets) >= figure(words(&frame, "taken up")[2]), "{frame}");
        // What moves fastest comes first.
        let table = frame.rfind("\ndiscarded").expect("a table");
        let first = words(&frame[table + 1..], "unknown-client");
        assert!(frame[table + 1..].lines().nth(1).expect("a row").starts_with("unknown-client"), "{frame}");
        assert!(figure(first[1]) > 0.0 && figure(first[2]) <= unknown as f64, "{unknown}\n{frame}");
        let second = words(&frame[table..], "bad-message-authenticator");
        assert!(figure(second[1]) > 0.0, "{frame}");
        assert!(
            words(&frame, "silent")[1..]
                == [&remote.local_addr().expect("bound").to_string(), "alive", "1", "1"],
            "{frame}"
        );
        assert_eq!(words(&frame, "outstanding")[1], "1", "{frame}");
        let threads =
            if layout.contains("= 0") { ["joined-0", "joined-1"] } else { ["network-0", "worker-0"] };
        for thread in threads {
            assert_eq!(words(&frame, thread).len(), 9, "{frame}");
        }
        assert!(frame.lines().all(|line| line.chars().count() <= 100), "{frame}");
        // A little is still on its way; what was counted is what was sent.
        ulna.wait_for_counters("all are answered", |counters| counters["accepts"] == answered);
        // A good end would wait for the request that nobody answers.
        drop(ulna);
    }
}

#[test]
fn a_frame_is_as_wide_as_the_environment_says() {
    let socket = Socket::new();
    let ulna = Ulna::start(&socket.configuration(LAYOUTS[0]));
    for (columns, width) in [("60", 60), ("130", 130), ("7", 100), ("wide", 100)] {
        let arguments = ["top", "--socket", socket.path(), "--once", "--interval", "100ms"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
        let output = command.args(arguments).env("COLUMNS", columns).stdin(Stdio::null()).output();
        let (code, frame, stderr) = said(&output.expect("the binary runs"));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        // A row of threads reaches to the last column.
        let widest = frame.lines().map(|line| line.chars().count()).max();
        assert_eq!(widest, Some(width), "COLUMNS={columns}\n{frame}");
    }
    ulna.stop();
}

#[test]
fn a_server_that_is_not_there_or_goes_is_no_answer() {
    let socket = Socket::new();
    let (code, stdout, stderr) = said(&socket.once(&[]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(stderr, format!("ulna: {}: No such file or directory (os error 2)\n", socket.path()));

    let (code, _, stderr) = said(&run(&["top", "--socket", socket.path()]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("standard output is no terminal"), "{stderr}");

    let ulna = Ulna::start(&socket.configuration(LAYOUTS[1]));
    let path = socket.path().to_string();
    let top = std::thread::spawn(move || run(&["top", "--socket", &path, "--once", "--interval", "5s"]));
    // It has been told everything once, and waits for its interval.
    ulna.wait_for_counters("it is asked", |counters| counters["control_commands"] == 3);
    ulna.stop();
    let (code, stdout, stderr) = said(&top.join().expect("it runs"));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with(&format!("ulna: {}: ", socket.path())), "{stderr}");
}

/// Answers whoever comes with this for each command, as often as it is asked.
fn a_server_that_says(socket: &Socket, answers: &'static [&'static str]) {
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("someone comes");
            let lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            for (place, line) in lines.enumerate() {
                if line.is_err() || stream.write_all(answers[place % answers.len()].as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
}

#[test]
fn nothing_that_is_said_steers_the_terminal() {
    let socket = Socket::new();
    a_server_that_says(
        &socket,
        &[
            "{\"row\":{\"name\":\"discarded \\u001b[2Jevil\\u009b\",\"value\":1}}\n{\"end\":{\"rows\":1}}\n",
            "{\"row\":{\"thread\":\"\\u001b]0;evil\\u0007\",\"name\":\"parks\",\"value\":1}}\n{\"end\":{\"rows\":1}}\n",
            "{\"row\":{\"server\":\"\\u001b[31mevil\",\"role\":\"server\",\"worker\":0,\"address\":\"\\r\\n\",\
             \"standing\":\"\\u202e\",\"outstanding\":0,\"sockets\":0}}\n{\"end\":{\"rows\":1}}\n",
        ],
    );
    let (code, frame, stderr) = said(&socket.once(&["--interval", "100ms"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(frame.matches("evil").count(), 3, "{frame}");
    assert!(!frame.contains(|it: char| (it.is_control() && it != '\n') || it == '\u{202e}'), "{frame:?}");
    let terminal = Terminal::run(&["top", "--socket", socket.path()]);
    terminal.wait_for("the last row", "[31mevil");
    terminal.type_in("q");
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0));
    for steering in ["\x1b[2Jevil", "\x1b]0", "\x07", "\u{9b}", "\x1b[31mevil", "\u{202e}"] {
        assert!(!drawn.contains(steering), "{steering:?} in {drawn:?}");
    }
}

#[test]
fn a_server_that_refuses_is_told_apart_from_one_that_is_not_there() {
    let socket = Socket::new();
    a_server_that_says(&socket, &[". error too-many-connections: there are as many as may be\n"]);
    let (code, stdout, stderr) = said(&socket.once(&[]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr, "ulna: too-many-connections: there are as many as may be\n");
}

/// A terminal of a test's own, and what runs on it.
struct Terminal {
    keyboard: Arc<OwnedFd>,
    /// Open here, too, so that it outlives the program that runs on it.
    line: OwnedFd,
    settings: String,
    child: Child,
    drawn: Arc<Drawn>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Drawn {
    text: Mutex<String>,
    more: Condvar,
    is_over: AtomicBool,
}

impl Terminal {
    fn run(arguments: &[&str]) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo-terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("text");
        let line = File::options().read(true).write(true).open(name).expect("it is there");
        let size = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).expect("it has a size");
        let end = || Stdio::from(line.try_clone().expect("a descriptor"));
        let settings = format!("{:?}", tcgetattr(&line).expect("it is a terminal"));
        let mut command = Command::new("setsid");
        // A session of its own: else the terminal of whoever runs the tests is the program's, too.
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_ulna")]).args(arguments);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("util-linux has setsid");
        let (keyboard, drawn) = (Arc::new(keyboard), Arc::<Drawn>::default());
        let reader = std::thread::spawn({
            let (keyboard, drawn) = (Arc::clone(&keyboard), Arc::clone(&drawn));
            move || read_screen(&keyboard, &drawn)
        });
        Terminal { keyboard, line: line.into(), settings, child, drawn, reader: Some(reader) }
    }

    fn type_in(&self, keys: &str) {
        let typed = rustix::io::write(&*self.keyboard, keys.as_bytes()).expect("it takes keys");
        assert_eq!(typed, keys.len());
    }

    /// Takes the terminal away, and says how that ended the program.
    fn hang_up(mut self) -> ExitStatus {
        self.drawn.is_over.store(true, Ordering::Relaxed);
        self.reader.take().expect("it ends once").join().expect("it only reads");
        let keyboard = Arc::into_inner(std::mem::replace(&mut self.keyboard, Arc::new(null())));
        drop(keyboard.expect("nobody else has it"));
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).expect("it is our child");
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience));
        assert_eq!(ended.expect("it is a descriptor"), 1, "it does not end: {:?}", self.drawn.text);
        self.child.wait().expect("it is our child")
    }

    /// Waits until this has been drawn, and says where.
    fn wait_for(&self, what: &str, text: &str) -> usize {
        let until = Instant::now() + PATIENCE;
        let mut drawn = self.drawn.text.lock().expect("no reader panics");
        loop {
            if let Some(place) = drawn.find(text) {
                return place;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came: {drawn:?}");
            drawn = self.drawn.more.wait_timeout(drawn, left).expect("no reader panics").0;
        }
    }

    fn settings(&self) -> String {
        format!("{:?}", tcgetattr(&self.line).expect("it is a terminal"))
    }

    /// Waits for the end of the program: how it ended, and all that was drawn. The terminal is as it was.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.wait().code();
        let end = self.wait_for("the end", "\x1b[?1049l");
        assert_eq!(self.settings(), self.settings);
        self.wait_for("the cursor", "\x1b[?25h");
        let drawn = self.drawn.text.lock().expect("no reader panics").clone();
        let begin = drawn.find("\x1b[?1049h").expect("a screen of its own");
        assert!(begin < end && drawn.matches("\x1b[?1049h").count() == 1, "{drawn:?}");
        (code, drawn)
    }
}

/// Keeps what is drawn until it is over.
fn read_screen(keyboard: &OwnedFd, drawn: &Drawn) {
    let mut octets = [0; 4096];
    let turn = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !drawn.is_over.load(Ordering::Relaxed) {
        let mut readable = [PollFd::new(keyboard, PollFlags::IN)];
        if poll(&mut readable, Some(&turn)).expect("it is a descriptor") == 0 {
            continue;
        }
        let length = rustix::io::read(keyboard, &mut octets).expect("we have its other end ourselves");
        let mut text = drawn.text.lock().expect("no reader panics");
        text.push_str(&String::from_utf8_lossy(&octets[..length]));
        drawn.more.notify_all();
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").expect("it is there").into()
}

impl Drop for Terminal {
    /// A test that panics leaves nothing behind: what the child waits for ends with its terminal.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.drawn.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_terminal_that_goes_ends_it() {
    let socket = Socket::new();
    let ulna = Ulna::start(&socket.configuration(LAYOUTS[0]));
    let terminal = Terminal::run(&["top", "--socket", socket.path()]);
    terminal.wait_for("a frame", "joined-1");
    let ended = terminal.hang_up();
    // The signal and the error come at once, and either may be first; what must not come is an abort.
    assert!(matches!(ended.code(), Some(0 | 2)), "{ended}");
    ulna.stop();
}

#[test]
fn each_key_that_ends_it_gives_the_terminal_back() {
    let socket = Socket::new();
    let ulna = Ulna::start(&socket.configuration(LAYOUTS[1]));
    for key in ["q", "\x1b", "\x03"] {
        let terminal = Terminal::run(&["top", "--socket", socket.path(), "--interval", "100ms"]);
        terminal.wait_for("a frame", "worker-1");
        assert_ne!(terminal.settings(), terminal.settings, "keys are read as they are pressed");
        terminal.type_in("p");
        terminal.wait_for("a pause", "PAUSED");
        terminal.type_in("o");
        terminal.wait_for("another order", "busiest");
        terminal.type_in(key);
        let (code, drawn) = terminal.end();
        assert_eq!(code, Some(0), "{key:?}: {drawn:?}");
    }
    ulna.stop();
}

#[test]
fn a_server_that_goes_is_said_to_be_gone_and_asked_again_until_it_is_back() {
    let socket = Socket::new();
    let path = file("top.toml", &socket.configuration(LAYOUTS[0]));
    let serve = ["serve", "--config", path.to_str().expect("text")];
    let ulna = Ulna::start_with(&serve);
    let terminal = Terminal::run(&["top", "--socket", socket.path(), "--interval", "100ms"]);
    terminal.wait_for("a frame", "joined-1");
    ulna.stop();
    terminal.wait_for("a word about it", "no answer: ");
    let ulna = Ulna::start_with(&serve);
    ulna.wait_for_counters("it is asked", |counters| counters["control_commands"] > 3);
    terminal.type_in("q");
    assert_eq!(terminal.end().0, Some(0));
    ulna.stop();
}

#[test]
fn a_signal_that_ends_it_gives_the_terminal_back() {
    let socket = Socket::new();
    let ulna = Ulna::start(&socket.configuration(LAYOUTS[0]));
    for signal in ["TERM", "INT", "HUP"] {
        let terminal = Terminal::run(&["top", "--socket", socket.path()]);
        terminal.wait_for("a frame", "joined-1");
        let kill = format!("kill -{signal} {}", terminal.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("there is a shell").success());
        let (code, drawn) = terminal.end();
        assert_eq!(code, Some(0), "{signal}: {drawn:?}");
    }
    ulna.stop();
}
