//! Forty wrong configurations, as an operator meets them: `ulna check` and `ulna serve` say where, what was found and what
//! was expected, and end with 2.

mod support;

use std::process::{Command, Stdio};

use support::{file, on_free_ports, run};

/// Each is what is added to a right configuration: lines, where in them the error is (line from 1, column), and how its
/// message begins.
const WRONG: &[(&str, &str, &str)] = &[
    // The file as a whole.
    ("[listens]\n", "1:2", "unknown key `listens` in the file, expected one of "),
    ("[[log]]\n", "1:3", "`log` must be written as [log], found an array"),
    ("[log\n", "1:5", "not TOML: "),
    ("[log]\nrequests = true\nrequests = true\n", "3:1", "not TOML: duplicate key"),
    ("[metrics]\naddress = \"x\"\n", "1:2", "`metrics` is not built yet"),
    ("[control]\nsocket = \"x\"\nmode = \"999\"\n", "3:8", "`mode` must be permissions in octal digits"),
    ("[[pool]]\nname = \"x\"\n", "1:1", "missing key `remote_servers` in [[pool]]"),
    (
        "[[remote_server]]\nname = \"x\"\naddress = \"0.0.0.0:1812\"\nsecret = \"0123456789abcdef\"\n",
        "3:11",
        "`address` must be the address of one host",
    ),
    ("[[realm]]\nname = \"org\"\n", "2:8", "`name` must be a realm such as \"example.org\" "),
    // [runtime]
    (
        "[runtime]\nworkers = 0\n",
        "2:11",
        "`workers` must be a whole number from 1 to 256 or \"auto\", found 0",
    ),
    ("[runtime]\nworkrs = 1\n", "2:1", "unknown key `workrs` in [runtime], expected one of "),
    (
        "[runtime]\nring_slots = 1000\n",
        "2:14",
        "`ring_slots` must be a power of two from 2 to 65536, found 1000",
    ),
    (
        "[runtime]\nsignal = \"never\"\n",
        "2:10",
        "`signal` must be one of \"announce\", \"always\", \"timer\", found \"never\"",
    ),
    ("[runtime]\nworkers = 256\n", "2:11", "the tables of all threads would take "),
    ("[runtime]\ndictionaries = \"x\"\n", "2:16", "`dictionaries` must be an array of files "),
    ("[runtime]\ndictionaries = [\"/nowhere\"]\n", "2:17", "there is no file `/nowhere`"),
    // [protocol]
    ("[protocol]\nreject_delay = 1\n", "2:16", "`reject_delay` must be a span of time such as \"30s\" "),
    ("[protocol]\nreject_delay = \"1\"\n", "2:16", "`reject_delay` must be a span of time such as \"30s\" "),
    (
        "[protocol]\nreject_delay = \"61s\"\n",
        "2:16",
        "`reject_delay` must be from \"0s\" to \"1m\", found \"61s\"",
    ),
    (
        "[protocol]\nrequest_timeout = \"1s\"\n",
        "2:19",
        "`reject_delay` must be shorter than `request_timeout`",
    ),
    // [[listen]]
    (
        "[[listen]]\nname = \"x\"\naddress = \"::1\"\npackets = [\"access\"]\nserver = \"default\"\n",
        "3:11",
        "`address` must be an address with port ",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = \"[::1]:1\"\npackets = [\"acces\"]\nserver = \"default\"\n",
        "4:12",
        "`packets` must be one of \"access\", \"accounting\", \"status\", \"coa\", found \"acces\"",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = \"[::1]:1\"\npackets = [\"access\"]\nserver = \"defalt\"\n",
        "5:10",
        "`server` must be the name of a [[server]], found \"defalt\"; did you mean \"default\"?",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = [\"[::1]:1\", \"[::1]:1\"]\npackets = [\"access\"]\nserver = \"default\"\n",
        "3:23",
        "[::1]:1 is already listened on by \"x\"",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = [\"[::1]:1\", \"[::]:1\"]\npackets = [\"access\"]\nserver = \"default\"\n",
        "3:23",
        "[::]:1 and [::1]:1 of \"x\" overlap: only one can be bound",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = \"[::1]:1\"\ntransport = \"sctp\"\npackets = [\"access\"]\nserver = \"default\"\n",
        "4:13",
        "`transport` must be one of \"udp\", \"tcp\", found \"sctp\"",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = \"[::1]:1\"\nread_timeout = \"1s\"\npackets = [\"access\"]\nserver = \"default\"\n",
        "4:1",
        "`read_timeout` needs `transport = \"tcp\"`",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = \"[::1]:1\"\ntransport = \"tcp\"\nconnections_max = 0\npackets = [\"access\"]\nserver = \"default\"\n",
        "5:19",
        "`connections_max` must be a whole number from 1 to 1048576, found 0",
    ),
    (
        "[[listen]]\nname = \"x\"\naddress = [\"[::1]:1\", \"[::1]:2\"]\ntransport = \"tcp\"\nconnections_max = 600_000\npackets = [\"access\"]\nserver = \"default\"\n",
        "3:23",
        "more than 1048576 connections of all listeners",
    ),
    // [[client]]
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1/24\"\nsecret = \"0123456789abcdef\"\n",
        "3:11",
        "`network` \"192.0.2.1/24\": host bits are set; the network is \"192.0.2.0/24\"",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"here\"\nsecret = \"0123456789abcdef\"\n",
        "3:11",
        "`network` must be a network such as \"192.0.2.0/24\" ",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"::1\"\nsecret = \"0123456789abcdef\"\n",
        "3:11",
        "network ::1/128 of client \"x\" already belongs to client \"localhost\"",
    ),
    (
        "[[client]]\nname = \"localhost\"\nnetwork = \"192.0.2.1\"\nsecret = \"0123456789abcdef\"\n",
        "2:8",
        "client \"localhost\" is defined twice",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = \"\"\n",
        "4:1",
        "`secret` must not be empty",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = [\"a-secret\"]\n",
        "4:1",
        "`secret` must be a text, { file = \"…\" } or { env = \"…\" }, or [NEW, OLD] while rotating, found an array of 1",
    ),
    ("[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\n", "1:1", "missing key `secret` in [[client]]"),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = \"0123456789abcdef\"\nlimit_proxy_state = 1\n",
        "5:21",
        "`limit_proxy_state` must be true or false, found 1",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = { file = \"/nowhere\" }\n",
        "4:1",
        "the file `/nowhere` of this `secret` cannot be read: No such file or directory",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = { env = \"ULNA_NOT_SET\" }\n",
        "4:1",
        "the environment has no variable `ULNA_NOT_SET` for this `secret`",
    ),
    (
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = { fil = \"/nowhere\" }\n",
        "4:1",
        "`secret` must be a text, { file = \"…\" } or { env = \"…\" }, or [NEW, OLD] while rotating, found another table; did you mean `file`?",
    ),
    // [[user]]
    ("[[user]]\nname = \"bob\"\npassword = \"x\"\n", "2:8", "user \"bob\" is defined twice"),
    (
        "[[user]]\nname = \"x\"\npassword = \"\"\n",
        "3:1",
        "`password` must be a text, { file = \"…\" } or { env = \"…\" } of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }, found none",
    ),
    (
        "[[user]]\nname = \"x\"\npassword = \"x\"\nreply = 5\n",
        "4:9",
        "`reply` must be a table such as { Session-Timeout = 3600 }, found 5",
    ),
    (
        "[[user]]\nname = \"x\"\npassword = \"x\"\nreply = { Sesion-Timeout = 5 }\n",
        "4:11",
        "unknown attribute `Sesion-Timeout`; did you mean `Session-Timeout`?",
    ),
    (
        "[[user]]\nname = \"x\"\npassword = \"x\"\nreply = { Session-Timeout = -1 }\n",
        "4:29",
        "`Session-Timeout` expects a whole number from 0 to 4294967295, found -1",
    ),
    (
        "[[user]]\nname = \"x\"\npassword = \"x\"\nreply = { State = \"x\" }\n",
        "4:11",
        "`State` cannot be set: it is ulna's own to write",
    ),
    // [[server]]
    ("[[server]]\nname = \"default\"\n", "2:8", "server \"default\" is defined twice"),
    ("[[server]]\nname = \"x\"\n[[server.new]]\n", "3:1", "the rule needs an action: "),
    (
        "[[server]]\nname = \"x\"\n[[server.new]]\naccept = true\nreject = true\n",
        "5:1",
        "a rule has one action, found `accept` and `reject`",
    ),
    ("[[server]]\nname = \"x\"\n[[server.new]]\naccept = 1\n", "4:10", "`accept` must be true, found 1"),
    // [log]
    ("[log]\nformat = \"xml\"\n", "2:10", "`format` must be "),
    (
        "[log]\nrequest = true\n",
        "2:1",
        "unknown key `request` in [log], expected one of `format`, `requests`; did you mean `requests`?",
    ),
];

#[test]
fn each_is_refused_with_its_place_and_2() {
    assert!(WRONG.len() >= 40);
    let right = on_free_ports("");
    let before = right.lines().count();
    for (lines, place, message) in WRONG {
        let path = file("ulna.toml", &format!("{right}{lines}"));
        let path = path.to_str().expect("the path is UTF-8");
        let output = run(&["check", "--config", path]);
        let stderr = String::from_utf8(output.stderr).expect("it prints UTF-8");
        let (line, column) = place.split_once(':').expect("line and column");
        let line = before + line.parse::<usize>().expect("a number");
        let first = stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("{path}:{line}:{column}: {message}")), "{lines}{stderr}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{lines}{stderr}");
    }
}

#[test]
fn serving_refuses_what_check_refuses() {
    for (lines, _, message) in WRONG.iter().step_by(11) {
        let path = file("ulna.toml", &format!("{}{lines}", on_free_ports("")));
        let path = path.to_str().expect("the path is UTF-8");
        let output = run(&["serve", "--config", path]);
        let stderr = String::from_utf8(output.stderr).expect("it prints UTF-8");
        assert!(stderr.lines().next().is_some_and(|line| line.contains(message)), "{stderr}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    }
}

#[test]
fn an_error_in_an_included_file_names_that_file_and_a_secret_may_come_from_the_environment() {
    let included = file(
        "clients.toml",
        "[[client]]\nname = \"x\"\nnetwork = \"192.0.2.1\"\nsecret = { env = \"ULNA_TEST_SECRET\" }\n",
    );
    let included = included.to_str().expect("the path is UTF-8");
    let path = file("ulna.toml", &format!("include = [{included:?}]\n{}", on_free_ports("")));
    let check = |value: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ulna"));
        command.args(["check", "--config"]).arg(&path).stdin(Stdio::null());
        value.map(|value| command.env("ULNA_TEST_SECRET", value));
        let output = command.output().expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("it prints UTF-8"))
    };
    assert_eq!(check(Some("0123456789abcdef")), (Some(0), String::new()));
    let why = |what: &str| {
        format!("{included}:4:1: the environment{what} for this `secret`\n    secret …\n    ^\n")
    };
    assert_eq!(check(None), (Some(2), why(" has no variable `ULNA_TEST_SECRET`")));
    assert_eq!(
        check(Some("")),
        (
            Some(2),
            why("'s variable `ULNA_TEST_SECRET` is empty")
                .replace(" is empty for this `secret`", " for this `secret` is empty")
        )
    );
}
