//! Seeded bugs in what is done to the octets of a packet on its way on: with each of them switched on its situation ends
//! otherwise. One test, as a bug is chosen for the whole process.
#![cfg(feature = "seeded-bugs")]

#[path = "support/forwarding.rs"]
mod forwarding;

use forwarding::{CLIENT, Node, SERVER, proxy_states, read, reply, request};
use ulna_core::attributes::NOTHING;
use ulna_core::packet::{Code, Framed, MessageAuthenticator};
use ulna_core::seeded::{Bug, choose};

const FIRST: MessageAuthenticator = MessageAuthenticator::First;

/// What the remote server gets of a request.
fn sent(text: &str) -> Vec<u8> {
    let received = request(Code::AccessRequest, FIRST, text);
    Node::new(1).forward(&received, &NOTHING).expect("it fits").0
}

fn the_server_reads_the_password() -> bool {
    read(&sent("User-Password = hello"), &SERVER, &Node::new(1).authenticator).contains("= \"hello\"")
}

fn the_nas_reads_its_key() -> bool {
    let received = request(Code::AccessRequest, FIRST, "User-Name = bob");
    let (sent, authenticator) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    let answered = reply(Code::AccessAccept, &sent, &SERVER, FIRST, "MS-MPPE-Send-Key = 0x0102030405");
    let back = Node::new(1).back(&received, &answered, &authenticator).expect("it fits");
    let nas = *Framed::parse(&received).expect("a packet").authenticator();
    read(&back, &CLIENT, &nas).ends_with("= 0x0102030405")
}

fn proxy_states_go_on_in_order_and_ours_last() -> bool {
    let ours = Node::new(1).own();
    proxy_states(&sent("Proxy-State = 0x07, Proxy-State = 0x06")) == [&[7][..], &[6], ours.value()]
}

fn the_nas_gets_its_proxy_states_and_no_other() -> bool {
    let received = request(Code::AccessRequest, FIRST, "Proxy-State = 0x07, Proxy-State = 0x06");
    let (sent, authenticator) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    // The server returns whatever it got.
    let states = proxy_states(&sent);
    let returned = states.iter().flat_map(|state| [&[33, 2 + state.len() as u8], &state[..]].concat());
    let returned: Vec<u8> = returned.collect();
    let answered = forwarding::reply_of(Code::AccessAccept, &sent, &SERVER, FIRST, &returned);
    let back = Node::new(1).back(&received, &answered, &authenticator).expect("it fits");
    proxy_states(&back) == [[7], [6]]
}

fn a_loop_is_seen() -> bool {
    let sent = sent("User-Name = bob");
    Node::new(1).key().is_loop(&Framed::parse(&sent).expect("a packet"))
}

fn the_challenge_of_chap_goes_along() -> bool {
    let received =
        request(Code::AccessRequest, FIRST, "CHAP-Password = 0x0701020304050607080910111213141516");
    let (sent, _) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    let nas = *Framed::parse(&received).expect("a packet").authenticator();
    Framed::parse(&sent).expect("a packet").chap_challenge() == nas
}

#[test]
fn each_seeded_bug_dies_by_its_situation() {
    let situations: [(Bug, fn() -> bool); 8] = [
        (Bug::HiddenPassedOnAsItIs, the_server_reads_the_password),
        (Bug::HiddenPassedOnAsItIs, the_nas_reads_its_key),
        (Bug::ProxyStatesNotPassedOn, proxy_states_go_on_in_order_and_ours_last),
        (Bug::OwnProxyStateFirst, proxy_states_go_on_in_order_and_ours_last),
        (Bug::OwnProxyStateReturned, the_nas_gets_its_proxy_states_and_no_other),
        (Bug::ProxyStateReversed, the_nas_gets_its_proxy_states_and_no_other),
        (Bug::LoopNotSeen, a_loop_is_seen),
        (Bug::ChapChallengeLeftBehind, the_challenge_of_chap_goes_along),
    ];
    for (bug, holds) in situations {
        choose(None);
        assert!(holds(), "without {} it holds", bug.name());
        choose(Some(bug));
        let is_dead = !holds();
        choose(None);
        println!("{:42} {}", bug.name(), if is_dead { "dead" } else { "alive" });
        assert!(is_dead, "{} lives", bug.name());
    }
}
