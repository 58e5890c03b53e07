//! What conversations are found by: keyed digests of what a request says, and the trees that States are told apart in.
//!
//! A digest of 128 bits stands for its octets: attackers choose States and names, and without the key no two of theirs come to be
//! equal. None is kept in clear, shown or sent. RFC 2865 §5.24.

use crate::seed::{KeyedDigest, Seed};
use crate::seeded::{self, Bug};
use core::fmt;
use core::hash::Hasher;
use siphasher::sip128::{Hasher128, SipHasher24};

/// Whose States a State is told apart from: each maker of States has a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// Those that we make.
    Own,
    /// Of users whose names have no realm, or none that is configured.
    NoRealm,
    /// Of the users of a realm.
    Realm(RealmTag),
}

/// A realm, whatever its place in a configuration: the same before and after a reload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealmTag(Digest);

/// Who asks: the client that verified, User-Name and Calling-Station-Id as received.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// What tells the client, with all that it has, from all others.
    pub client_mark: &'a [u8; 16],
    /// Empty where there is none.
    pub user_name: &'a [u8],
    /// The attribute, if there is one.
    pub calling_station_id: Option<&'a [u8]>,
}

/// Who asks, in digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Client and User-Name.
    pub(super) user: Digest,
    /// The Calling-Station-Id of the request, if it has one.
    pub(super) device: Option<Digest>,
}

/// A request, whichever connection it came by: the same identity, State and fingerprint are the same request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestKey(pub(super) Digest);

/// A keyed digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest(pub [u8; 16]);

/// Makes all of them. Equal seeds agree.
#[derive(Debug, Clone)]
pub struct Digests(KeyedDigest);

/// What a digest is of: the first octet that goes in, so that no two kinds are ever equal.
#[derive(Clone, Copy)]
enum Kind {
    Realm = 1,
    User,
    Device,
    Line,
    State,
    StateOfDevice,
    Request,
}

impl Digests {
    /// Keyed from `seed`.
    pub fn new(seed: &Seed) -> Digests {
        Digests(seed.fork("conversations").digest())
    }

    /// The tree of a configured realm's users, by its name there: in lower case, empty for names without realm.
    pub fn tree(&self, realm: &str) -> Tree {
        if realm.is_empty() {
            return Tree::NoRealm;
        }
        let mut hasher = self.of(Kind::Realm);
        hasher.write(realm.as_bytes());
        Tree::Realm(RealmTag(finish(&hasher)))
    }

    /// Who asks.
    pub fn who(&self, identity: &Identity<'_>) -> Who {
        let mut user = self.of(Kind::User);
        if !seeded::is(Bug::ConversationOfAnotherClient) {
            user.write(identity.client_mark);
        }
        let mut name = identity.user_name;
        if seeded::is(Bug::StateTreeWithoutRealm) {
            name = name.split(|octet| *octet == b'@').next().unwrap_or(name);
        }
        user.write(name);
        let device = identity.calling_station_id.map(|calling_station_id| {
            let mut device = self.of(Kind::Device);
            device.write(calling_station_id);
            finish(&device)
        });
        Who { user: finish(&user), device }
    }

    /// A request of theirs, by its fingerprint: what tells it from all others of its client.
    pub fn request(&self, who: &Who, state: Option<&[u8]>, fingerprint: &[u8; 16]) -> RequestKey {
        let mut hasher = self.of(Kind::Request);
        write_who(&mut hasher, who);
        hasher.write(fingerprint);
        hasher.write(&[u8::from(state.is_some())]);
        hasher.write(state.unwrap_or_default());
        RequestKey(finish(&hasher))
    }

    /// Under which one user's conversation is found that has this State in this tree, whatever the device.
    pub(super) fn state(&self, tree: Tree, user: &Digest, state: &[u8]) -> Digest {
        let mut hasher = self.of(Kind::State);
        if !seeded::is(Bug::StateFoundByStateAlone) {
            hasher.write(&user.0);
        }
        match tree {
            Tree::Realm(_) if seeded::is(Bug::StateTreeWithoutRealm) => hasher.write(&[2]),
            Tree::Own => hasher.write(&[0]),
            Tree::NoRealm => hasher.write(&[1]),
            Tree::Realm(RealmTag(tag)) => {
                hasher.write(&[2]);
                hasher.write(&tag.0);
            }
        }
        hasher.write(state);
        finish(&hasher)
    }

    /// Under which it is found if the device agrees, or both say none. `state` is a digest of [`state`](Self::state).
    pub(super) fn state_of_device(&self, state: &Digest, device: Option<&Digest>) -> Digest {
        let mut hasher = self.of(Kind::StateOfDevice);
        hasher.write(&state.0);
        if !seeded::is(Bug::StateFoundByStateAlone) {
            write_device(&mut hasher, device);
        }
        finish(&hasher)
    }

    /// Under which conversations are found without State.
    pub(super) fn line(&self, who: &Who) -> Digest {
        let mut hasher = self.of(Kind::Line);
        write_who(&mut hasher, who);
        finish(&hasher)
    }

    fn of(&self, kind: Kind) -> SipHasher24 {
        let mut hasher = self.0.hasher();
        hasher.write(&[kind as u8]);
        hasher
    }
}

/// As many octets for any, so that what follows cannot run into them.
fn write_who(hasher: &mut SipHasher24, who: &Who) {
    hasher.write(&who.user.0);
    write_device(hasher, who.device.as_ref());
}

fn write_device(hasher: &mut SipHasher24, device: Option<&Digest>) {
    hasher.write(&[u8::from(device.is_some())]);
    hasher.write(device.map_or(&[0; 16], |device| &device.0));
}

fn finish(hasher: &SipHasher24) -> Digest {
    Digest(hasher.finish128().as_bytes())
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl fmt::Debug for RealmTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RealmTag(…)")
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Who(…)")
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn identity<'a>(user_name: &'a [u8], calling_station_id: Option<&'a [u8]>) -> Identity<'a> {
        Identity { client_mark: &[7; 16], user_name, calling_station_id }
    }

    #[test]
    fn a_tree_is_its_realms_in_every_core_of_a_node() {
        let digests = Digests::new(&Seed::new([1; 32]));
        assert_eq!(digests.tree("a.b"), Digests::new(&Seed::new([1; 32])).tree("a.b"));
        assert_ne!(digests.tree("a.b"), digests.tree("a.bc"));
        assert_ne!(digests.tree("a.b"), Digests::new(&Seed::new([2; 32])).tree("a.b"));
        assert_eq!(digests.tree(""), Tree::NoRealm);
    }

    #[test]
    fn whatever_differs_in_a_request_tells_it_apart() {
        let digests = Digests::new(&Seed::new([1; 32]));
        let others_mark = Identity { client_mark: &[8; 16], ..identity(b"bob", None) };
        let mut whos: Vec<Who> = [
            identity(b"bob", None),
            identity(b"bob", Some(b"")),
            identity(b"bob", Some(b"aa")),
            identity(b"boba", Some(b"a")),
        ]
        .iter()
        .map(|identity| digests.who(identity))
        .collect();
        whos.push(digests.who(&others_mark));
        let mut requests = BTreeSet::new();
        let mut lines = BTreeSet::new();
        let mut states = BTreeSet::new();
        for who in &whos {
            assert!(lines.insert(digests.line(who)));
            for state in [None, Some(&b""[..]), Some(b"x"), Some(b"xy")] {
                for fingerprint in [[1; 16], [2; 16]] {
                    assert!(requests.insert(digests.request(who, state, &fingerprint).0));
                }
            }
            for tree in [Tree::Own, Tree::NoRealm, digests.tree("a.b"), digests.tree("c.d")] {
                for state in [&b"x"[..], b"xy"] {
                    let of_user = digests.state(tree, &who.user, state);
                    assert!(states.insert(digests.state_of_device(&of_user, who.device.as_ref())));
                    states.insert(of_user);
                }
            }
        }
        // Three of them are the same user's, by no device and by two.
        assert_eq!(states.len(), 4 * 2 * (5 + 3));
    }
}
