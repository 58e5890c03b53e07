//! One ring, an end at a time, in two threads, and against a bounded line.

use super::*;
use alloc::collections::VecDeque;
use alloc::sync::Arc as Counted;
use proptest::prelude::*;
use std::thread;

#[test]
fn staged_messages_are_seen_only_when_published() {
    let (mut producer, mut consumer) = ring(4);
    producer.stage('a');
    producer.stage('b');
    assert_eq!(consumer.take(), None);
    assert!(producer.publish());
    assert!(!producer.publish(), "nothing new");
    assert_eq!(consumer.available(), 2);
    assert_eq!((consumer.take(), consumer.take(), consumer.take()), (Some('a'), Some('b'), None));
}

#[test]
fn slots_are_free_only_when_the_head_is_published() {
    // Not a power of two: the bound holds all the same.
    let (mut producer, mut consumer) = ring(3);
    (0..3).for_each(|message| producer.stage(message));
    producer.publish();
    assert_eq!(producer.room(), 0);
    assert_eq!(consumer.take(), Some(0));
    assert_eq!(producer.room(), 0);
    assert!(consumer.publish_head());
    assert!(!consumer.publish_head(), "nothing new");
    assert_eq!(producer.room(), 1);
}

#[test]
#[should_panic(expected = "full ring")]
fn staging_into_a_full_ring_is_a_bug() {
    let (mut producer, _consumer) = ring(1);
    producer.stage(1);
    producer.stage(2);
}

#[test]
fn space_is_wanted_once_when_the_head_passes_the_mark() {
    let (mut producer, mut consumer) = ring(4);
    (0..4).for_each(|message| producer.stage(message));
    producer.publish();
    producer.ask_for_space();
    let mut wanted = alloc::vec![];
    for _ in 0..4 {
        consumer.take();
        assert!(!producer.space_came() || wanted.contains(&true));
        consumer.publish_head();
        wanted.push(consumer.space_wanted());
    }
    assert_eq!(wanted, [false, true, false, false]);
    assert!(producer.space_came());
}

#[test]
fn moves_of_the_head_between_two_tests_count_as_one() {
    let (mut producer, mut consumer) = ring(4);
    (0..4).for_each(|message| producer.stage(message));
    producer.publish();
    producer.ask_for_space();
    for _ in 0..3 {
        consumer.take();
        consumer.publish_head();
    }
    assert!(consumer.space_wanted());
    assert!(!consumer.space_wanted());
}

#[test]
fn space_is_never_asked_for_beyond_the_tail() {
    let (mut producer, mut consumer) = ring(8);
    producer.ask_for_space();
    assert!(producer.space_came(), "an empty ring has room");
    producer.stage(1);
    producer.publish();
    producer.ask_for_space();
    assert!(!producer.space_came());
    consumer.take();
    consumer.publish_head();
    assert!(consumer.space_wanted(), "the reader has got as far as it can");
}

#[test]
fn each_message_is_dropped_once_whoever_goes_first() {
    for producer_first in [true, false] {
        let message = Counted::new(());
        let (mut producer, mut consumer) = ring(4);
        for _ in 0..3 {
            producer.stage(message.clone());
        }
        producer.publish();
        producer.stage(message.clone());
        drop((consumer.take(), consumer.take()));
        assert_eq!(Counted::strong_count(&message), 3);
        if producer_first {
            drop(producer);
            assert_eq!(Counted::strong_count(&message), 2, "what was only staged is gone");
            assert!(consumer.take().is_some(), "what was published can still be read");
            drop(consumer);
        } else {
            drop(consumer);
            assert_eq!(producer.room(), 2);
            drop(producer);
        }
        assert_eq!(Counted::strong_count(&message), 1);
    }
}

#[test]
fn two_threads_see_every_message_in_order() {
    let count: u64 = if cfg!(miri) { 200 } else { 200_000 };
    let (mut producer, mut consumer) = ring(if cfg!(miri) { 4 } else { 64 });
    let writer = thread::spawn(move || {
        for message in 0..count {
            while producer.room() == 0 {
                thread::yield_now();
            }
            producer.stage(Box::new(message));
            // Batches of changing size.
            if message % 7 < 4 {
                producer.publish();
            }
        }
        producer.publish();
    });
    for expected in 0..count {
        let message = loop {
            if let Some(message) = consumer.take() {
                break message;
            }
            // All is taken: without this the writer would wait for room for ever.
            consumer.publish_head();
            thread::yield_now();
        };
        assert_eq!(*message, expected);
    }
    writer.join().expect("the writer ends");
}

#[derive(Debug, Clone)]
enum Step {
    Stage(u8),
    StageEach(u8),
    Publish,
    Take(u8),
    TakeEach(u8),
    PublishHead,
    Ask,
}

fn steps() -> impl Strategy<Value = alloc::vec::Vec<Step>> {
    let step = prop_oneof![
        (1u8..6).prop_map(Step::Stage),
        (1u8..9).prop_map(Step::StageEach),
        Just(Step::Publish),
        (1u8..6).prop_map(Step::Take),
        (1u8..9).prop_map(Step::TakeEach),
        Just(Step::PublishHead),
        Just(Step::Ask)
    ];
    proptest::collection::vec(step, 0..if cfg!(miri) { 40 } else { 200 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Three lines stand for the ring: staged, readable, and taken without its slots given back.
    #[test]
    fn behaves_like_a_bounded_line(slots in 1usize..9, steps in steps()) {
        let (mut producer, mut consumer) = ring(slots);
        let (mut staged, mut readable, mut taken) = (VecDeque::new(), VecDeque::new(), 0usize);
        let (mut next, mut given_back, mut tested, mut mark) = (0u64, 0u64, 0u64, 0u64);
        for step in steps {
            match step {
                Step::Stage(count) => for _ in 0..count {
                    let room = slots - staged.len() - readable.len() - taken;
                    prop_assert_eq!(producer.room(), room);
                    if room > 0 {
                        producer.stage(Box::new(next));
                        staged.push_back(next);
                        next += 1;
                    }
                },
                Step::StageEach(count) => {
                    let (room, count) = (slots - staged.len() - readable.len() - taken, usize::from(count));
                    let known = producer.room_for(count);
                    prop_assert!(known <= room && known >= count.min(room), "{} of {}", known, room);
                    let these = next..next + count.min(known) as u64;
                    producer.stage_each(these.clone().map(Box::new));
                    next = these.end;
                    staged.extend(these);
                }
                Step::Publish => {
                    prop_assert_eq!(producer.publish(), !staged.is_empty());
                    readable.append(&mut staged);
                    prop_assert_eq!(producer.is_past_half(), readable.len() + taken > slots / 2);
                    prop_assert_eq!(producer.was_empty(), readable.len() + taken == 0);
                }
                Step::Take(count) => for _ in 0..count {
                    prop_assert_eq!(consumer.available(), readable.len());
                    let expected = readable.pop_front();
                    taken += usize::from(expected.is_some());
                    prop_assert_eq!(consumer.take().map(|message| *message), expected);
                },
                Step::TakeEach(count) => {
                    prop_assert_eq!(consumer.available(), readable.len());
                    let expected: alloc::vec::Vec<u64> = readable.drain(..readable.len().min(count.into())).collect();
                    taken += expected.len();
                    let mut got = alloc::vec![];
                    prop_assert_eq!(consumer.take_each(count.into(), |message| got.push(*message)), expected.len());
                    prop_assert_eq!(got, expected);
                }
                Step::PublishHead => {
                    prop_assert_eq!(consumer.publish_head(), taken > 0);
                    given_back += taken as u64;
                    taken = 0;
                    prop_assert_eq!(consumer.space_wanted(), tested < mark && mark <= given_back);
                    tested = given_back;
                    prop_assert_eq!(producer.space_came(), mark <= given_back);
                }
                Step::Ask => {
                    producer.ask_for_space();
                    mark = (given_back + (slots as u64 / 2).max(1)).min(next);
                }
            }
        }
    }
}
