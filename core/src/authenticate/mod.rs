//! Whether a user is who they claim to be: PAP and CHAP against the users of the configuration.
//!
//! RFC 2865 §2.2, §5.2 and §5.3. Passwords are compared in constant time and leave this room only in an
//! [`Effect`](crate::effect::Effect), for a user of whom nothing but an Argon2 digest is known.
//!
//! # What time tells
//!
//! A name that nobody has costs the same digests as one that has a password in clear. One with an Argon2 digest costs
//! milliseconds elsewhere; those hide in the reject delay, which counts from when the request was taken up: as long as the
//! line for hashes is shorter than that delay, all rejects come when it is over. A name that nobody has is not hashed for
//! nobody's sake: the line would then be full of what misspelt names and forgotten devices send, and users would be shed
//! from it. What is left: who keeps that line full can tell which names have a digest. Names are no secret in RADIUS.

mod argon2;
pub(crate) mod failures;
mod password;
pub mod users;

pub use self::argon2::{Argon2, Variant, Version};
pub use self::password::Password;
pub(crate) use self::password::Passwords;

use self::users::{Credential, User, Users};
use crate::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use crate::packet::{Framed, Landmark, Secret, chap};
use alloc::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What became of a check.
pub enum Checked<'u> {
    /// The password is that of this user.
    Matches(&'u User),
    /// It is not that of the user, who exists. To who asks the same as [`Fails`](Checked::Fails).
    Wrong,
    /// No such user, or no password that could be checked: who asks does not learn which.
    Fails,
    /// Of this user a digest is known: whoever has the User-Password hashed knows more.
    Hashed(&'u User, &'u Arc<Argon2>),
}

/// Checks the credentials of an Access-Request against the user of this name, which a rule may have set; `secret` is the
/// one that hides its User-Password.
pub fn check<'u>(
    users: &'u Users,
    user_name: Option<&[u8]>,
    framed: &Framed<'_>,
    secret: &Secret,
) -> Checked<'u> {
    let user = user_name.and_then(|name| users.look_up(name));
    let (password, hashed): (&[u8], _) = match user.map(|user| &user.credential) {
        Some(Credential::Clear(password)) => (password, None),
        Some(Credential::Argon2(hash)) => (&[], user.zip(Some(hash))),
        None => (&[], None),
    };
    // Who has no password here is compared with an empty one, for the time that it takes; what comes of that is not looked
    // at, as anybody could hash nothing.
    // RFC 2865 §4.1: a request has either of the two; should it have both, the one that is harder to forge decides.
    let matches = if let Some(chap_password) = framed.value(Landmark::ChapPassword) {
        chap::chap_matches(chap_password, framed.chap_challenge(), password)
    } else if let Some(hidden) = framed.value(Landmark::UserPassword) {
        if let Some((user, hash)) = hashed {
            return Checked::Hashed(user, hash);
        }
        pap_matches(hidden, secret, framed.authenticator(), password)
    } else {
        return Checked::Fails;
    };
    match user {
        Some(user) if matches && hashed.is_none() => Checked::Matches(user),
        Some(_) => Checked::Wrong,
        None => Checked::Fails,
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
