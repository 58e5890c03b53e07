//! `ulna`: arguments, exit codes, signals. What it does lives in the other packages.
//!
//! Exit codes: 0 drained, 1 could not run, 2 usage or configuration; those of `request` are its own.
#![forbid(unsafe_code)]

mod check;
mod completion;
mod control;
mod reload;
mod request;
mod serve;
mod standard_error;
mod state;
mod top;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ulna_config::{ConfigErrors, Configuration, Cores, Source, Warnings};

use check::CheckArguments;
use completion::CompletionArguments;
use control::ControlArguments;
use request::RequestArguments;
use standard_error::say;
use top::TopArguments;

// A server with bugs seeded on purpose must not exist.
const _: () = assert!(!ulna_core::seeded::COMPILED_IN, "the feature seeded-bugs is for the simulator alone");

/// Usage or configuration.
const EXIT_CONFIGURATION: u8 = 2;

/// A RADIUS server and proxy for clients that nobody can list beforehand.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM; SIGHUP loads the configuration anew, SIGUSR1 prints the counters.
    Serve(ServeArguments),
    /// Check a configuration and say what is wrong with it, what becomes of a packet, or what a reload would change;
    /// touches no socket.
    Check(Box<CheckArguments>),
    /// Send one exact packet and print the reply. Exit codes: 0 Accept, Response or ACK; 1 Reject or NAK; 3 Challenge;
    /// 2 no valid reply, or wrong usage.
    Request(Box<RequestArguments>),
    /// Ask a server that runs, or tell it what to do, by its control socket. Exit codes: 0 done; 1 refused; 2 no answer, or wrong
    /// usage.
    Control(ControlArguments),
    /// Show what a server does, second by second, by its control socket. Exit codes: 0 ended by a key or a signal; 1 refused; 2 no
    /// answer, or wrong usage.
    Top(TopArguments),
    /// Print the script by which a shell completes the arguments of `ulna`.
    Completion(CompletionArguments),
}

#[derive(clap::Args)]
struct ServeArguments {
    /// The configuration; without it one for a first try is served, on this machine only.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(ServeArguments { config }) => match load(config.as_deref()) {
            Ok(loaded) => serve::serve(loaded, config),
            Err(errors) => refuse(&errors),
        },
        Command::Check(arguments) => check::check(&arguments),
        Command::Request(arguments) => request::request(&arguments),
        Command::Control(arguments) => control::control(&arguments),
        Command::Top(arguments) => top::top(&arguments),
        Command::Completion(arguments) => completion::completion(&arguments),
    }
}

/// A configuration, what is odd in it, and what stands in its files.
type Loaded = (Configuration, Warnings, Source);

/// The configuration of a file, or the embedded one.
fn load(file: Option<&Path>) -> Result<Loaded, ConfigErrors> {
    match file {
        Some(file) => ulna_config::load_with_source(file, cores()),
        None => ulna_config::parse_with_source(ulna_config::default_text(), "(embedded default)", cores()),
    }
}

/// How many this machine has.
fn cores() -> Cores {
    Cores(std::thread::available_parallelism().map_or(1, usize::from))
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    say(&errors.to_string());
    ExitCode::from(EXIT_CONFIGURATION)
}

/// Prints a result. That nobody reads it is the reader's own decision; that it got lost on its way is an error.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("ulna: cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
