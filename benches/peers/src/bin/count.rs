//! One reader so many times and nothing else, for callgrind: `count WORK NAME TIMES`; without arguments their names.

use std::hint::black_box;
use std::process::ExitCode;

use ulna_benches_peers::{READERS, datagram};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, name, times] = &arguments[..] else {
        READERS.iter().for_each(|(work, name, _)| println!("{work}\t{name}"));
        return ExitCode::SUCCESS;
    };
    let reader = READERS.iter().find(|(each, by, _)| each == work && by == name);
    let (Some((_, _, make)), Ok(times)) = (reader, times.parse::<usize>()) else {
        eprintln!("count: {work} {name} {times} is not among what can be counted");
        return ExitCode::from(2);
    };
    let (datagram, mut reader) = (datagram(), make());
    for _ in 0..times {
        assert!(black_box(reader(black_box(&datagram))).is_some());
    }
    ExitCode::SUCCESS
}
