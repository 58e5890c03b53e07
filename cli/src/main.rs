//! `ulna`: arguments, exit codes, signals. What it does lives in the other packages.
//!
//! Exit codes: 0 drained, 1 could not run, 2 usage or configuration.
#![forbid(unsafe_code)]

mod serve;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ulna_config::{Configuration, Cores};

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
    /// Serve until SIGTERM; SIGUSR1 prints the counters.
    Serve(ServeArguments),
    /// Check a configuration and say what is wrong with it; touches no socket.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE", required_unless_present = "print_default")]
        config: Option<PathBuf>,
        /// Print the configuration that is served when no file is named.
        #[arg(long, conflicts_with = "config")]
        print_default: bool,
    },
}

#[derive(clap::Args)]
struct ServeArguments {
    /// The configuration; without it one for a first try is served, on this machine only.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Colours are for people: a file or a journal would keep their escapes for ever.
    let has_colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(has_colours).with_target(false).init();
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(ServeArguments { config }) => match load(config.as_deref()) {
            Ok(configuration) => serve::serve(configuration, config.is_none()),
            Err(code) => code,
        },
        Command::Check { config: Some(file), .. } => match load(Some(&file)) {
            Ok(_) => {
                println!("{}: no errors", file.display());
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Check { config: None, .. } => {
            // A closed pipe is the reader's own decision.
            let _ = std::io::stdout().write_all(ulna_config::default_text().as_bytes());
            ExitCode::SUCCESS
        }
    }
}

/// The configuration of a file, or the embedded one. Prints all errors and warnings.
fn load(file: Option<&Path>) -> Result<Configuration, ExitCode> {
    let cores = Cores(std::thread::available_parallelism().map_or(1, usize::from));
    let loaded = match file {
        Some(file) => ulna_config::load(file, cores),
        None => ulna_config::parse(ulna_config::default_text(), "(embedded default)", cores),
    };
    match loaded {
        Ok((configuration, warnings)) => {
            if !warnings.is_empty() {
                eprintln!("{warnings}");
            }
            Ok(configuration)
        }
        Err(errors) => {
            eprintln!("{errors}");
            Err(ExitCode::from(EXIT_CONFIGURATION))
        }
    }
}
