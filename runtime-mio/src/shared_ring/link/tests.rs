//! Both sides in one process, each with a poll of its own.

use super::*;
use crate::shared_ring::SLOTS_MAX;
use std::path::PathBuf;

const TOKEN: Token = Token(7);

/// A name in a folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ulna-link-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("there is a temporary folder");
        Folder(folder)
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).expect("it is there").count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Side {
    link: Link,
    poll: Poll,
    events: Events,
}

impl Side {
    fn of(mut link: Link) -> Side {
        let poll = Poll::new().expect("a poll");
        link.register(poll.registry(), TOKEN).expect("it is watched");
        Side { link, poll, events: Events::with_capacity(4) }
    }

    fn wait(&mut self) {
        self.link.wait(&mut self.poll, &mut self.events, PATIENCE).expect("it waits");
    }
}

/// Long enough that a test which needs it has failed.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

#[test]
fn who_sleeps_is_rung_once_and_who_does_not_never() {
    let folder = Folder::new("rung");
    let name = folder.0.join("ring");
    let mut server = Side::of(Link::create(&name, 4).expect("a new name"));
    assert_eq!(folder.entries(), 3);
    let mut asker = Side::of(Link::open(&name).expect("it is there"));
    assert!(!server.link.is_attached());
    server.wait();
    assert!(server.link.is_attached());
    assert_eq!(folder.entries(), 0, "it is for one, and that has come");

    // Nobody sleeps.
    asker.link.stage(address(1), address(1812), b"one");
    asker.link.publish();
    assert_eq!(asker.link.counters().rings, 0);
    let mut seen = Vec::new();
    server.link.sweep(64, |slot| seen.push((slot.remote, slot.octets().to_vec())));
    assert_eq!(seen, [(address(1), b"one".to_vec())]);
    server.link.publish();

    server.link.announce();
    assert!(!server.link.look_again());
    for _ in 0..3 {
        asker.link.stage(address(2), address(1812), b"two");
        asker.link.publish();
    }
    assert_eq!(asker.link.counters().rings, 1, "one bell for each sleep");
    server.poll.poll(&mut server.events, PATIENCE).expect("it waits");
    server.link.unpark();
    server.events.iter().for_each(|event| server.link.handle_event(event));
    assert_eq!(server.link.sweep(64, |_| {}), 3);
    server.link.publish();
    assert_eq!((server.link.end(), asker.link.end()), (None, None));
}

#[test]
fn either_side_learns_that_the_other_has_gone_and_can_read_what_it_left() {
    let folder = Folder::new("gone");
    let name = folder.0.join("ring");
    for creator_goes in [true, false] {
        let mut server = Side::of(Link::create(&name, 2).expect("a new name"));
        let asker = Side::of(Link::open(&name).expect("it is there"));
        server.wait();
        let (mut goes, mut stays) = if creator_goes { (server, asker) } else { (asker, server) };
        goes.link.stage(address(1), address(1812), b"last");
        goes.link.publish();
        drop(goes);
        while stays.link.end().is_none() {
            stays.link.sweep(0, |_| {});
            stays.poll.poll(&mut stays.events, PATIENCE).expect("it waits");
            assert!(!stays.events.is_empty(), "it is told");
            stays.events.iter().for_each(|event| stays.link.handle_event(event));
        }
        assert_eq!(stays.link.end(), Some(End::Gone));
        assert_eq!(stays.link.sweep(64, |slot| assert_eq!(slot.octets(), b"last")), 1);
        assert_eq!(stays.link.room(), 0, "nobody would read it");
        assert_eq!(folder.entries(), 0);
    }
}

#[test]
fn a_link_that_nobody_opened_leaves_no_names() {
    let folder = Folder::new("names");
    let name = folder.0.join("ring");
    let link = Link::create(&name, 2).expect("a new name");
    assert!(matches!(Link::create(&name, 2), Err(OpenError::System { .. })), "the names are taken");
    assert_eq!(folder.entries(), 3, "and stay");
    drop(link);
    assert_eq!(folder.entries(), 0);
    for slots in [0, 3, 2 * SLOTS_MAX] {
        assert!(matches!(Link::create(&name, slots), Err(OpenError::Slots(_))), "{slots}");
    }
    assert_eq!(folder.entries(), 0, "what was refused leaves none either");
}

#[test]
fn one_opens_it_and_no_second_one() {
    let folder = Folder::new("taken");
    let name = folder.0.join("ring");
    let _server = Link::create(&name, 2).expect("a new name");
    let first = Link::open(&name).expect("it is there");
    assert!(matches!(Link::open(&name), Err(OpenError::Taken)));
    drop(first);
}
