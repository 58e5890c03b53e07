//! Links that come and go at random, against lines.

use super::{Pair, check_gates, ends, pair};
use crate::queue::crossing::{Crossing, LinkEnd, LinkId};
use crate::queue::gate::{Announcement, Urgency};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

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
