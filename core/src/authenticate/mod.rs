//! Whether a user is who they claim to be: PAP, CHAP and MS-CHAPv2 against the users of the configuration, and a code after PAP; or
//! a device one that is known by its hardware address.
//!
//! RFC 2865 §2.2, §5.2 and §5.3; RFC 2759. Passwords are compared in constant time and leave this room only in an
//! [`Effect`](crate::effect::Effect), for a user of whom nothing but an Argon2 digest is known.
//!
//! # What time tells
//!
//! A name that nobody has costs the same digests as one that has a password in clear. An NT hash costs PAP an MD4 more, which
//! is some hundred nanoseconds; that, too, only shows where `reject_delay` is zero. One with an Argon2 digest costs
//! milliseconds elsewhere; those hide in the reject delay, which counts from when the request was taken up: as long as the
//! line for hashes is shorter than that delay, all rejects come when it is over. A name that nobody has is not hashed for
//! nobody's sake: the line would then be full of what misspelt names and forgotten devices send, and users would be shed
//! from it. What is left: who keeps that line full can tell which names have a digest. Names are no secret in RADIUS.

mod argon2;
pub(crate) mod failures;
pub mod mac;
pub mod mppe;
pub mod mschap;
pub mod nt_hash;
pub mod one_time_code;
mod password;
pub mod users;

pub use self::argon2::{Argon2, Variant, Version};
pub use self::password::Password;
pub(crate) use self::password::Passwords;

use self::mschap::{Found, Proof};
use self::nt_hash::NtHash;
use self::one_time_code::Taken;
use self::users::{Credential, User, Users};
use crate::attributes::Preset;
use crate::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use crate::packet::{Framed, Landmark, Secret, chap};
use crate::time::UnixTime;
use alloc::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What became of a check.
pub enum Checked<'u> {
    /// The password is that of the user or device, whose Access-Accept gets these.
    Matches(&'u Preset),
    /// It is, and a code is to be asked for.
    Asks,
    /// It is, but no code can be asked for: that takes PAP. To who asks the same as [`Fails`](Checked::Fails).
    CannotAsk,
    /// It is not that of the user, who exists. To who asks the same as [`Fails`](Checked::Fails).
    Wrong,
    /// No such user, or no password that could be checked: who asks does not learn which.
    Fails,
    /// Of this user a digest is known: whoever has the User-Password hashed knows more.
    Hashed(&'u User, &'u Arc<Argon2>),
}

/// What became of the check of a code.
pub enum CodeChecked<'u> {
    /// It is right, and taken; the user's Access-Accept gets these.
    Matches(&'u Preset),
    /// It is not right.
    Wrong,
    /// It is right, and was taken before.
    TakenBefore,
    /// There is no code, or the user has none any more.
    Fails,
}

/// Checks the credentials of an Access-Request against the user of this name, which a rule may have set; `secret` is the
/// one that hides its User-Password. If the peer has to be told that it matches, what it is told goes into `proof`: keys,
/// which are not to be moved about.
pub fn check<'u>(
    users: &'u Users,
    user_name: Option<&[u8]>,
    framed: &Framed<'_>,
    secret: &Secret,
    proof: &mut Option<Proof>,
) -> Checked<'u> {
    let user = user_name.and_then(|name| users.look_up(name));
    let credential = user.map(|user| &user.credential);
    // Who has no password in clear is compared with an empty one, for the time that it takes; what comes of that is not
    // looked at, as anybody could hash nothing.
    let clear: &[u8] = match credential {
        Some(Credential::Clear(password)) => password,
        Some(Credential::NtHash(_) | Credential::Argon2(_)) | None => &[],
    };
    // RFC 2865 §4.1: a request has one of them; should it have more, the one that is harder to forge decides.
    let is_right = match Found::in_request(framed) {
        // It cannot be checked, and is no reason to count anything against anybody.
        Found::Malformed => return Checked::Fails,
        Found::Exchange(exchange) => {
            // RFC 2759 §4: hashed is the name that the peer sent, not one that a rule has set.
            let sent_name = framed.value(Landmark::UserName).unwrap_or_default();
            let (of_clear, stored) = (NtHash::of(clear), credential.and_then(Credential::nt_hash));
            let hash = stored.or(of_clear.as_ref());
            let is_known = stored.is_some() || !clear.is_empty();
            let hash = hash.filter(|hash| exchange.is_right(sent_name, hash) && is_known);
            if let Some(hash) = hash {
                *proof = Some(exchange.proof(sent_name, hash));
            }
            hash.is_some()
        }
        Found::Nothing => {
            if let Some(chap_password) = framed.value(Landmark::ChapPassword) {
                chap::chap_matches(chap_password, framed.chap_challenge(), clear) && !clear.is_empty()
            } else if let Some(hidden) = framed.value(Landmark::UserPassword) {
                if let (Some(user), Some(Credential::Argon2(hash))) = (user, credential) {
                    let is_in_vain = user.one_time_code.is_some() && !may_be_asked(framed);
                    return if is_in_vain { Checked::CannotAsk } else { Checked::Hashed(user, hash) };
                }
                pap_matches(hidden, secret, framed.authenticator(), |given| match credential {
                    Some(Credential::NtHash(hash)) => hash.is_of(given) && !given.is_empty(),
                    Some(Credential::Clear(_) | Credential::Argon2(_)) | None => {
                        let is_equal: bool = given.ct_eq(clear).into();
                        is_equal && !clear.is_empty()
                    }
                })
            } else {
                return Checked::Fails;
            }
        }
    };
    match user {
        Some(user) if is_right && user.one_time_code.is_none() => Checked::Matches(&user.reply),
        Some(_) if is_right && may_be_asked(framed) => Checked::Asks,
        Some(_) if is_right => {
            *proof = None;
            Checked::CannotAsk
        }
        Some(_) => Checked::Wrong,
        None => Checked::Fails,
    }
}

/// Checks the code that stands in User-Password, as the answer to a challenge, for a user of this name.
pub fn check_code<'u>(
    users: &'u Users,
    user_name: Option<&[u8]>,
    framed: &Framed<'_>,
    secret: &Secret,
    time: UnixTime,
) -> CodeChecked<'u> {
    let user = user_name.and_then(|name| users.look_up(name));
    let (Some(user), Some(hidden)) = (user, framed.value(Landmark::UserPassword)) else {
        return CodeChecked::Fails;
    };
    let Some(code) = &user.one_time_code else { return CodeChecked::Fails };
    let mut taken = Taken::Never;
    pap_matches(hidden, secret, framed.authenticator(), |given| {
        taken = code.take(given, time);
        taken == Taken::Now
    });
    match taken {
        Taken::Now => CodeChecked::Matches(&user.reply),
        Taken::Before => CodeChecked::TakenBefore,
        Taken::Never => CodeChecked::Wrong,
    }
}

/// Whether a request is one that an Access-Challenge for a code can answer, and the code be the answer to that: PAP, and nothing
/// else that shows who asks.
pub fn may_be_asked(framed: &Framed<'_>) -> bool {
    framed.value(Landmark::UserPassword).is_some()
        && framed.value(Landmark::ChapPassword).is_none()
        && framed.value(Landmark::EapMessage).is_none()
        && matches!(Found::in_request(framed), Found::Nothing)
}

/// Reveals the password of a User-Password, asks about it, and wipes it.
fn pap_matches(
    hidden: &[u8],
    secret: &Secret,
    request_authenticator: &[u8; 16],
    is_right: impl FnOnce(&[u8]) -> bool,
) -> bool {
    let mut clear = [0; USER_PASSWORD_OCTETS_MAX];
    let matches = reveal_user_password(hidden, secret, request_authenticator, &mut clear).is_ok_and(is_right);
    // Octet by octet, so that the compiler cannot leave it out: only as many as were written.
    clear[..hidden.len().min(USER_PASSWORD_OCTETS_MAX)].zeroize();
    matches
}
