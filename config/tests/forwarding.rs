//! What realms, pools, remote servers and the rules that forward become.

mod support;

use std::time::Duration;

use support::{FRAME, Folder};
use ulna_config::{Configuration, Cores, parse};
use ulna_core::ServerId;
use ulna_core::forward::{
    Balance, Member, OnDead, PoolId, RealmId, RemoteAddress, RemoteServerId, StatusCheck,
};
use ulna_core::packet::Secret;
use ulna_core::policy::{Accounting, Decision, OngoingDecision, Onward};

const CLIENT: &str = "[[client]]\nname = \"c\"\nnetwork = \"127.0.0.1\"\nsecret = \"0123456789abcdef\"\n";

/// A configuration with these lines, and what is warned of.
fn parsed(lines: &str) -> (Configuration, Vec<String>) {
    match parse(&format!("{FRAME}{CLIENT}{lines}"), "ulna.toml", Cores(2)) {
        Ok((configuration, warnings)) => {
            (configuration, warnings.iter().map(|warning| warning.message.clone()).collect())
        }
        Err(errors) => panic!("the text is right, but:\n{errors}"),
    }
}

fn remote_server(name: &str) -> String {
    format!(
        "[[remote_server]]\nname = \"{name}\"\naddress = \"127.0.0.1:1912\"\nsecret = \"a secret of many octets\"\n"
    )
}

fn pool(name: &str, servers: &str) -> String {
    format!("[[pool]]\nname = \"{name}\"\nremote_servers = [{servers}]\n")
}

#[test]
fn what_is_not_said_has_its_default() {
    let lines = [
        &remote_server("a"),
        &pool("p", "\"a\""),
        "[[realm]]\nname = \"Example.ORG\"\npool = \"p\"\n",
        "[[server]]\nname = \"s\"\n[[server.new]]\nproxy = { by = \"realm\" }\n",
    ];
    let (configuration, warnings) = parsed(&lines.concat());
    assert!(warnings.is_empty(), "{warnings:?}");
    let server = configuration.remote_server(RemoteServerId(0));
    assert_eq!((&*server.name, server.address.to_string().as_str()), ("a", "127.0.0.1:1912"));
    assert!(server.secret == Secret::new(b"a secret of many octets").expect("it has octets"));
    assert!(server.require_message_authenticator && server.source_address.is_none());
    assert_eq!(server.status_check, StatusCheck::None, "RFC 5997 section 4.1");
    assert_eq!(
        [
            server.response_window,
            server.zombie_period,
            server.revive_interval,
            server.status_interval,
            server.resolve_interval
        ],
        [20, 40, 120, 30, 60].map(Duration::from_secs)
    );
    assert_eq!(server.outstanding_max, 16_384);
    let pool = configuration.pool(PoolId(0));
    assert_eq!((&*pool.name, pool.balance, pool.on_dead), ("p", Balance::Failover, OnDead::Fail));
    assert_eq!(pool.members, [Member { server: RemoteServerId(0), weight: 1 }]);
    assert!(pool.hash_by.is_empty());
    let realm = configuration.realms.realm(RealmId(0));
    assert_eq!((&*realm.name, realm.pool, realm.accounting_pool), ("example.org", Some(PoolId(0)), None));
    assert_eq!((realm.subrealms, realm.state_lifetime), (false, Duration::from_secs(60)));
    assert_eq!(realm.state_max, 100_000);
    assert_eq!(configuration.protocol.state_lifetime, Duration::from_secs(60));
    assert_eq!(configuration.protocol.state_max, 100_000);
}

#[test]
fn every_key_does_something() {
    let (configuration, warnings) = parsed(
        r#"
        [protocol]
        state_lifetime = "5m"
        state_max = 7
        request_timeout = "10s"
        [[remote_server]]
        name = "a"
        address = "[2001:db8::1]:1812"
        transport = "udp"
        secret = "a secret of many octets"
        require_message_authenticator = true
        status_check = "status-server"
        response_window = "10s"
        zombie_period = "2s"
        revive_interval = "3s"
        status_interval = "4s"
        outstanding_max = 65_536
        source_address = "2001:db8::2"
        [[remote_server]]
        name = "b"
        address = "192.0.2.1:1812"
        secret = "a secret of many octets"
        status_check = "none"
        [[pool]]
        name = "even"
        balance = "round-robin"
        on_dead = "repick"
        remote_servers = ["b", { name = "a", weight = 1000 }]
        [[pool]]
        name = "hashed"
        balance = "hash"
        on_dead = "fail"
        hash_by = ["Calling-Station-Id", "Cisco-AVPair"]
        remote_servers = [{ name = "a" }]
        [[pool]]
        name = "free"
        balance = "least-outstanding"
        remote_servers = ["a"]
        [[pool]]
        name = "first"
        balance = "failover"
        remote_servers = ["a", "b"]
        [[realm]]
        name = "*"
        pool = "even"
        accounting_pool = "first"
        state_lifetime = "10s"
        state_max = 9
        [[realm]]
        name = ""
        pool = "free"
        [[realm]]
        name = "example.org"
        subrealms = true
        [[server]]
        name = "s"
        ongoing = "t"
        [[server.new]]
        when = { realm = "example.org" }
        proxy = "hashed"
        allow_request = ["User-Name", "NAS-Port"]
        set_request = { NAS-Identifier = "x" }
        [[server.new]]
        proxy = { by = "realm" }
        [[server.reply]]
        when = { reply = "challenge" }
        set_reply = { Session-Timeout = 30 }
        [[server.accounting]]
        when = { User-Name = "a" }
        store = "file"
        proxy = "first"
        allow_request = []
        [[server.accounting]]
        when = { User-Name = "b" }
        proxy = "even"
        [[server.accounting]]
        when = { User-Name = "c" }
        store = "file"
        [[server.accounting]]
        proxy = { by = "realm" }
        [accounting.file]
        path = "records"
        [[server]]
        name = "t"
        [[server.ongoing]]
        when = { time = "Mo-Fr" }
        reject = true
        set_reply = { Reply-Message = "no" }
        set_session = { late = 1 }
        [[server.ongoing]]
        continue = true
        remove_request = ["NAS-Port"]
        allow_reply = ["Session-Timeout"]
        remove_reply = ["Class"]
        "#,
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(configuration.protocol.state_lifetime, Duration::from_secs(300));
    assert_eq!(configuration.protocol.state_max, 7);
    let a = configuration.remote_server(RemoteServerId(0));
    assert_eq!(a.address.to_string(), "[2001:db8::1]:1812");
    assert_eq!(a.source_address.map(|address| address.to_string()).as_deref(), Some("2001:db8::2"));
    assert_eq!((a.status_check, a.outstanding_max), (StatusCheck::StatusServer, 65_536));
    assert_eq!(
        [a.response_window, a.zombie_period, a.revive_interval, a.status_interval],
        [10, 2, 3, 4].map(Duration::from_secs)
    );
    // Requests that are given up before the default say sooner that a server does not answer.
    let b = configuration.remote_server(RemoteServerId(1));
    assert_eq!((b.response_window, b.status_check), (Duration::from_secs(10), StatusCheck::None));
    let pools: Vec<_> = configuration.pools.iter().map(|pool| (pool.balance, pool.on_dead)).collect();
    assert_eq!(
        pools,
        [
            (Balance::RoundRobin, OnDead::Repick),
            (Balance::Hash, OnDead::Fail),
            (Balance::LeastOutstanding, OnDead::Fail),
            (Balance::Failover, OnDead::Fail),
        ]
    );
    let member = |server, weight| Member { server: RemoteServerId(server), weight };
    assert_eq!(configuration.pools[0].members, [member(1, 1), member(0, 1_000)]);
    let hashed: Vec<_> = configuration.pools[1].hash_by.iter().map(|by| by.oid.to_string()).collect();
    assert_eq!(hashed, ["31", "26.9.1"]);
    let realm = |name| configuration.realms.find(name).map(|realm| configuration.realms.realm(realm));
    let any = realm(Some("example.net")).expect("any other has one");
    assert_eq!((any.pool, any.accounting_pool), (Some(PoolId(0)), Some(PoolId(3))));
    assert_eq!((any.state_lifetime, any.state_max), (Duration::from_secs(10), 9));
    let none = realm(None).expect("names without have one");
    assert_eq!(
        (none.pool, none.state_lifetime, none.state_max),
        (Some(PoolId(2)), Duration::from_secs(300), 7)
    );
    assert_eq!(realm(Some("lab.example.org")).map(|realm| realm.pool), Some(None), "theirs are ours");

    let server = configuration.server(ServerId(1));
    let decisions: Vec<_> = server.new.iter().map(|rule| rule.decision).collect();
    assert_eq!(decisions, [Decision::Proxy(Onward::Pool(PoolId(1))), Decision::Proxy(Onward::ByRealm)]);
    let first = server.new.iter().next().expect("there are two");
    assert_eq!(first.edits.request.allow.as_ref().map(Vec::len), Some(2));
    assert_eq!(first.edits.request.set.plain(), [32, 3, b'x']);
    let accounting: Vec<_> = server.accounting.iter().map(|rule| rule.accounting).collect();
    assert_eq!(
        accounting,
        [
            Accounting::StoreAndProxy(Onward::Pool(PoolId(3))),
            Accounting::Proxy(Onward::Pool(PoolId(0))),
            Accounting::Store,
            Accounting::Proxy(Onward::ByRealm),
        ]
    );
    assert_eq!((server.reply.len(), server.ongoing.len()), (1, 0));
    assert_eq!(server.ongoing_server, Some(ServerId(2)));
    let ongoing: Vec<_> = configuration.server(ServerId(2)).ongoing.iter().collect();
    assert_eq!(ongoing.len(), 2);
    assert_eq!(ongoing[0].decision, OngoingDecision::Reject);
    assert_eq!(&*ongoing[0].edits.session[0].0, "late");
    assert_eq!(ongoing[0].edits.reply.set.plain(), [18, 4, b'n', b'o']);
    assert_eq!(ongoing[1].decision, OngoingDecision::Continue);
    let edits = &ongoing[1].edits;
    assert_eq!((edits.request.remove.len(), edits.reply.remove.len()), (1, 1));
    assert_eq!(edits.reply.allow.as_ref().map(Vec::len), Some(1));
}

#[test]
fn a_remote_server_may_be_known_by_name() {
    let rest = pool("p", "\"a\"") + "[[server]]\nname = \"s\"\n[[server.new]]\nproxy = \"p\"\n";
    for (text, name) in [
        ("Radius.Example.EDU:1812", "radius.example.edu"),
        ("localhost:1812", "localhost"),
        ("radius.example.edu.:1812", "radius.example.edu."),
        ("3com.example:1812", "3com.example"),
        ("10.0xfg:1812", "10.0xfg"),
    ] {
        let server = remote_server("a").replace("127.0.0.1:1912", text);
        let lines = server + "resolve_interval = \"5s\"\nsource_address = \"2001:db8::2\"\n" + &rest;
        let (configuration, warnings) = parsed(&lines);
        assert!(warnings.is_empty(), "{warnings:?}");
        let server = configuration.remote_server(RemoteServerId(0));
        assert_eq!(server.address, RemoteAddress::Named { name: name.into(), port: 1812 });
        assert_eq!(server.address.to_string(), format!("{name}:1812"));
        assert_eq!(server.resolve_interval, Duration::from_secs(5));
    }
    let unsigned = remote_server("a").replace("127.0.0.1:1912", "radius.example.edu:1812");
    let (_, warnings) = parsed(&(unsigned + "require_message_authenticator = false\n" + &rest));
    assert_eq!(warnings.len(), 1, "it may be anywhere: {warnings:?}");
}

#[test]
fn what_does_nothing_is_warned_of() {
    let (_, warnings) = parsed(
        &[
            &remote_server("idle"),
            &remote_server("a"),
            &pool("unused", "{ name = \"a\", weight = 2 }"),
            &pool("by realm", "\"a\""),
            "hash_by = [\"User-Name\"]\n",
            "[[realm]]\nname = \"example.org\"\npool = \"by realm\"\naccounting_pool = \"by realm\"\n",
            "[[realm]]\nname = \"example.net\"\npool = \"by realm\"\n",
        ]
        .concat(),
    );
    assert_eq!(
        warnings,
        [
            "remote server \"idle\" is not used: it is in no [[pool]]",
            "pool \"unused\" is not used: it is in no [[realm]] and no rule",
            "`weight` does nothing with `balance = \"failover\"`",
            "`hash_by` does nothing without `balance = \"hash\"`",
            "`pool` is not used: no rule of [[server.new]] has `proxy = { by = \"realm\" }`",
            "`accounting_pool` is not used: no rule of [[server.accounting]] has `proxy = { by = \"realm\" }`",
        ]
    );
}

#[test]
fn servers_that_may_answer_unsigned_and_secrets_that_can_be_guessed_are_warned_of() {
    let unsigned = |name: &str, address: &str| {
        format!("{}require_message_authenticator = false\n", remote_server(name))
            .replace("127.0.0.1", address)
    };
    let servers = [unsigned("here", "127.0.0.1"), unsigned("a", "192.0.2.1"), unsigned("b", "192.0.2.2")];
    let rest =
        pool("p", "\"here\", \"a\", \"b\"") + "[[server]]\nname = \"s\"\n[[server.new]]\nproxy = \"p\"\n";
    let (_, warnings) = parsed(&(servers.concat() + &rest));
    assert_eq!(
        warnings,
        [
            "replies of remote server \"a\" and 1 other are believed unsigned, and whoever is between may forge them: \
             set `require_message_authenticator = true` where it signs"
        ]
    );
    let (_, warnings) = parsed(
        &(servers[0].replace("a secret of many octets", "guess") + &rest.replace(", \"a\", \"b\"", "")),
    );
    assert_eq!(warnings, ["a `secret` of 12 octets or fewer can be guessed; use 16 or more"]);
}

/// Tables are hashed under a key that depends on all secrets, wherever they stand.
#[test]
fn a_secret_may_stand_in_a_file_and_keys_the_tables() {
    let folder = Folder::new();
    let lines = [
        &*remote_server("a").replace("\"a secret of many octets\"", "{ file = \"s\" }"),
        &pool("p", "\"a\""),
        "[[server]]\nname = \"s\"\n[[server.new]]\nproxy = \"p\"\n",
    ];
    folder.write("ulna.toml", format!("{FRAME}{CLIENT}{}", lines.concat()));
    for secret in ["the first of its secrets", "the second of its secrets"] {
        folder.write("s", secret);
        let (configuration, warnings) = folder.load().expect("it is right");
        assert!(warnings.is_empty(), "{warnings}");
        let server = configuration.remote_server(RemoteServerId(0));
        assert!(server.secret == Secret::new(secret.as_bytes()).expect("it has octets"));
        assert!(!format!("{server:?}").contains(secret));
    }
}
