//! Links that come and go, one by one.

use crate::queue::crossing::{BellId, Crossing, LinkEnd, LinkId, link};
use crate::queue::directory::{Directory, ThreadHandle};
use crate::queue::gate::{Announcement, Urgency};
use alloc::vec;
use alloc::vec::Vec;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "life_model.rs"]
mod model;
#[path = "life_stress.rs"]
mod stress;

type Pair<M> = [(ThreadHandle<u8>, Crossing<M, u8>); 2];

fn pair<M: Send>() -> Pair<M> {
    let mut directory = Directory::new();
    [directory.enter(), directory.enter()]
}

fn ends<M: Send>([(one, _), (other, _)]: &Pair<M>, slots: usize) -> (LinkEnd<M>, LinkEnd<M>) {
    link(one, other, slots)
}

fn check_gates<M: Send>(crossing: &mut Crossing<M, u8>) -> Vec<BellId> {
    crossing.publish();
    core::iter::from_fn(|| crossing.check_gate()).collect()
}

#[test]
fn a_link_brings_what_was_written_before_it_was_attached() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    assert_eq!((one.own(), one.peer()), (BellId(0), BellId(1)));
    let at = pair[0].1.attach(one);
    pair[0].1.stage(at, 'a', Urgency::Urgent);
    assert_eq!(check_gates(&mut pair[0].1), []);
    let reader = &mut pair[1].1;
    reader.announce(Announcement::Park);
    assert!(!reader.look_again(), "nobody has told it of the link");
    reader.unpark();
    let at = reader.attach(other);
    reader.announce(Announcement::Park);
    assert!(reader.look_again());
    reader.unpark();
    let mut got = vec![];
    reader.sweep(64, |link, message| got.push((link, message)));
    assert_eq!(got, [(at, 'a')]);
}

#[test]
fn the_lowest_free_number_is_given_again_and_the_hole_is_skipped() {
    let mut pair = pair();
    let (mine, theirs): (Vec<_>, Vec<_>) = (0..4).map(|_| ends(&pair, 2)).unzip();
    let [(_, one), (_, other)] = &mut pair;
    let numbers: Vec<_> = mine.into_iter().map(|end| one.attach(end)).collect();
    assert_eq!(numbers, [0, 1, 2, 3].map(LinkId));
    let others: Vec<_> = theirs.into_iter().map(|end| other.attach(end)).collect();
    one.detach(LinkId(1));
    one.detach(LinkId(0));
    assert_eq!((one.links(), one.is_attached(LinkId(1)), one.is_attached(LinkId(2))), (4, false, true));
    for at in &others[2..] {
        other.stage(*at, at.0, Urgency::Lazy);
    }
    other.publish();
    let mut got = vec![];
    assert_eq!(one.sweep(64, |link, message| got.push((link.0, message))), 2);
    assert_eq!(got, [(2, 2), (3, 3)]);
    assert_eq!(check_gates(one), []);
    one.detach(LinkId(3));
    assert_eq!(one.links(), 3, "nothing is numbered above the last");
    let next: Vec<_> = (0..3).map(|_| link(&pair[0].0, &pair[1].0, 2).0).collect();
    let numbers: Vec<_> = next.into_iter().map(|end| pair[0].1.attach(end)).collect();
    assert_eq!(numbers, [0, 1, 3].map(LinkId));
}

#[test]
fn only_what_is_drained_is_detached() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    let [(_, one), (_, other)] = {
        pair[0].1.attach(one);
        pair[1].1.attach(other);
        &mut pair
    };
    let link = LinkId(0);
    let refuses = |crossing: &mut Crossing<u8, u8>, why: &str| {
        assert!(!crossing.is_drained(link), "{why}");
        assert!(catch_unwind(AssertUnwindSafe(|| crossing.detach(link))).is_err(), "{why}");
    };
    one.stage(link, 1, Urgency::Urgent);
    refuses(one, "staged");
    one.publish();
    refuses(one, "unchecked");
    assert_eq!(one.check_gate(), None);
    refuses(one, "unread there");
    refuses(other, "unread here");
    other.sweep(64, |_, _| ());
    refuses(other, "its head is published, and nobody told");
    assert!(one.is_drained(link), "all is read");
    assert_eq!(check_gates(other), []);
    other.detach(link);
    one.detach(link);
    assert_eq!((one.links(), other.links()), (0, 0));
}

#[test]
fn who_waits_to_be_drained_is_rung_when_all_is_read_and_not_before() {
    let mut pair = pair();
    let (one, other) = ends(&pair, 4);
    pair[0].1.attach(one);
    pair[1].1.attach(other);
    let [(_, one), (_, other)] = &mut pair;
    let link = LinkId(0);
    (0..3).for_each(|message| one.stage(link, message, Urgency::Urgent));
    assert_eq!(check_gates(one), []);
    one.ask_for_drain(link);
    one.announce(Announcement::Park);
    assert!(!one.look_again());
    let mut rung = vec![];
    for _ in 0..3 {
        other.sweep(1, |_, _: u8| ());
        rung.push(check_gates(other));
    }
    assert_eq!(rung, [vec![], vec![], vec![BellId(0)]]);
    one.unpark();
    assert_eq!(one.room(link), 4);
    one.detach(link);
    assert_eq!(one.counters().full, 0, "it did not wait for space");
}

#[test]
fn an_end_is_attached_only_where_it_belongs() {
    let mut pair: Pair<u8> = pair();
    let (one, _other) = ends(&pair, 4);
    assert!(catch_unwind(AssertUnwindSafe(|| pair[1].1.attach(one))).is_err());
}

/// Attached once, a thread does all else in the room that its lines have.
#[test]
fn nothing_grows_after_the_last_attach() {
    let mut pair = pair();
    for _ in 0..5 {
        let (one, other) = ends(&pair, 2);
        pair[0].1.attach(one);
        pair[1].1.attach(other);
    }
    let room = |crossing: &Crossing<u8, u8>| (crossing.touched.capacity(), crossing.unchecked.capacity());
    let before = room(&pair[0].1);
    assert!(before.0 >= 5 && before.1 >= 5);
    for at in 0..5 {
        pair[0].1.stage(LinkId(at), 1, Urgency::Urgent);
    }
    pair[0].1.publish();
    for at in 0..5 {
        pair[0].1.stage(LinkId(at), 2, Urgency::Urgent);
    }
    while pair[0].1.check_gate().is_some() {}
    check_gates(&mut pair[0].1);
    let after = room(&pair[0].1);
    assert!(after == before || after == (before.1, before.0), "the lines change places with each publish");
}
