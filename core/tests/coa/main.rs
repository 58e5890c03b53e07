//! CoA and Disconnect, from who may order NASes about to the NAS and back. RFC 5176.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod nases;
mod refused;
mod replay;
mod there_and_back;
