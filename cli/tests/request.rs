//! `ulna request`: what it sends, octet for octet, what it believes, what it says, and how it ends.

mod support;

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use support::{
    PASSWORD, PATIENCE, SECRET, Ulna, WRONG_PASSWORD, assert_tells_no_secret, file, on_free_ports, run,
    secret,
};
use ulna_core::packet::hidden::{Hop, hide_salted, hide_user_password};
use ulna_core::packet::{
    Code, Encoder, Framed, Landmark, MessageAuthenticator, Requirements, Secret, number,
};

/// A run of the binary, as text.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |octets| String::from_utf8(octets).expect("it prints UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Asks with the secret of these tests in a file.
fn ask(server: SocketAddr, arguments: &[&str]) -> Ran {
    let path = file("secret", &format!("{SECRET}\n"));
    let server = server.to_string();
    let mut all = vec!["request", "--server", &server, "--secret-file", path.to_str().expect("UTF-8")];
    all.extend_from_slice(arguments);
    run(&all).into()
}

/// The same with this on its standard input.
fn ask_with_input(server: SocketAddr, input: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
    command.args(["request", "--server", &server.to_string()]).args(arguments).env("ULNA_SECRET", SECRET);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary starts");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads its input");
    let ran: Ran = child.wait_with_output().expect("it ends by itself").into();
    assert_tells_no_secret(&(ran.stdout.clone() + &ran.stderr));
    ran
}

/// A server of the test's own: for each request, in order, these datagrams.
type Answers = Vec<Box<dyn FnOnce(&[u8]) -> Vec<Vec<u8>> + Send>>;

/// What came, in order, and from where.
type Requests = JoinHandle<Vec<(Vec<u8>, SocketAddr)>>;

/// Starts it. Its end gives the requests that came, and from which ports.
fn server(address: &str, answers: Answers) -> (SocketAddr, Requests) {
    let socket = UdpSocket::bind(address).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let local = socket.local_addr().expect("it is bound");
    let thread = std::thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| {
                let mut octets = [0; 5000];
                let (length, from) = socket.recv_from(&mut octets).expect("a request comes");
                for datagram in answer(&octets[..length]) {
                    socket.send_to(&datagram, from).expect("loopback takes it");
                }
                (octets[..length].to_vec(), from)
            })
            .collect()
    });
    (local, thread)
}

/// A signed reply to these octets.
fn reply(
    request: &[u8],
    code: Code,
    sign: MessageAuthenticator,
    attributes: &[(u8, &[u8])],
    with: &Secret,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request[1], sign);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    encoder.finish_reply(with, request[4..20].try_into().expect("16 octets"));
    out
}

fn signed(request: &[u8], code: Code) -> Vec<u8> {
    reply(request, code, MessageAuthenticator::First, &[], &secret())
}

/// What arrives at a server that answers nothing.
fn sent(arguments: &[&str]) -> Vec<u8> {
    let (address, requests) = server("127.0.0.1:0", vec![Box::new(|_| vec![])]);
    let ran = ask(address, &[&["--timeout", "1ms", "--retries", "0"], arguments].concat());
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{}", ran.stderr);
    requests.join().expect("it only answers").remove(0).0
}

fn user_password(password: &str) -> String {
    format!("User-Password = \"{password}\"")
}

#[test]
fn our_own_server_accepts_and_rejects_pap_and_chap_over_both_families() {
    let ulna = Ulna::start(&on_free_ports(
        // More wrong passwords than one user may try.
        "[protocol]\nreject_delay = \"10ms\"\nfailures_max = 0\n",
    ));
    for address in &ulna.addresses[..2] {
        for chap in [&["--chap"][..], &[]] {
            for place in ["off", "first", "last"] {
                let ask = |password: &str| {
                    let password = user_password(password);
                    let switches = [chap, &["--message-authenticator", place]].concat();
                    ask(*address, &[&switches[..], &["auth", "User-Name = bob", &password]].concat())
                };
                let accepted = ask(PASSWORD);
                assert_eq!(accepted.code, Some(0), "{}{}", accepted.stdout, accepted.stderr);
                let first = accepted.stdout.lines().next().expect("a line");
                assert!(first.starts_with("Access-Accept identifier "), "{first}");
                assert!(first.contains(&format!(" from {address}, 51 octets, after ")), "{first}");
                assert!(first.ends_with(" ms, verified"), "{first}");
                assert!(
                    accepted.stdout.ends_with("\n    Reply-Message = \"Hello, bob.\"\n"),
                    "{}",
                    accepted.stdout
                );
                let rejected = ask(WRONG_PASSWORD);
                assert_eq!(rejected.code, Some(1), "{}{}", rejected.stdout, rejected.stderr);
                assert!(rejected.stdout.starts_with("Access-Reject "), "{}", rejected.stdout);
                assert_eq!(accepted.stderr + &rejected.stderr, "");
            }
        }
    }
    let counters = ulna.counters();
    assert_eq!((counters["accepts"], counters["rejects"], counters["accepted_unsigned"]), (12, 12, 8));
    for (address, name) in
        [(ulna.addresses[0], "Access-Accept "), (ulna.addresses[2], "Accounting-Response ")]
    {
        let ran = ask(address, &["status"]);
        assert!(ran.code == Some(0) && ran.stdout.starts_with(name), "{}{}", ran.stdout, ran.stderr);
    }
    ulna.stop();
}

#[test]
fn the_request_of_rfc_2865_section_7_1_octet_for_octet() {
    // checklist 9
    let (address, requests) = server("127.0.0.1:0", vec![Box::new(|_| vec![])]);
    let server = address.to_string();
    run(&[
        "request",
        "--server",
        &server,
        "--secret",
        "xyzzy5461",
        "--timeout",
        "1ms",
        "--retries",
        "0",
        "--identifier",
        "0",
        "--authenticator",
        "0f403f9473978057bd83d5cb98f4227a",
        "--message-authenticator",
        "off",
        "auth",
        "User-Name = nemo, User-Password = arctangent",
        "NAS-IP-Address=192.168.1.16",
        "NAS-Port=3",
    ]);
    let expected = [
        0x01, 0x00, 0x00, 0x38, 0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98,
        0xf4, 0x22, 0x7a, 0x01, 0x06, 0x6e, 0x65, 0x6d, 0x6f, 0x02, 0x12, 0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4,
        0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee, 0x04, 0x06, 0xc0, 0xa8, 0x01, 0x10, 0x05,
        0x06, 0x00, 0x00, 0x00, 0x03,
    ];
    assert_eq!(requests.join().expect("it only answers")[0].0, expected);
}

#[test]
fn every_kind_verifies_as_a_server_verifies_it() {
    for (kind, code, is_signed) in [
        ("auth", Code::AccessRequest, true),
        ("accounting", Code::AccountingRequest, false),
        ("status", Code::StatusServer, true),
        ("coa", Code::CoaRequest, false),
        ("disconnect", Code::DisconnectRequest, false),
        ("4", Code::AccountingRequest, false),
    ] {
        for place in [None, Some("off"), Some("first"), Some("last")] {
            let switches = place.map_or(vec![], |place| vec!["--message-authenticator", place]);
            let octets = sent(&[&switches[..], &[kind, "User-Name = bob", "NAS-Port = 7"]].concat());
            let framed = Framed::parse(&octets).expect("it is a packet");
            assert_eq!(framed.code(), Some(code));
            let numbers: Vec<u8> = framed.attributes().map(|attribute| attribute.number).collect();
            let expected: &[u8] = match place {
                Some("first") => &[80, 1, 5],
                Some("last") => &[1, 5, 80],
                None if is_signed => &[80, 1, 5],
                _ => &[1, 5],
            };
            assert_eq!(numbers, expected, "{kind} {place:?}");
            let verified = framed.verify_request(&secret().into(), Requirements::default());
            assert_eq!(
                verified.is_ok(),
                place != Some("off") || code != Code::StatusServer,
                "{kind} {place:?}"
            );
        }
    }
}

#[test]
fn a_message_authenticator_among_the_attributes_stands_where_it_was_written() {
    let octets = sent(&["auth", "User-Name = bob, Message-Authenticator = 0x00, NAS-Port = 7"]);
    let framed = Framed::parse(&octets).expect("it is a packet");
    assert_eq!(framed.layout().offset(Landmark::MessageAuthenticator), Some(25));
    assert!(framed.verify_request(&secret().into(), Requirements::default()).expect("it verifies").signed());

    // One of sixteen octets, or by number, is sent as it is.
    let given = "0x000102030405060708090a0b0c0d0e0f";
    for name in ["Message-Authenticator", "Attr-80"] {
        let octets = sent(&["auth", &format!("{name} = {given}")]);
        assert_eq!(octets[20..], [&[80, 18][..], &(0..16).collect::<Vec<u8>>()].concat());
    }
    for (attributes, why) in [
        (
            "Message-Authenticator = 0x00, Message-Authenticator = 0x00",
            "ulna: one Message-Authenticator can be computed; a further one needs its 16 octets, `Attr-80 = 0x…`\n",
        ),
        (
            "Message-Authenticator = 0x00",
            "ulna: Message-Authenticator stands among the attributes and --message-authenticator says it again\n",
        ),
    ] {
        let switches: &[&str] =
            if attributes.contains(',') { &[] } else { &["--message-authenticator", "last"] };
        let ran = ask(NOWHERE, &[switches, &["auth", attributes]].concat());
        assert_eq!((ran.code, &*ran.stderr), (Some(2), why));
    }
}

/// No run that this is given to gets as far as sending.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

#[test]
fn identifier_source_authenticator_code_and_raw_octets_are_as_asked_for() {
    let given = "000102030405060708090a0b0c0d0e0f";
    let authenticator: Vec<u8> = (0..16).collect();
    let octets = sent(&["--identifier", "7", "--authenticator", given, "99", "Attr-241.1 = 0x01"]);
    assert_eq!(octets, [&[99, 7, 0, 24][..], &authenticator, &[241, 4, 1, 1]].concat());
    // Also where it should be computed; the Message-Authenticator is over what is sent.
    let octets = sent(&["--authenticator", given, "--message-authenticator", "first", "accounting"]);
    assert_eq!(octets[4..20], authenticator);
    let octets = sent(&["--raw", "0x 0c 07\n00"]);
    assert_eq!(octets, [12, 7, 0]);
    let path = file("raw", "0102 03\n04\n");
    let octets = sent(&["--raw-file", path.to_str().expect("UTF-8")]);
    assert_eq!(octets, [1, 2, 3, 4]);

    for (address, source) in [("127.0.0.1:0", "127.0.0.2"), ("[::1]:0", "::1")] {
        let (address, requests) =
            server(address, vec![Box::new(|request| vec![signed(request, Code::AccessAccept)])]);
        let free = UdpSocket::bind((source, 0)).and_then(|socket| socket.local_addr()).expect("a free port");
        let ran = ask(address, &["--source", &free.to_string(), "auth"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(requests.join().expect("it only answers")[0].1, free);
    }
}

#[test]
fn what_was_sent_can_be_sent_again_raw_and_its_reply_verifies() {
    let ulna = Ulna::start(&on_free_ports(""));
    let address = ulna.addresses[0];
    let first = ask(address, &["--octets", "auth", "User-Name = bob", &user_password(PASSWORD)]);
    let sent = first.stdout.lines().next().and_then(|line| line.strip_prefix("sent ")).expect("the octets");
    let again = ask(address, &["--octets", "--raw", sent]);
    let lines = |ran: &Ran| ran.stdout.lines().map(str::to_string).collect::<Vec<_>>();
    assert_eq!((first.code, again.code), (Some(0), Some(0)), "{}", again.stderr);
    assert_eq!(lines(&first)[0], lines(&again)[0]);
    let received = lines(&again)[1].clone();
    let octets = received.strip_prefix("received 0x").expect("the octets");
    let octets: Vec<u8> = (0..octets.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&octets[place..place + 2], 16).expect("digits"))
        .collect();
    assert_eq!(Framed::parse(&octets).expect("a packet").code(), Some(Code::AccessAccept));
    ulna.stop();
}

#[test]
fn attributes_come_from_files_standard_input_and_arguments_in_this_order() {
    let dictionary = file(
        "dictionary",
        "ATTRIBUTE Our-Own 200 string\nVENDOR Us 4711\nBEGIN-VENDOR Us\nATTRIBUTE Ours 1 integer\nEND-VENDOR Us\n",
    );
    let (address, requests) =
        server("127.0.0.1:0", vec![Box::new(|request| vec![signed(request, Code::AccessAccept)])]);
    let input = "# comment\nUser-Name = \"bob\"\nTunnel-Type:1 = VLAN, Tunnel-Medium-Type:1 = IEEE-802\n";
    let arguments = [
        "--dictionary",
        dictionary.to_str().expect("UTF-8"),
        "--attributes",
        "-",
        "auth",
        "Our-Own = \"x\", Ours = 5",
        "Cisco-AVPair = \"shell:priv-lvl=15\"",
        "Attr-26.9.1 = 0x61",
    ];
    let ran = ask_with_input(address, input, &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let octets = requests.join().expect("it only answers").remove(0).0;
    let cisco = b"shell:priv-lvl=15";
    let expected = [
        &[1, 5, b'b', b'o', b'b', 64, 6, 1, 0, 0, 13, 65, 6, 1, 0, 0, 6, 200, 3, b'x'][..],
        &[26, 12, 0, 0, 0x12, 0x67, 1, 6, 0, 0, 0, 5, 26, 25, 0, 0, 0, 9, 1, 19],
        cisco,
        &[26, 9, 0, 0, 0, 9, 1, 3, 0x61],
    ]
    .concat();
    assert_eq!(octets[38..], expected);
}

#[test]
fn hidden_attributes_are_hidden_on_the_way_out_and_revealed_on_the_way_back() {
    let answer: Answers = vec![Box::new(|request| {
        let secret = secret();
        let hop =
            Hop { secret: &secret, request_authenticator: request[4..20].try_into().expect("16 octets") };
        let (mut hidden, mut second) = ([0; 253], [0; 253]);
        let tunnel =
            [&[1][..], hide_salted(b"tunnel-pass", [0x80, 1], hop, &mut hidden).expect("short")].concat();
        let key = hide_salted(&[7; 16], [0x80, 2], hop, &mut second).expect("short");
        let key = [&[0, 0, 1, 0x37, 17, 2 + key.len() as u8][..], key].concat();
        vec![reply(
            request,
            Code::AccessAccept,
            MessageAuthenticator::First,
            &[(69, &tunnel), (26, &key)],
            &secret,
        )]
    })];
    let (address, requests) = server("127.0.0.1:0", answer);
    let ran = ask(address, &["auth", "User-Name = bob", &user_password(PASSWORD)]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let expected = "    Tunnel-Password:1 = \"tunnel-pass\"\n    MS-MPPE-Recv-Key = 0x07070707070707070707070707070707\n";
    assert!(ran.stdout.ends_with(expected), "{}", ran.stdout);
    let request = requests.join().expect("it only answers").remove(0).0;
    let framed = Framed::parse(&request).expect("a packet");
    let mut hidden = [0; 128];
    let expected = hide_user_password(PASSWORD.as_bytes(), &secret(), framed.authenticator(), &mut hidden);
    let found = framed.attributes().find(|attribute| attribute.number == number::USER_PASSWORD);
    assert_eq!(found.map(|found| found.value), expected.ok());
}

#[test]
fn what_does_not_verify_is_said_and_waited_past() {
    let answers: Answers = vec![Box::new(|request| {
        let other = Secret::new(b"another secret").expect("not empty");
        let mut truncated = signed(request, Code::AccessAccept);
        truncated.truncate(30);
        let mut foreign = request.to_vec();
        foreign[1] ^= 1;
        let mut forged = signed(request, Code::AccessAccept);
        forged[25] ^= 1;
        vec![
            b"hello".to_vec(),
            truncated,
            signed(&foreign, Code::AccessAccept),
            reply(request, Code::AccessAccept, MessageAuthenticator::First, &[], &other),
            forged,
            signed(request, Code::AccountingResponse),
            request.to_vec(),
            signed(request, Code::AccessReject),
        ]
    })];
    let (address, _requests) = server("127.0.0.1:0", answers);
    let ran = ask(address, &["--identifier", "6", "auth", "User-Name = bob"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("Access-Reject identifier 6 "), "{}", ran.stdout);
    let whys: Vec<_> = ran.stderr.lines().map(|line| line.split_once(": ").expect("ulna: …").1).collect();
    let not = |octets: usize, why: &str| format!("not believed: {octets} octets from {address}: {why}");
    assert_eq!(
        whys,
        [
            not(5, "no packet: 5 octets are fewer than a header of 20"),
            not(30, "no packet: Length says 38 octets, 30 arrived"),
            not(38, "Identifier 7 is not that of the request, 6"),
            not(38, "it does not verify: the Response Authenticator is wrong: other secret, or forged"),
            not(38, "it does not verify: the Response Authenticator is wrong: other secret, or forged"),
            not(38, "it verifies, but Accounting-Response answers no Access-Request"),
            not(43, "it does not verify: code 1 is not that of a reply"),
        ]
    );
}

#[test]
fn a_wrong_message_authenticator_under_a_right_response_authenticator_is_not_believed() {
    // checklist 18
    let answers: Answers = vec![Box::new(|request| {
        let mut out = Vec::new();
        let mut encoder = Encoder::as_is(&mut out, Code::AccessAccept.octet(), request[1], &[0; 16]);
        encoder.attribute(80, &[9; 16]).expect("it fits");
        encoder.finish_reply(&secret(), request[4..20].try_into().expect("16 octets"));
        vec![out]
    })];
    let (address, _requests) = server("127.0.0.1:0", answers);
    let ran = ask(address, &["--timeout", "100ms", "--retries", "0", "--json", "auth"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (Some(2), "{\"not_believed\":1,\"outcome\":\"invalid\",\"tries\":1}\n")
    );
    assert_eq!(
        ran.stderr,
        format!(
            "ulna: not believed: 38 octets from {address}: it does not verify: the Message-Authenticator is wrong: other \
         secret, or forged\nulna: no valid reply from {address} in 100ms; one was not believed\n"
        )
    );
}

#[test]
fn a_server_with_another_secret_answers_what_does_not_verify() {
    let ulna = Ulna::start(&on_free_ports("[protocol]\nreject_delay = \"10ms\"\n"));
    let server = ulna.addresses[0].to_string();
    let ran: Ran = run(&[
        "request",
        "--server",
        &server,
        "--secret",
        "another secret",
        "--retries",
        "0",
        "--timeout",
        "500ms",
        "--message-authenticator",
        "off",
        "auth",
        "User-Name = bob",
        "User-Password = x",
    ])
    .into();
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""));
    let why = "the Response Authenticator is wrong: other secret, or forged";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
    ulna.stop();
}

#[test]
fn no_reply_and_no_server() {
    let (address, requests) =
        server("127.0.0.1:0", vec![Box::new(|_| vec![]), Box::new(|_| vec![]), Box::new(|_| vec![])]);
    let ran = ask(address, &["--timeout", "20ms", "auth", "User-Name = bob"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""));
    assert_eq!(
        ran.stderr,
        format!(
            "ulna: no reply from {address} to 3 tries of 20ms; a server does not answer a client that it does not know or a \
         packet that does not verify: address and secret may be wrong\n"
        )
    );
    let requests = requests.join().expect("it only answers");
    assert!(requests.windows(2).all(|pair| pair[0] == pair[1]), "each try has the same octets and source");

    for address in ["127.0.0.1:0", "[::1]:0"] {
        let closed = UdpSocket::bind(address).and_then(|socket| socket.local_addr()).expect("a free port");
        let ran = ask(closed, &["--json", "status"]);
        assert_eq!((ran.code, &*ran.stdout), (Some(2), "{\"outcome\":\"refused\"}\n"));
        assert_eq!(
            ran.stderr,
            format!("ulna: nobody listens on {closed}: the host refused it (ICMP port unreachable)\n")
        );
    }
}

#[test]
fn a_reply_that_comes_late_answers_the_next_try() {
    let answers: Answers =
        vec![Box::new(|_| vec![]), Box::new(|request| vec![signed(request, Code::AccessAccept)])];
    let (address, _requests) = server("127.0.0.1:0", answers);
    let ran = ask(address, &["--timeout", "50ms", "--retries", "50", "auth"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains(" ms and 2 tries, verified\n"), "{}", ran.stdout);
}

#[test]
fn exit_codes_tell_accept_reject_and_challenge_apart() {
    let right = |kind: &'static str, code: Code, expected: i32| {
        let (address, _requests) =
            server("127.0.0.1:0", vec![Box::new(move |request| vec![signed(request, code)])]);
        let ran = ask(address, &[kind]);
        assert_eq!(ran.code, Some(expected), "{kind} {code}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.starts_with(code.name()), "{}", ran.stdout);
    };
    right("auth", Code::AccessAccept, 0);
    right("auth", Code::AccessReject, 1);
    right("auth", Code::AccessChallenge, 3);
    right("auth", Code::ProtocolError, 1);
    right("accounting", Code::AccountingResponse, 0);
    right("coa", Code::CoaAck, 0);
    right("coa", Code::CoaNak, 1);
    right("disconnect", Code::DisconnectAck, 0);
    right("disconnect", Code::DisconnectNak, 1);
}

#[test]
fn an_unsigned_reply_is_told_and_can_be_refused() {
    let unsigned: fn() -> Answers = || {
        vec![Box::new(|request| {
            vec![reply(request, Code::AccessAccept, MessageAuthenticator::Absent, &[], &secret())]
        })]
    };
    let (address, _requests) = server("127.0.0.1:0", unsigned());
    let ran = ask(address, &["auth"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.ends_with(" ms, verified, no Message-Authenticator\n"), "{}", ran.stdout);
    let (address, _requests) = server("127.0.0.1:0", unsigned());
    let ran =
        ask(address, &["--require-message-authenticator", "--timeout", "100ms", "--retries", "0", "auth"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("it does not verify: no Message-Authenticator"), "{}", ran.stderr);
}

#[test]
fn json_has_everything_once() {
    let answers: Answers = vec![Box::new(|request| {
        let attributes: &[(u8, &[u8])] = &[(64, &[1, 0, 0, 13]), (18, b"Say \"hi\""), (250, &[7])];
        vec![reply(request, Code::AccessAccept, MessageAuthenticator::Absent, attributes, &secret())]
    })];
    let (address, _requests) = server("127.0.0.1:0", answers);
    let ran = ask(address, &["--json", "--identifier", "9", "auth"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut object: serde_json::Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!(ran.stdout.lines().count(), 1);
    let milliseconds = object.as_object_mut().and_then(|object| object.remove("milliseconds"));
    assert!(milliseconds.and_then(|value| value.as_f64()).is_some_and(|value| value < 20_000.0));
    let expected = serde_json::json!({
        "outcome": "reply", "code": "Access-Accept", "code_number": 2, "identifier": 9, "from": address.to_string(),
        "octets": 39, "tries": 1, "message_authenticator": false,
        "attributes": [
            { "name": "Tunnel-Type", "number": "64", "tag": 1, "value": "VLAN", "octets": "0x00000d" },
            { "name": "Reply-Message", "number": "18", "value": "\"Say \\\"hi\\\"\"", "octets": "0x5361792022686922" },
            { "name": "Attr-250", "number": "250", "value": null, "octets": "0x07" },
        ],
    });
    assert_eq!(object, expected);
}

#[test]
fn every_mistake_is_told_in_a_sentence_and_ends_with_2() {
    let missing = std::env::temp_dir().join("ulna: no such file");
    let missing = missing.to_str().expect("UTF-8");
    let attributes = file("attributes", "User-Name = bob\n  NAS-Prt = 5\n");
    let attributes = attributes.to_str().expect("UTF-8");
    let file_error = format!("{attributes}:2:3: `NAS-Prt`: unknown attribute; did you mean `NAS-Port`?");
    let hint = "; a value with blanks or commas needs quotes that the shell leaves, such as 'Reply-Message = \"Hello, bob.\"'";
    for (arguments, why) in [
        (
            &["auth", "Usr-Name = bob"][..],
            "attribute argument 1: `Usr-Name`: unknown attribute; did you mean `User-Name`?",
        ),
        (
            &["auth", "User-Name = a", "Tunnel-Typ:1 = VLAN"],
            "attribute argument 2: `Tunnel-Typ:1`: unknown attribute; did you mean `Tunnel-Type`?",
        ),
        (
            &["auth", "NAS-Port = many"],
            "attribute argument 1: `NAS-Port`: expected a whole number from 0 to 4294967295",
        ),
        (&["auth", "NAS-Port:1 = 5"], "attribute argument 1: `NAS-Port:1`: this attribute has no tag"),
        (
            &["auth", "User-Name"],
            "attribute argument 1: `User-Name`: expected `=`, `:=` or `+=` after the name",
        ),
        (&["auth", "User-Name="], "attribute argument 1: `User-Name`: expected a value"),
        (
            &["auth", "Attr-1=bob"],
            "attribute argument 1: `Attr-1`: expected `0x` and pairs of hexadecimal digits",
        ),
        (&["auth", "=bob"], "attribute argument 1: expected the name of an attribute"),
        (
            &["auth", "Reply-Message=Hello there"],
            &format!(
                "attribute argument 1: `Reply-Message`: expected a comma or the end of the line after the value{hint}"
            ),
        ),
        (&["auth", "--attributes", attributes], &file_error),
        (
            &["auth", "--attributes", missing],
            &format!("{missing}: cannot be read: No such file or directory (os error 2)"),
        ),
        (&["auth", "--dictionary", missing], &format!("there is no file `{missing}`")),
        (&["auth", "--chap", "User-Name = bob"], "--chap needs User-Password among the attributes"),
        (
            &["accounting", "CHAP-Password = \"x\""],
            "CHAP in a packet whose authenticator is computed needs CHAP-Challenge among the attributes",
        ),
        (&["auth", "--authenticator", "00"], "--authenticator must be 32 hexadecimal digits"),
        (
            &["atuh"],
            "KIND comes before the attributes: auth, accounting, status, coa, disconnect, or the number of a code",
        ),
        (
            &["256"],
            "KIND comes before the attributes: auth, accounting, status, coa, disconnect, or the number of a code",
        ),
        (&["--raw", "0x1"], "--raw: expected pairs of hexadecimal digits, blanks between them"),
        (&["--raw", ""], "--raw: expected pairs of hexadecimal digits, blanks between them"),
        (&["auth", "--source", "here"], "--source here: expected ADDRESS, ADDRESS:PORT, [IPv6]:PORT or PORT"),
        (&["auth", "--source", "::1"], "--server 127.0.0.1:9: no address of the same family as --source"),
        (
            &["auth", "--source", "192.0.2.1"],
            "cannot send from 192.0.2.1:0: Cannot assign requested address (os error 99)",
        ),
    ] {
        let ran = ask(NOWHERE, arguments);
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(2), "", &*format!("ulna: {why}\n")));
    }
    let full = format!("User-Password = \"{}\"", "x".repeat(129));
    assert_eq!(
        ask(NOWHERE, &["auth", &full]).stderr,
        "ulna: attribute argument 1: `User-Password`: expected text of 1 to 128 octets\n"
    );
    let many = vec!["Reply-Message = \"0123456789012345678901234567890123456789\""; 100].join(", ");
    let ran = ask(NOWHERE, &["auth", &many]);
    assert!(ran.stderr.starts_with("ulna: `Reply-Message`: ") && ran.code == Some(2), "{}", ran.stderr);
}

#[test]
fn the_secret_comes_from_one_place_and_is_never_empty() {
    let empty = file("secret", "\n");
    let empty = empty.to_str().expect("UTF-8");
    let server = NOWHERE.to_string();
    for (arguments, why) in [
        (&["--secret", ""][..], "ulna: --secret: the secret is empty\n".to_string()),
        (&["--secret-file", empty], format!("ulna: {empty}: the secret is empty\n")),
        (&["--secret-file", "/nonexistent"], "ulna: /nonexistent: cannot be read: No such file or directory (os error 2)\n".into()),
        (&[], "ulna: a secret is needed: --secret-file FILE, --secret SECRET or ULNA_SECRET in the environment\n".into()),
    ] {
        let ran: Ran = run(&[&["request", "--server", &server], arguments, &["status"]].concat()).into();
        assert_eq!((ran.code, &*ran.stderr), (Some(2), &*why));
    }
    let ran: Ran =
        run(&["request", "--server", &server, "--secret", "a", "--secret-file", empty, "status"]).into();
    assert!(ran.code == Some(2) && ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
    // From the environment, which `ask_with_input` uses.
    let (address, _requests) =
        self::server("127.0.0.1:0", vec![Box::new(|request| vec![signed(request, Code::AccessAccept)])]);
    assert_eq!(ask_with_input(address, "", &["auth"]).code, Some(0));
}

#[test]
fn a_reply_that_cannot_be_printed_is_not_taken_for_read() {
    let (address, _requests) =
        server("127.0.0.1:0", vec![Box::new(|request| vec![signed(request, Code::AccessAccept)])]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
    command.args(["request", "--server", &address.to_string(), "auth"]).env("ULNA_SECRET", SECRET);
    let child = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn().expect("it starts");
    let output = child.wait_with_output().expect("it ends by itself");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
