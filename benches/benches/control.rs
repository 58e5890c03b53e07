//! What the control socket costs: how often a worker is woken for a megabyte of output, by buffer and mark; how fast it is beside a file
//! that is sent through a Unix socket; and what readers who take an octet a second do to the latency of requests.
//!
//! `cargo bench -p ulna-benches --bench control [-- --quick | --rounds N | --seconds S | --conversations N]`
//!
//! The server is alone on core 0, joined, with one worker; who reads and who asks share the last core. Conversations are begun by requests
//! of a user with a one-time code, each from another device.

use std::fs;
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, Folder, end};
use ulna_benches::load::Load;
use ulna_benches::machine::{cores, cpu_time, memory, pin_to};
use ulna_benches::measured::{Measured, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::workload::{CONTROL, Controlled, Requests, Setup, begin_conversation};

const BUFFERS: [usize; 3] = [10 * 1024, 100 * 1024, 1024 * 1024];
const MARKS: [u8; 3] = [10, 50, 90];
const DEFAULT: Controlled = Controlled { buffer_octets: 128 * 1024, mark: 50 };
const SETUP: Setup = Setup { network_threads: 0, workers: 1, log: false };
const MEGABYTE: f64 = 1e6;
const MIB: f64 = 1024.0 * 1024.0;
/// Readers who take an octet a second.
const SLOW_READERS: usize = 64;
/// Requests a second beside them, from so many ports.
const RATE: f64 = 5_000.0;
const PORTS: usize = 8;
/// Conversations that are begun between two looks for answers.
const WINDOW: usize = 64;

fn main() -> ExitCode {
    act().unwrap_or_else(|| end("control", run()))
}

/// False if an answer was wrong or not whole.
fn run() -> Result<bool, Failure> {
    let mut conversations = 1_000_000;
    let options = Options::read(10, Duration::from_secs(5), Duration::from_millis(300), |argument, rest| {
        let number = rest.next().and_then(|number| number.parse().ok());
        argument == "--conversations"
            && number.is_some_and(|number| {
                conversations = number;
                true
            })
    })?;
    if options.quick {
        conversations = 2_000;
    }
    pin_to(cores() - 1)?;
    let folder = Folder::make(&std::env::temp_dir(), "control")?;
    let is_well = marks(folder.path(), conversations.min(200_000))?;
    Ok(latency(folder.path(), conversations, options)? && is_well)
}

/// A server with so many conversations.
fn filled(folder: &Path, controlled: Controlled, conversations: u32) -> io::Result<Measured> {
    let mut server = Measured::start_in(folder, Role::Controlled(SETUP, controlled), 0)?;
    let mut number = 0;
    let mut octets = Vec::new();
    let mut reply = [0; 4096];
    while number < conversations {
        // Each port has its Identifiers, and no request of it is a duplicate.
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server.address())?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        for first in (0..256).step_by(WINDOW) {
            let count = WINDOW.min((conversations - number) as usize);
            for identifier in 0..count {
                octets.clear();
                begin_conversation(number, (first + identifier) as u8, &mut octets);
                socket.send(&octets)?;
                number += 1;
            }
            for _ in 0..count {
                socket.recv(&mut reply)?;
            }
        }
    }
    let begun = server.read()?.counter("conversations");
    if begun != u64::from(conversations) {
        return Err(io::Error::other(format!("{begun} conversations of {conversations}")));
    }
    Ok(server)
}

fn ask(folder: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(folder.join(CONTROL))?;
    stream.write_all(b"show conversations\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(stream)
}

/// All of an answer, whose lines are whole and as many as there are conversations.
fn read_all(stream: &mut UnixStream, conversations: u32) -> io::Result<(u64, bool)> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let lines = answer.iter().filter(|octet| **octet == b'\n').count();
    let end = format!("\n. ok {conversations} rows\n");
    let is_whole = answer.ends_with(end.as_bytes()) && lines == conversations as usize + 2;
    let devices: std::collections::BTreeSet<&[u8]> = answer
        .split(|octet| *octet == b'\n')
        .filter_map(|line| line.split(|octet| *octet == b' ').find(|it| it.starts_with(b"device-")))
        .collect();
    Ok((answer.len() as u64, is_whole && devices.len() == conversations as usize))
}

/// How often a worker is woken for a megabyte.
fn marks(folder: &Path, conversations: u32) -> io::Result<bool> {
    println!("{conversations} conversations, read as fast as they come:\n");
    println!("| buffer KiB | mark % | wakes/MB | MB/s | CPU ms/MB |\n|---|---|---|---|---|");
    let (mut is_well, mut octets) = (true, 0);
    for buffer_octets in BUFFERS {
        for mark in MARKS {
            let mut server = filled(folder, Controlled { buffer_octets, mark }, conversations)?;
            let (before, begin) = (server.read()?, Instant::now());
            let (taken, is_whole) = read_all(&mut ask(folder)?, conversations)?;
            let (took, after) = (begin.elapsed(), server.read()?);
            (is_well, octets) = (is_well && is_whole, taken);
            if !is_whole {
                eprintln!("buffer {buffer_octets}, mark {mark}: {taken} octets, and not each row once");
            }
            let megabytes = taken as f64 / MEGABYTE;
            println!(
                "| {} | {mark} | {:.1} | {:.0} | {:.2} |",
                buffer_octets / 1024,
                after.since(&before, "tasks_woken") as f64 / megabytes,
                megabytes / took.as_secs_f64(),
                (after.cpu - before.cpu).as_secs_f64() * 1e3 / megabytes,
            );
        }
    }
    let rate = octets as f64 / MEGABYTE / through_a_socket(folder, octets)?.as_secs_f64();
    println!(
        "\nThe same {octets} octets from a file through a Unix socket, 64 KiB at a time: {rate:.0} MB/s\n"
    );
    Ok(is_well)
}

/// How long it takes to have a file of so many octets read through a Unix socket.
fn through_a_socket(folder: &Path, octets: u64) -> io::Result<Duration> {
    let path = folder.join("octets");
    fs::write(&path, vec![b'x'; octets as usize])?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let begin = Instant::now();
    let sender = thread::spawn(move || -> io::Result<()> {
        pin_to(0)?;
        let (mut file, mut piece) = (fs::File::open(path)?, vec![0; 64 * 1024]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                octets => theirs.write_all(&piece[..octets])?,
            }
        }
    });
    let mut all = Vec::new();
    ours.read_to_end(&mut all)?;
    sender.join().expect("it does not panic")?;
    Ok(begin.elapsed())
}

/// What readers who take an octet a second do to the latency of requests.
fn latency(folder: &Path, conversations: u32, options: Options) -> io::Result<bool> {
    let mut server = filled(folder, DEFAULT, conversations)?;
    let requests = Requests::prepare();
    let mut load = Load::new(&requests, server.address(), PORTS)?;
    load.open(RATE, options.span)?;
    let resident = memory(server.process())?.0;
    let mut figures = [Vec::new(), Vec::new()];
    let (mut is_well, mut most) = (true, 0);
    for round in 0..options.rounds {
        for (with_readers, figures) in [false, true].into_iter().zip(&mut figures) {
            let readers = if with_readers { Some(SlowReaders::start(folder)?) } else { None };
            let cpu = cpu_time(server.process())?;
            let mut outcome = load.open(RATE, options.span)?;
            let cpu = cpu_time(server.process())? - cpu;
            most = most.max(memory(server.process())?.0);
            let read = readers.map_or(0, SlowReaders::end);
            is_well &= outcome.wrong == 0 && outcome.answered > 0;
            let figure = [
                outcome.latency(0.5),
                outcome.latency(0.99),
                cpu.as_secs_f64() * 1e6 / outcome.answered as f64,
            ];
            eprintln!(
                "round {round}, readers {with_readers}: {figure:.1?}, {} wrong, {} lost, {read} octets read",
                outcome.wrong, outcome.lost
            );
            figures.push(figure);
        }
    }
    println!(
        "{conversations} conversations, {RATE:.0} requests a second, alternating runs of {:.1} s:\n\n\
         | | p50 µs, median (min–max) | p99 µs | CPU µs/request |\n|---|---|---|---|",
        options.span.as_secs_f64()
    );
    let names = ["nobody reads".to_string(), format!("{SLOW_READERS} read an octet a second each")];
    for (name, figures) in names.iter().zip(&figures) {
        let cells = [0, 1, 2].map(|place| {
            let values = figures.iter().map(|figure| figure[place]);
            let (least, most) =
                values.clone().fold((f64::MAX, 0.0), |(least, most), it| (it.min(least), it.max(most)));
            format!("{:.1} ({least:.1}–{most:.1})", median(values))
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
    let more = most.saturating_sub(resident) as f64 / MIB;
    println!("\nResident memory with readers: {more:.1} MiB more than before the first.");
    let (begin, before) = (Instant::now(), cpu_time(server.process())?);
    let (octets, is_whole) = read_all(&mut ask(folder)?, conversations)?;
    let (took, cpu) = (begin.elapsed().as_secs_f64(), (cpu_time(server.process())? - before).as_secs_f64());
    println!(
        "One more reads all at full speed: {octets} octets, {}, {:.0} MB/s, {cpu:.2} s of CPU.",
        if is_whole { "each row once" } else { "NOT WHOLE" },
        octets as f64 / MEGABYTE / took
    );
    // All that readers had is free again.
    let gone = Instant::now();
    loop {
        let reading = server.read()?;
        if reading.counter("tasks") + reading.counter("control_connections") == 0 {
            break;
        }
        if gone.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::other("readers have gone, and something is left of them"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(is_well && is_whole)
}

/// Readers on a thread of their own.
struct SlowReaders {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl SlowReaders {
    fn start(folder: &Path) -> io::Result<SlowReaders> {
        let mut streams = (0..SLOW_READERS).map(|_| ask(folder)).collect::<io::Result<Vec<_>>>()?;
        for stream in &mut streams {
            // The answers have begun.
            stream.read_exact(&mut [0])?;
        }
        let is_over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let (mut read, mut next) = (SLOW_READERS as u64, Instant::now());
            while !told.load(Ordering::Relaxed) {
                if next.elapsed() > Duration::from_secs(1) {
                    next = Instant::now();
                    for stream in &mut streams {
                        read += stream.read(&mut [0]).unwrap_or_default() as u64;
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
            read
        });
        Ok(SlowReaders { is_over, thread })
    }

    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}
