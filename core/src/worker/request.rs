//! One request, decided and answered: rule, credentials, reply attributes, signature.

use crate::attributes::{NOTHING, Piece, Pieces, Preset, Sealing, write_hidden};
use crate::authenticate::users::User;
use crate::authenticate::{self, Checked};
use crate::configuration::Configuration;
use crate::dictionary::Dictionary;
use crate::discard::Discard;
use crate::packet::hidden::Hop;
use crate::packet::{
    Code, EncodeError, Encoder, Framed, Landmark, MessageAuthenticator, PACKET_OCTETS_MAX, Secret, number,
};
use crate::policy::Decision;
use crate::request::Request;
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// A reply stands in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// Access-Accept, not Access-Reject.
    pub accept: bool,
    /// How long it has to wait: rejects of our own only.
    pub delay: Duration,
}

/// Where one reply after the other is written.
pub struct Desk {
    /// The reply that was written last.
    pub reply: Vec<u8>,
    /// Attributes of it that were hidden for it.
    hidden: Vec<u8>,
    salts: ChaCha12Rng,
}

impl Desk {
    /// `seed` is this worker's alone.
    pub fn new(seed: &Seed) -> Desk {
        let buffer = || Vec::with_capacity(PACKET_OCTETS_MAX);
        Desk { reply: buffer(), hidden: buffer(), salts: seed.generator() }
    }
}

/// Decides about a request and writes its signed reply onto the desk.
pub fn answer(
    configuration: &Configuration,
    request: &Request,
    desk: &mut Desk,
    now: Instant,
) -> Result<Answered, Discard> {
    let stamp = request.stamp();
    if now.saturating_since(stamp.received) > configuration.protocol.request_timeout {
        return Err(Discard::TooOld);
    }
    let framed = request.framed();
    if framed.code() == Some(Code::AccountingRequest) {
        return Err(Discard::NoAccountingRule);
    }
    let listener = &configuration.listeners[usize::from(stamp.path.listener.0)];
    let client = configuration.clients.client(stamp.client);
    let mut secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");

    let (accept, reply, set_reply): (bool, &Preset, &Preset) =
        match configuration.server(listener.server).decide() {
            Decision::Accept { set_reply } => (true, &NOTHING, set_reply),
            Decision::Reject { set_reply } => (false, &NOTHING, set_reply),
            Decision::AuthenticateUsers { set_reply } => match authenticate_user(configuration, request) {
                Some((that_fits, user)) => {
                    secret = that_fits;
                    (true, &user.reply, set_reply)
                }
                None => (false, &NOTHING, &NOTHING),
            },
        };

    let code = if accept { Code::AccessAccept } else { Code::AccessReject };
    let Desk { reply: out, hidden, salts } = desk;
    let mut encoder = Encoder::reply(out, code, framed.identifier(), MessageAuthenticator::First);
    let seal = Seal {
        dictionary: &configuration.dictionary,
        // RFC 2868 §3.5: under the authenticator of the request and the secret that both share.
        hop: Hop { secret, request_authenticator: framed.authenticator() },
        salts,
        hidden,
    };
    write_preset(&mut encoder, set_reply.over(reply), seal)
        .and_then(|()| write_answers(&mut encoder, &framed, accept))
        .map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());

    let delay = if accept { Duration::ZERO } else { configuration.protocol.reject_delay };
    Ok(Answered { accept, delay })
}

/// The user whose password the request has, and the secret under which it has it.
///
/// A request that was verified names its secret. An unsigned one does not say which of two its NAS still has, only a
/// password that fits under one of them does; CHAP is not hidden by a secret and takes the newest.
fn authenticate_user<'c>(
    configuration: &'c Configuration,
    request: &Request,
) -> Option<(&'c Secret, &'c User)> {
    let stamp = request.stamp();
    let secrets = &configuration.clients.client(stamp.client).secrets;
    let candidates = secrets.iter().filter(|(index, _)| !stamp.signed || *index == stamp.secret_index);
    candidates.map(|(_, secret)| secret).find_map(|secret| {
        match authenticate::check(&configuration.users, &request.framed(), secret) {
            Checked::Matches(user) => Some((secret, user)),
            Checked::Fails => None,
        }
    })
}

/// With what a reply's attributes are hidden, should it have such.
struct Seal<'s> {
    dictionary: &'s Dictionary,
    hop: Hop<'s>,
    salts: &'s mut ChaCha12Rng,
    /// Where they are written.
    hidden: &'s mut Vec<u8>,
}

/// What the configuration sets.
fn write_preset(encoder: &mut Encoder<'_>, pieces: Pieces<'_>, seal: Seal<'_>) -> Result<(), EncodeError> {
    let Seal { dictionary, hop, salts, hidden } = seal;
    // One for the whole reply: no two of its salts are equal. Most replies need none, and draw none.
    let mut sealing = None;
    for piece in pieces {
        match piece {
            Piece::Plain(octets) => encoder.raw(octets)?,
            Piece::Hidden(held) => {
                let sealing =
                    sealing.get_or_insert_with(|| Sealing { hop, salt: (salts.next_u32() >> 16) as u16 });
                hidden.clear();
                write_hidden(dictionary, held, sealing, hidden);
                encoder.raw(hidden)?;
            }
        }
    }
    Ok(())
}

/// What answers something in the request.
fn write_answers(encoder: &mut Encoder<'_>, framed: &Framed<'_>, accept: bool) -> Result<(), EncodeError> {
    if let Some(eap) = framed.value(Landmark::EapMessage) {
        // RFC 3579 §2.6.3: to EAP, an Access-Accept carries EAP-Success and an Access-Reject EAP-Failure, with the
        // identifier of that EAP packet: the octet after its code.
        let code = if accept { EAP_SUCCESS } else { EAP_FAILURE };
        let identifier = eap.get(1).copied().unwrap_or_default();
        encoder.eap_message(&[code, identifier, 0, 4])?;
    }
    // RFC 2865 §5.33: every Proxy-State, unchanged and in order.
    if seeded::is(Bug::ProxyStateReversed) {
        let states: Vec<_> = framed.proxy_states().collect();
        return states.into_iter().rev().try_for_each(|state| write_proxy_state(encoder, state));
    }
    framed.proxy_states().try_for_each(|state| write_proxy_state(encoder, state))
}

/// RFC 3748 §4.2.
const EAP_SUCCESS: u8 = 3;
/// RFC 3748 §4.2.
const EAP_FAILURE: u8 = 4;

/// Also one without octets, which nobody should send and everybody should return.
fn write_proxy_state(encoder: &mut Encoder<'_>, state: &[u8]) -> Result<(), EncodeError> {
    if state.is_empty() {
        encoder.raw(&[number::PROXY_STATE, 2])
    } else {
        encoder.attribute(number::PROXY_STATE, state)
    }
}
