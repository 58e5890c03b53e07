//! Clients that nobody listed: how long the first packet takes that makes one, what it costs, and how long it takes until
//! thousands are served that come at once. Beside FreeRADIUS's dynamic clients.
//!
//! `cargo bench -p ulna-benches --bench new_clients [-- --quick | --rounds N]`
//!
//! 5 000 NASes, each with a secret of its own in a table of 6 000. FreeRADIUS can tell them by source address only: each has an
//! address of 127.0.0.0/8 for it, and so they have for one of our ways; for the others they are behind one address, each with a
//! port of its own. All is accepted, passwords are not looked at. The server is alone on core 0, who asks spins on the last core.
//! Ways are measured in turn, several rounds of all of them, each time in a new process; the tables show medians.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ulna_benches::ending::{Failure, Folder, end};
use ulna_benches::machine::{cores, cpu_time, pin_to};
use ulna_benches::measured::{Measured, Role, act};
use ulna_benches::median;
use ulna_benches::newcomers::{Newcomers, Place, Which};
use ulna_benches::options::Options;
use ulna_benches::radiusd::{Radiusd, SECRETS, dynamic_clients, secrets};
use ulna_benches::workload::{Admitting, KEYS, Setup, keys};

/// NASes, and lines of the table.
const NEWCOMERS: usize = 5_000;
const TABLE: usize = 6_000;
const QUICK: usize = 200;
/// In the default ring, and in one that has room for all of them.
const RINGS: [usize; 2] = [1_024, 16_384];
const LOST_AFTER: Duration = Duration::from_secs(2);
/// For those who come at once, with retransmissions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is measured.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ulna(Admitting),
    /// With so many threads beside the one that reads; 0: that one alone.
    Radiusd(usize),
}

const fn ulna(place: Place, ring_slots: usize) -> Way {
    Way::Ulna(Admitting { place, is_unlimited: true, ring_slots })
}

const WAYS: [(&str, Way); 6] = [
    ("ulna, by address", ulna(Place::Addresses, RINGS[0])),
    ("ulna, behind a NAT", ulna(Place::Nat, RINGS[0])),
    ("ulna, behind a NAT, `ring_slots = 16384`", ulna(Place::Nat, RINGS[1])),
    (
        "ulna, behind a NAT, limits by default",
        Way::Ulna(Admitting { place: Place::Nat, is_unlimited: false, ring_slots: RINGS[0] }),
    ),
    ("FreeRADIUS, by address, one thread", Way::Radiusd(0)),
    ("FreeRADIUS, by address, five threads", Way::Radiusd(5)),
];

impl Way {
    fn place(self) -> Place {
        match self {
            Way::Ulna(admitting) => admitting.place,
            Way::Radiusd(_) => Place::Addresses,
        }
    }

    /// Whether it takes one after the other in as fast as they ask.
    fn is_unlimited(self) -> bool {
        match self {
            Way::Ulna(admitting) => admitting.is_unlimited,
            Way::Radiusd(_) => true,
        }
    }
}

/// A server that is alone on its core.
enum Server {
    Ulna(Measured),
    Radiusd(Radiusd),
}

impl Server {
    /// `None` if it is not installed.
    fn start(folder: &Path, way: Way) -> io::Result<Option<Server>> {
        match way {
            Way::Ulna(admitting) => {
                let setup = Setup { network_threads: 0, workers: 1, log: false };
                Measured::start_in(folder, Role::Admitting(setup, admitting), 0).map(Server::Ulna).map(Some)
            }
            Way::Radiusd(threads) => {
                let radiusd = Radiusd::start(folder, dynamic_clients, threads, 0, cores() - 1)?;
                Ok(radiusd.map(Server::Radiusd))
            }
        }
    }

    fn newcomers(&self, count: usize, way: Way) -> io::Result<Newcomers> {
        let address = match self {
            Server::Ulna(measured) => measured.address(),
            Server::Radiusd(radiusd) => radiusd.address(),
        };
        Newcomers::new(count, way.place(), address)
    }

    fn cpu(&self) -> io::Result<Duration> {
        cpu_time(match self {
            Server::Ulna(measured) => measured.process(),
            Server::Radiusd(radiusd) => radiusd.process(),
        })
    }

    /// What was discarded, to be told beside the figures.
    fn losses(&mut self) -> io::Result<String> {
        match self {
            Server::Ulna(measured) => {
                let reading = measured.read()?;
                Ok(reading.losses().map(|(name, value)| format!(" {name} {value}")).collect())
            }
            Server::Radiusd(_) => Ok(String::new()),
        }
    }
}

/// One after the other: of first packets, and of those of clients that are known.
#[derive(Debug, Clone, Copy)]
struct Figures {
    p50: f64,
    p99: f64,
    cpu: f64,
    lost: f64,
}

/// At once.
#[derive(Debug, Clone, Copy)]
struct Burst {
    at_first: f64,
    first_ms: f64,
    answered: f64,
    all_ms: f64,
    cpu: f64,
}

impl Burst {
    /// Of what was not measured.
    const NONE: Burst = {
        let none = f64::NAN;
        Burst { at_first: none, first_ms: none, answered: none, all_ms: none, cpu: none }
    };
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("new_clients", run()))
}

/// False if somebody got no answer whom no limit kept from it.
fn run() -> Result<bool, Failure> {
    let options = Options::read(3, Duration::from_secs(1), Duration::from_millis(1), |_, _| false)?;
    let folder = Folder::make(Path::new(env!("CARGO_TARGET_TMPDIR")), "new-clients")?;
    let folder = folder.path();
    fs::write(folder.join(KEYS), keys(TABLE))?;
    fs::write(folder.join(SECRETS), secrets(TABLE))?;
    pin_to(cores() - 1)?;
    let count = if options.quick { QUICK } else { NEWCOMERS };
    let mut is_well = true;
    let mut ones: [Vec<[Figures; 2]>; WAYS.len()] = Default::default();
    let mut bursts: [Vec<[Burst; 2]>; WAYS.len()] = Default::default();
    for round in 0..options.rounds {
        for (place, (name, way)) in WAYS.into_iter().enumerate() {
            if way.is_unlimited() {
                let Some(server) = Server::start(folder, way)? else { continue };
                let newcomers = server.newcomers(count, way)?;
                let figures =
                    [Which::First, Which::Known].map(|which| one_by_one(&server, &newcomers, which));
                let [first, known] = figures;
                let figures = [first?, known?];
                eprintln!("round {round}: {name}: {figures:.1?}");
                is_well &= figures.iter().all(|figures| figures.lost == 0.0);
                ones[place].push(figures);
            }
            let Some(mut server) = Server::start(folder, way)? else { continue };
            let mut newcomers = server.newcomers(count, way)?;
            let first = at_once(&server, &mut newcomers, Which::First)?;
            let losses = server.losses()?;
            // Where limits hold few are known then.
            let known = match way.is_unlimited() {
                true => at_once(&server, &mut newcomers, Which::Known)?,
                false => Burst::NONE,
            };
            eprintln!("round {round}: {name}, at once: {first:.1?};{losses}; known: {known:.1?}");
            is_well &= !way.is_unlimited() || first.answered == count as f64;
            bursts[place].push([first, known]);
        }
    }
    print(count, &ones, &bursts);
    Ok(is_well)
}

fn one_by_one(server: &Server, newcomers: &Newcomers, which: Which) -> io::Result<Figures> {
    let before = server.cpu()?;
    let mut outcome = newcomers.one_by_one(which, LOST_AFTER)?;
    let cpu = server.cpu()?.saturating_sub(before);
    outcome.latencies.sort_by(f64::total_cmp);
    let answered = outcome.latencies.len();
    let at =
        |part: f64| outcome.latencies.get((answered as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    let cpu = cpu.as_secs_f64() * 1e6 / answered as f64;
    Ok(Figures { p50: at(0.5), p99: at(0.99), cpu, lost: outcome.lost as f64 })
}

fn at_once(server: &Server, newcomers: &mut Newcomers, which: Which) -> io::Result<Burst> {
    let before = server.cpu()?;
    let outcome = newcomers.at_once(which, PATIENCE)?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Burst {
        at_first: outcome.at_first as f64,
        first_ms: outcome.first_span.as_secs_f64() * 1e3,
        answered: outcome.answered as f64,
        all_ms: outcome.span.as_secs_f64() * 1e3,
        cpu: cpu.as_secs_f64() * 1e6 / outcome.answered as f64,
    })
}

fn print(count: usize, ones: &[Vec<[Figures; 2]>; WAYS.len()], bursts: &[Vec<[Burst; 2]>; WAYS.len()]) {
    println!(
        "{count} one after the other:\n\n\
         | | first packet p50 µs | p99 µs | CPU µs | known p50 µs | p99 µs | CPU µs | CPU of becoming a client, µs |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for ((name, _), runs) in WAYS.iter().zip(ones).filter(|(_, runs)| !runs.is_empty()) {
        let of = |which: Which, figure: fn(&Figures) -> f64| {
            median(runs.iter().map(|figures| figure(&figures[which as usize])))
        };
        let each = |which| {
            format!("{:.0} | {:.0} | {:.1}", of(which, |f| f.p50), of(which, |f| f.p99), of(which, |f| f.cpu))
        };
        let more = median(runs.iter().map(|[first, known]| first.cpu - known.cpu));
        println!("| {name} | {} | {} | {more:.1} |", each(Which::First), each(Which::Known));
    }
    println!(
        "\n{count} at once:\n\n\
         | | answered at first | last of them, ms | answered in all | last of them, ms | CPU µs | known, answered at first | last of them, ms | CPU µs |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for ((name, _), runs) in WAYS.iter().zip(bursts) {
        if runs.is_empty() {
            println!("| {name}: not installed | | | | | | | | |");
            continue;
        }
        let of = |which: Which, figure: fn(&Burst) -> f64| {
            median(runs.iter().map(|figures| figure(&figures[which as usize])))
        };
        let known = match of(Which::Known, |f| f.at_first) {
            none if none.is_nan() => " | | ".into(),
            at_first => {
                let (last, cpu) = (of(Which::Known, |f| f.first_ms), of(Which::Known, |f| f.cpu));
                format!("{at_first:.0} | {last:.0} | {cpu:.1}")
            }
        };
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {known} |",
            of(Which::First, |f| f.at_first),
            of(Which::First, |f| f.first_ms),
            of(Which::First, |f| f.answered),
            of(Which::First, |f| f.all_ms),
            of(Which::First, |f| f.cpu)
        );
    }
}
