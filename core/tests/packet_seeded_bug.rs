//! The seeded bug of this room does what its name says: a test of its own, as a bug is chosen for the whole process.
#![cfg(feature = "seeded-bugs")]

use ulna_core::packet::{
    Code, Encoder, Framed, MessageAuthenticator, Requirements, Secret, Secrets, VerifyError,
};
use ulna_core::seeded::{self, Bug};

#[test]
fn a_forged_packet_is_believed_only_with_the_bug() {
    let mut out = Vec::new();
    let forger = Secret::new(b"guessed").expect("not empty");
    Encoder::request(&mut out, Code::AccessRequest, 1, &[7; 16], MessageAuthenticator::First)
        .finish_request(&forger);
    let secrets = Secrets::one(Secret::new(b"testing123").expect("not empty"));
    let verify = || {
        Framed::parse(&out)
            .expect("a packet")
            .verify_request(&secrets, Requirements::default())
            .map(|verified| verified.signed())
    };
    assert_eq!(verify(), Err(VerifyError::BadMessageAuthenticator));
    seeded::choose(Some(Bug::ForgedPacketBelieved));
    assert_eq!(verify(), Ok(true));
    seeded::choose(None);
    assert_eq!(verify(), Err(VerifyError::BadMessageAuthenticator));
}
