//! Standard error may be closed, full, or read by nobody: the server serves on, obeys, and ends.

mod support;

use std::io::{ErrorKind, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use support::{Nas, Ulna, bob, on_free_ports};
use ulna_core::packet::{Code, MessageAuthenticator};

const LAYOUTS: [&str; 2] =
    ["[runtime]\nnetwork_threads = 0\nworkers = 1\n", "[runtime]\nnetwork_threads = 1\nworkers = 1\n"];

/// A standard error that takes no octet, and what keeps it so.
fn nobody_reads() -> (Stdio, UnixStream) {
    let (mut ours, unread) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("it is a socket");
    loop {
        match ours.write(&[b'.'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    // The file is shared with whoever inherits it: a write waits again, as writes to a pipe do.
    ours.set_nonblocking(false).expect("it is a socket");
    (Stdio::from(OwnedFd::from(ours)), unread)
}

/// Asks, has it print its counters, and asks again.
fn serves_on(ulna: &Ulna) {
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    for identifier in [1, 2, 3] {
        assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
        ulna.signal("USR1");
        ulna.signal("HUP");
    }
}

#[test]
fn a_closed_standard_error_is_no_reason_not_to_serve() {
    for layout in LAYOUTS {
        let (reader, writer) = pipe().expect("a pipe");
        let ulna = Ulna::start_saying_to(writer, &on_free_ports(layout));
        drop(reader);
        serves_on(&ulna);
        ulna.stop();
    }
}

#[test]
fn a_standard_error_that_is_closed_from_the_start_neither() {
    let (_, writer) = pipe().expect("a pipe");
    let ulna = Ulna::start_saying_to(writer, &on_free_ports(LAYOUTS[0]));
    serves_on(&ulna);
    ulna.stop();
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nothing_up() {
    for layout in LAYOUTS {
        let (stderr, _unread) = nobody_reads();
        let ulna = Ulna::start_saying_to(stderr, &on_free_ports(layout));
        serves_on(&ulna);
        ulna.stop();
    }
}

#[test]
fn a_second_sigterm_or_sigint_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let settings = "[protocol]\nreject_delay = \"25s\"\n";
        let ulna = Ulna::start(&on_free_ports(settings));
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        // A reject that waits longer than this test has patience.
        nas.send(&support::pap(1, support::WRONG_PASSWORD, &support::secret(), MessageAuthenticator::First));
        ulna.wait_for_counters("a reject waits", |counters| counters["delayed_rejects"] == 1);
        let from = ulna.stderr().len();
        ulna.signal(first);
        ulna.wait_for(from, "a word that it drains", |text| text.contains("draining").then_some(()));
        ulna.signal(second);
        let ended = ulna.end();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    }
}
