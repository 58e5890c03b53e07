//! What others feel while passwords are guessed that are known by an Argon2 digest: 1 000 wrong ones a second.
//!
//! `cargo bench -p ulna-benches --bench hashing [-- --quick | --rounds N | --seconds S]`
//!
//! One network thread, one worker and one hash thread share core 0; load and guesses come from the last core. A calm run and
//! one under attack are made in turn, each against a new server. Compared are the quietest of either, those of the least p50:
//! on a machine that others use, too, the rest says what these do. Each guess is of another
//! Calling-Station-Id: otherwise it would be rejected unseen after the tenth.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, end};
use ulna_benches::load::Load;
use ulna_benches::machine::{cores, pin_to};
use ulna_benches::measured::{Measured, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::workload::{HASHED_USER, Requests, Setup, guess};

/// Requests a second of the others.
const RATE: f64 = 20_000.0;
const PORTS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(500);
/// Between two guesses.
const GUESS_EVERY: Duration = Duration::from_millis(1);
/// What is promised: their median latency under attack, as a multiple of the calm one.
const RATIO_MAX: f64 = 1.5;

struct Figures {
    p50: f64,
    p99: f64,
    lost: u64,
    guesses: u64,
    hashed: u64,
    shed: u64,
}

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("hashing", run()))
}

/// Whether what is promised holds. A quick run promises only that something was hashed and something shed.
fn run() -> Result<bool, Failure> {
    let Options { rounds, span, quick } =
        Options::read(5, Duration::from_secs(4), Duration::from_secs(1), |_, _| false)?;
    pin_to(cores() - 1)?;
    let requests = Requests::prepare();
    let (mut calm, mut attacked) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        calm.push(measure(&requests, span, false)?);
        attacked.push(measure(&requests, span, true)?);
    }
    println!(
        "| | p50 µs | median of all rounds | p99 µs | lost | guesses | hashed | shed as hash-line-full |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for (name, runs) in [("calm", &calm), ("attacked", &attacked)] {
        let Figures { p50, p99, lost, guesses, hashed, shed } = quietest(runs);
        let all = median(runs.iter().map(|run| run.p50));
        println!("| {name} | {p50:.0} | {all:.0} | {p99:.0} | {lost} | {guesses} | {hashed} | {shed} |");
    }
    let ratio = quietest(&attacked).p50 / quietest(&calm).p50;
    println!("\np50 under attack is {ratio:.2} of the calm one; at most {RATIO_MAX} is promised.");
    let works = attacked.iter().all(|run| run.hashed > 0 && run.shed > 0);
    Ok(works && (quick || (ratio <= RATIO_MAX && quietest(&attacked).lost == 0)))
}

fn quietest(runs: &[Figures]) -> &Figures {
    runs.iter().min_by(|one, other| one.p50.total_cmp(&other.p50)).expect("there is a round at least")
}

fn measure(requests: &Requests, span: Duration, is_attacked: bool) -> io::Result<Figures> {
    let setup = Setup { network_threads: 1, workers: 1, log: false };
    let mut measured = Measured::start(Role::Hashing(setup), 0)?;
    let address = measured.address();
    let is_over = AtomicBool::new(!is_attacked);
    std::thread::scope(|scope| {
        let guesser = scope.spawn(|| guess_until(&is_over, address));
        let mut load = Load::new(requests, address, PORTS)?;
        load.open(RATE, WARM_UP)?;
        let before = measured.read()?;
        let mut outcome = load.open(RATE, span)?;
        let after = measured.read()?;
        // Relaxed: it only has to be seen soon.
        is_over.store(true, Ordering::Relaxed);
        let guesses = guesser.join().expect("the guesser ends")?;
        let shed = after.since(&before, "discarded hash-line-full");
        Ok(Figures {
            p50: outcome.latency(0.5),
            p99: outcome.latency(0.99),
            lost: outcome.lost,
            guesses,
            // What was shed was asked for, too.
            hashed: after.since(&before, "effects") - shed,
            shed,
        })
    })
}

/// Sends guesses, evenly, and looks at no answer. Says how many.
fn guess_until(is_over: &AtomicBool, server: SocketAddr) -> io::Result<u64> {
    let sockets = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
    let mut octets = Vec::new();
    let mut count = 0;
    let begin = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let due = begin + GUESS_EVERY * count as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        guess(HASHED_USER, count, &mut octets);
        sockets[count as usize / 256 % sockets.len()].send_to(&octets, server)?;
        count += 1;
    }
    Ok(count)
}
