//! What `ulna check` prints may have no reader, or a full disk.

mod support;

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Output, Stdio};

use support::{file, on_free_ports};

/// Runs the binary with this as its standard output.
fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
    let child = command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
    child.expect("the binary starts").wait_with_output().expect("it ends by itself")
}

#[test]
fn a_check_whose_output_nobody_reads_still_says_by_its_exit_code_what_it_found() {
    let path = file("right.toml", &on_free_ports(""));
    for arguments in [&["check", "--config", path.to_str().unwrap()][..], &["check", "--print-default"]] {
        let (_, closed) = pipe().expect("a pipe");
        let output = run(arguments, closed);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert_eq!(stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_check_whose_output_cannot_be_written_ends_with_1_and_a_sentence() {
    let path = file("right.toml", &on_free_ports(""));
    for arguments in [&["check", "--config", path.to_str().unwrap()][..], &["check", "--print-default"]] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = run(arguments, full);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("ulna: cannot write to standard output: "), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
