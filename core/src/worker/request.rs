//! One request, decided: policy, credentials, edits; and answered, or on its way to whom it has to wait for.

use super::coa;
use super::code_challenge::{Asks, Challenger, write_prompt};
use super::credentials::{Authenticated, authenticate, belongs_to_slot};
use super::mschap_answer;
use super::onward::{Awaited, Decides, DecisionId, GoesOn, Kept, Round, To};
use super::records::Records;
use super::reply::{Seal, write_answers};
use crate::accounting::Recorded;
use crate::attributes::{NOTHING, Preset, Scratch};
use crate::authenticate::Passwords;
use crate::authenticate::failures::Failures;
use crate::authenticate::mschap::{CHALLENGE_OCTETS, Found};
use crate::configuration::{Configuration, Unroutable};
use crate::conversation::realm::realm_of;
use crate::counters::WorkerCounters;
use crate::dictionary::Dictionary;
use crate::discard::Discard;
use crate::effect::Effect;
use crate::event::Decided;
use crate::forward::{PoolId, RemoteServerId};
use crate::packet::hidden::Hop;
use crate::packet::{
    Attributes, Code, Encoder, ErrorCause, Framed, Landmark, MessageAuthenticator, Oid, PACKET_OCTETS_MAX,
    SecretIndex, number,
};
use crate::policy::{
    Accounting, Asked, Decision, EMPTY_SESSION, EditTooLong, Edits, OngoingDecision, Onward, Policy,
    ReplyKind, Session, SessionFull, Verdict,
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
pub struct Answered {
    /// What it is.
    pub kind: ReplyKind,
    /// How long it has to wait, from when the request was taken up: rejects of our own only.
    pub delay: Duration,
    /// What a challenge begins.
    pub asks: Option<Asks>,
}

/// How far the worker has come with a request.
pub enum Step {
    /// To its end.
    Answered(Answered),
    /// It has to wait for this effect.
    Waits(Effect, Waiting),
    /// It has to wait until its record is stored, which lies with those of this turn: the rule that says so, and where it goes
    /// then, if it is not answered here.
    Stores(Option<u16>, Option<GoesOn>),
    /// A remote server is to decide, or a NAS.
    GoesOn(GoesOn),
    /// It is CoA or Disconnect, and goes nowhere for this cause.
    Refused(ErrorCause),
    /// The owner of its slot is to decide.
    Elsewhere,
}

/// What a request waits for, and what policy has decided about it. Policy is not asked again.
pub enum Waiting {
    /// To learn whether its password is the user's.
    Password(Undecided),
    /// Till its record is safe.
    Record {
        /// The rule that says so.
        rule: Option<u16>,
        /// Where it goes then, if it is not answered here.
        then: Option<DecisionId>,
        /// It is in the spool that it is to be safe.
        is_spooled: bool,
    },
    /// For a remote server's reply.
    Reply(Awaited),
}

/// What policy has decided about a request whose password is being hashed.
pub struct Undecided {
    decision: Decision,
    rule: Option<u16>,
    edits: Option<Arc<Edits>>,
    /// For which time it has decided.
    time: UnixTime,
    /// The password is what this secret reveals.
    pub secret: SecretIndex,
}

/// What is known of a request before policy is asked.
pub enum Known {
    /// Nothing: it is new.
    Nothing,
    /// Whether the password is the user's.
    Password(Undecided, bool),
    /// It goes on with a conversation, whose session lies on the desk.
    Ongoing(Round, Kept),
    /// It was to be forwarded, and there is no way.
    NoWayOn(GoesOn),
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
        let rule = match self {
            Waiting::Password(Undecided { rule, .. }) | Waiting::Record { rule, .. } => *rule,
            Waiting::Reply(Awaited { rule, .. }) => *rule,
        };
        decided_by(rule, configuration, request)
    }
}

/// Who has decided, if it was this rule.
pub fn decided_by(rule: Option<u16>, configuration: &Configuration, request: &Request) -> Decided {
    let listener = &configuration.listeners[usize::from(request.stamp().path.listener.0)];
    Decided { server: listener.server, rule }
}

/// Where one request after the other is worked on, with memory for all that it may need.
pub struct Desk {
    /// The packet that was written last: a reply, or a request on its way.
    pub packet: Vec<u8>,
    /// Who decided about the request that was worked on last, if anybody did.
    pub decided: Option<Decided>,
    /// Which remote server had it, if one had.
    pub remote_server: Option<RemoteServerId>,
    /// The request's attributes after edits, if there are any: after those that came first, and after all.
    pub edited: [Vec<u8>; 2],
    pub session: Session,
    /// The reply's attributes, and room to edit them in.
    pub draft: Vec<u8>,
    pub next_draft: Vec<u8>,
    pub scratch: Scratch,
    /// For salts, challenges and authenticators.
    pub random: ChaCha12Rng,
    pub challenger: Challenger,
}

impl Desk {
    /// `seed` is this worker's alone.
    pub fn new(seed: &Seed, challenger: Challenger) -> Desk {
        let buffer = || Vec::with_capacity(ROOM_OCTETS);
        Desk {
            packet: buffer(),
            decided: None,
            remote_server: None,
            edited: [buffer(), buffer()],
            session: Session::default(),
            draft: buffer(),
            next_draft: buffer(),
            scratch: Scratch::default(),
            random: seed.generator(),
            challenger,
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
    (desk.decided, desk.remote_server) = (None, None);
    let time = match &known {
        Known::Nothing | Known::Ongoing(..) => time,
        Known::Password(undecided, _) => undecided.time,
        Known::NoWayOn(goes_on) => goes_on.time,
    };
    let framed = request.framed();
    let waited = now.saturating_since(stamp.received);
    if waited > configuration.protocol.request_timeout {
        return Err(Discard::TooOld);
    }
    if Class::of(&framed) == Class::New && waited > configuration.protocol.new_request_wait_max {
        return Err(Discard::WaitedTooLong);
    }
    if framed.code() == Some(Code::AccountingRequest) {
        return account(configuration, policy, request, memory, desk, time);
    }
    if framed.code().is_some_and(Code::is_dynamic_authorization) {
        return coa::decide(configuration, policy, request, desk, time);
    }
    let client = request.whose().client(&configuration.clients);
    let mut secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");
    let Desk {
        packet: out, decided, edited, session, draft, next_draft, scratch, random, challenger, ..
    } = desk;
    let [edited_first, edited] = edited;
    let dictionary = &configuration.dictionary;

    if !matches!(known, Known::Ongoing(..) | Known::NoWayOn(_)) {
        session.clear();
    }
    let mut asked = asked(configuration, request, time);
    // What began a conversation is done again in each round; what goes on with it comes on top.
    let mut again: Option<Arc<Edits>> = None;
    let mut going_on = None;
    let verdict = match &known {
        // RFC 5080 §2.1.1: its State would say whom it is about.
        Known::Nothing if is_authorize_only(&framed) && framed.value(Landmark::State).is_none() => {
            Verdict::plain(Decision::Reject)
        }
        Known::Nothing => policy.decide(&asked),
        Known::Password(Undecided { decision, rule, edits, .. }, _) => {
            Verdict { decision: *decision, rule: *rule, edits: edits.as_ref() }
        }
        Known::Ongoing(round, kept) => {
            again.clone_from(&kept.edits);
            let first = kept.edits.as_deref();
            asked.attributes = edit_request(dictionary, first, asked.attributes, scratch, edited_first)?;
            let verdict = policy.continue_with(&Asked { session, ..asked });
            let decision = match verdict.decision {
                OngoingDecision::Continue => match kept.decides {
                    Decides::Server(server) => {
                        going_on = Some((*round, server));
                        Decision::Accept
                    }
                    Decides::OneTimeCode => Decision::AuthenticateUsers,
                },
                OngoingDecision::Reject => Decision::Reject,
            };
            Verdict { decision, rule: verdict.rule.or(kept.rule), edits: verdict.edits }
        }
        Known::NoWayOn(goes_on) => {
            let first = goes_on.edits[0].as_deref();
            asked.attributes = edit_request(dictionary, first, asked.attributes, scratch, edited_first)?;
            // What began it stands in the session already, unless nothing is left of that.
            if session.is_empty() {
                edit_session(first, session)?;
            }
            Verdict { decision: Decision::Reject, rule: goes_on.rule, edits: goes_on.edits[1].as_ref() }
        }
    };
    *decided = Some(decided_by(verdict.rule, configuration, request));
    let shared_edits = verdict.edits;
    let edits = shared_edits.map(|edits| &**edits);

    edit_session(edits, session)?;
    asked.attributes = edit_request(dictionary, edits, asked.attributes, scratch, edited)?;
    if let Some((round, server)) = going_on {
        return Ok(Step::GoesOn(GoesOn {
            to: To::Kept(server),
            rule: verdict.rule,
            edits: [again, shared_edits.cloned()],
            round: Some(round),
            time,
            is_spooled: false,
        }));
    }

    let mut proof = None;
    let (kind, user): (ReplyKind, &Preset) = match verdict.decision {
        Decision::Accept => (ReplyKind::Accept, &NOTHING),
        Decision::Reject => (ReplyKind::Reject, &NOTHING),
        Decision::Proxy(onward) => match pool_of(configuration, &framed, onward) {
            Some(pool) => {
                let goes_on = GoesOn::new(To::Pool(pool), verdict.rule, shared_edits.cloned(), time);
                return Ok(Step::GoesOn(goes_on));
            }
            None => {
                memory.counters.no_route.up();
                if configuration.protocol.unroutable == Unroutable::Discard {
                    return Err(Discard::NoRoute);
                }
                (ReplyKind::Reject, &NOTHING)
            }
        },
        Decision::AuthenticateUsers | Decision::AuthenticateMac => {
            let decision = verdict.decision;
            let attributes = asked.attributes;
            if stamp.is_untied && belongs_to_slot(configuration, decision, attributes) {
                return Ok(Step::Elsewhere);
            }
            let authenticated = authenticate(
                configuration,
                decision,
                request,
                attributes,
                &known,
                memory,
                &mut proof,
                (time, now),
            );
            match authenticated {
                Authenticated::Yes(that_fits, user) => {
                    secret = that_fits;
                    (ReplyKind::Accept, user)
                }
                Authenticated::Asks(that_fits) => {
                    secret = that_fits;
                    (ReplyKind::Challenge, &NOTHING)
                }
                Authenticated::No => (ReplyKind::Reject, &NOTHING),
                Authenticated::Waits(effect, secret) => {
                    let Verdict { decision, rule, edits } = verdict;
                    let undecided = Undecided { decision, rule, edits: edits.cloned(), time, secret };
                    return Ok(Step::Waits(effect, Waiting::Password(undecided)));
                }
            }
        }
    };
    // What a rule sets in the reply of a user goes into no reject that follows from a wrong password, nor from there being no way
    // to who would know.
    let accept = kind == ReplyKind::Accept;
    let is_decided_so = match verdict.decision {
        Decision::Accept => true,
        Decision::Reject => !matches!(known, Known::NoWayOn(_)),
        Decision::AuthenticateUsers | Decision::AuthenticateMac | Decision::Proxy(_) => accept,
    };
    // What the rule sets that began it stands in the accept as well, below what goes on with it.
    let began = again.as_deref().filter(|edits| accept && !edits.reply.is_nothing());
    let edits_of_reply =
        [began, edits.filter(|_| is_decided_so)].map(|edits| edits.map(|edits| &edits.reply));
    let (edit, edit_again) = match edits_of_reply {
        [Some(began), goes_on] => (Some(began), goes_on),
        [None, only] => (only, None),
    };

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
    } else if kind == ReplyKind::Challenge {
        write_prompt(draft);
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
    if let Some(edit) = edit_again {
        seal.edit(edit, scratch, draft, next_draft)?;
    }
    // Its State stands beyond what rules may edit: without it there is no next round.
    let asks = (kind == ReplyKind::Challenge).then(|| Asks {
        state: challenger.state(&framed, &client.name),
        rule: verdict.rule,
        edits: shared_edits.cloned(),
    });
    asked.session = session;
    if let Some(edit) = policy.edit_reply(&asked, kind) {
        seal.edit(edit, scratch, draft, next_draft)?;
    }

    let (code, delay) = match kind {
        ReplyKind::Accept => (Code::AccessAccept, Duration::ZERO),
        ReplyKind::Reject => (Code::AccessReject, configuration.protocol.reject_delay),
        ReplyKind::Challenge => (Code::AccessChallenge, Duration::ZERO),
    };
    let mut encoder = Encoder::reply(out, code, framed.identifier(), MessageAuthenticator::First);
    encoder
        .raw(draft)
        .and_then(|()| asks.iter().try_for_each(|asks| encoder.attribute(number::STATE, &asks.state)))
        .and_then(|()| write_answers(&mut encoder, &framed, accept))
        .map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());
    Ok(Step::Answered(Answered { kind, delay, asks }))
}

/// Decides about an Accounting-Request, and writes down what is to be stored.
fn account(
    configuration: &Configuration,
    policy: &mut dyn Policy,
    request: &Request,
    memory: &mut Memory,
    desk: &mut Desk,
    time: UnixTime,
) -> Result<Step, Discard> {
    let Desk { decided, edited, session, scratch, .. } = desk;
    session.clear();
    let asked = asked(configuration, request, time);
    let verdict = policy.account(&asked);
    *decided = verdict.map(|verdict| Decided { server: asked.listener.server, rule: verdict.rule });
    // RFC 2866 §4.1: what was not recorded is not acknowledged.
    let verdict = verdict.ok_or(Discard::NoAccountingRule)?;
    let edits = verdict.edits.map(|edits| &**edits);
    let dictionary = &configuration.dictionary;
    edit_session(edits, session)?;
    let attributes = edit_request(dictionary, edits, asked.attributes, scratch, &mut edited[0])?;
    let onward = match verdict.accounting {
        Accounting::Store => None,
        Accounting::Proxy(onward)
        | Accounting::StoreAndProxy(onward)
        | Accounting::Spool(onward)
        | Accounting::StoreAndSpool(onward) => Some(onward),
    };
    let is_spooled = matches!(verdict.accounting, Accounting::Spool(_) | Accounting::StoreAndSpool(_));
    let goes_on = match onward {
        Some(onward) => {
            let pool = pool_of(configuration, &asked.framed, onward);
            if pool.is_none() {
                memory.counters.no_route.up();
            }
            pool.map(|pool| GoesOn {
                is_spooled,
                ..GoesOn::new(To::Pool(pool), verdict.rule, verdict.edits.cloned(), time)
            })
        }
        None => None,
    };
    match (verdict.accounting, goes_on) {
        (Accounting::Proxy(_) | Accounting::Spool(_), goes_on) => {
            goes_on.map(Step::GoesOn).ok_or(Discard::NoRoute)
        }
        // What has nowhere to go is stored all the same, and that is what is acknowledged.
        (Accounting::Store | Accounting::StoreAndProxy(_) | Accounting::StoreAndSpool(_), then) => {
            let recorded = Recorded {
                dictionary,
                received: asked.framed,
                attributes,
                client: asked.client,
                listener: &asked.listener.name,
                remote: asked.path.remote,
                time,
            };
            memory.records.add(&recorded, scratch)?;
            Ok(Step::Stores(verdict.rule, then))
        }
    }
}

/// A request as policy sees it before anything is edited; nothing is remembered of a new session.
pub fn asked<'a>(configuration: &'a Configuration, request: &'a Request, time: UnixTime) -> Asked<'a> {
    let stamp = request.stamp();
    let framed = request.framed();
    Asked {
        generation: stamp.generation,
        dictionary: &configuration.dictionary,
        framed,
        attributes: framed.attributes(),
        session: &EMPTY_SESSION,
        client: &request.whose().client(&configuration.clients).name,
        listener: &configuration.listeners[usize::from(stamp.path.listener.0)],
        path: stamp.path,
        time,
    }
}

/// Whether nobody is to be authenticated: the session that is meant began before (RFC 3576 §3.2).
fn is_authorize_only(framed: &Framed<'_>) -> bool {
    const AUTHORIZE_ONLY: &[u8] = &[0, 0, 0, 17];
    framed.value(Landmark::ServiceType) == Some(AUTHORIZE_ONLY)
}

/// The pool that a request goes to, if there is one.
fn pool_of(configuration: &Configuration, framed: &Framed<'_>, onward: Onward) -> Option<PoolId> {
    match onward {
        Onward::Pool(pool) => Some(pool),
        Onward::ByRealm => {
            let user_name = framed.value(Landmark::UserName).unwrap_or_default();
            let realm = configuration.realms.realm(configuration.realms.find(realm_of(user_name))?);
            let is_accounting = framed.code() == Some(Code::AccountingRequest);
            if is_accounting { realm.accounting_pool } else { realm.pool }
        }
    }
}

/// What rules remember of the session.
pub fn edit_session(edits: Option<&Edits>, session: &mut Session) -> Result<(), Discard> {
    let values = edits.map(|edits| &edits.session).into_iter().flatten();
    for (name, value) in values {
        session.set(name, value).map_err(|SessionFull| Discard::EditTooLong)?;
    }
    Ok(())
}

/// The request's attributes as rules want them, in `edited` if they change any.
pub fn edit_request<'e>(
    dictionary: &Dictionary,
    edits: Option<&Edits>,
    received: Attributes<'e>,
    scratch: &mut Scratch,
    edited: &'e mut Vec<u8>,
) -> Result<Attributes<'e>, Discard> {
    let Some(edits) = edits else { return Ok(received) };
    edits
        .request
        .of_request(dictionary, received, scratch, edited)
        .map_err(|EditTooLong| Discard::EditTooLong)
}
