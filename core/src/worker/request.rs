//! One request, decided and answered: policy, credentials, edits, reply attributes, signature.

use super::mschap_answer;
use super::records::Records;
use crate::accounting::Recorded;
use crate::attributes::{NOTHING, Piece, Pieces, Preset, Scratch, Sealing, write_hidden};
use crate::authenticate::failures::Failures;
use crate::authenticate::mschap::{CHALLENGE_OCTETS, Found, Proof};
use crate::authenticate::{self, Checked, Passwords};
use crate::configuration::Configuration;
use crate::counters::WorkerCounters;
use crate::dictionary::Dictionary;
use crate::discard::Discard;
use crate::effect::Effect;
use crate::event::Decided;
use crate::packet::hidden::Hop;
use crate::packet::{
    Attributes, Code, EncodeError, Encoder, Framed, HEADER_OCTETS, Landmark, MessageAuthenticator, Oid,
    PACKET_OCTETS_MAX, Secret, SecretIndex, number,
};
use crate::policy::{
    Accounting, Asked, Decision, EMPTY_SESSION, Edit, Edits, Policy, ReplyKind, Session, SessionFull, Verdict,
};
use crate::request::Request;
use crate::request::class::Class;
use crate::seed::Seed;
use crate::time::{Instant, UnixTime};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// A reply stands in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// Access-Accept, not Access-Reject.
    pub accept: bool,
    /// How long it has to wait, from when the request was taken up: rejects of our own only.
    pub delay: Duration,
}

/// How far the worker has come with a request.
pub enum Step {
    /// To its end.
    Answered(Answered),
    /// It has to wait for this effect.
    Waits(Effect, Waiting),
    /// It has to wait until its record is stored, which lies with those of this turn.
    Stores(Waiting),
}

/// What a request waits for, and what policy has decided about it. Policy is not asked again.
pub enum Waiting {
    /// To learn whether its password is the user's.
    Password(Undecided),
    /// Till its record is safe.
    Record {
        /// The rule that says so.
        rule: Option<u16>,
    },
}

/// What policy has decided about a request whose password is being hashed.
pub struct Undecided {
    decision: Decision,
    rule: Option<u16>,
    edits: Option<Arc<Edits>>,
    /// For which time it has decided.
    time: UnixTime,
    /// The password is what this secret reveals.
    secret: SecretIndex,
}

/// What effects have said.
pub enum Known {
    /// Nothing has been asked.
    Nothing,
    /// Whether the password is the user's.
    Password(Undecided, bool),
}

/// What a worker remembers from one request to the next.
pub struct Memory {
    pub failures: Failures,
    pub passwords: Passwords,
    pub records: Records,
    pub counters: Arc<WorkerCounters>,
}

impl Waiting {
    /// Who has decided.
    pub fn decided(&self, configuration: &Configuration, request: &Request) -> Decided {
        let listener = &configuration.listeners[usize::from(request.stamp().path.listener.0)];
        let (Waiting::Password(Undecided { rule, .. }) | Waiting::Record { rule }) = self;
        Decided { server: listener.server, rule: *rule }
    }
}

/// Where one request after the other is worked on, with memory for all that it may need.
pub struct Desk {
    /// The reply that was written last.
    pub reply: Vec<u8>,
    /// Who decided about the request that was worked on last, if anybody did.
    pub decided: Option<Decided>,
    /// The request's attributes after edits, if there are any.
    edited: Vec<u8>,
    session: Session,
    /// The reply's attributes, and room to edit them in.
    draft: Vec<u8>,
    next_draft: Vec<u8>,
    scratch: Scratch,
    /// For salts and challenges.
    random: ChaCha12Rng,
}

impl Desk {
    /// `seed` is this worker's alone.
    pub fn new(seed: &Seed) -> Desk {
        let buffer = || Vec::with_capacity(ROOM_OCTETS);
        Desk {
            reply: buffer(),
            decided: None,
            edited: buffer(),
            session: Session::default(),
            draft: buffer(),
            next_draft: buffer(),
            scratch: Scratch::default(),
            random: seed.generator(),
        }
    }
}

/// Attributes of a packet, and those that an edit or two set: more is never written, less is cut to a packet afterwards.
const ROOM_OCTETS: usize = 3 * PACKET_OCTETS_MAX;

/// Decides about a request and writes its signed reply onto the desk, or says what has to be known first. With that it is
/// called again, for the same `now`.
#[expect(clippy::too_many_arguments, reason = "all of them parts of one worker, lent apart")]
pub fn answer(
    configuration: &Configuration,
    policy: &mut dyn Policy,
    request: &Request,
    known: Known,
    memory: &mut Memory,
    desk: &mut Desk,
    time: UnixTime,
    now: Instant,
) -> Result<Step, Discard> {
    let stamp = request.stamp();
    desk.decided = None;
    let time = match &known {
        Known::Nothing => time,
        Known::Password(undecided, _) => undecided.time,
    };
    let framed = request.framed();
    let waited = now.saturating_since(stamp.received);
    if waited > configuration.protocol.request_timeout {
        return Err(Discard::TooOld);
    }
    if Class::of(&framed) == Class::New && waited > configuration.protocol.new_request_wait_max {
        return Err(Discard::WaitedTooLong);
    }
    let listener = &configuration.listeners[usize::from(stamp.path.listener.0)];
    let client = request.whose().client(&configuration.clients);
    let mut secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");
    let Desk { reply: out, decided, edited, session, draft, next_draft, scratch, random } = desk;
    let dictionary = &configuration.dictionary;

    session.clear();
    let received = framed.attributes();
    // Nothing is remembered of a new session.
    let mut asked = Asked {
        generation: stamp.generation,
        dictionary,
        framed,
        attributes: received,
        session: &EMPTY_SESSION,
        client: &client.name,
        listener,
        path: stamp.path,
        time,
    };
    if framed.code() == Some(Code::AccountingRequest) {
        let verdict = policy.account(&asked);
        *decided = verdict.map(|verdict| Decided { server: listener.server, rule: verdict.rule });
        // RFC 2866 §4.1: what was not recorded is not acknowledged.
        let verdict = verdict.ok_or(Discard::NoAccountingRule)?;
        let edits = verdict.edits.map(|edits| &**edits);
        let attributes = edit_request(dictionary, edits, received, scratch, session, edited)?;
        return match verdict.accounting {
            Accounting::Proxy(_) | Accounting::StoreAndProxy(_) => Err(Discard::NoRoute),
            Accounting::Store => {
                let recorded = Recorded {
                    dictionary,
                    received: framed,
                    attributes,
                    client: &client.name,
                    listener: &listener.name,
                    remote: stamp.path.remote,
                    time,
                };
                memory.records.add(&recorded, scratch)?;
                Ok(Step::Stores(Waiting::Record { rule: verdict.rule }))
            }
        };
    }
    let verdict = match &known {
        Known::Nothing => policy.decide(&asked),
        Known::Password(Undecided { decision, rule, edits, .. }, _) => {
            Verdict { decision: *decision, rule: *rule, edits: edits.as_ref() }
        }
    };
    *decided = Some(Decided { server: listener.server, rule: verdict.rule });
    let edits = verdict.edits.map(|edits| &**edits);

    let attributes = edit_request(dictionary, edits, received, scratch, session, edited)?;

    let mut proof = None;
    let (accept, user): (bool, &Preset) = match verdict.decision {
        Decision::Accept => (true, &NOTHING),
        Decision::Reject => (false, &NOTHING),
        Decision::Proxy(_) => return Err(Discard::NoRoute),
        Decision::AuthenticateUsers | Decision::AuthenticateMac => {
            let decision = verdict.decision;
            match authenticate(configuration, decision, request, attributes, &known, memory, &mut proof, now)
            {
                Authenticated::Yes(that_fits, user) => {
                    secret = that_fits;
                    (true, user)
                }
                Authenticated::No => (false, &NOTHING),
                Authenticated::Waits(effect, secret) => {
                    let Verdict { decision, rule, edits } = verdict;
                    let undecided = Undecided { decision, rule, edits: edits.cloned(), time, secret };
                    return Ok(Step::Waits(effect, Waiting::Password(undecided)));
                }
            }
        }
    };
    // What a rule sets in the reply of a user goes into no reject that follows from a wrong password.
    let wrong = verdict.decision.authenticates() && !accept;
    let edit = edits.map(|edits| &edits.reply).filter(|_| !wrong);

    let mut seal = Seal {
        dictionary,
        // RFC 2868 §3.5: under the authenticator of the request and the secret that both share.
        hop: Hop { secret, request_authenticator: framed.authenticator() },
        random,
        sealing: None,
    };
    draft.clear();
    // Whatever is set or removed by name goes over what a peer of MS-CHAP is told.
    let is_set = |oid: &Oid| user.sets(oid) || edit.is_some_and(|edit| edit.set.sets(oid));
    if let Some(proof) = &proof {
        mschap_answer::write_success(proof, seal.sealing(), is_set, draft);
    } else if !accept && let Found::Exchange(exchange) = Found::in_request(&framed) {
        let mut challenge = [0; CHALLENGE_OCTETS];
        seal.random.fill_bytes(&mut challenge);
        mschap_answer::write_failure(exchange.identifier, challenge, is_set, draft);
    }
    match edit {
        None => seal.write(NOTHING.over(user), draft)?,
        Some(edit) if edit.only_sets() => seal.write(edit.set.over(user), draft)?,
        Some(edit) => {
            seal.write(NOTHING.over(user), draft)?;
            seal.edit(edit, scratch, draft, next_draft)?;
        }
    }
    let kind = if accept { ReplyKind::Accept } else { ReplyKind::Reject };
    (asked.attributes, asked.session) = (attributes, session);
    if let Some(edit) = policy.edit_reply(&asked, kind) {
        seal.edit(edit, scratch, draft, next_draft)?;
    }

    let code = if accept { Code::AccessAccept } else { Code::AccessReject };
    let mut encoder = Encoder::reply(out, code, framed.identifier(), MessageAuthenticator::First);
    encoder
        .raw(draft)
        .and_then(|()| write_answers(&mut encoder, &framed, accept))
        .map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());

    let delay = if accept { Duration::ZERO } else { configuration.protocol.reject_delay };
    Ok(Step::Answered(Answered { accept, delay }))
}

/// Writes the signed answer to an Accounting-Request whose record is safe onto the desk (RFC 2866 §4.2).
pub fn acknowledge(configuration: &Configuration, request: &Request, desk: &mut Desk) -> Result<(), Discard> {
    let stamp = request.stamp();
    let framed = request.framed();
    let client = request.whose().client(&configuration.clients);
    let secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");
    let code = Code::AccountingResponse;
    let mut encoder =
        Encoder::reply(&mut desk.reply, code, framed.identifier(), MessageAuthenticator::Absent);
    encoder.proxy_states(&framed).map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());
    Ok(())
}

/// The request's attributes as rules want them, in `edited` if they change any.
fn edit_request<'e>(
    dictionary: &Dictionary,
    edits: Option<&Edits>,
    received: Attributes<'e>,
    scratch: &mut Scratch,
    session: &mut Session,
    edited: &'e mut Vec<u8>,
) -> Result<Attributes<'e>, Discard> {
    let Some(edits) = edits else { return Ok(received) };
    for (name, value) in &edits.session {
        session.set(name, value).map_err(|SessionFull| Discard::EditTooLong)?;
    }
    if edits.request.is_nothing() {
        return Ok(received);
    }
    edited.clear();
    edits.request.retain(dictionary, received, scratch, edited);
    edited.extend_from_slice(edits.request.set.plain());
    if edited.len() > PACKET_OCTETS_MAX - HEADER_OCTETS {
        return Err(Discard::EditTooLong);
    }
    Ok(Attributes::framed(edited))
}

/// Whether a request has a user's password, or is about a device.
enum Authenticated<'c> {
    /// That of the user whose Access-Accept gets these, under this secret.
    Yes(&'c Secret, &'c Preset),
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
fn authenticate<'c>(
    configuration: &'c Configuration,
    decision: Decision,
    request: &'c Request,
    attributes: Attributes<'_>,
    known: &Known,
    memory: &mut Memory,
    proof: &mut Option<Proof>,
    now: Instant,
) -> Authenticated<'c> {
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
            Checked::Hashed(user, hash) => {
                is_wrong = true;
                match known {
                    Known::Password(waiting, true) if waiting.secret == index => {
                        return Authenticated::Yes(secret, &user.reply);
                    }
                    // Known to be wrong under this secret.
                    Known::Password(waiting, _) if waiting.secret >= index => {}
                    Known::Password(..) | Known::Nothing => {
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

/// With what a reply's attributes are hidden, should it have such.
struct Seal<'s> {
    dictionary: &'s Dictionary,
    hop: Hop<'s>,
    random: &'s mut ChaCha12Rng,
    /// One for the whole reply: no two of its salts are equal. Most replies need none, and draw none.
    sealing: Option<Sealing<'s>>,
}

impl<'s> Seal<'s> {
    fn sealing(&mut self) -> &mut Sealing<'s> {
        let Seal { hop, random, sealing, .. } = self;
        sealing.get_or_insert_with(|| Sealing { hop: *hop, salt: (random.next_u32() >> 16) as u16 })
    }

    /// Writes what the configuration sets behind what `out` holds.
    fn write(&mut self, pieces: Pieces<'_>, out: &mut Vec<u8>) -> Result<(), Discard> {
        for piece in pieces {
            match piece {
                Piece::Plain(octets) => out.extend_from_slice(octets),
                Piece::Hidden(held) => write_hidden(self.dictionary, held, self.sealing(), out),
            }
            // Longer than a packet is too long already, and the buffers have room for that and one piece more.
            if out.len() > PACKET_OCTETS_MAX {
                return Err(Discard::ReplyTooLong);
            }
        }
        Ok(())
    }

    /// Edits the attributes of `draft`, by way of `next`.
    fn edit(
        &mut self,
        edit: &Edit,
        scratch: &mut Scratch,
        draft: &mut Vec<u8>,
        next: &mut Vec<u8>,
    ) -> Result<(), Discard> {
        next.clear();
        edit.retain(self.dictionary, Attributes::framed(draft), scratch, next);
        self.write(NOTHING.over(&edit.set), next)?;
        core::mem::swap(draft, next);
        Ok(())
    }
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
    encoder.proxy_states(framed)
}

/// RFC 3748 §4.2.
const EAP_SUCCESS: u8 = 3;
/// RFC 3748 §4.2.
const EAP_FAILURE: u8 = 4;
