//! Whether a request has a user's password, or the code that was asked for after it, or is about a device that is known.

use super::request::{Known, Memory};
use crate::attributes::Preset;
use crate::authenticate::mschap::Proof;
use crate::authenticate::{self, Checked, CodeChecked};
use crate::configuration::Configuration;
use crate::effect::Effect;
use crate::packet::{Attributes, Landmark, Secret, SecretIndex, number};
use crate::policy::Decision;
use crate::request::Request;
use crate::time::{Instant, UnixTime};
use alloc::sync::Arc;

/// Whether a request has a user's password, or is about a device.
pub enum Authenticated<'c> {
    /// That of the user whose Access-Accept gets these, under this secret.
    Yes(&'c Secret, &'c Preset),
    /// The password is right under this secret, and a code is to be asked for.
    Asks(&'c Secret),
    No,
    /// Not known yet; this is under that secret.
    Waits(Effect, SecretIndex),
}

/// The user whose password the request has, and the secret under which it has it.
///
/// A request that was verified names its secret. An unsigned one does not say which of two its NAS still has, only a
/// password that fits under one of them does; CHAP is not hidden by a secret and takes the newest. What the peer is to be
/// told goes into `proof`.
#[expect(clippy::too_many_arguments, reason = "parts of one worker and one request, lent apart")]
pub fn authenticate<'c>(
    configuration: &'c Configuration,
    decision: Decision,
    request: &'c Request,
    attributes: Attributes<'_>,
    known: &Known,
    memory: &mut Memory,
    proof: &mut Option<Proof>,
    (time, now): (UnixTime, Instant),
) -> Authenticated<'c> {
    if let Known::Ongoing(..) = known {
        return take_code(configuration, request, attributes, memory, (time, now));
    }
    let stamp = request.stamp();
    let framed = request.framed();
    let user_name = attributes.of(number::USER_NAME).next();
    let client = request.whose().client(&configuration.clients);
    // Who waits for a hash was not shut out when it was asked for.
    if matches!(known, Known::Nothing) && memory.failures.is_shut_out(user_name, &framed, &client.name, now) {
        memory.counters.rejects_unchecked.up();
        return Authenticated::No;
    }
    let mut is_wrong = false;
    for (index, secret) in
        client.secrets.iter().filter(|(index, _)| !stamp.signed || *index == stamp.secret_index)
    {
        let checked = if decision == Decision::AuthenticateMac {
            authenticate::mac::check(&configuration.devices, attributes, &framed, secret)
        } else {
            authenticate::check(&configuration.users, user_name, &framed, secret, proof)
        };
        match checked {
            Checked::Matches(reply) => return Authenticated::Yes(secret, reply),
            Checked::Asks => return Authenticated::Asks(secret),
            Checked::CannotAsk => {
                memory.counters.codes_not_asked.up();
                return Authenticated::No;
            }
            Checked::Hashed(user, hash) => {
                is_wrong = true;
                match known {
                    Known::Password(waiting, true) if waiting.secret == index => {
                        return match user.one_time_code {
                            Some(_) => Authenticated::Asks(secret),
                            None => Authenticated::Yes(secret, &user.reply),
                        };
                    }
                    // Known to be wrong under this secret.
                    Known::Password(waiting, _) if waiting.secret >= index => {}
                    Known::Password(..) | Known::Nothing | Known::Ongoing(..) | Known::NoWayOn(_) => {
                        let mut password = memory.passwords.take();
                        let hidden = framed.value(Landmark::UserPassword).unwrap_or_default();
                        if password.reveal(hidden, secret, framed.authenticator()) {
                            let effect = Effect::CheckPassword { hash: Arc::clone(hash), password };
                            return Authenticated::Waits(effect, index);
                        }
                        memory.passwords.give_back(password);
                    }
                }
            }
            Checked::Wrong => is_wrong = true,
            Checked::Fails => {}
        }
    }
    if is_wrong {
        memory.failures.note(user_name, &framed, &client.name, now);
        memory.counters.failures.up();
    }
    Authenticated::No
}

/// Whether a request without State has to be decided by the owner of its slot, as a State of ours may follow from it that leads
/// there.
pub fn belongs_to_slot(
    configuration: &Configuration,
    decision: Decision,
    attributes: Attributes<'_>,
) -> bool {
    let user = || configuration.users.look_up(attributes.of(number::USER_NAME).next()?);
    decision == Decision::AuthenticateUsers
        && configuration.users.has_codes()
        && user().is_some_and(|user| user.one_time_code.is_some())
}

/// The user whose code the request has, and takes: once.
fn take_code<'c>(
    configuration: &'c Configuration,
    request: &'c Request,
    attributes: Attributes<'_>,
    memory: &mut Memory,
    (time, now): (UnixTime, Instant),
) -> Authenticated<'c> {
    let stamp = request.stamp();
    let framed = request.framed();
    let user_name = attributes.of(number::USER_NAME).next();
    let client = request.whose().client(&configuration.clients);
    // Who has guessed passwords too often may guess no codes either, and the other way round.
    if memory.failures.is_shut_out(user_name, &framed, &client.name, now) {
        memory.counters.rejects_unchecked.up();
        return Authenticated::No;
    }
    let mut is_wrong = false;
    for (_, secret) in
        client.secrets.iter().filter(|(index, _)| !stamp.signed || *index == stamp.secret_index)
    {
        match authenticate::check_code(&configuration.users, user_name, &framed, secret, time) {
            CodeChecked::Matches(reply) => return Authenticated::Yes(secret, reply),
            CodeChecked::TakenBefore => {
                memory.counters.codes_taken_before.up();
                is_wrong = true;
            }
            CodeChecked::Wrong => is_wrong = true,
            CodeChecked::Fails => {}
        }
    }
    if is_wrong {
        memory.failures.note(user_name, &framed, &client.name, now);
        memory.counters.failures.up();
    }
    Authenticated::No
}
