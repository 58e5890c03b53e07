//! What it says in each situation.

use crate::asked::{Asked, assert_says, line, says};
use crate::support::{PASSWORD, WRONG_PASSWORD, file, run};

#[test]
fn who_is_a_user_is_accepted_and_each_rule_says_why() {
    let text = says(&format!("User-Name = bob\nUser-Password = {PASSWORD}\nNAS-Port-Type = Virtual\n"));
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|nth| line(nth, "[[server.new]]"));
    let [reply, other] = [0, 1].map(|nth| line(nth, "[[server.reply]]"));
    assert_says(
        &text,
        &[
            "Access-Request from 127.0.0.1:50000 to 127.0.0.1:0",
            "listener: \"auth\", which takes access, status",
            "client: \"switch\", by its network 127.0.0.1/32; under the newer of its two secrets",
            "signature: signed; this client need not sign",
            "server: \"edge\"",
            &format!("rule 1 (ulna.toml:{first}): does not match: `realm = \"example.org\"` does not hold"),
            &format!(
                "rule 2 (ulna.toml:{second}): does not match: `User-Name = {{ glob = \"??-??-*\" }}` does not hold"
            ),
            &format!("rule 3 (ulna.toml:{third}): does not match: `NAS-Port = 7` does not hold"),
            &format!("rule 4 (ulna.toml:{fourth}): matches: authenticate by the users"),
            "reply: removes Session-Timeout",
            "reply: sets Class = 0x01ff",
            "user: \"bob\", known by a password in clear; the request has User-Password, which is right",
            "reply: the user's Session-Timeout = 3600",
            "reply: the user's Reply-Message = \"Hello, bob.\"",
            "reply: the user's Tunnel-Password, hidden under the secret",
            &format!(
                "reply rule 1 (ulna.toml:{reply}): does not match: `\"session.site\" = \"campus\"` does not hold"
            ),
            &format!("reply rule 2 (ulna.toml:{other}): matches"),
            "reply: sets Filter-Id = \"elsewhere\"",
            "result: Access-Accept",
            "Reply-Message = \"Hello, bob.\"",
            "Class = 0x01ff",
            "Filter-Id = \"elsewhere\"",
        ],
    );
}

#[test]
fn wrong_passwords_and_unknown_names_are_rejected_later() {
    let wrong = says(&format!("User-Name = bob\nUser-Password = {WRONG_PASSWORD}\n"));
    let rejected = "result: Access-Reject, 20ms later (`reject_delay`)";
    assert_says(
        &wrong,
        &[
            "reply: what it sets goes into no reject for wrong credentials",
            "user: \"bob\", known by a password in clear; the request has User-Password, which is wrong",
            "no reply rule matches",
            rejected,
        ],
    );
    let nobody = says("User-Name = nobody\nUser-Password = x\n");
    assert_says(&nobody, &["user: \"nobody\" is no [[user]]", rejected]);
    assert_says(&says("NAS-Port = 8"), &["user: the request names none", rejected]);
}

#[test]
fn digests_chap_and_devices() {
    let right = says("User-Name = alice\nUser-Password = password\n");
    assert_says(
        &right,
        &[
            "user: \"alice\", known by an Argon2 digest; the request has User-Password, which is right",
            "result: Access-Accept",
        ],
    );
    let chap = says(&format!("User-Name = bob\nCHAP-Password = {PASSWORD}\n"));
    assert_says(
        &chap,
        &[
            "user: \"bob\", known by a password in clear; the request has CHAP-Password, which is right",
            "result: Access-Accept",
        ],
    );
    let unknowable = says("User-Name = alice\nCHAP-Password = password\n");
    assert_says(
        &unknowable,
        &[
            "user: \"alice\", known by an Argon2 digest; the request has CHAP-Password, which cannot be checked against that",
        ],
    );
    assert_says(
        &says("User-Name = bob"),
        &["user: \"bob\", known by a password in clear; the request has no password"],
    );
    let device = says("User-Name = 00-11-22-33-44-55\nUser-Password = 001122334455\n");
    assert_says(
        &device,
        &[
            "device: \"00-11-22-33-44-55\" is known, and the request has what devices send",
            "Session-Timeout = 600",
        ],
    );
    let foreign = says("User-Name = 00-11-22-33-44-55\nUser-Password = 001122334456\n");
    assert_says(
        &foreign,
        &["device: \"00-11-22-33-44-55\" is known, but the request has more or else than devices send"],
    );
}

#[test]
fn a_rule_accepts_or_rejects_by_itself_and_edits_request_and_session() {
    let text = says("User-Name = bob\nNAS-Port = 7\n");
    assert_says(
        &text,
        &[
            "request: removes NAS-Identifier",
            "request: sets Class = 0x00",
            "session: site = \"campus\"",
            "reply: sets Class = 0x07",
            "reply: sets Filter-Id = \"campus\"",
            "result: Access-Accept",
            "Class = 0x07",
            "Filter-Id = \"campus\"",
        ],
    );
    let rejected = says("User-Name = bob@example.org\nNAS-Port-Type = Async\n");
    let first = line(0, "[[server.new]]");
    assert_says(
        &rejected,
        &[
            &format!("rule 1 (ulna.toml:{first}): matches: reject"),
            "reply: sets Reply-Message = \"not here\"",
            "result: Access-Reject, 20ms later (`reject_delay`)",
            "Reply-Message = \"not here\"",
        ],
    );
}

#[test]
fn where_no_rule_matches_it_is_rejected() {
    let text = says("User-Name = bob\nNAS-Port = 9\n");
    let fourth = line(3, "[[server.new]]");
    assert_says(
        &text,
        &[
            &format!("rule 4 (ulna.toml:{fourth}): does not match: `NAS-Port = {{ not = 9 }}` does not hold"),
            "no rule matches: the request is rejected",
            "result: Access-Reject, 20ms later (`reject_delay`)",
        ],
    );
}

#[test]
fn accounting_would_be_stored_and_is_not() {
    let accounting = Asked { kind: "accounting", listener: "acct", ..Asked::default() };
    let text = accounting.says("User-Name = bob\nAcct-Status-Type = Stop\nAcct-Session-Id = 4711\n");
    let rule = line(0, "[[server.accounting]]");
    assert_says(
        &text,
        &[
            "signature: not signed; its Request Authenticator proves the secret",
            &format!("accounting rule 1 (ulna.toml:{rule}): matches: store"),
            "result: Accounting-Response",
        ],
    );
    assert!(text.contains("\"Acct-Session-Id\":\"4711\""), "{text}");
    let folder = std::path::Path::new(&accounting.configuration).parent().expect("it has a folder");
    assert!(!folder.join("records.json").exists(), "nothing is stored");
    let other = accounting.says("User-Name = bob\nAcct-Status-Type = Interim-Update\n");
    assert_says(
        &other,
        &[
            "no accounting rule matches",
            "result: no reply, discarded as `no-accounting-rule`: no [[server.accounting]] rule stores or forwards it",
        ],
    );
}

#[test]
fn what_is_discarded_before_any_rule_says_so() {
    let stranger = Asked { from: "192.0.2.1:50000", ..Asked::default() };
    assert_says(
        &stranger.says("User-Name = bob"),
        &[
            "client: none, as no network of a [[client]] or [[client_rule]] holds 192.0.2.1",
            "result: no reply, discarded as `unknown-client`: there is no [[client]] and no [[client_rule]] for this address",
        ],
    );
    let elsewhere = Asked { listener: "acct", ..Asked::default() };
    assert_says(
        &elsewhere.says("User-Name = bob"),
        &[
            "listener: \"acct\", which takes accounting",
            "result: no reply, discarded as `unexpected-code`: the listener does not take such packets (`packets`)",
        ],
    );
    let unsigned =
        Asked { from: "127.9.9.9:50000", more: &["--message-authenticator", "off"], ..Asked::default() };
    assert_says(
        &unsigned.says("User-Name = bob"),
        &[
            "client: \"net\", by its network 127.0.0.0/8",
            "signature: not signed; Access-Requests of this client must be (`require_message_authenticator`)",
            "result: no reply, discarded as `message-authenticator-required`: it is not signed, and this client must sign",
        ],
    );
    let proxied = Asked { more: &["--message-authenticator", "off"], ..Asked::default() };
    assert_says(
        &proxied.says("User-Name = bob\nProxy-State = 0x01"),
        &[
            "signature: not signed; with Proxy-State it must be (`limit_proxy_state`)",
            "result: no reply, discarded as `unsigned-proxy-state`: it is not signed, and with Proxy-State it must be",
        ],
    );
}

#[test]
fn other_kinds_and_families() {
    let status = Asked { kind: "status", from: "[::1]:50000", ..Asked::default() };
    assert_says(
        &status.says(""),
        &[
            "Status-Server from [::1]:50000 to [::1]:0",
            "client: \"switch\", by its network ::1/128; under the newer of its two secrets",
            "signature: signed; Status-Server must be",
            "result: Access-Accept",
        ],
    );
    let v6 = Asked { from: "[2001:db8:1::5]:50000", ..Asked::default() };
    assert_says(&v6.says("User-Name = x"), &["client: \"net\", by its network 2001:db8::/32"]);
    let unknown = Asked { kind: "99", ..Asked::default() };
    assert_says(
        &unknown.says(""),
        &[
            "packet of code 99 from 127.0.0.1:50000 to 127.0.0.1:0",
            "result: no reply, discarded as `unknown-code`: no server takes packets of this code",
        ],
    );
}

#[test]
fn wrong_usage_is_told_and_ends_with_2() {
    let told = |asked: &Asked, attributes: &str| {
        let output = asked.run(attributes);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).expect("it is UTF-8")
    };
    let nowhere = Asked { listener: "authentication", ..Asked::default() };
    assert_eq!(
        told(&nowhere, ""),
        "ulna: --listener: no [[listen]] is called \"authentication\", only \"auth\", \"acct\"\n"
    );
    let family = Asked { listener: "acct", from: "[::1]:1", ..Asked::default() };
    assert_eq!(told(&family, ""), "ulna: --listener: \"acct\" has no address of IPv6, which --from is of\n");
    let kind = Asked { kind: "access", ..Asked::default() };
    assert_eq!(
        told(&kind, ""),
        "ulna: --kind must be auth, accounting, status, coa, disconnect, or the number of a code\n"
    );
    let wrong = told(&Asked::default(), "User-Name = bob\nSesion-Timeout = 5\n");
    assert!(wrong.contains("packet.txt:2:1: `Sesion-Timeout`: unknown attribute; did you mean"), "{wrong}");
    let broken =
        Asked { configuration: file("u.toml", "[log]\nx = 1").display().to_string(), ..Asked::default() };
    assert!(told(&broken, "").contains("u.toml:2:1: unknown key `x` in [log]"));
    let alone = run(&["check", "--config", &Asked::default().configuration, "--packet", "-"]);
    assert_eq!(alone.status.code(), Some(2), "--from and --listener are needed");
}

#[test]
fn the_example_in_the_documentation_is_what_is_said() {
    let page = include_str!("../../../docs/configuration.md");
    let toml =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has a file");
    let configuration = file("ulna.toml", toml);
    let table = configuration.with_file_name("sites.toml");
    std::fs::write(&table, include_str!("../../../docs/sites.toml")).expect("it is written");
    let configuration = configuration.display().to_string();
    let asked = Asked { configuration, from: "192.0.2.10:50000", ..Asked::default() };
    let said = asked.says("User-Name = bob\nUser-Password = hello\n");
    let command =
        "$ ulna check --config ulna.toml --packet bob.txt --from 192.0.2.10:50000 --listener auth\n";
    let shown = page.split(command).nth(1).and_then(|rest| rest.split("```").next()).expect("it is shown");
    let same = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.contains("Message-Authenticator = "));
        lines.map(Into::into).collect()
    };
    assert_eq!(same(shown), same(&said));
}

#[test]
fn who_would_be_admitted_by_a_client_rule_is_told_with_its_key() {
    let configuration = file(
        "ruled.toml",
        "[[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\npackets = [\"access\"]\n\
         server = \"edge\"\n[[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n\
         [[client_rule]]\nname = \"branches\"\nnetwork = \"198.51.100.0/24\"\nnat = true\n\
         when = { NAS-Identifier = { glob = \"site-*\" } }\n\
         secret = { table = \"sites.toml\", key = \"NAS-Identifier\" }\n",
    );
    let table = configuration.with_file_name("sites.toml");
    std::fs::write(table, include_str!("../../../docs/sites.toml")).expect("it is written");
    let configuration = configuration.display().to_string();
    let asked = Asked { configuration, from: "198.51.100.9:50000", ..Asked::default() };
    for (attributes, expected) in [
        (
            "User-Name = bob\nNAS-Identifier = site-7\n",
            ["client: \"Main Street\", by rule \"branches\" with key \"site-7\"", "result: Access-Accept"],
        ),
        (
            "User-Name = bob\nNAS-Identifier = site-9\n",
            ["client: none: rule \"branches\" finds no key \"site-9\"", "discarded as `client-denied`"],
        ),
        (
            "User-Name = bob\nNAS-Identifier = plant-9\n",
            ["client: none: no [[client_rule]] for its address matches", "discarded as `no-client-rule`"],
        ),
    ] {
        let said = asked.says(attributes);
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
    }
}
