//! What rules decide and change, from the text of a configuration to the reply that leaves.

mod support;

use std::sync::Arc;
use support::{Ask, Reply, Server, USERS, configuration, nas};
use ulna_core::attributes::{Preset, text};
use ulna_core::discard::Discard;
use ulna_core::event::{Decided, Event};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Framed, number};
use ulna_core::policy::{Asked, Decision, Edit, Edits, Policy, ReplyKind, Verdict};
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, ServerId};

const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";

/// 2026-11-23, a Monday, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000;

fn server(rules: &str) -> Server {
    Server::new(JOINED, rules)
}

/// The one reply to a request, after the reject delay if it has to wait for that.
fn reply(server: &mut Server, port: u16, ask: &Ask) -> Reply {
    reply_to(server, nas(port), ask)
}

fn reply_to(server: &mut Server, from: std::net::SocketAddr, ask: &Ask) -> Reply {
    let octets = ask.octets();
    let before = server.sent.len();
    server.ask(from, &octets);
    server.run(std::time::Duration::from_secs(1));
    let sent = &server.sent[before..];
    assert_eq!(sent.len(), 1, "one reply: {sent:?}");
    Reply::to(&octets, &sent[0].octets)
}

/// The attributes of a request as radclient writes them.
fn with(server: &Server, ask: Ask, attributes: &str) -> Ask {
    let dictionary = &server.configuration.dictionary;
    let assignments = text::parse(dictionary, attributes).unwrap_or_else(|error| panic!("{error}"));
    let mut octets = Vec::new();
    text::write(dictionary, &assignments, None, &mut octets).expect("it fits");
    ask.with_raw(&octets)
}

/// The reply's attributes but the first, the Message-Authenticator, as its NAS reads them.
fn read(server: &Server, request: &Ask, octets: &[u8]) -> String {
    let request = request.octets();
    let secret = support::secret();
    let request = Framed::parse(&request).expect("it is a packet");
    let hop = Hop { secret: &secret, request_authenticator: request.authenticator() };
    let reply = Framed::parse(octets).expect("it is a packet");
    let printed = text::print(&server.configuration.dictionary, reply.attributes()).revealed(hop).to_string();
    printed.split_once(", ").map(|(_, rest)| rest.to_string()).unwrap_or_default()
}

#[test]
fn the_first_rule_whose_conditions_all_hold_decides() {
    let mut server = server(
        "[[server.new]]\nwhen = { NAS-Port-Type = \"Wireless-802.11\", User-Name = { regex = '^\\d+$' } }\naccept = true\n\
         [[server.new]]\nwhen = { NAS-Port-Type = \"Wireless-802.11\" }\nreject = true\nset_reply = { Reply-Message = \"no\" }\n\
         [[server.new]]\nwhen = { realm = { present = true } }\naccept = true\nset_reply = { Reply-Message = \"realm\" }\n",
    );
    let user = |name: &str| Ask::user(name.as_bytes(), b"x");
    let wireless = |ask: Ask| ask.with(number::NAS_PORT_TYPE, &[0, 0, 0, 19]);
    assert_eq!(reply(&mut server, 1, &wireless(user("123"))).code, Code::AccessAccept);
    let no = reply(&mut server, 2, &wireless(user("x123")));
    assert_eq!((no.code, no.values(number::REPLY_MESSAGE)), (Code::AccessReject, vec![&b"no"[..]]));
    let realm = reply(&mut server, 3, &user("bob@example.org"));
    assert_eq!((realm.code, realm.values(number::REPLY_MESSAGE)), (Code::AccessAccept, vec![&b"realm"[..]]));
    // No rule matches: rejected, never left hanging.
    assert_eq!(reply(&mut server, 4, &user("123")).code, Code::AccessReject);
    let decided = server.events.iter().filter_map(|event| match event {
        Event::Finished { decided, .. } => Some(*decided),
        Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    });
    let by = |rule| Some(Decided { server: ServerId(0), rule });
    assert_eq!(decided.collect::<Vec<_>>(), [by(Some(1)), by(Some(2)), by(Some(3)), by(None)]);
    server.assert_nothing_is_left();
}

#[test]
fn client_listener_network_and_time_are_asked_for_by_name() {
    let mut server = server(
        "[[server.new]]\nwhen = { client = \"strict\" }\naccept = true\nset_reply = { Class = \"client\" }\n\
         [[server.new]]\nwhen = { listener = { not = { glob = \"auth*\" } } }\nreject = true\n\
         [[server.new]]\nwhen = { network = [\"2001:db8:1::/64\", \"198.51.100.128/25\"], time = \"Mo-Fr 08:00-18:00 +01:00\" }\n\
         accept = true\nset_reply = { Class = \"office\" }\n\
         [[server.new]]\nwhen = { network = { not = \"198.51.100.0/24\" } }\naccept = true\nset_reply = { Class = \"six\" }\n",
    );
    let class = |server: &mut Server, from: &str| {
        let reply = reply_to(server, from.parse().expect("an address"), &Ask::bob());
        let values = reply.values(number::CLASS);
        String::from_utf8(values.concat()).expect("it is text")
    };
    server.wall_time(UnixTime(MONDAY + 7 * 3600));
    assert_eq!(class(&mut server, "203.0.113.1:1"), "client");
    assert_eq!(class(&mut server, "198.51.100.200:1"), "office");
    assert_eq!(class(&mut server, "198.51.100.7:1"), "");
    assert_eq!(class(&mut server, "[2001:db8:1::7]:1"), "office");
    assert_eq!(class(&mut server, "[2001:db8:1:1::7]:1"), "six");
    server.wall_time(UnixTime(MONDAY + 7 * 3600 - 1));
    assert_eq!(class(&mut server, "198.51.100.200:2"), "");
    assert_eq!(class(&mut server, "[2001:db8:1::7]:2"), "six");
    server.assert_nothing_is_left();
}

#[test]
fn the_user_of_a_rewritten_name_is_asked_for_the_password_and_later_rules_see_it() {
    let mut server = server(
        "[[server.new]]\nwhen = { User-Name = { glob = 'CORP\\\\*' } }\nauthenticate = \"users\"\n\
         set_request = { User-Name = \"bob\" }\nremove_request = [\"NAS-Port\"]\n\
         [[server.reply]]\nwhen = { User-Name = \"bob\", NAS-Port = { present = false } }\nset_reply = { Class = \"edited\" }\n\
         [[server.reply]]\nwhen = { reply = \"reject\" }\nset_reply = { Class = \"not\" }\n",
    );
    let port = |ask: Ask| ask.with(number::NAS_PORT, &[0, 0, 0, 7]);
    let edited = reply(&mut server, 1, &port(Ask::user(b"CORP\\robert", b"hello")));
    assert_eq!(edited.code, Code::AccessAccept);
    assert_eq!(edited.values(number::CLASS), [b"edited"]);
    assert_eq!(edited.values(number::SESSION_TIMEOUT), [[0, 0, 14, 16]]);
    let wrong = reply(&mut server, 2, &port(Ask::user(b"CORP\\robert", b"hallo")));
    assert_eq!((wrong.code, wrong.values(number::CLASS)), (Code::AccessReject, vec![&b"edited"[..]]));
    let other = reply(&mut server, 3, &port(Ask::bob()));
    assert_eq!((other.code, other.values(number::CLASS)), (Code::AccessReject, vec![&b"not"[..]]));
    // The name as it was received is what the log shows.
    let names = server.events.iter().filter_map(|event| match event {
        Event::Finished { user_name, .. } => Some(user_name.octets().to_vec()),
        Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    });
    assert_eq!(names.collect::<Vec<_>>()[0], b"CORP\\robert");
    server.assert_nothing_is_left();
}

const RICH: &str = "reply = { Session-Timeout = 3600, \"Tunnel-Type:1\" = \"VLAN\", \"Tunnel-Type:2\" = \"L2TP\", \
                    \"Tunnel-Password:2\" = \"sesame\", Cisco-AVPair = [\"a=1\", \"b=2\"], Class = \"0x01\" }";

fn rich(rules: &str) -> Server {
    let text = configuration(JOINED, rules);
    let text = text.replacen("reply = { Session-Timeout = 3600 }", RICH, 1);
    assert!(text.contains("sesame"));
    Server::of(&text)
}

#[test]
fn replies_lose_what_is_not_allowed_or_removed_and_get_what_is_set() {
    for (edits, expected) in [
        (
            "remove_reply = [\"Tunnel-Type:2\", \"Cisco-AVPair\"]",
            "Session-Timeout = 3600, Tunnel-Type:1 = VLAN, Tunnel-Password:2 = \"sesame\", Class = 0x01",
        ),
        (
            "allow_reply = [\"Tunnel-Password\", \"Class\"]\nset_reply = { Class = [\"0x02\", \"0x03\"] }",
            "Tunnel-Password:2 = \"sesame\", Class = 0x02, Class = 0x03",
        ),
        (
            "allow_reply = []\nset_reply = { \"Tunnel-Password:1\" = \"open\", Session-Timeout = 1 }",
            "Tunnel-Password:1 = \"open\", Session-Timeout = 1",
        ),
    ] {
        // As the edit of the rule that decides, and as that of a rule for replies.
        for rules in [
            format!("{USERS}{edits}\n"),
            format!("{USERS}[[server.reply]]\nwhen = {{ reply = \"accept\" }}\n{edits}\n"),
        ] {
            let mut server = rich(&rules);
            let ask = Ask::bob();
            let sent = server.ask(nas(1), &ask.octets());
            assert_eq!(read(&server, &ask, &sent[0].octets), expected, "{rules}");
            assert_eq!(reply(&mut server, 2, &Ask::wrong()).attributes, [], "{rules}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn the_edits_of_a_rule_and_of_a_rule_for_replies_follow_each_other() {
    let mut server = rich(&format!(
        "{USERS}set_session = {{ site = \"campus\", floor = 7 }}\nremove_reply = [\"Cisco-AVPair\"]\nset_reply = {{ Class = \"0x02\" }}\n\
         [[server.reply]]\nwhen = {{ \"session.floor\" = {{ not = 7 }} }}\nallow_reply = []\n\
         [[server.reply]]\nwhen = {{ \"session.site\" = {{ one_of = [\"home\", \"campus\"] }}, reply = \"accept\" }}\n\
         remove_reply = [\"Tunnel-Type\", \"Tunnel-Password\"]\nset_reply = {{ Class = \"0x03\" }}\n\
         [[server.reply]]\nset_reply = {{ Reply-Message = \"every other\" }}\n",
    ));
    let ask = Ask::bob();
    let sent = server.ask(nas(1), &ask.octets());
    assert_eq!(read(&server, &ask, &sent[0].octets), "Session-Timeout = 3600, Class = 0x03");
    let wrong = reply(&mut server, 2, &Ask::wrong());
    assert_eq!(wrong.attributes, [(number::REPLY_MESSAGE, b"every other".to_vec())]);
    server.assert_nothing_is_left();
}

#[test]
fn proxy_states_and_eap_pass_whatever_is_allowed() {
    let mut server = server("[[server.new]]\naccept = true\n[[server.reply]]\nallow_reply = []\n");
    let ask = Ask::of(Code::AccessRequest)
        .with(number::EAP_MESSAGE, &[2, 9, 0, 5, 1])
        .with(number::PROXY_STATE, b"first")
        .with(number::PROXY_STATE, b"second");
    let reply = reply(&mut server, 1, &ask);
    assert_eq!(reply.values(number::PROXY_STATE), [&b"first"[..], b"second"]);
    assert_eq!(reply.values(number::EAP_MESSAGE), [[3, 9, 0, 4]]);
}

#[test]
fn what_a_rule_makes_too_long_is_discarded_by_name() {
    let long = format!("{:?}", vec!["x".repeat(250); 15]);
    let mut server = server(&format!(
        "[[server.new]]\nwhen = {{ NAS-Port = 1 }}\naccept = true\nset_request = {{ Connect-Info = {long} }}\n\
         [[server.new]]\naccept = true\nset_reply = {{ Reply-Message = {long} }}\n\
         [[server.reply]]\nset_reply = {{ Connect-Info = {long} }}\n"
    ));
    let ask = Ask::bob().with(number::NAS_PORT, &[0, 0, 0, 1]);
    let full = (0..10).fold(ask, |ask, _| ask.with(number::CALLED_STATION_ID, &[b'y'; 250]));
    assert!(server.ask(nas(1), &full.octets()).is_empty());
    assert_eq!(server.discarded(Discard::EditTooLong), 1);
    // Each part by itself would fit.
    assert!(server.ask(nas(2), &Ask::bob().octets()).is_empty());
    assert_eq!(server.discarded(Discard::ReplyTooLong), 1);
    server.assert_nothing_is_left();
}

#[test]
fn an_attribute_counts_if_any_instance_does_and_is_there_only_if_it_is_of_its_type() {
    let mut server = server(
        "[[server.new]]\nwhen = { Class = \"0x02\" }\naccept = true\nset_reply = { Class = \"any\" }\n\
         [[server.new]]\nwhen = { NAS-Port = { present = false }, \"Attr-5\" = { present = true } }\naccept = true\nset_reply = { Class = \"invalid\" }\n\
         [[server.new]]\nwhen = { \"Tunnel-Type:2\" = \"L2TP\", \"Tunnel-Type:1\" = { not = \"L2TP\" } }\naccept = true\nset_reply = { Class = \"tag\" }\n\
         [[server.new]]\nwhen = { Cisco-AVPair = { regex = \"^shell:\" } }\naccept = true\nset_reply = { Class = \"vendor\" }\n\
         [[server.new]]\nwhen = { \"Attr-26.9.250\" = \"0x6162\" }\naccept = true\nset_reply = { Class = \"number\" }\n\
         [[server.new]]\nwhen = { NAS-IP-Address = \"192.0.2.0/24\", Framed-IPv6-Prefix = \"2001:db8::/32\" }\naccept = true\nset_reply = { Class = \"network\" }\n\
         [[server.new]]\nwhen = { Vendor-Specific = { present = true } }\naccept = true\nset_reply = { Class = \"container\" }\n\
         [[server.new]]\nwhen = { NAS-Port = { one_of = [7, 9] } }\naccept = true\nset_reply = { Class = \"one\" }\n",
    );
    let mut port = 0;
    for (attributes, expected) in [
        ("Class = 0x01, Class = 0x02", "any"),
        ("Class = 0x01, NAS-Port = 9", "one"),
        ("Attr-5 = 0x010203", "invalid"),
        ("Tunnel-Type:1 = VLAN, Tunnel-Type:2 = L2TP", "tag"),
        ("Tunnel-Type:1 = L2TP, Tunnel-Type:2 = L2TP", ""),
        ("Tunnel-Type:2 = L2TP", "tag"),
        ("Tunnel-Type:1 = VLAN", ""),
        ("Cisco-AVPair = \"a=1\", Cisco-AVPair = \"shell:priv-lvl=15\"", "vendor"),
        ("Cisco-AVPair = \"a=1\"", "container"),
        ("Attr-26.9.250 = 0x6162", "number"),
        ("Attr-26.9.250 = 0x6163", "container"),
        ("Attr-26 = 0x00", "container"),
        ("NAS-IP-Address = 192.0.2.77, Framed-IPv6-Prefix = 2001:db8::/32", "network"),
        ("NAS-IP-Address = 192.0.2.77, Attr-97 = 0x002020010db8", "network"),
        ("NAS-IP-Address = 192.0.3.77, Framed-IPv6-Prefix = 2001:db8::/32", ""),
        ("NAS-Port = 8", ""),
    ] {
        port += 1;
        let ask = with(&server, Ask::bob(), attributes);
        let reply = reply(&mut server, port, &ask);
        assert_eq!(reply.values(number::CLASS).concat(), expected.as_bytes(), "{attributes}");
    }
    server.assert_nothing_is_left();
}

#[test]
fn accounting_is_not_acknowledged_while_nothing_stores_it() {
    let mut server =
        server("[[server.new]]\naccept = true\n[[server.reply]]\nset_reply = { Class = \"x\" }\n");
    assert!(server.ask_accounting(nas(1), &Ask::accounting().octets()).is_empty());
    assert_eq!(server.discarded(Discard::NoAccountingRule), 1);
}

/// Lets in who has a number for a name, and tells them how many it has let in.
struct Counting {
    edits: Arc<Edits>,
    greeting: Edit,
    configuration: Arc<Configuration>,
    let_in: usize,
}

impl Policy for Counting {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        assert_eq!((asked.server(), asked.client), (ServerId(0), "branch"));
        assert_eq!(asked.code(), Some(Code::AccessRequest));
        let is_number =
            asked.user_name().is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_digit));
        if !is_number {
            return Verdict::plain(Decision::Reject);
        }
        self.let_in += 1;
        let edits = Arc::make_mut(&mut self.edits);
        edits.session = vec![("number".into(), self.let_in.to_string().as_bytes().into())];
        Verdict { decision: Decision::Accept, rule: Some(7), edits: Some(&self.edits) }
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        let number = asked.session.value("number");
        assert_eq!(number.is_some(), reply == ReplyKind::Accept);
        let number = std::str::from_utf8(number?).expect("we wrote it");
        let dictionary = &self.configuration.dictionary;
        let message = text::parse(dictionary, &format!("Reply-Message = \"{number}\"")).expect("well-formed");
        self.greeting = Edit::set(Preset::new(dictionary, message).expect("it fits"));
        Some(&self.greeting)
    }
}

#[test]
fn code_decides_like_rules() {
    let text = configuration(JOINED, USERS);
    let mut server = Server::with(&text, |configuration| {
        Box::new(Counting { edits: Arc::default(), greeting: Edit::default(), configuration, let_in: 0 })
    });
    for (port, name, expected) in [(1, "1", "1"), (2, "bob", ""), (3, "22", "2")] {
        let reply = reply(&mut server, port, &Ask::user(name.as_bytes(), b"x"));
        let code = if expected.is_empty() { Code::AccessReject } else { Code::AccessAccept };
        assert_eq!((reply.code, reply.values(number::REPLY_MESSAGE).concat()), (code, expected.into()));
    }
    let decided = server.events.iter().filter_map(|event| match event {
        Event::Finished { decided, .. } => Some(*decided),
        Event::Discarded { .. }
        | Event::Admitted { .. }
        | Event::OldSecret { .. }
        | Event::UnsignedBehindNat { .. }
        | Event::Unreachable { .. }
        | Event::RemoteServer { .. }
        | Event::Loop { .. }
        | Event::RemoteAddress { .. }
        | Event::RemoteUnresolved { .. }
        | Event::SpoolPoolUnknown { .. }
        | Event::SpoolRecordUnwritable { .. }
        | Event::StreamEnded { .. } => None,
    });
    let by = |rule| Some(Decided { server: ServerId(0), rule });
    assert_eq!(decided.collect::<Vec<_>>(), [by(Some(7)), by(None), by(Some(7))]);
    server.assert_nothing_is_left();
}
