//! Numbers given, kept and given again; letters posted.

use super::*;
use crate::queue::gate::Announcement;
use crate::queue::link;
use alloc::vec::Vec;

fn enter(directory: &mut Directory<u8>) -> (ThreadHandle<u8>, Crossing<u8, u8>) {
    directory.enter()
}

#[test]
fn who_enters_gets_the_lowest_free_number() {
    let mut directory = Directory::new();
    let mut threads: Vec<_> = (0..3).map(|_| Some(enter(&mut directory))).collect();
    let numbers: Vec<_> =
        threads.iter().flatten().map(|(handle, crossing)| (handle.bell(), crossing.bell())).collect();
    assert_eq!(numbers, [0, 1, 2].map(|number| (BellId(number), BellId(number))));
    for gone in [1, 0] {
        directory.leave(BellId(gone));
        threads[usize::from(gone)] = None;
    }
    assert!(directory.handle(BellId(0)).is_none());
    assert_eq!(directory.handle(BellId(2)).map(ThreadHandle::bell), Some(BellId(2)));
    assert_eq!([(); 3].map(|()| enter(&mut directory).0.bell()), [0, 1, 3].map(BellId));
}

#[test]
fn a_number_is_kept_while_anything_leads_to_its_thread() {
    let mut directory = Directory::new();
    let (zero, _crossing) = enter(&mut directory);
    let (one, ones_crossing) = enter(&mut directory);
    let (end_of_zero, end_of_one) = link::<u8, _>(&zero, &one, 2);
    directory.leave(BellId(1));
    let mut next = 2;
    let mut is_still_kept = |what: &str| {
        let (handle, _) = enter(&mut directory);
        assert_eq!(handle.bell(), BellId(next), "{what}");
        next += 1;
        // It stays, so that its own number is no candidate.
    };
    is_still_kept("the thread runs on, two link ends and a handle are about");
    drop(ones_crossing);
    is_still_kept("a link leads to it, and a handle");
    drop(end_of_one);
    is_still_kept("its own end of a link does not matter");
    drop(end_of_zero);
    is_still_kept("there is still a handle");
    drop(one);
    assert_eq!(enter(&mut directory).0.bell(), BellId(1));
}

#[test]
#[should_panic(expected = "only who is here can leave")]
fn nobody_leaves_twice() {
    let mut directory = Directory::new();
    let _thread = enter(&mut directory);
    directory.leave(BellId(0));
    directory.leave(BellId(0));
}

#[test]
fn a_letter_rings_for_a_sleeper_once_and_is_urgent() {
    let mut directory = Directory::new();
    let (handle, mut crossing) = enter(&mut directory);
    assert_eq!(handle.post(1), None, "it runs");
    assert!(crossing.is_anything_unread());
    crossing.announce(Announcement::Park);
    assert!(crossing.look_again(), "there is a letter");
    crossing.unpark();
    assert_eq!((crossing.poll_letter(), crossing.poll_letter()), (Some(1), None));
    crossing.announce(Announcement::Park);
    assert!(!crossing.look_again());
    assert_eq!(directory.handle(BellId(0)).expect("it is here").post(2), Some(BellId(0)));
    assert_eq!(handle.post(3), None, "once per park");
    crossing.unpark();
    assert_eq!(crossing.poll_letter(), Some(2));
    crossing.announce(Announcement::Park);
    assert!(crossing.look_again(), "one was taken out with the other and not read");
    crossing.unpark();
    assert_eq!((crossing.poll_letter(), crossing.poll_letter()), (Some(3), None));
    assert_eq!(crossing.counters().rings_spurious, 0, "it was rung for a letter");
}
