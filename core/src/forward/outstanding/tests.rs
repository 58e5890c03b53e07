use super::*;
use alloc::collections::{BTreeMap, VecDeque};
use proptest::prelude::*;

const QUARANTINE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(20);

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

fn outstanding(bound: u32, ports: usize) -> Outstanding<u32> {
    let mut outstanding = Outstanding::new(bound, QUARANTINE);
    for _ in 0..ports {
        outstanding.add_port();
    }
    outstanding
}

/// Sends one, which waits for 10 s.
fn send(outstanding: &mut Outstanding<u32>, waits: u32, now: Instant) -> Option<Slot> {
    let slot = outstanding.take(Purpose::Request, now)?;
    outstanding.put(slot, waits, [waits as u8; 16], now + Duration::from_secs(10), now);
    Some(slot)
}

// checklist 41
#[test]
fn the_identifier_that_was_used_longest_ago_is_taken_first() {
    let mut outstanding = outstanding(65_536, 1);
    let first = send(&mut outstanding, 1, at(0)).expect("a port is open");
    assert_eq!(outstanding.finish(first), Some(1));
    for number in 1..256 {
        let slot = send(&mut outstanding, number, at(0)).expect("each time one is free");
        assert_eq!(slot.identifier, number as u8);
        assert_eq!(outstanding.finish(slot), Some(number));
    }
    assert_eq!(send(&mut outstanding, 0, at(0)), Some(first));
}

#[test]
fn what_was_not_sent_is_the_next() {
    let mut outstanding = outstanding(256, 1);
    let slot = outstanding.take(Purpose::Request, at(0)).expect("a port is open");
    outstanding.give_back(slot);
    assert_eq!(outstanding.take(Purpose::Request, at(0)), Some(slot));
}

// checklist 41, 42
#[test]
fn a_late_reply_finds_its_own_request_or_none_until_the_quarantine_is_over() {
    let mut outstanding = outstanding(256, 1);
    let late = send(&mut outstanding, 7, at(0)).expect("a port is open");
    assert_eq!(outstanding.take_overdue(at(9)), None);
    assert_eq!(outstanding.take_overdue(at(10)), Some((late, 7)));
    assert_eq!(outstanding.take_overdue(at(10)), None);
    // As many as there are are sent and answered meanwhile: none gets that Identifier.
    for number in 0..1000 {
        let slot = send(&mut outstanding, number, at(39)).expect("others are free");
        assert_ne!(slot, late);
        outstanding.finish(slot);
        let entry = outstanding.get(late.port, late.identifier).expect("it is late");
        assert_eq!((entry.authenticator, entry.waits), ([7; 16], None));
    }
    let again = (0..256).any(|number| {
        let slot = send(&mut outstanding, number, at(40)).expect("one is free");
        outstanding.finish(slot);
        slot == late
    });
    assert!(again, "after its quarantine it is used again");
    assert!(outstanding.get(late.port, late.identifier).is_none());
}

#[test]
fn a_verified_late_reply_ends_the_quarantine() {
    let mut outstanding = outstanding(256, 1);
    let slot = send(&mut outstanding, 7, at(0)).expect("a port is open");
    assert_eq!(outstanding.give_up(slot, at(1)), 7);
    assert_eq!((outstanding.len(), outstanding.late()), (0, 1));
    assert_eq!(outstanding.finish(slot), None);
    assert_eq!(outstanding.late(), 0);
    assert!(outstanding.get(slot.port, slot.identifier).is_none(), "its duplicate is a reply to nothing");
}

// checklist 41
#[test]
fn more_than_256_wait_over_as_many_ports_as_are_needed() {
    let mut outstanding = Outstanding::new(1000, QUARANTINE);
    let mut slots = VecDeque::new();
    for number in 0..1000 {
        if outstanding.needs_port() {
            outstanding.add_port();
        }
        slots.push_back(send(&mut outstanding, number, at(0)).expect("a port is added before all are taken"));
    }
    assert_eq!((outstanding.len(), outstanding.capacity(), outstanding.ports()), (1000, 1000, 4));
    assert_eq!(send(&mut outstanding, 0, at(0)), None, "as many wait as may");
    assert!(!outstanding.needs_port());
    let all: alloc::collections::BTreeSet<_> = slots.iter().copied().collect();
    assert_eq!(all.len(), 1000, "no two have the same port and Identifier");
    for (number, slot) in slots.into_iter().enumerate() {
        assert_eq!(outstanding.finish(slot), Some(number as u32));
    }
}

#[test]
fn a_dead_server_can_be_asked_when_all_other_identifiers_wait_or_are_late() {
    let mut outstanding = outstanding(65_536, 1);
    while send(&mut outstanding, 1, at(0)).is_some() {}
    while outstanding.take_overdue(at(10)).is_some() {}
    assert_eq!(send(&mut outstanding, 2, at(11)), None);
    let probes = (0..300).map_while(|_| outstanding.take(Purpose::Probe, at(11))).count();
    assert_eq!(probes, PROBES_KEPT as usize);
}

#[test]
fn what_can_wait_leaves_half_to_requests_of_what_may_wait_and_of_identifiers() {
    let mut outstanding = outstanding(256, 2);
    let spool = |outstanding: &mut Outstanding<u32>, now| {
        let slot = outstanding.take(Purpose::Spooled, now)?;
        outstanding.put(slot, 1, [1; 16], now + Duration::from_secs(10), now);
        Some(slot)
    };
    assert_eq!((0..300).map_while(|_| spool(&mut outstanding, at(0))).count(), 128);
    assert_eq!((0..300).map_while(|_| send(&mut outstanding, 2, at(0))).count(), 128);
    assert_eq!(spool(&mut outstanding, at(9)), None);
    // All of these get no answer, and their Identifiers are late: half of 512.
    while outstanding.take_overdue(at(10)).is_some() {}
    assert_eq!((outstanding.len(), outstanding.late()), (0, 256));
    assert_eq!(spool(&mut outstanding, at(11)), None);
    assert!(send(&mut outstanding, 2, at(11)).is_some());
    assert!(spool(&mut outstanding, at(40)).is_some(), "their quarantine is over");
}

#[test]
fn each_request_is_told_once_when_its_response_window_is_over_and_waits_on() {
    let mut outstanding = outstanding(256, 1);
    let mut send = |waits, now| {
        let slot = outstanding.take(Purpose::Request, now).expect("one is free");
        outstanding.put(slot, waits, [0; 16], at(30), now);
        slot
    };
    let (first, second, third) = (send(1, at(0)), send(2, at(1)), send(3, at(2)));
    assert_eq!(outstanding.next_deadline(WINDOW), Some(at(20)));
    assert_eq!(outstanding.take_unanswered(WINDOW, at(19)), None);
    assert_eq!(outstanding.take_unanswered(WINDOW, at(20)), Some((first, at(0))));
    assert_eq!(outstanding.next_deadline(WINDOW), Some(at(21)));
    // Answered before its window is over.
    assert_eq!(outstanding.finish(second), Some(2));
    assert_eq!(outstanding.next_deadline(WINDOW), Some(at(22)));
    assert_eq!(outstanding.take_unanswered(WINDOW, at(25)), Some((third, at(2))));
    assert_eq!(outstanding.take_unanswered(WINDOW, at(25)), None);
    assert_eq!(outstanding.next_deadline(WINDOW), Some(at(30)));
    assert_eq!(outstanding.take_overdue(at(30)), Some((first, 1)));
    assert_eq!(outstanding.take_overdue(at(30)), Some((third, 3)));
    assert_eq!(outstanding.next_deadline(WINDOW), None);
}

#[test]
fn a_port_that_is_closed_hands_out_what_waits_there() {
    let mut outstanding = outstanding(600, 2);
    let slots: Vec<_> =
        (0..300).map(|number| send(&mut outstanding, number, at(0)).expect("two are open")).collect();
    let late = slots[0];
    outstanding.give_up(late, at(0));
    let mut orphans = Vec::new();
    outstanding.remove_port(late.port, |slot, waits| orphans.push((slot, waits)));
    let there: Vec<_> = (1..300)
        .map(|number| (slots[number as usize], number))
        .filter(|(slot, _)| slot.port == late.port)
        .collect();
    assert_eq!((orphans, there.len()), (there, 255));
    assert_eq!((outstanding.len(), outstanding.late()), (44, 0));
    assert!(outstanding.get(late.port, 5).is_none());
    assert_eq!(outstanding.iter().count(), 44);
    assert_eq!(outstanding.add_port(), late.port, "its index is given again");
}

#[test]
fn a_retired_port_gives_no_more_and_is_unused_when_its_last_quarantine_is_over() {
    let mut outstanding = outstanding(600, 2);
    let [waits, late] = [1, 2].map(|number| send(&mut outstanding, number, at(0)).expect("two are open"));
    assert_eq!(waits.port, late.port);
    outstanding.give_up(late, at(0));
    outstanding.retire_port(waits.port);
    for number in 0..400 {
        let slot = send(&mut outstanding, number, at(1)).expect("the other is open");
        assert_ne!(slot.port, waits.port);
        outstanding.finish(slot);
    }
    assert_eq!(outstanding.finish(waits), Some(1));
    assert!(!outstanding.is_port_unused(waits.port, at(29)));
    assert!(outstanding.is_port_unused(waits.port, at(30)));
    outstanding.remove_port(waits.port, |_, _| panic!("none waits"));
}

#[test]
fn ports_that_are_retired_leave_room_for_others() {
    let mut outstanding = outstanding(200, 1);
    let waits = send(&mut outstanding, 1, at(0)).expect("it is open");
    assert!(!outstanding.needs_port());
    outstanding.retire_port(waits.port);
    assert!(outstanding.needs_port(), "what waits there waits on, and more go by another");
    let other = outstanding.add_port();
    assert_ne!(other, waits.port);
    assert_eq!(send(&mut outstanding, 2, at(1)).map(|slot| slot.port), Some(other));
    assert_eq!(outstanding.finish(waits), Some(1));
}

#[derive(Debug, Clone)]
enum Step {
    Send { seconds: u64 },
    GiveBack,
    Finish(usize),
    GiveUp(usize),
    FinishLate(usize),
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u64..20).prop_map(|seconds| Step::Send { seconds }),
        1 => Just(Step::GiveBack),
        4 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => any::<usize>().prop_map(Step::FinishLate),
        2 => (0u64..8).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    // Lists in plain maps say what may be taken; Identifiers are used up by what has been sent before.
    #[test]
    fn no_identifier_is_shared_or_taken_from_quarantine(
        used in 0usize..256,
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut real = outstanding(65_536, 1);
        let mut free: VecDeque<u8> = (0..=255).collect();
        let mut waiting: BTreeMap<u8, (u32, Instant, Instant)> = BTreeMap::new();
        let mut late: VecDeque<(u8, Instant)> = VecDeque::new();
        let mut now = at(0);
        let fill = core::iter::repeat_n(Step::Send { seconds: 15 }, used);
        for (number, step) in fill.chain(steps).enumerate() {
            let number = number as u32;
            match step {
                Step::Send { seconds } => {
                    let deadline = now + Duration::from_secs(seconds);
                    let latest = waiting.values().map(|(_, _, until)| *until).max().unwrap_or(deadline).max(deadline);
                    let over = late.iter().take(QUARANTINES_ENDED_MAX as usize).take_while(|(_, until)| *until <= now).count();
                    free.extend(late.drain(..over).map(|(identifier, _)| identifier));
                    let next = if free.len() > PROBES_KEPT as usize { free.pop_front() } else { None };
                    let slot = real.take(Purpose::Request, now);
                    prop_assert_eq!(slot.map(|slot| slot.identifier), next);
                    if let Some(slot) = slot {
                        real.put(slot, number, [number as u8; 16], deadline, now);
                        prop_assert!(waiting.insert(slot.identifier, (number, now, latest)).is_none());
                    }
                }
                Step::GiveBack => if let Some(slot) = real.take(Purpose::Probe, at(0)) {
                    // At that time no quarantine is over.
                    prop_assert_eq!(Some(&slot.identifier), free.front());
                    real.give_back(slot);
                },
                Step::Finish(which) | Step::GiveUp(which) => {
                    let Some((identifier, (number, ..))) = waiting.iter().nth(which % waiting.len().max(1)) else { continue };
                    let (identifier, number) = (*identifier, *number);
                    waiting.remove(&identifier);
                    let slot = Slot { port: PortIndex(0), identifier };
                    if matches!(step, Step::Finish(_)) {
                        prop_assert_eq!(real.finish(slot), Some(number));
                        free.push_back(identifier);
                    } else {
                        prop_assert_eq!(real.give_up(slot, now), number);
                        late.push_back((identifier, now + QUARANTINE));
                    }
                }
                Step::FinishLate(which) => {
                    let Some((identifier, _)) = late.remove(which % late.len().max(1)) else { continue };
                    prop_assert_eq!(real.finish(Slot { port: PortIndex(0), identifier }), None);
                    free.push_back(identifier);
                }
                Step::Pass { seconds } => {
                    now += Duration::from_secs(seconds);
                    let mut overdue = BTreeMap::new();
                    while let Some((slot, number)) = real.take_overdue(now) {
                        overdue.insert(slot.identifier, number);
                        late.push_back((slot.identifier, now + QUARANTINE));
                    }
                    let expected: BTreeMap<_, _> = waiting.iter().filter(|(_, (_, _, until))| *until <= now)
                        .map(|(identifier, (number, ..))| (*identifier, *number)).collect();
                    prop_assert_eq!(&overdue, &expected);
                    waiting.retain(|identifier, _| !expected.contains_key(identifier));
                }
            }
            prop_assert_eq!((real.len(), real.late(), real.free.len as usize), (waiting.len(), late.len(), free.len()));
            for identifier in 0..=255 {
                let entry = real.get(PortIndex(0), identifier).map(|entry| entry.waits);
                let model = waiting.get(&identifier).map(|(number, ..)| Some(*number));
                prop_assert_eq!(entry, model.or(late.iter().any(|(late, _)| *late == identifier).then_some(None)));
            }
            let next = waiting.values().map(|(_, _, until)| *until).min();
            prop_assert_eq!(real.at(real.waiting.first).map(|entry| entry.until), next);
        }
    }
}
