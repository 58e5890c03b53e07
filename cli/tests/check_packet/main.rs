//! `ulna check --packet`: what it says of a packet, and that the server does the same.

mod agreement;
mod asked;
mod forwarding;
mod situations;
#[path = "../support/mod.rs"]
mod support;
