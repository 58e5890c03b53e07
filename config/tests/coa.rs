//! What `coa_address`, `nas_identifier`, `[[server.coa]]` and the window for Event-Timestamp become, and each kind of wrong one with
//! the exact message and its place.

use std::time::Duration;

use ulna_config::{Configuration, Cores, default_text, parse};
use ulna_core::configuration::Packets;
use ulna_core::forward::{RemoteServerId, Role};
use ulna_core::packet::{Attributes, ErrorCause, Secret};
use ulna_core::policy::CoaDecision;
use ulna_core::{ClientId, ServerId};

/// What every configuration here has: a listener, and rules for CoA.
const FRAME: &str = "[[listen]]\nname = \"coa\"\naddress = \"127.0.0.1:3799\"\ntransport = \"udp\"\n\
                     packets = [\"coa\", \"status\"]\nserver = \"edge\"\n[[server]]\nname = \"edge\"\n";

fn client(name: &str, address: &str, lines: &str) -> String {
    format!(
        "[[client]]\nname = \"{name}\"\nnetwork = \"{address}\"\nsecret = \"a secret of {name} alone\"\n{lines}\n"
    )
}

/// A configuration with these lines, and what is warned of.
fn parsed(lines: &str) -> (Configuration, Vec<String>) {
    match parse(&format!("{FRAME}{lines}"), "ulna.toml", Cores(2)) {
        Ok((configuration, warnings)) => {
            (configuration, warnings.iter().map(|warning| warning.message.clone()).collect())
        }
        Err(errors) => panic!("the text is right, but:\n{errors}"),
    }
}

/// What is reported of lines added to the default configuration: line (counted from the first added), column and message.
fn added(lines: &str) -> Vec<String> {
    let before = default_text().lines().count();
    let Err(errors) = parse(&format!("{}{lines}", default_text()), "ulna.toml", Cores(2)) else {
        return vec!["no error".into()];
    };
    let said = |finding: &ulna_config::Finding| {
        let place = finding.place.expect("a text has places");
        let line = place.line.checked_sub(before).expect("the default configuration is not wrong");
        format!("{line}:{}: {}", place.column, finding.message)
    };
    errors.iter().map(said).collect()
}

/// What NAS-Identifier says of whom.
fn named(configuration: &Configuration, identifier: &str) -> Result<ClientId, ErrorCause> {
    let octets = [&[32, identifier.len() as u8 + 2], identifier.as_bytes()].concat();
    let attributes = Attributes::parse(&octets).expect("it is whole");
    configuration.nases.named(&configuration.clients, &configuration.client_rules, attributes)
}

#[test]
fn every_key_does_something() {
    let clients = [
        client("billing", "192.0.2.9", ""),
        client("switch", "192.0.2.10", "coa_address = \"192.0.2.10:3799\""),
        client("mast", "2001:db8::/64", "coa_address = \"[2001:db8::1]:1700\"\nnas_identifier = \"tower\""),
    ];
    let rules = "[[server.coa]]\nwhen = { client = \"billing\" }\nproxy = \"client\"\nset_request = { Class = \"a\" }\n\
                 remove_request = [\"Reply-Message\"]\n[[server.coa]]\nreject = true\n";
    let remote = "[[remote_server]]\nname = \"r\"\naddress = \"127.0.0.1:1812\"\nsecret = \"a secret of many octets\"\n\
                  [[pool]]\nname = \"p\"\nremote_servers = [\"r\"]\n";
    let settings = "[protocol]\ndedup_lifetime = \"300s\"\nevent_timestamp_window = \"300s\"\nrequire_event_timestamp = true\n";
    let (configuration, _) = parsed(&format!("{rules}{}{remote}{settings}", clients.concat()));
    assert!(configuration.listeners[0].packets == Packets::COA.with(Packets::STATUS));
    let protocol = &configuration.protocol;
    assert_eq!(protocol.event_timestamp_window, Some(Duration::from_secs(300)));
    assert!(protocol.require_event_timestamp);

    let nases = &configuration.nases;
    let address = |client| nases.hop(ClientId(client)).map(|hop| hop.address.to_string());
    assert_eq!(
        [0, 1, 2].map(address),
        [None, Some("192.0.2.10:3799".into()), Some("[2001:db8::1]:1700".into())]
    );
    // They are numbered behind the remote servers.
    let hop = configuration.remote_server(RemoteServerId(2));
    assert_eq!((&*hop.name, hop.role), ("mast", Role::Nas));
    assert!(hop.secret == Secret::new(b"a secret of mast alone").expect("it has octets"));
    assert_eq!(configuration.remote_server(RemoteServerId(0)).role, Role::Server);
    let names: Vec<_> = configuration.hops().map(|hop| &*hop.name).collect();
    assert_eq!(names, ["r", "switch", "mast"]);
    assert_eq!(
        ["billing", "switch", "tower", "mast"].map(|name| named(&configuration, name)),
        [Ok(ClientId(0)), Ok(ClientId(1)), Ok(ClientId(2)), Err(ErrorCause::NasIdentificationMismatch)]
    );
    let rules = &configuration.server(ServerId(0)).coa;
    let decisions: Vec<_> = rules.iter().map(|rule| rule.decision).collect();
    assert_eq!(decisions, [CoaDecision::Proxy, CoaDecision::Reject]);
    let first = rules.iter().next().expect("there are two");
    assert_eq!(first.edits.request.set.plain(), [25, 3, b'a']);
    assert_eq!(first.edits.request.remove.len(), 1);
}

#[test]
fn what_is_not_said_has_its_default() {
    let (configuration, warnings) = parsed(&client("switch", "192.0.2.10", ""));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(configuration.protocol.event_timestamp_window, None);
    assert!(!configuration.protocol.require_event_timestamp);
    assert!(configuration.nases.hops().is_empty() && configuration.server(ServerId(0)).coa.is_empty());
    assert_eq!(named(&configuration, "switch"), Ok(ClientId(0)));
}

#[test]
fn of_two_secrets_a_nas_is_asked_under_the_newer() {
    let rotating = client("switch", "192.0.2.10", "coa_address = \"192.0.2.10:3799\"")
        .replace("\"a secret of switch alone\"", "[\"the newer of two\", \"the older of two\"]");
    let (configuration, _) = parsed(&rotating);
    assert!(configuration.nases.hops()[0].secret == Secret::new(b"the newer of two").expect("it has octets"));
}

#[test]
fn what_leads_nowhere_is_warned_of() {
    let with_address = client("switch", "192.0.2.10", "coa_address = \"192.0.2.10:3799\"");
    let rule = "[[server.coa]]\nwhen = { client = \"switch\" }\nproxy = \"client\"\n";
    for (lines, warned) in [
        (format!("{rule}{with_address}"), &[][..]),
        (
            with_address.clone(),
            &["`coa_address` is not used: no rule of [[server.coa]] has `proxy = \"client\"`"],
        ),
        (
            format!("[[server.coa]]\nreject = true\n{with_address}"),
            &["`coa_address` is not used: no rule of [[server.coa]] has `proxy = \"client\"`"],
        ),
        (
            format!("{rule}{}", client("switch", "192.0.2.10", "")),
            &[
                "rules of [[server.coa]] have `proxy = \"client\"`, and no [[client]] has a `coa_address`: all that they \
               forward is refused",
            ],
        ),
    ] {
        assert_eq!(parsed(&lines).1, warned, "{lines}");
    }
}

#[test]
fn a_rule_by_which_anybody_may_ask_is_warned_of() {
    let with_address = client("switch", "192.0.2.10", "coa_address = \"192.0.2.10:3799\"");
    let said = "whoever may ask here, each NAS too, may change the sessions of all NASes: say who may with `client` or `network` \
                in `when`";
    for (when, warned) in [
        ("", &[said][..]),
        ("when = { realm = \"a.example\" }\n", &[said]),
        ("when = { realm = \"a.example\", network = \"192.0.2.0/24\" }\n", &[]),
        ("when = { client = \"switch\" }\n", &[]),
        ("when = { listener = \"coa\" }\n", &[]),
    ] {
        assert_eq!(
            parsed(&format!("[[server.coa]]\n{when}proxy = \"client\"\n{with_address}")).1,
            warned,
            "{when}"
        );
    }
}

#[test]
fn addresses_are_those_of_one_host_with_a_port() {
    let expected = "the address of one host with port such as \"192.0.2.10:3799\" or \"[2001:db8::10]:3799\"";
    for wrong in [
        "\"192.0.2.10\"",
        "\"192.0.2.10:0\"",
        "\"nas.example.org:3799\"",
        "\"0.0.0.0:3799\"",
        "\"[::]:3799\"",
        "\"224.0.0.1:3799\"",
        "\"255.255.255.255:3799\"",
        "\"[::ffff:192.0.2.10]:3799\"",
        "\"2001:db8::10:3799\"",
        "\"\"",
        "3799",
        "true",
    ] {
        let found = added(&client("nas", "192.0.2.10", &format!("coa_address = {wrong}")));
        assert_eq!(found, [format!("5:15: `coa_address` must be {expected}, found {wrong}")]);
    }
    let array = added(&client("nas", "192.0.2.10", "coa_address = [\"192.0.2.10:3799\"]"));
    assert_eq!(array, [format!("5:15: `coa_address` must be {expected}, found an array")]);
    // Of remote servers, what it would mean nobody has said.
    let remote = "[[remote_server]]\nname = \"a\"\naddress = \"192.0.2.1:1812\"\nsecret = \"0123456789abcdef\"\n\
                  coa_address = \"192.0.2.1:3799\"\n";
    assert_eq!(added(remote), ["5:1: `coa_address` is not built yet"]);
}

#[test]
fn nobody_is_called_as_another_is() {
    let two = |one: &str, other: &str| {
        added(&format!("{}{}", client("one", "192.0.2.1", one), client("two", "192.0.2.2", other)))
    };
    let remedy = "give one of them another `nas_identifier`";
    assert_eq!(
        two("nas_identifier = \"tower\"", "nas_identifier = \"tower\""),
        [format!("10:18: NAS-Identifier \"tower\" of client \"two\" is that of client \"one\": {remedy}")]
    );
    assert_eq!(
        two("", "nas_identifier = \"one\""),
        [format!("10:18: NAS-Identifier \"one\" of client \"two\" is that of client \"one\": {remedy}")]
    );
    assert_eq!(
        two("nas_identifier = \"two\"", ""),
        [format!("6:1: NAS-Identifier \"two\" of client \"two\" is that of client \"one\": {remedy}")]
    );
    assert_eq!(two("nas_identifier = \"two\"", "nas_identifier = \"one\""), ["no error"]);
    assert_eq!(
        added(&client("one", "192.0.2.1", "nas_identifier = \"\"")),
        ["5:18: `nas_identifier` must be text of 1 to 253 octets without control characters, found \"\""]
    );
    assert_eq!(
        added(&client("one", "192.0.2.1", "nas_identifier = 7")),
        ["5:18: `nas_identifier` must be text of 1 to 253 octets without control characters, found 7"]
    );
}

#[test]
fn a_rule_for_coa_does_one_thing() {
    for (rule, message) in [
        ("", "3:1: the rule needs an action: `proxy` or `reject`"),
        ("proxy = \"client\"\nreject = true", "5:1: a rule has one action, found `proxy` and `reject`"),
        ("proxy = \"uni\"", "4:9: `proxy` must be \"client\", found \"uni\""),
        ("proxy = { by = \"realm\" }", "4:9: `proxy` must be \"client\", found a table"),
        ("reject = false", "4:10: `reject` must be true, found false"),
        (
            "accept = true",
            "4:1: unknown key `accept` in [[server.coa]], expected one of `when`, `proxy`, `reject`, `set_request`, \
             `remove_request`, `allow_request`",
        ),
        (
            "reject = true\nwhen = { reply = \"accept\" }",
            "5:10: `reply` is only there for rules of [[server.reply]]",
        ),
        (
            "reject = true\nwhen = { \"session.site\" = \"campus\" }",
            "5:10: `session.site` is not there for rules of [[server.coa]]: nothing is remembered of NASes",
        ),
        ("reject = true\nwhen = { client = \"billing\" }", "5:19: no [[client]] is called \"billing\""),
    ] {
        let found = added(&format!("[[server]]\nname = \"edge\"\n[[server.coa]]\n{rule}\n"));
        assert!(found.iter().any(|error| error == message), "{rule}: {found:?}");
    }
    let unreachable =
        "[[server]]\nname = \"edge\"\n[[server.coa]]\nreject = true\n[[server.coa]]\nreject = true\n";
    assert_eq!(
        added(unreachable),
        ["5:1: rule 2 is never reached: rule 1 of this server has no `when` and always matches"]
    );
    assert_eq!(
        added("[[server]]\nname = \"edge\"\ncoa = true\n"),
        ["3:1: `coa` must be written as [[server.coa]], found true or false"]
    );
}

#[test]
fn the_window_is_not_longer_than_answers_are_kept() {
    for (lines, message) in [
        (
            "event_timestamp_window = \"11s\"",
            "2:26: `event_timestamp_window` must not be longer than `dedup_lifetime`: a request that is sent again is known no \
             longer than that",
        ),
        (
            "event_timestamp_window = \"0s\"",
            "2:26: `event_timestamp_window` must be from \"1s\" to \"1h\", found \"0s\"",
        ),
        (
            "require_event_timestamp = true",
            "2:27: `require_event_timestamp` needs `event_timestamp_window`: nothing is compared without",
        ),
        ("require_event_timestamp = 1", "2:27: `require_event_timestamp` must be true or false, found 1"),
        ("event_timestamp_window = \"10s\"\nrequire_event_timestamp = true", "no error"),
        ("event_timestamp_window = \"5m\"\ndedup_lifetime = \"5m\"", "no error"),
    ] {
        assert_eq!(added(&format!("[protocol]\n{lines}\n")), [message], "{lines}");
    }
}

#[test]
fn there_are_numbers_for_so_many() {
    let clients = |count: u32| -> String {
        let address = |number: u32| std::net::Ipv4Addr::from_bits(10 << 24 | number);
        let nas = |number| {
            let address = address(number);
            let line = format!("coa_address = \"{address}:3799\"");
            client(&format!("nas-{number}"), &address.to_string(), &line)
        };
        (0..count).map(nas).collect()
    };
    assert_eq!(parsed(&clients(32_768)).0.nases.hops().len(), 32_768);
    let message = "32768 remote servers and clients with `coa_address`";
    assert_eq!(added(&clients(32_770)), [format!("{}:15: more than {message}", 32_768 * 5 + 5)]);
}
