//! Remote servers that give different users the very same State at the same time. RFC 2865 §5.24: a State means something
//! to the server that made it, and to nobody else.

use std::net::SocketAddr;

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, number};

use crate::edit;
use crate::stub::{ROUNDS, Stub};
use crate::support::{Nas, SECRET, Ulna, secret};

const WIRELESS: u32 = 19;
const ETHERNET: u32 = 15;

/// One that is to be authenticated; its place among the others is its NAS-Port and its Identifier.
struct User {
    name: String,
    station: Option<String>,
    port_type: u32,
}

fn station(place: usize) -> Option<String> {
    Some(format!("02-00-00-00-00-{place:02X}"))
}

fn request(place: usize, round: usize, user: &User, state: Option<&[u8]>) -> Vec<u8> {
    // Never used before under this secret.
    let mut authenticator = [0x5a; 16];
    authenticator[0] = place as u8;
    authenticator[1] = round as u8;
    let mut octets = Vec::new();
    let (code, sign) = (Code::AccessRequest, MessageAuthenticator::First);
    let mut encoder = Encoder::request(&mut octets, code, place as u8, &authenticator, sign);
    let mut add = |number, value: &[u8]| encoder.attribute(number, value).expect("it fits");
    add(number::USER_NAME, user.name.as_bytes());
    add(number::NAS_PORT, &(place as u32).to_be_bytes());
    add(number::NAS_PORT_TYPE, &user.port_type.to_be_bytes());
    if let Some(station) = &user.station {
        add(number::CALLING_STATION_ID, station.as_bytes());
    }
    if let Some(state) = state {
        add(number::STATE, state);
    }
    // An Identity first, then a Nak: no less than a server needs to go on.
    let eap: &[u8] = if round == 1 { &[2, 7, 0, 6, 1, b'u'] } else { &[2, 7, 0, 6, 3, 25] };
    encoder.eap_message(eap).expect("it fits");
    encoder.finish_request(&secret());
    octets
}

/// All conversations at once, round by round from one NAS; gives how each ended. What a reply says is its own user's.
fn play(server: SocketAddr, users: &[User]) -> Vec<Option<Code>> {
    let nas = Nas::new("127.0.0.1:0", server);
    let mut ends = vec![None; users.len()];
    let mut states: Vec<Option<Vec<u8>>> = vec![None; users.len()];
    for round in 1..=ROUNDS {
        let mut waiting: Vec<Option<Vec<u8>>> = vec![None; users.len()];
        for (place, user) in users.iter().enumerate().filter(|(place, _)| ends[*place].is_none()) {
            let octets = request(place, round, user, states[place].as_deref());
            nas.send(&octets);
            waiting[place] = Some(octets);
        }
        while waiting.iter().any(Option::is_some) {
            let octets = nas.receive();
            let reply = Framed::parse(&octets).expect("ulna sends packets");
            let place = usize::from(reply.identifier());
            let sent = waiting[place].take().expect("one reply for one request");
            let authenticator = Framed::parse(&sent).expect("we made it").authenticator();
            let code = reply.verify_reply(&secret(), authenticator, true).expect("it verifies").code();
            let told = reply.attributes().of(number::REPLY_MESSAGE).next();
            if code == Code::AccessChallenge || code == Code::AccessAccept {
                assert_eq!(told, Some(place.to_string().as_bytes()), "this is another user's");
            }
            assert_eq!(reply.proxy_states().count(), 0, "the request had none");
            states[place] = edit::state(&reply).map(<[u8]>::to_vec);
            ends[place] = (code != Code::AccessChallenge).then_some(code);
        }
    }
    ends
}

fn start_ulna(stubs: &[Stub; 2], rest: &str) -> Ulna {
    let servers = ["one", "two"].into_iter().zip(stubs).map(|(name, stub)| {
        format!(
            r#"
[[remote_server]]
name = "{name}"
address = "{}"
secret = "{SECRET}"
require_message_authenticator = true
status_check = "none"
response_window = "5s"
"#,
            stub.address
        )
    });
    let servers: String = servers.collect();
    Ulna::start(&format!(
        r#"
[runtime]
workers = 2

[[listen]]
name = "authentication"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access", "status"]
server = "edge"

[[client]]
name = "access-points"
network = ["127.0.0.1"]
secret = "{SECRET}"
require_message_authenticator = true
{servers}
[[pool]]
name = "first"
balance = "failover"
remote_servers = ["one"]

[[pool]]
name = "second"
balance = "failover"
remote_servers = ["two"]

[[pool]]
name = "both"
balance = "round-robin"
remote_servers = ["one", "two"]

[[server]]
name = "edge"
{rest}
"#
    ))
}

/// Plays all, and has all of them finish where they began; gives how many conversations each server had.
fn all_finish(rest: &str, users: &[User]) -> [usize; 2] {
    let stubs = [Stub::start(), Stub::start()];
    let ulna = start_ulna(&stubs, rest);
    let ends = play(ulna.addresses[0], users);
    let seen = stubs.each_ref().map(Stub::seen);
    for seen in &seen {
        assert_eq!((&seen.strangers[..], seen.unverified), (&[][..], 0), "{seen:?}");
        assert!(seen.rounds.values().all(|rounds| *rounds == ROUNDS), "{seen:?}");
    }
    assert_eq!(ends, vec![Some(Code::AccessAccept); users.len()]);
    ulna.stop();
    let counts = seen.map(|seen| seen.rounds.len());
    assert_eq!(counts[0] + counts[1], users.len());
    counts
}

/// Each worker takes its turns by itself: the halves are not exact.
fn assert_both_have_some(counts: [usize; 2]) {
    assert!(counts.iter().all(|count| *count >= 35), "{counts:?}");
}

const BY_REALM: &str = r#"
[[server.new]]
proxy = { by = "realm" }

[[realm]]
name = "one.example"
pool = "first"

[[realm]]
name = "two.example"
pool = "second"
"#;

const BY_POOL: &str = r#"
[[server.new]]
proxy = "both"

[[realm]]
name = "example.edu"
pool = "both"
"#;

const BY_PORT_TYPE: &str = r#"
[[server.new]]
when = { NAS-Port-Type = "Wireless-802.11" }
proxy = "first"

[[server.new]]
when = { NAS-Port-Type = "Ethernet" }
proxy = "second"

[[realm]]
name = "example.edu"
pool = "both"
"#;

// checklist 30
#[test]
fn two_realms_give_the_same_state() {
    let users: Vec<User> = (0..100)
        .map(|place| {
            let realm = if place % 2 == 0 { "one" } else { "two" };
            User { name: format!("u{place}@{realm}.example"), station: station(place), port_type: WIRELESS }
        })
        .collect();
    assert_eq!(all_finish(BY_REALM, &users), [50, 50]);
}

#[test]
fn two_servers_of_one_realm_give_the_same_state() {
    // The users' names tell them apart, even without Calling-Station-Id.
    for with_station in [true, false] {
        let users: Vec<User> = (0..100)
            .map(|place| {
                let station = station(place).filter(|_| with_station);
                User { name: format!("u{place}@example.edu"), station, port_type: WIRELESS }
            })
            .collect();
        assert_both_have_some(all_finish(BY_POOL, &users));
    }
}

#[test]
fn one_anonymous_name_is_told_apart_by_calling_station_id() {
    for name in ["anonymous@example.edu", "EXAMPLE\\anonymous"] {
        let user = |place| User { name: name.into(), station: station(place), port_type: WIRELESS };
        let users: Vec<User> = (0..100).map(user).collect();
        assert_both_have_some(all_finish(BY_POOL, &users));
    }
}

// checklist 31
//
// Nothing tells these conversations apart: a round that finds several is decided about as one that begins, by what it
// says itself. One that were given another's decision would come to the other server.
#[test]
fn one_anonymous_name_without_calling_station_id_gets_no_others_conversation() {
    for count in [2, 60] {
        for name in ["anonymous@example.edu", "EXAMPLE\\anonymous"] {
            let users: Vec<User> = (0..count)
                .map(|place| {
                    let port_type = if place % 2 == 0 { WIRELESS } else { ETHERNET };
                    User { name: name.into(), station: None, port_type }
                })
                .collect();
            assert_eq!(all_finish(BY_PORT_TYPE, &users), [count / 2; 2], "{name}");
        }
    }
}
