//! Threads that come and go, and park whenever they can.

use crate::queue::crossing::{BellId, Crossing, LinkEnd, LinkId, QueueCounters, link};
use crate::queue::directory::{Directory, ThreadHandle};
use crate::queue::gate::{Announcement, Urgency};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, mpsc};
use std::thread;

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
