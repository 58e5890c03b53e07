//! Each kind of wrong file, with the exact message and its place.

use ulna_config::{Cores, default_text, parse};

/// Everything reported of a text, as it is printed.
fn printed(text: &str) -> String {
    parse(text, "ulna.toml", Cores(2)).err().map_or("no error".into(), |errors| errors.to_string())
}

/// What is reported of lines added to the default configuration: line (counted from the first added), column and
/// message of each.
fn added(lines: &str) -> Vec<String> {
    let before = default_text().lines().count();
    let text = format!("{}{lines}", default_text());
    let Err(errors) = parse(&text, "ulna.toml", Cores(2)) else { return vec!["no error".into()] };
    errors
        .iter()
        .map(|finding| {
            let place = finding.place.expect("a text has places");
            let line = place.line.checked_sub(before).expect("the default configuration is not wrong");
            format!("{line}:{}: {}", place.column, finding.message)
        })
        .collect()
}

#[test]
fn errors_show_file_place_message_and_line_with_a_caret() {
    let text = format!("{}[runtime]\nworkers = \"many\" # a comment\n", default_text());
    let line = default_text().lines().count() + 2;
    assert_eq!(
        printed(&text),
        format!(
            "ulna.toml:{line}:11: `workers` must be a whole number from 1 to 256 or \"auto\", found \"many\"\n\
             \u{20}   workers = \"many\" …\n\
             \u{20}             ^"
        )
    );
}

#[test]
fn a_line_that_is_no_toml_is_not_shown_with_what_a_terminal_would_obey() {
    for before in ['\u{b}', '\u{c}', '\u{85}'] {
        assert_eq!(printed(&format!("[log]\n{before}requests = true")).lines().count(), 1);
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_text() {
    assert_eq!(
        added("[runtime]\nworkers = 0\n[protocol]\nreject_delay = 5\n[log]\nrequests = \"no\"\n"),
        [
            "2:11: `workers` must be a whole number from 1 to 256 or \"auto\", found 0",
            "4:16: `reject_delay` must be a span of time such as \"30s\" (units: us, ms, s, m, h, d), found 5",
            "6:12: `requests` must be true or false, found \"no\"",
        ]
    );
}

#[test]
fn a_misspelt_secret_is_unknown_offers_the_nearest_and_is_not_shown() {
    assert_eq!(
        printed("[[client]]\nname = \"a\"\nnetwork = \"192.0.2.1\"\nsecrt = \"hunter2hunter2\"\n"),
        "ulna.toml:1:1: there is no [[listen]]: nothing to serve\n\
         ulna.toml:1:1: missing key `secret` in [[client]]\n\
         \u{20}   [[client]]\n\
         \u{20}   ^\n\
         ulna.toml:4:1: unknown key `secrt` in [[client]], expected one of `name`, `network`, `secret`, \
         `require_message_authenticator`, `limit_proxy_state`, `coa_address`, `nas_identifier`; did you mean `secret`?\n\
         \u{20}   secrt …\n\
         \u{20}   ^"
    );
}

#[test]
fn a_secret_before_the_error_on_its_line_is_masked() {
    let text = "client = [{ secret = \"hunter2hunter2\", name = 5 }]";
    let shown = "\u{20}   client = [{ secret = ***, name = 5 …\n\
                 \u{20}                                    ^";
    assert!(printed(text).contains(shown), "{}", printed(text));
}

#[test]
fn no_value_that_is_hidden_in_packets_is_ever_shown() {
    let secrets = [
        "Tunnel-Password = \"hunter2hunter2\"",
        "\"Tunnel-Password:1\" = [\"hunter2hunter2\", \"hunter2\"]",
        "\"Tunnel-Password:32\" = \"hunter2hunter2\"",
        "Tunnel-Passwort = \"hunter2hunter2\"",
        "MS-MPPE-Send-Key = \"0xhunter2\"",
        "MS-CHAP-MPPE-Keys = \"hunter2hunter2\"",
        "Ascend-Send-Secret = \"hunter2hunter2hunter2\"",
        "Ascend-Receive-Secret = [\"hunter2\", { a = \"hunter2\" }]",
        "User-Password = \"hunter2\"",
        "CHAP-Password = \"hunter2\"",
        "\"Attr-69\" = \"hunter2\"",
    ];
    for secret in secrets {
        // The line of an error is shown up to the error, and here they all stand on one.
        let text = format!(
            "user = [{{ name = \"a\", password = \"p\", reply = {{ {secret}, Session-Timeout = \"soon\" }} }}]"
        );
        let printed = printed(&text);
        assert!(
            !printed.contains("hunter2") && printed.contains("***") && printed.contains("= \"soon\" …"),
            "{printed}"
        );
    }
    assert_eq!(
        added(
            "[[user]]\nname = \"a\"\npassword = \"p\"\nreply = { Ascend-Send-Secret = \"hunter2hunter2hunter2\" }\n"
        ),
        ["4:32: `Ascend-Send-Secret` expects text of 1 to 16 octets, found a text"]
    );
}

#[test]
fn what_is_no_control_socket() {
    let long = "a".repeat(104);
    let cases = [
        ("[control]\n".to_string(), "missing key `socket` in [control]"),
        (format!("[control]\nsocket = \"{long}\"\n"), "a path of 104 octets: a socket's has at most 103"),
        (
            "[control]\nsocket = \"s\"\nmode = \"0999\"\n".into(),
            "`mode` must be permissions in octal digits such as \"0660\", found \"0999\"",
        ),
        (
            "[control]\nsocket = \"s\"\nmode = 660\n".into(),
            "`mode` must be permissions in octal digits such as \"0660\", found 660",
        ),
        (
            "[control]\nsocket = \"s\"\nbuffer_octets = 1024\n".into(),
            "`buffer_octets` must be a whole number from 10240 to 16777216, found 1024",
        ),
        (
            "[control]\nsocket = \"s\"\nmark = 0\n".into(),
            "`mark` must be a whole number from 1 to 100, found 0",
        ),
    ];
    for (text, expected) in cases {
        let errors = added(&text);
        assert!(errors.len() == 1 && errors[0].ends_with(expected), "{text}: {errors:?}");
    }
}

#[test]
fn unknown_tables_and_wrong_brackets() {
    assert_eq!(
        added("[listens]\n"),
        [
            "1:2: unknown key `listens` in the file, expected one of `include`, `runtime`, `protocol`, `listen`, \
          `client`, `client_rule`, `limits`, `user`, `remote_server`, `pool`, `realm`, `server`, `accounting`, `log`, `control`; \
          did you mean `listen`?"
        ]
    );
    assert_eq!(added("[[log]]\n"), ["1:3: `log` must be written as [log], found an array"]);
    let text = "[client]\nname = \"a\"\n";
    assert!(printed(text).contains("ulna.toml:1:2: `client` must be written as [[client]], found a table"));
}

#[test]
fn runtime_ranges() {
    assert_eq!(
        added(
            "[runtime]\nnetwork_threads = 65\nring_slots = 1000\nrequests_max = 2.5\nsignal = \"never\"\n\
             receive_buffer_octets = -1\ndedup_entries_max = 0\nreplies_octets_max = \"64 MiB\"\n\
             linger_max = \"1s\"\nlinger_cpu = 101\n"
        ),
        [
            "2:19: `network_threads` must be a whole number from 0 to 64, found 65",
            "3:14: `ring_slots` must be a power of two from 2 to 65536, found 1000",
            "4:16: `requests_max` must be a whole number from 1 to 1048576, found 2.5",
            "5:10: `signal` must be one of \"announce\", \"always\", \"timer\", found \"never\"",
            "6:25: `receive_buffer_octets` must be a whole number from 4096 to 1073741824, found -1",
            "7:21: `dedup_entries_max` must be a whole number from 1 to 16777216, found 0",
            "8:22: `replies_octets_max` must be a whole number from 65536 to 17179869184, found \"64 MiB\"",
            "9:14: `linger_max` must be from \"0s\" to \"10ms\", found \"1s\"",
            "10:14: `linger_cpu` must be a whole number from 0 to 100, found 101",
        ]
    );
}

#[test]
fn protocol_spans() {
    assert_eq!(
        added("[protocol]\nrequest_timeout = \"2h\"\ndedup_lifetime = \"10\"\ndelayed_rejects_max = true\n"),
        [
            "2:19: `request_timeout` must be from \"10ms\" to \"1h\", found \"2h\"",
            "3:18: `dedup_lifetime` must be a span of time such as \"30s\" (units: us, ms, s, m, h, d), \
             found \"10\"",
            "4:23: `delayed_rejects_max` must be a whole number from 0 to 10000000, found true",
        ]
    );
    assert_eq!(
        added("[protocol]\nreject_delay = \"30s\"\n"),
        ["2:16: `reject_delay` must be shorter than `request_timeout`"]
    );
}

#[test]
fn listeners() {
    assert_eq!(
        added(
            "[[listen]]\nname = \"\"\ntransport = \"tls\"\naddress = [\"127.0.0.1\", \"[::ffff:192.0.2.1]:1812\"]\n\
             packets = [\"acess\", \"coas\"]\nserver = \"defualt\"\n"
        ),
        [
            "2:8: `name` must be text of 1 to 253 octets without control characters, found \"\"",
            "3:13: `transport = \"tls\"` is not built yet",
            "4:12: `address` must be an address with port such as \"0.0.0.0:1812\" or \"[::]:1812\", found \
             \"127.0.0.1\"",
            "4:25: `address` must be written as IPv4, \"192.0.2.1:1812\", found \"[::ffff:192.0.2.1]:1812\"",
            "5:12: `packets` must be one of \"access\", \"accounting\", \"status\", \"coa\", found \"acess\"",
            "5:21: `packets` must be one of \"access\", \"accounting\", \"status\", \"coa\", found \"coas\"",
            "6:10: `server` must be the name of a [[server]], found \"defualt\"; did you mean \"default\"?",
        ]
    );
    assert_eq!(
        added("[[listen]]\nname = \"authentication\"\naddress = \"127.0.0.1:1812\"\npackets = []\n"),
        [
            "1:1: missing key `server` in [[listen]]",
            "2:8: listener \"authentication\" is defined twice",
            "3:11: 127.0.0.1:1812 is already listened on by \"authentication\"",
            "4:11: `packets` must be an array of \"access\", \"accounting\", \"status\", \"coa\", found an empty array",
        ]
    );
}

#[test]
fn clients_and_their_networks() {
    assert_eq!(
        added(
            "[[client]]\nname = \"localhost\"\nnetwork = [\"192.0.2.1/24\", \"x\", \"::/129\"]\n\
             secret = \"0123456789abcdef\"\n"
        ),
        [
            "2:8: client \"localhost\" is defined twice",
            "3:12: `network` \"192.0.2.1/24\": host bits are set; the network is \"192.0.2.0/24\"",
            "3:28: `network` must be a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an address, \
             found \"x\"",
            "3:33: `network` \"::/129\": the prefix length must be 0 to 128",
        ]
    );
    assert_eq!(
        added("[[client]]\nname = \"b\"\nnetwork = \"::1\"\nsecret = \"0123456789abcdef\"\n"),
        ["3:11: network ::1/128 of client \"b\" already belongs to client \"localhost\""]
    );
    assert_eq!(
        added("[[client]]\nnetwork = []\nsecret = \"0123456789abcdef\"\nlimit_proxy_state = \"auto\"\n"),
        [
            "1:1: missing key `name` in [[client]]",
            "2:11: `network` must be a network such as \"192.0.2.0/24\", or an array of them, found an empty array",
            "4:21: `limit_proxy_state` must be true or false, found \"auto\"",
        ]
    );
}

/// The one error of a client with this secret.
fn secret_error(secret: &str) -> String {
    let errors = added(&format!("[[client]]\nname = \"b\"\nnetwork = \"192.0.2.1\"\nsecret = {secret}\n"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn secrets_are_texts_and_never_empty() {
    // checklist 6
    assert_eq!(secret_error("\"\""), "4:1: `secret` must not be empty");
    assert_eq!(secret_error("[\"0123456789abcdef\", \"\"]"), "4:1: `secret` must not be empty");
    let text = "a text, { file = \"…\" } or { env = \"…\" }";
    let expected = format!("4:1: `secret` must be {text}, or [NEW, OLD] while rotating, found");
    assert_eq!(secret_error("5"), format!("{expected} a whole number"));
    assert_eq!(secret_error("[\"0123456789abcdef\"]"), format!("{expected} an array of 1"));
    assert_eq!(secret_error("{ hunter2 = 5 }"), format!("{expected} another table"));
    let each = format!("4:1: `secret` must be {text} in [NEW, OLD], found a whole number");
    assert_eq!(secret_error("[5, \"0123456789abcdef\"]"), each);
}

#[test]
fn users_and_replies() {
    assert_eq!(
        added(
            "[[user]]\nname = \"bob\"\npassword = 5\nreply = { Sesion-Timeout = 5, Session-Timeout = \"soon\", \
             Proxy-State = \"x\", Tunnel-Password = true, Reply-Message = [\"a\", []] }\n"
        ),
        [
            "2:8: user \"bob\" is defined twice",
            "3:1: `password` must be a text, { file = \"…\" } or { env = \"…\" } of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }, found a whole number",
            "4:11: unknown attribute `Sesion-Timeout`; did you mean `Session-Timeout`?",
            "4:49: `Session-Timeout` expects a whole number from 0 to 4294967295, found \"soon\"",
            "4:57: `Proxy-State` cannot be set: it is ulna's own to write",
            "4:94: `Tunnel-Password` expects a text or a whole number, found true or false",
            "4:122: `Reply-Message` expects a text or a whole number, found an array",
        ]
    );
    assert_eq!(
        added(
            "[[user]]\nname = \"a\"\npassword = \"\"\n[[user]]\nname = \"b\"\npassword = { argon2 = \"x\" }\n"
        ),
        [
            "3:1: `password` must be a text, { file = \"…\" } or { env = \"…\" } of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }, found none",
            "6:23: the digest begins with no \"$\"",
        ]
    );
}

#[test]
fn one_time_codes() {
    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let of = |value: &str| {
        added(&format!("[[user]]\nname = \"a\"\npassword = \"hello\"\none_time_code = {value}\n"))
    };
    for right in ["", ", digits = 8", ", period = \"1m\"", ", algorithm = \"sha512\""] {
        assert_eq!(of(&format!("{{ totp = \"{SEED}\"{right} }}")), ["no error"], "{right}");
    }
    assert_eq!(of(&format!("{{ totp = \"{}\" }}", SEED.to_lowercase())), ["no error"]);
    for (wrong, error) in [
        ("digits = 5", "4:71: `digits` must be from 6 to 8"),
        ("digits = \"GEZDGNBV\"", "4:71: `digits` must be from 6 to 8"),
        ("period = \"1s\"", "4:71: `period` must be whole seconds from \"10s\" to \"5m\""),
        ("period = \"10500ms\"", "4:71: `period` must be whole seconds from \"10s\" to \"5m\""),
        ("algorithm = \"md5\"", "4:74: `algorithm` must be \"sha1\", \"sha256\" or \"sha512\""),
    ] {
        assert_eq!(of(&format!("{{ totp = \"{SEED}\", {wrong} }}")), [error], "{wrong}");
    }
    // A key that nobody knows may be the seed.
    let other = "4:1: `one_time_code` has `totp`, `algorithm`, `digits` and `period`, found another key";
    assert_eq!(of(&format!("{{ {SEED} = 1 }}")), [other]);
    assert_eq!(of(&format!("{{ toptp = \"{SEED}\" }}")), [format!("{other}; did you mean `totp`?")]);
    assert_eq!(of("{ digits = 6 }"), ["4:17: missing key `totp` in `one_time_code`"]);
    let table = "4:1: `one_time_code` must be written as { totp = \"…\" }, found a text";
    assert_eq!(of(&format!("\"{SEED}\"")), [table]);
    let seed = "4:19: `totp` must be a seed in base32: a text, { file = \"…\" } or { env = \"…\" }, found a whole number";
    assert_eq!(of("{ totp = 5 }"), [seed]);
    for (seed, error) in [
        ("GEZDGNBVGY3TQOJQ", "the seed has 10 octets in base32, instead of 16 to 128"),
        ("not a seed", "the seed is not base32: letters A to Z, digits 2 to 7"),
    ] {
        assert_eq!(of(&format!("{{ totp = \"{seed}\" }}")), [format!("4:19: {error}")]);
    }
    let device = added("[[user]]\nmac = \"00-11-22-33-44-55\"\none_time_code = { totp = \"x\" }\n");
    assert_eq!(device, ["3:1: a device has no `one_time_code`: it is known by its `mac`"]);
}

#[test]
fn nt_hashes() {
    let digits = "3e057cd123205aa168af5f121716b335";
    let of = |value: &str| added(&format!("[[user]]\nname = \"a\"\npassword = {{ {value} }}\n"));
    let wrong = ["3:24: `nt_hash` must be 32 hexadecimal digits"];
    assert_eq!(of(&format!("nt_hash = \"{digits}\"")), ["no error"]);
    assert_eq!(of(&format!("nt_hash = \"{}\"", digits.to_uppercase())), ["no error"]);
    for text in
        ["", &digits[1..], &format!("{digits}0"), &format!("+{}", &digits[1..]), &digits.replace('3', "g")]
    {
        assert_eq!(of(&format!("nt_hash = \"{text}\"")), wrong, "{text}");
    }
    assert_eq!(of("nt_hash = 5"), ["3:14: `nt_hash` must be a text, found a whole number"]);
    let expected = "a text, { file = \"…\" } or { env = \"…\" } of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }";
    let other = [format!("3:1: `password` must be {expected}, found another table")];
    assert_eq!(of(""), other);
    assert_eq!(of(&format!("nt_hash = \"{digits}\", argon2 = \"x\"")), other);
    assert_eq!(of("md5 = \"x\""), other);
}

#[test]
fn devices() {
    let expected = "a hardware address such as \"00-11-22-33-44-55\", or an array of them";
    assert_eq!(
        added(
            "[[user]]\nmac = \"00-11-22-33-44-55\"\n[[user]]\nmac = [\"0011.2233.4456\", \"001122334455\", \"00-11\", 5]\n\
             [[user]]\nname = \"printer\"\npassword = \"x\"\nmac = []\n"
        ),
        [
            "4:26: device 00-11-22-33-44-55 is defined twice".to_string(),
            format!("4:42: `mac` must be {expected}, found \"00-11\""),
            format!("4:51: `mac` must be {expected}, found 5"),
            "6:1: a device has no `name`: it is known by its `mac`".to_string(),
            "7:1: a device has no `password`: it is known by its `mac`".to_string(),
            format!("8:7: `mac` must be {expected}, found an empty array"),
        ]
    );
    assert_eq!(
        added("[[server]]\nname = \"s\"\n[[server.new]]\nauthenticate = \"macs\"\n"),
        ["4:16: `authenticate` must be one of \"users\", \"mac\", found \"macs\""]
    );
}

#[test]
fn a_reply_that_fits_no_packet_is_refused() {
    let message = format!("\"{}\"", "x".repeat(253));
    let messages = vec![message; 16].join(", ");
    assert_eq!(
        added(&format!(
            "[[user]]\nname = \"a\"\npassword = \"b\"\nreply = {{ Reply-Message = [{messages}] }}\n"
        )),
        ["4:1: `reply` has more than 4058 octets of attributes, for which a packet has room"]
    );
}

#[test]
fn rules_have_one_action_and_are_reached() {
    assert_eq!(
        added(
            "[[server]]\nname = \"s\"\n[[server.new]]\naccept = true\nreject = true\n[[server.new]]\n\
             [[server.new]]\nauthenticate = \"ldap\"\n"
        ),
        [
            "5:1: a rule has one action, found `accept` and `reject`",
            "6:1: rule 2 is never reached: rule 1 of this server has no `when` and always matches",
            "6:1: the rule needs an action: `accept`, `reject`, `authenticate` or `proxy`",
            "7:1: rule 3 is never reached: rule 1 of this server has no `when` and always matches",
            "8:16: `authenticate` must be one of \"users\", \"mac\", found \"ldap\"",
        ]
    );
    assert_eq!(
        added("[[server]]\nname = \"default\"\n[[server.new]]\naccept = false\nwhen = { realm = \"x\" }\n"),
        ["2:8: server \"default\" is defined twice", "4:10: `accept` must be true, found false",]
    );
    // A rule with `when` may fail to match, so the next is reached; an action that is wrong is one.
    assert_eq!(
        added(
            "[[server]]\nname = \"s\"\n[[server.new]]\nwhen = {}\nproxy = \"x\"\n[[server.new]]\nreject = true\n"
        ),
        [
            "4:8: `when` has no condition: a rule without `when` always matches",
            "5:9: `proxy` must be the name of a [[pool]], found \"x\"",
        ]
    );
}

#[test]
fn log_formats() {
    let wrong = "2:10: `format` must be one of \"text\", \"json\", found \"xml\"";
    assert_eq!(added("[log]\nformat = \"xml\"\n"), [wrong]);
    assert_eq!(added("[log]\nformat = \"json\"\n"), ["no error"]);
}

#[test]
fn what_is_not_toml_is_placed_and_shows_no_value() {
    let text = "[[client]]\nname = \"a\"\nsecret = hunter2\n";
    let printed = printed(text);
    assert!(printed.starts_with("ulna.toml:3:10: not TOML: "), "{printed}");
    assert!(printed.ends_with("\n    secret = …\n             ^"), "{printed}");
    let twice = self::printed("[log]\nrequests = true\nrequests = false\n");
    assert_eq!(twice, "ulna.toml:3:1: not TOML: duplicate key\n    requests = …\n    ^");
}

#[test]
fn columns_count_characters_and_tabs_keep_the_caret_in_place() {
    let text = format!("{}[log]\n\tformat\t=\t\"é\" # ü\n", default_text());
    assert!(printed(&text).ends_with("\n    \tformat\t=\t\"é\" …\n    \t      \t \t^"), "{}", printed(&text));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let path = std::path::Path::new("no such directory/ulna.toml");
    let error = ulna_config::load(path, Cores(1)).err().expect("there is none").to_string();
    assert!(error.starts_with("no such directory/ulna.toml: cannot be read: "), "{error}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let path = std::env::temp_dir().join(format!("ulna-config-test-{}.toml", std::process::id()));
    std::fs::write(&path, b"# caf\xe9\n").expect("the temporary directory can be written");
    let error = ulna_config::load(&path, Cores(1)).err().map(|errors| errors.to_string());
    std::fs::remove_file(&path).expect("it was just written");
    let expected = format!("{}: is not UTF-8: the octet at offset 5 begins no character", path.display());
    assert_eq!(error, Some(expected));
}

#[test]
fn a_file_of_nothing_has_nothing_to_serve() {
    assert_eq!(printed(""), "ulna.toml:1:1: there is no [[listen]]: nothing to serve");
}

#[test]
fn a_wildcard_and_an_address_of_its_family_and_port() {
    let listener = |name: &str, address: &str| {
        format!(
            "[[listen]]\nname = \"{name}\"\ntransport = \"udp\"\naddress = {address}\npackets = [\"access\"]\n\
             server = \"default\"\n"
        )
    };
    for (one, other, message) in [
        (
            "0.0.0.0:2812",
            "192.0.2.1:2812",
            "192.0.2.1:2812 and 0.0.0.0:2812 of \"a\" overlap: only one can be bound",
        ),
        ("[::1]:2812", "[::]:2812", "[::]:2812 and [::1]:2812 of \"a\" overlap: only one can be bound"),
    ] {
        let two = listener("a", &format!("\"{one}\"")) + &listener("b", &format!("\"{other}\""));
        assert_eq!(added(&two), [format!("10:11: {message}")]);
        let one_listener = listener("a", &format!("[\"{one}\", \"{other}\"]"));
        let column = 14 + one.len() + 2;
        assert_eq!(added(&one_listener), [format!("4:{column}: {message}")]);
    }
    // Other families, other ports, ports of the system's choice.
    for right in [
        r#"["0.0.0.0:2812", "[::]:2812", "[::1]:2813", "127.0.0.1:2813"]"#,
        r#"["0.0.0.0:0", "127.0.0.1:0"]"#,
    ] {
        assert_eq!(added(&listener("a", right)), ["no error"]);
    }
}

#[test]
fn tables_that_no_machine_has_room_for() {
    let keys = "lower `workers`, `network_threads`, `ring_slots`, `requests_max`, `dedup_entries_max`, \
                `replies_octets_max`, `delayed_rejects_max`, or of streams `connections_max` or `streams_octets_max`";
    for (settings, place, gibibytes) in [
        ("[runtime]\nworkers = 256\n", "2:11", 280),
        ("[runtime]\nnetwork_threads = 64\nworkers = 64\nrequests_max = 1_048_576\n", "3:11", 937),
        ("[runtime]\nworkers = 8\nreplies_octets_max = 17_179_869_184\n", "2:11", 129),
        ("[runtime]\nworkers = 80\nring_slots = 65536\n", "2:11", 116),
        ("[runtime]\nnetwork_threads = 64\ndedup_entries_max = 16_777_216\n", "1:1", 147),
    ] {
        let message = format!(
            "{place}: the tables of all threads would take {gibibytes} GiB, at most 64 are allowed; {keys}"
        );
        assert_eq!(added(settings), [message], "{settings}");
    }
    let cores_for_it = "[runtime]\nnetwork_threads = 64\nworkers = 64\n";
    assert_eq!(added(cores_for_it), ["no error"]);
}

#[test]
fn more_sockets_than_can_be_numbered() {
    let addresses: Vec<_> = (0..1000).map(|port| format!("\"127.0.0.2:{}\"", 3000 + port)).collect();
    let listener = format!(
        "[[listen]]\nname = \"a\"\ntransport = \"udp\"\naddress = [{}]\npackets = [\"access\"]\nserver = \"default\"\n",
        addresses.join(", ")
    );
    let settings = "[runtime]\nworkers = 100\n";
    let errors = added(&format!("{listener}{settings}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].ends_with("1004 addresses in 100 network cores are more than 65536 sockets"),
        "{errors:?}"
    );
    assert_eq!(added(&format!("{listener}[runtime]\nnetwork_threads = 64\nworkers = 64\n")), ["no error"]);
}

#[test]
fn attributes_with_tags_and_by_number() {
    let error = |reply: &str| -> Vec<String> {
        added(&format!("[[user]]\nname = \"eve\"\npassword = \"x\"\nreply = {{ {reply} }}\n"))
    };
    assert_eq!(error("\"Session-Timeout:1\" = 5"), ["4:11: `Session-Timeout:1`: this attribute has no tag"]);
    assert_eq!(error("\"Tunnel-Type:32\" = 5"), ["4:11: `Tunnel-Type:32`: expected a tag from 0 to 31"]);
    assert_eq!(error("\"Attr-80\" = \"0x00\""), ["4:11: `Attr-80` cannot be set: it is ulna's own to write"]);
    assert_eq!(
        error("\"Attr-26.9.1\" = \"hunter2\""),
        ["4:27: `Attr-26.9.1` expects a text of \"0x\" and pairs of hexadecimal digits"]
    );
    assert_eq!(error("\"Attr-26.9\" = \"0x00\""), ["4:25: no packet has an attribute 26.9"]);
    assert_eq!(
        error("session-timeout = 5"),
        ["4:11: unknown attribute `session-timeout`; did you mean `Session-Timeout`?"]
    );
}

#[test]
fn client_rules() {
    let rule = |keys: &str| format!("[[client_rule]]\nname = \"x\"\nnetwork = \"192.0.2.0/24\"\n{keys}\n");
    let own = "secret = \"a secret of many octets\"";
    for (keys, expected) in [
        ("", "missing key `secret` in [[client_rule]]"),
        (
            "secret = { table = \"nowhere.toml\", key = \"NAS-Identifier\" }",
            "nowhere.toml: cannot be read: No such file or directory (os error 2)",
        ),
        ("secret = { table = \"x\" }", "missing `key` in the `secret` of a client rule"),
        ("secret = { table = \"x\", key = \"NAS-Idenitfier\" }", "did you mean `NAS-Identifier`?"),
        (
            "secret = { table = \"x\", key = \"User-Password\" }",
            "`User-Password` is hidden by the secret that it should lead to",
        ),
        (
            "nat = true\nrequire_message_authenticator = false\nsecret = \"a secret of many octets\"",
            "with `nat = true` each request must be signed",
        ),
        ("connected = true\nsecret = \"a secret of many octets\"", "`connected` needs `nat = true`"),
        (
            "when = { client = \"x\" }\nsecret = \"a secret of many octets\"",
            "`client` is not known yet where a client rule decides who a client is",
        ),
        ("prefer = \"both\"\nsecret = \"a secret of many octets\"", "`prefer` must be"),
        (
            "limits = { clients = 0 }\nsecret = \"a secret of many octets\"",
            "`clients` must be a whole number from 1 to 1000000, found 0",
        ),
        (
            "limits = { per_address = { conections = 5 } }\nsecret = \"a secret of many octets\"",
            "unknown key `conections` in the `per_address` of `limits`",
        ),
    ] {
        let text = format!("{}{}", default_text(), rule(keys));
        let found = printed(&text);
        assert!(found.contains(expected), "{keys}: {found}");
    }
    assert_eq!(added(&rule(own)), ["no error"]);
    let twice = format!("{}{}", rule(own), rule(own));
    assert_eq!(added(&twice), ["6:8: client rule \"x\" is defined twice"]);
}
