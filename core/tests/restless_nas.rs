//! A NAS, or its NAT, that has another source port for each packet, while replies are lost on both hops and workers come and go: each
//! conversation reaches its end at the server that it began at, and no server has a request twice. RFC 2865 §5.24, RFC 5080 §2.2.2.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Forwarded, Reply, Server, nas};
use ulna_core::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};

const LAYOUT: &str = "[runtime]\nnetwork_threads = 2\nworkers = 4\n";
/// Three servers that take turns, and know nothing of each other's conversations.
const FARM: &str = r#"
[[server.new]]
proxy = "farm"
[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
[[remote_server]]
name = "two"
address = "203.0.113.6:1812"
secret = "a secret of the remote servers"
[[remote_server]]
name = "three"
address = "203.0.113.7:1812"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
balance = "round-robin"
remote_servers = ["one", "two", "three"]
"#;

const USERS: usize = 160;
/// Rounds after the first: the last is accepted.
const LAST_ROUND: u8 = 6;
/// What all servers give to all users in all rounds.
const STATE: &[u8] = b"the same for all";
/// Of replies on either hop one in so many is lost.
const LOST_ONE_IN: usize = 3;
/// Steps from one user's beginning to the next's, and the time from one step to the next: a NAS's retransmission timer.
const BEGIN_EVERY: usize = 2;
const STEP: Duration = Duration::from_millis(100);
/// How many workers there are to be, and from which step on; a change has to have settled before the next.
const CHANGES: [(usize, usize); 5] = [(6, 7), (12, 2), (18, 5), (24, 3), (30, 4)];
const STEPS_MAX: usize = 2000;

/// A first request carries no State. Sent again from another port when its slot has just changed hands, it meets an owner that does not
/// know its conversation, and begins another one: at most so many do.
const BEGUN_AGAIN_MAX: usize = 2 * CHANGES.len();

/// A remote server: it keeps a conversation by the user's name, as all States are alike.
#[derive(Default)]
struct Home {
    /// By user: the round that has come last.
    rounds: BTreeMap<String, u8>,
    /// By the Request Authenticator that ulna has drawn: what was answered. RFC 5080 §2.2.2.
    replies: BTreeMap<[u8; 16], Vec<u8>>,
    repeated: usize,
    begun_again: usize,
}

impl Home {
    /// The reply, and the round.
    fn handle(&mut self, request: &Forwarded) -> (Vec<u8>, u8) {
        let framed = Framed::parse(&request.octets).expect("what leaves is a packet");
        let eap = framed.value(Landmark::EapMessage).expect("all of this is EAP");
        let round = eap[1];
        if let Some(reply) = self.replies.get(framed.authenticator()) {
            self.repeated += 1;
            return (reply.clone(), round);
        }
        let user = framed.value(Landmark::UserName).expect("each has a name");
        let user = String::from_utf8(user.to_vec()).expect("it is text");
        let before = self.rounds.insert(user.clone(), round);
        let is_begun_again = (before, round) == (Some(0), 0);
        self.begun_again += usize::from(is_begun_again);
        assert!(
            is_begun_again || before == round.checked_sub(1),
            "{user} comes here in round {round} after {before:?}"
        );
        assert_eq!(framed.value(Landmark::State), (round > 0).then_some(STATE));
        let code = if round == LAST_ROUND { Code::AccessAccept } else { Code::AccessChallenge };
        let mut out = Vec::new();
        let mut encoder = Encoder::reply(&mut out, code, framed.identifier(), MessageAuthenticator::First);
        encoder.attribute(number::REPLY_MESSAGE, format!("{user}, {round}").as_bytes()).expect("it fits");
        if code == Code::AccessChallenge {
            encoder.attribute(number::STATE, STATE).expect("it fits");
        }
        for state in framed.proxy_states() {
            encoder.attribute(number::PROXY_STATE, state).expect("it fits");
        }
        let secret = Secret::new(b"a secret of the remote servers").expect("it has octets");
        encoder.finish_reply(&secret, framed.authenticator());
        self.replies.insert(*framed.authenticator(), out.clone());
        (out, round)
    }
}

/// Who asks.
struct User {
    name: String,
    round: u8,
    /// What has had no reply yet, and where from it was sent last.
    waits: Option<(Vec<u8>, SocketAddr)>,
    has_finished: bool,
}

impl User {
    /// The packet of this step: the next round, or the same octets once more; in either case from a port that was never used.
    fn ask(&mut self, port: &mut u16) -> (SocketAddr, Vec<u8>) {
        *port += 1;
        let octets = self.waits.take().map_or_else(|| self.next(), |(octets, _)| octets);
        self.waits = Some((octets.clone(), nas(*port)));
        (nas(*port), octets)
    }

    fn next(&self) -> Vec<u8> {
        let kind = if self.round == 0 { 1 } else { 25 };
        let ask = Ask::of(Code::AccessRequest)
            .identifier(self.round)
            .authenticator(self.round)
            .with(number::USER_NAME, self.name.as_bytes())
            .with(number::EAP_MESSAGE, &[2, self.round, 0, 5, kind]);
        if self.round == 0 { ask.octets() } else { ask.with(number::STATE, STATE).octets() }
    }

    /// A reply has come to where it was waited for.
    fn take(&mut self, octets: &[u8]) {
        let (request, _) = self.waits.take().expect("it was asked for");
        let reply = Reply::to(&request, octets);
        let expected = format!("{}, {}", self.name, self.round);
        assert_eq!(reply.values(number::REPLY_MESSAGE), [expected.as_bytes()], "it is its own");
        self.has_finished = reply.code == Code::AccessAccept;
        assert!(self.has_finished || reply.code == Code::AccessChallenge, "{}", reply.code);
        self.round += 1;
    }
}

/// Every third of what passes here.
#[derive(Default)]
struct Losses(usize);

impl Losses {
    fn next(&mut self) -> bool {
        self.0 += 1;
        self.0.is_multiple_of(LOST_ONE_IN)
    }
}

#[test]
fn each_conversation_ends_where_it_began_and_nothing_is_asked_twice() {
    let mut server = Server::new(LAYOUT, FARM);
    let mut homes: BTreeMap<SocketAddr, Home> = BTreeMap::new();
    let user = |user| User { name: format!("user{user}"), round: 0, waits: None, has_finished: false };
    let mut users: Vec<User> = (0..USERS).map(user).collect();
    let (mut to_nas, mut from_home, mut port) = (Losses::default(), Losses::default(), 1024);
    let mut changes = CHANGES.into_iter().peekable();
    let (mut is_changing, mut settled) = (false, 0);
    for step in 0..STEPS_MAX {
        if is_changing && server.has_settled() {
            server.end_change();
            is_changing = false;
            settled += 1;
        }
        if !is_changing && let Some((_, workers)) = changes.next_if(|(from, _)| *from <= step) {
            server.begin_change(workers);
            is_changing = true;
        }
        let begun = users.len().min(step / BEGIN_EVERY + 1);
        for user in users[..begun].iter_mut().filter(|user| !user.has_finished) {
            let (from, octets) = user.ask(&mut port);
            server.datagram(from, &octets);
        }
        server.settle();
        for request in server.take_forwarded() {
            let (reply, round) = homes.entry(request.remote).or_default().handle(&request);
            // Before its first challenge nobody knows a conversation: a first request that comes from elsewhere while it is under
            // way is another one.
            if round == 0 || !from_home.next() {
                server.remote_reply(&request, &reply);
            }
        }
        for sent in server.take_sent() {
            let destination = sent.transmit.destination;
            let waits =
                users.iter_mut().find(|user| user.waits.as_ref().is_some_and(|(_, at)| *at == destination));
            let user = waits.expect("what is sent goes to where it was asked for last");
            if !to_nas.next() {
                user.take(&sent.octets);
            }
        }
        if users.iter().all(|user| user.has_finished) && !is_changing && changes.peek().is_none() {
            break;
        }
        server.run(STEP);
    }
    let unfinished = users.iter().filter(|user| !user.has_finished).count();
    assert_eq!((unfinished, settled), (0, CHANGES.len()), "all finish; {}", server.table());
    // Each user has been at one server, all rounds of it.
    assert_eq!(homes.len(), 3);
    let mut seen = BTreeSet::new();
    let mut left = homes.values().map(|home| home.begun_again).sum::<usize>();
    for (name, round) in homes.values().flat_map(|home| &home.rounds) {
        match *round {
            LAST_ROUND => assert!(seen.insert(name), "{name} has finished twice"),
            0 => left += 1,
            round => panic!("{name} was left alone in round {round}"),
        }
    }
    assert_eq!(seen.len(), USERS);
    assert!(left <= BEGUN_AGAIN_MAX, "{left} have begun again");
    let rounds = USERS * (usize::from(LAST_ROUND) + 1);
    let executed = homes.values().map(|home| home.replies.len()).sum::<usize>();
    assert_eq!(executed, rounds + left, "no request is executed twice");
    assert!(homes.values().all(|home| home.repeated > 0), "what was lost has been asked for again");
    // Nothing of this was rare.
    for name in ["repeated", "forwarded_again", "sent_elsewhere"] {
        assert!(server.count(name) > 20, "{name}; {}", server.table());
    }
    assert_eq!(
        (server.count("conversations"), server.count("conversations_cut")),
        (0, 0),
        "{}",
        server.table()
    );
    server.assert_nothing_is_left();
}
