//! What it costs to forward a request and its reply back, and how long it takes, beside FreeRADIUS and radsecproxy as proxies.
//!
//! `cargo bench -p ulna-benches --bench forwarding [-- --quick | --rounds N | --seconds S]`
//!
//! Each proxy is alone on core 0; the home server behind it, the same for all, and who asks share the last core. 1 000 users with PAP.
//! Proxies are measured in turn, several rounds of all of them, each time in a new process; the tables show medians. Machines differ
//! and are noisy: compare the ratios, which are of medians of the same run. CPU time is that of the proxy's process.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, Folder, end};
use ulna_benches::load::{Load, Outcome};
use ulna_benches::machine::{busy_time, cores, cpu_time, memory, pin_to};
use ulna_benches::measured::{Measured, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::radiusd::{self, Radiusd};
use ulna_benches::radsecproxy::Radsecproxy;
use ulna_benches::workload::{Requests, Setup};

/// Requests outstanding in a closed run, over so many source ports.
const WINDOW: usize = 128;
const PORTS: usize = 8;
/// Requests a second of the open run.
const RATE: f64 = 1000.0;
const WARM_UP: Duration = Duration::from_millis(300);
/// Until a proxy answers for the first time.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Who asks sleeps for so long at a time: the home server has the same core.
const NAP: Duration = Duration::from_micros(100);
/// On a machine that others use, too, a request waits longer than usual.
const LOST_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Ulna { network_threads: usize },
    FreeRadius { threads: usize },
    Radsecproxy,
}

/// The first is what the others are compared with.
const WAYS: [(&str, Way); 5] = [
    ("ulna, joined, 1 thread", Way::Ulna { network_threads: 0 }),
    ("ulna, split, 1 + 1 threads", Way::Ulna { network_threads: 1 }),
    ("FreeRADIUS, 1 thread for all", Way::FreeRadius { threads: 0 }),
    ("FreeRADIUS, 1 + 2 threads", Way::FreeRadius { threads: 2 }),
    ("radsecproxy", Way::Radsecproxy),
];

/// One run.
#[derive(Debug, Clone, Copy)]
struct Figures {
    rate: f64,
    /// Of the proxy, for each request that was answered.
    cpu: f64,
    p50: f64,
    p99: f64,
    lost: f64,
    peak: f64,
    /// Cores that nobody here has used.
    others: f64,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("forwarding", run()))
}

/// False if a reply was wrong or nothing was answered.
fn run() -> Result<bool, Failure> {
    let options = Options::read(5, Duration::from_secs(2), Duration::from_millis(300), |_, _| false)?;
    let own_core = cores() - 1;
    pin_to(own_core)?;
    let requests = Requests::prepare();
    let folder = Folder::make(&std::env::temp_dir(), "forwarding")?;
    let home = Measured::start(Role::Server(Setup { network_threads: 0, workers: 1, log: false }), own_core)?;
    let mut is_well = true;
    for rate in [None, Some(RATE)] {
        let mut figures = WAYS.map(|_| Vec::new());
        for round in 0..options.rounds {
            for ((name, way), figures) in WAYS.iter().zip(&mut figures) {
                let Some(proxy) = Proxy::start(*way, folder.path(), home.address(), own_core)? else {
                    eprintln!("round {round}: {name} is not installed");
                    continue;
                };
                let (run, outcome) = measure(&requests, &proxy, &home, rate, options.span)?;
                is_well &= outcome.wrong == 0 && outcome.answered > 0;
                eprintln!("round {round}: {name}: {run:.2?}, {} wrong, {} late", outcome.wrong, outcome.late);
                figures.push(run);
            }
        }
        print(rate, &figures);
    }
    Ok(is_well)
}

/// A running proxy.
enum Proxy {
    Ulna(Measured),
    FreeRadius(Radiusd),
    Radsecproxy(Radsecproxy),
}

impl Proxy {
    fn start(way: Way, folder: &Path, home: SocketAddr, own_core: usize) -> io::Result<Option<Proxy>> {
        Ok(match way {
            Way::Ulna { network_threads } => {
                let setup = Setup { network_threads, workers: 1, log: false };
                Some(Proxy::Ulna(Measured::start(Role::Forwarding(setup, home), 0)?))
            }
            Way::FreeRadius { threads } => {
                let configured = |port, threads| radiusd::forwarding(home.port(), port, threads);
                Radiusd::start(folder, configured, threads, 0, own_core)?.map(Proxy::FreeRadius)
            }
            Way::Radsecproxy => Radsecproxy::start(folder, home, 0, own_core)?.map(Proxy::Radsecproxy),
        })
    }

    fn address(&self) -> SocketAddr {
        match self {
            Proxy::Ulna(measured) => measured.address(),
            Proxy::FreeRadius(radiusd) => radiusd.address(),
            Proxy::Radsecproxy(radsecproxy) => radsecproxy.address(),
        }
    }

    fn process(&self) -> u32 {
        match self {
            Proxy::Ulna(measured) => measured.process(),
            Proxy::FreeRadius(radiusd) => radiusd.process(),
            Proxy::Radsecproxy(radsecproxy) => radsecproxy.process(),
        }
    }
}

fn measure(
    requests: &Requests,
    proxy: &Proxy,
    home: &Measured,
    rate: Option<f64>,
    span: Duration,
) -> io::Result<(Figures, Outcome)> {
    let mut load = Load::new(requests, proxy.address(), PORTS)?.napping(NAP)?;
    let begin = Instant::now();
    loop {
        // What nobody has taken yet is refused, and that may be told at the next call.
        let ready = load.closed(PORTS, WARM_UP);
        if ready.is_ok_and(|outcome| outcome.answered > 0) {
            break;
        }
        if begin.elapsed() > READY_WITHIN {
            return Err(io::Error::other("a proxy does not answer"));
        }
    }
    load.lost_after(LOST_AFTER);
    let mut ask = |span| match rate {
        None => load.closed_timed(WINDOW, span),
        Some(rate) => load.open(rate, span),
    };
    ask(WARM_UP)?;
    let ours = || -> io::Result<Duration> {
        Ok(cpu_time(std::process::id())? + cpu_time(proxy.process())? + cpu_time(home.process())?)
    };
    let (cpu, all, busy, begin) = (cpu_time(proxy.process())?, ours()?, busy_time()?, Instant::now());
    let mut outcome = ask(span)?;
    let took = begin.elapsed().as_secs_f64();
    let cpu = cpu_time(proxy.process())? - cpu;
    let others = (busy_time()? - busy).saturating_sub(ours()? - all);
    let figures = Figures {
        rate: outcome.rate(),
        cpu: cpu.as_secs_f64() * 1e6 / outcome.answered as f64,
        p50: outcome.latency(0.5),
        p99: outcome.latency(0.99),
        lost: outcome.lost as f64,
        peak: memory(proxy.process())?.1 as f64 / MIB,
        others: others.as_secs_f64() / took,
    };
    Ok((figures, outcome))
}

fn print(rate: Option<f64>, figures: &[Vec<Figures>; WAYS.len()]) {
    match rate {
        None => println!("\n{WINDOW} outstanding:\n"),
        Some(rate) => println!("\n{rate:.0} a second:\n"),
    }
    println!(
        "| | requests/s | CPU µs/request | of ulna, joined | p50 µs | of ulna, joined | p99 µs | lost | memory MiB, peak | others' cores |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for ((name, _), runs) in WAYS.iter().zip(figures).filter(|(_, runs)| !runs.is_empty()) {
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure));
        let part = |figure: fn(&Figures) -> f64| of(figure) / median(figures[0].iter().map(figure));
        println!(
            "| {name} | {:.0} | {:.1} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {:.1} | {:.2} |",
            of(|f| f.rate),
            of(|f| f.cpu),
            part(|f| f.cpu),
            of(|f| f.p50),
            part(|f| f.p50),
            of(|f| f.p99),
            of(|f| f.lost),
            of(|f| f.peak),
            of(|f| f.others),
        );
    }
}

const MIB: f64 = 1024.0 * 1024.0;
