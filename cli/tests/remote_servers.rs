//! Where remote servers are: at an address of either family, or where the resolver of this machine says; RFC 6761 §6.3 says what
//! `localhost` is everywhere.

mod support;

use std::net::UdpSocket;

use support::{Nas, PATIENCE, SECRET, Ulna, bob, code_of_reply, configuration, secret};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, number};

/// A socket at a free port of this host, which answers for a remote server.
fn remote(host: &str) -> (UdpSocket, u16) {
    let remote = UdpSocket::bind((host, 0)).expect("a free port");
    remote.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let port = remote.local_addr().expect("it is bound").port();
    (remote, port)
}

/// Sends all requests on to a server that is "here".
fn forwarding_to(address: &str) -> Ulna {
    let local = configuration("\"127.0.0.1:0\"", "\"127.0.0.1:0\"", "")
        .replace("authenticate = \"users\"", "proxy = \"farm\"");
    let servers = format!(
        "[[pool]]\nname = \"farm\"\nremote_servers = [\"here\"]\n\
         [[remote_server]]\nname = \"here\"\nsecret = \"{SECRET}\"\naddress = {address}\n"
    );
    Ulna::start(&(local + &servers))
}

/// A request reaches the server and its accept comes back.
fn a_request_goes_there_and_back(ulna: &Ulna, remote: &UdpSocket) {
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let request = bob(1);
    nas.send(&request);
    let mut octets = [0; 4096];
    let (length, from) = remote.recv_from(&mut octets).expect("it is forwarded");
    let forwarded = Framed::parse(&octets[..length]).expect("a packet");
    let mut reply = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::reply(&mut reply, Code::AccessAccept, forwarded.identifier(), sign);
    for state in forwarded.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    encoder.finish_reply(&secret(), forwarded.authenticator());
    remote.send_to(&reply, from).expect("loopback takes it");
    assert_eq!(code_of_reply(&request, &nas.receive()), Code::AccessAccept);
}

#[test]
fn a_request_goes_to_where_the_name_leads_and_its_reply_comes_back() {
    let (remote, port) = remote("127.0.0.1");
    let ulna = forwarding_to(&format!("\"localhost:{port}\"\nsource_address = \"127.0.0.1\""));
    ulna.wait_for(0, "its address", |text| {
        let line = text.lines().find(|line| line.contains("remote-server-address"))?;
        (line.contains("here") && line.contains(&format!("127.0.0.1:{port}"))).then_some(())
    });
    a_request_goes_there_and_back(&ulna, &remote);
    let counters = ulna.counters();
    assert_eq!((counters["resolutions"], counters["remote_addresses_changed"]), (1, 1), "{counters:#?}");
    ulna.stop();
}

// checklist 17
#[test]
fn a_remote_server_is_asked_over_ipv6() {
    let (remote, port) = remote("::1");
    let ulna = forwarding_to(&format!("\"[::1]:{port}\"\nsource_address = \"::1\""));
    a_request_goes_there_and_back(&ulna, &remote);
    ulna.stop();
}
