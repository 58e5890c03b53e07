//! Whatever the other process writes, this one sees messages of valid length or a named end, and never hangs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use ulna_runtime_mio::shared_ring::{End, Link};

use super::{Draws, Folder, Other, within};

const SLOTS: u32 = 8;
/// How long it is tried, and at most, should some end not have been seen by then.
const SPAN: Duration = Duration::from_secs(2);
const SPAN_MAX: Duration = Duration::from_secs(30);
/// All that can be told of the other process.
const NAMES: [&str; 7] =
    ["TailWentBack", "TailTooFar", "HeadWentBack", "HeadTooFar", "Kind", "Length", "Family"];

#[test]
fn one_that_writes_at_random_gets_no_further_than_a_named_end() {
    within(|| {
        let folder = Folder::new("scribble");
        let mut other = Other::start("scribble", &folder.ring());
        let mut input = other.input.take().expect("it is piped");
        let answers = BufReader::new(other.child.stdout.take().expect("it is piped"));
        let (done, is_done) = channel();
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok).filter(|line| line.ends_with(DONE)) {
                if done.send(line).is_err() {
                    return;
                }
            }
        });
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        let (mut messages, mut seed) = (0, 0);
        let begin = Instant::now();
        while begin.elapsed() < SPAN || (ends.len() < NAMES.len() && begin.elapsed() < SPAN_MAX) {
            seed += 1;
            // Either side may be the one that is written to.
            let mut created = Link::create(&folder.ring(), SLOTS).expect("a new name");
            let mut opened = Link::open(&folder.ring()).expect("it is there");
            writeln!(input, "{seed} {}", folder.ring().display()).expect("it reads");
            loop {
                for link in [&mut created, &mut opened] {
                    messages += use_it(link);
                }
                match is_done.try_recv() {
                    Ok(_) => break,
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => panic!("the other process has gone at seed {seed}"),
                }
            }
            for end in [created.end(), opened.end()].into_iter().flatten() {
                // Of the name alone, without its value.
                let End::Broke(broke) = end else { panic!("{end} at seed {seed}") };
                let name = format!("{broke:?}");
                *ends.entry(name.split('(').next().expect("there is a first part").into()).or_default() += 1;
            }
        }
        drop(input);
        other.end_well();
        println!("{seed} seeds, {messages} messages, ends: {ends:?}");
        assert!(messages > 100, "some of what was written was well formed: {messages}");
        for name in NAMES {
            assert!(ends.contains_key(name), "{name} was not seen: {ends:?}");
        }
    });
}

/// All phases, once; says how many messages there were.
fn use_it(link: &mut Link) -> usize {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let messages = link.sweep(64, |slot| assert!(slot.octets().len() <= 4096));
    assert!(messages <= SLOTS as usize);
    let room = link.room();
    assert!(room <= SLOTS as usize);
    if room > 0 {
        link.stage(nobody, nobody, b"message");
    } else {
        link.publish();
        link.ask_for_space();
    }
    link.publish();
    link.announce();
    link.look_again();
    link.unpark();
    messages
}

const DONE: &str = "scribbled";

/// For each line of input, a seed and a path: writes into that file at random, many times.
pub fn scribble() {
    for line in std::io::stdin().lines() {
        let line = line.expect("text");
        let (seed, path) = line.split_once(' ').expect("a seed and a path");
        scribble_with(Draws(seed.parse().expect("a number")), Path::new(path));
        println!("\n{seed} {DONE}");
    }
}

fn scribble_with(mut draws: Draws, path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    let octets = 4096 + 2 * u64::from(SLOTS) * 4160;
    let way = draws.below(4);
    let mut whole = vec![0; octets as usize];
    for number in 0..if way == 0 { 10 } else { 300u64 } {
        match way {
            // Everything at once.
            0 => {
                whole.chunks_mut(8).for_each(|word| word.copy_from_slice(&draws.next().to_ne_bytes()));
                file.write_all_at(&whole, 0).expect("it is there");
            }
            // A word anywhere among gates and indices, with a small value.
            1 => {
                let value = draws.below(3 * u64::from(SLOTS));
                file.write_all_at(&value.to_ne_bytes(), 128 + 8 * draws.below(128)).expect("it is there");
            }
            // A tail that counts up over slots whose heads are nearly well formed.
            2 | 3 => {
                let (tail, slots, kind) =
                    if way == 2 { (384, 4096, 1u32) } else { (768, 4096 + u64::from(SLOTS) * 4160, 2) };
                let slot = slots + draws.below(u64::from(SLOTS)) * 4160;
                let is_wrong = |draws: &mut Draws| draws.below(50) == 0;
                let kind = if is_wrong(&mut draws) { draws.next() as u32 } else { kind };
                let length =
                    if is_wrong(&mut draws) { draws.next() as u32 } else { draws.below(4097) as u32 };
                let family = if is_wrong(&mut draws) { draws.next() as u16 } else { 4 };
                let mut head = [0; 16];
                head[..4].copy_from_slice(&kind.to_ne_bytes());
                head[4..8].copy_from_slice(&length.to_ne_bytes());
                head[8..10].copy_from_slice(&family.to_ne_bytes());
                head[12..14].copy_from_slice(&4u16.to_ne_bytes());
                file.write_all_at(&head, slot).expect("it is there");
                if number > 2 * u64::from(SLOTS) {
                    let count = number - 2 * u64::from(SLOTS);
                    file.write_all_at(&count.to_ne_bytes(), tail).expect("it is there");
                    std::thread::yield_now();
                }
            }
            _ => unreachable!("below 4"),
        }
    }
}
