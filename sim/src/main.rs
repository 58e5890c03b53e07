//! `ulna-sim`: runs seeds, replays one, lists what there is, hunts seeded bugs.
//!
//! Exit: 0 fine, 1 a law was broken, 2 not deterministic, 3 usage.

mod crashes;
mod progress;

use clap::{Parser, Subcommand};
use progress::Progress;
use serde_json::json;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use ulna_core::seeded::{self, Bug};
use ulna_sim::campaign::{Campaign, Failure, Totals};
use ulna_sim::checks;
use ulna_sim::fault::{Fault, FaultClass};
use ulna_sim::goals::Goal;
use ulna_sim::mutants;
use ulna_sim::node;
use ulna_sim::plan::{FailureFile, Plan};
use ulna_sim::run;
use ulna_sim::swarm::Profile;

const BROKEN: u8 = 1;
const NOT_DETERMINISTIC: u8 = 2;
const USAGE: u8 = 3;

/// Runs whole ulna deployments under virtual time and faults, and says which law they broke.
#[derive(Parser)]
#[command(name = "ulna-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many seeds.
    Run {
        /// Which seeds, as FIRST..END.
        #[arg(long, value_parser = parse_seeds, conflicts_with = "for_")]
        seeds: Option<Range<u64>>,
        /// For how long, as 60s, 5m or 2h, counting seeds from 0.
        #[arg(long = "for", id = "for_", value_parser = parse_duration)]
        for_: Option<Duration>,
        /// How plans are drawn: swarm, calm, link, threads, everything, nat, proxy, chain. Or crash: the small world in which all stops
        /// at any operation of the disk.
        #[arg(long, default_value = "swarm", value_parser = parse_world)]
        profile: World,
        /// Threads of the operating system; by default one for each core.
        #[arg(long)]
        threads: Option<usize>,
        /// Fail if fewer transactions than this were run: seeds can be empty.
        #[arg(long, default_value_t = 0)]
        transactions_min: u64,
        /// Fail if any fault class that the profile has struck fewer times than this.
        #[arg(long, default_value_t = 0)]
        faults_min: u64,
        /// Fail if any goal was reached fewer times than this. Only those that the profile is for count: nat, proxy and chain have some.
        #[arg(long, default_value_t = 0)]
        goals_min: u64,
        /// Where failure files go; by default into the directory for temporary files.
        #[arg(long)]
        failures: Option<PathBuf>,
    },
    /// Run one seed or one failure file, and print its digest and its last events.
    Replay {
        /// A seed, crash:SEED, or the path of a failure file.
        what: String,
        /// How the plan of a seed is drawn.
        #[arg(long, default_value = "swarm", value_parser = parse_profile)]
        profile: Profile,
        /// How many of the last events are printed.
        #[arg(long, default_value_t = 40)]
        tail: usize,
        /// Print one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// List the laws, the fault classes, the goals, the seeded bugs and the profiles.
    List {
        /// Print one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// Run seeds with each seeded bug until a law notices it; needs the feature `seeded-bugs`.
    Mutants {
        /// Only this bug.
        #[arg(long)]
        bug: Option<String>,
        /// How long each is tried.
        #[arg(long, default_value = "60s", value_parser = parse_duration)]
        limit: Duration,
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
}

/// Where seeds are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    /// The whole one.
    Swarm(Profile),
    /// That of crashes.
    Crash,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap exits with 2 on wrong usage, which here means something else.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(USAGE),
            };
        }
    };
    run::keep_panics_quiet();
    match arguments.command {
        Command::Run { seeds, profile: World::Crash, .. } => crashes::run_seeds(seeds.unwrap_or(0..1_000)),
        Command::Run {
            seeds,
            for_,
            profile: World::Swarm(profile),
            threads,
            transactions_min,
            faults_min,
            goals_min,
            failures,
        } => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let campaign = Campaign {
                seeds: seeds.unwrap_or(if for_.is_some() { 0..u64::MAX } else { 0..100 }),
                profile,
                threads: threads.unwrap_or(cores),
                failures: failures.unwrap_or_else(|| std::env::temp_dir().join("ulna-sim")),
            };
            run_campaign(&campaign, for_, &Least { transactions_min, faults_min, goals_min })
        }
        Command::Replay { what, profile, tail, json } => replay(&what, profile, tail, json),
        Command::List { json } => list(json),
        Command::Mutants { bug, limit, json } => hunt(bug.as_deref(), limit, json),
    }
}

/// What a campaign has to come to, or else it was empty.
struct Least {
    transactions_min: u64,
    faults_min: u64,
    goals_min: u64,
}

fn run_campaign(campaign: &Campaign, limit: Option<Duration>, least: &Least) -> ExitCode {
    let planned = limit.is_none().then(|| campaign.seeds.end.saturating_sub(campaign.seeds.start));
    let mut progress = Progress::begin(planned, limit);
    let mut code = 0;
    let totals = campaign.run(node::build, |totals, failure| {
        match failure {
            Some(Failure::Law { seed, violation, file }) => {
                code = if code == 0 { BROKEN } else { code };
                progress.say(&format!("broken: {}", violation.invariant.sentence));
                progress.say(&format!(
                    "  seed {seed}, {}, at {} ns: {}",
                    violation.invariant.name, violation.at, violation.details
                ));
                match file {
                    Ok(path) => {
                        progress.say(&format!("  replay: ulna-sim replay {}", path.display()));
                        progress.say(&format!("  failure file: {}", path.display()));
                    }
                    Err(error) => {
                        let name = campaign.profile.name();
                        progress.say(&format!("  replay: ulna-sim replay {seed} --profile {name}"));
                        progress.say(&format!("  no failure file: {error}"));
                    }
                }
            }
            Some(Failure::NotDeterministic { seed, difference }) => {
                code = NOT_DETERMINISTIC;
                progress.say(&format!("not deterministic: seed {seed}, {difference}"));
            }
            None => {}
        }
        progress.tell(totals);
        !progress.is_over()
    });
    progress.end();
    print_totals(&totals, progress.elapsed());
    let mut too_few = |what: &str, count: u64, least: u64| {
        if count < least {
            println!("too few: {what} {count}, at least {least} were asked for");
            code = if code == 0 { BROKEN } else { code };
        }
    };
    too_few("transactions", totals.transactions, least.transactions_min);
    for &class in FaultClass::ALL.iter().filter(|class| campaign.profile.has(**class)) {
        too_few(class.name(), totals.counts[class as usize], least.faults_min);
    }
    for &goal in Goal::ALL.iter().filter(|goal| campaign.profile.reaches(**goal)) {
        too_few(goal.name(), totals.goals.count(goal), least.goals_min);
    }
    ExitCode::from(code)
}

fn print_totals(totals: &Totals, elapsed: Duration) {
    println!("{:<28} {:>10}", "fault class", "injected");
    for &class in FaultClass::ALL {
        println!("{:<28} {:>10}", class.name(), totals.counts[class as usize]);
    }
    println!("{:<28} {:>10}", "goal", "reached");
    for &goal in Goal::ALL {
        println!("{:<28} {:>10}", goal.name(), totals.goals.count(goal));
    }
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    println!(
        "{} seeds, {} failures, {} run twice and equal; {} transactions ({} per second), {} replies, {} events, \
         {}.{:02} simulated hours, {}.{:01} s",
        totals.seeds,
        totals.failures,
        totals.repeated,
        totals.transactions,
        totals.transactions * 1_000 / milliseconds,
        totals.replies,
        totals.events,
        totals.simulated / 3_600_000_000_000,
        totals.simulated % 3_600_000_000_000 / 36_000_000_000,
        milliseconds / 1_000,
        milliseconds % 1_000 / 100,
    );
}

fn replay(what: &str, profile: Profile, tail: usize, json: bool) -> ExitCode {
    if let Some(seed) = what.strip_prefix(crashes::PREFIX) {
        return match seed.parse() {
            Ok(seed) => crashes::replay(seed),
            Err(error) => usage(&format!("{what}: {error}")),
        };
    }
    let (plan, faults): (Plan, Option<Vec<Fault>>) = match what.parse() {
        Ok(seed) => (Plan::drawn(seed, profile), None),
        Err(_) => match read_failure(Path::new(what)) {
            Ok(file) => (file.plan, Some(file.faults)),
            Err(error) => return usage(&format!("{what}: {error}")),
        },
    };
    if let Err(error) = run::check_bug(&plan) {
        return usage(&error);
    }
    let outcome = run::run(&plan, faults.as_deref(), node::build, tail);
    let repeated = run::check_determinism(&plan, faults.as_deref(), node::build);
    let difference = match &repeated {
        Ok(digest) if *digest == outcome.digest => None,
        Ok(digest) => Some(format!("{digest} instead of {}", outcome.digest)),
        Err(difference) => Some(difference.clone()),
    };
    if json {
        let violation = outcome.violation.as_ref().map(|violation| {
            json!({
                "invariant": violation.invariant.name, "sentence": violation.invariant.sentence,
                "at": violation.at, "details": violation.details,
            })
        });
        let object = json!({
            "digest": outcome.digest.to_string(), "seed": plan.seed, "events": outcome.events,
            "transactions": outcome.transactions, "replies": outcome.replies, "simulated_ns": outcome.simulated,
            "faults": outcome.faults.len(), "violation": violation, "difference": difference,
            "tail": outcome.tail.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        println!("{object}");
    } else {
        println!("{}", outcome.digest);
        outcome.tail.iter().for_each(|entry| println!("{entry}"));
        if let Some(violation) = &outcome.violation {
            println!("broken: {}", violation.invariant.sentence);
            println!("  {}, at {} ns: {}", violation.invariant.name, violation.at, violation.details);
        }
        if let Some(difference) = &difference {
            println!("not deterministic: {difference}");
        }
    }
    ExitCode::from(match (difference, outcome.violation) {
        (Some(_), _) => NOT_DETERMINISTIC,
        (None, Some(_)) => BROKEN,
        (None, None) => 0,
    })
}

fn read_failure(path: &Path) -> Result<FailureFile, String> {
    FailureFile::from_json(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
}

fn list(json: bool) -> ExitCode {
    if json {
        let object = json!({
            "invariants": checks::all()
                .map(|law| json!({ "name": law.name, "sentence": law.sentence })).collect::<Vec<_>>(),
            "fault_classes": FaultClass::ALL.iter()
                .map(|class| json!({ "name": class.name(), "text": class.text() })).collect::<Vec<_>>(),
            "goals": Goal::ALL.iter()
                .map(|goal| json!({ "name": goal.name(), "text": goal.text() })).collect::<Vec<_>>(),
            "seeded_bugs": Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>(),
            "profiles": Profile::ALL.iter().map(|profile| profile.name()).chain(["crash"]).collect::<Vec<_>>(),
        });
        println!("{object}");
        return ExitCode::SUCCESS;
    }
    println!("invariants");
    checks::all().for_each(|law| println!("  {:<22} {}", law.name, law.sentence));
    println!("fault classes");
    FaultClass::ALL.iter().for_each(|class| println!("  {:<22} {}", class.name(), class.text()));
    println!("goals");
    Goal::ALL.iter().for_each(|goal| println!("  {:<28} {}", goal.name(), goal.text()));
    println!("seeded bugs");
    Bug::ALL.iter().for_each(|bug| println!("  {}", bug.name()));
    println!("profiles");
    Profile::ALL.iter().for_each(|profile| println!("  {}", profile.name()));
    println!("  crash");
    ExitCode::SUCCESS
}

fn hunt(only: Option<&str>, limit: Duration, json: bool) -> ExitCode {
    if !seeded::COMPILED_IN {
        return usage(
            "seeded bugs are not compiled in; run: cargo run --profile ci -p ulna-sim --features seeded-bugs -- mutants",
        );
    }
    let bugs: Vec<Bug> = match only.map(Bug::named) {
        None => Bug::ALL.iter().copied().filter(|bug| bug.is_for_simulator()).collect(),
        Some(Some(bug)) => vec![bug],
        Some(None) => return usage("no seeded bug of that name; see: ulna-sim list"),
    };
    let mut alive = false;
    for bug in bugs {
        let Some(fate) = mutants::hunt(bug, node::build, limit) else { continue };
        let (state, law, seed) = match fate.killed {
            Some((law, seed)) => ("dead", law, Some(seed)),
            None => ("alive", "-", None),
        };
        alive |= fate.killed.is_none();
        let (seconds, tenths) = (fate.took.as_secs(), fate.took.subsec_millis() / 100);
        if json {
            let milliseconds = u64::try_from(fate.took.as_millis()).unwrap_or(u64::MAX);
            println!(
                "{}",
                json!({ "bug": bug.name(), "state": state, "invariant": law, "seed": seed, "milliseconds": milliseconds })
            );
        } else {
            println!("{:<40} {state:<5} {law:<22} {seconds}.{tenths}", bug.name());
        }
    }
    ExitCode::from(if alive { BROKEN } else { 0 })
}

fn usage(error: &str) -> ExitCode {
    eprintln!("ulna-sim: {error}");
    ExitCode::from(USAGE)
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("expected FIRST..END, as 0..500")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let seeds = number(first)?..number(end)?;
    if seeds.is_empty() { Err("there is no seed in it".into()) } else { Ok(seeds) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("expected a number and s, m or h, as 60s".into()),
    };
    let count: u64 = digits.parse().map_err(|error| format!("{digits:?}: {error}"))?;
    count.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "that is too long".into())
}

fn parse_world(text: &str) -> Result<World, String> {
    if text == "crash" { Ok(World::Crash) } else { parse_profile(text).map(World::Swarm) }
}

fn parse_profile(text: &str) -> Result<Profile, String> {
    Profile::ALL.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
        let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        assert!(Arguments::try_parse_from(["ulna-sim", "run", "--seeds", "0..5", "--for", "1s"]).is_err());
        assert!(Arguments::try_parse_from(["ulna-sim", "run", "--for", "60s", "--profile", "link"]).is_ok());
    }

    #[test]
    fn seeds_and_spans_read_as_written() {
        assert_eq!(parse_seeds("3..7"), Ok(3..7));
        assert!(parse_seeds("7..3").is_err() && parse_seeds("7").is_err() && parse_seeds("a..b").is_err());
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert!(
            parse_duration("5").is_err() && parse_duration("s").is_err() && parse_duration("9d").is_err()
        );
    }
}
