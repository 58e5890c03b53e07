//! Every interleaving of the queue's phases, and every value that the memory orders allow a load to see, in small.
//!
//! Here the set of threads is fixed; links that come and go are in `loom_links.rs`.
//! `RUSTFLAGS="--cfg loom" cargo test -p ulna-core --test loom_queue --release`; with `--features seeded-bugs` each seeded
//! bug has to be found by a model, too.
#![cfg(loom)]

#[path = "support/models.rs"]
mod models;

use Urgency::{Lazy, Urgent};
use loom::sync::Arc;
use loom::thread;
use models::{Bells, check, park, publish_and_ring};
use ulna_core::queue::{Announcement, BellId, Crossing, Exchange, LinkId, Urgency};

#[test]
fn one_writer_one_message() {
    check(None, one_reader(2, 64, Announcement::Park, ONE_URGENT));
}

#[test]
fn one_writer_two_messages() {
    check(None, one_reader(2, 64, Announcement::Park, TWO_URGENT));
}

#[test]
fn two_writers_one_message_each() {
    check(Some(3), one_reader(2, 64, Announcement::Park, TWO_WRITERS));
}

#[test]
fn two_writers_two_messages_each() {
    check(Some(2), one_reader(2, 64, Announcement::Park, TWO_WRITERS_TWICE));
}

#[test]
fn lazy_message_wakes_who_wants_it() {
    check(None, one_reader(4, 64, Announcement::Want, LAZY));
}

#[test]
fn urgent_message_brings_the_lazy_one_before_it() {
    check(None, one_reader(4, 64, Announcement::Park, LAZY_THEN_URGENT));
}

#[test]
fn lazy_messages_past_half_a_ring_wake_anyone() {
    check(None, || {
        let mut exchange = Exchange::new(2);
        let (_, link) = exchange.link(BellId(0), BellId(1), 2);
        let mut crossings = exchange.build();
        let bells = Bells::new(2);
        let mut writer = crossings.pop().expect("the writer's");
        let writers_bells = bells.clone();
        let thread = thread::spawn(move || {
            for message in [1, 2] {
                writer.stage(link, message, Lazy);
                publish_and_ring(&mut writer, &writers_bells);
            }
            (writer, writers_bells)
        });
        // Content with one: if it is awake for the first, the second is alone in the ring and rings nobody.
        let (got, _reader) = read(crossings.pop().expect("the reader's"), 1, 1, Announcement::Park, &bells);
        assert_eq!(got, [(LinkId(0), 1)]);
        let _writer = thread.join().expect("the writer ends");
    });
}

#[test]
fn blocked_writer_is_woken_when_half_a_ring_is_read() {
    check(Some(3), one_reader(2, 1, Announcement::Park, THREE_URGENT));
}

#[test]
fn blocked_lazy_writer_and_waiting_reader_do_not_sleep_on_each_other() {
    check(Some(3), one_reader(2, 64, Announcement::Want, THREE_LAZY));
}

/// A network thread at a limit waits for a completion, which is lazy; the worker waits for the request. Both gates,
/// both directions.
#[test]
fn request_and_lazy_completion() {
    check(None, request_and_completion);
}

fn request_and_completion() {
    let mut exchange = Exchange::new(2);
    let (to_worker, to_network) = exchange.link(BellId(0), BellId(1), 2);
    let mut crossings = exchange.build();
    let bells = Bells::new(2);
    let mut worker = crossings.pop().expect("the worker's");
    let workers_bells = bells.clone();
    let thread = thread::spawn(move || {
        let mut request = None;
        loop {
            worker.sweep(64, |_, message| request = Some(message));
            if let Some(request) = request {
                worker.stage(to_network, request, Lazy);
            }
            publish_and_ring(&mut worker, &workers_bells);
            if request.is_some() {
                return (worker, workers_bells);
            }
            park(&mut worker, Announcement::Park, &workers_bells);
        }
    });
    let mut network = crossings.pop().expect("the network thread's");
    network.stage(to_worker, 1, Urgent);
    publish_and_ring(&mut network, &bells);
    let (got, _network) = read(network, 1, 64, Announcement::Want, &bells);
    assert_eq!(got, [(to_worker, 1)]);
    let _worker = thread.join().expect("the worker ends");
}

#[test]
fn what_is_left_in_a_ring_is_dropped_once() {
    check(None, || {
        let (mut producer, mut consumer) = ulna_core::queue::ring::ring(2);
        let counted = Arc::new(());
        let message = counted.clone();
        let thread = thread::spawn(move || {
            producer.stage(message.clone());
            producer.publish();
            producer.stage(message);
        });
        drop(consumer.take());
        drop(consumer);
        thread.join().expect("the writer ends");
        assert_eq!(Arc::strong_count(&counted), 1);
    });
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_dies() {
    use models::seeded_bugs::{End, each_dies};
    use ulna_core::seeded::Bug;

    let one = || one_reader(2, 64, Announcement::Park, ONE_URGENT)();
    let two = || one_reader(2, 64, Announcement::Park, TWO_URGENT)();
    let two_writers = || one_reader(2, 64, Announcement::Park, TWO_WRITERS)();
    let wanted = || one_reader(4, 64, Announcement::Want, LAZY)();
    let blocked = || one_reader(2, 1, Announcement::Park, THREE_URGENT)();
    each_dies(
        "each_seeded_bug_dies",
        &[
            (Bug::SecondLookMissing, End::Deadlock, "one message", one),
            (Bug::NotEmptySoDontRing, End::Deadlock, "two messages", two),
            (Bug::GateReadBeforePublish, End::Deadlock, "one message", one),
            (Bug::BlockedRingNotInSecondLook, End::Deadlock, "blocked writer", blocked),
            (Bug::SpaceCrossingOffByOne, End::Deadlock, "blocked writer", blocked),
            (Bug::WritersFenceMissing, End::Deadlock, "one message", one),
            (Bug::ReadersFenceMissing, End::Deadlock, "one message", one),
            (Bug::LazyPublishWithoutFence, End::Deadlock, "lazy and wanted", wanted),
            (Bug::SecondLookAtOneRing, End::Deadlock, "two writers", two_writers),
            (Bug::SecondLookBeforeAnnouncement, End::Deadlock, "one message", one),
            (Bug::BellTakenAfterAnnouncement, End::Deadlock, "one message", one),
            (Bug::TailPublishedRelaxed, End::Race, "one message", one),
            (Bug::LimitParkedWithPark, End::Deadlock, "request and completion", request_and_completion),
            (Bug::WantSpaceReadBeforeHead, End::Deadlock, "blocked writer", blocked),
            (Bug::WantSpaceWrittenAfterSecondLook, End::Deadlock, "blocked writer", blocked),
        ],
    );
}

/// What one writer writes, a message at a time.
type Messages = &'static [(u8, Urgency)];
const ONE_URGENT: &[Messages] = &[&[(1, Urgent)]];
const TWO_URGENT: &[Messages] = &[&[(1, Urgent), (2, Urgent)]];
const THREE_URGENT: &[Messages] = &[&[(1, Urgent), (2, Urgent), (3, Urgent)]];
const LAZY: &[Messages] = &[&[(1, Lazy)]];
const THREE_LAZY: &[Messages] = &[&[(1, Lazy), (2, Lazy), (3, Lazy)]];
const LAZY_THEN_URGENT: &[Messages] = &[&[(1, Lazy), (2, Urgent)]];
const TWO_WRITERS_TWICE: &[Messages] = &[&[(1, Urgent), (2, Urgent)], &[(3, Urgent), (4, Urgent)]];
const TWO_WRITERS: &[Messages] = &[&[(1, Urgent)], &[(2, Urgent)]];

/// One reader, and a writer for each list of messages, joined to the reader by a ring of `slots`.
fn one_reader(
    slots: usize,
    budget: usize,
    announcement: Announcement,
    writers: &'static [Messages],
) -> impl Fn() + Sync + Send + 'static {
    move || {
        let mut exchange = Exchange::new(1 + writers.len() as u16);
        for writer in 1..=writers.len() as u16 {
            exchange.link(BellId(0), BellId(writer), slots);
        }
        let mut crossings = exchange.build();
        let bells = Bells::new(crossings.len());
        let threads: Vec<_> = crossings
            .drain(1..)
            .zip(writers)
            .map(|(crossing, messages)| {
                let bells = bells.clone();
                thread::spawn(move || (write(crossing, messages, &bells), bells))
            })
            .collect();
        let reader = crossings.pop().expect("the reader's is left");
        let (got, _reader) =
            read(reader, writers.iter().map(|messages| messages.len()).sum(), budget, announcement, &bells);
        for (link, messages) in writers.iter().enumerate() {
            let of_link = got.iter().filter(|(from, _)| from.0 == link).map(|(_, message)| *message);
            assert!(of_link.eq(messages.iter().map(|(message, _)| *message)), "each once, in order");
        }
        // Only now does anything drop: who frees what first is a model of its own.
        let _writers: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("the writer ends")).collect();
    }
}

/// Reads until it has `count` messages, asleep whenever there are none; returns them in order of arrival, and the
/// crossing.
fn read(
    mut crossing: Crossing<u8>,
    count: usize,
    budget: usize,
    announcement: Announcement,
    bells: &Bells,
) -> (Vec<(LinkId, u8)>, Crossing<u8>) {
    let mut got = Vec::new();
    loop {
        crossing.sweep(budget, |link, message| got.push((link, message)));
        publish_and_ring(&mut crossing, bells);
        if got.len() == count {
            return (got, crossing);
        }
        park(&mut crossing, announcement, bells);
    }
}

/// Writes these messages, publishing after each, asleep whenever there is no room; returns the crossing.
fn write(mut crossing: Crossing<u8>, messages: Messages, bells: &Bells) -> Crossing<u8> {
    let link = LinkId(0);
    for &(message, urgency) in messages {
        while crossing.room(link) == 0 {
            crossing.ask_for_space(link);
            park(&mut crossing, Announcement::Park, bells);
        }
        crossing.stage(link, message, urgency);
        publish_and_ring(&mut crossing, bells);
    }
    crossing
}
