//! Accounting: records a second and how long one waits, by the number of requests outstanding, beside FreeRADIUS.
//!
//! `cargo bench -p ulna-benches --bench accounting [-- --quick | --rounds N | --seconds S | --folder PATH]`
//!
//! Ours answers when a record is synced (`fdatasync`); FreeRADIUS 3 writes its detail file, without a sync, and answers. Each
//! is alone on core 0, the load generator spins on the last core, with at most eight ports. Ways are measured in turn,
//! several rounds of all of them, each time in a new process and a new folder; the table shows medians. That the files
//! hold what was answered is looked at after each run.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ulna_benches::disk::{file_system, sync_times};
use ulna_benches::ending::{Failure, Folder, end};
use ulna_benches::load::{Load, Outcome};
use ulna_benches::machine::{cores, cpu_time, pin_to};
use ulna_benches::measured::{Measured, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::radiusd::{DETAIL, Radiusd, accounting};
use ulna_benches::workload::{RECORDS, Requests, Setup};

/// How many requests are outstanding.
const WINDOWS: [usize; 6] = [1, 4, 16, 64, 256, 1024];
const PORTS_MAX: usize = 8;
const WARM_UP: Duration = Duration::from_millis(300);
/// More than anybody answers in a run, so that each is a record of its own.
const REQUESTS: usize = 500_000;
/// Accounting waits for a disk, which now and then takes its time.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// Octets of a record as ours writes it, about; what a sync alone is measured with.
const RECORD_OCTETS: usize = 700;

/// Who is measured.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ulna(Setup),
    /// With so many threads beside the one that reads; 0: that one alone.
    Radiusd(usize),
}

const WAYS: [(&str, Way); 3] = [
    ("ulna, synced", Way::Ulna(Setup { network_threads: 0, workers: 1, log: false })),
    ("FreeRADIUS, one thread, not synced", Way::Radiusd(0)),
    ("FreeRADIUS, five threads, not synced", Way::Radiusd(5)),
];

/// One run.
#[derive(Debug, Clone, Copy)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Records to one sync.
    group: f64,
    cpu: f64,
    calls: f64,
    lost: f64,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("accounting", run()))
}

/// False if nothing was answered, a reply was wrong, or a record that was answered is not in the file.
fn run() -> Result<bool, Failure> {
    let mut within = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let own = |argument: &str, rest: &mut dyn Iterator<Item = String>| {
        let is_folder = argument == "--folder";
        if is_folder && let Some(folder) = rest.next() {
            within = PathBuf::from(folder);
        }
        is_folder
    };
    let Options { rounds, span, .. } =
        Options::read(3, Duration::from_secs(1), Duration::from_millis(200), own)?;
    let folder = Folder::make(&within, "accounting")?;
    let folder = folder.path();
    let own_core = cores() - 1;
    pin_to(own_core)?;
    let (kind, place) = file_system(folder)?;
    println!("Records in {} ({kind}, mounted at {place}).", folder.display());
    if kind == "tmpfs" {
        println!("That is no disk: a sync costs nothing there, and these figures say nothing about one.");
    }
    let syncs = sync_times(folder, RECORD_OCTETS, span)?;
    let at = |part: f64| syncs[((syncs.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!(
        "Appending {RECORD_OCTETS} octets and fdatasync, one after the other: {:.0} a second, p50 {:.0} µs, p99 {:.0} µs.\n",
        syncs.len() as f64 / span.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    let requests = Requests::prepare_accounting(REQUESTS);
    let mut is_well = true;
    println!(
        "| outstanding | | records/s | p50 µs | p99 µs | records/sync | CPU µs/record | system calls/record | lost |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for window in WINDOWS {
        let mut figures: [Vec<Figures>; WAYS.len()] = Default::default();
        for round in 0..rounds {
            for ((name, way), figures) in WAYS.iter().zip(&mut figures) {
                let folder = folder.join("run");
                fs::create_dir(&folder)?;
                let measured = match way {
                    Way::Ulna(setup) => Some(measure_ulna(&folder, *setup, &requests, window, span)?),
                    Way::Radiusd(threads) => {
                        measure_radiusd(&folder, *threads, own_core, &requests, window, span)?
                    }
                };
                fs::remove_dir_all(&folder)?;
                if let Some((run, is_right)) = measured {
                    eprintln!("round {round}: {name}, {window}: {run:.2?}");
                    is_well &= is_right;
                    figures.push(run);
                }
            }
        }
        for ((name, _), runs) in WAYS.iter().zip(&figures) {
            if runs.is_empty() {
                println!("| {window} | {name}: not installed | | | | | | | |");
                continue;
            }
            let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure));
            let known = |figure: f64, digits: usize| match figure.is_nan() {
                true => String::new(),
                false => format!("{figure:.digits$}"),
            };
            println!(
                "| {window} | {name} | {:.0} | {:.0} | {:.0} | {} | {:.2} | {} | {:.0} |",
                of(|f| f.rate),
                of(|f| f.p50),
                of(|f| f.p99),
                known(of(|f| f.group), 1),
                of(|f| f.cpu),
                known(of(|f| f.calls), 2),
                of(|f| f.lost)
            );
        }
    }
    if !is_well {
        println!("\nReplies were wrong, or none came, or records are missing.");
    }
    Ok(is_well)
}

fn measure_ulna(
    folder: &Path,
    setup: Setup,
    requests: &Requests,
    window: usize,
    span: Duration,
) -> io::Result<(Figures, bool)> {
    let mut measured = Measured::start_in(folder, Role::Accounting(setup), 0)?;
    let mut load = load(requests, measured.address(), window)?;
    let warm = load.closed(window, WARM_UP)?;
    let before = measured.read()?;
    let mut outcome = load.closed_timed(window, span)?;
    let after = measured.read()?;
    let records = after.since(&before, "accounting_stored") as f64;
    let calls = ["receive_calls", "send_calls", "wait_calls", "ring_calls"];
    let calls: u64 = calls.iter().map(|name| after.since(&before, name)).sum();
    let groups = after.since(&before, "accounting_groups") as f64;
    let figures = Figures {
        group: records / groups,
        // Each group is one write and one sync.
        calls: (calls as f64 + 2.0 * groups) / records,
        ..figures(&mut outcome, after.cpu - before.cpu)
    };
    let stored = lines(&folder.join(RECORDS), "{\"received\":")?;
    let is_right = is_right(&warm, &outcome, stored);
    Ok((figures, is_right))
}

/// `None` if there is none.
fn measure_radiusd(
    folder: &Path,
    threads: usize,
    own_core: usize,
    requests: &Requests,
    window: usize,
    span: Duration,
) -> io::Result<Option<(Figures, bool)>> {
    let Some(radiusd) = Radiusd::start(folder, accounting, threads, 0, own_core)? else { return Ok(None) };
    let mut load = load(requests, radiusd.address(), window)?;
    let warm = load.closed(window, WARM_UP)?;
    let before = cpu_time(radiusd.process())?;
    let mut outcome = load.closed_timed(window, span)?;
    let figures = figures(&mut outcome, cpu_time(radiusd.process())?.saturating_sub(before));
    let stored = lines(&folder.join(DETAIL), "\tAcct-Session-Id = ")?;
    Ok(Some((figures, is_right(&warm, &outcome, stored))))
}

fn load(requests: &Requests, server: std::net::SocketAddr, window: usize) -> io::Result<Load<'_>> {
    let mut load = Load::new(requests, server, window.min(PORTS_MAX))?;
    load.lost_after(LOST_AFTER);
    Ok(load)
}

fn figures(outcome: &mut Outcome, cpu: Duration) -> Figures {
    Figures {
        rate: outcome.rate(),
        p50: outcome.latency(0.5),
        p99: outcome.latency(0.99),
        group: f64::NAN,
        cpu: cpu.as_secs_f64() * 1e6 / outcome.answered as f64,
        calls: f64::NAN,
        lost: outcome.lost as f64,
    }
}

/// Whether requests were answered, all of them rightly, and no more of them than there are records.
fn is_right(warm: &Outcome, outcome: &Outcome, stored: u64) -> bool {
    let answered = warm.answered + outcome.answered;
    let is_right = outcome.answered > 0 && warm.wrong + outcome.wrong == 0 && stored >= answered;
    if !is_right {
        eprintln!("  {stored} records of {answered} answered; {} wrong", warm.wrong + outcome.wrong);
    }
    is_right
}

/// How many lines of a file begin so.
fn lines(path: &Path, begin: &str) -> io::Result<u64> {
    let mut count = 0;
    for line in BufReader::new(File::open(path)?).lines() {
        count += u64::from(line?.starts_with(begin));
    }
    Ok(count)
}
