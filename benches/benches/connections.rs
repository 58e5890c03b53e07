//! What clients behind a NAT cost: memory and time for each connection in the table, and time, system calls and the kernel's
//! memory for each with a socket of its own.
//!
//! `cargo bench -p ulna-benches --bench connections [-- --quick | --rounds N | --seconds S | --plots FOLDER]`
//!
//! *Memory* is the growth of a process whose cores take one request from each of 10 000 ports, each with a key and a secret of its own,
//! beside one that takes the same of one configured client. *Core* is time in these cores, without any socket. *Server* is
//! a joined thread on core 0, from so many ports, at a rate that it can, at which it sleeps after each request, and then with as
//! much as it can do; the generator spins on core 1. *Deliver* is what the kernel
//! takes, in the sender, to send one datagram and to find the socket that it is for.

use std::hint::black_box;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ulna_benches::ending::{Failure, end};
use ulna_benches::load::Load;
use ulna_benches::machine::{cores, memory, pin_to};
use ulna_benches::measured::{Measured, Reading, Role, act};
use ulna_benches::median;
use ulna_benches::options::Options;
use ulna_benches::plot::{Line, Plot};
use ulna_benches::workload::{
    OWN_SOCKETS, Requests, SITES, Setup, TABLED, connections_configuration, request_of_site, sites,
};
use ulna_core::client::{Connection, DynamicClient};
use ulna_core::cores::{Cores, assemble};
use ulna_core::effect::{Effect, EffectDone, LookUp, LookedUp};
use ulna_core::path::{ListenerId, SocketId};
use ulna_core::{Configuration, Seed};
use ulna_runtime_mio::join_udp;

/// Connections whose memory is measured.
const CONNECTIONS: usize = 10_000;
/// How many connections there are when time in the cores is measured.
const IN_TABLE: [usize; 3] = [1, 100, CONNECTIONS];
/// How many sockets.
const SOCKETS: [usize; 4] = [1, 10, 100, 1_000];
/// Requests a second that a server is asked for: some that it has time for in every way.
const RATE: f64 = 10_000.0;
/// Requests of each Identifier: so many that none is sent again as long as it is remembered, and as each port has some of its own.
const SETS: usize = 2_048;
/// Runs until one loses next to nothing.
const TRIES: usize = 10;
/// Requests outstanding where a server is asked for all that it can do; at least one for each port.
const WINDOW: usize = 64;
/// Datagrams of which sending and delivering is timed, and how many of them one after the other.
const DELIVERIES: usize = 20_000;
const IN_A_ROW: usize = 100;
/// Sockets made to see what the kernel needs for one.
const SOCKETS_MADE: usize = 4_000;
const JOINED: Setup = Setup { network_threads: 0, workers: 1, log: false };
const CONFIGURED: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The argument by which a process only shows how it grows.
const GROW: &str = "--grow";

fn main() -> ExitCode {
    if let Some(code) = act() {
        return code;
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != GROW).skip(1);
    let ran = match arguments.next().and_then(|address| address.parse().ok()) {
        Some(address) => grow(address).map_err(Failure::Io),
        None => {
            let mut plots = None;
            let options =
                Options::read(5, Duration::from_secs(2), Duration::from_millis(200), |name, rest| {
                    let is_ours = name == "--plots";
                    plots = if is_ours { rest.next().map(PathBuf::from) } else { plots.take() };
                    is_ours && plots.is_some()
                });
            options.map_err(Failure::Usage).and_then(|options| Ok(run(options, plots)?))
        }
    };
    end("connections", ran.map(|()| true))
}

fn run(options: Options, plots: Option<PathBuf>) -> io::Result<()> {
    pin_to(cores() - 1)?;
    show_memory()?;
    show_core(options);
    let rows = show_server(options)?;
    show_kernel_memory()?;
    plots.map_or(Ok(()), |folder| draw(&folder, &rows))
}

/// The cores of one joined thread, driven by hand.
struct Driven {
    configuration: Arc<Configuration>,
    cores: Cores,
    now: ulna_core::Instant,
    out: Vec<u8>,
}

impl Driven {
    fn new(table: Option<&Path>) -> Driven {
        let configuration = Arc::new(connections_configuration(JOINED, 0, table));
        let cores = assemble(&configuration, &Seed::new([7; 32])).pop().expect("one joined thread");
        Driven { configuration, cores, now: ulna_core::Instant::ORIGIN, out: Vec::with_capacity(4096) }
    }

    /// One turn with these datagrams: how many packets are to be sent.
    fn turn<'r>(&mut self, datagrams: impl Iterator<Item = (SocketAddr, &'r [u8])>) -> usize {
        // Far fewer answers are remembered so than there is room for.
        self.now += Duration::from_millis(10);
        let (cores, now) = (&mut self.cores, self.now);
        cores.begin();
        cores.sweep(now);
        for (remote, octets) in datagrams {
            let (via, listener, local) = (SocketId(0), ListenerId(0), ([127, 0, 0, 1], 1812).into());
            let path = ulna_core::Path { via: ulna_core::Via::Socket(via), listener, local, remote };
            cores.handle_datagram(path, black_box(octets), now);
        }
        cores.handle_timeout(now);
        cores.work(usize::MAX, now);
        while let Some((ticket, effect)) = cores.poll_effect() {
            let done = match effect {
                Effect::LookUp(LookUp { source, key }) => {
                    let tables = &self.configuration.secret_tables;
                    let table = tables.iter().find(|table| table.source == source);
                    EffectDone::LookedUp(table.map_or(LookedUp::Failed, |table| table.look_up(&key)))
                }
                effect @ (Effect::CheckPassword { .. }
                | Effect::Store(_)
                | Effect::Spool(_)
                | Effect::Relay(_)
                | Effect::Resolve(_)
                | Effect::Errand(_)) => EffectDone::Shed(effect),
            };
            cores.handle_effect_done(ticket, done, now);
        }
        while cores.poll_socket().is_some() {}
        let mut sent = 0;
        self.out.clear();
        while cores.poll_transmit(&mut self.out).is_some() {
            sent += 1;
            black_box(&self.out);
            self.out.clear();
        }
        cores.finish(now);
        cores.publish();
        while cores.check_gate().is_some() {}
        while cores.poll_event().is_some() {}
        sent
    }

    /// Until all that were asked are answered: who is new is looked up first.
    fn settle(&mut self, mut answered: usize, asked: usize) {
        for _ in 0..4 {
            answered += self.turn(std::iter::empty());
        }
        assert_eq!(answered, asked, "each request has its reply");
    }
}

fn from(address: Ipv4Addr, connection: usize) -> SocketAddr {
    SocketAddr::from((address, 10_000 + connection as u16))
}

/// The part of main in a process of its own: asks once from each port of this address, and says by how much it has grown.
fn grow(address: Ipv4Addr) -> io::Result<()> {
    let table = std::env::temp_dir().join(format!("ulna-sites-{}.toml", std::process::id()));
    std::fs::write(&table, sites(CONNECTIONS))?;
    let mut driven = Driven::new(Some(&table));
    std::fs::remove_file(&table)?;
    let mut requests = vec![Vec::new(); CONNECTIONS];
    for (site, octets) in requests.iter_mut().enumerate() {
        request_of_site(site, 1, site as u64, octets);
    }
    let mut ask = |range: std::ops::Range<usize>| {
        for begin in range.clone().step_by(32) {
            let these = begin..(begin + 32).min(range.end);
            let asked = these.len();
            let answered =
                driven.turn(these.map(|connection| (from(address, connection), &requests[connection][..])));
            driven.settle(answered, asked);
        }
    };
    // What all of them share is there then.
    ask(0..CONNECTIONS / 100);
    let (before, _) = memory(std::process::id())?;
    ask(CONNECTIONS / 100..CONNECTIONS);
    let (after, _) = memory(std::process::id())?;
    println!("{}", after - before);
    Ok(())
}

fn show_memory() -> io::Result<()> {
    let grown = |address: Ipv4Addr| -> io::Result<f64> {
        let output = Command::new(std::env::current_exe()?).args([GROW, &address.to_string()]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let octets = text.trim().parse::<u64>().map_err(|_| io::Error::other("it did not grow"))?;
        Ok(octets as f64 / (CONNECTIONS - CONNECTIONS / 100) as f64)
    };
    let (behind_nat, configured) = (grown(SITES)?, grown(CONFIGURED)?);
    println!(
        "| growth for each of {CONNECTIONS} ports that have asked once | octets |\n|---|---|\n\
         | each a client behind a NAT with a secret of its own | {behind_nat:.0} |\n\
         | all one configured client's | {configured:.0} |\n\
         | the difference: a connection, its client, and what workers remember of it | {:.0} |\n\
         | of this, the connection's entry | {} |\n\
         | of this, its client without name, key and secret | {} |\n",
        behind_nat - configured,
        size_of::<Option<Connection>>(),
        size_of::<DynamicClient>(),
    );
    Ok(())
}

fn show_core(options: Options) {
    let requests = Requests::prepare_sets(SETS);
    // No request is sent twice.
    let turns = if options.quick { 300 } else { 7_000 / options.rounds as usize };
    println!(
        "| connections | ns a request in the cores, one configured client's | each a client's behind a NAT | ratio |\n|---|---|---|---|"
    );
    for connections in IN_TABLE {
        let [configured, behind_nat] = [CONFIGURED, TABLED].map(|address| {
            let mut driven = Driven::new(None);
            let mut asked = 0;
            let mut ask = |turns: usize| {
                let (begin, mut answered) = (Instant::now(), 0);
                for _ in 0..turns {
                    let datagrams =
                        (asked..asked + 64).map(|n| (from(address, n % connections), requests.of(n)));
                    answered += driven.turn(datagrams);
                    asked += 64;
                }
                let took = begin.elapsed().as_nanos() as f64 / (turns * 64) as f64;
                (took, answered == turns * 64)
            };
            // All are admitted.
            ask(2 * CONNECTIONS / 64);
            let timed = (0..options.rounds).map(|_| match ask(turns) {
                (took, true) => took,
                (_, false) => panic!("each request has its reply"),
            });
            median(timed)
        });
        println!("| {connections} | {configured:.0} | {behind_nat:.0} | {:.2} |", behind_nat / configured);
    }
    println!();
}

/// What a server does for each request, and the kernel for each datagram.
struct Row {
    sockets: usize,
    /// CPU time of the server a request, in microseconds: of a configured client, from the table, with sockets.
    cpu: [f64; 3],
    /// System calls a request, likewise.
    calls: [f64; 3],
    /// The same of a server that is asked for all that it can do.
    busy: [(f64, f64); 3],
    /// Microseconds to send and deliver to a listening socket while there are so many others, and to one of those.
    deliver: [f64; 2],
}

fn show_server(options: Options) -> io::Result<Vec<Row>> {
    let requests = Requests::prepare_sets(SETS);
    println!(
        "| ports, or sockets | configured client | table | own sockets | busy: configured client | table | own sockets | send and \
         deliver to a listening socket, µs | to a connection's own |\n|---|---|---|---|---|---|---|---|---|"
    );
    let mut rows = Vec::new();
    for sockets in SOCKETS {
        let mut runs: [Vec<Run>; 3] = Default::default();
        let mut delivered = [Vec::new(), Vec::new()];
        for _ in 0..options.rounds {
            for (runs, address) in runs.iter_mut().zip([CONFIGURED, TABLED, OWN_SOCKETS]) {
                let mut measured = Measured::start(Role::Connections(JOINED, 2_000), 0)?;
                let source = Some(IpAddr::V4(address));
                let mut load = Load::from_address(&requests, source, measured.address(), sockets)?;
                runs.push(serve(&mut measured, &mut load, address, sockets, options.span)?);
                if address == OWN_SOCKETS {
                    let configured = UdpSocket::bind((CONFIGURED, 0))?;
                    configured.connect(measured.address())?;
                    delivered[0].push(deliver(|| configured.send(&[0]))?);
                    delivered[1].push(deliver(|| load.send_as_is(0, &[0]))?);
                }
            }
        }
        let of = |figure: fn(&Run) -> f64| [0, 1, 2].map(|kind| median(runs[kind].iter().map(figure)));
        let row = Row {
            sockets,
            cpu: of(|run| run.cpu),
            calls: of(|run| run.calls),
            busy: [0, 1, 2].map(|kind| {
                let of = |figure: fn(&Run) -> f64| median(runs[kind].iter().map(figure));
                (of(|run| run.busy.0), of(|run| run.busy.1))
            }),
            deliver: delivered.map(median),
        };
        print!("| {sockets} |");
        row.cpu
            .iter()
            .zip(&row.calls)
            .chain(row.busy.iter().map(|(cpu, calls)| (cpu, calls)))
            .for_each(|(cpu, calls)| print!(" {cpu:.1}, {calls:.2} |"));
        println!(" {:.1} | {:.1} |", row.deliver[0], row.deliver[1]);
        rows.push(row);
    }
    println!();
    Ok(rows)
}

/// What a server took for each request, in one run.
struct Run {
    cpu: f64,
    calls: f64,
    /// The same where it was asked for all that it can do.
    busy: (f64, f64),
}

fn serve(
    measured: &mut Measured,
    load: &mut Load<'_>,
    address: Ipv4Addr,
    sockets: usize,
    span: Duration,
) -> io::Result<Run> {
    // On a busy machine the generator may look for replies late.
    load.lost_after(Duration::from_secs(2));
    // All are admitted, and have their sockets.
    load.open(RATE / 2.0, Duration::from_secs_f64((4 * sockets) as f64 / RATE).max(span / 4))?;
    let mut lost = String::new();
    // Where others take the cores away for a while it is done again.
    for _ in 0..TRIES {
        let before = measured.read()?;
        let outcome = load.open(RATE, span)?;
        let after = measured.read()?;
        if outcome.lost > outcome.sent / 1_000 {
            let losses: Vec<_> = after.losses().collect();
            lost = format!("{} of {} from {address}: {losses:?}", outcome.lost, outcome.sent);
            continue;
        }
        let opened = after.counter("connected_opened");
        let expected = if address == OWN_SOCKETS { sockets as u64 } else { 0 };
        if opened != expected {
            return Err(io::Error::other(format!("{opened} sockets, {expected} were to be opened")));
        }
        let each = |before: &Reading, after: &Reading, answered: u64| {
            let calls = ["receive_calls", "send_calls", "wait_calls", "ring_calls"];
            let calls: u64 = calls.iter().map(|name| after.since(before, name)).sum();
            let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6;
            (cpu / answered as f64, calls as f64 / answered as f64)
        };
        let (cpu, calls) = each(&before, &after, outcome.answered);
        let outcome = load.closed(sockets.max(WINDOW), span / 2)?;
        let busy = each(&after, &measured.read()?, outcome.answered);
        return Ok(Run { cpu, calls, busy });
    }
    Err(io::Error::other(format!("too many are lost, {lost}")))
}

/// Microseconds that one of these sends takes, the middle one of many. The server discards what is sent by its first look.
fn deliver(send: impl Fn() -> io::Result<usize>) -> io::Result<f64> {
    let mut took = Vec::with_capacity(DELIVERIES);
    for _ in 0..DELIVERIES / IN_A_ROW {
        for _ in 0..IN_A_ROW {
            let begin = Instant::now();
            send()?;
            took.push(begin.elapsed().as_nanos() as f64 / 1e3);
        }
        // So that none is dropped, which would be quicker.
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(median(took))
}

/// The kernel's memory for objects of its own, in octets.
fn slab() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or(io::ErrorKind::InvalidData)? * 1024)
}

/// By how much the kernel's memory grows with each socket as a connection has one.
fn show_kernel_memory() -> io::Result<()> {
    let listening = ulna_runtime_mio::bind_udp(SocketAddr::from((CONFIGURED, 0)), true, 1 << 16)?;
    let mut poll = mio::Poll::new()?;
    let before = slab()?;
    let mut sockets = Vec::with_capacity(SOCKETS_MADE);
    for port in 0..SOCKETS_MADE {
        let mut bound = join_udp(listening.local, 1 << 16)?;
        bound.socket.connect(from(OWN_SOCKETS, port))?;
        poll.registry().register(&mut bound.socket, mio::Token(port), mio::Interest::READABLE)?;
        sockets.push(bound);
    }
    let grown = slab()?.saturating_sub(before);
    poll.poll(&mut mio::Events::with_capacity(1), Some(Duration::ZERO))?;
    println!(
        "The kernel's own memory grows by {:.0} octets with each of {SOCKETS_MADE} sockets.",
        grown as f64 / SOCKETS_MADE as f64
    );
    Ok(())
}

fn draw(folder: &Path, rows: &[Row]) -> io::Result<()> {
    let line = |name: &str, value: fn(&Row) -> f64| -> Line {
        (name.into(), rows.iter().map(|row| (row.sockets as f64, value(row))).collect())
    };
    let lines = [
        line("busy server, from the table", |row| row.busy[1].0),
        line("busy server, sockets of their own", |row| row.busy[2].0),
        line("kernel, to a listening socket", |row| row.deliver[0]),
        line("kernel, to a connection's own", |row| row.deliver[1]),
    ];
    let plot = Plot {
        title: "Sockets of single connections: what a packet costs, beside so many of them",
        x: "connections with a socket of their own",
        y: "µs per packet",
        least: 1.0,
    };
    plot.draw(&folder.join("connected-sockets.svg"), &lines).map_err(io::Error::other)
}
