//! A port of core's own, served over a link: another process asks, dies, misbehaves, and the next one is answered.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ulna_config::Cores;
use ulna_core::Seed;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::path::ListenerId;
use ulna_core::policy::configured_rules;
use ulna_runtime_mio::shared_ring::{End, Link, PeerBroke};
use ulna_runtime_mio::{Served, SharedPort};

use super::{Folder, Other, Side, within};

const CONFIGURATION: &str = r#"
[runtime]
network_threads = 0
workers = 1

[log]
requests = true

[[listen]]
name = "ring"
transport = "udp"
address = "127.0.0.1:1812"
packets = ["access", "status"]
server = "doors"

[[client]]
name = "neighbours"
network = "192.0.2.0/24"
secret = "between two processes"
require_message_authenticator = true

[[server]]
name = "doors"

[[server.new]]
authenticate = "users"

[[user]]
name = "bob"
password = "hello"
"#;

/// Requests that a process asks that is not killed.
const COUNT: u64 = 2000;
/// Not more than there are Identifiers.
const WINDOW: u64 = 32;
const SLOTS: u32 = 64;

fn secret() -> Secret {
    Secret::new(b"between two processes").expect("it has octets")
}

fn port() -> SharedPort {
    let (configuration, _) = ulna_config::parse(CONFIGURATION, "serving.rs", Cores(1)).expect("it is right");
    let configuration = Arc::new(configuration);
    let log = Box::new(std::io::sink());
    SharedPort::new(&configuration, ListenerId(0), &Seed::new([5; 32]), &configured_rules(), None, log)
        .expect("a thread can be had")
}

#[test]
fn one_process_is_answered_one_dies_one_breaks_its_ring_and_the_next_is_answered() {
    within(|| {
        let folder = Folder::new("serving");
        let mut port = port();
        let (report, counters) = (port.report(), port.counters());
        let serve = |port: &mut SharedPort, role: &str, meanwhile: &mut dyn FnMut(Other)| {
            let link = Link::create(&folder.ring(), SLOTS).expect("a new name");
            let other = Other::start(role, &folder.ring());
            std::thread::scope(|scope| {
                let serving = scope.spawn(|| port.serve(link).expect("the kernel waits"));
                meanwhile(other);
                serving.join().expect("it serves")
            })
        };
        let network = report.network.as_ref().expect("a joined thread has one");

        let served = serve(&mut port, "ask", &mut Other::end_well);
        assert_eq!(served, Served::Ended(End::Gone));
        assert_eq!((counters.datagrams.value(), report.thread.packets_sent.value()), (COUNT, COUNT));
        assert_eq!(network.answered.value(), COUNT);

        let mut killed = |other: Other| {
            while counters.datagrams.value() < 2 * COUNT {
                std::thread::yield_now();
            }
            other.kill();
        };
        assert_eq!(serve(&mut port, "ask for ever", &mut killed), Served::Ended(End::Gone));
        assert_eq!(network.received.value(), counters.datagrams.value(), "all that it left was read");

        let served = serve(&mut port, "break", &mut Other::end_well);
        assert_eq!(served, Served::Ended(End::Broke(PeerBroke::Kind(9))));

        let before = report.thread.packets_sent.value();
        assert_eq!(serve(&mut port, "ask", &mut Other::end_well), Served::Ended(End::Gone));
        assert_eq!(report.thread.packets_sent.value(), before + COUNT);
        assert_eq!((counters.peers_gone.value(), counters.peers_broke.value()), (3, 1));
        assert!(report.thread.parks.value() > 0, "it has slept");

        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let folder_name = folder.0.file_name().and_then(|name| name.to_str()).expect("it is text");
        assert!(!maps.contains(folder_name), "no link is mapped any more: {maps}");
        assert_eq!(folder.entries(), 0, "and none has a name");
    });
}

#[test]
fn it_stops_when_it_is_told_to_although_nobody_has_come() {
    within(|| {
        let folder = Folder::new("stopping");
        let mut port = port();
        let stopper = port.stopper();
        let counters = port.counters();
        let link = Link::create(&folder.ring(), SLOTS).expect("a new name");
        let serving = std::thread::spawn(move || port.serve(link).expect("the kernel waits"));
        while counters.link_parks.value() == 0 && !serving.is_finished() {
            std::thread::yield_now();
            stopper.stop();
        }
        assert_eq!(serving.join().expect("it serves"), Served::Stopped);
        assert_eq!(folder.entries(), 0);
    });
}

fn request(n: u64, out: &mut Vec<u8>) {
    let mut authenticator = [0; 16];
    authenticator[..8].copy_from_slice(&n.to_be_bytes());
    let first = MessageAuthenticator::First;
    out.clear();
    let mut encoder = Encoder::request(out, Code::AccessRequest, n as u8, &authenticator, first);
    encoder.attribute(number::USER_NAME, b"bob").expect("it fits");
    encoder.user_password(b"hello", &secret()).expect("it fits");
    encoder.finish_request(&secret());
}

fn own() -> SocketAddr {
    ([127, 0, 0, 1], 1812).into()
}

fn nas(n: u64) -> SocketAddr {
    ([192, 0, 2, 7], 40_000 + (n / 256 % 64) as u16).into()
}

/// Asks in windows; each request is accepted, signed for that very request.
pub fn ask(link: &Path) {
    let mut side = Side::of(Link::open(link).expect("it is there"));
    let mut out = Vec::new();
    for first in (0..COUNT).step_by(WINDOW as usize) {
        let window = first..(first + WINDOW).min(COUNT);
        for n in window.clone() {
            request(n, &mut out);
            assert!(side.link.room() > 0);
            side.link.stage(nas(n), own(), &out);
        }
        side.link.publish();
        let mut missing: Vec<u64> = window.collect();
        while !missing.is_empty() {
            side.wait();
            side.link.sweep(usize::MAX, |slot| {
                let reply = Framed::parse(slot.octets()).expect("a packet");
                let place = missing.iter().position(|n| *n as u8 == reply.identifier());
                let n = missing.remove(place.expect("it was asked"));
                let mut authenticator = [0; 16];
                authenticator[..8].copy_from_slice(&n.to_be_bytes());
                let verified = reply.verify_reply(&secret(), &authenticator, true).expect("it verifies");
                assert_eq!(verified.code(), Code::AccessAccept);
                assert_eq!((slot.remote, slot.local), (nas(n), own()));
            });
            side.link.publish();
            assert_eq!(side.link.end(), None);
        }
    }
}

/// Asks and reads no answer, until it is killed.
pub fn ask_for_ever(link: &Path) {
    let mut side = Side::of(Link::open(link).expect("it is there"));
    let mut out = Vec::new();
    for n in 0.. {
        while side.link.room() == 0 {
            side.link.ask_for_space();
            side.link.sweep(usize::MAX, |_| {});
            side.link.publish();
            side.wait();
        }
        request(n, &mut out);
        side.link.stage(nas(n), own(), &out);
        side.link.publish();
    }
}

/// A message of a kind that there is not, behind one that is well formed.
pub fn break_it(link: &Path) {
    let file = OpenOptions::new().write(true).open(link).expect("it is there");
    let mut side = Side::of(Link::open(link).expect("it is there"));
    let mut out = Vec::new();
    for n in 0..2 {
        request(n, &mut out);
        side.link.stage(nas(n), own(), &out);
    }
    file.write_all_at(&9u32.to_ne_bytes(), 4096 + 4160).expect("it is open");
    side.link.publish();
    while side.link.end().is_none() {
        side.link.sweep(usize::MAX, |_| {});
        side.link.publish();
        side.wait();
    }
    assert_eq!(side.link.end(), Some(End::Gone), "it is closed at the other end");
}
