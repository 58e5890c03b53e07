//! Links that come and go: one by one, at random against a model, and in threads that park whenever they can.

use super::*;
use crate::queue::directory::Directory;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use core::time::Duration;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

type Pair<M> = [(ThreadHandle<u8>, Crossing<M, u8>); 2];

fn pair<M: Send>() -> Pair<M> {
    let mut directory = Directory::new();
    [directory.enter(), directory.enter()]
}

fn ends<M: Send>([(one, _), (other, _)]: &Pair<M>, slots: usize) -> (LinkEnd<M>, LinkEnd<M>) {
    link(one, other, slots)
}

fn check_gates<M: Send>(crossing: &mut Crossing<M, u8>) -> Vec<BellId> {
    crossing.publish();
    core::iter::from_fn(|| crossing.check_gate()).collect()
}

#[test]
fn a_link_brings_what_was_written_before_it_was_attached() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    assert_eq!((one.own(), one.peer()), (BellId(0), BellId(1)));
    let at = pair[0].1.attach(one);
    pair[0].1.stage(at, 'a', Urgency::Urgent);
    assert_eq!(check_gates(&mut pair[0].1), []);
    let reader = &mut pair[1].1;
    reader.announce(Announcement::Park);
    assert!(!reader.look_again(), "nobody has told it of the link");
    reader.unpark();
    let at = reader.attach(other);
    reader.announce(Announcement::Park);
    assert!(reader.look_again());
    reader.unpark();
    let mut got = vec![];
    reader.sweep(64, |link, message| got.push((link, message)));
    assert_eq!(got, [(at, 'a')]);
}

#[test]
fn the_lowest_free_number_is_given_again_and_the_hole_is_skipped() {
    let mut pair = pair();
    let (mine, theirs): (Vec<_>, Vec<_>) = (0..4).map(|_| ends(&pair, 2)).unzip();
    let [(_, one), (_, other)] = &mut pair;
    let numbers: Vec<_> = mine.into_iter().map(|end| one.attach(end)).collect();
    assert_eq!(numbers, [0, 1, 2, 3].map(LinkId));
    let others: Vec<_> = theirs.into_iter().map(|end| other.attach(end)).collect();
    one.detach(LinkId(1));
    one.detach(LinkId(0));
    assert_eq!((one.links(), one.is_attached(LinkId(1)), one.is_attached(LinkId(2))), (4, false, true));
    for at in &others[2..] {
        other.stage(*at, at.0, Urgency::Lazy);
    }
    other.publish();
    let mut got = vec![];
    assert_eq!(one.sweep(64, |link, message| got.push((link.0, message))), 2);
    assert_eq!(got, [(2, 2), (3, 3)]);
    assert_eq!(check_gates(one), []);
    one.detach(LinkId(3));
    assert_eq!(one.links(), 3, "nothing is numbered above the last");
    let next: Vec<_> = (0..3).map(|_| link(&pair[0].0, &pair[1].0, 2).0).collect();
    let numbers: Vec<_> = next.into_iter().map(|end| pair[0].1.attach(end)).collect();
    assert_eq!(numbers, [0, 1, 3].map(LinkId));
}

#[test]
fn only_what_is_drained_is_detached() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    let [(_, one), (_, other)] = {
        pair[0].1.attach(one);
        pair[1].1.attach(other);
        &mut pair
    };
    let link = LinkId(0);
    let refuses = |crossing: &mut Crossing<u8, u8>, why: &str| {
        assert!(!crossing.is_drained(link), "{why}");
        assert!(catch_unwind(AssertUnwindSafe(|| crossing.detach(link))).is_err(), "{why}");
    };
    one.stage(link, 1, Urgency::Urgent);
    refuses(one, "staged");
    one.publish();
    refuses(one, "unchecked");
    assert_eq!(one.check_gate(), None);
    refuses(one, "unread there");
    refuses(other, "unread here");
    other.sweep(64, |_, _| ());
    refuses(other, "its head is published, and nobody told");
    assert!(one.is_drained(link), "all is read");
    assert_eq!(check_gates(other), []);
    other.detach(link);
    one.detach(link);
    assert_eq!((one.links(), other.links()), (0, 0));
}

#[test]
fn who_waits_to_be_drained_is_rung_when_all_is_read_and_not_before() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    pair[0].1.attach(one);
    pair[1].1.attach(other);
    let [(_, one), (_, other)] = &mut pair;
    let link = LinkId(0);
    (0..3).for_each(|message| one.stage(link, message, Urgency::Urgent));
    assert_eq!(check_gates(one), []);
    one.ask_for_drain(link);
    one.announce(Announcement::Park);
    assert!(!one.look_again());
    let mut rung = vec![];
    for _ in 0..3 {
        other.sweep(1, |_, _: u8| ());
        rung.push(check_gates(other));
    }
    assert_eq!(rung, [vec![], vec![], vec![BellId(0)]]);
    one.unpark();
    assert_eq!(one.room(link), 4);
    one.detach(link);
    assert_eq!(one.counters().full, 0, "it did not wait for space");
}

#[test]
fn an_end_is_attached_only_where_it_belongs() {
    let mut pair: Pair<u8> = pair();
    let (one, _other) = ends(&pair, 4);
    assert!(catch_unwind(AssertUnwindSafe(|| pair[1].1.attach(one))).is_err());
}

/// Attached once, a thread does all else in the room that its lines have.
#[test]
fn nothing_grows_after_the_last_attach() {
    let mut pair = pair();
    for _ in 0..5 {
        let (one, other) = ends(&pair, 2);
        pair[0].1.attach(one);
        pair[1].1.attach(other);
    }
    let room = |crossing: &Crossing<u8, u8>| (crossing.touched.capacity(), crossing.unchecked.capacity());
    let before = room(&pair[0].1);
    assert!(before.0 >= 5 && before.1 >= 5);
    for at in 0..5 {
        pair[0].1.stage(LinkId(at), 1, Urgency::Urgent);
    }
    pair[0].1.publish();
    for at in 0..5 {
        pair[0].1.stage(LinkId(at), 2, Urgency::Urgent);
    }
    while pair[0].1.check_gate().is_some() {}
    check_gates(&mut pair[0].1);
    let after = room(&pair[0].1);
    assert!(after == before || after == (before.1, before.0), "the lines change places with each publish");
}

#[derive(Debug, Clone)]
enum Step {
    /// A new link; the end of which thread is attached at once.
    Link(usize),
    /// The oldest end under way to this thread arrives.
    Attach(usize),
    Stage(usize, usize, u8),
    Publish(usize),
    Sweep(usize, usize),
    Detach(usize, usize),
    Post(usize, u8),
    Poll(usize),
    /// Announce, look again, unpark.
    Look(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let thread = 0usize..2;
    let step = prop_oneof![
        2 => thread.clone().prop_map(Step::Link),
        2 => thread.clone().prop_map(Step::Attach),
        8 => (thread.clone(), 0usize..4, 1u8..4).prop_map(|(thread, link, count)| Step::Stage(thread, link, count)),
        5 => thread.clone().prop_map(Step::Publish),
        6 => (thread.clone(), 0usize..4).prop_map(|(thread, budget)| Step::Sweep(thread, budget)),
        6 => (thread.clone(), 0usize..4).prop_map(|(thread, link)| Step::Detach(thread, link)),
        2 => (thread.clone(), any::<u8>()).prop_map(|(thread, letter)| Step::Post(thread, letter)),
        2 => thread.clone().prop_map(Step::Poll),
        3 => thread.prop_map(Step::Look),
    ];
    proptest::collection::vec(step, 0..if cfg!(miri) { 40 } else { 300 })
}

const SLOTS: usize = 3;

/// What a link is: by thread, the messages on their way *from* it.
#[derive(Debug, Default)]
struct Wire {
    staged: [VecDeque<u32>; 2],
    unread: [VecDeque<u32>; 2],
}

#[derive(Debug, Default)]
struct Side {
    /// By number: which wire.
    attached: BTreeMap<usize, usize>,
    letters: VecDeque<u8>,
}

impl Side {
    fn lowest_free(&self) -> usize {
        (0..).find(|at| !self.attached.contains_key(at)).expect("there are numbers enough")
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Two threads and any number of links between them, each two lines a way.
    #[test]
    fn links_behave_like_lines(steps in steps()) {
        let mut pair: Pair<u32> = pair();
        let mut under_way: [VecDeque<(usize, LinkEnd<u32>)>; 2] = Default::default();
        let mut sides: [Side; 2] = Default::default();
        let mut wires: Vec<Wire> = vec![];
        let mut next = 0;
        for step in steps {
            match step {
                Step::Link(first) => if wires.len() < 8 {
                    let (one, other) = ends(&pair, SLOTS);
                    let wire = wires.len();
                    wires.push(Wire::default());
                    let mut both = [Some(one), Some(other)];
                    let own = both[first].take().expect("it is there");
                    let at = sides[first].lowest_free();
                    prop_assert_eq!(pair[first].1.attach(own), LinkId(at));
                    sides[first].attached.insert(at, wire);
                    let theirs = both[1 - first].take().expect("it is there");
                    under_way[1 - first].push_back((wire, theirs));
                },
                Step::Attach(thread) => if let Some((wire, end)) = under_way[thread].pop_front() {
                    let at = sides[thread].lowest_free();
                    prop_assert_eq!(pair[thread].1.attach(end), LinkId(at));
                    sides[thread].attached.insert(at, wire);
                },
                Step::Stage(thread, at, count) => if let Some(wire) = sides[thread].attached.get(&at) {
                    let wire = &mut wires[*wire];
                    for _ in 0..count {
                        let room = SLOTS - wire.staged[thread].len() - wire.unread[thread].len();
                        prop_assert_eq!(pair[thread].1.room(LinkId(at)), room);
                        if room > 0 {
                            pair[thread].1.stage(LinkId(at), next, Urgency::Urgent);
                            wire.staged[thread].push_back(next);
                            next += 1;
                        }
                    }
                },
                Step::Publish(thread) => {
                    prop_assert_eq!(check_gates(&mut pair[thread].1), [], "both run");
                    for wire in sides[thread].attached.values() {
                        let Wire { staged, unread } = &mut wires[*wire];
                        unread[thread].append(&mut staged[thread]);
                    }
                }
                Step::Sweep(thread, budget) => {
                    let mut expected = vec![];
                    for (at, wire) in &sides[thread].attached {
                        let unread = &mut wires[*wire].unread[1 - thread];
                        let count = unread.len().min(budget);
                        expected.extend(unread.drain(..count).map(|message| (LinkId(*at), message)));
                    }
                    let mut got = vec![];
                    pair[thread].1.sweep(budget, |link, message| got.push((link, message)));
                    prop_assert_eq!(got, expected);
                    check_gates_of_heads(&mut pair[thread].1, &mut wires, &sides[thread], thread);
                }
                Step::Detach(thread, at) => if let Some(wire) = sides[thread].attached.get(&at).copied() {
                    let Wire { staged, unread } = &wires[wire];
                    let is_drained = staged[thread].is_empty() && unread.iter().all(VecDeque::is_empty);
                    prop_assert_eq!(pair[thread].1.is_drained(LinkId(at)), is_drained);
                    // What the other end staged or will stage would be lost: the layer above has heard its last.
                    if is_drained && staged[1 - thread].is_empty() && is_attached(&sides[1 - thread], wire) {
                        pair[thread].1.detach(LinkId(at));
                        sides[thread].attached.remove(&at);
                        let (theirs, _) = sides[1 - thread].attached.iter().find(|(_, each)| **each == wire).expect("attached");
                        let theirs = *theirs;
                        prop_assert!(pair[1 - thread].1.is_drained(LinkId(theirs)));
                        pair[1 - thread].1.detach(LinkId(theirs));
                        sides[1 - thread].attached.remove(&theirs);
                    }
                },
                Step::Post(thread, letter) => {
                    prop_assert_eq!(pair[thread].0.post(letter), None);
                    sides[thread].letters.push_back(letter);
                }
                Step::Poll(thread) => {
                    prop_assert_eq!(pair[thread].1.poll_letter(), sides[thread].letters.pop_front());
                }
                Step::Look(thread) => {
                    let is_unpublished = |wire: &usize| !wires[*wire].staged[thread].is_empty();
                    if !sides[thread].attached.values().any(is_unpublished) {
                        let is_unread = |wire: &usize| !wires[*wire].unread[1 - thread].is_empty();
                        let found = !sides[thread].letters.is_empty() || sides[thread].attached.values().any(is_unread);
                        let crossing = &mut pair[thread].1;
                        crossing.announce(Announcement::Park);
                        prop_assert_eq!(crossing.look_again(), found);
                        crossing.unpark();
                    }
                }
            }
            for (side, (_, crossing)) in sides.iter().zip(&pair) {
                prop_assert_eq!(crossing.links(), side.attached.keys().last().map_or(0, |last| last + 1));
                let is_wrong = |at: usize| crossing.is_attached(LinkId(at)) != side.attached.contains_key(&at);
                prop_assert!(!(0..9).any(is_wrong));
            }
        }
    }
}

fn is_attached(side: &Side, wire: usize) -> bool {
    side.attached.values().any(|each| *each == wire)
}

/// A sweep's heads are checked at once, which publishes what was staged, too.
fn check_gates_of_heads(crossing: &mut Crossing<u32, u8>, wires: &mut [Wire], side: &Side, thread: usize) {
    assert_eq!(check_gates(crossing), []);
    for wire in side.attached.values() {
        let Wire { staged, unread } = &mut wires[*wire];
        unread[thread].append(&mut staged[thread]);
    }
}

/// Wakes one thread; a wake-up that does not come in ten seconds is lost.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().expect("nobody panics with it")
    }

    fn ring(&self) {
        *self.lock() = true;
        self.wake.notify_one();
    }

    fn sleep(&self) {
        let waited = self.wake.wait_timeout_while(self.lock(), Duration::from_secs(10), |rung| !*rung);
        let (mut rung, outcome) = waited.expect("nobody panics with it");
        assert!(!outcome.timed_out(), "a wake-up was lost");
        *rung = false;
    }
}

/// More threads than there ever are at a time: numbers are given again.
type Bells = [Bell; 16];

enum Letter {
    Link(LinkEnd<u64>),
    /// No more links come.
    End,
}

/// In a message: the last of its side.
const LAST: u64 = u64::MAX;

/// What one side of a link has done.
struct Talk {
    said: u64,
    heard: u64,
    has_said_last: bool,
    has_heard_last: bool,
}

/// Talks over each link that letters bring: `count` numbers each way, then the last; gives up each link as soon as all is
/// said, and ends when no more come. Sleeps whenever there is nothing to do. Says how many links there were, and counters.
fn talk(mut crossing: Crossing<u64, Letter>, count: u64, bells: &Bells) -> (u64, QueueCounters) {
    let mut talks: Vec<Option<Talk>> = vec![];
    let (mut is_ending, mut links) = (false, 0);
    loop {
        while let Some(letter) = crossing.poll_letter() {
            match letter {
                Letter::End => is_ending = true,
                Letter::Link(end) => {
                    let LinkId(at) = crossing.attach(end);
                    talks.resize_with(talks.len().max(at + 1), || None);
                    talks[at] = Some(Talk { said: 0, heard: 0, has_said_last: false, has_heard_last: false });
                    links += 1;
                }
            }
        }
        crossing.sweep(3, |LinkId(at), message| {
            let talk = talks[at].as_mut().expect("who is heard has a link");
            assert!(!talk.has_heard_last, "nothing comes after the last");
            if message == LAST {
                assert_eq!(talk.heard, count, "nothing before the last is lost");
                talk.has_heard_last = true;
            } else {
                assert_eq!(message, talk.heard, "in order, each once");
                talk.heard += 1;
            }
        });
        let mut waits = true;
        for (at, talk) in talks.iter_mut().enumerate() {
            let Some(talk) = talk.as_mut().filter(|talk| !talk.has_said_last) else { continue };
            let room = crossing.room(LinkId(at)) as u64;
            for _ in 0..room.min(count + 1 - talk.said) {
                if talk.said == count {
                    crossing.stage(LinkId(at), LAST, Urgency::Urgent);
                    talk.has_said_last = true;
                } else {
                    let urgency = if talk.said % 3 == 0 { Urgency::Lazy } else { Urgency::Urgent };
                    crossing.stage(LinkId(at), talk.said, urgency);
                    talk.said += 1;
                }
            }
            if !talk.has_said_last {
                crossing.ask_for_space(LinkId(at));
            }
        }
        crossing.publish();
        while let Some(BellId(thread)) = crossing.check_gate() {
            bells[usize::from(thread)].ring();
        }
        for (at, place) in talks.iter_mut().enumerate() {
            let is_over = |talk: &Talk| talk.has_said_last && talk.has_heard_last;
            if place.as_ref().is_some_and(is_over) {
                if crossing.is_drained(LinkId(at)) {
                    crossing.detach(LinkId(at));
                    *place = None;
                    waits = false;
                } else {
                    crossing.ask_for_drain(LinkId(at));
                }
            }
        }
        if is_ending && crossing.links() == 0 {
            return (links, crossing.counters());
        }
        if waits {
            // Something lazy may be the last that comes before a limit here: so it wants it.
            crossing.announce(Announcement::Want);
            if !crossing.look_again() {
                bells[usize::from(crossing.bell().0)].sleep();
            }
            crossing.unpark();
        }
    }
}

/// A supervisor starts threads, links each with two that are there, and ends the oldest; all talk, close and give up
/// their links meanwhile. `ULNA_QUEUE_LIVES` threads live.
#[test]
fn threads_come_talk_and_go() {
    let lives = std::env::var("ULNA_QUEUE_LIVES").ok().and_then(|lives| lives.parse().ok());
    let lives: u64 = lives.unwrap_or(if cfg!(miri) { 6 } else { 2_000 });
    let count = if cfg!(miri) { 5 } else { 50 };
    let bells: Bells = Default::default();
    let post = |handle: &ThreadHandle<Letter>, letter: Letter| {
        if let Some(BellId(bell)) = handle.post(letter) {
            bells[usize::from(bell)].ring();
        }
    };
    let (mut made, mut counted, mut parks, mut numbers_max) = (0, 0, 0, 0);
    thread::scope(|scope| {
        let bells = &bells;
        let mut directory = Directory::new();
        let mut there: VecDeque<(BellId, mpsc::Receiver<(u64, QueueCounters)>)> = VecDeque::new();
        let mut end_oldest =
            |directory: &mut Directory<Letter>, there: &mut VecDeque<(BellId, mpsc::Receiver<_>)>| {
                let (bell, result) = there.pop_front().expect("somebody is there");
                post(directory.handle(bell).expect("it is there"), Letter::End);
                directory.leave(bell);
                // A lost wake-up ends the thread by a panic, and this with it.
                let (links, counters): (u64, QueueCounters) =
                    result.recv().expect("the thread ends as it should");
                counted += links;
                parks += counters.parks;
            };
        for _ in 0..lives {
            let (handle, crossing) = directory.enter::<u64>();
            numbers_max = numbers_max.max(handle.bell().0);
            let (done, result) = mpsc::channel();
            scope.spawn(move || done.send(talk(crossing, count, bells)));
            for (bell, _) in there.iter().rev().take(2) {
                let other = directory.handle(*bell).expect("it is there");
                let (own, theirs) = link(&handle, other, 4);
                post(&handle, Letter::Link(own));
                post(other, Letter::Link(theirs));
                made += 2;
            }
            there.push_back((handle.bell(), result));
            if there.len() > 3 {
                end_oldest(&mut directory, &mut there);
            }
        }
        while !there.is_empty() {
            end_oldest(&mut directory, &mut there);
        }
    });
    assert_eq!(counted, made, "each end was attached, and given up");
    assert!(parks > lives || cfg!(miri), "threads sleep: {parks} times");
    // Who has left is bound only by the links that are given up at the same time.
    assert!(usize::from(numbers_max) < bells.len(), "numbers are given again: up to {numbers_max}");
}
