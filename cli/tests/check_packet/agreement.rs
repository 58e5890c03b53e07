//! What it says and what the server does.

use crate::asked::{Asked, configuration, says};
use crate::support::{PASSWORD, SECRET, Ulna, WRONG_PASSWORD, file, run};

/// Code and attributes of a reply, without what is new in each.
fn reply(lines: &str) -> (String, Vec<String>) {
    let mut lines = lines.lines();
    let code = lines.next().unwrap_or_default().split([' ', ',']).next().unwrap_or_default().into();
    let attributes = lines.map(str::trim_start).filter(|line| !line.starts_with("Message-Authenticator"));
    let named = |line: &str| match line.split_once(" = ") {
        // Hidden: revealed by one, and not shown by the other.
        Some((name @ ("Tunnel-Password:1" | "EAP-Message"), _)) => name.into(),
        _ => line.into(),
    };
    (code, attributes.map(named).collect())
}

#[test]
fn the_server_does_what_is_said() {
    let ulna = Ulna::start(&configuration());
    let secret = file("secret", SECRET).display().to_string();
    let long = format!("Reply-Message = \"{}\"\n", "x".repeat(200));
    let requests = [
        format!("User-Name = bob\nUser-Password = {PASSWORD}"),
        format!("User-Name = bob\nUser-Password = {WRONG_PASSWORD}"),
        format!("User-Name = bob\nCHAP-Password = {PASSWORD}"),
        format!("User-Name = bob\nCHAP-Password = {WRONG_PASSWORD}"),
        "User-Name = alice\nUser-Password = password\nProxy-State = 0x0102\nProxy-State = 0x03".into(),
        format!("User-Name = alice\nUser-Password = {WRONG_PASSWORD}"),
        format!("User-Name = alice\nCHAP-Password = {PASSWORD}"),
        "User-Name = nobody\nUser-Password = x".into(),
        "User-Name = bob".into(),
        "NAS-Port = 3".into(),
        "User-Name = bob@example.org\nNAS-Port-Type = Virtual\nProxy-State = 0x05".into(),
        "User-Name = bob@EXAMPLE.ORG\nNAS-Port-Type = Async".into(),
        "User-Name = bob@example.org\nNAS-Port-Type = Ethernet".into(),
        "User-Name = x\nNAS-Port = 7\nNAS-Identifier = n".into(),
        format!("User-Name = x\nNAS-Port = 7\n{}", long.repeat(18)),
        "User-Name = x\nNAS-Port = 9".into(),
        "User-Name = 00-11-22-33-44-55\nUser-Password = 00:11:22:33:44:55".into(),
        "User-Name = 00-11-22-33-44-55\nCHAP-Password = 001122334455".into(),
        "User-Name = 00-11-22-33-44-56\nUser-Password = 00-11-22-33-44-56".into(),
        "User-Name = 00-11-22-33-44-55\nService-Type = Call-Check".into(),
        "User-Name = x\nNAS-Port = 7\nEAP-Message = 0x0205000501".into(),
        "User-Name = x\nNAS-Port = 9\nEAP-Message = 0x0205000501".into(),
    ];
    let (mut accepted, mut rejected) = (0, 0);
    for attributes in &requests {
        let packet = file("packet.txt", attributes).display().to_string();
        let server = ulna.addresses[0].to_string();
        let output =
            run(&["request", "--server", &server, "--secret-file", &secret, "auth", "--attributes", &packet]);
        let sent = String::from_utf8(output.stdout).expect("it is UTF-8");
        let said = says(attributes);
        let result = said.split("\nresult: ").nth(1).unwrap_or_else(|| panic!("{said}"));
        assert_eq!(reply(result), reply(&sent), "{attributes}\n{said}\n{sent}");
        match output.status.code() {
            Some(0) => accepted += 1,
            Some(1) => rejected += 1,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    assert!(accepted >= 8 && rejected >= 8, "{accepted} {rejected}");
    // Accounting, and what is discarded, by the same names.
    let packet = file("packet.txt", "User-Name = bob\nAcct-Status-Type = Start\n").display().to_string();
    let server = ulna.addresses[2].to_string();
    let output = run(&[
        "request",
        "--server",
        &server,
        "--secret-file",
        &secret,
        "accounting",
        "--attributes",
        &packet,
    ]);
    let accounting = Asked { kind: "accounting", listener: "acct", ..Asked::default() };
    let said = accounting.says("User-Name = bob\nAcct-Status-Type = Start\n");
    let result = said.split("\nresult: ").nth(1).expect("it has one");
    assert_eq!(reply(result), reply(&String::from_utf8_lossy(&output.stdout)));
    for (attributes, reason, more) in [
        (
            "User-Name = bob\nProxy-State = 0x01",
            "unsigned-proxy-state",
            &["--message-authenticator", "off"][..],
        ),
        ("User-Name = bob\nEAP-Message = 0x0205000501", "unsigned-eap", &["--message-authenticator", "off"]),
    ] {
        let packet = file("packet.txt", attributes).display().to_string();
        let server = ulna.addresses[0].to_string();
        let mut arguments = vec!["request", "--server", &server, "--secret-file", &secret, "auth"];
        arguments.extend(["--attributes", &packet, "--timeout", "50ms", "--retries", "0"]);
        arguments.extend(more);
        assert_eq!(run(&arguments).status.code(), Some(2), "no reply");
        let counter = format!("discarded {reason}");
        ulna.wait_for_counters(&counter, |counters| counters.get(&counter) == Some(&1));
        let said = Asked { more: &["--message-authenticator", "off"], ..Asked::default() }.says(attributes);
        assert!(said.contains(&format!("result: no reply, discarded as `{reason}`: ")), "{said}");
    }
    ulna.stop();
}
