//! FreeRADIUS's client and server read the attributes that we hide, and we those that they hide: Tunnel-Password, MPPE
//! keys, and whatever else Debian's dictionaries mark as encrypted. RFC 2868 §3.5, RFC 2548 §2.4, RFC 2865 §5.2.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use support::radiusd::Radiusd;
use support::{Nas, PASSWORD, SECRET, Ulna, configuration, radclient, secret};
use ulna_config::FileSystem;
use ulna_core::attributes::text::{self, Sealing};
use ulna_core::dictionary::{Attribute, DataType, Dictionary, Encryption};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Attributes, Code, Encoder, Framed, MessageAuthenticator};

const DEBIANS: &str = "/usr/share/freeradius/dictionary";
/// Around the blocks of 16, in which a salted value's own length takes one octet, and up to the longest.
const SALTED_LENGTHS: [usize; 9] = [1, 14, 15, 16, 17, 31, 32, 238, 239];
/// RFC 2868 §3.1: none is meant, the first and the last.
const TAGS: [u8; 3] = [0, 1, 31];

/// Debian's own dictionary, so that both sides have the same names; `None` where it is to be done without.
fn dictionary() -> Option<&'static Dictionary> {
    static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
    if !std::path::Path::new(DEBIANS).exists() {
        support::without_peer(&format!("{DEBIANS} (Debian: freeradius-common) is not there"));
        return None;
    }
    Some(DICTIONARY.get_or_init(|| {
        let mut dictionary = Dictionary::built_in();
        dictionary.load(DEBIANS, &mut FileSystem).unwrap_or_else(|error| panic!("{error}"));
        dictionary
    }))
}

/// Text of so many octets, unlike that of other lengths.
fn letters(length: usize) -> String {
    (0..length).map(|place| char::from(b'a' + ((place * 7 + length) % 26) as u8)).collect()
}

fn hexadecimal(length: usize) -> String {
    (0..length).map(|place| format!("{:02x}", (place * 29 + length) as u8)).collect()
}

/// Tunnel-Password of all tags and lengths, MPPE keys of all lengths, and the other ways to hide, as radclient prints
/// them.
fn all_ways() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for tag in TAGS {
        all.extend(SALTED_LENGTHS.map(|length| format!("Tunnel-Password:{tag} = \"{}\"", letters(length))));
    }
    all.extend(["MS-MPPE-Send-Key = 0x00".into()]);
    for name in ["MS-MPPE-Send-Key", "MS-MPPE-Recv-Key"] {
        all.extend([15, 16, 17, 32].map(|length| format!("{name} = 0x{}", hexadecimal(length))));
    }
    all.push(format!("MS-MPPE-Recv-Key = 0x{}", hexadecimal(239)));
    all.push(format!("MS-CHAP-MPPE-Keys = 0x{}", hexadecimal(24)));
    all.extend([1, 15, 16].map(|length| format!("Ascend-Send-Secret = \"{}\"", letters(length))));
    all
}

/// A table of the configuration that sets these attributes.
fn table(attributes: &[String]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let pairs: Vec<(&str, &str)> =
        attributes.iter().map(|attribute| attribute.split_once(" = ").expect("name and value")).collect();
    for (name, _) in &pairs {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let entries = names.iter().map(|name| {
        let values = pairs.iter().filter(|(each, _)| each == name);
        let values = values.map(|(_, value)| match value.parse::<u32>() {
            Ok(number) => number.to_string(),
            Err(_) => format!("\"{}\"", value.trim_matches('"')),
        });
        let values: Vec<String> = values.collect();
        format!("\"{name}\" = [{}]", values.join(", "))
    });
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// What radclient reads in our reply, when the user's attributes are these; `None` where it is to be done without.
fn read_by_radclient(attributes: &[String], layout: &str) -> Option<Vec<String>> {
    let settings = format!("[runtime]\n{layout}\ndictionaries = [\"{DEBIANS}\"]\n");
    let text = configuration("\"127.0.0.1:0\"", "\"127.0.0.1:0\"", &settings);
    let text = text.replace("{ Reply-Message = \"Hello, bob.\" }", &table(attributes));
    let ulna = Ulna::start(&text);
    let server = ulna.addresses[0].to_string();
    let line = format!("User-Name = \"bob\", User-Password = \"{PASSWORD}\", Message-Authenticator = 0x00");
    let told = radclient(&["-x", "-r", "1", "-t", "10", &server, "auth", SECRET], &line)?;
    ulna.stop();
    let received = told.split("Received Access-Accept").nth(1).unwrap_or_else(|| panic!("{told}"));
    let lines = received.lines().skip(1).map(|line| line.trim().to_string());
    Some(lines.filter(|line| !line.is_empty() && !line.starts_with("Message-Authenticator")).collect())
}

// checklist 48
#[test]
fn radclient_reads_what_our_server_hides() {
    if dictionary().is_none() {
        return;
    }
    let all = all_ways();
    for layout in ["network_threads = 0\nworkers = 2", "network_threads = 1\nworkers = 2"] {
        let Some(read) = read_by_radclient(&all, layout) else { return };
        assert_eq!(read, all);
    }
}

/// One value that this attribute can hold, as radclient prints it.
fn a_value(attribute: &Attribute) -> String {
    let data_type = attribute.data_type();
    if let DataType::Octets { length } = data_type {
        return format!("0x{}", hexadecimal(length.map_or(20, usize::from)));
    }
    let known = [
        (DataType::Text, "\"a secret word\""),
        (DataType::Integer, attribute.value_name(1).unwrap_or("1")),
        (DataType::Ipv4Address, "192.0.2.7"),
    ];
    let value = known.into_iter().find_map(|(known, value)| (known == data_type).then_some(value));
    value.unwrap_or_else(|| panic!("{} is hidden and of type {data_type}", attribute.name())).into()
}

#[test]
fn every_attribute_that_debians_dictionaries_hide_is_read_by_radclient() {
    let Some(dictionary) = dictionary() else { return };
    let hidden = dictionary.attributes().filter(|attribute| {
        let is_printed = dictionary.at(&attribute.oid()) == Some(attribute);
        attribute.encrypted() && is_printed && attribute.name() != "User-Password"
    });
    let all: Vec<String> = hidden
        .map(|attribute| {
            let tag = if attribute.tagged() { ":1" } else { "" };
            format!("{}{tag} = {}", attribute.name(), a_value(attribute))
        })
        .collect();
    assert!(all.len() >= 30, "{all:?}");
    let Some(read) = read_by_radclient(&all, "workers = 1") else { return };
    assert_eq!(read, all);
}

/// The attributes of the packet that radclient sends for this line, as we read them.
fn sent_by_radclient(command: &str, line: &str) -> Option<Vec<String>> {
    let dictionary = dictionary()?;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(support::PATIENCE)).expect("not zero");
    let server = socket.local_addr().expect("it is bound").to_string();
    let child = Command::new("radclient")
        .args(["-x", "-r", "1", "-t", "20", &server, command, SECRET])
        .stdin(Stdio::from(std::fs::File::open(support::file("request", line)).expect("it was just written")))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            support::without_peer(&format!("radclient (Debian: freeradius-utils) cannot be run: {error}"));
            return None;
        }
    };
    let mut datagram = [0; 4096];
    let received = socket.recv(&mut datagram);
    // It gets no answer, and is not waited for.
    child.kill().expect("it is our child");
    let told = child.wait_with_output().expect("it ends").stderr;
    let octets = received
        .unwrap_or_else(|error| panic!("nothing was sent: {error}\n{}", String::from_utf8_lossy(&told)));
    let request = Framed::parse(&datagram[..octets]).expect("radclient sends packets");
    let secret = secret();
    let hop = Hop::of_request(&secret, &request);
    let printed = text::print(dictionary, request.attributes()).revealed(hop).in_lines().to_string();
    Some(printed.lines().map(String::from).collect())
}

// checklist 9
#[test]
fn we_read_what_radclient_hides_in_requests() {
    for length in [1, 15, 16, 17, 127, 128] {
        let all = [
            format!("User-Password = \"{}\"", letters(length)),
            format!("MS-CHAP-MPPE-Keys = 0x{}", hexadecimal(24)),
            format!("Ascend-Send-Secret = \"{}\"", letters(length.min(16))),
        ];
        let Some(read) = sent_by_radclient("auth", &all.join(", ")) else { return };
        assert_eq!(read, all);
    }
    // It writes salted values into no Access-Request. In accounting and CoA no authenticator is known when they are
    // hidden: there it takes zeros.
    for (command, lengths) in
        [("acct", SALTED_LENGTHS), ("coa", SALTED_LENGTHS), ("disconnect", SALTED_LENGTHS)]
    {
        for tag in TAGS {
            let all = lengths.map(|length| format!("Tunnel-Password:{tag} = \"{}\"", letters(length)));
            let Some(read) = sent_by_radclient(command, &all.join(", ")) else { return };
            assert_eq!(read, all, "{command}");
        }
    }
}

/// What radiusd answers. Debian's 3.2.1 signs no reply to a request without EAP.
fn answer(server: SocketAddr, request: &[u8]) -> (Code, Vec<u8>) {
    let nas = Nas::new("127.0.0.1:0", server);
    nas.send(request);
    let octets = nas.receive();
    let authenticator = Framed::parse(request).expect("we made it").authenticator();
    let reply = Framed::parse(&octets).expect("radiusd sends packets");
    let code = reply.verify_reply(&secret(), authenticator, false).expect("it verifies").code();
    (code, octets)
}

// checklist 48
#[test]
fn we_read_what_radiusd_hides() {
    let Some(dictionary) = dictionary() else { return };
    let all = all_ways();
    let unlang: Vec<String> = all.iter().map(|attribute| attribute.replacen(" = ", " += ", 1)).collect();
    let Some(radiusd) = Radiusd::start(&unlang) else { return };
    let secret = secret();
    for authenticator in [[7; 16], [0xff; 16]] {
        let mut request = Vec::new();
        let sign = MessageAuthenticator::First;
        let mut encoder = Encoder::request(&mut request, Code::AccessRequest, 1, &authenticator, sign);
        encoder.attribute(1, b"bob").expect("it fits");
        encoder.finish_request(&secret);
        let (code, reply) = answer(radiusd.authentication, &request);
        assert_eq!(code, Code::AccessAccept);
        let reply = Framed::parse(&reply).expect("it has been read");
        let hop = Hop { secret: &secret, request_authenticator: &authenticator };
        let read = text::print(dictionary, reply.attributes()).revealed(hop).in_lines().to_string();
        let read: Vec<&str> = read.lines().filter(|line| !line.starts_with("Message-Auth")).collect();
        assert_eq!(read, all);
    }
}

/// These attributes, hidden under a request's authenticator, in a request of this code.
fn request(code: Code, lines: &[String]) -> Option<Vec<u8>> {
    let dictionary = dictionary()?;
    let secret = secret();
    let authenticator = [9; 16];
    let mut request = Vec::new();
    let sign =
        if code == Code::AccessRequest { MessageAuthenticator::First } else { MessageAuthenticator::Absent };
    let mut encoder = Encoder::request(&mut request, code, 1, &authenticator, sign);
    let hiding = Hop::authenticator_of_request(code, &authenticator);
    let hop = Hop { secret: &secret, request_authenticator: hiding };
    let assignments = text::parse(dictionary, &lines.join("\n")).expect("well-formed");
    let mut attributes = Vec::new();
    text::write(dictionary, &assignments, Some(Sealing { hop, salt: 0x4711 }), &mut attributes)
        .expect("it fits");
    assert!(Attributes::parse(&attributes).is_ok());
    encoder.raw(&attributes).expect("it fits");
    encoder.finish_request(&secret);
    Some(request)
}

// checklist 9
#[test]
fn radiusd_reads_what_we_hide_in_requests() {
    let Some(radiusd) = Radiusd::start(&["Class := 0x00".into()]) else { return };
    for length in [1, 15, 16, 17, 127, 128] {
        let all = [
            "User-Name = \"bob\"".to_string(),
            format!("User-Password = \"{}\"", letters(length)),
            format!("MS-CHAP-MPPE-Keys = 0x{}", hexadecimal(24)),
        ];
        let Some(request) = request(Code::AccessRequest, &all) else { return };
        assert_eq!(answer(radiusd.authentication, &request).0, Code::AccessAccept);
        let read = radiusd.attributes();
        let read: Vec<_> = read.into_iter().filter(|line| !line.starts_with("Message-Auth")).collect();
        assert_eq!(read, all);
    }
    for tag in TAGS {
        let mut all = vec!["Acct-Status-Type = Start".to_string()];
        all.extend(SALTED_LENGTHS.map(|length| format!("Tunnel-Password:{tag} = \"{}\"", letters(length))));
        let Some(request) = request(Code::AccountingRequest, &all) else { return };
        assert_eq!(answer(radiusd.accounting, &request).0, Code::AccountingResponse);
        assert_eq!(radiusd.attributes(), all);
    }
}

#[test]
fn debians_dictionary_hides_in_each_way() {
    // What the tests above rest on: Debian's dictionary hides each of these, and in which way.
    let Some(dictionary) = dictionary() else { return };
    for (name, encryption) in [
        ("Tunnel-Password", Encryption::TunnelPassword),
        ("MS-MPPE-Recv-Key", Encryption::TunnelPassword),
        ("MS-CHAP-MPPE-Keys", Encryption::UserPassword),
        ("Ascend-Send-Secret", Encryption::AscendSecret),
    ] {
        assert_eq!(dictionary.attribute(name).map(Attribute::encryption), Some(encryption), "{name}");
    }
}
