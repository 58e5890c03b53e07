//! `--profile crash` and `crash:SEED`: the small world of `ulna_sim::crash`, in which all stops at drawn operations of the disk.

use crate::{BROKEN, NOT_DETERMINISTIC};
use std::ops::Range;
use std::process::ExitCode;
use ulna_sim::checks::Violation;
use ulna_sim::crash::{Outcome, configuration, run};

/// How seeds of that world are named.
pub const PREFIX: &str = "crash:";

/// Runs seeds until one breaks a law.
pub fn run_seeds(seeds: Range<u64>) -> ExitCode {
    let configuration = configuration();
    let mut sum = Outcome::default();
    let begins = seeds.start;
    for seed in seeds {
        match run(seed, &configuration, None) {
            Ok(outcome) => sum.add(&outcome),
            Err(violation) => {
                say(&violation);
                println!("  replay: ulna-sim replay {PREFIX}{seed}");
                println!("{} seeds before it: {sum:?}", seed - begins);
                return ExitCode::from(BROKEN);
            }
        }
    }
    println!("no failure: {sum:?}");
    ExitCode::SUCCESS
}

/// Runs one seed twice.
pub fn replay(seed: u64) -> ExitCode {
    let configuration = configuration();
    let outcome = run(seed, &configuration, None);
    if outcome != run(seed, &configuration, None) {
        println!("not deterministic");
        return ExitCode::from(NOT_DETERMINISTIC);
    }
    match outcome {
        Ok(outcome) => {
            println!("no failure: {outcome:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            say(&violation);
            ExitCode::from(BROKEN)
        }
    }
}

fn say(violation: &Violation) {
    println!("broken: {}", violation.invariant.sentence);
    println!("  {}, at {} ns: {}", violation.invariant.name, violation.at, violation.details);
}
