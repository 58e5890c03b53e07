//! One rule: what it does, and how it edits the reply.

use super::Decision;
use alloc::boxed::Box;

/// A rule of a virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does with the request.
    pub action: Action,
    /// Attribute octets (Type, Length, Value, one after the other) that the reply gets; at most
    /// [`REPLY_OCTETS_MAX`](crate::configuration::REPLY_OCTETS_MAX).
    pub set_reply: Box<[u8]>,
}

/// What a rule does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Answer Access-Accept.
    Accept,
    /// Answer Access-Reject.
    Reject,
    /// Check the password against the users of the configuration.
    AuthenticateUsers,
}

impl Rule {
    /// What this rule decides when it matches.
    pub fn decision(&self) -> Decision<'_> {
        let set_reply = &self.set_reply;
        match self.action {
            Action::Accept => Decision::Accept { set_reply },
            Action::Reject => Decision::Reject { set_reply },
            Action::AuthenticateUsers => Decision::AuthenticateUsers { set_reply },
        }
    }
}

/// The attributes of a reply after an edit: those of `reply` whose Type `set` does not set, in order, then those of
/// `set`. Each item is one attribute with its Type and Length. Both must be whole attributes, as the configuration
/// makes them. Allocates nothing.
pub fn edited<'a>(reply: &'a [u8], set: &'a [u8]) -> Edited<'a> {
    Edited { kept: Attributes(reply), set: Attributes(set), all_set: set }
}

/// See [`edited`].
#[derive(Debug, Clone)]
pub struct Edited<'a> {
    kept: Attributes<'a>,
    set: Attributes<'a>,
    all_set: &'a [u8],
}

impl<'a> Iterator for Edited<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let set = self.all_set;
        let replaced = |attribute: &&[u8]| Attributes(set).any(|other| other[0] == attribute[0]);
        self.kept.find(|attribute| !replaced(attribute)).or_else(|| self.set.next())
    }
}

/// Splits attribute octets of our own making.
#[derive(Debug, Clone)]
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.get(1)?);
        assert!((3..=self.0.len()).contains(&length), "the configuration encodes whole attributes");
        let (attribute, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_set_attribute_replaces_all_of_its_type() {
        let user = [18, 3, b'a', 27, 6, 0, 0, 0, 1, 18, 3, b'b'];
        let set = [18, 3, b'x', 25, 3, b'c', 18, 3, b'y'];
        let reply: Vec<_> = edited(&user, &set).flatten().copied().collect();
        assert_eq!(reply, [27, 6, 0, 0, 0, 1, 18, 3, b'x', 25, 3, b'c', 18, 3, b'y']);
    }

    #[test]
    fn without_an_edit_the_reply_stays() {
        let user = [18, 3, b'a', 27, 6, 0, 0, 0, 1];
        assert_eq!(edited(&user, &[]).flatten().copied().collect::<Vec<_>>(), user);
        assert_eq!(edited(&[], &user).flatten().copied().collect::<Vec<_>>(), user);
        assert_eq!(edited(&[], &[]).count(), 0);
    }
}
