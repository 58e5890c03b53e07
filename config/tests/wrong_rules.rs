//! Each kind of wrong rule, with the exact message and its place.

use ulna_config::{Cores, default_text, parse};

/// What is reported of a rule for new requests with these lines: line (1 is the first of them), column and message.
fn rule(lines: &str) -> Vec<String> {
    server(&format!("[[server.new]]\naccept = true\n{lines}\n"), 2)
}

/// The same of lines within a server, of which `skipped` are not counted.
fn server(lines: &str, skipped: usize) -> Vec<String> {
    let text = format!("{}\n[[server]]\nname = \"s\"\n{lines}", default_text());
    let before = default_text().lines().count() + 3 + skipped;
    let Err(errors) = parse(&text, "ulna.toml", Cores(2)) else { return vec!["no error".into()] };
    errors
        .iter()
        .map(|finding| {
            let place = finding.place.expect("a text has places");
            let line = place.line.checked_sub(before).expect("what stands before is not wrong");
            format!("{line}:{}: {}", place.column, finding.message)
        })
        .collect()
}

/// The one message about a condition, with its column counted from the condition's name.
fn condition(text: &str) -> String {
    let errors = rule(&format!("when = {{ {text} }}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    let (place, message) = errors[0].split_once(": ").expect("a place stands first");
    let column = place.strip_prefix("1:").and_then(|column| column.parse::<usize>().ok());
    format!("{}: {message}", column.expect("it is on the first line") - "when = { ".len())
}

#[test]
fn a_when_is_a_table_of_conditions() {
    assert_eq!(
        rule("when = \"realm\""),
        ["1:8: `when` must be a table such as { realm = \"example.org\", NAS-Port-Type = \"Virtual\" }, \
             found \"realm\""]
    );
    assert_eq!(rule("when = {}"), ["1:8: `when` has no condition: a rule without `when` always matches"]);
}

#[test]
fn names_are_ours_in_lower_case_or_attributes() {
    for (text, message) in [
        (
            "reaml = \"x\"",
            "1: unknown name `reaml`, expected one of `realm`, `client`, `listener`, `network`, `time`, `reply`, \
             `session.NAME`; attributes begin with a capital letter; did you mean `realm`?",
        ),
        ("NAS-Identifer = \"x\"", "1: unknown attribute `NAS-Identifer`; did you mean `NAS-Identifier`?"),
        ("NAS-identifier = \"x\"", "1: unknown attribute `NAS-identifier`; did you mean `NAS-Identifier`?"),
        ("\"Class:1\" = \"x\"", "1: `Class:1`: this attribute has no tag"),
        (
            "session.site = \"x\"",
            "1: `session` expects a name behind it, all in quotes: \"session.NAME\" = …",
        ),
        ("\"session.site\" = \"x\"", "1: no rule sets `site` with `set_session`"),
        ("reply = \"accept\"", "1: `reply` is only there for rules of [[server.reply]]"),
        ("client = \"localhos\"", "10: no [[client]] is called \"localhos\"; did you mean \"localhost\"?"),
        ("listener = \"auth\"", "12: no [[listen]] is called \"auth\""),
    ] {
        assert_eq!(condition(text), message);
    }
}

#[test]
fn values_fit_their_names() {
    for (text, message) in [
        (
            "NAS-Port = \"seven\"",
            "12: `NAS-Port` expects a whole number from 0 to 4294967295, found \"seven\"",
        ),
        (
            "NAS-Port-Type = \"Wireles-802.11\"",
            "17: `NAS-Port-Type` expects a whole number from 0 to 4294967295 or the name of a value (did you mean \
             \"Wireless-802.11\"?), found \"Wireles-802.11\"",
        ),
        ("NAS-Port = true", "12: `NAS-Port` expects a text or a whole number, found true or false"),
        (
            "NAS-IP-Address = \"192.0.2\"",
            "18: `NAS-IP-Address` expects an IPv4 address such as \"192.0.2.1\", found \"192.0.2\"",
        ),
        (
            "NAS-IP-Address = \"192.0.2.1/24\"",
            "18: `NAS-IP-Address` expects an address or a network: host bits are set; the network is \
             \"192.0.2.0/24\"",
        ),
        (
            "NAS-IP-Address = \"2001:db8::/32\"",
            "18: `NAS-IP-Address` holds no address of this network, found \"2001:db8::/32\"",
        ),
        (
            "Framed-IP-Netmask = 5",
            "21: `Framed-IP-Netmask` expects an IPv4 address such as \"192.0.2.1\", found 5",
        ),
        (
            "\"Attr-26.9.1\" = \"x\"",
            "17: `Attr-26.9.1` expects a text of \"0x\" and pairs of hexadecimal digits",
        ),
        (
            "User-Password = \"x\"",
            "17: of `User-Password` only `present` can be asked: it is hidden under a secret",
        ),
        (
            "Vendor-Specific = { regex = \"x\" }",
            "19: of `Vendor-Specific` only `present` can be asked: it holds attributes and no value",
        ),
        ("realm = true", "9: `realm` expects a text of at most 253 octets or a form, found true"),
        (
            "network = \"192.0.2.0/33\"",
            "11: `network` must be a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an array of them, \
             found \"192.0.2.0/33\"",
        ),
        (
            "network = { present = true }",
            "11: `network` must be a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an array of them, \
             found another form",
        ),
        (
            "time = [\"Mo-Fr\", \"25:00-26:00\"]",
            "18: `time` must be days and hours such as \"Mo-Fr 08:00-18:00\" or \"22:00-06:00 +01:00\", or an array of \
             them, found \"25:00-26:00\"",
        ),
    ] {
        assert_eq!(condition(text), message);
    }
}

#[test]
fn forms_are_known_and_hold_what_they_must() {
    for (text, message) in [
        (
            "Class = { regx = \"x\" }",
            "11: `Class` expects one of `regex`, `glob`, `present`, `one_of` and `not`, found `regx`; did you mean \
             `regex`?",
        ),
        (
            "Class = { regex = \"x\", glob = \"y\" }",
            "9: `Class` expects a table with one of `regex`, `glob`, `present`, `one_of` and `not`, found one with 2 \
             keys",
        ),
        ("Class = { present = 1 }", "21: `present` of `Class` must be true or false, found 1"),
        ("Class = { glob = [] }", "18: `glob` of `Class` must be a text, found an empty array"),
        ("Class = { one_of = \"x\" }", "20: `one_of` of `Class` must be an array of values, found \"x\""),
        ("Class = { one_of = [] }", "20: `Class` is compared with nothing: the array is empty"),
        (
            "Class = { one_of = [\"x\", { glob = \"y\" }] }",
            "26: `Class` expects values in an array, found a table: forms hold it, not it them",
        ),
        (
            "Class = [\"x\"]",
            "9: `Class` is compared with one value or a form, found an array: write { one_of = […] }",
        ),
        ("Class = { not = { not = { regex = 1 } } }", "35: `regex` of `Class` must be a text, found 1"),
        (
            "NAS-Port = { not = { glob = \"1*\" } }",
            "29: `glob` needs text or octets, and `NAS-Port` is integer: compare it with values, several in { one_of \
             = […] }",
        ),
        (
            "Class = { regex = \"a(b\" }",
            "19: `regex` is not a regular expression: at its character 2: unclosed group",
        ),
        (
            "Class = { regex = \"a.{40}$\" }",
            "19: `regex` is too large: more than 1024 octets as it is written or 262144 when compiled; fewer or \
             shorter repetitions, or ^ at its beginning, make it smaller",
        ),
        (
            "Class = { glob = 'a\\' }",
            "18: `glob` is not a regular expression: at its character 2: `\\` with nothing behind it",
        ),
    ] {
        assert_eq!(condition(text), message);
    }
}

#[test]
fn edits_name_attributes_that_rules_may_change() {
    assert_eq!(
        rule(
            "remove_reply = \"Class\"\nallow_reply = [\"Clas\", 5]\nremove_request = [\"State\", \"Class:1\"]\n\
             set_request = { Proxy-State = \"0x00\" }\nset_session = { Site = \"x\", site = true, ok = 5 }"
        ),
        [
            "1:16: `remove_reply` must be an array of names of attributes such as [\"Class\", \"Tunnel-Type:1\"], \
             found \"Class\"",
            "2:16: unknown attribute `Clas`; did you mean `Class`?",
            "2:24: `allow_reply` must be an array of names of attributes such as [\"Class\", \"Tunnel-Type:1\"], \
             found 5",
            "3:19: `State` cannot be set: it is ulna's own to write",
            "3:28: `Class:1`: this attribute has no tag",
            "4:17: `Proxy-State` cannot be set: it is ulna's own to write",
            "5:17: `Site` must be a name of small letters, digits, `_` and `-`",
            "5:36: `site` expects a text of at most 253 octets or a whole number, found true",
        ]
    );
    assert_eq!(
        rule("set_request = { Tunnel-Password = \"hunter2\" }"),
        ["1:1: `set_request` has an attribute that is hidden under a secret: that is not built yet"]
    );
    let long = "x".repeat(253);
    assert_eq!(
        rule(&format!(
            "set_session = {{ a = \"{long}\", b = \"{long}\", c = \"{long}\", d = \"{long}\", e = 1 }}"
        )),
        ["1:1065: `set_session` has more than the 1024 octets that a session has room for"]
    );
}

#[test]
fn rules_for_replies_and_accounting_have_keys_of_their_own() {
    assert_eq!(
        server("[[server.new]]\naccept = true\n[[server.reply]]\naccept = true\nset_request = {}\n", 0),
        [
            "4:1: unknown key `accept` in [[server.reply]], expected one of `when`, `set_reply`, `remove_reply`, \
             `allow_reply`",
            "5:1: unknown key `set_request` in [[server.reply]], expected one of `when`, `set_reply`, \
             `remove_reply`, `allow_reply`",
        ]
    );
    assert_eq!(
        server(
            "[[server.reply]]\nset_reply = {}\n[[server.reply]]\nwhen = { reply = \"maybe\" }\n\
             [[server.reply]]\nwhen = { reply = { one_of = [\"accept\", \"reject\"] } }\n",
            0
        ),
        [
            "3:1: rule 2 is never reached: rule 1 of this server has no `when` and always matches",
            "4:18: `reply` must be \"accept\", \"reject\" or \"challenge\", found \"maybe\"",
            "5:1: rule 3 is never reached: rule 1 of this server has no `when` and always matches",
            "6:18: `reply` must be \"accept\", \"reject\" or \"challenge\", found a table",
        ]
    );
    assert_eq!(
        server(
            "[[server.accounting]]\nwhen = { reply = \"accept\" }\n[[server.accounting]]\nstore = \"file\"\n",
            0
        ),
        [
            "1:1: the rule needs an action: `store`, `proxy` or both",
            "2:10: `reply` is only there for rules of [[server.reply]]",
            "4:9: `store = \"file\"` needs an [accounting.file] with a `path`",
        ]
    );
}

#[test]
fn a_session_that_is_asked_for_is_set_somewhere() {
    let new = "[[server.new]]\nwhen = { \"session.sit\" = 1 }\naccept = true\n\
               [[server.new]]\naccept = true\nset_session = { site = 1 }\n";
    assert_eq!(server(new, 0), ["2:10: no rule sets `sit` with `set_session`; did you mean `session.site`?"]);
    assert_eq!(server(&new.replace("session.sit\"", "session.site\""), 0), ["no error"]);
}

#[test]
fn the_patterns_of_all_rules_are_bounded_together() {
    // Each takes most of what one may.
    let rule = "[[server.new]]\naccept = true\nwhen = { Class = { regex = \"a.{10}bN$\" } }\n";
    let rules: String = (0..160).map(|number| rule.replace('N', &number.to_string())).collect();
    let errors = server(&rules, 0);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].ends_with("from this `regex` on the patterns of all rules take more than 16777216 octets"),
        "{errors:?}"
    );
}
