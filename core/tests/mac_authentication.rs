//! Devices that are known by their hardware address: what NASes send about them, and that a device is no user nor a user a
//! device. RFC 2865 §5.6, §5.31; RFC 3580 §3.21.

mod support;

use md5::{Digest, Md5};
use std::time::Duration;
use support::mschap;
use support::{Ask, Reply, SECRET, Server, configuration, nas};
use ulna_core::packet::{Code, number};

const DELAY: Duration = Duration::from_secs(1);
const CALL_CHECK: [u8; 4] = [0, 0, 0, 10];

/// Devices where the NAS says Ethernet, users elsewhere.
const RULES: &str = r#"
[[server.new]]
when = { NAS-Identifier = "devices" }
authenticate = "mac"
[[server.new]]
authenticate = "users"
[[user]]
mac = ["00-11-22-AA-BB-CC", "0011.22aa.bbcd"]
reply = { Session-Timeout = 60 }
[[user]]
name = "001122aabbee"
password = "001122aabbee"
"#;

fn server() -> Server {
    Server::of(&configuration("[runtime]\nworkers = 1\n", RULES))
}

/// Whether the device is let in; the attributes are then its own.
fn is_accepted(server: &mut Server, request: &Ask) -> bool {
    let octets = request.octets();
    server.sent.clear();
    server.ask(nas(1000), &octets);
    if server.sent.is_empty() {
        server.run(DELAY);
    }
    let reply = Reply::to(&octets, &server.sent[0].octets);
    // Out of reach of the duplicates of the next request.
    server.run(Duration::from_secs(70));
    let accepted = reply.code == Code::AccessAccept;
    let expected: &[[u8; 4]] = if accepted { &[[0, 0, 0, 60]] } else { &[] };
    assert_eq!(reply.values(number::SESSION_TIMEOUT), expected);
    accepted
}

fn named(name: &str) -> Ask {
    Ask::of(Code::AccessRequest).with(number::USER_NAME, name.as_bytes())
}

fn devices(ask: Ask) -> Ask {
    ask.with(number::NAS_IDENTIFIER, b"devices")
}

fn pap(name: &str, password: &str) -> Ask {
    devices(Ask::user(name.as_bytes(), password.as_bytes()))
}

fn chap(name: &str, password: &str) -> Ask {
    let digest = Md5::new().chain_update([9]).chain_update(password).chain_update([1; 16]).finalize();
    devices(named(name)).with(number::CHAP_PASSWORD, &[&[9], digest.as_slice()].concat())
}

#[test]
fn the_password_is_the_address_in_whichever_way_both_are_written() {
    let ways = ["00-11-22-aa-bb-cc", "00:11:22:AA:BB:CC", "0011.22aa.bbcc", "001122AABBCC", "001122-aabbcc"];
    let mut server = server();
    for name in ways {
        for password in ways {
            assert!(is_accepted(&mut server, &pap(name, password)), "{name} {password}");
            assert!(is_accepted(&mut server, &chap(name, password)), "CHAP {name} {password}");
        }
        for wrong in ["001122aabbcd", "001122aabbc", "hello", "001122aabbccx"] {
            assert!(!is_accepted(&mut server, &pap(name, wrong)), "{name} {wrong}");
            assert!(!is_accepted(&mut server, &chap(name, wrong)), "CHAP {name} {wrong}");
        }
    }
    assert!(is_accepted(&mut server, &pap("001122aabbcd", "00-11-22-AA-BB-CD")));
    // As it was sent, letters of both cases.
    assert!(is_accepted(&mut server, &chap("00-11-22-aA-Bb-cc", "00-11-22-aA-Bb-cc")));
    for unknown in ["001122aabbce", "001122aabbc", "bob", "", "001122aabbcc "] {
        assert!(!is_accepted(&mut server, &pap(unknown, "001122aabbcc")), "{unknown}");
        assert!(!is_accepted(&mut server, &pap(unknown, unknown)), "{unknown}");
    }
    server.assert_nothing_is_left();
}

#[test]
fn the_shared_secret_is_a_password_too_and_no_other_is() {
    let mut server = server();
    let secret = std::str::from_utf8(SECRET).expect("text");
    assert!(is_accepted(&mut server, &pap("001122aabbcc", secret)));
    assert!(!is_accepted(&mut server, &pap("001122aabbcc", &secret[1..])));
    assert!(!is_accepted(&mut server, &pap("001122aabbee", secret)));
}

#[test]
fn without_a_password_only_a_call_check_is_accepted() {
    let mut server = server();
    let check = |ask: Ask| ask.with(number::SERVICE_TYPE, &CALL_CHECK);
    let name = "001122aabbcc";
    for no_password in [devices(named(name)), pap(name, "")] {
        assert!(is_accepted(&mut server, &check(no_password.clone())));
        assert!(!is_accepted(&mut server, &no_password));
        let framed = no_password.with(number::SERVICE_TYPE, &[0, 0, 0, 2]);
        assert!(!is_accepted(&mut server, &framed));
    }
    // A wrong password stays wrong.
    assert!(!is_accepted(&mut server, &check(pap(name, "hello"))));
    assert!(!is_accepted(&mut server, &check(chap(name, ""))));
    assert!(!is_accepted(&mut server, &check(devices(named("001122aabbee")))));
}

#[test]
fn the_calling_station_is_the_device() {
    let mut server = server();
    let from = |station: &[u8]| pap("001122aabbcc", "001122aabbcc").with(number::CALLING_STATION_ID, station);
    for station in [&b"00-11-22-AA-BB-CC"[..], b"001122aabbcc", b"00-11-22-AA-BB-CC:campus"] {
        assert!(is_accepted(&mut server, &from(station)), "{}", station.escape_ascii());
    }
    // Somebody has typed the address of a device as a name.
    for station in [&b"00-11-22-AA-BB-CD"[..], b"192.0.2.1", b"00-11-22-AA-BB-CCx"] {
        assert!(!is_accepted(&mut server, &from(station)), "{}", station.escape_ascii());
    }
    let two = from(b"00-11-22-AA-BB-CC").with(number::CALLING_STATION_ID, b"00-11-22-AA-BB-CD");
    assert!(!is_accepted(&mut server, &two));
}

#[test]
fn a_device_is_no_user_and_a_user_no_device() {
    let mut server = server();
    let user = |name: &str, password: &str| Ask::user(name.as_bytes(), password.as_bytes());
    // The device, where users are asked for.
    for password in ["001122aabbcc", "00-11-22-AA-BB-CC", ""] {
        let request = user("001122aabbcc", password).with(number::SERVICE_TYPE, &CALL_CHECK);
        assert!(!is_accepted(&mut server, &request));
        assert!(!is_accepted(&mut server, &user("00-11-22-AA-BB-CC", password)));
    }
    // Users, one with a name like a device's, where devices are.
    assert!(!is_accepted(&mut server, &pap("001122aabbee", "001122aabbee")));
    assert!(!is_accepted(&mut server, &pap("bob", "hello")));
}

#[test]
fn eap_and_mschap_are_not_answered_for_a_device() {
    let mut server = server();
    let name = "001122aabbcc";
    let call_check = || devices(named(name)).with(number::SERVICE_TYPE, &CALL_CHECK);
    assert!(is_accepted(&mut server, &call_check()));
    let with_mschap = call_check().with_raw(&mschap::attributes(name.as_bytes(), name));
    assert!(!is_accepted(&mut server, &with_mschap));
    let octets = call_check().with(number::EAP_MESSAGE, &[2, 7, 0, 5, 1]).octets();
    server.sent.clear();
    server.ask(nas(1000), &octets);
    server.run(DELAY);
    assert_eq!(Reply::to(&octets, &server.sent[0].octets).code, Code::AccessReject);
}
