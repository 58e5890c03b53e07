//! FreeRADIUS's own client is answered: PAP, CHAP and Status-Server, over IPv4 and IPv6, signed or not.

mod support;

use support::{PASSWORD, SECRET, Ulna, WRONG_PASSWORD, on_free_ports, radclient};

const LAYOUTS: [&str; 2] =
    ["[runtime]\nnetwork_threads = 0\nworkers = 2\n", "[runtime]\nnetwork_threads = 2\nworkers = 2\n"];
const PROTOCOL: &str = "[protocol]\nreject_delay = \"100ms\"\n";

#[test]
fn pap_and_chap_signed_and_not_over_both_families() {
    for layout in LAYOUTS {
        let ulna = Ulna::start(&on_free_ports(&format!("{layout}{PROTOCOL}")));
        for (address, family) in [(ulna.addresses[0], "-4"), (ulna.addresses[1], "-6")] {
            for credentials in ["User-Password", "CHAP-Password"] {
                for signature in ["", ", Message-Authenticator = 0x00"] {
                    for (password, expected, message) in [
                        (PASSWORD, "Received Access-Accept", "Reply-Message = \"Hello, bob.\""),
                        (WRONG_PASSWORD, "Received Access-Reject", ""),
                    ] {
                        let line = format!("User-Name = \"bob\", {credentials} = \"{password}\"{signature}");
                        let server = address.to_string();
                        let arguments = [family, "-x", "-r", "1", "-t", "10", &server, "auth", SECRET];
                        let Some(text) = radclient(&arguments, &line) else { return };
                        assert!(
                            text.contains(expected) && text.contains(message),
                            "{line} to {address}:\n{text}"
                        );
                    }
                }
            }
        }
        let counters = ulna.counters();
        assert_eq!((counters["accepts"], counters["rejects"], counters["accepted_unsigned"]), (8, 8, 8));
        ulna.stop();
    }
}

// checklist 67
#[test]
fn status_server_on_both_kinds_of_ports() {
    let ulna = Ulna::start(&on_free_ports(LAYOUTS[1]));
    for (address, expected) in [
        (ulna.addresses[0], "Received Access-Accept"),
        (ulna.addresses[1], "Received Access-Accept"),
        (ulna.addresses[2], "Received Accounting-Response"),
    ] {
        let server = address.to_string();
        let arguments = ["-x", "-r", "1", "-t", "10", &server, "status", SECRET];
        let Some(text) = radclient(&arguments, "Message-Authenticator = 0x00") else { return };
        assert!(text.contains(expected), "{address}:\n{text}");
    }
    assert_eq!(ulna.counters()["status_answered"], 3);
    ulna.stop();
}

#[test]
fn another_secret_gets_silence() {
    let ulna = Ulna::start(&on_free_ports(LAYOUTS[0]));
    let server = ulna.addresses[0].to_string();
    let line = format!("User-Name = \"bob\", User-Password = \"{PASSWORD}\", Message-Authenticator = 0x00");
    let Some(text) = radclient(&["-r", "1", "-t", "0.3", &server, "auth", "another-secret"], &line) else {
        return;
    };
    assert!(text.contains("Sent Access-Request") && !text.contains("Received"), "{text}");
    assert_eq!(ulna.counters()["discarded bad-message-authenticator"], 1);
    ulna.stop();
}

#[test]
fn ten_thousand_requests_get_ten_thousand_answers_at_once() {
    for layout in LAYOUTS {
        let ulna = Ulna::start(&on_free_ports(layout));
        let server = ulna.addresses[0].to_string();
        let line =
            format!("User-Name = \"bob\", User-Password = \"{PASSWORD}\", Message-Authenticator = 0x00");
        let arguments =
            ["-q", "-s", "-r", "1", "-t", "10", "-c", "10000", "-p", "200", &server, "auth", SECRET];
        let Some(text) = radclient(&arguments, &line) else { return };
        let counters = ulna.counters();
        let row = |name: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(name));
            line.and_then(|line| line.split(':').nth(1)?.trim().parse::<u64>().ok())
        };
        assert_eq!(
            [row("Accepted"), row("Rejected"), row("Lost")],
            [Some(10_000), Some(0), Some(0)],
            "{text}"
        );
        assert_eq!(
            ["accepted", "duplicates_resent", "duplicates_in_progress", "kernel_drops", "send_would_block"]
                .map(|name| counters[name]),
            [10_000, 0, 0, 0, 0],
            "{counters:#?}"
        );
        ulna.stop();
    }
}
