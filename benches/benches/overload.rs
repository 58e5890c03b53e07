//! What a server still does that is asked for more than it can: answers per second beside the most that it reaches at any
//! rate, with Status-Server asked meanwhile.
//!
//! `cargo bench -p ulna-benches --bench overload [-- --quick | --rounds N | --seconds S]`
//!
//! Two servers, one whose policy takes 200 µs of its core for each request and one that decides by rule, each with joined
//! threads and with one network thread and one worker, alone on core 0. What each can is found out first by a closed run;
//! then it is asked for multiples of that, open loop, without retransmissions: what is not answered within the time after
//! which it counts as lost is no goodput. Every datagram must be accounted for: answered, discarded by name, or dropped by
//! the kernel, which counts them, too.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, end};
use ulna_benches::load::Load;
use ulna_benches::machine::{cores, pin_to};
use ulna_benches::measured::{Measured, Reading, Role, act};
use ulna_benches::options::Options;
use ulna_benches::workload::{Requests, Setup, status};

/// What is promised: goodput under overload, as a part of the most that there is.
const PART_MIN: f64 = 0.9;
const WARM_UP: Duration = Duration::from_millis(500);
/// Between two Status-Servers.
const STATUS_EVERY: Duration = Duration::from_millis(10);
/// After which one counts as unanswered.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// How long the server may take to read what was sent last.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(2);

/// A server, and how it is asked.
struct Case {
    name: &'static str,
    /// Microseconds of its policy; 0: the configuration's rules.
    policy: u32,
    /// Multiples of what it can.
    rates: &'static [f64],
    ports: usize,
    /// Requests that leave a port in one send.
    group: u64,
    lost_after: Duration,
}

/// Ports enough for all that is outstanding before it is given up.
const CASES: [Case; 2] = [
    Case {
        name: "policy of 200 µs",
        policy: 200,
        rates: &[0.5, 0.8, 1.0, 1.5, 3.0, 10.0],
        ports: 192,
        group: 1,
        // Well below the second after which a NAS asks again (RFC 5080 §2.2.1).
        lost_after: Duration::from_millis(750),
    },
    Case {
        name: "decided by rule",
        policy: 0,
        rates: &[0.5, 0.8, 1.0, 1.2, 1.5],
        ports: 192,
        group: 16,
        lost_after: Duration::from_millis(100),
    },
];

/// What one run came to.
struct Row {
    rate: f64,
    sent: u64,
    /// Requests that were due and for which no Identifier was free.
    unsent: u64,
    goodput: f64,
    p50: f64,
    p99: f64,
    /// Discards of packets and requests by name, and drops of the kernel.
    losses: Vec<(String, u64)>,
    /// Datagrams that nobody accounts for.
    unaccounted: i64,
    status: Asked,
}

/// What became of Status-Server meanwhile.
#[derive(Default)]
struct Asked {
    sent: u64,
    answered: u64,
    longest: Duration,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("overload", run()))
}

/// Whether what is promised holds; a quick run promises only that all is accounted for.
fn run() -> Result<bool, Failure> {
    let Options { rounds, span, quick } =
        Options::read(3, Duration::from_secs(2), Duration::from_millis(300), |_, _| false)?;
    pin_to(cores() - 1)?;
    let requests = Requests::prepare();
    let mut holds = true;
    for case in &CASES {
        for (threads, network_threads) in [("joined", 0), ("1 + 1", 1)] {
            let setup = Setup { network_threads, workers: 1, log: true };
            let mut best: Vec<Row> = Vec::new();
            for _ in 0..rounds {
                // By rate, the round in which most was answered: others use this machine, too.
                for (place, row) in measure(&requests, case, setup, span)?.into_iter().enumerate() {
                    // What must never happen is looked for in all rounds.
                    if row.unaccounted != 0 || row.status.answered < row.status.sent {
                        let Asked { sent, answered, .. } = row.status;
                        println!(
                            "{}, {threads}, {} ×: {} of {} datagrams not accounted for, {answered} of {sent} Status-Servers \
                             answered",
                            case.name, case.rates[place], row.unaccounted, row.sent
                        );
                        holds = false;
                    }
                    match best.get_mut(place) {
                        None => best.push(row),
                        Some(before) if row.goodput > before.goodput => *before = row,
                        Some(_) => {}
                    }
                }
            }
            holds &= show(case, threads, &best, quick);
        }
    }
    Ok(holds)
}

fn show(case: &Case, threads: &str, rows: &[Row], quick: bool) -> bool {
    println!("\n{}, {threads}:\n", case.name);
    println!(
        "| × what it can | asked/s | answered/s | of the most | p50 ms | p99 ms | Status-Server answered | longest ms | shed and dropped |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    let most = rows.iter().map(|row| row.goodput).fold(0.0, f64::max);
    let mut holds = true;
    for (row, times) in rows.iter().zip(case.rates) {
        let part = row.goodput / most;
        let losses: Vec<_> = row.losses.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!(
            "| {times} | {:.0}{} | {:.0} | {part:.2} | {:.2} | {:.2} | {} of {} | {:.0} | {} |",
            row.rate,
            if row.unsent > 0 { format!(" ({} unsent)", row.unsent) } else { String::new() },
            row.goodput,
            row.p50 / 1e3,
            row.p99 / 1e3,
            row.status.answered,
            row.status.sent,
            row.status.longest.as_secs_f64() * 1e3,
            losses.join(", ")
        );
        // Not a number where nothing was answered at all: that is no part either.
        if !quick && row.rate >= most && (part.is_nan() || part < PART_MIN) {
            println!("missed at {times} ×: {PART_MIN} of the most is promised");
            holds = false;
        }
    }
    holds
}

fn measure(requests: &Requests, case: &Case, setup: Setup, span: Duration) -> io::Result<Vec<Row>> {
    let role = if case.policy == 0 { Role::Server(setup) } else { Role::Deciding(setup, case.policy) };
    let capacity = {
        let measured = Measured::start(role, 0)?;
        let mut load = Load::new(requests, measured.address(), 8)?;
        load.closed(128, WARM_UP)?;
        load.closed(128, span.min(WARM_UP))?.rate()
    };
    case.rates
        .iter()
        .map(|times| {
            // A server each: what one leaves behind is not the next one's.
            let mut measured = Measured::start(role, 0)?;
            let address = measured.address();
            let load = Load::new(requests, address, case.ports)?;
            let mut load = load.in_groups(case.group);
            load.lost_after(case.lost_after);
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let asker = scope.spawn(|| ask_until(&is_over, address));
                let rate = capacity * times;
                let loaded =
                    load.open(rate, WARM_UP.min(span)).and_then(|warm| Ok((warm, load.open(rate, span)?)));
                // Relaxed: it only has to be seen soon.
                is_over.store(true, Ordering::Relaxed);
                let (warm, mut outcome) = loaded?;
                let status = asker.join().expect("the asker ends")?;
                let sent = warm.sent - warm.refused + outcome.sent - outcome.refused + status.sent;
                let (after, unaccounted) = account(&mut measured, sent)?;
                let losses = after.losses().map(|(name, count)| (name.replace("discarded ", ""), count));
                Ok(Row {
                    rate: (outcome.sent + outcome.unsent) as f64 / outcome.span.as_secs_f64(),
                    sent,
                    unsent: outcome.unsent,
                    goodput: outcome.rate(),
                    p50: outcome.latency(0.5),
                    p99: outcome.latency(0.99),
                    losses: losses.collect(),
                    unaccounted,
                    status,
                })
            })
        })
        .collect()
}

/// What the server has counted once it has read all that was sent, and how many datagrams have no fate there.
fn account(measured: &mut Measured, sent: u64) -> io::Result<(Reading, i64)> {
    let begin = Instant::now();
    loop {
        let reading = measured.read()?;
        let fates = ["accepted", "status_answered", "duplicates_resent", "duplicates_in_progress"];
        let fates: u64 = fates.iter().map(|name| reading.counter(name)).sum();
        let shed = reading.counter("discarded worker-full");
        let unaccounted = sent as i64 - (fates + shed + reading.counter("kernel_drops")) as i64;
        if unaccounted == 0 || begin.elapsed() > ACCOUNT_PATIENCE {
            return Ok((reading, unaccounted));
        }
    }
}

/// Asks for the server's status until it is over.
fn ask_until(is_over: &AtomicBool, address: SocketAddr) -> io::Result<Asked> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(STATUS_PATIENCE))?;
    let mut asked = Asked::default();
    let (mut octets, mut reply) = (Vec::new(), [0; 128]);
    // Relaxed: it only has to be seen soon.
    while !is_over.load(Ordering::Relaxed) {
        octets.clear();
        status(asked.sent, &mut octets);
        let begin = Instant::now();
        socket.send(&octets)?;
        asked.sent += 1;
        match socket.recv(&mut reply) {
            Ok(length) if length >= 20 && reply[1] == octets[1] => {
                asked.answered += 1;
                asked.longest = asked.longest.max(begin.elapsed());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(STATUS_EVERY);
    }
    Ok(asked)
}
