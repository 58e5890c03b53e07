//! CoA and Disconnect through the binary, between clients and a NAS that we did not write: `radclient` and FreeRADIUS's server, which
//! takes them as a NAS does.

mod support;

use std::net::SocketAddr;

use support::radiusd::Radiusd;
use support::{SECRET, Ulna, file, radclient, run};

/// The NAS knows three users: one whose session ends, one who has none, and one whose session says who it is.
const RECV_COA: &str = r#"
if (&User-Name == "gone") {
    update reply {
        Error-Cause := Session-Context-Not-Found
    }
    reject
}
else {
    update reply {
        Reply-Message := "done"
    }
    ok
}
"#;

/// Who asks is `localhost`; `nas` is on another address of loopback, and FreeRADIUS is told to be it.
fn configuration(layout: &str, coa_address: &str) -> String {
    format!(
        r#"{layout}
[[listen]]
name = "coa"
transport = "udp"
address = "127.0.0.1:0"
packets = ["coa"]
server = "edge"
[[client]]
name = "localhost"
network = "127.0.0.1"
secret = "{SECRET}"
[[client]]
name = "nas"
network = "127.0.0.7"
secret = "{SECRET}"
{coa_address}
[[client]]
name = "behind-nat"
network = "127.0.0.8"
secret = "{SECRET}"
[[server]]
name = "edge"
[[server.coa]]
when = {{ User-Name = "root" }}
reject = true
[[server.coa]]
when = {{ client = "localhost" }}
proxy = "client"
"#
    )
}

fn coa_address(nas: &Radiusd) -> String {
    format!("coa_address = \"{}\"", nas.coa)
}

const LAYOUTS: [&str; 2] =
    ["[runtime]\nnetwork_threads = 0\nworkers = 2\n", "[runtime]\nnetwork_threads = 1\nworkers = 2\n"];

/// What `ulna request` says of the answer, and how it ends.
fn request(server: SocketAddr, kind: &str, attributes: &[&str]) -> (String, Option<i32>) {
    let server = server.to_string();
    let arguments =
        ["request", "--server", &server, "--secret", SECRET, "--retries", "0", "--timeout", "15s", kind];
    let output = run(&[&arguments[..], attributes].concat());
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (told.into_owned(), output.status.code())
}

// checklist 82, 84
#[test]
fn a_nas_of_others_is_told_and_what_it_answers_comes_back() {
    for layout in LAYOUTS {
        let Some(nas) = Radiusd::start_nas(RECV_COA) else { return };
        let ulna = Ulna::start(&configuration(layout, &coa_address(&nas)));
        let server = ulna.addresses[0];
        for (kind, ack, nak) in
            [("disconnect", "Disconnect-ACK", "Disconnect-NAK"), ("coa", "CoA-ACK", "CoA-NAK")]
        {
            let session = ["NAS-IP-Address=127.0.0.7", "Acct-Session-Id=4711", "Proxy-State=0x0102"];
            let (told, code) = request(server, kind, &[&["User-Name=bob"], &session[..]].concat());
            assert!(told.starts_with(ack) && told.contains("Reply-Message = \"done\""), "{told}");
            assert!(told.contains(" Proxy-State = 0x0102\n"), "{told}");
            assert_eq!((told.matches("Proxy-State").count(), code), (1, Some(0)), "{told}");
            let attributes = nas.attributes();
            assert_eq!(attributes.len(), 5, "{attributes:?}");
            assert_eq!(
                attributes[..4],
                [
                    "User-Name = \"bob\"",
                    "NAS-IP-Address = 127.0.0.7",
                    "Acct-Session-Id = \"4711\"",
                    "Proxy-State = 0x0102"
                ]
            );
            assert!(attributes[4].starts_with("Proxy-State = 0x"), "ours is the last: {attributes:?}");

            let (told, code) = request(server, kind, &["User-Name=gone", "NAS-Identifier=nas"]);
            assert!(
                told.starts_with(nak) && told.contains("Error-Cause = Session-Context-Not-Found"),
                "{told}"
            );
            assert_eq!(code, Some(1));
            nas.attributes();

            for (attributes, cause) in [
                (&["User-Name=bob"][..], "Missing-Attribute"),
                (&["NAS-IP-Address=127.0.0.99"], "NAS-Identification-Mismatch"),
                (&["NAS-IP-Address=127.0.0.7", "NAS-Identifier=localhost"], "NAS-Identification-Mismatch"),
                (&["NAS-Identifier=behind-nat"], "Request-Not-Routable"),
                (&["User-Name=root", "NAS-Identifier=nas"], "Administratively-Prohibited"),
            ] {
                let (told, code) = request(server, kind, attributes);
                assert!(told.starts_with(nak) && told.contains(cause), "{attributes:?}: {told}");
                assert_eq!(code, Some(1));
            }
        }
        ulna.wait_for_counters("each has its end", |counters| counters["answered"] == 14);
        let counters = ulna.counters();
        let names = ["accepted", "forwarded", "acks", "naks", "naks_own", "remote_replies", "outstanding"];
        assert_eq!(names.map(|name| counters[name]), [14, 4, 2, 12, 10, 4, 0], "{counters:#?}");
        let log = ulna.stop().stderr;
        let line = |what: &str| {
            let found = log.lines().find(|line| line.contains(what));
            found.unwrap_or_else(|| panic!("no line {what:?}:\n{log}")).to_string()
        };
        let ack = line(" ack user=\"bob\" client=localhost ");
        assert!(ack.contains(" rule=edge/2 remote-server=nas"), "{ack}");
        let nak = line(" nak user=\"gone\" client=localhost ");
        assert!(nak.contains(" remote-server=nas error-cause=503"), "{nak}");
        let own = line(" error-cause=402");
        assert!(!own.contains("remote-server"), "{own}");
    }
}

// checklist 83
#[test]
fn radclient_believes_what_it_gets_signed_or_not() {
    let Some(nas) = Radiusd::start_nas(RECV_COA) else { return };
    let ulna = Ulna::start(&configuration(LAYOUTS[0], &coa_address(&nas)));
    let server = ulna.addresses[0].to_string();
    for signature in ["", ", Message-Authenticator = 0x00"] {
        for (line, expected) in [
            ("User-Name = \"bob\", NAS-Identifier = \"nas\"", "Received Disconnect-ACK"),
            ("User-Name = \"gone\", NAS-Identifier = \"nas\"", "Error-Cause = Session-Context-Not-Found"),
            ("User-Name = \"bob\"", "Error-Cause = Missing-Attribute"),
        ] {
            let arguments = ["-x", "-r", "1", "-t", "10", &server, "disconnect", SECRET];
            let Some(text) = radclient(&arguments, &format!("{line}{signature}")) else { return };
            assert!(text.contains(expected), "{line}{signature}:\n{text}");
        }
    }
    // Under another secret there is silence.
    let arguments = ["-x", "-r", "1", "-t", "0.3", &server, "disconnect", "not-the-secret"];
    let Some(text) = radclient(&arguments, "NAS-Identifier = \"nas\"") else { return };
    assert!(!text.contains("Received"), "{text}");
    assert_eq!(ulna.counters()["discarded bad-request-authenticator"], 1);
    ulna.stop();
}

#[test]
fn a_reload_says_where_a_nas_takes_it_from_now_on() {
    let Some(nas) = Radiusd::start_nas(RECV_COA) else { return };
    let path = file("ulna.toml", &configuration(LAYOUTS[0], ""));
    let ulna = Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")]);
    let ask = || request(ulna.addresses[0], "disconnect", &["NAS-Identifier=nas"]).0;
    let told = ask();
    assert!(told.contains("Request-Not-Routable"), "{told}");
    for (address, says) in [(coa_address(&nas), "Disconnect-ACK"), (String::new(), "Disconnect-NAK")] {
        std::fs::write(&path, configuration(LAYOUTS[0], &address)).expect("it can be written");
        let from = ulna.stderr().len();
        ulna.signal("HUP");
        ulna.wait_for(from, "a reload", |said| {
            said.contains("the new configuration is in force").then_some(())
        });
        let told = ask();
        assert!(told.starts_with(says), "{told}");
    }
    ulna.stop();
}

#[test]
fn check_says_which_nas_a_packet_would_meet() {
    let text = configuration("", "coa_address = \"127.0.0.7:3799\"");
    let path = file("ulna.toml", &text);
    let config = path.to_str().expect("the path is UTF-8");
    let explain = |attributes: &str| {
        let packet = file("packet", attributes);
        let packet = packet.to_str().expect("the path is UTF-8");
        let common = ["check", "--config", config, "--from", "127.0.0.1:40000", "--listener", "coa"];
        let output = run(&[&common[..], &["--kind", "disconnect", "--packet", packet]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = explain("User-Name = bob\nNAS-IP-Address = 127.0.0.7\n");
    for line in [
        "Disconnect-Request from 127.0.0.1:40000 to 127.0.0.1:0\n",
        "listener: \"coa\", which takes coa\n",
        "signature: not signed; its Request Authenticator proves the secret\n",
        "coa rule 1 (",
        "`User-Name = \"root\"` does not hold\n",
        "matches: forward to the NAS that it names\nnas: client \"nas\" at 127.0.0.7:3799\n",
        "result: forwarded to that NAS, whose answer is awaited\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    for (attributes, lines) in [
        ("User-Name = root\n", &["matches: reject\n", "Error-Cause = Administratively-Prohibited\n"][..]),
        (
            "User-Name = bob\n",
            &[
                "nas: none, as it has no NAS-Identifier, NAS-IP-Address or NAS-IPv6-Address\n",
                "result: Disconnect-NAK\n    Error-Cause = Missing-Attribute\n",
            ],
        ),
        (
            "NAS-Identifier = nobody\n",
            &[
                "nas: none, as it names no [[client]], or more than one, or one by",
                "NAS-Identification-Mismatch\n",
            ],
        ),
        (
            "NAS-Identifier = behind-nat\n",
            &["nas: client \"behind-nat\", which has no `coa_address`\n", "Not-Routable\n"],
        ),
    ] {
        let told = explain(attributes);
        assert!(lines.iter().all(|line| told.contains(line)), "{attributes}: {told}");
    }
    let changed = file(
        "ulna.toml",
        &text.replace("127.0.0.7:3799", "127.0.0.7:1700").replace("reject = true", "proxy = \"client\""),
    );
    let output = run(&["check", "--config", changed.to_str().expect("UTF-8"), "--against", config]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        told, "client \"nas\" changes: `coa_address`\nserver \"edge\": rule 1 of [[server.coa]] changes\n",
        "{output:?}"
    );
}
