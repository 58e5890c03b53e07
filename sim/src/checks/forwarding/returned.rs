//! What remote servers answer, and what goes back of it.

use super::{
    Attributes, BELIEVED_ONLY_VERIFIED, FOR_THE_NAS, Forwarding, Heard, PROXY_STATES_RETURNED, Passing,
    RECORD_ANSWERED_AT_HOME, REPLY_AS_ANSWERED, RETURNED_SIGNED, told,
};
use crate::actor::visit::{FORGED, REPLY_MESSAGE, Token, Told};
use crate::checks::Violation;
use crate::goals::Goal;
use crate::oracle::codec::{Packet, code, kind};
use std::net::SocketAddr;

impl Forwarding {
    /// The server under test reads a datagram of a remote server.
    pub fn read(&mut self, passing: Passing<'_>, port: u64, server: usize, octets: &[u8]) {
        let Ok(packet) = Packet::read(octets) else { return };
        // RFC 2865 §5.44: none or one, or it is no reply.
        if packet.all(kind::STATE).count() > 1 {
            return;
        }
        let Some(sent) = self.outstanding.get_mut(&(port, packet.identifier())) else { return };
        let plan = &passing.proxy().remote_servers[server];
        let secret = plan.secret.as_bytes();
        let is_record = sent.octets[0] == code::ACCOUNTING_REQUEST;
        let holds = packet.authenticator_holds(&sent.authenticator, secret)
            && packet.signature_holds(&sent.authenticator, secret).unwrap_or(is_record);
        if !holds || is_record != (packet.code() == code::ACCOUNTING_RESPONSE) {
            return;
        }
        let zombie_period = plan.zombie_period_ms * 1_000_000;
        let Heard { last_at, silence_ended_at } = self.heard.entry(server).or_default();
        if passing.now >= *last_at + zombie_period {
            *silence_ended_at = Some(passing.now);
        }
        *last_at = passing.now;
        // What comes after its quarantine may find nothing that it would be the reply to.
        let is_sure = !sent.is_answered && passing.turn < sent.turn + passing.request_timeout();
        self.standings.heard(passing, server, is_sure);
        if sent.is_answered {
            self.goals.reach(Goal::RemoteReplyLate);
        }
        sent.is_answered = true;
        let token = sent.token;
        let alive_since = self.is_surely_alive(passing, server);
        let asked = token.and_then(|token| self.asked.get_mut(&token));
        if let Some(asked) = asked
            && let Some(waits) = asked.waits.take_if(|waits| waits.key == (port, packet.identifier()))
            // Had the server died by then, what came again was to go elsewhere, and perhaps had no room there.
            && (waits.again_at.is_none() || alive_since.is_some_and(|since| since < waits.since))
            // It waits from when it was received, not from when it was sent on.
            && passing.now + passing.turn_max < asked.first_read_at + passing.request_timeout()
            && is_sure
        {
            asked.has_answer_since = Some(passing.now);
            self.due_back.extend(token.map(|token| (passing.now, token)));
        }
        if let Some(state) = packet.all(kind::STATE).next() {
            self.states.entry(state.to_vec()).or_default().insert(server);
            if let Some(Told { token, .. }) = told(octets) {
                self.visits_of_state.entry(state.to_vec()).or_default().insert((token.nas, token.visit));
            }
        }
        let Some(told) = told(octets) else { return };
        let answers = self.answers.entry(told).or_default();
        answers.servers.insert(server);
        let attributes = attributes(packet);
        if !answers.attributes.contains(&attributes) {
            answers.attributes.push(attributes);
        }
        if let Told { token, code: code::ACCESS_ACCEPT | code::ACCESS_REJECT, .. } = told {
            self.ended.insert((token.nas, token.visit));
        }
    }

    /// A reply leaves for a NAS: the request, if that is acknowledged as a record.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn returns(
        &mut self,
        passing: Passing<'_>,
        nas: usize,
        octets: &[u8],
    ) -> Result<Option<Vec<u8>>, Violation> {
        self.returned += 1;
        let violation =
            |law, details: String| Err(passing.violation(law, format!("to roaming NAS {nas}: {details}")));
        let packet = match Packet::read(octets) {
            Ok(packet) if packet.octets().len() == octets.len() => packet,
            _ => return violation(&FOR_THE_NAS, format!("{octets:02x?}")),
        };
        let secret = passing.proxy().nases[nas].secret.as_bytes();
        let tokens = self.by_identifier.get(&(nas, packet.identifier())).map_or(&[][..], Vec::as_slice);
        let asked = |token: &Token| Packet::read(&self.asked[token].octets).expect("a NAS writes packets");
        let is_its = |token: &&Token| packet.authenticator_holds(&asked(token).authenticator(), secret);
        let Some(token) = tokens.iter().rev().find(is_its).copied() else {
            let details = format!("Identifier {}, and it answers none of its requests", packet.identifier());
            return violation(&FOR_THE_NAS, details);
        };
        let authenticator = asked(&token).authenticator();
        let proxy_states: Vec<_> = asked(&token).all(kind::PROXY_STATE).map(<[u8]>::to_vec).collect();
        match self.answers(passing, packet, token, (&authenticator, secret), &proxy_states) {
            Some((law, details)) => violation(law, details),
            None => {
                let is_record = packet.code() == code::ACCOUNTING_RESPONSE;
                if is_record {
                    self.goals.reach(Goal::RecordForwarded);
                }
                Ok(is_record.then(|| self.asked[&token].octets.clone()))
            }
        }
    }

    /// A reply leaves for another server under test, which uses this secret here.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn returns_to_node(
        &mut self,
        passing: Passing<'_>,
        remote: SocketAddr,
        secret: Option<&[u8]>,
        octets: &[u8],
    ) -> Result<(), Violation> {
        self.returned += 1;
        let violation = |law, details: String| Err(passing.violation(law, format!("to {remote}: {details}")));
        let (packet, secret) = match (Packet::read(octets), secret) {
            (Ok(packet), Some(secret)) if packet.octets().len() == octets.len() => (packet, secret),
            _ => return violation(&FOR_THE_NAS, format!("{octets:02x?}")),
        };
        let came = self.by_nodes.get(&(remote, packet.identifier())).map_or(&[][..], Vec::as_slice);
        let found = came.iter().rev().find(|came| packet.authenticator_holds(&came.authenticator, secret));
        let Some(came) = found else {
            // Whether it lives is all that a Status-Server asks (RFC 5997 §3).
            if packet.code() == code::ACCESS_ACCEPT && packet.all(REPLY_MESSAGE).next().is_none() {
                return Ok(());
            }
            let details = format!("Identifier {}, and it answers nothing that came", packet.identifier());
            return violation(&FOR_THE_NAS, details);
        };
        let (token, authenticator, proxy_states) =
            (came.token, came.authenticator, came.proxy_states.clone());
        match self.answers(passing, packet, token, (&authenticator, secret), &proxy_states) {
            Some((law, details)) => violation(law, details),
            None => Ok(()),
        }
    }

    /// How a reply to a request is other than it must be.
    fn answers(
        &mut self,
        passing: Passing<'_>,
        packet: Packet<'_>,
        token: Token,
        (authenticator, secret): (&[u8; 16], &[u8]),
        proxy_states: &[Vec<u8>],
    ) -> Option<(&'static crate::checks::Invariant, String)> {
        let asked = self.asked.get_mut(&token).expect("who calls has seen it");
        let is_first = asked.answered_at.is_none();
        asked.answered_at.get_or_insert(passing.now);
        asked.end();
        let first = packet.attributes().next().map(|(_, kind, _)| kind);
        let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
        let holds = packet.signature_holds(authenticator, secret) == Some(true);
        let is_record = packet.code() == code::ACCOUNTING_RESPONSE;
        let is_signed = match is_record {
            // RFC 2866 §3: its authenticator proves the secret.
            true => signatures == 0,
            false => first == Some(kind::MESSAGE_AUTHENTICATOR) && signatures == 1 && holds,
        };
        if !is_signed {
            return Some((&RETURNED_SIGNED, format!("{token}: code {}", packet.code())));
        }
        if !packet.all(kind::PROXY_STATE).eq(proxy_states.iter().map(Vec::as_slice)) {
            let count = packet.all(kind::PROXY_STATE).count();
            return Some((&PROXY_STATES_RETURNED, format!("{token}: {count} of {}", proxy_states.len())));
        }
        let text = packet.all(REPLY_MESSAGE).next();
        let told = text.and_then(Told::read).filter(|told| told.token == token && told.code == packet.code());
        let answers = told.and_then(|told| self.answers.get(&told));
        if is_first {
            asked.is_answered_at_home = answers.is_some();
        }
        match (text, answers) {
            (Some(FORGED), _) => Some((&BELIEVED_ONLY_VERIFIED, format!("{token}: code {}", packet.code()))),
            (_, Some(answers)) => {
                let is_one = answers.attributes.contains(&attributes(packet));
                (!is_one).then(|| (&REPLY_AS_ANSWERED, format!("{token}: {:?}", attributes(packet))))
            }
            (_, None) if is_record => Some((&RECORD_ANSWERED_AT_HOME, format!("{token}: {told:?}"))),
            // What is decided here says nothing, and is never yes.
            (None, None) if packet.code() == code::ACCESS_REJECT => {
                self.goals.reach(Goal::RejectedHere);
                None
            }
            (_, None) => Some((&FOR_THE_NAS, format!("{token}: code {}, {told:?}", packet.code()))),
        }
    }
}

/// What no hop makes anew.
fn attributes(packet: Packet<'_>) -> Attributes {
    let stays = |(_, number, value): (usize, u8, &'_ [u8])| {
        let is_made_anew = matches!(number, kind::MESSAGE_AUTHENTICATOR | kind::PROXY_STATE);
        (!is_made_anew).then(|| (number, value.to_vec()))
    };
    packet.attributes().filter_map(stays).collect()
}
