//! What waking costs, for each way in which a server's threads may wait: bells and system calls counted from outside,
//! latency and CPU time, at parts of a rate that is found out beforehand.
//!
//! `cargo bench -p ulna-benches --bench signals [-- --quick | --rounds N | --seconds S | --place one|two | --plots FOLDER]`
//!
//! One network thread and one worker, in two places. *One core*: both on core 0, the generator spins on core 1; nobody
//! lingers there, as threads outnumber the server's processors. *Two cores*: the network thread on core 0, the worker on
//! core 1, and the generator on whichever it finds; it sleeps 20 µs at a time when nothing is due, so that there is room
//! for all three, and latencies have that on top. A joined thread stands beside for reference.
//!
//! The rate is the most that the server answers in an open run with `announce`; all ways are asked for the same. On two
//! cores it is where the generator, which needs its share of them, comes to its end, not where the server does. So *full*
//! load is another run: so many requests are outstanding all the time that there is always something to read, and the
//! server answers all that it can in what it gets of the cores. Requests that are due leave port by port in one call each,
//! and equal lengths as segments, else the generator would need more of the cores than the server. System
//! calls are counted by `perf stat` on the server's threads in a run of its own, since being counted slows them; there the
//! server's own counters are held against them, but for those by which heaps grow. CPU time is the kernel's of all threads of the server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use ulna_benches::ending::{Failure, end};
use ulna_benches::load::{Load, Outcome};
use ulna_benches::machine::{cores, pin_thread, pin_to};
use ulna_benches::measured::{Measured, Reading, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::plot::{Line, Plot};
use ulna_benches::workload::{Requests, Setup, Waiting};
use ulna_core::configuration::Signal;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// So many percent of the rate, in an open run.
    Part(u32),
    /// All that it can: [`WINDOW`] requests are outstanding all the time.
    Full,
}
use Asked::{Full, Part};

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part(percent) => percent.fmt(f),
            Full => f.write_str("full"),
        }
    }
}

const LOADS: [Asked; 6] = [Part(1), Part(10), Part(50), Part(80), Part(100), Full];
/// Requests outstanding at full load: several batches, so that the server's sockets are hardly ever empty.
const WINDOW: usize = 512;
/// Ways to wait.
const WAYS: [(&str, Waiting); 4] = [
    ("announce, no linger", Waiting { signal: Signal::Announce, linger_us: 0 }),
    ("announce, linger", Waiting { signal: Signal::Announce, linger_us: 50 }),
    ("timer", Waiting { signal: Signal::Timer, linger_us: 0 }),
    ("always", Waiting { signal: Signal::Always, linger_us: 0 }),
];
const SPLIT: Setup = Setup { network_threads: 1, workers: 1, log: false };
const JOINED: Setup = Setup { network_threads: 0, workers: 1, log: false };
const PORTS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(300);
/// What a server still has to do after its last reply is over by then: the lazy sweep.
const REST: Duration = Duration::from_millis(1300);
const NAP: Duration = Duration::from_micros(20);
/// What has to be answered of a rate that a server can.
const ANSWERED_MIN: f64 = 0.995;
/// Bells a request that are promised: at full load and at 80 % without lingering, and at 80 % with it.
const BELLS_MAX: [(Asked, &str, f64); 3] =
    [(Full, WAYS[0].0, 0.01), (Part(80), WAYS[0].0, 0.2), (Part(80), WAYS[1].0, 0.02)];
/// CPU time a request beside that of `always` that is promised.
const CPU_MAX: f64 = 1.1;
/// By how much the server's own counters may differ from what is counted from outside.
const AGREEMENT: f64 = 0.01;

/// Where server and generator run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    OneCore,
    TwoCores,
}

impl Place {
    fn start(self, role: Role) -> io::Result<Measured> {
        match self {
            Place::OneCore => Measured::start(role, 0),
            Place::TwoCores => {
                let measured = Measured::start_anywhere(role)?;
                if matches!(role, Role::Waiting(SPLIT, _)) {
                    pin_thread(measured.process(), "network-0", 0)?;
                    pin_thread(measured.process(), "worker-0", cores() - 1)?;
                }
                Ok(measured)
            }
        }
    }

    fn load<'r>(self, requests: &'r Requests, measured: &Measured) -> io::Result<Load<'r>> {
        let load = Load::new(requests, measured.address(), PORTS)?.by_port();
        match self {
            Place::OneCore => Ok(load),
            Place::TwoCores => load.napping(NAP),
        }
    }
}

/// One run.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    answered: f64,
    lost: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    /// Per request, by the server's own counters.
    bells: f64,
    calls: f64,
    lingered_us: f64,
}

/// System calls a request, counted from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    bells: f64,
    /// Of these, the worker's.
    bells_of_worker: f64,
    calls: f64,
    /// Of these, those by which heaps grew, which the server does not count.
    growth: f64,
    /// The server's own counts of both.
    own_bells: f64,
    own_calls: f64,
}

/// A way at a load.
struct Row {
    way: &'static str,
    load: Asked,
    run: Run,
    counted: Option<Counted>,
}

fn main() -> ExitCode {
    if let Some(code) = act() {
        return code;
    }
    let mut plots = None;
    let mut places = vec![Place::TwoCores, Place::OneCore];
    let options =
        Options::read(3, Duration::from_secs(2), Duration::from_millis(200), |name, rest| match name {
            "--plots" => {
                plots = rest.next().map(PathBuf::from);
                plots.is_some()
            }
            "--place" => {
                places = match rest.next().as_deref() {
                    Some("one") => vec![Place::OneCore],
                    Some("two") => vec![Place::TwoCores],
                    _ => return false,
                };
                true
            }
            _ => false,
        });
    end("signals", options.map_err(Failure::Usage).and_then(|options| run(options, &places, plots)))
}

/// Whether the server's own counters agree with what is counted outside, and no wake-up was lost. Goals of speed are a
/// matter of the machine: misses are printed, and no failure.
fn run(options: Options, places: &[Place], plots: Option<PathBuf>) -> Result<bool, Failure> {
    let requests = Requests::prepare();
    let mut holds = true;
    let mut of_plots = Vec::new();
    for &place in places {
        if place == Place::OneCore {
            pin_to(cores() - 1)?;
        }
        let most = most(&requests, place, options)?;
        println!("\n## {place:?}: {most:.0} requests/s are 100 %\n");
        let mut rows = Vec::new();
        // A quick run only shows that everything works.
        let loads: &[Asked] = if options.quick { &[Part(50), Full] } else { &LOADS };
        for &load in loads {
            let mut runs: [Vec<Run>; WAYS.len() + 1] = Default::default();
            // In turn, so that what else the machine does meets all of them.
            for _ in 0..options.rounds {
                for (way, runs) in ways().into_iter().zip(&mut runs) {
                    let (run, is_well) = measure(&requests, place, way.1, (load, most), options.span)?;
                    holds &= is_well;
                    runs.push(run);
                }
            }
            for (way, runs) in ways().into_iter().zip(runs) {
                let counted = count(&requests, place, way.1, (load, most), options.span)?;
                holds &= counted.is_none_or(|counted| agrees(way.0, load, &counted));
                let row = Row { way: way.0, load, run: middle(&runs), counted };
                eprintln!("{} at {load}: {:?} {:?}", row.way, row.run, row.counted);
                rows.push(row);
            }
        }
        print(&rows);
        judge(&rows, place);
        of_plots.push((place, most, rows));
    }
    if let Some(folder) = plots {
        let (_, most, rows) = &of_plots[0];
        draw(&folder, *most, rows)?;
    }
    Ok(holds)
}

/// All ways with their roles, and a joined thread for reference.
fn ways() -> [(&'static str, Role); WAYS.len() + 1] {
    let [one, two, three, four] = WAYS.map(|(name, waiting)| (name, Role::Waiting(SPLIT, waiting)));
    [one, two, three, four, ("joined", Role::Waiting(JOINED, WAYS[0].1))]
}

/// The most that is answered of what is asked for in an open run.
fn most(requests: &Requests, place: Place, options: Options) -> io::Result<f64> {
    let role = Role::Waiting(SPLIT, WAYS[0].1);
    let mut rate = {
        let measured = place.start(role)?;
        let mut load = place.load(requests, &measured)?;
        load.closed(WINDOW, WARM_UP)?;
        load.closed(WINDOW, options.span)?.rate()
    };
    loop {
        let measured = place.start(role)?;
        let mut load = place.load(requests, &measured)?;
        load.open(rate, WARM_UP.min(options.span))?;
        let outcome = load.open(rate, options.span)?;
        let asked = (outcome.sent + outcome.unsent) as f64;
        if outcome.answered as f64 >= ANSWERED_MIN * asked && outcome.rate() >= ANSWERED_MIN * rate {
            return Ok(rate);
        }
        rate *= 0.96;
    }
}

/// So much of the rate for so long.
fn ask(load: &mut Load<'_>, asked: Asked, most: f64, span: Duration) -> io::Result<Outcome> {
    match asked {
        Part(percent) => load.open(most * f64::from(percent) / 100.0, span),
        Full => load.closed_timed(WINDOW, span),
    }
}

fn measure(
    requests: &Requests,
    place: Place,
    role: Role,
    (asked, most): (Asked, f64),
    span: Duration,
) -> io::Result<(Run, bool)> {
    let mut measured = place.start(role)?;
    let mut load = place.load(requests, &measured)?;
    ask(&mut load, asked, most, WARM_UP.min(span))?;
    let before = measured.read()?;
    let mut outcome = ask(&mut load, asked, most, span)?;
    let after = measured.read()?;
    let answered = outcome.answered as f64;
    let run = Run {
        answered: outcome.rate(),
        lost: outcome.lost as f64 / (outcome.sent + outcome.unsent) as f64,
        p50: outcome.latency(0.5),
        p99: outcome.latency(0.99),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / answered,
        bells: after.since(&before, "ring_calls") as f64 / answered,
        calls: calls(&before, &after) as f64 / answered,
        lingered_us: after.since(&before, "linger_us") as f64 / answered,
    };
    let lost_wakeups = after.counter("lost_wakeups");
    if lost_wakeups > 0 || outcome.wrong > 0 {
        println!("{lost_wakeups} lost wake-ups, {} wrong replies with {role:?}", outcome.wrong);
    }
    Ok((run, lost_wakeups == 0 && outcome.wrong == 0 && outcome.answered > 0))
}

/// All system calls that the server counts.
fn calls(before: &Reading, after: &Reading) -> u64 {
    let names = ["receive_calls", "send_calls", "wait_calls", "ring_calls", "yield_calls"];
    names.map(|name| after.since(before, name)).iter().sum()
}

/// A run under perf, from rest to rest, so that both count the same; `None` where perf may or can not.
fn count(
    requests: &Requests,
    place: Place,
    role: Role,
    (asked, most): (Asked, f64),
    span: Duration,
) -> io::Result<Option<Counted>> {
    let mut measured = place.start(role)?;
    let mut load = place.load(requests, &measured)?;
    // Most buffers are allocated now, and not while it is counted.
    ask(&mut load, asked, most, WARM_UP.min(span))?;
    std::thread::sleep(REST);
    let Some(perf) = Perf::start(measured.process())? else { return Ok(None) };
    let before = measured.read()?;
    let outcome = ask(&mut load, asked, most, span)?;
    std::thread::sleep(REST);
    let outside = perf.end()?;
    let after = measured.read()?;
    let each = |count: u64| count as f64 / outcome.answered as f64;
    Ok(outside.map(|outside| Counted {
        bells: each(outside.writes),
        bells_of_worker: each(outside.writes_of_workers),
        calls: each(outside.calls),
        growth: each(outside.growth),
        own_bells: each(after.since(&before, "ring_calls")),
        own_calls: each(calls(&before, &after)),
    }))
}

/// `perf stat` on the threads that a server has.
struct Perf {
    child: Child,
}

/// What it counted, in the serving threads. They write to nothing but bells: there is no log.
#[derive(Default)]
struct Outside {
    calls: u64,
    /// Of these, those by which a thread's heap grows, when more buffers are in use than ever before.
    growth: u64,
    writes: u64,
    writes_of_workers: u64,
}

impl Perf {
    /// Begins to count; `None` where there is no perf.
    fn start(process: u32) -> io::Result<Option<Perf>> {
        let spawned = Command::new("perf")
            .args([
                "stat",
                "-x,",
                "--per-thread",
                "-e",
                "raw_syscalls:sys_enter,syscalls:sys_enter_write,syscalls:sys_enter_mprotect",
                "-p",
            ])
            .arg(process.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(child) = spawned else { return Ok(None) };
        // It says nothing when it has begun; the server rests meanwhile.
        std::thread::sleep(Duration::from_millis(500));
        Ok(Some(Perf { child }))
    }

    /// What it has counted; `None` where the kernel does not let it.
    fn end(self) -> io::Result<Option<Outside>> {
        if let Some(process) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(process, rustix::process::Signal::INT)?;
        }
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let mut outside = Outside::default();
        let mut threads = 0;
        // worker-0-4711,3,,raw_syscalls:sys_enter,55119,100.00,,
        for line in text.lines() {
            let mut fields = line.split(',');
            let (Some(thread), Some(count), _, Some(event)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let is_worker = thread.starts_with("worker-");
            if !is_worker && !thread.starts_with("network-") && !thread.starts_with("joined-") {
                continue;
            }
            let Ok(count) = count.parse::<u64>() else { continue };
            threads += 1;
            if event.starts_with("raw_syscalls") {
                outside.calls += count;
            } else if event.ends_with("mprotect") {
                outside.growth += count;
            } else {
                outside.writes += count;
                outside.writes_of_workers += if is_worker { count } else { 0 };
            }
        }
        Ok((threads > 0).then_some(outside))
    }
}

/// Whether both counts are the same, nearly.
fn agrees(way: &str, load: Asked, counted: &Counted) -> bool {
    let Counted { bells, calls, growth, own_bells, own_calls, .. } = *counted;
    // A bell or two more or less are no part of few.
    let near = |own: f64, outside: f64| (own - outside).abs() <= AGREEMENT * outside + 1e-5;
    let agrees = near(own_bells, bells) && near(own_calls, calls - growth);
    if !agrees {
        println!(
            "own counters differ, {way} at {load}: {own_bells:.5} bells of {bells:.5}, {own_calls:.5} calls of {calls:.5}"
        );
    }
    agrees
}

fn middle(runs: &[Run]) -> Run {
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    Run {
        answered: of(|run| run.answered),
        lost: of(|run| run.lost),
        p50: of(|run| run.p50),
        p99: of(|run| run.p99),
        cpu: of(|run| run.cpu),
        bells: of(|run| run.bells),
        calls: of(|run| run.calls),
        lingered_us: of(|run| run.lingered_us),
    }
}

fn print(rows: &[Row]) {
    println!(
        "| load % | | answered/s | lost % | bells/request, outside | of these the worker's | own count | system calls/request, outside \
         | own count | bells/request, not counted outside | p50 µs | p99 µs | CPU µs/request | of always | lingered µs/request |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for row in rows {
        let Row { way, load, run, counted } = row;
        let outside = |figure: fn(&Counted) -> f64, digits: usize| {
            counted.as_ref().map_or("?".into(), |counted| format!("{:.digits$}", figure(counted)))
        };
        println!(
            "| {load} | {way} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {:.4} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
            run.answered,
            100.0 * run.lost,
            outside(|c| c.bells, 4),
            outside(|c| c.bells_of_worker, 4),
            outside(|c| c.own_bells, 4),
            outside(|c| c.calls, 3),
            outside(|c| c.own_calls, 3),
            run.bells,
            run.p50,
            run.p99,
            run.cpu,
            run.cpu / always(rows, *load).cpu,
            run.lingered_us,
        );
    }
}

/// What `always` came to at this load.
fn always(rows: &[Row], load: Asked) -> Run {
    let (name, _) = WAYS[WAYS.len() - 1];
    rows.iter().find(|row| row.way == name && row.load == load).expect("each way has run").run
}

/// Says which goals were missed.
fn judge(rows: &[Row], place: Place) {
    println!();
    for row in rows.iter().filter(|row| row.way.starts_with("announce")) {
        let ratio = row.run.cpu / always(rows, row.load).cpu;
        if ratio > CPU_MAX {
            println!("missed: {} at {} costs {ratio:.2} of always; {CPU_MAX} is the goal", row.way, row.load);
        }
        let promised = BELLS_MAX.iter().find(|(load, way, _)| (*load, *way) == (row.load, row.way));
        let Some((_, way, most)) = promised else { continue };
        if place == Place::OneCore && *way != WAYS[0].0 {
            // Nobody lingers there.
            continue;
        }
        // Being counted changes when threads sleep: the worse of both.
        let bells = row.counted.map_or(row.run.bells, |counted| counted.bells.max(row.run.bells));
        let verdict = if bells > *most { "missed" } else { "met" };
        println!("{verdict}: {} at {}: {bells:.4} bells a request; {most} is the goal", row.way, row.load);
    }
}

fn draw(folder: &std::path::Path, most: f64, rows: &[Row]) -> io::Result<()> {
    let title = |what: &str| {
        format!("{what}: one network thread, one worker, two cores; 100 % is {most:.0} requests/s")
    };
    let lines = |value: &dyn Fn(&Row) -> f64| -> Vec<Line> {
        let of = |way: &str| {
            let rows = rows.iter().filter(move |row| row.way == way);
            let parts = rows.filter_map(|row| match row.load {
                Part(percent) => Some((f64::from(percent), value(row))),
                Full => None,
            });
            parts.collect()
        };
        WAYS.iter().map(|(name, _)| (name.to_string(), of(name))).collect()
    };
    let bells = |row: &Row| row.counted.map_or(row.run.bells, |counted| counted.bells);
    let plots: [(&str, &str, &str, f64, Vec<Line>); 3] = [
        ("signals-per-request.svg", "Signals", "bells rung per request", 1e-3, lines(&bells)),
        ("latency-against-load.svg", "Latency", "p50, µs", 10.0, lines(&|row| row.run.p50)),
        ("cpu-against-load.svg", "CPU time", "CPU µs per request", 1.0, lines(&|row| row.run.cpu)),
    ];
    for (file, what, y, least, lines) in plots {
        let title = title(what);
        let plot = Plot { title: &title, x: "load, % of the most", y, least };
        plot.draw(&folder.join(file), &lines).map_err(io::Error::other)?;
    }
    Ok(())
}
