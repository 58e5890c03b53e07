//! How long each policy waits, and what it says before.

use super::*;
use std::cell::Cell;

use crate::bell::Bell;

/// A thread to which nothing comes unless it is said, and which notes how it waits.
struct Scripted {
    clock: Clock,
    /// From when it begins to wait, if there is one.
    deadline: Option<Duration>,
    announced: Cell<u32>,
    unread: bool,
}

impl Sleeper for Scripted {
    fn is_anything_unread(&mut self) -> bool {
        std::mem::take(&mut self.unread)
    }

    fn announce(&mut self) {
        self.announced.set(self.announced.get() + 1);
    }

    fn look_again(&mut self) -> bool {
        false
    }

    fn unpark(&mut self) -> Woken {
        Woken::Itself
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|span| self.clock.now() + span)
    }

    fn urgent_unread_from(&self) -> Option<BellId> {
        None
    }
}

struct Rig {
    sleeper: Scripted,
    patience: Patience,
    poll: Poll,
    events: Events,
    bell: Bell,
    calls: SystemCalls,
}

fn rig(settings: &RuntimeSettings, threads: usize, processors: usize) -> Rig {
    let clock = Clock::start();
    let poll = Poll::new().expect("a poll");
    let bell = Bell::new(poll.registry()).expect("a bell");
    Rig {
        sleeper: Scripted { clock, deadline: None, announced: Cell::new(0), unread: false },
        patience: Patience::new(settings, &Rounds::new(threads), processors, clock),
        poll,
        events: Events::with_capacity(8),
        bell,
        calls: SystemCalls::default(),
    }
}

impl Rig {
    /// One wait: how long it took, and whether it was announced.
    fn wait(&mut self, may_sleep: bool) -> (Duration, bool) {
        let Rig { sleeper, patience, poll, events, calls, .. } = self;
        let (began, announced) = (sleeper.clock.now(), sleeper.announced.get());
        patience.wait(sleeper, poll, events, may_sleep, calls).expect("the kernel waits");
        (sleeper.clock.now().saturating_since(began), sleeper.announced.get() > announced)
    }
}

fn settings(signal: Signal) -> RuntimeSettings {
    RuntimeSettings { signal, ..RuntimeSettings::default() }
}

#[test]
fn the_ladder_waits_a_step_at_a_time_announces_and_then_sleeps() {
    let mut rig = rig(&settings(Signal::Timer), 2, 2);
    for sleeps_before in [false, true] {
        rig.bell.ring(&mut rig.calls);
        let (_, announced) = rig.wait(true);
        assert_eq!(announced, sleeps_before);
        assert_eq!(rig.events.iter().count(), 1, "something came: the ladder begins anew");
        for _ in 0..LADDER_STEPS {
            let (waited, announced) = rig.wait(true);
            assert!(waited >= LADDER_STEP && !announced, "{waited:?}");
        }
        // The page's last timer; it would wait for ever otherwise.
        let (waited, announced) = rig.wait(true);
        assert!(waited >= LADDER_STEP && announced, "{waited:?}");
        // Now only the deadline ends it.
        rig.sleeper.deadline = Some(Duration::from_millis(30));
        let (waited, announced) = rig.wait(true);
        assert!(waited >= Duration::from_millis(30) && announced, "{waited:?}");
        rig.sleeper.deadline = None;
    }
}

#[test]
fn a_deadline_ends_a_step_of_the_ladder() {
    let mut rig = rig(&settings(Signal::Timer), 2, 2);
    rig.sleeper.deadline = Some(Duration::ZERO);
    let (_, announced) = rig.wait(true);
    assert!(!announced);
}

#[test]
fn other_policies_announce_at_once() {
    for signal in [Signal::Announce, Signal::Always] {
        let mut rig = rig(&settings(signal), 2, 2);
        rig.sleeper.deadline = Some(Duration::from_millis(20));
        let (waited, announced) = rig.wait(true);
        assert!(waited >= Duration::from_millis(20) && announced, "{waited:?}");
        assert_eq!(rig.patience.rings_always(), signal == Signal::Always);
    }
}

#[test]
fn who_has_something_to_do_only_looks() {
    for signal in [Signal::Announce, Signal::Always, Signal::Timer] {
        let mut rig = rig(&settings(signal), 2, 2);
        let (_, announced) = rig.wait(false);
        assert!(!announced);
        assert_eq!((rig.calls.wait, rig.patience.counters().empty_polls), (1, 1));
    }
}

/// A thread to whose bell the last many waits came at once.
fn hopeful(threads: usize, processors: usize) -> Rig {
    let long = Duration::from_millis(10);
    let settings = RuntimeSettings { linger_max: long, linger_cpu: 100, ..RuntimeSettings::default() };
    let mut rig = rig(&settings, threads, processors);
    for _ in 0..100 {
        rig.bell.ring(&mut rig.calls);
        rig.wait(true);
    }
    rig
}

#[test]
fn a_thread_lingers_before_it_announces_and_what_comes_then_spares_the_sleep() {
    let mut rig = hopeful(2, 2);
    let before = rig.patience.counters();
    rig.sleeper.unread = true;
    let (_, announced) = rig.wait(true);
    let after = rig.patience.counters();
    assert!(!announced && rig.events.is_empty());
    assert_eq!((after.lingers, after.lingers_found), (before.lingers + 1, before.lingers_found + 1));
    // Nothing comes: it looks at its sockets meanwhile, and then sleeps as ever.
    rig.sleeper.deadline = Some(Duration::from_millis(20));
    let (_, announced) = rig.wait(true);
    let last = rig.patience.counters();
    assert!(announced);
    assert_eq!((last.lingers, last.lingers_found), (after.lingers + 1, after.lingers_found));
    assert!(last.lingered - after.lingered >= linger::SOCKETS_EVERY);
    // And not again before something has come.
    rig.wait(true);
    assert_eq!(rig.patience.counters().lingers, last.lingers);
}

#[test]
fn nobody_lingers_alone_or_where_threads_outnumber_processors() {
    for (threads, processors) in [(1, 2), (2, 1), (3, 2)] {
        assert_eq!(hopeful(threads, processors).patience.counters().lingers, 0, "{threads} on {processors}");
    }
}
