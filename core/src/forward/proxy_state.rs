//! The Proxy-State that is ours: it names the outstanding request, and shows that a request has been here before.
//! RFC 2865 §5.33.
//!
//! Its value is 16 octets: eight that whoever forwards chooses, and eight of a keyed hash over them. Whoever does not have
//! this node's key can make none that is taken for ours; one that is met in a request has come around in a circle. Opaque to
//! everybody else, and so are theirs to us.

use crate::packet::{Framed, number};
use crate::seed::{KeyedHash, Seed};
use crate::seeded::{self, Bug};
use core::fmt;
use core::hash::{BuildHasher, Hasher};
use subtle::ConstantTimeEq;

/// How many octets our value has.
pub const PROXY_STATE_OCTETS: usize = NONCE_OCTETS + TAG_OCTETS;
const NONCE_OCTETS: usize = 8;
const TAG_OCTETS: usize = 8;

/// What makes Proxy-States ours: a key that all threads of this node share. A restart draws another.
#[derive(Debug, Clone)]
pub struct ProxyStateKey(KeyedHash);

/// One Proxy-State of ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnProxyState([u8; PROXY_STATE_OCTETS]);

impl ProxyStateKey {
    /// Equal node keys agree on what is theirs.
    pub fn new(node_key: &Seed) -> ProxyStateKey {
        ProxyStateKey(node_key.fork("proxy state").hasher())
    }

    /// Whether a value of Proxy-State is one of ours.
    pub fn is_ours(&self, value: &[u8]) -> bool {
        match value.split_first_chunk::<NONCE_OCTETS>() {
            Some((nonce, tag)) => tag.ct_eq(&self.tag(nonce)).into(),
            None => false,
        }
    }

    /// Whether a request has a Proxy-State of ours: we have forwarded it, and it has come back to us as a request.
    pub fn is_loop(&self, request: &Framed<'_>) -> bool {
        !seeded::is(Bug::LoopNotSeen) && request.proxy_states().any(|value| self.is_ours(value))
    }

    /// The nonce of the Proxy-State of ours among what a remote server has returned; the last, if there are several, for
    /// that is where ours stood.
    pub fn returned(&self, reply: &Framed<'_>) -> Option<u64> {
        let ours = reply.proxy_states().filter(|value| self.is_ours(value)).last()?;
        ours.first_chunk().map(|nonce| u64::from_be_bytes(*nonce))
    }

    fn tag(&self, nonce: &[u8; NONCE_OCTETS]) -> [u8; TAG_OCTETS] {
        let mut hasher = self.0.build_hasher();
        hasher.write(nonce);
        hasher.finish().to_be_bytes()
    }
}

impl OwnProxyState {
    /// Ours, with a nonce that names the request as long as it is outstanding.
    pub fn new(key: &ProxyStateKey, nonce: u64) -> OwnProxyState {
        let mut octets = [0; PROXY_STATE_OCTETS];
        let (nonce_out, tag) = octets.split_at_mut(NONCE_OCTETS);
        nonce_out.copy_from_slice(&nonce.to_be_bytes());
        tag.copy_from_slice(&key.tag(&nonce.to_be_bytes()));
        OwnProxyState(octets)
    }

    /// The attribute's value.
    pub fn value(&self) -> &[u8; PROXY_STATE_OCTETS] {
        &self.0
    }

    /// The whole attribute.
    pub fn attribute(&self) -> [u8; 2 + PROXY_STATE_OCTETS] {
        let mut octets = [0; 2 + PROXY_STATE_OCTETS];
        octets[..2].copy_from_slice(&[number::PROXY_STATE, 2 + PROXY_STATE_OCTETS as u8]);
        octets[2..].copy_from_slice(&self.0);
        octets
    }
}

impl fmt::Debug for OwnProxyState {
    /// The nonce alone: with its tag, whoever reads logs could make us reject a request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nonce = self.0.first_chunk().map(|nonce| u64::from_be_bytes(*nonce));
        f.debug_tuple("OwnProxyState").field(&nonce.unwrap_or_default()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Code, Encoder, MessageAuthenticator, Secret};
    use alloc::vec::Vec;

    fn key(octet: u8) -> ProxyStateKey {
        ProxyStateKey::new(&Seed::new([octet; 32]))
    }

    fn packet(code: Code, states: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::request(&mut out, code, 1, &[7; 16], MessageAuthenticator::Absent);
        states.iter().for_each(|state| encoder.attribute(number::PROXY_STATE, state).expect("it fits"));
        encoder.finish_request(&Secret::new(b"s").expect("not empty"));
        out
    }

    #[test]
    fn ours_is_told_from_every_other() {
        let ours = OwnProxyState::new(&key(1), 0x0102_0304_0506_0708);
        assert_eq!(ours.value()[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(key(1).is_ours(ours.value()));
        assert!(!key(2).is_ours(ours.value()), "another node's");
        for bit in 0..PROXY_STATE_OCTETS * 8 {
            let mut forged = *ours.value();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!key(1).is_ours(&forged), "bit {bit}");
        }
        for octets in 0..PROXY_STATE_OCTETS {
            assert!(!key(1).is_ours(&ours.value()[..octets]), "{octets} octets");
        }
        assert!(!key(1).is_ours(&[ours.value().as_slice(), &[0]].concat()));
    }

    #[test]
    fn each_request_has_its_own_and_the_same_is_always_the_same() {
        let first = OwnProxyState::new(&key(1), 1);
        assert_eq!(first, OwnProxyState::new(&key(1), 1));
        assert_ne!(first.value()[8..], OwnProxyState::new(&key(1), 2).value()[8..]);
        assert_eq!(first.attribute()[..2], [33, 18]);
        assert_eq!(first.attribute()[2..], first.value()[..]);
    }

    #[test]
    fn a_request_with_ours_among_its_proxy_states_is_a_loop() {
        let ours = OwnProxyState::new(&key(1), 9);
        let is_loop = |states: &[&[u8]]| {
            let octets = packet(Code::AccessRequest, states);
            key(1).is_loop(&Framed::parse(&octets).expect("a packet"))
        };
        assert!(!is_loop(&[]));
        assert!(!is_loop(&[b"a", b"sixteen octets!!", OwnProxyState::new(&key(2), 9).value()]));
        // It has gone through others since.
        assert!(is_loop(&[b"a", ours.value(), b"b"]));
    }

    #[test]
    fn the_last_of_ours_names_the_request() {
        let [first, last] = [1, 2].map(|nonce| OwnProxyState::new(&key(1), nonce));
        let octets = packet(Code::AccessAccept, &[first.value(), last.value(), b"somebody's"]);
        assert_eq!(key(1).returned(&Framed::parse(&octets).expect("a packet")), Some(2));
        assert_eq!(key(3).returned(&Framed::parse(&octets).expect("a packet")), None);
    }

    #[test]
    fn debug_shows_no_tag() {
        let shown = alloc::format!("{:?} {:?}", OwnProxyState::new(&key(1), 5), key(1));
        assert_eq!(shown, "OwnProxyState(5) ProxyStateKey(KeyedHash(…))");
    }
}
