//! What goes on to remote servers and what comes back, against what NASes have sent and servers have answered. RFC 2865 §2.3 and
//! §5.33, RFC 5080 §2.2.1, RFC 3579 §3.2.

mod again;
mod home;
mod returned;
mod standing;

use self::standing::Standings;
use super::{Violation, invariants};
use crate::actor::roaming_nas::Asks;
use crate::actor::visit::{CONNECT_INFO, REPLY_MESSAGE, Token, Told};
use crate::goals::{Goal, Goals};
use crate::oracle::codec::{Packet, code, kind};
use crate::oracle::digest::{chap_password, reveal_password};
use crate::plan::Plan;
use crate::plan::proxy::ProxyPlan;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

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
    LOOPS_END = "loops-end", "A request that comes back to a server that has forwarded it goes no further, and is answered Access-Reject.";
    NO_MORE_THAN_ASKED = "no-more-than-asked", "A request goes on at most once for each datagram of it that was read.";
    FORWARDED_ONCE = "forwarded-once", "A request that waits for a remote server which lives, be it suspected, or whose answer is remembered, is not sent on as a new one.";
    RECORD_ANSWERED_AT_HOME = "record-answered-at-home", "An Accounting-Request that goes on is answered only when its remote server has answered it.";
    AGAIN_GOES_ON = "again-goes-on", "What a NAS sends again while its request waits for a remote server is sent there again.";
    ANSWER_GOES_BACK = "answer-goes-back", "What a remote server answers to a request that waits for it goes back.";
    REPLY_AS_ANSWERED = "reply-as-answered", "A reply goes back with the attributes that its remote server has given it, State among them, unchanged and in order.";
    NOTHING_NEW_TO_THE_DEAD = "nothing-new-to-the-dead", "No new request goes to a remote server that counts as dead.";
    ALIVE_BY_ANSWERS = "alive-by-answers", "A remote server that was suspected or dead counts as alive only for verified replies, after its death for three; or is tried again after its time.";
    SUSPECTED_FOR_SILENCE = "suspected-for-silence", "A remote server is suspected only when nothing verified has come from it for its response window.";
    SERVERS_REJOIN = "servers-rejoin", "After the faults, each remote server that answers Status-Server counts as alive again.";
    ONE_SOCKET_PER_PLACE = "one-socket-per-place", "No socket is opened in the place of one that is open.";
}

/// What is known of one server's forwarding.
#[derive(Default)]
pub struct Forwarding {
    /// How many servers under test a request has passed when it comes here.
    level: usize,
    /// What NASes have asked.
    asked: BTreeMap<Token, Asked>,
    /// By NAS and Identifier: what was asked under it, the newest last.
    by_identifier: BTreeMap<(usize, u8), Vec<Token>>,
    /// By where it came from and its Identifier: what other servers under test have asked here, the newest last.
    by_nodes: BTreeMap<(SocketAddr, u8), Vec<FromNode>>,
    /// By where it came from and its Identifier: what was read last.
    newest: BTreeMap<(SocketAddr, u8), Token>,
    /// By port and Identifier: what was sent last.
    outstanding: BTreeMap<(u64, u8), Sent>,
    /// By State: the remote servers that have given it away.
    states: BTreeMap<Vec<u8>, BTreeSet<usize>>,
    /// By State: the visits whose challenges have had it.
    visits_of_state: BTreeMap<Vec<u8>, BTreeSet<(usize, usize)>>,
    /// What was answered, as far as this server has read.
    answers: BTreeMap<Told, Answers>,
    /// Visits that a remote server has ended, as far as the server under test has read.
    ended: BTreeSet<(usize, usize)>,
    /// By remote server: when it was heard of last, and when a silence ended last that was as long as it takes to count as dead.
    heard: BTreeMap<usize, Heard>,
    /// When anybody who keeps conversations died or came, last.
    memory_lost_at: Option<u64>,
    /// When a process began last, of this or another server under test, if that was not at the beginning: what one added before
    /// it does not know for its own.
    restarted_at: Option<u64>,
    /// When a core died that knew of requests, last.
    core_died_at: Option<u64>,
    standings: Standings,
    /// Requests that were read again, and when: each has to go on again.
    due_again: VecDeque<(u64, Token)>,
    /// Requests whose answers were read, and when: each has to be answered.
    due_back: VecDeque<(u64, Token)>,
    /// What has happened sometimes.
    goals: Goals,
    returned: u64,
}

struct Asked {
    octets: Vec<u8>,
    at: u64,
    /// What the challenge before it said.
    challenge: Option<Told>,
    state_is_lost: bool,
    /// How many copies the server under test has read.
    copies: u32,
    /// When the first was.
    first_read_at: u64,
    /// As what it came: from where, under which authenticator.
    came_as: BTreeSet<(SocketAddr, [u8; 16])>,
    /// Where it has gone.
    servers: BTreeSet<usize>,
    /// How often it was decided: what is sent again is not.
    decided: u32,
    /// How often it was sent on, again or not.
    sent: u32,
    /// Where it waits, and since when, if no answer has been read.
    waits: Option<Waits>,
    /// When an answer was read, if none has gone back since.
    has_answer_since: Option<u64>,
    /// When its first answer left for the NAS.
    answered_at: Option<u64>,
    /// Whether that was a remote server's.
    is_answered_at_home: bool,
    /// A copy was read after that.
    came_after_answer: bool,
    /// Another request was read under its Identifier, by one of the connections by which it came.
    is_displaced: bool,
    /// Another server under test has sent it here.
    is_from_node: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waits {
    server: usize,
    /// Its port and Identifier there.
    key: (u64, u8),
    since: u64,
    /// A copy was read then, and it has not gone on again since.
    again_at: Option<u64>,
}

impl Asked {
    /// Nothing is owed for it any more.
    fn end(&mut self) {
        (self.waits, self.has_answer_since) = (None, None);
    }
}

struct FromNode {
    authenticator: [u8; 16],
    token: Token,
    proxy_states: Vec<Vec<u8>>,
}

/// Attributes of a reply, without those that each hop makes.
type Attributes = Vec<(u8, Vec<u8>)>;

#[derive(Default)]
struct Answers {
    /// The remote servers that it came by.
    servers: BTreeSet<usize>,
    /// What they were.
    attributes: Vec<Attributes>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    last_at: u64,
    silence_ended_at: Option<u64>,
}

struct Sent {
    authenticator: [u8; 16],
    octets: Vec<u8>,
    token: Option<Token>,
    /// The time of the turn in which it was sent first.
    turn: u64,
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
    /// The time of the turn that does it.
    pub turn: u64,
    /// The longest turn so far.
    pub turn_max: u64,
}

impl Passing<'_> {
    fn proxy(&self) -> &ProxyPlan {
        self.plan.topology.proxy.as_ref().expect("only where there is forwarding")
    }

    fn violation(&self, invariant: &'static super::Invariant, details: String) -> Violation {
        Violation { invariant, at: self.now, details }
    }

    fn request_timeout(&self) -> u64 {
        self.plan.limits.request_timeout_ms * 1_000_000
    }
}

impl Forwarding {
    /// Of a server under test; so many others have passed a request before it comes here.
    pub fn new(level: usize) -> Self {
        Forwarding { level, ..Forwarding::default() }
    }

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

    /// A worker of this server has died, and with it what it had to say of remote servers.
    pub fn forget_standings(&mut self, now: u64) {
        self.standings.note_death(now);
    }

    /// A worker of this server has left in order.
    pub fn note_leave(&mut self, now: u64) {
        self.standings.note_leave(now);
    }

    /// A core has died, and with it what it knew of requests.
    pub fn forget_requests(&mut self, now: u64) {
        self.core_died_at = Some(now);
    }

    /// The process of a server under test has ended; whether of this one.
    pub fn forget_process(&mut self, is_this: bool, now: u64) {
        self.restarted_at = Some(now);
        if is_this {
            self.standings.begin(now);
            self.due_again.clear();
            self.due_back.clear();
            self.asked.values_mut().for_each(Asked::end);
        }
    }

    /// A NAS sends a request for the first time.
    pub fn asked(&mut self, asks: &Asks, octets: &[u8], now: u64) {
        let challenge = asks.challenge.as_deref().and_then(told);
        let Asks { token, state_is_lost, .. } = *asks;
        let asked = Asked {
            octets: octets.to_vec(),
            at: now,
            challenge,
            state_is_lost,
            copies: 0,
            first_read_at: now,
            came_as: BTreeSet::new(),
            servers: BTreeSet::new(),
            decided: 0,
            sent: 0,
            waits: None,
            has_answer_since: None,
            answered_at: None,
            is_answered_at_home: false,
            came_after_answer: false,
            is_displaced: false,
            is_from_node: false,
        };
        self.asked.insert(token, asked);
        let tokens = self.by_identifier.entry((token.nas, octets[1])).or_default();
        tokens.push(token);
    }

    /// The server under test reads a datagram from a NAS.
    pub fn handed(&mut self, nas: usize, remote: SocketAddr, octets: &[u8], now: u64) {
        let Ok(packet) = Packet::read(octets) else { return };
        let Some(tokens) = self.by_identifier.get(&(nas, packet.identifier())) else { return };
        let is_it = |token: &&Token| self.asked[token].octets == packet.octets();
        if let Some(token) = tokens.iter().find(is_it).copied() {
            self.displace(token, remote, packet.identifier());
            self.came(token, (remote, packet.authenticator()), now);
        }
    }

    /// The server under test reads a datagram from another, which uses this secret here.
    pub fn handed_by_node(&mut self, remote: SocketAddr, secret: &[u8], octets: &[u8], now: u64) {
        let Ok(packet) = Packet::read(octets) else { return };
        let authenticator = packet.authenticator();
        let token = packet.all(CONNECT_INFO).next().and_then(Token::read);
        let Some(token) = token.filter(|token| self.asked.contains_key(token)) else { return };
        if packet.signature_holds(&authenticator, secret) != Some(true) {
            return;
        }
        let came = self.by_nodes.entry((remote, packet.identifier())).or_default();
        if came.iter().all(|other| other.authenticator != authenticator) {
            let proxy_states = packet.all(kind::PROXY_STATE).map(<[u8]>::to_vec).collect();
            came.push(FromNode { authenticator, token, proxy_states });
        }
        self.displace(token, remote, packet.identifier());
        self.came(token, (remote, authenticator), now);
        self.asked.get_mut(&token).expect("it was asked").is_from_node = true;
    }

    /// Whether another server under test has sent a request here.
    pub fn is_from_node(&self, token: Token) -> bool {
        self.asked.get(&token).is_some_and(|asked| asked.is_from_node)
    }

    fn came(&mut self, token: Token, came_as: (SocketAddr, [u8; 16]), now: u64) {
        let asked = self.asked.get_mut(&token).expect("who calls has seen it");
        if asked.copies == 0 {
            asked.first_read_at = now;
        }
        asked.copies += 1;
        asked.came_after_answer |= asked.answered_at.is_some();
        asked.came_as.insert(came_as);
        self.note_again(token, now);
    }

    /// A packet leaves for a remote server, from this port. `forgotten` tells how many decided requests the server says that it had
    /// to forget before their time.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn forwards(
        &mut self,
        passing: Passing<'_>,
        port: u64,
        server: usize,
        octets: &[u8],
        forgotten: &dyn Fn() -> u64,
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
        let is_signed = match packet.code() {
            // RFC 2866 §3: its authenticator proves the secret.
            code::ACCOUNTING_REQUEST => signatures == 0 && packet.authenticator_holds(&[0; 16], secret),
            _ => first == Some(kind::MESSAGE_AUTHENTICATOR) && signatures == 1 && holds,
        };
        if !is_signed {
            return violation(&FORWARDED_SIGNED, format!("code {}, {signatures} of them", packet.code()));
        }
        let token = packet.all(CONNECT_INFO).next().and_then(Token::read);
        let is_new = match self.take_identifier(passing, port, packet, token) {
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
        if is_new && let Some(details) = self.standings.is_dead(passing, server) {
            return violation(&NOTHING_NEW_TO_THE_DEAD, details);
        }
        let Some((token, asked)) = token.and_then(|token| Some((token, self.asked.get_mut(&token)?))) else {
            return violation(&FORWARDED_AS_ASKED, "nobody has asked that".into());
        };
        asked.servers.insert(server);
        asked.decided += u32::from(is_new);
        asked.sent += 1;
        if asked.sent > asked.copies {
            let details = format!("{token}: {} times, {} copies were read", asked.sent, asked.copies);
            return violation(&NO_MORE_THAN_ASKED, details);
        }
        let original = Packet::read(&asked.octets).expect("a NAS writes packets");
        let is_excused =
            |law| law == &LOOPS_END && self.restarted_at.is_some_and(|restarted_at| restarted_at >= asked.at);
        let differs = differs(original, packet, token, secret, self.level);
        if let Some((law, details)) = differs.filter(|(law, _)| !is_excused(*law)) {
            return violation(law, format!("{token}: {details}"));
        }
        let is_again = is_new && self.is_remembered(passing, token);
        if is_again && forgotten() == 0 {
            return violation(&FORWARDED_ONCE, format!("{token}: it was answered"));
        }
        if let Some(details) = self.note_sent(passing, token, (server, (port, packet.identifier())), is_new) {
            return violation(&FORWARDED_ONCE, format!("{token}: {details}"));
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
        token: Option<Token>,
    ) -> Result<bool, (&'static super::Invariant, String)> {
        let quarantine = passing.request_timeout();
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
        let (octets, turn) = (octets.to_vec(), passing.turn);
        let sent = Sent { authenticator, octets, token, turn, last_at: now, is_answered: false };
        self.outstanding.insert(key, sent);
        Ok(true)
    }
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
    level: usize,
) -> Option<(&'static super::Invariant, String)> {
    if packet.code() != original.code() {
        return Some((&FORWARDED_AS_ASKED, format!("code {}", packet.code())));
    }
    let states: Vec<_> = packet.all(kind::PROXY_STATE).collect();
    let theirs: Vec<_> = original.all(kind::PROXY_STATE).collect();
    let details = || format!("{} Proxy-States where the NAS has sent {}", states.len(), theirs.len());
    if states.len() > theirs.len() + level + 1 && states.starts_with(&theirs) {
        return Some((&LOOPS_END, details()));
    }
    if states.len() != theirs.len() + level + 1 || !states.starts_with(&theirs) {
        return Some((&PROXY_STATE_ADDED, details()));
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
