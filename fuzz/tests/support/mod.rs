//! For tests in which another implementation judges our reading and writing of packets.
#![allow(dead_code, reason = "each file uses its own part of this")]

pub mod differences;
pub mod packets;
pub mod pcap;
pub mod pdml;
#[path = "../../../cli/tests/support/peer.rs"]
pub mod peer;
pub mod pyrad;
pub mod random;
pub mod reading;
pub mod tshark;
pub mod values;

use std::path::PathBuf;
use ulna_core::packet::Secret;

/// What both ends know.
pub const SECRET: &str = "xyzzy5461";

pub fn secret() -> Secret {
    Secret::new(SECRET.as_bytes()).expect("it has octets")
}

/// An empty folder of this name.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}
