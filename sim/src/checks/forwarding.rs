//! What goes on to remote servers and what comes back, against what NASes have sent and servers have answered. RFC 2865 §2.3 and
//! §5.33, RFC 5080 §2.2.1, RFC 3579 §3.2.

use super::{Violation, invariants};
use crate::actor::roaming_nas::Asks;
use crate::actor::visit::{CONNECT_INFO, FORGED, REPLY_MESSAGE, Token, Told};
use crate::goals::{Goal, Goals};
use crate::oracle::codec::{Packet, code, kind};
use crate::oracle::digest::{chap_password, reveal_password};
use crate::plan::Plan;
use crate::plan::proxy::{ProxyPlan, States};
use std::collections::{BTreeMap, BTreeSet};

invariants! {
    FORWARDED_AS_ASKED = "forwarded-as-asked", "What goes on to a remote server was asked by a NAS and has its attributes, unchanged and in order.";
    FORWARDED_SIGNED = "forwarded-signed", "What goes on to a remote server carries one right Message-Authenticator, and carries it first.";
    PROXY_STATE_ADDED = "proxy-state-added", "A forwarded request has the Proxy-States of the NAS, in order, and behind them one of ours.";
    HIDDEN_ANEW = "hidden-anew", "Passwords reach a remote server as it can read and check them.";
    ONE_PER_IDENTIFIER = "one-per-identifier", "No Identifier of a port is used for another packet before its answer or a quarantine.";
    SAME_AGAIN = "same-again", "What is sent to a remote server again has the same octets.";
    SAME_SERVER = "same-server", "Each round of a conversation goes to the remote server that began it.";
    FOR_THE_NAS = "for-the-nas", "A reply to a NAS is the answer to that very request, and has the code that was decided at its home.";
    BELIEVED_ONLY_VERIFIED = "believed-only-verified", "Nobody without the secret can answer in a remote server's place.";
    PROXY_STATES_RETURNED = "proxy-states-returned", "A reply to a NAS has exactly its Proxy-States, in order.";
    RETURNED_SIGNED = "returned-signed", "A reply to a NAS carries one right Message-Authenticator, and carries it first.";
    VISITS_END_WELL = "visits-end-well", "After the faults, each visit of a user who is at home elsewhere ends by Access-Accept.";
    ONE_SOCKET_PER_PLACE = "one-socket-per-place", "No socket is opened in the place of one that is open.";
}

/// What is known of forwarding.
#[derive(Default)]
pub struct Forwarding {
    /// What NASes have asked.
    asked: BTreeMap<Token, Asked>,
    /// By NAS and Identifier: what was asked under it, the newest last.
    by_identifier: BTreeMap<(usize, u8), Vec<Token>>,
    /// By port and Identifier: what was sent last.
    outstanding: BTreeMap<(u64, u8), Sent>,
    /// By State: the remote servers that have given it away.
    states: BTreeMap<Vec<u8>, BTreeSet<usize>>,
    /// Visits that a remote server has ended, as far as the server under test has read.
    ended: BTreeSet<(usize, usize)>,
    /// By remote server: when it was heard of last, and when a silence ended last that was as long as it takes to count as dead.
    heard: BTreeMap<usize, Heard>,
    /// When anybody who keeps conversations died or came, last.
    memory_lost_at: Option<u64>,
    /// What has happened sometimes.
    goals: Goals,
    returned: u64,
}

struct Asked {
    octets: Vec<u8>,
    at: u64,
    /// The remote server that the conversation is at, as it said itself.
    home: Option<usize>,
    state_is_lost: bool,
    /// How many copies the server under test has read.
    copies: u32,
    /// Where it has gone.
    servers: BTreeSet<usize>,
    /// How often it was decided: what is sent again is not.
    decided: u32,
    /// When its first answer left for the NAS.
    answered_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    last_at: u64,
    silence_ended_at: Option<u64>,
}

struct Sent {
    authenticator: [u8; 16],
    octets: Vec<u8>,
    last_at: u64,
    is_answered: bool,
}

/// Where and when something passes.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// Virtual nanoseconds.
    pub now: u64,
}

impl Passing<'_> {
    fn proxy(&self) -> &ProxyPlan {
        self.plan.topology.proxy.as_ref().expect("only where there is forwarding")
    }

    fn violation(&self, invariant: &'static super::Invariant, details: String) -> Violation {
        Violation { invariant, at: self.now, details }
    }
}

impl Forwarding {
    /// How many replies went back to NASes.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// What it came to.
    pub fn goals(&self) -> &Goals {
        &self.goals
    }

    /// A core that keeps conversations has died, or others keep them from now on.
    pub fn forget_conversations(&mut self, now: u64) {
        self.memory_lost_at = Some(now);
    }

    /// A NAS sends a request for the first time.
    pub fn asked(&mut self, asks: &Asks, octets: &[u8], now: u64) {
        let home = asks.challenge.as_deref().and_then(told).map(|told| told.server);
        let Asks { token, state_is_lost, .. } = *asks;
        let asked = Asked {
            octets: octets.to_vec(),
            at: now,
            home,
            state_is_lost,
            copies: 0,
            servers: BTreeSet::new(),
            decided: 0,
            answered_at: None,
        };
        self.asked.insert(token, asked);
        let tokens = self.by_identifier.entry((token.nas, octets[1])).or_default();
        tokens.push(token);
    }

    /// The server under test reads a datagram from a NAS.
    pub fn handed(&mut self, nas: usize, octets: &[u8]) {
        let Ok(packet) = Packet::read(octets) else { return };
        let Some(tokens) = self.by_identifier.get(&(nas, packet.identifier())) else { return };
        for token in tokens {
            let asked = self.asked.get_mut(token).expect("what has an Identifier was asked");
            asked.copies += u32::from(asked.octets == packet.octets());
        }
    }

    /// A packet leaves for a remote server, from this port.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn forwards(
        &mut self,
        passing: Passing<'_>,
        port: u64,
        server: usize,
        octets: &[u8],
    ) -> Result<(), Violation> {
        let violation = |law, details: String| {
            let name = &passing.proxy().remote_servers[server].name;
            Err(passing.violation(law, format!("to {name} from port {port}: {details}")))
        };
        let secret = passing.proxy().remote_servers[server].secret.as_bytes();
        let packet = match Packet::read(octets) {
            Ok(packet) if packet.octets().len() == octets.len() => packet,
            _ => return violation(&FORWARDED_AS_ASKED, format!("{octets:02x?}")),
        };
        let first = packet.attributes().next().map(|(_, kind, _)| kind);
        let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
        let holds = packet.signature_holds(&packet.authenticator(), secret) == Some(true);
        if first != Some(kind::MESSAGE_AUTHENTICATOR) || signatures != 1 || !holds {
            return violation(&FORWARDED_SIGNED, format!("code {}, {signatures} of them", packet.code()));
        }
        let is_new = match self.take_identifier(passing, port, packet) {
            Ok(is_new) => is_new,
            Err((law, details)) => return violation(law, details),
        };
        if packet.code() == code::STATUS_SERVER {
            return Ok(());
        }
        if let Some(state) = packet.all(kind::STATE).next() {
            let givers = self.states.entry(state.to_vec()).or_default();
            if givers.len() > 1 {
                self.goals.reach(Goal::StateOfTwoServers);
            }
        }
        let token = packet.all(CONNECT_INFO).next().and_then(Token::read);
        let Some((token, asked)) = token.and_then(|token| Some((token, self.asked.get_mut(&token)?))) else {
            return violation(&FORWARDED_AS_ASKED, "nobody has asked that".into());
        };
        asked.servers.insert(server);
        asked.decided += u32::from(is_new);
        let original = Packet::read(&asked.octets).expect("a NAS writes packets");
        if let Some((law, details)) = differs(original, packet, token, secret) {
            return violation(law, format!("{token}: {details}"));
        }
        if let Some(home) = self.strayed_from(passing, token, server) {
            let home = &passing.proxy().remote_servers[home].name;
            return violation(&SAME_SERVER, format!("{token} is at {home}"));
        }
        Ok(())
    }

    /// Whether it is a packet that was not sent before.
    fn take_identifier(
        &mut self,
        passing: Passing<'_>,
        port: u64,
        packet: Packet<'_>,
    ) -> Result<bool, (&'static super::Invariant, String)> {
        let quarantine = passing.plan.limits.request_timeout_ms * 1_000_000;
        let key = (port, packet.identifier());
        let (authenticator, octets) = (packet.authenticator(), packet.octets());
        let now = passing.now;
        if let Some(sent) = self.outstanding.get_mut(&key) {
            if sent.authenticator == authenticator {
                sent.last_at = now;
                self.goals.reach(Goal::RetransmissionForwarded);
                return match sent.octets == octets {
                    true => Ok(false),
                    false => Err((&SAME_AGAIN, format!("Identifier {}", key.1))),
                };
            }
            if !sent.is_answered && now < sent.last_at + quarantine {
                let details = format!("Identifier {}, {} ns after it was sent", key.1, now - sent.last_at);
                return Err((&ONE_PER_IDENTIFIER, details));
            }
        }
        let sent = Sent { authenticator, octets: octets.to_vec(), last_at: now, is_answered: false };
        self.outstanding.insert(key, sent);
        Ok(true)
    }

    /// The server that a request should have gone to, if it goes to another without excuse.
    fn strayed_from(&self, passing: Passing<'_>, token: Token, server: usize) -> Option<usize> {
        let asked = &self.asked[&token];
        let home = asked.home.filter(|home| *home != server)?;
        let before = &self.asked[&Token { round: token.round - 1, ..token }];
        let proxy = passing.proxy();
        let dedup_lifetime = passing.plan.limits.dedup_lifetime_ms * 1_000_000;
        // Who died, or came, since the request before was asked, cannot know.
        let is_forgotten = self.memory_lost_at.is_some_and(|at| at >= before.at);
        let may_be_repicked =
            proxy.pools.iter().any(|pool| pool.repick && pool.remote_servers.contains(&home));
        let excused = is_forgotten
            || may_be_repicked
            // RFC 5080 §2.2.2: its answer is forgotten by now, and its State was used.
            || asked.answered_at.is_some_and(|at| passing.now + TURN_MAX >= at + dedup_lifetime)
            || self.ended.contains(&(token.nas, token.visit))
            // An earlier copy was rejected, as the server had died, and nobody has that answer: it is decided anew.
            || asked.copies > 1 && self.may_have_died(proxy, home, asked.at, passing.now)
            || asked.state_is_lost && !is_known_without_state(proxy, token.nas)
            || self.is_ambiguous(proxy, token, home);
        (!excused).then_some(home)
    }

    /// Whether a remote server may have counted as dead since then.
    fn may_have_died(&self, proxy: &ProxyPlan, server: usize, since: u64, now: u64) -> bool {
        let Heard { last_at, silence_ended_at } = self.heard.get(&server).copied().unwrap_or_default();
        let zombie_period = proxy.remote_servers[server].zombie_period_ms * 1_000_000;
        now >= last_at + zombie_period || silence_ended_at.is_some_and(|at| at >= since)
    }

    /// Whether two conversations that nothing tells apart may have this request's State.
    fn is_ambiguous(&self, proxy: &ProxyPlan, token: Token, home: usize) -> bool {
        if proxy.remote_servers[home].states == States::Random {
            return false;
        }
        // One whose answer was forgotten before it was asked for again has begun twice.
        self.asked[&Token { round: 0, ..token }].decided > 1 || !is_known_without_state(proxy, token.nas)
    }

    /// The server under test reads a datagram of a remote server.
    pub fn read(&mut self, passing: Passing<'_>, port: u64, server: usize, octets: &[u8]) {
        let Ok(packet) = Packet::read(octets) else { return };
        let Some(sent) = self.outstanding.get_mut(&(port, packet.identifier())) else { return };
        let secret = passing.proxy().remote_servers[server].secret.as_bytes();
        let holds = packet.authenticator_holds(&sent.authenticator, secret)
            && packet.signature_holds(&sent.authenticator, secret) == Some(true);
        if !holds {
            return;
        }
        let heard = self.heard.entry(server).or_default();
        if passing.now >= heard.last_at + passing.proxy().remote_servers[server].zombie_period_ms * 1_000_000
        {
            heard.silence_ended_at = Some(passing.now);
        }
        heard.last_at = passing.now;
        if sent.is_answered {
            self.goals.reach(Goal::RemoteReplyLate);
        }
        sent.is_answered = true;
        if let Some(state) = packet.all(kind::STATE).next() {
            self.states.entry(state.to_vec()).or_default().insert(server);
        }
        if let Some(Told { token, code: code::ACCESS_ACCEPT | code::ACCESS_REJECT, .. }) = told(octets) {
            self.ended.insert((token.nas, token.visit));
        }
    }

    /// A reply leaves for a NAS.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn returns(&mut self, passing: Passing<'_>, nas: usize, octets: &[u8]) -> Result<(), Violation> {
        self.returned += 1;
        let violation =
            |law, details: String| Err(passing.violation(law, format!("to roaming NAS {nas}: {details}")));
        let packet = match Packet::read(octets) {
            Ok(packet) if packet.octets().len() == octets.len() => packet,
            _ => return violation(&FOR_THE_NAS, format!("{octets:02x?}")),
        };
        let secret = passing.proxy().nases[nas].secret.as_bytes();
        let tokens = self.by_identifier.get(&(nas, packet.identifier())).map_or(&[][..], Vec::as_slice);
        let authenticator = |token: &Token| {
            Packet::read(&self.asked[token].octets).expect("a NAS writes packets").authenticator()
        };
        let is_its = |token: &&Token| packet.authenticator_holds(&authenticator(token), secret);
        let Some(token) = tokens.iter().rev().find(is_its) else {
            let details = format!("Identifier {}, and it answers none of its requests", packet.identifier());
            return violation(&FOR_THE_NAS, details);
        };
        let (token, asked) = (*token, authenticator(token));
        self.asked.get_mut(&token).expect("it was just seen").answered_at.get_or_insert(passing.now);
        let first = packet.attributes().next().map(|(_, kind, _)| kind);
        let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
        let holds = packet.signature_holds(&asked, secret) == Some(true);
        if first != Some(kind::MESSAGE_AUTHENTICATOR) || signatures != 1 || !holds {
            return violation(&RETURNED_SIGNED, format!("{token}: code {}", packet.code()));
        }
        let original = Packet::read(&self.asked[&token].octets).expect("a NAS writes packets");
        if !packet.all(kind::PROXY_STATE).eq(original.all(kind::PROXY_STATE)) {
            let count = packet.all(kind::PROXY_STATE).count();
            return violation(&PROXY_STATES_RETURNED, format!("{token}: {count} of them"));
        }
        match packet.all(REPLY_MESSAGE).next() {
            // What is decided here says nothing, and is never yes.
            None if packet.code() == code::ACCESS_REJECT => {
                self.goals.reach(Goal::RejectedHere);
                Ok(())
            }
            Some(FORGED) => violation(&BELIEVED_ONLY_VERIFIED, format!("{token}: code {}", packet.code())),
            text => match text.and_then(Told::read) {
                Some(told) if told.token == token && told.code == packet.code() => Ok(()),
                told => violation(&FOR_THE_NAS, format!("{token}: code {}, {told:?}", packet.code())),
            },
        }
    }

    /// A visit that had to end well, begun then, has not: whether that breaks a law.
    ///
    /// # Errors
    /// [`VISITS_END_WELL`].
    pub fn ended_badly(
        &self,
        passing: Passing<'_>,
        (nas, visit): (usize, usize),
        begun: u64,
        details: String,
    ) -> Result<(), Violation> {
        let proxy = passing.proxy();
        let is_forgotten = self.memory_lost_at.is_some_and(|at| at >= begun);
        let all_random = proxy.remote_servers.iter().all(|server| server.states == States::Random);
        if is_forgotten || !all_random && !is_known_without_state(proxy, nas) {
            return Ok(());
        }
        Err(passing.violation(&VISITS_END_WELL, format!("roaming NAS {nas}, visit {visit}: {details}")))
    }
}

/// A turn that was stopped may have answered by a time that lies so far behind.
const TURN_MAX: u64 = 4_000_000_000;

/// Whether the requests of a NAS say whose they are: many may have one User-Name.
fn is_known_without_state(proxy: &ProxyPlan, nas: usize) -> bool {
    proxy.nases[nas].calling_station_id
}

fn told(octets: &[u8]) -> Option<Told> {
    Packet::read(octets).ok()?.all(REPLY_MESSAGE).next().and_then(Told::read)
}

/// How what goes on differs from what was asked, other than it must.
fn differs(
    original: Packet<'_>,
    packet: Packet<'_>,
    token: Token,
    secret: &[u8],
) -> Option<(&'static super::Invariant, String)> {
    if packet.code() != original.code() {
        return Some((&FORWARDED_AS_ASKED, format!("code {}", packet.code())));
    }
    let states: Vec<_> = packet.all(kind::PROXY_STATE).collect();
    let theirs: Vec<_> = original.all(kind::PROXY_STATE).collect();
    if states.len() != theirs.len() + 1 || !states.starts_with(&theirs) {
        let details = format!("{} Proxy-States where the NAS has sent {}", states.len(), theirs.len());
        return Some((&PROXY_STATE_ADDED, details));
    }
    let password = token.password();
    if let Some(hidden) = packet.all(kind::USER_PASSWORD).next()
        && reveal_password(hidden, &packet.authenticator(), secret).as_deref() != Some(password.as_bytes())
    {
        return Some((&HIDDEN_ANEW, "User-Password".into()));
    }
    if let Some(value) = packet.all(kind::CHAP_PASSWORD).next() {
        let authenticator = packet.authenticator();
        let challenge = packet.all(kind::CHAP_CHALLENGE).next().unwrap_or(&authenticator);
        if value != chap_password(value[0], password.as_bytes(), challenge) {
            return Some((&HIDDEN_ANEW, "CHAP-Password".into()));
        }
    }
    // What each hop makes anew; a CHAP-Challenge that was not there stands for the Request Authenticator.
    let added = original.all(kind::CHAP_CHALLENGE).next().is_none();
    let stays = |(_, number, value): (usize, u8, &'_ [u8])| {
        let is_made_anew =
            matches!(number, kind::MESSAGE_AUTHENTICATOR | kind::PROXY_STATE | kind::USER_PASSWORD)
                || number == kind::CHAP_CHALLENGE && added;
        (!is_made_anew).then(|| (number, value.to_vec()))
    };
    let (is, was): (Vec<_>, Vec<_>) =
        (packet.attributes().filter_map(stays).collect(), original.attributes().filter_map(stays).collect());
    let has_password = |packet: Packet<'_>| packet.all(kind::USER_PASSWORD).count();
    (is != was || has_password(packet) != has_password(original))
        .then(|| (&FORWARDED_AS_ASKED, format!("{is:?} instead of {was:?}")))
}
