//! System calls that the kernel refuses for once, as strace has it do.

mod support;

use std::process::{Command, Stdio};

use support::{Nas, Ulna, bob, file, on_free_ports, without_peer};
use ulna_core::packet::Code;

/// Starts it with some of its system calls refused. `None`, and a word why, where that is not possible.
fn start_with_refused(calls: &str, configuration: &str) -> Option<Ulna> {
    // `-D`: the tracer is a grandchild, the child is the server.
    let strace = ["-D", "-f", "-qq", "-o", "/dev/null", "-e"];
    let probe = Command::new("strace").args(strace).args(["trace=none", "true"]).output();
    let why = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        without_peer(&format!("strace (Debian: strace) cannot be run: {why}"));
        return None;
    }
    let path = file("ulna.toml", configuration);
    let mut command = Command::new("strace");
    command.args(strace).args([&format!("inject={calls}"), env!("CARGO_BIN_EXE_ulna"), "serve", "--config"]);
    Some(Ulna::begin(command.arg(path).stdin(Stdio::null()), Stdio::piped()))
}

#[test]
fn a_read_that_fails_for_want_of_memory_is_tried_again() {
    for threads in ["network_threads = 0", "network_threads = 1"] {
        for errno in ["ENOMEM", "ENOBUFS", "EIO"] {
            let refused = format!("recvmmsg:error={errno}:when=1+2");
            let settings = format!("[runtime]\n{threads}\nworkers = 1\n");
            let Some(ulna) = start_with_refused(&refused, &on_free_ports(&settings)) else { return };
            let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
            for identifier in 0..5 {
                assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
            }
            let counters = ulna.counters();
            assert!(counters["receive_failed"] > 0, "{counters:#?}");
            assert!(counters["receive_failed"] < counters["receive_calls"], "{counters:#?}");
            ulna.stop();
        }
    }
}
