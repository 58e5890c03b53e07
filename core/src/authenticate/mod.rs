//! Whether a user is who they claim to be: PAP and CHAP against the users of the configuration.
//!
//! RFC 2865 §2.2, §5.2 and §5.3. Passwords are compared in constant time and never leave this room.

pub mod users;

use self::users::{User, Users};
use crate::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use crate::packet::{Framed, Landmark, Secret, chap};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What became of a check.
pub enum Checked<'u> {
    /// The password is that of this user.
    Matches(&'u User),
    /// No such user, no password that could be checked, or a wrong one: who asks does not learn which.
    Fails,
}

/// Checks the credentials of an Access-Request against the user of this name, which a rule may have set; `secret` is the
/// one that hides its User-Password.
///
/// A name that nobody has costs the same digests as one that somebody has: time does not tell which names exist.
pub fn check<'u>(
    users: &'u Users,
    user_name: Option<&[u8]>,
    framed: &Framed<'_>,
    secret: &Secret,
) -> Checked<'u> {
    let user = user_name.and_then(|name| users.look_up(name));
    // No user has an empty password, so nothing matches it.
    let password: &[u8] = user.map_or(&[], |user| &user.password);
    // RFC 2865 §4.1: a request has either of the two; should it have both, the one that is harder to forge decides.
    let matches = if let Some(chap_password) = framed.value(Landmark::ChapPassword) {
        chap::chap_matches(chap_password, framed.chap_challenge(), password)
    } else if let Some(hidden) = framed.value(Landmark::UserPassword) {
        pap_matches(hidden, secret, framed.authenticator(), password)
    } else {
        false
    };
    match user {
        Some(user) if matches => Checked::Matches(user),
        Some(_) | None => Checked::Fails,
    }
}

fn pap_matches(hidden: &[u8], secret: &Secret, request_authenticator: &[u8; 16], password: &[u8]) -> bool {
    let mut clear = [0; USER_PASSWORD_OCTETS_MAX];
    let matches = reveal_user_password(hidden, secret, request_authenticator, &mut clear)
        .is_ok_and(|given| given.ct_eq(password).into());
    // Octet by octet, so that the compiler cannot leave it out: only as many as were written.
    clear[..hidden.len().min(USER_PASSWORD_OCTETS_MAX)].zeroize();
    matches
}
