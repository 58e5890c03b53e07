//! What it says of requests that are to be forwarded.

use crate::asked::{Asked, assert_says};
use crate::support::file;

const CONFIGURATION: &str = r#"
[[listen]]
name = "auth"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access"]
server = "edge"
[[listen]]
name = "acct"
transport = "udp"
address = "127.0.0.1:0"
packets = ["accounting"]
server = "edge"
[[client]]
name = "switch"
network = "127.0.0.1"
secret = "0123456789abcdef"
[[remote_server]]
name = "uni-1"
address = "127.0.0.1:1912"
secret = "a-secret-that-nobody-prints"
[[remote_server]]
name = "uni-2"
address = "nobody.is-asked.invalid:1912"
secret = "a-secret-that-nobody-prints"
[[remote_server]]
name = "records"
address = "127.0.0.1:1913"
secret = "a-secret-that-nobody-prints"
[[pool]]
name = "uni"
balance = "least-outstanding"
remote_servers = ["uni-1", { name = "uni-2", weight = 3 }]
[[pool]]
name = "home"
on_dead = "repick"
remote_servers = ["uni-2"]
[[pool]]
name = "records"
remote_servers = ["records"]
[[realm]]
name = "Example.EDU"
pool = "uni"
subrealms = true
[[realm]]
name = ""
accounting_pool = "records"
[[server]]
name = "edge"
ongoing = "later"
[[server.new]]
when = { User-Name = { glob = "home*" } }
proxy = "home"
set_request = { NAS-Identifier = "us" }
allow_request = ["User-Name"]
[[server.new]]
proxy = { by = "realm" }
[[server.reply]]
when = { reply = "challenge" }
remove_reply = ["Class"]
[[server.accounting]]
when = { User-Name = "bob" }
store = "file"
proxy = "records"
[[server.accounting]]
when = { User-Name = "carol" }
proxy = "records"
spool = true
[[server.accounting]]
proxy = { by = "realm" }
[[server]]
name = "later"
[[server.ongoing]]
when = { time = "Mo-Fr" }
reject = true
[[server.ongoing]]
continue = true
[accounting.file]
path = "records.json"
[runtime]
state_directory = "state"
"#;

fn says(kind: &'static str, listener: &'static str, attributes: &str) -> String {
    let configuration = file("ulna.toml", CONFIGURATION).display().to_string();
    let text = Asked { configuration, kind, listener, ..Asked::default() }.says(attributes);
    assert!(!text.contains("nobody-prints"), "{text}");
    text
}

fn access(attributes: &str) -> String {
    says("auth", "auth", attributes)
}

#[test]
fn a_realm_leads_to_its_pool_with_all_its_servers() {
    assert_says(
        &access("User-Name = bob@lab.example.edu\nUser-Password = x\n"),
        &[
            "rule 2 (ulna.toml:56): matches, as it has no condition: forward by realm",
            "realm: \"lab.example.edu\", by [[realm]] \"example.edu\"",
            "pool: \"uni\", to that of these with the fewest requests waiting",
            "\"uni-1\" at 127.0.0.1:1912",
            "\"uni-2\" at nobody.is-asked.invalid:1912, weight 3",
            "ongoing: further requests of its conversation meet the 2 rules of [[server.ongoing]] of \"later\", and those that \
             continue go to the same server, and fail if that has died (`on_dead`)",
            "reply: the server's, which meets the rule of [[server.reply]]",
            "result: forwarded to a server of pool \"uni\", whose reply is awaited",
        ],
    );
}

#[test]
fn a_rule_may_name_its_pool_and_change_the_request() {
    assert_says(
        &access("User-Name = home@example.net\nUser-Password = x\nNAS-Port = 1\n"),
        &[
            "rule 1 (ulna.toml:51): matches: forward to pool \"home\"",
            "request: allows only User-Name",
            "request: sets NAS-Identifier = \"us\"",
            "realm: \"example.net\", and no [[realm]] is for that",
            "pool: \"home\", to the first of these that lives",
            "\"uni-2\" at nobody.is-asked.invalid:1912",
            "ongoing: further requests of its conversation meet the 2 rules of [[server.ongoing]] of \"later\", and those that \
             continue go to the same server, or another if that has died (`on_dead`)",
            "result: forwarded to a server of pool \"home\", whose reply is awaited",
        ],
    );
}

#[test]
fn what_leads_nowhere_says_why() {
    let unknown = access("User-Name = bob@example.net\nUser-Password = x\n");
    assert_says(
        &unknown,
        &["realm: \"example.net\", and no [[realm]] is for that", "pool: none, as it has no [[realm]]"],
    );
    let without = access("User-Name = bob\nUser-Password = x\n");
    assert_says(
        &without,
        &["realm: the User-Name has none, by [[realm]] \"\"", "pool: none, as its [[realm]] has no `pool`"],
    );
    for text in [unknown, without] {
        assert!(text.contains("\nresult: ") && !text.contains("forwarded to"), "{text}");
    }
}

#[test]
fn accounting_may_be_stored_and_go_on() {
    let accounting = |name: &str| {
        says(
            "accounting",
            "acct",
            &format!("User-Name = {name}\nAcct-Status-Type = Start\nAcct-Session-Id = 1\n"),
        )
    };
    assert_says(
        &accounting("bob"),
        &[
            "accounting rule 1 (ulna.toml:61): matches: store, then forward to pool \"records\"",
            "pool: \"records\", to the first of these that lives",
            "\"records\" at 127.0.0.1:1913",
            "result: forwarded to a server of pool \"records\", whose reply is awaited",
        ],
    );
    assert_says(
        &accounting("carol"),
        &[
            "accounting rule 2 (ulna.toml:65): matches: spool, then forward to pool \"records\"",
            "pool: \"records\", to the first of these that lives",
            "would be written into the spool, and sent on from there until it is answered",
            "result: Accounting-Response",
        ],
    );
    assert_says(
        &accounting("alice"),
        &[
            "accounting rule 3 (ulna.toml:69): matches, as it has no condition: forward by realm",
            "realm: the User-Name has none, by [[realm]] \"\"",
            "pool: \"records\", to the first of these that lives",
            "result: forwarded to a server of pool \"records\", whose reply is awaited",
        ],
    );
    assert_says(
        &accounting("alice@example.edu"),
        &[
            "realm: \"example.edu\", by [[realm]] \"example.edu\"",
            "pool: none, as its [[realm]] has no `accounting_pool`",
        ],
    );
}
