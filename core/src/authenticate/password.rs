//! Passwords on their way to where they are hashed: in boxes that are wiped, and that come home.

use crate::packet::Secret;
use crate::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroize;

/// One password of at most 128 octets (RFC 2865 §5.2). It stays in its box, so that no copy is left behind, and is wiped
/// when it is dropped.
pub struct Password {
    octets: [u8; USER_PASSWORD_OCTETS_MAX],
    length: usize,
}

impl Password {
    /// Without octets.
    fn empty() -> Self {
        Password { octets: [0; USER_PASSWORD_OCTETS_MAX], length: 0 }
    }

    /// These octets, as many as there is room for: for who tries a digest without a request.
    pub fn of(octets: &[u8]) -> Box<Self> {
        let mut password = Box::new(Password::empty());
        password.length = octets.len().min(USER_PASSWORD_OCTETS_MAX);
        let length = password.length;
        password.octets[..length].copy_from_slice(&octets[..length]);
        password
    }

    /// What a User-Password hides. False, and nothing is held, where its length is none that a User-Password has, or
    /// nothing is in it: no user has an empty password.
    pub(crate) fn reveal(&mut self, hidden: &[u8], secret: &Secret, authenticator: &[u8; 16]) -> bool {
        self.wipe();
        let length = reveal_user_password(hidden, secret, authenticator, &mut self.octets)
            .map_or(0, |password| password.len());
        self.length = length;
        length > 0
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Holds nothing from now on.
    pub fn wipe(&mut self) {
        self.octets.zeroize();
        self.length = 0;
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Boxes that are free. As many as have been away at once exist, a bounded number of them is kept.
#[derive(Debug)]
#[allow(clippy::vec_box, reason = "a password stays in its box: what moves leaves a copy behind")]
pub(crate) struct Passwords(Vec<Box<Password>>);

impl Passwords {
    /// None yet: a server without hashes never needs one.
    pub fn new() -> Self {
        Passwords(Vec::with_capacity(KEPT_MAX))
    }

    /// An empty one.
    pub fn take(&mut self) -> Box<Password> {
        self.0.pop().unwrap_or_else(|| Box::new(Password::empty()))
    }

    /// Takes one back, wiped.
    pub fn give_back(&mut self, mut password: Box<Password>) {
        password.wipe();
        if self.0.len() < KEPT_MAX {
            self.0.push(password);
        }
    }
}

/// A turn's requests; the driver's line is shorter.
const KEPT_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::hidden::hide_user_password;
    use alloc::format;

    const AUTHENTICATOR: [u8; 16] = [7; 16];

    fn revealed(value: &[u8], password: &mut Password) -> bool {
        let secret = Secret::new(b"testing123").expect("not empty");
        password.reveal(value, &secret, &AUTHENTICATOR)
    }

    #[test]
    fn a_password_that_came_home_is_wiped() {
        let secret = Secret::new(b"testing123").expect("not empty");
        let mut hidden = [0; USER_PASSWORD_OCTETS_MAX];
        let value = hide_user_password(b"hello", &secret, &AUTHENTICATOR, &mut hidden).expect("it is short");
        let mut passwords = Passwords::new();
        let mut password = passwords.take();
        assert!(revealed(value, &mut password));
        assert_eq!(password.octets(), b"hello");
        passwords.give_back(password);
        let password = passwords.take();
        assert_eq!((password.octets, password.length), ([0; USER_PASSWORD_OCTETS_MAX], 0));
    }

    #[test]
    fn nothing_is_held_of_what_is_no_user_password() {
        let mut password = Password::empty();
        assert!(!revealed(b"seven..", &mut password));
        assert!(!revealed(&[0; 144], &mut password));
        assert_eq!(password.octets(), b"");
    }

    #[test]
    fn a_password_on_its_way_is_never_printed() {
        assert_eq!(format!("{:?}", Password::empty()), "Password(…)");
    }
}
