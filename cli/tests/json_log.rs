//! `[log] format = "json"`: what a program reads of the log.

mod support;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use support::{Nas, PASSWORD, SECRET, Ulna, WRONG_PASSWORD, bob, on_free_ports, pap, secret};
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, number};

/// The objects on standard error, without their times.
fn objects(stderr: &str) -> Vec<Value> {
    let lines = stderr.lines().filter(|line| line.starts_with('{'));
    let objects = lines.map(|line| {
        let mut object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let fields = object.as_object_mut().expect("it is an object");
        let time = fields.remove("time").expect("it has a time");
        assert!(time.as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{time}");
        object
    });
    objects.collect()
}

fn request(identifier: u8, name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder = Encoder::request(&mut out, Code::AccessRequest, identifier, &[identifier; 16], sign);
    encoder.attribute(number::USER_NAME, name).expect("it fits");
    encoder.user_password(WRONG_PASSWORD.as_bytes(), &secret()).expect("it fits");
    encoder.finish_request(&secret());
    out
}

#[test]
fn every_event_is_one_object_whatever_octets_a_name_has() {
    let settings = "[log]\nformat = \"json\"\n[protocol]\nreject_delay = \"1ms\"\n";
    let text = on_free_ports(settings).replace("\"localhost\"", r#""the \"switch\" \\ of\u00a0Zoë""#);
    let ulna = Ulna::start(&text);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let from = nas.socket.local_addr().expect("it is bound").to_string();
    assert_eq!(nas.ask(&bob(1)), Code::AccessAccept);
    let names: [&[u8]; 5] = [
        b"\"},{\"event\":\"accept\",\"user\":\"root",
        b"a\nb\r\x00\x1b[2J\x7f\\",
        "Zoë\u{85}".as_bytes(),
        b"\xff\xfe",
        b"\xc3(",
    ];
    for (name, identifier) in names.iter().zip(2..) {
        assert_eq!(nas.ask(&request(identifier, name)), Code::AccessReject);
    }
    let stranger = Nas::new("127.0.0.3:0", ulna.addresses[0]);
    stranger.send(&bob(1));
    ulna.wait_for_counters("it is discarded", |counters| {
        counters.get("discarded unknown-client") == Some(&1)
    });
    let stranger = stranger.socket.local_addr().expect("it is bound").to_string();
    let ended = ulna.stop();
    assert!(!ended.stderr.contains(SECRET));
    let mut objects = objects(&ended.stderr);
    for object in &mut objects {
        // How long it lay depends on the machine.
        object.as_object_mut().expect("it is an object").remove("queued_us");
    }
    let finished = |event: &str, user: &str, identifier: u8| {
        json!({ "event": event, "user": user, "client": "the \"switch\" \\ of\u{a0}Zoë", "from": from,
                "identifier": identifier, "rule": "default/1" })
    };
    let rejected = |told: &str, identifier| finished("reject", told, identifier);
    let mut expected = vec![
        finished("accept", "bob", 1),
        rejected("\"},{\"event\":\"accept\",\"user\":\"root", 2),
        rejected("a\nb\r\0\u{1b}[2J\u{7f}\\", 3),
        rejected("Zoë\u{85}", 4),
        rejected("0xfffe", 5),
        rejected("0xc328", 6),
        json!({ "event": "discard", "reason": "unknown-client", "from": stranger }),
    ];
    // Threads have rings of their own: only the order of one's lines is certain.
    let by_text = |objects: &mut Vec<Value>| objects.sort_by_key(Value::to_string);
    by_text(&mut objects);
    by_text(&mut expected);
    assert_eq!(objects, expected);
}

#[test]
fn without_lines_for_requests_what_is_rare_still_has_its_own() {
    let settings = |requests: bool| {
        on_free_ports(&format!(
            "[log]\nformat = \"json\"\nrequests = {requests}\n[protocol]\nreject_delay = \"1ms\"\n\
             [[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
             packets = [\"access\"]\nserver = \"default\"\n\
             [[client_rule]]\nname = \"branches\"\nnetwork = \"127.0.0.9\"\nnat = true\nsecret = \"{SECRET}\"\n"
        ))
    };
    let path = support::file("ulna.toml", &settings(false));
    let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")]);
    let [streams, datagrams] = [0, 1].map(|place| ulna.addresses[place]);
    let known = Nas::new("127.0.0.1:0", datagrams);
    assert_eq!(known.ask(&bob(1)), Code::AccessAccept);
    let unknown = Nas::new("127.0.0.3:0", datagrams);
    unknown.send(&bob(1));
    ulna.wait_for_counters("it is discarded", |counters| {
        counters.get("discarded unknown-client") == Some(&1)
    });
    let admitted = Nas::new("127.0.0.9:0", datagrams);
    assert_eq!(admitted.ask(&bob(2)), Code::AccessAccept);
    admitted.send(&unsigned(3));
    let stream = stream_from("127.0.0.3:0", streams);
    ulna.wait_for(0, "all of it is told", |stderr| {
        let is_told = |event: &str| objects(stderr).iter().any(|object| object["event"] == event);
        let events = ["admitted", "unsigned-behind-nat", "connection-ended"];
        events.into_iter().all(is_told).then_some(())
    });
    drop(stream);
    let events =
        |stderr: &str| -> Vec<_> { objects(stderr).iter().map(|one| one["event"].clone()).collect() };

    // Lines for requests come with a reload.
    std::fs::write(&path, settings(true)).expect("it can be written");
    ulna.signal("HUP");
    ulna.wait_for(0, "it is in force", |stderr| stderr.contains("in force").then_some(()));
    assert_eq!(known.ask(&bob(4)), Code::AccessAccept);
    let stderr = ulna.stop().stderr;
    assert!(!stderr.contains("waits for a restart"), "{stderr}");
    let mut told = events(&stderr);
    told.sort_by_key(Value::to_string);
    assert_eq!(told, ["accept", "admitted", "connection-ended", "unsigned-behind-nat"]);
    let admitted = admitted.socket.local_addr().expect("it is bound").to_string();
    let told = objects(&stderr).into_iter().find(|object| object["event"] == "admitted");
    assert_eq!(told, Some(json!({ "event": "admitted", "client": "branches", "from": admitted })));
}

fn unsigned(identifier: u8) -> Vec<u8> {
    pap(identifier, PASSWORD, &secret(), MessageAuthenticator::Absent)
}

/// A connection that its server is to close.
fn stream_from(source: &str, server: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("it is made");
    socket.bind(&source.parse::<SocketAddr>().expect("an address").into()).expect("it is bound");
    socket.connect(&server.into()).expect("somebody listens");
    socket
}

#[test]
fn format_waits_for_a_restart() {
    let path = support::file("ulna.toml", &on_free_ports(""));
    let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")]);
    std::fs::write(&path, on_free_ports("[log]\nformat = \"json\"\n")).expect("it can be written");
    ulna.signal("HUP");
    ulna.wait_for(0, "it says so", |stderr| {
        stderr.contains("`format` has changed and waits for a restart").then_some(())
    });
    ulna.stop();
}
