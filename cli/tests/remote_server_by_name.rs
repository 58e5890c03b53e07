//! A remote server that is known by name, by the resolver of this machine: RFC 6761 §6.3 says what `localhost` is everywhere.

mod support;

use std::net::UdpSocket;

use support::{Nas, PATIENCE, SECRET, Ulna, bob, code_of_reply, configuration, secret};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, number};

#[test]
fn a_request_goes_to_where_the_name_leads_and_its_reply_comes_back() {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    remote.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let port = remote.local_addr().expect("it is bound").port();
    let local = configuration("\"127.0.0.1:0\"", "\"127.0.0.1:0\"", "")
        .replace("authenticate = \"users\"", "proxy = \"farm\"");
    let servers = format!(
        "[[remote_server]]\nname = \"here\"\naddress = \"localhost:{port}\"\nsecret = \"{SECRET}\"\n\
         source_address = \"127.0.0.1\"\n[[pool]]\nname = \"farm\"\nremote_servers = [\"here\"]\n"
    );
    let ulna = Ulna::start(&(local + &servers));
    ulna.wait_for(0, "its address", |text| {
        let line = text.lines().find(|line| line.contains("remote-server-address"))?;
        (line.contains("here") && line.contains(&format!("127.0.0.1:{port}"))).then_some(())
    });

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
    let counters = ulna.counters();
    assert_eq!((counters["resolutions"], counters["remote_addresses_changed"]), (1, 1), "{counters:#?}");
    ulna.stop();
}
