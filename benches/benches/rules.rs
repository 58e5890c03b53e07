//! What rules cost: of 1, 10 and 100 the last one matches, so all are asked.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ulna_core::attributes::text;
use ulna_core::configuration::Cores;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret};
use ulna_core::policy::{Asked, ConfiguredRules, EMPTY_SESSION, Policy};
use ulna_core::time::UnixTime;
use ulna_core::{ClientId, Configuration, ListenerId, Path, SocketId, Via};

/// As an access point sends it.
const ATTRIBUTES: &str = "User-Name = \"bob@example.org\", NAS-IP-Address = 192.0.2.1, NAS-Port = 7, \
    NAS-Port-Type = Wireless-802.11, NAS-Identifier = site-LAST, Called-Station-Id = \"00-00-5E-00-53-01:net\", \
    Calling-Station-Id = \"00-00-5E-00-53-02\", Service-Type = Framed-User, Framed-MTU = 1400, \
    Connect-Info = \"CONNECT 54Mbps\", Cisco-AVPair = \"ssid=net\", Acct-Session-Id = \"0123456789abcdef\"";

fn configuration(rules: usize, condition: &str) -> Arc<Configuration> {
    let rules: String = (1..=rules)
        .map(|number| {
            let condition = condition.replace("NUMBER", &number.to_string());
            format!("[[server.new]]\nwhen = {{ {condition} }}\naccept = true\n")
        })
        .collect();
    let text = ulna_config::default_text().replace("[[server.new]]\nauthenticate = \"users\"", &rules);
    let (configuration, _) = ulna_config::parse(&text, "rules.rs", Cores(1)).expect("it is right");
    Arc::new(configuration)
}

fn rules(c: &mut Criterion) {
    let mut group = c.benchmark_group("rules");
    for (name, condition) in [
        ("realm", "realm = \"NUMBER.example.org\""),
        ("value", "NAS-Identifier = \"site-NUMBER\""),
        ("regex", "NAS-Identifier = { regex = '^site-NUMBER$' }"),
        (
            "three",
            "NAS-Port-Type = \"Wireless-802.11\", NAS-Identifier = \"site-NUMBER\", User-Name = { glob = \"*@example.org\" }",
        ),
    ] {
        for number in [1, 10, 100] {
            let configuration = configuration(number, condition);
            let dictionary = &configuration.dictionary;
            let attributes = ATTRIBUTES.replace("LAST", &number.to_string());
            let attributes = attributes.replace(
                "bob@",
                &format!("bob@{}", if name == "realm" { format!("{number}.") } else { String::new() }),
            );
            let assignments = text::parse(dictionary, &attributes).expect("well-formed");
            let mut octets = Vec::new();
            text::write(dictionary, &assignments, None, &mut octets).expect("it fits");
            let mut request = Vec::new();
            let mut encoder =
                Encoder::request(&mut request, Code::AccessRequest, 1, &[1; 16], MessageAuthenticator::First);
            encoder.raw(&octets).expect("it fits");
            encoder.finish_request(&Secret::new(b"secret").expect("it has octets"));
            let framed = Framed::parse(&request).expect("we wrote it");
            let here: SocketAddr = ([127, 0, 0, 1], 1812).into();
            let asked = Asked {
                generation: Default::default(),
                dictionary,
                framed,
                attributes: framed.attributes(),
                session: &EMPTY_SESSION,
                client: &configuration.clients.client(ClientId(0)).name,
                listener: &configuration.listeners[0],
                path: Path {
                    via: Via::Socket(SocketId(0)),
                    listener: ListenerId(0),
                    local: here,
                    remote: here,
                },
                time: UnixTime(1_800_000_000),
            };
            let mut policy = ConfiguredRules::new(Arc::clone(&configuration));
            assert_eq!(policy.decide(&asked).rule, Some(number as u16), "the last of them matches");
            group.bench_function(format!("{name} {number}"), |b| {
                b.iter(|| policy.decide(black_box(&asked)).rule);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);
