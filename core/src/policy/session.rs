//! What rules remember of a session: values by name, seen by later rules and never by a peer.
//!
//! One run of octets, so that it can be kept beside a conversation as it is. Bounded, its memory taken once.

use alloc::vec::Vec;
use core::fmt;

/// Octets that all names and values of a session take, each with one octet more for its length.
pub const SESSION_OCTETS_MAX: usize = 1024;
/// Octets of a name or of a value.
pub const SESSION_VALUE_OCTETS_MAX: usize = 253;

/// Values by name.
#[derive(Clone)]
pub struct Session {
    /// Length and octets of a name, length and octets of its value, and so on.
    octets: Vec<u8>,
}

/// A session of which nothing is remembered.
pub static EMPTY_SESSION: Session = Session { octets: Vec::new() };

/// The session has no room for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFull;

impl fmt::Display for SessionFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session has room for {SESSION_OCTETS_MAX} octets")
    }
}

impl core::error::Error for SessionFull {}

impl Default for Session {
    /// Without values, with room for all that it may hold.
    fn default() -> Session {
        Session { octets: Vec::with_capacity(SESSION_OCTETS_MAX) }
    }
}

impl Session {
    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.entries().find(|entry| entry.name == name.as_bytes()).map(|entry| entry.value)
    }

    /// Gives a name its value, in place of what it had.
    ///
    /// # Errors
    /// [`SessionFull`]; then all is as it was.
    ///
    /// # Panics
    /// If name or value is longer than [`SESSION_VALUE_OCTETS_MAX`]: whoever reads them in sees to that.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), SessionFull> {
        let lengths = [name.len(), value.len()];
        assert!(
            lengths.iter().all(|length| *length <= SESSION_VALUE_OCTETS_MAX),
            "names and values of a session are bounded where they are read"
        );
        let place = self.entries().find(|entry| entry.name == name.as_bytes()).map(|entry| entry.place);
        let freed = place.as_ref().map_or(0, ExactSizeIterator::len);
        if self.octets.len() - freed + 2 + name.len() + value.len() > SESSION_OCTETS_MAX {
            return Err(SessionFull);
        }
        if let Some(place) = place {
            self.octets.drain(place);
        }
        for part in [name.as_bytes(), value] {
            self.octets.push(part.len() as u8);
            self.octets.extend_from_slice(part);
        }
        Ok(())
    }

    /// All names and values, to be kept and [loaded](Session::load) again.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Has the names and values that another session [had](Session::octets), and no others.
    pub fn load(&mut self, octets: &[u8]) {
        self.octets.clear();
        self.octets.extend_from_slice(octets);
    }

    /// Forgets all values, and keeps the room.
    pub fn clear(&mut self) {
        self.octets.clear();
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut begin = 0;
        core::iter::from_fn(move || {
            let (name, rest) = part(&self.octets[begin..])?;
            let (value, _) = part(rest).expect("each name has a value");
            let place = begin..begin + 2 + name.len() + value.len();
            begin = place.end;
            Some(Entry { name, value, place })
        })
    }
}

struct Entry<'s> {
    name: &'s [u8],
    value: &'s [u8],
    place: core::ops::Range<usize>,
}

fn part(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

impl fmt::Debug for Session {
    /// How much there is, not what: it may tell who somebody is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} octets)", self.octets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_value_that_it_was_given_last() {
        let mut session = Session::default();
        assert_eq!((session.value("site"), session.is_empty()), (None, true));
        for (name, value) in [("site", &b"campus"[..]), ("line", b"\xff\x00"), ("site", b""), ("x", b"y")] {
            session.set(name, value).expect("there is room");
        }
        assert_eq!(session.value("site"), Some(&b""[..]));
        assert_eq!(session.value("line"), Some(&b"\xff\x00"[..]));
        assert_eq!((session.value("x"), session.value("sit")), (Some(&b"y"[..]), None));
        session.clear();
        assert_eq!(session.value("x"), None);
    }

    #[test]
    fn what_finds_no_room_changes_nothing() {
        let mut session = Session::default();
        let long = [b'v'; SESSION_VALUE_OCTETS_MAX];
        for name in ["a", "b", "c"] {
            session.set(name, &long).expect("three find room");
        }
        session.set("d", &long[..249]).expect("the fourth as well");
        assert_eq!(session.set("d", &long), Ok(()), "256 octets each are exactly the bound");
        assert_eq!(session.set("e", b""), Err(SessionFull));
        assert_eq!(session.set("d", b"short"), Ok(()));
        assert_eq!(session.set("e", &long), Err(SessionFull));
        assert_eq!((session.value("d"), session.value("e")), (Some(&b"short"[..]), None));
    }
}
