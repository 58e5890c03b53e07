//! A request that goes on with a conversation meets none of the rules for new ones, however many there are, nor are they looked at
//! again for its reply: what they have decided is kept.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Ask, Server, nas};
use ulna_core::Configuration;
use ulna_core::generation::Generation;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::policy::{Asked, ConfiguredRules, Edit, OngoingVerdict, Policy, ReplyKind, Verdict};

const RULES: usize = 1000;
const ROUNDS: u8 = 10;

/// The last of all rules matches, and is the only one that forwards.
fn rules() -> String {
    let mut text: String = (1..RULES)
        .map(|number| {
            format!("[[server.new]]\nwhen = {{ NAS-Identifier = \"site-{number}\" }}\nreject = true\n")
        })
        .collect();
    text += r#"
[[server.new]]
when = { NAS-Identifier = "site-0" }
proxy = "farm"
set_request = { Operator-Name = "1example.org" }
[[server.ongoing]]
when = { NAS-Identifier = "another" }
reject = true
[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
remote_servers = ["one"]
"#;
    text
}

/// What policy is asked.
#[derive(Default)]
struct Calls {
    decide: AtomicUsize,
    continue_with: AtomicUsize,
}

/// The configured rules, and how often which of them are looked at.
struct Counted(ConfiguredRules, Arc<Calls>);

impl Policy for Counted {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        self.1.decide.fetch_add(1, Ordering::Relaxed);
        self.0.decide(asked)
    }

    fn continue_with<'p>(&'p mut self, asked: &Asked<'_>) -> OngoingVerdict<'p> {
        self.1.continue_with.fetch_add(1, Ordering::Relaxed);
        self.0.continue_with(asked)
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        self.0.edit_reply(asked, reply)
    }

    fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        self.0.handle_configuration(generation, configuration);
    }

    fn forget_older(&mut self) {
        self.0.forget_older();
    }
}

#[test]
fn an_ongoing_request_evaluates_none_of_them() {
    // Joined, a thread may see that a request goes on before it gives it to who will know its conversation, who sees for itself.
    for (runtime, most) in [("network_threads = 1\nworkers = 1", 1), ("network_threads = 0\nworkers = 2", 2)]
    {
        let begun = go_on(&format!("[runtime]\n{runtime}\n"));
        assert!((1..=most).contains(&begun), "{begun}");
    }
}

/// A conversation of many rounds, in which policy is asked about new requests no more often than in the first. How often that was.
fn go_on(runtime: &str) -> usize {
    let calls = Arc::new(Calls::default());
    let of_policy = Arc::clone(&calls);
    let mut server = Server::with(&support::configuration(runtime, &rules()), move |configuration| {
        Box::new(Counted(ConfiguredRules::new(configuration), Arc::clone(&of_policy)))
    });
    let secret = Secret::new(b"a secret of the remote servers").expect("it has octets");
    let mut begun = 0;
    for round in 0..=ROUNDS {
        let mut ask = Ask::of(Code::AccessRequest)
            .identifier(round)
            .authenticator(round)
            .with(number::USER_NAME, b"ann")
            .with(number::NAS_IDENTIFIER, b"site-0");
        if round > 0 {
            ask = ask.with(number::STATE, b"state");
        }
        server.ask(nas(1000), &ask.octets());
        // The same once more waits for the same reply, and asks nobody.
        server.ask(nas(1000), &ask.octets());
        let [request, again] = <[_; 2]>::try_from(server.take_forwarded()).expect("it goes on, twice");
        assert_eq!(request.octets, again.octets);
        let framed = Framed::parse(&request.octets).expect("a packet");
        assert_eq!(framed.attributes().of(126).count(), 1, "what the rule sets is set in each round");
        let mut out = Vec::new();
        let sign = MessageAuthenticator::First;
        let mut encoder = Encoder::reply(&mut out, Code::AccessChallenge, framed.identifier(), sign);
        encoder.attribute(number::STATE, b"state").expect("it fits");
        for state in framed.proxy_states() {
            encoder.attribute(number::PROXY_STATE, state).expect("it fits");
        }
        encoder.finish_reply(&secret, framed.authenticator());
        assert_eq!(server.remote_reply(&request, &out).len(), 1);
        let asked = [&calls.decide, &calls.continue_with].map(|calls| calls.load(Ordering::Relaxed));
        if round == 0 {
            [begun, _] = asked;
        }
        assert_eq!(asked, [begun, usize::from(round)], "in round {round}");
    }
    assert_eq!(
        (server.count("ongoing"), server.count("challenges")),
        (u64::from(ROUNDS), u64::from(ROUNDS) + 1)
    );
    begun
}
