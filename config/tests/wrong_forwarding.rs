//! Each kind of wrong remote server, pool, realm and rule that forwards, with the exact message and its place.

use ulna_config::{Cores, default_text, parse};

/// What is reported of lines added to the default configuration: line (counted from the first added), column and message.
fn added(lines: &str) -> Vec<String> {
    let before = default_text().lines().count();
    let text = format!("{}{lines}", default_text());
    let Err(errors) = parse(&text, "ulna.toml", Cores(2)) else { return vec!["no error".into()] };
    let said = |finding: &ulna_config::Finding| {
        let place = finding.place.expect("a text has places");
        let line = place.line.checked_sub(before).expect("the default configuration is not wrong");
        format!("{line}:{}: {}", place.column, finding.message)
    };
    errors.iter().map(said).collect()
}

/// Of a remote server that is right but for this key, which stands on line 4.
fn remote_server(line: &str) -> Vec<String> {
    let lines = ["address = \"192.0.2.1:1812\"", "secret = \"0123456789abcdef\""];
    let key = |line: &str| line.split(' ').next().map(str::to_owned);
    let kept: Vec<_> = lines.into_iter().filter(|kept| key(kept) != key(line)).collect();
    let found = added(&format!("[[remote_server]]\n{line}\nname = \"a\"\n{}\n", kept.join("\n")));
    found.iter().map(|error| error.strip_prefix("2:").unwrap_or(error).into()).collect()
}

/// Two remote servers, on 8 lines.
const SERVERS: &str = "[[remote_server]]\nname = \"alpha\"\naddress = \"192.0.2.1:1812\"\nsecret = \"0123456789abcdef\"\n\
                       [[remote_server]]\nname = \"beta\"\naddress = \"192.0.2.2:1812\"\nsecret = \"0123456789abcdef\"\n";

/// What is reported of lines behind those, from 1.
fn behind_servers(lines: &str) -> Vec<String> {
    let found = added(&format!("{SERVERS}{lines}"));
    let from_one = |error: &String| {
        let (line, rest) = error.split_once(':').expect("a place stands first");
        match line.parse::<usize>() {
            Ok(line) => format!("{}:{rest}", line - 8),
            Err(_) => error.clone(),
        }
    };
    found.iter().map(from_one).collect()
}

#[test]
fn remote_servers_have_an_address() {
    let expected = "an address or a name with port such as \"192.0.2.1:1812\", \"[2001:db8::1]:1812\" or \
                    \"radius.example.org:1812\"";
    let host = "the address of one host";
    for (line, message) in [
        ("address = \"localhost\"", format!("11: `address` must be {expected}, found \"localhost\"")),
        (
            "resolve_interval = \"10s\"",
            "1: `resolve_interval` needs an `address` that is a name: nothing is asked without".into(),
        ),
        ("address = \"192.0.2.1\"", format!("11: `address` must be {expected}, found \"192.0.2.1\"")),
        ("address = \"2001:db8::1\"", format!("11: `address` must be {expected}, found \"2001:db8::1\"")),
        ("address = \"192.0.2.1:radius\"", format!("11: `address` must be {expected}, found \"192.0.2.1:radius\"")),
        ("address = 1812", format!("11: `address` must be {expected}, found 1812")),
        ("address = [\"192.0.2.1:1812\"]", format!("11: `address` must be {expected}, found an array")),
        (
            "address = \"192.0.2.1:0\"",
            "11: `address` must be with the port that the server listens on, found \"192.0.2.1:0\"".into(),
        ),
        ("address = \"0.0.0.0:1812\"", format!("11: `address` must be {host}, found \"0.0.0.0:1812\"")),
        ("address = \"224.0.0.1:1812\"", format!("11: `address` must be {host}, found \"224.0.0.1:1812\"")),
        ("address = \"[::]:1812\"", format!("11: `address` must be {host}, found \"[::]:1812\"")),
        (
            "address = \"[::ffff:192.0.2.1]:1812\"",
            format!("11: `address` must be {host}, found \"[::ffff:192.0.2.1]:1812\""),
        ),
        (
            "source_address = \"2001:db8::1\"",
            "18: `source_address` and `address` must both be IPv4 or both IPv6".into(),
        ),
        (
            "source_address = \"192.0.2.1:5000\"",
            "18: `source_address` must be an address of this host such as \"192.0.2.1\", found \"192.0.2.1:5000\"".into(),
        ),
        (
            "source_address = \"0.0.0.0\"",
            "18: `source_address` must be an address of this host such as \"192.0.2.1\", found \"0.0.0.0\"".into(),
        ),
    ] {
        assert_eq!(remote_server(line), [message], "{line}");
    }
    // Also what a resolver would take for an address in one of its old forms, and what no host is called.
    for wrong in [
        "192.0.2.01:1812",
        "192.0.513:1812",
        "10:1812",
        "0x7f000001:1812",
        "127.0x1:1812",
        "127.1.:1812",
        "radius.example.org:0",
        "radius.example.org:65536",
        "radius.example.org:+1812",
        "radius.example.org:",
        "radius_1.example.org:1812",
        "-radius.example.org:1812",
        "radius..org:1812",
        ".:1812",
        ":1812",
        "radius.example.org:1812:1812",
        "[radius.example.org]:1812",
        " a.b:1812",
    ] {
        let found = remote_server(&format!("address = \"{wrong}\""));
        assert_eq!(found, [format!("11: `address` must be {expected}, found \"{wrong}\"")], "{wrong}");
    }
    let label = "a".repeat(64);
    assert_eq!(remote_server(&format!("address = \"{label}.org:1812\"")).len(), 1);
    assert_eq!(
        added("[[remote_server]]\n"),
        [
            "1:1: missing key `name` in [[remote_server]]",
            "1:1: missing key `address` in [[remote_server]]",
            "1:1: missing key `secret` in [[remote_server]]"
        ]
    );
}

#[test]
fn remote_servers_have_one_secret_that_no_message_shows() {
    let expected = "a text, { file = \"…\" } or { env = \"…\" }";
    for (line, message) in [
        ("secret = \"\"", "1: `secret` must not be empty".into()),
        ("secret = [\"hunter2\", \"hunter3\"]", format!("1: `secret` must be {expected}, found an array")),
        ("secret = 5", format!("1: `secret` must be {expected}, found a whole number")),
        (
            "secret = { fil = \"hunter2\" }",
            format!("1: `secret` must be {expected}, found another table; did you mean `file`?"),
        ),
        (
            "secret = { table = \"t\", key = \"NAS-Identifier\" }",
            "1: a `secret` from a table with keys is for a [[client_rule]]".into(),
        ),
        (
            "secret = { env = \"ULNA_TEST_NOBODY_SETS_THIS\" }",
            "1: the environment has no variable `ULNA_TEST_NOBODY_SETS_THIS` for this `secret`".into(),
        ),
    ] {
        assert_eq!(remote_server(line), [message], "{line}");
    }
}

#[test]
fn remote_servers_are_asked_and_waited_for_within_bounds() {
    for (line, message) in [
        ("transport = \"tls\"", "13: `transport = \"tls\"` is not built yet"),
        ("transport = \"sctp\"", "13: `transport` must be \"udp\", found \"sctp\""),
        ("coa_address = \"192.0.2.1:3799\"", "1: `coa_address` is not built yet"),
        ("status_check = true", "16: `status_check` must be one of \"status-server\", \"none\", found true"),
        (
            "status_interval = \"10s\"",
            "1: `status_interval` needs `status_check = \"status-server\"`: nothing is asked without",
        ),
        ("response_window = \"2h\"", "19: `response_window` must be from \"10ms\" to \"1h\", found \"2h\""),
        (
            "response_window = \"31s\"",
            "19: `response_window` must not be longer than `request_timeout`: requests are given up by then",
        ),
        ("zombie_period = \"0s\"", "17: `zombie_period` must be from \"10ms\" to \"1h\", found \"0s\""),
        (
            "revive_interval = 5",
            "19: `revive_interval` must be a span of time such as \"30s\" (units: us, ms, s, m, h, d), found 5",
        ),
        (
            "outstanding_max = 65_537",
            "19: `outstanding_max` must be a whole number from 1 to 65536, found 65537",
        ),
        ("outstanding_max = 0", "19: `outstanding_max` must be a whole number from 1 to 65536, found 0"),
        (
            "require_message_authenticator = \"no\"",
            "33: `require_message_authenticator` must be true or false, found \"no\"",
        ),
    ] {
        assert_eq!(remote_server(line), [message], "{line}");
    }
    assert_eq!(
        remote_server("status_check = \"status-server\"\nstatus_interval = \"99ms\""),
        ["3:19: `status_interval` must be from \"100ms\" to \"1h\", found \"99ms\""]
    );
    assert_eq!(
        behind_servers(
            "[[remote_server]]\nname = \"beta\"\naddress = \"192.0.2.3:1812\"\nsecret = \"0123456789abcdef\"\n"
        ),
        ["2:8: remote server \"beta\" is defined twice"]
    );
}

#[test]
fn pools_name_servers_that_there_are() {
    let member = "the name of a [[remote_server]] or { name = \"…\", weight = 1 }";
    let array = format!("an array of 1 to 1024, each {member}");
    for (lines, errors) in [
        (
            "remote_servers = [\"alpa\", \"gamma\", 5]",
            vec![
                "3:19: `remote_servers` must be the name of a [[remote_server]], found \"alpa\"; did you mean \"alpha\"?".into(),
                "3:27: `remote_servers` must be the name of a [[remote_server]], found \"gamma\"".into(),
                format!("3:36: `remote_servers` must hold {member}, found a whole number"),
            ],
        ),
        ("", vec!["1:1: missing key `remote_servers` in [[pool]]".into()]),
        ("remote_servers = []", vec![format!("3:18: `remote_servers` must be {array}, found an empty array")]),
        ("remote_servers = \"alpha\"", vec![format!("3:18: `remote_servers` must be {array}, found \"alpha\"")]),
        (
            "remote_servers = [\"alpha\", { name = \"alpha\" }]",
            vec!["3:28: this server is in `remote_servers` already: `weight` gives it a larger share".into()],
        ),
        (
            "remote_servers = [{ weight = 0, nam = \"alpha\" }]\nbalance = \"hsah\"\non_dead = \"retry\"",
            vec![
                "3:19: missing key `name` in the `remote_servers` of a pool".into(),
                "3:30: `weight` must be a whole number from 1 to 1000, found 0".into(),
                "3:33: unknown key `nam` in the `remote_servers` of a pool, expected one of `name`, `weight`; did you mean \
                 `name`?"
                    .into(),
                "4:11: `balance` must be one of \"failover\", \"round-robin\", \"least-outstanding\", \"hash\", found \
                 \"hsah\""
                    .into(),
                "5:11: `on_dead` must be one of \"fail\", \"repick\", found \"retry\"".into(),
            ],
        ),
        (
            "remote_servers = [\"alpha\"]\nbalance = \"hash\"",
            vec!["1:1: `balance = \"hash\"` needs `hash_by`: what is hashed".into()],
        ),
        (
            "remote_servers = [\"alpha\"]\nbalance = \"hash\"\nhash_by = []",
            vec![
                "5:11: `hash_by` must be an array of names of attributes such as [\"Calling-Station-Id\"], 1 to 16, found an \
                 empty array"
                    .into(),
            ],
        ),
        (
            "remote_servers = [\"alpha\"]\nbalance = \"hash\"\nhash_by = [\"Calling-Station-ID\", \"Tunnel-Password\", \"State\", \
             \"Vendor-Specific\", 5]",
            vec![
                "5:12: unknown attribute `Calling-Station-ID`; did you mean `Calling-Station-Id`?".into(),
                "5:34: `Tunnel-Password` cannot be hashed: it is hidden under a secret".into(),
                "5:53: `State` cannot be hashed: the rounds of a conversation differ in it".into(),
                "5:62: `Vendor-Specific` cannot be hashed: it holds attributes and no value".into(),
                "5:81: `hash_by` must be an array of names of attributes such as [\"Calling-Station-Id\"], found 5".into(),
            ],
        ),
    ] {
        assert_eq!(behind_servers(&format!("[[pool]]\nname = \"p\"\n{lines}\n")), errors, "{lines}");
    }
    let twice = "[[pool]]\nname = \"p\"\nremote_servers = [\"alpha\"]\n".repeat(2);
    assert_eq!(behind_servers(&twice), ["5:8: pool \"p\" is defined twice"]);
}

#[test]
fn realms_are_of_rfc_7542_or_the_two_that_are_none() {
    let expected = "`name` must be a realm such as \"example.org\" (RFC 7542: two labels or more), \"*\" for any other, or \
                    \"\" for names without one, found";
    for name in [
        "org",
        "example.org.",
        ".example.org",
        "a..org",
        "-a.org",
        "a_b.org",
        "bob@example.org",
        "*.org",
        " ",
    ] {
        assert_eq!(
            added(&format!("[[realm]]\nname = \"{name}\"\n")),
            [format!("2:8: {expected} \"{name}\"")]
        );
    }
    // A User-Name of 253 octets has 252 behind its `@`.
    let long = |octets: usize| format!("[[realm]]\nname = \"{}.example.org\"\n", "a".repeat(octets - 12));
    assert_eq!(added(&long(252)), ["no error"]);
    assert_eq!(added(&long(253)), [format!("2:8: {expected} a text")]);
    assert_eq!(added("[[realm]]\nname = 5\n"), [format!("2:8: {expected} 5")]);
    assert_eq!(added("[[realm]]\n"), ["1:1: missing key `name` in [[realm]]"]);
    assert_eq!(
        added(
            "[[realm]]\nname = \"a.org\"\n[[realm]]\nname = \"A.ORG\"\n[[realm]]\nname = \"\"\n[[realm]]\nname = \"\"\n"
        ),
        ["4:8: realm \"a.org\" is defined twice", "8:8: realm \"\" is defined twice"]
    );
    assert_eq!(
        added(
            "[[realm]]\nname = \"*\"\nsubrealms = true\npool = \"p\"\naccounting_pool = 5\nstate_lifetime = \"25h\"\n\
             state_max = 0\n"
        ),
        [
            "3:1: realm \"*\" has no `subrealms`: only a realm with a name can",
            "4:8: `pool` must be the name of a [[pool]], found \"p\"",
            "5:19: `accounting_pool` must be the name of a [[pool]], found 5",
            "6:18: `state_lifetime` must be from \"10ms\" to \"1d\", found \"25h\"",
            "7:13: `state_max` must be a whole number from 1 to 16777216, found 0",
        ]
    );
    assert_eq!(
        added("[protocol]\nstate_lifetime = \"0s\"\nstate_max = 16_777_217\n"),
        [
            "2:18: `state_lifetime` must be from \"10ms\" to \"1d\", found \"0s\"",
            "3:13: `state_max` must be a whole number from 1 to 16777216, found 16777217",
        ]
    );
}

#[test]
fn rules_forward_to_a_pool_or_by_realm() {
    let rules = |lines: &str| {
        behind_servers(&format!(
            "[[pool]]\nname = \"pool\"\nremote_servers = [\"beta\"]\n[[server]]\nname = \"s\"\n{lines}"
        ))
    };
    assert_eq!(
        rules(
            "[[server.new]]\nwhen = { realm = \"a\" }\nproxy = \"pol\"\n[[server.new]]\nwhen = { realm = \"b\" }\nproxy = true\n\
             [[server.new]]\nwhen = { realm = \"c\" }\nproxy = { by = \"ream\" }\n[[server.new]]\nwhen = { realm = \"d\" }\n\
             proxy = {}\n[[server.new]]\nproxy = \"pool\"\naccept = true\n"
        ),
        [
            "8:9: `proxy` must be the name of a [[pool]], found \"pol\"; did you mean \"pool\"?",
            "11:9: `proxy` must be the name of a [[pool]] or { by = \"realm\" }, found true",
            "14:16: `by` must be \"realm\", found \"ream\"",
            "17:9: missing key `by` in `proxy`",
            "19:1: a rule has one action, found `accept` and `proxy`",
        ]
    );
    let by_realm = "proxy = { by = \"realm\" }\n";
    assert_eq!(
        rules(&format!("[[server.new]]\n{by_realm}[[server.accounting]]\n{by_realm}")),
        [
            "7:9: `proxy = { by = \"realm\" }` needs a [[realm]] with `pool`",
            "9:9: `proxy = { by = \"realm\" }` needs a [[realm]] with `accounting_pool`",
        ]
    );
    assert_eq!(
        rules(
            "[[server.accounting]]\nwhen = { realm = \"a\" }\nstore = \"file\"\nproxy = \"p\"\n[[server.accounting]]\n"
        ),
        [
            "8:9: `store = \"file\"` needs an [accounting.file] with a `path`",
            "9:9: `proxy` must be the name of a [[pool]], found \"p\"",
            "10:1: the rule needs an action: `store`, `proxy` or both",
        ]
    );
}

#[test]
fn ongoing_conversations_go_on_or_are_rejected() {
    assert_eq!(
        added(
            "[[server]]\nname = \"s\"\n[[server.ongoing]]\nwhen = { reply = \"challenge\" }\ncontinue = false\n\
             [[server.ongoing]]\nwhen = { realm = \"a\" }\ncontinue = true\nreject = true\n[[server.ongoing]]\n\
             [[server.ongoing]]\nproxy = \"p\"\n"
        ),
        [
            "4:10: `reply` is only there for rules of [[server.reply]]",
            "5:12: `continue` must be true, found false",
            "9:1: a rule has one action, found `continue` and `reject`",
            "10:1: the rule needs an action: `continue` or `reject`",
            "11:1: rule 4 is never reached: rule 3 of this server has no `when` and always matches",
            "11:1: the rule needs an action: `continue` or `reject`",
            "12:1: unknown key `proxy` in [[server.ongoing]], expected one of `when`, `continue`, `reject`, `set_reply`, \
             `remove_reply`, `allow_reply`, `set_request`, `remove_request`, `allow_request`, `set_session`",
        ]
    );
    let server = |name: &str, ongoing: &str| format!("[[server]]\nname = \"{name}\"\nongoing = {ongoing}\n");
    assert_eq!(
        added(
            &[
                server("a", "\"aa\""),
                server("b", "\"b\""),
                server("c", "\"d\""),
                server("d", "\"default\""),
                server("e", "5")
            ]
            .concat()
        ),
        [
            "3:11: `ongoing` must be the name of a [[server]], found \"aa\"; did you mean \"a\"?",
            "6:11: `ongoing` names the server itself: write its rules as [[server.ongoing]]",
            "9:11: server \"d\" has no rules of its own for `ongoing`: it names another",
            "15:1: `ongoing` must be written as [[server.ongoing]], found a whole number",
        ]
    );
    assert_eq!(added(&server("a", "\"default\"")), ["no error"]);
}
