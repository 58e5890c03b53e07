//! Does one thing so many times and nothing else, so that callgrind can count what it costs: `count NAME TIMES`.
//!
//! `.ci/instructions` runs each twice with different numbers of times; the difference is the operation itself. Seeds are
//! fixed and nothing here reads a clock, so that the count is the same in every run.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use ulna_benches::workload::{IDENTIFIERS, Requests, Setup, configuration, secret};
use ulna_core::cores::{Cores, assemble};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Requirements, Secrets};
use ulna_core::path::{ListenerId, Path, SocketId};
use ulna_core::{Instant, Seed};

/// Does it so many times.
type Operation = fn(usize);

/// What can be counted, by name.
const OPERATIONS: [(&str, Operation); 7] = [
    ("frame", frame),
    ("verify", verify),
    ("read-attributes", read_attributes),
    ("encode-reply", encode_reply),
    ("request-in-turns-of-64", |times| serve(times, 64, false)),
    ("request-in-turns-of-1", |times| serve(times, 1, false)),
    ("request-twice-in-turns-of-64", |times| serve(times, 64, true)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => OPERATIONS.iter().for_each(|(name, _)| println!("{name}")),
        [name, times] => {
            let operation = OPERATIONS.iter().find(|(each, _)| each == name);
            let (Some((_, operation)), Ok(times)) = (operation, times.parse()) else {
                eprintln!("count: {name} {times} is not among what can be counted");
                return ExitCode::from(2);
            };
            operation(times);
        }
        _ => {
            eprintln!("count: no arguments (lists what can be counted), or NAME TIMES");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn frame(times: usize) {
    let requests = Requests::prepare();
    for n in 0..times {
        black_box(Framed::parse(black_box(requests.of(n))).is_ok());
    }
}

fn verify(times: usize) {
    let requests = Requests::prepare();
    let secrets = Secrets::one(secret());
    let requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };
    let framed = Framed::parse(requests.of(0)).expect("we made it");
    for _ in 0..times {
        assert!(black_box(framed).verify_request(&secrets, requirements).is_ok());
    }
}

fn read_attributes(times: usize) {
    let requests = Requests::prepare();
    let framed = Framed::parse(requests.of(0)).expect("we made it");
    for _ in 0..times {
        black_box(black_box(framed).attributes().map(|attribute| attribute.value.len()).sum::<usize>());
    }
}

fn encode_reply(times: usize) {
    let secret = secret();
    let mut out = Vec::with_capacity(4096);
    for n in 0..times {
        let first = MessageAuthenticator::First;
        let encoder = Encoder::reply(&mut out, Code::AccessAccept, n as u8, first);
        encoder.finish_reply(&secret, black_box(&[7; 16]));
        black_box(&out);
    }
}

/// So many requests through a joined thread's cores, all phases of each turn, `each_turn` at a time; with `twice` each is
/// followed by a duplicate of itself in a turn of its own.
fn serve(times: usize, each_turn: usize, twice: bool) {
    let requests = Requests::prepare();
    let setup = Setup { network_threads: 0, workers: 1, log: false };
    let mut cores = assemble(&Arc::new(configuration(setup)), &Seed::new([7; 32]));
    let mut cores = cores.pop().expect("one joined thread");
    let mut out = Vec::with_capacity(4096);
    let mut now = Instant::ORIGIN;
    let mut replies = 0;
    for begin in (0..times).step_by(each_turn) {
        let batch = begin..(begin + each_turn).min(times);
        for _ in 0..=usize::from(twice) {
            now += std::time::Duration::from_micros(200);
            replies += turn(&mut cores, batch.clone().map(|n| (n, requests.of(n))), now, &mut out);
        }
    }
    assert_eq!(replies, times * (1 + usize::from(twice)), "each request has its reply");
}

/// One turn; says how many packets were to be sent.
fn turn<'r>(
    cores: &mut Cores,
    requests: impl Iterator<Item = (usize, &'r [u8])>,
    now: Instant,
    out: &mut Vec<u8>,
) -> usize {
    cores.begin();
    cores.sweep(now);
    for (n, octets) in requests {
        // Eight source ports, as under load.
        let port = 40_000 + (n / IDENTIFIERS % 8) as u16;
        let path = Path {
            via: SocketId(0),
            listener: ListenerId(0),
            local: ([127, 0, 0, 1], 1812).into(),
            remote: ([127, 0, 0, 1], port).into(),
        };
        cores.handle_datagram(path, black_box(octets), now);
    }
    cores.handle_timeout(now);
    cores.work(now);
    let mut sent = 0;
    loop {
        out.clear();
        if cores.poll_transmit(out).is_none() {
            break;
        }
        black_box(&out);
        sent += 1;
    }
    cores.stage();
    cores.take_home(now);
    cores.publish();
    assert!(cores.check_gate().is_none(), "there is no other thread");
    sent
}
