//! The phases one by one, and in threads that park whenever they can.

use super::*;
use alloc::{string::String, vec};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};
use std::thread;

/// Two threads with one link.
fn pair<M: Send>(slots: usize) -> (Crossing<M>, Crossing<M>, LinkId) {
    let mut exchange = Exchange::new(2);
    let (link, _) = exchange.link(BellId(0), BellId(1), slots);
    let mut both = exchange.build();
    let other = both.pop().expect("two threads");
    (both.pop().expect("two threads"), other, link)
}

fn bells<M: Send>(crossing: &mut Crossing<M>) -> Vec<BellId> {
    crossing.publish();
    core::iter::from_fn(|| crossing.check_gate()).collect()
}

fn sweep<M: Send>(crossing: &mut Crossing<M>) -> Vec<M> {
    let mut messages = vec![];
    crossing.sweep(64, |_, message| messages.push(message));
    messages
}

fn sleep<M: Send>(crossing: &mut Crossing<M>, announcement: Announcement) {
    crossing.announce(announcement);
    assert!(!crossing.look_again());
}

#[test]
fn links_are_numbered_on_both_sides_in_order() {
    let mut exchange = Exchange::new(3);
    assert_eq!(exchange.link(BellId(0), BellId(1), 4), (LinkId(0), LinkId(0)));
    assert_eq!(exchange.link(BellId(2), BellId(0), 4), (LinkId(0), LinkId(1)));
    // A second pair of cores of the first two threads.
    assert_eq!(exchange.link(BellId(0), BellId(1), 4), (LinkId(2), LinkId(1)));
    let mut crossings = exchange.build();
    assert_eq!(crossings.iter().map(Crossing::links).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((crossings[1].bell(), crossings[1].peer(LinkId(1))), (BellId(1), BellId(0)));
    crossings[0].stage(LinkId(1), "to the third", Urgency::Urgent);
    crossings[0].stage(LinkId(2), "to the second", Urgency::Urgent);
    crossings[0].publish();
    let mut seen = vec![];
    for (thread, crossing) in crossings.iter_mut().enumerate().skip(1) {
        crossing.sweep(64, |link, message| seen.push((thread, link, message)));
    }
    assert_eq!(seen, [(1, LinkId(1), "to the second"), (2, LinkId(0), "to the third")]);
}

#[test]
#[should_panic(expected = "no ring to itself")]
fn a_thread_is_not_linked_to_itself() {
    Exchange::<u8>::new(1).link(BellId(0), BellId(0), 4);
}

#[test]
fn a_running_thread_is_never_rung_for() {
    let (mut writer, mut reader, link) = pair(4);
    writer.stage(link, 1, Urgency::Urgent);
    assert_eq!(bells(&mut writer), []);
    assert_eq!(sweep(&mut reader), [1]);
    assert_eq!(writer.counters().rings_sent, 0);
}

#[test]
fn where_every_batch_rings_one_ring_is_made_of_each_link_and_a_sleeper_finds_it() {
    let mut exchange = Exchange::new(3);
    let (first, _) = exchange.link(BellId(0), BellId(1), 4);
    let (second, _) = exchange.link(BellId(0), BellId(2), 4);
    let mut crossings = exchange.build();
    let mut asleep = crossings.pop().expect("three");
    let mut awake = crossings.pop().expect("three");
    let mut writer = crossings.pop().expect("three");
    sleep(&mut asleep, Announcement::Park);
    writer.stage(first, 1, Urgency::Urgent);
    writer.stage(first, 2, Urgency::Lazy);
    writer.stage(second, 3, Urgency::Lazy);
    writer.publish();
    let mut rung: Vec<_> = core::iter::from_fn(|| writer.ring_always()).collect();
    rung.sort_unstable();
    assert_eq!(rung, [BellId(1), BellId(2)]);
    assert_eq!(asleep.unpark(), Woken::Rung);
    assert_eq!((sweep(&mut awake), sweep(&mut asleep)), (vec![1, 2], vec![3]));
    // Slots given back, for which nobody waits, ring nobody; nor does nothing.
    awake.publish();
    assert_eq!(awake.ring_always(), None);
    writer.publish();
    assert_eq!((writer.ring_always(), writer.counters().rings_sent), (None, 2));
}

#[test]
fn who_wrote_what_is_unread_can_be_asked() {
    let (mut writer, mut reader, link) = pair(4);
    assert_eq!(reader.unread_from(|_| true), None);
    writer.stage(link, 7, Urgency::Urgent);
    assert_eq!(reader.unread_from(|_| true), None, "it is not published");
    writer.publish();
    assert_eq!(reader.unread_from(|message| *message == 7), Some(BellId(0)));
    assert_eq!(reader.unread_from(|message| *message == 8), None);
    assert_eq!(sweep(&mut reader), [7]);
    assert_eq!(reader.unread_from(|_| true), None);
}

#[test]
fn a_batch_is_as_urgent_as_its_most_urgent_message() {
    let (mut writer, mut reader, link) = pair(16);
    sleep(&mut reader, Announcement::Park);
    writer.stage(link, 1, Urgency::Lazy);
    assert_eq!(bells(&mut writer), []);
    writer.stage(link, 2, Urgency::Urgent);
    writer.stage(link, 3, Urgency::Lazy);
    assert_eq!(bells(&mut writer), [BellId(1)]);
    writer.stage(link, 4, Urgency::Urgent);
    assert_eq!(bells(&mut writer), [], "once per park");
    assert_eq!(reader.unpark(), Woken::Rung);
    assert_eq!(sweep(&mut reader), [1, 2, 3, 4]);
}

#[test]
fn lazy_messages_ring_for_who_wants_them_and_past_half_a_ring() {
    let (mut writer, mut reader, link) = pair(4);
    sleep(&mut reader, Announcement::Want);
    writer.stage(link, 1, Urgency::Lazy);
    assert_eq!(bells(&mut writer), [BellId(1)]);
    assert_eq!(reader.unpark(), Woken::Rung);
    assert_eq!(sweep(&mut reader), [1]);
    reader.publish();
    assert_eq!(reader.check_gate(), None);

    sleep(&mut reader, Announcement::Park);
    for message in [2, 3] {
        writer.stage(link, message, Urgency::Lazy);
        assert_eq!(bells(&mut writer), []);
    }
    writer.stage(link, 4, Urgency::Lazy);
    assert_eq!(bells(&mut writer), [BellId(1)]);
}

#[test]
fn two_links_to_one_thread_ring_once() {
    let mut exchange = Exchange::new(2);
    let links = [4, 4].map(|slots| exchange.link(BellId(0), BellId(1), slots).0);
    let mut crossings = exchange.build();
    sleep(&mut crossings[1], Announcement::Park);
    for link in links {
        crossings[0].stage(link, 1, Urgency::Urgent);
    }
    assert_eq!(bells(&mut crossings[0]), [BellId(1)]);
    assert_eq!(crossings[0].counters().rings_sent, 1);
}

#[test]
fn a_publish_wakes_each_sleeper_once() {
    let mut exchange = Exchange::new(3);
    let links = [1, 2].map(|other| exchange.link(BellId(0), BellId(other), 4).0);
    let mut crossings = exchange.build();
    for other in [1, 2] {
        sleep(&mut crossings[other], Announcement::Park);
    }
    for link in links {
        crossings[0].stage(link, 1, Urgency::Urgent);
    }
    let mut rung = bells(&mut crossings[0]);
    rung.sort();
    assert_eq!(rung, [BellId(1), BellId(2)]);
}

#[test]
fn what_comes_between_announcement_and_second_look_cancels_the_park() {
    let (mut writer, mut reader, link) = pair(4);
    reader.announce(Announcement::Park);
    writer.stage(link, 1, Urgency::Lazy);
    assert_eq!(bells(&mut writer), [], "lazy: but it is seen all the same");
    assert!(reader.look_again());
    assert_eq!(reader.unpark(), Woken::Itself);
    assert_eq!(sweep(&mut reader), [1]);
    let counters = reader.counters();
    assert_eq!((counters.parks, counters.park_cancels, counters.lazy_backlog_max), (0, 1, 0));
}

#[test]
fn messages_staged_before_a_gate_is_checked_wait_for_the_next_publish() {
    let (mut writer, mut reader, link) = pair(8);
    sleep(&mut reader, Announcement::Park);
    writer.stage(link, 1, Urgency::Lazy);
    writer.publish();
    writer.stage(link, 2, Urgency::Urgent);
    assert_eq!(writer.check_gate(), None, "only the lazy one is published");
    assert_eq!(bells(&mut writer), [BellId(1)]);
}

#[test]
fn a_sweep_takes_its_budget_from_each_ring_in_turn() {
    let mut exchange = Exchange::new(3);
    for other in [1, 2] {
        exchange.link(BellId(0), BellId(other), 8);
    }
    let mut crossings = exchange.build();
    for writer in &mut crossings[1..] {
        (0..5).for_each(|message| writer.stage(LinkId(0), message, Urgency::Urgent));
        writer.publish();
    }
    let mut order = vec![];
    assert_eq!(crossings[0].sweep(2, |link, message| order.push((link.0, message))), 4);
    assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert!(crossings[0].is_anything_unread());
    assert_eq!(crossings[0].sweep_link(LinkId(1), 64, |message| order.push((9, message))), 3);
    assert_eq!(order[4..], [(9, 2), (9, 3), (9, 4)]);
    assert_eq!(crossings[0].sweep(64, |_, _| ()), 3);
    assert!(!crossings[0].is_anything_unread());
}

#[test]
fn who_waits_for_space_is_rung_once_at_half_a_ring() {
    let (mut writer, mut reader, link) = pair(4);
    (0..4).for_each(|message| writer.stage(link, message, Urgency::Urgent));
    assert_eq!(bells(&mut writer), []);
    assert_eq!(writer.room(link), 0);
    // For news of the link itself, and for what a core has: one wait.
    (0..2).for_each(|_| writer.ask_for_space(link));
    sleep(&mut writer, Announcement::Park);
    let mut rung = vec![];
    for _ in 0..4 {
        assert_eq!(reader.sweep(1, |_, _| ()), 1);
        rung.push(bells(&mut reader));
    }
    assert_eq!(rung, [vec![], vec![BellId(0)], vec![], vec![]]);
    assert_eq!(writer.unpark(), Woken::Rung);
    assert_eq!(writer.room(link), 4);
    assert_eq!((writer.counters().full, reader.counters().rings_sent), (1, 1));
    // The wait is over: an empty ring does not keep the writer from sleeping.
    sleep(&mut writer, Announcement::Park);
    assert_eq!(writer.counters().rings_spurious, 0);
}

#[test]
fn a_blocked_ring_is_part_of_the_second_look() {
    let (mut writer, mut reader, link) = pair(2);
    (0..2).for_each(|message| writer.stage(link, message, Urgency::Urgent));
    assert_eq!(bells(&mut writer), []);
    writer.ask_for_space(link);
    writer.announce(Announcement::Park);
    reader.sweep(64, |_, _| ());
    assert!(writer.look_again());
    writer.unpark();
    sleep(&mut writer, Announcement::Park);
}

#[test]
#[should_panic(expected = "before it announces")]
fn nobody_sleeps_on_unpublished_messages() {
    let (mut writer, _reader, link) = pair(2);
    writer.stage(link, 1, Urgency::Lazy);
    writer.announce(Announcement::Park);
}

#[test]
#[should_panic(expected = "before it announces")]
fn nobody_sleeps_on_unchecked_marks_for_space() {
    let (mut writer, mut reader, link) = pair(2);
    writer.stage(link, 1, Urgency::Lazy);
    writer.publish();
    reader.sweep(64, |_, _| ());
    reader.announce(Announcement::Park);
}

#[test]
fn a_panic_of_the_handler_loses_only_its_own_message() {
    let (mut writer, mut reader, link) = pair(4);
    (0..4).for_each(|message| writer.stage(link, message, Urgency::Urgent));
    writer.publish();
    let swept = catch_unwind(AssertUnwindSafe(|| {
        reader.sweep(64, |_, message| assert_ne!(message, 1, "cannot handle it"));
    }));
    assert!(swept.is_err());
    assert_eq!(writer.room(link), 0, "slots of the broken sweep are not given back yet");
    assert_eq!(sweep(&mut reader), [2, 3]);
    assert_eq!(writer.room(link), 4);
}

#[test]
fn a_panic_of_who_gives_messages_keeps_those_before_it() {
    let (mut writer, mut reader, link) = pair(4);
    let giving = catch_unwind(AssertUnwindSafe(|| {
        let messages = (0..4).inspect(|message| assert_ne!(*message, 2, "cannot make it"));
        writer.stage_each(link, messages.map(|message| (message, Urgency::Urgent)));
    }));
    assert!(giving.is_err());
    sleep(&mut reader, Announcement::Park);
    assert_eq!(bells(&mut writer), [reader.bell()], "as urgent as they were given");
    reader.unpark();
    assert_eq!(sweep(&mut reader), [0, 1]);
    assert_eq!(writer.room_for(link, 2), 2, "as much as is wanted is known without a look");
    assert_eq!(writer.room_for(link, 3), 4);
}

#[test]
fn counters_tell_lazy_backlogs_and_rings_for_nothing() {
    let (mut writer, mut reader, link) = pair(16);
    sleep(&mut reader, Announcement::Park);
    (0..3).for_each(|message| writer.stage(link, message, Urgency::Lazy));
    assert_eq!(bells(&mut writer), []);
    assert_eq!(reader.unpark(), Woken::Itself);
    assert_eq!(sweep(&mut reader).len(), 3);
    reader.publish();
    assert_eq!(reader.check_gate(), None);
    assert_eq!(reader.counters().lazy_backlog_max, 3);

    // A ring that is late: what it was for has been found already.
    sleep(&mut reader, Announcement::Park);
    assert!(reader.gate.ring_if(Urgency::Urgent));
    assert_eq!(reader.unpark(), Woken::Rung);
    assert_eq!(sweep(&mut reader), []);
    sleep(&mut reader, Announcement::Park);
    let counters = reader.counters();
    assert_eq!((counters.parks, counters.park_cancels, counters.rings_spurious), (3, 0, 1));
}

/// Wakes one thread; a wake-up that does not come in ten seconds is lost.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("nobody panics with it") = true;
        self.wake.notify_one();
    }

    fn sleep(&self) {
        let rung = self.rung.lock().expect("nobody panics with it");
        let (mut rung, outcome) = self
            .wake
            .wait_timeout_while(rung, Duration::from_secs(10), |rung| !*rung)
            .expect("nobody panics with it");
        assert!(!outcome.timed_out(), "a wake-up was lost");
        *rung = false;
    }
}

fn ring(crossing: &mut Crossing<u64>, bells: &[Bell]) {
    crossing.publish();
    while let Some(BellId(thread)) = crossing.check_gate() {
        bells[usize::from(thread)].ring();
    }
}

fn park(crossing: &mut Crossing<u64>, bells: &[Bell]) {
    crossing.announce(Announcement::Want);
    if !crossing.look_again() {
        bells[usize::from(crossing.bell().0)].sleep();
    }
    crossing.unpark();
}

/// Three threads: one sends numbered requests to two, which complete each; all park as soon as they have nothing
/// to do, the rings are small, and every kind of wake-up happens: message, completion, space.
#[test]
fn no_wake_up_is_lost_between_three_threads() {
    let count: u64 = if cfg!(miri) { 100 } else { 500_000 };
    let mut exchange = Exchange::new(3);
    let links = [1, 2].map(|worker| exchange.link(BellId(0), BellId(worker), 8).0);
    let mut crossings = exchange.build();
    let bells: [Bell; 3] = Default::default();
    let mut network = crossings.remove(0);
    let counters = thread::scope(|scope| {
        let bells = &bells;
        let workers: Vec<_> = crossings
            .into_iter()
            .map(|mut worker| {
                scope.spawn(move || {
                    let (link, mut held, mut done) = (LinkId(0), vec![], 0);
                    while done < count {
                        let free = 16 - held.len();
                        let taken = worker.sweep(free, |_, request| held.push(request));
                        let room = worker.room(link).min(held.len());
                        for request in held.drain(..room) {
                            let urgency = if request % 3 == 0 { Urgency::Lazy } else { Urgency::Urgent };
                            worker.stage(link, request, urgency);
                            done += 1;
                        }
                        if !held.is_empty() {
                            worker.ask_for_space(link);
                        }
                        ring(&mut worker, bells);
                        if taken == 0 && room == 0 && done < count {
                            park(&mut worker, bells);
                        }
                    }
                    worker.counters()
                })
            })
            .collect();
        let (mut sent, mut completed) = ([0; 2], [0; 2]);
        while completed != [count; 2] {
            network.sweep(5, |link, request| {
                assert_eq!(request, completed[link.0], "in order, each once");
                completed[link.0] += 1;
            });
            let mut waits = true;
            for link in links {
                let room = network.room(link).min((count - sent[link.0]) as usize).min(3);
                for _ in 0..room {
                    network.stage(link, sent[link.0], Urgency::Urgent);
                    sent[link.0] += 1;
                }
                waits &= room == 0;
                if room == 0 && sent[link.0] < count {
                    network.ask_for_space(link);
                }
            }
            ring(&mut network, bells);
            if waits && completed != [count; 2] {
                park(&mut network, bells);
            }
        }
        let mut counters = vec![network.counters()];
        counters.extend(workers.into_iter().map(|worker| worker.join().expect("the worker ends")));
        counters
    });
    let said: String = alloc::format!("{counters:?}");
    // Every thread slept, and nobody rang more than once per announcement.
    assert!(cfg!(miri) || counters.iter().all(|thread| thread.parks > 0), "{said}");
    let announcements: u64 = counters.iter().map(|thread| thread.parks + thread.park_cancels).sum();
    assert!(counters.iter().map(|thread| thread.rings_sent).sum::<u64>() <= announcements, "{said}");
}
