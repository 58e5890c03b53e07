//! The control socket of a real server: commands by `ulna control` and by hand, slow readers and garbage beside requests, permissions,
//! what is left of a server that died.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::control_socket::{Socket, said};
use support::{Nas, Ulna, bob, file, on_free_ports, run};
use ulna_core::packet::Code;

const LAYOUTS: [&str; 2] = ["network_threads = 0\nworkers = 2", "network_threads = 1\nworkers = 2"];
/// Long enough that a test which needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Socket {
    fn start(&self, layout: &str, more: &str) -> Ulna {
        Ulna::start(&on_free_ports(&self.settings(layout, more)))
    }

    fn control(&self, arguments: &[&str]) -> Output {
        run(&[&["control", "--socket", self.path()][..], arguments].concat())
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.0).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }
}

fn all_of(stream: &mut UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is read to its end");
    answer
}

#[test]
fn commands_are_answered_in_text_and_in_json() {
    for layout in LAYOUTS {
        let socket = Socket::new();
        let ulna = socket.start(layout, "");
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        for identifier in 0..5 {
            assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
        }
        let (code, text, stderr) = said(&socket.control(&["show", "clients"]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(text.starts_with("client ") && text.lines().count() >= 2, "{text}");
        for table in ["connections", "conversations", "remote-servers", "threads", "queues", "statistics"] {
            let (code, text, stderr) = said(&socket.control(&["show", table]));
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{table}");
            assert!(!text.is_empty() && !text.contains(". ok"), "{table}: {text}");
            let (code, json, _) = said(&socket.control(&["--json", "show", table]));
            assert_eq!(code, Some(0));
            for row in json.lines() {
                assert!(serde_json::from_str::<Value>(row).expect("JSON").is_object(), "{row}");
            }
        }
        ulna.wait_for_counters("five answers", |counters| counters["answered"] == 5);
        let (_, json, _) = said(&socket.control(&["--json", "show", "statistics", "name=answered"]));
        let row: Value = serde_json::from_str(&json).expect("one row");
        assert_eq!((&row["name"], &row["value"]), (&"answered".into(), &5.into()));
        let (code, text, stderr) = said(&socket.control(&["show", "clients", "nme=x"]));
        assert_eq!((code, text.as_str()), (Some(1), ""));
        assert!(
            stderr.starts_with("ulna: bad-command: clients have no column \"nme\", but client, "),
            "{stderr}"
        );
        ulna.stop();
    }
}

#[test]
fn a_reload_is_waited_for_and_says_what_was_wrong() {
    let socket = Socket::new();
    let right = on_free_ports(&socket.settings(LAYOUTS[0], ""));
    let path = file("control-reload", &right);
    let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("text")]);
    assert_eq!(said(&socket.control(&["reload"])), (Some(0), String::new(), String::new()));
    std::fs::write(&path, right.replace("[control]", "[control]\nmood = 1")).expect("a file");
    let (code, text, stderr) = said(&socket.control(&["reload"]));
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(
        stderr.contains("failed: the configuration stays as it is") && stderr.contains("`mood`"),
        "{stderr}"
    );
    // What is in force is shown, and none of its secrets.
    let line = |words: &[&str]| said(&socket.control(&[&["show", "config"][..], words].concat())).1;
    let file_name = path.to_str().expect("text");
    assert!(line(&[]).contains("secret = ***"), "{}", line(&[]));
    assert_eq!(line(&["text=*mood*"]).lines().count(), 1);
    // A socket that is another waits for a restart.
    std::fs::write(&path, right.replace("[control]", "[control]\nmark = 10")).expect("a file");
    assert_eq!(socket.control(&["reload"]).status.code(), Some(0));
    let shown = said(&socket.control(&["--json", "show", "config", "text=mark*"])).1;
    let row: Value = serde_json::from_str(shown.trim_end()).expect("a row");
    assert_eq!((row["file"].as_str(), row["text"].as_str()), (Some(file_name), Some("mark = 10")));
    assert!(ulna.stderr().contains("`control` has changed and waits for a restart"), "{}", ulna.stderr());
    ulna.stop();
}

#[test]
fn shutdown_is_answered_and_drains() {
    for layout in LAYOUTS {
        let socket = Socket::new();
        let ulna = socket.start(layout, "");
        assert_eq!(said(&socket.control(&["shutdown"])), (Some(0), String::new(), String::new()));
        let ended = ulna.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!socket.0.exists(), "its name goes with it");
        let (code, _, stderr) = said(&socket.control(&["help"]));
        assert_eq!(code, Some(2));
        assert!(stderr.contains("No such file"), "{stderr}");
    }
}

#[test]
fn who_does_not_read_keeps_nobody_and_gets_all_in_the_end() {
    for layout in LAYOUTS {
        let socket = Socket::new();
        let ulna = socket.start(layout, "buffer_octets = 10240\nmark = 10");
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        // As much as makes the kernel's buffer full several times.
        let commands = "show threads\nshow statistics\n".repeat(60);
        let mut slow: Vec<_> = (0..8).map(|_| socket.connect()).collect();
        for stream in &mut slow {
            // Whatever the server does not read yet waits here.
            stream.write_all(commands.as_bytes()).expect("it is taken");
            stream.shutdown(Shutdown::Write).expect("half of it");
        }
        for identifier in 0..50 {
            assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
        }
        ulna.wait_for_counters("all have come", |counters| counters["control_accepted"] == 8);
        for stream in &mut slow {
            let answer = all_of(stream);
            let ends = answer.lines().filter(|line| line.starts_with(". ok ")).count();
            assert_eq!(ends, 120, "{}", &answer[answer.len() - 200..]);
            assert!(answer.ends_with(" rows\n"));
        }
        ulna.wait_for_counters("all are gone", |counters| {
            (counters["control_connections"], counters["tasks"]) == (0, 0)
        });
        let counters = ulna.counters();
        assert_eq!(counters["control_marks"], counters["tasks_woken"]);
        ulna.stop();
    }
}

#[test]
fn a_reader_that_is_gone_is_noticed() {
    let socket = Socket::new();
    let ulna = socket.start(LAYOUTS[1], "buffer_octets = 10240");
    for number in 0..30 {
        let mut stream = socket.connect();
        let commands = "show threads\n".repeat(60);
        stream.write_all(commands.as_bytes()).expect("it is taken");
        let mut some = vec![0; 1 + 500 * number];
        stream.read_exact(&mut some).expect("something");
    }
    ulna.wait_for_counters("all are gone", |counters| {
        (counters["control_accepted"], counters["control_connections"], counters["tasks"]) == (30, 0, 0)
    });
    assert_eq!(ulna.counters()["control_broken"], 30);
    ulna.stop();
}

#[test]
fn garbage_long_lines_and_crowds_are_told_so_and_harm_nobody() {
    let socket = Socket::new();
    let ulna = socket.start(LAYOUTS[0], "connections_max = 3");
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let mut stream = socket.connect();
    stream.write_all(b"\x01\xff\x00garbage\nshow\n").expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("half of it");
    let answer = all_of(&mut stream);
    assert!(
        answer.starts_with(". error no-text: a command is text in UTF-8\n. error bad-command: `show` wants"),
        "{answer}"
    );

    let mut stream = socket.connect();
    // It may be cut off before all is written.
    let _ = stream.write_all(&[b'x'; 1 << 20]);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        Ok(_) | Err(_) => {}
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(
        answer.is_empty() || answer == ". error line-too-long: a command has at most 4096 octets\n",
        "{answer}"
    );

    ulna.wait_for_counters("both are gone", |counters| counters["control_connections"] == 0);
    let _crowd: Vec<_> = (0..3).map(|_| socket.connect()).collect();
    ulna.wait_for_counters("three are there", |counters| counters["control_connections"] == 3);
    for _ in 0..2_000 {
        let answer = all_of(&mut socket.connect());
        assert_eq!(answer, ". error too-many-connections: there are as many control connections as may be\n");
    }
    assert_eq!(said(&socket.control(&["help"])).0, Some(1));
    assert_eq!(nas.ask(&bob(1)), Code::AccessAccept);
    assert_eq!(ulna.counters()["control_refused"], 2_001);
    ulna.stop();
}

#[test]
fn the_socket_has_its_permissions_and_replaces_only_what_nobody_has() {
    let socket = Socket::new();
    let mode =
        |path: &Path| std::fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777;
    // What a server has left that died.
    drop(UnixListener::bind(&socket.0).expect("a socket"));
    let ulna = socket.start(LAYOUTS[0], "mode = \"0600\"");
    assert_eq!(mode(&socket.0), 0o600);
    // Another server leaves it alone.
    let other = file("control-other", &on_free_ports(&socket.settings(LAYOUTS[0], "")));
    let refused = run(&["serve", "--config", other.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(1));
    let (_, _, stderr) = said(&refused);
    assert!(
        stderr.contains("cannot have the control socket") && stderr.contains("another server listens"),
        "{stderr}"
    );
    assert_eq!(socket.control(&["help"]).status.code(), Some(0));
    ulna.stop();
    // Nor is a file replaced that is none of ours.
    std::fs::write(&socket.0, "precious").expect("a file");
    let refused = run(&["serve", "--config", other.to_str().expect("text")]);
    let (code, _, stderr) = said(&refused);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is there, and no socket"), "{stderr}");
    assert!(!std::fs::symlink_metadata(&socket.0).expect("it is there").file_type().is_socket());
    let group = on_free_ports(&Socket::new().settings(LAYOUTS[0], "group = \"no-such-group-here\""));
    let refused = run(&["serve", "--config", file("control-group", &group).to_str().expect("text")]);
    let (code, _, stderr) = said(&refused);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("this machine has no group \"no-such-group-here\""), "{stderr}");
}

#[test]
fn the_end_waits_for_no_reload_and_comes_once() {
    for layout in LAYOUTS {
        let socket = Socket::new();
        let path =
            file(&format!("control-end-{}", layout.len()), &on_free_ports(&socket.settings(layout, "")));
        let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("text")]);
        let mut streams: Vec<_> = (0..3).map(|_| socket.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"reload\n").expect("it is taken");
        }
        let mut stream = socket.connect();
        stream.write_all(b"shutdown\nshutdown\n").expect("it is taken");
        assert!(all_of(&mut stream).starts_with(". ok 0 rows\n"));
        let ended = ulna.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for stream in &mut streams {
            let answer = all_of(stream);
            assert!(answer.starts_with(". ok") || answer.starts_with(". error failed: "), "{answer:?}");
        }
    }
}
