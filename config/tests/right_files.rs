//! What a right file becomes, what is warned of, and that no text makes the parser fail or tell a secret.

use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use ulna_config::{
    Configuration, Cores, RESERVED_OCTETS_MAX, Warnings, default_text, parse, reserved_octets,
};
use ulna_core::ServerId;
use ulna_core::authenticate::mac::Mac;
use ulna_core::authenticate::users::Credential;
use ulna_core::configuration::{LogFormat, Packets, Protocol, RuntimeSettings, Signal, StreamSettings};
use ulna_core::packet::{Secret, Secrets};
use ulna_core::policy::{Decision, NewRule};

fn parsed(text: &str) -> (Configuration, Warnings) {
    match parse(text, "ulna.toml", Cores(2)) {
        Ok(parsed) => parsed,
        Err(errors) => panic!("the text is right, but:\n{errors}"),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn client_of<'c>(configuration: &'c Configuration, source: &str) -> Option<&'c str> {
    let source: IpAddr = source.parse().expect("an address");
    configuration.clients.look_up(source).map(|id| &*configuration.clients.client(id).name)
}

#[test]
fn the_default_configuration_is_what_the_manual_says() {
    let (configuration, warnings) = parsed(default_text());
    let listeners: Vec<_> = configuration
        .listeners
        .iter()
        .map(|listener| (&*listener.name, listener.address, listener.packets, listener.server))
        .collect();
    let access = Packets::ACCESS.with(Packets::STATUS);
    let accounting = Packets::ACCOUNTING.with(Packets::STATUS);
    assert_eq!(
        listeners,
        [
            ("authentication", address("127.0.0.1:1812"), access, ServerId(0)),
            ("authentication", address("[::1]:1812"), access, ServerId(0)),
            ("accounting", address("127.0.0.1:1813"), accounting, ServerId(0)),
            ("accounting", address("[::1]:1813"), accounting, ServerId(0)),
        ]
    );
    assert_eq!(client_of(&configuration, "127.0.0.1"), Some("localhost"));
    assert_eq!(client_of(&configuration, "::1"), Some("localhost"));
    assert_eq!(client_of(&configuration, "192.0.2.1"), None);
    let bob = configuration.users.look_up(b"bob").expect("bob is a user");
    let Credential::Clear(password) = &bob.credential else { panic!("it stands there in clear") };
    assert_eq!(&***password, b"hello");
    assert_eq!(bob.reply.plain(), b"\x12\x0dHello, bob.");
    assert_eq!(first_rule(&configuration, 0).decision, Decision::AuthenticateUsers);
    assert_eq!(configuration.runtime, RuntimeSettings { workers: 2, ..RuntimeSettings::default() });
    assert_eq!(configuration.protocol, Protocol::default());
    assert!(configuration.log.requests && configuration.log.format == LogFormat::Text);
    let messages: Vec<_> = warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(messages, ["a `secret` of 12 octets or fewer can be guessed; use 16 or more"]);
}

#[test]
fn every_key_that_is_built_does_something() {
    let (configuration, warnings) = parsed(
        r#"
        log = { requests = false, format = "text" }
        [runtime]
        network_threads = 2
        workers = 0x3
        signal = "timer"
        linger_max = "1ms"
        linger_cpu = 20
        state_directory = "state"
        ring_slots = 64
        requests_max = 16_384
        receive_buffer_octets = 65_536
        dedup_entries_max = 1000
        replies_octets_max = 1_000_000
        streams_octets_max = 2_000_000
        hash_threads = 4
        hash_line_max = 1_000
        [protocol]
        reject_delay = "0s"
        delayed_rejects_max = 5
        request_timeout = "5s"
        new_request_wait_max = "500ms"
        dedup_lifetime = "100ms"
        failures_max = 0
        failure_window = "5m"
        [[listen]]
        name = "all"
        transport = "udp"
        address = "0.0.0.0:0"
        packets = "access"
        server = "second"
        [[client]]
        name = "rotating"
        network = "192.0.2.0/24"
        secret = ["a secret of many octets", "an older secret"]
        require_message_authenticator = true
        limit_proxy_state = false
        [[client]]
        name = "inner"
        network = ["192.0.2.9", "2001:db8::/32"]
        secret = "a secret of many octets"
        require_message_authenticator = true
        [[user]]
        name = "ann"
        password = "x"
        reply = { Session-Timeout = 3600, Class = "0x01ff", Reply-Message = ["a", "b"], Service-Type = "Framed-User" }
        [[user]]
        name = "eve"
        password = { nt_hash = "3E057cd123205aa168af5f121716b335" }
        [[user]]
        mac = ["00-11-22-33-44-55", "0011.2233.4456"]
        reply = { Session-Timeout = 60 }
        [[user]]
        mac = "001122334457"
        [[server]]
        name = "first"
        [[server.new]]
        reject = true
        set_reply = { Reply-Message = "no" }
        [[server]]
        name = "second"
        [[server.new]]
        when = { realm = "" }
        authenticate = "mac"
        [[server.new]]
        accept = true
        "#,
    );
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(
        configuration.runtime,
        RuntimeSettings {
            state_directory: Some("state".into()),
            network_threads: 2,
            workers: 3,
            signal: Signal::Timer,
            linger_max: Duration::from_millis(1),
            linger_cpu: 20,
            ring_slots: 64,
            requests_max: 16_384,
            receive_buffer_octets: 65_536,
            dedup_entries_max: 1_000,
            replies_octets_max: 1_000_000,
            streams_octets_max: 2_000_000,
            hash_threads: 4,
            hash_line_max: 1_000,
        }
    );
    assert_eq!(
        configuration.protocol,
        Protocol {
            reject_delay: Duration::ZERO,
            delayed_rejects_max: 5,
            request_timeout: Duration::from_secs(5),
            new_request_wait_max: Duration::from_millis(500),
            dedup_lifetime: Duration::from_millis(100),
            failures_max: 0,
            failure_window: Duration::from_secs(300),
            ..Protocol::default()
        }
    );
    assert_eq!(configuration.listeners[0].server, ServerId(1));
    assert_eq!(configuration.listeners[0].packets, Packets::ACCESS);
    assert_eq!(client_of(&configuration, "192.0.2.1"), Some("rotating"));
    assert_eq!(client_of(&configuration, "192.0.2.9"), Some("inner"));
    assert_eq!(client_of(&configuration, "2001:db8::1"), Some("inner"));
    let (_, rotating) = configuration.clients.iter().next().expect("two clients");
    assert!(rotating.require_message_authenticator && !rotating.limit_proxy_state);
    let [newest, old] = [&b"a secret of many octets"[..], b"an older secret"]
        .map(|octets| Secret::new(octets).expect("not empty"));
    assert_eq!(rotating.secrets, Secrets::rotating(newest, old));
    // Attributes go in the order of the text.
    let ann = configuration.users.look_up(b"ann").expect("ann is a user");
    let expected = b"\x1b\x06\x00\x00\x0e\x10\x19\x04\x01\xff\x12\x03a\x12\x03b\x06\x06\x00\x00\x00\x02";
    assert_eq!(ann.reply.plain(), expected);
    let eve = configuration.users.look_up(b"eve").expect("eve is a user");
    let Credential::NtHash(hash) = &eve.credential else { panic!("it stands there as NT hash") };
    assert!(hash.is_of(b"wonderland"));
    let reply_of = |mac: &[u8]| {
        let device = configuration.devices.look_up(Mac::parse(mac).expect("an address"));
        device.map(|reply| reply.plain().to_vec())
    };
    for listed in [b"001122334455", b"001122334456"] {
        assert_eq!(reply_of(listed), Some(b"\x1b\x06\0\0\0\x3c".to_vec()));
    }
    assert_eq!((reply_of(b"001122334457"), reply_of(b"001122334458")), (Some(vec![]), None));
    assert_eq!((configuration.users.len(), configuration.devices.len()), (2, 3));
    let first = first_rule(&configuration, 0);
    assert_eq!((first.decision, first.edits.reply.set.plain()), (Decision::Reject, &b"\x12\x04no"[..]));
    assert_eq!(first_rule(&configuration, 1).decision, Decision::AuthenticateMac);
    assert!(!configuration.log.requests);
}

#[test]
fn workers_follow_the_cores_that_are_handed_in() {
    let text = format!("{}[runtime]\nworkers = \"auto\"\n", default_text());
    for (cores, workers) in [(0, 1), (1, 1), (7, 7), (1_000, 114)] {
        let (configuration, _) = parse(&text, "x", Cores(cores)).expect("right");
        assert_eq!(configuration.runtime.workers, workers);
    }
}

// checklist 95
#[test]
fn unsigned_requests_on_a_public_address_are_warned_of_once() {
    // checklist 95
    let text =
        default_text().replace("127.0.0.1:1812", "0.0.0.0:1812").replace("testing123", "0123456789abcdef");
    let second = "[[client]]\nname = \"nas\"\nnetwork = \"192.0.2.0/24\"\nsecret = \"0123456789abcdef\"\n";
    let (_, warnings) = parsed(&format!("{text}{second}"));
    let expected = "client \"localhost\" and 1 other may send unsigned Access-Requests, and \"authentication\" \
                    listens on 0.0.0.0:1812: set `require_message_authenticator = true` where the client signs";
    let messages: Vec<_> = warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(messages, [expected]);
    // Clients of rules sign unless it is said that they need not.
    let rule =
        "[[client_rule]]\nname = \"r\"\nnetwork = \"198.51.100.0/24\"\nsecret = \"0123456789abcdef\"\n";
    let of_rules = |keys: &str| {
        let (_, warnings) = parsed(&format!("{text}{rule}{keys}"));
        warnings.iter().filter(|warning| warning.message.contains("client rule \"r\" may send")).count()
    };
    assert_eq!(["", "nat = true\n", "require_message_authenticator = false\n"].map(of_rules), [0, 0, 1]);
}

#[test]
fn streams_have_bounds_and_times_of_their_own() {
    let listener = |keys: &str| {
        let text = format!(
            "{}[[listen]]\nname = \"streams\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:1814\"\n\
             packets = [\"access\"]\nserver = \"default\"\n{keys}\n",
            default_text()
        );
        let (configuration, _) = parsed(&text);
        *configuration
            .listeners
            .last()
            .and_then(|listener| listener.transport.stream_settings())
            .expect("it has streams")
    };
    assert_eq!(listener(""), StreamSettings::default());
    let keys = "connections_max = 5\nconnections_per_address_max = 4\nidle_timeout = \"1s\"\nread_timeout = \"2s\"\n\
                write_timeout = \"3s\"\npackets_per_second = 6\n";
    let settings = StreamSettings {
        connections_max: 5,
        per_address_max: 4,
        idle_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_secs(3),
        packets_per_second: 6,
    };
    assert_eq!(listener(keys), settings);
}

#[test]
fn a_client_rule_that_is_never_asked_is_warned_of() {
    let rule = |name: &str, network: &str, keys: &str| {
        format!(
            "[[client_rule]]\nname = \"{name}\"\nnetwork = {network}\nsecret = \"0123456789abcdef\"\n{keys}\n"
        )
    };
    let warned = |rules: &[String]| -> Vec<_> {
        let (_, warnings) = parsed(&format!("{}{}", default_text(), rules.concat()));
        let of_rules = warnings.iter().filter(|warning| warning.message.contains("never asked"));
        of_rules.map(|warning| warning.message.clone()).collect()
    };
    let (both, one) = ("[\"198.51.100.0/24\", \"2001:db8::/32\"]", "\"198.51.100.0/24\"");
    let asks = "when = { NAS-Identifier = \"a\" }";
    let shadowed = "client rule \"second\" is never asked for 198.51.100.0/24: \"first\" stands before it there and has no `when`";
    assert_eq!(warned(&[rule("first", one, ""), rule("second", both, "")]), [shadowed]);
    assert_eq!(warned(&[rule("first", both, ""), rule("second", one, asks)]), [shadowed]);
    assert_eq!(warned(&[rule("first", one, ""), rule("second", both, ""), rule("third", both, "")]).len(), 3);
    // What asks first, or decides about a part alone, leaves something to the other.
    let wider = "\"198.51.0.0/16\"";
    for (first, second) in [
        (rule("first", one, asks), rule("second", one, "")),
        (rule("first", wider, ""), rule("second", one, "")),
        (rule("first", one, ""), rule("second", wider, "")),
    ] {
        assert_eq!(warned(&[first, second]), [""; 0]);
    }
}

// checklist 6
#[test]
fn secrets_of_any_length_are_taken_and_those_of_up_to_12_octets_warned_of() {
    for octets in [1, 12, 13, 16, 32, 64, 1000] {
        let secret = "s".repeat(octets);
        let (configuration, warnings) = parsed(&default_text().replace("testing123", &secret));
        let client = configuration.clients.look_up(IpAddr::from([127, 0, 0, 1])).expect("the one client");
        assert_eq!(
            configuration.clients.client(client).secrets,
            Secret::new(secret.as_bytes()).unwrap().into()
        );
        let short = warnings.iter().filter(|warning| warning.message.contains("can be guessed")).count();
        assert_eq!(short, usize::from(octets <= 12), "{octets} octets");
    }
}

#[test]
fn a_file_without_clients_is_warned_of() {
    let text = default_text().split("[[client]]").next().expect("what stands before").to_owned();
    let (configuration, warnings) = parsed(&format!("{text}[[server]]\nname = \"default\"\n"));
    assert!(configuration.clients.is_empty());
    let expected =
        "ulna.toml:1:1: there is no [[client]] and no [[client_rule]]: every packet will be discarded";
    assert_eq!(warnings.to_string(), expected);
}

#[test]
fn a_hundred_thousand_clients_are_read() {
    let mut text = default_text().to_owned();
    for number in 0..100_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number);
        let client = format!(
            "[[client]]\nname = \"nas-{number}\"\nnetwork = \"{address}\"\nsecret = \"0123456789abcdef\"\n"
        );
        text.push_str(&client);
    }
    let (configuration, _) = parsed(&text);
    assert_eq!(client_of(&configuration, "10.1.134.159"), Some("nas-99999"));
}

/// Every name of the contract, each with a value that it will take one day. Each is either taken or refused as not
/// built yet; none is unknown.
#[test]
fn no_name_of_the_contract_is_unknown() {
    let text = r#"
        include = []
        [runtime]
        network_threads = 0
        workers = "auto"
        dictionaries = []
        signal = "announce"
        ring_slots = 1024
        requests_max = 16_384
        linger_max = "50us"
        linger_cpu = 5
        receive_buffer_octets = 4_194_304
        state_directory = "state"
        [protocol]
        reject_delay = "1s"
        delayed_rejects_max = 10_000
        request_timeout = "30s"
        new_request_wait_max = "1s"
        dedup_lifetime = "10s"
        failures_max = 10
        failure_window = "60s"
        state_lifetime = "60s"
        state_max = 100_000
        [[listen]]
        name = "auth"
        transport = "udp"
        address = ["0.0.0.0:1812", "[::]:1812"]
        packets = ["access", "status", "accounting"]
        server = "edge"
        connected = false
        [[client]]
        name = "core-switch"
        network = ["192.0.2.10/32"]
        secret = "0123456789abcdef"
        require_message_authenticator = true
        limit_proxy_state = true
        coa_address = "192.0.2.10:3799"
        [[client_rule]]
        name = "branches"
        network = ["198.51.100.0/24", "2001:db8:1::/48"]
        nat = true
        when = { NAS-Identifier = { regex = "^site-[0-9]+$" } }
        secret = { table = "../docs/sites.toml", key = "NAS-Identifier" }
        lifetime = "1h"
        idle_timeout = "120s"
        negative_lifetime = "30s"
        limits = { clients = 5000, connections = 10_000, pending = 200, new_per_second = 50, packets_per_second = 200, held_packets = 4, per_address = { pending = 20, new_per_second = 10, connections = 500 } }
        [[user]]
        name = "bob"
        password = "hello"
        one_time_code = { totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
        reply = { Session-Timeout = 3600 }
        [[remote_server]]
        name = "uni-1"
        address = "203.0.113.5:1812"
        transport = "udp"
        secret = "0123456789abcdef"
        require_message_authenticator = true
        status_check = "status-server"
        response_window = "20s"
        zombie_period = "40s"
        revive_interval = "120s"
        status_interval = "30s"
        outstanding_max = 16_384
        source_address = "192.0.2.1"
        coa_address = "203.0.113.5:3799"
        [[pool]]
        name = "uni"
        balance = "least-outstanding"
        on_dead = "fail"
        hash_by = ["Calling-Station-Id"]
        remote_servers = ["uni-1"]
        [[realm]]
        name = "example.edu"
        pool = "uni"
        subrealms = true
        state_lifetime = "60s"
        state_max = 100_000
        [[server]]
        name = "edge"
        ongoing = "other"
        [[server.new]]
        when = { realm = "example.edu", NAS-Port-Type = "Wireless-802.11" }
        proxy = "uni"
        set_request = { Operator-Name = "1example.org" }
        set_session = { site = "campus" }
        [[server.new]]
        when = { realm = { present = true } }
        proxy = { by = "realm" }
        [[server.new]]
        authenticate = "users"
        [[server]]
        name = "other"
        [[server.ongoing]]
        continue = true
        [[server.reply]]
        when = { "session.site" = "campus" }
        remove_reply = ["Tunnel-Private-Group-Id"]
        [[server.accounting]]
        store = "file"
        proxy = "uni"
        spool = true
        [[server.coa]]
        proxy = "client"
        [accounting.file]
        path = "accounting.jsonl"
        [limits]
        connections = 100_000
        [log]
        format = "text"
        requests = true
        [control]
        socket = "ulna.sock"
        [metrics]
        address = "127.0.0.1:9812"
    "#;
    let errors = parse(text, "ulna.toml", Cores(2)).err().expect("much is not built yet");
    let refused: Vec<&str> = errors
        .iter()
        .map(|finding| finding.message.strip_suffix(" is not built yet").unwrap_or(&finding.message))
        .collect();
    assert_eq!(refused, ["`coa_address`", "`metrics`"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_parsed_or_refused_with_a_place(text in "[a-z\\[\\]{}=\"'.,#\\n\\r\\t \\\\é0-9_-]{0,80}") {
        match parse(&text, "ulna.toml", Cores(2)) {
            Ok(_) => prop_assert!(text.contains("listen")),
            Err(errors) => prop_assert!(errors.iter().all(|finding| finding.place.is_some())),
        }
    }
}

#[test]
fn the_files_in_the_documentation_are_taken_whole() {
    let pages = [
        (
            concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md"),
            include_str!("../../docs/configuration.md"),
        ),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md"), include_str!("../../docs/rules.md")),
        (
            concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/forwarding.md"),
            include_str!("../../docs/forwarding.md"),
        ),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/coa.md"), include_str!("../../docs/coa.md")),
    ];
    for (name, page) in pages {
        let text = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next());
        if let Err(errors) = parse(text.expect("the page has a file"), name, Cores(2)) {
            panic!("{errors}");
        }
    }
}

#[test]
fn a_machine_of_very_many_cores_gets_as_many_workers_as_there_is_room_for() {
    let loaded = |cores| parse(default_text(), "ulna.toml", Cores(cores)).expect("it is right");
    let (configuration, warnings) = loaded(114);
    assert_eq!(configuration.runtime.workers, 114);
    assert!(!warnings.to_string().contains("workers for"), "{warnings}");
    let (configuration, warnings) = loaded(256);
    let workers = configuration.runtime.workers;
    assert!((114..256).contains(&workers), "{workers}");
    assert!(
        warnings.to_string().contains(&format!("{workers} workers for 256 cores")),
        "it says so: {warnings}"
    );
    assert!(reserved_octets(&configuration.sizes()) <= RESERVED_OCTETS_MAX);
}

#[test]
fn dictionaries_are_read_on_top_of_what_is_built_in() {
    let folder = std::env::temp_dir().join(format!("ulna-dictionaries-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("sub")).expect("the folder for temporary files can be written");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("it can be written");
    write("own", "$INCLUDE sub/vendor\nVALUE Service-Type Own 4711\n");
    write("sub/vendor", "VENDOR Own 32473\nBEGIN-VENDOR Own\nATTRIBUTE Own-Text 1 string\nEND-VENDOR Own\n");
    write(
        "ulna.toml",
        "[runtime]\ndictionaries = [\"own\"]\n\
         [[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:1812\"]\npackets = [\"access\"]\nserver = \"edge\"\n\
         [[client]]\nname = \"all\"\nnetwork = [\"127.0.0.1/32\"]\nsecret = \"testing1234567890\"\nrequire_message_authenticator = true\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n\
         set_reply = { Service-Type = \"Own\", Own-Text = \"x\", \"Tunnel-Type:1\" = \"L2TP\", Tunnel-Private-Group-Id = \"7\", \
         \"Attr-26.9.1\" = \"0x61\", \"Attr-241.1\" = [\"0x01\", \"0x02\"] }\n",
    );
    let (configuration, _) = ulna_config::load(&folder.join("ulna.toml"), Cores(2)).expect("it is right");
    assert_eq!(
        *first_rule(&configuration, 0).edits.reply.set.plain(),
        [
            &[6, 6, 0, 0, 0x12, 0x67][..],
            &[26, 9, 0, 0, 0x7e, 0xd9, 1, 3, b'x'],
            &[64, 6, 1, 0, 0, 3],
            &[81, 3, b'7'],
            &[26, 9, 0, 0, 0, 9, 1, 3, b'a'],
            &[241, 4, 1, 1, 241, 4, 1, 2],
        ]
        .concat()[..]
    );
    // What the server runs with, for whoever reads or hides attributes later.
    let own = configuration.dictionary.attribute("Own-Text").map(|own| own.oid().to_string());
    assert_eq!(own.as_deref(), Some("26.32473.1"));
    assert!(configuration.dictionary.attribute("Tunnel-Password").is_some());
    // The same with a wrong line in an included file.
    write("sub/vendor", "VENDOR Own 32473\nFOO\n");
    let errors = ulna_config::load(&folder.join("ulna.toml"), Cores(2)).err().expect("a dictionary is wrong");
    let first = errors.iter().next().expect("there is one").message.clone();
    assert!(first.contains("sub/vendor:2: expected ATTRIBUTE"), "{first}");
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

/// The first rule for new requests of a server.
fn first_rule(configuration: &Configuration, server: u16) -> &NewRule {
    configuration.server(ServerId(server)).new.iter().next().expect("the server has a rule")
}
