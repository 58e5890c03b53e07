//! Wake-ups lost on purpose: a bell that is not rung, a second look that is not made.

use super::*;
use mio::{Events, Poll};
use std::time::Duration;
use ulna_core::Instant;
use ulna_core::configuration::RuntimeSettings;
use ulna_core::queue::{Announcement, Crossing, Exchange, LinkId, Urgency};

use crate::bell::Bell;
use crate::clock::Clock;
use crate::patience::{Patience, Sleeper};
use crate::system_calls::SystemCalls;

const WRITER: BellId = BellId(0);
const LINK: LinkId = LinkId(0);

/// A thread without cores, each of whose waits ends by a deadline.
struct Waiting {
    crossing: Crossing<u64>,
    clock: Clock,
    wait: Duration,
    /// Done between the announcement and the second look, once.
    meanwhile: Option<Box<dyn FnOnce()>>,
    blind: bool,
}

impl Sleeper for Waiting {
    fn is_anything_unread(&mut self) -> bool {
        self.crossing.is_anything_unread()
    }

    fn announce(&mut self) {
        self.crossing.announce(Announcement::Park);
    }

    fn look_again(&mut self) -> bool {
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        !self.blind && self.crossing.look_again()
    }

    fn unpark(&mut self) -> Woken {
        self.crossing.unpark()
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.clock.now() + self.wait)
    }

    fn urgent_unread_from(&self) -> Option<BellId> {
        self.crossing.unread_from(|_| true)
    }
}

struct Pair {
    writer: Crossing<u64>,
    reader: Waiting,
    rounds: Rounds,
    patience: Patience,
    poll: Poll,
    bell: Bell,
    calls: SystemCalls,
}

fn pair() -> Pair {
    let mut exchange = Exchange::new(2);
    exchange.link(WRITER, BellId(1), 16);
    let mut crossings = exchange.build();
    let (crossing, writer) = (crossings.remove(1), crossings.remove(0));
    let (rounds, clock) = (Rounds::new(2), Clock::start());
    let settings = RuntimeSettings { linger_max: Duration::ZERO, ..RuntimeSettings::default() };
    let poll = Poll::new().expect("a poll");
    let bell = Bell::new(poll.registry()).expect("a bell");
    let wait = Duration::from_millis(5);
    let reader = Waiting { crossing, clock, wait, meanwhile: None, blind: false };
    let patience = Patience::new(&settings, &rounds, 2, clock);
    Pair { writer, reader, rounds, patience, poll, bell, calls: SystemCalls::default() }
}

impl Pair {
    fn wait(&mut self) {
        let mut events = Events::with_capacity(8);
        let Pair { reader, patience, poll, calls, .. } = self;
        patience.wait(reader, poll, &mut events, true, calls).expect("the kernel waits");
    }

    fn read(&mut self) {
        let crossing = &mut self.reader.crossing;
        assert_eq!(crossing.sweep(8, |_, _| {}), 1);
        crossing.publish();
        assert_eq!(crossing.check_gate(), None);
    }

    fn lost(&self) -> u64 {
        self.patience.counters().lost_wakeups
    }
}

/// A message by a whole round; whether it has to ring, which the caller may leave undone.
fn send(writer: &mut Crossing<u64>, rounds: &Rounds) -> bool {
    rounds.begin(WRITER);
    writer.stage(LINK, 1, Urgency::Urgent);
    writer.publish();
    let rings = writer.check_gate().is_some();
    assert_eq!(writer.check_gate(), None);
    rounds.end(WRITER);
    rings
}

#[test]
fn a_bell_that_rings_is_no_loss() {
    let mut pair = pair();
    // Waits end by deadlines with nothing unread; then one ends by the bell.
    pair.wait();
    let bell = pair.bell.clone();
    let (mut writer, rounds) = (pair.writer, pair.rounds.clone());
    let (sent, has_sent) = std::sync::mpsc::channel();
    pair.reader.meanwhile = Some(Box::new(move || {
        // In the window in which only the announcement tells of the sleep.
        assert!(send(&mut writer, &rounds));
        bell.ring(&mut SystemCalls::default());
        sent.send(writer).expect("the test waits for it");
    }));
    pair.writer = {
        let mut events = Events::with_capacity(8);
        let wait = pair.patience.wait(&mut pair.reader, &mut pair.poll, &mut events, true, &mut pair.calls);
        wait.expect("the kernel waits");
        assert!(crate::patience::has_bell(&events));
        has_sent.recv().expect("it was sent")
    };
    pair.read();
    pair.wait();
    assert_eq!(pair.lost(), 0);
}

#[test]
fn a_message_slept_through_is_counted_once() {
    let mut pair = pair();
    assert!(!send(&mut pair.writer, &pair.rounds), "the reader runs: nobody rings");
    pair.reader.blind = true;
    pair.wait();
    assert_eq!(pair.lost(), 1);
    pair.reader.blind = false;
    pair.read();
    pair.wait();
    assert_eq!(pair.lost(), 1);
}

#[test]
fn of_a_writer_that_may_be_about_to_ring_nothing_is_said() {
    let mut pair = pair();
    pair.rounds.begin(WRITER);
    pair.writer.stage(LINK, 1, Urgency::Urgent);
    pair.writer.publish();
    // It has not yet looked at the gate, and will find the thread awake again.
    pair.reader.blind = true;
    pair.wait();
    assert_eq!(pair.lost(), 0);
    assert_eq!(pair.writer.check_gate(), None);
    pair.rounds.end(WRITER);
}

#[test]
fn a_bell_that_is_never_rung_is_counted_once_it_is_overdue() {
    let mut pair = pair();
    let (mut writer, rounds) = (pair.writer, pair.rounds.clone());
    let (sent, has_sent) = std::sync::mpsc::channel();
    pair.reader.blind = true;
    pair.reader.meanwhile = Some(Box::new(move || {
        assert!(send(&mut writer, &rounds), "it has to ring, and does not");
        sent.send(writer).expect("the test waits for it");
    }));
    let rounds = pair.rounds.clone();
    {
        let mut events = Events::with_capacity(8);
        let wait = pair.patience.wait(&mut pair.reader, &mut pair.poll, &mut events, true, &mut pair.calls);
        wait.expect("the kernel waits");
    }
    pair.writer = has_sent.recv().expect("it was sent");
    pair.reader.blind = false;
    pair.read();
    assert_eq!(pair.lost(), 0, "it may be on its way");
    // As long as a thread is between publish and bells, it may be this one.
    rounds.begin(WRITER);
    pair.wait();
    assert_eq!(pair.lost(), 0);
    rounds.end(WRITER);
    pair.wait();
    pair.wait();
    assert_eq!(pair.lost(), 1);
}

#[test]
fn a_poster_that_panics_has_posted() {
    let rounds = Rounds::new(1);
    let tripwire = Tripwire { is_owed: true, ..Tripwire::new(&rounds) };
    rounds.while_posting(|| assert!(!tripwire.expects_bell(), "the poster may be about to ring"));
    let posts = || rounds.while_posting(|| std::panic::resume_unwind(Box::new("a policy panics")));
    let posted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(posts));
    assert!(posted.is_err());
    assert!(tripwire.expects_bell(), "it will ring nobody any more");
}
