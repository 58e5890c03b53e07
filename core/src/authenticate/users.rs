//! The users of the configuration, found by name, octet for octet (RFC 2865 §5.1).

use super::Argon2;
use super::nt_hash::NtHash;
use super::one_time_code::OneTimeCode;
use crate::attributes::Preset;
use crate::seed::Seed;
use crate::table::Table;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Users by name. Made once, then only read.
pub struct Users {
    table: Table<Box<[u8]>, User>,
    argon2_kibibytes_max: Option<u32>,
    /// The names of those who have a code as well.
    with_code: Vec<Box<[u8]>>,
}

/// What is known of one user.
#[derive(Clone)]
pub struct User {
    /// What the user has to know.
    pub credential: Credential,
    /// The codes that the user is asked for after that, if there are any.
    pub one_time_code: Option<OneTimeCode>,
    /// What an Access-Accept gets; at most [`REPLY_OCTETS_MAX`](crate::configuration::REPLY_OCTETS_MAX).
    pub reply: Preset,
}

/// What a user has to know.
#[derive(Clone)]
pub enum Credential {
    /// The password in clear, wiped when dropped: CHAP needs it so (RFC 1994 §2.1). 1 to 128 octets (RFC 2865 §5.2).
    Clear(Zeroizing<Box<[u8]>>),
    /// The password of which only this is known: for MS-CHAP, and PAP. CHAP needs it in clear.
    NtHash(NtHash),
    /// The password of which only this is known: for PAP alone.
    Argon2(Arc<Argon2>),
}

/// Two users have this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateUser(pub Box<[u8]>);

impl fmt::Display for DuplicateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user \"{}\" is defined twice", self.0.escape_ascii())
    }
}

impl core::error::Error for DuplicateUser {}

impl Users {
    /// A table of these users, its hash keyed from `seed`.
    ///
    /// # Errors
    /// When a name stands there twice.
    pub fn new(users: Vec<(Box<[u8]>, User)>, seed: &Seed) -> Result<Users, DuplicateUser> {
        let argon2_kibibytes_max =
            users.iter().filter_map(|(_, user)| user.credential.argon2_kibibytes()).max();
        let with_code = users.iter().filter(|(_, user)| user.one_time_code.is_some());
        let with_code = with_code.map(|(name, _)| name.clone()).collect();
        let mut table = Table::new(users.len(), &seed.fork("users"));
        for (name, user) in users {
            if table.get(&name).is_some() {
                return Err(DuplicateUser(name));
            }
            assert!(table.insert(name, user).is_ok(), "the table was made for all of them");
        }
        Ok(Users { table, argon2_kibibytes_max, with_code })
    }

    /// Shares with those that run what is known of codes that were taken.
    pub fn follow(&mut self, running: &Users) {
        for name in &self.with_code {
            let code = self.table.get_mut(name).and_then(|user| user.one_time_code.as_mut());
            let before = running.table.get(name).and_then(|user| user.one_time_code.as_ref());
            if let (Some(code), Some(before)) = (code, before) {
                code.follow(before);
            }
        }
    }

    /// Whether any user is asked for a code.
    pub fn has_codes(&self) -> bool {
        !self.with_code.is_empty()
    }

    /// The user of that name, compared octet for octet: letter case counts, and no realm is stripped.
    pub fn look_up(&self, name: &[u8]) -> Option<&User> {
        self.table.get(name)
    }

    /// The most memory that checking one password takes; `None` where none is known by its Argon2 digest.
    pub fn argon2_kibibytes_max(&self) -> Option<u32> {
        self.argon2_kibibytes_max
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Credential {
    /// Whether what has to be known is the same, in the same form.
    pub fn is_same(&self, other: &Credential) -> bool {
        match (self, other) {
            (Credential::Clear(one), Credential::Clear(other)) => one.ct_eq(other).into(),
            (Credential::NtHash(one), Credential::NtHash(other)) => one == other,
            (Credential::Argon2(one), Credential::Argon2(other)) => one == other,
            (Credential::Clear(_) | Credential::NtHash(_) | Credential::Argon2(_), _) => false,
        }
    }

    fn argon2_kibibytes(&self) -> Option<u32> {
        match self {
            Credential::Clear(_) | Credential::NtHash(_) => None,
            Credential::Argon2(hash) => Some(hash.memory_kibibytes),
        }
    }

    /// The NT hash where that is what is known.
    pub(super) fn nt_hash(&self) -> Option<&NtHash> {
        match self {
            Credential::NtHash(hash) => Some(hash),
            Credential::Clear(_) | Credential::Argon2(_) => None,
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("reply", &self.reply).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn user(password: &[u8]) -> User {
        let credential = Credential::Clear(Zeroizing::new(password.into()));
        User { credential, one_time_code: None, reply: Preset::default() }
    }

    #[test]
    fn users_are_found_octet_for_octet() {
        let entries = vec![(b"bob"[..].into(), user(b"hello")), (b"Bob"[..].into(), user(b"other"))];
        let users = Users::new(entries, &Seed::new([1; 32])).expect("two names");
        let password = |name: &[u8]| match &users.look_up(name)?.credential {
            Credential::Clear(password) => Some(&***password),
            Credential::NtHash(_) | Credential::Argon2(_) => None,
        };
        assert_eq!(password(b"bob"), Some(&b"hello"[..]));
        assert_eq!(password(b"Bob"), Some(&b"other"[..]));
        assert!(users.look_up(b"bob@example.org").is_none());
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn a_name_stands_once() {
        let entries = vec![(b"bob"[..].into(), user(b"hello")), (b"bob"[..].into(), user(b"other"))];
        let error = Users::new(entries, &Seed::new([1; 32])).err();
        assert_eq!(error, Some(DuplicateUser(b"bob"[..].into())));
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", user(b"hello")), "User { reply: Preset { plain: [], held: [], .. }, .. }");
    }
}
