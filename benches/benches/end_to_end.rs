//! A whole server over loopback beside a bare responder: what it does at most, what a packet costs it, how long one waits.
//!
//! `cargo bench -p ulna-benches --bench end_to_end [-- --quick | --rounds N | --seconds S | --ports 8,64 | --only NAME | --patience S | --perf]`
//!
//! The measured process is alone on core 0, the load generator spins on core 1. Ways to serve are measured in turn,
//! several rounds of all of them, each time in a new process; the table shows medians. Machines differ and are
//! noisy: compare the ratios, which are of medians of the same run. A run during which others used more than 0.1 core is
//! left out, unless all runs of a line were so; such a line is marked. With `--patience` each run waits up to so many
//! seconds until others are quiet.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, end};
use ulna_benches::load::{Load, Outcome};
use ulna_benches::machine::{busy_time, cores, cpu_time, pin_to};
use ulna_benches::measured::{Measured, Reading, Role, act};
use ulna_benches::median;
use ulna_benches::workload::{Requests, Setup};

/// Requests outstanding over all ports in a closed run.
const WINDOW: usize = 128;
/// Not measured: caches, free lists and the generator's own first pages.
const WARM_UP: Duration = Duration::from_millis(300);
/// What others may use of the machine during a run.
const OTHERS_MAX: f64 = 0.1;
/// How long others have to be quiet before a run that waits for it.
const LOOK: Duration = Duration::from_millis(200);
/// At half load with this many ports.
const LATENCY_PORTS: usize = 8;

const fn server(network_threads: usize, workers: usize, log: bool) -> Role {
    Role::Server(Setup { network_threads, workers, log })
}

/// The first is what the others are compared with.
const WAYS: [(&str, Role); 6] = [
    ("bare responder", Role::Responder { together: false }),
    ("bare responder, segments", Role::Responder { together: true }),
    ("joined, 1 thread", server(0, 1, false)),
    ("joined, 2 threads", server(0, 2, false)),
    ("split, 1 + 1 threads", server(1, 1, false)),
    ("joined, 1 thread, log", server(0, 1, true)),
];

struct Options {
    rounds: usize,
    span: Duration,
    ports: Vec<usize>,
    only: Option<String>,
    /// How long a run waits until others are quiet.
    patience: Duration,
    perf: bool,
}

/// One run.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    rate: f64,
    cpu: f64,
    calls: f64,
    signals: f64,
    together: f64,
    lost: f64,
    resident: f64,
    peak: f64,
    others: f64,
}

/// One run at half load.
#[derive(Debug, Clone, Copy, Default)]
struct Half {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    calls: f64,
    signals: f64,
    lost: f64,
    others: f64,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| {
        end("end_to_end", Options::read().map_err(Failure::Usage).and_then(|options| run(&options)))
    })
}

impl Options {
    fn read() -> Result<Options, String> {
        let mut options = Options {
            rounds: 3,
            span: Duration::from_secs(2),
            ports: vec![8, 64, 1],
            only: None,
            patience: Duration::ZERO,
            perf: false,
        };
        // `cargo test --benches` runs this, too, without the argument that `cargo bench` gives.
        if !std::env::args().any(|argument| argument == "--bench") {
            options.quick();
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            let bad = |value: &str| format!("{argument}: {value} is no number that it takes");
            match argument.as_str() {
                // Cargo's own, to every bench.
                "--bench" => {}
                "--quick" => options.quick(),
                "--perf" => options.perf = true,
                "--rounds" => {
                    let value = value()?;
                    options.rounds = value.parse().ok().filter(|&rounds| rounds > 0).ok_or(bad(&value))?;
                }
                "--seconds" => {
                    let value = value()?;
                    let span =
                        value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    options.span = span.filter(|span| !span.is_zero()).ok_or(bad(&value))?;
                }
                "--ports" => {
                    let value = value()?;
                    let ports = value
                        .split(',')
                        .map(|ports| ports.parse().ok().filter(|ports| (1..=128).contains(ports)));
                    options.ports = ports.collect::<Option<_>>().ok_or(bad(&value))?;
                }
                "--patience" => {
                    let value = value()?;
                    let seconds = value.parse().ok();
                    let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    options.patience = patience.ok_or(bad(&value))?;
                }
                "--only" => options.only = Some(value()?),
                other => return Err(format!("{other} is no option of this benchmark")),
            }
        }
        Ok(options)
    }

    /// Shows that everything works, not how fast.
    fn quick(&mut self) {
        self.rounds = 1;
        self.span = Duration::from_millis(500);
        self.ports = vec![8];
    }

    fn has(&self, place: usize) -> bool {
        // What the others are compared with is always there.
        place == 0 || self.only.as_ref().is_none_or(|only| WAYS[place].0.contains(only.as_str()))
    }
}

/// False if a reply was wrong or nothing was answered.
fn run(options: &Options) -> Result<bool, Failure> {
    if cores() < 2 {
        println!("One core only: server and generator share it, so that rates and latencies say little.");
    }
    let generator_core = usize::from(cores() > 1);
    pin_to(generator_core)?;
    let requests = Requests::prepare();
    println!(
        "Over loopback: {WINDOW} PAP requests of 105 to 110 octets outstanding, with Message-Authenticator, 1000 users.\n\
         Server on core 0, generator on core {generator_core}; {} rounds of {:.1} s each, medians, in turn.\n\
         The bare responder verifies nothing, computes one MD5 and sends; its replies have 20 octets, ulna's 38.\n",
        options.rounds,
        options.span.as_secs_f64()
    );
    let mut all_is_well = true;
    let mut full: BTreeMap<(usize, usize), Vec<Figures>> = BTreeMap::new();
    let mut half: BTreeMap<usize, Vec<Half>> = BTreeMap::new();
    for round in 0..options.rounds {
        for &ports in &options.ports {
            for (place, (name, role)) in WAYS.iter().enumerate().filter(|(place, _)| options.has(*place)) {
                wait_for_quiet(options.patience)?;
                let (figures, is_well) = run_full(&requests, *role, ports, options.span)?;
                all_is_well &= is_well;
                eprintln!("round {round}: {name}, {ports} ports: {figures:.3?}");
                full.entry((place, ports)).or_default().push(figures);
            }
        }
        for (place, (name, role)) in WAYS.iter().enumerate().filter(|(place, _)| options.has(*place)) {
            let own = full.get(&(place, LATENCY_PORTS));
            let own = own.or_else(|| full.get(&(place, options.ports[0]))).expect("each way has run");
            let rate = median(own.iter().map(|figures| figures.rate)) / 2.0;
            wait_for_quiet(options.patience)?;
            let (figures, is_well) = run_half(&requests, *role, rate, options.span)?;
            all_is_well &= is_well;
            eprintln!("round {round}: {name}, half load: {figures:.3?}");
            half.entry(place).or_default().push(figures);
        }
    }
    print_full(&full);
    print_half(&half);
    if options.perf {
        for (_, (name, role)) in WAYS.iter().enumerate().filter(|(place, _)| options.has(*place)) {
            match calls_by_perf(&requests, *role, options.ports[0], options.span)? {
                Some(calls) => println!("System calls per packet by perf, {name}, full load: {calls:.3}"),
                None => println!("perf does not count system calls here: {name} goes without."),
            }
        }
    }
    if !all_is_well {
        println!("\nSome replies were wrong, or none came: see above.");
    }
    Ok(all_is_well)
}

fn run_full(requests: &Requests, role: Role, ports: usize, span: Duration) -> io::Result<(Figures, bool)> {
    let mut measured = Measured::start(role, 0)?;
    let mut load = Load::new(requests, measured.address(), ports)?;
    load.closed(WINDOW, WARM_UP)?;
    let before = measured.read()?;
    let others = Others::begin(&measured)?;
    let outcome = load.closed(WINDOW, span)?;
    let others = others.end(&measured)?;
    let after = measured.read()?;
    let packets = outcome.answered as f64;
    let calls: u64 = ["receive_calls", "send_calls", "wait_calls", "ring_calls"]
        .map(|name| after.since(&before, name))
        .iter()
        .sum();
    let figures = Figures {
        rate: outcome.rate(),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / packets,
        calls: calls as f64 / packets,
        signals: after.since(&before, "ring_calls") as f64 / packets,
        together: after.since(&before, "packets_sent_together") as f64 / packets,
        lost: outcome.lost as f64,
        resident: after.memory.0 as f64 / MIB,
        peak: after.memory.1 as f64 / MIB,
        others,
    };
    let is_well = outcome.wrong == 0 && outcome.answered > 0;
    tell_losses(&outcome, &load, &after)?;
    Ok((figures, is_well))
}

/// Where requests were lost: not sent by us, dropped at our sockets, or at the server's.
fn tell_losses(outcome: &Outcome, load: &Load<'_>, after: &Reading) -> io::Result<()> {
    let Outcome { lost, unsent, refused, late, wrong, .. } = outcome;
    if *wrong > 0 || *lost > 0 {
        let ours = load.kernel_drops()?;
        let losses: Vec<_> = after.losses().collect();
        eprintln!(
            "  {lost} lost: {unsent} never sent for want of an Identifier, {refused} not taken by the kernel, {late} \
             answered late; {wrong} wrong; with warm-up the kernel dropped {ours} replies at the generator's sockets, \
             the server counted {losses:?}"
        );
    }
    Ok(())
}

fn run_half(requests: &Requests, role: Role, rate: f64, span: Duration) -> io::Result<(Half, bool)> {
    let mut measured = Measured::start(role, 0)?;
    let mut load = Load::new(requests, measured.address(), LATENCY_PORTS)?;
    load.open(rate, WARM_UP)?;
    let before = measured.read()?;
    let others = Others::begin(&measured)?;
    let mut outcome = load.open(rate, span)?;
    let others = others.end(&measured)?;
    let after = measured.read()?;
    let packets = outcome.answered as f64;
    let calls: u64 = ["receive_calls", "send_calls", "wait_calls", "ring_calls"]
        .map(|name| after.since(&before, name))
        .iter()
        .sum();
    let half = Half {
        rate,
        p50: outcome.latency(0.5),
        p99: outcome.latency(0.99),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / packets,
        calls: calls as f64 / packets,
        signals: after.since(&before, "ring_calls") as f64 / packets,
        lost: outcome.lost as f64,
        others,
    };
    tell_losses(&outcome, &load, &after)?;
    Ok((half, outcome.wrong == 0 && outcome.answered > 0))
}

/// Counted from outside, which slows the server: in a run of its own. `None` where perf may or can not.
fn calls_by_perf(requests: &Requests, role: Role, ports: usize, span: Duration) -> io::Result<Option<f64>> {
    let measured = Measured::start(role, 0)?;
    let mut load = Load::new(requests, measured.address(), ports)?;
    load.closed(WINDOW, WARM_UP)?;
    let perf = Command::new("perf")
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &measured.process().to_string()])
        .args(["sleep", &span.as_secs_f64().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(perf) = perf else { return Ok(None) };
    // It takes a moment until perf counts: its own window is not ours, so that rates are compared, not counts.
    let outcome = load.closed(WINDOW, span + Duration::from_millis(500))?;
    let output = perf.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.split(',').next().and_then(|count| count.trim().parse::<f64>().ok());
    Ok(count.map(|count| count / span.as_secs_f64() / outcome.rate()))
}

/// Waits until others have been quiet for a moment, or patience is over.
fn wait_for_quiet(patience: Duration) -> io::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let (busy, ours) = (busy_time()?, cpu_time(std::process::id())?);
        std::thread::sleep(LOOK);
        let busy = busy_time()?.saturating_sub(busy).as_secs_f64();
        let ours = cpu_time(std::process::id())?.saturating_sub(ours).as_secs_f64();
        if busy - ours <= OTHERS_MAX * LOOK.as_secs_f64() {
            return Ok(());
        }
    }
    Ok(())
}

/// What the rest of the machine does meanwhile.
struct Others {
    busy: Duration,
    ours: Duration,
    at: Instant,
}

impl Others {
    fn begin(measured: &Measured) -> io::Result<Others> {
        let ours = cpu_time(measured.process())? + cpu_time(std::process::id())?;
        Ok(Others { busy: busy_time()?, ours, at: Instant::now() })
    }

    /// In cores.
    fn end(&self, measured: &Measured) -> io::Result<f64> {
        let now = Others::begin(measured)?;
        let busy = now.busy.saturating_sub(self.busy).as_secs_f64();
        let ours = now.ours.saturating_sub(self.ours).as_secs_f64();
        Ok((busy - ours).max(0.0) / self.at.elapsed().as_secs_f64())
    }
}

/// The quiet ones; all of them if none was.
fn quiet<F: Copy>(runs: &[F], others: impl Fn(&F) -> f64) -> (Vec<F>, &'static str) {
    let quiet: Vec<F> = runs.iter().copied().filter(|figures| others(figures) <= OTHERS_MAX).collect();
    if quiet.is_empty() { (runs.to_vec(), " *") } else { (quiet, "") }
}

fn print_full(full: &BTreeMap<(usize, usize), Vec<Figures>>) {
    println!("Full load\n");
    println!(
        "| | ports | packets/s | of bare | CPU µs/packet | of bare | system calls/packet | signals/packet | sent together | lost | memory MiB, peak | others' cores |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for ((place, ports), runs) in full {
        let (runs, mark) = quiet(runs, |figures| figures.others);
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure));
        let (bare, _) = quiet(&full[&(0, *ports)], |figures| figures.others);
        let bare = |figure: fn(&Figures) -> f64| median(bare.iter().map(figure));
        println!(
            "| {}{mark} | {ports} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.4} | {:.2} | {:.0} | {:.1}, {:.1} | {:.2} |",
            WAYS[*place].0,
            of(|f| f.rate),
            of(|f| f.rate) / bare(|f| f.rate),
            of(|f| f.cpu),
            of(|f| f.cpu) / bare(|f| f.cpu),
            of(|f| f.calls),
            of(|f| f.signals),
            of(|f| f.together),
            of(|f| f.lost),
            of(|f| f.resident),
            of(|f| f.peak),
            of(|f| f.others),
        );
    }
}

fn print_half(half: &BTreeMap<usize, Vec<Half>>) {
    println!(
        "\nHalf of its own full load, open loop, latency from when each request was due, {LATENCY_PORTS} ports\n"
    );
    println!(
        "| | packets/s | p50 µs | of bare | p99 µs | of bare | CPU µs/packet | system calls/packet | signals/packet | lost | others' cores |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    let (bare, _) = quiet(&half[&0], |figures| figures.others);
    for (place, runs) in half {
        let (runs, mark) = quiet(runs, |figures| figures.others);
        let of = |figure: fn(&Half) -> f64| median(runs.iter().map(figure));
        let bare = |figure: fn(&Half) -> f64| median(bare.iter().map(figure));
        println!(
            "| {}{mark} | {:.0} | {:.0} | {:.2} | {:.0} | {:.2} | {:.2} | {:.3} | {:.4} | {:.0} | {:.2} |",
            WAYS[*place].0,
            of(|f| f.rate),
            of(|f| f.p50),
            of(|f| f.p50) / bare(|f| f.p50),
            of(|f| f.p99),
            of(|f| f.p99) / bare(|f| f.p99),
            of(|f| f.cpu),
            of(|f| f.calls),
            of(|f| f.signals),
            of(|f| f.lost),
            of(|f| f.others),
        );
    }
    println!("\n* Others used more than {OTHERS_MAX} core during all runs of this line.");
}

const MIB: f64 = 1024.0 * 1024.0;
