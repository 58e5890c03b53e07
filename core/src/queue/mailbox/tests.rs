//! In order, all at once, from several threads, and dropped once.

use super::*;
use alloc::sync::Arc as Counted;
use alloc::vec::Vec;
use std::thread;

#[test]
fn letters_are_taken_in_the_order_in_which_they_were_put() {
    let mailbox = Mailbox::new();
    assert!(mailbox.is_empty());
    (0..3).for_each(|letter| mailbox.put(letter));
    assert!(!mailbox.is_empty());
    let mut letters = mailbox.take();
    assert!(mailbox.is_empty());
    // What comes now belongs to the next time.
    mailbox.put(3);
    assert_eq!(letters.by_ref().take(2).collect::<Vec<_>>(), [0, 1]);
    assert!(!letters.is_empty());
    assert_eq!((letters.next(), letters.next()), (Some(2), None));
    assert!(letters.is_empty());
    assert_eq!(mailbox.take().collect::<Vec<_>>(), [3]);
}

#[test]
fn each_letter_is_dropped_once_wherever_it_is() {
    let counted = Counted::new(());
    let mailbox = Mailbox::new();
    (0..3).for_each(|_| mailbox.put(counted.clone()));
    let mut taken = mailbox.take();
    mailbox.put(counted.clone());
    assert_eq!(Counted::strong_count(&counted), 5);
    drop(taken.next());
    assert_eq!(Counted::strong_count(&counted), 4);
    drop(taken);
    assert_eq!(Counted::strong_count(&counted), 2, "two that nobody asked for");
    drop(mailbox);
    assert_eq!(Counted::strong_count(&counted), 1, "one that nobody took");
}

#[test]
fn a_long_pile_drops_without_a_deep_stack() {
    let mailbox = Mailbox::new();
    (0..if cfg!(miri) { 100 } else { 200_000 }).for_each(|letter| mailbox.put(letter));
    let dropping = thread::Builder::new().stack_size(64 * 1024).spawn(move || drop(mailbox));
    dropping.expect("a thread starts").join().expect("its stack is large enough");
}

#[test]
fn letters_of_several_threads_arrive_once_and_each_threads_in_order() {
    let (writers, count) = (3usize, if cfg!(miri) { 20 } else { 20_000 });
    let mailbox = Mailbox::new();
    let mut seen = alloc::vec![0; writers];
    thread::scope(|scope| {
        for writer in 0..writers {
            let mailbox = &mailbox;
            scope.spawn(move || (0..count).for_each(|letter| mailbox.put((writer, Counted::new(letter)))));
        }
        while seen.iter().any(|seen| *seen < count) {
            for (writer, letter) in mailbox.take() {
                assert_eq!(*letter, seen[writer]);
                seen[writer] += 1;
            }
            thread::yield_now();
        }
    });
    assert!(mailbox.is_empty());
}
