//! A server at home of users who roam: it reads what comes with a codec of its own, keeps its conversations, and answers; or does not,
//! or late, or twice, or after somebody else has. RFC 2865 §2.1 and §5.24, RFC 5997 §3.

use super::visit::{ACCESS_CHALLENGE, CONNECT_INFO, FORGED, REPLY_MESSAGE, Token, Told, eap};
use crate::draw::{Class, Draw, Draws};
use crate::fault::{FaultClass, Injector};
use crate::oracle::codec::{Packet, Writer, code, kind};
use crate::plan::proxy::{RemoteServerPlan, States};
use std::collections::{BTreeMap, BTreeSet};

/// One of them.
pub struct RemoteServer {
    place: usize,
    received: u64,
    /// It is gone until then.
    gone_until: u64,
    /// It comes and goes: since when, in turns of which length, until when.
    flaps: Option<(u64, u64, u64)>,
    /// It does not answer for a realm until then.
    silent_until: BTreeMap<Vec<u8>, u64>,
    /// Conversations that it has, by NAS and visit.
    conversations: BTreeSet<(usize, usize)>,
    /// The State that it gave away last, and in which visit.
    last_state: Option<((usize, usize), Vec<u8>)>,
    /// By port and Identifier: what it has answered, and how (RFC 5080 §2.2.2).
    answered: BTreeMap<(u64, u8), ([u8; 16], Vec<u8>)>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// It does not verify, or is none.
    Refused,
    /// Nobody is there.
    Gone,
    /// It is not answered, though it could be.
    Silent,
    /// It is answered.
    Answered,
    /// It was answered before, and is again.
    Again,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    /// It leaves so many nanoseconds from now.
    pub after: u64,
    /// The datagram.
    pub octets: Vec<u8>,
    /// From another address than it was asked at.
    pub from_elsewhere: bool,
}

/// How many rounds a visit has: only its NAS knows, and tells.
pub type Rounds<'r> = &'r dyn Fn(Token) -> u64;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl RemoteServer {
    /// At this place of the plan.
    pub fn new(place: usize) -> Self {
        RemoteServer {
            place,
            received: 0,
            gone_until: 0,
            flaps: None,
            silent_until: BTreeMap::new(),
            conversations: BTreeSet::new(),
            last_state: None,
            answered: BTreeMap::new(),
        }
    }

    /// A datagram comes from a port of the server under test; answers are appended to `out`.
    #[expect(clippy::too_many_arguments, reason = "a datagram and all that decides about it")]
    pub fn handle_datagram(
        &mut self,
        plan: &RemoteServerPlan,
        port: u64,
        octets: &[u8],
        rounds: Rounds<'_>,
        (draws, faults): (Draws, &mut Injector),
        now: u64,
        out: &mut Vec<Answer>,
    ) -> Fate {
        let ordinal = self.received;
        self.received += 1;
        let secret = plan.secret.as_bytes();
        let Ok(packet) = Packet::read(octets) else { return Fate::Refused };
        let holds = match packet.code() {
            code::ACCOUNTING_REQUEST => packet.authenticator_holds(&[0; 16], secret),
            _ => packet.signature_holds(&packet.authenticator(), secret) == Some(true),
        };
        if !holds {
            return Fate::Refused;
        }
        let entity = self.place as u64;
        // Whoever forges answers needs nobody to be there.
        let kind = |draw: Draw| [draw.below(FORGERY_KINDS), draw.fork(1).below(3)];
        if let Some([how, wanted]) = faults.strike(FaultClass::RemoteForgery, entity, ordinal, now, kind) {
            out.push(Answer { after: 0, octets: forged(packet, how, wanted, secret), from_elsewhere: false });
        }
        let span = |draw: Draw| [draw.magnitude(100 * MILLISECOND..=40 * SECOND), draw.fork(1).below(2)];
        if let Some([span, forgets]) = faults.strike(FaultClass::RemoteDeath, entity, ordinal, now, span) {
            self.gone_until = now + span;
            self.answered.clear();
            if forgets == 1 {
                self.conversations.clear();
            }
        }
        let turns = |draw: Draw| {
            [draw.magnitude(200 * MILLISECOND..=5 * SECOND), draw.fork(1).range(1..=40) * SECOND]
        };
        if let Some([turn, span]) = faults.strike(FaultClass::RemoteFlapping, entity, ordinal, now, turns) {
            self.flaps = Some((now, turn, now + span));
        }
        let is_away =
            |(since, turn, until): (u64, u64, u64)| now < until && ((now - since) / turn).is_multiple_of(2);
        if now < self.gone_until || self.flaps.is_some_and(is_away) {
            return Fate::Gone;
        }
        let realm = realm_of(packet);
        let span = |draw: Draw| [draw.magnitude(100 * MILLISECOND..=20 * SECOND), 0];
        if !realm.is_empty()
            && let Some([span, _]) = faults.strike(FaultClass::RealmSilence, entity, ordinal, now, span)
        {
            self.silent_until.insert(realm.to_vec(), now + span);
        }
        let is_silent = self.silent_until.get(realm).is_some_and(|until| now < *until)
            || faults.strike(FaultClass::RemoteSilence, entity, ordinal, now, |_| [0, 0]).is_some();
        if is_silent {
            return Fate::Silent;
        }
        let draw = draws.at(Class::RemoteServer, entity, ordinal);
        let key = (port, packet.identifier());
        let known = self.answered.get(&key).filter(|(asked, _)| *asked == packet.authenticator());
        let (fate, answer) = match known {
            Some((_, answer)) => (Fate::Again, answer.clone()),
            None => {
                let how = (&mut *faults, ordinal, now);
                let Some(answer) = self.answer(plan, packet, rounds, draw, how) else {
                    return Fate::Silent;
                };
                self.answered.insert(key, (packet.authenticator(), answer.clone()));
                (Fate::Answered, answer)
            }
        };
        let mut after = draw.fork(1).below(plan.answer_us.max(1) * 1_000);
        let late = |draw: Draw| [draw.magnitude(100 * MILLISECOND..=90 * SECOND), 0];
        if let Some([late, _]) = faults.strike(FaultClass::RemoteLate, entity, ordinal, now, late) {
            after += late;
        }
        let again = |draw: Draw| [draw.magnitude(1_000..=40 * SECOND), 0];
        if let Some([more, _]) = faults.strike(FaultClass::RemoteTwice, entity, ordinal, now, again) {
            out.push(Answer { after: after + more, octets: answer.clone(), from_elsewhere: false });
        }
        if has_state(&answer)
            && let Some([more, state]) =
                faults.strike(FaultClass::SecondChallenge, entity, ordinal, now, |draw| {
                    [draw.magnitude(1_000..=5 * SECOND), draw.fork(1).bits()]
                })
        {
            let octets = with_other_state(&answer, packet, &state.to_be_bytes(), secret);
            out.push(Answer { after: after + more, octets, from_elsewhere: false });
        }
        let class = FaultClass::OtherSource;
        let from_elsewhere = faults.strike(class, entity, ordinal, now, |_| [0, 0]).is_some();
        out.push(Answer { after, octets: answer, from_elsewhere });
        fate
    }

    fn answer(
        &mut self,
        plan: &RemoteServerPlan,
        packet: Packet<'_>,
        rounds: Rounds<'_>,
        draw: Draw,
        (faults, ordinal, now): (&mut Injector, u64, u64),
    ) -> Option<Vec<u8>> {
        let secret = plan.secret.as_bytes();
        let (identifier, authenticator) = (packet.identifier(), packet.authenticator());
        if packet.code() == code::STATUS_SERVER {
            let answer = Writer::new(code::ACCESS_ACCEPT, identifier, [0; 16]).signed();
            return plan.answers_status.then(|| answer.reply(&authenticator, secret));
        }
        let token = Token::read(packet.all(CONNECT_INFO).next()?)?;
        let whose = (token.nas, token.visit);
        let is_known = token.round == 0 || self.conversations.contains(&whose);
        let is_last = token.round + 1 >= rounds(token);
        let code = match (is_known, is_last) {
            (false, _) => code::ACCESS_REJECT,
            (true, true) => code::ACCESS_ACCEPT,
            (true, false) => ACCESS_CHALLENGE,
        };
        let is_record = packet.code() == code::ACCOUNTING_REQUEST;
        let code = if is_record { code::ACCOUNTING_RESPONSE } else { code };
        let told = Told { token, server: self.place, code };
        let mut writer = Writer::new(code, identifier, [0; 16]);
        if !is_record {
            writer = writer.signed();
        }
        if packet.all(kind::EAP_MESSAGE).next().is_some() {
            let next = (token.round + 1) as u8;
            let eap = match code {
                ACCESS_CHALLENGE => eap(1, next, Some(21), b"more"),
                code::ACCESS_ACCEPT => eap(3, next, None, b""),
                _ => eap(4, next, None, b""),
            };
            writer = writer.attribute(kind::EAP_MESSAGE, &eap);
        }
        writer = writer.attribute(REPLY_MESSAGE, told.text().as_bytes());
        if code == ACCESS_CHALLENGE {
            self.conversations.insert(whose);
            let mut strikes =
                |class, how: fn(Draw) -> [u64; 2]| faults.strike(class, self.place as u64, ordinal, now, how);
            let state = match plan.states {
                States::Random => draw.fork(2).octets::<12>().to_vec(),
                States::PerRound => format!("state of round {}", token.round).into_bytes(),
                States::Constant => b"the state".to_vec(),
            };
            // One challenge has one of these at most.
            let states = if strikes(FaultClass::StateMissing, |_| [0, 0]).is_some() {
                vec![]
            } else if let Some([which, _]) = strikes(FaultClass::StateWrong, |draw| [draw.below(3), 0]) {
                match which {
                    0 => vec![Vec::new()],
                    1 => vec![draw.fork(3).octets::<253>().to_vec()],
                    _ => vec![state, b"one too many".to_vec()],
                }
            } else if let Some([worker, _]) = strikes(FaultClass::StateLikeOurs, |draw| [draw.below(3), 0]) {
                // As the policy of the server under test names a worker.
                vec![worker.to_string().into_bytes()]
            } else if let Some((_, another)) = self.last_state.as_ref().filter(|(visit, _)| *visit != whose)
                && strikes(FaultClass::StateOfAnother, |_| [0, 0]).is_some()
            {
                vec![another.clone()]
            } else {
                vec![state]
            };
            for state in &states {
                writer = writer.attribute(kind::STATE, state);
            }
            if let Some(state) = states.into_iter().next() {
                self.last_state = Some((whose, state));
            }
        }
        for state in packet.all(kind::PROXY_STATE) {
            writer = writer.attribute(kind::PROXY_STATE, state);
        }
        Some(writer.reply(&authenticator, secret))
    }
}

/// What stands behind the `@`.
fn realm_of(packet: Packet<'_>) -> &[u8] {
    let name = packet.all(kind::USER_NAME).next().unwrap_or_default();
    name.iter().rposition(|octet| *octet == b'@').map_or(&[], |at| &name[at + 1..])
}

/// Whether it is a challenge with a State.
fn has_state(answer: &[u8]) -> bool {
    let answer = Packet::read(answer).expect("it was written here");
    answer.code() == ACCESS_CHALLENGE && answer.all(kind::STATE).next().is_some()
}

/// The same challenge to the same request with another State.
fn with_other_state(answer: &[u8], to: Packet<'_>, state: &[u8], secret: &[u8]) -> Vec<u8> {
    let answer = Packet::read(answer).expect("it was written here");
    let writer = Writer::new(answer.code(), answer.identifier(), [0; 16]).signed();
    let mine = answer.attributes().filter(|(_, number, _)| *number != kind::MESSAGE_AUTHENTICATOR);
    let add = |writer: Writer, (_, number, value): (usize, u8, &[u8])| {
        writer.attribute(number, if number == kind::STATE { state } else { value })
    };
    mine.fold(writer, add).reply(&to.authenticator(), secret)
}

/// A reply to what must not be believed.
fn forged(to: Packet<'_>, how: u64, wanted: u64, secret: &[u8]) -> Vec<u8> {
    let is_record = to.code() == code::ACCOUNTING_REQUEST;
    // RFC 2866 §3: an Accounting-Response whose authenticator holds is a right one.
    let code = match is_record && how != COLLIDES {
        true => code::ACCOUNTING_RESPONSE,
        false => [code::ACCESS_ACCEPT, code::ACCESS_REJECT, ACCESS_CHALLENGE][wanted as usize],
    };
    let asked = to.authenticator();
    let writer = |identifier: u8| Writer::new(code, identifier, [0; 16]);
    let signed = |identifier: u8| if is_record { writer(identifier) } else { writer(identifier).signed() };
    let identifier = to.identifier();
    match how {
        // By somebody who does not know the secret.
        0 => signed(identifier).attribute(REPLY_MESSAGE, FORGED).reply(&asked, b"another secret altogether"),
        // The Response Authenticator holds, as if MD5 collided (RFC 9765 calls for Message-Authenticator since), and nothing is
        // signed.
        COLLIDES => writer(identifier).attribute(REPLY_MESSAGE, FORGED).reply(&asked, secret),
        // A reply to another request, as it was recorded.
        2 => signed(identifier).attribute(REPLY_MESSAGE, FORGED).reply(&[0; 16], secret),
        // A right one under another Identifier.
        _ => signed(identifier.wrapping_add(1)).attribute(REPLY_MESSAGE, FORGED).reply(&asked, secret),
    }
}

const FORGERY_KINDS: u64 = 4;
/// The kind whose Response Authenticator holds.
const COLLIDES: u64 = 1;
