//! The same requests from another process over a ring that both have mapped, and over loopback: what a server does at most,
//! what a request costs it, how long one waits at low rates.
//!
//! `cargo bench -p ulna-benches --bench another_process [-- --quick | --rounds N | --seconds S]`
//!
//! The server, one joined thread, is alone in a process on core 0; who asks is this process, on the last core. Over loopback
//! and over the ring it spins, over the ring once more it sleeps when there is nothing to read. Ways are measured in turn, each time
//! in a new process; the tables show medians.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ulna_benches::ending::{Failure, Folder, end};
use ulna_benches::feeder::Feeder;
use ulna_benches::load::{Load, Outcome};
use ulna_benches::machine::{cores, pin_to};
use ulna_benches::measured::{Measured, RING, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::workload::{Requests, Setup};

/// Requests outstanding in a closed run, over so many source ports.
const WINDOW: usize = 128;
const PORTS: usize = 8;
/// Requests a second of the open runs.
const RATES: [f64; 2] = [1000.0, 20_000.0];
const WARM_UP: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Loopback,
    Ring { asker_sleeps: bool },
}

const WAYS: [(&str, Way); 3] = [
    ("loopback", Way::Loopback),
    ("ring", Way::Ring { asker_sleeps: false }),
    ("ring, asker sleeps", Way::Ring { asker_sleeps: true }),
];

/// One run.
#[derive(Debug, Clone, Copy)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Of the server, for each request.
    cpu: f64,
    calls: f64,
    /// Bells rung by either side, for each request.
    signals: f64,
    /// System calls of who asks, for each request.
    asker_calls: f64,
    lost: f64,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("another_process", run()))
}

/// False if a reply was wrong or nothing was answered.
fn run() -> Result<bool, Failure> {
    let options = Options::read(5, Duration::from_secs(1), Duration::from_millis(200), |_, _| false)?;
    pin_to(cores() - 1)?;
    let requests = Requests::prepare();
    let folder = Folder::make(&std::env::temp_dir(), "another-process")?;
    let mut is_well = true;
    for rate in [None, Some(RATES[0]), Some(RATES[1])] {
        let mut figures = WAYS.map(|_| Vec::new());
        for round in 0..options.rounds {
            for ((name, way), figures) in WAYS.iter().zip(&mut figures) {
                let run = measure(&requests, *way, rate, options.span, folder.path())?;
                is_well &= run.1;
                eprintln!("round {round}: {name}: {:.3?}", run.0);
                figures.push(run.0);
            }
        }
        print(rate, &figures);
    }
    Ok(is_well)
}

/// Either way to ask.
enum Asker<'r> {
    Loopback(Box<Load<'r>>),
    Ring(Box<Feeder<'r>>),
}

impl Asker<'_> {
    fn ask(&mut self, rate: Option<f64>, span: Duration) -> io::Result<Outcome> {
        match (self, rate) {
            (Asker::Loopback(load), None) => load.closed(WINDOW, span),
            (Asker::Loopback(load), Some(rate)) => load.open(rate, span),
            (Asker::Ring(feeder), None) => feeder.closed(WINDOW, span),
            (Asker::Ring(feeder), Some(rate)) => feeder.at_rate(rate, span),
        }
    }

    /// Bells rung so far, and all system calls; spinning over a ring makes none but the former.
    fn calls(&self) -> (u64, u64) {
        match self {
            Asker::Loopback(load) => (0, load.calls().total()),
            Asker::Ring(feeder) => {
                let counters = feeder.counters();
                (counters.rings, counters.rings + counters.takes + counters.parks)
            }
        }
    }
}

fn measure(
    requests: &Requests,
    way: Way,
    rate: Option<f64>,
    span: Duration,
    folder: &Path,
) -> io::Result<(Figures, bool)> {
    let role = match way {
        Way::Loopback => Role::Server(Setup { network_threads: 0, workers: 1, log: false }),
        Way::Ring { .. } => Role::Sharing,
    };
    let mut measured = Measured::start_in(folder, role, 0)?;
    let mut asker = match way {
        Way::Loopback => Asker::Loopback(Box::new(Load::new(requests, measured.address(), PORTS)?)),
        Way::Ring { asker_sleeps } => {
            Asker::Ring(Box::new(Feeder::open(requests, &folder.join(RING), PORTS, asker_sleeps)?))
        }
    };
    asker.ask(rate, WARM_UP)?;
    let (before, asked_before) = (measured.read()?, asker.calls());
    let mut outcome = asker.ask(rate, span)?;
    let (after, asked_after) = (measured.read()?, asker.calls());
    let since = |names: &[&str]| names.iter().map(|name| after.since(&before, name)).sum::<u64>() as f64;
    let answered = outcome.answered as f64;
    let figures = Figures {
        rate: outcome.rate(),
        p50: outcome.latency(0.5),
        p99: outcome.latency(0.99),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / answered,
        calls: since(&["receive_calls", "send_calls", "wait_calls", "ring_calls", "take_calls"]) / answered,
        signals: (since(&["ring_calls"]) + (asked_after.0 - asked_before.0) as f64) / answered,
        asker_calls: (asked_after.1 - asked_before.1) as f64 / answered,
        lost: outcome.lost as f64,
    };
    Ok((figures, outcome.wrong == 0 && outcome.answered > 0))
}

fn print(rate: Option<f64>, figures: &[Vec<Figures>; 3]) {
    let of = |place: usize, figure: &dyn Fn(&Figures) -> f64| median(figures[place].iter().map(figure));
    match rate {
        None => println!(
            "\n{WINDOW} outstanding:\n\n\
             | | requests/s | of loopback | CPU µs/request | of loopback | system calls/request | of who asks | signals/request | lost |\n\
             |---|---|---|---|---|---|---|---|---|"
        ),
        Some(rate) => println!(
            "\n{rate:.0} a second:\n\n\
             | | p50 µs | of loopback | p99 µs | CPU µs/request | system calls/request | of who asks | signals/request | lost |\n\
             |---|---|---|---|---|---|---|---|---|"
        ),
    }
    for (place, (name, _)) in WAYS.iter().enumerate() {
        let part = |figure: &dyn Fn(&Figures) -> f64| of(place, figure) / of(0, figure);
        let first = match rate {
            None => format!(
                "{:.0} | {:.2} | {:.2} | {:.2}",
                of(place, &|f| f.rate),
                part(&|f| f.rate),
                of(place, &|f| f.cpu),
                part(&|f| f.cpu)
            ),
            Some(_) => format!(
                "{:.1} | {:.2} | {:.1} | {:.2}",
                of(place, &|f| f.p50),
                part(&|f| f.p50),
                of(place, &|f| f.p99),
                of(place, &|f| f.cpu)
            ),
        };
        println!(
            "| {name} | {first} | {:.3} | {:.3} | {:.4} | {:.0} |",
            of(place, &|f| f.calls),
            of(place, &|f| f.asker_calls),
            of(place, &|f| f.signals),
            of(place, &|f| f.lost)
        );
    }
}
