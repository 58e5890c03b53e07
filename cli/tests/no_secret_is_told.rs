//! Whatever is said of packets and files, nothing in it is hidden in a packet: every attribute that the dictionary marks
//! as encrypted, passwords, CHAP, State, Class and what else is opaque goes through the server in packets of all fates,
//! and then all that the server has ever printed is searched.

mod support;

use support::{Nas, SECRET, Ulna, file, on_free_ports, run, secret};
use ulna_core::attributes::text::{self, Assignment, Sealing};
use ulna_core::dictionary::{Attribute, DataType, Dictionary};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

/// What stands in a packet in clear, and yet is nobody else's business.
const OPAQUE: [u8; 6] = [
    number::CHAP_PASSWORD,
    number::CHAP_CHALLENGE,
    number::STATE,
    number::CLASS,
    number::PROXY_STATE,
    number::EAP_MESSAGE,
];

/// Text that stands nowhere else, `turn` apart for each use.
fn distinctive(number: usize, turn: u8) -> String {
    let letters =
        (0..12).map(|place| char::from(b'a' + ((number * 31 + place * 17 + usize::from(turn)) % 26) as u8));
    format!("Zq{}", letters.collect::<String>())
}

/// All attributes that the dictionary marks as encrypted, with a value of its own each.
fn hidden(dictionary: &Dictionary, turn: u8) -> Vec<(&Attribute, String)> {
    let encrypted = dictionary.attributes().filter(|attribute| attribute.encrypted());
    let texts = encrypted.enumerate().filter_map(|(place, attribute)| {
        let text = distinctive(place, turn);
        if let DataType::Octets { length: Some(length) } = attribute.data_type() {
            return Some((attribute, text.repeat(8)[..usize::from(length)].into()));
        }
        // A number of 32 bits may stand anywhere by chance.
        let is_free = matches!(attribute.data_type(), DataType::Text | DataType::Octets { length: None });
        is_free.then_some((attribute, text))
    });
    texts.collect()
}

/// A request with all of them: `name`, the attributes as octets, signed under this secret.
fn request(
    identifier: u8,
    name: &str,
    attributes: &[u8],
    with: &Secret,
    sign: MessageAuthenticator,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::request(&mut out, Code::AccessRequest, identifier, &[identifier; 16], sign);
    encoder.attribute(number::USER_NAME, name.as_bytes()).expect("it fits");
    encoder.raw(attributes).expect("it fits");
    encoder.finish_request(with);
    out
}

/// Attributes hidden for the request of this Identifier, and the opaque ones; gives what must not be told, too.
fn attributes(
    dictionary: &Dictionary,
    identifier: u8,
    with: &Secret,
    password: &str,
) -> (Vec<u8>, Vec<String>) {
    let hop = Hop { secret: with, request_authenticator: &[identifier; 16] };
    let mut told = Vec::new();
    let mut assignments = Vec::new();
    for (attribute, value) in hidden(dictionary, identifier) {
        let value = if attribute.name() == "User-Password" { password.to_string() } else { value };
        let (oid, octets) = (attribute.oid(), value.clone().into_bytes());
        let attribute = Some(attribute);
        assignments.push(Assignment { oid, attribute, tag: None, value: octets, apart: false, offset: 0 });
        told.push(value);
    }
    let mut out = Vec::new();
    text::write(dictionary, &assignments, Some(Sealing { hop, salt: 1 }), &mut out).expect("it fits");
    for number in OPAQUE {
        // CHAP-Password would decide instead of User-Password; a request has one of them.
        let is_taken = number == number::CHAP_PASSWORD && identifier.is_multiple_of(2);
        let value = format!("{}+++", distinctive(usize::from(number) + 1000, identifier));
        if !is_taken {
            out.extend_from_slice(&[number, value.len() as u8 + 2]);
            out.extend_from_slice(value.as_bytes());
            told.push(value);
        }
    }
    (out, told)
}

/// How octets may be printed: as they are, in hexadecimal, as a list of numbers.
fn printed(value: &str) -> Vec<String> {
    let octets = value.as_bytes();
    let join = |each: &dyn Fn(u8) -> String, between: &str| -> String {
        octets[..octets.len().min(10)].iter().map(|octet| each(*octet)).collect::<Vec<_>>().join(between)
    };
    vec![
        value[..value.len().min(10)].into(),
        join(&|octet| format!("{octet:02x}"), ""),
        join(&|octet| format!("{octet:02X}"), ""),
        join(&|octet| format!("{octet:02x}"), ":"),
        join(&|octet| format!("{octet:02x}"), " "),
        join(&|octet| octet.to_string(), ", "),
        join(&|octet| format!("{octet:#x}"), ", "),
    ]
}

fn assert_tells_none_of(secrets: &[String], text: &str) {
    for secret in secrets {
        for form in printed(secret) {
            assert!(!text.contains(&form), "{form:?} of {secret:?} is told:\n{text}");
        }
    }
}

/// A configuration whose user and rule set every encrypted attribute, each to a value of its own.
fn configuration(dictionary: &Dictionary) -> (String, Vec<String>) {
    let mut secrets = vec![SECRET.to_string(), support::PASSWORD.to_string()];
    let mut table = |turn| {
        let set =
            hidden(dictionary, turn).into_iter().filter(|(attribute, _)| attribute.name() != "User-Password");
        let entries = set.map(|(attribute, value)| {
            secrets.push(value.clone());
            format!("{} = \"{value}\"", attribute.name())
        });
        format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
    };
    let (user, rule) = (table(200), table(201));
    // Passwords are wrong on purpose, and all of them are to be looked at.
    let text = on_free_ports("[protocol]\nreject_delay = \"10ms\"\nfailures_max = 0\n")
        .replace("{ Reply-Message = \"Hello, bob.\" }", &user)
        .replace("authenticate = \"users\"", &format!("authenticate = \"users\"\nset_reply = {rule}"));
    (text, secrets)
}

#[test]
fn nothing_that_is_hidden_in_packets_is_ever_printed() {
    let dictionary = Dictionary::built_in();
    let (text, mut secrets) = configuration(&dictionary);
    let ulna = Ulna::start(&text);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let stranger = Nas::new("127.0.0.3:0", ulna.addresses[0]);
    let accounting = Nas::new("127.0.0.1:0", ulna.addresses[2]);
    let right = secret();
    let other = Secret::new(b"another-secret-of-nobody").expect("it has octets");
    for identifier in 0..40 {
        let (with, password) = match identifier % 4 {
            0 => (&right, support::PASSWORD.to_string()),
            1 | 2 => (&right, distinctive(5000, identifier)),
            _ => (&other, support::PASSWORD.to_string()),
        };
        let (attributes, told) = attributes(&dictionary, identifier, with, &password);
        secrets.extend(told);
        let sign = MessageAuthenticator::First;
        let packet = request(identifier, "bob", &attributes, with, sign);
        if with == &right {
            let accepted = identifier % 4 == 0;
            let code = nas.ask(&packet);
            assert_eq!(code == Code::AccessAccept, accepted, "{identifier}");
            nas.insist(&packet);
        } else {
            nas.send(&packet);
        }
        // Cut, with a wrong attribute at its end, from a stranger, of no known code, unsigned with EAP and Proxy-State.
        nas.send(&packet[..packet.len() - 3]);
        let mut wrong = packet.clone();
        // The length of the last attribute, which has 19 octets.
        let length = wrong.len() - 18;
        wrong[length] = 1;
        nas.send(&wrong);
        stranger.send(&packet);
        let mut foreign = packet.clone();
        foreign[0] = 99;
        nas.send(&foreign);
        nas.send(&request(identifier ^ 0x80, "bob", &attributes, with, MessageAuthenticator::Absent));
        // A request that no accounting rule takes.
        let mut stored = Vec::new();
        let absent = MessageAuthenticator::Absent;
        let mut encoder =
            Encoder::request(&mut stored, Code::AccountingRequest, identifier, &[0; 16], absent);
        let class = format!("{}+++", distinctive(7000, identifier));
        encoder.attribute(number::CLASS, class.as_bytes()).expect("it fits");
        encoder.finish_request(&right);
        secrets.push(class);
        accounting.send(&stored);
    }
    ulna.wait_for_counters("all have their fate", |counters| {
        counters.get("discarded no-accounting-rule") == Some(&40)
    });
    let counters = ulna.counters();
    for name in [
        "accepts",
        "rejects",
        "duplicates_resent",
        "discarded bad-message-authenticator",
        "discarded truncated",
        "discarded bad-attribute",
        "discarded unknown-client",
        "discarded unknown-code",
        "discarded unsigned-eap",
    ] {
        assert!(counters.get(name).is_some_and(|count| *count >= 10), "{name}: {counters:#?}");
    }
    ulna.signal("HUP");
    let ended = ulna.stop();
    for said in [" accept ", " reject ", "reason=unknown-client", "reason=bad-message-authenticator"] {
        assert!(ended.stderr.contains(said), "{said}:\n{}", ended.stderr);
    }
    assert!(secrets.len() > 40 * 15);
    assert_tells_none_of(&secrets, &ended.stdout);
    assert_tells_none_of(&secrets, &ended.stderr);
}

#[test]
fn nor_is_it_when_the_configuration_is_wrong() {
    let dictionary = Dictionary::built_in();
    let (text, secrets) = configuration(&dictionary);
    for (right, wrong) in [
        (" = { ", " = { Sesion-Timeout = 5, "),
        (" }\n", ", Session-Timeout = \"soon\" }\n"),
        (" }\n", ", Session-Timeout = 1\n"),
        ("Tunnel-Password", "Tunnel-Passwort"),
        ("Tunnel-Password", "\"Tunnel-Password:99\""),
        ("Tunnel-Password", "tunnel-password"),
        ("authenticate = \"users\"", "authenticate = \"user\""),
    ] {
        let path = file("wrong.toml", &text.replace(right, wrong));
        let output = run(&["check", "--config", path.to_str().expect("the path is UTF-8")]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong}:\n{told}");
        assert!(told.contains("wrong.toml:"), "{told}");
        assert_tells_none_of(&secrets, &told);
    }
}

#[test]
fn the_search_finds_what_is_told() {
    let secrets = ["ZqSecretive".to_string()];
    for told in
        ["a ZqSecretive b", "0x5a715365637265746976", "[90, 113, 83, 101, 99, 114, 101, 116, 105, 118]"]
    {
        assert!(std::panic::catch_unwind(|| assert_tells_none_of(&secrets, told)).is_err(), "{told}");
    }
    assert_tells_none_of(&secrets, "User-Name = \"bob\"");
    assert!(Framed::parse(&request(1, "bob", &[], &secret(), MessageAuthenticator::First)).is_ok());
}
