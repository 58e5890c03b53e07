//! Which conversation a request goes on with, and what its answer makes of that. RFC 2865 §5.24, RFC 5080 §2.1.1 and §2.2.2.

use super::Worker;
use super::onward::{Decides, GoesOn, Kept, KeptServer, Round};
use super::request::Known;
use crate::configuration::Configuration;
use crate::conversation::realm::realm_of;
use crate::conversation::{
    Answer, Begun, Bounds, ConversationId, Conversations, Found, Identity, RequestKey, StateUse, Tree,
    TreeBounds, Who,
};
use crate::discard::Discard;
use crate::event::Outcome;
use crate::network::fingerprint;
use crate::packet::{Code, Framed, Landmark, VerifiedReply, number};
use crate::path::NetworkId;
use crate::queue::message::Message;
use crate::request::{Request, RequestHandle};
use crate::seed::Seed;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

/// Whose a request is, for looking it up among conversations.
pub(super) struct Asks {
    pub who: Who,
    pub request: RequestKey,
    /// Who may have made its State.
    trees: [Tree; 2],
}

/// The conversations of a worker under this configuration; none where nothing is forwarded and nobody asked for a code.
pub(super) fn conversations(configuration: &Configuration, seed: &Seed) -> Conversations<Kept> {
    let bounds = Bounds {
        conversations_max: conversations_max(configuration),
        replies_octets_max: KEPT_REPLIES_OCTETS_MAX,
        sessions_octets_max: SESSIONS_OCTETS_MAX,
        names_octets_max: conversations_max(configuration) * NAMES_OCTETS_EACH,
        dedup_lifetime: configuration.protocol.dedup_lifetime,
    };
    let mut conversations = Conversations::new(bounds, seed);
    set_trees(&mut conversations, configuration);
    conversations
}

/// How many conversations there may be in all.
pub(super) fn conversations_max(configuration: &Configuration) -> usize {
    if configuration.pools.is_empty() {
        let of_ours = if configuration.users.has_codes() { configuration.protocol.state_max } else { 0 };
        return of_ours.min(CONVERSATIONS_MAX);
    }
    // Names without realm have that of `[protocol]` unless there is a realm for them: then that counts twice, which does no harm.
    let all =
        configuration.realms.iter().map(|realm| realm.state_max).chain([configuration.protocol.state_max]);
    all.fold(0, usize::saturating_add).min(CONVERSATIONS_MAX)
}

/// The trees of a configuration.
pub(super) fn set_trees(conversations: &mut Conversations<Kept>, configuration: &Configuration) {
    let protocol = &configuration.protocol;
    let own = TreeBounds { state_lifetime: protocol.state_lifetime, state_max: protocol.state_max };
    let digests = conversations.digests().clone();
    let trees = configuration.realms.iter().map(|realm| {
        let bounds = TreeBounds { state_lifetime: realm.state_lifetime, state_max: realm.state_max };
        (digests.tree(&realm.name), bounds)
    });
    // A realm for names without one says for itself how long.
    conversations.set_trees([(Tree::Own, own), (Tree::NoRealm, own)].into_iter().chain(trees));
}

/// What to call the trees of realms.
pub(super) fn realm_names(
    conversations: &Conversations<Kept>,
    configuration: &Configuration,
) -> BTreeMap<Tree, Arc<str>> {
    let digests = conversations.digests();
    configuration.realms.iter().map(|realm| (digests.tree(&realm.name), Arc::from(&*realm.name))).collect()
}

/// Who a conversation is with, as its first request says.
pub(super) fn names<'r>(framed: &Framed<'r>) -> [&'r [u8]; 2] {
    [Landmark::UserName, Landmark::CallingStationId].map(|name| framed.value(name).unwrap_or_default())
}

impl Worker {
    /// Takes the trees of another configuration. Where that may have more conversations, or fewer, there is another table as soon as
    /// this one has none.
    pub(super) fn learn_trees(&mut self, configuration: &Configuration) {
        self.conversations_wanted = conversations_max(configuration);
        set_trees(&mut self.conversations, configuration);
        self.realm_names = realm_names(&self.conversations, configuration);
        self.resize_conversations();
    }

    pub(super) fn resize_conversations(&mut self) {
        let has_other_bound = self.conversations.bounds().conversations_max != self.conversations_wanted;
        if has_other_bound && self.conversations.is_empty() {
            let configuration = Arc::clone(self.generations.newest().1);
            let mut conversations = conversations(&configuration, &self.conversations_seed);
            // No two conversations have one name.
            conversations.count_on(*self.conversations.counts());
            self.conversations = conversations;
        }
    }

    /// Takes up an Access-Request, which goes on with a conversation or is new, or was seen before by another connection.
    pub(super) fn take_up(&mut self, network: NetworkId, request: Request, now: Instant) {
        let may_be_known =
            request.framed().value(Landmark::State).is_some() || !self.conversations.is_empty();
        if request.framed().code() != Some(Code::AccessRequest) || !may_be_known {
            self.counters.requests.up();
            return self.decide(network, request, Known::Nothing, now, now);
        }
        let asks = self.asks(&request);
        let state = request.framed().value(Landmark::State);
        let mut found = self.conversations.find(&asks.who, &asks.trees, state, asks.request, now);
        // One of ours is good for one request.
        if let Found::Ongoing(conversation, StateUse::Used | StateUse::UnderWay) = found
            && self.is_asked_for_code(conversation)
        {
            found = Found::Unknown;
        }
        // Its State was lost on the way, or is another hop's; one of ours has to be there.
        let is_of_policy = state.is_some_and(|state| self.policy.knows_state(state));
        let may_be_ours = !is_of_policy && (state.is_some() || goes_on_by_eap(&request.framed()));
        if found == Found::Unknown && may_be_ours {
            // Many may have one name; without a device nobody can say whose it is.
            let has_device = request.framed().value(Landmark::CallingStationId).is_some();
            let live = has_device.then(|| self.conversations.find_live(&asks.who, now)).flatten();
            if let Some(live) = live.filter(|live| !self.is_asked_for_code(*live)) {
                found = Found::Ongoing(live, StateUse::Used);
            } else if state.is_some() {
                self.counters.states_unknown.up();
            }
        }
        if !request.stamp().signed && !self.is_from_where_it_was(found, &request) {
            found = Found::Unknown;
        }
        if found == Found::Unknown && may_be_ours && request.stamp().may_be_elsewhere {
            return self.complete(network, Message::Elsewhere(request));
        }
        self.counters.requests.up();
        match found {
            Found::Unknown => self.decide(network, request, Known::Nothing, now, now),
            Found::Ongoing(conversation, state_use) => {
                self.go_on_with(
                    network,
                    request,
                    Round { conversation, request: asks.request, state_use },
                    now,
                );
            }
            Found::InProgress(conversation) => self.redirect(network, request, conversation, &asks, now),
            Found::Answered(conversation) => self.repeat(network, request, conversation, &asks, now),
        }
    }

    /// Whether a request that nothing signs may go on with a conversation: State alone proves nothing, so it has to come from where
    /// the last round came.
    fn is_from_where_it_was(&self, found: Found, request: &Request) -> bool {
        match found {
            Found::Unknown => true,
            Found::Ongoing(conversation, _) => {
                let kept = self.conversations.kept(conversation);
                kept.is_some_and(|kept| kept.remote == request.stamp().path.remote)
            }
            // From there its network core has seen it.
            Found::InProgress(_) | Found::Answered(_) => false,
        }
    }

    /// The next round of a conversation.
    fn go_on_with(&mut self, network: NetworkId, request: Request, round: Round, now: Instant) {
        let kept = self.conversations.kept(round.conversation).cloned();
        // A State of ours that was used is good for nothing.
        let may_go_on =
            |kept: &Kept| kept.decides != Decides::OneTimeCode || round.state_use == StateUse::Unused;
        let Some(kept) = kept.filter(may_go_on) else {
            return self.decide(network, request, Known::Nothing, now, now);
        };
        self.counters.ongoing.up();
        self.decide(network, request, Known::Ongoing(round, kept), now, now);
    }

    /// The very request is under way, by another connection: whoever asked last gets the answer.
    fn redirect(
        &mut self,
        network: NetworkId,
        request: Request,
        conversation: ConversationId,
        asks: &Asks,
        now: Instant,
    ) {
        let kept = self.conversations.kept_mut(conversation).expect("it was found");
        let handle = request.stamp().handle;
        let before = kept.taken_up.replace((network, handle));
        let before = before.filter(|_| !seeded::is(Bug::WaitingElsewhereDecidedAgain));
        let request = match before {
            Some((of, named)) => match self.held.replace(of, named, network, request) {
                Ok((of, before)) => {
                    (self.desk.decided, self.desk.remote_server) = (None, None);
                    self.discard(of, before, Discard::AnsweredElsewhere, now);
                    // The NAS has sent it again.
                    return self.forward_again(network, handle, now);
                }
                Err(request) => request,
            },
            None => request,
        };
        // Nobody has it any more.
        self.conversations.give_up(conversation, asks.request);
        self.go_on_with(
            network,
            request,
            Round { conversation, request: asks.request, state_use: StateUse::Unused },
            now,
        );
    }

    /// The very request was answered, by another connection: the answer is the same, octet for octet.
    fn repeat(
        &mut self,
        network: NetworkId,
        request: Request,
        conversation: ConversationId,
        asks: &Asks,
        now: Instant,
    ) {
        let reply = self.conversations.last_reply(conversation);
        let Some(reply) = reply.filter(|_| !seeded::is(Bug::AnsweredElsewhereDecidedAgain)) else {
            return self.go_on_with(
                network,
                request,
                Round { conversation, request: asks.request, state_use: StateUse::Used },
                now,
            );
        };
        self.desk.packet.clear();
        self.desk.packet.extend_from_slice(reply);
        (self.desk.decided, self.desk.remote_server) = (None, None);
        let outcome = match self.desk.packet.first().copied().and_then(Code::from_octet) {
            Some(Code::AccessAccept) => Outcome::Accept,
            Some(Code::AccessChallenge) => Outcome::Challenge,
            Some(_) | None => Outcome::Reject,
        };
        self.counters.repeated.up();
        self.note(&request, outcome, now);
        // A reject of ours is delayed, by whichever connection it is asked for.
        let is_delayed = outcome == Outcome::Reject && self.is_asked_for_code(conversation);
        let protocol = &self.generations.of(request.stamp().generation).protocol;
        let delay = if is_delayed { protocol.reject_delay } else { Duration::ZERO };
        self.send_later(network, request, now, delay, now);
    }

    /// A conversation ends with an answer of ours, which lies on the desk.
    pub(super) fn end_here(&mut self, round: Round, now: Instant) {
        let Round { conversation, request, .. } = round;
        self.conversations.answer(conversation, request, Answer::End, &self.desk.packet, now);
        self.note_conversations();
    }

    /// A request of a conversation waits for the remote server.
    pub(super) fn begin_round(&mut self, round: Round, taken_up: (NetworkId, RequestHandle), until: Instant) {
        if self.conversations.take_up(round.conversation, round.request, round.state_use, until)
            && let Some(kept) = self.conversations.kept_mut(round.conversation)
        {
            kept.taken_up = Some(taken_up);
        }
    }

    /// A remote server's reply to a request, which lies on the desk as the NAS gets it, moves its conversation on; a first challenge
    /// begins one.
    pub(super) fn end_round(
        &mut self,
        request: &Request,
        taken_up: Instant,
        (goes_on, server): (&GoesOn, KeptServer),
        reply: &VerifiedReply<'_>,
        now: Instant,
    ) {
        let state = reply.framed().value(Landmark::State);
        let answer = match (reply.code(), state) {
            (Code::AccessChallenge, state) => Answer::Challenge(state),
            (Code::AccessAccept, Some(state)) => Answer::AcceptWithState(state, self.session_timeout()),
            _ => Answer::End,
        };
        let from = request.stamp().path.remote;
        if let Some(Round { conversation, request, .. }) = goes_on.round {
            if let Some(kept) = self.conversations.kept_mut(conversation) {
                kept.remote = from;
            }
            let sets = goes_on.edits[1].as_ref().is_some_and(|edits| !edits.session.is_empty());
            if sets {
                self.conversations.set_session(conversation, self.desk.session.octets());
            }
            if self.conversations.answer(conversation, request, answer, &self.desk.packet, now) {
                self.note_conversations();
                return;
            }
        }
        if answer == Answer::End {
            return;
        }
        let framed = request.framed();
        let names = names(&framed);
        let Asks { who, request, trees: [_, tree] } = self.asks(request);
        let (decides, remote) = (Decides::Server(server), from);
        let kept =
            Kept { decides, rule: goes_on.rule, edits: goes_on.edits[0].clone(), remote, taken_up: None };
        let session = self.desk.session.octets();
        let begun = Begun { tree, who, request, taken_up, session, names };
        self.conversations.begin(&begun, kept, answer, &self.desk.packet, now);
        self.note_conversations();
    }

    /// A request of a conversation has its end without an answer.
    pub(super) fn give_round_up(&mut self, goes_on: &GoesOn) {
        if let Some(Round { conversation, request, .. }) = goes_on.round {
            self.conversations.give_up(conversation, request);
        }
    }

    /// A conversation cannot go on.
    pub(super) fn forget_round(&mut self, goes_on: &mut GoesOn) {
        if let Some(Round { conversation, .. }) = goes_on.round.take() {
            self.conversations.forget(conversation);
            self.note_conversations();
        }
    }

    /// Has the session on the desk as earlier rounds have left it.
    pub(super) fn load_session(&mut self, round: Option<Round>) {
        let octets = round.map_or(&[][..], |round| self.conversations.session(round.conversation));
        self.desk.session.load(octets);
    }

    pub(super) fn note_conversations(&mut self) {
        let Worker { conversations, conversations_counted: before, counters, .. } = self;
        counters.conversations.set(conversations.live() as u64);
        // A predecessor's are in the counters, too.
        let now = *conversations.counts();
        counters.conversations_begun.add(now.begun - before.begun);
        counters.conversations_forgotten.add(now.forgotten - before.forgotten);
        counters.conversations_expired.add(now.expired - before.expired);
        counters.states_ambiguous.add(now.ambiguous - before.ambiguous);
        *before = now;
    }

    /// How long the session may last that the reply on the desk lets in.
    fn session_timeout(&self) -> Option<Duration> {
        let framed = Framed::parse(&self.desk.packet).ok()?;
        let value = framed.attributes().of(number::SESSION_TIMEOUT).next()?;
        Some(Duration::from_secs(u32::from_be_bytes(value.try_into().ok()?).into()))
    }

    /// Whether it is one of ours.
    fn is_asked_for_code(&self, conversation: ConversationId) -> bool {
        self.conversations.kept(conversation).is_some_and(|kept| kept.decides == Decides::OneTimeCode)
    }

    pub(super) fn asks(&self, request: &Request) -> Asks {
        let configuration = self.generations.of(request.stamp().generation);
        let framed = request.framed();
        let mark = request.whose().mark(&configuration.clients, Some(request.stamp().secret_index));
        let user_name = framed.value(Landmark::UserName).unwrap_or_default();
        let calling_station_id = framed.value(Landmark::CallingStationId);
        let digests = self.conversations.digests();
        let who = digests.who(&Identity { client_mark: mark, user_name, calling_station_id });
        let state = framed.value(Landmark::State);
        let realm = realm_of(user_name).and_then(|realm| configuration.realms.find(Some(realm)));
        let tree = realm.map_or(Tree::NoRealm, |realm| digests.tree(&configuration.realms.realm(realm).name));
        let request = digests.request(&who, state, &fingerprint(&framed, mark));
        Asks { who, request, trees: [Tree::Own, tree] }
    }
}

/// Whether a request without State can only be a later round: EAP has begun before it (RFC 3579 §2.1), and its State was lost.
fn goes_on_by_eap(framed: &Framed<'_>) -> bool {
    const RESPONSE: u8 = 2;
    const IDENTITY: u8 = 1;
    let eap = framed.value(Landmark::EapMessage).unwrap_or_default();
    eap.first() == Some(&RESPONSE) && eap.get(4).is_some_and(|kind| *kind != IDENTITY)
}

/// Conversations that a worker keeps, whatever the realms together may have.
const CONVERSATIONS_MAX: usize = 1 << 20;
/// Last replies that a worker keeps for duplicates from other connections.
const KEPT_REPLIES_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// What rules remember of conversations, per worker.
const SESSIONS_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// User-Name and Calling-Station-Id of a conversation, on average: most fit into one chunk.
const NAMES_OCTETS_EACH: usize = 80;
