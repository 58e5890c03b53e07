//! CoA and Disconnect: which may pass, to which NAS they go on, and the NAK of those that do not. RFC 5176.
//!
//! From there on they are forwarded as any other request, and the NAS's answer is passed back. Whatever else may be wrong with one is
//! the NAS's to say: what it supports and which sessions it has, it knows, and a proxy does not.

use super::Worker;
use super::onward::{GoesOn, To};
use super::request::{Desk, Step, asked, decided_by, edit_request};
use crate::configuration::{Configuration, Protocol};
use crate::discard::Discard;
use crate::event::Outcome;
use crate::packet::{
    Code, Encoder, ErrorCause, Framed, Landmark, MessageAuthenticator, VerifiedReply, number,
};
use crate::path::NetworkId;
use crate::policy::{CoaDecision, Policy};
use crate::request::Request;
use crate::time::{Instant, UnixTime};

/// Decides about a CoA- or Disconnect-Request.
pub fn decide(
    configuration: &Configuration,
    policy: &mut dyn Policy,
    request: &Request,
    desk: &mut Desk,
    time: UnixTime,
) -> Result<Step, Discard> {
    let framed = request.framed();
    check_event_timestamp(&configuration.protocol, &framed, time)?;
    let Desk { decided, edited, session, scratch, .. } = desk;
    session.clear();
    let asked = asked(configuration, request, time);
    // Rules say whose users somebody may ask about by the first: no NAS is to go by the second.
    if asked.attributes.of(number::USER_NAME).nth(1).is_some() {
        return Ok(Step::Refused(ErrorCause::InvalidRequest));
    }
    let verdict = policy.coa(&asked);
    let rule = verdict.and_then(|verdict| verdict.rule);
    *decided = Some(decided_by(rule, configuration, request));
    let verdict = match verdict {
        Some(verdict) if verdict.decision == CoaDecision::Proxy => verdict,
        Some(_) | None => return Ok(Step::Refused(ErrorCause::AdministrativelyProhibited)),
    };
    // RFC 5176 §3: a proxy may add what identifies the NAS.
    let edits = verdict.edits.map(|edits| &**edits);
    let [edited, _] = edited;
    let attributes = edit_request(&configuration.dictionary, edits, asked.attributes, scratch, edited);
    let attributes = match attributes {
        Ok(attributes) => attributes,
        Err(reason) => return cause_of(request, reason).map(Step::Refused).ok_or(reason),
    };
    let Configuration { clients, client_rules, nases, .. } = configuration;
    Ok(match nases.route(clients, client_rules, attributes) {
        Ok(nas) => Step::GoesOn(GoesOn::new(To::Nas(nas), rule, verdict.edits.cloned(), time)),
        Err(cause) => Step::Refused(cause),
    })
}

/// RFC 5176 §6.3: what was recorded and is sent again later is not taken.
fn check_event_timestamp(protocol: &Protocol, framed: &Framed<'_>, time: UnixTime) -> Result<(), Discard> {
    let Protocol { event_timestamp_window: window, require_event_timestamp: is_required, .. } = *protocol;
    if window.is_none() && !is_required {
        return Ok(());
    }
    let mut timestamps = framed.attributes().of(number::EVENT_TIMESTAMP).peekable();
    if is_required && timestamps.peek().is_none() {
        return Err(Discard::NoEventTimestamp);
    }
    let is_current = |value: &[u8]| {
        let octets: Option<[u8; 4]> = value.try_into().ok();
        // Less than the window: both are cut to seconds, and an answer is kept from its own time on.
        octets.is_some_and(|octets| {
            let distance = u64::from(u32::from_be_bytes(octets)).abs_diff(time.0);
            window.is_none_or(|window| distance < window.as_secs())
        })
    };
    if timestamps.all(is_current) { Ok(()) } else { Err(Discard::EventTimestampOutside) }
}

/// What the NAK to a request says that has not gone on, so that nothing has changed (RFC 5176 §2.3). `None` for other requests, and
/// for reasons that say nothing about that.
pub fn cause_of(request: &Request, reason: Discard) -> Option<ErrorCause> {
    request.framed().code().filter(|code| code.is_dynamic_authorization())?;
    CAUSES.into_iter().find_map(|(of, cause)| (of == reason).then_some(cause))
}

const CAUSES: [(Discard, ErrorCause); 7] = [
    (Discard::ForwardLoop, ErrorCause::RequestNotRoutable),
    (Discard::BadHiddenAttribute, ErrorCause::InvalidRequest),
    (Discard::EditTooLong, ErrorCause::OtherProxyProcessingError),
    (Discard::ForwardTooLong, ErrorCause::OtherProxyProcessingError),
    (Discard::OutstandingFull, ErrorCause::ResourcesUnavailable),
    (Discard::NoBuffer, ErrorCause::ResourcesUnavailable),
    (Discard::NoSocket, ErrorCause::ResourcesUnavailable),
];

/// Writes our NAK to a request onto the desk, signed if that is.
fn write_nak(
    configuration: &Configuration,
    request: &Request,
    cause: ErrorCause,
    desk: &mut Desk,
) -> Result<(), Discard> {
    let framed = request.framed();
    let client = request.whose().client(&configuration.clients);
    let secret = client.secrets.get(request.stamp().secret_index).expect("the secret that verified is there");
    // RFC 5176 §3.3: the State of a CoA-Request comes back as it was sent. One without octets says nothing.
    let state = framed.value(Landmark::State).filter(|state| !state.is_empty());
    let (code, state) = if framed.code() == Some(Code::DisconnectRequest) {
        (Code::DisconnectNak, None)
    } else {
        (Code::CoaNak, state)
    };
    // RFC 5176 §3.4: who signs can verify what is signed.
    let sign = match framed.layout().has(Landmark::MessageAuthenticator) {
        true => MessageAuthenticator::First,
        false => MessageAuthenticator::Absent,
    };
    let mut encoder = Encoder::reply(&mut desk.packet, code, framed.identifier(), sign);
    encoder
        .attribute(number::ERROR_CAUSE, &cause.value().to_be_bytes())
        .and_then(|()| state.map_or(Ok(()), |state| encoder.attribute(number::STATE, state)))
        .and_then(|()| encoder.proxy_states(&framed))
        .map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());
    Ok(())
}

/// A NAS's NAK, for the log.
pub fn nak_of(reply: &VerifiedReply<'_>) -> Outcome {
    let mut causes = reply.framed().attributes().of(number::ERROR_CAUSE);
    let error_cause = causes.find_map(|value| Some(u32::from_be_bytes(value.try_into().ok()?)));
    Outcome::Nak { error_cause }
}

impl Worker {
    /// The end of a CoA- or Disconnect-Request that does not go on.
    pub(super) fn refuse(&mut self, network: NetworkId, request: Request, cause: ErrorCause, now: Instant) {
        let Worker { generations, desk, counters, .. } = self;
        let configuration = generations.of(request.stamp().generation);
        if let Err(reason) = write_nak(configuration, &request, cause, desk) {
            return self.discard(network, request, reason, now);
        }
        counters.decisions.up();
        counters.naks.up();
        counters.naks_own.up();
        self.note(&request, Outcome::Nak { error_cause: Some(cause.value()) }, now);
        self.send(network, request, now);
    }
}
