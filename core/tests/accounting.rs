//! Accounting: one line a request, stored together with those of its turn, answered when it is safe and never before.

mod support;

use serde_json::{Value, json};
use support::{Ask, OTHER_SECRET, Sent, Server, configuration, nas, secret};
use ulna_core::accounting::{Line, Lines};
use ulna_core::discard::Discard;
use ulna_core::effect::NotStored;
use ulna_core::packet::{Code, Framed, number};
use ulna_core::time::UnixTime;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n[accounting.file]\npath = \"a.jsonl\"\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n[accounting.file]\npath = \"a.jsonl\"\n";
const STORE: &str = "[[server.accounting]]\nstore = \"file\"\n";

fn server(settings: &str, rules: &str) -> Server {
    let mut server = Server::of(&configuration(settings, rules));
    server.wall_time(UnixTime(1_795_440_802));
    server
}

fn start(session: &[u8]) -> Ask {
    Ask::accounting().with(number::ACCT_SESSION_ID, session).with(number::USER_NAME, b"bob")
}

/// The record of this request alone.
fn record_by(rules: &str, ask: &Ask) -> Value {
    let mut server = server(SEPARATE, rules);
    assert!(server.ask_accounting(nas(1000), &ask.octets()).is_empty());
    let (octets, sent) = server.store(Ok(()));
    assert_eq!(sent.len(), 1);
    let lines: Vec<_> = Lines::of(&octets).collect();
    let [Line::Whole(line)] = lines[..] else { panic!("{lines:?}") };
    serde_json::from_slice(line).expect("a line is JSON")
}

fn record(ask: &Ask) -> Value {
    record_by(STORE, ask)
}

fn acknowledges(request: &[u8], sent: &Sent) {
    let authenticator = Framed::parse(request).expect("a packet").authenticator();
    let reply = Framed::parse(&sent.octets).expect("a packet");
    assert_eq!(reply.identifier(), request[1]);
    let verified = reply.verify_reply(&secret(), authenticator, false).expect("it verifies");
    assert_eq!(verified.code(), Code::AccountingResponse);
}

// checklist 12
#[test]
fn it_is_answered_when_its_record_is_safe_and_duplicates_get_the_same() {
    for layout in [SEPARATE, JOINED] {
        let mut server = server(layout, STORE);
        let request =
            start(b"1").with(number::PROXY_STATE, b"one").with(number::PROXY_STATE, b"two").octets();
        for _ in 0..3 {
            assert!(server.ask_accounting(nas(1000), &request).is_empty());
        }
        assert_eq!((server.effects.len(), server.count("duplicates_in_progress")), (1, 2));
        assert_eq!((server.count("requests_held"), server.count("records")), (1, 0));
        let (_, sent) = server.store(Ok(()));
        assert_eq!(sent.len(), 1);
        acknowledges(&request, &sent[0]);
        let reply = Framed::parse(&sent[0].octets).expect("a packet");
        assert_eq!(reply.proxy_states().collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(reply.attributes().count(), 2, "nothing else, no Message-Authenticator either");
        assert_eq!(server.ask_accounting(nas(1000), &request)[0].octets, sent[0].octets);
        assert_eq!((server.count("records"), server.effects.len()), (1, 0));
        server.assert_nothing_is_left();
    }
}

#[test]
fn those_of_one_turn_are_stored_together_and_all_answered() {
    let mut server = server(SEPARATE, STORE);
    let requests: Vec<_> = (0..20).map(|number| start(b"1").identifier(number).octets()).collect();
    for request in &requests {
        server.datagram_at(0, 1, nas(1000), request);
    }
    server.settle();
    assert_eq!((server.effects.len(), server.count("effects")), (1, 1));
    let (octets, sent) = server.store(Ok(()));
    assert_eq!((Lines::of(&octets).count(), sent.len()), (20, 20));
    for (request, sent) in requests.iter().zip(&sent) {
        acknowledges(request, sent);
    }
    server.assert_nothing_is_left();
}

#[test]
fn many_of_one_turn_go_in_batches_of_a_bounded_size() {
    let mut server = server(SEPARATE, STORE);
    let long = vec![b'x'; 250];
    for number in 0..=255 {
        let ask = (0..15).fold(start(b"1"), |ask, _| ask.with(number::CLASS, &long));
        server.datagram_at(0, 1, nas(1000), &ask.identifier(number).octets());
    }
    server.settle();
    let mut records = 0;
    while !server.effects.is_empty() {
        let (octets, sent) = server.store(Ok(()));
        assert!(octets.len() < 300 * 1024, "{}", octets.len());
        assert_eq!(Lines::of(&octets).count(), sent.len());
        records += sent.len();
    }
    assert_eq!(records, 256);
    server.assert_nothing_is_left();
}

// checklist 12
#[test]
fn what_is_not_safe_is_not_answered_and_its_retransmission_stored_anew() {
    let mut server = server(SEPARATE, STORE);
    let request = start(b"1").octets();
    server.ask_accounting(nas(1000), &request);
    let (first, sent) = server.store(Err(NotStored));
    assert!(sent.is_empty());
    assert_eq!(server.discarded(Discard::NotStored), 1);
    server.ask_accounting(nas(1000), &request);
    assert!(server.shed_effect().is_empty());
    assert_eq!(server.discarded(Discard::StoreLineFull), 1);
    server.ask_accounting(nas(1000), &request);
    let (again, sent) = server.store(Ok(()));
    assert_eq!((sent.len(), again), (1, first));
    server.assert_nothing_is_left();
}

#[test]
fn superseded_in_the_turn_in_which_it_was_read_it_is_stored_and_not_answered() {
    let mut server = server(JOINED, STORE);
    let (old, new) = (start(b"1").octets(), start(b"2").octets());
    server.datagram_at(0, 1, nas(1000), &old);
    server.datagram_at(0, 1, nas(1000), &new);
    server.settle();
    while !server.effects.is_empty() {
        let (_, sent) = server.store(Ok(()));
        sent.iter().for_each(|sent| acknowledges(&new, sent));
    }
    assert_eq!((server.count("superseded"), server.count("records")), (1, 1));
    server.assert_nothing_is_left();
}

#[test]
fn without_a_rule_that_matches_nothing_is_stored() {
    let mut server =
        server(SEPARATE, "[[server.accounting]]\nwhen = { User-Name = \"eve\" }\nstore = \"file\"\n");
    server.ask_accounting(nas(1000), &start(b"1").octets());
    assert_eq!((server.effects.len(), server.discarded(Discard::NoAccountingRule)), (0, 1));
    server.assert_nothing_is_left();
}

#[test]
fn each_kind_of_value_is_written_as_its_kind() {
    let ask = Ask::accounting()
        .with(number::USER_NAME, "J\u{f6}rg \"x\"\\\n\u{7f}".as_bytes())
        .with(number::NAS_IP_ADDRESS, &[192, 0, 2, 7])
        .with(number::NAS_IPV6_ADDRESS, &[0; 16])
        .with(number::NAS_PORT, &[0, 0, 1, 0])
        .with(number::EVENT_TIMESTAMP, &[0x6a, 0xff, 0xff, 0xff])
        .with(number::CALLING_STATION_ID, b"not \xff UTF-8")
        .with(number::CLASS, &[0, 255])
        .with(number::NAS_IDENTIFIER, b"")
        .with(64, &[1, 0, 0, 3])
        .with(97, &[0, 32, 0x20, 1, 0x0d, 0xb8])
        .with(200, b"?")
        .with(number::VENDOR_SPECIFIC, &[0, 0, 0x7f, 0xff, 9, 3, 5]);
    let mut record = record(&ask);
    let keys = record.as_object_mut().expect("an object");
    let check = keys.remove("check").expect("it has one");
    assert_eq!(check.as_str().map(str::len), Some(8));
    let digest = keys.remove("digest").expect("it has one");
    assert_eq!(digest.as_str().map(str::len), Some(32));
    assert_eq!(
        record,
        json!({
            "received": "2026-11-23T13:33:22Z",
            "client": "branch",
            "listener": "accounting",
            "remote": nas(1000).to_string(),
            "User-Name": "J\u{f6}rg \"x\"\\\n\u{7f}",
            "NAS-IP-Address": "192.0.2.7",
            "NAS-Port": 256,
            "Class": "0x00ff",
            "Calling-Station-Id": "0x6e6f7420ff205554462d38",
            "NAS-Identifier": "0x",
            "Acct-Status-Type": "Start",
            "Event-Timestamp": "2026-11-20T08:08:31Z",
            "Tunnel-Type:1": "L2TP",
            "NAS-IPv6-Address": "::",
            "Framed-IPv6-Prefix": "2001:db8::/32",
            "Attr-26.32767.9": "0x05",
            "Attr-200": "0x3f",
        })
    );
}

// checklist 33
#[test]
fn several_of_one_attribute_are_an_array_in_their_order() {
    let ask = start(b"1").with(number::CLASS, b"b").with(number::NAS_PORT, &[0; 4]).with(number::CLASS, b"a");
    assert_eq!(record(&ask)["Class"], json!(["0x62", "0x61"]));
}

// checklist 15
#[test]
fn gigawords_and_octets_are_also_one_number() {
    let ask = start(b"1")
        .with(number::ACCT_INPUT_OCTETS, &[0, 0, 0, 5])
        .with(number::ACCT_INPUT_GIGAWORDS, &[0, 0, 0, 1])
        .with(number::ACCT_OUTPUT_OCTETS, &[0, 0, 0, 7]);
    let record = record(&ask);
    assert_eq!((&record["input_octets"], &record["output_octets"]), (&json!(0x1_0000_0005_u64), &json!(7)));
    assert_eq!((&record["Acct-Input-Octets"], &record["Acct-Input-Gigawords"]), (&json!(5), &json!(1)));
}

// checklist 13
#[test]
fn what_belongs_into_access_requests_or_is_secret_is_left_out() {
    let vendor = |vendor_type: u8, length: u8| {
        [&[0, 0, 1, 0x37, vendor_type, length + 2][..], &vec![0xaa; usize::from(length)]].concat()
    };
    // Signed: an EAP-Message asks for it.
    let ask = Ask::of(Code::AccountingRequest)
        .with(number::ACCT_STATUS_TYPE, &[0, 0, 0, 1])
        .with(number::ACCT_SESSION_ID, b"1")
        .with(number::USER_NAME, b"bob")
        .with(number::USER_PASSWORD, &[0xaa; 16])
        .with(number::CHAP_PASSWORD, &[0xaa; 17])
        .with(number::CHAP_CHALLENGE, &[0xaa; 16])
        .with(number::REPLY_MESSAGE, b"hello")
        .with(number::STATE, &[0xaa; 16])
        .with(number::EAP_MESSAGE, &[0xaa; 16])
        .with(number::PROXY_STATE, &[0xaa; 16])
        .with(number::TUNNEL_PASSWORD, &[0xaa; 19])
        // MS-CHAP-Response, MS-CHAP-Challenge, MS-MPPE-Send-Key, MS-CHAP2-Response.
        .with(number::VENDOR_SPECIFIC, &vendor(1, 50))
        .with(number::VENDOR_SPECIFIC, &vendor(11, 16))
        .with(number::VENDOR_SPECIFIC, &vendor(16, 34))
        .with(number::VENDOR_SPECIFIC, &vendor(25, 50))
        .with(number::CLASS, b"stays");
    let record = record(&ask);
    let keys: Vec<_> = record.as_object().expect("an object").keys().map(String::as_str).collect();
    let ours = ["received", "client", "listener", "remote", "digest", "check"];
    let theirs = ["User-Name", "Class", "Acct-Status-Type", "Acct-Session-Id"];
    assert!(keys.iter().all(|key| ours.contains(key) || theirs.contains(key)), "{keys:?}");
    assert_eq!(keys.len(), ours.len() + theirs.len());
    assert!(!record.to_string().contains("aaaa"));
}

// checklist 16
#[test]
fn accounting_on_and_off_need_no_user_name() {
    for (status, name) in [(7, "Accounting-On"), (8, "Accounting-Off")] {
        let ask = Ask::of(Code::AccountingRequest).unsigned();
        let ask = ask.with(number::ACCT_STATUS_TYPE, &[0, 0, 0, status]);
        let record = record(&ask.with(number::NAS_IDENTIFIER, b"nas"));
        assert_eq!(record["Acct-Status-Type"], name);
        assert_eq!(record.get("User-Name"), None);
    }
}

// checklist 14
#[test]
fn the_digest_tells_events_apart_and_not_retransmissions() {
    let digest = |ask: &Ask| record(ask)["digest"].as_str().expect("text").to_owned();
    let event = start(b"1").with(number::EVENT_TIMESTAMP, &[0, 0, 0, 1]);
    // A raised Acct-Delay-Time asks for a new Identifier, hence authenticator; another way has other Proxy-States.
    let again = Ask::accounting()
        .identifier(77)
        .with(number::PROXY_STATE, b"another")
        .with(number::ACCT_SESSION_ID, b"1")
        .with(number::ACCT_DELAY_TIME, &[0, 0, 0, 9])
        .with(number::USER_NAME, b"bob")
        .with(number::EVENT_TIMESTAMP, &[0, 0, 0, 1]);
    assert_eq!(digest(&event), digest(&again));
    let later = start(b"1").with(number::EVENT_TIMESTAMP, &[0, 0, 0, 2]);
    assert_ne!(digest(&event), digest(&later));
    assert_ne!(digest(&event), digest(&start(b"1")));
    // Rules change what is recorded, not which event it is.
    let edited = format!("{STORE}remove_request = [\"User-Name\"]\n");
    let edited = record_by(&edited, &event);
    assert_eq!((edited["digest"].as_str(), edited.get("User-Name")), (Some(&*digest(&event)), None));
}

// checklist 11
#[test]
fn forged_accounting_is_not_recorded() {
    let mut server = server(SEPARATE, STORE);
    assert_ne!(OTHER_SECRET, support::SECRET);
    assert!(server.ask_accounting(nas(1000), &start(b"1").forged().octets()).is_empty());
    assert_eq!((server.effects.len(), server.discarded(Discard::BadRequestAuthenticator)), (0, 1));
    server.assert_nothing_is_left();
}
