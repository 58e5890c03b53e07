//! `spool = true` and `[accounting.spool]`.

use ulna_config::{Cores, default_text, parse};
use ulna_core::configuration::SpoolSettings;
use ulna_core::policy::Accounting;

const FAR: &str = "\n[[remote_server]]\nname = \"far\"\naddress = \"192.0.2.1:1813\"\nsecret = \"0123456789abcdef\"\n\
                   [[pool]]\nname = \"far\"\nremote_servers = [\"far\"]\n";
const STATE: &str = "[runtime]\nstate_directory = \"state\"\n";
const RULE: &str = "[[server.accounting]]\nproxy = \"far\"\nspool = true\n";

/// What comes of this before the default configuration, and a rule of its server behind it.
fn spool(before: &str, rule: &str) -> Result<(Option<SpoolSettings>, Vec<Accounting>), Vec<String>> {
    let text = format!("{before}{}{rule}{FAR}", default_text());
    let lines = before.lines().count();
    let behind = lines + default_text().lines().count();
    match parse(&text, "/etc/ulna/ulna.toml", Cores(1)) {
        Ok((configuration, _)) => {
            let rules = configuration.servers.iter().flat_map(|server| server.accounting.iter());
            let rules = rules.map(|rule| rule.accounting).collect();
            Ok((configuration.accounting.spool, rules))
        }
        Err(errors) => Err(errors
            .iter()
            .map(|finding| {
                let place = finding.place.expect("it has a place");
                let (name, line) = match place.line.checked_sub(behind) {
                    Some(line) => ("rule", line),
                    None => ("file", place.line),
                };
                format!("{name} {line}:{}: {}", place.column, finding.message)
            })
            .collect()),
    }
}

#[test]
fn a_rule_is_enough_and_without_one_there_is_no_spool() {
    assert_eq!(spool("", "").expect("right"), (None, Vec::new()));
    let (settings, rules) = spool(STATE, RULE).expect("right");
    let mebibytes = |number: usize| number * 1024 * 1024;
    let defaults =
        SpoolSettings { octets_max: mebibytes(64), outstanding_max: 64, line_octets_max: mebibytes(16) };
    assert_eq!(settings, Some(defaults));
    assert!(matches!(rules[..], [Accounting::Spool(_)]), "{rules:?}");
    let (settings, rules) = spool(STATE, &RULE.replace("true", "false")).expect("right");
    assert_eq!(settings, None);
    assert!(matches!(rules[..], [Accounting::Proxy(_)]), "{rules:?}");
}

#[test]
fn it_may_be_stored_as_well() {
    let file = format!("{STATE}[accounting.file]\npath = \"a\"\n");
    let (_, rules) = spool(&file, &RULE.replace("proxy", "store = \"file\"\nproxy")).expect("right");
    assert!(matches!(rules[..], [Accounting::StoreAndSpool(_)]), "{rules:?}");
}

#[test]
fn all_keys_are_read_and_there_may_be_a_spool_that_no_rule_fills() {
    let keys = "[accounting.spool]\noctets_max = 1_048_576\noutstanding_max = 4_096\nline_octets_max = 1_073_741_824\n";
    let expected = SpoolSettings { octets_max: 1 << 20, outstanding_max: 4_096, line_octets_max: 1 << 30 };
    for rule in [RULE, ""] {
        assert_eq!(spool(&format!("{STATE}{keys}"), rule).expect("right").0, Some(expected));
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let errors = |before: &str, rule: &str| spool(before, rule).expect_err("wrong");
    assert_eq!(
        errors(
            &format!(
                "{STATE}[accounting.spool]\noctets_max = 1_048_575\noutstanding_max = 0\nline_octets_max = \"1 MiB\"\n"
            ),
            RULE
        ),
        [
            "file 4:14: `octets_max` must be a whole number from 1048576 to 17179869184, found 1048575",
            "file 5:19: `outstanding_max` must be a whole number from 1 to 4096, found 0",
            "file 6:19: `line_octets_max` must be a whole number from 65536 to 1073741824, found \"1 MiB\"",
        ]
    );
    assert_eq!(
        errors(&format!("{STATE}[accounting.spool]\npath = \"a\"\n"), RULE),
        [
            "file 4:1: unknown key `path` in [accounting.spool], expected one of `octets_max`, `outstanding_max`, \
             `line_octets_max`"
        ]
    );
    assert_eq!(
        errors("", RULE),
        ["rule 3:9: `spool = true` needs a `state_directory` in [runtime]: the spool is there"]
    );
    assert_eq!(
        errors("[accounting.spool]\n", ""),
        ["file 1:1: [accounting.spool] needs a `state_directory` in [runtime]: the spool is there"]
    );
    let file = format!("{STATE}[accounting.file]\npath = \"a\"\n");
    assert_eq!(
        errors(&file, "[[server.accounting]]\nstore = \"file\"\nspool = true\n"),
        ["rule 3:9: `spool = true` needs a `proxy`: where its records are sent on to"]
    );
    assert_eq!(
        errors(STATE, &RULE.replace("true", "\"far\"")),
        ["rule 3:9: `spool` must be true or false, found \"far\""]
    );
    assert_eq!(
        errors(STATE, "[[server.accounting]]\nspool = true\n"),
        [
            "rule 1:1: the rule needs an action: `store`, `proxy` or both",
            "rule 2:9: `spool = true` needs a `proxy`: where its records are sent on to",
        ]
    );
}
