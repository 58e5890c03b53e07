//! `[log] format = "json"`: what a program reads of the log.

mod support;

use serde_json::{Value, json};
use support::{Nas, SECRET, Ulna, WRONG_PASSWORD, bob, on_free_ports, secret};
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
