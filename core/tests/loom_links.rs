//! Threads and links that come and go, every interleaving and every value that the memory orders allow a load to see, in
//! small: letters, links that they bring, last messages, links given up.
//!
//! Close and last messages are ordinary messages of these models, as they are of the layer above in the server.
//! `RUSTFLAGS="--cfg loom" cargo test -p ulna-core --test loom_links --release`; with `--features seeded-bugs` each seeded
//! bug has to be found by a model, too.
#![cfg(loom)]

#[path = "support/models.rs"]
mod models;

use loom::cell::Cell;
use loom::thread;
use models::{Bells, check, park, publish_and_ring, ring};
use ulna_core::queue::{
    Announcement, BellId, Crossing, Directory, LinkEnd, LinkId, ThreadHandle, Urgency, link,
};

#[test]
fn a_letter_ends_a_sleep() {
    check(None, one_letter);
}

#[test]
fn two_letters_of_one_poster_arrive_in_order() {
    check(None, || posted(&[&[1, 2]]));
}

#[test]
fn letters_of_two_posters_arrive_once_each() {
    check(Some(3), || posted(&[&[1], &[2]]));
}

#[test]
fn letters_of_two_posters_keep_the_order_of_each() {
    check(Some(2), || posted(&[&[1, 2], &[3]]));
}

/// The other end has written into the link, and rung, before the letter comes, while it comes, or after.
#[test]
fn a_link_with_messages_in_it_is_attached() {
    check(Some(3), || {
        let mut directory = Directory::new();
        let (handle, mut reader) = directory.enter::<u8>();
        let (writers, writer) = directory.enter::<u8>();
        let (to_writer, to_reader) = link(&handle, &writers, 2);
        let bells = Bells::new(2);
        let thread = spawn_writer(writer, to_reader, &[1], &bells);
        if let Some(bell) = handle.post(to_writer) {
            bells.ring(bell);
        }
        let got = read_after_letters(&mut reader, 1, &bells);
        assert_eq!(got, [(LinkId(0), 1)]);
        drop(thread.join().expect("the writer ends"));
    });
}

/// A supervisor brings a link to two threads, in a thread of its own; one writes at once.
#[test]
fn a_link_is_brought_to_both_ends() {
    check(Some(2), || {
        let mut directory = Directory::new();
        let (handle, mut reader) = directory.enter::<u8>();
        let (writers, mut writer) = directory.enter::<u8>();
        let (to_writer, to_reader) = link(&handle, &writers, 2);
        let bells = Bells::new(2);
        let writers_bells = bells.clone();
        let thread = thread::spawn(move || {
            let end = next_letter(&mut writer, &writers_bells);
            let at = writer.attach(end);
            writer.stage(at, 1, Urgency::Urgent);
            publish_and_ring(&mut writer, &writers_bells);
            writer
        });
        let supervisors_bells = bells.clone();
        let supervisor = thread::spawn(move || {
            for (handle, end) in [(writers, to_reader), (handle, to_writer)] {
                if let Some(bell) = handle.post(end) {
                    supervisors_bells.ring(bell);
                }
            }
        });
        let got = read_after_letters(&mut reader, 1, &bells);
        assert_eq!(got, [(LinkId(0), 1)]);
        supervisor.join().expect("the supervisor ends");
        drop(thread.join().expect("the writer ends"));
    });
}

/// A message, then the last; the reader says its own last, the link is given up at both ends, and each may have slept.
#[test]
fn a_link_is_closed_and_given_up() {
    check(Some(3), closed_and_given_up);
}

/// One link closes; the link that comes next has its number, at one end or both.
#[test]
fn a_number_of_a_link_is_used_again() {
    check(Some(2), || {
        let mut directory: Directory = Directory::new();
        let (ones, mut one) = directory.enter::<u8>();
        let (others, mut other) = directory.enter::<u8>();
        let links = [link(&ones, &others, 2), link(&ones, &others, 2)];
        let (own, theirs): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        let bells = Bells::new(2);
        let others_bells = bells.clone();
        let thread = thread::spawn(move || {
            for end in theirs {
                let at = other.attach(end);
                assert_eq!(at, LinkId(0));
                say_all(&mut other, at, &[], &others_bells);
            }
            other
        });
        for end in own {
            let at = one.attach(end);
            assert_eq!(at, LinkId(0));
            say_all(&mut one, at, &[1], &bells);
        }
        drop(thread.join().expect("the other ends"));
    });
}

#[test]
fn letters_that_nobody_takes_are_dropped_once() {
    check(None, || {
        let counted = loom::sync::Arc::new(());
        let mut directory = Directory::new();
        let (handle, mut crossing) = directory.enter::<u8>();
        let letter = counted.clone();
        let thread = thread::spawn(move || {
            let _ = handle.post(letter.clone());
            let _ = handle.post(letter);
        });
        drop(crossing.poll_letter());
        drop((crossing, directory));
        thread.join().expect("the poster ends");
        assert_eq!(loom::sync::Arc::strong_count(&counted), 1);
    });
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_dies() {
    use models::seeded_bugs::{End, each_dies};
    use ulna_core::seeded::Bug;

    each_dies(
        "each_seeded_bug_dies",
        &[
            (Bug::MailboxNotInSecondLook, End::Deadlock, "one letter", one_letter),
            (Bug::PostWithoutFence, End::Deadlock, "one letter", one_letter),
            (Bug::RetireWithoutWakingThePeer, End::Deadlock, "closed and given up", closed_and_given_up),
        ],
    );
}

fn one_letter() {
    posted(&[&[1]]);
}

/// A reader, and for each list of letters a poster. What a letter says is in a cell that loom watches.
fn posted(posters: &'static [&'static [u8]]) {
    let mut directory = Directory::new();
    let (handle, mut reader) = directory.enter::<u8>();
    let bells = Bells::new(1);
    let threads: Vec<_> = posters
        .iter()
        .map(|letters| {
            let (handle, bells): (ThreadHandle<Cell<u8>>, _) = (handle.clone(), bells.clone());
            thread::spawn(move || {
                for letter in *letters {
                    if let Some(bell) = handle.post(Cell::new(*letter)) {
                        bells.ring(bell);
                    }
                }
            })
        })
        .collect();
    let count = posters.iter().map(|letters| letters.len()).sum();
    let mut got = Vec::new();
    while got.len() < count {
        got.push(next_letter(&mut reader, &bells).get());
    }
    assert!(reader.poll_letter().is_none(), "each once");
    for letters in posters {
        let of_poster = got.iter().filter(|letter| letters.contains(letter));
        assert!(of_poster.eq(*letters), "in order");
    }
    threads.into_iter().for_each(|thread| thread.join().expect("the poster ends"));
}

fn closed_and_given_up() {
    let mut directory: Directory = Directory::new();
    let (readers, mut reader) = directory.enter::<u8>();
    let (writers, mut writer) = directory.enter::<u8>();
    let (to_writer, to_reader) = link(&readers, &writers, 2);
    let bells = Bells::new(2);
    let writers_bells = bells.clone();
    let thread = thread::spawn(move || {
        let at = writer.attach(to_reader);
        assert_eq!(say_all(&mut writer, at, &[1], &writers_bells), []);
        assert_eq!(writer.links(), 0);
    });
    let at = reader.attach(to_writer);
    assert_eq!(say_all(&mut reader, at, &[], &bells), [1]);
    assert_eq!(reader.links(), 0);
    thread.join().expect("the writer ends");
    // Nothing leads to either any more.
    directory.leave(BellId(0));
    drop((reader, readers));
    assert_eq!(directory.enter::<u8>().0.bell(), BellId(0));
}

/// The last message of either side.
const LAST: u8 = 0;

/// Says these and its last, reads to the other's last, gives the link up as soon as it can, asleep whenever it has nothing
/// to do; returns what it has read before the last. Who has nothing to say but its last says it only as an answer.
fn say_all(crossing: &mut Crossing<u8>, link: LinkId, messages: &[u8], bells: &Bells) -> Vec<u8> {
    let (mut got, mut has_heard, mut has_said) = (Vec::new(), false, false);
    loop {
        crossing.sweep(64, |_, message| {
            assert!(!has_heard, "nothing comes after the last");
            has_heard = message == LAST;
            got.extend((message != LAST).then_some(message));
        });
        if !has_said && (has_heard || !messages.is_empty()) {
            for message in messages.iter().chain(&[LAST]) {
                crossing.stage(link, *message, Urgency::Urgent);
            }
            has_said = true;
        }
        crossing.publish();
        // Before the gates are checked nothing that was touched is drained, unless a bug says so.
        if has_said && has_heard && crossing.is_drained(link) {
            crossing.detach(link);
            return got;
        }
        ring(crossing, bells);
        if has_said && has_heard {
            if crossing.is_drained(link) {
                crossing.detach(link);
                return got;
            }
            crossing.ask_for_drain(link);
        }
        park(crossing, Announcement::Park, bells);
    }
}

/// Attaches a link, writes these messages into it and shows them.
fn spawn_writer<L: Send + 'static>(
    mut writer: Crossing<u8, L>,
    end: LinkEnd<u8>,
    messages: &'static [u8],
    bells: &Bells,
) -> thread::JoinHandle<Crossing<u8, L>> {
    let bells = bells.clone();
    thread::spawn(move || {
        let at = writer.attach(end);
        for message in messages {
            writer.stage(at, *message, Urgency::Urgent);
            publish_and_ring(&mut writer, &bells);
        }
        writer
    })
}

/// Attaches the links that letters bring, and reads so many messages; asleep whenever there is nothing.
fn read_after_letters(
    crossing: &mut Crossing<u8, LinkEnd<u8>>,
    count: usize,
    bells: &Bells,
) -> Vec<(LinkId, u8)> {
    let mut got = Vec::new();
    loop {
        while let Some(end) = crossing.poll_letter() {
            crossing.attach(end);
        }
        crossing.sweep(64, |link, message| got.push((link, message)));
        publish_and_ring(crossing, bells);
        if got.len() == count {
            return got;
        }
        park(crossing, Announcement::Park, bells);
    }
}

fn next_letter<L: Send>(crossing: &mut Crossing<u8, L>, bells: &Bells) -> L {
    loop {
        if let Some(letter) = crossing.poll_letter() {
            return letter;
        }
        park(crossing, Announcement::Park, bells);
    }
}
