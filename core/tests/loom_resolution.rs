//! What workers read of a remote server's address while others write it, every interleaving and every value that the memory orders
//! allow a load to see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ulna-core --test loom_resolution --release`
#![cfg(loom)]

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use loom::sync::Arc;
use loom::thread;
use ulna_core::Instant;
use ulna_core::forward::Resolution;

/// Each with two different words, so that half of one is no other's.
const ADDRESSES: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 1, 1, 1, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 2, 2, 2, 2, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 3, 3, 3, 3, 3)),
];

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

fn known() -> Arc<Resolution> {
    let resolution = Arc::new(Resolution::new());
    assert_eq!(resolution.note_addresses(&ADDRESSES[..1], at(0)), Some(ADDRESSES[0]));
    resolution
}

#[test]
fn who_reads_while_it_is_written_reads_one_or_the_other_or_none() {
    loom::model(|| {
        let resolution = known();
        let shared = Arc::clone(&resolution);
        let writer = thread::spawn(move || shared.note_addresses(&ADDRESSES[1..2], at(60)));
        let mut last = 0;
        for _ in 0..2 {
            if let Some((version, address)) = resolution.address() {
                assert_eq!(address, ADDRESSES[version as usize / 2 - 1]);
                assert!(version >= last);
                last = version;
            }
        }
        assert_eq!(writer.join().expect("no worker panics"), Some(ADDRESSES[1]));
        assert_eq!(resolution.address().map(|(_, address)| address), Some(ADDRESSES[1]));
    });
}

#[test]
fn of_two_that_write_at_once_each_is_whole() {
    loom::model(|| {
        let resolution = known();
        let writers = [1, 2].map(|number| {
            let shared = Arc::clone(&resolution);
            thread::spawn(move || shared.note_addresses(&ADDRESSES[number..=number], at(60)))
        });
        if let Some((version, address)) = resolution.address() {
            assert!(ADDRESSES.contains(&address), "{address}");
            assert!(version != 2 || address == ADDRESSES[0]);
        }
        let told = writers.map(|writer| writer.join().expect("no worker panics"));
        let (version, address) = resolution.address().expect("nobody writes any more");
        let written = told.iter().flatten().count();
        assert_eq!(version, 2 + 2 * written as u64);
        assert!(written >= 1 && told.contains(&Some(address)), "{told:?} and {address}");
    });
}

#[test]
fn one_of_two_is_told_to_ask() {
    loom::model(|| {
        let resolution = known();
        let shared = Arc::clone(&resolution);
        let interval = Duration::from_secs(60);
        let other = thread::spawn(move || shared.claim(interval, at(60)));
        let claims = [resolution.claim(interval, at(60)), other.join().expect("no worker panics")];
        assert_ne!(claims[0], claims[1]);
    });
}
