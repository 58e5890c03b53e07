//! Both sides in one process, each with a poll of its own.

use super::*;
use crate::shared_ring::SLOTS_MAX;
use std::hint::{black_box, spin_loop};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const TOKEN: Token = Token(7);

/// A name in a folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ulna-link-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("there is a temporary folder");
        Folder(folder)
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).expect("it is there").count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Side {
    link: Link,
    poll: Poll,
    events: Events,
}

impl Side {
    fn of(mut link: Link) -> Side {
        let poll = Poll::new().expect("a poll");
        link.register(poll.registry(), TOKEN).expect("it is watched");
        Side { link, poll, events: Events::with_capacity(4) }
    }

    fn wait(&mut self) {
        self.link.wait(&mut self.poll, &mut self.events, PATIENCE).expect("it waits");
    }
}

/// Long enough that a test which needs it has failed.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

#[test]
fn who_sleeps_is_rung_once_and_who_does_not_never() {
    let folder = Folder::new("rung");
    let name = folder.0.join("ring");
    let mut server = Side::of(Link::create(&name, 4).expect("a new name"));
    assert_eq!(folder.entries(), 3);
    let mut asker = Side::of(Link::open(&name).expect("it is there"));
    assert!(!server.link.is_attached());
    server.wait();
    assert!(server.link.is_attached());
    assert_eq!(folder.entries(), 0, "it is for one, and that has come");

    // Nobody sleeps.
    asker.link.stage(address(1), address(1812), b"one");
    asker.link.publish();
    assert_eq!(asker.link.counters().rings, 0);
    let mut seen = Vec::new();
    server.link.sweep(64, |slot| seen.push((slot.remote, slot.octets().to_vec())));
    assert_eq!(seen, [(address(1), b"one".to_vec())]);
    server.link.publish();

    server.link.announce();
    assert!(!server.link.look_again());
    for _ in 0..3 {
        asker.link.stage(address(2), address(1812), b"two");
        asker.link.publish();
    }
    assert_eq!(asker.link.counters().rings, 1, "one bell for each sleep");
    server.poll.poll(&mut server.events, PATIENCE).expect("it waits");
    server.link.unpark();
    server.events.iter().for_each(|event| server.link.handle_event(event));
    assert_eq!(server.link.sweep(64, |_| {}), 3);
    server.link.publish();
    assert_eq!((server.link.end(), asker.link.end()), (None, None));
}

#[test]
fn one_that_sleeps_is_rung_by_a_creator_that_has_not_heard_of_it() {
    let folder = Folder::new("unheard");
    let name = folder.0.join("ring");
    let mut server = Side::of(Link::create(&name, 4).expect("a new name"));
    let mut asker = Side::of(Link::open(&name).expect("it is there"));
    asker.link.stage(address(1), address(1812), b"one");
    asker.link.publish();
    asker.link.announce();
    assert!(!asker.link.look_again());
    // It sees the message before its poll has told of the one who came.
    assert_eq!(server.link.sweep(64, |_| {}), 1);
    server.link.stage(address(1), address(1812), b"answer");
    server.link.publish();
    asker.poll.poll(&mut asker.events, PATIENCE).expect("it waits");
    assert!(!asker.events.is_empty(), "its bell was rung");
}

#[test]
fn either_side_learns_that_the_other_has_gone_and_can_read_what_it_left() {
    let folder = Folder::new("gone");
    let name = folder.0.join("ring");
    for creator_goes in [true, false] {
        let mut server = Side::of(Link::create(&name, 2).expect("a new name"));
        let asker = Side::of(Link::open(&name).expect("it is there"));
        server.wait();
        let (mut goes, mut stays) = if creator_goes { (server, asker) } else { (asker, server) };
        goes.link.stage(address(1), address(1812), b"last");
        goes.link.publish();
        drop(goes);
        while stays.link.end().is_none() {
            stays.link.sweep(0, |_| {});
            stays.poll.poll(&mut stays.events, PATIENCE).expect("it waits");
            assert!(!stays.events.is_empty(), "it is told");
            stays.events.iter().for_each(|event| stays.link.handle_event(event));
        }
        assert_eq!(stays.link.end(), Some(End::Gone));
        assert_eq!(stays.link.sweep(64, |slot| assert_eq!(slot.octets(), b"last")), 1);
        assert_eq!(stays.link.room(), 0, "nobody would read it");
        assert_eq!(folder.entries(), 0);
    }
}

#[test]
fn a_link_that_nobody_opened_leaves_no_names() {
    let folder = Folder::new("names");
    let name = folder.0.join("ring");
    let link = Link::create(&name, 2).expect("a new name");
    assert!(matches!(Link::create(&name, 2), Err(OpenError::System { .. })), "the names are taken");
    assert_eq!(folder.entries(), 3, "and stay");
    drop(link);
    assert_eq!(folder.entries(), 0);
    for slots in [0, 3, 2 * SLOTS_MAX] {
        assert!(matches!(Link::create(&name, slots), Err(OpenError::Slots(_))), "{slots}");
    }
    assert_eq!(folder.entries(), 0, "what was refused leaves none either");
}

#[test]
fn one_opens_it_and_no_second_one() {
    let folder = Folder::new("taken");
    let name = folder.0.join("ring");
    let _server = Link::create(&name, 2).expect("a new name");
    let first = Link::open(&name).expect("it is there");
    assert!(matches!(Link::open(&name), Err(OpenError::Taken)));
    drop(first);
}

#[test]
fn room_that_came_before_the_second_look_is_seen_by_it() {
    let folder = Folder::new("room");
    let name = folder.0.join("ring");
    let mut server = Link::create(&name, 2).expect("a new name");
    let mut asker = Link::open(&name).expect("it is there");
    for _ in 0..2 {
        asker.stage(address(1), address(1812), b"message");
    }
    asker.publish();
    assert_eq!(asker.room(), 0);
    asker.ask_for_space();
    assert_eq!(server.sweep(1, |_| {}), 1);
    server.publish();
    assert_eq!(server.counters().rings, 0, "nobody sleeps yet");
    asker.announce();
    assert!(asker.look_again());
    asker.unpark();
    // What was answered is not asked for any more.
    asker.announce();
    assert!(!asker.look_again());
}

/// Which of two phases has to see the other.
#[derive(Debug, Clone, Copy)]
enum Meeting {
    /// One publishes a message while the other goes to sleep.
    Message,
    /// One gives a slot back while the other, which waits for it, goes to sleep.
    Room,
}

/// Keeps this thread on the first or the second core that it may use, if there are two: on one they would take turns.
fn keep_apart(own: usize) {
    let may = sched_getaffinity(None).expect("a thread may ask that");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| may.is_set(*core));
    if let Some(core) = cores.nth(own) {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).expect("it may use it");
    }
}

/// Where two threads meet, to part within nanoseconds of each other.
#[derive(Default)]
struct Barrier([AtomicU64; 2]);

/// One of the two. One that panics is met everywhere.
struct Party<'a>(&'a Barrier, usize, u64);

impl Party<'_> {
    fn meet(&mut self) {
        let Party(Barrier(places), own, count) = self;
        *count += 1;
        // Release pairs with the other's Acquire below.
        places[*own].store(*count, Ordering::Release);
        for spins in 0u64.. {
            if places[1 - *own].load(Ordering::Acquire) >= *count {
                return;
            }
            // The other one may have no core.
            if spins % 1000 == 999 { thread::yield_now() } else { spin_loop() }
        }
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        self.0.0[self.1].store(u64::MAX, Ordering::Release);
    }
}

/// Without either of the two fences some rounds fail on a machine that has but a store buffer.
#[test]
fn of_one_that_publishes_and_one_that_goes_to_sleep_one_sees_the_other() {
    for meeting in [Meeting::Message, Meeting::Room] {
        let folder = Folder::new("meeting");
        let name = folder.0.join("ring");
        let mut server = Link::create(&name, 1).expect("a new name");
        let mut asker = Link::open(&name).expect("it is there");
        asker.stage(address(1), address(1812), b"message");
        asker.publish();
        if let Meeting::Message = meeting {
            assert_eq!(server.sweep(1, |_| {}), 1);
            server.publish();
        }
        let (barrier, rung) = (Barrier::default(), AtomicU64::new(0));
        let found = thread::scope(|scope| {
            scope.spawn(|| {
                keep_apart(0);
                let mut party = Party(&barrier, 0, 0);
                for round in 0..ROUNDS {
                    if let Meeting::Message = meeting {
                        assert_eq!(server.room(), 1);
                        server.stage(address(1), address(1812), b"message");
                    }
                    party.meet();
                    // Each distance from the other's announcement, again and again.
                    (0..round % DISTANCE_MAX).for_each(|step| _ = black_box(step));
                    if let Meeting::Room = meeting {
                        assert_eq!(server.sweep(1, |_| {}), 1);
                    }
                    server.publish();
                    rung.store(server.counters().rings, Ordering::Relaxed);
                    party.meet();
                    party.meet();
                }
            });
            let sleeper = scope.spawn(|| {
                keep_apart(1);
                let mut party = Party(&barrier, 1, 0);
                let (mut found, mut rung_before) = (0, 0);
                for _ in 0..ROUNDS {
                    if let Meeting::Room = meeting {
                        asker.ask_for_space();
                    }
                    party.meet();
                    (0..DISTANCE_MAX / 4).for_each(|step| _ = black_box(step));
                    asker.announce();
                    let is_found = asker.look_again();
                    party.meet();
                    asker.unpark();
                    let rung = rung.load(Ordering::Relaxed);
                    assert!(is_found || rung > rung_before, "{meeting:?}: neither has seen the other");
                    rung_before = rung;
                    found += u64::from(is_found);
                    match meeting {
                        Meeting::Message => assert_eq!(asker.sweep(1, |_| {}), 1),
                        Meeting::Room => {
                            assert_eq!(asker.room(), 1);
                            asker.stage(address(1), address(1812), b"message");
                        }
                    }
                    asker.publish();
                    party.meet();
                }
                found
            });
            sleeper.join().expect("each has been seen")
        });
        println!("{meeting:?}: {found} of {ROUNDS} second looks found it");
    }
}

const ROUNDS: u64 = 50_000;
const DISTANCE_MAX: u64 = 400;
