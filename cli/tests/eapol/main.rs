//! EAP-TTLS, PEAP and EAP-TLS by `eapol_test`, terminated by FreeRADIUS servers of the test's own, with and without ulna
//! between. What is judged is what the servers themselves wrote down: each round, whose it was, and whether its
//! conversation had begun there. RFC 3579, RFC 2865 §5.24.
//!
//! Needs the packages of `scripts/install-peers`. Where those are missing the tests fail:
//!
//! ```text
//! cargo test --profile ci -p ulna --test eapol
//! ```

mod bench;
mod certificates;
mod edit;
mod equal_states;
mod gate;
mod journal;
mod proxied;
mod relay;
mod server;
mod stub;
mod supplicant;
#[path = "../support/mod.rs"]
mod support;
