//! NASes come, go and move with the configuration, and have no sockets while nothing goes there.

use std::net::SocketAddr;
use std::time::Duration;

use ulna_core::forward::RemoteServerId;
use ulna_core::packet::{Code, number};

use crate::bench::*;
use crate::support::{Server, nas};

const ONE: &str = "coa_address = \"192.0.2.11:3799\"";

fn reload(server: &mut Server, nases: &str) {
    let waits = server.reload(&text(SEPARATE, PROXY, nases));
    assert!(waits.is_empty(), "nothing of this waits: {waits:?}");
}

#[test]
fn a_reload_adds_moves_and_removes_where_coa_goes() {
    let mut server = Server::of(&text(SEPARATE, PROXY, &NASES.replace(ONE, "")));
    assert_eq!(refused_with(&mut server, &disconnect().octets()), (Code::DisconnectNak, vec![502]));
    reload(&mut server, NASES);
    server.forget_older();
    let request = disconnect().identifier(2).octets();
    let waits = go_on(&mut server, &request);
    assert_eq!(waits.remote.to_string(), "192.0.2.11:3799");

    // It moves while a request waits: that goes where it went, what comes under the new configuration goes to the new address.
    reload(&mut server, &NASES.replace(ONE, "coa_address = \"192.0.2.111:1700\""));
    assert!(server.needs_older());
    let moved_request = disconnect().identifier(3).octets();
    let moved = go_on(&mut server, &moved_request);
    assert_eq!(moved.remote.to_string(), "192.0.2.111:1700");
    let again = go_on(&mut server, &request);
    assert_eq!((again.socket, &again.octets), (waits.socket, &waits.octets));
    for (request, forwarded) in [(&request, &waits), (&moved_request, &moved)] {
        let sent = only(server.remote_reply(forwarded, &answer(forwarded, Code::DisconnectAck, &[])));
        assert_eq!(Answer::to(request, &sent.octets).code, Code::DisconnectAck);
    }
    assert!(!server.needs_older());
    server.forget_older();
    server.settle();
    let open: Vec<SocketAddr> = server.remote_sockets.values().copied().collect();
    assert_eq!(open, ["192.0.2.111:1700".parse().expect("an address")], "the one before is closed");

    reload(&mut server, &NASES.replace(ONE, ""));
    server.forget_older();
    server.settle();
    assert!(server.remote_sockets.is_empty(), "{:?}", server.remote_sockets);
    assert_eq!(
        refused_with(&mut server, &disconnect().identifier(4).octets()),
        (Code::DisconnectNak, vec![502])
    );
    server.assert_nothing_is_left();
}

#[test]
fn what_waits_goes_where_it_went_though_all_have_other_numbers() {
    let mut server = server(SEPARATE);
    let request = ask_of(Code::DisconnectRequest).with(number::NAS_IDENTIFIER, b"tower").octets();
    let waits = go_on(&mut server, &request);
    // Two more remote servers in front, and a NAS that was before it is no more.
    let remote_server = |name: &str| {
        format!(
            "[[remote_server]]\nname = \"{name}\"\naddress = \"192.0.2.77:1812\"\nsecret = \"a secret of each NAS\"\n"
        )
    };
    let remote_servers = [remote_server("radius"), remote_server("other")].concat();
    let pool = "[[pool]]\nname = \"farm\"\nremote_servers = [\"radius\", \"other\"]\n";
    let rules = format!("[[server.new]]\nproxy = \"farm\"\n{PROXY}");
    let after = text(SEPARATE, &rules, &format!("{}{remote_servers}{pool}", NASES.replace(ONE, "")));
    assert!(server.reload(&after).is_empty());
    let number = |server: &Server| {
        let hops = server.configuration.hops();
        hops.zip(0..).find_map(|(hop, number)| (&*hop.name == "two").then_some(RemoteServerId(number)))
    };
    assert_eq!(number(&server), Some(RemoteServerId(2)), "it was 1 before");
    let again = go_on(&mut server, &request);
    assert_eq!((again.socket, again.remote, &again.octets), (waits.socket, waits.remote, &waits.octets));
    let sockets = server.remote_sockets.len();
    let new = go_on(&mut server, &request_to_two(2));
    assert_eq!((new.socket, server.remote_sockets.len()), (waits.socket, sockets), "it is the same NAS");
    for (request, forwarded) in [(&request, &waits), (&request_to_two(2), &new)] {
        let sent = only(server.remote_reply(forwarded, &answer(forwarded, Code::DisconnectAck, &[])));
        assert_eq!(Answer::to(request, &sent.octets).code, Code::DisconnectAck);
    }
    // Each is told as its own configuration has it.
    let hops: Vec<_> = finished(&server).into_iter().map(|(_, hop)| hop).collect();
    assert_eq!(hops, [1, 2].map(|number| Some(RemoteServerId(number))));
    server.forget_older();
    server.assert_nothing_is_left();
}

fn request_to_two(identifier: u8) -> Vec<u8> {
    let ask = ask_of(Code::DisconnectRequest).with(number::NAS_IDENTIFIER, b"tower");
    ask.identifier(identifier).octets()
}

#[test]
fn a_client_and_a_remote_server_of_one_name_are_two() {
    let server_of_that_name = r#"
[[remote_server]]
name = "one"
address = "192.0.2.11:3799"
secret = "a secret of each NAS"
status_check = "status-server"
[[pool]]
name = "farm"
remote_servers = ["one"]
"#;
    let rules = format!("[[server.new]]\nproxy = \"farm\"\n{PROXY}");
    let both = text(SEPARATE, &rules, &format!("{NASES}{server_of_that_name}"));
    let mut server = Server::of(&both);
    let forwarded = go_on(&mut server, &disconnect().octets());
    server.ask(nas(1000), &crate::support::Ask::bob().octets());
    let other = only(server.take_forwarded());
    assert_ne!(other.socket, forwarded.socket);
    // Each keeps its own through a reload.
    assert!(server.reload(&both).is_empty());
    let sockets = server.remote_sockets.len();
    let again = go_on(&mut server, &disconnect().identifier(2).octets());
    assert_eq!((again.socket, server.remote_sockets.len()), (forwarded.socket, sockets));
    // Only the server is asked whether it lives.
    server.run(Duration::from_secs(29));
    let probes = server.take_forwarded();
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe.socket == other.socket), "{probes:?}");
}

#[test]
fn sockets_to_nases_are_closed_when_nothing_has_gone_there_for_a_minute() {
    let mut server = server(SEPARATE);
    let forwarded = go_on(&mut server, &disconnect().octets());
    server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[]));
    server.run(Duration::from_secs(59));
    assert_eq!(server.remote_sockets.len(), 1);
    let second = go_on(&mut server, &disconnect().identifier(2).octets());
    assert_eq!(second.socket, forwarded.socket);
    server.remote_reply(&second, &answer(&second, Code::DisconnectAck, &[]));
    server.run(Duration::from_secs(59));
    assert_eq!(server.remote_sockets.len(), 1);
    server.run(Duration::from_secs(2));
    assert!(server.remote_sockets.is_empty(), "{:?}", server.remote_sockets);
    // One that nobody answered keeps its port until its late answer would do no harm.
    go_on(&mut server, &disconnect().identifier(3).octets());
    server.run(Duration::from_secs(58));
    assert_eq!(server.remote_sockets.len(), 1);
    server.run(Duration::from_secs(10));
    assert!(server.remote_sockets.is_empty(), "{:?}", server.remote_sockets);
    assert_eq!(go_on(&mut server, &disconnect().identifier(4).octets()).remote, forwarded.remote);
    server.assert_nothing_is_left();
}

#[test]
fn a_port_is_not_closed_while_somebody_waits_for_longer_than_that() {
    let mut server = server(&format!("{SEPARATE}[protocol]\nrequest_timeout = \"90s\"\n"));
    let request = disconnect().octets();
    let forwarded = go_on(&mut server, &request);
    server.run(Duration::from_secs(80));
    let again = go_on(&mut server, &request);
    assert_eq!((again.socket, &again.octets), (forwarded.socket, &forwarded.octets));
    let sent = only(server.remote_reply(&again, &answer(&again, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
    server.run(Duration::from_secs(61));
    assert!(server.remote_sockets.is_empty());
    server.assert_nothing_is_left();
}

#[test]
fn while_its_secret_changes_a_nas_is_asked_under_the_newer() {
    let rotating = NASES.replacen(
        "secret = \"a secret of each NAS\"",
        "secret = [\"a secret of each NAS\", \"the one that was before\"]",
        1,
    );
    let mut server = Server::of(&text(SEPARATE, PROXY, &rotating));
    let request = disconnect().octets();
    let forwarded = go_on(&mut server, &request);
    let sent = only(server.remote_reply(&forwarded, &answer(&forwarded, Code::DisconnectAck, &[])));
    assert_eq!(Answer::to(&request, &sent.octets).code, Code::DisconnectAck);
}

#[test]
fn of_thousands_each_is_found() {
    let mut nases = String::new();
    for number in 0..3_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        nases += &format!(
            "[[client]]\nname = \"nas-{number}\"\nnetwork = \"10.9.{high}.{low}\"\nsecret = \"a secret of each NAS\"\n\
             coa_address = \"10.9.{high}.{low}:3799\"\n"
        );
    }
    let mut server = Server::of(&text(SEPARATE, PROXY, &nases));
    for number in [0, 1, 255, 256, 2_999_u32] {
        let name = format!("nas-{number}");
        let ask = ask_of(Code::DisconnectRequest).identifier(number as u8);
        let forwarded = go_on(&mut server, &ask.with(number::NAS_IDENTIFIER, name.as_bytes()).octets());
        let [_, _, high, low] = number.to_be_bytes();
        assert_eq!(forwarded.remote, SocketAddr::from(([10, 9, high, low], 3799)));
    }
    // Of many at once each is sent when its socket is there, in order.
    for number in 100..200_u32 {
        let name = format!("nas-{number}");
        let ask = ask_of(Code::DisconnectRequest).identifier(number as u8);
        let octets = ask.with(number::NAS_IDENTIFIER, name.as_bytes()).octets();
        server.datagram_at(server.owner(nas(1000)), COA, nas(1000), &octets);
    }
    server.settle();
    let gone: Vec<SocketAddr> = server.take_forwarded().iter().map(|forwarded| forwarded.remote).collect();
    let expected: Vec<_> = (100..200).map(|number| SocketAddr::from(([10, 9, 0, number], 3799))).collect();
    assert_eq!(gone, expected);
    // All of them go on through a reload, with what waits there.
    assert!(server.reload(&text(SEPARATE, PROXY, &nases)).is_empty());
    server.run(Duration::from_secs(31));
    server.forget_older();
    server.assert_nothing_is_left();
}
