//! `ulna check --against`: what a reload would change.

mod support;

use support::{PASSWORD, SECRET, file, on_free_ports, run};

fn files(new: &str, old: &str) -> [String; 2] {
    [file("new.toml", new), file("old.toml", old)].map(|path| path.display().to_string())
}

/// The lines that tell of the difference.
fn difference(new: &str, old: &str) -> Vec<String> {
    let [new, old] = files(new, old);
    let output = run(&["check", "--config", &new, "--against", &old]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is UTF-8").lines().map(Into::into).collect()
}

/// The same for a change of the configuration of most tests, and the other way round.
fn both_ways(changed: &str) -> [Vec<String>; 2] {
    let text = on_free_ports("");
    assert_ne!(changed, text, "something is changed");
    [difference(changed, &text), difference(&text, changed)]
}

#[track_caller]
fn assert_changes(from: &str, to: &str, line: &str) {
    let text = on_free_ports("");
    assert!(text.contains(from), "{from} stands in {text}");
    let told = both_ways(&text.replacen(from, to, 1));
    assert_eq!(told, [[line], [line]]);
}

#[test]
fn the_same_is_no_difference_however_it_is_written() {
    let text = on_free_ports("");
    assert_eq!(difference(&text, &text), ["no difference"]);
    let other = text.replace(" = ", "   =   ").replace("[[user]]", "# A comment.\n[[user]]");
    assert_eq!(difference(&other, &text), ["no difference"]);
}

#[test]
fn clients_and_users_with_the_keys_that_change_and_no_secret() {
    let other = "another-secret-that-nobody-prints";
    assert_changes(SECRET, other, "client \"localhost\" changes: `secret`");
    assert_changes(
        &format!("\"{SECRET}\""),
        &format!("[\"{other}\", \"{SECRET}\"]"),
        "client \"localhost\" changes: `secret`",
    );
    assert_changes("\"127.0.0.2\", ", "", "client \"localhost\" changes: `network`");
    let flags = format!("\"{SECRET}\"\nrequire_message_authenticator = true\nlimit_proxy_state = false");
    assert_changes(
        &format!("\"{SECRET}\""),
        &flags,
        "client \"localhost\" changes: `require_message_authenticator`, `limit_proxy_state`",
    );
    assert_changes(PASSWORD, "another-password", "user \"bob\" changes: `password`");
    assert_changes(
        &format!("\"{PASSWORD}\""),
        "{ nt_hash = \"3e057cd123205aa168af5f121716b335\" }",
        "user \"bob\" changes: `password`",
    );
    assert_changes("Hello, bob.", "Hello.", "user \"bob\" changes: `reply`");
    let text = on_free_ports("");
    let more = "\n[[client]]\nname = \"new \\\"x\\\"\"\nnetwork = \"192.0.2.1\"\nsecret = \"0123456789abcdef\"\n\
                [[user]]\nname = \"alice\"\npassword = \"x\"\n[[user]]\nmac = \"00-11-22-33-44-55\"\n";
    let names = ["client \"new \\\"x\\\"\"", "user \"alice\"", "device 00-11-22-33-44-55"];
    let [new, gone] = both_ways(&format!("{text}{more}"));
    assert_eq!(new, names.map(|name| format!("{name} is new")));
    assert_eq!(gone, names.map(|name| format!("{name} is gone")));
    let reply = format!("{text}{more}reply = {{ Class = \"0x01\" }}\n");
    assert_eq!(difference(&reply, &format!("{text}{more}")), ["device 00-11-22-33-44-55 changes: `reply`"]);
}

#[test]
fn a_secret_in_a_file_counts_and_where_it_stands_does_not() {
    let text = on_free_ports("");
    let [new, old] = files(&text.replace(&format!("\"{SECRET}\""), "{ file = \"s\" }"), &text);
    let secret = std::path::Path::new(&new).with_file_name("s");
    for (content, told) in
        [(SECRET, "no difference\n"), ("some-other-secret", "client \"localhost\" changes: `secret`\n")]
    {
        std::fs::write(&secret, content).expect("it can be written");
        let output = run(&["check", "--config", &new, "--against", &old]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), told);
    }
}

#[test]
fn rules_that_are_new_gone_or_others() {
    let rule = |name: &str| format!("[[server.new]]\nwhen = {{ User-Name = \"{name}\" }}\naccept = true\n");
    let with = |names: &[&str]| {
        let rules: String = names.iter().map(|name| rule(name)).collect();
        on_free_ports("").replace("[[server.new]]", &format!("{rules}[[server.new]]"))
    };
    let told = |new: &[&str], old: &[&str]| difference(&with(new), &with(old));
    let of = |what: &str| vec![format!("server \"default\": {what}")];
    assert_eq!(told(&["a", "b"], &["a"]), of("rule 2 of [[server.new]] is new"));
    assert_eq!(told(&["x", "y", "a"], &["a"]), of("rules 1 to 2 of [[server.new]] are new"));
    assert_eq!(told(&["b"], &["a", "b"]), of("rule 1 of [[server.new]] is gone"));
    assert_eq!(told(&["a"], &["b"]), of("rule 1 of [[server.new]] changes"));
    assert_eq!(told(&["b", "a", "c"], &["a", "b", "c"]), of("rules 1 to 2 of [[server.new]] change"));
    assert_eq!(told(&["x", "y", "c"], &["a", "c"]), of("rule 1 of [[server.new]] is now rules 1 to 2"));
    assert_eq!(told(&["x", "x"], &["x"]), of("rule 2 of [[server.new]] is new"));
    let text = on_free_ports("");
    let edited = text
        .replace("authenticate = \"users\"", "authenticate = \"users\"\nset_reply = { Class = \"0x01\" }");
    assert_eq!(difference(&edited, &text), of("rule 1 of [[server.new]] changes"));
    let more = "[[server.reply]]\nremove_reply = [\"Class\"]\n[[server]]\nname = \"other\"\n[[server.new]]\nreject = true\n";
    let [new, gone] = both_ways(&format!("{text}{more}"));
    let reply = "server \"default\": rule 1 of [[server.reply]] is";
    assert_eq!(new, [format!("{reply} new"), "server \"other\" is new".into()]);
    assert_eq!(gone, [format!("{reply} gone"), "server \"other\" is gone".into()]);
}

const FORWARDING: &str = r#"
[[remote_server]]
name = "a"
address = "127.0.0.1:1912"
secret = "0123456789abcdef"
[[remote_server]]
name = "b"
address = "127.0.0.2:1912"
secret = "0123456789abcdef"
[[pool]]
name = "p"
remote_servers = ["a", "b"]
[[realm]]
name = "example.org"
pool = "p"
[[server]]
name = "edge"
[[server.new]]
when = { User-Name = "x" }
proxy = "p"
[[server.new]]
proxy = { by = "realm" }
[[server.ongoing]]
continue = true
[[server.accounting]]
proxy = "p"
[[server]]
name = "later"
"#;

#[test]
fn realms_pools_and_remote_servers_with_the_keys_that_change_and_no_secret() {
    let text = format!("{}{FORWARDING}", on_free_ports(""));
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} stands in {text}");
        difference(&text.replacen(from, to, 1), &text)
    };
    for (from, to, line) in [
        ("127.0.0.2:1912", "127.0.0.2:1812", "remote server \"b\" changes: `address`"),
        (
            "secret = \"0123456789abcdef\"\n[[remote",
            "secret = \"nobody-prints-this\"\n[[remote",
            "remote server \"a\" changes: `secret`",
        ),
        (
            "[[pool]]\n",
            "status_check = \"status-server\"\nstatus_interval = \"1s\"\nresponse_window = \"1s\"\nzombie_period = \"1s\"\n\
             revive_interval = \"1s\"\noutstanding_max = 1\nrequire_message_authenticator = false\n\
             source_address = \"127.0.0.9\"\n[[pool]]\n",
            "remote server \"b\" changes: `source_address`, `require_message_authenticator`, `status_check`, \
             `response_window`, `zombie_period`, `revive_interval`, `status_interval`, `outstanding_max`",
        ),
        ("[\"a\", \"b\"]", "[\"b\", \"a\"]", "pool \"p\" changes: `remote_servers`"),
        (
            "[\"a\", \"b\"]",
            "[\"a\", { name = \"b\", weight = 2 }]\nbalance = \"hash\"\nhash_by = [\"Class\"]\non_dead = \"repick\"",
            "pool \"p\" changes: `balance`, `on_dead`, `hash_by`, `remote_servers`",
        ),
        (
            "pool = \"p\"",
            "accounting_pool = \"p\"\npool = \"p\"\nsubrealms = true\nstate_lifetime = \"1s\"\nstate_max = 1",
            "realm \"example.org\" changes: `accounting_pool`, `subrealms`, `state_lifetime`, `state_max`",
        ),
        ("continue = true", "reject = true", "server \"edge\": rule 1 of [[server.ongoing]] changes"),
    ] {
        assert_eq!(change(from, to), [line], "{to}");
    }
    assert_eq!(
        change("[[server.ongoing]]\ncontinue = true\n", "")[..],
        ["server \"edge\": rule 1 of [[server.ongoing]] is gone"]
    );
    assert_eq!(
        change("name = \"later\"", "name = \"later\"\nongoing = \"edge\""),
        ["server \"later\" changes: `ongoing`"]
    );
    let protocol =
        format!("[protocol]\nstate_lifetime = \"2m\"\nstate_max = 5\nnew_request_wait_max = \"2s\"\n{text}");
    assert_eq!(
        difference(&protocol, &text),
        [
            // That of a realm which does not say its own.
            "realm \"example.org\" changes: `state_lifetime`, `state_max`",
            "`new_request_wait_max` becomes 2s; it was 1s",
            "`state_lifetime` becomes 2m; it was 1m",
            "`state_max` becomes 5; it was 100000",
        ]
    );
}

/// Tables are numbered as they stand: what counts is their names.
#[test]
fn a_rule_goes_to_the_pool_that_it_names_wherever_that_stands() {
    let text = format!("{}{FORWARDING}", on_free_ports(""));
    let other = "[[remote_server]]\nname = \"c\"\naddress = \"127.0.0.3:1912\"\nsecret = \"0123456789abcdef\"\n\
                 [[pool]]\nname = \"q\"\nremote_servers = [\"c\"]\n[[realm]]\nname = \"example.net\"\npool = \"q\"\n";
    let before = text.replacen("[[remote_server]]", &format!("{other}[[remote_server]]"), 1);
    let names = ["remote server \"c\"", "pool \"q\"", "realm \"example.net\""];
    assert_eq!(difference(&before, &text), names.map(|name| format!("{name} is new")));
    assert_eq!(difference(&text, &before), names.map(|name| format!("{name} is gone")));
    // Where the number is the same and the name is not.
    let renamed = before.replace("proxy = \"p\"", "proxy = \"q\"");
    assert_eq!(
        difference(&renamed, &before),
        [
            "server \"edge\": rule 1 of [[server.new]] changes",
            "server \"edge\": rule 1 of [[server.accounting]] changes"
        ]
    );
}

#[test]
fn listeners_settings_and_what_waits_for_a_restart() {
    let text = on_free_ports("").replacen("\"127.0.0.1:0\"", "\"127.0.0.1:2812\"", 1);
    let change = |from: &str, to: &str| difference(&text.replacen(from, to, 1), &text);
    assert_eq!(
        change("packets = [\"access\", \"status\"]", "packets = [\"access\"]")[0],
        "listener \"authentication\" on 127.0.0.1:2812 changes: `packets`"
    );
    assert_eq!(
        change("\"127.0.0.1:2812\"", "\"127.0.0.1:2813\""),
        [
            "127.0.0.1:2812 is gone: what comes there is discarded, and it is closed by a restart",
            "127.0.0.1:2813 is new, and listened on after a restart"
        ]
    );
    let settings = "[runtime]\nworkers = 3\nrequests_max = 77\n[protocol]\nreject_delay = \"2s\"\n\
                    [log]\nformat = \"json\"\n[[listen]]\n";
    assert_eq!(
        change("[[listen]]\n", settings),
        [
            "`reject_delay` becomes 2s; it was 1s",
            "`workers` has changed and waits for a restart",
            "`requests_max` has changed and waits for a restart",
            "`format` has changed and waits for a restart"
        ]
    );
}

#[test]
fn what_a_running_server_would_refuse_ends_with_2() {
    let runtime = |workers: u32, size: u32| {
        on_free_ports(&format!(
            "[runtime]\nnetwork_threads = 16\nworkers = {workers}\nrequests_max = {size}\nring_slots = {size}\n"
        ))
    };
    let [new, old] = files(&runtime(256, 64), &runtime(1, 65_536));
    assert_eq!(run(&["check", "--config", &new]).status.code(), Some(0), "by itself it is right");
    let output = run(&["check", "--config", &new, "--against", &old]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("a reload would be refused: with `workers` = 256 "), "{told}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_error_in_either_ends_with_2() {
    let text = on_free_ports("");
    for (new, old, wrong) in [("x = 1", &*text, "new.toml:1:1: "), (&*text, "x = 1", "old.toml:1:1: ")] {
        let [new, old] = files(new, old);
        let output = run(&["check", "--config", &new, "--against", &old]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
        assert!(told.contains(wrong), "{told}");
    }
}
